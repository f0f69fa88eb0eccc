"""OpenAI's Responses: numbered events about one growing object.

In:   on a server, requests and pieces; on a client, prompts and events.
Out:  on a server, events, ``response`` objects and error objects; on a client, request bodies and pieces.

Follows the vendor's API reference, "Responses": create, the response object, streaming events. A response has an
``output``, a list of items; a message item has a ``content``, a list of parts. Each event says which of them grows. Its name
is the ``type`` of its data, and its ``sequence_number`` counts all events of the stream from 0:

    response.created                  {"response":{...,"status":"in_progress","output":[],"usage":null}}
    response.in_progress              the same
      response.output_item.added      {"output_index":0,"item":{"id":"msg_1","type":"message","content":[],...}}
        response.content_part.added   {"item_id":"msg_1","output_index":0,"content_index":0,"part":{"text":"",...}}
          response.output_text.delta  {..., "delta":"Hel"}                                one for each piece
          response.output_text.done   {..., "text":"Hello"}
        response.content_part.done    {..., "part":{"text":"Hello",...}}
      response.output_item.done       {"output_index":0,"item":{...,"status":"completed"}}
    response.completed                {"response":{...,"status":"completed","output":[...],"usage":{...}}}

So everything is told twice: in deltas for who shows them, and whole when it is done, for who waits. There are messages, with
texts and refusals as parts, reasoning, with summaries, and calls, which have no parts: their ``arguments`` grow. A call has
two ids: ``id`` is the item's, and ``call_id`` is what the result of the call refers to.

**What ends a stream.** One of four events proves that it has ended, and a body that ends in order without any is cut:

    response.completed     the finish reason here is tool_calls if there was a call, else stop
    response.incomplete    length for ``max_output_tokens``, else the reason as it stands there
    response.failed        an error inside the stream
    error                  the same, where the response is not told any more

There is no ``[DONE]``. A silence is ended by comments: an event of a type that nobody knows has broken SDKs.

**What breaks clients.** The strict helpers of the vendor's SDKs keep items by ``output_index`` and ``id``: each has to be
added before its deltas, to keep its ids, and to be done before the response is. Without ``content_part.added`` they fail at
the first delta. The response repeats the request's members, so a request keeps them in ``echo``.

The stream comes first below, written and read; then requests. Errors, keys and models are those of chat completions.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sse_ref.codec import ServerSentEvent
from sse_ref.dialects import lenient_json as lenient
from sse_ref.dialects.compatible import OpenAICompatible
from sse_ref.dialects.interface import HTTPRequest, Request
from sse_ref.dialects.openai import DONE, expect_defaults, logprobs_object, read_schema, read_text, read_tool
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
    Text,
    Usage,
)

__all__ = ["OpenAIResponses"]

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}  # finish reasons, as they stand here

# ---- A stream, written -----------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """A kind of text: the item that it is a part of, the part before its first delta, and how its events are called."""

    item: str
    empty: Mapping[str, Any]
    member: str  # that holds the text
    name: str


OUTPUT_TEXT = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
PARTS: dict[type, Part] = {
    Text: Part("message", OUTPUT_TEXT, "text", "response.output_text"),
    Refusal: Part("message", {"type": "refusal", "refusal": ""}, "refusal", "response.refusal"),
    Reasoning: Part("reasoning", {"type": "summary_text", "text": ""}, "text", "response.reasoning_summary_text"),
}
# For an item: the member that holds its parts, what their events are called, and the member that says which part it is.
LISTS = {
    "message": ("content", "response.content_part", "content_index"),
    "reasoning": ("summary", "response.reasoning_summary_part", "summary_index"),
}
PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc"}


class ResponseWriter:
    """Writes pieces as events, and keeps the ``response`` that a client would put together from them.

    >>> writer = ResponseWriter({"id": "resp_1", "status": "in_progress", "output": []})
    >>> [event["type"] for event in writer.write([Usage(3, 0), End("stop"), Usage(3, 0)])]
    ['response.created', 'response.in_progress', 'response.completed']
    """

    def __init__(self, response: dict[str, Any]) -> None:
        self.response = response
        self.number = 0  # of the next event
        self.item: dict[str, Any] | None = None  # the open item, the last of the output
        self.part: Part | None = None  # the kind of its open part, the last of the item
        self.said: list[str] = []  # the text of the open part, or the arguments of the open call
        self.logprobs: list[Text] = []
        self.reason = ""

    def event(self, type: str, **members: Any) -> dict[str, Any]:
        """The data of the next event."""
        self.number += 1
        return {"type": type, "sequence_number": self.number - 1, **members}

    def write(self, pieces: Iterable[Piece]) -> Iterator[dict[str, Any]]:
        """Yield the data of the events of the pieces. A ``ModelFailure`` becomes ``response.failed``."""
        usage = None
        try:
            for piece in pieces:
                if isinstance(piece, Usage):
                    if usage is None:
                        yield self.event("response.created", response={**self.response, "output": []})
                        yield self.event("response.in_progress", response={**self.response, "output": []})
                    usage = piece
                else:
                    yield from self.grow(piece)
        except ModelFailure as failure:
            self.settle("incomplete")
            self.response |= {"status": "failed", "error": {"code": "server_error", "message": str(failure)}}
        else:
            self.response |= {"status": "completed", "usage": usage and usage_object(usage)}
            if self.reason in INCOMPLETE:
                self.response |= {"status": "incomplete", "incomplete_details": {"reason": INCOMPLETE[self.reason]}}
        yield self.event(f"response.{self.response['status']}", response=self.response)

    def grow(self, piece: Piece) -> Iterator[dict[str, Any]]:
        """The events of one piece."""
        match piece:
            case Text() | Refusal() | Reasoning():
                yield from self.open_part(PARTS[type(piece)])
                yield self.delta(piece)
            case Call():
                yield from self.close_item()
                call_id = piece.id or f"call_{self.response['id'][5:21]}_{piece.index}"
                yield from self.open_item("function_call", call_id=call_id, name=piece.name, arguments="")
            case Fragment():
                self.said.append(piece.arguments)
                yield self.event("response.function_call_arguments.delta", **self.place, delta=piece.arguments)
            case End():
                self.reason = piece.reason
                yield from self.close_item("incomplete" if piece.reason in INCOMPLETE else "completed")

    @property
    def place(self) -> dict[str, Any]:
        """The members that say where the open item, or its open part, is."""
        assert self.item
        place = {"item_id": self.item["id"], "output_index": len(self.response["output"]) - 1}
        if self.part:
            name, _, index = LISTS[self.part.item]
            place[index] = len(self.item[name]) - 1
        return place

    def open_item(self, kind: str, **members: Any) -> Iterator[dict[str, Any]]:
        """An item is added to the output."""
        output = self.response["output"]
        id = f"{PREFIXES[kind]}_{self.response['id'][5:]}_{len(output)}"
        self.item = {"id": id, "type": kind, "status": "in_progress", **members}
        output.append(self.item)
        self.said = []
        empty = {name: [] if isinstance(value, list) else value for name, value in self.item.items()}
        yield self.event("response.output_item.added", output_index=len(output) - 1, item=empty)

    def open_part(self, part: Part) -> Iterator[dict[str, Any]]:
        """A part is added to the open item, unless one of this kind is open; the item too, if it has to be."""
        if self.part is part:
            return
        yield from self.close_part()
        name, event, _ = LISTS[part.item]
        if self.item is None or self.item["type"] != part.item:
            yield from self.close_item()
            role = {"role": "assistant"} if part.item == "message" else {}
            yield from self.open_item(part.item, **role, **{name: []})
        assert self.item
        self.part, self.said, self.logprobs = part, [], []
        self.item[name].append(dict(part.empty))
        yield self.event(f"{event}.added", **self.place, part=part.empty)

    def delta(self, piece: Text | Refusal | Reasoning) -> dict[str, Any]:
        """The next piece of the open part."""
        assert self.part
        self.said.append(piece.text)
        if not isinstance(piece, Text):
            return self.event(f"{self.part.name}.delta", **self.place, delta=piece.text)
        self.logprobs += [piece] if piece.logprobs else []
        return self.event(f"{self.part.name}.delta", **self.place, delta=piece.text, logprobs=logprob_objects([piece]))

    def close_part(self) -> Iterator[dict[str, Any]]:
        """The open part is done, if there is one."""
        if self.part is None or self.item is None:
            return
        self.settle("in_progress")
        name, event, _ = LISTS[self.part.item]
        part = self.item[name][-1]
        text = {name: part[name] for name in (self.part.member, "logprobs") if name in part}
        yield self.event(f"{self.part.name}.done", **self.place, **text)
        yield self.event(f"{event}.done", **self.place, part=part)
        self.part = None

    def close_item(self, status: str = "completed") -> Iterator[dict[str, Any]]:
        """The open item is done, if there is one."""
        if self.item is None:
            return
        yield from self.close_part()
        self.settle(status)
        if self.item["type"] == "function_call":
            done = {"name": self.item["name"], "arguments": self.item["arguments"]}
            yield self.event("response.function_call_arguments.done", **self.place, **done)
        yield self.event("response.output_item.done", output_index=len(self.response["output"]) - 1, item=self.item)
        self.item = None

    def settle(self, status: str) -> None:
        """Write what came into the open item."""
        if self.item is None:
            return
        self.item["status"] = status
        if self.item["type"] == "function_call":
            self.item["arguments"] = "".join(self.said)
        elif self.part:
            part = self.item[LISTS[self.part.item][0]][-1]
            part[self.part.member] = "".join(self.said)
            if self.logprobs:
                part["logprobs"] = logprob_objects(self.logprobs)


def logprob_objects(texts: Iterable[Text]) -> list[Any]:
    """The ``logprobs`` of texts; [] if there are none."""
    found = logprobs_object(texts)
    return list(found["content"]) if found else []


def usage_object(usage: Usage) -> dict[str, Any]:
    """The ``usage``."""
    cached = {"cached_tokens": 0, "cache_write_tokens": 0}
    details = {"output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens}}
    total = {"total_tokens": (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)}
    read = {"input_tokens": usage.prompt_tokens, "input_tokens_details": cached}
    return {**read, "output_tokens": usage.completion_tokens, **details, **total}


# ---- A stream, read --------------------------------------------------------------------------------------------------

DELTAS = {f"{part.name}.delta": kind for kind, part in PARTS.items()}
DELTAS["response.reasoning_text.delta"] = Reasoning  # of services that give the thoughts themselves, not a summary
DONES = {name.removesuffix("delta") + "done": kind for name, kind in DELTAS.items()}
TEXT_PARTS = {"output_text": Text, "text": Text, "refusal": Refusal}
TEXT_PARTS |= {"summary_text": Reasoning, "reasoning_text": Reasoning}
USAGE_NAMES = ("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens"), "output_tokens_details"
# Events that say nothing which other events do not say, too.
SILENT = re.compile(r"response\.(created|queued|in_progress|\w+_part\.added|output_text\.annotation\.added)")


class Item:
    """An item of the output, as a reader knows it."""

    def __init__(self) -> None:
        self.texts: dict[type, dict[Any, lenient.Told]] = {}  # by kind and index
        self.began: Mapping[str, Any] = {}  # as it was added
        self.done = False
        self.position: int | None = None  # of a call among the calls
        self.names: tuple[str, str] = ("", "")  # of a call: its name, its ``call_id``
        self.arguments = bytearray()  # of a call, as UTF-8: there may be many small fragments


class ResponseReader:
    """Reads events into pieces. Only their ``type`` counts: names and numbers may be missing.

    Items are found by their id, else by their place, else the newest is meant. What came in no delta is taken from where it
    is told whole. No text, call or error is lost in silence.
    """

    def __init__(self) -> None:
        self.done = False
        self.finished = False
        self.warnings: list[str] = lenient.Warnings()
        self.items: dict[Any, Item] = {}  # by id; calls also by ("call", call_id)
        self.places: dict[int, Item] = {}
        self.all: list[Item] = []
        self.calls: list[Item] = []
        self.halves = lenient.Halves()  # of a text, by its kind; of a call's arguments, by its position

    def read(self, event: ServerSentEvent) -> Iterator[Piece]:
        """Yield the pieces in this event. Raises ``ApiError`` or ``ProtocolError`` after those before the fault."""
        if event.data.strip() == DONE:
            self.done = True  # other services' end: without a terminal event it proves nothing
            return
        value = lenient.read_event(event, self.warnings)
        kind = str(value.get("type") or event.event)
        response = value.get("response", value if value.get("object") == "response" else None)
        fields = response if isinstance(response, dict) else {}
        if kind == "response.failed" or fields.get("status") == "failed" or fields.get("error"):
            raise ApiError(lenient.message_in(fields) or "the response failed, without a message")
        index = lenient.token_count(value.get("content_index", value.get("summary_index")))
        about = value.get("item_id"), value.get("output_index")
        if kind in DELTAS:
            yield from self.text(self.item(*about), DELTAS[kind], index, value.get("delta"))
        elif kind in DONES:
            yield from self.whole_text(self.item(*about), DONES[kind], index, value.get(PARTS[DONES[kind]].member))
        elif kind.endswith("_part.done"):
            yield from self.whole_part(self.item(*about), index, value.get("part"))
        elif kind.startswith("response.output_item."):
            yield from self.whole_item(value.get("item"), value.get("output_index"), done=kind.endswith("done"))
        elif kind.startswith("response.function_call_arguments."):
            whole = kind.endswith("done")
            yield from self.arguments(self.item(*about), value.get("arguments" if whole else "delta"), whole=whole)
        elif kind in ("response.completed", "response.incomplete") or response is value:
            yield from self.end(response, kind)  # a whole response is an end, too: the server does not stream
        elif value and not SILENT.fullmatch(kind):
            self.warnings.append(f"an event of the type {fit(kind)} was ignored")

    def item(self, id: Any, place: Any, whole: Mapping[str, Any] | None = None, *, at_end: bool = False) -> Item:
        """The item with this id or at this place; a new one if none is known, or if the ``whole`` item is another."""
        id = id if isinstance(id, str) else ""
        place = place if type(place) is int else None
        known = [self.items.get(id), None if place is None else self.places.get(place)]
        known += self.all[-1:] if place is None and id not in self.items else []
        if at_end and whole:  # ids may be new there, and places others
            known.insert(0, self.items.get(("call", str(whole.get("call_id")))))
            known += self.all[place : place + 1] if place is not None else []
        found = next((item for item in known if item and (whole is None or self.is_same(item, whole, at_end))), None)
        if found is None:
            found = Item()
            self.all.append(found)
        self.items |= {id: found} if id else {}
        self.places |= {place: found} if place is not None else {}
        return found

    def is_same(self, item: Item, whole: Mapping[str, Any], at_end: bool) -> bool:
        """Whether a whole item may be this one: a call has one name and one ``call_id``, and is done once."""
        if item.position is not None or whole.get("type") == "function_call":
            names = tuple(str(whole.get(name) or "") for name in ("name", "call_id"))
            same = all(not one or not other or one == other for one, other in zip(names, item.names, strict=True))
            return same and whole.get("type") == "function_call" and (item.position is not None or not item.texts)
        return at_end or not item.done

    def text(self, item: Item, kind: type, index: Any, delta: Any) -> Iterator[Piece]:
        """The next piece of a text of an item."""
        if delta is None:
            self.warnings.append("a delta was null")
        elif text := self.halves.whole(kind, lenient.string(delta, "a delta")):
            yield kind(item.texts.setdefault(kind, {}).setdefault(index, lenient.Told()).add(text))

    def whole_text(self, item: Item, kind: type, index: Any, text: Any) -> Iterator[Piece]:
        """A text is done: what came of it in no delta comes now."""
        came = item.texts.get(kind, {})
        if came and index not in came and (index is None or None in came):
            index = next(reversed(came))
        rest = came.get(index, lenient.Told()).rest(lenient.string(text or "", "a text"))
        if rest is None:
            self.warnings.append("a text is not what its deltas were together")
        elif rest:
            yield from self.text(item, kind, index, rest)

    def whole_part(self, item: Item, index: Any, part: Any) -> Iterator[Piece]:
        """A part of an item is done."""
        kind = TEXT_PARTS.get(str(part.get("type"))) if isinstance(part, dict) else None
        if kind is None:
            self.warnings.append(f"a part was ignored: {fit(lenient.as_json(part))}")
        else:
            yield from self.whole_text(item, kind, index, part.get(PARTS[kind].member))

    def whole_item(self, item: Any, place: Any, *, done: bool, at_end: bool = False) -> Iterator[Piece]:
        """An item is added or done. A call begins with it; what came of it in no delta comes when it is done."""
        if not isinstance(item, dict):
            raise ProtocolError(f"an item is no object: {fit(lenient.as_json(item))}")
        known = self.item(item.get("id"), place, item, at_end=at_end)
        known.began = known.began or ({} if done else item)
        yield from self.fill(known, item, done=done)

    def fill(self, known: Item, item: Mapping[str, Any], *, done: bool) -> Iterator[Piece]:
        """What a whole item tells of a known one."""
        known.done = known.done or done
        if item.get("type") == "function_call":
            yield from self.call(known, item)
            if done:
                yield from self.arguments(known, item.get("arguments"), whole=True)
        elif item.get("type") in ("message", "reasoning"):
            for name in ("summary", "content"):
                for index, part in enumerate(lenient.objects(item, name)):
                    yield from self.whole_part(known, index, part) if done else ()
        else:
            self.warnings.append(f"an item of the type {fit(lenient.as_json(item.get('type')))} was ignored")

    def call(self, item: Item, value: Mapping[str, Any]) -> Iterator[Piece]:
        """A call begins, unless it is known."""
        if item.position is None:
            name, id = (lenient.label(value.get(key), "a part of a tool call") for key in ("name", "call_id"))
            if not name:
                raise ProtocolError("a tool call came without a name")
            item.position, item.names = len(self.calls), (name, id)
            self.items |= {("call", id): item} if id else {}
            self.calls.append(item)
            yield Call(item.position, name, id or lenient.whole_characters(str(value.get("id") or "")))

    def arguments(self, item: Item, value: Any, *, whole: bool = False) -> Iterator[Piece]:
        """The next fragment of a call's arguments; or the ``whole`` of them, which come now if they came in no fragment."""
        if item.position is None:
            raise ProtocolError("arguments came for a tool call that did not begin")
        text = lenient.string(value or "", "a fragment of arguments")
        part = text.encode("utf-8", "surrogatepass")
        if whole and item.arguments and part not in (b"", item.arguments):
            raise ProtocolError("the arguments of a tool call are not what its fragments were together")
        if not (whole and item.arguments):
            item.arguments += part
            if fragment := self.halves.whole(item.position, text):
                yield Fragment(item.position, fragment)

    # ---- The end -----------------------------------------------------------------------------------------------------

    def end(self, response: Any, kind: str) -> Iterator[Piece]:
        """The response is over: what no event before told, its usage, and why it ended."""
        status = response.get("status") if isinstance(response, dict) else "nothing"
        if status not in ("completed", "incomplete", None):
            raise ProtocolError(f"a response ends as {fit(lenient.as_json(status))}")
        output = lenient.objects(response, "output")
        if self.all and not output:
            self.warnings.append("the output at the end is empty")
        for place, item in enumerate(output):
            yield from self.whole_item(item, place, done=True, at_end=True)
        for known in self.all:  # what only the beginning of an item told
            if known.began and not known.arguments and not known.texts:
                yield from self.fill(known, known.began, done=True)
        for key, half in self.halves.rest():
            yield Fragment(key, half) if isinstance(key, int) else key(half)
        details = response.get("incomplete_details")
        cut = kind == "response.incomplete" or status == "incomplete"
        for number, call in enumerate(self.calls):
            if not call.arguments:
                yield Fragment(number, "{}")
            elif not cut:
                lenient.check_arguments(call.arguments)
        if usage := lenient.usage_in(response.get("usage"), *USAGE_NAMES, "reasoning_tokens"):
            yield usage
        why = str(details.get("reason") or "incomplete") if isinstance(details, dict) else "incomplete"
        reasons = {name: reason for reason, name in INCOMPLETE.items()}
        yield End(lenient.whole_characters(reasons.get(why, why)) if cut else "tool_calls" if self.calls else "stop")
        self.done = self.finished = True


# ---- Requests --------------------------------------------------------------------------------------------------------

ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
# What a response repeats of its request, and what stands there if the request does not say.
ECHOED: dict[str, Any] = dict.fromkeys(("instructions", "max_output_tokens", "max_tool_calls", "previous_response_id"))
ECHOED |= dict.fromkeys(("prompt_cache_key", "safety_identifier", "user"))
ECHOED |= {"background": False, "parallel_tool_calls": True, "store": False, "truncation": "disabled"}
ECHOED |= {"temperature": 1.0, "top_p": 1.0, "top_logprobs": 0, "service_tier": "default", "metadata": {}}
ECHOED |= {"reasoning": {"effort": None, "summary": None}, "text": {"format": {"type": "text"}}}
ECHOED |= {"tool_choice": "auto", "tools": []}
TEXT_TYPES = ("input_text", "output_text", "text")
MAX_ECHO = 2**20  # characters of what a response repeats: an open stream holds them, and sends them three times
DEEPER = 64  # brackets around it, at most, where it is written again
MAX_LOGPROBS = 2000  # tokens that come with their probabilities: each is told five times, with a kilobyte
STORED = ("previous_response_id", "conversation", "prompt")  # members that name what a vendor has stored


def read_input(fields: Fields) -> Iterator[Message]:
    """Yield the instructions and the conversation. Of a call only that there was one: its result says enough."""
    instructions, names = fields.get("instructions"), dict[str, str]()
    if not isinstance(instructions, str | None):
        raise fields.error("instructions", "must be a string or null")
    if instructions:
        yield Message("system", instructions)
    if isinstance(fields.get("input"), str):
        yield Message("user", fields.get("input"))
        return
    for item in fields.objects("input", required=True):
        kind = item.get("type") or ("message" if "role" in item.values else item.text("type"))
        if kind == "message":
            role = item.text("role")
            if role not in ROLES:
                raise item.error("role", f"must be one of {', '.join(ROLES)}")
            yield Message(ROLES[role], read_text(item, "content", TEXT_TYPES))
        elif kind == "function_call":
            names[str(item.get("call_id"))] = str(item.get("name"))
            yield Message("assistant", "")
        elif kind == "function_call_output":
            yield Message("tool", read_text(item, "output", TEXT_TYPES), names.get(item.text("call_id"), ""))


def read_tools(fields: Fields) -> dict[str, Any]:
    """The functions that may be called, and whether they must be, as members of a ``Prompt``."""
    tools = []
    for number, tool in enumerate(fields.objects("tools")):
        if tool.text("type") == "function":  # all others run at the vendor's
            tools.append(read_tool(fields, tool, number))
    choice = fields.get("tool_choice")
    if isinstance(choice, str | None):
        if choice not in (None, "none", "auto", "required"):
            raise fields.error("tool_choice", 'must be "none", "auto", "required" or an object')
    else:
        named = fields.object("tool_choice")
        kind = named.text("type")
        allowed = [named] if kind == "function" else named.objects("tools") if kind == "allowed_tools" else None
        names = None if allowed is None else {tool.text("name") for tool in allowed if tool.get("type") == "function"}
        tools = [tool for tool in tools if names is None or tool.name in names]
        choice = "required" if kind == "function" or named.get("mode") == "required" else "auto"
        if names is not None and not tools:
            raise fields.error("tool_choice", "names no function that is among the tools")
    if choice == "required" and not tools:
        raise fields.error("tool_choice", "requires a call, but there are no functions")
    parallel = fields.flag("parallel_tool_calls", True)
    return {"tools": tuple(tools), "tool_choice": choice or "auto", "parallel_tool_calls": parallel}


def echoed(fields: Fields) -> str:
    """What the response repeats of the request: the text of a JSON object, because it may be long and comes three times."""
    members = {**ECHOED, **{name: value for name in ECHOED if (value := fields.get(name)) is not None}}
    try:
        deeper: Any = members
        for _ in range(DEEPER):
            deeper = [deeper]
        text = to_json(deeper)[DEEPER:-DEEPER]
    except (ValueError, RecursionError):
        raise RequestError("bad_request", "the request holds a number too large, or is nested too deeply") from None
    if len(text) > MAX_ECHO:
        raise RequestError("bad_request", f"the response would repeat more than {MAX_ECHO} characters of it")
    return text


# ---- The dialect -----------------------------------------------------------------------------------------------------


class OpenAIResponses(OpenAICompatible):
    """Responses: ``POST /v1/responses``."""

    name = "openai-responses"
    last_event = "response.completed"
    path = "/responses"

    # ---- On a server -------------------------------------------------------------------------------------------------

    def serves(self, path: str) -> bool:
        """The path of the answers and all below it, and those of the models."""
        return super().serves(path) or path.startswith(f"/v1{self.path}/")

    def read_request(self, request: HTTPRequest) -> Request:
        """Understand a request body. Unknown members are ignored; those that name something stored cannot be served."""
        fields = Fields(request.body)
        model = fields.text("model")
        for name in STORED:
            if fields.get(name) is not None:
                raise fields.error(name, "names something that was stored, and nothing is stored here")
        if fields.flag("background"):
            raise fields.error("background", "must be false: nothing is stored here")
        fields.number("top_p", None, 0, 1)  # validated, without effect on the toy model
        fields.object("metadata")
        top_logprobs = fields.number("top_logprobs", 0, 0, 20, whole=True)
        included = fields.get("include") or []
        with_logprobs = isinstance(included, list) and "message.output_text.logprobs" in included
        most = MAX_LOGPROBS if with_logprobs else 2**31
        prompt = Prompt(
            model=model,
            messages=tuple(read_input(fields)),
            **read_tools(fields),
            schema=read_schema(fields.object("text").object("format")),
            max_tokens=fields.number("max_output_tokens", most if with_logprobs else None, 1, most, whole=True),
            temperature=fields.number("temperature", 1.0, 0, 2),
            top_logprobs=top_logprobs if with_logprobs else None,
            reasoning=fields.object("reasoning").get("effort") != "none",
        )
        return Request(prompt, fields.flag("stream"), include_usage=True, echo=echoed(fields))

    def response(self, request: Request, id: str, created: int) -> dict[str, Any]:
        """The response object at its beginning, but for what it repeats of the request."""
        response = {"id": f"resp_{id}", "object": "response", "created_at": created, "status": "in_progress"}
        response |= {"model": request.prompt.model, "output": [], "error": None, "incomplete_details": None}
        return {**response, "usage": None}

    def write_stream(
        self, request: Request, pieces: Iterable[Piece], *, id: str, created: int
    ) -> Iterator[ServerSentEvent]:
        """The events of a stream, the last of them one of ``response.completed``, ``.incomplete`` and ``.failed``."""
        echo = request.echo or to_json(ECHOED)
        for data in ResponseWriter(self.response(request, id, created)).write(pieces):
            text = to_json(data)
            yield ServerSentEvent(f"{text[:-2]},{echo[1:]}}}" if "response" in data else text, data["type"])

    def write_answer(self, request: Request, pieces: Iterable[Piece], *, id: str, created: int) -> dict[str, Any]:
        """The response object at its end."""
        writer = ResponseWriter(self.response(request, id, created))
        (last,) = collections.deque(writer.write(pieces), 1)
        if error := last["response"]["error"]:
            raise ModelFailure(error["message"])
        return {**writer.response, **(read_json(request.echo) if request.echo else ECHOED)}

    def write_error(self, error: RequestError, *, id: str = "") -> dict[str, Any]:
        """The error object, as chat completions have it."""
        code = {"code": "previous_response_not_found"} if error.param == "previous_response_id" else {}
        return {"error": {**super().write_error(error, id=id)["error"], **code}}

    def write_error_event(self, error: RequestError, *, number: int = 0) -> ServerSentEvent:
        """An event of the type ``error``: it needs no response."""
        members = {"code": "server_error", "message": error.message, "param": error.param}
        return ServerSentEvent(to_json({"type": "error", "sequence_number": number, **members}), "error")

    # ---- On a client -------------------------------------------------------------------------------------------------

    def address(self, base: str, request: Request) -> str:
        """The path below the base URL, which ends in a version or does not."""
        url, mark, query = base.partition("?")
        versioned = re.search(r"/v\d\w*/*$", url)
        return super().address(base, request) if versioned else f"{url.rstrip('/')}/v1{self.path}{mark}{query}"

    def write_request(self, request: Request) -> dict[str, Any]:
        """The body of a request. Raises ``ValueError`` for what this wire has no member for."""
        prompt = request.prompt
        expect_defaults(prompt, "Responses", "n", "stop", "seed")
        # Without the id of its call, the result of a tool is a user's text.
        turns = [(turn.role if turn.role in ROLES else "user", turn.text) for turn in prompt.messages]
        body: dict[str, Any] = {"model": prompt.model, "input": [{"role": r, "content": text} for r, text in turns]}
        if request.stream:
            body["stream"] = True
        if prompt.max_tokens is not None:
            body["max_output_tokens"] = prompt.max_tokens
        if prompt.temperature != 1.0:
            body["temperature"] = prompt.temperature
        if not prompt.reasoning:
            body["reasoning"] = {"effort": "none"}
        if prompt.top_logprobs is not None:
            body |= {"include": ["message.output_text.logprobs"], "top_logprobs": prompt.top_logprobs}
        if prompt.schema is not None:
            body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": prompt.schema}}
        if prompt.tools:
            body["tools"] = [{"type": "function", "name": t.name, "parameters": t.parameters} for t in prompt.tools]
            body["tool_choice"] = prompt.tool_choice
            if not prompt.parallel_tool_calls:
                body["parallel_tool_calls"] = False
        return body

    def count_choices(self, body: Mapping[str, Any]) -> int:
        """One."""
        return 1

    def reader(self) -> ResponseReader:  # type: ignore[override]
        return ResponseReader()
