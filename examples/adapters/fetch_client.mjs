// A loop over fetch as tutorials show it, as a client under test: read by read, until [DONE].
import { client } from "./adapter.mjs"

async function stream(url, body, idle, answer) {
  const response = await fetch(`${url}/chat/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(idle),
  })
  if (!response.ok) throw Object.assign(new Error(await response.text()), { status: response.status })
  for await (const bytes of response.body)
    for (const line of new TextDecoder().decode(bytes).split("\n")) {
      if (!line.startsWith("data: ")) continue
      if (line === "data: [DONE]") return
      const choice = JSON.parse(line.slice(6)).choices[0]
      answer.delta(choice.delta.content)
      answer.finish_reason = choice.finish_reason ?? answer.finish_reason
      if (answer.enough()) return
    }
}

function outcomeOf(error) {
  if (error.status) return "http_error"
  if (error.name === "TimeoutError") return "timeout"
  return error instanceof SyntaxError ? "protocol_error" : "truncated"
}

await client(stream, outcomeOf)
