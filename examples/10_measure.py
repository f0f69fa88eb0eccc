"""Measuring. How fast is a stream, and when does the clock start and stop?

    python examples/10_measure.py

You will see a stream of uneven pace measured: the time to first token (TTFT), tokens per second after it, and the gaps
between tokens as a histogram; a long tail there is what a reader feels as stutter. First is the first delta with
something in it. The chunk with the role comes together with it here, but other servers send that at once: a tool that
counts it reports a time to first token near zero.
"""

import statistics
import time

import lesson

from sse_ref.client import ChatStream

with lesson.server() as url:
    events = []
    began = time.monotonic()
    stream = ChatStream(
        "Tell me a story",
        url=url + "/v1?ttft=0.3&tps=100&jitter=1",
        on_event=lambda event: events.append(time.monotonic() - began),
    )
    for _ in stream:
        pass

print(f"first event           ~{events[0]:.3f} s, the chunk with the role: not counted")
print(f"time to first token   ~{stream.time_to_first_token:.3f} s")
print(f"tokens per second     ~{stream.tokens_per_second:.1f} after it")
gaps = sorted(1000 * gap for gap in stream.gaps)
print(
    f"gaps                  median ~{statistics.median(gaps):.1f} ms, 95% under ~{gaps[int(len(gaps) * 0.95)]:.1f} ms"
)
print()
for low in range(0, 24, 4):
    count = sum(low <= gap < low + 4 for gap in gaps)
    print(f"{low:3} to {low + 4:2} ms  ~{count:<3} {'█' * (count * 60 // len(gaps))}")
print(f"       more   ~{sum(gap >= 24 for gap in gaps)}")
