"""Partial JSON. Can structured output be shown before it is complete?

    python examples/12_partial_json.py

The answer is asked to fit a JSON schema. You will see the end of the text as it grows, and the value that can already be
shown: what is open is closed, and what may still change is left out, so that the value only ever grows (read_partial in
sse_ref/client/partial_json.py, forty lines). The second answer is shortened by max_tokens: a schema promises nothing if the
finish reason is "length".
"""

import json

import lesson

from sse_ref.client import ChatStream, read_partial

STOP = {
    "type": "object",
    "properties": {"place": {"enum": ["Bergen", "Oslo"]}, "hours": {"type": "integer", "minimum": 10, "maximum": 30}},
    "required": ["place", "hours"],
}
TRIP = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "stops": {"type": "array", "items": STOP, "minItems": 2}},
    "required": ["title", "stops"],
}
body = {
    "model": "toy",
    "stream": True,
    "messages": [{"role": "user", "content": "Plan a trip"}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "trip", "schema": TRIP}},
}

with lesson.server() as url:
    shown = None
    print(f"{'the text ends in':18} what can be shown")
    with ChatStream(body, url=url + "/v1") as stream:
        for _ in stream:
            value = read_partial(stream.text)
            if value != shown:
                shown = value
                print(f"...{stream.text[-14:]:15} {json.dumps(value)}")
    assert json.loads(stream.text) == shown
    print(f"finish reason {stream.finish_reason}: the last value is the whole one")

    with ChatStream({**body, "max_tokens": 16}, url=url + "/v1") as stream:
        for _ in stream:
            pass
    print(f"finish reason {stream.finish_reason}: {stream.text!r}")
    print(f"is no JSON; as far as it goes: {read_partial(stream.text)}")
