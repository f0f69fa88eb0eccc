"""A chat stream taken apart: what the checks of ``openai_chat`` look at.

In:   exchanges of the profile ``openai-chat``.
Out:  chunks, choices, texts, tool calls, usages and errors; ``Failed`` or ``Skipped`` where there are none.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from sse_ref.conformance.servers.streams import has_events, is_utf8
from sse_ref.conformance.servers.target import Failed, Skipped, Target, error_message, expect, json_object, told, whole
from sse_ref.conformance.wire import Exchange

__all__ = ["Chat", "arguments_of", "calls_of", "chat_of", "delta_of", "error_at", "failed_stream", "function_of"]
__all__ += [
    "has_one_token",
    "is_same_in_all",
    "refused",
    "repeatable",
    "round_trips",
    "strict_json",
    "taken",
    "tool_stream",
]
__all__ += ["usage_of", "whole_answer", "with_stop"]

NOT_TAKEN = (400, 404, 422, 501)
"""Statuses by which a server says that it does not know what a request asks for."""


def chat_of(target: Target, name: str) -> Chat:
    """A named exchange as the chat stream that it should be. Raises ``Failed`` if it is none."""
    return Chat(target.get(name))


class Chat:
    """A chat stream, taken apart."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = has_events(exchange)

    @cached_property
    def chunks(self) -> list[dict[str, Any]]:
        """The JSON objects before [DONE]."""
        before_done = itertools.takewhile(lambda event: event.data != "[DONE]", self.exchange.events)
        chunks = [value for _, value in zip(before_done, self.exchange.values, strict=False) if isinstance(value, dict)]
        if not chunks:
            raise Failed("no chunk came")
        return chunks

    @property
    def choices(self) -> Iterator[dict[str, Any]]:
        """Every choice of every chunk that is an object."""
        for chunk in self.chunks:
            choices = chunk.get("choices")
            yield from (c for c in (choices if isinstance(choices, list) else []) if isinstance(c, dict))

    def choices_at(self, index: int) -> list[dict[str, Any]]:
        """The choices with this index."""
        return [choice for choice in self.choices if choice.get("index") == index]

    def text(self, index: int = 0) -> str:
        """The contents of one choice, put together."""
        return "".join(self.texts(index))

    def texts(self, index: int = 0) -> list[str]:
        """The contents of one choice, one by one, without the empty ones."""
        contents = (delta_of(choice).get("content") for choice in self.choices_at(index))
        return [content for content in contents if isinstance(content, str) and content]

    def finish(self, index: int = 0) -> list[Any]:
        """The finish reasons of one choice."""
        return [choice["finish_reason"] for choice in self.choices_at(index) if choice.get("finish_reason") is not None]

    @property
    def usages(self) -> list[dict[str, Any]]:
        """The chunks with a usage."""
        return [chunk for chunk in self.chunks if chunk.get("usage") is not None]

    @property
    def fragments(self) -> list[Any]:
        """Every entry of every tool_calls list of the first choice."""
        calls = (delta_of(choice).get("tool_calls") for choice in self.choices_at(0))
        found = [fragment for call in calls if isinstance(call, list) for fragment in call]
        if not found:
            raise Skipped("the model made no tool call")
        return found


def delta_of(choice: Mapping[str, Any]) -> dict[str, Any]:
    """The delta of a choice; {} if it is no object."""
    delta = choice.get("delta")
    return delta if isinstance(delta, dict) else {}


def is_same_in_all(chat: Chat, name: str, kind: type) -> None:
    """A member has one type and one value in all chunks."""
    values = [chunk.get(name) for chunk in chat.chunks]
    wrong = next((value for value in values if not isinstance(value, kind) or isinstance(value, bool)), None)
    expect(all(isinstance(v, kind) and not isinstance(v, bool) for v in values), f"the {name} of a chunk is {wrong!r}")
    expect(len(set(values)) == 1, f"the {name} changes: {sorted(map(str, set(values)))[:3]}")


def repeatable(target: Target) -> Chat:
    """The stream of a seeded request. Raises ``Skipped`` if the same request has another answer each time."""
    one, other = chat_of(target, "seeded"), chat_of(target, "seeded-again")
    if one.text() != other.text():
        raise Skipped("the model gives another text each time, also with a seed and temperature 0")
    return one


def has_one_token(chat: Chat) -> None:
    """The answer ended at its limit of one token."""
    expect(chat.finish() == ["length"], f"the finish reasons are {chat.finish()}")
    for chunk in chat.usages:
        tokens = chunk["usage"].get("completion_tokens") if isinstance(chunk["usage"], dict) else None
        expect(isinstance(tokens, int) and tokens <= 1, f"completion_tokens is {tokens!r}")


def with_stop(target: Target, stop: str) -> Chat:
    """The seeded stream, asked for with a stop string."""
    spec = json.loads(json.dumps(target.file["exchanges"]["seeded"]))
    spec["body"]["stop"] = [stop]
    with target.connect() as connection:
        connection.send(target.request(spec))
        return Chat(whole(connection.answer()))


def whole_answer(target: Target, name: str) -> dict[str, Any]:
    """The JSON object of an answer that is not streamed."""
    exchange = target.get(name)
    expect(exchange.status == 200, f"{name}: the status is {exchange.status}: {error_message(exchange.body)}")
    expect(exchange.kind == "application/json", f"{name}: the Content-Type is {exchange.header('content-type')!r}")
    expect(exchange.ended, f"{name}: {exchange.problem}")
    value = json_object(exchange.body, name)
    expect(value.get("object") == "chat.completion", f"{name}: the object is {value.get('object')!r}")
    return value


def round_trips(target: Target, name: str) -> None:
    """A model that repeats its prompt gives back every character of it."""
    target.require("echo")
    chat = chat_of(target, name)
    is_utf8(chat.exchange)
    expected = target.file["exchanges"][name]["body"]["messages"][0]["content"]
    expect(chat.text() == expected, f"the text came back as {chat.text()[:120]!a}, not {expected!a}")


def usage_of(target: Target, name: str) -> dict[str, Any]:
    """The usage of a stream."""
    chat = chat_of(target, name)
    expect(chat.usages, "no usage came")
    usage = chat.usages[-1]["usage"]
    expect(isinstance(usage, dict), f"the usage is {usage!r}")
    return dict(usage)


def taken(target: Target, name: str, what: str) -> Chat:
    """The stream of a request that a server may refuse: then ``Skipped`` is raised, which says ``what`` it does not take."""
    exchange = target.get(name)
    if exchange.status in NOT_TAKEN:
        raise Skipped(f"the server does not take {what}: {error_message(exchange.body)}")
    return Chat(exchange)


def tool_stream(target: Target, name: str = "tool") -> Chat:
    """The stream of a request with tools."""
    chat = taken(target, name, "tools")
    _ = chat.fragments
    return chat


def calls_of(chat: Chat) -> dict[Any, list[dict[str, Any]]]:
    """The fragments of each call."""
    calls: dict[Any, list[dict[str, Any]]] = {}
    for fragment in chat.fragments:
        expect(isinstance(fragment, dict), f"a fragment is {fragment!r:.80}")
        calls.setdefault(fragment.get("index"), []).append(fragment)
    return calls


def function_of(fragment: Mapping[str, Any]) -> dict[str, Any]:
    """The function of a fragment; {} if it is no object."""
    function = fragment.get("function")
    return function if isinstance(function, dict) else {}


def arguments_of(fragments: Sequence[Mapping[str, Any]]) -> Any:
    """The arguments of a call, put together. Raises ``Failed`` if they are no JSON object."""
    parts = [function_of(fragment).get("arguments") for fragment in fragments]
    text = "".join(part for part in parts if isinstance(part, str))
    try:
        value = json.loads(text)
    except ValueError:
        raise Failed(f"the arguments are not JSON: {text[:80]!r}") from None
    expect(isinstance(value, dict), f"the arguments are no JSON object: {text[:80]!r}")
    return value


def refused(target: Target, name: str, statuses: Sequence[int]) -> dict[str, Any]:
    """The error object of a refused request; ``statuses`` are those that are right."""
    exchange = target.get(name)
    allowed = " or ".join(map(str, statuses))
    expect(exchange.status in statuses, f"{name}: {told(exchange)}, not {allowed}")
    expect(exchange.kind == "application/json", f"{name}: the Content-Type is {exchange.header('content-type')!r}")
    expect(exchange.ended, f"{name}: {exchange.problem}")
    error = json_object(exchange.body, name).get("error")
    if not isinstance(error, dict):
        raise Failed(f"{name}: the error is no object: {exchange.body[:80]!r}")
    return error


def failed_stream(target: Target) -> Chat:
    """The stream of the model that fails."""
    return chat_of(target, "error")


def error_at(chat: Chat) -> int:
    """The position of the chunk that holds an error."""
    for number, chunk in enumerate(chat.chunks):
        if chunk.get("error"):
            return number
    raise Failed("no error came in the stream")


def strict_json(text: str) -> Any:
    """The value of a JSON text. Raises ``Failed`` for what only lenient readers read."""

    def constant(name: str) -> Any:
        raise Failed(f"{name} is no JSON: {text[:80]!r}")

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        expect(len(value) == len(pairs), f"a name comes twice in one object: {text[:80]!r}")
        return value

    def real(digits: str) -> float:
        expect(math.isfinite(float(digits)), f"{digits} is beyond what a number can be")
        return float(digits)

    try:
        value = json.loads(text, parse_constant=constant, object_pairs_hook=members, parse_float=real)
    except (ValueError, RecursionError):
        raise Failed(f"this is not JSON: {text[:80]!r}") from None
    expect(not re.search("[\ud800-\udfff]", json.dumps(value, ensure_ascii=False)), "a lone surrogate")
    return value
