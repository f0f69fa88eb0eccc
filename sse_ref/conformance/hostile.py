"""The hostile server: it plays the script of a client case, byte for byte, on a real socket.

In:   the vectors of clients. A script is data: for each connection a head, the parts of a body, and how it ends.
Out:  bytes, pauses and endings for every request below ``/case/ID``, and a record of the requests and disconnects.

Each part of a body is one write and, where the framing is chunked, one chunk. A cut or a reset comes only after the peer's
kernel has acknowledged the bytes before it, so that a client has every chance to read them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import email.utils
import json
import select
import socket
import struct
import threading
import time
import urllib.parse
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from sse_ref.conformance.corpus import Vector, bytes_of, document, load
from sse_ref.conformance.verdicts import UsageError

__all__ = ["HOLD_SECONDS", "HostileServer", "SeenRequest", "Session", "Step", "steps_of"]

MOVES = {"pause", "await", "linger"}  # parts of a body that are no bytes
LINGER_SECONDS = 0.5  # how long a client has to leave before a connection is broken
HOLD_SECONDS = 8.0  # how long a connection is held open for a client that should disconnect
IDLE_SECONDS = 20.0  # after which a connection without a request is closed
MANY_REQUESTS = 100  # of one case: each after them waits
PAUSE_FOR_MANY = 0.2  # seconds
TRICKLE_SECONDS = 0.2  # between two pieces of a body that goes on until the client disconnects


@dataclass(frozen=True)
class Step:
    """One thing a script does: send ``data``, or ``do`` something with ``seconds``."""

    do: str  # send, pause, await, linger, hold, trickle, reset, close
    data: bytes = b""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The step for other runners."""
        if self.do == "send":
            return {"send": self.data.hex()}
        if self.do == "trickle":
            return {"trickle": self.data.hex()}
        return {self.do: self.seconds} if self.seconds else {self.do: True}


@dataclass
class SeenRequest:
    """One request as the server saw it."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    at: float  # time.monotonic() when it was complete
    held: bool = False  # the connection was held open, in silence
    left: bool = False  # the client disconnected meanwhile
    left_at: float = 0.0  # time.monotonic() when it did
    held_to_the_end: bool = False
    gone: bool | None = None  # the client left before the connection was broken; None: nobody looked
    version: str = "HTTP/1.1"
    awaited: bool | None = None  # a delta was seen while the stream was open; None: nobody waited for one

    def header(self, name: str) -> str | None:
        """The value of a header, its bytes read as UTF-8."""
        values = [value for other, value in self.headers if other.lower() == name.lower()]
        return ", ".join(values) if values else None


# ---- From data to steps ----------------------------------------------------------------------------------------------


def steps_of(vector: Vector, base: str, accept_encoding: str = "", other: str = "{other}") -> list[list[Step]]:
    """The script of a case: the steps of each connection.

    In its headers ``{base}`` becomes the URL of the case, ``{host}`` and ``{path}`` parts of it, and ``{other}`` its URL at
    another origin.

    >>> steps_of(load("client")[0], "")[0][1].data[-8:]
    b'l}]}\\n\\n\\r\\n'
    """
    profile = document(vector.target, vector.profile)
    return [_connection(script, profile, base, accept_encoding, other) for script in vector.body["connections"]]


def for_http_1_0(script: dict[str, Any]) -> dict[str, Any]:
    """The script for a peer that knows no chunks (RFC 9112, 7): the end of the connection ends the body."""
    if "raw" in script or script.get("framing", "chunked") != "chunked":
        return script
    ends = ["close" if end == "last-chunk" else end for end in script.get("end", ["close"])]
    return {**script, "framing": "close", "end": ends, "version": "1.0"}


def _connection(
    script: dict[str, Any], profile: dict[str, Any], base: str, accept_encoding: str, other: str
) -> list[Step]:
    if "raw" in script:
        return [*_moves(script["raw"]), *(Step(do, seconds=HOLD_SECONDS) for do in script.get("end", ["close"]))]
    parts = _unfolded(script["body"], profile)
    bodies = [part if MOVES & set(part) else _bytes(part, profile) for part in parts]
    if newline := script.get("line_end"):
        bodies = [part.replace(b"\n", newline.encode()) if isinstance(part, bytes) else part for part in bodies]
    gzip = script.get("gzip") and "gzip" in accept_encoding.lower()
    if gzip:
        bodies = list(_compressed(bodies, script["gzip"]))
    if script.get("bytewise"):
        bodies = [part[at : at + 1] for part in bodies if isinstance(part, bytes) for at in range(len(part))]
    length = sum(len(part) for part in bodies if isinstance(part, bytes)) + script.get("missing", 0)
    framing = script.get("framing", "chunked")
    url = urllib.parse.urlsplit(base)
    places = {"{base}": base, "{other}": other, "{host}": url.netloc, "{path}": url.path}
    steps = [Step("send", _before(script) + _head(script, framing, length, places, gzip=bool(gzip)))]
    for part, form in zip(bodies, _forms(script, len(bodies)), strict=True):
        if isinstance(part, bytes):
            steps.append(Step("send", _chunk(part, form) if framing == "chunked" and form != "raw" else part))
        else:
            steps += _moves([part])
    ends = script.get("end", ["last-chunk"] if framing == "chunked" else [] if framing == "length" else ["close"])
    for end in ends:
        if end == "last-chunk":
            steps.append(Step("send", bytes_of(script["last"]) if "last" in script else b"0\r\n\r\n"))
        elif end == "trickle":
            steps.append(Step("trickle", steps[-1].data, HOLD_SECONDS))
        else:
            steps.append(Step(end, seconds=LINGER_SECONDS if end == "linger" else HOLD_SECONDS))
    if script.get("together"):
        steps = [Step("send", b"".join(step.data for step in steps))]
    return steps


def _unfolded(parts: list[dict[str, Any]], profile: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts of a body; the name of a group is replaced by its parts, which are in the profile's file."""
    for part in parts:
        unfolded = [piece for name in part["use"] for piece in profile["pieces"][name]] if "use" in part else [part]
        yield from unfolded * part.get("times", 1)


def _bytes(part: dict[str, Any], profile: dict[str, Any]) -> bytes:
    """The bytes of a part of a body: text, hex, or an event whose data is JSON.

    ``chunk`` adds its members to those that all chunks of the profile have; ``event`` is the event type.
    """
    if "text" in part or "hex" in part:
        return bytes_of([part])
    value: dict[str, Any] = {**profile["chunk"], **part["chunk"]} if "chunk" in part else part["json"]
    if "padding" in part:
        value = {**value, "pad": "p" * part["padding"]}
    name = f"event: {part['event']}\n" if "event" in part else ""
    return f"{name}data: {json.dumps(value)}\n\n".encode()


def _forms(script: dict[str, Any], number: int) -> list[str]:
    """How each part is framed; a script lists the position of each part that is no plain chunk."""
    forms = ["chunk"] * number
    for position, form in script.get("forms", {}).items():
        forms[int(position)] = form
    return forms


def _chunk(data: bytes, form: str) -> bytes:
    extension = b";note=1" if form == "extension" else b""
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data) if data else b""


def _moves(parts: list[dict[str, Any]]) -> list[Step]:
    steps = []
    for part in parts:
        if "pause" in part:
            steps.append(Step("pause", seconds=part["pause"]))
        elif "await" in part:
            steps.append(Step("await", seconds=HOLD_SECONDS))
        elif "linger" in part:
            steps.append(Step("linger", seconds=LINGER_SECONDS))
        else:
            steps.append(Step("send", bytes_of([part])))
    return steps


def _before(script: dict[str, Any]) -> bytes:
    return bytes_of(script.get("before", []))


def _head(script: dict[str, Any], framing: str, length: int, places: dict[str, str], *, gzip: bool) -> bytes:
    lines = [f"HTTP/{script.get('version', '1.1')} {script.get('status', '200 OK')}"]
    kind = script.get("type", "text/event-stream")
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    if framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
    elif framing == "length":
        lines.append(f"Content-Length: {length}")
    if gzip:
        lines.append(f"Content-Encoding: {script.get('coding', 'gzip')}")
    places = {**places, "{in 3 seconds}": email.utils.formatdate(time.time() + 3, usegmt=True)}
    for header in script.get("headers", []):
        for place, value in places.items():
            header = header.replace(place, value)
        lines.append(header)
    lines.append("Access-Control-Allow-Origin: *")
    return "\r\n".join([*lines, "", ""]).encode()


def _compressed(bodies: list[Any], form: Any) -> Iterator[Any]:
    """Gzip with a flush after each part; the end of the compressed stream comes with the last.

    ``form`` is True, or what is odd about it: "members" (each part is one of its own), "unfinished", "broken".
    """
    packer = zlib.compressobj(wbits=31)
    last = max(at for at, part in enumerate(bodies) if isinstance(part, bytes))
    for at, part in enumerate(bodies):
        if not isinstance(part, bytes):
            yield part
            continue
        ends = form == "members" or (at == last and form != "unfinished")
        packed = packer.compress(part) + packer.flush(zlib.Z_FINISH if ends else zlib.Z_SYNC_FLUSH)
        if form == "members":
            packer = zlib.compressobj(wbits=31)
        yield packed if form != "broken" else packed[:12] + b"\xff" * len(packed[12:])


# ---- The server ------------------------------------------------------------------------------------------------------


@dataclass
class Session:
    """One run of one case: what was seen, and what happened when."""

    vector: Vector
    base: str
    other: str = ""  # the URL of the case at another origin
    cycling: bool = False  # after the last connection's script comes the first again, not the last
    patience: float = 1.0  # how many times longer than usual a connection is held
    beyond: int = 0  # requests after the answer that ends an event source; they are answered, and not counted
    requests: list[SeenRequest] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    timeline: list[str] = field(default_factory=list)
    late: float = 0.0  # the most by which a pause was longer than it should be, in seconds
    cancelling: threading.Event = field(default_factory=threading.Event)  # the client has said that it closes
    delta_seen: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    answering: int = 0  # requests whose answer is not over yet
    answered: threading.Condition = field(default_factory=threading.Condition)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def host(self) -> str:
        """The host and the port of the case."""
        return urllib.parse.urlsplit(self.base).netloc

    def note(self, text: str) -> None:
        """Add a line to the timeline."""
        self.timeline.append(f"{1000 * (time.monotonic() - self.began):8.1f} ms  {text}")

    def count(self, more: int) -> None:
        """So many more requests are being answered."""
        with self.answered:
            self.answering += more
            self.answered.notify_all()

    def script(self, request: SeenRequest) -> tuple[int, list[Step]]:
        """The number of this request, and the steps that answer it."""
        with self.lock:
            if self.has_ended:
                self.beyond += 1
            else:
                self.requests.append(request)
            number = len(self.requests) + self.beyond
        vector = self.vector
        if request.version == "HTTP/1.0":
            scripts_of_old = [for_http_1_0(script) for script in vector.body["connections"]]
            vector = dataclasses.replace(vector, body={**vector.body, "connections": scripts_of_old})
        scripts = steps_of(vector, self.base, request.header("accept-encoding") or "", self.other)
        at = (number - 1) % len(scripts) if self.cycling else min(number, len(scripts)) - 1
        return number, scripts[at]

    @property
    def has_ended(self) -> bool:
        """Whether the script ended with a 204, which ends an event source.

        If a 204 is all that the script holds, the vector is about it, and every request counts.
        """
        answers = self.vector.body["connections"]
        last = answers[-1].get("raw", [])
        stops = len(answers) > 1 and bool(last) and last[0].get("text", "").startswith("HTTP/1.1 204 ")
        return stops and not self.cycling and len(self.requests) >= len(answers)


class HostileServer:
    """Plays the cases that are open, each below ``/case/ID``, on 127.0.0.1: at one port, and at ``other``, another origin.

    ``play_all`` opens every case at once, for work by hand. Use it in a ``with`` block.
    """

    def __init__(self, port: int = 0, *, play_all: bool = False) -> None:
        try:
            self._listeners = [socket.create_server(("127.0.0.1", at), backlog=64) for at in (port, 0)]
        except OSError as error:
            raise UsageError(f"port {port} cannot be used: {error.strerror}") from None
        self.url, self.other = (f"http://127.0.0.1:{it.getsockname()[1]}" for it in self._listeners)
        self.sessions: dict[str, Session] = {}
        self._stopping = threading.Event()
        if play_all:
            for vector in load("client"):
                self.open(vector).cycling = True

    def __enter__(self) -> Self:
        for listener in self._listeners:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        for session in list(self.sessions.values()):
            session.over.set()
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def open(self, vector: Vector, *, patience: float = 1.0) -> Session:
        """Begin a run of a case; ``patience`` is how many times longer than usual connections are held."""
        base, other = (f"{origin}/case/{vector.id}" for origin in (self.url, self.other))
        session = Session(vector, base, other, patience=patience)
        self.sessions[vector.id] = session
        return session

    def shut(self, vector: Vector) -> None:
        """End a case: its requests are no longer answered by its script."""
        self.sessions.pop(vector.id, None)

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Answer the requests of one connection, until it is closed by one side."""
        with connection, contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            reader = _Reader(connection)
            while not self._stopping.is_set():
                connection.settimeout(IDLE_SECONDS)
                request = reader.request()
                if request is None or not self._answer(connection, request):
                    return

    def _answer(self, connection: socket.socket, request: SeenRequest) -> bool:
        """Play the script for one request; True if the connection may be used again."""
        session = self.respond(request)
        if isinstance(session, bytes):
            connection.sendall(session)
            return True
        session.count(+1)
        try:
            number, steps = session.script(request)
            if number > MANY_REQUESTS:
                # A client that asks without a pause would keep the whole machine busy.
                session.over.wait(PAUSE_FOR_MANY)
            session.note(f"request {number}: {request.method} {request.path}")
            return all(play(connection, step, request, session) for step in steps)
        finally:
            session.count(-1)

    def respond(self, request: SeenRequest) -> bytes | Session:
        """The open case whose id the path of a request begins with (the longest, if several do), else an answer."""
        parts = request.path.partition("?")[0].removeprefix("/case/").split("/")
        ids = ("/".join(parts[:end]) for end in range(len(parts), 0, -1))
        session = next((self.sessions[id] for id in ids if id in self.sessions), None)
        return session if session and request.method != "OPTIONS" else _not_a_case(request)


def play(connection: socket.socket, step: Step, request: SeenRequest, session: Session) -> bool:
    """Do one step; False if it was the last of this connection."""
    if step.do == "send":
        connection.settimeout(IDLE_SECONDS)
        connection.sendall(step.data)
        session.note(f"sent {len(step.data)} bytes: {step.data[:48]!r}{'...' if len(step.data) > 48 else ''}")
        return True
    if step.do == "pause":
        began = time.monotonic()
        session.over.wait(step.seconds)
        session.late = max(session.late, time.monotonic() - began - step.seconds)
        return True
    if step.do == "await":
        seen = session.delta_seen.wait(step.seconds * session.patience)
        session.delta_seen.clear()  # what is awaited next is another
        request.awaited = seen and request.awaited is not False
        session.note("a delta was printed while the stream is open" if request.awaited else "no delta was printed")
        return True
    if step.do == "linger":
        request.gone = _leaves(connection, step.seconds * session.patience, session)
        return True
    if step.do in ("hold", "trickle"):
        _hold(connection, step.seconds * session.patience, request, session, again=step.data)
        return False
    _wait_until_taken(connection)
    if step.do == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        session.note("reset the connection")
    else:
        session.note("closed the connection")
        _close(connection)
    return False


def _leaves(connection: socket.socket, seconds: float, session: Session) -> bool:
    """Whether the client leaves in so many seconds."""
    readable, _, _ = select.select([connection], [], [], seconds)
    try:
        left = bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        left = True
    if left:
        session.note("the client left")
    return left


def _hold(
    connection: socket.socket, seconds: float, request: SeenRequest, session: Session, *, again: bytes = b""
) -> None:
    """Keep the connection open until the client disconnects, the case is over, or the time is up: in silence, or with the
    bytes ``again`` and again."""
    request.held = True
    session.note("holds the connection open")
    end = time.monotonic() + seconds
    due = time.monotonic() + TRICKLE_SECONDS if again else end
    while time.monotonic() < end:
        try:
            if time.monotonic() > due:
                connection.settimeout(IDLE_SECONDS)
                connection.sendall(again)
                due = time.monotonic() + TRICKLE_SECONDS
            connection.settimeout(0.02)
            if not connection.recv(65536):
                break
        except TimeoutError:
            if session.over.is_set():
                return
            continue
        except OSError:
            break
    else:
        request.held_to_the_end = True
        session.note("held it for long enough")
        return
    request.left, request.left_at = True, time.monotonic()
    session.note("the client left")


def _wait_until_taken(connection: socket.socket) -> None:
    """Wait until the peer has the bytes, and a moment for the client to read them."""
    try:
        import fcntl
        import termios

        unsent = b"\0\0\0\1"
        end = time.monotonic() + 5.0
        while unsent != b"\0\0\0\0" and time.monotonic() < end:
            unsent = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
            time.sleep(0.005)
    except (ImportError, OSError):
        pass
    time.sleep(0.15)


def _close(connection: socket.socket) -> None:
    """End our side, and read what still comes, so that no reset destroys what was sent."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(1.0)
        while connection.recv(65536):
            pass


def _not_a_case(request: SeenRequest) -> bytes:
    if request.method == "OPTIONS":
        allow = (
            "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Headers: *\r\nAccess-Control-Allow-Methods: *\r\n"
        )
        return f"HTTP/1.1 204 No Content\r\n{allow}\r\n".encode()
    body = b'{"error": {"message": "no case is played here; the URL is /case/ID", "type": "not_found"}}\n'
    head = f"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Reader:
    """Reads requests from a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.buffer = b""

    def request(self) -> SeenRequest | None:
        """The next request; None if the client has disconnected, or sends no valid request."""
        try:
            head = self._until(b"\r\n\r\n").decode("utf-8", "replace")
            first, *lines = head.split("\r\n")
            method, path, version = first.split(" ", 2)
            pairs = [(name.strip(), value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)]
            lower = {name.lower(): value for name, value in pairs}
            if lower.get("expect", "").lower() == "100-continue":
                self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if "chunked" in lower.get("transfer-encoding", "").lower():
                body = self._chunked()
            else:
                body = self._exactly(int(lower.get("content-length", "0")))
        except (EOFError, ValueError, OSError):
            return None
        return SeenRequest(method, path, pairs, body, time.monotonic(), version=version)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self._more()
        taken, _, self.buffer = self.buffer.partition(mark)
        return taken

    def _exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self._more()
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def _chunked(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n").partition(b";")[0], 16):
            body += self._exactly(size)
            self._exactly(2)
        while self._until(b"\r\n"):
            pass
        return body

    def _more(self) -> None:
        data = self.connection.recv(65536)
        if not data or len(self.buffer) > 2**24:
            raise EOFError
        self.buffer += data
