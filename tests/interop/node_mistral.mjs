// The checks of Mistral's SDK for JavaScript, with the quirks of the service.
import assert from "node:assert/strict"
import { Mistral } from "@mistralai/mistralai"
import { AWKWARD, BOTH, STORY, lastRecord, parameters, run, said, sleep, version } from "./node_checks.mjs"

const client = (url, segment = "/quirk=mistral") => new Mistral({ apiKey: "none", serverURL: url.replace(/\/v1$/, "") + segment })
const TOOLS = ["get_weather", "get_time"].map(name => ({ type: "function", function: { name, parameters } }))

async function streamed(url, model, messages, more = {}, segment = "/quirk=mistral") {
  const chunks = []
  for await (const event of await client(url, segment).chat.stream({ model, messages, ...more })) chunks.push(event.data)
  return chunks
}
const deltasOf = chunks => chunks.flatMap(chunk => chunk.choices.map(choice => choice.delta))
const textOf = chunks => deltasOf(chunks).map(delta => typeof delta.content === "string" ? delta.content : "").join("")

const checks = {
  async "mistralai text"(url) {
    const chunks = await streamed(url, "toy-echo", said(AWKWARD))
    assert.equal(textOf(chunks), AWKWARD)
    assert.equal(chunks.at(-1).choices[0].finishReason, "stop")
    assert.ok(chunks.at(-1).usage.completionTokens > 5)
    assert.equal(textOf(await streamed(url, "toy-echo", said(AWKWARD), {}, "")), AWKWARD)
  },
  async "mistralai whole and stream"(url) {
    const chunks = await streamed(url, "toy", STORY, { temperature: 0 })
    const whole = await client(url).chat.complete({ model: "toy", messages: STORY, temperature: 0 })
    assert.equal(textOf(chunks), whole.choices[0].message.content)
    assert.equal(chunks.at(-1).usage.completionTokens, whole.usage.completionTokens)
  },
  async "mistralai reasoning"(url) {
    const thoughts = deltasOf(await streamed(url, "toy-thinker", STORY))
      .flatMap(delta => Array.isArray(delta.content) ? delta.content : []).map(part => part.thinking[0].text).join("")
    assert.match(thoughts, /Tell me a story/)
  },
  async "mistralai two tool calls and their results"(url) {
    const [calls] = deltasOf(await streamed(url, "toy", BOTH, { tools: TOOLS })).map(delta => delta.toolCalls).filter(Boolean)
    assert.deepEqual(calls.map(call => call.function.name), ["get_weather", "get_time"])
    for (const call of calls) assert.ok(JSON.parse(call.function.arguments).days >= 1)
    const results = calls.map(call => ({ role: "tool", toolCallId: call.id, name: call.function.name, content: "sunny" }))
    const again = [...BOTH, { role: "assistant", toolCalls: calls, content: "" }, ...results]
    assert.ok(textOf(await streamed(url, "toy", again, { tools: TOOLS })).length > 20)
  },
  async "mistralai limit, stop strings and seed"(url) {
    const [last] = (await streamed(url, "toy", STORY, { maxTokens: 3 })).slice(-1)
    assert.equal(last.choices[0].finishReason, "length")
    assert.equal(textOf(await streamed(url, "toy-echo", said("alpha beta gamma"), { stop: ["ta ga"] })), "alpha be")
    const [one, two] = await Promise.all([1, 2].map(randomSeed => streamed(url, "toy", STORY, { randomSeed })))
    assert.notEqual(textOf(one), textOf(two))
  },
  async "mistralai silence"(url) {
    assert.ok(textOf(await streamed(url, "toy-slow", STORY, {}, "/quirk=mistral&heartbeat=0.05")).length > 20)
  },
  async "mistralai error inside the stream"(url) {
    await assert.rejects(streamed(url, "toy-flaky", STORY))
  },
  async "mistralai errors before the stream"(url) {
    for (const [model, more, segment, status] of [
      ["no-such", {}, "", 404], ["toy", { maxTokens: -1 }, "", 400], ["toy", {}, "&fault=refuse", 429],
    ]) await assert.rejects(streamed(url, model, STORY, more, "/quirk=mistral" + segment), error => error.statusCode === status && /"object":"error"/.test(error.body))
  },
  async "mistralai cancel"(url) {
    let count = 0
    for await (const _ of await client(url).chat.stream({ model: "toy-echo", messages: said("tick ".repeat(900)) })) if (++count === 9) break
    await sleep(200)
    const last = await lastRecord(url)
    assert.equal(last.outcome, "client_left")
    assert.ok(last.left_at_token < 200)
  },
  async "mistralai models"(url) {
    const { data } = await client(url).models.list()
    assert.ok(data.some(model => model.id === "toy-thinker" && model.capabilities.completionChat))
  },
}

await run(checks, { mistralai: `@mistralai/mistralai ${version("@mistralai/mistralai")}` })
