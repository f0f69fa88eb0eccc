"""Responses: the bytes of a head, and of a body that is whole.

In:   status, headers and body of an answer; the request that it is for.
Out:  bytes, to be sent at once or later.

``http.server`` writes the status line, and the headers that name the server and the time. Each response has an
``X-Request-Id``, and says ``nosniff``, so that no browser takes an error that echoes a request for a page. Pages of any
origin may read it, but not the journal and the scripts, which hold what others sent.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any

from sse_ref.dialects.interface import Dialect
from sse_ref.dialects.strict_json import to_json

__all__ = ["Responder"]

OWN = ("/journal", "/answers/")  # what pages of other origins may not read
FIRST_LINES: dict[int, tuple[int, bytes]] = {}  # by status: the second they are of, and the first lines of a response


class Responder(BaseHTTPRequestHandler):
    """Makes responses to the request of a connection: ``id`` is the request's, ``serving`` are the dialects at its path."""

    protocol_version = default_request_version = "HTTP/1.1"
    wfile: io.BytesIO
    id: str
    serving: Sequence[Dialect]

    def response(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> bytes:
        """Head and body as bytes, to be sent at once or later."""
        lines = {
            **headers,
            **dict.fromkeys(("X-Request-Id", *(dialect.request_id for dialect in self.serving)), self.id),
        }
        if not self.path.startswith(OWN):
            lines["Access-Control-Allow-Origin"] = "*"
            lines["Access-Control-Expose-Headers"] = "X-Request-Id, Request-Id, Retry-After"
        lines["X-Content-Type-Options"] = "nosniff"
        if "Transfer-Encoding" not in headers:
            if self.close_connection:
                lines["Connection"] = "close"
            elif self.request_version == "HTTP/1.0":
                lines["Connection"] = "keep-alive"
        head = "".join([f"{name}: {value}\r\n" for name, value in lines.items()]).encode("latin-1")
        return self.first_lines(status) + head + b"\r\n" + (b"" if self.command == "HEAD" else body)

    def first_lines(self, status: int) -> bytes:
        """Status line, ``Server`` and ``Date``: ``http.server`` writes them, once a second for each status."""
        second = int(time.time())
        made_in, lines = FIRST_LINES.get(status, (None, b""))
        if made_in != second:
            self.wfile = io.BytesIO()  # where http.server writes
            self.send_response(status)
            self.flush_headers()
            lines = self.wfile.getvalue()
            FIRST_LINES[status] = second, lines
        return lines

    def whole_response(self, status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
        """A response with its length."""
        return self.response(status, {**headers, "Content-Length": str(len(body)), "Cache-Control": "no-store"}, body)

    def json_response(self, status: int, value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> bytes:
        """A response that is a JSON object."""
        body = "".join(json_parts(value)).encode()
        return self.whole_response(status, body, {"Content-Type": "application/json", **(headers or {})})

    def version_string(self) -> str:
        """The ``Server`` header."""
        return "sse_ref"

    def log_message(self, format: str, *args: Any) -> None:
        """``http.server`` would print a line for each request and each error of a client."""


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
