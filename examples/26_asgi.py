"""ASGI. How does a framework's server send an event stream?

    python examples/26_asgi.py

The codec and the toy model under an asynchronous server: an application of twenty lines, as Starlette, FastAPI, Django or
Quart would have it. You will see what it sends, message by message, driven here by the smallest possible server; then a
client that leaves: an ASGI server reports it as http.disconnect, and the application must stop generating. Under a real
one:

    pip install uvicorn; cd examples; uvicorn 26_asgi:application --port 8001
    curl -N 'http://127.0.0.1:8001/?prompt=one+two'

In FastAPI and Starlette all of it is one line, for an iterator of what encode_event returns, which they stop when a client
leaves:

    return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
"""

import asyncio
import urllib.parse

import lesson  # finds sse_ref

from sse_ref import encode_event
from sse_ref.model import generate
from sse_ref.pieces import Message, Prompt, Text

HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    query = urllib.parse.parse_qs(scope["query_string"].decode())
    prompt = Prompt("toy-echo", (Message("user", query.get("prompt", ["Hello"])[0]),))
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    left = asyncio.create_task(disconnected(receive))
    for piece in generate(prompt):
        await asyncio.sleep(0.01)  # the model's work
        if left.done():
            print("  (the client has left: no more tokens are made)")
            return
        if isinstance(piece, Text):
            await send({"type": "http.response.body", "body": encode_event(piece.text), "more_body": True})
    left.cancel()
    await send({"type": "http.response.body", "body": encode_event("[DONE]"), "more_body": False})


async def disconnected(receive):
    while (await receive())["type"] != "http.disconnect":
        pass


async def serve_once(query, leave_after=None):
    """What a server does for one request: hand over what comes, and print what is sent."""
    incoming = asyncio.Queue()
    incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    count = 0

    async def send(message):
        nonlocal count
        count += 1
        print(" ", message["type"], message.get("body", message.get("status")))
        if count == leave_after:
            incoming.put_nowait({"type": "http.disconnect"})

    await application({"type": "http", "method": "GET", "path": "/", "query_string": query}, incoming.get, send)


if __name__ == "__main__":
    print("to the end:")
    asyncio.run(serve_once(b"prompt=one+two%0Athree"))
    print("a client that leaves:")
    asyncio.run(serve_once(b"prompt=one+two+three+four+five", leave_after=3))
