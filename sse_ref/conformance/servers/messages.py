"""The checks of the profile ``anthropic``: events and blocks of Messages, usage, tool calls, errors, models.

In:   the exchanges of ``corpus/server/anthropic.json``.
Out:  the checks that are this provider's; what holds for every stream is in ``streams.py``, connections are in ``life.py``.

Follows the vendor's API reference, "Messages" and "Streaming messages".
"""

from __future__ import annotations

import json
import re
from typing import Any

from sse_ref.conformance.servers.life import are_not_mixed_up
from sse_ref.conformance.servers.streams import longest_silence, slow_stream
from sse_ref.conformance.servers.target import Failed, Skipped, Target, check, expect, in_each
from sse_ref.conformance.servers.typed import (
    Typed,
    accepted,
    failing,
    fits_the_schema,
    is_several,
    is_whole_number,
    refused,
    require,
    same_as_whole,
    streams,
    typed,
    whole_answer,
)

__all__: list[str] = []  # each check is found in CHECKS, by the id of its vector

STOP_REASONS = {"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"}
STOP_REASONS |= {"model_context_window_exceeded"}
DELTAS = {"text": {"text_delta", "citations_delta"}, "tool_use": {"input_json_delta"}}
DELTAS |= {"thinking": {"thinking_delta", "signature_delta"}}
MEMBERS = {"text_delta": "text", "input_json_delta": "partial_json", "thinking_delta": "thinking"}
STREAMS = ("base", "tool", "thinking", "two-tools")

# ---- A stream taken apart --------------------------------------------------------------------------------------------


def text_of(stream: Typed) -> str:
    """The text deltas put together."""
    return "".join(texts_of(stream))


def texts_of(stream: Typed) -> list[str]:
    """The text deltas."""
    deltas = [value.get("delta") for value in stream.of("content_block_delta")]
    found = [delta.get("text") for delta in deltas if isinstance(delta, dict) and delta.get("type") == "text_delta"]
    return [text for text in found if isinstance(text, str) and text]


def message_of(stream: Typed) -> dict[str, Any]:
    """The message of ``message_start``."""
    message = stream.one("message_start").get("message")
    if not isinstance(message, dict):
        raise Failed(f"message_start holds no message: {message!r:.80}")
    return message


def end_of(stream: Typed) -> dict[str, Any]:
    """The last ``message_delta``, with ``delta`` and ``usage`` as objects."""
    stream.one("message_delta")
    last = stream.of("message_delta")[-1]
    return {name: last[name] if isinstance(last.get(name), dict) else {} for name in ("delta", "usage")}


def stop_of(stream: Typed) -> Any:
    """The stop reason."""
    return end_of(stream)["delta"].get("stop_reason")


def blocks_of(stream: Typed) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The block of each ``content_block_start``, and the deltas with its index."""
    found = []
    for start in stream.of("content_block_start"):
        block = start.get("content_block")
        expect(isinstance(block, dict), f"a content_block_start holds no block: {start!r:.80}")
        deltas = [v.get("delta") for v in stream.of("content_block_delta") if v.get("index") == start.get("index")]
        found.append((block, [delta for delta in deltas if isinstance(delta, dict)]))
    return found  # type: ignore[return-value]


def tokens_in(usage: Any) -> Any:
    """The input tokens of a usage, those among them that a cache held; None if it does not tell."""
    if not isinstance(usage, dict) or not is_whole_number(usage.get("input_tokens")):
        return None
    cached = [usage.get(f"cache_{what}_input_tokens") for what in ("creation", "read")]
    return usage["input_tokens"] + sum(count for count in cached if is_whole_number(count))


def calls_of(target: Target, name: str = "tool") -> list[tuple[dict[str, Any], str]]:
    """The tool_use blocks of an exchange, each with its arguments put together."""
    require(target, name, "tools")
    calls = [
        (block, "".join(str(d.get("partial_json", "")) for d in deltas if d.get("type") == "input_json_delta"))
        for block, deltas in blocks_of(typed(target, name))
        if block.get("type") == "tool_use"
    ]
    if not calls:
        raise Skipped("the model made no tool call")
    return calls


def whole_text(message: dict[str, Any]) -> str:
    """The text of a whole message."""
    blocks = message.get("content")
    expect(isinstance(blocks, list), f"the content is {blocks!r:.80}")
    return "".join(str(b.get("text")) for b in blocks or [] if isinstance(b, dict) and b.get("type") == "text")


# ---- Events ----------------------------------------------------------------------------------------------------------


@check("messages/names")
def messages_names(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for name, value in stream.named:
            kind = value.get("type")
            expect(name == kind, f"an event of the type {kind!r} has the name {name!r}")


@check("messages/start-first")
def messages_start_first(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        kinds = [value.get("type") for value in stream.values if value.get("type") != "ping"]
        expect(kinds[0] == "message_start", f"the first event is {kinds[0]!r}")
        expect(kinds.count("message_start") == 1, f"message_start came {kinds.count('message_start')} times")


@check("messages/start-shape")
def messages_start_shape(target: Target) -> None:
    message = message_of(typed(target, "base"))
    expect(isinstance(message.get("id"), str) and message["id"], f"the id is {message.get('id')!r}")
    for name, value in (("type", "message"), ("role", "assistant"), ("content", [])):
        expect(message.get(name) == value, f"{name} is {message.get(name)!r:.80}, not {value!r}")
    expect(isinstance(message.get("model"), str) and message["model"], f"the model is {message.get('model')!r}")
    for name in ("stop_reason", "stop_sequence"):
        expect(message.get(name) is None, f"{name} is {message.get(name)!r} at the beginning")


@check("messages/start-usage")
def messages_start_usage(target: Target) -> None:
    usage = message_of(typed(target, "base")).get("usage")
    written = usage.get("output_tokens") if isinstance(usage, dict) else None
    expect(tokens_in(usage) and is_whole_number(written), f"the usage of message_start is {usage!r:.80}")


@check("messages/start-input-true")
def messages_start_input_true(target: Target) -> None:
    told = tokens_in(message_of(typed(target, "echo-unicode")).get("usage"))
    whole = tokens_in(whole_answer(target, "echo-whole").get("usage"))
    expect(told == whole, f"message_start says {told!r} input tokens, the whole answer {whole!r}")


@check("messages/ids-differ")
def messages_ids_differ(target: Target) -> None:
    one, other = (message_of(typed(target, name)).get("id") for name in ("base", "again"))
    expect(one != other, f"two messages have the id {one!r}")


@check("messages/model")
def messages_model(target: Target) -> None:
    named, asked = message_of(typed(target, "base")).get("model"), target.models[""]
    expect(str(named).startswith(asked), f"the model is {named!r}, not {asked!r}")  # an alias may become a version


# ---- Blocks ----------------------------------------------------------------------------------------------------------


@check("messages/block-order")
def messages_block_order(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        is_open = False
        for value in stream.values:
            kind = value.get("type")
            if kind == "content_block_start":
                expect(not is_open, "a block begins while another is open")
                is_open = True
            elif kind in ("content_block_delta", "content_block_stop"):
                expect(is_open, f"{kind} came while no block is open")
                is_open = kind == "content_block_delta"
            elif kind in ("message_delta", "message_stop"):
                expect(not is_open, f"{kind} came while a block is open")


@check("messages/index-dense")
def messages_index_dense(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        indexes = [value.get("index") for value in stream.of("content_block_start")]
        expect(indexes == list(range(len(indexes))), f"the indexes of the blocks are {indexes}")
        current = None
        for value in stream.of("content_block_start", "content_block_delta", "content_block_stop"):
            current = value.get("index") if value["type"] == "content_block_start" else current
            index = value.get("index")
            expect(index == current, f"{value['type']} has the index {index!r}, not {current}")


@check("messages/block-start-empty")
def messages_block_start_empty(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for block, _ in blocks_of(stream):
            for name in ("text", "thinking"):
                if block.get("type") == name:
                    expect(block.get(name) == "", f"a {name} block begins with {block.get(name)!r:.60}")


@check("messages/delta-type")
def messages_delta_type(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for block, deltas in blocks_of(stream):
            for delta in deltas if block.get("type") in DELTAS else []:
                kind = delta.get("type")
                expect(kind in DELTAS[block["type"]], f"a {block['type']} block has a delta of the type {kind!r}")


@check("messages/delta-string")
def messages_delta_string(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for value in stream.of("content_block_delta"):
            delta = value.get("delta")
            expect(isinstance(delta, dict), f"a delta is {delta!r:.80}")
            member = MEMBERS.get((delta or {}).get("type", ""))
            text = (delta or {}).get(member) if member else ""
            expect(isinstance(text, str), f"the {member} of a delta is {text!r:.80}")


@check("messages/several-deltas")
def messages_several_deltas(target: Target) -> None:
    is_several(texts_of(typed(target, "base")), "the answer")


@check("messages/thinking")
def messages_thinking(target: Target) -> None:
    require(target, "thinking", "thinking")
    blocks = blocks_of(typed(target, "thinking"))
    kinds = [block.get("type") for block, _ in blocks]
    if "thinking" not in kinds:
        raise Skipped("the model does not think")
    expect("text" not in kinds or kinds.index("thinking") < kinds.index("text"), f"the blocks are {kinds}")
    for block, deltas in blocks:
        if block.get("type") == "thinking":
            signed = [delta.get("type") == "signature_delta" for delta in deltas]
            expect(signed.count(True) == 1 and signed[-1], "a thinking block does not end with one signature_delta")


# ---- The end ---------------------------------------------------------------------------------------------------------


@check("messages/delta-message")
def messages_delta_message(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        kinds = [value.get("type") for value in stream.values]
        expect(stop_of(stream) is not None, "the last message_delta has no stop_reason")
        last = len(kinds) - 1 - kinds[::-1].index("message_delta")
        after = [kind for kind in kinds[last:] if str(kind).startswith("content_block")]
        expect(not after, f"{after and after[0]} came after message_delta")


@check("messages/delta-usage")
def messages_delta_usage(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        usage = end_of(stream)["usage"]
        expect(is_whole_number(usage.get("output_tokens")), f"the usage of message_delta is {usage!r:.80}")


@check("messages/delta-input")
def messages_delta_input(target: Target) -> None:
    stream = typed(target, "base")
    first, last = tokens_in(message_of(stream).get("usage")), tokens_in(end_of(stream)["usage"])
    expect(first == last, f"message_delta says {last!r} input tokens, message_start {first!r}")


@check("messages/usage-cumulative")
def messages_usage_cumulative(target: Target) -> None:
    target.require("echo")
    stream = typed(target, "echo-unicode")
    first = (message_of(stream).get("usage") or {}).get("output_tokens") or 0
    last = end_of(stream)["usage"].get("output_tokens") or 0
    whole = (whole_answer(target, "echo-whole").get("usage") or {}).get("output_tokens")
    expect(last >= first, f"the output tokens go down from {first} to {last}")
    expect(last == whole, f"message_delta says {last!r} output tokens, the whole answer {whole!r}")


@check("messages/stop-last")
def messages_stop_last(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        kinds = [value.get("type") for value in stream.values if value.get("type") != "ping"]
        expect(kinds.count("message_stop") == 1, f"message_stop came {kinds.count('message_stop')} times")
        expect(kinds[-1] == "message_stop", f"after message_stop came {kinds[-1]!r}")


@check("messages/stop-known")
def messages_stop_known(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        expect(stop_of(stream) in STOP_REASONS, f"the stop reason is {stop_of(stream)!r}")


@check("messages/stop-end-turn")
def messages_stop_end_turn(target: Target) -> None:
    target.require("echo")
    end = end_of(typed(target, "echo-unicode"))["delta"]
    expect(end.get("stop_reason") == "end_turn", f"the stop reason is {end.get('stop_reason')!r}")
    expect(end.get("stop_sequence") is None, f"the stop sequence is {end.get('stop_sequence')!r}")


@check("messages/stop-max-tokens")
def messages_stop_max_tokens(target: Target) -> None:
    stream = typed(target, "three-tokens")
    tokens = end_of(stream)["usage"].get("output_tokens")
    if stop_of(stream) == "end_turn" and is_whole_number(tokens) and tokens < 3:
        raise Skipped(f"the whole answer has {tokens} tokens")
    expect(stop_of(stream) == "max_tokens", f"the stop reason is {stop_of(stream)!r}")
    expect(is_whole_number(tokens) and tokens <= 3, f"output_tokens is {tokens!r}")
    expect(stream.of("message_stop"), "message_stop did not come")


@check("messages/stop-sequence")
def messages_stop_sequence(target: Target) -> None:
    target.require("echo")
    stream = typed(target, "stop")
    end, said = end_of(stream)["delta"], text_of(stream)
    expect(said == "alpha be", f"the text is {said!r}, not 'alpha be'")
    expect(end.get("stop_reason") == "stop_sequence", f"the stop reason is {end.get('stop_reason')!r}")
    expect(end.get("stop_sequence") == "ta ga", f"the stop sequence is {end.get('stop_sequence')!r}")


@check("messages/stop-unmatched")
def messages_stop_unmatched(target: Target) -> None:
    target.require("echo")
    stream = typed(target, "stop-unmatched")
    said = text_of(stream)
    expect(said == "alpha beta gamma", f"the text is {said!r}, not 'alpha beta gamma'")
    expect(stop_of(stream) == "end_turn", f"the stop reason is {stop_of(stream)!r}")


# ---- Tool calls ------------------------------------------------------------------------------------------------------


@check("messages/tool-start")
def messages_tool_start(target: Target) -> None:
    ids = []
    for block, _ in calls_of(target):
        expect(isinstance(block.get("id"), str) and block["id"], f"the id of a call is {block.get('id')!r}")
        expect(block.get("name") == "get_weather", f"the name of a call is {block.get('name')!r}")
        expect(block.get("input") == {}, f"the input of a call begins as {block.get('input')!r:.60}")
        ids.append(block["id"])
    expect(len(ids) == len(set(ids)), f"two calls have the id {ids[0]!r}")


@check("messages/tool-arguments")
def messages_tool_arguments(target: Target) -> None:
    for _, arguments in calls_of(target):
        fits_the_schema(arguments, "the text of the arguments", "city", "note")


@check("messages/tool-fragments")
def messages_tool_fragments(target: Target) -> None:
    calls_of(target)
    calls = [deltas for block, deltas in blocks_of(typed(target, "tool")) if block.get("type") == "tool_use"]
    is_several(
        [str(delta["partial_json"]) for delta in calls[0] if delta.get("partial_json")], "the text of the arguments"
    )


@check("messages/tool-two")
def messages_tool_two(target: Target) -> None:
    calls = calls_of(target, "two-tools")
    names = [block.get("name") for block, _ in calls]
    if set(names) != {"get_weather", "get_time"}:
        raise Skipped(f"the model called {names}")
    expect(len({block.get("id") for block, _ in calls}) == len(calls), "two calls have the same id")
    for _, arguments in calls:
        fits_the_schema(arguments, "the text of the arguments", "city")


@check("messages/tool-stop")
def messages_tool_stop(target: Target) -> None:
    calls_of(target)
    reason = stop_of(typed(target, "tool"))
    expect(reason == "tool_use", f"the stop reason is {reason!r}")


@check("messages/tool-none")
def messages_tool_none(target: Target) -> None:
    require(target, "tool-none", "tools")
    stream = typed(target, "tool-none")
    calls = [block for block, _ in blocks_of(stream) if block.get("type") == "tool_use"]
    expect(not calls, f"a call was made: {calls and calls[0]!r:.80}")
    expect(text_of(stream), "no text came")


@check("messages/tool-any")
@in_each("tool-any", "tool-named")
def messages_tool_any(target: Target, name: str) -> None:
    require(target, "tool", "tools")
    accepted(target, name)
    calls = [block for block, _ in blocks_of(typed(target, name)) if block.get("type") == "tool_use"]
    expect(calls, f"{name}: no call was made")
    if name == "tool-named":
        expect(calls[0].get("name") == "get_time", f"{name}: the call is of {calls[0].get('name')!r}")


@check("messages/tool-one")
def messages_tool_one(target: Target) -> None:
    calls = calls_of(target, "tool-one")
    expect(len(calls) == 1, f"{len(calls)} calls were made")


@check("messages/tool-result")
@in_each("tool-result", "tool-result-blocks")
def messages_tool_result(target: Target, name: str) -> None:
    require(target, "tool", "tools")
    accepted(target, name)
    stream = typed(target, name)
    expect(text_of(stream) or stop_of(stream) == "max_tokens", f"{name}: no text came")


# ---- Requests --------------------------------------------------------------------------------------------------------


@check("messages/system")
def messages_system(target: Target) -> None:
    accepted(target, "system", "system-blocks")
    short, long = (tokens_in(message_of(typed(target, name)).get("usage")) for name in ("system", "system-blocks"))
    expect(
        short and long and long > short, f"with a long system prompt {long} tokens went in, with a short one {short}"
    )


@check("messages/content")
def messages_content(target: Target) -> None:
    accepted(target, "content-blocks")
    status = target.get("content-unknown").status
    expect(status in (200, 400, 422), f"for an unknown block the status is {status}")


@check("messages/other-fields")
def messages_other_fields(target: Target) -> None:
    accepted(target, "more-fields")
    exchange = target.get("temperature")
    if exchange.status == 400 and b"temperature" in exchange.body:
        raise Skipped("the model takes no temperature")
    accepted(target, "temperature")


@check("messages/text")
def messages_text(target: Target) -> None:
    same_as_whole(target, text_of, whole_text)


@check("messages/whole")
@in_each("stream-absent", "stream-false")
def messages_whole(target: Target, name: str) -> None:
    message = whole_answer(target, name)
    expect(message.get("type") == "message", f"{name}: the type is {message.get('type')!r}")
    expect(message.get("role") == "assistant", f"{name}: the role is {message.get('role')!r}")
    for member in ("id", "model"):
        expect(isinstance(message.get(member), str), f"{name}: the {member} is {message.get(member)!r}")
    expect("stop_sequence" in message, f"{name}: stop_sequence is missing")
    said = whole_text(message) or message.get("stop_reason") == "max_tokens"
    expect(said, f"{name}: there is no text: {message.get('content')!r:.80}")
    expect(message.get("stop_reason") in STOP_REASONS, f"{name}: the stop reason is {message.get('stop_reason')!r}")
    usage = message.get("usage")
    counts = [usage.get(n) for n in ("input_tokens", "output_tokens")] if isinstance(usage, dict) else [None]
    expect(all(map(is_whole_number, counts)), f"{name}: the usage is {usage!r:.80}")


@check("messages/whole-input")
def messages_whole_input(target: Target) -> None:
    require(target, "tool-whole", "tools")
    blocks = whole_answer(target, "tool-whole").get("content") or []
    calls = [block for block in blocks if isinstance(block, dict) and block.get("type") == "tool_use"]
    if not calls:
        raise Skipped("the model made no tool call")
    for block in calls:
        value = block.get("input")
        expect(isinstance(value, dict) and value, f"the input of a call is {value!r:.80}")


@check("messages/count")
@in_each("count", "count-beta")
def messages_count(target: Target, name: str) -> None:
    target.require("echo")
    used = tokens_in(whole_answer(target, "echo-whole").get("usage")) or 0
    exchange = target.get(name)
    if exchange.status in (404, 405, 501):
        raise Skipped(f"the server does not count: status {exchange.status}")
    counted = whole_answer(target, name).get("input_tokens")
    near = is_whole_number(counted) and abs(counted - used) <= max(5, used // 10)  # it is an estimate
    expect(near, f"{name}: {counted!r} tokens, the answer to the same request says {used!r}")


@check("messages/models")
def messages_models(target: Target) -> None:
    listed = whole_answer(target, "models")
    entries = listed.get("data")
    expect(isinstance(entries, list) and entries, f"the data is {entries!r:.80}")
    ids = [entry.get("id") for entry in entries or [] if isinstance(entry, dict)]
    expect(target.models[""] in ids, f"{target.models['']!r} is not among {ids[:8]}")
    for entry in entries or []:
        for name in ("type", "display_name", "created_at"):
            expect(isinstance(entry.get(name), str), f"the {name} of a model is {entry.get(name)!r}")
    for name in ("has_more", "first_id", "last_id"):
        expect(name in listed, f"{name} is missing")


@check("messages/fifty-at-once")
def messages_fifty_at_once(target: Target) -> None:
    are_not_mixed_up(target, lambda exchange: text_of(Typed(exchange)))


# ---- Silence ---------------------------------------------------------------------------------------------------------


@check("messages/ping")
def messages_ping(target: Target) -> None:
    longest = longest_silence(target)
    expect(longest <= target.long_silence, f"nothing came for {longest:.1f} s")
    if not re.search(rb"^(event: ?ping$|:)", slow_stream(target).body.replace(b"\r", b"\n"), re.MULTILINE):
        raise Skipped(f"no ping came, but the silence lasted {longest:.1f} s only: too short to tell")


@check("messages/ping-data")
def messages_ping_data(target: Target) -> None:
    blocks = [block for block in slow_stream(target).blocks if re.search(rb"^event: ?ping$", block, re.MULTILINE)]
    if not blocks:
        raise Skipped("no ping came")
    for block in blocks:
        data = re.search(rb"^data: ?(.*)$", block, re.MULTILINE)
        value = json.loads(data[1]) if data else None
        expect(isinstance(value, dict) and value.get("type") == "ping", f"a ping is {block[:80]!r}")


# ---- Errors ----------------------------------------------------------------------------------------------------------


def error_of(target: Target, name: str, *statuses: int) -> dict[str, Any]:
    """The error of a refused request, in the vendor's shape."""
    value = refused(target, name, statuses)
    error = value.get("error")
    expect(value.get("type") == "error" and isinstance(error, dict), f"{name}: the body is {value!r:.80}")
    members: dict[str, Any] = error if isinstance(error, dict) else {}
    for member in ("type", "message"):
        expect(
            isinstance(members.get(member), str) and members[member], f"{name}: the {member} is {members.get(member)!r}"
        )
    return members


@check("messages/error-shape")
@in_each("bad-json", "no-messages", "bad-json-stream")
def messages_error_shape(target: Target, name: str) -> None:
    error_of(target, name, 400, 422)


@check("messages/error-json")
@in_each("bad-json", "no-object")
def messages_error_json(target: Target, name: str) -> None:
    kind = error_of(target, name, 400, 422).get("type")
    expect(kind == "invalid_request_error", f"{name}: the type is {kind!r}")


@check("messages/error-max-tokens")
@in_each("no-max-tokens", "text-max-tokens", "negative-max-tokens")
def messages_error_max_tokens(target: Target, name: str) -> None:
    message = str(error_of(target, name, 400, 422).get("message"))
    expect("max_tokens" in message, f"{name}: the error does not name max_tokens: {message!r:.80}")


@check("messages/error-messages")
@in_each("no-messages", "empty-messages", "wrong-role", "wrong-content")
def messages_error_messages(target: Target, name: str) -> None:
    message = str(error_of(target, name, 400, 422).get("message"))
    expect("messages" in message, f"{name}: the error does not name messages: {message!r:.80}")


@check("messages/error-model")
def messages_error_model(target: Target) -> None:
    kind = error_of(target, "unknown-model", 404).get("type")
    expect(kind == "not_found_error", f"the type is {kind!r}")


@check("messages/key")
@in_each("wrong-key", "no-key")
def messages_key(target: Target, name: str) -> None:
    if not target.key:
        raise Skipped("no key was given (--api-key-env)")
    accepted(target, "again")
    kind = error_of(target, name, 401).get("type")
    expect(kind == "authentication_error", f"{name}: the type is {kind!r}")


@check("messages/key-bearer")
def messages_key_bearer(target: Target) -> None:
    if not target.key:
        raise Skipped("no key was given (--api-key-env)")
    accepted(target, "bearer-key")


@check("messages/request-id")
@in_each("base", "bad-json")
def messages_request_id(target: Target, name: str) -> None:
    expect(target.get(name).header("request-id"), f"{name}: there is no request-id")


@check("messages/overload")
def messages_overload(target: Target) -> None:
    exchange = next((e for e in target.sent.values() if e.status in (429, 529)), None) or target.get("overload")
    expect(exchange.status in (429, 529), f"the status is {exchange.status}")
    expect(exchange.status == 529 or exchange.header("retry-after"), "there is no Retry-After")
    kinds = {429: "rate_limit_error", 529: "overloaded_error"}
    kind = json.loads(exchange.body)["error"]["type"]
    expect(kind == kinds[exchange.status], f"with the status {exchange.status} the type is {kind!r}")


@check("messages/error-in-stream")
def messages_error_in_stream(target: Target) -> None:
    stream = failing(target)
    errors = [(name, value) for name, value in stream.named if value.get("type") == "error" or "error" in value]
    expect(len(errors) == 1, f"{len(errors)} errors came")
    name, value = errors[0]
    expect(name == "error", f"the name of the event is {name!r}: clients do not see it")
    error = value.get("error")
    good = isinstance(error, dict) and isinstance(error.get("message"), str) and isinstance(error.get("type"), str)
    expect(value.get("type") == "error" and good, f"the error is {value!r:.80}")


@check("messages/nothing-after-error")
def messages_nothing_after_error(target: Target) -> None:
    stream = failing(target)
    kinds = [value.get("type") for value in stream.values if value.get("type") != "ping"]
    expect("error" in kinds, "no error came")
    expect(kinds[-1] == "error", f"after the error came {kinds[-1]!r}")
    ended = [kind for kind in ("message_delta", "message_stop") if kind in kinds]
    expect(not ended, f"{ended and ended[0]} came, too")
    expect(stream.exchange.ended, stream.exchange.problem or "the body was cut")


@check("messages/error-whole")
def messages_error_whole(target: Target) -> None:
    error_of(target, "error-whole", *range(500, 600))
