"""``python -m sse_ref.client``."""

import sys

from sse_ref.client.command import main

if __name__ == "__main__":
    sys.exit(main())
