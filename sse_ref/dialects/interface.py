"""What a dialect is: one provider's wire, in both directions, behind one interface.

In:   on a server, an HTTP request and a model's pieces; on a client, a prompt and the events of a stream.
Out:  on a server, events, an answer or an error; on a client, a request and the pieces of the answer.

    server    HTTPRequest  --read_request-->  Request        pieces  --write_stream, write_answer-->  events, JSON
    client    Request  --write_request, address-->  JSON, URL        event  --StreamReader.read-->  pieces

A dialect is one file and one line of the registry. It is pure: ids and times are passed in, nothing is sent. What differs
between providers is asked of it, so that servers and clients name none. What it cannot know is not asked: the names of the
models and the pace are the server's, retrying is the client's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from sse_ref.codec import ServerSentEvent, encode_event
from sse_ref.errors import RequestError
from sse_ref.pieces import Piece, Prompt

__all__ = ["Dialect", "HTTPRequest", "Request", "StreamReader", "event_stream"]


class HTTPRequest(NamedTuple):
    """An HTTP request as a dialect sees it; the names of ``headers`` are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


def event_stream(events: Iterable[ServerSentEvent], number: int = 0) -> Iterator[bytes]:
    """Yield the bytes of each event of an event stream; its type is left out if it is "message".

    >>> list(event_stream([ServerSentEvent("hi", id="7")]))
    [b'id: 7\\ndata: hi\\n\\n']
    """
    for event in events:
        yield encode_event(event.data, event=None if event.event == "message" else event.event, id=event.id or None)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as every dialect understands it: what is asked, and how the answer shall come.

    ``echo`` is the text of a JSON object with the members of the request that the answer repeats; "" if there are none.
    A stream is sent as a body of ``media_type``: ``write(events, number)`` yields the bytes of its events, where ``number``
    others were written before. ``ends`` is False if the body stays open after them.
    """

    prompt: Prompt
    stream: bool = True
    include_usage: bool = False
    echo: str = ""
    media_type: str = "text/event-stream; charset=utf-8"
    write: Callable[[Iterable[ServerSentEvent], int], Iterator[bytes]] = event_stream
    ends: bool = True


class StreamReader(Protocol):
    """Reads one stream's events into pieces."""

    done: bool
    """The dialect's last event has come: nothing after it belongs to the answer."""

    warnings: list[str]
    """Oddities that were tolerated."""

    @property
    def finished(self) -> bool:
        """Every choice that began has ended, whether or not the last event has come."""

    def read(self, event: ServerSentEvent) -> Iterator[Piece]:
        """Yield the pieces in this event. Raises ``ApiError`` or ``ProtocolError`` after those before the fault."""


class Dialect(Protocol):
    """One provider's wire."""

    name: str
    last_event: str
    """What the event is called that ends a stream, in messages to people."""

    query: frozenset[str]
    """The names that the provider's own queries have; all others in a query are the server's settings."""

    # ---- On a server -------------------------------------------------------------------------------------------------

    heartbeat: bytes
    """What ends a silence: bytes that every client of this dialect survives, and that say nothing."""

    request_id: str
    """The name of the header that carries the id of a request."""

    def serves(self, path: str) -> bool:
        """Whether the path is this provider's: errors at it have the words of this dialect."""

    def answers(self, path: str) -> bool:
        """Whether answers are asked for at the path."""

    def model_at(self, path: str) -> str | None:
        """The model that the path describes, "" for the list of all; None for any other path."""

    def read_key(self, request: HTTPRequest) -> str | None:
        """The API key of the request, whose body has not been read yet; None if it has none."""

    def read_request(self, request: HTTPRequest) -> Request:
        """Understand a request, or raise ``RequestError`` with the path of the field at fault."""

    def write_stream(
        self, request: Request, pieces: Iterable[Piece], *, id: str, created: int
    ) -> Iterator[ServerSentEvent]:
        """The events of a stream. A ``ModelFailure`` of the pieces becomes the error inside the stream that ends it."""

    def write_answer(self, request: Request, pieces: Iterable[Piece], *, id: str, created: int) -> dict[str, Any]:
        """The whole answer as one JSON object. A ``ModelFailure`` of the pieces is passed on."""

    def write_error(self, error: RequestError, *, id: str = "") -> dict[str, Any]:
        """The JSON object of an error before the stream; ``id`` is that of the request."""

    def write_error_event(self, error: RequestError, *, number: int = 0) -> ServerSentEvent:
        """The event of an error inside the stream, after ``number`` other events."""

    def write_models(self, names: Sequence[str]) -> dict[str, Any]:
        """The JSON object of the list of models."""

    def write_model(self, name: str) -> dict[str, Any]:
        """The JSON object of one model."""

    # ---- On a client -------------------------------------------------------------------------------------------------

    def address(self, base: str, request: Request) -> str:
        """The URL to send the request to, below the base URL ``base``. A query in ``base`` is kept."""

    def write_key(self, key: str) -> dict[str, str]:
        """The headers that carry an API key."""

    def write_request(self, request: Request) -> dict[str, Any]:
        """The JSON object of a request; limits and options that have their default value are left out.

        Raises ``ValueError`` for what the wire has no member for.
        """

    def count_choices(self, body: Mapping[str, Any]) -> int:
        """How many choices the JSON object of a request asks for."""

    def reader(self) -> StreamReader:
        """A reader for one stream."""

    def read_error(self, body: bytes) -> str:
        """The message in the body of an HTTP error, whatever its shape; "" if there is none."""
