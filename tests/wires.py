"""The page of the wires: one answer, one tool call and one error as each dialect writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sse_ref.codec import encode_event
from sse_ref.dialects import DIALECTS
from sse_ref.dialects.interface import Dialect, HTTPRequest, Request
from sse_ref.dialects.strict_json import to_json
from sse_ref.errors import RequestError
from sse_ref.pieces import Call, End, Fragment, Message, ModelFailure, Piece, Prompt, Text, Tool, Usage

HEAD = ("id", "object", "created", "model", "system_fingerprint")  # of a chunk: the same in all of a stream
CHANGING = ("id", "status", "output", "usage", "error")  # of a response: the rest stays as it began
ID = "7f3a7f3a7f3a7f3a"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
ANSWER = [Usage(31, 0), Text("It ", tokens=8), Text("rains.", tokens=9), End("stop"), Usage(31, 17)]
CALL = [Usage(31, 0), Call(0, "get_time", ""), Fragment(0, '{"city":', tokens=8), Fragment(0, ' "Oslo"}', tokens=9)]
CALL += [End("tool_calls"), Usage(31, 17)]
UNKNOWN = RequestError("no_model", "there is no such model", param="model")
WITHOUT_CALLS = "openai-completions"


def request_of(tools: bool) -> Request:
    question = Message("user", "What time is it in Oslo?" if tools else "What is the weather?")
    prompt = Prompt("toy", (question,), max_tokens=50, tools=(Tool("get_time", CITY),) if tools else ())
    return Request(prompt, stream=True, include_usage=True)


def failing() -> Iterator[Piece]:
    yield from (Usage(31, 0), Text("It "))
    raise ModelFailure("the model has failed")


def events_of(dialect: Dialect, pieces: Any, *, tools: bool = False) -> list[Any]:
    """The stream that answers the request which the dialect writes and reads."""
    body = to_json(dialect.write_request(request_of(tools))).encode()
    url = urlsplit(dialect.address("/v1", request_of(tools)))
    request = dialect.read_request(HTTPRequest("POST", url.path, dict(parse_qsl(url.query)), {}, body))
    return list(dialect.write_stream(request, pieces, id=ID, created=1790000000))


def abridged(data: str, seen: set[str]) -> str:
    """The data of an event, without what the page has shown before: ``...`` stands in its place."""
    if not data.startswith("{"):
        return data
    value = json.loads(data)
    for name in ("response", "message"):
        if name in value and name in seen:
            value[name] = {"...": 0, **{n: v for n, v in value[name].items() if n in CHANGING}}
    if "id" in seen and "choices" in value:
        value = {"...": 0, **{n: v for n, v in value.items() if n not in HEAD}}
    seen.update(value)
    return to_json(value).replace('"...":0', "...")


def stream(dialect: Dialect, pieces: Any, *, tools: bool = False) -> str:
    """The request and the stream, as a block."""
    request = request_of(tools)
    lines = [f"POST {dialect.address('/v1', request)}", to_json(dialect.write_request(request)), ""]
    seen: set[str] = set()
    for event in events_of(dialect, pieces, tools=tools):
        name = event.event if event.event != "message" else None
        lines.append(encode_event(abridged(event.data, seen), event=name).decode().removesuffix("\n"))
    return "```\n" + "\n".join(lines).rstrip() + "\n```"


def sections(pieces: Any, *, tools: bool = False) -> str:
    wires = [dialect for dialect in DIALECTS.values() if not (tools and dialect.name == WITHOUT_CALLS)]
    return "\n\n".join(f"### {dialect.name}\n\n{stream(dialect, pieces(), tools=tools)}" for dialect in wires)


def errors() -> str:
    blocks = []
    for dialect in DIALECTS.values():
        before = f"HTTP/1.1 {UNKNOWN.status}\n{to_json(dialect.write_error(UNKNOWN, id=ID))}"
        blocks.append(f"### {dialect.name}\n\n```\n{before}\n```\n\n{stream(dialect, failing())}")
    return "\n\n".join(blocks)


# ---- Where things stand ----------------------------------------------------------------------------------------------


def path_to(value: Any, wanted: Any, path: str = "") -> str:
    """Where a value, or a string of a pattern, stands in JSON: as ``choices[0].delta``; "" if it is nowhere."""
    if isinstance(wanted, re.Pattern) and isinstance(value, str) and wanted.fullmatch(value):
        return path
    if type(value) is type(wanted) and value == wanted:
        return path
    members: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        inner = f"{path}[{name}]" if isinstance(name, int) else f"{path}.{name}".lstrip(".")
        if found := path_to(member, wanted, inner):
            return found
    return ""


def place(events: list[Any], *wanted: Any) -> str:
    """The first event that holds one of the values, and where."""
    for value in wanted:
        for event in events:
            parsed = json.loads(event.data) if event.data.startswith("{") else {}
            parsed.get("response", {}).pop("tools", None)  # those of the request, repeated
            if path := path_to(parsed, value):
                return f"`{path}`" if event.event == "message" else f"`{path}` of `{event.event}`"
    return "none"


def side_by_side() -> str:
    """Where each wire has what they all have."""
    rows: dict[str, list[str]] = {}
    for dialect in DIALECTS.values():
        answer, failed = events_of(dialect, ANSWER), events_of(dialect, failing())
        call = [] if dialect.name == WITHOUT_CALLS else events_of(dialect, CALL, tools=True)
        (header, value), *_ = dialect.write_key("KEY").items()
        refused = path_to(dialect.write_error(UNKNOWN, id=ID), UNKNOWN.message)
        heartbeat = dialect.heartbeat.decode().strip().replace("\n", " / ")
        for name, cell in {
            "asked at": f"`POST {dialect.address('/v1', request_of(False))}`",
            "the key": f"`{header}: {value}`",
            "the limit": f"`{path_to(dialect.write_request(request_of(False)), 50)}`",
            "a piece of text": place(answer, "It "),
            "why it ended": place(answer[::-1], "end_turn", "stop", "completed", "STOP", "COMPLETE"),
            "tokens in": place(answer[-3:], 31),
            "tokens out": place(answer, 17),
            "a call's name": place(call, "get_time"),
            "a call's id": place(call, re.compile(r"(call|toolu|get_time)_\w+")),
            "a fragment": place(call, '{"city":', {"city": "Oslo"}),
            "a call is why it ended": place(call[::-1], "tool_calls", "tool_use", "TOOL_CALL"),
            "the last event": f"`{dialect.last_event}`" if dialect.last_event else "none",
            "in a silence": f"`{heartbeat}`" if heartbeat else "an empty line",
            "refused before": f"`{refused}`",
            "failed inside": place(failed, "the model has failed"),
        }.items():
            rows.setdefault(name, []).append(cell)
    head = ["| | " + " | ".join(f"`{name}`" for name in DIALECTS) + " |", "|---" * (len(DIALECTS) + 1) + "|"]
    return "\n".join([*head, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())])


TABLES = {
    "side by side": side_by_side,
    "an answer": lambda: sections(lambda: ANSWER),
    "a call": lambda: sections(lambda: CALL, tools=True),
    "an error": errors,
}
