// The decoder of undici's EventSource (that of Node.js) as a decoder under test.
import { createRequire } from "node:module"
import { serve, version } from "./adapter.mjs"
const { EventSourceStream } = createRequire(import.meta.url)("undici/lib/web/eventsource/eventsource-stream.js")

serve({ name: "undici", version: version("undici"), features: ["event", "id", "retry", "last_event_id"] }, async chunks => {
  const settings = { lastEventId: "", reconnectionTime: null, origin: "" }, events = []
  let chunk = 0
  const push = ({ type, options }) => events.push({ event: type, data: options.data, id: options.lastEventId, chunk })
  const stream = new EventSourceStream({ eventSourceSettings: settings, push })
  stream.on("error", () => {}) // it is told to whoever writes, too
  for (; chunk < chunks.length; chunk++)
    await new Promise((done, failed) => stream.write(chunks[chunk], error => (error ? failed(error) : done())))
  return { events, retry: settings.reconnectionTime, last_event_id: settings.lastEventId }
})
