"""What the tests of the commands share: a program started as a user would."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from sse_ref.server import Server

ROOT = Path(__file__).parents[1]


ENVIRONMENT = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "error"}


def run(*arguments: str, module: str = "sse_ref.client", **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=30, **{"env": ENVIRONMENT, **options}
    )  # type: ignore[call-overload,no-any-return]


@contextlib.contextmanager
def started(*arguments: str, module: str = "sse_ref.server") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *(["-m", module] if module else []), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=ENVIRONMENT,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    match = re.search(r"http://[0-9a-z.:\[\]]+", process.stdout.readline())
    assert match
    return match[0]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
    return process.returncode, errors


def base(server: Server) -> str:
    return server.url + "/v1"
