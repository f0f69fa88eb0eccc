"""How a server behaves: every setting, with its unit and its default.

In:   keyword arguments of ``running``, or the options of the command.
Out:  one ``Settings`` object, which nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server behaves. Times are in seconds, sizes in bytes.

    Where:      ``host`` is the address to bind to, ``port`` 0 any free one. ``api_key`` guards the API and the journal
                (None: any key will do); ``/events`` and the page are open, because a browser's EventSource cannot send a
                key. ``allow_hosts`` are names that a request may be for, beside those of this machine, while the server
                listens on loopback only.
    Pace:       ``ttft`` to the first token, then ``tps`` tokens per second (0: as fast as possible), each early or late by
                up to half of ``jitter`` (0 to 1) of the time between two. ``heartbeat`` is the silence after which one is
                sent, 0 for never.
    Limits:     ``max_streams`` at once, more get 429; ``max_body`` of a request, more gets 413.
    Patience:   ``request_timeout`` for all headers of a request, and again for its body, then 408; ``idle_timeout`` between
                two requests on a connection; ``stall_timeout`` for a stream's reader that takes no byte, and for all of a
                short answer.
    Records:    ``journal_size`` streams are kept in the journal; ``show_wire`` prints every byte that is sent.

    >>> Settings(tps=20).heartbeat
    15.0
    """

    host: str = "127.0.0.1"
    port: int = 0
    ttft: float = 0.0
    tps: float = 0.0
    jitter: float = 0.0
    # Proxies and clients time a silent stream out after 50 s (HAProxy), 60 s (nginx, ALB) and more; HTML standard 9.2.7
    # advises a comment about every 15 s.
    heartbeat: float = 15.0
    api_key: str | None = None
    max_streams: int = 2048
    show_wire: bool = False
    # Chat requests are a few KiB: enough for long conversations; uploads get a 413.
    max_body: int = 4 * 2**20
    request_timeout: float = 10.0
    idle_timeout: float = 60.0
    stall_timeout: float = 30.0
    journal_size: int = 100
    allow_hosts: tuple[str, ...] = ()
