"""A first client. What is the shortest loop that prints tokens as they come?

    python examples/07_first_client.py

Thirty lines on urllib. You will see the answer, then each delta as it came: the first holds the role and no text, the
last is empty, and text may be missing or null in any of them. Three things are easily missed: read1, because read waits
for the end of the body; flush, because standard output is a buffer too; and [DONE], which is not JSON. An answer that ends
early passes for a whole one in this loop (08), and an error inside the stream makes it fall over (14).
"""

import json
import urllib.request

import lesson

from sse_ref import SSEDecoder


def deltas(url, prompt):
    body = {"model": "toy-echo", "stream": True, "messages": [{"role": "user", "content": prompt}]}
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    decoder = SSEDecoder()
    with urllib.request.urlopen(request, timeout=60) as answer:
        while data := answer.read1():
            for event in decoder.feed(data):
                if event.data == "[DONE]":
                    return
                for choice in json.loads(event.data)["choices"]:
                    yield choice["delta"]


with lesson.server() as url:
    seen = []
    for delta in deltas(url + "/v1/chat/completions?tps=50", "Streaming is only reading slowly."):
        seen.append(delta)
        print(delta.get("content") or "", end="", flush=True)
print()
print(*seen, sep="\n")
