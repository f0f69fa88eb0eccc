"""``python -m sse_ref.server``."""

import sys

from sse_ref.server.command import main

if __name__ == "__main__":
    sys.exit(main())
