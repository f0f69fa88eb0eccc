"""Judges decoders: bytes in several splits to them, events back.

In:   a vector of the decoder corpus, and a program that answers ``{"op": "decode", "chunks": [hex, …]}``.
Out:  a result: whether the events, their ids and the reconnection time are those of the standard, in every split.

The splits are made here: the whole stream, every byte alone, and two parts at every interesting place (around line ends,
inside characters and the byte order mark, around the colon and the space after it). The standard knows no chunks, so every
split must give the same events.
"""

from __future__ import annotations

import itertools
import json
import operator
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sse_ref.conformance.corpus import Vector, bytes_of, text_of
from sse_ref.conformance.programs import NoReply, UnderTest, run_raw
from sse_ref.conformance.verdicts import Result

__all__ = ["FEATURES", "PROBE", "expected_of", "judge", "judge_raw", "splits_of"]

FEATURES = ("event", "id", "retry", "last_event_id")
"""What a decoder is taken to have, unless its ``hello`` or ``--without`` says otherwise.

Two it must declare: ``block-ids`` (the id of an event is that of its own block, and is not carried over to later ones),
and ``beside`` (it can read two streams at the same time).
"""

PROBE = {"v": 1, "id": "hello", "op": "decode", "chunks": []}

WHOLE_CUTS = 2048  # bytes: longer streams are not cut bytewise, unless a vector says so
MAX_CUTS, LONG_CUTS = 24, 3  # two-part cuts for one stream, and for a longer one


@dataclass
class Expected:
    """What the standard makes of a stream."""

    events: list[dict[str, Any]]
    last_event_id: str = ""
    retry: Any = None  # milliseconds, None, or {"at_least": n}: that or more, or None
    or_error: bool = False  # refusing with an error is allowed


@dataclass
class Split:
    """One way to cut a stream."""

    name: str
    chunks: list[bytes]
    request: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.request = {"v": 1, "id": "", "op": "decode", "chunks": [chunk.hex() for chunk in self.chunks]}


# ---- What is put to the program --------------------------------------------------------------------------------------


def expected_of(vector: Vector, n: int = 1) -> Expected:
    """What the vector expects; ``n`` is the size of a linear vector.

    >>> from sse_ref.conformance.corpus import load, matching
    >>> expected_of(next(matching(load("decoder"), ["id/persists"]))).events[1]
    {'event': 'message', 'data': 'b', 'id': '1'}
    """
    expect = vector.body["expect"]
    events: list[dict[str, Any]] = []
    for event in expect["events"]:
        whole = {
            "event": text_of(event.get("event", "message")),
            "data": text_of(event["data"], n),
            "id": text_of(event.get("id", "")),
        }
        if "chunk" in event:
            whole["chunk"] = event["chunk"]
        times = event.get("repeat", 1)
        events += [whole] * (n if times == "N" else times)
    last = expect.get("last_event_id", events[-1]["id"] if events else "")
    return Expected(events, last, expect.get("retry"), expect.get("or_error", False))


def splits_of(vector: Vector, n: int = 1) -> list[Split]:
    """Every way in which the stream of the vector is cut, each once: the fewest cuts first, as they are easiest to read."""
    body = vector.body
    if "chunks" in body:
        return [Split("as given", [bytes_of(parts) for parts in body["chunks"]])]
    stream = bytes_of(body["input"], n)
    if "chunk_size" in body:
        size = body["chunk_size"]
        chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
        return [Split(f"in chunks of {size} bytes", chunks)]
    made = [Split("whole", [stream])]
    listed = [Split("cut as listed", list(_parts(stream, lengths))) for lengths in body.get("cuts", [])]
    if body.get("whole"):
        return made + listed
    made += [Split(f"cut after byte {at}", [stream[:at], stream[at:]]) for at in _cut_points(stream)]
    made += listed
    if 1 < len(stream) <= WHOLE_CUTS:
        made.append(Split("byte by byte", [stream[at : at + 1] for at in range(len(stream))]))
    unique = {tuple(split.chunks): split for split in reversed(made)}
    return [split for split in made if unique[tuple(split.chunks)] is split]


def _beside(stream: bytes, number: int) -> list[str]:
    """Another stream, in so many chunks: one for each chunk of the stream that is judged."""
    edges = [len(stream) * at // number for at in range(number + 1)]
    return [stream[start:end].hex() for start, end in itertools.pairwise(edges)]


def _parts(stream: bytes, lengths: Sequence[int]) -> Iterator[bytes]:
    at = 0
    for length in lengths:
        yield stream[at : at + length]
        at += length


def _cut_points(stream: bytes) -> list[int]:
    """Where a cut is interesting, evenly thinned out to ``MAX_CUTS`` or ``LONG_CUTS``."""
    places: set[int] = set()
    size = len(stream)
    for at in range(size) if size <= WHOLE_CUTS else (*range(64), *range(size - 64, size)):
        if stream[at] in b"\r\n:":
            places |= {at, at + 1}
        elif stream[at] >= 0x80 or stream[at - 1 : at] == b":":
            places.add(at + 1)
    wanted = sorted(place for place in places if 0 < place < size)
    most = min(len(wanted), MAX_CUTS if size <= WHOLE_CUTS else LONG_CUTS)
    return [wanted[number * len(wanted) // most] for number in range(most)]


# ---- The judgment ----------------------------------------------------------------------------------------------------


def judge(vector: Vector, program: UnderTest, features: set[str]) -> Result:
    """Put every split of the vector to the program, and compare."""
    lacking = [name for name in vector.needs if name not in features and name != "chunk"]
    if lacking:
        return Result(vector, "skip", f"the decoder has no {' and no '.join(lacking)}")
    if vector.body.get("carries") and "block-ids" in features:
        return Result(vector, "skip", "the ids are those of the block alone, as the decoder declares")
    if "linear" in vector.body:
        return _judge_linear(vector, program, features)
    expected = expected_of(vector)
    began = time.perf_counter()
    splits = splits_of(vector)
    for split in splits:
        split.request["id"] = vector.id
        if "beside" in vector.body:
            split.request["beside"] = _beside(bytes_of(vector.body["beside"]), len(split.chunks))
    compared = []
    try:
        for split, reply in zip(splits, program.ask([split.request for split in splits]), strict=True):
            compared.append((split, reply, *compare(vector, expected, reply, features, program.default_retry)))
    except NoReply as error:
        result = _result(vector, "error", str(error), splits[0], expected, None, program, began)
        result.expired = error.expired
        return result
    split, reply, verdict, reason = next((one for one in compared if one[2] != "pass"), compared[0])
    if verdict != "pass" and split.name not in ("whole", "as given"):
        reason = f"{reason} ({split.name})"
    return _result(vector, verdict, reason, split, expected, reply, program, began)


def compare(
    vector: Vector, expected: Expected, reply: Mapping[str, Any], features: set[str], default_retry: Any = None
) -> tuple[str, str]:
    """The verdict on one reply, and its reason.

    ``default_retry`` is the reconnection time that the decoder has where the stream sets none: the standard leaves it to
    the decoder. ``may`` vectors pass whatever the reply is, and the reason notes it.
    """
    verdict, reason = _compare(vector, expected, reply, features, default_retry)
    if vector.level == "may" and verdict == "fail":
        return "pass", f"the standard leaves this open; here: {reason}"
    return verdict, reason


def _compare(
    vector: Vector, expected: Expected, reply: Mapping[str, Any], features: set[str], default_retry: Any
) -> tuple[str, str]:
    if reply.get("skip") is not None:
        return "skip", str(reply["skip"])
    if reply.get("error") is not None:
        return ("pass", "") if expected.or_error else ("fail", f"no input is an error, but: {reply['error']}")
    for member in vector.needs:
        if member in ("retry", "last_event_id") and member not in reply:
            return "skip", f"the reply does not tell {member}"
    if unlike := _compare_events(vector, expected, reply, features):
        return unlike
    if "last_event_id" in features and "last_event_id" in reply and _is_about(vector, "id"):
        last = reply["last_event_id"] or ""
        if last != expected.last_event_id:
            return "fail", f"the last event ID is {_brief(last)} at the end, not {_brief(expected.last_event_id)}"
    wanted = default_retry if expected.retry is None else expected.retry
    told = "retry" in features and "retry" in reply and _is_about(vector, "retry")
    if told and not _retry_agrees(wanted, reply["retry"], default_retry):
        infinite = (
            " (an infinite number in JSON, perhaps)" if reply["retry"] is None and isinstance(wanted, dict) else ""
        )
        least = f"{wanted['at_least']} or more" if isinstance(wanted, dict) else _brief(wanted)
        return "fail", f"the reconnection time is {_brief(reply['retry'])}{infinite}, not {least}"
    return "pass", ""


def _compare_events(
    vector: Vector, expected: Expected, reply: Mapping[str, Any], features: set[str]
) -> tuple[str, str] | None:
    """The verdict on the events of a reply, if it is not "pass"."""
    compared = ["data", *(name for name in ("event", "id") if name in features)]
    if "chunk" in vector.needs:
        compared.append("chunk")
    if _are_equal(reply.get("events"), expected.events, compared):
        return None
    try:
        got = normalised(reply, compared)
    except ValueError as error:
        return "error", str(error)
    if "chunk" in compared and any("chunk" not in event for event in got):
        return "skip", "the events do not tell the chunk that brought them"
    want = [{name: event[name] for name in compared if name in event} for event in expected.events]
    if got != want and (not _is_about(vector, "id") or "block-ids" in features):
        _forgive_ids(got, want)
    return ("fail", _difference(got, want)) if got != want else None


def _are_equal(got: Any, want: list[dict[str, Any]], names: Sequence[str]) -> bool:
    """True if these members of all events are equal: a quick look, which saves most replies a closer one."""
    members = operator.itemgetter(*names)
    try:
        return isinstance(got, list) and [*map(members, got)] == [*map(members, want)]
    except (KeyError, TypeError):
        return False


def _is_about(vector: Vector, fact: str) -> bool:
    """Whether the title of a vector is about ids, or about reconnection times: nothing else is held against a program."""
    return vector.tags[0] == fact or fact in vector.needs or (fact == "id" and "last_event_id" in vector.needs)


def _forgive_ids(got: list[dict[str, Any]], want: Sequence[Mapping[str, Any]]) -> None:
    """Let an event without an id of its own have none, where its id is that of the event before it."""
    for number in range(1, min(len(got), len(want))):
        if got[number].get("id") == "" and want[number].get("id") == want[number - 1].get("id"):
            got[number]["id"] = want[number]["id"]


def normalised(reply: Mapping[str, Any], names: Collection[str]) -> list[dict[str, Any]]:
    """The events of a reply, of each what these names say, with type and id filled in.

    Raises ``ValueError`` for what is no list of events.

    >>> normalised({"events": [{"data": "x", "id": None, "chunk": 1}]}, ["data", "event", "id"])
    [{'data': 'x', 'event': 'message', 'id': ''}]
    """
    events = reply.get("events")
    if not isinstance(events, list):
        raise ValueError('the reply has neither "events" nor "error" nor "skip"')
    typed, named, placed = (name in names for name in ("event", "id", "chunk"))
    filled = []
    for event in events:
        if not isinstance(event, dict) or not isinstance(event.get("data"), str):
            raise ValueError(f"an event must be an object with text as data, not {_brief(event)}")
        kind, id = event.get("event") or "message", event.get("id") or ""
        if not isinstance(kind, str) or not isinstance(id, str):
            raise ValueError(f"type and id of an event must be text or null: {_brief(event)}")
        whole = {"data": event["data"]}
        if typed:
            whole["event"] = kind
        if named:
            whole["id"] = id
        if placed and isinstance(event.get("chunk"), int):
            whole["chunk"] = event["chunk"]
        filled.append(whole)
    return filled


def _retry_agrees(expected: Any, got: Any, default: Any) -> bool:
    if isinstance(expected, dict):
        return got == default or (isinstance(got, int | float) and got >= expected["at_least"])
    return bool(got == expected) and not isinstance(got, bool)


def _difference(got: list[dict[str, Any]], want: list[dict[str, Any]]) -> str:
    """Describe in one sentence how two lists of events differ."""
    for number, (one, other) in enumerate(zip(got, want, strict=False), 1):
        for name, value in other.items():
            if one.get(name) != value:
                if name == "chunk":
                    when = "late" if one["chunk"] > value else "before its blank line"
                    return f"event {number} came {when}: with chunk {one['chunk']}, not {value}"
                return f"the {name} of event {number} is {_brief(one.get(name))}, not {_brief(value)}"
    more, fewer = len(got) - len(want), len(want) - len(got)
    if more > 0:
        return f"{_events(more)} too many; the first is {_brief(got[len(want)])}"
    return f"{_events(fewer)} missing; the first is {_brief(want[len(got)])}"


def _events(number: int) -> str:
    return "one event" if number == 1 else f"{number} events"


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


# ---- Linear time -----------------------------------------------------------------------------------------------------

FAST = 2.0  # seconds: below it nobody notices, whatever the growth
GROWTH = 8.0  # times longer for four times the input: 4 is linear, 16 is quadratic
LINEAR_TIMEOUT = 20.0  # seconds


def _judge_linear(vector: Vector, program: UnderTest, features: set[str]) -> Result:
    """Four times the input must not take eight times as long, unless it is fast anyway.

    If the larger input is slow, the smaller is timed, four times in a row: that should take as long, and a busy machine
    slows both alike. If the ratio is bad, both are timed again, at most twice. The start of a kept process is not timed.
    """
    sizes = vector.body["linear"]
    began = time.perf_counter()
    split = splits_of(vector, sizes["large"])[0]
    expected = expected_of(vector, sizes["large"])
    shown = Split(split.name, [b"".join(split.chunks)[:64] + b"..."])

    def timed(n: int) -> tuple[float, dict[str, Any] | None]:
        return _timed(vector, program, split if n == sizes["large"] else splits_of(vector, n)[0])

    def time_small() -> float:
        return sum(timed(sizes["small"])[0] for _ in range(4)) / 4

    def result(verdict: str, reason: str) -> Result:
        return _result(vector, verdict, reason, shown, None, None, program, began)

    try:
        large, reply = timed(sizes["large"])
        if reply is None:  # once more, before it counts
            large, reply = timed(sizes["large"])
        if reply is not None and reply.get("error") is not None:
            return result("skip", f"it refuses the input: {reply['error']}")
        if reply is not None:
            verdict, reason = compare(vector, expected, reply, features, program.default_retry)
            if verdict != "pass" or large < FAST:
                return result(verdict, reason)
        small = time_small()
        for _ in range(2):
            if reply is not None and large >= FAST and large >= GROWTH * small:
                large, small = timed(sizes["large"])[0], time_small()
    except NoReply as error:
        failed = result("error", str(error))
        failed.expired = error.expired
        return failed
    over = "over " if large >= LINEAR_TIMEOUT else ""
    times = f"{small:.1f} s for a quarter of the input, {over}{large:.1f} s for all"
    if large >= FAST and large >= GROWTH * small:
        return result("fail", f"the time grows faster than the input: {times}")
    return result("error", f"timeout: {times}") if reply is None else result("pass", "")


def _timed(vector: Vector, program: UnderTest, split: Split) -> tuple[float, dict[str, Any] | None]:
    """Seconds that a program takes for a stream, and its reply; None if the limit passed."""
    request = {**split.request, "id": vector.id}
    program.warm_up(PROBE)
    start = time.perf_counter()
    try:
        (reply,) = program.ask([request], timeout=LINEAR_TIMEOUT)
    except NoReply as error:
        if error.expired:
            return LINEAR_TIMEOUT, None
        raise
    return time.perf_counter() - start, reply


# ---- Bytes instead of requests ---------------------------------------------------------------------------------------


def judge_raw(vector: Vector, command: Sequence[str], features: set[str], timeout: float) -> Result:
    """Judge a program that reads the stream itself from its standard input, and prints a line of JSON for each event."""
    if "chunks" in vector.body or "linear" in vector.body:
        return Result(vector, "not-run", "needs chunks, and a pipe does not keep them")
    if missing := {"retry", "last_event_id"} & set(vector.needs):
        return Result(vector, "not-run", f"needs {' and '.join(sorted(missing))}, which events do not tell")
    if missing := set(vector.needs) - features:
        return Result(vector, "skip", f"the decoder has no {' and no '.join(sorted(missing))}")
    expected = expected_of(vector)
    began = time.perf_counter()
    split = Split("whole", [bytes_of(vector.body["input"])])
    try:
        events, stderr = run_raw(command, split.chunks[0], timeout)
    except NoReply as error:
        result = _result(vector, "error", str(error), split, expected, None, None, began)
        result.expired = error.expired
        return result
    verdict, reason = compare(vector, expected, {"events": events}, features)
    result = _result(vector, verdict, reason, split, expected, {"events": events}, None, began)
    result.stderr = stderr
    return result


def _result(
    vector: Vector,
    verdict: str,
    reason: str,
    split: Split,
    expected: Expected | None,
    reply: Mapping[str, Any] | None,
    program: UnderTest | None,
    began: float,
) -> Result:
    expected_side = expected and {
        "events": expected.events,
        "last_event_id": expected.last_event_id,
        "retry": expected.retry,
    }
    return Result(
        vector,
        verdict,
        reason,
        input=[chunk.hex() for chunk in split.chunks],
        expected=expected_side,
        actual=None if reply is None else {name: value for name, value in reply.items() if name != "id"},
        stderr=program.stderr if program else "",
        ms=1000 * (time.perf_counter() - began),
    )
