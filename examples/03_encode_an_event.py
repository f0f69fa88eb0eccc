"""Encoding. How does text with newlines, or nothing at all, become an event?

    python examples/03_encode_an_event.py

You will see texts, the bytes of their events, and what reads back. Every line of the text gets a data line of its own, so
a newline inside a token survives; written naively it would end the field, and what follows could even be read as another
field. JSON sidesteps all of this, because it writes a newline as two characters. What cannot be written is refused.
"""

import json

import lesson  # finds sse_ref

from sse_ref import encode_comment, encode_event, iter_events

for text in ["hello", " leading space", "two\nlines", "", "ends with a newline\n", json.dumps("two\nlines")]:
    wire = encode_event(text)
    (event,) = iter_events([wire])
    print(f"{text!r:26} -> {wire!r:48} -> {event.data!r}")
    assert event.data == text

print()
print("with type, id and reconnection time:", encode_event("hi", event="greeting", id="7", retry=2000))
print("a comment, which dispatches nothing:", encode_comment("still here"))

print()
token = "said\n\ndata: [DONE]"
naive = f"data: {token}\n\n".encode()
print("naively, a token can forge an event:", [event.data for event in iter_events([naive])])
print("encoded, it stays what it was:      ", [event.data for event in iter_events([encode_event(token)])])

print()
for fields in ({"event": "a\nb"}, {"id": "a\0b"}, {"retry": -1}):
    try:
        encode_event("x", **fields)
    except ValueError as error:
        print(f"{fields} is refused: {error}")
