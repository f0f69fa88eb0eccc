"""Several reports side by side, as one page of HTML that needs nothing else, or as a table of Markdown.

In:   reports as ``--json`` writes them.
Out:  a page: a row for each vector, a column for each program, a colour for each verdict, and the reasons behind them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from sse_ref.conformance.verdicts import VERDICTS

__all__ = ["as_html", "as_table"]

STYLE = """\
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; --line: #8885; --soft: #8882; }
body { margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid var(--line); padding: .2rem .5rem; text-align: left; vertical-align: top; }
thead th { position: sticky; top: 0; background: Canvas; }
td.v { text-align: center; white-space: nowrap; font-size: .85rem; min-width: 4.5rem; }
td.v details { text-align: left; white-space: normal; max-width: 24rem; }
td.v summary { cursor: pointer; text-align: center; }
.pass { background: #2a94; } .fail { background: #d336; } .error { background: #d0a6; } .xpass { background: #d0a6; }
.skip, .not-run { background: var(--soft); } .xfail { background: #e906; }
.weak { opacity: .55; } small { color: GrayText; } code { font-size: .85rem; }
pre { white-space: pre-wrap; font-size: .8rem; }
label { margin-right: 1rem; }
"""

SCRIPT = """\
const box = document.querySelector('#only');
const rows = [...document.querySelectorAll('tr[data-bad]')];
box.addEventListener('change', () => rows.forEach(r => r.hidden = box.checked && r.dataset.bad === '0'));
"""


def name_of(report: Mapping[str, Any]) -> str:
    """What a report calls its program."""
    program = report.get("program", {})
    named = f"{program.get('name') or ''} {program.get('version') or ''}".strip()
    return named or str(program.get("run", "?"))


def _kinds(reports: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The reports by what they judge, in the order in which they were given."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for report in reports:
        profile = f", {report['profile']}" if report.get("profile") else ""
        kinds.setdefault(f"{report.get('target')}{profile}", []).append(report)
    return kinds


def as_html(reports: Sequence[Mapping[str, Any]]) -> str:
    """One page with a table for each kind of program."""
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Event stream conformance</title><style>{STYLE}</style><h1>Event stream conformance</h1>",
        '<p><label><input type="checkbox" id="only"> only vectors that somebody fails</label>'
        "<small>A <code>may</code> vector is pale: the standard leaves it open.</small></p>",
    ]
    for kind, group in _kinds(reports).items():
        parts.append(f"<h2>{escape(kind)}</h2>")
        parts += _summary(group)
        parts += _table(group)
    parts.append(f"<script>{SCRIPT}</script></html>\n")
    return "\n".join(parts)


def _summary(group: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    heads = "".join(f"<th>{escape(verdict)}" for verdict in VERDICTS)
    yield f"<table><tr><th>program<th>corpus{heads}<th>conformant"
    for report in group:
        numbers = "".join(f"<td>{report.get('counts', {}).get(verdict, 0)}" for verdict in VERDICTS)
        yield (
            f"<tr><th>{escape(name_of(report))}<td>{escape(str(report.get('corpus')))}{numbers}"
            f"<td>{escape(str(report.get('conformant')))}"
        )
    yield "</table><p></p>"


def _table(group: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    columns = [{result["id"]: result for result in report["results"]} for report in group]
    rows = {result["id"]: result for report in group for result in report["results"]}
    heads = "".join(f"<th>{escape(name_of(report))}" for report in group)
    yield f"<table><thead><tr><th>vector<th>level{heads}</thead><tbody>"
    for id, vector in rows.items():
        cells = [column.get(id) for column in columns]
        bad = any(cell and cell["verdict"] in ("fail", "error", "xfail", "xpass") for cell in cells)
        weak = ' class="weak"' if vector["level"] == "may" else ""
        yield (
            f'<tr data-bad="{int(bad)}"{weak}><td><code>{escape(id)}</code><br><small>{escape(vector["title"])}</small>'
            f"<td>{escape(vector['level'])}{''.join(map(_cell, cells))}"
        )
    yield "</tbody></table>"


def _cell(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return '<td class="v">'
    verdict = escape(str(result["verdict"]))
    reason = str(result.get("reason") or "")
    if not reason:
        return f'<td class="v {verdict}">{verdict}'
    shown = "\n".join(
        f"{name}\n" + "\n".join(f"  {line}" for line in lines) for name, lines in (result.get("shown") or {}).items()
    )
    more = f"<pre>{escape(shown)}</pre>" if shown else ""
    return f'<td class="v {verdict}"><details><summary>{verdict}</summary>{escape(reason)}{more}</details>'


def as_table(reports: Sequence[Mapping[str, Any]]) -> str:
    """The counts as a table of Markdown, one row for each report."""
    lines = []
    for kind, group in _kinds(reports).items():
        lines += [f"| {kind} | " + " | ".join(VERDICTS) + " | conformant |", "|---" + "|--:" * len(VERDICTS) + "|---|"]
        for report in group:
            numbers = " | ".join(str(report.get("counts", {}).get(verdict, 0)) for verdict in VERDICTS)
            lines.append(f"| {name_of(report)} | {numbers} | {report.get('conformant')} |")
        lines.append("")
    return "\n".join(lines)
