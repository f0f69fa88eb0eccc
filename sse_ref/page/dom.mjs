// Two words for building a page.

export const $ = id => document.getElementById(id)

// An element with properties, and with children: nodes, or texts, which stay texts.
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}
