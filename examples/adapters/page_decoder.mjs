// The decoder of the page that sse_ref serves.
import { SSEDecoder } from "../../sse_ref/page/decoder.mjs"
import { serve } from "./adapter.mjs"

const features = ["event", "id", "retry", "last_event_id"]
await serve({ name: "sse_ref's page", version: "1", features }, chunks => {
  const decoder = new SSEDecoder()
  const events = chunks.flatMap((bytes, chunk) => decoder.feed(bytes).map(event => ({ ...event, chunk })))
  return { events, retry: decoder.reconnectionTime, last_event_id: decoder.lastEventId }
})
