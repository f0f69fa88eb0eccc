// The checks of openai-node: chat completions, and Responses.
import assert from "node:assert/strict"
import OpenAI from "openai"
import { AWKWARD, BOTH, STORY, lastRecord, parameters, run, said, sleep, version, withFault } from "./node_checks.mjs"

const TOOLS = ["get_weather", "get_time"].map(name => ({ type: "function", function: { name, parameters } }))
const node = url => new OpenAI({ baseURL: url, apiKey: "none", maxRetries: 0 })

async function textOf(stream) {
  let text = ""
  let last
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? ""
    last = chunk
  }
  return [text, last]
}

const checks = {
  async "openai-node text"(url) {
    const [text, last] = await textOf(await node(url).chat.completions.create({ model: "toy-echo", messages: said(AWKWARD), stream: true }))
    assert.equal(text, AWKWARD)
    assert.equal(last.choices[0].finish_reason, "stop")
  },
  async "openai-node helper, choices and usage"(url) {
    const stream = node(url).chat.completions.stream({
      model: "toy", messages: STORY, n: 2, max_tokens: 9, stream_options: { include_usage: true },
    })
    const final = await stream.finalChatCompletion()
    assert.deepEqual(final.choices.map(choice => [choice.index, choice.finish_reason]), [[0, "length"], [1, "length"]])
    assert.equal((await stream.totalUsage()).completion_tokens, 18)
  },
  async "openai-node helper, parallel tools"(url) {
    const stream = node(url).chat.completions.stream({ model: "toy", messages: BOTH, tools: TOOLS })
    const calls = (await stream.finalMessage()).tool_calls
    assert.deepEqual(calls.map(call => call.function.name), ["get_weather", "get_time"])
    for (const call of calls) assert.ok(JSON.parse(call.function.arguments).days >= 1)
    assert.notEqual(calls[0].id, calls[1].id)
  },
  async "openai-node tool runner"(url) {
    const ran = []
    const runner = node(url).chat.completions.runTools({
      model: "toy", messages: BOTH, stream: true,
      tools: ["get_weather", "get_time"].map(name => ({
        type: "function", function: { name, parameters, parse: JSON.parse, function: () => { ran.push(name); return "sunny" } },
      })),
    })
    assert.ok(await runner.finalContent())
    assert.deepEqual(ran, ["get_weather", "get_time"])
  },
  async "openai-node stop across tokens"(url) {
    const [text] = await textOf(await node(url).chat.completions.create({
      model: "toy-echo", messages: said("alpha beta gamma delta"), stop: ["ta ga"], stream: true,
    }))
    assert.equal(text, "alpha be")
  },
  async "openai-node error inside the stream"(url) {
    const stream = await node(url).chat.completions.create({ model: "toy-flaky", messages: STORY, stream: true })
    await assert.rejects(textOf(stream), /failed/)
  },
  async "openai-node fault in the base URL"(url) {
    for (const client of [node(withFault(url)), new OpenAI({ baseURL: url, apiKey: "none", maxRetries: 0, defaultQuery: { fault: "error", at: "2" } })]) {
      const stream = await client.chat.completions.create({ model: "toy-echo", messages: said("one two three"), stream: true })
      await assert.rejects(textOf(stream), /as the request asked for/)
    }
  },
  async "openai-node errors before the stream"(url) {
    await assert.rejects(node(url).chat.completions.create({ model: "gpt-9", messages: STORY, stream: true }), error =>
      error instanceof OpenAI.NotFoundError && error.code === "model_not_found" && Boolean(error.requestID))
  },
  async "openai-node cancel"(url) {
    const stream = await node(url).chat.completions.create({ model: "toy-echo", messages: said("tick ".repeat(2000)), stream: true })
    let count = 0
    for await (const _ of stream) if (++count === 5) break
    await sleep(200)
    const last = await lastRecord(url)
    assert.equal(last.outcome, "client_left")
    assert.ok(last.left_at_token < 200)
  },
  async "openai-node keeps its connection"(url) {
    const client = node(url)
    for (let i = 0; i < 5; i++) await textOf(await client.chat.completions.create({ model: "toy-echo", messages: said("a b"), stream: true }))
  },
  async "openai-node Responses, text"(url) {
    const events = []
    for await (const event of await node(url).responses.create({ model: "toy-echo", input: AWKWARD, stream: true })) events.push(event)
    assert.equal(events.filter(event => event.type === "response.output_text.delta").map(event => event.delta).join(""), AWKWARD)
    assert.deepEqual(events.map(event => event.sequence_number), [...events.keys()])
    assert.equal(events.at(-1).response.status, "completed")
  },
  async "openai-node Responses, helper and whole"(url) {
    const asked = { model: "toy-thinker", input: "Why is it so", temperature: 0 }
    const final = await node(url).responses.stream(asked).finalResponse()
    const whole = await node(url).responses.create(asked)
    assert.equal(final.output_text, whole.output_text)
    assert.deepEqual(final.usage, whole.usage)
    assert.deepEqual(final.output.map(item => item.type), ["reasoning", "message"])
    assert.match(final.output[0].summary[0].text, /Why is it so/)
  },
  async "openai-node Responses, helper, parallel tools"(url) {
    const flat = TOOLS.map(tool => ({ type: "function", strict: true, ...tool.function }))
    const final = await node(url).responses.stream({ model: "toy", input: BOTH, tools: flat }).finalResponse()
    assert.deepEqual(final.output.map(item => item.name), ["get_weather", "get_time"])
    for (const item of final.output) assert.ok(JSON.parse(item.arguments).days >= 1)
    const results = final.output.map(item => ({ type: "function_call_output", call_id: item.call_id, output: "sunny" }))
    const answer = await node(url).responses.create({ model: "toy", input: [...BOTH, ...final.output, ...results], tools: flat })
    assert.ok(answer.output_text.length > 20)
  },
  async "openai-node Responses, limit"(url) {
    const final = await node(url).responses.stream({ model: "toy", input: STORY, max_output_tokens: 3 }).finalResponse()
    assert.equal(final.incomplete_details.reason, "max_output_tokens")
    assert.equal(final.usage.output_tokens, 3)
  },
  async "openai-node Responses, error inside the stream"(url) {
    const final = await node(url).responses.stream({ model: "toy-flaky", input: STORY }).finalResponse().catch(error => error)
    assert.match(final.error?.message ?? final.message, /failed/)
  },
  async "openai-node Responses, errors before the stream"(url) {
    await assert.rejects(node(url).responses.create({ model: "gpt-9", input: "x", stream: true }), OpenAI.NotFoundError)
    await assert.rejects(node(url).responses.create({ model: "toy", input: [], stream: true }), error =>
      error instanceof OpenAI.BadRequestError && error.param === "input")
  },
  async "openai-node Responses, cancel"(url) {
    let count = 0
    for await (const _ of await node(url).responses.create({ model: "toy-echo", input: "tick ".repeat(2000), stream: true })) if (++count === 9) break
    await sleep(200)
    const last = await lastRecord(url)
    assert.equal(last.outcome, "client_left")
    assert.ok(last.left_at_token < 200)
  },
}

await run(checks, { "openai-node": `openai-node ${version("openai")}` })
