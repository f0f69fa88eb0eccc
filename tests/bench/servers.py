"""How fast the server is beside uvicorn with sse-starlette, from the same model and dialect: ratios of one run.

Each server runs on one core and the load on another. Rounds visit both servers in turn; the table shows medians. Then what
only ours is asked for: a thousand paced streams, the memory of an open stream, and the time to start.

Run by ``make bench``; needs two cores and Linux (taskset, /proc).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from results import save

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OURS = ["-m", "sse_ref.server", "--quiet", "--port"]
PEER = [str(HERE / "starlette_server.py")]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(command: list[str], *options: str) -> Iterator[tuple[int, int]]:
    """Run a server on core 0; yields its port and process id."""
    port = free_port()
    process = subprocess.Popen(
        ["taskset", "-c", "0", sys.executable, *command, str(port), *options],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.05)
        time.sleep(0.3)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def load(port: int, **options: Any) -> dict[str, Any]:
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = ["taskset", "-c", "1", sys.executable, str(HERE / "load.py"), str(port), *arguments]
    result: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return result


def full_speed(rounds: int) -> list[tuple[str, str, float]]:
    ratios = []

    def row(name: str, pairs: list[list[float]], *, better: str) -> None:
        ours, peer = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = ours / peer if better == "more" else peer / ours
        ratios.append((f"server, {name}", "uvicorn with sse-starlette", ratio))
        print(f"{name:32}{ours:16.2f}{peer:16.2f}{ratio:8.2f}", flush=True)

    print(f"{'full speed':32}{'sse_ref':>16}{'sse-starlette':>16}{'ratio':>8}")
    with serving(OURS, "--tps=0", "--ttft=0") as (ours, _), serving(PEER) as (peer, _):
        for port in (ours, peer):
            for _ in range(3):  # warm up
                load(port, one_by_one=50)
                load(port, streams=1, tokens=20_000)
        firsts = [[load(port, one_by_one=200)["first_token_p50_ms"] for port in (ours, peer)] for _ in range(rounds)]
        row("1 stream, first token, ms", firsts, better="less")
        for streams, tokens in ((1, 20_000), (64, 1000), (256, 250)):
            results = [[load(port, streams=streams, tokens=tokens) for port in (ours, peer)] for _ in range(rounds)]
            assert not any(result["unfinished"] for pair in results for result in pair)
            rates = [[result["events"] / result["seconds"] / 1000 for result in pair] for pair in results]
            row(f"{streams} stream{'s' if streams > 1 else ''}, 1,000 events/s", rates, better="more")
            if streams > 1:
                firsts = [[result["first_token_p50_ms"] for result in pair] for pair in results]
                row(f"{streams} streams, first token, ms", firsts, better="less")
    return ratios


def paced() -> str:
    with serving(OURS, "--tps=20", "--ttft=0.5") as (port, _):
        result = load(port, streams=1000, tokens=200, tps=20)
    return (
        f"A thousand streams at 20 tokens a second: {1000 - result['unfinished']} held to the end; late by "
        f"{result['lateness_p50_ms']:.1f} ms (median), {result['lateness_p99_ms']:.1f} ms (99 of 100 events)."
    )


def memory() -> str:
    with serving(OURS, "--tps=0.01", "--ttft=60") as (port, pid):
        load(port, one_by_one=0, streams=1, tokens=1, hold=0.1)
        before = resident(pid)
        command = [sys.executable, str(HERE / "load.py"), str(port), "--streams=1000", "--tokens=100", "--hold=20"]
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert holder.stdout
        holder.stdout.readline()
        time.sleep(3)
        per_stream = (resident(pid) - before) / 1000
        holder.terminate()
        holder.wait()
    return f"An open stream takes {per_stream:.0f} KiB of memory, the server before it {before / 1024:.0f} MiB."


def resident(pid: int) -> int:
    """KiB of memory that a process has in use."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def start() -> str:
    times = []
    for _ in range(9):
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, *OURS, "0"], cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()
        times.append(time.perf_counter() - began)
        process.terminate()
        process.communicate()
    return f"From the command to the server's first line: {1000 * statistics.median(times):.0f} ms."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--save", action="store_true", help="keep the figures for the README")
    options = parser.parse_args()
    ratios = full_speed(options.rounds)
    figures = []
    for measure in (paced, memory, start):
        figures.append(measure())
        print(figures[-1], flush=True)
    if options.save:
        save("server", ratios, figures)


if __name__ == "__main__":
    main()
