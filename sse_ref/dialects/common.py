"""What all dialects share: the request, the errors, and JSON on one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sse_ref.pieces import Prompt

__all__ = [
    "UNPRINTABLE",
    "Request",
    "json_parts",
    "read_json",
    "to_json",
]

# Controls, and the marks that turn the order of a line around (U+202E makes "gpj.exe" read as "exe.jpg"): a regular
# expression for what is not printed as it came, from whomever it came.
UNPRINTABLE = "[\0-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as every dialect understands it: what is asked, and how the answer shall come."""

    prompt: Prompt
    stream: bool = True
    include_usage: bool = False


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

# Legal in JSON and in event streams, but naive clients that read lines with str.splitlines end a line at them.
_LINE_BREAKERS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def to_json(value: Any) -> str:
    """A value as JSON on one line, as compact as providers write it.

    ``allow_nan=False``: JSON has no NaN, and half of all clients stop at one. Raises ``ValueError`` for it.

    >>> to_json({"text": "caf\u00e9\u2028"})
    '{"text":"caf\u00e9\\\\u2028"}'
    """
    text = _encode(value)
    return text if text.isascii() else text.translate(_LINE_BREAKERS)


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


MAX_DIGITS = 4000  # of a whole number; Python itself refuses more than 4,300 (CVE-2020-10735)


def read_json(text: str, **options: Any) -> Any:
    """The value of a JSON text. A whole number of more than 4,000 digits is read as a float: JSON knows no limit.

    Raises ``ValueError`` or ``RecursionError`` for what is not JSON.

    >>> read_json("[1, 2.5]")
    [1, 2.5]
    """
    return json.loads(text, parse_int=_whole_number, **options)


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)
