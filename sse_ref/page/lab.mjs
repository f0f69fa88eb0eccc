// The lab: a stream that is typed, cut by hand, and read by the tutorials' decoder and by the right one, byte by byte.
//
// It needs no server. The stream and its cuts stand in the address: #text=…&cuts=3,7, or #hex=… as the judge writes it.

import { bytesOf, cellsOf, textOf } from "./bytes.mjs"
import { SSEDecoder } from "./decoder.mjs"
import { $, element } from "./dom.mjs"
import { MISTAKES, mistakesIn, naively, rightly } from "./naive.mjs"
import { drawState } from "./state.mjs"

const MOST = 4000 // bytes that are drawn one by one
const EXPLAINABLE = 2000 // bytes for which the mistakes are looked for
const PACE = 120 // milliseconds for a byte

// Six famous breakages: a stream, and where it is cut.
const FAMOUS = [
  ["a read ends inside an event", "data: Hello\n\n", [9]],
  ["a read ends inside a character", "data: 🦊\n\n", [8]],
  ["lines end with CRLF", "data: one\\r\n\\r\ndata: two\\r\n\\r\n", []],
  ["no space after the colon", "data:one\n\ndata: two\n\n", []],
  ["data in several lines", "data: roses\ndata: are red\n\n", []],
  ["a comment keeps the connection alive", ": ping\ndata: one\n\n", []],
]

let bytes = new Uint8Array(), cuts = new Set(), caret = 0, position = 0, timer = null

// The reads: the bytes between the cuts, up to a place. A read that is not whole has not come.
function reads(end = bytes.length) {
  const edges = [0, ...[...cuts].sort((a, b) => a - b), bytes.length]
  return edges.slice(1).map((edge, at) => [edges[at], edge]).filter(([begin, edge]) => begin < edge && edge <= end).map(([begin, edge]) => bytes.subarray(begin, edge))
}

// ---- Drawing ----

function drawCells() {
  const cells = cellsOf(bytes.subarray(0, MOST))
  $("cells").replaceChildren(...cells.map((cell, at) => {
    const made = element("span", { className: `cell ${cell.kind}`, title: `byte ${at}${cell.title ? `, ${cell.title}` : ""}` }, cell.text)
    made.dataset.at = at
    return made
  }), ...(bytes.length > MOST ? [`… ${bytes.length - MOST} more bytes`] : []))
  drawPlaces()
}

function drawPlaces() {
  for (const cell of $("cells").querySelectorAll(".cell")) {
    const at = Number(cell.dataset.at)
    cell.classList.toggle("cut-before", cuts.has(at))
    cell.classList.toggle("caret-before", caret === at)
    cell.classList.toggle("taken", at < position)
  }
  const what = caret === 0 || caret >= bytes.length ? "the edge of the stream" : cuts.has(caret) ? "a cut: space takes it away" : "no cut: space puts one"
  $("caret").textContent = `The caret stands before byte ${caret} of ${bytes.length}: ${what}. Reads: ${reads().map(read => read.length).join(", ") || "none"}.`
}

function draw() {
  drawPlaces()
  $("place").max = bytes.length
  $("place").value = position
  const decoder = new SSEDecoder()
  decoder.feed(bytes.subarray(0, position))
  drawState($("state"), decoder.state)
  const seen = reads(position)
  const [naive, right] = [naively(seen), rightly([...seen, bytes.subarray(seen.reduce((sum, read) => sum + read.length, 0), position)])]
  const parting = right.findIndex((event, at) => event.data !== naive[at]?.data)
  for (const [box, events] of [[$("naive"), naive], [$("right"), right]])
    box.replaceChildren(...events.map((event, at) => element("li", { className: event.data === (box.id === "naive" ? right : naive)[at]?.data ? "" : "differs" }, ...(event.event && event.event !== "message" ? [element("b", {}, `${event.event}: `)] : []), JSON.stringify(event.data))))
  drawVerdict(parting, naive, right)
}

function drawVerdict(parting, naive, right) {
  const whole = position === bytes.length
  const [all, wanted] = [naively(reads()), rightly(reads())]
  const agree = all.length === wanted.length && all.every((event, at) => event.data === wanted[at].data)
  const box = $("verdict")
  box.className = agree ? "note" : "note error"
  if (!bytes.length) return void box.replaceChildren("Nothing is typed: begin with one of the six, or write \"data: Hello\" and two line ends.")
  if (agree) return void box.replaceChildren("Both read this stream the same way, cut as it is.")
  const first = wanted.findIndex((event, at) => event.data !== all[at]?.data)
  const at = first < 0 ? wanted.length : first
  const say = list => (list[at] ? JSON.stringify(list[at].data) : "no such event")
  const causes = bytes.length <= EXPLAINABLE ? mistakesIn(reads()) : null
  const parts = [element("b", {}, `They part at event ${at + 1}`), `: the tutorials' decoder has ${say(all)}, the right one ${say(wanted)}. `]
  for (const cause of causes ?? []) parts.push(`${MISTAKES[cause].says} Vector: `, element("code", {}, MISTAKES[cause].vector), ". ")
  if (!causes) parts.push("It makes several mistakes at once here.")
  if (!whole) parts.push(parting < 0 && naive.length === right.length ? "So far they agree." : "Here it has happened.")
  box.replaceChildren(...parts)
}

// ---- What is typed and cut ----

function take(newBytes, newCuts) {
  bytes = newBytes
  cuts = new Set([...newCuts].filter(cut => cut > 0 && cut < bytes.length))
  caret = Math.min(caret, bytes.length)
  position = bytes.length
  drawCells()
  draw()
}

function keep() {
  const parts = [`text=${encodeURIComponent($("source").value)}`]
  if (cuts.size) parts.push(`cuts=${[...cuts].sort((a, b) => a - b).join(",")}`)
  history.replaceState(null, "", `#${parts.join("&")}`)
}

function toggle(at) {
  if (at <= 0 || at >= bytes.length) return
  if (!cuts.delete(at)) cuts.add(at)
  keep()
  draw()
}

$("famous").append(...FAMOUS.map(([title], number) => new Option(title, number)))

function load() {
  const asked = new URLSearchParams(location.hash.slice(1))
  const hex = asked.get("hex")
  const [, text, famousCuts] = FAMOUS[Number(asked.get("famous")) || 0]
  const given = hex === null ? bytesOf(asked.get("text") ?? text) : Uint8Array.from(hex.match(/[0-9a-fA-F]{2}/g) ?? [], pair => parseInt(pair, 16))
  $("source").value = textOf(given)
  $("famous").value = asked.get("famous") ?? "0"
  take(given, asked.has("text") || hex !== null ? (asked.get("cuts") ?? "").split(",").map(Number) : famousCuts)
}

$("famous").addEventListener("change", () => {
  const [, text, at] = FAMOUS[Number($("famous").value)]
  $("source").value = textOf(bytesOf(text))
  take(bytesOf(text), at)
  keep()
})
$("source").addEventListener("input", () => {
  const typed = bytesOf($("source").value)
  take(typed, moved(bytes, typed))
  keep()
})

// The cuts stay where they were in what was not changed; those inside of what was go.
function moved(before, after) {
  const least = Math.min(before.length, after.length)
  let start = 0, end = 0
  while (start < least && before[start] === after[start]) start++
  while (end < least - start && before.at(-1 - end) === after.at(-1 - end)) end++
  const kept = [...cuts].filter(cut => cut <= start || cut >= before.length - end)
  return kept.map(cut => (cut <= start ? cut : cut + after.length - before.length))
}

// A text box knows one kind of line end: a CR that is pasted becomes an escape, so that it is not lost.
$("source").addEventListener("paste", event => {
  const text = event.clipboardData.getData("text/plain")
  if (!text.includes("\r")) return
  event.preventDefault()
  insert(textOf(new TextEncoder().encode(text)))
})

function insert(text) {
  const box = $("source")
  box.setRangeText(text === "\\n" ? "\n" : text.replace("\\n", "\n"), box.selectionStart, box.selectionEnd, "end")
  box.dispatchEvent(new Event("input"))
  box.focus()
}

for (const button of document.querySelectorAll("[data-insert]")) button.addEventListener("click", () => insert(button.dataset.insert))
$("bytewise").addEventListener("click", () => {
  cuts = new Set(Array.from({ length: Math.max(bytes.length - 1, 0) }, (_, at) => at + 1))
  keep()
  draw()
})
$("no-cuts").addEventListener("click", () => {
  cuts.clear()
  keep()
  draw()
})
$("cells").addEventListener("click", event => {
  const cell = event.target.closest(".cell")
  if (!cell) return
  const { left, width } = cell.getBoundingClientRect()
  caret = Number(cell.dataset.at) + (event.clientX > left + width / 2 ? 1 : 0)
  toggle(caret)
  draw()
})
$("cells").addEventListener("keydown", event => {
  const to = { ArrowLeft: caret - 1, ArrowRight: caret + 1, Home: 0, End: bytes.length }[event.key]
  if (to === undefined && event.key !== " " && event.key !== "Enter") return
  event.preventDefault()
  if (to === undefined) toggle(caret)
  else caret = Math.min(Math.max(to, 0), bytes.length)
  draw()
})

// ---- Time ----

function play(on) {
  clearInterval(timer)
  timer = null
  $("play").textContent = on ? "Pause" : "Play"
  if (!on) return
  if (position === bytes.length) position = 0
  timer = setInterval(() => {
    if (position < bytes.length) position++
    else play(false)
    draw()
  }, PACE)
}

function move(to) {
  play(false)
  position = Math.min(Math.max(to, 0), bytes.length)
  draw()
}

for (const form of document.forms) form.addEventListener("submit", event => event.preventDefault())
$("play").addEventListener("click", () => play(!timer))
$("back").addEventListener("click", () => move(position - 1))
$("on").addEventListener("click", () => move(position + 1))
$("place").addEventListener("input", () => move(Number($("place").value)))
addEventListener("hashchange", load)
load()
