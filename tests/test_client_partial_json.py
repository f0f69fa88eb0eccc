"""Reading JSON while it grows: every beginning of a text, and values that only grow."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from sse_ref.client import read_partial


def random_json(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(8 if depth < 4 else 5)
    if kind == 0:
        return chance.choice([None, True, False])
    if kind == 1:
        return chance.choice([0, -1, 12, 3.5, -2e10, 1e-7])
    if kind < 5:
        return "".join(
            chance.choices(
                ['a"', "\\", "\n", "\u00e9", "\U0001f98a", " ", "{", "]", ",", ":", "\ud83d"], k=chance.randrange(6)
            )
        )
    if kind < 6:
        return [random_json(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {f'k{i}"\\': random_json(chance, depth + 1) for i in range(chance.randrange(4))}


def grows(earlier: Any, later: Any) -> bool:
    """The later value is the earlier one with more in it."""
    if isinstance(earlier, str) and isinstance(later, str):
        return later.startswith(earlier)
    if isinstance(earlier, list) and isinstance(later, list):
        return len(earlier) <= len(later) and all(grows(a, b) for a, b in zip(earlier, later, strict=False))
    if isinstance(earlier, dict) and isinstance(later, dict):
        return all(name in later and grows(value, later[name]) for name, value in earlier.items())
    return earlier is None or earlier == later


def test_every_beginning_of_a_text_can_be_read_and_values_only_grow() -> None:
    chance = random.Random(4)
    for _ in range(400):
        value = random_json(chance)
        for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
            previous = None
            for end in range(len(text) + 1):
                current = read_partial(text[:end])
                assert grows(previous, current), (text[:end], previous, current)
                previous = current
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                assert previous == value or "\ud83d" in text or "\\ud83d" in text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        (" ", None),
        ("{", {}),
        ('{"a', {}),
        ('{"a"', {}),
        ('{"a":', {}),
        ('{"a": t', {}),
        ('{"a": tru', {}),
        ('{"a": true', {"a": True}),
        ('{"a": 1', {}),
        ('{"a": 1,', {"a": 1}),
        ('{"a": -', {}),
        ("[1, 2", [1]),
        ('["x', ["x"]),
        ('["x\\', ["x"]),
        ('["x\\u00', ["x"]),
        ('["x\\ud83d', ["x"]),
        ('["x\\ud83d\\ude', ["x"]),
        ('["x\\ud83d\\ude00', ["x\U0001f600"]),
        ('["x"', ["x"]),
        ('"\\\\ud83d', "\\ud83d"),
        ("12", None),
    ],
)
def test_what_might_still_change_is_left_out(text: str, value: Any) -> None:
    assert read_partial(text) == value


@pytest.mark.parametrize("text", ["[" * 100_000, "}", "[}", "nope", "{a", "[1 2 x", '{"a": @'])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_partial(text)
