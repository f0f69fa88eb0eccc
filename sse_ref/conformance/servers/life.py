"""The life of a connection: clients that disconnect, read slowly, send two requests at once.

In:   a ``Target``, and the request that its profile calls ``ask``.
Out:  the checks of ``life/``. What a server generates cannot be seen from outside: its journal tells (``--journal``).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import re
import select
import socket
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from sse_ref.conformance.servers.target import Failed, Skipped, Target, check, expect, told, whole
from sse_ref.conformance.wire import Exchange, RawConnection

__all__ = ["are_not_mixed_up"]  # each check is found in CHECKS, by the id of its vector


def journal_of(target: Target) -> list[dict[str, Any]]:
    if not target.journal:
        raise Skipped("what the server generates cannot be seen from outside (--journal URL)")
    key = {"Authorization": f"Bearer {target.key}"} if target.key else {}
    with urllib.request.urlopen(urllib.request.Request(target.journal, headers=key), timeout=10) as answer:
        return list(json.load(answer))


def await_end(target: Target, known: int, head: bytes) -> dict[str, Any]:
    """The journal's record of the stream with this head, once it has ended.

    It has the id of the request; in a journal without ids it is the last stream after the first ``known`` records.
    """
    named = re.search(rb"^(?:x-)?request-id:[ \t]*(\S+)", head, re.IGNORECASE | re.MULTILINE)
    id = named[1].decode("latin-1") if named else ""
    end = time.monotonic() + target.silence
    while True:
        journal = journal_of(target)
        has_ids = any("id" in record for record in journal)
        asked = [record for record in journal if record.get("id") == id] if has_ids else journal[known:]
        streams = [record for record in asked if record.get("stream")]
        if streams and streams[-1].get("outcome") not in (None, "open", "streaming"):
            return streams[-1]
        if time.monotonic() > end:
            raise Failed(f"the journal does not tell, after {target.silence:g} s, that it ended", expired=True)
        time.sleep(0.05)


@check("life/leave")
def life_leave(target: Target) -> None:
    known = len(journal_of(target))
    with target.connect() as connection:
        connection.send(target.ask("Tell me a long story about a lighthouse."))
        exchange = whole(connection.answer(stop_after=4))
        expect(exchange.status == 200, f"{told(exchange)}")
    record = await_end(target, known, exchange.head)
    expect(
        record.get("outcome") == "client_left",
        f"the journal says {record.get('outcome')!r} after {record.get('tokens')} tokens",
    )


@check("life/leave-in-silence")
def life_leave_in_silence(target: Target) -> None:
    target.require("slow")
    known = len(journal_of(target))
    with target.connect() as connection:
        connection.send(target.ask("Say one", role="slow", tokens=4))
        look = Exchange(began=time.monotonic())
        while b"\r\n\r\n" not in connection.buffer and connection.more(look):
            pass
        whole(look)
    record = await_end(target, known, connection.buffer)
    expect(record.get("outcome") == "client_left", f"the journal says {record.get('outcome')!r}")


def threads_and_files(pid: int) -> tuple[int, int] | None:
    """Threads and open files of a process; None on systems without /proc."""
    try:
        return len(os.listdir(f"/proc/{pid}/task")), len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None


@check("life/hundred-leave")
def life_hundred_leave(target: Target) -> None:
    before = threads_and_files(target.pid) if target.pid else None
    for first in range(0, 100, 10):
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(target.connect(before=first + number)) for number in range(10)]
            for number, connection in enumerate(connections, first):
                connection.send(target.ask(f"Tell me a long story, number {number}.", tokens=32))
            for connection in connections[1::2]:
                whole(connection.answer(stop_after=1))
    end = time.monotonic() + target.silence
    while before and (after := threads_and_files(target.pid or 0)) and time.monotonic() < end:
        if all(now <= then + 5 for now, then in zip(after, before, strict=True)):
            break
        time.sleep(0.1)
    else:
        if before:
            raise Failed(f"threads and files were {before}, and are {threads_and_files(target.pid or 0)}", expired=True)
    with target.connect(before=100) as connection:
        connection.send(target.ask("Say one", tokens=4))
        exchange = whole(connection.answer())
    expect(exchange.status == 200, f"after that {told(exchange)}")


@check("life/half-close")
def life_half_close(target: Target) -> None:
    with target.connect() as connection:
        connection.send(target.ask("Say one", tokens=4))
        with contextlib.suppress(OSError):
            connection.socket.shutdown(socket.SHUT_WR)
        exchange = connection.answer()
    if exchange.expired:
        raise Failed(f"neither an answer nor an end: {exchange.expired}", expired=True)


@check("life/slow-reader")
def life_slow_reader(target: Target) -> None:
    text = "word " * 20_000
    with target.connect(receive_buffer=4096) as slow:
        slow.send(target.ask(text, role="echo"))
        seen = 0
        with contextlib.suppress(OSError):  # it is not read: wait until the buffers between the two are full
            while (waiting := len(slow.socket.recv(65536, socket.MSG_PEEK))) > seen:
                seen = waiting
                time.sleep(0.1)
        with target.connect() as other:
            other.send(target.ask("Say one", tokens=4))
            exchange = other.answer()
    if exchange.expired and answers_in_turn(target):
        raise Skipped("the server answers one request after the other: that the second waits is its way")
    if exchange.expired:
        raise Failed(f"the other stream: {exchange.expired}", expired=True)
    expect(exchange.status == 200 and exchange.ended, f"the other stream: {exchange.problem or exchange.status}")


def answers_in_turn(target: Target) -> bool:
    """Whether of two streams asked for at once, one is over when the other begins."""
    with target.connect(before=2) as one, target.connect(before=2) as other:
        for connection in (one, other):
            connection.send(target.ask("Say hello", tokens=48))
        for connection in (one, other):
            if not select.select([connection.socket], [], [], target.silence)[0]:
                return False
        return has_come_whole(one) or has_come_whole(other)


def has_come_whole(connection: RawConnection) -> bool:
    """Whether all of a response has come by now, without waiting for more."""
    connection.socket.setblocking(False)
    closed = False
    with contextlib.suppress(OSError):
        while not closed:
            data = connection.socket.recv(65536)
            connection.buffer += data
            closed = not data
    return closed or connection.answer(seconds=0).ended


@check("life/pipelined")
def life_pipelined(target: Target) -> None:
    with target.connect() as connection:
        connection.send(target.ask("Say one", tokens=4) + target.ask("Say two", tokens=4))
        first = whole(connection.answer())
        expect(first.status == 200, f"the first answer: {first.problem or first.status}")
        second = connection.answer()
    if second.expired:
        raise Failed(f"the second answer: {second.expired}", expired=True)
    answered = second.status == 200
    expect(answered or second.closed, f"the second answer: {second.problem or second.status}")


def are_not_mixed_up(target: Target, text_of: Callable[[Exchange], str]) -> None:
    """Fifty requests are on their way before any answer is read, each gets its own answer, and none is short."""
    texts = [f"Say the number {number * 7919}{' and go on' * 10}" for number in range(50)]
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(target.connect(before=50)) for _ in texts]
        for connection, text in zip(connections, texts, strict=True):
            connection.send(target.ask(text, role="echo", tokens=48))
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            exchanges = [whole(exchange) for exchange in pool.map(RawConnection.answer, connections)]
    busy = [exchange for exchange in exchanges if exchange.status in (429, 529)]
    target.sent.update({f"busy-{number}": exchange for number, exchange in enumerate(busy)})
    expect(len(busy) < 50, "every stream was refused")
    answered = [(text, text_of(it)) for text, it in zip(texts, exchanges, strict=True) if it.status not in (429, 529)]
    target.require("echo")  # else no text tells its request
    for text, said in answered:
        expect(said and text.startswith(said), f"to {text[:30]!r} a stream answers {said[:60]!r}")
