"""The toy model: a prompt in, pieces of answers out, one token after the other.

In:   a ``Prompt``: messages, tools, limits and a seed.
Out:  ``Piece`` values: text, the beginning of a tool call, fragments of its arguments, the end of a choice, the usage.

It costs nothing and always answers the same for the same model, prompt and seed. It knows no clock, no socket and no
provider: how fast tokens come, and how they look on the wire, is decided elsewhere.

What it shares with a real model is the shape of its work:

    source  ->  tokens  ->  text layer  ->  pieces
                bytes       whole characters, stop strings, the limit

Tokens are bytes, not characters. Words carry their leading space, long words come in parts, and a character outside the
vocabulary (here: beyond Latin letters) is written as one token per byte of its UTF-8 form, as the byte fallback of
SentencePiece tokenizers does. So a token can be a quarter of an emoji, and the text layer must hold it back until the
character is whole. It also holds back text that may be the beginning of a stop string.

This structure and these words are not the HTML standard's; chunk, delta, token, finish reason and usage are the field's.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from sse_ref.structured import Schema, SchemaError, write_example

__all__ = [
    "MODELS",
    "Call",
    "End",
    "Fragment",
    "Message",
    "ModelFailure",
    "Piece",
    "Prompt",
    "Reasoning",
    "Refusal",
    "Silence",
    "Text",
    "TokenChance",
    "Tool",
    "Usage",
    "count_tokens",
    "generate",
    "tokenize",
]

# ---- What goes in ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation; ``role`` is "system", "user", "assistant" or "tool"."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; its arguments have to be valid for the JSON schema ``parameters``."""

    name: str
    parameters: Schema


@dataclass(frozen=True, slots=True)
class Prompt:
    """Everything that the answer depends on.

    ``tool_choice`` is "none", "auto" or "required"; to force one tool, pass it alone and require it. ``schema`` asks for
    JSON that is valid for it. ``top_logprobs`` asks for the probabilities of the tokens and of so many alternatives, None
    for neither. ``max_tokens`` counts tokens of each of the ``n`` choices.
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

    def last_text(self, role: str) -> str:
        """The text of the last message of this role, "" if there is none."""
        return next((message.text for message in reversed(self.messages) if message.role == role), "")


# ---- What comes out --------------------------------------------------------------------------------------------------


class TokenChance(NamedTuple):
    """A token, the natural logarithm of its probability, and the most probable tokens at its place."""

    token: bytes
    logprob: float
    top: tuple[tuple[bytes, float], ...] = ()


# ``tokens`` is how many tokens of the model's work have gone into a piece: more than one for an emoji, none for a piece
# that only announces something. The sum over all pieces is the number of completion tokens. Pieces are not frozen, because
# there is one for each token and making a frozen one takes three times as long.


@dataclass(slots=True)
class Text:
    """The next piece of the text of a choice: whole characters."""

    text: str
    choice: int = 0
    tokens: int = 1
    chances: tuple[TokenChance, ...] = ()


@dataclass(slots=True)
class Reasoning:
    """The next piece of what the model thinks before it answers: whole characters, no part of the text."""

    text: str
    choice: int = 0
    tokens: int = 1


@dataclass(slots=True)
class Refusal:
    """The next piece of the words in which the model declines to answer: whole characters, no part of the text."""

    text: str
    choice: int = 0
    tokens: int = 1


@dataclass(slots=True)
class Call:
    """A tool call begins; ``index`` counts the calls of the choice, ``id`` is "" where the model has none to give.

    On a wire the name or the id may come later than the beginning: then the same call is given again, with what has come.
    """

    index: int
    name: str
    id: str = ""
    choice: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Fragment:
    """The next fragment of the arguments of call ``index``, which together are one JSON text."""

    index: int
    arguments: str
    choice: int = 0
    tokens: int = 1


@dataclass(slots=True)
class End:
    """The last piece of a choice. ``reason`` is "stop", "length" or "tool_calls", or what another model says."""

    reason: str
    choice: int = 0
    tokens: int = 0


@dataclass(slots=True)
class Usage:
    """The last piece of all: how many tokens went in and came out; None for a number that was not told."""

    prompt_tokens: int | None
    completion_tokens: int | None
    tokens: int = 0


@dataclass(slots=True)
class Silence:
    """The model thinks for as long as a heartbeat takes, and says nothing."""

    tokens: int = 0


Piece = Text | Reasoning | Refusal | Call | Fragment | End | Usage | Silence


class ModelFailure(Exception):
    """The model broke down in the middle of an answer; nothing in the request was wrong."""


# ---- Tokens ----------------------------------------------------------------------------------------------------------

# Latin letters up to U+024F are in the vocabulary, everything else beyond ASCII falls back to bytes.
_LETTER = "A-Za-z\u00c0-\u024f"
_TOKEN = re.compile(
    f" ?[{_LETTER}]{{1,7}}| ?[0-9]{{1,3}}|\n{{1,4}}|\r| {{1,8}}(?= )| ?[!-/:-@[-`{{-~]{{1,2}}|[\0-\x7f]|(.)", re.DOTALL
)


def tokenize(text: str) -> Iterator[bytes]:
    """Yield the tokens of a text; joined they are exactly its UTF-8 form.

    >>> list(tokenize("Streaming, caf\u00e9 \U0001f98a"))
    [b'Streami', b'ng', b',', b' caf\\xc3\\xa9', b' ', b'\\xf0', b'\\x9f', b'\\xa6', b'\\x8a']
    """
    for match in _TOKEN.finditer(text):
        token = match[0].encode()
        if match[1] is None:
            yield token
        else:
            yield from (bytes([byte]) for byte in token)


def count_tokens(prompt: Prompt) -> int:
    """The number of prompt tokens: those of the messages, and four for what marks each message's role and end."""
    count = 4 * len(prompt.messages)
    for message in prompt.messages:
        for match in _TOKEN.finditer(message.text):  # one by one: a call for megabytes would hold other threads up
            count += 1 if match[1] is None else len(match[1].encode())
    return count


# ---- The source of the answers ---------------------------------------------------------------------------------------

# Where braces stand, the model has a choice. What it prefers depends on the prompt, and how often it follows that
# preference on the temperature. The alternatives of a choice begin with different tokens.
OPENING = (
    "{Once|Long ago|Every evening}, {in a quiet harbor|at the edge of a forest|on a small island}, a"
    " {young|patient|quiet} {fox|lighthouse keeper|clockmaker} {waited for|listened to|wrote}"
    " {letters|stories|songs} that {came|arrived|travelled} one word at a time."
)
MIDDLE = (
    " {Nobody|No neighbor|Not even the mayor} knew {who|which friend} had {sent|begun} them.",
    " {First|At first} there was only {silence|a pause|the sound of rain}; then {a|one}"
    " {word|syllable|letter} appeared, and {another|a second} right behind it.",
    " “{Why wait|Who waits} for the whole page,” {she|they} said, “{when|if} the first line can"
    " {already|even now} make you {smile|think|hungry}?”",
    " {Sometimes|Now and then} a word was {cut|torn} in two by the {wind|tide|night train}, and {its|the"
    " two} halves had to be {kept|put side by side} until they {fit|met} again.",
    " {When|Whenever} nothing came for a while, a small {lamp|bell} {blinked|moved} to say: {still here|do not go}.",
    " {One|On a cold} {morning|evening} the {baker|postman} {asked|wanted} her to stop, and she"
    " {stopped|did}, {mid-sentence|halfway}, {without|in spite of} {regret|hurry}.",
    " {Over coffee|At the little café}, people {read|shared} the {pieces|fragments} aloud,"
    " {faster|slower} and {faster|slower}.",
    " {Some|A few} {lines|pages} were lost in a {storm|fog}, but each had a {number|mark}, so they could"
    " be {asked for|sent} again.",
)
ENDING = (
    " {And|In the end}, {when|after} the last {word|line} had come, there was a {clear|small} sign that"
    " {said|meant}: {done|finished}. 🦊"
)

_CHOICE = re.compile(r"( ?)\{([^}]*)\}")


def _prose(prompt: Prompt, choice: int) -> Iterator[TokenChance]:
    """A short story, with the probability of each of its tokens."""
    taste = random.Random(
        "\0".join([prompt.model, *(f"{message.role}\0{message.text}" for message in prompt.messages)])
    )
    dice = random.Random(f"{taste.random()} {prompt.seed} {choice}")
    template = OPENING + "".join(taste.sample(MIDDLE, 5)) + ENDING
    end = 0
    for match in _CHOICE.finditer(template):
        yield from map(_certain, tokenize(template[end : match.start()]))
        space, options = match.groups()  # a space before a word belongs to the word's token
        yield from _chosen([space + option for option in options.split("|")], prompt, taste, dice)
        end = match.end()
    yield from map(_certain, tokenize(template[end:]))


def _chosen(options: list[str], prompt: Prompt, taste: random.Random, dice: random.Random) -> Iterator[TokenChance]:
    """The tokens of one of the options, drawn as a language model draws: softmax of preferences over temperature."""
    preferences = [taste.gauss(0, 1) for _ in options]
    fate = dice.random()
    highest = max(preferences)
    # At temperature 0 the most preferred option is certain; a very small temperature comes to the same.
    weights = [math.exp((preference - highest) / max(prompt.temperature, 1e-9)) for preference in preferences]
    chances = [weight / sum(weights) for weight in weights]
    chosen = next((i for i, total in enumerate(itertools.accumulate(chances)) if fate < total), len(options) - 1)
    firsts = [next(tokenize(option)) for option in options]
    ranked = sorted(zip(firsts, map(_log, chances), strict=True), key=lambda pair: -pair[1])
    first, *others = tokenize(options[chosen])
    yield TokenChance(first, _log(chances[chosen]), tuple(ranked[: prompt.top_logprobs or 0]))
    yield from map(_certain, others)


@functools.lru_cache(4096)  # the same few tokens come again and again
def _certain(token: bytes) -> TokenChance:
    return TokenChance(token, 0.0, ((token, 0.0),))


def _log(chance: float) -> float:
    """The logarithm, but -100 for what cannot happen: JSON has no infinity."""
    return max(math.log(chance), -100.0) if chance > 0 else -100.0


def _echo(prompt: Prompt, choice: int) -> Iterator[TokenChance]:
    """The last user message, exactly."""
    return map(_certain, tokenize(prompt.last_text("user")))


def _story(prompt: Prompt, choice: int) -> Iterator[TokenChance]:
    """Prose, or JSON if that is asked for."""
    if prompt.schema is not None:
        return map(_certain, tokenize(write_example(prompt.schema, _seed(prompt, choice), of=prompt.n)))
    return _prose(prompt, choice)


def _broken(prompt: Prompt, choice: int) -> Iterator[TokenChance]:
    """The first half of an answer."""
    tokens = list(itertools.islice(_story(prompt, choice), prompt.max_tokens))
    yield from tokens[: len(tokens) // 2]
    raise ModelFailure("the toy model broke down in the middle of its answer, as toy-flaky always does")


THINKING = 3  # heartbeats that toy-slow stays silent

MODELS: dict[str, Callable[[Prompt, int], Iterator[TokenChance]]] = {
    "toy": _story,
    "toy-echo": _echo,
    "toy-slow": _story,
    "toy-flaky": _broken,
}
"""The models by name: each makes the tokens of one choice out of a prompt and the number of the choice."""


# ---- From tokens to pieces -------------------------------------------------------------------------------------------


def generate(prompt: Prompt) -> Iterator[Piece]:
    """Yield the pieces of the answer to ``prompt``; its choices take turns, one piece each.

    ``prompt.model`` must be a name in ``MODELS``. Raises ``ModelFailure`` in the middle (only ``toy-flaky`` does), and
    ``SchemaError`` instead of the first piece if no answer is written for a given schema.

    >>> prompt = Prompt("toy-echo", (Message("user", "Hi there"),))
    >>> [piece.text for piece in generate(prompt) if isinstance(piece, Text)]
    ['Hi', ' there']
    """
    prompt_tokens = count_tokens(prompt)
    if prompt.model == "toy-slow":
        yield from [Silence()] * THINKING
    completion_tokens = 0
    called = _called_tools(prompt)
    for piece in _taking_turns([_choice(prompt, choice, called) for choice in range(prompt.n)]):
        completion_tokens += piece.tokens
        yield piece
    yield Usage(prompt_tokens, completion_tokens)


def _taking_turns(choices: list[Iterator[Piece]]) -> Iterator[Piece]:
    if len(choices) == 1:
        return choices[0]
    turns = itertools.zip_longest(*choices)
    return (piece for turn in turns for piece in turn if piece is not None)


def _choice(prompt: Prompt, choice: int, called: list[Tool]) -> Iterator[Piece]:
    if called:
        return _calls(prompt, choice, called)
    return _text(prompt, choice, MODELS[prompt.model](prompt, choice))


def _text(prompt: Prompt, choice: int, tokens: Iterator[TokenChance]) -> Iterator[Piece]:
    """The text layer: holds back what is no whole character yet, and what may become a stop string."""
    limit, with_chances = prompt.max_tokens, prompt.top_logprobs is not None
    stops = [_Stop(text) for text in prompt.stop]
    held: list[Text] = []  # whole characters, but perhaps the beginning of a stop string
    length = 0  # of the text of the held pieces
    part, size = b"", 0  # the tokens of a character that is not whole yet, and how many they are
    chances: tuple[TokenChance, ...] = ()
    reason = "stop"
    for number, token in enumerate(tokens):
        if number == limit:
            reason = "length"
            break
        part += token.token
        size += 1
        if with_chances:
            chances += (token,)
        try:
            text = part.decode()
        except UnicodeDecodeError:
            continue
        piece = Text(text, choice, size, chances)
        part, size, chances = b"", 0, ()
        if not stops:
            yield piece
            continue
        held.append(piece)
        length += len(text)
        for position, character in enumerate(text, length - len(text) + 1):
            found = [len(stop.text) for stop in stops if stop.ends_with(character)]
            if found:
                before = _beginning(held, position - max(found))
                yield from before
                yield End("stop", choice, sum(piece.tokens for piece in held) - sum(piece.tokens for piece in before))
                return
        while held and length - len(held[0].text) >= max(stop.begun for stop in stops):
            length -= len(held[0].text)
            yield held.pop(0)
    yield from held
    yield End(reason, choice, size)


class _Stop:
    """A stop string, and how much of its beginning the text so far ends with (the matching of Knuth, Morris and Pratt)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.begun = 0
        # For each length of a beginning: the longest shorter beginning that it ends with.
        self.shorter = [0, 0]
        for character in text[1:]:
            length = self.shorter[-1]
            while length and text[length] != character:
                length = self.shorter[length]
            self.shorter.append(length + (text[length] == character))

    def ends_with(self, character: str) -> bool:
        """Take the next character of the text; True if the stop string is complete with it."""
        while self.begun and self.text[self.begun] != character:
            self.begun = self.shorter[self.begun]
        self.begun += self.text[self.begun] == character
        return self.begun == len(self.text)


def _beginning(pieces: list[Text], length: int) -> list[Text]:
    """The pieces up to a number of characters, the last of them cut if need be."""
    beginning = []
    for piece in pieces:
        if length <= 0:
            break
        beginning.append(replace(piece, text=piece.text[:length]))
        length -= len(piece.text)
    return beginning


# ---- Tools -----------------------------------------------------------------------------------------------------------


LOOKED_THROUGH = 16384  # characters of the last user message, for the names of tools


def _called_tools(prompt: Prompt) -> list[Tool]:
    """Which tools the model calls: those that the last user message names, or the first if it has to call one."""
    if not prompt.tools or prompt.tool_choice == "none":
        return []
    if prompt.tool_choice == "auto" and prompt.messages[-1].role == "tool":
        return []  # it has its results: now it answers
    question = prompt.last_text("user")[:LOOKED_THROUGH]
    places = [(re.search(rf"(?<!\w){re.escape(tool.name)}(?!\w)", question), tool) for tool in prompt.tools]
    named = [tool for _, tool in sorted(((place.start(), tool) for place, tool in places if place), key=lambda p: p[0])]
    if not named and prompt.tool_choice == "required":
        named = [prompt.tools[0]]
    return named if prompt.parallel_tool_calls else named[:1]


def _calls(prompt: Prompt, choice: int, tools: list[Tool]) -> Iterator[Piece]:
    texts = [
        _arguments(prompt, tool, f"{_seed(prompt, choice)} {i} {tool.name}", len(tools)) for i, tool in enumerate(tools)
    ]
    left = math.inf if prompt.max_tokens is None else prompt.max_tokens
    plain = replace(prompt, stop=(), max_tokens=None, top_logprobs=None)  # what cuts text does not cut arguments
    for index, (tool, text) in enumerate(zip(tools, texts, strict=True)):
        yield Call(index, tool.name, choice=choice)
        for piece in _text(plain, choice, map(_certain, tokenize(text))):
            if isinstance(piece, Text):
                if left < piece.tokens:
                    yield End("length", choice)
                    return
                left -= piece.tokens
                yield Fragment(index, piece.text, choice, piece.tokens)
    yield End("tool_calls", choice)


def _arguments(prompt: Prompt, tool: Tool, seed: str, calls: int) -> str:
    try:
        return write_example(tool.parameters, seed, of=prompt.n * calls)
    except SchemaError as error:
        raise SchemaError(f"the parameters of {tool.name[:64]}: {error.problem}", error.path) from None


def _seed(prompt: Prompt, choice: int) -> str:
    """What the values of a JSON answer depend on; at temperature 0 all choices are the same."""
    return f"{prompt.model} {_brief(prompt.last_text('user'))} {(prompt.seed, choice) if prompt.temperature else ''}"


@functools.lru_cache(1)  # it is asked for once for each tool of each choice
def _brief(text: str) -> str:
    return text if len(text) <= 1000 else f"{text[:1000]} {random.Random(text).random()}"
