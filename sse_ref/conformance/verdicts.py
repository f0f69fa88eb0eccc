"""What a run comes to: a verdict for each vector, the known failures, and the exit status.

In:   results, and the text of a known-failure file.
Out:  counts, whether the program is conformant, and 0, 1 or 2.

    pass      as the vector says; a ``may`` vector passes whatever the program does
    fail      not as the vector says
    error     no answer to judge: a crash, a timeout, garbage
    skip      the program lacks the feature, or no model could be made to do what the vector is about
    not-run   the program could not be asked: it has never replied
    xfail     a failure that the known-failure file names
    xpass     a pass that the known-failure file does not expect: the file is out of date
"""

from __future__ import annotations

import collections
import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sse_ref.conformance.corpus import Vector

__all__ = [
    "VERDICTS",
    "KnownFailure",
    "Result",
    "UsageError",
    "conformance",
    "count",
    "exit_status",
    "read_known",
    "unexpected",
    "write_known",
]

VERDICTS = ("pass", "fail", "error", "skip", "not-run", "xfail", "xpass")


class UsageError(Exception):
    """The command is wrong, so nothing runs; the message says what to change. Exit status 2."""


@dataclass
class Result:
    """The result of one vector. ``shown`` is printed with a failure: titled blocks of lines."""

    vector: Vector
    verdict: str
    reason: str = ""
    shown: dict[str, list[str]] = field(default_factory=dict)
    input: list[str] = field(default_factory=list)  # hex of what was sent, chunk by chunk
    expected: Any = None
    actual: Any = None
    stderr: str = ""
    ms: float = 0.0
    known: str = ""  # why a known failure is known
    flaky: bool = False  # it is known to fail only sometimes
    scored: bool = True  # False: newer than the version asked for
    expired: bool = False  # a limit passed, which says little about the program: try again, alone

    @property
    def counts(self) -> bool:
        """True if this result may decide the exit status: it is scored, and its level allows a failure."""
        return self.scored and self.vector.level != "may"


# ---- Known failures --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KnownFailure:
    """One line of a known-failure file: a glob, why, and whether it fails only sometimes."""

    pattern: str
    reason: str = ""
    flaky: bool = False


def read_known(text: str, vectors: Sequence[Vector]) -> list[KnownFailure]:
    """Read a known-failure file: one glob a line, a reason after ``#``, ``~`` before what fails only sometimes.

    Raises ``UsageError`` for a pattern that matches no id of ``vectors``: a list that is never cleaned up hides failures.

    >>> from sse_ref.conformance.corpus import load
    >>> read_known("~bom/*  # to be fixed in 2.0", load("decoder"))
    [KnownFailure(pattern='bom/*', reason='to be fixed in 2.0', flaky=True)]
    """
    known = []
    for number, line in enumerate(text.splitlines(), 1):
        pattern, _, reason = line.partition("#")
        pattern = pattern.strip()
        if not pattern:
            continue
        flaky = pattern.startswith("~")
        pattern = pattern.removeprefix("~").strip()
        if not any(fnmatch.fnmatchcase(vector.id, pattern) for vector in vectors):
            raise UsageError(f"known failures, line {number}: no vector matches {pattern!r}")
        known.append(KnownFailure(pattern, reason.strip(), flaky))
    return known


def apply_known(results: Iterable[Result], known: Sequence[KnownFailure]) -> None:
    """Turn the failures that are known into ``xfail``, and unexpected passes into ``xpass``."""
    for result in results:
        entry = next((k for k in known if fnmatch.fnmatchcase(result.vector.id, k.pattern)), None)
        if entry is None:
            continue
        result.known, result.flaky = entry.reason or "known", entry.flaky
        if result.verdict in ("fail", "error"):
            result.verdict = "xfail"
        elif result.verdict == "pass" and not entry.flaky and result.vector.level != "may":
            result.verdict = "xpass"
            result.reason = "expected to fail, but passed: take it out of the known failures"


def write_known(results: Iterable[Result]) -> str:
    """The text of a known-failure file that names what failed, each with its reason."""
    lines = ["# Known failures: one glob a line, ~ before what fails only sometimes. A line that passes fails the run."]
    failed = [result for result in results if result.verdict in ("fail", "error", "xfail") and result.counts]
    for result in failed:
        mark = "~" if result.flaky else ""
        lines.append(f"{mark}{result.vector.id}  # {result.known or _one_line(result.reason)}")
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


# ---- The whole -------------------------------------------------------------------------------------------------------


def count(results: Iterable[Result]) -> dict[str, int]:
    """How many results have each verdict; all verdicts are there, also those with none."""
    counted = collections.Counter(result.verdict for result in results)
    return {verdict: counted[verdict] for verdict in VERDICTS}


def conformance(results: Sequence[Result], left_out: int = 0, *, skips_count: bool = True) -> str:
    """``yes`` if every ``must`` vector passed, ``no`` if one failed, ``incomplete`` if one was not judged.

    ``left_out`` is how many the run did not choose. ``none`` if there is no ``must`` vector. Where ``skips_count`` is
    false, vectors that were skipped leave nothing open, if others were judged.
    """
    verdicts = {result.verdict for result in results if result.vector.level == "must" and result.scored}
    if verdicts & {"fail", "error", "xfail"}:
        return "no"
    if not verdicts and not left_out:
        return "none"
    good = {"pass", "xpass"}
    judged = verdicts - {"skip"} if not skips_count and verdicts & good else verdicts
    return "yes" if judged <= good and not left_out else "incomplete"


def exit_status(
    results: Sequence[Result], *, strict: bool = False, strict_skips: bool = False, allow_xpass: bool = False
) -> int:
    """0 if nothing was unexpected, else 1; never a count.

    A ``should`` vector counts when ``strict``; a skipped ``must`` when ``strict_skips``.
    """
    counts = (strict, strict_skips, allow_xpass)
    return int(any(unexpected(result, *counts) for result in results))


def unexpected(result: Result, strict: bool, strict_skips: bool = False, allow_xpass: bool = False) -> bool:
    """True if this result makes the run fail."""
    level = result.vector.level
    if not result.counts:
        return False
    if result.verdict in ("fail", "error"):
        return level == "must" or strict
    if result.verdict in ("skip", "not-run"):
        return strict_skips and level == "must"
    return result.verdict == "xpass" and not allow_xpass
