"""The reference for streaming tokens over Server-Sent Events, in pure standard-library Python.

One codec, shared by a server and a client, with a toy model behind them. Start with the ground, in this order; each module
imports only modules above it:

    codec         bytes and events: the event stream format of HTML standard 9.2
    chunked       bytes and chunks: the chunked transfer coding of RFC 9112
    pieces        the words between a model and a wire: prompts, and the pieces of answers
    errors        how a stream ends, and why a request is refused
    dialects      pieces and one provider's requests, events and errors, behind one interface
    schema        JSON text that fits a schema
    recording     a stream as it was read, in lines of JSON
    model         the toy model: a prompt in, pieces of answers out

The ground is pure: no socket, clock, thread or file. Three wings stand on it. Server and client know nothing of each other;
the judge uses both in one file, to judge them, too:

    server        the toy model behind HTTP: ``python -m sse_ref.server``
    client        chat streams and event sources: ``python -m sse_ref.client``
    conformance   the judge of other implementations: ``python -m sse_ref.conformance``

``options`` holds what their commands share, ``page`` the page that the server shows. The wings are not imported from here: a
program that needs the codec should not pay for them.
"""

from sse_ref.codec import EventTooLarge, ServerSentEvent, SSEDecoder, encode_comment, encode_event, iter_events

__all__ = ["EventTooLarge", "SSEDecoder", "ServerSentEvent", "encode_comment", "encode_event", "iter_events"]
