"""Random streams: what a decoder makes of them, beside ours, and the smallest stream on which the two differ.

In:   a seed, and a program that answers as ``decoders`` describes.
Out:  the first difference, made small, as a vector that can be put into the corpus.

A stream is made of pieces that are awkward beside one another, and is cut at random. Where the two readings differ, bytes
and cuts are taken out for as long as they differ: what is left shows the cause. What the standard leaves open is not made.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sse_ref.codec import SSEDecoder
from sse_ref.conformance.corpus import Vector, versions
from sse_ref.conformance.decoders import Split, compare, expected_of
from sse_ref.conformance.programs import NoReply, UnderTest

__all__ = ["Difference", "Reading", "cut_at_random", "first_difference", "random_stream", "vector_of"]

PIECES = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r", b":", b": ", b" ", b"\t", b"\0"),
    *(b"data", b"data:", b"data: ", b"data:  ", b"event: ", b"event:", b"id: ", b"id:", b"id", b"retry: ", b"retry:"),
    *(b"Data: ", b" data: ", b"datax: ", b"data : ", b": ping\n\n", b"id: 1\n\n", b"event: e\n\n", b"data: x\n\n"),
    *(b"1", b"007", b"-1", b"99999999999999999999", b"x", b"ab\0c", b"[DONE]", b'{"a": 1}', b"\xc2\xb2"),
    *(b"\xef\xbb\xbf", b"\xef", b"\xbb", b"\xbf", b"\xf0\x9f\x98\x80", b"\xf0\x9f", b"\x98\x80", b"\xc3\xa9", b"\xff"),
    *(b"\xed\xa0\x80", b"\xc0\x8a", b"\xe2\x80\xa8", b"\xc2\x85", b"\x0b", b"\x0c", b"\x1c"),
]
"""What is awkward beside one another."""

NAMES = [b"data", b"data", b"data", b"event", b"id", b"retry", b""]
ODD_NAMES = [b"Data", b"EVENT", b"Id", b"Retry", b"datax", b" data", b"data ", b"x", b"__proto__", b"\xef\xbb\xbfdata"]
ODD_NAMES += [b"type", b"name", b"message", b"lastEventId", b"#", b'"data"', b"data\t", b"-data", "data\uff1a".encode()]
ODD_NAMES += [
    name[:at] + b"\0" + name[at:] for name in (b"data", b"event", b"id", b"retry") for at in (0, 1, len(name))
]
COLONS = [b": ", b": ", b":", b":", b":  ", b"::", b""]
OWN_VALUES = {
    b"retry": b"0|1|7|1000|600000|86400000|12345678910|007|-5|-0|+5|5 | 5|\t5|5\t|\f5"
    b'|1_0|1,0|1.5|1.0|1e3|5s|5 ms|0x5|"5"|NaN|5\0',
    b"event": b"error|open|close|done|end|ping|message|Message|0|null|__proto__|constructor|a b|a |\ta|b\0c|"
    + b"x" * 1100,
    b"id": b'1|2|3|007|1.0|0|null|undefined|a\0b|\0| a|a |\ta|b\t|"q"|aB|a:b',
    b"": b"data: x| data: x|id: 9| id: 9|event: e| event: e|retry: 5| retry: 5|ping||",
}
"""What is awkward as the value of a field of this name; \"\" is the name of a comment."""

VALUES = b'|0|7|a|b c| d |\te|e\t|a\0b|\0ab|ab\0|\0|[DONE]|error|ping|message|{"a": 1}|a:b|a\\nb|"q"'.split(b"|")
VALUES += b"data|data: x|: x|# x".split(b"|")
VALUES += b"false|null|undefined|None|NaN|true|__proto__|007|1.0|1e3|-0|&amp;|%20|\x1b".split(b"|")
VALUES += [
    text.encode()
    for text in ("é", "€uro", "🦊", "²", "٣", "e\u0301", "\ufeff", "\ufffe", "\u2028", "\x85", "\xa0x", "<p>")
]
BAD_UTF8 = "ff e282 f09f f09f98 f0 c3 c080 c0af e080af f08080af eda080 eda0bdedb880 f4908080 f888808080 934194"
VALUES += map(bytes.fromhex, BAD_UTF8.split())
ENDS = [b"\n", b"\r", b"\r\n"]
BATCH = 100  # streams that are put to a program at once
TRIED = 4000  # streams that are tried to make a difference small
OPEN = re.compile(rb"(?:^|\xef\xbb\xbf|[\r\n])retry:? ?(?:[\r\n]|$)")
"""A retry field without a value: whether it is "ASCII digits only" can be argued."""


@dataclass(frozen=True)
class Reading:
    """A stream, and the places where it is cut."""

    stream: bytes
    cuts: tuple[int, ...] = ()

    @property
    def chunks(self) -> list[bytes]:
        """The stream as it is fed."""
        return [self.stream[start:end] for start, end in itertools.pairwise((0, *self.cuts, len(self.stream)))]


def random_stream(chance: random.Random) -> bytes:
    """A stream of up to 24 pieces, or of up to 20 lines; it may begin with a byte order mark.

    >>> random_stream(random.Random(1))
    b'data: : ping\\n\\ndatax: '
    """
    if chance.random() < 0.25:
        return b"".join(chance.choices(PIECES, k=chance.randrange(1, 25)))
    mark = b"\xef\xbb\xbf" * chance.choice((0, 0, 0, 0, 1, 2))
    end = chance.choice([*ENDS, None])
    lines = (_line(chance) + (end or chance.choice(ENDS)) for _ in range(chance.randrange(1, 21)))
    return mark + b"".join(lines)


def _line(chance: random.Random) -> bytes:
    """A blank line, or a field; now and then one that is nearly a field."""
    if chance.random() < 0.35:
        return b""
    name = chance.choice(ODD_NAMES if chance.random() < 0.25 else NAMES)
    if name in OWN_VALUES and chance.random() < 0.7:
        return name + chance.choice(COLONS) + chance.choice(OWN_VALUES[name].split(b"|"))
    return name + chance.choice(COLONS) + b"".join(chance.choices(VALUES, k=chance.choice((1, 1, 1, 2))))


def cut_at_random(chance: random.Random, stream: bytes) -> Reading:
    """The stream with up to five cuts, or with one after each byte."""
    if chance.random() < 0.1:
        return Reading(stream, tuple(range(1, len(stream))))
    return Reading(stream, tuple(sorted(chance.randrange(len(stream) + 1) for _ in range(chance.randrange(6)))))


def vector_of(reading: Reading, id: str, needs: Sequence[str] = ()) -> Vector:
    """The vector that says what the standard makes of a stream, by our decoder."""
    decoder = SSEDecoder()
    events = [{"data": e.data, "event": e.event, "id": e.id} for e in decoder.feed(reading.stream)]
    retry: Any = decoder.reconnection_time
    if retry is not None and retry >= 2**31:
        retry = {"at_least": 2**31 - 1}
    expect = {"events": events, "last_event_id": decoder.last_event_id, **({} if retry is None else {"retry": retry})}
    parts = [_part(chunk) for chunk in reading.chunks]
    given = {"chunks": [[part] for part in parts]} if reading.cuts else {"input": parts}
    body = {**({"needs": list(needs)} if needs else {}), **given, "expect": expect}
    basis = {"spec": "WHATWG HTML 9.2.6"}
    return Vector(id, "decoder", "One sentence of fact.", "must", basis, versions()[-1], body)


def _part(data: bytes) -> dict[str, str]:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"hex": data.hex()}
    return {"text": text} if text.isprintable() or re.fullmatch(r"[ -~\r\n]*", text) else {"hex": data.hex()}


@dataclass(frozen=True)
class Difference:
    """A stream that the program reads another way: the vector, how it differs, and the reply."""

    vector: Vector
    verdict: str
    reason: str
    reading: Reading
    reply: dict[str, Any] | None


class _Program:
    """Puts streams to a program, several at once, and compares."""

    def __init__(self, program: UnderTest, features: set[str], id: str) -> None:
        self.program = program
        # Ids of the block alone, which a decoder declares, are not compared.
        self.features = features - {"id", "last_event_id"} if "block-ids" in features else features
        self.id = id

    def first_difference(self, readings: Sequence[Reading]) -> Difference | None:
        """The first of these streams that the program reads another way."""
        requests = [{**Split("", reading.chunks).request, "id": self.id} for reading in readings]
        try:
            replies = list(self.program.ask(requests))
        except NoReply as error:
            if len(readings) > 1:  # one of them it does not survive: which?
                return next(filter(None, (self.first_difference([reading]) for reading in readings)), None)
            return Difference(vector_of(readings[0], self.id), "error", str(error), readings[0], None)
        compared = (self._compared(*pair) for pair in zip(readings, replies, strict=True))
        return next(filter(None, compared), None)

    def _compared(self, reading: Reading, reply: dict[str, Any]) -> Difference | None:
        told = {"id", *reply} & self.features
        needs = [name for name in ("id", "retry", "last_event_id") if name in told]
        vector = vector_of(reading, self.id, needs)
        expected = expected_of(vector)
        verdict, reason = compare(vector, expected, reply, self.features, self.program.default_retry)
        return None if verdict in ("pass", "skip") else Difference(vector, verdict, reason, reading, reply)


def first_difference(
    program: UnderTest, features: set[str], seed: int, streams: int, report: Callable[[int], None] = lambda number: None
) -> Difference | None:
    """The smallest difference found in so many random streams; None if there is none."""
    chance = random.Random(seed)
    number = 0
    while number < streams:
        batch: list[Reading] = []
        while len(batch) < min(BATCH, streams - number):
            stream = random_stream(chance)
            reading = cut_at_random(chance, stream)
            if not OPEN.search(stream):
                batch.append(reading)
        number += len(batch)
        under_test = _Program(program, features, f"found/seed-{seed}")
        if found := under_test.first_difference(batch):
            return _smallest(found, under_test)
        report(number)
    return None


def _smallest(found: Difference, program: _Program) -> Difference:
    """Take bytes and cuts out, for as long as a difference is left."""
    tried = 0
    while tried < TRIED:
        for candidates in _smaller(found.reading):
            tried += len(candidates)
            if smaller := program.first_difference(candidates):
                found = smaller
                break
        else:
            return found
    return found


def _smaller(reading: Reading) -> Iterator[list[Reading]]:
    """Streams that are a little smaller: without some cuts, without some bytes, with plainer bytes; the smallest first."""
    stream, cuts = reading.stream, reading.cuts
    if cuts:
        yield [Reading(stream), *(Reading(stream, cuts[:at] + cuts[at + 1 :]) for at in range(len(cuts)))]
    size = len(stream) // 2
    while size:
        without = [_without(reading, at, at + size) for at in range(0, len(stream), max(size // 2, 1))]
        yield [smaller for smaller in without if not OPEN.search(smaller.stream)]
        size //= 2
    letters = (at for at, byte in enumerate(stream) if byte not in b"aeidtry vn:\r\n\0" and byte < 0x80)
    plainer = [Reading(stream[:at] + b"a" + stream[at + 1 :], cuts) for at in letters]
    if plainer:
        yield plainer


def _without(reading: Reading, start: int, end: int) -> Reading:
    """The reading without the bytes from ``start`` to ``end``; its cuts stay where they were in the rest."""
    end = min(end, len(reading.stream))
    cuts = (min(cut, start) if cut < end else cut - (end - start) for cut in reading.cuts)
    return Reading(reading.stream[:start] + reading.stream[end:], tuple(cuts))
