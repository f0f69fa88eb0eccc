"""Errors. In how many ways can a stream go wrong, and how are they told apart?

    python examples/14_errors.py

Five faults are provoked, each asked for in the base URL. You will see what a careful client makes of them,
with the text that had come, and what a loop makes of them that only reads lines until there are no more: after the first
byte the status is 200 already, so the loop sees nothing wrong in two of them. Only the first may be sent again without
thinking, after the time that Retry-After says: nothing had come of an answer. ChatStream sends it again
by itself, twice at most; here it is told not to, with retries=0.
"""

import http.client
import json
import urllib.request

import lesson

from sse_ref.client import ChatStream, StreamError


def careful(url):
    stream = ChatStream("one two three four five", url=url, model="toy-echo", retries=0, timeout=0.5)
    try:
        for _ in stream:
            pass
        return "complete"
    except StreamError as error:
        return f"{error.outcome}: {error}; kept {error.text!r}"


def careless(url):
    body = {"model": "toy-echo", "stream": True, "messages": [{"role": "user", "content": "one two three four five"}]}
    url = url.replace("/v1", "/v1/chat/completions")
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    text = ""
    try:
        with urllib.request.urlopen(request, timeout=0.5) as answer:
            for line in answer:
                if line.startswith(b"data: {"):
                    choices = json.loads(line[6:]).get("choices", [])
                    text += "".join(choice["delta"].get("content", "") for choice in choices)
        return f"complete: {text!r}"
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"


with lesson.server() as url:
    for fault in ("refuse", "error", "cut", "end", "stall"):
        print(f"{fault}\n  careful   {careful(f'{url}/fault={fault}&at=3/v1')}")
        print(f"  careless  {careless(f'{url}/fault={fault}&at=3/v1')}")
