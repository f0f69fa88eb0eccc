"""The reports of a run: text, JSON, JUnit, TAP, Markdown, a badge, annotations.

In:   a ``Run``: the program, the results, and how it was called.
Out:  text. Nothing here decides anything.

A failure is shown with its reason, the bytes with their chunks marked, a diff, and the line that repeats it. Whatever a
program under test printed may hold anything, so control characters are shown escaped.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from sse_ref.conformance.causes import Group, grouped
from sse_ref.conformance.corpus import LEVELS
from sse_ref.conformance.fuzz import Difference
from sse_ref.conformance.verdicts import VERDICTS, Result, conformance, count, unexpected
from sse_ref.errors import fit

__all__ = [
    "Run",
    "as_badge",
    "as_cell",
    "as_json",
    "as_junit",
    "as_markdown",
    "as_tap",
    "escaped",
    "event_lines",
    "github_annotations",
    "input_lines",
    "one_line",
    "show_difference",
    "show_failure",
    "show_group",
    "summary",
    "trimmed",
]

COMMAND = "python -m sse_ref.conformance"
CONTROLS = r"[\0-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
COMMANDS = r"(^\s*|#)([:#])(?=:|\[|vso\[|teamcity\[)"  # of GitHub, Azure and TeamCity
SHOWN_BYTES = 512  # of one input; the rest is counted
SHOWN_SKIPS = 6  # different reasons
SHOWN_CAUSES = 12
SHOWN_STRING = 300  # characters of one string in a report
BAD = ("fail", "error", "xpass")


@dataclass
class Run:
    """One run of the judge over one program."""

    target: str
    program: str  # the command line, or the URL
    results: list[Result]
    corpus: str
    tool: str  # version of this package
    profile: str | None = None
    name: str = ""
    version: str = ""
    features: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)  # to repeat it
    left_out: int = 0  # must vectors of the corpus that the run did not choose
    as_of: str | None = None
    strict: bool = False
    strict_skips: bool = False
    allow_xpass: bool = False

    def unexpected(self, result: Result) -> bool:
        """True if this result makes the run fail; every form of the report marks the same ones."""
        return unexpected(result, self.strict, self.strict_skips, self.allow_xpass)

    @property
    def conformant(self) -> str:
        """``yes``, ``no`` or ``incomplete``."""
        return conformance(self.results, self.left_out, skips_count=self.skips_count)

    @property
    def skips_count(self) -> bool:
        """Whether a skip leaves open whether the program is conformant.

        Of a server much cannot be seen from outside, or needs a model of its own: that is no lack of the server.
        """
        return self.target not in ("server", "gateway")

    @property
    def unjudged(self) -> int:
        """How many ``must`` vectors were skipped."""
        must = (result for result in self.results if result.vector.level == "must" and result.scored)
        return sum(result.verdict in ("skip", "not-run") for result in must)

    @property
    def title(self) -> str:
        """Name and version of the program, or how it was started."""
        return escaped(f"{self.name} {self.version}".strip() or self.program)

    def again(self, result: Result) -> list[str]:
        """The lines that put the same vector to the same program again."""
        id = result.vector.id
        if self.target in ("server", "gateway"):
            call = shlex.join([self.target, id, "-v", *self.options]) + f" {shlex.quote(self.program)}"
            return [f"{COMMAND} {call}"]
        lines = [f"{COMMAND} {shlex.join([self.target, id, '-v', *self.options])} -- {self.program}"]
        if self.target == "client":
            where = "http://127.0.0.1:8090/case/" + id
            lines.append(f"{COMMAND} serve --port 8090  # and then: curl -sN --raw {where}")
        elif "chunks" not in result.vector.body and "linear" not in result.vector.body and self.target == "decoder":
            lines.append(f"{COMMAND} show {id} --bytes  # the stream itself")
        if self.target == "decoder" and (address := in_the_lab(result.input)):
            lines.append(f"{address}  # while sse_ref.server runs")
        return lines


LAB = "http://127.0.0.1:8000/lab"
MOST_IN_AN_ADDRESS = 600  # bytes of a stream


def in_the_lab(chunks: Sequence[str]) -> str:
    """The address of the page's lab with a stream, given as the hexadecimal digits of its chunks; "" if it is long.

    >>> in_the_lab(["646174", "61"])
    'http://127.0.0.1:8000/lab#hex=64617461&cuts=3'
    """
    edges = list(itertools.accumulate(len(chunk) // 2 for chunk in chunks))
    if not edges or not 0 < edges[-1] <= MOST_IN_AN_ADDRESS:
        return ""
    cuts = ",".join(str(edge) for edge in dict.fromkeys(edges[:-1]) if 0 < edge < edges[-1])
    return f"{LAB}#hex={''.join(chunks)}{'&cuts=' if cuts else ''}{cuts}"


# ---- Text ------------------------------------------------------------------------------------------------------------


def summary(run: Run) -> str:
    """The closing lines: the number of each verdict, by level, and whether the program is conformant.

    All verdicts are named, so that a skip is never taken for a pass.
    """
    counts = count(run.results)
    lines = [f"{run.target}  {run.title}  (corpus {run.as_of or run.corpus})"]
    for level in LEVELS:
        of_level = count(result for result in run.results if result.vector.level == level)
        if any(of_level.values()):
            lines.append(
                f"  {level:<7}"
                + ", ".join(f"{of_level[v]} {v}" for v in VERDICTS if of_level[v] or v in ("pass", "fail"))
            )
    lines.append("  all    " + ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS))
    lines += _skips(run.results) + _services(run.results) + _causes(run)
    new = sum(not result.scored for result in run.results)
    if new:
        lines.append(f"  new, not scored: {new}, later than {run.as_of}")
    notes = {
        "must vectors left out": run.left_out if run.conformant == "incomplete" else 0,
        "must vectors could not be judged here": run.unjudged if run.conformant == "yes" else 0,
    }
    why = "".join(f" ({number} {note})" for note, number in notes.items() if number)
    lines.append(f"  conformant: {run.conformant}{why}")
    return "\n".join(lines)


def _causes(run: Run) -> list[str]:
    """What the failures most likely come from: the number of vectors, the cause, and the vector to begin with."""
    groups = grouped(run.results)
    width = max((len(str(len(group.results))) for group in groups), default=1)
    lines = [
        f"  cause  {len(group.results):>{width}}  {escaped(fit(group.cause, 100))}  ({group.results[0].vector.id})"
        for group in groups[:SHOWN_CAUSES]
    ]
    more = groups[SHOWN_CAUSES:]
    return [*lines, f"  and {sum(len(group.results) for group in more)} of {len(more)} other causes"] if more else lines


def show_group(run: Run, group: Group, *, colour: bool = False) -> str:
    """A likely cause: its most telling failure, and the other vectors that it fails in one line."""
    number = "1 vector" if len(group.results) == 1 else f"{len(group.results)} vectors"
    head = f"{number}: {escaped(group.cause)}"
    rest = ", ".join(result.vector.id for result in group.results[1:])
    block = show_failure(run, group.results[0], colour=colour)
    return "\n".join([head, block, *([f"  {'rest':<8} {rest}"] if rest else [])])


def _services(results: Sequence[Result]) -> list[str]:
    """For each service that vectors are about, those of them that were failed, and how many were not judged."""
    failed: dict[str, list[str]] = {}
    unjudged: Counter[str] = Counter()
    for result in results:
        for service in result.vector.body.get("services", ()):
            names = failed.setdefault(service, [])
            names += [result.vector.id] if result.verdict in ("fail", "error") else []
            unjudged[service] += result.verdict in ("skip", "not-run")
    return [
        f"  {service:<11} {', '.join(failed[service]) or 'nothing failed'}"
        + (f"; {unjudged[service]} not judged" if unjudged[service] else "")
        for service in sorted(failed)
    ]


def _skips(results: Sequence[Result]) -> list[str]:
    """The reasons why vectors were skipped, the most frequent first."""
    reasons = Counter(f"{r.verdict}: {r.reason}" for r in results if r.verdict in ("skip", "not-run"))
    common = reasons.most_common(SHOWN_SKIPS)
    lines = [escaped(f"  {number} {reason}") for reason, number in common]
    more = reasons.total() - sum(number for _, number in common)
    return [*lines, f"  {more} skipped for other reasons"] if more else lines


def one_line(result: Result) -> str:
    """The verdict of a vector in one line."""
    vector = result.vector
    new = "" if result.scored else "new, not scored: "
    reason = f": {escaped(result.reason)}" if result.reason else ""
    if result.verdict == "error" and (words := result.stderr.strip().splitlines()[-1:]):
        reason += f"; its last words: {escaped(fit(words[0], 160))}"
    return f"{result.verdict.upper():<7} {vector.id}  [{vector.level}]  {new}{escaped(vector.title)}{reason}"


def show_failure(run: Run, result: Result, *, colour: bool = False) -> str:
    """Everything about one result: the fact, the reason, the bytes, a diff, and how to repeat it."""
    vector = result.vector
    verdict = result.verdict.upper()
    head = f"{verdict} {vector.target} {vector.id}  [{vector.level}]  {vector.clause}"
    lines = [f"\x1b[1;31m{head}\x1b[0m" if colour and result.verdict in BAD else head]
    blocks: dict[str, list[str]] = {"fact": [vector.title]}
    if result.reason:
        blocks["here"] = [result.reason]
    if why := vector.body.get("why"):
        blocks["why"] = [why]
    if practice := vector.body.get("practice"):
        blocks["note"] = [practice]
    if result.input:
        blocks["bytes" if vector.target == "decoder" else "input"] = list(input_lines(result))
    if result.verdict in ("fail", "xfail") and vector.target in ("decoder", "encoder"):
        blocks["diff"] = list(_diff(result))
    blocks |= result.shown
    if result.stderr.strip() and result.verdict != "pass":
        blocks["stderr"] = result.stderr.strip().splitlines()[-12:]
    if result.verdict != "pass":
        blocks["again"] = run.again(result)
    return "\n".join([*lines, *_labelled(blocks)])


def show_difference(found: Difference, stderr: str, again: str) -> str:
    """A stream that a decoder reads another way than ours: what differs, the bytes, a diff, and the vector as JSON."""
    vector = found.vector
    expected = {**vector.body["expect"], "retry": vector.body["expect"].get("retry")}
    input = [chunk.hex() for chunk in found.reading.chunks]
    result = Result(vector, found.verdict, found.reason, input=input, expected=expected, actual=found.reply)
    blocks = {"here": [found.reason], "bytes": list(input_lines(result))}
    if found.reply is not None:
        blocks["diff"] = list(_diff(result))
    if stderr.strip():
        blocks["stderr"] = stderr.strip().splitlines()[-12:]
    blocks |= {"vector": [json.dumps({n: v for n, v in vector.as_json().items() if n != "target"})], "again": [again]}
    head = f"DIFFERENCE in {len(found.reading.stream)} bytes, in {len(input)} {'chunks' if len(input) > 1 else 'chunk'}"
    return "\n".join([head, *_labelled(blocks)])


def _labelled(blocks: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The lines of blocks, the label of each before its first; nothing in them harms a terminal."""
    for name, block in blocks.items():
        for number, line in enumerate(block):
            yield f"  {name if number == 0 else '':<8} {escaped(line)}".rstrip()


def input_lines(result: Result) -> Iterator[str]:
    """What was sent: bytes with their chunks marked, or the events to be written."""
    if result.vector.target != "decoder":
        yield from (line if len(line) <= 200 else f"{line[:150]}... ({len(line)} characters)" for line in result.input)
        return
    chunks = [bytes.fromhex(chunk) for chunk in result.input]
    if len(chunks) > 1 and all(len(chunk) == 1 for chunk in chunks):
        chunks, mark = [b"".join(chunks)], "one chunk for each byte"
    else:
        mark = "chunk {}"
    offset = 0
    for number, data in enumerate(chunks, 1):
        if offset >= SHOWN_BYTES or number > 32:
            yield f"... {sum(map(len, chunks)) - offset} more bytes in {len(chunks) - number + 1} chunks"
            return
        yield from hexdump(data[:SHOWN_BYTES], offset, mark.format(number))
        if len(data) > SHOWN_BYTES:
            yield f"... {len(data) - SHOWN_BYTES} more bytes in this chunk"
        offset += len(data)


def hexdump(data: bytes, offset: int = 0, mark: str = "") -> Iterator[str]:
    """Bytes as lines of sixteen: offset, hex, printable characters, and ``mark`` after the first line.

    >>> print(*hexdump(b"data: a\\n\\n", mark="chunk 1"))
    00000000  64 61 74 61 3a 20 61 0a  0a                       |data: a..|         chunk 1
    """
    for at in range(0, len(data) or 1, 16):
        row = data[at : at + 16]
        halves = f"{row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}"
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"{offset + at:08x}  {halves}  |{text}|{' ' * (16 - len(row))}  {mark if at == 0 else ''}".rstrip()


def _diff(result: Result) -> Iterator[str]:
    actual = result.actual if isinstance(result.actual, dict) else {}
    expected = result.expected
    if isinstance(expected, list):  # an encoder's outcomes: the first is the one to be compared with
        expected = next((outcome for outcome in expected if isinstance(outcome, dict)), None)
    if "bytes" in actual:
        yield from (line for line in hexdump(bytes.fromhex(actual["bytes"])[:SHOWN_BYTES], mark="written"))
    if not isinstance(expected, dict) or "events" not in actual:
        return
    told = {name: value for name, value in expected.items() if name in actual}
    want, got = event_lines(told), event_lines(_alike(actual, told))
    diff = list(difflib.unified_diff(want, got, "expected", "got", lineterm="", n=2))
    yield from diff[:40]
    if len(diff) > 40:
        yield f"... {len(diff) - 40} more lines"


def _alike(actual: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """The reply's side of a diff, without the members of events that the vector says nothing about."""
    names = {"event", "data", "id"}.union(*told["events"])
    events = [{n: v for n, v in e.items() if n in names} if isinstance(e, dict) else e for e in actual["events"]]
    return {**actual, "events": events}


def event_lines(side: dict[str, Any]) -> list[str]:
    """Events, reconnection time and last event ID, one to a line."""
    lines = []
    for event in side["events"]:
        if isinstance(event, dict):
            event = {"event": event.get("event") or "message", **event, "id": event.get("id") or ""}
        lines.append(json.dumps(trimmed(event), sort_keys=True))
    lines += [f"{name}: {json.dumps(trimmed(side[name]))}" for name in ("retry", "last_event_id") if name in side]
    return lines


def escaped(text: str) -> str:
    """The text as nothing but text, for a terminal and for the log of a CI system.

    Control characters, those that turn the direction of writing, and lone surrogates are shown; so are the beginnings of
    what a CI system takes for a command to it.
    """
    text = re.sub(CONTROLS, lambda c: ascii(c[0])[1:-1], text)
    return re.sub(COMMANDS, lambda c: f"{c[1]}\\x{ord(c[2]):02x}", text)


# ---- JSON ------------------------------------------------------------------------------------------------------------


def trimmed(value: Any) -> Any:
    """The value with long strings cut and counted: a report is read by people, too."""
    if isinstance(value, str) and len(value) > SHOWN_STRING:
        return f"{value[:100]}... ({len(value)} characters)"
    if isinstance(value, list):
        return [trimmed(item) for item in value[:1000]]
    if isinstance(value, dict):
        return {name: trimmed(item) for name, item in value.items()}
    return value


def as_json(run: Run) -> dict[str, Any]:
    """The report as JSON; its form is described by ``schema/report.json``."""
    return {
        "report": 1,
        "tool": {"name": "sse_ref", "version": run.tool},
        "corpus": run.corpus,
        "as_of": run.as_of,
        "target": run.target,
        "profile": run.profile,
        "program": {"run": run.program, "name": run.name, "version": run.version, "features": run.features},
        "conformant": run.conformant,
        "left_out": run.left_out,
        "unjudged": run.unjudged,
        "causes": [{"cause": g.cause, "vectors": [r.vector.id for r in g.results]} for g in grouped(run.results)],
        "counts": count(run.results),
        "results": [_result_json(result) for result in run.results],
    }


def _result_json(result: Result) -> dict[str, Any]:
    vector = result.vector
    return {
        "id": vector.id,
        "title": vector.title,
        "level": vector.level,
        "basis": vector.clause,
        "verdict": result.verdict,
        "scored": result.scored,
        "reason": result.reason,
        "known": result.known,
        "ms": round(result.ms, 1),
        "input": [trimmed(chunk) for chunk in result.input[:64]],
        "expected": trimmed(result.expected),
        "actual": trimmed(result.actual),
        "shown": result.shown,
        "stderr": result.stderr,
    }


# ---- Other forms -----------------------------------------------------------------------------------------------------


def as_junit(run: Run) -> str:
    """The report as JUnit XML: failures, errors and skips as CI systems know them."""
    suite = ElementTree.Element("testsuite", name=_xml(f"sse_ref {run.target}: {run.title}"))
    bad = skipped = errors = 0
    for result in run.results:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"{run.target}.{result.vector.tags[0]}", name=result.vector.id
        )
        case.set("time", f"{result.ms / 1000:.3f}")
        text = _xml(show_failure(run, result))
        if run.unexpected(result) and result.verdict != "error":
            bad += 1
            ElementTree.SubElement(case, "failure", message=_xml(escaped(result.reason))).text = text
        elif run.unexpected(result):
            errors += 1
            ElementTree.SubElement(case, "error", message=_xml(escaped(result.reason))).text = text
        elif result.verdict != "pass":
            skipped += 1
            ElementTree.SubElement(case, "skipped", message=_xml(escaped(f"{result.verdict}: {result.reason}")))
    numbers = {"tests": len(run.results), "failures": bad, "errors": errors, "skipped": skipped}
    for name, number in numbers.items():
        suite.set(name, str(number))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """Text without the characters that XML 1.0 cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def as_tap(run: Run) -> str:
    """The report in the Test Anything Protocol, version 13."""
    lines = ["TAP version 13", f"1..{len(run.results)}"]
    for number, result in enumerate(run.results, 1):
        ok = "ok" if result.verdict not in BAD else "not ok"
        directive = {"skip": " # SKIP ", "not-run": " # SKIP ", "xfail": " # TODO "}.get(result.verdict, "")
        if result.verdict == "xfail" or (ok == "not ok" and not run.unexpected(result)):
            ok, directive = "not ok", " # TODO "  # a TODO that fails is expected
        reason = escaped(result.reason).replace("#", "\\#")
        lines.append(f"{ok} {number} - {result.vector.id}{directive + reason if directive else ''}".rstrip())
        if ok == "not ok" and not directive:
            lines += [
                "  ---",
                f"  message: {json.dumps(escaped(result.reason))}",
                f"  level: {result.vector.level}",
                "  ...",
            ]
    return "\n".join(lines) + "\n"


def as_markdown(run: Run) -> str:
    """The report as Markdown: counts, and a table of what did not pass."""
    counts = count(run.results)
    lines = [f"### {run.target}: {as_cell(run.title)}", ""]
    lines += ["| " + " | ".join(VERDICTS) + " | conformant |", "|--:" * len(VERDICTS) + "|---|"]
    lines += ["| " + " | ".join(str(counts[v]) for v in VERDICTS) + f" | **{run.conformant}** |", ""]
    notable = [result for result in run.results if result.verdict != "pass"]
    if notable:
        lines += ["| verdict | level | vector | fact | here |", "|---|---|---|---|---|"]
        for result in notable:
            vector = result.vector
            cells = (result.verdict, vector.level, f"`{vector.id}`", as_cell(vector.title), as_cell(result.reason))
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def as_cell(text: str) -> str:
    """The text as a cell of a table in Markdown."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", escaped(text))


def as_badge(run: Run) -> dict[str, Any]:
    """The endpoint JSON of shields.io: how many of the ``must`` vectors passed."""
    must = [result for result in run.results if result.vector.level == "must" and result.scored]
    passed = sum(result.verdict in ("pass", "xpass") for result in must)
    colour = {"yes": "brightgreen", "incomplete": "yellow", "no": "red", "none": "lightgrey"}[run.conformant]
    message = f"{passed}/{len(must) + run.left_out}"
    return {"schemaVersion": 1, "label": f"SSE {run.target}", "message": message, "color": colour}


MAX_ANNOTATIONS = 10  # errors of one step that GitHub shows


def github_annotations(run: Run) -> list[str]:
    """Workflow commands for GitHub Actions: nine errors, and one that counts the rest."""
    bad = [result for result in run.results if run.unexpected(result)]
    shown: Sequence[Result] = bad if len(bad) <= MAX_ANNOTATIONS else bad[: MAX_ANNOTATIONS - 1]
    lines = []
    for result in shown:
        title = _command(f"{result.verdict} {result.vector.id}", property=True)
        lines.append(f"::error title={title}::{_command(f'{result.vector.title} Here: {result.reason}')}")
    if len(bad) > len(shown):
        lines.append(f"::error title=sse_ref::and {len(bad) - len(shown)} more; the summary of the step lists them all")
    return lines


def _command(text: str, *, property: bool = False) -> str:
    text = escaped(text) if property else "\n".join(map(escaped, text.splitlines()))
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if property else text
