"""One HTTP response, read without being fooled: the parts of ``urllib`` that a stream needs otherwise.

In:   a URL, headers, perhaps a body to send; how long to wait.
Out:  the bytes of the response's body as they come, and an end only if the body is whole.

``urllib`` and ``http.client`` send the request and read the head. The body is read here, because ``http.client`` hides what
matters about a stream: its line iteration takes a cut chunked body for a finished one, and a read of a given size reports a
body shorter than its ``Content-Length`` as complete. RFC 9112, 6.3 says how a body ends:

    chunked            at its last chunk; the end of the connection before it is a cut
    Content-Length     after so many bytes; the end of the connection before them is a cut
    neither            with the connection; whether that was a cut, HTTP cannot say

Bytes go through three stages, each a generator, so that a token is handed on as soon as its last byte has come:

    socket  --read1-->  framing undone  --ChunkedDecoder-->  coding undone  --zlib-->  body

``read1`` returns what there is, however little; a read of a fixed size would wait until so much has come. A coding is undone
in pieces of a bounded size: a kilobyte of gzip may hold a megabyte of body.

Why it is not left to ``http.client``: this body is cut, its last chunk never came, and

    b"5\\r\\nhello\\r\\n"   and the connection closes

    for line in response    yields b"hello", and ends: a whole answer, it seems
    response.read()         raises IncompleteRead, after all has come
    read_body(response, …)  yields b"hello" at once, and then raises Truncated

**How long to wait.** An ``HTTPCall`` goes with all of it. Three limits bound each read, and the nearest counts:

    idle     no byte for so long: any byte starts it anew
    step     a head must be whole within ``idle``, the body of an error within ten seconds, however slowly it trickles
    total    the whole call, from its beginning

    connecting    idle, for each address of the host       idle passed: the next address is tried, or it is a timeout
    TLS           idle
    head          idle and step                            1xx responses begin the step anew
    body          idle

The call also knows the connection in use or being made, so that another thread can end the wait in any state.

A limit that passes is a ``StreamTimeout``, which names it. A connection that breaks while the head or the body comes is
``Truncated``; before the first byte of a response it is the ``OSError`` of the socket, and the caller may try again.

**Redirects** (RFC 9110, 15.4) are followed where nothing is changed by it:

    GET     301, 302, 303, 307, 308     headers that may hold a key stay behind if the origin changes
    POST    307, 308                    within one origin only; 301 to 303 would turn it into a GET without a body

**Codings** (RFC 9110, 8.4): none is asked for, but some servers compress all the same. gzip and deflate are undone, in the
reverse of the order in which they were applied. An unknown coding leaves the bytes as they are, as the Fetch standard says.
Responses with a status of 1xx are skipped. Retrying, and the meaning of the bytes, are the caller's business.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import http.client
import io
import os
import re
import selectors
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sse_ref.chunked import ChunkedDecoder
from sse_ref.errors import ProtocolError, StreamError, StreamTimeout, Truncated

__all__ = [
    "MAX_EVENT_SIZE",
    "HTTPCall",
    "Response",
    "Watcher",
    "bytes_at_once",
    "check_headers",
    "harmless",
    "open_response",
    "origin",
    "read_body",
    "read_error_body",
    "reason_of",
]

MAX_EVENT_SIZE = 64 * 2**20  # bytes of an event, where nothing else is said
READ_SIZE = 65536  # bytes asked of the socket at once; what is there is returned, however little
ERROR_BODY = 65536  # bytes of an error answer that are looked at
ERROR_BODY_SECONDS = 10.0  # how long is waited for them


# ---- Sending the request, reading the head -----------------------------------------------------------------------------


class HTTPCall:
    """One request and its response: how long to wait, and for what.

    ``idle`` is the limit for each silence, ``total`` for the whole (seconds; None: no limit). ``cancel`` ends the wait from
    another thread, in any state: from the connection's first packet through the TLS handshake to the last byte of the
    body. Only the look-up of a host's name cannot be ended.

    >>> HTTPCall(5.0).next_wait(), HTTPCall(None).next_wait()
    (5.0, None)
    """

    def __init__(self, idle: float | None, total: float | None = None, *, url: str = "") -> None:
        self.idle = idle
        self.total = total
        self.url = url  # where the request goes; a redirect changes it
        self.peer = ""  # host and port of the connection in use
        self.began = time.monotonic()
        self.until: float | None = None  # when the step in hand, a head or the body of an error, must be over
        self.answer_begun = False  # a byte of an answer has come
        self.closing = threading.Event()
        self.sock: socket.socket | None = None  # what the response is read from
        self.response: http.client.HTTPResponse | None = None
        self._held: socket.socket | None = (
            None  # the same connection by a descriptor of our own: TLS takes the other one
        )

    def connect(self, address: tuple[str, int], timeout: float | None, *_: object) -> socket.socket:
        """A connection to the first of the host's addresses that takes one. Raises ``OSError``."""
        failure: OSError = OSError("the host has no address")
        for family, kind, protocol, _name, where in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                self._connect(sock, where, timeout)
                return sock
            except OSError as error:
                sock.close()
                failure = error
        raise failure

    def _connect(self, sock: socket.socket, where: Any, timeout: float | None) -> None:
        """Connect without blocking, so that ``cancel`` can end the wait. Raises ``OSError``."""
        sock.setblocking(False)
        status = sock.connect_ex(where)
        self.hold(sock)
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_WRITE)
            end = None if timeout is None else time.monotonic() + timeout
            while not selector.select(0.2 if end is None else max(0.0, min(0.2, end - time.monotonic()))):
                if self.closing.is_set() or (end is not None and time.monotonic() >= end):
                    break
            else:
                end = None
        if self.closing.is_set():
            raise ConnectionAbortedError(errno.ECONNABORTED, "the client was closed")
        if end is not None:
            raise TimeoutError("timed out")
        status = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or (status if status not in IN_PROGRESS else 0)
        if status:
            raise OSError(status, os.strerror(status))
        sock.settimeout(timeout)

    def hold(self, sock: socket.socket) -> None:
        """This connection can be cancelled from now on."""
        self.release()
        self._held = sock.dup()  # first this, then the look: ``cancel`` does it the other way round
        if self.closing.is_set():
            self.cancel()

    def release(self) -> None:
        """Close the response and what was kept of its connection."""
        if self.response is not None:
            self.response.close()
        if self._held is not None:
            self._held.close()
            self._held = None

    def cancel(self) -> None:
        """Wait no longer, in whatever state; from any thread."""
        self.closing.set()
        if (held := self._held) is not None:
            with contextlib.suppress(OSError):  # it has ended already
                held.shutdown(socket.SHUT_RDWR)

    def pause(self, seconds: float) -> bool:
        """Wait between two attempts; True if the client was closed meanwhile."""
        return self.closing.wait(seconds)

    def begin_step(self, most: float | None = None) -> None:
        """What comes now must be over within ``idle``, and within ``most`` seconds, however slowly it trickles."""
        seconds = min(filter(None, (self.idle, most)), default=None)
        self.until = None if seconds is None else time.monotonic() + seconds

    def next_wait(self) -> float | None:
        """How long the next read may take. Raises ``StreamTimeout`` if there is no time left."""
        ends = [] if self.total is None else [self.began + self.total]
        ends += [] if self.until is None else [self.until]
        if not ends:
            return self.idle
        left = min(ends) - time.monotonic()
        if left <= 0:
            raise self.timeout_error()
        return left if self.idle is None else min(left, self.idle)

    def timeout_error(self) -> StreamTimeout:
        """The error for a limit that passed: the total, or else the silence, also where a step took too long."""
        if self.total is not None and time.monotonic() >= self.began + self.total - 0.01:
            return StreamTimeout(f"the answer took longer than {self.total:g} s")
        if self.idle is None:
            return StreamTimeout("the connection timed out")
        return StreamTimeout(f"nothing came for {self.idle:g} s")


IN_PROGRESS = {errno.EINPROGRESS, errno.EWOULDBLOCK}


class _TimedReader(io.RawIOBase):
    """The bytes of a response, each read within the call's limits."""

    def __init__(self, raw: Any, call: HTTPCall) -> None:
        self.raw = raw
        self.call = call

    def readable(self) -> bool:
        """Asked by ``io.BufferedReader``."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what there is, within the call's limits. Raises ``StreamTimeout``."""
        assert self.call.sock is not None
        self.call.sock.settimeout(self.call.next_wait())
        try:
            size: int = self.raw.readinto(buffer)
        except TimeoutError:
            raise self.call.timeout_error() from None
        self.call.answer_begun = self.call.answer_begun or size > 0
        return size

    def close(self) -> None:
        self.raw.close()
        super().close()


class _HeadReader(io.BufferedReader):
    """Lines of a head. ``http.client`` would take the end of the connection for the end of the head."""

    begun = False

    def readline(self, limit: int | None = -1, /) -> bytes:
        """A line. Raises ``ConnectionResetError`` for one that the end of the connection cuts."""
        line = super().readline(limit)
        cut = not line.endswith(b"\n") and len(line) != limit
        if cut and (line or self.begun):  # before the first byte it is no cut, and ``http.client`` says so
            raise ConnectionResetError(errno.ECONNRESET, "the connection was closed in the middle of the head")
        self.begun = True
        return line


class Response(http.client.HTTPResponse):
    """A response that is read within its call's time, and that skips all 1xx responses, not only 100."""

    def __init__(self, sock: socket.socket, *args: Any, call: HTTPCall, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.call = call
        call.sock, call.response = sock, self
        self.fp = _HeadReader(_TimedReader(self.fp.detach(), call))
        self.interim = 0

    def begin(self) -> None:
        """Read the head, within the time for one step."""
        self.call.begin_step()
        super().begin()
        self.call.until = None

    def _read_status(self) -> tuple[str, int, str]:
        """The status line of the response, after those of 1xx responses, of which there may be a hundred."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200:
                return version, status, reason
            self.interim += 1
            if self.interim > 100:
                raise http.client.HTTPException("more than a hundred interim answers")
            if status == 100:
                return version, status, reason  # http.client passes over this one itself
            http.client.parse_headers(self.fp)
            self.call.begin_step()


class _Request(urllib.request.Request):
    """A request that knows its call, also after a redirect."""

    def __init__(self, *args: Any, call: HTTPCall, **options: Any) -> None:
        super().__init__(*args, **options)
        self.call = call


def _connections(kind: Any, call: HTTPCall) -> Callable[..., Any]:
    """What ``do_open`` makes connections with."""

    def connect(host: str, *args: Any, **options: Any) -> Any:
        """A connection that can be cancelled, and whose responses are read within the call's limits."""
        call.peer = host
        connection = kind(host, *args, **options)
        connection._create_connection = call.connect
        connection.response_class = functools.partial(Response, call=call)
        return connection

    return connect


class _Handler(urllib.request.HTTPHandler):
    """Opens ``http`` URLs with connections that can be cancelled."""

    def http_open(self, request: Any) -> Any:
        return self.do_open(_connections(http.client.HTTPConnection, request.call), request)


class _SecureHandler(urllib.request.HTTPSHandler):
    """Opens ``https`` URLs in the same way."""

    def https_open(self, request: Any) -> Any:
        connections = _connections(http.client.HTTPSConnection, request.call)
        return self.do_open(connections, request, context=self._context)  # type: ignore[attr-defined]


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows 307 and 308 with method and body; never turns a POST into a GET, and never takes a key to another host."""

    inf_msg = "redirects without end; the last says "

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """The request to send to ``newurl``; None if the redirect is not followed: then it is an HTTP error."""
        if req.get_method() != "GET" and code not in (307, 308):
            return None
        check_port(newurl)
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            return None
        kept = dict(req.headers)
        if origin(newurl) != origin(req.full_url):
            if req.data is not None:
                return None
            kept = harmless(kept)
        req.call.url = newurl
        fp.close()  # nobody wants the body of a redirect, which urllib would read to its end
        return _Request(newurl, req.data, kept, req.origin_req_host, True, req.get_method(), call=req.call)


HARMLESS_HEADERS = {"accept", "cache-control", "last-event-id", "user-agent"}


def harmless(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that may go to another host than the one they were meant for.

    >>> harmless({"Accept": "text/event-stream", "Authorization": "Bearer secret"})
    {'Accept': 'text/event-stream'}
    """
    return {name: value for name, value in headers.items() if name.lower() in HARMLESS_HEADERS}


def check_port(url: str) -> None:
    """Raise ``ValueError`` for a port that there is not: the system would take it for another one."""
    _ = urllib.parse.urlsplit(url).port


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise ``ValueError`` for a header that HTTP cannot carry. Its value, which may be a key, is not shown.

    >>> check_headers({"X": "two\\nlines"})
    Traceback (most recent call last):
    ValueError: the header 'X' cannot be sent: a name or value has a character that HTTP does not allow
    """
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(
            r"[\t\x20-\x7e\x80-\xff]*", value
        ):
            raise ValueError(
                f"the header {name!r} cannot be sent: a name or value has a character that HTTP does not allow"
            )


def origin(url: str) -> tuple[str, str]:
    """Scheme and host of a URL, without a user's name and password.

    >>> origin("https://me:secret@example.com:8443/v1")
    ('https', 'example.com:8443')
    """
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2]


def _make_opener() -> urllib.request.OpenerDirector:
    """As ``build_opener`` makes it, but without files, FTP and data URLs."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _Handler(),
        _SecureHandler(),
        _Redirects(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


_opener = _make_opener()


def open_response(data: bytes | None, headers: Mapping[str, str], call: HTTPCall) -> Response:
    """Send a request to ``call.url``; raises ``HTTPError``, ``OSError``, ``HTTPException`` or ``ValueError`` as urllib."""
    check_port(call.url)
    request = _Request(call.url, data, dict(headers), method="POST" if data is not None else "GET", call=call)
    response: Response = _opener.open(request, timeout=call.next_wait())
    return response


# ---- The body --------------------------------------------------------------------------------------------------------


class Watcher:
    """Is told what comes over the wire; this one ignores it. Override what you want to see."""

    def head(self, response: Response) -> None:
        """The head of the response has come."""

    def read(self, data: bytes) -> None:
        """These bytes came in one read, with their framing."""

    def piece(self, data: bytes) -> None:
        """These bytes of the body came: a chunk, or the part of one that a read held."""

    def end(self) -> None:
        """The body is complete."""


def bytes_at_once(max_event_size: int | None) -> int:
    """How many bytes to read at once, so that what is made of them is little beside the largest event.

    >>> bytes_at_once(None), bytes_at_once(32 * 1024)
    (65536, 1024)
    """
    return READ_SIZE if max_event_size is None else max(1, min(READ_SIZE, max_event_size // 32))


def read_body(response: Response, watcher: Watcher, most: int = READ_SIZE) -> Iterator[bytes]:
    """Yield the body as it comes, in pieces of at most ``most`` bytes, however much a compressed one holds.

    Raises ``Truncated``, ``ProtocolError`` or ``StreamTimeout``; ends only if the body is whole. A body without length or
    chunks ends with the connection: whether that was a cut, HTTP cannot say.
    """
    inflaters = _inflaters(response, most)
    chunks, left = _framing(response)
    while not (chunks and chunks.finished) and left != 0:
        try:
            data = response.fp.read1(most)
        except OSError as error:
            raise Truncated(f"the connection broke: {reason_of(error)}") from None
        if not data:
            if chunks:
                raise Truncated("the connection was closed in the middle of a chunked body")
            if left:
                raise Truncated(f"the connection was closed {left} bytes before the end of the body")
            break
        watcher.read(data)
        for piece in _unchunked(chunks, data) if chunks else [data if left is None else data[:left]]:
            watcher.piece(piece)
            yield from _decoded(inflaters, piece)
        if left is not None:
            left = max(0, left - len(data))
    if any(inflater.is_open for inflater in inflaters):
        raise Truncated("the compressed body ended in the middle")
    watcher.end()


def _unchunked(chunks: ChunkedDecoder, data: bytes) -> Iterator[bytes]:
    """The data of the chunks in these bytes. What is no chunk is the server's fault."""
    try:
        yield from chunks.feed(data)
    except ValueError as error:
        raise ProtocolError(f"the chunked coding is broken: {error}") from None


def _framing(response: Response) -> tuple[ChunkedDecoder | None, int | None]:
    """How the body ends (RFC 9112, 6.3): by its chunks, after so many bytes, or, with neither, by closing.

    http.client would read "chunked, chunked" or two lengths as neither, and a cut body as a whole one.
    """
    if response.status == 204:
        return None, 0
    codings = _listed(response, "Transfer-Encoding")
    if codings:
        if [coding.lower() for coding in codings] != ["chunked"]:
            raise ProtocolError(f"the transfer coding is {', '.join(codings)!r}, not chunked")
        return ChunkedDecoder(), None
    lengths = set(_listed(response, "Content-Length"))
    if not lengths:
        return None, None
    (length,) = lengths if len(lengths) == 1 else ("several",)
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise ProtocolError(f"the length of the body is given as {', '.join(sorted(lengths))!r}")
    return None, int(length)


def _listed(response: Response, name: str) -> list[str]:
    """The members of a header that is a list, over all its lines."""
    return [
        member.strip(" \t")
        for line in response.headers.get_all(name, [])
        for member in line.split(",")
        if member.strip(" \t")
    ]


MAX_CODINGS = 5


def _inflaters(response: Response, most: int) -> list[_Inflater]:
    """What undoes the content codings (RFC 9110, 8.4), in this order: the last in the list was applied last.

    None was asked for, but some servers compress all the same. One that is not known leaves the bytes as they are (Fetch,
    "handle content codings").
    """
    codings = [coding.lower() for coding in _listed(response, "Content-Encoding")]
    if not set(codings) <= {"identity", "gzip", "x-gzip", "deflate"}:
        codings = []
    applied = [coding for coding in codings if coding != "identity"]
    if len(applied) > MAX_CODINGS:
        raise ProtocolError(f"the body is coded {len(applied)} times")
    return [_Inflater(most, members="gzip" in coding) for coding in reversed(applied)]


def _decoded(inflaters: list[_Inflater], data: bytes) -> Iterator[bytes]:
    """The bytes with all codings undone."""
    if not inflaters:
        yield data
        return
    for piece in inflaters[0].feed(data):
        yield from _decoded(inflaters[1:], piece)


class _Inflater:
    """Inflates what comes, in pieces of at most ``most`` bytes; gzip may have several members (RFC 1952, 2.2)."""

    def __init__(self, most: int, *, members: bool) -> None:
        self.most = most
        self.members = members
        self.between = True  # two members, where there may be padding, or before the first
        self.inflate = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)

    @property
    def is_open(self) -> bool:
        """Something is missing: what has begun has not ended."""
        return not self.between and not self.inflate.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what these bytes inflate to. Raises ``ProtocolError`` for bytes that are not deflated."""
        while not self.inflate.eof:  # what follows the end of a body without members is passed over
            if self.between:
                data = data.lstrip(b"\0") if self.members else data
                self.between = not data
            try:
                piece = self.inflate.decompress(data, self.most)
            except zlib.error as error:
                raise ProtocolError(f"the compressed body is broken: {error}") from None
            if piece:
                yield piece
            data = self.inflate.unconsumed_tail
            if self.inflate.eof and self.members:
                data = self.inflate.unused_data
                self.inflate = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)
                self.between = True
            if not data and len(piece) < self.most:
                return


def read_error_body(response: Response) -> bytes:
    """What can be had, within a few seconds, of the body of an answer that is no event stream."""
    body = b""
    if response.isclosed():  # the last of many redirects
        return body
    response.call.begin_step(ERROR_BODY_SECONDS)
    with contextlib.suppress(StreamError):
        for piece in read_body(response, Watcher()):
            body += piece
            if len(body) >= ERROR_BODY:
                break
    return body[:ERROR_BODY]


def reason_of(error: BaseException) -> str:
    """The words of an error, without numbers and brackets.

    >>> reason_of(ConnectionRefusedError(111, "Connection refused"))
    'Connection refused'
    """
    cause = getattr(error, "reason", error)
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return str(text)
