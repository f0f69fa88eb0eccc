"""Tool calls. How are calls put together from fragments, and what happens then?

    python examples/11_tool_calls.py

The model asks for two functions at once. You will see the fragments: each names its call by index, only the first of a
call has id and name, and the arguments are JSON only when all have come. Then both functions run, and their results go
back in a second request, which the model answers in words (a toy's words: it does not look at the results).
"""

import json

import lesson

from sse_ref.client import ChatStream
from sse_ref.pieces import Text

CITY = {"type": "object", "properties": {"city": {"enum": ["Bergen", "Lima", "Osaka"]}}, "required": ["city"]}
FUNCTIONS = {
    "get_weather": lambda city: {"city": city, "sky": "rain"},
    "get_time": lambda city: {"city": city, "time": "08:15"},
}
tools = [{"type": "function", "function": {"name": name, "parameters": CITY}} for name in FUNCTIONS]
messages = [{"role": "user", "content": "Ask get_weather, and get_time as well."}]
body = {"model": "toy", "stream": True, "tools": tools, "messages": messages}
calls = {}  # by index


def collect(event):
    for choice in json.loads(event.data)["choices"] if event.data != "[DONE]" else []:
        for fragment in choice["delta"].get("tool_calls", []):
            print("  fragment", json.dumps(fragment))
            call = calls.setdefault(fragment["index"], {"id": "", "name": "", "arguments": ""})
            call["id"] = fragment.get("id") or call["id"]
            for name in ("name", "arguments"):
                call[name] += fragment["function"].get(name) or ""


with lesson.server() as url:
    with ChatStream(body, url=url + "/v1", on_event=collect) as stream:
        for _ in stream:
            pass
    print("finish reason:", stream.finish_reason)
    assert stream.finish_reason == "tool_calls"  # otherwise the arguments may not be whole

    asked = [
        {"id": c["id"], "type": "function", "function": {n: c[n] for n in ("name", "arguments")}}
        for c in calls.values()
    ]
    messages.append({"role": "assistant", "content": None, "tool_calls": asked})
    for call in calls.values():
        result = FUNCTIONS[call["name"]](**json.loads(call["arguments"]))
        print(f"{call['name']}({call['arguments']}) = {result}")
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result)})

    with ChatStream({**body, "max_tokens": 20}, url=url + "/v1") as stream:
        print("second round: ", *[piece.text for piece in stream if isinstance(piece, Text)], "...", sep="")
