// The wire, made visible: what each read of the network brought, line by line, and what the decoder made of it.
//
// In:   the bytes of each read.
// Out:  rows {kind, text, event}: for each line a field, a comment or a blank line, a dispatch where one happens, and a mark
//       if the read ended in the middle of an event, or of a character. `event` is the number of the event that a row belongs
//       to; a dispatch has what was `dispatched`, and with `states` each row has the `state` of the decoder after it.

import { characterSize, hex } from "./bytes.mjs"
import { SSEDecoder } from "./decoder.mjs"

const LF = 10, CR = 13
const FIELDS = ["data", "event", "id", "retry"]
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const loose = new TextDecoder("utf-8")

export class Wire {
  #decoder = new SSEDecoder()
  #line = [] // the first bytes of the line that is open, to tell its kind by
  #afterCR = false
  #tail = [] // the last three bytes, which may be the beginning of a character
  #event = 0 // the number of the event that is open
  #states

  constructor({ states = false } = {}) {
    this.#states = states
  }

  // The rows of one read. `plain`: no event stream but a body of another kind.
  read(bytes, plain = false) {
    if (plain) return [{ kind: "plain", text: visible(bytes) }]
    const rows = []
    const state = () => (this.#states ? { state: this.#decoder.state } : {})
    const add = row => rows.push({ event: this.#event, ...state(), ...row })
    for (const piece of piecesOf(bytes)) {
      const ended = piece.at(-1) === LF || piece.at(-1) === CR
      if (this.#afterCR && piece[0] === LF) {
        this.#decoder.feed(piece)
        add({ kind: "half", text: "…\\n" })
      } else {
        const continued = this.#line.length > 0
        this.#line.push(...piece.subarray(0, Math.max(0, 16 - this.#line.length)))
        const kind = kindOf(this.#line, ended)
        const before = state() // a blank line is seen with the buffers that it dispatches
        const dispatched = this.#decoder.feed(piece)
        add({ kind, text: (continued ? "…" : "") + visible(piece) + (ended ? "" : "…"), ...(dispatched.length && before) })
        if (ended) this.#line = []
        for (const event of dispatched) {
          add({ ...dispatchOf(event), dispatched: event })
          this.#event++
        }
      }
      this.#afterCR = piece.at(-1) === CR
    }
    this.#tail = [...this.#tail, ...bytes.subarray(-3)].slice(-3)
    if (openCharacter(this.#tail)) add({ kind: "cut", text: "the read ended inside a character" })
    else if (this.#decoder.pending) add({ kind: "cut", text: "the read ended inside an event" })
    return rows
  }
}

function dispatchOf({ event, data, id }) {
  if (data === "[DONE]") return { kind: "done", text: "[DONE]: an event like any other to the decoder" }
  return { kind: "dispatch", text: `dispatch: ${event}, ${data.length} characters of data${id && `, last event ID ${id}`}` }
}

// Lines with their ends, LF, CR or CRLF; the last may be open.
function piecesOf(bytes) {
  const pieces = []
  let begin = 0
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] === CR && bytes[i + 1] === LF) i++
    else if (bytes[i] !== LF && bytes[i] !== CR) continue
    pieces.push(bytes.subarray(begin, i + 1))
    begin = i + 1
  }
  if (begin < bytes.length) pieces.push(bytes.subarray(begin))
  return pieces
}

// What a line is, by its first bytes. While its name is not whole, it is taken for the field that begins so.
function kindOf(first, ended) {
  const line = loose.decode(Uint8Array.from(first)) // a byte order mark goes
  if (/^[\r\n]/.test(line)) return "blank"
  if (line.startsWith(":")) return "comment"
  const name = /^[^:\r\n]*/.exec(line)[0]
  const whole = ended || line.includes(":")
  return FIELDS.find(field => (whole ? field === name : field.startsWith(name))) ?? "unknown"
}

// Bytes as text: what cannot be seen, and bytes that are no whole character, as escapes.
export function visible(bytes) {
  let text = ""
  try {
    text = strict.decode(bytes)
  } catch {
    for (let i = 0; i < bytes.length; ) {
      const size = characterSize(bytes[i])
      try {
        text += strict.decode(bytes.subarray(i, i + size))
        i += size
      } catch {
        text += hex(bytes[i++])
      }
    }
  }
  return text.replace(/(?! )[\p{C}\p{Z}]/gu, escape)
}

// Controls, marks of direction, spaces of no width.
function escape(character) {
  const code = character.codePointAt()
  return { "\r": "\\r", "\n": "\\n" }[character] ?? (code < 0x80 ? hex(code) : `\\u{${code.toString(16)}}`)
}

// Whether the bytes end with the beginning of a character.
function openCharacter(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes.at(-back)
    if (byte >= 0xc0) return characterSize(byte) > back
    if (byte < 0x80) return false
  }
  return false
}
