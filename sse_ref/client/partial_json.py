"""Reading JSON while it grows: the value of a text whose end has not come.

In:   the beginning of a JSON text.
Out:  the value as far as it is certain.

Tool arguments and structured output reach a client as fragments of one JSON text (RFC 8259). A client that wants to show
something before the last fragment has come needs the value so far. The text is read token by token, and two things are
remembered: which arrays and objects are open, and up to where the text is *certain*, which means that closing what is open
there makes it valid JSON whose value can only grow. What may still change is left out: a name without its value, a number or
a literal that may go on, half an escape sequence.

    the text so far                  certain up to                   its value
    {                                {                               {}
    {"ci                             {                               {}
    {"city": "Os                     {"city": "Os                    {"city": "Os"}
    {"city": "Oslo", "days": 1       {"city": "Oslo"                 {"city": "Oslo"}
    {"city": "Oslo", "days": 12}     all of it                       {"city": "Oslo", "days": 12}

A number is certain only when something follows it: 1 may become 12. A string is certain as far as it goes, because a string
that grows keeps its beginning; the end of a word may be missing, but no word is wrong. Reading takes time in proportion to
the text, so that showing the value at each fragment takes time in its square: for a few kilobytes nobody notices.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["read_partial"]

_TOKEN = re.compile(
    r'(\s+)|("(?:[^"\\]|\\.)*")|([\[{])|([\]}])|(,)|(:)|(-?[0-9][-+.eE0-9]*)|(true|false|null)', re.DOTALL
)
# A string without its end. The escape of a high surrogate is left out while its other half may still come.
_OPEN_STRING = re.compile(
    r"""" (?: [^"\\] | \\[^u] | \\u(?![dD][89abAB])[0-9a-fA-F]{4}
            | \\u[dD][89abAB][0-9a-fA-F]{2} (?= [^\\] | \\[^u] | \\u[0-9a-fA-F]{4} ) )*""",
    re.VERBOSE,
)


def read_partial(text: str) -> Any:
    """Return the value that ``text``, the beginning of a JSON text, has shown so far; None if nothing yet.

    Strings, arrays and objects are given as far as they go; what may still change is left out. Raises ``ValueError`` for a
    text that is seen to be no JSON; what follows the certain part is not looked at closely.

    >>> read_partial('{"city": "Os')
    {'city': 'Os'}
    >>> read_partial('{"city": "Oslo", "days": 1')
    {'city': 'Oslo'}
    """
    closers: list[str] = []  # what would have to follow to close what is open
    name_comes = False  # in an object, before the colon
    certain = 0  # how far the text is certain: closing what is open there makes it valid JSON
    quotation_mark = ""
    position = 0
    while match := _TOKEN.match(text, position):
        position = match.end()
        _, string, opener, closer, comma, colon, number, literal = match.groups()
        if opener:
            closers.append("}" if opener == "{" else "]")
        elif closer and (not closers or closers.pop() != closer):
            raise ValueError(f"{closer} at character {position - 1} closes nothing")
        ends_value = literal or (string and not name_comes) or (number and position < len(text))
        if opener or closer or ends_value:
            certain = position
        if opener or comma:
            name_comes = bool(closers) and closers[-1] == "}"
        elif colon:
            name_comes = False
    rest = text[position:]
    if rest.startswith('"') and not name_comes:
        begun = _OPEN_STRING.match(rest)
        assert begun  # it starts with a quotation mark
        certain, quotation_mark = position + begun.end(), '"'
    elif (
        rest and not rest.startswith('"') and not any(word.startswith(rest) for word in ("true", "false", "null", "-"))
    ):
        raise ValueError(f"no JSON at character {position}")
    if not certain:
        return None
    try:
        return json.loads(text[:certain] + quotation_mark + "".join(reversed(closers)), strict=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
