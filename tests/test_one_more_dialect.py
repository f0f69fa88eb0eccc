"""A dialect is one file and one line of the registry: a wire of another form is served and read, without a change anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from raw import JSON, Answer, Wire, ask, request, wait_for
from toy_dialect import ToyDialect

from sse_ref.client import ApiError, ChatStream, HTTPStatusError
from sse_ref.codec import SSEDecoder
from sse_ref.dialects import DIALECTS, dialects_at
from sse_ref.pieces import End, Text
from sse_ref.server import Server, running

SPEAK = "/toy/toy-echo/speak"
BODY = json.dumps({"say": [{"text": "one two three"}]}).encode()


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DIALECTS, "toy", ToyDialect())


@pytest.fixture
def server() -> Iterator[Server]:
    with running(max_body=1000, request_timeout=0.3) as server:
        yield server


def sorry(answer: Answer, status: int, kind: str) -> None:
    assert answer.status == status and answer.json()["kind"] == kind


def test_it_is_found_by_its_path_alone() -> None:
    assert dialects_at(SPEAK) == [DIALECTS["toy"]] and dialects_at("/toys") == []


def test_it_is_streamed(server: Server) -> None:
    answer = ask(server, "POST", SPEAK, BODY, JSON)
    events = SSEDecoder().feed(answer.body)
    assert [(event.event, event.data) for event in events] == [
        ("word", '"one"'),
        ("word", '" two"'),
        ("word", '" three"'),
        ("over", '"stop"'),
    ]
    assert server.journal[-1]["outcome"] == "complete" and server.journal[-1]["model"] == "toy-echo"


def test_it_is_answered_whole(server: Server) -> None:
    body = json.dumps({"say": [{"text": "one two"}], "whole": True}).encode()
    assert ask(server, "POST", SPEAK, body, JSON).json() == {"words": "one two"}


def test_chat_stream_reads_it(server: Server) -> None:
    stream = ChatStream("one two", url=server.url, model="toy-echo", dialect="toy")
    assert list(stream) == [Text("one"), Text(" two"), End("stop")]
    assert stream.outcome == "complete" and stream.url == f"{server.url}/toy/toy-echo/speak?key=secret"


def test_errors_are_in_its_words_before_the_stream(server: Server) -> None:
    sorry(ask(server, "POST", SPEAK, b'{"say": 1}', JSON), 400, "bad_request")
    sorry(ask(server, "POST", "/toy/nobody/speak", BODY, JSON), 404, "no_model")
    sorry(ask(server, "POST", f"/fault=refuse{SPEAK}", BODY, JSON), 429, "too_many")
    sorry(ask(server, "POST", f"{SPEAK}?colour=blue", BODY, JSON), 400, "bad_request")
    with pytest.raises(HTTPStatusError, match="404: the model 'nobody' does not exist"):
        list(ChatStream("hi", url=server.url, model="nobody", dialect="toy"))


def test_errors_before_the_body_is_read_are_in_its_words(server: Server) -> None:
    sorry(ask(server, "GET", SPEAK), 405, "wrong_method")
    sorry(ask(server, "PATCH", SPEAK), 405, "wrong_method")
    sorry(ask(server, "POST", SPEAK, b"x" * 1001, JSON), 413, "too_large")
    sorry(ask(server, "POST", SPEAK, headers={"Transfer-Encoding": "gzip"}), 501, "not_implemented")
    sorry(ask(server, "POST", SPEAK, headers={"X": "x" * 70_000}), 431, "long_head")
    for unfinished in (
        b"POST %b HTTP/1.1\r\nHost: localhost\r\n",
        b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    ):
        with Wire(server) as wire:
            wire.send(unfinished % SPEAK.encode())
            sorry(wire.answer(), 408, "timed_out")


def test_other_paths_have_the_words_of_the_default(server: Server) -> None:
    assert ask(server, "GET", "/toys").json()["error"]["type"] == "invalid_request_error"


def test_its_key_is_looked_for_where_it_stands() -> None:
    with running(api_key="secret") as server:
        sorry(ask(server, "POST", SPEAK, BODY, JSON), 401, "no_key")
        sorry(ask(server, "POST", f"{SPEAK}?key=other", BODY, JSON), 401, "wrong_key")
        assert ask(server, "POST", f"{SPEAK}?key=secret", BODY, JSON).status == 200
        assert ChatStream("hi", url=server.url, dialect="toy", model="toy-echo").attempts == 0


def test_its_models_are_listed_in_its_form(server: Server) -> None:
    assert "toy-slow" in ask(server, "GET", "/toy/").json()["speakers"]
    assert ask(server, "GET", "/toy/toy-echo").json() == {"speaker": "toy-echo"}
    sorry(ask(server, "GET", "/toy/nobody"), 404, "no_model")


def test_its_heartbeat_fills_a_silence() -> None:
    with running(ttft=60, heartbeat=0.05) as server, Wire(server) as wire:
        wire.send(request("POST", SPEAK, BODY, JSON))
        wire.until(b"event: wait\ndata: 0\n\n")


def test_error_inside_the_stream_is_its_own_event(server: Server) -> None:
    stream = ChatStream("one two three", url=f"{server.url}/fault=error&at=2", model="toy-echo", dialect="toy")
    with pytest.raises(ApiError, match="the model failed"):
        list(stream)
    assert stream.text == "one two"
    answer = ask(server, "POST", f"/fault=error&at=2{SPEAK}", BODY, JSON)
    assert SSEDecoder().feed(answer.body)[-1].event == "sorry" and server.journal[-1]["outcome"] == "failed"


def test_farewell_of_a_server_that_stops_is_its_own_event() -> None:
    body = json.dumps({"say": [{"text": "word " * 1000}]}).encode()
    with running(tps=20) as server, Wire(server) as wire:
        wire.send(request("POST", SPEAK, body, JSON))
        wire.until(b'"word"')
        wire.until(b'" word"')  # which the loop sends
        server.shutdown()
        wire.until(b'event: sorry\ndata: {"sorry":"the server is stopping","kind":"stopping"}\n\n')


def test_it_is_cancelled() -> None:
    with running(tps=20) as server:
        with ChatStream("one two three four five six", url=server.url, model="toy-echo", dialect="toy") as stream:
            next(iter(stream))
        assert stream.outcome == "cancelled"
        assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")
