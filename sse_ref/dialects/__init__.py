"""The dialects: one provider's wire each, behind the interface of ``interface.py``.

    interface      what a dialect is
    strict_json    JSON of requests: read with the path of what is wrong, written on one line
    openai         chat completions: the stream first, then requests and errors
    lenient_json   JSON of answers, read leniently
    compatible     chat completions as other services speak them
    completions    the older text completions
    anthropic      Messages
    responses      OpenAI's Responses
    gemini         Google's Gemini API
    cohere         Cohere's Chat, version 2
    quirks         how services deviate from chat completions
    quirky         chat completions with quirks

A new dialect is a file and a line below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sse_ref.dialects.anthropic import AnthropicMessages
from sse_ref.dialects.cohere import CohereChat
from sse_ref.dialects.compatible import OpenAICompatible
from sse_ref.dialects.completions import OpenAICompletions
from sse_ref.dialects.gemini import Gemini
from sse_ref.dialects.interface import Dialect
from sse_ref.dialects.responses import OpenAIResponses
from sse_ref.errors import RequestError, fit

__all__ = ["DEFAULT", "DIALECTS", "dialects_at", "unknown_model", "write_models"]

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        OpenAICompatible(),
        OpenAICompletions(),
        AnthropicMessages(),
        OpenAIResponses(),
        Gemini(),
        CohereChat(),
    )
}
"""The dialects by name. Where several serve one path, errors have the words of the first."""

DEFAULT = next(iter(DIALECTS))
"""The name of the dialect where nothing else is said."""


def dialects_at(path: str) -> Sequence[Dialect]:
    """The dialects that serve a path; where one answers prompts, it alone does.

    >>> [dialect.name for dialect in dialects_at("/v1/chat/completions")]
    ['openai']
    """
    for dialect in DIALECTS.values():
        if dialect.answers(path):
            return [dialect]
    return [dialect for dialect in DIALECTS.values() if dialect.serves(path)]


def unknown_model(name: str, names: Iterable[str]) -> RequestError:
    """The error for a model that is not among the names.

    >>> str(unknown_model("gpt", ["toy"]))
    "the model 'gpt' does not exist; there are toy"
    """
    problem = f"the model {fit(name, 64)!r} does not exist; there are {', '.join(names)}"
    return RequestError("no_model", problem, param="model")


def write_models(dialects: Sequence[Dialect], path: str, names: Sequence[str]) -> dict[str, Any]:
    """The JSON object of the models, or of the one that the path names, as all of these dialects write it at once.

    Providers give their models other members, so that one object has room for all. Raises ``RequestError`` for a model
    that is not among the names.

    >>> write_models(dialects_at("/v1/models"), "/v1/models/toy", ["toy"])["id"]
    'toy'
    """
    name = next((name for dialect in dialects if (name := dialect.model_at(path)) is not None), "")
    if name and name not in names:
        raise unknown_model(name, names)
    merged: dict[str, Any] = {}
    for dialect in dialects:
        merged = _merged(merged, dialect.write_model(name) if name else dialect.write_models(names))
    return merged


def _merged(one: Any, other: Any) -> Any:
    """Two objects with the members of both; arrays of objects are merged element by element."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {**other, **{name: _merged(value, other.get(name)) for name, value in one.items()}}
    if isinstance(one, list) and isinstance(other, list):
        return [_merged(*pair) for pair in zip(one, other, strict=True)]
    return one
