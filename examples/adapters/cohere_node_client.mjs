// cohere-ai as a client under test: chatStream, as its README shows it.
import { CohereClientV2, CohereError, CohereTimeoutError } from "cohere-ai"
import { client } from "./adapter.mjs"

await client(async (url, { stream, ...body }, idle, answer) => {
  const abort = new AbortController()
  const cohere = new CohereClientV2({ token: "none", environment: url })
  answer.tool_calls = []
  for await (const event of await cohere.chatStream(body, { timeoutInSeconds: idle / 1000, abortSignal: abort.signal })) {
    const { message, finishReason, usage } = event.delta ?? {}
    if (event.type === "content-delta") answer.delta(message?.content?.text)
    if (event.type === "tool-call-start") {
      const { id, function: { name, arguments: given } } = message.toolCalls
      answer.tool_calls.push({ id, name, arguments: given ?? "" })
    }
    if (event.type === "tool-call-delta") answer.tool_calls[event.index].arguments += message.toolCalls.function.arguments
    if (event.type === "message-end") {
      answer.finish_reason = finishReason
      const tokens = usage?.tokens
      if (tokens) answer.usage = { prompt_tokens: tokens.inputTokens, completion_tokens: tokens.outputTokens }
    }
    if (answer.enough()) return abort.abort()
  }
}, error => {
  if (error instanceof CohereTimeoutError) return "timeout"
  if (error instanceof CohereError) return error.statusCode ? "http_error" : "truncated"
  return error instanceof SyntaxError || error.name === "ParseError" ? "protocol_error" : "truncated"
})
