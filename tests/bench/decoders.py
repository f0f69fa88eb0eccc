"""How fast decoders are, ours and published ones: each as an iterator from feeds of bytes to events.

Each workload is timed in rounds that visit every decoder in turn, so that a noisy moment hits all of them. What is said of
a decoder is the median of its rounds, as a ratio to ours; whether what it gave was right; and for three traps the exponent
of growth: 1 if four times the bytes take four times the time, 2 if they take sixteen times.

A decoder that hides behind a request is given a response whose body is the feeds. JSON is not parsed: where a library does
that in its decoder, its parser is replaced by one that costs nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import Mock

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from environments import NODE
from results import keep
from workloads import TRAPS, Feeds, workloads

from sse_ref.codec import SSEDecoder
from sse_ref.conformance.corpus import bytes_of, load
from sse_ref.conformance.decoders import expected_of

Decode = Callable[[Feeds], Iterable[str]]
URL = "http://127.0.0.1/"
HEAD = {"content-type": "text/event-stream"}

# ---- The decoders ----------------------------------------------------------------------------------------------------


def ours() -> Decode:
    def decode(feeds: Feeds) -> Iterator[Any]:
        feed = SSEDecoder().feed
        for chunk in feeds:
            yield from feed(chunk)

    return decode


def over_httpx(module: str, source: str) -> Decode:
    """What reads a response of httpx, or of the library that took its place."""
    library, source_of = import_module(module), import_module(source).EventSource

    class Body(library.SyncByteStream):  # type: ignore[misc,name-defined]
        def __init__(self, feeds: Feeds) -> None:
            self.feeds = feeds

        def __iter__(self) -> Iterator[bytes]:
            return iter(self.feeds)

    def decode(feeds: Feeds) -> Iterable[Any]:
        request = library.Request("GET", URL)
        opened = source_of(library.Response(200, headers=HEAD, stream=Body(feeds), request=request))
        return opened.iter_sse() if hasattr(opened, "iter_sse") else opened

    return decode


def stainless(package: str) -> Decode:
    decoder = import_module(f"{package}._streaming").SSEDecoder
    return lambda feeds: (event for event in decoder().iter_bytes(iter(feeds)) if event.data)


def mistralai() -> Decode:
    streaming = import_module("mistralai.client.utils.eventstreaming")
    free = types.SimpleNamespace(
        loads=lambda text: text, dumps=lambda event: event, JSONDecodeError=json.JSONDecodeError
    )
    streaming.json = free  # type: ignore[attr-defined]

    def decode(feeds: Feeds) -> Iterator[Any]:
        response = types.SimpleNamespace(iter_bytes=lambda: iter(feeds), headers=HEAD, close=lambda: None)
        for event in streaming.stream_events(response, decoder=lambda event: event):
            yield types.SimpleNamespace(**event)

    return decode


def sseclient_py() -> Decode:
    client = import_module("sseclient").SSEClient
    return lambda feeds: client(iter(feeds)).events()


def requests_sse() -> Decode:
    import requests

    client = import_module("requests_sse.client")

    def decode(feeds: Feeds) -> Iterator[Any]:
        response = requests.Response()
        response.status_code, response.url, response.headers["Content-Type"] = 200, URL, "text/event-stream"
        response.raw = Mock(stream=lambda size, decode_content=True: iter(feeds))
        source = client.EventSource(URL, session=Mock(request=once(response)))
        source.connect()
        try:
            yield from source
        except Over:
            return

    return decode


def aiohttp_sse_client2() -> Decode:
    import aiohttp

    client = import_module("aiohttp_sse_client2.client")

    async def read(feeds: Feeds) -> list[Any]:
        content = aiohttp.StreamReader(Mock(_reading_paused=False), 2**16, loop=asyncio.get_running_loop())
        for chunk in feeds:
            content.feed_data(chunk)
        content.feed_eof()
        respond = once(Mock(status=200, content_type="text/event-stream", content=content))

        async def request(*args: Any, **kwargs: Any) -> Any:
            return respond()

        source, events = client.EventSource(URL, session=Mock(request=request)), []
        await source.connect()
        try:
            async for event in source:
                events.append(event)
        except Over:
            pass
        return events

    return lambda feeds: asyncio.run(read(feeds))


def launchdarkly() -> Decode:
    reader = import_module("ld_eventsource.reader")

    def decode(feeds: Feeds) -> Iterator[Any]:
        for told in reader._SSEReader(reader._BufferedLineReader.lines_from(feeds)).events_and_comments():
            if hasattr(told, "data"):
                yield told

    return decode


class Over(BaseException):
    """A library asks a second time: its stream has ended."""


def once(response: Any) -> Callable[..., Any]:
    responses = iter([response])

    def request(*args: Any, **kwargs: Any) -> Any:
        for response in responses:
            return response
        raise Over

    return request


PYTHON: dict[str, Callable[[], Decode]] = {
    "sse_ref": ours,
    "launchdarkly-eventsource": launchdarkly,
    "httpx-sse": lambda: over_httpx("httpx", "httpx_sse"),
    "httpx2": lambda: over_httpx("httpx2", "httpx2"),
    "anthropic": lambda: stainless("anthropic"),
    "openai": lambda: stainless("openai"),
    "sseclient-py": sseclient_py,
    "requests-sse": requests_sse,
    "aiohttp-sse-client2": aiohttp_sse_client2,
    "mistralai": mistralai,
}
FLOORS: dict[str, Callable[[Feeds], Any]] = {
    "bytes.split": lambda feeds: [chunk.split(b"\n\n") for chunk in feeds],
    "json.loads": lambda feeds: [json.loads(event[6:]) for chunk in feeds for event in chunk.split(b"\n\n") if event],
}

# ---- Decoders in JavaScript ------------------------------------------------------------------------------------------


class Scripts:
    """The decoders in JavaScript, in one process: it is told a file of feeds, and tells the seconds and what it decoded."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["node", str(HERE / "decoders.mjs"), str(NODE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.folder = tempfile.TemporaryDirectory()

    def time(self, name: str, feeds: Feeds) -> tuple[float, list[str]]:
        file = Path(self.folder.name) / "feeds"
        file.write_bytes(b"".join(feeds))
        assert self.process.stdin and self.process.stdout
        request = {"name": name, "file": str(file), "sizes": [len(chunk) for chunk in feeds]}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["seconds"], answer["data"]
