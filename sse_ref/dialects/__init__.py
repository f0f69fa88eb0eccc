"""The dialects: one provider's wire each, behind the interface of ``interface.py``.

    interface     what a dialect is
    strict_json   JSON of strangers: read with the path of what is wrong, written on one line
    openai        chat completions: the stream first, then requests and errors
    compatible    the same wire as other services speak it
    completions   the older text completions

A new dialect is a file and a line below.
"""

from __future__ import annotations

from sse_ref.dialects.compatible import OpenAICompatible
from sse_ref.dialects.completions import OpenAICompletions
from sse_ref.dialects.interface import Dialect

__all__ = ["DEFAULT", "DIALECTS", "dialect_at"]

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        OpenAICompatible(),
        OpenAICompletions(),
    )
}
"""The dialects by name. Where two serve one path, the first does."""

DEFAULT = next(iter(DIALECTS))
"""The name of the dialect where nothing else is said."""


def dialect_at(path: str) -> Dialect | None:
    """The dialect that serves a path; None if none does.

    >>> dialect_at("/v1/models").name, dialect_at("/")
    ('openai', None)
    """
    return next((dialect for dialect in DIALECTS.values() if dialect.serves(path)), None)
