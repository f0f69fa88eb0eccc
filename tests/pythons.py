"""Run the tests on every CPython from 3.11 that is installed here: on the PATH, or by pyenv.

    python3 tests/pythons.py FOLDER_WITH_PYTEST [pytest's arguments]

Says what begins, what has ended and how, and what is still running. Ends with the first failing part's exit status, after
all have run.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

OLDEST = (3, 11)
WORKERS = 12  # most tests wait, for sockets and for programs, so that many fit on two cores
PARTS = (
    ("judge_servers",),
    ("judge_clients",),
    ("page",),
    ("page_path", "page_lab"),
    ("examples", "exercises"),
    ("judge_decoders", "judge_reports", "judge_fuzz"),
    ("client_memory", "codec", "house", "judge_gateways"),
)
NO_TESTS = 5  # what pytest ends with when there were none
ASK = (
    "import sys; print(sys.implementation.name, *sys.version_info[:3], getattr(sys, '_is_gil_enabled', lambda: True)())"
)


def candidates() -> list[str]:
    names = ["python3", "python", *(f"python3.{minor}{kind}" for minor in range(OLDEST[1], 30) for kind in ("", "t"))]
    found = [path for name in names if (path := shutil.which(name))]
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    found += sorted(glob.glob(f"{pyenv}/versions/*/bin/python3"))
    found += sorted(glob.glob("/usr/bin/python3.[0-9]*") + glob.glob("/usr/local/bin/python3.[0-9]*"))
    return [sys.executable, *found]


def interpreters() -> dict[str, str]:
    """A path for each version, the one that runs this first."""
    chosen: dict[str, str] = {}
    for path in candidates():
        if path.endswith("-config"):
            continue
        answer = subprocess.run([path, "-c", ASK], capture_output=True, text=True)
        if answer.returncode or not answer.stdout.startswith("cpython"):
            continue
        _, major, minor, micro, locked = answer.stdout.split()
        if (int(major), int(minor)) >= OLDEST:
            version = f"{major}.{minor}.{micro}" + ("" if locked == "True" else " without the lock")
            chosen.setdefault(version, path)
    return chosen


def environment_with(folder: str) -> dict[str, str]:
    """The environment of a test: pytest from one folder and no plugin; what Python has compiled is kept, as it usually is."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**environment, "PYTHONPATH": os.path.abspath(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def main() -> int:
    folder, *arguments = sys.argv[1:]
    found = interpreters()
    # What depends on no interpreter, and takes long, is run once, by the first: in several parts, side by side.
    first = next(iter(found))
    parts = [[f"tests/test_{name}.py" for name in part] for part in PARTS]
    once = ["-m", "once and not slow"]
    jobs = [
        *((first, [*once, *part]) for part in parts),
        (first, [*once, *(f"--ignore={path}" for part in parts for path in part)]),
        *((version, ["-m", "not once and not slow"]) for version in found),
    ]

    began = time.monotonic()
    running: list[str] = []
    lock = threading.Lock()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", flush=True)

    def test(job: tuple[str, list[str]]) -> int:
        version, which = job
        name = f"CPython {version}: {' '.join(which)}"
        with lock:
            running.append(name)
            say(f"begins: {name}")
        command = [found[version], "-m", "pytest", *which, *arguments]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with lock:
            running.remove(name)
            say(f"{'done' if done.returncode in (0, NO_TESTS) else 'FAILED'}: {name}\n{done.stdout}")
            if running:
                say("still running: " + "; ".join(running))
        return done.returncode

    environment = environment_with(folder)
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        ended = list(pool.map(test, jobs))
    # A choice of tests on the command line may leave none in a part, but not in all of them.
    return next((status for status in ended if status not in (0, NO_TESTS)), 0 if 0 in ended else NO_TESTS)


if __name__ == "__main__":
    sys.exit(main())
