"""Event sources of Python libraries as event sources under test: ``python sources.py NAME URL``."""

import asyncio
import json
import sys

name, url = sys.argv[1], sys.argv[-1]


def say(**value):
    print(json.dumps(value), flush=True)


def requests_sse():
    from requests_sse import EventSource

    with EventSource(url) as source:
        for e in source:
            say(event=e.type, data=e.data, id=e.last_event_id)


def sseclient():
    import sseclient as module

    module.print = lambda *args: None
    client = module.SSEClient(url)
    for e in client:
        say(event=e.event, data=e.data, id=e.id)


def launchdarkly():
    from ld_eventsource import SSEClient
    from ld_eventsource.config import ErrorStrategy
    from ld_eventsource.errors import HTTPContentTypeError, HTTPStatusError

    # as a browser: an answer that is no event stream ends it, the end of a stream and a network error do not
    fatal = (HTTPStatusError, HTTPContentTypeError)
    strategy = ErrorStrategy.from_lambda(
        lambda error: (ErrorStrategy.FAIL if isinstance(error, fatal) else ErrorStrategy.CONTINUE, None)
    )
    for e in SSEClient(url, error_strategy=strategy).events:
        say(event=e.event, data=e.data, id=e.last_event_id)


async def aiohttp_sse_client2():
    from aiohttp_sse_client2.client import EventSource

    async with EventSource(url) as source:
        async for e in source:
            say(event=e.type, data=e.data, id=e.last_event_id)


def httpx_sse():
    """The reconnecting loop of httpx-sse's README: it sends Last-Event-ID, and waits for the last retry."""
    import time

    import httpx
    from httpx_sse import connect_sse

    last, wait = "", 0.0
    with httpx.Client(follow_redirects=True) as client:
        while True:
            time.sleep(wait)
            headers = {"Accept": "text/event-stream"}
            if last:
                headers["Last-Event-ID"] = last
            try:
                with connect_sse(client, "GET", url, headers=headers) as source:
                    if source.response.status_code != 200:
                        return
                    for e in source.iter_sse():
                        last = e.id
                        if e.retry is not None:
                            wait = e.retry / 1000
                        say(event=e.event, data=e.data, id=e.id)
            except httpx.ReadError:
                pass
            except httpx.RemoteProtocolError:
                pass


try:
    {
        "requests-sse": requests_sse,
        "sseclient": sseclient,
        "launchdarkly": launchdarkly,
        "httpx-sse": httpx_sse,
        "aiohttp-sse-client2": lambda: asyncio.run(aiohttp_sse_client2()),
    }[name]()
    say(end="complete")
except Exception as error:
    say(end="http_error" if "tatus" in str(error) else "protocol_error", error=f"{type(error).__name__}: {error}")
