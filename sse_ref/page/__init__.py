"""The page: a path of twelve steps, a lab, and a panel with everything; plain HTML, CSS and JavaScript modules.

In:   nothing.
Out:  ``PAGE``, the file for each path of the server; ``read_page``, its bytes. ``python -m sse_ref.page DIR`` writes them as
      static files, with recorded streams in place of the server.

The page reads streams with ``decoder.mjs``, which the corpus judges as it judges ``codec.py``.
"""

from __future__ import annotations

import importlib.resources

__all__ = ["ENTRIES", "MODULES", "PAGE", "TYPES", "read_page"]

MODULES: tuple[str, ...] = ("dom", "bytes", "decoder", "wire", "timeline", "fold", "explain", "state", "naive")
MODULES += ("partial", "dialects", "chat", "replay", "scenes", "steps")
"""The modules that others import, each after those that it imports."""

ENTRIES = {"index": "lesson", "lab": "lab", "panel": "panel"}
"""The module that each page begins with."""

FILES = ["style.css", "icon.svg", *(f"{name}.mjs" for name in (*MODULES, *ENTRIES.values()))]
PAGE = {"/": "index.html", "/lab": "lab.html", "/panel": "panel.html", **{f"/page/{name}": name for name in FILES}}
TYPES = {"html": "text/html", "css": "text/css", "mjs": "text/javascript", "svg": "image/svg+xml"}


def read_page(name: str) -> bytes:
    """The bytes of a file of the page.

    >>> read_page("icon.svg")[:4]
    b'<svg'
    """
    return importlib.resources.files("sse_ref.page").joinpath(name).read_bytes()
