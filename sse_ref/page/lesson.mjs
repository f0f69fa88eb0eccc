// The path: a step is chosen by the address, its stream is asked for or given, and shown at the reader's pace.
//
// What comes goes into a timeline at once; what is shown follows later, and only it is drawn. So a pause holds the eye and not
// the stream, and the slider moves over all that has come.

import { ask, journalRecord } from "./chat.mjs"
import { SSEDecoder } from "./decoder.mjs"
import { DIALECTS } from "./dialects.mjs"
import { $, element } from "./dom.mjs"
import { EXPLAINED, SHAPES } from "./explain.mjs"
import { folded } from "./fold.mjs"
import { replaying } from "./replay.mjs"
import { SCENES } from "./scenes.mjs"
import { drawState } from "./state.mjs"
import { STEPS } from "./steps.mjs"
import { endOfEvent, endOfRead, Timeline } from "./timeline.mjs"

const FRAME = 50 // milliseconds between two drawings
const PACE = 350 // milliseconds for which a row is seen before the next, at the usual speed
const ROWS = 300 // of the wire, that are drawn
const WORDS = 400 // of the text, that can be pointed at
const RECORDED = globalThis.RECORDED // the scenes' recordings, on a page without its server
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches

let step, choice, timeline, clock, playing, speed = 1, coming, pointed = null, outcome = ""

// ---- What comes ----

const since = began => performance.now() - began

async function given(step, choice, timeline, signal) {
  const reads = step.given(choice)
  reads.forEach((bytes, number) => timeline.read(bytes, number * PACE))
  if (!signal.aborted) timeline.end("the stream has ended", reads.length * PACE)
}

const recorded = (name, number = 0) => (RECORDED ? replaying(RECORDED[name][number]) : undefined)

async function answered(name, timeline, signal) {
  const { wire, path, body } = SCENES[name]
  const began = performance.now()
  timeline.head(`POST ${path.replace(/^\/[^/]*=[^/]*/, "")}`, 0)
  const result = await ask(path, body, {
    dialect: DIALECTS[wire], signal, idle: 6000, send: recorded(name) ?? fetch,
    onHead: response => timeline.head(`HTTP ${response.status}, ${response.headers.get("Content-Type")}`, since(began)),
    onRead: (bytes, plain) => timeline.read(bytes, since(began), plain),
  })
  timeline.end(`${result.outcome}${result.problem ? `: ${result.problem}` : ""}`, since(began))
  return result
}

// An event source: it asks again with the last event ID until the stream says that it is done.
async function followed(name, timeline, signal) {
  const began = performance.now()
  const { path } = SCENES[name]
  let lastId = "", over = false
  for (let number = 0; !over && !signal.aborted && number < 8; number++) {
    const headers = { Accept: "text/event-stream", ...(lastId && { "Last-Event-ID": lastId }) }
    timeline.connect(`GET /events${lastId && `, Last-Event-ID: ${lastId}`}`, since(began))
    const response = await (recorded(name, number) ?? fetch)(path, { headers, signal })
    timeline.head(`HTTP ${response.status}`, since(began))
    const decoder = new SSEDecoder()
    const reader = response.body.getReader()
    try {
      for (let part; !(part = await reader.read()).done; ) {
        timeline.read(part.value, since(began))
        for (const event of decoder.feed(part.value)) over ||= event.event === "done"
      }
    } catch {
      // the connection broke: that is what is shown
    }
    lastId = decoder.lastEventId || lastId
    if (!over) timeline.head("the connection ended: wait, and ask again", since(began))
    await new Promise(resolve => setTimeout(resolve, Math.min(decoder.reconnectionTime ?? 1000, 1000)))
  }
  timeline.end("the stream is done", since(began))
}

// ---- The step ----

// What is asked for if it can be chosen, else what is chosen at first.
const among = (values, asked, first) => (values.includes(asked) ? asked : first)

function begin() {
  const asked = new URLSearchParams(location.hash.slice(1))
  const id = [...asked.keys()][0] || STEPS[0].id
  step = STEPS.find(each => each.id === id) ?? STEPS[0]
  const choices = step.control?.options.map(([value]) => value) ?? [""]
  choice = among(choices, asked.get("choice"), choices[0])
  speed = Number(among([...$("speed").options].map(option => option.value), asked.get("speed"), "1"))
  coming?.abort()
  coming = new AbortController()
  timeline = new Timeline(PACE)
  clock = 0
  outcome = ""
  point(null)
  describe()
  run(coming.signal, timeline)
  play(!calm)
  if (calm) timeline.step(endOfEvent, 1)
  draw()
}

async function run(signal, timeline) {
  const name = `${step.id}/${choice}`
  try {
    if (step.given) await given(step, choice, timeline, signal)
    else if (!SCENES[name].body) await followed(name, timeline, signal)
    else {
      if (step.beside) whole(name, signal)
      const result = await answered(name, timeline, signal)
      if (result.outcome === "cancelled" && !RECORDED) await sayWhatStoppingSaved(result)
    }
  } catch (error) {
    if (!signal.aborted) timeline.end(`no answer: ${error.message}`, timeline.rows.at(-1)?.at ?? 0)
  }
}

// The same answer, not streamed: a clock until it comes, and the text at once.
async function whole(name, signal) {
  const box = $("whole") ?? $("text").parentElement.appendChild(element("div", { id: "whole" }))
  const began = performance.now()
  const timer = setInterval(() => (box.textContent = `whole: nothing for ${(since(began) / 1000).toFixed(1)} s`), 100)
  const { wire, path, body } = SCENES[`${name}whole`]
  const result = await ask(path, body, { dialect: DIALECTS[wire], signal, send: recorded(`${name}whole`) ?? fetch }).finally(() => clearInterval(timer))
  if (!signal.aborted) box.textContent = `whole, after ${(since(began) / 1000).toFixed(1)} s: ${result.text}`
}

async function sayWhatStoppingSaved({ requestId }) {
  const record = await journalRecord(each => each.id === requestId)
  if (record) outcome = `The server noticed at token ${record.tokens}, ${record.duration_s.toFixed(2)} s after the request, and generated no more.`
  draw()
}

function describe() {
  $("whole")?.remove()
  $("title").textContent = `${STEPS.indexOf(step) + 1}. ${step.title}`
  $("idea").textContent = step.idea
  $("tries").replaceChildren(element("b", {}, "Try it: "), step.tries)
  $("question").textContent = step.question
  $("answer").textContent = step.answer
  $("asked").open = false
  $("choice").hidden = !step.control
  if (step.control) {
    $("choice").firstElementChild.textContent = step.control.label
    $("control").replaceChildren(...step.control.options.map(([value, label]) => new Option(label, value, value === choice, value === choice)))
  }
  $("stop").hidden = !step.stops || Boolean(RECORDED)
  $("speed").value = String(speed)
  const here = STEPS.indexOf(step)
  $("steps").replaceChildren(...STEPS.map((each, number) => element("li", {}, element("a", { href: `#${each.id}`, title: each.title, ...(number === here && { ariaCurrent: "step" }) }, String(number + 1), element("span", { className: "unseen" }, ` ${each.title}`)))), element("li", {}, element("a", { href: "panel", title: "Everything" }, "★", element("span", { className: "unseen" }, " Everything"))))
  $("before").disabled = here === 0
  $("after").textContent = here === STEPS.length - 1 ? "Everything ›" : "Next ›"
  $("status").textContent = `Step ${here + 1}: ${step.title}. ${step.idea}`
}

function go(number) {
  if (number >= STEPS.length) location.href = document.querySelector("nav a[href^=panel]").href
  else location.hash = STEPS[number].id
}

// What is set goes into the address, so that it can be sent on.
function keep() {
  const parts = [step.id]
  if (step.control && choice !== step.control.options[0][0]) parts.push(`choice=${encodeURIComponent(choice)}`)
  if (speed !== 1) parts.push(`speed=${speed}`)
  history.replaceState(null, "", `#${parts.join("&")}`)
}

// ---- Time ----

function play(on) {
  playing = on
  if (on && timeline.ended && timeline.position === timeline.rows.length) timeline.position = 0
  clock = timeline.now
  $("play").textContent = on ? "Pause" : "Play"
}

let before = performance.now()
setInterval(() => {
  const now = performance.now()
  const passed = Math.min(now - before, 1000)
  before = now
  if (!playing) return
  clock += passed * speed
  const behind = timeline.rows[timeline.position]
  if (!behind && !timeline.ended) clock = Math.min(clock, (timeline.rows.at(-1)?.due ?? 0) + passed * speed + PACE)
  if (timeline.show(clock)) draw()
  if (timeline.ended && timeline.position === timeline.rows.length) {
    play(false)
    $("status").textContent = `${words().map(row => wordOf(row)).join("")} ${timeline.rows.at(-1).text}.`
    draw()
  }
}, FRAME)

function move(change) {
  play(false)
  change()
  clock = timeline.now
  draw()
}

// ---- Drawing ----

// The word that an event brings: what its dialect adds to the text, or its data.
const readings = new WeakMap()

function wordOf(row) {
  const scene = SCENES[`${step.id}/${choice}`]
  if (!scene?.body) return row.dispatched.event === "done" ? "" : row.dispatched.data
  let known = readings.get(timeline)
  if (!known) readings.set(timeline, (known = { result: { text: "", reasoning: "", calls: [], open: {}, tokens: [] }, words: new Map() }))
  if (!known.words.has(row)) {
    const had = known.result.text.length
    try {
      DIALECTS[scene.wire].take(row.dispatched, known.result)
    } catch {
      // an error inside the stream brings no word
    }
    known.words.set(row, known.result.text.slice(had))
  }
  return known.words.get(row)
}

const words = () => timeline.rows.slice(0, timeline.position).filter(row => row.dispatched)

function draw() {
  const shown = timeline.rows.slice(0, timeline.position)
  drawText(words())
  drawWire(shown)
  drawState($("state"), timeline.state)
  $("place").max = timeline.rows.length
  $("place").value = timeline.position
  $("place").ariaValueText = `row ${timeline.position} of ${timeline.rows.length}`
  const needs = step.needsServer && RECORDED ? `${step.needsServer} Here is a recording: start sse_ref.server to try it.` : ""
  $("explain").textContent = outcome || needs || explanation(pointed ?? shown.at(-1))
  mark()
  $("wire").scrollTop = $("wire").scrollHeight // what stands below may have grown
}

function drawText(events) {
  const parts = events.map(row => [row, wordOf(row)])
  const older = parts.slice(0, -WORDS).map(([, word]) => word).join("")
  const box = $("text")
  const newest = parts.slice(-WORDS).filter(([, word]) => word)
  box.replaceChildren(older, ...newest.map(([row, word]) => element("span", { className: "word", row }, word)))
  if (!calm && playing) box.append(element("span", { className: "cursor", ariaHidden: "true" }))
  box.scrollTop = box.scrollHeight
}

// Rows are kept as they are drawn: only what is new is made, and what is no longer shown goes.
function drawWire(shown) {
  const box = $("wire")
  const first = Math.max(0, shown.length - ROWS)
  const wanted = shown.slice(first)
  let same = 0
  const old = [...box.children]
  const offset = wanted.length ? Math.max(0, old.findIndex(item => item.row === wanted[0])) : old.length
  old.slice(0, offset).forEach(item => item.remove())
  const kept = old.slice(offset)
  while (same < kept.length && same < wanted.length && kept[same].row === wanted[same]) same++
  kept.slice(same).forEach(item => item.remove())
  box.append(...wanted.slice(same).map(row => item(row)))
  box.scrollTop = box.scrollHeight
}

function item(row) {
  const made = element("li", { className: row.kind, row })
  if (SHAPES[row.kind]) made.append(element("i", { ariaHidden: "true" }, SHAPES[row.kind]))
  const parts = row.kind === "data" ? folded(row.text, dataBefore(row)?.text) : [{ text: row.text }]
  made.append(...parts.map(part => (part.folded ? fold(part.text) : part.text)))
  return made
}

function dataBefore(row) {
  for (let at = timeline.rows.indexOf(row) - 1; at >= 0; at--) if (timeline.rows[at].kind === "data") return timeline.rows[at]
}

function fold(text) {
  const made = element("button", { type: "button", className: "fold", title: "the same as in the event before; press to open" }, "⋯")
  made.addEventListener("click", () => made.replaceWith(text))
  return made
}

const explanation = row => (row ? EXPLAINED[row.kind] : "Nothing has come yet.")

// ---- One thing seen three times ----

function point(row) {
  pointed = row
  if (timeline) {
    $("explain").textContent = outcome || explanation(row ?? timeline.rows[timeline.position - 1])
    mark()
  }
}

// Marks the word, the rows and the reads of the event that is pointed at.
function mark() {
  const event = pointed?.kind === "head" ? -2 : pointed?.event
  const read = pointed?.kind === "read" ? pointed.read : null
  const reads = new Set()
  for (const row of pointed ? timeline.rows : []) if (row.event === event && row.kind !== "read" && row.kind !== "head") reads.add(row.read)
  const marked = ({ row }) => {
    if (!pointed || !row) return false
    if (read !== null) return row.read === read && row.kind !== "head"
    return row.kind === "read" ? reads.has(row.read) : row.event === event && row.kind !== "head"
  }
  for (const box of [$("wire"), $("text")]) for (const each of box.children) each.classList?.toggle("marked", marked(each))
}

for (const box of [$("wire"), $("text")]) {
  const rowAt = target => target.closest?.("li, .word")?.row ?? null
  box.addEventListener("pointerover", event => point(rowAt(event.target)))
  box.addEventListener("pointerleave", () => point(null))
  box.addEventListener("blur", () => point(null))
  // With the keys: up and down the rows, left and right the words.
  box.addEventListener("keydown", event => {
    const direction = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[event.key]
    if (!direction) return
    event.preventDefault()
    const all = [...box.children].filter(each => each.row)
    const at = all.findIndex(each => each.row === pointed)
    const next = all[at < 0 ? all.length - 1 : Math.min(Math.max(at + direction, 0), all.length - 1)]
    if (!next) return
    move(() => {})
    point(next.row)
    next.scrollIntoView({ block: "nearest" })
    $("status").textContent = `${next.textContent}. ${explanation(next.row)}`
  })
}

// ---- The controls ----

$("controls").addEventListener("submit", event => event.preventDefault())
$("play").addEventListener("click", () => {
  play(!playing)
  draw()
})
$("back-read").addEventListener("click", () => move(() => timeline.step(endOfRead, -1)))
$("next-read").addEventListener("click", () => move(() => timeline.step(endOfRead, 1)))
$("next-event").addEventListener("click", () => move(() => timeline.step(endOfEvent, 1)))
$("place").addEventListener("input", () => move(() => (timeline.position = Number($("place").value))))
$("speed").addEventListener("change", () => {
  speed = Number($("speed").value)
  keep()
})
$("control").addEventListener("change", () => {
  choice = $("control").value
  keep()
  begin()
})
$("again").addEventListener("click", begin)
$("stop").addEventListener("click", () => coming.abort())
$("before").addEventListener("click", () => go(STEPS.indexOf(step) - 1))
$("after").addEventListener("click", () => go(STEPS.indexOf(step) + 1))
document.addEventListener("keydown", event => {
  if (event.key === "Escape" && step.stops) coming.abort()
  if (event.key === "k" && !event.ctrlKey && !event.metaKey && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) $("play").click()
})
addEventListener("hashchange", begin)

// An old address of the panel: /?prompt=Hi&go
if (location.search && !RECORDED) location.replace(`panel${location.search}${location.hash}`)
else begin()
