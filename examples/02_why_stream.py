"""Why stream. What does the user gain, if the answer takes as long as before?

    python examples/02_why_stream.py

The same answer is asked for twice at 60 tokens a second, streamed and whole. You will see when words arrived, drawn on
one scale: the end comes at the same time, but the first words come many times earlier. That wait, the time to first
token, is what people call fast or slow.
"""

import json
import time
import urllib.request

import lesson

from sse_ref.client import ChatStream
from sse_ref.pieces import Text

QUESTION = "Tell me a story"

with lesson.server() as url:
    paced = "/v1?ttft=0.2&tps=60"
    began = time.monotonic()
    with ChatStream(QUESTION, url=url + paced) as stream:
        words = [time.monotonic() - began for piece in stream if isinstance(piece, Text)]
    streamed = time.monotonic() - began

    body = {"model": "toy", "messages": [{"role": "user", "content": QUESTION}]}
    request = urllib.request.Request(
        url + paced.replace("/v1", "/v1/chat/completions"),
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    began = time.monotonic()
    with urllib.request.urlopen(request) as answer:
        text = json.load(answer)["choices"][0]["message"]["content"]
    whole = time.monotonic() - began

assert text == stream.text
end = max(streamed, whole)
print(f"streamed  |{lesson.timeline(words, end)}|  first words after ~{words[0]:.2f} s, end after ~{streamed:.2f} s")
print(f"whole     |{lesson.timeline([whole], end)}|  first words after ~{whole:.2f} s")
print(f"The same {len(text)} characters; the first came ~{whole / words[0]:.0f} times earlier.")
