"""OpenAI's chat completions: the wire that most services speak.

In:   on a server, requests and pieces; on a client, prompts and events.
Out:  on a server, chunks, ``chat.completion`` objects and error objects; on a client, request bodies and pieces.

Follows the vendor's API reference, "Chat completions": create, the chat completion object, the chunk object. A stream is

    data: {... "choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
    data: {... "choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}      one for each piece of text
    data: {... "choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}                   once for each choice
    data: {... "choices":[],"usage":{...}}                                                  only if it was asked for
    data: [DONE]

and a delta holds one of

    {"content":"..."}   {"refusal":"..."}   {"reasoning_content":"..."}                     text
    {"tool_calls":[{"index":0,"id":"...","function":{"name":"...","arguments":""}}]}        a call begins
    {"tool_calls":[{"index":0,"function":{"arguments":"..."}}]}                             a fragment of its arguments

where "..." at the beginning stands for what is the same in every chunk: ``id``, ``object``, ``created``, ``model``,
``system_fingerprint``. So a token of four letters travels in some 240 bytes. ``reasoning_content`` is not the vendor's:
most services have it for what a model thinks before it answers. A reader keeps, for each choice, the texts and the calls so
far, and adds what each delta brings: texts by their member, fragments by their ``index``. Choices of one stream take turns,
and are told apart by *their* ``index``. A choice is over when its finish reason comes:

    stop            the model ended, or came to a stop string
    length          it came to ``max_tokens``: the text, or the JSON of the arguments, is cut
    tool_calls      it wants the calls made, and their results in the next request
    content_filter  the service withheld the rest

There are nothing but data fields: a widely used SDK fails on blocks that have an id or a reconnection time and no data. An
error before the stream is an HTTP status with ``{"error":{"message":...,"type":...,"param":...,"code":...}}``. Inside the
stream the status is already sent, so the same object is the data of an event, and the end. ``[DONE]`` is no part of the
event stream format: it is the data of an event, compared for equality.

Unstreamed, the same answer is one object, in which each choice has a message in place of its deltas:

    {... "choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{...}}

The stream comes first below, read and written; then the whole answer, requests, errors, models. What other services make of
this wire is read in ``compatible.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sse_ref.codec import ServerSentEvent, new_event
from sse_ref.dialects.interface import HTTPRequest, Request
from sse_ref.dialects.strict_json import Fields, read_json, to_json
from sse_ref.errors import ApiError, ProtocolError, RequestError, fit
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
    Said,
    Text,
    Tool,
    Usage,
)

__all__ = ["DONE", "ChunkReader", "OpenAIChat"]

DONE = "[DONE]"
TEXTS = {"reasoning_content": Reasoning, "content": Text, "refusal": Refusal}  # the members of a delta that are text

# ---- A stream, read --------------------------------------------------------------------------------------------------


class ChunkReader:
    """Reads chunks into pieces.

    >>> reader = ChunkReader()
    >>> list(reader.read(ServerSentEvent('{"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}')))
    [Text(text='Hel', choice=0, tokens=1, logprobs=())]
    """

    def __init__(self) -> None:
        self.done = False
        self.warnings: list[str] = []
        self.ended: dict[int, bool] = {}  # for each choice that began: its finish reason has come

    @property
    def finished(self) -> bool:
        """Every choice that began has its finish reason."""
        return bool(self.ended) and all(self.ended.values())

    def read(self, event: ServerSentEvent) -> Iterator[Piece]:
        """Yield the pieces in this event. Raises ``ApiError`` or ``ProtocolError`` after those before the fault."""
        if event.data == DONE:
            self.done = True
            return
        try:
            yield from self.read_chunk(read_json(event.data))
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            raise ProtocolError(f"an event is no chunk: {fit(event.data)}") from None

    def read_chunk(self, chunk: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield the pieces in a chunk. Its error, if it has one, comes after them."""
        for choice in chunk.get("choices", ()):
            yield from self.read_choice(choice)
        if error := chunk.get("error"):
            raise ApiError(error["message"])
        if usage := chunk.get("usage"):
            details = usage.get("completion_tokens_details") or {}
            yield Usage(usage["prompt_tokens"], usage["completion_tokens"], details.get("reasoning_tokens", 0))

    def read_choice(self, choice: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield the pieces in one of the choices: texts, calls, the end."""
        index, delta = choice["index"], choice["delta"]
        self.ended.setdefault(index, False)
        for name, kind in TEXTS.items():
            if text := delta.get(name):
                yield kind(text, index)
        for call in delta.get("tool_calls", ()):
            function = call["function"]
            if "name" in function:
                yield Call(call["index"], function["name"], call["id"], index)
            if arguments := function.get("arguments"):
                yield Fragment(call["index"], arguments, index)
        if reason := choice.get("finish_reason"):
            self.ended[index] = True
            yield End(reason, index)


# ---- A stream, written -----------------------------------------------------------------------------------------------


class ChunkWriter:
    """Writes pieces as chunks. ``head`` holds the members that all chunks of the stream begin with."""

    def __init__(self, head: Mapping[str, Any], *, usage: bool) -> None:
        self.head = head
        self.null_usage = {"usage": None} if usage else {}  # in all chunks but the last, if a usage was asked for
        self.around: dict[int, list[str]] = {}  # for each choice, what stands before and after the text in its chunks

    def write(self, pieces: Iterable[Piece]) -> Iterator[ServerSentEvent]:
        """Yield the events of the pieces. A ``ModelFailure`` is passed on."""
        for piece in pieces:
            if isinstance(piece, Text) and piece.choice in self.around and not piece.logprobs:
                # Only the text differs from chunk to chunk: what stands around it is made once.
                yield new_event(ServerSentEvent, (to_json(piece.text).join(self.around[piece.choice]), "message", ""))
            elif isinstance(piece, Said):
                if piece.choice not in self.around:
                    self.around[piece.choice] = self.chunk(Text("\0", piece.choice)).data.rsplit('"\\u0000"', 1)
                    yield from self.first(piece)
                yield self.chunk(piece)
            elif isinstance(piece, Usage) and self.null_usage and self.around:  # not the usage before the first choice
                yield ServerSentEvent(to_json({**self.head, "choices": [], "usage": usage_object(piece)}))

    def first(self, piece: Said) -> Iterator[ServerSentEvent]:
        """The chunk that gives the role, before the first piece of a choice."""
        delta = {"role": "assistant", "content": None if isinstance(piece, Call) else ""}
        yield self.event(piece.choice, {"delta": delta})

    def chunk(self, piece: Said) -> ServerSentEvent:
        """The chunk of one piece."""
        match piece:
            case Text() | Reasoning() | Refusal():
                name = next(name for name, kind in TEXTS.items() if isinstance(piece, kind))
                return self.event(piece.choice, {"delta": {name: piece.text}}, [piece] if name == "content" else [])
            case Call():
                call = {"index": piece.index, **call_object(self.head["id"], piece)}
                return self.event(piece.choice, {"delta": {"tool_calls": [call]}})
            case Fragment():
                call = {"index": piece.index, "function": {"arguments": piece.arguments}}
                return self.event(piece.choice, {"delta": {"tool_calls": [call]}})
            case End():
                return self.event(piece.choice, {"delta": {}}, reason=piece.reason)

    def event(self, *of: Any, **named: Any) -> ServerSentEvent:
        """A chunk with one choice, which is the ``choice_object`` of these arguments."""
        return ServerSentEvent(to_json({**self.head, "choices": [choice_object(*of, **named)], **self.null_usage}))


# ---- What a stream and a whole answer share --------------------------------------------------------------------------


def choice_object(index: int, content: Any, texts: Iterable[Text] = (), reason: str | None = None) -> dict[str, Any]:
    """One of ``choices``: its ``delta`` or ``message``, the log probabilities of its ``texts``, its finish ``reason``."""
    return {"index": index, **content, "logprobs": logprobs_object(texts), "finish_reason": reason}


def call_object(id: str, call: Call) -> dict[str, Any]:
    """A tool call without arguments; its id is made from that of the answer, if the model gives none."""
    call_id = call.id or f"call_{id.rpartition('-')[2][:16]}_{call.choice}_{call.index}"
    return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": ""}}


# ---- What is left: usage, log probabilities ---------------------------------------------------------------------------


def usage_object(usage: Usage) -> dict[str, Any]:
    """The ``usage``."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": (usage.prompt_tokens or 0) + (usage.completion_tokens or 0),
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def logprobs_object(texts: Iterable[Text]) -> dict[str, Any] | None:
    """The ``logprobs`` of a choice; None if there are none."""
    content = [
        {
            **token_object(entry.token, entry.logprob),
            "top_logprobs": [token_object(token, logprob) for token, logprob in entry.top],
        }
        for text in texts
        for entry in text.logprobs
    ]
    return {"content": content, "refusal": None} if content else None


def token_object(token: bytes, logprob: float) -> dict[str, Any]:
    """A token with its log probability. Part of a character is written as the vendor writes it."""
    try:
        text = token.decode()
    except UnicodeDecodeError:
        text = "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)
    return {"token": text, "logprob": logprob, "bytes": list(token)}


# ---- A whole answer --------------------------------------------------------------------------------------------------


class Whole:
    """Collects pieces into the choices of a ``chat.completion`` object: what a client would put together from the stream.

    ``message`` makes the content of a choice from its texts, by the names that they have in a delta, and its calls.
    """

    def __init__(
        self, head: Mapping[str, Any], message: Callable[[Mapping[str, str], list[dict[str, Any]]], dict[str, Any]]
    ) -> None:
        self.answer: dict[str, Any] = {**head, "choices": []}
        self.message = message
        self.texts: dict[int, list[Text | Reasoning | Refusal]] = {}
        self.calls: dict[int, list[dict[str, Any]]] = {}

    def add(self, piece: Piece) -> None:
        """Take the next piece."""
        match piece:
            case Text() | Reasoning() | Refusal():
                self.texts.setdefault(piece.choice, []).append(piece)
            case Call():
                self.calls.setdefault(piece.choice, []).append(call_object(self.answer["id"], piece))
            case Fragment():
                self.calls[piece.choice][piece.index]["function"]["arguments"] += piece.arguments
            case End():
                self.end(piece)
            case Usage():
                self.answer["usage"] = usage_object(piece)

    def end(self, piece: End) -> None:
        """A choice is over: put it together."""
        said = self.texts.pop(piece.choice, [])
        parts = {name: [text.text for text in said if isinstance(text, kind)] for name, kind in TEXTS.items()}
        texts = {name: "".join(part) for name, part in parts.items() if part}
        content = self.message(texts, self.calls.pop(piece.choice, []))
        shown = [text for text in said if isinstance(text, Text)]
        self.answer["choices"].append(choice_object(piece.choice, content, texts=shown, reason=piece.reason))


# ---- Requests --------------------------------------------------------------------------------------------------------

MAX_TOOLS, MAX_NAME = 128, 64  # tools, and characters of a name: as the vendor's
MAX_STOP = 1000  # characters: text that may begin a stop string is held back, and long ones would hold much back
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
ROLES |= {"tool": "tool", "function": "tool"}
JSON_OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "words": {"type": "array", "items": {"type": "string"}}},
}


def read_messages(fields: Fields) -> Iterator[Message]:
    """Yield the messages of the conversation, each role by its neutral name."""
    names: dict[Any, str] = {}
    for message in fields.objects("messages", required=True):
        role = message.text("role")
        if role not in ROLES:
            raise message.error("role", f"must be one of {', '.join(ROLES)}")
        names |= called_names(message)
        yield Message(ROLES[role], read_content(message), names.get(str(message.get("tool_call_id")), ""))


def called_names(message: Fields) -> dict[Any, str]:
    """The names of the functions that a message calls, by the ids of the calls."""
    calls = message.get("tool_calls")
    calls = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return {str(c.get("id")): str(c["function"].get("name")) for c in calls if isinstance(c.get("function"), dict)}


def read_content(message: Fields) -> str:
    """The text of a message, which may be null."""
    return "" if message.get("content") is None else read_text(message, "content", ("text",))


def read_text(owner: Fields, name: str, kinds: Collection[str]) -> str:
    """A text: a string, or the parts of an array whose type is among ``kinds``. Pictures and all others are ignored."""
    value = owner.get(name)
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise owner.error(name, "is missing" if value is None else "must be a string or an array of parts")
    texts = []
    for part in owner.objects(name):
        if part.get("type") in kinds:
            text = part.get("text")
            if not isinstance(text, str):
                raise part.error("text", "must be a string")
            texts.append(text)
    return "".join(texts)


def read_functions(fields: Fields) -> tuple[Tool, ...]:
    """The functions of the tools."""
    return tuple(
        read_tool(fields, tool.object("function", required=True), position)
        for position, tool in enumerate(fields.objects("tools"))
    )


def read_tools(fields: Fields) -> tuple[tuple[Tool, ...], str]:
    """The tools that may be called, and whether they must be."""
    tools = read_functions(fields)
    choice = fields.get("tool_choice")
    if choice is None:
        return tools, "auto"
    if isinstance(choice, str):
        choice = "required" if choice == "any" else choice  # Mistral's word
        if choice not in ("none", "auto", "required"):
            raise fields.error("tool_choice", 'must be "none", "auto", "required" or an object that names a function')
        if choice == "required" and not tools:
            raise fields.error("tool_choice", "requires a call, but there are no tools")
        return tools, choice
    name = fields.object("tool_choice").object("function", required=True).text("name")
    chosen = tuple(tool for tool in tools if tool.name == name)
    if not chosen:
        raise fields.error("tool_choice", f"names the function {fit(name)!r}, which is not among the tools")
    return chosen[:1], "required"


def read_tool(fields: Fields, function: Fields, position: int) -> Tool:
    """The function of one of the tools."""
    parameters = function.object("parameters").values
    if position == MAX_TOOLS:
        raise fields.error("tools", f"must not be more than {MAX_TOOLS}")
    name = function.text("name")
    if len(name) > MAX_NAME:
        raise function.error("name", f"must not be longer than {MAX_NAME} characters")
    return Tool(name, {**parameters, "type": "object"})


def read_logprobs(fields: Fields) -> int | None:
    """How many alternatives are asked for with each token; None if log probabilities are not asked for."""
    top_logprobs: int | None = fields.number("top_logprobs", None, 0, 20, whole=True)
    if fields.flag("logprobs"):
        return top_logprobs or 0
    if top_logprobs is not None:
        raise fields.error("top_logprobs", "needs logprobs to be true")
    return None


def read_schema(form: Fields, *path: str) -> Mapping[str, Any] | None:
    """The JSON schema that the answer must fit, below ``path`` in its format; None if it is plain text."""
    match form.get("type"):
        case None if not form.values:
            return None
        case "text":
            return None
        case "json_object":
            return JSON_OBJECT
        case "json_schema":
            for name in path:
                form = form.object(name, required=True)
            return form.object("schema", required=not path).values or JSON_OBJECT
    raise form.error("type", 'must be "text", "json_object" or "json_schema"')


def read_stops(fields: Fields, name: str, most: int, *, single: bool = False) -> tuple[str, ...]:
    """The stop strings of an array. Where ``single``, one string may stand alone."""
    stops = fields.get(name)
    if single and isinstance(stops, str):
        stops = [stops]
    if stops is None:
        return ()
    if not isinstance(stops, list) or len(stops) > most or not all(isinstance(stop, str) for stop in stops):
        raise fields.error(name, f"must be {'a string or ' if single else ''}an array of up to {most} strings")
    if any(len(stop) > MAX_STOP for stop in stops):
        raise fields.error(name, f"must not be longer than {MAX_STOP} characters")
    return tuple(filter(None, stops))


# ---- The dialect -----------------------------------------------------------------------------------------------------

SERVER_FAULTS = {"timed_out", "failed", "stopping"}  # kinds of errors
TYPES = {"too_many": "rate_limit_error"} | dict.fromkeys(SERVER_FAULTS, "server_error")
CODES = {"no_key": "invalid_api_key", "wrong_key": "invalid_api_key", "no_model": "model_not_found"}
CODES["too_many"] = "rate_limit_exceeded"
CREATED = 1767225600  # when the models were made, in Unix seconds: 1 January 2026
FINGERPRINT = "fp_toy"


def bearer_key(request: HTTPRequest) -> str | None:
    """The key of ``Authorization: Bearer KEY``; None if there is none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def model_below(path: str) -> str | None:
    """The model in ``/v1/models/MODEL``, "" for the list; None for any other path.

    >>> model_below("/v1/models/toy"), model_below("/v1/models"), model_below("/v1/model")
    ('toy', '', None)
    """
    return path[len("/v1/models/") :] if path == "/v1/models" or path.startswith("/v1/models/") else None


def expect_defaults(prompt: Prompt, wire: str, *names: str) -> None:
    """Raise ``ValueError`` if a member of a prompt has another value than its default: the wire has no word for it.

    >>> expect_defaults(Prompt("toy", (), seed=7), "Messages", "n", "seed")
    Traceback (most recent call last):
    ValueError: Messages have no seed
    """
    default = Prompt(prompt.model, ())
    for name in names:
        if getattr(prompt, name) != getattr(default, name):
            raise ValueError(f"{wire} have no {name}")


class OpenAIChat:
    """Chat completions: ``POST /v1/chat/completions``, and ``GET /v1/models``."""

    name = "openai"
    last_event = DONE
    query = frozenset({"api-version"})
    request_id = "X-Request-Id"
    heartbeat = (
        b": heartbeat\n\n"  # with the blank line it is a block, which clients that split at blank lines drop whole
    )
    path = "/chat/completions"
    id_prefix = "chatcmpl-"
    chunk_object = "chat.completion.chunk"
    whole_object = "chat.completion"
    writer = ChunkWriter

    # ---- On a server -------------------------------------------------------------------------------------------------

    def serves(self, path: str) -> bool:
        """The path of the answers, and those of the models."""
        return self.answers(path) or self.model_at(path) is not None

    def answers(self, path: str) -> bool:
        """One path."""
        return path == f"/v1{self.path}"

    def model_at(self, path: str) -> str | None:
        """The model in ``/v1/models/MODEL``."""
        return model_below(path)

    def read_key(self, request: HTTPRequest) -> str | None:
        """The key of ``Authorization: Bearer KEY``."""
        return bearer_key(request)

    def read_request(self, request: HTTPRequest) -> Request:
        """Understand a request body. Unknown members are ignored: SDK users pass those of other services."""
        fields = Fields(request.body)
        prompt = self.read_prompt(fields)
        options = fields.object("stream_options")
        return Request(prompt, fields.flag("stream"), options.flag("include_usage"))

    def read_prompt(self, fields: Fields) -> Prompt:
        """What is asked, but for the conversation, which text completions give in another form."""
        model = fields.text("model")
        max_tokens = fields.number("max_completion_tokens", None, 1, 2**31, whole=True)
        if max_tokens is None:
            max_tokens = fields.number("max_tokens", None, 1, 2**31, whole=True)
        seed = "seed" if fields.get("random_seed") is None else "random_seed"  # Mistral's name
        for name, low, high in (("top_p", 0, 1), ("presence_penalty", -2, 2), ("frequency_penalty", -2, 2)):
            fields.number(name, None, low, high)  # validated, without effect on the toy model
        return Prompt(
            model=model,
            **self.read_conversation(fields),
            parallel_tool_calls=fields.flag("parallel_tool_calls", True),
            schema=read_schema(fields.object("response_format"), "json_schema"),
            stop=read_stops(fields, "stop", 4, single=True),
            max_tokens=max_tokens,
            n=fields.number("n", 1, 1, 128, whole=True),
            seed=fields.number(seed, 0, -(2**63), 2**63 - 1, whole=True),
            temperature=fields.number("temperature", 1.0, 0, 2),
            reasoning=fields.get("reasoning_effort") != "none",
        )

    def read_conversation(self, fields: Fields) -> dict[str, Any]:
        """Messages, tools and log probabilities, as members of a ``Prompt``."""
        tools, tool_choice = read_tools(fields)
        messages, top_logprobs = tuple(read_messages(fields)), read_logprobs(fields)
        return {"messages": messages, "tools": tools, "tool_choice": tool_choice, "top_logprobs": top_logprobs}

    def head(self, object: str, request: Request, id: str, created: int) -> dict[str, Any]:
        """What every chunk of a stream begins with, and the whole answer too."""
        head = {"id": self.id_prefix + id, "object": object, "created": created}
        return {**head, "model": request.prompt.model, "system_fingerprint": FINGERPRINT}

    def write_stream(
        self, request: Request, pieces: Iterable[Piece], *, id: str, created: int
    ) -> Iterator[ServerSentEvent]:
        """The events of a stream, the last of them ``[DONE]`` unless the model fails."""
        try:
            yield from self.writer(
                self.head(self.chunk_object, request, id, created), usage=request.include_usage
            ).write(pieces)
        except ModelFailure as failure:
            yield self.write_error_event(RequestError("failed", str(failure)))
        else:
            yield ServerSentEvent(DONE)

    def write_answer(self, request: Request, pieces: Iterable[Piece], *, id: str, created: int) -> dict[str, Any]:
        """The ``chat.completion`` object, its choices in the order of their indexes."""
        whole = Whole(self.head(self.whole_object, request, id, created), self.message)
        for piece in pieces:
            whole.add(piece)
        whole.answer["choices"].sort(key=lambda choice: choice["index"])
        return whole.answer

    def message(self, texts: Mapping[str, str], calls: list[dict[str, Any]]) -> dict[str, Any]:
        """The content of a choice of a whole answer."""
        content = None if calls or "refusal" in texts else ""
        message = {"role": "assistant", "content": content, "refusal": None, **texts}
        return {"message": {**message, "tool_calls": calls} if calls else message}

    def write_error(self, error: RequestError, *, id: str = "") -> dict[str, Any]:
        """The error object with its four members."""
        kind = TYPES.get(error.kind, "invalid_request_error")
        return {"error": {"message": error.message, "type": kind, "param": error.param, "code": CODES.get(error.kind)}}

    def write_error_event(self, error: RequestError, *, number: int = 0) -> ServerSentEvent:
        """The error object as an event without a name."""
        return ServerSentEvent(to_json(self.write_error(error)))

    def write_models(self, names: Sequence[str]) -> dict[str, Any]:
        """The list of models."""
        return {"object": "list", "data": [self.write_model(name) for name in names]}

    def write_model(self, name: str) -> dict[str, Any]:
        """One model."""
        return {"id": name, "object": "model", "created": CREATED, "owned_by": "sse_ref"}

    # ---- On a client -------------------------------------------------------------------------------------------------

    def address(self, base: str, request: Request) -> str:
        """The base URL, which ends in ``/v1`` or what a service has in its place, and the path below it."""
        url, mark, query = base.partition("?")
        return url.rstrip("/") + self.path + mark + query

    def write_key(self, key: str) -> dict[str, str]:
        """``Authorization: Bearer KEY``."""
        return {"Authorization": f"Bearer {key}"}

    def write_request(self, request: Request) -> dict[str, Any]:
        """The body of a request; limits and options that have their default value are left out."""
        prompt = request.prompt
        body: dict[str, Any] = {"model": prompt.model, **self.write_messages(prompt)}
        if request.stream:
            body["stream"] = True
            if request.include_usage:
                body["stream_options"] = {"include_usage": True}
        default = Prompt(prompt.model, ())
        for name in ("max_tokens", "n", "seed", "temperature", "parallel_tool_calls"):
            if getattr(prompt, name) != getattr(default, name):
                body[name] = getattr(prompt, name)
        if not prompt.reasoning:
            body["reasoning_effort"] = "none"
        if prompt.stop:
            body["stop"] = list(prompt.stop)
        if prompt.tools:
            functions = ({"name": tool.name, "parameters": tool.parameters} for tool in prompt.tools)
            body["tools"] = [{"type": "function", "function": function} for function in functions]
            body["tool_choice"] = prompt.tool_choice
        if prompt.schema is not None:
            json_schema = {"name": "answer", "schema": prompt.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": json_schema}
        return {**body, **self.write_logprobs(prompt)}

    def write_messages(self, prompt: Prompt) -> dict[str, Any]:
        """The members of a request that hold the conversation."""
        return {"messages": [{"role": message.role, "content": message.text} for message in prompt.messages]}

    def write_logprobs(self, prompt: Prompt) -> dict[str, Any]:
        """The members of a request that ask for log probabilities."""
        return {} if prompt.top_logprobs is None else {"logprobs": True, "top_logprobs": prompt.top_logprobs}

    def count_choices(self, body: Mapping[str, Any]) -> int:
        """``n``, or 1."""
        n = body.get("n")
        return n if isinstance(n, int) and n else 1

    def reader(self) -> ChunkReader:
        """A reader for one stream."""
        return ChunkReader()

    def read_error(self, body: bytes) -> str:
        """The message of an error object."""
        try:
            message = read_json(body.decode("utf-8", "replace"))["error"]["message"]
        except (ValueError, RecursionError, LookupError, TypeError):
            return ""
        return message if isinstance(message, str) else ""
