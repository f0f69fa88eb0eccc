"""A relay. How does a backend pass a stream on, and the cancelling too?

    python examples/19_relay.py

Most applications stand between the browser and the model, so that the key stays with them. You will see tokens come
through one at a time, then a client that leaves after five: the journal of the server behind the relay tells that the
model stopped too, and also when it had not said a word yet. Then a refusal, whose status and Retry-After can still be passed
on; and a stream that is cut behind the relay: 200 has been said, so the relay says it with an error in the stream. It
decodes and encodes again, and so never passes on half an event. A heartbeat becomes a comment: that keeps its own connection
open, and writing is how it learns that nobody reads. A model that sends none would not be stopped before its next token.
"""

import contextlib
import http.client
import http.server
import json
import threading
import urllib.error
import urllib.request

import lesson

from sse_ref import SSEDecoder, encode_comment, encode_event
from sse_ref.client import ChatStream, StreamError


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
        except OSError:
            self.send_error(502)
            return
        with upstream, contextlib.suppress(ConnectionError):  # if the client leaves, so do we: that stops the model
            self.send_response(upstream.status)
            for name in ("Content-Type", "Cache-Control", "X-Accel-Buffering", "Retry-After", "X-Request-Id"):
                if name in upstream.headers:
                    self.send_header(name, upstream.headers[name])
            self.end_headers()
            streamed = upstream.headers.get_content_type() == "text/event-stream"
            for data in relayed(upstream) if streamed else [upstream.read()]:
                self.wfile.write(data)

    def log_message(self, *arguments):
        pass


def relayed(upstream):
    """The events of a stream, each once it is whole; and if the stream breaks off, an error that says so."""
    decoder = SSEDecoder()
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError, TypeError):  # cut, too silent, or no JSON
        while data := upstream.read1():
            events = decoder.feed(data)
            for event in events:
                yield encode_event(event.data)
                if event.data == "[DONE]" or "error" in json.loads(event.data):
                    return
            if not events:
                yield encode_comment() + b"\n"  # with a blank line, for clients that only cut at those
    yield encode_event('{"error": {"message": "the stream behind the relay was cut"}}')


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
    here = f"http://127.0.0.1:{relay.server_port}"

    with ChatStream("one two three four", url=here + "/ttft=0&tps=50/v1", model="toy-echo") as stream:
        for _ in stream:
            pass
    print(f"{stream.outcome}, each token ~{1000 * min(stream.gaps):.0f} ms or more after the one before")

    body = json.dumps({"model": "toy", "stream": True, "messages": [{"role": "user", "content": "Tell me a story"}]})
    for reads, settings in ((5, "tps=50"), (0, "ttft=60&heartbeat=0.05")):
        with urllib.request.urlopen(f"{here}/{settings}/v1/chat/completions", body.encode(), timeout=10) as answer:
            for _ in range(reads):
                answer.read1()
            chunk = json.dumps({"id": answer.headers["X-Request-Id"]})
        record = lesson.journal(url, chunk)
        print(f"left after {reads} reads; behind the relay: {record['outcome']} at token ~{record['left_at_token']}")

    ask("one two three four five six", here + "/fault=refuse/v1", model="toy-echo")
    ask("one two three four five six", here + "/fault=cut&at=3/v1", model="toy-echo")
    relay.shutdown()
