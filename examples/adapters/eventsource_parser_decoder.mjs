// eventsource-parser as a decoder under test. It is fed with text, so a TextDecoder stands before it.
import { createParser } from "eventsource-parser"
import { serve, version } from "./adapter.mjs"

serve({ name: "eventsource-parser", version: version("eventsource-parser"), features: ["event", "retry"] }, chunks => {
  const events = [], text = new TextDecoder()
  let retry = null, chunk = 0
  const parser = createParser({ onEvent: e => events.push({ event: e.event, data: e.data, chunk }), onRetry: ms => (retry = ms) })
  for (; chunk < chunks.length; chunk++) parser.feed(text.decode(chunks[chunk], { stream: true }))
  return { events, retry }
})
