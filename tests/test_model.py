"""The toy model: always the same, tokens that join to the text, a text layer that never gives half of anything."""

from __future__ import annotations

import json
import random
import re

import pytest

from sse_ref import model
from sse_ref.model import MODELS, generate, tokenize
from sse_ref.pieces import (
    Call,
    End,
    Fragment,
    Message,
    ModelFailure,
    Piece,
    Prompt,
    Reasoning,
    Silence,
    Text,
    Tool,
    Usage,
)
from sse_ref.schema import SchemaError


def say(text: str, name: str = "toy-echo", **options: object) -> list[Piece]:
    return list(generate(Prompt(name, (Message("user", text),), **options)))  # type: ignore[arg-type]


def text_of(pieces: list[Piece], choice: int = 0) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Text) and piece.choice == choice)


def random_text(chance: random.Random) -> str:
    ranges = [(0, 128), (0, 0x250), (0x2000, 0x2100), (0x4E00, 0x4F00), (0x1F600, 0x1F650), (0xE000, 0xE100)]
    return "".join(chr(chance.randrange(*chance.choice(ranges))) for _ in range(chance.randrange(40)))


def test_tokens_join_to_the_text() -> None:
    chance = random.Random(1)
    for _ in range(3000):
        text = random_text(chance)
        tokens = list(tokenize(text))
        assert b"".join(tokens) == text.encode() and all(tokens)
        assert model.count_tokens(Prompt("toy", (Message("user", text),))) == len(tokens) + 4


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello world", [b"Hello", b" world"]),
        ("internationalization", [b"interna", b"tionali", b"zation"]),
        ("a, b.", [b"a", b",", b" b", b"."]),
        ("1234.5", [b"123", b"4", b".", b"5"]),
        ("caf\u00e9", ["caf\u00e9".encode()]),
        ("\U0001f98a", [b"\xf0", b"\x9f", b"\xa6", b"\x8a"]),
        ("\u8c46", [b"\xe8", b"\xb1", b"\x86"]),
        ("a\n\n  b", [b"a", b"\n\n", b" ", b" b"]),
    ],
)
def test_tokens_are_shaped_as_a_tokenizer_makes_them(text: str, tokens: list[bytes]) -> None:
    assert list(tokenize(text)) == tokens


def test_echo_returns_whatever_goes_in_and_only_whole_characters() -> None:
    chance = random.Random(2)
    for _ in range(1000):
        text = random_text(chance)
        pieces = say(text)
        assert text_of(pieces) == text
        assert all("\ufffd" not in piece.text for piece in pieces if isinstance(piece, Text)) or "\ufffd" in text
        assert sum(piece.tokens for piece in pieces) == len(list(tokenize(text))) == pieces[-1].completion_tokens  # type: ignore[union-attr]


def test_an_emoji_is_one_piece_of_four_tokens() -> None:
    assert say("\U0001f98a") == [Usage(8, 0), Text("\U0001f98a", 0, 4), End("stop"), Usage(8, 4)]


@pytest.mark.parametrize("limit", range(1, 12))
def test_limit_counts_tokens_and_never_gives_half_a_character(limit: int) -> None:
    text = "a\U0001f98a b\u8c46c"
    pieces = say(text, max_tokens=limit)
    tokens = list(tokenize(text))
    assert text_of(pieces) == b"".join(tokens[:limit]).decode("utf-8", "ignore")
    assert pieces[-2].reason == ("length" if limit < len(tokens) else "stop")  # type: ignore[union-attr]
    assert pieces[-1].completion_tokens == min(limit, len(tokens))  # type: ignore[union-attr]


def test_stop_strings_agree_with_a_plain_search() -> None:
    chance = random.Random(3)
    found = 0
    for _ in range(4000):
        text = "".join(chance.choices(["a", "b", "ab", " a", "\U0001f98a", "\n"], k=chance.randrange(1, 15)))
        stops = tuple(
            "".join(chance.choices("ab \n\U0001f98a", k=chance.randrange(1, 4))) for _ in range(chance.randrange(1, 4))
        )
        pieces = say(text, stop=stops)
        said = text_of(pieces)
        match = re.search("|".join(map(re.escape, stops)), text)
        if match is None:
            assert said == text and End("stop") in pieces
            continue
        # Which stop string ends first decides; what was said before it never holds one, and goes up to one.
        found += 1
        assert not any(stop in said for stop in stops), (text, stops, said)
        (end,) = (piece for piece in pieces if isinstance(piece, End))
        assert end.stop in stops and text.startswith(said + end.stop), (text, stops, said)
    assert found > 1000


def test_same_prompt_same_answer_and_other_prompts_other_answers() -> None:
    assert say("Tell me a story", "toy") == say("Tell me a story", "toy")
    assert len({text_of(say(f"Tell me story {number}", "toy")) for number in range(20)}) > 15
    assert len({text_of(say("Tell me a story", "toy", seed=seed)) for seed in range(20)}) > 15


def test_temperature_widens_the_choice() -> None:
    def variety(temperature: float) -> int:
        return len({text_of(say("x", "toy", seed=seed, temperature=temperature)) for seed in range(30)})

    assert variety(0) == 1 < variety(0.1) < variety(2)


def test_story_is_readable_prose() -> None:
    text = text_of(say("Tell me a story", "toy"))
    assert text.endswith("\U0001f98a") and "{" not in text and "|" not in text and "  " not in text
    assert 80 < len(list(tokenize(text))) < 250


def test_options_of_a_choice_begin_with_different_tokens() -> None:
    for template in (model.OPENING, *model.MIDDLE, model.ENDING):
        for space, options in model._CHOICE.findall(template):
            firsts = [next(tokenize(space + option)) for option in options.split("|")]
            assert len(set(firsts)) == len(firsts), options


def test_probabilities_are_probabilities() -> None:
    import math

    pieces = say("x", "toy", top_logprobs=20)
    chances = [chance for piece in pieces if isinstance(piece, Text) for chance in piece.logprobs]
    assert b"".join(chance.token for chance in chances).decode() == text_of(pieces)
    for chance in chances:
        assert chance.logprob <= 0 and dict(chance.top)[chance.token] == chance.logprob
        assert sum(math.exp(logprob) for _, logprob in chance.top) == pytest.approx(1)
        assert [p for _, p in chance.top] == sorted((p for _, p in chance.top), reverse=True)
    assert any(len(chance.top) > 1 for chance in chances)
    certain = say("x", "toy", top_logprobs=0, temperature=0)
    assert all(chance.logprob == 0 for piece in certain if isinstance(piece, Text) for chance in piece.logprobs)


def test_slow_model_thinks_first() -> None:
    usage, *pieces = say("x", "toy-slow")
    assert usage == Usage(5, 0)
    assert pieces[: model.SILENCES] == [Silence()] * model.SILENCES and isinstance(pieces[model.SILENCES], Text)


def reasoning_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Reasoning))


def test_thinker_reasons_before_it_answers() -> None:
    pieces = say("How are {you}, caf\u00e9 \u65e5?", "toy-thinker")
    kinds = [type(piece) for piece in pieces[1:-2]]
    assert kinds == sorted(kinds, key=[Reasoning, Text].index) and Text in kinds
    assert "\u201cHow are you caf\u00e9 \u65e5\u201d" in reasoning_of(pieces)
    usage = pieces[-1]
    assert isinstance(usage, Usage) and usage.completion_tokens == sum(piece.tokens for piece in pieces)
    assert usage.reasoning_tokens == sum(piece.tokens for piece in pieces if isinstance(piece, Reasoning)) > 0
    assert say("x", "toy-thinker", seed=3) == say("x", "toy-thinker", seed=3) != say("x", "toy-thinker", seed=4)


def test_thinker_that_must_not_think_answers_at_once() -> None:
    pieces = say("Hi", "toy-thinker", reasoning=False)
    assert reasoning_of(pieces) == "" and text_of(pieces) and pieces[-1].reasoning_tokens == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("limit", range(1, 60))
def test_limit_counts_the_tokens_of_reasoning(limit: int) -> None:
    pieces = say("\u65e5\u672c", "toy-thinker", max_tokens=limit)
    whole = say("\u65e5\u672c", "toy-thinker")
    assert pieces[-2].reason == "length" and pieces[-1].completion_tokens == limit  # type: ignore[union-attr]
    assert sum(piece.tokens for piece in pieces) == limit
    assert reasoning_of(whole).startswith(reasoning_of(pieces)) and text_of(whole).startswith(text_of(pieces))
    assert text_of(pieces) == "" or reasoning_of(pieces) == reasoning_of(whole)


def test_thinker_reasons_before_it_calls() -> None:
    pieces = say("get_weather", "toy-thinker", tools=TOOLS)
    kinds = list(dict.fromkeys(type(piece) for piece in pieces))
    assert kinds == [Usage, Reasoning, Call, Fragment, End] and pieces[-2] == End("tool_calls")
    cut = say("get_weather", "toy-thinker", tools=TOOLS, max_tokens=3)
    assert not any(isinstance(piece, Call) for piece in cut) and cut[-2] == End("length")


def test_no_choice_is_the_usage_alone() -> None:
    for name in MODELS:
        assert say("Hi there", name, n=0) == [Usage(6, 0), Usage(6, 0)]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "asked",
    [
        {"schema": False},
        {"tools": (Tool("f", {"type": "object", "required": ["a"], "properties": {"a": False}}),)},
        {"tools": (Tool("f", {"type": "object", "enum": ["a"]}),)},
        {"tools": (Tool("f", {"type": "object", "anyOf": [{"type": "array"}, {"type": "string"}]}),)},
    ],
)
def test_schema_that_nothing_fits_is_refused_before_the_first_piece(name: str, asked: dict) -> None:
    if name == "toy-echo" and "schema" in asked:
        return  # it writes none
    with pytest.raises(SchemaError):
        next(generate(Prompt(name, (Message("user", "f"),), **asked)))


def test_flaky_model_fails_in_the_middle() -> None:
    pieces = []
    with pytest.raises(ModelFailure):
        pieces.extend(generate(Prompt("toy-flaky", (Message("user", "x"),))))
    seen = list(iterate_until_failure(Prompt("toy-flaky", (Message("user", "x"),))))
    assert 20 < len(seen) < 200
    assert len(list(iterate_until_failure(Prompt("toy-flaky", (Message("user", "x"),), max_tokens=10)))) == 1 + 5


def iterate_until_failure(prompt: Prompt) -> list[Piece]:
    seen = []
    try:
        for piece in generate(prompt):
            seen.append(piece)
    except ModelFailure:
        return seen
    raise AssertionError("no failure")


def test_choices_take_turns() -> None:
    pieces = say("a b c", n=2)
    assert [piece.choice for piece in pieces[1:-1]] == [0, 1, 0, 1, 0, 1, 0, 1]  # type: ignore[union-attr]
    assert text_of(pieces, 0) == text_of(pieces, 1) == "a b c"
    assert pieces[-1] == Usage(7, 6)
    varied = say("x", "toy", n=3)
    assert len({text_of(varied, choice) for choice in range(3)}) == 3


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}
TOOLS = (Tool("get_weather", SCHEMA), Tool("get_time", {"type": "object"}))


def test_calls_are_fragments_of_valid_json() -> None:
    pieces = say("get_weather then get_time", "toy", tools=TOOLS)
    calls = [piece for piece in pieces if isinstance(piece, Call)]
    assert [(call.index, call.name) for call in calls] == [(0, "get_weather"), (1, "get_time")]
    for call in calls:
        fragments = [piece.arguments for piece in pieces if isinstance(piece, Fragment) and piece.index == call.index]
        assert isinstance(json.loads("".join(fragments)), dict)
    assert pieces[-2] == End("tool_calls")


def test_stop_strings_do_not_cut_arguments() -> None:
    pieces = say("get_weather", "toy", tools=TOOLS, stop=('"', "city"))
    assert pieces[-2] == End("tool_calls")


@pytest.mark.parametrize("limit", range(1, 15))
def test_limit_cuts_arguments(limit: int) -> None:
    whole = say("get_weather", "toy", tools=TOOLS)[-1].completion_tokens  # type: ignore[union-attr]
    pieces = say("get_weather", "toy", tools=TOOLS, max_tokens=limit)
    assert pieces[-2].reason == ("length" if limit < whole else "tool_calls")  # type: ignore[union-attr]
    assert pieces[-1].completion_tokens == min(limit, whole)  # type: ignore[union-attr]


def test_json_is_written_for_a_schema() -> None:
    for seed in range(20):
        value = json.loads(text_of(say("x", "toy", schema=SCHEMA, seed=seed)))
        assert isinstance(value["city"], str) and isinstance(value["days"], int)
    with pytest.raises(ValueError, match="false"):
        say("x", "toy", schema=False)
