// One answer of a chat API, streamed or whole, read with fetch.
//
// In:   a URL and the JSON body of a request; the dialect of both; what to call for each read and for each piece.
// Out:  one result, whose outcome is one of those of the client: complete, truncated, api_error, protocol_error, http_error,
//       timeout, cancelled. Whatever had come is kept.

import { SSEDecoder } from "./decoder.mjs"
import { DIALECTS, Problem, object } from "./dialects.mjs"

// `send` stands in for fetch; `signal` cancels; `idle` is how many milliseconds of silence mean that the stream is dead. `onRead(bytes, plain)` is told
// of every read, `onHead(response)` of the answer's beginning, `onPiece(result)` of every change.
export async function ask(url, body, { dialect = DIALECTS.openai, headers = {}, send = fetch, signal, idle = 60_000, onHead = () => {}, onRead = () => {}, onPiece = () => {} } = {}) {
  const result = { outcome: "", problem: "", status: 0, requestId: "", retryAfter: "", text: "", reasoning: "", calls: [], open: {}, last: false, finishReason: null, usage: null, tokens: [] }
  const silence = new AbortController()
  const stop = AbortSignal.any([silence.signal, ...(signal ? [signal] : [])])
  let timer
  const wait = () => {
    clearTimeout(timer)
    timer = setTimeout(() => silence.abort(), idle)
  }
  try {
    wait()
    const answer = await send(url, {
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
    await read(answer, dialect, result, bytes => { wait(); onRead(bytes, !streamed) }, onPiece)
  } catch (error) {
    if (signal?.aborted) result.outcome = "cancelled"
    else if (silence.signal.aborted) end(result, "timeout", `nothing came for ${idle / 1000} s`)
    else if (!result.status) end(result, "http_error", "the server does not answer, or the request cannot be sent")
    else if (error instanceof Problem) end(result, error.outcome, error.message)
    else if (error instanceof Broken) end(result, "truncated", "the connection broke in the middle of the answer")
    else throw error // a fault of the caller
  } finally {
    clearTimeout(timer)
  }
  return result
}

// The last record of the server's journal for which `wanted` holds, once it is closed; null if there is none.
export async function journalRecord(wanted, headers = {}) {
  for (let attempt = 0; attempt < 20; attempt++) {
    const answer = await fetch("/journal", { headers })
    if (!answer.ok) return null
    const record = (await answer.json()).findLast(wanted)
    if (record && record.outcome !== "open") return record
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  return null
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
    // After the last event the end of the body is a moment away: leaving before it would look as if the user had left.
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

async function readStream(answer, dialect, result, onRead, onPiece) {
  const decoder = new SSEDecoder()
  for await (const bytes of reads(answer, onRead)) {
    for (const event of decoder.feed(bytes)) {
      dialect.take(event, result)
      if (result.last) return finish(dialect, result)
      onPiece(result)
    }
  }
  finish(dialect, result, decoder.pending)
}

// The end of the body, or the last event: was that the whole answer?
function finish(dialect, result, pending = false) {
  if (result.finishReason && (result.last || !dialect.provesEnd)) end(result, "complete")
  else if (result.finishReason) end(result, "truncated", "the stream ended before its last event")
  else end(result, "truncated", `the stream ended ${pending ? "inside an event" : "before a finish reason"}`)
}

async function readWhole(answer, dialect, result, onRead, onPiece) {
  const decoder = new TextDecoder()
  let text = ""
  for await (const bytes of reads(answer, onRead)) text += decoder.decode(bytes, { stream: true })
  const value = object(text)
  if (!answer.ok) return end(result, "http_error", String(value?.error?.message ?? `status ${answer.status}`))
  if (!value || !dialect.whole(value, result)) return end(result, "protocol_error", `this is no answer: ${text.slice(0, 60)}`)
  result.tokens.push(performance.now())
  end(result, "complete")
  onPiece(result)
}
