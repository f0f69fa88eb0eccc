"""How fast the decoder is beside two published ones: ratios, taken side by side in one run.

Run by ``make bench-decoders``, which installs the peers into a throwaway environment. Each workload is timed in rounds
that visit every decoder in turn, so that a noisy moment hits all of them; the table shows the median of each decoder's
rounds and the ratio of ours to it.
"""

from __future__ import annotations

import argparse
import codecs
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from httpx_sse._decoders import SSEDecoder as HttpxDecoder
from httpx_sse._decoders import SSELineDecoder as HttpxLineDecoder
from ld_eventsource.reader import _BufferedLineReader, _SSEReader
from results import save

from sse_ref.codec import SSEDecoder


def ours(chunks: list[bytes]) -> int:
    feed = SSEDecoder().feed
    count = 0
    for chunk in chunks:
        for _event in feed(chunk):
            count += 1
    return count


def httpx_sse(chunks: list[bytes]) -> int:
    """As ``EventSource.iter_sse`` drives it, with the text decoder that httpx puts before it."""
    text = codecs.getincrementaldecoder("utf-8")("replace")
    lines, decoder = HttpxLineDecoder(), HttpxDecoder()
    count = 0
    for chunk in chunks:
        for line in lines.decode(text.decode(chunk)):
            if decoder.decode(line) is not None:
                count += 1
    return count


def launchdarkly(chunks: list[bytes]) -> int:
    count = 0
    for _event in _SSEReader(_BufferedLineReader.lines_from(chunks)).events_and_comments():
        count += 1
    return count


DECODERS: dict[str, Callable[[list[bytes]], int]] = {
    "sse_ref": ours,
    "httpx-sse": httpx_sse,
    "launchdarkly-eventsource": launchdarkly,
}


def chat_chunks(count: int) -> Iterator[bytes]:
    """Events of about 285 bytes, as an OpenAI-style server sends them."""
    for number in range(count):
        chunk = {
            "id": "chatcmpl-0123456789abcdef01234567",
            "object": "chat.completion.chunk",
            "created": 1741548524,
            "model": "toy",
            "service_tier": "default",
            "system_fingerprint": "fp_0123456789",
            "choices": [{"index": 0, "delta": {"content": f" w{number}"}, "logprobs": None, "finish_reason": None}],
            "usage": None,
        }
        yield b"data: " + json.dumps(chunk).encode() + b"\n\n"


def cut(stream: bytes, size: int) -> list[bytes]:
    return [stream[start : start + size] for start in range(0, len(stream), size)]


def workloads(events: int) -> dict[str, list[bytes]]:
    chunks = list(chat_chunks(events))
    stream = b"".join(chunks)
    return {
        "one chat chunk per feed": chunks,
        "feeds of 64 KiB": cut(stream, 65536),
        "feeds of 7 bytes": cut(stream[: len(stream) // 10], 7),
        "one 4 MiB line, feeds of 4 KiB": cut(b"data: " + b"x" * 2**22 + b"\n\n", 4096),
        "one event of 20,000 lines, feeds of 16 KiB": cut(b"data: y\n" * 20000 + b"\n", 16384),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--events", type=int, default=20000)
    parser.add_argument("--save", action="store_true", help="keep the ratios for the README")
    options = parser.parse_args()
    ratios = []
    print(f"{'workload':44}" + "".join(f"{name:>26}" for name in DECODERS))
    for workload, chunks in workloads(options.events).items():
        seconds: dict[str, list[float]] = {name: [] for name in DECODERS}
        for _ in range(options.rounds):
            for name, decode in DECODERS.items():
                start = time.perf_counter()
                decode(chunks)
                seconds[name].append(time.perf_counter() - start)
        median = {name: statistics.median(times) for name, times in seconds.items()}
        row = "".join(f"{1000 * t:14.1f} ms ({t / median['sse_ref']:5.2f})" for t in median.values())
        print(f"{workload:44}{row}")
        ratios += [(f"decoder, {workload}", name, median[name] / median["sse_ref"]) for name in list(DECODERS)[1:]]
    if options.save:
        save("decoder", ratios, [])


if __name__ == "__main__":
    main()
