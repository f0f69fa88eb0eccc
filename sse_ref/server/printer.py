"""Printing: the log and the wire, without holding anything up.

In:   lines of the log; bytes that were sent.
Out:  text on standard error.

A terminal that is stopped with Ctrl-S, or a pipe that nobody reads, blocks whoever writes to it. The loop must never wait
for one: a thousand streams would stand still because somebody scrolls. So three rules hold here:

    who prints      puts the text into a queue, and never waits
    one thread      takes it from there, and waits as long as the reader likes
    a full queue    drops what comes, and says later how much it dropped

The thread writes to the file descriptor itself. Python's own buffer has a lock, and a write that waits would hold it until
the process ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from collections import deque
from typing import TextIO

from sse_ref.errors import UNPRINTABLE

__all__ = ["Printer", "PrintingHandler", "wire_text"]


class Printer:
    """Prints in a thread of its own. More than ``KEPT`` characters that nobody reads are dropped, and counted."""

    KEPT = 2**20

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.texts: deque[str] = deque()
        self.size = 0
        self.dropped = 0
        self.closing = False
        self.changed = threading.Condition()
        self.thread: threading.Thread | None = None

    def put(self, text: str) -> None:
        """Print this, soon. Never waits."""
        with self.changed:
            if self.size + len(text) > self.KEPT:
                self.dropped += 1
                return
            if self.dropped:
                text = f"... {self.dropped} more were not printed: nobody read them\n{text}"
                self.dropped = 0
            self.texts.append(text)
            self.size += len(text)
            if self.thread is None:
                self.thread = threading.Thread(target=self.run, name="sse_ref.printer", daemon=True)
                self.thread.start()
            self.changed.notify()

    def run(self) -> None:
        """Write what is in the queue until it is closed and empty."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.texts or self.closing)
                if not self.texts:
                    return
                text = "".join(self.texts)
                self.texts.clear()
            self.write(text)
            with self.changed:
                self.size -= len(text)

    def write(self, text: str) -> None:
        """Write text, however long that takes."""
        with contextlib.suppress(OSError, ValueError):  # nobody watches any more: the streams go on
            try:
                number = self.stream.fileno()
            except (OSError, ValueError):  # not a file
                self.stream.write(text)
                return
            # Write past the stream's buffer: a blocked write would hold its lock, which the exit of the process needs.
            data = text.encode(self.stream.encoding or "utf-8", "backslashreplace")
            while data:
                data = data[os.write(number, data) :]

    def close(self, patience: float = 1.0) -> None:
        """Print the rest, if it is taken within ``patience`` seconds."""
        with self.changed:
            self.closing = True
            self.changed.notify()
        if self.thread is not None:
            self.thread.join(patience)


class PrintingHandler(logging.Handler):
    """Hands the lines of a log to a ``Printer``."""

    def __init__(self, printer: Printer) -> None:
        super().__init__()
        self.printer = printer
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line of the log."""
        self.printer.put(self.format(record) + "\n")


def wire_text(port: int, payload: bytes) -> str:
    """Bytes that were sent, to be printed: the time, the client's port, and the bytes with their line ends visible."""
    text = payload.decode("utf-8", "backslashreplace")
    text = re.sub(UNPRINTABLE, lambda control: ascii(control[0])[1:-1], text)
    text = text.replace("\\n", "\\n\n    ").rstrip()
    return f"{time.strftime('%H:%M:%S')} :{port} {len(payload)} bytes\n    {text}\n"
