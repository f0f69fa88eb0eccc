// The Vercel AI SDK (its provider for compatible servers) as a client under test.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { APICallError, InvalidResponseDataError, streamText, jsonSchema, tool } from "ai"
import { client } from "./adapter.mjs"

await client(async (url, body, idle, answer) => {
  const provider = createOpenAICompatible({ name: "judge", baseURL: url, includeUsage: Boolean(body.stream_options) })
  const tools = Object.fromEntries((body.tools ?? []).map(t => [t.function.name, tool({ inputSchema: jsonSchema(t.function.parameters) })]))
  const stop = new AbortController()
  answer.tool_calls = []
  const result = streamText({ model: provider(body.model), messages: body.messages, tools, abortSignal: stop.signal, timeout: { firstChunkMs: idle, chunkMs: idle }, onError() {} })
  for await (const part of result.fullStream) {
    if (part.type === "text-delta") answer.delta(part.text)
    if (part.type === "tool-call") answer.tool_calls.push({ id: part.toolCallId, name: part.toolName, arguments: JSON.stringify(part.input) })
    if (part.type === "finish") {
      answer.finish_reason = part.rawFinishReason ?? part.finishReason
      answer.usage = { prompt_tokens: part.totalUsage.inputTokens, completion_tokens: part.totalUsage.outputTokens }
    }
    if (part.type === "error") throw part.error
    if (part.type === "abort" && !stop.signal.aborted) throw Object.assign(new Error(part.reason ?? "it timed out"), { name: "TimeoutError" })
    if (answer.enough()) return stop.abort()
  }
}, error => {
  const cause = error?.lastError ?? error
  if (APICallError.isInstance(cause) && cause.statusCode >= 300) return Object.assign(error, { status: cause.statusCode, message: `${cause.message} ${cause.responseBody ?? ""}` }) && "http_error"
  if (/JSON|parse|validation/i.test(String(cause?.name))) return "protocol_error"
  if (cause?.name === "TimeoutError" || cause?.name === "AbortError") return "timeout"
  return /without a finish reason|terminated|socket|ECONN|fetch|closed/i.test(String(cause?.message) + String(cause?.cause)) ? "truncated" : "api_error"
})
