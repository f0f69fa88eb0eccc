"""What clients are timed with: a server that costs next to nothing. ``python feeder.py PORT``.

It answers every request with a stream of chunks of OpenAI's chat completions, and ends the connection. The path says which:
``/full/N/…`` is N of them as fast as the client reads, ``/paced/N/…`` one each millisecond, whose text is the time at which
it was sent, in nanoseconds of the monotonic clock, which all processes share.
"""

from __future__ import annotations

import functools
import json
import socketserver
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from sse_ref.chunked import LAST_CHUNK, chunk

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
END = chunk(b"data: [DONE]\n\n") + LAST_CHUNK
PAUSE = 0.001  # seconds between paced events


def event(content: str, reason: str | None = None) -> bytes:
    """An event as a chunk of the transfer coding."""
    choice = {"index": 0, "delta": {"content": content}, "logprobs": None, "finish_reason": reason}
    about = {"id": "chatcmpl-0123456789abcdef01234567", "object": "chat.completion.chunk", "created": 1741548524}
    return chunk(b"data: %b\n\n" % json.dumps({**about, "model": "m", "choices": [choice]}).encode())


@functools.cache
def events(count: int) -> bytes:
    """So many events, made once: whoever is timed must not wait for it."""
    return b"".join(event(f" w{number}") for number in range(count))


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        words = self.rfile.readline().split(b" ")
        if len(words) < 3:  # somebody looks whether the server is up
            return
        _, kind, count, *_ = words[1].decode().split("/")
        length = 0
        while (line := self.rfile.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self.rfile.read(length)
        self.connection.sendall(HEAD)
        if kind == "full":
            self.connection.sendall(events(int(count)))
        for _ in range(int(count) if kind == "paced" else 0):
            time.sleep(PAUSE)
            self.connection.sendall(event(str(time.monotonic_ns())))
        self.connection.sendall(event("", "stop") + END)


if __name__ == "__main__":
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        server.serve_forever()
