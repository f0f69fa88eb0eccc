"""What ``make bench`` measured, kept for the README: one section for each kind of program."""

from __future__ import annotations

import datetime
import json
import os
import platform
import random
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

TPS = 50  # tokens a second of each paced stream
TOO_LATE = 2000  # milliseconds: a server whose tokens are later than that is not tried with more streams
FILE = Path(__file__).parent / "results.json"
T = TypeVar("T")


def spread(values: list[float]) -> list[float]:
    """The median, between the quarters below and above it.

    >>> spread([1, 2, 3, 4, 5])
    [2.0, 3.0, 4.0]
    """
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return [float(f"{value:.3g}") for value in (low, middle, high)]


def in_turn(names: Iterable[str], turn: int) -> list[str]:
    """All names, in another order each turn.

    >>> sorted(in_turn("abc", 0)), in_turn("abc", 0) == in_turn("abc", 1)
    (['a', 'b', 'c'], False)
    """
    shuffled = list(names)
    random.Random(turn).shuffle(shuffled)
    return shuffled


def beside(ours: Callable[[], T], other: Callable[[], T], turn: int) -> tuple[T, T]:
    """What both give, one right after the other: the speed of a shared machine changes from one second to the next.

    >>> beside(lambda: "ours", lambda: "other", 1)
    ('ours', 'other')
    """
    if turn % 2:
        found = other()
        return ours(), found
    return ours(), other()


def keep(section: str, found: Any, *, interpreter: bool = False) -> None:
    """Replace one section, or the part of it that belongs to this CPython; with when and on what it was measured."""
    kept: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    number = platform.python_version()
    told = {"date": datetime.date.today().isoformat(), "cores": os.cpu_count(), **found}
    kept[section] = {**kept.get(section, {}), number: told} if interpreter else {"python": number, **told}
    FILE.write_text(json.dumps(kept, indent=1) + "\n")
