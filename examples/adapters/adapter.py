"""What every Python adapter shares: a line of JSON in, a line of JSON out; see sse_ref/conformance/README.md.

``decoder(decode)`` serves a function that takes an iterator of bytes and yields events; each event is told with the chunk
that brought it. ``client(stream)`` runs one case of a chat client and says how it ended.
"""

import json
import os
import sys


def say(**value):
    print(json.dumps(value), flush=True)


def decoder(decode, name, version, features=("event", "id", "retry")):
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "hello":
            say(name=name, version=version, features=list(features))
            continue
        at = [0]

        def chunks(request=request, at=at):
            for at[0], chunk in enumerate(request["chunks"]):
                yield bytes.fromhex(chunk)

        events, retry = [], None
        try:
            for event in decode(chunks()):
                told = event.pop("retry", None)
                retry = retry if told is None else told
                events.append({**event, "chunk": at[0]})
            say(id=request["id"], events=events, retry=retry)
        except Exception as error:
            say(id=request["id"], error=repr(error))


class Answer:
    """What has come of an answer; ``delta`` prints text as it comes."""

    def __init__(self):
        self.text, self.finish_reason, self.usage, self.calls = "", None, None, {}
        self.cancel_after = int(os.environ.get("SSE_CONFORMANCE_CANCEL_AFTER", 0))
        self.deltas = 0

    def delta(self, text):
        if text:
            self.text += text
            self.deltas += 1
            say(delta=text)

    @property
    def enough(self):
        return self.cancel_after and self.deltas >= self.cancel_after


def client(stream, outcome_of):
    """Run ``stream(url, body, idle, answer)``; ``outcome_of(error)`` names the outcome that an exception stands for."""
    answer, more = Answer(), {}
    body = json.loads(os.environ["SSE_CONFORMANCE_BODY"])
    try:
        stream(sys.argv[-1], body, float(os.environ["SSE_CONFORMANCE_IDLE_S"]), answer)
        end = "cancelled" if answer.enough else "complete"
    except Exception as error:
        end = outcome_of(error)
        more = {"error": str(error), "status": getattr(error, "status_code", None)}
    calls = [answer.calls[index] for index in sorted(answer.calls)]
    told = {"text": answer.text, "finish_reason": answer.finish_reason, "usage": answer.usage, "tool_calls": calls}
    print(json.dumps({"end": end, **told, **more}), flush=True)
