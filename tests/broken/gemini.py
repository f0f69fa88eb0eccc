"""A server of Gemini with one fault, on raw sockets, in this process. With the fault "" it is correct."""

from __future__ import annotations

import json
import re
from typing import Any

from broken.server import CONVERSATIONS, KEY, Refused
from broken.typed import MODELS, Block, Typed, shared_faults

LIST = re.compile(r"/(v1|v1beta)/models(?:/([^/:]+))?")
METHOD = re.compile(r"/(v1|v1beta)/models/([^/:]+)(?::|%3A)(\w+)")
STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 413: "INVALID_ARGUMENT"}
STATUSES |= {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}
REASONS = {"end": "STOP", "length": "MAX_TOKENS", "stop": "STOP", "call": "STOP"}


def camel(value: Any) -> Any:
    """The names of members in lowerCamelCase."""
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {re.sub(r"_(\w)", lambda match: match[1].upper(), name): camel(one) for name, one in value.items()}


class GeminiServer(Typed):
    heartbeat = b"\n"
    allowed = "x-goog-api-key, content-type"

    def route(self, body: bytes) -> bool:
        if self.method == "GET" and (listed := LIST.fullmatch(self.path)):
            if listed[1] == "v1" and self.is_("beta-only"):
                raise Refused(404, "no such path")
            return self.models(listed[2] or "")
        if self.method == "OPTIONS" or self.method != "POST" or self.path.endswith("/journal"):
            return super().route(body)
        self.check_key()
        self.check_type()
        match = METHOD.fullmatch(self.path)
        if not match or ("%3A" in self.path and self.is_("colon-only")) or (match[1] == "v1" and self.is_("beta-only")):
            raise Refused(404, "no such path")
        request = self.parse(body)
        if not isinstance(request, dict):
            raise Refused(400, "not an object")
        if self.is_("known-fields-only") and "ofTheFuture" in request:
            raise Refused(500, "crashed")
        if not self.is_("camel-case-only"):
            request["generationConfig"] = request.get("generationConfig") or request.get("generation_config") or {}
        config = request.setdefault("generationConfig", {})
        if not self.is_("camel-case-only"):
            config.setdefault("maxOutputTokens", config.get("max_output_tokens"))
        if self.is_("empty-config-refused") and config == {"maxOutputTokens": None}:
            raise Refused(400, "generationConfig is empty")
        if self.is_("no-snake-tools") and "tool_config" in request:
            raise Refused(400, "unknown field tool_config")
        request.setdefault("toolConfig", camel(request.get("tool_config")))
        request["tools"] = camel(request.get("tools"))
        if self.is_("snake-tools-ignored") and b"function_declarations" in body:
            request["tools"] = []
        if self.is_("no-tools") and request.get("tools"):
            raise Refused(400, "this model does not take tools")
        self.array = "alt=sse" not in self.query and match[3].startswith("stream")
        self.kind = "application/json" if self.array and not self.is_("no-array") else "text/event-stream"
        if match[3] == "countTokens":
            return self.answer(200, {"totalTokens": self.read_tokens(request)})
        if self.array and self.is_("no-array"):
            self.array = False
        whole = match[3] == "generateContent"
        return self.create(
            {**request, "model": match[2], "max_tokens": config.get("maxOutputTokens"), "stream": not whole}
        )

    def check_key(self) -> None:
        in_the_query = "" if self.is_("header-only") else self.query.rpartition("key=")[2]
        given = (
            self.headers.get("x-goog-api-key"),
            KEY if in_the_query and self.is_("any-query-key") else in_the_query,
        )
        if KEY not in given and not self.is_("any-key"):
            raise Refused(401, "no key, or a wrong one")

    def refuse(self, error: Refused) -> bool:
        message = "not found" if self.is_("model-not-named") else str(error)
        value: Any = {"code": error.status, "message": message, "status": STATUSES[error.status]}
        value |= {"code-a-string": {"code": str(error.status)}, "status-odd": {"status": "ERROR"}}.get(
            self.server.fault, {}
        )
        if self.is_("error-is-text"):
            value = message
        more = ["Retry-After: 1"] if error.status == 429 and not self.is_("no-retry-after") else []
        return self.answer(error.status, {"error": value}, *more)

    def models(self, name: str) -> bool:
        methods = ["countTokens"] if self.is_("methods-missing") else ["generateContent", "streamGenerateContent"]
        prefix = "" if self.is_("names-bare") else "models/"
        models = [{"name": prefix + model, "supportedGenerationMethods": methods} for model in MODELS]
        if not name:
            return self.answer(200, {"models": [] if self.is_("no-models") else models})
        if name not in MODELS and not self.is_("any-model-found"):
            raise Refused(404, "no such model")
        return self.answer(200, models[0])

    def check(self, request: Any) -> None:
        contents, config = request.get("contents"), request["generationConfig"]
        if (not isinstance(contents, list) or not contents) and not self.is_("contents-unchecked"):
            raise Refused(400, "contents is not specified")
        if not isinstance(contents, list) or not contents:
            request["contents"] = [{"parts": [{"text": "x"}]}]
        if (config.get("maxOutputTokens") or 1) < 0 and not self.is_("numbers-unchecked"):
            raise Refused(400, "maxOutputTokens is out of range")
        if (config.get("maxOutputTokens") or 1) < 0:
            request["max_tokens"] = 5
        if isinstance(config.get("topK"), float) and self.is_("whole-numbers-only"):
            raise Refused(400, "topK")
        if "role" not in request.get("systemInstruction", {"role": ""}) and self.is_("system-needs-a-role"):
            raise Refused(400, "role")
        if self.is_("role-required") and any("role" not in turn for turn in request["contents"]):
            raise Refused(400, "role")
        results = any("functionResponse" in part for turn in request["contents"] for part in turn["parts"])
        if results and self.is_("no-tool-results"):
            raise Refused(400, "role must be function")
        if request["model"] not in MODELS:
            raise Refused(404, f"the model {request['model']} does not exist")

    def prompt(self, request: Any) -> str:
        parts = request["contents"][-1]["parts"]
        return "".join(part.get("text", "") for part in (parts[:1] if self.is_("first-part-only") else parts))

    def read_tokens(self, request: Any) -> int:
        return len(self.prompt(request).split()) + 5

    def tokens(self, request: Any, messages: Any) -> list[str]:
        if "responseMimeType" in request["generationConfig"]:
            return ["{}"] if self.is_("format-ignored") else ['{"city": "Paris",', ' "note": "x"}']
        return super().tokens(request, messages)

    def cut_at_stop(self, tokens: list[str], request: Any) -> tuple[list[str], str]:
        for stop in request["generationConfig"].get("stopSequences") or []:
            text = "".join(tokens)
            if self.is_("held-back-text-lost") and stop[:3] in text:
                tokens = [text[: text.index(stop[:3])]]
            if stop in text and not self.is_("stop-ignored"):
                return re.findall(r"\s?\S+|\s", text[: text.index(stop) + (2 if self.is_("stop-leaks") else 0)]), "stop"
        return tokens, "end"

    def calling(self, request: Any) -> dict[str, Any]:
        return dict((request.get("toolConfig") or {}).get("functionCallingConfig") or {})

    def wants_calls(self, request: Any) -> bool:
        mode = self.calling(request).get("mode", "AUTO")
        if not request.get("tools") or (mode == "NONE" and not self.is_("mode-none-ignored")):
            return False
        if mode == "ANY" and self.is_("mode-any-ignored"):
            return False
        return not any("functionResponse" in part for part in request["contents"][-1]["parts"])

    def named(self, request: Any) -> str:
        return str((self.calling(request).get("allowedFunctionNames") or [""])[0])

    def one_call(self, request: Any) -> bool:
        return False

    def calls(self, request: Any) -> list[Block]:
        declared = [function for tool in request["tools"] for function in tool["functionDeclarations"]]
        if self.is_("no-json-schema") and "parametersJsonSchema" in declared[0]:
            raise Refused(400, "unknown field parametersJsonSchema")
        calls = super().calls({**request, "tools": declared})
        without_schema = self.is_("snake-schemas-ignored") and "parametersJsonSchema" in declared[0]
        return [(name, ["{}"]) for name, _ in calls] if without_schema else calls

    # ---- Answers -----------------------------------------------------------------------------------------------------

    def usage(self, request: Any, said: int, thought: int = 0) -> dict[str, Any]:
        read, fault = self.read_tokens(request), self.server.fault
        read += said if fault == "prompt-counts-on" else 0
        if fault == "usage-per-chunk":
            said = said % 2
        usage = {"promptTokenCount": read, "candidatesTokenCount": said, "totalTokenCount": read + said + thought}
        if fault == "usage-does-not-add-up":
            usage["totalTokenCount"] = read
        return {**usage, "thoughtsTokenCount": thought} if thought else usage

    def part(self, kind: str, text: str) -> dict[str, Any]:
        if kind == "text":
            return {"text": None if self.is_("text-null") else text}
        if kind == "thinking":
            return {"text": text} if self.is_("thoughts-unmarked") else {"text": text, "thought": True}
        args: Any = text if self.is_("args-a-string") else json.loads(text) if text.endswith("}") else {}
        return {"functionCall": {"name": kind, "args": args}}

    def whole(self, request: Any, blocks: list[Block], reason: str) -> Any:  # type: ignore[override]
        parts = [self.part(kind, "".join(texts)) for kind, texts in blocks]
        said = sum(len(texts) for kind, texts in blocks if kind != "thinking") + (3 if self.is_("usage-differs") else 0)
        candidate = {"content": {"parts": parts, "role": "model"}, "finishReason": REASONS[reason], "index": 0}
        if self.is_("whole-without-finish"):
            del candidate["finishReason"]
        return {
            "candidates": [candidate],
            "usageMetadata": self.usage(request, said),
            "modelVersion": "m",
            "responseId": "w",
        }

    def say(self, request: Any, blocks: list[Block], reason: str) -> bool:
        self.said = self.thought = 0
        self.asked, self.elements = request, 0
        fault = self.server.fault
        count = request["generationConfig"].get("candidateCount") or 1
        if fault == "one-candidate":
            count = 1
        for kind, texts in blocks:
            if kind not in ("text", "thinking") and fault != "calls-in-pieces":
                texts = ["".join(texts)]
            for number, text in enumerate(texts):
                if not self.token():
                    return self.failed() if self.fails == "crash" else self.error_inside()
                self.said += kind != "thinking"
                self.thought += kind == "thinking"
                for index in range(count):
                    early = {"finishReason": "STOP"} if fault == "finish-on-each" and number else {}
                    self.chunk(index, self.part(kind, text), **early)
        told = {"finish-odd": "eos", "finish-lower": "stop"}.get(fault, REASONS[reason])
        told = "OTHER" if fault == "calls-end-otherwise" and reason == "call" else told
        told = "STOP" if fault == "length-not-told" else told
        told = "LENGTH" if fault == "limit-odd" and reason == "length" else told
        for index in range(1 if fault == "second-does-not-end" else count):
            self.chunk(index, {"text": ""}, **({} if fault == "no-finish" else {"finishReason": told}))
        if fault == "content-after-finish":
            self.chunk(0, {"text": "!"})
        if fault == "usage-last":
            self.send_value({"usageMetadata": self.usage(request, self.said, self.thought)})
        if fault == "odd-chunk":
            self.send_value({"odd": 1})
        if fault == "done-mark":
            self.send(b"data: [DONE]\n\n")
        if self.array:
            self.send(b"]")
        return self.finish()

    def chunk(self, index: int, part: dict[str, Any], **more: Any) -> None:
        fault = self.server.fault
        content: Any = {"parts": [part], "role": {"role-missing": None, "role-odd": "assistant"}.get(fault, "model")}
        if fault == "parts-an-object":
            content["parts"] = part
        if fault == "final-without-content" and "finishReason" in more:
            content = {}
        place = {"index-from-one": index + 1, "index-absent": index or None}.get(fault, index)
        candidate = {"content": content, **more, **({} if place is None else {"index": place})}
        value: dict[str, Any] = {"candidates": [candidate]}
        if fault not in ("no-usage", "usage-last"):
            value["usageMetadata"] = self.usage(self.asked, self.said, self.thought)
        number = {"same-id-each-time": 1, "id-per-chunk": self.said + 100}.get(fault, self.number)
        more_members = {"xExtra": {"a": [1]}} if fault == "extra-members" else {}
        self.send_value({**value, "modelVersion": "m", "responseId": f"r{number}", **more_members})

    def send_value(self, value: Any) -> None:
        if self.array:
            self.send((b"," if self.elements else b"[") + json.dumps(value).encode())
            self.elements += 1
        elif self.is_("two-data-lines"):
            self.send(b"data: " + json.dumps(value).replace(", ", ",\ndata: ", 1).encode() + b"\n\n")
        elif self.is_("cr-alone"):
            self.send(b"data: " + json.dumps(value).encode() + b"\r\r")
        elif self.is_("blank-lines-anywhere"):
            self.send(b"\n\ndata: " + json.dumps(value).encode() + b"\n\n")
        else:
            self.event(value)

    def error_inside(self) -> bool:
        fault = self.server.fault
        error: Any = {"code": 500, "message": "failed", "status": "INTERNAL"}
        error |= {"inner-code-a-string": {"code": "500"}, "inner-no-status": {"status": None}}.get(fault, {})
        if fault == "finish-before-error":
            self.chunk(0, {"text": ""}, finishReason="STOP")
        value = {"error": "failed" if fault == "error-text-in-stream" else error}
        if fault == "error-second":
            value = {"responseId": "r", **value}
        if fault == "error-in-a-comment":
            self.send(b": failed\n\n")
        if fault != "error-swallowed":
            self.send_value(value)
        if fault == "text-after-error":
            self.send(b"data: oops\n\n")
        if fault == "content-after-error":
            self.chunk(0, {"text": "more"})
        return False if fault == "error-then-cut" else self.finish()


CONVERSATIONS["gemini"] = GeminiServer

GEMINI_FAULTS: dict[str, str] = {
    "no-space": "space-after-colon",
    "comments": "no-other-fields",
    "ids": "no-other-fields",
    "named-events": "no-other-fields",
    "error-in-a-comment": "no-other-fields",
    "two-data-lines": "one-line",
    "done-mark": "no-done",
    "cr-alone": "no-cr",
    "repr": "json",
    "silent": "silence",
    "stays-open": "ends",
    "no-finish": "one-finish",
    "beta-only": "v1",
    "colon-only": "colon",
    "no-array": "array",
    "buffers": "array-incremental",
    "always-streams": "whole",
    "whole-without-finish": "whole",
    "odd-chunk": "chunk-members",
    "text-null": "parts",
    "parts-an-object": "parts",
    "role-missing": "role",
    "role-odd": "role",
    "index-from-one": "index",
    "finish-on-each": "one-finish",
    "content-after-finish": "one-finish",
    "finish-odd": "finish-known",
    "finish-lower": "finish-known",
    "limit-odd": "finish-known",
    "usage-last": "finish-last",
    "whole-differs": "text",
    "emoji-broken": "text",
    "one-delta": "several-chunks",
    "same-id-each-time": "ids",
    "id-per-chunk": "ids",
    "one-candidate": "candidates",
    "second-does-not-end": "candidates",
    "thinks-after": "thoughts",
    "length-not-told": "max-tokens",
    "max-tokens-ignored": "max-tokens",
    "stop-ignored": "stop",
    "stop-leaks": "stop",
    "held-back-text-lost": "stop-unmatched",
    "system-needs-a-role": "system",
    "camel-case-only": "snake-case",
    "no-snake-tools": "snake-case-tools",
    "snake-tools-ignored": "snake-case-tools",
    "snake-schemas-ignored": "snake-case-tools",
    "first-part-only": "content-parts",
    "empty-config-refused": "empty-config",
    "whole-numbers-only": "float-top-k",
    "role-required": "no-role",
    "known-fields-only": "unknown-field",
    "format-ignored": "json-mode",
    "no-usage": "usage",
    "usage-does-not-add-up": "usage",
    "usage-per-chunk": "usage-cumulative",
    "prompt-counts-on": "usage-cumulative",
    "usage-differs": "usage-whole",
    "args-a-string": "call-whole",
    "arguments-broken": "call-arguments",
    "no-json-schema": "call-arguments",
    "second-call-broken": "call-two",
    "calls-end-otherwise": "call-finish",
    "mode-none-ignored": "tool-choice",
    "mode-any-ignored": "tool-choice",
    "tool-named-ignored": "tool-choice",
    "no-tool-results": "tool-result",
    "code-a-string": "error-shape",
    "error-is-text": "error-shape",
    "status-odd": "error-request error-model overload",
    "contents-unchecked": "error-request",
    "numbers-unchecked": "error-request",
    "model-not-named": "error-model",
    "any-key": "key",
    "header-only": "key-query",
    "any-query-key": "key-query",
    "error-text-in-stream": "error-in-stream",
    "inner-code-a-string": "error-in-stream",
    "inner-no-status": "error-in-stream",
    "error-second": "error-in-stream",
    "error-swallowed": "error-in-stream",
    "text-after-error": "nothing-after-error",
    "content-after-error": "nothing-after-error",
    "finish-before-error": "nothing-after-error",
    "error-then-cut": "nothing-after-error",
    "error-whole-200": "error-whole",
    "names-bare": "models",
    "methods-missing": "models",
    "no-models": "models",
    "any-model-found": "model-one",
    "crosstalk": "fifty-at-once",
    "no-retry-after": "overload",
}
GEMINI_FAULTS = {fault: " ".join(f"gemini/{name}" for name in names.split()) for fault, names in GEMINI_FAULTS.items()}
for _fault, _ids in shared_faults("gemini").items():
    GEMINI_FAULTS[_fault] = f"{GEMINI_FAULTS.get(_fault, '')} {_ids}".strip()
