"""The bytes that decoders are timed with, cut into feeds as a client would read them.

Chunks are those of OpenAI's chat completions, 285 bytes each, unless a name says otherwise. All is the same in every run.
"""

from __future__ import annotations

import json
from collections.abc import Callable

Feeds = list[bytes]


def cut(stream: bytes, size: int) -> Feeds:
    return [stream[start : start + size] for start in range(0, len(stream), size)]


def chunk(content: str) -> bytes:
    about = {
        "id": "chatcmpl-0123456789abcdef01234567",
        "object": "chat.completion.chunk",
        "created": 1741548524,
        "model": "toy",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [{"index": 0, "delta": {"content": content}, "logprobs": None, "finish_reason": None}],
        "usage": None,
    }
    return b"data: " + json.dumps(about, ensure_ascii=False).encode() + b"\n\n"


def chunks(count: int) -> Feeds:
    return [chunk(f" w{number}") for number in range(count)]


def mixed(count: int) -> Feeds:
    """CRLF, ids and event types, and a comment before every tenth event."""
    feeds = []
    for number, event in enumerate(chunks(count)):
        comment = b": keep-alive\r\n\r\n" if number % 10 == 0 else b""
        feeds.append(comment + b"id: %d\r\nevent: delta\r\n" % number + event.replace(b"\n", b"\r\n"))
    return feeds


def workloads(size: float = 1.0) -> dict[str, Feeds]:
    """The nine workloads; with a smaller ``size`` each is that much shorter."""

    def some(count: int) -> int:
        return max(20, int(count * size))

    stream = b"".join(chunks(some(20_000)))
    return {
        "one chat chunk per feed": chunks(some(20_000)),
        "feeds of 64 KiB": cut(stream, 65536),
        "feeds of 7 bytes": cut(b"".join(chunks(some(4_000))), 7),
        "feeds of one byte": cut(b"".join(chunks(some(2_000))), 1),
        "one 16 MiB line, feeds of 4 KiB": cut(b"data: " + b"x" * some(2**24) + b"\n\n", 4096),
        "one event of 200,000 lines": cut(b"data: y\n" * some(200_000) + b"\n", 16384),
        "CRLF, comments, ids": mixed(some(20_000)),
        "CJK and emoji": [chunk("\u6d41\u5f0f\u4f20\u8f93 \U0001f30a" * 4) for _ in range(some(20_000))],
        "short events": [b"data: %d\n\n" % number for number in range(some(40_000))],
    }


TRAPS: dict[str, tuple[int, Callable[[int], Feeds]]] = {
    # A decoder that does again at each step what it did before takes time in the square of these sizes.
    "an open line, in bytes": (2**20, lambda size: cut(b"data: " + b"x" * size + b"\n\n", 16384)),
    "data lines of one event": (5_000, lambda count: cut(b"data: y\n" * count + b"\n", 16384)),
    "events in one feed": (1_000, lambda count: [b"".join(chunks(count))]),
}
"""For each trap: the size to begin with, and the feeds for a size."""
