"""A client of typed events with one fault: ``python typed_client.py PROFILE FAULT URL``; with "none" it is correct.

Connections, bytes and events are those of ``client.py``, and so are the faults there. Messages and Responses are read here.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import client
from answer import Answer
from client import FAULT, PROFILE, Failure, Wrong
from cohere_client import Cohere
from gemini_client import Gemini


class Messages(Answer):
    def event(self, type, value):
        if type == "message_start":
            self.open = {}
            self.usage = self.counted({}, value["message"].get("usage"))
        elif type == "content_block_start":
            self.start(value["index"], value["content_block"])
        elif type == "content_block_delta":
            self.delta(value["index"], value["delta"])
        elif type == "content_block_stop":
            self.stop(value["index"])
        elif type == "message_delta":
            self.message(value)
        elif type == "message_stop":
            self.done = True
            if FAULT == "reason-invented":
                self.finish.setdefault(0, "end_turn")
            self.end()
        elif FAULT == "unknown-crash" and type != "ping":
            raise Wrong(f"unknown event {type}")
        elif FAULT == "ping-crash":
            raise Wrong("ping")

    def start(self, index, block):
        kind = block["type"]
        if FAULT == "unknown-crash" and kind == "of_the_future":
            raise Wrong("unknown block")
        self.open[index] = kind
        if kind == "tool_use" or (kind == "server_tool_use" and FAULT == "server-tools-are-calls"):
            given = json.dumps(block["input"]) if block.get("input") and FAULT != "input-at-start-lost" else ""
            self.call(index, block["name"], block["id"], given)
        if kind == "redacted_thinking" and FAULT == "thinking-is-text":
            self.add(index, block["data"])

    def delta(self, index, delta):
        kind = delta["type"]
        if kind == "text_delta":
            if index not in self.open and FAULT == "starts-needed":
                return
            self.add(0 if FAULT not in ("counted-from-zero", "extra-lost") else index, delta["text"])
        elif kind == "input_json_delta":
            if delta["partial_json"]:
                self.argue(index, delta["partial_json"])
        elif FAULT == "thinking-is-text" and kind == "thinking_delta":
            self.add(0, delta["thinking"])
        elif FAULT == "unknown-crash" and "future" in kind:
            raise Wrong("unknown delta")

    def stop(self, index):
        if FAULT == "closed-calls-only":
            for call in self.calls:
                call["closed"] = call.get("closed") or call["key"] == index

    def message(self, value):
        if FAULT == "usage-required":
            value["usage"]["output_tokens"]
        self.usage = self.counted(self.usage or {}, value.get("usage"))
        reason = value["delta"].get("stop_reason")
        if FAULT == "known-reasons-only" and reason == "because":
            raise Wrong("unknown stop reason")
        if reason:
            chat = {"end_turn": "stop", "tool_use": "tool_calls"}
            self.finish[0] = chat.get(reason, reason) if FAULT == "reasons-of-chats" else reason
            if FAULT == "reasons-lost":
                self.finish[0] = "end_turn"
            if FAULT == "ends-at-the-reason":
                self.done = True
                self.end()

    def end(self):
        if FAULT == "closed-calls-only":
            self.calls = [call for call in self.calls if call.get("closed")]
        for call in self.calls:
            call["arguments"] = call["arguments"] or "{}"
            try:
                json.loads(call["arguments"])
            except ValueError:
                if FAULT == "mends-arguments":
                    call["arguments"] = "{}"
                elif FAULT != "merges-calls":
                    raise Wrong("arguments are not JSON") from None
        if FAULT == "empty-is-an-error" and not self.texts and not self.calls:
            raise Wrong("no content")

    def counted(self, before, usage):
        usage = usage or {}
        if FAULT == "usage-at-start-only" and before:
            return {**before, "completion_tokens": usage.get("output_tokens")}
        counts = {"prompt_tokens": usage.get("input_tokens"), "completion_tokens": usage.get("output_tokens")}
        if FAULT == "usage-summed":
            return {name: (before.get(name) or 0) + (count or 0) for name, count in counts.items()}
        return {name: before.get(name) if count is None else count for name, count in counts.items()}


class Responses(Answer):
    def __init__(self):
        super().__init__()
        self.ids, self.parts, self.created, self.final = {}, set(), False, ""

    def event(self, type, value):
        if FAULT == "numbers-needed" and "sequence_number" not in value:
            raise Wrong("no number")
        self.created = self.created or type == "response.created" or FAULT != "created-needed"
        if not self.created and "delta" in value:
            return
        item = value.get("item") or {}
        if type == "response.output_item.added":
            self.ids[self.key(value, item)] = item.get("type")
            self.item(self.key(value, item), item)
        elif type == "response.content_part.added":
            self.parts.add(value["item_id"])
        elif type == "response.output_text.delta":
            known = value["item_id"] in self.ids or FAULT != "items-needed"
            if FAULT == "known-members-only" and "obfuscation" in value:
                raise Wrong("unknown member")
            if FAULT == "first-part-only" and value["content_index"]:
                return
            if known and (value["item_id"] in self.parts or FAULT != "parts-needed"):
                self.add(0, value["delta"])
        elif type == "response.output_text.done":
            self.final = value["text"]
        elif type == "response.refusal.delta" and FAULT != "refusals-ignored":
            self.refusal += value["delta"]
        elif type == "response.reasoning_summary_text.delta" and FAULT == "thinking-is-text":
            self.add(0, value["delta"])
        elif type == "response.function_call_arguments.delta":
            self.argue(self.key(value, {}), value["delta"])
        elif type == "response.output_item.done":
            self.item_done(self.key(value, item), item)
        elif type in ("response.completed", "response.incomplete", "response.failed"):
            self.end(type, value["response"])
        elif FAULT == "unknown-crash" and not type.startswith("response."):
            raise Wrong(f"unknown event {type}")

    def key(self, value, item):
        """What an item is known by: its id, else its place."""
        if FAULT in ("by-place", "merges-calls"):
            return value["output_index"]
        return (
            item.get("id")
            or (value.get("item_id") if value.get("item_id") in self.ids else None)
            or value.get("output_index")
        )

    def item(self, key, item):
        if item.get("type") == "web_search_call" and FAULT == "server-tools-are-calls":
            self.call(key, "web_search", item["id"], "{}")
        if item.get("type") == "function_call" and (item.get("id") or FAULT != "item-ids-needed"):
            self.call(key, item["name"], item.get("call_id") or ("" if FAULT == "id-required" else item.get("id")))
        elif FAULT == "unknown-crash" and item.get("type") == "of_the_future":
            raise Wrong("unknown item")

    def item_done(self, key, item):
        if item.get("type") != "function_call" or FAULT == "deltas-only":
            return
        for call in [call for call in self.calls if call["key"] == key]:
            call["arguments"] = call["arguments"] or item["arguments"]

    def end(self, type, response):
        if type == "response.failed" and FAULT != "failed-is-complete":
            raise Failure("error" if FAULT == "error-message-lost" else response["error"]["message"])
        self.done = True
        output = response.get("output")
        if FAULT == "output-needed":
            output = response["output"]
        if FAULT == "dones-needed":
            self.texts = {0: self.final}
        if output is not None and FAULT not in ("deltas-only", "created-needed", "items-needed", "parts-needed"):
            self.last(output)
        usage = response.get("usage") or {}
        if FAULT == "usage-required":
            usage["input_tokens"], usage["output_tokens"]
        if FAULT == "details-required" and usage:
            usage["input_tokens_details"]
        self.usage = {"prompt_tokens": usage.get("input_tokens"), "completion_tokens": usage.get("output_tokens")}
        if FAULT == "incomplete-is-an-error" and type == "response.incomplete":
            raise Failure("incomplete")
        cut = type == "response.incomplete" and FAULT != "incomplete-is-stop"
        reason = (response.get("incomplete_details") or {}).get("reason")
        if FAULT == "incomplete-is-length" or reason == "max_output_tokens":
            reason = "length"
        self.finish[0] = reason if cut else "tool_calls" if self.calls else "stop"
        if FAULT == "status-as-reason":
            self.finish[0] = response["status"]

    def last(self, output):
        """What only the output at the end tells."""
        said = "".join(part.get("text", "") for item in output for part in item.get("content") or [])
        if not self.texts and said:
            self.add(0, said)
        if FAULT == "text-must-agree":
            assert said == self.text
        if FAULT == "output-needed":
            self.texts = {0: said}
        if not self.calls and FAULT not in ("output-calls-lost", "item-ids-needed", "id-required"):
            for number, item in enumerate(output):
                if item.get("type") == "function_call":
                    self.call(number, item["name"], item["call_id"], item["arguments"])


def end(outcome, answer, **more):
    if outcome == "truncated" and (
        FAULT in ("named-errors-only", "typed-errors-only")
        or (FAULT == "eof-is-complete-after-reason" and answer.finish)
    ):
        outcome = "complete"
    if FAULT in ("names-needed", "types-needed") and not answer.text:
        outcome = "complete"
    if outcome == "timeout" and PROFILE == "gemini" and answer.whole() and FAULT != "held-is-a-timeout":
        outcome = "complete"  # only the end of the body is missing
    client_end(outcome, answer, **more)


client_end = client.end
client.end = end
client.Answer = {"anthropic": Messages, "cohere": Cohere, "gemini": Gemini, "openai-responses": Responses}[PROFILE]

if FAULT == "bom-and-names":
    client.FAULT = "keeps-bom"


def main():
    client.chat()


if __name__ == "__main__":
    main()
