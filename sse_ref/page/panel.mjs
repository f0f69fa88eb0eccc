// The page: what the controls say goes to the server, what comes back goes to the conversation, the numbers and the wire.
//
// Nothing is drawn when it arrives. Reads and tokens only mark what has changed, and every 50 ms the marked parts are drawn
// once: at 200 tokens a second that is a tenth of the work, and the eye sees no difference.

import { ask, journalRecord } from "./chat.mjs"
import { DIALECTS, pathOf } from "./dialects.mjs"
import { $, element } from "./dom.mjs"
import { EXPLAINED as KINDS, SHAPES } from "./explain.mjs"
import { markdown, partialJson } from "./partial.mjs"
import { replaying } from "./replay.mjs"
import { Wire } from "./wire.mjs"

const FRAME = 50 // milliseconds between two drawings
const MAX_CHARACTERS = 20_000 // of an answer
const MAX_ROWS = 2000 // of the wire; older ones go, and a row says so

const ms = value => (value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 10 ? 1 : 0)} ms`)

// ---- Drawing in batches ----

const changed = new Set()
let timer = null

function redraw(draw) {
  changed.add(draw)
  timer ??= setTimeout(() => {
    timer = null
    const due = [...changed]
    changed.clear()
    for (const each of due)
      try {
        each()
      } catch (error) {
        reportError(error) // one that fails does not keep the others from being drawn
      }
  }, FRAME)
}

// Boxes that stay at their end while they grow, until somebody scrolls up to read.
const left = new Set()

function following(box, change) {
  change()
  if (!left.has(box)) box.scrollTop = box.scrollHeight
}

for (const box of document.querySelectorAll("[role=log]"))
  box.addEventListener("scroll", () => {
    if (!box.clientHeight) return // in a tab that is not shown
    if (box.scrollHeight - box.scrollTop - box.clientHeight < 40) left.delete(box)
    else left.add(box)
  })

// ---- For screen readers: sentences, not tokens ----

const status = $("status")

class Speaker {
  #said = 0
  speak(text) {
    const end = Math.max(...[". ", "! ", "? ", "\n"].map(mark => text.lastIndexOf(mark))) + 1
    if (end > this.#said) {
      status.textContent = text.slice(this.#said, end)
      this.#said = end
    }
  }
  rest(text, how) {
    status.textContent = `${text.slice(this.#said)} ${how}`
    this.#said = text.length
  }
}

// ---- The wire ----

const LEGEND = { read: "read", data: "data field", event: "other field", unknown: "unknown field", comment: "comment", blank: "blank line", dispatch: "dispatch", done: "[DONE]", cut: "cut by a read" }

class WireView {
  #box = $("wire")
  #rows = []
  #began
  #last
  #wire = new Wire()
  #gone = 0
  constructor(began, title) {
    this.#began = this.#last = began
    this.#stamp("head", title)
  }
  head(answer) {
    this.#stamp("head", `HTTP ${answer.status} ${answer.statusText}`)
    for (const [name, value] of answer.headers) this.#rows.push({ kind: "header", text: `${name}: ${value}` })
  }
  read(bytes, plain) {
    this.#stamp("read", `read, ${bytes.length} bytes`)
    this.#rows.push(...this.#wire.read(bytes, plain))
    redraw(this.draw)
  }
  end(outcome) {
    this.#stamp("head", `end: ${outcome}`)
    this.draw()
  }
  #stamp(kind, text) {
    const now = performance.now()
    this.#rows.push({ kind, text: `${((now - this.#began) / 1000).toFixed(3)} s  +${(now - this.#last).toFixed(0)} ms  ${text}` })
    this.#last = now
    redraw(this.draw)
  }
  draw = () => {
    const rows = this.#rows.splice(0)
    following(this.#box, () => {
      const skipped = Math.max(0, rows.length - MAX_ROWS)
      this.#box.append(...rows.slice(skipped).map(({ kind, text }) => element("li", { className: kind, title: KINDS[kind] ?? "" }, ...(SHAPES[kind] ? [shape(kind)] : []), ...(kind === "data" ? deltaInBold(text) : [text]))))
      if (left.has(this.#box)) return // somebody reads: nothing goes
      this.#box.querySelector(".gone")?.remove()
      const excess = Math.max(0, this.#box.childElementCount - MAX_ROWS)
      for (let i = 0; i < excess; i++) this.#box.firstChild.remove()
      this.#gone += skipped + excess
      if (this.#gone) this.#box.prepend(element("li", { className: "gone" }, `${this.#gone} earlier rows are not kept`))
    })
  }
}

// Two hundred characters come with each token: what is new in them is what the eye should find.
const deltaInBold = text => text.split(/("delta":(?:\{[^}]*\}|"(?:[^"\\]|\\.)*"))/).map((part, i) => (i % 2 ? element("b", {}, part) : part))

function shape(kind) {
  const made = element("i", {}, SHAPES[kind])
  made.ariaHidden = "true"
  return made
}

document.querySelector(".legend").append(...Object.entries(LEGEND).map(([kind, text]) => element("span", { className: kind, title: KINDS[kind] }, shape(kind), text)))

// ---- The numbers and the plot ----

const plot = document.querySelector("#gaps svg")

function clearNumbers() {
  for (const number of document.querySelectorAll("#numbers dd")) number.textContent = "–"
  for (const path of plot.children) path.setAttribute("d", "")
  $("gap-top").textContent = "–"
  plot.ariaLabel = "Gaps between tokens: nothing yet"
}

class Numbers {
  #began
  #gaps = []
  #sorted = []
  constructor(began) {
    this.#began = began
    clearNumbers()
    plot.ariaLabel = "Gaps between tokens: being measured"
  }
  // Into its place among the others: to sort them all for each drawing would take longer and longer.
  #add(gap) {
    this.#gaps.push(gap)
    let low = 0, high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#sorted[middle] < gap) low = middle + 1
      else high = middle
    }
    this.#sorted.splice(low, 0, gap)
  }
  // Until the usage comes, only deltas can be counted. Each brings a token or more.
  draw(times, usage, ended = 0) {
    const tokens = usage?.completion_tokens ?? times.length
    const atLeast = usage ? "" : "≥ "
    const gaps = this.#gaps
    while (gaps.length < times.length - 1) this.#add(times[gaps.length + 1] - times[gaps.length])
    const median = this.#sorted[gaps.length >> 1]
    const longest = this.#sorted.at(-1)
    const seconds = (times.at(-1) - times[0]) / 1000
    $("n-ttft").textContent = times.length ? ms(times[0] - this.#began) : "–"
    $("n-rate").textContent = gaps.length > 1 && seconds > 0 ? atLeast + ((tokens - 1) / seconds).toFixed(1) : "–"
    $("n-tokens").textContent = tokens ? atLeast + tokens : "–"
    $("n-median").textContent = gaps.length ? ms(median) : "–"
    $("n-longest").textContent = gaps.length ? ms(longest) : "–"
    $("n-elapsed").textContent = ms((ended || performance.now()) - this.#began)
    const room = Math.max(10, Math.floor(plot.clientWidth / 6)) // bars that fit, on a phone too
    const shown = gaps.slice(-room)
    const top = Math.max(Math.min(Math.max(...shown), 6 * median), 1) // one long gap does not flatten the others
    const height = gap => (Math.min(gap / top, 1) * 56).toFixed(1)
    $("bars").setAttribute("d", shown.map((gap, i) => `M${600 - (600 / room) * (shown.length - i - 0.5)} 60V${60 - height(gap)}`).join(""))
    $("median").setAttribute("d", gaps.length ? `M0 ${60 - height(median)}H600` : "")
    $("gap-top").textContent = gaps.length ? ms(top) : "–"
    if (ended)
      plot.ariaLabel = gaps.length
        ? `${gaps.length} gaps between tokens: median ${ms(median)}, longest ${ms(longest)}`
        : "Gaps between tokens: fewer than two came apart"
  }
}

// ---- The conversation ----

const settings = $("settings").elements
const conversation = $("conversation")
let messages = []
let running = null // the AbortController of the answer that is coming

const TOOLS = {
  get_weather: {
    parameters: { type: "object", properties: { city: { type: "string" }, days: { type: "integer", minimum: 1, maximum: 7 } }, required: ["city"] },
    run: ({ city }) => ({ city, sky: "rain", degrees: 7 }),
  },
  get_time: {
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    run: ({ city }) => ({ city, time: "08:15" }),
  },
}
const SCHEMA = {
  type: "object",
  properties: { title: { type: "string" }, days: { type: "array", items: { type: "object", properties: { place: { type: "string" }, hours: { type: "integer", minimum: 1, maximum: 12 } }, required: ["place", "hours"] }, minItems: 3 } },
  required: ["title", "days"],
}

const wire = () => DIALECTS[settings.wire.value]

function requestBody(stream, history) {
  const asked = { model: settings.model.value, turns: history, temperature: Number(settings.temperature.value), stream }
  if (settings.tools.checked) asked.tools = TOOLS
  if (settings.json.checked) asked.schema = SCHEMA
  return wire().body(asked)
}

// How the answer shall be delivered: sse_ref takes that in a segment before the API's path (class Delivery in server.py).
function url(stream) {
  const query = new URLSearchParams()
  for (const name of ["ttft", "tps", "jitter"]) query.set(name, Number(settings[name].value))
  query.set("heartbeat", 2)
  if (Number(settings.split.value)) query.set("split", Number(settings.split.value))
  if (settings.fault.value) {
    query.set("fault", settings.fault.value)
    query.set("at", Number(settings.at.value))
  }
  return `/${query}${pathOf(wire(), settings.model.value, stream)}`
}

const keyHeaders = (dialect = DIALECTS.openai) => (settings.key.value ? dialect.key(settings.key.value) : {})

function turn(name, ...children) {
  following(conversation, () => conversation.append(element("div", { className: "turn" }, element("b", {}, name), ...children)))
}

// Builds nodes, never HTML from text: what a model says is not to be trusted.
function nodes(tree) {
  return tree.map(part => {
    if (typeof part === "string") return part
    const made = element(part.tag, {}, ...nodes(part.children))
    if (part.href) Object.assign(made, { href: part.href, rel: "noreferrer" })
    if (part.start) made.start = part.start
    return made
  })
}

function drawAnswer(box, result, json) {
  const value = json ? partialJson(result.text) : undefined
  const shown = newest(result.text)
  const parts = value === undefined ? markdown(shown, !result.outcome) : [jsonBlock(JSON.stringify(value, null, 2))]
  if (result.reasoning) parts.unshift({ tag: "blockquote", children: [result.reasoning] })
  for (const call of result.calls) parts.push(jsonBlock(`${call.name}(${JSON.stringify(partialJson(call.arguments) ?? {}, null, 2)})`))
  // What has not changed stays as it is, with what somebody has selected in it.
  const keys = parts.map(part => JSON.stringify(part))
  let same = 0
  while (same < keys.length && keys[same] === box.keys?.[same]) same++
  box.keys = keys
  following(conversation, () => {
    box.querySelector(".cursor")?.remove()
    while (box.childNodes.length > same) box.lastChild.remove()
    box.append(...nodes(parts.slice(same)))
    if (!result.outcome) cursorPlace(box).append(element("span", { className: "cursor", ariaHidden: "true" }))
  })
}

// The end of a long text, from the beginning of a word: to draw all of it, again and again, would take longer and longer.
function newest(text) {
  if (text.length <= MAX_CHARACTERS) return text
  const begin = text.indexOf(" ", text.length - MAX_CHARACTERS) + 1 || text.length - MAX_CHARACTERS
  return `(${begin} earlier characters are not drawn)\n\n${text.slice(begin)}`
}

const jsonBlock = text => ({ tag: "pre", children: [{ tag: "code", children: [text] }] })

// Behind the last word: in the last paragraph, item or block of code.
function cursorPlace(box) {
  const last = box.lastElementChild
  return /^([UO]L|PRE)$/.test(last?.tagName) ? last.lastElementChild : last ?? box
}

// Nothing of an answer had come, so asking again does no harm; but it helps only where the server was busy or broken.
function again({ status, retryAfter }) {
  if (status && status < 500 && status !== 429 && status !== 408) return "Asking the same again would not help."
  return `It can be asked again${retryAfter ? `, after ${retryAfter} s (Retry-After)` : ""}.`
}

const EXPLAINED = {
  http_error: result => ["Error before the stream", `HTTP ${result.status || "–"}: ${result.problem}. ${again(result)}`],
  api_error: result => ["Error inside the stream", `${result.problem}. The status had been ${result.status} already, so it came as an event; what came before it is kept.`],
  truncated: result => ["Truncated", `${result.problem}. This is not the whole answer.`],
  protocol_error: result => ["Protocol error", `${result.problem}.`],
  timeout: result => ["Timeout", `${result.problem}: neither a token nor a heartbeat. The connection was given up.`],
}

// Says in the conversation how an answer ended, and returns the same for the screen reader.
function explain(box, result) {
  const [title, text] = EXPLAINED[result.outcome]?.(result) ?? []
  if (title) note(box, title, text, true)
  return title ? `${title}: ${text}` : `${result.outcome}.`
}

function note(box, title, text, error = false) {
  following(conversation, () => box.append(element("p", { className: error ? "note error" : "note" }, element("b", {}, title), `: ${text}`)))
}

// One answer, streamed or whole, into a box of its own. The streamed one has the wire and the numbers.
async function answer(row, stream, shown, signal, history, recorded) {
  const caption = element("b", { className: "caption" }, stream ? "streamed" : "whole")
  const content = element("div", { dir: "auto" })
  const box = element("div", {}, caption, content)
  following(conversation, () => row.append(box))
  const began = performance.now()
  const json = settings.json.checked
  const dialect = wire()
  const body = requestBody(stream, history)
  const speaker = new Speaker()
  const view = shown ? new WireView(began, `POST ${url(stream)}, ${stream ? "streamed" : "whole"}`) : null
  const numbers = shown ? new Numbers(began) : null
  const fault = settings.fault.value
  const over = () => history !== messages // another conversation has begun
  let current = { text: "", reasoning: "", calls: [], tokens: [], outcome: "" }
  let ended = 0
  const draw = () => {
    if (over()) return
    drawAnswer(content, current, json)
    numbers?.draw(current.tokens, current.usage, ended)
    if (shown) speaker.speak(current.text)
  }
  content.ariaBusy = "true"
  draw()
  const clock = setInterval(() => redraw(draw), 200) // so that waiting can be seen too
  const result = await ask(url(stream), body, {
    dialect,
    headers: keyHeaders(dialect),
    ...(recorded && { send: recorded }),
    signal,
    idle: stream ? 1000 * Number(settings.idle.value) : 120_000, // a whole answer is silent by nature
    onHead: answer => view?.head(answer),
    onRead: (bytes, plain) => view?.read(bytes, plain),
    onPiece: soFar => {
      current = soFar
      redraw(draw)
    },
  }).finally(() => clearInterval(clock))
  if (over()) return result
  ended = performance.now()
  current = result
  draw()
  content.ariaBusy = "false"
  view?.end(result.outcome)
  const first = result.tokens[0] ? `first token after ${ms(result.tokens[0] - began)}, ` : ""
  caption.textContent = `${caption.textContent}: ${first}end after ${ms(ended - began)}`
  const how = explain(box, result)
  if (fault && result.outcome === "complete") note(box, "No fault", `the answer ended before token ${settings.at.value}, after which it was to come.`)
  if (shown) speaker.rest(result.text, result.outcome === "complete" && result.calls.length ? `It calls ${result.calls.map(call => call.name).join(" and ")}.` : how)
  if (result.outcome === "cancelled" && recorded) sayStopped(box, "The recording was not played to its end.")
  else if (result.outcome === "cancelled") explainStop(box, stream, result, dialect, { ...body, stream: false, stream_options: undefined }).catch(() => sayStopped(box, "The server cannot be asked what it noticed."))
  return result
}

// With `recorded` it is a recording that answers.
async function send(prompt, recorded) {
  const history = messages // a new conversation begins a new list
  const before = history.length
  running = new AbortController()
  const { signal } = running
  buttons()
  left.delete(conversation)
  left.delete($("wire"))
  $("wire").replaceChildren()
  try {
    history.push({ role: "user", text: prompt })
    turn("You", element("div", { className: "user", dir: "auto" }, prompt))
    let result
    for (let round = 0; round < 2; round++) {
      const row = element("div", { className: "answers" })
      turn("Model", row)
      const reply = recorded ? "stream" : settings.reply.value
      const { calling } = wire()
      const answers = []
      if (reply !== "whole") answers.push(answer(row, true, true, signal, history, recorded))
      if (reply !== "stream") answers.push(answer(row, false, reply === "whole", signal, history))
      ;[result] = await Promise.all(answers)
      if (recorded || result.outcome !== "complete" || result.finishReason !== calling) break
      runTools(result.calls, history)
    }
    if (result.text && !result.calls.length) history.push({ role: "assistant", text: result.text })
    else history.length = before // a question without its answer, or calls without results, would confuse what follows
  } finally {
    running = null
    buttons()
  }
}

// The model asked for functions: their results go back in a second round.
function runTools(calls, history) {
  history.push({ role: "assistant", calls })
  for (const { id, name, arguments: text } of calls) {
    const value = JSON.stringify(TOOLS[name].run(JSON.parse(text)))
    history.push({ role: "tool", id, name, text: value })
    turn(`Result of ${name}`, element("pre", {}, element("code", {}, value)))
  }
}

// What stopping saved: the journal tells at which token the server noticed. The model always answers the same, so asking it
// again without a pace tells how long the answer would have been. A whole answer has no id yet when it is stopped.
async function explainStop(box, stream, result, dialect, whole) {
  const wanted = stream ? record => record.id === result.requestId : record => record.stream === false && record.outcome !== "complete"
  const record = stream && !result.requestId ? null : await journalRecord(wanted, keyHeaders())
  if (!record) return sayStopped(box, "The server had not begun to answer.")
  const { usage } = await ask(`/ttft=0&tps=0&heartbeat=0${pathOf(dialect, settings.model.value, false)}`, whole, { dialect, headers: keyHeaders(dialect) })
  const total = usage?.completion_tokens ?? null
  const kept = stream ? "" : " Of a whole answer nothing comes before its end, so there is nothing to keep."
  const saved = total === null ? "" : ` Of ${total} tokens, ${total - record.tokens} were never ${stream ? "generated" : "sent"}.`
  sayStopped(box, `The server noticed at token ${record.tokens}, ${record.duration_s.toFixed(2)} s after the request, and stopped.${saved}${kept}`)
}

function sayStopped(box, text) {
  note(box, "Stopped", text)
  status.textContent = `Stopped. ${text}`
}

// ---- The controls ----

function buttons() {
  const focused = document.activeElement
  $("send").disabled = Boolean(running)
  $("stop").disabled = !running
  // A button that is disabled loses the focus: it goes to the one that can be used now.
  if (running && focused === $("send")) $("stop").focus()
  if (!running && focused === $("stop")) promptBox.focus()
}

const promptBox = $("prompt")
$("ask").addEventListener("submit", event => {
  event.preventDefault()
  if (running) return
  if (!$("settings").checkValidity()) {
    document.querySelector("details").open = true
    $("settings").reportValidity()
    return
  }
  const prompt = promptBox.value || promptBox.placeholder
  status.textContent = "Generating."
  send(prompt)
})
promptBox.addEventListener("keydown", event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
  event.preventDefault()
  $("ask").requestSubmit()
})
$("settings").addEventListener("submit", event => event.preventDefault())
settings.recording.addEventListener("change", async () => {
  const [file] = settings.recording.files
  if (!file || running) return
  try {
    const recorded = replaying(await file.text(), Number(settings.speed.value))
    await send(`(a recording: ${file.name})`, recorded)
  } catch (error) {
    status.textContent = `${file.name}: ${error.message}`
  }
  settings.recording.value = ""
})
$("stop").addEventListener("click", () => running?.abort())
document.addEventListener("keydown", event => {
  if (event.key !== "Escape") return
  if ($("events").hidden) running?.abort()
  else close("close()")
})
$("new").addEventListener("click", () => {
  running?.abort()
  messages = []
  changed.clear()
  conversation.replaceChildren()
  $("wire").replaceChildren()
  clearNumbers()
  status.textContent = "New conversation."
  promptBox.focus()
})

// ---- The second tab: the browser's own EventSource ----

const source = $("source").elements
let opened = null // the EventSource
let close = () => {} // ends it, and says why

function connect() {
  close()
  const query = new URLSearchParams(["prompt", "model", "tps", "drop", "max_tokens"].map(name => [name, source[name].value]))
  const began = performance.now()
  const log = $("e-log")
  left.delete(log)
  const counts = { opened: 0, events: 0 }
  let text = "", rows = [], lastId = ""
  const speaker = new Speaker()
  log.replaceChildren()
  const draw = () => {
    if (made !== opened) return // another one has been opened since
    $("e-text").textContent = text
    $("e-state").textContent = opened ? ["0, connecting", "1, open", "2, closed"][opened.readyState] : "2, closed"
    $("e-id").textContent = lastId
    $("e-opened").textContent = counts.opened
    $("e-events").textContent = counts.events
    following(log, () => log.append(...rows.splice(0).map(row => element("li", {}, row))))
    speaker.speak(text)
  }
  const tell = what => {
    rows.push(`${((performance.now() - began) / 1000).toFixed(3)} s  ${what}`)
    redraw(draw)
  }
  const took = event => {
    counts.events++
    lastId = event.lastEventId
    tell(`${event.type}  id ${event.lastEventId}  ${JSON.stringify(event.data)}`)
  }
  const made = (opened = new EventSource(`/events?${query}`))
  const ended = how => speaker.rest(text, how)
  close = (why, last = "") => {
    $("close").disabled = true
    if (made.readyState === EventSource.CLOSED) return
    made.close()
    ended(`${last} Closed.`)
    if (why) tell(why)
  }
  $("close").disabled = false
  tell(`new EventSource("/events?${query}")`)
  made.onopen = () => {
    counts.opened++
    tell("open")
    status.textContent = counts.opened > 1 ? "Resumed." : "Open."
  }
  made.onmessage = event => {
    text += event.data
    took(event)
  }
  made.onerror = () => {
    if (made !== opened) return
    if (made.readyState === EventSource.CLOSED) {
      tell("error: refused or ended for good (204, another status, or another content type); the browser will not try again")
      close()
      ended("Closed.")
    } else {
      tell(`error: the connection is gone; the browser waits, then asks with Last-Event-ID: ${lastId || "none"}`)
      status.textContent = "Dropped, reconnecting."
    }
  }
  for (const name of ["done", "failure"])
    made.addEventListener(name, event => {
      took(event)
      const last = `The last event: ${name}.`
      if (source.stay.checked) ended(last)
      else close(`close(): "${name}" was the last event, and without it the browser would ask again`, last)
    })
}

$("source").addEventListener("submit", event => {
  event.preventDefault()
  connect()
})
$("close").addEventListener("click", () => {
  close("close()")
  $("connect").focus()
})

// ---- Tabs ----

const tabs = [$("tab-chat"), $("tab-events")]

function select(tab) {
  for (const each of tabs) {
    const chosen = each === tab
    each.ariaSelected = String(chosen)
    each.tabIndex = chosen ? 0 : -1
    $(each.getAttribute("aria-controls")).hidden = !chosen
  }
  for (const box of document.querySelectorAll("[role=log]")) following(box, () => {})
}

for (const tab of tabs) {
  tab.addEventListener("click", () => select(tab))
  tab.addEventListener("keydown", event => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return
    const other = tabs[1 - tabs.indexOf(tab)]
    select(other)
    other.focus()
  })
}

// ---- What the page's own address says: /?prompt=Hi&model=toy-echo&go, /?drop=5&go#events ----

const given = new URLSearchParams(location.search)
const form = location.hash === "#events" ? "source" : "settings"
for (const field of $(form).elements) {
  if (!given.has(field.name) || field.type === "file") continue
  const value = given.get(field.name)
  if (field.type === "checkbox") field.checked = value !== "0"
  else field.value = value
  if (field.value !== value && field.options) field.add(new Option(value, value, true, true)) // not among those there are
}
if (given.has("prompt")) promptBox.value = given.get("prompt")
if (location.hash === "#events") select(tabs[1])
// What is set goes into the address, so that it can be sent on; the key does not.
function keepSettings() {
  const query = new URLSearchParams()
  for (const field of $("settings").elements) {
    if (!field.name || field.type === "file" || field.type === "password") continue
    const chosen = field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== (field.options ? [...field.options].find(option => option.defaultSelected)?.value ?? field.options[0].value : field.defaultValue)
    if (chosen) query.set(field.name, field.type === "checkbox" ? Number(field.checked) : field.value)
  }
  if (promptBox.value !== promptBox.defaultValue) query.set("prompt", promptBox.value)
  history.replaceState(null, "", `?${query}`)
}

for (const form of [$("settings"), $("ask")]) form.addEventListener("change", keepSettings)

if (globalThis.RECORDED) {
  $("send").disabled = $("connect").disabled = true
  $("chat").classList.add("unserved")
  $("ask").after(element("p", { className: "note" }, element("b", {}, "Without its server"), ": only a recording of your own can be played here. ", element("code", {}, "python -m sse_ref.server"), " brings the rest."))
} else if (given.has("go")) $(location.hash === "#events" ? "source" : "ask").requestSubmit()
