"""A program under test: lines of JSON to its standard input, one line of JSON back for each.

In:   a command, and requests.
Out:  replies, or what happened instead: it could not be started, crashed, hung, flooded its output or wrote garbage.

A program is started anew for each vector, or kept (``persistent``); the requests are the same. Whatever it does costs the
vector in hand and nothing else: it is ended, and started again for the next. Its standard error is kept for the report, and
decides nothing.

How long a program takes to start is measured once, with much patience, and is never counted against a reply.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from sse_ref.conformance.verdicts import UsageError
from sse_ref.errors import fit

__all__ = [
    "GLANCE",
    "Measured",
    "NoReply",
    "Program",
    "Running",
    "UnderTest",
    "ask_features",
    "begin_run",
    "interrupt",
    "kill",
    "kill_all",
    "none_started",
    "run_raw",
    "start",
]

MAX_REPLY = 256 * 2**20  # bytes in one line; the largest one expected is that of a 4 MiB event
MAX_AHEAD = 10_000  # lines that nobody has asked for yet: more is a flood
KEPT_STDERR = 8192  # bytes
GLANCE = 0.5  # seconds that are waited at once


_LIVE: set[subprocess.Popen[bytes]] = set()
_ENDING = threading.Event()


class NoReply(Exception):
    """The program gave no usable reply; the message says what it did instead. ``expired``: the limit for it has passed."""

    def __init__(self, problem: str, *, expired: bool = False) -> None:
        super().__init__(problem)
        self.expired = expired


def start(command: Sequence[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a command with pipes, in a process group of its own. Raises ``UsageError`` if it cannot be started."""
    try:
        with _uninterrupted():
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=None if environment is None else {**os.environ, **environment},
                start_new_session=True,
            )
            _LIVE.add(process)  # set first, then look: ``none_started`` looks first, then sets
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"the command {command[0]!r} cannot be started: {reason}") from None
    if _ENDING.is_set():
        kill(process)
        raise UsageError("the judge is being ended")
    return process


class _Signals:
    """The signals that this run has received."""

    starting = False  # the main thread starts a program, which would outlive the run if nobody knew of it yet
    waiting = 0  # the number of a signal that came meanwhile
    raised = False  # the run is being ended


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Signals.starting = True
    try:
        yield
    finally:
        _Signals.starting = False
    if number := _Signals.waiting:
        _Signals.waiting = 0
        interrupt(number)


def interrupt(number: int) -> None:
    """What a signal handler does. The first signal ends the run as Ctrl-C does, the next ends the judge at once.

    It waits until a program that is being started is known, and takes no lock: it may interrupt whoever holds one.
    """
    if _Signals.starting:
        _Signals.waiting = number
        return
    if _Signals.raised:
        abandon_all()
        os._exit(128 + number)
    _Signals.raised = True
    raise KeyboardInterrupt(number)


def begin_run() -> None:
    """Forget the signals of an earlier run in this process."""
    _Signals.starting, _Signals.waiting, _Signals.raised = False, 0, False


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and those it started."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()
    _LIVE.discard(process)


def kill_all() -> None:
    """End every program that is running: the run is over."""
    for process in list(_LIVE):
        kill(process)


@contextlib.contextmanager
def none_started() -> Iterator[None]:
    """End every program, and start none while the run is being given up."""
    _ENDING.set()
    try:
        kill_all()
        yield
    finally:
        _ENDING.clear()


def abandon_all() -> None:
    """Tell every program to end, without waiting for any."""
    for process in list(_LIVE):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()


class Running:
    """One started process: threads write to it and read from it, so that neither side can block the other."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.process = start(command, environment)
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.unwritten: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.errors = b""
        self.flooded = False
        threads = (
            (self._write, self.process.stdin),
            (self._read, self.process.stdout),
            (self._read_errors, self.process.stderr),
        )
        self.threads = [threading.Thread(target=target, args=(pipe,), daemon=True) for target, pipe in threads]
        for thread in self.threads:
            thread.start()

    def _write(self, pipe: IO[bytes]) -> None:
        try:
            while (data := self.unwritten.get()) is not None:
                pipe.write(data)
                pipe.flush()
        except OSError:
            pass  # it reads no more; its end is seen on its output
        with contextlib.suppress(OSError):
            pipe.close()

    def _read(self, pipe: IO[bytes]) -> None:
        try:
            while line := pipe.readline(MAX_REPLY):
                self.lines.put(line)
                if len(line) >= MAX_REPLY or self.lines.qsize() > MAX_AHEAD:
                    self.flooded = True
                    break
        except OSError:
            pass
        self.lines.put(None)
        pipe.close()

    def _read_errors(self, pipe: IO[bytes]) -> None:
        try:
            while data := os.read(pipe.fileno(), 65536):
                self.errors = (self.errors + data)[-KEPT_STDERR:]
        except OSError:
            pass
        pipe.close()

    def send(self, data: bytes, *, last: bool) -> None:
        self.unwritten.put(data)
        if last:
            self.unwritten.put(None)

    def line(self, seconds: float) -> bytes:
        """The next line of output; raises ``NoReply`` if there is none in time, or ever."""
        end = time.monotonic() + seconds
        while True:
            try:
                # In short waits: a signal that another thread received does not wake this one.
                line = self.lines.get(timeout=max(0.0, min(GLANCE, end - time.monotonic())))
                break
            except queue.Empty:
                if time.monotonic() >= end:
                    raise NoReply(f"timeout: no reply within {seconds:g} s", expired=True) from None
        if line is None:
            raise NoReply(self.why())
        return line

    def why(self) -> str:
        """Why the output of the program has ended, as a reason."""
        if self.flooded:
            return "it floods its output"
        try:
            status = self.process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return "it closed its output without a reply"
        self.threads[-1].join(timeout=1.0)  # its last words may still be on their way
        if status < 0:
            return f"it was ended by {signal.Signals(-status).name} before it replied"
        return f"it ended with exit status {status} before it replied"

    def stop(self) -> None:
        self.unwritten.put(None)
        kill(self.process)
        for thread in self.threads:
            thread.join(timeout=1.0)  # a descendant that has left the group may hold a pipe open


class UnderTest(Protocol):
    """What judges need of a program."""

    stderr: str

    @property
    def default_retry(self) -> Any:
        """What a decoder tells of a stream without a retry field."""

    def warm_up(self, probe: Mapping[str, Any]) -> None:
        """Start a kept process, and wait for its first reply."""

    def ask(self, requests: Sequence[Mapping[str, Any]], timeout: float | None = None) -> Iterable[dict[str, Any]]:
        """Put several requests at once, and yield each reply when it comes. Raises ``NoReply`` if one does not come.

        All replies must be taken before the next question.
        """


STARTING = 12  # times the limit for a reply that a program may take to start


@dataclass
class Measured:
    """What was seen of a command, however many processes of it there are."""

    start: float = 0.0  # seconds from the start of a process to its first reply
    answered: bool = False  # it has given at least one reply
    silent_starts: int = 0  # processes in a row that gave none, while no other has
    default_retry: Any = None  # what a decoder tells of a stream without a retry field


class Program:
    """A program under test, started when it is needed and again when it has ended.

    ``timeout`` is in seconds, for each reply. A process that has just been started gets three times the start that was
    measured on top. After three replies that did not come in time the timeout drops to a fifth, so that a program that
    always hangs cannot hold up the run for an hour. Programs of one command share what was ``measured``.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        persistent: bool = False,
        timeout: float = 10.0,
        measured: Measured | None = None,
    ) -> None:
        self.command = command
        self.persistent = persistent
        self.timeout = timeout
        self.measured = measured or Measured()
        self.stderr = ""  # of the last exchange
        self._one_by_one = False  # it reads its whole input as one request
        self._hangs = 0
        self._longest = 0.0  # seconds that a reply has taken
        self._running: Running | None = None

    @property
    def hopeless(self) -> bool:
        """True if the program was started three times and has never replied."""
        return not self.measured.answered and self.measured.silent_starts >= 3

    @property
    def default_retry(self) -> Any:
        return self.measured.default_retry

    def warm_up(self, probe: Mapping[str, Any]) -> None:
        """Start a kept process, and wait for its first reply: its start must not be in a time that is measured."""
        if self.persistent and (self._running is None or not self._still_there(self._running)):
            list(self.ask([probe]))

    def ask(self, requests: Sequence[Mapping[str, Any]], timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """Put several requests at once, and yield each reply when it comes. Raises ``NoReply`` if one does not come."""
        lines = [_line(request) for request in requests]
        replied = 0
        while replied < len(lines):
            had = replied
            several = len(lines) - had > 1 and not self.persistent and not self._one_by_one
            try:
                for reply in self._exchange(requests[had:], lines[had:], timeout or self.timeout):
                    replied += 1
                    yield reply
            except NoReply as error:
                badly = self._ended_badly()
                self.stop()
                if several and replied == had and not error.expired:
                    self._one_by_one = True  # perhaps it takes one request a process
                    continue
                # A program may answer one request and end; it is started again for the next.
                if replied == had or badly:
                    self._one_by_one = False
                    raise
            if self._one_by_one:
                self.stop()
        if not self.persistent:
            self.stop()

    def _exchange(
        self, requests: Sequence[Mapping[str, Any]], lines: Sequence[bytes], timeout: float
    ) -> Iterator[dict[str, Any]]:
        if self._running is not None and not self._still_there(self._running):
            self.stop()  # it ended after its last reply: nothing of this request is lost
        if self._running is not None:
            self._running.errors = b""  # what it said before belongs to other requests
        else:
            self._running = Running(self.command)
            if not self.measured.answered:
                self.measured.silent_starts += 1
            timeout += 3 * self.measured.start
        running = self._running
        upto = 1 if self._one_by_one else len(lines)
        try:
            running.send(b"".join(lines[:upto]), last=not self.persistent)
            for request in requests[:upto]:
                yield self._reply(running, request, timeout)
        finally:
            self.stderr = running.errors.decode("utf-8", "replace")

    def _still_there(self, running: Running) -> bool:
        """False if the kept process has ended. Raises ``NoReply`` if it printed a line that answers no request."""
        while not running.lines.empty():
            line = running.lines.get()
            if line is None:
                return False
            if line.strip():
                raise NoReply(f"it printed a line that nobody asked for: {_quoted(line)}")
        return True

    def _reply(self, running: Running, request: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        if self._hangs >= 3:
            timeout = min(timeout, max(timeout / 5, 3 * self._longest))
        began = time.monotonic()
        deadline = began + timeout
        while True:
            try:
                line = running.line(deadline - time.monotonic())
            except NoReply as error:
                if error.expired:
                    self._hangs += 1
                    raise NoReply(f"timeout: no reply within {timeout:g} s", expired=True) from None
                raise
            if line.strip():
                break
        reply = _parsed(line)
        if reply.get("id") != request["id"]:
            raise NoReply(f"the reply is to another request: id {reply.get('id')!r} instead of {request['id']!r}")
        self.measured.answered = True
        self._hangs = 0
        self._longest = max(self._longest, time.monotonic() - began)
        return reply

    def _ended_badly(self) -> bool:
        running = self._running
        if running is None:
            return True
        try:
            return running.process.wait(timeout=0.2) != 0
        except subprocess.TimeoutExpired:
            return True

    def hello(self, probe: Mapping[str, Any]) -> dict[str, Any]:
        """The program's reply to "hello": name, version, features; {} if it does not know the question.

        ``probe`` is a request with the id "hello" that follows at once: its reply shows that a program ignored the question.
        """
        first = {"v": 1, "op": "hello"}
        self._running = running = Running(self.command)
        began = time.monotonic()
        running.send(
            b"".join(json.dumps(request).encode() + b"\n" for request in (first, probe)), last=not self.persistent
        )
        said: dict[str, Any] = {}
        try:
            reply = _parsed(running.line(STARTING * self.timeout))
            self.measured.start = time.monotonic() - began
            if reply.get("id") != "hello":
                said = reply
                reply = _parsed(running.line(self.timeout))
            self.measured.answered = True
            self.measured.default_retry = reply.get("retry")
            if self.persistent:
                return said
        except NoReply:
            pass
        self.stop()
        return said

    def stop(self) -> None:
        """End the process, if there is one."""
        if self._running is not None:
            self._running.stop()
            self.stderr = self._running.errors.decode("utf-8", "replace")
            self._running = None


def _whole_number(digits: str) -> int:
    """A whole number; one of more than 4,000 digits, which Python does not read, is replaced by one as large."""
    if len(digits) <= 4000:
        return int(digits)
    return -(10**4000) if digits.startswith("-") else 10**4000


_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder().decode
_decode_long_numbers = json.JSONDecoder(parse_int=_whole_number).decode


def _line(request: Mapping[str, Any]) -> bytes:
    """A request as one line. Chunks are hexadecimal digits, which need no escape: they are not looked at one by one."""
    if not request.get("chunks"):
        return _encode(request).encode() + b"\n"
    others = _encode({name: value for name, value in request.items() if name != "chunks"}).removesuffix("}")
    chunks = '","'.join(request["chunks"])
    return f'{others},"chunks":["{chunks}"]}}\n'.encode()


def _read(text: str) -> Any:
    """A JSON value: as Python reads it or, if that fails, with long numbers replaced."""
    try:
        return _decode(text)
    except ValueError:
        return _decode_long_numbers(text)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        reply = _read(line.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        raise NoReply(f"it printed a line that is not JSON: {_quoted(line)}") from None
    if not isinstance(reply, dict):
        raise NoReply(f"it printed a line that is no JSON object: {_quoted(line)}")
    return reply


def _quoted(line: bytes) -> str:
    """A line of output in quotation marks, fit for a reason."""
    return fit(repr(line[:200].decode("utf-8", "replace").rstrip()), 60)


def ask_features(program: Program, probe: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """Ask a program what it is: ``name`` and ``version`` (may be empty) and the set of its ``features``.

    ``known``: the features assumed if the program declares none.
    """
    hello = program.hello(probe)
    features = hello.get("features")
    declared = isinstance(features, list) and all(isinstance(name, str) for name in features)
    names = set(features) if declared else set(known)  # type: ignore[arg-type]
    name, version = (hello.get(member) for member in ("name", "version"))
    return {
        "name": name if isinstance(name, str) else "",
        "version": str(version) if isinstance(version, str | int | float) else "",
        "features": names,
    }


def run_raw(command: Sequence[str], data: bytes, timeout: float) -> tuple[list[Any], str]:
    """Give a program bytes, then the end of its input; returns the JSON lines it printed, and its standard error.

    Raises ``NoReply`` if it does not end in time, ends with another status than 0, or prints something else.
    """
    running = Running(command)
    running.send(data, last=True)
    deadline = time.monotonic() + timeout
    values = []
    try:
        while (line := running.lines.get(timeout=max(deadline - time.monotonic(), 0.0))) is not None:
            if line.strip():
                values.append(_parsed(line))
        if running.flooded or running.process.wait(timeout=max(deadline - time.monotonic(), 0.1)) != 0:
            raise NoReply(running.why().replace(" before it replied", ""))
    except (queue.Empty, subprocess.TimeoutExpired):
        raise NoReply(f"timeout: it did not end within {timeout:g} s", expired=True) from None
    finally:
        running.stop()
    return values, running.errors.decode("utf-8", "replace")
