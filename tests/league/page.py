"""The page of the league: ``results.json``, what a run found, and ``checked.json``, what was looked at by hand.

A finding of ``checked.json`` says which vectors of which programs it explains::

    {"kind": "decoder", "programs": {"openai": "3.57.0"}, "vectors": ["utf8/*"], "found": "a sentence",
     "how": "what was done by hand", "saw": "what came", "date": "2026-11-28", "whose": "program"}

``programs`` names the version that was looked at. ``whose`` is *program*, where the standard or the vendor says otherwise;
*choice*, where a maintainer may defend it; *adapter*, where the failure is not the program's. The clause is that of the first
vector. A failure that no finding explains is counted as not checked, and of it nothing else is said.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from sse_ref.conformance.corpus import Vector, load, versions  # noqa: E402
from sse_ref.conformance.reports import as_cell  # noqa: E402

HERE = Path(__file__).parent
PAGE = HERE / "README.md"
KINDS = {
    "decoder": ("Decoders", "decoder", ""),
    "encoder": ("Encoders", "encoder", ""),
    "source": ("Event sources", "client", "sse"),
    "chat": ("Clients of chat completions", "client", "openai-chat"),
    "openai-responses": ("Clients of OpenAI's Responses", "client", "openai-responses"),
    "anthropic": ("Clients of Anthropic's Messages", "client", "anthropic"),
    "gemini": ("Clients of Gemini", "client", "gemini"),
    "cohere": ("Clients of Cohere", "client", "cohere"),
    "quirks": ("Clients and the quirks of services", "client", "quirks"),
    "server": ("Servers of chat completions", "server", "openai-chat"),
    "events": ("Servers of plain events", "server", "sse"),
    "gateway": ("Gateways", "gateway", "openai-chat"),
}
"""What is judged: its title, and the vectors that it is judged by."""
FOR_README = ("decoder", "source", "chat", "gateway")

Program = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """What a failure comes down to, as somebody saw it."""

    label: str
    kind: str
    programs: dict[str, str]
    vectors: list[str]
    found: str
    how: str
    saw: str
    date: str
    whose: str = "program"
    injects: tuple[str, ...] = ()

    def explains(self, name: str, vector: str) -> bool:
        return name in self.programs and any(fnmatchcase(vector, pattern) for pattern in self.vectors)


@functools.cache
def results() -> dict[str, dict[str, Program]]:
    kept: dict[str, dict[str, Program]] = json.loads((HERE / "results.json").read_text())
    return kept


@functools.cache
def findings() -> list[Finding]:
    """The findings in the order of ``checked.json``, labelled with their kind and their number in it."""
    counted: dict[str, int] = {}
    made = []
    for entry in json.loads((HERE / "checked.json").read_text()):
        number = counted[entry["kind"]] = counted.get(entry["kind"], 0) + 1
        made.append(Finding(label=f"{entry['kind']} {number}", **entry))
    return made


@functools.cache
def vectors(kind: str) -> dict[str, Vector]:
    _, target, profile = KINDS[kind]
    return {v.id: v for v in load(target) if not profile or v.profile == profile}


@functools.cache
def explained(kind: str, name: str) -> dict[str, Finding | None]:
    """The finding that explains each failure of a program, or None."""
    own = [finding for finding in findings() if finding.kind == kind]
    failed = [id for id in results()[kind][name]["failed"] if vectors(kind)[id].level != "may"]
    return {id: next((f for f in own if f.explains(name, id)), None) for id in failed}


def clause(finding: Finding) -> str:
    """What the standard or the vendor says: that of the first vector that the finding names."""
    for pattern in finding.vectors:
        for id, vector in vectors(finding.kind).items():
            if fnmatchcase(id, pattern):
                return vector.clause
    raise KeyError(f"{finding.label} names no vector of the corpus")


# ---- Tables -----------------------------------------------------------------------------------------------------------


def table(kind: str) -> str:
    title, *_ = KINDS[kind]
    rows = [
        f"| {title.lower()} | must: passed, failed | should: passed, failed | skipped | not checked | what it fails |",
        "|---|--:|--:|--:|--:|---|",
    ]
    rows += [row(kind, name) for name in ordered(kind)]
    return "\n".join(rows)


def ordered(kind: str) -> list[str]:
    """The programs that were judged, those with the fewest failures first."""
    judged = {name: p for name, p in results().get(kind, {}).items() if "failed" in p}
    return sorted(judged, key=lambda name: (len(judged[name]["failed"]), name))


def row(kind: str, name: str) -> str:
    program = results()[kind][name]
    why = explained(kind, name)
    levels = {id: vectors(kind)[id].level for id in why}
    cells = [as_cell(program["name"])]
    for level in ("must", "should"):
        failed = [id for id in why if levels[id] == level and why[id] and why[id].whose != "adapter"]
        cells.append(f"{program[level][0]}, {len(failed)}")
    unseen = [id for id, finding in why.items() if finding is None]
    said = list(dict.fromkeys(f.label for f in why.values() if f))
    links = ", ".join(f"[{label.rpartition(' ')[2]}](#{label.replace(' ', '-')})" for label in said)
    cells += [str(len(program["skipped"])), str(len(unseen) or ""), links or ("" if unseen else "nothing")]
    return f"| {' | '.join(cells)} |"


WHOSE = {
    "program": "",
    "choice": " *A maintainer may defend it.*",
    "adapter": " *This is the adapter's, and not counted.*",
}


def found(kind: str) -> Iterator[str]:
    """What was found, finding by finding, and then what nobody has looked at."""
    for finding in findings():
        who = [name for name in ordered(kind) if finding in explained(kind, name).values()]
        if finding.kind != kind or not who:
            continue
        first = [id for name in who for id, f in explained(kind, name).items() if f is finding]
        yield f"#### {finding.label}"
        yield ""
        yield f"{finding.found}{WHOSE[finding.whose]}"
        yield ""
        yield f"- The text: {clause(finding)}."
        yield f"- Who: {', '.join(as_cell(seen(kind, name, finding)) for name in who)}."
        yield f"- Vectors: {', '.join(f'`{id}`' for id in list(dict.fromkeys(first))[:3])}{more(len(set(first)) - 3)}."
        yield f"- By hand, {finding.date}: {finding.how} Seen: {finding.saw}"
        yield ""
    unseen = {name: [id for id, f in explained(kind, name).items() if f is None] for name in ordered(kind)}
    if any(unseen.values()):
        yield "#### Not checked"
        yield ""
        yield "Nobody has looked at these yet: they accuse nobody."
        yield ""
        for name, ids in unseen.items():
            if ids:
                shown = ", ".join(f"`{id}`" for id in ids[:8])
                yield f"- {as_cell(results()[kind][name]['name'])}: {shown}{more(len(ids) - 8)}"
        yield ""


def more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def seen(kind: str, name: str, finding: Finding) -> str:
    """A program's name, with the version that was looked at where it is another."""
    now, then = str(results()[kind][name]["name"]), finding.programs[name]
    return now if then in now else f"{now} (looked at: {then})"


# ---- The injection table ----------------------------------------------------------------------------------------------

PLACES = {"type": "event-lf", "id": "id-lf", "data": "lf", "retry": "retry-text", "comment": "comment-lf"}
"""Where text that holds line ends can be put, and the start of a vector that puts it there."""


def injections() -> str:
    """What an encoder lets into its stream: yes, where a finding says that a value wrote fields of its own."""
    rows = [f"| encoder | by {' | by '.join(PLACES)} |", "|---|" + "---|" * len(PLACES)]
    for name in ordered("encoder"):
        program = results()["encoder"][name]
        through = {place for f in explained("encoder", name).values() if f for place in f.injects}
        cells = []
        for place, start in PLACES.items():
            asked = any(id.startswith(f"encode/{start}") and id not in program["skipped"] for id in vectors("encoder"))
            cells.append("**yes**" if place in through else "no" if asked else "not asked")
        rows.append(f"| {as_cell(program['name'])} | {' | '.join(cells)} |")
    return "\n".join(rows)


# ---- The page ---------------------------------------------------------------------------------------------------------

HEAD = """# The league

Published programs, judged by the corpus. `make league` installs their newest versions and judges them again; `results.json`
keeps every reason. Written by `make readme`.

A failure is counted here when somebody has looked at it by hand: what was done and what came stands with each finding. What
nobody has looked at is *not checked* and accuses nobody. A vector is *skipped* where a program does not tell what the vector is
about, or has no such feature. What is certain and serious is reported in [upstream.md](upstream.md).
"""


def page() -> str:
    parts = [HEAD, f"Corpus {versions()[-1]}: {counts()}", ""]
    for kind, (title, *_) in KINDS.items():
        if not ordered(kind):
            continue
        parts += [f"## {title}", "", dates(kind), "", table(kind), ""]
        if kind == "encoder":
            parts += [
                "What text that holds line ends writes, where a program puts it into a field:",
                "",
                injections(),
                "",
            ]
        parts += [f"### What was found: {title.lower()}", "", *found(kind)]
    return "\n".join(parts).rstrip() + "\n"


def counts() -> str:
    numbers = [f"{len(ordered(kind))} {title.lower()}" for kind, (title, *_) in KINDS.items() if ordered(kind)]
    return f"{', '.join(numbers)}.".capitalize()


def dates(kind: str) -> str:
    days = sorted({results()[kind][name]["date"] for name in ordered(kind)})
    corpora = sorted({results()[kind][name]["corpus"] for name in ordered(kind)})
    return f"Run of {' to '.join(dict.fromkeys((days[0], days[-1])))}, corpus {', '.join(corpora)}."


def head() -> str:
    """What the project's README shows."""
    return "\n\n".join(table_of_best(kind) for kind in FOR_README)


def table_of_best(kind: str, most: int = 6) -> str:
    title, *_ = KINDS[kind]
    rows = [f"| {title.lower()} | failed must | failed should | not checked |", "|---|--:|--:|--:|"]
    for name in ordered(kind)[:most]:
        why = explained(kind, name)
        numbers = [
            sum(1 for id, f in why.items() if f and f.whose != "adapter" and vectors(kind)[id].level == level)
            for level in ("must", "should")
        ]
        rows.append(
            f"| {as_cell(results()[kind][name]['name'])} | {numbers[0]} | {numbers[1]} |"
            f" {sum(f is None for f in why.values())} |"
        )
    rest = len(ordered(kind)) - most
    return "\n".join([*rows, *([f"| {rest} more | | | |"] if rest > 0 else [])])


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit("the page of the league is not current: make readme writes it")
