"""A server of Anthropic's Messages with one fault, on raw sockets, in this process. With the fault "" it is correct."""

from __future__ import annotations

import json
import re
from typing import Any

from broken.server import CONVERSATIONS, KEY, Refused
from broken.typed import MODELS, Block, Typed, shared_faults

ERRORS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 413: "request_too_large"}
ERRORS |= {429: "rate_limit_error", 500: "api_error"}
REASONS = {"end": "end_turn", "length": "max_tokens", "stop": "stop_sequence", "call": "tool_use"}
KNOWN = {"text", "image", "document", "tool_use", "tool_result", "thinking"}


class Messages(Typed):
    allowed = "x-api-key, anthropic-version, content-type"
    heartbeat = b'event: ping\ndata: {"type": "ping"}\n\n'
    request_id = "request-id"

    def check_key(self) -> None:
        bearer = not self.is_("no-bearer") and self.headers.get("authorization") == f"Bearer {KEY}"
        if self.headers.get("x-api-key") != KEY and not bearer and not self.is_("any-key"):
            raise Refused(401, "no key, or a wrong one")
        if self.is_("new-version-refused") and self.headers.get("anthropic-version", "2023") > "2024":
            raise Refused(400, "unknown version")
        if self.is_("query-refused") and self.query:
            raise Refused(404, "no such path")

    def refuse(self, error: Refused) -> bool:
        kind = ERRORS[error.status]
        if self.is_("error-type-odd") and error.status in (400, 401, 404):
            kind = "bad_request"
        value: Any = {"type": "error", "error": {"type": kind, "message": str(error)}}
        if self.is_("openai-error"):
            del value["type"]
        if self.is_("error-is-text"):
            value["error"] = str(error)
        more = ["Retry-After: 1"] if error.status == 429 and not self.is_("no-retry-after") else []
        return self.answer(error.status, value, *more)

    def listed(self) -> Any:
        models: list[dict[str, Any]] = [
            {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"} for name in MODELS
        ]
        if self.is_("models-without-dates"):
            for model in models:
                del model["created_at"]
        models = [] if self.is_("no-models") else models
        return {"data": models, "has_more": False, "first_id": "m", "last_id": "overload"}

    def create(self, request: Any) -> bool:
        if not self.path.endswith("/count_tokens"):
            return super().create(request)
        self.check({"max_tokens": 1, **request})
        return self.answer(200, {"input_tokens": 300 if self.is_("count-guessed") else self.input_tokens(request)})

    def check(self, request: Any) -> None:
        limit, messages = request.get("max_tokens"), request.get("messages")
        if not self.is_("max-tokens-optional") and (not isinstance(limit, int) or limit < 1):
            raise Refused(400, "bad" if self.is_("param-not-named") else "max_tokens: must be a positive number")
        if self.is_("max-tokens-optional") and not (isinstance(limit, int) and limit > 0):
            request["max_tokens"] = 10
        fine = isinstance(messages, list) and messages
        for message in messages if fine else []:
            fine = fine and message.get("role") in ("user", "assistant", "system")
            content = message.get("content")
            fine = fine and isinstance(content, str | list)
            if isinstance(content, list):
                self.check_blocks(content)
        if not fine and not self.is_("messages-unchecked"):
            raise Refused(400, "bad" if self.is_("param-not-named") else "messages: must be a list of messages")
        if not fine:
            request["messages"] = [{"role": "user", "content": "x"}]
        if self.is_("system-must-be-text") and not isinstance(request.get("system", ""), str):
            raise Refused(400, "system: must be a string")

    def check_blocks(self, blocks: list[Any]) -> None:
        kinds = {block.get("type") for block in blocks}
        if self.is_("content-must-be-text") or (self.is_("no-tool-results") and "tool_result" in kinds):
            raise Refused(400, "messages: unknown content")
        if self.is_("unknown-block-500") and kinds - KNOWN:
            raise Refused(500, "crashed")

    def prompt(self, request: Any) -> str:
        content = request["messages"][-1]["content"]
        return content if isinstance(content, str) else "".join(b.get("text", "") for b in content)

    def input_tokens(self, request: Any) -> int:
        system = request.get("system", "") if not self.is_("system-not-counted") else ""
        text = system if isinstance(system, str) else "".join(block["text"] for block in system)
        return len(self.prompt(request).split()) + len(text.split()) + 6

    def cut_at_stop(self, tokens: list[str], request: Any) -> tuple[list[str], str]:
        self.matched: str | None = None
        for stop in request.get("stop_sequences") or []:
            text = "".join(tokens)
            if self.is_("held-back-text-lost") and stop[:3] in text:
                tokens = [text[: text.index(stop[:3])]]
            if stop in text and not self.is_("stop-ignored"):
                kept = text[: text.index(stop) + (2 if self.is_("stop-leaks") else 0)]
                self.matched = None if self.is_("stop-not-named") else stop
                return re.findall(r"\s?\S+|\s", kept), "end" if self.is_("stop-not-told") else "stop"
        return tokens, "end"

    def wants_calls(self, request: Any) -> bool:
        kind = (request.get("tool_choice") or {"type": "auto"})["type"]
        if self.is_("calls-again") and request.get("tools"):
            return True
        ignored = {"none": "tool-choice-none-ignored", "any": "-", "tool": "-", "auto": "-"}[kind]
        if not request.get("tools") or (kind == "none" and not self.is_(ignored)):
            return False
        if kind in ("any", "tool"):
            return not self.is_("tool-any-ignored")
        last = request["messages"][-1]["content"]
        return isinstance(last, str)  # else it holds the results of tools

    def named(self, request: Any) -> str:
        return str((request.get("tool_choice") or {}).get("name", ""))

    def one_call(self, request: Any) -> bool:
        return bool((request.get("tool_choice") or {}).get("disable_parallel_tool_use"))

    def reason(self, reason: str) -> Any:
        told = {"no-stop-reason": None, "stop-odd": "stop"}.get(self.server.fault, REASONS[reason])
        return "end_turn" if self.is_("calls-end-with-end-turn") and reason == "call" else told

    def call_id(self, number: int) -> Any:
        return {"call-id-missing": None, "call-ids-same": "toolu_1"}.get(self.server.fault, f"toolu_{number}")

    def whole(self, request: Any, blocks: list[Block], reason: str) -> Any:  # type: ignore[override]
        content: list[Any] = []
        for kind, parts in blocks:
            text = "".join(parts)
            if kind == "text":
                content.append({"type": "text", "text": text})
            elif kind == "thinking":
                content.append({"type": "thinking", "thinking": text, "signature": "s"})
            else:
                value = text if self.is_("input-a-string") else json.loads(text)
                content.append({"type": "tool_use", "id": self.call_id(len(content)), "name": kind, "input": value})
        said = sum(len(parts) for _, parts in blocks) + (3 if self.is_("usage-differs") else 0)
        usage = {"input_tokens": self.input_tokens(request), "output_tokens": said}
        message = {"id": "msg_w", "type": "message", "role": "assistant", "model": request["model"], "content": content}
        if self.is_("whole-without-type"):
            del message["type"]
        if self.is_("whole-without-id"):
            del message["id"]
        return {**message, "stop_reason": self.reason(reason), "stop_sequence": self.matched_stop(), "usage": usage}

    def matched_stop(self) -> Any:
        return getattr(self, "matched", None) or ("" if self.is_("stop-sequence-empty") else None)

    def begin(self, model: str, long: bool, record: dict[str, Any]) -> None:
        if self.is_("ping-empty"):
            self.heartbeat = b"event: ping\ndata: {}\n\n"
        super().begin(model, long, record)

    # ---- A stream ----------------------------------------------------------------------------------------------------

    def typed(self, kind: str, **members: Any) -> None:
        """An event named as its type."""
        name = {"unnamed": "", "name-message": "message"}.get(self.server.fault, kind)
        more = {"x_extra": {"a": [1]}} if self.is_("extra-members") else {}
        self.event({"type": kind, **members, **more}, name)
        if self.is_("pings-anywhere"):
            self.send(self.heartbeat)

    def say(self, request: Any, blocks: list[Block], reason: str) -> bool:
        fault, tokens = self.server.fault, self.input_tokens(request)
        usage: Any = {"input_tokens": tokens, "output_tokens": 0}
        if fault == "from-cache":
            usage |= {"input_tokens": tokens - 2, "cache_read_input_tokens": 2}
        usage = {"start-without-usage": None, "input-guessed": {**usage, "input_tokens": tokens + 1}}.get(fault, usage)
        message = {"id": f"msg_{self.number}", "type": "message", "role": "assistant", "model": request["model"]}
        message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        message |= {"content-null": {"content": None}, "model-other": {"model": "other"}}.get(fault, {})
        message |= {"model-alias": {"model": "m-20260101"}}.get(fault, {})
        message |= {"stop-reason-early": {"stop_reason": "end_turn"}}.get(fault, {})
        if self.is_("pings-anywhere"):
            self.send(self.heartbeat)
        for _ in range({"start-twice": 2, "no-start": 0}.get(fault, 1)):
            self.typed("message_start", message=message)
        if self.is_("future-events"):
            self.typed("of_the_future", x=1)
        for index, (kind, parts) in enumerate(blocks):
            place = {"one-index": 0, "index-from-one": index + 1}.get(fault, index)
            if not self.block(place, kind, parts):
                return self.failed() if self.fails == "crash" else self.error_inside()
        self.end(tokens, reason)
        return self.finish()

    def block(self, index: int, kind: str, parts: list[str]) -> bool:
        """One block; False if the model failed in it."""
        fault = self.server.fault
        start: dict[str, Any] = {"type": kind, kind: ""}
        if kind not in ("text", "thinking"):
            start = {"type": "tool_use", "id": self.call_id(index), "name": kind, "input": {}}
            start |= {"input-null": {"input": None}}.get(fault, {})
        if fault == "text-in-start" and kind == "text":
            start["text"], *parts = parts
        if fault != "no-block-start":
            self.typed("content_block_start", index=index, content_block=start)
        name, member = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking")}.get(
            kind, ("input_json_delta", "partial_json")
        )
        name = name.removesuffix("_delta") if fault == "delta-type-odd" else name
        for part in parts:
            if not self.token():
                return False
            delta = {"type": name, member: None if fault == "text-null" else part}
            self.typed("content_block_delta", index=index, delta=delta)
        if kind == "thinking" and fault != "no-signature":
            signature = {"type": "signature_delta", "signature": "c2ln"}
            self.typed("content_block_delta", index=index, delta=signature)
        if fault not in ("no-block-stop", "blocks-stay-open"):
            self.typed("content_block_stop", index=index)
        return True

    def end(self, tokens: int, reason: str) -> None:
        fault = self.server.fault
        usage: Any = {"input_tokens": tokens, "output_tokens": self.record["tokens"]}
        if fault == "from-cache":
            usage |= {"input_tokens": tokens - 2, "cache_read_input_tokens": 2}
        if fault == "no-input-in-delta":
            del usage["input_tokens"]
        delta = {"stop_reason": self.reason(reason), "stop_sequence": self.matched_stop()}
        if fault != "no-message-delta":
            self.typed("message_delta", delta=delta, usage=None if fault == "no-usage" else usage)
        if fault == "block-after-delta":
            self.block(9, "text", ["late"])
        if fault != "no-message-stop":
            self.typed("message_stop")
        if fault == "named-done":
            self.send(b"event: done\ndata: [DONE]\n\n")
        if fault == "delta-after-stop":
            self.typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "!"})

    def error_inside(self) -> bool:
        fault = self.server.fault
        error: Any = {"type": "error", "error": {"type": "api_error", "message": "failed"}}
        if fault == "end-before-error":
            self.typed("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={})
        error |= {"error-text-in-stream": {"error": "failed"}}.get(fault, {})
        if fault != "error-swallowed":
            self.event(error, "" if fault == "error-unnamed" else "error")
        if fault == "content-after-error":
            self.typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "more"})
        if fault in ("stop-after-error", "error-swallowed"):
            self.typed("message_stop")
        return False if fault == "error-then-cut" else self.finish()


CONVERSATIONS["anthropic"] = Messages

MESSAGES_FAULTS: dict[str, str] = {
    "unnamed": "names",
    "name-message": "names",
    "named-done": "json",
    "start-twice": "start-first",
    "no-start": "start-first start-shape",
    "content-null": "start-shape",
    "stop-reason-early": "start-shape",
    "start-without-usage": "start-usage",
    "input-guessed": "start-input-true",
    "same-id-each-time": "ids-differ",
    "model-other": "model",
    "no-block-stop": "block-order",
    "no-block-start": "block-order",
    "blocks-stay-open": "block-order",
    "index-from-one": "index-dense",
    "text-in-start": "block-start-empty",
    "delta-type-odd": "delta-type",
    "text-null": "delta-string",
    "one-delta": "several-deltas",
    "no-signature": "thinking",
    "thinks-after": "thinking",
    "no-message-delta": "delta-message",
    "no-stop-reason": "delta-message",
    "block-after-delta": "delta-message",
    "no-usage": "delta-usage",
    "no-input-in-delta": "delta-input",
    "usage-differs": "usage-cumulative",
    "no-message-stop": "stop-last stop-max-tokens",
    "delta-after-stop": "stop-last",
    "stays-open": "ends",
    "stop-odd": "stop-known stop-end-turn",
    "stop-sequence-empty": "stop-end-turn",
    "max-tokens-ignored": "stop-max-tokens",
    "length-not-told": "stop-max-tokens",
    "stop-ignored": "stop-sequence",
    "stop-leaks": "stop-sequence",
    "stop-not-named": "stop-sequence",
    "stop-not-told": "stop-sequence",
    "held-back-text-lost": "stop-unmatched",
    "call-id-missing": "tool-start",
    "input-null": "tool-start",
    "arguments-broken": "tool-arguments",
    "arguments-at-once": "tool-fragments",
    "call-ids-same": "tool-two",
    "one-index": "tool-two index-dense",
    "calls-end-with-end-turn": "tool-stop",
    "tool-choice-none-ignored": "tool-none",
    "tool-any-ignored": "tool-any",
    "tool-named-ignored": "tool-any",
    "parallel-anyway": "tool-one",
    "no-tool-results": "tool-result",
    "calls-again": "tool-result tool-none",
    "second-call-broken": "tool-two",
    "system-must-be-text": "system",
    "system-not-counted": "system",
    "content-must-be-text": "content",
    "unknown-block-500": "content",
    "new-version-refused": "versions",
    "query-refused": "versions",
    "known-fields-only": "other-fields",
    "emoji-broken": "text",
    "echo-loses-controls": "text",
    "whole-differs": "text",
    "always-streams": "whole",
    "whole-without-type": "whole",
    "whole-without-id": "whole",
    "input-a-string": "whole-input",
    "count-guessed": "count",
    "no-models": "models",
    "models-without-dates": "models",
    "silent": "ping",
    "ping-empty": "ping-data",
    "error-is-text": "error-shape",
    "openai-error": "error-shape",
    "error-type-odd": "error-json error-model key",
    "bad-json-500": "error-json error-shape",
    "max-tokens-optional": "error-max-tokens",
    "param-not-named": "error-max-tokens error-messages",
    "messages-unchecked": "error-messages",
    "unknown-model-400": "error-model",
    "any-key": "key",
    "no-bearer": "key-bearer",
    "no-request-id": "request-id",
    "no-retry-after": "overload",
    "error-unnamed": "error-in-stream",
    "error-text-in-stream": "error-in-stream",
    "error-swallowed": "error-in-stream nothing-after-error",
    "content-after-error": "nothing-after-error",
    "stop-after-error": "nothing-after-error",
    "error-then-cut": "nothing-after-error",
    "end-before-error": "nothing-after-error",
    "error-whole-200": "error-whole",
    "crosstalk": "fifty-at-once",
}
"""Faults of servers of Messages, each with the vectors that are made for it."""

MESSAGES_FAULTS = {fault: " ".join(f"messages/{id}" for id in ids.split()) for fault, ids in MESSAGES_FAULTS.items()}
for _fault, _ids in shared_faults("anthropic").items():
    MESSAGES_FAULTS[_fault] = f"{MESSAGES_FAULTS.get(_fault, '')} {_ids}".strip()
