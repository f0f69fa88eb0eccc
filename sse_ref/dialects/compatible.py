"""OpenAI's wire as other services speak it, read leniently: members may be missing, added, or of another type.

In:   the events of any service that calls itself compatible.
Out:  the same pieces that ``openai.py`` reads from the vendor's own chunks.

Choices are rewritten as the vendor would have sent them, and then read by ``ChunkReader``. So there are two files for one
wire: the vendor's, which can be read as a lesson, and this one, which is what it takes to be fooled by nobody. It reads

    "delta":{"reasoning":"..."}                               text under another name; also in "message", in "text"
    "delta":{"reasoning_details":[{"text":"..."}]}            reasoning as a list of parts
    "delta":{"content":[{"type":"text","text":"..."}]}        text as a list of parts, some of them thoughts
    "delta":{"content":"\\ud83e"}                             half a character: the other half comes in the next chunk
    "tool_calls":[{"id":"a",...}] [{"id":"b",...}]            calls without an index, or all with the same
    "tool_calls":[{"index":0,"function":{"name":"f"...        a name in parts, or again at each fragment
    "function":{"name":"f","arguments":{"x":1}}               arguments as an object
    "function_call":{"name":"f","arguments":"{}"}             the only call of its choice, as it was until November 2023
    "x_groq":{"usage":{...}}   "usage":{...: 3.0}             usage in another place, or with a fraction
    "error":"..."                                             an error as a string, beside choices or without
    "errors":[...]   "detail":"..."   "message":"..."         an error under another name, where there are no choices
    "base_resp":{"status_code":1002,...}                      an error that is a status in a chunk
    event: error                                              an error that is one by its type, perhaps as plain text
    "finish_reason":"error"                                   an error that is one by its finish reason
    data: [DONE] with white space around it                   once all choices have ended

**No text, call or error is lost in silence.** What stands in a known place and cannot be used is a warning, or an error if
it could be understood in two ways. Members that nobody knows are ignored: the vendor adds some every year. Tool calls show
why it matters: two of them merged into one would be a call that no model made. If the arguments of a call turn out to be
two JSON values, two calls were merged, and the stream is a ``ProtocolError``, unless the answer came to its limit. A
fragment is added to a call by this table:

    index    id           the fragment belongs to
    new      new, none    a call that begins
    new      known        the call with this id; if a name comes with it, a call that begins
    known    same, none   the call with this index
    known    another      the call with this id, or one that begins: the service gives all the same index (a warning)
    none     known        the call with this id
    none     new          a call that begins; but the last call, if that has no id yet
    none     none         the last call; if both have a name, a call that begins

An answer must not end open either: a call without a name is an error, and a call whose arguments never came has none, which
is written ``{}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sse_ref.codec import ServerSentEvent
from sse_ref.dialects import lenient_json as lenient
from sse_ref.dialects.openai import DONE, ChunkReader, OpenAIChat
from sse_ref.dialects.strict_json import read_json
from sse_ref.errors import ApiError, ProtocolError, fit
from sse_ref.pieces import Piece, Text, Usage

__all__ = ["OpenAICompatible"]


class OpenAICompatible(OpenAIChat):
    """Chat completions as every service sends them."""

    def reader(self) -> CompatibleReader:
        """A reader for one stream."""
        return CompatibleReader()

    def read_error(self, body: bytes) -> str:
        """The message of an error, in whichever shape; the body itself if it is no JSON."""
        return lenient.message_in_body(body)


class CompatibleReader(ChunkReader):
    """Reads the chunks of any service into pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings = lenient.Warnings()
        self.id: str | None = None
        self.choices: dict[int, _Choice] = {}

    def read(self, event: ServerSentEvent) -> Iterator[Piece]:
        """Yield the pieces in this event. Raises ``ApiError`` or ``ProtocolError`` after those before the fault."""
        if event.data == DONE:
            self.done = True
            return
        if not event.data and event.event == "error":
            raise ApiError("the server sent an error without a message")
        if not event.data:
            self.warn("an event had empty data")
            return
        chunk = self.chunk_of(event)
        if chunk is None:
            return
        choices = lenient.objects(chunk, "choices")
        error = _error_in(event, chunk, choices)
        if chunk.get("id"):
            if self.id not in (None, chunk["id"]):
                self.warn("the id changed from one chunk to another")
            self.id = chunk["id"]
        for choice in choices:
            if (text := self.only_text(choice)) is not None:
                if text:
                    yield Text(text, choice["index"])
                continue
            for rewritten in self.rewritten(choice):
                yield from self.read_choice(rewritten)
        if error:
            raise ApiError(error)
        if usage := self.usage_of(chunk):
            yield usage

    def chunk_of(self, event: ServerSentEvent) -> dict[str, Any] | None:
        """The JSON object of an event; None for what is ignored: text under a foreign type, or ``[DONE]`` with white space
        around it, once all choices have ended."""
        try:
            chunk = read_json(event.data)
        except (ValueError, RecursionError):
            if event.event == "error":
                raise ApiError(fit(event.data)) from None
            if event.data.strip() == DONE and self.finished:
                self.warn("[DONE] had white space around it")
                self.done = True
                return None
            if event.event != "message":
                self.warn(f"an event of the type {fit(event.event)} was ignored")
                return None
            raise ProtocolError(f"an event is not JSON: {fit(event.data)}") from None
        if isinstance(chunk, dict):
            return chunk
        if event.event == "error":
            raise ApiError(lenient.message_in(chunk) or fit(event.data))
        raise ProtocolError(f"an event is no JSON object: {fit(event.data)}")

    def usage_of(self, chunk: Mapping[str, Any]) -> Usage | None:
        """The usage in a chunk; None if it tells neither the tokens of the prompt nor those of the answer."""
        usage = chunk.get("usage")
        if usage is None and isinstance(chunk.get("x_groq"), dict):
            usage = chunk["x_groq"].get("usage")
        if not isinstance(usage, dict):
            return None
        values = usage.get("prompt_tokens"), usage.get("completion_tokens")
        counts = lenient.token_count(values[0]), lenient.token_count(values[1])
        if any(value is not None and lenient.token_count(value) is None for value in values):
            self.warn("a number of the usage was ignored: it is no whole number")
        details = usage.get("completion_tokens_details")
        reasoning = lenient.token_count(details.get("reasoning_tokens")) if isinstance(details, dict) else 0
        return None if counts == (None, None) else Usage(*counts, reasoning or 0)

    def only_text(self, values: Mapping[str, Any]) -> str | None:
        """What a choice says that goes on with its text and tells nothing else, as nearly all do; None for any other."""
        number, delta = values.get("index"), values.get("delta")
        if type(number) is not int or self.ended.get(number) is not False or values.get("finish_reason"):
            return None
        if type(delta) is not dict or len(delta) != 1 or type(text := delta.get("content")) is not str or not text:
            return None
        return self.choices[number].halves.whole("content", text)

    def rewritten(self, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """A choice of a chunk as choices of the vendor's: for each text, each tool call, and the finish reason."""
        number = values.get("index") or 0
        if type(number) is not int:
            raise ProtocolError(f"the index of a choice is {fit(lenient.as_json(number))}")
        delta = values.get("delta") or values.get("message") or {}  # a message: the server does not stream
        if not isinstance(delta, dict):
            raise ProtocolError(f"a delta is no object: {fit(lenient.as_json(delta))}")
        choice = self.choices.get(number) or self.choices.setdefault(number, _Choice(self))
        if delta.get("role"):
            yield {"index": number, "delta": {}}
        for name, text in self.texts(values, delta):
            if choice.ended:
                self.warn("content came after the finish reason")
            yield {"index": number, "delta": {name: choice.halves.whole(name, text)}}
        for fragment in self.fragments(delta):
            for rewritten in choice.call_deltas(fragment):
                yield {"index": number, "delta": rewritten}
        reason = values.get("finish_reason")
        if not reason or reason == "error":  # an error ends the stream, not the choice
            return
        if choice.ended:
            self.warn("a choice finished twice")
            return
        for rewritten in choice.end(str(reason)):
            yield {"index": number, "delta": rewritten}
        yield {"index": number, "delta": {}, "finish_reason": str(reason)}

    def warn(self, warning: str) -> None:
        """Note an oddity that is tolerated."""
        self.warnings.append(warning)

    # ---- Texts -------------------------------------------------------------------------------------------------------

    def texts(self, values: Mapping[str, Any], delta: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """The texts of a delta, each with the name that the vendor has for it."""
        for name in ("reasoning_content", "reasoning"):  # two names for one thing; some services send both
            if isinstance(delta.get(name), str) and delta[name]:
                yield "reasoning_content", delta[name]
                break
        else:
            for detail in lenient.objects(delta, "reasoning_details"):
                if thought := detail.get("text") or detail.get("summary"):
                    yield "reasoning_content", lenient.string(thought, "a thought")
        content = delta.get("content")
        if content is None:
            content = values.get("text")  # text completions
        if isinstance(content, list):
            for part in lenient.objects({"a content": content}, "a content"):
                yield from self.part_texts(part)
        elif content:
            yield "content", lenient.string(content, "a content")
        if delta.get("refusal"):
            yield "refusal", lenient.string(delta["refusal"], "a refusal")

    def part_texts(self, part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """The texts in one part of a content that is a list."""
        match part.get("type"):
            case "text" if part.get("text"):
                yield "content", lenient.string(part["text"], "a text")
            case "refusal" if part.get("refusal"):
                yield "refusal", lenient.string(part["refusal"], "a refusal")
            case "thinking" if isinstance(part.get("thinking"), str):
                yield "reasoning_content", part["thinking"]
            case "thinking":
                for thought in lenient.objects(part, "thinking"):
                    if thought.get("text"):
                        yield "reasoning_content", lenient.string(thought["text"], "a thought")
            case "text" | "refusal":
                pass
            case other:
                self.warn(f"a part of a content was ignored: {fit(lenient.as_json(other))}")

    # ---- Tool calls --------------------------------------------------------------------------------------------------

    def fragments(self, delta: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The fragments of tool calls in a delta."""
        fragments = lenient.objects(delta, "tool_calls")
        if delta.get("function_call") is not None:  # the older way: the only call of its choice
            fragments = [*fragments, {"index": "function_call", "function": delta["function_call"]}]
        return fragments


class _Call:
    """A tool call that fragments may still be added to."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.id = ""
        self.name = ""
        self.arguments = bytearray()  # as UTF-8: there may be many small fragments
        self.announced = False  # its name and id have been told


class _Choice:
    """A choice that deltas may still be added to. Calls are found by key: there may be thousands."""

    def __init__(self, reader: CompatibleReader) -> None:
        self.warn = reader.warn
        self.ended = False
        self.calls: list[_Call] = []
        self.by_index: dict[int | str, _Call] = {}
        self.by_id: dict[str, _Call] = {}
        self.halves = lenient.Halves()  # of texts: a member of a delta, the position of a call, its id or name

    def call_deltas(self, fragment: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """A fragment of a tool call as the vendor writes it: the name and the id once, then the arguments."""
        function = fragment.get("function") or {}
        if not isinstance(function, dict):
            raise ProtocolError("the function of a tool call is no object")
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            arguments = lenient.as_json(arguments)
        members = fragment.get("id"), function.get("name"), arguments
        id, name, arguments = (lenient.string(member or "", "a part of a tool call") for member in members)
        call = self.find_call(fragment.get("index"), id, name)
        known = call.id, call.name
        if id and not call.id:
            call.id = self.halves.whole(("id", call.position), id)
            self.by_id[id] = call
        if name and name != call.name:
            if call.arguments and call.name:
                raise ProtocolError(f"the name of a tool call changed from {call.name!r} to {name!r}")
            call.name += self.halves.whole(("name", call.position), name)
        if not call.announced or known != (call.id, call.name):
            call.announced = True
            yield {"tool_calls": [{"index": call.position, "id": call.id, "function": {"name": call.name}}]}
        if arguments and self.ended:
            raise ProtocolError("the arguments of a tool call came after the finish reason")
        call.arguments += arguments.encode("utf-8", "surrogatepass")
        whole = self.halves.whole(call.position, arguments)
        yield {"tool_calls": [{"index": call.position, "function": {"arguments": whole}}]}

    def find_call(self, index: Any, id: str, name: str) -> _Call:
        """The call that a fragment continues, or a new one if it begins one."""
        if not isinstance(index, int | str | None):
            raise ProtocolError(f"the index of a tool call is {fit(lenient.as_json(index))}")
        same_id = self.by_id.get(id) if id else None
        if index is None:
            if same_id:
                return same_id
            last = self.calls[-1] if self.calls else None
            return self.begin_call(None) if last is None or (id and last.id) or (name and last.name) else last
        same_index = self.by_index.get(index)
        if same_index is None:
            return same_id if same_id and not name else self.begin_call(index)
        if id and same_index.id and same_index.id != id:
            self.warn("two tool calls have the same index")
            self.by_index[index] = same_id or self.begin_call(index)  # a fragment without an id continues this one
            return self.by_index[index]
        return same_index

    def begin_call(self, index: int | str | None) -> _Call:
        """A new call, found by this index from now on."""
        call = _Call(len(self.calls))
        self.calls.append(call)
        if index is not None:
            self.by_index[index] = call
        return call

    def end(self, reason: str) -> Iterator[dict[str, Any]]:
        """The deltas that are still missing when the finish reason comes."""
        for key, half in self.halves.rest():
            if isinstance(key, int):
                yield {"tool_calls": [{"index": key, "function": {"arguments": half}}]}
            elif isinstance(key, str):
                yield {key: half}
        for call in self.calls:
            if not call.name:
                raise ProtocolError("a tool call came without a name")
            if not call.arguments:  # some services leave them out where a tool has no parameters
                yield {"tool_calls": [{"index": call.position, "function": {"arguments": "{}"}}]}
            elif reason != "length":
                text = call.arguments.decode("utf-8", "surrogatepass")
                if not lenient.is_one_value(text):
                    self.warn(f"the arguments of a tool call are not JSON: {fit(text)}")
        self.ended = True


# ---- Errors ----------------------------------------------------------------------------------------------------------


def _error_in(event: ServerSentEvent, chunk: dict[str, Any], choices: Iterable[Mapping[str, Any]]) -> str:
    """The message of the error that a chunk reports, "" if it reports none."""
    error = chunk.get("error")
    if error and (not isinstance(error, dict | list) or lenient.message_in(error) or any(_members(error))):
        return lenient.message_in(error) or fit(lenient.as_json(error))
    if event.event == "error":
        return lenient.message_in(chunk) or fit(event.data)
    status = chunk.get("base_resp")
    if isinstance(status, dict) and status.get("status_code"):
        return lenient.message_in(status) or fit(lenient.as_json(status))
    for choice in choices:
        if choice.get("error") or choice.get("finish_reason") == "error":
            groq = chunk.get("x_groq")
            inner = groq.get("error") if isinstance(groq, dict) else None
            return (
                lenient.message_in(choice.get("error"))
                or lenient.message_in(inner)
                or "the server ended the answer with an error"
            )
    return _error_without_a_member(event, chunk) if event.event == "message" else ""


def _error_without_a_member(event: ServerSentEvent, chunk: dict[str, Any]) -> str:
    """An object that says it is an error, or that has a message and no choices, or a status of 400 and more."""
    if "error" in (chunk.get("object"), chunk.get("type")):
        return lenient.message_in(chunk) or fit(event.data)
    if chunk.get("choices"):
        return ""
    codes = [chunk[name] for name in ("code", "status_code", "status") if type(chunk.get(name)) is int]
    if "choices" not in chunk and "usage" not in chunk and 0 not in codes and not _is_sign_of_life(chunk):
        return lenient.message_in(chunk)
    return fit(event.data) if any(code >= 400 for code in codes) else ""


def _members(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    """The members of an object, or the elements of an array."""
    return value.values() if isinstance(value, dict) else value


def _is_sign_of_life(chunk: dict[str, Any]) -> bool:
    """Whether an object only says that the connection is open."""
    return any(re.search("ping|alive|heartbeat", str(chunk.get(name))) for name in ("object", "type"))
