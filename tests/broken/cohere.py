"""A server of Cohere's Chat with one fault, on raw sockets, in this process. With the fault "" it is correct."""

from __future__ import annotations

import json
import re
from typing import Any

from broken.server import CONVERSATIONS, Refused
from broken.typed import MODELS, Block, Typed, shared_faults

REASONS = {"end": "COMPLETE", "length": "MAX_TOKENS", "stop": "STOP_SEQUENCE", "call": "TOOL_CALL"}


class CohereServer(Typed):
    def route(self, body: bytes) -> bool:
        self.path = self.path.removeprefix("/v2")
        return super().route(body)

    def refuse(self, error: Refused) -> bool:
        message = "not found" if self.is_("model-not-named") else str(error)
        value: Any = {"error": {"message": message}} if self.is_("openai-error") else {"id": "e", "message": message}
        if self.is_("error-is-an-object"):
            value["message"] = {"text": message}
        more = ["Retry-After: 1"] if error.status == 429 and not self.is_("no-retry-after") else []
        return self.answer(error.status, value, *more)

    def listed(self) -> Any:
        prefix = "models/" if self.is_("names-with-models") else ""
        return {"models": [] if self.is_("no-models") else [{"name": prefix + name} for name in MODELS]}

    def check(self, request: Any) -> None:
        messages = request.get("messages")
        fine = isinstance(messages, list) and bool(messages)
        for message in messages if fine else []:
            fine = fine and message.get("role") in ("system", "user", "assistant", "tool")
            content = message.get("content")
            if isinstance(content, list) and self.is_("content-must-be-text"):
                raise Refused(400, "content must be a string")
            if message.get("role") == "tool" and isinstance(content, list) and self.is_("no-documents"):
                raise Refused(400, "content must be a string")
        if not fine and not self.is_("messages-unchecked"):
            raise Refused(400, "messages must be a list of messages")
        if not fine:
            request["messages"] = [{"role": "user", "content": "x"}]
        if request.get("max_tokens", 1) < 0:
            if not self.is_("numbers-unchecked"):
                raise Refused(400, "max_tokens must not be negative")
            request["max_tokens"] = 5
        if request.get("model") not in MODELS:
            raise Refused(404, f"model {request.get('model')} not found")

    def prompt(self, request: Any) -> str:
        content = request["messages"][-1].get("content") or ""
        if isinstance(content, str):
            return content
        return "".join(part.get("text", "") for part in (content[:1] if self.is_("parts-dropped") else content))

    def tokens(self, request: Any, messages: Any) -> list[str]:
        if "response_format" in request:
            return ["{}"] if self.is_("format-ignored") else ['{"city": "Paris",', ' "note": "x"}']
        return super().tokens(request, messages)

    def cut_at_stop(self, tokens: list[str], request: Any) -> tuple[list[str], str]:
        for stop in request.get("stop_sequences") or []:
            text = "".join(tokens)
            if self.is_("held-back-text-lost") and stop[:3] in text:
                tokens = [text[: text.index(stop[:3])]]
            if stop in text and not self.is_("stop-ignored"):
                kept = text[: text.index(stop) + (2 if self.is_("stop-leaks") else 0)]
                return re.findall(r"\s?\S+|\s", kept), "end" if self.is_("stop-not-told") else "stop"
        return tokens, "stop" if request.get("stop_sequences") and self.is_("always-stop-sequence") else "end"

    def wants_calls(self, request: Any) -> bool:
        choice = request.get("tool_choice")
        if not request.get("tools") or (choice == "NONE" and not self.is_("choice-none-ignored")):
            return False
        if choice == "REQUIRED" and self.is_("choice-required-ignored"):
            return False
        return bool(request["messages"][-1]["role"] != "tool")

    def calls(self, request: Any) -> list[Block]:
        return super().calls({**request, "tools": [tool["function"] for tool in request["tools"]]})

    def named(self, request: Any) -> str:
        return ""

    def one_call(self, request: Any) -> bool:
        return False

    # ---- Answers -----------------------------------------------------------------------------------------------------

    def usage(self, request: Any, said: int) -> Any:
        read = len(self.prompt(request).split()) + 4
        tokens = {"input_tokens": read, "output_tokens": said}
        usage = {"billed_units": {"input_tokens": read, "output_tokens": said}, "tokens": tokens}
        return {
            "no-usage": None,
            "usage-without-tokens": {"billed_units": tokens},
            "billed-in-part": {**usage, "billed_units": {"output_tokens": said}},
            "not-billed": {"tokens": tokens},
            "tokens-with-fractions": {"tokens": {name: float(count) for name, count in tokens.items()}},
        }.get(self.server.fault, usage)

    def call(self, kind: str, place: int, arguments: Any) -> dict[str, Any]:
        id = {"call-ids-same": "call_1", "call-id-missing": None}.get(self.server.fault, f"call_{place}")
        return {"id": id, "type": "function", "function": {"name": kind, "arguments": arguments}}

    def reason(self, reason: str) -> str:
        if self.is_("calls-end-otherwise") and reason == "call":
            return "COMPLETE"
        if self.is_("stop-odd") and reason == "stop":
            return "stop_sequence"
        return {"finish-odd": "done"}.get(self.server.fault, REASONS[reason])

    def whole(self, request: Any, blocks: list[Block], reason: str) -> Any:  # type: ignore[override]
        said = sum(len(parts) for _, parts in blocks) + (3 if self.is_("usage-differs") else 0)
        message: dict[str, Any] = {"role": "assistant"}
        contents = [{"type": kind, kind: "".join(parts)} for kind, parts in blocks if kind in ("text", "thinking")]
        calls = [self.call(kind, 0, "".join(parts)) for kind, parts in blocks if kind not in ("text", "thinking")]
        message |= {"tool_calls": calls} if calls else {"content": contents}
        answer = {
            "id": "w",
            "finish_reason": self.reason(reason),
            "message": message,
            "usage": self.usage(request, said),
        }
        if self.is_("whole-without-id"):
            del answer["id"]
        if self.is_("whole-is-text"):
            message["content"] = "".join(content["text"] for content in contents)
        return answer

    def typed(self, kind: str, index: int | None = None, **members: Any) -> None:
        name = {"unnamed": "", "name-other": "chat"}.get(self.server.fault, kind)
        value: dict[str, Any] = {} if self.is_("type-in-the-name-only") else {"type": kind}
        if index is not None and not self.is_("no-index"):
            value["index"] = index
        value |= members
        if self.is_("extra-members"):
            value["x_extra"] = {"a": [1]}
        if self.is_("done-in-the-clear"):
            self.event(value, name)
            return
        text = json.dumps(value, ensure_ascii=False).replace("[DONE]", "\\u005bDONE]")
        if self.is_("repr"):
            text = repr(value)
        line = f"event: {name}\n" if name else ""
        if self.is_("two-data-lines"):
            text = text.replace(", ", ",\ndata: ", 1)
        if self.is_("long-line"):
            text = text[:-1] + ', "pad": "' + "p" * (1 << 20) + '"}'
        data = f"{line}data: {text}\n\n".encode("latin-1" if self.is_("latin1") else "utf-8", "replace")
        if self.is_("latin1"):
            data = data.replace(b"Once", b"Onc\xe9")
        self.send(data.replace(b"\n", b"\r") if self.is_("cr-alone") else data)

    def say(self, request: Any, blocks: list[Block], reason: str) -> bool:
        fault = self.server.fault
        self.asked = request
        message = {
            "role": "user" if fault == "role-odd" else "assistant",
            "content": [],
            "tool_plan": "",
            "tool_calls": [],
        }
        id = {"id-missing": None}.get(fault, f"c{self.number}")
        for _ in range({"start-twice": 2, "no-start": 0}.get(fault, 1)):
            self.typed("message-start", id=id, delta={"message": message})
        contents = calls = 0
        if fault == "all-contents-first":
            for index in range(len(blocks)):
                self.typed("content-start", index, delta={"message": {"content": {"type": "text", "text": ""}}})
        for kind, parts in blocks:
            if kind in ("text", "thinking"):
                good = self.content(contents, kind, parts)
                contents += 1
            else:
                good = self.called(calls, kind, parts)
                calls += 1
            if not good:
                return self.failed() if self.fails == "crash" else self.error_inside(contents)
        if fault == "text-beside-calls" and calls:
            self.content(0, "text", ["I call."])
        if fault == "calls-beside-text" and not calls:
            self.called(0, "f", ["{}"])
        end = {"finish_reason": self.reason(reason), "usage": self.usage(request, self.record["tokens"])}
        if fault == "length-not-told" and reason == "length":
            end["finish_reason"] = "COMPLETE"
        for _ in range({"end-twice": 2, "no-end": 0}.get(fault, 1)):
            self.typed("message-end", delta=end)
        if fault == "late-event":
            self.typed("content-delta", 0, delta={"message": {"content": {"text": "!"}}})
        self.done()
        return self.finish()

    def done(self) -> None:
        fault = self.server.fault
        if fault != "no-done-mark":
            self.send(b"data: [DONE]\r\r" if fault == "cr-alone" else b"data: [DONE]\n\n")
        if fault == "done-twice":
            self.send(b"data: [DONE]\n\n")
        if fault == "data-after-done":
            self.send(b'data: {"type": "debug"}\n\n')

    def content(self, index: int, kind: str, parts: list[str]) -> bool:
        fault = self.server.fault
        first = parts[0] if fault == "text-in-start" else ""
        if fault != "no-content-start":
            self.typed("content-start", index, delta={"message": {"content": {"type": kind, kind: first}}})
        for part in parts[bool(first) :]:
            if not self.token():
                return False
            content = {"text-null": {kind: None}, "text-flat": part}.get(fault, {kind: part})
            self.typed("content-delta", 0 if fault == "one-index" else index, delta={"message": {"content": content}})
        if fault != "no-content-end":
            self.typed("content-end", index)
        return True

    def called(self, index: int, kind: str, parts: list[str]) -> bool:
        fault = self.server.fault
        place = {"calls-from-one": index + 1, "one-call-index": 0}.get(fault, index)
        call = self.call(kind, index, parts[0] if fault == "arguments-in-start" else "")
        start: Any = [call] if fault == "calls-a-list" else call
        self.typed("tool-call-start", place, delta={"message": {"tool_calls": start}})
        for part in parts[fault == "arguments-in-start" :]:
            if not self.token():
                return False
            more = {"id": f"call_{index}"} if fault == "id-again" else {}
            delta = {**more, "function": {"arguments": part}}
            self.typed("tool-call-delta", place, delta={"message": {"tool_calls": delta}})
        if fault != "no-call-end":
            self.typed("tool-call-end", place)
        return True

    def error_inside(self, contents: int) -> bool:
        fault = self.server.fault
        if contents and fault != "error-while-open":
            self.typed("content-end", contents - 1)
        end: Any = {"finish_reason": "ERROR", "error": "failed", "usage": self.usage(self.asked, 3)}
        end |= {
            "error-told-as-complete": {"finish_reason": "COMPLETE"},
            "error-without-words": {"error": None},
            "error-without-usage": {"usage": None},
        }.get(fault, {})
        self.typed("message-end", delta=end)
        if fault == "text-after-error":
            self.event({"message": "failed"}, "error")
        if fault == "content-after-error":
            self.typed("content-delta", 0, delta={"message": {"content": {"text": "more"}}})
        self.done()
        return False if fault == "error-then-cut" else self.finish()


CONVERSATIONS["cohere"] = CohereServer

COHERE_FAULTS: dict[str, str] = {
    "type-in-the-name-only": "types",
    "name-other": "names",
    "repr": "json",
    "two-data-lines": "one-line",
    "cr-alone": "no-cr",
    "done-in-the-clear": "done-in-text",
    "done-twice": "done-last",
    "data-after-done": "done-last",
    "start-twice": "start-first",
    "no-start": "start-first start-shape",
    "id-missing": "start-shape",
    "role-odd": "start-shape",
    "no-content-start": "content-order",
    "no-content-end": "content-order",
    "one-index": "content-order",
    "all-contents-first": "content-order",
    "no-index": "content-order",
    "text-in-start": "content-start",
    "text-null": "delta-shape",
    "text-flat": "delta-shape",
    "no-end": "end-last",
    "end-twice": "end-last",
    "late-event": "end-last",
    "stays-open": "ends",
    "finish-odd": "finish-known",
    "stop-odd": "finish-known",
    "text-beside-calls": "not-mixed",
    "calls-beside-text": "not-mixed",
    "thinks-after": "thinking",
    "same-id-each-time": "ids-differ",
    "whole-differs": "text",
    "emoji-broken": "text",
    "one-delta": "several-deltas",
    "length-not-told": "max-tokens",
    "max-tokens-ignored": "max-tokens",
    "stop-ignored": "stop",
    "stop-leaks": "stop",
    "stop-not-told": "stop",
    "held-back-text-lost": "stop-unmatched",
    "always-stop-sequence": "stop-unmatched",
    "seed-ignored": "seed",
    "no-usage": "usage whole-usage",
    "usage-without-tokens": "usage",
    "usage-differs": "usage-whole",
    "billed-in-part": "billed-units",
    "call-id-missing": "call-start",
    "arguments-in-start": "call-start",
    "calls-a-list": "call-start",
    "id-again": "call-delta",
    "no-call-end": "call-order",
    "call-ids-same": "call-ids",
    "calls-from-one": "call-ids",
    "one-call-index": "call-ids",
    "arguments-broken": "call-arguments",
    "arguments-at-once": "call-fragments",
    "second-call-broken": "call-two",
    "calls-end-otherwise": "call-finish",
    "choice-none-ignored": "tool-choice",
    "choice-required-ignored": "tool-choice",
    "no-documents": "tool-result",
    "content-must-be-text": "turns",
    "parts-dropped": "turns",
    "known-fields-only": "unknown-field",
    "format-ignored": "json-mode",
    "always-streams": "whole",
    "whole-without-id": "whole",
    "whole-is-text": "whole",
    "openai-error": "error-shape",
    "error-is-an-object": "error-shape",
    "messages-unchecked": "error-request",
    "numbers-unchecked": "error-request",
    "model-not-named": "error-model",
    "any-key": "key",
    "error-told-as-complete": "error-in-stream",
    "error-without-words": "error-in-stream",
    "error-without-usage": "error-usage",
    "error-while-open": "error-in-stream",
    "text-after-error": "nothing-after-error",
    "content-after-error": "nothing-after-error",
    "error-then-cut": "nothing-after-error",
    "error-whole-200": "error-whole",
    "no-models": "models",
    "crosstalk": "fifty-at-once",
    "no-retry-after": "overload",
    "silent": "frame-keep-alive-in-silence",
}
COHERE_FAULTS = {fault: " ".join(f"cohere/{name}" for name in names.split()) for fault, names in COHERE_FAULTS.items()}
for _fault, _ids in shared_faults("cohere").items():
    COHERE_FAULTS[_fault] = f"{COHERE_FAULTS.get(_fault, '')} {_ids}".strip()
