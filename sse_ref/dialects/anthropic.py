"""Anthropic's Messages: named events, and content in blocks.

In:   on a server, requests and pieces; on a client, prompts and events.
Out:  on a server, events, ``message`` objects and error objects; on a client, request bodies and pieces.

Follows the vendor's API reference, "Messages" and "Streaming messages". Each event has a name, and its data is a JSON object
whose ``type`` is that name. A stream is

    message_start          {"message":{"id":...,"content":[],"stop_reason":null,...,"usage":{"input_tokens":25,...}}}
    content_block_start    {"index":0,"content_block":{"type":"text","text":""}}
    content_block_delta    {"index":0,"delta":{"type":"text_delta","text":"Hel"}}             one for each piece
    content_block_stop     {"index":0}
    message_delta          {"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":12,...}}
    message_stop           {}

Blocks come one after the other, and are counted from 0. There are three kinds here:

    content_block                                             its deltas
    {"type":"text","text":""}                                 text_delta {"text"}
    {"type":"tool_use","id":...,"name":...,"input":{}}        input_json_delta {"partial_json"}, the first of them empty
    {"type":"thinking","thinking":"","signature":""}          thinking_delta {"thinking"}, then one signature_delta

So a delta says nothing of roles and ids: its block has told them. Where chat completions write all of it into each chunk, a
reader of this wire keeps a table of open blocks. The usage of ``message_delta`` is cumulative: it replaces the first one.

    stop reason     finish reason here
    end_turn        stop
    stop_sequence   stop, and the stop string that matched is in ``stop_sequence``
    max_tokens      length
    tool_use        tool_calls
    refusal         content_filter, or any end of a refusal

A client gets stop reasons as they stand on the wire: there are more of them, and new ones may come.

**What ends a stream.** ``message_stop`` proves that the answer is whole. A body that ends in order without it is cut. An
error inside the stream is an event of the name ``error``, and the end. ``ping`` events may come anywhere.

**What breaks clients.** The vendor's SDKs drop events without a name, put a text by the ``index`` of its block into a list,
and crash without ``usage`` or ``content``. So all are always sent, and ``input_tokens`` twice: one library reads the last.

The stream comes first below, written and read; then the whole answer, requests, errors, models.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sse_ref.codec import ServerSentEvent, encode_event, new_event
from sse_ref.dialects import lenient_json as lenient
from sse_ref.dialects.interface import HTTPRequest, Request
from sse_ref.dialects.openai import MAX_STOP, MAX_TOOLS, bearer_key, expect_defaults, model_below, read_text
from sse_ref.dialects.strict_json import Fields, read_json, to_json
from sse_ref.errors import ProtocolError, RequestError, fit
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
    Tool,
    Usage,
)

__all__ = ["AnthropicMessages"]

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
LIMITS = {"max_tokens", "model_context_window_exceeded"}  # stop reasons that may cut arguments in the middle

# ---- A stream, written -----------------------------------------------------------------------------------------------


class MessageWriter:
    """Writes pieces as events, and keeps the ``message`` that a client would put together from them.

    >>> writer = MessageWriter({"id": "msg_1"})
    >>> [event.event for event in writer.write([Usage(3, 0), Text("Hi"), End("stop"), Usage(3, 1)])]
    ... # doctest: +NORMALIZE_WHITESPACE
    ['message_start', 'content_block_start', 'content_block_delta', 'content_block_stop', 'message_delta', 'message_stop']
    >>> writer.message["content"]
    [{'type': 'text', 'text': 'Hi'}]
    """

    def __init__(self, head: Mapping[str, Any]) -> None:
        end = {"stop_reason": None, "stop_sequence": None}
        self.message: dict[str, Any] = {**head, "content": [], **end, "usage": usage_object(Usage(0, 0))}
        self.index = -1  # of the newest block
        self.kind = ""  # of the open block
        self.around: list[str] = []  # what stands before and after the text in its deltas
        self.parts: list[str] = []  # of its text
        self.refused = False

    def write(self, pieces: Iterable[Piece]) -> Iterator[ServerSentEvent]:
        """Yield the events of the pieces. A ``ModelFailure`` is passed on."""
        begun = False
        for piece in pieces:
            match piece:
                case Usage():
                    self.message["usage"] = usage_object(piece)
                    if not begun:
                        yield self.event("message_start", message={**self.message, "content": []})
                    begun = True
                case Text() | Refusal() | Reasoning():
                    self.refused = self.refused or isinstance(piece, Refusal)
                    kind = "thinking" if isinstance(piece, Reasoning) else "text"
                    if self.kind != kind:
                        yield from self.open(
                            kind, {"text": ""} if kind == "text" else {"thinking": "", "signature": ""}
                        )
                    yield self.delta(f"{kind}_delta", kind, piece.text)
                case Call():
                    id = piece.id or f"toolu_{self.message['id'][4:20]}_{piece.index}"
                    yield from self.open("tool_use", {"id": id, "name": piece.name, "input": {}})
                    yield self.delta("input_json_delta", "partial_json", "")
                case Fragment():
                    yield self.delta("input_json_delta", "partial_json", piece.arguments)
                case End():
                    yield from self.close()
                    self.end(piece)
        end = {name: self.message[name] for name in ("stop_reason", "stop_sequence")}
        if self.refused:
            end["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
        yield self.event("message_delta", delta=end, usage=self.message["usage"])
        yield self.event("message_stop")

    def event(self, kind: str, **members: Any) -> ServerSentEvent:
        """An event, whose data repeats its type."""
        return ServerSentEvent(to_json({"type": kind, **members}), kind)

    def open(self, kind: str, block: dict[str, Any]) -> Iterator[ServerSentEvent]:
        """The start of a block, and before it the end of the one that is open."""
        yield from self.close()
        self.kind, self.around, self.parts = kind, [], []
        self.index += 1
        self.message["content"].append({"type": kind, **block})
        yield self.event("content_block_start", index=self.index, content_block={"type": kind, **block})

    def delta(self, kind: str, name: str, text: str) -> ServerSentEvent:
        """The next piece of the open block. What stands around the text is the same in each, and made once."""
        self.parts.append(text)
        if not self.around:
            data = self.event("content_block_delta", index=self.index, delta={"type": kind, name: "\0"}).data
            self.around = data.rsplit('"\\u0000"', 1)
        return new_event(ServerSentEvent, (to_json(text).join(self.around), "content_block_delta", ""))

    def close(self) -> Iterator[ServerSentEvent]:
        """The end of the open block, if there is one."""
        if not self.kind:
            return
        block, text = self.message["content"][-1], "".join(self.parts)
        called = self.kind == "tool_use"
        block["input" if called else self.kind] = partly_read(text) if called else text
        if self.kind == "thinking":
            block["signature"] = signature_of(text)
            delta = {"type": "signature_delta", "signature": block["signature"]}
            yield self.event("content_block_delta", index=self.index, delta=delta)
        yield self.event("content_block_stop", index=self.index)
        self.kind = ""

    def end(self, end: End) -> None:
        """Note why the answer ended."""
        reason = "stop_sequence" if end.stop else STOP_REASONS.get(end.reason, end.reason)
        self.message["stop_reason"] = "refusal" if self.refused else reason
        self.message["stop_sequence"] = end.stop or None


def usage_object(usage: Usage) -> dict[str, Any]:
    """The ``usage``, as the first and the last event have it."""
    details = {"output_tokens_details": {"thinking_tokens": usage.reasoning_tokens}} if usage.reasoning_tokens else {}
    cached = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {"input_tokens": usage.prompt_tokens, **cached, "output_tokens": usage.completion_tokens, **details}


def signature_of(thought: str) -> str:
    """What stands in the place of the vendor's signature of a thought: its check sum."""
    return base64.b64encode(hashlib.sha256(thought.encode()).digest()).decode()


def partly_read(arguments: str) -> Any:
    """The value of a call's arguments; {} if there are none, or if a limit cut them.

    >>> partly_read('{"a": 1}'), partly_read('{"a"')
    ({'a': 1}, {})
    """
    try:
        return read_json(arguments)
    except ValueError:
        return {}


# ---- A stream, read --------------------------------------------------------------------------------------------------


class Block:
    """An open block, as a reader knows it."""

    def __init__(self, kind: str, position: int = -1, input: Any = None) -> None:
        self.kind = kind
        self.position = position  # of its call among the calls
        self.input = input  # what a start gave of a call's arguments
        self.arguments = bytearray()  # what deltas gave, as UTF-8: there may be many small ones
        self.closed = False


class MessageReader:
    """Reads events into pieces. Only their ``type`` counts: some services send no names.

    No text, call or error is lost in silence: what stands in a known place and cannot be used is a warning, or an error if
    it could be understood in two ways. Types of events, blocks and deltas that nobody knows are ignored, as the vendor asks.
    """

    def __init__(self) -> None:
        self.done = False
        self.warnings: list[str] = lenient.Warnings()
        self.stop_reason: str | None = None
        self.begun = False
        self.blocks: dict[int, Block] = {}
        self.open_blocks: list[Block] = []
        self.newest = 0  # the index of the newest block
        self.checked = 0  # of the calls: how many have whole arguments
        self.calls: list[Block] = []
        self.halves = lenient.Halves()  # of a text, by its kind; of a call's arguments, by its position
        self.prompt_tokens: int | None = None

    @property
    def finished(self) -> bool:
        """``message_stop`` has come, and a stop reason before it."""
        return self.done and self.stop_reason is not None

    def read(self, event: ServerSentEvent) -> Iterator[Piece]:
        """Yield the pieces in this event. Raises ``ApiError`` or ``ProtocolError`` after those before the fault."""
        value = lenient.read_event(event, self.warnings)
        match value.get("type") or event.event:
            case "message_start":
                yield from self.start(value.get("message"))
            case "content_block_start":
                yield from self.open(value)
            case "content_block_delta":
                yield from self.delta(value)
            case "content_block_stop":
                yield from self.close(self.blocks.get(self.index_of(value)))
            case "message_delta":
                yield from self.end(value)
            case "message_stop":
                yield from self.settle()
                self.done = True
            case "message" if "content" in value:
                yield from self.whole(value)
            case kind if kind != "ping" and value:
                self.warnings.append(f"an event of the type {fit(str(kind))} was ignored")

    def start(self, message: Any) -> Iterator[Piece]:
        """The message begins: its usage tells how many tokens went in."""
        if not isinstance(message, dict):
            raise ProtocolError(f"a message_start holds no message: {fit(lenient.as_json(message))}")
        if self.begun:
            self.warnings.append("the message began twice")
        self.begun = True
        yield from self.usage(message)
        for block in lenient.objects(message, "content"):  # it should be empty
            yield from self.open({"content_block": block})

    def whole(self, message: Mapping[str, Any]) -> Iterator[Piece]:
        """A whole message, from a server that does not stream."""
        for index, block in enumerate(lenient.objects(message, "content")):
            yield from self.open({"index": index, "content_block": block})
        yield from self.end({"delta": message, "usage": message.get("usage")})

    def usage(self, owner: Mapping[str, Any]) -> Iterator[Usage]:
        """The usage of an event. It is cumulative: a number that it leaves out is still the one that was told before."""
        names = "output_tokens_details", "thinking_tokens"
        usage = lenient.usage_in(owner.get("usage"), ["input_tokens"], ["output_tokens"], *names)
        if usage is None:
            return
        if usage.prompt_tokens is None:
            usage.prompt_tokens = self.prompt_tokens
        self.prompt_tokens = usage.prompt_tokens
        yield usage

    # ---- Blocks ------------------------------------------------------------------------------------------------------

    def index_of(self, value: Mapping[str, Any]) -> int:
        """The index of a block; that of the newest block if it is left out."""
        index = value.get("index")
        if index is None:
            return self.newest
        if isinstance(index, bool) or not isinstance(index, int):
            raise ProtocolError(f"the index of a block is {fit(lenient.as_json(index))}")
        return index

    def open(self, value: Mapping[str, Any]) -> Iterator[Piece]:
        """A block begins. Text that stands in it already is given as if it were a delta."""
        block = value.get("content_block")
        if not isinstance(block, dict):
            raise ProtocolError(f"a content_block_start holds no block: {fit(lenient.as_json(block))}")
        index = value.get("index")
        index = len(self.blocks) if index is None else self.index_of(value)
        kind = block.get("type")
        before = self.blocks.get(index)
        if before and not before.closed:
            self.warnings.append("two open blocks have the same index")
            yield from self.close(before)
        self.newest = index
        opened = self.blocks[index] = Block(str(kind), len(self.calls), block.get("input"))
        self.open_blocks.append(opened)
        if kind == "tool_use":
            name = lenient.label(block.get("name"), "the name of a tool call")
            if not name:
                raise ProtocolError("a tool call came without a name")
            self.calls.append(opened)
            yield Call(opened.position, name, lenient.label(block.get("id"), "the id of a tool call"))
        elif kind in ("text", "thinking"):
            yield from self.text(str(kind), block.get(str(kind)))
        elif kind != "redacted_thinking":
            self.warnings.append(f"a block of the type {fit(lenient.as_json(kind))} was ignored")

    def delta(self, value: Mapping[str, Any]) -> Iterator[Piece]:
        """The next piece of a block."""
        delta = value.get("delta")
        if not isinstance(delta, dict):
            raise ProtocolError(f"a content_block_delta holds no delta: {fit(lenient.as_json(delta))}")
        block = self.blocks.get(self.index_of(value))
        match delta.get("type"):
            case "text_delta":
                yield from self.text("text", delta.get("text"))
            case "thinking_delta":
                yield from self.text("thinking", delta.get("thinking"))
            case "input_json_delta":
                if block is None or block.closed or block.kind in ("text", "thinking"):
                    raise ProtocolError("arguments came for a tool call that is not open")
                if block.kind != "tool_use":
                    return  # of a tool that runs at the server
                part = lenient.string(
                    "" if (part := delta.get("partial_json")) is None else part, "a fragment of arguments"
                )
                block.arguments += part.encode("utf-8", "surrogatepass")
                if fragment := self.halves.whole(block.position, part):
                    yield Fragment(block.position, fragment)
            case "signature_delta" | "citations_delta":
                pass
            case kind:
                self.warnings.append(f"a delta of the type {fit(lenient.as_json(kind))} was ignored")

    def text(self, kind: str, text: Any) -> Iterator[Piece]:
        """A piece of text or of thinking."""
        if text is None:
            self.warnings.append(f"a piece of {kind} was null")
        elif whole := self.halves.whole(kind, lenient.string(text, f"a piece of {kind}")):
            yield Text(whole) if kind == "text" else Reasoning(whole)

    def close(self, block: Block | None) -> Iterator[Piece]:
        """A block ends. Arguments that came with its start, and in no delta, are given now."""
        if block is None or block.closed:
            return
        block.closed = True
        if block.kind == "tool_use" and not block.arguments:
            try:
                arguments = block.input if isinstance(block.input, str) else to_json(block.input or {})
            except (ValueError, RecursionError):
                raise ProtocolError(f"the input of a tool call is {fit(lenient.as_json(block.input))}") from None
            block.arguments += arguments.encode("utf-8", "surrogatepass")
            yield Fragment(block.position, lenient.whole_characters(arguments))

    def end(self, value: Mapping[str, Any]) -> Iterator[Piece]:
        """The usage, and the stop reason if there is one: then all blocks have ended."""
        yield from self.usage(value)
        delta = value.get("delta")
        reason = delta.get("stop_reason") if isinstance(delta, dict) else None
        if reason is None:
            return
        self.stop_reason = lenient.whole_characters(str(reason))
        yield from self.settle()
        stop = delta.get("stop_sequence") if isinstance(delta, dict) else None
        yield End(self.stop_reason, stop=stop if isinstance(stop, str) else "")

    def settle(self) -> Iterator[Piece]:
        """The message ends: all blocks are closed, and all calls have arguments, unless a limit cut them."""
        for block in self.open_blocks:
            yield from self.close(block)
        self.open_blocks.clear()
        for key, half in self.halves.rest():
            yield Fragment(key, half) if isinstance(key, int) else Text(half) if key == "text" else Reasoning(half)
        for call in self.calls[self.checked :] if self.stop_reason not in LIMITS else ():
            lenient.check_arguments(call.arguments)
        self.checked = len(self.calls)


# ---- Requests --------------------------------------------------------------------------------------------------------

ROLES = ("user", "assistant", "system")
TEXT = ("text",)  # blocks; pictures, documents, thoughts and calls are ignored
MAX_STOPS = 16  # stop strings: each is compared with each character
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
DEFAULT_MAX_TOKENS = 4096  # of a request that we write: the vendor requires a limit


def read_messages(fields: Fields) -> Iterator[Message]:
    """Yield the system prompt and the messages. The results of tools stand in a user's message, and come before its text."""
    if fields.get("system") is not None:
        yield Message("system", read_text(fields, "system", TEXT))
    names: dict[str, str] = {}
    for message in fields.objects("messages", required=True):
        role = message.text("role")
        if role not in ROLES:
            raise message.error("role", f"must be one of {', '.join(ROLES)}")
        results = list(read_results(message, names)) if isinstance(message.get("content"), list) else []
        yield from results
        text = read_text(message, "content", TEXT)
        if text or not results:
            yield Message(role, text)


def read_results(message: Fields, names: dict[str, str]) -> Iterator[Message]:
    """The results of tools in a message; an error is a result, too. ``names`` are those of the calls so far, by id."""
    for block in message.objects("content"):
        if block.get("type") == "tool_use":
            names[str(block.get("id"))] = str(block.get("name"))
        if block.get("type") == "tool_result":
            text = read_text(block, "content", TEXT) if block.get("content") is not None else ""
            yield Message("tool", text, names.get(block.text("tool_use_id"), ""))


def read_tools(fields: Fields) -> dict[str, Any]:
    """The tools that may be called, and whether they must be, as members of a ``Prompt``."""
    tools = []
    for number, tool in enumerate(fields.objects("tools")):
        if number == MAX_TOOLS:
            raise fields.error("tools", f"must not be more than {MAX_TOOLS}")
        if tool.get("type") in (None, "custom"):  # all others run at the vendor's
            name = tool.text("name")
            if not TOOL_NAME.fullmatch(name):
                raise tool.error("name", "must be 1 to 128 letters, digits, - and _")
            tools.append(Tool(name, {**tool.object("input_schema", required=True).values, "type": "object"}))
    choice = fields.object("tool_choice")
    kind = choice.text("type") if choice.values else "auto"
    parallel = not choice.flag("disable_parallel_tool_use")
    if kind == "tool":
        name = choice.text("name")
        tools = [tool for tool in tools if tool.name == name][:1]
        if not tools:
            raise choice.error("name", f"names the tool {name!r}, which is not among the tools")
    elif kind not in ("auto", "any", "none"):
        raise choice.error("type", 'must be "auto", "any", "none" or "tool"')
    elif kind == "any" and not tools:
        raise fields.error("tool_choice", "requires a call, but there are no tools")
    neutral = {"any": "required", "tool": "required"}.get(kind, kind)
    return {"tools": tuple(tools), "tool_choice": neutral, "parallel_tool_calls": parallel}


def read_stop(fields: Fields) -> tuple[str, ...]:
    """The stop strings. The vendor refuses those of white space alone."""
    stops = fields.get("stop_sequences")
    if stops is None:
        return ()
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop.strip() for stop in stops):
        raise fields.error("stop_sequences", "must be an array of strings that are not blank")
    if len(stops) > MAX_STOPS or any(len(stop) > MAX_STOP for stop in stops):
        raise fields.error("stop_sequences", f"must be up to {MAX_STOPS} strings of up to {MAX_STOP} characters")
    return tuple(stops)


def read_thinking(fields: Fields, max_tokens: int) -> bool:
    """Whether the model may think before it answers."""
    thinking = fields.object("thinking")
    kind = thinking.text("type") if thinking.values else "adaptive"
    if kind not in ("enabled", "disabled", "adaptive", "between_tools"):
        raise thinking.error("type", 'must be "enabled", "disabled", "adaptive" or "between_tools"')
    if kind == "enabled":
        budget = thinking.number("budget_tokens", None, 1024, 2**31, whole=True)
        if budget is None or budget >= max_tokens:
            raise thinking.error("budget_tokens", "is missing" if budget is None else "must be less than max_tokens")
    return kind != "disabled"


def read_schema(fields: Fields) -> Mapping[str, Any] | None:
    """The JSON schema that the answer must fit; None if it is plain text."""
    form = fields.object("output_config").object("format")
    if not form.values:
        return None
    if form.text("type") != "json_schema":
        raise form.error("type", 'must be "json_schema"')
    return form.object("schema", required=True).values


# ---- The dialect -----------------------------------------------------------------------------------------------------

TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
PATH = "/v1/messages"
COUNT = PATH + "/count_tokens"


class AnthropicMessages:
    """Messages: ``POST /v1/messages`` and ``/v1/messages/count_tokens``, and ``GET /v1/models``."""

    name = "anthropic"
    last_event = "message_stop"
    query = frozenset({"beta"})
    heartbeat = encode_event('{"type":"ping"}', event="ping")
    request_id = "request-id"

    # ---- On a server -------------------------------------------------------------------------------------------------

    def serves(self, path: str) -> bool:
        """The paths of the answers and all below them, and those of the models."""
        return path == PATH or path.startswith(PATH + "/") or self.model_at(path) is not None

    def answers(self, path: str) -> bool:
        """Messages, and the count of tokens, which is an answer of no choices."""
        return path in (PATH, COUNT)

    def model_at(self, path: str) -> str | None:
        """The model in ``/v1/models/MODEL``."""
        return model_below(path)

    def read_key(self, request: HTTPRequest) -> str | None:
        """The key of ``x-api-key``, else that of ``Authorization: Bearer KEY``: the vendor's newest SDKs send the latter."""
        key = request.headers.get("x-api-key")
        return bearer_key(request) if key is None else key.strip()

    def read_request(self, request: HTTPRequest) -> Request:
        """Understand a request body. Unknown members are ignored, although the vendor refuses them."""
        fields = Fields(request.body)
        counts = request.path == COUNT
        model = fields.text("model")
        max_tokens = fields.number("max_tokens", None, 1, 2**31, whole=True)
        if max_tokens is None and not counts:
            raise fields.error("max_tokens", "is missing")
        fields.number("top_p", None, 0, 1)  # validated, without effect on the toy model
        fields.number("top_k", None, 0, 2**31, whole=True)
        prompt = Prompt(
            model=model,
            messages=tuple(read_messages(fields)),
            **read_tools(fields),
            schema=read_schema(fields),
            stop=read_stop(fields),
            max_tokens=max_tokens,
            n=0 if counts else 1,
            temperature=fields.number("temperature", 1.0, 0, 1),
            reasoning=read_thinking(fields, max_tokens or 2**32),
        )
        return Request(prompt, fields.flag("stream") and not counts, include_usage=True)

    def head(self, request: Request, id: str) -> dict[str, Any]:
        """What a message begins with."""
        return {"id": f"msg_{id}", "type": "message", "role": "assistant", "model": request.prompt.model}

    def write_stream(
        self, request: Request, pieces: Iterable[Piece], *, id: str, created: int
    ) -> Iterator[ServerSentEvent]:
        """The events of a stream, the last of them ``message_stop`` unless the model fails."""
        try:
            yield from MessageWriter(self.head(request, id)).write(pieces)
        except ModelFailure as failure:
            yield self.write_error_event(RequestError("failed", str(failure)))

    def write_answer(self, request: Request, pieces: Iterable[Piece], *, id: str, created: int) -> dict[str, Any]:
        """The ``message`` object, or the number of tokens of a prompt."""
        writer = MessageWriter(self.head(request, id))
        for _ in writer.write(pieces):
            pass
        return writer.message if request.prompt.n else {"input_tokens": writer.message["usage"]["input_tokens"]}

    def write_error(self, error: RequestError, *, id: str = "") -> dict[str, Any]:
        """The error object, with the id of the request if there is one."""
        kind = TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
        value: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": error.message}}
        return {**value, "request_id": f"req_{id}"} if id else value

    def write_error_event(self, error: RequestError, *, number: int = 0) -> ServerSentEvent:
        """The error object as an event of the name ``error``: clients do not see one without it."""
        return ServerSentEvent(to_json(self.write_error(error)), "error")

    def write_models(self, names: Sequence[str]) -> dict[str, Any]:
        """The list of models, all on one page."""
        models = [self.write_model(name) for name in names]
        return {"data": models, "has_more": False, "first_id": names[0], "last_id": names[-1]}

    def write_model(self, name: str) -> dict[str, Any]:
        """One model."""
        about = {"id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z", "lifecycle": "active"}
        return {"type": "model", **about}

    # ---- On a client -------------------------------------------------------------------------------------------------

    def address(self, base: str, request: Request) -> str:
        """The path below the base URL, which users of the vendor's SDKs give without ``/v1`` and others with it."""
        url, mark, query = base.partition("?")
        return url.rstrip("/").removesuffix("/v1") + PATH + mark + query

    def write_key(self, key: str) -> dict[str, str]:
        """``x-api-key``, and the version of the API, which the vendor wants with it."""
        return {"x-api-key": key, "anthropic-version": "2023-06-01"}

    def write_request(self, request: Request) -> dict[str, Any]:
        """The body of a request. Raises ``ValueError`` for what this wire has no member for."""
        prompt = request.prompt
        expect_defaults(prompt, "Messages", "n", "seed", "top_logprobs")
        turns = [message for message in prompt.messages if message.role != "system"]
        roles = {"assistant": "assistant"}  # all others are the user's: without the id of its call a result is text
        body: dict[str, Any] = {
            "model": prompt.model,
            "max_tokens": prompt.max_tokens or DEFAULT_MAX_TOKENS,
            "messages": [{"role": roles.get(turn.role, "user"), "content": turn.text} for turn in turns],
        }
        if system := "\n\n".join(message.text for message in prompt.messages if message.role == "system"):
            body["system"] = system
        if request.stream:
            body["stream"] = True
        if prompt.temperature != 1.0:
            body["temperature"] = prompt.temperature
        if prompt.stop:
            body["stop_sequences"] = list(prompt.stop)
        if not prompt.reasoning:
            body["thinking"] = {"type": "disabled"}
        if prompt.schema is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": prompt.schema}}
        if prompt.tools:
            body["tools"] = [{"name": tool.name, "input_schema": tool.parameters} for tool in prompt.tools]
            body["tool_choice"] = {"type": "any" if prompt.tool_choice == "required" else prompt.tool_choice}
            if not prompt.parallel_tool_calls:
                body["tool_choice"]["disable_parallel_tool_use"] = True
        return body

    def count_choices(self, body: Mapping[str, Any]) -> int:
        """One."""
        return 1

    def reader(self) -> MessageReader:
        """A reader for one stream."""
        return MessageReader()

    def read_error(self, body: bytes) -> str:
        """The message of an error, in whichever shape; the body itself if it is no JSON."""
        return lenient.message_in_body(body)
