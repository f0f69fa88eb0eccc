// eventsource 1 and 2, launchdarkly-eventsource (argument: eventsource-1, eventsource-2, launchdarkly-eventsource): the whole EventSource over
// a real connection. The reconnection time is its public member; it is closed
// before it reconnects, as it would crash there after an id that is not Latin-1.
import { serve } from "./adapter.mjs"
import { serverOf } from "./lib.mjs"
import { createRequire } from "node:module"
import { readFileSync } from "node:fs"
const name = process.argv[2]
const loaded = createRequire(import.meta.url)(name)
const EventSource = loaded.EventSource ?? loaded
const v = JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url))).version
const server = await serverOf()
serve({ name: name.replace(/-\d$/, ""), version: v, features: ["event", "id", "retry"] }, chunks => new Promise(done => {
  const events = []
  const { url, forget } = server.play(chunks, () => {})
  const es = new EventSource(url)
  es.listeners = () => [1]
  es.emit = (type, e) => { 
    if (e && e.data !== undefined) events.push({ event: e.type, data: e.data, id: e.lastEventId })
    else if (["error", "closed", "retrying", "end"].includes(type)) { es.close(); forget(); done({ events, retry: es.reconnectInterval ?? null }) }
  }
}))
