"""The plain event source: numbers, resuming, dropping."""

from __future__ import annotations

from typing import Any

import pytest
from raw import ask

from sse_ref.server import Server, running


def event_source(server: Server, query: str, **headers: str) -> Any:
    return ask(
        server, "GET", f"/events?{query}", headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def test_events_are_numbered_and_end_with_a_named_one(server: Server) -> None:
    answer = event_source(server, "model=toy-echo&prompt=one+two%0Athree")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.body == (
        b"retry: 1000\nid: 1\ndata: one\n\nid: 2\ndata:  two\n\nid: 3\ndata: \ndata: \n\nid: 4\ndata: three\n\n"
        b"event: done\nid: 5\ndata: [DONE]\n\n"
    )


@pytest.mark.parametrize(
    ("last", "first"),
    [
        ("0", b"id: 1\n"),
        ("1", b"id: 2\n"),
        ("3", b"event: done\nid: 4\n"),
        ("x", b"id: 1\n"),
        ("-1", b"id: 1\n"),
        ("\u00b2", b"id: 1\n"),
        ("9" * 40, b"id: 1\n"),
    ],
)
def test_events_resume_after_the_last_event_id(server: Server, last: str, first: bytes) -> None:
    answer = event_source(server, "model=toy-echo&prompt=a+b+c", Last_Event_ID=last)
    assert answer.body.startswith(b"retry: 1000\n" + first)


def test_event_source_that_has_everything_is_told_to_stop(server: Server) -> None:
    assert event_source(server, "model=toy-echo&prompt=a+b+c", Last_Event_ID="4").status == 204


def test_events_drop_on_request_without_the_last_chunk_missing(server: Server) -> None:
    answer = event_source(server, "model=toy-echo&prompt=a+b+c&drop=2")
    assert answer.body.endswith(b"id: 2\ndata:  b\n\n") and answer.ended


def test_resumed_events_start_their_own_clock(dues: list[tuple[int, float]]) -> None:
    with running(ttft=2, tps=4) as server:
        event_source(server, "model=toy-echo&prompt=a+b+c+d", Last_Event_ID="2")
    assert dues[:2] == [(3, 0.25), (4, 0.5)]


def test_heartbeat_of_events_ends_without_a_blank_line() -> None:
    with running(heartbeat=0.3) as server:
        body = event_source(server, "model=toy-slow&max_tokens=1").body
        assert body.startswith(b": heartbeat\n") and b": heartbeat\n\n" not in body


def test_model_that_fails_ends_events_with_a_named_one(server: Server) -> None:
    blocks = event_source(server, "model=toy-flaky").blocks()
    assert blocks[-1].startswith(b"event: failure\n")


def test_faults_of_an_event_source(server: Server) -> None:
    cut = ask(server, "GET", "/events?prompt=a+b+c+d&model=toy-echo&fault=end&at=2", headers={"Connection": "close"})
    assert [block.split(b"data: ")[1] for block in cut.blocks()] == [b"a", b" b"]
    failed = ask(server, "GET", "/events?prompt=a+b+c+d&model=toy-echo&fault=error&at=2")
    assert failed.blocks()[-1].startswith(b"event: failure\nid: 3\n")


def test_fault_of_a_resumed_event_source_comes_after_new_events(server: Server) -> None:
    path = "/events?prompt=a+b+c+d+e+f&model=toy-echo&fault=end&at=2"
    answer = ask(server, "GET", path, headers={"Last-Event-ID": "3"})
    assert [block.split(b"data: ")[1] for block in answer.blocks()] == [b" d", b" e"]
