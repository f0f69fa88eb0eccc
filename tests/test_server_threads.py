"""Threads that are kept: work is done at once, and threads rest, as many as may."""

from __future__ import annotations

import sys
import threading

from raw import PATIENCE, wait_for

from sse_ref.server.threads import Threads


class Noted:
    """Work that notes its thread, when it may."""

    def __init__(self, go: threading.Event | None = None) -> None:
        self.go = go
        self.done = threading.Semaphore(0)
        self.thread = 0

    def __call__(self) -> None:
        assert self.go is None or self.go.wait(PATIENCE)
        self.thread = threading.get_ident()
        self.done.release()

    @property
    def has_ended(self) -> bool:
        """Whether the thread that did it is there no more."""
        assert self.done.acquire(timeout=PATIENCE)
        return wait_for(lambda: self.thread not in sys._current_frames())


def test_one_thread_does_one_work_after_the_other() -> None:
    threads, works = Threads(most=1), [Noted() for _ in range(3)]
    for work in works:
        threads.do(work)
        assert work.done.acquire(timeout=PATIENCE) and wait_for(lambda: len(threads.resting) == 1)
    assert len({work.thread for work in works}) == 1
    threads.dismiss()


def test_work_does_not_wait_for_other_work() -> None:
    threads, go = Threads(most=1), threading.Event()
    waits, works = Noted(go), Noted()
    threads.do(waits)
    threads.do(works)
    assert works.done.acquire(timeout=PATIENCE)
    go.set()
    threads.dismiss()
    assert waits.has_ended


def test_no_more_rest_than_may() -> None:
    threads, go = Threads(most=2), threading.Event()
    works = [Noted(go) for _ in range(5)]
    for work in works:
        threads.do(work)
    go.set()
    assert all(work.done.acquire(timeout=PATIENCE) for work in works)
    assert wait_for(lambda: sum(work.thread in sys._current_frames() for work in works) == 2)
    assert wait_for(lambda: len(threads.resting) == 2)
    threads.dismiss()


def test_dismissed_threads_end() -> None:
    threads, go = Threads(most=2), threading.Event()
    rests, works = Noted(), Noted(go)
    threads.do(works)
    threads.do(rests)
    assert wait_for(lambda: len(threads.resting) == 1)
    threads.dismiss()
    assert rests.has_ended
    go.set()
    assert works.has_ended


def test_what_was_done_is_let_go() -> None:
    """A connection must not live as long as the thread that served it."""
    gone = threading.Event()

    class Kept:
        def __call__(self) -> None:
            pass

        def __del__(self) -> None:
            gone.set()

    threads = Threads(most=1)
    threads.do(Kept())
    assert gone.wait(PATIENCE) and wait_for(lambda: len(threads.resting) == 1)
    threads.dismiss()
