"""Timeouts. How long should a client wait, and for what?

    python examples/16_timeouts_and_heartbeats.py

A model that thinks is silent, and so is a dead connection. Heartbeats tell them apart: comments, which dispatch nothing.
You will see an answer that takes 0.7 s to begin: given up as dead without heartbeats, whole with them, and killed all the
same by a limit for the whole. Last, a stream that has really stalled. So: no limit for the whole, a short one for
silence, and a heartbeat more often than that (here every 0.2 s; on real servers every 15 s, because proxies give up after
50 to 60).
"""

import lesson

from sse_ref.client import ChatStream, StreamError, Watcher


class Comments(Watcher):
    count = 0

    def piece(self, data):
        self.count += data.startswith(b":")


def ask(what, url, **options):
    comments = Comments()
    stream = ChatStream("Hi", url=url, watcher=comments, **options)
    try:
        for _ in stream:
            pass
        how = "complete"
    except StreamError as error:
        how = f"{error.outcome}: {error}"
    print(f"{what}: {how}; ~{comments.count} heartbeats, {len(stream.arrivals)} tokens")


with lesson.server() as url:
    slow = url + "/v1?ttft=0.7&tps=0"
    ask("no heartbeats, idle timeout 0.5 s", slow + "&heartbeat=0", timeout=0.5)
    ask("heartbeats,    idle timeout 0.5 s", slow + "&heartbeat=0.2", timeout=0.5)
    ask("heartbeats,    total limit 0.5 s ", slow + "&heartbeat=0.2", timeout=None, total_timeout=0.5)
    ask("stalled,       idle timeout 0.5 s", url + "/fault=stall&at=3&heartbeat=0.2/v1", timeout=0.5)
