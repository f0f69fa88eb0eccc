// Encoders of JavaScript packages as encoders under test: node encoders.mjs NAME, a name of the table at the end.
// Each is a function from events, objects without members that are null, to text or bytes.
import { EventEmitter } from "node:events"
import { readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { say } from "./adapter.mjs"

const name = process.argv[2]
const PLAIN = ["event", "id", "retry"], ALL = [...PLAIN, "comment"]

class Skip extends Error {}

function needed(event) {
  if (!("data" in event)) throw new Skip("it needs data")
  return event.data
}

async function betterSse() {
  const { createEventBuffer } = await import("better-sse")
  return [ALL, events => {
    const buffer = createEventBuffer({ serializer: String })
    for (const e of events) {
      for (const member of ["comment", "retry", "event", "data", "id"]) if (member in e) buffer[member](e[member])
      buffer.dispatch()
    }
    return buffer.read()
  }]
}

// push(data, type, id): what most of its users call. Without an id it makes one, so none is an empty one here.
async function betterSsePush() {
  const { createEventBuffer } = await import("better-sse")
  return [["event", "id"], events => {
    const buffer = createEventBuffer({ serializer: String })
    for (const e of events) buffer.push(needed(e), e.event, e.id ?? "")
    return buffer.read()
  }]
}

async function eventsourceEncoder() {
  const { encode } = await import("eventsource-encoder")
  return [ALL, events => events.map(encode).join("")]
}

// It writes its data as JSON always.
async function expressSse() {
  const { default: Sse } = await import("express-sse")
  return [["event", "id"], events => {
    let out = ""
    const source = new Sse([])
    const socket = { setTimeout() {}, setNoDelay() {}, setKeepAlive() {} }
    const request = Object.assign(new EventEmitter(), { socket, httpVersion: "1.1" })
    source.init(request, { setHeader() {}, write: text => { out += text }, flushHeaders() {} })
    out = ""
    for (const e of events) source.send(needed(e), e.event, e.id)
    return out
  }]
}

async function fastifySse() {
  const { default: fastify } = await import("fastify")
  const { default: sse } = await import("@fastify/sse")
  const app = fastify()
  let asked = [], failed = null
  await app.register(sse, { serializer: String, heartbeatInterval: 0 })
  app.get("/", { sse: true }, async (request, reply) => {
    try { for (const e of asked) await reply.sse.send(e) } catch (error) { failed = error }
    reply.sse.close()
  })
  return [PLAIN, async events => {
    asked = events
    failed = null
    const response = await app.inject({ url: "/", headers: { accept: "text/event-stream" } })
    if (failed) throw failed
    if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`)
    return response.rawPayload
  }]
}

async function fastifySseV2() {
  const { serializeSSEEvent } = await import("fastify-sse-v2/lib/sse.js")
  return [ALL, events => events.map(serializeSSEEvent).join("")]
}

// What a handler writes, read from the response to a request that is played. handle(failed) makes the application.
function answered(features, handle) {
  return [features, async events => {
    const failed = []
    const app = handle(async write => { try { for (const e of events) await write(e) } catch (error) { failed.push(error) } })
    const bytes = await (await app.request("/")).arrayBuffer()
    if (failed.length) throw failed[0]
    return bytes
  }]
}

async function h3() {
  const { H3, createEventStream } = await import("h3")
  return answered(ALL, run => new H3().get("/", event => {
    const stream = createEventStream(event)
    run(e => ("comment" in e ? stream.pushComment(e.comment) : stream.push(e))).then(() => stream.close())
    return stream.send?.() ?? stream
  }))
}

async function hono() {
  const { Hono } = await import("hono")
  const { streamSSE } = await import("hono/streaming")
  return answered(PLAIN, run => new Hono().get("/", c => streamSSE(c, stream => run(e => stream.writeSSE(e)))))
}

// The stream behind @Sse().
async function nest() {
  await import("reflect-metadata")
  const { SseStream } = await import("@nestjs/core/router/sse-stream.js")
  return [ALL, events => new Promise((done, failed) => {
    const stream = new SseStream(), parts = []
    stream.on("data", part => parts.push(Buffer.from(part))).on("error", failed).on("end", () => done(Buffer.concat(parts)))
    try { for (const { event, ...e } of events) stream.write(event === undefined ? e : { ...e, type: event }) } catch (error) { failed(error) }
    stream.end()
  })]
}

async function sseChannel() {
  const { default: SseChannel } = await import("sse-channel")
  const channel = new SseChannel({ pingInterval: 1e8 })
  return [PLAIN, events => {
    let out = ""
    for (const e of events) channel.send(e, [{ write: text => { out += text }, flush() {} }])
    return out
  }]
}

const NAMES = {
  "@fastify/sse": fastifySse,
  "@nestjs/core": nest,
  "better-sse": betterSse,
  "better-sse push()": betterSsePush,
  "eventsource-encoder": eventsourceEncoder,
  "express-sse": expressSse,
  "fastify-sse-v2": fastifySseV2,
  "h3": h3,
  "hono": hono,
  "sse-channel": sseChannel,
}
const [features, encode] = await NAMES[name]()
const about = JSON.parse(readFileSync(new URL(`../node_modules/${name.split(" ")[0]}/package.json`, import.meta.url)))
const given = event => Object.fromEntries(Object.entries(event).filter(([, value]) => value !== null))
for await (const line of createInterface({ input: process.stdin })) {
  const { op, id, events } = JSON.parse(line)
  if (op === "hello") say({ name, version: about.version, features })
  else
    try {
      say({ id, bytes: Buffer.from(await encode(events.map(given))).toString("hex") })
    } catch (error) {
      say(error instanceof Skip ? { id, skip: error.message } : { id, error: String(error) })
    }
}
process.exit(0)
