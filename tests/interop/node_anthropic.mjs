// The checks of Anthropic's SDK for JavaScript.
import assert from "node:assert/strict"
import Anthropic from "@anthropic-ai/sdk"
import { AWKWARD, BOTH, STORY, lastRecord, parameters, run, said, sleep, version } from "./node_checks.mjs"

const TOOLS = ["get_weather", "get_time"].map(name => ({ name, input_schema: parameters }))
const root = url => url.replace(/\/v1$/, "")
const client = url => new Anthropic({ baseURL: root(url), apiKey: "none", maxRetries: 0 }).messages
const asking = (model, messages, more = {}) => ({ model, messages, max_tokens: 1000, ...more })

async function eventsOf(stream) {
  const events = []
  for await (const event of stream) events.push(event)
  return events
}
const textOf = events => events.map(event => event.delta?.text ?? "").join("")

const checks = {
  async "anthropic-sdk text"(url) {
    const events = await eventsOf(await client(url).create(asking("toy-echo", said(AWKWARD), { stream: true })))
    assert.equal(textOf(events), AWKWARD)
    assert.equal(events.at(-2).delta.stop_reason, "end_turn")
  },
  async "anthropic-sdk helper and whole"(url) {
    const asked = asking("toy-thinker", said("Why is it so"))
    const final = await client(url).stream(asked).finalMessage()
    const whole = await client(url).create(asked)
    assert.deepEqual(final.content.map(block => [block.type, block.text ?? block.thinking, block.signature]),
      whole.content.map(block => [block.type, block.text ?? block.thinking, block.signature]))
    assert.deepEqual([final.usage.input_tokens, final.usage.output_tokens], [whole.usage.input_tokens, whole.usage.output_tokens])
    assert.match(final.content[0].thinking, /Why is it so/)
  },
  async "anthropic-sdk helper, text events"(url) {
    let text = ""
    const stream = client(url).stream(asking("toy-echo", said(AWKWARD))).on("text", part => { text += part })
    assert.equal(await stream.finalText(), AWKWARD)
    assert.equal(text, AWKWARD)
  },
  async "anthropic-sdk helper, parallel tools"(url) {
    let fragments = 0
    const stream = client(url).stream(asking("toy", BOTH, { tools: TOOLS })).on("inputJson", () => { fragments++ })
    const final = await stream.finalMessage()
    assert.equal(final.stop_reason, "tool_use")
    assert.deepEqual(final.content.map(block => block.name), ["get_weather", "get_time"])
    for (const block of final.content) assert.ok(block.input.days >= 1)
    assert.ok(fragments > 6)
    const results = final.content.map(block => ({ type: "tool_result", tool_use_id: block.id, content: "sunny" }))
    const again = [...BOTH, { role: "assistant", content: final.content }, { role: "user", content: results }]
    assert.equal((await client(url).create(asking("toy", again, { tools: TOOLS }))).stop_reason, "end_turn")
  },
  async "anthropic-sdk stop strings and limit"(url) {
    const asked = asking("toy-echo", said("alpha beta gamma delta"), { stop_sequences: ["ta ga"] })
    const stopped = await client(url).stream(asked).finalMessage()
    assert.deepEqual([stopped.stop_reason, stopped.stop_sequence, stopped.content[0].text], ["stop_sequence", "ta ga", "alpha be"])
    const short = await client(url).stream({ ...asking("toy", STORY), max_tokens: 3 }).finalMessage()
    assert.deepEqual([short.stop_reason, short.usage.output_tokens], ["max_tokens", 3])
  },
  async "anthropic-sdk count of tokens"(url) {
    assert.equal((await client(url).countTokens({ model: "toy", messages: said("one two") })).input_tokens, 6)
  },
  async "anthropic-sdk error inside the stream"(url) {
    const stream = await client(url).create(asking("toy-flaky", STORY, { stream: true }))
    await assert.rejects(eventsOf(stream), error => error instanceof Anthropic.APIError && /failed/.test(error.message))
    await assert.rejects(client(url).stream(asking("toy-flaky", STORY)).finalMessage(), /failed/)
  },
  async "anthropic-sdk errors before the stream"(url) {
    await assert.rejects(client(url).create(asking("no-such", STORY, { stream: true })), error =>
      error instanceof Anthropic.NotFoundError && error.type === "not_found_error" && Boolean(error.requestID))
    await assert.rejects(client(url).create(asking("toy", [], { stream: true })), Anthropic.BadRequestError)
    await assert.rejects(client(root(url) + "/fault=refuse").create(asking("toy", STORY)), Anthropic.RateLimitError)
  },
  async "anthropic-sdk cancel"(url) {
    let count = 0
    for await (const _ of await client(url).create(asking("toy-echo", said("tick ".repeat(900)), { stream: true }))) if (++count === 9) break
    await sleep(200)
    const last = await lastRecord(url)
    assert.equal(last.outcome, "client_left")
    assert.ok(last.left_at_token < 200)
  },
  async "anthropic-sdk models"(url) {
    const { data } = await new Anthropic({ baseURL: root(url), apiKey: "none" }).models.list()
    assert.ok(data.some(model => model.id === "toy-thinker" && model.display_name === "toy-thinker"))
  },
}

await run(checks, { "anthropic-sdk": `anthropic-sdk-typescript ${version("@anthropic-ai/sdk")}` })
