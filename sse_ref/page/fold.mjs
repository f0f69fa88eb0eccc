// What is the same in every chunk, folded away: a chunk repeats two hundred characters for each word that is new.
//
// In:   the text of a data line, and of the one before it.
// Out:  parts {text, folded}: what is folded stands in the line before, too.

const LEAST = 12 // characters; less is not worth a mark

export function folded(text, before) {
  if (!before || !text.includes("{")) return [{ text }]
  let start = 0
  while (start < text.length && text[start] === before[start]) start++
  let end = 0
  while (end < text.length - start && end < before.length - start && text.at(-1 - end) === before.at(-1 - end)) end++
  const name = "data: ".length
  // Back to the beginning of the member, and on to its end: a name without its value says nothing.
  start = Math.max(text.slice(0, start).search(/[,{]"[^"{,]*"?:?"?[^",{]*$/), name) + 1
  const tail = text.slice(text.length - end)
  end = Math.max(tail.length - Math.max(tail.search(/[,}\]]/), 0), 0)
  const parts = [
    { text: text.slice(0, name) },
    { text: text.slice(name, start), folded: start - name >= LEAST },
    { text: text.slice(start, text.length - end) },
    { text: text.slice(text.length - end), folded: end >= LEAST },
  ]
  return parts.filter(part => part.text)
}
