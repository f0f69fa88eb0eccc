"""What the examples share: a server to talk to, and pictures in the terminal. There is no lesson in this file."""

import contextlib
import json
import os
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the examples run from a clone, without installing anything

from sse_ref.server import running

USUAL = os.environ.get("SSE_REF_URL", "http://127.0.0.1:8000")


@contextlib.contextmanager
def server():
    """The URL of a server: the one given on the command line, the one at the usual port, or one of our own."""
    given = next((word.rstrip("/") for word in sys.argv[1:] if word.startswith("http")), None)
    if given or is_ours(USUAL):
        yield given or USUAL
        return
    with running() as own:
        yield own.url


def is_ours(url):
    try:
        with urllib.request.urlopen(url + "/v1/models", timeout=1) as answer:
            return json.load(answer)["data"][0]["owned_by"] == "sse_ref"
    except (OSError, ValueError, LookupError, TypeError):
        return False


def journal(url, chunk):
    """What the server noted of the stream that this chunk (JSON text) belongs to, once it has ended."""
    request_id = json.loads(chunk)["id"].removeprefix("chatcmpl-")
    while True:
        with urllib.request.urlopen(url + "/journal", timeout=10) as answer:
            for record in json.load(answer):
                if record["id"] == request_id and record["outcome"] != "open":
                    return record


def timeline(arrivals, end, width=60):
    """A line from 0 to ``end`` seconds, with a mark where something arrived."""
    cells = ["·"] * width
    for arrival in arrivals:
        cells[min(width - 1, int(arrival / end * width))] = "█"
    return "".join(cells)
