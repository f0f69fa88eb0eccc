"""Google's Gemini API: a stream of objects, each in the form of a whole answer, with only what is new in it.

In:   on a server, requests and pieces; on a client, prompts and events.
Out:  on a server, ``GenerateContentResponse`` and error objects; on a client, request bodies and pieces.

Follows the vendor's API reference, "Generating content". Model and method stand in the path, and the method decides whether
the answer is streamed:

    POST /v1beta/models/MODEL:streamGenerateContent?alt=sse      an event stream
    POST /v1beta/models/MODEL:streamGenerateContent              one JSON array, an element at a time
    POST /v1beta/models/MODEL:generateContent                    one object

A chunk has the form of the whole answer, so there is one type where other wires have ten. A stream is

    data: {"candidates":[{"content":{"parts":[{"text":"Hel"}],"role":"model"},"index":0}],"usageMetadata":{...},...}
    data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],...}

and a part holds one of

    {"text":"..."}                                       the next piece of the text
    {"text":"...","thought":true}                        the next piece of what the model thinks
    {"functionCall":{"name":...,"args":{...}}}           a call, whole: its arguments come in no fragments

``usageMetadata`` comes with each chunk and is cumulative: the last one counts. Choices are called candidates.

    on the wire      in pieces
    STOP             stop, and tool_calls: a call is seen by its part alone
    MAX_TOKENS       length
    SAFETY           content_filter, or any end of a refusal
    OTHER            any other

A server writes these; a client passes on what it reads. A prompt that is blocked has no candidate, and a ``blockReason``.

**What ends a stream.** Nothing but the end of the body: there is no last event. An answer is whole if each candidate has a
finish reason and the body was not cut. Text may come after a finish reason: some gateways write one into each chunk.

**What breaks clients.** The vendor's own SDK for Python takes each line that is not empty for JSON, unless it begins with
``data: ``. So there is nothing else here: no comment, no name, no id, no ``[DONE]``; a heartbeat is an empty line. An error
inside the stream is ``{"error":{"code":500,"message":...,"status":"INTERNAL"}}``: the SDK looks at the first member.

**Names.** As in all JSON that is made from protocol buffers, a field may be called ``maxOutputTokens`` or
``max_output_tokens``; SDKs send both, in one request. A schema is either OpenAPI's, with its types in capital letters, or
JSON's.

The stream comes first below, written and read; then the whole answer, requests, and the dialect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sse_ref.codec import ServerSentEvent
from sse_ref.dialects import lenient_json as lenient
from sse_ref.dialects.anthropic import signature_of
from sse_ref.dialects.interface import HTTPRequest, Request
from sse_ref.dialects.openai import JSON_OBJECT, MAX_NAME, MAX_TOOLS, expect_defaults, model_below, read_stops
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
    Said,
    Text,
    Tool,
    Usage,
    Words,
)

__all__ = ["Gemini"]

FINISH_REASONS = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}

# ---- A stream, written -----------------------------------------------------------------------------------------------


class ChunkWriter:
    """Writes pieces as chunks.

    >>> writer = ChunkWriter("toy", "1")
    >>> [chunk["candidates"][0]["content"]["parts"] for chunk in writer.write([Usage(3, 0), Text("Hi"), End("stop")])]
    [[{'text': 'Hi'}], [{'text': ''}]]
    """

    def __init__(self, model: str, id: str) -> None:
        self.head = {"modelVersion": model, "responseId": id}  # the same in all chunks
        self.prompt_tokens: int | None = 0
        self.tokens = self.thoughts = 0  # so far; all of them, and those of thoughts
        self.told: tuple[int, int] | None = None  # the same, from a model that tells them before its answer
        self.calls: dict[int, tuple[Call, list[str]]] = {}  # for each choice, the call whose arguments are coming
        self.unsigned: dict[int, str] = {}  # for each choice, thoughts that no part has a signature of
        self.refused: set[int] = set()

    def write(self, pieces: Iterable[Piece]) -> Iterator[dict[str, Any]]:
        """Yield the chunks of the pieces. A ``ModelFailure`` is passed on."""
        for piece in pieces:
            if isinstance(piece, Usage):
                self.prompt_tokens = piece.prompt_tokens
                if piece.completion_tokens and not self.tokens:
                    self.told = piece.completion_tokens, piece.reasoning_tokens
            elif isinstance(piece, Said):
                self.tokens += piece.tokens
                yield from self.said(piece)

    def said(self, piece: Said) -> Iterator[dict[str, Any]]:
        """The chunks of one piece."""
        match piece:
            case Reasoning():
                self.thoughts += piece.tokens
                self.unsigned[piece.choice] = self.unsigned.get(piece.choice, "") + piece.text
                yield self.chunk(piece.choice, {"text": piece.text, "thought": True})
            case Words():
                if isinstance(piece, Refusal):
                    self.refused.add(piece.choice)
                yield self.chunk(piece.choice, {"text": piece.text})
            case Call():
                yield from self.whole_call(piece.choice)
                self.calls[piece.choice] = piece, []
            case Fragment():
                self.calls[piece.choice][1].append(piece.arguments)
            case End():
                yield from self.whole_call(piece.choice)
                reason = "SAFETY" if piece.choice in self.refused else FINISH_REASONS.get(piece.reason, "OTHER")
                yield self.chunk(piece.choice, {"text": ""}, finishReason=reason)

    def whole_call(self, choice: int) -> Iterator[dict[str, Any]]:
        """The chunk of the call whose arguments have come; none if a limit cut them."""
        if choice not in self.calls:
            return
        call, arguments = self.calls.pop(choice)
        id = call.id or f"call_{self.head['responseId'][:16]}_{choice}_{call.index}"
        try:
            args = read_json("".join(arguments))
        except ValueError:
            return
        yield self.chunk(choice, {"functionCall": {"id": id, "name": call.name, "args": args}})

    def chunk(self, choice: int, part: dict[str, Any], **named: Any) -> dict[str, Any]:
        """A chunk with one part. The first part that is no thought carries the signature of those before it."""
        if "thought" not in part and choice in self.unsigned:
            part["thoughtSignature"] = signature_of(self.unsigned.pop(choice))
        candidate = {"content": {"parts": [part], "role": "model"}, **named, "index": choice}
        return {"candidates": [candidate], "usageMetadata": self.usage(), **self.head}

    def usage(self) -> dict[str, Any]:
        """The ``usageMetadata`` so far."""
        counts: dict[str, Any] = {"promptTokenCount": self.prompt_tokens}
        tokens, thoughts = self.told or (self.tokens, self.thoughts)
        counts["candidatesTokenCount"] = tokens - thoughts
        if thoughts:
            counts["thoughtsTokenCount"] = thoughts
        return {**counts, "totalTokenCount": (self.prompt_tokens or 0) + tokens}


def json_array(events: Iterable[ServerSentEvent], number: int) -> Iterator[bytes]:
    """The data of events as the elements of one array, each as soon as it is there.

    >>> list(json_array([ServerSentEvent("{}"), ServerSentEvent("{}")], 0))
    [b'[{}', b',\\r\\n{}', b']']
    """
    for position, event in enumerate(events, number):
        yield (b",\r\n" if position else b"[") + event.data.encode()
    yield b"]"


# ---- A stream, read --------------------------------------------------------------------------------------------------


KNOWN_MEMBERS = ("text", "thought", "thoughtSignature", "functionCall")  # of a part


class ChunkReader:
    """Reads chunks into pieces, also those of gateways that speak this wire with other habits.

    No text, call or error is lost in silence: what stands in a known place and cannot be used is a warning, or an error if
    it could be understood in two ways.
    """

    def __init__(self) -> None:
        self.done = False
        self.warnings: list[str] = lenient.Warnings()
        self.ended: dict[int, str] = {}  # for each candidate that began: its finish reason, "" until it has come
        self.calls: dict[int, int] = {}  # for each candidate, how many calls it has
        self.halves = lenient.Halves()  # of a text, by its candidate and kind

    @property
    def finished(self) -> bool:
        """Every candidate that began has its finish reason."""
        return bool(self.ended) and all(self.ended.values())

    def read(self, event: ServerSentEvent) -> Iterator[Piece]:
        """Yield the pieces in this event. Raises ``ApiError`` or ``ProtocolError`` after those before the fault."""
        for one in self.elements(event):
            chunk, error = lenient.read_value(one, self.warnings)
            if chunk and (error is None or "candidates" in chunk):
                yield from self.read_chunk(chunk)
            if error:
                raise error

    def elements(self, event: ServerSentEvent) -> list[ServerSentEvent]:
        """The event; or an event for each element of its array, from a server that knows no events or was asked for none."""
        data = event.data.lstrip()
        if not data.startswith("[") or data.rstrip() == "[DONE]":
            return [event]
        try:
            return [ServerSentEvent(lenient.as_json(element)) for element in read_json(data)]
        except (ValueError, RecursionError):
            raise ProtocolError(f"an event is not JSON: {fit(data)}") from None

    def read_chunk(self, chunk: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield the pieces in a chunk."""
        for candidate in lenient.objects(chunk, "candidates"):
            yield from self.read_candidate(candidate)
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            yield from self.blocked(lenient.whole_characters(str(feedback["blockReason"])))
        if usage := self.usage_of(chunk.get("usageMetadata")):
            yield usage
        if not {"candidates", "promptFeedback", "usageMetadata"} & set(chunk):
            self.warnings.append(f"an event without candidates was ignored: {fit(lenient.as_json(chunk))}")

    def blocked(self, reason: str) -> Iterator[Piece]:
        """The prompt is blocked, and there is no candidate; or the candidates that have begun end here."""
        if not self.ended:
            self.done = True
            self.ended[0] = ""
        still_open = [index for index, ended in self.ended.items() if not ended]
        if not still_open:
            self.warnings.append(f"the prompt was blocked after the answer: {fit(reason)}")
        for index in still_open:
            yield from self.end(index, f"blocked: {reason}")

    def usage_of(self, usage: Any) -> Usage | None:
        """The usage in a chunk; None if it tells neither the tokens of the prompt nor those of the answer."""
        if not isinstance(usage, dict):
            return None
        prompt, answer, thoughts = (
            lenient.token_count(usage.get(name))
            for name in ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
        )
        if prompt is None and answer is None:
            return None
        return Usage(prompt, (answer or 0) + (thoughts or 0) if answer is not None or thoughts else None, thoughts or 0)

    def read_candidate(self, candidate: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield the pieces in one of the candidates."""
        index = candidate.get("index") or 0
        if type(index) is not int:
            raise ProtocolError(f"the index of a candidate is {fit(lenient.as_json(index))}")
        content = candidate.get("content") or {}
        if not isinstance(content, dict):
            raise ProtocolError(f"a content is no object: {fit(lenient.as_json(content))}")
        ended = self.ended.setdefault(index, "")
        for part in lenient.objects(content, "parts"):
            for piece in self.read_part(part, index):
                if ended:
                    self.warnings.append("content came after the finish reason")
                yield piece
        reason = lenient.whole_characters(str(candidate.get("finishReason") or ""))
        if reason and not ended:
            yield from self.end(index, reason)
        elif reason and reason != ended:
            self.warnings.append(f"another finish reason came after {fit(ended)}: {fit(reason)}")

    def end(self, index: int, reason: str) -> Iterator[Piece]:
        """A candidate ends."""
        self.ended[index] = reason
        for kind in (Reasoning, Text):
            if half := self.halves.last((index, kind)):
                yield kind(half, index)
        yield End(reason, index)

    def read_part(self, part: Mapping[str, Any], index: int) -> Iterator[Piece]:
        """Yield the pieces in a part: text, thought or call."""
        if part.get("text") is not None:
            kind: type[Reasoning | Text] = Reasoning if part.get("thought") else Text
            if text := self.halves.whole((index, kind), lenient.string(part["text"], "a text")):
                yield kind(text, index)
        if part.get("functionCall") is not None:
            yield from self.read_call(part["functionCall"], index)
        if other := ", ".join(name for name in part if name not in KNOWN_MEMBERS):
            self.warnings.append(f"a part of a content was ignored: {fit(other)}")

    def read_call(self, call: Any, index: int) -> Iterator[Piece]:
        """Yield the pieces of a call, which comes whole."""
        if not isinstance(call, dict) or not call.get("name"):
            raise ProtocolError(f"a function call has no name: {fit(lenient.as_json(call))}")
        name, id = (lenient.label(call.get(key), f"the {key} of a function call") for key in ("name", "id"))
        if call.get("partialArgs") or call.get("willContinue"):
            raise ProtocolError("the arguments of a function call come in pieces, which this reader does not know")
        arguments = {} if call.get("args") is None else call["args"]
        text = lenient.whole_characters(arguments if isinstance(arguments, str) else lenient.as_json(arguments))
        lenient.check_arguments(text.encode())
        position = self.calls[index] = self.calls.get(index, -1) + 1
        yield Call(position, name, id, index)
        yield Fragment(position, text, index)


# ---- A whole answer --------------------------------------------------------------------------------------------------


def add_part(parts: list[dict[str, Any]], part: dict[str, Any]) -> None:
    """Add a part of a stream to those of the whole answer: text to text, and thought to thought, each a list of pieces.

    >>> parts = []
    >>> for text in ("Hel", "lo", ""):
    ...     add_part(parts, {"text": text})
    >>> parts
    [{'text': ['Hel', 'lo']}]
    """
    last = parts[-1] if parts else {}
    if "text" not in part:
        parts.append(part)
    elif "text" in last and last.get("thought") == part.get("thought"):
        last["text"] += [part["text"]] if part["text"] else []
    elif part != {"text": ""} or not parts:  # a call needs no empty text behind it
        parts.append({**part, "text": [part["text"]]})


def whole_answer(writer: ChunkWriter, pieces: Iterable[Piece]) -> dict[str, Any]:
    """The chunks of a stream put together."""
    parts: dict[int, list[dict[str, Any]]] = {}
    reasons: dict[int, str] = {}
    for chunk in writer.write(pieces):
        for candidate in chunk["candidates"]:
            reasons[candidate["index"]] = candidate.get("finishReason", "OTHER")
            for part in candidate["content"]["parts"]:
                add_part(parts.setdefault(candidate["index"], []), part)
    candidates = []
    for index in sorted(parts):
        whole = [{**part, "text": "".join(part["text"])} if "text" in part else part for part in parts[index]]
        content = {"parts": whole, "role": "model"}
        candidates.append({"content": content, "finishReason": reasons[index], "index": index})
    return {"candidates": candidates, "usageMetadata": writer.usage(), **writer.head}


# ---- Requests --------------------------------------------------------------------------------------------------------

ROLES = {None: "user", "user": "user", "model": "assistant", "function": "user", "tool": "user"}
MODES = {"MODE_UNSPECIFIED": "auto", "AUTO": "auto", "VALIDATED": "auto", "ANY": "required", "NONE": "none"}
RESULT = "functionResponse"  # the part that is the result of a function
MAX_STOPS, MAX_CANDIDATES, MAX_SCHEMA_DEPTH = 5, 8, 32
INT64_MEMBERS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")  # may be strings
IGNORED_NUMBERS = (("topP", 0, 1), ("topK", 0, 2**31), ("presencePenalty", -2, 2), ("frequencyPenalty", -2, 2))


class ProtoFields(Fields):
    """The members of an object that is made from a protocol buffer.

    >>> ProtoFields({"max_output_tokens": 3.0}).number("maxOutputTokens", None, 1, 8, whole=True)
    3
    """

    def get(self, name: str) -> Any:
        """A member, whose name may be written in either case."""
        return self.values.get(name, self.values.get(re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)))

    def number(self, name: str, default: Any, low: float, high: float, *, whole: bool = False) -> Any:
        """A number; a whole one may have a fraction of zero."""
        value = super().number(name, default, low, high)
        if whole and isinstance(value, float) and not value.is_integer():
            raise self.error(name, f"must be a whole number from {low} to {high}")
        return int(value) if whole and value is not None else value


def read_contents(fields: Fields) -> Iterator[Message]:
    """Yield the system instruction and the turns. The results of functions come before the text of their turn."""
    if fields.get("systemInstruction") is not None:
        yield Message("system", "".join(read_texts(fields.object("systemInstruction"))))
    for content in fields.objects("contents", required=True):
        role = content.get("role")
        if not isinstance(role, str | None) or role not in ROLES:
            raise content.error("role", 'must be "user" or "model"')
        results = [part.object(RESULT) for part in content.objects("parts") if part.get(RESULT) is not None]
        for result in results:
            yield Message("tool", lenient.as_json(result.object("response").values), result.text("name"))
        text = "".join(read_texts(content))
        if text or not results:
            yield Message(ROLES[role], text)


def read_texts(content: Fields) -> Iterator[str]:
    """Yield the texts in the parts of a content. Thoughts, calls and pictures are ignored."""
    for part in content.objects("parts"):
        text = part.get("text")
        if not isinstance(text, str | None):
            raise part.error("text", "must be a string")
        if text and not part.flag("thought"):
            yield text


def read_tools(fields: Fields) -> dict[str, Any]:
    """The functions that may be called, and whether one must be, as members of a ``Prompt``."""
    tools: list[Tool] = []
    for tool in fields.objects("tools"):  # those without functions run at the vendor's
        for function in tool.objects("functionDeclarations"):
            if len(tools) == MAX_TOOLS:
                raise fields.error("tools", f"must not be more than {MAX_TOOLS} functions")
            name = function.text("name")
            if len(name) > MAX_NAME:
                raise function.error("name", f"must not be longer than {MAX_NAME} characters")
            parameters = function.object("parametersJsonSchema").values or as_json_schema(function, "parameters")
            tools.append(Tool(name, {**parameters, "type": "object"}))
    config = fields.object("toolConfig").object("functionCallingConfig")
    mode = config.text("mode").upper() if config.get("mode") is not None else "AUTO"
    if mode not in MODES:
        raise config.error("mode", f"must be one of {', '.join(MODES)}")
    allowed = config.get("allowedFunctionNames") or []
    if allowed and (not isinstance(allowed, list) or not all(isinstance(name, str) for name in allowed)):
        raise config.error("allowedFunctionNames", "must be an array of names")
    if unknown := set(allowed) - {tool.name for tool in tools}:
        raise config.error("allowedFunctionNames", f"names {fit(min(unknown))!r}, which is not among the functions")
    if mode == "ANY" and not tools:
        raise config.error("mode", "requires a call, but there are no functions")
    return {"tools": tuple(tool for tool in tools if not allowed or tool.name in allowed), "tool_choice": MODES[mode]}


def as_json_schema(owner: Fields, name: str) -> dict[str, Any]:
    """A schema in the vendor's form of OpenAPI 3.0, as a JSON schema; {} if there is none.

    >>> as_json_schema(Fields({"s": {"type": "ARRAY", "items": {"type": "STRING", "nullable": True}}}), "s")
    {'type': 'array', 'items': {'type': ['string', 'null']}}
    """

    def converted(schema: Any, depth: int) -> Any:
        if not isinstance(schema, dict):
            raise owner.error(name, "holds a schema that is no object")
        if depth > MAX_SCHEMA_DEPTH:
            raise owner.error(name, f"must not be deeper than {MAX_SCHEMA_DEPTH} schemas")
        value = {re.sub("(?<=[a-z])_([a-z])", lambda match: match[1].upper(), key): schema[key] for key in schema}
        nullable = value.pop("nullable", False) is True
        if isinstance(kind := value.get("type"), str):
            value["type"] = [kind.lower(), "null"] if nullable else kind.lower()
        for key in INT64_MEMBERS:
            if isinstance(value.get(key), str) and re.fullmatch("[0-9]{1,9}", value[key]):
                value[key] = int(value[key])
        if "items" in value:
            value["items"] = converted(value["items"], depth + 1)
        if isinstance(options := value.get("anyOf"), list):
            value["anyOf"] = [converted(option, depth + 1) for option in options]
        if isinstance(properties := value.get("properties"), dict):
            value["properties"] = {key: converted(inner, depth + 1) for key, inner in properties.items()}
        return value

    return {} if owner.get(name) is None else dict(converted(owner.get(name), 0))


def read_schema(config: Fields) -> Mapping[str, Any] | None:
    """The JSON schema that the answer must fit; None if it is plain text."""
    kind = config.get("responseMimeType")
    if kind not in (None, "text/plain", "application/json"):
        raise config.error("responseMimeType", 'must be "text/plain" or "application/json"')
    names = [name for name in ("responseSchema", "responseJsonSchema") if config.get(name) is not None]
    if len(names) > 1:
        raise config.error("responseSchema", "must not stand beside responseJsonSchema")
    if not names:
        return JSON_OBJECT if kind == "application/json" else None
    if kind == "text/plain":
        raise config.error("responseMimeType", 'must be "application/json" if there is a schema')
    return as_json_schema(config, names[0]) if names == ["responseSchema"] else config.object(names[0]).values


# ---- The dialect -----------------------------------------------------------------------------------------------------

STATUSES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}
METHOD = re.compile("/v1(?:beta)?/models/([^/]+)(?::|%3[Aa])(generateContent|streamGenerateContent|countTokens)")
METHODS = ["generateContent", "streamGenerateContent", "countTokens"]


class Gemini:
    """Gemini: ``POST`` at ``/v1/models/MODEL:METHOD`` and ``/v1beta/models/MODEL:METHOD``, and ``GET`` at the models."""

    name = "gemini"
    last_event = ""
    query = frozenset({"alt", "key", "prettyPrint", "$alt", "$prettyPrint"})
    heartbeat = b"\n"
    request_id = "X-Request-Id"

    # ---- On a server -------------------------------------------------------------------------------------------------

    def serves(self, path: str) -> bool:
        """All paths of ``/v1beta``, and those of the models of ``/v1``."""
        return path.startswith("/v1beta/") or self.answers(path) or self.model_at(path) is not None

    def answers(self, path: str) -> bool:
        """A model and one of three methods. The count of tokens is an answer of no choices."""
        return METHOD.fullmatch(path) is not None

    def model_at(self, path: str) -> str | None:
        """The model in ``/v1/models/MODEL`` and ``/v1beta/models/MODEL``."""
        return None if self.answers(path) else model_below(path.replace("/v1beta/", "/v1/", 1))

    def read_key(self, request: HTTPRequest) -> str | None:
        """The key of ``x-goog-api-key``, else that of ``?key=KEY``: each byte is a character, as in all headers."""
        in_query = request.query.get("key")
        return request.headers.get("x-goog-api-key", in_query and in_query.encode().decode("latin-1"))

    def read_request(self, request: HTTPRequest) -> Request:
        """Understand a request. Unknown members are ignored, although the vendor refuses them."""
        match = METHOD.fullmatch(request.path)
        if not match:
            raise RequestError("not_found", "there is no such method of a model")
        model, method = match.groups()
        fields = ProtoFields(request.body)
        if method == "countTokens" and fields.get("generateContentRequest") is not None:
            fields = fields.object("generateContentRequest")
        config = fields.object("generationConfig")
        for name, low, high in IGNORED_NUMBERS:
            config.number(name, None, low, high)  # validated, without effect on the toy model
        thinking = config.object("thinkingConfig")
        prompt = Prompt(
            model=model,
            messages=tuple(read_contents(fields)),
            **read_tools(fields),
            schema=read_schema(config),
            stop=read_stops(config, "stopSequences", MAX_STOPS),
            max_tokens=config.number("maxOutputTokens", None, 1, 2**31, whole=True),
            n=0 if method == "countTokens" else config.number("candidateCount", 1, 1, MAX_CANDIDATES, whole=True),
            seed=config.number("seed", 0, -(2**31), 2**31 - 1, whole=True),
            temperature=config.number("temperature", 1.0, 0, 2),
            # Thoughts are shown unless they are declined, although the vendor wants to be asked for them.
            reasoning=thinking.flag("includeThoughts", True) and thinking.get("thinkingBudget") != 0,
        )
        alt = request.query.get("$alt", request.query.get("alt", "json"))
        if alt not in ("json", "sse"):
            raise RequestError("bad_request", 'alt must be "json" or "sse"', param="alt")
        if method == "streamGenerateContent" and alt == "json":
            return Request(prompt, media_type="application/json", write=json_array)
        return Request(prompt, stream=method == "streamGenerateContent")

    def write_stream(
        self, request: Request, pieces: Iterable[Piece], *, id: str, created: int
    ) -> Iterator[ServerSentEvent]:
        """The events of a stream. The last of them has a finish reason, unless the model fails."""
        try:
            for chunk in ChunkWriter(request.prompt.model, id).write(pieces):
                yield ServerSentEvent(to_json(chunk))
        except ModelFailure as failure:
            yield self.write_error_event(RequestError("failed", str(failure)))

    def write_answer(self, request: Request, pieces: Iterable[Piece], *, id: str, created: int) -> dict[str, Any]:
        """The whole answer, or the number of tokens of a prompt."""
        writer = ChunkWriter(request.prompt.model, id)
        answer = whole_answer(writer, pieces)
        return answer if request.prompt.n else {"totalTokens": writer.prompt_tokens}

    def write_error(self, error: RequestError, *, id: str = "") -> dict[str, Any]:
        """The error object. It has no other member than ``error``: a client looks at the first."""
        status = STATUSES.get(error.status, "INVALID_ARGUMENT" if error.status < 500 else "INTERNAL")
        return {"error": {"code": error.status, "message": error.message, "status": status}}

    def write_error_event(self, error: RequestError, *, number: int = 0) -> ServerSentEvent:
        """The error object as an event without a name."""
        return ServerSentEvent(to_json(self.write_error(error)))

    def write_models(self, names: Sequence[str]) -> dict[str, Any]:
        """The list of models, all on one page."""
        return {"models": [self.write_model(name) for name in names]}

    def write_model(self, name: str) -> dict[str, Any]:
        """One model."""
        limits = {"inputTokenLimit": 2**20, "outputTokenLimit": 2**16}
        names = {"name": f"models/{name}", "baseModelId": name, "version": "1", "displayName": name}
        return {**names, **limits, "supportedGenerationMethods": METHODS}

    # ---- On a client -------------------------------------------------------------------------------------------------

    def address(self, base: str, request: Request) -> str:
        """The model and the method below the base URL. Raises ``ValueError`` for a name that cannot stand in a path."""
        url, _, query = base.partition("?")
        url = url.rstrip("/")
        model = request.prompt.model.removeprefix("models/")
        if not re.fullmatch(r"[A-Za-z0-9._@/-]+", model):
            raise ValueError(f"the name of a model cannot stand in a path: {fit(model)}")
        version = "" if url.endswith(("/v1", "/v1beta")) else "/v1beta"
        method, alt = ("streamGenerateContent", "alt=sse") if request.stream else ("generateContent", "")
        query = "&".join(filter(None, (query, alt)))
        return f"{url}{version}/models/{model}:{method}" + (f"?{query}" if query else "")

    def write_key(self, key: str) -> dict[str, str]:
        """``x-goog-api-key``."""
        return {"x-goog-api-key": key}

    def write_request(self, request: Request) -> dict[str, Any]:
        """The body of a request. Raises ``ValueError`` for what this wire has no member for."""
        prompt = request.prompt
        expect_defaults(prompt, "requests of Gemini", "top_logprobs", "parallel_tool_calls")
        roles = {"assistant": "model"}  # all others are the user's: without the name of its call a result is text
        turns = [message for message in prompt.messages if message.role != "system"]
        body: dict[str, Any] = {
            "contents": [{"role": roles.get(turn.role, "user"), "parts": [{"text": turn.text}]} for turn in turns]
        }
        if system := "\n\n".join(message.text for message in prompt.messages if message.role == "system"):
            body["systemInstruction"] = {"parts": [{"text": system}]}
        if prompt.tools:
            functions = [{"name": tool.name, "parametersJsonSchema": tool.parameters} for tool in prompt.tools]
            body["tools"] = [{"functionDeclarations": functions}]
            modes = {"required": "ANY", "none": "NONE"}
            body["toolConfig"] = {"functionCallingConfig": {"mode": modes.get(prompt.tool_choice, "AUTO")}}
        if config := self.write_config(prompt):
            body["generationConfig"] = config
        return body

    def write_config(self, prompt: Prompt) -> dict[str, Any]:
        """The ``generationConfig`` of a request."""
        config: dict[str, Any] = {}
        default = Prompt(prompt.model, ())
        names = {"max_tokens": "maxOutputTokens", "n": "candidateCount", "seed": "seed", "temperature": "temperature"}
        for name, member in names.items():
            if getattr(prompt, name) != getattr(default, name):
                config[member] = getattr(prompt, name)
        if prompt.stop:
            config["stopSequences"] = list(prompt.stop)
        if prompt.schema is not None:
            config |= {"responseMimeType": "application/json", "responseJsonSchema": prompt.schema}
        if not prompt.reasoning:
            config["thinkingConfig"] = {"thinkingBudget": 0}
        return config

    def count_choices(self, body: Mapping[str, Any]) -> int:
        """``candidateCount``, or 1."""
        config = body.get("generationConfig")
        count = ProtoFields(config).get("candidateCount") if isinstance(config, dict) else None
        return count if isinstance(count, int) and count else 1

    def reader(self) -> ChunkReader:
        """A reader for one stream."""
        return ChunkReader()

    def read_error(self, body: bytes) -> str:
        """The message of an error, in whichever shape; the body itself if it is no JSON."""
        return lenient.message_in_body(body)
