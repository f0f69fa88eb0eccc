// A browser's own EventSource as a decoder under test, over real connections: node browser.mjs chromium|firefox
// The page (in a headless browser started here) asks for work, opens an EventSource, and posts what it fired. The
// reconnection time is measured: the time from the end of the response to the next request, compared with the numbers in the
// stream and the browser's default. The last event ID is the header of that next request.
// With BROWSER_FEATURES=event,id the reconnection is not waited for.
import http from "node:http"
import { once } from "node:events"
import { spawn } from "node:child_process"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { typesOf } from "./lib.mjs"

const which = process.argv[2]
const features = (process.env.BROWSER_FEATURES ?? "event,id").split(",")
const measure = features.includes("retry") || features.includes("last_event_id")
const say = value => process.stdout.write(JSON.stringify(value) + "\n")
const later = ms => new Promise(done => setTimeout(done, ms))

const page = `<!doctype html><meta charset="utf-8"><script>
async function one() {
  for (;;) {
    let work
    try { work = await (await fetch("/next")).json() } catch { await new Promise(r => setTimeout(r, 200)); continue }
    if (work) start(work)
  }
}
function start({ n, url, types }) {
  const events = [], es = new EventSource(url)
  let ended = false
  for (const type of types) es.addEventListener(type, e => {
    if (e instanceof MessageEvent) events.push({ event: e.type, data: e.data, id: e.lastEventId })
  })
  es.onerror = e => {
    if (e instanceof MessageEvent || ended) { if (ended && es.readyState === 2) es.close(); return }
    ended = true
    ${measure ? "" : "es.close();"}
    post({ n, events, state: es.readyState })
  }
  stop[n] = () => es.close()
}
const stop = {}
const post = value => fetch("/result", { method: "POST", body: JSON.stringify(value) }).then(r => r.json()).then(({ close }) => close && stop[close]?.())
one()
</script>`

const waiting = [], work = [], results = new Map(), streams = new Map()
const server = http.createServer(async (req, res) => {
  if (req.url === "/") return res.writeHead(200, { "Content-Type": "text/html" }).end(page)
  if (req.url === "/next") {
    const give = () => { const w = work.shift(); res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(w ?? null)) }
    if (work.length) return give()
    waiting.push(give)
    return
  }
  if (req.url === "/result") {
    const parts = []
    for await (const part of req) parts.push(part)
    const got = JSON.parse(Buffer.concat(parts).toString())
    results.get(got.n)?.(got)
    return res.writeHead(200, { "Content-Type": "application/json" }).end("{}")
  }
  const one = streams.get(req.url)
  if (!one) return res.writeHead(204, { "Access-Control-Allow-Origin": "*" }).end()
  if (one.ended) { one.again(performance.now() - one.ended, req.headers); return res.writeHead(204, { "Access-Control-Allow-Origin": "*" }).end() }
  res.socket.setNoDelay(true)
  res.writeHead(200, { "Content-Type": "text/event-stream", "Access-Control-Allow-Origin": "*", "Cache-Control": "no-store" })
  res.flushHeaders()
  for (const chunk of one.chunks) {
    if (chunk.length && !res.write(chunk)) await once(res, "drain")
    if (one.chunks.length < 300) await later(2)
  }
  res.end()
  one.ended = performance.now()
})
await new Promise(done => server.listen(0, "0.0.0.0", done))
const port = server.address().port
const profile = mkdtempSync(join(tmpdir(), `${which}-`))
let command
if (which === "chromium")
  command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", `--user-data-dir=${profile}`, `http://127.0.0.1:${port}/`]
else {
  writeFileSync(profile + "/user.js", ["datareporting.healthreport.uploadEnabled|false", "app.update.enabled|false", "network.captive-portal-service.enabled|false", "network.connectivity-service.enabled|false", "services.settings.server|\"\"", "browser.shell.checkDefaultBrowser|false", "network.http.max-persistent-connections-per-server|200", "network.http.max-connections|900", "toolkit.telemetry.enabled|false", "browser.safebrowsing.update.enabled|false", "extensions.update.enabled|false", "datareporting.policy.dataSubmissionEnabled|false"].map(l => `user_pref("${l.split("|")[0]}", ${l.split("|")[1]});`).join("\n"))
  command = ["firefox-esr", "--headless", "--no-remote", "--profile", profile, `http://127.0.0.1:${port}/`]
}
const browser = spawn(command[0], command.slice(1), { stdio: ["ignore", "ignore", process.env.BROWSER_LOG ? "inherit" : "ignore"], detached: true })
const end = () => { try { process.kill(-browser.pid, "SIGKILL") } catch {} process.exit(0) }
process.on("SIGTERM", end); process.on("SIGINT", end)

let number = 0
async function run({ id, chunks: hex }) {
  const chunks = hex.map(x => Buffer.from(x, "hex"))
  const n = ++number, path = `/s/${n}`
  const stream = { chunks }
  const again = new Promise(done => (stream.again = (ms, headers) => done({ ms, last: Buffer.from(headers["last-event-id"] ?? "", "latin1").toString() })))
  streams.set(path, stream)
  const result = new Promise(done => results.set(n, done))
  work.push({ n, url: `http://127.0.0.${2 + (n % 200)}:${port}${path}`, types: typesOf(chunks) })
  waiting.shift()?.()
  const { events, state } = await result
  const told = { id, events }
  if (measure) {
    const back = await Promise.race([again, later(7000).then(() => null)])
    // longer than any default: told as never
    const numbers = [...Buffer.concat(chunks).toString().matchAll(/\d+/g)].map(m => Number(m[0]))
    told.measured = back ? Math.round(back.ms) : null
    const base = which === "chromium" ? 3000 : 5000
    const near = [base, ...numbers].sort((a, b) => Math.abs(a - back?.ms) - Math.abs(b - back?.ms))[0]
    told.retry = back === null ? 2 ** 53 : Math.abs(near - back.ms) < 400 ? near : Math.round(back.ms)
    if (back) told.last_event_id = back.last
  }
  streams.delete(path); results.delete(n)
  return told
}
let chain = Promise.resolve()
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line)
  if (request.op === "hello") { say({ name: which, version: "", features }); continue }
  const answer = run(request)
  chain = chain.then(() => answer).then(say, error => say({ id: request.id, error: String(error) }))
}
await chain
end()
