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
from typing import Any

from sse_ref.codec import ServerSentEvent
from sse_ref.dialects.compatible import OpenAICompatible
from sse_ref.dialects.interface import Dialect, HTTPRequest, Request
from sse_ref.dialects.openai import DONE, usage_object
from sse_ref.dialects.quirks import DONE_EVENT, QUIRKS, SERVICES, Chunks, Payloads, Quirk, UsageSoFar
from sse_ref.dialects.strict_json import to_json
from sse_ref.errors import RequestError
from sse_ref.pieces import Piece, Usage

__all__ = ["Quirky", "quirks_named", "with_quirks"]

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
        raise RequestError("bad_request", "quirks are deviations from chat completions, not from this", param="quirk")
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
    wanted = {quirk for name in asked for quirk in SERVICES.get(name, name).split()}
    wanted |= {QUIRKS[name].needs for name in wanted}
    return [quirk for name, quirk in QUIRKS.items() if name in wanted]


class Quirky(OpenAICompatible):
    """Chat completions as a service with these quirks writes them."""

    def __init__(self, quirks: Sequence[Quirk]) -> None:
        self.quirks = quirks
        for quirk in self.of("silence"):
            self.heartbeat = quirk.function()
        for quirk in self.of("bytes"):
            self.heartbeat = quirk.function(self.heartbeat)

    def of(self, *kinds: str) -> Iterator[Quirk]:
        """The quirks that change one of these."""
        return (quirk for quirk in self.quirks if quirk.what in kinds)

    def read_request(self, request: HTTPRequest) -> Request:
        """Understand a request, and how its answer comes."""
        read = super().read_request(request)
        for quirk in self.of("request"):
            read = quirk.function(read)
        return Request(
            read.prompt,
            read.stream,
            read.include_usage,
            media_type=read.media_type,
            write=lambda events, number: self.payloads(read.write(events, number)),
            ends=read.ends,
        )

    # ---- Streams -----------------------------------------------------------------------------------------------------

    def write_stream(
        self, request: Request, pieces: Iterable[Piece], *, id: str, created: int
    ) -> Iterator[ServerSentEvent]:
        """The events of a stream."""
        counted = Counted(pieces)
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
        for quirk in self.of("chunk", "choice", "delta", "call", "chunks"):
            chunks = quirk.function(chunks, usage) if quirk.what == "chunks" else changed(chunks, quirk)
        return chunks

    def payloads(self, payloads: Payloads) -> Payloads:
        """The bytes of the events, changed by one quirk after the other. An error has one form: the first quirk counts."""
        for quirk in itertools.islice(self.of("failure"), 1):
            payloads = failing(payloads, quirk)
        for quirk in self.of("silence"):
            payloads = first(quirk.function(), payloads)
        for quirk in self.of("payloads", "bytes"):
            payloads = quirk.function(payloads) if quirk.what == "payloads" else map(quirk.function, payloads)
        return payloads

    # ---- All else ----------------------------------------------------------------------------------------------------

    def write_answer(self, request: Request, pieces: Iterable[Piece], *, id: str, created: int) -> dict[str, Any]:
        """The whole answer."""
        answer = super().write_answer(request, pieces, id=id, created=created)
        for quirk in self.of("choice", "delta", "call"):
            change(answer, quirk, "message")
        return answer

    def write_error(self, error: RequestError, *, id: str = "") -> dict[str, Any]:
        """The object of an error before the stream."""
        for quirk in self.of("refusal"):
            return dict(quirk.function(error))
        return super().write_error(error, id=id)

    def write_error_event(self, error: RequestError, *, number: int = 0) -> ServerSentEvent:
        """The error as the vendor writes it: ``payloads`` changes its bytes."""
        return ServerSentEvent(to_json(super().write_error(error)))

    def write_model(self, name: str) -> dict[str, Any]:
        """One model."""
        model = super().write_model(name)
        for quirk in self.of("model"):
            quirk.function(model)
        return model


class Counted:
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
                self.counts = Usage(self.counts.prompt_tokens, (self.counts.completion_tokens or 0) + piece.tokens)
            yield piece

    def usage(self) -> dict[str, Any]:
        """The ``usage`` so far."""
        return usage_object(self.counts)


def change(owner: dict[str, Any], quirk: Quirk, member: str) -> None:
    """Let a quirk change a chunk, or what it is about in a chunk or a whole answer: ``member`` is "delta" or "message"."""
    if quirk.what == "chunk":
        quirk.function(owner)
        return
    for choice in owner.get("choices", ()):
        if quirk.what == "choice":
            quirk.function(choice)
        elif member in choice:
            for value in choice[member].get("tool_calls", ()) if quirk.what == "call" else [choice[member]]:
                quirk.function(value)


def changed(chunks: Chunks, quirk: Quirk) -> Chunks:
    """The chunks of a stream, each changed by a quirk."""
    for chunk in chunks:
        change(chunk, quirk, "delta")
        yield chunk


def first(comment: bytes, payloads: Payloads) -> Payloads:
    """The bytes of the events, with a comment before the first and before the second."""
    for number, payload in enumerate(payloads):
        if number < 2:
            yield comment
        yield payload


def failing(payloads: Payloads, quirk: Quirk) -> Payloads:
    """The bytes of the events, where a quirk says what an error is; what follows it is an event of its own."""
    for payload in payloads:
        if not payload.startswith(ERROR):
            yield payload
            continue
        told = quirk.function(json.loads(payload[len(b"data: ") :])["error"]["message"])
        yield told.removesuffix(DONE_EVENT)
        if told.endswith(DONE_EVENT):
            yield DONE_EVENT
