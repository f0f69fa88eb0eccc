"""What the tests of the client share: streams from scripts, and what became of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from hostile import (
    DONE,
    HELLO,
    STOP,
    Hostile,
    Step,
    head,
    playing,
)

from sse_ref.client import (
    ChatStream,
    EventSource,
    StreamError,
)
from sse_ref.codec import ServerSentEvent
from sse_ref.dialects.interface import Dialect

GOOD = HELLO + STOP + DONE


def ask(script: list[Step] | list[list[Step]], request: Any = "hi", **options: Any) -> ChatStream:
    """Stream from a script to the end; the outcome of a failed stream is in the stream as well."""
    scripts = script if script and isinstance(script[0], list) else [script]
    with playing(*scripts) as server:  # type: ignore[arg-type]
        chat = ChatStream(request, url=server.url, **{"timeout": 30, "retries": 0, **options})
        chat.server = server  # type: ignore[attr-defined]
        chat.error = None  # type: ignore[attr-defined]
        try:
            chat.pieces = list(chat)  # type: ignore[attr-defined]
        except StreamError as error:
            chat.error = error  # type: ignore[attr-defined]
            assert error.outcome == chat.outcome != "complete"
            assert error.text == chat.text
        return chat


def complete(chat: ChatStream, text: str = "Hello") -> ChatStream:
    assert (chat.outcome, chat.text) == ("complete", text), chat.error  # type: ignore[attr-defined]
    return chat


def failed(chat: ChatStream, outcome: str, text: str = "Hello", match: str = "") -> ChatStream:
    error = chat.error  # type: ignore[attr-defined]
    assert (chat.outcome, chat.text) == (outcome, text), error
    assert match in str(error), error
    assert "\n" not in str(error)
    return chat


def sse(*blocks: bytes, **options: Any) -> list[Step]:
    return [head(chunked=False, **options), *blocks]


STOPPED: list[Step] = [b"HTTP/1.1 204 No Content\r\n\r\n"]


@contextlib.contextmanager
def source(*scripts: list[Step], **options: Any) -> Iterator[tuple[EventSource, Hostile]]:
    with playing(*scripts) as server:
        yield EventSource(server.url, **{"reconnection_time": 0, **options}), server


def steps_to_read(dialect: Dialect, events: list[ServerSentEvent]) -> int:
    """How many lines of Python a dialect's reader runs for a stream: its cost, whatever else the machine does."""
    reader, steps = dialect.reader(), 0

    def trace(*_: Any) -> Any:
        nonlocal steps
        steps += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for event in events:
            list(reader.read(event))
    finally:
        sys.settrace(before)
    return steps
