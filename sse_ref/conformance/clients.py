"""Judges clients: each case gives the client the URL of a hostile server.

In:   a vector of the client corpus, and a client under test: a command.
Out:  a result, from the lines that the client printed and the requests that the server saw.

A client is started for each case, with the URL as its last argument and the rest in its environment; or it is kept, and told
each case on a line of its input. It prints lines of JSON: ``{"delta": text}`` as text comes, or ``{"event": …, "data": …,
"id": …}`` for a plain event stream, and one last ``{"end": …}``.

Time decides in two cases only: a retry must not come too early, and what should happen "at once" must happen while the
server still waits for it. A run that a limit ended is ``expired``: it is tried again, alone and with longer limits, before
it counts. A client's start is not timed: its time begins with its request.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sse_ref.conformance.corpus import Vector, document, text_of
from sse_ref.conformance.hostile import HOLD_SECONDS, HostileServer, SeenRequest, Session
from sse_ref.conformance.programs import Running
from sse_ref.conformance.verdicts import Result
from sse_ref.errors import fit

__all__ = ["ENDS", "Client", "Printed", "Started", "judge"]

ENDS = ("complete", "truncated", "api_error", "protocol_error", "http_error", "timeout", "cancelled")
"""The outcomes that a client's last line may name."""

IDLE_S = 10.0  # seconds of silence that a client should stand, unless a case is about it
MAX_OUTPUT = 64 * 2**20  # bytes that a client may print in a case
MAX_LINES = 200_000
DIRECT = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}  # of the environment: no proxy stands between
TRIES = 3  # runs of a case whose own pauses came late, because the machine was busy


@dataclass
class Printed:
    """What the client printed, and how its process ended."""

    deltas: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] | None = None
    skip: str | None = None
    trouble: str = ""  # why there is nothing to judge
    expired: bool = False  # a limit had passed
    stderr: str = ""
    lines: list[str] = field(default_factory=list)
    size: int = 0  # bytes
    ended_at: float = 0.0  # time.monotonic() of the last line
    cancelling_at: float = 0.0  # time.monotonic() when it said that it closes
    closed: bool = True  # before it was ended, the client had closed every connection that was held

    @property
    def over(self) -> bool:
        """Nothing more is to be read."""
        return bool(self.trouble) or self.skip is not None or self.end is not None

    @property
    def text(self) -> str:
        """The text of the last line, else the deltas put together."""
        text = self.end.get("text") if self.end else None
        return text if isinstance(text, str) else "".join(self.deltas)


@dataclass
class Started:
    """Measures the seconds from the client's start to its first request."""

    slowest: float | None = None
    tried: bool = False

    def limit(self, timeout: float) -> float:
        """Seconds to wait for the first request: long before the first run, then in proportion to the slowest start."""
        if self.slowest is not None:
            return timeout + 4 * self.slowest
        return timeout if self.tried else 6 * timeout

    def note(self, session: Session) -> None:
        """Learn from a run."""
        self.tried = True
        if session.requests:
            self.slowest = max(self.slowest or 0.0, session.requests[0].at - session.began)


class Client:
    """A client under test: started for each case or, if it is ``persistent``, kept as long as it ends its cases well.

    ``fresh``: its process was started for the case that it has.
    """

    def __init__(self, command: Sequence[str], *, persistent: bool = False) -> None:
        self.command = command
        self.persistent = persistent
        self.fresh = True
        self._running: Running | None = None

    def begin(self, case: Mapping[str, str]) -> Running:
        """Give it a case: the variables that tell of it."""
        if not self.persistent:
            self._running = Running([*self.command, case["SSE_CONFORMANCE_URL"]], {**case, **DIRECT})
            self._running.send(b"", last=True)
            return self._running
        self.fresh = self._running is None or not self._running.lines.empty()
        if self._running is None or self.fresh:
            self.stop()  # it has ended, or said more than its end, which belongs to no other case
            self._running = Running(self.command, DIRECT)
        self._running.errors = b""
        self._running.send(json.dumps(case).encode() + b"\n", last=False)
        return self._running

    def finish(self, *, well: bool) -> None:
        """Its case is over; ``well`` if it has said so itself."""
        if not (self.persistent and well):
            self.stop()

    def stop(self) -> None:
        """End its process, if there is one."""
        if self._running is not None:
            self._running.stop()
            self._running = None


def judge(
    vector: Vector,
    server: HostileServer,
    client: Client,
    timeout: float,
    started: Started | None = None,
    factor: float = 1.0,
) -> Result:
    """Give the client the case and compare; again if our own pauses came late. ``factor`` lengthens every limit."""
    started = started or Started()
    began = time.perf_counter()
    for attempt in range(TRIES):
        session = server.open(vector, patience=factor)
        printed = _run(vector, session, client, timeout * factor, started.limit(timeout * factor))
        started.note(session)
        patience = vector.body.get("idle_s", IDLE_S) / 4
        if session.late <= patience or attempt == TRIES - 1:
            break
    verdict, reason = compare(vector, printed, session)
    result = Result(vector, verdict, reason, stderr=printed.stderr, ms=1000 * (time.perf_counter() - began))
    overstayed = any(
        request.held_to_the_end or request.awaited is False or request.gone is False for request in session.requests
    )
    result.expired = printed.expired or (verdict == "fail" and overstayed)
    result.expected = vector.body["expect"]
    result.actual = {"end": printed.end, "text": printed.text, "events": printed.events}
    if verdict not in ("pass", "skip"):
        result.shown = {"server": session.timeline[:40], "client": [line[:200] for line in printed.lines[:40]]}
    return result


# ---- Running it ------------------------------------------------------------------------------------------------------


def _variables(vector: Vector, url: str) -> dict[str, str]:
    """What a client is told of a case."""
    variables = {
        "SSE_CONFORMANCE_URL": url,
        "SSE_CONFORMANCE_CASE": vector.id,
        "SSE_CONFORMANCE_IDLE_S": f"{vector.body.get('idle_s', IDLE_S):g}",
    }
    if request := document("client", vector.profile).get("request"):
        variables["SSE_CONFORMANCE_BODY"] = json.dumps({**request, **vector.body.get("request", {})})
    if "key" in vector.body:
        variables["SSE_CONFORMANCE_KEY"] = vector.body["key"]
    for name in ("cancel_after", "cancel_in_s"):
        if name in vector.body:
            variables[f"SSE_CONFORMANCE_{name.upper()}"] = str(vector.body[name])
    events = [event for alternative in _alternatives(vector) for event in alternative.get("events", ())]
    if types := dict.fromkeys(event["event"] for event in events if "event" in event):
        variables["SSE_CONFORMANCE_TYPES"] = ",".join(types)
    return variables


def _run(vector: Vector, session: Session, client: Client, timeout: float, start_limit: float) -> Printed:
    """Give the client the case and read its output, until it exits, prints its last line, or the time is up."""
    printed = Printed()
    case = _variables(vector, session.base + vector.body.get("query", ""))
    running = client.begin(case)
    wait = _Wait(vector, session, timeout, start_limit)
    try:
        while not printed.over:
            if running.lines.empty() and wait.over():
                printed.trouble, printed.expired = wait.trouble, bool(wait.trouble)
                break
            try:
                line = running.lines.get(timeout=0.05)
            except queue.Empty:
                continue
            if line is not None:
                _take(line, printed, session)
            elif client.fresh or printed.lines or session.requests or not _ended_in_order(running):
                printed.trouble = _how_it_ended(running)
            else:  # after the case before: it has not taken this one
                client.stop()
                running = client.begin(case)
        if printed.end is not None and not printed.trouble:
            _let_it_end(running, session, kept=client.persistent)
            if any(alternative.get("closes") for alternative in _alternatives(vector)):
                printed.closed = _closes(session)
    finally:
        session.over.set()
        client.finish(well=printed.over and not printed.trouble)
        printed.stderr = running.errors.decode("utf-8", "replace")
    return printed


class _Wait:
    """Decides when to stop waiting for a client that prints nothing."""

    def __init__(self, vector: Vector, session: Session, timeout: float, start_limit: float) -> None:
        self.session = session
        expect = vector.body["expect"] if isinstance(vector.body["expect"], dict) else {}
        self.quiet = expect.get("quiet_for")
        self.follows = expect.get("follows")
        self.takes = vector.body.get("takes_s", 0.0)
        self.closing = _is_about_closing(vector)
        self.cancel_in = vector.body.get("cancel_in_s", 0.0)
        self.timeout = timeout
        self.start_limit = start_limit
        self.trouble = ""

    def over(self) -> bool:
        now = time.monotonic()
        requests = self.session.requests
        if self.quiet and requests and now - requests[0].at > self.quiet:
            return True  # nothing was to happen, and nothing did
        if self.follows and _followed(list(requests)) > self.follows:
            return True  # it follows whatever comes
        if self.closing and requests and not self.session.cancelling.is_set():
            return bool(now > requests[0].at + self.cancel_in + self.timeout / 2)  # it does not close: a skip
        if self.session.beyond > 1:
            return True  # it goes on after the answer that ends an event source: that is a vector of its own
        if requests and now < requests[0].at + self.timeout + self.takes:
            return False
        if not requests and now < self.session.began + self.start_limit:
            return False
        self.trouble = f"timeout: no end after {self.timeout:g} s" if requests else "timeout: it sent no request"
        return True


def _take(line: bytes, printed: Printed, session: Session) -> None:
    """Read one line of output."""
    printed.size += len(line)
    if not line.strip():
        return
    if printed.size > MAX_OUTPUT or len(printed.lines) == MAX_LINES:
        printed.trouble = "it floods its output"
        return
    printed.lines.append(line.decode("utf-8", "replace").rstrip())
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        printed.trouble = f"it printed a line that is no JSON object: {line[:60]!r}"
    elif value.get("end") is not None:
        printed.end = value
        printed.ended_at = time.monotonic()
        if value["end"] not in ENDS:
            printed.trouble = f"its end {value['end']!r} is none of {', '.join(ENDS)}"
    elif value.get("cancelling"):
        printed.cancelling_at = time.monotonic()
        session.cancelling.set()
        session.note("the client closes")
    elif value.get("skip") is not None:
        printed.skip = str(value["skip"])
    elif isinstance(value.get("delta"), str):
        if value["delta"]:
            printed.deltas.append(value["delta"])
            session.delta_seen.set()
            session.note(f"the client printed {value['delta'][:40]!r}")
    elif isinstance(value.get("data"), str):
        event = {"event": value.get("event") or "message", "data": value["data"], "id": value.get("id") or ""}
        printed.events.append(event)
        session.delta_seen.set()
        session.note(f"the client printed {event}")


def _ended_in_order(running: Running) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return running.process.wait(timeout=2.0) == 0
    return False


def _how_it_ended(running: Running) -> str:
    if running.flooded:
        return "it floods its output"
    try:
        status = running.process.wait(timeout=2.0)
    except subprocess.TimeoutExpired:
        return "it closed its output without an end"
    return f"it ended with exit status {status} and printed no end" if status >= 0 else "it was ended by a signal"


def _let_it_end(running: Running, session: Session, *, kept: bool) -> None:
    """The last line is printed; let a process that is not kept exit, so that the server sees its connections close."""
    if not kept:
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.process.wait(timeout=3.0)
    with session.answered:
        session.answered.wait_for(lambda: not session.answering, timeout=0.05)


def _closes(session: Session) -> bool:
    """True if the client closes every connection that is held, while it is held."""
    deadline = time.monotonic() + HOLD_SECONDS * session.patience
    while True:
        held = [request for request in session.requests if request.held and not request.left]
        if not held:
            return True
        if time.monotonic() > deadline or any(request.held_to_the_end for request in held):
            return False
        time.sleep(0.01)


# ---- The judgment ----------------------------------------------------------------------------------------------------


def compare(vector: Vector, printed: Printed, session: Session) -> tuple[str, str]:
    """The verdict on a run of a case, and its reason."""
    if printed.skip is not None:
        return "skip", printed.skip
    if _is_about_closing(vector) and not printed.cancelling_at:
        return "skip", 'it was not seen to close: it prints no {"cancelling": true}'
    if printed.trouble:
        return "error", printed.trouble
    key = vector.body.get("key")
    if key and session.requests and not _has_key(session.requests[0], key):
        return "skip", "it does not send the key that SSE_CONFORMANCE_KEY holds"
    reasons = []
    for alternative in _alternatives(vector):
        for member in vector.needs:
            judged = {"error": "error_contains"}.get(member, member) in alternative
            ends = (printed.end or {}).get("end") in alternative.get("end", ())
            if judged and ends and _untold(printed.end or {}, member):
                return "skip", f"its end does not tell {member}"
        if alternative.get("prompt") and not printed.deltas and not printed.events and printed.text:
            return "skip", "it prints no text as it comes"
        reason = _differs(alternative, printed, session, key or "")
        if not reason:
            return "pass", ""
        reasons.append(reason)
    reason = reasons[0] if len(set(reasons)) == 1 else "; or ".join(dict.fromkeys(reasons))
    if vector.level == "may":
        return "pass", f"this is left open; here: {reason}"
    return "fail", reason


def _alternatives(vector: Vector) -> list[Mapping[str, Any]]:
    """What is expected: any one of these."""
    expect = vector.body["expect"]
    return expect if isinstance(expect, list) else [expect]


def _is_about_closing(vector: Vector) -> bool:
    """Whether an event source is told to close; that it does so it has to say."""
    return bool(vector.profile == "sse" and {"cancel_after", "cancel_in_s"} & set(vector.body))


def _has_key(request: SeenRequest, key: str) -> bool:
    return key in request.path or any(key in value for _, value in request.headers)


def _untold(end: Mapping[str, Any], member: str) -> bool:
    """True if the last line lacks a member. A null usage or finish reason is no lack: it says that none came."""
    return end.get(member) is None if member in ("tool_calls", "error") else member not in end


def _differs(expect: Mapping[str, Any], printed: Printed, session: Session, key: str) -> str:
    """Describe how the run differs from the expectation; "" if it does not."""
    end = printed.end or {}
    if "end" in expect and end.get("end") not in expect["end"]:
        text = f" with {printed.text[:40]!r}" if printed.text else ""
        error = f" ({str(end['error'])[:80]})" if end.get("error") else ""
        return f"the client says {end.get('end')}{text}{error}, not {' or '.join(expect['end'])}"
    if "text" in expect:
        texts = [text_of(text) for text in (expect["text"] if isinstance(expect["text"], list) else [expect["text"]])]
        expected = " or ".join(map(_in_json, texts))
        if _joined(printed.text) not in texts:
            return f"the text is {_in_json(printed.text)}, not {expected}"
        if printed.deltas and _joined("".join(printed.deltas)) not in texts:
            return f"the deltas together are {_in_json(''.join(printed.deltas))}, not {expected}"
    for member in ("finish_reason", "status", "refusal"):
        if member in expect and member in end and end[member] != expect[member]:
            return f"the {member} is {end[member]!r}, not {expect[member]!r}"
    if "usage" in expect and "usage" in end:
        usage = end["usage"] if isinstance(end["usage"], dict) else {}
        if {name: usage.get(name) for name in expect["usage"]} != expect["usage"]:
            return f"the usage is {_in_json(end['usage'])}, not {_in_json(expect['usage'])}"
    if (
        "tool_calls" in expect
        and end.get("tool_calls") is not None
        and (reason := _calls_differ(end["tool_calls"], expect))
    ):
        return reason
    if end.get("error") is not None and expect.get("error_contains", "") not in str(end["error"]):
        return f"the error is {_in_json(end.get('error'))} and does not tell {expect['error_contains']!r}"
    if "events" in expect and (reason := _events_differ(printed.events, expect["events"])):
        return reason
    if expect.get("closes") and not printed.closed:
        return "it left the connection open"
    held = [request for request in session.requests if request.held]
    if expect.get("closed_at_once") and any(not 0 < request.left_at <= printed.ended_at for request in held):
        return "the connection stayed open after it was closed"
    late = [request for request in session.requests if request.at > printed.cancelling_at]
    if expect.get("quiet_after_cancelling") and len(late) > 1:  # one may have been on its way
        return f"after it was closed it connected {len(late)} times"
    return _server_saw_otherwise(expect, session, printed.ended_at or time.monotonic(), key)


def _joined(text: str) -> str:
    """The text with surrogate pairs joined, and lone halves replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _calls_differ(got: Any, expect: Mapping[str, Any]) -> str:
    calls = [
        {"name": call.get("name"), "arguments": call.get("arguments")}
        for call in (got if isinstance(got, list) else [])
        if isinstance(call, dict)
    ]
    expected = [{name: call[name] for name in ("name", "arguments")} for call in expect["tool_calls"]]
    as_text = "as_text" in expect and all(isinstance(call["arguments"], str) for call in calls)
    if (calls if as_text else [*map(_parsed, calls)]) != (expected if as_text else [*map(_parsed, expected)]):
        return f"the tool calls are {_in_json(calls)}, not {_in_json(expected)}"
    ids = [call["id"] for call in expect["tool_calls"] if "id" in call]
    ids_got = [call.get("id") for call in got if isinstance(call, dict)]
    if ids and ids_got != ids:
        return f"the ids of the tool calls are {_in_json(ids_got)}, not {_in_json(ids)}"
    return ""


def _parsed(call: dict[str, Any]) -> dict[str, Any]:
    """Parse the arguments: a client may report them as JSON text or as the parsed value."""
    try:
        return {**call, "arguments": json.loads(call["arguments"])}
    except (TypeError, ValueError):
        return call


def _events_differ(got: list[dict[str, Any]], want: list[dict[str, Any]]) -> str:
    expected = [{"event": "message", "id": "", **event} for event in want]
    # Where a vector is about something else, an id may be one of several.
    for one, other in zip(got, expected, strict=False):
        if isinstance(other["id"], list):
            other["id"] = one["id"] if one["id"] in other["id"] else other["id"][0]
    if got == expected:
        return ""
    return f"the events are {_in_json(got)}, not {_in_json(expected)}"


def _followed(requests: Sequence[SeenRequest]) -> int:
    """How many redirects were followed in a row: a client that tries again begins where it began."""
    longest = row = 0
    for request in requests:
        row = 0 if request.path == requests[0].path else row + 1
        longest = max(longest, row)
    return longest


def _server_saw_otherwise(expect: Mapping[str, Any], session: Session, ended_at: float, key: str) -> str:
    """Describe how the requests differ from the expectation; "" if they do not."""
    requests = session.requests
    least, most = expect.get("requests", (1, 1_000_000))
    if not least <= len(requests) <= most:
        return f"the server saw {len(requests)} requests, not {least if least == most else f'{least} to {most}'}"
    followed = _followed(requests)
    if followed > expect.get("follows", followed):
        return f"it followed {followed} redirects in a row"
    for number, (request, want) in enumerate(zip(requests, expect.get("each", []), strict=False), 1):
        if reason := _request_differs(request, want, session.host, key):
            return f"request {number}: {reason}"
    if "gap_s" in expect and len(requests) > 1:
        gap = requests[1].at - requests[0].at
        if gap < 0.9 * expect["gap_s"]:
            return f"the second request came after {gap:.2f} s, before the {expect['gap_s']:g} s that were asked for"
    for number, (one, other, least) in enumerate(
        zip(requests, requests[1:], expect.get("gaps_s", ()), strict=False), 2
    ):
        if other.at - one.at < 0.9 * least:
            return f"request {number} came after {other.at - one.at:.2f} s, before the {least:g} s that were asked for"
    if expect.get("gone") and not all(request.gone for request in requests):
        return "it read on, and the transport failed"
    if expect.get("plain") and any("gzip" in (request.header("accept-encoding") or "") for request in requests):
        return "it asked for gzip"
    if expect.get("left") and any(request.held_to_the_end for request in requests):
        return f"it did not leave while the connection was held for {HOLD_SECONDS * session.patience:g} s"
    if expect.get("prompt") and any(request.awaited is False for request in requests):
        return "it printed no text before the stream had ended"
    if "after_s" in expect and session.requests:
        waited = ended_at - requests[0].at
        if waited < 0.7 * expect["after_s"]:
            return f"it timed out after {waited:.2f} s, before the {expect['after_s']:g} s that it was told"
    return ""


def _request_differs(request: SeenRequest, want: Mapping[str, Any], host: str, key: str) -> str:
    if "with_key" in want and not _has_key(request, key):
        return "the key is missing"
    if "without_key" in want and _has_key(request, key):
        return "the key is there"
    if "method" in want and request.method != want["method"]:
        return f"the method is {request.method}, not {want['method']}"
    if want.get("path", "") not in request.path:
        return f"the path is {request.path!r}, and does not hold {want['path']!r}"
    for name, value in want.get("headers", {}).items():
        got = request.header(name)
        if got is None or value.lower() not in got.lower():
            return f"the header {name} is {got!r}, and does not have {value!r}"
    for name, value in want.get("exact", {}).items():
        if request.header(name) != (value := value.replace("{host}", host)):
            return f"the header {name} is {request.header(name)!r}, not {value!r}"
    for name, value in want.get("unlike", {}).items():
        if request.header(name) == value:
            return f"the header {name} is {value!r}"
    for name in want.get("without", []):
        if request.header(name) is not None:
            return f"the header {name} is there: {request.header(name)!r}"
    if "body" in want:
        try:
            body = json.loads(request.body)
        except ValueError:
            return f"the body is not JSON: {request.body[:60]!r}"
        for name, value in want["body"].items():
            if not isinstance(body, dict) or body.get(name) != value:
                return f"the body's {name} is not {_in_json(value)}"
    return ""


def _in_json(value: Any) -> str:
    """A value as JSON, fit for a reason."""
    return fit(json.dumps(value, ensure_ascii=False))
