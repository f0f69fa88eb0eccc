"""Cohere's Chat, version 2: typed events, contents and calls with a beginning and an end.

In:   on a server, requests and pieces; on a client, prompts and events.
Out:  on a server, events, whole answers and error objects; on a client, request bodies and pieces.

Follows the vendor's API reference, "Chat" and "Chat with streaming". Each event has a name, and its data is a JSON object
whose ``type`` is that name. A stream is

    message-start       {"id":...,"delta":{"message":{"role":"assistant","content":[],...}}}
    content-start       {"index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}
    content-delta       {"index":0,"delta":{"message":{"content":{"text":"Hel"}}}}             one for each piece
    content-end         {"index":0}
    message-end         {"delta":{"finish_reason":"COMPLETE","usage":{"tokens":{...},...}}}
    data: [DONE]

or, if the model calls tools, one after the other,

    tool-call-start     {"index":0,"delta":{"message":{"tool_calls":{"id":...,"function":{"name":...,"arguments":""}}}}}
    tool-call-delta     {"index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{\\"ci"}}}}}
    tool-call-end       {"index":0}

``tool_calls`` is one object, in spite of its name. A content of the type ``thinking`` is what the model thinks before it
answers. Contents and calls are counted apart, each from 0.

    on the wire      in pieces
    COMPLETE         stop, and any other
    STOP_SEQUENCE    stop, at a stop string
    MAX_TOKENS       length
    TOOL_CALL        tool_calls
    ERROR            none: the stream ends with an error
    TIMEOUT          none: the vendor's time for the answer is over

A server writes these, but for the last; a client passes on what it reads.

**What ends a stream.** ``message-end`` proves that the answer is whole, whether or not ``[DONE]`` follows.

**What breaks clients.** There is no event for an error: it is a ``message-end`` with the reason ERROR, and an SDK for it
raises nothing. The vendor's SDK for JavaScript stops at any data that has ``[DONE]`` in it, also inside a text: so texts
never hold it here, their bracket is written ``\\u005b``. Other clients need ``usage`` in the last event, even that of an
error, an index in each event, and nothing else while a content or a call is open.

The stream comes first below, written and read; then requests, and the dialect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sse_ref.codec import ServerSentEvent, encode_comment
from sse_ref.dialects import lenient_json as lenient
from sse_ref.dialects.interface import HTTPRequest, Request
from sse_ref.dialects.openai import (
    DONE,
    JSON_OBJECT,
    bearer_key,
    called_names,
    expect_defaults,
    model_below,
    read_functions,
    read_stops,
    read_text,
)
from sse_ref.dialects.strict_json import Fields, to_json
from sse_ref.errors import ApiError, ProtocolError, RequestError, fit
from sse_ref.pieces import Call, End, Fragment, Message, ModelFailure, Piece, Prompt, Reasoning, Text, Usage, Words

__all__ = ["CohereChat"]

FINISH_REASONS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}

# ---- A stream, written -----------------------------------------------------------------------------------------------


class ChatWriter:
    """Writes pieces as events, and keeps the message that a client would put together from them.

    >>> writer = ChatWriter("1")
    >>> [event["type"] for event in writer.write([Usage(3, 0), Text("Hi"), End("stop"), Usage(3, 1)])]
    ['message-start', 'content-start', 'content-delta', 'content-end', 'message-end']
    >>> writer.contents
    [{'type': 'text', 'text': 'Hi'}]
    """

    def __init__(self, id: str) -> None:
        self.id = id
        self.contents: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.open = ""  # the type of the open content, or "call"
        self.parts: list[str] = []  # of its text, or of its arguments
        self.reason = "COMPLETE"
        self.counts = Usage(0, 0)

    def write(self, pieces: Iterable[Piece]) -> Iterator[dict[str, Any]]:
        """Yield the data of the events of the pieces, also those of a ``ModelFailure``, which is then passed on."""
        message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        try:
            for number, piece in enumerate(pieces):
                if number == 0:  # not before: until then an HTTP status can still refuse the request
                    yield {"type": "message-start", "id": self.id, "delta": {"message": message}}
                yield from self.piece(piece)
        except ModelFailure:
            yield from self.close()
            raise
        yield {"type": "message-end", "delta": {"finish_reason": self.reason, "usage": self.usage}}

    def piece(self, piece: Piece) -> Iterator[dict[str, Any]]:
        """The events of one piece."""
        if not isinstance(piece, Usage):
            self.counts = Usage(self.counts.prompt_tokens, (self.counts.completion_tokens or 0) + piece.tokens)
        match piece:
            case Words():
                kind = "thinking" if isinstance(piece, Reasoning) else "text"
                if self.open != kind:
                    yield from self.close()
                    self.open = kind
                    self.contents.append({"type": kind, kind: ""})
                    yield self.event("content-start", {"content": {"type": kind, kind: ""}})
                self.parts.append(piece.text)
                yield self.event("content-delta", {"content": {kind: piece.text}})
            case Call():
                yield from self.close()
                self.open = "call"
                function = {"name": piece.name, "arguments": ""}
                id = piece.id or f"{piece.name}_{self.id[:12]}{len(self.calls)}"
                self.calls.append({"id": id, "type": "function", "function": function})
                yield self.event("tool-call-start", {"tool_calls": {**self.calls[-1], "function": dict(function)}})
            case Fragment():
                self.parts.append(piece.arguments)
                yield self.event("tool-call-delta", {"tool_calls": {"function": {"arguments": piece.arguments}}})
            case End():
                yield from self.close()
                self.reason = "STOP_SEQUENCE" if piece.stop else FINISH_REASONS.get(piece.reason, "COMPLETE")
            case Usage():
                self.counts = piece

    @property
    def usage(self) -> dict[str, Any]:
        """The ``usage`` so far."""
        return usage_object(self.counts)

    def close(self) -> Iterator[dict[str, Any]]:
        """The end of the open content or call, if there is one."""
        if not self.open:
            return
        text, self.parts = "".join(self.parts), []
        if self.open == "call":
            self.calls[-1]["function"]["arguments"] = text
            yield self.event("tool-call-end")
        else:
            self.contents[-1][self.open] = text
            yield self.event("content-end")
        self.open = ""

    def event(self, kind: str, message: dict[str, Any] | None = None) -> dict[str, Any]:
        """The data of an event of the open content or call."""
        index = len(self.calls if self.open == "call" else self.contents) - 1
        return {"type": kind, "index": index, **({"delta": {"message": message}} if message else {})}


def usage_object(usage: Usage) -> dict[str, Any]:
    """The ``usage``: the tokens, and those that the vendor would bill."""
    tokens = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
    return {"tokens": tokens, "billed_units": tokens}


def as_event(data: Mapping[str, Any]) -> ServerSentEvent:
    """An event of the name that is its type. Its data never holds ``[DONE]``.

    >>> as_event({"type": "x", "text": "say [DONE]"}).data
    '{"type":"x","text":"say \\\\u005bDONE]"}'
    """
    return ServerSentEvent(to_json(data).replace(DONE, "\\u005b" + DONE[1:]), data["type"])


def error_event(message: str, usage: Mapping[str, Any]) -> ServerSentEvent:
    """The end of a message that tells of an error: there is no other event for it."""
    end = {"finish_reason": "ERROR", "error": message, "usage": usage}
    return as_event({"type": "message-end", "delta": end})


# ---- A stream, read --------------------------------------------------------------------------------------------------

TYPES = {"message-start", "content-start", "content-delta", "content-end", "message-end"}
TYPES |= {"tool-plan-delta", "tool-call-start", "tool-call-delta", "tool-call-end"}
IGNORED_TYPES = {"ping", "debug", "citation-start", "citation-end"}


class OpenCall:
    """A tool call that fragments may still be added to."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.name = ""
        self.arguments = bytearray()  # as UTF-8: there may be many small fragments


def index_of(value: Mapping[str, Any]) -> int | None:
    """The index of a content or a call; None if it has none. Raises ``ProtocolError`` if it is no whole number."""
    index = value.get("index")
    if index is not None and type(index) is not int:
        raise ProtocolError(f"the index of an event is {fit(lenient.as_json(index))}")
    return index


def object_in(owner: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A member that is an object; {} if it is missing or null. Raises ``ProtocolError`` for others."""
    value = owner.get(name)
    if not isinstance(value, dict | None):
        raise ProtocolError(f"{name} is no object: {fit(lenient.as_json(value))}")
    return value or {}


class ChatReader:
    """Reads events into pieces, by their ``type``, or by their name if they have none.

    No text, call or error is lost in silence: what stands in a known place and cannot be used is a warning, or an error if
    it could be understood in two ways.
    """

    def __init__(self) -> None:
        self.done = False
        self.finished = False
        self.warnings: list[str] = lenient.Warnings()
        self.begun: set[int | None] = set()  # the indexes of the contents that began
        self.calls: list[OpenCall] = []
        self.by_index: dict[int | None, OpenCall] = {}
        self.halves = lenient.Halves()  # of a text, by its kind; of a call's arguments, by its position

    def read(self, event: ServerSentEvent) -> Iterator[Piece]:
        """Yield the pieces in this event. Raises ``ApiError`` or ``ProtocolError`` after those before the fault."""
        if event.data.strip() == DONE:
            self.done = True
            return
        value, error = lenient.read_value(event, self.warnings)
        if value and (error is None or isinstance(value.get("delta"), dict)):
            yield from self.read_object(event, value)
        if error:
            raise error

    def read_object(self, event: ServerSentEvent, value: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield the pieces in the object of an event. A message with an end is a warning: it may repeat what came."""
        kind = str(value.get("type") or ("" if event.event == "message" else event.event))
        if kind and kind not in TYPES:
            if kind not in IGNORED_TYPES:
                self.warnings.append(f"an event of the type {fit(kind)} was ignored")
            return
        delta = object_in(value, "delta")
        message = object_in(delta, "message")
        if kind.endswith("-end") and any(message.values()):
            self.warnings.append(f"what came with a {kind} was ignored: {fit(lenient.as_json(message))}")
        match kind:
            case "message-start":
                yield from self.message(message)
            case "content-start" | "content-delta":
                yield from self.content(index_of(value), message.get("content"), begins=kind == "content-start")
            case "tool-plan-delta" if message.get("tool_plan") is not None:
                yield from self.text("thinking", message["tool_plan"])
            case "tool-plan-delta":
                self.warnings.append("a tool plan came without its text")
            case "tool-call-start" | "tool-call-delta":
                for call in self.calls_in(message):
                    yield from self.call(index_of(value), call, begins=kind == "tool-call-start")
            case "content-end" | "tool-call-end":
                pass  # some services leave them out: all is settled when the message ends
            case "message-end":
                yield from self.end(delta)
            case "" if "finish_reason" in value and isinstance(value.get("message"), dict):
                yield from self.message(value["message"])
                yield from self.end(value)
            case "" if value.get("error") is not None or isinstance(value.get("message"), str):
                raise ApiError(lenient.message_in(value) or fit(event.data))
            case "" if delta or "event_type" in value:  # the latter is of version 1
                raise ProtocolError(f"an event has no type: {fit(event.data)}")
            case "":
                self.warnings.append(f"an event without a type was ignored: {fit(event.data)}")

    # ---- Contents ----------------------------------------------------------------------------------------------------

    def content(self, index: int | None, content: Any, *, begins: bool) -> Iterator[Piece]:
        """A content begins, or its next piece comes. Text that stands in its beginning is given as if it were a delta."""
        content = {} if content is None else content
        if not isinstance(content, dict):
            raise ProtocolError(f"a content is no object: {fit(lenient.as_json(content))}")
        if index is None or (not begins and index not in self.begun):
            self.warnings.append(
                "a content came without an index" if index is None else "a content came without its start"
            )
        self.begun.add(index)
        kinds = [kind for kind in ("thinking", "text") if content.get(kind) is not None]
        for kind in kinds:
            yield from self.text(kind, content[kind])
        if not kinds and not begins:
            self.warnings.append(f"a piece of a content was ignored: {fit(lenient.as_json(content))}")

    def text(self, kind: str, text: Any) -> Iterator[Piece]:
        """A piece of text or of thinking."""
        if whole := self.halves.whole(kind, lenient.string(text, f"a piece of {kind}")):
            yield Text(whole) if kind == "text" else Reasoning(whole)

    # ---- Tool calls --------------------------------------------------------------------------------------------------

    def calls_in(self, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The call of an event, which should be one object."""
        calls = message.get("tool_calls")
        if isinstance(calls, dict):
            return [calls]
        self.warnings.append("tool_calls was no object")
        return lenient.objects(message, "tool_calls")

    def call(self, index: int | None, call: Mapping[str, Any], *, begins: bool) -> Iterator[Piece]:
        """A call begins, or the next fragment of its arguments comes: to the call with this index, else to the last."""
        function = call.get("function") or {}
        if not isinstance(function, dict):
            raise ProtocolError("the function of a tool call is no object")
        if begins:
            name = lenient.label(function.get("name"), "the name of a tool call")
            if not name:
                raise ProtocolError("a tool call came without a name")
            known = OpenCall(len(self.calls))
            self.calls.append(known)
            self.by_index[index] = known
            yield Call(known.position, name, lenient.label(call.get("id"), "the id of a tool call"))
        elif index is None and self.calls:
            known = self.calls[-1]
        elif index in self.by_index:
            known = self.by_index[index]
        else:
            raise ProtocolError("arguments came for a tool call that did not begin")
        arguments = function.get("arguments")
        text = arguments if isinstance(arguments, str) else "" if arguments is None else lenient.as_json(arguments)
        known.arguments += text.encode("utf-8", "surrogatepass")
        if fragment := self.halves.whole(known.position, text):
            yield Fragment(known.position, fragment)

    # ---- The end -----------------------------------------------------------------------------------------------------

    def end(self, delta: Mapping[str, Any]) -> Iterator[Piece]:
        """The message ends: the usage, and why."""
        if usage := self.usage_of(delta.get("usage")):
            yield usage
        reason = delta.get("finish_reason")
        if reason == "ERROR" or delta.get("error"):
            raise ApiError(lenient.message_in(delta) or "the server ended the answer with an error")
        self.done = True
        if not reason:
            return
        for key, half in self.halves.rest():
            if isinstance(key, int):
                yield Fragment(key, half)
            else:
                yield Text(half) if key == "text" else Reasoning(half)
        for call in self.calls:
            if not call.arguments:  # some services leave them out where a tool has no parameters
                yield Fragment(call.position, "{}")
            elif reason not in ("MAX_TOKENS", "TIMEOUT"):
                lenient.check_arguments(call.arguments)
        if reason == "TIMEOUT":
            self.warnings.append("the service ended the answer when its time was over")
        self.finished = True
        yield End(lenient.whole_characters(str(reason)))

    def usage_of(self, usage: Any) -> Usage | None:
        """The tokens of a usage, else those that are billed; None if it tells neither."""
        for name in ("tokens", "billed_units"):
            counts = usage.get(name) if isinstance(usage, dict) else None
            if found := lenient.usage_in(counts, ["input_tokens"], ["output_tokens"]):
                return found
        return None

    def message(self, message: Mapping[str, Any]) -> Iterator[Piece]:
        """What is in a message: the whole answer of a server that does not stream, or what an answer begins with."""
        if message.get("tool_plan"):
            yield from self.text("thinking", message["tool_plan"])
        if isinstance(message.get("content"), str):
            yield from self.text("text", message["content"])
        else:
            for index, content in enumerate(lenient.objects(message, "content")):
                yield from self.content(index, content, begins=True)
        for index, call in enumerate(lenient.objects(message, "tool_calls")):
            yield from self.call(index, call, begins=True)


# ---- Requests --------------------------------------------------------------------------------------------------------

ROLES = ("system", "user", "assistant", "tool")
MAX_STOPS = 5


def read_messages(fields: Fields) -> Iterator[Message]:
    """Yield the messages of the conversation."""
    names: dict[str, str] = {}
    for message in fields.objects("messages", required=True):
        names |= called_names(message)
        role = message.text("role")
        if role not in ROLES:
            raise message.error("role", f"must be one of {', '.join(ROLES)}")
        if role == "tool":
            message.text("tool_call_id")
        if message.get("content") is None and (role == "assistant" or role == "tool"):
            yield Message(role, "")
        else:
            text = read_text(message, "content", ("text",)) + "".join(read_documents(message))
            yield Message(role, text, names.get(str(message.get("tool_call_id")), ""))


def read_documents(message: Fields) -> Iterator[str]:
    """Yield the texts of the documents among the parts of a content: the results of tools come as such."""
    if not isinstance(message.get("content"), list):
        return
    for part in message.objects("content"):
        if part.get("type") == "document":
            data = part.object("document", required=True).get("data")
            yield data if isinstance(data, str) else lenient.as_json(data)


def read_tools(fields: Fields) -> dict[str, Any]:
    """The tools that may be called, and whether one must be, as members of a ``Prompt``."""
    tools = read_functions(fields)
    choice = fields.get("tool_choice")
    if choice not in (None, "REQUIRED", "NONE"):
        raise fields.error("tool_choice", 'must be "REQUIRED" or "NONE"')
    if choice == "REQUIRED" and not tools:
        raise fields.error("tool_choice", "requires a call, but there are no tools")
    return {"tools": tools, "tool_choice": choice.lower() if choice else "auto"}


def read_schema(fields: Fields) -> Mapping[str, Any] | None:
    """The JSON schema that the answer must fit; None if it is plain text."""
    form = fields.object("response_format")
    if form.get("type") not in (None, "text", "json_object"):
        raise form.error("type", 'must be "text" or "json_object"')
    if form.get("type") != "json_object":
        return None
    return form.object("json_schema").values or form.object("schema").values or JSON_OBJECT


# ---- The dialect -----------------------------------------------------------------------------------------------------

PATH = "/v2/chat"
IGNORED_NUMBERS = (("p", 0.01, 0.99), ("k", 0, 500), ("frequency_penalty", 0, 1), ("presence_penalty", 0, 1))


class CohereChat:
    """Chat: ``POST /v2/chat``, and ``GET /v1/models``."""

    name = "cohere"
    last_event = "message-end"
    query: frozenset[str] = frozenset()
    heartbeat = encode_comment("heartbeat") + b"\n"
    request_id = "X-Request-Id"

    # ---- On a server -------------------------------------------------------------------------------------------------

    def serves(self, path: str) -> bool:
        """All paths of ``/v2``, and those of the models."""
        return path.startswith("/v2/") or self.model_at(path) is not None

    def answers(self, path: str) -> bool:
        """One path."""
        return path == PATH

    def model_at(self, path: str) -> str | None:
        """The model in ``/v1/models/MODEL``."""
        return model_below(path)

    def read_key(self, request: HTTPRequest) -> str | None:
        """The key of ``Authorization: Bearer KEY``."""
        return bearer_key(request)

    def read_request(self, request: HTTPRequest) -> Request:
        """Understand a request body. Unknown members are ignored. A model may have the name that the list gives it."""
        fields = Fields(request.body)
        for name, low, high in IGNORED_NUMBERS:
            fields.number(name, None, low, high)  # validated, without effect on the toy model
        thinking = fields.object("thinking")
        if thinking.values and thinking.get("type") not in ("enabled", "disabled"):
            raise thinking.error("type", 'must be "enabled" or "disabled"')
        prompt = Prompt(
            model=fields.text("model").removeprefix("models/"),
            messages=tuple(read_messages(fields)),
            **read_tools(fields),
            schema=read_schema(fields),
            stop=read_stops(fields, "stop_sequences", MAX_STOPS),
            max_tokens=fields.number("max_tokens", None, 0, 2**31, whole=True),
            seed=fields.number("seed", 0, 0, 2**64 - 1, whole=True),
            temperature=fields.number("temperature", 1.0, 0, 2**31),
            reasoning=thinking.get("type") != "disabled",
        )
        return Request(prompt, fields.flag("stream"), include_usage=True)

    def write_stream(
        self, request: Request, pieces: Iterable[Piece], *, id: str, created: int
    ) -> Iterator[ServerSentEvent]:
        """The events of a stream: the last are ``message-end`` and ``[DONE]``, also if the model fails."""
        writer = ChatWriter(id)
        try:
            yield from map(as_event, writer.write(pieces))
        except ModelFailure as failure:
            yield error_event(str(failure), writer.usage)
        yield ServerSentEvent(DONE)

    def write_answer(self, request: Request, pieces: Iterable[Piece], *, id: str, created: int) -> dict[str, Any]:
        """The whole answer."""
        writer = ChatWriter(id)
        for _ in writer.write(pieces):
            pass
        message: dict[str, Any] = {"role": "assistant"}
        if writer.calls:
            message |= {"tool_plan": "", "tool_calls": writer.calls}
        if writer.contents or not writer.calls:
            message["content"] = writer.contents or [{"type": "text", "text": ""}]
        return {"id": id, "finish_reason": writer.reason, "message": message, "usage": writer.usage}

    def write_error(self, error: RequestError, *, id: str = "") -> dict[str, Any]:
        """The error object, with the id of the request if there is one."""
        return {**({"id": id} if id else {}), "message": error.message}

    def write_error_event(self, error: RequestError, *, number: int = 0) -> ServerSentEvent:
        """The ``message-end`` of an error. How many tokens came is not known here."""
        return error_event(error.message, usage_object(Usage(0, 0)))

    def write_models(self, names: Sequence[str]) -> dict[str, Any]:
        """The list of models, all on one page."""
        return {"models": [self.write_model(name) for name in names]}

    def write_model(self, name: str) -> dict[str, Any]:
        """One model."""
        return {"name": name, "endpoints": ["chat"], "context_length": 2**20, "finetuned": False}

    # ---- On a client -------------------------------------------------------------------------------------------------

    def address(self, base: str, request: Request) -> str:
        """The path below the base URL, with or without a version."""
        url, mark, query = base.partition("?")
        return url.rstrip("/").removesuffix("/v1").removesuffix("/v2") + PATH + mark + query

    def write_key(self, key: str) -> dict[str, str]:
        """``Authorization: Bearer KEY``."""
        return {"Authorization": f"Bearer {key}"}

    def write_request(self, request: Request) -> dict[str, Any]:
        """The body of a request. Raises ``ValueError`` for what this wire has no member for."""
        prompt = request.prompt
        expect_defaults(prompt, "requests of Chat", "n", "top_logprobs", "parallel_tool_calls")
        roles = {"system": "system", "assistant": "assistant"}  # without the id of its call a result is the user's text
        turns = [{"role": roles.get(turn.role, "user"), "content": turn.text} for turn in prompt.messages]
        body: dict[str, Any] = {"model": prompt.model, "messages": turns}
        if request.stream:
            body["stream"] = True
        default = Prompt(prompt.model, ())
        for name in ("max_tokens", "seed", "temperature"):
            if getattr(prompt, name) != getattr(default, name):
                body[name] = getattr(prompt, name)
        if prompt.stop:
            body["stop_sequences"] = list(prompt.stop)
        if not prompt.reasoning:
            body["thinking"] = {"type": "disabled"}
        if prompt.schema is not None:
            body["response_format"] = {"type": "json_object", "json_schema": prompt.schema}
        if prompt.tools:
            functions = ({"name": tool.name, "parameters": tool.parameters} for tool in prompt.tools)
            body["tools"] = [{"type": "function", "function": function} for function in functions]
            if prompt.tool_choice != "auto":
                body["tool_choice"] = prompt.tool_choice.upper()
        return body

    def count_choices(self, body: Mapping[str, Any]) -> int:
        """One."""
        return 1

    def reader(self) -> ChatReader:
        """A reader for one stream."""
        return ChatReader()

    def read_error(self, body: bytes) -> str:
        """The message of an error, in whichever shape; the body itself if it is no JSON."""
        return lenient.message_in_body(body)
