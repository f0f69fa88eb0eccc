// @google/genai as a client under test: generateContentStream, as its README shows it.
import { ApiError, GoogleGenAI } from "@google/genai"
import { client } from "./adapter.mjs"

await client(async (url, { model, contents, tools, generationConfig = {} }, idle, answer) => {
  const genai = new GoogleGenAI({ apiKey: "none", httpOptions: { baseUrl: url, timeout: idle } })
  const abort = new AbortController()
  answer.tool_calls = []
  const config = { tools, candidateCount: generationConfig.candidateCount, abortSignal: abort.signal }
  for await (const chunk of await genai.models.generateContentStream({ model, contents, config })) {
    const usage = chunk.usageMetadata
    if (usage) answer.usage = { prompt_tokens: usage.promptTokenCount, completion_tokens: usage.candidatesTokenCount }
    for (const candidate of chunk.candidates ?? []) if (!candidate.index && candidate.finishReason) answer.finish_reason = candidate.finishReason
    answer.delta(chunk.text)
    for (const { id, name, args } of chunk.functionCalls ?? []) answer.tool_calls.push({ id, name, arguments: JSON.stringify(args ?? {}) })
    if (answer.enough()) return abort.abort()
  }
}, error => {
  if (error instanceof ApiError) return "http_error"
  if (error.name === "AbortError" || /timed? ?out/i.test(error.message)) return "timeout"
  return error instanceof SyntaxError || /JSON/.test(error.message) ? "protocol_error" : "truncated"
})
