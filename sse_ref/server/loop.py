"""The loop: one for all open connections. It waits for requests, sends what is due, and notices who disconnects.

In:   connections that wait for a request, and streams: writes of bytes, each with the time it is due.
Out:  the writes on their sockets, each when it is due; a thread for each request that arrives; how each stream ended.

A connection is in one of three states; between two of them a thread has it:

    resting      it waits for its next request; the first bytes of one wake it
    reading      some of a head has come, and the rest must come in time
      serve      a thread reads the request and answers it, or sets ``stream``, and hands the connection back
    streaming    its stream has a next write, which is due at some time; after the last it rests again, or is closed

So a slow head costs no thread, and a stream costs none at all. A thread for each stream would be the shortest program, but
with a thousand of them the interpreter hands its lock around, and tokens come seconds late. One turn of the loop does this:

    select       sleep until a socket is ready, or until the earliest due time
    sockets      a new connection; bytes of a head; room to continue a write; or the end of a connection
    due times    send what is due of each stream whose time has come, at most a round of it

**Time.** A due time counts from the beginning of its stream, so one late write does not delay the rest. Each connection has
one timer. A stream's timer is the nearer of two times: its next write is due, or it has been silent for as long as a
heartbeat waits.

Two streams at two tokens a second, the second asked for 0.2 s later, and a heartbeat after 0.4 s of silence:

    0.0    first stream taken over: its write is due, sent; the next is due at 0.5, a heartbeat at 0.4: timer 0.4
    0.2    second stream: sent; timer 0.6
    0.4    first: heartbeat sent; its write is nearer than the next heartbeat: timer 0.5
    0.5    first: sent; timer 0.9
    0.6    second: heartbeat; timer 0.7, and so on

Between these times the loop sleeps in one ``select``, however many streams there are.

**Rounds.** Each write is one ``send``, as long as the loop keeps up. Writes that should have gone a millisecond ago, because
the loop is late or because no pace was asked for, go together: up to a round of them, so that a fast stream costs the system
less, and the others have their turn. After a millisecond of sending the loop looks at the sockets again.

**What holds** at the end of each turn, for every connection in ``entries``:

    its socket is registered with the selector, and no other socket of a connection is
    it has a timer, or stands in ``ready``, or its next write is never due
    ``stream.sent`` is the last write that went out whole, so that the journal never counts bytes that are still here
    if ``unsent`` is set, no other byte is sent: neither a heartbeat nor a farewell goes into the middle of a write

**Room.** ``send`` takes what the socket has room for. The rest stays here, and the socket is watched until it can be written
again; meanwhile the model is not asked for more, and after ``stall_timeout`` without room the stream is dropped. So a peer
that does not read costs the bytes of one round.

**Disconnects.** A streaming socket is watched for reading, too. It becomes readable when the client disconnects, also while
the model is silent, and when it sends its next request early, which is kept.

**Scarcity.** Where threads run out, the oldest request whose thread waits for its client is cut off, once it has had a few
seconds. Where file descriptors run out, the connection that has rested longest is closed: slow clients keep no others out.

**Threads.** All of it runs in the thread of ``run``. ``hand_over``, ``settle``, ``stop`` and ``wake`` may be called from any
other: they leave a note, and a byte in a socket pair that wakes the loop. This file knows sockets and clocks, and
nothing of HTTP: the connections do.

**What it costs.** A turn is one ``select``, a round of writes one ``send`` and one timer: nothing for streams in silence.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from sse_ref.server.threads import Threads
from sse_ref.server.timers import Timers

__all__ = ["Loop", "LoopConnection", "Stream", "Write"]

# Bytes that a client may send ahead while its stream runs (pipelined requests); with more it loses the connection then.
MAX_READ_AHEAD = 65536
MAX_THREADS = 256  # requests that are read and answered at once
PATIENCE = 3.0  # seconds that a request keeps its thread, however long that waits for the client
RESTING = 4  # threads that wait for the next requests
LATE = 0.001  # seconds after it was due, from which on a write goes together with others
ROUND = 16  # of these at once
LOOK_AGAIN = 0.001  # seconds of sending, after which the sockets are looked at


@dataclass(slots=True)
class Write:
    """Bytes to send at once, ``due`` so many seconds after the stream began.

    ``tokens`` and ``events`` are running totals, counting the event that this write completes. An ``open`` write ends
    inside an event: nothing but the rest of the event may follow. The ``last`` write holds nothing but the end of the body.
    """

    due: float
    tokens: int
    events: int
    payload: bytes
    open: bool = False
    last: bool = False


class Stream:
    """What one connection is being sent.

    ``heartbeat`` is sent after ``heartbeat_interval`` seconds without a write; b"" means never. ``farewell()`` returns the
    bytes to send if the server stops mid-stream and the socket has room. ``on_end`` is called once, with "complete",
    "client_left", "dropped", "stopped" (the server was), or "crashed" and the exception that ``writes`` raised.
    """

    def __init__(
        self,
        writes: Iterator[Write],
        *,
        heartbeat: bytes = b"",
        heartbeat_interval: float = 15.0,
        farewell: Callable[[], bytes] = bytes,
    ) -> None:
        self.writes = writes
        self.heartbeat = heartbeat
        self.heartbeat_interval = heartbeat_interval
        self.farewell = farewell
        self.on_end: Callable[[str, Exception | None], None] = lambda outcome, error: None
        self.with_head: list[Write] = []  # what has been sent already
        self.began = time.monotonic()
        self.last_sent = self.began
        self.next: Write | None = next(writes, None)
        self.failure: Exception | None = None  # what ``writes`` raised: the stream ends after what came before it
        # What has been sent so far, without heartbeats.
        self.sent = Write(0.0, 0, 0, b"")  # the last write
        self.bytes_sent = 0
        self.first_sent: float | None = None  # seconds after it began

    def begin(self) -> bytes:
        """What travels with the head: all that comes with the first token, if that is due at once; at most a round."""
        first_token = max(1, self.next.tokens) if self.next is not None else 0
        while self.next is not None and self.next.due <= 0 and self.next.tokens <= first_token:
            if len(self.with_head) == ROUND:  # a recording has no tokens
                break
            self.with_head.append(self.next)
            self.go_on()
        return b"".join([write.payload for write in self.with_head])

    def round(self, now: float) -> list[Write]:
        """What is to be sent now: ``next``, and if that is late, those after it that are late, too.

        Parts of an event that is split go each by itself.
        """
        assert self.next is not None
        taken, latest = [self.next], now - self.began - LATE
        if self.next.due > latest or self.next.open:
            return taken
        try:
            for write in self.writes:
                if write.due > latest or write.open or len(taken) == ROUND:
                    self.next = write
                    return taken
                taken.append(write)
        except Exception as error:
            self.failure = error
        self.next = None
        return taken

    def go_on(self) -> None:
        """Ask for the write after ``next``."""
        try:
            self.next = next(self.writes, None)
        except Exception as error:
            self.next, self.failure = None, error

    def note_head(self, now: float) -> None:
        """What travels with the head has gone out."""
        for write in self.with_head:
            self.note_sent(write, now)
            self.bytes_sent += len(write.payload)
        self.with_head = []

    def note_sent(self, write: Write, now: float) -> None:
        """All of this write has gone out, and all before it."""
        self.sent = write
        if self.first_sent is None:
            self.first_sent = now - self.began


class LoopConnection(Protocol):
    """What the loop has to know of a connection."""

    socket: socket.socket
    read_ahead: bytearray  # bytes received and not yet read
    stream: Stream | None
    close_connection: bool  # no further request will be read
    begun: bool  # some of a stream has been sent, or is being sent, by the thread that serves

    @property
    def waits_for_client(self) -> bool:
        """Its thread waits for the client to send, or to read."""

    def may_serve(self) -> bool:
        """Whether enough has been read ahead for ``serve`` to begin."""

    def serve(self) -> None:
        """Read one request, in a thread of its own, and answer it or set ``stream``."""


class _Entry:
    """A connection in the loop's care."""

    __slots__ = ("connection", "events", "timer", "unsent", "unsent_writes")

    def __init__(self, connection: LoopConnection) -> None:
        self.connection = connection
        self.events = 0  # what the selector watches its socket for
        self.timer: int | None = None
        self.unsent: memoryview | None = None  # what the socket had no room for
        self.unsent_writes: list[Write] | None = None  # the writes that these bytes belong to; none for a heartbeat


class Loop:
    """The loop; ``run`` it in one thread. ``stop`` and ``hand_over`` may be called from any.

    ``accept`` turns an accepted socket into a connection; ``idle_timeout`` (seconds) is how long a connection may wait for
    its next request, ``head_timeout`` (seconds) how long a begun one may take until it can be served, ``stall_timeout``
    (seconds) how long a socket may take no byte of a write; ``show`` is told of all bytes that were sent.
    """

    def __init__(
        self,
        listener: socket.socket,
        accept: Callable[[socket.socket, Any], LoopConnection],
        *,
        idle_timeout: float,
        stall_timeout: float,
        head_timeout: float = 10.0,
        show: Callable[[Any, bytes], None] | None = None,
    ) -> None:
        self.listener = listener
        self.accept = accept
        self.show = show
        self.idle_timeout = idle_timeout
        self.stall_timeout = stall_timeout
        self.head_timeout = head_timeout
        self.entries: dict[LoopConnection, _Entry] = {}  # the longest there first
        self.serving: dict[LoopConnection, float] = {}  # those in the care of a thread, since when: the longest first
        self.threads = Threads(RESTING)
        self.waiting: deque[LoopConnection] = deque()  # those that no thread could be had for
        self.making_room: LoopConnection | None = None  # was ended so that its thread comes free
        self.selector = selectors.DefaultSelector()
        self.ready: deque[_Entry] = deque()  # streams whose next write is due already
        self.timers: Timers[_Entry] = Timers()
        self.handed_over: deque[LoopConnection] = deque()
        self.settling: deque[threading.Event] = deque()
        self.stopping = threading.Event()
        self.running = False
        self.finished = False
        self.waker, self.alarm = socket.socketpair()
        self.waker.setblocking(False)
        self.alarm.setblocking(False)
        listener.setblocking(False)

    # ---- From other threads ------------------------------------------------------------------------------------------

    def hand_over(self, connection: LoopConnection) -> None:
        """Give a connection (back) to the loop: to send its stream, or to wait for its next request, or to close it."""
        self.handed_over.append(connection)
        self.wake()
        if self.finished:
            self.close_handed_over()

    def settle(self) -> None:
        """Wait until the loop has dealt with all that has happened so far.

        A client that has read the last byte of its stream, or has disconnected, may be ahead of the loop's bookkeeping.
        """
        settled = threading.Event()
        for _ in range(1000):  # a second at most
            if not (self.running and self.begun):
                break
            settled.wait(0.001)
        self.settling.append(settled)
        self.wake()
        while self.running and not settled.wait(0.1):
            pass

    @property
    def begun(self) -> bool:
        """Whether a thread has begun to send a stream, and not handed it over yet: it soon will, if the client reads."""
        return any(connection.begun for connection in list(self.serving))

    def stop(self) -> None:
        """End all streams, close all connections, and let ``run`` return. Safe in a signal handler."""
        self.stopping.set()
        self.wake()

    def wake(self) -> None:
        """End the sleep of the loop."""
        with contextlib.suppress(OSError):  # full: the loop will wake anyway; closed: there is no loop any more
            self.waker.send(b"\0")

    # ---- The loop ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Turn until ``stop`` is called; then everything but the listener is closed."""
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.selector.register(self.alarm, selectors.EVENT_READ)
        self.running = True
        try:
            while not self.stopping.is_set():
                self.turn()
        finally:
            self.running = False
            self.close()

    def turn(self) -> None:
        """One turn: sleep, sockets, due times."""
        settled = len(self.settling)  # what comes later may ask about what this turn has not seen
        timeout: float | None = 0.0
        if not self.ready and not settled:
            # At most an hour: select takes no time-out of a month and more.
            earliest = self.timers.next()
            timeout = None if earliest is None else min(3600.0, max(0.0, earliest - time.monotonic()))
            if self.waiting:  # threads may come free elsewhere in this process
                timeout = 0.05 if timeout is None else min(0.05, timeout)
        for key, events in self.selector.select(timeout):
            if key.data is not None:
                self.socket_event(key.data, events)
            elif key.fileobj is self.listener:
                self.accept_all()
            else:
                self.alarm.recv(4096)
        while self.handed_over:
            self.take_over(self.handed_over.popleft())
        for _ in range(len(self.waiting)):
            self.serve(self.waiting.popleft())
        for _ in range(settled):
            self.settling.popleft().set()
        now = time.monotonic()
        end = now + LOOK_AGAIN
        self.ready.extend(self.timers.run_out(now))
        for _ in range(len(self.ready)):
            entry = self.ready.popleft()
            if entry.events:  # not if it disconnected in this very turn
                self.time_has_come(entry, now)
            if (now := time.monotonic()) > end:
                return

    def accept_all(self) -> None:
        """Accept the connections that wait, up to 64 at once."""
        for _ in range(64):  # then the streams have their turn again
            try:
                sock, address = self.listener.accept()
            except BlockingIOError:
                return
            except OSError:  # no file descriptor left
                if self.end_longest_rest():
                    continue
                time.sleep(0.01)  # wait for one to come free, and do not spin meanwhile
                return
            sock.setblocking(False)
            connection = self.accept(sock, address)
            connection.read_ahead += _received(sock) or b""  # most clients have sent their request by now
            self.take_over(connection)

    def end_longest_rest(self) -> bool:
        """Close the connection that has waited longest for its request, or for the rest of its head, if there is one."""
        resting = (entry for entry in self.entries.values() if entry.connection.stream is None)
        if (longest := next(resting, None)) is None:
            return False
        self.hang_up(longest)
        return True

    def take_over(self, connection: LoopConnection) -> None:
        """Take a connection into the loop's care, in the state that it is in."""
        self.serving.pop(connection, None)
        rests = connection.stream is None and not connection.close_connection
        if rests and connection.read_ahead and connection.may_serve():
            self.serve(connection)
            return
        entry = self.entries[connection] = _Entry(connection)
        if connection.stream is not None:
            connection.socket.setblocking(False)
            self.watch(entry, selectors.EVENT_READ)
            if connection.stream.with_head:
                connection.stream.note_head(now := time.monotonic())
                self.look_for_next(entry, connection.stream, now)
            else:
                self.ready.append(entry)
        elif connection.close_connection:
            self.hang_up(entry)
        else:
            connection.socket.setblocking(False)
            self.watch(entry, selectors.EVENT_READ)
            patience = self.head_timeout if connection.read_ahead else self.idle_timeout
            self.timers.set(entry, time.monotonic() + patience)

    def serve(self, connection: LoopConnection) -> None:
        """Let a thread read and answer one request; it hands the connection back afterwards."""

        def work() -> None:
            try:
                connection.serve()
            finally:
                self.hand_over(connection)

        self.serving[connection] = time.monotonic()
        try:
            if len(self.serving) > MAX_THREADS:
                raise RuntimeError("can't start new thread")
            self.threads.do(work)
        except RuntimeError:  # no thread can be had: this one waits, and the slowest client makes room
            del self.serving[connection]
            self.waiting.append(connection)
            if self.making_room in self.serving:
                return
            late = [other for other, since in self.serving.items() if since + PATIENCE <= time.monotonic()]
            self.making_room = next((other for other in late if other.waits_for_client), None)
            if self.making_room is not None:
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    self.making_room.socket.shutdown(socket.SHUT_RDWR)

    def receive_head(self, entry: _Entry) -> None:
        """Some bytes of a request have come: the first ones, or more of its head."""
        connection = entry.connection
        received = _received(connection.socket)
        if received is None:
            return
        if not received:
            self.hang_up(entry)
            return
        if not connection.read_ahead:
            self.timers.set(entry, time.monotonic() + self.head_timeout)
        connection.read_ahead += received
        if connection.may_serve():
            self.let_go(entry)
            self.serve(connection)

    def socket_event(self, entry: _Entry, events: int) -> None:
        """A socket has room, or something to read."""
        connection = entry.connection
        if self.entries.get(connection) is not entry:
            return
        if events & selectors.EVENT_WRITE:
            self.write_rest(entry)
        # That may have ended the stream: the connection is closed then, or rests with another entry.
        if not events & selectors.EVENT_READ or self.entries.get(connection) is not entry:
            return
        if connection.stream is None:
            self.receive_head(entry)
            return
        received = _received(connection.socket)
        if received is None:
            return
        if not received:
            self.end(entry, "client_left")
            return
        if len(connection.read_ahead) < MAX_READ_AHEAD:
            connection.read_ahead += received
        else:  # too much to keep; but the socket must still be read, or its end would not be seen
            connection.close_connection = True

    def time_has_come(self, entry: _Entry, now: float) -> None:
        """The timer of a connection has run out: something is due, or has not come in time."""
        stream = entry.connection.stream
        if stream is None and entry.connection.read_ahead:  # the rest of a head did not come in time: it is told so
            self.let_go(entry)
            self.serve(entry.connection)
        elif stream is None:  # nothing was asked for in idle_timeout
            self.hang_up(entry)
        elif entry.unsent is not None:
            self.end(entry, "dropped")
        elif stream.next is None:
            self.end(entry, "complete")
        elif stream.began + stream.next.due <= now:
            writes = stream.round(now)
            payload = writes[0].payload if len(writes) == 1 else b"".join([write.payload for write in writes])
            self.send(entry, payload, writes, now)
        elif not stream.heartbeat or stream.sent.open or stream.last_sent + stream.heartbeat_interval > now:
            self.timers.set(entry, self.next_time(stream))
        else:
            self.send(entry, stream.heartbeat, [], now)

    def look_for_next(self, entry: _Entry, stream: Stream, now: float) -> None:
        """What was sent has gone: when is the next write due?"""
        stream.last_sent = now
        if stream.next is stream.sent:
            stream.go_on()
        if stream.failure is not None:
            self.end(entry, "crashed", stream.failure)
        elif stream.next is None:
            self.end(entry, "complete")
        elif stream.began + stream.next.due <= now:
            self.ready.append(entry)
        else:
            self.timers.set(entry, self.next_time(stream))

    def next_time(self, stream: Stream) -> float:
        """When the stream has to be looked at again: its next write is due, or a heartbeat is."""
        assert stream.next is not None
        due = stream.began + stream.next.due
        beats = stream.heartbeat and not stream.sent.open
        return min(due, stream.last_sent + stream.heartbeat_interval) if beats else due

    def send(self, entry: _Entry, payload: bytes | memoryview, writes: list[Write], now: float) -> None:
        """Send the payload of these writes, or a heartbeat. What the socket has no room for waits here."""
        connection = entry.connection
        stream = connection.stream
        assert stream is not None
        try:
            sent = connection.socket.send(payload)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.end(entry, "client_left")
            return
        if self.show:
            self.show(connection, bytes(payload[:sent]))
        if writes:
            stream.bytes_sent += sent
        if sent == len(payload):
            if writes:
                stream.note_sent(writes[-1], now)
            self.look_for_next(entry, stream, now)
            return
        entry.unsent = memoryview(payload)[sent:]
        while writes and len(entry.unsent) <= sum(len(write.payload) for write in writes[1:]):
            stream.note_sent(writes.pop(0), now)
        entry.unsent_writes = writes
        self.watch(entry, entry.events | selectors.EVENT_WRITE)
        self.timers.set(entry, now + self.stall_timeout)

    def write_rest(self, entry: _Entry) -> None:
        """The socket has room again."""
        rest, entry.unsent = entry.unsent, None
        entry.timer = None
        self.watch(entry, entry.events & ~selectors.EVENT_WRITE)
        if rest is not None and entry.connection.stream is not None:
            self.send(entry, rest, entry.unsent_writes or [], time.monotonic())

    # ---- Ends --------------------------------------------------------------------------------------------------------

    def end(self, entry: _Entry, outcome: str, error: Exception | None = None) -> None:
        """The stream of this connection is over. After a complete one, the connection waits for its next request."""
        connection = entry.connection
        stream = connection.stream
        assert stream is not None
        connection.stream = None
        self.let_go(entry)
        stream.writes, stream.next = iter(()), None  # nothing more will be made, and what it was made from can go
        stream.on_end(outcome, error)
        if outcome == "complete" and not connection.close_connection:
            self.take_over(connection)
        else:
            self.shut(connection.socket)

    def hang_up(self, entry: _Entry) -> None:
        """Close a connection that has no stream."""
        self.let_go(entry)
        self.shut(entry.connection.socket)

    def shut(self, sock: socket.socket) -> None:
        """Close a socket so that the peer sees it at once."""
        with contextlib.suppress(OSError):  # the peer has closed it
            sock.shutdown(socket.SHUT_WR)  # also where a child process that was started meanwhile holds a copy
        sock.close()

    def let_go(self, entry: _Entry) -> None:
        """A connection is no longer in the loop's care."""
        self.watch(entry, 0)
        entry.timer = None
        del self.entries[entry.connection]

    def close(self) -> None:
        """End all streams, with a farewell where one can be sent, and close everything but the listener.

        Once that is done, it only closes what threads have handed over since.
        """
        if self.finished:
            self.close_handed_over()
            return
        for _ in range(1000):  # a second at most
            while self.handed_over:
                self.take_over(self.handed_over.popleft())
            if not self.begun:
                break
            time.sleep(0.001)
        for entry in list(self.entries.values()):
            stream = entry.connection.stream
            if stream is None:
                self.hang_up(entry)
                continue
            entry.connection.close_connection = True
            self.end(entry, "stopped" if entry.unsent else self.send_last_words(entry.connection, stream))
        self.finished = True
        for connection in list(self.serving):  # nobody waits for a client any more
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR if connection.waits_for_client else socket.SHUT_RD)
        self.threads.dismiss()
        self.handed_over.extend(self.waiting)
        self.waiting.clear()
        self.close_handed_over()
        self.selector.close()
        self.alarm.close()
        self.waker.close()

    def close_handed_over(self) -> None:
        """Close the connections that the loop has not taken over and never will."""
        with contextlib.suppress(IndexError):  # two threads may empty it at once
            while True:
                connection = self.handed_over.popleft()
                if (stream := connection.stream) is not None:
                    stream.note_head(time.monotonic())
                    stream.on_end(self.send_last_words(connection, stream), None)
                connection.socket.close()

    def send_last_words(self, connection: LoopConnection, stream: Stream) -> str:
        """End a stream because the server stops, and return its outcome: complete, if nothing but its end was left."""
        if stream.next is None:
            return "stopped" if stream.failure else "complete"
        if stream.sent.open:
            return "stopped"
        with contextlib.suppress(OSError):
            connection.socket.setblocking(False)
            connection.socket.send(stream.next.payload if stream.next.last else stream.farewell())
        return "complete" if stream.next.last else "stopped"

    # ---- Selector and timers -----------------------------------------------------------------------------------------

    def watch(self, entry: _Entry, events: int) -> None:
        """Watch a socket for these events, 0 for none."""
        if events == entry.events:
            return
        sock = entry.connection.socket
        if not entry.events:
            self.selector.register(sock, events, entry)
        elif events:
            self.selector.modify(sock, events, entry)
        else:
            self.selector.unregister(sock)
        entry.events = events


def _received(sock: socket.socket) -> bytes | None:
    """What has come on a socket: b"" if the peer has disconnected, None if nothing has come yet."""
    try:
        return sock.recv(MAX_READ_AHEAD)
    except BlockingIOError:
        return None
    except OSError:
        return b""
