// Decoders in JavaScript, timed for decoders.py: each line of standard input names one, and a file of feeds; each line of
// standard output tells the seconds it took, and how many events it gave. The argument is the folder of the packages.
import { readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { pathToFileURL } from "node:url"

const packages = pathToFileURL(process.argv[2] + "/node_modules/")
const { createParser } = await import(new URL("eventsource-parser/dist/index.js", packages))
const { _iterSSEMessages } = await import(new URL("openai/core/streaming.mjs", packages))

const DECODERS = {
  "eventsource-parser (npm)": async feeds => {
    const text = new TextDecoder()
    let count = 0
    const parser = createParser({ onEvent: () => count++ })
    for (const chunk of feeds) parser.feed(text.decode(chunk, { stream: true }))
    return count
  },
  "openai (npm)": async feeds => {
    const body = (async function* () { yield* feeds })()
    let count = 0
    for await (const _ of _iterSSEMessages({ body }, new AbortController())) count++
    return count
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { name, file, sizes } = JSON.parse(line)
  const bytes = readFileSync(file)
  let at = 0
  const feeds = sizes.map(size => bytes.subarray(at, (at += size)))
  const began = performance.now()
  const count = await DECODERS[name](feeds)
  console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000, count }))
}
