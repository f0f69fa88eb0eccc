"""Answers that a tester chose: what they say on every wire, and what is refused when it is given."""

from __future__ import annotations

import contextlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from raw import ask, chat
from schema import problems

from sse_ref.client import ChatStream, StreamError
from sse_ref.dialects import DIALECTS
from sse_ref.pieces import Message, Prompt
from sse_ref.recording import end_line, head_line, read_line
from sse_ref.server import Answer, AnswerError, running
from sse_ref.server.answers import read_answers

SCHEMA = json.loads(resources.files("sse_ref.server").joinpath("answers.schema.json").read_text())
WIRES = sorted(set(DIALECTS) - {"openai-completions"})


def stream(url: str, dialect: str = "openai", **prompt: Any) -> ChatStream:
    """Stream to the end from a base URL of a server; what went wrong is in ``outcome``."""
    asked = Prompt("any-model", (Message("user", "hi"),), **prompt)
    answer = ChatStream(asked, url=f"{url}/v1", dialect=dialect, retries=0, timeout=30)
    if dialect in ("gemini", "cohere"):
        answer = ChatStream(asked, url=url, dialect=dialect, retries=0, timeout=30)
    with contextlib.suppress(StreamError):
        list(answer)
    return answer


# ---- What is said ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", WIRES)
def test_one_script_is_the_same_on_every_wire(dialect: str) -> None:
    answers = [
        Answer("Paris.", reasoning="hm"),
        Answer(tools=[("get_weather", {"city": "Paris"}, "id_7"), ("get_time", "{}")]),
        Answer("Rain in Ber", fault="cut"),
        Answer("Rain in Ber", fault="end"),
        Answer("Rain", fault="error"),
        Answer(status=529, message="busy"),
        Answer("no", finish_reason="length", usage={"prompt_tokens": 70, "completion_tokens": 9}),
    ]
    with running(answers) as server:
        told = [stream(server.url, dialect) for _ in answers]
    assert (told[0].text, told[0].reasoning, told[0].outcome) == ("Paris.", "hm", "complete")
    calls = [(call.name, json.loads(call.arguments)) for call in told[1].tool_calls]
    assert calls == [("get_weather", {"city": "Paris"}), ("get_time", {})] and told[1].tool_calls[0].id == "id_7"
    assert [(answer.text, answer.outcome) for answer in told[2:5]] == [
        ("Rain in Ber", "truncated"),
        ("Rain in Ber", "truncated"),
        ("Rain", "api_error"),
    ]
    assert told[5].outcome == "http_error"
    usage = told[6].usage
    assert usage is not None and (usage.prompt_tokens, usage.completion_tokens) == (70, 9)


def test_deltas_are_those_that_were_given() -> None:
    with running([Answer(["He", "llo", " there"])]) as server:
        chunks = [chunk for chunk in chat(server).parsed() if chunk.get("choices")]
    deltas = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    assert [delta for delta in deltas if delta] == ["He", "llo", " there"]


def test_choices_have_answers_of_their_own() -> None:
    with running([Answer(choices=["one", Answer("two", finish_reason="length")])]) as server:
        answer = stream(server.url, n=2)
    assert {n: (choice.text, choice.finish_reason) for n, choice in answer.choices.items()} == {
        0: ("one", "stop"),
        1: ("two", "length"),
    }


def test_fault_comes_at_the_token_that_is_named() -> None:
    with running([Answer("one two three four", fault="cut", at=2)]) as server:
        assert stream(server.url).text == "one two"


def test_refusal_is_one() -> None:
    with running([Answer(refusal="No.")]) as server:
        answer = stream(server.url)
    assert (answer.refusal, answer.text) == ("No.", "")


def test_error_before_the_stream_has_its_status_message_and_headers() -> None:
    with running([Answer(status=429, message="slow down", headers={"Retry-After": "7", "X-Left": "0"})]) as server:
        answer = chat(server)
    assert answer.status == 429 and answer.headers["retry-after"] == "7" and answer.headers["x-left"] == "0"
    assert "slow down" in answer.body.decode()


def test_whole_answer_is_the_same() -> None:
    with running([Answer("Paris.", tools=[("f", {"a": 1})])]) as server:
        message = chat(server, stream=False).json()["choices"][0]
    assert message["message"]["content"] == "Paris." and message["finish_reason"] == "tool_calls"
    assert message["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}


def test_pace_of_its_own() -> None:
    answer = Answer("a b c", ttft=2, tps=4)
    from sse_ref.server import Delivery, Settings

    delivery = answer.delivery(Delivery.read({"split": "3"}, Settings()), Prompt("m", ()))
    assert (delivery.ttft, delivery.tps, delivery.split) == (2, 4, 3)


# ---- A recorded stream -----------------------------------------------------------------------------------------------

LINES = [
    head_line(200, [("Content-Type", "text/event-stream; charset=utf-8")]),
    read_line(0.0, b'data: {"choices":[{"index":0,"delta":{"content":"caf\xc3'),
    read_line(0.01, b'\xa9"},"finish_reason":"stop"}]}\n\n'),
    read_line(0.01, b"data: [DONE]\n\n"),
    end_line(0.02, "complete"),
]


def test_recording_comes_byte_for_byte_and_read_for_read() -> None:
    with running([Answer(replay=LINES, speed=0)]) as server:
        answer = chat(server)
    assert answer.chunks == [
        b'data: {"choices":[{"index":0,"delta":{"content":"caf\xc3',
        b'\xa9"},"finish_reason":"stop"}]}\n\n',
        b"data: [DONE]\n\n",
    ]


def test_recording_is_read_from_a_file_and_cut_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_text("\n".join([*LINES[:3], end_line(0.02, "cut")]) + "\n")
    with running([Answer(replay=path)]) as server:
        answer = stream(server.url)
    assert (answer.text, answer.outcome) == ("café", "truncated")


def test_recorded_error_comes_with_its_status() -> None:
    lines = [head_line(503, [("Content-Type", "application/json")]), read_line(0, b'{"error":{"message":"busy"}}')]
    with running([Answer(replay=lines)]) as server:
        answer = chat(server)
    assert answer.status == 503 and answer.json() == {"error": {"message": "busy"}}


# ---- What is refused -------------------------------------------------------------------------------------------------

WRONG: dict[str, Any] = {
    "answers: must be a list": {"text": "a"},
    "answers[0]: must be a text or an object": [7],
    "answers[0].txt: is unknown": [{"txt": "a"}],
    "answers[0].text: must be a list": [{"text": 7}],
    "answers[1].text[1]: must be a string": ["a", {"text": ["a", 7]}],
    "answers[0].tools[0].name: is missing": [{"tools": [{"arguments": {}}]}],
    "answers[0].tools[0].args: is unknown": [{"tools": [{"name": "f", "args": {}}]}],
    "answers[0].tools[0]: must be (name": [{"tools": ["f"]}],
    "answers[0].usage.tokens: is unknown": [{"usage": {"tokens": 7}}],
    "answers[0].usage.prompt_tokens: must be a whole number": [{"usage": {"prompt_tokens": -1}}],
    "answers[0].choices[1].finish_reason: must be a string": [{"choices": ["a", {"finish_reason": 1}]}],
    "answers[0].at: must be a whole number": [{"fault": "cut", "at": -1}],
    "answers[0].jitter: must be a number": [{"jitter": -1}],
    "answers[0].when.day: is unknown": [{"when": {"day": "Monday"}}],
    "answers[0].when.turn: must be a whole number": [{"when": {"turn": "2"}}],
    "answers[0].times: must be a whole number": [{"times": 0}],
    "answers[0].headers: must be an object": [{"status": 429, "headers": "x"}],
    "answers[0].finish_reason: must be a string": [{"finish_reason": 7}],
    "answers[0].message: must be a string": [{"status": 500, "message": 7}],
}
# What a schema does not say.
ALSO_WRONG: dict[str, Any] = {
    "answers[0].status: must be a whole number from 400 to 599": [{"status": 99}],
    "answers[0].status: an error before the stream holds nothing else": [{"status": 500, "text": "a"}],
    "answers[0].refusal: a choice answers or refuses, not both": [{"text": "a", "refusal": "b"}],
    "answers[0].choices: what is said stands in the choices": [{"text": "a", "choices": ["b"]}],
    "answers[0].choices[0].choices: is not for one choice": [{"choices": [{"choices": ["a"]}]}],
    "answers[0].choices[1].fault: is not for one choice": [{"choices": ["a", {"fault": "cut"}]}],
    "answers[0].choices[0].replay: is not for one choice": [{"choices": [{"replay": "a-file-that-is-not-read"}]}],
    "answers[0].choices[0].status: is not for one choice": [{"choices": [Answer(status=503)]}],
    "answers[0].heartbeat: must be 0 (never) or at least 0.01": [{"text": "a", "heartbeat": 0.009}],
    "answers[0].at: says when a fault comes": [{"text": "a", "at": 3}],
    "answers[0].headers: are those of an error": [{"text": "a", "headers": {"A": "7"}}],
    "answers[0].text: holds half a character": ["\ud800"],
    "answers[0].headers.Content-Length: is the server's own": [{"status": 500, "headers": {"Content-Length": "7"}}],
    "answers[0].headers.a b: is no name": [{"status": 500, "headers": {"a b": "7"}}],
    "answers[0].headers.A: must be a string of printable": [{"status": 500, "headers": {"A": "7\r\nB: 8"}}],
    "answers[0].replay: line 1 must be the head": [{"replay": []}],
    "answers[0].replay: /no/such/file cannot be read": [{"replay": "/no/such/file"}],
    "answers[0].replay: a recorded stream says what it says": [{"replay": LINES, "text": "a"}],
    "answers[0].tools[0].name: must be a string that is not empty": [{"tools": [{"name": ""}]}],
}


@pytest.mark.parametrize(("problem", "answers"), {**WRONG, **ALSO_WRONG}.items())
def test_wrong_answer_is_refused_when_it_is_given(problem: str, answers: Any) -> None:
    with pytest.raises(AnswerError) as caught:
        read_answers(answers)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize("answers", WRONG.values(), ids=str)
def test_schema_refuses_the_same(answers: Any) -> None:
    assert list(problems(SCHEMA, answers))


def test_schema_knows_what_a_choice_may_have() -> None:
    assert not list(problems(SCHEMA, [{"choices": ["a", {"text": "b", "tools": []}]}]))
    assert list(problems(SCHEMA, [{"choices": [{"replay": "a-file"}]}]))


RIGHT: list[Any] = [
    "Paris.",
    {"text": ["Par", "is."], "reasoning": "hm", "finish_reason": "stop", "usage": {"completion_tokens": 7}},
    {"tools": [["f", {"a": 1}], {"name": "g", "arguments": ["{", "}"], "id": "x"}], "when": {"user": "x", "turn": 2}},
    {"status": 503, "headers": {"Retry-After": "1"}, "message": "busy", "times": 2},
    {"text": "a", "fault": "cut", "at": None, "ttft": 1, "tps": 0.5, "jitter": 1, "heartbeat": 2, "split": 7},
    {"choices": ["a", {"refusal": "b"}], "when": "x", "times": None},
    {"replay": LINES, "speed": 2.5},
]


def test_right_answers_are_read_and_the_schema_agrees() -> None:
    assert len(read_answers(RIGHT)) == len(RIGHT) and list(problems(SCHEMA, RIGHT)) == []


def test_schema_has_the_members_of_an_answer() -> None:
    import dataclasses

    members = {member.name for member in dataclasses.fields(Answer)} - {"_"}
    assert set(SCHEMA["$defs"]["whole"]["properties"]) == members
    from sse_ref.server import FAULTS

    assert SCHEMA["$defs"]["whole"]["properties"]["fault"]["enum"] == ["", *FAULTS]


def test_peer_may_not_name_files_of_the_server() -> None:
    with running() as server:
        body = json.dumps([{"replay": "/etc/passwd"}]).encode()
        answer = ask(server, "PUT", "/answers/a", body)
    assert answer.status == 400 and "no file of the server is read" in answer.body.decode()
