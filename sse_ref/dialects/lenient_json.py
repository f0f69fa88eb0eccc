"""JSON of answers, read leniently: members may be missing, added, or of another type.

In:   values of events that were read as JSON, whatever their type.
Out:  strings, objects, numbers; or a ``ProtocolError``; the message of an error, in whichever shape.

A server's answer is not refused for its form: what can be understood in one way is understood. Two things need care. Half a
character must wait for its other half, because some services cut texts between the two ``\\u`` escapes of one. And
arguments that are two JSON values are those of two tool calls, merged into one that no model made.
"""

from __future__ import annotations

import codecs
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sse_ref.codec import ServerSentEvent
from sse_ref.dialects.strict_json import read_json
from sse_ref.errors import ApiError, ProtocolError, fit
from sse_ref.pieces import Usage

__all__ = [
    "Halves",
    "Told",
    "Warnings",
    "as_json",
    "check_arguments",
    "is_one_value",
    "label",
    "message_in",
    "message_in_body",
    "objects",
]
__all__ += ["read_event", "read_value", "string", "token_count", "usage_in", "whole_characters"]

MAX_WARNINGS = 100  # of one stream: the rest would say little more


class Warnings(list[str]):
    """Oddities that were tolerated: each is noted once, and a hundred at most.

    >>> warnings = Warnings()
    >>> warnings.append("odd"); warnings.append("odd"); warnings
    ['odd']
    """

    def append(self, warning: str) -> None:
        """Note an oddity."""
        if warning not in self and len(self) < MAX_WARNINGS:
            super().append(warning)


def read_event(event: ServerSentEvent, warnings: list[str]) -> dict[str, Any]:
    """The JSON object of an event that tells its own ``type``; {} for one that is ignored.

    Raises what ``read_value`` returns or raises.

    >>> read_event(ServerSentEvent('{"type": "ping"}'), Warnings())
    {'type': 'ping'}
    """
    value, error = read_value(event, warnings)
    if error:
        raise error
    return value


def read_value(event: ServerSentEvent, warnings: list[str]) -> tuple[dict[str, Any], ApiError | None]:
    """The JSON object of an event, and the error that it tells of: pieces of the answer may stand beside it.

    An error may have any shape: it is known by its event type or ``type``, by an ``error``, or a ``detail`` alone. Raises
    ``ProtocolError`` for any other event whose data is no JSON object.

    >>> read_value(ServerSentEvent('{"text": "Hel", "error": "no"}'), Warnings())
    ({'text': 'Hel', 'error': 'no'}, ApiError('no'))
    """
    is_error = event.event == "error"
    if not is_error and (not event.data or event.data.strip() == "[DONE]"):
        if event.event != "ping":
            warnings.append("an event without JSON was ignored")
        return {}, None
    try:
        value = read_json(event.data)
    except (ValueError, RecursionError):
        value = event.data
    if isinstance(value, dict) and not is_error:
        kind = str(value.get("type"))
        is_error = kind == "error" or kind.endswith("_error") or bool(value.get("error"))
        is_error = is_error or ("type" not in value and bool(value.get("detail")))
    if is_error:
        message = message_in(value) or fit(event.data) or "the server sent an error without a message"
        return value if isinstance(value, dict) else {}, ApiError(message)
    if not isinstance(value, dict):
        raise ProtocolError(f"an event is no JSON object: {fit(event.data)}")
    return value, None


# ---- Values that may have any type -----------------------------------------------------------------------------------


def token_count(value: Any) -> int | None:
    """A whole number of tokens, which some services write as 3.0; None for anything else.

    >>> token_count(3.0), token_count("3")
    (3, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        return None
    return int(value) if value == int(value) else None


def usage_in(
    usage: Any, prompt: Sequence[str], completion: Sequence[str], details: str = "", reasoning: str = ""
) -> Usage | None:
    """A usage whose numbers have one of these names; None if it tells none of the two.

    >>> usage_in({"in": 3, "out": 2.0}, ("in",), ("out",))
    Usage(prompt_tokens=3, completion_tokens=2, reasoning_tokens=0, tokens=0)
    """
    if not isinstance(usage, dict):
        return None
    read, written = (
        next((token_count(usage[name]) for name in names if name in usage), None) for names in (prompt, completion)
    )
    inner = usage.get(details)
    reasoned = token_count(inner.get(reasoning)) if isinstance(inner, dict) else 0
    return None if read is None and written is None else Usage(read, written, reasoned or 0)


def string(value: Any, what: str) -> str:
    """A string. Raises ``ProtocolError`` for any other value, which ``what`` names."""
    if not isinstance(value, str):
        raise ProtocolError(f"{what} is no string: {fit(as_json(value))}")
    return value


def label(value: Any, what: str) -> str:
    """A name, an id or a reason; "" if it is missing.

    >>> label("a\\ud83e", "a name"), label(None, "a name")
    ('a\ufffd', '')
    """
    return whole_characters(string(value or "", what))


def whole_characters(text: str) -> str:
    """A text in which half a surrogate pair, which is no character, has become U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def objects(owner: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """A member that is an array of objects; nothing if it is missing or null. Raises ``ProtocolError`` for others."""
    value = owner.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(element, dict) for element in value):
        raise ProtocolError(f"{name} is no array of objects: {fit(as_json(value))}")
    return value


def as_json(value: Any) -> str:
    """Anything that was read as JSON, for a message: NaN too, which Python reads although JSON has none.

    >>> as_json({"n": float("nan")})
    '{"n": NaN}'
    """
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "a value nested too deeply, or with a number too large"


def check_arguments(arguments: bytes | bytearray) -> None:
    """Raise ``ProtocolError`` if the arguments of a tool call, as UTF-8, are not one JSON value."""
    if not is_one_value(text := arguments.decode("utf-8", "surrogatepass")):
        raise ProtocolError(f"the arguments of a tool call are not JSON: {fit(text)}")


def is_one_value(text: str) -> bool:
    """Whether the arguments of a tool call are one JSON value. Raises ``ProtocolError`` if they are two.

    >>> is_one_value('{"a": 1}'), is_one_value('{"a"')
    (True, False)
    """
    decoder = json.JSONDecoder()
    try:
        _, end = decoder.raw_decode(text.lstrip())
        if rest := text.lstrip()[end:].strip():
            decoder.raw_decode(rest)
            raise ProtocolError(f"two tool calls cannot be told apart: the arguments are {fit(text)}")
    except (ValueError, RecursionError):
        return False
    return True


# ---- Characters that are cut in two ----------------------------------------------------------------------------------


class Halves:
    """Joins surrogate pairs that were cut in two by ``\\u`` escapes in two events, for each of several texts.

    >>> halves = Halves()
    >>> halves.whole("text", "a\\ud83e"), halves.whole("text", "\\udd8a"), list(halves.rest())
    ('a', '🦊', [])
    """

    def __init__(self) -> None:
        self.decoders: dict[Any, codecs.IncrementalDecoder] = {}  # of the texts in which half a pair was seen

    def whole(self, key: Any, text: str) -> str:
        """What there is of a text after its next piece; half a pair that stays alone becomes U+FFFD."""
        decoder = self.decoders.get(key)
        if decoder is None:
            try:
                text.encode()
                return text
            except UnicodeEncodeError:
                decoder = self.decoders[key] = codecs.getincrementaldecoder("utf-16-le")("replace")
        return decoder.decode(text.encode("utf-16-le", "surrogatepass"))

    def last(self, key: Any) -> str:
        """What there is of a text at its end: U+FFFD if its last half never came."""
        return self.decoders.pop(key).decode(b"", True) if key in self.decoders else ""

    def rest(self) -> Iterator[tuple[Any, str]]:
        """U+FFFD for each text whose last half never came."""
        for key in [*self.decoders]:
            if half := self.last(key):
                yield key, half


class Told:
    """A text that comes in deltas, and then whole: what of the whole has not come yet. It holds no text, only a check sum.

    >>> told = Told()
    >>> told.add("Hel"), told.rest("Hello"), told.rest("Hi")
    ('Hel', 'lo', None)
    """

    def __init__(self) -> None:
        self.length = 0
        self.check = 0

    def add(self, text: str) -> str:
        """Note the next piece, and return it."""
        self.length += len(text)
        self.check = zlib.crc32(text.encode("utf-8", "replace"), self.check)
        return text

    def rest(self, whole: str) -> str | None:
        """The end of the whole text; None if its beginning is not what has come."""
        same = zlib.crc32(whole[: self.length].encode("utf-8", "replace")) == self.check
        return whole[self.length :] if same else None


# ---- The message of an error -----------------------------------------------------------------------------------------

MESSAGE_MEMBERS = ("message", "error", "errors", "detail", "error_msg", "status_msg", "msg")


def message_in(shape: Any, depth: int = 6) -> str:
    """The message of an error: a string, an object that has one, or an array of those; "" if there is none.

    >>> message_in({"error": {"message": "no"}}), message_in([{"detail": "a"}, "b"])
    ('no', 'a; b')
    """
    if isinstance(shape, str) or depth == 0:
        return shape if isinstance(shape, str) else ""
    if isinstance(shape, list):
        return "; ".join(filter(None, (message_in(element, depth - 1) for element in shape[:10])))
    if isinstance(shape, dict):
        return next(filter(None, (message_in(shape.get(name), depth - 1) for name in MESSAGE_MEMBERS)), "")
    return ""


def message_in_body(body: bytes) -> str:
    """The message in the body of an HTTP error; the body itself if it is no JSON.

    >>> message_in_body(b'{"detail": "no"}'), message_in_body(b"Bad Gateway")
    ('no', 'Bad Gateway')
    """
    try:
        value = read_json(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace").strip()
    if message := message_in(value):
        return message
    shapes = (value.get(name) for name in MESSAGE_MEMBERS) if isinstance(value, dict) else [value]
    return next((as_json(shape) for shape in shapes if shape), "")
