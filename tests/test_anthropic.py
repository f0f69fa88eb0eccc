"""Anthropic's Messages: what is written event by event, what is read although it is odd, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from raw import JSON, Answer, Wire, ask, request, wait_for
from streaming import steps_to_read

from sse_ref.codec import ServerSentEvent, SSEDecoder
from sse_ref.dialects.anthropic import AnthropicMessages, MessageWriter
from sse_ref.dialects.interface import HTTPRequest, Request
from sse_ref.errors import STATUSES, ApiError, ProtocolError, RequestError
from sse_ref.pieces import (
    Call,
    End,
    Fragment,
    Message,
    Piece,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    Usage,
)
from sse_ref.server import Server, running

WIRE = AnthropicMessages()
BASE: dict[str, Any] = {"model": "toy", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}


def written(*pieces: Piece) -> list[dict[str, Any]]:
    events = WIRE.write_stream(Request(Prompt("toy", ())), pieces, id="0123456789abcdef01234567", created=1)
    data = [(event.event, json.loads(event.data)) for event in events]
    assert all(name == value["type"] for name, value in data)
    return [{name: member for name, member in value.items() if name != "usage"} for _, value in data]


# ---- Written ---------------------------------------------------------------------------------------------------------


def test_text_is_one_block() -> None:
    start, *middle, delta, stop = written(Usage(5, 0), Text("Hel"), Text("lo"), End("stop"), Usage(5, 2))
    message = start["message"]
    assert (message["id"], message["type"], message["role"]) == ("msg_0123456789abcdef01234567", "message", "assistant")
    assert (message["content"], message["stop_reason"], message["stop_sequence"]) == ([], None, None)
    assert middle == [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
    ]
    assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None} and stop == {"type": "message_stop"}


def test_blocks_come_one_after_the_other_and_are_counted() -> None:
    pieces = [Usage(5, 0), Reasoning("hm"), Text("so"), Call(0, "f"), Fragment(0, '{"a'), Fragment(0, '": 1}')]
    events = written(*pieces, Call(1, "g", id="own"), Fragment(1, "{}"), End("tool_calls"), Usage(5, 2))
    assert [(event["type"].removeprefix("content_block_"), event.get("index")) for event in events[1:-2]] == [
        ("start", 0),
        ("delta", 0),
        ("delta", 0),
        ("stop", 0),
        ("start", 1),
        ("delta", 1),
        ("stop", 1),
        ("start", 2),
        *[("delta", 2)] * 3,
        ("stop", 2),
        ("start", 3),
        *[("delta", 3)] * 2,
        ("stop", 3),
    ]
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert starts[0] == {"type": "thinking", "thinking": "", "signature": ""}
    assert starts[2] == {"type": "tool_use", "id": "toolu_0123456789abcdef_0", "name": "f", "input": {}}
    assert starts[3]["id"] == "own"
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert [delta["type"] for delta in deltas[:2]] == ["thinking_delta", "signature_delta"] and deltas[1]["signature"]
    assert [d["partial_json"] for d in deltas if "partial_json" in d] == ["", '{"a', '": 1}', "", "{}"]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("end", "reason", "sequence"),
    [
        (End("stop"), "end_turn", None),
        (End("stop", stop="END"), "stop_sequence", "END"),
        (End("length"), "max_tokens", None),
        (End("tool_calls"), "tool_use", None),
        (End("content_filter"), "refusal", None),
        (End("pause_turn"), "pause_turn", None),
    ],
)
def test_stop_reason_names_what_stopped(end: End, reason: str, sequence: str | None) -> None:
    delta = written(Usage(5, 0), end, Usage(5, 0))[-2]["delta"]
    assert delta == {"stop_reason": reason, "stop_sequence": sequence}


def test_refusal_is_text_and_a_stop_reason() -> None:
    events = written(Usage(5, 0), Refusal("No."), End("stop"), Usage(5, 1))
    assert events[2]["delta"] == {"type": "text_delta", "text": "No."}
    assert events[-2]["delta"]["stop_reason"] == "refusal" and events[-2]["delta"]["stop_details"]["type"] == "refusal"


def test_usage_is_told_at_both_ends() -> None:
    pieces = [Usage(5, 0), Text("a"), End("stop"), Usage(5, 9, reasoning_tokens=4)]
    events = [json.loads(e.data) for e in WIRE.write_stream(Request(Prompt("toy", ())), pieces, id="1", created=1)]
    first, last = events[0]["message"]["usage"], events[-2]["usage"]
    assert (first["input_tokens"], first["output_tokens"]) == (5, 0)
    assert (last["input_tokens"], last["output_tokens"]) == (5, 9)
    assert last["output_tokens_details"] == {"thinking_tokens": 4}


def test_whole_answer_holds_what_the_stream_told() -> None:
    pieces = [
        Usage(5, 0),
        Reasoning("hm"),
        Text("so"),
        Call(0, "f"),
        Fragment(0, '{"a": 1}'),
        End("tool_calls"),
        Usage(5, 2),
    ]
    answer = WIRE.write_answer(Request(Prompt("toy", ())), pieces, id="1", created=1)
    thinking, text, call = answer["content"]
    assert thinking["thinking"] == "hm" and thinking["signature"] and text == {"type": "text", "text": "so"}
    assert call["input"] == {"a": 1} and answer["stop_reason"] == "tool_use" and answer["usage"]["output_tokens"] == 2


@pytest.mark.parametrize(("arguments", "value"), [("", {}), ('{"a', {}), ('{"a": 1}', {"a": 1})])
def test_arguments_that_a_limit_cut_are_an_empty_object_in_a_whole_answer(arguments: str, value: Any) -> None:
    writer = MessageWriter({"id": "msg_1"})
    list(writer.write([Usage(1, 0), Call(0, "f"), Fragment(0, arguments), End("length"), Usage(1, 1)]))
    assert writer.message["content"][0]["input"] == value


# ---- Read ------------------------------------------------------------------------------------------------------------


def event(type: str, name: str | None = None, **members: Any) -> ServerSentEvent:
    return ServerSentEvent(json.dumps({"type": type, **members}), type if name is None else name)


def start(**usage: Any) -> ServerSentEvent:
    return event(
        "message_start", message={"id": "m", "content": [], "usage": {"input_tokens": 5, "output_tokens": 1, **usage}}
    )


def block(index: Any, type: str = "text", **members: Any) -> ServerSentEvent:
    return event("content_block_start", index=index, content_block={"type": type, **members})


def call(index: Any, name: Any = "f", **members: Any) -> ServerSentEvent:
    return block(index, "tool_use", **{"id": "t", "name": name, "input": {}, **members})


def delta(index: Any, **members: Any) -> ServerSentEvent:
    names = {"text": "text_delta", "partial_json": "input_json_delta", "thinking": "thinking_delta"}
    members = {"type": names.get(next(iter(members)), "other_delta"), **members}
    return event("content_block_delta", index=index, delta=members)


def stop(index: Any) -> ServerSentEvent:
    return event("content_block_stop", index=index)


def end(reason: Any = "end_turn", usage: Any = None, **members: Any) -> ServerSentEvent:
    return event("message_delta", delta={"stop_reason": reason, **members}, usage=usage)


OVER = event("message_stop")
PING = event("ping")
HELLO = [start(), block(0, text=""), delta(0, text="Hel"), delta(0, text="lo"), stop(0)]
THOUGHT = [
    block(0, "thinking", thinking=""),
    delta(0, thinking="h"),
    delta(0, type="signature_delta", signature="s"),
    stop(0),
]
SAID = [Usage(5, 1), Text("Hel"), Text("lo")]


def read(*events: ServerSentEvent) -> tuple[list[Piece], Any]:
    reader = WIRE.reader()
    return [piece for one in events for piece in reader.read(one)], reader


def test_stream_is_read() -> None:
    pieces, reader = read(*HELLO, end(usage={"output_tokens": 2}), OVER)
    assert pieces == [*SAID, Usage(5, 2), End("end_turn")]
    assert reader.done and reader.finished and reader.warnings == []


@pytest.mark.parametrize("missing", [[OVER], [end(), OVER]])
def test_stream_without_message_stop_is_not_finished(missing: list) -> None:
    events = [one for one in [*HELLO, end(), OVER] if one not in missing]
    _, reader = read(*events)
    assert not reader.finished and not reader.done


@pytest.mark.parametrize("ending", [[OVER], [end(None), OVER]])
def test_message_stop_without_a_stop_reason_is_not_finished(ending: list) -> None:
    _, reader = read(*HELLO, *ending)
    assert reader.done and not reader.finished


@pytest.mark.parametrize(
    "reason",
    [
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
        "new",
    ],
)
def test_stop_reasons_are_given_as_they_are(reason: str) -> None:
    pieces, reader = read(*HELLO, end(reason), OVER)
    assert pieces[-1] == End(reason) and reader.finished


def test_stop_string_is_told() -> None:
    assert read(*HELLO, end("stop_sequence", stop_sequence="X"))[0][-1] == End("stop_sequence", stop="X")


@pytest.mark.parametrize(
    ("events", "pieces"),
    [
        pytest.param([PING, *HELLO[:2], PING, *HELLO[2:], PING, end(), OVER], SAID, id="pings anywhere"),
        pytest.param([ServerSentEvent("", "ping"), *HELLO, end(), OVER], SAID, id="a ping without data"),
        pytest.param([ServerSentEvent(one.data) for one in [*HELLO, end(), OVER]], SAID, id="no names"),
        pytest.param([ServerSentEvent(one.data, "x") for one in [*HELLO, end(), OVER]], SAID, id="wrong names"),
        pytest.param([*HELLO, end(), end("refusal"), OVER], [*SAID, End("end_turn")], id="two message_deltas"),
        pytest.param(
            [start(), block(3), delta(3, text="a"), end()], [Usage(5, 1), Text("a")], id="an index that skips"
        ),
        pytest.param([start(), block(None), delta(None, text="a"), end()], [Usage(5, 1), Text("a")], id="no index"),
        pytest.param([start(), delta(0, text="a"), end()], [Usage(5, 1), Text("a")], id="no block start"),
        pytest.param([start(), block(0, text="a"), stop(0), end()], [Usage(5, 1), Text("a")], id="text in the start"),
        pytest.param([delta(0, text="a"), end()], [Text("a")], id="no message_start"),
        pytest.param([start(output_tokens=None), end()], [Usage(5, None)], id="half a usage"),
        pytest.param(
            [start(), *THOUGHT, block(1, "redacted_thinking", data="x"), stop(1), end()],
            [Usage(5, 1), Reasoning("h")],
            id="thinking is no text",
        ),
        pytest.param(
            [start(), block(0, text=""), block(1, text=""), delta(1, text="b"), delta(0, text="a"), end()],
            [Usage(5, 1), Text("b"), Text("a")],
            id="two open blocks",
        ),
        pytest.param(
            [
                start(),
                call(0),
                delta(0, partial_json=""),
                delta(0, partial_json='{"a'),
                delta(0, partial_json='":1}'),
                end(),
            ],
            [Usage(5, 1), Call(0, "f", "t"), Fragment(0, '{"a'), Fragment(0, '":1}')],
            id="a call, not closed",
        ),
        pytest.param(
            [start(), call(0), stop(0), end()], [Usage(5, 1), Call(0, "f", "t"), Fragment(0, "{}")], id="no arguments"
        ),
        pytest.param(
            [start(), call(0, input={"a": 1}), stop(0), end()],
            [Usage(5, 1), Call(0, "f", "t"), Fragment(0, '{"a":1}')],
            id="arguments in the start",
        ),
        pytest.param(
            [start(), call(0, input={"a": 1}), delta(0, partial_json='{"a":2}'), stop(0), end()],
            [Usage(5, 1), Call(0, "f", "t"), Fragment(0, '{"a":2}')],
            id="arguments in the start and in a delta",
        ),
        pytest.param(
            [start(), call(0), delta(0, partial_json='{"a":1}'), call(0, "g"), delta(0, partial_json="{}"), end()],
            [Usage(5, 1), Call(0, "f", "t"), Fragment(0, '{"a":1}'), Call(1, "g", "t"), Fragment(1, "{}")],
            id="two calls at one index",
        ),
        pytest.param(
            [start(), call(0), delta(0, partial_json='{"a'), end("max_tokens")],
            [Usage(5, 1), Call(0, "f", "t"), Fragment(0, '{"a')],
            id="a limit cuts arguments",
        ),
        pytest.param(
            [start(), delta(0, text="a\ud83e"), delta(0, text="\udd8a"), end()],
            [Usage(5, 1), Text("a"), Text("\U0001f98a")],
            id="a pair cut in two",
        ),
        pytest.param(
            [start(), delta(0, text="a\ud83e"), end()], [Usage(5, 1), Text("a"), Text("\ufffd")], id="half a pair"
        ),
        pytest.param(
            [
                event(
                    "message",
                    content=[{"type": "text", "text": "Hi"}],
                    stop_reason="end_turn",
                    usage={"output_tokens": 1},
                )
            ],
            [Text("Hi"), Usage(None, 1)],
            id="a whole message",
        ),
    ],
)
def test_unusual_streams_are_read(events: list[ServerSentEvent], pieces: list[Piece]) -> None:
    got, _ = read(*events)
    assert isinstance(got[-1], End) and got[:-1] == pieces


def many_blocks(size: int) -> list[ServerSentEvent]:
    return [start(), *(block(index, text="x") for index in range(size)), *[end()] * size, OVER]


def many_without_an_index(size: int) -> list[ServerSentEvent]:
    return [start(), *[block(None), delta(None, type="text_delta", text="x")] * size, end(), OVER]


def many_calls(size: int) -> list[ServerSentEvent]:
    return [start(), *(call(index, id=f"t{index}") for index in range(size)), *[end("tool_use")] * size, OVER]


@pytest.mark.parametrize("many", [many_blocks, many_without_an_index, many_calls])
def test_what_a_stream_costs_is_in_proportion(many: Callable[[int], list[ServerSentEvent]]) -> None:
    assert steps_to_read(WIRE, many(800)) < 2.5 * steps_to_read(WIRE, many(400))


SERVER_TOOL = [
    block(0, "server_tool_use", id="s", name="search", input={}),
    delta(0, type="input_json_delta", partial_json='{"query": 1}'),
    stop(0),
    block(1, "web_search_tool_result", tool_use_id="s", content=[]),
    stop(1),
]


@pytest.mark.parametrize(
    ("events", "text", "calls"),
    [
        ([start(), *SERVER_TOOL, block(2), delta(2, type="text_delta", text="Hi"), end(), OVER], "Hi", ""),
        ([event("message_start", message={"content": [{"type": "text", "text": "Hi"}]}), end(), OVER], "Hi", ""),
        ([start(), call(0, input='{"a":1}'), stop(0), end("tool_use"), OVER], "", 'f{"a":1}'),
        ([start(), end(), block(0), delta(0, type="text_delta", text="Hi"), OVER], "Hi", ""),
    ],
)
def test_nothing_is_lost(events: list[ServerSentEvent], text: str, calls: str) -> None:
    pieces, reader = read(*events)
    assert reader.finished and "".join(piece.text for piece in pieces if isinstance(piece, Text)) == text
    made = [p.name if isinstance(p, Call) else p.arguments for p in pieces if isinstance(p, Call | Fragment)]
    assert "".join(made) == calls


@pytest.mark.parametrize(
    "events",
    [
        [start(), call(0, input={"a": float("nan")}), stop(0)],
        [start(), call(0), delta(0, type="input_json_delta", partial_json=[])],
        [start(), end(), call(0), delta(0, type="input_json_delta", partial_json='{"a"'), OVER],
        [start(), block(0, text=json.loads("[" * 900 + "]" * 900))],
    ],
)
def test_arguments_that_are_none_are_an_error(events: list[ServerSentEvent]) -> None:
    with pytest.raises(ProtocolError):
        read(*events)


def test_input_of_a_call_is_an_object_whatever_its_schema_says() -> None:
    tools = [{"name": "f", "input_schema": {"type": ["object", "null"], "properties": {}}}]
    assert asked(tools=tools).prompt.tools[0].parameters["type"] == "object"


@pytest.mark.parametrize(
    ("odd", "warning"),
    [
        (event("news"), "news"),
        (block(7, "video"), "video"),
        (delta(0, other="x"), "other_delta"),
        (delta(0, text=None), "null"),
        (start(), "twice"),
        (ServerSentEvent("[DONE]", "done"), "without JSON"),
        (ServerSentEvent(""), "without JSON"),
    ],
)
def test_what_nobody_knows_is_ignored_with_a_warning(odd: ServerSentEvent, warning: str) -> None:
    pieces, reader = read(*HELLO[:-1], odd, end(), OVER)
    assert [piece for piece in pieces if not isinstance(piece, Usage)] == [*SAID[1:], End("end_turn")]
    assert len(reader.warnings) == 1 and warning in reader.warnings[0]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (event("error", error={"type": "overloaded_error", "message": "Overloaded"}), "Overloaded"),
        (event("error", name="", error={"type": "overloaded_error", "message": "Overloaded"}), "Overloaded"),
        (ServerSentEvent('{"error": {"message": "boom"}}'), "boom"),
        (ServerSentEvent('{"error": {"message": "boom"}}', "error"), "boom"),
        (event("error", message="flat"), "flat"),
        (ServerSentEvent("just text", "error"), "just text"),
        (ServerSentEvent('["a", "b"]', "error"), "a; b"),
        (ServerSentEvent("", "error"), "without a message"),
    ],
)
@pytest.mark.parametrize("before", [[], HELLO])
def test_error_in_any_shape_is_an_api_error(before: list, error: ServerSentEvent, message: str) -> None:
    with pytest.raises(ApiError, match=message):
        read(*before, error)


@pytest.mark.parametrize(
    "events",
    [
        [ServerSentEvent("{")],
        [ServerSentEvent("[1]")],
        [event("message_start", message=None)],
        [event("content_block_start", index=0)],
        [event("content_block_delta", index=0, delta=1)],
        [event("content_block_stop", index="x")],
        [block(True)],
        [delta(0, text=1)],
        [delta(0, partial_json="{}")],
        [block(0), delta(0, partial_json="{}")],
        [call(0), stop(0), delta(0, partial_json="{}")],
        [call(0, name="")],
        [call(0, name=None)],
        [call(0, id=7)],
        [call(0), delta(0, partial_json={"a": 1})],
        [call(0), delta(0, partial_json="no JSON"), end("tool_use")],
        [call(0), delta(0, partial_json='{"a":'), end("tool_use")],
        [call(0), call(0, "g"), delta(0, partial_json="{}"), delta(0, partial_json="{}"), end("tool_use")],
        [event("message", content=[1])],
    ],
    ids=str,
)
def test_what_could_be_understood_in_two_ways_is_an_error(events: list[ServerSentEvent]) -> None:
    with pytest.raises(ProtocolError):
        read(*events)


# ---- Requests --------------------------------------------------------------------------------------------------------


def asked(path: str = "/v1/messages", **members: Any) -> Request:
    body = {name: value for name, value in {**BASE, **members}.items() if value != "missing"}
    return WIRE.read_request(HTTPRequest("POST", path, {}, {}, json.dumps(body).encode()))


TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {"a": {}}}}


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"model": "missing"}, "model"),
        ({"max_tokens": "missing"}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"messages": "missing"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [1]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages[0].content[0].tool_use_id"),
        ({"system": 5}, "system"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": [" "]}, "stop_sequences"),
        ({"stop_sequences": ["x"] * 17}, "stop_sequences"),
        ({"stop_sequences": ["x" * 1001]}, "stop_sequences"),
        ({"stream": "yes"}, "stream"),
        ({"temperature": 2}, "temperature"),
        ({"top_p": "x"}, "top_p"),
        ({"top_k": 0.5}, "top_k"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{**TOOL, "name": "two words"}]}, "tools[0].name"),
        ({"tools": [TOOL] * 129}, "tools"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool", "name": "g"}, "tools": [TOOL]}, "tool_choice.name"),
        ({"tool_choice": {"type": "maybe"}, "tools": [TOOL]}, "tool_choice.type"),
        ({"thinking": {"type": "x"}}, "thinking.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, "thinking.budget_tokens"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ],
    ids=str,
)
def test_wrong_request_is_refused_with_the_path_of_the_field(members: dict, field: str) -> None:
    with pytest.raises(RequestError) as caught:
        asked(**members)
    assert caught.value.param == field and field in caught.value.message and caught.value.status == 400


@pytest.mark.parametrize(
    "members",
    [
        {"temperature": 0.5, "top_p": 1, "top_k": 5},
        {"metadata": {"user_id": "u"}, "service_tier": "auto", "container": "c", "diagnostics": {}, "speed": "fast"},
        {"of_the_future": {"x": [1]}, "inference_geo": "eu", "cache_control": {"type": "ephemeral"}},
        {"thinking": {"type": "adaptive"}},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}, {**TOOL, "type": "custom", "strict": True}]},
        {"stop_sequences": [], "system": "", "tools": [], "output_config": {"effort": "low"}},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}, {"type": "new"}]}]},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    ],
    ids=str,
)
def test_request_with_more_members_is_accepted(members: dict) -> None:
    assert asked(**members).prompt.model == "toy"


def test_messages_are_read_with_the_results_of_tools_before_the_text() -> None:
    results = [
        {"type": "text", "text": "and?"},
        {"type": "tool_result", "tool_use_id": "t1", "content": "sunny"},
        {"type": "tool_result", "tool_use_id": "t2", "is_error": True, "content": [{"type": "text", "text": "no"}]},
        {"type": "tool_result", "tool_use_id": "t3"},
    ]
    call = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, call]},
        {"role": "user", "content": results},
        {"role": "system", "content": "be kind"},
    ]
    system = [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]
    assert asked(messages=messages, system=system).prompt.messages == (
        Message("system", "be brief"),
        Message("user", "ab"),
        Message("assistant", ""),
        Message("tool", "sunny", "f"),
        Message("tool", "no"),
        Message("tool", ""),
        Message("user", "and?"),
        Message("system", "be kind"),
    )


@pytest.mark.parametrize(
    ("choice", "neutral"),
    [({"type": "auto"}, "auto"), ({"type": "any"}, "required"), ({"type": "none"}, "none"), (None, "auto")],
)
def test_tool_choice_is_read(choice: Any, neutral: str) -> None:
    assert asked(tools=[TOOL], tool_choice=choice).prompt.tool_choice == neutral
    one = asked(tools=[TOOL, {**TOOL, "name": "g"}], tool_choice={"type": "tool", "name": "g"}).prompt
    assert [tool.name for tool in one.tools] == ["g"] and one.tool_choice == "required"
    alone = {"type": "auto", "disable_parallel_tool_use": True}
    assert not asked(tools=[TOOL], tool_choice=alone).prompt.parallel_tool_calls


def test_thinking_can_be_switched_off() -> None:
    assert asked().prompt.reasoning and not asked(thinking={"type": "disabled"}).prompt.reasoning


def test_count_of_tokens_needs_no_limit_and_asks_for_no_choice() -> None:
    request = asked("/v1/messages/count_tokens", max_tokens="missing", stream=True)
    assert request.prompt.n == 0 and not request.stream


# ---- On the wire -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


def post(server: Server, path: str = "/v1/messages", headers: dict | None = None, **members: Any) -> Answer:
    body = {name: value for name, value in {**BASE, **members}.items() if value != "missing"}
    return ask(server, "POST", path, json.dumps(body).encode(), {**JSON, **(headers or {})})


def events_of(answer: Answer) -> list[tuple[str, dict]]:
    return [(one.event, json.loads(one.data)) for one in SSEDecoder().feed(answer.body)]


@pytest.mark.parametrize("model", ["toy", "toy-echo", "toy-slow", "toy-thinker"])
def test_streamed_and_whole_are_the_same(server: Server, model: str) -> None:
    asked = {"model": model, "temperature": 0, "messages": [{"role": "user", "content": "caf\u00e9 \U0001f98a\u2028"}]}
    events = events_of(post(server, "/heartbeat=0.01/v1/messages", stream=True, **asked))
    whole = post(server, "/heartbeat=0.01/v1/messages", **asked).json()
    texts = [value["delta"]["text"] for _, value in events if value.get("delta", {}).get("type") == "text_delta"]
    assert "".join(texts) == whole["content"][-1]["text"]
    last = next(value for name, value in events if name == "message_delta")
    assert last["usage"] == whole["usage"] and last["delta"]["stop_reason"] == whole["stop_reason"]
    assert events[0][1]["message"]["usage"]["input_tokens"] == whole["usage"]["input_tokens"]


def test_tokens_are_counted(server: Server) -> None:
    whole = post(server, messages=[{"role": "user", "content": "one two"}], system="three").json()
    body = {"max_tokens": "missing", "messages": [{"role": "user", "content": "one two"}], "system": "three"}
    for path in ("/v1/messages/count_tokens", "/v1/messages/count_tokens?beta=true"):
        assert (
            post(server, path, **body).json()
            == {"input_tokens": whole["usage"]["input_tokens"]}
            == {"input_tokens": 11}
        )


def test_silence_is_ended_by_pings(server: Server) -> None:
    answer = post(server, "/heartbeat=0.2/v1/messages", model="toy-slow", stream=True)
    names = [name for name, _ in events_of(answer)]
    assert names[0] == "message_start" and names[1] == "ping"
    assert ("ping", {"type": "ping"}) in events_of(answer)


def streaming(server: Server, path: str = "/v1/messages", **members: Any) -> bytes:
    body = {
        **BASE,
        "model": "toy-echo",
        "stream": True,
        "messages": [{"role": "user", "content": "a " * 900}],
        **members,
    }
    return request("POST", path, json.dumps(body).encode(), JSON)


def test_message_start_does_not_wait_for_the_first_token(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(streaming(server, "/ttft=30/v1/messages"))
        assert wire.until(b"message_start")


def test_model_that_fails_ends_with_an_error_event_or_a_status(server: Server) -> None:
    *_, (name, value) = events_of(post(server, model="toy-flaky", stream=True))
    assert name == "error" and value["error"]["type"] == "api_error" and "failed" in value["error"]["message"]
    names = {name for name, _ in events_of(post(server, model="toy-flaky", stream=True))}
    assert not names & {"message_delta", "message_stop"}
    whole = post(server, model="toy-flaky")
    assert whole.status == 500 and whole.json()["error"]["type"] == "api_error"


@pytest.mark.parametrize("kind", STATUSES)
def test_every_kind_of_error_has_the_vendors_shape(kind: str) -> None:
    value = WIRE.write_error(RequestError(kind, "because"), id="7")
    assert value == {
        "type": "error",
        "error": {"type": value["error"]["type"], "message": "because"},
        "request_id": "req_7",
    }
    right = {"no_key": "authentication_error", "no_model": "not_found_error", "too_many": "rate_limit_error"}
    right |= {"bad_request": "invalid_request_error", "failed": "api_error", "stopping": "overloaded_error"}
    right |= {"too_large": "request_too_large", "timed_out": "timeout_error", "wrong_method": "invalid_request_error"}
    assert value["error"]["type"] == right.get(kind, value["error"]["type"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/messages", 405),
        ("GET", "/v1/messages/batches", 404),
        ("POST", "/v1/messages/batches", 404),
        ("POST", "/fault=nope/v1/messages", 400),
        ("POST", "/fault=refuse/v1/messages", 429),
    ],
)
def test_errors_of_the_shell_have_the_vendors_words(server: Server, method: str, path: str, status: int) -> None:
    answer = ask(server, method, path, json.dumps(BASE).encode() if method == "POST" else b"", JSON)
    assert answer.status == status and answer.json()["type"] == "error" and answer.json()["error"]["message"]
    assert answer.json()["request_id"] == "req_" + answer.headers["request-id"]


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"POST /v1/messages?" + b"a" * 70_000 + b" HTTP/1.1", b"414"), (b"POST /v1/messages HTTP/2.0", b"505")],
)
def test_request_line_that_is_refused_has_the_vendors_words(server: Server, line: bytes, status: bytes) -> None:
    with Wire(server) as wire:
        wire.send(line + b"\r\n\r\n")
        answer = wire.rest()
    assert answer.startswith(b"HTTP/1.1 " + status) and b'{"type":"error","error":{"type":' in answer


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-api-key": "k"}, 200),
        ({"Authorization": "Bearer k"}, 200),
        ({"x-api-key": "k", "Authorization": "Bearer other"}, 200),
        ({"x-api-key": "other", "Authorization": "Bearer k"}, 401),
        ({"Authorization": "Bearer other"}, 401),
        ({}, 401),
    ],
)
def test_key_may_come_in_either_header(headers: dict, status: int) -> None:
    with running(api_key="k") as server:
        answer = post(server, headers=headers)
        assert answer.status == status
        shared = ask(server, "GET", "/v1/models", headers=headers).status  # where every dialect's way counts
        assert shared == (200 if {"k", "Bearer k"} & set(headers.values()) else 401)
    if status == 401:
        assert answer.json()["error"]["type"] == "authentication_error"


def test_models_are_listed_for_both_providers(server: Server) -> None:
    answer = ask(server, "GET", "/v1/models?limit=20")
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    listed = answer.json()
    assert listed["object"] == "list" and listed["has_more"] is False
    assert (listed["first_id"], listed["last_id"]) == (listed["data"][0]["id"], listed["data"][-1]["id"])
    one = ask(server, "GET", "/v1/models/toy").json()
    assert (
        listed["data"][0].items() <= one.items()
        and one["object"] == one["type"] == "model"
        and one["display_name"] == "toy"
    )


def test_cancelling_is_seen_in_the_journal(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(streaming(server, "/tps=100/v1/messages"))
        wire.until(b"text_delta")
    assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")
    assert 0 < server.journal[-1]["left_at_token"] < 800


def test_server_that_stops_says_so_in_an_error_event() -> None:
    with running(ttft=30) as server, Wire(server) as wire:
        wire.send(streaming(server))
        wire.until(b"message_start")
        server.shutdown()
        rest = wire.rest()
    assert (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"the server is stopping"}}'
        in rest
    )
