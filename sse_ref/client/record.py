"""Keeping a stream: each read with its time, in lines of JSON.

In:   what the transport tells a watcher.
Out:  a file in the form of ``sse_ref.recording``, for ``Answer(replay=FILE)``.

The key, the request and cookies are never written.
"""

from __future__ import annotations

import time
from typing import Self

from sse_ref.client.show import OutputFailed
from sse_ref.client.transport import Response, Watcher
from sse_ref.recording import end_line, head_line, read_line

__all__ = ["Recorder"]


class Recorder(Watcher):
    """Writes what comes to a file, and passes it on to another watcher. In a ``with`` block: its end is the last line.

    Times count from here: make it when the request is sent. Raises ``OSError`` if the file cannot be opened.
    """

    def __init__(self, path: str, watcher: Watcher) -> None:
        self.watcher = watcher
        self.file = open(path, "w", encoding="utf-8", newline="\n")  # noqa: SIM115
        self.began = time.monotonic()
        self.begun = self.whole = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with self.file:
            if not self.begun:
                return  # there was no answer
            self.write(end_line(self.now, "complete" if self.whole else "cut"))

    @property
    def now(self) -> float:
        """Seconds since the request."""
        return time.monotonic() - self.began

    def write(self, line: str) -> None:
        """Write a line. Raises ``OutputFailed``."""
        try:
            self.file.write(line + "\n")
            self.file.flush()
        except OSError as error:
            raise OutputFailed(error) from None

    def head(self, response: Response) -> None:
        """The head of the response has come."""
        self.begun = True
        self.write(head_line(response.status, response.headers.items()))
        self.watcher.head(response)

    def read(self, data: bytes) -> None:
        """These bytes came in one read, with their framing."""
        self.watcher.read(data)

    def piece(self, data: bytes) -> None:
        """These bytes of the body came."""
        self.write(read_line(self.now, data))
        self.watcher.piece(data)

    def end(self) -> None:
        """The body is complete."""
        self.whole = True
        self.watcher.end()
