"""How fast decoders are, ours and published ones: feeds of bytes go in, events come out and are counted.

Each workload is timed in rounds that visit every decoder, in another order each round, and ours right before or after each
of them. What is told of a decoder: the median of its ratios to ours, with the quarters around it; whether it gave as many
events as there are; how many must vectors of the corpus its data are wrong in; and for three traps the exponent of growth, 1 if four
times the bytes take four times the time, 2 if they take sixteen times.

A decoder that hides behind a request is given a response whose body is the feeds. JSON is not parsed: where a library does
that in its decoder, its parser is replaced by one that costs nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
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

sys.path.insert(0, str(Path(__file__).parents[2]))

from environments import NODE
from results import beside, in_turn, keep, spread
from workloads import TRAPS, Feeds, workloads

from sse_ref.codec import SSEDecoder
from sse_ref.conformance.corpus import bytes_of, load
from sse_ref.conformance.decoders import expected_of

HERE = Path(__file__).parent
OURS = "sse_ref"
Decode = Callable[[Feeds], Iterable[Any]]
URL = "http://127.0.0.1/"
HEAD = {"content-type": "text/event-stream"}

# ---- The decoders ----------------------------------------------------------------------------------------------------


def ours() -> Decode:
    def decode(feeds: Feeds) -> Iterator[Any]:
        feed = SSEDecoder().feed
        return (event for chunk in feeds for event in feed(chunk))

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


def stainless(package: str, *, skips_empty: bool = False) -> Decode:
    decoder = import_module(f"{package}._streaming").SSEDecoder
    return lambda feeds: (event for event in decoder().iter_bytes(iter(feeds)) if event.data or not skips_empty)


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
    client.time = types.SimpleNamespace(sleep=lambda seconds: None)  # type: ignore[attr-defined]

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

    async def no_wait(seconds: float) -> None:
        pass

    client.asyncio = types.SimpleNamespace(sleep=no_wait)  # type: ignore[attr-defined]

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
    OURS: ours,
    "launchdarkly-eventsource": launchdarkly,
    "httpx-sse": lambda: over_httpx("httpx", "httpx_sse"),
    "httpx2": lambda: over_httpx("httpx2", "httpx2"),
    "anthropic": lambda: stainless("anthropic", skips_empty=True),  # as its stream does
    "openai": lambda: stainless("openai"),
    "sseclient-py": sseclient_py,
    "requests-sse": requests_sse,
    "aiohttp-sse-client2": aiohttp_sse_client2,
    "mistralai": mistralai,
}
REFUSALS = {"httpx2": "SSEError", "aiohttp-sse-client2": "LineTooLong"}
"""What decoders that limit an event or a line raise for one that is too large. Anything else that is raised ends the run."""

JAVASCRIPT = ("eventsource-parser (npm)", "openai (npm)")
FLOORS: dict[str, Callable[[Feeds], Iterable[Any]]] = {
    "bytes.split": lambda feeds: [event for chunk in feeds for event in chunk.split(b"\n\n") if event],
    "json.loads": lambda feeds: [json.loads(event[6:]) for chunk in feeds for event in chunk.split(b"\n\n") if event],
}
FLOORS_FOR = {
    "one chat chunk per feed": ("bytes.split", "json.loads"),
    "feeds of 64 KiB": ("bytes.split",),  # which cut an event now and then: no JSON
}


# ---- Timing ----------------------------------------------------------------------------------------------------------

PATIENCE = 1.0  # seconds for one decoder and workload: a slow one has fewer rounds
LEAST = 0.85  # an exponent that is lower tells of something else
LONG_ENOUGH = 0.05  # seconds that a run takes before its growth is looked at


class Timed:
    """All decoders, each timed as ``(seconds, events)``."""

    def __init__(self) -> None:
        self.decoders = {name: make() for name, make in PYTHON.items()}
        self.scripts = subprocess.Popen(
            ["node", str(HERE / "decoders.mjs"), str(NODE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.folder = tempfile.TemporaryDirectory()
        self.names = [*self.decoders, *JAVASCRIPT]

    def __call__(self, name: str, feeds: Feeds) -> tuple[float, int]:
        if name in JAVASCRIPT:
            return self.script(name, feeds)
        decode = self.decoders.get(name) or FLOORS[name]
        count = 0
        began = time.perf_counter()
        if name == OURS:  # as it is used: it is fed, and gives a list
            feed = SSEDecoder().feed
            for chunk in feeds:
                for _ in feed(chunk):
                    count += 1
        else:
            for _ in decode(feeds):
                count += 1
        return time.perf_counter() - began, count

    def script(self, name: str, feeds: Feeds) -> tuple[float, int]:
        file = Path(self.folder.name) / "feeds"
        file.write_bytes(b"".join(feeds))
        assert self.scripts.stdin and self.scripts.stdout
        request = {"name": name, "file": str(file), "sizes": [len(chunk) for chunk in feeds]}
        self.scripts.stdin.write(json.dumps(request) + "\n")
        self.scripts.stdin.flush()
        answer = json.loads(self.scripts.stdout.readline())
        return answer["seconds"], answer["count"]

    def close(self) -> None:
        assert self.scripts.stdin
        self.scripts.stdin.close()
        self.scripts.wait()
        self.folder.cleanup()


@contextlib.contextmanager
def refusal(name: str) -> Iterator[None]:
    """Pass over the refusal of a decoder that is known to limit what it takes."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ != REFUSALS.get(name):
            error.add_note(f"raised while {name} was timed")
            raise


def exponents(timed: Timed, scale: float) -> dict[str, dict[str, float | None]]:
    """For each decoder and trap the exponent of growth; None where the decoder refuses."""
    found: dict[str, dict[str, float | None]] = {name: {} for name in timed.names}
    for trap, (size, make) in TRAPS.items():
        for name in timed.names:
            found[name][trap] = None
            with refusal(name):
                found[name][trap] = round(exponent(timed, name, make, max(1, int(size * scale)), scale), 1)
    return found


def exponent(timed: Timed, name: str, make: Callable[[int], Feeds], size: int, scale: float) -> float:
    """How the time grows from a size that takes long enough: what fits in a cache is faster than it should be.

    The smaller input is timed four times in a row, right before the larger, so that both see the same machine. Where the time
    grows less than the input, most of it is a cost of each stream: then a larger input tells.
    """
    while timed(name, make(size))[0] < LONG_ENOUGH * scale:
        size *= 2
    found = exponent_between(timed, name, make(size), make(4 * size), scale)
    for larger in (4 * size, 16 * size):
        if found < LEAST:
            found = exponent_between(timed, name, make(larger), make(4 * larger), scale)
    return found


def exponent_between(timed: Timed, name: str, small: Feeds, large: Feeds, scale: float) -> float:
    """The exponent between two inputs, the second four times the first: the median of a few."""
    growths: list[float] = []
    began = time.perf_counter()
    while not growths or (len(growths) < 5 and time.perf_counter() - began < 3 * scale):
        four = sum(timed(name, small)[0] for _ in range(4))
        growths.append(timed(name, large)[0] / (four / 4))
    return math.log(statistics.median(growths), 4)


def wrong_vectors(decode: Decode) -> int:
    """How many must vectors of the corpus are decoded to other data."""
    wrong = 0
    for vector in load("decoder"):
        if vector.level != "must" or "input" not in vector.body or "linear" in vector.body:
            continue
        expected = [event["data"] for event in expected_of(vector).events]
        try:
            found = [event.data for event in decode([bytes_of(vector.body["input"])])]
        except Exception:
            found = None
        wrong += found != expected
    return wrong


def measure(timed: Timed, options: argparse.Namespace) -> dict[str, Any]:
    growth = exponents(timed, options.size)
    print("growth", json.dumps(growth), flush=True)
    rows: dict[str, Any] = {}
    for workload, (feeds, events) in workloads(options.size).items():
        names = [*timed.names, *FLOORS_FOR.get(workload, ())]
        ratios: dict[str, list[float]] = {name: [] for name in names if name != OURS}
        spent, right, own = dict.fromkeys(ratios, 0.0), dict.fromkeys(ratios, True), []
        for turn in range(options.rounds):
            for name in in_turn(ratios, turn):
                if (before := spent[name]) > PATIENCE:
                    continue
                spent[name] = math.inf  # if it refuses
                with refusal(name):
                    (took, given), (peer_took, peer_given) = beside(
                        lambda feeds=feeds: timed(OURS, feeds), lambda name=name, feeds=feeds: timed(name, feeds), turn
                    )
                    assert given == events, f"ours gave {given} events of {events}"
                    spent[name] = before + peer_took
                    right[name] = right[name] and (peer_given == events or name in FLOORS)
                    own.append(took)
                    ratios[name].append(peer_took / took)
        rows[workload] = {
            name: {"ratio": spread(found), "right": right[name]} for name, found in ratios.items() if found
        }
        ours_took = statistics.median(own)
        medians = {name: row["ratio"][1] for name, row in rows[workload].items()}
        print(f"{workload:34}{1000 * ours_took:8.1f} ms", json.dumps(medians), flush=True)
    wrong = {name: wrong_vectors(decode) for name, decode in timed.decoders.items()}
    return {"workloads": rows, "growth": growth, "wrong vectors": wrong, "versions": {n: version_of(n) for n in PYTHON}}


def version_of(name: str) -> str:
    return "" if name == OURS else version(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--size", type=float, default=1.0, help="of the workloads")
    parser.add_argument("--save", action="store_true", help="keep what was found for the README")
    options = parser.parse_args()
    logging.disable()  # some libraries tell of what they ignore
    timed = Timed()
    found = measure(timed, options)
    timed.close()
    print("must vectors with wrong data", json.dumps(found["wrong vectors"]))
    assert not found["wrong vectors"][OURS]
    if options.save:
        keep("decoders", found, interpreter=True)


if __name__ == "__main__":
    main()
