// The decoder that most tutorials show, and its mistakes, each of which can be mended alone.
//
// In:   the reads of a stream; the names of the mistakes that are mended.
// Out:  the data of its events. With no mistake mended it is what is taught: split each read at blank lines, and take what
//       follows "data: ". `mistakesIn` finds the fewest mistakes that explain a difference.

import { SSEDecoder } from "./decoder.mjs"

// Each mistake in a sentence, and a vector of the corpus that shows it.
export const MISTAKES = {
  reads: { says: "It takes the end of a read for the end of an event.", vector: "chunks/inside-value" },
  characters: { says: "It makes text of each read by itself, also where the read ends inside a character.", vector: "chunks/4-byte-utf8" },
  mark: { says: "It treats byte order marks otherwise: only the first of the stream goes.", vector: "bom/at-data-start-second-event-kept" },
  ends: { says: "It knows LF only, and CRLF and CR end lines, too.", vector: "eol/crlf" },
  lines: { says: "It looks at a block, not at its lines: other fields, comments and further lines of data get in its way.", vector: "framing/multi-line-data" },
  space: { says: "It wants a space after the colon.", vector: "field/no-space-after-colon" },
  trims: { says: "It trims what it should keep.", vector: "field/trailing-spaces-kept" },
}

class Naive {
  #mended
  #utf8
  #text = ""
  #begun = false

  constructor(mended) {
    this.#mended = new Set(mended)
    this.#utf8 = new TextDecoder("utf-8", { ignoreBOM: this.#mended.has("mark") })
  }

  feed(chunk) {
    let text = this.#decoded(chunk)
    const keeps = this.#mended.has("reads")
    if (keeps) text = this.#text + text
    let held = ""
    if (this.#mended.has("ends")) {
      if (keeps && text.endsWith("\r")) [text, held] = [text.slice(0, -1), "\r"]
      text = text.replace(/\r\n?/g, "\n")
    }
    const blocks = text.split(/(?<=^|\n)\n/)
    if (keeps) this.#text = blocks.pop() + held
    return blocks.map(block => this.#event(block)).filter(data => data !== undefined)
  }

  // What is left when the stream ends: a CR that was held ends its line after all.
  end() {
    return this.#text.endsWith("\r") ? this.feed(Uint8Array.of(10)) : []
  }

  #decoded(chunk) {
    const text = this.#utf8.decode(chunk, { stream: this.#mended.has("characters") })
    const first = !this.#begun && text
    if (first) this.#begun = true
    return this.#mended.has("mark") && first ? text.replace(/^\ufeff/, "") : text
  }

  #event(block) {
    const name = this.#mended.has("space") ? /^data(?::[ ]?|$)/ : /^data: /
    const kept = text => (this.#mended.has("trims") ? text : text.trim())
    if (!this.#mended.has("lines")) return name.test(block) ? kept(block.replace(name, "").replace(/\n$/, "")) : undefined
    const values = block.split("\n").filter(line => name.test(line)).map(line => line.replace(name, ""))
    return values.length ? kept(values.join("\n")) : undefined
  }
}

// The data of the events that the tutorials' decoder finds, with the number of the read that brought each.
export function naively(reads, mended = []) {
  const decoder = new Naive(mended)
  return [...reads, null].flatMap((read, number) => (read ? decoder.feed(read) : decoder.end()).map(data => ({ data, read: Math.min(number, reads.length - 1) })))
}

export function rightly(reads) {
  const decoder = new SSEDecoder()
  return reads.flatMap((read, number) => decoder.feed(read).map(event => ({ ...event, read: number })))
}

const same = (one, other) => one.length === other.length && one.every((event, at) => event.data === other[at].data)

// The fewest mistakes that must be mended for the tutorials' decoder to be right about these reads; null if all are not enough.
export function mistakesIn(reads) {
  const names = Object.keys(MISTAKES)
  const wanted = rightly(reads)
  const sets = Array.from({ length: 2 ** names.length }, (_, bits) => names.filter((_, at) => bits & (1 << at)))
  return sets.sort((one, other) => one.length - other.length).find(mended => same(naively(reads, mended), wanted)) ?? null
}
