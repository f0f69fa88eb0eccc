"""Recording. How is an answer kept, with its pace and its faults, and played back in a test?

    python examples/31_record_and_replay.py

Each read with its time, in lines of JSON that a person can read and edit: the client keeps them, and the server plays them
back. You will see a stream that breaks off, the lines that were kept of it, and the same stream again, ten times as fast.
With a real provider: python -m sse_ref.client "..." --url ... --api-key-env NAME --record FILE. The key is never kept.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import lesson  # finds sse_ref

from sse_ref.client import ChatStream, StreamError
from sse_ref.server import Answer, running


def told(url):
    stream = ChatStream("The weather?", url=url, model="any", retries=0)
    try:
        with stream:
            list(stream)
    except StreamError:
        pass
    return f"{stream.text!r}, {stream.outcome}"


with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "rain.jsonl"

    with running([Answer("Rain in Ber", fault="cut", ttft=0.3, tps=10)]) as server:
        options = ["--url", server.url + "/v1", "--record", str(path)]
        command = [sys.executable, "-m", "sse_ref.client", "The weather?", *options]
        subprocess.run(command, capture_output=True, cwd=Path(__file__).parents[1])

    print("kept:")
    for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        word = re.search('"content":(".*?")', line.get("text", ""))
        read = f"a read: {word[1]}" if word else "the head, or half an event"
        print("   ", f"the end: {line['end']}" if "end" in line else read)

    with running([Answer(replay=path, speed=10)]) as server:
        print("again:", told(server.url + "/v1"))
