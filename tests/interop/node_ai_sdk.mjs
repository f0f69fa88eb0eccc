// The checks of the Vercel AI SDK: the same for every provider, only the wire differs.
import assert from "node:assert/strict"
import { createAnthropic } from "@ai-sdk/anthropic"
import { createCohere } from "@ai-sdk/cohere"
import { createGoogleGenerativeAI } from "@ai-sdk/google"
import { createMistral } from "@ai-sdk/mistral"
import { createOpenAI } from "@ai-sdk/openai"
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { generateText, stepCountIs, streamObject, streamText } from "ai"
import { z } from "zod"
import { AWKWARD, BOTH, lastRecord, run, sleep, tools, version, withFault } from "./node_checks.mjs"

globalThis.AI_SDK_LOG_WARNINGS = false

// Settings in a base URL stand in one segment.
const withQuirk = url => url.replace(/(?:(\/[^/]*=[^/]*))?\/v1$/, (_, settings) => `${settings ? settings + "&" : "/"}quirk=mistral/v1`)

const providers = {
  "ai-sdk google": url => model => createGoogleGenerativeAI({ baseURL: url.replace(/\/v1$/, "/v1beta"), apiKey: "none" })(model),
  "ai-sdk cohere": url => model => createCohere({ baseURL: url.replace(/\/v1$/, "/v2"), apiKey: "none" })(model),
  "ai-sdk mistral": url => model => createMistral({ baseURL: withQuirk(url), apiKey: "none" })(model),
  "ai-sdk openai responses": url => model => createOpenAI({ baseURL: url, apiKey: "none" })(model),
  "ai-sdk openai": url => model => createOpenAI({ baseURL: url, apiKey: "none" }).chat(model),
  "ai-sdk anthropic": url => model => createAnthropic({ baseURL: url, apiKey: "none" })(model),
  "ai-sdk openai-compatible": url => model =>
    createOpenAICompatible({ name: "toy", baseURL: url, apiKey: "none", includeUsage: true, supportsStructuredOutputs: true })(model),
}
const checks = {}

for (const [name, provider] of Object.entries(providers)) {
  const quiet = { maxRetries: 0, onError() {} }
  Object.assign(checks, {
    async [`${name} two steps by script`](url) {
      const script = name.replaceAll(" ", "-"), root = url.replace(/\/v1$/, "")
      const rain = [{ tools: [["get_weather", { city: "Paris", days: 2 }]], when: { turn: 1 } }, { text: "It rains in Paris.", when: { tool: "get_weather", turn: 2 } }]
      await fetch(`${root}/answers/${script}`, { method: "PUT", body: JSON.stringify(rain) })
      const { get_weather } = tools
      const own = { get_weather: { ...get_weather, execute: async ({ city }) => `wet in ${city}` } }
      const result = streamText({ model: provider(`${root}/answers=${script}/v1`)("gpt-x"), prompt: "Rain?", tools: own, stopWhen: stepCountIs(4), ...quiet })
      let text = ""
      for await (const part of result.textStream) text += part
      assert.equal(text, "It rains in Paris.")
      assert.equal((await result.steps).length, 2)
      assert.deepEqual(await (await fetch(`${root}/answers/${script}`)).json(), { left: [], missed: [] })
    },
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
    ...(name === "ai-sdk openai responses" ? {} : { async [`${name} stop across tokens`](url) {
      const { text } = await generateText({ model: provider(url)("toy-echo"), prompt: "alpha beta gamma", stopSequences: ["ta ga"], maxRetries: 0 })
      assert.equal(text, "alpha be")
    } }),
    async [`${name} whole answer`](url) {
      const asked = { model: provider(url)("toy"), prompt: "Tell me a story", temperature: 0, maxRetries: 0 }
      const whole = await generateText(asked)
      const streamed = streamText({ ...asked, ...quiet })
      await streamed.consumeStream()
      assert.equal(whole.text, await streamed.text)
      assert.equal(whole.usage.outputTokens, (await streamed.usage).outputTokens)
    },
    async [`${name} limit`](url) {
      const result = streamText({ model: provider(url)("toy"), prompt: "Tell me a story", maxOutputTokens: 3, ...quiet })
      await result.consumeStream()
      assert.equal(await result.finishReason, "length")
      assert.equal((await result.usage).outputTokens, 3)
    },
    async [`${name} reasoning`](url) {
      const result = streamText({ model: provider(url)("toy-thinker"), prompt: "Why is it so", ...quiet })
      let thoughts = ""
      for await (const part of result.fullStream) if (part.type === "reasoning-delta") thoughts += part.text
      if (name !== "ai-sdk openai") assert.match(thoughts, /Why is it so/) // whose chat does not read reasoning_content
      assert.ok((await result.text).length > 20)
    },
    async [`${name} tool loop`](url) {
      const ran = []
      const executed = Object.fromEntries(Object.entries(tools).map(([called, tool]) =>
        [called, { ...tool, execute: async () => { ran.push(called); return "sunny" } }]))
      const result = streamText({ model: provider(url)("toy"), prompt: BOTH[0].content, tools: executed, stopWhen: stepCountIs(3), ...quiet })
      await result.consumeStream()
      assert.deepEqual(ran.sort(), ["get_time", "get_weather"])
      assert.equal(await result.finishReason, "stop")
      assert.ok((await result.text).length > 20)
    },
    async [`${name} error before the stream`](url) {
      await assert.rejects(generateText({ model: provider(url)("no-such"), prompt: "hi", maxRetries: 0 }), error =>
        error.statusCode === 404 && /does not exist/.test(error.message))
    },
    async [`${name} error inside the stream`](url) {
      const errors = []
      const result = streamText({ model: provider(url)("toy-flaky"), prompt: "hi", maxRetries: 0, onError: ({ error }) => errors.push(error) })
      await result.consumeStream()
      if (name === "ai-sdk cohere") return assert.equal(await result.finishReason, "error") // it passes over the message
      assert.match(JSON.stringify(errors, Object.getOwnPropertyNames(errors[0] ?? {})) + String(errors[0]?.message ?? errors[0]), /failed/)
    },
    async [`${name} fault in the base URL`](url) {
      const errors = []
      const result = streamText({ model: provider(withFault(url))("toy-echo"), prompt: "one two three", maxRetries: 0, onError: ({ error }) => errors.push(error) })
      await result.consumeStream()
      if (name === "ai-sdk cohere") return assert.equal(await result.finishReason, "error")
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

const of = name => `${version(`@ai-sdk/${name}`)} of ai ${version("ai")}`
await run(checks, {
  "ai-sdk openai responses": `ai-sdk openai, Responses, ${of("openai")}`,
  "ai-sdk openai-compatible": `ai-sdk openai-compatible ${of("openai-compatible")}`,
  "ai-sdk openai": `ai-sdk openai ${of("openai")}`,
  "ai-sdk anthropic": `ai-sdk anthropic ${of("anthropic")}`,
  "ai-sdk google": `ai-sdk google ${of("google")}`,
  "ai-sdk cohere": `ai-sdk cohere ${of("cohere")}`,
  "ai-sdk mistral": `ai-sdk mistral ${of("mistral")}`,
})
