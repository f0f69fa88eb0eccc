"""The judge of encoders: every fault is caught, every vector catches something, nothing correct is failed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from broken.encoders import FAULTS, UNUSUAL, Program

from sse_ref.codec import encode_event
from sse_ref.conformance import encoders, reference
from sse_ref.conformance.corpus import load
from sse_ref.conformance.encoders import judge

VECTORS = {vector.id: vector for vector in load("encoder")}
ALL = {*encoders.FEATURES, "comment"}


class Reference(Program):
    def __init__(self) -> None: ...

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {"id": request["id"], **reference.encode(json.loads(json.dumps(request)))}
        except (ValueError, TypeError) as error:
            return {"id": request["id"], "error": str(error)}


def test_reference_passes_everything() -> None:
    results = [judge(vector, Reference(), ALL) for vector in VECTORS.values()]
    assert {result.verdict for result in results} == {"pass"}


def failed_by(name: str) -> set[str]:
    results = [judge(vector, Program(FAULTS[name][0]), ALL) for vector in VECTORS.values()]
    assert not [result for result in results if result.verdict == "error"]
    return {result.vector.id for result in results if result.verdict == "fail"}


@pytest.mark.once
def test_every_fault_is_caught_and_no_vector_is_dead() -> None:
    assert len(FAULTS) >= 10
    seen: set[str] = set()
    for name, (_, id) in FAULTS.items():
        failed = failed_by(name)
        assert id in failed, name
        seen |= failed
    assert seen == {vector.id for vector in VECTORS.values() if vector.level != "may"}


@pytest.mark.once
@pytest.mark.parametrize("name", UNUSUAL)
def test_correct_but_unusual_encoder_is_not_failed(name: str) -> None:
    for vector in VECTORS.values():
        result = judge(vector, Program(UNUSUAL[name]), ALL)
        assert result.verdict == "pass", (vector.id, result.reason)


class Always(Program):
    def __init__(self, reply: dict[str, Any]) -> None:
        self.reply = reply

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"id": request["id"], **self.reply}


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ({"skip": "no"}, "skip"),
        ({"error": "no"}, "fail"),
        ({"bytes": "xyz"}, "error"),
        ({"bytes": 5}, "error"),
        ({}, "error"),
        ({"bytes": ""}, "fail"),
        ({"bytes": b"data: hello\n\n".hex()}, "pass"),
        ({"bytes": b"data: hello\r\r".hex().upper()}, "pass"),
        ({"bytes": b"data: hello\n".hex()}, "fail"),
        ({"bytes": b"data: hello\n\ndata: \xff\n\n".hex()}, "fail"),
        ({"bytes": b"data: hello\n\nid: 5\n\n".hex()}, "fail"),
        ({"bytes": b"retry: 5\ndata: hello\n\n".hex()}, "fail"),
    ],
)
def test_reply_is_judged_by_what_it_reads_back_as(reply: dict[str, Any], verdict: str) -> None:
    assert judge(VECTORS["encode/plain"], Always(reply), ALL).verdict == verdict


@pytest.mark.parametrize("id", [v.id for v in VECTORS.values() if v.level == "may"])
@pytest.mark.parametrize("reply", [{"error": "no"}, {"bytes": ""}, {"bytes": b"data: x\n\n".hex()}])
def test_may_vector_never_fails(id: str, reply: dict[str, Any]) -> None:
    assert judge(VECTORS[id], Always(reply), ALL).verdict == "pass"


def test_comments_must_be_declared() -> None:
    assert judge(VECTORS["encode/comment"], Reference(), set(encoders.FEATURES)).verdict == "skip"


class Own(Program):
    """A library that makes ids itself, writes data as JSON, and cannot leave data out."""

    def __init__(self, *, injects: bool = False) -> None:
        self.injects = injects

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        stream = b""
        for written, event in enumerate(request["events"], 1):
            if "comment" in event:
                return {"id": request["id"], "skip": "no comments"}
            kind = event["event"] and (event["event"] if self.injects else re.sub("[\\r\\n\\0]", "", event["event"]))
            try:
                data = json.dumps(event["data"])
                stream += encode_event(data, event=None, id=f"own-{written}", retry=event["retry"]).replace(
                    b"data: ", f"event: {kind}\ndata: ".encode() if kind else b"data: ", 1
                )
            except (ValueError, TypeError) as error:
                return {"id": request["id"], "error": str(error)}
        return {"id": request["id"], "bytes": stream.hex()}


DECLARED = ALL | {"own-ids", "json-data", "no-data"}


def test_what_a_library_does_by_design_is_declared_and_not_charged() -> None:
    results = [judge(vector, Own(), DECLARED) for vector in VECTORS.values()]
    bad = [(r.vector.id, r.reason) for r in results if r.verdict in ("fail", "error") and r.vector.level == "must"]
    assert not bad
    skipped = {result.vector.id for result in results if result.verdict == "skip"}
    assert {"encode/id", "encode/event-without-data", "encode/id-lf-injects-nothing"} <= skipped
    assert judge(VECTORS["encode/plain"], Own(), ALL).verdict == "fail"


def test_injection_is_charged_whatever_is_declared() -> None:
    for end in ("lf", "cr", "crlf"):
        assert judge(VECTORS[f"encode/event-{end}-injects-nothing"], Own(injects=True), DECLARED).verdict == "fail"


def test_stripping_is_no_failure_of_a_must() -> None:
    stripping = Program(FAULTS["StripsLineEnds"][0]) if "StripsLineEnds" in FAULTS else Own()
    for vector in VECTORS.values():
        if vector.id.endswith("-refused") and vector.level == "must":
            assert judge(vector, stripping, DECLARED).verdict != "fail", vector.id
