"""The script: which answer each request gets, scripts by name, and what is said when there is no answer."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from raw import JSON, ask, chat, chat_body
from terminal import run

from sse_ref.pieces import Message
from sse_ref.server import Answer, AnswerError, Asked, ScriptError, running
from sse_ref.server.script import MOST_SCRIPTS, Script, Scripts


def text(server: Any, content: str = "hi", path: str = "", **fields: Any) -> str:
    """The text of a whole answer to a prompt."""
    body = chat_body(content, **{"stream": False, **fields})
    answer = ask(server, "POST", f"{path}/v1/chat/completions", body, JSON)
    return answer.json()["choices"][0]["message"]["content"] if answer.status == 200 else f"status {answer.status}"


def asked(*messages: Message, model: str = "m") -> Asked:
    return Asked("openai", model, messages)


USER, CALL, RESULT = Message("user", "Rain?"), Message("assistant", ""), Message("tool", "wet", "get_weather")


# ---- Which answer ----------------------------------------------------------------------------------------------------


def test_answers_come_in_order() -> None:
    with running(["one", Answer("two", times=2), Answer("always", times=None)]) as server:
        assert [text(server) for _ in range(5)] == ["one", "two", "two", "always", "always"]


def test_answer_waits_for_what_it_is_for() -> None:
    answers = [Answer("rain", when="weather"), Answer("other model", when={"model": "b"}), "first", "second"]
    with running(answers) as server:
        told = [text(server), text(server, "the weather?"), text(server, model="b"), text(server)]
    assert told == ["first", "rain", "other model", "second"]


@pytest.mark.parametrize(
    ("condition", "messages", "fits"),
    [
        ({"user": "Rain"}, [USER], True),
        ({"user": "rain"}, [USER], False),
        ({"user": "Rain"}, [USER, CALL, Message("user", "Sun?")], False),
        ({"tool": "get_weather"}, [USER, CALL, RESULT], True),
        ({"tool": "get_time"}, [USER, CALL, RESULT], False),
        ({"tool": "get_weather"}, [USER, CALL, RESULT, Message("user", "and?")], False),
        ({"turn": 1}, [Message("system", "s"), USER], True),
        ({"turn": 2}, [USER, CALL, RESULT], True),
        ({"turn": 3}, [USER, CALL, RESULT, Message("assistant", "wet"), Message("user", "and?")], True),
        ({"turn": 2}, [RESULT], True),
        ({"turn": 3}, [USER, CALL, RESULT, RESULT, CALL, RESULT], True),
        ({"user": "Rain", "turn": 2}, [USER], False),
        (lambda asked: len(asked.messages) == 1, [USER], True),
        (lambda asked: asked.model == "b", [USER], False),
    ],
)
def test_conditions(condition: Any, messages: list[Message], fits: bool) -> None:
    script = Script([Answer("yes", when=condition), "no"])
    assert script.take(asked(*messages)).text == ("yes" if fits else "no")


AFTER_A_CALL = {
    "messages": [
        {"role": "user", "content": "Rain?"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "wet"},
    ]
}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v1/chat/completions",
            AFTER_A_CALL,
        ),
        (
            "/v1/messages",
            {
                "max_tokens": 9,
                "messages": [
                    {"role": "user", "content": "Rain?"},
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "c1", "name": "get_weather", "input": {}}],
                    },
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "wet"}]},
                ],
            },
        ),
        (
            "/v1/responses",
            {
                "input": [
                    {"role": "user", "content": "Rain?"},
                    {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c1", "output": "wet"},
                ]
            },
        ),
        (
            "/v1beta/models/m:generateContent",
            {
                "contents": [
                    {"role": "user", "parts": [{"text": "Rain?"}]},
                    {"role": "model", "parts": [{"functionCall": {"name": "get_weather", "args": {}}}]},
                    {
                        "role": "user",
                        "parts": [{"functionResponse": {"name": "get_weather", "response": {"result": "wet"}}}],
                    },
                ]
            },
        ),
        (
            "/v2/chat",
            AFTER_A_CALL,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_result_of_a_tool_and_the_turn_are_known_on_every_wire(path: str, body: dict[str, Any]) -> None:
    with running([Answer("It is wet.", when={"tool": "get_weather", "turn": 2, "user": "Rain"})]) as server:
        answer = ask(server, "POST", path, json.dumps({"model": "m", **body}).encode(), JSON)
        assert answer.status == 200 and "It is wet." in answer.body.decode(), answer.body
        assert server.requests[0].messages[-1].name == "get_weather"


def test_each_answer_is_given_once_however_many_ask() -> None:
    with running([str(number) for number in range(40)]) as server, ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: text(server), range(40)))
    assert sorted(told, key=int) == [str(number) for number in range(40)]


# ---- No answer -------------------------------------------------------------------------------------------------------


def test_no_answer_is_loud_at_once_and_at_the_end() -> None:
    with pytest.raises(ScriptError, match="no answer for 'Sun") as caught, running([Answer("a", when="x")]) as server:
        answer = chat(server, "Sun?")
        assert answer.status == 500 and answer.json()["error"]["type"] == "server_error"
        assert "Sun?" in answer.json()["error"]["message"] and "'a' when" in answer.json()["error"]["message"]
    assert isinstance(caught.value, AssertionError)


def test_answers_that_nobody_took_are_told_unless_they_may_be_left() -> None:
    with pytest.raises(ScriptError, match="nobody asked for: 'two'"), running(["one", "two"]) as server:
        text(server)
    with running(["one", "two"], all_used=False) as server:
        text(server)
    with running([Answer("always", times=None)]):
        pass


def test_what_a_test_raises_is_not_hidden() -> None:
    with pytest.raises(KeyError, match="mine"), running(["one"]):
        raise KeyError("mine")


def test_wrong_answer_is_refused_before_the_server_starts() -> None:
    with pytest.raises(AnswerError, match=r"answers\[0\].txt"), running([{"txt": "a"}]):
        raise AssertionError


# ---- Scripts by name -------------------------------------------------------------------------------------------------


def put(server: Any, name: str, answers: Any, headers: dict[str, str] | None = None) -> Any:
    return ask(server, "PUT", f"/answers/{name}", json.dumps(answers).encode(), {**JSON, **(headers or {})})


def test_scripts_side_by_side_do_not_meet() -> None:
    with running() as server:
        assert put(server, "a", ["for a"]).status == put(server, "b", ["for b", "more"]).status == 200
        assert (text(server, path="/answers=b"), text(server, path="/answers=a")) == ("for b", "for a")
        assert text(server, path="/answers=a") == "status 500"
        assert text(server, "one two", model="toy-echo") == "one two"
        left = ask(server, "GET", "/answers/b").json()
        assert left == {"left": [{"answer": "'more'", "times": 1}], "missed": []}
        assert "no answer for" in ask(server, "GET", "/answers/a").json()["missed"][0]
        assert put(server, "a", ["again"]).json()["left"] == [{"answer": "'again'", "times": 1}]
        assert text(server, path="/answers=a") == "again"


def test_unknown_script_and_wrong_ones_are_refused_in_words_that_help() -> None:
    with running() as server:
        assert text(server, path="/answers=none") == "status 404"
        assert ask(server, "GET", "/answers/none").status == 404
        wrong = put(server, "a", [{"tools": [{"name": 7}]}])
        assert wrong.status == 400 and "answers[0].tools[0].name" in wrong.json()["error"]["message"]
        assert ask(server, "PUT", "/answers/a", b"{").status == 400
        assert put(server, "a/b", ["x"]).status == put(server, "x" * 65, ["x"]).status == 400
        assert ask(server, "POST", "/answers/a").status == 405


def test_pages_of_other_origins_may_not_touch_a_script() -> None:
    with running() as server:
        preflight = ask(server, "OPTIONS", "/answers/a", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in preflight.headers
        assert "access-control-allow-origin" not in put(server, "a", ["x"]).headers
        assert "access-control-allow-origin" not in ask(server, "GET", "/answers/a").headers


def test_key_guards_a_script() -> None:
    with running(api_key="secret") as server:
        assert put(server, "a", ["x"]).status == 401 and ask(server, "GET", "/answers/a").status == 401
        assert put(server, "a", ["x"], {"Authorization": "Bearer secret"}).status == 200


def test_there_are_not_more_scripts_than_the_limit() -> None:
    scripts = Scripts()
    for number in range(MOST_SCRIPTS):
        scripts.put(str(number), b"[]")
    scripts.put("0", b'["again"]')
    with pytest.raises(Exception, match="which is the limit"):
        scripts.put("one-more", b"[]")


# ---- What was asked --------------------------------------------------------------------------------------------------


def test_requests_are_kept_as_understood_and_as_they_came() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    with running(["a"]) as server:
        chat(server, "Where is the Louvre?", model="gpt-x", tools=tools)
        (one,) = server.requests
        record = server.journal[-1]
    assert (one.dialect, one.model, one.stream) == ("openai", "gpt-x", True)
    assert one.messages[-1].text == "Where is the Louvre?" and one.tools[0].name == "f"
    assert one.json["messages"][0]["content"] == "Where is the Louvre?" and one.body.startswith(b"{")
    assert record["messages"] == [{"role": "user", "text": "Where is the Louvre?"}] and record["dialect"] == "openai"


def test_key_is_kept_nowhere() -> None:
    with running(["a"]) as server:
        headers = {**JSON, "Authorization": "Bearer secret", "X-Api-Key": "secret", "Cookie": "secret", "X-Mine": "7"}
        ask(server, "POST", "/v1/chat/completions", chat_body(), headers)
        assert server.requests[0].headers["x-mine"] == "7"
        assert "secret" not in json.dumps(server.journal) + str(server.requests)


# ---- The command -----------------------------------------------------------------------------------------------------


def test_command_refuses_a_wrong_script_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    for content, problem in (('[{"txt": 1}]', "answers[0].txt"), ("{", "Expecting"), ('"a"', "must be a list")):
        path.write_text(content)
        done = run("--port", "0", "--answers", str(path), module="sse_ref.server")
        assert done.returncode == 2 and problem in done.stderr and done.stderr.count("\n") == 1, done.stderr
    done = run("--port", "0", "--answers", str(tmp_path / "none.json"), module="sse_ref.server")
    assert done.returncode == 2 and "No such file" in done.stderr
