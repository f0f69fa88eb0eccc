"""Dialects: what one provider's requests, events and errors look like, in both directions.

In:   on a server, a request body and the pieces of the model; on a client, a prompt and the events of a stream.
Out:  on a server, events, an answer or an error; on a client, a request body and the pieces of the answer.

Every dialect follows the one interface below and has a file of its own; everything that its provider's wire needs is in
there. Dialects are pure: ids and times are passed in, nothing is sent or read. ``DIALECTS`` names those there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from sse_ref.codec import ServerSentEvent
from sse_ref.dialects.common import (
    UNPRINTABLE,
    Request,
    json_parts,
    read_json,
    to_json,
)
from sse_ref.dialects.openai import OpenAIChat, OpenAICompletions
from sse_ref.errors import RequestError
from sse_ref.pieces import Piece

__all__ = [
    "DIALECTS",
    "UNPRINTABLE",
    "Dialect",
    "Request",
    "StreamReader",
    "json_parts",
    "read_json",
    "to_json",
]


class StreamReader(Protocol):
    """Reads one stream's events into pieces."""

    done: bool
    """The dialect's own end mark has come: nothing after it belongs to the answer."""

    warnings: list[str]
    """Oddities that were tolerated."""

    @property
    def finished(self) -> bool:
        """Every choice that began has also ended: the answer is whole, whether or not the end mark came."""

    def read(self, event: ServerSentEvent) -> Iterator[Piece]:
        """Yield the pieces in this event. Raises ``ApiError`` or ``ProtocolError`` after those before the fault."""


class Dialect(Protocol):
    """The one interface, from a request to the answer read back."""

    name: str
    path: str
    """Where requests go: below the host for a server, after the base URL's own ``/v1`` for a client."""
    query: frozenset[str]
    """The names in a query that SDKs of this dialect send, and that have no effect here."""

    # On the server's side.

    def read_key(self, headers: Mapping[str, str]) -> str | None:
        """The API key that the request's headers carry; their names are in lower case."""

    def read_request(self, body: bytes) -> Request:
        """Understand a request body, or raise ``RequestError`` naming the field at fault."""

    def write_stream(
        self, request: Request, pieces: Iterable[Piece], *, id: str, created: int
    ) -> Iterator[ServerSentEvent]:
        """The events of a stream. A ``ModelFailure`` of the pieces becomes the error inside the stream that ends it."""

    def write_answer(self, request: Request, pieces: Iterable[Piece], *, id: str, created: int) -> dict[str, Any]:
        """The whole answer as one JSON object. A ``ModelFailure`` of the pieces is passed on."""

    def write_error(self, error: RequestError) -> dict[str, Any]:
        """The JSON object of an error before the stream."""

    # On the client's side.

    def write_key(self, key: str) -> dict[str, str]:
        """The headers that carry an API key."""

    def write_request(self, request: Request) -> dict[str, Any]:
        """The JSON object of a request; what has its default value is left out."""

    def reader(self) -> StreamReader:
        """A reader for one stream."""

    def read_error(self, body: bytes) -> str:
        """The message in the body of an HTTP error, whatever its shape; "" if there is none."""


DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (OpenAIChat(), OpenAICompletions())}
"""The dialects by name."""
