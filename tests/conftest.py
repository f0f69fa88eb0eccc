"""What several test modules share: a server that answers at full speed, and Ctrl-C as a terminal would send it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from sse_ref.server import Server, running

# What is started in the background has Ctrl-C ignored, and hands that on to what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_is_printed(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test may leave a traceback on standard error, whatever thread it came from."""
    capture = request.getfixturevalue("capfd")
    yield
    assert "Traceback" not in capture.readouterr().err
