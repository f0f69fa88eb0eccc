"""Usage. How many tokens did that cost, when nobody sends the whole answer?

    python examples/09_usage.py

The number of tokens comes only if the request asks for it (ChatStream does so by itself when it is given a text), in one
more chunk before [DONE]. You will see that chunk: its list of choices is empty, which is where `chunk["choices"][0]`
fails. Counting deltas is no substitute: a delta can hold several tokens, as an emoji here does.
"""

import json

import lesson

from sse_ref.client import ChatStream

PRICE = {"prompt_tokens": 0.15, "completion_tokens": 0.60}  # for a million tokens
body = {
    "model": "toy-echo",
    "stream": True,
    "messages": [{"role": "user", "content": "Two foxes: 🦊🦊"}],
}

with lesson.server() as url:
    for options in ({}, {"stream_options": {"include_usage": True}}):
        chunks = []
        with ChatStream({**body, **options}, url=url + "/v1", on_event=lambda e, c=chunks: c.append(e.data)) as stream:
            for _ in stream:
                pass
        used = stream.usage and f"{stream.usage.prompt_tokens} + {stream.usage.completion_tokens} tokens"
        print(f"asked for {options or 'nothing'}: {len(chunks)} events, usage {used}")

last = json.loads(chunks[-2])
print("the chunk before [DONE]:", json.dumps({name: last[name] for name in ("choices", "usage")}))
print(f"pieces of text {len(stream.arrivals)}, completion tokens {stream.usage.completion_tokens}")
cost = sum(last["usage"][name] * price / 1e6 for name, price in PRICE.items())
print(f"cost ${cost:.7f}, at made-up prices")
