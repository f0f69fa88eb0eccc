"""``python -m sse_ref.server``: the options, the first lines, the signals.

In:   arguments.
Out:  a server on its port until Ctrl-C or SIGTERM, and the exit status.

Started by hand it paces its answers, so that they can be read along; a server in a process answers as fast as it can. The
first signal stops it in order (``shutdown``). The same signal again ends it at once.

What it prints goes to two places. Standard output has the address, for a person to paste and for a program to read: with
``--port 0`` it is the only way to learn the port. Standard error has a line for each stream that ends, and with
``--show-wire`` every byte. A thousand streams need a thousand sockets, and the usual limit is 1,024 open files, so the limit
is raised first.

    12:00:03 POST /v1/chat/completions toy: complete, 139 tokens, 30482 bytes, 4.93 s
    12:00:09 POST /v1/chat/completions toy: client left at token 12, 12 tokens, 2760 bytes, 0.70 s
    12:00:11 POST /v1/chat/completions toy whole: refused with 429, 0 tokens, 0 bytes, 0.00 s
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import signal
import sys
from pathlib import Path

from sse_ref.dialects.quirks import QUIRKS
from sse_ref.dialects.quirky import SERVICES
from sse_ref.options import between
from sse_ref.server.answers import AnswerError
from sse_ref.server.journal import log
from sse_ref.server.listener import Server
from sse_ref.server.printer import PrintingHandler
from sse_ref.server.requests import is_loopback
from sse_ref.server.script import Script
from sse_ref.server.settings import Settings

__all__ = ["main"]

NUMBER, SHARE = between(float, 0), between(float, 0, 1)
DEFAULT = "(default: %(default)s)"
EXAMPLES = """\
examples:
  python -m sse_ref.server                          on port 8000, at a pace that can be read along
  python -m sse_ref.server --port 0 --tps 0         on any free port, as fast as possible
  python -m sse_ref.server --ttft 2 --jitter 0.8    a slow start, then uneven tokens

A base URL may hold settings for its requests: http://127.0.0.1:8000/fault=cut&at=3/v1 breaks each answer off after three
tokens, and http://127.0.0.1:8000/quirk=vllm/v1 writes as that service does. There are ttft, tps, jitter, heartbeat, split,
fault, at, quirk and answers. With --answers FILE the answers are those of a script: a JSON list of texts and objects.

exit status: 0 after Ctrl-C or SIGTERM, 2 if the port cannot be had, or an option or a script is wrong
"""


def main(arguments: list[str] | None = None) -> int:
    """``python -m sse_ref.server``: serve until Ctrl-C or SIGTERM, and return the exit status."""
    options = read_options(arguments)
    if options.list_quirks:
        print(list_of_quirks())
        return 0
    settings = Settings(
        **{name: getattr(options, name) for name in ("host", "port", "ttft", "tps", "jitter", "heartbeat", "api_key")},
        max_streams=options.max_streams,
        show_wire=options.show_wire,
        allow_hosts=tuple(options.allow_host),
    )
    allow_many_files(settings.max_streams)
    try:
        script = read_script(options.answers) if options.answers else None
    except (AnswerError, OSError, ValueError) as error:
        print(f"sse_ref.server: {options.answers}: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
        return 2
    try:
        server = Server(settings, script)
    except OSError as error:
        print(
            f"sse_ref.server: cannot use {options.host} port {options.port}: {error.strerror}; try --port 0",
            file=sys.stderr,
        )
        return 2
    log.addHandler(PrintingHandler(server.printer))
    log.setLevel(logging.WARNING if options.quiet else logging.INFO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stop(server, number))
    introduce(server)
    with server:
        server.serve_forever()
    return 0


def read_script(path: str) -> Script:
    """The script in a file: a JSON list of answers. Recordings are looked for beside it."""
    values = json.loads(Path(path).read_text(encoding="utf-8"))
    for value in values if isinstance(values, list) else ():
        if isinstance(value, dict) and isinstance(value.get("replay"), str):
            value["replay"] = str(Path(path).parent / value["replay"])
    return Script(values)


def stop(server: Server, number: int) -> None:
    """Stop in order at the first signal."""
    signal.signal(number, signal.SIG_DFL)  # the second time, at once
    server.shutdown()


def introduce(server: Server) -> None:
    """Say where the server is, and print a line to paste."""
    body = '{"model":"toy","messages":[{"role":"user","content":"Tell me a story"}],"stream":true}'
    print(f"sse_ref is serving the toy model at {server.url}/v1")
    print(f"page    {server.url}/")
    key = " -H 'Authorization: Bearer KEY'" if server.settings.api_key else ""
    print(f"try     curl -N {server.url}/v1/chat/completions{key} -H 'Content-Type: application/json' -d '{body}'")
    print("        Ctrl-C stops it", flush=True)
    if not is_loopback(server.server_name):
        print(
            f"warning: {server.server_name} can be reached from other machines, and this is a teaching server",
            file=sys.stderr,
        )


def list_of_quirks() -> str:
    """The quirks that an address can ask for, and the services, each a list of them."""
    lines = [f"{quirk.name}: {quirk.sentence}\n    {quirk.seen_in} ({quirk.source})" for quirk in QUIRKS.values()]
    services = [f"{name}: {', '.join(quirks)}" for name, quirks in SERVICES.items()]
    return "\n".join([*lines, "", "Services, each a list of quirks:", "", *services])


def allow_many_files(streams: int) -> None:
    """Raise the soft limit of open files, often 1,024, as far as the streams need it."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = streams + 256
        if soft != resource.RLIM_INFINITY and soft < needed:
            most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m sse_ref.server",
        description="Serve the toy model: streamed chat completions, a plain event source, and a page.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to bind to (default: %(default)s, this machine only)")
    add("--port", type=between(int, 0, 65535), default=8000, help=f"port, 0 for any free one {DEFAULT}")
    add("--ttft", type=NUMBER, default=0.3, metavar="S", help=f"seconds to the first token {DEFAULT}")
    add("--tps", type=NUMBER, default=30, metavar="N", help=f"tokens per second, 0 for no pace {DEFAULT}")
    add("--jitter", type=SHARE, default=0.0, metavar="F", help=f"unevenness of the pace, 0 to 1 {DEFAULT}")
    add("--heartbeat", type=NUMBER, default=15.0, metavar="S", help=f"silence before a heartbeat is sent {DEFAULT}")
    add("--api-key", metavar="K", help="the key of the API and of the journal; the page and /events need none")
    add("--answers", metavar="FILE", help="answer by a script, a JSON list of answers, in place of the toy model")
    add("--max-streams", type=between(int, 1), default=2048, metavar="N", help=f"more than that get 429 {DEFAULT}")
    host = "answer requests for this host name too, which a proxy passes on; on loopback all others get 421"
    add("--allow-host", action="append", default=[], metavar="NAME", help=host)
    add("--show-wire", action="store_true", help="print every byte that is sent")
    add("--list-quirks", action="store_true", help="print how services deviate from chat completions, and end")
    add("--quiet", action="store_true", help="no line for each stream")
    return parser.parse_args(arguments)
