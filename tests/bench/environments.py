"""The environments of ``make bench``: ``make`` runs this file to install them, the newest version of each package.

Decoders are timed on every CPython that is here, so each has an environment; servers and clients on the first of them.
With ``QUICK`` set there is only the first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pythons import interpreters

ENVIRONMENT = Path(__file__).parents[2] / ".bench-env"
NODE = ENVIRONMENT / "node"

DECODERS = [
    "aiohttp-sse-client2",
    "anthropic",
    "httpx",
    "httpx-sse",
    "httpx2",
    "launchdarkly-eventsource",
    "mistralai",
    "openai",
    "requests",
    "requests-sse",
    "sseclient-py",
]
SERVERS = ["aiohttp", "flask", "gunicorn", "llmock", "sse-starlette", "starlette", "uvicorn[standard]"]
NODE_PACKAGES = ["@copilotkit/aimock", "eventsource-parser", "openai"]


def python(number: int = 0) -> str:
    """The interpreter of one of the environments."""
    return str(ENVIRONMENT / str(number) / "bin" / "python")


def count() -> int:
    return len(list(ENVIRONMENT.glob("[0-9]*")))


def install(number: int, interpreter: str) -> None:
    subprocess.run([interpreter, "-m", "venv", ENVIRONMENT / str(number)], check=True)
    packages = [*DECODERS, *([] if number else SERVERS)]
    pip = [python(number), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, *packages], check=True)


def main() -> None:
    if ENVIRONMENT.exists():
        shutil.rmtree(ENVIRONMENT)
    by_minor: dict[str, str] = {}
    for number, path in interpreters().items():
        by_minor.setdefault(number.rpartition(".")[0], path)
    here = list(by_minor.values())[: 1 if os.environ.get("QUICK") else None]
    npm = ["npm", "install", "--prefix", NODE, "--loglevel=error", "--no-audit", "--no-fund", *NODE_PACKAGES]
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(install, number, interpreter) for number, interpreter in enumerate(here)]
        jobs.append(pool.submit(subprocess.run, npm, check=True))
        for job in jobs:
            job.result()


if __name__ == "__main__":
    main()
