"""Delivery: what a model says, as bytes with the time at which each is due.

In:   a prompt, how its answer is to be delivered, and what writes pieces as bytes.
Out:  a ``Stream`` for the loop: timed writes.

There is one pipeline, ``deliver``, entered once and left once:

    pieces    -->    events    -->    bytes    -->    timed writes
    model,           dialect          framing         split, faults
    pace

Each stage is a generator that pulls from the one before it, so nothing is made before the loop wants its next write.

Time travels beside the pieces, not in them: events and bytes have no room for it. ``Pace`` stands at the entry and sets
``due`` for each piece that is pulled through it. The last stage pulls the bytes of one event, and then reads ``pace.due``.
That is the due time of the newest piece that went into the event, because no stage between them pulls ahead. ``tokens``
travels in the same way.

With ``ttft`` 2 and ``tps`` 4, "a b c" is due at these seconds after the stream began. The event with the role is made of no
piece of its own: it comes with the first. A usage, and what follows the last token, is due with what came before it:

    pieces         Text("a")    Text(" b")   Text(" c")   End, Usage
    due            2.00         2.25         2.50         2.50
    events         role, "a"    " b"         " c"         finish, [DONE]
    writes at      2.00 2.00    2.25         2.50         2.50 2.50, and the last chunk

A silence of the model moves all that follows it. ``jitter`` moves single tokens, and not the pace. Choices are made side by
side, so ``tps`` counts the tokens of each.

A fault is something that goes wrong on purpose, at a token that the request names. Each acts at one place:

    refuse              before the pipeline    an HTTP error in place of the stream
    error               at its entry           the model fails; here tokens count that are made and not sent, too
    cut, end, stall     at its exit            the write that is due is not sent whole, or not at all

and they differ in who can know:

    refuse    everybody: the status says it
    error     whoever reads the event; HTTP sees a whole body
    cut       HTTP: the connection closes in the middle of an event, and the last chunk is missing (in HTTP/1.0 nobody)
    end       only who counts finish reasons: the last chunk comes, and the answer is not whole
    stall     nobody: it looks like a slow model, until a timeout, because no heartbeat comes either

``split`` cuts an event into several writes, two milliseconds apart, so that a client reads parts of events, and of
characters. Each part is a chunk of its own. Nothing may come between the parts, no heartbeat and no farewell: they are
``open`` writes.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sse_ref.chunked import LAST_CHUNK, chunk
from sse_ref.errors import RequestError
from sse_ref.model import generate
from sse_ref.pieces import ModelFailure, Piece, Prompt, Silence, Usage
from sse_ref.recording import Recording
from sse_ref.server.loop import Stream, Write
from sse_ref.server.requests import read_decimal, read_number
from sse_ref.server.settings import Settings

__all__ = [
    "CHUNKED",
    "DELIVERY",
    "FAULTS",
    "UNTIL_CLOSE",
    "WHOLE",
    "CutAsAsked",
    "Delivery",
    "Fault",
    "deliver",
    "replay",
]

LEAST_HEARTBEAT = 0.01  # seconds: with less the loop would have nothing else to do
AT_LEAST = f"must be 0 (never) or at least {LEAST_HEARTBEAT}"
SPLIT_PAUSE = 0.002  # seconds between the parts of an event that is split, so that they do not travel together

FIRST_TOKENS = 5  # that a fault lets pass, unless the address says how many

# ---- Faults ----------------------------------------------------------------------------------------------------------

FAULTS = {
    "refuse": "an error before the stream: 429 and Retry-After",
    "error": "the model fails: an error inside the stream",
    "cut": "the connection is closed in the middle of an event, which HTTP can tell",
    "end": "the body ends before the answer does, which HTTP cannot tell",
    "stall": "nothing comes any more, no heartbeat either, and the connection stays open",
}


class CutAsAsked(Exception):
    """The request asked for a connection that breaks."""


class Fault(NamedTuple):
    """What goes wrong with one answer after ``at`` tokens: a name in ``FAULTS``, "" for nothing.

    >>> Fault("cut", at=3).most, Fault("error", at=3).most
    (3, inf)
    """

    name: str = ""
    at: int = FIRST_TOKENS

    def refuse(self) -> None:
        """Raise the error before the stream, if this is the fault."""
        if self.name == "refuse":
            raise RequestError("too_many", "refused, as the request asked for")

    def fail(self, pieces: Iterable[Piece]) -> Iterable[Piece]:
        """The model's pieces; a ``ModelFailure`` is raised after ``at`` tokens, if this is the fault."""
        return self._failing(pieces) if self.name == "error" else pieces

    def _failing(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        tokens = 0
        for piece in pieces:
            tokens += piece.tokens
            if tokens > self.at:
                raise ModelFailure("the model failed, as the request asked for")
            yield piece

    @property
    def most(self) -> float:
        """How many tokens are sent: with more comes the event that must not be sent."""
        return self.at if self.name in ("cut", "end", "stall") else math.inf

    def write(self, write: Write, framing: Framing) -> Iterator[Write]:
        """Yield what is sent in place of ``write``, which is due, and then raise ``CutAsAsked``: the connection is over."""
        if self.name == "stall":
            yield dataclasses.replace(write, due=math.inf)
        elif self.name == "end" and not framing.whole:
            yield dataclasses.replace(write, payload=framing.last)
        else:  # a whole answer says its length first, so ending early *is* a cut
            yield dataclasses.replace(write, payload=write.payload[: len(write.payload) // 2])
        raise CutAsAsked


# ---- What a request asks for -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one answer is delivered: what its address asks for, and the server's settings for the rest.

    ``ttft``, ``tps``, ``jitter`` and ``heartbeat`` as in ``Settings``. ``split``: at most so many bytes for each write of a
    stream, 0 for an event at once. ``fault`` and ``at``: a ``Fault``.
    """

    ttft: float
    tps: float
    jitter: float
    heartbeat: float
    split: int = 0
    fault: str = ""
    at: int = FIRST_TOKENS

    @classmethod
    def read(cls, fields: Mapping[str, str], settings: Settings) -> Delivery:
        """Read the fields of an address. Raises ``RequestError`` naming the field that is wrong.

        >>> Delivery.read({"fault": "cut", "tps": "20"}, Settings()).tps
        20.0
        """
        fault = fields.get("fault", "")
        if "fault" in fields and fault not in FAULTS:
            raise RequestError("bad_request", f"fault must be one of {', '.join(FAULTS)}", param="fault")
        heartbeat = read_decimal(fields, "heartbeat", settings.heartbeat)
        if "heartbeat" in fields and 0 < heartbeat < LEAST_HEARTBEAT:
            raise RequestError("bad_request", f"heartbeat {AT_LEAST}", param="heartbeat")
        return cls(
            ttft=read_decimal(fields, "ttft", settings.ttft),
            tps=read_decimal(fields, "tps", settings.tps),
            jitter=read_decimal(fields, "jitter", settings.jitter, most=1),
            heartbeat=heartbeat,
            split=read_number(fields, "split", 0),
            fault=fault,
            at=read_number(fields, "at", FIRST_TOKENS),
        )


DELIVERY = tuple(field.name for field in dataclasses.fields(Delivery))
"""The names that an address can set."""


# ---- The stages ------------------------------------------------------------------------------------------------------


class Pace:
    """When each piece is due, in seconds after the stream began.

    ``due`` is the due time of the newest piece that was pulled, ``tokens`` are all tokens so far, ``skipped`` those of them
    that are not sent. ``on_failure`` is called if the model fails.

    >>> from sse_ref.pieces import Text
    >>> pace = Pace(Delivery(ttft=2, tps=4, jitter=0, heartbeat=15), 1, lambda: None)
    >>> [(piece.text, pace.due) for piece in pace.timed([Text("a"), Text(" b"), Text(" c")])]
    [('a', 2.0), (' b', 2.25), (' c', 2.5)]
    """

    def __init__(self, delivery: Delivery, choices: int, on_failure: Callable[[], None]) -> None:
        self.on_failure = on_failure
        self.heartbeat = delivery.heartbeat
        self.gap = 1 / (delivery.tps * max(1, choices)) if delivery.tps else 0.0  # choices are made side by side
        self.jitter = self.gap * delivery.jitter
        self.start = delivery.ttft
        self.random = random.Random(0) if self.jitter else None  # it takes 2.5 KiB
        self.due = 0.0
        self.tokens = 0
        self.skipped = 0

    def timed(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Yield the pieces, and set ``due`` for each."""
        try:
            for piece in pieces:
                if piece.tokens:
                    if not self.tokens:
                        self.start -= piece.tokens * self.gap  # the first token takes ttft, not ttft and a gap
                    self.tokens += piece.tokens
                elif isinstance(piece, Silence):
                    self.start += self.heartbeat
                elif isinstance(piece, Usage):
                    yield piece
                    continue
                self.due = self.start + self.tokens * self.gap
                if self.random:
                    self.due += self.jitter * (self.random.random() - 0.5)
                yield piece
        except ModelFailure:
            self.on_failure()
            raise

    def restart(self) -> None:
        """Restart the clock: the pieces so far are skipped, not sent."""
        self.start -= self.due
        self.due = 0.0
        self.skipped = self.tokens


class Framing(NamedTuple):
    """How HTTP delimits a body: what the bytes of an event become, and what ends the body."""

    wrap: Callable[[bytes], bytes]
    last: bytes
    whole: bool = False  # one answer with its length, head and all; no event stream


CHUNKED = Framing(chunk, LAST_CHUNK)
UNTIL_CLOSE = Framing(bytes, b"")
WHOLE = Framing(bytes, b"", whole=True)


def split_up(payload: bytes, size: int) -> list[bytes]:
    """Parts of at most ``size`` bytes.

    >>> split_up(b"data: hi", 5)
    [b'data:', b' hi']
    """
    return [payload[at : at + size] for at in range(0, len(payload), size)]


def timed_writes(
    payloads: Iterator[bytes], pace: Pace, delivery: Delivery, framing: Framing, skip: int, ends: bool
) -> Iterator[Write]:
    """The last stage: the bytes of each event, when they are due. The first ``skip`` events are not sent, and what ends the
    body is not, unless it ``ends``."""
    fault = Fault(delivery.fault, delivery.at)
    most, wrap, split, whole = fault.most, framing.wrap, delivery.split, framing.whole
    for _ in itertools.islice(payloads, skip):
        pace.restart()
    events = tokens = 0
    due = 0.0
    for payload in payloads:
        if pace.due > due:
            due = pace.due
        if pace.tokens - pace.skipped > most:
            yield from fault.write(Write(due, tokens, events, wrap(payload)), framing)
        if whole:
            yield Write(due, pace.tokens, 0, payload)
            continue
        if split:
            *parts, payload = split_up(payload, split)
            for part in parts:
                yield Write(due, tokens, events, wrap(part), open=True)
                due += SPLIT_PAUSE
        tokens, events = pace.tokens, events + 1
        yield Write(due, tokens, events, wrap(payload))
    if framing.last or not ends:
        yield Write(due if ends else math.inf, tokens, events, framing.last, last=True)


# ---- The pipeline ----------------------------------------------------------------------------------------------------


def deliver(
    prompt: Prompt,
    delivery: Delivery,
    write: Callable[[Iterator[Piece]], Iterator[bytes]],
    framing: Framing,
    *,
    heartbeat: bytes = b"",
    farewell: Callable[[int], bytes] = lambda events: b"",
    on_failure: Callable[[], None] = lambda: None,
    skip: int = 0,
    ends: bool = True,
    pieces: Iterable[Piece] | None = None,
) -> Stream:
    """Return the answer to ``prompt``, ``pieces`` or the toy model's, as a stream whose first write is made already.

    ``write`` turns pieces into the bytes of each event, or of one whole answer. ``heartbeat`` is sent in silences,
    ``farewell(events)`` if the server stops after so many events; ``on_failure`` is called if the model fails. ``skip``: so
    many events are made, and not sent. ``ends`` is False for a body that stays open after its last event.

    Raises what making the first write raises: ``SchemaError``, ``RequestError``, ``ClientGone``.

    >>> from sse_ref.pieces import Message, Text
    >>> prompt = Prompt("toy-echo", (Message("user", "a b"),))
    >>> text = lambda pieces: (piece.text.encode() for piece in pieces if isinstance(piece, Text))
    >>> stream = deliver(prompt, Delivery(ttft=1, tps=2, jitter=0, heartbeat=15), text, CHUNKED)
    >>> [(write.due, write.payload) for write in [stream.next, *stream.writes]]
    [(1.0, b'1\\r\\na\\r\\n'), (1.5, b'2\\r\\n b\\r\\n'), (1.5, b'0\\r\\n\\r\\n')]
    """
    pace = Pace(delivery, prompt.n, on_failure)
    made = Fault(delivery.fault, delivery.at).fail(generate(prompt) if pieces is None else pieces)
    writes = timed_writes(write(pace.timed(made)), pace, delivery, framing, skip, ends)
    no_heartbeat = framing.whole or not delivery.heartbeat or delivery.fault == "stall"

    def end() -> bytes:
        # A whole answer is sent at once or not at all.
        last_words = b"" if framing.whole else farewell(stream.sent.events)
        return framing.wrap(last_words) + framing.last if last_words else b""

    stream = Stream(
        writes,
        heartbeat=b"" if no_heartbeat else framing.wrap(heartbeat),
        heartbeat_interval=delivery.heartbeat,
        farewell=end,
    )
    return stream


# ---- A recorded stream -----------------------------------------------------------------------------------------------


def replay(recording: Recording, speed: float, framing: Framing) -> Stream:
    """Return a recorded stream for the loop: each read is one write, ``speed`` times as fast as it came, 0 for at once.

    >>> recording = Recording(200, {}, ((0.5, b"data: hi"), (2.0, b"\\n\\n")), 2.0, True)
    >>> stream = replay(recording, 2, CHUNKED)
    >>> [(write.due, write.payload) for write in [stream.next, *stream.writes]]
    [(0.25, b'8\\r\\ndata: hi\\r\\n'), (1.0, b'2\\r\\n\\n\\n\\r\\n'), (1.0, b'0\\r\\n\\r\\n')]
    """

    def writes() -> Iterator[Write]:
        number = 0
        for number, (at, data) in enumerate(recording.reads, 1):
            payload = framing.wrap(data) if data else b""  # a chunk of no bytes would be the last
            yield Write(at / speed if speed else 0.0, 0, number, payload)
        if not recording.whole:
            yield Write(recording.ended_at / speed if speed else 0.0, 0, number, b"")
            raise CutAsAsked
        if framing.last:
            yield Write(recording.ended_at / speed if speed else 0.0, 0, number, framing.last, last=True)

    return Stream(writes(), heartbeat=b"", heartbeat_interval=0.0, farewell=lambda: b"")
