// One answer of a chat API, streamed or whole, read with fetch.
//
// In:   a URL and the JSON body of a request; what to call for each read and for each piece.
// Out:  one result, whose outcome is one of those of client.py: complete, truncated, api_error, protocol_error, http_error,
//       timeout, cancelled. Whatever had come is kept.

import { SSEDecoder } from "./decoder.mjs"

// `signal` cancels; `idle` is how many milliseconds of silence mean that the stream is dead. `onRead(bytes, plain)` is told
// of every read, `onHead(response)` of the answer's beginning, `onPiece(result)` of every change.
export async function ask(url, body, { headers = {}, signal, idle = 60_000, onHead = () => {}, onRead = () => {}, onPiece = () => {} } = {}) {
  const result = { outcome: "", problem: "", status: 0, requestId: "", retryAfter: "", text: "", calls: [], finishReason: null, usage: null, tokens: [] }
  const silence = new AbortController()
  const stop = AbortSignal.any([silence.signal, ...(signal ? [signal] : [])])
  let timer
  const wait = () => {
    clearTimeout(timer)
    timer = setTimeout(() => silence.abort(), idle)
  }
  try {
    wait()
    const answer = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify(body),
      signal: stop,
    })
    onHead(answer)
    result.status = answer.status
    result.requestId = answer.headers.get("X-Request-Id") ?? ""
    result.retryAfter = answer.headers.get("Retry-After") ?? ""
    const streamed = (answer.headers.get("Content-Type") ?? "").startsWith("text/event-stream")
    const read = streamed ? readStream : readWhole
    await read(answer, result, bytes => { wait(); onRead(bytes, !streamed) }, onPiece)
  } catch (error) {
    if (signal?.aborted) result.outcome = "cancelled"
    else if (silence.signal.aborted) end(result, "timeout", `nothing came for ${idle / 1000} s`)
    else if (!result.status) end(result, "http_error", "the server does not answer, or the request cannot be sent")
    else if (error instanceof Broken) end(result, "truncated", "the connection broke in the middle of the answer")
    else throw error // a fault of the caller
  } finally {
    clearTimeout(timer)
  }
  return result
}

class Broken extends Error {}

function end(result, outcome, problem = "") {
  Object.assign(result, { outcome, problem })
}

async function* reads(answer, onRead) {
  const reader = answer.body.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(() => { throw new Broken() })
      if (done) return
      onRead(value)
      yield value
    }
  } finally {
    // After [DONE] the end of the body is a moment away: leaving before it would look as if the user had left.
    await Promise.race([rest(reader), new Promise(resolve => setTimeout(resolve, 200))])
    reader.cancel().catch(() => {}) // it may have failed already
  }
}

async function rest(reader) {
  try {
    while (!(await reader.read()).done);
  } catch {
    // it has ended, too
  }
}

async function readStream(answer, result, onRead, onPiece) {
  const decoder = new SSEDecoder()
  for await (const bytes of reads(answer, onRead)) {
    for (const event of decoder.feed(bytes)) {
      if (event.data === "[DONE]") return finish(result)
      if (!take(event.data, result)) return
      onPiece(result)
    }
  }
  finish(result, decoder.pending)
}

// The end of the body, or [DONE]: was that the whole answer?
function finish(result, pending = false) {
  if (result.finishReason) end(result, "complete")
  else end(result, "truncated", `the stream ended ${pending ? "inside an event" : "before a finish reason"}`)
}

// One chunk. False if it ends the stream: an error, or something that is no chunk.
function take(data, result) {
  const chunk = object(data)
  const choice = chunk?.choices?.[0] // the chunk with the usage has none
  const { content, tool_calls: fragments } = choice?.delta ?? {}
  if (!chunk || !Array.isArray(fragments ?? [])) {
    end(result, "protocol_error", `this is no chunk: ${data.slice(0, 60)}`)
    return false
  }
  if (chunk.error) {
    end(result, "api_error", String(chunk.error.message ?? chunk.error))
    return false
  }
  if (chunk.usage) result.usage = chunk.usage
  if (content) {
    result.text += content
    result.tokens.push(performance.now())
  }
  for (const fragment of fragments ?? []) {
    const call = (result.calls[fragment.index] ??= { id: "", name: "", arguments: "" })
    call.id ||= fragment.id ?? ""
    call.name ||= fragment.function?.name ?? ""
    call.arguments += fragment.function?.arguments ?? ""
    result.tokens.push(performance.now())
  }
  if (choice?.finish_reason) result.finishReason = choice.finish_reason
  return true
}

// The JSON object that the text holds; undefined if it holds something else.
function object(text) {
  try {
    const value = JSON.parse(text)
    return value instanceof Object && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

async function readWhole(answer, result, onRead, onPiece) {
  const decoder = new TextDecoder()
  let text = ""
  for await (const bytes of reads(answer, onRead)) text += decoder.decode(bytes, { stream: true })
  const value = object(text)
  if (!answer.ok) return end(result, "http_error", String(value?.error?.message ?? `status ${answer.status}`))
  const { message, finish_reason } = value?.choices?.[0] ?? {}
  if (!message) return end(result, "protocol_error", `this is no answer: ${text.slice(0, 60)}`)
  result.text = message.content ?? ""
  result.calls = (message.tool_calls ?? []).map(call => ({ id: call.id, ...call.function }))
  result.finishReason = finish_reason
  result.usage = value.usage
  result.tokens.push(performance.now())
  end(result, "complete")
  onPiece(result)
}
