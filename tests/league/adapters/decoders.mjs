// Decoders of JavaScript packages as decoders under test: node decoders.mjs NAME, a name of the table at the end.
// Where a package hides its decoder behind a request, the request is played: by a fetch, or over a real connection.
import { createRequire } from "node:module"
import { readFileSync } from "node:fs"
import { serve } from "./adapter.mjs"
import { responseOf, serverOf, streamOf, realTimeout } from "./lib.mjs"

const name = process.argv[2]
const require = createRequire(import.meta.url)
const ALL = ["event", "id", "retry"]

// What yields events as they come: told() makes of each the event's members and its retry.
function iterated(features, open, told) {
  return [features, async chunks => {
    const at = {}, events = []
    let retry = null
    for await (const e of await open(chunks, at)) {
      const { retry: wait, ...event } = told(e)
      retry = wait ?? retry
      events.push({ ...event, chunk: at.chunk })
    }
    return { events, retry }
  }]
}

async function azure() {
  const { createSseStream } = await import("@azure/core-sse")
  return iterated(ALL, (chunks, at) => createSseStream(streamOf(chunks, at)), e => ({ event: e.event, data: e.data ?? "", id: e.id, retry: e.retry }))
}

async function eventStreamParser() {
  const { default: parser } = await import("event-stream-parser")
  return iterated(["event", "id"], (chunks, at) => parser.parse(streamOf(chunks, at)), e => ({ event: e.type, data: e.data, id: e.lastEventId }))
}

async function fetchEventStream() {
  const { events } = await import("fetch-event-stream")
  const told = e => ({ event: e.event, data: e.data ?? "", id: String(e.id ?? ""), retry: e.retry })
  return iterated(ALL, (chunks, at) => events(responseOf(chunks, at)), told)
}

async function parseSse() {
  const { parseServerSentEvents } = await import("parse-sse")
  const told = e => ({ event: e.type, data: e.data, id: e.lastEventId, retry: e.retry })
  return iterated(ALL, (chunks, at) => parseServerSentEvents(responseOf(chunks, at)), told)
}

// Its parts, put together as its Stream.fromSSEResponse does.
async function sseDecoder() {
  const { LineDecoder, SSEDecoder } = await import("sse-decoder")
  async function* open(chunks, at) {
    const lines = new LineDecoder(), decoder = new SSEDecoder()
    for await (const chunk of streamOf(chunks, at)) yield* lines.decode(chunk).map(line => decoder.decode(line)).filter(Boolean)
    yield* lines.flush().map(line => decoder.decode(line)).filter(Boolean)
  }
  return iterated(["event"], open, e => ({ event: e.event, data: e.data }))
}

// Its three parsing functions, put together as its fetchEventSource does. It calls onmessage for each block.
async function fetchEventSource() {
  const { getBytes, getLines, getMessages } = await import("@microsoft/fetch-event-source/lib/esm/parse.js")
  return [ALL, async chunks => {
    const at = {}, events = []
    let retry = null
    const onMessage = m => events.push({ event: m.event, data: m.data, id: m.id, chunk: at.chunk })
    await getBytes(streamOf(chunks, at), getLines(getMessages(() => {}, ms => (retry = ms), onMessage)))
    return { events, retry }
  }]
}

// It is fed with text, so a TextDecoder stands before it. Its event's id is the block's field, and not told.
async function eventsourceParser() {
  const { createParser } = await import(name)
  return [["event", "retry"], chunks => {
    const events = [], text = new TextDecoder()
    let retry = null, chunk = 0
    const onEvent = e => events.push({ event: e.event, data: e.data, chunk })
    const onParse = e => (e.type === "event" ? onEvent(e) : e.type === "reconnect-interval" && (retry = e.value))
    const newest = { onEvent, onRetry: ms => (retry = ms) }
    const parser = createParser(numberOf(name) < "3" ? onParse : newest)
    for (; chunk < chunks.length; chunk++) parser.feed(text.decode(chunks[chunk], { stream: true }))
    return { events, retry }
  }]
}

async function serverSentStream() {
  const { default: loaded } = await import("@server-sent-stream/parser")
  const Parser = loaded.default ?? loaded
  return [["event", "id"], chunks => {
    const events = [], text = new TextDecoder()
    let chunk = 0
    const parser = new Parser((data, event, id) => events.push({ event, data, id, chunk }))
    for (; chunk < chunks.length; chunk++) parser.push(text.decode(chunks[chunk], { stream: true }))
    parser.end()
    return { events }
  }]
}

// Runs what keeps no timer of its own that would keep Node alive.
const awake = start => new Promise(finish => {
  const keep = setInterval(() => {}, 1000)
  start(value => { clearInterval(keep); finish(value) })
})

// The wait before it reconnects ends the case.
async function eventSourcePlus() {
  const { EventSourcePlus } = await import("event-source-plus")
  return [ALL, chunks => awake(done => {
    const at = {}, events = []
    let retry = null
    globalThis.setTimeout = () => { opened.abort(); done({ events, retry }) }
    const onMessage = e => { retry = e.retry ?? retry; events.push({ event: e.event, data: e.data, id: e.id ?? "", chunk: at.chunk }) }
    const opened = new EventSourcePlus("http://127.0.0.1/x", { fetch: async () => responseOf(chunks, at) }).listen({ onMessage })
  })]
}

async function eventsourceClient() {
  const { createEventSource } = await import("eventsource-client")
  globalThis.setTimeout = (f, ms, ...more) => realTimeout(f, 0, ...more)
  return [["event", "retry"], chunks => awake(done => {
    const at = {}, events = []
    const source = createEventSource({
      url: "http://127.0.0.1/x",
      fetch: async () => responseOf(chunks, at),
      onMessage: e => events.push({ event: e.event, data: e.data, chunk: at.chunk }),
      onScheduleReconnect: ({ delay }) => { source.close(); done({ events, retry: delay, last_event_id: source.lastEventId ?? "" }) },
    })
  })]
}

// The whole EventSource on a fetch that plays the chunks. The reconnection time is the delay it gives to setTimeout; the last
// event ID is the header of its second request, read as UTF-8 where it is bytes.
async function eventsource() {
  const { EventSource } = await import(name)
  const text = value => /^[\0-\xff]*$/.test(value) ? Buffer.from(value, "latin1").toString() : value
  let delay = null
  globalThis.setTimeout = (f, ms, ...more) => { delay = ms; return realTimeout(f, 0, ...more) }
  return [[...ALL, "last_event_id"], chunks => awake(done => {
    const at = {}, events = []
    let requests = 0
    const fetch = async (url, init) => {
      if (requests++) {
        source.close()
        done({ events, retry: delay, last_event_id: text(init.headers["Last-Event-ID"] ?? "") })
        return new Response(null, { status: 204 })
      }
      const { body, headers } = responseOf(chunks, at)
      return { body, status: 200, redirected: false, url: String(url), headers }
    }
    const source = new EventSource("http://127.0.0.1/x", { fetch })
    source.dispatchEvent = e => {
      if (e.data !== undefined) events.push({ event: e.type, data: e.data, id: e.lastEventId, chunk: at.chunk })
      return true
    }
    realTimeout(() => source.close(), 30000).unref()
  })]
}

// The whole EventSource over a real connection. It is closed before it reconnects: there it would end the process after an id
// beyond Latin-1.
async function eventsourceOverHttp() {
  const loaded = require(name), EventSource = loaded.EventSource ?? loaded
  const server = await serverOf()
  return [ALL, chunks => new Promise(done => {
    const events = []
    const { url, forget } = server.play(chunks, () => {})
    const source = new EventSource(url)
    source.listeners = () => [1]
    source.emit = (type, e) => {
      if (e?.data !== undefined) events.push({ event: e.type, data: e.data, id: e.lastEventId })
      else if (["error", "closed", "retrying", "end"].includes(type)) {
        source.close()
        forget()
        done({ events, retry: source.reconnectInterval ?? null })
      }
    }
  })]
}

function numberOf(folder) {
  return JSON.parse(readFileSync(new URL(`../node_modules/${folder}/package.json`, import.meta.url))).version
}

const NAMES = {
  "@azure/core-sse": azure,
  "@microsoft/fetch-event-source": fetchEventSource,
  "@server-sent-stream/parser": serverSentStream,
  "event-source-plus": eventSourcePlus,
  "event-stream-parser": eventStreamParser,
  "eventsource": eventsource,
  "eventsource-1": eventsourceOverHttp,
  "eventsource-2": eventsourceOverHttp,
  "eventsource-3": eventsource,
  "eventsource-4": eventsource,
  "eventsource-client": eventsourceClient,
  "eventsource-parser": eventsourceParser,
  "eventsource-parser-2": eventsourceParser,
  "fetch-event-stream": fetchEventStream,
  "launchdarkly-eventsource": eventsourceOverHttp,
  "parse-sse": parseSse,
  "sse-decoder": sseDecoder,
}
const [features, decode] = await NAMES[name]()
serve({ name: name.replace(/-\d$/, ""), version: numberOf(name), features }, decode)
