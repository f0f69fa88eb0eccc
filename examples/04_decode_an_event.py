"""Decoding. What does a decoder remember from one line to the next?

    python examples/04_decode_an_event.py

HTML standard 9.2.6 in a loop of twenty lines, which prints its buffers after each line of a stream. You will see a
comment and an unknown field change nothing, a blank line dispatch, an id outlive its event, and a block without data
dispatch nothing. What it leaves out is in 05 and 06: here all bytes are there, they are text, and LF ends each line.
"""

import lesson  # finds sse_ref

from sse_ref import iter_events

STREAM = ": a comment\ndata: one\ndata:two\n\nevent: note\nid: 7\ndata:  three\n\ncolour: blue\ndata\n\nevent: lost\n\n"

data, event_type, id_buffer = [], "", ""
last_event_id, reconnection_time = "", None
events = []
print(f"{'line':18} {'data buffer':18} {'event type':11} {'id buffer':10} what happens at a blank line")
for line in STREAM.split("\n")[:-1]:
    dispatched = ""
    field, _, value = line.partition(":")
    value = value.removeprefix(" ")  # one space, and no more
    if line == "":
        last_event_id = id_buffer  # an id counts from the blank line on
        if data:
            events.append(("\n".join(data), event_type or "message", last_event_id))
            dispatched = f"dispatch {events[-1]}"
        data, event_type = [], ""  # the id stays
    elif field == "data":
        data.append(value)
    elif field == "event":
        event_type = value
    elif field == "id" and "\0" not in value:
        id_buffer = value
    elif field == "retry" and value.isascii() and value.isdigit():
        reconnection_time = int(value)
    print(f"{line!r:18} {data!r:18} {event_type!r:11} {id_buffer!r:10} {dispatched}".rstrip())

assert events == [tuple(event) for event in iter_events([STREAM.encode()])]
print(f"{len(events)} events; SSEDecoder finds the same.")
