"""In the browser. What does a page need in order to show an answer as it comes?

    python examples/20_browser_chat.py           what the browser and the server say to each other
    python examples/20_browser_chat.py --serve   the page itself, at a port of its own, until Ctrl-C

EventSource can only GET and cannot set a header, so a chat page uses fetch and reads the body: 20_browser_chat.html does
it in sixty lines. As it comes from another origin than the model, the browser first asks whether it may. You will see
these requests as a browser sends them, and what the server answers: the preflight, the stream with its CORS header, and a
plain GET of an event source, which needs no preflight. (Over HTTP/1.1 a browser opens six connections to a host: a
seventh tab that streams has to wait.) The page that the server itself has at / shows far more.
"""

import contextlib
import http.client
import http.server
import json
import sys
import urllib.parse
from pathlib import Path

import lesson

ORIGIN = {"Origin": "http://my-page.example"}
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
BODY = json.dumps({"model": "toy-echo", "stream": True, "messages": [{"role": "user", "content": "Hi"}]})
SHOWN = ("content-type", "access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers")


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(
            Path(__file__).with_suffix(".html").read_bytes().replace(b"SERVER", self.server.model.encode())
        )


def show(url, method, path, body=None, headers=None):
    with contextlib.closing(http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)) as connection:
        connection.request(method, path, body, {**ORIGIN, **(headers or {})})
        answer = connection.getresponse()
        print(f"{method} {path}: {answer.status}")
        for name, value in answer.getheaders():
            if name.lower() in SHOWN:
                print(f"  {name}: {value}")
        for line in answer.read().decode().splitlines()[:3]:
            print(f"  | {line}".rstrip())


with lesson.server() as url:
    show(url, "OPTIONS", "/v1/chat/completions", headers=ASKS)
    show(url, "POST", "/v1/chat/completions", BODY, {"Content-Type": "application/json"})
    show(url, "GET", "/events?prompt=Hi&model=toy-echo", headers={"Accept": "text/event-stream"})
    print("An answer without Access-Control-Allow-Origin would have been kept from the page, though it arrived.")
    if "--serve" in sys.argv:
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as page:
            page.model = url
            print(f"the page: http://127.0.0.1:{page.server_port}/", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                page.serve_forever()
