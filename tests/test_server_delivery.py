"""Delivery: pace, faults, splits; each token at its time."""

from __future__ import annotations

import math
import re
import time
from typing import Any

import pytest
from raw import JSON, Wire, alive, ask, chat, chat_body, chat_request, request, wait_for

from sse_ref.server import Server, running
from sse_ref.server.requests import split_target


def test_events_come_one_by_one_and_none_before_its_time() -> None:
    with running(ttft=0.1, tps=50) as server, Wire(server) as wire:
        sent = time.monotonic()
        wire.send(chat_request("a b c d e f g h"))
        wire.until(b"\r\n\r\n")
        for number, word in enumerate("abcdefgh"):
            wire.until(f'{word}"}}'.encode())
            # Less one tick of the clock. How late they may be, virtual time tells (test_server_loop.py).
            assert time.monotonic() - sent >= 0.1 + number / 50 - 0.005
            assert b'"content"' not in wire.buffer or time.monotonic() - sent >= 0.1 + (number + 1) / 50 - 0.005


def test_head_does_not_wait_for_the_first_token() -> None:
    with running(ttft=3600) as server, Wire(server) as wire:
        wire.send(chat_request())
        assert wire.head()[0] == 200


def test_each_token_is_due_at_its_time(dues: list[tuple[int, float]]) -> None:
    with running(ttft=2, tps=4) as server:
        chat(server, "a b c d")
    role, *tokens, finish, done, last = dues
    assert tokens == [(1, 2.0), (2, 2.25), (3, 2.5), (4, 2.75)]
    assert role == (1, 2.0) and finish == done == last == (4, 2.75)


def test_whole_answer_is_due_with_the_last_token_of_its_stream(dues: list[tuple[int, float]]) -> None:
    with running(ttft=2, tps=4) as server:
        chat(server, "a b c d", stream=False)
    assert dues == [(4, 2.75)]


def test_jitter_moves_tokens_but_keeps_the_pace(dues: list[tuple[int, float]]) -> None:
    with running(ttft=2, tps=10, jitter=1.0) as server:
        chat(server, "x " * 500)
    late = [due - (2 + (number - 1) / 10) for number, due in dict(dues).items()]
    assert len(late) == 501 and -0.05 <= min(late) < -0.04 and 0.04 < max(late) <= 0.05


WORDS = " ".join(f"w{i}" for i in range(10))  # 20 tokens for toy-echo: letters and digits come apart


def delivered(server: Server, query: str, **fields: Any) -> bytes:
    """Everything that comes back for a chat request with a query, until the connection ends."""
    with Wire(server) as wire:
        path = f"/v1/chat/completions?{query}"
        wire.send(request("POST", path, chat_body(WORDS, **fields), {**JSON, "Connection": "close"}))
        return wire.rest()


def test_fault_cut_breaks_off_inside_an_event_and_inside_a_chunk(server: Server) -> None:
    rest = delivered(server, "fault=cut&at=4")
    assert rest.count(b'"content":') == 4 + 1  # the empty delta of the role chunk
    assert not rest.endswith(b"\n\n\r\n") and b"0\r\n\r\n" not in rest and b"[DONE]" not in rest
    record = server.journal[-1]
    assert (record["outcome"], record["fault"], record["tokens"], record["events"]) == ("cut", "cut", 4, 5)


def test_fault_end_ends_the_body_as_http_says(server: Server) -> None:
    rest = delivered(server, "fault=end&at=4")
    assert rest.endswith(b"\n\n\r\n0\r\n\r\n") and b"[DONE]" not in rest and b'"stop"' not in rest
    assert (server.journal[-1]["outcome"], server.journal[-1]["fault"], server.journal[-1]["tokens"]) == (
        "cut",
        "end",
        4,
    )


def test_fault_error_is_the_models_failure_inside_the_stream(server: Server) -> None:
    rest = delivered(server, "fault=error&at=4")
    assert b'data: {"error":{"message":"the model failed, as the request asked for"' in rest
    assert rest.endswith(b"0\r\n\r\n") and server.journal[-1]["outcome"] == "failed"
    began = time.monotonic()
    whole = delivered(server, "fault=error&at=4&ttft=0.1&tps=100", stream=False)
    assert whole.startswith(b"HTTP/1.1 500 ") and time.monotonic() - began > 0.1  # no sooner than the model fails
    assert (server.journal[-1]["outcome"], server.journal[-1]["status"]) == ("failed", 500)


@pytest.mark.parametrize(
    ("target", "path", "segment", "query"),
    [
        ("/fault=cut&at=3/v1/chat/completions", "/v1/chat/completions", "fault=cut&at=3", ""),
        ("/fault%3Dcut%26at%3D3/v1/models/toy?x=1", "/v1/models/toy", "fault=cut&at=3", "x=1"),
        ("HTTP://127.0.0.1:8000/tps=5/v1/models?a=b/c", "/v1/models", "tps=5", "a=b/c"),
        ("/events?prompt=a/b", "/events", "", "prompt=a/b"),
        ("/v1/models/a=b", "/v1/models/a=b", "", ""),
        ("/fault=cut", "", "fault=cut", ""),
        ("/", "/", "", ""),
    ],
)
def test_settings_stand_in_the_first_segment(target: str, path: str, segment: str, query: str) -> None:
    assert split_target(target) == (path, segment, query)


@pytest.mark.parametrize("base", ["/fault=error&at=2/v1", "/fault%3Derror%26at%3D2/v1", "/fault=cut&at=2/v1"])
@pytest.mark.parametrize("query", ["", "?fault=error", "?api-version=2026-01-01&fault=error"])
def test_base_url_with_settings_is_obeyed(server: Server, base: str, query: str) -> None:
    if "cut" in base and not query:
        return  # the query counts where both say something
    answer = ask(server, "POST", f"{base}/chat/completions{query}", chat_body(WORDS), JSON)
    assert b"the model failed, as the request asked for" in answer.body and answer.body.count(b'"content":') == 3
    assert (server.journal[-1]["path"], server.journal[-1]["fault"]) == ("/v1/chat/completions", "error")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/toy", "/", "/journal", "/events?max_tokens=1"])
def test_every_path_can_be_behind_settings(server: Server, path: str) -> None:
    assert ask(server, "GET", "/tps=1000&fault=end" + path).status == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/", "/events"])
def test_settings_that_nobody_knows_are_refused_with_those_there_are(server: Server, path: str) -> None:
    method, body = ("POST", chat_body()) if "chat" in path else ("GET", b"")
    for segment, param in (("faullt=cut", "faullt"), ("fault=cutt", "fault"), ("at=x", "at"), ("fault=", "fault")):
        answer = ask(server, method, f"/{segment}{path}", body, JSON if body else None)
        error = answer.json()["error"]
        assert (answer.status, error["param"]) == (400, param)
        assert {"faullt": "ttft, tps", "fault": "refuse, error, cut", "at": "whole number"}[param] in error["message"]


@pytest.mark.parametrize(
    "target", ["/v1/chat/completions?nonsense=1", "/v1/chat/completions?faullt=cut", "/events?at=3&dorp=2"]
)
def test_query_that_nobody_knows_is_refused(server: Server, target: str) -> None:
    events = target.startswith("/events")
    answer = ask(server, "GET" if events else "POST", target, b"" if events else chat_body(), JSON)
    assert answer.status == 400 and ("drop" in answer.json()["error"]["message"]) == events
    assert "heartbeat, split, fault, at" in answer.json()["error"]["message"]


def test_fault_refuse_is_429_before_the_stream(server: Server) -> None:
    answer = ask(server, "POST", "/v1/chat/completions?fault=refuse", chat_body(), JSON)
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert alive(server)


def test_fault_stall_sends_nothing_more_and_keeps_the_connection() -> None:
    with running(heartbeat=0.02) as server, Wire(server) as wire:
        body = chat_body(WORDS)
        wire.send(request("POST", "/v1/chat/completions?fault=stall&at=4", body, JSON))
        for _ in range(5):
            wire.until(b'"content":')
        wire.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            while b"heartbeat" not in wire.buffer:
                wire.more()
        assert b'"content":' not in wire.buffer and b"heartbeat" not in wire.buffer
        assert server.journal[-1]["outcome"] == "open"
        wire.socket.close()
        assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")


def test_whole_answers_break_too(server: Server) -> None:
    whole = ask(server, "POST", "/v1/chat/completions", chat_body(WORDS, stream=False), JSON)
    for fault in ("cut", "end"):
        rest = delivered(server, f"fault={fault}&at=4", stream=False)
        head, _, body = rest.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(whole.body)}".encode() in head and 0 < len(body) < len(whole.body)


@pytest.mark.once
def test_cut_is_inside_an_event_however_it_is_split(server: Server) -> None:
    rest = delivered(server, "fault=cut&at=4&split=1")
    assert b"data: {" in rest.rpartition(b"\n\r\n")[2]


def test_early_end_over_http_1_0_is_closing_after_a_whole_event(server: Server) -> None:
    path = "/v1/chat/completions?fault=end&at=4"
    answer = ask(server, "POST", path, chat_body(WORDS), JSON, version="1.0")
    assert len(answer.blocks()) == 5 and not answer.ended


def stalls(server: Server) -> bool:
    streams = [entry.connection.stream for entry in list(server.loop.entries.values())]
    return any(stream and stream.next and stream.next.due == math.inf for stream in streams)


@pytest.mark.parametrize("query", ["split=3&tps=20", "split=3&fault=stall&at=1", "fault=stall&at=1"])
def test_farewell_never_goes_into_an_event(query: str) -> None:
    with running() as server, Wire(server) as wire:
        wire.send(request("POST", f"/v1/chat/completions?{query}", chat_body(WORDS), JSON))
        assert wait_for(lambda: stalls(server) if "stall" in query else server.journal and server.journal[-1]["tokens"])
        server.shutdown()
        body = b"".join(re.findall(rb"[0-9a-f]+\r\n([^\r]*)\r\n", wire.rest()))
        error = b'data: {"error":{"message":"the server is stopping"'
        assert body.count(error) <= 1 and all(before.endswith(b"\n\n") for before in body.split(error)[:-1])
        if "stall" in query:
            assert error in body


def test_a_fault_later_than_the_answer_does_nothing(server: Server) -> None:
    answer = ask(server, "POST", "/v1/chat/completions?fault=cut&at=3", chat_body(), JSON)
    assert answer.text() == "one two three" and server.journal[-1]["outcome"] == "complete"


@pytest.mark.once
@pytest.mark.parametrize("size", [1, 7, 64])
def test_split_sends_an_event_in_parts(server: Server, size: int) -> None:
    answer = ask(server, "POST", f"/v1/chat/completions?split={size}", chat_body("\u00e9 \U0001f98a"), JSON)
    assert answer.text() == "\u00e9 \U0001f98a"
    assert all(len(chunk) <= size for chunk in answer.chunks) and max(map(len, answer.chunks)) == size
    assert server.journal[-1]["events"] == len(answer.blocks())


def test_pace_in_the_query_is_this_requests_own(dues: list[tuple[int, float]]) -> None:
    with running(ttft=2, tps=4) as server:
        ask(server, "POST", "/v1/chat/completions?ttft=1&tps=100", chat_body(stream=False), JSON)
        chat(server, stream=False)
        assert dues == [(3, 1.02), (3, 2.5)]
        ask(server, "POST", "/v1/chat/completions?jitter=0.5", chat_body(stream=False), JSON)
        assert 0 < abs(dues[-1][1] - 2.5) <= 0.0625


def test_duration_is_noted() -> None:
    with running(ttft=0.05) as server:
        chat(server)
        assert server.journal[-1]["duration_s"] >= 0.05


def test_heartbeat_in_the_query(server: Server) -> None:
    path = "/v1/chat/completions?heartbeat=0.3"
    answer = ask(server, "POST", path, chat_body(model="toy-slow", max_tokens=1), JSON)
    assert answer.body.startswith(b": heartbeat\n\n")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("fault=none", "fault"),
        ("fault=", "fault"),
        ("fault", "fault"),
        ("tps=", "tps"),
        ("at=-1", "at"),
        ("at=1.5", "at"),
        ("split=x", "split"),
        ("tps=-1", "tps"),
        ("tps=1e3", "tps"),
        ("tps=nan", "tps"),
        ("ttft=10000000", "ttft"),
        ("jitter=1.1", "jitter"),
        ("heartbeat=\u0661", "heartbeat"),
        ("heartbeat=0.001", "heartbeat"),
    ],
)
def test_wrong_delivery_is_refused_by_name(server: Server, query: str, param: str) -> None:
    path = "/v1/chat/completions?" + query.replace("\u0661", "%D9%A1")
    answer = ask(server, "POST", path, chat_body(), JSON)
    assert (answer.status, answer.json()["error"]["param"]) == (400, param)


def test_fault_comes_after_five_tokens_unless_told_otherwise(server: Server) -> None:
    answer = ask(server, "POST", "/fault=error/v1/chat/completions", chat_body("a b c d e f g h"), JSON)
    assert answer.body.count(b'"content":" ') + answer.body.count(b'"content":"a') == 5


def test_parts_of_an_event_are_due_two_milliseconds_apart(server: Server, dues: list[tuple[int, float]]) -> None:
    ask(server, "POST", "/split=100&ttft=1/v1/chat/completions", chat_body("a"), JSON)
    times = [due for _, due in dues]
    assert times == sorted(times) and times[:3] == [1.0, 1.002, 1.004]
