"""``python -m sse_ref.client``: stream one answer in a terminal.

In:   arguments.
Out:  the answer on standard output, how it went on standard error, and the exit status.

Two streams, so that a pipe gets the answer and nothing else:

    standard output    the text; with --json, --events or --wire, what they show
    standard error     reasoning, one line for what went wrong, the times, the warnings

    exit status        0 complete    1 any other outcome    2 no answer, or a wrong option
                       130 Ctrl-C    141 the reader of standard output has gone

The line of times, after a stream of 139 tokens:

    0.30 s to the first token, 30.0 tokens/s, finish reason stop, 8 + 139 tokens

    0.30 s           from sending the request to the first piece with something in it
    30.0 tokens/s    tokens after the first, over the time since the first: the pace, without the wait before it
    8 + 139          tokens of the prompt and of the answer, as the server counts them

    --wire      every byte with its time: reads, chunks, lines, events       for seeing what streaming is
    --events    each event as a line of JSON                                 for scripts that follow a stream
    --json      one object at the end                                        for scripts that want the result
    --record    the stream into a file, each read with its time              for playing it back: a server's ``replay``
    --stats     a second line: median, 95% and longest gap between pieces    for seeing a proxy that collects events

An API key comes from an environment variable, not from an option: options can be read by every user of the machine. It is
never printed, and neither is a password in a URL, which is why such a URL is refused.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import urllib.parse

from sse_ref.client.chat import DEFAULT_URL, ChatStream
from sse_ref.client.record import Recorder
from sse_ref.client.show import OutputFailed, Show, ShowEvents, ShowJson, ShowWire
from sse_ref.dialects import DEFAULT, DIALECTS
from sse_ref.errors import HTTPStatusError, StreamError, fit
from sse_ref.options import between
from sse_ref.pieces import Message, Prompt

__all__ = ["main"]

SECONDS = between(float, 0.001)
SHOWN = "(default: %(default)s)"
EXAMPLES = """\
examples:
  python -m sse_ref.client "Tell me a story"                  against python -m sse_ref.server
  python -m sse_ref.client "Tell me a story" --wire           every byte, as it comes
  echo "Say it back" | python -m sse_ref.client - --model toy-echo --json

With --url, --model and --api-key-env NAME it streams from any server of its dialects.

exit status: 0 complete; 1 the stream did not end well, which one line says; 2 there was no answer: a wrong option, or
nothing listens at the URL; 130 after Ctrl-C; 141 if the reader of the output went away
"""


def main(arguments: list[str] | None = None) -> int:
    """``python -m sse_ref.client``: stream one answer, and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if sys.stdout is None:
        parser.error("standard output is closed")
    show = _form_of(options)
    watcher = _recorder(parser, options.record, show) if options.record else show
    try:
        stream = ChatStream(
            _prompt(options),
            url=_checked_url(parser, options.url),
            dialect=options.dialect,
            api_key=_key(parser, options.api_key_env),
            timeout=options.timeout,
            total_timeout=options.total_timeout,
            retries=options.retries,
            on_event=show.event,
            watcher=watcher,
        )
    except UnicodeError:
        parser.error("the prompt is not valid text in this terminal's encoding")
    except ValueError as error:  # the dialect has no word for an option
        parser.error(str(error))
    except KeyboardInterrupt:
        return 130
    try:
        with watcher if isinstance(watcher, Recorder) else contextlib.nullcontext():
            problem, status = _stream(stream, show)
        show.finish(stream)
    except OutputFailed as error:
        # stdout may still buffer unwritten text, and raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"sse_ref.client: {error}, so the stream was cancelled", file=sys.stderr)
        return error.status
    # What a server says may hold anything: nothing but printable characters goes to standard error.
    if problem:
        print(f"sse_ref.client: {fit(problem)}", file=sys.stderr)
    if stream.arrivals:
        print(_summary(stream, details=options.stats), file=sys.stderr)
    for warning in stream.warnings:
        print(f"warning: {fit(warning)}", file=sys.stderr)
    return status


def _stream(stream: ChatStream, show: Show) -> tuple[str, int]:
    """Show the stream as it comes; returns what went wrong, if anything, and the exit status."""
    try:
        with stream:
            for piece in stream:
                if getattr(piece, "choice", 0) == min(stream.choices, default=0):
                    show.token(piece)
    except HTTPStatusError as error:
        if error.status is None:
            return f"{error}; is the server running? python -m sse_ref.server starts one", 2
        again = f" (asked {stream.attempts} times)" if stream.attempts > 1 else ""
        return f"{stream.outcome}: {error}{again}", 1
    except StreamError as error:
        return f"{stream.outcome}: {error}", 1
    except KeyboardInterrupt:
        return f"cancelled after {len(stream.arrivals)} pieces", 130
    return "", 0


def _recorder(parser: argparse.ArgumentParser, path: str, show: Show) -> Recorder:
    """What keeps the stream in a file."""
    try:
        return Recorder(path, show)
    except OSError as error:
        parser.error(f"--record: {path} cannot be written: {error.strerror}")


def _prompt(options: argparse.Namespace) -> Prompt:
    """The prompt that the options describe. Reads standard input if they say so."""
    text = sys.stdin.read() if options.prompt == "-" else options.prompt
    options_given = {name: value for name in ("seed", "temperature") if (value := getattr(options, name)) is not None}
    return Prompt(options.model, (Message("user", text),), max_tokens=options.max_tokens, **options_given)


def _summary(stream: ChatStream, *, details: bool) -> str:
    """The times and counts of a stream in one line; with ``details``, a second line on the gaps between pieces."""
    parts = [f"{stream.time_to_first_token:.2f} s to the first token"]
    if stream.tokens_per_second:
        parts.append(f"{stream.tokens_per_second:.1f} tokens/s")
    parts.append(f"finish reason {fit(stream.finish_reason or 'none')}")
    if stream.usage:
        counts = (stream.usage.prompt_tokens, stream.usage.completion_tokens)
        parts.append(f"{' + '.join('?' if count is None else str(count) for count in counts)} tokens")
    lines = [", ".join(parts)]
    gaps = sorted(1000 * gap for gap in stream.gaps)
    if details and gaps:
        lines.append(
            f"gaps between pieces: median {gaps[len(gaps) // 2]:.1f} ms, 95% under {gaps[int(len(gaps) * 0.95)]:.1f} ms, "
            f"longest {gaps[-1]:.1f} ms; {len(stream.arrivals)} pieces, {stream.attempts} attempt(s)"
        )
    return "\n".join(lines)


def _form_of(options: argparse.Namespace) -> Show:
    """What is shown of the stream."""
    if options.wire:
        return ShowWire(colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    if options.events:
        return ShowEvents()
    return ShowJson() if options.json else Show()


def _checked_url(parser: argparse.ArgumentParser, url: str) -> str:
    """The base URL, if a request can be sent to it."""
    try:
        parts = urllib.parse.urlsplit(url)
        (parts.hostname or "").encode("idna")
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isascii()
        good = good and "@" not in parts.netloc  # a password there would be shown in messages
    except ValueError:
        good = False
    if not good or re.search(r"[\0- \x7f]", url):
        parser.error(f"--url must be like {DEFAULT_URL}")
    return url


def _key(parser: argparse.ArgumentParser, name: str | None) -> str | None:
    """The API key in the environment variable ``name``. It is never printed."""
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        parser.error(f"the environment variable {name} holds no API key")
    if not re.fullmatch(r"[!-~]+", key):
        parser.error(f"the API key in {name} has characters that no header can carry")
    return key


def _parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m sse_ref.client",
        description="Stream one answer: the text on standard output, how it went on standard error.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("prompt", help="what to say; - reads it from standard input")
    add("--url", default=DEFAULT_URL, help="base URL of the API (default: %(default)s)")
    add("--model", default="toy", help="default: %(default)s")
    add("--dialect", default=DEFAULT, choices=sorted(DIALECTS), help="default: %(default)s")
    add("--max-tokens", type=between(int, 1), metavar="N", help="end after N tokens")
    add("--temperature", type=between(float, 0), metavar="T")
    add("--seed", type=int, metavar="N")
    add("--timeout", type=SECONDS, default=60.0, metavar="S", help=f"the longest silence, in seconds {SHOWN}")
    add("--total-timeout", type=SECONDS, metavar="S", help="limit for the whole answer, in seconds (default: none)")
    add(
        "--retries",
        type=between(int, 0),
        default=2,
        metavar="N",
        help=f"attempts after the first, before any answer {SHOWN}",
    )
    add("--api-key-env", metavar="NAME", help="environment variable that holds the API key")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--wire", action="store_true", help="show every byte of the answer with its time")
    shown.add_argument("--events", action="store_true", help="show each event as a line of JSON")
    shown.add_argument("--json", action="store_true", help="show one JSON object at the end")
    add("--record", metavar="FILE", help="keep the stream, each read with its time, for the server to play back")
    add("--stats", action="store_true", help="say more about the time between tokens")
    return parser
