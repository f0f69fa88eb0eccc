"""Judges encoders: events to them, bytes back, which our decoder reads.

In:   a vector of the encoder corpus, and a program that answers ``{"op": "encode", "events": […]}`` with hex, or an error.
Out:  a result: whether the bytes read back as the events, or were refused where that is allowed.

There are many right ways to write an event, so bytes are never compared with bytes. They must be UTF-8, and read back as
one of the outcomes that the vector accepts. Another event is appended before they are read: a missing blank line would merge
the two.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

from sse_ref.codec import SSEDecoder
from sse_ref.conformance.corpus import Vector, text_of
from sse_ref.conformance.programs import NoReply, UnderTest
from sse_ref.conformance.verdicts import Result
from sse_ref.errors import fit

__all__ = ["FEATURES", "PROBE", "judge", "outcomes", "request_of"]

FEATURES = ("event", "id", "retry")
"""What an encoder is taken to have, unless its ``hello`` or ``--without`` says otherwise.

It must declare ``comment``, and what it does by design, which is then no failure: ``own-ids`` (it makes the ids itself),
``json-data`` (data is written as JSON) and ``no-data`` (it cannot write an event without data).
"""

PROBE = {"v": 1, "id": "hello", "op": "encode", "events": []}

AFTER = b"data: after\n\n"


def request_of(vector: Vector) -> dict[str, Any]:
    """The request that a vector makes: each event with all of its members.

    >>> from sse_ref.conformance.corpus import load
    >>> request_of(load("encoder")[0])["events"]
    [{'data': 'hello', 'event': None, 'id': None, 'retry': None}]
    """
    events = []
    for event in vector.body["events"]:
        if "comment" in event:
            events.append(event)
            continue
        whole = {"data": None, "event": None, "id": None, "retry": None, **event}
        if isinstance(whole["data"], dict):
            value = whole["data"]
            whole["data"] = value["object"] if "object" in value else text_of(value)
        events.append(whole)
    return {"v": 1, "id": vector.id, "op": "encode", "events": events}


def read_back(stream: bytes) -> dict[str, Any]:
    """Read the bytes: events, reconnection time, last event ID.

    >>> read_back(b"data: a\\n\\n")
    {'events': [{'event': 'message', 'data': 'a', 'id': ''}], 'retry': None, 'last_event_id': ''}
    """
    decoder = SSEDecoder()
    events = [{"event": e.event, "data": e.data, "id": e.id} for e in decoder.feed(stream)]
    return {"events": events, "retry": decoder.reconnection_time, "last_event_id": decoder.last_event_id}


def judge(vector: Vector, program: UnderTest, features: set[str]) -> Result:
    """Put the events of the vector to the program, and read what it wrote."""
    lacking = [name for name in vector.needs if name not in features]
    if lacking:
        return Result(vector, "skip", f"the encoder has no {' and no '.join(lacking)}")
    if "own-ids" in features and "id" in vector.needs:
        return Result(vector, "skip", "the encoder makes the ids itself, as it declares")
    if "no-data" in features and any(event.get("data", "") is None for event in vector.body["events"]):
        return Result(vector, "skip", "the encoder cannot write an event without data, as it declares")
    began = time.perf_counter()
    request = request_of(vector)
    result = Result(vector, "pass", expected=outcomes(vector), input=[json.dumps(e) for e in request["events"]])
    try:
        (reply,) = program.ask([request])
        result.verdict, result.reason, result.actual = _compare(vector, reply, features)
    except NoReply as error:
        result.verdict, result.reason, result.expired = "error", str(error), error.expired
    result.ms = 1000 * (time.perf_counter() - began)
    result.stderr = program.stderr
    return result


def _compare(vector: Vector, reply: Mapping[str, Any], features: set[str]) -> tuple[str, str, Any]:
    """The verdict on a reply, its reason, and what was read back."""
    accepted = vector.body["accept"]
    if reply.get("skip") is not None:
        return "skip", str(reply["skip"]), None
    if reply.get("error") is not None:
        if "error" in accepted:
            return "pass", "", {"error": reply["error"]}
        return _verdict(vector, f"the encoder refused: {reply['error']}", {"error": reply["error"]})
    written = reply.get("bytes")
    try:
        stream = bytes.fromhex(written) if isinstance(written, str) else None
    except ValueError:
        stream = None
    if stream is None:
        return "error", 'the reply has neither hex as "bytes" nor "error" nor "skip"', reply
    got: dict[str, Any] = {"bytes": stream.hex(), **read_back(stream)}
    try:
        stream.decode("utf-8")
    except UnicodeDecodeError as error:
        return _verdict(vector, f"byte {error.start} is not UTF-8", got)
    twice = vector.body.get("twice", False)
    reasons = [_differs(outcome, stream, twice, features) for outcome in accepted if outcome != "error"]
    if "" in reasons:
        return "pass", "", got
    reason = reasons[0] if reasons else f"it must be refused; it was written, and reads as {_read(got)}"
    return _verdict(vector, reason, got)


def _read(got: Mapping[str, Any]) -> str:
    """What was read back, in a few words."""
    return fit(json.dumps(got["events"]), 80) if got["events"] else "no event"


def _verdict(vector: Vector, reason: str, got: Any) -> tuple[str, str, Any]:
    if vector.level == "may":
        return "pass", f"this is left open; here: {reason}", got
    return "fail", reason, got


def _differs(outcome: Mapping[str, Any], stream: bytes, twice: bool, features: set[str]) -> str:
    """Describe how the written stream differs from the expected outcome; "" if it does not."""
    expected = _events(outcome)
    ignoring = {*outcome.get("ignoring", ()), *(["id"] if "own-ids" in features else [])}
    last = outcome.get("last_event_id", expected[-1]["id"] if expected else "")
    if twice:
        stream, expected = stream * 2, expected * 2
    got = read_back(stream + AFTER)
    *events, after = got["events"] or [None]
    if after is None or (after["data"], after["event"]) != ("after", "message"):
        return "what is written next does not read as an event of its own: is the blank line missing?"
    if "json-data" in features:
        events = [{**event, "data": _from_json(event["data"])} for event in events]
    if "id" not in ignoring and after["id"] != last:
        return f"it leaves the last event ID {after['id']!r}, not {last!r}"
    if len(events) != len(expected):
        return f"it reads as {len(events)} events, not {len(expected)}"
    for number, (one, other) in enumerate(zip(events, expected, strict=True), 1):
        for name in ("data", "event", "id"):
            if name not in ignoring and one[name] != other[name]:
                return f"the {name} of event {number} reads as {fit(repr(one[name]), 60)}, not {fit(repr(other[name]), 60)}"
    if "retry" not in ignoring and got["retry"] != outcome.get("retry"):
        return f"the reconnection time reads as {got['retry']}, not {outcome.get('retry')}"
    return ""


def _from_json(data: str) -> str:
    """The text in data that is a JSON string, with its line ends as a data field would have brought them; else the data.

    JSON keeps what the format cannot: CR and CRLF, and half a surrogate pair.
    """
    try:
        value = json.loads(data)
    except ValueError:
        return data
    if not isinstance(value, str):
        return data
    return re.sub("\r\n?", "\n", value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _events(outcome: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The expected events; an id stays until another comes."""
    events, last = [], ""
    for event in outcome["events"]:
        last = event.get("id", last)
        events.append({"event": event.get("event", "message"), "data": text_of(event["data"]), "id": last})
    return events


def outcomes(vector: Vector) -> list[Any]:
    """The outcomes that a vector accepts, written out: "error", or events with all of their members."""
    return [
        outcome if outcome == "error" else {**outcome, "events": _events(outcome)} for outcome in vector.body["accept"]
    ]
