"""The checks of the profile ``cohere``: events, contents and calls of Cohere's Chat, usage, errors, models.

In:   the exchanges of ``corpus/server/cohere.json``.
Out:  the checks that are this provider's; what holds for every stream is in ``streams.py``, connections are in ``life.py``.

Follows the vendor's API reference, "Chat" and "Chat with streaming", version 2. The server's URL is the one that the
vendor's SDKs take: without the version of the API.
"""

from __future__ import annotations

import re
from typing import Any

from sse_ref.codec import ServerSentEvent
from sse_ref.conformance.servers.chats import strict_json
from sse_ref.conformance.servers.life import are_not_mixed_up
from sse_ref.conformance.servers.streams import stream_of
from sse_ref.conformance.servers.target import Failed, Skipped, Target, check, expect, in_each
from sse_ref.conformance.servers.typed import (
    Typed,
    accepted,
    error_body,
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

FINISH_REASONS = {"COMPLETE", "STOP_SEQUENCE", "MAX_TOKENS", "TOOL_CALL", "ERROR", "TIMEOUT"}
STREAMS = ("base", "tool", "thinking", "two-tools")
LIMITED = ("one-token", "three-tokens", "stop", "stop-unmatched")  # streams that may end for another reason
SEVERAL = ("base", "tool", "two-tools")
CONTENT = ("content-start", "content-delta", "content-end")
CALL = ("tool-call-start", "tool-call-delta", "tool-call-end")
DONE = "[DONE]"

# ---- A stream taken apart --------------------------------------------------------------------------------------------


def message_in(value: dict[str, Any]) -> dict[str, Any]:
    """The ``message`` in the delta of an event; {} if there is none."""
    delta = value.get("delta")
    message = delta.get("message") if isinstance(delta, dict) else None
    return message if isinstance(message, dict) else {}


def content_in(value: dict[str, Any]) -> dict[str, Any]:
    """The ``content`` of an event; {} if it is no object."""
    content = message_in(value).get("content")
    return content if isinstance(content, dict) else {}


def call_in(value: dict[str, Any]) -> dict[str, Any]:
    """The ``tool_calls`` of an event, which is one object. Raises ``Failed`` for anything else."""
    call = message_in(value).get("tool_calls")
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        raise Failed(f"tool_calls is no object with a function: {call!r:.80}")
    return call


def text_of(stream: Typed) -> str:
    """The text deltas put together."""
    return "".join(texts_of(stream))


def texts_of(stream: Typed) -> list[str]:
    """The text deltas."""
    found = [content_in(value).get("text") for value in stream.of("content-delta")]
    return [text for text in found if isinstance(text, str) and text]


def whole_text(answer: dict[str, Any]) -> str:
    """The text of a whole answer."""
    message = answer.get("message")
    contents = message.get("content") if isinstance(message, dict) else None
    expect(isinstance(contents, list), f"the content is {contents!r:.80}")
    return "".join(str(one.get("text", "")) for one in contents or [] if isinstance(one, dict))


def end_of(stream: Typed) -> dict[str, Any]:
    """The delta of ``message-end``."""
    ends = stream.of("message-end")
    if not ends or not isinstance(ends[0].get("delta"), dict):  # cohere/end-last says so
        raise Skipped("there is no message-end with a delta")
    return dict(ends[0]["delta"])


def finish_of(stream: Typed) -> str:
    """The finish reason. Raises ``Skipped`` if there is none, or one that nobody knows: ``cohere/finish-known`` says so."""
    reason = end_of(stream).get("finish_reason")
    if reason not in FINISH_REASONS:
        raise Skipped(f"the finish reason is {reason!r}")
    return str(reason)


def before_the_mark(stream: Typed) -> list[dict[str, Any]]:
    """The objects before [DONE]: what comes after it is a fact of its own."""
    data = [event.data for event in stream.exchange.events]
    return stream.values[: data.index(DONE)] if DONE in data else stream.values


def tokens_of(usage: Any, name: str = "tokens") -> tuple[Any, Any]:
    """The tokens that went in and came out, by a usage. Raises ``Skipped`` if it has none: ``cohere/usage`` says so."""
    counts = usage.get(name) if isinstance(usage, dict) else None
    if not isinstance(counts, dict):
        raise Skipped(f"the usage has no {name}: {usage!r:.80}")
    return counts.get("input_tokens"), counts.get("output_tokens")


def events_of(target: Target, name: str) -> list[ServerSentEvent]:
    """The events of a named exchange, if it was answered."""
    return target.get(name).events if target.get(name).status == 200 else []


def expect_counts(usage: Any) -> None:
    """A usage has the tokens that went in and came out."""
    counts = usage.get("tokens") if isinstance(usage, dict) else None
    good = isinstance(counts, dict) and is_count(counts.get("input_tokens")) and is_count(counts.get("output_tokens"))
    expect(good, f"the usage is {usage!r:.80}")


def is_count(value: Any) -> bool:
    """A number of tokens, which the vendor writes with a fraction of zero."""
    return is_whole_number(value) or (isinstance(value, float) and value >= 0 and value.is_integer())


def calls_of(target: Target, name: str = "tool") -> list[tuple[dict[str, Any], str]]:
    """The calls of an exchange, each with its arguments put together."""
    require(target, name, "tools")
    stream = typed(target, name)
    calls = []
    for start in stream.of("tool-call-start"):
        deltas = [call_in(v) for v in stream.of("tool-call-delta") if v.get("index") == start.get("index")]
        parts = [str(call_in(start)["function"].get("arguments") or "")]
        parts += [str(delta["function"].get("arguments", "")) for delta in deltas]
        calls.append((call_in(start), "".join(parts)))
    if not calls:
        raise Skipped("the model made no tool call")
    return calls


# ---- Events ----------------------------------------------------------------------------------------------------------


@check("cohere/types")
def cohere_types(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for value in stream.values:
            expect(isinstance(value.get("type"), str), f"an event has the type {value.get('type')!r}: {value!r:.60}")


@check("cohere/names")
def cohere_names(target: Target) -> None:
    for name, value in typed(target, "base").named:
        expect(
            name in ("message", value.get("type")), f"an event of the type {value.get('type')!r} has the name {name!r}"
        )


@check("cohere/json")
def cohere_json(target: Target) -> None:
    for event in (event for name in SEVERAL for event in events_of(target, name)):
        if event.data not in ("", DONE):
            expect(isinstance(strict_json(event.data), dict), f"the data is no JSON object: {event.data[:80]!r}")


@check("cohere/one-line")
def cohere_one_line(target: Target) -> None:
    for event in (event for name in SEVERAL for event in events_of(target, name)):
        expect("\n" not in event.data, f"an event has several data lines: {event.data[:80]!r}")


@check("cohere/no-cr")
def cohere_no_cr(target: Target) -> None:
    expect(not re.search(rb"\r(?!\n)", stream_of(target, "base").body), "a line ends with CR alone")


@check("cohere/done-in-text")
def cohere_done_in_text(target: Target) -> None:
    target.require("echo")
    exchange = stream_of(target, "echo-done")
    expect(text_of(Typed(exchange)) == "say [DONE] now", f"the text is {text_of(Typed(exchange))!r}")
    for event in exchange.events:
        expect(event.data == DONE or DONE not in event.data, f"[DONE] stands in {event.data[:120]!r}")


@check("cohere/done-last")
def cohere_done_last(target: Target) -> None:
    data = [event.data for event in stream_of(target, "base").events]
    expect(data.count(DONE) <= 1, f"[DONE] came {data.count(DONE)} times")
    expect(DONE not in data[:-1], "something came after [DONE]")


@check("cohere/start-first")
def cohere_start_first(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        first = stream.values[0]
        expect(first.get("type") == "message-start", f"the first event is {first.get('type')!r}")
        expect(len(stream.of("message-start")) == 1, "message-start came twice")


@check("cohere/start-shape")
def cohere_start_shape(target: Target) -> None:
    start = typed(target, "base").one("message-start")
    expect(isinstance(start.get("id"), str) and start["id"], f"the id is {start.get('id')!r}")
    expect(message_in(start).get("role") == "assistant", f"the role is {message_in(start).get('role')!r}")


@check("cohere/end-last")
def cohere_end_last(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        kinds = [value.get("type") for value in before_the_mark(stream)]
        expect(kinds.count("message-end") == 1, f"message-end came {kinds.count('message-end')} times")
        expect(kinds[-1] == "message-end", f"the last event is {kinds[-1]!r}")


@check("cohere/finish-known")
def cohere_finish_known(target: Target) -> None:
    for stream in streams(target, *STREAMS, *LIMITED):
        reason = end_of(stream).get("finish_reason")
        expect(reason in FINISH_REASONS, f"the finish reason is {reason!r}")


@check("cohere/content-order")
def cohere_content_order(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        are_in_order(stream)


def are_in_order(stream: Typed) -> None:
    """A content ends before anything else begins, and its events have its index and its kind."""
    is_open: Any = None
    kind_of_content: Any = None
    indexes = []
    for value in stream.of(*CONTENT, "message-end", *CALL):
        kind, index = value["type"], value.get("index")
        if kind == "content-start":
            expect(is_open is None, "a content begins while another is open")
            expect(is_whole_number(index), f"the index of a content is {index!r}")
            is_open, kind_of_content = index, content_in(value).get("type")
            indexes.append(index)
        elif kind in CONTENT:
            expect(is_open is not None and index == is_open, f"{kind} has the index {index!r}, open is {is_open!r}")
            if kind == "content-delta":
                members = [name for name in ("text", "thinking") if name in content_in(value)]
                expect(members in ([], [kind_of_content]), f"in a content of {kind_of_content} came {members}")
            is_open = None if kind == "content-end" else is_open
        else:
            expect(is_open is None, f"{kind} came while a content is open")
    expect(len(set(indexes)) == len(indexes), f"the indexes of the contents are {indexes}")


@check("cohere/content-start")
def cohere_content_start(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for value in stream.of("content-start"):
            content = content_in(value)
            kind = content.get("type")
            expect(kind in ("text", "thinking"), f"the type of a content is {kind!r}")
            expect(content.get(str(kind)) == "", f"a content begins with {content!r:.80}")


@check("cohere/delta-shape")
def cohere_delta_shape(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for value in stream.of("content-delta"):
            content = content_in(value)
            texts = [content.get(kind) for kind in ("text", "thinking") if kind in content]
            expect(len(texts) == 1 and isinstance(texts[0], str), f"the content of a delta is {content!r:.80}")


@check("cohere/several-deltas")
def cohere_several_deltas(target: Target) -> None:
    is_several(texts_of(typed(target, "base")), "the answer")


@check("cohere/not-mixed")
def cohere_not_mixed(target: Target) -> None:
    expect(not typed(target, "base").of(*CALL), "tool events came in an answer without tools")
    calls_of(target)
    contents = [value for value in typed(target, "tool").of("content-delta") if content_in(value).get("text")]
    expect(not contents, "text came beside a tool call")


@check("cohere/thinking")
def cohere_thinking(target: Target) -> None:
    target.require("thinking")
    kinds = ["thinking" in content_in(value) for value in typed(target, "thinking").of("content-delta")]
    if set(kinds) != {True, False}:
        raise Skipped("there are not both thoughts and text")
    expect(kinds == sorted(kinds, reverse=True), "thoughts and text are mixed")


@check("cohere/ids-differ")
def cohere_ids_differ(target: Target) -> None:
    one, other = (typed(target, name).one("message-start").get("id") for name in ("base", "again"))
    expect(one != other, f"two answers have the id {one!r}")


@check("cohere/text")
def cohere_text(target: Target) -> None:
    same_as_whole(target, text_of, whole_text)


@check("cohere/fifty-at-once")
def cohere_fifty_at_once(target: Target) -> None:
    are_not_mixed_up(target, lambda exchange: text_of(Typed(exchange)))


# ---- Limits, stop sequences, usage -----------------------------------------------------------------------------------


@check("cohere/max-tokens")
def cohere_max_tokens(target: Target) -> None:
    stream = typed(target, "three-tokens")
    _, tokens = tokens_of(end_of(stream).get("usage"))
    if finish_of(stream) == "COMPLETE" and is_count(tokens) and tokens < 3:
        raise Skipped(f"the whole answer has {tokens} tokens")
    expect(finish_of(stream) == "MAX_TOKENS", f"the finish reason is {finish_of(stream)!r}")
    expect(is_count(tokens) and tokens <= 3, f"output_tokens is {tokens!r}")


@check("cohere/stop")
def cohere_stop(target: Target) -> None:
    target.require("echo")
    stream = typed(target, "stop")
    expect(text_of(stream) == "alpha be", f"the text is {text_of(stream)!r}, not 'alpha be'")
    expect(finish_of(stream) == "STOP_SEQUENCE", f"the finish reason is {finish_of(stream)!r}")


@check("cohere/stop-unmatched")
def cohere_stop_unmatched(target: Target) -> None:
    target.require("echo")
    stream = typed(target, "stop-unmatched")
    expect(text_of(stream) == "alpha beta gamma", f"the text is {text_of(stream)!r}, not 'alpha beta gamma'")
    expect(finish_of(stream) == "COMPLETE", f"the finish reason is {finish_of(stream)!r}")


@check("cohere/seed")
def cohere_seed(target: Target) -> None:
    one, other = (text_of(typed(target, name)) for name in ("seed", "seed-again"))
    expect(one == other, f"with the same seed one answer is {one[:60]!r}, another {other[:60]!r}")


@check("cohere/usage")
def cohere_usage(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        expect_counts(end_of(stream).get("usage"))


@check("cohere/usage-whole")
def cohere_usage_whole(target: Target) -> None:
    target.require("echo")
    streamed = tokens_of(end_of(typed(target, "echo-unicode")).get("usage"))
    whole = tokens_of(whole_answer(target, "echo-whole").get("usage"))
    expect(streamed == whole, f"the tokens are {streamed} in the stream, {whole} in the whole answer")


@check("cohere/billed-units")
def cohere_billed_units(target: Target) -> None:
    usage = end_of(typed(target, "base")).get("usage")
    if not isinstance(usage, dict) or "billed_units" not in usage:
        return
    counts = tokens_of(usage, "billed_units")
    expect(all(map(is_count, counts)), f"the billed units are {counts}")


# ---- Tools -----------------------------------------------------------------------------------------------------------


@check("cohere/call-start")
def cohere_call_start(target: Target) -> None:
    for call, _ in calls_of(target):
        expect(isinstance(call.get("id"), str) and call["id"], f"the id of a call is {call.get('id')!r}")
        expect(call.get("type") == "function", f"the type of a call is {call.get('type')!r}")
        name, arguments = (call["function"].get(member) for member in ("name", "arguments"))
        expect(name == "get_weather", f"the name of a call is {name!r}")
        expect(arguments == "", f"the arguments of a call begin as {arguments!r:.60}")


@check("cohere/call-delta")
def cohere_call_delta(target: Target) -> None:
    calls_of(target)
    for value in typed(target, "tool").of("tool-call-delta"):
        call = call_in(value)
        expect(isinstance(call["function"].get("arguments"), str), f"the arguments of a delta are {call!r:.80}")
        expect(
            "id" not in call and "name" not in call["function"], f"a delta tells the id or the name again: {call!r:.80}"
        )


@check("cohere/call-order")
def cohere_call_order(target: Target) -> None:
    calls_of(target, "two-tools")
    is_open: Any = None
    for value in typed(target, "two-tools").of(*CALL, "message-end"):
        kind, index = value["type"], value.get("index")
        if kind == "tool-call-start":
            expect(is_open is None, "a call begins while another is open")
            is_open = index
        elif kind in CALL:
            expect(index == is_open, f"{kind} has the index {index!r}, open is {is_open!r}")
            is_open = None if kind == "tool-call-end" else is_open
        else:
            expect(is_open is None, "the message ends while a call is open")


@check("cohere/call-ids")
def cohere_call_ids(target: Target) -> None:
    calls = calls_of(target, "two-tools")
    ids = [call.get("id") for call, _ in calls]
    expect(len(set(map(str, ids))) == len(ids), f"two calls have the id {ids[0]!r}")
    indexes = [value.get("index") for value in typed(target, "two-tools").of("tool-call-start")]
    expect(indexes == list(range(len(indexes))), f"the indexes of calls are {indexes}")


@check("cohere/call-arguments")
def cohere_call_arguments(target: Target) -> None:
    for _, arguments in calls_of(target):
        fits_the_schema(arguments, "the text of the arguments", "city", "note")


@check("cohere/call-fragments")
def cohere_call_fragments(target: Target) -> None:
    calls_of(target)
    deltas = [call_in(value)["function"].get("arguments") for value in typed(target, "tool").of("tool-call-delta")]
    is_several([delta for delta in deltas if isinstance(delta, str) and delta], "the text of the arguments")


@check("cohere/call-two")
def cohere_call_two(target: Target) -> None:
    calls = calls_of(target, "two-tools")
    names = [call["function"].get("name") for call, _ in calls]
    if set(names) != {"get_weather", "get_time"}:
        raise Skipped(f"the model called {names}")
    for _, arguments in calls:
        fits_the_schema(arguments, "the text of the arguments", "city")


@check("cohere/call-finish")
def cohere_call_finish(target: Target) -> None:
    calls_of(target)
    reason = finish_of(typed(target, "tool"))
    expect(reason == "TOOL_CALL", f"the finish reason is {reason!r}")


@check("cohere/tool-choice")
def cohere_tool_choice(target: Target) -> None:
    require(target, "tool", "tools")
    accepted(target, "tool-none", "tool-required")
    expect(not typed(target, "tool-none").of("tool-call-start"), "with NONE a call was made")
    expect(typed(target, "tool-required").of("tool-call-start"), "with REQUIRED no call was made")


@check("cohere/tool-result")
@in_each("tool-result", "tool-result-documents")
def cohere_tool_result(target: Target, name: str) -> None:
    require(target, "tool", "tools")
    accepted(target, name)
    stream = typed(target, name)
    expect(text_of(stream) or finish_of(stream) == "MAX_TOKENS", f"{name}: no text came")


# ---- Requests --------------------------------------------------------------------------------------------------------


@check("cohere/whole")
@in_each("stream-absent", "stream-false")
def cohere_whole(target: Target, name: str) -> None:
    answer = whole_answer(target, name)
    expect(isinstance(answer.get("id"), str), f"{name}: the id is {answer.get('id')!r}")
    expect(answer.get("finish_reason") in FINISH_REASONS, f"{name}: it ended with {answer.get('finish_reason')!r}")
    text = whole_text(answer) or answer.get("finish_reason") == "MAX_TOKENS"
    expect(text, f"{name}: there is no text: {answer!r:.80}")
    role = answer["message"].get("role")
    expect(role == "assistant", f"{name}: the role is {role!r}")


@check("cohere/whole-usage")
def cohere_whole_usage(target: Target) -> None:
    expect_counts(whole_answer(target, "stream-absent").get("usage"))


@check("cohere/turns")
def cohere_turns(target: Target) -> None:
    accepted(target, "turns")
    if target.models.get("echo"):
        said = text_of(typed(target, "echo-parts"))
        expect(said == "one two", f"the text is {said!r}, not 'one two'")


@check("cohere/json-mode")
def cohere_json_mode(target: Target) -> None:
    require(target, "json-schema", "schemas")
    fits_the_schema(text_of(typed(target, "json-schema")), "the text", "city", "note")


@check("cohere/models")
def cohere_models(target: Target) -> None:
    listed = whole_answer(target, "models")
    entries = listed.get("models")
    expect(isinstance(entries, list) and entries, f"models is {entries!r:.80}")
    names = [entry.get("name") for entry in entries or []]
    asked = target.models[""]
    if listed.get("next_page_token") and not {asked, f"models/{asked}"} & set(map(str, names)):
        raise Skipped("the model is not on the first page")
    expect(asked in names or f"models/{asked}" in names, f"{asked!r} is not among {names[:8]}")


# ---- Errors ----------------------------------------------------------------------------------------------------------


def error_of(target: Target, name: str, *statuses: int) -> str:
    """The message of a refused request; "" if it has another shape, which ``cohere/error-shape`` says."""
    message = error_body(target, name, *statuses).get("message")
    return message if isinstance(message, str) else ""


@check("cohere/error-shape")
@in_each("bad-json", "bad-json-stream", "unknown-model")
def cohere_error_shape(target: Target, name: str) -> None:
    message = refused(target, name, range(400, 500)).get("message")
    expect(isinstance(message, str) and message, f"{name}: the message is {message!r:.80}")


@check("cohere/error-request")
@in_each("no-object", "no-messages", "empty-messages", "wrong-role", "negative-max-tokens")
def cohere_error_request(target: Target, name: str) -> None:
    error_of(target, name, 400, 422)


@check("cohere/error-model")
def cohere_error_model(target: Target) -> None:
    message = error_of(target, "unknown-model", 404)
    expect(not message or "no-such-model" in message, f"the message does not name the model: {message[:80]!r}")


@check("cohere/key")
@in_each("wrong-key", "no-key")
def cohere_key(target: Target, name: str) -> None:
    if not target.key:
        raise Skipped("no key was given (--api-key-env)")
    accepted(target, "again")
    error_of(target, name, 401)


@check("cohere/overload")
def cohere_overload(target: Target) -> None:
    exchange = next((e for e in target.sent.values() if e.status == 429), None) or target.get("overload")
    expect(exchange.status == 429, f"the status is {exchange.status}")
    expect(exchange.header("retry-after"), "there is no Retry-After")


@check("cohere/error-in-stream")
def cohere_error_in_stream(target: Target) -> None:
    stream = failing(target)
    end = end_of(stream)
    expect(end.get("finish_reason") == "ERROR", f"the finish reason is {end.get('finish_reason')!r}")
    expect(isinstance(end.get("error"), str) and end["error"], f"the error is {end.get('error')!r:.80}")
    are_in_order(stream)


@check("cohere/error-usage")
def cohere_error_usage(target: Target) -> None:
    end = end_of(failing(target))
    if end.get("finish_reason") != "ERROR":
        raise Skipped("no error came")
    expect_counts(end.get("usage"))


@check("cohere/nothing-after-error")
def cohere_nothing_after_error(target: Target) -> None:
    stream = failing(target)
    end_of(stream)
    last = [event.data for event in stream.exchange.events if event.data != DONE][-1]
    expect('"message-end"' in last, f"after the error came {last[:80]!r}")
    expect(stream.exchange.ended, stream.exchange.problem or "the body was cut")


@check("cohere/error-whole")
def cohere_error_whole(target: Target) -> None:
    error_of(target, "error-whole", *range(500, 600))
