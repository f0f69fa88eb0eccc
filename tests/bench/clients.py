"""How fast clients are, ours and published ones, reading the same streams: ratios of one run.

Each runs in a process of its own, on another core than the server; rounds visit all of them in turn. What is told: pieces of
text a second, from a server that sends as fast as it is read; and the time that a piece takes from the server to whoever
reads the text, when one comes each millisecond. A client is made before its clock starts; the request is not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from client import CLIENTS, OURS
from ports import free_port, wait_until_served
from results import in_turn, keep, spread

HERE = Path(__file__).parent


def run(name: str, port: int, kind: str, count: int) -> dict[str, Any]:
    client = ["taskset", "-c", "1", sys.executable, str(HERE / "client.py"), name, f"http://127.0.0.1:{port}"]
    done = subprocess.run([*client, kind, str(count)], stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["pieces"] == count, name
    return result


def against_ours(found: dict[str, list[float]], name: str) -> list[float]:
    """How many times as much as ours, in the same round."""
    return spread([value / ours for value, ours in zip(found[name], found[OURS], strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pieces", type=int, default=20_000)
    parser.add_argument("--save", action="store_true", help="keep what was found for the README")
    options = parser.parse_args()
    port = free_port()
    feeder = subprocess.Popen(["taskset", "-c", "0", sys.executable, str(HERE / "feeder.py"), str(port)])
    try:
        wait_until_served(port, feeder)
        seconds: dict[str, list[float]] = {name: [] for name in CLIENTS}
        delays: dict[str, list[float]] = {name: [] for name in CLIENTS}
        run(OURS, port, "full", options.pieces)  # the feeder makes its events
        for turn in range(options.rounds):
            for name in in_turn(CLIENTS, turn):
                seconds[name].append(run(name, port, "full", options.pieces)["seconds"])
                delays[name].append(statistics.median(run(name, port, "paced", options.pieces // 20)["delays"]))
    finally:
        feeder.terminate()
        feeder.wait()
    found = {name: {"time": against_ours(seconds, name), "delay": against_ours(delays, name)} for name in CLIENTS}
    fastest, soonest = statistics.median(seconds[OURS]), statistics.median(delays[OURS])
    ours = {"pieces per second": round(options.pieces / fastest), "delay, microseconds": round(soonest)}
    print(json.dumps(found), json.dumps(ours))
    if options.save:
        keep("clients", {"ratios": found, "ours": ours})


if __name__ == "__main__":
    main()
