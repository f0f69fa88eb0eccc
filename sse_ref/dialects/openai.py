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
from sse_ref.dialects.common import ApiError, ProtocolError, Request, RequestError, to_json
from sse_ref.model import (
    MODELS,
    Call,
    End,
    Fragment,
    Message,
    ModelFailure,
    Piece,
    Prompt,
    Text,
    TokenChance,
    Tool,
    Usage,
)

__all__ = ["OpenAIChat", "OpenAICompletions"]

DONE = "[DONE]"
FINGERPRINT = "fp_toy"
MAX_TOOLS = 128  # as the vendor's
MAX_STOP = 1000  # characters; what may become a stop string is held back, and must not hold up other streams
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
JSON_OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "words": {"type": "array", "items": {"type": "string"}}},
}


class OpenAIChat:
    """Chat completions: ``POST /v1/chat/completions``."""

    name = "openai"
    path = "/chat/completions"
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
        if model not in MODELS:
            raise RequestError(
                404,
                f"the model {model!r} does not exist; there are {', '.join(MODELS)}",
                param="model",
                code="model_not_found",
            )
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
            tools.append(Tool(function.text("name"), {"type": "object", **parameters}))
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
                if isinstance(piece, Text) and piece.choice in frames and not piece.chances:
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
                return self.choice(piece.choice, {"delta": {"content": piece.text}}, chances=piece.chances)
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
        chances: Iterable[TokenChance] = (),
        reason: str | None = None,
    ) -> dict[str, Any]:
        return {"index": index, **content, "logprobs": _logprobs(chances), "finish_reason": reason}

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
                    chances = content.pop("chances")
                    answer["choices"].append(self.choice(piece.choice, content, chances=chances, reason=piece.reason))
                case Usage():
                    answer["usage"] = _usage(piece)
        answer["choices"].sort(key=lambda choice: choice["index"])
        return answer

    def whole(self, texts: list[Text], calls: list[dict[str, Any]]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None if calls else _joined(texts), "refusal": None}
        if calls:
            message["tool_calls"] = calls
        return {"message": message, "chances": [chance for text in texts for chance in text.chances]}

    def write_error(self, error: RequestError) -> dict[str, Any]:
        return _error(error.message, error.type, error.param, error.code)

    # ---- From the wire to pieces -------------------------------------------------------------------------------------

    def reader(self) -> _ChunkReader:
        return _ChunkReader()

    def read_error(self, body: bytes) -> str:
        """The message of an error object, also in the shapes that other servers of this dialect send."""
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return body.decode("utf-8", "replace").strip()
        if not isinstance(value, dict):
            return _as_json(value)
        for shape in (value.get("error"), value.get("message"), value.get("detail"), value):
            if message := _message(shape):
                return message
        return ""


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
        return {"text": _joined(texts), "chances": ()}


# ---- The shapes both directions share --------------------------------------------------------------------------------


def _error(message: str, type: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _call_id(id: str, call: Call) -> str:
    return f"call_{id[:16]}_{call.choice}_{call.index}"


def _joined(texts: Iterable[Text]) -> str:
    return "".join(text.text for text in texts)


def _logprobs(chances: Iterable[TokenChance]) -> dict[str, Any] | None:
    content = [
        {
            **_token(chance.token, chance.logprob),
            "top_logprobs": [_token(token, logprob) for token, logprob in chance.top],
        }
        for chance in chances
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
        return RequestError(400, f"{path} {problem}", param=path)

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
                raise RequestError(400, f"{path} must be an object", param=path)
            yield _Fields(element, path + ".")


_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


def _request_json(body: bytes) -> dict[str, Any]:
    """The JSON object of a request, as strict as the standard is."""
    try:
        values = json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RequestError(400, f"the body is not valid JSON: {problem}") from None
    if not isinstance(values, dict):
        raise RequestError(400, "the body must be a JSON object")
    if _SURROGATE_ESCAPE.search(body):
        for name, value in values.items():
            try:
                to_json({name: value}).encode()
            except UnicodeEncodeError:
                raise RequestError(400, "a string holds half of a surrogate pair", param=name) from None
    return values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


# ---- Reading streams -------------------------------------------------------------------------------------------------


class _ChunkReader:
    """Reads chunks into pieces, tolerant of what servers of this dialect are known to leave out or to add.

    A choice that has begun must end with a finish reason. Tool calls are told apart by their index; where a server sends
    no index, or the same for all, by their id. What cannot be told apart is an error, never merged in silence.
    """

    def __init__(self) -> None:
        self.done = False
        self.warnings: list[str] = []
        self.id: str | None = None
        self.begun: set[int] = set()
        self.ended: set[int] = set()
        self.calls: dict[int, list[_OpenCall]] = {}
        self.surrogates: dict[int, codecs.IncrementalDecoder] = {}

    @property
    def finished(self) -> bool:
        return bool(self.ended) and self.begun <= self.ended

    def read(self, event: ServerSentEvent) -> list[Piece]:
        if event.data == DONE:
            self.done = True
            return []
        if not event.data:
            self.warn("an event had empty data")
            return []
        try:
            chunk = json.loads(event.data)
        except (ValueError, RecursionError):
            raise ProtocolError(f"an event is not JSON: {_shortened(event.data)}") from None
        if not isinstance(chunk, dict):
            raise ProtocolError(f"an event is no JSON object: {_shortened(event.data)}")
        if chunk.get("error") or event.event == "error":
            raise ApiError(_message(chunk.get("error")) or _message(chunk) or _shortened(event.data))
        if chunk.get("id") is not None:
            if self.id not in (None, chunk["id"]):
                self.warn("the id changed from one chunk to another")
            self.id = chunk["id"]
        pieces: list[Piece] = []
        for choice in _list(chunk, "choices"):
            pieces += self.read_choice(choice)
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
            if all(isinstance(count, int) and 0 <= count < 2**53 for count in counts):
                pieces.append(Usage(*counts))  # type: ignore[arg-type]
            else:
                self.warn("usage without whole numbers was passed over")
        return pieces

    def read_choice(self, choice: dict[str, Any]) -> Iterator[Piece]:
        number = choice.get("index") or 0
        if not isinstance(number, int):
            raise ProtocolError(f"the index of a choice is {_shortened(_as_json(number))}")
        delta = choice.get("delta") or {}
        if not isinstance(delta, dict):
            raise ProtocolError(f"a delta is no object: {_shortened(_as_json(delta))}")
        self.begun.add(number)
        text = delta.get("content")
        if text is None:
            text = choice.get("text")  # text completions
        if text:
            if not isinstance(text, str):
                raise ProtocolError(f"a content is no string: {_shortened(_as_json(text))}")
            if number in self.ended:
                self.warn("content came after the finish reason")
            if text := self.whole_characters(number, text):
                yield Text(text, number)
        for fragment in _list(delta, "tool_calls"):
            yield from self.read_call(number, fragment)
        reason = choice.get("finish_reason")
        if reason:
            if number in self.ended:
                self.warn("a choice finished twice")
                return
            if rest := self.whole_characters(number, "", final=True):
                yield Text(rest, number)
            self.ended.add(number)
            yield End(str(reason), number)

    def whole_characters(self, number: int, text: str, *, final: bool = False) -> str:
        """Join a surrogate pair that was cut in two by ``\\u`` escapes in two chunks; half a pair becomes U+FFFD."""
        decoder = self.surrogates.get(number)
        if decoder is None:
            try:
                text.encode()
                return text
            except UnicodeEncodeError:
                decoder = self.surrogates[number] = codecs.getincrementaldecoder("utf-16-le")("replace")
        return decoder.decode(text.encode("utf-16-le", "surrogatepass"), final)

    def read_call(self, number: int, fragment: dict[str, Any]) -> Iterator[Piece]:
        function = fragment.get("function") or {}
        if not isinstance(function, dict):
            raise ProtocolError("the function of a tool call is no object")
        id, name, arguments = fragment.get("id") or "", function.get("name") or "", function.get("arguments") or ""
        for value in (id, name, arguments):
            if not isinstance(value, str):
                raise ProtocolError(f"a part of a tool call is no string: {_shortened(_as_json(value))}")
        calls = self.calls.setdefault(number, [])
        call = self.find_call(calls, fragment.get("index"), id, name)
        if call is None:
            if not name:
                raise ProtocolError("a tool call begins without a name, or its fragment belongs to none")
            call = _OpenCall(len(calls), fragment.get("index"), id, name)
            calls.append(call)
            yield Call(call.position, name, id, number)
        elif name and name != call.name:
            raise ProtocolError(f"the name of a tool call changed from {call.name!r} to {name!r}")
        if arguments:
            yield Fragment(call.position, arguments, number)

    def find_call(self, calls: list[_OpenCall], index: Any, id: str, name: str) -> _OpenCall | None:
        """The call that a fragment goes on with, None if it begins one."""
        if id:
            same = [call for call in calls if call.id == id]
            if same:
                return same[-1]
        if index is None:  # without an index, a new id or a name begins a call, and anything else goes on with the last
            return None if id or name or not calls else calls[-1]
        same = [call for call in calls if call.index == index]
        if same and id and same[-1].id and same[-1].id != id:
            self.warn("two tool calls have the same index")
            return None
        return same[-1] if same else None

    def warn(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)


class _OpenCall:
    """A tool call that fragments may still be added to."""

    def __init__(self, position: int, index: Any, id: str, name: str) -> None:
        self.position = position
        self.index = index
        self.id = id
        self.name = name


def _list(owner: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A member that is an array of objects; nothing if it is missing or null."""
    value = owner.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(element, dict) for element in value):
        raise ProtocolError(f"{name} is no array of objects: {_shortened(_as_json(value))}")
    return value


def _message(shape: Any) -> str:
    """The message of an error, in whichever shape: an object with a message, a string, or anything else as JSON."""
    if isinstance(shape, dict):
        message = shape.get("message")
        return message if isinstance(message, str) else ""
    if isinstance(shape, str):
        return shape
    return _as_json(shape) if shape else ""


def _as_json(value: Any) -> str:
    """Anything that was read as JSON, for a message: NaN too, which Python reads although JSON has none."""
    return json.dumps(value, ensure_ascii=False)


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
