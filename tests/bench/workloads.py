"""The bytes that decoders are timed with, cut into feeds as a client would read them.

Chunks are those of OpenAI's chat completions, 285 bytes each, unless a name says otherwise. All is the same in every run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

Feeds = list[bytes]


class Workload(NamedTuple):
    """Feeds, and how many events they hold."""

    feeds: Feeds
    events: int


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


def workloads(size: float = 1.0) -> dict[str, Workload]:
    """The nine workloads; with a smaller ``size`` each is that much shorter."""

    def some(count: int) -> int:
        return max(20, int(count * size))

    many, fewer, few = some(20_000), some(4_000), some(2_000)
    line, lines = b"data: " + b"x" * some(2**24) + b"\n\n", b"data: y\n" * some(200_000) + b"\n"
    return {
        "one chat chunk per feed": Workload(chunks(many), many),
        "feeds of 64 KiB": Workload(cut(b"".join(chunks(many)), 65536), many),
        "feeds of 7 bytes": Workload(cut(b"".join(chunks(fewer)), 7), fewer),
        "feeds of one byte": Workload(cut(b"".join(chunks(few)), 1), few),
        "one 16 MiB line, feeds of 4 KiB": Workload(cut(line, 4096), 1),
        "one event of 200,000 lines": Workload(cut(lines, 16384), 1),
        "CRLF, comments, ids": Workload(mixed(many), many),
        "CJK and emoji": Workload([chunk("\u6d41\u5f0f\u4f20\u8f93 \U0001f30a" * 4)] * many, many),
        "short events": Workload([b"data: %d\n\n" % number for number in range(2 * many)], 2 * many),
    }


TRAPS: dict[str, tuple[int, Callable[[int], Feeds]]] = {
    # A decoder that does again at each step what it did before takes time in the square of these sizes.
    "an open line, in bytes": (2**20, lambda size: cut(b"data: " + b"x" * size + b"\n\n", 16384)),
    "data lines of one event": (5_000, lambda count: cut(b"data: y\n" * count + b"\n", 16384)),
    "events in one feed": (1_000, lambda count: [b"".join(chunks(count))]),
}
"""For each trap: the size to begin with, and the feeds for a size."""
