"""Options of the commands: numbers within bounds.

In:   the text of an option.
Out:  a number, or the error that ``argparse`` shows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

__all__ = ["between"]


def between(kind: Callable[[str], Any], low: float, high: float = 1e9) -> Callable[[str], Any]:
    """Return a type for ``argparse``: a number of a kind, ``int`` or ``float``, from ``low`` to ``high``.

    >>> between(int, 1, 8)("5")
    5
    """

    def number(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be from {low:g} to {high:g}")
        return value

    return number
