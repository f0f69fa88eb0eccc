"""A buffering proxy. Why does everything come at once, behind nginx or with compression?

    python examples/18_buffering_proxy.py

A small proxy stands between client and server and does what real ones do, but that it compresses unasked; a browser always
asks. You will see when text arrived through it: one that collects the whole answer, one that compresses and waits for a full
block, and their cures. The server can ask for them: nginx obeys X-Accel-Buffering: no, and what says Cache-Control:
no-transform must not be compressed. The client can: Accept-Encoding: identity. Or the proxy is set up for streams:
"proxy_buffering off;" and "gzip off;" in nginx, a flush after each event in a compressor. To find out which of several
proxies it is, go around them one after the other with curl -N.
"""

import http.server
import threading
import time
import urllib.request
import zlib

import lesson

from sse_ref.client import ChatStream
from sse_ref.pieces import Text


class Proxy(http.server.BaseHTTPRequestHandler):
    """Forwards a POST, in the manner that the first part of its path names. HTTP/1.0: the end of the body is closing."""

    def do_POST(self):
        _, manner, path = self.path.split("/", 2)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = urllib.request.Request(f"{self.server.upstream}/{path}", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            streams = manner == "obeys" and answer.headers["X-Accel-Buffering"] == "no"
            plain = manner == "gzip-obeys" and "no-transform" in answer.headers["Cache-Control"]
            compress = "gzip" in manner and not plain
            if compress:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            if manner in ("buffers", "obeys") and not streams:
                self.wfile.write(answer.read())
                return
            gzip = zlib.compressobj(wbits=31)
            while data := answer.read1():
                if compress:
                    data = gzip.compress(data) + (gzip.flush(zlib.Z_SYNC_FLUSH) if manner == "gzip-flush" else b"")
                self.wfile.write(data)
            if compress:
                self.wfile.write(gzip.flush())

    def log_message(self, *arguments):
        pass


with lesson.server() as url, http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
    proxy.upstream = url
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    ways = {"no proxy": url} | {
        manner: f"http://127.0.0.1:{proxy.server_port}/{manner}"
        for manner in ("buffers", "gzip", "obeys", "gzip-obeys", "gzip-flush")
    }
    for name, base in ways.items():
        began = time.monotonic()
        with ChatStream("Tell me a story", url=base + "/v1?ttft=0.1&tps=150") as stream:
            arrivals = [time.monotonic() - began for piece in stream if isinstance(piece, Text)]
        verdict = "streams" if arrivals[0] < arrivals[-1] / 2 else "all at the end"
        print(
            f"{name:11}|{lesson.timeline(arrivals, arrivals[-1], 50)}| first text after ~{arrivals[0]:.2f} s: {verdict}"
        )
    proxy.shutdown()
