"""What several test modules share: a server that answers at full speed, a browser, and Ctrl-C as a terminal would send it."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from browser import Browser

from sse_ref.client.transport import HTTPCall
from sse_ref.server import Server, running
from sse_ref.server.loop import Stream, Write

# What is started in the background has Ctrl-C ignored, and hands that on to what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    opened = Browser()
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def nothing_is_printed(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test may leave a traceback on standard error, whatever thread it came from."""
    capture = request.getfixturevalue("capfd")
    yield
    assert "Traceback" not in capture.readouterr().err


@pytest.fixture
def dues(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """The tokens and the due time of each write that the server makes; none is waited for."""
    noted: list[tuple[int, float]] = []

    class Noted(Stream):
        def __init__(self, writes: Iterator[Write], **options: Any) -> None:
            made = list(writes)
            noted.extend((write.tokens, round(write.due, 6)) for write in made)
            super().__init__((dataclasses.replace(write, due=0) for write in made), **options)

    monkeypatch.setattr("sse_ref.server.delivery.Stream", Noted)
    return noted


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The client does not sleep; it notes how long it would have."""
    noted: list[float] = []
    monkeypatch.setattr(HTTPCall, "pause", lambda call, seconds: noted.append(seconds))
    return noted
