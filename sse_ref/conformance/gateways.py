"""Judges gateways: our own server behind the program, our own client in front, and a look at both sides.

In:   a vector of the gateway corpus, the base URL of the gateway, and the ``Upstream`` that the gateway asks.
Out:  a result for each vector: what the upstream was asked, what came back of its answer, who left when.

A gateway (or a proxy) is told before the run to send its requests to the upstream's URL. Each vector is one request to the
gateway; the upstream knows it by the id of the vector, which stands in the message, and plays the vector's script. So
nothing depends on how a model answers, and nothing on a clock: what must come at once must come while the upstream still
waits for it, and a client's leaving must be seen while the upstream holds the connection.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from sse_ref.conformance.corpus import Vector, document, load
from sse_ref.conformance.hostile import HostileServer, SeenRequest, Session
from sse_ref.conformance.servers.chats import Chat, calls_of, delta_of, function_of
from sse_ref.conformance.servers.judging import result_of
from sse_ref.conformance.servers.target import Expired, Failed, error_message, expect, in_brackets
from sse_ref.conformance.verdicts import Result, UsageError
from sse_ref.conformance.wire import Address, Exchange, RawConnection, request_bytes

__all__ = ["GATEWAY_CHECKS", "Gateway", "Upstream", "judge"]

STARTING = 6  # times the usual limit that a first answer may take


class Upstream(HostileServer):
    """The server behind the gateway. It plays the case whose id stands in the body of a request."""

    def __init__(self, port: int, model: str) -> None:
        super().__init__(port)
        self.model = model
        self.asked_otherwise: list[str] = []  # requests that belong to no case

    def respond(self, request: SeenRequest) -> bytes | Session:
        """The case that a request belongs to, else a whole answer."""
        body = request.body.decode("utf-8", "replace")
        ids = [id for id in self.sessions if json.dumps(f"case {id}.")[1:-1] in body]
        if ids:
            return self.sessions[ids[0]]
        if request.method == "GET" and request.path.partition("?")[0].endswith("/models"):
            return _json({"object": "list", "data": [{"id": self.model, "object": "model", "owned_by": "judge"}]})
        self.asked_otherwise.append(f"{request.method} {request.path}")
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
        return _json({"id": "chatcmpl-judge", "object": "chat.completion", "created": 0, "choices": [choice]})


def _json(value: Any) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass
class Gateway:
    """The gateway under test: where it listens, what to ask it for, and the upstream behind it."""

    url: str
    model: str
    upstream: Upstream
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 10.0
    profile: str = "openai-chat"

    @property
    def address(self) -> Address:
        """Where the gateway is."""
        return Address.parse(self.url)

    def await_start(self) -> None:
        """Ask for a whole answer, with much patience: a first one may take long.

        Raises ``UsageError`` if nothing listens at the URL, or if the gateway never asks the upstream.
        """
        vector = next(vector for vector in load("gateway") if vector.id == "pass/baseline")
        try:
            Run(vector, self, STARTING).chat()
        except Failed as failure:
            hint = f"is it told to ask {self.upstream.url}/v1 for {self.model}?"
            raise UsageError(f"the gateway does not pass on one good answer: {failure}; {hint}") from None
        except Expired as limit:
            raise UsageError(f"the gateway gives no answer: {limit}") from None
        finally:
            self.upstream.shut(vector)

    def recovers(self) -> bool:
        """Wait, for a minute at most, until the gateway asks its upstream again."""
        for _ in range(60):
            with contextlib.suppress(UsageError):
                self.await_start()
                return True
            time.sleep(1.0)
        return False

    def body(self, vector: Vector) -> dict[str, Any]:
        """The body of the request that a vector makes; its last message names the vector."""
        message = {"role": "user", "content": f"case {vector.id}."}
        usual = {"model": self.model, "messages": [message], "stream": True}
        return {**usual, **vector.body.get("request", {})}

    def request(self, vector: Vector) -> bytes:
        """The bytes of the request that a vector makes."""
        headers = {"Content-Type": "application/json", **self.headers}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        body = json.dumps(self.body(vector)).encode()
        return request_bytes(self.address, "POST", "/chat/completions", headers, body)


class Run:
    """One vector, put to the gateway."""

    def __init__(self, vector: Vector, gateway: Gateway, patience: float) -> None:
        self.vector = vector
        self.gateway = gateway
        self.patience = patience
        self.session = gateway.upstream.open(vector, patience=patience)
        self.exchange = Exchange()

    def connect(self) -> RawConnection:
        """A connection to the gateway."""
        return RawConnection(self.gateway.address, self.patience * self.gateway.timeout)

    def send(self) -> Exchange:
        """The whole answer to the request. Raises ``Expired`` if a limit passed before it was over."""
        with self.connect() as connection:
            connection.send(self.gateway.request(self.vector))
            self.exchange = connection.answer()
        if self.exchange.expired:
            raise Expired(self.exchange.expired)
        return self.exchange

    def leave(self, events: int | None) -> None:
        """Ask, and leave: after so many events or a while without them, or once the upstream is silent (None)."""
        with self.connect() as connection:
            connection.send(self.gateway.request(self.vector))
            if events is None:
                self.wait(lambda: any(request.held for request in self.session.requests), "the upstream was not asked")
                connection.answer(seconds=0.5 * self.patience)  # what the upstream has sent may come through
                return
            self.exchange = connection.answer(stop_after=events, seconds=2.0 * self.patience)

    def wait(self, until: Callable[[], bool], otherwise: str) -> None:
        """Wait for something to happen. Raises ``Expired`` if it does not."""
        end = time.monotonic() + self.patience * self.gateway.timeout
        while not until():
            if time.monotonic() > end:
                raise Expired(otherwise)
            time.sleep(0.01)

    def was_held_back(self) -> bool:
        """Whether the upstream waited in vain for something to come through."""
        return any(request.awaited is False for request in self.session.requests)

    @property
    def asked(self) -> SeenRequest:
        """The first request that the upstream got. Raises ``Failed`` if there is none."""
        if not self.session.requests:
            status = f": the gateway answers {self.exchange.status} {error_message(self.exchange.body)}"
            raise Failed(f"the upstream was not asked{status if self.exchange.status else ''}")
        return self.session.requests[0]

    @property
    def asked_body(self) -> dict[str, Any]:
        """The JSON object of that request."""
        try:
            value = json.loads(self.asked.body)
        except ValueError:
            raise Failed(f"the upstream got no JSON: {self.asked.body[:80]!r}") from None
        expect(isinstance(value, dict), f"the upstream got no JSON object: {self.asked.body[:80]!r}")
        return dict(value)

    def chat(self) -> Chat:
        """The answer as a chat stream. Raises ``Failed`` if it is none."""
        exchange = self.send()
        _ = self.asked
        return Chat(exchange)

    def sent(self) -> list[dict[str, Any]]:
        """The chunks that the upstream sent."""
        profile = document("gateway", self.gateway.profile)
        parts = (part for script in self.vector.body["connections"] for part in script["body"])
        pieces = (piece for part in parts for piece in (profile["pieces"][part["use"][0]] if "use" in part else [part]))
        return [{**profile["chunk"], **piece["chunk"]} for piece in pieces if "chunk" in piece]


GATEWAY_CHECKS: dict[str, Callable[[Run], None]] = {}
"""The check of each vector of a gateway, by its name."""


def check(id: str) -> Callable[[Callable[[Run], None]], Callable[[Run], None]]:
    """Make a function the check of a vector."""

    def register(function: Callable[[Run], None]) -> Callable[[Run], None]:
        GATEWAY_CHECKS[id] = function
        return function

    return register


def judge(vector: Vector, gateway: Gateway, patience: float = 1.0) -> Result:
    """Judge the gateway by one vector; ``patience`` is how many times longer than usual to wait."""
    run = Run(vector, gateway, patience)
    check = GATEWAY_CHECKS[vector.body.get("check", vector.id)]

    def look() -> None:
        nonlocal run
        if not _was_heard(run, check) and gateway.recovers():
            run = Run(vector, gateway, patience)
            check(run)

    result = result_of(vector, look)
    run.session.over.set()
    gateway.upstream.shut(vector)
    if result.verdict in ("fail", "error"):
        result.shown = _shown(run)
    return result


def _was_heard(run: Run, check: Callable[[Run], None]) -> bool:
    """Do the check. False if the gateway was busy with itself: after an error some ask an upstream no more for a while."""
    try:
        check(run)
    except (Failed, Expired):
        if run.session.requests or run.exchange.status not in (429, 502, 503):
            raise
        return False
    return True


def _shown(run: Run) -> dict[str, list[str]]:
    """What the gateway was asked, what it asked, and what it answered."""
    asked = [
        f"{request.method} {request.path}  {request.body[:300].decode('utf-8', 'replace')}"
        for request in run.session.requests
    ]
    answer = [line[:160] for line in (run.exchange.head + run.exchange.body).decode("utf-8", "replace").splitlines()]
    return {
        "request": [json.dumps(run.gateway.body(run.vector))],
        "upstream": [*asked, *run.session.timeline[:20]],
        "response": answer[:24],
    }


# ---- What is passed on ------------------------------------------------------------------------------------------------


@check("pass/baseline")
def pass_baseline(run: Run) -> None:
    chat = run.chat()
    expect(chat.text() == "Hello", f"the text is {chat.text()!r}, not 'Hello'")
    expect(chat.finish() == ["stop"], f"the finish reasons are {chat.finish()}")


@check("pass/comments")
def pass_comments(run: Run) -> None:
    pass_baseline(run)
    for event in run.exchange.events:
        expect(event.data.startswith(("{", "[DONE]")), f"an event is {event.data[:60]!r}")


@check("pass/as-it-comes")
def pass_as_it_comes(run: Run) -> None:
    """The upstream sends a piece, waits until it has come through, and sends the next."""
    with run.connect() as connection:
        connection.send(run.gateway.request(run.vector))
        look = Exchange(began=time.monotonic())
        for piece in (b"Hel", b"lo"):
            while b'"%b"' % piece not in connection.buffer and not run.was_held_back() and connection.more(look):
                pass
            if b'"%b"' % piece in connection.buffer:
                run.session.delta_seen.set()
        run.exchange = connection.answer()
    expect(run.asked.awaited, "a piece was held back, although the upstream was silent")


@check("pass/head-at-once")
def pass_head_at_once(run: Run) -> None:
    with run.connect() as connection:
        connection.send(run.gateway.request(run.vector))
        look = Exchange(began=time.monotonic())
        while b"\r\n\r\n" not in connection.buffer and not run.was_held_back() and connection.more(look):
            pass
        if b"\r\n\r\n" in connection.buffer:
            run.session.delta_seen.set()
        run.exchange = connection.answer()
    expect(run.asked.awaited, "the head was held back until an event came")


@check("pass/done")
def pass_done(run: Run) -> None:
    marks = [event.data for event in run.chat().exchange.events if "DONE" in event.data]
    expect(marks == ["[DONE]"], f"the marks of the end are {marks}")
    expect(run.exchange.events[-1].data == "[DONE]", f"after [DONE] came {run.exchange.events[-1].data[:60]!r}")


@check("pass/framing")
def pass_framing(run: Run) -> None:
    exchange = run.chat().exchange
    expect(exchange.ended, f"the body has no end{in_brackets(exchange.problem)}")
    expect(exchange.kind == "text/event-stream", f"the Content-Type is {exchange.header('content-type')!r}")
    expect(exchange.framing in ("chunked", "close"), "the stream has a Content-Length")


@check("pass/text")
def pass_text(run: Run) -> None:
    chat = run.chat()
    expected = "".join(delta_of(choice).get("content") or "" for chunk in run.sent() for choice in chunk["choices"])
    expect(chat.text() == expected, f"the text is {chat.text()[:120]!a}, not {expected[:120]!a}")


@check("pass/finish-reason")
def pass_finish_reason(run: Run) -> None:
    chat = run.chat()
    expected = [c["finish_reason"] for chunk in run.sent() for c in chunk["choices"] if c.get("finish_reason")]
    expect(chat.finish() == expected, f"the finish reasons are {chat.finish()}, not {expected}")


@check("pass/usage")
def pass_usage(run: Run) -> None:
    usages = [chunk["usage"] for chunk in run.chat().usages]
    (expected,) = (chunk["usage"] for chunk in run.sent() if chunk.get("usage"))
    expect(usages, "no usage came")
    told = {name: usages[-1].get(name) for name in expected}
    expect(told == expected, f"the usage is {told}, not {expected}")


@check("pass/choices")
def pass_choices(run: Run) -> None:
    chat = run.chat()
    for index, text in ((0, "one"), (1, "two")):
        expect(chat.text(index) == text, f"the text of choice {index} is {chat.text(index)!r}, not {text!r}")
        expect(chat.finish(index) == ["stop"], f"the finish reasons of choice {index} are {chat.finish(index)}")


@check("pass/tool-calls")
def pass_tool_calls(run: Run) -> None:
    chat = run.chat()
    calls = []
    for fragments in calls_of(chat).values():
        named = [{"id": f.get("id"), "name": function_of(f).get("name")} for f in fragments]
        arguments = "".join(function_of(fragment).get("arguments") or "" for fragment in fragments)
        calls.append({n: next((f[n] for f in named if f[n]), None) for n in ("id", "name")} | {"arguments": arguments})
    expected = [
        {"id": "call_1", "name": "get_weather", "arguments": '{"city": "Paris"}'},
        {"id": "call_2", "name": "get_time", "arguments": '{"city": "Rome"}'},
    ]
    expect(calls == expected, f"the calls are {calls!r:.200}")


@check("pass/members")
def pass_members(run: Run) -> None:
    """Members that the upstream sent must be there, with their values; those that name a gateway's own may differ."""
    chunks = run.chat().chunks
    wanted = [chunk for chunk in run.sent() if chunk.get("choices")]
    name = run.vector.body["member"]
    got = [_found(chunk, name) for chunk in chunks]
    expected = [_found(chunk, name) for chunk in wanted]
    expect([v for v in got if v] == [v for v in expected if v], f"the {name} is {[v for v in got if v]!r:.120}")


def _found(value: Any, name: str) -> Any:
    """The first member of this name, at any depth."""
    if isinstance(value, dict):
        if name in value:
            return value[name]
        value = list(value.values())
    if isinstance(value, list):
        return next((found for inner in value if (found := _found(inner, name)) is not None), None)
    return None


@check("pass/unchanged")
def pass_unchanged(run: Run) -> None:
    """Tell what is rewritten: members whose values differ, that are new, or that are gone."""
    chunks, sent = run.chat().chunks, run.sent()
    changed = set()
    for got, want in zip(chunks, sent, strict=False):
        changed |= {name for name in {*got, *want} if got.get(name) != want.get(name)}
    differs = sorted(changed) + ([f"{len(chunks)} chunks, not {len(sent)}"] if len(chunks) != len(sent) else [])
    expect(not differs, f"what is rewritten: {', '.join(differs)}")


# ---- What is asked ----------------------------------------------------------------------------------------------------


@check("request/path")
def request_path(run: Run) -> None:
    run.chat()
    where = f"{run.asked.method} {run.asked.path.partition('?')[0]}"
    expect(where == "POST /v1/chat/completions", f"the upstream was asked {where}")


@check("request/stream")
def request_stream(run: Run) -> None:
    run.chat()
    expect(run.asked_body.get("stream") is True, f"stream is {run.asked_body.get('stream')!r}")


@check("request/once")
def request_once(run: Run) -> None:
    for _ in range(2):  # when the second is answered, all that the first led to was seen
        run.chat()
    expect(len(run.session.requests) == 2, f"for 2 requests the upstream was asked {len(run.session.requests)} times")


@check("request/members")
def request_members(run: Run) -> None:
    """What the client asked for is what the upstream is asked for; each member that differs is told."""
    exchange = run.send()
    if exchange.status in (400, 422) and not run.session.requests:
        raise Failed(f"the gateway refuses: {error_message(exchange.body)}")
    asked, body = (_without_nulls(value) for value in (run.gateway.body(run.vector), run.asked_body))
    wrong = [
        f"{name} is {json.dumps(body.get(name))[:60]}, not {json.dumps(value)[:60]}"
        for name, value in asked.items()
        if name not in ("model", "stream_options") and body.get(name) != value
    ]
    expect(not wrong, "; ".join(wrong))


def _without_nulls(value: Any) -> Any:
    """A JSON value without members that are null: they say nothing."""
    if isinstance(value, dict):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    return [_without_nulls(element) for element in value] if isinstance(value, list) else value


@check("request/answered")
def request_answered(run: Run) -> None:
    exchange = run.send()
    expect(exchange.status == 200, f"the status is {exchange.status}: {error_message(exchange.body)}")
    _ = run.asked


@check("request/usage-not-forced")
def request_usage_not_forced(run: Run) -> None:
    usages = run.chat().usages
    expect(not usages, "a usage came unasked")


# ---- Leaving ----------------------------------------------------------------------------------------------------------


def the_upstream_sees_it(run: Run) -> None:
    """The upstream's connection is closed while the upstream holds it."""
    _ = run.asked
    run.wait(lambda: run.asked.left or run.asked.held_to_the_end, "the upstream's connection was not looked at")
    if not run.asked.left:
        raise Failed("the client left, and the gateway held on to the upstream's connection", expired=True)


@check("cancel/in-the-stream")
def cancel_in_the_stream(run: Run) -> None:
    run.leave(2)
    the_upstream_sees_it(run)


@check("cancel/before-the-head")
def cancel_before_the_head(run: Run) -> None:
    run.leave(None)
    the_upstream_sees_it(run)


@check("cancel/in-silence")
def cancel_in_silence(run: Run) -> None:
    run.leave(None)
    the_upstream_sees_it(run)


# ---- Errors -----------------------------------------------------------------------------------------------------------


@check("error/status")
def error_status(run: Run) -> None:
    exchange = run.send()
    _ = run.asked
    wanted = int(run.vector.body["connections"][0]["status"].split()[0])
    expect(exchange.status == wanted, f"the status is {exchange.status}, not {wanted}")


@check("error/message")
def error_message_kept(run: Run) -> None:
    exchange = run.send()
    _ = run.asked
    expect(exchange.status >= 400, f"the status is {exchange.status}")
    expect(b"boom" in exchange.body, f"the message is lost: {exchange.body[:120]!r}")


@check("error/retry-after")
def error_retry_after(run: Run) -> None:
    exchange = run.send()
    _ = run.asked
    expect(exchange.header("retry-after"), f"status {exchange.status} has no Retry-After")


@check("error/in-the-stream")
def error_in_the_stream(run: Run) -> None:
    exchange = run.send()
    _ = run.asked
    expect(not _looks_whole(exchange), f"the answer looks whole: {exchange.body[-120:]!r}")
    expect(b"boom" in exchange.body, f"the message is lost: {exchange.body[-120:]!r}")


@check("error/not-whole")
def error_not_whole(run: Run) -> None:
    exchange = run.send()
    _ = run.asked
    expect(not _looks_whole(exchange), f"the answer looks whole: {exchange.body[-120:]!r}")


@check("error/text-once")
def error_text_once(run: Run) -> None:
    exchange = run.send()
    texts = Chat(exchange).texts() if exchange.status == 200 and exchange.events else []
    text = "".join(texts)
    expect(len(run.session.requests) == 1 or text.count("Hel") <= 1, f"after a second try the text is {text[:60]!r}")


def _looks_whole(exchange: Exchange) -> bool:
    """Whether a client would take the answer for a whole one: status 200, a finish reason or [DONE], and no error."""
    if exchange.status != 200 or not exchange.ended:
        return False
    said = [event.data for event in exchange.events]
    with contextlib.suppress(Failed):
        chat = Chat(exchange)
        if any(chunk.get("error") for chunk in chat.chunks):
            return False
        return bool(chat.finish()) or "[DONE]" in said
    return "[DONE]" in said


@check("load/two-at-once")
def load_two_at_once(run: Run) -> None:
    """Two clients ask at the same time; each gets one whole answer."""

    def one(number: int) -> Exchange:
        with run.connect() as connection:
            connection.send(run.gateway.request(run.vector))
            return connection.answer()

    with ThreadPoolExecutor(2) as pool:
        exchanges = list(pool.map(one, range(2)))
    for exchange in exchanges:
        run.exchange = exchange
        if exchange.expired:
            raise Expired(exchange.expired)
        expect(Chat(exchange).text() == "Hello", f"the text of one is {Chat(exchange).text()!r}")
