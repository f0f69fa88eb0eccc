"""Requests: bytes of a connection to one HTTP request, and nothing that two readers could understand in two ways.

In:   a socket, and the bytes that were read ahead of it.
Out:  request line, headers, body, the fields of the address; or a ``RequestError``.

Follows RFC 9112, by the letter where a lenient reader would let a request be smuggled past a proxy: if proxy and server do
not agree where a request ends, what one takes for a body is the next request to the other. So these are refused:

    request line    more than one space between its parts, a control, another version than HTTP/1.x
    header line     a space before the colon, a folded line, a CR in its middle, a control in its value
    body            Content-Length twice, or beside Transfer-Encoding, or not all digits; a coding that is not chunked
    chunks          a size that is no hexadecimal number, data that is longer or shorter than its size
    Host            none in HTTP/1.1, or two (RFC 9112, 3.2)

and these are tolerated, because the standard says so and real clients need it: LF alone as a line end, empty lines before a
request, spaces around a length, an absolute URL as the target.

The address of a request has three parts:

    /fault=cut&at=3  /v1/chat/completions  ?query
    settings         path

    http://127.0.0.1:8000/fault=cut&at=3/v1     as the base URL of an SDK

What smuggling looks like: a proxy that obeys Content-Length forwards these bytes as one request, with a body of 47 bytes. A
server that obeys Transfer-Encoding reads an empty body, and takes the rest for a second request, which no proxy has checked:

    POST /v1/chat/completions HTTP/1.1
    Host: localhost
    Content-Length: 47
    Transfer-Encoding: chunked

    0

    GET /journal HTTP/1.1
    Host: localhost
    (blank line)

Every read has a deadline: all headers must come within ``request_timeout``, and the body within the same time again, however
slowly they trickle. A client that sends one byte now and then must not hold a thread for ever.

A segment of the path with "=" in it holds settings: every SDK appends its own path to a base URL, and keeps it. A query in a
base URL is mangled by SDKs in at least four ways. Where both say something, the query counts.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import re
import socket
import time
import urllib.parse
from collections.abc import Collection, Mapping

from sse_ref.chunked import ChunkedDecoder
from sse_ref.errors import RequestError

__all__ = [
    "PROBLEMS",
    "ClientGone",
    "ClientStalled",
    "Incoming",
    "body_size",
    "check_framing",
    "check_host",
    "check_names",
]
__all__ += ["check_request_line", "is_digits", "is_loopback", "may_hold_a_head", "read_decimal", "read_fields"]
__all__ += ["read_headers", "read_number", "split_target"]

MAX_LINE = 65536  # bytes of a line of a head, as in http.server
MAX_HEADERS = 100
MAX_CHUNK_LINE = 1024  # bytes of a line of a chunked body: more than any chunk size needs
REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e\x80-\xff]+ HTTP/([0-9])\.[0-9]\r?\n")
HEADER_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r?\n")
HEADER_LINES = re.compile(rb"((?:%b)*)\r?\n" % HEADER_LINE.pattern)  # and the blank line after them
ABSOLUTE = re.compile("https?://([^/?]*)", re.IGNORECASE)  # RFC 9112, 3.2.2
PORT = re.compile(":[0-9]*$")
SEGMENT = re.compile("/([^/]*(?:=|%3D)[^/]*)", re.IGNORECASE)
CONTROL = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")  # never in a head

# Error texts by kind. They never echo the request.
PROBLEMS = {
    "bad_request": "the request is not valid HTTP",
    "not_found": "there is nothing at this path; the APIs are below /v1, /v1beta and /v2",
    "wrong_method": "this path does not know that method",
    "timed_out": "the request did not arrive in time",
    "long_path": "the path is too long",
    "wrong_host": "this server listens on this machine only, and the request is for another host; "
    "--allow-host NAME lets one in",
    "long_head": "the headers are too long or too many",
    "wrong_version": "this server speaks HTTP/1.0 and HTTP/1.1",
}


class ClientGone(Exception):
    """The client closed the connection, or does not read: nobody is there for an answer."""

    outcome = "client_left"


class ClientStalled(ClientGone):
    """The client reads no more."""

    outcome = "dropped"


# ---- Bytes -----------------------------------------------------------------------------------------------------------


class Incoming:
    """The bytes of the requests on a connection, read before ``deadline`` (by ``time.monotonic``).

    Every read raises ``TimeoutError`` at the deadline, and ``ClientGone`` at the end of the connection.
    """

    def __init__(self, sock: socket.socket, read_ahead: bytearray) -> None:
        self.socket = sock
        self.buffer = read_ahead
        self.deadline = 0.0
        self.receiving = False

    def read_request_line(self) -> bytes:
        """The first line of a request (RFC 9112, 3), not yet checked."""
        line = self.readline()
        for _ in range(3):  # RFC 9112, 2.2: ignore empty lines before a request
            if line in (b"\r\n", b"\n"):
                line = self.readline()
        return line

    def read_header_lines(self) -> bytes:
        """The header lines, up to the blank line after them (RFC 9112, 5)."""
        # Nearly always all have come, and are well formed. To read them at once takes less than half the time.
        whole = HEADER_LINES.match(self.buffer, 0, MAX_LINE)
        if whole and (all_lines := whole[1]).count(b"\n") <= MAX_HEADERS:
            del self.buffer[: whole.end()]
            return all_lines
        lines: list[bytes] = []
        while (line := self.readline()) not in (b"\r\n", b"\n"):
            if len(line) > MAX_LINE or len(lines) == MAX_HEADERS:
                raise RequestError("long_head", PROBLEMS["long_head"])
            if not HEADER_LINE.fullmatch(line):
                raise RequestError("bad_request", PROBLEMS["bad_request"])
            lines.append(line)
        return b"".join(lines)

    def readline(self) -> bytes:
        """A line with its end, or ``MAX_LINE`` bytes and one more of it.

        Raises ``RequestError`` for a CR inside, and as soon as a control has come although the line has not ended.
        """
        searched, limit = 0, MAX_LINE + 1
        while True:
            end = self.buffer.find(b"\n", searched) + 1
            if end or len(self.buffer) >= limit:
                line = self.take(min(end or limit, limit))
                if b"\r" in line.removesuffix(b"\r\n"):  # RFC 9112, 2.2: other servers may see a line end in it
                    raise RequestError("bad_request", PROBLEMS["bad_request"])
                return line
            if CONTROL.search(self.buffer, searched):
                raise RequestError("bad_request", PROBLEMS["bad_request"])
            searched = len(self.buffer)
            if not self.receive():
                raise ClientGone

    def read(self, size: int) -> bytes:
        """So many bytes."""
        while len(self.buffer) < size:
            if not self.receive():
                raise ClientGone
        return self.take(size)

    def read_chunks(self, most: int) -> bytes:
        """A chunked body. Raises ``RequestError`` if it is longer than ``most`` bytes, or is none."""
        decoder = ChunkedDecoder(max_line=MAX_CHUNK_LINE)
        body = bytearray()
        while not decoder.finished:
            if not self.buffer and not self.receive():
                raise ClientGone
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
        """Read for so long, or to the end of the connection, and keep nothing."""
        self.deadline = time.monotonic() + seconds
        with contextlib.suppress(TimeoutError, ClientGone):
            while self.receive():
                self.buffer.clear()

    def take(self, size: int) -> bytes:
        """The first bytes of the buffer, which loses them."""
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    def receive(self) -> bool:
        """Wait for bytes and add them to the buffer; False at the end of the connection."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.receiving = True
        try:
            self.socket.settimeout(left)
            received = self.socket.recv(65536)
        except TimeoutError:
            raise
        except OSError:  # reset
            raise ClientGone from None
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


def check_request_line(line: bytes) -> None:
    """Raise ``RequestError`` for a request line that is too long, none, or of another version of HTTP."""
    if len(line) > MAX_LINE:
        raise RequestError("long_path", PROBLEMS["long_path"])
    match = REQUEST_LINE.fullmatch(line)
    if not match:
        raise RequestError("bad_request", PROBLEMS["bad_request"])
    if match[1] != b"1":
        raise RequestError("wrong_version", PROBLEMS["wrong_version"])


def may_hold_a_head(data: bytearray, start: int) -> bool:
    """Whether a whole head has come, or so much, or such bytes, that reading it must begin.

    ``data[:start]`` is known to hold no end of a head.

    >>> may_hold_a_head(bytearray(b"GET / HT"), 0), may_hold_a_head(bytearray(b"GET / HTTP/1.1\\r\\n\\r\\n"), 8)
    (False, True)
    """
    empty = len(data) - len(data.lstrip(b"\r\n")) if data.startswith((b"\r", b"\n")) else 0  # lines before the request
    start = max(empty, start - 3)
    if data.find(b"\n\r\n", start) >= 0 or data.find(b"\n\n", start) >= 0:
        return True
    return len(data) > MAX_LINE or CONTROL.search(data, start) is not None


# ---- Headers ---------------------------------------------------------------------------------------------------------


def read_headers(lines: bytes) -> dict[str, str]:
    """The values of header lines by their names, in lower case; those of one name are joined (RFC 9110, 5.3).

    Raises ``RequestError`` for more than one ``Host`` (RFC 9112, 3.2).

    >>> read_headers(b"Host: localhost\\r\\nAccept: a\\r\\naccept:b \\r\\n")
    {'host': 'localhost', 'accept': 'a, b'}
    """
    headers: dict[str, str] = {}
    for line in lines.decode("latin-1").split("\n")[:-1]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t\r")
        if name in headers:
            if name == "host":
                raise RequestError("bad_request", PROBLEMS["bad_request"])
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def check_framing(headers: Mapping[str, str], version: str) -> None:
    """Raise ``RequestError`` for headers that leave it open where the request ends (RFC 9112, 3.2 and 6)."""
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if "host" not in headers and version >= "HTTP/1.1":
        raise RequestError("bad_request", PROBLEMS["bad_request"])
    if length is not None and (coding is not None or not is_digits(length)):  # of two lengths a comma tells
        raise RequestError("bad_request", "the request must say once how long its body is")
    if coding is not None and coding.lower() != "chunked":
        raise RequestError("not_implemented", "the only transfer coding of request bodies is chunked")


def check_host(target: str, headers: Mapping[str, str], allowed: Collection[str]) -> None:
    """Raise ``RequestError`` unless the request is for this machine: a page whose host name was bound to 127.0.0.1 after it
    was loaded would read the prompts."""
    absolute = ABSOLUTE.match(target)
    host = absolute[1] if absolute else headers.get("host")
    if host is None:
        return  # HTTP/1.0
    name = PORT.sub("", host.lower()).strip("[]")
    if not is_loopback(name) and name not in map(str.lower, allowed):
        raise RequestError("wrong_host", PROBLEMS["wrong_host"])


@functools.lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own; RFC 6761, 6.3 reserves names that end in localhost.

    >>> is_loopback("127.9.9.9"), is_loopback("api.localhost"), is_loopback("localhost.example.com")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return bool(re.fullmatch(r"([a-z0-9-]+\.)*localhost\.?", host))


def body_size(headers: Mapping[str, str], most: int) -> int:
    """The Content-Length in bytes, 0 if there is none. Raises ``RequestError`` if it is more than ``most``."""
    digits = headers.get("content-length", "0").lstrip("0") or "0"
    if len(digits) > 18 or int(digits) > most:
        raise RequestError("too_large", f"the body is longer than {most} bytes")
    return int(digits)


# ---- The address -----------------------------------------------------------------------------------------------------


def split_target(target: str) -> tuple[str, str, str]:
    """Path, settings segment and query of a request target. Proxies send the whole URL (RFC 9112, 3.2.2).

    >>> split_target("/events?drop=3")
    ('/events', '', 'drop=3')
    >>> split_target("/fault=cut&at=3/v1/chat/completions")
    ('/v1/chat/completions', 'fault=cut&at=3', '')
    """
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        path = ABSOLUTE.sub("", path)
    if path.startswith("//"):  # a base URL that ends in "/", and a path after it
        path = "/" + path.lstrip("/")
    match = SEGMENT.match(path)
    if not match:
        return path, "", query
    segment = match[1] if "=" in match[1] else urllib.parse.unquote(match[1])  # some clients escape it
    return path[match.end() :], segment, query


def read_fields(text: str) -> dict[str, str]:
    """The fields of a query, or of a settings segment; of several with one name the last counts.

    Raises ``RequestError`` for more than twenty.

    >>> read_fields("fault=cut&at=3&at=4")
    {'fault': 'cut', 'at': '4'}
    """
    if not text:
        return {}
    try:
        return dict(urllib.parse.parse_qsl(text, keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise RequestError("bad_request", "the query has too many fields") from None


def check_names(fields: Mapping[str, str], known: Collection[str]) -> None:
    """Raise ``RequestError`` for an unknown name: a test that asks for a fault must not run against a healthy server."""
    for name in fields:
        if name not in known:
            problem = f"{name[:40]!r} is no setting; there are {', '.join(known)}"
            raise RequestError("bad_request", problem, param=name[:40])


def is_digits(text: str) -> bool:
    """Whether the text is ASCII digits, and not empty.

    >>> is_digits("12"), is_digits("1\u0662"), is_digits("")
    (True, False, False)
    """
    return text.isascii() and text.isdigit()


def read_number(fields: Mapping[str, str], name: str, default: int) -> int:
    """A whole number of at most nine digits; ``default`` if there is none. Raises ``RequestError`` for anything else.

    >>> read_number({"at": "3"}, "at", 5), read_number({}, "at", 5)
    (3, 5)
    """
    text = fields.get(name, str(default))
    if not is_digits(text) or len(text) > 9:
        raise RequestError("bad_request", f"{name} must be a whole number", param=name)
    return int(text)


def read_decimal(fields: Mapping[str, str], name: str, default: float, *, most: float = 1e6) -> float:
    """A number from 0 to ``most``, perhaps with a fraction; ``default`` if there is none. Raises ``RequestError``.

    >>> read_decimal({"ttft": "0.25"}, "ttft", 1.0)
    0.25
    """
    if name not in fields:
        return default
    text = fields[name]
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,9})?|\.[0-9]{1,9}", text, re.ASCII) or float(text) > most:
        raise RequestError("bad_request", f"{name} must be a number from 0 to {most:.0f}", param=name)
    return float(text)
