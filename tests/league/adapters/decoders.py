"""Decoders of Python libraries as decoders under test: ``python decoders.py NAME``.

Each is a function from an iterator of bytes to events; where a library hides its decoder behind a request, the request is
played. ``OLD`` names the folder of packages that share the name of a module.
"""

import asyncio
import json
import os
import sys
from importlib.metadata import version

import adapter


class Played:
    """What a library reads from instead of a connection: an httpx or requests response, roughly."""

    def __init__(self, chunks):
        self.chunks, self.headers, self.status_code = chunks, {"content-type": "text/event-stream"}, 200
        self.encoding, self.history, self.url = "utf-8", [], "http://127.0.0.1/"

    def iter_bytes(self):
        return iter(self.chunks)

    def close(self):
        pass


def stainless(module, package):
    from importlib import import_module

    decoder = import_module(module).SSEDecoder

    def decode(chunks):
        for e in decoder().iter_bytes(chunks):
            yield {"event": e.event, "data": e.data, "id": e.id, "retry": e.retry}

    return decode, package, version(package), ("event", "id", "retry")


def speakeasy(module, package):
    from importlib import import_module

    stream_events = import_module(module).stream_events

    def decode(chunks):
        for e in stream_events(Played(chunks), decoder=lambda text: json.loads(text)):
            yield {"event": e.get("event"), "data": raw(e.get("data")), "id": e.get("id"), "retry": e.get("retry")}

    def raw(data):
        return data if isinstance(data, str) else json.dumps(data)

    return decode, package, version(package), ("event", "id", "retry")


def cohere_sse():
    import httpx
    from cohere.core.http_sse._api import EventSource

    class Body(httpx.SyncByteStream):
        def __init__(self, chunks):
            self.chunks = chunks

        def __iter__(self):
            return iter(self.chunks)

    def decode(chunks):
        response = httpx.Response(
            200,
            headers={"content-type": "text/event-stream"},
            stream=Body(chunks),
            request=httpx.Request("GET", "http://127.0.0.1/"),
        )
        for e in EventSource(response).iter_sse():
            yield {"event": e.event, "data": e.data, "id": e.id, "retry": e.retry}

    return decode, "cohere", version("cohere"), ("event", "id", "retry")


def httpx_sse_old(v):
    sys.path.insert(0, os.path.join(os.environ["OLD"], f"httpx-sse=={v}"))
    import httpx
    from httpx_sse import EventSource

    class Body(httpx.SyncByteStream):
        def __init__(self, chunks):
            self.chunks = chunks

        def __iter__(self):
            return iter(self.chunks)

    def decode(chunks):
        response = httpx.Response(
            200,
            headers={"content-type": "text/event-stream"},
            stream=Body(chunks),
            request=httpx.Request("GET", "http://127.0.0.1/"),
        )
        for e in EventSource(response).iter_sse():
            yield {"event": e.event, "data": e.data, "id": e.id, "retry": e.retry}

    return decode, "httpx-sse", v, ("event", "id", "retry")


def sseclient_py_old(v):
    sys.path.insert(0, os.path.join(os.environ["OLD"], f"sseclient-py=={v}"))
    import sseclient

    def decode(chunks):
        for e in sseclient.SSEClient(chunks).events():
            yield {"event": e.event, "data": e.data, "id": e.id}

    return decode, "sseclient-py", v, ("event", "id")


def sseclient_btubbs():
    sys.path.insert(0, os.path.join(os.environ["OLD"], "sseclient"))
    import sseclient

    sseclient.print = lambda *args: None  # it prints the end of a connection to standard output

    class Over(BaseException):
        pass

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
        class Session:
            def get(self, url, **kwargs):
                if hasattr(self, "used"):
                    raise Over
                self.used = True
                played = Played(chunks)
                played.raw = Raw(chunks)
                played.raise_for_status = lambda: None
                return played

        client = sseclient.SSEClient("http://127.0.0.1/", session=Session(), retry=0)
        try:
            for e in client:
                yield {"event": e.event, "data": e.data, "id": e.id, "retry": e.retry}
        except Over:
            return

    sseclient.time = type("T", (), {"sleep": staticmethod(lambda s: None)})
    return decode, "sseclient", "0.0.27", ("event", "id", "retry")


def requests_sse_():
    import requests_sse.client as rs

    class Over(BaseException):
        pass

    rs.time.sleep = lambda s: None

    def decode(chunks):
        import requests

        class Raw:
            def stream(self, size, decode_content=True):
                yield from (c for c in chunks)

            def close(self):
                pass

            def release_conn(self):
                pass

        class Session:
            def request(self, **kwargs):
                if hasattr(self, "used"):
                    raise Over
                self.used = True
                response = requests.Response()
                response.status_code, response.raw, response.url = 200, Raw(), "http://127.0.0.1/"
                response.headers["Content-Type"] = "text/event-stream"
                return response

            def close(self):
                pass

        source = rs.EventSource("http://127.0.0.1/", session=Session())
        source.connect()
        try:
            for e in source:
                yield {"event": e.type, "data": e.data, "id": e.last_event_id, "retry": retry_of(source)}
        except Over:
            if retry_of(source) is not None:
                last.append(retry_of(source))

    last = []

    def retry_of(source):
        return None

    return decode, "requests-sse", version("requests-sse"), ("event", "id")


def aiohttp_sse_client2_():
    import aiohttp
    from aiohttp_sse_client2.client import EventSource

    class Over(BaseException):
        pass

    async def read(chunks):
        events, at = [], [0]
        loop = asyncio.get_running_loop()

        class Session:
            async def request(self, method, url, **kwargs):
                if hasattr(self, "used"):
                    raise Over
                self.used = True
                from unittest.mock import Mock

                content = aiohttp.StreamReader(Mock(_reading_paused=False), 2**16, loop=loop)

                async def feed():
                    for at[0], chunk in enumerate(chunks):
                        if chunk:
                            content.feed_data(chunk)
                        await asyncio.sleep(0)
                        await asyncio.sleep(0)
                    content.feed_eof()

                self.task = loop.create_task(feed())
                response = Mock()
                response.status, response.content_type, response.content = 200, "text/event-stream", content
                response.real_url.origin.return_value = "http://127.0.0.1"
                return response

        source = EventSource("http://127.0.0.1/", session=Session())
        import aiohttp_sse_client2.client as module

        async def nothing(seconds):
            pass

        module.asyncio = type("A", (), {"sleep": staticmethod(nothing)})
        await source.connect()
        try:
            async for e in source:
                events.append({"event": e.type, "data": e.data, "id": e.last_event_id})
        except Over:
            pass
        return events

    def decode(chunks):
        yield from asyncio.run(read(list(chunks)))

    return decode, "aiohttp-sse-client2", version("aiohttp-sse-client2"), ("event", "id")


def httpx_sse_new():
    import httpx
    from httpx_sse import EventSource

    class Body(httpx.SyncByteStream):
        def __init__(self, chunks):
            self.chunks = chunks

        def __iter__(self):
            return iter(self.chunks)

    def decode(chunks):
        head = {"content-type": "text/event-stream"}
        request = httpx.Request("GET", "http://127.0.0.1/")
        for e in EventSource(httpx.Response(200, headers=head, stream=Body(chunks), request=request)).iter_sse():
            yield {"event": e.event, "data": e.data, "id": e.id, "retry": e.retry}

    return decode, "httpx-sse", version("httpx-sse"), ("event", "id", "retry")


def sseclient_py_new():
    import sseclient

    def decode(chunks):
        for e in sseclient.SSEClient(chunks).events():
            yield {"event": e.event, "data": e.data, "id": e.id}

    return decode, "sseclient-py", version("sseclient-py"), ("event", "id")


def launchdarkly():
    from ld_eventsource.reader import _BufferedLineReader, _SSEReader

    def decode(chunks):
        for e in _SSEReader(_BufferedLineReader.lines_from(chunks)).events_and_comments():
            if hasattr(e, "data"):
                yield {"event": e.event, "data": e.data, "id": e.last_event_id}

    return decode, "launchdarkly-eventsource", version("launchdarkly-eventsource"), ("event", "id")


NAMES = {
    "anthropic": lambda: stainless("anthropic._streaming", "anthropic"),
    "httpx-sse": httpx_sse_new,
    "launchdarkly": launchdarkly,
    "sseclient-py": sseclient_py_new,
    "groq": lambda: stainless("groq._streaming", "groq"),
    "together": lambda: stainless("together._streaming", "together"),
    "openai": lambda: stainless("openai._streaming", "openai"),
    "mistralai": lambda: speakeasy("mistralai.client.utils.eventstreaming", "mistralai"),
    "google-genai": lambda: speakeasy("google.genai._gaos.utils.eventstreaming", "google-genai"),
    "cohere": cohere_sse,
    "httpx-sse-0.2.0": lambda: httpx_sse_old("0.2.0"),
    "httpx-sse-0.3.1": lambda: httpx_sse_old("0.3.1"),
    "httpx-sse-0.4.0": lambda: httpx_sse_old("0.4.0"),
    "sseclient-py-1.7.2": lambda: sseclient_py_old("1.7.2"),
    "sseclient-py-1.8.0": lambda: sseclient_py_old("1.8.0"),
    "sseclient": sseclient_btubbs,
    "requests-sse": requests_sse_,
    "aiohttp-sse-client2": aiohttp_sse_client2_,
}
decode, name, number, features = NAMES[sys.argv[1]]()
adapter.decoder(decode, name, number, features)
