// openai-node as a client of Responses under test: the helper responses.stream, as its README shows it.
import OpenAI from "openai"
import { client } from "./adapter.mjs"

await client(async (url, { stream, ...body }, idle, answer) => {
  const events = new OpenAI({ baseURL: url, apiKey: "none", timeout: idle }).responses.stream(body)
  events.on("response.output_text.delta", event => {
    answer.delta(event.delta)
    if (answer.enough()) events.abort()
  })
  events.on("response.refusal.delta", event => (answer.refusal = (answer.refusal ?? "") + event.delta))
  const response = await events.finalResponse()
  if (response.error) throw new OpenAI.APIError(undefined, response.error, response.error.message, undefined)
  const calls = response.output.filter(item => item.type === "function_call")
  answer.tool_calls = calls.map(({ call_id: id, name, arguments: given }) => ({ id, name, arguments: given }))
  const why = response.incomplete_details?.reason ?? (calls.length ? "tool_calls" : "stop")
  answer.finish_reason = why === "max_output_tokens" ? "length" : why
  answer.usage = response.usage && { prompt_tokens: response.usage.input_tokens, completion_tokens: response.usage.output_tokens }
}, error => {
  if (error instanceof OpenAI.APIConnectionTimeoutError) return "timeout"
  if (error instanceof OpenAI.APIConnectionError) return "truncated"
  if (error instanceof OpenAI.APIError) return error.status ? "http_error" : "api_error"
  return error instanceof SyntaxError ? "protocol_error" : "truncated"
})
