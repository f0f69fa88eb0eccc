// @google/genai as a client under test: generateContentStream, and of its chunks the first candidate.
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
    for (const { index, finishReason, content } of chunk.candidates ?? []) {
      if (index) continue
      if (finishReason) answer.finish_reason = finishReason
      for (const { text, thought, functionCall } of content?.parts ?? []) {
        if (!thought) answer.delta(text)
        if (!functionCall) continue
        const { id, name, args = {} } = functionCall
        answer.tool_calls.push({ id, name, arguments: typeof args === "string" ? args : JSON.stringify(args) })
      }
    }
    if (answer.enough()) return abort.abort()
  }
}, error => {
  if (error instanceof ApiError) return "http_error"
  if (error.name === "AbortError" || /timed? ?out/i.test(error.message)) return "timeout"
  return error instanceof SyntaxError || /JSON/.test(error.message) ? "protocol_error" : "truncated"
})
