"""httpx-sse as a decoder under test."""

from importlib.metadata import version

import adapter
import httpx
import httpx_sse


def decode(chunks):
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=chunks)
    for event in httpx_sse.EventSource(response).iter_sse():
        yield {"event": event.event, "data": event.data, "id": event.id, "retry": event.retry}


adapter.decoder(decode, "httpx-sse", version("httpx-sse"))
