"""Other providers. What changes with another wire, and what does not?

    python examples/22_anthropic_events.py

Anthropic's Messages, from the same server and the same toy models. You will see the very same decoder at work; only what is
made of the events differs. Here every event has a type. Thoughts, text and calls come in blocks that start and stop, and a
delta says only which block it belongs to. The end is an event of its own, and there is no [DONE]. Pings, and types that are
new, may come at any time, and must be passed over.
"""

import json
import urllib.request

import lesson

from sse_ref import SSEDecoder

CITY = {"type": "object", "properties": {"city": {"enum": ["Bergen", "Lima", "Osaka"]}}, "required": ["city"]}
BODY = {
    "model": "toy-thinker",
    "max_tokens": 200,
    "stream": True,
    "messages": [{"role": "user", "content": "What time is it there? Call get_time."}],
    "tools": [{"name": "get_time", "input_schema": CITY}],
}
HEADERS = {"Content-Type": "application/json", "anthropic-version": "2023-06-01"}


def events(url):
    request = urllib.request.Request(url, json.dumps(BODY).encode(), HEADERS)
    decoder = SSEDecoder()
    with urllib.request.urlopen(request, timeout=60) as answer:
        while data := answer.read1():
            yield from decoder.feed(data)


blocks, stop_reason, whole = {}, None, False
with lesson.server() as url:
    for event in events(url + "/v1/messages?tps=100"):
        fields = json.loads(event.data)
        match event.event:
            case "content_block_start":
                blocks[fields["index"]] = []
                print(event.event, fields["content_block"])
            case "content_block_delta":
                delta = fields["delta"]
                blocks[fields["index"]].append(delta.get("thinking") or delta.get("text") or delta.get("partial_json"))
            case "content_block_stop":
                parts = list(filter(None, blocks[fields["index"]]))
                print(f"content_block_delta, {len(parts)} of them:", "|".join(parts))
                print(event.event)
            case "message_delta":
                stop_reason, usage = fields["delta"]["stop_reason"], fields["usage"]
                print(event.event, stop_reason)
            case "error":
                raise SystemExit(fields["error"]["message"])
            case kind:
                whole = whole or kind == "message_stop"
                print(kind)
print(f"whole: {whole}, {usage['input_tokens']} tokens in, {usage['output_tokens']} out")
print("arguments:", json.loads("".join(parts)))
