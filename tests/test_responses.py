"""OpenAI's Responses: what is written event by event, what is read although it is odd, what is refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from raw import JSON, Answer, Wire, ask, request, wait_for
from streaming import steps_to_read

from sse_ref.codec import ServerSentEvent, SSEDecoder
from sse_ref.dialects.interface import HTTPRequest, Request
from sse_ref.dialects.responses import OpenAIResponses
from sse_ref.dialects.strict_json import to_json
from sse_ref.errors import ApiError, ProtocolError, RequestError
from sse_ref.pieces import (
    Call,
    End,
    Fragment,
    Message,
    ModelFailure,
    Piece,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    TokenLogprob,
    Usage,
)
from sse_ref.server import Server, running

WIRE = OpenAIResponses()
ID = "0123456789abcdef01234567"
BASE: dict[str, Any] = {"model": "toy", "input": "hi"}


def written(*pieces: Piece) -> list[dict[str, Any]]:
    events = WIRE.write_stream(Request(Prompt("toy", ())), pieces, id=ID, created=1)
    data = [(event.event, json.loads(event.data)) for event in events]
    assert all(name == value["type"] for name, value in data)
    assert [value["sequence_number"] for _, value in data] == list(range(len(data)))
    return [value for _, value in data]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


# ---- Written ---------------------------------------------------------------------------------------------------------

TEXT = ["output_item.added", "content_part.added", "output_text.delta"]
TEXT_DONE = ["output_text.done", "content_part.done", "output_item.done"]


def test_text_is_one_part_of_one_item() -> None:
    events = written(Usage(5, 0), Text("Hel"), Text("lo"), End("stop"), Usage(5, 2))
    assert kinds(events) == ["created", "in_progress", *TEXT, "output_text.delta", *TEXT_DONE, "completed"]
    created, _, item, part, delta, _, text_done, part_done, item_done, completed = events
    assert (created["response"]["id"], created["response"]["status"]) == (f"resp_{ID}", "in_progress")
    assert (created["response"]["output"], created["response"]["usage"]) == ([], None)
    id = item["item"]["id"]
    assert item["item"] == {"id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    place = {"item_id": id, "output_index": 0, "content_index": 0}
    assert {name: part[name] for name in place} == {name: delta[name] for name in place} == place
    assert part["part"] == {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    assert (delta["delta"], delta["logprobs"], text_done["text"]) == ("Hel", [], "Hello")
    assert part_done["part"]["text"] == "Hello"
    assert item_done["item"] == {**item["item"], "status": "completed", "content": [part_done["part"]]}
    assert completed["response"]["output"] == [item_done["item"]] and completed["response"]["status"] == "completed"
    assert completed["response"]["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    }


def test_items_come_one_after_the_other_and_are_counted() -> None:
    pieces = [Usage(5, 0), Reasoning("hm"), Text("so"), Call(0, "f"), Fragment(0, '{"a'), Fragment(0, '": 1}')]
    events = written(*pieces, Call(1, "g", id="own"), Fragment(1, "{}"), End("tool_calls"), Usage(5, 9, 3))
    summary = ["output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"]
    summary += ["reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"]
    arguments = "function_call_arguments"
    first = ["output_item.added", f"{arguments}.delta", f"{arguments}.delta", f"{arguments}.done", "output_item.done"]
    second = ["output_item.added", f"{arguments}.delta", f"{arguments}.done", "output_item.done"]
    assert kinds(events)[2:-1] == [*summary, *TEXT, *TEXT_DONE, *first, *second]
    indexes = [event["output_index"] for event in events[2:-1]]
    assert indexes == [0] * 6 + [1] * 6 + [2] * 5 + [3] * 4
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "function_call", "function_call"]
    assert output == [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert output[0]["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert output[2]["arguments"] == '{"a": 1}' and output[3]["call_id"] == "own" and output[2]["call_id"]
    assert len({item["id"] for item in output}) == 4
    assert events[-1]["response"]["usage"]["output_tokens_details"] == {"reasoning_tokens": 3}
    added = next(e for e in events if e["type"] == "response.output_item.added" and e["output_index"] == 2)
    assert added["item"]["arguments"] == "" and added["item"]["id"] != added["item"]["call_id"]


def test_refusal_is_a_part_of_its_own() -> None:
    events = written(Usage(5, 0), Text("a"), Refusal("No."), End("stop"), Usage(5, 2))
    refusal = ["content_part.added", "refusal.delta", "refusal.done", "content_part.done", "output_item.done"]
    assert kinds(events)[2:-1] == [*TEXT, *TEXT_DONE[:2], *refusal]
    assert events[-1]["response"]["output"][0]["content"][1] == {"type": "refusal", "refusal": "No."}
    assert [event["content_index"] for event in events if "content_index" in event] == [0] * 4 + [1] * 4


@pytest.mark.parametrize(("reason", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_answer_that_is_cut_is_incomplete(reason: str, why: str) -> None:
    events = written(Usage(5, 0), Text("a"), End(reason), Usage(5, 1))
    last = events[-1]["response"]
    assert events[-1]["type"] == "response.incomplete" and last["incomplete_details"] == {"reason": why}
    assert last["status"] == last["output"][0]["status"] == "incomplete" and last["usage"]["output_tokens"] == 1


def failing(*pieces: Piece) -> Iterator[Piece]:
    yield from pieces
    raise ModelFailure("boom")


@pytest.mark.parametrize("pieces", [[], [Text("a")], [Call(0, "f"), Fragment(0, '{"a')], [Reasoning("h")]])
def test_failure_is_the_last_event_and_keeps_what_came(pieces: list[Piece]) -> None:
    request = Request(Prompt("toy", ()))
    events = list(WIRE.write_stream(request, failing(Usage(5, 0), *pieces), id=ID, created=1))
    last = json.loads(events[-1].data)
    assert events[-1].event == "response.failed" and last["response"]["error"] == {
        "code": "server_error",
        "message": "boom",
    }
    assert [item["status"] for item in last["response"]["output"]] == ["incomplete"] * bool(pieces)
    assert "boom" not in "".join(event.data for event in events[:-1])
    with pytest.raises(ModelFailure, match="boom"):
        WIRE.write_answer(request, failing(Usage(5, 0), *pieces), id=ID, created=1)


def test_log_probabilities_are_written_in_deltas_and_whole() -> None:
    token = TokenLogprob(b"a", -0.5, ((b"a", -0.5),))
    events = written(Usage(5, 0), Text("a", logprobs=(token,)), Text("b", logprobs=(token,)), End("stop"), Usage(5, 2))
    deltas = [event["logprobs"] for event in events if event["type"] == "response.output_text.delta"]
    assert [len(logprobs) for logprobs in deltas] == [1, 1] and deltas[0][0]["token"] == "a"
    whole = events[-1]["response"]["output"][0]["content"][0]["logprobs"]
    done = next(event for event in events if event["type"] == "response.output_text.done")
    assert whole == done["logprobs"] == deltas[0] + deltas[1]


def test_request_is_repeated_in_the_response() -> None:
    asked_for = {"metadata": {"k": "v"}, "instructions": "x", "tools": [FUNCTION], "user": "u", "store": True}
    request = asked(**asked_for, of_the_future=1)
    answer = WIRE.write_answer(request, [Usage(1, 0), End("stop"), Usage(1, 0)], id=ID, created=7)
    assert {name: answer[name] for name in asked_for} == asked_for
    assert "of_the_future" not in answer and answer["created_at"] == 7 and answer["object"] == "response"
    for name in ("parallel_tool_calls", "tool_choice", "text", "temperature", "truncation", "previous_response_id"):
        assert name in answer


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        ('"metadata": {"a": 1e999}', "number too large"),
        (f'"user": {"9" * 5000}', "number too large"),
        (f'"instructions": "{"x" * 2**20}"', "more than 1048576 characters of it"),
    ],
)
def test_what_cannot_be_repeated_is_refused(member: str, problem: str) -> None:
    body = f'{{"model": "toy", "input": "x", {member}}}'.encode()
    with pytest.raises(RequestError, match=problem):
        WIRE.read_request(HTTPRequest("POST", "/v1/responses", {}, {}, body))


def test_what_is_read_can_be_written_again_however_deeply_it_is_nested() -> None:
    pieces = [Usage(1, 0), End("stop"), Usage(1, 0)]
    for depth in range(700, 1100, 7):
        body = f'{{"model": "toy", "input": "x", "metadata": {{"a": {"[" * depth}{"]" * depth}}}}}'.encode()
        with contextlib.suppress(RequestError):
            request = WIRE.read_request(HTTPRequest("POST", "/v1/responses", {}, {}, body))
            assert "[" * depth in to_json(WIRE.write_answer(request, pieces, id=ID, created=7))
            assert all("[" * depth in e.data for e in WIRE.write_stream(request, pieces, id=ID, created=7))


def test_every_response_of_a_stream_repeats_the_request() -> None:
    request = asked(metadata={"k": "}} , {"}, instructions="x", tools=[FUNCTION])
    pieces = [Usage(1, 0), Text("}}"), End("stop"), Usage(1, 1)]
    events = [json.loads(event.data) for event in WIRE.write_stream(request, pieces, id=ID, created=7)]
    responses = [event["response"] for event in events if "response" in event]
    whole = WIRE.write_answer(request, pieces, id=ID, created=7)
    assert len(responses) == 3 and responses[2] == whole and whole["metadata"] == {"k": "}} , {"}
    changing = {"status", "output", "usage"}
    same = [{name: value for name, value in response.items() if name not in changing} for response in responses]
    assert same[0] == same[1] == same[2] and {"instructions", "tools", "store"} <= set(same[0])


# ---- Read ------------------------------------------------------------------------------------------------------------


def event(type: str, **members: Any) -> ServerSentEvent:
    return ServerSentEvent(json.dumps({"type": type, **members}), type)


def added(item: Any, place: Any = 0) -> ServerSentEvent:
    return event("response.output_item.added", output_index=place, item=item)


def done(item: Any, place: Any = 0) -> ServerSentEvent:
    return event("response.output_item.done", output_index=place, item=item)


def delta(text: Any, kind: str = "output_text", **place: Any) -> ServerSentEvent:
    place = {"item_id": "m", "output_index": 0, "content_index": 0, **place}
    return event(
        f"response.{kind}.delta", delta=text, **{name: value for name, value in place.items() if value is not None}
    )


def over(status: str = "completed", **members: Any) -> ServerSentEvent:
    return event(f"response.{status}", response={"id": "r", "status": status, "output": [MESSAGE], **members})


def message(text: str, **members: Any) -> dict[str, Any]:
    return {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text}],
        **members,
    }


def call(arguments: str = "", id: Any = "c1", **members: Any) -> dict[str, Any]:
    return {"id": id, "type": "function_call", "call_id": f"call-{id}", "name": "f", "arguments": arguments, **members}


def part(arguments: str, id: str = "c1", place: int = 0, end: str = "delta") -> ServerSentEvent:
    name = {"delta": arguments} if end == "delta" else {"arguments": arguments}
    return event(f"response.function_call_arguments.{end}", item_id=id, output_index=place, **name)


MESSAGE = message("Hello")
CREATED = event("response.created", response={"id": "r", "status": "in_progress", "output": []})
HELLO = [CREATED, added(message("", content=[])), delta("Hel"), delta("lo")]
SAID: list[Piece] = [Text("Hel"), Text("lo")]
CALL = Call(0, "f", "call-c1")


def read(*events: ServerSentEvent) -> tuple[list[Piece], Any]:
    reader = WIRE.reader()
    return [piece for one in events for piece in reader.read(one)], reader


def test_stream_is_read() -> None:
    pieces, reader = read(*HELLO, done(MESSAGE), over(usage={"input_tokens": 5, "output_tokens": 2}))
    assert pieces == [*SAID, Usage(5, 2), End("stop")]
    assert reader.done and reader.finished and reader.warnings == []


def test_stream_without_a_terminal_event_is_not_finished() -> None:
    _, reader = read(*HELLO, done(MESSAGE))
    assert not reader.done and not reader.finished
    _, reader = read(*HELLO, done(MESSAGE), ServerSentEvent("[DONE]"))
    assert reader.done and not reader.finished


F = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
G = {"id": "fc_2", "type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"}
CREATED = event("response.created", response={"status": "in_progress", "output": []})
AT = {"item_id": "msg_1", "output_index": 0, "content_index": 0}


def text_item(*texts: str, id: str = "msg_1") -> dict[str, Any]:
    return {"id": id, "type": "message", "content": [{"type": "output_text", "text": text} for text in texts]}


def said(text: str, **at: Any) -> ServerSentEvent:
    return event("response.output_text.delta", delta=text, **at)


def text_done(text: str, **at: Any) -> ServerSentEvent:
    return event("response.output_text.done", text=text, **at)


def item_done(item: Any, **at: Any) -> ServerSentEvent:
    return event("response.output_item.done", item=item, **at)


def ended(*output: Any, **members: Any) -> ServerSentEvent:
    return event("response.completed", response={"status": "completed", "output": list(output), **members})


BEGUN = [CREATED, added({**text_item(), "content": []})]


@pytest.mark.parametrize(
    ("events", "text", "calls"),
    [
        ([*BEGUN, said("Hi", **AT), text_done("Hi", item_id="msg_1"), ended(text_item("Hi"))], "Hi", ""),
        ([*BEGUN, said("Hi"), text_done("Hi", **AT), ended(text_item("Hi"))], "Hi", ""),
        ([*BEGUN, said("Hi", **AT), text_done("Hi", **{**AT, "item_id": "new"}), ended(text_item("Hi"))], "Hi", ""),
        ([*BEGUN, said("Hi", **AT), said("!", **{**AT, "item_id": "new"}), ended(text_item("Hi!", id="z"))], "Hi!", ""),
        ([*BEGUN, said("Hel", **AT), item_done(text_item("Hello"), output_index=0), ended()], "Hello", ""),
        ([*BEGUN, said("Hel", **AT), ended(text_item("Hello", " you"))], "Hello you", ""),
        ([*BEGUN, event("response.content_part.done", **AT, part=text_item("Hi")["content"][0]), ended()], "Hi", ""),
        ([CREATED, added(text_item("Hi")), said("Hi", **AT), ended(text_item("Hi"))], "Hi", ""),
        ([CREATED, added(text_item("Hi")), ended()], "Hi", ""),
        ([CREATED, added(text_item("One")), added(text_item("Two", id="z"), 1), added(F, 2), ended()], "OneTwo", "f{}"),
        ([CREATED, item_done(text_item("One")), item_done(text_item("Two", id="msg_2")), ended()], "OneTwo", ""),
        ([CREATED, added({**F, "arguments": '{"a":1}'}), ended()], "", 'f{"a":1}'),
        ([CREATED, added({**F, "arguments": '{"a":1}'}), ended({**F, "arguments": ""})], "", 'f{"a":1}'),
        ([CREATED, item_done(F, output_index=0), item_done(G, output_index=0), ended()], "", "f{}g{}"),
        ([CREATED, item_done(F), item_done(G), ended(F, G)], "", "f{}g{}"),
        ([CREATED, item_done({**F, "id": 1}), item_done({**G, "id": 1}), ended(F, G)], "", "f{}g{}"),
        ([CREATED, item_done(F), item_done({**G, "id": "fc_1"}), ended()], "", "f{}g{}"),
        ([CREATED, added(F), item_done(F, output_index=0), ended(G)], "", "f{}g{}"),
        ([CREATED, added({"type": "reasoning"}), added(F, 1), ended({**F, "id": "new"})], "", "f{}"),
    ],
)
def test_nothing_is_lost_and_nothing_doubled(events: list[ServerSentEvent], text: str, calls: str) -> None:
    pieces, reader = read(*events)
    assert reader.finished and "".join(piece.text for piece in pieces if isinstance(piece, Text)) == text
    made = [p.name if isinstance(p, Call) else p.arguments for p in pieces if isinstance(p, Call | Fragment)]
    assert "".join(made) == calls


def test_text_that_differs_at_the_end_is_a_warning() -> None:
    _, reader = read(*BEGUN, said("Hi", **AT), ended(text_item("Other")))
    assert reader.warnings == ["a text is not what its deltas were together"]


@pytest.mark.parametrize("status", ["cancelled", "in_progress", "queued"])
def test_response_that_is_not_over_ends_nothing(status: str) -> None:
    for last in (
        ended(status=status),
        event("response.completed"),
        ServerSentEvent(json.dumps({"object": "response", "status": status})),
    ):
        with pytest.raises(ProtocolError, match="a response ends as"):
            read(*BEGUN, said("Hi", **AT), last)


def many_parts(size: int) -> list[ServerSentEvent]:
    deltas = [said("x", **{**AT, "content_index": index}) for index in range(size)]
    return [*BEGUN, *deltas, *[item_done(text_item("x"), output_index=0)] * size, ended()]


def many_kinds(size: int) -> list[ServerSentEvent]:
    deltas = [event("response.refusal.delta", delta="x", **{**AT, "content_index": index}) for index in range(size)]
    return [*BEGUN, *deltas, *[text_done("", item_id="msg_1")] * size, ended()]


def many_calls(size: int) -> list[ServerSentEvent]:
    calls = [{**F, "id": f"fc_{number}", "call_id": f"c{number}"} for number in range(size)]
    return [CREATED, *(item_done(call, output_index=place) for place, call in enumerate(calls)), ended(*calls)]


@pytest.mark.parametrize("many", [many_parts, many_kinds, many_calls])
def test_what_a_stream_costs_is_in_proportion(many: Callable[[int], list[ServerSentEvent]]) -> None:
    assert steps_to_read(WIRE, many(800)) < 2.5 * steps_to_read(WIRE, many(400))


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (over("incomplete", incomplete_details={"reason": "max_output_tokens"}), "length"),
        (over("incomplete", incomplete_details={"reason": "content_filter"}), "content_filter"),
        (over("incomplete", incomplete_details={"reason": "new"}), "new"),
        (over("incomplete"), "incomplete"),
        (event("response.completed", response={"status": "incomplete", "output": [MESSAGE]}), "incomplete"),
        (over(), "stop"),
    ],
)
def test_reason_of_the_end_is_read(last: ServerSentEvent, reason: str) -> None:
    pieces, reader = read(*HELLO, last)
    assert pieces == [*SAID, End(reason)] and reader.finished


@pytest.mark.parametrize(
    ("events", "pieces"),
    [
        pytest.param([ServerSentEvent(one.data) for one in [*HELLO, over()]], SAID, id="no names"),
        pytest.param([ServerSentEvent(one.data, "x") for one in [*HELLO, over()]], SAID, id="wrong names"),
        pytest.param([*HELLO[1:], over()], SAID, id="no created"),
        pytest.param([*HELLO[2:], over()], SAID, id="no item"),
        pytest.param([delta("Hello", item_id=None, output_index=None), over()], [Text("Hello")], id="no ids"),
        pytest.param([delta("Hello", output_index=None, content_index=None), over()], [Text("Hello")], id="no indexes"),
        pytest.param([delta("Hello", item_id=None), done(MESSAGE), over()], [Text("Hello")], id="an id only when done"),
        pytest.param([CREATED, done(MESSAGE), over()], [Text("Hello")], id="no deltas"),
        pytest.param([CREATED, over()], [Text("Hello")], id="only the end"),
        pytest.param(
            [event("response.output_text.done", item_id="m", output_index=0, content_index=0, text="Hello"), over()],
            [Text("Hello")],
            id="only the text, done",
        ),
        pytest.param([*HELLO, done(message("Hello", id="other")), over()], SAID, id="an id that changes"),
        pytest.param([delta("No.", "refusal"), over(output=[])], [Refusal("No.")], id="a refusal"),
        pytest.param(
            [over(output=[message("", content=[{"type": "refusal", "refusal": "No."}])])],
            [Refusal("No.")],
            id="whole refusal",
        ),
        pytest.param(
            [
                delta("hm", "reasoning_summary_text", item_id="r"),
                delta("h", "reasoning_text", item_id="r"),
                *HELLO,
                over(),
            ],
            [Reasoning("hm"), Reasoning("h"), *SAID],
            id="reasoning",
        ),
        pytest.param(
            [
                done({"id": "r", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}),
                *HELLO,
                over(),
            ],
            [Reasoning("hm"), *SAID],
            id="whole reasoning",
        ),
        pytest.param(
            [
                added(call()),
                part('{"a'),
                part('":1}'),
                part('{"a":1}', end="done"),
                done(call('{"a":1}')),
                over(output=[]),
            ],
            [CALL, Fragment(0, '{"a'), Fragment(0, '":1}')],
            id="a call",
        ),
        pytest.param(
            [added(call()), part('{"a":1}', end="done"), over(output=[])],
            [CALL, Fragment(0, '{"a":1}')],
            id="args when done",
        ),
        pytest.param(
            [done(call('{"a":1}')), over(output=[])], [CALL, Fragment(0, '{"a":1}')], id="a call only when done"
        ),
        pytest.param([over(output=[call('{"a":1}')])], [CALL, Fragment(0, '{"a":1}')], id="a call only at the end"),
        pytest.param([added(call()), over(output=[])], [CALL, Fragment(0, "{}")], id="no arguments"),
        pytest.param(
            [added(call('{"a":1}')), part('{"a":1}'), over(output=[])],
            [CALL, Fragment(0, '{"a":1}')],
            id="arguments twice",
        ),
        pytest.param(
            [
                added(call()),
                added(call(id="c2"), 1),
                part("{", "c2", 1),
                part('{"a":1}'),
                part("}", "c2", 1),
                over(output=[]),
            ],
            [CALL, Call(1, "f", "call-c2"), Fragment(1, "{"), Fragment(0, '{"a":1}'), Fragment(1, "}")],
            id="two calls in turns",
        ),
        pytest.param(
            [added(call()), added(call(id="c2")), part("{}", "c2"), part('{"a":1}'), over(output=[])],
            [CALL, Call(1, "f", "call-c2"), Fragment(1, "{}"), Fragment(0, '{"a":1}')],
            id="two calls at one place",
        ),
        pytest.param(
            [added(call(call_id=None)), part("{}"), over(output=[])],
            [Call(0, "f", "c1"), Fragment(0, "{}")],
            id="no call_id",
        ),
        pytest.param(
            [added(call(id=None, call_id="x")), part("{}", id=""), over(output=[])],
            [Call(0, "f", "x"), Fragment(0, "{}")],
            id="no item id",
        ),
        pytest.param(
            [added(call()), part('{"a'), over("incomplete", output=[])], [CALL, Fragment(0, '{"a')], id="cut by a limit"
        ),
        pytest.param(
            [delta("a\ud83e"), delta("\udd8a"), over()], [Text("a"), Text("\U0001f98a")], id="a pair cut in two"
        ),
        pytest.param([delta("a\ud83e"), over()], [Text("a"), Text("\ufffd")], id="half a pair"),
        pytest.param(
            [ServerSentEvent(json.dumps({"object": "response", "status": "completed", "output": [MESSAGE]}))],
            [Text("Hello")],
            id="a whole response",
        ),
    ],
)
def test_unusual_streams_are_read(events: list[ServerSentEvent], pieces: list[Piece]) -> None:
    got, reader = read(*events)
    assert isinstance(got[-1], End) and got[:-1] == pieces and reader.finished


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, []),
        ({}, []),
        (7, []),
        ({"input_tokens": 5}, [Usage(5, None)]),
        ({"prompt_tokens": 5, "completion_tokens": 2}, [Usage(5, 2)]),
        ({"input_tokens": 5, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}}, [Usage(5, 9, 4)]),
    ],
)
def test_usage_in_any_form_is_no_crash(usage: Any, expected: list) -> None:
    assert [piece for piece in read(*HELLO, over(usage=usage))[0] if isinstance(piece, Usage)] == expected


@pytest.mark.parametrize(
    ("odd", "warning"),
    [
        (event("keepalive"), "keepalive"),
        (added({"id": "w", "type": "web_search_call"}, 3), "web_search_call"),
        (done(message("", id="x", content=[{"type": "video"}]), 3), "video"),
        (delta(None), "null"),
        (
            event("response.output_text.done", item_id="m", output_index=0, content_index=0, text="Hi"),
            "not what its deltas",
        ),
    ],
)
def test_what_nobody_knows_is_ignored_with_a_warning(odd: ServerSentEvent, warning: str) -> None:
    pieces, reader = read(*HELLO, odd, over())
    assert pieces == [*SAID, End("stop")] and len(reader.warnings) == 1 and warning in reader.warnings[0]


def test_empty_output_at_the_end_is_a_warning() -> None:
    pieces, reader = read(*HELLO, over(output=[]))
    assert pieces == [*SAID, End("stop")] and reader.warnings == ["the output at the end is empty"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (event("response.failed", response={"status": "failed", "error": {"code": "x", "message": "boom"}}), "boom"),
        (event("response.failed", response={"status": "failed", "error": None}), "without a message"),
        (event("response.failed"), "without a message"),
        (event("response.completed", response={"status": "failed", "error": {"message": "boom"}}), "boom"),
        (event("error", code="x", message="boom", param=None, sequence_number=3), "boom"),
        (event("error", error={"message": "boom"}), "boom"),
        (ServerSentEvent('{"error": {"message": "boom"}}'), "boom"),
        (ServerSentEvent("boom", "error"), "boom"),
    ],
)
@pytest.mark.parametrize("before", [[], HELLO])
def test_error_in_any_shape_is_an_api_error(before: list, error: ServerSentEvent, words: str) -> None:
    with pytest.raises(ApiError, match=words):
        read(*before, error)


@pytest.mark.parametrize(
    "events",
    [
        [ServerSentEvent("{")],
        [ServerSentEvent("[]")],
        [event("response.completed")],
        [event("response.completed", response={"output": 1})],
        [added(None)],
        [delta(5)],
        [added(message("", content=1))],
        [part("{}")],
        [added(call(name=""))],
        [added(call(name=7))],
        [added(call()), event("response.function_call_arguments.delta", item_id="c1", delta={"a": 1})],
        [added(call()), part("no JSON"), over(output=[])],
        [added(call()), part('{"a":'), over(output=[])],
        [added(call()), part('{"a":1}'), done(call('{"a":2}'))],
        [added(call()), part('{"a":1}'), part('{"a":2}', end="done")],
        [
            added(call(id=None)),
            added(call(id=None)),
            *[event("response.function_call_arguments.delta", delta="{}")] * 2,
            over(),
        ],
    ],
    ids=str,
)
def test_what_could_be_understood_in_two_ways_is_an_error(events: list[ServerSentEvent]) -> None:
    with pytest.raises(ProtocolError):
        read(*events)


# ---- Requests --------------------------------------------------------------------------------------------------------

FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}


def asked(**members: Any) -> Request:
    body = {name: value for name, value in {**BASE, **members}.items() if value != "missing"}
    return WIRE.read_request(HTTPRequest("POST", "/v1/responses", {}, {}, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"model": "missing"}, "model"),
        ({"input": "missing"}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"input": [{"content": "x"}]}, "input[0].type"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "x"}]}, "input[0].output"),
        ({"instructions": 5}, "instructions"),
        ({"stream": 1}, "stream"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"metadata": 5}, "metadata"),
        ({"max_output_tokens": 2001, "include": ["message.output_text.logprobs"]}, "max_output_tokens"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [FUNCTION] * 129}, "tools"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "g"}, "tools": [FUNCTION]}, "tool_choice"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "c"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"background": True}, "background"),
    ],
    ids=str,
)
def test_wrong_request_is_refused_with_the_path_of_the_field(members: dict, field: str) -> None:
    with pytest.raises(RequestError) as caught:
        asked(**members)
    assert caught.value.param == field and field in caught.value.message and caught.value.status == 400


def test_nothing_is_stored_and_the_code_says_so() -> None:
    with pytest.raises(RequestError) as caught:
        asked(previous_response_id="resp_1")
    assert WIRE.write_error(caught.value)["error"]["code"] == "previous_response_not_found"


@pytest.mark.parametrize(
    "members",
    [
        {"metadata": {"a": "b"}, "store": True, "include": ["x"], "reasoning": {"effort": "low", "summary": "auto"}},
        {"of_the_future": 1, "user": "u", "service_tier": "auto", "truncation": "auto", "prompt_cache_key": "k"},
        {
            "tools": [
                {"type": "web_search"},
                {"type": "custom", "name": "c"},
                FUNCTION,
                {**FUNCTION, "parameters": None},
            ]
        },
        {"tools": [FUNCTION], "tool_choice": {"type": "web_search"}},
        {"input": [{"type": "item_reference", "id": "x"}]},
        {"input": [{"type": "reasoning", "id": "r", "summary": []}, {"role": "user", "content": "x"}]},
        {"stream_options": {"include_obfuscation": False}, "background": False, "previous_response_id": None},
        {"text": {"format": {"type": "text"}, "verbosity": "low"}, "max_tool_calls": 3, "moderation": None},
    ],
    ids=str,
)
def test_request_with_more_members_is_accepted(members: dict) -> None:
    assert asked(**members).prompt.model == "toy"


def test_input_is_read_in_every_form() -> None:
    assert asked(input="x", instructions="be brief").prompt.messages == (
        Message("system", "be brief"),
        Message("user", "x"),
    )
    items = [
        {"role": "developer", "content": "d"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image"}]},
        {**message("b"), "status": "completed"},
        {**call("{}"), "parsed_arguments": {}},
        {"type": "function_call_output", "call_id": "x", "output": "sunny"},
        {"type": "function_call_output", "call_id": "y", "output": [{"type": "input_text", "text": "cold"}]},
    ]
    assert asked(input=items).prompt.messages == (
        Message("system", "d"),
        Message("user", "a"),
        Message("assistant", "b"),
        Message("assistant", ""),
        Message("tool", "sunny"),
        Message("tool", "cold"),
    )


@pytest.mark.parametrize(
    ("choice", "names", "mode"),
    [
        (None, ["f", "g"], "auto"),
        ("none", ["f", "g"], "none"),
        ("required", ["f", "g"], "required"),
        ({"type": "function", "name": "g"}, ["g"], "required"),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]}, ["g"], "auto"),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            ["f"],
            "required",
        ),
        ({"type": "mcp", "server_label": "s"}, ["f", "g"], "auto"),
    ],
)
def test_tool_choice_is_read(choice: Any, names: list[str], mode: str) -> None:
    prompt = asked(tools=[FUNCTION, {**FUNCTION, "name": "g"}], tool_choice=choice).prompt
    assert ([tool.name for tool in prompt.tools], prompt.tool_choice) == (names, mode)


def test_log_probabilities_are_asked_for_by_include() -> None:
    included = {"include": ["message.output_text.logprobs"]}
    assert asked(top_logprobs=2).prompt.top_logprobs is None
    assert asked(**included).prompt.top_logprobs == 0 and asked(**included, top_logprobs=2).prompt.top_logprobs == 2


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://h/v1", "http://h/v1/responses"),
        ("http://h/v1/", "http://h/v1/responses"),
        ("http://h", "http://h/v1/responses"),
        ("http://h/fault=cut&at=2/v1", "http://h/fault=cut&at=2/v1/responses"),
        ("http://h/fault=cut", "http://h/fault=cut/v1/responses"),
        ("http://h/v1beta?a=b", "http://h/v1beta/responses?a=b"),
    ],
)
def test_address_may_have_the_version_or_not(base: str, url: str) -> None:
    assert WIRE.address(base, Request(Prompt("m", ()))) == url


# ---- On the wire -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


def post(server: Server, path: str = "/v1/responses", **members: Any) -> Answer:
    return ask(server, "POST", path, json.dumps({**BASE, **members}).encode(), JSON)


def events_of(answer: Answer) -> list[dict]:
    return [json.loads(one.data) for one in SSEDecoder().feed(answer.body)]


@pytest.mark.parametrize("model", ["toy", "toy-echo", "toy-slow", "toy-thinker"])
def test_streamed_and_whole_are_the_same(server: Server, model: str) -> None:
    asked_for = {"model": model, "temperature": 0, "input": "caf\u00e9 \U0001f98a\u2028"}
    events = events_of(post(server, "/heartbeat=0.01/v1/responses", stream=True, **asked_for))
    whole = post(server, "/heartbeat=0.01/v1/responses", **asked_for).json()
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    last = events[-1]["response"]
    assert text == whole["output"][-1]["content"][0]["text"] == last["output"][-1]["content"][0]["text"]
    assert last["usage"] == whole["usage"] and whole["status"] == last["status"] == "completed"


def test_silence_is_ended_by_comments_and_by_no_event(server: Server) -> None:
    answer = post(server, "/heartbeat=0.2/v1/responses", model="toy-slow", stream=True)
    assert b"\n: heartbeat\n" in answer.body
    assert {event["type"].split(".")[0] for event in events_of(answer)} == {"response"}


def test_model_that_fails_ends_with_response_failed_or_a_status(server: Server) -> None:
    *_, last = events_of(post(server, model="toy-flaky", stream=True))
    assert last["type"] == "response.failed" and "failed" in last["response"]["error"]["message"]
    whole = post(server, model="toy-flaky")
    assert whole.status == 500 and whole.json()["error"]["type"] == "server_error"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/responses", 405),
        ("GET", "/v1/responses/resp_1", 404),
        ("DELETE", "/v1/responses/resp_1", 404),
        ("POST", "/v1/responses/resp_1/cancel", 404),
        ("POST", "/fault=refuse/v1/responses", 429),
    ],
)
def test_errors_of_the_shell_have_the_vendors_words(server: Server, method: str, path: str, status: int) -> None:
    answer = ask(server, method, path, json.dumps(BASE).encode() if method == "POST" else b"", JSON)
    assert answer.status == status and set(answer.json()["error"]) == {"message", "type", "param", "code"}


def streaming(path: str = "/v1/responses") -> bytes:
    body = json.dumps({"model": "toy-echo", "input": "a " * 900, "stream": True}).encode()
    return request("POST", path, body, JSON)


def test_cancelling_is_seen_in_the_journal(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(streaming("/tps=100/v1/responses"))
        wire.until(b"output_text.delta")
    assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")
    assert 0 < server.journal[-1]["left_at_token"] < 800


def test_server_that_stops_says_so_in_a_numbered_error_event() -> None:
    with running(ttft=30) as server, Wire(server) as wire:
        wire.send(streaming())
        wire.until(b"response.in_progress")
        wire.until(b"\n\n")
        server.shutdown()
        rest = wire.rest()
    assert b'event: error\ndata: {"type":"error","sequence_number":2,"code":"server_error"' in rest
