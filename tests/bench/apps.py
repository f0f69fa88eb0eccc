"""What the server is compared with: the same model and dialects behind other servers. ``python apps.py NAME PORT [TPS]``.

Each answers ``POST /v1/chat/completions`` and ``POST /v1/messages`` with a stream, an event at a time, and nothing else: it
checks no limits, keeps no journal, makes no faults and notices no client that leaves, unless its server does. With ``TPS``
(on the ASGI servers) each event waits for its time, counted from the first.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from sse_ref.codec import ServerSentEvent, encode_event
from sse_ref.dialects import DIALECTS
from sse_ref.dialects.interface import HTTPRequest
from sse_ref.model import generate

HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
WIRES = {"/v1/chat/completions": DIALECTS["openai"], "/v1/messages": DIALECTS["anthropic"]}
ID = "0123456789abcdef01234567"
TTFT = 4.0  # seconds before the first paced event
TPS = 0.0


def events(path: str, body: bytes) -> Iterator[ServerSentEvent]:
    dialect = WIRES[path]
    asked = dialect.read_request(HTTPRequest("POST", path, {}, {"anthropic-version": "2023-06-01"}, body))
    return dialect.write_stream(asked, generate(asked.prompt), id=ID, created=1)


def encoded(path: str, body: bytes) -> Iterator[bytes]:
    for event in events(path, body):
        yield encode_event(event.data, event=None if event.event == "message" else event.event)


# ---- The standard library --------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """As the tutorials have it."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        for event in encoded(self.path, body):
            self.wfile.write(event)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Threads(ThreadingHTTPServer):
    request_queue_size = 2048  # as the others have it: with 5 most of many connections at once wait for seconds


def http_server(port: int) -> None:
    Threads(("127.0.0.1", port), Handler).serve_forever()


# ---- WSGI ------------------------------------------------------------------------------------------------------------


def flask_app() -> Any:
    import flask

    app = flask.Flask(__name__)

    @app.post("/<path:path>")
    def answer(path: str) -> flask.Response:
        return flask.Response(encoded(f"/{path}", flask.request.data), headers=HEADERS)

    return app


def flask(port: int) -> None:
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    flask_app().run(port=port, threaded=True)


def gunicorn(port: int) -> None:
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for name, value in {"bind": f"127.0.0.1:{port}", "worker_class": "gthread", "threads": 1100}.items():
                self.cfg.set(name, value)
            self.cfg.set("worker_connections", 2000)

        def load(self) -> Any:
            return flask_app()

    Application().run()


# ---- ASGI ------------------------------------------------------------------------------------------------------------


async def paced(made: Iterator[Any]) -> AsyncIterator[Any]:
    """Each event, when it is due."""
    began = time.monotonic() + TTFT
    for number, event in enumerate(made):
        if TPS and (wait := began + number / TPS - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        yield event


def uvicorn(port: int, app: Any) -> None:
    import uvicorn

    uvicorn.run(app, port=port, loop="uvloop", http="httptools", log_level="error", access_log=False, backlog=2048)


def starlette(port: int, response: Callable[[str, bytes], Any]) -> None:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.routing import Route

    async def answer(request: Request) -> Any:
        return response(request.url.path, await request.body())

    uvicorn(port, Starlette(routes=[Route(path, answer, methods=["POST"]) for path in WIRES]))


def sse_starlette(port: int) -> None:
    from sse_starlette.sse import EventSourceResponse
    from sse_starlette.sse import ServerSentEvent as Event

    def response(path: str, body: bytes) -> Any:
        async def each() -> AsyncIterator[Event]:
            async for event in paced(events(path, body)):
                yield Event(data=event.data, event=None if event.event == "message" else event.event, sep="\n")

        return EventSourceResponse(each())

    starlette(port, response)


def streaming_response(port: int) -> None:
    from starlette.responses import StreamingResponse

    def response(path: str, body: bytes) -> Any:
        return StreamingResponse(paced(encoded(path, body)), headers=HEADERS)

    starlette(port, response)


async def bare(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    made = encoded(scope["path"], body)
    if TPS:
        async for event in paced(made):
            await send({"type": "http.response.body", "body": event, "more_body": True})
    for event in made:
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def aiohttp(port: int) -> None:
    from aiohttp import web

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        for event in encoded(request.path, body):
            await response.write(event)
        return response

    app = web.Application(client_max_size=2**24)
    app.add_routes([web.post(path, answer) for path in WIRES])
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, backlog=2048)


APPS: dict[str, Callable[[int], None]] = {
    "http.server": http_server,
    "Flask": flask,
    "gunicorn, threads": gunicorn,
    "uvicorn, sse-starlette": sse_starlette,
    "uvicorn, StreamingResponse": streaming_response,
    "uvicorn, bare ASGI": lambda port: uvicorn(port, bare),
    "aiohttp": aiohttp,
}

if __name__ == "__main__":
    TPS = float(sys.argv[3]) if sys.argv[3:] else 0.0
    APPS[sys.argv[1]](int(sys.argv[2]))
