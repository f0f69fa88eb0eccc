"""The checks of the profile ``sse``: plain event sources, as browsers read them.

In:   the exchanges of ``corpus/server/sse.json``.
Out:  the checks of ``events/``: content type, fields, ids, resuming.

Follows HTML standard 9.2.
"""

from __future__ import annotations

from sse_ref.conformance.servers.streams import ends_with_blank_line, is_event_stream, is_not_cached, is_utf8
from sse_ref.conformance.servers.target import Expired, Skipped, Target, check, expect, told, whole
from sse_ref.conformance.wire import Exchange

__all__: list[str] = []  # each check is found in CHECKS, by the id of its vector


def source_of(target: Target, name: str = "get") -> Exchange:
    exchange = target.get(name)
    expect(exchange.status == 200, f"{told(exchange)}")
    return exchange


def lines_of(exchange: Exchange) -> list[bytes]:
    return [line for block in exchange.blocks for line in block.split(b"\n") if line]


@check("events/status")
def events_status(target: Target) -> None:
    expect(
        target.get("get").status in (200, 204), f"the status is {target.get('get').status or target.get('get').problem}"
    )


@check("events/content-type")
def events_content_type(target: Target) -> None:
    is_event_stream(source_of(target))


@check("events/utf8")
def events_utf8(target: Target) -> None:
    is_utf8(source_of(target))


@check("events/fields")
def events_fields(target: Target) -> None:
    known = {b"", b"data", b"event", b"id", b"retry"}
    for line in lines_of(source_of(target)):
        expect(line.partition(b":")[0] in known, f"a line is {line[:60]!r}")


@check("events/lower-case")
def events_lower_case(target: Target) -> None:
    known = {b"data", b"event", b"id", b"retry"}
    for line in lines_of(source_of(target)):
        name = line.partition(b":")[0]
        expect(name in known or name.strip().lower() not in known, f"a field is named {name!r}")


@check("events/retry-digits")
def events_retry_digits(target: Target) -> None:
    for line in lines_of(source_of(target)):
        name, _, value = line.partition(b":")
        expect(name != b"retry" or value.removeprefix(b" ").isdigit(), f"a reconnection time is {value!r}")


@check("events/no-nul-in-id")
def events_no_nul_in_id(target: Target) -> None:
    for line in lines_of(source_of(target)):
        expect(not (line.startswith(b"id:") and b"\0" in line), f"an id is {line!r}")


@check("events/id-survives-header")
def events_id_survives_header(target: Target) -> None:
    for event in source_of(target).events:
        expect(event.id == event.id.strip(), f"an id is {event.id!r}")


@check("events/block-without-data")
def events_block_without_data(target: Target) -> None:
    for block in source_of(target).blocks:
        names = {line.partition(b":")[0] for line in block.split(b"\n")}
        expect(b"event" not in names or b"data" in names, f"a block is {block[:80]!r}")


@check("events/ends-with-blank-line")
def events_ends_with_blank_line(target: Target) -> None:
    exchange = source_of(target)
    if not exchange.ended:
        raise Skipped("the stream did not end")
    ends_with_blank_line(exchange)


@check("events/framing")
def events_framing(target: Target) -> None:
    exchange = source_of(target)
    expect(exchange.framing in ("chunked", "close"), "the stream has a Content-Length")


@check("events/last-chunk")
def events_last_chunk(target: Target) -> None:
    exchange = source_of(target)
    if exchange.stopped:
        raise Skipped("the stream did not end")
    expect(exchange.framing != "chunked" or exchange.ended, exchange.problem or "the last chunk is missing")


@check("events/http-1.0")
def events_http_1_0(target: Target) -> None:
    exchange = source_of(target, "get-1.0")
    expect(
        exchange.header("transfer-encoding") is None, f"Transfer-Encoding is {exchange.header('transfer-encoding')!r}"
    )


@check("events/cache-control")
def events_cache_control(target: Target) -> None:
    is_not_cached(source_of(target))


@check("events/cors")
def events_cors(target: Target) -> None:
    header = target.get("get-origin").header("access-control-allow-origin")
    expect(header in ("*", "http://page.example"), f"Access-Control-Allow-Origin is {header!r}")


def with_last_event_id(target: Target, id: bytes) -> Exchange:
    spec = {"method": "GET", "path": "", "headers": {"Accept": "text/event-stream", "Last-Event-ID": "0x0"}}
    data = target.request(spec).replace(b"0x0", id)
    with target.connect() as connection:
        connection.send(data)
        # As for every event source: it may go on for ever.
        return whole(connection.answer(stop_after=50, seconds=target.silence))


@check("events/resume")
def events_resume(target: Target) -> None:
    events = source_of(target).events
    ids = list(dict.fromkeys(event.id for event in events if event.id))
    if len(ids) < 3:
        raise Skipped("the stream has no ids to resume at")
    middle = ids[len(ids) // 2]
    with_id = with_last_event_id(target, middle.encode())
    after = with_id.events
    expected = events[max(at for at, event in enumerate(events) if event.id == middle) + 1]
    if not after and with_id.stopped:
        raise Expired(f"after {middle!r} nothing came")
    expect(after, f"after {middle!r} nothing came")
    expect(after[0].data == expected.data, f"after {middle!r} came {after[0].data[:40]!r}, not {expected.data[:40]!r}")


@check("events/unknown-id")
def events_unknown_id(target: Target) -> None:
    exchange = with_last_event_id(target, b"no-such-id")
    expect(exchange.status in (200, 204), f"{told(exchange)}")


@check("events/no-5xx-on-odd-id")
def events_no_5xx_on_odd_id(target: Target) -> None:
    exchange = with_last_event_id(target, b"\xe2\x80\xa6\xff 99999999999999999999999")
    expect(exchange.status and exchange.status < 500, f"{told(exchange)}")
