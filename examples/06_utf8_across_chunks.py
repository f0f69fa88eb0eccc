"""UTF-8. Why do emoji and accents sometimes turn into �?

    python examples/06_utf8_across_chunks.py

A character can be four bytes, and a read can end between any two of them. You will see what decoding each read on its own
makes of that, then what a decoder does that keeps bytes until their line is complete. Then the same on a real connection:
the server is asked to write three bytes at a time, and what came is also decoded read by read.
"""

import codecs
import re

import lesson

from sse_ref import SSEDecoder
from sse_ref.client import ChatStream, Watcher


class Chunks(Watcher):
    """Keeps each chunk as it came."""

    def __init__(self):
        self.seen = []

    def piece(self, data):
        self.seen.append(data)


wire = "data: café 🦊\n\n".encode()
reads = [wire[:10], wire[10:14], wire[14:]]
print("reads:                       ", reads)
print("each decoded on its own:     ", repr("".join(read.decode("utf-8", "replace") for read in reads)))
incremental = codecs.getincrementaldecoder("utf-8")()
print("one incremental decoder:     ", repr("".join(incremental.decode(read) for read in reads)))
decoder = SSEDecoder()
print("SSEDecoder, fed with bytes:  ", [event.data for read in reads for event in decoder.feed(read)])
print("bytes that are not UTF-8:    ", [event.data for event in SSEDecoder().feed(b"data: a\xff\xe2\x82b\n\n")])

with lesson.server() as url:
    chunks = Chunks()
    with ChatStream("naïve 🦊🚀", url=url + "/split=3/v1", model="toy-echo", watcher=chunks) as stream:
        for _ in stream:
            pass
carelessly = "".join(chunk.decode("utf-8", "replace") for chunk in chunks.seen)
print("a real stream, chunk by chunk:", re.findall('"content":"([^"]+)"', carelessly))
print("the same, by SSEDecoder:      ", repr(stream.text))
