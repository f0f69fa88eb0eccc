"""Timers: one for each of many streams, and which of them have run out.

In:   for each entry the time at which its timer shall run out, and later another time in its place.
Out:  the entries whose timers have run out, the earliest first; the time until which there is none.

Time is divided into ticks of a quarter of a millisecond. The timers that run out in one tick stand together in a list, and
only the ticks stand in a heap. A thousand streams of fifty tokens a second set a dozen timers in each tick. So to set one
is to append it to a list, and the heap is rarely touched.

A new timer does not search for the old one. An entry knows the tick of its one valid timer, and in the list of any other
tick it is void. Void timers keep closed connections alive, so they are cleared out as soon as they may outnumber the valid.
"""

from __future__ import annotations

import heapq
import math
from typing import Generic, Protocol, TypeVar

__all__ = ["Timed", "Timers"]

TICKS = 4096  # in a second; a power of two, so that no timer runs out early because its time was rounded


class Timed(Protocol):
    """What can have a timer."""

    timer: int | None  # the tick in which it runs out


T = TypeVar("T", bound=Timed)


class Timers(Generic[T]):
    """The timers of any number of entries. Times are in seconds, by a clock that never goes back.

    >>> class Entry:
    ...     timer = None
    >>> timers, a, b = Timers(), Entry(), Entry()
    >>> timers.set(a, 2.0), timers.set(b, 1.0), timers.set(a, 3.0)
    (None, None, None)
    >>> timers.next(), timers.run_out(2.5) == [b], timers.run_out(3.0) == [a], timers.next()
    (1.0, True, True, None)
    """

    def __init__(self) -> None:
        self.lists: dict[int, list[T]] = {}  # by tick
        self.ticks: list[int] = []  # a heap: which lists there are
        self.count = 0  # of all that stands in the lists
        self.most = 100  # timers, before the void ones are cleared out

    def set(self, entry: T, when: float) -> None:
        """Let the timer of ``entry`` run out at this time (infinity: never), and at no other."""
        if when == math.inf:
            entry.timer = None
            return
        entry.timer = tick = math.ceil(when * TICKS)
        if tick in self.lists:
            self.lists[tick].append(entry)
        else:
            self.lists[tick] = [entry]
            heapq.heappush(self.ticks, tick)
        self.count += 1
        if self.count > self.most:
            self._clear_out()

    def run_out(self, now: float) -> list[T]:
        """The entries whose timers have run out. They have none any more."""
        come: list[T] = []
        while self.ticks and self.ticks[0] <= now * TICKS:
            tick = heapq.heappop(self.ticks)
            entries = self.lists.pop(tick)
            self.count -= len(entries)
            self.most = min(self.most, 2 * self.count + 100)  # or a peak that is over would let void ones pile up
            for entry in entries:
                if entry.timer == tick:
                    entry.timer = None  # it may stand in the list twice
                    come.append(entry)
        return come

    def next(self) -> float | None:
        """The time before which no timer runs out; None if there is no timer."""
        return self.ticks[0] / TICKS if self.ticks else None

    def _clear_out(self) -> None:
        """Keep the valid timers only."""
        valid = {tick: [entry for entry in entries if entry.timer == tick] for tick, entries in self.lists.items()}
        self.lists = {tick: entries for tick, entries in valid.items() if entries}
        self.ticks = sorted(self.lists)  # which is a heap
        self.count = sum(map(len, self.lists.values()))
        self.most = 2 * self.count + 100
