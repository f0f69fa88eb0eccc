"""FastAPI StreamingResponse, as most tutorials have it. uvicorn fastapi_streaming:app"""

import asyncio

import core
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

app = FastAPI()


@app.exception_handler(core.Bad)
async def bad(request, error):
    return JSONResponse(error.body, error.status)


@app.get("/v1/models")
def models():
    return core.models()


@app.get("/v1/models/{id}")
def model(id: str):
    for m in core.models()["data"]:
        if m["id"] == id:
            return m
    raise core.Bad(404, "no such model", "model_not_found")


@app.post("/v1/chat/completions")
async def chat(request: Request):
    try:
        body = await request.json()
    except ValueError:
        raise core.Bad(400, "the body is not JSON")
    core.check(body)
    if not body.get("stream"):
        return core.whole(body)

    async def events():
        if body["model"] == "m-slow":
            await asyncio.sleep(2)
        for data in core.chunks(body):
            yield f"data: {data}\n\n"
            await asyncio.sleep(core.PACE)

    return StreamingResponse(events(), media_type="text/event-stream")
