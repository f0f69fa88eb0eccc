"""Runs ``client.py`` or ``typed_client.py`` as a module, which Python compiles once: they are started a thousand times.

``python run_client.py PROFILE FAULT URL`` plays one case. Without arguments it is kept, and forks a process for each case, which
names PROFILE and FAULT, too: what the clients import has been imported then. When that process has ended, it says so.
"""

import contextlib  # noqa: F401
import gc
import json
import os
import re  # noqa: F401
import socket  # noqa: F401
import sys
import threading  # noqa: F401
import time  # noqa: F401
import urllib.parse  # noqa: F401
import zlib  # noqa: F401

OVER = b'"over"\n'


def play():
    if sys.argv[1] in ("openai-chat", "quirks", "sse"):
        import client

        client.main()
    else:
        import typed_client

        typed_client.main()


def play_apart(case):
    if os.fork():
        _, status = os.wait()
        if status:
            sys.exit(os.waitstatus_to_exitcode(status))
        sys.stdout.buffer.write(OVER)
        sys.stdout.buffer.flush()
        return
    sys.argv[1:] = case.pop("PROFILE"), case.pop("FAULT"), case["SSE_CONFORMANCE_URL"]
    os.environ.update(case)
    status = 0
    try:
        play()
    except SystemExit as end:
        status = end.code or 0
    sys.stdout.flush()
    os._exit(status)  # to end as a whole Python does takes as long as all the rest


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    if len(sys.argv) > 1:
        play()
    else:
        gc.freeze()
        for line in sys.stdin:
            play_apart(json.loads(line))
