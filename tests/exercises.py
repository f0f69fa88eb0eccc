"""A solution for each level of the decoder exercises: ``python exercises.py LEVEL`` is a decoder under test.

Each knows what its level asks for and nothing of the later ones, so that a level never depends on what comes after it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import naive_decoder

Event = dict[str, Any]


class Keeping:
    """Level 1: keeps what a read has cut."""

    errors = "strict"

    def __init__(self) -> None:
        self.buffer = b""

    def feed(self, chunk: bytes) -> list[Event]:
        *blocks, self.buffer = (self.buffer + chunk).split(b"\n\n")
        return [{"data": text[6:]} for text in map(bytes.decode, blocks) if text.startswith("data: ")]


class Fields(Keeping):
    """Level 2: the four fields."""

    def __init__(self) -> None:
        super().__init__()
        self.data: list[str] = []
        self.type = self.id = self.last_event_id = ""
        self.retry: int | None = None

    def lines(self, chunk: bytes) -> list[bytes]:
        *lines, self.buffer = (self.buffer + chunk).split(b"\n")
        return lines

    def feed(self, chunk: bytes) -> list[Event]:
        events: list[Event] = []
        for line in self.lines(chunk):
            self.interpret(line.decode("utf-8", self.errors), events)
        return events

    def interpret(self, line: str, events: list[Event]) -> None:
        if not line:
            self.last_event_id = self.id
            if self.data:
                events.append({"data": "\n".join(self.data), "event": self.type or "message", "id": self.id})
            self.data, self.type = [], ""
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self.data.append(value)
        elif field == "event":
            self.type = value
        elif field == "id" and "\0" not in value:
            self.id = value
        elif field == "retry" and re.fullmatch("[0-9]{1,640}", value):
            self.retry = int(value)


class LineEnds(Fields):
    """Level 3: LF, CR and CRLF."""

    after_cr = False

    def lines(self, chunk: bytes) -> list[bytes]:
        if self.after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self.after_cr = False
        self.after_cr = self.after_cr or chunk.endswith(b"\r")
        *lines, self.buffer = re.split(rb"\r\n|\r|\n", self.buffer + chunk)
        return lines


class Bytes(LineEnds):
    """Level 4: invalid UTF-8, and the byte order mark."""

    errors = "replace"
    start: bytes | None = b""

    def lines(self, chunk: bytes) -> list[bytes]:
        if self.start is not None:
            self.start += chunk
            if len(self.start) < 3 and b"\xef\xbb\xbf".startswith(self.start):
                return []
            chunk, self.start = self.start.removeprefix(b"\xef\xbb\xbf"), None
        return super().lines(chunk)


class Linear(Bytes):
    """Level 5: a piece of a line is looked at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def lines(self, chunk: bytes) -> list[bytes]:
        if self.start is None and not self.after_cr and chunk and not re.search(rb"[\r\n]", chunk):
            self.pieces.append(chunk)
            return []
        self.buffer += b"".join(self.pieces)
        self.pieces.clear()
        return super().lines(chunk)


LEVELS = [naive_decoder.Decoder, Keeping, Fields, LineEnds, Bytes, Linear]

if __name__ == "__main__":
    naive_decoder.Decoder = LEVELS[int(sys.argv[1])]  # type: ignore[misc]
    naive_decoder.main()
