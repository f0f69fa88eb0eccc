"""The loop alone, with connections that are nothing but a socket and a stream."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from sse_ref.pacing import Frame, Loop, Stream

BIG = 300_000  # bytes: more than a socket takes at once


class Bare:
    """A connection without HTTP."""

    def __init__(self, sock: socket.socket, stream: Stream | None = None, *, close: bool = True) -> None:
        self.socket = sock
        self.read_ahead = bytearray()
        self.stream = stream
        self.close_connection = close
        self.served = 0

    def serve(self) -> None:
        """Read once, and close at the end of the connection."""
        self.served += 1
        self.close_connection = not self.socket.recv(65536)


@contextlib.contextmanager
def looping(**options: float) -> Iterator[Loop]:
    listener = socket.create_server(("127.0.0.1", 0))
    loop = Loop(
        listener, lambda sock, address: Bare(sock, close=False), **{"idle_timeout": 5, "stall_timeout": 5, **options}
    )
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield loop
    finally:
        loop.stop()
        thread.join()
        listener.close()


@contextlib.contextmanager
def streaming(loop: Loop, *frames: Frame, **options: object) -> Iterator[tuple[socket.socket, list[str]]]:
    """A stream of these frames: the socket to read it from, and how it ended."""
    outcomes: list[str] = []
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    stream = Stream(iter(frames), **options)  # type: ignore[arg-type]
    stream.on_end = lambda outcome, error: outcomes.append(outcome)
    theirs.settimeout(5)
    with theirs:
        loop.hand_over(Bare(ours, stream))
        yield theirs, outcomes


def everything(sock: socket.socket) -> bytes:
    received = b""
    while more := sock.recv(65536):
        received += more
    return received


def frames(*payloads: tuple[float, bytes]) -> list[Frame]:
    return [Frame(due, number, number, payload) for number, (due, payload) in enumerate(payloads, 1)]


def test_frames_come_in_order_each_at_its_time() -> None:
    with (
        looping() as loop,
        streaming(loop, *frames((0, b"a"), (0.1, b"b"), (0.1, b"c"), (0.2, b"d"))) as (sock, outcomes),
    ):
        began = time.monotonic()
        assert sock.recv(10) == b"a"
        assert everything(sock) == b"bcd"
        assert time.monotonic() - began >= 0.19
        loop.settle()
        assert outcomes == ["complete"]


def test_frame_larger_than_the_socket_is_sent_whole() -> None:
    with looping() as loop, streaming(loop, *frames((0, b"x" * BIG), (0, b"end"))) as (sock, _):
        time.sleep(0.1)
        assert everything(sock) == b"x" * BIG + b"end"


def test_heartbeat_that_is_stuck_when_the_next_frame_falls_due_loses_neither() -> None:
    beat = b"h" * BIG
    with (
        looping() as loop,
        streaming(loop, *frames((0.15, b"frame"), (0.15, b"last")), heartbeat=beat, heartbeat_interval=0.05) as (
            sock,
            _,
        ),
    ):
        time.sleep(0.3)
        received = everything(sock)
    assert received.startswith(beat) and received.endswith(b"framelast")
    assert received.replace(beat, b"") == b"framelast"


def test_heartbeats_fill_silence_only() -> None:
    with (
        looping() as loop,
        streaming(loop, *frames((0.5, b"a"), (0.52, b"b"), (0.54, b"c")), heartbeat=b"-", heartbeat_interval=0.2) as (
            sock,
            _,
        ),
    ):
        assert everything(sock) == b"--abc"


def test_stream_that_nobody_reads_is_dropped_but_not_before_its_time() -> None:
    with looping(stall_timeout=0.3) as loop, streaming(loop, *frames((0, b"x" * BIG))) as (_, outcomes):
        time.sleep(0.15)
        loop.settle()
        assert outcomes == []
        time.sleep(0.3)
        loop.settle()
        assert outcomes == ["dropped"]


def test_stream_that_raises_has_crashed() -> None:
    def broken() -> Iterator[Frame]:
        yield Frame(0, 1, 1, b"a")
        raise KeyError

    with looping() as loop:
        ours, theirs = socket.socketpair()
        outcomes: list[tuple[str, Exception | None]] = []
        stream = Stream(broken())
        stream.on_end = lambda outcome, error: outcomes.append((outcome, error))
        with theirs:
            loop.hand_over(Bare(ours, stream))
            assert everything(theirs) == b"a"
        loop.settle()
        assert [(outcome, type(error)) for outcome, error in outcomes] == [("crashed", KeyError)]


@pytest.mark.parametrize(
    ("sent", "waiting", "received"),
    [
        (Frame(0, 1, 1, b"a"), Frame(60, 2, 2, b"b"), b"a, sorry"),
        (Frame(0, 1, 1, b"a"), Frame(60, 2, 2, b", the end", last=True), b"a, the end"),
        (Frame(0, 1, 1, b"half an", open=True), Frame(60, 2, 2, b" event"), b"half an"),
    ],
    ids=["is-said", "is-the-end-where-that-is-all-that-is-left", "is-left-out-inside-an-event"],
)
def test_farewell_of_a_loop_that_stops(sent: Frame, waiting: Frame, received: bytes) -> None:
    with looping() as loop, streaming(loop, sent, waiting, farewell=lambda: b", sorry") as (sock, outcomes):
        first = sock.recv(100)
        loop.stop()
        assert first + everything(sock) == received
    assert outcomes == ["stopped"]


def test_what_a_client_sends_ahead_is_kept_up_to_a_bound() -> None:
    with looping() as loop:
        ours, theirs = socket.socketpair()
        bare = Bare(ours, Stream(iter(frames((0.3, b"a")))))
        with theirs:
            loop.hand_over(bare)
            theirs.settimeout(0.1)
            with contextlib.suppress(TimeoutError):
                theirs.sendall(b"y" * 2_000_000)
            loop.settle()
            assert 0 < len(bare.read_ahead) <= 2 * 65536


@pytest.mark.parametrize("leave", [True, False])
def test_connection_at_rest_is_closed_in_time_or_when_the_client_leaves(leave: bool) -> None:
    with (
        looping(idle_timeout=0.1 if not leave else 60) as loop,
        socket.create_connection(loop.listener.getsockname()) as client,
    ):
        client.settimeout(5)
        end = time.monotonic() + 5
        while not loop.entries and time.monotonic() < end:
            time.sleep(0.005)
        if leave:
            client.shutdown(socket.SHUT_WR)
        assert client.recv(10) == b""
        loop.settle()
        assert not loop.entries


def test_handing_over_to_a_loop_that_has_stopped_closes() -> None:
    with looping() as loop:
        pass
    ours, theirs = socket.socketpair()
    with theirs:
        loop.hand_over(Bare(ours))
        assert theirs.recv(1) == b""
    loop.settle()
