"""The server: the toy model behind HTTP, on ``http.server``.

In:   HTTP requests on a port.
Out:  event streams, JSON answers, one page; a journal of what was streamed and how each stream ended.

``http.server`` reads and parses each request in a thread of its own; what is to be streamed is then handed, with its open
socket, to the one loop of ``pacing.py``. HTTP follows RFC 9110 and RFC 9112; the bodies are the dialects' business.

    POST /v1/chat/completions    streamed or whole, and /v1/completions, by the dialect at that path
    GET  /v1/models[/ID]         the toy models
    GET  /events?prompt=TEXT     a plain event source: ids, a reconnection time, resume by Last-Event-ID
    GET  /journal                the last streams, as JSON
    GET  /                       the page, and /page/FILE what it is made of
    OPTIONS on any of them       CORS: pages of any origin may use the API, but not read the journal

How an answer is delivered may be asked for by address, so that every client in every language can do it: its pace, writes
that cut events apart, a fault (``Delivery``). Either in a path segment before the API's own path, which makes a base URL
for any SDK, ``/fault=cut&at=3/v1``; or in the query of a streaming path.

A stream is chunked (one chunk for each event, one send for each chunk) or, for HTTP/1.0, ended by closing. It never says
``Connection: close``: with it, several clients take a cut stream for a finished one. If the server itself breaks down in
the middle, the final chunk is left out, so that the client's HTTP layer shows the cut.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hmac
import importlib.resources
import io
import ipaddress
import itertools
import json
import logging
import math
import os
import random
import re
import secrets
import signal
import socket
import sys
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, TextIO

from sse_ref.chunked import LAST_CHUNK, ChunkedDecoder, chunk
from sse_ref.codec import ServerSentEvent, encode_comment, encode_event
from sse_ref.dialects import DEFAULT, DIALECTS, dialect_at
from sse_ref.dialects.interface import Dialect, HTTPRequest, Request
from sse_ref.dialects.strict_json import to_json
from sse_ref.errors import STATUSES, UNPRINTABLE, RequestError
from sse_ref.model import MODELS, generate
from sse_ref.pacing import Frame, Loop, Stream
from sse_ref.pieces import Message, ModelFailure, Piece, Prompt, Silence, Text
from sse_ref.schema import SchemaError

__all__ = ["Server", "Settings", "main", "running"]

log = logging.getLogger("sse_ref.server")

PAGE = {
    "/": "index.html",
    **{
        f"/page/{name}": name
        for name in ("style.css", "icon.svg", "page.mjs", "chat.mjs", "decoder.mjs", "partial.mjs", "wire.mjs")
    },
}
PAGE_TYPES = {"html": "text/html", "css": "text/css", "mjs": "text/javascript", "svg": "image/svg+xml"}
MAX_LINE = 65536  # bytes of a line of a head, as in http.server
MAX_HEADERS = 100
MAX_CHUNK_LINE = 1024  # bytes of a line of a chunked body: more than any chunk size needs
# RFC 9112: a single space in a request line, only SP and HTAB in a header line, and a folded line is no header line.
REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e\x80-\xff]+ HTTP/([0-9])\.[0-9]\r?\n")
HEADER_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r?\n")
CONTROL = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")  # never in a head
MAX_LOGPROBS = 20_000  # tokens of a whole answer that comes with their probabilities: each takes a kilobyte
SEND_BUFFER = 65536  # bytes the kernel keeps for a slow reader; its own choice, megabytes, would hide that it is slow


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server behaves. Times are in seconds, sizes in bytes.

    The pace: ``ttft`` to the first token, then ``tps`` tokens per second (0: as fast as possible), each early or late by
    up to half of ``jitter`` (0 to 1) of the time between two. ``heartbeat`` is the silence after which a comment is sent.
    """

    host: str = "127.0.0.1"
    port: int = 0
    ttft: float = 0.0
    tps: float = 0.0
    jitter: float = 0.0
    # Proxies and clients give a silent stream up after 50 s (HAProxy), 60 s (nginx, ALB) and more; the HTML standard's
    # authors advise a comment about every 15 s.
    heartbeat: float = 15.0
    api_key: str | None = None
    max_streams: int = 2048
    show_wire: bool = False
    # Chat requests are a few KiB; this leaves room for long conversations and to be told so, not for uploads.
    max_body: int = 4 * 2**20
    request_timeout: float = 10.0  # for all headers, and again for the body
    idle_timeout: float = 60.0  # between two requests on a connection
    stall_timeout: float = 30.0  # for a reader that takes no byte
    journal_size: int = 100
    # Names that a request may be for, beside those of this machine, while the server listens on loopback only.
    allow_hosts: tuple[str, ...] = ()


FAULTS = {
    "refuse": "an error before the stream: 429 and Retry-After",
    "error": "the model fails: an error inside the stream",
    "cut": "the connection is closed in the middle of an event, which HTTP can tell",
    "end": "the body ends before the answer does, which HTTP cannot tell",
    "stall": "nothing comes any more, no heartbeat either, and the connection stays open",
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one answer is delivered: what its query asks for, and the server's settings for the rest.

    ``ttft``, ``tps``, ``jitter`` and ``heartbeat`` as in ``Settings``. ``split``: at most so many bytes for each write of a
    stream, 0 for an event at once. ``fault``: a name in ``FAULTS``, after ``at`` tokens, "" for none.
    """

    ttft: float
    tps: float
    jitter: float
    heartbeat: float
    split: int = 0
    fault: str = ""
    at: int = 5

    @classmethod
    def read(cls, fields: Mapping[str, str], settings: Settings) -> Delivery:
        """Raises ``RequestError`` naming the field that is wrong."""
        fault = fields.get("fault", "")
        if "fault" in fields and fault not in FAULTS:
            raise RequestError("bad_request", f"fault must be one of {', '.join(FAULTS)}", param="fault")
        return cls(
            ttft=read_decimal(fields, "ttft", settings.ttft),
            tps=read_decimal(fields, "tps", settings.tps),
            jitter=read_decimal(fields, "jitter", settings.jitter, most=1),
            heartbeat=read_heartbeat(fields, settings.heartbeat),
            split=read_number(fields, "split", 0),
            fault=fault,
            at=read_number(fields, "at", 5),
        )

    def pieces(self, prompt: Prompt) -> Iterator[Piece]:
        """What the model says, or its failure where that is the fault."""
        tokens = 0
        for piece in generate(prompt):
            tokens += piece.tokens
            if self.fault == "error" and tokens > self.at:
                raise ModelFailure("the model broke down, as the request asked for")
            yield piece

    def breaks_off(self, tokens: int) -> bool:
        """Whether the event that brings the stream to so many tokens is not sent any more."""
        return self.fault in ("cut", "end", "stall") and tokens > self.at

    def break_off(self, frame: Frame, ending: bytes) -> Iterator[Frame]:
        """The fault, in place of this frame; raises ``Cut`` where the connection must go.

        ``frame`` holds the event that is due, with the counts of those before it; ``ending`` what ends the body before its
        time, b"" where closing does.
        """
        if self.fault == "stall":
            yield frame._replace(due=math.inf)
        elif self.fault == "cut":
            yield frame._replace(payload=frame.payload[: len(frame.payload) // 2])
        else:
            yield frame._replace(payload=ending)
        raise Cut


DELIVERY = tuple(field.name for field in dataclasses.fields(Delivery))


class Cut(Exception):
    """The request asked for a connection that breaks."""


# ---- The server ------------------------------------------------------------------------------------------------------


class Server(HTTPServer):
    """A server on its port; ``serve_forever`` in one thread, ``shutdown`` from any other.

    Raises ``OSError`` if the port cannot be had.
    """

    request_queue_size = 1024  # the standard library's 5 refuses most of a few simultaneous connections
    allow_reuse_address = os.name != "nt"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        if ":" in settings.host:
            self.address_family = socket.AF_INET6
        super().__init__((settings.host, settings.port), Connection, bind_and_activate=False)
        self.slots = threading.BoundedSemaphore(settings.max_streams)
        self.records: deque[Record] = deque(maxlen=settings.journal_size)
        self.printer = Printer(sys.stderr)
        self.loop = Loop(
            self.socket,
            lambda sock, address: Connection(sock, address, self),
            idle_timeout=settings.idle_timeout,
            head_timeout=settings.request_timeout,
            stall_timeout=settings.stall_timeout,
            show=self.show_wire if settings.show_wire else None,
        )
        try:
            self.server_bind()
            self.server_activate()
        except OSError:
            self.server_close()
            raise

    def server_bind(self) -> None:
        """Bind, without the reverse DNS look-up of ``HTTPServer``, which can take seconds."""
        if self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.socket.getsockname()[:2]
        self.on_loopback = is_loopback(self.server_name)

    @property
    def url(self) -> str:
        host = self.server_name
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}"

    @property
    def journal(self) -> list[dict[str, Any]]:
        """The last streams, oldest first: request, tokens, events and bytes sent, times, and how each ended."""
        self.loop.settle()
        return [record.as_json() for record in list(self.records)]

    def show_wire(self, connection: Connection, payload: bytes) -> None:
        """Print bytes that were sent: the time, the client's port, and the bytes with their line ends visible."""
        text = payload.decode("utf-8", "backslashreplace")
        text = re.sub(UNPRINTABLE, lambda control: ascii(control[0])[1:-1], text)
        text = text.replace("\\n", "\\n\n    ").rstrip()
        head = f"{time.strftime('%H:%M:%S')} :{connection.client_address[1]} {len(payload)} bytes"
        self.printer.put(f"{head}\n    {text}\n")

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Serve until ``shutdown``; then the open streams have been ended with an error, and all sockets are closed."""
        self.loop.run()

    def shutdown(self) -> None:
        """Ask ``serve_forever`` to return. Safe in a signal handler."""
        self.loop.stop()

    def server_close(self) -> None:
        super().server_close()
        self.loop.close()
        self.printer.close()


@contextlib.contextmanager
def running(**settings: Any) -> Iterator[Server]:
    """Run a server in this process for as long as the ``with`` block lasts: for tests, examples and notebooks.

    Takes the fields of ``Settings``. It answers as fast as it can and picks a free port unless told otherwise.

    >>> with running(tps=100) as server:
    ...     server.url.startswith("http://127.0.0.1:")
    True
    """
    server = Server(Settings(**settings))
    thread = threading.Thread(target=server.serve_forever, name="sse_ref.server", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ---- Printing --------------------------------------------------------------------------------------------------------


class Printer:
    """Prints what the loop has to say in a thread of its own: a reader that does not read must not hold streams up.

    What nobody reads is dropped beyond ``KEPT`` characters, and counted.
    """

    KEPT = 2**20

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.texts: deque[str] = deque()
        self.size = 0
        self.dropped = 0
        self.closing = False
        self.changed = threading.Condition()
        self.thread: threading.Thread | None = None

    def put(self, text: str) -> None:
        """Print this, soon; never waits for whoever reads it."""
        with self.changed:
            if self.size + len(text) > self.KEPT:
                self.dropped += 1
                return
            if self.dropped:
                text = f"... {self.dropped} more were not printed: nobody read them\n{text}"
                self.dropped = 0
            self.texts.append(text)
            self.size += len(text)
            if self.thread is None:
                self.thread = threading.Thread(target=self.run, name="sse_ref.printer", daemon=True)
                self.thread.start()
            self.changed.notify()

    def run(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.texts or self.closing)
                if not self.texts:
                    return
                text = "".join(self.texts)
                self.texts.clear()
            self.write(text)
            with self.changed:
                self.size -= len(text)

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody watches any more: the streams go on
            try:
                number = self.stream.fileno()
            except (OSError, ValueError):  # not a file
                self.stream.write(text)
                return
            # Past the stream's buffer, whose lock would be held by a write that waits, and be missed at the exit.
            data = text.encode(self.stream.encoding or "utf-8", "backslashreplace")
            while data:
                data = data[os.write(number, data) :]

    def close(self, patience: float = 1.0) -> None:
        """Print the rest, if it is taken within ``patience`` seconds."""
        with self.changed:
            self.closing = True
            self.changed.notify()
        if self.thread is not None:
            self.thread.join(patience)


class PrintingHandler(logging.Handler):
    """Hands the lines of a log to a ``Printer``."""

    def __init__(self, printer: Printer) -> None:
        super().__init__()
        self.printer = printer
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        self.printer.put(self.format(record) + "\n")


# ---- The journal -----------------------------------------------------------------------------------------------------


class Record:
    """What the journal keeps of one stream, or of one whole answer."""

    def __init__(self, method: str, path: str) -> None:
        self.id = secrets.token_hex(12)
        self.at = time.time()
        self.method = method
        self.path = path
        self.request: str | bytes = b""
        self.model: str | None = None
        self.streamed: bool | None = None
        self.fault: str | None = None
        self.status = 200
        self.stream: Stream | None = None
        self.outcome = "open"
        self.duration: float | None = None

    def note_request(self, body: bytes) -> None:
        """Keep a request whole if it is short, else its beginning."""
        self.request = body if len(body) <= 4096 else f"{body[:200].decode('utf-8', 'replace')}... ({len(body)} bytes)"

    def end(self, outcome: str) -> None:
        self.outcome = "failed" if outcome == "complete" and self.outcome == "failed" else outcome
        self.duration = time.time() - self.at

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
        tokens = self.stream.sent.tokens if self.stream else 0
        how = {
            "client_left": f"client left at token {tokens}",
            "crashed": "the server broke down",
            "cut": "cut, as asked for",
            "dropped": "dropped, the client does not read",
            "failed": "model failed",
            "refused": f"refused with {self.status}",
            "stopped": "ended, the server stops",
        }.get(self.outcome, self.outcome)
        size = self.stream.bytes_sent if self.stream else 0
        what = f"{self.method} {self.path} {self.model or '-'}{' whole' if self.streamed is False else ''}"
        return f"{what}: {how}, {tokens} tokens, {size} bytes, {self.duration or 0:.2f} s"


# ---- A connection ----------------------------------------------------------------------------------------------------

# What error responses say beside the status: always our own words, never the client's.
PROBLEMS = {
    400: "the request is not valid HTTP",
    404: "there is nothing at this path; the API is below /v1",
    405: "this path does not know that method",
    408: "the request did not arrive in time",
    414: "the path is too long",
    421: "this server listens on this machine only, and the request is for another host; --allow-host NAME lets one in",
    431: "the headers are too long or too many",
    501: "this server does not know that method",
    505: "this server speaks HTTP/1.0 and HTTP/1.1",
}


KINDS = {status: kind for kind, status in STATUSES.items()}


class Left(Exception):
    """The client closed the connection in the middle of its request."""


class Connection(BaseHTTPRequestHandler):
    """One connection: reads its requests, one ``serve`` call each, and answers them or sets ``stream``."""

    protocol_version = default_request_version = "HTTP/1.1"
    server: Server
    rfile: io.BytesIO
    wfile: io.BytesIO

    def __init__(self, sock: socket.socket, address: Any, server: Server) -> None:
        # socketserver's own __init__ would serve the whole connection at once; this one rests between requests.
        self.socket = self.request = self.connection = sock
        self.client_address = address
        self.server = server
        self.read_ahead = bytearray()
        self.stream: Stream | None = None
        self.close_connection = False
        self.incoming = _Incoming(sock, self.read_ahead)
        self.sending = False
        self.searched = 0  # bytes of what was read ahead that hold no end of a head
        with contextlib.suppress(OSError):  # the client may be gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)  # a token waits for no other
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    # ---- One request -------------------------------------------------------------------------------------------------

    @property
    def waits_for_client(self) -> bool:
        return self.sending or self.incoming.receiving

    def may_serve(self) -> bool:
        """A head is there, or what can be none."""
        data = self.read_ahead
        start = max(0, self.searched - 3)
        self.searched = len(data)
        blank = max(data.find(b"\n\n", start), data.find(b"\n\r\n", start))
        return blank >= 0 or len(data) > MAX_LINE or CONTROL.search(data, start) is not None

    def serve(self) -> None:
        """Read one request and answer it; never raises."""
        self.request_version = self.protocol_version
        self.command = self.path = self.requestline = ""
        self.body_left = False  # a body may follow that nobody has read
        self.close_connection = True  # until the whole request has been read: what follows would not begin with one
        self.searched = 0
        # A head that is not whole has had its time while the loop waited for it.
        self.incoming.deadline = time.monotonic() + (self.server.settings.request_timeout if self.may_serve() else 0.0)
        self.searched = 0
        try:
            self.answer_request()
        except Left:
            self.body_left, self.close_connection = False, True
        if self.body_left and self.close_connection:
            self.linger()

    def answer_request(self) -> None:
        try:
            self.serve_request()
        except TimeoutError:
            self.refuse(408)
        except RequestError as error:
            self.answer_error(error)
        except (Left, OSError):
            raise Left from None
        except Exception as error:
            log.error("internal error: %r", error)
            self.refuse(500)

    def serve_request(self) -> None:
        self.body_left = True
        self.read_head()
        if not self.parse_request():  # it has sent the error
            self.close_connection = True
            return
        self.keep_open, self.close_connection = not self.close_connection, True
        self.path, segment, self.query = split_target(self.path)
        self.check_framing()
        self.check_host()
        self.settings = read_fields(segment)
        check_names(self.settings, DELIVERY)
        Delivery.read(self.settings, self.server.settings)
        if self.asks_a_model() and self.command == "POST":
            self.complete()  # which looks at the key before it reads the body
        else:
            self.read_body()
            self.route()()

    def read_head(self) -> None:
        """Read a head, strictly, into where ``parse_request`` looks for it (RFC 9112, 2.2 to 5)."""
        line = self.incoming.readline(MAX_LINE + 1)
        for _ in range(3):  # RFC 9112, 2.2: ignore empty lines before a request
            if line in (b"\r\n", b"\n"):
                line = self.incoming.readline(MAX_LINE + 1)
        if len(line) > MAX_LINE:
            raise RequestError("long_path", PROBLEMS[414])
        match = REQUEST_LINE.fullmatch(line)
        if not match:
            raise RequestError("bad_request", PROBLEMS[400])
        if match[1] != b"1":
            raise RequestError("wrong_version", PROBLEMS[505])
        self.raw_requestline = line
        lines: list[bytes] = []
        while (line := self.incoming.readline(MAX_LINE + 1)) not in (b"\r\n", b"\n"):
            if len(line) > MAX_LINE or len(lines) == MAX_HEADERS:
                raise RequestError("long_head", PROBLEMS[431])
            if not HEADER_LINE.fullmatch(line):
                raise RequestError("bad_request", PROBLEMS[400])
            lines.append(line)
        self.rfile = io.BytesIO(b"".join([*lines, b"\r\n"]))

    def check_framing(self) -> None:
        """RFC 9112: refuse what could be understood in two ways."""
        lengths = [length.strip(" \t") for length in self.headers.get_all("Content-Length", [])]
        codings = self.headers.get_all("Transfer-Encoding", [])
        hosts = self.headers.get_all("Host", [])
        if self.headers.defects or len(hosts) > 1 or (not hosts and self.request_version == "HTTP/1.1"):
            raise RequestError("bad_request", PROBLEMS[400])
        if len(lengths) > 1 or (lengths and codings) or not all(is_digits(length) for length in lengths):
            raise RequestError("bad_request", "the request must say once how long its body is")
        if codings and [coding.strip(" \t").lower() for coding in codings] != ["chunked"]:
            raise RequestError("unknown", "the only transfer coding of request bodies is chunked")

    def check_host(self) -> None:
        """On loopback, serve this machine only: a page whose host name was bound to 127.0.0.1 would read the prompts."""
        if not self.server.on_loopback:
            return
        named = re.match("https?://([^/?]*)", self.requestline.split(" ")[1], re.IGNORECASE)
        for host in [named[1]] if named else self.headers.get_all("Host", []):  # RFC 9112, 3.2.2
            name = re.sub(r":[0-9]*$", "", host.strip(" \t").lower()).strip("[]")
            if not is_loopback(name) and name not in map(str.lower, self.server.settings.allow_hosts):
                raise RequestError("wrong_host", PROBLEMS[421])

    def read_body(self) -> bytes:
        """The request's body, by its length or its chunks. With it the whole request has been read."""
        settings = self.server.settings
        digits = self.headers.get("Content-Length", "0").strip(" \t").lstrip("0") or "0"
        chunked = "Transfer-Encoding" in self.headers
        if len(digits) > 18 or int(digits) > settings.max_body:
            raise RequestError("too_large", f"the body is longer than {settings.max_body} bytes")
        length = int(digits)
        if self.headers.get("Expect", "").lower() == "100-continue" and (length or chunked):
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.incoming.deadline = time.monotonic() + settings.request_timeout
        try:
            body = self.incoming.read_chunks(settings.max_body) if chunked else self.incoming.read(length)
        except TimeoutError:
            raise RequestError("timed_out", PROBLEMS[408]) from None
        if "close" in re.split(r"[ \t,]+", self.headers.get("Connection", "").lower()):
            self.keep_open = False
        if self.request_version == "HTTP/1.0" and chunked:  # RFC 9112, 6.1: faulty
            self.keep_open = False
        self.body_left, self.close_connection = False, not self.keep_open
        return body

    def handle_expect_100(self) -> bool:
        """Say nothing yet: ``read_body`` sends the 100 once it wants the body."""
        return True

    @property
    def dialect(self) -> Dialect:
        """Whose words this connection's request gets: of the dialect at its path, or else of the default."""
        return dialect_at(self.path) or DIALECTS[DEFAULT]

    def asks_a_model(self) -> bool:
        return (dialect := dialect_at(self.path)) is not None and dialect.model_at(self.path) is None

    def as_request(self, body: bytes = b"") -> HTTPRequest:
        headers = {name.lower(): value for name, value in self.headers.items()}
        return HTTPRequest(self.command, self.path, read_fields(self.query), headers, body)

    def route(self) -> Callable[[], None]:
        """What answers this request, by path and method, if it is none for an answer of the model."""
        path = self.path or "/"
        routes: dict[str, Callable[[], None]] = {}
        if self.asks_a_model():
            routes["POST"] = self.complete
        elif (dialect := dialect_at(path)) is not None:
            routes["GET"] = routes["HEAD"] = lambda: self.models(dialect.model_at(path))
        elif path == "/events":
            routes["GET"] = self.event_source
        elif path == "/journal":
            routes["GET"] = routes["HEAD"] = self.answer_journal
        elif path in PAGE:
            routes["GET"] = routes["HEAD"] = self.page
        elif path != "*":
            raise RequestError("not_found", PROBLEMS[404])
        routes["OPTIONS"] = self.preflight
        return routes.get(self.command) or (lambda: self.wrong_method(", ".join(routes)))

    def check_key(self) -> None:
        wanted = self.server.settings.api_key
        if wanted is None:
            return
        key = self.dialect.read_key(self.as_request())
        if key is None or not hmac.compare_digest(key.encode("latin-1", "replace"), wanted.encode()):
            kind, problem = ("no_key", "there is no API key") if key is None else ("wrong_key", "the API key is wrong")
            raise RequestError(kind, problem)

    # ---- The routes --------------------------------------------------------------------------------------------------

    def complete(self) -> None:
        """Answer in a dialect: with a stream, or with one object."""
        dialect = self.dialect
        with self.recorded() as record:
            self.check_key()  # before the body: who has no key sends nothing
            body = self.read_body()
            if "Content-Type" in self.headers and self.headers.get_content_type() != "application/json":
                raise RequestError("wrong_type", "the body must be JSON: Content-Type: application/json")
            record.note_request(body)
            delivery, _ = self.read_delivery(record, dialect.query, ())
            request = dialect.read_request(self.as_request(body))
            if request.prompt.model not in MODELS:
                raise unknown_model()
            record.model, record.streamed = request.prompt.model, request.stream
            if request.prompt.n * len(body) > self.server.settings.max_body:
                raise RequestError(
                    "bad_request", f"n times this request is more than {self.server.settings.max_body} bytes", param="n"
                )
            with self.slot():
                self.begin_answer(dialect, request, delivery, record)

    def read_delivery(
        self, record: Record, ignored: Collection[str], own: Collection[str]
    ) -> tuple[Delivery, dict[str, str]]:
        """How this answer is delivered, and all fields of the address; ``own`` are names that the path itself knows."""
        query = {name: value for name, value in read_fields(self.query).items() if name not in ignored}
        check_names(query, (*own, *DELIVERY))
        fields = {**self.settings, **query}
        record.fault = fields["fault"] if fields.get("fault") in FAULTS else None
        delivery = Delivery.read(fields, self.server.settings)
        if delivery.fault == "refuse":
            raise RequestError("too_many", "refused, as the request asked for")
        return delivery, fields

    @contextlib.contextmanager
    def recorded(self) -> Iterator[Record]:
        """A record in the journal for a request; if no stream begins, it says why, and so does the answer."""
        record = Record(self.command, self.path)
        self.server.records.append(record)
        try:
            yield record
        except RequestError as error:
            record.status = error.status
            self.end_record(record, "refused")
            self.answer_error(error)
        except Left:
            self.end_record(record, "client_left")
            raise
        except Exception:
            record.status = 500
            self.end_record(record, "crashed")
            raise

    def begin_answer(self, dialect: Dialect, request: Request, delivery: Delivery, record: Record) -> None:
        pace = _Pace(delivery, request.prompt.n, record)
        pieces = pace.of(delivery.pieces(request.prompt))
        named: dict[str, Any] = {"id": record.id, "created": int(record.at)}
        try:
            if not request.stream:
                status = HTTPStatus.OK
                try:
                    answer = dialect.write_answer(request, self.while_it_is_wanted(request.prompt, pieces), **named)
                except ModelFailure as failure:  # it is told when it happens, not before
                    record.status = status = HTTPStatus.INTERNAL_SERVER_ERROR
                    answer = dialect.write_error(RequestError("failed", str(failure)))
                whole = self.json_response(status, answer, {"X-Request-Id": record.id})
                self.begin_whole(whole, pace, delivery, record)
                return
            events = dialect.write_stream(request, pieces, **named)
            first = next(events)  # made here, so that a schema that nothing fits is refused before the stream
        except ModelFailure as failure:
            raise RequestError("failed", str(failure)) from None
        except SchemaError as error:
            raise RequestError("bad_request", str(error), param=error.path) from None

        def stopping() -> bytes:
            return encode(dialect.write_error_event(RequestError("stopping", "the server is stopping")))

        self.begin_stream(
            itertools.chain([first], events),
            pace,
            delivery,
            record,
            heartbeat=dialect.heartbeat,
            farewell=stopping,
        )

    def while_it_is_wanted(self, prompt: Prompt, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Pass the pieces of a whole answer on. Raises ``Left`` when the client has gone, ``RequestError`` for too many."""
        tokens = 0
        for number, piece in enumerate(pieces):
            tokens += piece.tokens
            if prompt.top_logprobs is not None and tokens > MAX_LOGPROBS:
                problem = (
                    f"a whole answer holds the log probabilities of {MAX_LOGPROBS} tokens: stream it, or set a limit"
                )
                raise RequestError("bad_request", problem, param="logprobs")
            if number % 1024 == 1023 and self.incoming.ended():
                raise Left
            yield piece

    def event_source(self) -> None:
        """A plain event source: a token an event, numbered, so that a dropped stream resumes where it broke off.

        The model says the same again for the same prompt, so nothing has to be kept for that: the events up to the last
        one that the client has are left out. A client that has them all gets 204, which tells a browser to stop.
        """
        with self.recorded() as record:
            delivery, fields = self.read_delivery(record, (), EVENTS_QUERY)
            prompt = event_prompt(fields)
            drop = read_number(fields, "drop", 0)
            record.note_request(to_json({"prompt": prompt.last_text("user")}).encode())
            record.model, record.streamed = prompt.model, True
            seen = self.headers.get("Last-Event-ID", "").strip(" \t")
            after = int(seen) if is_digits(seen) and len(seen) < 10 else 0
            with self.slot():
                self.begin_events(prompt, after, drop, delivery, record)

    def begin_events(self, prompt: Prompt, after: int, drop: int, delivery: Delivery, record: Record) -> None:
        """Stream the events after number ``after``, and at most ``drop`` of them if that is not 0."""
        pace = _Pace(delivery, prompt.n, record)
        events = numbered_events(pace.of(delivery.pieces(prompt)))
        for _ in itertools.islice(events, after):
            pace.restart()
        first = next(events, None)
        if first is None:
            record.status = 204
            self.end_record(record, "complete")
            self.send(self.response(HTTPStatus.NO_CONTENT, {}))
            return
        rest: Iterator[ServerSentEvent] = itertools.chain([first], events)
        if drop:
            self.close_connection = True
            rest = itertools.islice(rest, drop)
        # The reconnection time stands in the block of the first event: alone in a block it would confuse some clients.
        retry = b"retry: 1000\n"
        self.begin_stream(rest, pace, delivery, record, heartbeat=encode_comment("heartbeat"), preamble=retry)

    def models(self, name: str | None) -> None:
        self.check_key()
        if not name:
            self.send(self.json_response(HTTPStatus.OK, self.dialect.write_models(list(MODELS))))
        elif name in MODELS:
            self.send(self.json_response(HTTPStatus.OK, self.dialect.write_model(name)))
        else:
            raise unknown_model()

    def answer_journal(self) -> None:
        self.check_key()
        records = ",\n".join(to_json(record) for record in self.server.journal)
        body = f"[{records}]\n".encode()
        self.send(self.whole_response(HTTPStatus.OK, body, {"Content-Type": "application/json"}))

    def page(self) -> None:
        name = PAGE[self.path or "/"]
        headers = {
            "Content-Type": f"{PAGE_TYPES[name.rpartition('.')[2]]}; charset=utf-8",
            "Content-Security-Policy": "default-src 'self'",  # nothing is fetched from elsewhere
        }
        body = importlib.resources.files("sse_ref.page").joinpath(name).read_bytes()
        self.send(self.whole_response(HTTPStatus.OK, body, headers))

    def preflight(self) -> None:
        headers = {
            "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
            # "*" stands for every header but Authorization (Fetch standard, 4.8).
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID, *",
            "Access-Control-Max-Age": "600",
        }
        self.send(self.response(HTTPStatus.NO_CONTENT, headers))

    def wrong_method(self, allowed: str) -> None:
        self.answer_error(RequestError("wrong_method", PROBLEMS[405]), {"Allow": allowed})

    # ---- Streams -----------------------------------------------------------------------------------------------------

    def begin_whole(self, response: bytes, pace: _Pace, delivery: Delivery, record: Record) -> None:
        """Send a response when the last token of its answer is due, or the fault in its place."""
        frames = iter([Frame(pace.due, pace.tokens, 0, response)])
        if delivery.breaks_off(pace.tokens):
            if delivery.fault == "end":  # a length has been announced: ending early is to be cut
                delivery = replace(delivery, fault="cut")
            frames = delivery.break_off(Frame(pace.due, 0, 0, response), b"")
        self.set_stream(Stream(frames), record)

    def begin_stream(
        self,
        events: Iterator[ServerSentEvent],
        pace: _Pace,
        delivery: Delivery,
        record: Record,
        *,
        heartbeat: bytes,
        preamble: bytes = b"",
        farewell: Callable[[], bytes] = bytes,
    ) -> None:
        """Send the head of an event stream and leave the rest to the loop. ``preamble`` goes before the first event."""
        headers = {
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-cache, no-transform",
            "X-Accel-Buffering": "no",  # nginx would collect events otherwise
            "X-Request-Id": record.id,
        }
        chunked = self.request_version >= "HTTP/1.1"
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            self.close_connection = True
        wrap, last = (chunk, LAST_CHUNK) if chunked else (bytes, b"")

        def frames() -> Iterator[Frame]:
            number = tokens = 0
            due = 0.0
            for number, event in enumerate(events, 1):
                payload = preamble + encode(event) if number == 1 else encode(event)
                due = max(due, pace.due)
                if delivery.breaks_off(pace.tokens - pace.skipped):
                    yield from delivery.break_off(Frame(due, tokens, number - 1, wrap(payload)), last)
                *parts, rest = cut_up(payload, delivery.split)
                for part in parts:
                    yield Frame(due, tokens, number - 1, wrap(part), open=True)
                    due += SPLIT_PAUSE
                tokens = pace.tokens
                yield Frame(due, tokens, number, wrap(rest))
            if last:
                yield Frame(due, tokens, number, last, last=True)

        silent = not delivery.heartbeat or delivery.fault == "stall"
        stream = Stream(
            frames(),
            heartbeat=b"" if silent else wrap(heartbeat),
            heartbeat_interval=delivery.heartbeat,
            farewell=lambda: wrap(goodbye) + last if (goodbye := farewell()) else b"",
        )
        head = self.response(HTTPStatus.OK, headers)
        if stream.next and stream.next.due <= 0:  # the first event travels with the head
            self.send(head + stream.next.payload)
            stream.begun = True
        else:
            self.send(head)
        self.set_stream(stream, record)

    def set_stream(self, stream: Stream, record: Record) -> None:
        def on_end(outcome: str, error: Exception | None) -> None:
            self.server.slots.release()
            if isinstance(error, Cut):
                outcome = "cut"
            elif error is not None:
                log.error("internal error in the middle of a stream: %r", error)
            self.end_record(record, outcome)

        stream.on_end = on_end
        record.stream = self.stream = stream

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Take one of the places for open streams; it is kept if a stream begins, which gives it back at its end."""
        if not self.server.slots.acquire(blocking=False):
            problem = f"{self.server.settings.max_streams} streams are open, which is the limit; try again soon"
            raise RequestError("too_many", problem)
        try:
            yield
        finally:
            if self.stream is None:
                self.server.slots.release()

    def end_record(self, record: Record, outcome: str) -> None:
        """Note how a stream ended, and say so in one line."""
        record.end(outcome)
        log.info("%s", record)

    # ---- Responses ---------------------------------------------------------------------------------------------------

    def response(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> bytes:
        """Head and body as bytes, to be sent at once or later."""
        self.wfile = io.BytesIO()  # where http.server writes
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "X-Request-Id" not in headers:
            self.send_header("X-Request-Id", secrets.token_hex(12))
        if self.path != "/journal":
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Access-Control-Expose-Headers", "X-Request-Id, Retry-After")
        self.send_header("X-Content-Type-Options", "nosniff")
        if "Transfer-Encoding" not in headers:
            if self.close_connection:
                self.send_header("Connection", "close")
            elif self.request_version == "HTTP/1.0":
                self.send_header("Connection", "keep-alive")
        self.end_headers()
        return self.wfile.getvalue() + (b"" if self.command == "HEAD" else body)

    def whole_response(self, status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
        return self.response(status, {**headers, "Content-Length": str(len(body)), "Cache-Control": "no-store"}, body)

    def json_response(self, status: int, value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> bytes:
        body = "".join(json_parts(value)).encode()
        return self.whole_response(status, body, {"Content-Type": "application/json", **(headers or {})})

    def send(self, data: bytes) -> None:
        """Send from this request's thread. Raises ``Left`` if the client has gone, or does not read."""
        self.sending = True
        try:
            self.socket.settimeout(self.server.settings.stall_timeout)
            self.socket.sendall(data)
        except OSError:
            raise Left from None
        finally:
            self.sending = False
        if self.server.settings.show_wire:
            self.server.show_wire(self, data)

    def answer_error(self, error: RequestError, headers: Mapping[str, str] | None = None) -> None:
        headers = dict(headers or {})
        if error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if error.status == 429:
            headers["Retry-After"] = "1"
        self.send(self.json_response(error.status, self.dialect.write_error(error), headers))

    def refuse(self, status: int) -> None:
        """Answer with an error in our own words, and close."""
        self.close_connection = True
        problem = PROBLEMS.get(status, "the server broke down")
        kind = KINDS.get(status, "failed")
        self.answer_error(RequestError(kind, problem))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What ``parse_request`` calls. Its own pages would quote the request; this quotes nothing."""
        self.refuse(code)

    def version_string(self) -> str:
        return "sse_ref"

    def log_message(self, format: str, *args: Any) -> None:
        """``http.server`` would print a line for each request and each error of a client."""

    def linger(self) -> None:
        """Read on for a moment: closing with unread bytes would reset the connection, and the answer with it."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            self.incoming.discard(seconds=1.0)


class _Incoming:
    """The bytes of the requests on a connection, read before a deadline."""

    def __init__(self, sock: socket.socket, read_ahead: bytearray) -> None:
        self.socket = sock
        self.buffer = read_ahead
        self.deadline = 0.0  # by time.monotonic()
        self.receiving = False

    def readline(self, limit: int) -> bytes:
        """A line with its end, or as much of it as the limit allows. Raises ``RequestError`` for a CR in its middle."""
        searched = 0
        while True:
            end = self.buffer.find(b"\n", searched) + 1
            if end or len(self.buffer) >= limit:
                line = self.take(min(end or limit, limit))
                if b"\r" in line.removesuffix(b"\r\n"):  # RFC 9112, 2.2: other servers may see a line end in it
                    raise RequestError("bad_request", PROBLEMS[400])
                return line
            if CONTROL.search(self.buffer, searched):
                raise RequestError("bad_request", PROBLEMS[400])
            searched = len(self.buffer)
            if not self.receive():
                raise Left

    def read(self, size: int) -> bytes:
        while len(self.buffer) < size:
            if not self.receive():
                raise Left
        return self.take(size)

    def read_chunks(self, most: int) -> bytes:
        """A chunked body. Raises ``RequestError`` if it is longer than ``most`` bytes, or no chunked body."""
        decoder = ChunkedDecoder(max_line=MAX_CHUNK_LINE)
        body = bytearray()
        while not decoder.finished:
            if not self.buffer and not self.receive():
                raise Left
            try:
                for data in decoder.feed(self.take(len(self.buffer))):
                    body += data
            except ValueError:
                raise RequestError("bad_request", "the body is no valid chunked coding") from None
            if decoder.announced > most:
                raise RequestError("too_large", f"the body is longer than {most} bytes")
        self.buffer += decoder.rest
        return bytes(body)

    def discard(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        while self.receive():
            self.buffer.clear()

    def take(self, size: int) -> bytes:
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    def receive(self) -> bool:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.receiving = True
        try:
            self.socket.settimeout(left)
            received = self.socket.recv(65536)
        finally:
            self.receiving = False
        self.buffer += received
        return bool(received)

    def ended(self) -> bool:
        """Whether the client has closed the connection, as far as can be seen without waiting."""
        try:
            self.socket.setblocking(False)
            return not self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True


# ---- Pace and framing ------------------------------------------------------------------------------------------------


class _Pace:
    """When each piece is due. It is asked for the pieces; the due time of the last one given is in ``due``."""

    def __init__(self, delivery: Delivery, choices: int, record: Record) -> None:
        self.record = record
        self.heartbeat = delivery.heartbeat
        self.gap = 1 / (delivery.tps * choices) if delivery.tps else 0.0  # choices are made side by side
        self.jitter = self.gap * delivery.jitter
        self.start = delivery.ttft
        self.chance = random.Random(0)
        self.due = 0.0
        self.tokens = 0
        self.skipped = 0  # tokens that are not sent

    def of(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Pass the pieces on; a failure of the model is noted in the record."""
        try:
            for piece in pieces:
                if piece.tokens:
                    if not self.tokens:
                        self.start -= piece.tokens * self.gap  # the first token takes ttft, not ttft and a gap
                    self.tokens += piece.tokens
                elif isinstance(piece, Silence):
                    self.start += self.heartbeat
                self.due = self.start + self.tokens * self.gap
                if self.jitter:
                    self.due += self.jitter * (self.chance.random() - 0.5)
                yield piece
        except ModelFailure:
            self.record.outcome = "failed"
            raise

    def restart(self) -> None:
        """Count time from the last piece on: those so far are not sent."""
        self.start -= self.due
        self.due = 0.0
        self.skipped = self.tokens


SPLIT_PAUSE = 0.002  # seconds between the parts of an event that is cut up, so that they do not travel together


def json_parts(value: Any, depth: int = 5) -> Iterator[str]:
    """The parts of ``to_json(value)``. Each is made quickly, so that other threads get their turn between them.

    >>> list(json_parts({"a": [1, {"b": 2}]}, depth=1))
    ['{', '"a":', '[1,{"b":2}]', '}']
    """
    if depth and isinstance(value, dict):
        yield "{"
        for number, (name, member) in enumerate(value.items()):
            yield f"{',' if number else ''}{to_json(name)}:"
            yield from json_parts(member, depth - 1)
        yield "}"
    elif depth and isinstance(value, list):
        yield "["
        for number, element in enumerate(value):
            yield from [","] if number else []
            yield from json_parts(element, depth - 1)
        yield "]"
    else:
        yield to_json(value)


def cut_up(payload: bytes, size: int) -> list[bytes]:
    """Parts of at most ``size`` bytes; all in one if that is 0."""
    return [payload[at : at + size] for at in range(0, len(payload), size)] if size else [payload]


def encode(event: ServerSentEvent) -> bytes:
    name = None if event.event == "message" else event.event
    return encode_event(event.data, event=name, id=event.id or None)


def numbered_events(pieces: Iterable[Piece]) -> Iterator[ServerSentEvent]:
    """Text as plain events with their number as id; the last event, or the failure of the model, has a name of its own."""
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


# ---- Reading small things --------------------------------------------------------------------------------------------


def is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def split_target(target: str) -> tuple[str, str, str]:
    """Path, settings segment and query of a request. A proxy sends the whole URL.

    >>> split_target("/events?drop=3")
    ('/events', '', 'drop=3')
    >>> split_target("/fault=cut&at=3/v1/chat/completions")
    ('/v1/chat/completions', 'fault=cut&at=3', '')
    """
    path, _, query = re.sub("^https?://[^/?]*", "", target, flags=re.IGNORECASE).partition("?")
    match = re.match("/([^/]*(?:=|%3D)[^/]*)", path, re.IGNORECASE)
    if not match:
        return path, "", query
    segment = match[1] if "=" in match[1] else urllib.parse.unquote(match[1])  # some clients escape it
    return path[match.end() :], segment, query


def read_fields(text: str) -> dict[str, str]:
    """The fields of a query, or of a settings segment; of several with one name the last counts."""
    try:
        return dict(urllib.parse.parse_qsl(text, keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise RequestError("bad_request", "the query has too many fields") from None


def check_names(fields: Mapping[str, str], known: Collection[str]) -> None:
    """Refuse a name that nobody knows: a test that asks for a fault must not run against a healthy server."""
    for name in fields:
        if name not in known:
            raise RequestError(
                "bad_request", f"{name[:40]!r} is no setting; there are {', '.join(known)}", param=name[:40]
            )


def unknown_model() -> RequestError:
    problem = f"the model does not exist; there are {', '.join(MODELS)}"
    return RequestError("no_model", problem, param="model")


EVENTS_QUERY = ("prompt", "model", "seed", "max_tokens", "drop")


def event_prompt(fields: Mapping[str, str]) -> Prompt:
    """The prompt of ``/events``: prompt, model, seed, max_tokens."""
    model = fields.get("model", "toy")
    if model not in MODELS:
        raise unknown_model()
    text = fields.get("prompt", "Tell me a story")
    max_tokens = read_number(fields, "max_tokens", 0) or None
    return Prompt(model, (Message("user", text),), max_tokens=max_tokens, seed=read_number(fields, "seed", 0))


def read_number(fields: Mapping[str, str], name: str, default: int) -> int:
    text = fields.get(name, str(default))
    if not is_digits(text) or len(text) > 9:
        raise RequestError("bad_request", f"{name} must be a whole number", param=name)
    return int(text)


def read_decimal(fields: Mapping[str, str], name: str, default: float, *, most: float = 1e6) -> float:
    if name not in fields:
        return default
    text = fields[name]
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,9})?|\.[0-9]{1,9}", text, re.ASCII) or float(text) > most:
        raise RequestError("bad_request", f"{name} must be a number from 0 to {most:.0f}", param=name)
    return float(text)


def read_heartbeat(fields: Mapping[str, str], default: float) -> float:
    heartbeat = read_decimal(fields, "heartbeat", default)
    if "heartbeat" in fields and 0 < heartbeat < 0.01:  # the loop would have nothing else to do
        raise RequestError("bad_request", "heartbeat must be 0 (never) or at least 0.01", param="heartbeat")
    return heartbeat


def json_or_text(body: str | bytes) -> Any:
    """The value of a JSON text, or the text if it is none, or if it could not be written again (NaN, 1e999)."""
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(body)
        to_json(value).encode()
        return value
    return body if isinstance(body, str) else body.decode("utf-8", "replace")


# ---- The command -----------------------------------------------------------------------------------------------------

EXAMPLES = """\
examples:
  python -m sse_ref.server                          on port 8000, at a pace that can be read along
  python -m sse_ref.server --port 0 --tps 0         on any free port, as fast as possible
  python -m sse_ref.server --ttft 2 --jitter 0.8    a slow start, then uneven tokens

A base URL may hold settings for its requests: http://127.0.0.1:8000/fault=cut&at=3/v1 breaks each answer off after three
tokens. There are ttft, tps, jitter, heartbeat, split, fault and at.

exit status: 0 after Ctrl-C or SIGTERM, 2 if the port cannot be had or an option is wrong
"""


def main(arguments: list[str] | None = None) -> int:
    """``python -m sse_ref.server``: serve until Ctrl-C or SIGTERM, and return the exit status."""
    options = read_options(arguments)
    settings = Settings(
        **{name: getattr(options, name) for name in ("host", "port", "ttft", "tps", "jitter", "heartbeat", "api_key")},
        max_streams=options.max_streams,
        show_wire=options.show_wire,
        allow_hosts=tuple(options.allow_host),
    )
    allow_many_files(settings.max_streams)
    try:
        server = Server(settings)
    except OSError as error:
        print(
            f"sse_ref.server: cannot use {options.host} port {options.port}: {error.strerror}; try --port 0",
            file=sys.stderr,
        )
        return 2
    log.addHandler(PrintingHandler(server.printer))
    log.setLevel(logging.WARNING if options.quiet else logging.INFO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stop(server, number))
    introduce(server)
    with server:
        server.serve_forever()
    return 0


def stop(server: Server, number: int) -> None:
    signal.signal(number, signal.SIG_DFL)  # the second time, at once
    server.shutdown()


def introduce(server: Server) -> None:
    """Say where the server is, and print a line to paste."""
    body = '{"model":"toy","messages":[{"role":"user","content":"Tell me a story"}],"stream":true}'
    print(f"sse_ref is serving the toy model at {server.url}/v1")
    print(f"page    {server.url}/")
    key = " -H 'Authorization: Bearer KEY'" if server.settings.api_key else ""
    print(f"try     curl -N {server.url}/v1/chat/completions{key} -H 'Content-Type: application/json' -d '{body}'")
    print("        Ctrl-C stops it", flush=True)
    if not is_loopback(server.server_name):
        print(
            f"warning: {server.server_name} can be reached from other machines, and this is a teaching server",
            file=sys.stderr,
        )


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own; RFC 6761, 6.3 reserves what ends in localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return bool(re.fullmatch(r"([a-z0-9-]+\.)*localhost\.?", host))


def allow_many_files(streams: int) -> None:
    """Raise the soft limit of open files, often 1,024, as far as the streams need it."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = streams + 256
        if soft != resource.RLIM_INFINITY and soft < wanted:
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sse_ref.server",
        description="Serve the toy model: streamed chat completions, a plain event source, and a page.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to bind to (default: %(default)s, this machine only)")
    add("--port", type=number(int, 0, 65535), default=8000, help="port, 0 for any free one (default: %(default)s)")
    add(
        "--ttft",
        type=number(float, 0, 1e9),
        default=0.3,
        metavar="S",
        help="seconds to the first token (default: %(default)s)",
    )
    add(
        "--tps",
        type=number(float, 0, 1e9),
        default=30,
        metavar="N",
        help="tokens per second, 0 for no pace (default: %(default)s)",
    )
    add(
        "--jitter",
        type=number(float, 0, 1),
        default=0.0,
        metavar="F",
        help="unevenness of the pace, 0 to 1 (default: %(default)s)",
    )
    add(
        "--heartbeat",
        type=number(float, 0, 1e9),
        default=15.0,
        metavar="S",
        help="silence before a comment is sent (default: %(default)s)",
    )
    add("--api-key", metavar="K", help="answer only requests that carry this key")
    add(
        "--max-streams",
        type=number(int, 1, 1e9),
        default=2048,
        metavar="N",
        help="more than that get 429 (default: %(default)s)",
    )
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="answer requests for this host name too, which a proxy passes on; on loopback all others get 421",
    )
    add("--show-wire", action="store_true", help="print every byte that is sent")
    add("--quiet", action="store_true", help="no line for each stream")
    return parser.parse_args(arguments)


def number(kind: Callable[[str], Any], least: float, most: float) -> Callable[[str], Any]:
    """A type for options: a number of this kind within bounds."""

    def checked(text: str) -> Any:
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be from {least:g} to {most:g}")
        return value

    return checked


if __name__ == "__main__":
    sys.exit(main())
