"""What clients of typed events collect, with the faults that they have in common."""

import json

import client
from client import FAULT, Failure, Wrong, say


class Answer:
    """What both wires have in common. The text is collected in ``texts``, by whatever its event says of its place."""

    def __init__(self):
        self.texts, self.finish, self.usage, self.calls, self.deltas = {}, {}, None, [], 0
        self.done = self.begun = False
        self.chunks = 0
        self.refusal = ""

    @property
    def text(self):
        return "".join(self.texts.values())

    altered = client.Answer.altered

    def whole(self):
        return self.done and bool(self.finish)

    def take(self, kind, data):
        if self.done and FAULT not in ("reads-on", "done-mark-crash"):
            return
        if (not data and FAULT not in ("phantoms", "event-phantom", "blank-phantom")) or (
            data == "[DONE]" and FAULT != "done-mark-crash"
        ):
            if data and FAULT == "done-mark-ends":
                self.done = True
                self.finish = {0: "stop"}
            return
        if FAULT == "names-needed" and kind == "message":
            return
        if FAULT == "names-crash" and kind != "message":
            raise Wrong("an event with a name")
        if FAULT == "bom-and-names" and kind == "message":
            raise Wrong("an event without a name")
        try:
            value = json.loads(data)
        except ValueError:
            if kind == "error" and FAULT != "error-objects-only":
                raise Failure(data) from None
            if FAULT == "bad-json-skipped" or kind == "error":
                return
            raise Wrong(f"not JSON: {data[:40]}") from None
        if FAULT in ("names-needed", "names-count") and kind != "message":
            value["type"] = kind
        type = value.get("type") if FAULT != "names-count" else kind
        error = self.error_in(type, kind, value)
        if error is not None:
            if FAULT == "error-loses-text":
                self.texts = {}
            if FAULT in ("errors-ignored", f"errors-ignored-{type}"):
                return
            if FAULT == "late-errors-only" and not self.begun:
                return
            raise Failure("error" if FAULT == "error-message-lost" else error)
        self.chunks += 1
        self.begun = True
        self.kind = kind
        self.event(type, value)

    def error_in(self, type, kind, value):
        """The message of an error; None if it is none."""
        if FAULT == "named-errors-only" and kind != "error":
            return None
        if type == "error" or (value.get("error") and FAULT != "typed-errors-only" and "type" not in value):
            error = value.get("error") or value
            if FAULT == "error-nested-only" and "error" not in value:
                return None
            return str(error.get("message", error)) if isinstance(error, dict) else str(error)
        return None

    def add(self, place, text):
        if not isinstance(text, str):
            raise Wrong("a text is no string")
        if FAULT == "extra-lost" and place not in (0, None):
            return
        if FAULT == "counted-from-zero" and place != len(self.texts) - (place in self.texts):
            return
        text = self.altered(text)
        self.texts[place] = self.texts.get(place, "") + text
        if text and FAULT != "prints-at-the-end":
            self.deltas += 1
            if FAULT == "prints-utf8":
                text.encode()
            say(delta=text)

    def call(self, key, name, id, arguments=""):
        if FAULT == "calls-ignored" or (FAULT == "one-call" and self.calls):
            return
        if FAULT == "id-required" and not id:
            return
        known = [call for call in self.calls if call["key"] == key] if FAULT == "merges-calls" else []
        if not known:
            self.calls.append({"key": key, "id": id, "name": name, "arguments": arguments})

    def argue(self, key, part):
        calls = [call for call in self.calls if call["key"] == key]
        if FAULT == "last-call":
            calls = self.calls
        if calls:
            calls[-1]["arguments"] += part
