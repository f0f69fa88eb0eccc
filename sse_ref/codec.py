"""Bytes to events and events to bytes: the event stream format, and nothing else.

In:   the bytes of a ``text/event-stream`` body, cut anywhere.
Out:  the events they dispatch, each as soon as its blank line has ended; and the way back.

Follows the WHATWG HTML standard, section 9.2 "Server-sent events": 9.2.5 "Parsing an event stream" and 9.2.6
"Interpreting an event stream" (https://html.spec.whatwg.org/multipage/server-sent-events.html). This file imports nothing
from the package, so it can be copied alone into another project.

An event stream is UTF-8 text made of lines. A line is one of four things:

    (empty)         dispatch: the event collected so far is complete
    :anything       a comment, ignored (servers send them so that a quiet connection is not taken for a dead one)
    name: value     a field; one space after the first colon does not belong to the value
    name            a field with an empty value

and a field does one of five things, by its name:

    data            append the value, and a line feed, to the data buffer
    event           set the event type buffer
    id              set the last event ID buffer, unless the value holds a NUL
    retry           set the reconnection time, if the value is ASCII digits only
    anything else   nothing

The decoder therefore remembers three buffers between lines, and between chunks the bytes of a line whose end has not come
yet, and whether the chunk ended in CR, because an LF that follows belongs to that same line end; at the beginning of a
stream also the bytes that may be a byte order mark. A line is complete at its CR; waiting for a possible LF would hold an
event back for as long as the stream is quiet.

It works on bytes and decodes each value when it is complete. CR and LF are ASCII and never part of a longer UTF-8
sequence, so this equals decoding the whole stream first, and a character cut in two by the network is no special case.
``bytes.splitlines`` ends lines at CR, LF and CRLF as the standard does; ``str.splitlines`` would also break them at
U+2028, U+0085, form feeds and more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["EventTooLarge", "SSEDecoder", "ServerSentEvent", "encode_comment", "encode_event", "iter_events"]

NUL, LF, CR = b"\0\n\r"
BOM = b"\xef\xbb\xbf"
DATA = b"data: "  # how nearly all lines begin

# The most digits of a ``retry`` value that are read. Python can be told to convert no more than 640 (CVE-2020-10735), and
# 22 already are longer than the age of the universe.
MAX_RETRY_DIGITS = 640


class ServerSentEvent(NamedTuple):
    """One dispatched event, immutable.

    ``data`` is the text of its data lines joined by LF (it never holds a CR), ``event`` the event type, ``id`` the last
    event ID at the moment of dispatch: an event without an ``id`` field carries that of an earlier one.

    >>> ServerSentEvent("hello")
    ServerSentEvent(data='hello', event='message', id='')
    """

    data: str
    event: str = "message"
    id: str = ""


# ``new_event(ServerSentEvent, (data, event, id))`` spares a step in Python, which costs a tenth of the decoder's time.
new_event = tuple.__new__


class EventTooLarge(ValueError):
    """The peer sent an event, or a line of any kind, larger than the ``max_event_size`` bytes that this decoder may hold.

    ``limit`` is that number of bytes; ``events`` are the events that the same chunk completed before, so that none is
    lost. The decoder takes no more after it: what follows would start in the middle of an event.
    """

    def __init__(self, limit: int, events: list[ServerSentEvent]) -> None:
        super().__init__(f"the peer sent an event of more than {limit} bytes; raise max_event_size if that is expected")
        self.limit, self.events = limit, events


# ---- Events to bytes -------------------------------------------------------------------------------------------------


def encode_event(
    data: str | None, *, event: str | None = None, id: str | None = None, retry: int | None = None
) -> bytes:
    """Return the bytes of one event, with the blank line that dispatches it.

    ``data`` becomes one ``data`` line for each of its lines; CRLF and CR in it read back as LF. ``None`` writes no data
    field: the block then sets id or reconnection time but dispatches nothing. ``event`` empty or ``None`` means
    "message". ``id`` empty resets the reader's last event ID, ``None`` leaves it; a space at either end of an id does
    not survive the ``Last-Event-ID`` header. ``retry`` is in milliseconds.

    Whatever would read back as something else raises ``ValueError``, and nothing is stripped in silence: CR or LF in
    ``event`` or ``id``, NUL in ``id``, a negative ``retry``, a lone surrogate anywhere. A wrong type raises ``TypeError``.

    Source: HTML standard 9.2.5 (the grammar), 9.2.6.

    >>> encode_event("two\\nlines", event="note", id="7")
    b'event: note\\nid: 7\\ndata: two\\ndata: lines\\n\\n'
    """
    fields = "" if event is None or event == "" else _line("event", event)
    if id is not None:
        fields += _line("id", id)
        if "\0" in id:
            raise ValueError("id must not contain NUL: readers ignore such an id field")
    if retry is not None:
        if type(retry) is not int:
            raise TypeError(f"retry must be an int (milliseconds), not {type(retry).__name__}")
        if not 0 <= retry < 10**MAX_RETRY_DIGITS:
            raise ValueError("retry must not be negative, or longer than 640 digits: readers would ignore it")
        fields += f"retry: {retry}\n"
    if data is not None:
        if not isinstance(data, str):
            raise TypeError(f"data must be str, not {type(data).__name__}")
        lines = _lf(data).replace("\n", "\ndata: ") if "\n" in data or "\r" in data else data
        fields += f"data: {lines}\n"
    return _utf8(fields + "\n")


def encode_comment(text: str = "") -> bytes:
    """Return a comment: one line starting with a colon for each line of ``text``.

    A comment dispatches nothing. Sent about every 15 seconds it keeps proxies and clients from giving up on a quiet
    stream (HTML standard 9.2.7). There is no blank line after it; a lone surrogate raises ``ValueError``.

    >>> encode_comment("still here")
    b': still here\\n'
    """
    return _utf8("".join(f": {line}\n" if line else ":\n" for line in _lf(text).split("\n")))


def _lf(text: str) -> str:
    """Turn every line end of the standard into LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _line(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be str, not {type(value).__name__}")
    if "\n" in value or "\r" in value:
        raise ValueError(f"{name} must not contain CR or LF: the rest would be read as another field")
    return f"{name}: {value}\n"


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"lone surrogate U+{ord(text[error.start]):04X} cannot be written as UTF-8") from None


# ---- Bytes to events -------------------------------------------------------------------------------------------------


class SSEDecoder:
    """The interpreter of HTML standard 9.2.6, fed with chunks of bytes.

    ``max_event_size`` (bytes, default no limit) bounds the data lines of one event together with the line being read, and
    so also each type and id. ``last_event_id`` is that of an earlier connection, when this stream continues it: browsers
    keep it across connections, although the letter of 9.2.6 starts each stream with an empty one.

    >>> decoder = SSEDecoder()
    >>> decoder.feed(b"data: hel")
    []
    >>> decoder.feed(b"lo\\n\\ndata: cut o")
    [ServerSentEvent(data='hello', event='message', id='')]
    >>> decoder.pending
    True
    """

    last_event_id: str
    """The last event ID string: the ``id`` of the last complete block that had one; before that, the one passed in."""

    reconnection_time: int | None
    """Milliseconds to wait before reconnecting, from the last valid ``retry`` line; None if there was none."""

    def __init__(self, *, max_event_size: int | None = None, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.reconnection_time = None
        self._data: bytes | None = None  # data buffer: the value of its first line; None while it is empty,
        self._more = bytearray()  # and an LF and the value of each other line
        self._event_type = ""  # event type buffer
        self._id = last_event_id  # last event ID buffer
        self._line = bytearray()  # the line whose end has not come
        # True while the first bytes of the next chunk need a special look: byte order mark, LF after CR, end.
        self._look_at_start = True
        self._start: bytes | None = b""  # the first bytes of the stream, while they may still be a byte order mark
        self._refusal: ValueError | None = None  # why no more bytes are taken
        # The limit, and what is counted against it.
        self._max_event_size = max_event_size
        self._data_size = 0  # bytes of the data lines in the data buffer

    @property
    def pending(self) -> bool:
        """True if a stream that ends now was cut off: part of a line, data, a type or a new id would be lost.

        Still true after ``close()``, which discards them.
        """
        begun = self._line or self._event_type or self._start
        return self._data is not None or bool(begun) or self._id != self.last_event_id

    def close(self) -> None:
        """End of the stream: an incomplete event is discarded, with its id, as the standard says.

        ``pending`` tells whether there was one. ``feed`` raises ``ValueError`` from now on.
        """
        self._refuse(ValueError("the decoder is closed: a new stream needs a new decoder"))

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next bytes of the stream and return every event they complete, in order.

        Raises ``EventTooLarge`` beyond ``max_event_size``, and from then on; ``ValueError`` after ``close()``. No byte
        sequence is an error: invalid UTF-8 becomes U+FFFD, and what the standard does not know is ignored.
        """
        # 1. After a CR, at the start of the stream and at its end, the first bytes are special.
        if self._look_at_start:
            chunk = self._settle_start(chunk)

        # 2. A chunk that ends no line goes to the line that is open. A bytearray grows in place: joining bytes at each chunk
        # would take time in the square of the line's length.
        if LF not in chunk and CR not in chunk:
            self._line += chunk
            if self._max_event_size is not None:
                self._measure_line(len(self._line), [])
            return []
        open_line, limit = self._line, self._max_event_size

        # 3. Most servers send each event by itself, and it has one data line. The steps below would do the same, but slower:
        # they collect lines, and here there is nothing to collect.
        if chunk[-2:] == b"\n\n" and chunk[:6] == DATA and not open_line and self._data is None:
            value = chunk[6:-2]
            if LF not in value and CR not in value and (limit is None or len(chunk) <= limit):
                self.last_event_id = event_id = self._id
                event_type, self._event_type = self._event_type or "message", ""
                return [new_event(ServerSentEvent, (value.decode("utf-8", "replace"), event_type, event_id))]

        # 4. Cut the chunk into lines. The last may be left open, and the first completes the line that was left open.
        lines = chunk.splitlines()
        left_open = b"" if (last := chunk[-1]) == LF or last == CR else lines.pop()
        self._look_at_start = last == CR
        if open_line:
            open_line += lines[0]
            lines[0] = bytes(open_line)
            open_line.clear()

        # 5. Interpret each line. Most are "data: " lines: they have a branch of their own, although the last one would do
        # the same. A method call in this loop would cost half its speed.
        events: list[ServerSentEvent] = []
        data, more, event_type, event_id = self._data, self._more, self._event_type, self._id
        for line in lines if limit is None else self._measured(lines, events):
            if not line:
                # Dispatch the event (9.2.6, steps 1 to 7).
                self.last_event_id = event_id
                if data is not None:
                    if more:
                        data += more
                        more.clear()
                    try:
                        text = data.decode()  # quicker, and nearly all text is valid
                    except UnicodeDecodeError:
                        text = data.decode("utf-8", "replace")
                    events.append(new_event(ServerSentEvent, (text, event_type or "message", event_id)))
                    data = None
                event_type = ""
            elif (value := line.removeprefix(DATA)) != line:
                if data is None:
                    data = value
                else:
                    more += b"\n" + value
            else:
                # Process the field. A comment is a line whose field name is empty, and no such field is known.
                field, _, value = line.partition(b":")
                value = value.removeprefix(b" ")
                if field == b"event":
                    event_type = value.decode("utf-8", "replace")
                elif field == b"id" and NUL not in value:
                    event_id = value.decode("utf-8", "replace")
                elif field == b"data":
                    if data is None:
                        data = value
                    else:
                        more += b"\n" + value
                # bytes.isdigit knows the ASCII digits only, and says no to the empty value.
                elif field == b"retry" and value.isdigit() and len(value) <= MAX_RETRY_DIGITS:
                    self.reconnection_time = int(value)
        self._data, self._event_type, self._id = data, event_type, event_id

        # 6. Keep what is left open.
        open_line += left_open
        if limit is not None:
            self._measure_line(len(left_open), events)
        return events

    def _settle_start(self, chunk: bytes) -> bytes:
        """Return the chunk without first bytes that belong to what came before it."""
        if self._refusal:
            raise self._refusal
        if self._start is None:  # an LF after a CR is the second half of that line end
            self._look_at_start = not chunk
            return chunk.removeprefix(b"\n")
        self._start += chunk  # the stream may begin with one byte order mark, and that may be cut in three
        if self._start != BOM and BOM.startswith(self._start):
            return b""
        start, self._start, self._look_at_start = self._start, None, False
        return start.removeprefix(BOM)

    def _measured(self, lines: list[bytes], events: list[ServerSentEvent]) -> Iterator[bytes]:
        """Yield complete lines, each counted against the limit."""
        for line in lines:
            self._measure_line(len(line), events)
            if not line:
                self._data_size = 0
            elif line.partition(b":")[0] == b"data":
                self._data_size += len(line)
            yield line

    def _measure_line(self, size: int, events: list[ServerSentEvent]) -> None:
        """Refuse a line that, with the data lines before it, is beyond the limit."""
        if self._max_event_size is not None and self._data_size + size > self._max_event_size:
            self._refuse(EventTooLarge(self._max_event_size, []))
            raise EventTooLarge(self._max_event_size, events)

    def _refuse(self, reason: ValueError) -> None:
        """Take no more bytes."""
        self._refusal = self._refusal or reason
        self._look_at_start = True


def iter_events(chunks: Iterable[bytes], *, max_event_size: int | None = None) -> Iterator[ServerSentEvent]:
    """Yield the events of a stream given as chunks of bytes, each as soon as its chunk has come.

    Raises ``EventTooLarge`` as ``SSEDecoder.feed`` does, after the events before it.

    >>> [event.data for event in iter_events([b"data: a\\r", b"\\n\\r\\nda", b"ta: b\\n\\n"])]
    ['a', 'b']
    """
    decoder = SSEDecoder(max_event_size=max_event_size)
    for chunk in chunks:
        try:
            yield from decoder.feed(chunk)
        except EventTooLarge as error:
            yield from error.events
            raise
