"""``python -m sse_ref.conformance``: list, show and export vectors, and judge programs.

In:   arguments.
Out:  a report, and the exit status: 0 nothing unexpected, 1 at least one failure, 2 nothing could be run, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sse_ref.conformance import looking, programs, runs, servers
from sse_ref.conformance.corpus import CLIENT_PROFILES, DEFAULT_PROFILE, LEVELS, PROFILES, TARGETS, exercises
from sse_ref.conformance.reports import COMMAND
from sse_ref.conformance.verdicts import UsageError
from sse_ref.options import between

__all__ = ["main"]

HELP = f"""\
{COMMAND} COMMAND ...

Tells where a program departs from the standard, in any language.

  decoder [options] [GLOB ...] -- CMD ...     judge an event stream decoder: lines of JSON in and out
  encoder [options] [GLOB ...] -- CMD ...     judge an encoder, in the same way
  fuzz    [options] -- CMD ...                compare a decoder with ours on random streams
  client  [options] [GLOB ...] -- CMD ...     judge a client: we are the hostile server
  server  [options] [GLOB ...] URL --model M  judge a server
  gateway [options] [GLOB ...] URL --model M  judge a gateway: our own server is behind it
  list · show · export · serve · report       look at the vectors, play a case by hand, put reports side by side
  self                                        judge this package's own; needs nothing else

Each explains itself with --help. The protocol is one page: sse_ref/conformance/README.md
"""


def main(arguments: list[str] | None = None) -> int:
    """``python -m sse_ref.conformance``: do what the arguments say, and return the exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if not words:
        print(f"usage: {HELP}", end="", file=sys.stderr)
        return 2
    command: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1 :]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    handlers = _catch_signals()
    try:
        parser = _parser()
        options, rest = parser.parse_known_args(words)
        if any(word.startswith("-") for word in rest) or (rest and not hasattr(options, "globs")):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        options.globs = [*getattr(options, "globs", ()), *rest]  # globs may stand before and after options
        options.command_line = command
        status: int = options.do(options)
        sys.stdout.flush()
        return status
    except UsageError as error:
        print(f"sse_ref.conformance: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt as interrupt:
        return 128 + interrupt.args[0] if interrupt.args else 130
    finally:
        programs.kill_all()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _catch_signals() -> dict[int, Any]:
    """Let every signal end the run as Ctrl-C does, so that no program under test outlives it; the second ends it at once.

    Returns the handlers that were installed before.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    handled = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    programs.begin_run()
    return {number: signal.signal(number, lambda number, frame: programs.interrupt(number)) for number in handled}


def judge_ourselves(options: argparse.Namespace) -> int:
    """Judge our own decoder, encoder, client and server, and say so for each."""
    from sse_ref.conformance import reference  # here: it loads a server and a client, which no other command needs

    me = [sys.executable, "-m", "sse_ref.conformance.reference"]
    root = str(Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    common = ["--name", "sse_ref", "--strict", "--strict-skips", *(["--brief"] if options.brief else [])]
    statuses = [
        main(["decoder", "--persistent", *common, "--", *me, "decoder"]),
        main(["encoder", "--persistent", *common, "--", *me, "encoder"]),
    ]
    jobs = options.jobs or runs.cores()
    kept = ["client", "--persistent", "--jobs", str(4 * jobs), *common]  # a client that is kept mostly waits
    for profile in CLIENT_PROFILES:
        statuses.append(main([*kept, "--profile", profile, "--", *me, "client", profile]))
    for profile in PROFILES:
        with reference.our_own(profile) as arguments:
            statuses.append(main(["server", "--profile", profile, *common, "--jobs", str(jobs), *arguments]))
    return max(statuses)


# ---- Arguments --------------------------------------------------------------------------------------------------------


SECONDS = between(float, 0.001, 1e6)
JOBS = between(int, 1, 1000)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, usage=HELP, add_help=True)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", prog=COMMAND)

    def command(
        name: str, do: Callable[[argparse.Namespace], int], text: str, usage: str = ""
    ) -> argparse.ArgumentParser:
        whole = f"%(prog)s [options] [GLOB ...] {usage}" if usage else None  # None: argparse writes it
        sub = commands.add_parser(name, help=text, description=text, usage=whole)
        sub.set_defaults(do=do)
        return sub

    listing = command("list", looking.list_vectors, "list vectors: id, level, and the fact in one sentence")
    listing.add_argument("globs", nargs="*", metavar="TARGET or GLOB", help=f"{', '.join(TARGETS)}, or globs of ids")
    listing.add_argument("--profile", choices=CLIENT_PROFILES)
    listing.add_argument("--level", choices=LEVELS)
    listing.add_argument("--tag")
    listing.add_argument("--json", action="store_true", help="the vectors themselves, as JSON")

    show = command("show", looking.show_vector, "show one vector: where it comes from, its bytes, what is expected")
    show.add_argument("id")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--bytes", action="store_true", help="only the bytes, as they are")
    form.add_argument("--hex", action="store_true", help="only the bytes, as hex")
    form.add_argument("--curl", metavar="URL", help="the curl line that sends the request of a server vector to URL")

    export = command("export", looking.export_corpus, "write the corpus as plain JSON for other runners")
    export.add_argument("dir", metavar="DIR")
    export.add_argument("--as-of", metavar="VERSION")
    export.add_argument("--force", action="store_true", help="write over files that are there")

    for target, do in (("decoder", runs.judge_decoder), ("encoder", runs.judge_encoder)):
        sub = command(target, do, f"judge an event stream {target}", "-- CMD ...")
        _common(sub, timeout=10.0)
        sub.add_argument("--persistent", action="store_true", help="keep one process for all vectors")
        sub.add_argument("--without", default="", metavar="F,F", help="features that it does not have")
        if target == "decoder":
            sub.add_argument("--raw", action="store_true", help="bytes on its input, one line of JSON for each event")
            levels = between(int, 1, len(exercises()))
            sub.add_argument("--exercise", type=levels, metavar="N", help="a level of examples/exercises.md")
        else:
            sub.set_defaults(raw=False)

    fuzzing = command("fuzz", runs.fuzz_decoder, "compare a decoder with ours on random streams", "-- CMD ...")
    fuzzing.add_argument("--persistent", action="store_true", help="keep one process for all streams")
    fuzzing.add_argument("--seed", type=int, default=1, metavar="N", help="other streams (default: %(default)s)")
    fuzzing.add_argument("--streams", type=between(int, 1, 10**9), metavar="N", help="how many")
    fuzzing.add_argument("--without", default="", metavar="F,F", help="features that it does not have")
    fuzzing.add_argument("--timeout", type=SECONDS, default=10.0, metavar="S", help="default: %(default)s seconds")

    client = command(
        "client", runs.judge_client, "judge a client: started for each case with our URL, or kept", "-- CMD ..."
    )
    _common(client, timeout=20.0)
    client.add_argument("--persistent", action="store_true", help="keep one process for all cases, a line for each")
    client.add_argument("--profile", choices=CLIENT_PROFILES, default=DEFAULT_PROFILE)
    quirks = "how services deviate from chat completions: a case for each, short for --profile quirks"
    client.add_argument("--quirks", action="store_const", dest="profile", const="quirks", help=quirks)

    server = command("server", runs.judge_server, "judge a server by its bytes on raw sockets", "URL --model M")
    _common(server, timeout=10.0)
    server.add_argument("--profile", choices=PROFILES, default=DEFAULT_PROFILE)
    server.add_argument("--model", default="", metavar="NAME", help="the model to ask for")
    server.add_argument(
        "--model-for",
        action="append",
        default=[],
        metavar="WHAT=NAME",
        help=f"a model made for one thing: {', '.join(servers.ROLES)}",
    )
    _asking(server)
    server.add_argument("--without", default="", metavar="F,F", help="what it does not have, like n or logprobs")
    server.add_argument("--journal", metavar="URL", help="where a server of this package keeps its journal")
    server.add_argument("--pid", type=int, help="process of the server, to count its threads and files")
    server.set_defaults(do=runs.judge_server)

    gateway = command("gateway", runs.judge_gateway, "judge a gateway: our own server is behind it", "URL --model M")
    _common(gateway, timeout=10.0)
    gateway.add_argument("--model", default="", metavar="NAME", help="the model that the gateway asks our server for")
    gateway.add_argument(
        "--upstream-port",
        type=between(int, 0, 65535),
        default=8001,
        metavar="N",
        help="where our server listens on 127.0.0.1 (default: %(default)s)",
    )
    _asking(gateway)

    serve = command("serve", looking.serve_cases, "play the client cases, for curl or a browser")
    serve.add_argument("--port", type=between(int, 0, 65535), default=0)

    report = command("report", looking.show_reports, "put several --json reports side by side")
    report.add_argument("reports", nargs="+", metavar="REPORT.json")
    report.add_argument("--html", metavar="FILE")
    report.add_argument("--md", metavar="FILE")

    own = command("self", judge_ourselves, "judge this package's own decoder, encoder, client and server")
    own.add_argument("--jobs", type=JOBS, metavar="N")
    own.add_argument("--brief", action="store_true")
    return parser


def _asking(parser: argparse.ArgumentParser) -> None:
    """What goes with each request to a server."""
    parser.add_argument("--api-key-env", metavar="NAME", help="environment variable that holds the API key")
    parser.add_argument("--header", action="append", default=[], metavar="N: V", help="a header of each request")


def _common(parser: argparse.ArgumentParser, timeout: float) -> None:
    parser.add_argument("globs", nargs="*", metavar="GLOB", help="ids to run; * matches anything (default: all)")
    pick = parser.add_argument_group("which vectors")
    pick.add_argument("--skip", action="append", default=[], metavar="GLOB")
    pick.add_argument("--level", choices=LEVELS)
    pick.add_argument("--tag", metavar="T")
    pick.add_argument("--quick", action="store_true", help="a few that tell most, in seconds")
    pick.add_argument("--only-failed", metavar="REPORT.json", help="those that failed in an earlier --json report")
    judged = parser.add_argument_group("how they count")
    judged.add_argument("--known", metavar="FILE", help="known failures; an unexpected pass fails")
    judged.add_argument("--write-known", metavar="FILE", help="write such a file")
    judged.add_argument("--allow-xpass", action="store_true", help="let unexpected passes be")
    judged.add_argument("--as-of", metavar="VERSION", help="score only what this corpus version had")
    judged.add_argument("--fail-fast", action="store_true", help="end the run at the first failure that counts")
    judged.add_argument("--strict", action="store_true", help="should vectors count, too")
    judged.add_argument("--strict-skips", action="store_true", help="a skipped must vector counts as a failure")
    written = parser.add_argument_group("reports (FILE may be - for standard output)")
    for form in runs.REPORTS:
        written.add_argument(f"--{form}", metavar="FILE")
    parser.add_argument("--name", metavar="NAME", help="what to call the program in reports")
    parser.add_argument("--timeout", type=SECONDS, default=timeout, metavar="S", help="default: %(default)s seconds")
    parser.add_argument("--timeout-scale", type=SECONDS, default=1.0, metavar="F", help="for slow machines")
    parser.add_argument("--jobs", type=JOBS, metavar="N", help="vectors, or requests to a server, at once")
    parser.add_argument("--brief", action="store_true", help="one line for each failure")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every vector, also those that pass")
