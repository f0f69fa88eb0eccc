"""The judge: tells decoders, encoders, clients and servers in any language where they depart from the standard.

In:   a command that speaks the protocol of README.md beside this file, or the URL of a server.
Out:  a verdict for each vector of the corpus, and for each failure its reason and the line that repeats it.

Read it in this order; each module imports only modules above it:

    corpus        the vectors: data in ``corpus/``, one sentence of fact each
    verdicts      what a run comes to: verdicts, known failures, conformance, exit status
    programs      a program under test: one line of JSON to it, one line back
    decoders      judges decoders: bytes and splits to them, events back
    fuzz          random streams, and the smallest that a decoder reads another way
    encoders      judges encoders: events to them, bytes back, read by our decoder
    hostile       the hostile server that plays the scripts of the client cases
    clients       judges clients: by what they print, and by what the hostile server saw
    wire          HTTP on a raw socket, so that nothing is hidden
    servers       judges servers: one function for each vector, one file for each profile
    gateways      judges gateways: our own server behind them
    causes        failures grouped by what most likely caused them
    reports       what is printed and written: text, JSON, JUnit, TAP, Markdown, badge, annotations
    matrix        several reports as one page of HTML
    reference     our own decoder, encoder, client and server under test
    runs          which vectors, against which program, and what is written of it
    looking       vectors listed, shown, exported, played by hand
    commands      ``python -m sse_ref.conformance``

A vector is data, so that suites in other languages can use it (``export`` writes it out); code only knows how to put it to
a program. A skip is never a pass, and a clock decides nothing that a busy machine could change.
"""
