// What has come, row by row, and where in it the reader stands.
//
// In:   the reads of a stream, each with the milliseconds since its beginning.
// Out:  rows as wire.mjs makes them, each with its `read`, the `at` of that read, and `due`: when it is shown at the usual
//       speed. `position` is the number of rows that are shown; it moves by rows, reads, events and time.
//
// A row is due when it has come, and not before the row above it has been seen for a moment. So nothing is shown before it
// was there, and what came at once can still be read.

import { Wire } from "./wire.mjs"

export class Timeline {
  rows = []
  position = 0
  ended = false
  #wire = new Wire({ states: true })
  #pace
  #reads = 0
  #events = 0 // of connections before this one
  #eventsHere = 0

  // `pace`: milliseconds for which a row is seen before the next.
  constructor(pace) {
    this.#pace = pace
  }

  head(text, at) {
    this.#add({ kind: "head", text, read: this.#reads, event: this.#events }, at)
  }

  // A stream may go on in another connection: a decoder begins anew.
  connect(text, at) {
    this.#events += this.#eventsHere
    this.#eventsHere = 0
    this.#wire = new Wire({ states: true })
    this.head(text, at)
  }

  read(bytes, at, plain = false) {
    const read = ++this.#reads
    const size = bytes.length === 1 ? "1 byte" : `${bytes.length} bytes`
    this.#add({ kind: "read", text: `read ${read}: ${size}`, read, event: this.#events + this.#eventsHere }, at)
    for (const row of this.#wire.read(bytes, plain)) {
      if (row.dispatched) this.#eventsHere++
      this.#add({ ...row, event: this.#events + (row.event ?? 0), read }, at)
    }
  }

  end(text, at) {
    this.#add({ kind: "head", text, read: this.#reads, event: -1 }, at)
    this.ended = true
  }

  #add(row, at) {
    const last = this.rows.at(-1)
    row.state ??= last?.state
    this.rows.push({ ...row, at, due: Math.max(at, last ? last.due + this.#pace : 0) })
  }

  // When the last row that is shown was due.
  get now() {
    return this.rows[this.position - 1]?.due ?? 0
  }

  // Shows all rows that are due at a time; returns whether any came.
  show(time) {
    const before = this.position
    while (this.position < this.rows.length && this.rows[this.position].due <= time) this.position++
    return this.position > before
  }

  // Goes to the next end of a read or of an event, or back to the one before. `ends` says which rows are the last of one.
  step(ends, direction) {
    let at = this.position
    do at += direction
    while (at > 0 && at < this.rows.length && !ends(this.rows[at - 1], this.rows[at]))
    this.position = Math.min(Math.max(at, 0), this.rows.length)
  }

  // The state of the decoder after the last row that is shown.
  get state() {
    return this.rows[this.position - 1]?.state
  }
}

export const endOfRead = (row, next) => row.read > 0 && next.read !== row.read
export const endOfEvent = row => Boolean(row.dispatched)
