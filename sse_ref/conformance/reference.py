"""Our own decoder, encoder, client and server under test: ``python -m sse_ref.conformance.reference decoder``.

In:   what the protocol says (README.md beside this file): requests as lines of JSON; for a client, a URL or such lines.
Out:  replies as lines of JSON. They show how small an adapter is.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from sse_ref.codec import SSEDecoder, encode_comment, encode_event
from sse_ref.errors import StreamError
from sse_ref.pieces import Prompt, Text, TokenLogprob

__all__ = ["chat", "decode", "encode", "main", "our_own", "source"]

FEATURES = ["event", "id", "retry", "last_event_id", "comment", "beside"]


def decode(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a decode request.

    >>> decode({"id": "x", "chunks": ["646174613a20610d", "0a0d0a"]})["events"]
    [{'event': 'message', 'data': 'a', 'id': '', 'chunk': 1}]
    """
    decoder, other = SSEDecoder(), SSEDecoder()
    events = []
    beside = request.get("beside", [])
    for number, chunk in enumerate(request["chunks"]):
        for event in decoder.feed(bytes.fromhex(chunk)):
            events.append({"event": event.event, "data": event.data, "id": event.id, "chunk": number})
        if number < len(beside):
            other.feed(bytes.fromhex(beside[number]))
    return {"events": events, "retry": decoder.reconnection_time, "last_event_id": decoder.last_event_id}


def encode(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer an encode request; raises ``ValueError`` or ``TypeError`` for what cannot be written.

    >>> encode({"id": "x", "events": [{"data": "a", "event": None, "id": None, "retry": None}]})
    {'bytes': '646174613a20610a0a'}
    """
    stream = b""
    for event in request["events"]:
        if "comment" in event:
            stream += encode_comment(event["comment"])
        else:
            stream += encode_event(event["data"], event=event["event"], id=event["id"], retry=event["retry"])
    return {"bytes": stream.hex()}


def chat(profile: str, case: Mapping[str, str]) -> None:
    """One case of a chat client: stream, print what comes, and say how it ended. ``case`` holds the variables that tell it.

    A profile that is not the name of a dialect is one of the default dialect.
    """
    from sse_ref.client import ChatStream  # here: this is started for each vector, and a decoder needs no client
    from sse_ref.dialects import DEFAULT, DIALECTS

    url, request = case["SSE_CONFORMANCE_URL"], json.loads(case["SSE_CONFORMANCE_BODY"])
    cancel_after = int(case.get("SSE_CONFORMANCE_CANCEL_AFTER", "0"))
    dialect = DIALECTS.get(profile, DIALECTS[DEFAULT])
    model = request.get("model", "toy")  # which some wires have in the path
    key, timeout = case.get("SSE_CONFORMANCE_KEY"), float(case["SSE_CONFORMANCE_IDLE_S"])
    stream = ChatStream(request, url=url, model=model, dialect=dialect, timeout=timeout, api_key=key)
    end: dict[str, Any] = {}
    deltas = 0
    try:
        for piece in stream:
            if isinstance(piece, Text) and piece.choice == 0:
                say({"delta": piece.text})
                deltas += 1
            if cancel_after and deltas >= cancel_after:
                stream.close()
    except StreamError as error:
        end = {"error": str(error), "status": getattr(error, "status", None)}
    calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in stream.tool_calls]
    usage = stream.usage
    numbers = usage and {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
    result = {"text": stream.text, "finish_reason": stream.finish_reason, "usage": numbers, "tool_calls": calls}
    say({"end": stream.outcome, **result, "refusal": stream.refusal, **end})


def source(case: Mapping[str, str]) -> None:
    """One case of an event source: print events until the server ends it, or until it is time to close."""
    from sse_ref.client import EventSource  # here, as in chat()

    events = EventSource(case["SSE_CONFORMANCE_URL"])
    closed = threading.Event()
    cancel_after = int(case.get("SSE_CONFORMANCE_CANCEL_AFTER", "0"))

    def close() -> None:
        closed.set()
        say({"cancelling": True})
        events.close()

    timer = threading.Timer(float(case.get("SSE_CONFORMANCE_CANCEL_IN_S", "0")), close)
    timer.daemon = True
    if timer.interval:
        timer.start()
    try:
        for number, event in enumerate(events, 1):
            say({"event": event.event, "data": event.data, "id": event.id})
            if number == cancel_after:
                close()
        end: dict[str, Any] = {"end": "cancelled" if closed.is_set() else "complete"}
    except StreamError as error:
        end = {"end": error.outcome, "status": getattr(error, "status", None), "error": str(error)}
    timer.cancel()  # nothing may come after the end
    time.sleep(1.0 if closed.is_set() else 0.0)  # so that it is seen that it does not connect again
    say(end)


def say(value: Mapping[str, Any]) -> None:
    """Print one line, at once."""
    print(json.dumps(value), flush=True)


def main(arguments: list[str]) -> int:
    """``decoder`` and ``encoder`` answer requests until their input ends.

    ``client PROFILE URL`` plays one case, ``client PROFILE`` one for each line of its input.
    """
    if arguments[:1] == ["client"] and 2 <= len(arguments) <= 3:
        play = source if arguments[1] == "sse" else functools.partial(chat, arguments[1])
        for case in [{**os.environ, "SSE_CONFORMANCE_URL": url} for url in arguments[2:]] or map(json.loads, sys.stdin):
            play(case)
        return 0
    answers = {"decoder": decode, "encoder": encode}
    if len(arguments) != 1 or arguments[0] not in answers:
        print(
            "usage: python -m sse_ref.conformance.reference decoder | encoder | client PROFILE [URL]", file=sys.stderr
        )
        return 2
    answer = answers[arguments[0]]
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "hello":
            say({"name": "sse_ref", "features": FEATURES})
            continue
        try:
            say({"id": request["id"], **answer(request)})
        except (ValueError, TypeError) as error:
            say({"id": request["id"], "error": str(error)})
    return 0


@contextlib.contextmanager
def our_own(profile: str) -> Iterator[list[str]]:
    """Start the server of this package, and yield the arguments that judge it."""
    from sse_ref.conformance.corpus import document  # here, as in chat()
    from sse_ref.model import MODELS
    from sse_ref.server import running

    def breaking_down(prompt: Prompt, choice: int) -> Iterator[TokenLogprob]:
        for number, token in enumerate(MODELS["toy"](prompt, choice)):
            if number == 5:
                raise RuntimeError("on purpose: this is how a server that crashes is judged")
            yield token

    if profile == "sse":
        with running() as server:
            yield [f"{server.url}/events?prompt=Tell+me+a+story&max_tokens=24"]
        return
    os.environ["SSE_REF_SELF_KEY"] = "judge"
    MODELS["self-crash"] = breaking_down
    with contextlib.ExitStack() as stack:
        stack.callback(MODELS.pop, "self-crash")
        server = stack.enter_context(running(tps=300, heartbeat=0.2, api_key="judge", max_streams=16))
        models = {"echo": "toy-echo", "slow": "toy-slow", "error": "toy-flaky", "crash": "self-crash"}
        models["thinking"] = "toy-thinker"
        arguments = ["--model", "toy", "--api-key-env", "SSE_REF_SELF_KEY", "--journal", f"{server.url}/journal"]
        for role, model in models.items():
            arguments += ["--model-for", f"{role}={model}"]
        base = document("server", profile).get("base", "/v1")
        yield [f"{server.url}{base}", *arguments, "--pid", str(os.getpid())]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
