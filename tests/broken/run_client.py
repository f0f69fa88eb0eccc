"""Runs ``client.py`` or ``typed_client.py`` as a module, which Python compiles once: they are started a thousand times.

Kept, it plays each case in a process of its own: what these clients know of a case they hold as modules.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


def play():
    if sys.argv[1] in ("openai-chat", "quirks", "sse"):
        import client

        client.main()
    else:
        import typed_client

        typed_client.main()


def play_apart(case):
    if os.fork():
        os.wait()
        return
    os.environ.update(case)
    sys.argv.append(case["SSE_CONFORMANCE_URL"])
    try:
        play()
    finally:
        sys.stdout.flush()
        os._exit(0)


if "SSE_CONFORMANCE_URL" in os.environ:
    play()
else:
    for line in sys.stdin:
        play_apart(json.loads(line))
