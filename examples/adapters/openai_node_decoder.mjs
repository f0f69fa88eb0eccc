// The decoder inside openai-node as a decoder under test. It tells neither ids nor reconnection times.
import { _iterSSEMessages } from "openai/core/streaming"
import { serve, version } from "./adapter.mjs"

serve({ name: "openai-node", version: version("openai"), features: ["event"] }, async chunks => {
  const body = new ReadableStream({ start(c) { chunks.forEach(x => c.enqueue(x)); c.close() } })
  const events = []
  for await (const { event, data } of _iterSSEMessages(new Response(body), new AbortController())) events.push({ event, data })
  return { events, retry: null }
})
