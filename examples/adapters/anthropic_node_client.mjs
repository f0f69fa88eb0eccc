// anthropic-sdk-typescript as a client under test: the helper messages.stream, as its README shows it.
import Anthropic from "@anthropic-ai/sdk"
import { client } from "./adapter.mjs"

await client(async (url, { stream, ...body }, idle, answer) => {
  const events = new Anthropic({ baseURL: url, apiKey: "none", timeout: idle }).messages.stream(body)
  const message = await events.on("text", text => {
    answer.delta(text)
    if (answer.enough()) events.abort()
  }).finalMessage()
  answer.finish_reason = message.stop_reason
  answer.usage = message.usage && { prompt_tokens: message.usage.input_tokens, completion_tokens: message.usage.output_tokens }
  const calls = message.content.filter(block => block.type === "tool_use")
  answer.tool_calls = calls.map(({ id, name, input }) => ({ id, name, arguments: JSON.stringify(input) }))
}, error => {
  if (error instanceof Anthropic.APIConnectionTimeoutError) return "timeout"
  if (error instanceof Anthropic.APIConnectionError) return "truncated"
  if (error instanceof Anthropic.APIError) return error.status ? "http_error" : "api_error"
  return error instanceof SyntaxError ? "protocol_error" : "truncated"
})
