// A real browser's EventSource on /events, driven by playwright-core: prints one line of JSON for each check.
// argv: the server's root URL, the path of a Chromium.
import assert from "node:assert/strict"
import { chromium } from "playwright-core"

const [root, executablePath] = process.argv.slice(2)
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
})

// Collects what an EventSource dispatches until the named event "done"; resolves with it and the state 3 s later, if asked.
const collect = ([url, close]) => new Promise((resolve, reject) => {
  const seen = []
  let opened = 0
  const source = new EventSource(url)
  source.onopen = () => { opened++ }
  source.onmessage = event => seen.push([event.lastEventId, event.data])
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) resolve({ seen, opened, state: source.readyState }) }
  source.addEventListener("done", event => {
    if (close) { source.close(); resolve({ seen, opened, done: event.data }) }
  })
  setTimeout(() => reject(new Error(`no end after 20 s: ${JSON.stringify(seen)}`)), 20000)
})

const checks = {
  async "browser EventSource"(page) {
    const { seen, done, opened } = await page.evaluate(collect, ["/events?model=toy-echo&prompt=one+two+%F0%9F%A6%8A", true])
    assert.deepEqual(seen, [["1", "one"], ["2", " two"], ["3", " "], ["4", "\u{1f98a}"]])
    assert.equal(done, "[DONE]")
    assert.equal(opened, 1)
  },
  async "browser EventSource resumes after a drop"(page) {
    const { seen, opened } = await page.evaluate(collect, ["/events?model=toy-echo&prompt=a+b+c+d+e&drop=2", true])
    assert.deepEqual(seen, [["1", "a"], ["2", " b"], ["3", " c"], ["4", " d"], ["5", " e"]])
    assert.equal(opened, 3)
  },
  async "browser EventSource is told to stop by 204"(page) {
    const { seen, state } = await page.evaluate(collect, ["/events?model=toy-echo&prompt=a+b", false])
    assert.equal(seen.length, 2)
    assert.equal(state, 2)
  },
  async "browser fetch from another origin"(page) {
    await page.goto(root.replace("127.0.0.1", "localhost") + "/v1/models") // the page itself may ask its own server only
    const text = await page.evaluate(async root => {
      const answer = await fetch(root + "/v1/chat/completions", {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: "Bearer x", "X-Stainless-Lang": "js" },
        body: JSON.stringify({ model: "toy-echo", stream: true, messages: [{ role: "user", content: "hi there" }] }),
      })
      return await answer.text()
    }, root)
    assert.ok(text.endsWith("data: [DONE]\n\n"))
  },
}

for (const [name, check] of Object.entries(checks)) {
  const page = await browser.newPage()
  let problem = null
  try {
    await page.goto(root)
    await check(page)
  } catch (error) {
    problem = String(error.stack ?? error).split("\n").slice(0, 6).join("\n")
  }
  await page.close()
  console.log(JSON.stringify({ check: name, problem }))
}
await browser.close()
