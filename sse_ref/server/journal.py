"""The journal: what was asked, what was sent, and how each stream ended.

In:   a record for each request for a stream or an answer; what the loop notes of its stream.
Out:  JSON at ``GET /journal``, oldest first; one line of the log for each stream that ends.

What a server generates cannot be seen from outside. The journal tells, so that a test can ask whether a client that
disconnected has really saved work:

    tokens, events, bytes    what was sent of the body in whole writes, without heartbeats (a whole answer: with its head)
    first_byte_s             seconds from the beginning of the stream to the end of its first write
    duration_s               seconds from the request to the end, None while it lasts
    left_at_token            how many tokens had been sent when the client disconnected
    outcome                  "open" while it lasts, and then one of

        complete      all was sent
        failed        the model failed; the error was sent
        refused       no stream: an HTTP error, whose status is in ``status``
        client_left   the client disconnected
        dropped       the client stopped reading
        cut           a fault that the request asked for
        stopped       the server was stopped
        crashed       a defect of the server

One record, of a client that disconnected while the answer was paced:

    {"id": "0f3c...", "at": 1795777200.1, "method": "POST", "path": "/v1/chat/completions",
     "request": {"model": "toy", "stream": true, "messages": [...]}, "model": "toy", "stream": true, "fault": null,
     "status": 200, "outcome": "client_left", "tokens": 7, "events": 8, "bytes": 1947, "first_byte_s": 0.3012,
     "duration_s": 0.5034, "left_at_token": 7}

It is written when the request's head has been read, and changes until the stream ends. A request is kept whole up to 64 KiB,
a longer one by its beginning. ``dialect``, ``headers`` (without the key), ``messages`` and ``tools`` tell how it was
understood.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from sse_ref.dialects.strict_json import to_json
from sse_ref.server.loop import Stream
from sse_ref.server.script import Asked

__all__ = ["Journal", "Record"]

MOST_KEPT = 65536  # bytes of a request

log = logging.getLogger("sse_ref.server")


class Journal:
    """The last ``size`` records. ``settle`` waits until the loop has noted all that has happened."""

    def __init__(self, size: int, settle: Callable[[], None]) -> None:
        self.records: deque[Record] = deque(maxlen=size)
        self.settle = settle

    def begin(self, id: str, method: str, path: str) -> Record:
        """Add a record for a request."""
        record = Record(id, method, path)
        self.records.append(record)
        return record

    def as_json(self) -> list[dict[str, Any]]:
        """The records, oldest first: request, tokens, events and bytes sent, times, and how each ended."""
        self.settle()
        return [record.as_json() for record in list(self.records)]


class Record:
    """What the journal keeps of one stream, or of one whole answer."""

    def __init__(self, id: str, method: str, path: str) -> None:
        self.id = id
        self.at = time.time()
        self.method = method
        self.path = path
        self.request: str | bytes = b""
        self.model: str | None = None
        self.streamed: bool | None = None
        self.fault: str | None = None
        self.status = 200
        self.asked: Asked | None = None
        self.stream: Stream | None = None
        self.outcome = "open"
        self.duration: float | None = None

    def note_request(self, body: bytes) -> None:
        """Keep a request whole if it is short, else its beginning."""
        self.request = (
            body if len(body) <= MOST_KEPT else f"{body[:200].decode('utf-8', 'replace')}... ({len(body)} bytes)"
        )

    def note_asked(self, asked: Asked) -> None:
        """Keep how the request was understood."""
        if len(asked.body) > MOST_KEPT:
            messages = tuple(m._replace(text=m.text[:200]) for m in asked.messages[-20:])
            asked = dataclasses.replace(asked, body=asked.body[:200], messages=messages, tools=asked.tools[:20])
        self.asked = asked
        self.model, self.streamed = asked.model, asked.stream

    def note_failure(self) -> None:
        """The model failed: when its stream ends, the outcome is "failed", not "complete"."""
        self.outcome = "failed"

    def end(self, outcome: str) -> None:
        """Note how it ended, and log it in one line."""
        self.outcome = "failed" if outcome == "complete" and self.outcome == "failed" else outcome
        self.duration = time.time() - self.at
        log.info("%s", self)

    def as_json(self) -> dict[str, Any]:
        """Times in seconds, ``at`` in Unix seconds; ``left_at_token`` is the number of tokens sent when the client left."""
        stream = self.stream
        tokens = stream.sent.tokens if stream else 0
        return {
            "id": self.id,
            "at": self.at,
            "method": self.method,
            "path": self.path,
            "request": json_or_text(self.request),
            "model": self.model,
            "stream": self.streamed,
            **understood(self.asked),
            "fault": self.fault,
            "status": self.status,
            "outcome": self.outcome,
            "tokens": tokens,
            "events": stream.sent.events if stream else 0,
            "bytes": stream.bytes_sent if stream else 0,
            "first_byte_s": round(stream.first_sent, 4) if stream and stream.first_sent is not None else None,
            "duration_s": round(self.duration, 4) if self.duration is not None else None,
            "left_at_token": tokens if self.outcome == "client_left" else None,
        }

    def __str__(self) -> str:
        """The line of the log."""
        tokens = self.stream.sent.tokens if self.stream else 0
        how = {
            "client_left": f"client left at token {tokens}",
            "crashed": "the server failed",
            "cut": "cut, as asked for",
            "dropped": "dropped, the client does not read",
            "failed": "model failed",
            "refused": f"refused with {self.status}",
            "stopped": "ended, the server stops",
        }.get(self.outcome, self.outcome)
        size = self.stream.bytes_sent if self.stream else 0
        what = f"{self.method} {self.path} {self.model or '-'}{' whole' if self.streamed is False else ''}"
        return f"{what}: {how}, {tokens} tokens, {size} bytes, {self.duration or 0:.2f} s"


def understood(asked: Asked | None) -> dict[str, Any]:
    """How a request was understood, as JSON; nothing of one that was not."""
    if asked is None:
        return {}
    messages = [{name: value for name, value in m._asdict().items() if value} for m in asked.messages]
    tools = [{"name": tool.name, "parameters": tool.parameters} for tool in asked.tools]
    return {"dialect": asked.dialect, "headers": dict(asked.headers), "messages": messages, "tools": tools}


def json_or_text(body: str | bytes) -> Any:
    """Parse JSON; return the text unchanged if it is not JSON or cannot be written again (NaN, 1e999).

    >>> json_or_text(b'{"n": 1}'), json_or_text(b'{"n": NaN}')
    ({'n': 1}, '{"n": NaN}')
    """
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(body)
        to_json(value).encode()
        return value
    return body if isinstance(body, str) else body.decode("utf-8", "replace")
