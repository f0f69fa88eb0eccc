"""A server of OpenAI's Responses with one fault, on raw sockets, in this process. With the fault "" it is correct."""

from __future__ import annotations

from typing import Any

from broken.server import CONVERSATIONS, Refused
from broken.typed import Block, Typed, shared_faults

KINDS = {"text": "message", "thinking": "reasoning"}


class Responses(Typed):
    def refuse(self, error: Refused) -> bool:
        if error.status != 429:
            return super().refuse(error)
        more = [] if self.is_("no-retry-after") else ["Retry-After: 1"]
        return self.answer(429, {"error": {"message": "busy", "type": "requests", "param": None, "code": None}}, *more)

    def listed(self) -> Any:
        return {"object": "list", "data": []} if self.is_("no-models") else super().listed()

    def check(self, request: Any) -> None:
        given = request.get("input")
        if not given and not self.is_("input-unchecked"):
            raise Refused(400, *(["bad"] if self.is_("param-not-named") else ["input must not be empty", "input"]))
        if not isinstance(given, str | list):
            if not self.is_("types-unchecked", "input-unchecked"):
                raise Refused(400, "input must be a string or a list", "input")
            request["input"] = "x"
        for item in given if isinstance(given, list) else []:
            self.check_item(item)
        if isinstance(request.get("max_output_tokens"), str) or isinstance(request.get("tools"), str):
            if not self.is_("types-unchecked"):
                raise Refused(400, "a member has a wrong type", "tools")
            request |= {"max_output_tokens": 20, "tools": []}
        if self.is_("no-instructions") and "instructions" in request:
            raise Refused(400, "unknown parameter", "instructions")

    def check_item(self, item: Any) -> None:
        kind = item.get("type")
        if self.is_("type-needed") and kind is None:
            raise Refused(400, "an item has no type", "input")
        if self.is_("no-output-as-input") and "status" in item and kind == "message":
            raise Refused(400, "unknown parameter: status", "input")
        if self.is_("no-call-results") and kind == "function_call_output":
            raise Refused(400, "unknown item", "input")
        if self.is_("no-call-ids") and kind == "function_call_output" and "id" in item:
            raise Refused(400, "unknown parameter: id", "input")

    def prompt(self, request: Any) -> str:
        given = request["input"]
        if isinstance(given, str):
            return given
        content = given[-1].get("content", "") if given else ""
        return content if isinstance(content, str) else "".join(part["text"] for part in content)

    def tokens(self, request: Any, messages: Any) -> list[str]:
        if "text" in request:
            return ["{}"] if self.is_("format-ignored") else ['{"city":', ' "Paris"}']
        return super().tokens(request, messages)

    def wants_calls(self, request: Any) -> bool:
        choice = request.get("tool_choice") or "auto"
        if self.is_("calls-again") and request.get("tools"):
            return True
        if not request.get("tools") or (choice == "none" and not self.is_("tool-choice-none-ignored")):
            return False
        if choice == "required" and self.is_("tool-required-ignored"):
            return False
        given = request["input"]
        return isinstance(given, str)  # a list holds the results of calls

    def named(self, request: Any) -> str:
        choice = request.get("tool_choice")
        return str(choice["name"]) if isinstance(choice, dict) else ""

    def one_call(self, request: Any) -> bool:
        return request.get("parallel_tool_calls") is False

    # ---- The response ------------------------------------------------------------------------------------------------

    def response(self, request: Any, id: str) -> dict[str, Any]:
        response = {"id": id, "object": "response", "created_at": 1, "status": "in_progress", "output": []}
        response |= {"model": request["model"], "tools": request.get("tools") or [], "parallel_tool_calls": True}
        response |= {"tool_choice": "auto", "usage": None, "error": None, "incomplete_details": None}
        return {**response, "metadata": {} if self.is_("metadata-lost") else request.get("metadata") or {}}

    def usage(self, tokens: int, request: Any = None) -> Any:
        more = 0 if self.is_("instructions-not-counted") else len((request.get("instructions") or "").split())
        read = len(self.prompt(request).split()) + 1 + more
        usage: Any = {"input_tokens": read, "output_tokens": tokens, "total_tokens": read + tokens}
        usage["input_tokens_details"] = {"cached_tokens": 0}
        usage["output_tokens_details"] = {"reasoning_tokens": 0}
        return {
            "no-usage": None,
            "usage-does-not-add-up": {**usage, "total_tokens": read},
            "usage-without-details": {**usage, "output_tokens_details": None},
            "usage-of-chats": {"prompt_tokens": read, "completion_tokens": tokens, "total_tokens": read + tokens},
        }.get(self.server.fault, usage)

    def ended(self, request: Any, response: Any, reason: str, output: list[Any], tokens: int) -> dict[str, Any]:
        """The response at its end."""
        response |= {"status": "completed", "output": output, "usage": self.usage(tokens, request)}
        if reason == "length" and not self.is_("length-not-told"):
            why = "content_filter" if self.is_("length-reason-odd") else "max_output_tokens"
            response |= {"status": "incomplete", "incomplete_details": {"reason": why}}
        if self.is_("status-odd"):
            response["status"] = "done"
        return dict(response)

    def item(self, place: int, kind: str, text: str | None, number: int) -> dict[str, Any]:
        """An item: as it is added, without text; else as it is done."""
        status = "in_progress" if text is None else "completed"
        item: dict[str, Any] = {
            "id": f"it_{number}_{place}",
            "type": KINDS.get(kind, "function_call"),
            "status": status,
        }
        if kind == "text":
            part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
            return {**item, "role": "assistant", "content": [] if text is None else [part]}
        if kind == "thinking":
            return {**item, "summary": [] if text is None else [{"type": "summary_text", "text": text}]}
        call_id = "call_1" if self.is_("call-ids-same") else f"call_{number}_{place}"
        if self.is_("call-id-changes") and text is not None:
            call_id += "x"
        return {**item, "call_id": call_id, "name": kind, "arguments": text or ""}

    def whole(self, request: Any, blocks: list[Block], reason: str) -> Any:  # type: ignore[override]
        output = [self.item(place, kind, "".join(parts), 0) for place, (kind, parts) in enumerate(blocks)]
        said = sum(len(parts) for _, parts in blocks) + (3 if self.is_("usage-differs") else 0)
        response = self.ended(request, self.response(request, "resp_w"), reason, output, said)
        return {**response, "object": "answer"} if self.is_("whole-without-object") else response

    # ---- A stream ----------------------------------------------------------------------------------------------------

    def typed(self, kind: str, **members: Any) -> None:
        """The next event."""
        fault = self.server.fault
        value = {"type": kind, "sequence_number": self.count, **members}
        self.count += 1
        if fault == "numbers-from-one":
            value["sequence_number"] += 1
        if fault == "no-numbers":
            del value["sequence_number"]
        if fault == "no-type":
            del value["type"]
        for name in ("item_id", "output_index", "content_index"):
            if fault == f"no-{name.replace('_', '-')}":
                value.pop(name, None)
        if fault == "extra-members":
            value["x_extra"] = {"a": [1]}
        self.event(value, {"unnamed": "", "odd-name": "chunk"}.get(fault, kind))

    def say(self, request: Any, blocks: list[Block], reason: str) -> bool:
        fault, self.count = self.server.fault, 0
        id = f"resp_{self.number}"
        response = self.response(request, id)
        first = {"created-bare": {"id": id, "object": "response"}, "created-with-status": {**response, "status": "new"}}
        first["queued"] = {**response, "status": "queued"}
        for _ in range({"no-created": 0, "created-twice": 2}.get(fault, 1)):
            self.typed("response.created", response=first.get(fault, response))
        if fault == "queued":
            self.typed("response.queued", response=first["queued"])
        if fault == "numbered-keepalive":
            self.typed("keepalive")
        if fault != "no-in-progress":
            self.typed("response.in_progress", response=response)
        if fault == "id-changes":
            response["id"] += "x"
        output: list[Any] = []
        for place, (kind, parts) in enumerate(blocks):
            if not self.block(place, kind, parts, output):
                return self.failed() if self.fails == "crash" else self.error_inside(response)
        if fault == "output-empty":
            output = []
        if fault == "output-other":
            output = [{**item, "id": "other"} for item in output]
        if fault == "last-item-lost":
            output = output[:1]
        if fault == "done-as-completed":
            self.send(b"data: [DONE]\n\n")
            return self.finish()
        last = self.ended(request, response, reason, output, self.record["tokens"])
        if fault == "chat-event-at-end":
            self.event({"choices": []})
        for _ in range(2 if fault == "completed-twice" else 1):
            self.typed(f"response.{last['status']}", response=last)
        if fault == "delta-after-end":
            self.typed("response.output_text.delta", item_id="x", output_index=0, content_index=0, delta="!")
        if fault in ("done-mark", "done-mark-odd"):
            self.send(b"data: [DONE]\n\n" if fault == "done-mark" else b"data: [DONE] \n\n")
        return self.finish()

    def block(self, place: int, kind: str, parts: list[str], output: list[Any]) -> bool:
        """One item; False if the model failed in it."""
        fault = self.server.fault
        added = self.item(place, kind, None, self.number)
        index = place + 1 if fault == "index-from-one" else place
        if fault == "item-without-content":
            added.pop("content", None)
        if fault == "item-with-arguments" and kind not in KINDS:
            added["arguments"] = "{}"
        if fault == "item-without-call-id":
            added.pop("call_id", None)
        at = {"item_id": "other" if fault == "item-id-other" else added["id"], "output_index": index}
        if fault != "no-item-added":
            self.typed("response.output_item.added", output_index=index, item=added)
        half = len(parts) // 2 if fault == "two-parts" and kind == "text" and len(parts) > 1 else len(parts)
        texts = [some for some in (parts[:half], parts[half:]) if some or not half]
        for number, some in enumerate(texts):
            if not self.part(kind, at, number, some):
                return False
        item = self.item(place, kind, "".join(parts), self.number)
        if len(texts) > 1:
            item["content"] = [{**item["content"][0], "text": "".join(some)} for some in texts]
        if fault == "item-never-completed" and kind not in KINDS:
            item["status"] = "in_progress"
        if fault != "no-item-done":
            self.typed("response.output_item.done", output_index=index, item=item)
        output.append(item)
        return True

    def part(self, kind: str, at: dict[str, Any], number: int, parts: list[str]) -> bool:
        """The deltas of a text or a call, and what comes whole after them; False if the model failed."""
        fault = self.server.fault
        deltas = {"text": "response.output_text", "thinking": "response.reasoning_summary_text"}
        name = deltas.get(kind, "response.function_call_arguments")
        at = {**at, **{"text": {"content_index": number}, "thinking": {"summary_index": 0}}.get(kind, {})}
        if kind == "text" and fault != "no-part-added":
            self.typed("response.content_part.added", **at, part={"type": "output_text", "text": "", "annotations": []})
        if fault == "optional-events" and kind == "text":
            self.typed("response.output_text.annotation.added", **at, annotation_index=0, annotation={"type": "x"})
        for part in parts:
            if not self.token():
                return False
            delta: Any = {"delta-null": None, "delta-an-object": {"text": part}}.get(fault, part)
            self.typed(f"{name}.delta", **at, delta=delta, **({"logprobs": []} if kind == "text" else {}))
        text = "".join(parts)
        done = text[:-2] if fault == "done-differs" else text
        self.typed(f"{name}.done", **at, **({"text": done} if kind in KINDS else {"name": kind, "arguments": done}))
        if kind == "text":
            self.typed("response.content_part.done", **at, part={"type": "output_text", "text": text})
        return True

    def error_inside(self, response: Any) -> bool:
        fault = self.server.fault
        error: Any = {"code": "server_error", "message": "failed"}
        if fault == "error-without-message":
            error = None
        if fault == "error-without-its-code":
            del error["code"]
        if fault == "error-as-chats":
            self.event({"error": error})
        elif fault == "error-flat":
            self.typed("error", code="server_error", message="failed", param=None)
        elif fault != "error-swallowed":
            self.typed("response.failed", response={**response, "status": "failed", "error": error})
        if fault == "content-after-error":
            self.typed("response.output_text.delta", item_id="x", output_index=0, content_index=0, delta="more")
        if fault in ("completed-after-error", "error-swallowed"):
            self.typed("response.completed", response={**response, "status": "completed"})
        return False if fault == "error-then-cut" else self.finish()

    def begin(self, model: str, long: bool, record: dict[str, Any]) -> None:
        if self.is_("keepalive-event"):
            self.heartbeat = b'event: keepalive\ndata: {"type": "keepalive"}\n\n'
        super().begin(model, long, record)


CONVERSATIONS["openai-responses"] = Responses

RESPONSES_FAULTS: dict[str, str] = {
    "keepalive-event": "silence",
    "no-type": "types",
    "odd-name": "types",
    "done-mark-odd": "json",
    "numbers-from-one": "numbers",
    "no-numbers": "numbers",
    "no-created": "created",
    "created-twice": "created",
    "no-in-progress": "in-progress",
    "created-bare": "created-shape",
    "created-with-status": "created-shape",
    "id-changes": "same-id",
    "same-id-each-time": "ids-differ",
    "no-item-added": "item-added",
    "index-from-one": "item-added",
    "item-without-content": "item-shape",
    "item-with-arguments": "item-shape",
    "item-without-call-id": "item-shape",
    "no-part-added": "part-added",
    "no-output-index": "indexes",
    "no-content-index": "indexes",
    "no-item-id": "item-id",
    "item-id-other": "item-id",
    "delta-null": "delta-string",
    "delta-an-object": "delta-string",
    "one-delta": "several-deltas",
    "done-differs": "text-done call",
    "no-item-done": "text-done call reasoning",
    "thinks-after": "reasoning",
    "done-as-completed": "ends-once",
    "completed-twice": "ends-once",
    "delta-after-end": "ends-once",
    "chat-event-at-end": "types",
    "status-odd": "completed",
    "output-empty": "output",
    "output-other": "output",
    "no-usage": "usage",
    "usage-does-not-add-up": "usage",
    "usage-without-details": "usage-details",
    "usage-of-chats": "usage",
    "usage-differs": "usage-same",
    "stays-open": "ends",
    "max-tokens-ignored": "incomplete",
    "length-not-told": "incomplete",
    "length-reason-odd": "incomplete",
    "item-never-completed": "call",
    "arguments-broken": "call-arguments",
    "second-call-broken": "call-arguments",
    "arguments-at-once": "call-fragments",
    "call-ids-same": "call-ids",
    "call-id-changes": "call-ids",
    "last-item-lost": "call-two",
    "tool-choice-none-ignored": "call-none",
    "tool-required-ignored": "call-required",
    "tool-named-ignored": "call-named",
    "parallel-anyway": "call-one",
    "no-call-results": "call-result",
    "no-call-ids": "call-result",
    "calls-again": "call-result call-none",
    "type-needed": "input",
    "no-output-as-input": "input",
    "no-instructions": "instructions",
    "instructions-not-counted": "instructions",
    "format-ignored": "format",
    "emoji-broken": "text",
    "echo-loses-controls": "text",
    "whole-differs": "text",
    "always-streams": "whole",
    "whole-without-object": "whole",
    "metadata-lost": "metadata",
    "known-fields-only": "other-fields",
    "error-without-code": "error-shape",
    "error-is-text": "error-shape",
    "bad-json-500": "error-json error-shape",
    "input-unchecked": "error-input",
    "param-not-named": "error-input",
    "types-unchecked": "error-types",
    "error-without-message": "error-in-stream",
    "error-without-its-code": "error-in-stream",
    "error-as-chats": "error-in-stream",
    "error-swallowed": "error-in-stream nothing-after-error",
    "content-after-error": "nothing-after-error",
    "completed-after-error": "nothing-after-error",
    "error-then-cut": "nothing-after-error",
    "error-whole-200": "error-whole",
    "crosstalk": "fifty-at-once",
}
"""Faults of servers of Responses, each with the vectors that are made for it."""

RESPONSES_FAULTS = {fault: " ".join(f"responses/{id}" for id in ids.split()) for fault, ids in RESPONSES_FAULTS.items()}
for _fault, _ids in shared_faults("openai-responses").items():
    RESPONSES_FAULTS[_fault] = f"{RESPONSES_FAULTS.get(_fault, '')} {_ids}".strip()
