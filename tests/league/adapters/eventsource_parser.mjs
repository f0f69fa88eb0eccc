// eventsource-parser 1, 2, 3 (argument: eventsource-parser-1, eventsource-parser-2, eventsource-parser). Fed with text, so a TextDecoder stands before it.
import { serve } from "./adapter.mjs"
import { readFileSync } from "node:fs"
const name = process.argv[2]
const { createParser } = await import(name)
const v = JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url))).version
const old = v < "3"
serve({ name: "eventsource-parser", version: v, features: ["event", "retry"] }, chunks => {
  const events = [], text = new TextDecoder()
  let retry = null, chunk = 0
  const onEvent = e => events.push({ event: e.event, data: e.data, chunk })
  const parser = createParser(old ? e => (e.type === "event" ? onEvent(e) : e.type === "reconnect-interval" ? (retry = e.value) : 0) : { onEvent, onRetry: ms => (retry = ms) })
  for (; chunk < chunks.length; chunk++) parser.feed(text.decode(chunks[chunk], { stream: true }))
  return { events, retry }
})
