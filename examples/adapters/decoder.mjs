// A decoder under test in JavaScript: node decoder.mjs
import { createInterface } from "node:readline"

for await (const line of createInterface({ input: process.stdin })) {
  const { id, chunks = [] } = JSON.parse(line)
  console.log(JSON.stringify({ id, events: decode(Buffer.from(chunks.join(""), "hex").toString()), retry: null }))
}

function decode(text) {
  const blocks = text.replace(/\r\n/g, "\n").split("\n\n").slice(0, -1)
  const dataOf = block => block.split("\n").filter(l => l.startsWith("data:")).map(l => l.slice(5).replace(/^ /, ""))
  return blocks.map(dataOf).filter(lines => lines.length).map(lines => ({ data: lines.join("\n") }))
}
