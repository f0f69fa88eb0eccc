"""What a client holds while it reads."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc

import pytest
from hostile import (
    DONE,
    LAST,
    STOP,
    chunk,
    delta,
    head,
    playing,
    stream,
)
from streaming import GOOD, ask

from sse_ref.client import (
    ChatStream,
    EventSource,
    ProtocolError,
)

LIMIT = 2**17  # bytes
BUFFERS = 2**17  # bytes that are held for an event of any size


SHAPES = {
    "tiny pieces": ("", delta("x" * (LIMIT - 200))),
    "tiny events": ("whole", b"data:{}\n\n" * (LIMIT // 6)),
    "tiny lines": ("whole", b"data:{\n" + b"data:\n" * (LIMIT // 6) + b"data:}\n\n"),
    "short lines": ("whole", b"data:{\n" + b"data:  \n" * (LIMIT // 8) + b"data:}\n\n"),
    "empty lines": ("whole", b"\n" * (3 * LIMIT)),
    "comments": ("whole", b":\n" * (2 * LIMIT)),
    "one line": ("whole", delta("x" * (LIMIT - 200))),
    "too large": ("whole", b"data:" + b"x" * (5 * LIMIT)),
}


@pytest.mark.once
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reader", ["chat", "source"])
def test_what_is_held_is_a_small_multiple_of_the_largest_event(shape: str, compressed: bool, reader: str) -> None:
    kind, data = SHAPES[shape]
    body = gzip.compress(data + STOP + DONE, 1) if compressed else data + STOP + DONE
    parts = [body] if kind else [body[at : at + 2] for at in range(0, len(body), 2)]
    script = [head("Content-Encoding: gzip") if compressed else head(), b"".join(map(chunk, parts)), LAST]
    with playing(script) as server:  # type: ignore[arg-type]
        ask(stream(GOOD))  # what is made once is not counted
        tracemalloc.start()
        try:
            with contextlib.suppress(ProtocolError):
                if reader == "chat":
                    for _ in ChatStream("hi", url=server.url, retries=0, timeout=30, max_event_size=LIMIT):
                        pass
                else:
                    events = EventSource(server.url, max_event_size=LIMIT)
                    for one in events:
                        if one.data == "[DONE]":
                            events.close()
            assert tracemalloc.get_traced_memory()[1] < 3.5 * LIMIT + BUFFERS
        finally:
            tracemalloc.stop()
