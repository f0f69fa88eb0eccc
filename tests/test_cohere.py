"""Cohere's Chat: what is written event by event, what is read although it is odd, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hostile import Hold, chunk, head
from raw import JSON, Answer, Wire, ask, request, wait_for
from streaming import ask as stream_of
from streaming import complete, failed

from sse_ref.codec import ServerSentEvent, SSEDecoder
from sse_ref.dialects.cohere import CohereChat
from sse_ref.dialects.interface import HTTPRequest, Request
from sse_ref.errors import STATUSES, ApiError, ProtocolError, RequestError
from sse_ref.pieces import Call, End, Fragment, Message, ModelFailure, Piece, Prompt, Reasoning, Refusal, Text, Usage
from sse_ref.server import Server, running

WIRE = CohereChat()
ID = "0123456789abcdef01234567"
BASE: dict[str, Any] = {"model": "toy-echo", "messages": [{"role": "user", "content": "hi"}]}


def written(*pieces: Piece) -> list[dict[str, Any]]:
    *events, done = WIRE.write_stream(Request(Prompt("toy", ())), pieces, id=ID, created=1)
    data = [(event.event, json.loads(event.data)) for event in events]
    assert done == ServerSentEvent("[DONE]") and all(name == value["type"] for name, value in data)
    return [value for _, value in data]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


# ---- Written ---------------------------------------------------------------------------------------------------------


def test_text_is_one_content() -> None:
    start, begin, first, second, end, last = written(Usage(5, 0), Text("Hel"), Text("lo"), End("stop"), Usage(5, 2))
    assert start["id"] == ID and start["delta"]["message"]["role"] == "assistant"
    assert begin == {
        "type": "content-start",
        "index": 0,
        "delta": {"message": {"content": {"type": "text", "text": ""}}},
    }
    assert [part["delta"]["message"]["content"] for part in (first, second)] == [{"text": "Hel"}, {"text": "lo"}]
    assert end == {"type": "content-end", "index": 0}
    tokens = {"input_tokens": 5, "output_tokens": 2}
    assert last["delta"] == {"finish_reason": "COMPLETE", "usage": {"billed_units": tokens, "tokens": tokens}}


def test_thoughts_are_a_content_of_their_own() -> None:
    events = written(Usage(5, 0), Reasoning("hm"), Text("a"), Refusal("b"), End("stop"))
    content = ["content-start", "content-delta"]
    assert kinds(events)[1:-1] == [*content, "content-end", *content, "content-delta", "content-end"]
    assert [event["index"] for event in events[1:-1]] == [0, 0, 0, 1, 1, 1, 1]
    assert events[1]["delta"]["message"]["content"] == {"type": "thinking", "thinking": ""}
    assert events[2]["delta"]["message"]["content"] == {"thinking": "hm"}


def test_calls_come_one_after_the_other_in_fragments() -> None:
    calls = [Call(0, "f"), Fragment(0, '{"a":'), Fragment(0, "1}"), Call(1, "g"), Fragment(1, "{}"), End("tool_calls")]
    events = written(Usage(5, 0), *calls)
    delta = "tool-call-delta"
    assert kinds(events) == [
        "message-start",
        *("tool-call-start", delta, delta, "tool-call-end"),
        *("tool-call-start", delta, "tool-call-end"),
        "message-end",
    ]
    assert [event["index"] for event in events[1:-1]] == [0, 0, 0, 0, 1, 1, 1]
    first, other = (events[place]["delta"]["message"]["tool_calls"] for place in (1, 5))
    assert first["function"] == {"name": "f", "arguments": ""} and first["type"] == "function"
    assert first["id"] and first["id"] != other["id"]
    assert events[2]["delta"]["message"]["tool_calls"] == {"function": {"arguments": '{"a":'}}
    assert events[-1]["delta"]["finish_reason"] == "TOOL_CALL"


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (End("stop"), "COMPLETE"),
        (End("stop", stop="x"), "STOP_SEQUENCE"),
        (End("length"), "MAX_TOKENS"),
        (End("content_filter"), "COMPLETE"),
    ],
)
def test_finish_reasons_have_the_vendors_words(end: End, reason: str) -> None:
    assert written(Usage(1, 0), end)[-1]["delta"]["finish_reason"] == reason


@pytest.mark.parametrize("text", ["[DONE]", "a[DONE]b [DONE]", "[[DONE]]"])
def test_text_never_holds_the_end_mark_on_the_wire(text: str) -> None:
    events = list(
        WIRE.write_stream(Request(Prompt("toy", ())), [Usage(1, 0), Text(text), End("stop")], id=ID, created=1)
    )
    assert sum("[DONE]" in event.data for event in events) == 1
    assert json.loads(events[2].data)["delta"]["message"]["content"]["text"] == text


def test_failure_closes_what_is_open_and_ends_the_message_with_usage() -> None:
    def failing() -> Any:
        yield from (Usage(5, 0), Text("a"), Text("b", tokens=2))
        raise ModelFailure("broken")

    *_, end, last, done = WIRE.write_stream(Request(Prompt("toy", ())), failing(), id=ID, created=1)
    assert end.event == "content-end" and done.data == "[DONE]"
    delta = json.loads(last.data)["delta"]
    assert (delta["finish_reason"], delta["error"]) == ("ERROR", "broken")
    assert delta["usage"]["tokens"] == {"input_tokens": 5, "output_tokens": 3}


def whole(*pieces: Piece) -> dict[str, Any]:
    return WIRE.write_answer(Request(Prompt("toy", ())), [Usage(5, 0), *pieces], id=ID, created=1)


def test_whole_answer_is_what_the_stream_comes_to() -> None:
    answer = whole(Reasoning("h"), Reasoning("m"), Text("a"), Text("b"), End("stop"), Usage(5, 4))
    contents = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ab"}]
    assert answer["message"] == {"role": "assistant", "content": contents}
    assert (answer["id"], answer["finish_reason"], answer["usage"]["tokens"]["output_tokens"]) == (ID, "COMPLETE", 4)
    called = whole(Call(0, "f"), Fragment(0, '{"a":'), Fragment(0, "1}"), End("tool_calls"))["message"]
    assert "content" not in called and called["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert whole(End("stop"))["message"]["content"] == [{"type": "text", "text": ""}]


@pytest.mark.parametrize("kind", STATUSES)
def test_every_kind_of_error_has_a_message_on_top(kind: str) -> None:
    assert WIRE.write_error(RequestError(kind, "because"), id="7") == {"id": "7", "message": "because"}
    assert WIRE.write_error(RequestError(kind, "because")) == {"message": "because"}


# ---- Read ------------------------------------------------------------------------------------------------------------


def message(kind: str, index: int | None = 0, **members: Any) -> dict[str, Any]:
    value = {"type": kind, "delta": {"message": members}}
    return value if index is None else {**value, "index": index}


def call(kind: str, index: int | None = 0, **members: Any) -> dict[str, Any]:
    function = {name: members.pop(name) for name in ("name", "arguments") if name in members}
    return message(f"tool-call-{kind}", index, tool_calls={**members, "function": function})


START = message("content-start", content={"type": "text", "text": ""})
HELLO = message("content-delta", content={"text": "Hello"})
TOKENS = {"tokens": {"input_tokens": 5, "output_tokens": 2.0}}
END: dict[str, Any] = {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": TOKENS}}
CALLED: dict[str, Any] = {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}}


def read(*values: Any) -> tuple[list[Piece], Any]:
    reader = WIRE.reader()
    events = [value if isinstance(value, ServerSentEvent) else ServerSentEvent(json.dumps(value)) for value in values]
    return [piece for event in events for piece in reader.read(event)], reader


def test_message_end_is_the_end() -> None:
    pieces, reader = read(START, HELLO, {"type": "content-end", "index": 0}, END)
    assert pieces == [Text("Hello"), Usage(5, 2), End("COMPLETE")]
    assert reader.done and reader.finished and reader.warnings == []
    pieces, reader = read(START, HELLO, ServerSentEvent("[DONE]"))
    assert pieces == [Text("Hello")] and reader.done and not reader.finished


def test_type_may_stand_in_the_name_alone() -> None:
    events = [
        ServerSentEvent(json.dumps({k: v for k, v in e.items() if k != "type"}), e["type"]) for e in (START, HELLO, END)
    ]
    assert read(*events)[0][0] == Text("Hello")


def test_content_without_its_start_or_index_is_read_and_told() -> None:
    pieces, reader = read(HELLO, END)
    assert pieces[0] == Text("Hello") and reader.warnings == ["a content came without its start"]
    pieces, reader = read({**HELLO, "index": None}, END)
    assert pieces[0] == Text("Hello") and reader.warnings == ["a content came without an index"]


def test_text_in_the_start_of_a_content_is_kept() -> None:
    begun = message("content-start", content={"type": "text", "text": "Hel"})
    assert read(begun, message("content-delta", content={"text": "lo"}), END)[0][:2] == [Text("Hel"), Text("lo")]


def test_thoughts_and_plans_are_no_text() -> None:
    thought = message("content-start", content={"type": "thinking", "thinking": ""})
    plan = message("tool-plan-delta", None, tool_plan="I will")
    pieces, _ = read(plan, thought, message("content-delta", content={"thinking": "hm"}), START, HELLO, END)
    assert pieces[:3] == [Reasoning("I will"), Reasoning("hm"), Text("Hello")]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([call("start", id="1", name="f", arguments=""), call("delta", arguments='{"a":1}')], ["f", '{"a":1}']),
        ([call("start", id="1", name="f", arguments='{"a":'), call("delta", arguments="1}")], ["f", '{"a":1}']),
        ([call("start", name="f"), call("delta", None, arguments="{}")], ["f", "{}"]),
        ([call("start", name="f")], ["f", "{}"]),
        ([call("start", None, name="f", arguments={"a": 1})], ["f", '{"a": 1}']),
    ],
)
def test_call_is_put_together(events: list[Any], expected: list[str]) -> None:
    pieces, _ = read(*events, CALLED)
    called, fragments = pieces[0], [piece.arguments for piece in pieces if isinstance(piece, Fragment)]
    assert isinstance(called, Call) and [called.name, "".join(fragments)] == expected


def test_calls_that_take_turns_are_told_apart_by_their_index() -> None:
    starts = [call("start", 0, id="1", name="f"), call("start", 1, id="2", name="g")]
    pieces, _ = read(*starts, call("delta", 1, arguments="{}"), call("delta", 0, arguments='{"a":1}'), CALLED)
    assert [piece for piece in pieces if isinstance(piece, Fragment)] == [Fragment(1, "{}"), Fragment(0, '{"a":1}')]


def test_calls_in_a_list_are_read_and_told() -> None:
    event = message("tool-call-start", tool_calls=[{"id": "1", "function": {"name": "f", "arguments": "{}"}}])
    pieces, reader = read(event, CALLED)
    assert pieces[:2] == [Call(0, "f", "1"), Fragment(0, "{}")] and reader.warnings == ["tool_calls was no object"]


@pytest.mark.parametrize(
    "events",
    [
        [call("start", id="1")],
        [call("delta", 3, arguments="{}")],
        [call("start", name="f", arguments='{"a"'), CALLED],
        [call("start", name="f", arguments="{}{}"), CALLED],
        [message("content-delta", content="text")],
        [message("content-delta", content={"text": 5})],
        [{"type": "content-delta", "index": "0", "delta": {}}],
        [{"type": "content-delta", "index": 0, "delta": []}],
        [{"type": "content-delta", "index": 0, "delta": "Hel"}],
        [{"type": "content-delta", "index": 0, "delta": {"message": "Hel"}}],
        [{"type": "content-delta", "index": True, "delta": {"message": {"content": {"text": "Hel"}}}}],
        [{"type": "message-end", "delta": "x"}],
        [{"event_type": "text-generation", "text": "Hello"}],
        [{"event_type": "stream-end", "finish_reason": "COMPLETE", "response": {}}],
        [ServerSentEvent("{")],
        [ServerSentEvent("[]")],
    ],
)
def test_what_cannot_be_understood_is_an_error(events: list[Any]) -> None:
    with pytest.raises(ProtocolError):
        read(*events)


def test_arguments_may_be_cut_by_a_limit() -> None:
    limit = {"type": "message-end", "delta": {"finish_reason": "MAX_TOKENS"}}
    assert read(call("start", name="f", arguments='{"a"'), limit)[0][-1] == End("MAX_TOKENS")


@pytest.mark.parametrize(
    "error",
    [
        {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "boom"}},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "error": "boom"}},
        {"message": "boom"},
        {"error": {"message": "boom"}},
        ServerSentEvent('{"message":"boom"}', "error"),
        {"type": "error", "message": "boom"},
    ],
)
def test_error_inside_the_stream_is_known_in_each_shape(error: Any) -> None:
    with pytest.raises(ApiError, match=r"^boom$"):
        read(START, HELLO, error)


def test_error_without_a_message_is_one() -> None:
    for error in ({"error": {}}, {"type": "message-end", "delta": {"finish_reason": "ERROR"}}):
        with pytest.raises(ApiError):
            read(error)


def test_events_that_say_nothing_of_the_answer_are_passed_over() -> None:
    citation = message("citation-start", citations={"start": 0})
    pieces, reader = read(
        {"type": "debug", "prompt": "x"}, citation, {"type": "citation-end"}, START, HELLO, {"type": "new"}, END
    )
    assert pieces[0] == Text("Hello") and reader.warnings == ["an event of the type new was ignored"]


def test_delta_without_a_type_is_an_error_and_other_objects_are_told() -> None:
    with pytest.raises(ProtocolError, match="has no type"):
        read(START, {key: value for key, value in HELLO.items() if key != "type"})
    for odd in ({"odd": 1}, {"error": None}, {"index": "x"}):
        assert read(odd)[1].warnings == [f"an event without a type was ignored: {json.dumps(odd)}"]
    assert read({"type": "debug", "index": "x"})[1].warnings == []


def test_message_may_begin_with_content_calls_and_a_plan() -> None:
    content = [{"type": "text", "text": "Hel"}]
    calls = [{"id": "1", "function": {"name": "f", "arguments": '{"a":'}}]
    begun = message("message-start", None, content=content, tool_plan="I will", tool_calls=calls)
    pieces, _ = read(begun, HELLO, call("delta", 0, arguments="1}"), CALLED)
    assert pieces[:5] == [Reasoning("I will"), Text("Hel"), Call(0, "f", "1"), Fragment(0, '{"a":'), Text("Hello")]
    assert pieces[5:] == [Fragment(0, "1}"), End("TOOL_CALL")]


@pytest.mark.parametrize("kind", ["content-end", "tool-call-end", "message-end"])
def test_what_comes_with_an_end_is_told(kind: str) -> None:
    late = message(kind, content={"text": "!"})
    late["delta"]["finish_reason"] = "COMPLETE"
    pieces, reader = read(START, HELLO, late)
    assert pieces[0] == Text("Hello") and "!" in reader.warnings[0] and len(reader.warnings) == 1


def test_text_beside_an_error_comes_before_it() -> None:
    reader = WIRE.reader()
    pieces = []
    with pytest.raises(ApiError, match="boom"):
        for piece in reader.read(ServerSentEvent(json.dumps({**HELLO, "error": "boom"}))):
            pieces.append(piece)
    assert pieces == [Text("Hello")]


def test_content_of_a_message_may_be_a_text() -> None:
    assert read(message("message-start", None, content="Hel"), HELLO)[0] == [Text("Hel"), Text("Hello")]
    assert read(message("message-start", None, content=""))[0] == []
    whole = {"finish_reason": "COMPLETE", "message": {"content": "Hello"}}
    assert read(whole)[0] == [Text("Hello"), End("COMPLETE")]


def test_object_with_a_finish_reason_and_no_message_is_told() -> None:
    pieces, reader = read(START, HELLO, {"finish_reason": "COMPLETE"})
    assert pieces == [Text("Hello")] and not reader.finished and len(reader.warnings) == 1


def test_plan_without_a_text_is_told() -> None:
    pieces, reader = read(message("tool-plan-delta", None, tool_plan=None), message("tool-plan-delta", None))
    assert pieces == [] and reader.warnings == ["a tool plan came without its text"]


def test_odd_members_of_what_is_passed_over_do_not_matter() -> None:
    _, reader = read({"type": "debug", "delta": "x"}, {"type": "new", "delta": ["x"]})
    assert reader.warnings == ["an event of the type new was ignored"]


def test_half_a_character_at_the_end_of_each_kind_of_text_is_told() -> None:
    contents = [message("content-delta", 0, content={kind: "?"}) for kind in ("thinking", "text")]
    halves = [json.dumps(one).replace("?", "\\ud83e") for one in (*contents, call("start", name="f"))]
    cut = json.dumps(call("delta", arguments='"?"')).replace('?\\"', "\\ud83e")
    pieces = read(
        *map(ServerSentEvent, [*halves, cut]), {"type": "message-end", "delta": {"finish_reason": "MAX_TOKENS"}}
    )[0]
    assert pieces[-4:-1] == [Reasoning("\ufffd"), Text("\ufffd"), Fragment(0, "\ufffd")]


def test_content_may_begin_with_nothing() -> None:
    pieces, reader = read({"type": "content-start", "index": 0}, HELLO, END)
    assert pieces[0] == Text("Hello") and reader.warnings == []


def test_half_a_character_in_a_name_is_replaced() -> None:
    end = {"type": "message-end", "delta": {"finish_reason": "S\ud83e"}}
    pieces, _ = read(call("start", name="f\ud83e", id="\udd8a"), end)
    assert pieces == [Call(0, "f\ufffd", "\ufffd"), Fragment(0, "{}"), End("S\ufffd")]


def test_time_that_is_over_may_cut_arguments() -> None:
    over = {"type": "message-end", "delta": {"finish_reason": "TIMEOUT"}}
    assert read(call("start", name="f", arguments='{"a"'), over)[0][-1] == End("TIMEOUT")


def test_timeout_of_the_service_is_told() -> None:
    pieces, reader = read(START, HELLO, {"type": "message-end", "delta": {"finish_reason": "TIMEOUT"}})
    assert pieces[-1] == End("TIMEOUT") and reader.finished and len(reader.warnings) == 1


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (TOKENS, [Usage(5, 2)]),
        ({"billed_units": {"input_tokens": 1, "output_tokens": 2}}, [Usage(1, 2)]),
        ({"tokens": {}}, []),
        (None, []),
    ],
)
def test_usage_is_read_where_it_is(usage: Any, expected: list[Usage]) -> None:
    pieces, _ = read({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}})
    assert pieces[:-1] == expected


def told(*values: Any, done: bool = True, end: Any = (b"0\r\n\r\n",), **options: Any) -> Any:
    parts = [b"data: %b\n\n" % json.dumps(value).encode() for value in values] + [b"data: [DONE]\n\n"] * done
    return stream_of([head(), *map(chunk, parts), *end], dialect="cohere", **options)


def test_answer_is_whole_with_message_end_and_nothing_else() -> None:
    assert complete(told(START, HELLO, END)).warnings == []
    complete(told(START, HELLO, END, done=False))
    complete(told(START, HELLO, END, done=False, end=[Hold()]))
    failed(told(START, HELLO), "truncated")
    failed(told(START, HELLO, done=False), "truncated")
    failed(told(START, HELLO, done=False, end=[]), "truncated")
    failed(told(START, HELLO, {"type": "message-end", "delta": {"finish_reason": None}}), "truncated")


def test_answer_of_a_server_that_does_not_stream_keeps_its_text() -> None:
    body = json.dumps(
        {"id": "1", "finish_reason": "COMPLETE", "message": {"content": [{"type": "text", "text": "Hello"}]}}
    )
    script = [head(kind="application/json"), chunk(body.encode()), b"0\r\n\r\n"]
    failed(stream_of(script, dialect="cohere"), "protocol_error", match="does not stream")


# ---- Requests --------------------------------------------------------------------------------------------------------


def prompt_of(**body: Any) -> Prompt:
    return WIRE.read_request(HTTPRequest("POST", "/v2/chat", {}, {}, json.dumps({**BASE, **body}).encode())).prompt


def test_conversation_is_read_in_each_form() -> None:
    prompt = prompt_of(
        messages=[
            {"role": "system", "content": "brief"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}],
            },
            {"role": "assistant", "tool_calls": [{"id": "1"}], "tool_plan": "x"},
            {"role": "tool", "tool_call_id": "1", "content": "12"},
            {"role": "tool", "tool_call_id": "2", "content": [{"type": "document", "document": {"data": "13"}}]},
            {"role": "tool", "tool_call_id": "3", "content": [{"type": "document", "document": {"data": {"t": 1}}}]},
        ]
    )
    texts = [
        ("system", "brief"),
        ("user", "ab"),
        ("assistant", ""),
        ("tool", "12"),
        ("tool", "13"),
        ("tool", '{"t": 1}'),
    ]
    assert prompt.messages == tuple(Message(*text) for text in texts)


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"properties": {}}}}


def test_options_are_read() -> None:
    options = {"max_tokens": 5, "stop_sequences": ["x"], "seed": 7, "temperature": 0.5, "p": 0.5, "k": 3}
    prompt = prompt_of(**options, tools=[TOOL], tool_choice="REQUIRED", thinking={"type": "disabled"}, documents=[])
    assert (prompt.max_tokens, prompt.stop, prompt.seed, prompt.temperature) == (5, ("x",), 7, 0.5)
    assert prompt.tools[0].name == "f" and prompt.tool_choice == "required" and not prompt.reasoning
    assert prompt_of(tools=[TOOL], tool_choice="NONE").tool_choice == "none"
    assert prompt_of(model="models/toy").model == "toy"
    edges = {"p": 0.01, "k": 0, "frequency_penalty": 1, "presence_penalty": 0, "stop_sequences": list("abcde")}
    assert prompt_of(**edges).stop == tuple("abcde") and prompt_of(p=0.99, k=500, seed=2**64 - 1).seed == 2**64 - 1
    for name in ("json_schema", "schema"):
        assert prompt_of(response_format={"type": "json_object", name: {"type": "array"}}).schema == {"type": "array"}
    assert prompt_of(response_format={"type": "json_object"}).schema and prompt_of().schema is None
    assert prompt_of(response_format={"type": "text"}).schema is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        (
            {"messages": [{"role": "tool", "tool_call_id": "1", "content": [{"type": "document"}]}]},
            "content[0].document",
        ),
        ({"model": None}, "model"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"p": 1}, "p"),
        ({"p": 0}, "p"),
        ({"k": 501}, "k"),
        ({"k": -1}, "k"),
        ({"frequency_penalty": -0.1}, "frequency_penalty"),
        ({"frequency_penalty": 1.1}, "frequency_penalty"),
        ({"presence_penalty": -0.1}, "presence_penalty"),
        ({"presence_penalty": 1.1}, "presence_penalty"),
        ({"seed": -1}, "seed"),
        ({"stop_sequences": ["a"] * 6}, "stop_sequences"),
        ({"stop_sequences": "a"}, "stop_sequences"),
        ({"tool_choice": "AUTO"}, "tool_choice"),
        ({"tool_choice": "REQUIRED"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"thinking": {"type": "maybe"}}, "thinking.type"),
        ({"tools": [{}]}, "tools[0].function"),
    ],
)
def test_wrong_request_is_refused_with_the_path_of_what_is_wrong(body: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        prompt_of(**body)
    assert refused.value.kind == "bad_request" and str(refused.value.param).endswith(param)


# ---- On a server -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Any:
    with running() as server:
        yield server


def post(server: Server, path: str = "/v2/chat", headers: Any = (), **body: Any) -> Answer:
    return ask(server, "POST", path, json.dumps({**BASE, **body}).encode(), {**JSON, **dict(headers)})


@pytest.mark.parametrize("path", ["/v2/chat", "/split=7/v2/chat"])
def test_stream_ends_with_message_end_and_done(server: Server, path: str) -> None:
    answer = post(server, path, stream=True)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = SSEDecoder().feed(answer.body)
    assert [event.event for event in events][-2:] == ["message-end", "message"] and events[-1].data == "[DONE]"
    assert read(*events[:-1])[0][0] == Text("hi")


def test_stream_and_whole_answer_agree(server: Server) -> None:
    events = SSEDecoder().feed(post(server, stream=True, model="toy", seed=3).body)
    pieces, _ = read(*events[:-1])
    answer = post(server, model="toy", seed=3).json()
    assert "".join(p.text for p in pieces if isinstance(p, Text)) == answer["message"]["content"][0]["text"]
    assert json.loads(events[-2].data)["delta"]["usage"] == answer["usage"]


def test_max_tokens_may_be_nought(server: Server) -> None:
    answer = post(server, max_tokens=0).json()
    assert (answer["finish_reason"], answer["usage"]["tokens"]["output_tokens"]) == ("MAX_TOKENS", 0)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/chat", 405),
        ("POST", "/v2/embed", 404),
        ("POST", "/fault=nope/v2/chat", 400),
        ("POST", "/fault=refuse/v2/chat", 429),
        ("POST", "/quirk=groq/v2/chat", 400),
    ],
)
def test_errors_have_the_vendors_words(server: Server, method: str, path: str, status: int) -> None:
    answer = ask(server, method, path, json.dumps(BASE).encode() if method == "POST" else b"", JSON)
    assert answer.status == status and set(answer.json()) == {"id", "message"}


def test_key_is_needed_where_there_is_one() -> None:
    with running(api_key="k") as server:
        assert post(server, headers={"Authorization": "Bearer k"}).status == 200
        for headers in ({}, {"Authorization": "Bearer no"}, {"x-api-key": "k"}):
            assert post(server, headers=headers).status == 401


def test_failure_of_a_whole_answer_is_a_500(server: Server) -> None:
    answer = post(server, model="toy-flaky")
    assert answer.status == 500 and "failed" in answer.json()["message"]


def test_server_that_stops_says_so() -> None:
    with running(ttft=30) as server, Wire(server) as wire:
        wire.send(request("POST", "/v2/chat", json.dumps({**BASE, "stream": True}).encode(), JSON))
        wire.until(b"message-start")
        server.shutdown()
        assert b'"finish_reason":"ERROR","error":"the server is stopping"' in wire.rest()


def test_cancelling_is_seen_in_the_journal(server: Server) -> None:
    body = {**BASE, "model": "toy", "stream": True}
    with Wire(server) as wire:
        wire.send(request("POST", "/tps=100/v2/chat", json.dumps(body).encode(), JSON))
        wire.until(b"content-delta")
    assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")


@pytest.mark.parametrize("base", ["", "/v1", "/v2", "/v2/"])
def test_address_is_found_below_any_base(base: str) -> None:
    assert WIRE.address(f"http://h{base}?a=1", Request(Prompt("toy", ()))) == "http://h/v2/chat?a=1"
