// What every JavaScript adapter shares: a line of JSON in, a line of JSON out; see sse_ref/conformance/README.md.
import { createInterface } from "node:readline"
import { createRequire } from "node:module"
import { readFileSync } from "node:fs"

export const say = value => process.stdout.write(JSON.stringify(value) + "\n")

export function version(name) {
  const file = createRequire(import.meta.url).resolve(name).replace(/\\/g, "/")
  const folder = file.slice(0, file.lastIndexOf(`node_modules/${name}/`) + `node_modules/${name}/`.length)
  return JSON.parse(readFileSync(folder + "package.json")).version
}

// Serves a function from chunks (Buffers) to {events, retry, last_event_id}.
export async function serve(about, decode) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { op, id, chunks } = JSON.parse(line)
    if (op === "hello") say(about)
    else
      try {
        say({ id, ...(await decode(chunks.map(chunk => Buffer.from(chunk, "hex")))) })
      } catch (error) {
        say({ id, error: String(error) })
      }
  }
}

// Runs one case of a chat client; outcomeOf(error) names the outcome that an error stands for.
export async function client(stream, outcomeOf) {
  const after = Number(process.env.SSE_CONFORMANCE_CANCEL_AFTER ?? 0)
  const answer = { text: "", deltas: 0, finish_reason: null, usage: null, tool_calls: [] }
  answer.delta = text => {
    if (!text) return
    answer.text += text
    answer.deltas++
    say({ delta: text })
  }
  answer.enough = () => after > 0 && answer.deltas >= after
  const idle = 1000 * Number(process.env.SSE_CONFORMANCE_IDLE_S)
  let end = "complete", more = {}
  try {
    await stream(process.argv.at(-1), JSON.parse(process.env.SSE_CONFORMANCE_BODY), idle, answer)
    if (answer.enough()) end = "cancelled"
  } catch (error) {
    end = outcomeOf(error)
    more = { error: String(error?.message ?? error), status: error?.status ?? error?.statusCode ?? null }
  }
  const { text, finish_reason, usage, tool_calls } = answer
  process.stdout.write(JSON.stringify({ end, text, finish_reason, usage, tool_calls, ...more }) + "\n", () => process.exit(0))
}
