"""Tool calls. How are calls put together from fragments, and what happens then?

    python examples/11_tool_calls.py

The model asks for two functions at once. You will see the fragments: each names its call by index, only the first of a call
has id and name, and the arguments are JSON only when all have come. Then both functions run, their results go back in a
second request, and the model answers in words.
"""

import json

import lesson

from sse_ref.client import ChatStream
from sse_ref.model import Text

CITY = {"type": "object", "properties": {"city": {"enum": ["Bergen", "Lima", "Osaka"]}}, "required": ["city"]}
FUNCTIONS = {
    "get_weather": lambda city: {"city": city, "sky": "rain"},
    "get_time": lambda city: {"city": city, "time": "08:15"},
}
tools = [{"type": "function", "function": {"name": name, "parameters": CITY}} for name in FUNCTIONS]
messages = [{"role": "user", "content": "Ask get_weather, and get_time as well."}]


def show(event):
    for choice in json.loads(event.data)["choices"] if event.data != "[DONE]" else []:
        for fragment in choice["delta"].get("tool_calls", []):
            print("  fragment", json.dumps(fragment))


with lesson.server() as url:
    body = {"model": "toy", "stream": True, "tools": tools, "messages": messages}
    with ChatStream(body, url=url + "/v1", on_event=show) as stream:
        for _ in stream:
            pass
    print("finish reason:", stream.finish_reason)

    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in stream.tool_calls
    ]
    messages.append({"role": "assistant", "content": None, "tool_calls": calls})
    for call in stream.tool_calls:
        result = FUNCTIONS[call.name](**json.loads(call.arguments))
        print(f"{call.name}({call.arguments}) = {result}")
        messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})

    with ChatStream({**body, "messages": messages, "max_tokens": 20}, url=url + "/v1") as stream:
        print("second round: ", *[piece.text for piece in stream if isinstance(piece, Text)], "...", sep="")
