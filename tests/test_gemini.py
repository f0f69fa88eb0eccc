"""Gemini: what is written chunk by chunk, what is read although it is odd, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hostile import Hold, chunk, head
from raw import JSON, Answer, Wire, ask, request, wait_for
from streaming import ask as stream_of
from streaming import complete, failed

from sse_ref.codec import ServerSentEvent
from sse_ref.dialects.gemini import Gemini
from sse_ref.dialects.interface import HTTPRequest, Request
from sse_ref.errors import STATUSES, ApiError, ProtocolError, RequestError
from sse_ref.pieces import Call, End, Fragment, Message, ModelFailure, Piece, Prompt, Reasoning, Refusal, Text, Usage
from sse_ref.server import Server, running

WIRE = Gemini()
ID = "0123456789abcdef01234567"
TURN = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def written(*pieces: Piece) -> list[dict[str, Any]]:
    events = list(WIRE.write_stream(Request(Prompt("toy", ())), pieces, id=ID, created=1))
    assert all(event.event == "message" and not event.id and "\n" not in event.data for event in events)
    return [json.loads(event.data) for event in events]


def candidate(text: Any = "Hello", reason: str | None = None, **more: Any) -> dict[str, Any]:
    finish = {"finishReason": reason} if reason else {}
    return {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, **finish, **more}]}


# ---- Written ---------------------------------------------------------------------------------------------------------


def test_each_chunk_is_an_answer_with_what_is_new() -> None:
    first, second, last = written(Usage(5, 0), Text("Hel"), Text("lo", tokens=2), End("stop"), Usage(5, 3))
    assert first == {
        "candidates": [{"content": {"parts": [{"text": "Hel"}], "role": "model"}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 1, "totalTokenCount": 6},
        "modelVersion": "toy",
        "responseId": ID,
    }
    assert second["usageMetadata"]["totalTokenCount"] == 8 and "finishReason" not in second["candidates"][0]
    assert last["candidates"][0] == {
        "content": {"parts": [{"text": ""}], "role": "model"},
        "finishReason": "STOP",
        "index": 0,
    }
    assert last["usageMetadata"] == second["usageMetadata"]


def test_thoughts_are_marked_and_counted_apart_and_the_next_part_is_signed() -> None:
    thought, text, more, _ = written(Usage(5, 0), Reasoning("hm"), Text("a"), Text("b"), End("stop"))
    assert thought["candidates"][0]["content"]["parts"] == [{"text": "hm", "thought": True}]
    (signed,) = text["candidates"][0]["content"]["parts"]
    assert set(signed) == {"text", "thoughtSignature"} and more["candidates"][0]["content"]["parts"] == [{"text": "b"}]
    counts = {"promptTokenCount": 5, "candidatesTokenCount": 1, "thoughtsTokenCount": 1, "totalTokenCount": 7}
    assert text["usageMetadata"] == counts


def test_calls_come_whole_and_do_not_show_in_the_finish_reason() -> None:
    pieces = [Call(0, "f"), Fragment(0, '{"a":'), Fragment(0, "1}"), Call(1, "g"), Fragment(1, "{}"), End("tool_calls")]
    first, second, last = written(Usage(5, 0), *pieces)
    (call,) = first["candidates"][0]["content"]["parts"]
    assert call["functionCall"]["name"] == "f" and call["functionCall"]["args"] == {"a": 1}
    (other,) = second["candidates"][0]["content"]["parts"]
    assert other["functionCall"]["args"] == {} and other["functionCall"]["id"] != call["functionCall"]["id"]
    assert last["candidates"][0]["finishReason"] == "STOP"


def test_call_that_a_limit_cuts_is_not_written() -> None:
    (last,) = written(Usage(5, 0), Call(0, "f"), Fragment(0, '{"a'), End("length"))
    assert last["candidates"][0]["finishReason"] == "MAX_TOKENS" and last["usageMetadata"]["candidatesTokenCount"] == 1


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([End("stop", stop="x")], "STOP"),
        ([End("length")], "MAX_TOKENS"),
        ([End("content_filter")], "SAFETY"),
        ([Refusal("No"), End("stop")], "SAFETY"),
        ([End("other")], "OTHER"),
    ],
)
def test_finish_reasons_have_the_vendors_words(pieces: list[Piece], reason: str) -> None:
    assert written(Usage(1, 0), *pieces)[-1]["candidates"][0]["finishReason"] == reason


def test_candidates_are_told_apart_by_their_index() -> None:
    chunks = written(Usage(1, 0), Text("a", 0), Text("b", 1), End("stop", 1), End("length", 0))
    assert [(c["candidates"][0]["index"], c["candidates"][0].get("finishReason")) for c in chunks] == [
        (0, None),
        (1, None),
        (1, "STOP"),
        (0, "MAX_TOKENS"),
    ]


def test_whole_answer_is_the_chunks_put_together() -> None:
    pieces = [Usage(5, 0), Reasoning("h"), Reasoning("m"), Text("a"), Text("b"), Call(0, "f"), Fragment(0, "{}")]
    whole = WIRE.write_answer(
        Request(Prompt("toy", ())), [*pieces, End("tool_calls"), Usage(5, 6, 2)], id=ID, created=1
    )
    (only,) = whole["candidates"]
    thought, text, call = only["content"]["parts"]
    assert thought == {"text": "hm", "thought": True} and text["text"] == "ab" and text["thoughtSignature"]
    assert call["functionCall"]["name"] == "f" and only["finishReason"] == "STOP"
    assert whole["usageMetadata"]["totalTokenCount"] == 10 and whole["responseId"] == ID
    empty = WIRE.write_answer(Request(Prompt("toy", ())), [Usage(5, 0), End("stop"), Usage(5, 0)], id=ID, created=1)
    assert empty["candidates"][0]["content"]["parts"] == [{"text": ""}]


def test_failure_is_an_error_with_one_key_and_the_end() -> None:
    def failing() -> Any:
        yield from (Usage(1, 0), Text("a"))
        raise ModelFailure("broken")

    *_, last = WIRE.write_stream(Request(Prompt("toy", ())), failing(), id=ID, created=1)
    assert last.data == '{"error":{"code":500,"message":"broken","status":"INTERNAL"}}'


@pytest.mark.parametrize("kind", STATUSES)
def test_every_kind_of_error_has_the_vendors_shape(kind: str) -> None:
    value = WIRE.write_error(RequestError(kind, "because"), id="7")
    assert list(value) == ["error"] and list(value["error"]) == ["code", "message", "status"]
    assert value["error"]["code"] == STATUSES[kind] and value["error"]["status"].isupper()
    right = {"no_model": "NOT_FOUND", "bad_request": "INVALID_ARGUMENT", "too_many": "RESOURCE_EXHAUSTED"}
    right |= {"no_key": "UNAUTHENTICATED", "stopping": "UNAVAILABLE", "not_implemented": "UNIMPLEMENTED"}
    assert value["error"]["status"] == right.get(kind, value["error"]["status"])


# ---- Read ------------------------------------------------------------------------------------------------------------


def read(*values: Any) -> tuple[list[Piece], Any]:
    reader = WIRE.reader()
    events = [value if isinstance(value, ServerSentEvent) else ServerSentEvent(json.dumps(value)) for value in values]
    return [piece for event in events for piece in reader.read(event)], reader


@pytest.mark.parametrize(
    "content", [{}, {"content": {}}, {"content": {"role": "model"}}, {"content": {"parts": [{"text": ""}]}}]
)
def test_finish_chunk_may_have_no_content(content: dict[str, Any]) -> None:
    pieces, reader = read(candidate(), {"candidates": [{**content, "finishReason": "STOP"}]})
    assert pieces == [Text("Hello"), End("STOP")] and reader.finished and reader.warnings == []


def test_content_after_a_finish_reason_is_read_and_the_end_comes_once() -> None:
    pieces, reader = read(candidate("Hel", "STOP"), candidate("lo", "STOP"))
    assert pieces == [Text("Hel"), End("STOP"), Text("lo")] and reader.finished
    assert reader.warnings == ["content came after the finish reason"]


def test_last_usage_counts_and_thoughts_are_part_of_the_answer() -> None:
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 2.0, "thoughtsTokenCount": 3}
    pieces, _ = read({"usageMetadata": {"promptTokenCount": 5}}, {"usageMetadata": usage}, {"usageMetadata": {"x": 1}})
    assert pieces == [Usage(5, None), Usage(5, 5, 3)]


def test_candidates_in_one_chunk_are_kept_apart() -> None:
    both = {"candidates": [candidate("a", index=0)["candidates"][0], candidate("b", "STOP", index=1)["candidates"][0]]}
    pieces, reader = read(both)
    assert pieces == [Text("a", 0), Text("b", 1), End("STOP", 1)] and not reader.finished


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ({"name": "f", "args": {"a": 1}}, '{"a": 1}'),
        ({"name": "f"}, "{}"),
        ({"name": "f", "args": None}, "{}"),
        ({"name": "f", "args": '{"a":1}'}, '{"a":1}'),
    ],
)
def test_call_is_read_whole(call: dict[str, Any], arguments: str) -> None:
    part = {
        "candidates": [{"content": {"parts": [{"functionCall": call}, {"functionCall": {"name": "g", "id": "7"}}]}}]
    }
    pieces, _ = read(part)
    assert pieces == [Call(0, "f"), Fragment(0, arguments), Call(1, "g", "7"), Fragment(1, "{}")]


@pytest.mark.parametrize(
    "call",
    [
        {"name": "f", "partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}]},
        {"name": "f", "willContinue": True},
        {"args": {}},
        {"name": 5},
        {"name": "f", "args": '{"a'},
        "f",
    ],
)
def test_call_that_cannot_be_understood_is_an_error(call: Any) -> None:
    with pytest.raises(ProtocolError):
        read({"candidates": [{"content": {"parts": [{"functionCall": call}]}}]})


def test_blocked_prompt_ends_with_its_reason() -> None:
    pieces, reader = read({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}})
    assert pieces == [End("blocked: SAFETY"), Usage(5, None)] and reader.finished


def test_block_ends_what_is_open_and_one_that_comes_too_late_is_told() -> None:
    block = {"promptFeedback": {"blockReason": "OTHER"}}
    pieces, reader = read(candidate("a"), candidate("b", index=1), candidate("c", "STOP", index=2), block)
    assert pieces[-2:] == [End("blocked: OTHER", 0), End("blocked: OTHER", 1)] and reader.finished
    pieces, reader = read(candidate("a", "STOP"), block)
    assert pieces == [Text("a"), End("STOP")]
    assert reader.warnings == ["the prompt was blocked after the answer: OTHER"]
    two = Prompt("toy", (Message("user", "hi"),), n=2)
    stream = stream_of([head(), chunk(b"data: %b\n\n" % json.dumps(block).encode()), Hold()], two, dialect="gemini")
    assert complete(stream, "").finish_reason == "blocked: OTHER"


def test_second_finish_reason_is_told_if_it_is_another() -> None:
    pieces, reader = read(candidate("a", "STOP"), candidate("b", "STOP"), candidate("c", "MAX_TOKENS"))
    assert [piece for piece in pieces if isinstance(piece, End)] == [End("STOP")]
    assert reader.warnings[-1] == "another finish reason came after STOP: MAX_TOKENS"


def test_part_may_be_text_and_a_call_at_once() -> None:
    part = {"text": "I call.", "functionCall": {"name": "f"}}
    assert read({"candidates": [{"content": {"parts": [part]}}]})[0] == [
        Text("I call."),
        Call(0, "f"),
        Fragment(0, "{}"),
    ]


def test_text_beside_an_error_comes_before_it() -> None:
    reader = WIRE.reader()
    pieces = []
    with pytest.raises(ApiError, match="boom"):
        for piece in reader.read(ServerSentEvent(json.dumps({**candidate("Hel"), "error": {"message": "boom"}}))):
            pieces.append(piece)
    assert pieces == [Text("Hel")]


def test_half_a_character_is_no_text_of_another_candidate() -> None:
    halves = [candidate("\ud83e", index=index) for index in range(3)]
    ends = [candidate("", "STOP", index=1), candidate("\udd8a", "STOP", index=0), candidate("", "STOP", index=2)]
    texts = [piece for piece in read(*halves, *ends)[0] if isinstance(piece, Text)]
    assert texts == [Text("\ufffd", 1), Text("\U0001f98a", 0), Text("\ufffd", 2)]


def test_half_a_character_in_a_name_is_replaced() -> None:
    call = {"name": "f\ud83e", "id": "\udd8a", "args": {"\ud83e": "\udd8a"}}
    part = {"candidates": [{"content": {"parts": [{"functionCall": call}]}, "finishReason": "S\ud83e"}]}
    assert read(part)[0] == [Call(0, "f\ufffd", "\ufffd"), Fragment(0, '{"\ufffd": "\ufffd"}'), End("S\ufffd")]


def test_answer_that_ends_inside_an_event_says_so() -> None:
    whole = b"data: %b\n\n" % json.dumps(candidate("Hi", "STOP")).encode()
    stream = complete(stream_of([head(), chunk(whole + b"data: {"), b"0\r\n\r\n"], dialect="gemini"), "Hi")
    assert stream.warnings == ["the stream ended inside an event, although the answer is whole"]


def test_parts_that_nobody_knows_are_told() -> None:
    parts = [{"executableCode": {}}, {"inlineData": {}}, {"thought": True}, {"text": "x", "new": 1}]
    pieces, reader = read({"candidates": [{"content": {"parts": parts}}]}, {"odd": 1}, {})
    assert pieces == [Text("x")]
    assert [warning.rpartition(": ")[2] for warning in reader.warnings] == ["executableCode", "inlineData", "new", "1}"]


def test_character_that_is_cut_in_two_chunks_is_joined() -> None:
    halves = [
        ServerSentEvent('{"candidates":[{"content":{"parts":[{"text":"?"}]}}]}'.replace("?", half))
        for half in ("\\ud83e", "\\udd8a")
    ]
    assert read(*halves)[0] == [Text("\U0001f98a")]
    assert read(halves[0], candidate("", "STOP"))[0] == [Text("\ufffd"), End("STOP")]


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"code": 500, "message": "boom", "status": "INTERNAL"}},
        {"error": {"code": "500", "message": "boom"}},
        {"error": "boom"},
        {"x": 1, "error": {"message": "boom"}},
        [{"error": {"message": "boom"}}],
        ServerSentEvent('{"error":{"message":"boom"}}', "error"),
        ServerSentEvent("boom", "error"),
    ],
)
def test_error_inside_the_stream_is_known_in_each_shape(error: Any) -> None:
    with pytest.raises(ApiError, match=r"^boom$"):
        read(candidate(), error)


DATA = b"data: %b\n\n"
TEXT = DATA % json.dumps(candidate()).encode()
FINISH = DATA % json.dumps(candidate("", "STOP")).encode()


def told(*parts: bytes, **options: Any) -> Any:
    return stream_of([head(), *map(chunk, parts), *options.pop("end", [b"0\r\n\r\n"])], dialect="gemini", **options)


def test_answer_is_whole_with_its_finish_reason_and_the_end_of_the_body() -> None:
    assert complete(told(TEXT, FINISH)).warnings == []
    failed(told(TEXT), "truncated", match="before a finish reason")
    failed(told(TEXT, FINISH, end=[]), "truncated")
    failed(told(TEXT, FINISH[:-2]), "truncated", match="inside an event")


def test_what_other_wires_have_is_passed_over() -> None:
    noise = b": c\n\nevent: x\nid: 1\nretry: 5\n" + TEXT.replace(b"data: ", b"data:").replace(b"\n", b"\r\n")
    complete(told(b"\xef\xbb\xbf" + noise, FINISH))
    assert complete(told(TEXT, FINISH, b"data: [DONE]\n\n")).warnings == ["an event without JSON was ignored"]
    failed(told(TEXT, b"data: [DONE]\n\n"), "truncated")


def test_body_that_stays_open_after_the_answer_is_not_waited_for_longer_than_the_timeout() -> None:
    chat = complete(told(TEXT, FINISH, end=[Hold()], timeout=0.3))
    assert chat.warnings == ["the body stayed open after the answer"]
    failed(told(TEXT, end=[Hold()], timeout=0.3), "timeout")


@pytest.mark.parametrize("space", ["", "\n", " \r\n  "])
def test_array_in_an_event_is_read_element_by_element(space: str) -> None:
    elements = json.dumps([candidate("Hel"), candidate("lo", "STOP")]).replace("[{", f"[{space}{{", 1)
    assert read(ServerSentEvent(space + elements))[0] == [Text("Hel"), Text("lo"), End("STOP")]
    for broken in (elements[:-1], "[5]", "[" * 200_000):
        with pytest.raises(ProtocolError):
            read(ServerSentEvent(broken))


def test_array_in_place_of_a_stream_keeps_its_text() -> None:
    body = json.dumps([candidate("Hel"), candidate("lo", "STOP")]).encode()
    script = [head(kind="application/json"), chunk(body), b"0\r\n\r\n"]
    failed(stream_of(script, dialect="gemini"), "protocol_error", match="does not stream")


# ---- Requests --------------------------------------------------------------------------------------------------------


def prompt_of(method: str = "streamGenerateContent", **body: Any) -> Prompt:
    path = f"/v1beta/models/toy:{method}"
    return WIRE.read_request(
        HTTPRequest("POST", path, {"alt": "sse"}, {}, json.dumps({**TURN, **body}).encode())
    ).prompt


@pytest.mark.parametrize(
    "names",
    [
        ("generationConfig", "maxOutputTokens", "stopSequences", "candidateCount", "systemInstruction"),
        ("generation_config", "max_output_tokens", "stop_sequences", "candidate_count", "system_instruction"),
    ],
)
def test_names_are_read_in_either_case(names: tuple[str, ...]) -> None:
    config, limit, stop, count, system = names
    values = {limit: 5.0, stop: ["x"], count: 2, "topK": 3.0, "temperature": 0.5, "seed": 7}
    prompt = prompt_of(**{config: values, system: {"role": "user", "parts": [{"text": "brief"}]}})
    assert (prompt.max_tokens, prompt.stop, prompt.n, prompt.temperature, prompt.seed) == (5, ("x",), 2, 0.5, 7)
    assert prompt.messages == (Message("system", "brief"), Message("user", "hi"))


def test_results_of_functions_come_before_the_text_of_their_turn() -> None:
    parts = [{"text": "so"}, {"functionResponse": {"name": "f", "response": {"result": 1}}}]
    turns = [{"role": "model", "parts": [{"functionCall": {"name": "f"}}, {"text": "hm", "thought": True}]}]
    prompt = prompt_of(contents=[*turns, {"role": "user", "parts": parts}])
    assert prompt.messages == (Message("assistant", ""), Message("tool", '{"result": 1}', "f"), Message("user", "so"))


FUNCTION = {"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "INTEGER", "nullable": True}}}}
PLAIN = {"name": "g", "parameters_json_schema": {"properties": {"b": {"enum": ["x"]}}}}


def test_functions_are_read_with_schemas_of_both_kinds() -> None:
    tools = [{"functionDeclarations": [FUNCTION]}, {"function_declarations": [PLAIN]}, {"googleSearch": {}}]
    first, second = prompt_of(tools=tools).tools
    assert first.parameters == {"type": "object", "properties": {"a": {"type": ["integer", "null"]}}}
    assert second.parameters == {"type": "object", "properties": {"b": {"enum": ["x"]}}}
    config = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["g"]}}
    forced = prompt_of(tools=tools, toolConfig=config)
    assert [tool.name for tool in forced.tools] == ["g"] and forced.tool_choice == "required"
    assert prompt_of(tools=tools, toolConfig={"functionCallingConfig": {"mode": "none"}}).tool_choice == "none"
    with pytest.raises(RequestError) as error:
        prompt_of(tools=tools, toolConfig={"functionCallingConfig": {"allowedFunctionNames": ["x" * 10**6]}})
    assert len(error.value.message) < 400


def test_schema_of_the_answer_may_be_of_both_kinds() -> None:
    config = {
        "responseMimeType": "application/json",
        "responseSchema": {"type": "ARRAY", "minItems": "2", "items": {"type": "STRING"}},
    }
    assert prompt_of(generationConfig=config).schema == {"type": "array", "minItems": 2, "items": {"type": "string"}}
    schema = {
        "type": "OBJECT",
        "properties": {"a_b": {"min_length": "3", "format": "date", "any_of": [{"max_items": 1}]}},
    }
    config["responseSchema"] = schema
    assert prompt_of(generationConfig=config).schema == {
        "type": "object",
        "properties": {"a_b": {"minLength": 3, "format": "date", "anyOf": [{"maxItems": 1}]}},
    }
    assert prompt_of(generationConfig={"responseJsonSchema": {"type": "string"}}).schema == {"type": "string"}
    assert prompt_of(generationConfig={"responseMimeType": "application/json"}).schema
    assert prompt_of(generationConfig={}).schema is None


@pytest.mark.parametrize(
    ("config", "thinks"),
    [
        ({}, True),
        ({"thinkingBudget": 0}, False),
        ({"includeThoughts": False}, False),
        ({"include_thoughts": True}, True),
    ],
)
def test_thoughts_can_be_declined(config: dict[str, Any], thinks: bool) -> None:
    assert prompt_of(generationConfig={"thinkingConfig": config}).reasoning is thinks


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"contents": []}, "contents"),
        ({"contents": None}, "contents"),
        ({"contents": [{"role": "bot", "parts": []}]}, "role"),
        ({"contents": [{"parts": [{"text": 5}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [{"functionResponse": {}}]}]}, "contents[0].parts[0].functionResponse.name"),
        ({"generationConfig": {"maxOutputTokens": 0}}, "generationConfig.maxOutputTokens"),
        ({"generationConfig": {"maxOutputTokens": 1.5}}, "generationConfig.maxOutputTokens"),
        ({"generationConfig": {"temperature": 3}}, "generationConfig.temperature"),
        ({"generationConfig": {"candidateCount": 9}}, "generationConfig.candidateCount"),
        ({"generationConfig": {"stopSequences": ["a"] * 6}}, "generationConfig.stopSequences"),
        ({"generationConfig": {"stopSequences": ["a" * 1001]}}, "generationConfig.stopSequences"),
        ({"generationConfig": {"responseMimeType": "text/x.enum"}}, "generationConfig.responseMimeType"),
        ({"generationConfig": {"responseSchema": {}, "responseJsonSchema": {}}}, "generationConfig.responseSchema"),
        ({"generationConfig": {"responseSchema": 5}}, "generationConfig.responseSchema"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["x"]}}}, "allowedFunctionNames"),
        ({"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": "x"}}}, "allowedFunctionNames"),
        ({"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": [5]}}}, "allowedFunctionNames"),
        ({"generationConfig": {"seed": 2**31}}, "generationConfig.seed"),
        ({"generationConfig": {"seed": -(2**31) - 1}}, "generationConfig.seed"),
        ({"tools": [{"functionDeclarations": [{"name": "f" * 65}]}]}, "tools[0].functionDeclarations[0].name"),
        ({"tools": [{"functionDeclarations": [{"name": ""}]}]}, "tools[0].functionDeclarations[0].name"),
        ({"tools": [{"functionDeclarations": [{"name": "f"}] * 129}]}, "tools"),
    ],
)
def test_wrong_request_is_refused_with_the_path_of_what_is_wrong(body: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        prompt_of(**body)
    assert refused.value.kind == "bad_request" and str(refused.value.param).endswith(param)


def test_schema_that_is_nested_deeply_is_refused() -> None:
    for wrap in (
        lambda inner: {"items": inner},
        lambda inner: {"anyOf": [inner]},
        lambda inner: {"properties": {"a": inner}},
    ):
        schema: dict[str, Any] = {}
        for _ in range(32):
            schema = wrap(schema)
        assert prompt_of(generationConfig={"responseSchema": schema}).schema
        with pytest.raises(RequestError, match="must not be deeper"):
            prompt_of(generationConfig={"responseSchema": wrap(schema)})


def test_limits_may_be_reached() -> None:
    config = {
        "candidateCount": 8,
        "maxOutputTokens": 1,
        "seed": 2**31 - 1,
        "temperature": 2,
        "stopSequences": ["a"] * 5,
    }
    function = {"name": "f" * 64}
    prompt = prompt_of(generationConfig=config, tools=[{"functionDeclarations": [function] * 128}])
    assert (prompt.n, prompt.max_tokens, prompt.seed, prompt.temperature) == (8, 1, 2**31 - 1, 2)
    assert len(prompt.stop) == 5 and len(prompt.tools) == 128


@pytest.mark.parametrize("alt", ["xml", "", "sse?tps=5"])
def test_form_that_nobody_knows_is_refused(alt: str) -> None:
    path = "/v1beta/models/toy:streamGenerateContent"
    with pytest.raises(RequestError, match="alt must be"):
        WIRE.read_request(HTTPRequest("POST", path, {"alt": alt}, {}, b'{"contents": [{"parts": [{"text": "x"}]}]}'))


# ---- On a server -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Any:
    with running() as server:
        yield server


def post(server: Server, method: str = "streamGenerateContent?alt=sse", model: str = "toy-echo", **more: Any) -> Answer:
    path = f"{more.pop('base', '/v1beta')}/models/{model}:{method}"
    headers = {**JSON, **more.pop("headers", {})}
    return ask(server, "POST", path, json.dumps({**TURN, **more}).encode(), headers)


@pytest.mark.parametrize("base", ["/v1", "/v1beta", "/split=7/v1beta"])
def test_stream_has_nothing_but_data(server: Server, base: str) -> None:
    answer = post(server, base=base)
    assert answer.status == 200 and answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    lines = answer.body.decode().split("\n")
    assert all(line == "" or line.startswith('data: {"candidates"') for line in lines) and answer.body.endswith(
        b"}\n\n"
    )


def test_without_alt_sse_it_is_one_array(server: Server) -> None:
    events = [json.loads(line[6:]) for line in post(server).body.decode().splitlines() if line]
    answer = post(server, "streamGenerateContent")
    assert answer.headers["content-type"] == "application/json" and answer.headers["transfer-encoding"] == "chunked"
    same = [[chunk["candidates"] for chunk in chunks] for chunks in (events, json.loads(answer.body))]
    assert same[0] == same[1] and len(answer.chunks) == len(events) + 1
    assert answer.chunks[0].startswith(b"[{") and answer.chunks[1].startswith(b",\r\n{") and answer.chunks[-1] == b"]"


def test_array_ends_with_the_error(server: Server) -> None:
    answer = post(server, "streamGenerateContent", "toy-flaky")
    assert json.loads(answer.body)[-1]["error"]["status"] == "INTERNAL"
    with running(ttft=30) as slow, Wire(slow) as wire:
        wire.send(request("POST", "/v1/models/toy:streamGenerateContent", json.dumps(TURN).encode(), JSON))
        wire.until(b"\r\n\r\n")
        slow.shutdown()
        rest = wire.rest()
    assert b'[{"error":{"code":503,' in rest and rest.endswith(b"}}]\r\n0\r\n\r\n")


def test_silence_is_filled_with_empty_lines() -> None:
    with running(heartbeat=0.2) as server:
        for method in ("streamGenerateContent?alt=sse", "streamGenerateContent"):
            body = post(server, method, "toy-slow").chunks
            assert body[0] == b"\n" and all(part in (b"\n", b"]") or b"candidates" in part for part in body)


def test_whole_answer_and_count_of_tokens(server: Server) -> None:
    whole = post(server, "generateContent").json()
    assert whole["candidates"][0]["content"]["parts"] == [{"text": "hi"}]
    assert post(server, "countTokens").json() == {"totalTokens": whole["usageMetadata"]["promptTokenCount"]}
    nested = json.dumps({"generateContentRequest": TURN}).encode()
    counted = ask(server, "POST", "/v1beta/models/toy:countTokens", nested, JSON)
    assert counted.json() == {"totalTokens": whole["usageMetadata"]["promptTokenCount"]}


def test_colon_may_be_escaped(server: Server) -> None:
    path = "/v1beta/models/toy-echo%3AgenerateContent"
    assert ask(server, "POST", path, json.dumps(TURN).encode(), JSON).json()["candidates"]


def test_models_are_listed_with_their_methods(server: Server) -> None:
    listed = ask(server, "GET", "/v1beta/models?pageSize=5").json()
    assert listed["models"][0]["name"] == "models/toy"
    assert {"generateContent", "streamGenerateContent"} <= set(listed["models"][0]["supportedGenerationMethods"])
    assert ask(server, "GET", "/v1beta/models/toy").json() == listed["models"][0]
    assert ask(server, "GET", "/v1/models").json()["models"][0]["name"] == "models/toy"
    missing = ask(server, "GET", "/v1beta/models/none")
    assert (
        missing.status == 404 and missing.json()["error"]["status"] == "NOT_FOUND" and "'none'" in str(missing.json())
    )


@pytest.mark.parametrize(
    ("how", "status"),
    [("?key=k", 200), ({"x-goog-api-key": "k"}, 200), ({"x-goog-api-key": "no"}, 401), ("?key=no", 401), ({}, 401)],
)
def test_key_comes_in_a_header_or_in_the_query(how: Any, status: int) -> None:
    with running(api_key="k") as server:
        query, headers = (how, {}) if isinstance(how, str) else ("", how)
        answer = post(server, f"generateContent{query}", headers=headers)
        assert answer.status == status and "key=" not in str(server.journal)
    if status == 401:
        assert answer.json()["error"]["status"] == "UNAUTHENTICATED"


def test_key_may_have_any_character() -> None:
    with running(api_key="k\u00e4\u65e5") as server:
        for key, status in (("k%C3%A4%E6%97%A5", 200), ("k%E4", 401), ("k%C3%A4?", 401)):
            assert post(server, f"generateContent?key={key}").status == status


def test_stream_may_be_asked_for_with_a_dollar(server: Server) -> None:
    assert post(server, "streamGenerateContent?$alt=sse").body.startswith(b"data: ")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/toy:generateContent", 405),
        ("POST", "/v1beta/models/nobody:generateContent", 404),
        ("POST", "/v1beta/models/toy:embedContent", 405),
        ("POST", "/v1beta/nothing", 404),
        ("POST", "/fault=nope/v1beta/models/toy:generateContent", 400),
        ("POST", "/fault=refuse/v1/models/toy:generateContent", 429),
        ("POST", "/quirk=crlf/v1/models/toy:generateContent", 400),
    ],
)
def test_errors_have_the_vendors_words(server: Server, method: str, path: str, status: int) -> None:
    answer = ask(server, method, path, json.dumps(TURN).encode() if method == "POST" else b"", JSON)
    assert answer.status == status and answer.json()["error"]["code"] == status and answer.json()["error"]["message"]


def test_cancelling_is_seen_in_the_journal(server: Server) -> None:
    path = "/tps=100/v1beta/models/toy:streamGenerateContent?alt=sse"
    with Wire(server) as wire:
        wire.send(request("POST", path, json.dumps(TURN).encode(), JSON))
        wire.until(b"candidates")
    assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")


# ---- On a client -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["", "/v1", "/v1beta", "/v1/"])
def test_address_is_found_below_any_base(base: str) -> None:
    url = WIRE.address(f"http://h{base}?a=1", Request(Prompt("models/toy", ())))
    version = "v1" if base.startswith("/v1") and "beta" not in base else "v1beta"
    assert url == f"http://h/{version}/models/toy:streamGenerateContent?a=1&alt=sse"
    assert WIRE.address("http://h", Request(Prompt("toy", ()), stream=False)).endswith(
        "/v1beta/models/toy:generateContent"
    )


@pytest.mark.parametrize("name", ["", "a b", "a?b", "a#b", "\u00e9"])
def test_name_of_a_model_that_cannot_stand_in_a_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a path"):
        WIRE.address("http://h", Request(Prompt(name, ())))


def test_choices_that_are_asked_for_are_counted() -> None:
    assert WIRE.count_choices({"generationConfig": {"candidate_count": 3}}) == 3
    assert WIRE.count_choices({}) == WIRE.count_choices({"generationConfig": 5}) == 1
