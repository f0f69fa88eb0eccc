// The wire, made visible: what each read of the network brought, line by line, and what the decoder made of it.
//
// In:   the bytes of each read.
// Out:  rows {kind, text}: "read", then for each line a field, a comment or a blank line, a dispatch where one happens, and
//       a mark if the read ended in the middle of an event, or of a character.

import { SSEDecoder } from "./decoder.mjs"

const LINE_ENDS = { "\r": "\\r", "\n": "\\n" }
const KNOWN = ["data", "event", "id", "retry"]
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

export class Wire {
  #decoder = new SSEDecoder()
  #open = null // the kind of the line that the last read left open

  // The rows of one read. `plain`: no event stream but a body of another kind.
  read(bytes, plain = false) {
    if (plain) return [{ kind: "plain", text: visible(bytes) }]
    const rows = []
    for (const line of linesOf(bytes)) {
      const ended = line.at(-1) === 10 || line.at(-1) === 13
      const text = visible(line)
      const kind = this.#open ?? kindOf(text)
      rows.push({ kind, text: (this.#open ? "…" : "") + text + (ended ? "" : "…") })
      this.#open = ended ? null : kind
      for (const event of this.#decoder.feed(line))
        rows.push(
          event.data === "[DONE]"
            ? { kind: "done", text: "[DONE]: the end mark, an event like any other to the decoder" }
            : { kind: "dispatch", text: `dispatch: ${event.event}, ${event.data.length} characters of data${event.id && `, last event ID ${event.id}`}` },
        )
    }
    if (openCharacter(bytes)) rows.push({ kind: "cut", text: "the read ended inside a character" })
    else if (this.#decoder.pending) rows.push({ kind: "cut", text: "the read ended inside an event" })
    return rows
  }
}

// Lines with their ends: LF, CR or CRLF.
function linesOf(bytes) {
  const lines = []
  let begin = 0
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] === 13 && bytes[i + 1] === 10) i++
    else if (bytes[i] !== 10 && bytes[i] !== 13) continue
    lines.push(bytes.subarray(begin, i + 1))
    begin = i + 1
  }
  if (begin < bytes.length) lines.push(bytes.subarray(begin))
  return lines
}

function kindOf(text) {
  if (/^(\\[rn])+$/.test(text)) return "blank"
  if (text.startsWith(":")) return "comment"
  const name = /^[^:\\]*/.exec(text)[0]
  return KNOWN.includes(name) ? name : KNOWN.some(known => known.startsWith(name)) ? "data" : "unknown"
}

// Bytes as text: control characters as escapes, and bytes that are no whole character as \xNN.
export function visible(bytes) {
  let text = ""
  for (let i = 0; i < bytes.length; ) {
    const size = characterSize(bytes[i])
    try {
      text += strict.decode(bytes.subarray(i, i + size))
      i += size
    } catch {
      text += hex(bytes[i++])
    }
  }
  return text.replace(/[\0-\x1f\x7f-\x9f]/g, control => LINE_ENDS[control] ?? hex(control.charCodeAt()))
}

const hex = byte => "\\x" + byte.toString(16).padStart(2, "0")

// How many bytes a character has, by its first.
const characterSize = byte => (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1)

// Whether the bytes end with the beginning of a character.
function openCharacter(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes.at(-back)
    if (byte >= 0xc0) return characterSize(byte) > back
    if (byte < 0x80) return false
  }
  return false
}
