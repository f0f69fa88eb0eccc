// Each kind of row on the wire, in a sentence, with its clause of the HTML standard.

export const SHAPES = { head: "", header: "", read: "↓", data: "■", event: "◆", id: "◆", retry: "◆", comment: "●", unknown: "○", blank: "⏎", half: "⏎", dispatch: "▶", done: "★", cut: "✂", plain: "" }

export const EXPLAINED = {
  head: "Not part of the stream: a request, the head of a response, or its end.",
  header: "A header of the response: it comes once, before the stream.",
  read: "What the network handed over at once. It ends where it happens to end; the standard knows no reads (9.2.6).",
  data: "The value and a line feed go to the data buffer (9.2.6, field \"data\").",
  event: "The value becomes the event type buffer (9.2.6, field \"event\").",
  id: "The value becomes the last event ID buffer, unless it holds NUL (9.2.6, field \"id\").",
  retry: "If the value is digits alone, it becomes the reconnection time in milliseconds (9.2.6, field \"retry\").",
  comment: "A line that begins with a colon is ignored; it keeps a quiet connection alive (9.2.6, 9.2.7).",
  unknown: "A field of another name is ignored (9.2.6).",
  blank: "An empty line dispatches the event: nothing before it is one (9.2.6).",
  half: "The LF of a CRLF whose CR came in the read before: one line end, not two (9.2.5).",
  dispatch: "The event: the data buffer without its last line feed, the type, the last event ID. Then data and type are emptied (9.2.6, dispatch).",
  done: "To the decoder an event like any other; by agreement it ends a chat completion (OpenAI's API reference).",
  cut: "The read ended here; the decoder keeps what is open and waits (9.2.6: the stream is read, not the reads).",
  plain: "A body of another type: no event stream, so it is not decoded.",
}

// The decoder's state, in the standard's words.
export const STATES = [
  ["line", "open line"],
  ["data", "data buffer"],
  ["eventType", "event type buffer"],
  ["idBuffer", "last event ID buffer"],
  ["lastEventId", "last event ID"],
  ["reconnectionTime", "reconnection time"],
]
