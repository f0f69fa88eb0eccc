"""The dialect of OpenAI's chat completions, and of the older text completions beside it.

In:   request bodies, pieces; or prompts, events.
Out:  ``chat.completion.chunk`` events, ``chat.completion`` objects, error objects; or request bodies, pieces.

Follows the vendor's API reference, "Chat completions" (create, the chat completion object, the chunk object) and
"Completions". A stream of this dialect is

    data: {... "choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
    data: {... "choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}      one for each piece of text
    data: {... "choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}                   once for each choice
    data: {... "choices":[],"usage":{...}}                                                  only if it was asked for
    data: [DONE]

with nothing but data fields: a widely used SDK fails on blocks that have an id or a reconnection time and no data. An error
in the middle is one event, ``data: {"error":{"message":...}}``, and the end. ``[DONE]`` is no part of the event stream
format: it is the data of an event, compared for equality.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sse_ref.codec import ServerSentEvent
from sse_ref.dialects.common import Request, read_json, to_json
from sse_ref.errors import ApiError, ProtocolError, RequestError
from sse_ref.pieces import (
    Call,
    End,
    Fragment,
    Message,
    ModelFailure,
    Piece,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    TokenLogprob,
    Tool,
    Usage,
)

__all__ = ["OpenAIChat", "OpenAICompletions"]

DONE = "[DONE]"
FINGERPRINT = "fp_toy"
MAX_TOOLS, MAX_NAME = 128, 64  # tools, and characters of a name: as the vendor's
MAX_STOP = 1000  # characters; what may become a stop string is held back, and must not hold up other streams
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
TYPES = {
    "timed_out": "server_error",
    "too_many": "rate_limit_error",
    "failed": "server_error",
    "stopping": "server_error",
}
CODES = {"no_key": "invalid_api_key", "wrong_key": "invalid_api_key", "no_model": "model_not_found"}
CODES["too_many"] = "rate_limit_exceeded"
JSON_OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "words": {"type": "array", "items": {"type": "string"}}},
}


class OpenAIChat:
    """Chat completions: ``POST /v1/chat/completions``."""

    name = "openai"
    path = "/chat/completions"
    query = frozenset({"api-version"})
    id_prefix = "chatcmpl-"
    chunk_object = "chat.completion.chunk"
    whole_object = "chat.completion"

    # ---- Requests ----------------------------------------------------------------------------------------------------

    def read_key(self, headers: Mapping[str, str]) -> str | None:
        """The key of ``Authorization: Bearer KEY``."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else None

    def read_request(self, body: bytes) -> Request:
        """Understand a request body. Unknown fields are ignored: SDK users pass extras of other providers."""
        fields = _Fields(body)
        model = fields.text("model")
        tools, tool_choice = self.read_tools(fields)
        max_tokens = fields.number("max_completion_tokens", None, 1, 2**31, whole=True)
        if max_tokens is None:
            max_tokens = fields.number("max_tokens", None, 1, 2**31, whole=True)
        for name, low, high in (("top_p", 0, 1), ("presence_penalty", -2, 2), ("frequency_penalty", -2, 2)):
            fields.number(name, None, low, high)  # looked at, without effect on the toy model
        prompt = Prompt(
            model=model,
            messages=self.read_messages(fields),
            tools=tools,
            tool_choice=tool_choice,
            parallel_tool_calls=fields.flag("parallel_tool_calls", True),
            schema=self.read_schema(fields),
            stop=self.read_stop(fields),
            max_tokens=max_tokens,
            n=fields.number("n", 1, 1, 128, whole=True),
            seed=fields.number("seed", 0, -(2**63), 2**63 - 1, whole=True),
            temperature=fields.number("temperature", 1.0, 0, 2),
            top_logprobs=self.read_logprobs(fields),
        )
        options = fields.object("stream_options")
        return Request(prompt, fields.flag("stream"), options.flag("include_usage"))

    def read_messages(self, fields: _Fields) -> tuple[Message, ...]:
        messages = []
        for message in fields.objects("messages", required=True):
            role = message.text("role")
            if role not in ROLES:
                raise message.error("role", f"must be one of {', '.join(ROLES)}")
            messages.append(Message(ROLES[role], self.read_content(message)))
        return tuple(messages)

    def read_content(self, message: _Fields) -> str:
        """The text of a message: a string, null, or the text parts of an array (pictures and sound are passed over)."""
        content = message.get("content")
        if content is None:
            return ""
        if isinstance(content, str):
            return content
        if not isinstance(content, list):
            raise message.error("content", "must be a string, an array of parts, or null")
        return "".join(part.text("text") for part in message.objects("content") if part.get("type") == "text")

    def read_tools(self, fields: _Fields) -> tuple[tuple[Tool, ...], str]:
        tools: list[Tool] = []
        for tool in fields.objects("tools"):
            function = tool.object("function", required=True)
            parameters = function.object("parameters").values or {"type": "object"}
            if len(tools) == MAX_TOOLS:
                raise fields.error("tools", f"must not be more than {MAX_TOOLS}")
            name = function.text("name")
            if len(name) > MAX_NAME:
                raise function.error("name", f"must not be longer than {MAX_NAME} characters")
            tools.append(Tool(name, {"type": "object", **parameters}))
        choice = fields.get("tool_choice")
        if choice is None:
            return tuple(tools), "auto"
        if isinstance(choice, str):
            if choice not in ("none", "auto", "required"):
                raise fields.error(
                    "tool_choice", 'must be "none", "auto", "required" or an object that names a function'
                )
            if choice == "required" and not tools:
                raise fields.error("tool_choice", "requires a call, but there are no tools")
            return tuple(tools), choice
        name = fields.object("tool_choice").object("function", required=True).text("name")
        chosen = tuple(tool for tool in tools if tool.name == name)
        if not chosen:
            raise fields.error("tool_choice", f"names the function {name!r}, which is not among the tools")
        return chosen[:1], "required"

    def read_logprobs(self, fields: _Fields) -> int | None:
        top_logprobs: int | None = fields.number("top_logprobs", None, 0, 20, whole=True)
        if fields.flag("logprobs"):
            return top_logprobs or 0
        if top_logprobs is not None:
            raise fields.error("top_logprobs", "needs logprobs to be true")
        return None

    def read_schema(self, fields: _Fields) -> Mapping[str, Any] | None:
        wanted = fields.object("response_format")
        match wanted.get("type"):
            case None if not wanted.values:
                return None
            case "text":
                return None
            case "json_object":
                return JSON_OBJECT
            case "json_schema":
                return wanted.object("json_schema", required=True).object("schema").values or JSON_OBJECT
        raise wanted.error("type", 'must be "text", "json_object" or "json_schema"')

    def read_stop(self, fields: _Fields) -> tuple[str, ...]:
        stop = fields.get("stop")
        stops = [stop] if isinstance(stop, str) else stop
        if stops is None:
            return ()
        if not isinstance(stops, list) or len(stops) > 4 or not all(isinstance(text, str) for text in stops):
            raise fields.error("stop", "must be a string, an array of up to 4 strings, or null")
        if any(len(text) > MAX_STOP for text in stops):
            raise fields.error("stop", f"must not be longer than {MAX_STOP} characters")
        return tuple(filter(None, stops))

    def write_key(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def write_request(self, request: Request) -> dict[str, Any]:
        prompt = request.prompt
        standard = Prompt(prompt.model, ())
        body: dict[str, Any] = {"model": prompt.model, **self.write_messages(prompt)}
        if request.stream:
            body["stream"] = True
            if request.include_usage:
                body["stream_options"] = {"include_usage": True}
        for name in ("max_tokens", "n", "seed", "temperature", "parallel_tool_calls"):
            if getattr(prompt, name) != getattr(standard, name):
                body[name] = getattr(prompt, name)
        if prompt.stop:
            body["stop"] = list(prompt.stop)
        if prompt.tools:
            body["tools"] = [
                {"type": "function", "function": {"name": tool.name, "parameters": tool.parameters}}
                for tool in prompt.tools
            ]
            body["tool_choice"] = prompt.tool_choice
        if prompt.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": prompt.schema},
            }
        return {**body, **self.write_logprobs(prompt)}

    def write_logprobs(self, prompt: Prompt) -> dict[str, Any]:
        return {} if prompt.top_logprobs is None else {"logprobs": True, "top_logprobs": prompt.top_logprobs}

    def write_messages(self, prompt: Prompt) -> dict[str, Any]:
        return {"messages": [{"role": message.role, "content": message.text} for message in prompt.messages]}

    # ---- From pieces to the wire -------------------------------------------------------------------------------------

    def write_stream(
        self, request: Request, pieces: Iterable[Piece], *, id: str, created: int
    ) -> Iterator[ServerSentEvent]:
        """The events of a stream, the last of them ``[DONE]`` unless the model fails."""
        head = self.head(self.chunk_object, request, id, created)
        no_usage = {"usage": None} if request.include_usage else {}
        frames: dict[int, tuple[str, str]] = {}  # choice: what stands before and after the text in each of its chunks

        def chunk(choice: dict[str, Any]) -> ServerSentEvent:
            return ServerSentEvent(to_json({**head, "choices": [choice], **no_usage}))

        try:
            for piece in pieces:
                if isinstance(piece, Text) and piece.choice in frames and not piece.logprobs:
                    # Everything but the text is the same in all these chunks of a choice: it is made once.
                    before, after = frames[piece.choice]
                    yield ServerSentEvent(f"{before}{to_json(piece.text)}{after}")
                elif isinstance(piece, (Text, Call, Fragment, End)):
                    if piece.choice not in frames:
                        frames[piece.choice] = self.frame(chunk, piece.choice)
                        yield from (chunk(choice) for choice in self.first(piece))
                    yield chunk(self.chunk_choice(piece, id))
                elif isinstance(piece, Usage) and request.include_usage:
                    yield ServerSentEvent(to_json({**head, "choices": [], "usage": _usage(piece)}))
        except ModelFailure as failure:
            yield ServerSentEvent(to_json(_error(str(failure), "server_error")))
        else:
            yield ServerSentEvent(DONE)

    def head(self, name: str, request: Request, id: str, created: int) -> dict[str, Any]:
        """What every chunk of a stream begins with, and the whole answer too."""
        return {
            "id": self.id_prefix + id,
            "object": name,
            "created": created,
            "model": request.prompt.model,
            "system_fingerprint": FINGERPRINT,
        }

    def frame(self, chunk: Any, choice: int) -> tuple[str, str]:
        before, _, after = chunk(self.chunk_choice(Text("\0", choice), "")).data.rpartition('"\\u0000"')
        return before, after

    def first(self, piece: Text | Call | Fragment | End) -> Iterator[dict[str, Any]]:
        """The chunk that gives the role, before the first piece of a choice."""
        content = None if isinstance(piece, Call) else ""
        yield self.choice(piece.choice, {"delta": {"role": "assistant", "content": content}})

    def chunk_choice(self, piece: Text | Call | Fragment | End, id: str) -> dict[str, Any]:
        match piece:
            case Text():
                return self.choice(piece.choice, {"delta": {"content": piece.text}}, logprobs=piece.logprobs)
            case Call():
                call = {"index": piece.index, "id": _call_id(id, piece), "type": "function"}
                call["function"] = {"name": piece.name, "arguments": ""}
                return self.choice(piece.choice, {"delta": {"tool_calls": [call]}})
            case Fragment():
                fragment = {"index": piece.index, "function": {"arguments": piece.arguments}}
                return self.choice(piece.choice, {"delta": {"tool_calls": [fragment]}})
            case End():
                return self.choice(piece.choice, {"delta": {}}, reason=piece.reason)

    def choice(
        self,
        index: int,
        content: dict[str, Any],
        *,
        logprobs: Iterable[TokenLogprob] = (),
        reason: str | None = None,
    ) -> dict[str, Any]:
        return {"index": index, **content, "logprobs": _logprobs(logprobs), "finish_reason": reason}

    def write_answer(self, request: Request, pieces: Iterable[Piece], *, id: str, created: int) -> dict[str, Any]:
        """The ``chat.completion`` object: what a client would put together from the stream."""
        answer = {**self.head(self.whole_object, request, id, created), "choices": []}
        texts: dict[int, list[Text]] = {}
        calls: dict[int, list[dict[str, Any]]] = {}
        for piece in pieces:
            match piece:
                case Text():
                    texts.setdefault(piece.choice, []).append(piece)
                case Call():
                    call = {
                        "id": _call_id(id, piece),
                        "type": "function",
                        "function": {"name": piece.name, "arguments": ""},
                    }
                    calls.setdefault(piece.choice, []).append(call)
                case Fragment():
                    calls[piece.choice][piece.index]["function"]["arguments"] += piece.arguments
                case End():
                    content = self.whole(texts.pop(piece.choice, []), calls.get(piece.choice, []))
                    logprobs = content.pop("logprobs")
                    answer["choices"].append(self.choice(piece.choice, content, logprobs=logprobs, reason=piece.reason))
                case Usage():
                    answer["usage"] = _usage(piece)
        answer["choices"].sort(key=lambda choice: choice["index"])
        return answer

    def whole(self, texts: list[Text], calls: list[dict[str, Any]]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None if calls else _joined(texts), "refusal": None}
        if calls:
            message["tool_calls"] = calls
        return {"message": message, "logprobs": [entry for text in texts for entry in text.logprobs]}

    def write_error(self, error: RequestError) -> dict[str, Any]:
        return _error(error.message, TYPES.get(error.kind, "invalid_request_error"), error.param, CODES.get(error.kind))

    # ---- From the wire to pieces -------------------------------------------------------------------------------------

    def reader(self) -> _ChunkReader:
        return _ChunkReader()

    def read_error(self, body: bytes) -> str:
        """The message of an error object, also in the shapes that other servers of this dialect send."""
        try:
            value = read_json(body.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return body.decode("utf-8", "replace").strip()
        if message := _words(value):
            return message
        shapes = (value.get(name) for name in MESSAGE_MEMBERS) if isinstance(value, dict) else [value]
        return next((_as_json(shape) for shape in shapes if shape), "")


class OpenAICompletions(OpenAIChat):
    """The older text completions, ``POST /v1/completions``: a prompt in place of messages, text in place of deltas."""

    name = "openai-completions"
    path = "/completions"
    id_prefix = "cmpl-"
    chunk_object = "text_completion"
    whole_object = "text_completion"

    def read_messages(self, fields: _Fields) -> tuple[Message, ...]:
        prompt = fields.get("prompt")
        if isinstance(prompt, list) and len(prompt) == 1:
            prompt = prompt[0]
        if not isinstance(prompt, str):
            raise fields.error("prompt", "must be a string, or an array of one string")
        return (Message("user", prompt),)

    def read_tools(self, fields: _Fields) -> tuple[tuple[Tool, ...], str]:
        return (), "none"

    def read_logprobs(self, fields: _Fields) -> int | None:
        fields.number(
            "logprobs", None, 0, 5, whole=True
        )  # looked at: its shape is another one here, and is not written
        return None

    def write_logprobs(self, prompt: Prompt) -> dict[str, Any]:
        return {}

    def write_messages(self, prompt: Prompt) -> dict[str, Any]:
        return {"prompt": prompt.last_text("user")}

    def first(self, piece: Text | Call | Fragment | End) -> Iterator[dict[str, Any]]:
        return iter(())  # there is no role to give

    def chunk_choice(self, piece: Text | Call | Fragment | End, id: str) -> dict[str, Any]:
        if isinstance(piece, Text):
            return self.choice(piece.choice, {"text": piece.text})
        return self.choice(piece.choice, {"text": ""}, reason=piece.reason if isinstance(piece, End) else None)

    def whole(self, texts: list[Text], calls: list[dict[str, Any]]) -> dict[str, Any]:
        return {"text": _joined(texts), "logprobs": ()}


# ---- The shapes both directions share --------------------------------------------------------------------------------


def _error(message: str, type: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": (usage.prompt_tokens or 0) + (usage.completion_tokens or 0),
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _call_id(id: str, call: Call) -> str:
    return f"call_{id[:16]}_{call.choice}_{call.index}"


def _joined(texts: Iterable[Text]) -> str:
    return "".join(text.text for text in texts)


def _logprobs(logprobs: Iterable[TokenLogprob]) -> dict[str, Any] | None:
    content = [
        {
            **_token(entry.token, entry.logprob),
            "top_logprobs": [_token(token, logprob) for token, logprob in entry.top],
        }
        for entry in logprobs
    ]
    return {"content": content, "refusal": None} if content else None


def _token(token: bytes, logprob: float) -> dict[str, Any]:
    try:
        text = token.decode()
    except UnicodeDecodeError:  # part of a character, written as the vendor writes it
        text = "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)
    return {"token": text, "logprob": logprob, "bytes": list(token)}


# ---- Reading requests ------------------------------------------------------------------------------------------------


class _Fields:
    """The members of a JSON object in a request, read one by one; a wrong one is named by its path."""

    def __init__(self, source: bytes | Mapping[str, Any], path: str = "") -> None:
        self.path = path
        self.values = _request_json(source) if isinstance(source, bytes) else source

    def error(self, name: str, problem: str) -> RequestError:
        path = self.path + name
        return RequestError("bad_request", f"{path} {problem}", param=path)

    def get(self, name: str) -> Any:
        return self.values.get(name)

    def text(self, name: str) -> str:
        value = self.get(name)
        if not isinstance(value, str) or not value:
            raise self.error(name, "is missing" if value is None else "must be a string that is not empty")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.get(name)
        if not isinstance(value, bool | None):
            raise self.error(name, "must be true, false or null")
        return default if value is None else value

    def number(self, name: str, default: Any, low: float, high: float, *, whole: bool = False) -> Any:
        value = self.get(name)
        if value is None:
            return default
        kinds: Any = int if whole else int | float
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            raise self.error(name, f"must be {'a whole number' if whole else 'a number'} from {low} to {high}, or null")
        return value

    def object(self, name: str, *, required: bool = False) -> _Fields:
        value = self.get(name)
        if value is None and not required:
            value = {}
        if not isinstance(value, dict):
            raise self.error(name, "is missing" if value is None else "must be an object")
        return _Fields(value, f"{self.path}{name}.")

    def objects(self, name: str, *, required: bool = False) -> Iterator[_Fields]:
        value = self.get(name)
        if value is None and not required:
            return
        if value is None:
            raise self.error(name, "is missing")
        if not isinstance(value, list) or (required and not value):
            raise self.error(name, "must be an array" + (" that is not empty" if required else ""))
        for position, element in enumerate(value):
            path = f"{self.path}{name}[{position}]"
            if not isinstance(element, dict):
                raise RequestError("bad_request", f"{path} must be an object", param=path)
            yield _Fields(element, path + ".")


_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


MAX_CONTAINERS = 100_000  # arrays and objects in a request: what they cost is not in proportion to their bytes


def _request_json(body: bytes) -> dict[str, Any]:
    """The JSON object of a request, as strict as the standard is."""
    if body.count(b"[") + body.count(b"{") > MAX_CONTAINERS:
        raise RequestError(
            "bad_request", f"the body may hold more than {MAX_CONTAINERS} arrays and objects, which is the limit"
        )
    try:
        values = read_json(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RequestError("bad_request", f"the body is not valid JSON: {problem}") from None
    if not isinstance(values, dict):
        raise RequestError("bad_request", "the body must be a JSON object")
    if _SURROGATE_ESCAPE.search(body):
        for name, value in values.items():
            try:
                to_json({name: value}).encode()
            except UnicodeEncodeError:
                raise RequestError("bad_request", "a string holds half of a surrogate pair", param=name) from None
    return values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


# ---- Reading streams -------------------------------------------------------------------------------------------------


MAX_WARNINGS = 100  # of one stream: the rest would say little more


class _ChunkReader:
    """Reads chunks into pieces, tolerant of what servers of this dialect are known to leave out or to add.

    A choice that has begun must end with a finish reason. The id, the name and the arguments of a tool call may come in any
    fragment. Calls are told apart by their index; where a server sends no index, or the same for all, by their id. What
    cannot be told apart is an error, never merged in silence.
    """

    def __init__(self) -> None:
        self.done = False
        self.warnings: list[str] = []
        self.id: str | None = None
        self.choices: dict[int, _OpenChoice] = {}

    @property
    def finished(self) -> bool:
        begun = [choice for choice in self.choices.values() if choice.begun]
        return bool(begun) and all(choice.ended for choice in begun)

    def read(self, event: ServerSentEvent) -> Iterator[Piece]:
        if event.data == DONE:
            self.done = True
            return
        if not event.data and event.event == "error":
            raise ApiError("the server sent an error without a message")
        if not event.data:
            self.warn("an event had empty data")
            return
        chunk = self.read_chunk(event)
        if chunk is None:
            return
        error = _error_in(event, chunk)
        if chunk.get("id"):
            if self.id not in (None, chunk["id"]):
                self.warn("the id changed from one chunk to another")
            self.id = chunk["id"]
        for choice in _list(chunk, "choices"):
            yield from self.read_choice(choice)
        if error:
            raise ApiError(error)
        usage = chunk.get("usage")
        if usage is None and isinstance(chunk.get("x_groq"), dict):
            usage = chunk["x_groq"].get("usage")
        if isinstance(usage, dict):
            yield from self.read_usage(usage)

    def read_chunk(self, event: ServerSentEvent) -> dict[str, Any] | None:
        """The JSON object of an event; None for what is passed over: text under a foreign type, or ``[DONE]`` with white
        space around it, after all has ended."""
        try:
            chunk = read_json(event.data)
        except (ValueError, RecursionError):
            if event.event == "error":
                raise ApiError(_shortened(event.data)) from None
            if event.data.strip() == DONE and self.finished:
                self.warn("the end mark had white space around it")
                self.done = True
                return None
            if event.event != "message":
                self.warn(f"an event of the type {_shortened(event.event)} was passed over")
                return None
            raise ProtocolError(f"an event is not JSON: {_shortened(event.data)}") from None
        if isinstance(chunk, dict):
            return chunk
        if event.event == "error":
            raise ApiError(_words(chunk) or _shortened(event.data))
        raise ProtocolError(f"an event is no JSON object: {_shortened(event.data)}")

    def read_usage(self, usage: dict[str, Any]) -> Iterator[Usage]:
        values = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        prompt_tokens, completion_tokens = map(_token_count, values)
        if any(value is not None and _token_count(value) is None for value in values):
            self.warn("a number of the usage was passed over: it is no whole number")
        if (prompt_tokens, completion_tokens) != (None, None):
            yield Usage(prompt_tokens, completion_tokens)

    def read_choice(self, values: dict[str, Any]) -> Iterator[Piece]:
        number = values.get("index") or 0
        if type(number) is not int:
            raise ProtocolError(f"the index of a choice is {_shortened(_as_json(number))}")
        delta = values.get("delta") or values.get("message") or {}  # a message: the server does not stream
        if not isinstance(delta, dict):
            raise ProtocolError(f"a delta is no object: {_shortened(_as_json(delta))}")
        choice = self.choices.setdefault(number, _OpenChoice(number))
        for kind, text in self.read_texts(values, delta):
            choice.begun = True
            if choice.ended:
                self.warn("content came after the finish reason")
            if text := choice.whole_characters(kind, text):
                yield kind(text, number)
        for fragment in self.fragments(delta):
            choice.begun = True
            yield from self.read_call(choice, fragment)
        choice.begun = choice.begun or bool(delta.get("role"))
        reason = values.get("finish_reason")
        if reason and reason != "error":  # an error ends the stream, not the choice
            yield from self.end(choice, str(reason))

    def read_texts(self, values: dict[str, Any], delta: dict[str, Any]) -> Iterator[tuple[_TextKind, str]]:
        """The texts of a delta, each with the kind of piece that it is: reasoning, text, refusal."""
        for name in ("reasoning_content", "reasoning"):  # two names for one thing; some services send both
            if isinstance(delta.get(name), str) and delta[name]:
                yield Reasoning, delta[name]
                break
        content = delta.get("content")
        if content is None:
            content = values.get("text")  # text completions
        if isinstance(content, list):
            for part in _list({"a content": content}, "a content"):
                yield from self.read_part(part)
        elif content:
            yield Text, _text(content, "a content")
        if delta.get("refusal"):
            yield Refusal, _text(delta["refusal"], "a refusal")

    def read_part(self, part: dict[str, Any]) -> Iterator[tuple[_TextKind, str]]:
        """One part of a content that is a list."""
        match part.get("type"):
            case "text" if part.get("text"):
                yield Text, _text(part["text"], "a text")
            case "refusal" if part.get("refusal"):
                yield Refusal, _text(part["refusal"], "a refusal")
            case "thinking" if isinstance(part.get("thinking"), str):
                yield Reasoning, part["thinking"]
            case "thinking":
                for thought in _list(part, "thinking"):
                    if thought.get("text"):
                        yield Reasoning, _text(thought["text"], "a thought")
            case "text" | "refusal":
                pass
            case other:
                self.warn(f"a part of a content was passed over: {_shortened(_as_json(other))}")

    def end(self, choice: _OpenChoice, reason: str) -> Iterator[Piece]:
        if choice.ended:
            self.warn("a choice finished twice")
            return
        yield from choice.rest()
        for call in choice.calls:
            if not call.name:
                raise ProtocolError("a tool call came without a name")
            if not call.arguments:  # some services leave them out where a tool has no parameters
                yield Fragment(call.position, "{}", choice.number)
            elif reason != "length":
                self.check_arguments(call.arguments.decode("utf-8", "surrogatepass"))
        choice.begun = choice.ended = True
        yield End(reason, choice.number)

    def check_arguments(self, text: str) -> None:
        """Two JSON values are the arguments of two calls, merged; text that is no JSON may be the fault of a model."""
        try:
            _, end = json.JSONDecoder().raw_decode(text.lstrip())
            rest = text.lstrip()[end:].strip()
            if rest:
                json.JSONDecoder().raw_decode(rest)
                raise ProtocolError(f"two tool calls cannot be told apart: the arguments are {_shortened(text)}")
        except (ValueError, RecursionError):
            self.warn(f"the arguments of a tool call are not JSON: {_shortened(text)}")

    def fragments(self, delta: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The fragments of tool calls in a delta; the older ``function_call`` is a call that is the only one."""
        yield from _list(delta, "tool_calls")
        if delta.get("function_call") is not None:
            yield {"index": "function_call", "function": delta["function_call"]}

    def read_call(self, choice: _OpenChoice, fragment: dict[str, Any]) -> Iterator[Piece]:
        function = fragment.get("function") or {}
        if not isinstance(function, dict):
            raise ProtocolError("the function of a tool call is no object")
        members = fragment.get("id"), function.get("name"), function.get("arguments")
        id, name, arguments = (_text(member or "", "a part of a tool call") for member in members)
        call = self.find_call(choice, fragment.get("index"), id, name)
        known = call.id, call.name
        if id and not call.id:
            call.id = choice.whole_characters(("id", call.position), id)
            choice.by_id[id] = call
        if name and name != call.name:
            if call.arguments and call.name:
                raise ProtocolError(f"the name of a tool call changed from {call.name!r} to {name!r}")
            call.name += choice.whole_characters(("name", call.position), name)
        if not call.announced or known != (call.id, call.name):
            call.announced = True
            yield Call(call.position, call.name, call.id, choice.number)
        if not arguments:
            return
        if choice.ended:
            raise ProtocolError("the arguments of a tool call came after the finish reason")
        call.arguments += arguments.encode("utf-8", "surrogatepass")
        if arguments := choice.whole_characters(call.position, arguments):
            yield Fragment(call.position, arguments, choice.number)

    def find_call(self, choice: _OpenChoice, index: Any, id: str, name: str) -> _OpenCall:
        """The call that a fragment goes on with, or a new one if it begins one."""
        if not isinstance(index, int | str | None):
            raise ProtocolError(f"the index of a tool call is {_shortened(_as_json(index))}")
        same_id = choice.by_id.get(id) if id else None
        if index is None:
            if same_id:
                return same_id
            last = choice.calls[-1] if choice.calls else None
            begins = last is None or (id and last.id) or (name and last.name)
            return choice.begin(index) if begins else last  # type: ignore[return-value]
        same_index = choice.by_index.get(index)
        if same_index is None:
            return same_id if same_id and not name else choice.begin(index)
        if id and same_index.id and same_index.id != id:
            self.warn("two tool calls have the same index")
            choice.by_index[index] = same_id or choice.begin(index)  # what comes without an id goes on with this one
            return choice.by_index[index]
        return same_index

    def warn(self, warning: str) -> None:
        if warning not in self.warnings and len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(warning)


_TextKind = type[Text] | type[Reasoning] | type[Refusal]


class _OpenCall:
    """A tool call that fragments may still be added to."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.id = ""
        self.name = ""
        self.arguments = bytearray()  # as UTF-8: there may be many small fragments
        self.announced = False  # a Call was given for it


class _OpenChoice:
    """A choice that deltas may still be added to. Calls are found by key: there may be thousands."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.begun = False
        self.ended = False
        self.calls: list[_OpenCall] = []
        self.by_index: dict[int | str, _OpenCall] = {}
        self.by_id: dict[str, _OpenCall] = {}
        # For each text that half a surrogate pair has been seen in (a kind of piece, or the position of a call).
        self.surrogates: dict[Any, codecs.IncrementalDecoder] = {}

    def begin(self, index: int | str | None) -> _OpenCall:
        call = _OpenCall(len(self.calls))
        self.calls.append(call)
        if index is not None:
            self.by_index[index] = call
        return call

    def whole_characters(self, key: Any, text: str) -> str:
        """Join a surrogate pair that was cut in two by ``\\u`` escapes in two chunks; half a pair becomes U+FFFD."""
        decoder = self.surrogates.get(key)
        if decoder is None:
            try:
                text.encode()
                return text
            except UnicodeEncodeError:
                decoder = self.surrogates[key] = codecs.getincrementaldecoder("utf-16-le")("replace")
        return decoder.decode(text.encode("utf-16-le", "surrogatepass"))

    def rest(self) -> Iterator[Piece]:
        """What is left of pairs whose second half never came."""
        for key, decoder in self.surrogates.items():
            if rest := decoder.decode(b"", True):
                if isinstance(key, int):
                    yield Fragment(key, rest, self.number)
                elif isinstance(key, type):
                    yield key(rest, self.number)


def _error_in(event: ServerSentEvent, chunk: dict[str, Any]) -> str:
    """The message of the error that a chunk reports, "" if it reports none."""
    error = chunk.get("error")
    if error and (not isinstance(error, dict | list) or _words(error) or any(_members(error))):
        return _words(error) or _shortened(_as_json(error))
    if event.event == "error":
        return _words(chunk) or _shortened(event.data)
    status = chunk.get("base_resp")
    if isinstance(status, dict) and status.get("status_code"):
        return _words(status) or _shortened(_as_json(status))
    for choice in _list(chunk, "choices"):
        if choice.get("error") or choice.get("finish_reason") == "error":
            groq = chunk.get("x_groq")
            told = _words(choice.get("error")) or _words(groq.get("error") if isinstance(groq, dict) else None)
            return told or "the server ended the answer with an error"
    if event.event != "message":
        return ""
    if "error" in (chunk.get("object"), chunk.get("type")):
        return _words(chunk) or _shortened(event.data)
    # An object without choices and with a message is an error, but for what says that all is well.
    codes = [chunk[name] for name in ("code", "status_code", "status") if type(chunk.get(name)) is int]
    if "choices" not in chunk and "usage" not in chunk and 0 not in codes and not _is_sign_of_life(chunk):
        return _words(chunk)
    return _shortened(event.data) if not chunk.get("choices") and any(code >= 400 for code in codes) else ""


def _members(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _is_sign_of_life(chunk: dict[str, Any]) -> bool:
    return any(re.search("ping|alive|heartbeat", str(chunk.get(name))) for name in ("object", "type"))


def _token_count(value: Any) -> int | None:
    """A whole number of tokens, which some services write as 3.0; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        return None
    return int(value) if value == int(value) else None


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ProtocolError(f"{what} is no string: {_shortened(_as_json(value))}")
    return value


def _list(owner: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A member that is an array of objects; nothing if it is missing or null."""
    value = owner.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(element, dict) for element in value):
        raise ProtocolError(f"{name} is no array of objects: {_shortened(_as_json(value))}")
    return value


MESSAGE_MEMBERS = ("message", "error", "errors", "detail", "error_msg", "status_msg", "msg")


def _words(shape: Any, depth: int = 6) -> str:
    """The message of an error, in whichever shape: a string, an object that has one, or an array of those."""
    if isinstance(shape, str) or depth == 0:
        return shape if isinstance(shape, str) else ""
    if isinstance(shape, list):
        return "; ".join(filter(None, (_words(element, depth - 1) for element in shape[:10])))
    if isinstance(shape, dict):
        return next(filter(None, (_words(shape.get(name), depth - 1) for name in MESSAGE_MEMBERS)), "")
    return ""


def _as_json(value: Any) -> str:
    """Anything that was read as JSON, for a message: NaN too, which Python reads although JSON has none."""
    return json.dumps(value, ensure_ascii=False)


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
