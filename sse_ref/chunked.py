"""Bytes to chunks and chunks to bytes: the chunked transfer coding of HTTP/1.1, and nothing else.

In:   the bytes of a chunked body, cut anywhere.
Out:  the bytes that the chunks carry, and whether the body is complete; and the way back.

Follows RFC 9112, section 7.1 "Chunked Transfer Coding". The length of a stream is not known when its head is sent, so the
body comes in chunks, each with a length of its own:

    body        chunk ... chunk last-chunk trailer ... trailer CRLF
    chunk       size [;extension] CRLF data CRLF        the size is hexadecimal and counts the bytes of the data
    last-chunk  0 [;extension] CRLF
    trailer     name: value CRLF

Why it matters for streams: without a length, only the last chunk tells a complete body from one that was cut. A chunk is not
an event: a proxy may join chunks, and one event may come in several.

The decoder remembers the line that is still open, the bytes that the current chunk still owes, and which of four parts
comes next. Extensions and trailers are read and dropped. A size that is no hexadecimal number, data of another length than
its size, and a CR inside a line are refused: two readers could understand them in two ways, and request smuggling lives
there. LF alone ends a line here, as it does for most readers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["LAST_CHUNK", "ChunkedDecoder", "chunk"]

LAST_CHUNK = b"0\r\n\r\n"
MAX_TRAILERS = 100

_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,16})[ \t]*(?:;.*)?")


def chunk(data: bytes) -> bytes:
    """Return ``data`` (bytes, not empty: an empty chunk is the last one) as one chunk.

    >>> chunk(b"data: hi\\n\\n")
    b'a\\r\\ndata: hi\\n\\n\\r\\n'
    """
    return b"%x\r\n%b\r\n" % (len(data), data)


class ChunkedDecoder:
    """Reads a chunked body, fed with its bytes. ``max_line`` (bytes) bounds a line of sizes and trailers.

    >>> decoder = ChunkedDecoder()
    >>> list(decoder.feed(b"5\\r\\nhel")), list(decoder.feed(b"lo\\r\\n0\\r\\n\\r\\n")), decoder.finished
    ([b'hel'], [b'lo'], True)
    """

    finished: bool
    """The blank line after the last chunk has come: the body is complete."""

    announced: int
    """Bytes of the chunks whose size line has come, whether or not their data has."""

    rest: bytes
    """Bytes after the end of the body: the beginning of the next message."""

    def __init__(self, *, max_line: int = 8192) -> None:
        self.finished, self.announced, self.rest = False, 0, b""
        self._max_line = max_line
        self._line = b""  # the line whose end has not come
        self._owed = 0  # bytes of the current chunk that have not come
        self._next = "size"  # then "data", "end" of the data, and after the last chunk "trailer"
        self._trailers = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the data in these bytes, no piece longer than its chunk. Raises ``ValueError`` for what is no chunk."""
        position = 0
        while position < len(data) and not self.finished:
            if self._next == "data":
                piece = data[position : position + self._owed]
                position += len(piece)
                self._owed -= len(piece)
                if not self._owed:
                    position += 2 * (ended := data.startswith(b"\r\n", position))
                    self._next = "size" if ended else "end"
                yield piece
                continue
            end = data.find(b"\n", position) + 1 or len(data)
            self._line += data[position:end]
            position = end
            if self._next == "end" and not b"\r\n".startswith(self._line) and self._line != b"\n":
                raise ValueError("a chunk is longer than its size")
            if len(self._line) > self._max_line:
                raise ValueError("a line is too long")
            if self._line.endswith(b"\n"):
                line, self._line = self._line[:-1].removesuffix(b"\r"), b""
                self._take_line(line)
        self.rest = data[position:]

    def _take_line(self, line: bytes) -> None:
        """Take a complete line, without its end, as the part that comes next."""
        if b"\r" in line:
            raise ValueError("a CR stands inside a line")
        if self._next == "size":
            match = _SIZE.fullmatch(line)
            if not match:
                raise ValueError(f"{line[:40]!r} is no chunk size")
            self._owed = int(match[1], 16)
            self.announced += self._owed
            self._next = "data" if self._owed else "trailer"
        elif self._next == "end":
            self._next = "size"
        elif line:
            self._trailers += 1
            if self._trailers > MAX_TRAILERS:
                raise ValueError(f"more than {MAX_TRAILERS} trailers")
        else:
            self.finished = True
