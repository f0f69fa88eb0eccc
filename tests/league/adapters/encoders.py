"""Encoders of Python libraries as encoders under test: ``python encoders.py NAME``.

Each is a function from an event, a dict without members that are null, to text or bytes.
"""

import asyncio
import json
import sys
from importlib.metadata import version


class Skip(Exception):
    """The library cannot write this."""


def serve(name, number, features, encode):
    def say(**members):
        print(json.dumps(members), flush=True)

    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "hello":
            say(name=name, version=number, features=features)
            continue
        try:
            parts = [encode({k: v for k, v in event.items() if v is not None}) for event in request["events"]]
            say(id=request["id"], bytes=b"".join(p if isinstance(p, bytes) else p.encode() for p in parts).hex())
        except Skip as skip:
            say(id=request["id"], skip=str(skip))
        except Exception as error:
            say(id=request["id"], error=repr(error)[:200])


def aiohttp_sse():
    from aiohttp_sse import EventSourceResponse

    out = []

    class Response(EventSourceResponse):
        async def write(self, data):
            out.append(bytes(data))

    def encode(e):
        out.clear()
        if "data" not in e:
            raise Skip("send() needs data")
        asyncio.run(Response().send(e["data"], id=e.get("id"), event=e.get("event"), retry=e.get("retry")))
        return b"".join(out)

    return "aiohttp-sse send()", version("aiohttp-sse"), ["event", "id", "retry"], encode


def django_eventstream():
    from django.conf import settings

    settings.configure()
    from django_eventstream.utils import sse_encode_event

    def encode(e):
        if "data" not in e:
            raise Skip("sse_encode_event needs data")
        if "retry" in e:
            raise Skip("it has no retry")
        kind = e.get("event", "message")
        return sse_encode_event(kind, e["data"], event_id=e.get("id"), escape=False, json_encode=False)

    return "django-eventstream", version("django-eventstream"), ["event", "id"], encode


def fastapi():
    """Its own: the validation of ServerSentEvent (with raw_data), then format_sse_event, as its routing does."""
    from fastapi.sse import ServerSentEvent, format_sse_event

    def encode(e):
        if "data" in e:
            e["raw_data"] = e.pop("data")
        s = ServerSentEvent(**e)
        return format_sse_event(data_str=s.raw_data, event=s.event, id=s.id, retry=s.retry, comment=s.comment)

    return "fastapi.sse", version("fastapi"), ["event", "id", "retry", "comment"], encode


def flask_sse():
    from flask_sse import Message

    def encode(e):
        if "data" not in e:
            raise Skip("Message needs data")
        return str(Message(e["data"], type=e.get("event"), id=e.get("id"), retry=e.get("retry")))

    return "Flask-SSE Message", version("flask-sse"), ["event", "id", "retry"], encode


def litestar():
    from litestar.response.sse import ServerSentEventMessage

    features = ["event", "id", "retry", "comment"]
    return (
        "litestar ServerSentEventMessage",
        version("litestar"),
        features,
        lambda e: ServerSentEventMessage(**e).encode(),
    )


def sse_starlette():
    from sse_starlette.event import ServerSentEvent

    features = ["event", "id", "retry", "comment"]
    return "sse-starlette ServerSentEvent", version("sse-starlette"), features, lambda e: ServerSentEvent(**e).encode()


NAMES = {
    "aiohttp-sse": aiohttp_sse,
    "django-eventstream": django_eventstream,
    "fastapi": fastapi,
    "flask-sse": flask_sse,
    "litestar": litestar,
    "sse-starlette": sse_starlette,
}
name, number, features, encode = NAMES[sys.argv[1]]()
serve(name, number, features, encode)
