"""The listener: a port, the loop behind it, and what its connections share.

In:   ``Settings``.
Out:  a ``Server`` that serves until it is shut down; ``running``, which does so for the length of a ``with`` block.

``HTTPServer`` of the standard library binds the port, and nothing more: its own loop would read one request after the other,
so ours runs in its place. Life and end of a server:

    Server(settings)    the port is bound, and connections queue up; nothing answers yet
    serve_forever()     the loop turns
    shutdown()          from any thread, or a signal handler: a stream of a dialect that is between two events gets an error
                        and its end; every connection is closed
    server_close()      the port is free again

Several servers may run in one process. What they share is the same for all: the model, the dialects, and the first lines of
responses. The queue of the port holds a thousand connections, because a thousand clients may come at once, and five is the
default.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import HTTPServer
from typing import Any

from sse_ref.server.connection import Connection, Shared
from sse_ref.server.journal import Journal
from sse_ref.server.loop import Loop
from sse_ref.server.printer import Printer, wire_text
from sse_ref.server.requests import is_loopback
from sse_ref.server.script import Asked, Script, Scripts
from sse_ref.server.settings import Settings

__all__ = ["Server", "running"]


class Server(HTTPServer):
    """A server on its port; ``serve_forever`` in one thread, ``shutdown`` from any other.

    Raises ``OSError`` if the port cannot be used, ``OverflowError`` if it is no port.

    >>> server = Server(Settings())
    >>> server.url.startswith("http://127.0.0.1:")
    True
    >>> server.server_close()
    """

    request_queue_size = 4096  # the standard library's 5 refuses most of a few simultaneous connections
    allow_reuse_address = os.name != "nt"

    def __init__(self, settings: Settings, script: Script | None = None) -> None:
        self.settings = settings
        self.script = script
        if ":" in settings.host:
            self.address_family = socket.AF_INET6
        super().__init__((settings.host, settings.port), Connection, bind_and_activate=False)  # type: ignore[arg-type]
        self.printer = Printer(sys.stderr)
        show = self.show_wire if settings.show_wire else None
        self.loop = Loop(
            self.socket,
            lambda sock, address: Connection(sock, address, self.shared),
            idle_timeout=settings.idle_timeout,
            head_timeout=settings.request_timeout,
            stall_timeout=settings.stall_timeout,
            show=show,
        )
        journal = Journal(settings.journal_size, self.loop.settle)
        slots = threading.BoundedSemaphore(settings.max_streams)
        self.shared = Shared(settings, journal, slots, Scripts(script), show)
        try:
            self.server_bind()
            self.server_activate()
        except OSError:
            self.server_close()
            raise

    def server_bind(self) -> None:
        """Bind, without the reverse DNS look-up of ``HTTPServer``, which can take seconds."""
        if self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.socket.getsockname()[:2]
        self.shared.on_loopback = is_loopback(self.server_name)

    @property
    def url(self) -> str:
        """The URL of the server, without a path."""
        host = self.server_name
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}"

    @property
    def journal(self) -> list[dict[str, Any]]:
        """The last streams, oldest first: request, tokens, events and bytes sent, times, and how each ended."""
        return self.shared.journal.as_json()

    @property
    def requests(self) -> list[Asked]:
        """What was asked, oldest first: as many as the journal keeps."""
        return [record.asked for record in list(self.shared.journal.records) if record.asked is not None]

    def show_wire(self, connection: Connection, payload: bytes) -> None:
        """Print bytes that were sent."""
        self.printer.put(wire_text(connection.client_address[1], payload))

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Serve until ``shutdown``; then all streams have been ended, and all connections are closed."""
        self.loop.run()

    def shutdown(self) -> None:
        """Ask ``serve_forever`` to return. Safe in a signal handler."""
        self.loop.stop()

    def server_close(self) -> None:
        """Close the port and the loop."""
        super().server_close()
        self.loop.close()
        self.printer.close()


@contextlib.contextmanager
def running(answers: Any = None, *, all_used: bool = True, **settings: Any) -> Iterator[Server]:
    """Run a server in this process for as long as the ``with`` block lasts: for tests, examples and notebooks.

    Takes the fields of ``Settings``. It answers as fast as it can and picks a free port unless told otherwise. ``answers``
    are a script in place of the toy model. Raises ``OSError`` if the port cannot be used, ``AnswerError`` if an answer is
    wrong; and at the end of the block ``ScriptError`` if a request had no answer or, with ``all_used``, if an answer is
    left.

    >>> with running(answers=["Paris."]) as server:
    ...     server.url.startswith("http://127.0.0.1:")
    Traceback (most recent call last):
    sse_ref.server.script.ScriptError: answers that nobody asked for: 'Paris.'
    """
    server = Server(Settings(**settings), None if answers is None else Script(answers))
    thread = threading.Thread(target=server.serve_forever, name="sse_ref.server", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    if server.script is not None:
        server.script.check(all_used=all_used)
