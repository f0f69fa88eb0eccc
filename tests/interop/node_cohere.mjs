// The checks of Cohere's SDK for JavaScript.
import assert from "node:assert/strict"
import { CohereClientV2, CohereError } from "cohere-ai"
import { AWKWARD, BOTH, STORY, lastRecord, parameters, run, said, sleep, version } from "./node_checks.mjs"

const client = (url, segment = "") => new CohereClientV2({ token: "none", environment: url.replace(/\/v1$/, "") + segment, maxRetries: 0 })
const TOOLS = ["get_weather", "get_time"].map(name => ({ type: "function", function: { name, description: name, parameters } }))

async function streamed(url, model, messages, more = {}, segment = "") {
  const events = []
  for await (const event of await client(url, segment).chatStream({ model, messages, ...more }, { maxRetries: 0 })) events.push(event)
  return events
}
const textOf = events => events.map(event => event.type === "content-delta" ? event.delta.message.content.text ?? "" : "").join("")

function callsOf(events) {
  const calls = []
  for (const event of events) {
    const call = event.delta?.message?.toolCalls
    if (event.type === "tool-call-start") calls.push([call.function.name, call.function.arguments])
    if (event.type === "tool-call-delta") calls[event.index][1] += call.function.arguments
  }
  return calls
}

const checks = {
  async "cohere-ai text"(url) {
    const events = await streamed(url, "toy-echo", said(AWKWARD))
    assert.equal(textOf(events), AWKWARD)
    assert.equal(events.at(-1).type, "message-end")
    assert.equal(events.at(-1).delta.finishReason, "COMPLETE")
  },
  async "cohere-ai text with the end mark in it"(url) {
    for (const segment of ["", "/split=5"]) assert.equal(textOf(await streamed(url, "toy-echo", said("say [DONE] now"), {}, segment)), "say [DONE] now")
    const schema = { type: "object", properties: { x: { enum: ["[DONE]"] } }, required: ["x"] }
    const answer = await streamed(url, "toy", STORY, { responseFormat: { type: "json_object", jsonSchema: schema } })
    assert.deepEqual(JSON.parse(textOf(answer)), { x: "[DONE]" })
  },
  async "cohere-ai whole and stream"(url) {
    const events = await streamed(url, "toy-thinker", STORY, { temperature: 0 })
    const whole = await client(url).chat({ model: "toy-thinker", messages: STORY, temperature: 0 })
    assert.equal(textOf(events), whole.message.content[1].text)
    assert.match(whole.message.content[0].thinking, /Tell me a story/)
    assert.deepEqual(events.at(-1).delta.usage, whole.usage)
  },
  async "cohere-ai two tool calls and their results"(url) {
    const events = await streamed(url, "toy", BOTH, { tools: TOOLS })
    const calls = callsOf(events)
    assert.deepEqual(calls.map(([name]) => name), ["get_weather", "get_time"])
    for (const [, text] of calls) assert.ok(JSON.parse(text).days >= 1)
    assert.equal(events.at(-1).delta.finishReason, "TOOL_CALL")
    const whole = await client(url).chat({ model: "toy", messages: BOTH, tools: TOOLS })
    const results = whole.message.toolCalls.map(call => ({ role: "tool", toolCallId: call.id, content: "sunny" }))
    assert.ok(textOf(await streamed(url, "toy", [...BOTH, whole.message, ...results], { tools: TOOLS })).length > 20)
  },
  async "cohere-ai tool choice"(url) {
    assert.equal(callsOf(await streamed(url, "toy", said("hello"), { tools: TOOLS, toolChoice: "NONE" })).length, 0)
    assert.equal(callsOf(await streamed(url, "toy", said("hello"), { tools: TOOLS, toolChoice: "REQUIRED" })).length, 1)
  },
  async "cohere-ai limit and stop strings"(url) {
    const [last] = (await streamed(url, "toy", STORY, { maxTokens: 3 })).slice(-1)
    assert.equal(last.delta.finishReason, "MAX_TOKENS")
    assert.equal(last.delta.usage.tokens.outputTokens, 3)
    const stopped = await streamed(url, "toy-echo", said("alpha beta gamma"), { stopSequences: ["ta ga"] })
    assert.deepEqual([textOf(stopped), stopped.at(-1).delta.finishReason], ["alpha be", "STOP_SEQUENCE"])
  },
  async "cohere-ai silence"(url) {
    assert.ok(textOf(await streamed(url, "toy-slow", STORY, {}, "/heartbeat=0.05")).length > 20)
  },
  async "cohere-ai error inside the stream"(url) {
    const events = await streamed(url, "toy-flaky", STORY)
    assert.ok(textOf(events))
    assert.equal(events.at(-1).delta.finishReason, "ERROR")
    assert.match(events.at(-1).delta.error, /failed/)
  },
  async "cohere-ai errors before the stream"(url) {
    for (const [model, more, segment, status] of [
      ["no-such", {}, "", 404], ["toy", { maxTokens: -1 }, "", 400], ["toy", {}, "/fault=refuse", 429],
    ]) await assert.rejects(streamed(url, model, STORY, more, segment), error => error instanceof CohereError && error.statusCode === status && Boolean(error.body.message))
  },
  async "cohere-ai cancel"(url) {
    const abort = new AbortController()
    let count = 0
    try {
      const stream = await client(url).chatStream({ model: "toy-echo", messages: said("tick ".repeat(900)) }, { abortSignal: abort.signal })
      for await (const _ of stream) if (++count === 9) abort.abort()
    } catch {}
    await sleep(200)
    const last = await lastRecord(url)
    assert.equal(last.outcome, "client_left")
    assert.ok(last.left_at_token < 200)
  },
  async "cohere-ai models"(url) {
    const { models } = await client(url).models.list()
    assert.ok(models.some(model => model.name === "models/toy-thinker"))
  },
}

await run(checks, { "cohere-ai": `cohere-ai ${version("cohere-ai")}` })
