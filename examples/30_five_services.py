"""Five services. What does "compatible" leave open?

    python examples/30_five_services.py

Services that call themselves compatible with chat completions deviate, each in its own way. The server can write as they do:
a base URL with /quirk=SERVICE in it. One client asks five of them, once for reasoning and once for two tool calls. You will
see what a service writes where the vendor writes something else, that the client reads the same from all, and what becomes
of a loop that many tutorials show. All deviations: python -m sse_ref.server --list-quirks.
"""

import json
import re
import urllib.request

import lesson

from sse_ref.client import ChatStream
from sse_ref.codec import iter_events
from sse_ref.pieces import Message, Prompt, Tool

WRITES = {
    "vllm": '"delta":{"reasoning"',
    "mistral": '"delta":{"content":[{',
    "azure": '"prompt_filter_results"',
    "ollama": '"tool_calls":[{',
    "openrouter": '"native_finish_reason":"',
}
TOOLS = (Tool("get_time", {"properties": {"city": {"enum": ["Oslo"]}}, "required": ["city"]}), Tool("get_news", {}))
THINK = Prompt("toy-thinker", (Message("user", "Hi"),), max_tokens=60)
CALL = Prompt("toy", (Message("user", "Call get_time and get_news."),), tools=TOOLS)
BODY = b'{"model":"toy-thinker","messages":[{"role":"user","content":"Hi"}],"max_tokens":60,"stream":true}'


def answer(base, prompt, seen):
    """The answer to a prompt; the data of its events is added to what was seen."""
    with ChatStream(prompt, url=base, on_event=lambda event: seen.append(event.data)) as stream:
        for _ in stream:
            pass
    return stream.outcome, stream.reasoning, stream.text, [(call.name, call.arguments) for call in stream.tool_calls]


def tutorial(base):
    """The text of an answer, as many tutorials read it."""
    request = urllib.request.Request(base + "/chat/completions", BODY, {"Content-Type": "application/json"})
    text = ""
    with urllib.request.urlopen(request) as response:
        for event in iter_events(response):
            if event.data == "[DONE]":
                break
            text += json.loads(event.data)["choices"][0]["delta"].get("content") or ""
    return text


with lesson.server() as url:
    expected = [answer(f"{url}/v1", prompt, []) for prompt in (THINK, CALL)]
    for service, words in WRITES.items():
        base = f"{url}/quirk={service}/v1"
        seen = []
        read = [answer(base, prompt, seen) for prompt in (THINK, CALL)]
        data = next(data for data in seen if words in data)
        try:
            naive = "as it should be" if tutorial(base) == expected[0][2] else "something else"
        except (TypeError, LookupError) as error:
            naive = repr(error)
        print(service)
        print("    writes   ", re.sub("[0-9a-f]{12,}", "1f2e", data[data.index(words) :])[:100])
        print("    client   ", "the same as from the vendor" if read == expected else read)
        print("    tutorial ", naive)
print(f"\nthe client read {expected[0][1][:30]!r}, {expected[0][2][:30]!r}")
print(f"and {expected[1][3]}")
