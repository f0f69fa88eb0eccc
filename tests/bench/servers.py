"""How fast the server is beside others that serve the same model and dialects: ratios of one run, and what it holds.

Each server runs on one core and the load on another. Rounds visit all servers in turn; what is told is the median, with the
quarters around it. First at full speed: tokens a second, and the time to the first token. Then how late the tokens of paced
streams are, the more of them there are. At last the memory of an open stream, and the time to start. A server that leaves
out a token ends the run.

Two mocks of models are there for orientation: ``aimock`` and ``llmock`` speak the OpenAI wire and say a text that they are
given, ``aimock`` all at once.

Needs two cores and Linux (taskset, /proc).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from apps import APPS
from environments import NODE
from load import TOKEN
from ports import free_port, wait_until_served
from results import TOO_LATE, TPS, in_turn, keep, spread

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OURS = "sse_ref"
MOCKS = ("aimock", "llmock")
STREAMS = {1: 20_000, 64: 1000, 256: 250}  # and the tokens of each
FEW = 5  # tokens, where only the first is looked at
PACED = ("uvicorn, sse-starlette", "uvicorn, bare ASGI")  # that are held against ours
FOLDER = tempfile.TemporaryDirectory()  # it goes when the process ends


def command_of(name: str, port: int, options: tuple[str, ...]) -> list[str]:
    if name == OURS:
        return [sys.executable, "-m", "sse_ref.server", "--quiet", "--port", str(port), *options]
    if name == "aimock":
        return [str(NODE / "node_modules" / ".bin" / "llmock"), "--port", str(port), "--fixtures", fixture(options)]
    if name == "llmock":
        program = str(Path(sys.executable).with_name("llmock"))
        return [program, "serve", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    return [sys.executable, str(HERE / "apps.py"), name, str(port), *options]


def fixture(counts: Iterable[str]) -> str:
    """A file that lets aimock answer with as many tokens as the prompt has: one of these counts."""
    texts = [
        TOKEN * count for count in sorted(map(int, counts), reverse=True)
    ]  # a longer prompt holds all shorter ones
    fixtures = [
        {"match": {"endpoint": "chat", "userMessage": text}, "response": {"content": text}, "chunkSize": len(TOKEN)}
        for text in texts
    ]
    path = Path(FOLDER.name) / "aimock.json"
    path.write_text(json.dumps({"fixtures": fixtures}))
    return str(path)


@contextlib.contextmanager
def serving(name: str, *options: str) -> Iterator[tuple[int, int]]:
    """Run a server on core 0; yields its port and process id. Raises ``TimeoutError`` with its last words if it does not start."""
    port = free_port()
    with tempfile.TemporaryFile() as words:
        quiet = {"stdout": words, "stderr": words}
        command = ["taskset", "-c", "0", *command_of(name, port, options)]
        process = subprocess.Popen(command, cwd=ROOT, **quiet)  # type: ignore[call-overload]
        try:
            try:
                wait_until_served(port, process)
            except TimeoutError as error:
                words.seek(0)
                raise TimeoutError(f"{name}: {error}\n{words.read().decode(errors='replace')}") from None
            time.sleep(0.3)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait()


def load(port: int, **options: Any) -> dict[str, Any]:
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = ["taskset", "-c", "1", sys.executable, str(HERE / "load.py"), str(port), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def answer_with(port: int, tokens: int) -> None:
    """Let llmock answer with so many tokens from now on."""
    reply = json.dumps({"behaviors": [{"type": "reply", "text": TOKEN * tokens, "times": None}]}).encode()
    for method, body in (("DELETE", None), ("POST", reply)):
        call = urllib.request.Request(f"http://127.0.0.1:{port}/_llmock/scenario", body, method=method)
        urllib.request.urlopen(call, timeout=30).close()


# ---- Full speed ------------------------------------------------------------------------------------------------------


def full_speed(wire: str, peers: list[str], rounds: int, size: float) -> dict[str, Any]:
    """For each number of streams and each server: tokens a second, and the first token, as ratios to ours."""
    names = [OURS, *(name for name in peers if name in APPS or wire == "openai")]
    counts = {streams: max(10, int(tokens * size)) for streams, tokens in STREAMS.items()}
    options = {OURS: ("--tps=0", "--ttft=0"), "aimock": tuple(map(str, [*counts.values(), FEW]))}
    found: dict[str, Any] = {}

    def ask(name: str, tokens: int, **more: Any) -> dict[str, Any]:
        if name == "llmock":
            answer_with(ports[name], tokens)
        return load(ports[name], wire=wire, tokens=tokens, **more)

    with contextlib.ExitStack() as stack:
        ports = {}
        for name in names:
            ports[name], _ = stack.enter_context(serving(name, *options.get(name, ())))
            ask(name, counts[1], streams=1)  # warm up
        for streams, tokens in counts.items():
            rates: dict[str, list[float]] = {name: [] for name in names}  # for each round; nan for what did not end
            firsts: dict[str, list[float]] = {name: [] for name in names}
            for turn in range(rounds):
                for name in in_turn(names, turn):
                    result = ask(name, tokens, streams=streams)
                    rates[name].append(math.nan if result["unfinished"] else result["tokens"] / result["seconds"])
                    if streams > 1:
                        firsts[name].append(result["first_token_p50_ms"] or math.nan)
            if streams == 1:  # all within a few seconds, as a shared machine changes its speed
                for turn in range(3 * rounds):
                    for name in in_turn(names, turn):
                        result = ask(name, FEW, one_by_one=max(5, int(100 * size)))
                        firsts[name].append(result["first_token_p50_ms"])
            found[str(streams)] = against_ours(rates, firsts)
            print(wire, streams, json.dumps(found[str(streams)]), flush=True)
    return found


def against_ours(rates: dict[str, list[float]], firsts: dict[str, list[float]]) -> dict[str, Any]:
    """How many times the tokens a second ours gives, and how many times as long the first token takes elsewhere.

    Each is compared with ours of the same round: from one minute to the next a shared machine is faster or slower. None for
    what did not end in every round.
    """

    def ratios(above: list[float], below: list[float]) -> list[float] | None:
        found = [one / other for one, other in zip(above, below, strict=True)]
        return None if any(map(math.isnan, found)) else spread(found)

    rate, first = statistics.median(rates[OURS]), statistics.median(firsts[OURS])
    return {
        name: {"rate": ratios(rates[OURS], rates[name]), "first": ratios(firsts[name], firsts[OURS])} for name in rates
    } | {"ours": {"tokens per second": round(rate), "first token, ms": round(first, 2)}}


# ---- Paced -----------------------------------------------------------------------------------------------------------


def paced(names: list[str], counts: list[int], rounds: int, seconds: int) -> dict[str, dict[int, list[float] | None]]:
    """For each server and number of streams: how late 99 of 100 tokens are at most, in milliseconds; None if not held."""
    found: dict[str, dict[int, list[float]]] = {name: {} for name in names}
    most = dict.fromkeys(names, max(counts))  # streams that are tried
    for turn in range(rounds):
        for streams in counts:
            for name in in_turn([name for name in names if streams <= most[name]], turn):
                options = (f"--tps={TPS}", "--ttft=4", "--max-streams=4096") if name == OURS else (str(TPS),)
                with serving(name, *options) as (port, _):
                    result = load(port, streams=streams, tokens=TPS * seconds, tps=TPS, limit=20 + 4 * seconds)
                print(name, streams, json.dumps(result), flush=True)
                late = math.inf if result["unfinished"] else result["lateness_p99_ms"]
                found[name].setdefault(streams, []).append(late)
                if late > TOO_LATE:
                    most[name] = streams
    return {
        name: {streams: None if math.inf in late else spread(late) for streams, late in line.items()}
        for name, line in found.items()
    }


def memory() -> str:
    with serving(OURS, "--tps=0.01", "--ttft=60") as (port, pid):
        load(port, streams=1, tokens=1, hold=0.1)
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
        process = subprocess.Popen(command_of(OURS, 0, ()), cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()
        times.append(time.perf_counter() - began)
        process.terminate()
        process.communicate()
    return f"From the command to the server's first line: {1000 * statistics.median(times):.0f} ms."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[*APPS, *MOCKS], metavar="PEER", help="beside ours")
    parser.add_argument("--size", type=float, default=1.0, help="of the answers")
    parser.add_argument(
        "--paced", type=int, nargs="*", default=[100, 250, 500, 750, 1000, 1250, 1500], metavar="STREAMS"
    )
    parser.add_argument("--seconds", type=int, default=5, help="of each paced run")
    parser.add_argument("--save", action="store_true", help="keep what was found for the README")
    options = parser.parse_args()
    found = {
        "full speed": {
            wire: full_speed(wire, options.only, options.rounds, options.size) for wire in ("openai", "anthropic")
        },
        "paced": paced(
            [OURS, *(name for name in PACED if name in options.only)], options.paced, options.rounds, options.seconds
        ),
        "figures": [memory(), start()],
    }
    print("\n".join(found["figures"]))
    if options.save:
        keep("servers", found)


if __name__ == "__main__":
    main()
