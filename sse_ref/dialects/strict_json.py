"""JSON of requests: read strictly, with the path of what is wrong; and JSON written on one line.

In:   the bytes of a request's body; or a value.
Out:  its fields, one by one, or a ``RequestError`` that names the field at fault; or JSON text.

Follows RFC 8259. A request is read by the letter, where Python's ``json`` is lenient: NaN and Infinity are no JSON, half a
surrogate pair is no text. What a body may cost is limited by counting its brackets, also those in strings, because that is
quick, and the digits of its numbers. A server's JSON is read leniently: it is not the reader's place to refuse an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from json import JSONDecoder, JSONEncoder, dumps, encoder
from typing import Any, Self

from sse_ref.errors import RequestError

__all__ = ["Fields", "read_json", "to_json"]

MAX_DIGITS = 4000  # of a whole number; Python itself refuses more than 4,300 (CVE-2020-10735)
MAX_BRACKETS = 100_000  # opening ones in a request: what arrays and objects cost is not in proportion to their bytes

_encode = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
# Legal in JSON and in event streams, but naive clients that read lines with str.splitlines end a line at them.
_LINE_BREAKERS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


def to_json(value: Any) -> str:
    """Return a value as JSON on one line, as compact as providers write it. Raises ``ValueError`` for NaN and Infinity.

    >>> to_json({"text": "caf\u00e9\u2028"})
    '{"text":"caf\u00e9\\\\u2028"}'
    """
    # The encoder does the same with a text, a call later.
    text = encoder.encode_basestring(value) if type(value) is str else _encode(value)
    return text if text.isascii() else text.translate(_LINE_BREAKERS)


def _whole_number(digits: str) -> int | float:
    """Reading a number takes time in the square of its digits, and Python has a limit of its own."""
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


def _refuse_constant(name: str) -> None:
    """NaN, Infinity and -Infinity are Python's, not JSON's."""
    raise ValueError(f"{name} is no JSON number")


_lenient = JSONDecoder(parse_int=_whole_number)
_strict = JSONDecoder(parse_int=_whole_number, parse_constant=_refuse_constant)


def read_json(text: str, *, strict: bool = False) -> Any:
    """Return the value of a JSON text. A whole number of more than 4,000 digits becomes a float, which is infinite.

    NaN and Infinity are read unless ``strict``. Raises ``ValueError`` or ``RecursionError`` for what is not JSON.

    >>> read_json("[1, 2.5]")
    [1, 2.5]
    """
    return (_strict if strict else _lenient).decode(text)


class Fields:
    """The members of a JSON object, read one by one; the error for a wrong one has its path.

    >>> Fields({"n": 0}, "options.").number("n", 1, 1, 8, whole=True)
    Traceback (most recent call last):
    sse_ref.errors.RequestError: options.n must be a whole number from 1 to 8
    """

    def __init__(self, source: bytes | Mapping[str, Any], path: str = "") -> None:
        self.path = path
        self.values = _read_object(source) if isinstance(source, bytes) else source

    def error(self, name: str, problem: str) -> RequestError:
        """The error for a member."""
        return RequestError("bad_request", f"{self.path}{name} {problem}", param=self.path + name)

    def get(self, name: str) -> Any:
        """A member of any type; None if it is missing or null."""
        return self.values.get(name)

    def text(self, name: str) -> str:
        """A string that is not empty."""
        value = self.get(name)
        if not isinstance(value, str) or not value:
            raise self.error(name, "is missing" if value is None else "must be a string that is not empty")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false; ``default`` if it is missing or null."""
        value = self.get(name)
        if not isinstance(value, bool | None):
            raise self.error(name, "must be true, false or null")
        return default if value is None else value

    def number(self, name: str, default: Any, low: float, high: float, *, whole: bool = False) -> Any:
        """A number from ``low`` to ``high``; ``default`` if it is missing or null."""
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not low <= value <= high:
            raise self.error(name, f"must be {'a whole number' if whole else 'a number'} from {low} to {high}")
        return value

    def object(self, name: str, *, required: bool = False) -> Self:
        """The fields of an object; none if it is missing or null and not ``required``."""
        value = {} if self.get(name) is None and not required else self.get(name)
        if not isinstance(value, dict):
            raise self.error(name, "is missing" if value is None else "must be an object")
        return type(self)(value, f"{self.path}{name}.")

    def objects(self, name: str, *, required: bool = False) -> Iterator[Self]:
        """The fields of each object in an array; none if it is missing or null and not ``required``."""
        value = [] if self.get(name) is None and not required else self.get(name)
        if not isinstance(value, list) or (required and not value):
            problem = "must be an array" + (" that is not empty" if required else "")
            raise self.error(name, "is missing" if value is None else problem)
        for position, element in enumerate(value):
            if not isinstance(element, dict):
                raise self.error(f"{name}[{position}]", "must be an object")
            yield type(self)(element, f"{self.path}{name}[{position}].")


def _read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises ``RequestError`` if it is none."""
    if body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
        raise RequestError("bad_request", f"the body holds more than {MAX_BRACKETS} opening brackets")
    try:
        values = read_json(body.decode(), strict=True)
    except (ValueError, RecursionError) as error:
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RequestError("bad_request", f"the body is not valid JSON: {problem}") from None
    if not isinstance(values, dict):
        raise RequestError("bad_request", "the body must be a JSON object")
    if _SURROGATE_ESCAPE.search(body):
        for name, value in values.items():
            try:
                dumps({name: value}, ensure_ascii=False).encode()  # numbers may be infinite
            except UnicodeEncodeError:
                half = "a string holds half of a surrogate pair"
                raise RequestError("bad_request", half, param=ascii(name)[1:-1]) from None
    return values
