"""Judges servers: requests on raw sockets, and one function for each vector that looks at what came back.

In:   vectors of the server corpus, and a ``Target``: a base URL and the models to ask for.
Out:  a result for each vector. What a model cannot be made to do is a skip with its reason, never a pass or a failure.

The requests are data (``exchanges`` in ``corpus/server.json``), each sent once however many vectors look at it. A check
returns if its fact holds, and raises ``Fails`` or ``Skips`` with a reason otherwise. Most checks look only at bytes that
have come. How long to wait for them follows from how long the server was seen to take; a limit that passes is an error of
the run (``Expired``), not a fact about the server.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import json
import math
import os
import re
import shlex
import socket
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os.path import commonpath
from typing import Any

from sse_ref.conformance.corpus import Vector, bytes_of, document
from sse_ref.conformance.verdicts import Result, Usage
from sse_ref.conformance.wire import Address, Connection, Exchange, request_bytes

__all__ = [
    "CHECKS",
    "ROLES",
    "Fails",
    "Skips",
    "Target",
    "curl",
    "judge",
    "judge_patiently",
    "our_own",
    "requests_needed",
]

ROLES = ("echo", "slow", "error", "crash", "overload")
"""What ``--model-for`` can name a model for: one that repeats the prompt, thinks for long, fails, breaks down, is busy."""

FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter", "function_call"}
LONG_SILENCE = 30.0  # seconds


class Fails(Exception):
    """The fact does not hold; the message says what was seen. ``expired``: it may be that it only took too long."""

    def __init__(self, problem: str, *, expired: bool = False) -> None:
        super().__init__(problem)
        self.expired = expired


class Skips(Exception):
    """The fact cannot be judged here; the message says why."""


class Expired(Exception):
    """A limit passed before there was anything to judge."""


@dataclass
class Target:
    """The server under test. ``models`` maps a role to a model, "" being the one for everything else."""

    url: str
    models: Mapping[str, str]
    key: str | None = None
    journal: str | None = None
    pid: int | None = None
    timeout: float = 10.0
    patience: float = 1.0  # how many times longer than usual to wait
    takes: float = 0.0  # seconds for a short answer, as measured
    sent: dict[str, Exchange] = field(default_factory=dict)
    requests: dict[str, bytes] = field(default_factory=dict)

    @cached_property
    def address(self) -> Address:
        """Where the server is."""
        return Address.of(self.url)

    def request(self, spec: Mapping[str, Any]) -> bytes:
        """The bytes of a request that the corpus describes. Raises ``Skips`` if it needs a model that was not named."""
        headers = dict(spec.get("headers", {}))
        path, body = spec["path"], b""
        role = spec.get("role", "")
        model = self.models.get(role) or (self.models[""] if role in ("", "echo", "slow") else "")
        if not model and "{model}" in json.dumps(spec):
            raise Skips(f"no model for it was named (--model-for {role}=NAME)")
        if "body" in spec:
            body = json.dumps({**spec["body"], "model": spec["body"]["model"].replace("{model}", model)}).encode()
            headers.setdefault("Content-Type", "application/json")
        elif "raw" in spec:
            body = spec["raw"].encode() if isinstance(spec["raw"], str) else bytes_of([spec["raw"]])
        key = {"wrong": "wrong-key", "none": None}.get(spec.get("key", ""), self.key)
        if key:
            headers["Authorization"] = f"Bearer {key}"
        if spec.get("chunked"):
            headers["Transfer-Encoding"] = "chunked"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        path = path.replace("{model}", model)
        return request_bytes(self.address, spec["method"], path, headers, body, version=spec.get("version", "1.1"))

    @property
    def silence(self) -> float:
        """How long to wait when nothing comes: a whole answer may take several times what a short stream takes."""
        return self.patience * max(self.timeout, 10 * self.takes)

    def warm_up(self, profile: str) -> None:
        """Ask twice, with much patience: a first answer may take long, and the second tells what others take.

        Raises ``Usage`` if nothing listens at the URL.
        """
        with self.connect():
            pass
        for _ in range(2):
            began = time.monotonic()
            with contextlib.suppress(Skips), Connection(self.address, STARTING * self.timeout) as connection:
                if profile == "sse":
                    connection.send(self.request({"method": "GET", "path": "", "headers": {"Accept": EVENT_STREAM}}))
                    connection.answer(stop_after=1, seconds=STARTING * self.timeout)
                else:
                    connection.send(self.body("Say hello", max_tokens=48))
                    connection.answer()
            self.takes = time.monotonic() - began

    def get(self, name: str) -> Exchange:
        """What came back for a named exchange; it is sent at the first time. Raises ``Expired`` if it did not come whole.

        A stream that only stays open after its end mark is given all the same.
        """
        if name not in self.sent:
            spec = document("server")["exchanges"][name]
            data = self.request(spec)
            silence = max(self.silence, 2 * LONG_SILENCE if spec.get("role") == "slow" else 0.0)
            # An event source may go on for ever: some of its events are enough.
            events, seconds = (50, self.timeout) if spec["path"] == "" else (None, None)
            with Connection(self.address, silence) as connection:
                connection.send(data)
                bodiless = spec["method"] == "HEAD"
                self.sent[name] = connection.answer(bodiless=bodiless, stop_after=events, seconds=seconds)
            self.requests[name] = data
        exchange = self.sent[name]
        return exchange if b"data: [DONE]" in exchange.body or b"data:[DONE]" in exchange.body else whole(exchange)

    def chat(self, name: str) -> Chat:
        """A named exchange as the chat stream that it should be. Raises ``Fails`` if it is none."""
        return Chat(self.get(name))

    def connect(self, *, before: int = 0, receive_buffer: int = 0) -> Connection:
        """A connection of one's own, behind so many others that a server may answer first."""
        silence = self.silence + self.patience * 1.5 * before * self.takes
        return Connection(self.address, silence, receive_buffer=receive_buffer)

    def body(self, text: str, role: str = "", **more: Any) -> bytes:
        """The bytes of a request for a stream."""
        messages = [{"role": "user", "content": text}]
        body = {"model": "{model}", "messages": messages, "stream": True, **more}
        return self.request({"method": "POST", "path": "/chat/completions", "body": body, "role": role})


EVENT_STREAM = "text/event-stream"
STARTING = 12  # times the usual limit that a first answer may take


def whole(exchange: Exchange) -> Exchange:
    """The exchange; raises ``Expired`` if a limit passed before it was over."""
    if exchange.expired:
        raise Expired(exchange.expired)
    return exchange


class Chat:
    """A chat stream, taken apart."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        if exchange.status != 200:
            said = f": {_message(exchange.body)}" if exchange.body else ""
            raise Fails(f"the status is {exchange.status or 'missing'}{said}{_with(exchange.problem)}")
        if not exchange.events:
            raise Fails(f"no event came{_with(exchange.problem)}: {exchange.body[:80]!r}")

    @cached_property
    def chunks(self) -> list[dict[str, Any]]:
        """The JSON objects before the end mark."""
        chunks = []
        for event in self.exchange.events:
            if event.data == "[DONE]":
                break
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(event.data)
                if isinstance(value, dict):
                    chunks.append(value)
        if not chunks:
            raise Fails("no chunk came")
        return chunks

    @property
    def choices(self) -> Iterator[dict[str, Any]]:
        """Every choice of every chunk that is an object."""
        for chunk in self.chunks:
            choices = chunk.get("choices")
            yield from (c for c in (choices if isinstance(choices, list) else []) if isinstance(c, dict))

    def of(self, index: int) -> list[dict[str, Any]]:
        """The choices with this index."""
        return [choice for choice in self.choices if choice.get("index") == index]

    def text(self, index: int = 0) -> str:
        """The contents of one choice, put together."""
        contents = (_delta(choice).get("content") for choice in self.of(index))
        return "".join(content for content in contents if isinstance(content, str))

    def finish(self, index: int = 0) -> list[Any]:
        """The finish reasons of one choice."""
        return [choice["finish_reason"] for choice in self.of(index) if choice.get("finish_reason") is not None]

    @property
    def usages(self) -> list[dict[str, Any]]:
        """The chunks with a usage."""
        return [chunk for chunk in self.chunks if chunk.get("usage") is not None]

    @property
    def fragments(self) -> list[Any]:
        """Every entry of every tool_calls list of the first choice."""
        calls = (_delta(choice).get("tool_calls") for choice in self.of(0))
        found = [fragment for call in calls if isinstance(call, list) for fragment in call]
        if not found:
            raise Skips("the model made no tool call")
        return found


def _delta(choice: Mapping[str, Any]) -> dict[str, Any]:
    delta = choice.get("delta")
    return delta if isinstance(delta, dict) else {}


def _with(problem: str) -> str:
    return f" ({problem})" if problem else ""


def _message(body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
        return str(error["message"] if isinstance(error, dict) else error)[:120]
    except (ValueError, KeyError, TypeError):
        return repr(body[:80])


def need(holds: Any, reason: str) -> None:
    """Raise ``Fails`` unless it holds."""
    if not holds:
        raise Fails(reason)


# ---- Running ---------------------------------------------------------------------------------------------------------

CHECKS: dict[str, Callable[[Target], None]] = {}


def check(id: str) -> Callable[[Callable[[Target], None]], Callable[[Target], None]]:
    """Make a function the check of a vector."""

    def register(function: Callable[[Target], None]) -> Callable[[Target], None]:
        CHECKS[id] = function
        return function

    return register


def requests_needed(vectors: Sequence[Vector]) -> int:
    """How many requests these vectors send at most."""
    exchanges = {name for vector in vectors for name in vector.body["exchanges"]}
    return 2 + len(exchanges) + sum(int(vector.body.get("requests", 0)) for vector in vectors)


def judge_patiently(vector: Vector, target: Target, factor: float) -> Result:
    """Judge the server by a vector again, with longer limits, sending again what did not come in time."""
    for name in vector.body["exchanges"]:
        if name in target.sent and target.sent[name].expired:
            del target.sent[name]
    target.patience = factor
    try:
        return judge(vector, target)
    finally:
        target.patience = 1.0


def judge(vector: Vector, target: Target) -> Result:
    """Judge the server by one vector."""
    began = time.perf_counter()
    result = Result(vector, "pass")
    try:
        CHECKS[vector.id](target)
    except Fails as failure:
        left_open = vector.level == "may"
        result.verdict = "pass" if left_open else "fail"
        result.expired = failure.expired and not left_open
        result.reason = f"this is left open; here: {failure}" if left_open else str(failure)
    except Skips as reason:
        result.verdict, result.reason = "skip", str(reason)
    except Expired as limit:
        result.verdict, result.reason, result.expired = "error", f"timeout: {limit}", True
    except (OSError, Usage) as error:
        result.verdict, result.reason = "error", f"the connection failed: {error}"
    except (TypeError, ValueError, AttributeError, LookupError, RecursionError) as error:
        result.verdict, result.reason = "fail", f"what came has another form than it can have: {error!r}"
    result.ms = 1000 * (time.perf_counter() - began)
    if result.verdict in ("fail", "error"):
        result.shown = _shown(vector, target)
    return result


def _shown(vector: Vector, target: Target) -> dict[str, list[str]]:
    """The request as a curl line, and the response as it came, without the key."""
    names = [name for name in vector.body["exchanges"] if name in target.sent]
    if not names:
        return {}
    exchange = target.sent[names[-1]]
    lines = exchange.head.decode("latin-1").splitlines()[:20]
    seen = re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", exchange.body)
    shown = [repr(line)[1:] for line in seen[:12] + ([b"..."] if len(seen) > 24 else []) + seen[12:][-12:]]
    timeline = [f"{1000 * seconds:8.1f} ms  {size} bytes" for seconds, size in exchange.arrivals[:6]]
    blocks = {
        "request": [_curl(document("server")["exchanges"][names[-1]], target.url, target.models)],
        "response": [*lines, "", *(line[:160] for line in shown)],
        "arrived": timeline + ([f"... {len(exchange.arrivals)} parts"] if len(exchange.arrivals) > 6 else []),
    }
    if target.key:
        blocks = {name: [line.replace(target.key, "***") for line in block] for name, block in blocks.items()}
    return blocks


def curl(vector: Vector, url: str) -> str:
    """The curl line of the last request that a server vector sends; the key and the model are left to fill in."""
    names = vector.body.get("exchanges")
    if not names:
        return f"# {vector.id} needs a socket of its own, no single curl line does it"
    return _curl(document("server")["exchanges"][names[-1]], url, {"": "MODEL"})


def _curl(spec: Mapping[str, Any], url: str, models: Mapping[str, str]) -> str:
    model = models.get(spec.get("role", "")) or models[""]
    words = ["curl", "-sN", "--raw", "-i"]
    if spec["method"] == "HEAD":
        words.append("-I")
    elif spec["method"] != "POST":
        words += ["-X", spec["method"]]
    if spec.get("version") == "1.0":
        words.append("--http1.0")
    for name, value in spec.get("headers", {}).items():
        words += ["-H", f"{name}: {value}"]
    if "body" in spec:
        words += ["-H", "Content-Type: application/json", "-H", "Authorization: Bearer $KEY"]
        words += ["-d", json.dumps(spec["body"]).replace("{model}", model)]
    elif isinstance(spec.get("raw"), str):
        words += ["-d", spec["raw"]]
    elif "raw" in spec:
        words += ["--data-binary", "@20-MiB-of-blanks"]
    return shlex.join([*words, url.rstrip("/") + spec["path"].replace("{model}", model)]).replace(
        "'Authorization: Bearer $KEY'", '"Authorization: Bearer $KEY"'
    )


# ---- The head --------------------------------------------------------------------------------------------------------


@check("head/status-200")
def _(target: Target) -> None:
    exchange = target.get("base")
    said = f": {_message(exchange.body)}" if exchange.status >= 400 else ""
    need(exchange.status == 200, f"the status is {exchange.status or 'missing'}{said}{_with(exchange.problem)}")


def _is_stream(exchange: Exchange) -> None:
    need(exchange.status == 200, f"the status is {exchange.status or 'missing'}{_with(exchange.problem)}")
    need(exchange.kind == "text/event-stream", f"the Content-Type is {exchange.header('content-type')!r}")
    parameters = (exchange.header("content-type") or "").partition(";")[2]
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", parameters, re.IGNORECASE)
    need(not charset or charset[1].lower() in ("utf-8", "utf8"), f"the charset is {charset and charset[1]}")


@check("head/content-type")
def _(target: Target) -> None:
    _is_stream(target.get("base"))


@check("head/accept-json")
def _(target: Target) -> None:
    _is_stream(target.get("accept-json"))
    need(target.get("accept-json").events, "no event came")


@check("head/accept-any")
def _(target: Target) -> None:
    for name in ("accept-any", "accept-stream", "again"):
        _is_stream(target.get(name))


@check("head/not-streamed")
def _(target: Target) -> None:
    for name in ("stream-absent", "stream-false", "stream-null"):
        _whole(target, name)


def _whole(target: Target, name: str) -> dict[str, Any]:
    """The JSON object of an answer that is not streamed."""
    exchange = target.get(name)
    need(exchange.status == 200, f"{name}: the status is {exchange.status}: {_message(exchange.body)}")
    need(exchange.kind == "application/json", f"{name}: the Content-Type is {exchange.header('content-type')!r}")
    need(exchange.ended, f"{name}: {exchange.problem}")
    value = _json(exchange.body, name)
    need(value.get("object") == "chat.completion", f"{name}: the object is {value.get('object')!r}")
    return value


def _json(body: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Fails(f"{name}: the body is not JSON: {body[:80]!r}") from None
    if not isinstance(value, dict):
        raise Fails(f"{name}: the body is no JSON object: {body[:80]!r}")
    return value


@check("head/framing")
def _(target: Target) -> None:
    exchange = target.chat("base").exchange
    need(exchange.framing in ("chunked", "close"), "the stream has a Content-Length")
    both = exchange.framing == "chunked" and exchange.header("content-length") is not None
    need(not both, "the stream has a Content-Length beside Transfer-Encoding: chunked")


@check("head/last-chunk")
def _(target: Target) -> None:
    exchange = target.chat("base").exchange
    if exchange.expired:
        raise Skips("the stream stays open after its end mark")
    need(exchange.framing != "chunked" or exchange.ended, exchange.problem or "the last chunk is missing")


@check("head/no-close-with-chunks")
def _(target: Target) -> None:
    exchange = target.chat("base").exchange
    said = (exchange.header("connection") or "").lower()
    need(exchange.framing != "chunked" or "close" not in said, "Connection: close stands beside chunked")


@check("head/http-1.0")
def _(target: Target) -> None:
    exchange = target.chat("http-1.0").exchange
    need(exchange.header("transfer-encoding") is None, f"Transfer-Encoding is {exchange.header('transfer-encoding')!r}")
    need(exchange.ended, exchange.problem)


@check("head/keep-alive")
def _(target: Target) -> None:
    with target.connect() as connection:
        connection.send(target.body("Say one", max_tokens=4))
        first = Chat(whole(connection.answer())).exchange
        if first.framing == "close" or "close" in (first.header("connection") or "").lower():
            return
        connection.send(target.body("Say two", max_tokens=4))
        second = whole(connection.answer())
        need(second.status == 200, f"the second answer: {second.problem or f'status {second.status}'}")


@check("head/gzip")
def _(target: Target) -> None:
    exchange = target.get("gzip")
    need(exchange.status == 200, f"the status is {exchange.status}")
    coding = (exchange.header("content-encoding") or "identity").lower()
    if coding == "identity":
        need(exchange.events, "no event came")
        return
    need(coding == "gzip", f"the Content-Encoding is {coding!r}, which was not asked for")
    try:
        parts = list(_unpacked(exchange.body[a:b] for a, b in _arrived(exchange)))
    except zlib.error as error:
        raise Fails(f"it cannot be unpacked: {error}") from None
    need(sum(b"\n\n" in part or b"\r\n\r\n" in part for part in parts) > 1, "all events come out at once, at the end")


def _unpacked(parts: Iterable[bytes]) -> Iterator[bytes]:
    """What each part of a gzip body unpacks to; it may have several members (RFC 1952, 2.2)."""
    unpack = zlib.decompressobj(wbits=31)
    for part in parts:
        text = b""
        while part:
            text += unpack.decompress(part)
            part = unpack.unused_data
            if unpack.eof:
                unpack = zlib.decompressobj(wbits=31)
        yield text


def _arrived(exchange: Exchange) -> Iterator[tuple[int, int]]:
    start = 0
    for _, end in exchange.arrivals:
        yield start, end
        start = end


@check("head/cache-control")
def _(target: Target) -> None:
    _not_cached(target.chat("base").exchange)


def _not_cached(exchange: Exchange) -> None:
    said = exchange.header("cache-control") or ""
    need(re.search(r"no-cache|no-store", said, re.IGNORECASE), f"Cache-Control is {said!r}")


@check("head/x-accel-buffering")
def _(target: Target) -> None:
    exchange = target.chat("base").exchange
    said = exchange.header("x-accel-buffering")
    if said is None and "nginx" in (exchange.header("server") or "").lower():
        raise Skips("nginx, which is in front, takes the header out")
    need(said == "no", f"X-Accel-Buffering is {said!r}")


@check("head/incremental")
def _(target: Target) -> None:
    """What a first token costs is known from an answer of one token: what comes on top must be spread out."""
    exchange = target.chat("base").exchange
    first_token = target.chat("one-token").exchange.end_s
    spread = exchange.arrivals[-1][0] - exchange.arrivals[0][0]
    beyond = exchange.end_s - first_token
    if beyond < 0.2 and len(exchange.arrivals) < 5:
        raise Skips(f"the answer takes {exchange.end_s:.2f} s: too fast to tell")
    need(
        spread > 0.2 * beyond or len(exchange.arrivals) >= 5,
        f"everything came within {spread:.2f} s, after {exchange.arrivals[0][0]:.2f} s of nothing, in an answer of "
        f"{exchange.end_s:.2f} s",
    )


@check("head/no-interim")
def _(target: Target) -> None:
    need(not target.get("base").interim, f"status {target.get('base').interim} came first")


@check("head/other-methods")
def _(target: Target) -> None:
    for name in ("head-method", "get-method"):
        exchange = target.get(name)
        need(exchange.status in (404, 405), f"{name}: the status is {exchange.status or exchange.problem}")
        need(len(exchange.body) < 65536, f"{name}: the body has {len(exchange.body)} bytes")


@check("head/chunked-request")
def _(target: Target) -> None:
    exchange = target.get("chunked-request")
    need(exchange.status in (200, 411), f"the status is {exchange.status or exchange.problem}")


@check("head/expect-continue")
def _(target: Target) -> None:
    exchange = target.get("expect")
    need(exchange.status in (200, 417), f"the status is {exchange.status or exchange.problem}")


@check("head/preflight")
def _(target: Target) -> None:
    exchange = target.get("preflight")
    need(200 <= exchange.status < 300, f"the status is {exchange.status or exchange.problem}")
    need(exchange.header("access-control-allow-origin") in ("*", "http://page.example"), "it does not allow the origin")
    headers = (exchange.header("access-control-allow-headers") or "").lower()
    for name in ("authorization", "content-type"):
        need(name in headers or (headers == "*" and name != "authorization"), f"it does not allow the header {name}")


@check("head/cors-on-stream")
def _(target: Target) -> None:
    said = target.chat("origin").exchange.header("access-control-allow-origin")
    need(said in ("*", "http://page.example"), f"Access-Control-Allow-Origin is {said!r}")


@check("head/request-id")
def _(target: Target) -> None:
    need(target.chat("base").exchange.header("x-request-id"), "there is no x-request-id")


@check("head/one-of-each")
def _(target: Target) -> None:
    names = [name.lower() for name, _ in target.chat("base").exchange.headers]
    for name in ("content-type", "content-length"):
        need(names.count(name) <= 1, f"the header {name} comes {names.count(name)} times")


# ---- Framing of events -----------------------------------------------------------------------------------------------


@check("frame/utf8")
def _(target: Target) -> None:
    _is_utf8(target.chat("base").exchange)


def _is_utf8(exchange: Exchange) -> None:
    try:
        exchange.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Fails(f"byte {error.start} is not UTF-8: {exchange.body[error.start : error.start + 4]!r}") from None


@check("frame/no-byte-order-mark")
def _(target: Target) -> None:
    need(not target.chat("base").exchange.body.startswith(b"\xef\xbb\xbf"), "the body begins with a byte order mark")


@check("frame/events-end")
def _(target: Target) -> None:
    _ends_with_blank_line(target.chat("base").exchange)


def _ends_with_blank_line(exchange: Exchange) -> None:
    last = exchange.blocks[-1].strip(b"\n")
    fields = [line for line in last.split(b"\n") if line and not line.startswith(b":")]
    need(not fields, f"the last event has no blank line: {last[-80:]!r}")


@check("frame/one-line-end")
def _(target: Target) -> None:
    body = target.chat("base").exchange.body
    kinds = {end.decode() for end in re.findall(rb"\r\n|\r|\n", body)}
    need(len(kinds) <= 1, f"lines end in {len(kinds)} ways: {sorted(kinds)}")


@check("frame/no-block-without-data")
def _(target: Target) -> None:
    for block in target.chat("base").exchange.blocks:
        lines = [line for line in block.split(b"\n") if line and not line.startswith(b":")]
        names = {line.partition(b":")[0] for line in lines}
        need(not lines or b"data" in names, f"a block without data: {block[:80]!r}")


@check("frame/no-empty-data")
def _(target: Target) -> None:
    need(all(event.data for event in target.chat("base").exchange.events), "an event has empty data")


@check("frame/json-or-done")
def _(target: Target) -> None:
    for event in target.chat("base").exchange.events:
        if event.data == "[DONE]":
            continue
        try:
            value = json.loads(event.data)
        except (ValueError, RecursionError):
            raise Fails(f"the data is neither JSON nor the end mark: {event.data[:80]!r}") from None
        need(isinstance(value, dict), f"the data is no JSON object: {event.data[:80]!r}")


@check("frame/done-once")
def _(target: Target) -> None:
    events = target.chat("base").exchange.events
    marks = [event.data for event in events if re.fullmatch(r"\W*done\W*", event.data, re.IGNORECASE)]
    need(marks, "the end mark did not come")
    other = next((mark for mark in marks if mark != "[DONE]"), None)
    need(other is None, f"an end mark is {other!r}")
    need(len(marks) == 1, f"the end mark came {len(marks)} times")


@check("frame/nothing-after-done")
def _(target: Target) -> None:
    data = [event.data for event in target.chat("base").exchange.events]
    if "[DONE]" not in data:
        raise Fails("the end mark did not come")
    after = data[data.index("[DONE]") + 1 :]
    need(not after, f"after the end mark came {after[0][:80]!r}" if after else "")


@check("frame/ends-after-done")
def _(target: Target) -> None:
    exchange = target.chat("base").exchange
    at = exchange.body.rfind(b"[DONE]")
    need(at >= 0, "the end mark did not come")
    if exchange.expired:
        raise Fails(f"after the end mark the stream stayed open: {exchange.expired}", expired=True)


@check("frame/strict-json")
def _(target: Target) -> None:
    for event in target.chat("base").exchange.events:
        if event.data != "[DONE]":
            _strict(event.data)


def _strict(text: str) -> Any:
    def constant(name: str) -> Any:
        raise Fails(f"{name} is no JSON: {text[:80]!r}")

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        need(len(value) == len(pairs), f"a name comes twice in one object: {text[:80]!r}")
        return value

    def real(digits: str) -> float:
        need(math.isfinite(float(digits)), f"{digits} is beyond what a number can be")
        return float(digits)

    try:
        value = json.loads(text, parse_constant=constant, object_pairs_hook=members, parse_float=real)
    except (ValueError, RecursionError):
        raise Fails(f"this is not JSON: {text[:80]!r}") from None
    need(not re.search("[\ud800-\udfff]", json.dumps(value, ensure_ascii=False)), "a lone surrogate")
    return value


@check("frame/controls-round-trip")
def _(target: Target) -> None:
    _round_trips(target, "echo-controls")


@check("frame/unicode-round-trips")
def _(target: Target) -> None:
    _round_trips(target, "echo-unicode")


def _round_trips(target: Target, name: str) -> None:
    if not target.models.get("echo"):
        raise Skips("no model that repeats its prompt was named (--model-for echo=NAME)")
    chat = target.chat(name)
    _is_utf8(chat.exchange)
    wanted = document("server")["exchanges"][name]["body"]["messages"][0]["content"]
    need(chat.text() == wanted, f"the text came back as {chat.text()[:120]!a}, not {wanted!a}")


@check("frame/line-length")
def _(target: Target) -> None:
    longest = max(len(line) for block in target.chat("base").exchange.blocks for line in block.split(b"\n"))
    need(longest <= 2**20, f"a line has {longest} bytes")


@check("frame/space-after-colon")
def _(target: Target) -> None:
    lines = re.findall(rb"^data:.?", target.chat("base").exchange.body, re.MULTILINE)
    need(all(line == b"data: " for line in lines), "data has no space after its colon")


@check("frame/keep-alive-in-silence")
def _(target: Target) -> None:
    try:
        exchange = _slow(target)
    except Expired as silence:
        raise Fails(str(silence)) from None
    times = [0.0, *(seconds for seconds, _ in exchange.arrivals)]
    longest = max(later - earlier for earlier, later in itertools.pairwise(times))
    need(longest <= LONG_SILENCE, f"nothing came for {longest:.1f} s")
    if b"\n:" not in b"\n" + exchange.body.replace(b"\r", b"\n"):
        raise Skips(f"no comment came, but the silence lasted {longest:.1f} s only: too short to tell")


def _slow(target: Target) -> Exchange:
    if not target.models.get("slow"):
        raise Skips("no model that thinks for long was named (--model-for slow=NAME)")
    return target.chat("slow").exchange


@check("frame/head-before-first-token")
def _(target: Target) -> None:
    """While the model thinks, the head and perhaps comments must come: not only when the first token does."""
    if not target.models.get("slow"):
        raise Skips("no model that thinks for long was named (--model-for slow=NAME)")
    exchange = _slow(target)
    with Connection(target.address, 2 * LONG_SILENCE) as connection:
        connection.send(target.body("Say one", role="slow", max_tokens=1))
        look = Exchange(began=time.monotonic())
        while b"\r\n\r\n" not in connection.buffer and connection.more(look):
            pass
        whole(look)
        head = time.monotonic() - look.began
        while not re.search(rb'"content": ?"[^"]', connection.buffer):
            if not connection.more(look) or time.monotonic() - look.began > 2 * LONG_SILENCE:
                break
        token = time.monotonic() - look.began
    if token < 0.2:
        raise Skips(f"the first token comes after {token:.2f} s: too fast to tell")
    need(head < token / 2, f"the head came after {head:.2f} s, the first token after {token:.2f} s")
    need(exchange.status == 200, "the stream did not come")


# ---- Chunks ----------------------------------------------------------------------------------------------------------


def _all_same(chat: Chat, name: str, kind: type) -> None:
    values = [chunk.get(name) for chunk in chat.chunks]
    wrong = next((value for value in values if not isinstance(value, kind) or isinstance(value, bool)), None)
    need(all(isinstance(v, kind) and not isinstance(v, bool) for v in values), f"the {name} of a chunk is {wrong!r}")
    need(len(set(values)) == 1, f"the {name} changes: {sorted(map(str, set(values)))[:3]}")


@check("chunk/object")
def _(target: Target) -> None:
    for chunk in target.chat("base").chunks:
        need(chunk.get("object") == "chat.completion.chunk", f"the object of a chunk is {chunk.get('object')!r}")


@check("chunk/same-id")
def _(target: Target) -> None:
    chat = target.chat("base")
    _all_same(chat, "id", str)
    need(chat.chunks[0]["id"], "the id is empty")


@check("chunk/ids-differ")
def _(target: Target) -> None:
    one, other = (target.chat(name).chunks[0].get("id") for name in ("base", "again"))
    need(one != other, f"two streams have the id {one!r}")


@check("chunk/created")
def _(target: Target) -> None:
    _all_same(target.chat("base"), "created", int)


@check("chunk/created-now")
def _(target: Target) -> None:
    created = target.chat("base").chunks[0].get("created")
    need(isinstance(created, int) and abs(created - time.time()) < 86400, f"created is {created!r}")


@check("chunk/model")
def _(target: Target) -> None:
    chat = target.chat("base")
    _all_same(chat, "model", str)
    need(chat.chunks[0]["model"], "the model is empty")


@check("chunk/choices")
def _(target: Target) -> None:
    for chunk in target.chat("base").chunks:
        choices = chunk.get("choices")
        need(isinstance(choices, list) and all(isinstance(c, dict) for c in choices), f"choices is {choices!r:.80}")


@check("chunk/index")
def _(target: Target) -> None:
    for choice in target.chat("base").choices:
        index = choice.get("index")
        need(isinstance(index, int) and not isinstance(index, bool), f"the index of a choice is {index!r}")
        need(index == 0, f"the index of the only choice is {index}")


@check("chunk/delta")
def _(target: Target) -> None:
    for choice in target.chat("base").choices:
        need(isinstance(choice.get("delta"), dict), f"the delta of a choice is {choice.get('delta')!r}")


@check("chunk/role-first")
def _(target: Target) -> None:
    first = next(target.chat("base").choices, None)
    need(first and _delta(first).get("role") == "assistant", "the first chunk has no role")


@check("chunk/role-value")
def _(target: Target) -> None:
    for choice in target.chat("base").choices:
        role = _delta(choice).get("role")
        need(role in (None, "assistant"), f"a role is {role!r}")


@check("chunk/finish-null-before")
def _(target: Target) -> None:
    for choice in target.chat("base").choices:
        need("finish_reason" in choice, "a choice has no finish_reason")
        need(choice["finish_reason"] != "", "a finish_reason is empty")


@check("chunk/finish-once")
def _(target: Target) -> None:
    finish = target.chat("base").finish()
    need(len(finish) == 1, f"finish reasons: {finish}" if finish else "no finish reason came")


@check("chunk/finish-value")
def _(target: Target) -> None:
    for reason in target.chat("base").finish():
        need(reason in FINISH_REASONS, f"the finish reason is {reason!r}")


@check("chunk/no-content-after-finish")
def _(target: Target) -> None:
    ended = False
    for choice in target.chat("base").of(0):
        need(not (ended and _delta(choice).get("content")), "content came after the finish reason")
        ended = ended or choice.get("finish_reason") is not None


@check("chunk/content-type")
def _(target: Target) -> None:
    for choice in target.chat("base").choices:
        content = _delta(choice).get("content")
        need(content is None or isinstance(content, str), f"a content is {content!r:.80}")


def _repeatable(target: Target) -> Chat:
    one, other = target.chat("seeded"), target.chat("seeded-again")
    if one.text() != other.text():
        raise Skips("the model gives another text each time, also with a seed and temperature 0")
    return one


@check("chunk/equals-whole")
def _(target: Target) -> None:
    streamed = _repeatable(target).text()
    choices = _whole(target, "seeded-whole").get("choices")
    try:
        text = choices[0]["message"]["content"]  # type: ignore[index]
    except (TypeError, KeyError, IndexError):
        raise Fails("the whole answer has no choices[0].message.content") from None
    need(streamed == text, f"the deltas are {streamed[:60]!r}, the whole answer {str(text)[:60]!r}")


@check("chunk/several-deltas")
def _(target: Target) -> None:
    chat = target.chat("base")
    texts = [content for choice in chat.of(0) if (content := _delta(choice).get("content"))]
    if len(chat.text()) < 20:
        raise Skips(f"the answer is short: {chat.text()!r}")
    need(len(texts) >= 2, f"all {len(chat.text())} characters came in one delta")


@check("chunk/no-error-member")
def _(target: Target) -> None:
    for chunk in target.chat("base").chunks:
        need("error" not in chunk, f"a chunk has an error member: {chunk['error']!r}" if "error" in chunk else "")


@check("chunk/n")
def _(target: Target) -> None:
    exchange = target.get("n")
    if exchange.status in (400, 422, 501):
        raise Skips(f"the server does not take n=2: {_message(exchange.body)}")
    chat = Chat(exchange)
    indexes = {choice.get("index") for choice in chat.choices}
    need(indexes == {0, 1}, f"the indexes are {sorted(map(str, indexes))}")
    for index in (0, 1):
        need(len(chat.finish(index)) == 1, f"the finish reasons of choice {index} are {chat.finish(index)}")


@check("chunk/max-tokens")
def _(target: Target) -> None:
    _one_token(target.chat("one-token"))


def _one_token(chat: Chat) -> None:
    need(chat.finish() == ["length"], f"the finish reasons are {chat.finish()}")
    for chunk in chat.usages:
        tokens = chunk["usage"].get("completion_tokens") if isinstance(chunk["usage"], dict) else None
        need(isinstance(tokens, int) and tokens <= 1, f"completion_tokens is {tokens!r}")


@check("chunk/max-completion-tokens")
def _(target: Target) -> None:
    exchange = target.get("one-completion-token")
    _one_token(Chat(exchange))


def _with_stop(target: Target, stop: str) -> Chat:
    spec = json.loads(json.dumps(document("server")["exchanges"]["seeded"]))
    spec["body"]["stop"] = [stop]
    with target.connect() as connection:
        connection.send(target.request(spec))
        return Chat(whole(connection.answer()))


@check("chunk/stop")
def _(target: Target) -> None:
    """The stop string is taken from the text itself, across the border of two deltas in its middle."""
    chat = _repeatable(target)
    texts = [content for choice in chat.of(0) if isinstance(content := _delta(choice).get("content"), str) and content]
    whole_text = chat.text()
    if len(texts) < 6:
        raise Skips("the answer has too few deltas")
    border = len("".join(texts[: len(texts) // 2]))
    stop = whole_text[border - 3 : border + 4]
    wanted = whole_text[: whole_text.index(stop)]
    got = _with_stop(target, stop)
    if not (whole_text.startswith(got.text()) or got.text().startswith(wanted)):
        raise Skips("the text depends on the stop string")
    need(
        got.text() == wanted,
        f"with the stop string {stop!r} the text ends in {got.text()[-20:]!r}, not {wanted[-20:]!r}",
    )
    need(got.finish() == ["stop"], f"the finish reasons are {got.finish()}")


@check("chunk/stop-null")
def _(target: Target) -> None:
    for name in ("stop-null", "stop-empty"):
        exchange = target.get(name)
        need(exchange.status == 200, f"{name}: status {exchange.status}: {_message(exchange.body)}")


@check("chunk/stop-unmatched")
def _(target: Target) -> None:
    chat = _repeatable(target)
    text = chat.text()
    if len(text) < 8:
        raise Skips("the answer is too short")
    got = _with_stop(target, text[-4:] + "\u2603ZZZ").text()
    if not text.startswith(got):
        raise Skips("the text depends on the stop string")
    need(got == text, f"the text ends in {got[-20:]!r}, not {text[-20:]!r}")


@check("chunk/logprobs")
def _(target: Target) -> None:
    exchange = target.get("logprobs")
    if exchange.status in (400, 422, 501):
        raise Skips(f"the server does not take logprobs: {_message(exchange.body)}")
    entries = []
    for choice in Chat(exchange).choices:
        logprobs = choice.get("logprobs")
        content = logprobs.get("content") if isinstance(logprobs, dict) else None
        entries += content if isinstance(content, list) else []
    need(entries, "no log probabilities came")
    for entry in entries:
        need(isinstance(entry, dict) and isinstance(entry.get("token"), str), f"an entry is {entry!r:.80}")
        number = entry.get("logprob")
        need(isinstance(number, int | float) and math.isfinite(number) and number <= 0, f"a logprob is {number!r}")
        need(entry.get("bytes") is None or isinstance(entry["bytes"], list), f"bytes is {entry.get('bytes')!r:.80}")
        need(isinstance(entry.get("top_logprobs"), list), "top_logprobs is missing")


@check("chunk/no-logprobs")
def _(target: Target) -> None:
    for choice in target.chat("base").choices:
        need(choice.get("logprobs") is None, "log probabilities came unasked")


@check("chunk/seed")
def _(target: Target) -> None:
    one, other = (target.chat(name).text() for name in ("seeded", "seeded-again"))
    need(one == other, f"the texts part after {len(commonpath([one, other]))} characters")


@check("chunk/unknown-fields")
def _(target: Target) -> None:
    exchange = target.get("unknown-fields")
    need(exchange.status == 200, f"the status is {exchange.status}: {_message(exchange.body)}")


@check("chunk/fingerprint")
def _(target: Target) -> None:
    for chunk in target.chat("base").chunks:
        for name in ("system_fingerprint", "service_tier"):
            need(chunk.get(name) is None or isinstance(chunk[name], str), f"the {name} is {chunk.get(name)!r}")


@check("chunk/no-obfuscation")
def _(target: Target) -> None:
    for chunk in target.chat("no-obfuscation").chunks:
        need("obfuscation" not in chunk, "obfuscation came")


# ---- Usage -----------------------------------------------------------------------------------------------------------


@check("usage/not-unasked")
def _(target: Target) -> None:
    chat = target.chat("base")
    need(not chat.usages, "a usage came unasked")
    need(all(chunk.get("choices") for chunk in chat.chunks), "a chunk has no choices")


def _usage(target: Target, name: str) -> dict[str, Any]:
    chat = target.chat(name)
    need(chat.usages, "no usage came")
    usage = chat.usages[-1]["usage"]
    need(isinstance(usage, dict), f"the usage is {usage!r}")
    return dict(usage)


@check("usage/one-chunk")
def _(target: Target) -> None:
    chat = target.chat("usage")
    _usage(target, "usage")
    last = chat.chunks[-1]
    need(last.get("usage") is not None, "the usage is not in the last chunk")
    need(last.get("choices") == [], f"the choices of the usage chunk are {last.get('choices')!r:.80}")
    need(
        all(event.data != "[DONE]" for event in chat.exchange.events[: len(chat.chunks)]),
        "the usage comes after the end",
    )


@check("usage/null-before")
def _(target: Target) -> None:
    chat = target.chat("usage")
    need(len(chat.usages) <= 1, f"{len(chat.usages)} chunks have a usage")


@check("usage/sum")
def _(target: Target) -> None:
    usage = _usage(target, "usage")
    numbers = [usage.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    need(
        all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers), f"the usage is {usage!r:.120}"
    )
    prompt, completion, total = (number or 0 for number in numbers)
    need(prompt + completion == total, f"{prompt} + {completion} is not {total}")
    need(completion > 0 and prompt > 0, f"the usage is {usage!r:.120}")


@check("usage/equals-whole")
def _(target: Target) -> None:
    _repeatable(target)
    streamed = _usage(target, "usage-seeded")
    unstreamed = _whole(target, "whole-usage").get("usage")
    names = ("prompt_tokens", "completion_tokens")
    got, want = ([u.get(n) for n in names] for u in (streamed, unstreamed if isinstance(unstreamed, dict) else {}))
    need(got == want, f"streamed {got}, whole {want}")


@check("usage/with-tools")
def _(target: Target) -> None:
    _tool(target)
    _usage(target, "tool")


# ---- Tool calls ------------------------------------------------------------------------------------------------------


def _tool(target: Target, name: str = "tool") -> Chat:
    exchange = target.get(name)
    if exchange.status in (400, 404, 422, 501):
        raise Skips(f"the server does not take tools: {_message(exchange.body)}")
    chat = Chat(exchange)
    _ = chat.fragments
    return chat


def _calls(chat: Chat) -> dict[Any, list[dict[str, Any]]]:
    """The fragments of each call."""
    calls: dict[Any, list[dict[str, Any]]] = {}
    for fragment in chat.fragments:
        need(isinstance(fragment, dict), f"a fragment is {fragment!r:.80}")
        calls.setdefault(fragment.get("index"), []).append(fragment)
    return calls


def _function(fragment: Mapping[str, Any]) -> dict[str, Any]:
    function = fragment.get("function")
    return function if isinstance(function, dict) else {}


@check("call/index")
def _(target: Target) -> None:
    for fragment in _tool(target).fragments:
        index = fragment.get("index") if isinstance(fragment, dict) else None
        need(isinstance(index, int) and not isinstance(index, bool), f"the index of a fragment is {index!r}")


@check("call/index-dense")
def _(target: Target) -> None:
    for name in ("tool", "two-tools"):
        with contextlib.suppress(*((Skips,) if name == "two-tools" else ())):
            indexes = list(dict.fromkeys(fragment.get("index") for fragment in _tool(target, name).fragments))
            need(indexes == list(range(len(indexes))), f"the indexes are {indexes}")


@check("call/first-fragment")
def _(target: Target) -> None:
    ids = []
    for fragments in _calls(_tool(target)).values():
        first = fragments[0]
        need(isinstance(first.get("id"), str) and first["id"], f"the id of a call is {first.get('id')!r}")
        ids.append(first["id"])
        need(first.get("type") == "function", f"the type of a call is {first.get('type')!r}")
        name = _function(first).get("name")
        need(name in ("get_weather", "get_time"), f"the name of a call is {name!r}")
    need(len(ids) == len(set(ids)), f"two calls have the id {ids[0]!r}")


@check("call/later-fragments")
def _(target: Target) -> None:
    for fragments in _calls(_tool(target)).values():
        for fragment in fragments[1:]:
            need(not fragment.get("id"), f"a later fragment has the id {fragment.get('id')!r}")
            name = _function(fragment).get("name")
            need(not name, f"a later fragment has the name {name!r}")


@check("call/function-object")
def _(target: Target) -> None:
    for fragment in _tool(target).fragments:
        need(isinstance(fragment.get("function"), dict), f"the function of a fragment is {fragment.get('function')!r}")
        arguments = fragment["function"].get("arguments")
        need(isinstance(arguments, str), f"the arguments of a fragment are {arguments!r:.80}")


def _arguments(fragments: Sequence[Mapping[str, Any]]) -> Any:
    parts = [_function(fragment).get("arguments") for fragment in fragments]
    text = "".join(part for part in parts if isinstance(part, str))
    try:
        value = json.loads(text)
    except ValueError:
        raise Fails(f"the arguments are not JSON: {text[:80]!r}") from None
    need(isinstance(value, dict), f"the arguments are no JSON object: {text[:80]!r}")
    return value


@check("call/arguments")
def _(target: Target) -> None:
    for fragments in _calls(_tool(target)).values():
        _arguments(fragments)


@check("call/finish-reason")
def _(target: Target) -> None:
    finish = _tool(target).finish()
    need(finish in (["tool_calls"], ["stop"]), f"the finish reasons are {finish}")


@check("call/parallel")
def _(target: Target) -> None:
    calls = _calls(_tool(target, "two-tools"))
    names = [_function(fragments[0]).get("name") for fragments in calls.values()]
    for fragments in calls.values():
        _arguments(fragments)
        need(len({f["id"] for f in fragments if f.get("id")}) <= 1, "two calls have the same index")
    if len(calls) < 2:
        raise Skips("the model made one call, not two")
    need(len(set(names)) == len(names), f"the names are {names}")
    finish = target.chat("two-tools").finish()
    need(finish == ["tool_calls"], f"the finish reasons are {finish}")


@check("call/result")
def _(target: Target) -> None:
    exchange = target.get("tool-result")
    if exchange.status in (400, 422) and target.get("tool").status != 200:
        raise Skips("the server does not take tools")
    chat = Chat(exchange)
    need(len(chat.finish()) == 1, f"the finish reasons are {chat.finish()}")


@check("call/none")
def _(target: Target) -> None:
    exchange = target.get("tool-none")
    if exchange.status in (400, 422):
        raise Skips("the server does not take tools")
    try:
        fragments = Chat(exchange).fragments
    except Skips:
        return
    raise Fails(f"a call was made: {fragments[0]!r:.80}")


@check("call/fragments")
def _(target: Target) -> None:
    for fragments in _calls(_tool(target)).values():
        parts = [part for fragment in fragments if (part := _function(fragment).get("arguments"))]
        if len("".join(map(str, parts))) < 20:
            raise Skips("the arguments are short")
        need(len(parts) >= 2, "all of the arguments came in one fragment")


# ---- Errors ----------------------------------------------------------------------------------------------------------


def _refused(target: Target, name: str, statuses: Sequence[int]) -> dict[str, Any]:
    exchange = target.get(name)
    allowed = " or ".join(map(str, statuses))
    need(exchange.status in statuses, f"{name}: the status is {exchange.status or exchange.problem}, not {allowed}")
    need(exchange.kind == "application/json", f"{name}: the Content-Type is {exchange.header('content-type')!r}")
    need(exchange.ended, f"{name}: {exchange.problem}")
    error = _json(exchange.body, name).get("error")
    if not isinstance(error, dict):
        raise Fails(f"{name}: the error is no object: {exchange.body[:80]!r}")
    return error


@check("fault/bad-json")
def _(target: Target) -> None:
    _refused(target, "bad-json", (400, 422))


@check("fault/messages")
def _(target: Target) -> None:
    for name in ("no-messages", "empty-messages", "wrong-messages"):
        error = _refused(target, name, (400, 422))
        named = f"{error.get('param')} {error.get('message')}"
        need("message" in named.lower(), f"{name}: the error does not name messages: {named!r:.80}")


@check("fault/unknown-model")
def _(target: Target) -> None:
    error = _refused(target, "unknown-model", (404, 400))
    need(error.get("code") == "model_not_found", f"the code is {error.get('code')!r}")


@check("fault/key")
def _(target: Target) -> None:
    if not target.key:
        raise Skips("no key was given (--api-key-env)")
    for name in ("wrong-key", "no-key"):
        _refused(target, name, (401,))


@check("fault/overload")
def _(target: Target) -> None:
    exchange = next((e for e in target.sent.values() if e.status == 429), None) or target.get("overload")
    need(exchange.status == 429, f"the status is {exchange.status}")
    need(exchange.header("retry-after") or exchange.header("retry-after-ms"), "there is no Retry-After")
    need(exchange.kind == "application/json", f"the Content-Type is {exchange.header('content-type')!r}")


@check("fault/before-the-stream")
def _(target: Target) -> None:
    exchange = target.get("bad-json-stream")
    need(exchange.status >= 400, f"the status is {exchange.status or exchange.problem}")
    need(exchange.kind == "application/json", f"the Content-Type is {exchange.header('content-type')!r}")


@check("fault/error-object")
def _(target: Target) -> None:
    for name in ("bad-json", "no-messages"):
        error = _refused(target, name, (400, 422))
        for member in ("message", "type"):
            need(isinstance(error.get(member), str) and error[member], f"{name}: the {member} is {error.get(member)!r}")
        for member in ("param", "code"):
            need(member in error, f"{name}: the {member} is missing")


@check("fault/odd-bodies")
def _(target: Target) -> None:
    for name in ("no-body", "wrong-type", "oversized"):
        exchange = target.get(name)
        need(400 <= exchange.status < 500, f"{name}: the status is {exchange.status or exchange.problem}")


def _failed(target: Target) -> Chat:
    return target.chat("error")


def _error_at(chat: Chat) -> int:
    for number, chunk in enumerate(chat.chunks):
        if chunk.get("error"):
            return number
    raise Fails("no error came in the stream")


@check("fault/in-stream")
def _(target: Target) -> None:
    chat = _failed(target)
    error = chat.chunks[_error_at(chat)]["error"]
    message = error.get("message") if isinstance(error, dict) else None
    need(isinstance(message, str) and message, f"the error is {error!r:.80}")
    need(sum(bool(chunk.get("error")) for chunk in chat.chunks) == 1, "the error came several times")


@check("fault/nothing-after-error")
def _(target: Target) -> None:
    chat = _failed(target)
    at = _error_at(chat)
    after = [choice for chunk in chat.chunks[at + 1 :] for choice in chunk.get("choices") or []]
    need(not after, f"after the error came {after[0]!r:.80}" if after else "")
    need(not any(c.get("finish_reason") in FINISH_REASONS for c in chat.of(0)), "a finish reason came, too")


@check("fault/end-after-error")
def _(target: Target) -> None:
    chat = _failed(target)
    _error_at(chat)
    need(chat.exchange.ended, chat.exchange.problem or "the body was cut")


@check("fault/crash")
def _(target: Target) -> None:
    exchange = target.get("crash")
    if exchange.status >= 500:
        return
    need(exchange.framing != "chunked" or not exchange.ended, "the body was ended as if the answer were whole")
    need(b"[DONE]" not in exchange.body, "the end mark came as if the answer were whole")


# ---- Life ------------------------------------------------------------------------------------------------------------


def _journal(target: Target) -> list[dict[str, Any]]:
    if not target.journal:
        raise Skips("what the server generates cannot be seen from outside (--journal URL)")
    key = {"Authorization": f"Bearer {target.key}"} if target.key else {}
    with urllib.request.urlopen(urllib.request.Request(target.journal, headers=key), timeout=10) as answer:
        return list(json.load(answer))


def _await_end(target: Target, known: int) -> dict[str, Any]:
    """The journal's record of the stream after the first ``known``, once it has ended."""
    end = time.monotonic() + target.silence
    while True:
        records = [record for record in _journal(target)[known:] if record.get("stream")]
        if records and records[-1].get("outcome") not in (None, "open", "streaming"):
            return records[-1]
        if time.monotonic() > end:
            raise Fails(f"the journal does not tell, after {target.silence:g} s, that it ended", expired=True)
        time.sleep(0.05)


@check("life/leave")
def _(target: Target) -> None:
    known = len(_journal(target))
    with target.connect() as connection:
        connection.send(target.body("Tell me a long story about a lighthouse."))
        exchange = whole(connection.answer(stop_after=4))
        need(exchange.status == 200, f"the status is {exchange.status or exchange.problem}")
    record = _await_end(target, known)
    need(
        record.get("outcome") == "client_left",
        f"the journal says {record.get('outcome')!r} after {record.get('tokens')} tokens",
    )


@check("life/leave-in-silence")
def _(target: Target) -> None:
    if not target.models.get("slow"):
        raise Skips("no model that thinks for long was named (--model-for slow=NAME)")
    known = len(_journal(target))
    with target.connect() as connection:
        connection.send(target.body("Say one", role="slow", max_tokens=4))
        look = Exchange(began=time.monotonic())
        while b"\r\n\r\n" not in connection.buffer and connection.more(look):
            pass
        whole(look)
    record = _await_end(target, known)
    need(record.get("outcome") == "client_left", f"the journal says {record.get('outcome')!r}")


def _held(pid: int) -> tuple[int, int] | None:
    """Threads and open files of a process, where the system tells."""
    try:
        return len(os.listdir(f"/proc/{pid}/task")), len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None


@check("life/hundred-leave")
def _(target: Target) -> None:
    before = _held(target.pid) if target.pid else None
    for number in range(100):
        with target.connect(before=number) as connection:
            connection.send(target.body(f"Tell me a long story, number {number}.", max_tokens=32))
            if number % 2:
                whole(connection.answer(stop_after=1))
    end = time.monotonic() + target.silence
    while before and (after := _held(target.pid or 0)) and time.monotonic() < end:
        if all(now <= then + 5 for now, then in zip(after, before, strict=True)):
            break
        time.sleep(0.1)
    else:
        if before:
            raise Fails(f"threads and files were {before}, and are {_held(target.pid or 0)}", expired=True)
    with target.connect(before=100) as connection:
        connection.send(target.body("Say one", max_tokens=4))
        exchange = whole(connection.answer())
    need(exchange.status == 200, f"after that the status is {exchange.status or exchange.problem}")


@check("life/half-close")
def _(target: Target) -> None:
    with target.connect() as connection:
        connection.send(target.body("Say one", max_tokens=4))
        with contextlib.suppress(OSError):
            connection.socket.shutdown(socket.SHUT_WR)
        exchange = connection.answer()
    if exchange.expired:
        raise Fails(f"neither an answer nor an end: {exchange.expired}", expired=True)


@check("life/slow-reader")
def _(target: Target) -> None:
    text = "word " * 20_000
    with target.connect(receive_buffer=4096) as slow:
        slow.send(target.body(text, role="echo"))
        seen = 0
        with contextlib.suppress(OSError):  # nothing is read of it; looked at until no more fits between the two
            while (waiting := len(slow.socket.recv(65536, socket.MSG_PEEK))) > seen:
                seen = waiting
                time.sleep(0.1)
        with target.connect() as other:
            other.send(target.body("Say one", max_tokens=4))
            exchange = other.answer()
    if exchange.expired and _answers_in_turn(target):
        raise Skips("the server answers one request after the other: that the second waits is its way")
    if exchange.expired:
        raise Fails(f"the other stream: {exchange.expired}", expired=True)
    need(exchange.status == 200 and exchange.ended, f"the other stream: {exchange.problem or exchange.status}")


def _answers_in_turn(target: Target) -> bool:
    """Of two streams asked for at once, the server begins the second when the first has ended."""
    with target.connect(before=2) as one, target.connect(before=2) as other:
        for connection in (one, other):
            connection.send(target.body("Say hello", max_tokens=48))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            first, second = pool.map(Connection.answer, (one, other))
    if first.expired or second.expired:
        return False
    spans = sorted((e.began + e.at(0), e.began + e.end_s) for e in (first, second))
    return spans[1][0] >= spans[0][1]


@check("life/fifty-at-once")
def _(target: Target) -> None:
    """All requests are on their way before any answer is read, and no answer is short."""
    texts = [f"Say the number {number * 7919}{' and go on' * 10}" for number in range(50)]
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(target.connect(before=50)) for _ in texts]
        for connection, text in zip(connections, texts, strict=True):
            connection.send(target.body(text, role="echo", max_tokens=48))
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            exchanges = [whole(exchange) for exchange in pool.map(Connection.answer, connections)]
    busy = [exchange for exchange in exchanges if exchange.status == 429]
    target.sent.update({f"busy-{number}": exchange for number, exchange in enumerate(busy)})
    chats = [(text, Chat(exchange)) for text, exchange in zip(texts, exchanges, strict=True) if exchange.status != 429]
    need(chats, "every stream was refused")
    if not target.models.get("echo"):
        raise Skips("no model that repeats its prompt was named (--model-for echo=NAME), so no text tells its request")
    for text, chat in chats:
        need(text.startswith(chat.text()), f"to {text[:30]!r} a stream answers {chat.text()[:60]!r}")


@check("life/pipelined")
def _(target: Target) -> None:
    with target.connect() as connection:
        connection.send(target.body("Say one", max_tokens=4) + target.body("Say two", max_tokens=4))
        first = whole(connection.answer())
        need(first.status == 200, f"the first answer: {first.problem or first.status}")
        second = connection.answer()
    if second.expired:
        raise Fails(f"the second answer: {second.expired}", expired=True)
    answered = second.status == 200
    need(answered or second.closed, f"the second answer: {second.problem or second.status}")


# ---- Models, and the older endpoint ----------------------------------------------------------------------------------


@check("models/list")
def _(target: Target) -> None:
    exchange = target.get("models")
    need(exchange.status == 200, f"the status is {exchange.status or exchange.problem}")
    value = _json(exchange.body, "models")
    entries = value.get("data")
    need(value.get("object") == "list" and isinstance(entries, list), f"the list is {exchange.body[:80]!r}")
    ids = [entry.get("id") for entry in entries or [] if isinstance(entry, dict)]
    need(target.models[""] in ids, f"{target.models['']!r} is not among {ids[:8]}")


@check("models/one")
def _(target: Target) -> None:
    found, missing = target.get("model"), target.get("model-unknown")
    need(found.status == 200, f"the status is {found.status or found.problem}")
    need(_json(found.body, "model").get("id") == target.models[""], f"the model is {found.body[:80]!r}")
    need(missing.status == 404, f"for an unknown model the status is {missing.status}")


@check("models/completions")
def _(target: Target) -> None:
    exchange = target.get("completions")
    if exchange.status in (404, 405, 501):
        raise Skips(f"the server has no such endpoint: status {exchange.status}")
    chat = Chat(exchange)
    for chunk in chat.chunks:
        need(chunk.get("object") == "text_completion", f"the object of a chunk is {chunk.get('object')!r}")
    need(any(isinstance(choice.get("text"), str) for choice in chat.choices), "no choice has a text")
    need(exchange.events[-1].data == "[DONE]", "the end mark is missing")


# ---- Plain event sources ---------------------------------------------------------------------------------------------


def _source(target: Target, name: str = "get") -> Exchange:
    exchange = target.get(name)
    need(exchange.status == 200, f"the status is {exchange.status or exchange.problem}")
    return exchange


def _lines(exchange: Exchange) -> list[bytes]:
    return [line for block in exchange.blocks for line in block.split(b"\n") if line]


@check("events/status")
def _(target: Target) -> None:
    need(
        target.get("get").status in (200, 204), f"the status is {target.get('get').status or target.get('get').problem}"
    )


@check("events/content-type")
def _(target: Target) -> None:
    _is_stream(_source(target))


@check("events/utf8")
def _(target: Target) -> None:
    _is_utf8(_source(target))


@check("events/fields")
def _(target: Target) -> None:
    known = {b"", b"data", b"event", b"id", b"retry"}
    for line in _lines(_source(target)):
        need(line.partition(b":")[0] in known, f"a line is {line[:60]!r}")


@check("events/lower-case")
def _(target: Target) -> None:
    known = {b"data", b"event", b"id", b"retry"}
    for line in _lines(_source(target)):
        name = line.partition(b":")[0]
        need(name in known or name.strip().lower() not in known, f"a field is named {name!r}")


@check("events/retry-digits")
def _(target: Target) -> None:
    for line in _lines(_source(target)):
        name, _, value = line.partition(b":")
        need(name != b"retry" or value.removeprefix(b" ").isdigit(), f"a reconnection time is {value!r}")


@check("events/no-nul-in-id")
def _(target: Target) -> None:
    for line in _lines(_source(target)):
        need(not (line.startswith(b"id:") and b"\0" in line), f"an id is {line!r}")


@check("events/id-survives-header")
def _(target: Target) -> None:
    for event in _source(target).events:
        need(event.id == event.id.strip(), f"an id is {event.id!r}")


@check("events/block-without-data")
def _(target: Target) -> None:
    for block in _source(target).blocks:
        names = {line.partition(b":")[0] for line in block.split(b"\n")}
        need(b"event" not in names or b"data" in names, f"a block is {block[:80]!r}")


@check("events/ends-with-blank-line")
def _(target: Target) -> None:
    exchange = _source(target)
    if not exchange.ended:
        raise Skips("the stream did not end")
    _ends_with_blank_line(exchange)


@check("events/framing")
def _(target: Target) -> None:
    exchange = _source(target)
    need(exchange.framing in ("chunked", "close"), "the stream has a Content-Length")


@check("events/last-chunk")
def _(target: Target) -> None:
    exchange = _source(target)
    if exchange.stopped:
        raise Skips("the stream did not end")
    need(exchange.framing != "chunked" or exchange.ended, exchange.problem or "the last chunk is missing")


@check("events/http-1.0")
def _(target: Target) -> None:
    exchange = _source(target, "get-1.0")
    need(exchange.header("transfer-encoding") is None, f"Transfer-Encoding is {exchange.header('transfer-encoding')!r}")


@check("events/cache-control")
def _(target: Target) -> None:
    _not_cached(_source(target))


@check("events/cors")
def _(target: Target) -> None:
    said = target.get("get-origin").header("access-control-allow-origin")
    need(said in ("*", "http://page.example"), f"Access-Control-Allow-Origin is {said!r}")


def _with_last_event_id(target: Target, id: bytes) -> Exchange:
    spec = {"method": "GET", "path": "", "headers": {"Accept": "text/event-stream", "Last-Event-ID": "0x0"}}
    data = target.request(spec).replace(b"0x0", id)
    with target.connect() as connection:
        connection.send(data)
        # As for every event source: it may go on for ever.
        return whole(connection.answer(stop_after=50, seconds=target.silence))


@check("events/resume")
def _(target: Target) -> None:
    events = _source(target).events
    ids = list(dict.fromkeys(event.id for event in events if event.id))
    if len(ids) < 3:
        raise Skips("the stream has no ids to resume at")
    middle = ids[len(ids) // 2]
    with_id = _with_last_event_id(target, middle.encode())
    after = with_id.events
    wanted = events[max(at for at, event in enumerate(events) if event.id == middle) + 1]
    if not after and with_id.stopped:
        raise Expired(f"after {middle!r} nothing came")
    need(after, f"after {middle!r} nothing came")
    need(after[0].data == wanted.data, f"after {middle!r} came {after[0].data[:40]!r}, not {wanted.data[:40]!r}")


@check("events/unknown-id")
def _(target: Target) -> None:
    exchange = _with_last_event_id(target, b"no-such-id")
    need(exchange.status in (200, 204), f"the status is {exchange.status or exchange.problem}")


@check("events/no-5xx-on-odd-id")
def _(target: Target) -> None:
    exchange = _with_last_event_id(target, b"\xe2\x80\xa6\xff 99999999999999999999999")
    need(exchange.status and exchange.status < 500, f"the status is {exchange.status or exchange.problem}")


# ---- Our own ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def our_own(profile: str) -> Iterator[list[str]]:
    """Start the server of this package, and yield the arguments that judge it."""
    from sse_ref.model import MODELS
    from sse_ref.pieces import Prompt, TokenLogprob
    from sse_ref.server import running

    def breaking_down(prompt: Prompt, choice: int) -> Iterator[TokenLogprob]:
        for number, token in enumerate(MODELS["toy"](prompt, choice)):
            if number == 5:
                raise RuntimeError("on purpose: this is how a server that breaks down is judged")
            yield token

    if profile == "sse":
        with running() as server:
            yield [f"{server.url}/events?prompt=Tell+me+a+story&max_tokens=24"]
        return
    os.environ["SSE_REF_SELF_KEY"] = "judge"
    MODELS["self-crash"] = breaking_down
    with contextlib.ExitStack() as stack:
        stack.callback(MODELS.pop, "self-crash")
        server = stack.enter_context(running(tps=300, heartbeat=0.2, api_key="judge", max_streams=16))
        models = {"echo": "toy-echo", "slow": "toy-slow", "error": "toy-flaky", "crash": "self-crash"}
        given = ["--model", "toy", "--api-key-env", "SSE_REF_SELF_KEY", "--journal", f"{server.url}/journal"]
        for role, model in models.items():
            given += ["--model-for", f"{role}={model}"]
        yield [f"{server.url}/v1", *given, "--pid", str(os.getpid())]
