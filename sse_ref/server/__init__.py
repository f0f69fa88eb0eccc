"""The server: the toy model behind HTTP, on ``http.server``.

In:   HTTP requests on a port.
Out:  event streams, JSON answers, one page; a journal of what was streamed and how each stream ended.

A request is read in a thread; what is to be streamed is then handed, with its open socket, to the one loop:

    bytes --requests--> request --connection--> prompt --delivery--> timed writes --loop--> bytes

Read it in this order; each module imports only modules above it, the ground, and ``options``:

    settings       how a server behaves
    requests       bytes of a connection to one HTTP request
    threads        threads that are kept for the next request
    timers         which of many streams is due
    loop           one loop for all open connections
    delivery       what a model says, as bytes with the time at which each is due
    plain_events   the plain event source at ``/events``
    answers        answers that a tester chose
    script         which answer each request gets
    journal        what was asked, what was sent, and how each stream ended
    printer        the log and the wire, without holding anything up
    responses      the bytes of a head, and of a body that is whole
    connection     reads requests, routes them, and answers
    listener       a port, the loop behind it, and what its connections share
    command        ``python -m sse_ref.server``
"""

from sse_ref.server.answers import Answer, AnswerError
from sse_ref.server.command import main
from sse_ref.server.delivery import FAULTS, Delivery
from sse_ref.server.listener import Server, running
from sse_ref.server.script import Asked, ScriptError
from sse_ref.server.settings import Settings

__all__ = [
    "FAULTS",
    "Answer",
    "AnswerError",
    "Asked",
    "Delivery",
    "ScriptError",
    "Server",
    "Settings",
    "main",
    "running",
]
