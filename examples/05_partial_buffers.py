"""Partial buffers. Why does JSON parsing fail half-way, now and then?

    python examples/05_partial_buffers.py

The same three events are fed in pieces of many sizes, to the decoder of the tutorials and to a real one. You will see the
first lose events and halve them, which is where parsing fails, whenever a piece does not end where an event does; and the
second not care. A read is not an event: the blank line is what matters, and all before it has to be kept until it comes.
"""

import json

import lesson  # finds sse_ref
from naive_decoder import Decoder

from sse_ref import SSEDecoder

STREAM = b'data: {"n": 1}\n\ndata: {"n": 2}\n\ndata: {"n": 3}\n\n'


def fed(decoder, size):
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    return [event for piece in pieces for event in decoder.feed(piece)]


whole = [event.data for event in fed(SSEDecoder(), len(STREAM))]
for size in (len(STREAM), 32, 16, 10, 7, 2, 1):
    naive = [event["data"] for event in fed(Decoder(), size)]
    print(f"pieces of {size:2} bytes: naive {'right' if naive == whole else 'WRONG'}  {naive}")
    try:
        for text in naive:
            json.loads(text)
    except ValueError as error:
        print(f"{'':26}json.loads({text!r}): {error}")
    assert [event.data for event in fed(SSEDecoder(), size)] == whole
print(f"SSEDecoder, any size: right  {whole}")

decoder = SSEDecoder()
decoder.feed(b'data: {"n": 4')
print(f"After half an event it is pending: {decoder.pending}. A stream that ends now was cut, and the half is dropped.")
