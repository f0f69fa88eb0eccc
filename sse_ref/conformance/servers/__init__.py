"""Judges servers: requests on raw sockets, and one function for each vector that looks at what came back.

In:   vectors of the server corpus, and a ``Target``: a base URL and the models to ask for.
Out:  a result for each vector.

The requests are data, in the profile's file of the corpus. The checks are functions, in these files:

    target          the server under test: what is asked, and what came back
    streams         what holds for every event stream: ``head/`` and ``frame/``
    life            the life of a connection: ``life/``
    chats           a chat stream taken apart
    typed           streams of typed events
    openai_chat     the profile ``openai-chat``
    calls           its tool calls
    together        what a request asks for together, and whole answers
    messages        the profile ``anthropic``
    responses       the profile ``openai-responses``
    gemini          the profile ``gemini``
    cohere          the profile ``cohere``
    event_source    the profile ``sse``
    judging         runs the checks, and shows failures

A new profile is a file of checks here and a file of data in ``corpus/server/``.
"""

from sse_ref.conformance.servers import (
    calls,
    cohere,
    event_source,
    gemini,
    life,
    messages,
    openai_chat,
    responses,
    streams,
    together,
)
from sse_ref.conformance.servers.judging import curl, judge, judge_patiently, requests_needed
from sse_ref.conformance.servers.target import CHECKS, ROLES, Target

__all__ = ["CHECKS", "ROLES", "Target", "curl", "judge", "judge_patiently", "requests_needed"]
__all__ += ["calls", "cohere", "event_source", "gemini", "life", "messages", "openai_chat", "responses", "streams"]
__all__ += ["together"]
