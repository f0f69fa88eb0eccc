"""Resuming. How does a dropped stream go on where it broke off?

    python examples/17_resume.py

Each event of /events has an id, and a client that reconnects says which one it had last. The server drops each connection
after three events. You will see every event once, over three connections. A client that sends no Last-Event-ID starts
from the beginning each time: without ids there is no position to resume from. Chat streams have none, and cannot be
resumed: a backend that wants that gives its own events ids, and keeps what it sent.
"""

import json
import urllib.request

import lesson

from sse_ref.client import EventSource

PROMPT = "model=toy-echo&prompt=one+two+three+four+five+six+seven"

with lesson.server() as url:
    source = EventSource(f"{url}/events?{PROMPT}&drop=3")
    for event in source:
        print(f"id {event.id}  {event.event:8} {event.data!r}")
        source.reconnection_time = 20  # the server said 1000 ms; an example need not wait that long
        if event.event == "done":
            source.close()  # otherwise it would ask again, and be told 204: there is nothing more

    with urllib.request.urlopen(url + "/journal") as answer:
        records = [record for record in json.load(answer) if record["path"] == "/events"]
    print("events on each connection:", [record["events"] for record in records[-3:]])

    print("and without an id:")
    for _ in range(2):
        source = EventSource(f"{url}/events?{PROMPT}&drop=3")
        seen = []
        for event in source:
            seen.append(event.data)
            if len(seen) == 3:
                source.close()
        print(f"  {seen}")
