"""Decoders of Python libraries as decoders under test: ``python decoders.py NAME``, a name of the table at the end.

Each is a function from an iterator of bytes to events. Where a library hides its decoder behind a request, the request is
played: it gives the chunks, and ``Over`` ends the case when the library asks again. ``OLD`` names the folder of the packages
that share the name of a module.
"""

import asyncio
import json
import os
import sys
import types
from importlib import import_module
from importlib.metadata import version
from unittest.mock import Mock

import adapter

ALL = ("event", "id", "retry")
URL = "http://127.0.0.1/"
HEAD = {"content-type": "text/event-stream"}


class Over(BaseException):
    """The library asks a second time: its stream has ended."""


def once(respond):
    """A session whose first request gives ``respond(…)``."""
    asked = []

    def request(*args, **kwargs):
        if asked:
            raise Over
        asked.append(True)
        return respond()

    return request


def members(e):
    return {"event": e.event, "data": e.data, "id": e.id, "retry": e.retry}


def stainless(package):
    """What the SDKs that one generator makes share."""
    decoder = import_module(f"{package}._streaming").SSEDecoder

    def decode(chunks):
        return map(members, decoder().iter_bytes(chunks))

    return decode, package, version(package), ALL


def speakeasy(package, module):
    """What the SDKs of another generator share. It parses data that is JSON; here the text stays as it came."""
    streaming = import_module(module)

    def as_it_came(text):
        raise json.JSONDecodeError("not parsed", text, 0)

    streaming.json = types.SimpleNamespace(loads=as_it_came, dumps=json.dumps, JSONDecodeError=json.JSONDecodeError)

    def decode(chunks):
        response = types.SimpleNamespace(iter_bytes=lambda: iter(chunks), headers=HEAD, close=lambda: None)
        for e in streaming.stream_events(response, decoder=json.loads):
            yield {member: e.get(member) for member in ("event", "data", "id", "retry")}

    return decode, package, version(package), ALL


def over_httpx(name, number, module):
    """What reads an httpx response: httpx-sse, and its copy in cohere."""
    import httpx

    source = import_module(module).EventSource

    class Body(httpx.SyncByteStream):
        def __init__(self, chunks):
            self.chunks = chunks

        def __iter__(self):
            return iter(self.chunks)

    def decode(chunks):
        response = httpx.Response(200, headers=HEAD, stream=Body(chunks), request=httpx.Request("GET", URL))
        return map(members, source(response).iter_sse())

    return decode, name, number, ALL


def old(package, number=""):
    sys.path.insert(0, os.path.join(os.environ["OLD"], f"{package}=={number}" if number else package))


def httpx_sse(number=""):
    if number:
        old("httpx-sse", number)
    return over_httpx("httpx-sse", number or version("httpx-sse"), "httpx_sse")


def sseclient_py(number=""):
    if number:
        old("sseclient-py", number)
    client = import_module("sseclient").SSEClient

    def decode(chunks):
        for e in client(chunks).events():
            yield {"event": e.event, "data": e.data, "id": e.id}

    return decode, "sseclient-py", number or version("sseclient-py"), ("event", "id")


def sseclient():
    old("sseclient")
    module = import_module("sseclient")
    module.print = lambda *args: None  # it prints the end of a connection to standard output
    module.time = types.SimpleNamespace(sleep=lambda seconds: None)

    class Raw:
        def __init__(self, chunks):
            self.chunks, self.rest = chunks, b""

        def read(self, size):
            while not self.rest:
                chunk = next(self.chunks, None)
                if chunk is None:
                    return b""
                self.rest = chunk
            part, self.rest = self.rest[:size], self.rest[size:]
            return part

    def decode(chunks):
        response = Mock(raw=Raw(chunks), encoding="utf-8", headers=HEAD, url=URL, history=[])
        try:
            yield from map(members, module.SSEClient(URL, session=Mock(get=once(lambda: response)), retry=0))
        except Over:
            return

    return decode, "sseclient", "0.0.27", ALL


def requests_sse():
    import requests

    client = import_module("requests_sse.client")
    client.time.sleep = lambda seconds: None

    def decode(chunks):
        def respond():
            response = requests.Response()
            response.status_code, response.url, response.headers["Content-Type"] = 200, URL, "text/event-stream"
            response.raw = Mock(stream=lambda size, decode_content=True: iter(chunks))
            return response

        source = client.EventSource(URL, session=Mock(request=once(respond)))
        source.connect()
        try:
            for e in source:
                yield {"event": e.type, "data": e.data, "id": e.last_event_id}
        except Over:
            return

    return decode, "requests-sse", version("requests-sse"), ("event", "id")


def aiohttp_sse_client2():
    import aiohttp

    client = import_module("aiohttp_sse_client2.client")

    async def no_wait(seconds):
        pass

    client.asyncio = types.SimpleNamespace(sleep=no_wait)

    async def read(chunks):
        loop = asyncio.get_running_loop()
        content = aiohttp.StreamReader(Mock(_reading_paused=False), 2**16, loop=loop)
        at = [0]

        async def feed():
            for at[0], chunk in enumerate(chunks):
                if chunk:
                    content.feed_data(chunk)
                for _ in range(2):  # let the library take it
                    await asyncio.sleep(0)
            content.feed_eof()

        feeding = []

        def respond():
            feeding.append(loop.create_task(feed()))
            return Mock(status=200, content_type="text/event-stream", content=content)

        asked = once(respond)

        class Session:
            async def request(self, *args, **kwargs):
                return asked()

        source, events = client.EventSource(URL, session=Session()), []
        await source.connect()
        try:
            async for e in source:
                events.append({"event": e.type, "data": e.data, "id": e.last_event_id, "chunk": at[0]})
        except Over:
            pass
        return events

    def decode(chunks):
        return asyncio.run(read(list(chunks)))

    return decode, "aiohttp-sse-client2", version("aiohttp-sse-client2"), ("event", "id")


def launchdarkly():
    from ld_eventsource.reader import _BufferedLineReader, _SSEReader

    def decode(chunks):
        for e in _SSEReader(_BufferedLineReader.lines_from(chunks)).events_and_comments():
            if hasattr(e, "data"):
                yield {"event": e.event, "data": e.data, "id": e.last_event_id}

    return decode, "launchdarkly-eventsource", version("launchdarkly-eventsource"), ("event", "id")


NAMES = {
    "aiohttp-sse-client2": aiohttp_sse_client2,
    "cohere": lambda: over_httpx("cohere", version("cohere"), "cohere.core.http_sse._api"),
    "google-genai": lambda: speakeasy("google-genai", "google.genai._gaos.utils.eventstreaming"),
    "httpx-sse": httpx_sse,
    "launchdarkly-eventsource": launchdarkly,
    "mistralai": lambda: speakeasy("mistralai", "mistralai.client.utils.eventstreaming"),
    "requests-sse": requests_sse,
    "sseclient": sseclient,
    "sseclient-py": sseclient_py,
    **{name: lambda name=name: stainless(name) for name in ("anthropic", "groq", "openai", "together")},
    **{f"httpx-sse-{v}": lambda v=v: httpx_sse(v) for v in ("0.2.0", "0.3.1", "0.4.0")},
    **{f"sseclient-py-{v}": lambda v=v: sseclient_py(v) for v in ("1.7.2", "1.8.0")},
}
decode, name, number, features = NAMES[sys.argv[1]]()
adapter.decoder(decode, name, number, features, prompt=name != "aiohttp-sse-client2")
