"""Timeouts. How long should a client wait, and for what?

    python examples/16_timeouts_and_heartbeats.py

A model that thinks is silent, and so is a dead connection. Heartbeats tell them apart: comments, which dispatch nothing.
You will see a slow answer survive a short idle timeout because of them, the same answer killed by a limit for the whole,
and a stalled stream found dead by the idle timeout. So: no limit for the whole, a short one for silence, and a heartbeat
more often than that (here every 0.2 s; on real servers every 15 s, because proxies give up after 50 to 60).
"""

import lesson

from sse_ref.client import ChatStream, StreamError
from sse_ref.transport import Watcher


class Comments(Watcher):
    count = 0

    def piece(self, data):
        self.count += data.startswith(b":")


def ask(what, url, **options):
    comments = Comments()
    stream = ChatStream("Hi", url=url, max_event_size=None, watcher=comments, **options)
    try:
        for _ in stream:
            pass
        how = "complete"
    except StreamError as error:
        how = f"{error.outcome}: {error}"
    print(f"{what}: {how}; {comments.count} heartbeats, {len(stream.arrivals)} tokens")


with lesson.server() as url:
    slow = url + "/v1?ttft=0&tps=0&heartbeat=0.2"  # toy-slow thinks for three heartbeats
    ask("slow, idle timeout 0.5 s  ", slow, model="toy-slow", timeout=0.5)
    ask("slow, total timeout 0.5 s ", slow, model="toy-slow", timeout=None, total_timeout=0.5)
    ask("stalled, idle timeout 0.5 s", url + "/v1?fault=stall&at=3&ttft=0&tps=0", model="toy", timeout=0.5)
