"""The checks of the profile ``gemini``: chunks and parts of Gemini, usage, function calls, errors, models.

In:   the exchanges of ``corpus/server/gemini.json``.
Out:  the checks that are this provider's; what holds for every stream is in ``streams.py``, connections are in ``life.py``.

Follows the vendor's API reference, "Generating content". The server's URL is the one that the vendor's SDKs take: without
the version of the API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from sse_ref.conformance.servers.chats import strict_json
from sse_ref.conformance.servers.life import are_not_mixed_up
from sse_ref.conformance.servers.streams import is_incremental, longest_silence, slow_stream
from sse_ref.conformance.servers.target import Failed, Skipped, Target, check, expect, in_each, told
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
from sse_ref.conformance.wire import Exchange

__all__: list[str] = []  # each check is found in CHECKS, by the id of its vector

FINISH_REASONS = {
    *("STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"),
    *("MALFORMED_FUNCTION_CALL", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_OTHER", "NO_IMAGE"),
    *("IMAGE_RECITATION", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE"),
    *("MALFORMED_RESPONSE", "ESCALATION", "PUP_LIMITED_DISABLED", "CONTINUATION", "MODEL_ARMOR"),
    "FINISH_REASON_UNSPECIFIED",
}
MEMBERS = {"candidates", "promptFeedback", "usageMetadata", "error"}
STREAMS = ("base", "tool", "thinking", "two-tools")
LIMITED = ("one-token", "three-tokens", "stop", "stop-unmatched")  # streams that may end for another reason

# ---- A stream taken apart --------------------------------------------------------------------------------------------


def candidates_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The candidates of a chunk, or of a whole answer."""
    found = value.get("candidates", [])
    expect(isinstance(found, list) and all(isinstance(one, dict) for one in found), f"candidates is {found!r:.80}")
    return list(found)


def parts_of(value: dict[str, Any], index: int | None = None) -> list[dict[str, Any]]:
    """The parts of a chunk's candidates, or of the one with an index."""
    contents = [one.get("content") for one in candidates_of(value) if index in (None, one.get("index", 0))]
    parts = [part for content in contents if isinstance(content, dict) for part in content.get("parts") or []]
    expect(all(isinstance(part, dict) for part in parts), f"a part is no object: {parts!r:.80}")
    return parts


def text_of(stream: Typed, index: int | None = None) -> str:
    """The text parts put together."""
    return "".join(texts_of(stream, index))


def texts_of(stream: Typed, index: int | None = None) -> list[str]:
    """The text parts."""
    parts = [part for value in stream.values for part in parts_of(value, index) if not part.get("thought")]
    return [part["text"] for part in parts if isinstance(part.get("text"), str) and part["text"]]


def whole_text(answer: dict[str, Any]) -> str:
    """The text of a whole answer."""
    return "".join(str(part.get("text", "")) for part in parts_of(answer) if not part.get("thought"))


def finishes_of(stream: Typed) -> list[tuple[int, Any]]:
    """The index and the finish reason of each candidate that has one, chunk by chunk."""
    found = [(one.get("index", 0), one.get("finishReason")) for value in stream.values for one in candidates_of(value)]
    return [(index, reason) for index, reason in found if reason]


def finish_of(stream: Typed) -> str:
    """The finish reason of the first candidate. Raises ``Skipped`` if it has none, or one that nobody knows."""
    reason = next((reason for index, reason in finishes_of(stream) if index == 0), None)
    if reason not in FINISH_REASONS:
        raise Skipped(f"the finish reason is {reason!r}")
    return str(reason)


def has_text(stream: Typed, index: int | None = None) -> bool:
    """Whether there is text, or none because thoughts took all the tokens."""
    return bool(text_of(stream, index)) or any(reason == "MAX_TOKENS" for _, reason in finishes_of(stream))


def calls_of(target: Target, name: str = "tool") -> list[dict[str, Any]]:
    """The function calls of an exchange."""
    require(target, name, "functions")
    calls = calls_in(typed(target, name))
    if not calls:
        raise Skipped("the model made no function call")
    return calls


def calls_in(stream: Typed) -> list[dict[str, Any]]:
    """The function calls of a stream."""
    parts = [part for value in stream.values for part in parts_of(value)]
    return [part["functionCall"] for part in parts if isinstance(part.get("functionCall"), dict)]


def usages_of(stream: Typed) -> list[dict[str, Any]]:
    """The usages of a stream."""
    return [value["usageMetadata"] for value in stream.values if isinstance(value.get("usageMetadata"), dict)]


def last_usage(stream: Typed) -> dict[str, Any]:
    """The usage of the last chunk. Raises ``Skipped`` if it has none: ``gemini/usage`` says so."""
    usage = stream.values[-1].get("usageMetadata")
    if not isinstance(usage, dict):
        raise Skipped("the last chunk has no usageMetadata")
    return usage


def exchanges_of(target: Target, *names: str) -> Iterator[Exchange]:
    """The first of the named exchanges, and those of the others whose model was named and that were answered."""
    for name in names:
        if name == names[0] or target.model_for(target.file["exchanges"][name].get("role", "")):
            exchange = target.get(name)
            if name == names[0] or exchange.status == 200:
                yield exchange


# ---- Requests and their answers --------------------------------------------------------------------------------------


@check("gemini/v1")
def gemini_v1(target: Target) -> None:
    expect(has_text(typed(target, "v1")), "no text came")
    accepted(target, "whole-v1", "models-v1")
    listed = json.loads(target.get("models-v1").body).get("models")
    expect(isinstance(listed, list) and listed, f"models-v1: models is {listed!r:.80}")


@check("gemini/array")
def gemini_array(target: Target) -> None:
    exchange = target.get("no-alt")
    expect(exchange.status == 200, f"{told(exchange)}")
    expect(exchange.kind == "application/json", f"the Content-Type is {exchange.header('content-type')!r}")
    chunks = json.loads(exchange.body)
    expect(isinstance(chunks, list) and chunks, f"the body is no array of chunks: {exchange.body[:80]!r}")
    text = "".join(map(whole_text, chunks))
    expect(len(chunks) > 1 or len(text) < 20, "the whole answer is one element")
    expect(text or '"MAX_TOKENS"' in exchange.body.decode(), "no text came")


@check("gemini/array-incremental")
def gemini_array_incremental(target: Target) -> None:
    if target.get("no-alt").status != 200:
        raise Skipped("there is no array")
    is_incremental(target, "no-alt")


@check("gemini/whole")
def gemini_whole(target: Target) -> None:
    answer = whole_answer(target, "whole")
    cut = any(one.get("finishReason") == "MAX_TOKENS" for one in candidates_of(answer))
    expect(whole_text(answer) or cut, f"there is no text: {answer!r:.80}")
    reasons = [one.get("finishReason") for one in candidates_of(answer)]
    expect(reasons and set(reasons) <= FINISH_REASONS, f"the finish reason is {reasons}")


@check("gemini/snake-case")
def gemini_snake_case(target: Target) -> None:
    if finish_of(typed(target, "three-tokens")) != "MAX_TOKENS":
        raise Skipped("maxOutputTokens has no effect, or the answer is short")
    accepted(target, "snake-case")
    reason = finish_of(typed(target, "snake-case"))
    expect(reason == "MAX_TOKENS", f"max_output_tokens had no effect: the finish reason is {reason}")


@check("gemini/snake-case-tools")
def gemini_snake_case_tools(target: Target) -> None:
    calls_of(target)
    accepted(target, "snake-tools")
    calls = calls_in(typed(target, "snake-tools"))
    expect(calls, "no call came, although function_calling_config requires one")
    for call in calls:
        fits_the_schema(json.dumps(call.get("args")), "args", "city", "note")


@check("gemini/content-parts")
def gemini_content_parts(target: Target) -> None:
    target.require("echo")
    said = text_of(typed(target, "echo-parts"))
    expect(said == "one two", f"the text is {said!r}, not 'one two'")


@check("gemini/unknown-field")
def gemini_unknown_field(target: Target) -> None:
    status = target.get("unknown-field").status
    expect(status in (200, 400), f"the status is {status}")


@check("gemini/json-mode")
@in_each("json-schema", "json-openapi")
def gemini_json_mode(target: Target, name: str) -> None:
    require(target, name, "schemas")
    fits_the_schema(text_of(typed(target, name)), f"{name}: the text", "city", "note")


# ---- Lines -----------------------------------------------------------------------------------------------------------


@check("gemini/no-other-fields")
def gemini_no_other_fields(target: Target) -> None:
    for exchange in exchanges_of(target, *STREAMS, "slow", "error"):
        for line in re.split(rb"\r\n|\r|\n", exchange.body.removeprefix(b"\xef\xbb\xbf")):
            expect(not line or line.startswith(b"data:"), f"a line is {line[:80]!r}")


@check("gemini/one-line")
def gemini_one_line(target: Target) -> None:
    for exchange in exchanges_of(target, *STREAMS, "error"):
        for event in exchange.events:
            expect("\n" not in event.data, f"an event has several data lines: {event.data[:80]!r}")


@check("gemini/space-after-colon")
def gemini_space_after_colon(target: Target) -> None:
    for exchange in exchanges_of(target, *STREAMS, "error"):
        lines = re.findall(rb"^data:.?", exchange.body, re.MULTILINE)
        expect(all(line == b"data: " for line in lines), "data has no space after its colon")


@check("gemini/json")
def gemini_json(target: Target) -> None:
    for exchange in exchanges_of(target, *STREAMS, "error"):
        for event in exchange.events:
            if event.data not in ("", "[DONE]"):
                expect(isinstance(strict_json(event.data), dict), f"the data is no JSON object: {event.data[:80]!r}")


@check("gemini/no-done")
def gemini_no_done(target: Target) -> None:
    for exchange in exchanges_of(target, *STREAMS, "error"):
        expect(all(event.data != "[DONE]" for event in exchange.events), "[DONE] came")


@check("gemini/no-cr")
def gemini_no_cr(target: Target) -> None:
    for exchange in exchanges_of(target, *STREAMS):
        expect(not re.search(rb"\r(?!\n)", exchange.body), "a line ends with CR alone")


@check("gemini/ends")
def gemini_ends(target: Target) -> None:
    finish_of(typed(target, "base"))
    exchange = target.get("base")
    if exchange.expired:
        raise Failed(f"after the finish reason the stream stayed open: {exchange.expired}", expired=True)


@check("gemini/silence")
def gemini_silence(target: Target) -> None:
    longest = longest_silence(target)
    expect(longest <= target.long_silence, f"nothing came for {longest:.1f} s")
    if not re.match(rb"[\r\n]", slow_stream(target).body):
        raise Skipped(f"no blank line came, but the silence lasted {longest:.1f} s only: too short to tell")


# ---- Chunks ----------------------------------------------------------------------------------------------------------


@check("gemini/chunk-members")
def gemini_chunk_members(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for value in stream.values:
            expect(MEMBERS & set(value), f"a chunk has nothing of an answer: {value!r:.80}")


@check("gemini/parts")
def gemini_parts(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for value in stream.values:
            for one in candidates_of(value):
                content = one.get("content", {})
                good = isinstance(content, dict) and isinstance(content.get("parts", []), list)
                expect(good, f"a content is {content!r:.80}")
            for part in parts_of(value):
                expect(isinstance(part.get("text", ""), str), f"a text is {part.get('text')!r:.60}")


@check("gemini/role")
def gemini_role(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for value in stream.values:
            for one in candidates_of(value):
                role = one["content"].get("role") if one.get("content") else "model"
                expect(role == "model", f"the role is {role!r}")


@check("gemini/index")
def gemini_index(target: Target) -> None:
    stream = typed(target, "two-candidates") if target.get("two-candidates").status == 200 else typed(target, "base")
    indexes = {one.get("index", 0) for value in stream.values for one in candidates_of(value)}
    expect(all(map(is_whole_number, indexes)), f"the indexes are {indexes}")
    expect(indexes == set(range(len(indexes))), f"the indexes are {sorted(indexes)}")


@check("gemini/one-finish")
def gemini_one_finish(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        reasons = finishes_of(stream)
        expect(len(reasons) == 1, f"{len(reasons)} finish reasons came")
        end = next(
            n for n, value in enumerate(stream.values) if any(o.get("finishReason") for o in candidates_of(value))
        )
        late = [part for value in stream.values[end + 1 :] for part in parts_of(value)]
        expect(not late, f"after the finish reason came {late!r:.80}")


@check("gemini/finish-known")
def gemini_finish_known(target: Target) -> None:
    for stream in streams(target, *STREAMS, *LIMITED):
        for _, reason in finishes_of(stream):
            expect(reason in FINISH_REASONS, f"the finish reason is {reason!r}")


@check("gemini/finish-last")
def gemini_finish_last(target: Target) -> None:
    stream = typed(target, "base")
    finish_of(stream)
    last = stream.values[-1]
    told = any(one.get("finishReason") for one in candidates_of(last))
    expect(told or parts_of(last), f"the last chunk has no finish reason: {last!r:.80}")  # late parts are one-finish's


@check("gemini/text")
def gemini_text(target: Target) -> None:
    same_as_whole(target, text_of, whole_text)


@check("gemini/several-chunks")
def gemini_several_chunks(target: Target) -> None:
    is_several(texts_of(typed(target, "base")), "the answer")


@check("gemini/ids")
def gemini_ids(target: Target) -> None:
    for name in ("modelVersion", "responseId"):
        found = {json.dumps(value.get(name)) for value in typed(target, "base").values}
        expect(len(found) == 1 and "null" not in found, f"{name} is {sorted(found)[:3]}")
    one, other = (typed(target, name).values[0].get("responseId") for name in ("base", "again"))
    expect(one != other, f"two answers have the responseId {one!r}")


@check("gemini/candidates")
def gemini_candidates(target: Target) -> None:
    require(target, "two-candidates", "two candidates")
    stream = typed(target, "two-candidates")
    ended = [index for index, _ in finishes_of(stream)]
    if not ended:
        raise Skipped("no candidate ended")
    expect(sorted(ended) == [0, 1], f"the candidates that ended are {ended}")
    expect(has_text(stream, 0) and has_text(stream, 1), "a candidate has no text")


@check("gemini/thoughts")
def gemini_thoughts(target: Target) -> None:
    target.require("thinking")
    values = typed(target, "thinking").values
    kinds = [bool(part.get("thought")) for value in values for part in parts_of(value) if part.get("text")]
    if set(kinds) != {True, False}:
        raise Skipped("there are not both thoughts and text")
    expect(kinds == sorted(kinds, reverse=True), "thoughts and text are mixed")


@check("gemini/fifty-at-once")
def gemini_fifty_at_once(target: Target) -> None:
    are_not_mixed_up(target, lambda exchange: text_of(Typed(exchange)))


# ---- Limits, stop sequences, usage -----------------------------------------------------------------------------------


@check("gemini/max-tokens")
def gemini_max_tokens(target: Target) -> None:
    stream = typed(target, "three-tokens")
    tokens = last_usage(stream).get("candidatesTokenCount", 0)
    if finish_of(stream) == "STOP" and is_whole_number(tokens) and tokens < 3:
        raise Skipped(f"the whole answer has {tokens} tokens")
    expect(finish_of(stream) == "MAX_TOKENS", f"the finish reason is {finish_of(stream)!r}")
    expect(is_whole_number(tokens) and tokens <= 3, f"candidatesTokenCount is {tokens!r}")


@check("gemini/stop")
def gemini_stop(target: Target) -> None:
    target.require("echo")
    stream = typed(target, "stop")
    expect(text_of(stream) == "alpha be", f"the text is {text_of(stream)!r}, not 'alpha be'")
    expect(finish_of(stream) == "STOP", f"the finish reason is {finish_of(stream)!r}")


@check("gemini/stop-unmatched")
def gemini_stop_unmatched(target: Target) -> None:
    target.require("echo")
    said = text_of(typed(target, "stop-unmatched"))
    expect(said == "alpha beta gamma", f"the text is {said!r}, not 'alpha beta gamma'")


COUNTS = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount")


@check("gemini/usage")
def gemini_usage(target: Target) -> None:
    usage = typed(target, "base").values[-1].get("usageMetadata")
    expect(isinstance(usage, dict), "the last chunk has no usageMetadata")
    counts = [(usage or {}).get(name, 0) for name in (*COUNTS, "totalTokenCount")]
    expect(all(map(is_whole_number, counts)) and counts[0], f"the usage is {usage!r:.120}")
    expect(sum(counts[:-1]) == counts[-1], f"totalTokenCount is {counts[-1]}, the parts come to {sum(counts[:-1])}")


@check("gemini/usage-cumulative")
def gemini_usage_cumulative(target: Target) -> None:
    usages = usages_of(typed(target, "base"))
    counts = [usage.get("candidatesTokenCount", 0) for usage in usages]
    expect(counts == sorted(counts), f"candidatesTokenCount goes {counts[:8]}")
    prompts = {usage["promptTokenCount"] for usage in usages if "promptTokenCount" in usage}
    expect(len(prompts) <= 1, f"promptTokenCount goes {sorted(map(str, prompts))}")


@check("gemini/usage-whole")
def gemini_usage_whole(target: Target) -> None:
    target.require("echo")
    streamed = last_usage(typed(target, "echo-unicode"))
    whole = whole_answer(target, "echo-whole").get("usageMetadata")
    expect(isinstance(whole, dict), f"the usage of the whole answer is {whole!r:.80}")
    for name in ("promptTokenCount", "candidatesTokenCount"):
        told, same = streamed.get(name), (whole or {}).get(name)
        expect(told == same, f"{name} is {told!r} in the stream, {same!r} in the whole answer")


# ---- Functions -------------------------------------------------------------------------------------------------------


@check("gemini/call-whole")
def gemini_call_whole(target: Target) -> None:
    for call in calls_of(target):
        expect(isinstance(call.get("name"), str) and call["name"], f"the name of a call is {call.get('name')!r}")
        expect(isinstance(call.get("args", {}), dict), f"args is no object: {call.get('args')!r:.80}")
        expect(not {"partialArgs", "willContinue"} & set(call), "a call comes in pieces")


@check("gemini/call-arguments")
@in_each("tool", "tool-lower", "tool-json-schema")
def gemini_call_arguments(target: Target, name: str) -> None:
    calls_of(target)
    accepted(target, name)
    for call in calls_of(target, name):
        if isinstance(call.get("args"), dict):  # else call-whole says so
            fits_the_schema(json.dumps(call["args"]), f"{name}: args", "city", "note")


@check("gemini/call-two")
def gemini_call_two(target: Target) -> None:
    names = [call.get("name") for call in calls_of(target, "two-tools")]
    if set(names) != {"get_weather", "get_time"}:
        raise Skipped(f"the model called {names}")
    for call in calls_of(target, "two-tools"):
        if isinstance(call.get("args"), dict):
            fits_the_schema(json.dumps(call["args"]), "args", "city")


@check("gemini/call-finish")
@in_each("tool", "two-tools")
def gemini_call_finish(target: Target, name: str) -> None:
    calls_of(target)
    if any("functionCall" in part for value in typed(target, name).values for part in parts_of(value)):
        reason = finish_of(typed(target, name))
        expect(reason == "STOP", f"{name}: the finish reason is {reason!r}")


@check("gemini/tool-choice")
def gemini_tool_choice(target: Target) -> None:
    require(target, "tool", "functions")
    accepted(target, "tool-named", "tool-none")
    parts = [part for value in typed(target, "tool-none").values for part in parts_of(value)]
    expect(not any("functionCall" in part for part in parts), "with the mode NONE a call was made")
    found = (part for value in typed(target, "tool-named").values for part in parts_of(value))
    names = [part["functionCall"].get("name") for part in found if "functionCall" in part]
    expect(names, "with the mode ANY no call was made")
    expect(set(names) == {"get_time"}, f"the calls are of {names}, and only get_time is allowed")


@check("gemini/tool-result")
def gemini_tool_result(target: Target) -> None:
    require(target, "tool", "functions")
    accepted(target, "tool-result")
    stream = typed(target, "tool-result")
    expect(has_text(stream), "no text came")


# ---- Errors ----------------------------------------------------------------------------------------------------------


def error_of(target: Target, name: str, *statuses: int) -> dict[str, Any]:
    """The error of a refused request; {} if it has another shape, which ``gemini/error-shape`` says."""
    error = error_body(target, name, *statuses).get("error")
    return error if isinstance(error, dict) else {}


@check("gemini/error-shape")
@in_each("bad-json", "bad-json-stream", "unknown-model")
def gemini_error_shape(target: Target, name: str) -> None:
    error = refused(target, name, range(400, 500)).get("error")
    if not isinstance(error, dict):
        raise Failed(f"{name}: the error is {error!r:.80}")
    status = target.get(name).status
    expect(error.get("code") == status, f"{name}: the code is {error.get('code')!r}, the HTTP status {status}")
    for member in ("message", "status"):
        found = error.get(member)
        expect(isinstance(found, str) and found, f"{name}: the {member} is {found!r}")


@check("gemini/error-request")
@in_each("bad-json", "no-object", "no-contents", "empty-contents", "wrong-contents", "negative-max-tokens")
def gemini_error_request(target: Target, name: str) -> None:
    status = error_of(target, name, 400).get("status", "INVALID_ARGUMENT")
    expect(status == "INVALID_ARGUMENT", f"{name}: the status is {status!r}")


@check("gemini/error-model")
def gemini_error_model(target: Target) -> None:
    error = error_of(target, "unknown-model", 404)
    if error:
        expect(error.get("status") == "NOT_FOUND", f"the status is {error.get('status')!r}")
        message = str(error.get("message"))
        expect("no-such-model" in message, f"the message does not name the model: {message[:80]!r}")


@check("gemini/key")
@in_each("wrong-key", "no-key")
def gemini_key(target: Target, name: str) -> None:
    if not target.key:
        raise Skipped("no key was given (--api-key-env)")
    accepted(target, "again")
    error_of(target, name, 400, 401, 403)


@check("gemini/key-query")
def gemini_key_query(target: Target) -> None:
    if not target.key:
        raise Skipped("no key was given (--api-key-env)")
    accepted(target, "query-key")
    error_of(target, "wrong-query-key", 400, 401, 403)


@check("gemini/overload")
def gemini_overload(target: Target) -> None:
    exchange = next((e for e in target.sent.values() if e.status == 429), None) or target.get("overload")
    expect(exchange.status == 429, f"the status is {exchange.status}")
    expect(exchange.header("retry-after"), "there is no Retry-After")
    error = json.loads(exchange.body).get("error")
    status = error.get("status") if isinstance(error, dict) else "RESOURCE_EXHAUSTED"
    expect(status == "RESOURCE_EXHAUSTED", f"the status is {status!r}")


def errors_in(stream: Typed) -> list[dict[str, Any]]:
    """The objects of a stream that have an error."""
    return [value for value in stream.values if "error" in value]


@check("gemini/error-in-stream")
def gemini_error_in_stream(target: Target) -> None:
    errors = errors_in(failing(target))
    expect(len(errors) == 1, f"{len(errors)} errors came")
    expect(
        next(iter(errors[0])) == "error", f"the first member is {next(iter(errors[0]))!r}: the SDK looks at no other"
    )
    error = errors[0]["error"]
    good = isinstance(error, dict) and is_whole_number(error.get("code"))
    good = good and all(isinstance(error.get(name), str) for name in ("message", "status"))
    expect(good, f"the error is {errors[0]!r:.80}")


@check("gemini/nothing-after-error")
def gemini_nothing_after_error(target: Target) -> None:
    stream = failing(target)
    if not errors_in(stream):
        raise Skipped("no error came")
    last = [event.data for event in stream.exchange.events if event.data != "[DONE]"][-1]
    expect('"error"' in last, f"after the error came {last[:80]!r}")
    expect(not finishes_of(stream), "a finish reason came, too")
    expect(stream.exchange.ended, stream.exchange.problem or "the body was cut")


@check("gemini/error-whole")
def gemini_error_whole(target: Target) -> None:
    error_of(target, "error-whole", *range(500, 600))


# ---- Models ----------------------------------------------------------------------------------------------------------


@check("gemini/models")
def gemini_models(target: Target) -> None:
    listed = whole_answer(target, "models")
    entries = listed.get("models")
    expect(isinstance(entries, list) and entries, f"models is {entries!r:.80}")
    for entry in entries or []:
        expect(str(entry.get("name")).startswith("models/"), f"the name of a model is {entry.get('name')!r}")
    own = [entry for entry in entries or [] if entry.get("name") == f"models/{target.models['']}"]
    if not own and listed.get("nextPageToken"):
        raise Skipped("the model is not on the first page")
    expect(own, f"'models/{target.models['']}' is not among the models")
    methods = own[0].get("supportedGenerationMethods") or []
    expect("generateContent" in methods, f"generateContent is not among the methods {methods}")


@check("gemini/model-one")
def gemini_model_one(target: Target) -> None:
    name = whole_answer(target, "model-one").get("name")
    expect(name == f"models/{target.models['']}", f"the name is {name!r}")
    error_of(target, "model-missing", 404)


@check("gemini/count")
def gemini_count(target: Target) -> None:
    if target.get("count").status in (404, 405, 501):
        raise Skipped("the server does not count")
    counted = whole_answer(target, "count").get("totalTokens")
    usage = whole_answer(target, "echo-whole").get("usageMetadata") or {}
    used = usage.get("promptTokenCount", 0)
    near = is_whole_number(counted) and abs(counted - used) <= max(5, used // 10)  # it is an estimate
    expect(near, f"{counted!r} tokens, the answer to the same request says {used!r}")
