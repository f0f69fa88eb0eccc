"""``python -m sse_ref.conformance``."""

import sys

from sse_ref.conformance.commands import main

if __name__ == "__main__":
    sys.exit(main())
