"""Many streams. Can twenty people be served at once, and can one stream hold two answers?

    python examples/21_many_streams.py

A stream is a connection that stays open: a server with four workers, one for each request, is full with four readers.
This one sends all streams from one loop. You will see twenty clients, a thread each, take hardly longer than one. Then
two answers share one stream: n is 2, and each chunk says by its index which of them it continues. One answer for many
readers is another thing: keep its events with their ids, and let each reader begin where it is (17).
"""

import time
from concurrent.futures import ThreadPoolExecutor

import lesson

from sse_ref.client import ChatStream
from sse_ref.pieces import Message, Prompt, Text


def ask(url, number=0):
    with ChatStream(f"client {number} says hello", url=url + "/v1?ttft=0&tps=20", model="toy-echo") as stream:
        for _ in stream:
            pass
    return stream.text


with lesson.server() as url:
    began = time.monotonic()
    ask(url)
    one = time.monotonic() - began
    began = time.monotonic()
    with ThreadPoolExecutor(max_workers=20) as pool:
        answers = list(pool.map(lambda number: ask(url, number), range(20)))
    twenty = time.monotonic() - began
    print(f"one stream ~{one:.2f} s, twenty at once ~{twenty:.2f} s, one after the other ~{20 * one:.0f} s")
    right = [text == f"client {number} says hello" for number, text in enumerate(answers)]
    print(f"answers that reached the right client: {sum(right)}")

    prompt = Prompt("toy", (Message("user", "Tell me a story"),), n=2, max_tokens=6)
    with ChatStream(prompt, url=url + "/v1") as stream:
        for piece in stream:
            if isinstance(piece, Text):
                print(f"index {piece.choice}  {piece.text!r}")
    for index, choice in sorted(stream.choices.items()):
        print(f"choice {index}: {choice.text!r}, finish reason {choice.finish_reason}")
