// eventsource 3, 4, 5 (argument: eventsource-3, eventsource-4, eventsource): the whole EventSource, on a fetch that plays the chunks.
// The reconnection time is the delay it gives to setTimeout; the last event ID is the header of its second request.
import { serve, version } from "./adapter.mjs"
import { responseOf, realTimeout } from "./lib.mjs"
import { readFileSync } from "node:fs"
const name = process.argv[2]
const { EventSource } = await import(name)
const v = JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url))).version
// what would be on the wire, read as UTF-8 where it is bytes
const text = value => /^[\0-\xff]*$/.test(value) ? Buffer.from(value, "latin1").toString() : value
let delay = null
globalThis.setTimeout = (f, ms, ...more) => { delay = ms; return realTimeout(f, 0, ...more) }
serve({ name: "eventsource", version: v, features: ["event", "id", "retry", "last_event_id"] }, chunks => new Promise(finish => {
  const keep = setInterval(() => {}, 1000) // its own timers do not keep Node alive
  const done = value => { clearInterval(keep); finish(value) }
  const at = {}, events = []
  let requests = 0
  const es = new EventSource("http://127.0.0.1/x", {
    fetch: async (url, init) => {
      if (requests++) {
        es.close()
        done({ events, retry: delay, last_event_id: text(init.headers["Last-Event-ID"] ?? "") })
        return new Response(null, { status: 204 })
      }
      const { body, headers } = responseOf(chunks, at)
      return { body, status: 200, redirected: false, url: String(url), headers }
    },
  })
  es.dispatchEvent = e => {
    if (e.data !== undefined) events.push({ event: e.type, data: e.data, id: e.lastEventId, chunk: at.chunk })
    return true
  }
  realTimeout(() => es.close(), 30000).unref()
}))
