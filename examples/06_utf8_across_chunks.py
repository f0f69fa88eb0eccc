"""UTF-8. Why do emoji and accents sometimes turn into \N{REPLACEMENT CHARACTER}?

    python examples/06_utf8_across_chunks.py

A character can be four bytes, and a read can end between any two of them. You will see what decoding each read on its own
makes of that, then what a decoder does that keeps bytes until their line is complete. The second half asks the server to
write three bytes at a time, so that it happens on a real connection.
"""

import codecs

import lesson

from sse_ref import SSEDecoder
from sse_ref.client import ChatStream

wire = "data: caf\u00e9 \U0001f98a\n\n".encode()
reads = [wire[:10], wire[10:14], wire[14:]]
print("reads:                       ", reads)
print("each decoded on its own:     ", repr("".join(read.decode("utf-8", "replace") for read in reads)))
incremental = codecs.getincrementaldecoder("utf-8")()
print("one incremental decoder:     ", repr("".join(incremental.decode(read) for read in reads)))
decoder = SSEDecoder()
print("SSEDecoder, fed with bytes:  ", [event.data for read in reads for event in decoder.feed(read)])
print("bytes that are no UTF-8:     ", [event.data for event in SSEDecoder().feed(b"data: a\xff\xe2\x82b\n\n")])

with lesson.server() as url:
    with ChatStream("na\u00efve \U0001f98a\U0001f680", url=url + "/v1?split=3", model="toy-echo") as stream:
        pieces = [piece.text for piece in stream if hasattr(piece, "text")]
print("over a real connection, 3 bytes at a time:", pieces)
print("The model itself makes an emoji of four tokens, and holds them back until the character is whole.")
