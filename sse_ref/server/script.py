"""The script: which answer each request gets.

In:   answers, and what each request asks.
Out:  for each request its answer; at the end, what was left, and what had no answer.

Each request takes the first answer that is left and that fits:

    answers                                      requests take
    "Paris."                                     the first one this
    {"text": "Hi", "when": {"user": "hello"}}    the first whose last user message holds "hello"
    {"text": "...", "times": 3}                  the next three of the others
    {"text": "...", "times": null}               all that come after

``when`` says what a request must be: ``user`` and ``tool``, ``model`` and ``turn`` must all fit, where they are given.

    user     a text that the last message of the user holds
    tool     the name of the tool whose result is the last message
    model    the name of the model
    turn     1 for the first request of a conversation, 2 for the one that follows the first answer, ...

Nothing left, or nothing that fits, is a 500 that shows the prompt and what was left: a test must not go on with a story. A
script in a process says it again when its server ends, and tells of answers that nobody took.

A script has a name and an address, so that tests side by side do not meet: ``PUT /answers/NAME`` sets it, and the base URL
``/answers=NAME/v1`` uses it.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sse_ref.errors import RequestError, fit
from sse_ref.pieces import Message, Tool
from sse_ref.server.answers import Answer, AnswerError, read_answers, read_json_answers

__all__ = ["Asked", "Script", "ScriptError", "Scripts", "fits"]

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MOST_SCRIPTS = 1000

# ---- What was asked --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for an answer, as it was understood and as it came. ``headers`` have lower-case names, and no key.

    >>> asked = Asked("chat", "m", (Message("user", "Hi"),), body=b'{"model": "m"}')
    >>> asked.json["model"], asked.turn, asked.messages[-1].text
    ('m', 1, 'Hi')
    """

    dialect: str
    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    stream: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        """The body as JSON. Raises ``ValueError`` if it was too long to be kept whole."""
        return json.loads(self.body)

    @property
    def turn(self) -> int:
        """1 for the first request of a conversation: one more than the answers that its messages hold, or follow from."""
        roles = [message.role for message in self.messages]
        goes_on = {("assistant", "assistant"), ("assistant", "tool"), ("tool", "tool")}  # within one turn
        pairs = zip(["user", *roles], roles, strict=False)
        return 1 + sum(role in ("assistant", "tool") and (before, role) not in goes_on for before, role in pairs)

    def last_text(self, role: str = "user") -> str:
        """The text of the last message of this role, "" if there is none."""
        return next((message.text for message in reversed(self.messages) if message.role == role), "")


def fits(condition: Any, asked: Asked) -> bool:
    """Whether a request is what an answer is for.

    >>> fits({"user": "Louvre", "turn": 1}, Asked("chat", "m", (Message("user", "Where is the Louvre?"),)))
    True
    """
    if condition is None:
        return True
    if callable(condition):
        return bool(condition(asked))
    last = asked.messages[-1] if asked.messages else Message("user", "")
    text, tool = asked.last_text("user"), last.name if last.role == "tool" else None
    return (
        condition.get("user", "") in text
        and condition.get("tool", tool) == tool
        and condition.get("model", asked.model) == asked.model
        and condition.get("turn", asked.turn) == asked.turn
    )


# ---- A script --------------------------------------------------------------------------------------------------------


class ScriptError(AssertionError):
    """A test whose requests and answers did not go together; the message says which."""


class Script:
    """Answers, and which of them are left. Requests may take them from several threads.

    >>> script = Script(["Paris."])
    >>> asked = Asked("chat", "m", (Message("user", "Where is the Louvre?"),))
    >>> script.take(asked).text
    'Paris.'
    >>> script.take(asked)
    Traceback (most recent call last):
    sse_ref.errors.RequestError: the script has no answer for 'Where is the Louvre?' (turn 1); no answer is left
    """

    def __init__(self, answers: Any = ()) -> None:
        self.lock = threading.Lock()
        self.left: list[tuple[Answer, int | None]] = []  # each with how often it is left
        self.taken: set[int] = set()  # the ids of answers that were given at least once
        self.misses: list[str] = []
        self.add(answers)

    def add(self, answers: Any) -> None:
        """Add answers to the end. Raises ``AnswerError``."""
        read = [(answer, answer.times) for answer in read_answers(answers)]
        with self.lock:
            self.left += read

    def take(self, asked: Asked) -> Answer:
        """The answer to a request. Raises ``RequestError``, loudly, if there is none."""
        with self.lock:
            for place, (answer, times) in enumerate(self.left):
                if fits(answer.when, asked):
                    self.taken.add(id(answer))
                    self.left[place : place + 1] = [(answer, times and times - 1)] if times != 1 else []
                    return answer
            prompt = fit(asked.last_text("user"), 100)
            left = "; ".join(str(answer) for answer, _ in self.left[:5]) or "no answer is left"
            more = f"; and {len(self.left) - 5} more" if len(self.left) > 5 else ""
            what = f"left are {left}{more}" if self.left else left
            problem = f"the script has no answer for {prompt!r} (turn {asked.turn}); {what}"
            self.misses.append(problem)
        raise RequestError("failed", problem)

    def as_json(self) -> dict[str, Any]:
        """What is left, and the requests that had no answer."""
        with self.lock:
            left = [{"answer": str(answer), "times": times} for answer, times in self.left]
            return {"left": left, "missed": list(self.misses)}

    def check(self, *, all_used: bool = True) -> None:
        """Raise ``ScriptError`` if a request had no answer, or if answers were not taken as often as they should be."""
        unused = [str(answer) for answer, times in self.left if times is not None]
        if self.misses:
            raise ScriptError("\n".join(self.misses))
        if all_used and unused:
            raise ScriptError(f"answers that nobody asked for: {'; '.join(unused)}")


class Scripts:
    """The scripts of a server by name; the unnamed one, if there is one, answers where no name is given."""

    def __init__(self, unnamed: Script | None = None) -> None:
        self.by_name: dict[str, Script] = {} if unnamed is None else {"": unnamed}
        self.lock = threading.Lock()

    def at(self, name: str) -> Script | None:
        """The script of a name, None if the toy model answers. Raises ``RequestError`` for an unknown one."""
        script = self.by_name.get(name)
        if script is None and name:
            problem = f"there is no script {fit(name, 64)!r}: PUT /answers/{fit(name, 64)} sets it"
            raise RequestError("not_found", problem, param="answers")
        return script

    def put(self, name: str, body: bytes) -> Script:
        """Set the script of a name from JSON: a list of answers. Raises ``RequestError`` with the path of what is wrong."""
        if not NAME.fullmatch(name):
            problem = "the name of a script has up to 64 letters, digits, dots, hyphens and underscores"
            raise RequestError("bad_request", problem)
        try:
            script = Script(read_json_answers(json.loads(body)))
        except AnswerError as error:
            raise RequestError("bad_request", str(error), param=error.path) from None
        except (ValueError, RecursionError):
            raise RequestError("bad_request", "the body must be JSON: a list of answers") from None
        with self.lock:
            if name not in self.by_name and len(self.by_name) >= MOST_SCRIPTS:
                raise RequestError("too_many", f"there are {MOST_SCRIPTS} scripts, which is the limit")
            self.by_name[name] = script
        return script
