"""The chunked coding: every cut, every size, and what is no chunk."""

from __future__ import annotations

import random

import pytest

from sse_ref.chunked import LAST_CHUNK, ChunkedDecoder, chunk

BODY = b"4\r\nWiki\r\n6;x=y\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nTrailer: x\r\n\r\n"


def decoded(decoder: ChunkedDecoder, *parts: bytes) -> bytes:
    return b"".join(piece for part in parts for piece in decoder.feed(part))


def test_every_cut_gives_the_same_data_and_the_same_rest() -> None:
    body = BODY + b"rest"
    for first in range(len(body)):
        for second in range(first, len(body), 7):
            decoder = ChunkedDecoder()
            parts = body[:first], body[first:second], body[second:]
            assert decoded(decoder, *parts) == b"Wikipedia in \r\n\r\nchunks."
            assert decoder.finished and decoder.announced == 24
            if first <= second <= len(BODY):
                assert decoder.rest == b"rest"


def test_what_is_written_reads_back() -> None:
    choose = random.Random(1)
    for _ in range(300):
        parts = [choose.randbytes(choose.randrange(1, 40)) for _ in range(choose.randrange(5))]
        body = b"".join(map(chunk, parts)) + LAST_CHUNK
        cuts = sorted(choose.randrange(len(body) + 1) for _ in range(choose.randrange(4)))
        decoder = ChunkedDecoder()
        assert decoded(decoder, *(body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True))) == b"".join(
            parts
        )
        assert decoder.finished and decoder.rest == b""


def test_body_is_finished_at_its_blank_line_and_not_before() -> None:
    for size in range(len(BODY)):
        decoder = ChunkedDecoder()
        decoded(decoder, BODY[:size])
        assert not decoder.finished


def test_white_space_around_a_size_is_tolerated() -> None:
    decoder = ChunkedDecoder()
    assert decoded(decoder, b" 2\t;a=b\r\nhi\r\n\t0 \r\n\r\n") == b"hi" and decoder.finished


def test_lines_may_end_in_lf_alone() -> None:
    decoder = ChunkedDecoder()
    assert decoded(decoder, b"2\nhi\n0\n\n") == b"hi" and decoder.finished


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"zz\r\n", "no chunk size"),
        (b"\r\n", "no chunk size"),
        (b"-1\r\n", "no chunk size"),
        (b"0x5\r\n", "no chunk size"),
        (b"5_0\r\n", "no chunk size"),
        (b"5\x0b\r\n", "no chunk size"),
        (b"5\xa0\r\n", "no chunk size"),
        (b"1" * 17 + b"\r\n", "no chunk size"),
        (b"5;a\rb\r\n", "a CR stands inside a line"),
        (b"0\r\nX: a\rb\r\n", "a CR stands inside a line"),
        (b"1\r\nab\r\n", "longer than its size"),
        (b"1\r\nabc", "longer than its size"),
        (b"2\r\nabc\n", "longer than its size"),
        (b"5;" + b"x" * 100, "a line is too long"),
        (b"0\r\n" + b"X: a\r\n" * 101, "more than 100 trailers"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_what_is_no_chunk_is_refused(body: bytes, problem: str, size: int) -> None:
    decoder = ChunkedDecoder(max_line=64)
    with pytest.raises(ValueError, match=problem):
        decoded(decoder, *(body[at : at + size] for at in range(0, len(body), size)))


def test_size_is_announced_before_its_data_comes() -> None:
    decoder = ChunkedDecoder()
    assert decoded(decoder, b"ffffffffffffffff\r\n") == b"" and decoder.announced == 2**64 - 1
