"""Heartbeats, clients that disconnect, clients that do not read, work that nobody wants."""

from __future__ import annotations

import _thread
import contextlib
import itertools
import json
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from raw import JSON, STORY, Wire, alive, ask, chat, chat_request, request, wait_for

from sse_ref import model, pieces
from sse_ref.server import Server, Settings, connection, listener, loop, running
from sse_ref.server.loop import RESTING

MANY_TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"properties": {f"p{i}": {} for i in range(500)}}}}
    for name in ("a", "b")
]


def test_silence_is_filled_with_comments_before_and_between_tokens() -> None:
    with running(heartbeat=0.5) as server:  # how many there are is tested in virtual time: a busy machine sends fewer
        answer = chat(server, model="toy-slow", messages=STORY, max_tokens=3)
        blocks = answer.blocks()
        assert blocks[0] == b": heartbeat"
        assert answer.finish() == [(0, "length")]
    with running(heartbeat=0.1, tps=1) as server:
        assert b": heartbeat" in chat(server, "a b").blocks()[2:-2]
    with running(heartbeat=0, tps=6) as server:
        assert not any(block.startswith(b":") for block in chat(server, "a b").blocks())


def test_slow_model_is_silent_for_several_heartbeats() -> None:
    with running(heartbeat=0.05) as server:
        began = time.monotonic()
        chat(server, model="toy-slow", stream=False, messages=STORY)
        assert time.monotonic() - began >= model.SILENCES * 0.05


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("reset", [True, False])
def test_client_that_leaves_in_silence_is_noticed_at_once(stream: bool, reset: bool) -> None:
    with running(ttft=3600, heartbeat=0) as server:
        wire = Wire(server)
        wire.send(chat_request(stream=stream))
        assert wait_for(lambda: server.journal and server.journal[-1]["model"])
        if reset:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wire.socket.close()
        assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")
        assert server.journal[-1]["left_at_token"] == 0


def test_client_that_leaves_is_noticed_before_the_next_token() -> None:
    with running(tps=0.1) as server:
        wire = Wire(server)
        wire.send(chat_request("tick " * 100))
        wire.until(b'"tick"')
        wire.socket.close()
        assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")
        assert server.journal[-1]["left_at_token"] == server.journal[-1]["tokens"] == 1


def test_generation_stops_when_the_client_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def counted(prompt: pieces.Prompt, choice: int) -> Any:
        for token in model._echo(prompt, choice):
            made.append(token)
            yield token

    monkeypatch.setitem(model.MODELS, "toy-echo", counted)
    with running(tps=20) as server:
        wire = Wire(server)
        wire.send(chat_request("tick " * 500))
        wire.until(b'" tick"')
        wire.socket.close()
        assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")
        count = len(made)
        time.sleep(0.1)
        assert len(made) == count < 100


def test_event_source_that_leaves_at_once_is_noted() -> None:
    with running(ttft=5) as server:
        for _ in range(20):
            wire = Wire(server)
            wire.send(request("GET", "/events"))
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            wire.socket.close()
        assert wait_for(lambda: all(record["outcome"] == "client_left" for record in server.journal))


def test_client_that_sent_much_ahead_is_still_seen_to_leave() -> None:
    with running(ttft=30) as server:
        wire = Wire(server)
        wire.send(chat_request() + b" " * 300_000)
        assert wait_for(lambda: server.journal and server.journal[-1]["model"])
        wire.socket.close()
        assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")


def test_a_pace_of_months_does_not_kill_the_loop() -> None:
    with running(ttft=3e6, idle_timeout=3e6) as server, Wire(server) as wire:
        wire.send(chat_request(stream=False))
        assert wait_for(lambda: server.journal and server.journal[-1]["model"])
        assert ask(server, "GET", "/v1/models").status == 200


def test_finished_connections_leave_no_timers(server: Server) -> None:
    for _ in range(400):
        with Wire(server) as wire:
            wire.send(request("GET", "/v1/models/toy"))
            wire.answer()
    assert server.loop.timers.count < 150


@pytest.mark.parametrize(
    "fields",
    [
        {"stop": "a" * 30_000 + "b"},
        {"n": 128},
        {"tools": [{"type": "function", "function": {"name": f"f{i}"}} for i in range(200)]},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "x",
                    "schema": {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/a"}}},
                },
            },
            "model": "toy",
        },
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "object", "minProperties": 2 * 10**7}},
            },
            "model": "toy",
        },
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "string", "pattern": "\\ud800"}},
            },
            "model": "toy",
        },
        {"n": 128, "messages": [{"role": "user", "content": "a b"}], "tools": MANY_TOOLS, "tool_choice": "required"},
        {"metadata": [[]] * 110_000},
    ],
    ids=lambda fields: str(fields)[:30],
)
def test_request_for_endless_work_is_refused(server: Server, fields: dict[str, Any]) -> None:
    answer = chat(server, "x " + "a" * 60_000, **fields)
    assert answer.status == 400 and answer.json()["error"]["message"]


def test_whole_answer_with_very_many_probabilities_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_LOGPROBS", 10)
    for stream, words in ((True, 20), (False, 10)):
        assert chat(server, "word" + " word" * (words - 1), stream=stream, logprobs=True).status == 200
    answer = chat(server, "word " * 11, stream=False, logprobs=True)
    assert (answer.status, answer.json()["error"]["param"]) == (400, "logprobs")


def test_work_for_a_whole_answer_ends_when_the_client_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    made = itertools.count()

    def endless(prompt: Any, choice: int) -> Iterator[pieces.TokenLogprob]:
        while next(made) < 10**7:
            yield pieces.TokenLogprob(b" word", 0.0)

    monkeypatch.setitem(model.MODELS, "endless", endless)
    with running() as server:
        with Wire(server) as wire:
            wire.send(chat_request(model="endless", stream=False))
            assert wait_for(lambda: next(made) > 2000)
        assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")
        assert next(made) < 10**7


def test_half_close_counts_as_leaving() -> None:
    with running(tps=20) as server, Wire(server) as wire:
        wire.send(chat_request("tick " * 100))
        wire.until(b'"tick"')
        wire.socket.shutdown(socket.SHUT_WR)
        assert b"[DONE]" not in wire.rest()
        assert server.journal[-1]["outcome"] == "client_left"


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_a_thousand_clients_that_leave_leave_nothing_behind() -> None:
    with running(tps=100) as server:
        chat(server, "warm up")
        threads, files = _thread._count() + RESTING, open_files()
        for number in range(1000):
            wire = Wire(server)
            if number % 3:
                wire.send(chat_request("tick " * 50))
            if number % 3 == 1:
                wire.until(b"tick")
            wire.socket.close()
        assert wait_for(lambda: _thread._count() <= threads and open_files() <= files)
        assert wait_for(lambda: all(record["outcome"] != "open" for record in server.journal))
        assert wait_for(lambda: not server.loop.entries)
        assert alive(server)


def test_reader_that_does_not_read_is_dropped_and_others_go_on() -> None:
    with running(stall_timeout=0.3) as server, Wire(server) as lazy:
        lazy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.send(chat_request("tick " * 100_000))
        assert wait_for(
            lambda: server.loop.entries and any(entry.unsent for entry in list(server.loop.entries.values()))
        )
        stuck = server.journal[-1]["bytes"]
        assert alive(server)
        assert server.journal[0]["bytes"] == stuck < 20_000_000  # nothing is made for a reader that does not read
        assert wait_for(lambda: server.journal[0]["outcome"] == "dropped")
        assert alive(server)


def test_settings_of_a_server_that_never_ran_leak_nothing() -> None:
    server = Server(Settings())
    assert server.journal == []
    server.server_close()


def test_slow_reader_gets_everything() -> None:
    with running(stall_timeout=5) as server, Wire(server) as slow:
        slow.send(chat_request("tick " * 20_000))
        assert wait_for(lambda: any(entry.unsent for entry in list(server.loop.entries.values())))
        assert slow.answer().text() == "tick " * 20_000


def test_more_clients_at_once_than_threads_are_all_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MAX_THREADS", 3)
    monkeypatch.setattr(loop, "PATIENCE", 0.0)  # whoever waits for its client is cut off: none does
    with running() as server, contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(server)) for _ in range(60)]
        for wire in wires:
            wire.send(chat_request())
        assert [wire.answer().text() for wire in wires] == ["one two three"] * 60


def test_body_that_comes_a_moment_after_its_head_is_waited_for_although_threads_are_scarce(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "MAX_THREADS", 3)
    monkeypatch.setattr(loop, "PATIENCE", 3600.0)
    head, blank, body = chat_request().partition(b"\r\n\r\n")
    with running() as server, contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(server)) for _ in range(12)]
        for wire in wires:
            wire.send(head + blank)
        assert wait_for(lambda: len(server.loop.serving) == 3 and server.loop.waiting)
        for wire in wires:
            wire.send(body)
        assert [wire.answer().text() for wire in wires] == ["one two three"] * 12


def test_body_that_does_not_come_makes_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MAX_THREADS", 2)
    monkeypatch.setattr(loop, "PATIENCE", 0.2)
    head, blank, _ = chat_request().partition(b"\r\n\r\n")
    with running(request_timeout=3600) as server, Wire(server) as one, Wire(server) as other:
        one.send(head + blank)
        other.send(head + blank)
        assert wait_for(lambda: len(server.loop.serving) == 2)
        assert alive(server)


def test_slot_of_a_stream_that_was_read_to_its_end_is_free_for_the_next() -> None:
    with running(max_streams=1) as server, Wire(server) as wire:
        for _ in range(200):
            wire.send(chat_request("one"))
            assert wire.answer().status == 200


def test_slot_is_free_before_an_event_source_is_told_that_it_has_all(monkeypatch: pytest.MonkeyPatch) -> None:
    held, send = [], connection.Connection.send
    monkeypatch.setattr(
        connection.Connection, "send", lambda self, data: (held.append(self.has_slot), send(self, data))[1]
    )
    with running() as server:
        asked = ask(server, "GET", "/events?prompt=a&max_tokens=2", headers={"Last-Event-ID": "99"})
        assert asked.status == 204 and held == [False]


def test_reader_that_stalls_in_the_first_events_is_dropped() -> None:
    body = json.dumps({"model": "toy", "input": "Hi", "stream": True, "instructions": "x" * 800_000}).encode()
    with running(stall_timeout=0.5) as server, Wire(server) as wire:
        wire.send(request("POST", "/v1/responses", body, JSON))
        assert wait_for(lambda: server.journal and server.journal[-1]["outcome"] == "dropped")


def test_first_events_are_sent_for_as_long_as_the_client_reads(server: Server) -> None:
    """The stall time counts from one part to the next, and not for all of them."""
    taken: list[tuple[float | None, bytes]] = []

    class Slow(socket.socket):
        def send(self, data: Any, flags: int = 0) -> int:
            taken.append((self.gettimeout(), bytes(data[:7])))
            return min(7, len(data))

    with Slow() as sock:
        connection.Connection(sock, ("127.0.0.1", 1), server.shared).send(b"x" * 70)
    stall = server.settings.stall_timeout
    assert taken == [(0.0, b"x" * 7), *[(stall, b"x" * 7)] * 9]


def test_nothing_is_open_or_answered_once_the_server_has_ended() -> None:
    asked = chat_request()
    with running() as server:
        wire = Wire(server)
        wire.send(asked[:-5])
        assert wait_for(lambda: server.loop.serving)
    with wire:
        assert wire.rest() == b""
        assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")


def test_reset_in_a_body_is_a_client_that_left(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(chat_request()[:-5])
        assert wait_for(lambda: server.loop.serving)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert wait_for(lambda: server.journal[-1]["outcome"] == "client_left")


def test_fifty_streams_do_not_mix(server: Server) -> None:
    def one(number: int) -> tuple[str, set[str]]:
        answer = chat(server, f"stream {number} " * 20)
        return answer.text(), {chunk["id"] for chunk in answer.parsed()}

    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(one, range(50)))
    assert [text for text, _ in results] == [f"stream {number} " * 20 for number in range(50)]
    assert all(len(ids) == 1 for _, ids in results)
    assert len(set().union(*(ids for _, ids in results))) == 50


class Late(connection.Connection):
    """Its thread is held up when it has sent the head of a stream and what travels with it."""

    def begin(self, *arguments: Any) -> None:
        super().begin(*arguments)
        time.sleep(0.3)


def test_stream_is_noted_although_its_thread_is_slow_to_hand_it_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "Connection", Late)
    with running() as server, Wire(server) as wire:
        wire.send(chat_request("hi"))
        assert wire.until(b"0\r\n\r\n")
        assert server.journal[-1]["outcome"] == "complete"
