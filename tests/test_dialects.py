"""The dialects as pure functions: what is written reads back, for every model and option."""

from __future__ import annotations

import itertools
import json
import random
import urllib.parse
from dataclasses import replace
from typing import Any

import pytest

from sse_ref.codec import ServerSentEvent
from sse_ref.dialects import DIALECTS
from sse_ref.dialects.interface import HTTPRequest, Request
from sse_ref.dialects.openai import ChunkReader
from sse_ref.dialects.strict_json import to_json
from sse_ref.errors import STATUSES, ApiError, ProtocolError, RequestError
from sse_ref.model import generate
from sse_ref.pieces import Call, End, Fragment, Message, Piece, Prompt, Reasoning, Silence, Text, Tool, Usage
from sse_ref.schema import SchemaError

CHAT = DIALECTS["openai"]
PROMPT = Prompt("toy", (Message("system", "Be brief."), Message("user", "Use get_x, get_y \U0001f98a\u2028")))
TOOLS = (Tool("get_x", {"type": "object", "properties": {"a": {"type": "integer"}}}), Tool("get_y", {"type": "object"}))


def posted(body: bytes = b"", headers: dict[str, str] | None = None, url: str = "/") -> HTTPRequest:
    path, _, query = url.partition("?")
    return HTTPRequest("POST", path, dict(urllib.parse.parse_qsl(query)), headers or {}, body)


CHATS = {name: DIALECTS[name] for name in ("openai", "openai-completions")}
NEUTRAL = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
NEUTRAL |= {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}
NEUTRAL |= {"STOP": "stop"}
SEVERAL = (*CHATS, "gemini")  # the dialects whose requests may ask for several choices


def bare(pieces: list) -> list:
    """Pieces without what does not travel, or has other words: token counts, probabilities, ids, the stop string."""
    kept = [piece for piece in pieces if not isinstance(piece, Usage)]
    kept = [replace(piece, tokens=0) for piece in kept]
    kept = [replace(piece, logprobs=()) if isinstance(piece, Text) else piece for piece in kept]
    reasons = [NEUTRAL.get(piece.reason, piece.reason) if isinstance(piece, End) else "" for piece in kept]
    kept = [
        replace(piece, stop="", reason=reason) if reason else piece for piece, reason in zip(kept, reasons, strict=True)
    ]
    return [replace(piece, id="") if isinstance(piece, Call) else piece for piece in kept]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": "toy-echo"},
        {"model": "toy-thinker"},
        {"n": 3},
        {"max_tokens": 4},
        {"tools": TOOLS},
        {"tools": TOOLS, "n": 2},
        {"schema": {"type": "object"}},
        {"stop": ("a",)},
        {"top_logprobs": 2},
    ],
    ids=str,
)
def test_stream_reads_back_as_the_pieces_it_was_written_from(options: dict) -> None:
    prompt = replace(PROMPT, **options)
    pieces = list(generate(prompt))
    for dialect, include_usage in itertools.product(DIALECTS.values(), (True, False)):
        if dialect.name not in SEVERAL and prompt.n > 1:
            continue
        if dialect.name == "openai-completions" and prompt.tools:
            continue
        request = Request(prompt, include_usage=include_usage)
        reader = dialect.reader()
        read = [
            piece for event in dialect.write_stream(request, pieces, id="1", created=1) for piece in reader.read(event)
        ]
        unwritten = Reasoning if dialect.name == "openai-completions" else Silence
        written = bare([piece for piece in pieces if not isinstance(piece, unwritten)])
        if dialect.name == "gemini":  # calls are whole there, and do not show in the finish reason
            assert with_whole_calls(bare(read)) == with_whole_calls(written)
        else:
            assert bare(read) == written
        usages = [piece for piece in read if isinstance(piece, Usage)]
        if dialect.name == "cohere":  # which does not tell how many of them are reasoning
            usages = [replace(usages[-1], reasoning_tokens=pieces[-1].reasoning_tokens)]
        assert usages[-1:] == ([pieces[-1]] if include_usage or dialect.name not in CHATS else [])
        assert reader.done == bool(dialect.last_event) and reader.finished and reader.warnings == []


def with_whole_calls(pieces: list) -> list:
    """The pieces of each choice, with the arguments of each call as a value, and no other end than "stop"."""
    found: list[Any] = []
    for piece in sorted(pieces, key=lambda piece: piece.choice):
        if isinstance(piece, Fragment):
            found[-1][1].append(piece.arguments)
        elif isinstance(piece, Call):
            found.append((piece, []))
        elif isinstance(piece, End) and piece.reason == "tool_calls":
            found.append(replace(piece, reason="stop"))
        else:
            found.append(piece)
    return [(one[0], json.loads("".join(one[1]))) if isinstance(one, tuple) else one for one in found]


def options_of(name: str) -> list[dict]:
    """What a request of a dialect can ask for."""
    options: list[dict] = [{}, {"max_tokens": 5, "temperature": 0.5}, {"schema": {"type": "object"}}]
    options.append({"reasoning": False})
    if name != "openai-completions":
        options.append({"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": name in ("gemini", "cohere")})
        options.append({"tools": TOOLS, "tool_choice": "none", "messages": PROMPT.messages})
    if name in SEVERAL:
        options.append({"n": 2, "seed": 7})
    if name == "cohere":
        options.append({"seed": 7})
    if name != "openai-responses":
        options.append({"stop": ("a", "b")})
    if name not in ("anthropic", "gemini", "cohere"):
        options.append({"top_logprobs": 3})
    return options


@pytest.mark.parametrize("name", DIALECTS)
def test_request_reads_back_as_it_was_written(name: str) -> None:
    dialect = DIALECTS[name]
    for options, stream, usage in itertools.product(options_of(name), (True, False), (True, False)):
        prompt = replace(PROMPT, messages=(Message("user", "hi"),))
        request = Request(replace(prompt, **options), stream, usage and stream)
        body = json.dumps(dialect.write_request(request)).encode()
        read = dialect.read_request(posted(body, url=dialect.address("", request)))
        expected = request.prompt
        if name == "openai-completions":
            expected = replace(expected, tool_choice="none", top_logprobs=None)
        if name == "anthropic" and expected.max_tokens is None:
            expected = replace(expected, max_tokens=4096)
        if name == "openai-responses" and expected.top_logprobs is not None and expected.max_tokens is None:
            expected = replace(expected, max_tokens=2000)  # more than so many are not repeated
        assert read.prompt == expected and read.stream == stream
        assert read.include_usage == request.include_usage or name not in CHATS


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("anthropic", {"n": 2}),
        ("anthropic", {"seed": 1}),
        ("anthropic", {"top_logprobs": 0}),
        ("cohere", {"n": 2}),
        ("cohere", {"top_logprobs": 3}),
        ("cohere", {"parallel_tool_calls": False}),
        ("gemini", {"top_logprobs": 3}),
        ("gemini", {"parallel_tool_calls": False}),
        ("openai-responses", {"n": 2}),
        ("openai-responses", {"seed": 1}),
        ("openai-responses", {"stop": ("a",)}),
    ],
)
def test_what_a_wire_has_no_member_for_is_refused(name: str, options: dict) -> None:
    with pytest.raises(ValueError, match=f"have no {next(iter(options))}"):
        DIALECTS[name].write_request(Request(replace(PROMPT, **options)))


def test_written_request_leaves_defaults_to_the_server() -> None:
    body = CHAT.write_request(Request(Prompt("m", (Message("user", "hi"),))))
    assert body == {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def test_ids_and_times_are_those_passed_in() -> None:
    for dialect in CHATS.values():
        events = dialect.write_stream(Request(PROMPT), generate(PROMPT), id="xyz", created=99)
        chunk = json.loads(next(events).data)
        assert chunk["id"].endswith("xyz") and chunk["created"] == 99


@pytest.mark.parametrize("name", DIALECTS)
def test_failure_of_the_model_is_an_error_event_at_the_end(name: str) -> None:
    prompt = replace(PROMPT, model="toy-flaky")
    reader = DIALECTS[name].reader()
    events = list(DIALECTS[name].write_stream(Request(prompt), generate(prompt), id="1", created=1))
    *before, last = events[:-1] if name == "cohere" else events  # there [DONE] comes after an error, too
    for event in before:
        list(reader.read(event))
    with pytest.raises(ApiError, match="failed"):
        list(reader.read(last))
    assert not reader.done and not reader.finished


@pytest.mark.parametrize("chunk", [{"choices": [{"index": 0, "delta": {"content": "x"}}]}, {"choices": []}])
def test_reader_ignores_what_it_does_not_know(chunk: dict) -> None:
    reader = CHAT.reader()
    extended = {**chunk, "x": 1, "choices": [{**choice, "y": 2} for choice in chunk["choices"]]}
    assert list(reader.read(ServerSentEvent(json.dumps(extended)))) == list(
        reader.read(ServerSentEvent(json.dumps(chunk)))
    )


@pytest.mark.parametrize("name", DIALECTS)
def test_request_that_no_answer_fits_has_no_first_event(name: str) -> None:
    def refused() -> Any:
        raise SchemaError("nothing fits")
        yield

    request = Request(Prompt("toy", (Message("user", "hi"),)))
    with pytest.raises(SchemaError):
        next(iter(DIALECTS[name].write_stream(request, refused(), id="0123456789abcdef", created=1)))


def test_done_counts_whatever_its_event_type_but_only_exactly() -> None:
    reader = CHAT.reader()
    assert list(reader.read(ServerSentEvent("[DONE]", "done"))) == []
    assert reader.done
    content = '{"choices":[{"index":0,"delta":{"content":"[DONE]"}}]}'
    assert list(CHAT.reader().read(ServerSentEvent(content))) == [Text("[DONE]")]


def test_finish_of_every_choice_that_began_is_needed() -> None:
    reader = CHAT.reader()

    def read(index: int, **choice: Any) -> list[Piece]:
        return list(reader.read(ServerSentEvent(to_json({"choices": [{"index": index, **choice}]}))))

    for index in (0, 1):
        assert read(index, delta={"content": "x"}) == [Text("x", index)]
    assert read(1, delta={}, finish_reason="stop") == [End("stop", 1)]
    assert not reader.finished
    read(0, delta={}, finish_reason="stop")
    assert reader.finished


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_has_no_nan(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json({"x": value})


def test_error_object_has_the_four_members() -> None:
    error = RequestError("no_model", "no", param="p")
    assert CHAT.write_error(error) == {
        "error": {"message": "no", "type": "invalid_request_error", "param": "p", "code": "model_not_found"}
    }


def test_each_kind_of_error_has_a_type() -> None:
    for dialect, kind in itertools.product((*CHATS.values(), DIALECTS["openai-responses"]), STATUSES):
        error = dialect.write_error(RequestError(kind, "because"))["error"]
        assert error["message"] == "because"
        server_is_at_fault = kind in ("timed_out", "failed", "stopping")
        assert (error["type"] == "server_error") == server_is_at_fault
        assert (error["type"] == "rate_limit_error") == (kind == "too_many")


@pytest.mark.parametrize("name", DIALECTS)
def test_each_dialect_has_words_for_every_kind_of_error_and_reads_its_own(name: str) -> None:
    dialect = DIALECTS[name]
    for kind in STATUSES:
        error = RequestError(kind, "because", param="p")
        assert dialect.read_error(to_json(dialect.write_error(error, id="7")).encode()) == "because"
        with pytest.raises(ApiError, match="because"):
            list(dialect.reader().read(dialect.write_error_event(error, number=3)))


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"authorization": "Bearer k"}, "k"),
        ({"authorization": "bearer  k "}, "k"),
        ({"authorization": "Basic k"}, None),
        ({"authorization": "k"}, None),
    ],
)
def test_key_is_read_from_its_header(headers: dict[str, str], key: str | None) -> None:
    assert CHAT.read_key(posted(headers=headers)) == key
    written = {name.lower(): value for name, value in CHAT.write_key("secret").items()}
    assert CHAT.read_key(posted(headers=written)) == "secret"


VALUES: list[Any] = [
    None,
    True,
    -1,
    3.5,
    "",
    "x",
    [],
    [None],
    ["x"],
    {},
    {"x": 1},
    [{}],
    "\ud83e",
    10**400,
    {"type": "text"},
]


def mutated(chance: random.Random, value: Any) -> Any:
    """The value with one thing in it changed."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(list(value))
        if chance.random() < 0.1:
            return {other: member for other, member in value.items() if other != name}
        return {**value, name: mutated(chance, value[name])}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [*value[:place], mutated(chance, value[place]), *value[place + 1 :]]
    return chance.choice(VALUES)


@pytest.mark.once
@pytest.mark.parametrize("name", DIALECTS)
def test_whatever_a_server_sends_is_pieces_or_an_error_that_says_whose_fault_it_is(name: str) -> None:
    chance = random.Random(name)
    asked_for = (
        {},
        {"tools": TOOLS},
        {"model": "toy-thinker", "max_tokens": 60},
        {"model": "toy-flaky", "max_tokens": 8},
    )
    prompts = [replace(PROMPT, **options) for options in asked_for]
    streams = [
        list(DIALECTS[name].write_stream(Request(prompt, include_usage=True), generate(prompt), id="1", created=1))
        for prompt in prompts
    ]
    outcomes = {"complete": 0, "error": 0, "open": 0}
    for _ in range(1500):
        events = list(chance.choice(streams))
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(events))
            if events[place].data.startswith("{"):
                data = json.dumps(mutated(chance, json.loads(events[place].data)))
                events[place] = ServerSentEvent(data, chance.choice([events[place].event, "message", "error", "x"]))
            match chance.randrange(6):
                case 0:
                    events.insert(place, chance.choice(events))
                case 1:
                    events[place] = ServerSentEvent(
                        chance.choice(["", "x", "[DONE]", "null", "[1]"]), events[place].event
                    )
                case 2 if len(events) > 1:
                    del events[place]
        reader = DIALECTS[name].reader()
        try:
            pieces = [piece for event in events for piece in reader.read(event)]
        except (ApiError, ProtocolError) as error:
            outcomes["error"] += 1
            assert "\n" not in str(error) and len(str(error)) < 500
            continue
        assert all(isinstance(piece.text, str) and piece.text for piece in pieces if isinstance(piece, Text))
        assert all(piece.arguments for piece in pieces if isinstance(piece, Fragment))
        outcomes["complete" if reader.finished else "open"] += 1
    assert all(count > 10 for count in outcomes.values()), outcomes


# ---- The vendor's own chunks, read by the vendor's own reader ------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"model": "toy-echo"}, {"n": 3}, {"tools": TOOLS}, {"max_tokens": 4}], ids=str)
def test_exact_reader_reads_what_the_exact_writer_writes(options: dict) -> None:
    prompt = replace(PROMPT, **options)
    pieces = list(generate(prompt))
    reader = ChunkReader()
    events = CHAT.write_stream(Request(prompt, include_usage=True), pieces, id="1", created=1)
    read = [piece for event in events for piece in reader.read(event)]
    assert bare(read) == bare(pieces) and read[-1] == pieces[-1]
    assert reader.done and reader.finished


@pytest.mark.parametrize(
    "data",
    [
        "",
        "text",
        "[]",
        "1",
        '{"choices": 1}',
        '{"choices": [1]}',
        '{"choices": [{}]}',
        '{"choices": [{"index": 0}]}',
        '{"choices": [{"index": 0, "delta": {"tool_calls": [{}]}}]}',
        '{"usage": {"prompt_tokens": 1}}',
        '{"error": "boom"}',
    ],
)
def test_exact_reader_says_what_is_no_chunk(data: str) -> None:
    with pytest.raises(ProtocolError, match="no chunk"):
        list(ChunkReader().read(ServerSentEvent(data)))


def test_exact_reader_gives_the_pieces_before_an_error() -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "a"}}], "error": {"message": "boom"}}
    reading = ChunkReader().read(ServerSentEvent(to_json(chunk)))
    assert next(reading) == Text("a")
    with pytest.raises(ApiError, match="boom"):
        next(reading)


def test_choices_of_a_whole_answer_are_in_order_whichever_ended_first() -> None:
    pieces = [Text("a", 0), Text("b", 1), End("stop", 1), End("stop", 0), Usage(1, 2)]
    answer = CHAT.write_answer(Request(replace(PROMPT, n=2)), pieces, id="1", created=1)
    assert [(choice["index"], choice["message"]["content"]) for choice in answer["choices"]] == [(0, "a"), (1, "b")]


@pytest.mark.parametrize(
    ("body", "choices"), [({}, 1), ({"n": None}, 1), ({"n": 3}, 3), ({"n": 0}, 1), ({"n": "x"}, 1)]
)
def test_choices_that_a_request_asks_for_are_counted(body: dict, choices: int) -> None:
    assert CHAT.count_choices(body) == choices


@pytest.mark.parametrize("base", ["http://h/v1", "http://h/v1/", "http://h/v1?a=b", "http://h/x=1/v1?a=b&c"])
def test_address_is_below_the_base_and_keeps_its_query(base: str) -> None:
    path, mark, query = base.partition("?")
    assert CHAT.address(base, Request(PROMPT)) == path.rstrip("/") + "/chat/completions" + mark + query
