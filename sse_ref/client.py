"""The client: one-shot chat streams and reconnecting event sources, on ``urllib``.

In:   a URL and a prompt, or the URL of an event source.
Out:  pieces of an answer as they come and one outcome; or events, across dropped connections.

A stream has exactly one outcome:

    complete         every choice has its finish reason, and the transport did not say otherwise
    truncated        the stream was cut: in HTTP, in an event, or before a finish reason; Truncated
    api_error        the server reported an error inside the stream; ApiError
    protocol_error   the server sent something else than it should; ProtocolError
    http_error       the server answered with an HTTP error, or not at all; HTTPStatusError
    timeout          nothing came for too long; StreamTimeout
    cancelled        the caller stopped reading

All but the first and the last are exceptions, and each keeps the text that had come. A request is sent again only before
the first byte of an answer has come, and never after. ``EventSource`` follows HTML standard 9.2.2 and 9.2.3.
"""

from __future__ import annotations

import argparse
import array
import contextlib
import email.utils
import http.client
import json
import os
import random
import re
import statistics
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

from sse_ref.codec import EventTooLarge, ServerSentEvent, SSEDecoder
from sse_ref.dialects import DEFAULT, DIALECTS
from sse_ref.dialects.interface import Dialect, Request
from sse_ref.dialects.strict_json import to_json
from sse_ref.errors import (
    UNPRINTABLE,
    ApiError,
    HTTPStatusError,
    ProtocolError,
    StreamError,
    StreamTimeout,
    Truncated,
    fit,
)
from sse_ref.partial_json import read_partial
from sse_ref.pieces import Call, End, Fragment, Message, Piece, Prompt, Reasoning, Refusal, Text, Usage
from sse_ref.transport import (
    READ_SIZE,
    Limits,
    Response,
    Watcher,
    check_headers,
    harmless,
    open_response,
    origin,
    read_body,
    read_error_body,
    reason_of,
)

__all__ = [
    "ApiError",
    "ChatStream",
    "Choice",
    "EventSource",
    "HTTPStatusError",
    "ProtocolError",
    "StreamError",
    "StreamTimeout",
    "ToolCall",
    "Truncated",
    "main",
]

DEFAULT_URL = "http://127.0.0.1:8000/v1"
RETRIED = {408, 409, 429, *range(500, 600)}  # as the provider's own SDKs do
MAX_RETRY_AFTER = 60.0  # seconds; a server that asks for more is not waited for
MAX_BACKOFF = 60.0  # seconds between two attempts of an event source that cannot connect
MIN_WAIT = 0.1  # seconds between two attempts of an event source, even if the server asks for fewer
MAX_EVENT_SIZE = 64 * 2**20  # bytes
ENDING = 4096  # bytes of the end of a body that are looked through for an error outside events


# ---- Chat streams ----------------------------------------------------------------------------------------------------


class _Growing:
    """A text that grows: pieces are collected, and joined when somebody reads it, or when they are many small ones."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._joined = 0  # pieces at the beginning that are joined ones

    def add(self, text: str) -> None:
        self.pieces.append(text)
        if len(self.pieces) - self._joined >= 1024:
            self.pieces[self._joined :] = ["".join(self.pieces[self._joined :])]
            self._joined += 1

    def __str__(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
            self._joined = 1
        return self.pieces[0] if self.pieces else ""


class ToolCall:
    """A tool call as far as it has come."""

    def __init__(self, name: str, id: str) -> None:
        self.name = name
        self.id = id
        self._arguments = _Growing()

    @property
    def arguments(self) -> str:
        """The fragments so far: JSON when the call is complete."""
        return str(self._arguments)

    @property
    def partial_arguments(self) -> Any:
        """The value of the arguments so far (``structured.read_partial``): it can be shown before it is complete."""
        return read_partial(self.arguments)


class Choice:
    """One of the answers, as far as it has come."""

    def __init__(self) -> None:
        self._texts = {kind: _Growing() for kind in (Text, Reasoning, Refusal)}
        self.tool_calls: list[ToolCall] = []
        self.finish_reason: str | None = None

    @property
    def text(self) -> str:
        return str(self._texts[Text])

    @property
    def reasoning(self) -> str:
        """What the model thought before it answered; "" if it did not tell."""
        return str(self._texts[Reasoning])

    @property
    def refusal(self) -> str:
        """The words in which the model declined to answer; "" if it did not."""
        return str(self._texts[Refusal])


class ChatStream:
    """One answer, streamed: iterate it for its pieces, and read it afterwards, or in between.

    ``request`` is a prompt as text, a ``Prompt``, or the JSON object of a request in the dialect's own form. ``url`` is the
    base URL; a query in it goes along with the request. ``timeout`` is the silence in seconds after which to give up (any
    byte ends a silence, comments too; a head must be whole by then), ``total_timeout`` a limit for the whole. ``retries``
    are made only before the first byte of an answer. ``max_event_size`` is in bytes; about four times as much is held.

    Raises ``Truncated``, ``ApiError``, ``ProtocolError``, ``HTTPStatusError`` or ``StreamTimeout`` while it is iterated;
    all of them are ``StreamError``, with ``outcome`` and the ``text`` that had come. Raises ``ValueError`` at once for a
    header that HTTP cannot carry. Leaving the loop early, or ``close``, closes the connection, which is how a server learns
    that it can stop.

    >>> from sse_ref.server import running
    >>> with running() as server, ChatStream("Say it back", url=server.url + "/v1", model="toy-echo") as stream:
    ...     [piece.text for piece in stream if isinstance(piece, Text)]
    ['Say', ' it', ' back']
    >>> stream.outcome, stream.finish_reason, stream.usage.completion_tokens
    ('complete', 'stop', 3)
    """

    def __init__(
        self,
        request: str | Prompt | Mapping[str, Any],
        *,
        url: str = DEFAULT_URL,
        model: str = "toy",
        dialect: str | Dialect = DEFAULT,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = 60.0,
        total_timeout: float | None = None,
        retries: int = 2,
        max_event_size: int | None = MAX_EVENT_SIZE,
        any_content_type: bool = False,
        on_event: Callable[[ServerSentEvent], None] | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self.dialect = DIALECTS[dialect] if isinstance(dialect, str) else dialect
        if isinstance(request, str):
            request = Prompt(model, (Message("user", request),))
        prompt = request if isinstance(request, Prompt) else Prompt(model, ())
        whole = Request(prompt, stream=True, include_usage=True)
        body = self.dialect.write_request(whole) if isinstance(request, Prompt) else request
        self.url = self.dialect.address(url, whole)
        self.body = to_json(body).encode()
        self.wanted = self.dialect.count_choices(body)  # choices
        self.headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/json",
            "User-Agent": "sse_ref",
            **(self.dialect.write_key(api_key) if api_key else {}),
            **(headers or {}),
        }
        check_headers(self.headers)
        self.retries = retries
        self.max_event_size = max_event_size
        self.any_content_type = any_content_type
        self.on_event = on_event
        self.watcher: Watcher = watcher or Watcher()

        self.outcome: str | None = None
        self.choices: dict[int, Choice] = {}
        self.usage: Usage | None = None
        self.status: int | None = None
        self.attempts = 0
        self.asked: float | None = None  # when the request was sent, by time.monotonic()
        self.arrivals = array.array("d")  # when each piece with something in it came
        self._reader = self.dialect.reader()
        self._notes: list[str] = []
        self._events = 0
        self._beginning = self._ending = b""  # of the body
        self._limits = Limits(timeout, total_timeout, url=self.url)
        self._pieces = self._run()
        self._in_hand = threading.Lock()

    # ---- What has come ----

    @property
    def first(self) -> Choice:
        """The choice with the lowest index, which most servers begin at 0."""
        return self.choices[min(self.choices)] if self.choices else Choice()

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return self.first.text

    @property
    def reasoning(self) -> str:
        """The reasoning of the first choice."""
        return self.first.reasoning

    @property
    def refusal(self) -> str:
        """The refusal of the first choice."""
        return self.first.refusal

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls of the first choice."""
        return self.first.tool_calls

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return self.first.finish_reason

    @property
    def warnings(self) -> list[str]:
        """Oddities that were tolerated."""
        return self._reader.warnings + self._notes

    @property
    def time_to_first_token(self) -> float | None:
        """Seconds from the request to the first piece with something in it; the chunk with the role does not count."""
        return self.arrivals[0] - self.asked if self.arrivals and self.asked else None

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens after the first, over the time since the first; pieces count as tokens if the server gave no usage."""
        if len(self.arrivals) < 2 or self.arrivals[-1] == self.arrivals[0]:
            return None
        tokens = (self.usage and self.usage.completion_tokens) or len(self.arrivals)
        return (tokens - 1) / (self.arrivals[-1] - self.arrivals[0])

    @property
    def gaps(self) -> list[float]:
        """Seconds between one piece and the next."""
        return [later - earlier for earlier, later in zip(self.arrivals, self.arrivals[1:], strict=False)]

    # ---- Reading ----

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        with self._in_hand:
            return next(self._pieces)

    def __enter__(self) -> ChatStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, from any thread. A stream that had not ended is cancelled, and an iteration of it ends.

        The server sees the end of the connection.
        """
        self._limits.cancel()
        if self._in_hand.acquire(blocking=False):  # else somebody is reading, and sees the end of the connection
            try:
                self._pieces.close()
            finally:
                self._in_hand.release()
        if self.outcome is None:
            self.outcome = "cancelled"

    def _run(self) -> Generator[Piece, None, None]:
        try:
            if not self._limits.closing.is_set():
                yield from self._read()
            self.outcome = "cancelled" if self._limits.closing.is_set() else "complete"
        except StreamError as error:
            if self._limits.closing.is_set():
                self.outcome = "cancelled"
                return
            self.outcome = error.outcome
            error.text = self.text
            raise
        except (GeneratorExit, KeyboardInterrupt):
            self.outcome = "cancelled"
            raise
        finally:
            self._limits.release()

    def _read(self) -> Iterator[Piece]:
        self.asked = time.monotonic()
        response = self._connect(self._limits)
        self.status = response.status
        self.watcher.head(response)
        self._check_type(response)
        try:
            yield from self._read_events(response)
        except (Truncated, ProtocolError) as error:
            if message := self._error_outside_events():
                raise ApiError(message) from None
            raise error from None

    def _read_events(self, response: Response) -> Iterator[Piece]:
        decoder = SSEDecoder(max_event_size=self.max_event_size)
        body = read_body(response, self.watcher, _step(self.max_event_size))
        for data in body:
            if len(self._beginning) < 200:
                self._beginning = (self._beginning + data)[:200]
            self._ending = data[-ENDING:] if len(data) >= ENDING else (self._ending + data)[-ENDING:]
            too_large = None
            try:
                dispatched = decoder.feed(data)
            except EventTooLarge as error:
                dispatched, too_large = error.events, error
            for event in dispatched:
                yield from self._take(event)
                if self._reader.done:
                    self._check_end(decoder)
                    self._watch_rest(body)
                    return
            if too_large:
                raise ProtocolError(str(too_large))
        self._check_end(decoder)

    def _watch_rest(self, body: Iterator[bytes]) -> None:
        """For somebody who watches the wire: what comes after the end mark, for half a second at most."""
        if type(self.watcher) is not Watcher:
            self._limits.total = time.monotonic() - self._limits.began + 0.5
            with contextlib.suppress(StreamError):
                for _ in body:
                    pass

    def _take(self, event: ServerSentEvent) -> Iterator[Piece]:
        self._events += 1
        if self.on_event:
            self.on_event(event)
        for piece in self._reader.read(event):
            self._note(piece)
            yield piece

    def _note(self, piece: Piece) -> None:
        if isinstance(piece, Usage):
            self.usage = piece  # the last one counts: some servers send one with each chunk
            return
        choice = self.choices.setdefault(getattr(piece, "choice", 0), Choice())
        if isinstance(piece, End):
            choice.finish_reason = piece.reason
            return
        self.arrivals.append(time.monotonic())
        match piece:
            case Text() | Reasoning() | Refusal():
                choice._texts[type(piece)].add(piece.text)
            case Call() if piece.index < len(choice.tool_calls):
                call = choice.tool_calls[piece.index]
                call.name, call.id = piece.name, piece.id
            case Call():
                choice.tool_calls.append(ToolCall(piece.name, piece.id))
            case Fragment():
                choice.tool_calls[piece.index]._arguments.add(piece.arguments)

    def _check_type(self, response: Response) -> None:
        kind = response.headers.get_content_type() if "Content-Type" in response.headers else "nothing"
        if response.status != 204 and (kind == "text/event-stream" or self.any_content_type):
            return
        body = read_error_body(response)
        with contextlib.suppress(StreamError):  # is it the whole answer, from a server that does not stream?
            for piece in self._reader.read(ServerSentEvent(body.decode("utf-8", "replace"))):
                self._note(piece)
        if self.choices:
            raise ProtocolError(f"the server does not stream: it sent the whole answer, with {kind}")
        message = self.dialect.read_error(body)
        said = f": {fit(message)}" if message else ""
        raise ProtocolError(f"status {response.status} with {kind} in place of an event stream{said}")

    def _check_end(self, decoder: SSEDecoder) -> None:
        """The body has ended, or the end mark has come: was that the whole answer?"""
        if len(self.choices) > self.wanted:
            self._notes.append(f"{len(self.choices)} choices came, where {self.wanted} was asked for")
        ended = sum(choice.finish_reason is not None for choice in self.choices.values())
        if self._reader.finished and (self._reader.done or ended >= self.wanted):
            if not self._reader.done:
                self._notes.append("the end mark did not come")
            if message := self._error_outside_events():
                self._notes.append(f"an error came outside of events, although the answer is whole: {message}")
            return
        if self._reader.done:
            raise Truncated("the end mark came before a finish reason")
        if not self._events and not decoder.pending:
            begins = self._beginning.decode("utf-8", "replace")
            said = f": {fit(begins)}" if begins.strip() else ""
            raise ProtocolError(f"the event stream held no event{said}")
        raise Truncated(f"the stream ended {'inside an event' if decoder.pending else 'before a finish reason'}")

    def _error_outside_events(self) -> str:
        """The message of an error that a server wrote into the stream as no event: as a bare line, or as a field of its own.

        To the decoder it is a field that nobody knows.
        """
        for line in reversed(re.findall(rb"(?:^|[\r\n])(?:error: ?)?(\{[^\r\n]*)", self._ending)):
            if message := self.dialect.read_error(line):
                return fit(message)
        return ""

    # ---- Connecting ----

    def _connect(self, limits: Limits) -> Response:
        """Send the request, and again if the server says so or was not there; never after a byte of an answer."""
        while True:
            self.attempts += 1
            limits.heard = False
            try:
                return open_response(self.body, self.headers, limits)
            except urllib.error.HTTPError as error:
                with contextlib.closing(error):
                    message = self.dialect.read_error(read_error_body(error.fp)) or error.reason  # type: ignore[arg-type]
                failure = HTTPStatusError(f"{error.code}: {fit(str(message))}", error.code)
                wait = _retry_wait(error.headers, self.attempts) if error.code in RETRIED else None
            except TimeoutError:
                raise limits.passed() from None
            except ValueError as error:  # a URL that urllib cannot use: ours, or one that a redirect names
                raise HTTPStatusError(f"the URL cannot be used: {fit(str(error))}") from None
            except (OSError, http.client.HTTPException) as error:
                if isinstance(getattr(error, "reason", None), TimeoutError):
                    raise limits.passed() from None
                if isinstance(error, http.client.HTTPException) and not isinstance(
                    error, http.client.RemoteDisconnected
                ):
                    raise ProtocolError(f"the answer is not HTTP: {fit(repr(error))}") from None
                if limits.heard:
                    raise Truncated(f"the connection broke in the head of the answer: {reason_of(error)}") from None
                failure = HTTPStatusError(f"no answer from {limits.peer or origin(self.url)[1]}: {reason_of(error)}")
                wait = _backoff(self.attempts)
            if wait is None or self.attempts > self.retries:
                raise failure from None
            if limits.total is not None and wait > limits.began + limits.total - time.monotonic():
                raise failure from None
            if limits.pause(wait):
                raise failure from None


def _step(max_event_size: int | None) -> int:
    """Bytes to take at once, so that what is made of them is little beside the largest event."""
    return READ_SIZE if max_event_size is None else max(1, min(READ_SIZE, max_event_size // 32))


def _retry_wait(headers: Any, attempt: int) -> float | None:
    """Seconds until the next attempt; None if the server does not want one, or too late."""
    if headers.get("X-Should-Retry") == "false":
        return None
    wait = _number(headers.get("Retry-After-Ms"))
    wait = wait / 1000 if wait is not None else _number(headers.get("Retry-After"))
    if wait is None and "Retry-After" in headers:
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            wait = max(0.0, email.utils.parsedate_to_datetime(headers["Retry-After"]).timestamp() - time.time())
    if wait is None:
        return _backoff(attempt)
    return wait if wait <= MAX_RETRY_AFTER else None


def _number(text: str | None) -> float | None:
    """A number of seconds in a header: digits, perhaps with a fraction."""
    return float(text) if text is not None and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text.strip()) else None


def _backoff(attempt: int) -> float:
    """Half a second, doubled with each attempt up to eight, less up to a quarter so that clients spread."""
    return float(min(8.0, 0.5 * 2 ** (attempt - 1)) * random.uniform(0.75, 1.0))


# ---- Event sources ---------------------------------------------------------------------------------------------------


class _Lost(Exception):
    """The connection of an event source is gone, and another attempt may bring it back."""


class EventSource:
    """The standard's reconnecting source: iterate it for events, for as long as the server lets it reconnect.

    After the end of a body or a broken connection it waits for the reconnection time, a tenth of a second at least, and
    asks again, with the last event ID, at the URL that it was last redirected to. It ends when the server answers 204 or
    ``close`` is called (also from another thread), and fails for good on any other status (``HTTPStatusError``) or content
    type, or an event of more than ``max_event_size`` bytes (``ProtocolError``). ``timeout`` is the silence in seconds that
    counts as a broken connection, None for never. After several failures in a row it waits longer; ``max_failures``
    (None: no limit) is how many there may be before the last is raised (``HTTPStatusError``). An event, or a body that ends
    in order, ends the row. Raises ``ValueError`` at once for a header or a last event ID that HTTP cannot carry.

    An incomplete event at a cut is dropped together with its id. The last event ID outlives the connection, as in
    browsers: the letter of the standard would forget it at the first event without one.

    >>> from sse_ref.server import running
    >>> with running() as server:
    ...     source = EventSource(server.url + "/events?max_tokens=2")
    ...     for event in source:
    ...         print(event.id, event.event, repr(event.data))
    ...         if event.event == "done":
    ...             source.close()
    1 message 'Long'
    2 message ' ago'
    3 done '[DONE]'
    """

    CONNECTING, OPEN, CLOSED = 0, 1, 2

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        last_event_id: str = "",
        reconnection_time: int = 3000,
        timeout: float | None = None,
        max_failures: int | None = None,
        max_event_size: int | None = MAX_EVENT_SIZE,
    ) -> None:
        self.url = url
        self.headers = dict(headers or {})
        check_headers(self.headers)
        if re.search("[\0\r\n\ud800-\udfff]", last_event_id):
            raise ValueError(
                "the last event ID holds what no event stream can give: CR, LF, NUL or half a surrogate pair"
            )
        self.last_event_id = last_event_id
        self.reconnection_time = reconnection_time
        """Milliseconds to wait before reconnecting; the server may change it."""
        self.max_failures = max_failures
        self.max_event_size = max_event_size
        self.ready_state = self.CONNECTING
        self._limits = Limits(timeout, url=url)

    def __iter__(self) -> Iterator[ServerSentEvent]:
        failures = 0
        closing = self._limits.closing
        try:
            while not closing.is_set():
                self.ready_state = self.CONNECTING
                try:
                    response = self._connect()
                    if response is None:
                        return
                    for event in self._events(response):
                        failures = 0
                        yield event
                        if closing.is_set():
                            return
                    failures = 0
                except _Lost as error:
                    failures += 1
                    if closing.is_set():
                        return
                    if self.max_failures is not None and failures >= self.max_failures:
                        raise HTTPStatusError(str(error)) from None
                self._limits.pause(self._wait(failures))
        finally:
            self.ready_state = self.CLOSED
            self._limits.release()

    def close(self) -> None:
        """End the source; an iteration that is waiting ends too."""
        self.ready_state = self.CLOSED
        self._limits.cancel()

    def _connect(self) -> Response | None:
        """One attempt: the response of an event stream, None for 204. Raises ``_Lost`` where another is worth it."""
        own = self.headers if origin(self._limits.url) == origin(self.url) else harmless(self.headers)
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache", **own}
        if self.last_event_id:
            # The header carries the id as UTF-8, and http.client writes strings as Latin-1.
            headers["Last-Event-ID"] = self.last_event_id.encode("utf-8", "replace").decode("latin-1")
        try:
            response = open_response(None, headers, self._limits)
        except urllib.error.HTTPError as error:
            error.close()
            raise HTTPStatusError(f"{error.code}: {fit(str(error.reason))}", error.code) from None
        except ValueError as error:
            raise HTTPStatusError(f"the URL cannot be used: {fit(str(error))}") from None
        except (OSError, http.client.HTTPException, StreamTimeout) as error:
            raise _Lost(f"no answer from {self._limits.peer or origin(self.url)[1]}: {reason_of(error)}") from None
        if response.status == 204:
            return None
        if response.status != 200:
            raise HTTPStatusError(f"{response.status}: {response.reason}", response.status)
        if "Content-Type" not in response.headers or response.headers.get_content_type() != "text/event-stream":
            raise ProtocolError(f"the content type is {response.headers.get('Content-Type')!r}, not text/event-stream")
        self.ready_state = self.OPEN
        return response

    def _events(self, response: Response) -> Iterator[ServerSentEvent]:
        decoder = SSEDecoder(max_event_size=self.max_event_size, last_event_id=self.last_event_id)
        try:
            for data in read_body(response, Watcher(), _step(self.max_event_size)):
                too_large = None
                try:
                    events = decoder.feed(data)
                except EventTooLarge as error:
                    events, too_large = error.events, error
                if decoder.reconnection_time is not None:
                    self.reconnection_time = decoder.reconnection_time
                for event in events:
                    self.last_event_id = event.id
                    yield event
                if too_large:
                    raise too_large
                self.last_event_id = decoder.last_event_id  # also of a block that dispatched nothing
        except EventTooLarge as error:
            raise ProtocolError(str(error)) from None
        except StreamError as error:  # cut, silent or garbled: to an event source they are all network errors
            raise _Lost(str(error)) from None
        finally:
            response.close()

    def _wait(self, failures: int) -> float:
        """Seconds until the next attempt: never fewer than asked for, more after several failures."""
        asked = (
            min(self.reconnection_time, 10**15) / 1000
        )  # milliseconds of any number of digits; these are 30,000 years
        longer = min(MAX_BACKOFF, max(asked, 0.1) * 2 ** min(failures - 1, 16)) if failures > 1 else 0.0
        return min(max(asked, longer, MIN_WAIT), threading.TIMEOUT_MAX)


# ---- The command -----------------------------------------------------------------------------------------------------

EXAMPLES = """\
examples:
  python -m sse_ref.client "Tell me a story"                  against python -m sse_ref.server
  python -m sse_ref.client "Tell me a story" --wire           every byte, as it comes
  echo "Say it back" | python -m sse_ref.client - --model toy-echo --json

With --url, --model and --api-key-env NAME it streams from any server of its dialects.

exit status: 0 complete; 1 the stream did not end well, which one line says; 2 the request could not be sent: a wrong
option, or nothing listens at the URL; 130 after Ctrl-C; 141 if the reader of the output went away
"""


def main(arguments: list[str] | None = None) -> int:
    """``python -m sse_ref.client``: stream one answer, and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if sys.stdout is None:
        parser.error("standard output is closed")
    show = _shown(options)
    try:
        stream = ChatStream(
            _prompt(options),
            url=_checked_url(parser, options.url),
            dialect=options.dialect,
            api_key=_key(parser, options.api_key_env),
            timeout=options.timeout,
            total_timeout=options.total_timeout,
            retries=options.retries,
            on_event=show.event,
            watcher=show,
        )
    except UnicodeError:
        parser.error("the prompt is not valid text in this terminal's encoding")
    except KeyboardInterrupt:
        return 130
    try:
        problem, status = _stream(stream, show)
        show.finish(stream)
    except _OutputFailed as error:
        # The output may still hold what could not be written, and would complain again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"sse_ref.client: {error}, so the stream was cancelled", file=sys.stderr)
        return error.status
    # What a server says may hold anything: nothing but printable characters goes to standard error.
    if problem:
        print(f"sse_ref.client: {fit(problem)}", file=sys.stderr)
    if stream.arrivals:
        print(_summary(stream, details=options.stats), file=sys.stderr)
    for warning in stream.warnings:
        print(f"warning: {fit(warning)}", file=sys.stderr)
    return status


def _stream(stream: ChatStream, show: _Show) -> tuple[str, int]:
    """Show the stream as it comes; returns what went wrong, if anything, and the exit status."""
    try:
        with stream:
            for piece in stream:
                if getattr(piece, "choice", 0) == min(stream.choices, default=0):
                    show.token(piece)
    except HTTPStatusError as error:
        if error.status is None:
            return f"{error}; is the server running? python -m sse_ref.server starts one", 2
        again = f" (asked {stream.attempts} times)" if stream.attempts > 1 else ""
        return f"{stream.outcome}: {error}{again}", 1
    except StreamError as error:
        return f"{stream.outcome}: {error}", 1
    except KeyboardInterrupt:
        return f"cancelled after {len(stream.arrivals)} tokens", 130
    return "", 0


class _OutputFailed(Exception):
    """Standard output takes no more."""

    def __init__(self, error: OSError) -> None:
        gone = isinstance(error, BrokenPipeError)
        super().__init__("the output was closed" if gone else f"the output cannot be written: {error.strerror}")
        self.status = 141 if gone else 1


def _prompt(options: argparse.Namespace) -> Prompt:
    text = sys.stdin.read() if options.prompt == "-" else options.prompt
    wanted = {name: value for name in ("seed", "temperature") if (value := getattr(options, name)) is not None}
    return Prompt(options.model, (Message("user", text),), max_tokens=options.max_tokens, **wanted)


def _summary(stream: ChatStream, *, details: bool) -> str:
    parts = [f"{stream.time_to_first_token:.2f} s to the first token"]
    if stream.tokens_per_second:
        parts.append(f"{stream.tokens_per_second:.1f} tokens/s")
    parts.append(f"finish reason {fit(stream.finish_reason or 'none')}")
    if stream.usage:
        counts = (stream.usage.prompt_tokens, stream.usage.completion_tokens)
        parts.append(f"{' + '.join('?' if count is None else str(count) for count in counts)} tokens")
    lines = [", ".join(parts)]
    gaps = sorted(1000 * gap for gap in stream.gaps)
    if details and gaps:
        lines.append(
            f"gaps between pieces: median {statistics.median(gaps):.1f} ms, 95% under {gaps[int(len(gaps) * 0.95)]:.1f} ms, "
            f"longest {gaps[-1]:.1f} ms; {len(stream.arrivals)} pieces, {stream.attempts} attempt(s)"
        )
    return "\n".join(lines)


class _Show(Watcher):
    """Prints the text, or the refusal, as it comes; what the model thinks before goes to standard error."""

    reasons = False  # the last that was printed is reasoning

    def event(self, event: ServerSentEvent) -> None: ...

    def token(self, piece: Piece) -> None:
        match piece:
            case Reasoning():
                print(
                    "" if self.reasons else "reasoning: ",
                    printable(piece.text),
                    sep="",
                    end="",
                    file=sys.stderr,
                    flush=True,
                )
                self.reasons = True
            case Text() | Refusal():
                self.end_reasoning()
                self.write(piece.text)

    def end_reasoning(self) -> None:
        if self.reasons:
            print(file=sys.stderr, flush=True)
        self.reasons = False

    def write(self, text: str) -> None:
        """Write to standard output: "?" for a character it cannot take, and no escape sequences to a terminal."""
        self.put(printable(text) if sys.stdout.isatty() else text)

    def put(self, text: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"
        try:
            sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
            sys.stdout.flush()
        except OSError as error:
            raise _OutputFailed(error) from None

    def finish(self, stream: ChatStream) -> None:
        self.end_reasoning()
        if stream.text or stream.refusal:
            self.write("\n")


def printable(text: str) -> str:
    """Text that does nothing to a terminal but be shown."""
    return re.sub(r"[\0-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text)


class _ShowEvents(_Show):
    """Prints each event as a line of JSON: seconds since the request, type, data, id."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def event(self, event: ServerSentEvent) -> None:
        seconds = round(time.monotonic() - self.began, 3)
        self.write(json.dumps({"s": seconds, "event": event.event, "data": event.data, "id": event.id}) + "\n")

    def token(self, piece: Piece) -> None: ...

    def finish(self, stream: ChatStream) -> None: ...


class _ShowJson(_Show):
    """Prints one JSON object at the end: what came, and how it ended."""

    def token(self, piece: Piece) -> None: ...

    def finish(self, stream: ChatStream) -> None:
        usage = stream.usage
        result = {
            "outcome": stream.outcome,
            "text": stream.text,
            "reasoning": stream.reasoning,
            "refusal": stream.refusal,
            "finish_reason": stream.finish_reason,
            "tool_calls": [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in stream.tool_calls],
            "usage": {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
            if usage
            else None,
            "status": stream.status,
            "time_to_first_token_s": stream.time_to_first_token,
            "tokens_per_second": stream.tokens_per_second,
            "warnings": stream.warnings,
        }
        self.write(json.dumps(result) + "\n")


class _ShowWire(_ShowEvents):
    """Prints every byte of the answer with its time: reads, chunks, lines, dispatches.

    Each line of the stream is shown with its end visible. A line that a chunk leaves open ends in three dots, and its rest
    begins with them.
    """

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self.colour = colour
        self.open = False  # a line was left open
        self.dispatched: list[ServerSentEvent] = []
        self.decoder = SSEDecoder()
        self.last = self.began

    def head(self, response: Response) -> None:
        self.stamp("head")
        version = "HTTP/1.1" if response.version == 11 else "HTTP/1.0"
        self.put(f"    {version} {response.status} {fit(response.reason)}\n")
        for name, value in response.headers.items():
            self.put(f"    {fit(name)}: {fit(value)}\n")

    def read(self, data: bytes) -> None:
        self.stamp(f"read {len(data)} bytes")

    def piece(self, data: bytes) -> None:
        self.put(self.paint("2", f"  chunk, {len(data)} bytes") + "\n")
        for line in re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", data):
            self.line(line)

    def line(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace")
        shown = re.sub(UNPRINTABLE, lambda control: ascii(control[0])[1:-1], text)
        ended = line[-1:] in b"\r\n"
        before, after = "..." if self.open else "", "" if ended else "..."
        kind = "2" if line.startswith(b":") else "36"
        self.put(f"    {before}{self.paint(kind, shown)}{after}\n")
        self.open = not ended
        for event in self.decoder.feed(line):
            name = "[DONE]" if event.data == "[DONE]" else f"{event.event}, {len(event.data)} characters of data"
            self.put("    " + self.paint("32", f"= event: {name}") + "\n")

    def end(self) -> None:
        self.stamp("end of the body")

    def event(self, event: ServerSentEvent) -> None: ...

    def stamp(self, what: str) -> None:
        now = time.monotonic()
        self.put(self.paint("1", f"{now - self.began:8.3f} s  +{now - self.last:.3f}  {what}") + "\n")
        self.last = now

    def paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text


def _shown(options: argparse.Namespace) -> _Show:
    if options.wire:
        return _ShowWire(colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    if options.events:
        return _ShowEvents()
    return _ShowJson() if options.json else _Show()


def _checked_url(parser: argparse.ArgumentParser, url: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        (parts.hostname or "").encode("idna")
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isascii()
        good = good and "@" not in parts.netloc  # a password there would be shown in messages
    except ValueError:
        good = False
    if not good or re.search(r"[\0- \x7f]", url):
        parser.error(f"--url must be like {DEFAULT_URL}")
    return url


def _key(parser: argparse.ArgumentParser, name: str | None) -> str | None:
    """The API key in the environment variable ``name``. It is never printed."""
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        parser.error(f"the environment variable {name} holds no API key")
    if not re.fullmatch(r"[!-~]+", key):
        parser.error(f"the API key in {name} has characters that no header can carry")
    return key


def _number_from(least: float, kind: type = int) -> Callable[[str], Any]:
    """A type for options: a number from ``least`` to a billion."""

    def number(text: str) -> Any:
        value = kind(text)
        if not least <= value <= 1e9:
            raise argparse.ArgumentTypeError(f"must be a number from {least:g} up")
        return value

    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sse_ref.client",
        description="Stream one answer: the text on standard output, how it went on standard error.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("prompt", help="what to say; - reads it from standard input")
    add("--url", default=DEFAULT_URL, help="base URL of the API (default: %(default)s)")
    add("--model", default="toy", help="default: %(default)s")
    add("--dialect", default=DEFAULT, choices=sorted(DIALECTS), help="default: %(default)s")
    add("--max-tokens", type=_number_from(1), metavar="N", help="end after N tokens")
    add("--temperature", type=_number_from(0, float), metavar="T")
    add("--seed", type=int, metavar="N")
    add(
        "--timeout",
        type=_number_from(0.001, float),
        default=60.0,
        metavar="S",
        help="silence to give up after, in seconds (default: %(default)s)",
    )
    add(
        "--total-timeout",
        type=_number_from(0.001, float),
        metavar="S",
        help="limit for the whole answer, in seconds (default: none)",
    )
    add(
        "--retries",
        type=_number_from(0),
        default=2,
        metavar="N",
        help="attempts after the first, before any answer (default: %(default)s)",
    )
    add("--api-key-env", metavar="NAME", help="environment variable that holds the API key")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--wire", action="store_true", help="show every byte of the answer with its time")
    shown.add_argument("--events", action="store_true", help="show each event as a line of JSON")
    shown.add_argument("--json", action="store_true", help="show one JSON object at the end")
    add("--stats", action="store_true", help="say more about the time between tokens")
    return parser


if __name__ == "__main__":
    sys.exit(main())
