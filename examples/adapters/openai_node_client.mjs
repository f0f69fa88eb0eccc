// openai-node as a client under test: the plain iteration over a stream, as its README shows it. It hands out the fragments of
// tool calls as they come and leaves it to others to put them together, so that they are not told.
import OpenAI from "openai"
import { client } from "./adapter.mjs"

await client(async (url, body, idle, answer) => {
  const stream = await new OpenAI({ baseURL: url, apiKey: "none", timeout: idle }).chat.completions.create(body)
  for await (const chunk of stream) {
    answer.usage = chunk.usage ?? answer.usage
    const choice = chunk.choices?.[0]
    if (choice?.index === 0) {
      answer.delta(choice.delta?.content)
      answer.finish_reason = choice.finish_reason ?? answer.finish_reason
    }
    if (answer.enough()) break
  }
}, error => {
  if (error instanceof OpenAI.APIConnectionTimeoutError) return "timeout"
  if (error instanceof OpenAI.APIConnectionError) return "truncated"
  if (error instanceof OpenAI.APIError) return error.status ? "http_error" : "api_error"
  return error instanceof SyntaxError ? "protocol_error" : "truncated"
})
