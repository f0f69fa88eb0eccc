"""How a client with one fault reads Gemini."""

import json

from answer import Answer
from client import FAULT, Wrong

KNOWN = {"STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "MALFORMED_FUNCTION_CALL"}
MEMBERS = {"candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId"}


class Gemini(Answer):
    @property
    def text(self):
        return "".join(self.texts.values()) if FAULT == "merges-choices" else self.texts.get(0, "")

    def whole(self):
        if FAULT == "first-choice-only":
            return 0 in self.finish
        return bool(self.finish) and set(self.finish) >= set(self.texts)

    def error_in(self, type, kind, value):
        if isinstance(value, list):
            value = value[0]
        error = value.get("error")
        if FAULT == "named-errors-ignored" and kind == "error":
            return None
        if FAULT == "first-key-only" and next(iter(value), "") != "error":
            return None
        if isinstance(error, dict):
            codes = FAULT == "codes-needed" and not isinstance(error.get("code"), int)
            return None if codes else str(error.get("message", error))
        return str(error) if error and FAULT != "error-objects-only" else None

    def take(self, kind, data):
        if data == "[DONE]" and FAULT == "done-mark-crash":
            raise Wrong("not JSON")
        if data.startswith("[{") and FAULT == "array-is-the-end":
            self.finish, self.done = {0: "STOP"}, True
            return
        if data.startswith("["):
            data = json.dumps(json.loads(data)[0]) if data != "[DONE]" else data
        super().take(kind, data)

    def event(self, type, value):
        if FAULT == "known-members-only" and set(value) - MEMBERS:
            raise Wrong("unknown member")
        for candidate in value.get("candidates") or []:
            self.candidate(candidate)
        if value.get("promptFeedback") and FAULT != "blocked-is-empty":
            self.finish.setdefault(0, "blocked: " + value["promptFeedback"]["blockReason"])
        elif value.get("promptFeedback"):
            self.finish.setdefault(0, None)
        self.count(value.get("usageMetadata"))

    def count(self, usage):
        if usage is None:
            if FAULT == "usage-required":
                raise Wrong("no usage")
            return
        counts = {
            "prompt_tokens": usage.get("promptTokenCount"),
            "completion_tokens": usage.get("candidatesTokenCount"),
        }
        if FAULT == "usage-summed" and self.usage:
            counts = {name: (self.usage[name] or 0) + (count or 0) for name, count in counts.items()}
        self.usage = counts

    def candidate(self, candidate):
        index = candidate["index"] if FAULT == "index-required" else candidate.get("index", 0)
        content = candidate.get("content")
        if FAULT == "content-needed" and content is None:
            raise Wrong("no content")
        if FAULT == "parts-needed" and content is not None and "parts" not in content:
            raise Wrong("no parts")
        parts = (content or {}).get("parts") or []
        if FAULT == "finish-content-dropped" and candidate.get("finishReason"):
            parts = []
        for part in parts:
            self.part(index, part)
        reason = candidate.get("finishReason")
        if FAULT == "known-reasons-only" and reason and reason not in KNOWN:
            raise Wrong("unknown finish reason")
        if reason:
            reason = {"reasons-lost": "STOP", "reasons-of-chats": reason.lower()}.get(FAULT, reason)
            self.finish.setdefault(index, reason)
            self.done = self.done or FAULT == "ends-at-finish"

    def part(self, index, part):
        if "text" in part:
            if part.get("thought") and FAULT != "thinking-is-text":
                return
            if part["text"] and index and FAULT != "merges-choices":
                self.texts[index] = self.texts.get(index, "") + part["text"]
            elif part["text"]:
                self.add(index, part["text"])
        elif "functionCall" in part:
            self.called(part["functionCall"])
        elif FAULT == "unknown-crash":
            raise Wrong("unknown part")

    def called(self, call):
        args = call.get("args")
        if ("partialArgs" in call or "willContinue" in call) and FAULT != "pieces-ignored":
            raise Wrong("args in pieces")
        if (FAULT == "args-required" and args is None) or (FAULT == "args-objects-only" and isinstance(args, str)):
            return
        text = args if isinstance(args, str) else json.dumps(args or {})
        if FAULT == "merges-same" and any(known["arguments"] == text for known in self.calls):
            return
        if "name" in call:
            self.call(len(self.calls), call["name"], call.get("id"), text)
