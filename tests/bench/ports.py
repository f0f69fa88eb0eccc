"""A port for a server, and a wait until something answers at it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_until_served(port: int, process: subprocess.Popen[bytes], patience: float = 60.0) -> None:
    """Raises ``TimeoutError`` after so many seconds, or when the server has ended."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens at port {port}")
