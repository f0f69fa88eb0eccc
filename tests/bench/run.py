"""All benchmarks, one after the other: ``make bench`` runs it. With ``QUICK`` set they are short, and nothing is kept.

The short ones show that every benchmark still runs and that every program gives what it should; their times say nothing.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from environments import count, python

HERE = Path(__file__).parent
QUICK = {
    "decoders.py": ["--rounds", "1", "--size", "0.02"],
    "servers.py": ["--rounds", "1", "--size", "0.02", "--paced", "20", "--seconds", "1"],
    "clients.py": ["--rounds", "1", "--pieces", "1000"],
}


def run(interpreter: str, script: str) -> None:
    print(f"{script}, {interpreter}", flush=True)
    options = QUICK[script] if os.environ.get("QUICK") else ["--save"]
    subprocess.run([interpreter, str(HERE / script), *options], check=True)


def main() -> None:
    for number in range(1 if os.environ.get("QUICK") else count()):
        run(python(number), "decoders.py")
    run(python(), "servers.py")
    run(python(), "clients.py")


if __name__ == "__main__":
    main()
