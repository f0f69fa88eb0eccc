"""aiohttp: StreamResponse written by hand"""

import asyncio
import sys

import core
from aiohttp import web


async def models(request):
    return web.json_response(core.models())


async def chat(request):
    try:
        try:
            body = await request.json()
        except ValueError:
            raise core.Bad(400, "the body is not JSON")
        core.check(body)
    except core.Bad as e:
        return web.json_response(e.body, status=e.status)
    if not body.get("stream"):
        return web.json_response(core.whole(body))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    if body["model"] == "m-slow":
        await asyncio.sleep(2)
    for data in core.chunks(body):
        await response.write(f"data: {data}\n\n".encode())
        await asyncio.sleep(core.PACE)
    await response.write_eof()
    return response


app = web.Application()
app.add_routes([web.get("/v1/models", models), web.post("/v1/chat/completions", chat)])
if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
