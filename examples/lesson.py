"""What the examples share: a server to talk to, and pictures in the terminal. There is no lesson in this file."""

import contextlib
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the examples run from a clone, without installing anything

from sse_ref.server import running

USUAL = "http://127.0.0.1:8000"


@contextlib.contextmanager
def server():
    """The URL of a server: the one given as an argument or in SSE_REF_URL, ours at the usual port, or one of our own."""
    given = next((word.rstrip("/") for word in sys.argv[1:] if word.startswith("http")), os.environ.get("SSE_REF_URL"))
    if given and owner(given) is None:
        sys.exit(f"no server answers at {given}; without a URL, this example starts its own")
    if given or (given is None and owner(USUAL) == "sse_ref"):
        yield given or USUAL
        return
    with running() as own:
        yield own.url


def owner(url):
    """Whose models are served there; "" if the server does not say, None if there is none."""
    try:
        with urllib.request.urlopen(url + "/v1/models", timeout=1) as answer:
            return json.load(answer)["data"][0]["owned_by"]
    except (urllib.error.HTTPError, ValueError, LookupError, TypeError):
        return ""
    except (OSError, http.client.HTTPException):
        return None


def journal(url, chunk):
    """What the server noted of the stream that this chunk (JSON text) belongs to, once it has ended."""
    request_id = json.loads(chunk)["id"].removeprefix("chatcmpl-")
    for _ in range(200):
        with urllib.request.urlopen(url + "/journal", timeout=10) as answer:
            for record in json.load(answer):
                if record["id"] == request_id and record["outcome"] != "open":
                    return record
        time.sleep(0.05)
    sys.exit(f"{url}/journal tells nothing of this stream")


def timeline(arrivals, end, width=60):
    """A line from 0 to ``end`` seconds, with a mark where something arrived."""
    cells = ["·"] * width
    for arrival in arrivals:
        cells[min(width - 1, int(arrival / end * width))] = "█"
    return "".join(cells)


def quietly(kind, error, traceback):
    """Ctrl-C, and a reader that has seen enough (| head), are no faults to be traced."""
    if issubclass(kind, (KeyboardInterrupt, BrokenPipeError)):
        os._exit(130)
    sys.__excepthook__(kind, error, traceback)


sys.excepthook = quietly
