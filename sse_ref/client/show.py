"""What the terminal shows of a stream: its text, its events, its bytes, or one JSON object at the end.

In:   what a ``ChatStream`` reports while it reads.
Out:  standard output; the model's reasoning on standard error.

There is one class for each form. Its methods are called in this order, and each form overrides those it needs; the last two
of them by the command, the others by the stream:

    head(response)      once
    read(bytes)         for each read of the socket
    piece(bytes)        for each chunk in it
    event(event)        for each event that is complete
    token(piece)        for each piece in that
    end()               if the body is complete
    finish(stream)      once, also after an error

With ``--wire`` all of it can be seen, with the time since the request and since the last read:

       0.326 s  +0.033  read 255 bytes
      chunk, 249 bytes
        data: {"id":"chatcmpl-...","choices":[{"index":0,"delta":{"content":"Long"}, ...}]}\n
        \n
        = event: message, 241 characters of data

Each line of the stream is shown with its end visible. A line that a chunk leaves open ends in three dots, and its rest
begins with them, so that an event that was cut in two can be seen.

What a server says may hold anything: a terminal gets printable characters only, and an encoding that lacks one gets "?". An
output that takes no more, because it is full or its reader has gone, ends the stream, and so the model's work.
"""

from __future__ import annotations

import json
import re
import sys
import time

from sse_ref.client.chat import ChatStream
from sse_ref.client.transport import Response, Watcher
from sse_ref.codec import ServerSentEvent, SSEDecoder
from sse_ref.errors import UNPRINTABLE, fit
from sse_ref.pieces import Piece, Reasoning, Refusal, Text

__all__ = ["OutputFailed", "Show", "ShowEvents", "ShowJson", "ShowWire", "printable"]

SHORT = 8  # characters of data that are shown themselves, in place of their number


class OutputFailed(Exception):
    """Standard output takes no more."""

    def __init__(self, error: OSError) -> None:
        gone = isinstance(error, BrokenPipeError)
        super().__init__("the output was closed" if gone else f"the output cannot be written: {error.strerror}")
        self.status = 141 if gone else 1


class Show(Watcher):
    """Prints the text, or the refusal, as it comes; what the model thinks before goes to standard error."""

    in_reasoning = False  # the last that was printed is reasoning

    def event(self, event: ServerSentEvent) -> None:
        """An event is complete."""

    def token(self, piece: Piece) -> None:
        """A piece of the first choice has come."""
        match piece:
            case Reasoning():
                print(
                    "" if self.in_reasoning else "reasoning: ",
                    printable(piece.text),
                    sep="",
                    end="",
                    file=sys.stderr,
                    flush=True,
                )
                self.in_reasoning = True
            case Text() | Refusal():
                self.end_reasoning()
                self.write(piece.text)

    def end_reasoning(self) -> None:
        """End the line of reasoning, if there is one."""
        if self.in_reasoning:
            print(file=sys.stderr, flush=True)
        self.in_reasoning = False

    def write(self, text: str) -> None:
        """Write to standard output: "?" for a character it cannot take, and no escape sequences to a terminal."""
        self.put(printable(text) if sys.stdout.isatty() else text)

    def put(self, text: str) -> None:
        """Write text as it is. Raises ``OutputFailed``."""
        encoding = sys.stdout.encoding or "utf-8"
        try:
            sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
            sys.stdout.flush()
        except OSError as error:
            raise OutputFailed(error) from None

    def finish(self, stream: ChatStream) -> None:
        """The stream has ended, in whichever way."""
        self.end_reasoning()
        if stream.text or stream.refusal:
            self.write("\n")


def printable(text: str) -> str:
    """Text that does nothing to a terminal but be shown.

    >>> printable("red: \\x1b[31m")
    'red: \ufffd[31m'
    """
    return re.sub(r"[\0-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text)


def visible(text: str) -> str:
    """Text with its controls written as escapes.

    >>> visible("a\\tb\\n")
    'a\\\\tb\\\\n'
    """
    return re.sub(UNPRINTABLE, lambda control: ascii(control[0])[1:-1], text)


class ShowEvents(Show):
    """Prints each event as a line of JSON: seconds since the request, type, data, id."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def event(self, event: ServerSentEvent) -> None:
        seconds = round(time.monotonic() - self.began, 3)
        self.write(json.dumps({"s": seconds, "event": event.event, "data": event.data, "id": event.id}) + "\n")

    def token(self, piece: Piece) -> None: ...

    def finish(self, stream: ChatStream) -> None: ...


class ShowJson(Show):
    """Prints one JSON object at the end: what came, and how it ended."""

    def token(self, piece: Piece) -> None: ...

    def finish(self, stream: ChatStream) -> None:
        usage = stream.usage
        result = {
            "outcome": stream.outcome,
            "text": stream.text,
            "reasoning": stream.reasoning,
            "refusal": stream.refusal,
            "finish_reason": stream.finish_reason,
            "tool_calls": [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in stream.tool_calls],
            "usage": {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
            if usage
            else None,
            "status": stream.status,
            "time_to_first_token_s": stream.time_to_first_token,
            "tokens_per_second": stream.tokens_per_second,
            "warnings": stream.warnings,
        }
        self.write(json.dumps(result) + "\n")


class ShowWire(ShowEvents):
    """Prints every byte of the answer with its time: reads, chunks, lines, dispatches."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self.colour = colour
        self.open = False  # a line was left open
        self.dispatched: list[ServerSentEvent] = []
        self.decoder = SSEDecoder()
        self.last = self.began

    def head(self, response: Response) -> None:
        self.stamp("head")
        version = "HTTP/1.1" if response.version == 11 else "HTTP/1.0"
        self.put(f"    {version} {response.status} {fit(response.reason)}\n")
        for name, value in response.headers.items():
            self.put(f"    {fit(name)}: {fit(value)}\n")

    def read(self, data: bytes) -> None:
        self.stamp(f"read {len(data)} bytes")

    def piece(self, data: bytes) -> None:
        self.put(self.paint("2", f"  chunk, {len(data)} bytes") + "\n")
        for line in re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", data):
            self.line(line)

    def line(self, line: bytes) -> None:
        """Show a line of the stream, or a part of one, and the event that it completes."""
        text = line.decode("utf-8", "backslashreplace")
        shown = visible(text)
        ended = line[-1:] in b"\r\n"
        before, after = "..." if self.open else "", "" if ended else "..."
        kind = "2" if line.startswith(b":") else "36"
        self.put(f"    {before}{self.paint(kind, shown)}{after}\n")
        self.open = not ended
        for event in self.decoder.feed(line):
            size = f"{event.event}, {len(event.data)} characters of data"
            name = event.data if 0 < len(event.data) <= SHORT else size
            self.put("    " + self.paint("32", f"= event: {visible(name)}") + "\n")

    def end(self) -> None:
        self.stamp("end of the body")

    def event(self, event: ServerSentEvent) -> None: ...

    def stamp(self, what: str) -> None:
        """Show the time since the request, since the last of these lines, and what happened."""
        now = time.monotonic()
        self.put(self.paint("1", f"{now - self.began:8.3f} s  +{now - self.last:.3f}  {what}") + "\n")
        self.last = now

    def paint(self, code: str, text: str) -> str:
        """The text in a colour (ECMA-48, 8.3.117), if the terminal has any."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text
