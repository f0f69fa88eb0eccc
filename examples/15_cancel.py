"""Cancelling. What does a Stop button have to do, and what does it save?

    python examples/15_cancel.py

There is no message for it: closing the connection is the signal. The client leaves after five tokens. You will see, from
the server's journal, at which token the server noticed and that it stopped there. As the toy model always answers the
same, asking it again tells how many tokens were not made.
"""

import time

import lesson

from sse_ref.client import ChatStream
from sse_ref.pieces import Text

with lesson.server() as url:
    chunks = []
    stream = ChatStream("Tell me a story", url=url + "/tps=50/v1", on_event=lambda event: chunks.append(event.data))
    with stream:
        for piece in stream:
            if isinstance(piece, Text):
                print(repr(piece.text))
            if len(stream.arrivals) == 5:
                break  # leaving the block closes the connection
    left = time.time()
    record = lesson.journal(url, chunks[0])
    print(f"here: {stream.outcome} after {len(stream.arrivals)} tokens, text kept: {stream.text!r}")
    noticed = record["at"] + record["duration_s"] - left
    print(
        f"server: {record['outcome']} at token ~{record['left_at_token']}, noticed ~{max(0, 1000 * noticed):.1f} ms later"
    )

    with ChatStream("Tell me a story", url=url + "/tps=0&ttft=0/v1") as again:
        for _ in again:
            pass
    total = again.usage.completion_tokens
    print(f"saved: ~{total - record['tokens']} of {total} tokens")
