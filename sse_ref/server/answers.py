"""Answers that a tester chose, in place of the toy model's.

In:   Python values, or JSON.
Out:  ``Answer``: pieces for a dialect, an error before the stream, or a recorded stream.

    "Paris."                                                             a text, cut into tokens
    {"text": ["Par", "is."]}                                             the deltas themselves
    {"tools": [{"name": "get_weather", "arguments": {"city": "Paris"}}]}
    {"status": 503, "headers": {"Retry-After": "1"}, "times": 2}         an error before the stream, twice
    {"text": "Rain in Ber", "fault": "cut"}                              three tokens, and a connection that breaks
    {"text": "Rain in Berlin.", "fault": "cut", "at": 2}                 two tokens of it
    {"text": "Hello", "tps": 5, "when": {"user": "Hi"}}                  at a pace of its own, to who says Hi

One answer is the same on every wire, because it is made of pieces. ``fault`` comes ``at`` so many tokens of the answer, and
without ``at`` where it would end: all of its words have been sent by then.

``answers.schema.json`` describes the JSON form. What is wrong is refused when it is given, with its path.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

from sse_ref.errors import STATUSES, RequestError, fit
from sse_ref.model import count_tokens, cut_text, take_turns
from sse_ref.pieces import Call, End, Fragment, Piece, Prompt, Reasoning, Refusal, Text, Usage
from sse_ref.recording import Recording, RecordingError
from sse_ref.server.delivery import AT_LEAST, FAULTS, LEAST_HEARTBEAT, Delivery

__all__ = ["Answer", "AnswerError", "ScriptedError", "ToolCall", "read_answers", "read_json_answers"]

PACE = ("ttft", "tps", "jitter", "heartbeat", "split")
SAID = ("text", "reasoning", "refusal", "tools", "finish_reason")
CONDITIONS = {"user": str, "tool": str, "model": str, "turn": int}
USAGE = ("prompt_tokens", "completion_tokens", "reasoning_tokens")
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, 5.6.2

# ---- An answer -------------------------------------------------------------------------------------------------------


class AnswerError(ValueError):
    """An answer that cannot be given; ``path`` is where it is wrong."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


class ScriptedError(RequestError):
    """The error before the stream that an answer is: with a status that no error of the server has, and headers."""

    def __init__(self, kind: str, message: str, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(kind, message)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that a tester chose. Raises ``AnswerError`` if something in it is wrong.

    What it says:   ``text``, ``reasoning`` and ``refusal`` are strings, or lists of the deltas themselves; ``tools`` are
                    calls, each ``(name, arguments)`` or ``(name, arguments, id)``, where arguments are an object, or the
                    text itself. ``finish_reason`` is "stop", "length", "tool_calls", "content_filter" or the provider's;
                    ``usage`` has ``prompt_tokens``, ``completion_tokens`` and ``reasoning_tokens``. ``choices`` are
                    answers for the choices of a request for several.
    What is wrong:  a ``status`` from 400 to 599 with ``message`` and ``headers``, in place of a stream; or a ``fault`` (a
                    name in ``FAULTS``), ``at`` so many tokens, None for all of them.
    How it comes:   ``ttft``, ``tps``, ``jitter``, ``heartbeat`` and ``split`` as in the server's settings; None leaves
                    them as they are. ``replay`` is the path of a recording, ``speed`` how many times faster than it was,
                    0 for at once.
    To whom:        ``when``: a text that the last user message holds, an object with ``user``, ``tool``, ``model``,
                    ``turn``, or a function of the request (``Asked``). ``times``: how often, None for always.

    >>> Answer(tools=[("get_weather", {"city": "Paris"})]).tools[0].arguments
    '{"city":"Paris"}'
    >>> Answer(status=99)
    Traceback (most recent call last):
    sse_ref.server.answers.AnswerError: status: must be a whole number from 400 to 599
    """

    text: Any = ""
    _: KW_ONLY
    reasoning: Any = ""
    refusal: Any = ""
    tools: Any = ()
    finish_reason: str | None = None
    usage: Any = None
    choices: Any = ()
    status: int = 200
    message: str = "the server refused, as the script says"
    headers: Any = field(default_factory=dict)
    fault: str = ""
    at: int | None = None
    ttft: float | None = None
    tps: float | None = None
    jitter: float | None = None
    heartbeat: float | None = None
    split: int | None = None
    replay: Any = None
    speed: float = 1.0
    when: Any = None
    times: int | None = 1

    def __post_init__(self) -> None:
        for name in ("text", "reasoning", "refusal"):
            self._set(name, read_words(getattr(self, name), name))
        self._set("tools", tuple(read_call(call, f"tools[{i}]") for i, call in enumerate(listed(self.tools, "tools"))))
        self._set("choices", tuple(read_choices(self.choices)))
        self._set("headers", read_headers(self.headers))
        self._set("when", read_condition(self.when))
        self._set("usage", read_usage(self.usage))
        self.check_numbers()
        for name, kind in (("finish_reason", str | None), ("message", str), ("fault", str)):
            if not isinstance(getattr(self, name), kind):
                raise AnswerError(name, "must be a string")
        if self.fault and self.fault not in FAULTS:
            raise AnswerError("fault", f"must be one of {', '.join(FAULTS)}")
        if self.replay is not None:
            try:
                self._set("replay", read_recording(self.replay))
            except RecordingError as error:
                raise AnswerError("replay", str(error)) from None
        self.check_together()

    def _set(self, name: str, value: Any) -> None:
        """Put what was read in the place of what was given."""
        object.__setattr__(self, name, value)

    def check_numbers(self) -> None:
        """Raise ``AnswerError`` for a number that is none, or too large or small."""
        if self.status != 200:
            whole(self.status, "status", 400, 599)
        for name, least, most in (("at", 0, 10**9), ("split", 0, 10**9), ("times", 1, 10**9)):
            if getattr(self, name) is not None:
                whole(getattr(self, name), name, least, most)
        for name, limit in (("ttft", 1e6), ("tps", 1e9), ("jitter", 1), ("heartbeat", 1e6), ("speed", 1e9)):
            value = getattr(self, name)
            if value is not None and (type(value) not in (int, float) or not 0 <= value <= limit):
                raise AnswerError(name, f"must be a number from 0 to {limit:g}")
        if self.heartbeat and self.heartbeat < LEAST_HEARTBEAT:
            raise AnswerError("heartbeat", AT_LEAST)

    def check_together(self) -> None:
        """Raise ``AnswerError`` for members that contradict each other."""
        said = [name for name in ("text", "reasoning", "refusal", "tools", "choices") if getattr(self, name)]
        if self.status != 200 and (said or self.fault or self.replay):
            raise AnswerError("status", "an error before the stream holds nothing else of an answer")
        if self.replay and (said or self.fault):
            raise AnswerError("replay", "a recorded stream says what it says: give nothing beside it but its speed")
        if self.choices and len(said) > 1:
            raise AnswerError("choices", "what is said stands in the choices, not beside them")
        if self.text and self.refusal:
            raise AnswerError("refusal", "a choice answers or refuses, not both")
        if self.at is not None and not self.fault:
            raise AnswerError("at", "says when a fault comes: give the fault, too")
        if self.headers and self.status == 200:
            raise AnswerError("headers", "are those of an error before the stream: give its status, too")

    # ---- What it becomes ---------------------------------------------------------------------------------------------

    def refuse(self) -> None:
        """Raise the error before the stream, if the answer is one."""
        if self.status != 200:
            kinds = {status: kind for kind, status in STATUSES.items()}
            kind = kinds.get(self.status, "failed" if self.status >= 500 else "bad_request")
            raise ScriptedError(kind, self.message, self.status, self.headers)

    def pieces(self, prompt: Prompt) -> Iterator[Piece]:
        """The answer as a model would give it: for each choice of the prompt, its own or the same.

        >>> [type(piece).__name__ for piece in Answer("Hi there").pieces(Prompt("m", ()))]
        ['Usage', 'Text', 'Text', 'End', 'Usage']
        """
        answers = self.choices or (self,)
        given = self.usage or {}
        prompt_tokens = given.get("prompt_tokens", count_tokens(prompt))
        yield Usage(prompt_tokens, given.get("completion_tokens", 0), given.get("reasoning_tokens", 0))
        completion = reasoning = 0
        for piece in take_turns([answers[i % len(answers)].choice(i) for i in range(prompt.n)]):
            completion += piece.tokens
            reasoning += piece.tokens if isinstance(piece, Reasoning) else 0
            yield dataclasses.replace(piece, tokens=1) if isinstance(piece, End) and self.breaks_at_the_end else piece
        yield Usage(prompt_tokens, given.get("completion_tokens", completion), given.get("reasoning_tokens", reasoning))

    def choice(self, number: int) -> Iterator[Piece]:
        """The pieces of one choice."""
        for kind, words in ((Reasoning, self.reasoning), (Text, self.text), (Refusal, self.refusal)):
            for text, tokens in cut(words):
                yield kind(text, number, tokens)
        for index, call in enumerate(self.tools):
            yield Call(index, call.name, call.id, number)
            for text, tokens in cut(call.arguments):
                yield Fragment(index, text, number, tokens)
        yield End(self.finish_reason or ("tool_calls" if self.tools else "stop"), number)

    @property
    def breaks_at_the_end(self) -> bool:
        """Whether all tokens are sent before the fault comes: then the end of the choice counts as one more."""
        return bool(self.fault) and self.at is None

    def delivery(self, asked: Delivery, prompt: Prompt) -> Delivery:
        """How the answer comes: as the answer says, and as the request asks for the rest."""
        own = {name: getattr(self, name) for name in PACE if getattr(self, name) is not None}
        if self.fault:
            answers = self.choices or (self,)
            tokens = sum(piece.tokens for i in range(prompt.n) for piece in answers[i % len(answers)].choice(i))
            own |= {"fault": self.fault, "at": tokens if self.at is None else self.at}
        return dataclasses.replace(asked, **own)

    def __str__(self) -> str:
        """The answer in a message: what it says, cut short, and to whom."""
        words = self.text if isinstance(self.text, str) else "".join(self.text)
        called = ", ".join(f"{call.name}(...)" for call in self.tools)
        error = f"status {self.status}" if self.status != 200 else "a recorded stream" if self.replay else ""
        shown = error or (repr(fit(words, 60)) if words else called or "an empty answer")
        return f"{shown} when {self.when}" if self.when else shown


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool in an answer; ``id`` is "" where the dialect makes one."""

    name: str
    arguments: Any
    id: str = ""


def cut(words: str | Sequence[str]) -> Iterator[tuple[str, int]]:
    """The deltas of a text, each with its number of tokens.

    >>> list(cut("Hi there")), list(cut(["Hi there"]))
    ([('Hi', 1), (' there', 1)], [('Hi there', 1)])
    """
    return cut_text(words) if isinstance(words, str) else ((text, 1) for text in words)


# ---- Reading ---------------------------------------------------------------------------------------------------------


def read_answers(values: Any, path: str = "answers") -> list[Answer]:
    """Read answers: ``Answer``, a string for its text, or an object with the members of ``Answer``.

    >>> [answer.text for answer in read_answers(["Paris.", {"text": ["Ber", "lin."]}])]
    ['Paris.', ('Ber', 'lin.')]
    >>> read_answers([{"tools": [{"arguments": {}}]}])
    Traceback (most recent call last):
    sse_ref.server.answers.AnswerError: answers[0].tools[0].name: is missing
    """
    answers = []
    for number, value in enumerate(listed(values, path)):
        try:
            answers.append(read_answer(value))
        except AnswerError as error:
            place = f"{path}[{number}]"
            raise AnswerError(f"{place}.{error.path}" if error.path else place, error.problem) from None
    return answers


def read_answer(value: Any) -> Answer:
    """Read one answer."""
    if isinstance(value, Answer):
        return value
    if isinstance(value, str):
        return Answer(value)
    if not isinstance(value, Mapping):
        raise AnswerError("", "must be a text or an object")
    known = [member.name for member in dataclasses.fields(Answer) if member.name != "_"]
    for name in value:
        if name not in known:
            raise AnswerError(fit(str(name), 40), f"is unknown; there are {', '.join(known)}")
    text, rest = value.get("text", ""), {name: member for name, member in value.items() if name != "text"}
    return Answer(text, **rest)


def read_choices(values: Any) -> list[Answer]:
    """Read the answers for the choices of a request: each holds what is said, and nothing else."""
    values = listed(values, "choices")
    for number, value in enumerate(values):
        given: Iterable[str] = value if isinstance(value, Mapping) else ()
        if isinstance(value, Answer):
            plain = Answer()
            given = [name for name in Answer.__slots__ if getattr(value, name) != getattr(plain, name)]
        for name in given:
            if name not in SAID:
                place = f"choices[{number}].{fit(str(name), 40)}"
                raise AnswerError(place, f"is not for one choice; a choice has {', '.join(SAID)}")
    return read_answers(values, "choices")


def listed(value: Any, path: str) -> Sequence[Any]:
    """A list, or what can be one."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise AnswerError(path, "must be a list")
    return list(value)


def whole(value: Any, path: str, least: int, most: int) -> int:
    """A whole number."""
    if type(value) is not int or not least <= value <= most:
        raise AnswerError(path, f"must be a whole number from {least} to {most}")
    return value


def read_words(value: Any, path: str) -> str | tuple[str, ...]:
    """A text, or a list of deltas."""
    words = value if isinstance(value, str) else tuple(listed(value, path))
    for number, delta in enumerate([words] if isinstance(words, str) else words):
        place = path if isinstance(words, str) else f"{path}[{number}]"
        if not isinstance(delta, str):
            raise AnswerError(place, "must be a string")
        if any("\ud800" <= character <= "\udfff" for character in delta):
            raise AnswerError(place, "holds half a character (a lone surrogate), which UTF-8 cannot carry")
    return words


def read_call(value: Any, path: str) -> ToolCall:
    """A tool call: (name, arguments), (name, arguments, id), or an object with these members."""
    if isinstance(value, ToolCall):
        return value
    names = ("name", "arguments", "id")
    if isinstance(value, Mapping):
        unknown = next((name for name in value if name not in names), None)
        if unknown is not None:
            raise AnswerError(f"{path}.{fit(str(unknown), 40)}", f"is unknown; there are {', '.join(names)}")
        members = dict(value)
    elif isinstance(value, tuple | list) and 1 <= len(value) <= 3:
        members = dict(zip(names, value, strict=False))
    else:
        raise AnswerError(path, "must be (name, arguments), (name, arguments, id), or an object with these members")
    if "name" not in members:
        raise AnswerError(f"{path}.name", "is missing")
    for name in ("name", "id"):
        if not isinstance(members.get(name, ""), str) or (name == "name" and not members[name]):
            raise AnswerError(f"{path}.{name}", "must be a string that is not empty")
    arguments = members.get("arguments", {})
    if isinstance(arguments, Mapping):
        try:
            arguments = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AnswerError(f"{path}.arguments", f"cannot be written as JSON: {error}") from None
    return ToolCall(members["name"], read_words(arguments, f"{path}.arguments"), members.get("id", ""))


def read_headers(value: Any) -> dict[str, str]:
    """Headers of an error: names and values that HTTP can carry."""
    if not isinstance(value, Mapping):
        raise AnswerError("headers", "must be an object")
    for name, text in value.items():
        path = f"headers.{fit(str(name), 40)}"
        if not isinstance(name, str) or not re.fullmatch(TOKEN, name):
            raise AnswerError(path, "is no name of a header")
        if not isinstance(text, str) or not re.fullmatch(r"[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?|", text):
            raise AnswerError(path, "must be a string of printable ASCII characters")
        if name.lower() in ("content-length", "transfer-encoding", "connection"):
            raise AnswerError(path, "is the server's own")
    return dict(value)


def read_recording(source: Any) -> Recording:
    """A recording, from its lines or from the file of a path."""
    if isinstance(source, Recording):
        return source
    if not isinstance(source, str | Path):
        return Recording.read(source)
    try:
        lines = Path(source).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"{source} cannot be read: {error}") from None
    return Recording.read(lines)


def read_usage(value: Any) -> dict[str, int] | None:
    """Token counts that are told in place of the counted ones."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise AnswerError("usage", "must be an object")
    for name, count in value.items():
        if name not in USAGE:
            raise AnswerError(f"usage.{fit(str(name), 40)}", f"is unknown; there are {', '.join(USAGE)}")
        whole(count, f"usage.{name}", 0, 2**53)
    return dict(value)


def read_condition(value: Any) -> Any:
    """What a request must be: None for anything, a function, or an object of conditions."""
    if value is None or callable(value):
        return value
    if isinstance(value, str):
        value = {"user": value}
    if not isinstance(value, Mapping):
        raise AnswerError("when", "must be a text, an object of conditions, or in Python a function of the request")
    for name, wanted in value.items():
        if name not in CONDITIONS:
            raise AnswerError(f"when.{fit(str(name), 40)}", f"is unknown; there are {', '.join(CONDITIONS)}")
        if type(wanted) is not CONDITIONS[name]:
            raise AnswerError(f"when.{name}", f"must be a {'string' if CONDITIONS[name] is str else 'whole number'}")
    return dict(value)


def read_json_answers(values: Any) -> list[Answer]:
    """Read answers that a peer sends: it may not name files of this machine."""
    for number, value in enumerate(listed(values, "answers")):
        if isinstance(value, Mapping) and isinstance(value.get("replay"), str):
            raise AnswerError(
                f"answers[{number}].replay", "must be the lines of the recording: no file of the server is read"
            )
    return read_answers(values)
