"""The league: no accusation without a look by hand, and a page that says what the data say."""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "league"))

import page  # noqa: E402

pytestmark = pytest.mark.once  # it is about data, not about Python

NAMES = [(kind, name) for kind in page.KINDS for name in page.ordered(kind)]


def test_page_says_what_the_data_say() -> None:
    assert page.PAGE.read_text() == page.page(), "make readme writes it"


def test_league_is_as_large_as_it_says() -> None:
    least = {"decoder": 32, "source": 14, "chat": 14, "encoder": 15, "server": 20, "gateway": 5}
    assert {kind: len(page.ordered(kind)) >= number for kind, number in least.items()} == dict.fromkeys(least, True)
    for kind in ("decoder", "source"):
        assert {"chromium", "firefox"} <= set(page.ordered(kind))
    assert {"anthropic", "openai-responses", "gemini", "cohere"} <= {kind for kind, _ in NAMES}


@pytest.mark.parametrize("finding", page.findings(), ids=lambda finding: finding.label)
def test_finding_says_what_was_done_by_hand_and_what_was_seen(finding: page.Finding) -> None:
    assert finding.found.endswith(".") and finding.how.endswith(".") and finding.saw
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", finding.date) and finding.whose in page.WHOSE
    assert finding.programs and page.clause(finding)
    for name in finding.programs:
        assert finding in page.explained(finding.kind, name).values(), f"{name} fails nothing of it any more"
    for pattern in finding.vectors:
        assert any(fnmatchcase(id, pattern) for id in page.vectors(finding.kind)), pattern


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_only_what_was_looked_at_is_counted(kind: str, name: str) -> None:
    why = page.explained(kind, name)
    must, should = (int(cell.split(", ")[1]) for cell in page.row(kind, name).split(" | ")[1:3])
    looked_at = [id for id, finding in why.items() if finding and finding.whose != "adapter"]
    assert must + should == len(looked_at)
    unseen = [id for id, finding in why.items() if finding is None]
    assert page.row(kind, name).split(" | ")[4] == str(len(unseen) or "")


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_counts_add_up_to_the_corpus(kind: str, name: str) -> None:
    program = page.results()[kind][name]
    for level in ("must", "should"):
        ids = {id for id, vector in page.vectors(kind).items() if vector.level == level}
        bad, skipped = ids & set(program["failed"]), ids & set(program["skipped"])
        assert sum(program[level]) == len(ids) - len(skipped) and sum(program[level][1:]) == len(bad)


def test_our_own_server_and_the_best_are_accused_of_little() -> None:
    assert page.results()["server"]["sse_ref"]["failed"] == {}
    assert len(page.results()["decoder"]["eventsource-parser"]["failed"]) <= 1
    assert len(page.results()["decoder"]["chromium"]["failed"]) == 2


def test_reports_name_a_clause_an_input_and_what_is_expected() -> None:
    reports = (HERE / "league" / "upstream.md").read_text().split("\n## ")[1:]
    assert len(reports) >= 10
    for report in reports:
        assert "xpected" in report, report[:60]
