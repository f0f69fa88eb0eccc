"""One client, reading streams of ``feeder.py``: ``python client.py NAME URL KIND COUNT``. Prints a JSON object.

For ``full``: how many pieces of text came, and in how many seconds. For ``paced``: how long each took from the server to
whoever reads the text, in microseconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

MESSAGES: list[Any] = [{"role": "user", "content": "Hi"}]


def ours(base: str) -> Iterator[str]:
    from sse_ref.client import ChatStream
    from sse_ref.pieces import Text

    yield ""
    with ChatStream("Hi", model="m", url=base) as stream:
        for piece in stream:
            if isinstance(piece, Text):
                yield piece.text


def httpx_sse(base: str) -> Iterator[str]:
    import httpx
    from httpx_sse import connect_sse

    body = {"model": "m", "messages": MESSAGES, "stream": True}
    with httpx.Client() as client:
        yield ""
        with connect_sse(client, "POST", f"{base}/chat/completions", json=body) as source:
            for event in source.iter_sse():
                if event.data == "[DONE]":
                    break
                for choice in json.loads(event.data)["choices"]:
                    if text := choice["delta"].get("content"):
                        yield text


def openai(base: str) -> Iterator[str]:
    from openai import OpenAI

    with OpenAI(base_url=base, api_key="none") as client:
        yield ""
        for chunk in client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
            for choice in chunk.choices:
                if choice.delta.content:
                    yield choice.delta.content


OURS = "sse_ref"
CLIENTS: dict[str, Callable[[str], Iterator[str]]] = {
    OURS: ours,
    "httpx, httpx-sse, json": httpx_sse,
    "openai": openai,
}
"""Each yields "" when the client is made, and then sends its request and yields the pieces of text."""


def main() -> None:
    name, url, kind, count = sys.argv[1:]
    for _ in CLIENTS[name](f"{url}/full/200"):  # import, warm up
        pass
    read = CLIENTS[name](f"{url}/{kind}/{count}")
    next(read)
    if kind == "full":
        began = time.perf_counter()
        pieces = sum(1 for _ in read)
        print(json.dumps({"pieces": pieces, "seconds": time.perf_counter() - began}))
    else:
        delays = [(time.monotonic_ns() - int(text)) / 1000 for text in read]
        print(json.dumps({"pieces": len(delays), "delays": delays}))


if __name__ == "__main__":
    main()
