// The wires: how each one asks, and what its events say. One object for each dialect, as in sse_ref/dialects.
//
// In:   a conversation in nobody's words: turns {role, text}, where a turn of the model may have `calls` {id, name, arguments}
//       in place of a text, and the result of a tool has the `id` of its call.
// Out:  the body of a request; changes of the result that chat.mjs keeps. Where an event says that the answer failed, or is
//       none, a Problem with the outcome.
//
// `take(event, result)` reads one event, `whole(value, result)` an answer that was not streamed. `result.last` is set by the
// event that ends a stream. Where `provesEnd` is true, nothing is whole without that event.

export class Problem extends Error {
  constructor(outcome, message) {
    super(message)
    this.outcome = outcome
  }
}

// The JSON object that the text holds; undefined if it holds something else.
export function object(text) {
  try {
    const value = JSON.parse(text)
    return value instanceof Object && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

function read(event) {
  const value = object(event.data)
  if (!value) throw new Problem("protocol_error", `this is no chunk: ${event.data.slice(0, 60)}`)
  const error = value.error ?? (value.type === "error" ? value : undefined)
  if (error) throw new Problem("api_error", String(error.message ?? error))
  return value
}

function grow(result, name, text) {
  if (!text) return
  result[name] += text
  result.tokens.push(performance.now())
}

function growCall(result, call, part) {
  call.arguments += part ?? ""
  result.tokens.push(performance.now())
}

// ---- Chat completions ----

const chatMessage = ({ role, text, calls, id }) =>
  calls ? { role, content: null, tool_calls: calls.map(({ id, name, arguments: given }) => ({ id, type: "function", function: { name, arguments: given } })) }
  : id ? { role, tool_call_id: id, content: text }
  : { role, content: text }

const functions = tools => Object.entries(tools).map(([name, { parameters }]) => ({ type: "function", function: { name, parameters } }))

const openai = {
  path: "/v1/chat/completions",
  provesEnd: false,
  calling: "tool_calls",
  key: key => ({ Authorization: `Bearer ${key}` }),
  body({ model, turns, tools, schema, temperature, stream }) {
    const body = { model, messages: turns.map(chatMessage), temperature }
    if (stream) Object.assign(body, { stream: true, stream_options: { include_usage: true } })
    if (tools) body.tools = functions(tools)
    if (schema) body.response_format = { type: "json_schema", json_schema: { name: "trip", schema } }
    return body
  },
  take(event, result) {
    if (event.data === "[DONE]") return void (result.last = true)
    const chunk = read(event)
    const choice = chunk.choices?.[0] // the chunk with the usage has none
    const { content, reasoning_content: reasoning, tool_calls: fragments } = choice?.delta ?? {}
    if (!Array.isArray(fragments ?? [])) throw new Problem("protocol_error", `this is no chunk: ${event.data.slice(0, 60)}`)
    if (chunk.usage) result.usage = chunk.usage
    grow(result, "reasoning", reasoning)
    grow(result, "text", content)
    for (const fragment of fragments ?? []) {
      const call = (result.calls[fragment.index] ??= { id: "", name: "", arguments: "" })
      call.id ||= fragment.id ?? ""
      call.name ||= fragment.function?.name ?? ""
      growCall(result, call, fragment.function?.arguments)
    }
    if (choice?.finish_reason) result.finishReason = choice.finish_reason
  },
  whole({ choices, usage }, result) {
    const { message, finish_reason } = choices?.[0] ?? {}
    if (!message) return false
    result.text = message.content ?? ""
    result.reasoning = message.reasoning_content ?? ""
    result.calls = (message.tool_calls ?? []).map(call => ({ id: call.id, ...call.function }))
    return Object.assign(result, { finishReason: finish_reason, usage })
  },
}

// ---- Messages ----

const block = ({ role, text, calls, id }) =>
  calls ? { role, content: calls.map(({ id, name, arguments: given }) => ({ type: "tool_use", id, name, input: object(given) ?? {} })) }
  : id ? { role: "user", content: [{ type: "tool_result", tool_use_id: id, content: text }] }
  : { role, content: text }

const counted = usage => usage && { prompt_tokens: usage.input_tokens, completion_tokens: usage.output_tokens }

const anthropic = {
  path: "/v1/messages",
  provesEnd: true,
  calling: "tool_use",
  key: key => ({ "x-api-key": key }),
  body({ model, turns, tools, schema, temperature, stream }) {
    const body = { model, max_tokens: 4096, messages: turns.map(block), temperature }
    if (stream) body.stream = true
    if (tools) body.tools = Object.entries(tools).map(([name, { parameters }]) => ({ name, input_schema: parameters }))
    if (schema) body.output_config = { format: { type: "json_schema", schema } }
    return body
  },
  take(event, result) {
    const { type, index, content_block: begun, delta, usage } = read(event)
    if (type === "content_block_start" && begun?.type === "tool_use") result.open[index] = result.calls.push({ id: begun.id, name: begun.name, arguments: "" }) - 1
    if (type === "content_block_delta") {
      grow(result, "text", delta?.text)
      grow(result, "reasoning", delta?.thinking)
      const call = result.calls[result.open[index]]
      if (call && delta?.partial_json) growCall(result, call, delta.partial_json)
    }
    if (type === "message_delta") Object.assign(result, { finishReason: delta?.stop_reason ?? result.finishReason, usage: counted(usage) })
    if (type === "message_stop") result.last = true
  },
  whole({ content, stop_reason, usage }, result) {
    if (!Array.isArray(content)) return false
    const joined = (kind, member) => content.filter(part => part.type === kind).map(part => part[member]).join("")
    result.text = joined("text", "text")
    result.reasoning = joined("thinking", "thinking")
    result.calls = content.filter(part => part.type === "tool_use").map(({ id, name, input }) => ({ id, name, arguments: JSON.stringify(input) }))
    return Object.assign(result, { finishReason: stop_reason, usage: counted(usage) })
  },
}

// ---- Responses ----

const items = ({ role, text, calls, id }) =>
  calls ? calls.map(({ id, name, arguments: given }) => ({ type: "function_call", call_id: id, name, arguments: given }))
  : id ? [{ type: "function_call_output", call_id: id, output: text }]
  : [{ role, content: text }]

const called = ({ call_id: id, name, arguments: given }) => ({ id, name, arguments: given ?? "" })

function ended(response, result) {
  const reason = response?.status === "incomplete" ? "length" : result.calls.length ? "tool_calls" : "stop"
  return Object.assign(result, { finishReason: reason, usage: counted(response?.usage), last: true })
}

const responses = {
  path: "/v1/responses",
  provesEnd: true,
  calling: "tool_calls",
  key: openai.key,
  body({ model, turns, tools, schema, temperature, stream }) {
    const body = { model, input: turns.flatMap(items), temperature }
    if (stream) body.stream = true
    if (tools) body.tools = Object.entries(tools).map(([name, { parameters }]) => ({ type: "function", name, parameters }))
    if (schema) body.text = { format: { type: "json_schema", name: "trip", schema } }
    return body
  },
  take(event, result) {
    const { type, item, item_id: id, delta, response } = read(event)
    if (type === "response.output_item.added" && item?.type === "function_call") result.open[item.id] = result.calls.push(called(item)) - 1
    if (type === "response.output_text.delta") grow(result, "text", delta)
    if (type === "response.reasoning_summary_text.delta") grow(result, "reasoning", delta)
    const call = result.calls[result.open[id]]
    if (call && type === "response.function_call_arguments.delta") growCall(result, call, delta)
    if (type === "response.failed") throw new Problem("api_error", String(response?.error?.message ?? "the response failed"))
    if (type === "response.completed" || type === "response.incomplete") ended(response, result)
  },
  whole(response, result) {
    const { output } = response
    if (!Array.isArray(output)) return false
    const joined = (kind, member) => output.filter(item => item.type === kind).flatMap(item => item[member]).map(part => part.text).join("")
    result.text = joined("message", "content")
    result.reasoning = joined("reasoning", "summary")
    result.calls = output.filter(item => item.type === "function_call").map(called)
    return ended(response, result)
  },
}

// ---- Gemini ----

const content = ({ role, text, calls, id, name }) =>
  calls ? { role: "model", parts: calls.map(({ id, name, arguments: given }) => ({ functionCall: { id, name, args: object(given) ?? {} } })) }
  : id ? { role: "user", parts: [{ functionResponse: { id, name, response: { result: text } } }] }
  : { role: role === "assistant" ? "model" : role, parts: [{ text }] }

const metadata = usage => usage && { prompt_tokens: usage.promptTokenCount, completion_tokens: (usage.candidatesTokenCount ?? 0) + (usage.thoughtsTokenCount ?? 0) }

function takeCandidate({ candidates, usageMetadata }, result) {
  const { content: said, finishReason } = candidates?.[0] ?? {}
  for (const { text, thought, functionCall: call } of said?.parts ?? []) {
    grow(result, thought ? "reasoning" : "text", text)
    if (call) growCall(result, (result.calls[result.calls.length] = { id: call.id ?? "", name: call.name, arguments: "" }), JSON.stringify(call.args ?? {}))
  }
  if (usageMetadata?.totalTokenCount) result.usage = metadata(usageMetadata)
  if (finishReason) result.finishReason = result.calls.length ? "tool_calls" : finishReason
}

// Nothing but the end of the body ends a stream: there is no last event.
const gemini = {
  path: model => `/v1beta/models/${encodeURIComponent(model)}:streamGenerateContent?alt=sse`,
  pathWhole: model => `/v1beta/models/${encodeURIComponent(model)}:generateContent`,
  provesEnd: false,
  calling: "tool_calls",
  key: key => ({ "x-goog-api-key": key }),
  body({ turns, tools, schema, temperature }) {
    const body = { contents: turns.map(content), generationConfig: { temperature } }
    if (tools) body.tools = [{ functionDeclarations: Object.entries(tools).map(([name, { parameters }]) => ({ name, parametersJsonSchema: parameters })) }]
    if (schema) Object.assign(body.generationConfig, { responseMimeType: "application/json", responseJsonSchema: schema })
    return body
  },
  take: (event, result) => takeCandidate(read(event), result),
  whole(value, result) {
    if (!Array.isArray(value.candidates)) return false
    takeCandidate(value, result)
    return true
  },
}

// ---- Cohere ----

const tokensOf = usage => usage?.tokens && { prompt_tokens: usage.tokens.input_tokens, completion_tokens: usage.tokens.output_tokens }

const cohere = {
  path: "/v2/chat",
  provesEnd: true,
  calling: "TOOL_CALL",
  key: openai.key,
  body({ model, turns, tools, schema, temperature, stream }) {
    const body = { model, messages: turns.map(chatMessage), temperature: Math.min(temperature, 1), stream }
    if (tools) body.tools = functions(tools)
    if (schema) body.response_format = { type: "json_object", json_schema: schema }
    return body
  },
  take(event, result) {
    if (event.data === "[DONE]") return // it comes after the last event
    const { type, index, delta } = read(event)
    const { content: part, tool_calls: call } = delta?.message ?? {}
    if (type === "content-delta") {
      grow(result, "text", part?.text)
      grow(result, "reasoning", part?.thinking)
    }
    if (type === "tool-call-start") result.open[index] = result.calls.push({ id: call.id, name: call.function.name, arguments: "" }) - 1
    if (type === "tool-call-start" || type === "tool-call-delta") growCall(result, result.calls[result.open[index]], call?.function?.arguments)
    if (type === "message-end" && delta?.finish_reason === "ERROR") throw new Problem("api_error", String(delta.error ?? "the answer failed"))
    if (type === "message-end") Object.assign(result, { finishReason: delta?.finish_reason, usage: tokensOf(delta?.usage), last: true })
  },
  whole({ message, finish_reason, usage }, result) {
    if (!message) return false
    const joined = (kind, member) => (message.content ?? []).filter(part => part.type === kind).map(part => part[member]).join("")
    result.text = joined("text", "text")
    result.reasoning = joined("thinking", "thinking")
    result.calls = (message.tool_calls ?? []).map(call => ({ id: call.id, ...call.function }))
    return Object.assign(result, { finishReason: finish_reason, usage: tokensOf(usage) })
  },
}

export const DIALECTS = { openai, anthropic, "openai-responses": responses, gemini, cohere }

// Where a request goes: with some, the model and the kind of answer stand in the path.
export function pathOf(dialect, model, stream = true) {
  if (typeof dialect.path === "string") return dialect.path
  return stream ? dialect.path(model) : dialect.pathWhole(model)
}
