"""The client: one-shot chat streams and reconnecting event sources, on ``urllib``.

In:   a URL and a prompt, or the URL of an event source.
Out:  pieces of an answer as they come and one outcome; or events, across dropped connections.

Read it in this order; each module imports only modules above it, the ground, and ``options``:

    transport      one HTTP response, read without being fooled
    partial_json   reading JSON while it grows
    chat           chat streams: pieces as they come, and exactly one outcome
    event_source   the standard's reconnecting source of plain events
    show           what the terminal shows of a stream
    record         keeping a stream, each read with its time
    command        ``python -m sse_ref.client``
"""

from sse_ref.client.chat import ChatStream, Choice, ToolCall
from sse_ref.client.event_source import EventSource
from sse_ref.client.partial_json import read_partial
from sse_ref.client.transport import Watcher
from sse_ref.errors import ApiError, HTTPStatusError, ProtocolError, StreamError, StreamTimeout, Truncated

__all__ = ["ApiError", "ChatStream", "Choice", "EventSource", "HTTPStatusError", "ProtocolError", "StreamError"]
__all__ += ["StreamTimeout", "ToolCall", "Truncated", "Watcher", "main", "read_partial"]


def main(arguments: list[str] | None = None) -> int:
    """``python -m sse_ref.client``; returns the exit status."""
    from sse_ref.client import command  # here, because whoever uses the library needs no command, and waits for none

    return command.main(arguments)
