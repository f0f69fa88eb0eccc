"""The server under test: where it is, what to ask it, and what came back.

In:   a base URL, the models to ask for, and the file of a profile, which holds the requests.
Out:  ``Exchange`` objects, each request sent once however many checks look at it; and the two ways to end a check.

What differs between providers stands in the profile's file: how a request is asked (``ask``), how a key is sent (``key``),
which event is the last (``last_data``, ``last_types``, ``last_members``), whether a stream goes on for ever (``endless``).
So this file names none.

How long to wait follows from how long the server was seen to take. A limit that passes is an error of the run
(``Expired``), not a fact about the server.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sse_ref.codec import ServerSentEvent
from sse_ref.conformance.corpus import DEFAULT_PROFILE, bytes_of, document
from sse_ref.conformance.verdicts import UsageError
from sse_ref.conformance.wire import Address, Exchange, RawConnection, request_bytes

__all__ = ["CHECKS", "ROLES", "Expired", "Failed", "Skipped", "Target", "check", "error_message", "expect", "filled"]
__all__ += ["in_brackets", "in_each", "json_object", "key_headers", "told", "whole"]

ROLES = {
    "echo": "repeats its prompt",
    "slow": "takes long for its first token",
    "thinking": "reasons before it answers",
    "error": "fails in the middle",
    "crash": "crashes in the middle",
    "overload": "is busy",
}
"""What ``--model-for`` can name a model for, and what it does."""

WRONG_PATH = (301, 302, 307, 308, 404, 405, 501)  # statuses of a server that has no such path
STARTING = 12  # times the usual limit that a first answer may take


class Failed(Exception):
    """The fact does not hold; the message says what was seen. ``expired``: it may be that it only took too long."""

    def __init__(self, problem: str, *, expired: bool = False) -> None:
        super().__init__(problem)
        self.expired = expired


class Skipped(Exception):
    """The fact cannot be judged here; the message says why."""


class Expired(Exception):
    """A limit passed before there was anything to judge."""


@dataclass
class Target:
    """The server under test. ``models`` maps a role to a model, "" being the one for everything else."""

    url: str
    models: Mapping[str, str]
    key: str | None = None
    journal: str | None = None
    pid: int | None = None
    timeout: float = 10.0
    profile: str = DEFAULT_PROFILE
    headers: Mapping[str, str] = field(default_factory=dict)  # sent with each request
    without: frozenset[str] = frozenset()  # what the server is said not to have
    long_silence: float = 30.0  # seconds after which proxies and clients time a quiet stream out
    patience: float = 1.0  # how many times longer than usual to wait
    takes: float = 0.0  # seconds for a short answer, as measured
    sent: dict[str, Exchange] = field(default_factory=dict)
    exchanges: Sequence[str] = ()  # of the vector that is being judged
    looked_at: str = ""  # the exchange that was asked for last
    requests: dict[str, bytes] = field(default_factory=dict)
    unnamed: list[Exchange] = field(default_factory=list)  # what came on connections of their own

    @cached_property
    def address(self) -> Address:
        """Where the server is."""
        return Address.parse(self.url)

    @cached_property
    def file(self) -> dict[str, Any]:
        """The profile's file."""
        return document("server", self.profile)

    def model_for(self, role: str) -> str:
        """The model for a role; "" if none was named and the model for everything else will not do."""
        return self.models.get(role) or (self.models[""] if role in ("", "echo", "slow", "thinking") else "")

    def require(self, role: str) -> None:
        """Raise ``Skipped`` if no model was named for a role."""
        if not self.models.get(role):
            raise Skipped(f"no model that {ROLES[role]} was named (--model-for {role}=NAME)")

    def request(self, spec: Mapping[str, Any], **values: Any) -> bytes:
        """The bytes of a request that the profile's file describes; ``values`` replace ``{name}`` in it.

        Raises ``Skipped`` if it needs a model that was not named.
        """
        role = spec.get("role", "")
        model = self.model_for(role)
        if not model and "{model}" in json.dumps(spec):
            raise Skipped(f"no model for it was named (--model-for {role}=NAME)")
        spec = filled(spec, {"model": model, "key": self.key or "", **values})
        headers = {**self.headers, **spec.get("headers", {})}
        body = b""
        if "body" in spec:
            body = json.dumps(spec["body"]).encode()
            headers.setdefault("Content-Type", "application/json")
        elif "raw" in spec:
            body = spec["raw"].encode() if isinstance(spec["raw"], str) else bytes_of([spec["raw"]])
        if key := {"wrong": "wrong-key", "none": None}.get(spec.get("key", ""), self.key):
            headers |= filled(key_headers(self.file, spec), {"key": key})
        if spec.get("chunked"):
            headers["Transfer-Encoding"] = "chunked"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        version = spec.get("version", "1.1")
        return request_bytes(self.address, spec["method"], spec["path"], headers, body, version=version)

    def ask(self, text: str, *, role: str = "", tokens: int | None = None) -> bytes:
        """The bytes of the profile's request for a stream that answers ``text`` with at most so many tokens."""
        if tokens is not None:
            tokens = max(tokens, self.file.get("least_tokens", 1))
        return self.request({**self.file["ask"], "role": role}, text=text, tokens=tokens or self.file.get("tokens"))

    @property
    def silence(self) -> float:
        """How long to wait when nothing comes: a whole answer may take several times what a short stream takes."""
        return self.patience * max(self.timeout, 10 * self.takes)

    def warm_up(self, times: int = 2) -> None:
        """Ask a few times with much patience: a first answer may take long, and the last tells what others take.

        Raises ``UsageError`` if nothing listens at the URL, or if what is there knows no such path.
        """
        with self.connect():
            pass
        limit = STARTING * self.timeout
        some = {"stop_after": 1, "seconds": limit} if self.file.get("endless") else {}
        refused = 0
        for _ in range(times):
            began = time.monotonic()
            with contextlib.suppress(Skipped), RawConnection(self.address, limit) as connection:
                connection.send(self.ask("Say hello", tokens=48))
                exchange = connection.answer(**some)  # type: ignore[arg-type]
                refused = exchange.status
            self.takes = time.monotonic() - began

        if refused in WRONG_PATH and not error_names_a_model(exchange.body):
            path = request_line(self.ask("", tokens=1))
            raise UsageError(f"the URL is wrong: {path!r} is answered with status {refused}; {self.hint}")

    @property
    def hint(self) -> str:
        """How a base URL looks."""
        return (
            f"it must be what stands before {self.file['ask']['path']!r}" if self.file["ask"]["path"] else "is it so?"
        )

    def get(self, name: str) -> Exchange:
        """The response of a named exchange, sent once and kept. Raises ``Expired`` if it did not come whole.

        A stream that only stays open after its last event is given all the same.
        """
        self.looked_at = name
        if name not in self.sent:
            spec = self.file["exchanges"][name]
            data = self.request(spec)
            silence = max(self.silence, 2 * self.long_silence if spec.get("role") == "slow" else 0.0)
            # An event source may go on for ever: some of its events are enough.
            events, seconds = (50, self.timeout) if self.file.get("endless") else (None, None)
            with RawConnection(self.address, silence) as connection:
                connection.send(data)
                bodiless = spec["method"] == "HEAD"
                self.sent[name] = connection.answer(bodiless=bodiless, stop_after=events, seconds=seconds)
            self.requests[name] = data
        exchange = self.sent[name]
        return exchange if any(map(self.is_last, reversed(exchange.events))) else whole(exchange)

    def ask_at_once(self, names: Iterable[str], jobs: int) -> None:
        """Ask for named exchanges, so many at a time; what does not come in time is asked for again when needed."""

        def ask(name: str) -> None:
            try:
                self.get(name)
            except (Skipped, Expired, OSError, UsageError):
                self.sent.pop(name, None)

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(ask, sorted(names)))

    def is_last(self, event: ServerSentEvent) -> bool:
        """Whether an event ends a stream of this profile."""
        if event.data == self.file.get("last_data"):
            return True
        types, members = self.file.get("last_types", ()), self.file.get("last_members", ())
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(event.data) if types or members else None
            if isinstance(value, dict):
                return value.get("type") in types or any(holds(value, name) for name in members)
        return False

    def connect(self, *, before: int = 0, receive_buffer: int = 0) -> RawConnection:
        """Open a connection of its own, behind so many others that a server may answer first."""
        silence = self.silence + self.patience * 1.5 * before * self.takes
        return RawConnection(self.address, silence, receive_buffer=receive_buffer, kept=self.unnamed)

    def streams(self, *, failing: bool) -> Iterator[tuple[str, Exchange]]:
        """Every stream that has come whole, and where it was seen; ``failing``: also those of the model that fails."""
        path, exchanges = self.file["ask"]["path"], self.file["exchanges"]
        roles = {"crash", "overload", *(() if failing else ("error",))}
        named = ((name, exchange) for name, exchange in self.sent.items() if name in exchanges)
        asked = ((name, exchange) for name, exchange in named if exchanges[name]["path"] == path)
        of_roles = ((name, exchange) for name, exchange in asked if exchanges[name].get("role", "") not in roles)
        for name, exchange in (*of_roles, *(("a connection of its own", exchange) for exchange in self.unnamed)):
            if exchange.status == 200 and exchange.ended and exchange.kind == "text/event-stream" and exchange.events:
                yield name, exchange

    def with_stream(self, name: str, exchange: Exchange) -> Target:
        """The same target, as if a named request had been answered by this stream."""
        return dataclasses.replace(self, sent={**self.sent, name: exchange}, requests=dict(self.requests))


def in_each(*names: str) -> Callable[[Callable[[Target, str], None]], Callable[[Target], None]]:
    """Make a check of one exchange a check of several: what does not hold is told of each, not of the first alone."""

    def over_all(part: Callable[[Target, str], None]) -> Callable[[Target], None]:
        @functools.wraps(part)
        def check_all(target: Target) -> None:
            failures: dict[str, Failed] = {}
            others: list[Skipped | Expired] = []
            for name in names:
                try:
                    part(target, name)
                except Failed as failure:
                    prefix = "" if str(failure).startswith(f"{name}: ") else f"{name}: "
                    failures[f"{prefix}{failure}"] = failure
                except (Skipped, Expired) as other:
                    others.append(other)
            if failures:
                raise Failed("; ".join(failures), expired=any(failure.expired for failure in failures.values()))
            expired = [other for other in others if isinstance(other, Expired)]
            if expired or len(others) == len(names):
                raise [*expired, *others][0]

        return check_all

    return over_all


def error_names_a_model(body: bytes) -> bool:
    """Whether an error is about the model, and so from a server that knows the path."""
    return b"model" in body.lower()


def request_line(data: bytes) -> str:
    """Method and path of a request."""
    return data.partition(b" HTTP/")[0].decode("latin-1")


def holds(value: Mapping[str, Any], name: str) -> bool:
    """Whether an object, or one in a list of it, has a member that is not null or empty.

    >>> holds({"candidates": [{"finishReason": "STOP"}]}, "finishReason")
    True
    """
    inner = (one for member in value.values() if isinstance(member, list) for one in member if isinstance(one, dict))
    return any(one.get(name) for one in (value, *inner))


def filled(value: Any, values: Mapping[str, Any]) -> Any:
    """A value of a profile's file with ``{name}`` replaced in its strings; a member that becomes None is left out.

    >>> filled({"model": "{model}", "max_tokens": "{tokens}"}, {"model": "toy", "tokens": None})
    {'model': 'toy'}
    """
    if isinstance(value, dict):
        members = ((name, filled(member, values)) for name, member in value.items())
        return {name: member for name, member in members if member is not None or value[name] is None}
    if isinstance(value, list):
        return [filled(element, values) for element in value]
    if not isinstance(value, str):
        return value
    for name, inner in values.items():
        if value == f"{{{name}}}":
            return inner
        if isinstance(inner, str):
            value = value.replace(f"{{{name}}}", inner)
    return value


def key_headers(file: Mapping[str, Any], spec: Mapping[str, Any]) -> Mapping[str, str]:
    """The headers that carry the key of a request; ``{key}`` stands for it."""
    return dict(file["bearer" if spec.get("key") == "bearer" else "key"])


def whole(exchange: Exchange) -> Exchange:
    """The exchange; raises ``Expired`` if a limit passed before it was over."""
    if exchange.expired:
        raise Expired(exchange.expired)
    return exchange


def in_brackets(problem: str) -> str:
    """A problem as an addition to a sentence; "" if there is none."""
    return f" ({problem})" if problem else ""


def told(exchange: Exchange) -> str:
    """The status of a response in a sentence; why there is none, if none came."""
    return f"the status is {exchange.status}" if exchange.status else f"no response came: {exchange.problem}"


def error_message(body: bytes) -> str:
    """The message of an error's body, or the beginning of the body."""
    try:
        error = json.loads(body)["error"]
        return str(error["message"] if isinstance(error, dict) else error)[:120]
    except (ValueError, KeyError, TypeError):
        return repr(body[:80])


def json_object(body: bytes, name: str) -> dict[str, Any]:
    """The JSON object of a body. Raises ``Failed`` if it is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Failed(f"{name}: the body is not JSON: {body[:80]!r}") from None
    if not isinstance(value, dict):
        raise Failed(f"{name}: the body is no JSON object: {body[:80]!r}")
    return value


def expect(holds: Any, reason: str) -> None:
    """Raise ``Failed`` unless it holds."""
    if not holds:
        raise Failed(reason)


CHECKS: dict[str, Callable[[Target], None]] = {}
"""The check of each vector, by its id."""


def check(id: str) -> Callable[[Callable[[Target], None]], Callable[[Target], None]]:
    """Make a function the check of a vector."""

    def register(function: Callable[[Target], None]) -> Callable[[Target], None]:
        CHECKS[id] = function
        return function

    return register
