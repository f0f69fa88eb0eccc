"""A relay. How does a backend pass a stream on, and the cancelling too?

    python examples/19_relay.py

Most applications stand between the browser and the model, so that the key stays with them. You will see tokens come
through one at a time, then a client that leaves after five: the journal of the server behind the relay tells that the
model stopped too. Then a refusal, whose status and Retry-After can still be passed on; and a stream that is cut behind
the relay: 200 has been said, so the relay says it with an error in the stream. It decodes and encodes again, and so never
passes on half an event. Comments are lost with that, so it has to send heartbeats of its own if the model may think for
long.
"""

import http.client
import http.server
import threading
import time
import urllib.error
import urllib.request

import lesson

from sse_ref import SSEDecoder, encode_event
from sse_ref.client import ChatStream, StreamError
from sse_ref.model import Text


class Relay(http.server.BaseHTTPRequestHandler):
    """HTTP/1.0: the end of the body is the end of the connection."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {"Content-Type": "application/json", "Authorization": "Bearer the-key-stays-here"}
        request = urllib.request.Request(self.server.upstream + self.path, body, headers)
        try:
            upstream = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            upstream = error  # an answer, too
        with upstream:  # leaving this block closes the connection to the model
            self.send_response(upstream.status)
            for name in ("Content-Type", "Cache-Control", "X-Accel-Buffering", "Retry-After"):
                if name in upstream.headers:
                    self.send_header(name, upstream.headers[name])
            self.end_headers()
            try:
                if upstream.headers.get_content_type() == "text/event-stream":
                    self.pass_on(upstream)
                else:
                    self.wfile.write(upstream.read())
            except OSError:
                pass  # the client has left, and so do we

    def pass_on(self, upstream):
        decoder, done = SSEDecoder(), False
        try:
            while data := upstream.read1():
                for event in decoder.feed(data):
                    self.wfile.write(encode_event(event.data))
                    done = event.data == "[DONE]"
        except http.client.HTTPException:
            pass
        if not done:
            self.wfile.write(encode_event('{"error": {"message": "the stream behind the relay was cut"}}'))

    def log_message(self, *arguments):
        pass


def ask(prompt, url, **options):
    stream = ChatStream(prompt, url=url, retries=0, **options)
    try:
        for _ in stream:
            pass
    except StreamError as error:
        print(f"{error.outcome}: {error}; kept {error.text!r}")


with lesson.server() as url, http.server.ThreadingHTTPServer(("127.0.0.1", 0), Relay) as relay:
    relay.upstream = url
    threading.Thread(target=relay.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{relay.server_port}/v1"

    began = time.monotonic()
    with ChatStream("one two three four five six", url=here + "?ttft=0&tps=50", model="toy-echo") as stream:
        for piece in stream:
            if isinstance(piece, Text):
                print(f"~{time.monotonic() - began:.2f} s  {piece.text!r}")
    print(f"{stream.outcome}, {stream.usage.completion_tokens} tokens")

    chunks = []
    with ChatStream("Tell me a story", url=here + "?tps=50", on_event=lambda e: chunks.append(e.data)) as stream:
        for _ in stream:
            if len(stream.arrivals) == 5:
                break
    record = lesson.journal(url, chunks[0])
    print(f"left after 5 tokens; behind the relay: {record['outcome']} at token ~{record['left_at_token']}")

    ask("one two three four five six", here + "?fault=refuse", model="toy-echo")
    ask("one two three four five six", here + "?fault=cut&at=3", model="toy-echo")
    relay.shutdown()
