"""The reference for streaming tokens over Server-Sent Events, in pure standard-library Python.

One codec, shared by a server and a client, with a toy model behind them. Read it in this order; each module imports only
modules above it:

    codec         bytes and events: the event stream format of HTML standard 9.2
    chunked       bytes and chunks: the chunked transfer coding of RFC 9112
    pieces        the words between a model and a wire: prompts, and the pieces of answers
    errors        how a stream ends, and why a request is refused
    dialects      pieces and one provider's requests, events and errors; ``openai`` is the first
    schema        JSON text that fits a schema
    model         the toy model: a prompt in, pieces of answers out
    pacing        the loop that sends what is due on all open connections
    server        HTTP around them: ``python -m sse_ref.server``
    transport     one HTTP response, read without being fooled
    partial_json  reading JSON while it grows
    client        chat streams and event sources: ``python -m sse_ref.client``
    conformance   the judge of other implementations: ``python -m sse_ref.conformance``

``codec`` to ``model`` are pure: no socket, clock, thread or file. ``server`` and ``client``
are not imported from here, because a program that needs the codec should not pay for the rest.
"""

from sse_ref.codec import EventTooLarge, ServerSentEvent, SSEDecoder, encode_comment, encode_event, iter_events

__all__ = ["EventTooLarge", "SSEDecoder", "ServerSentEvent", "encode_comment", "encode_event", "iter_events"]
