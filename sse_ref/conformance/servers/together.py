"""The checks of the profile ``openai-chat`` for what a request asks for together, and for answers that are not streamed.

In:   the exchanges of ``corpus/server/openai-chat.json`` that ask for several choices, limits, stop strings, log
      probabilities, tools and usage at the same time.
Out:  the checks of ``together/`` and ``whole/``.

A server often does each of these right alone. Follows the vendor's API reference, "Chat completions".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sse_ref.conformance.servers import chats
from sse_ref.conformance.servers.target import Failed, Skipped, Target, check, error_message, expect, in_each

__all__: list[str] = []  # each check is found in CHECKS, by the id of its vector


ALL = "them together"


def choices_of(target: Target, name: str) -> list[dict[str, Any]]:
    """The choices of an answer that is not streamed."""
    if target.get(name).status in chats.NOT_TAKEN:
        raise Skipped(f"the server does not take them together: {error_message(target.get(name).body)}")
    choices = chats.whole_answer(target, name).get("choices")
    expect(isinstance(choices, list) and choices, f"{name}: the choices are {choices!r:.80}")
    return [choice for choice in choices or [] if isinstance(choice, dict)]


def usage_of_whole(target: Target, name: str) -> dict[str, Any]:
    """The usage of an answer that is not streamed."""
    usage = chats.whole_answer(target, name).get("usage")
    if not isinstance(usage, dict):
        raise Failed(f"{name}: the usage is {usage!r:.80}")
    return usage


def message_of(choice: Mapping[str, Any]) -> dict[str, Any]:
    """The message of a choice; {} if it is no object."""
    message = choice.get("message")
    return message if isinstance(message, dict) else {}


# ---- Several choices --------------------------------------------------------------------------------------------------


@check("together/n-role")
def together_n_role(target: Target) -> None:
    chat = chats.taken(target, "n", ALL)
    for index in (0, 1):
        first = next(iter(chat.choices_at(index)), {})
        expect(chats.delta_of(first).get("role") == "assistant", f"the first chunk of choice {index} has no role")


@check("together/n-three")
def together_n_three(target: Target) -> None:
    chat = chats.taken(target, "n-three", ALL)
    finish = [chat.finish(index) for index in range(3)]
    expect({choice.get("index") for choice in chat.choices} == {0, 1, 2}, "the indexes are not 0, 1 and 2")
    expect(all(len(reasons) == 1 for reasons in finish), f"the finish reasons are {finish}")


@check("together/n-limit")
def together_n_limit(target: Target) -> None:
    chat = chats.taken(target, "n-limit", ALL)
    finish = [chat.finish(index) for index in (0, 1)]
    expect(finish == [["length"]] * 2, f"the finish reasons are {finish}")


@check("together/n-usage")
def together_n_usage(target: Target) -> None:
    chats.taken(target, "n-limit", ALL)
    one, two = (chats.usage_of(target, name) for name in ("one-token", "n-limit"))
    prompts, answers = ([usage.get(f"{kind}_tokens") for usage in (one, two)] for kind in ("prompt", "completion"))
    expect(
        prompts[0] == prompts[1], f"the same prompt has {prompts[0]!r} tokens with one choice, {prompts[1]!r} with two"
    )
    expect(answers[1] == 2, f"two choices of one token each have the completion_tokens {answers[1]!r}")


@check("together/n-stop")
def together_n_stop(target: Target) -> None:
    chat = chats.taken(target, "n-stop", ALL)
    for index in (0, 1):
        expect(
            " " not in chat.text(index), f"the text of choice {index} holds the stop string: {chat.text(index)!r:.60}"
        )
        expect(chat.finish(index) == ["stop"], f"the finish reasons of choice {index} are {chat.finish(index)}")


@check("together/n-logprobs")
def together_n_logprobs(target: Target) -> None:
    chat = chats.taken(target, "n-logprobs", ALL)
    for index in (0, 1):
        with_some = [
            c for c in chat.choices_at(index) if isinstance(c.get("logprobs"), dict) and c["logprobs"].get("content")
        ]
        expect(with_some, f"choice {index} has no log probabilities")


@check("together/n-tools")
def together_n_tools(target: Target) -> None:
    chat = chats.taken(target, "n-tools", ALL)
    for index in (0, 1):
        calls = [call for c in chat.choices_at(index) for call in chats.delta_of(c).get("tool_calls") or []]
        if not calls:
            raise Skipped("the model made no tool call")
        indexes = list(dict.fromkeys(call.get("index") for call in calls))
        expect(indexes == list(range(len(indexes))), f"the indexes of the calls of choice {index} are {indexes}")


@check("together/n-whole")
def together_n_whole(target: Target) -> None:
    indexes = [choice.get("index") for choice in choices_of(target, "n-whole")]
    expect(sorted(map(str, indexes)) == ["0", "1"], f"the indexes are {indexes}")


# ---- Stop strings -----------------------------------------------------------------------------------------------------


@check("together/stop-is-text")
@in_each("stop-text", "stop-several")
def together_stop_is_text(target: Target, name: str) -> None:
    chat = chats.taken(target, name, ALL)
    expect(" " not in chat.text(), f"{name}: the text holds the stop string: {chat.text()!r:.60}")
    expect(chat.finish() == ["stop"], f"{name}: the finish reasons are {chat.finish()}")


@check("together/stop-usage")
def together_stop_usage(target: Target) -> None:
    chats.taken(target, "stop-usage", ALL)
    chats.repeatable(target)
    equal_usages(target, "stop-usage", "stop-whole")


# ---- Limits -----------------------------------------------------------------------------------------------------------


@check("together/limit-of-three")
def together_limit_of_three(target: Target) -> None:
    chat = chats.taken(target, "limit-of-three", ALL)
    tokens = chats.usage_of(target, "limit-of-three").get("completion_tokens")
    expect(chat.finish() == ["length"], f"the finish reasons are {chat.finish()}")
    expect(isinstance(tokens, int) and tokens <= 3, f"with a limit of 3 the completion_tokens are {tokens!r}")


# ---- Tools and usage --------------------------------------------------------------------------------------------------


@check("together/tools-usage")
def together_tools_usage(target: Target) -> None:
    streamed, call = chats.tool_stream(target, "tool-usage"), call_of_whole(target)
    fragments = next(iter(chats.calls_of(streamed).values()))
    if chats.arguments_of(fragments) != json.loads(str(call.get("arguments"))):
        raise Skipped("the model makes another call each time")
    equal_usages(target, "tool-usage", "tool-whole")


@check("together/call-ids-differ")
def together_call_ids_differ(target: Target) -> None:
    ids = [chats.tool_stream(target, name).fragments[0].get("id") for name in ("tool", "tool-usage")]
    expect(ids[0] != ids[1], f"the calls of two answers have the id {ids[0]!r}")


def equal_usages(target: Target, streamed: str, whole: str) -> None:
    """Both answers have the same counts."""
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    got = [chats.usage_of(target, streamed).get(name) for name in counts]
    want = [usage_of_whole(target, whole).get(name) for name in counts]
    expect(got == want, f"streamed {got}, whole {want}")


# ---- Answers that are not streamed ------------------------------------------------------------------------------------


@check("whole/finish-reason")
def whole_finish_reason(target: Target) -> None:
    for name, reason in (("limit-whole", "length"), ("stop-whole", "stop")):
        got = choices_of(target, name)[0].get("finish_reason")
        expect(got == reason, f"{name}: the finish reason is {got!r}")


@check("whole/usage-sum")
@in_each("limit-whole", "stop-whole")
def whole_usage_sum(target: Target, name: str) -> None:
    numbers = [usage_of_whole(target, name).get(f"{kind}_tokens") for kind in ("prompt", "completion", "total")]
    prompt, completion, total = (number if isinstance(number, int) else -1 for number in numbers)
    expect(min(prompt, completion, total) >= 0, f"{name}: the counts are {numbers}")
    expect(prompt + completion == total, f"{name}: {prompt} + {completion} is not {total}")


@check("whole/message")
def whole_message(target: Target) -> None:
    message = message_of(choices_of(target, "seeded-whole")[0])
    expect(message.get("role") == "assistant", f"the role is {message.get('role')!r}")
    expect(isinstance(message.get("content"), str), f"the content is {message.get('content')!r:.80}")


@check("whole/calls")
def whole_calls(target: Target) -> None:
    chats.tool_stream(target)
    call = call_of_whole(target)
    expect(isinstance(call.get("name"), str) and call["name"], f"the name of a call is {call.get('name')!r}")
    expect(isinstance(call.get("arguments"), str), f"the arguments are {call.get('arguments')!r:.80}")
    expect(choices_of(target, "tool-whole")[0].get("finish_reason") in ("tool_calls", "stop"), "the call has no reason")


def call_of_whole(target: Target) -> dict[str, Any]:
    """The function of the first call of an answer that is not streamed."""
    calls = message_of(choices_of(target, "tool-whole")[0]).get("tool_calls")
    if not isinstance(calls, list) or not calls or not isinstance(calls[0], dict):
        raise Failed(f"the whole answer has no call: {calls!r:.80}")
    expect(isinstance(calls[0].get("id"), str) and calls[0]["id"], f"the id of a call is {calls[0].get('id')!r}")
    return chats.function_of(calls[0])


@check("whole/length-in-bytes")
def whole_length_in_bytes(target: Target) -> None:
    target.require("echo")
    text = message_of(choices_of(target, "echo-whole")[0]).get("content")
    expected = target.file["exchanges"]["echo-whole"]["body"]["messages"][0]["content"]
    expect(text == expected, f"the text came back as {text!a}, not {expected!a}")


@check("fault/length-in-bytes")
def fault_length_in_bytes(target: Target) -> None:
    exchange = target.get("unknown-model-of-scripts")
    if exchange.status < 400:
        raise Skipped(f"the server takes any model: status {exchange.status}")
    expect(exchange.ended, f"the body was cut: {exchange.problem}")
    try:
        json.loads(exchange.body)
    except ValueError:
        raise Failed(f"the body is no JSON: {exchange.body[-80:]!r}") from None


# ---- Text and head ----------------------------------------------------------------------------------------------------


@check("frame/white-space-round-trips")
def frame_white_space_round_trips(target: Target) -> None:
    chats.round_trips(target, "echo-white-space")


@check("chunk/logprobs-bytes")
def chunk_logprobs_bytes(target: Target) -> None:
    target.require("echo")
    seen = 0
    for choice in chats.taken(target, "logprobs-echo", ALL).choices:
        content = (choice.get("logprobs") or {}).get("content")
        for entry in content if isinstance(content, list) else []:
            token, data = entry.get("token"), entry.get("bytes")
            if data is None or "\ufffd" in token or token.startswith("bytes:"):  # a part of a character
                continue
            seen += 1
            expect(data == list(token.encode()), f"the bytes of {token!r} are {data}")
    if not seen:
        raise Skipped("no bytes came")


@check("chunk/fingerprint-same")
def chunk_fingerprint_same(target: Target) -> None:
    values = {chunk.get("system_fingerprint") for chunk in chats.chat_of(target, "base").chunks}
    expect(len(values - {None}) <= 1, f"the system_fingerprint changes: {sorted(map(str, values))[:3]}")


@check("fault/allow")
def fault_allow(target: Target) -> None:
    exchange = target.get("get-method")
    if exchange.status != 405:
        raise Skipped(f"GET is answered with status {exchange.status}")
    expect(exchange.header("allow") is not None, "status 405 came without Allow")


@check("fault/www-authenticate")
def fault_www_authenticate(target: Target) -> None:
    if not target.key or target.get("no-key").status != 401:
        raise Skipped("no status 401 came")
    expect(target.get("no-key").header("www-authenticate"), "status 401 came without WWW-Authenticate")
