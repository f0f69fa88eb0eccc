// The decoder that most tutorials show, in JavaScript, as a program that the judge can run. exercises.md starts from it.
//
//     python -m sse_ref.conformance decoder --brief -- node examples/naive_decoder.mjs
//
// It splits each read at blank lines and takes what follows "data: ". It works in every demonstration.

import { createInterface } from "node:readline"

class Decoder {
  // Takes the next bytes of the stream, and returns the events that they complete.
  feed(chunk) {
    const blocks = new TextDecoder().decode(chunk).split("\n\n")
    return blocks.filter(block => block.startsWith("data: ")).map(block => ({ data: block.slice(6).trim() }))
  }
}

// ---- From here on it is the protocol: a line of JSON in, a line of JSON out ----

for await (const line of createInterface({ input: process.stdin })) {
  const { op, id, chunks } = JSON.parse(line)
  console.log(JSON.stringify(op === "decode" ? { id, ...answer(chunks) } : { name: "naive decoder", version: "1" }))
}

function answer(chunks) {
  const decoder = new Decoder()
  try {
    const events = chunks.flatMap((hex, chunk) => decoder.feed(Buffer.from(hex, "hex")).map(event => ({ ...event, chunk })))
    const { retry = null, last_event_id } = decoder // told only if the decoder knows them
    return { events, retry, last_event_id }
  } catch (error) {
    return { error: String(error) }
  }
}
