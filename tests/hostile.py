"""A server that plays a script: exactly these bytes, pauses and endings, on a real socket.

A script is a list of steps for one connection, and a server plays one script after the other, the last of them again and
again. It notes what each client sent and when it left.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

STEP_LIMIT = 30.0  # seconds; only a test that fails waits so long for a client


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Until:
    """Go on when this is true: what the client has done by now, not what a clock says."""

    condition: Callable[[], bool]


@dataclass(frozen=True)
class Hold:
    """Keep the connection open until the client leaves."""


@dataclass(frozen=True)
class Reset:
    """End the connection with a TCP reset, after the bytes before it have been delivered."""


Step = bytes | Pause | Until | Hold | Reset


@dataclass
class Heard:
    """One connection as the server saw it."""

    request: bytes = b""
    at: float = 0.0
    left: bool = False  # the client closed first, while the server held the connection or had more to send

    @property
    def line(self) -> str:
        return self.request.partition(b"\r\n")[0].decode()

    @property
    def headers(self) -> dict[str, str]:
        head = self.request.partition(b"\r\n\r\n")[0].decode("utf-8")
        return {k.lower(): v for k, _, v in (line.partition(": ") for line in head.split("\r\n")[1:])}

    @property
    def body(self) -> Any:
        return json.loads(self.request.partition(b"\r\n\r\n")[2])


@dataclass
class Hostile:
    url: str
    heard: list[Heard] = field(default_factory=list)


@contextlib.contextmanager
def playing(*scripts: list[Step]) -> Iterator[Hostile]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = Hostile(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
    stopping = threading.Event()
    last = socket.socket()  # its connection ends the service: whoever came before it is served
    last.bind(("127.0.0.1", 0))

    def serve() -> None:
        number = 0
        last_address = last.getsockname()
        while True:
            connection, address = listener.accept()
            if address == last_address:
                connection.close()
                return
            script = scripts[min(number, len(scripts) - 1)]
            number += 1
            heard = Heard(at=time.monotonic())
            server.heard.append(heard)
            with connection:
                connection.settimeout(STEP_LIMIT)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
                try:
                    heard.request = read_request(connection)
                    play(connection, script, heard, stopping)
                except OSError:
                    heard.left = True

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        stopping.set()
        with last, listener:
            last.connect(listener.getsockname())
            thread.join()


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length and (more := connection.recv(65536)):
        body += more
    return head + b"\r\n\r\n" + body


def play(connection: socket.socket, script: list[Step], heard: Heard, stopping: threading.Event) -> None:
    for step in script:
        match step:
            case bytes():
                connection.sendall(step)
            case Pause():
                stopping.wait(step.seconds)
            case Until():
                while not step.condition() and not stopping.wait(0.01):
                    pass
            case Hold():
                hold(connection, heard, stopping)
            case Reset():
                stopping.wait(0.05)  # a reset destroys what the client has not read yet
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.close()
                return
    # A polite end: what the client still sends is read, so that no reset follows.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(1.0)
        while connection.recv(65536):
            pass


def hold(connection: socket.socket, heard: Heard, stopping: threading.Event) -> None:
    connection.settimeout(0.02)
    end = time.monotonic() + STEP_LIMIT
    while time.monotonic() < end:
        last_look = stopping.is_set()
        with contextlib.suppress(TimeoutError):
            if not connection.recv(65536):
                raise ConnectionResetError
        if last_look:
            return


# ---- Building blocks -------------------------------------------------------------------------------------------------


def head(
    *extra: str,
    status: str = "200 OK",
    kind: str | None = "text/event-stream",
    chunked: bool = True,
    version: str = "1.1",
) -> bytes:
    lines = [f"HTTP/{version} {status}"]
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    return "\r\n".join([*lines, *extra, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"


def delta(content: Any = None, *, finish: str | None = None, index: int = 0, **more: Any) -> bytes:
    fields = {"content": content, **more} if content is not None or "tool_calls" not in more else more
    fields = {name: value for name, value in fields.items() if value is not None}
    return event({"id": "c", "choices": [{"index": index, "delta": fields, "finish_reason": finish}]})


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
USAGE = event({"id": "c", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
HELLO = delta("", role="assistant") + delta("Hel") + delta("lo")
STOP = delta(finish="stop")


def stream(*pieces: bytes, last: bool = True) -> list[Step]:
    """A good response of these pieces, each a chunk."""
    return [head(), *(chunk(piece) for piece in pieces if piece), *([LAST] if last else [])]


def whole(status: str, body: bytes, *headers: str, kind: str | None = "application/json") -> list[Step]:
    return [head(f"Content-Length: {len(body)}", *headers, status=status, kind=kind, chunked=False), body]
