"""Event sources: reconnecting, resuming, giving up."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import Any

import pytest
from hostile import (
    LAST,
    Hold,
    Pause,
    Reset,
    Step,
    chunk,
    head,
    playing,
    stream,
    whole,
)
from raw import wait_for
from streaming import GOOD, STOPPED, source, sse

from sse_ref.client import (
    ChatStream,
    EventSource,
    HTTPStatusError,
    ProtocolError,
    StreamError,
    Truncated,
    event_source,
)
from sse_ref.server import running


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
        events._call.pause = waits.append  # type: ignore[assignment,method-assign]
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
        assert server.heard[1].at - server.heard[0].at >= event_source.MIN_WAIT


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
    assert waiting(50) == event_source.MAX_BACKOFF
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
        limits = stream._call
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
        opened = event_source.open_response

        def closed_meanwhile(*arguments: Any) -> Any:
            events.close()
            return opened(*arguments)

        monkeypatch.setattr(event_source, "open_response", closed_meanwhile)
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
