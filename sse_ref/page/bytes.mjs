// Bytes that a person can type: text, in which what cannot be seen stands as an escape.
//
// In:   text with \n \r \t \0 \\ \xHH and \u{H}; a new line in it is an LF.
// Out:  bytes, and back.

const NAMED = { n: 10, r: 13, t: 9, 0: 0, "\\": 92 }
const utf8 = new TextEncoder()
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

export function bytesOf(text) {
  const parts = text.split(/(\\(?:[nrt0\\]|x[0-9a-fA-F]{2}|u\{[0-9a-fA-F]{1,6}\}))/)
  return Uint8Array.from(parts.flatMap((part, number) => [...(number % 2 ? escaped(part) : utf8.encode(part))]))
}

function escaped(part) {
  if (part[1] === "x") return [parseInt(part.slice(2), 16)]
  if (part[1] === "u") return utf8.encode(String.fromCodePoint(Math.min(parseInt(part.slice(3, -1), 16), 0x10ffff)))
  return [NAMED[part[1]]]
}

// The bytes one by one, as what is to be seen of each: a character, the parts of one, or an escape.
export function cellsOf(bytes) {
  const cells = []
  for (let at = 0; at < bytes.length; ) {
    const size = characterSize(bytes[at])
    const character = text(bytes.subarray(at, at + size))
    if (character === null || character.length === 0) cells.push({ text: hex(bytes[at++]), kind: "raw" })
    else if (size > 1) for (let part = 0; part < size; part++) cells.push({ text: part ? "·" : /[\p{C}\p{Z}]/u.test(character) ? hex(bytes[at]) : character, kind: "part", title: hex(bytes[at++]) })
    else cells.push({ text: { 10: "LF", 13: "CR", 9: "TAB", 0: "NUL", 32: "␣" }[bytes[at]] ?? (bytes[at] < 32 || bytes[at] === 127 ? hex(bytes[at]) : character), kind: bytes[at] === 10 || bytes[at] === 13 ? "end" : bytes[at] <= 32 ? "unseen-byte" : "", title: hex(bytes[at++]) })
  }
  return cells
}

function text(bytes) {
  try {
    return strict.decode(bytes)
  } catch {
    return null
  }
}

// How many bytes a character has, by its first; 1 for a byte that begins none.
export const characterSize = byte => (byte > 0xf4 || byte < 0xc2 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2)

export const hex = byte => "\\x" + byte.toString(16).padStart(2, "0")

// The text that stands for bytes: `bytesOf` makes the same bytes of it.
export function textOf(bytes) {
  let made = ""
  for (let at = 0; at < bytes.length; ) {
    const size = characterSize(bytes[at])
    const character = text(bytes.subarray(at, at + size))
    if (!character) made += hex(bytes[at++])
    else {
      made += character === "\\" ? "\\\\" : character === "\r" ? "\\r" : character === "\0" ? "\\0" : character === "\n" ? "\n" : /(?! )[\p{C}\p{Z}]/u.test(character) ? `\\u{${character.codePointAt().toString(16)}}` : character
      at += size
    }
  }
  return made
}
