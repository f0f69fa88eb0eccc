"""The printer: what nobody reads is dropped and counted, and holds nothing up."""

from __future__ import annotations

import os
import re
import time

from sse_ref.server.printer import Printer, wire_text


def test_what_nobody_read_is_counted() -> None:
    taken, given = os.pipe()
    with open(taken, "rb") as reader, open(given, "w") as writer:
        printer = Printer(writer)
        put = 0
        while not printer.dropped:
            printer.put("x" * 999 + "\n")
            put += 1
        kept = reader.read(1000 * (put - 1))
        while printer.size:  # all is read: the printer is about to see it
            time.sleep(0.001)
        printer.put("y\n")
        printer.close(patience=60)
        writer.close()
        rest = reader.read()
    assert kept.count(b"x\n") == put - 1 and rest == b"... 1 more were not printed: nobody read them\ny\n"


def test_wire_is_shown_with_its_line_ends_and_nothing_unprintable() -> None:
    text = wire_text(4711, b"data: \x1b[31m\xff\n\n")
    assert re.fullmatch(r"[0-9:]{8} :4711 14 bytes\n    data: .x1b\[31m.xff.n\n    .n\n", text), text
