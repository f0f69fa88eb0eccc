// The decoder's state, drawn: the standard's names, and what stands in each; what has just changed is marked.

import { element } from "./dom.mjs"
import { STATES } from "./explain.mjs"
import { visible } from "./wire.mjs"

const SHOWN = 300 // characters of a value

export function drawState(box, state) {
  const before = new Map([...box.querySelectorAll("dd")].map(each => [each.dataset.name, each.textContent]))
  box.replaceChildren(...STATES.map(([name, label]) => {
    const value = shown(name, state?.[name])
    const changed = before.has(name) && before.get(name) !== value
    const made = element("dd", { className: changed ? "changed" : value === "empty" ? "quiet" : "" }, value)
    made.dataset.name = name
    return element("div", {}, element("dt", {}, label), made)
  }))
}

function shown(name, value) {
  if (name === "reconnectionTime") return value === undefined || value === null ? "the client's own" : `${value} ms`
  if (!value?.length) return "empty"
  const text = name === "line" ? visible(value) : name === "data" ? value.map(line => `${line}⏎`).join("") : value
  return text.length > SHOWN ? `…${text.slice(-SHOWN)}` : text
}
