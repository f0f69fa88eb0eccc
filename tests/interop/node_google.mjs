// The checks of Google's SDK for JavaScript.
import assert from "node:assert/strict"
import { ApiError, FunctionCallingConfigMode, GoogleGenAI } from "@google/genai"
import { AWKWARD, BOTH, lastRecord, parameters, run, sleep, version } from "./node_checks.mjs"

const client = (url, segment = "") =>
  new GoogleGenAI({ apiKey: "none", httpOptions: { baseUrl: url.replace(/\/v1$/, "") + segment } })
const STORY = "Tell me a story"
const PROMPT = BOTH[0].content
const TOOLS = [{ functionDeclarations: ["get_weather", "get_time"].map(name => ({ name, parametersJsonSchema: parameters })) }]

async function streamed(url, model, contents, config = {}, segment = "") {
  const chunks = []
  for await (const chunk of await client(url, segment).models.generateContentStream({ model, contents, config })) chunks.push(chunk)
  return chunks
}
const textOf = chunks => chunks.map(chunk => chunk.text ?? "").join("")
const callsOf = chunks => chunks.flatMap(chunk => chunk.functionCalls ?? [])

const checks = {
  async "google-genai text"(url) {
    const chunks = await streamed(url, "toy-echo", AWKWARD)
    assert.equal(textOf(chunks), AWKWARD)
    assert.equal(chunks.at(-1).candidates[0].finishReason, "STOP")
    assert.ok(chunks.at(-1).usageMetadata.candidatesTokenCount > 5)
  },
  async "google-genai whole and stream"(url) {
    const chunks = await streamed(url, "toy-thinker", STORY, { temperature: 0 })
    const whole = await client(url).models.generateContent({ model: "toy-thinker", contents: STORY, config: { temperature: 0 } })
    assert.equal(textOf(chunks), whole.text)
    assert.deepEqual(chunks.at(-1).usageMetadata, whole.usageMetadata)
    assert.ok(whole.candidates[0].content.parts[0].thought)
  },
  async "google-genai chat"(url) {
    const chat = client(url).chats.create({ model: "toy-echo" })
    assert.equal((await chat.sendMessage({ message: "one" })).text, "one")
    let text = ""
    for await (const chunk of await chat.sendMessageStream({ message: "two three" })) text += chunk.text ?? ""
    assert.equal(text, "two three")
    assert.ok(chat.getHistory(true).length >= 4)
    assert.ok(chat.getHistory(true).every(turn => turn.role))
  },
  async "google-genai two tool calls and their results"(url) {
    const calls = callsOf(await streamed(url, "toy", PROMPT, { tools: TOOLS }))
    assert.deepEqual(calls.map(call => call.name), ["get_weather", "get_time"])
    for (const call of calls) assert.ok(call.args.days >= 1)
    const results = calls.map(call => ({ functionResponse: { name: call.name, response: { result: "sunny" } } }))
    const turns = [
      { role: "user", parts: [{ text: PROMPT }] },
      { role: "model", parts: calls.map(functionCall => ({ functionCall })) },
      { role: "user", parts: results },
    ]
    assert.ok(textOf(await streamed(url, "toy", turns, { tools: TOOLS })).length > 20)
  },
  async "google-genai tool choice"(url) {
    const choosing = (mode, allowedFunctionNames) => ({ tools: TOOLS, toolConfig: { functionCallingConfig: { mode, allowedFunctionNames } } })
    assert.equal(callsOf(await streamed(url, "toy", "hello", choosing(FunctionCallingConfigMode.NONE))).length, 0)
    const [call] = callsOf(await streamed(url, "toy", "hello", choosing(FunctionCallingConfigMode.ANY, ["get_time"])))
    assert.equal(call.name, "get_time")
  },
  async "google-genai structured output"(url) {
    const config = { responseMimeType: "application/json", responseJsonSchema: parameters }
    assert.ok(JSON.parse(textOf(await streamed(url, "toy", STORY, config))).days >= 1)
  },
  async "google-genai limit and stop strings"(url) {
    const [last] = (await streamed(url, "toy", STORY, { maxOutputTokens: 3 })).slice(-1)
    assert.equal(last.candidates[0].finishReason, "MAX_TOKENS")
    assert.equal(last.usageMetadata.candidatesTokenCount, 3)
    assert.equal(textOf(await streamed(url, "toy-echo", "alpha beta gamma", { stopSequences: ["ta ga"] })), "alpha be")
  },
  async "google-genai silence"(url) {
    assert.ok(textOf(await streamed(url, "toy-slow", STORY, {}, "/heartbeat=0.05")).length > 20)
  },
  async "google-genai error inside the stream"(url) {
    await assert.rejects(streamed(url, "toy-flaky", STORY), error => error instanceof ApiError && error.status === 500 && /failed/.test(error.message))
    await assert.rejects(streamed(url, "toy", STORY, {}, "/fault=error&at=2"), /as the request asked for/)
  },
  async "google-genai errors before the stream"(url) {
    for (const [model, config, segment, status] of [
      ["no-such", {}, "", 404], ["toy", { maxOutputTokens: -1 }, "", 400], ["toy", {}, "/fault=refuse", 429],
    ]) await assert.rejects(streamed(url, model, STORY, config, segment), error => error instanceof ApiError && error.status === status)
  },
  async "google-genai cancel"(url) {
    const abort = new AbortController() // leaving the loop goes on reading
    let count = 0
    try {
      const asked = { model: "toy-echo", contents: "tick ".repeat(900), config: { abortSignal: abort.signal } }
      for await (const _ of await client(url).models.generateContentStream(asked)) if (++count === 9) abort.abort()
    } catch (error) {
      assert.equal(error.name, "AbortError")
    }
    await sleep(200)
    const last = await lastRecord(url)
    assert.equal(last.outcome, "client_left")
    assert.ok(last.left_at_token < 200)
  },
  async "google-genai models"(url) {
    const names = []
    for await (const model of await client(url).models.list()) names.push(model.name)
    assert.ok(names.includes("models/toy-thinker"))
    assert.equal((await client(url).models.countTokens({ model: "toy", contents: "one two" })).totalTokens, 6)
  },
}

await run(checks, { "google-genai": `@google/genai ${version("@google/genai")}` })
