// A browser's EventSource as an event source under test. Once: node source_browser.mjs serve chromium|firefox PORT (in the
// background); for each case: node source_browser.mjs PORT URL. The page is not of the judge's origin: Chromium is started
// without its same-origin policy; for Firefox a relay adds Access-Control-Allow-Origin to each response that has none, and nothing else.
import http from "node:http"
import net from "node:net"
import { spawn } from "node:child_process"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

if (process.argv[2] !== "serve") {
  const { SSE_CONFORMANCE_TYPES = "", SSE_CONFORMANCE_CANCEL_AFTER, SSE_CONFORMANCE_CANCEL_IN_S } = process.env
  const types = ["message", ...SSE_CONFORMANCE_TYPES.split(",").filter(Boolean)]
  const ask = { url: process.argv.at(-1), types, after: Number(SSE_CONFORMANCE_CANCEL_AFTER ?? 0), in_s: Number(SSE_CONFORMANCE_CANCEL_IN_S ?? 0) }
  const req = http.request({ port: Number(process.argv[2]), host: "127.0.0.1", path: "/run?" + encodeURIComponent(JSON.stringify(ask)) }, res => res.pipe(process.stdout))
  req.end()
} else {
  const [, , , which, port] = process.argv
  const page = `<!doctype html><meta charset="utf-8"><script>
  const stop = {}
  async function one() { for (;;) { try { const w = await (await fetch("/next")).json(); if (w) w.stop ? stop[w.stop]?.() : start(w) } catch { await new Promise(r => setTimeout(r, 200)) } } }
  let chain = Promise.resolve()
  const post = v => (chain = chain.then(() => fetch("/said", { method: "POST", body: JSON.stringify(v) })))
  function start({ n, url, types, after, in_s }) {
    const es = new EventSource(url)
    let events = 0, closing = false
    const close = () => {
      closing = true
      post({ n, line: { cancelling: true } })
      es.close()
      setTimeout(() => post({ n, line: { end: "cancelled" }, over: true }), 1000)
    }
    const tell = e => {
      if (!(e instanceof MessageEvent)) return
      post({ n, line: { event: e.type, data: e.data, id: e.lastEventId } })
      if (++events === after) close()
    }
    for (const t of new Set(types)) es.addEventListener(t, tell)
    es.addEventListener("error", () => { if (es.readyState === 2 && !closing) post({ n, line: { end: "complete" }, over: true }) })
    if (in_s) setTimeout(close, 1000 * in_s)
    stop[n] = () => es.close()
  }
  one()
  </script>`
  const work = [], waiting = [], outs = new Map()
  let number = 0
  const give = w => { const f = waiting.shift(); f ? f(w) : work.push(w) }
  const relay = url => new Promise(done => {
    const up = new URL(url)
    const server = net.createServer(down => {
      const to = net.connect(Number(up.port), up.hostname)
      let first = true
      down.setNoDelay(true); to.setNoDelay(true)
      down.on("data", d => to.write(d)); down.on("close", () => to.destroy()); down.on("error", () => to.destroy())
      to.on("data", d => {
        if (first && /access-control-allow-origin/i.test(d.toString("latin1"))) first = false
        if (first) { const at = d.indexOf("\r\n"); if (at >= 0) { d = Buffer.concat([d.subarray(0, at), Buffer.from("\r\nAccess-Control-Allow-Origin: *"), d.subarray(at)]); first = false } }
        down.write(d)
      })
      to.on("end", () => down.end()); to.on("error", () => down.resetAndDestroy())
    })
    server.listen(0, "127.0.0.1", () => done({ server, url: `http://127.0.0.1:${server.address().port}${up.pathname}` }))
  })
  http.createServer(async (req, res) => {
    if (req.url === "/") return res.writeHead(200, { "Content-Type": "text/html" }).end(page)
    if (req.url === "/next") { const f = w => res.end(JSON.stringify(w)); return work.length ? f(work.shift()) : void waiting.push(f) }
    if (req.url === "/said") {
      const parts = []
      for await (const p of req) parts.push(p)
      const { n, line, over } = JSON.parse(Buffer.concat(parts))
      const out = outs.get(n)
      if (out) { out.write(JSON.stringify(line) + "\n"); if (over) out.end() }
      return res.end("{}")
    }
    if (req.url.startsWith("/run?")) {
      const n = ++number
      const ask = JSON.parse(decodeURIComponent(req.url.slice(5)))
      let url = ask.url, r
      if (which === "firefox") { r = await relay(url); url = r.url }
      outs.set(n, res)
      res.on("close", () => { outs.delete(n); give({ stop: n }); r?.server.close() })
      res.writeHead(200); res.flushHeaders()
      give({ ...ask, n, url })
    }
  }).listen(Number(port), "127.0.0.1")
  const profile = mkdtempSync(join(tmpdir(), `${which}-src-`))
  writeFileSync(profile + "/user.js", ["datareporting.healthreport.uploadEnabled|false", "app.update.enabled|false", "network.captive-portal-service.enabled|false", "network.connectivity-service.enabled|false", "services.settings.server|\"\"", "browser.shell.checkDefaultBrowser|false", "toolkit.telemetry.enabled|false", "datareporting.policy.dataSubmissionEnabled|false"].map(l => `user_pref("${l.split("|")[0]}", ${l.split("|")[1]});`).join("\n"))
  const url = `http://127.0.0.1:${port}/`
  const browser = which === "chromium"
    ? spawn("chromium", ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-web-security", `--user-data-dir=${profile}`, url], { stdio: "ignore", detached: true })
    : spawn("firefox-esr", ["--headless", "--no-remote", "--profile", profile, url], { stdio: "ignore", detached: true })
  const end = () => { try { process.kill(-browser.pid, "SIGKILL") } catch {} process.exit(0) }
  process.on("SIGTERM", end)
  process.on("SIGINT", end)
  setTimeout(end, 1000 * 60 * 20)
}
