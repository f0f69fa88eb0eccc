// EventSources for Node as event sources under test: node source_node.mjs NAME URL. NAME: eventsource-1 to eventsource-4,
// eventsource (the newest), launchdarkly-eventsource, undici, event-source-polyfill, eventsource-client.
import { createRequire } from "node:module"
const name = process.argv[2], url = process.argv.at(-1), require = createRequire(import.meta.url)
const { SSE_CONFORMANCE_TYPES = "", SSE_CONFORMANCE_CANCEL_AFTER, SSE_CONFORMANCE_CANCEL_IN_S } = process.env
const say = value => process.stdout.write(JSON.stringify(value) + "\n")
const types = new Set(["message", ...SSE_CONFORMANCE_TYPES.split(",").filter(Boolean)])
let events = 0, closing = false

function told(event) {
  say(event)
  if (++events === Number(SSE_CONFORMANCE_CANCEL_AFTER)) close()
}
function close() {
  closing = true
  say({ cancelling: true })
  es.close()
  setTimeout(() => { say({ end: "cancelled" }); process.exit(0) }, 1000)
}
function ended() {
  if (!closing) { say({ end: "complete" }); process.exit(0) }
}

let es
if (name === "eventsource-client") {
  const { createEventSource } = await import(name)
  es = createEventSource({ url, onMessage: e => told({ event: e.event, data: e.data, id: e.id }) })
  setInterval(() => es.readyState === "closed" && ended(), 50)
} else {
  const loaded = /^eventsource-[12]$|^launch|^undici|polyfill$/.test(name) ? require(name) : await import(name)
  const EventSource = loaded.EventSourcePolyfill ?? loaded.EventSource ?? loaded
  es = new EventSource(url)
  // An event of the type "error" has data; what the API itself dispatches under that name has none.
  for (const type of types) es.addEventListener(type, e => e.data !== undefined && told({ event: e.type, data: e.data, id: e.lastEventId }))
  const check = () => es.readyState === 2 && ended()
  es.addEventListener("error", () => setTimeout(check, 0))
  setInterval(check, 100)
}
if (SSE_CONFORMANCE_CANCEL_IN_S) setTimeout(close, 1000 * SSE_CONFORMANCE_CANCEL_IN_S)
