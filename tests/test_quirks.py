"""Quirks: each is on the wire what it says, and the client loses nothing in silence."""

from __future__ import annotations

import contextlib
import json
import random
import re
from typing import Any

import pytest
import quirk_cases
from raw import JSON, Answer, Wire, ask, request

from sse_ref.client import ChatStream, StreamError
from sse_ref.client import chat as chat_streams
from sse_ref.codec import ServerSentEvent
from sse_ref.dialects.interface import HTTPRequest, Request
from sse_ref.dialects.openai import OpenAIChat
from sse_ref.dialects.quirks import QUIRKS
from sse_ref.dialects.quirky import SERVICES, Quirky, quirks_named
from sse_ref.errors import RequestError
from sse_ref.model import generate
from sse_ref.pieces import Message, ModelFailure, Prompt, Tool
from sse_ref.server import Server, running

GET_A = Tool("get_a", {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]})
ECHO = Prompt("toy-echo", (Message("user", "Hi you"),))
THINK = Prompt("toy-thinker", (Message("user", "Hi"),), max_tokens=50)
CALL = Prompt("toy", (Message("user", "get_a get_b"),), tools=(GET_A, Tool("get_b", {"type": "object"})))
FAIL = Prompt("toy-flaky", (Message("user", "Hi"),), max_tokens=8)
PROMPTS = {"echo": ECHO, "think": THINK, "call": CALL, "fail": FAIL}
PATH = "/v1/chat/completions"
FAILED = "the toy model failed in the middle of its answer, as toy-flaky does"
REFUSED = "refused, as the request asked for"


@pytest.fixture(scope="module")
def server() -> Any:
    with running() as server:
        yield server


def body_of(prompt: Prompt, **more: Any) -> dict[str, Any]:
    return {**OpenAIChat().write_request(Request(prompt, include_usage=True)), **more}


def post(server: Server, quirk: str, prompt: Prompt = ECHO, *, settings: str = "", **more: Any) -> Answer:
    body = json.dumps(body_of(prompt, **more)).encode()
    return ask(server, "POST", f"/quirk={quirk}{settings}{PATH}", body, JSON)


def chunks(answer: Answer) -> list[Any]:
    """The JSON of the events, but for [DONE]."""
    lines = [line[len("data:") :].strip() for line in answer.body.decode().splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line.startswith("{")]


# ---- On the wire -----------------------------------------------------------------------------------------------------

Seen = dict[str, Any]


def deltas(seen: list[Seen], name: str) -> list[Any]:
    return [choice["delta"].get(name, "-") for chunk in seen for choice in chunk["choices"]]


def reasons(seen: list[Seen]) -> list[Any]:
    return [choice.get("finish_reason", "-") for chunk in seen for choice in chunk["choices"]]


def calls(seen: list[Seen], name: str) -> list[Any]:
    return [call.get(name, "-") for found in deltas(seen, "tool_calls") if found != "-" for call in found]


def arguments(seen: list[Seen]) -> list[Any]:
    return [function.get("arguments", "-") for function in calls(seen, "function")]


USAGE = {"prompt_tokens": 6, "completion_tokens": 2, "total_tokens": 8}


def is_usage(value: Any) -> bool:
    return bool(value) and USAGE.items() <= value.items()


# The quirk, the prompt that shows it, and what its chunks must be.
CHUNKS: dict[str, tuple[Prompt, Any]] = {
    "azure-prompt-filter": (
        ECHO,
        lambda seen: seen[0]["choices"] == [] and seen[0]["id"] == "" and "object" in seen[1],
    ),
    "azure-async-filter": (
        ECHO,
        lambda seen: (
            ["delta" in c for chunk in seen for c in chunk["choices"]] == [True, True, False, True, True, False]
        ),
    ),
    "azure-choice-filter": (ECHO, lambda seen: all("content_filter_results" in c for s in seen for c in s["choices"])),
    "usage-every-chunk": (
        ECHO,
        lambda seen: (
            [chunk["usage"]["completion_tokens"] for chunk in seen] == [1, 1, 2, 2, 2]
            and all(chunk["usage"]["prompt_tokens"] == 6 for chunk in seen)
        ),
    ),
    "usage-in-finish": (
        ECHO,
        lambda seen: is_usage(seen[-1]["usage"]) and reasons(seen)[-1] == "stop" and "usage" not in seen[0],
    ),
    "usage-x-groq": (
        ECHO,
        lambda seen: (
            list(seen[0]["x_groq"]) == ["id"] and is_usage(seen[-1]["x_groq"]["usage"]) and "usage" not in seen[-1]
        ),
    ),
    "usage-before-finish": (
        ECHO,
        lambda seen: is_usage(seen[-2]["usage"]) and seen[-2]["choices"] == [] and reasons(seen[-1:]) == ["stop"],
    ),
    "usage-without-choices": (ECHO, lambda seen: is_usage(seen[-1]["usage"]) and "choices" not in seen[-1]),
    "role-missing": (ECHO, lambda seen: set(deltas(seen, "role")) == {"-"}),
    "role-every-chunk": (ECHO, lambda seen: set(deltas(seen, "role")) == {"assistant"}),
    "role-empty": (ECHO, lambda seen: set(deltas(seen, "role")) == {""}),
    "role-null": (ECHO, lambda seen: deltas(seen, "role") == ["assistant", None, None, None]),
    "finish-empty-string": (ECHO, lambda seen: reasons(seen) == ["", "", "", "stop"]),
    "finish-key-missing": (ECHO, lambda seen: reasons(seen) == ["-", "-", "-", "stop"]),
    "finish-every-chunk": (ECHO, lambda seen: reasons(seen) == ["stop"] * 4),
    "finish-eos": (ECHO, lambda seen: reasons(seen)[-1] == "eos"),
    "finish-stop-with-tools": (CALL, lambda seen: reasons(seen)[-1] == "stop"),
    "reasoning-content": (
        THINK,
        lambda seen: deltas(seen, "reasoning_content")[1] == "They" and deltas(seen, "content")[1] is None,
    ),
    "reasoning": (THINK, lambda seen: deltas(seen, "reasoning")[1] == "They" and "reasoning_content" not in str(seen)),
    "reasoning-details": (
        THINK,
        lambda seen: deltas(seen, "reasoning_details")[1][0]["text"] == "They" and "reasoning_content" not in str(seen),
    ),
    "content-list": (
        THINK,
        lambda seen: (
            deltas(seen, "content")[1] == [{"type": "thinking", "thinking": [{"type": "text", "text": "They"}]}]
            and isinstance(deltas(seen, "content")[-2], str)
        ),
    ),
    "refusal": (ECHO, lambda seen: deltas(seen, "refusal") == ["-", "Hi", " you", "-"]),
    "tools-whole": (
        CALL,
        lambda seen: [len(found) for found in deltas(seen, "tool_calls")] == [1, 2] and '"x"' in arguments(seen)[0],
    ),
    "tools-args-object": (CALL, lambda seen: list(arguments(seen)[0]) == ["x"] and arguments(seen)[1] == {}),
    "tools-args-missing": (CALL, lambda seen: '"x"' in arguments(seen)[0] and arguments(seen)[1] == "-"),
    "function-call": (
        CALL,
        lambda seen: (
            deltas(seen, "function_call")[1]["name"] == "get_a"
            and reasons(seen)[-1] == "function_call"
            and "tool_calls" not in str(seen)
            and "get_b" not in str(seen)
        ),
    ),
    "tools-no-index": (CALL, lambda seen: set(calls(seen, "index")) == {"-"}),
    "tools-index-zero": (CALL, lambda seen: set(calls(seen, "index")) == {0}),
    "tools-index-from-one": (CALL, lambda seen: set(calls(seen, "index")) == {1, 2}),
    "tools-repeat": (
        CALL,
        lambda seen: (
            len(set(calls(seen, "id"))) == 2
            and "-" not in calls(seen, "id")
            and set(calls(seen, "type")) == {"function"}
            and {function["name"] for function in calls(seen, "function")} == {"get_a", "get_b", None}
        ),
    ),
    "tools-no-id": (CALL, lambda seen: set(calls(seen, "id")) == {"-"}),
    "tools-same-id": (CALL, lambda seen: set(calls(seen, "id")) == {"0", "-"}),
    "tools-short-id": (CALL, lambda seen: {len(id) for id in calls(seen, "id") if id != "-"} == {9}),
    "ids-empty": (ECHO, lambda seen: {chunk["id"] for chunk in seen} == {""}),
    "ids-change": (ECHO, lambda seen: len({chunk["id"] for chunk in seen}) == len(seen)),
    "ids-collide": (ECHO, lambda seen: all(re.fullmatch(r"chatcmpl-[0-9]{1,3}", chunk["id"]) for chunk in seen)),
    "created-float": (ECHO, lambda seen: all(isinstance(chunk["created"], float) for chunk in seen)),
    "timings": (
        ECHO,
        lambda seen: (
            ["timings" in chunk for chunk in seen] == [False, False, False, True, True]
            and ["prompt_progress" in chunk for chunk in seen] == [True, False, False, False, False]
        ),
    ),
    "extra-choice-fields": (
        ECHO,
        lambda seen: (
            all("provider" in s and "matched_stop" in c for s in seen for c in s["choices"])
            and [c["text"] for s in seen for c in s["choices"]] == ["", "Hi", " you", ""]
            and set(deltas(seen, "token_id")) == {7}
        ),
    ),
    "error-key-falsy": (ECHO, lambda seen: [chunk["error"] for chunk in seen] == [None, False, None, False, None]),
    "choice-index-counts": (
        ECHO,
        lambda seen: [c["index"] for chunk in seen for c in chunk["choices"]] == [0, 1, 2, 3],
    ),
}

DONE = "data: [DONE]\n\n"
# The quirk, and what the body must match where the model echoes.
BODIES = {
    "comment-processing": r"(: OPENROUTER PROCESSING\n\ndata: \{.*\n\n){2}data: \{",
    "comment-keep-alive": r"(: keep-alive\n\ndata: \{.*\n\n){2}data: \{",
    "comment-colon": r"(:\n\ndata: \{.*\n\n){2}data: \{",
    "id-then-comment": r"id: 1\ndata: \{.*\n\n: c\n\nid: 2\ndata: ",
    "usage-after-done": r"^(?!(?s:.*)completion_tokens.*(?s:.*)DONE)(?s:.*)data: \[DONE\]\n\ndata: \{.*completion_tokens.*\n\n$",
    "no-done": r'^(?!(?s:.*)DONE)(?s:.*)"choices":\[\],.*\n\n$',
    "done-trailing-space": r"data: \[DONE\] \n\n$",
    "data-after-done": r"data: \[DONE\]\n\ndata: \{.*EXTRA.*\n\n$",
    "event-names": r"^(event: message\ndata: .*\n\n)+$",
    "event-ping": r"^data: .*\n\nevent: ping\n\ndata: .*\n\nevent: ping\ndata: \{\}\n\ndata: ",
    "no-space": r"^(data:[{\[].*\n\n)+$",
    "crlf": r"^(data: .*\r\n\r\n)+$",
}
# The quirk, and the end of the body where the model fails.
FAILURES = {
    "finish-error": r'"finish_reason":"error"\}\]\}\n\ndata: \[DONE\]\n\n$',
    "error-openrouter": r'"error":\{"code":502,"message":"FAILED"\},"choices".*\n\ndata: \[DONE\]\n\n$',
    "error-vllm": r'data: \{"error":\{"message":"FAILED",.*"code":500\}\}\n\ndata: \[DONE\]\n\n$',
    "error-vllm-old": r'data: \{"object":"error","message":"FAILED".*\n\ndata: \[DONE\]\n\n$',
    "error-string": r'data: \{"error":"FAILED","error_type":"generation"\}\n\n$',
    "error-tgi": r'data: \{"error":\{"message":"FAILED","http_status_code":422\}\}\n\ndata: \[DONE\]\n\n$',
    "error-field": r'\n\nerror: \{"code":500,"message":"FAILED".*\n\n$',
    "error-swallowed": r'\n\n\{"error":"FAILED"\}\n$',
    "error-lmstudio": r'event: error\ndata: \{"error":\{"message":"FAILED"\},"message":"FAILED"\}\n\n$',
    "error-event-text": r"event: error\ndata: FAILED\n\n$",
    "error-base-resp": r'"choices":null,"base_resp":\{"status_code":1002,"status_msg":"FAILED"\}\}\n\n$',
}
# The quirk, and the object of an HTTP error.
REFUSALS: dict[str, Any] = {
    "http-error-string": lambda value: value["error"] == REFUSED,
    "http-error-detail": lambda value: value["detail"][0]["msg"] == REFUSED,
    "http-error-nested": lambda value: value["message"]["detail"][0]["msg"] == REFUSED,
    "http-error-mistral": lambda value: (
        value["message"] == REFUSED and set(value) == {"object", "message", "type", "param", "code"}
    ),
    "http-error-openrouter": lambda value: value["error"] == {"code": 429, "message": REFUSED} and value["user_id"],
}
OTHERS = {"models-typed", "stream-ignored", "content-type", "held-after-done"}


def test_every_quirk_is_tried_on_the_wire() -> None:
    tried = [*CHUNKS, *BODIES, *FAILURES, *REFUSALS, *OTHERS]
    assert sorted(tried) == sorted(QUIRKS)


@pytest.mark.parametrize("name", CHUNKS)
def test_chunks_are_as_the_quirk_says_and_only_with_it(server: Server, name: str) -> None:
    prompt, holds = CHUNKS[name]
    assert holds(chunks(post(server, name, prompt)))
    if name != "reasoning-content":  # which is nearly what is written anyway
        without = chunks(post(server, "no-done", prompt))
        with contextlib.suppress(LookupError, TypeError, AttributeError):  # what it says is not there at all
            assert not holds(without)


@pytest.mark.parametrize("name", BODIES)
def test_body_is_as_the_quirk_says(server: Server, name: str) -> None:
    assert re.search(BODIES[name], post(server, name).body.decode())
    assert not re.search(BODIES[name], post(server, "role-missing").body.decode())


@pytest.mark.parametrize("name", FAILURES)
def test_error_inside_the_stream_is_as_the_quirk_says(server: Server, name: str) -> None:
    body = post(server, name, FAIL).body.decode()
    assert re.search(FAILURES[name].replace("FAILED", FAILED), body)
    assert post(server, name).body.decode().endswith(DONE)  # no error, no quirk


@pytest.mark.parametrize("name", REFUSALS)
def test_error_before_the_stream_is_as_the_quirk_says(server: Server, name: str) -> None:
    answer = post(server, name, settings="&fault=refuse")
    assert answer.status == 429 and REFUSALS[name](answer.json())
    missing = ask(server, "GET", f"/quirk={name}{PATH}")  # also before the body is read
    assert missing.status == 405 and "GET" not in missing.headers["allow"] and "type" in missing.body.decode() + "type"
    assert set(missing.json()) == set(answer.json())


def test_models_of_mistral_are_typed(server: Server) -> None:
    listed = ask(server, "GET", "/quirk=mistral/v1/models").json()["data"]
    assert all(model["type"] == "base" and model["capabilities"]["completion_chat"] for model in listed)
    assert ask(server, "GET", "/v1/models").json()["data"][0]["type"] == "model"


def test_stream_may_be_ignored_and_have_another_type(server: Server) -> None:
    assert post(server, "stream-ignored").json()["choices"][0]["message"]["content"] == "Hi you"
    answer = post(server, "content-type")
    assert answer.headers["content-type"] == "application/x-ndjson" and answer.body.endswith(b"data: [DONE]\n\n")


def test_body_may_stay_open(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(request("POST", f"/quirk=held-after-done{PATH}", json.dumps(body_of(ECHO)).encode(), JSON))
        wire.until(b"data: [DONE]\n\n\r\n")
        wire.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            wire.more()


def test_heartbeat_is_the_comment_of_the_service() -> None:
    with running(heartbeat=0.2) as server:
        slow = Prompt("toy-slow", (Message("user", "Hi"),), max_tokens=2)
        for name, comment in (
            ("deepseek", b": keep-alive\n\n"),
            ("tgi", b":\n\n"),
            ("openrouter", b": OPENROUTER PROCESSING\n\n"),
        ):
            assert post(server, name, slow).chunks.count(comment) > 2


def test_events_after_others_are_numbered_on_and_have_no_opening_comment() -> None:
    request = HTTPRequest(
        "POST", PATH, {}, {}, b'{"model": "toy", "messages": [{"role": "user", "content": "x"}], "stream": true}'
    )
    dialect = Quirky(quirks_named("id-then-comment,comment-colon"))
    written = dialect.read_request(request).write([ServerSentEvent("a"), ServerSentEvent("b")], 7)
    assert b"".join(written) == b"id: 8\ndata: a\n\n: c\n\nid: 9\ndata: b\n\n: c\n\n"
    begun = b"".join(dialect.read_request(request).write([ServerSentEvent("a"), ServerSentEvent("b")], 0))
    assert begun == b":\n\nid: 1\ndata: a\n\n: c\n\n:\n\nid: 2\ndata: b\n\n: c\n\n"


@pytest.mark.parametrize("name", ["usage-in-finish", "usage-before-finish", "usage-x-groq"])
def test_reasoning_is_counted_in_a_usage_that_comes_early(server: Server, name: str) -> None:
    seen = chunks(post(server, name, THINK))
    usages = [chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage") for chunk in seen]
    usage = next(filter(None, usages))
    assert usage["completion_tokens_details"]["reasoning_tokens"] > 3


def test_error_of_several_lines_is_one_event() -> None:
    written = QUIRKS["error-event-text"].function("one\n\ndata: two")
    assert written == b"event: error\ndata: one\ndata: \ndata: data: two\n\n"


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_a_list_of_quirks(name: str) -> None:
    assert {quirk.name for quirk in quirks_named(name)} == set(SERVICES[name])


def test_quirks_are_applied_in_the_order_of_their_table() -> None:
    assert [quirk.name for quirk in quirks_named("crlf,no-space,usage-in-finish")] == [
        "usage-in-finish",
        "no-space",
        "crlf",
    ]
    assert [quirk.name for quirk in quirks_named("crlf,crlf,lmstudio,role-every-chunk")] == [
        "role-every-chunk",
        "error-lmstudio",
        "crlf",
    ]


def test_quirk_may_have_another_name() -> None:
    assert quirks_named("usage-in-every-chunk,crlf") == quirks_named("usage-every-chunk,crlf")


@pytest.mark.parametrize("names", ["nope", "", "crlf,", "crlf,nope", "CRLF", "crlf vllm"])
def test_unknown_quirk_is_refused_with_the_names_there_are(server: Server, names: str) -> None:
    with pytest.raises(RequestError, match="quirk must be some of azure"):
        quirks_named(names)
    for path in (f"/quirk={names.replace(' ', '%20')}{PATH}", f"{PATH}?quirk={names.replace(' ', '%20')}"):
        answer = ask(server, "POST", path, json.dumps(body_of(ECHO)).encode(), JSON)
        assert answer.status == 400 and "usage-in-finish" in answer.json()["error"]["message"]


def test_quirk_may_stand_in_the_query(server: Server) -> None:
    answer = ask(server, "POST", f"{PATH}?quirk=crlf", json.dumps(body_of(ECHO)).encode(), JSON)
    assert answer.body.endswith(b"data: [DONE]\r\n\r\n")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", "/v1/completions", "/v2/chat"])
def test_quirks_of_other_wires_are_refused(server: Server, path: str) -> None:
    answer = ask(server, "POST", f"/quirk=crlf{path}", b"{}", JSON)
    assert answer.status == 400 and "chat completions" in str(answer.json())


@pytest.mark.parametrize("path", ["/events", "/journal", "/v1beta/models", "/"])
def test_quirk_where_there_is_none_is_refused(server: Server, path: str) -> None:
    answer = ask(server, "GET", f"/quirk=crlf{path}")
    assert answer.status == 400 and "chat completions" in str(answer.json())


def test_models_have_the_quirks_of_their_query(server: Server) -> None:
    assert ask(server, "GET", "/v1/models?quirk=mistral").json()["data"][0]["type"] == "base"
    assert ask(server, "GET", "/v1/models?quirk=bogus").status == 400


@pytest.mark.parametrize("name", QUIRKS)
def test_request_that_no_answer_fits_is_refused_with_any_quirk(server: Server, name: str) -> None:
    nothing = {"type": "object", "properties": {"a": False}, "required": ["a"]}
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": nothing}}
    assert post(server, name, Prompt("toy", ECHO.messages), response_format=schema).status == 400


def test_any_quirks_together_make_a_stream() -> None:
    chance = random.Random(1)
    written = 0
    for _ in range(400):
        dialect = Quirky(quirks_named(",".join(chance.sample(list(QUIRKS), chance.randrange(2, 9)))))
        prompt = chance.choice([*PROMPTS.values(), Prompt("toy", CALL.messages, tools=CALL.tools, max_tokens=2)])
        body = json.dumps(body_of(prompt, stream=chance.random() < 0.8, n=chance.choice([1, 1, 2]))).encode()
        asked = dialect.read_request(HTTPRequest("POST", PATH, {}, {}, body))
        pieces = generate(asked.prompt)
        if asked.stream:
            written += len(
                b"".join(asked.write(dialect.write_stream(asked, pieces, id="0123456789abcdef", created=1), 0))
            )
        elif prompt is not FAIL:
            assert dialect.write_answer(asked, pieces, id="0123456789abcdef", created=1)["choices"]
    assert written


def body(server: Server, quirks: str, prompt: Prompt = ECHO) -> str:
    return post(server, quirks, prompt).body.decode()


def test_quirks_of_the_stream_hold_together(server: Server) -> None:
    assert "[DONE]" not in body(server, "id-then-comment,no-done")
    assert body(server, "id-then-comment,data-after-done").partition("[DONE]")[2].count("EXTRA") == 1
    assert "event: message\ndata" in body(server, "id-then-comment,event-names")
    for quirk in ("error-vllm", "error-openrouter", "finish-error"):
        assert body(server, f"{quirk},event-names", FAIL).endswith("event: message\ndata: [DONE]\n\n")
        assert "[DONE]" not in body(server, f"{quirk},no-done", FAIL)
    filtered = body(server, "azure,usage-after-done")
    assert filtered.index("prompt_filter") < filtered.index("[DONE]") < filtered.index('"usage":{')


def test_line_ends_of_heartbeats_are_those_of_the_stream() -> None:
    slow = Prompt("toy-slow", (Message("user", "Hi"),), max_tokens=2)
    with running(heartbeat=0.2) as server:
        sent = post(server, "crlf,comment-colon", slow).body
    assert sent.count(b":\r\n\r\n") > 2 and not re.search(rb"(?<!\r)\n", sent)


def test_reasoning_in_a_list_stands_beside_a_refusal(server: Server) -> None:
    seen = chunks(post(server, "content-list,refusal", THINK))
    refused = [text for text in deltas(seen, "refusal") if text not in ("-", None)]
    assert refused and all(isinstance(text, str) for text in refused)
    assert any(isinstance(content, list) for content in deltas(seen, "content"))


def test_whole_answer_has_the_quirks_too(server: Server) -> None:
    def message(name: str, prompt: Prompt) -> Any:
        return post(server, name, prompt, stream=False, stream_options=None).json()["choices"][0]

    assert message("finish-eos", ECHO)["finish_reason"] == "eos_token"
    assert message("reasoning", THINK)["message"]["reasoning"].startswith("They")
    thought, said = message("content-list", THINK)["message"]["content"]
    assert thought["type"] == "thinking" and said["type"] == "text"
    assert [call["id"] for call in message("tools-same-id", CALL)["message"]["tool_calls"]] == ["0", "0"]
    first, second = message("tools-args-object,tools-args-missing", CALL)["message"]["tool_calls"]
    assert isinstance(first["function"]["arguments"]["x"], int) and "arguments" not in second["function"]
    called = message("function-call", CALL)
    assert called["message"]["function_call"]["name"] == "get_a" and "tool_calls" not in called["message"]
    assert called["finish_reason"] == "function_call"
    refused = message("refusal", ECHO)["message"]
    assert (refused["content"], refused["refusal"]) == (None, "Hi you")
    with pytest.raises(ModelFailure):
        Quirky(quirks_named("groq")).write_answer(
            Quirky([]).read_request(HTTPRequest("POST", PATH, {}, {}, json.dumps(body_of(FAIL)).encode())),
            generate(FAIL),
            id=".",
            created=1,
        )


def test_client_cases_of_the_judge_are_those_of_the_quirks() -> None:
    assert quirk_cases.FILE.read_text(encoding="utf-8") == quirk_cases.written(), "make readme writes them"


# ---- What the client makes of it -------------------------------------------------------------------------------------


def outcome(url: str, prompt: Prompt) -> dict[str, Any]:
    """All that a client can tell of an answer."""
    error = ""
    with ChatStream(prompt, url=url, retries=0) as chat:
        try:
            for _ in chat:
                pass
        except StreamError as raised:
            error = str(raised)
    return {
        "outcome": chat.outcome,
        "text": chat.text,
        "reasoning": chat.reasoning,
        "refusal": chat.refusal,
        "calls": [(call.name, json.loads(call.arguments or "null")) for call in chat.tool_calls],
        "finish": chat.finish_reason,
        "usage": chat.usage and (chat.usage.prompt_tokens, chat.usage.completion_tokens),
        "error": error,
        "warnings": chat.warnings,
    }


LATE = ["content came after the finish reason", "a choice finished twice"]
STREAMED = {
    "outcome": "protocol_error",
    "error": "the server does not stream: it sent the whole answer, with application/json",
}
NO_STREAM = {"outcome": "protocol_error", "text": "", "finish": None, "usage": None, "calls": [], "reasoning": ""}
NO_STREAM["error"] = "status 200 with application/x-ndjson in place of an event stream"
# What differs from the answer without the quirk, by quirk and prompt; "*" is any. All else must be the same.
DIFFERENT: dict[tuple[str, str], dict[str, Any]] = {
    ("usage-every-chunk", "fail"): {"usage": (5, 4)},
    ("usage-after-done", "*"): {"warnings": ["the usage came after [DONE]"]},
    ("function-call", "call"): {"calls": [("get_a", {"x": 5})], "finish": "function_call"},
    ("finish-every-chunk", "echo"): {"warnings": LATE},
    ("finish-every-chunk", "think"): {"warnings": LATE, "finish": "stop"},
    ("finish-every-chunk", "fail"): {"warnings": LATE, "finish": "stop"},
    ("finish-every-chunk", "call"): {
        "outcome": "protocol_error",
        "error": "the arguments of a tool call came after the finish reason",
        "calls": [("get_a", None)],
        "finish": "stop",
        "usage": None,
        "warnings": LATE[1:],
    },
    ("finish-eos", "echo"): {"finish": "eos"},
    ("finish-stop-with-tools", "call"): {"finish": "stop"},
    ("refusal", "echo"): {"text": "", "refusal": "Hi you"},
    ("refusal", "think"): {"text": "", "refusal": "{text}"},
    ("refusal", "fail"): {"text": "", "refusal": "{text}"},
    ("tools-index-zero", "call"): {"warnings": ["two tool calls have the same index"]},
    ("ids-change", "*"): {"warnings": ["the id changed from one chunk to another"]},
    ("choice-index-counts", "echo"): {"text": "Hi", "warnings": ["3 choices came, where 1 was asked for"]},
    ("choice-index-counts", "think"): {
        "text": "",
        "reasoning": "They",
        "warnings": ["47 choices came, where 1 was asked for"],
    },
    ("choice-index-counts", "call"): {
        "calls": [("get_a", None)],
        "warnings": ["9 choices came, where 1 was asked for"],
    },
    ("choice-index-counts", "fail"): {"text": "Once"},
    ("finish-error", "fail"): {"error": "the server ended the answer with an error"},
    ("stream-ignored", "*"): STREAMED,
    ("stream-ignored", "fail"): {"outcome": "http_error", "text": "", "error": f"500: {FAILED}"},
    ("content-type", "*"): NO_STREAM,
    ("no-done", "*"): {"warnings": ["[DONE] did not come"]},
    ("no-done", "fail"): {},
    ("done-trailing-space", "*"): {"warnings": ["[DONE] had white space around it"]},
    ("done-trailing-space", "fail"): {},
    ("usage-after-done", "fail"): {},
}
for prompt in ("echo", "think", "call"):
    over = {"outcome": "truncated", "error": "the stream says that it is over, before a finish reason", "finish": None}
    DIFFERENT["choice-index-counts", prompt].update(over)


@pytest.mark.once
@pytest.mark.parametrize("name", QUIRKS)
def test_client_reads_the_same_from_every_quirk(server: Server, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_streams, "READ_ON", 30.0)
    for kind, prompt in PROMPTS.items():
        expected = outcome(f"{server.url}/v1", prompt)
        different = DIFFERENT.get((name, kind), DIFFERENT.get((name, "*"), {}))
        expected |= {member: expected["text"] if value == "{text}" else value for member, value in different.items()}
        read = outcome(f"{server.url}/quirk={name}/v1", prompt)
        if name == "content-type":
            read["error"] = read["error"][: len(expected["error"])]
        assert read == expected, kind


@pytest.mark.once
@pytest.mark.parametrize("name", REFUSALS)
def test_client_finds_the_message_of_every_refusal(server: Server, name: str) -> None:
    read = outcome(f"{server.url}/quirk={name}&fault=refuse/v1", ECHO)
    assert (read["outcome"], read["error"]) == ("http_error", f"429: {REFUSED}")


@pytest.mark.once
@pytest.mark.parametrize("name", SERVICES)
def test_client_loses_nothing_of_any_service(server: Server, name: str) -> None:
    for kind, prompt in PROMPTS.items():
        plain, read = outcome(f"{server.url}/v1", prompt), outcome(f"{server.url}/quirk={name}/v1", prompt)
        for member in ("outcome", "text", "reasoning", "calls"):
            assert read[member] == plain[member], kind
