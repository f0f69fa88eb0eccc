"""Quirks: how services that call themselves compatible deviate from chat completions.

In:   the chunks of a stream, and the bytes of its events, as ``openai.py`` writes them.
Out:  the same, as a service writes them.

Each quirk is one function with a sentence, the services it was seen in, and a source: an issue, the documents of a service,
a file of a service at a commit, or a measurement with SDKs. A function changes one of these, and its decorator says which:

    chunk       each chunk of a stream, a ``dict``                   changed in place
    choice      each choice of a chunk, or of a whole answer         changed in place
    delta       the delta of a choice, or its message                changed in place
    call        each tool call of a delta or message, or a fragment  changed in place
    chunks      all chunks of a stream, with the usage so far        an iterator in, an iterator out
    payloads    the bytes of all events, and how many were before    an iterator in, an iterator out
    bytes       the bytes of an event or a heartbeat                 returned
    heartbeat   its bytes, sent also before the first two events     returned
    error       the message of an error inside the stream            returned as bytes: an event, or what is in its place
    http-error  an error before the stream                           returned as the JSON object of the response
    model       a model in the list                                  changed in place
    request     how the answer to a request comes                    returned

They are applied in the order of this file: first those that change chunks, then those that change bytes. Of errors and of
HTTP errors the first counts, of heartbeats the last.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from sse_ref.codec import encode_event
from sse_ref.dialects.interface import Request
from sse_ref.dialects.strict_json import to_json
from sse_ref.errors import RequestError

__all__ = ["DONE_EVENT", "QUIRKS", "Quirk"]

Chunks = Iterator[dict[str, Any]]
Payloads = Iterator[bytes]
UsageSoFar = Callable[[], dict[str, Any]]
Function = Callable[..., Any]


class Quirk(NamedTuple):
    """A deviation. ``kind`` says what ``function`` changes, ``needs`` is the name of a quirk that it needs, or ""."""

    name: str
    sentence: str
    seen_in: str
    source: str
    kind: str
    function: Function
    needs: str


QUIRKS: dict[str, Quirk] = {}
"""The quirks by name."""


def changes(kind: str, seen_in: str, source: str, needs: str = "") -> Callable[[Function], Function]:
    """Enter a function into the table: its name with hyphens, and the first line of its docstring."""

    def enter(function: Function) -> Function:
        name = function.__name__.replace("_", "-")
        sentence = (function.__doc__ or "").partition("\n")[0].rstrip(".")
        QUIRKS[name] = Quirk(name, sentence, seen_in, source, kind, function, needs)
        return function

    return enter


def event(value: Any, name: str = "") -> bytes:
    """An event whose data is JSON."""
    return encode_event(to_json(value), event=name or None)


DONE_EVENT = b"data: [DONE]\n\n"

# ---- Comments --------------------------------------------------------------------------------------------------------


@changes("heartbeat", "OpenRouter", "openrouter.ai/docs, streaming")
def comment_processing() -> bytes:
    """Comments say OPENROUTER PROCESSING, at the beginning and in silences."""
    return b": OPENROUTER PROCESSING\n\n"


@changes("heartbeat", "DeepSeek", "api-docs.deepseek.com, rate limit")
def comment_keep_alive() -> bytes:
    """Comments say keep-alive, at the beginning and in silences."""
    return b": keep-alive\n\n"


@changes("heartbeat", "llama.cpp since b9478, TGI", "ggml-org/llama.cpp#24013, ollama/ollama#16443")
def comment_colon() -> bytes:
    """Comments are a colon and nothing else, at the beginning and in silences."""
    return b":\n\n"


# ---- Usage -----------------------------------------------------------------------------------------------------------


def has_ended(chunk: dict[str, Any]) -> bool:
    """Whether a finish reason stands in the chunk."""
    return any(choice.get("finish_reason") for choice in chunk.get("choices", ()))


def without_usage(chunks: Chunks) -> Chunks:
    """The chunks, without the usage that was asked for."""
    for chunk in chunks:
        chunk.pop("usage", None)
        if chunk["choices"]:
            yield chunk


@changes("chunks", "vLLM with continuous_usage_stats, SGLang, Moonshot", "kubeai-project/kubeai#283")
def usage_every_chunk(chunks: Chunks, usage: UsageSoFar) -> Chunks:
    """Each chunk has the usage so far."""
    return ({**chunk, "usage": usage()} for chunk in chunks)


@changes("chunks", "Mistral, Together, DeepSeek, xAI", "BerriAI/litellm#17136")
def usage_in_finish(chunks: Chunks, usage: UsageSoFar) -> Chunks:
    """The usage comes unasked, in the chunk that has the finish reason."""
    return ({**chunk, "usage": usage()} if has_ended(chunk) else chunk for chunk in without_usage(chunks))


@changes("chunks", "Groq", "Portkey-AI/gateway#1072")
def usage_x_groq(chunks: Chunks, usage: UsageSoFar) -> Chunks:
    """The usage comes unasked, in x_groq of the chunk that has the finish reason."""
    for number, chunk in enumerate(without_usage(chunks)):
        if number == 0 or has_ended(chunk):
            chunk["x_groq"] = {"id": f"req_{chunk['id'][-12:]}"} | (
                {"usage": {**usage(), "queue_time": 0.02}} if number else {}
            )
        yield chunk


@changes("chunks", "some gateways", "BerriAI/litellm#17136")
def usage_before_finish(chunks: Chunks, usage: UsageSoFar) -> Chunks:
    """The chunk with the usage comes unasked, before the finish reason."""
    for chunk in without_usage(chunks):
        if has_ended(chunk):
            yield {**chunk, "choices": [], "usage": usage()}
        yield chunk


@changes("payloads", "OrcaRouter Lite", "Continuum-AI-Corp/OrcaRouter-Lite#127")
def usage_after_done(payloads: Payloads, number: int) -> Payloads:
    """The chunk with the usage comes after [DONE]."""
    held = b""
    for payload in payloads:
        if b'"choices":[],' in payload and b'"usage":{' in payload:
            held = payload
        else:
            yield payload
    yield from filter(None, [held])


# ---- Tool calls ------------------------------------------------------------------------------------------------------


def calls_in(choice: dict[str, Any]) -> Any:
    """The tool calls in a choice, or the fragments of them."""
    return choice.get("delta", {}).get("tool_calls", ())


@changes("chunks", "Mistral, Ollama, Groq, LM Studio", "comet-ml/opik#7385; Ollama, openai/openai.go @0098875")
def tools_whole(chunks: Chunks, usage: UsageSoFar) -> Chunks:
    """All tool calls come whole, in the chunk that has the finish reason."""
    calls: dict[int, list[dict[str, Any]]] = {}
    for chunk in chunks:
        fragments = [(choice, call) for choice in chunk["choices"] for call in calls_in(choice)]
        for choice, fragment in fragments:
            known = calls.setdefault(choice["index"], [])
            if fragment["index"] == len(known):
                known.append(fragment)
            else:
                known[fragment["index"]]["function"]["arguments"] += fragment["function"]["arguments"]
        for choice in chunk["choices"]:
            if choice.get("finish_reason") and choice["index"] in calls:
                choice["delta"]["tool_calls"] = calls.pop(choice["index"])
        if not fragments or has_ended(chunk):
            yield chunk


@changes("call", "TGI, old Ollama", "TGI, router/src/chat.rs @03fe626", needs="tools-whole")
def tools_args_object(call: dict[str, Any]) -> None:
    """The arguments of tool calls are an object, not its text."""
    with contextlib.suppress(ValueError):  # a limit may have cut them
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])


@changes("call", "Ollama, OpenRouter with Bedrock", "OpenRouterTeam/ai-sdk-provider#310", needs="tools-whole")
def tools_args_missing(call: dict[str, Any]) -> None:
    """A tool call whose arguments are empty has no member arguments."""
    if call["function"]["arguments"] in ("{}", {}):
        del call["function"]["arguments"]


@changes("choice", "old OpenAI, Spark", "OpenAI, API reference, function_call (deprecated)")
def function_call(choice: dict[str, Any]) -> None:
    """The only tool call is a function_call, as it was until November 2023."""
    said = choice.get("delta", choice.get("message", {}))
    calls = said.pop("tool_calls", None)
    if calls and calls[0].get("index", 0) == 0:
        said["function_call"] = calls[0]["function"]
    if choice.get("finish_reason") == "tool_calls":
        choice["finish_reason"] = "function_call"


@changes("chunks", "TGI", "TGI, router/src/chat.rs @03fe626")
def tools_repeat(chunks: Chunks, usage: UsageSoFar) -> Chunks:
    """Each fragment of a tool call has the id and type again, and a null name."""
    heads: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            for call in calls_in(choice):
                if "id" in call:
                    heads[choice["index"]] = {"id": call["id"], "type": "function"}
                call |= {**heads[choice["index"]], "function": {"name": None, **call["function"]}}
        yield chunk


# ---- Roles, finish reasons, reasoning, indexes and ids, other members ------------------------------------------------


@changes("delta", "LocalAI, llama.cpp", "ggml-org/llama.cpp#13634")
def role_missing(delta: dict[str, Any]) -> None:
    """No delta has a role."""
    delta.pop("role", None)


@changes("delta", "Ollama, TGI, Together, LM Studio", "Ollama, openai/openai.go @0098875; TGI, chat.rs @03fe626")
def role_every_chunk(delta: dict[str, Any]) -> None:
    """Each delta has the role again."""
    delta["role"] = "assistant"


@changes("delta", "MiniMax", "MiniMax-AI/MiniMax-M2.5#2")
def role_empty(delta: dict[str, Any]) -> None:
    """Each delta has a role that is an empty string."""
    delta["role"] = ""


@changes("delta", "SGLang", "sgl-project/sglang#18335")
def role_null(delta: dict[str, Any]) -> None:
    """The role is null after the first delta."""
    delta.setdefault("role", None)


@changes("choice", "old Ollama, SGLang", "ollama/ollama#4357, sgl-project/sglang#3912")
def finish_empty_string(choice: dict[str, Any]) -> None:
    """The finish reason of a choice that has not ended is an empty string."""
    choice["finish_reason"] = choice["finish_reason"] or ""


@changes("choice", "LocalAI, variants of vLLM", "vllm-project/vllm#19650")
def finish_key_missing(choice: dict[str, Any]) -> None:
    """A choice that has not ended has no member finish_reason."""
    if choice["finish_reason"] is None:
        del choice["finish_reason"]


@changes("choice", "gcli2api, gateways to Gemini", "su-kaka/gcli2api#403")
def finish_every_chunk(choice: dict[str, Any]) -> None:
    """Each chunk has a finish reason."""
    choice["finish_reason"] = choice.get("finish_reason") or "stop"


@changes("choice", "Together; TGI says eos_token", "TGI, router/src/lib.rs @03fe626")
def finish_eos(choice: dict[str, Any]) -> None:
    """The finish reason is eos where the model stopped by itself, or eos_token in a whole answer."""
    if choice.get("finish_reason") == "stop":
        choice["finish_reason"] = "eos" if "delta" in choice else "eos_token"


@changes("choice", "TGI, old Ollama, gateways to Gemini", "ollama/ollama#7963")
def finish_stop_with_tools(choice: dict[str, Any]) -> None:
    """The finish reason of tool calls is stop."""
    if choice.get("finish_reason") == "tool_calls":
        choice["finish_reason"] = "stop"


@changes("delta", "DeepSeek, vLLM to 0.11, llama.cpp, Qwen, Ant Ling", "BerriAI/litellm#24019")
def reasoning_content(delta: dict[str, Any]) -> None:
    """Reasoning is reasoning_content, beside a content that is null."""
    if "reasoning_content" in delta:
        delta.setdefault("content", None)


@changes("delta", "vLLM, Ollama, Groq, OpenRouter", "vLLM, serving.py @006c49d; Effect-TS/effect-smol#2380")
def reasoning(delta: dict[str, Any]) -> None:
    """Reasoning is called reasoning."""
    if "reasoning_content" in delta:
        delta["reasoning"] = delta.pop("reasoning_content")


@changes("delta", "OpenRouter", "openrouter.ai/docs, reasoning tokens")
def reasoning_details(delta: dict[str, Any]) -> None:
    """Reasoning is a list of parts called reasoning_details."""
    if text := delta.pop("reasoning_content", None) or delta.get("reasoning"):
        delta["reasoning_details"] = [{"type": "reasoning.text", "text": text, "format": None, "index": 0}]


@changes("delta", "OpenAI, Azure", "OpenAI, API reference, the chunk object")
def refusal(delta: dict[str, Any]) -> None:
    """The text comes as a refusal."""
    if delta.get("content"):
        delta |= {"refusal": delta["content"], "content": None}


@changes("delta", "Mistral's reasoning models", "BerriAI/litellm#16272")
def content_list(delta: dict[str, Any]) -> None:
    """A content with reasoning is a list of parts."""
    if thought := delta.pop("reasoning_content", None) or delta.pop("reasoning", None):
        said = [{"type": "text", "text": delta["content"]}] if delta.get("content") else []
        delta["content"] = [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}, *said]


@changes("call", "old Ollama, gateways to Gemini", "ollama/ollama#7881, openai/openai-python#2806")
def tools_no_index(call: dict[str, Any]) -> None:
    """Tool calls have no index."""
    call.pop("index", None)


@changes("call", "Ollama, TGI", "ollama/ollama#15457; TGI, router/src/chat.rs @03fe626")
def tools_index_zero(call: dict[str, Any]) -> None:
    """All tool calls have the index 0."""
    if "index" in call:
        call["index"] = 0


@changes("call", "Bedrock Access Gateway", "aws-samples/bedrock-access-gateway#134")
def tools_index_from_one(call: dict[str, Any]) -> None:
    """The indexes of tool calls begin with 1."""
    if "index" in call:
        call["index"] += 1


@changes("call", "gateways to Gemini", "continuedev/continue#13225")
def tools_no_id(call: dict[str, Any]) -> None:
    """Tool calls have no id."""
    call.pop("id", None)


@changes("call", "TGI", "TGI, router/src/chat.rs @03fe626")
def tools_same_id(call: dict[str, Any]) -> None:
    """All tool calls have the same id."""
    if "id" in call:
        call["id"] = "0"


@changes("call", "Mistral", "microsoft/semantic-kernel#6316")
def tools_short_id(call: dict[str, Any]) -> None:
    """The ids of tool calls are nine letters and digits."""
    if "id" in call:
        call["id"] = hashlib.sha256(call["id"].encode()).hexdigest()[:9]


@changes("chunk", "TGI", "TGI, router/src/lib.rs @db931fc")
def ids_empty(chunk: dict[str, Any]) -> None:
    """The id of each chunk is empty."""
    chunk["id"] = ""


@changes("chunks", "TensorRT-LLM", "NVIDIA/TensorRT-LLM#14708")
def ids_change(chunks: Chunks, usage: UsageSoFar) -> Chunks:
    """Each chunk has an id of its own."""
    return ({**chunk, "id": f"{chunk['id']}-{number}"} for number, chunk in enumerate(chunks))


@changes("chunk", "Ollama", "Ollama, middleware/openai.go @077a50b")
def ids_collide(chunk: dict[str, Any]) -> None:
    """The id is one of 999: different answers may share it."""
    chunk["id"] = f"chatcmpl-{int(hashlib.sha256(chunk['id'].encode()).hexdigest(), 16) % 999}"


@changes("chunk", "SambaNova", "mlcommons/modelbench#1287")
def created_float(chunk: dict[str, Any]) -> None:
    """The time of creation has a fraction."""
    chunk["created"] = chunk.get("created", 0) + 0.25


@changes("chunks", "llama.cpp", "llama.cpp, tools/server/server-task.cpp @00efb3e")
def timings(chunks: Chunks, usage: UsageSoFar) -> Chunks:
    """The last chunks say how long the work took, the first how far the prompt is read."""
    for number, chunk in enumerate(chunks):
        read, written = usage()["prompt_tokens"], usage()["completion_tokens"]
        if number == 0:
            chunk["prompt_progress"] = {"total": read, "cache": 0, "processed": read, "time_ms": 1}
        elif not chunk["choices"] or has_ended(chunk):
            chunk |= {"timings": {"prompt_n": read, "predicted_n": written}, "__verbose": {"tokens_predicted": written}}
        yield chunk


@changes("chunk", "vLLM, SGLang, Together, OpenRouter, Mistral", "vLLM, chat_completion/serving.py @006c49d")
def extra_choice_fields(chunk: dict[str, Any]) -> None:
    """Chunks and choices have members that the vendor's have not."""
    chunk |= {"provider": "Toy", "obfuscation": "x7", "p": "abcd", "prompt_token_ids": None}
    for choice in chunk.get("choices", ()):
        choice |= {"stop_reason": None, "token_ids": None, "matched_stop": None, "seed": 1}
        choice |= {"text": choice["delta"].get("content") or "", "delta": {**choice["delta"], "token_id": 7}}
        choice["native_finish_reason"] = choice.get("finish_reason")


@changes("chunks", "some gateways", "measured with the AI SDK, November 2026")
def error_key_falsy(chunks: Chunks, usage: UsageSoFar) -> Chunks:
    """Each chunk has an error that is null or false."""
    return ({**chunk, "error": False if number % 2 else None} for number, chunk in enumerate(chunks))


@changes("chunks", "old TGI, Foundry Local", "huggingface/text-generation-inference#1648")
def choice_index_counts(chunks: Chunks, usage: UsageSoFar) -> Chunks:
    """The index of the choice counts the chunks."""
    for number, chunk in enumerate(chunks):
        for choice in chunk["choices"]:
            choice["index"] = number
        yield chunk


SAFE = {"hate": {"filtered": False, "severity": "safe"}}
EMPTY_HEAD = {"id": "", "object": "", "created": 0, "model": ""}


@changes("choice", "Azure", "langchain4j/langchain4j#2385")
def azure_choice_filter(choice: dict[str, Any]) -> None:
    """Each choice has the results of a content filter."""
    choice["content_filter_results"] = SAFE


@changes("chunks", "Azure", "openai/openai-python#1266")
def azure_prompt_filter(chunks: Chunks, usage: UsageSoFar) -> Chunks:
    """The first chunk has no choice, an empty id, and the results of the prompt's content filter."""
    said = [{"prompt_index": 0, "content_filter_results": SAFE}]
    for number, chunk in enumerate(chunks):
        if number == 0:  # not before: until then an HTTP status can still refuse the request
            yield {"choices": [], **EMPTY_HEAD, "prompt_filter_results": said}
        yield chunk


@changes("chunks", "Azure with the asynchronous filter", "microsoft/autogen#6465, langchain-ai/langchain#18977")
def azure_async_filter(chunks: Chunks, usage: UsageSoFar) -> Chunks:
    """Chunks whose choice has no delta come between the others, and after the finish reason."""
    results = {"content_filter_results": SAFE, "content_filter_offsets": {"check_offset": 0, "end_offset": 1}}
    choice = {"index": 0, "finish_reason": None, **results}
    for number, chunk in enumerate(chunks):
        yield chunk
        if number == 1 or has_ended(chunk):
            yield {**EMPTY_HEAD, "choices": [dict(choice)], "usage": None}


@changes("chunk", "ATOM", "ROCm/ATOM#1711")
def usage_without_choices(chunk: dict[str, Any]) -> None:
    """The chunk with the usage has no choices, not even an empty list."""
    if not chunk["choices"] and chunk.get("usage"):
        del chunk["choices"]


# ---- Errors inside the stream and before it, models ------------------------------------------------------------------


@changes("error", "Groq, Mistral, gateways", "UKGovernmentBEIS/inspect_ai#5218")
def finish_error(message: str) -> bytes:
    """An error is a finish reason, and has no message."""
    return event({"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}) + DONE_EVENT


@changes("error", "OpenRouter", "openrouter.ai/docs, errors")
def error_openrouter(message: str) -> bytes:
    """An error stands beside a choice with the finish reason error; [DONE] follows."""
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    return event({"error": {"code": 502, "message": message}, "choices": [choice]}) + DONE_EVENT


@changes("error", "vLLM, SGLang", "vLLM, chat_completion/serving.py @006c49d")
def error_vllm(message: str) -> bytes:
    """The code of an error is a number; [DONE] follows."""
    error = {"message": message, "type": "InternalServerError", "param": None, "code": 500}
    return event({"error": error}) + DONE_EVENT


@changes("error", "vLLM before 0.9.2, FastChat", "lm-sys/FastChat#3366")
def error_vllm_old(message: str) -> bytes:
    """An error is a chunk whose object is error, with its message on top; [DONE] follows."""
    return event({"object": "error", "message": message, "type": "InternalServerError", "code": 500}) + DONE_EVENT


@changes("error", "TGI, LM Studio, mlx", "TGI, router/src/server.rs @db931fc; Blaizzy/nativ#195")
def error_string(message: str) -> bytes:
    """An error is a string."""
    return event({"error": message, "error_type": "generation"})


@changes("error", "TGI", "TGI, router/src/server.rs @db931fc")
def error_tgi(message: str) -> bytes:
    """An error has an http_status_code; [DONE] follows."""
    return event({"error": {"message": message, "http_status_code": 422}}) + DONE_EVENT


@changes("error", "llama.cpp before September 2025", "ggml-org/llama.cpp#16104")
def error_field(message: str) -> bytes:
    """An error is a field named error, which event streams do not have."""
    return b"error: " + to_json({"code": 500, "message": message, "type": "server_error"}).encode() + b"\n\n"


@changes("error", "Ollama", "Ollama, middleware/openai.go @077a50b")
def error_swallowed(message: str) -> bytes:
    """An error is a line of JSON outside of events."""
    return to_json({"error": message}).encode() + b"\n"


@changes("error", "LM Studio, Groq", "zendev-sh/goai#110")
def error_lmstudio(message: str) -> bytes:
    """An error has the event type error."""
    return event({"error": {"message": message}, "message": message}, "error")


@changes("error", "hand-written servers", "ericmjl/llamabot, documents")
def error_event_text(message: str) -> bytes:
    """An error has the event type error, and is no JSON."""
    return encode_event(message, event="error")


@changes("error", "MiniMax", "MiniMax, API documents, base_resp")
def error_base_resp(message: str) -> bytes:
    """An error is a status in a chunk whose choices are null."""
    return event({"choices": None, "base_resp": {"status_code": 1002, "status_msg": message}})


@changes("http-error", "TGI, mlx", "TGI, router/src/server.rs @db931fc")
def http_error_string(error: RequestError) -> dict[str, Any]:
    """An HTTP error is a string."""
    return {"error": error.message, "error_type": "validation"}


@changes("http-error", "FastAPI, and what is built on it", "FastAPI, tutorial, handling errors")
def http_error_detail(error: RequestError) -> dict[str, Any]:
    """An HTTP error is called detail, and is a list."""
    return {"detail": [{"loc": ["body", error.param], "msg": error.message, "type": "value_error"}]}


@changes("http-error", "Mistral", "mistralai/platform-docs-public#212")
def http_error_nested(error: RequestError) -> dict[str, Any]:
    """The message of an HTTP error is an object."""
    return {"object": "error", "message": http_error_detail(error), "type": error.kind, "param": None, "code": "1000"}


@changes("http-error", "Mistral", "@ai-sdk/mistral, the schema of its errors")
def http_error_mistral(error: RequestError) -> dict[str, Any]:
    """The object of an HTTP error has its message on top, and a code of four digits."""
    return {"object": "error", "message": error.message, "type": error.kind, "param": error.param, "code": "1500"}


@changes("http-error", "OpenRouter", "openrouter.ai/docs, errors")
def http_error_openrouter(error: RequestError) -> dict[str, Any]:
    """The code of an HTTP error is its status, and a user stands beside it."""
    return {"error": {"code": error.status, "message": error.message}, "user_id": "user_1"}


@changes("model", "Mistral", "docs.mistral.ai, API, models")
def models_typed(model: dict[str, Any]) -> None:
    """Each model has a type, and says what it can do."""
    model["type"] = "base"
    model["capabilities"] = {"completion_chat": True, "function_calling": True, "vision": False}


# ---- The whole stream ------------------------------------------------------------------------------------------------


@changes("request", "proxies", "mistralai/mistral-vibe#619")
def stream_ignored(request: Request) -> Request:
    """The answer to a request for a stream is one JSON object."""
    return replace(request, stream=False)


@changes("request", "LitServe", "Lightning-AI/LitServe#359")
def content_type(request: Request) -> Request:
    """The media type of a stream is application/x-ndjson."""
    return replace(request, media_type="application/x-ndjson")


@changes("request", "MiMo, proxies", "earendil-works/pi#7954")
def held_after_done(request: Request) -> Request:
    """The connection stays open after [DONE], without the end of the body."""
    return replace(request, ends=False)


@changes("payloads", "TGI before #2221, textgen", "huggingface/text-generation-inference#1896")
def no_done(payloads: Payloads, number: int) -> Payloads:
    """There is no [DONE]."""
    return (payload for payload in payloads if payload != DONE_EVENT)


@changes("payloads", "hand-written servers", "mistralai/mistral-vibe#793")
def done_trailing_space(payloads: Payloads, number: int) -> Payloads:
    """A space follows [DONE]."""
    return (payload.replace(b"data: [DONE]\n", b"data: [DONE] \n") for payload in payloads)


@changes("payloads", "ODS, forks of llama.cpp", "Osmantic/ODS#5652")
def data_after_done(payloads: Payloads, number: int) -> Payloads:
    """An event follows [DONE]."""
    for payload in payloads:
        yield payload
        if payload == DONE_EVENT:
            yield event({"choices": [{"index": 0, "delta": {"content": "EXTRA"}, "finish_reason": None}]})


@changes("payloads", "Dify, gateways", "langgenius/dify-docs#793")
def event_names(payloads: Payloads, number: int) -> Payloads:
    """Each event has the type message, written out."""
    return (b"event: message\n" + payload if payload.startswith(b"data:") else payload for payload in payloads)


@changes("payloads", "Dify, gateways", "langgenius/dify-docs#793")
def event_ping(payloads: Payloads, number: int) -> Payloads:
    """Events of the type ping come between the others, with and without data."""
    for position, payload in enumerate(payloads, number):
        yield payload
        if position < 2:
            yield b"event: ping\ndata: {}\n\n" if position else b"event: ping\n\n"


@changes("payloads", "proxies that number events", "openai/openai-python#2722")
def id_then_comment(payloads: Payloads, number: int) -> Payloads:
    """Events have an id, and blocks of nothing but a comment stand between them."""
    for payload in payloads:
        if payload.startswith((b"data:", b"event:")):
            number += 1
            yield b"id: %d\n%b: c\n\n" % (number, payload)
        else:
            yield payload


@changes("bytes", "TGI 1, Dify", "sgl-project/genai-bench#159")
def no_space(written: bytes) -> bytes:
    """No space follows the colon of a field."""
    return re.sub(rb"(?m)^(\w+): ", rb"\1:", written)


@changes("bytes", "IIS, .NET", "kubernetes-sigs/inference-perf#781")
def crlf(written: bytes) -> bytes:
    """Lines end with CR and LF."""
    return written.replace(b"\n", b"\r\n")
