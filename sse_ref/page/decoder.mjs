// Bytes to events, in JavaScript: the sibling of codec.py, and judged by the same vectors.
//
// In:   the bytes of an event stream, cut anywhere.
// Out:  {data, event, id} for each event, as soon as its blank line has ended.
//
// Follows the WHATWG HTML standard, section 9.2.6 (https://html.spec.whatwg.org/multipage/server-sent-events.html). Why each
// step is as it is stands in codec.py. This file can be copied alone.

const LF = 10, CR = 13
const BOM = [0xef, 0xbb, 0xbf]

// Invalid UTF-8 becomes U+FFFD. Only the first byte order mark of the stream goes, so the decoder must keep all others.
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })

export class SSEDecoder {
  lastEventId = ""
  reconnectionTime = null // milliseconds, from the last valid retry line

  #data = [] // data buffer: the values of the data lines
  #eventType = "" // event type buffer
  #id = "" // last event ID buffer
  #line = [] // pieces of the line whose end has not come
  #start = [] // the first bytes of the stream, while they may still be a byte order mark; then null
  #afterCR = false // the last chunk ended in CR: an LF that follows belongs to it

  // True if bytes of an incomplete line or event were seen: a stream that ends now was cut off.
  get pending() {
    return Boolean(this.#line.length || this.#data.length || this.#eventType || this.#start?.length || this.#id !== this.lastEventId)
  }

  // What the decoder remembers, in the standard's words; the open line as bytes.
  get state() {
    const line = concatenate([Uint8Array.from(this.#start ?? []), ...this.#line])
    return { line, data: [...this.#data], eventType: this.#eventType, idBuffer: this.#id, lastEventId: this.lastEventId, reconnectionTime: this.reconnectionTime }
  }

  // Takes the next bytes (a Uint8Array) and returns the events they complete.
  feed(chunk) {
    const events = []
    chunk = this.#settleStart(chunk)
    let begin = 0
    let lf = chunk.indexOf(LF), cr = chunk.indexOf(CR)
    while (lf >= 0 || cr >= 0) {
      const end = cr < 0 || (lf >= 0 && lf < cr) ? lf : cr
      this.#interpret(this.#completed(chunk.subarray(begin, end)), events)
      begin = end + 1
      if (end === cr) {
        this.#afterCR = begin === chunk.length
        if (chunk[begin] === LF) begin++
        cr = chunk.indexOf(CR, begin)
      }
      if (lf >= 0 && lf < begin) lf = chunk.indexOf(LF, begin)
    }
    if (begin < chunk.length) this.#line.push(chunk.slice(begin))
    return events
  }

  // The chunk without first bytes that belong to what came before it.
  #settleStart(chunk) {
    if (this.#afterCR && chunk.length) {
      this.#afterCR = false
      return chunk[0] === LF ? chunk.subarray(1) : chunk
    }
    if (!this.#start) return chunk
    const start = Uint8Array.of(...this.#start, ...chunk.subarray(0, 3))
    const matching = BOM.findIndex((byte, i) => start[i] !== byte) // -1: all three are there
    if (matching === start.length) {
      this.#start = [...start]
      return new Uint8Array()
    }
    const whole = concatenate([Uint8Array.from(this.#start), chunk])
    this.#start = null
    return matching < 0 ? whole.subarray(3) : whole
  }

  #completed(end) {
    if (!this.#line.length) return end
    const line = concatenate([...this.#line, end])
    this.#line = []
    return line
  }

  #interpret(line, events) {
    if (!line.length) return this.#dispatch(events)
    const text = utf8.decode(line)
    const colon = text.indexOf(":")
    const field = colon < 0 ? text : text.slice(0, colon)
    const value = colon < 0 ? "" : text.slice(colon + (text[colon + 1] === " " ? 2 : 1))
    // A comment is a line whose field name is empty, and no such field is known.
    if (field === "data") this.#data.push(value)
    else if (field === "event") this.#eventType = value
    else if (field === "id" && !value.includes("\0")) this.#id = value
    else if (field === "retry" && /^[0-9]+$/.test(value)) this.reconnectionTime = Number(value)
  }

  #dispatch(events) {
    this.lastEventId = this.#id
    if (this.#data.length) events.push({ data: this.#data.join("\n"), event: this.#eventType || "message", id: this.#id })
    this.#data = []
    this.#eventType = ""
  }
}

function concatenate(pieces) {
  const whole = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}
