"""The toy model: a prompt in, pieces of answers out, one token after the other.

In:   a ``Prompt``: messages, tools, limits and a seed.
Out:  pieces: reasoning, text, tool calls and their arguments, the end of each choice, the usage.

It costs nothing and always answers the same for the same model, prompt and seed. Pace and wire format are decided
elsewhere. What it shares with a real model is the shape of its work:

    source  ->  tokens  ->  text layer  ->  pieces
                bytes       whole characters, stop strings, the limit

**Tokens** are bytes, not characters. Words carry their leading space, long words come in parts, and a character outside the
vocabulary (here: beyond Latin letters) is written as one token per byte of its UTF-8 form, as the byte fallback of
SentencePiece tokenizers does. So a token can be a quarter of an emoji:

    b' caf\xc3\xa9'   b' '   b'\xf0'   b'\x9f'   b'\xa6'   b'\x8a'      the tokens of " café 🦊"
    ' café'            ' '   held     held     held     '🦊'      what the text layer gives

**Sampling.** Where the source has a choice between options, each has a score (a logit). At temperature T an option has the
probability

    exp(score / T)  /  sum of exp(score / T) over all options

and one is drawn. A low T makes the highest score ever more certain, and at 0 no other is drawn; a high T evens the
options out. The log probability that a client may ask for is the natural logarithm of this probability. The scores depend on
the prompt, the draw on prompt, seed and choice.

With the scores 1.0, 0.5 and -1.0, for example, the probabilities are

    T = 1      0.57   0.35   0.08
    T = 0.2    0.92   0.08   0.00
    T = 0      1      0      0

**Choices.** With ``n`` of them the model answers ``n`` times, with another draw for each, and the choices take turns, one
piece each, as a real server makes them side by side. At temperature 0 they are all the same.

**Stop strings** end the text before them, and may begin in one token and end in another. So text that may be the beginning
of one is held back, in whole pieces, until it is certain: for the stop string "END", of "the E" the text layer gives "the"
and holds " E". How much is held is known at each character by the matching of Knuth, Morris and Pratt, which looks at each
character once.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

from sse_ref.pieces import (
    Call,
    End,
    Fragment,
    ModelFailure,
    Piece,
    Prompt,
    Reasoning,
    Silence,
    Text,
    TokenLogprob,
    Tool,
    Usage,
)
from sse_ref.schema import SchemaError, write_example

__all__ = ["MODELS", "count_tokens", "cut_text", "generate", "take_turns", "tokenize"]

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


def cut_text(text: str) -> Iterator[tuple[str, int]]:
    """Yield the text as a model gives it: whole characters, and how many tokens they are.

    >>> list(cut_text("caf\u00e9 \U0001f98a"))
    [('caf\xe9', 1), (' ', 1), ('\U0001f98a', 4)]
    """
    for piece in _whole_characters(Prompt("", ()), 0, map(_certain, tokenize(text))):
        if isinstance(piece, Text):
            yield piece.text, piece.tokens


def count_tokens(prompt: Prompt) -> int:
    """The number of prompt tokens: those of the messages, and four for what marks each message's role and end.

    >>> from sse_ref.pieces import Message
    >>> count_tokens(Prompt("toy", (Message("user", "Hi there"),)))
    6
    """
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

THOUGHTS = (
    "{They ask|The question is}: “TOPIC”. {First|Let me see}, {what is|which answer is} wanted?"
    " {Something short|A few words} will do, {and|but} {it|they} must {fit|please}. {Good|Fine}: {that it is|so be it}."
)

_CHOICE = re.compile(r"( ?)\{([^}]*)\}")


def _prose(prompt: Prompt, choice: int) -> Iterator[TokenLogprob]:
    """A short story, with the probability of each of its tokens."""
    preferences = Random("\0".join([prompt.model, *(f"{message.role}\0{message.text}" for message in prompt.messages)]))
    random = Random(f"{preferences.random()} {prompt.seed} {choice}")
    return _sampled(OPENING + "".join(preferences.sample(MIDDLE, 5)) + ENDING, prompt, preferences, random)


def _thoughts(prompt: Prompt, choice: int) -> Iterator[TokenLogprob]:
    """What toy-thinker thinks of the question before it answers."""
    topic = " ".join(re.findall(r"\w+", prompt.last_text("user")[:200])[:6])
    preferences = Random(f"thoughts {topic}")
    return _sampled(THOUGHTS.replace("TOPIC", topic), prompt, preferences, Random(f"thoughts {prompt.seed} {choice}"))


def _sampled(template: str, prompt: Prompt, preferences: Random, random: Random) -> Iterator[TokenLogprob]:
    """The tokens of a text, with one of the options where braces stand: ``preferences`` score them, ``random`` draws."""
    end = 0
    for match in _CHOICE.finditer(template):
        yield from map(_certain, tokenize(template[end : match.start()]))
        space, options = match.groups()  # a space before a word belongs to the word's token
        scores = {space + option: preferences.gauss(0, 1) for option in options.split("|")}
        yield from _drawn(scores, prompt, random)
        end = match.end()
    yield from map(_certain, tokenize(template[end:]))


def _drawn(scores: dict[str, float], prompt: Prompt, random: Random) -> Iterator[TokenLogprob]:
    """The tokens of one of the options, drawn as a language model draws: softmax of the scores over the temperature."""
    draw = random.random()
    highest = max(scores.values())
    # At temperature 0 the option with the highest score is certain; a very small temperature comes to the same.
    weights = [math.exp((score - highest) / max(prompt.temperature, 1e-9)) for score in scores.values()]
    probabilities = [weight / sum(weights) for weight in weights]
    sums = enumerate(itertools.accumulate(probabilities))
    drawn = next((position for position, upper in sums if draw < upper), len(scores) - 1)
    firsts = [next(tokenize(option)) for option in scores]
    ranked = sorted(zip(firsts, map(_log, probabilities), strict=True), key=lambda pair: -pair[1])
    first, *others = tokenize(list(scores)[drawn])
    yield TokenLogprob(first, _log(probabilities[drawn]), tuple(ranked[: prompt.top_logprobs or 0]))
    yield from map(_certain, others)


@functools.lru_cache(4096)  # the same few tokens come again and again
def _certain(token: bytes) -> TokenLogprob:
    """A token that has no alternative."""
    return TokenLogprob(token, 0.0, ((token, 0.0),))


def _log(probability: float) -> float:
    """The logarithm, but -100 for what cannot happen: JSON has no infinity."""
    return max(math.log(probability), -100.0) if probability > 0 else -100.0


def _echo(prompt: Prompt, choice: int) -> Iterator[TokenLogprob]:
    """The last user message, exactly."""
    return map(_certain, tokenize(prompt.last_text("user")))


def _story(prompt: Prompt, choice: int) -> Iterator[TokenLogprob]:
    """Prose, or JSON if that is asked for."""
    if prompt.schema is not None:
        return map(_certain, tokenize(write_example(prompt.schema, _seed(prompt, choice), of=prompt.n)))
    return _prose(prompt, choice)


def _broken(prompt: Prompt, choice: int) -> Iterator[TokenLogprob]:
    """The first half of an answer."""
    tokens = list(itertools.islice(_story(prompt, choice), prompt.max_tokens))

    def first_half() -> Iterator[TokenLogprob]:
        yield from tokens[: len(tokens) // 2]
        raise ModelFailure("the toy model failed in the middle of its answer, as toy-flaky does")

    return first_half()


SILENCES = 3  # heartbeats that toy-slow stays silent

MODELS: dict[str, Callable[[Prompt, int], Iterator[TokenLogprob]]] = {
    "toy": _story,
    "toy-echo": _echo,
    "toy-slow": _story,
    "toy-flaky": _broken,
    "toy-thinker": _story,
}
"""The models by name: each makes the tokens of one choice out of a prompt and the number of the choice."""


# ---- From tokens to pieces -------------------------------------------------------------------------------------------


def generate(prompt: Prompt) -> Iterator[Piece]:
    """Yield the pieces of the answer to ``prompt``; its choices take turns, one piece each.

    ``prompt.model`` must be a name in ``MODELS``. Raises ``ModelFailure`` in the middle (``toy-flaky`` does, unless it
    calls tools), and ``SchemaError`` instead of the first piece if no answer is written for a given schema.

    >>> from sse_ref.pieces import Message
    >>> prompt = Prompt("toy-echo", (Message("user", "Hi there"),))
    >>> [piece.text for piece in generate(prompt) if isinstance(piece, Text)]
    ['Hi', ' there']
    """
    prompt_tokens = count_tokens(prompt)
    called = _called_tools(prompt)
    # All choices begin before the first piece is given: a schema that is refused is an HTTP error, not a cut stream.
    choices = [_choice(prompt, choice, called) for choice in range(prompt.n)]
    yield Usage(prompt_tokens, 0)
    if prompt.model == "toy-slow" and choices:
        yield from [Silence()] * SILENCES
    completion_tokens = reasoning_tokens = 0
    for piece in take_turns(choices):
        completion_tokens += piece.tokens
        if isinstance(piece, Reasoning):
            reasoning_tokens += piece.tokens
        yield piece
    yield Usage(prompt_tokens, completion_tokens, reasoning_tokens)


def take_turns(choices: list[Iterator[Piece]]) -> Iterator[Piece]:
    """The pieces of all choices, one of each in turn."""
    if len(choices) == 1:
        return choices[0]
    turns = itertools.zip_longest(*choices)
    return (piece for turn in turns for piece in turn if piece is not None)


def _choice(prompt: Prompt, choice: int, called: list[Tool]) -> Iterator[Piece]:
    """The pieces of one choice: reasoning, if the model does that, and the answer."""
    if prompt.model != "toy-thinker" or not prompt.reasoning:
        return _answer(prompt, choice, called)
    thoughts = list(_thoughts(prompt, choice))
    limit = math.inf if prompt.max_tokens is None else prompt.max_tokens
    if len(thoughts) >= limit:
        return _reasoning(prompt, choice, thoughts, cut=True)
    left = None if prompt.max_tokens is None else prompt.max_tokens - len(thoughts)
    answer = _answer(replace(prompt, max_tokens=left), choice, called)
    return itertools.chain(_reasoning(prompt, choice, thoughts), answer)


def _reasoning(prompt: Prompt, choice: int, thoughts: list[TokenLogprob], *, cut: bool = False) -> Iterator[Piece]:
    """Thoughts as pieces, up to the limit; ``cut`` if the choice ends there."""
    for piece in _whole_characters(replace(prompt, top_logprobs=None), choice, iter(thoughts)):
        if isinstance(piece, Text):
            yield Reasoning(piece.text, choice, piece.tokens)
        elif cut:
            yield End("length", choice, piece.tokens)


def _answer(prompt: Prompt, choice: int, called: list[Tool]) -> Iterator[Piece]:
    """Calls, or text."""
    if called:
        return _calls(prompt, choice, called)
    return _text(prompt, choice, MODELS[prompt.model](prompt, choice))


def _text(prompt: Prompt, choice: int, tokens: Iterator[TokenLogprob]) -> Iterator[Piece]:
    """The text layer: whole characters, up to a stop string or the limit."""
    pieces = _whole_characters(prompt, choice, tokens)
    return _until_stop(pieces, prompt.stop) if prompt.stop else pieces


def _whole_characters(prompt: Prompt, choice: int, tokens: Iterator[TokenLogprob]) -> Iterator[Text | End]:
    """Hold tokens back until they are whole characters; end at the limit."""
    limit, with_logprobs = prompt.max_tokens, prompt.top_logprobs is not None
    part, size = b"", 0  # the tokens of a character that is not whole yet, and how many they are
    logprobs: tuple[TokenLogprob, ...] = ()
    reason = "stop"
    for number, token in enumerate(tokens):
        if number == limit:
            reason = "length"
            break
        part += token.token
        size += 1
        if with_logprobs:
            logprobs += (token,)
        try:
            text = part.decode()
        except UnicodeDecodeError:
            continue
        yield Text(text, choice, size, logprobs)
        part, size, logprobs = b"", 0, ()
    yield End(reason, choice, size)


def _until_stop(pieces: Iterator[Text | End], stop_strings: tuple[str, ...]) -> Iterator[Piece]:
    """Hold text back while it may be the beginning of a stop string; end before the first that is complete."""
    stops = [_Stop(text) for text in stop_strings]
    held: list[Text] = []
    length = 0  # characters in the held pieces
    for piece in pieces:
        if isinstance(piece, End):
            yield from held
            yield piece
            return
        held.append(piece)
        length += len(piece.text)
        for position, character in enumerate(piece.text, length - len(piece.text) + 1):
            complete = [stop.text for stop in stops if stop.ends_with(character)]
            if complete:
                longest = max(complete, key=len)
                before = _beginning(held, position - len(longest))
                dropped = sum(piece.tokens for piece in held) - sum(piece.tokens for piece in before)
                yield from before
                yield End("stop", piece.choice, dropped, longest)
                return
        while held and length - len(held[0].text) >= max(stop.begun for stop in stops):
            length -= len(held[0].text)
            yield held.pop(0)


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


MAX_QUESTION = 16384  # characters of the last user message, for the names of tools


def _called_tools(prompt: Prompt) -> list[Tool]:
    """Which tools the model calls: those that the last user message names, or the first if it has to call one."""
    if not prompt.tools or prompt.tool_choice == "none":
        return []
    if prompt.tool_choice == "auto" and prompt.messages and prompt.messages[-1].role == "tool":
        return []  # it has its results: now it answers
    question = prompt.last_text("user")[:MAX_QUESTION]
    places = [(re.search(rf"(?<!\w){re.escape(tool.name)}(?!\w)", question), tool) for tool in prompt.tools]
    called = [
        tool for _, tool in sorted(((place.start(), tool) for place, tool in places if place), key=lambda p: p[0])
    ]
    if not called and prompt.tool_choice == "required":
        called = [prompt.tools[0]]
    return called if prompt.parallel_tool_calls else called[:1]


def _calls(prompt: Prompt, choice: int, tools: list[Tool]) -> Iterator[Piece]:
    """The calls of one choice. All arguments are made first: a schema may be refused."""
    seed = _seed(prompt, choice)
    texts = [_arguments(prompt, tool, f"{seed} {i} {tool.name}", len(tools)) for i, tool in enumerate(tools)]
    return _fragments(prompt, choice, tools, texts)


def _fragments(prompt: Prompt, choice: int, tools: list[Tool], texts: list[str]) -> Iterator[Piece]:
    """The calls of one choice, their arguments cut into tokens."""
    left = math.inf if prompt.max_tokens is None else prompt.max_tokens
    plain = replace(prompt, stop=(), max_tokens=None, top_logprobs=None)  # what cuts text does not cut arguments
    for index, (tool, text) in enumerate(zip(tools, texts, strict=True)):
        yield Call(index, tool.name, choice=choice)
        for piece in _whole_characters(plain, choice, map(_certain, tokenize(text))):
            if isinstance(piece, Text):
                if left < piece.tokens:
                    yield End("length", choice)
                    return
                left -= piece.tokens
                yield Fragment(index, piece.text, choice, piece.tokens)
    yield End("tool_calls", choice)


def _arguments(prompt: Prompt, tool: Tool, seed: str, calls: int) -> str:
    """The JSON text of a call's arguments, which are an object."""
    try:
        arguments = write_example(tool.parameters, seed, of=prompt.n * calls)
    except SchemaError as error:
        raise SchemaError(f"the parameters of {tool.name[:64]}: {error.problem}", error.path) from None
    if not arguments.startswith("{"):
        raise SchemaError(f"the parameters of {tool.name[:64]}: what fits them is no object")
    return arguments


def _seed(prompt: Prompt, choice: int) -> str:
    """What the values of a JSON answer depend on; at temperature 0 all choices are the same."""
    return f"{prompt.model} {_brief(prompt.last_text('user'))} {(prompt.seed, choice) if prompt.temperature else ''}"


@functools.lru_cache(1)  # it is asked for once for each tool of each choice
def _brief(text: str) -> str:
    """A short text that stands for a long one."""
    return text if len(text) <= 1000 else f"{text[:1000]} {Random(text).random()}"
