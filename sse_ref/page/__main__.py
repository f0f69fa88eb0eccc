"""``python -m sse_ref.page DIR``: the page as static files, with recorded streams of every wire in place of the server.

In:   the page's files, and a server of our own, which is asked for each scene of the path.
Out:  files that work from any web space, and from a disk: a browser loads no module from a disk, so each page gets one plain
      script of all its modules, and the recordings with it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import sys
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sse_ref.codec import SSEDecoder
from sse_ref.page import ENTRIES, MODULES, read_page
from sse_ref.recording import end_line, head_line, read_line
from sse_ref.server import running

__all__ = ["main", "script_of"]

POLICY = "default-src 'self'; connect-src 'none'"  # of a page without its server
ADDRESSES = {'href="./"': 'href="index.html"', 'href="lab"': 'href="lab.html"', 'href="panel"': 'href="panel.html"'}
STALL = 7.0  # seconds of silence: the server sends nothing any more
LASTS = 60.0  # seconds that a recorded stall lasts; a client gives up before


def script_of(entry: str, recordings: Mapping[str, list[str]] | None = None) -> str:
    """One plain script of the modules of a page, each in a function of its own, as ``entry`` needs them.

    >>> "const dom_module = (() => {" in script_of("lab")
    True
    """
    needed = _imported(entry)
    parts = [f"globalThis.RECORDED = {json.dumps(recordings or {})}"]
    parts += [_as_function(name) for name in (*MODULES, *ENTRIES.values()) if name in needed or name == entry]
    return "\n".join(['"use strict"', *parts, ""])


IMPORT = re.compile(r'^import \{ ([^}]*) \} from "\./(\w+)\.mjs"$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:const|class|function\*?) ([\w$]+))", re.MULTILINE)


def _imported(name: str) -> set[str]:
    """The modules that a module imports, and what those import."""
    direct = {found[2] for found in IMPORT.finditer(read_page(f"{name}.mjs").decode())}
    return direct.union(*map(_imported, direct))


def _as_function(name: str) -> str:
    """A module as a function that returns what it exports."""
    text = read_page(f"{name}.mjs").decode()
    names = [found[1] for found in EXPORT.finditer(text)]
    text = EXPORT.sub(
        "", IMPORT.sub(lambda found: f"const {{ {found[1].replace(' as ', ': ')} }} = {found[2]}_module", text)
    )
    return f"const {name}_module = (() => {{\n{text}\nreturn {{ {', '.join(names)} }}\n}})()"


# ---- The recordings --------------------------------------------------------------------------------------------------


def scenes() -> dict[str, dict[str, Any]]:
    """What the path asks for, by the name of the scene."""
    text = read_page("scenes.mjs").decode()
    scenes: dict[str, dict[str, Any]] = json.loads(text[text.index("= {") + 2 :])
    return scenes


def recorded(url: str, scene: dict[str, Any]) -> Iterator[str]:
    """The recording of each connection of a scene: a chat completion has one, an event source one for each loss."""
    last_id, over = "", False
    while not over:
        headers = {"Content-Type": "application/json", **({"Last-Event-ID": last_id} if last_id else {})}
        lines, body = _connection(url, scene, headers)
        yield "\n".join(lines)
        decoder = SSEDecoder(last_event_id=last_id)
        over = "body" in scene or any(event.event == "done" for event in decoder.feed(body))
        last_id = decoder.last_event_id


def _connection(url: str, scene: dict[str, Any], headers: dict[str, str]) -> tuple[list[str], bytes]:
    """The lines of the recording of one response, and its body."""
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=STALL)
    body = json.dumps(scene["body"]) if "body" in scene else None
    connection.request("POST" if body else "GET", scene["path"], body, headers)
    response = connection.getresponse()
    kept = [(name, value) for name, value in response.getheaders() if name.lower() in ("content-type", "retry-after")]
    lines, whole, end, began = [head_line(response.status, kept)], b"", "complete", time.monotonic()
    try:
        while data := response.read1():
            lines.append(read_line(time.monotonic() - began, data))
            whole += data
    except TimeoutError:
        began -= LASTS
        end = "cut"
    except (OSError, http.client.HTTPException):
        end = "cut"
    connection.close()
    return [*lines, end_line(time.monotonic() - began, end)], whole


# ---- The files -------------------------------------------------------------------------------------------------------


def write(folder: Path) -> None:
    """Write the page into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = scenes()
    with running() as server, ThreadPoolExecutor(len(asked)) as pool:
        made = pool.map(lambda scene: list(recorded(server.url, scene)), asked.values())
        recordings = dict(zip(asked, made, strict=True))
    for name in ("style.css", "icon.svg"):
        (folder / name).write_bytes(read_page(name))
    for name, entry in ENTRIES.items():
        (folder / f"{entry}.js").write_text(script_of(entry, recordings if entry == "lesson" else {}), encoding="utf-8")
        (folder / f"{name}.html").write_text(_static(read_page(f"{name}.html").decode(), entry), encoding="utf-8")


def _static(text: str, entry: str) -> str:
    """A page whose script is plain, and whose links lead to files."""
    text = text.replace(f'<script type="module" src="page/{entry}.mjs">', f'<script defer src="{entry}.js">')
    text = text.replace(
        '<meta charset="utf-8">',
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
    )
    for served, file in {'="page/': '="', **ADDRESSES}.items():
        text = text.replace(served, file)
    return text


def main() -> int:
    """Write the files into the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m sse_ref.page", description="Write the page as static files.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="where to; it is made if it is not there")
    folder = parser.parse_args().folder
    try:
        write(folder)
    except OSError as error:
        parser.error(f"{folder}: {error.strerror or error}")
    print(f"page  {folder / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
