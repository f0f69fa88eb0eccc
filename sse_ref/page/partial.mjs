// What can be shown of JSON and of Markdown whose end has not come.
//
// In:   a text that is still growing.
// Out:  for JSON the value so far; for Markdown a tree of plain objects, {tag, children, href?}, with text as strings.
//
// Both follow one idea: close what is open, and hold back what might still become something else.

// ---- JSON ----

const TOKEN = /(\s+)|("(?:[^"\\]|\\.)*")|([[{])|([\]}])|(,)|(:)|(-?[0-9][-+.eE0-9]*)|(true|false|null)/sy

// The value that the beginning of a JSON text has shown so far; undefined if nothing yet. It only ever grows: a name without
// its value, a number that may go on, and half an escape are left out.
export function partialJson(text) {
  const closers = []
  let nameComes = false, certain = 0, position = 0, match
  TOKEN.lastIndex = 0
  while ((match = TOKEN.exec(text))) {
    position = TOKEN.lastIndex
    const [, , string, opener, closer, comma, colon, number, literal] = match
    if (opener) closers.push(opener === "{" ? "}" : "]")
    if (closer) closers.pop()
    const endsValue = literal || (string && !nameComes) || (number && position < text.length)
    if (opener || closer || endsValue) certain = position
    if (opener || comma) nameComes = closers.at(-1) === "}"
    else if (colon) nameComes = false
  }
  let ending = closers.reverse().join("")
  const open = /^"(?:[^"\\]|\\[^u]|\\u[0-9a-fA-F]{4})*/.exec(text.slice(position))
  if (open && !nameComes) {
    certain = position + open[0].length
    ending = '"' + ending
  }
  try {
    return JSON.parse(text.slice(0, certain) + ending)
  } catch {
    return undefined
  }
}

// ---- Markdown ----

// The blocks of a text: paragraphs, headings, lists, code. With `growing`, an open mark counts as closed at the end of what
// has come, and a mark that may be the first half of another waits.
export function markdown(text, growing = false) {
  const blocks = []
  let code = null, list = null, paragraph = null
  const lines = text.split("\n")
  // "#", "-" or "1." alone may become a heading or an item, "``" a fence.
  if (growing && /^\s*(#{1,6}|[-*+]|[0-9]+[.)]?|`{1,3}[^`\s]*)$/.test(lines.at(-1)) && !insideCode(lines)) lines.pop()
  for (const line of lines) {
    const fence = /^```/.test(line)
    if (code) {
      if (fence) code = null
      else code.children[0] += (code.children[0] && "\n") + line
      continue
    }
    const heading = /^(#{1,6}) +(.*)/.exec(line)
    const item = /^\s*(?:([-*+])|[0-9]+[.)]) +(.*)/.exec(line)
    if (!item) list = null
    if (fence || heading || item || !line.trim()) paragraph = null
    if (fence) {
      code = { tag: "code", children: [""] }
      blocks.push({ tag: "pre", children: [code] })
    } else if (heading) {
      blocks.push({ tag: `h${Math.min(6, heading[1].length + 2)}`, text: heading[2] })
    } else if (item) {
      const tag = item[1] ? "ul" : "ol"
      if (list?.tag !== tag) blocks.push((list = { tag, children: [] }))
      list.children.push({ tag: "li", text: item[2] })
    } else if (paragraph) {
      paragraph.text += "\n" + line
    } else if (line.trim()) {
      blocks.push((paragraph = { tag: "p", text: line }))
    }
  }
  const last = blocks.at(-1)
  const growingLeaf = growing && (last?.children?.at(-1) ?? last)
  for (const leaf of blocks.flatMap(block => (block.tag === "pre" ? [] : block.children ?? [block]))) {
    leaf.children = inline(leaf.text, leaf === growingLeaf)
    delete leaf.text
  }
  return blocks
}

function insideCode(lines) {
  return lines.filter(line => line.startsWith("```")).length % 2 === 1 && !lines.at(-1).startsWith("`")
}

const MARKS = [
  { open: /`/, close: "`", tag: "code", plain: true },
  { open: /\*\*(?=\S|$)/, close: "**", tag: "strong" },
  { open: /\*(?=[^\s*]|$)/, close: "*", tag: "em" },
  { open: /\[/, close: "]", tag: "a" },
]

// The text of one block, with its marks as tags.
export function inline(text, growing = false) {
  if (growing) text = text.replace(/(\*{1,2}|`|\[)$/, "") // a mark alone says nothing yet
  const children = []
  const found = MARKS.map(mark => ({ ...mark, at: text.search(mark.open) })).filter(mark => mark.at >= 0)
  if (!found.length) return text ? [text] : []
  const mark = found.reduce((first, other) => (other.at < first.at ? other : first))
  const begin = mark.at + (mark.tag === "strong" ? 2 : 1)
  let end = text.indexOf(mark.close, begin)
  let after = end + mark.close.length
  const node = { tag: mark.tag }
  if (mark.tag === "a" && end >= 0) {
    const target = /^\((https?:\/\/[^\s)]+)\)/.exec(text.slice(after))
    const opened = growing && /^(\([^)]*)?$/.test(text.slice(after))
    if (target) node.href = target[1]
    else if (!opened) end = -2 // brackets that are no link
    after = target ? after + target[0].length : text.length
  }
  if (end === -2 || (end < 0 && !growing)) {
    // Not a mark after all: it stays as it is.
    return joined([text.slice(0, begin), ...inline(text.slice(begin), growing)])
  }
  const inner = end < 0 ? text.slice(begin) : text.slice(begin, end)
  if (text.slice(0, mark.at)) children.push(text.slice(0, mark.at))
  node.children = mark.plain ? [inner] : inline(inner, growing && end < 0)
  if (node.tag === "a" && !node.href) children.push(...node.children) // a link whose target has not come is its text
  else children.push(node)
  return joined(end < 0 ? children : [...children, ...inline(text.slice(after), growing)])
}

function joined(children) {
  const result = []
  for (const child of children)
    if (typeof child === "string" && typeof result.at(-1) === "string") result[result.length - 1] += child
    else result.push(child)
  return result
}
