// What can be shown of JSON and of Markdown whose end has not come.
//
// In:   a text that is still growing.
// Out:  for JSON the value so far; for Markdown a tree of plain objects, {tag, children}, with text as strings. A link has
//       its href, a numbered list its start.
//
// Both follow one idea: close what is open, and hold back what might still become something else.

// ---- JSON ----

const TOKEN = /(\s+)|("(?:[^"\\]|\\.)*")|([[{])|([\]}])|(,)|(:)|(-?[0-9][-+.eE0-9]*)|(true|false|null)/sy

// The value that the beginning of a JSON text has shown so far; undefined if nothing yet, or if it is no JSON. It only ever
// grows: a name without its value, a number that may go on, and half an escape are left out.
export function partialJson(text) {
  const closers = []
  let nameComes = false, certain = 0, position = 0, match
  TOKEN.lastIndex = 0
  while ((match = TOKEN.exec(text))) {
    const whole = certain > 0 && !closers.length
    position = TOKEN.lastIndex
    const [, space, string, opener, closer, comma, colon, number, literal] = match
    if (whole && !space) return undefined
    if (opener) closers.push(opener === "{" ? "}" : "]")
    if (closer && closers.pop() !== closer) return undefined
    const endsValue = literal || (string && !nameComes) || (number && position < text.length)
    if (opener || closer || endsValue) certain = position
    if (opener || comma) nameComes = closers.at(-1) === "}"
    else if (colon) nameComes = false
  }
  const rest = text.slice(position)
  const open = /^"(?:[^"\\]|\\[^u]|\\u[0-9a-fA-F]{4})*/.exec(rest)
  let ending = closers.reverse().join("")
  if (rest && (certain > 0 && !ending || (!open && !["true", "false", "null", "-"].some(word => word.startsWith(rest))))) return undefined
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
  const last = lines.at(-1)
  const held = growing && /^\s*(#{1,6}|[-*+]|[0-9]+[.)]?|`{1,3}[^`\s]*)$/.test(last)
  if (held) lines.pop()
  for (const line of lines) {
    if (code) {
      if (/^`{3,}\s*$/.test(line)) code = null
      else code.children.push(line)
      continue
    }
    const fence = /^```[^`]*$/.test(line)
    const heading = /^(#{1,6}) +(.*)/.exec(line)
    const item = /^\s*(?:([-*+])|([0-9]+)[.)]) +(.*)/.exec(line)
    const blank = !line.trim()
    if (list && /^\s+\S/.test(line) && !item) {
      list.children.at(-1).text += "\n" + line.trim()
      continue
    }
    if (!item && !blank) list = null
    if (fence || heading || item || blank) paragraph = null
    if (fence) {
      code = { tag: "code", children: [] }
      blocks.push({ tag: "pre", children: [code] })
    } else if (heading) {
      blocks.push({ tag: `h${Math.min(6, heading[1].length + 2)}`, text: heading[2] })
    } else if (item) {
      const tag = item[1] ? "ul" : "ol"
      if (list?.tag !== tag) blocks.push((list = { tag, children: [], ...(item[2] ? { start: Number(item[2]) } : {}) }))
      list.children.push({ tag: "li", text: item[3] })
    } else if (paragraph) {
      paragraph.text += "\n" + line
    } else if (!blank) {
      blocks.push((paragraph = { tag: "p", text: line }))
    }
  }
  if (held && code && !/^`*$/.test(last)) code.children.push(last) // in code it says what it is
  for (const { tag, children } of blocks) if (tag === "pre") children[0].children = [children[0].children.join("\n")]
  const leaves = blocks.flatMap(block => (block.tag === "pre" ? [] : block.children ?? [block]))
  for (const leaf of leaves) {
    leaf.children = inline(leaf.text, growing && leaf === leaves.at(-1) && blocks.at(-1).tag !== "pre")
    delete leaf.text
  }
  return blocks
}

// The text of one block, with its marks as tags. Open marks are kept on a stack, so that no text can exhaust a recursion.
function inline(text, growing = false) {
  const stack = [{ children: [] }]
  const add = child => stack.at(-1).children.push(child)
  const lastBracket = text.lastIndexOf("[")
  let plain = 0 // where text that is not yet added begins
  let at = 0
  const flush = end => {
    if (end > plain) add(text.slice(plain, end))
  }
  const MARK = /`+|\*+|\[/g
  let match
  while (((MARK.lastIndex = at), (match = MARK.exec(text)))) {
    const mark = match[0]
    const begin = match.index
    at = begin + mark.length
    if (mark[0] === "`") {
      let end = text.indexOf(mark, at)
      while (end >= 0 && text[end + mark.length] === "`") end = text.indexOf(mark, end + mark.length + 1)
      if (end < 0 && !growing) continue
      flush(begin)
      add({ tag: "code", children: [text.slice(at, end < 0 ? undefined : end)] })
      plain = at = end < 0 ? text.length : end + mark.length
    } else if (mark === "[") {
      const link = /\[([^[\]\n]*)\]\((https?:\/\/[^\s)]+)\)/y
      link.lastIndex = begin
      const found = link.exec(text)
      const word = /\w/.test(text[begin - 1] ?? "") // an index, as in a[0]
      const opened = growing && !word && begin === lastBracket && /^\[([^[\]\n]*)(\](\([^)\s]*)?)?$/.exec(text.slice(begin))
      if (!found && !opened) continue
      flush(begin)
      if (found) add({ tag: "a", href: found[2], children: [found[1]] })
      else if (opened[1]) add(opened[1]) // a link whose target has not come is its text
      plain = at = found ? link.lastIndex : text.length
    } else {
      const opens = /\S/.test(text[at] ?? (growing ? "x" : " "))
      let left = mark.length
      flush(begin)
      plain = at
      while (left) {
        const top = stack.at(-1)
        const size = top.tag === "em" && left !== 2 ? 1 : top.tag === "strong" && left > 1 ? 2 : 0
        if (size) {
          stack.pop()
          add({ tag: top.tag, children: top.children })
        } else if (opens && stack.length < 4) {
          stack.push({ tag: left > 1 ? "strong" : "em", mark: left > 1 ? "**" : "*", children: [] })
        } else {
          add("*".repeat(left))
          break
        }
        left -= size || Math.min(2, left)
      }
    }
  }
  flush(text.length)
  while (stack.length > 1) {
    const { tag, mark, children } = stack.pop()
    if (growing) add({ tag, children })
    else for (const child of [mark, ...children]) add(child) // not a mark after all: it stays as it is
  }
  return joined(stack[0].children)
}

function joined(children) {
  const result = []
  for (const child of children)
    if (typeof child === "string" && typeof result.at(-1) === "string") result[result.length - 1] += child
    else result.push(child)
  return result
}
