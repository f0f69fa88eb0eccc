"""The errors: two families, one status for each kind, and what peers say made fit for a line."""

from __future__ import annotations

import re

import pytest

from sse_ref import errors
from sse_ref.errors import STATUSES, HTTPStatusError, RequestError, StreamError, fit

OUTCOMES = {kind.outcome: kind for kind in StreamError.__subclasses__()}


def test_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"^        (\w+) +(\w+) {2,}", errors.__doc__ or "", flags=re.MULTILINE)
    assert dict(drawn) == {kind.__name__: outcome for outcome, kind in OUTCOMES.items()} and len(drawn) == 5


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_keeps_the_text_and_says_its_message(outcome: str) -> None:
    error = OUTCOMES[outcome]("why")
    assert str(error) == "why" and error.text == "" and error.outcome == outcome


def test_http_error_has_its_status_or_none() -> None:
    assert HTTPStatusError("429: busy", 429).status == 429 and HTTPStatusError("no answer").status is None


@pytest.mark.parametrize("kind", STATUSES)
def test_status_follows_from_the_kind(kind: str) -> None:
    error = RequestError(kind, "because", param="a.b")
    assert (error.status, error.message, error.param, str(error)) == (STATUSES[kind], "because", "a.b", "because")
    assert 400 <= error.status < 600


def test_kind_that_there_is_not_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        RequestError("teapot", "short and stout")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("two\nlines\r\n", "two lines"),
        ("\x1b[31mred", "[31mred"),
        ("gpj.\u202eexe", "gpj. exe"),
        ("x" * 201, "x" * 200 + "..."),
        ("x" * 200, "x" * 200),
        ("", ""),
    ],
)
def test_what_a_peer_says_fits_on_one_line(text: str, line: str) -> None:
    assert fit(text) == line
