"""The client against scripted servers: what it makes of every way in which a stream can come, and end."""

from __future__ import annotations

import contextlib
import email.utils
import gzip
import json
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hostile import (
    DONE,
    HELLO,
    LAST,
    STOP,
    USAGE,
    Hold,
    Hostile,
    Pause,
    Reset,
    Step,
    chunk,
    delta,
    event,
    head,
    playing,
    stream,
    whole,
)
from raw import wait_for

from sse_ref import client, transport
from sse_ref.client import (
    ApiError,
    ChatStream,
    EventSource,
    HTTPStatusError,
    ProtocolError,
    StreamError,
    StreamTimeout,
    Truncated,
)
from sse_ref.codec import ServerSentEvent
from sse_ref.dialects import DIALECTS, compatible
from sse_ref.pieces import Call, Message, Prompt, Reasoning, Refusal, Text, Usage
from sse_ref.server import running

GOOD = HELLO + STOP + DONE


def ask(script: list[Step] | list[list[Step]], **options: Any) -> ChatStream:
    """Stream from a script to the end; the outcome of a failed stream is in the stream as well."""
    scripts = script if script and isinstance(script[0], list) else [script]
    with playing(*scripts) as server:  # type: ignore[arg-type]
        chat = ChatStream("hi", url=server.url, **{"timeout": 30, "retries": 0, **options})
        chat.server = server  # type: ignore[attr-defined]
        chat.error = None  # type: ignore[attr-defined]
        try:
            chat.pieces = list(chat)  # type: ignore[attr-defined]
        except StreamError as error:
            chat.error = error  # type: ignore[attr-defined]
            assert error.outcome == chat.outcome != "complete"
            assert error.text == chat.text
        return chat


def complete(chat: ChatStream, text: str = "Hello") -> ChatStream:
    assert (chat.outcome, chat.text) == ("complete", text), chat.error  # type: ignore[attr-defined]
    return chat


def failed(chat: ChatStream, outcome: str, text: str = "Hello", match: str = "") -> ChatStream:
    error = chat.error  # type: ignore[attr-defined]
    assert (chat.outcome, chat.text) == (outcome, text), error
    assert match in str(error), error
    assert "\n" not in str(error)
    return chat


# ---- Good streams, in every dress ------------------------------------------------------------------------------------


def test_baseline() -> None:
    chat = complete(ask(stream(HELLO, STOP, USAGE, DONE)))
    assert chat.finish_reason == "stop" and chat.usage == Usage(3, 2) and chat.warnings == []
    assert [piece.text for piece in chat.pieces if isinstance(piece, Text)] == ["Hel", "lo"]  # type: ignore[attr-defined]
    heard = chat.server.heard[0]  # type: ignore[attr-defined]
    assert heard.line == "POST /v1/chat/completions HTTP/1.1"
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["accept-encoding"] == "identity"
    assert heard.body == {
        "model": "toy",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


FOX = delta("caf\u00e9 \U0001f98a") + STOP + DONE


def raw_fox() -> bytes:
    return FOX.replace(b"\\u00e9", "\u00e9".encode()).replace(b"\\ud83e\\udd8a", "\U0001f98a".encode())


@pytest.mark.parametrize(
    "script",
    [
        [head(), *(chunk(bytes([byte])) for byte in raw_fox()), LAST],
        [head() + chunk(raw_fox()) + LAST],
        [head(), *(bytes([byte]) for byte in chunk(raw_fox()) + LAST)],
        [head(chunked=False), *(bytes([byte]) for byte in raw_fox())],
        [head(f"Content-Length: {len(raw_fox())}", chunked=False), raw_fox()],
        stream(raw_fox().replace(b"\n", b"\r\n")),
        stream(*raw_fox().replace(b"\n", b"\r\n").splitlines(keepends=True)),
        stream(*(bytes([byte]) for byte in raw_fox().replace(b"\n", b"\r\n"))),
        stream(raw_fox().replace(b"\n", b"\r")),
        stream(raw_fox().replace(b"data: ", b"data:")),
        stream(b"\xef\xbb\xbf" + raw_fox()),
        stream(b"\n\n\n" + raw_fox().replace(b"\n\n", b"\n\n\n\n")),
        stream(b": hi\n\n:\n\n" + raw_fox().replace(b"data: ", b": c\ndata: ")),
        stream(b"retry: 3000\n\n" + raw_fox()),
        stream(b"id: 7\n" + raw_fox().replace(b"\n\n", b"\n\n: ping\n\n")),
        stream(b"event: ping\n\n" + raw_fox()),
        stream(b"colour: blue\nData: no\n" + raw_fox()),
        stream(raw_fox().replace(b'{"id"', b'{\ndata: "id"')),
        stream(raw_fox().replace(b"data: [DONE]", b"event: done\ndata: [DONE]")),
        [head(version="1.0", chunked=False), raw_fox()],
        [head(), b"5;ext=1\r\ndata:\r\n", *stream(raw_fox()[5:])[1:-1], b"0\r\nTrailer: x\r\n\r\n"],
        [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", *stream(raw_fox())],
        [b"HTTP/1.1 100 Continue\r\n\r\n", *stream(raw_fox())],
        [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n", *stream(raw_fox())],
        [head(status="201 Created"), *stream(raw_fox())[1:]],
        [head(kind="TEXT/Event-Stream; charset=iso-8859-1"), *stream(raw_fox())[1:]],
        [head("Content-Encoding: gzip"), chunk(gzip.compress(raw_fox())), LAST],
        [head("Content-Encoding: deflate"), *(chunk(bytes([b])) for b in zlib.compress(raw_fox())), LAST],
    ],
)
def test_dress_does_not_matter(script: list[Step]) -> None:
    complete(ask(script), "caf\u00e9 \U0001f98a")


def test_gzip_is_decoded_as_it_comes() -> None:
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(HELLO) + packer.flush(zlib.Z_SYNC_FLUSH)
    with playing([head("Content-Encoding: gzip"), chunk(first), Hold()]) as server:
        chat = ChatStream("hi", url=server.url)
        assert [next(iter(chat)).text for _ in range(2)] == ["Hel", "lo"]  # type: ignore[union-attr]
        chat.close()


def deflated(data: bytes) -> bytes:
    return zlib.compress(data)


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("none", bytes),
        ("br", bytes),  # said, and not done: it is left as it is
        ("gzip, br", bytes),
        ("identity", bytes),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", deflated),
        ("identity, gzip", gzip.compress),
        ("deflate, gzip", lambda data: gzip.compress(deflated(data))),
        ("gzip, deflate", lambda data: deflated(gzip.compress(data))),
        ("gzip", lambda data: b"".join(gzip.compress(data[at : at + 7]) for at in range(0, len(data), 7))),
        ("gzip", lambda data: gzip.compress(data[:9]) + bytes(20) + gzip.compress(data[9:])),  # padded members
    ],
)
@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_content_codings_are_undone_or_left_alone(coding: str, encode: Any, size: int) -> None:
    body = encode(GOOD)
    pieces = [chunk(body[at : at + size]) for at in range(0, len(body), size)]
    complete(ask([head(f"Content-Encoding: {coding}"), b"".join(pieces), LAST]))


def test_bytes_after_the_end_of_what_was_deflated_are_passed_over() -> None:
    complete(ask([head("Content-Encoding: deflate"), chunk(deflated(GOOD[:-14]) + b"junk"), chunk(b"junk"), LAST]))


def test_compressed_body_that_is_cut_is_truncated() -> None:
    body = gzip.compress(HELLO + STOP[:-1])
    failed(ask([head("Content-Encoding: gzip"), chunk(body[:-9]), LAST]), "truncated")


def test_codings_over_several_lines_are_one_list() -> None:
    body = gzip.compress(deflated(GOOD))
    complete(ask([head("Content-Encoding: deflate", "Content-Encoding: gzip"), chunk(body), LAST]))


def test_inflating_is_bounded_for_each_step() -> None:
    """64 KiB that inflate to 64 MiB come in pieces of the size that was asked for."""
    inflater = transport._Inflater(1000, members=True)
    bomb = gzip.compress(bytes(64 * 2**20))
    sizes = [len(piece) for piece in inflater.feed(bomb)]
    assert sum(sizes) == 64 * 2**20 and max(sizes) == 1000


def test_tokens_are_given_before_the_stream_ends() -> None:
    with playing([head(), chunk(HELLO), Hold()]) as server, ChatStream("hi", url=server.url) as chat:
        assert next(iter(chat)) == Text("Hel")


def test_comments_keep_an_idle_stream_alive() -> None:
    pings: list[Step] = [step for _ in range(25) for step in (Pause(0.05), chunk(b": ping\n\n"))]
    complete(ask([head(), *pings, chunk(GOOD), LAST], timeout=1))


def test_characters_that_break_naive_lines_are_kept() -> None:
    text = "a\u2028b\x85c\x0b\x0cd"
    raw = b'data: {"choices":[{"index":0,"delta":{"content":"' + "a\u2028b\x85c".encode() + b'\\u000b\\u000cd"}}]}\n\n'
    complete(ask(stream(raw, STOP, DONE)), text)


def test_invalid_utf8_becomes_replacement_characters() -> None:
    complete(ask(stream(delta("a?b").replace(b"?", b"\xff"), STOP, DONE)), "a\ufffdb")


@pytest.mark.parametrize("after", [b"", delta("EXTRA"), b"garbage\n\n", b'data: {"error": {"message": "late"}}\n\n'])
def test_nothing_after_done_counts(after: bytes) -> None:
    complete(ask(stream(GOOD + after)))
    complete(ask(stream(GOOD, after)))


def test_client_returns_at_done_though_the_server_holds_the_socket() -> None:
    chat = complete(ask([head(), chunk(GOOD), Hold()]))
    assert chat.server.heard[0].left  # type: ignore[attr-defined]


# ---- Cut streams: never mistaken for finished ones ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "match"),
    [
        (stream(HELLO), "before a finish reason"),
        (stream(HELLO, DONE), "before a finish reason"),
        (stream(HELLO, STOP.rstrip(b"\n")), "inside an event"),
        (stream(HELLO, b"data: "), "inside an event"),
        (stream(HELLO, last=False), "chunked"),
        ([head("Connection: close"), chunk(HELLO)], "chunked"),
        ([head(), chunk(HELLO), b"40\r\ndata: {"], "chunked"),
        ([head(), chunk(HELLO), b"4"], "chunked"),
        ([head(), chunk(HELLO), Reset()], "connection broke"),
        ([head("Connection: close"), chunk(HELLO), Reset()], "connection broke"),
        ([head(chunked=False), HELLO], "before a finish reason"),
        ([head(chunked=False, version="1.0"), HELLO], "before a finish reason"),
        ([head("Content-Length: 5000", chunked=False), HELLO], "bytes before the end"),
        ([head("Content-Length: 5000", chunked=False), HELLO + STOP], "bytes before the end"),
        (stream(HELLO, STOP, last=False), "chunked"),
        ([head(chunked=False), HELLO, Reset()], "connection broke"),
        (stream(HELLO, delta("x", index=1), STOP, DONE), "before a finish reason"),
        ([b"HTTP/1.1 200 OK\r\nContent-Ty", Reset()], "head of the answer"),
        ([b"H", Reset()], "head of the answer"),
    ],
)
def test_cut_stream_is_truncated_and_keeps_its_text(script: list[Step], match: str) -> None:
    failed(ask(script, retries=2), "truncated", "" if "head" in match else "Hello", match=match)


def test_choices_that_never_came_are_missed() -> None:
    request = {"model": "m", "messages": [], "n": 2}
    with playing([head(chunked=False), HELLO, STOP]) as server, pytest.raises(Truncated):
        list(ChatStream(request, url=server.url))


@pytest.mark.parametrize(
    "extra",
    ["Transfer-Encoding: chunked, chunked", "Transfer-Encoding: gzip", "Content-Length: 150, 151", "Content-Length: x"],
)
def test_framing_that_says_nothing_clear_is_a_protocol_error(extra: str) -> None:
    failed(ask([head(extra, chunked=False), HELLO + STOP]), "protocol_error", "")


@pytest.mark.parametrize(
    "extra", ["Transfer-Encoding: chunked ", "Transfer-Encoding: Chunked", "Transfer-Encoding:\tchunked"]
)
def test_chunked_is_understood_however_it_is_written(extra: str) -> None:
    complete(ask([head(extra, chunked=False), chunk(GOOD), LAST]))
    failed(ask([head(extra, chunked=False), chunk(HELLO + STOP), b"5"]), "truncated")


def test_event_that_was_cut_is_not_delivered() -> None:
    chat = failed(ask(stream(HELLO, delta("!").rstrip(b"\n"))), "truncated")
    assert chat.text == "Hello"


@pytest.mark.parametrize(
    "script", [stream(HELLO, STOP), stream(HELLO, STOP, b"data: [DONE]"), [head(chunked=False), HELLO, STOP]]
)
def test_finish_reason_without_done_is_complete_with_a_warning(script: list[Step]) -> None:
    assert complete(ask(script)).warnings == ["the end mark did not come"]


def test_cut_after_done_does_not_matter() -> None:
    complete(ask(stream(GOOD, last=False)))
    complete(ask([head("Content-Length: 5000", chunked=False), GOOD]))
    complete(ask([head(), chunk(GOOD), Reset()]))


# ---- Errors inside the stream ------------------------------------------------------------------------------------------


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


def test_bare_line_of_a_finished_answer_does_not_matter() -> None:
    complete(ask(stream(HELLO, STOP, b'{"error": "boom"}\n\n', DONE)))
    without_end_mark = complete(ask(stream(HELLO, STOP, b'{"error": "boom"}\n\n')))
    assert "boom" in " ".join(without_end_mark.warnings)


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


def test_wrong_content_type_can_be_accepted() -> None:
    script = [head(kind="text/plain"), chunk(GOOD), LAST]
    failed(ask(script), "protocol_error", "", "text/plain")
    complete(ask(script, any_content_type=True))


def test_lines_of_megabytes_are_read_and_the_limit_is_clear() -> None:
    long = delta("x" * 2**23)
    complete(ask(stream(long, STOP, DONE)), "x" * 2**23)
    chat = failed(
        ask(stream(HELLO + long, STOP, DONE), max_event_size=2**20), "protocol_error", "Hello", "1048576 bytes"
    )
    assert isinstance(chat.error, ProtocolError)  # type: ignore[attr-defined]


# ---- HTTP errors, retries, redirects -------------------------------------------------------------------------------------

ERROR_BODIES = [
    (b'{"error": {"message": "boom", "type": "x", "param": null, "code": null}}', "boom"),
    (b'{"object": "error", "message": "boom"}', "boom"),
    (b'{"error": "boom"}', "boom"),
    (b'{"detail": [{"msg": "boom"}]}', "boom"),
    (b'{"detail": NaN}', "NaN"),
    (b"boom", "boom"),
    (b"<h1>boom\x1b[31m</h1>", "boom"),
    (b"", "Reason"),
    (b"[" * 100_000, "[["),
]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503])
@pytest.mark.parametrize(("body", "message"), ERROR_BODIES)
def test_http_error_carries_status_and_message(status: int, body: bytes, message: str) -> None:
    chat = failed(ask(whole(f"{status} Reason", body)), "http_error", "", message)
    assert chat.error.status == status  # type: ignore[attr-defined]
    assert "\x1b" not in str(chat.error)  # type: ignore[attr-defined]


def test_body_of_an_http_error_that_never_ends_is_not_waited_for() -> None:
    script = [head("Content-Length: 99", status="400 Bad", chunked=False), b'{"error"', Hold()]
    chat = failed(ask(script, timeout=1), "http_error", "")
    assert chat.server.heard[0].left  # type: ignore[attr-defined]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The client does not sleep; it notes how long it would have."""
    noted: list[float] = []
    monkeypatch.setattr(client.Limits, "pause", lambda limits, seconds: noted.append(seconds))
    return noted


def busy(*headers: str, status: str = "429 Too Many Requests") -> list[Step]:
    return whole(status, b'{"error": {"message": "busy"}}', *headers)


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        (["Retry-After: 1"], 1, 1),
        (["Retry-After: 0"], 0, 0),
        (["Retry-After: 2.5"], 2.5, 2.5),
        (["retry-after-ms: 1500", "Retry-After: 9"], 1.5, 1.5),
        ([], 0.375, 0.5),
        (["Retry-After: soon"], 0.375, 0.5),
        (["Retry-After: -5"], 0.375, 0.5),
        (["Retry-After: 99999999999999999999 Jan 99999999999999999999 00:00:00"], 0.375, 0.5),
        (["Retry-After: in 20 s"], 10, 21),
        (["Retry-After: " + email.utils.formatdate(0, usegmt=True)], 0, 0),
    ],
)
def test_retry_waits_as_long_as_it_is_told(waits: list[float], headers: list[str], low: float, high: float) -> None:
    in_20_s = email.utils.formatdate(time.time() + 20, usegmt=True)
    headers = [header.replace("in 20 s", in_20_s) for header in headers]
    chat = complete(ask([busy(*headers), stream(GOOD)], retries=2))
    assert chat.attempts == 2 and len(waits) == 1 and low <= waits[0] <= high


def test_retry_gives_up(waits: list[float]) -> None:
    chat = failed(ask(busy(), retries=2), "http_error", "", "busy")
    assert chat.attempts == 3 and len(chat.server.heard) == 3 and waits[0] < waits[1]  # type: ignore[attr-defined]


@pytest.mark.parametrize("headers", [["Retry-After: 3600"], ["X-Should-Retry: false"], ["retry-after-ms: 99999999"]])
def test_retry_is_not_made_when_the_server_says_no_or_much_later(waits: list[float], headers: list[str]) -> None:
    assert failed(ask([busy(*headers), stream(GOOD)], retries=2), "http_error", "").attempts == 1


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_retry_is_not_made_for_what_will_not_change(waits: list[float], status: int) -> None:
    assert failed(ask([busy(status=f"{status} No"), stream(GOOD)], retries=2), "http_error", "").attempts == 1


@pytest.mark.parametrize(
    "first",
    [busy(status="500 Oops"), busy(status="503 Later"), busy(status="408 Slow"), busy(status="409 Now"), [], [Reset()]],
)
def test_retry_is_made_before_the_first_byte(waits: list[float], first: list[Step]) -> None:
    assert complete(ask([first, stream(GOOD)], retries=1)).attempts == 2


@pytest.mark.parametrize(
    "cut", [stream(HELLO), stream(HELLO, last=False), [head(), Reset()], stream(event({"error": {"message": "x"}}))]
)
def test_retry_is_never_made_after_the_answer_began(waits: list[float], cut: list[Step]) -> None:
    chat = ask([cut, stream(GOOD)], retries=5)
    assert chat.outcome != "complete" and chat.attempts == 1 and waits == []


def test_nobody_listening_is_an_http_error_without_status(waits: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    chat = ChatStream("hi", url=f"http://127.0.0.1:{port}/v1", retries=1)
    with pytest.raises(HTTPStatusError, match="no answer") as caught:
        list(chat)
    assert caught.value.status is None and chat.attempts == 2 and chat.outcome == "http_error"


@pytest.mark.parametrize("status", [307, 308])
def test_redirect_is_followed_with_method_and_body(status: int) -> None:
    chat = complete(ask([whole(f"{status} Moved", b"", "Location: /elsewhere"), stream(GOOD)]))
    first, second = chat.server.heard  # type: ignore[attr-defined]
    assert second.line == "POST /elsewhere HTTP/1.1" and second.body == first.body


@pytest.mark.parametrize("status", [301, 302, 303])
def test_redirect_does_not_turn_a_post_into_a_get(status: int) -> None:
    chat = failed(ask([whole(f"{status} Found", b"", "Location: /elsewhere"), stream(GOOD)]), "http_error", "")
    assert len(chat.server.heard) == 1  # type: ignore[attr-defined]


def test_redirect_takes_no_key_to_another_host() -> None:
    with playing(stream(GOOD)) as other:
        script = whole("307 Moved", b"", f"Location: {other.url}")
        failed(ask(script, api_key="s3cret"), "http_error", "")
        assert other.heard == []


@pytest.mark.parametrize("location", ["http://[", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://" + "a" * 70])
def test_redirect_to_something_else_is_an_http_error(location: str) -> None:
    moved = whole("307 Moved", b"", f"Location: {location}")
    failed(ask(moved), "http_error", "")
    with source(moved) as (events, _), pytest.raises(HTTPStatusError):
        next(iter(EventSource(events.url, max_failures=1)))


def test_redirected_source_names_the_new_host_and_keeps_its_secrets() -> None:
    with playing(sse(b"data: a\n\n"), STOPPED) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        with source(
            whole("302 Found", b"", f"Location: {elsewhere}"), headers={"X-Api-Key": "s3cret", "Cookie": "c"}
        ) as (events, _):
            next(iter(events))
        heard = other.heard[0].headers
        assert heard["host"].startswith("localhost:") and "x-api-key" not in heard and "cookie" not in heard


@pytest.mark.parametrize("url", ["http://" + "a" * 70 + "/v1", "http://a..b/v1", "file:///etc", "http://[/"])
def test_url_that_cannot_be_used_is_an_http_error(url: str) -> None:
    with pytest.raises(HTTPStatusError):
        list(ChatStream("hi", url=url, retries=0))


@pytest.mark.parametrize(
    "script",
    [
        [b"HTTP/1.1 200 OK\r\n", *[step for _ in range(600) for step in (b"X: y\r\n", Pause(0.05))]],
        [step for _ in range(600) for step in (b"HTTP/1.1 103 Early Hints\r\n\r\n", Pause(0.05))],
        [step for _ in range(600) for step in (b"HTTP/1.1 100 Continue\r\n\r\n", Pause(0.05))],
        [
            head("Content-Length: 99", "Location: /v1/chat/completions", status="307 Moved", chunked=False),
            *[s for _ in range(600) for s in (b"x", Pause(0.05))],
        ],
    ],
)
def test_total_timeout_holds_before_the_body_too(script: list[Step]) -> None:
    chat = failed(ask(script, total_timeout=0.3), "timeout", "", "longer than 0.3 s")
    assert chat.server.heard[0].left  # type: ignore[attr-defined]


def test_interim_answers_without_end_are_an_error() -> None:
    failed(ask([b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200, Hold()]), "protocol_error", "")


def test_redirect_in_a_circle_ends() -> None:
    failed(ask(whole("307 Moved", b"", "Location: /v1/chat/completions")), "http_error", "")


def test_key_is_sent_and_never_shown() -> None:
    chat = ask(whole("401 No", b'{"error": {"message": "who are you"}}'), api_key="s3cret")
    assert chat.server.heard[0].headers["authorization"] == "Bearer s3cret"  # type: ignore[attr-defined]
    assert "s3cret" not in str(chat.error)  # type: ignore[attr-defined]


# ---- Timeouts and cancelling ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ([Hold()], ""),
        ([b"HTTP/1.1 200 OK\r\nContent-", Hold()], ""),
        ([head(), Hold()], ""),
        ([head(), chunk(HELLO), Hold()], "Hello"),
        ([head(), chunk(HELLO), b"5", Hold()], "Hello"),
    ],
)
def test_silence_is_a_timeout_wherever_it_falls_and_the_socket_is_closed(script: list[Step], text: str) -> None:
    with playing(script) as server:
        silence = 1.0 if text else 0.2  # what is to come before it must have the time to
        chat = ChatStream("hi", url=server.url, timeout=silence, retries=3)
        began = time.monotonic()
        with pytest.raises(StreamTimeout, match=f"nothing came for {silence:g} s"):
            list(chat)
        assert time.monotonic() - began >= silence - 0.05
        assert (chat.outcome, chat.text, chat.attempts) == ("timeout", text, 1)
    assert server.heard[0].left


def trickled(data: bytes) -> list[Step]:
    return [step for at in range(len(data)) for step in (data[at : at + 1], Pause(0.05))]


def test_head_that_trickles_has_a_deadline() -> None:
    failed(ask([*trickled(head() + b"X: " + b"x" * 400), Hold()], timeout=0.5), "timeout", "")


def test_body_of_an_error_that_trickles_has_a_deadline() -> None:
    body = [b"x", *trickled(b"x" * 400), Hold()]
    error = [head("Content-Length: 500", status="400 Bad", kind="text/plain", chunked=False), *body]
    failed(ask(error, timeout=2), "http_error", "", "400: x")


def test_body_of_a_redirect_is_not_waited_for() -> None:
    moved = [head("Content-Length: 500", "Location: /x", status="307 Moved", chunked=False), b"x", Hold()]
    complete(ask([moved, stream(HELLO, STOP, DONE)]))


def test_redirect_to_a_port_that_there_is_not_is_an_error() -> None:
    moved = whole("307 Moved", b"", "Location: http://127.0.0.1:65536/")
    failed(ask(moved), "http_error", "", "cannot be used")


@pytest.mark.parametrize("cut", [b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\n", head()[:-2], head()[:-1]])
def test_head_that_is_cut_is_truncated(cut: bytes) -> None:
    failed(ask([cut]), "truncated", "", "head")


def test_trickle_resets_the_idle_timeout_but_not_the_total_one() -> None:
    trickle: list[Step] = [step for byte in HELLO[:20] for step in (chunk(bytes([byte])), Pause(0.05))]
    complete(ask([head(), *trickle, chunk(HELLO[20:]), chunk(STOP + DONE), LAST], timeout=0.9))
    began = time.monotonic()
    failed(ask([head(), *trickle, Hold()], timeout=30, total_timeout=0.5), "timeout", "", "longer than 0.5 s")
    assert time.monotonic() - began >= 0.45


def test_total_timeout_holds_in_silence_too() -> None:
    failed(ask([head(), chunk(HELLO), Hold()], timeout=None, total_timeout=1), "timeout", match="longer than 1 s")


@pytest.mark.parametrize("way", ["break", "close", "with", "delete"])
def test_leaving_closes_the_connection_without_an_exception(way: str) -> None:
    with playing([head(), chunk(HELLO), Hold()]) as server:
        chat = ChatStream("hi", url=server.url)
        if way == "with":
            with chat:
                next(iter(chat))
        else:
            for _ in chat:
                break
            chat.close()
        assert chat.outcome == "cancelled" and chat.text == "Hel"
    assert server.heard[0].left


def test_iteration_waits_for_a_close_in_another_thread() -> None:
    chat = ChatStream("hi", url="http://127.0.0.1:9")
    closing, go_on = threading.Event(), threading.Event()

    def pieces() -> Iterator[Text]:
        try:
            yield Text("a")
        finally:
            closing.set()
            go_on.wait(30)

    chat._pieces = pieces()
    assert next(chat) == Text("a")
    closer = threading.Thread(target=chat.close)
    closer.start()
    assert closing.wait(30)
    threading.Timer(0.2, go_on.set).start()
    assert list(chat) == []
    closer.join()
    assert chat.outcome == "cancelled"


def test_our_server_sees_the_client_leave() -> None:
    with running(tps=50) as server:
        with ChatStream("tick " * 100, url=server.url + "/v1", model="toy-echo") as chat:
            for number, _ in enumerate(chat):
                if number == 3:
                    break
        assert chat.outcome == "cancelled"
        assert server.journal[-1]["outcome"] == "client_left"


def test_closing_a_stream_that_was_never_read_is_quiet() -> None:
    chat = ChatStream("hi", url="http://127.0.0.1:9/v1")
    chat.close()
    assert chat.outcome == "cancelled" and list(chat) == []


# ---- Chunks as servers of the dialect really send them ----------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "pieces",
    [
        [call(0, None, "f", '{"a":1}'), call(0, None, "g", '{"b":2}')],
        [call(0, "x", "f", '{"a":1}'), call(0, "x", "f", '{"a":2}')],
        [call(0, None, "f", "{}"), call(0, None, "f", "{}")],
        [call(0, arguments="{}")],
        [call(0, "x")],
        [call([0], "x", "f")],
        [call(0, "x", "f", {"a": 1})],
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


# ---- Memory ------------------------------------------------------------------------------------------------------------------

LIMIT = 2**18
SHAPES = {
    "tiny pieces": ("", delta("x" * (LIMIT - 200))),
    "tiny events": ("whole", b"data:{}\n\n" * (LIMIT // 6)),
    "tiny lines": ("whole", b"data:{\n" + b"data:\n" * (LIMIT // 6) + b"data:}\n\n"),
    "short lines": ("whole", b"data:{\n" + b"data:  \n" * (LIMIT // 8) + b"data:}\n\n"),
    "empty lines": ("whole", b"\n" * (3 * LIMIT)),
    "comments": ("whole", b":\n" * (2 * LIMIT)),
    "one line": ("whole", delta("x" * (LIMIT - 200))),
    "too large": ("whole", b"data:" + b"x" * (5 * LIMIT)),
}


@pytest.mark.once
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reader", ["chat", "source"])
def test_what_is_held_is_a_small_multiple_of_the_largest_event(shape: str, compressed: bool, reader: str) -> None:
    kind, data = SHAPES[shape]
    body = gzip.compress(data + STOP + DONE, 1) if compressed else data + STOP + DONE
    parts = [body] if kind else [body[at : at + 2] for at in range(0, len(body), 2)]
    script = [head("Content-Encoding: gzip") if compressed else head(), b"".join(map(chunk, parts)), LAST]
    with playing(script) as server:  # type: ignore[arg-type]
        ask(stream(GOOD))  # what is made once is not counted
        tracemalloc.start()
        try:
            with contextlib.suppress(ProtocolError):
                if reader == "chat":
                    for _ in ChatStream("hi", url=server.url, retries=0, timeout=30, max_event_size=LIMIT):
                        pass
                else:
                    events = EventSource(server.url, max_event_size=LIMIT)
                    for one in events:
                        if one.data == "[DONE]":
                            events.close()
            assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
        finally:
            tracemalloc.stop()


# ---- Event sources -----------------------------------------------------------------------------------------------------------


def sse(*blocks: bytes, **options: Any) -> list[Step]:
    return [head(chunked=False, **options), *blocks]


STOPPED: list[Step] = [b"HTTP/1.1 204 No Content\r\n\r\n"]


@contextlib.contextmanager
def source(*scripts: list[Step], **options: Any) -> Iterator[tuple[EventSource, Hostile]]:
    with playing(*scripts) as server:
        yield EventSource(server.url, **{"reconnection_time": 0, **options}), server


def test_source_asks_as_a_browser_does() -> None:
    with source(sse(b"data: a\n\n"), STOPPED) as (events, server):
        assert [event.data for event in events] == ["a"]
        heard = server.heard[0]
        assert heard.line == "GET /v1 HTTP/1.1"
        assert heard.headers["accept"] == "text/event-stream" and heard.headers["cache-control"] == "no-cache"
        assert "last-event-id" not in heard.headers
        assert events.ready_state == EventSource.CLOSED


def test_source_resumes_with_the_last_event_id() -> None:
    scripts = [
        sse(b"id: \xe2\x80\xa6\ndata: a\n\n"),
        sse(b"data: b\n\n"),  # without an id, the old one stays, also for the third connection
        sse(b"id: 9\n\n"),  # of a block that dispatches nothing
        sse(b"id\ndata: c\n\n"),  # reset
        STOPPED,
    ]
    with source(*scripts) as (events, server):
        assert [(event.data, event.id) for event in events] == [("a", "\u2026"), ("b", "\u2026"), ("c", "")]
        sent = [heard.headers.get("last-event-id") for heard in server.heard]
        assert sent == [None, "\u2026", "\u2026", "9", None]


def test_source_drops_a_cut_block_with_its_id() -> None:
    scripts = [sse(b"id: 1\ndata: a\n\nid: 2\ndata: lost\n"), sse(b"data: b\n\n"), STOPPED]
    with source(*scripts) as (events, server):
        assert [(event.data, event.id) for event in events] == [("a", "1"), ("b", "1")]
        assert [heard.headers.get("last-event-id") for heard in server.heard] == [None, "1", "1"]


def test_source_survives_every_kind_of_cut() -> None:
    scripts: list[list[Step]] = [
        [*sse(b"data: a\n\n"), Reset()],
        [head(), chunk(b"data: b\n\n"), b"5\r\nda"],
        [head(), chunk(b"data: c\n\n"), b"zz\r\n"],
        [],
        STOPPED,
    ]
    with source(*scripts) as (events, server):
        assert [event.data for event in events] == ["a", "b", "c"]
        assert len(server.heard) == 5


def test_source_takes_a_byte_order_mark_off_each_connection() -> None:
    with source(sse(b"\xef\xbb\xbfdata: a\n\n"), sse(b"\xef\xbb\xbfdata: b\n\n"), STOPPED) as (events, _):
        assert [event.data for event in events] == ["a", "b"]


def test_source_waits_for_the_reconnection_time() -> None:
    with source(sse(b"retry: 150\ndata: a\n\n"), STOPPED, reconnection_time=0) as (events, server):
        list(events)
        assert events.reconnection_time == 150
        assert server.heard[1].at - server.heard[0].at >= 0.15


def test_source_never_waits_less_than_asked_however_much_that_is() -> None:
    with source(sse(b"retry: " + b"9" * 400 + b"\ndata: a\n\n"), STOPPED) as (events, server):
        reading = iter(events)
        assert next(reading).data == "a"
        threading.Timer(0.2, events.close).start()
        assert list(reading) == [] and len(server.heard) == 1


@pytest.mark.parametrize("status", [205, 210, 299, 404, 410, 503])
def test_source_fails_for_good_on_other_statuses(status: int) -> None:
    with source([head("Content-Length: 0", status=f"{status} X", chunked=False)]) as (events, server):
        with pytest.raises(HTTPStatusError) as caught:
            list(events)
        assert caught.value.status == status and len(server.heard) == 1
        assert events.ready_state == EventSource.CLOSED


@pytest.mark.parametrize("kind", ["application/json", "x bogus", "text/x-bogus", None, ""])
def test_source_fails_for_good_on_other_types(kind: str | None) -> None:
    with source(sse(b"data: a\n\n", kind=kind)) as (events, server):
        with pytest.raises(ProtocolError, match="content type"):
            list(events)
        assert len(server.heard) == 1


@pytest.mark.parametrize(
    "kind",
    [
        "text/event-stream",
        "TEXT/Event-Stream; charset=utf-8",
        "text/event-stream;",
        "text/event-stream; charset=windows-1252",
    ],
)
def test_source_accepts_the_type_with_any_parameter_and_reads_utf8(kind: str) -> None:
    with source(sse("data: \u2705\n\n".encode(), kind=kind), STOPPED) as (events, _):
        assert [event.data for event in events] == ["\u2705"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_source_follows_redirects(status: int) -> None:
    moved = whole(f"{status} Moved", b"", "Location: /elsewhere")
    with source(moved, sse(b"data: a\n\n"), STOPPED) as (events, server):
        assert [event.data for event in events] == ["a"]
        assert server.heard[1].line == "GET /elsewhere HTTP/1.1"


@pytest.mark.parametrize("location", [[], ["Location:"]])
def test_source_does_not_loop_on_a_redirect_to_nowhere(location: list[str]) -> None:
    with source(whole("301 Moved", b"", *location), [Reset()], max_failures=3) as (events, server):
        with pytest.raises(HTTPStatusError):
            list(events)
        assert len(server.heard) < 15


BROKEN_BODIES = {
    "chunks": [head(), b"zz\r\n"],
    "a cut": [head(), chunk(b": c\n")],
    "gzip": [head("Content-Encoding: gzip"), chunk(b"hello"), LAST],
    "length": [head("Content-Length: 50", chunked=False), b": c\n"],
    "two lengths": [head("Content-Length: 5", "Content-Length: 6", chunked=False), b": c\n"],
    "a reset": [head(), Reset()],
    "the head": [head()[:-2]],
    "the status line": [b"HTTP/1.1 2"],
    "no HTTP": [b"hello\r\n\r\n"],
}


@pytest.mark.parametrize("body", BROKEN_BODIES)
def test_source_counts_every_failure_until_an_event_has_come(body: str) -> None:
    with source(BROKEN_BODIES[body], max_failures=3) as (events, server):
        waits: list[float] = []
        events._limits.pause = waits.append  # type: ignore[assignment,method-assign]
        events.reconnection_time = 1000
        with pytest.raises(HTTPStatusError):
            list(events)
        assert len(server.heard) == 3 and waits == [1.0, 2.0]


def test_source_counts_anew_after_an_event_or_a_body_that_ends_in_order() -> None:
    bad: list[Step] = [head(), b"zz\r\n"]
    for good in ([head(), chunk(b"data: a\n\n"), b"zz\r\n"], [head(), LAST]):
        with source(bad, bad, good, bad, bad, STOPPED, max_failures=4) as (events, server):
            assert [event.data for event in events] == ["a"] * (b"data" in good[1])
            assert len(server.heard) == 6


def test_source_waits_a_little_though_the_server_says_not_to() -> None:
    with source(sse(b"retry: 0\ndata: a\n\n"), STOPPED) as (events, server):
        list(events)
        assert server.heard[1].at - server.heard[0].at >= client.MIN_WAIT


def test_source_has_a_limit_for_its_events() -> None:
    script = sse(b"data: a\n\ndata: " + b"x" * 2000 + b"\n\n")
    with source(script, max_event_size=1000) as (events, _):
        reading = iter(events)
        assert next(reading).data == "a"
        with pytest.raises(ProtocolError, match="1000 bytes"):
            next(reading)


@pytest.mark.parametrize("id", ["a\ud800", "a\nb", "a\0b"])
def test_source_refuses_an_id_that_no_stream_can_give(id: str) -> None:
    with pytest.raises(ValueError, match="last event ID"):
        EventSource("http://127.0.0.1:9/", last_event_id=id)


@pytest.mark.parametrize("make", [EventSource, lambda url, **more: ChatStream("hi", url=url, **more)])
@pytest.mark.parametrize(
    "headers", [{"X-Key": "se\ncret"}, {"X-Key": "secret\u2026"}, {"X Key": "secret"}, {"": "secret"}]
)
def test_header_that_http_cannot_carry_is_refused_at_once(make: Any, headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="header") as caught:
        make("http://127.0.0.1:9/", headers=headers)
    assert "secret" not in str(caught.value) and "se\ncret" not in str(caught.value)


def test_source_reconnects_where_it_was_redirected_to() -> None:
    moved = whole("301 Moved", b"", "Location: /elsewhere")
    with source(moved, sse(b"data: a\n\n"), [Reset()], STOPPED) as (events, server):
        assert [event.data for event in events] == ["a"]
        assert [heard.line.split()[1] for heard in server.heard] == ["/v1", *["/elsewhere"] * 3]


def test_source_takes_no_key_to_another_host_when_it_reconnects() -> None:
    with playing(sse(b"id: 7\ndata: a\n\n"), STOPPED) as other:
        moved = whole("307 Moved", b"", f"Location: {other.url.replace('127.0.0.1', 'localhost')}")
        with source(moved, headers={"Authorization": "Bearer k"}) as (events, server):
            assert [event.data for event in events] == ["a"]
        assert "authorization" in server.heard[0].headers and len(server.heard) == 1
        assert [heard.headers.get("authorization") for heard in other.heard] == [None, None]
        assert other.heard[1].headers["last-event-id"] == "7"


def test_redirect_to_nowhere_names_the_host_that_is_missing() -> None:
    moved = whole("307 Moved", b"", "Location: http://nowhere.invalid/")
    with source(moved, max_failures=1) as (events, _), pytest.raises(HTTPStatusError, match=r"nowhere\.invalid"):
        list(events)


def test_source_treats_silence_as_a_cut() -> None:
    pings: list[Step] = [step for _ in range(25) for step in (Pause(0.05), b": ping\n")]
    scripts = [[*sse(b"data: a\n\n"), *pings, b"data: b\n\n", Hold()], STOPPED]
    with source(*scripts, timeout=1) as (events, _):
        assert [event.data for event in events] == ["a", "b"]


def test_source_gives_up_after_so_many_failures_if_told_so() -> None:
    with source([Reset()], max_failures=2, reconnection_time=1) as (events, server):
        with pytest.raises(HTTPStatusError, match=r"no answer|connection"):
            list(events)
        assert len(server.heard) == 2


def test_source_waits_longer_after_several_failures() -> None:
    waiting = EventSource("http://x", reconnection_time=100)._wait
    assert [waiting(n) for n in (0, 1, 2, 3)] == [0.1, 0.1, 0.2, 0.4]
    assert waiting(50) == client.MAX_BACKOFF
    assert EventSource("http://x", reconnection_time=10**9)._wait(50) == 10**6


def test_source_can_be_closed_from_another_thread() -> None:
    with source([*sse(b"data: a\n\n"), Hold()]) as (events, server):
        reading = iter(events)
        assert next(reading).data == "a"
        threading.Timer(0.1, events.close).start()
        assert list(reading) == []
    assert len(server.heard) == 1 and server.heard[0].left


def test_source_can_be_closed_while_it_waits_for_an_answer() -> None:
    for max_failures in (None, 1):
        with source([Hold()], max_failures=max_failures) as (events, server):
            closing = threading.Thread(target=lambda: wait_for(lambda: server.heard) and events.close())
            closing.start()
            assert list(events) == []
            closing.join()
        assert server.heard[0].left


class Full:
    """A listener whose queue is full: the system answers no further connection."""

    def __init__(self) -> None:
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.waiting = [socket.socket() for _ in range(3)]
        for sock in self.waiting:
            sock.setblocking(False)
            sock.connect_ex(self.listener.getsockname())
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"

    def close(self) -> None:
        for sock in [*self.waiting, self.listener]:
            sock.close()


def closed_meanwhile(stream: ChatStream | EventSource, ready: Any) -> list[Any]:
    """What an iteration gives that another thread closes as soon as ``ready`` says so."""
    closing = threading.Thread(target=lambda: wait_for(ready) and stream.close())
    closing.start()
    try:
        return list(stream)
    finally:
        closing.join()


def both(url: str, **options: Any) -> list[ChatStream | EventSource]:
    return [EventSource(url, timeout=60, **options), ChatStream("hi", url=url, timeout=60, retries=5)]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("state", ["head", "half a head", "body", "waiting", "handshake", "connecting"])
def test_close_from_another_thread_ends_an_iteration_in_every_state(state: str, number: int) -> None:
    scripts: dict[str, list[Step]] = {
        "head": [Hold()],
        "half a head": [head()[:20], Hold()],
        "body": [head(), chunk(b": c\n"), Hold()],
        "waiting": whole("503 Busy", b"", "Retry-After: 50") if number else [head(), b"retry: 50000\n", Reset()],
        "handshake": [Hold()],
        "connecting": [],
    }
    with contextlib.closing(Full()) as full, playing(scripts[state]) as server:
        url = full.url if state == "connecting" else server.url
        stream = both(url.replace("http:", "https:") if state == "handshake" else url)[number]
        limits = stream._limits
        ready = {
            "connecting": lambda: limits._held is not None,
            "handshake": lambda: limits._held is not None,
            "waiting": lambda: server.heard and limits.response is not None and limits.response.closed,
        }
        assert closed_meanwhile(stream, ready.get(state, lambda: server.heard)) == []
        if isinstance(stream, ChatStream):
            assert stream.outcome == "cancelled"
        else:
            assert stream.ready_state == EventSource.CLOSED


def test_source_can_be_closed_while_it_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    with source([Hold()]) as (events, server):
        opened = client.open_response

        def closed_meanwhile(*arguments: Any) -> Any:
            events.close()
            return opened(*arguments)

        monkeypatch.setattr(client, "open_response", closed_meanwhile)
        assert list(events) == []
    assert not server.heard or server.heard[0].left


def test_source_closed_between_events_gives_no_more() -> None:
    with source(sse(b"data: a\n\ndata: b\n\n")) as (events, _):
        seen = []
        for one in events:
            seen.append(one.data)
            events.close()
        assert seen == ["a"]


def test_source_reads_our_own_server_across_drops() -> None:
    with running() as server:
        events = EventSource(f"{server.url}/events?model=toy-echo&prompt=a+b+c+d+e&drop=2", reconnection_time=0)
        seen = []
        for one in events:
            events.reconnection_time = 0
            seen.append(one.data)
        assert seen == ["a", " b", " c", " d", " e", "[DONE]"]


def test_json_of_a_request_is_utf8_and_one_line() -> None:
    with playing(stream(GOOD)) as server:
        list(ChatStream("caf\u00e9\n", url=server.url))
        assert json.loads(server.heard[0].request.partition(b"\r\n\r\n")[2])["messages"][0]["content"] == "caf\u00e9\n"
        assert "caf\u00e9".encode() in server.heard[0].request


def test_truncated_is_a_stream_error() -> None:
    assert issubclass(Truncated, StreamError)


@pytest.mark.parametrize("slash", ["", "/"])
def test_query_of_the_base_url_goes_along(slash: str) -> None:
    with running() as server:
        url = f"{server.url}/v1{slash}?fault=end&at=2"
        with pytest.raises(Truncated), ChatStream("one two three", url=url, model="toy-echo") as chat:
            for _ in chat:
                pass
        assert chat.text == "one two" and server.journal[-1]["path"] == "/v1/chat/completions"
