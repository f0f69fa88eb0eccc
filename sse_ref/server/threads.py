"""Threads that are kept: each does one piece of work, and rests until there is more.

In:   work, from the one thread that gives it out.
Out:  the work done, at once, in another thread.

To start a thread takes as long as to read a request. So a few that have nothing to do wait on a lock each, and giving one
of them work is opening its lock. ``threading.Thread`` is not used: its ``start()`` waits until the thread runs.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable

__all__ = ["Threads"]

Work = Callable[[], None]


class Threads:
    """Does work in threads of its own, of which ``most`` may rest at a time.

    >>> done, threads = _thread.allocate_lock(), Threads(most=1)
    >>> done.acquire() and threads.do(done.release)
    >>> done.acquire(timeout=30.0)
    True
    >>> threads.dismiss()
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.resting: list[_Thread] = []
        self.lock = _thread.allocate_lock()  # for those that want to rest

    def do(self, work: Work) -> None:
        """Do this in a thread, at once. Raises ``RuntimeError`` if none can be had."""
        if self.resting:
            self.resting.pop().wake(work)
            return
        thread = _Thread()
        thread.wake(work)
        _thread.start_new_thread(self._run, (thread,))

    def dismiss(self) -> None:
        """Let all threads end, now or after their work."""
        with self.lock:
            self.most = 0
            dismissed, self.resting = self.resting, []
        for thread in dismissed:
            thread.wake(None)

    def _run(self, thread: _Thread) -> None:
        while work := thread.wait():
            work()
            del work  # it must not live until the next comes
            with self.lock:
                if len(self.resting) >= self.most:
                    return
                self.resting.append(thread)


class _Thread:
    """What a thread waits for."""

    __slots__ = ("lock", "work")

    def __init__(self) -> None:
        self.work: Work | None = None
        self.lock = _thread.allocate_lock()
        self.lock.acquire()

    def wait(self) -> Work | None:
        """The next work; None if the thread shall end."""
        self.lock.acquire()
        work, self.work = self.work, None
        return work

    def wake(self, work: Work | None) -> None:
        self.work = work
        self.lock.release()
