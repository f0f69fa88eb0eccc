"""The transport: streams in every dress of HTTP, and cut streams, never mistaken for whole ones."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from hostile import (
    DONE,
    HELLO,
    LAST,
    STOP,
    USAGE,
    Hold,
    Pause,
    Reset,
    Step,
    chunk,
    delta,
    head,
    playing,
    stream,
)
from streaming import GOOD, ask, complete, failed

from sse_ref.client import (
    ChatStream,
    Truncated,
    transport,
)
from sse_ref.pieces import Text, Usage


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
    assert complete(ask(script)).warnings == ["[DONE] did not come"]


def test_cut_after_done_does_not_matter() -> None:
    complete(ask(stream(GOOD, last=False)))
    complete(ask([head("Content-Length: 5000", chunked=False), GOOD]))
    complete(ask([head(), chunk(GOOD), Reset()]))
