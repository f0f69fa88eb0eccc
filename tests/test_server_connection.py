"""Connections: heads, keep-alive, methods, CORS, models."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from raw import JSON, Wire, ask, chat, chat_body, chat_request, request

from sse_ref.model import MODELS
from sse_ref.pieces import Prompt, Text
from sse_ref.server import Server, connection, running
from sse_ref.server.connection import Connection
from sse_ref.server.responses import Responder


def test_stream_head(server: Server) -> None:
    answer = chat(server)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "no-cache" in answer.headers["cache-control"]
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-request-id"]
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "connection" not in answer.headers
    assert "content-length" not in answer.headers
    assert "content-encoding" not in answer.headers
    assert answer.headers["server"] == "sse_ref"


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/event-stream", "image/png", None])
def test_stream_comes_whatever_accept_says(server: Server, accept: str | None) -> None:
    headers = {**JSON, **({"Accept": accept} if accept else {})}
    answer = ask(server, "POST", "/v1/chat/completions", chat_body(), headers)
    assert answer.text() == "one two three"


@pytest.mark.parametrize("fields", [{}, {"stream": False}, {"stream": None}])
def test_without_stream_true_one_json_object_comes(server: Server, fields: dict[str, Any]) -> None:
    body = json.loads(chat_body())
    del body["stream"]
    answer = ask(server, "POST", "/v1/chat/completions", json.dumps({**body, **fields}).encode(), JSON)
    assert answer.status == 200
    whole = answer.json()
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "one two three", "refusal": None}
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"]["total_tokens"] == whole["usage"]["prompt_tokens"] + 3
    assert b"[DONE]" not in answer.body


def test_each_event_is_one_chunk(server: Server) -> None:
    answer = chat(server)
    assert all(chunk.startswith(b"data: ") and chunk.count(b"\n\n") == 1 for chunk in answer.chunks)
    assert len(answer.chunks) == 6


@pytest.mark.parametrize("header", [{}, {"Connection": "keep-alive"}])
def test_http_1_0_stream_is_ended_by_closing(server: Server, header: dict[str, str]) -> None:
    answer = ask(server, "POST", "/v1/chat/completions", chat_body(), {**JSON, **header}, version="1.0")
    assert not answer.ended and "transfer-encoding" not in answer.headers
    assert answer.text() == "one two three"


def test_http_1_0_keep_alive_holds_for_whole_answers(server: Server) -> None:
    with Wire(server) as wire:
        for _ in range(2):
            wire.send(request("GET", "/v1/models", headers={"Connection": "keep-alive"}, version="1.0"))
            assert wire.answer().headers["connection"] == "keep-alive"


def test_connection_serves_many_requests(server: Server) -> None:
    with Wire(server) as wire:
        for number in range(5):
            wire.send(chat_request(f"number {number}"))
            assert wire.answer().text() == f"number {number}"
            wire.send(chat_request(stream=False))
            assert wire.answer().json()["object"] == "chat.completion"
            wire.send(request("GET", "/v1/models"))
            assert wire.answer().status == 200
            wire.send(chat_request(model="no-such-model"))
            assert wire.answer().status == 404


def test_connection_close_in_the_request_is_obeyed_without_saying_so_on_the_stream(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(chat_request(headers={"Connection": "close"}))
        answer = wire.answer()
        assert answer.ended and "connection" not in answer.headers
        assert wire.closed()


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(b"".join(chat_request(f"number {number}") for number in range(8)))
        assert [wire.answer().text() for _ in range(8)] == [f"number {number}" for number in range(8)]


def test_request_sent_while_a_stream_runs_waits_for_its_turn() -> None:
    with running(tps=100) as server, Wire(server) as wire:
        wire.send(chat_request("a b c d e f"))
        wire.until(b'"content":" b"')
        wire.send(chat_request("second"))
        rest = wire.until(b"0\r\n\r\n")
        assert b"second" not in rest
        assert wire.answer().text() == "second"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_get_and_head_on_the_endpoint_are_405(server: Server, method: str) -> None:
    answer = ask(server, method, "/v1/chat/completions")
    assert answer.status == 405 and answer.headers["allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/toy", "/", "/journal"])
def test_head_is_get_without_body(server: Server, path: str) -> None:
    with Wire(server) as wire:
        wire.send(request("HEAD", path) + request("GET", "/v1/models/toy"))
        assert wire.answer(bodiless=True).status == 200
        assert wire.answer().json()["id"] == "toy"


def test_preflight_allows_what_a_browser_needs(server: Server) -> None:
    asked = {"Origin": "http://elsewhere.example", "Access-Control-Request-Headers": "authorization,x-evil"}
    for path in ("/v1/chat/completions", "/v1/models", "/events", "*"):
        answer = ask(server, "OPTIONS", path, headers=asked)
        assert answer.status == 204
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "POST" in answer.headers["access-control-allow-methods"]
        allowed = answer.headers["access-control-allow-headers"].lower()
        assert "authorization" in allowed and "*" in allowed and "evil" not in allowed


def test_models_are_listed(server: Server) -> None:
    listed = ask(server, "GET", "/v1/models").json()
    assert listed["object"] == "list"
    assert [entry["id"] for entry in listed["data"]] == list(MODELS)
    assert all(
        entry["object"] == "model" and isinstance(entry["created"], int) and entry["owned_by"]
        for entry in listed["data"]
    )
    assert listed["data"][1].items() <= ask(server, "GET", "/v1/models/toy-echo").json().items()
    assert [entry["name"] for entry in listed["models"]] == [f"models/{name}" for name in MODELS]
    missing = ask(server, "GET", "/v1/models/none")
    assert missing.status == 404 and missing.json()["error"]["code"] == "model_not_found"


def test_two_slashes_at_the_beginning_of_a_path_are_one(server: Server) -> None:
    assert ask(server, "POST", "//v1/chat/completions", chat_body(), JSON).text() == "one two three"
    assert ask(server, "GET", "//v1/models").json()["object"] == "list"
    assert ask(server, "GET", "//v1/chat/completions").status == 405


def test_query_with_many_fields_is_no_matter_where_nothing_reads_it() -> None:
    with running(api_key="secret") as server:
        many = "&".join("a=1" for _ in range(30))
        key = {"Authorization": "Bearer secret"}
        assert ask(server, "GET", f"/v1/models?{many}", headers=key).status == 200
        assert ask(server, "GET", f"/v1/models?{many}").status == 401
        assert ask(server, "POST", f"/v1/chat/completions?{many}", chat_body(), {**JSON, **key}).status == 400


@pytest.mark.parametrize(("every", "looks"), [(3600.0, 0), (-1.0, 100)])
def test_client_of_a_whole_answer_is_looked_for_by_the_clock(
    every: float, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the piece: a thread that often calls the system is never made to let others run."""
    monkeypatch.setattr(connection, "LOOK_EVERY", every)
    asked: list[None] = []
    waiting = SimpleNamespace(incoming=SimpleNamespace(ended=lambda: asked.append(None)))
    pieces = [Text("x")] * 100
    assert list(Connection.while_it_is_wanted(waiting, Prompt("toy", ()), pieces)) == pieces  # type: ignore[arg-type]
    assert len(asked) == looks


def test_date_is_that_of_the_second() -> None:
    assert [Responder.date_time_string(None, at) for at in (0.9, 0, 86400)] == [  # type: ignore[arg-type]
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 02 Jan 1970 00:00:00 GMT",
    ]
