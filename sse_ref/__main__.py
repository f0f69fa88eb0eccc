"""``python -m sse_ref``: name the commands."""

import sys

COMMANDS = """\
sse_ref: the reference for streaming tokens over Server-Sent Events

  python -m sse_ref.server              serve the toy model on http://127.0.0.1:8000
  python -m sse_ref.client "Hi there"   stream an answer from it, or from any server of its dialects
  python -m sse_ref.conformance         tell where another implementation departs from the standard

Each explains itself with --help.
"""

if __name__ == "__main__":
    asked = sys.argv[1:] in ([], ["-h"], ["--help"])
    print(COMMANDS, end="", file=sys.stdout if asked else sys.stderr)
    sys.exit(0 if asked else 2)
