"""Failures grouped by likely cause: what is explained by a known fault, what stands alone, and what comes first."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from broken.decoders import FAULTS, Program

from sse_ref.conformance import causes, decoders
from sse_ref.conformance.corpus import FOLDER, TARGETS, load
from sse_ref.conformance.verdicts import Result

DECODERS = {vector.id: vector for vector in load("decoder")}
SMALL = [v for v in DECODERS.values() if not v.id.startswith(("align/", "size/", "linear/", "beside/"))]


def results_of(name: str) -> list[Result]:
    program = Program(FAULTS[name][0])
    return [decoders.judge(vector, program, set(decoders.FEATURES)) for vector in SMALL]


def failed(ids: Iterable[str]) -> list[Result]:
    wanted = set(ids)
    return [Result(v, "fail" if v.id in wanted else "pass", f"reason {n}") for n, v in enumerate(DECODERS.values())]


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("KnowsNoLoneCr", "A CR without an LF is not taken for a line end."),
        ("DecodesStrictly", "Invalid UTF-8 raises an error."),
        ("KeepsTheBom", "The byte order mark is not removed."),
        ("SplitsLinesAtUnicode", "Characters beyond CR and LF end lines, as str.splitlines has it."),
        ("TakesEachChunkForLines", "The end of a chunk is taken for the end of a line."),
        ("DispatchesEveryBlankLine", "A blank line without data before it dispatches an event."),
    ],
)
def test_one_fault_is_one_cause(name: str, cause: str) -> None:
    first, *others = causes.grouped(results_of(name))
    assert first.cause == cause and len(first.results) > sum(len(group.results) for group in others)


def test_every_failure_is_in_one_group_and_nothing_else_is() -> None:
    ids = [id for n, id in enumerate(DECODERS) if n % 3 == 0]
    groups = causes.grouped(failed(ids))
    assert sorted(result.vector.id for group in groups for result in group.results) == sorted(ids)
    assert causes.grouped(failed([])) == [] and causes.grouped([]) == []


def test_cause_needs_most_of_what_it_would_fail() -> None:
    (cause, vectors), *_ = causes.known_causes("decoder")
    (group,) = causes.grouped(failed(sorted(vectors)[:1]))[:1]
    assert group.cause != cause
    assert causes.grouped(failed(vectors))[0].cause == cause


def test_must_comes_first_and_the_smallest_input_tells_most() -> None:
    must, should = DECODERS["eol/lf"], DECODERS["prompt/cr-cr"]
    given = [Result(should, "fail", "a"), Result(must, "fail", "b", input=["00" * 9])]
    assert [group.level for group in causes.grouped(given)] == ["must", "should"]
    alike = [Result(v, "fail", "the same 7", input=["00" * n]) for v, n in ((must, 9), (DECODERS["eol/crlf"], 2))]
    (group,) = causes.grouped(alike)
    assert [result.vector.id for result in group.results] == ["eol/crlf", "eol/lf"] and group.cause == "the same 7"


def test_causes_name_vectors_that_exist() -> None:
    ids = {vector.id for target in TARGETS for vector in load(target)}
    table = json.loads((FOLDER / "causes.json").read_text(encoding="utf-8"))
    for kind, known in table.items():
        assert kind.split()[0] in TARGETS
        for entry in known:
            assert entry["cause"].endswith(".") and entry["vectors"] and set(entry["vectors"]) <= ids
