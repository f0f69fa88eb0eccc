"""Streams of typed events: what Messages and Responses have in common.

In:   exchanges of the profiles ``anthropic`` and ``openai-responses``.
Out:  the JSON objects of a stream, each with the name of its event; whole answers and errors; ``Failed`` where there are
      none; the checks that hold for both.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeGuard

from sse_ref.conformance.servers.chats import strict_json
from sse_ref.conformance.servers.streams import has_events, is_utf8
from sse_ref.conformance.servers.target import (
    Failed,
    Skipped,
    Target,
    check,
    error_message,
    expect,
    in_brackets,
    in_each,
    json_object,
)
from sse_ref.conformance.wire import Exchange

__all__ = [
    "Typed",
    "accepted",
    "error_body",
    "failing",
    "fits_the_schema",
    "is_several",
    "is_whole_number",
    "refused",
    "require",
]
__all__ += ["same_as_whole", "streams", "typed", "whole_answer"]


UNSUPPORTED = (400, 404, 422, 501)  # statuses of a server that does not do what is asked for


class Typed:
    """A stream of events whose data are objects with a ``type``."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = has_events(exchange)

    @cached_property
    def named(self) -> list[tuple[str, dict[str, Any]]]:
        """The objects, each with the type of its event; data that is no object is left out."""
        both = zip(self.exchange.events, self.exchange.values, strict=True)
        found = [(event.event, value) for event, value in both if isinstance(value, dict)]
        if not found:
            raise Failed("no event holds a JSON object")
        return found

    @property
    def values(self) -> list[dict[str, Any]]:
        """The objects."""
        return [value for _, value in self.named]

    def of(self, *types: str) -> list[dict[str, Any]]:
        """The objects of these types."""
        return [value for value in self.values if value.get("type") in types]

    def one(self, kind: str) -> dict[str, Any]:
        """The first object of a type. Raises ``Failed`` if there is none."""
        found = self.of(kind)
        expect(found, f"no {kind} came")
        return found[0]


def failing(target: Target) -> Typed:
    """The stream of the model that fails in the middle."""
    if target.get("error").status >= 500:
        raise Skipped("the model failed before the stream")
    return typed(target, "error")


def typed(target: Target, name: str) -> Typed:
    """A named exchange as a stream. Raises ``Failed`` if it is none."""
    return Typed(target.get(name))


def streams(target: Target, *names: str) -> Iterator[Typed]:
    """Those of the named exchanges that are streams: the first, and the others that were answered."""
    for name in names:
        exchange = target.get(name)
        if name == names[0] or exchange.status == 200:
            yield Typed(exchange)


def require(target: Target, name: str, what: str) -> None:
    """Raise ``Skipped`` if the server does not do what a named exchange asks for."""
    exchange = target.get(name)
    if exchange.status in UNSUPPORTED:
        raise Skipped(f"the server does not take {what}: {error_message(exchange.body)}")


@check("typed/accepted")
def typed_accepted(target: Target) -> None:
    accepted(target, *target.exchanges)


@check("head/request-charset")
def head_request_charset(target: Target) -> None:
    accepted(target, *target.exchanges)


@check("head/request-identity")
def head_request_identity(target: Target) -> None:
    accepted(target, *target.exchanges)


@check("null/parameters")
def null_parameters(target: Target) -> None:
    nulls_are_taken(target, "nulls")


@check("null/other-parameters")
def null_other_parameters(target: Target) -> None:
    nulls_are_taken(target, "other-nulls")


def nulls_are_taken(target: Target, name: str) -> None:
    """A request with several nulls is answered; if it is not, each null is tried alone, so that all are told."""
    if target.get(name).status == 200:
        return
    body = target.file["exchanges"][name]["body"]
    accepted(target, *(f"null-{member}" for member, value in body.items() if value is None))
    accepted(target, name)


@check("typed/json")
def typed_json(target: Target) -> None:
    for event in has_events(target.get("base")).events:
        expect(isinstance(strict_json(event.data), dict), f"the data is no JSON object: {event.data[:80]!r}")


@check("typed/ends")
def typed_ends(target: Target) -> None:
    exchange = has_events(target.get("base"))
    expect(any(map(target.is_last, exchange.events)), "the last event did not come")
    if exchange.expired:
        raise Failed(f"after the last event the stream stayed open: {exchange.expired}", expired=True)


def whole_answer(target: Target, name: str) -> dict[str, Any]:
    """The JSON object of an answer that is not streamed."""
    accepted(target, name)
    exchange = target.get(name)
    expect(exchange.kind == "application/json", f"{name}: the Content-Type is {exchange.header('content-type')!r}")
    return json_object(exchange.body, name)


def accepted(target: Target, *names: str) -> None:
    """The named requests are answered."""

    def answered(target: Target, name: str) -> None:
        exchange = target.get(name)
        status = exchange.status or exchange.problem
        expect(exchange.status == 200, f"{name}: the status is {status}: {error_message(exchange.body)}")

    in_each(*names)(answered)(target)


def refused(target: Target, name: str, statuses: Sequence[int]) -> dict[str, Any]:
    """The JSON object of a refused request; ``statuses`` are those that are right."""
    exchange = target.get(name)
    allowed = f"{statuses[0]} to {statuses[-1]}" if len(statuses) > 9 else " or ".join(map(str, statuses))
    status = exchange.status or "missing"
    expect(exchange.status in statuses, f"{name}: the status is {status}, not {allowed}{in_brackets(exchange.problem)}")
    expect(exchange.kind == "application/json", f"{name}: the Content-Type is {exchange.header('content-type')!r}")
    return json_object(exchange.body, name)


def error_body(target: Target, name: str, *statuses: int) -> dict[str, Any]:
    """The JSON object of a refused request, whose status is one of ``statuses``; {} if the body is none."""
    exchange = target.get(name)
    status = exchange.status or exchange.problem
    expect(exchange.status in statuses, f"{name}: the status is {status}, not {' or '.join(map(str, statuses[:3]))}")
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(exchange.body)
        return value if isinstance(value, dict) else {}
    return {}


def is_whole_number(value: Any) -> TypeGuard[int]:
    """A whole number, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def same_as_whole(target: Target, text_of: Callable[[Typed], str], whole_text: Callable[[dict[str, Any]], str]) -> None:
    """The deltas together are the text of the same answer unstreamed, for a model that repeats its prompt."""
    target.require("echo")
    streamed = target.get("echo-unicode")
    is_utf8(has_events(streamed))
    said, answer = text_of(Typed(streamed)), whole_text(whole_answer(target, "echo-whole"))
    expected = target.file["expected"]
    expect(said == expected, f"the deltas are {said[:120]!a}, not {expected!a}")
    expect(answer == expected, f"the whole answer is {answer[:120]!a}, not {expected!a}")


def is_several(parts: Sequence[str], what: str) -> None:
    """A long text came in more than one part."""
    text = "".join(parts)
    if len(text) < 20:
        raise Skipped(f"{what} is short: {text!r}")
    expect(len(parts) >= 2, f"all {len(text)} characters came in one delta")


def fits_the_schema(text: Any, what: str, *names: str) -> None:
    """A text is the JSON of an object whose members of these names are strings."""
    try:
        value = json.loads(text)
    except (ValueError, TypeError):
        raise Failed(f"{what} is not JSON: {text!r:.80}") from None
    fits = isinstance(value, dict) and all(isinstance(value.get(name), str) for name in names)
    expect(fits, f"{what} does not fit the schema: {text!r:.80}")
