"""Every wire. How much of a stream is the answer, and how much is the wire?

    python examples/29_every_wire.py

The same prompt over every wire that this server speaks, through one client that is told only the name of the dialect. You
will see the text and the tokens agree, side by side with what each wire needs for them: how many events, how many bytes,
which event brings the first text, and what proves the end. The bytes of each wire in full, with a tool call and an error:
sse_ref/dialects/README.md.
"""

import json

import lesson

from sse_ref.client import ChatStream
from sse_ref.dialects import DIALECTS
from sse_ref.pieces import Message, Prompt, Text

PROMPT = Prompt("toy-echo", (Message("user", "One prompt, many wires."),), max_tokens=20)
ROWS = {}


def row(name, cell):
    ROWS.setdefault(name, []).append(str(cell))


with lesson.server() as url:
    for name, dialect in DIALECTS.items():
        events = []
        with ChatStream(PROMPT, url=url + "/v1", dialect=dialect, on_event=events.append) as stream:
            first = next(len(events) for piece in stream if isinstance(piece, Text))
            for _ in stream:
                pass
        types = [event.event for event in events]
        sizes = [len(event.data.encode()) for event in events]
        row("wire", name)
        row("text", stream.text)
        row("tokens in, out", f"{stream.usage.prompt_tokens}, {stream.usage.completion_tokens}")
        row("events", len(events))
        row("kinds of events", len(set(types)))
        row("bytes of data", sum(sizes))
        row("bytes a character", round(sum(sizes) / len(stream.text)))
        row("first text in event", first)
        row("its type", types[first - 1])
        row("last event", types[-1] if types[-1] != "message" else events[-1].data)
        row("finish reason", stream.finish_reason)
        row("outcome", stream.outcome)

widths = [max(len(cells[column]) for cells in ROWS.values()) for column in range(len(DIALECTS))]
for name, cells in ROWS.items():
    print(f"{name:20}", *(cell.ljust(width + 2) for cell, width in zip(cells, widths, strict=True)), sep="")
assert len({json.dumps(text) for text in ROWS["text"]}) == 1
