"""an event source that resumes: ids, Last-Event-ID; sse-starlette (/a) and FastAPI's own (/b), and /forever that never ends"""

import asyncio
from collections.abc import AsyncIterable
from typing import Annotated

from fastapi import FastAPI, Header, Request
from fastapi.sse import EventSourceResponse as Own
from fastapi.sse import ServerSentEvent
from sse_starlette import EventSourceResponse

app = FastAPI()


def start(last):
    try:
        return int(last) + 1
    except (TypeError, ValueError):
        return 0


@app.get("/a")
async def a(request: Request):
    async def events():
        for i in range(start(request.headers.get("last-event-id")), 20):
            yield {"id": str(i), "event": "tick", "data": f"number {i}"}
            await asyncio.sleep(0.02)

    return EventSourceResponse(events())


@app.get("/b", response_class=Own)
async def b(last_event_id: Annotated[str | None, Header()] = None) -> AsyncIterable[ServerSentEvent]:
    for i in range(start(last_event_id), 20):
        yield ServerSentEvent(data={"n": i}, id=str(i), event="tick")
        await asyncio.sleep(0.02)


@app.get("/int", response_class=Own)
async def int_header(last_event_id: Annotated[int | None, Header()] = None) -> AsyncIterable[ServerSentEvent]:
    "as FastAPI's own tutorial has it: an int header"
    for i in range((last_event_id or -1) + 1 if last_event_id is not None else 0, 20):
        yield ServerSentEvent(data={"n": i}, id=str(i), event="tick")
        await asyncio.sleep(0.02)


@app.get("/forever")
async def forever(request: Request):
    async def events():
        i = start(request.headers.get("last-event-id"))
        while True:
            yield {"id": str(i), "data": f"number {i}"}
            i += 1
            await asyncio.sleep(1.0)

    return EventSourceResponse(events())
