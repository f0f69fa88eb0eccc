"""The server on a raw socket: bytes, not what a client library makes of them."""

from __future__ import annotations

import _thread
import contextlib
import itertools
import json
import math
import os
import random
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from raw import JSON, PATIENCE, Wire, ask, chat, chat_body, chat_request, request, wait_for

import sse_ref.server
from sse_ref import model, pieces
from sse_ref.pacing import Frame, Stream
from sse_ref.server import FAULTS, PAGE, Server, Settings, running, split_target

STORY = [{"role": "user", "content": "Tell me a story"}]
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": WEATHER}} for name in ("get_weather", "get_time")
]

MANY_TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"properties": {f"p{i}": {} for i in range(500)}}}}
    for name in ("a", "b")
]


def alive(server: Server) -> bool:
    return chat(server).text() == "one two three"


# ---- HTTP ------------------------------------------------------------------------------------------------------------


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


def test_events_come_one_by_one_and_none_before_its_time() -> None:
    with running(ttft=0.1, tps=50) as server, Wire(server) as wire:
        sent = time.monotonic()
        wire.send(chat_request("a b c d e f g h"))
        wire.until(b"\r\n\r\n")
        for number, word in enumerate("abcdefgh"):
            wire.until(f'{word}"}}'.encode())
            # Less one tick of the clock. How late they may be, virtual time tells (test_pacing.py).
            assert time.monotonic() - sent >= 0.1 + number / 50 - 0.005
            assert b'"content"' not in wire.buffer or time.monotonic() - sent >= 0.1 + (number + 1) / 50 - 0.005


def test_head_does_not_wait_for_the_first_token() -> None:
    with running(ttft=3600) as server, Wire(server) as wire:
        wire.send(chat_request())
        assert wire.head()[0] == 200


@pytest.fixture
def dues(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """The tokens and the due time of each frame that the server makes; none is waited for."""
    noted: list[tuple[int, float]] = []

    class Noted(Stream):
        def __init__(self, frames: Iterator[Frame], **options: Any) -> None:
            made = list(frames)
            noted.extend((frame.tokens, round(frame.due, 6)) for frame in made)
            super().__init__((frame._replace(due=0) for frame in made), **options)

    monkeypatch.setattr("sse_ref.server.Stream", Noted)
    return noted


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


def test_no_unsolicited_100_continue_but_a_solicited_one(server: Server) -> None:
    assert chat(server).head.startswith(b"HTTP/1.1 200 ")
    with Wire(server) as wire:
        body = chat_body()
        wire.send(
            request(
                "POST",
                "/v1/chat/completions",
                headers={**JSON, "Content-Length": str(len(body)), "Expect": "100-continue"},
            )
        )
        assert wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(body)
        assert wire.answer().text() == "one two three"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/models", "/events", "/journal", "/"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "BREW"])
def test_wrong_method_is_405_with_those_that_are_allowed(server: Server, path: str, method: str) -> None:
    answer = ask(server, method, path)
    assert answer.status == 405 and "OPTIONS" in answer.headers["allow"] and len(answer.body) < 500


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


def in_chunks(body: bytes, size: int) -> bytes:
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%X;x=y\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_body_sent_in_chunks_is_read(server: Server, size: int) -> None:
    chunked = in_chunks(chat_body(), size)
    with Wire(server) as wire:
        for _ in range(2):
            wire.send(request("POST", "/v1/chat/completions", chunked, {**JSON, "Transfer-Encoding": "chunked"}))
            assert wire.answer().text() == "one two three"


def test_preflight_allows_what_a_browser_needs(server: Server) -> None:
    asked = {"Origin": "http://elsewhere.example", "Access-Control-Request-Headers": "authorization,x-evil"}
    for path in ("/v1/chat/completions", "/v1/models", "/events", "*"):
        answer = ask(server, "OPTIONS", path, headers=asked)
        assert answer.status == 204
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "POST" in answer.headers["access-control-allow-methods"]
        allowed = answer.headers["access-control-allow-headers"].lower()
        assert "authorization" in allowed and "*" in allowed and "evil" not in allowed


@pytest.mark.parametrize("target", ["/journal", "/journal?x", "http://localhost/journal", "/tps=5/journal"])
def test_journal_is_not_for_other_origins(server: Server, target: str) -> None:
    answer = ask(server, "GET", target)
    assert answer.status == 200 and "access-control-allow-origin" not in answer.headers


def test_journal_is_json_whatever_was_asked(server: Server) -> None:
    for body in (b'{"model":NaN,"x":1e999}', b'{"x":"\\ud800"}', b"[" * 700 + b"]" * 700, b"\xff"):
        ask(server, "POST", "/v1/chat/completions", body, JSON)
    answer = ask(server, "GET", "/journal")
    json.loads(answer.body, parse_constant=lambda name: 1 / 0)
    assert len(answer.body) < 100_000


def test_path_in_the_log_is_one_of_ours(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        ask(server, "POST", "http://EVIL.localhost/tps=1000/v1/chat/completions?at=7", chat_body(), JSON)
        assert server.journal[-1]["path"] == "/v1/chat/completions"
    assert "POST /v1/chat/completions toy-echo" in caplog.text and "EVIL" not in caplog.text


@pytest.mark.parametrize("headers", [{"Connection": "close, x"}, {"Connection": "x,Close"}])
def test_close_among_other_options_is_obeyed(server: Server, headers: dict[str, str]) -> None:
    with Wire(server) as wire:
        wire.send(request("GET", "/v1/models", headers=headers))
        assert wire.answer().headers["connection"] == "close" and wire.closed()


def test_space_around_the_length_is_allowed(server: Server) -> None:
    body = chat_body()
    headers = {**JSON, "Content-Length": f"  {len(body)} \t"}
    assert ask(server, "POST", "/v1/chat/completions", body, headers).text() == "one two three"


def test_absolute_form_of_the_target_is_understood(server: Server) -> None:
    assert ask(server, "GET", "http://localhost:1/v1/models").status == 200


# ---- Framing and chunks of the stream ----------------------------------------------------------------------------------

AWKWARD = (
    '\u2028\u2029\x85 \0 "quote" \\ back\\n \n\r\n\r tab\t \x1b caf\u00e9 e\u0301 '
    "\u8c46\u8150 \U0001f98a \U0001f469\u200d\U0001f4bb \ufeff \ufffd"
)


def test_whatever_goes_in_comes_out(server: Server) -> None:
    answer = chat(server, AWKWARD)
    answer.body.decode("utf-8", "strict")
    assert not answer.body.startswith(b"\xef\xbb\xbf")
    assert answer.text() == AWKWARD
    assert answer.body.decode().splitlines() == answer.body.decode().split("\n")[:-1]  # naive line readers survive
    assert chat(server, AWKWARD, stream=False).json()["choices"][0]["message"]["content"] == AWKWARD


def test_random_text_comes_back(server: Server) -> None:
    chance = random.Random(7)
    for _ in range(40):
        text = "".join(
            chr(chance.choice([chance.randrange(128), chance.randrange(0xD800), chance.randrange(0xE000, 0x110000)]))
            for _ in range(30)
        )
        assert chat(server, text).text() == text


def test_only_data_lines_and_one_done_at_the_end(server: Server) -> None:
    answer = chat(server, "a long enough answer to have some chunks")
    assert all(block.startswith(b"data: {") for block in answer.blocks()[:-1])
    assert answer.blocks()[-1] == b"data: [DONE]"
    assert answer.body.count(b"[DONE]") == 1


def test_chunks_have_what_every_sdk_needs(server: Server) -> None:
    chunks = chat(server, model="toy").parsed()
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1 and chunks[0]["id"].startswith("chatcmpl-")
    assert len({chunk["created"] for chunk in chunks}) == 1 and abs(chunks[0]["created"] - time.time()) < 60
    assert {chunk["model"] for chunk in chunks} == {"toy"}
    assert all(isinstance(chunk["system_fingerprint"], str) for chunk in chunks)
    assert not any("error" in chunk or "obfuscation" in chunk or "usage" in chunk for chunk in chunks)
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert len(choices) == len(chunks)  # never an empty choices array unasked
    assert all(choice["index"] == 0 and isinstance(choice["delta"], dict) for choice in choices)
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert all("role" not in choice["delta"] for choice in choices[1:])
    assert all(isinstance(choice["delta"]["content"], str) for choice in choices[:-1])
    assert all(choice["logprobs"] is None for choice in choices)
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["stop"]
    assert choices[-1]["delta"] == {}
    assert len(choices) > 50


def test_ids_differ_from_stream_to_stream(server: Server) -> None:
    assert len({chat(server).parsed()[0]["id"] for _ in range(20)}) == 20


def test_stream_and_whole_answer_say_the_same(server: Server) -> None:
    for fields in ({"temperature": 0}, {"seed": 5}, {}):
        options: dict[str, Any] = {"model": "toy", "messages": STORY, **fields}
        whole = chat(server, stream=False, **options).json()["choices"][0]["message"]["content"]
        assert chat(server, **options).text() == whole == chat(server, **options).text()


def test_seed_and_temperature_have_their_effect(server: Server) -> None:
    def story(**fields: Any) -> str:
        return chat(server, model="toy", messages=STORY, **fields).text()

    assert len({story(seed=seed) for seed in range(6)}) > 3
    assert len({story(seed=seed, temperature=0) for seed in range(6)}) == 1


def test_choices_are_interleaved_each_with_role_and_finish(server: Server) -> None:
    answer = chat(server, model="toy", messages=STORY, n=3, max_tokens=20)
    chunks = answer.parsed()
    for index in range(3):
        own = [c for chunk in chunks for c in chunk["choices"] if c["index"] == index]
        assert own[0]["delta"]["role"] == "assistant"
        assert [c["finish_reason"] for c in own if c["finish_reason"]] == ["length"]
    order = [chunk["choices"][0]["index"] for chunk in chunks]
    assert order != sorted(order)
    whole = chat(server, model="toy", messages=STORY, n=3, max_tokens=20, stream=False).json()
    assert [c["message"]["content"] for c in whole["choices"]] == [answer.text(index) for index in range(3)]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_max_tokens_ends_with_length(server: Server, name: str) -> None:
    answer = chat(server, **{name: 1, "stream_options": {"include_usage": True}})
    assert answer.text() == "one" and answer.finish() == [(0, "length")]
    assert answer.parsed()[-1]["usage"]["completion_tokens"] == 1


def test_max_tokens_in_the_middle_of_a_character_leaves_no_half_of_it(server: Server) -> None:
    answer = chat(server, "a\U0001f98a", max_tokens=3)
    assert answer.text() == "a" and answer.finish() == [(0, "length")]


@pytest.mark.parametrize(
    ("stop", "text", "said"),
    [
        ("ta ga", "alpha beta gamma", "alpha be"),
        (["ta ga"], "alpha beta gamma", "alpha be"),
        (["zzz", "gamma", "beta"], "alpha beta gamma", "alpha "),
        ("alpha", "alpha beta", ""),
        (" gamma delta", "alpha beta gamma", "alpha beta gamma"),
        ("beta gammb", "alpha beta gamma", "alpha beta gamma"),
        ("\n\n", "alpha\n\nbeta", "alpha"),
        ("\U0001f98a!", "a\U0001f98a?\U0001f98a!b", "a\U0001f98a?"),
        ("aab", "aaab", "a"),
        (None, "alpha", "alpha"),
        ([], "alpha", "alpha"),
        ("", "alpha", "alpha"),
    ],
)
def test_stop_strings_cut_exactly_and_never_leak(server: Server, stop: Any, text: str, said: str) -> None:
    answer = chat(server, text, stop=stop)
    assert answer.text() == said and answer.finish() == [(0, "stop")]


def test_stop_text_held_back_is_given_when_the_limit_comes(server: Server) -> None:
    assert chat(server, "alpha beta gamma", stop="beta gamma delta", max_tokens=2).text() == "alpha beta"


def test_logprobs_are_finite_and_spell_the_text(server: Server) -> None:
    answer = chat(server, model="toy", messages=STORY, logprobs=True, top_logprobs=2)
    tokens = []
    for chunk in answer.parsed():
        for choice in chunk["choices"]:
            if choice["delta"].get("content"):
                tokens += choice["logprobs"]["content"]
            else:
                assert choice["logprobs"] is None
    assert b"".join(bytes(token["bytes"]) for token in tokens).decode() == answer.text()
    assert all(-100 <= token["logprob"] <= 0 for token in tokens)
    assert all(1 <= len(token["top_logprobs"]) <= 2 for token in tokens)
    assert any(len(token["top_logprobs"]) == 2 for token in tokens)
    assert b"\xef\xbf\xbd" not in answer.body
    plain = chat(server, model="toy", messages=STORY, logprobs=True).parsed()
    assert any(choice["logprobs"] for chunk in plain for choice in chunk["choices"])
    assert all(
        "top_logprobs" in t for k in plain for c in k["choices"] if c["logprobs"] for t in c["logprobs"]["content"]
    )


def test_unknown_fields_are_ignored(server: Server) -> None:
    extras = {"user": "u", "metadata": {}, "store": False, "x_provider": {"a": [1]}, "reasoning_effort": "low"}
    assert chat(server, **extras, logit_bias={}, modalities=["text"]).text() == "one two three"


def test_content_may_be_parts_or_null(server: Server) -> None:
    parts = [
        {"type": "text", "text": "one "},
        {"type": "image_url", "image_url": {"url": "x"}},
        {"type": "text", "text": "two"},
    ]
    assert chat(server, parts).text() == "one two"
    assert chat(server, messages=[{"role": "assistant", "content": None}]).text() == ""


# ---- Usage -------------------------------------------------------------------------------------------------------------


def test_usage_is_one_chunk_without_choices_before_done(server: Server) -> None:
    chunks = chat(server, stream_options={"include_usage": True}).parsed()
    *others, last = chunks
    assert last["choices"] == []
    usage = last["usage"]
    assert usage["completion_tokens"] == 3 and usage["total_tokens"] == usage["prompt_tokens"] + 3
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in others)
    whole = chat(server, stream=False).json()["usage"]
    assert whole == usage


def test_usage_comes_with_tools_too(server: Server) -> None:
    chunks = chat(server, tools=TOOLS, tool_choice="required", stream_options={"include_usage": True}).parsed()
    assert chunks[-1]["usage"]["completion_tokens"] > 5


# ---- Tools -------------------------------------------------------------------------------------------------------------


def test_parallel_tool_calls_stream_as_fragments(server: Server) -> None:
    answer = chat(server, "use get_time and get_weather please", model="toy", tools=TOOLS)
    deltas = [choice["delta"] for chunk in answer.parsed() for choice in chunk["choices"]]
    assert deltas[0] == {"role": "assistant", "content": None}
    fragments = [call for delta in deltas for call in delta.get("tool_calls", [])]
    order = [call["index"] for call in fragments]
    assert order == sorted(order) and set(order) == {0, 1}
    for index, name in enumerate(["get_time", "get_weather"]):
        first, *later = [call for call in fragments if call["index"] == index]
        assert first["id"] and first["type"] == "function"
        assert first["function"] == {"name": name, "arguments": ""}
        assert all(set(call) == {"index", "function"} and set(call["function"]) == {"arguments"} for call in later)
        assert len(later) > 3
        arguments = json.loads("".join(call["function"]["arguments"] for call in later))
        assert isinstance(arguments["city"], str) and arguments["days"] >= 1
    assert len({call["id"] for call in fragments if "id" in call}) == 2
    assert answer.finish() == [(0, "tool_calls")]
    whole = chat(server, "use get_time and get_weather please", model="toy", tools=TOOLS, stream=False).json()
    assert [call["function"]["name"] for call in whole["choices"][0]["message"]["tool_calls"]] == [
        "get_time",
        "get_weather",
    ]
    assert whole["choices"][0]["message"]["content"] is None


def called(server: Server, content: str = "hello", **fields: Any) -> list[str]:
    message = chat(server, content, tools=TOOLS, stream=False, **fields).json()["choices"][0]["message"]
    return [call["function"]["name"] for call in message.get("tool_calls", [])]


def test_which_tools_are_called(server: Server) -> None:
    named = {"type": "function", "function": {"name": "get_time"}}
    assert called(server) == []
    assert called(server, "do get_time now") == ["get_time"]
    assert called(server, "do get_timely things") == []
    assert called(server, tool_choice="required") == ["get_weather"]
    assert called(server, tool_choice=named) == ["get_time"]
    assert called(server, "get_time and get_weather", parallel_tool_calls=False) == ["get_time"]
    assert called(server, "do get_time", tool_choice="none") == []
    assert called(server, "do get_time", n=2) == ["get_time"]


def test_tool_results_are_answered_with_text(server: Server) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "do get_time"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "noon"},
    ]
    answer = chat(server, messages=messages, tools=TOOLS)
    assert answer.text() == "do get_time" and answer.finish() == [(0, "stop")]


def test_max_tokens_cuts_arguments_with_length(server: Server) -> None:
    answer = chat(server, tools=TOOLS, tool_choice="required", max_tokens=2)
    assert answer.finish() == [(0, "length")]


def test_json_is_written_when_asked_for(server: Server) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": WEATHER}}
    assert json.loads(chat(server, model="toy", response_format=form).text())["days"] >= 1
    assert isinstance(json.loads(chat(server, model="toy", response_format={"type": "json_object"}).text()), dict)
    assert "fox" not in json.dumps(chat(server, response_format={"type": "text"}).text())


# ---- Errors ------------------------------------------------------------------------------------------------------------

BAD_BODIES: list[tuple[Any, int, str | None]] = [
    (b"{", 400, None),
    (b"", 400, None),
    (b"[]", 400, None),
    (b"null", 400, None),
    (b"\xff\xfe", 400, None),
    (b'{"model": NaN}', 400, None),
    (b"[" * 100_000, 400, None),
    (b'{"a": ' + b"1" * 5000 + b"}", 400, "model"),
    ({"model": None}, 400, "model"),
    ({"model": 7}, 400, "model"),
    ({"model": "no-such"}, 404, "model"),
    ({"messages": None}, 400, "messages"),
    ({"messages": []}, 400, "messages"),
    ({"messages": "hi"}, 400, "messages"),
    ({"messages": ["hi"]}, 400, "messages[0]"),
    ({"messages": [{}]}, 400, "messages[0].role"),
    ({"messages": [{"role": "king", "content": ""}]}, 400, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 5}]}, 400, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, 400, "messages[0].content[0].text"),
    ({"messages": [{"role": "user", "content": "\ud83d"}]}, 400, "messages"),
    ({"stream": "yes"}, 400, "stream"),
    ({"stream_options": 1}, 400, "stream_options"),
    ({"stream_options": {"include_usage": 1}}, 400, "stream_options.include_usage"),
    ({"max_tokens": 0}, 400, "max_tokens"),
    ({"max_tokens": "5"}, 400, "max_tokens"),
    ({"max_completion_tokens": 1.5}, 400, "max_completion_tokens"),
    ({"n": 0}, 400, "n"),
    ({"n": 1000}, 400, "n"),
    ({"n": True}, 400, "n"),
    ({"temperature": 3}, 400, "temperature"),
    ({"temperature": "hot"}, 400, "temperature"),
    ({"top_p": -1}, 400, "top_p"),
    ({"seed": 1.5}, 400, "seed"),
    ({"stop": 5}, 400, "stop"),
    ({"stop": ["a", 5]}, 400, "stop"),
    ({"stop": ["a"] * 5}, 400, "stop"),
    ({"top_logprobs": 2}, 400, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 30}, 400, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 1.5}, 400, "top_logprobs"),
    (
        {
            "model": "toy",
            "response_format": {"type": "json_schema", "json_schema": {"schema": {"pattern": "a" * 9999}}},
        },
        400,
        "#/pattern",
    ),
    ({"tools": {}}, 400, "tools"),
    ({"tools": [{"type": "function"}]}, 400, "tools[0].function"),
    ({"tools": [{"type": "function", "function": {}}]}, 400, "tools[0].function.name"),
    ({"tools": [{"type": "function", "function": {"name": "f" * 65}}]}, 400, "tools[0].function.name"),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": 5}}]},
        400,
        "tools[0].function.parameters",
    ),
    ({"tool_choice": "required"}, 400, "tool_choice"),
    ({"tool_choice": "always", "tools": TOOLS}, 400, "tool_choice"),
    ({"tool_choice": {"function": {"name": "g"}}, "tools": TOOLS}, 400, "tool_choice"),
    ({"response_format": {"type": "xml"}}, 400, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, 400, "response_format.json_schema"),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("body", "status", "param"), BAD_BODIES, ids=lambda value: str(value)[:40])
def test_bad_request_is_a_json_error_that_names_the_field(
    server: Server, body: Any, status: int, param: str | None, stream: bool
) -> None:
    raw = body if isinstance(body, bytes) else chat_body(**{"stream": stream, **body})
    answer = ask(server, "POST", "/v1/chat/completions", raw, JSON)
    assert answer.status == status
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and error["type"] == "invalid_request_error"
    assert error["param"] == param and len(error["message"]) < 500
    assert answer.headers["access-control-allow-origin"] == "*" and answer.headers["x-request-id"]
    if status == 404:
        assert error["code"] == "model_not_found"


def test_schema_that_nothing_fits_is_refused_before_the_stream(server: Server) -> None:
    for schema in (
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "string", "minLength": 10**9},
        {"$ref": "#"},
    ):
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        answer = chat(server, model="toy", response_format=form)
        assert answer.status == 400 and answer.json()["error"]["message"]


def test_key_is_asked_for_before_anything_else() -> None:
    with running(api_key="s3cret") as server:
        for headers, problem in (
            ({}, "no API key"),
            ({"Authorization": "Bearer wrong"}, "wrong"),
            ({"Authorization": "Basic s3cret"}, "no"),
        ):
            for stream in (True, False):
                answer = ask(server, "POST", "/v1/chat/completions", chat_body(stream=stream), {**JSON, **headers})
                assert answer.status == 401
                assert (
                    answer.json()["error"]["code"] == "invalid_api_key" and problem in answer.json()["error"]["message"]
                )
                assert "wrong" not in answer.body.decode().replace("the API key is wrong", "")
            assert ask(server, "GET", "/v1/models", headers=headers).status == 401
            assert ask(server, "GET", "/journal", headers=headers).status == 401
        good = {**JSON, "authorization": "bearer s3cret"}
        assert ask(server, "POST", "/v1/chat/completions", chat_body(), good).text() == "one two three"
        assert ask(server, "GET", "/v1/models", headers=good).status == 200
        assert "s3cret" not in json.dumps(server.journal)


def test_one_stream_too_many_is_429_with_retry_after() -> None:
    with running(tps=20, max_streams=2) as server, Wire(server) as first, Wire(server) as second:
        for wire in (first, second):
            wire.send(chat_request("a b c d" + " and so on" * 1000))
            wire.until(b'"a"')
        for _ in range(2):
            answer = chat(server)
            assert answer.status == 429 and int(answer.headers["retry-after"]) >= 1
            assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        assert ask(server, "GET", "/v1/models").status == 200
        first.socket.close()
        assert wait_for(lambda: chat(server, "x").status == 200)
        assert second.until(b'" d"')


def test_model_that_fails_ends_the_stream_with_one_error_event(server: Server) -> None:
    answer = chat(server, model="toy-flaky", messages=STORY)
    assert answer.status == 200 and answer.ended
    *chunks, error = [json.loads(data) for data in answer.data()]
    assert (
        set(error) == {"error"}
        and "broke down" in error["error"]["message"]
        and error["error"]["type"] == "server_error"
    )
    assert sum(bool(chunk["choices"][0]["delta"].get("content")) for chunk in chunks) > 10
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks)
    assert server.journal[-1]["outcome"] == "failed"
    whole = chat(server, model="toy-flaky", messages=STORY, stream=False)
    assert whole.status == 500 and "broke down" in whole.json()["error"]["message"]


def test_server_that_breaks_down_leaves_the_last_chunk_out(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(prompt: pieces.Prompt, choice: int) -> Any:
        yield from model._echo(prompt, choice)
        raise KeyError("a bug")

    monkeypatch.setitem(model.MODELS, "toy-echo", bug)
    with Wire(server) as wire:
        wire.send(chat_request())
        body = wire.rest()
    assert b" three" in body and not body.endswith(b"0\r\n\r\n") and b"[DONE]" not in body
    assert server.journal[-1]["outcome"] == "crashed"
    monkeypatch.undo()
    assert alive(server)
    assert "KeyError" in caplog.text


def test_bug_before_the_stream_is_500(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(prompt: pieces.Prompt, choice: int) -> Any:
        raise KeyError("a bug")

    monkeypatch.setitem(model.MODELS, "toy-echo", bug)
    answer = chat(server)
    assert answer.status == 500 and answer.json()["error"]["message"] == "the server broke down"
    assert server.journal[-1]["outcome"] == "crashed"
    assert "KeyError" in caplog.text


# ---- Requests that are wrong as HTTP -------------------------------------------------------------------------------------

GET = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
MALFORMED: dict[str, tuple[bytes, int]] = {
    "no words": (b"hello\r\n\r\n", 400),
    "binary": (bytes(range(128, 256)) + b"\r\n\r\n", 400),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n", 400),
    "four words": (b"GET / HTTP/1.1 x\r\n\r\n", 400),
    "version": (b"GET / HTTP/x.y\r\n\r\n", 400),
    "version 2": (b"GET / HTTP/2.0\r\n\r\n", 505),
    "long path": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
    "long header": (GET + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "many headers": (GET + b"".join(b"X-%d: y\r\n" % i for i in range(200)) + b"\r\n", 431),
    "header without colon": (GET + b"nonsense\r\n\r\n", 400),
    "no host": (b"GET /v1/models HTTP/1.1\r\n\r\n", 400),
    "two hosts": (GET + b"Host: y\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    "length and coding": (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "length with sign": (POST + b"Content-Length: +2\r\n\r\n{}", 400),
    "length in words": (POST + b"Content-Length: two\r\n\r\n{}", 400),
    "huge length": (POST + b"Content-Length: 999999999999999999999999\r\n\r\n", 413),
    "length of 5000 digits": (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
    "coding unknown": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "chunk size wrong": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "chunk size huge": (POST + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413),
    "chunk too long": (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n", 400),
    "wrong type": (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
        415,
    ),
    "no body": (POST + b"\r\n", 400),
    "unknown path": (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "dots": (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "encoded dots": (b"GET /%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "model path": (b"GET /v1/models/%0d%0aX:%20y HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "too many query fields": (b"GET /events?" + b"a=1&" * 50 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "CR in a header": (GET + b"X: a\rTransfer-Encoding: chunked\r\n\r\n", 400),
    "CR CR in a header": (GET + b"X: a\r\rContent-Length: 5\r\n\r\n", 400),
    "long trailer": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: " + b"a" * 1021 + b"\r\nGET / HTTP/1.1\r\n\r\n",
        400,
    ),
    "long chunk extension": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"e" * 1100 + b"\r\n{}\r\n0\r\n\r\n",
        400,
    ),
    "NUL in a header": (GET + b"X: a\0b\r\n\r\n", 400),
    "control in a header": (GET + b"X: a\x1bb\r\n\r\n", 400),
    "folded header": (GET + b"X: a\r\n b\r\n\r\n", 400),
    "folded with a tab": (GET + b"X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n", 400),
    "folded at first": (b"GET /v1/models HTTP/1.1\r\n Host: localhost\r\n\r\n", 400),
    "space before the colon": (GET + b"Content-Length : 5\r\n\r\n", 400),
    "no name": (GET + b": 5\r\n\r\n", 400),
    "VT in the request line": (b"GET\x0b/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "no-break space in the request line": (b"GET\xa0/v1/models\xa0HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "two spaces in the request line": (b"GET  /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /v1/models HTTP/0.9\r\nHost: localhost\r\n\r\n", 505),
    "no version": (b"GET /v1/models\r\n\r\n", 400),
    "coding behind VT": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "coding behind a no-break space": (POST + b"Transfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n", 501),
    "coding before NEL": (POST + b"Transfer-Encoding: chunked\x85\r\n\r\n0\r\n\r\n", 501),
    "length behind VT": (POST + b"Content-Length: \x0b2\r\n\r\n{}", 400),
    "length before NEL": (POST + b"Content-Length: 2\x85\r\n\r\n{}", 400),
    "length before a no-break space": (POST + b"Content-Length: 2\xa0\r\n\r\n{}", 400),
    "chunk size before VT": (POST + b"Transfer-Encoding: chunked\r\n\r\n2\x0b\r\n{}\r\n0\r\n\r\n", 400),
    "chunk size before NEL": (POST + b"Transfer-Encoding: chunked\r\n\r\n2\x85\r\n{}\r\n0\r\n\r\n", 400),
    "another host": (b"GET /journal HTTP/1.1\r\nHost: rebound.example\r\n\r\n", 421),
    "bad number in query": (b"GET /events?max_tokens=x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_request_gets_its_status_and_is_not_quoted(server: Server, name: str) -> None:
    sent, status = MALFORMED[name]
    with Wire(server) as wire:
        wire.send(sent)
        answer = wire.answer()
        if status not in (404, 415) and "in query" not in name and "query fields" not in name and name != "no body":
            wire.send(b"X: y\r\n\r\nGET /journal HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answer.headers["connection"] == "close" and wire.closed()  # what follows is no request
    assert answer.status == status
    error = answer.json()["error"]
    assert error["message"] and "aaaa" not in error["message"] and "\\x" not in error["message"]
    assert b"passwd" not in answer.head + answer.body and b"nonsense" not in answer.body
    assert alive(server)


@pytest.mark.parametrize(
    "refused", [b"X: a\rb\r\n", b" folded\r\n", b"X: \0\r\n", b"X : y\r\n", b"X: " + b"y" * 70_000 + b"\r\n"]
)
def test_rest_of_a_refused_head_is_no_request(server: Server, refused: bytes) -> None:
    with Wire(server) as wire:
        wire.send(GET + refused + b"GET /journal HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.answer().status in (400, 431) and wire.closed()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "app.localhost", "127.0.0.1", "127.1.2.3:80", "[::1]:8000", "[::1]"]
)
def test_this_machine_is_served_under_each_of_its_names(server: Server, host: str) -> None:
    assert ask(server, "GET", "/v1/models", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com",
        "127.0.0.1.example.com",
        "10.0.0.1",
        "localhost.example",
        "[::2]:80",
        "x@localhost",
        "x/.localhost",
    ],
)
def test_other_hosts_are_misdirected_on_loopback(server: Server, host: str) -> None:
    for target in ("/journal", "/v1/models", "/", "/fault=cut/v1/models"):
        assert ask(server, "GET", target, headers={"Host": host}).status == 421
    answer = ask(server, "GET", f"http://{host or 'example.com'}/journal", headers={"Host": "localhost"})
    assert answer.status == 421 and answer.json()["error"]["type"] == "invalid_request_error"


def test_host_can_be_let_in() -> None:
    with running(allow_hosts=("App.example",)) as server:
        assert ask(server, "GET", "/v1/models", headers={"Host": "app.example:80"}).status == 200
        assert ask(server, "GET", "/v1/models", headers={"Host": "other.example"}).status == 421


def test_key_is_looked_at_before_the_body() -> None:
    with running(api_key="k") as server, Wire(server) as wire:
        wire.send(POST + b"Content-Length: 100\r\n\r\n{")
        answer = wire.answer()
        assert answer.status == 401 and answer.headers["connection"] == "close" and wire.closed()


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_slow_heads_cost_no_threads(server: Server) -> None:
    before = len(os.listdir("/proc/self/task"))
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(server)) for _ in range(50)]
        for wire in wires:
            wire.send(GET[:-3])
        assert alive(server)
        assert len(os.listdir("/proc/self/task")) < before + 10
        for wire in wires:
            wire.send(b"t\r\n\r\n")
            assert wire.answer().status == 200


def test_script_in_the_path_is_not_reflected(server: Server) -> None:
    answer = ask(server, "GET", "/<script>alert(1)</script>", headers={"X-Request-Id": "evil", "Origin": "evil"})
    assert b"script" not in answer.body and b"evil" not in answer.head


def test_lf_line_ends_and_blank_lines_before_a_request_are_tolerated(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(b"\r\n\r\nGET /v1/models HTTP/1.1\nHost: localhost\n\n")
        assert wire.answer().status == 200


def test_oversized_body_is_413_before_it_is_sent_and_the_client_can_read_it() -> None:
    with running(max_body=1000) as server:
        with Wire(server) as wire:
            wire.send(
                request(
                    "POST", "/v1/chat/completions", headers={**JSON, "Content-Length": "5000", "Expect": "100-continue"}
                )
            )
            assert wire.answer().status == 413
        with Wire(server) as wire:
            wire.send(request("POST", "/v1/chat/completions", b" " * 300_000, JSON))
            assert wire.answer().status == 413
            assert wire.closed()
        with Wire(server) as wire:
            wire.send(
                request(
                    "POST",
                    "/v1/chat/completions",
                    in_chunks(b" " * 3000, 500),
                    {**JSON, "Transfer-Encoding": "chunked"},
                )
            )
            assert wire.answer().status == 413
        assert alive(server)


@pytest.mark.parametrize(
    "part",
    [
        b"G",
        b"GET /v1/models HT",
        GET,
        GET + b"X-Slow: ",
        POST + b"Content-Length: 100\r\n\r\n{",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    ],
    ids=["a letter", "half a line", "half the headers", "half a header", "half a body", "half a chunk"],
)
def test_half_a_request_is_408_after_the_time_for_requests(part: bytes) -> None:
    with running(request_timeout=0.15) as server, Wire(server) as wire:
        wire.send(part)
        answer = wire.answer()
        assert answer.status == 408 and wire.closed()
        assert alive(server)


def test_trickling_headers_do_not_extend_the_time() -> None:
    with running(request_timeout=0.3) as server, Wire(server) as wire:
        began = time.monotonic()
        wire.socket.settimeout(0.02)
        status = b""
        while not status and time.monotonic() - began < PATIENCE:
            try:
                wire.send(b"G")
                status = wire.socket.recv(1000)
            except TimeoutError:
                continue
        assert b" 408 " in status


@pytest.mark.parametrize("part", [b"", b"GET /v1/mod", GET, POST + b"Content-Length: 100\r\n\r\n{", chat_request()])
def test_client_that_closes_at_any_point_harms_nothing(server: Server, part: bytes) -> None:
    for reset in (False, True):
        wire = Wire(server)
        wire.send(part)
        if reset:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wire.socket.close()
    assert alive(server)


def test_idle_connection_is_closed_after_its_time() -> None:
    with running(idle_timeout=0.5) as server:
        with Wire(server) as silent:
            assert silent.closed()
        with Wire(server) as wire:
            wire.send(chat_request())
            assert wire.answer().text() == "one two three"
            assert wire.closed()


def test_random_bytes_never_hang_or_kill_the_server() -> None:
    chance = random.Random(3)
    pieces = [
        b"GET ",
        b"POST ",
        b"/v1/chat/completions",
        b"/events",
        b" HTTP/1.1",
        b"\r\n",
        b"\n",
        b"Host: x",
        b"Content-Length: ",
        b"5",
        b"-1",
    ]
    pieces += [
        b"Transfer-Encoding: chunked",
        b"{}",
        b'{"model":"toy"}',
        b"\0",
        b"\xff",
        b": ",
        b"Content-Type: application/json",
        b"0\r\n\r\n",
    ]
    with running(request_timeout=1, idle_timeout=1) as server:

        def attack(seed: int) -> None:
            own = random.Random(seed)
            with Wire(server) as wire:
                try:
                    wire.send(b"".join(own.choices(pieces, k=own.randrange(1, 25))))
                    wire.socket.shutdown(socket.SHUT_WR)
                except OSError:
                    return
                answer = wire.rest()
                assert not answer or answer.startswith((b"HTTP/1.1 ", b"{")), answer[:100]

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(attack, [chance.randrange(2**32) for _ in range(300)]))
        assert alive(server)


# ---- Heartbeats, clients that leave, clients that do not read -----------------------------------------------------------


def test_silence_is_filled_with_comments_before_and_between_tokens() -> None:
    with running(heartbeat=0.5) as server:  # how many there are is tested in virtual time: a busy machine sends fewer
        answer = chat(server, model="toy-slow", messages=STORY, max_tokens=3)
        blocks = answer.blocks()
        assert blocks[0] == b": heartbeat"
        assert answer.finish() == [(0, "length")]
    with running(heartbeat=0.1, tps=1) as server:
        assert b": heartbeat" in chat(server, "a b").blocks()[2:-2]
    with running(heartbeat=0, tps=6) as server:
        assert not any(block.startswith(b":") for block in chat(server, "a b").blocks())


def test_slow_model_is_silent_for_several_heartbeats() -> None:
    with running(heartbeat=0.05) as server:
        began = time.monotonic()
        chat(server, model="toy-slow", stream=False, messages=STORY)
        assert time.monotonic() - began >= model.THINKING * 0.05


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("reset", [True, False])
def test_client_that_leaves_in_silence_is_noticed_at_once(stream: bool, reset: bool) -> None:
    with running(ttft=3600, heartbeat=0) as server:
        wire = Wire(server)
        wire.send(chat_request(stream=stream))
        assert wait_for(lambda: server.journal and server.journal[-1]["model"])
        if reset:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wire.socket.close()
        assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")
        assert server.journal[-1]["left_at_token"] == 0


def test_client_that_leaves_is_noticed_before_the_next_token() -> None:
    with running(tps=0.1) as server:
        wire = Wire(server)
        wire.send(chat_request("tick " * 100))
        wire.until(b'"tick"')
        wire.socket.close()
        assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")
        assert server.journal[-1]["left_at_token"] == server.journal[-1]["tokens"] == 1


def test_generation_stops_when_the_client_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def counted(prompt: pieces.Prompt, choice: int) -> Any:
        for token in model._echo(prompt, choice):
            made.append(token)
            yield token

    monkeypatch.setitem(model.MODELS, "toy-echo", counted)
    with running(tps=20) as server:
        wire = Wire(server)
        wire.send(chat_request("tick " * 500))
        wire.until(b'" tick"')
        wire.socket.close()
        assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")
        count = len(made)
        time.sleep(0.1)
        assert len(made) == count < 100


def test_event_source_that_leaves_at_once_is_noted() -> None:
    with running(ttft=5) as server:
        for _ in range(20):
            wire = Wire(server)
            wire.send(request("GET", "/events"))
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            wire.socket.close()
        assert wait_for(lambda: all(record["outcome"] == "client_left" for record in server.journal))


def test_client_that_sent_much_ahead_is_still_seen_to_leave() -> None:
    with running(ttft=30) as server:
        wire = Wire(server)
        wire.send(chat_request() + b" " * 300_000)
        assert wait_for(lambda: server.journal and server.journal[-1]["model"])
        wire.socket.close()
        assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")


def test_a_pace_of_months_does_not_kill_the_loop() -> None:
    with running(ttft=3e6, idle_timeout=3e6) as server, Wire(server) as wire:
        wire.send(chat_request(stream=False))
        assert wait_for(lambda: server.journal and server.journal[-1]["model"])
        assert ask(server, "GET", "/v1/models").status == 200


def test_finished_connections_leave_no_timers(server: Server) -> None:
    for _ in range(400):
        with Wire(server) as wire:
            wire.send(request("GET", "/v1/models/toy"))
            wire.answer()
    assert len(server.loop.timers) < 150


@pytest.mark.parametrize(
    "fields",
    [
        {"stop": "a" * 30_000 + "b"},
        {"n": 128},
        {"tools": [{"type": "function", "function": {"name": f"f{i}"}} for i in range(200)]},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "x",
                    "schema": {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/a"}}},
                },
            },
            "model": "toy",
        },
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "object", "minProperties": 2 * 10**7}},
            },
            "model": "toy",
        },
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "string", "pattern": "\\ud800"}},
            },
            "model": "toy",
        },
        {"n": 128, "messages": [{"role": "user", "content": "a b"}], "tools": MANY_TOOLS, "tool_choice": "required"},
        {"metadata": [[]] * 110_000},
    ],
    ids=lambda fields: str(fields)[:30],
)
def test_request_for_endless_work_is_refused(server: Server, fields: dict[str, Any]) -> None:
    answer = chat(server, "x " + "a" * 60_000, **fields)
    assert answer.status == 400 and answer.json()["error"]["message"]


def test_whole_answer_with_very_many_probabilities_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse_ref.server, "MAX_LOGPROBS", 10)
    for stream, words in ((True, 20), (False, 10)):
        assert chat(server, "word" + " word" * (words - 1), stream=stream, logprobs=True).status == 200
    answer = chat(server, "word " * 11, stream=False, logprobs=True)
    assert (answer.status, answer.json()["error"]["param"]) == (400, "logprobs")


def test_work_for_a_whole_answer_ends_when_the_client_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    made = itertools.count()

    def endless(prompt: Any, choice: int) -> Iterator[pieces.TokenLogprob]:
        while next(made) < 10**7:
            yield pieces.TokenLogprob(b" word", 0.0)

    monkeypatch.setitem(model.MODELS, "endless", endless)
    with running() as server:
        with Wire(server) as wire:
            wire.send(chat_request(model="endless", stream=False))
            assert wait_for(lambda: next(made) > 2000)
        assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")
        assert next(made) < 10**7


def test_half_close_counts_as_leaving() -> None:
    with running(tps=20) as server, Wire(server) as wire:
        wire.send(chat_request("tick " * 100))
        wire.until(b'"tick"')
        wire.socket.shutdown(socket.SHUT_WR)
        assert b"[DONE]" not in wire.rest()
        assert server.journal[-1]["outcome"] == "client_left"


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_a_thousand_clients_that_leave_leave_nothing_behind() -> None:
    with running(tps=100) as server:
        chat(server, "warm up")
        threads, files = _thread._count(), open_files()
        for number in range(1000):
            wire = Wire(server)
            if number % 3:
                wire.send(chat_request("tick " * 50))
            if number % 3 == 1:
                wire.until(b"tick")
            wire.socket.close()
        assert wait_for(lambda: _thread._count() <= threads and open_files() <= files)
        assert wait_for(lambda: all(record["outcome"] != "open" for record in server.journal))
        assert wait_for(lambda: not server.loop.entries)
        assert alive(server)


def test_reader_that_does_not_read_is_dropped_and_others_go_on() -> None:
    with running(stall_timeout=0.3) as server, Wire(server) as lazy:
        lazy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.send(chat_request("tick " * 100_000))
        assert wait_for(
            lambda: server.loop.entries and any(entry.unsent for entry in list(server.loop.entries.values()))
        )
        stuck = server.journal[-1]["bytes"]
        assert alive(server)
        assert server.journal[0]["bytes"] == stuck < 20_000_000  # nothing is made for a reader that does not read
        assert wait_for(lambda: server.journal[0]["outcome"] == "dropped")
        assert alive(server)


def test_settings_of_a_server_that_never_ran_leak_nothing() -> None:
    server = Server(Settings())
    assert server.journal == []
    server.server_close()


def test_slow_reader_gets_everything() -> None:
    with running(stall_timeout=5) as server, Wire(server) as slow:
        slow.send(chat_request("tick " * 20_000))
        assert wait_for(lambda: any(entry.unsent for entry in list(server.loop.entries.values())))
        assert slow.answer().text() == "tick " * 20_000


def test_fifty_streams_do_not_mix(server: Server) -> None:
    def one(number: int) -> tuple[str, set[str]]:
        answer = chat(server, f"stream {number} " * 20)
        return answer.text(), {chunk["id"] for chunk in answer.parsed()}

    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(one, range(50)))
    assert [text for text, _ in results] == [f"stream {number} " * 20 for number in range(50)]
    assert all(len(ids) == 1 for _, ids in results)
    assert len(set().union(*(ids for _, ids in results))) == 50


# ---- The other routes ---------------------------------------------------------------------------------------------------


def test_models_are_listed(server: Server) -> None:
    listed = ask(server, "GET", "/v1/models").json()
    assert listed["object"] == "list"
    assert [entry["id"] for entry in listed["data"]] == ["toy", "toy-echo", "toy-slow", "toy-flaky"]
    assert all(
        entry["object"] == "model" and isinstance(entry["created"], int) and entry["owned_by"]
        for entry in listed["data"]
    )
    assert ask(server, "GET", "/v1/models/toy-echo").json() == listed["data"][1]
    missing = ask(server, "GET", "/v1/models/none")
    assert missing.status == 404 and missing.json()["error"]["code"] == "model_not_found"


def test_text_completions_accept_their_own_kind_of_logprobs(server: Server) -> None:
    body = {"model": "toy-echo", "prompt": "x", "logprobs": 2}
    assert ask(server, "POST", "/v1/completions", json.dumps(body).encode(), JSON).json()["choices"][0]["text"] == "x"


def test_text_completions(server: Server) -> None:
    body = {"model": "toy-echo", "prompt": "one two three", "stream": True, "stream_options": {"include_usage": True}}
    answer = ask(server, "POST", "/v1/completions", json.dumps(body).encode(), JSON)
    chunks = answer.parsed()
    assert {chunk["object"] for chunk in chunks} == {"text_completion"} and chunks[0]["id"].startswith("cmpl-")
    assert "".join(choice["text"] for chunk in chunks for choice in chunk["choices"]) == "one two three"
    assert [c["finish_reason"] for chunk in chunks for c in chunk["choices"]] == [None, None, None, "stop"]
    assert chunks[-1]["usage"]["completion_tokens"] == 3
    whole = ask(
        server, "POST", "/v1/completions", json.dumps({**body, "stream": False, "prompt": ["x"]}).encode(), JSON
    ).json()
    assert whole["choices"] == [{"index": 0, "text": "x", "logprobs": None, "finish_reason": "stop"}]
    wrong = ask(server, "POST", "/v1/completions", json.dumps({**body, "prompt": 5}).encode(), JSON)
    assert wrong.status == 400 and wrong.json()["error"]["param"] == "prompt"


def event_source(server: Server, query: str, **headers: str) -> Any:
    return ask(
        server, "GET", f"/events?{query}", headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def test_events_are_numbered_and_end_with_a_named_one(server: Server) -> None:
    answer = event_source(server, "model=toy-echo&prompt=one+two%0Athree")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.body == (
        b"retry: 1000\nid: 1\ndata: one\n\nid: 2\ndata:  two\n\nid: 3\ndata: \ndata: \n\nid: 4\ndata: three\n\n"
        b"event: done\nid: 5\ndata: [DONE]\n\n"
    )


@pytest.mark.parametrize(
    ("last", "first"),
    [
        ("0", b"id: 1\n"),
        ("1", b"id: 2\n"),
        ("3", b"event: done\nid: 4\n"),
        ("x", b"id: 1\n"),
        ("-1", b"id: 1\n"),
        ("\u00b2", b"id: 1\n"),
        ("9" * 40, b"id: 1\n"),
    ],
)
def test_events_resume_after_the_last_event_id(server: Server, last: str, first: bytes) -> None:
    answer = event_source(server, "model=toy-echo&prompt=a+b+c", Last_Event_ID=last)
    assert answer.body.startswith(b"retry: 1000\n" + first)


def test_event_source_that_has_everything_is_told_to_stop(server: Server) -> None:
    assert event_source(server, "model=toy-echo&prompt=a+b+c", Last_Event_ID="4").status == 204


def test_events_drop_on_request_without_the_last_chunk_missing(server: Server) -> None:
    answer = event_source(server, "model=toy-echo&prompt=a+b+c&drop=2")
    assert answer.body.endswith(b"id: 2\ndata:  b\n\n") and answer.ended


def test_resumed_events_start_their_own_clock(dues: list[tuple[int, float]]) -> None:
    with running(ttft=2, tps=4) as server:
        event_source(server, "model=toy-echo&prompt=a+b+c+d", Last_Event_ID="2")
    assert dues[:2] == [(3, 0.25), (4, 0.5)]


def test_heartbeat_of_events_ends_without_a_blank_line() -> None:
    with running(heartbeat=0.3) as server:
        body = event_source(server, "model=toy-slow&max_tokens=1").body
        assert body.startswith(b": heartbeat\n") and b": heartbeat\n\n" not in body


def test_model_that_fails_ends_events_with_a_named_one(server: Server) -> None:
    blocks = event_source(server, "model=toy-flaky").blocks()
    assert blocks[-1].startswith(b"event: failure\n")


# ---- Delivery: what the query asks for -------------------------------------------------------------------------------

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
    assert b'data: {"error":{"message":"the model broke down, as the request asked for"' in rest
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
    assert b"the model broke down, as the request asked for" in answer.body and answer.body.count(b'"content":') == 3
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


def test_faults_of_an_event_source(server: Server) -> None:
    cut = ask(server, "GET", "/events?prompt=a+b+c+d&model=toy-echo&fault=end&at=2", headers={"Connection": "close"})
    assert [block.split(b"data: ")[1] for block in cut.blocks()] == [b"a", b" b"]
    failed = ask(server, "GET", "/events?prompt=a+b+c+d&model=toy-echo&fault=error&at=2")
    assert failed.blocks()[-1].startswith(b"event: failure\nid: 3\n")


def test_cut_is_inside_an_event_however_it_is_split(server: Server) -> None:
    rest = delivered(server, "fault=cut&at=4&split=1")
    assert b"data: {" in rest.rpartition(b"\n\r\n")[2]


def test_early_end_over_http_1_0_is_closing_after_a_whole_event(server: Server) -> None:
    path = "/v1/chat/completions?fault=end&at=4"
    answer = ask(server, "POST", path, chat_body(WORDS), JSON, version="1.0")
    assert len(answer.blocks()) == 5 and not answer.ended


def test_fault_of_a_resumed_event_source_comes_after_new_events(server: Server) -> None:
    path = "/events?prompt=a+b+c+d+e+f&model=toy-echo&fault=end&at=2"
    answer = ask(server, "GET", path, headers={"Last-Event-ID": "3"})
    assert [block.split(b"data: ")[1] for block in answer.blocks()] == [b" d", b" e"]


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


# ---- The page and the journal ----------------------------------------------------------------------------------------


def test_page_is_html_that_loads_nothing_from_elsewhere(server: Server) -> None:
    answer = ask(server, "GET", "/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert b"<title>" in answer.body and b"http" not in answer.body.replace(b"http-equiv", b"")


def test_journal_tells_how_each_stream_went() -> None:
    with running(journal_size=3) as server:
        for number in range(4):
            answer = chat(server, f"number {number}")
        records = ask(server, "GET", "/journal").json()
        assert records == server.journal and len(records) == 3
        last = records[-1]
        assert last["request"]["messages"][0]["content"] == "number 3"
        assert (last["model"], last["stream"], last["status"], last["outcome"]) == ("toy-echo", True, 200, "complete")
        assert (last["tokens"], last["events"], last["left_at_token"]) == (2, 5, None)
        assert last["bytes"] == sum(len(chunk) + len(b"%x\r\n\r\n" % len(chunk)) for chunk in answer.chunks) + 5
        assert 0 <= last["first_byte_s"] <= last["duration_s"]
        assert last["id"] in answer.parsed()[0]["id"] and answer.headers["x-request-id"] == last["id"]
        chat(server, "x" * 5000)
        assert len(json.dumps(server.journal[-1])) < 1000
        chat(server, model="none")
        assert (server.journal[-1]["outcome"], server.journal[-1]["status"]) == ("refused", 404)


def test_stopping_the_server_ends_streams_with_an_error() -> None:
    with running(tps=20) as server, Wire(server) as wire, Wire(server) as idle:
        wire.send(chat_request("tick " * 100))
        wire.until(b'"tick"')
        server.shutdown()
        rest = wire.rest()
        assert b'data: {"error":{"message":"the server is stopping"' in rest and rest.endswith(b"0\r\n\r\n")
        assert b"[DONE]" not in rest
        assert idle.closed()
        assert server.journal[-1]["outcome"] == "stopped"


def test_servers_in_one_process_are_independent() -> None:
    with running() as one, running(api_key="k") as two:
        assert one.url != two.url
        assert alive(one)
        assert chat(two).status == 401
        assert len(one.journal) == 1


def test_ipv6_address_is_written_as_a_url() -> None:
    try:
        probe = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    probe.close()
    with running(host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert alive(server)


def test_page_offers_every_model_and_every_fault(server: Server) -> None:
    page = ask(server, "GET", "/").body.decode()
    chat, events = (part.split("</select>")[0] for part in page.split('<select name="model">')[1:])
    assert re.findall("<option>([^<]+)", chat) == re.findall("<option>([^<]+)", events) == list(model.MODELS)
    faults = page.split('<select name="fault">')[1].split("</select>")[0]
    assert re.findall('<option value="([^"]*)"', faults) == ["", *FAULTS]


def test_page_is_made_of_files_that_are_served(server: Server) -> None:
    for path, name in PAGE.items():
        answer = ask(server, "GET", path)
        assert answer.status == 200 and "default-src 'self'" in answer.headers["content-security-policy"], name
    assert ask(server, "GET", "/page/../server.py").status == 404
