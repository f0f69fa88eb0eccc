// The JavaScript SDKs against the server at the URL in argv: prints one line of JSON for each check.
// Each check is a function of a base URL; it resolves, or rejects.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import OpenAI from "openai"
import { createOpenAI } from "@ai-sdk/openai"
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { streamText, streamObject, generateText, tool } from "ai"
import { z } from "zod"

const STORY = [{ role: "user", content: "Tell me a story" }]
const BOTH = [{ role: "user", content: "Use get_weather and then get_time" }]
const said = content => [{ role: "user", content }]
const AWKWARD = 'caf\u00e9 \u{1f98a}\u2028\u0085 "quoted" \\ back\nline e\u0301'
const parameters = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer", minimum: 1, maximum: 9 } },
  required: ["city", "days"],
  additionalProperties: false,
}
const TOOLS = ["get_weather", "get_time"].map(name => ({ type: "function", function: { name, parameters } }))
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
// A base URL whose answers break off with an error after two tokens.
const withFault = url => url.replace(/\/v1$/, "/fault=error&at=2/v1")
const lastRecord = async url => (await (await fetch(url.replace(/\/v1$/, "/journal"))).json()).at(-1)

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
}

const providers = {
  "ai-sdk openai": url => model => createOpenAI({ baseURL: url, apiKey: "none" }).chat(model),
  "ai-sdk openai-compatible": url => model =>
    createOpenAICompatible({ name: "toy", baseURL: url, apiKey: "none", includeUsage: true, supportsStructuredOutputs: true })(model),
}
const tools = Object.fromEntries(["get_weather", "get_time"].map(name => [name, tool({
  description: name, inputSchema: z.object({ city: z.string(), days: z.number().int().min(1).max(9) }),
})]))

for (const [name, provider] of Object.entries(providers)) {
  const quiet = { maxRetries: 0, onError() {} }
  Object.assign(checks, {
    async [`${name} text and usage`](url) {
      const result = streamText({ model: provider(url)("toy-echo"), prompt: AWKWARD, ...quiet })
      let text = ""
      for await (const part of result.textStream) text += part
      assert.equal(text, AWKWARD)
      assert.equal(await result.finishReason, "stop")
      assert.ok((await result.usage).outputTokens > 5)
    },
    async [`${name} parallel tools`](url) {
      const result = streamText({ model: provider(url)("toy"), prompt: BOTH[0].content, tools, ...quiet })
      await result.consumeStream()
      const calls = await result.toolCalls
      assert.deepEqual(calls.map(call => call.toolName), ["get_weather", "get_time"])
      for (const call of calls) assert.ok(call.input.days >= 1 && !call.invalid)
      assert.equal(await result.finishReason, "tool-calls")
    },
    async [`${name} structured output`](url) {
      const result = streamObject({
        model: provider(url)("toy"), prompt: "plan", schema: z.object({ title: z.string(), steps: z.array(z.string()) }), ...quiet,
      })
      let partial = 0
      for await (const _ of result.partialObjectStream) partial++
      assert.ok(partial > 2)
      assert.ok((await result.object).steps.length)
    },
    async [`${name} stop across tokens`](url) {
      const { text } = await generateText({ model: provider(url)("toy-echo"), prompt: "alpha beta gamma", stopSequences: ["ta ga"], maxRetries: 0 })
      assert.equal(text, "alpha be")
    },
    async [`${name} error inside the stream`](url) {
      const errors = []
      const result = streamText({ model: provider(url)("toy-flaky"), prompt: "hi", maxRetries: 0, onError: ({ error }) => errors.push(error) })
      await result.consumeStream()
      assert.match(JSON.stringify(errors, Object.getOwnPropertyNames(errors[0] ?? {})) + String(errors[0]?.message ?? errors[0]), /failed/)
    },
    async [`${name} fault in the base URL`](url) {
      const errors = []
      const result = streamText({ model: provider(withFault(url))("toy-echo"), prompt: "one two three", maxRetries: 0, onError: ({ error }) => errors.push(error) })
      await result.consumeStream()
      assert.match(String(errors[0]?.message ?? errors[0]), /as the request asked for/)
    },
    async [`${name} cancel`](url) {
      const abort = new AbortController()
      const result = streamText({ model: provider(url)("toy-echo"), prompt: "tick ".repeat(2000), abortSignal: abort.signal, ...quiet })
      let count = 0
      try {
        for await (const _ of result.textStream) if (++count === 5) abort.abort()
      } catch (error) {
        assert.equal(error.name, "AbortError")
      }
      await sleep(200)
      assert.equal((await lastRecord(url)).outcome, "client_left")
    },
  })
}

const version = name => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version
const clients = {
  "openai-node": `openai-node ${version("openai")}`,
  "ai-sdk openai-compatible": `ai-sdk openai-compatible ${version("@ai-sdk/openai-compatible")} of ai ${version("ai")}`,
  "ai-sdk openai": `ai-sdk openai ${version("@ai-sdk/openai")} of ai ${version("ai")}`,
}

for (const [name, check] of Object.entries(checks)) {
  const client = Object.keys(clients).find(client => name.startsWith(client + " "))
  const called = `${clients[client]}, Node ${process.versions.node}: ${name.slice(client.length + 1)}`
  let problem = null
  try {
    await Promise.race([check(process.argv[2]), sleep(15000).then(() => { throw new Error("no end after 15 s") })])
  } catch (error) {
    problem = String(error.stack ?? error).split("\n").slice(0, 6).join("\n")
  }
  console.log(JSON.stringify({ check: called, problem }))
}
process.exit(0)
