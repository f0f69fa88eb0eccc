"""How a client with one fault reads Cohere's Chat."""

import json

from answer import Answer
from client import FAULT, Wrong

KNOWN = {"COMPLETE", "STOP_SEQUENCE", "MAX_TOKENS", "TOOL_CALL", "TIMEOUT"}
PASSED_OVER = {"message-start", "debug", "citation-end", "content-end", "tool-call-end"}


class Cohere(Answer):
    def take(self, kind, data):
        if "[DONE]" in data if FAULT == "done-anywhere" else data == "[DONE]":
            self.done = True
            if FAULT == "done-mark-ends":
                self.finish.setdefault(0, "COMPLETE")
            return
        super().take(kind, data)

    def error_in(self, type, kind, value):
        if kind == "error" and FAULT != "named-errors-ignored":
            return str(value.get("message", value))
        if type is None and kind in ("message", "error") and FAULT not in ("typed-errors-only", "named-errors-ignored"):
            error = value.get("error") or value
            return str(error.get("message", error)) if "message" in value or "error" in value else None
        delta = value.get("delta") or {}
        if type == "message-end" and delta.get("finish_reason") == "ERROR" and FAULT != "error-is-an-end":
            if FAULT == "usage-required":
                delta["usage"]["tokens"]
            return str(delta.get("error"))
        return None

    def event(self, type, value):
        type = type or ("" if FAULT == "types-needed" else self.kind)
        message = (value.get("delta") or {}).get("message") or {}
        index = value.get("index")
        if FAULT == "index-required" and index is None and type.startswith("content"):
            return
        if type == "content-start":
            self.open = {*getattr(self, "open", ()), index}
            self.content(message["content"], FAULT == "start-text-lost")
        elif type == "content-delta":
            self.content(message["content"], FAULT == "starts-needed" and index not in getattr(self, "open", ()))
        elif type == "tool-plan-delta":
            if FAULT == "plan-is-text":
                self.add(0, message["tool_plan"])
        elif type == "citation-start":
            if FAULT == "citations-are-text":
                self.add(0, message["citations"]["text"])
        elif type in ("tool-call-start", "tool-call-delta"):
            self.calling(type, index, message["tool_calls"])
        elif type == "message-end":
            self.end(value["delta"])
        elif FAULT == "unknown-crash" and type not in PASSED_OVER:
            raise Wrong(f"unknown event {type}")
        if type == "message-start" and FAULT == "late-errors-only":
            self.begun = False
        if type == "tool-call-end":
            for call in self.calls:
                call["closed"] = call.get("closed") or call["key"] == index

    def content(self, content, lost):
        for kind in ("thinking", "text"):
            if content.get(kind) and (kind == "text" or FAULT == "thinking-is-text") and not lost:
                self.add(0, content[kind])

    def calling(self, type, index, calls):
        if isinstance(calls, list) and FAULT == "lists-ignored":
            return
        for call in calls if isinstance(calls, list) else [calls]:
            arguments = call["function"].get("arguments") or ""
            if type == "tool-call-start":
                self.call(index, call["function"]["name"], call.get("id"))
                arguments = "" if FAULT == "input-at-start-lost" else arguments
            self.argue(index, arguments)

    def end(self, delta):
        self.done = FAULT != "done-required"
        reason = delta.get("finish_reason")
        if FAULT == "known-reasons-only" and reason not in KNOWN:
            raise Wrong("unknown finish reason")
        if FAULT == "reason-invented":
            reason = reason or "COMPLETE"
        if reason:
            reason = {"reasons-lost": "COMPLETE", "reasons-of-chats": "stop"}.get(FAULT, reason)
            self.finish[0] = reason
        if FAULT == "closed-calls-only":
            self.calls = [call for call in self.calls if call.get("closed")]
        for call in self.calls:
            if FAULT == "empty-arguments-crash":
                json.loads(call["arguments"] or "!")
            call["arguments"] = call["arguments"] or "{}"
        usage = delta.get("usage") or {}
        if FAULT == "usage-required":
            usage["tokens"]["input_tokens"]
        tokens = usage.get("tokens") or {}
        self.usage = {"prompt_tokens": tokens.get("input_tokens"), "completion_tokens": tokens.get("output_tokens")}
