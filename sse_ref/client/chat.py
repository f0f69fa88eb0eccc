"""Chat streams: a prompt in, the pieces of one answer out as they come, and exactly one outcome.

In:   a URL and a prompt.
Out:  pieces; then, or in between, the texts, tool calls and usage so far; one of seven outcomes.

    bytes --transport--> body --SSEDecoder--> events --dialect's reader--> pieces

A stream goes through these states, and each arrow to the right is an outcome:

    connecting    -->  http_error       the server refused, or did not answer, also after retrying
      |           -->  protocol_error   what it answered is not HTTP, or no event stream
      |           -->  truncated        the connection broke in the head
    streaming     -->  api_error        the server reported an error
      |           -->  truncated        HTTP tells of a cut, or an event or a finish reason is missing
      |           -->  protocol_error   an event is not what the dialect allows
    ended         -->  complete         every choice has its finish reason

``timeout`` and ``cancelled`` are possible in all of them. All outcomes but ``complete`` and ``cancelled`` are exceptions,
and each keeps the text that had come.

**When is an answer whole?** Two things end a stream, the dialect's last event and the end of the body; neither proves it.
A proxy may end a body in order after the server behind it failed; some services send the last event after a failure, too.
Only finish reasons prove it: of every choice that began, and without a last event of every choice that was asked for:

    finish reasons    last event    end of the body       outcome
    all               came          not waited for        complete
    all               missing       in order              complete, with a warning
    all               missing       cut, so HTTP says     truncated
    some missing      came          not waited for        truncated
    some missing      missing       any                   truncated
    no event at all   missing       in order              protocol_error

The second row is there because services exist that never send a last event. In the third row HTTP contradicts: a usage, or
another choice, may have been on its way. A dialect whose services all send it is stricter: its reader has not ``finished``
before the last event has come, and without it the second row is ``truncated``, too.

An error, too, may come in two ways: as an event that the dialect reads, or outside of events, where a proxy or a crashed
server wrote a line of JSON into the body. To a decoder that line is an unknown field. So the end of a body that seems cut is
searched for it, and the stream is an ``api_error`` with its message.

**When is a request sent again?** Never once a stream has begun, because a model that has begun to speak has begun to cost.
After a connection that failed, and after 408, 409, 429 and 5xx, as the providers' own SDKs do, unless the
server says ``X-Should-Retry: false`` or asks for a wait of more than a minute. The wait is what the server asks for, or half
a second that doubles with each attempt, shortened at random so that clients do not come back all at once.

**Closing from another thread.** The thread that iterates waits in a read; the one that closes shuts the connection down, and
the read returns. Which of the two is faster is open, so both may find the other at work: a lock tells ``close`` whether
somebody is reading, and whoever reads looks at ``closing`` before it calls an end a cut. The outcome is ``cancelled`` unless
the stream had ended before.

**What is timed.** The time to first token counts from the first attempt to the first piece with something in it: the chunk
that gives the role comes as soon as the server has accepted the request, and says nothing of the model. The gaps are the
times between pieces. Pieces that came in one read have no gap: that is how a proxy that collects events shows.

**What is held** beside the answer itself is a small multiple of the largest event: texts and arguments are kept as lists of
pieces, and joined when somebody reads them, because joining at each piece would take time in the square of the answer's
length.
"""

from __future__ import annotations

import array
import contextlib
import email.utils
import http.client
import itertools
import random
import re
import threading
import time
import urllib.error
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

from sse_ref.client.partial_json import read_partial
from sse_ref.client.transport import (
    MAX_EVENT_SIZE,
    HTTPCall,
    Response,
    Watcher,
    bytes_at_once,
    check_headers,
    open_response,
    origin,
    read_body,
    read_error_body,
    reason_of,
)
from sse_ref.codec import EventTooLarge, ServerSentEvent, SSEDecoder
from sse_ref.dialects import DEFAULT, DIALECTS
from sse_ref.dialects.interface import Dialect, Request
from sse_ref.dialects.lenient_json import Warnings
from sse_ref.dialects.strict_json import to_json
from sse_ref.errors import ApiError, HTTPStatusError, ProtocolError, StreamError, StreamTimeout, Truncated, fit
from sse_ref.pieces import Call, End, Fragment, Message, Piece, Prompt, Reasoning, Refusal, Text, Usage

__all__ = ["DEFAULT_URL", "MAX_EVENT_SIZE", "ChatStream", "Choice", "ToolCall"]

DEFAULT_URL = "http://127.0.0.1:8000/v1"
RETRIED_STATUSES = {408, 409, 429, *range(500, 600)}  # statuses, as the provider's own SDKs do
MAX_RETRY_AFTER = 60.0  # seconds; a server that asks for more is not waited for
READ_ON = 0.5  # seconds, after the last event
ENDING_SIZE = 4096  # bytes of the end of a body that are searched for an error outside events
# JSON on one line, or on several: one that opens, others that are indented, one that closes.
ERROR_OUTSIDE_EVENTS = (
    rb"[\r\n](?:error: ?)?(\{[^\r\n]*\}|[\[{]{1,2}[\r\n]+(?:[ \t][^\r\n]*[\r\n]+)*[\]}](?:[\r\n]*\])?)(?=[\r\n]|$)"
)


class _Growing:
    """A text that grows: pieces are collected, and joined when somebody reads it, or when there are a thousand of them.

    A piece is an object of some fifty bytes beside its text, so that many small ones are joined now and then.
    """

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._joined = 0  # pieces at the beginning that are joined ones

    def add(self, text: str) -> None:
        """Append a piece."""
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
    """A tool call as far as it has come: ``name`` and ``id`` as text, "" while they are missing.

    >>> call = ToolCall("get_weather", "call_1")
    >>> call._arguments.add('{"city": "Os')
    >>> call.arguments, call.partial_arguments
    ('{"city": "Os', {'city': 'Os'})
    """

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
        """The value of the arguments so far (``read_partial``): it can be shown before it is complete."""
        return read_partial(self.arguments)


class Choice:
    """One of the answers, as far as it has come; ``finish_reason`` is None until it ends.

    >>> Choice().text, Choice().finish_reason
    ('', None)
    """

    def __init__(self) -> None:
        self._texts = {kind: _Growing() for kind in (Text, Reasoning, Refusal)}
        self.tool_calls: list[ToolCall] = []
        self.finish_reason: str | None = None

    @property
    def text(self) -> str:
        """The text of the answer."""
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
    base URL; a query in it goes along with the request. ``timeout`` is the longest silence in seconds (any byte ends a
    silence, a comment too; a head must be whole by then), ``total_timeout`` the limit for the whole stream. ``retries`` are
    attempts after the first. ``max_event_size`` is in bytes; about four times as much is held. ``on_event`` is called with
    each event before its pieces come, ``watcher`` is told of heads, reads and chunks.

    Raises ``Truncated``, ``ApiError``, ``ProtocolError``, ``HTTPStatusError`` or ``StreamTimeout`` while it is iterated;
    all of them are ``StreamError``, with ``outcome`` and the ``text`` that had come. Raises ``ValueError`` at once for a
    header that HTTP cannot carry. Leaving the ``with`` block, or ``close``, closes the connection, which is how a server
    learns that it can stop; leaving the loop alone does not.

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
        on_event: Callable[[ServerSentEvent], None] | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self.dialect = DIALECTS[dialect] if isinstance(dialect, str) else dialect
        if isinstance(request, str):
            request = Prompt(model, (Message("user", request),))
        asked = Request(request if isinstance(request, Prompt) else Prompt(model, ()), include_usage=True)
        body = self.dialect.write_request(asked) if isinstance(request, Prompt) else request
        self.url = self.dialect.address(url, asked)
        self.body = to_json(body).encode()
        self.choices_asked_for = self.dialect.count_choices(body)
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
        self.on_event = on_event
        self.watcher: Watcher = watcher or Watcher()
        self._call = HTTPCall(timeout, total_timeout, url=self.url)
        self._begin()

    def _begin(self) -> None:
        """Nothing has come yet."""
        self.outcome: str | None = None
        self.choices: dict[int, Choice] = {}
        self.usage: Usage | None = None
        self.status: int | None = None
        self.attempts = 0
        self.asked: float | None = None  # when the request was sent, by time.monotonic()
        self.arrivals = array.array("d")  # when each piece with something in it came
        self._reader = self.dialect.reader()
        self._notes: list[str] = Warnings()
        self._events = 0
        self._beginning = self._ending = b""  # of the body
        self._pieces = self._run()
        self._in_hand = threading.Lock()

    # ---- What has come ----

    @property
    def first(self) -> Choice:
        """The choice with the lowest index. Most servers count from 0."""
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
        """Seconds from the first attempt to the first text or tool-call piece; the chunk with the role does not count."""
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
        """The stream itself: it can be read once."""
        return self

    def __next__(self) -> Piece:
        """The next piece, as soon as it has come."""
        with self._in_hand:
            return next(self._pieces)

    def __enter__(self) -> ChatStream:
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the connection, if the stream has not ended."""
        self.close()

    def close(self) -> None:
        """Close the connection, from any thread. A stream that had not ended is cancelled, and an iteration of it ends.

        The server sees the end of the connection.
        """
        self._call.cancel()
        if self._in_hand.acquire(blocking=False):  # else somebody is reading, and sees the end of the connection
            try:
                self._pieces.close()
            finally:
                self._in_hand.release()
        if self.outcome is None:
            self.outcome = "cancelled"

    def _run(self) -> Generator[Piece, None, None]:
        """Read the stream, and set the outcome, whichever way it ends."""
        try:
            if not self._call.closing.is_set():
                yield from self._read()
            self.outcome = "cancelled" if self._call.closing.is_set() else "complete"
        except StreamError as error:
            if self._call.closing.is_set():
                self.outcome = "cancelled"
                return
            self.outcome = error.outcome
            error.text = self.text
            raise
        except (GeneratorExit, KeyboardInterrupt):
            self.outcome = "cancelled"
            raise
        finally:
            self._call.release()

    def _read(self) -> Iterator[Piece]:
        """Connect and read. An error that stands outside of events explains a stream that seems cut or broken."""
        self.asked = time.monotonic()
        response = self._connect(self._call)
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
        """Decode the body, and read each event as soon as it is dispatched. Returns only if the answer is whole."""
        decoder = SSEDecoder(max_event_size=self.max_event_size)
        body = self._until_late(read_body(response, self.watcher, bytes_at_once(self.max_event_size)))
        for data in body:
            if len(self._beginning) < 200:
                self._beginning = (self._beginning + data)[:200]
            self._ending = data[-ENDING_SIZE:] if len(data) >= ENDING_SIZE else (self._ending + data)[-ENDING_SIZE:]
            too_large = None
            try:
                dispatched = decoder.feed(data)
            except EventTooLarge as error:
                dispatched, too_large = error.events, error
            events = iter(dispatched)
            for event in events:
                yield from self._take(event)
                if self._reader.done:
                    self._check_end(decoder)
                    if self._reads_on():
                        yield from self._read_rest(events, decoder, body)
                    return
            if too_large:
                raise ProtocolError(str(too_large))
        self._check_end(decoder)

    def _until_late(self, body: Iterator[bytes]) -> Iterator[bytes]:
        """The body. Where only its end tells that an answer is over, and the answer is whole, it may stay open."""
        try:
            yield from body
        except StreamTimeout:
            if self.dialect.last_event or not self._is_whole():
                raise
            self._notes.append("the body stayed open after the answer")

    def _is_whole(self) -> bool:
        """Whether every choice has its finish reason: those that began, and without a last event those asked for."""
        ended = sum(choice.finish_reason is not None for choice in self.choices.values())
        return self._reader.finished and (self._reader.done or ended >= self.choices_asked_for)

    def _read_rest(
        self, events: Iterator[ServerSentEvent], decoder: SSEDecoder, body: Iterator[bytes]
    ) -> Iterator[Piece]:
        """Read on after the last event, not for long: a watcher sees the end of the wire, and a usage that has not come
        may come late. Nothing else belongs to the answer."""
        self._call.total = time.monotonic() - self._call.began + READ_ON
        with contextlib.suppress(StreamError, EventTooLarge):
            for event in itertools.chain(events, itertools.chain.from_iterable(map(decoder.feed, body))):
                yield from self._take_late(event)
                if not self._reads_on():
                    return

    def _take_late(self, event: ServerSentEvent) -> Iterator[Piece]:
        """The usage in an event after the last one, if none came before it. What else is in it is noted and ignored."""
        if self.on_event:
            self.on_event(event)
        end = self.dialect.last_event or "the end"
        try:
            for piece in self._reader.read(event):
                if isinstance(piece, Usage) and self.usage is None:
                    self._notes.append(f"the usage came after {end}")
                    self._note(piece)
                    yield piece
                else:
                    self._notes.append(f"what came after {end} was ignored")
        except StreamError as error:
            self._notes.append(f"an error came after {end}: {error}")

    def _reads_on(self) -> bool:
        """Whether anybody wants what follows the last event."""
        return self.usage is None or type(self.watcher) is not Watcher

    def _take(self, event: ServerSentEvent) -> Iterator[Piece]:
        """The pieces of one event, each noted before it is given."""
        self._events += 1
        if self.on_event:
            self.on_event(event)
        for piece in self._reader.read(event):
            self._note(piece)
            yield piece

    def _note(self, piece: Piece) -> None:
        """Add a piece to what has come, and the time of its arrival."""
        if isinstance(piece, Usage):
            self.usage = piece  # the last one counts: some servers send one with each chunk
            return
        number = getattr(piece, "choice", 0)
        choice = self.choices.get(number) or self.choices.setdefault(number, Choice())
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
        """Raise ``ProtocolError`` unless the response is an event stream, with what it is instead."""
        kind = response.headers.get_content_type() if "Content-Type" in response.headers else "nothing"
        if response.status != 204 and kind == "text/event-stream":
            return
        body = read_error_body(response)
        with contextlib.suppress(StreamError):  # is it the whole answer, from a server that does not stream?
            for piece in self._reader.read(ServerSentEvent(body.decode("utf-8", "replace"))):
                self._note(piece)
        if self.choices:
            raise ProtocolError(f"the server does not stream: it sent the whole answer, with {kind}")
        message = self.dialect.read_error(body)
        in_its_words = f": {fit(message)}" if message else ""
        raise ProtocolError(f"status {response.status} with {kind} in place of an event stream{in_its_words}")

    def _check_end(self, decoder: SSEDecoder) -> None:
        """Raise ``Truncated`` or ``ProtocolError`` unless the answer is whole, now that nothing more will be read."""
        if len(self.choices) > self.choices_asked_for:
            self._notes.append(f"{len(self.choices)} choices came, where {self.choices_asked_for} was asked for")
        if self._is_whole():
            if not self._reader.done and self.dialect.last_event:
                self._notes.append(f"{self.dialect.last_event} did not come")
            elif not self._reader.done and decoder.pending:
                self._notes.append("the stream ended inside an event, although the answer is whole")
            if message := self._error_outside_events():
                self._notes.append(f"an error came outside of events, although the answer is whole: {message}")
            return
        if self._reader.done:
            raise Truncated("the stream says that it is over, before a finish reason")
        if not self._events and not decoder.pending:
            begins = self._beginning.decode("utf-8", "replace")
            beginning = f": {fit(begins)}" if begins.strip() else ""
            raise ProtocolError(f"the event stream held no event{beginning}")
        ended = any(choice.finish_reason is not None for choice in self.choices.values())
        missing = (ended and self.dialect.last_event) or "a finish reason"
        raise Truncated(f"the stream ended {'inside an event' if decoder.pending else f'before {missing}'}")

    def _error_outside_events(self) -> str:
        """The message of an error that a server wrote into the stream outside of events; "" if there is none.

        Some servers write bare JSON, on one line or indented on several, some a field named ``error``: to a decoder they are
        unknown fields, and ignored. So the last lines of the body are searched for them.
        """
        ending = self._ending if len(self._ending) == ENDING_SIZE else b"\n" + self._ending
        for error in reversed(re.findall(ERROR_OUTSIDE_EVENTS, ending)):
            if message := self.dialect.read_error(error):
                return fit(message)
        return ""

    # ---- Connecting ----

    def _connect(self, call: HTTPCall) -> Response:
        """Send the request. Retry on a retryable status or a failed connection, never once a stream has begun."""
        while True:
            self.attempts += 1
            call.answer_begun = False
            try:
                return open_response(self.body, self.headers, call)
            except urllib.error.HTTPError as error:
                with contextlib.closing(error):
                    message = self.dialect.read_error(read_error_body(error.fp)) or error.reason  # type: ignore[arg-type]
                failure = HTTPStatusError(f"{error.code}: {fit(str(message))}", error.code)
                wait = _retry_wait(error.headers, self.attempts) if error.code in RETRIED_STATUSES else None
            except TimeoutError:
                raise call.timeout_error() from None
            except ValueError as error:  # a URL that urllib cannot use: ours, or one that a redirect names
                raise HTTPStatusError(f"the URL cannot be used: {fit(str(error))}") from None
            except (OSError, http.client.HTTPException) as error:
                if isinstance(getattr(error, "reason", None), TimeoutError):
                    raise call.timeout_error() from None
                if isinstance(error, http.client.HTTPException) and not isinstance(
                    error, http.client.RemoteDisconnected
                ):
                    raise ProtocolError(f"the answer is not HTTP: {fit(repr(error))}") from None
                if call.answer_begun:
                    raise Truncated(f"the connection broke in the head of the answer: {reason_of(error)}") from None
                failure = HTTPStatusError(f"no answer from {call.peer or origin(self.url)[1]}: {reason_of(error)}")
                wait = _backoff(self.attempts)
            if wait is None or self.attempts > self.retries:
                raise failure from None
            if call.total is not None and wait > call.began + call.total - time.monotonic():
                raise failure from None
            if call.pause(wait):
                raise failure from None


def _retry_wait(headers: Any, attempt: int) -> float | None:
    """Seconds to wait before retrying; None if the server forbids it or asks for more than ``MAX_RETRY_AFTER``.

    >>> _retry_wait({"Retry-After": "2"}, 1), _retry_wait({"Retry-After": "3600"}, 1)
    (2.0, None)
    """
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
    """A number of seconds in a header: digits, perhaps with a fraction; None for anything else, a date for example.

    >>> _number("1.5"), _number("Fri, 27 Nov 2026 12:00:00 GMT")
    (1.5, None)
    """
    return float(text) if text is not None and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text.strip()) else None


def _backoff(attempt: int) -> float:
    """Half a second, doubled with each attempt up to eight, with up to 25% jitter, so that clients spread out."""
    return float(min(8.0, 0.5 * 2 ** (attempt - 1)) * random.uniform(0.75, 1.0))
