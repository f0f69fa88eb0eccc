"""Answers of the server in OpenAI's words: what goes in comes out, usage, tools, errors."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from raw import JSON, STORY, Wire, alive, ask, chat, chat_body, chat_request, wait_for

from sse_ref import model, pieces
from sse_ref.server import Server, running

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
}


TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": WEATHER}} for name in ("get_weather", "get_time")
]


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
        set(error) == {"error"} and "failed" in error["error"]["message"] and error["error"]["type"] == "server_error"
    )
    assert sum(bool(chunk["choices"][0]["delta"].get("content")) for chunk in chunks) > 10
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks)
    assert server.journal[-1]["outcome"] == "failed"
    whole = chat(server, model="toy-flaky", messages=STORY, stream=False)
    assert whole.status == 500 and "failed" in whole.json()["error"]["message"]


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
    assert answer.status == 500 and answer.json()["error"]["message"] == "the server failed"
    assert server.journal[-1]["outcome"] == "crashed"
    assert "KeyError" in caplog.text


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
