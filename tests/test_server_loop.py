"""The loop alone, with connections that are nothing but a socket and a stream.

Where time matters it is virtual: a clock that moves only when the loop sleeps. What is sent when is then the same on every
machine, however busy, and can be compared exactly.
"""

from __future__ import annotations

import _thread
import contextlib
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sse_ref.server import loop as loop_module
from sse_ref.server.loop import Loop, Stream, Write

BIG = 300_000  # bytes: more than a socket takes at once
PATIENCE = 30.0  # seconds of real time; only a test that fails waits so long


class Bare:
    """A connection without HTTP."""

    def __init__(self, sock: socket.socket, stream: Stream | None = None, *, close: bool = True) -> None:
        self.socket = sock
        self.read_ahead = bytearray()
        self.stream = stream
        self.close_connection = close
        self.waits_for_client = self.begun = False

    def may_serve(self) -> bool:
        return True

    def serve(self) -> None:
        """Take what has been read ahead."""
        self.read_ahead.clear()


def writes(*payloads: tuple[float, bytes]) -> list[Write]:
    return [Write(due, number, number, payload) for number, (due, payload) in enumerate(payloads, 1)]


def everything(sock: socket.socket) -> bytes:
    received = b""
    while more := sock.recv(65536):
        received += more
    return received


# ---- Virtual time ----------------------------------------------------------------------------------------------------


class Clock:
    """Seconds since the loop began; ``plan`` is what happens outside it, and when."""

    def __init__(self) -> None:
        self.now = 0.0
        self.plan: list[tuple[float, Callable[[], object]]] = []

    def monotonic(self) -> float:
        return self.now

    def pass_until(self, until: float | None) -> None:
        """To that time, or to the next thing that happens if it is earlier."""
        if self.plan and (until is None or self.plan[0][0] <= until):
            moment, happens = self.plan.pop(0)
            self.now = max(self.now, moment)
            happens()
        elif until is not None:
            self.now = until


class Sleepless(selectors.DefaultSelector):
    """Sleeping moves the clock and takes no time; ``sleeps`` counts how often."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.turns = self.sleeps = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        assert self.turns < 10_000, "the loop spins"
        if ready := super().select(0):
            return ready
        if timeout is None and not self.clock.plan:  # a thread is at work, or nothing will ever happen
            ready = super().select(PATIENCE)
            assert ready, "the loop waits for nothing"
            return ready
        self.sleeps += 1
        self.clock.pass_until(None if timeout is None else self.clock.now + timeout)
        return []


class Run:
    """A loop in virtual time, ``run`` in the thread of the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: float) -> None:
        self.sent: list[tuple[float, bytes]] = []
        self.ended: list[tuple[float, str]] = []
        self.error: Exception | None = None
        self.clock = Clock()
        monkeypatch.setattr(loop_module, "time", self.clock)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.loop = Loop(
            self.listener,
            lambda sock, address: Bare(sock, close=False),
            **{"idle_timeout": 5, "stall_timeout": 5, **options},
            show=lambda connection, payload: self.sent.append((self.now(), payload)),
        )
        self.loop.selector.close()
        self.loop.selector = self.selector = Sleepless(self.clock)

    def now(self) -> float:
        return round(self.clock.now, 3)

    def stream(self, made: Iterator[Write] | list[Write], **options: Any) -> socket.socket:
        """A stream of these writes, whose end stops the loop: the socket to read it from."""
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        theirs.settimeout(PATIENCE)
        stream = Stream(iter(made), **options)
        stream.on_end = self.on_end
        self.loop.hand_over(Bare(ours, stream))
        return theirs

    def on_end(self, outcome: str, error: Exception | None) -> None:
        self.ended.append((self.now(), outcome))
        self.error = error
        self.loop.stop()

    def run(self, plan: dict[float, Callable[[], object]] | None = None) -> None:
        self.clock.plan = sorted((plan or {}).items(), key=lambda item: item[0])
        self.loop.run()


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(**options: float) -> Run:
        runs.append(Run(monkeypatch, **options))
        return runs[-1]

    yield begin
    for run in runs:
        run.listener.close()


Begin = Callable[..., Run]


def reading(sock: socket.socket, received: bytearray, begin: float) -> dict[float, Callable[[], object]]:
    """A plan: a reader takes what there is, ten times a second from then on."""
    sock.setblocking(False)

    def read() -> None:
        with contextlib.suppress(BlockingIOError):
            while more := sock.recv(65536):
                received.extend(more)

    return {begin + number / 10: read for number in range(1000)}


def test_writes_come_in_order_each_at_its_time(virtual: Begin) -> None:
    run = virtual()
    with run.stream(writes((0, b"a"), (0.1, b"b"), (0.1, b"c"), (0.2, b"d"))) as reader:
        run.run()
        assert everything(reader) == b"abcd"
    assert run.sent == [(0, b"a"), (0.1, b"b"), (0.1, b"c"), (0.2, b"d")]
    assert run.ended == [(0.2, "complete")]


def test_late_write_does_not_delay_the_rest(virtual: Begin) -> None:
    run = virtual()

    def slow_in_the_middle() -> Iterator[Write]:
        for write in writes((0, b"a"), (0.1, b"b"), (0.2, b"c"), (0.3, b"d"), (0.4, b"e")):
            if write.payload == b"b":
                run.clock.now += 0.25
            yield write

    with run.stream(slow_in_the_middle()):
        run.run()
    # What is late goes together.
    assert run.sent == [(0, b"a"), (0.25, b"bc"), (0.3, b"d"), (0.4, b"e")]


def late(run: Run, made: list[Write]) -> Iterator[Write]:
    """Writes, the second of which takes five seconds to make."""
    for number, write in enumerate(made):
        if number == 1:
            run.clock.now += 5.0
        yield write


def test_late_writes_go_together_up_to_a_round(virtual: Begin) -> None:
    run = virtual()
    made = writes((0, b"a"), *((number / 100, b"%02d" % number) for number in range(40)))
    with run.stream(late(run, made)) as reader:
        run.run()
        assert everything(reader) == b"a" + b"".join(b"%02d" % number for number in range(40))
    assert [len(payload) // 2 for _, payload in run.sent] == [0, 16, 16, 8]
    assert {moment for moment, _ in run.sent[1:]} == {5.0}


def test_parts_of_an_event_go_alone_although_they_are_late(virtual: Begin) -> None:
    run = virtual()
    parts = [Write(0.1, 1, 1, b"half", open=True), Write(0.1, 2, 2, b"whole")]
    with run.stream(late(run, [*writes((0, b"a"), (0.1, b"b")), *parts, Write(0.1, 3, 3, b"c")])):
        run.run()
    assert [payload for _, payload in run.sent] == [b"a", b"b", b"half", b"wholec"]


def test_what_was_made_before_a_failure_is_sent_before_the_end(virtual: Begin) -> None:
    run = virtual()

    def failing() -> Iterator[Write]:
        yield from late(run, writes((0, b"a"), (0.1, b"b"), (0.2, b"c")))
        raise ValueError("no more")

    with run.stream(failing()) as reader:
        run.run()
        assert everything(reader) == b"abc"
    assert run.sent == [(0, b"a"), (5.0, b"bc")] and run.ended == [(5.0, "crashed")] and str(run.error) == "no more"


def test_only_writes_that_went_out_whole_count_as_sent(virtual: Begin) -> None:
    run = virtual(stall_timeout=1.0)
    made = [Write(0, 1, 1, b"a"), *(Write(0.1, 1 + n, 1 + n, bytes([n]) * 50_000) for n in range(1, 10))]
    with run.stream(late(run, made)) as reader:
        stream = run.loop.handed_over[0].stream
        assert stream is not None
        run.run()  # nobody reads
        received = everything(reader)
    assert run.ended == [(6.0, "dropped")] and stream.bytes_sent == len(received)
    assert stream.sent.events == 1 + (len(received) - 1) // 50_000


def test_sockets_are_looked_at_after_a_millisecond_of_sending(virtual: Begin) -> None:
    run = virtual()

    def costly() -> Iterator[Write]:
        yield Write(0, 1, 1, b"a")
        run.clock.now += 0.002
        yield Write(60, 2, 2, b"b")

    with contextlib.ExitStack() as readers:
        for _ in range(20):
            readers.enter_context(run.stream(costly()))
        run.run({1.0: run.loop.stop})
    assert len(run.sent) == 20 and run.selector.turns >= 20


def test_pace_does_not_drift_with_the_work_for_each_write(virtual: Begin) -> None:
    run = virtual()

    def costly() -> Iterator[Write]:
        for write in writes(*((number / 10, b"x") for number in range(100))):
            run.clock.now += 0.05
            yield write

    with run.stream(costly()) as reader:
        run.run(reading(reader, bytearray(), 0))
    assert run.sent[-1] == (9.9, b"x") and run.ended == [(9.9, "complete")]


def test_loop_sleeps_while_nothing_is_due(virtual: Begin) -> None:
    run = virtual()
    with run.stream(writes((100, b"a"), (3600, b"b")), heartbeat=b"-", heartbeat_interval=1000):
        run.run()
    assert run.sent == [(100, b"a"), (1100, b"-"), (2100, b"-"), (3100, b"-"), (3600, b"b")]
    assert run.selector.sleeps == len(run.sent)


def test_write_larger_than_the_socket_is_sent_whole(virtual: Begin) -> None:
    run, received = virtual(), bytearray()
    with run.stream(writes((0, b"x" * BIG), (0, b"end"))) as reader:
        run.run(reading(reader, received, 4.9))
        received += everything(reader)
    assert received == b"x" * BIG + b"end"
    assert run.ended[0][0] > 4.9 and run.ended[0][1] == "complete"


def test_heartbeat_that_is_stuck_when_the_next_write_falls_due_loses_neither(virtual: Begin) -> None:
    run, received, beat = virtual(), bytearray(), b"h" * BIG
    with run.stream(writes((3, b"write"), (3, b"last")), heartbeat=beat, heartbeat_interval=2) as reader:
        run.run(reading(reader, received, 4))
        received += everything(reader)
    assert received == beat + b"write" + b"last"


def test_heartbeats_fill_silence_only(virtual: Begin) -> None:
    run = virtual()
    beating = {"heartbeat": b"-", "heartbeat_interval": 2}
    with run.stream(writes((5, b"a"), (6.5, b"b"), (8, b"c"), (11, b"d")), **beating):
        run.run()
    assert run.sent == [(2, b"-"), (4, b"-"), (5, b"a"), (6.5, b"b"), (8, b"c"), (10, b"-"), (11, b"d")]


def test_without_a_heartbeat_silence_is_silent(virtual: Begin) -> None:
    run = virtual()
    with run.stream(writes((0, b"a"), (1e6, b"b"))):
        run.run()
    assert run.sent == [(0, b"a"), (1e6, b"b")]


def test_stream_that_nobody_reads_is_dropped_at_its_time(virtual: Begin) -> None:
    run = virtual(stall_timeout=30)
    with run.stream(writes((1, b"x" * BIG), (2, b"never"))):
        run.run()
    assert run.ended == [(31, "dropped")]


def test_reader_that_takes_a_little_now_and_then_is_not_dropped(virtual: Begin) -> None:
    run, received = virtual(stall_timeout=30), bytearray()
    with run.stream(writes((0, b"x" * BIG))) as reader:
        run.run({moment: lambda: received.extend(reader.recv(65536)) for moment in range(29, 29 * 1000, 29)})
        received += everything(reader)
    assert run.ended[0][0] > 60 and run.ended[0][1] == "complete" and received == b"x" * BIG


def test_client_that_leaves_in_silence_is_noticed_then(virtual: Begin) -> None:
    run = virtual()
    reader = run.stream(writes((0, b"a"), (3600, b"b")))
    run.run({7.0: reader.close})
    assert run.ended == [(7, "client_left")] and run.sent == [(0, b"a")]


def test_stream_that_raises_has_crashed(virtual: Begin) -> None:
    def broken() -> Iterator[Write]:
        yield Write(0, 1, 1, b"a")
        raise KeyError

    run = virtual()
    with run.stream(broken()) as reader:
        run.run()
        assert everything(reader) == b"a"
    assert run.ended == [(0, "crashed")] and isinstance(run.error, KeyError)


@pytest.mark.parametrize(
    ("sent", "waiting", "received", "outcome"),
    [
        (Write(0, 1, 1, b"a"), Write(60, 2, 2, b"b"), b"a, sorry", "stopped"),
        (Write(0, 1, 1, b"a"), Write(60, 2, 2, b", the end", last=True), b"a, the end", "complete"),
        (Write(0, 1, 1, b"half an", open=True), Write(60, 2, 2, b" event"), b"half an", "stopped"),
    ],
    ids=["is-said", "is-the-end-where-that-is-all-that-is-left", "is-left-out-inside-an-event"],
)
def test_farewell_of_a_loop_that_stops(
    virtual: Begin, sent: Write, waiting: Write, received: bytes, outcome: str
) -> None:
    run = virtual()
    with run.stream([sent, waiting], farewell=lambda: b", sorry") as reader:
        run.run({1.0: run.loop.stop})
        assert everything(reader) == received
    assert run.ended == [(1, outcome)]


def test_heartbeat_does_not_come_inside_an_event(virtual: Begin) -> None:
    run = virtual()
    parts = [Write(0, 1, 1, b"half an", open=True), Write(5, 2, 2, b" event;"), Write(9, 3, 3, b"next")]
    with run.stream(parts, heartbeat=b"-", heartbeat_interval=2) as reader:
        run.run()
        assert everything(reader) == b"half an event;-next"
    assert run.sent == [(0, b"half an"), (5, b" event;"), (7, b"-"), (9, b"next")]


def test_next_request_that_comes_with_room_for_the_end_of_a_stream_is_served(virtual: Begin) -> None:
    """One turn sees that the socket has room, which ends the stream, and that there is something to read."""
    run, served = virtual(), threading.Event()
    ours, theirs = socket.socketpair()

    class Asked(Bare):
        def serve(self) -> None:
            assert self.read_ahead == b"next"
            self.close_connection = True
            served.set()

    connection = Asked(ours, Stream(iter([Write(0, 1, 1, b"x" * BIG)])), close=False)
    assert connection.stream is not None
    connection.stream.on_end = lambda outcome, error: run.ended.append((run.now(), outcome))
    run.loop.take_over(connection)
    run.loop.turn()
    received = len(theirs.recv(BIG))
    theirs.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while more := theirs.recv(BIG):
            received += len(more)
    assert received < BIG and run.ended == []
    theirs.sendall(b"next")
    run.loop.turn()
    assert run.ended == [(0, "complete")]
    run.loop.turn()
    assert served.wait(PATIENCE)
    run.loop.close()
    theirs.close()


def test_only_what_came_before_a_turn_is_settled_by_it(virtual: Begin) -> None:
    run, earlier, later = virtual(), threading.Event(), threading.Event()
    run.loop.settling.append(earlier)

    def select(timeout: float | None = None) -> list[Any]:
        assert timeout == 0.0  # nobody waits for the next due time
        run.loop.settling.append(later)
        return []

    run.selector.select = select  # type: ignore[method-assign]
    run.loop.turn()
    assert earlier.is_set() and not later.is_set()
    run.loop.turn()
    assert later.is_set()
    run.loop.close()


@pytest.mark.parametrize(
    ("head", "rest", "received", "outcome", "sent"),
    [
        ([Write(0, 1, 1, b"a")], [Write(9, 2, 2, b"b")], b", sorry", "stopped", 1),
        ([Write(0, 1, 1, b"half", open=True)], [Write(9, 2, 2, b"b")], b"", "stopped", 4),
        ([Write(0, 1, 1, b"a")], [Write(9, 1, 1, b", the end", last=True)], b", the end", "complete", 1),
        ([Write(0, 1, 1, b"all of it")], [], b"", "complete", 9),
    ],
    ids=["some", "half an event", "all but the end", "all"],
)
def test_stream_that_is_handed_over_too_late_ends_as_it_would_have(
    virtual: Begin, head: list[Write], rest: list[Write], received: bytes, outcome: str, sent: int
) -> None:
    run = virtual()
    run.loop.close()
    stream = Stream(iter([*head, *rest]), farewell=lambda: b", sorry")
    stream.on_end = run.on_end
    assert stream.begin() == b"".join(write.payload for write in head)  # which is on its way already
    ours, theirs = socket.socketpair()
    run.loop.hand_over(Bare(ours, stream))
    with theirs:
        assert everything(theirs) == received
    assert [ended for _, ended in run.ended] == [outcome]
    assert (stream.bytes_sent, stream.sent.tokens) == (sent, 1)


def test_connection_at_rest_is_closed_at_its_time(virtual: Begin) -> None:
    run, open_connections = virtual(idle_timeout=10), []
    with socket.create_connection(run.listener.getsockname(), timeout=PATIENCE) as client:
        look = lambda: open_connections.append(len(run.loop.entries))  # noqa: E731
        run.run({9.9: look, 10.1: look, 11.0: run.loop.stop})
        assert open_connections == [1, 0] and client.recv(10) == b""


def test_connection_at_rest_is_closed_when_the_client_leaves(virtual: Begin) -> None:
    run = virtual(idle_timeout=60)
    with socket.create_connection(run.listener.getsockname(), timeout=PATIENCE) as client:
        run.run({5.0: lambda: client.shutdown(socket.SHUT_WR), 6.0: run.loop.stop})
        assert client.recv(10) == b"" and not run.loop.entries


def test_begun_request_is_served_when_it_is_there_or_when_its_time_is_over(virtual: Begin) -> None:
    served: list[tuple[float, bytes]] = []
    run = virtual(idle_timeout=60, head_timeout=10)

    class Slow(Bare):
        def may_serve(self) -> bool:
            return self.read_ahead.endswith(b"!")

        def serve(self) -> None:
            served.append((run.now(), bytes(self.read_ahead)))
            self.close_connection = True
            done.release()

    done = threading.Semaphore(0)
    run.loop.accept = lambda sock, address: Slow(sock, close=False)
    address = run.listener.getsockname()
    with socket.create_connection(address) as quick, socket.create_connection(address) as slow:
        plan: dict[float, Callable[[], object]] = {float(n): lambda: slow.sendall(b"x") for n in range(1, 11)}
        plan |= {
            2.5: lambda: quick.sendall(b"a"),
            3.5: lambda: quick.sendall(b"b!"),
            3.7: lambda: done.acquire(timeout=PATIENCE),
        }
        plan[11.5] = lambda: (done.acquire(timeout=PATIENCE), run.loop.stop())
        run.run(plan)
    assert [request for _, request in served] == [b"ab!", b"x" * 10]
    assert 11.0 <= served[1][0] <= 11.5  # its thread may look at the clock before the loop sleeps again, or after


# ---- Threads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["so many are enough", "the system has no more"])
def test_slowest_client_makes_room_when_no_thread_can_be_had(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[bytes] = []

    class Waiting(Bare):
        def serve(self) -> None:
            self.waits_for_client = self.read_ahead == b"slow"
            if self.waits_for_client:
                self.socket.settimeout(PATIENCE)
                self.socket.recv(10)  # until the loop shuts it
            served.append(bytes(self.read_ahead))
            self.read_ahead.clear()
            self.close_connection = True

    begin = _thread.start_new_thread

    def limited(*arguments: Any) -> Any:
        if len(loop.serving) > 3:
            raise RuntimeError("can't start new thread")
        return begin(*arguments)

    with looping() as loop, contextlib.ExitStack() as stack:
        loop.accept = lambda sock, address: Waiting(sock, close=False)
        monkeypatch.setattr(loop_module, "PATIENCE", 0.0)
        if why == "so many are enough":
            monkeypatch.setattr(loop_module, "MAX_THREADS", 3)
        else:
            monkeypatch.setattr(_thread, "start_new_thread", limited)
        address = loop.listener.getsockname()
        clients = [stack.enter_context(socket.create_connection(address, timeout=PATIENCE)) for _ in range(4)]
        for number, client in enumerate(clients[:3], 1):
            client.sendall(b"slow")
            while sum(other.waits_for_client for other in list(loop.serving)) < number:
                pass
        clients[3].sendall(b"new")
        assert clients[3].recv(10) == b"" and clients[0].recv(10) == b""
        assert served == [b"slow", b"new"]
        for client in clients:
            client.close()


@contextlib.contextmanager
def looping() -> Iterator[Loop]:
    """A loop in real time, in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    loop = Loop(listener, lambda sock, address: Bare(sock, close=False), idle_timeout=PATIENCE, stall_timeout=PATIENCE)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield loop
    finally:
        loop.stop()
        thread.join()
        listener.close()


def test_what_a_client_sends_ahead_is_kept_up_to_a_bound() -> None:
    with looping() as loop:
        ours, theirs = socket.socketpair()
        bare = Bare(ours, Stream(iter(writes((3600, b"a")))))
        with theirs:
            loop.hand_over(bare)
            theirs.settimeout(PATIENCE)
            theirs.sendall(b"y" * 2_000_000)
            loop.settle()
            assert 0 < len(bare.read_ahead) <= 2 * 65536


def test_what_comes_with_the_first_token_travels_with_the_head() -> None:
    made = [Write(0, 0, 1, b"start"), Write(0, 1, 2, b"first"), Write(0, 1, 3, b"with it"), Write(0, 2, 4, b"second")]
    stream = Stream(iter(made))
    assert stream.begin() == b"startfirstwith it" and stream.next is made[-1]
    later = Stream(iter([Write(0, 0, 1, b"start"), Write(0.5, 1, 2, b"first")]))
    assert later.begin() == b"start" and later.next is not None
    assert Stream(iter([Write(0.5, 0, 1, b"start")])).begin() == Stream(iter(())).begin() == b""
    recorded = Stream(iter([Write(0, 0, number, b"x") for number in range(100)]))
    assert recorded.begin() == b"x" * 16


@pytest.mark.parametrize("fails", [False, True])
def test_what_travelled_with_the_head_counts_as_sent(virtual: Begin, fails: bool) -> None:
    def made() -> Iterator[Write]:
        yield Write(0, 1, 1, b"with the head")
        if fails:
            raise RuntimeError
        yield Write(1, 2, 2, b", later")

    run = virtual()
    with run.stream(made()) as reader:
        stream = run.loop.handed_over[0].stream
        assert stream is not None and stream.begin() == b"with the head"
        run.run()
        received = everything(reader)
    assert received == (b"" if fails else b", later")
    assert run.ended == [(0, "crashed") if fails else (1, "complete")]
    assert stream.sent.events == 1 + (not fails) and stream.bytes_sent == len(b"with the head" + received)


@pytest.mark.parametrize("begun", [False, True])
def test_stream_that_comes_to_a_stopped_loop_gets_its_farewell(begun: bool) -> None:
    with looping() as loop:
        pass
    ours, theirs = socket.socketpair()
    stream = Stream(iter(writes((0, b"a"), (9, b"b"))), farewell=lambda: b"bye after %d" % stream.sent.events)
    if begun:
        stream.begin()
    ends: list[str] = []
    stream.on_end = lambda outcome, error: ends.append(outcome)
    with theirs:
        loop.hand_over(Bare(ours, stream))
        assert theirs.recv(100) == b"bye after %d" % begun and theirs.recv(1) == b""
    assert ends == ["stopped"]


def test_handing_over_to_a_loop_that_has_stopped_closes() -> None:
    with looping() as loop:
        pass
    ours, theirs = socket.socketpair()
    with theirs:
        loop.hand_over(Bare(ours))
        assert theirs.recv(1) == b""
    loop.settle()


def test_connection_that_comes_between_two_closings_is_closed() -> None:
    with looping() as loop:
        pass
    ours, theirs = socket.socketpair()
    with theirs:
        loop.handed_over.append(
            Bare(ours, close=False)
        )  # as a thread does, before it looks whether the loop has finished
        loop.close()
        theirs.settimeout(PATIENCE)
        assert theirs.recv(1) == b"" and ours.fileno() == -1
