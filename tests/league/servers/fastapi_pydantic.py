"""FastAPI with pydantic models for the request, as OpenAI clones have it (vLLM's and FastChat's style): 422 by default."""

import asyncio
from typing import Any

import core
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sse_starlette import EventSourceResponse


class Message(BaseModel):
    role: str
    content: str | None = None
    tool_calls: list[Any] | None = None


class Body(BaseModel):
    model: str
    messages: list[Message]
    stream: bool | None = False
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: Any = None
    n: int | None = 1
    tools: list[Any] | None = None
    tool_choice: Any = None
    stream_options: dict | None = None
    logprobs: bool | None = None


app = FastAPI()


@app.exception_handler(core.Bad)
async def bad(request, error):
    return JSONResponse(error.body, error.status)


@app.get("/v1/models")
def models():
    return core.models()


@app.post("/v1/chat/completions")
async def chat(body: Body):
    body = core.check(body.model_dump())
    if not body.get("stream"):
        return core.whole(body)

    async def events():
        if body["model"] == "m-slow":
            await asyncio.sleep(2)
        for data in core.chunks(body):
            yield {"data": data}
            await asyncio.sleep(core.PACE)

    return EventSourceResponse(events())
