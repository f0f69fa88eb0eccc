"""Groups failures by what most likely caused them, the most telling first.

In:   the results of a run, and ``causes.json``: what each of many faults makes a program fail.
Out:  groups, each with a sentence; together they hold every failure once.

One fault of a program fails many vectors. The known fault that explains most of the failures is taken first, then the one
that explains most of the rest; a fault counts only if most of what it would fail was failed. What no known fault explains
is grouped by its reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from sse_ref.conformance.corpus import FOLDER
from sse_ref.conformance.verdicts import Result

__all__ = ["Group", "failures", "grouped"]

MOST = 0.6  # of the vectors of a fault, those that must have failed
UNSEEN = 0.1  # what each of its vectors that was not judged takes from what it explains: a run of few tells little


@dataclass(frozen=True)
class Group:
    """Failures with one likely cause; the most telling is the first."""

    cause: str
    results: list[Result]

    @property
    def level(self) -> str:
        """``must`` if one of its vectors is."""
        return "must" if any(result.vector.level == "must" for result in self.results) else "should"


@cache
def known_causes(kind: str) -> list[tuple[str, frozenset[str]]]:
    """The faults that are known of a target, or of a target and profile, each with the vectors that it fails."""
    loaded = json.loads((FOLDER / "causes.json").read_text(encoding="utf-8"))
    return [(entry["cause"], frozenset(entry["vectors"])) for entry in loaded.get(kind, ())]


def failures(results: Iterable[Result]) -> list[Result]:
    """The results that are failures, or passes that were not expected."""
    return [result for result in results if result.verdict in ("fail", "error", "xpass")]


def grouped(results: Sequence[Result]) -> list[Group]:
    """The failures among results of one kind, by likely cause: first what fails a ``must``, then the larger group."""
    failed = {result.vector.id: result for result in failures(results)}
    if not failed:
        return []
    judged = {result.vector.id for result in results if result.verdict not in ("skip", "not-run")}
    vector = results[0].vector
    left = dict(failed)
    groups = []
    candidates = known_causes(f"{vector.target} {vector.profile}" if vector.profile else vector.target)
    while best := _best(candidates, left, failed, judged):
        cause, explained = best
        groups.append(Group(cause, _telling(left.pop(id) for id in explained)))
    reasons: dict[str, list[Result]] = {}
    for result in left.values():
        reasons.setdefault(_pattern(result.reason), []).append(result)
    for alike in reasons.values():
        first = _telling(alike)[0]
        groups.append(Group(first.vector.title if len(alike) == 1 else _uncut(first.reason), _telling(alike)))
    return sorted(groups, key=lambda group: (group.level != "must", -len(group.results)))


def _best(
    candidates: Sequence[tuple[str, frozenset[str]]],
    left: dict[str, Result],
    failed: dict[str, Result],
    judged: set[str],
) -> tuple[str, list[str]] | None:
    """The cause that explains most of what is left, and what it explains."""
    fitting = []
    for cause, vectors in candidates:
        explained = [id for id in left if id in vectors]
        expected = len(vectors & judged)
        share = len(vectors & failed.keys()) / expected if expected else 0.0
        score = len(explained) - UNSEEN * len(vectors - judged)
        if share >= MOST and score > 0:
            fitting.append((score, share, cause, explained))
    if not fitting:
        return None
    _, _, cause, explained = max(fitting, key=lambda entry: entry[:2])
    return cause, explained


def _telling(results: Iterable[Result]) -> list[Result]:
    """The results, the most telling first: a ``must`` vector, with little input."""
    return sorted(results, key=lambda r: (r.vector.level != "must", sum(map(len, r.input))))


def _pattern(reason: str) -> str:
    """A reason without what differs from one vector to the next."""
    return re.sub(r"\"[^\"]*\"|'[^']*'|[0-9]+", "#", _uncut(reason))[:60]


def _uncut(reason: str) -> str:
    """A reason without the cut at which it was seen."""
    return re.sub(r" \((cut after byte|byte by byte|in chunks|cut as listed)[^)]*\)$", "", reason)
