"""HTTP on a raw socket: every byte that a server sent, with nothing hidden and nothing repaired.

In:   a base URL and the bytes of a request.
Out:  an ``Exchange``: the head, the body with and without its framing, when each part came, and what was wrong with it.

A client library would undo chunks, follow redirects and overlook a missing end. Those are judged here.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import socket
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sse_ref.codec import ServerSentEvent, SSEDecoder
from sse_ref.conformance.programs import GLANCE
from sse_ref.conformance.verdicts import UsageError

__all__ = ["Address", "Exchange", "RawConnection", "request_bytes"]

MAX_BODY = 64 * 2**20  # bytes, whatever the framing
TOO_LARGE = f"the body is larger than {MAX_BODY} bytes"
MAX_HEAD = 2**20  # bytes, and of any line of the chunked coding


@dataclass(frozen=True)
class Address:
    """Where a server is, and the path that its base URL begins with."""

    scheme: str
    host: str
    port: int
    path: str
    query: str = ""

    @staticmethod
    def parse(url: str) -> Address:
        """Read a URL. Raises ``UsageError`` if it is none.

        >>> Address.parse("http://127.0.0.1:8000/v1")
        Address(scheme='http', host='127.0.0.1', port=8000, path='/v1', query='')
        """
        try:
            parts = urllib.parse.urlsplit(url)
            port = parts.port
        except ValueError:
            raise UsageError(f"{url!r} is not a URL") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise UsageError(f"the URL must be like http://127.0.0.1:8000/v1, not {url!r}")
        port = port or {"http": 80, "https": 443}[parts.scheme]
        return Address(parts.scheme, parts.hostname, port, parts.path, parts.query)

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"


def request_bytes(
    address: Address, method: str, path: str, headers: Mapping[str, str], body: bytes, *, version: str = "1.1"
) -> bytes:
    """The bytes of a request to ``path`` below the base URL; an empty path is the base URL itself, unchanged.

    A request with a body gets a Content-Length.
    """
    fields = {"Host": address.authority, **headers}
    if body and "Transfer-Encoding" not in fields:
        fields.setdefault("Content-Length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    where = address.path.rstrip("/") + path if path else address.path or "/"
    where += f"?{address.query}" if address.query else ""
    return f"{method} {where} HTTP/{version}\r\n{lines}\r\n".encode("latin-1") + body


@dataclass
class Exchange:
    """One response. ``problem`` says what was wrong with its HTTP; "" if nothing was.

    ``expired`` says which limit passed before the response was over. That is a problem, too, but may be the machine's.
    """

    status: int = 0
    version: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    head: bytes = b""
    body: bytes = b""
    framing: str = ""  # chunked, length, close, none
    ended: bool = False  # by its last chunk, its length, or where that is the framing by the end of the connection
    closed: bool = False  # the server has closed the connection
    problem: str = ""
    began: float = 0.0  # time.monotonic() when the request was sent
    arrivals: list[tuple[float, int]] = field(default_factory=list)  # seconds since, bytes of body until then
    end_s: float = 0.0  # seconds until the response was over
    stopped: bool = False  # we left before it was over
    expired: str = ""

    def header(self, name: str) -> str | None:
        """The value of a header, joined if it came several times."""
        values = [value for other, value in self.headers if other.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def kind(self) -> str:
        """The media type of the body, without parameters."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    @cached_property
    def events(self) -> list[ServerSentEvent]:
        """The events of the body, by our decoder."""
        return SSEDecoder().feed(self.body)

    @cached_property
    def values(self) -> list[Any]:
        """The JSON value of each event's data, None where it holds none."""
        found: list[Any] = [None] * len(self.events)
        for number, event in enumerate(self.events):
            with contextlib.suppress(ValueError, RecursionError):
                found[number] = json.loads(event.data)
        return found

    @cached_property
    def blocks(self) -> list[bytes]:
        """The body cut at its blank lines, with whatever line end; what is left at the end is the last block."""
        text = re.sub(rb"\r\n|\r", b"\n", self.body.removeprefix(b"\xef\xbb\xbf"))
        return text.split(b"\n\n")

    def at(self, offset: int) -> float:
        """Seconds until the byte of the body at ``offset`` came."""
        return next((seconds for seconds, size in self.arrivals if size > offset), self.end_s)


class RawConnection:
    """One connection to a server; ``timeout`` is for each silence, ``limit`` for a whole response, in seconds."""

    def __init__(
        self,
        address: Address,
        timeout: float,
        *,
        limit: float | None = None,
        receive_buffer: int = 0,
        kept: list[Exchange] | None = None,
    ) -> None:
        self.timeout = timeout
        self.kept = kept  # where each response is kept
        self.limit = limit or 6 * timeout
        self.last = math.inf  # when the response that is being read must be over, by time.monotonic()
        self.buffer = b""
        self.deadline: float | None = None
        self.reads = 0
        self._told = 0  # the read that the last arrival came with
        try:
            raw = socket.create_connection((address.host, address.port), timeout)
        except OSError as error:
            raise UsageError(f"nothing answers at {address.authority}: {error}") from None
        try:
            if receive_buffer:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            if address.scheme == "https":
                raw = ssl.create_default_context().wrap_socket(raw, server_hostname=address.host)
        except OSError as error:
            raw.close()
            raise UsageError(f"nothing answers at {address.authority}: {error}") from None
        self.socket = raw

    def __enter__(self) -> RawConnection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes. Bytes that a server does not take, because it has closed the connection, are dropped."""
        with contextlib.suppress(OSError):
            self.socket.sendall(data)

    def more(self, exchange: Exchange) -> bool:
        """Read what has come; False at the end of the connection, or when a limit has passed."""
        silent_since = time.monotonic()
        while True:
            now = time.monotonic()
            if self.deadline is not None and self.deadline <= now:
                exchange.stopped = True
                return False
            if self.last <= now:
                exchange.problem = exchange.expired = f"the response was not over after {self.limit:g} s"
                return False
            if silent_since + self.timeout <= now:
                exchange.expired = f"nothing came for {self.timeout:g} s"
                exchange.problem = exchange.problem or exchange.expired
                return False
            ends = (self.deadline or math.inf, self.last, silent_since + self.timeout, now + GLANCE)
            try:
                self.socket.settimeout(min(ends) - now)
                data = self.socket.recv(65536)
                self.reads += 1
                break
            except TimeoutError:
                continue
            except OSError:
                exchange.problem = exchange.problem or "the connection was reset"
                data = b""
                break
        exchange.closed = not data
        self.buffer += data
        return bool(data)

    def answer(
        self, *, bodiless: bool = False, stop_after: int | None = None, seconds: float | None = None
    ) -> Exchange:
        """Read one response, at most ``stop_after`` events of it, and for ``seconds`` at most."""
        exchange = Exchange(began=time.monotonic())
        self.deadline = None if seconds is None else exchange.began + seconds
        self.last = exchange.began + self.limit
        self._head(exchange)
        if exchange.status and not exchange.problem:
            self._body(exchange, bodiless=bodiless, stop_after=stop_after)
        exchange.end_s = time.monotonic() - exchange.began
        if self.kept is not None:
            self.kept.append(exchange)
        return exchange

    def _until(self, exchange: Exchange, mark: bytes) -> bytes | None:
        searched = 0
        while self.buffer.find(mark, max(0, searched - len(mark))) < 0:
            searched = len(self.buffer)
            if searched > MAX_HEAD:
                exchange.problem = f"a head or a line is longer than {MAX_HEAD} bytes"
                return None
            if not self.more(exchange):
                return None
        taken, _, self.buffer = self.buffer.partition(mark)
        return taken + mark

    def _head(self, exchange: Exchange) -> None:
        while True:
            raw = self._until(exchange, b"\r\n\r\n")
            if raw is None:
                exchange.problem = exchange.problem or "the connection ended without a response"
                return
            first, *lines = raw[:-4].decode("latin-1").split("\r\n")
            match = re.fullmatch(r"HTTP/(1\.[01]) ([0-9]{3})(?: .*)?", first)
            if not match:
                exchange.problem = f"the response begins with {first[:60]!r}"
                return
            status = int(match[2])
            if 100 <= status < 200 and len(exchange.interim) < 100:
                exchange.interim.append(status)
                continue
            exchange.version, exchange.status, exchange.head = match[1], status, raw
            for line in lines:
                name, colon, value = line.partition(":")
                if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                    exchange.problem = f"a header line is {line[:60]!r}"
                    return
                exchange.headers.append((name, value.strip(" \t")))
            return

    def _body(self, exchange: Exchange, *, bodiless: bool, stop_after: int | None) -> None:
        coding = (exchange.header("transfer-encoding") or "").lower()
        length = exchange.header("content-length")
        if bodiless or exchange.status in (204, 304):
            exchange.framing, exchange.ended = "none", True
        elif coding.split(",")[-1].strip(" \t") == "chunked":
            exchange.framing = "chunked"
            self._chunks(exchange, stop_after)
        elif length is not None:
            exchange.framing = "length"
            if not re.fullmatch("[0-9]+", length):
                exchange.problem = f"the Content-Length is {length!r}"
                return
            if len(length) > 12 or int(length) > MAX_BODY:
                exchange.problem = TOO_LARGE
                return
            while len(self.buffer) < int(length) and self.more(exchange):
                pass
            self._took(exchange, self.buffer[: int(length)])
            self.buffer = self.buffer[int(length) :]
            exchange.ended = len(exchange.body) == int(length)
        else:
            exchange.framing = "close"
            self._took(exchange, self.buffer)
            self.buffer = b""
            while not _enough(exchange, stop_after) and len(exchange.body) < MAX_BODY and self.more(exchange):
                self._took(exchange, self.buffer)
                self.buffer = b""
            if len(exchange.body) >= MAX_BODY:
                exchange.problem = TOO_LARGE
            exchange.ended = exchange.closed and not exchange.problem
        exchange.stopped = exchange.stopped or _enough(exchange, stop_after)
        if not exchange.ended and not exchange.problem and not exchange.stopped:
            exchange.problem = "the body was cut"

    def _chunks(self, exchange: Exchange, stop_after: int | None) -> None:
        while not _enough(exchange, stop_after):
            line = self._until(exchange, b"\r\n")
            if line is None:
                return
            match = re.fullmatch(rb"([0-9a-fA-F]+)[ \t]*(?:;[^\r\n]*)?\r\n", line)
            if not match:
                exchange.problem = f"a chunk size is {line[:40]!r}"
                return
            size = int(match[1], 16)
            if size == 0:
                trailers = 0
                while (trailer := self._until(exchange, b"\r\n")) not in (b"\r\n", None) and trailers < 1000:
                    trailers += 1
                exchange.ended = trailer == b"\r\n"
                return
            if len(exchange.body) + size > MAX_BODY:
                exchange.problem = TOO_LARGE
                return
            while len(self.buffer) < size + 2:
                if not self.more(exchange):
                    self._took(exchange, self.buffer[:size])
                    return
            if self.buffer[size : size + 2] != b"\r\n":
                exchange.problem = "a chunk is longer than its size"
                return
            self._took(exchange, self.buffer[:size])
            self.buffer = self.buffer[size + 2 :]

    def _took(self, exchange: Exchange, data: bytes) -> None:
        if not data:
            return
        exchange.body += data
        if self._told == self.reads and exchange.arrivals:  # several chunks of one read came at one time
            exchange.arrivals.pop()
        self._told = self.reads
        exchange.arrivals.append((time.monotonic() - exchange.began, len(exchange.body)))


def _enough(exchange: Exchange, stop_after: int | None) -> bool:
    return stop_after is not None and len(re.findall(rb"\n\r?\n|\r\r", exchange.body)) >= stop_after
