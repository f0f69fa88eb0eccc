"""Event sources: the standard's reconnecting source of plain events.

In:   the URL of an event source.
Out:  its events, across as many connections as it takes.

Follows HTML standard 9.2.2 and 9.2.3. A source is in one of three states:

    CONNECTING   it sends its request, with the last event ID; or it waits to send it again
    OPEN         the response is an event stream, and events come
    CLOSED       for good

    CONNECTING -> OPEN         status 200 and the content type text/event-stream
    OPEN -> CONNECTING         the body ends, or the connection breaks or is silent for too long
    CONNECTING -> CONNECTING   no connection, or it breaks before the head is whole
    any -> CLOSED              204, any other status or content type, an event that is too large, ``close``

The standard tells two kinds of trouble apart. A *network error* may go right with the next connection, so the source
reconnects: a refused connection, a cut, a body that ends, a head that is not HTTP. A *failure* will not, so it is raised:
the server answered, and what it answered is no event stream.

Three things outlive a connection: the URL that the last redirect led to, the reconnection time, and the last event ID. The
ID is sent as ``Last-Event-ID``, and it is that of the last complete block: the standard discards an event whose blank line
never came, and its id with it, so the server sends that event again. Nothing is lost and nothing comes twice, if the server
keeps its side.

So a cut in the middle of an event looks like this, where the second connection gets what the first did not finish:

    GET /events                              GET /events
                                             Last-Event-ID: 1
    id: 1                                    id: 2
    data: one                                data: two
    (blank line: dispatched)                 (blank line: dispatched)
    id: 2
    da                  <- cut

The reconnection time is set by ``retry`` fields, in milliseconds, as soon as the line has come, also in a block that
dispatches nothing. It stays for all connections after it.

Between two connections the source waits for the reconnection time, never less than a tenth of a second: a server that ends
every body at once must not be asked without pause. After several failures in a row the wait doubles, up to a minute or the
reconnection time, whichever is longer (9.2.3 leaves this to the client). An event, or a body that ends in order, ends the
row.
"""

from __future__ import annotations

import http.client
import re
import threading
import urllib.error
from collections.abc import Iterator, Mapping

from sse_ref.client.transport import (
    MAX_EVENT_SIZE,
    HTTPCall,
    Response,
    Watcher,
    bytes_at_once,
    check_headers,
    harmless,
    open_response,
    origin,
    read_body,
    reason_of,
)
from sse_ref.codec import EventTooLarge, ServerSentEvent, SSEDecoder
from sse_ref.errors import HTTPStatusError, ProtocolError, StreamError, StreamTimeout, fit

__all__ = ["EventSource"]

MAX_BACKOFF = 60.0  # seconds between two attempts of a source that cannot connect
MIN_WAIT = 0.1  # seconds between two attempts, even if the server asks for fewer


class ConnectionLost(Exception):
    """The connection of an event source is gone, and another attempt may bring it back."""


class EventSource:
    """The standard's reconnecting source: iterate it for events, for as long as the server lets it reconnect.

    After the end of a body or a broken connection it waits for the reconnection time, a tenth of a second at least, and
    asks again, with the last event ID, at the URL that it was last redirected to. It ends when the server answers 204 or
    ``close`` is called (also from another thread), and fails for good on any other status (``HTTPStatusError``) or content
    type, or an event of more than ``max_event_size`` bytes (``ProtocolError``). ``timeout`` is the silence in seconds that
    counts as a broken connection, None for never. After several failures in a row it waits longer; ``max_failures``
    (None: no limit): after so many failures in a row the last is raised (``HTTPStatusError``). An event, or a body that ends
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
        self._call = HTTPCall(timeout, url=url)

    def __iter__(self) -> Iterator[ServerSentEvent]:
        """Yield the events of one connection after the other, until the source is closed. Iterate it once."""
        failures = 0
        closing = self._call.closing
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
                except ConnectionLost as error:
                    failures += 1
                    if closing.is_set():
                        return
                    if self.max_failures is not None and failures >= self.max_failures:
                        raise HTTPStatusError(str(error)) from None
                self._call.pause(self._wait(failures))
        finally:
            self.ready_state = self.CLOSED
            self._call.release()

    def close(self) -> None:
        """End the source; an iteration that is waiting ends too."""
        self.ready_state = self.CLOSED
        self._call.cancel()

    def _connect(self) -> Response | None:
        """One attempt: the response of an event stream, None for 204. Raises ``ConnectionLost`` if another may succeed."""
        headers_of_ours = self.headers if origin(self._call.url) == origin(self.url) else harmless(self.headers)
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache", **headers_of_ours}
        if self.last_event_id:
            # The header carries the id as UTF-8, and http.client writes strings as Latin-1.
            headers["Last-Event-ID"] = self.last_event_id.encode("utf-8", "replace").decode("latin-1")
        try:
            response = open_response(None, headers, self._call)
        except urllib.error.HTTPError as error:
            error.close()
            raise HTTPStatusError(f"{error.code}: {fit(str(error.reason))}", error.code) from None
        except ValueError as error:
            raise HTTPStatusError(f"the URL cannot be used: {fit(str(error))}") from None
        except (OSError, http.client.HTTPException, StreamTimeout) as error:
            raise ConnectionLost(
                f"no answer from {self._call.peer or origin(self.url)[1]}: {reason_of(error)}"
            ) from None
        if response.status == 204:
            return None
        if response.status != 200:
            raise HTTPStatusError(f"{response.status}: {response.reason}", response.status)
        if "Content-Type" not in response.headers or response.headers.get_content_type() != "text/event-stream":
            raise ProtocolError(f"the content type is {response.headers.get('Content-Type')!r}, not text/event-stream")
        self.ready_state = self.OPEN
        return response

    def _events(self, response: Response) -> Iterator[ServerSentEvent]:
        """The events of one connection. Raises ``ConnectionLost`` when it breaks, ``ProtocolError`` for one too large."""
        decoder = SSEDecoder(max_event_size=self.max_event_size, last_event_id=self.last_event_id)
        try:
            for data in read_body(response, Watcher(), bytes_at_once(self.max_event_size)):
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
            raise ConnectionLost(str(error)) from None
        finally:
            response.close()

    def _wait(self, failures: int) -> float:
        """Seconds until the next attempt: never fewer than the server asks for, more after several failures.

        >>> source = EventSource("http://127.0.0.1/events", reconnection_time=3000)
        >>> [source._wait(failures) for failures in (0, 1, 2, 3)]
        [3.0, 3.0, 6.0, 12.0]
        """
        seconds = (
            min(self.reconnection_time, 10**15) / 1000
        )  # milliseconds of any number of digits; these are 30,000 years
        longer = min(MAX_BACKOFF, max(seconds, 0.1) * 2 ** min(failures - 1, 16)) if failures > 1 else 0.0
        return min(max(seconds, longer, MIN_WAIT), threading.TIMEOUT_MAX)
