"""The judge of decoders: every fault is caught by the vector made for it, no vector is dead, nothing correct is failed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from broken.decoders import FAULTS, UNUSUAL, Decoder, Program

from sse_ref.conformance import decoders, programs, reference
from sse_ref.conformance.corpus import Vector, load
from sse_ref.conformance.decoders import FEATURES, judge
from sse_ref.conformance.verdicts import UsageError, count

VECTORS = {vector.id: vector for vector in load("decoder")}
SMALL = [
    v for v in VECTORS.values() if "linear" not in v.body and sum(map(len, decoders.splits_of(v)[0].chunks)) < 5000
]
FAILED_BY = json.loads((Path(__file__).parent / "broken" / "decoders.json").read_text())
ALL = {*FEATURES, "beside"}


class Reference:
    """Our own decoder, without a process."""

    stderr = ""
    default_retry = None

    def warm_up(self, probe: Mapping[str, Any]) -> None:
        """There is no process to start."""

    def ask(self, requests: Sequence[Mapping[str, Any]], timeout: float | None = None) -> list[dict[str, Any]]:
        return [{"id": request["id"], **json.loads(json.dumps(reference.decode(request)))} for request in requests]


def test_reference_passes_everything() -> None:
    results = [judge(vector, Reference(), ALL) for vector in VECTORS.values()]
    assert count(results)["pass"] == len(VECTORS), [r.reason for r in results if r.verdict != "pass"]


def test_there_are_enough_faults() -> None:
    assert len(FAULTS) >= 40


@pytest.mark.once
@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_caught_by_the_vector_made_for_it(name: str) -> None:
    decoder, id = FAULTS[name]
    result = judge(VECTORS[id], Program(decoder), ALL)
    assert result.verdict == "fail" and result.reason and VECTORS[id].level != "may"


@pytest.mark.once
def test_every_vector_names_a_fault() -> None:
    assert set(FAILED_BY) == {v.id for v in VECTORS.values() if v.level != "may" and "linear" not in v.body}


# A fault that was made for the vector is tried above.
OF_OTHERS = [VECTORS[id] for id, name in FAILED_BY.items() if FAULTS[name][1] != id]


@pytest.mark.once
@pytest.mark.parametrize("vector", OF_OTHERS, ids=lambda v: v.id)
def test_vector_is_failed_by_some_fault(vector: Vector) -> None:
    assert judge(vector, Program(FAULTS[FAILED_BY[vector.id]][0]), ALL).verdict == "fail"


@pytest.mark.once
@pytest.mark.parametrize("name", UNUSUAL)
def test_correct_but_unusual_decoder_is_not_failed(name: str) -> None:
    for vector in SMALL:
        result = judge(vector, UNUSUAL[name], ALL)
        chunkless = name in ("LeavesOutWhatItMay", "WritesNulls") and "chunk" in vector.needs
        assert result.verdict == ("skip" if chunkless else "pass"), (vector.id, result.reason)


@pytest.mark.once
@pytest.mark.parametrize("id", [id for id in VECTORS if id.startswith(("align/characters", "align/crlf"))])
def test_every_size_of_blocks_is_seen(id: str) -> None:
    """Whatever the size of a program's blocks, one of them ends inside a character, or between CR and LF."""
    (stream,) = decoders.splits_of(VECTORS[id])[0].chunks
    inside = {at for at in range(1, len(stream)) if 0x80 <= stream[at] < 0xC0 or stream[at - 1 : at + 1] == b"\r\n"}
    for size in range(16, 128 * 1024 + 1):
        assert any(end in inside for end in range(size, len(stream), size)), size


# ---- One fact a vector -----------------------------------------------------------------------------------------------


class BlockIds(Decoder):
    """The id of an event is that of its own block, as some libraries have it."""

    def dispatch(self) -> None:
        super().dispatch()
        self.id = ""


CARRIED = {vector.id for vector in VECTORS.values() if vector.body.get("carries")}


def test_ids_that_are_not_carried_over_are_charged_where_that_is_the_fact() -> None:
    failed = {vector.id for vector in SMALL if judge(vector, Program(BlockIds), ALL).verdict == "fail"}
    assert failed == CARRIED - {"id/only-block-dispatches-nothing"}
    declared = {judge(vector, Program(BlockIds), ALL | {"block-ids"}).verdict for vector in SMALL}
    assert declared == {"pass", "skip"}
    assert all(judge(VECTORS[id], Program(BlockIds), ALL | {"block-ids"}).verdict == "skip" for id in CARRIED)


def test_wrong_reconnection_time_is_charged_where_that_is_the_fact() -> None:
    wrong = Program(Decoder, lambda reply: {**reply, "retry": 7})
    failed = {vector.id for vector in SMALL if judge(vector, wrong, ALL).verdict == "fail"}
    assert failed and all(id.startswith("retry/") or "retry" in VECTORS[id].needs for id in failed)


@pytest.mark.parametrize("digits", [4301, 100_000])
def test_numbers_of_any_length_are_read(digits: int) -> None:
    line = b'{"id": "x", "events": [], "retry": %b}' % (b"9" * digits)
    assert programs._parsed(line)["retry"] == 10**4000


def test_null_for_a_huge_reconnection_time_may_be_an_infinite_number() -> None:
    infinite = Program(Decoder, lambda reply: {**reply, "retry": None})
    infinite.default_retry = 3000
    result = judge(VECTORS["retry/huge"], infinite, ALL)
    assert result.verdict == "fail" and "infinite number in JSON" in result.reason
    assert "infinite" not in judge(VECTORS["retry/basic"], infinite, ALL).reason


# ---- What the standard leaves open, and what a program may lack ------------------------------------------------------


class Always(Program):
    """Gives the same reply to everything."""

    def __init__(self, reply: dict[str, Any]) -> None:
        self.reply = reply

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"id": request["id"], **self.reply}


@pytest.mark.parametrize("id", [v.id for v in VECTORS.values() if v.level == "may"])
@pytest.mark.parametrize("retry", [0, 3000, None])
def test_may_vector_never_fails(id: str, retry: int | None) -> None:
    reply = {"events": [], "retry": retry, "last_event_id": ""}
    result = judge(VECTORS[id], Always(reply), ALL)
    assert result.verdict == "pass"


def test_missing_feature_is_a_skip() -> None:
    assert judge(VECTORS["id/basic"], Program(Decoder), ALL - {"id"}).verdict == "skip"
    assert judge(VECTORS["framing/all-four-fields"], Program(Decoder), ALL - {"retry"}).verdict == "skip"


def test_what_a_feature_tells_is_not_compared_without_it() -> None:
    broken = Program(FAULTS["TellsNoId"][0])
    assert judge(VECTORS["eol/lf"], broken, ALL).verdict == "fail"
    assert judge(VECTORS["eol/lf"], broken, ALL - {"id"}).verdict == "pass"


def test_reply_that_does_not_tell_what_is_judged_is_a_skip() -> None:
    silent = Program(Decoder, lambda reply: {"events": reply["events"]})
    assert judge(VECTORS["retry/basic"], silent, ALL).verdict == "skip"
    assert judge(VECTORS["framing/single-event"], silent, ALL).verdict == "pass"


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ({"skip": "no BOM support"}, "skip"),
        ({"error": "invalid UTF-8"}, "fail"),
        ({}, "error"),
        ({"events": 5}, "error"),
        ({"events": ["x"]}, "error"),
        ({"events": [{"data": 5}]}, "error"),
        ({"events": [{"data": "x", "id": 5}]}, "error"),
    ],
)
def test_odd_reply_has_a_verdict_of_its_own(reply: dict[str, Any], verdict: str) -> None:
    assert judge(VECTORS["framing/single-event"], Always(reply), ALL).verdict == verdict


def test_refusing_a_huge_event_is_no_silent_loss() -> None:
    refusing = Always({"error": "too large"})
    assert judge(VECTORS["size/line-1mib-never-lost-in-silence"], refusing, ALL).verdict == "pass"
    assert judge(VECTORS["size/line-1mib-plus-1"], refusing, ALL).verdict == "fail"


def test_reason_names_the_split_that_failed() -> None:
    result = judge(VECTORS["eol/crlf-empty-data-line-in-middle"], Program(FAULTS["ForgetsCrBetweenChunks"][0]), ALL)
    assert "byte by byte" in result.reason or "cut after byte" in result.reason
    assert len(result.input) > 1


# ---- Linear time -----------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only when a program says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Timed(Reference):
    def __init__(self, clock: Clock, cost: Any) -> None:
        self.clock, self.cost = clock, cost

    def ask(self, requests: Sequence[Mapping[str, Any]], timeout: float | None = None) -> list[dict[str, Any]]:
        replies = super().ask(requests)
        self.clock.now += self.cost(sum(len(chunk) // 2 for chunk in requests[0]["chunks"]))
        return replies


LINEAR = [vector for vector in VECTORS.values() if "linear" in vector.body]


@pytest.mark.once
@pytest.mark.parametrize("vector", LINEAR, ids=lambda v: v.id)
@pytest.mark.parametrize(
    ("cost", "verdict"),
    [
        (lambda n, large: 12.0 * (n / large) ** 2, "fail"),
        (lambda n, large: 12.0 * n / large, "pass"),
        (lambda n, large: 1.0 * (n / large) ** 2, "pass"),
    ],
    ids=["quadratic", "slow but linear", "quadratic but fast"],
)
def test_growth_decides_and_not_slowness(
    vector: Vector, cost: Any, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(decoders, "time", clock)
    large = sum(map(len, decoders.splits_of(vector, vector.body["linear"]["large"])[0].chunks))
    result = judge(vector, Timed(clock, lambda n: cost(n, large)), ALL)
    assert result.verdict == verdict, result.reason


@pytest.mark.once
@pytest.mark.parametrize(
    "times",
    [
        [9.0, *[0.2] * 4, 0.4, *[0.2] * 4],
        [9.0, *[0.2] * 4, 9.0, *[0.2] * 4, 2.1, *[0.3] * 4],
        [3.0, 0.1, 0.1, 0.7, 0.7],
    ],
    ids=["once", "twice", "what is short escapes a busy machine now and then"],
)
def test_slow_moments_are_not_growth(times: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(decoders, "time", clock)
    left = iter(times)
    result = judge(VECTORS["linear/many-events-in-one-chunk"], Timed(clock, lambda n: next(left)), ALL)
    assert result.verdict == "pass" and next(left, None) is None


# ---- Programs as they are --------------------------------------------------------------------------------------------

BROKEN = {
    "crashes": "import sys; sys.stdin.readline(); sys.exit(3)",
    "hangs": "import time; time.sleep(60)",
    "prints garbage": "import sys\nfor line in sys.stdin: print('hello', flush=True)",
    "floods": "import sys; sys.stdin.readline()\nwhile True: print('{}')",
    "closes its output": "import sys, os, time; os.close(1); time.sleep(60)",
    "answers another": 'import sys\nfor line in sys.stdin: print(\'{"id": "x", "events": []}\', flush=True)',
}
ECHO = """
import json, sys
{before}
for number, line in enumerate(sys.stdin):
    request = json.loads(line)
    if request["op"] == "hello":
        {hello}
        continue
    {each}
    print(json.dumps({{"id": request["id"], "events": [], "retry": None, "last_event_id": ""}}), flush=True)
"""


def program(code: str, *, persistent: bool = True, timeout: float = 20.0) -> programs.Program:
    return programs.Program([sys.executable, "-I", "-S", "-c", code], persistent=persistent, timeout=timeout)


@pytest.mark.once
@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("crashes", "exit status 3"),
        ("hangs", "timeout"),
        ("prints garbage", "not JSON"),
        ("floods", ""),
        ("closes its output", "closed its output"),
        ("answers another", "another request"),
    ],
)
def test_program_that_misbehaves_costs_only_its_vectors(kind: str, reason: str, persistent: bool) -> None:
    own = program(BROKEN[kind], persistent=persistent, timeout=0.5 if kind == "hangs" else 20.0)
    try:
        result = judge(VECTORS["framing/empty-stream"], own, ALL)
    finally:
        own.stop()
    assert result.verdict == "error" and reason in result.reason


def test_program_that_dies_in_the_middle_is_started_again() -> None:
    code = ECHO.format(before="", hello="", each="if 'bom' in request['id']: sys.exit('on purpose')")
    own = program(code)
    results = [
        judge(VECTORS[id], own, ALL) for id in ("framing/empty-stream", "bom/only-stream", "framing/blank-lines-only")
    ]
    own.stop()
    assert [result.verdict for result in results] == ["pass", "error", "pass"]
    assert "on purpose" in results[1].stderr


@pytest.mark.parametrize("persistent", [True, False])
def test_program_may_answer_one_line_and_end(persistent: bool) -> None:
    own = program(ECHO.format(before="", hello="", each="") + "    break\n", persistent=persistent)
    result = judge(VECTORS["framing/blank-lines-only"], own, ALL)
    own.stop()
    assert result.verdict == "pass"


@pytest.mark.once
@pytest.mark.parametrize("persistent", [True, False])
def test_start_of_a_program_is_not_counted(persistent: bool) -> None:
    slow = program(
        ECHO.format(before="import time; time.sleep(1.5)", hello="", each=""), persistent=persistent, timeout=1.0
    )
    programs.ask_features(slow, decoders.PROBE, FEATURES)
    assert slow.measured.start > 1.4
    for id in ("framing/empty-stream", "framing/blank-lines-only"):
        result = judge(VECTORS[id], slow, ALL)
        assert result.verdict == "pass", result.reason
        slow.stop()


def test_program_that_never_answers_is_given_up() -> None:
    own = program(BROKEN["crashes"])
    for _ in range(3):
        assert not own.hopeless
        judge(VECTORS["framing/empty-stream"], own, ALL)
    assert own.hopeless


@pytest.mark.parametrize(
    ("hello", "features"),
    [
        ("print(json.dumps({'name': 'n', 'version': 1, 'features': ['id']}), flush=True)", {"id"}),
        ("print('{}', flush=True)", set(FEATURES)),
        ("pass", set(FEATURES)),
        ("sys.exit(1)", set(FEATURES)),
        ("print(json.dumps({'error': 'unknown op'}), flush=True)", set(FEATURES)),
        ("print('what?', flush=True)", set(FEATURES)),
    ],
)
def test_hello_is_optional(hello: str, features: set[str]) -> None:
    own = program(ECHO.format(before="", hello=hello, each=""))
    said = programs.ask_features(own, decoders.PROBE, FEATURES)
    result = judge(VECTORS["framing/empty-stream"], own, said["features"])
    own.stop()
    assert said["features"] == features and result.verdict == "pass"


def test_standard_error_never_decides() -> None:
    own = program(ECHO.format(before="sys.stderr.write('x' * 200_000); sys.stderr.flush()", hello="", each=""))
    result = judge(VECTORS["framing/empty-stream"], own, ALL)
    own.stop()
    assert result.verdict == "pass"


def test_command_that_does_not_exist_cannot_be_run() -> None:
    with pytest.raises(UsageError, match="cannot be started"):
        judge(VECTORS["framing/empty-stream"], programs.Program(["./no-such-program"]), ALL)


RAW = """
import sys, json
data = sys.stdin.buffer.read().decode()
for block in data.split("\\n\\n")[:-1]:
    for line in block.split("\\n"):
        if line.startswith("data: "):
            print(json.dumps({"data": line[6:]}))
"""


@pytest.mark.parametrize(
    ("id", "verdict"),
    [
        ("framing/two-events", "pass"),
        ("eol/crlf", "fail"),
        ("prompt/lf", "not-run"),
        ("retry/basic", "not-run"),
        ("utf8/invalid-ff", "error"),
    ],
)
def test_raw_program_is_judged_by_what_it_prints(id: str, verdict: str) -> None:
    result = decoders.judge_raw(VECTORS[id], [sys.executable, "-I", "-S", "-c", RAW], ALL, 10.0)
    assert result.verdict == verdict, result.reason


@pytest.mark.parametrize("member", ["error", "skip"])
def test_null_members_count_as_absent(member: str) -> None:
    nulls = Program(Decoder, lambda reply: {**reply, member: None})
    assert judge(VECTORS["framing/single-event"], nulls, ALL).verdict == "pass"


def test_decoder_may_tell_its_own_default_of_the_reconnection_time() -> None:
    own = Program(Decoder, lambda reply: {**reply, "retry": 3000 if reply["retry"] is None else reply["retry"]})
    own.default_retry = 3000  # type: ignore[assignment]
    for id in ("framing/single-event", "retry/basic", "retry/negative-ignored", "retry/zero"):
        assert judge(VECTORS[id], own, ALL).verdict == "pass", id
    lenient = Program(FAULTS["ReadsRetryLeniently"][0])
    lenient.default_retry = 3000  # type: ignore[assignment]
    assert judge(VECTORS["retry/negative-ignored"], lenient, ALL).verdict == "fail"


ONE_REQUEST = """
import json, sys
request = json.load(sys.stdin)
print(json.dumps({"id": request.get("id"), "events": [], "retry": None, "last_event_id": ""}))
"""


def test_program_may_read_its_whole_input_as_one_request() -> None:
    own = program(ONE_REQUEST, persistent=False)
    for _ in range(2):
        assert judge(VECTORS["framing/blank-lines-only"], own, ALL).verdict == "pass"


def test_program_that_ends_after_a_reply_costs_nothing() -> None:
    own = program(ECHO.format(before="", hello="", each="") + "    sys.exit()\n")
    for _ in range(3):
        assert judge(VECTORS["framing/empty-stream"], own, ALL).verdict == "pass"
        time.sleep(0.1)
    own.stop()


@pytest.mark.once
def test_descendant_that_holds_the_output_open_does_not_hold_up_the_run() -> None:
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " start_new_session=True); sys.stderr.write(str(p.pid)); sys.stderr.flush(); sys.exit(3)"
    )
    for seconds in (8.0, 60.0):  # the second time if a busy machine took longer to start two programs
        own = program(code, timeout=seconds)
        result = judge(VECTORS["framing/empty-stream"], own, ALL)
        own.stop()
        assert result.verdict == "error"
        if descendant := result.stderr.strip() or own.stderr.strip():
            break
    still_running = subprocess.run(["kill", descendant])
    assert still_running.returncode == 0


@pytest.mark.once
def test_patience_comes_back_with_a_good_reply() -> None:
    hanging = "if 'bom' in request['id']: import time; time.sleep(60)"
    own = program(ECHO.format(before="", hello="", each=hanging), timeout=1.0)
    for _ in range(3):
        assert judge(VECTORS["bom/only-stream"], own, ALL).verdict == "error"
    assert own._hangs == 3
    own.timeout = 100.0  # a fifth of it is enough to start, on any machine
    assert judge(VECTORS["framing/empty-stream"], own, ALL).verdict == "pass" and own._hangs == 0
    own.stop()
