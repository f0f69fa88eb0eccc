"""What holds for every event stream, whoever's API it is: the head, and the framing of events.

In:   the exchanges that a profile's file calls ``base``, ``accept-json`` and so on.
Out:  the checks of ``head/`` and ``frame/`` that name no provider, and the questions that other profiles ask, too.

Follows RFC 9110 and RFC 9112 for HTTP, HTML standard 9.2.5 for the stream.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterable, Iterator

from sse_ref.codec import SSEDecoder
from sse_ref.conformance.servers.target import (
    Expired,
    Failed,
    Skipped,
    Target,
    check,
    error_message,
    expect,
    in_brackets,
    in_each,
    told,
    whole,
)
from sse_ref.conformance.wire import Exchange

__all__ = ["ends_with_blank_line", "is_event_stream", "is_incremental", "is_not_cached", "is_utf8", "longest_silence"]
__all__ += ["slow_stream", "stream_of"]


def stream_of(target: Target, name: str) -> Exchange:
    """A named exchange that is a stream. Raises ``Failed`` if its status is not 200, or if it held no event."""
    return has_events(target.get(name))


def has_events(exchange: Exchange) -> Exchange:
    """The exchange. Raises ``Failed`` if its status is not 200, or if it held no event."""
    if exchange.status != 200:
        message = f": {error_message(exchange.body)}" if exchange.body else ""
        raise Failed(f"the status is {exchange.status or 'missing'}{message}{in_brackets(exchange.problem)}")
    if not exchange.events:
        raise Failed(f"no event came{in_brackets(exchange.problem)}: {exchange.body[:80]!r}")
    return exchange


def is_event_stream(exchange: Exchange) -> None:
    """Status 200 and ``text/event-stream``."""
    expect(exchange.status == 200, f"the status is {exchange.status or 'missing'}{in_brackets(exchange.problem)}")
    expect(exchange.kind == "text/event-stream", f"the Content-Type is {exchange.header('content-type')!r}")


def has_no_other_charset(exchange: Exchange) -> None:
    """The charset is UTF-8, if one is named."""
    parameters = (exchange.header("content-type") or "").partition(";")[2]
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", parameters, re.IGNORECASE)
    expect(not charset or charset[1].lower() in ("utf-8", "utf8"), f"the charset is {charset and charset[1]}")


def is_not_cached(exchange: Exchange) -> None:
    """Caches are told to keep nothing."""
    header = exchange.header("cache-control") or ""
    expect(re.search(r"no-cache|no-store", header, re.IGNORECASE), f"Cache-Control is {header!r}")


def is_utf8(exchange: Exchange) -> None:
    """The body is UTF-8."""
    try:
        exchange.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Failed(f"byte {error.start} is not UTF-8: {exchange.body[error.start : error.start + 4]!r}") from None


def ends_with_blank_line(exchange: Exchange) -> None:
    """The last event is complete."""
    last = exchange.blocks[-1].strip(b"\n")
    fields = [line for line in last.split(b"\n") if line and not line.startswith(b":")]
    expect(not fields, f"the last event has no blank line: {last[-80:]!r}")


# ---- The head --------------------------------------------------------------------------------------------------------


@check("head/status-200")
def head_status_200(target: Target) -> None:
    exchange = target.get("base")
    message = f": {error_message(exchange.body)}" if exchange.status >= 400 else ""
    expect(
        exchange.status == 200, f"the status is {exchange.status or 'missing'}{message}{in_brackets(exchange.problem)}"
    )


@check("head/content-type")
def head_content_type(target: Target) -> None:
    is_event_stream(target.get("base"))
    has_no_other_charset(target.get("base"))


@check("head/accept-json")
def head_accept_json(target: Target) -> None:
    is_event_stream(target.get("accept-json"))
    expect(target.get("accept-json").events, "no event came")


@check("head/accept-any")
@in_each("accept-any", "accept-stream", "again")
def head_accept_any(target: Target, name: str) -> None:
    is_event_stream(target.get(name))


@check("head/framing")
def head_framing(target: Target) -> None:
    exchange = stream_of(target, "base")
    expect(exchange.framing in ("chunked", "close"), "the stream has a Content-Length")
    both = exchange.framing == "chunked" and exchange.header("content-length") is not None
    expect(not both, "the stream has a Content-Length beside Transfer-Encoding: chunked")


@check("head/last-chunk")
def head_last_chunk(target: Target) -> None:
    exchange = stream_of(target, "base")
    if exchange.expired:
        raise Skipped("the stream stays open after its last event")
    expect(exchange.framing != "chunked" or exchange.ended, exchange.problem or "the last chunk is missing")


@check("head/no-close-with-chunks")
def head_no_close_with_chunks(target: Target) -> None:
    exchange = stream_of(target, "base")
    header = (exchange.header("connection") or "").lower()
    expect(exchange.framing != "chunked" or "close" not in header, "Connection: close stands beside chunked")


@check("head/http-1.0")
def head_http_1_0(target: Target) -> None:
    exchange = stream_of(target, "http-1.0")
    expect(
        exchange.header("transfer-encoding") is None, f"Transfer-Encoding is {exchange.header('transfer-encoding')!r}"
    )
    expect(exchange.ended, exchange.problem)


@check("head/keep-alive")
def head_keep_alive(target: Target) -> None:
    with target.connect() as connection:
        connection.send(target.ask("Say one", tokens=4))
        first = has_events(whole(connection.answer()))
        if first.framing == "close" or "close" in (first.header("connection") or "").lower():
            return
        connection.send(target.ask("Say two", tokens=4))
        second = whole(connection.answer())
        expect(second.status == 200, f"the second answer: {second.problem or f'status {second.status}'}")


@check("head/gzip")
def head_gzip(target: Target) -> None:
    exchange = target.get("gzip")
    expect(exchange.status == 200, f"the status is {exchange.status}")
    coding = (exchange.header("content-encoding") or "identity").lower()
    if coding == "identity":
        expect(exchange.events, "no event came")
        return
    expect(coding == "gzip", f"the Content-Encoding is {coding!r}, which was not asked for")
    try:
        parts = list(unpacked(exchange.body[a:b] for a, b in arrived(exchange)))
    except zlib.error as error:
        raise Failed(f"it cannot be unpacked: {error}") from None
    expect(sum(b"\n\n" in part or b"\r\n\r\n" in part for part in parts) > 1, "all events come out at once, at the end")


def unpacked(parts: Iterable[bytes]) -> Iterator[bytes]:
    """What each part of a gzip body unpacks to; it may have several members (RFC 1952, 2.2)."""
    unpack = zlib.decompressobj(wbits=31)
    for part in parts:
        text = b""
        while part:
            text += unpack.decompress(part)
            part = unpack.unused_data
            if unpack.eof:
                unpack = zlib.decompressobj(wbits=31)
        yield text


def arrived(exchange: Exchange) -> Iterator[tuple[int, int]]:
    """Where each part that came together begins and ends, in bytes of the body."""
    start = 0
    for _, end in exchange.arrivals:
        yield start, end
        start = end


@check("head/cache-control")
def head_cache_control(target: Target) -> None:
    is_not_cached(stream_of(target, "base"))


@check("head/x-accel-buffering")
def head_x_accel_buffering(target: Target) -> None:
    exchange = stream_of(target, "base")
    header = exchange.header("x-accel-buffering")
    if header is None and "nginx" in (exchange.header("server") or "").lower():
        raise Skipped("nginx, which is in front, takes the header out")
    expect(header == "no", f"X-Accel-Buffering is {header!r}")


@check("head/incremental")
def head_incremental(target: Target) -> None:
    for name in ("base", "one-token"):
        stream_of(target, name)
    is_incremental(target, "base")


def is_incremental(target: Target, name: str) -> None:
    """An answer of one token shows what the first token costs. The time beyond that must be spread over the body.

    A pause of the machine may hold up one try, so three must fail.
    """
    exchange, first_token, reason = target.get(name), target.get("one-token").end_s, ""
    for _ in range(3):
        beyond = exchange.end_s - first_token
        if len(exchange.arrivals) >= 5:
            return
        if beyond < 0.2 or not exchange.arrivals:
            raise Skipped(f"the answer takes {exchange.end_s:.2f} s: too fast to tell")
        first = exchange.arrivals[0][0]
        spread = exchange.arrivals[-1][0] - first
        if spread > 0.2 * beyond:
            return
        nothing = f"after {first:.2f} s of nothing, in an answer of {exchange.end_s:.2f} s"
        reason = reason or f"everything came within {spread:.2f} s, {nothing}"
        exchange = asked_anew(target, name)
    raise Failed(reason)


TOGETHER = 6  # events that may come in one piece: what begins an answer often does
MEASURABLE = 0.03  # seconds; what is shorter cannot be told from chance
APART = 0.002  # seconds between two events that came one by one


@check("head/first-piece")
def head_first_piece(target: Target) -> None:
    """Count the events in the first piece: at the pace of the answer, how long did the first of them wait for the last?

    An answer of one token beside the whole one tells the pace, and when a first event can be there. A pause of the machine
    may hold up one try, so three must fail.
    """
    exchange, short = stream_of(target, "base"), stream_of(target, "one-token")
    shortest, reason = short.end_s, ""
    for _ in range(3):
        came, size = exchange.arrivals[0]
        together = len(SSEDecoder().feed(exchange.body[:size]))
        more = len(exchange.events) - len(short.events)
        if together <= TOGETHER or more < 3:
            return
        pace = max((exchange.end_s - shortest) / more, 0.0)
        needed, waited = (together - 1) * pace, came - max(shortest - pace * (len(short.events) - 1), 0.0)
        if needed < MEASURABLE:
            raise Skipped(f"{together} events take {needed:.3f} s: too fast to tell")
        if waited < needed / 2:
            return
        reason = reason or f"the first {together} events came in one piece, {waited:.2f} s after one could be there"
        exchange = has_events(asked_anew(target, "base"))
        shortest = min(shortest, has_events(asked_anew(target, "one-token")).end_s)
    raise Failed(reason)


def asked_anew(target: Target, name: str) -> Exchange:
    """The response to a named request, on a connection of its own."""
    with target.connect() as connection:
        connection.send(target.request(target.file["exchanges"][name]))
        return whole(connection.answer())


@check("head/no-identity")
def head_no_identity(target: Target) -> None:
    coding = stream_of(target, "base").header("content-encoding")
    expect(coding is None or coding.lower() != "identity", f"Content-Encoding is {coding!r}")


@check("head/no-interim")
def head_no_interim(target: Target) -> None:
    expect(not target.get("base").interim, f"status {target.get('base').interim} came first")


@check("head/other-methods")
@in_each("head-method", "get-method")
def head_other_methods(target: Target, name: str) -> None:
    exchange = target.get(name)
    expect(exchange.status in (404, 405), f"{name}: {told(exchange)}")
    expect(len(exchange.body) < 65536, f"{name}: the body has {len(exchange.body)} bytes")


@check("head/chunked-request")
def head_chunked_request(target: Target) -> None:
    exchange = target.get("chunked-request")
    expect(exchange.status in (200, 411), f"{told(exchange)}")


@check("head/expect-continue")
def head_expect_continue(target: Target) -> None:
    exchange = target.get("expect")
    expect(exchange.status in (200, 417), f"{told(exchange)}")


@check("head/preflight")
def head_preflight(target: Target) -> None:
    exchange = target.get("preflight")
    expect(200 <= exchange.status < 300, f"{told(exchange)}")
    expect(
        exchange.header("access-control-allow-origin") in ("*", "http://page.example"), "it does not allow the origin"
    )
    allowed = {name.strip().lower() for name in (exchange.header("access-control-allow-headers") or "").split(",")}
    asked = target.file["exchanges"]["preflight"]["headers"]["Access-Control-Request-Headers"].split(",")
    missing = [name for name in asked if name not in allowed and (name == "authorization" or "*" not in allowed)]
    keys = {"authorization", "x-api-key", "x-goog-api-key"}.intersection(asked)  # one that carries the key will do
    if len(keys.intersection(missing)) < len(keys):
        missing = [name for name in missing if name not in keys]
    expect(not missing, f"it does not allow the header {missing and missing[0]}")


@check("head/cors-on-stream")
def head_cors_on_stream(target: Target) -> None:
    header = stream_of(target, "origin").header("access-control-allow-origin")
    expect(header in ("*", "http://page.example"), f"Access-Control-Allow-Origin is {header!r}")


@check("head/one-of-each")
def head_one_of_each(target: Target) -> None:
    names = [name.lower() for name, _ in stream_of(target, "base").headers]
    for name in ("content-type", "content-length"):
        expect(names.count(name) <= 1, f"the header {name} comes {names.count(name)} times")


# ---- Framing of events -----------------------------------------------------------------------------------------------


@check("frame/utf8")
def frame_utf8(target: Target) -> None:
    is_utf8(stream_of(target, "base"))


@check("frame/no-byte-order-mark")
def frame_no_byte_order_mark(target: Target) -> None:
    expect(not stream_of(target, "base").body.startswith(b"\xef\xbb\xbf"), "the body begins with a byte order mark")


@check("frame/events-end")
def frame_events_end(target: Target) -> None:
    ends_with_blank_line(stream_of(target, "base"))


@check("frame/one-line-end")
def frame_one_line_end(target: Target) -> None:
    body = stream_of(target, "base").body
    kinds = {end.decode() for end in re.findall(rb"\r\n|\r|\n", body)}
    expect(len(kinds) <= 1, f"lines end in {len(kinds)} ways: {sorted(kinds)}")


@check("frame/no-block-without-data")
def frame_no_block_without_data(target: Target) -> None:
    for block in stream_of(target, "base").blocks:
        lines = [line for line in block.split(b"\n") if line and not line.startswith(b":")]
        names = {line.partition(b":")[0] for line in lines}
        expect(not lines or b"data" in names, f"a block without data: {block[:80]!r}")


@check("frame/no-empty-data")
def frame_no_empty_data(target: Target) -> None:
    expect(all(event.data for event in stream_of(target, "base").events), "an event has empty data")


@check("frame/blank-line-with-its-event")
def frame_blank_line_with_its_event(target: Target) -> None:
    """An event is dispatched by its blank line: one that waits for the next event makes every event late by one.

    What counts is where in the time between two events the blank line came: a busy machine can only bring it nearer to its
    own event, for both are read at once then.
    """
    exchange = slow_stream(target)
    blocks = re.finditer(rb"[^\r\n].*?(\r\n\r\n|\n\n|\r\r)", exchange.body, re.DOTALL)
    events = [match for match in blocks if b"data" in match[0]]
    late = measured = 0
    for event, following in itertools.pairwise(events[1:]):
        came, next_came = exchange.at(event.start()), exchange.at(following.start())
        if next_came - came >= APART:
            measured += 1
            late += exchange.at(event.end() - 1) - came > (next_came - came) / 2
    if measured < 3:
        raise Skipped("the events come too fast, or too few, to tell")
    expect(late < measured / 2, f"the blank line of {late} of {measured} events came with the event after it")


@check("frame/line-length")
def frame_line_length(target: Target) -> None:
    longest = max(len(line) for block in stream_of(target, "base").blocks for line in block.split(b"\n"))
    expect(longest <= 2**20, f"a line has {longest} bytes")


@check("frame/space-after-colon")
def frame_space_after_colon(target: Target) -> None:
    lines = re.findall(rb"^data:.?", stream_of(target, "base").body, re.MULTILINE)
    expect(all(line == b"data: " for line in lines), "data has no space after its colon")


@check("frame/keep-alive-in-silence")
def frame_keep_alive_in_silence(target: Target) -> None:
    longest = longest_silence(target)
    expect(longest <= target.long_silence, f"nothing came for {longest:.1f} s")
    if b"\n:" not in b"\n" + slow_stream(target).body.replace(b"\r", b"\n"):
        raise Skipped(f"no comment came, but the silence lasted {longest:.1f} s only: too short to tell")


def longest_silence(target: Target) -> float:
    """The longest time, in seconds, for which nothing came from the model that takes long for its first token."""
    try:
        exchange = slow_stream(target)
    except Expired as silence:
        raise Failed(str(silence)) from None
    times = [0.0, *(seconds for seconds, _ in exchange.arrivals)]
    return max(later - earlier for earlier, later in itertools.pairwise(times))


def slow_stream(target: Target) -> Exchange:
    """The stream of the model that takes long for its first token."""
    target.require("slow")
    return stream_of(target, "slow")


# ---- Errors ----------------------------------------------------------------------------------------------------------


@check("fault/overload")
def fault_overload(target: Target) -> None:
    exchange = next((e for e in target.sent.values() if e.status == 429), None) or target.get("overload")
    expect(exchange.status == 429, f"the status is {exchange.status}")
    expect(exchange.header("retry-after") or exchange.header("retry-after-ms"), "there is no Retry-After")
    expect(exchange.kind == "application/json", f"the Content-Type is {exchange.header('content-type')!r}")


@check("fault/before-the-stream")
def fault_before_the_stream(target: Target) -> None:
    exchange = target.get("bad-json-stream")
    expect(400 <= exchange.status < 500, f"{told(exchange)}")
    expect(exchange.kind == "application/json", f"the Content-Type is {exchange.header('content-type')!r}")


@check("fault/odd-bodies")
@in_each("no-body", "wrong-type", "oversized")
def fault_odd_bodies(target: Target, name: str) -> None:
    exchange = target.get(name)
    expect(400 <= exchange.status < 500, f"{name}: {told(exchange)}")


@check("fault/crash")
def fault_crash(target: Target) -> None:
    exchange = target.get("crash")
    if exchange.status >= 500:
        return
    expect(exchange.framing != "chunked" or not exchange.ended, "the body was ended as if the answer were whole")
    last = next(filter(target.is_last, exchange.events), None)
    expect(last is None, f"{last and last.data[:60]!r} came as if the answer were whole")
