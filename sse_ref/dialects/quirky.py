"""Chat completions with quirks: a dialect that writes what a service would.

In:   the names of quirks, or of services.
Out:  a dialect that is read as chat completions, and written with their quirks.

    pieces  --openai.py-->  chunks  --quirks-->  events  -->  bytes  --quirks-->  body

``quirks.py`` has the functions, and here is where each kind of them is applied. The objects of chunks are read back from the
events that ``openai.py`` has written: so a quirk cannot change how a stream without quirks is written, nor slow it down.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sse_ref.codec import ServerSentEvent
from sse_ref.dialects.compatible import OpenAICompatible
from sse_ref.dialects.interface import Dialect, HTTPRequest, Request
from sse_ref.dialects.openai import DONE, usage_object
from sse_ref.dialects.quirks import DONE_EVENT, QUIRKS, Chunks, Payloads, Quirk, UsageSoFar
from sse_ref.dialects.strict_json import to_json
from sse_ref.errors import RequestError
from sse_ref.pieces import Piece, Reasoning, Usage

__all__ = ["SERVICES", "Quirky", "quirks_named", "with_quirks"]

SERVICES = {
    "azure": ("azure-prompt-filter", "azure-async-filter", "azure-choice-filter"),
    "deepseek": ("comment-keep-alive", "usage-in-finish", "reasoning-content"),
    "groq": ("usage-x-groq", "reasoning", "tools-whole", "finish-error"),
    "llamacpp": ("comment-colon", "timings", "reasoning-content"),
    "lmstudio": ("role-every-chunk", "error-lmstudio"),
    "mistral": (
        "usage-in-finish",
        "content-list",
        "tools-whole",
        "tools-short-id",
        "http-error-mistral",
        "models-typed",
    ),
    "ollama": ("role-every-chunk", "reasoning", "tools-whole", "tools-index-zero", "ids-collide", "error-swallowed"),
    "openrouter": (
        "comment-processing",
        "reasoning",
        "reasoning-details",
        "extra-choice-fields",
        "error-openrouter",
        "http-error-openrouter",
    ),
    "sglang": ("usage-every-chunk", "role-null", "extra-choice-fields", "error-vllm"),
    "tgi": (
        "comment-colon",
        "role-every-chunk",
        "finish-stop-with-tools",
        "tools-index-zero",
        "tools-repeat",
        "ids-empty",
        "error-tgi",
        "http-error-string",
    ),
    "together": ("usage-in-finish", "role-every-chunk", "finish-eos", "extra-choice-fields"),
    "vllm": ("usage-every-chunk", "reasoning", "extra-choice-fields", "error-vllm"),
}
"""The services, each with its quirks. What a service does beside them is what the vendor does."""

OTHER_NAMES = {"usage-in-every-chunk": "usage-every-chunk"}  # of quirks, as they are called elsewhere
ERROR = b'data: {"error":'  # how the event of an error begins, before a quirk changes it


def with_quirks(dialects: Sequence[Dialect], names: str) -> list[Dialect]:
    """The dialects of a path, with quirks. Raises ``RequestError`` for an unknown name, or if none of them has quirks.

    >>> from sse_ref.dialects import dialects_at
    >>> [dialect.heartbeat for dialect in with_quirks(dialects_at("/v1/chat/completions"), "deepseek")]
    [b': keep-alive\\n\\n']
    """
    quirks = quirks_named(names)
    if not any(type(dialect) is OpenAICompatible for dialect in dialects):
        raise RequestError("bad_request", "quirks are for chat completions: this path has none", param="quirk")
    return [Quirky(quirks) if type(dialect) is OpenAICompatible else dialect for dialect in dialects]


def quirks_named(names: str) -> list[Quirk]:
    """The quirks of a list of names, of quirks or of services, with commas between them; in the order of their table.

    Raises ``RequestError`` for an unknown name.

    >>> [quirk.name for quirk in quirks_named("lmstudio,crlf")]
    ['role-every-chunk', 'error-lmstudio', 'crlf']
    """
    asked = [OTHER_NAMES.get(name, name) for name in names.split(",")]
    for name in asked:
        if name not in QUIRKS and name not in SERVICES:
            problem = f"quirk must be some of {', '.join((*SERVICES, *QUIRKS))}; with commas between them"
            raise RequestError("bad_request", problem, param="quirk")
    wanted = {quirk for name in asked for quirk in SERVICES.get(name, (name,))}
    wanted |= {QUIRKS[name].needs for name in wanted}
    return [quirk for name, quirk in QUIRKS.items() if name in wanted]


class Quirky(OpenAICompatible):
    """Chat completions as a service with these quirks writes them."""

    def __init__(self, quirks: Sequence[Quirk]) -> None:
        self.quirks = quirks
        for quirk in self.of_kind("heartbeat"):
            self.heartbeat = quirk.function()
        for quirk in self.of_kind("bytes"):
            self.heartbeat = quirk.function(self.heartbeat)

    def of_kind(self, *kinds: str) -> Iterator[Quirk]:
        """The quirks of these kinds."""
        return (quirk for quirk in self.quirks if quirk.kind in kinds)

    def read_request(self, request: HTTPRequest) -> Request:
        """Understand a request, and how its answer comes."""
        read = super().read_request(request)
        for quirk in self.of_kind("request"):
            read = quirk.function(read)
        return replace(read, write=lambda events, number: self.payloads(read.write(events, number), number))

    # ---- Streams -----------------------------------------------------------------------------------------------------

    def write_stream(
        self, request: Request, pieces: Iterable[Piece], *, id: str, created: int
    ) -> Iterator[ServerSentEvent]:
        """The events of a stream."""
        counted = CountedPieces(pieces)
        events = super().write_stream(request, counted, id=id, created=created)
        last: list[ServerSentEvent] = []  # [DONE] or an error

        def chunks() -> Chunks:
            for event in events:
                if event.data == DONE or event.data.startswith('{"error":'):
                    last.append(event)
                else:
                    yield json.loads(event.data)

        for chunk in self.chunks(chunks(), counted.usage):
            yield ServerSentEvent(to_json(chunk))
        yield from last

    def chunks(self, chunks: Chunks, usage: UsageSoFar) -> Chunks:
        """The chunks, changed by one quirk after the other."""
        for quirk in self.of_kind("chunk", "choice", "delta", "call", "chunks"):
            chunks = quirk.function(chunks, usage) if quirk.kind == "chunks" else changed_chunks(chunks, quirk)
        return chunks

    def payloads(self, payloads: Payloads, number: int) -> Payloads:
        """The bytes of the events after ``number`` others, changed by one quirk after the other. An error has one form."""
        for quirk in itertools.islice(self.of_kind("error"), 1):
            payloads = with_error(payloads, quirk)
        for quirk in self.of_kind("heartbeat"):
            payloads = with_comments(payloads, quirk.function(), number)
        for quirk in self.of_kind("payloads", "bytes"):
            payloads = quirk.function(payloads, number) if quirk.kind == "payloads" else map(quirk.function, payloads)
        return payloads

    # ---- All else ----------------------------------------------------------------------------------------------------

    def write_answer(self, request: Request, pieces: Iterable[Piece], *, id: str, created: int) -> dict[str, Any]:
        """The whole answer."""
        answer = super().write_answer(request, pieces, id=id, created=created)
        for quirk in self.of_kind("choice", "delta", "call"):
            change_object(answer, quirk, "message")
        return answer

    def write_error(self, error: RequestError, *, id: str = "") -> dict[str, Any]:
        """The object of an error before the stream."""
        for quirk in self.of_kind("http-error"):
            return dict(quirk.function(error))
        return super().write_error(error, id=id)

    def write_error_event(self, error: RequestError, *, number: int = 0) -> ServerSentEvent:
        """The error as the vendor writes it: ``payloads`` changes its bytes."""
        return ServerSentEvent(to_json(super().write_error(error)))

    def write_model(self, name: str) -> dict[str, Any]:
        """One model."""
        model = super().write_model(name)
        for quirk in self.of_kind("model"):
            quirk.function(model)
        return model


class CountedPieces:
    """The pieces of an answer, and the usage so far."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self.pieces = pieces
        self.counts = Usage(0, 0)

    def __iter__(self) -> Iterator[Piece]:
        """Yield the pieces."""
        for piece in self.pieces:
            if isinstance(piece, Usage):
                self.counts = piece
            else:
                reasoning = piece.tokens if isinstance(piece, Reasoning) else 0
                so_far = self.counts
                completion = (so_far.completion_tokens or 0) + piece.tokens
                self.counts = Usage(so_far.prompt_tokens, completion, so_far.reasoning_tokens + reasoning)
            yield piece

    def usage(self) -> dict[str, Any]:
        """The ``usage`` so far."""
        return usage_object(self.counts)


def change_object(owner: dict[str, Any], quirk: Quirk, member: str) -> None:
    """Let a quirk change a chunk, or what it is about in a chunk or a whole answer: ``member`` is "delta" or "message"."""
    if quirk.kind == "chunk":
        quirk.function(owner)
        return
    for choice in owner.get("choices", ()):
        if quirk.kind == "choice":
            quirk.function(choice)
        elif member in choice:
            for value in choice[member].get("tool_calls", ()) if quirk.kind == "call" else [choice[member]]:
                quirk.function(value)


def changed_chunks(chunks: Chunks, quirk: Quirk) -> Chunks:
    """The chunks of a stream, each changed by a quirk."""
    for chunk in chunks:
        change_object(chunk, quirk, "delta")
        yield chunk


def with_comments(payloads: Payloads, comment: bytes, number: int) -> Payloads:
    """The bytes of the events after ``number`` others, with a comment before each of the first two of all."""
    for position, payload in enumerate(payloads, number):
        if position < 2:
            yield comment
        yield payload


def with_error(payloads: Payloads, quirk: Quirk) -> Payloads:
    """The bytes of the events, where a quirk says what an error is; what follows it is an event of its own."""
    for payload in payloads:
        if not payload.startswith(ERROR):
            yield payload
            continue
        told = quirk.function(json.loads(payload[len(b"data: ") :])["error"]["message"])
        yield told.removesuffix(DONE_EVENT)
        if told.endswith(DONE_EVENT):
            yield DONE_EVENT
