"""The plain event source at ``/events``: a piece of text an event, numbered, so that a dropped stream can be resumed.

In:   the fields of a query, and ``Last-Event-ID``.
Out:  events with ids, the last of them of the type ``done``, or ``failure`` if the model failed.

    retry: 1000       once, in the block of the first event: alone in a block it would confuse some clients
    id: 1
    data: Long

A client that reconnects says which event it has, and gets those after it:

    GET /events HTTP/1.1                     GET /events HTTP/1.1
    Host: 127.0.0.1:8000                     Host: 127.0.0.1:8000
                                             Last-Event-ID: 2
    id: 1, id: 2, connection lost            id: 3, id: 4, ...

Nothing is kept for resuming. The model says the same again for the same prompt, so the events up to the last event ID are
made again, and not sent. ``drop=N`` closes each connection after N events, to show it. A client that has them all gets 204,
which stops a browser from reconnecting (HTML standard 9.2.3).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

from sse_ref.codec import ServerSentEvent
from sse_ref.dialects import unknown_model
from sse_ref.dialects.interface import event_stream
from sse_ref.model import MODELS
from sse_ref.pieces import Message, ModelFailure, Piece, Prompt, Text
from sse_ref.server.requests import is_digits, read_number

__all__ = ["EVENTS_QUERY", "event_prompt", "read_last_event_id", "write_events"]

EVENTS_QUERY = ("prompt", "model", "seed", "max_tokens", "drop")
"""The names in the query of ``/events`` that are not settings of delivery."""


def event_prompt(fields: Mapping[str, str]) -> Prompt:
    """The prompt of a query. Raises ``RequestError`` for an unknown model or a wrong number.

    >>> event_prompt({"prompt": "Hi", "max_tokens": "3"}).max_tokens
    3
    """
    model = fields.get("model", "toy")
    if model not in MODELS:
        raise unknown_model(model, MODELS)
    text = fields.get("prompt", "Tell me a story")
    max_tokens = read_number(fields, "max_tokens", 0) or None
    return Prompt(model, (Message("user", text),), max_tokens=max_tokens, seed=read_number(fields, "seed", 0))


def read_last_event_id(header: str) -> int:
    """The number of the last event that the client has; 0 for an id that is none of ours.

    >>> read_last_event_id("12"), read_last_event_id("no-such-id")
    (12, 0)
    """
    id = header.strip(" \t")
    return int(id) if is_digits(id) and len(id) < 10 else 0


def write_events(pieces: Iterable[Piece], after: int, drop: int) -> Iterator[bytes]:
    """The bytes of the events; those up to number ``after`` are not to be sent. ``drop`` limits the others, 0 does not.

    >>> list(write_events([Text("a"), Text("b")], after=0, drop=1))
    [b'retry: 1000\\nid: 1\\ndata: a\\n\\n']
    """
    for number, event in enumerate(itertools.islice(numbered_events(pieces), after + drop if drop else None), 1):
        yield (b"retry: 1000\n" if number == after + 1 else b"") + b"".join(event_stream([event]))


def numbered_events(pieces: Iterable[Piece]) -> Iterator[ServerSentEvent]:
    """Text as events with their number as id. The final event is named ``done``, or ``failure`` if the model failed."""
    number = 0
    try:
        for piece in pieces:
            if isinstance(piece, Text):
                number += 1
                yield ServerSentEvent(piece.text, id=str(number))
    except ModelFailure as failure:
        yield ServerSentEvent(str(failure), "failure", str(number + 1))
    else:
        yield ServerSentEvent("[DONE]", "done", str(number + 1))
