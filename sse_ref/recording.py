"""A recording: a stream as it was read, with the time of each read, in lines of JSON that a person can read and edit.

In:   what a client reads; or the lines of a file.
Out:  the lines; or the reads with their times, to be played back.

    {"recording": 1, "status": 200, "headers": [["content-type", "text/event-stream"]]}
    {"at": 0.3121, "text": "data: {\\"choices\\":[{\\"index\\":0,\\"delta\\":{\\"content\\":\\"Hel\\"}}]}\\n\\n"}
    {"at": 0.3455, "hex": "646174613a20c3"}
    {"at": 1.2000, "end": "complete"}

The first line is the head of the response. Then comes a line for each read: ``at`` counts seconds from the request, and
the bytes are ``text`` if they are whole characters of UTF-8, else ``hex``. The last line says how the body ended:
*complete*, or *cut*. The reads are those of the body without its chunks. The request is not kept, nor are keys, cookies and
what belongs to one connection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Recording", "RecordingError", "end_line", "head_line", "read_line"]

VERSION = 1
KEPT = ("content-type", "content-encoding", "retry-after")


class RecordingError(ValueError):
    """Lines that are no recording; the message says which and why."""


def head_line(status: int, headers: Iterable[tuple[str, str]]) -> str:
    """The first line: the status, and the headers that tell nothing of who asked.

    >>> head_line(200, [("Content-Type", "text/event-stream"), ("Set-Cookie", "id=7")])
    '{"recording": 1, "status": 200, "headers": [["content-type", "text/event-stream"]]}'
    """
    kept = [[name.lower(), value] for name, value in headers if name.lower() in KEPT]
    return json.dumps({"recording": VERSION, "status": status, "headers": kept})


def read_line(at: float, data: bytes) -> str:
    """The line of one read, ``at`` seconds after the request.

    >>> read_line(0.5, b"data: hi"), read_line(0.5, b"caf\\xc3")
    ('{"at": 0.5, "text": "data: hi"}', '{"at": 0.5, "hex": "636166c3"}')
    """
    try:
        return json.dumps({"at": round(at, 4), "text": data.decode()}, ensure_ascii=False)
    except UnicodeDecodeError:
        return json.dumps({"at": round(at, 4), "hex": data.hex()})


def end_line(at: float, end: str) -> str:
    """The last line: the body is *complete*, or *cut*."""
    return json.dumps({"at": round(at, 4), "end": end})


@dataclass(frozen=True, slots=True)
class Recording:
    """A stream that was recorded: its head, its reads with their times in seconds, and whether its body was whole.

    >>> lines = [head_line(200, []), read_line(0.5, b"data: hi"), end_line(1, "cut")]
    >>> Recording.read(lines).reads, Recording.read(lines).whole
    (((0.5, b'data: hi'),), False)
    """

    status: int
    headers: Mapping[str, str]
    reads: tuple[tuple[float, bytes], ...]
    ended_at: float
    whole: bool

    @classmethod
    def read(cls, source: Any) -> Recording:
        """Read a recording: its lines, or the objects that they hold. Raises ``RecordingError``."""
        if isinstance(source, str | Mapping) or not isinstance(source, Iterable):
            raise RecordingError("a recording is a list of lines")
        lines = list(objects(source))
        head, rest = lines[0] if lines else {}, lines[1:]
        if head.get("recording") != VERSION:
            raise RecordingError(f'line 1 must be the head: {{"recording": {VERSION}, "status": 200, ...}}')
        status = head.get("status", 200)
        if type(status) is not int or not 200 <= status <= 599:
            raise RecordingError("line 1: status must be a whole number from 200 to 599")
        reads: list[tuple[float, bytes]] = []
        ended_at, whole = 0.0, True
        for number, line in enumerate(rest, 2):
            ended_at = time_of(line, number, ended_at)
            if "end" in line:
                if number != len(lines) or line["end"] not in ("complete", "cut"):
                    raise RecordingError(f'line {number}: "end" is "complete" or "cut", and stands in the last line')
                whole = line["end"] == "complete"
            else:
                reads.append((ended_at, bytes_of(line, number)))
        return cls(status, headers_of(head), tuple(reads), ended_at, whole)


def objects(lines: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Parse the lines; blank ones are passed over."""
    for number, line in enumerate(lines, 1):
        if isinstance(line, str):
            if not line.strip():
                continue
            try:
                line = json.loads(line)
            except ValueError as error:
                raise RecordingError(f"line {number} is no JSON: {error}") from None
        if not isinstance(line, dict):
            raise RecordingError(f"line {number} must be a JSON object")
        yield line


def time_of(line: Mapping[str, Any], number: int, before: float) -> float:
    """The time of a line, which is not before that of the line above."""
    at = line.get("at")
    if type(at) not in (int, float) or not before <= at <= 1e6:  # type: ignore[operator]
        raise RecordingError(f'line {number}: "at" must be a number of seconds, not less than in the line above')
    return float(at)  # type: ignore[arg-type]


def bytes_of(line: Mapping[str, Any], number: int) -> bytes:
    """The bytes of a read."""
    try:
        if isinstance(line.get("text"), str) and "hex" not in line:
            return str(line["text"]).encode()
        if isinstance(line.get("hex"), str) and "text" not in line:
            return bytes.fromhex(line["hex"])
    except ValueError as error:
        raise RecordingError(f"line {number}: {error}") from None
    raise RecordingError(f'line {number} must have "text" or "hex"')


def headers_of(head: Mapping[str, Any]) -> dict[str, str]:
    """The headers that are kept, by their lower-case names."""
    headers = head.get("headers", [])
    pairs = [pair for pair in headers if isinstance(pair, list) and len(pair) == 2] if isinstance(headers, list) else []
    if not isinstance(headers, list) or len(pairs) != len(headers):
        raise RecordingError("line 1: headers must be a list of pairs")
    kept = {str(name).lower(): str(value) for name, value in pairs if str(name).lower() in KEPT}
    if any(not value.isprintable() or not value.isascii() for value in kept.values()):
        raise RecordingError("line 1: a header must be printable ASCII")
    return kept
