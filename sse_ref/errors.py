"""The errors, as two families: how a stream ends, and why a request is refused.

In:   what went wrong.
Out:  an exception that says whose fault it is and what to do.

A stream that a client reads has exactly one of seven outcomes. Two are no errors: ``complete`` (every choice has its finish
reason) and ``cancelled`` (the caller stopped reading). Five are exceptions:

    StreamError
        HTTPStatusError   http_error       the server refused the request, or did not answer
        ApiError          api_error        the server reported an error inside the stream
        ProtocolError     protocol_error   the server sent what HTTP or the dialect does not allow
        Truncated         truncated        the stream was cut: what came is not the whole answer
        StreamTimeout     timeout          nothing came for too long, or all of it took too long

A server that cannot serve a request raises ``RequestError``. Its kind is a neutral word, in ``STATUSES``; every provider's
dialect has words of its own for it.
"""

from __future__ import annotations

import re

__all__ = ["STATUSES", "UNPRINTABLE", "ApiError", "HTTPStatusError", "ProtocolError", "RequestError", "StreamError"]
__all__ += ["StreamTimeout", "Truncated", "fit"]

# ---- How a stream ends -----------------------------------------------------------------------------------------------


class StreamError(Exception):
    """A stream that did not end well. ``outcome`` names how; ``text`` is what had come of the first choice's text."""

    outcome = "error"

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text


class HTTPStatusError(StreamError):
    """The server answered with a status that is no success, or not at all: then ``status`` is None."""

    outcome = "http_error"

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ApiError(StreamError):
    """The server reported an error inside the stream; ``str(error)`` is its message."""

    outcome = "api_error"


class ProtocolError(StreamError):
    """The server's fault: what it sent is not what HTTP or the dialect allows."""

    outcome = "protocol_error"


class Truncated(StreamError):
    """The stream was cut off: what came is not the whole answer."""

    outcome = "truncated"


class StreamTimeout(StreamError):
    """Nothing came within the idle timeout, or the answer took longer than the total limit."""

    outcome = "timeout"


# ---- Why a request is refused ----------------------------------------------------------------------------------------

STATUSES = {
    "bad_request": 400,
    "no_key": 401,
    "wrong_key": 401,
    "not_found": 404,
    "no_model": 404,
    "wrong_method": 405,
    "timed_out": 408,
    "too_large": 413,
    "long_path": 414,
    "wrong_type": 415,
    "wrong_host": 421,
    "too_many": 429,
    "long_head": 431,
    "failed": 500,
    "not_implemented": 501,
    "stopping": 503,
    "wrong_version": 505,
}
"""The kinds of ``RequestError``, each with its HTTP status (RFC 9110, 15; RFC 6585 for 429 and 431)."""


class RequestError(Exception):
    """A request that cannot be served. ``kind`` is a name in ``STATUSES``; ``param`` names the field at fault.

    >>> RequestError("too_many", "try again soon").status
    429
    """

    def __init__(self, kind: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.kind, self.status = kind, STATUSES[kind]
        self.message, self.param = message, param


# ---- What strangers say, in a message --------------------------------------------------------------------------------

UNPRINTABLE = "[\0-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"
"""A regular expression for controls, and for the marks that turn a line around (U+202E shows "gpj.exe" as "exe.jpg")."""


def fit(text: str, limit: int = 200) -> str:
    """The text of a peer, fit for one line of a message: printable, and at most ``limit`` characters and three dots.

    >>> fit("two\\nlines " * 20, 12)
    'two lines tw...'
    """
    text = re.sub(f"{UNPRINTABLE}+", " ", text).strip()
    return text if len(text) <= limit else text[:limit] + "..."
