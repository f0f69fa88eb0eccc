"""Decoding. What does a decoder remember from one line to the next?

    python examples/04_decode_an_event.py

The whole of HTML standard 9.2.6 in a loop of twenty lines, which prints its three buffers after each line of a stream. You
will see a comment and an unknown field change nothing, a blank line dispatch, an id outlive its event, and a block without
data dispatch nothing. At the end the package's decoder, which also copes with cut chunks, finds the same events.
"""

import lesson  # finds sse_ref

from sse_ref import iter_events

STREAM = ": a comment\ndata: one\ndata:two\n\nevent: note\nid: 7\ndata:  three\n\ncolour: blue\ndata\n\nevent: lost\n\n"

data, event_type, last_id = [], "", ""  # the three buffers
events = []
print(f"{'line':18} {'data buffer':18} {'event type':11} {'last event ID':14}")
for line in STREAM.split("\n")[:-1]:
    dispatched = ""
    if line == "":
        if data:
            events.append(("\n".join(data), event_type or "message", last_id))
            dispatched = f"dispatch {events[-1]}"
        data, event_type = [], ""  # the id stays
    else:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            event_type = value
        elif field == "id":
            last_id = value
    print(f"{line!r:18} {data!r:18} {event_type!r:11} {last_id!r:14} {dispatched}")

assert events == [tuple(event) for event in iter_events([STREAM.encode()])]
print(f"{len(events)} events; SSEDecoder finds the same.")
