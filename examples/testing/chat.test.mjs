// node --test: against python -m sse_ref.server --port 8000. Each test has a script and a base URL of its own.
import assert from "node:assert/strict"
import test from "node:test"

const server = process.env.SSE_REF ?? "http://127.0.0.1:8000"

async function answers(name, ...list) {
  const response = await fetch(`${server}/answers/${name}`, { method: "PUT", body: JSON.stringify(list) })
  assert.equal(response.status, 200, await response.text())
  return `${server}/answers=${name}/v1`
}

// The application under test; with an SDK: new OpenAI({ baseURL, apiKey: "any" }), and so on.
async function reply(baseURL, content) {
  const body = JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content }] })
  const response = await fetch(`${baseURL}/chat/completions`, { method: "POST", body, headers: { "Content-Type": "application/json" } })
  if (!response.ok) throw new Error(`status ${response.status}`)
  return (await response.json()).choices[0].message.content
}

test("the question is asked and answered", async () => {
  const url = await answers("louvre", "Paris.")
  assert.equal(await reply(url, "Where is the Louvre?"), "Paris.")
  assert.deepEqual(await (await fetch(`${server}/answers/louvre`)).json(), { left: [], missed: [] })
})

test("a busy model is an error", async () => {
  const url = await answers("busy", { status: 503, message: "too busy" })
  await assert.rejects(reply(url, "Where is the Louvre?"), /503/)
})
