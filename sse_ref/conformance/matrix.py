"""Several reports side by side, as one page of HTML that needs nothing else, or as a table of Markdown.

In:   reports as ``--json`` writes them.
Out:  a page: for each kind of program the counts by level, the likely causes, and a row for each vector that somebody
      fails, with a column for each program. What everybody passes is folded: a healthy program is one screen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from sse_ref.conformance.corpus import LEVELS
from sse_ref.conformance.reports import as_cell, escaped
from sse_ref.conformance.verdicts import VERDICTS

__all__ = ["as_html", "as_table"]

Report = Mapping[str, Any]

BAD = ("fail", "error", "xfail", "xpass")

STYLE = """\
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; --line: #8885; --soft: #8882; }
body { margin: 1.5rem auto; max-width: 90rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0 0 .5rem; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
table { border-collapse: collapse; }
th, td { border: 1px solid var(--line); padding: .15rem .5rem; text-align: left; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
thead th { position: sticky; top: 0; background: Canvas; }
td.v { text-align: center; white-space: nowrap; font-size: .85rem; min-width: 4rem; }
td.v details { text-align: left; white-space: normal; max-width: 24rem; }
td.v summary { cursor: pointer; text-align: center; }
.pass { background: #2a94; } .fail { background: #d336; } .error, .xpass { background: #d0a6; }
.skip, .not-run { background: var(--soft); } .xfail { background: #e906; }
.yes { background: #2a94; } .no { background: #d336; }
.weak { opacity: .6; } small { color: GrayText; } code { font-size: .85rem; }
pre { white-space: pre-wrap; font-size: .8rem; }
summary { cursor: pointer; }
"""


def text(value: Any) -> str:
    """A value as HTML that is nothing but text: what a program said may hold anything."""
    return escape(escaped(str(value)))


def name_of(report: Report) -> str:
    """What a report calls its program."""
    program = report.get("program", {})
    named = f"{program.get('name') or ''} {program.get('version') or ''}".strip()
    return named or str(program.get("run", "?"))


def _kinds(reports: Sequence[Report]) -> dict[str, list[Report]]:
    """The reports by what they judge, in the order in which they were given."""
    kinds: dict[str, list[Report]] = {}
    for report in reports:
        profile = f", {report['profile']}" if report.get("profile") else ""
        kinds.setdefault(f"{report.get('target')}{profile}", []).append(report)
    return kinds


def _of_level(report: Report, level: str, *verdicts: str) -> int:
    return sum(result["level"] == level and result["verdict"] in verdicts for result in report["results"])


# ---- The page ---------------------------------------------------------------------------------------------------------


def as_html(reports: Sequence[Report]) -> str:
    """One page with a table for each kind of program."""
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Event stream conformance</title><style>{STYLE}</style><h1>Event stream conformance</h1>",
    ]
    for kind, group in _kinds(reports).items():
        parts.append(f"<h2>{text(kind)}</h2>")
        parts += _summary(group)
        parts += _causes(group)
        parts += _failures(group)
        parts += _passes(group)
    parts.append("</html>\n")
    return "\n".join(parts)


def _summary(group: Sequence[Report]) -> Iterator[str]:
    """A row for each program: what it passed and failed by level, and whether it is conformant."""
    heads = "".join(f"<th>{level} pass<th>{level} fail" for level in LEVELS[:2])
    yield f"<table><thead><tr><th>program<th>corpus{heads}<th>not judged<th>conformant</thead><tbody>"
    for report in group:
        numbers = "".join(
            f'<td class="n">{_of_level(report, level, "pass", "xpass")}<td class="n">{_of_level(report, level, *BAD[:3])}'
            for level in LEVELS[:2]
        )
        unjudged = sum(result["verdict"] in ("skip", "not-run") for result in report["results"])
        verdict = str(report.get("conformant"))
        yield (
            f"<tr><th>{text(name_of(report))}<td>{text(report.get('corpus'))}{numbers}"
            f'<td class="n">{unjudged}<td class="{verdict if verdict in ("yes", "no") else ""}">{text(verdict)}'
        )
    yield "</tbody></table>"


def _causes(group: Sequence[Report]) -> Iterator[str]:
    """What the failures most likely come from, with the number of vectors for each program."""
    causes: dict[str, list[int]] = {}
    for column, report in enumerate(group):
        for entry in report.get("causes", ()):
            causes.setdefault(str(entry["cause"]), [0] * len(group))[column] += len(entry["vectors"])
    if not causes:
        yield "<p>No vector failed.</p>"
        return
    yield f"<h3>Likely causes</h3><table><thead><tr><th>cause{_heads(group)}</thead><tbody>"
    for cause, numbers in sorted(causes.items(), key=lambda entry: -sum(entry[1])):
        cells = "".join(f'<td class="n">{number or ""}' for number in numbers)
        yield f"<tr><td>{text(cause)}{cells}"
    yield "</tbody></table>"


def _heads(group: Sequence[Report]) -> str:
    return "".join(f"<th>{text(name_of(report))}" for report in group)


def _failures(group: Sequence[Report]) -> Iterator[str]:
    """A row for each vector that somebody fails: first those that are a must, then those that most fail."""
    rows = [row for row in _rows(group) if _failed_by(row)]
    rows.sort(key=lambda row: (LEVELS.index(row[0]["level"]), -_failed_by(row)))
    if rows:
        yield f"<h3>Failures</h3><table><thead><tr><th>vector<th>level{_heads(group)}</thead><tbody>"
        yield from map(_row, rows)
        yield "</tbody></table>"


def _passes(group: Sequence[Report]) -> Iterator[str]:
    """What nobody fails, folded."""
    rows = [row for row in _rows(group) if not _failed_by(row)]
    if rows:
        yield f"<p><details><summary>{len(rows)} vectors that nobody fails</summary>"
        yield f"<table><thead><tr><th>vector<th>level{_heads(group)}</thead><tbody>"
        yield from map(_row, rows)
        yield "</tbody></table></details>"


Row = tuple[Mapping[str, Any], list[Mapping[str, Any] | None]]


def _rows(group: Sequence[Report]) -> Iterator[Row]:
    """Each vector, with its result for each program."""
    columns = [{result["id"]: result for result in report["results"]} for report in group]
    vectors = {result["id"]: result for report in group for result in report["results"]}
    for id, vector in vectors.items():
        yield vector, [column.get(id) for column in columns]


def _failed_by(row: Row) -> int:
    return sum(bool(cell and cell["verdict"] in BAD) for cell in row[1])


def _row(row: Row) -> str:
    vector, cells = row
    weak = ' class="weak"' if vector["level"] == "may" else ""
    return (
        f"<tr{weak}><td><code>{text(vector['id'])}</code><br><small>{text(vector['title'])}</small>"
        f"<td>{text(vector['level'])}{''.join(map(_cell, cells))}"
    )


def _cell(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return '<td class="v">'
    verdict = text(result["verdict"])
    reason = str(result.get("reason") or "")
    if not reason:
        return f'<td class="v {verdict}">{verdict}'
    shown = "\n".join(
        f"{text(name)}\n" + "\n".join(f"  {text(line)}" for line in lines)
        for name, lines in (result.get("shown") or {}).items()
    )
    more = f"<pre>{shown}</pre>" if shown else ""
    return f'<td class="v {verdict}"><details><summary>{verdict}</summary>{text(reason)}{more}</details>'


# ---- The table --------------------------------------------------------------------------------------------------------


def as_table(reports: Sequence[Report]) -> str:
    """The counts as a table of Markdown, one row for each report."""
    lines = []
    for kind, group in _kinds(reports).items():
        lines += [f"| {kind} | " + " | ".join(VERDICTS) + " | conformant |", "|---" + "|--:" * len(VERDICTS) + "|---|"]
        for report in group:
            numbers = " | ".join(str(report.get("counts", {}).get(verdict, 0)) for verdict in VERDICTS)
            lines.append(f"| {as_cell(name_of(report))} | {numbers} | {as_cell(str(report.get('conformant')))} |")
        lines.append("")
    return "\n".join(lines)
