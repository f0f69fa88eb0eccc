// A recording, played back: the reads of a stream as they came, in the form that the client's --record writes.
//
// In:   the text of the file; how many times faster than it was, 0 for at once.
// Out:  what stands in for fetch: a response whose body comes read for read, and ends or breaks as it did.

// Throws an Error that says what is wrong with the text.
export function replaying(text, speed = 1) {
  const [head, ...lines] = text.split("\n").filter(line => line.trim()).map(read)
  if (head?.recording !== 1) throw new Error("this is no recording: its first line must be a head")
  return async (url, { signal }) => {
    const began = performance.now()
    const rest = lines.values()
    const body = new ReadableStream({
      start(controller) {
        signal.addEventListener("abort", () => controller.error(signal.reason))
      },
      async pull(controller) {
        const { value: line, done } = rest.next()
        const due = done || !speed ? 0 : began + (1000 * line.at) / speed
        await new Promise(resolve => setTimeout(resolve, due - performance.now()))
        if (signal.aborted) return
        if (line?.end === "cut") controller.error(new TypeError("the connection broke"))
        else if (done || line.end) controller.close()
        else controller.enqueue(bytes(line))
      },
    }, { highWaterMark: 0 })
    return new Response(body, { status: head.status ?? 200, headers: head.headers ?? [] })
  }
}

function read(line, index) {
  try {
    return JSON.parse(line)
  } catch {
    throw new Error(`line ${index + 1} of the recording is no JSON`)
  }
}

function bytes({ text, hex = "" }) {
  return text === undefined ? Uint8Array.from(hex.match(/../g) ?? [], pair => parseInt(pair, 16)) : new TextEncoder().encode(text)
}
