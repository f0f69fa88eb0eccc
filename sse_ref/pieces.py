"""The words between a model and a wire: what is asked, and the pieces that answer it.

In:   nothing; these are the nouns that models, dialects, server and client share.
Out:  ``Prompt`` and its parts; ``Piece`` and its kinds.

A server reads a provider's request into a ``Prompt``, a model answers with pieces, and a dialect writes them as the
provider's events. A client goes the other way: it reads events into the same pieces. So models know no provider, and
providers' dialects know no model. From a model the pieces of an answer come in this order:

    Usage                                          how many tokens went in; none has come out
    Silence ...                                    the model is thinking: nothing to send yet
    for each choice, taking turns with the others:
        Reasoning ...                              what the model thinks before it answers, if it tells
        Text ... | Refusal ...                     the words of the answer, or those that decline it
        Call Fragment ... Call Fragment ...        or tool calls, each with its arguments in fragments
        End                                        why the choice ended
    Usage                                          how many tokens went in and came out

``choice`` counts the answers to one prompt, from 0. ``tokens`` is how many tokens of the model's work went into a piece:
more than one for an emoji, none for a piece that only announces something. From a model their sum is the number of
completion tokens; a client cannot know it, and counts one for each text and fragment. Of several usages the last one
counts. Delta, token, finish reason, reasoning and usage are words of the field, not of the HTML standard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Call", "End", "Fragment", "Message", "ModelFailure", "Piece", "Prompt", "Reasoning", "Refusal", "Said"]
__all__ += ["Schema", "Silence", "Text", "TokenLogprob", "Tool", "Usage", "Words"]

# ---- What goes in ----------------------------------------------------------------------------------------------------

Schema = Mapping[str, Any] | bool
"""A JSON schema (2020-12)."""


class Message(NamedTuple):
    """One turn of the conversation; ``role`` is "system", "user", "assistant" or "tool".

    ``name`` is that of the tool whose result it is, "" where it is not known.
    """

    role: str
    text: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; its arguments have to be valid for the JSON schema ``parameters``."""

    name: str
    parameters: Schema


@dataclass(frozen=True, slots=True)
class Prompt:
    """Everything that the answer depends on.

    ``tool_choice`` is "none", "auto" or "required"; to force one tool, pass it alone and require it. ``schema`` asks for
    JSON that is valid for it. ``top_logprobs`` asks for the log probability of each token and of so many of the options
    that the model had there, None for neither. ``max_tokens`` counts the tokens of each of the ``n`` choices; with ``n`` 0
    the answer is the usage alone. ``reasoning`` is False if the model must not think before it answers.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    schema: Schema | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    n: int = 1
    seed: int = 0
    temperature: float = 1.0
    top_logprobs: int | None = None
    reasoning: bool = True

    def last_text(self, role: str) -> str:
        """The text of the last message of this role, "" if there is none."""
        return next((message.text for message in reversed(self.messages) if message.role == role), "")


# ---- What comes out --------------------------------------------------------------------------------------------------

# Pieces are not frozen: there is one for each token, and making a frozen one takes three times as long.


class TokenLogprob(NamedTuple):
    """A token, the natural logarithm of its probability, and the most probable tokens at its place."""

    token: bytes
    logprob: float
    top: tuple[tuple[bytes, float], ...] = ()


@dataclass(slots=True)
class Words:
    """The next piece of what a choice says: whole characters. There are three kinds, and each makes a text of its own."""

    text: str
    choice: int = 0
    tokens: int = 1


@dataclass(slots=True)
class Text(Words):
    """The answer itself."""

    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(slots=True)
class Reasoning(Words):
    """What the model thinks before it answers."""


@dataclass(slots=True)
class Refusal(Words):
    """The words in which the model declines to answer."""


@dataclass(slots=True)
class Call:
    """A tool call begins. ``index`` counts the calls of the choice; ``id`` is "" where the model has none to give.

    On a wire the name or the id may come later than the beginning: then the same call is given again, with what has come.
    """

    index: int
    name: str
    id: str = ""
    choice: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Fragment:
    """The next fragment of the arguments of call ``index``; all fragments of a call together are one JSON text."""

    index: int
    arguments: str
    choice: int = 0
    tokens: int = 1


@dataclass(slots=True)
class End:
    """The last piece of a choice. ``reason`` is the finish reason: "stop", "length", "tool_calls", or another model's.

    ``stop`` is the stop string that ended the text, "" if none did. From a wire the reason comes as the provider words it.
    """

    reason: str
    choice: int = 0
    tokens: int = 0
    stop: str = ""


@dataclass(slots=True)
class Usage:
    """How many tokens went in and came out; None for a number that was not told.

    ``reasoning_tokens`` of those that came out are reasoning.
    """

    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Silence:
    """The model is thinking, for as long as a heartbeat takes."""

    tokens: int = 0


Said = Text | Reasoning | Refusal | Call | Fragment | End
"""The pieces of a choice."""

Piece = Said | Usage | Silence


class ModelFailure(Exception):
    """The model failed in the middle of an answer; nothing in the request was wrong."""
