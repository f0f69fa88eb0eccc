"""OpenAI's wire as other services speak it: errors, texts and tool calls in every shape."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hostile import (
    DONE,
    HELLO,
    LAST,
    STOP,
    Hold,
    Step,
    chunk,
    delta,
    event,
    head,
    playing,
    stream,
    whole,
)
from streaming import GOOD, ask, complete, failed

from sse_ref import client
from sse_ref.client import (
    ApiError,
    ChatStream,
    ProtocolError,
)
from sse_ref.client import chat as chat_streams
from sse_ref.client.transport import Watcher
from sse_ref.codec import ServerSentEvent
from sse_ref.dialects import DIALECTS, compatible
from sse_ref.dialects.compatible import CompatibleReader
from sse_ref.errors import StreamError
from sse_ref.pieces import Call, Message, Piece, Prompt, Reasoning, Refusal, Text, Usage
from sse_ref.server import running


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (event({"error": {"message": "boom", "type": "server_error"}}), "boom"),
        (b"event: error\n" + event({"error": {"message": "boom"}}), "boom"),
        (b"event: error\n" + event({"message": "boom"}), "boom"),
        (b"event: error\n" + event({"detail": "boom"}), "boom"),
        (event({"error": "boom"}), "boom"),
        (event({"error": {"code": 5}}), "5"),
        (event({"object": "error", "message": "boom", "code": 1}), "boom"),
        (event({"detail": "boom"}), "boom"),
        (event({"detail": [{"loc": ["body"], "msg": "boom"}]}), "boom"),
        (event({"status_code": 500, "error_msg": "boom"}), "boom"),
        (event({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "boom"}}), "boom"),
        (event({"message": {"detail": [{"msg": "boom"}]}}), "boom"),
        (event({"errors": [{"message": "boom"}]}), "boom"),
        (event({"status": False, "message": "boom"}), "boom"),
        (event({"object": "error", "message": "boom", "choices": []}), "boom"),
        (event({"code": 400, "msg": "boom", "choices": []}), "boom"),
        (event({"choices": [{"index": 0, "delta": {}, "error": {"message": "boom"}}]}), "boom"),
        (
            event({"choices": [{"index": 0, "delta": {}}], "base_resp": {"status_code": 5, "status_msg": "boom"}}),
            "boom",
        ),
        (b"event: error\ndata\n\n", "error without a message"),
        (b"event: error\ndata: boom\n\n", "boom"),
        (b'event: error\ndata: "boom"\n\n', "boom"),
        (b"event: error\ndata: 5\n\n", "5"),
        (event({"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}), "ended the answer with an error"),
        (event({"choices": [{"index": 0, "finish_reason": "error", "error": {"message": "boom"}}]}), "boom"),
        (
            event({"x_groq": {"error": "boom"}, "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}),
            "boom",
        ),
        (
            event(
                {
                    "error": {"message": "boom", "code": 502},
                    "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}],
                }
            ),
            "boom",
        ),
    ],
)
@pytest.mark.parametrize("before", [HELLO, b""])
def test_error_in_the_stream_is_an_api_error(bad: bytes, message: str, before: bytes) -> None:
    chat = failed(ask(stream(before, bad, DONE)), "api_error", "Hello" if before else "", message)
    assert isinstance(chat.error, ApiError)  # type: ignore[attr-defined]


def test_text_beside_an_error_is_kept() -> None:
    last = event({"error": "boom", "choices": [{"index": 0, "delta": {"content": "!"}, "finish_reason": "error"}]})
    failed(ask(stream(HELLO, last)), "api_error", "Hello!", "boom")


@pytest.mark.parametrize(
    "good",
    [
        event({"base_resp": {"status_code": 0, "status_msg": "success"}}),
        event({"code": 0, "msg": "success"}),
        event({"code": 0, "msg": "success", "choices": []}),
        event({"choices": [], "message": "thinking"}),
        event({"object": "keepalive", "message": "still here"}),
        event({"type": "ping", "message": "pong"}),
        b"event: ping\n" + event({"message": "pong"}),
        b"event: ping\ndata: ping\n\n",
        *(
            delta("").replace(b'{"id"', b'{"error": %b, "id"' % none)
            for none in (b"null", b'""', b"{}", b"[]", b"false", b'{"message": null, "code": null}')
        ),
    ],
)
def test_what_says_that_all_is_well_is_no_error(good: bytes) -> None:
    complete(ask(stream(good, HELLO, good, STOP, DONE)))


def test_error_as_a_field_of_its_own_is_not_success() -> None:
    script = stream(HELLO, b'error: {"message": "boom"}\n\n')
    failed(ask(script), "api_error", match="boom")
    failed(ask(script[:-1]), "api_error", match="boom")  # cut after it


@pytest.mark.parametrize("before", [HELLO, b"", b": c\n\n", b"data: {}\n\n"])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n", b""])
def test_error_on_a_bare_line_keeps_its_message(before: bytes, end: bytes) -> None:
    text = "Hello" if before == HELLO else ""
    failed(ask(stream(before, b'{"error": {"message": "boom"}}' + end)), "api_error", text, "boom")
    failed(ask(stream(before, b'{"detail": "boom"}' + end)), "api_error", text, "boom")


@pytest.mark.parametrize("before", [HELLO, b"", b": c\n\n"])
@pytest.mark.parametrize("end", [b"\n\n", b"\n", b""])
@pytest.mark.parametrize("indent", [1, 4])
@pytest.mark.parametrize("dialect", ["openai", "gemini"])
def test_error_on_several_bare_lines_keeps_its_message(before: bytes, end: bytes, indent: int, dialect: str) -> None:
    text = "Hello" if before == HELLO and dialect == "openai" else ""
    values: list[Any] = [{"error": {"code": 500, "message": "boom"}}, [{"error": {"message": "boom", "details": []}}]]
    for value in values:
        bare = json.dumps(value, indent=indent).encode()
        script = stream(b": c\n\n" if dialect != "openai" else before, bare + end)
        failed(ask(script, dialect=dialect), "api_error", text, "boom")


def test_bare_line_of_a_finished_answer_does_not_matter() -> None:
    complete(ask(stream(HELLO, STOP, b'{"error": "boom"}\n\n', DONE)))
    without_done = complete(ask(stream(HELLO, STOP, b'{"error": "boom"}\n\n')))
    assert "boom" in " ".join(without_done.warnings)
    lines = complete(ask(stream(HELLO, STOP, b'{\n "error": "boom"\n}\n')))
    assert "boom" in " ".join(lines.warnings)


class Watching(Watcher):
    """Wants to see the end of the wire."""


LATE = event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
EXTRA = event({"choices": [{"index": 0, "delta": {"content": "!"}}]})


@pytest.mark.parametrize("end", [(LAST,), (Hold(),), ()])
def test_usage_may_come_after_done(end: tuple[Step, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_streams, "READ_ON", 30.0)
    chat = complete(ask([*stream(HELLO, STOP, DONE, LATE)[:-1], *end]))
    assert chat.usage == Usage(3, 2) and chat.warnings == ["the usage came after [DONE]"]


def test_only_a_usage_counts_after_done_and_only_where_none_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_streams, "READ_ON", 30.0)
    seen: list[str] = []
    script = stream(HELLO, STOP, DONE, *[EXTRA] * 500, event({"error": "boom"}), LATE, LATE.replace(b"3", b"4"))
    chat = complete(ask(script, on_event=lambda event: seen.append(event.data)))
    assert chat.usage == Usage(3, 2) and seen[-1] in LATE.decode()
    assert sum(data in EXTRA.decode() for data in seen) == 500
    assert chat.warnings == [
        "content came after the finish reason",
        "what came after [DONE] was ignored",
        "an error came after [DONE]: boom",
        "the usage came after [DONE]",
    ]
    chat = complete(ask(stream(HELLO, STOP, LATE, DONE, LATE.replace(b"3", b"4"))))
    assert chat.warnings == [] and chat.usage == Usage(3, 2)
    chat = complete(ask(stream(HELLO, STOP, DONE, DONE)))
    assert chat.warnings == [] and chat.usage is None


def test_usage_after_done_is_ignored_by_who_has_one_and_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_streams, "READ_ON", 30.0)
    chat = complete(ask(stream(HELLO, STOP, LATE, DONE, LATE.replace(b"3", b"4")), watcher=Watching()))
    assert chat.usage == Usage(3, 2) and chat.warnings == ["what came after [DONE] was ignored"]


def test_usage_that_does_not_come_after_done_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_streams, "READ_ON", 0.1)
    chat = complete(ask([*stream(HELLO, STOP, DONE)[:-1], Hold()]))
    assert chat.warnings == [] and chat.usage is None


@pytest.mark.parametrize(
    ("script", "match"),
    [
        (stream(HELLO, b"data: {broken\n\n"), "not JSON"),
        (stream(HELLO, b"data: 5\n\n"), "no JSON object"),
        (stream(HELLO, b"data: [DONE] \n\n"), "not JSON"),
        (stream(HELLO, b"data: [done]\n\n"), "not JSON"),
        (stream(HELLO, b"data: " + b"[" * 100_000 + b"\n\n"), "JSON"),
        (stream(HELLO, event({"choices": 5})), "choices"),
        (stream(HELLO, event({"choices": [5]})), "choices"),
        (stream(HELLO, event({"choices": [{"index": "0", "delta": {}}]})), "index"),
        (stream(HELLO, event({"choices": [{"index": 0, "delta": 5}]})), "delta"),
        (stream(HELLO, event({"choices": [{"index": float("nan"), "delta": {}}]})), "index"),
        (stream(HELLO, event({"choices": float("nan")})), "choices"),
        (stream(HELLO, event({"choices": [{"index": 0, "delta": {"content": ["x"]}}]})), "content"),
        ([head(), chunk(HELLO), b"xyz\r\n"], "chunk size"),
        ([head(), chunk(HELLO), b"-5\r\n"], "chunk size"),
        ([head(), chunk(HELLO), b"0x5\r\n"], "chunk size"),
        ([head(), chunk(HELLO), b"\r\n\r\n"], "chunk size"),
        ([head(), chunk(HELLO)[:-2] + b"garbage\r\n"], "longer than its size"),
        ([head(), chunk(HELLO), b"1" * 20000], "a line is too long"),
    ],
)
def test_broken_wire_is_a_protocol_error_and_keeps_the_text(script: list[Step], match: str) -> None:
    failed(ask(script), "protocol_error", match=match)


@pytest.mark.parametrize(
    ("script", "match"),
    [
        (whole("200 OK", b'{"error": {"message": "boom"}}'), "boom"),
        (whole("200 OK", b"<html>Sign in</html>", kind="text/html"), "Sign in"),
        (whole("200 OK", b"", kind="application/json"), "application/json"),
        (whole("200 OK", b'{"id": "x"}'), "application/json"),
        (whole("200 OK", b"data: x", kind=None), "nothing"),
        ([head()[:-2] + b"\r\n", LAST], "no event"),
        (stream(b": only comments\n\n"), "no event"),
        (stream(b"<html>\n\n"), "html"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], "204"),
        ([head("Content-Encoding: gzip"), chunk(GOOD), LAST], "compressed"),
        ([head("Content-Encoding: " + ", ".join(["gzip"] * 1200)), chunk(GOOD), LAST], "coded 1200 times"),
        ([b"hello\r\n\r\n"], "not HTTP"),
    ],
)
def test_success_without_an_event_stream_is_a_protocol_error(script: list[Step], match: str) -> None:
    failed(ask(script), "protocol_error", "", match)


def test_answer_of_a_server_that_does_not_stream_is_kept() -> None:
    answer = {"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]}
    failed(ask(whole("200 OK", json.dumps(answer).encode())), "protocol_error", match="does not stream")


def test_wrong_content_type_is_no_event_stream() -> None:
    failed(ask([head(kind="text/plain"), chunk(GOOD), LAST]), "protocol_error", "", "text/plain")


def test_lines_of_megabytes_are_read_and_the_limit_is_clear() -> None:
    long = delta("x" * 2**23)
    complete(ask(stream(long, STOP, DONE)), "x" * 2**23)
    chat = failed(
        ask(stream(HELLO + long, STOP, DONE), max_event_size=2**20), "protocol_error", "Hello", "1048576 bytes"
    )
    assert isinstance(chat.error, ProtocolError)  # type: ignore[attr-defined]


def call(index: Any = 0, id: str | None = None, name: str | None = None, arguments: Any = None, **more: Any) -> bytes:
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    fields = {"index": index, "id": id, "function": function, **more}
    return delta(tool_calls=[{k: v for k, v in fields.items() if v is not None}])


CALLED = delta(finish="tool_calls") + DONE


TWO = [("f", '{"a":1}'), ("g", '{"b":2}')]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([call(0, "x", "f", ""), call(0, arguments='{"a"'), call(0, arguments=":1}")], TWO[:1]),
        ([call(0, "x", "f", '{"a":1}'), call(1, "y", "g", '{"b":2}')], TWO),
        ([call(0, "x", "f"), call(1, "y", "g"), call(0, arguments='{"a":1}'), call(1, arguments='{"b":2}')], TWO),
        ([call(None, "x", "f", '{"a"'), call(None, arguments=":1}")], TWO[:1]),
        ([call(None, "x", "f", '{"a":1}'), call(None, "y", "g", '{"b":2}')], TWO),
        ([call(None, None, "f", '{"a":1}'), call(None, None, "g", '{"b":2}')], TWO),
        (
            [
                call(None, "x", "f", '{"a"'),
                call(None, "y", "g", '{"b"'),
                call(None, "x", None, ":1}"),
                call(None, "y", None, ":2}"),
            ],
            TWO,
        ),
        ([call(1, "x", "f", '{"a":1}'), call(2, "y", "g", '{"b":2}')], TWO),
        ([call(0, "x", "f", '{"a":1}'), call(0, "y", "g", '{"b":2}')], TWO),
        ([call(0, "x", "f", '{"a"'), call(0, "x", "f", ":1}")], TWO[:1]),
        ([call(0, None, "f", '{"a"'), call(0, None, "f", ":1}")], TWO[:1]),
        ([call(0, "x", "f", '{"a"'), call(0, "", "", ":1}")], TWO[:1]),
        (
            [
                delta(
                    None,
                    tool_calls=[
                        {"index": 0, "id": "x", "function": {"name": "f", "arguments": '{"a":1}'}},
                        {"index": 1, "id": "y", "function": {"name": "g", "arguments": '{"b":2}'}},
                    ],
                )
            ],
            TWO,
        ),
        ([call(0, None, "f"), call(0, "x", None, '{"a":1}')], TWO[:1]),  # the id after the name
        ([call(0, "x"), call(0, None, "f"), call(0, arguments='{"a":1}')], TWO[:1]),  # the name after the id
        ([call(0, arguments='{"a"'), call(0, "x", "f"), call(0, arguments=":1}")], TWO[:1]),  # both after the arguments
        ([call(None, "x"), call(None, None, "f"), call(None, arguments='{"a":1}')], TWO[:1]),
        ([call(None, None, "f"), call(None, "x"), call(None, arguments='{"a":1}')], TWO[:1]),
        ([call(0, "x", "get_"), call(0, None, "weather"), call(0, arguments="{}")], [("get_weather", "{}")]),
        ([call(0, "x", "f", '{"a":1}'), call(1, "x", "g", '{"b":2}')], TWO),  # one id for two calls
        ([call(0, "x", "f", '{"a"'), call(1, "x", None, ":1}")], TWO[:1]),  # another index in each fragment
        ([call(0, "x", "f", '{"a":1}'), call(0, "y", "g", '{"b"'), call(0, arguments=":2}")], TWO),  # the call in hand
        ([call(0, "x", "f")], [("f", "{}")]),  # no arguments: an empty object
        ([call(0, "x", "f", '{"a":1}'), call(1, "y", "g")], [("f", '{"a":1}'), ("g", "{}")]),
        ([delta(function_call={"name": "f", "arguments": ""}), delta(function_call={"arguments": '{"a":1}'})], TWO[:1]),
    ],
)
def test_tool_fragments_are_put_together(pieces: list[bytes], expected: list[tuple[str, str]]) -> None:
    chat = complete(ask(stream(*pieces, CALLED)), "")
    assert [(c.name, c.arguments) for c in chat.tool_calls] == expected
    assert chat.finish_reason == "tool_calls"
    ids = {id for piece in pieces for id in ("x", "y") if b'"id": "%b"' % id.encode() in piece}
    assert {c.id for c in chat.tool_calls} - {""} == ids


def test_call_is_given_again_when_its_id_or_name_comes() -> None:
    chat = ask(stream(call(0, None, "f"), call(0, "x", None, "{}"), call(0, "x", "f"), CALLED))
    assert [piece for piece in chat.pieces if isinstance(piece, Call)] == [Call(0, "f"), Call(0, "f", "x")]  # type: ignore[attr-defined]


def test_call_is_found_by_its_key() -> None:
    """Thousands of calls: counted by the calls that are looked at, not by seconds."""
    looked_at = 0

    class Counting(compatible._Call):
        def __getattribute__(self, name: str) -> Any:
            nonlocal looked_at
            looked_at += name == "id"
            return super().__getattribute__(name)

    def looks(number: int) -> int:
        nonlocal looked_at
        looked_at = 0
        reader = DIALECTS["openai"].reader()
        calls = [{"index": i, "id": f"c{i}", "function": {"name": "f", "arguments": "{}"}} for i in range(number)]
        later = [{"index": i, "function": {"arguments": " "}} for i in range(number)]
        for call in calls + later:
            list(reader.read(ServerSentEvent(json.dumps({"choices": [{"delta": {"tool_calls": [call]}}]}))))
        return looked_at

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compatible, "_Call", Counting)
        assert looks(8000) == 4 * looks(2000)


@pytest.mark.parametrize("where", ["arguments", "name", "id"])
def test_surrogate_pair_in_a_call_is_joined(where: str) -> None:
    halves = [call(0, **{where: "?"}).replace(b"?", half) for half in (b"\\ud83e", b"\\udd8a")]
    rest = {name: value for name, value in {"id": "x", "name": "f", "arguments": "{}"}.items() if name != where}
    (told,) = complete(ask(stream(*halves, call(0, **rest), CALLED)), "").tool_calls
    assert {"id": told.id, "name": told.name, "arguments": told.arguments[:1]}[where] == "\U0001f98a"


def test_arguments_that_are_an_object_are_its_text() -> None:
    (told,) = complete(ask(stream(call(0, "x", "f", {"a": 1}), CALLED)), "").tool_calls
    assert json.loads(told.arguments) == {"a": 1}


@pytest.mark.parametrize(
    "pieces",
    [
        [call(0, None, "f", '{"a":1}'), call(0, None, "g", '{"b":2}')],
        [call(0, "x", "f", '{"a":1}'), call(0, "x", "f", '{"a":2}')],
        [call(0, None, "f", "{}"), call(0, None, "f", "{}")],
        [call(0, arguments="{}")],
        [call(0, "x")],
        [call([0], "x", "f")],
        [call(0, "x", "f", [1])],
        [call(0, "x", 5)],
        [delta(tool_calls=[{"index": 0, "function": "f"}])],
    ],
)
def test_tool_fragments_that_cannot_be_told_apart_are_an_error(pieces: list[bytes]) -> None:
    failed(ask(stream(*pieces, CALLED)), "protocol_error", "")


@pytest.mark.parametrize("arguments", ["x", "{", '{"a":}', '{"a":1}x', "[" * 100_000])
def test_arguments_that_are_not_json_are_given_with_a_warning(arguments: str) -> None:
    chat = complete(ask(stream(call(0, "x", "f", arguments), CALLED)), "")
    assert chat.tool_calls[0].arguments == arguments
    assert "not JSON" in " ".join(chat.warnings)


def test_arguments_that_a_length_cut_are_no_surprise() -> None:
    cut = delta(finish="length")
    assert not complete(ask(stream(call(0, "x", "f", '{"a'), cut, DONE)), "").warnings


def test_warnings_of_one_stream_are_limited() -> None:
    pings = b"".join(b"event: e%d\ndata: x\n\n" % number for number in range(300))
    assert len(complete(ask(stream(HELLO, pings, STOP, DONE))).warnings) == 100


def test_tool_arguments_can_be_read_while_they_grow() -> None:
    with playing(stream(call(0, "x", "f", '{"city": "Os'), call(0, arguments='lo"}'), CALLED)) as server:
        chat = ChatStream("hi", url=server.url)
        seen = [chat.tool_calls[0].partial_arguments for _ in chat if chat.tool_calls]
    assert seen[:3] == [None, {"city": "Os"}, {"city": "Oslo"}]


@pytest.mark.parametrize(
    ("pieces", "text", "warning"),
    [
        (
            [
                delta(None),
                delta(""),
                HELLO,
                event({"choices": [{"index": 0}]}),
                event({"choices": [{"index": 0, "delta": None}]}),
                STOP,
            ],
            "Hello",
            None,
        ),
        ([event({"choices": []}), event({"choices": None}), event({}), HELLO, STOP], "Hello", None),
        ([HELLO, delta("!", finish="stop")], "Hello!", None),
        ([HELLO, delta(finish="because")], "Hello", None),
        ([event({"id": "c", "choices": [{"delta": {"content": "Hello"}}]}), STOP], "Hello", None),
        ([b"event: surprise\n" + event({"type": "keepalive"}), HELLO, STOP], "Hello", None),
        ([HELLO, STOP, delta("!")], "Hello!", "content came after"),
        ([HELLO, STOP, b"data: [DONE] \n\n"], "Hello", "white space"),
        ([HELLO.replace(b'"c"', b'""'), STOP], "Hello", None),  # Azure's empty id
        ([HELLO, delta(index=1), STOP], "Hello", None),  # a choice that never says anything
        ([delta("Hello", index=1), delta(finish="stop", index=1)], "Hello", None),  # never a choice 0
        ([HELLO, delta("Hi", index=1), delta(finish="stop", index=1), STOP], "Hello", "2 choices came"),
        (
            [HELLO, STOP, event({"choices": [], "usage": {"prompt_tokens": True, "completion_tokens": None}})],
            "Hello",
            "usage",
        ),
        ([HELLO, STOP, event({"n": 5}).replace(b"5", b"5" * 10**6)], "Hello", None),
        ([HELLO, STOP, STOP], "Hello", "finished twice"),
        ([HELLO, STOP.replace(b'"c"', b'"d"')], "Hello", "id changed"),
        ([b"data:\n\n", HELLO, STOP], "Hello", "empty data"),
        ([HELLO, STOP, event({"choices": [], "usage": {"prompt_tokens": "3"}})], "Hello", "usage"),
        (
            [HELLO, STOP, event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 10**400}})],
            "Hello",
            "usage",
        ),
    ],
)
def test_oddities_are_tolerated(pieces: list[bytes], text: str, warning: str | None) -> None:
    chat = complete(ask(stream(*pieces, DONE)), text)
    assert len(chat.warnings) == (warning is not None) and (warning or "") in " ".join(chat.warnings)


def test_long_answers_take_time_in_proportion() -> None:
    """As many deltas as make joining at each of them noticeable: counted by what is joined, not by seconds."""
    choice = client.Choice()
    for _ in range(50_000):
        choice._texts[Text].add("x" * 100)
    assert len(choice._texts[Text].pieces) < 50_000 / 40
    assert len(choice.text) == 5_000_000 and len(choice._texts[Text].pieces) == 1
    assert choice.text is choice.text


def test_usage_of_the_last_chunk_counts_and_is_not_summed() -> None:
    pieces = [
        delta("a").replace(b'"choices"', b'"usage": {"prompt_tokens": 3, "completion_tokens": %d}, "choices"' % n)
        for n in (1, 2)
    ]
    assert complete(ask(stream(*pieces, STOP, DONE)), "aa").usage == Usage(3, 2)


@pytest.mark.parametrize(
    ("shape", "usage"),
    [
        ({"usage": {"prompt_tokens": 3, "completion_tokens": None}}, Usage(3, None)),
        ({"usage": {"prompt_tokens": 3.0, "completion_tokens": 2.0}}, Usage(3, 2)),
        ({"x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}}, Usage(3, 2)),
    ],
)
def test_usage_is_read_as_far_as_it_goes(shape: dict, usage: Usage) -> None:
    chat = complete(ask(stream(HELLO, STOP, event({"choices": [], **shape}), DONE)))
    assert chat.usage == usage and chat.warnings == []


@pytest.mark.parametrize(
    ("content", "text", "reasoning", "refusal"),
    [
        ({"reasoning_content": "hm", "content": None}, "", "hm", ""),
        ({"reasoning": "hm"}, "", "hm", ""),
        ({"reasoning": "hm", "reasoning_content": "hm", "content": "a"}, "a", "hm", ""),
        ({"refusal": "No"}, "", "", "No"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab", "", ""),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}, "", "hm", ""),
        ({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "refusal", "refusal": "No"}]}, "", "hm", "No"),
        ({"content": [], "reasoning": {"x": 1}}, "", "", ""),
        (
            {"reasoning_details": [{"type": "reasoning.text", "text": "h"}, {"summary": "m"}, {"data": "x"}]},
            "",
            "hm",
            "",
        ),
        ({"reasoning": "hm", "reasoning_details": [{"text": "hm"}]}, "", "hm", ""),
        ({"reasoning_details": None, "content": "a"}, "a", "", ""),
    ],
)
def test_reasoning_and_refusals_are_pieces_of_their_own(content: dict, text: str, reasoning: str, refusal: str) -> None:
    half, other = (event({"choices": [{"index": 0, "delta": content}]}) for _ in range(2))
    chat = complete(ask(stream(half, other, STOP, DONE)), 2 * text)
    assert (chat.reasoning, chat.refusal) == (2 * reasoning, 2 * refusal)
    pieces = chat.pieces  # type: ignore[attr-defined]
    assert "".join(piece.text for piece in pieces if isinstance(piece, Reasoning)) == 2 * reasoning
    assert "".join(piece.text for piece in pieces if isinstance(piece, Refusal)) == 2 * refusal
    assert bool(chat.arrivals) == bool(text or reasoning or refusal) and chat.warnings == []


def test_part_of_a_content_that_nobody_knows_is_said() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "reference", "reference_ids": [1]}]
    chat = complete(ask(stream(event({"choices": [{"delta": {"content": parts}}]}), STOP, DONE)), "a")
    assert "reference" in chat.warnings[0]


def test_choices_are_kept_apart() -> None:
    script = stream(
        delta("a0"),
        delta("b0", index=1),
        delta("a1"),
        delta("b1", index=1),
        delta(finish="stop", index=1),
        delta(finish="length"),
        DONE,
    )
    chat = complete(ask(script), "a0a1")
    assert chat.choices[1].text == "b0b1"
    assert (chat.choices[0].finish_reason, chat.choices[1].finish_reason) == ("length", "stop")


@pytest.mark.parametrize(
    ("deltas", "text"),
    [
        (["\\ud83e", "\\udd8a"], "\U0001f98a"),
        (["a\\ud83e", "\\udd8ab"], "a\U0001f98ab"),
        (["a\\ud83e", "b"], "a\ufffdb"),
        (["a\\ud83e"], "a\ufffd"),
        (["\\udd8a", "b"], "\ufffdb"),
    ],
)
def test_half_a_surrogate_pair_is_joined_or_replaced(deltas: list[str], text: str) -> None:
    pieces = [delta("?").replace(b"?", half.encode()) for half in deltas]
    chat = complete(ask(stream(*pieces, STOP, DONE)), text)
    chat.text.encode()


def test_request_can_be_a_prompt_or_the_dialects_own_object() -> None:
    prompt = Prompt(
        "m", (Message("system", "s"), Message("user", "u")), max_tokens=5, seed=3, temperature=0.5, stop=("x",), n=2
    )
    for request, expected in [
        (prompt, {"model": "m", "max_tokens": 5, "seed": 3, "temperature": 0.5, "stop": ["x"], "n": 2}),
        ({"model": "own", "messages": [], "stream": True}, {"model": "own", "messages": []}),
    ]:
        with playing(stream(GOOD)) as server:
            list(ChatStream(request, url=server.url))
            sent = server.heard[0].body
            assert sent["stream"] is True and {name: sent[name] for name in expected} == expected


def test_text_completions_are_read_too() -> None:
    with running() as server:
        chat = ChatStream("one two", url=server.url + "/v1", model="toy-echo", dialect="openai-completions")
        assert [piece.text for piece in chat if isinstance(piece, Text)] == ["one", " two"]
        assert chat.outcome == "complete" and chat.usage == Usage(6, 2)


def test_timings_count_from_the_first_token() -> None:
    with running(ttft=0.1, tps=50) as server:
        chat = ChatStream("a b c d e f", url=server.url + "/v1", model="toy-echo")
        list(chat)
    assert chat.time_to_first_token and chat.time_to_first_token >= 0.09
    assert len(chat.gaps) == 5 and chat.tokens_per_second == pytest.approx(5 / sum(chat.gaps))


def test_same_index_for_two_calls_is_a_warning() -> None:
    chat = complete(ask(stream(call(0, "x", "f", "{}"), call(0, "y", "g", "{}"), CALLED)), "")
    assert "two tool calls have the same index" in chat.warnings and len(chat.tool_calls) == 2


class Slow(CompatibleReader):
    """Reads every choice the long way."""

    def only_text(self, values: Mapping[str, Any]) -> str | None:
        return None


def read_by(reader: CompatibleReader, chunks: list[Any]) -> tuple[list[Piece], str, list[str], bool]:
    pieces: list[Piece] = []
    try:
        for chunk in chunks:
            pieces += reader.read(ServerSentEvent(json.dumps(chunk)))
    except StreamError as error:
        return pieces, repr(error), list(reader.warnings), reader.finished
    return pieces, "", list(reader.warnings), reader.finished


def test_choice_that_only_says_a_text_is_read_as_any_other() -> None:
    chance = random.Random(16)
    contents = ["a", " b", "", None, "\ud83e", "\udd8a", 7, ["a"], [{"type": "text", "text": "c"}]]
    seen = set()
    for _ in range(3000):
        chunks = []
        for _ in range(chance.randrange(1, 9)):
            delta: Any = (
                {"content": chance.choice(contents)} if chance.random() < 0.9 else chance.choice([{}, None, "x"])
            )
            if chance.random() < 0.15:
                delta = (
                    {**chance.choice([{"role": "assistant"}, {"reasoning": "hm"}, {"refusal": "no"}]), **(delta or {})}
                    if not isinstance(delta, str)
                    else delta
                )
            choice = {
                "index": chance.choice([0, 0, 0, 1, True, None, "0", []]) if chance.random() < 0.3 else 0,
                "delta": delta,
            }
            if chance.random() < 0.1:
                choice["finish_reason"] = chance.choice(["stop", None, "", "error"])
            chunks.append({"choices": [choice]})
        slow, quick = read_by(Slow(), chunks), read_by(CompatibleReader(), chunks)
        assert quick == slow, chunks
        seen |= {type(piece).__name__ for piece in quick[0]} | {quick[1][:20]} | set(quick[2])
    assert len(seen) > 8
