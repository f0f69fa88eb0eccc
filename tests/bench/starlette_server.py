"""The same model and dialect behind uvicorn and sse-starlette: what the server is compared with."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import uvicorn
from sse_starlette.sse import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from sse_ref.dialects import DIALECTS
from sse_ref.dialects.interface import HTTPRequest
from sse_ref.model import generate

DIALECT = DIALECTS["openai"]


async def complete(request: Request) -> EventSourceResponse:
    asked = DIALECT.read_request(HTTPRequest("POST", request.url.path, {}, {}, await request.body()))

    async def events():
        for event in DIALECT.write_stream(asked, generate(asked.prompt), id="0123456789abcdef01234567", created=1):
            yield ServerSentEvent(data=event.data, sep="\n")

    return EventSourceResponse(events())


app = Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])

if __name__ == "__main__":
    uvicorn.run(
        app, port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="warning", access_log=False, backlog=2048
    )
