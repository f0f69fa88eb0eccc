"""What a run comes to, and every form in which it is told."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from raw import wait_for
from schema import problems

from sse_ref.conformance import matrix, reports, verdicts
from sse_ref.conformance.commands import main
from sse_ref.conformance.corpus import PROFILES, load, vector_of
from sse_ref.conformance.reports import Run
from sse_ref.conformance.runs import run_vectors
from sse_ref.conformance.verdicts import KnownFailure, Result, UsageError, conformance, exit_status
from sse_ref.server import running as serving

ROOT = Path(__file__).parents[1]
DECODERS = {vector.id: vector for vector in load("decoder")}
MUST, SHOULD, MAY = (DECODERS[id] for id in ("eol/lf", "prompt/cr-cr", "retry/empty"))


def result(verdict: str, vector: Any = MUST, **more: Any) -> Result:
    return Result(vector, verdict, **more)


def run(*results: Result, **more: Any) -> Run:
    given = {"target": "decoder", "program": "./d", "corpus": "2026.11", "tool": "1", **more}
    return Run(results=list(results), **given)


# ---- What it comes to ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("results", "options", "status"),
    [
        ([], {}, 0),
        ([result("pass")], {}, 0),
        ([result("fail")], {}, 1),
        ([result("error")], {}, 1),
        ([result("xfail")], {}, 0),
        ([result("xpass")], {}, 1),
        ([result("xpass")], {"allow_xpass": True}, 0),
        ([result("skip")], {}, 0),
        ([result("skip")], {"strict_skips": True}, 1),
        ([result("not-run")], {"strict_skips": True}, 1),
        ([result("skip", SHOULD)], {"strict_skips": True}, 0),
        ([result("fail", SHOULD)], {}, 0),
        ([result("fail", SHOULD)], {"strict": True}, 1),
        ([result("error", MAY)], {"strict": True}, 0),
        ([result("fail", scored=False)], {}, 0),
        ([result("fail")] * 300, {}, 1),
    ],
)
def test_exit_status_is_0_or_1_and_never_a_count(results: list[Result], options: dict[str, bool], status: int) -> None:
    assert exit_status(results, **options) == status


@pytest.mark.parametrize(
    ("results", "answer"),
    [
        ([result("pass"), result("fail", SHOULD)], "yes"),
        ([result("pass"), result("fail")], "no"),
        ([result("pass"), result("xfail")], "no"),
        ([result("pass"), result("skip")], "incomplete"),
        ([result("pass"), result("not-run")], "incomplete"),
        ([result("pass", SHOULD)], "none"),
        ([result("pass"), result("fail", scored=False)], "yes"),
    ],
)
def test_skip_is_never_a_pass(results: list[Result], answer: str) -> None:
    assert conformance(results) == answer
    assert json.loads(json.dumps(reports.as_json(run(*results))))["conformant"] == answer


def test_service_whose_vectors_were_not_judged_is_no_service_without_failures() -> None:
    about = {"fact": {"services": ["a", "b"]}, "other": {"services": ["b"]}}
    fact, other = (replace(SHOULD, body={**SHOULD.body, **body}) for body in about.values())
    results = [result("skip", fact), result("fail", other)]
    assert f"  a           nothing failed; 1 not judged\n  b           {SHOULD.id}; 1 not judged\n" in reports.summary(
        run(*results)
    )


def test_reasons_of_skips_are_said_and_counted() -> None:
    skips = [*[result("skip", reason="no comments")] * 2, result("not-run", reason="no model")]
    assert "  2 skip: no comments\n  1 not-run: no model\n  conformant: incomplete" in reports.summary(run(*skips))
    many = [result("skip", reason=f"reason {number}") for number in range(9)]
    assert "  1 skip: reason 5\n  3 skipped for other reasons\n" in reports.summary(run(*many))
    assert "skip:" not in reports.summary(run(result("pass")))


def test_bytes_in_a_chunk_each_are_one_dump() -> None:
    shown = list(reports.input_lines(result("fail", input=["64", "61", "0a"])))
    assert len(shown) == 1 and "|da.|" in shown[0] and shown[0].endswith("one chunk for each byte")
    assert len(list(reports.input_lines(result("fail", input=["64", "610a"])))) == 2


def test_what_a_vector_does_not_ask_for_is_no_difference() -> None:
    told = {"event": "message", "data": "a", "id": ""}
    event = {"data": "a", "chunk": 0, "extra": 1}
    failed = result("fail", expected={"events": [told], "last_event_id": "1"})
    failed.actual = {"events": [event], "last_event_id": "2", "retry": None}
    lines = [line.strip() for line in reports.show_failure(run(failed), failed).splitlines()]
    assert '-last_event_id: "1"' in lines and '+last_event_id: "2"' in lines
    assert not any("data" in line and line.startswith(("-", "+")) for line in lines)
    failed.expected = {"events": []}
    assert '+{"data": "a", "event": "message", "id": ""}' in reports.show_failure(run(failed), failed)


# ---- Known failures --------------------------------------------------------------------------------------------------


def test_known_failures_are_read_with_reason_and_flakiness() -> None:
    text = "# a list\n\neol/*  # CR is to be done\n~bom/stripped\n"
    assert verdicts.read_known(text, load("decoder")) == [
        KnownFailure("eol/*", "CR is to be done"),
        KnownFailure("bom/stripped", "", flaky=True),
    ]


def test_pattern_without_a_match_is_an_error_of_use() -> None:
    with pytest.raises(UsageError, match="line 2: no vector matches 'eol/nothing'"):
        verdicts.read_known("eol/lf\neol/nothing\n", load("decoder"))


def test_known_failures_turn_verdicts() -> None:
    known = [KnownFailure("eol/*", "later"), KnownFailure("bom/*", flaky=True), KnownFailure("retry/empty")]
    results = [
        result("fail"),
        result("error", DECODERS["eol/cr"]),
        result("pass", DECODERS["eol/crlf"]),
        result("pass", DECODERS["bom/stripped"]),
        result("fail", DECODERS["bom/then-blank"]),
        result("pass", MAY),
        result("skip", DECODERS["eol/lf-extra-blank"]),
        result("fail", DECODERS["id/basic"]),
    ]
    verdicts.apply_known(results, known)
    assert [r.verdict for r in results] == ["xfail", "xfail", "xpass", "pass", "xfail", "pass", "skip", "fail"]
    assert results[0].known == "later"


def test_written_known_failures_can_be_read_again() -> None:
    results = [result("fail", reason="a\nb # c"), result("pass", DECODERS["id/basic"]), result("fail", MAY)]
    text = verdicts.write_known(results)
    assert verdicts.read_known(text, load("decoder")) == [KnownFailure("eol/lf", "a b # c")]


# ---- Forms -----------------------------------------------------------------------------------------------------------

EVIL = "<b>&\"'\x1b[31m\x07\ud800\u2028 # | ` %"
MIXED = run(
    result("pass"),
    result("fail", DECODERS["eol/cr"], reason=f"it is wrong {EVIL}", input=["646174613a20610d", "0d"], stderr=EVIL),
    result("error", DECODERS["eol/crlf"], reason="timeout"),
    result("skip", DECODERS["id/basic"], reason="no id"),
    result("not-run", SHOULD, reason="needs chunks"),
    result("xfail", DECODERS["bom/stripped"], reason="known", known="later"),
    result("xpass", DECODERS["bom/then-blank"]),
    result("fail", MAY, reason="odd"),
    name="thing",
    version="1",
)


def test_json_report_has_the_form_of_its_schema() -> None:
    schema = json.loads((ROOT / "sse_ref" / "conformance" / "schema" / "report.json").read_text())
    report = json.loads(json.dumps(reports.as_json(MIXED)))
    assert list(problems(schema, report)) == []
    assert report["counts"]["fail"] == 2 and report["results"][1]["reason"].endswith("%")


def test_junit_is_xml_with_counts_that_agree() -> None:
    suite = ElementTree.fromstring(reports.as_junit(MIXED).encode())
    found = {kind: len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "error", "skipped")}
    assert found == {"failure": 2, "error": 1, "skipped": 4}
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["8", "2", "1", "4"]


def test_tap_numbers_every_line_and_names_the_directives() -> None:
    lines = reports.as_tap(MIXED).splitlines()
    assert lines[1] == "1..8"
    tests = [line for line in lines if re.match(r"(not )?ok \d+ - ", line)]
    assert [line.split(" - ")[0] for line in tests] == [
        "ok 1",
        "not ok 2",
        "not ok 3",
        "ok 4",
        "ok 5",
        "not ok 6",
        "not ok 7",
        "not ok 8",
    ]
    assert "# SKIP no id" in tests[3] and "# TODO" in tests[5]


def test_markdown_is_a_table_whatever_a_reason_holds() -> None:
    text = reports.as_markdown(MIXED)
    rows = [line for line in text.splitlines() if line.startswith("| fail")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 6 for row in rows) and "\x1b" not in text


def test_badge_counts_must_vectors() -> None:
    assert reports.as_badge(run(result("pass"), result("fail", SHOULD))) == {
        "schemaVersion": 1,
        "label": "SSE decoder",
        "message": "1/1",
        "color": "brightgreen",
    }
    assert reports.as_badge(run(result("skip")))["color"] == "yellow"


@pytest.mark.parametrize(("failures", "lines"), [(3, 3), (10, 10), (11, 10), (40, 10)])
def test_annotations_stay_within_what_is_shown(failures: int, lines: int) -> None:
    found = reports.github_annotations(run(*[result("fail", reason="100%\r\nwrong")] * failures))
    assert len(found) == lines and all(line.startswith("::error title=") for line in found)
    assert "100%25%0Awrong" in found[0]
    assert (f"and {failures - 9} more" in found[-1]) == (failures > 10)


def test_failure_shows_fact_reason_bytes_diff_and_how_to_repeat_it() -> None:
    shown = reports.show_failure(MIXED, MIXED.results[1])
    assert "\x1b" not in shown and "\x07" not in shown
    assert "chunk 2" in shown and "00000008  0d" in shown
    assert "python -m sse_ref.conformance decoder eol/cr -v -- ./d" in shown
    assert shown.splitlines()[0].startswith("FAIL decoder eol/cr  [must]  WHATWG HTML 9.2.5")


def test_summary_names_every_verdict() -> None:
    text = reports.summary(MIXED)
    assert all(f" {verdict}" in text for verdict in verdicts.VERDICTS)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.fetched += [name for name, _ in attributes if name in ("src", "href")]


def test_matrix_is_one_page_that_fetches_nothing() -> None:
    report = reports.as_json(MIXED)
    other = reports.as_json(run(result("pass"), name="other"))
    client = reports.as_json(run(result("pass", load("client")[0]), target="client", profile="openai-chat"))
    page = matrix.as_html([report, other, client])
    tags = Tags()
    tags.feed(page)
    assert tags.fetched == [] and "@import" not in page and "url(" not in page
    assert page.count("<h2>") == 2 and "thing 1" in page and "other" in page
    assert "<b>&" not in page and "&lt;b&gt;" in page


def test_several_reports_make_a_table() -> None:
    table = matrix.as_table([reports.as_json(MIXED), reports.as_json(run(result("pass"), name="other"))])
    assert "| thing 1 | 1 | 2 |" in table and "| other | 1 | 0 |" in table


def test_newer_vectors_are_run_and_not_scored(tmp_path: Path) -> None:
    newer = vector_of("decoder", {**DECODERS["eol/lf"].as_json(), "since": "2027.01", "target": "decoder"})
    old = run(result("pass"), result("fail", newer, scored=False), as_of="2026.11")
    assert "new, not scored: 1, later than 2026.11" in reports.summary(old)
    assert exit_status(old.results) == 0 and conformance(old.results) == "yes"
    assert "new, not scored" in reports.one_line(old.results[1])


def test_every_form_marks_what_makes_the_run_fail_and_nothing_else() -> None:
    weak = [result("fail", SHOULD, reason="late"), result("xpass")]
    for strict, allow, marked in ((False, True, 0), (True, True, 1), (True, False, 2), (False, False, 1)):
        own = run(*weak, strict=strict, allow_xpass=allow)
        assert exit_status(own.results, strict=strict, allow_xpass=allow) == bool(marked)
        assert len(reports.github_annotations(own)) == marked
        assert len(ElementTree.fromstring(reports.as_junit(own).encode()).findall("testcase/failure")) == marked
        assert len(re.findall(r"^not ok (?!.*# TODO)", reports.as_tap(own), re.MULTILINE)) == marked


def test_what_a_program_calls_itself_harms_nothing() -> None:
    own = run(result("fail", reason=EVIL), name="\x1b[31m\n::error::x\x00", version="\ud800")
    assert "\x1b" not in reports.summary(own) and "\n::error" not in reports.summary(own)
    ElementTree.fromstring(reports.as_junit(own).encode())
    assert all("\n" not in line and "\x1b" not in line for line in reports.github_annotations(own))


# ---- The command -----------------------------------------------------------------------------------------------------

PYTHON = [sys.executable, "-S"]  # without what is installed: it starts in a third of the time
GOOD = [*PYTHON, "-m", "sse_ref.conformance.reference", "decoder"]
BAD = [*PYTHON, "examples/adapters/decoder.py"]
HANGS = 600  # seconds: no run of the judge takes as long, on a busy machine either


def judge(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")}
    command = [sys.executable, "-m", "sse_ref.conformance", *words]
    environment |= {"PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "error", **(env or {})}
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", env=environment, timeout=HANGS)


@pytest.mark.once
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "decoder"),
        (["decoder"], "the command to be judged is missing"),
        (["decoder", "--", "./no-such-program"], "cannot be started"),
        (["decoder", "nothing/*", "--", *GOOD], "no decoder vector matches 'nothing/*'"),
        (["decoder", "--skip", "nothing", "--", *GOOD], "no decoder vector matches 'nothing'"),
        (["decoder", "--without", "colour", "--", *GOOD], "there is no feature colour"),
        (["decoder", "--known", "/no/such/file", "eol/lf", "--", *GOOD], "cannot be read"),
        (["decoder", "--as-of", "2020.01", "eol/lf", "--", *GOOD], "there is no corpus version 2020.01"),
        (["decoder", "--only-failed", "README.md", "--", *GOOD], "is not JSON"),
        (["decoder", "--json", "/no/such/folder/x", "eol/lf", "--", *GOOD], "cannot be written"),
        (["decoder", "--colour", "--", *GOOD], "unrecognized arguments"),
        (["decoder", "--timeout", "0", "--", *GOOD], "must be from 0.001"),
        (["server", "http://127.0.0.1:9/v1", "--model", "m"], "nothing answers at 127.0.0.1:9"),
        (["server", "--model", "m"], "name one URL"),
        (["server", "http://127.0.0.1:9/v1"], "--model is missing"),
        (["server", "ftp://x", "--model", "m"], "the URL must be like"),
        (["server", "http://127.0.0.1:9", "--model", "m", "--api-key-env", "NO_SUCH_KEY"], "holds no API key"),
        (["server", "http://127.0.0.1:9", "--model", "m", "--model-for", "x"], "WHAT=NAME"),
        (["client"], "the command to be judged is missing"),
        (["show", "nothing"], "there is no vector 'nothing'"),
        (["show", "head/framing", "--bytes"], "has no bytes"),
        (["list", "decoder", "nothing/*"], "no vector matches"),
        (["export", "/dev/null/x"], "cannot be written"),
        (["report", "README.md"], "is not JSON"),
        (["fly"], "invalid choice"),
        (["serve", "--port", "99999"], "from 0 to 65535"),
        (["decoder", "--jobs", "-3", "--", *GOOD], "from 1 to 1000"),
        (["decoder", "--raw", "--persistent", "--", *GOOD], "leave out --persistent"),
    ],
)
def test_wrong_use_is_one_message_and_status_2(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    try:
        status: Any = main(words)
    except SystemExit as end:  # as argparse does it
        status = end.code
    assert status == 2 and message in capfd.readouterr().err


@pytest.mark.once
def test_every_report_is_written(tmp_path: Path) -> None:
    names = {form: str(tmp_path / f"report.{form}") for form in ("json", "junit", "tap", "md", "badge", "html")}
    options = [word for form, name in names.items() for word in (f"--{form}", name)]
    done = judge("decoder", "--persistent", "eol/*", *options, "--name", "mine", "--", *BAD)
    assert done.returncode == 1
    assert json.loads(Path(names["json"]).read_text())["program"]["name"] == "mine"
    assert all(Path(name).stat().st_size for name in names.values())
    both = judge("report", names["json"], names["json"], "--html", str(tmp_path / "both.html"))
    assert both.returncode == 0 and (tmp_path / "both.html").stat().st_size
    again = judge("decoder", "--persistent", "--only-failed", names["json"], "--brief", "--", *BAD)
    assert "0 pass" in again.stdout and again.returncode == 1


@pytest.mark.once
def test_json_to_standard_output_is_nothing_but_json() -> None:
    done = judge("decoder", "--persistent", "eol/lf", "--json", "-", "--", *GOOD)
    assert json.loads(done.stdout)["counts"]["pass"] == 1 and "conformant: incomplete" in done.stderr


@pytest.mark.once
def test_part_of_the_corpus_is_not_the_whole() -> None:
    done = judge("decoder", "--persistent", "eol/*", "--badge", "-", "--", *GOOD)
    must = sum(vector.level == "must" for vector in DECODERS.values())
    ran = sum(vector.level == "must" and id.startswith("eol/") for id, vector in DECODERS.items())
    assert f"conformant: incomplete ({must - ran} must vectors left out)" in done.stderr
    assert json.loads(done.stdout)["message"] == f"{ran}/{must}" and done.returncode == 0
    newest = judge("decoder", "--persistent", "--as-of", "2026.11", "--json", "-", "--", *GOOD)
    assert json.loads(newest.stdout)["conformant"] == "yes" and json.loads(newest.stdout)["left_out"] == 0
    assert run(result("fail"), left_out=3).conformant == "no"


@pytest.mark.once
@pytest.mark.parametrize(
    ("command", "rest"),
    [
        ("decoder", "[options] [GLOB ...] -- CMD ..."),
        ("encoder", "[options] [GLOB ...] -- CMD ..."),
        ("client", "[options] [GLOB ...] -- CMD ..."),
        ("server", "[options] [GLOB ...] URL --model M"),
        ("serve", "[-h] [--port PORT]"),
    ],
)
def test_help_of_a_command_begins_with_how_it_is_called(command: str, rest: str) -> None:
    first = judge(command, "--help", env={"COLUMNS": "120"}).stdout.splitlines()[0]
    assert first == f"usage: python -m sse_ref.conformance {command} {rest}"


@pytest.mark.once
def test_selection_by_level_tag_and_skip() -> None:
    done = judge(
        "decoder", "--persistent", "--tag", "prompt", "--level", "should", "--skip", "*/cr-cr", "-v", "--", *GOOD
    )
    assert re.findall(r"PASS decoder (\S+)", done.stdout) == ["prompt/crlf-minus-lf", "prompt/lf-cr", "prompt/crlf-cr"]


@pytest.mark.once
def test_known_failures_from_writing_to_an_unexpected_pass(tmp_path: Path) -> None:
    known = str(tmp_path / "known.txt")
    assert judge("decoder", "--persistent", "bom/*", "--write-known", known, "--", *BAD).returncode == 1
    assert judge("decoder", "--persistent", "bom/*", "--known", known, "--", *BAD).returncode == 0
    fixed = judge("decoder", "--persistent", "bom/*", "--known", known, "--", *GOOD)
    assert fixed.returncode == 1 and "take it out of the known failures" in fixed.stdout
    allowed = judge("decoder", "--persistent", "bom/*", "--known", known, "--allow-xpass", "--", *GOOD)
    assert allowed.returncode == 0


@pytest.mark.once
def test_github_gets_annotations_and_a_summary(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    done = judge("decoder", "--persistent", "--brief", "--", *BAD, env=env)
    errors = [line for line in done.stdout.splitlines() if line.startswith("::error")]
    assert len(errors) == 10 and "more" in errors[-1]
    assert summary.read_text().startswith("### decoder")


@pytest.mark.once
def test_strict_counts_should_vectors() -> None:
    words = ["decoder", "--persistent", "prompt/cr-cr", "--", *BAD]
    assert judge(*words).returncode == 0
    assert judge("decoder", "--strict", *words[1:]).returncode == 1


@pytest.mark.once
def test_encoder_and_raw_decoder_are_judged() -> None:
    encoder = [*GOOD[:-1], "encoder"]
    assert "conformant: yes" in judge("encoder", "--persistent", "--", *encoder).stdout
    raw = "import sys, json; d = sys.stdin.read()\nif d: print(json.dumps({'data': d[6:].strip()}))"
    done = judge("decoder", "--raw", "framing/single-event", "prompt/lf", "--", sys.executable, "-c", raw)
    assert "1 pass, 0 fail" in done.stdout and "1 not-run" in done.stdout


@pytest.mark.once
def test_show_gives_the_bytes_as_they_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sse_ref.conformance", "show", "bom/stripped", "--bytes"], cwd=ROOT, capture_output=True
    )
    assert done.stdout == b"\xef\xbb\xbfdata: a\n\n"
    assert judge("show", "bom/stripped", "--hex").stdout == "efbbbf646174613a20610a0a\n"


@pytest.mark.once
@pytest.mark.parametrize("target", ["decoder", "encoder", "client", "server"])
def test_every_vector_can_be_listed_and_shown(target: str) -> None:
    listed = judge("list", target).stdout.splitlines()
    assert len(listed) == len(load(target))
    assert json.loads(judge("list", target, "--json").stdout)[0]["target"] == target
    shown = judge("show", listed[0].split()[0])
    assert shown.returncode == 0 and load(target)[0].title in shown.stdout


@pytest.mark.slow  # make self
def test_self_passes_everything() -> None:
    done = judge("self", "--jobs", "6")
    assert done.returncode == 0, done.stdout[-3000:]
    assert done.stdout.count("conformant: yes") == 2 + 2 * len(PROFILES)
    assert not re.search(r"[1-9]\d* (fail|error|skip|not-run|xfail|xpass)", done.stdout)


SURROGATE = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"id": request.get("id"), "name": "\\ud800\\x1b", "events": [{"data": "\\ud800"}]}), flush=True)
"""


@pytest.mark.once
def test_lone_surrogates_of_a_program_spoil_no_report(tmp_path: Path) -> None:
    forms = ("json", "junit", "tap", "md", "badge", "html")
    names = [word for form in forms for word in (f"--{form}", str(tmp_path / form))]
    words = ["decoder", "--persistent", "framing/single-event", *names, "--write-known", str(tmp_path / "known")]
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    done = judge(*words, "--", sys.executable, "-c", SURROGATE, env=env)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert len(list(tmp_path.iterdir())) == 8 and "\x1b" not in done.stdout


# ---- A run, while it goes on -------------------------------------------------------------------------------------------


def ran(first: list[Result], again: dict[str, Result], jobs: int = 1) -> tuple[list[Result], list[Result], list[str]]:
    """The results of a run, the order in which they were told, and what was tried again."""
    given = {one.vector.id: one for one in first}
    told: list[Result] = []
    retried: list[str] = []

    def try_again(vector: Any) -> Result:
        assert len(told) >= sum(not one.expired for one in first)  # alone: the others are done
        retried.append(vector.id)
        return again[vector.id]

    vectors = [one.vector for one in first]
    results = run_vectors(vectors, lambda vector: given[vector.id], try_again, jobs, told.append)
    return results, told, retried


@pytest.mark.parametrize("jobs", [1, 3])
def test_what_expired_is_tried_again_alone_before_it_is_said(jobs: int) -> None:
    late = result("error", MUST, reason="timeout", expired=True)
    results, told, retried = ran(
        [late, result("pass", SHOULD), result("fail", MAY)], {MUST.id: result("pass", MUST)}, jobs
    )
    assert [one.verdict for one in results] == ["pass", "pass", "fail"] and retried == [MUST.id]
    assert [one.vector.id for one in told] == [SHOULD.id, MAY.id, MUST.id]
    results, *_ = ran([late], {MUST.id: result("error", MUST, reason="timeout again", expired=True)})
    assert results[0].reason == "timeout; alone, with a longer limit: timeout again"


def test_errors_are_not_tried_again_for_ever() -> None:
    vectors = list(DECODERS.values())[:6]
    late = [result("error", vector, reason="timeout", expired=True) for vector in vectors]
    again = {vector.id: result("error", vector, reason="timeout") for vector in vectors}
    results, told, retried = ran(late, again)
    assert len(retried) == 3 and len(told) == 6 and "not tried again" in results[-1].reason


WAITING = """
import json, os, sys, time
for line in sys.stdin:
    request = json.loads(line)
    if request.get("id") == "eol/cr":
        while not os.path.exists(os.environ["GO_ON"]):
            time.sleep(0.01)
    if request["op"] == "decode":
        print(json.dumps({"id": request["id"], "events": [], "retry": None, "last_event_id": ""}), flush=True)
"""


@pytest.mark.once
def test_results_are_printed_as_they_come(tmp_path: Path) -> None:
    """The program waits, in its last vector, until its first failure was seen."""
    words = [
        sys.executable,
        "-m",
        "sse_ref.conformance",
        "decoder",
        "--persistent",
        "--brief",
        "eol/lf",
        "eol/cr",
        "--",
    ]
    command = [*words, sys.executable, "-I", "-S", "-c", WAITING]
    environment = {**os.environ, "GO_ON": str(tmp_path / "go")}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline().startswith("FAIL    eol/lf")
        (tmp_path / "go").touch()
        assert process.stdout.readline().startswith("FAIL    eol/cr")
        assert "conformant: no" in process.stdout.read()


@pytest.mark.once
def test_terminal_is_told_how_far_the_run_is() -> None:
    ours, theirs = os.openpty()
    words = [sys.executable, "-m", "sse_ref.conformance", "decoder", "--persistent", "eol/*", "--", *GOOD]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    told = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0 and "22/23, 0 failed: eol/" in told and told.endswith("\r\x1b[K")


@pytest.mark.once
@pytest.mark.parametrize(
    "numbers", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM] * 5, [signal.SIGINT, signal.SIGTERM]], ids=str
)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ending_the_judge_ends_the_program_under_test(tmp_path: Path, numbers: list[int], jobs: str) -> None:
    code = "import os, time; open(os.environ['PIDS'] + str(os.getpid()), 'w'); time.sleep(600)"
    words = [
        sys.executable,
        "-m",
        "sse_ref.conformance",
        "decoder",
        "framing/*",
        "--jobs",
        jobs,
        "--timeout",
        "300",
        "--",
    ]
    environment = {**os.environ, "PIDS": f"{tmp_path}/"}
    with subprocess.Popen([*words, sys.executable, "-I", "-S", "-c", code], cwd=ROOT, env=environment) as process:
        try:
            assert wait_for(lambda: list(tmp_path.iterdir()))
            for number in numbers:
                process.send_signal(number)
            # A last signal may come when the judge has ended its run, and is about to exit: to a shell it is the same.
            assert process.wait(timeout=60) in {130, *(128 + n for n in numbers), *(-n for n in numbers)}
        finally:
            process.kill()
    for file in tmp_path.iterdir():
        assert wait_for(lambda pid=int(file.name): not running(pid))  # type: ignore[misc]


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


OWN_DEFAULT = """
import json, sys
sys.path.insert(0, {root!r})
from sse_ref.conformance import reference
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "decode":
        reply = reference.decode(request)
        reply["retry"] = 3000 if reply["retry"] is None else reply["retry"]
        print(json.dumps({{"id": request["id"], **reply}}), flush=True)
"""


@pytest.mark.once
@pytest.mark.parametrize("options", [[], ["--persistent", "--jobs", "2"], ["--persistent"]], ids=str)
def test_decoder_with_a_default_of_its_own_is_accused_of_nothing(options: list[str]) -> None:
    code = OWN_DEFAULT.format(root=str(ROOT))
    done = judge("decoder", "retry/*", "framing/*", *options, "--", *PYTHON, "-c", code)
    asked = [vector for vector in DECODERS.values() if vector.id.startswith(("retry/", "framing/"))]
    assert done.returncode == 0 and f"  all    {len(asked)} pass, 0 fail" in done.stdout, done.stdout


@pytest.mark.once
def test_only_failed_of_a_report_without_failures_is_nothing_to_do(tmp_path: Path) -> None:
    report = str(tmp_path / "r.json")
    assert judge("decoder", "--persistent", "eol/lf", "--json", report, "--", *GOOD).returncode == 0
    again = judge("decoder", "--persistent", "--only-failed", report, "--", *GOOD)
    assert again.returncode == 0 and "0 pass, 0 fail" in again.stdout


@pytest.mark.once
def test_list_takes_globs_without_a_target() -> None:
    assert len(judge("list", "bom/*").stdout.splitlines()) == len([id for id in DECODERS if id.startswith("bom/")])
    sources = [vector for vector in load("client") if vector.profile == "sse"]
    assert len(judge("list", "client", "--profile", "sse").stdout.splitlines()) == len(sources)


# ---- Easy to use -------------------------------------------------------------------------------------------------------

NAIVE = [*PYTHON, "examples/adapters/decoder.py"]


@pytest.mark.once
def test_failures_stand_together_by_cause_the_most_telling_whole() -> None:
    done = judge("decoder", "--persistent", "eol/*", "--", *NAIVE)
    lines, _, whole = done.stdout.partition("\n\n")
    assert all(line.startswith("FAIL    eol/") for line in lines.splitlines())
    assert whole.count("FAIL decoder ") == whole.count("  again    ") < len(lines.splitlines())
    assert "vectors: Neither CR nor CRLF is taken for a line end.\n" in whole and "  rest     eol/" in whole
    assert "  cause  " in whole.rpartition("  all ")[2]


@pytest.mark.once
def test_quick_run_is_a_part_of_the_corpus() -> None:
    done = judge("decoder", "--quick", "--persistent", "--", *GOOD)
    assert done.returncode == 0 and "conformant: incomplete" in done.stdout
    for target, most in (("decoder", 60), ("encoder", 40), ("client", 200), ("server", 300), ("gateway", 30)):
        tagged = [vector for vector in load(target) if "quick" in vector.tags]
        assert 0 < len(tagged) <= most, (target, len(tagged))


@pytest.mark.once
def test_fail_fast_ends_at_the_first_failure_that_counts() -> None:
    done = judge("decoder", "--persistent", "--fail-fast", "--brief", "eol/*", "--", *NAIVE)
    assert done.returncode == 1 and done.stdout.count("FAIL") == 1 and " not-run" in done.stdout
    assert "the run ended at its first failure" in done.stdout
    assert judge("decoder", "--persistent", "--fail-fast", "eol/*", "--", *GOOD).returncode == 0


@pytest.mark.once
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("pass", "it ended with exit status 0"),
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        (
            "import sys, json\nfor l in sys.stdin: print(json.dumps({'id': json.loads(l).get('id'), 'events': []}))",
            "it says",
        ),
    ],
)
@pytest.mark.parametrize("persistent", [["--persistent"], []])
def test_adapter_that_does_nothing_is_told_so_before_anything_is_counted(
    code: str, said: str, persistent: list[str]
) -> None:
    done = judge("decoder", *persistent, "--", *PYTHON, "-c", code)
    assert (done.returncode, done.stdout) == (2, ""), done.stdout[:500]
    assert "the adapter does nothing yet, so nothing was counted" in done.stderr and said in done.stderr


@pytest.mark.once
def test_url_that_is_wrong_for_every_request_is_no_failure_of_the_server() -> None:
    with serving() as server:
        done = judge("server", f"{server.url}/api", "--model", "toy")
        assert (done.returncode, done.stdout) == (
            2,
            "",
        ) and "the URL is wrong: 'POST /api/chat/completions'" in done.stderr
        assert judge("server", f"{server.url}/v1", "--model", "no-such", "head/status-200").returncode == 1


def test_server_is_conformant_although_something_cannot_be_seen_from_outside() -> None:
    server = load("server")[0]
    given = run(result("pass", server), result("skip", load("server")[1]), target="server", profile="openai-chat")
    assert given.conformant == "yes" and "conformant: yes (1 must vectors could not be judged here)" in reports.summary(
        given
    )
    assert run(result("skip", server), target="server").conformant == "incomplete"
    assert run(result("pass"), result("skip", SHOULD), result("skip", MUST)).conformant == "incomplete"


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mred",
        "\u202eevil",
        "::error::x",
        "  ::stop-commands::x",
        "##[group]x",
        "##vso[task.x]",
        "##teamcity[x]",
        "a\r\nb",
    ],
)
def test_what_a_program_says_is_text_wherever_it_goes(text: str) -> None:
    given = run(result("fail", reason=text), name=text)
    shown = [reports.summary(given), reports.show_failure(given, given.results[0]), reports.one_line(given.results[0])]
    shown += [reports.as_markdown(given), reports.as_tap(given), reports.as_junit(given)]
    report = reports.as_json(given)
    shown += [matrix.as_html([report]), matrix.as_table([report])]
    for whole in shown:
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", whole)
        for line in whole.splitlines():
            assert not line.strip().startswith(("::", "##vso[", "##teamcity[")) and "##[" not in line, line


def test_healthy_program_is_one_screen_of_the_matrix() -> None:
    report = reports.as_json(run(*(result("pass", vector) for vector in DECODERS.values())))
    page = matrix.as_html([report])
    assert "No vector failed." in page and "<h3>Failures" not in page
    assert (
        page.count("<tr>") - page.count("<tr><td><code>") < 5 and f"<details><summary>{len(DECODERS)} vectors" in page
    )


@pytest.mark.once
def test_export_writes_over_nothing_unless_it_is_told_to(tmp_path: Path) -> None:
    assert judge("export", str(tmp_path)).returncode == 0
    again = judge("export", str(tmp_path))
    assert again.returncode == 2 and "--force" in again.stderr
    assert judge("export", str(tmp_path), "--force").returncode == 0


def test_header_that_is_none_is_refused() -> None:
    done = judge("server", "http://127.0.0.1:1/v1", "--model", "m", "--header", "no colon")
    assert done.returncode == 2 and "--header takes NAME: VALUE" in done.stderr
