"""Every wire. How much of a stream is the answer, and how much is the wire?

    python examples/29_every_wire.py

The same prompt over every wire that this server speaks, through one client that is told only the name of the dialect. You
will see the text and the tokens agree, and what each wire needs for them: how many events, of how many types, how many bytes
for a character of the answer, which event brings the first text, and what proves the end. The bytes of each wire in full,
with a tool call and an error: sse_ref/dialects/README.md.
"""

import lesson

from sse_ref.client import ChatStream
from sse_ref.dialects import DIALECTS
from sse_ref.pieces import Message, Prompt, Text

PROMPT = Prompt("toy-echo", (Message("user", "One prompt, many wires."),), max_tokens=20)
LINE = "{:19}{:>7}{:>7}{:>12}{:>11}  {:27}{:20}{:14}{}"
answers = set()

print(
    LINE.format(
        "wire", "events", "types", "bytes/char", "first text", "of the type", "last event", "finish reason", "outcome"
    )
)
with lesson.server() as url:
    for name, dialect in DIALECTS.items():
        events = []
        with ChatStream(PROMPT, url=url + "/v1", dialect=dialect, on_event=events.append) as stream:
            first = next(len(events) for piece in stream if isinstance(piece, Text))
            for _ in stream:
                pass
        types = [event.event for event in events]
        cost = sum(len(event.data.encode()) for event in events) / len(stream.text)
        last = dialect.last_event or "none"
        kinds = len(set(types))
        print(
            LINE.format(
                name,
                len(events),
                kinds,
                round(cost),
                first,
                types[first - 1],
                last,
                stream.finish_reason,
                stream.outcome,
            )
        )
        answers.add((stream.text, stream.usage.prompt_tokens, stream.usage.completion_tokens))

[(text, tokens_in, tokens_out)] = answers
print(f"\nall of them: {text!r}, {tokens_in} tokens in, {tokens_out} out")
