"""JSON of requests: what is no JSON is refused, what is wrong is named by its path, what is written is one line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sse_ref.dialects.strict_json import MAX_BRACKETS, Fields, read_json, to_json
from sse_ref.errors import RequestError


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff{}", "not valid JSON"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": -Infinity}', "-Infinity is no JSON number"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b'{"a": [' + b"[]," * MAX_BRACKETS + b"[]]}", "more than 100000 opening brackets"),
        (b'{"a": "\\ud83e"}', "half of a surrogate pair"),
        (b'{"a": {"b": ["\\udd8a"]}}', "half of a surrogate pair"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_json_object_is_refused(body: bytes, problem: str) -> None:
    with pytest.raises(RequestError, match=problem) as raised:
        Fields(body)
    assert raised.value.status == 400


def test_member_with_half_a_pair_is_named() -> None:
    with pytest.raises(RequestError) as raised:
        Fields(b'{"good": "\\ud83e\\udd8a", "bad": "\\ud83e"}')
    assert raised.value.param == "bad"


FIELDS = Fields(
    {
        "text": "t",
        "empty": "",
        "flag": True,
        "n": 3,
        "x": 0.5,
        "null": None,
        "object": {"in": {"n": 1}},
        "list": [{}, 1],
    }
)


@pytest.mark.parametrize(
    ("read", "param"),
    [
        (lambda: FIELDS.text("missing"), "missing"),
        (lambda: FIELDS.text("empty"), "empty"),
        (lambda: FIELDS.text("n"), "n"),
        (lambda: FIELDS.flag("n"), "n"),
        (lambda: FIELDS.number("flag", 1, 0, 9), "flag"),
        (lambda: FIELDS.number("n", 1, 0, 2), "n"),
        (lambda: FIELDS.number("n", 1, 4, 9), "n"),
        (lambda: FIELDS.number("x", 1, 0, 9, whole=True), "x"),
        (lambda: FIELDS.object("n"), "n"),
        (lambda: FIELDS.object("missing", required=True), "missing"),
        (lambda: FIELDS.object("object").object("in").text("n"), "object.in.n"),
        (lambda: list(FIELDS.objects("list")), "list[1]"),
        (lambda: list(FIELDS.objects("object")), "object"),
        (lambda: list(FIELDS.objects("null", required=True)), "null"),
        (lambda: list(Fields({"list": []}).objects("list", required=True)), "list"),
        (lambda: [part.text("text") for part in Fields({"list": [{}]}).objects("list")], "list[0].text"),
    ],
)
def test_wrong_member_is_named_by_its_path(read: Any, param: str) -> None:
    with pytest.raises(RequestError) as raised:
        read()
    assert (raised.value.kind, raised.value.param) == ("bad_request", param)
    assert raised.value.message.startswith(param)


def test_missing_and_null_members_have_their_defaults() -> None:
    for name in ("missing", "null"):
        assert FIELDS.get(name) is None
        assert FIELDS.flag(name) is False and FIELDS.flag(name, True) is True
        assert FIELDS.number(name, 7, 0, 9) == 7
        assert FIELDS.object(name).values == {} and list(FIELDS.objects(name)) == []


def test_good_members_are_read() -> None:
    assert (FIELDS.text("text"), FIELDS.flag("flag"), FIELDS.number("n", None, 3, 3, whole=True)) == ("t", True, 3)
    assert FIELDS.object("object").object("in").number("n", None, 0, 1) == 1


@pytest.mark.parametrize("number", ["1e999", "9" * 4001])
def test_number_that_is_infinite_may_stand_beside_characters_outside_the_first_plane(number: str) -> None:
    assert Fields(b'{"a": [%b, "\\ud83e\\udd8a"]}' % number.encode()).get("a") == [float("inf"), "\U0001f98a"]
    with pytest.raises(RequestError, match="half of a surrogate pair"):
        Fields(b'{"a": [%b, "\\ud83e"]}' % number.encode())


def test_number_of_any_length_is_read() -> None:
    assert read_json("9" * 4000) == int("9" * 4000) and read_json("9" * 4001) == float("inf")


def test_lenient_reading_knows_nan_and_strict_reading_does_not() -> None:
    assert read_json("[Infinity]") == [float("inf")]
    with pytest.raises(ValueError, match="Infinity"):
        read_json("[Infinity]", strict=True)


@pytest.mark.parametrize("value", [{"a": "\U0001f98a\u2028\u2029\x85"}, [1, 2.5, None], "\n\0", {}])
def test_what_is_written_is_one_line_and_reads_back(value: Any) -> None:
    text = to_json(value)
    assert json.loads(text) == value and len(text.splitlines()) == 1 and ("\U0001f98a" in text) == ("a" in str(value))
