"""The timers: they run out in time and never early, one for each entry, and the void ones do not pile up."""

from __future__ import annotations

import math
import random

import pytest

from sse_ref.server.timers import TICKS, Timers


class Entry:
    timer: int | None = None


def test_timers_run_out_earliest_first() -> None:
    timers, entries = Timers[Entry](), [Entry() for _ in range(4)]
    for entry, when in zip(entries, (3.0, 1.0, 4.0, 2.0), strict=True):
        timers.set(entry, when)
    assert timers.run_out(3.5) == [entries[1], entries[3], entries[0]]
    assert timers.next() == 4.0


def test_a_timer_that_ran_out_is_gone() -> None:
    timers, entry = Timers[Entry](), Entry()
    timers.set(entry, 1.0)
    assert timers.run_out(1.0) == [entry]
    assert (entry.timer, timers.run_out(9.0), timers.next()) == (None, [], None)


@pytest.mark.parametrize("times", [(1.0, 2.0), (2.0, 1.0), (1.0, 2.0, 1.0), (1.0, 1.0)])
def test_only_the_newest_timer_of_an_entry_runs_out(times: tuple[float, ...]) -> None:
    timers, entry = Timers[Entry](), Entry()
    for when in times:
        timers.set(entry, when)
    assert timers.run_out(times[-1] - 0.5) == []
    assert timers.run_out(times[-1]) == [entry]
    assert timers.run_out(9.0) == []


def test_a_timer_at_infinity_never_runs_out_and_voids_the_one_before() -> None:
    timers, entry = Timers[Entry](), Entry()
    timers.set(entry, 1.0)
    timers.set(entry, math.inf)
    assert timers.run_out(1e12) == []
    assert timers.next() is None


def test_a_void_timer_does_not_run_out() -> None:
    timers, entry = Timers[Entry](), Entry()
    timers.set(entry, 1.0)
    entry.timer = None
    assert timers.run_out(1.0) == []


def test_timers_are_never_early_and_at_most_a_tick_late() -> None:
    draw = random.Random(1)
    for _ in range(2000):
        timers, entry, when = Timers[Entry](), Entry(), draw.uniform(0, 1e6)
        timers.set(entry, when)
        assert timers.run_out(math.nextafter(when, 0)) == [] or when * TICKS == int(when * TICKS)
        assert timers.run_out(when + 1 / TICKS) == [entry]


def test_random_timers_run_out_as_in_a_list_that_is_searched() -> None:
    draw = random.Random(2)
    timers, entries = Timers[Entry](), [Entry() for _ in range(300)]
    due: dict[Entry, float] = {}
    now = 0.0
    for _ in range(5000):
        entry, when = draw.choice(entries), now + draw.randrange(1, 400) / TICKS
        timers.set(entry, when)
        due[entry] = when
        if draw.random() < 0.1:
            now += draw.randrange(100) / TICKS
            expected = {entry for entry, when in due.items() if when <= now}
            come = timers.run_out(now)
            assert (set(come), len(come)) == (expected, len(expected))
            assert [due[entry] for entry in come] == sorted(due[entry] for entry in come)
            for entry in come:
                del due[entry]
            assert timers.count == sum(map(len, timers.lists.values()))


def test_void_timers_are_cleared_out() -> None:
    timers, lasting = Timers[Entry](), [Entry() for _ in range(50)]
    for entry in lasting:
        timers.set(entry, 100.0)
    for number in range(10_000):
        closed = Entry()
        timers.set(closed, number + 200.0)
        timers.set(lasting[0], number + 200.5)
        closed.timer = None
    assert timers.count < 300
    assert len(timers.ticks) == len(timers.lists) < 300
    assert set(timers.run_out(1e6)) == set(lasting)


def test_void_timers_are_few_after_a_peak_too() -> None:
    timers, closed = Timers[Entry](), Entry()
    for number in range(10_000):
        timers.set(Entry(), 1 + number / TICKS)
    timers.run_out(100.0)
    for number in range(5000):
        timers.set(closed, number + 200.0)
    assert timers.count < 300


def test_clearing_out_is_rare_with_many_valid_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    timers, clear_out, cleared = Timers[Entry](), Timers._clear_out, []
    monkeypatch.setattr(Timers, "_clear_out", lambda self: (cleared.append(self.count), clear_out(self)))
    for number in range(10_000):
        timers.set(Entry(), number + 1.0)
    assert len(cleared) < 10
