"""A server of typed events with one fault: what those of Messages and Responses have in common.

It answers with blocks, each of a kind (``thinking``, ``text`` or the name of a function) and in parts.
"""

from __future__ import annotations

from typing import Any

from broken.server import FAULTS, Conversation, Refused
from sse_ref.conformance.corpus import load

MODELS = ("m", "echo", "slow", "thinking", "error", "crash", "overload")
ARGUMENTS = '{"city": "Paris", "note": "for the trip"}'

FRAMINGS = ("cr", "comments", "close-delimited", "multi-line-json")  # of those in server.py
UNUSUAL = {
    "anthropic": (
        *FRAMINGS,
        *("pings-anywhere", "extra-members", "future-events", "from-cache", "no-tools", "model-alias"),
    ),
    "cohere": (
        *("comments", "close-delimited", "crlf", "unnamed", "no-done-mark"),
        *("extra-members", "not-billed", "tokens-with-fractions", "names-with-models", "no-tools"),
    ),
    "gemini": (
        *("close-delimited", "crlf", "blank-lines-anywhere"),
        *("extra-members", "index-absent", "final-without-content", "no-tools"),
    ),
    "openai-responses": (
        *FRAMINGS,
        *("unnamed", "extra-members", "optional-events", "done-mark", "error-flat"),
        *("queued", "numbered-keepalive", "two-parts", "no-tools"),
    ),
}
"""Ways to be correct, by profile."""

Block = tuple[str, list[str]]


class Typed(Conversation):
    def route(self, body: bytes) -> bool:
        if self.method == "OPTIONS":
            return self.preflight()
        path = self.path.removeprefix("/v1")
        if path == "/journal":
            return self.answer(200, self.server.journal)
        if path == "/models":
            return self.answer(200, self.listed())
        if self.method != "POST":
            return self.answer(200 if self.is_("get-is-ok") else 405, {"error": {"message": "POST"}})
        self.check_key()
        self.check_type()
        request = self.parse(body)
        if not isinstance(request, dict):
            raise Refused(400, "not an object")
        if self.is_("known-fields-only") and set(request) & {"metadata", "of_the_future"}:
            raise Refused(400, "unknown field")
        if self.is_("nulls-refused") and None in request.values():
            raise Refused(400, "null")
        if self.is_("no-tools") and request.get("tools"):
            raise Refused(400, "this model does not take tools")
        return self.create(request)

    def listed(self) -> Any:
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]}

    def create(self, request: Any) -> bool:
        self.check(request)
        if request.get("model") not in MODELS:
            code = None if self.is_("unknown-model-without-code") else "model_not_found"
            raise Refused(400 if self.is_("unknown-model-400") else 404, "no such model", "model", code)
        if request["model"] == "overload":
            raise Refused(429, "busy")
        tokens, reason = self.limited(self.tokens(request, [{"content": self.prompt(request)}]), request)
        blocks: list[Block] = [("text", tokens)]
        if self.wants_calls(request):
            blocks, reason = self.calls(request), "call"
        if request["model"] == "thinking":
            thoughts: list[Block] = [("thinking", ["Let me ", "think. "])]
            blocks = blocks + thoughts if self.is_("thinks-after") else thoughts + blocks
        if self.is_("one-delta"):
            blocks = [(kind, ["".join(parts)]) for kind, parts in blocks]
        streams = bool(request.get("stream")) or self.is_("always-streams")
        if self.is_("never-streams") or (self.is_("accept-needed") and "/json" in self.headers.get("accept", "")):
            streams = False
        if not streams:
            if request["model"] in ("error", "crash") and not self.is_("error-whole-200"):
                raise Refused(500, "failed")
            if self.is_("whole-differs"):
                blocks = [(kind, [*parts, " Really."]) for kind, parts in blocks]
            return self.answer(200, self.whole(request, blocks, reason))
        return self.recorded(lambda record: self.streamed(request, blocks, reason, record))

    def streamed(self, request: Any, blocks: list[Block], reason: str, record: dict[str, Any]) -> bool:
        self.begin(request["model"], any(len(parts) > 1000 for _, parts in blocks), record)
        with self.server.lock:
            self.server.count += 1
            self.number = 1 if self.is_("same-id-each-time") else self.server.count
        self.record, self.fails = record, request["model"] if request["model"] in ("error", "crash") else ""
        return self.say(request, blocks, reason)

    def token(self) -> bool:
        """Count a token of a stream; False if the model fails here."""
        if self.fails and self.record["tokens"] == 3:
            return False
        self.record["tokens"] += 1
        self.pause_after_a_token(self.record)
        return True

    def failed(self) -> bool:
        """End a stream of a model that crashes."""
        if self.is_("crash-ends-well"):
            self.finish()
        return False

    def limited(self, tokens: list[str], request: Any) -> tuple[list[str], str]:
        limit = request.get("max_tokens") or request.get("max_output_tokens")
        if limit is None or self.is_("max-tokens-ignored") or len(tokens) <= limit:
            return self.cut_at_stop(tokens, request)
        return tokens[:limit], "end" if self.is_("length-not-told") else "length"

    def cut_at_stop(self, tokens: list[str], request: Any) -> tuple[list[str], str]:
        return tokens, "end"

    def calls(self, request: Any) -> list[Block]:
        names = [tool["name"] for tool in request["tools"]]
        if (name := self.named(request)) and not self.is_("tool-named-ignored"):
            names = [name]
        if self.one_call(request) and not self.is_("parallel-anyway"):
            names = names[:1]
        text = ARGUMENTS[:-1] if self.is_("arguments-broken") else ARGUMENTS
        parts = [text] if self.is_("arguments-at-once") else [text[:9], text[9:20], text[20:]]
        calls = [(name, parts) for name in names]
        if self.is_("second-call-broken"):
            calls[1:] = [(name, [*parts, "oops"]) for name in names[1:]]
        return calls

    # ---- What differs ------------------------------------------------------------------------------------------------

    def check(self, request: Any) -> None:
        raise NotImplementedError

    def prompt(self, request: Any) -> str:
        raise NotImplementedError

    def wants_calls(self, request: Any) -> bool:
        raise NotImplementedError

    def named(self, request: Any) -> str:
        raise NotImplementedError

    def one_call(self, request: Any) -> bool:
        raise NotImplementedError

    def whole(self, request: Any, blocks: list[Block], reason: str) -> Any:  # type: ignore[override]
        raise NotImplementedError

    def say(self, request: Any, blocks: list[Block], reason: str) -> bool:
        raise NotImplementedError


def shared_faults(profile: str) -> dict[str, str]:
    """The faults of every event stream, each with the vectors of a profile that are made for it."""
    found: dict[str, str] = {}
    for vector in load("server"):
        if vector.profile == profile and "check" in vector.body:
            for fault, ids in FAULTS.items():
                if vector.body["check"] in ids.split():
                    found[fault] = f"{found.get(fault, '')} {vector.id}".strip()
    return found
