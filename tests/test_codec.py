"""The codec against the decoder rows, the oracle, its own encoder, and the three ways to be slow."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from oracle import Outcome, interpret
from vectors import Row, decoder_rows

from sse_ref.codec import EventTooLarge, ServerSentEvent, SSEDecoder, encode_comment, encode_event, iter_events
from sse_ref.conformance.fuzz import cut_at_random, random_stream

ROWS = decoder_rows()
WHOLE_CUTS = 2048  # bytes: up to this length every two-part cut is tried, beyond it those at and around line ends


def decode(chunks: list[bytes]) -> Outcome:
    decoder = SSEDecoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return Outcome([tuple(event) for event in events], decoder.last_event_id, decoder.reconnection_time)


def split(stream: bytes, lengths: tuple[int, ...]) -> list[bytes]:
    chunks, start = [], 0
    for length in lengths:
        chunks.append(stream[start : start + length])
        start += length
    assert start == len(stream)
    return chunks


def cut_points(stream: bytes) -> Iterator[int]:
    if len(stream) <= WHOLE_CUTS:
        yield from range(1, len(stream))
        return
    ends = [0, len(stream), *(i for i, byte in enumerate(stream) if byte in b"\r\n")]
    near = {end + shift for end in ends[:12] + ends[-12:] for shift in range(-2, 9)}
    near.update(range(len(stream) // 50, len(stream), len(stream) // 50))
    yield from sorted(point for point in near if 0 < point < len(stream))


# ---- The decoder rows ------------------------------------------------------------------------------------------------


def test_all_rows_are_there() -> None:
    assert len(ROWS) == len({row.id for row in ROWS}) >= 268


# The large ones say the same on every interpreter, and take most of the time.
LARGE = 100_000  # bytes


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=[pytest.mark.once] * (len(row.stream) > LARGE)) for row in ROWS], ids=str
)
def test_row_in_every_split(row: Row) -> None:
    retry = decode([row.stream]).reconnection_time
    assert row.retry_agrees(retry)
    expected = Outcome([tuple(event) for event in row.events], row.last_event_id, retry)
    assert decode([row.stream]) == expected
    assert decode([row.stream[i : i + 1] for i in range(len(row.stream))]) == expected
    for lengths in row.cuts:
        assert decode(split(row.stream, lengths)) == expected, lengths
    for point in [] if row.id.startswith("align/") else cut_points(row.stream):
        assert decode([row.stream[:point], row.stream[point:]]) == expected, point


@pytest.mark.parametrize("row", [row for row in ROWS if len(row.stream) < 200_000], ids=str)
def test_oracle_agrees_with_row(row: Row) -> None:
    outcome = interpret(row.stream)
    assert outcome.events == [tuple(event) for event in row.events]
    assert outcome.last_event_id == row.last_event_id
    assert row.retry_agrees(outcome.reconnection_time)


# ---- Promptness: the event is out before the next chunk comes --------------------------------------------------------


@pytest.mark.parametrize(
    "first", [b"data: a\n\n", b"data: a\r\n\r\n", b"data: a\r\n\r", b"data: a\r\r", b"data: a\n\r"]
)
def test_event_is_out_as_soon_as_its_blank_line_ends(first: bytes) -> None:
    decoder = SSEDecoder()
    assert decoder.feed(first) == [ServerSentEvent("a")]
    assert not decoder.pending
    assert decoder.feed(b"\n" if first[-1:] == b"\r" else b"") == []
    assert decoder.feed(b"data: b\n\n") == [ServerSentEvent("b")]


@pytest.mark.parametrize("line", [b"retry: 700\n", b"retry: 700\r", b"retry: 700\r\n"])
def test_reconnection_time_is_set_at_its_line_end(line: bytes) -> None:
    decoder = SSEDecoder()
    decoder.feed(line)
    assert decoder.reconnection_time == 700


def test_reconnection_time_has_a_bound_on_its_digits() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"retry: " + b"7" * 640 + b"\n")
    assert decoder.reconnection_time == int("7" * 640)
    decoder.feed(b"retry: " + b"8" * 641 + b"\n")
    assert decoder.reconnection_time == int("7" * 640)


def test_iter_events_yields_before_it_asks_for_the_next_chunk() -> None:
    asked = []

    def chunks() -> Iterator[bytes]:
        for chunk in (b"data: a\r\r", b"\ndata: b\n", b"\n"):
            asked.append(chunk)
            yield chunk

    events = iter_events(chunks())
    assert next(events) == ServerSentEvent("a")
    assert len(asked) == 1
    assert [event.data for event in events] == ["b"]


# ---- What the decoder tells beside events ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "pending"),
    [
        (b"", False),
        (b"data: a\n\n", False),
        (b"data: a\r\r", False),
        (b"data: a\n\n: ping\n", False),
        (b"data: a\n\n: pi", True),
        (b"data: a\n", True),
        (b"data: a", True),
        (b"event: a\n", True),
        (b"id: 1\n", True),
        (b"id: 1\n\n", False),
        (b"\xef\xbb", True),
        (b"\xef\xbb\xbf", False),
        (b"data: a\n\n\n", False),
        (b"retry: 1\n", False),
    ],
)
def test_pending_tells_a_cut_event_also_after_close(stream: bytes, pending: bool) -> None:
    decoder = SSEDecoder()
    for i in range(len(stream)):
        decoder.feed(stream[i : i + 1])
    assert decoder.pending is pending
    decoder.close()
    assert decoder.pending is pending


def test_close_discards_the_open_event_and_its_id() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n")
    decoder.close()
    assert decoder.last_event_id == "1"
    with pytest.raises(ValueError, match="closed"):
        decoder.feed(b"\n")
    decoder.close()


def test_last_event_id_of_an_earlier_connection_stays_until_a_new_one() -> None:
    decoder = SSEDecoder(last_event_id="7")
    assert not decoder.pending
    assert decoder.feed(b"data: a\n\nid: 8\ndata: b\n\nid\n\n") == [
        ServerSentEvent("a", id="7"),
        ServerSentEvent("b", id="8"),
    ]
    assert decoder.last_event_id == ""


def test_event_is_immutable() -> None:
    event = ServerSentEvent("a")
    with pytest.raises(AttributeError):
        event.data = "b"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        event.other = "b"  # type: ignore[attr-defined]


# ---- The size limit --------------------------------------------------------------------------------------------------

LIMIT_CASES = [
    (b"data: 123456\n\n", True),  # a line of 12 bytes
    (b"data: 1234567\n\n", False),
    (b"data: 1\ndata: 2\n\n", False),  # two lines of 7
    (b"data\ndata\ndata\n\n", True),  # three lines of 4
    (b"data\ndata\ndata\n:\n\n", False),  # the line being read counts beside them
    (b": 1234567890\n\n", True),
    (b": 12345678901\n\n", False),
    (b": 12345678\n" * 9 + b"data: a\n\n", True),  # comments do not add up
    (b"data: 12345\n\n" * 9, True),  # nor do events
    (b"event: 123456\ndata: a\n\n", False),
    (b"1234567890123", False),
]


@pytest.mark.parametrize(("stream", "fits"), LIMIT_CASES)
def test_limit_holds_however_the_stream_is_cut(stream: bytes, fits: bool) -> None:
    for chunks in [[stream], [stream[i : i + 1] for i in range(len(stream))], [stream[:9], stream[9:]]]:
        decoder = SSEDecoder(max_event_size=12)
        try:
            for chunk in chunks:
                decoder.feed(chunk)
            raised = False
        except EventTooLarge as error:
            raised = True
            assert error.limit == 12
            assert "12 bytes" in str(error)
        assert raised is not fits, chunks


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 2**15, b"data:x\n" * 2**12, b"data\n" * 2**12], ids=len)
@pytest.mark.parametrize("size", [1, 2, 7, 2000])
def test_what_is_held_is_little_more_than_what_came(stream: bytes, size: int) -> None:
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    decoder = SSEDecoder(max_event_size=2**18)
    tracemalloc.start()
    try:
        for chunk in chunks:
            decoder.feed(chunk)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(stream)
        (event,) = decoder.feed(b"\n\n")
        assert tracemalloc.get_traced_memory()[1] < 4 * len(stream)
    finally:
        tracemalloc.stop()
    assert event.data == decode([stream + b"\n\n"]).events[0][0]


def test_too_large_loses_no_event_before_it_and_ends_the_decoder() -> None:
    decoder = SSEDecoder(max_event_size=10)
    with pytest.raises(EventTooLarge) as caught:
        decoder.feed(b"data: a\n\ndata: " + b"x" * 20)
    assert caught.value.events == [ServerSentEvent("a")]
    assert decoder.pending
    for _ in range(2):
        with pytest.raises(EventTooLarge) as caught:
            decoder.feed(b"data: b\n\n")
        assert caught.value.events == []

    events = iter_events([b"data: a\n\ndata: " + b"x" * 20], max_event_size=10)
    assert next(events) == ServerSentEvent("a")
    with pytest.raises(EventTooLarge):
        next(events)


# ---- The encoder -----------------------------------------------------------------------------------------------------

ENCODED = [
    ("plain", {"data": "hello"}, b"data: hello\n\n"),
    ("lf", {"data": "a\nb"}, b"data: a\ndata: b\n\n"),
    ("crlf", {"data": "a\r\nb"}, b"data: a\ndata: b\n\n"),
    ("cr", {"data": "a\rb"}, b"data: a\ndata: b\n\n"),
    ("trailing-lf", {"data": "a\n"}, b"data: a\ndata: \n\n"),
    ("only-lf", {"data": "\n"}, b"data: \ndata: \n\n"),
    ("trailing-two-lf", {"data": "a\n\n"}, b"data: a\ndata: \ndata: \n\n"),
    ("empty", {"data": ""}, b"data: \n\n"),
    ("none", {"data": None, "event": "e"}, b"event: e\n\n"),
    ("nothing", {"data": None}, b"\n"),
    ("leading-space", {"data": " hello"}, b"data:  hello\n\n"),
    ("one-space", {"data": " "}, b"data:  \n\n"),
    ("leading-colon", {"data": ":x"}, b"data: :x\n\n"),
    ("injection-lf", {"data": "x\n\nevent: evil\ndata: y"}, b"data: x\ndata: \ndata: event: evil\ndata: data: y\n\n"),
    ("injection-cr", {"data": "x\r\revent: evil\rdata: y"}, b"data: x\ndata: \ndata: event: evil\ndata: data: y\n\n"),
    ("id-empty", {"data": "x", "id": ""}, b"id: \ndata: x\n\n"),
    ("id-edge-spaces", {"data": "x", "id": " 7 "}, b"id:  7 \ndata: x\n\n"),
    ("event-empty", {"data": "x", "event": ""}, b"data: x\n\n"),
    ("event-leading-space", {"data": "x", "event": " e"}, b"event:  e\ndata: x\n\n"),
    ("retry-zero", {"data": "x", "retry": 0}, b"retry: 0\ndata: x\n\n"),
    ("all", {"data": "x", "event": "e", "id": "1", "retry": 5}, b"event: e\nid: 1\nretry: 5\ndata: x\n\n"),
    ("not-line-ends", {"data": "\u2028\x85\x0b\x0c\x1c"}, "data: \u2028\x85\x0b\x0c\x1c\n\n".encode()),
    ("bom-in-data", {"data": "\ufeffx"}, b"data: \xef\xbb\xbfx\n\n"),
    ("nul-in-data", {"data": "a\0b"}, b"data: a\0b\n\n"),
]


@pytest.mark.parametrize(("fields", "encoded"), [row[1:] for row in ENCODED], ids=[row[0] for row in ENCODED])
def test_encoder_row(fields: dict, encoded: bytes) -> None:
    assert encode_event(**fields) == encoded
    data = fields["data"]
    expected = []
    if data is not None:
        text = data.replace("\r\n", "\n").replace("\r", "\n")
        expected = [ServerSentEvent(text, fields.get("event") or "message", fields.get("id") or "")]
    assert list(iter_events([encoded])) == expected


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"event": "a\ndata: evil"}, "event"),
        ({"event": "a\rdata: evil"}, "event"),
        ({"id": "1\nretry: 1"}, "id"),
        ({"id": "1\rretry: 1"}, "id"),
        ({"id": "1\0"}, "NUL"),
        ({"retry": -1}, "retry"),
        ({"data": "\ud83d"}, "U\\+D83D"),
        ({"event": "\ude00"}, "surrogate"),
        ({"id": "\ude00"}, "surrogate"),
    ],
)
def test_encoder_refuses_what_would_read_back_as_something_else(fields: dict, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        encode_event(**{"data": "x", **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"data": b"x"},
        {"data": 1},
        {"data": {}},
        {"id": 1},
        {"event": 1},
        {"retry": True},
        {"retry": 1.5},
        {"retry": "0"},
    ],
)
def test_encoder_refuses_other_types(fields: dict) -> None:
    with pytest.raises(TypeError):
        encode_event(**{"data": "x", **fields})


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("", b":\n"),
        ("ping", b": ping\n"),
        ("a\ndata: evil", b": a\n: data: evil\n"),
        ("a\rdata: evil", b": a\n: data: evil\n"),
        ("a\r\n\r\nb", b": a\n:\n: b\n"),
    ],
)
def test_comment_stays_a_comment(text: str, encoded: bytes) -> None:
    assert encode_comment(text) == encoded
    assert list(iter_events([encoded + b"\n"])) == []


def test_comment_refuses_lone_surrogates() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        encode_comment("\ud83d")


# ---- Random streams --------------------------------------------------------------------------------------------------


def compare_with_oracle(seed: int, streams: int) -> None:
    chance = random.Random(seed)
    dispatched = 0
    for _ in range(streams):
        reading = cut_at_random(chance, random_stream(chance))
        expected = interpret(reading.stream)
        assert decode(reading.chunks) == expected, (seed, reading)
        dispatched += len(expected.events)
    assert dispatched > streams / 10  # the pieces do make events


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.once] * (seed > 1)) for seed in range(5)])
def test_random_streams_agree_with_the_oracle(seed: int) -> None:
    compare_with_oracle(seed, 5000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1100))
def test_many_more_random_streams_agree_with_the_oracle(seed: int) -> None:
    compare_with_oracle(seed, 20_000)


TEXT_PIECES = [
    "",
    "a",
    " ",
    "\n",
    "\r",
    "\r\n",
    ":",
    "data: x",
    "\u2028",
    "\x85",
    "\x0b",
    "\0",
    "é",
    "😀",
    "\ufeff",
    "[DONE]",
]


def test_whatever_the_encoder_accepts_reads_back_equal() -> None:
    chance = random.Random(5)
    accepted = 0
    for _ in range(5000):
        events, stream, last_id = [], b"", ""
        for _ in range(chance.randrange(1, 5)):
            data, event, id = ("".join(chance.choices(TEXT_PIECES, k=chance.randrange(4))) for _ in range(3))
            fields = {"event": event or None, "id": id if chance.random() < 0.5 else None}
            try:
                stream += encode_event(data, **fields)
            except ValueError:
                continue
            accepted += 1
            last_id = fields["id"] if fields["id"] is not None else last_id
            text = data.replace("\r\n", "\n").replace("\r", "\n")
            events.append(ServerSentEvent(text, event or "message", last_id))
            if chance.random() < 0.3:
                stream += encode_comment(data)
        assert list(iter_events(cut_at_random(chance, stream).chunks)) == events, stream
    assert accepted > 5000


# ---- Linear in three independent ways --------------------------------------------------------------------------------

# Each stream exists in two sizes, one 64 times the other. Linear work takes 64 to 140 times as long (the large one fits no
# cache), quadratic work up to 4,096 times, and 512 lies in the middle. A busy machine can spoil a round; but one good round
# shows that the work is linear, and none does when it is not.


def one_line_over_many_chunks(size: int) -> list[bytes]:
    return [b"data: ", *[b"x" * 512] * size, b"\n\n"]


def many_data_lines_in_one_event(size: int) -> list[bytes]:
    return [*[b"data: yyyyyyyy\n" * 10] * size, b"\n"]


def many_events_in_one_chunk(size: int) -> list[bytes]:
    return [b"data: zz\n\n" * (size * 16)]


def seconds_for(chunks: list[bytes], limit: int | None) -> float:
    decoder = SSEDecoder(max_event_size=limit)
    began = time.process_time()
    for chunk in chunks:
        decoder.feed(chunk)
    return time.process_time() - began


@pytest.mark.parametrize(
    "make",
    [one_line_over_many_chunks, many_data_lines_in_one_event, many_events_in_one_chunk],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("limit", [None, 2**30], ids=["unlimited", "limited"])
def test_work_grows_with_the_stream_and_not_with_its_square(
    make: Callable[[int], list[bytes]], limit: int | None
) -> None:
    small, large = make(250), make(16000)
    assert any(seconds_for(large, limit) < 512 * seconds_for(small, limit) for _ in range(5))


@pytest.mark.parametrize("event", [0, b"", [], 1.5])
def test_event_type_that_is_no_text_is_a_type_error(event: object) -> None:
    with pytest.raises(TypeError):
        encode_event("x", event=event)  # type: ignore[arg-type]


def test_retry_that_readers_would_ignore_is_refused() -> None:
    assert encode_event("x", retry=10**640 - 1)
    with pytest.raises(ValueError, match="640 digits"):
        encode_event("x", retry=10**640)
