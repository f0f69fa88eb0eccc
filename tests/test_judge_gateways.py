"""The judge of gateways: every fault is caught, every vector catches something, a correct stranger is not failed."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from broken.gateway import FAULTS, serving

from sse_ref.conformance import gateways, hostile
from sse_ref.conformance.corpus import load
from sse_ref.conformance.verdicts import Result, UsageError

ROOT = Path(__file__).parents[1]
VECTORS = {vector.id: vector for vector in load("gateway")}


def run(fault: str, ids: list[str]) -> list[Result]:
    with gateways.Upstream(0, "m") as upstream, serving(int(upstream.url.rpartition(":")[2]), fault) as behind:
        gateway = gateways.Gateway(behind.url, "m", upstream, timeout=5.0)
        return [gateways.judge(VECTORS[id], gateway) for id in ids]


@pytest.mark.once
def test_correct_gateway_passes_everything() -> None:
    assert not [(r.vector.id, r.verdict, r.reason) for r in run("", list(VECTORS)) if r.verdict != "pass"]


@pytest.mark.once
def test_every_fault_is_caught_and_no_vector_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "HOLD_SECONDS", 3.0)
    judged = {id for ids in FAULTS.values() for id in ids.split()}
    assert judged == {vector.id for vector in VECTORS.values() if vector.level != "may"}
    with ThreadPoolExecutor(8) as pool:
        found = list(zip(FAULTS, pool.map(lambda fault: run(fault, FAULTS[fault].split()), FAULTS), strict=True))
    assert not [(fault, r.vector.id, r.verdict, r.reason) for fault, rs in found for r in rs if r.verdict != "fail"]


@pytest.mark.once
def test_gateway_that_asks_somebody_else_is_told_so() -> None:
    with gateways.Upstream(0, "m") as upstream, serving(1, "") as behind:
        gateway = gateways.Gateway(behind.url, "m", upstream, timeout=0.2)
        with pytest.raises(UsageError, match="is it told to ask"):
            gateway.await_start()


@pytest.mark.once
def test_failure_shows_all_three_sides() -> None:
    (result,) = run("seed-lost", ["request/seed"])
    assert result.reason == "seed is null, not 7"
    assert set(result.shown) == {"request", "upstream", "response"} and "POST /v1/chat" in result.shown["upstream"][0]


@pytest.mark.once
def test_command_judges_a_gateway() -> None:
    with gateways.Upstream(0, "m") as upstream:
        port = upstream.url.rpartition(":")[2]
    with serving(int(port), "usage-lost") as behind:
        words = ["gateway", behind.url, "--model", "m", "--upstream-port", port, "pass/usage", "pass/done"]
        command = [sys.executable, "-m", "sse_ref.conformance", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "must   1 pass, 1 fail" in done.stdout, done.stdout + done.stderr
    assert f"the upstream is http://127.0.0.1:{port}/v1" in done.stderr
