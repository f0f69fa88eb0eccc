"""The checks of the profile ``openai-responses``: events, items and parts of Responses, usage, calls, errors.

In:   the exchanges of ``corpus/server/openai-responses.json``.
Out:  the checks that are this wire's; what holds for every stream is in ``streams.py``, connections are in ``life.py``.

Follows the vendor's API reference, "Responses": create, the response object, streaming events.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sse_ref.conformance.servers.chats import strict_json
from sse_ref.conformance.servers.life import are_not_mixed_up
from sse_ref.conformance.servers.streams import has_events, slow_stream
from sse_ref.conformance.servers.target import Skipped, Target, check, expect, in_each
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

TERMINAL = ("response.completed", "response.incomplete", "response.failed", "error")
STREAMS = ("base", "tool", "thinking", "two-tools")
CALL_DELTA = "response.function_call_arguments.delta"
TEXT_DELTA = "response.output_text.delta"

# ---- A stream taken apart --------------------------------------------------------------------------------------------


def text_of(stream: Typed) -> str:
    """The text deltas put together."""
    return "".join(texts_of(stream))


def texts_of(stream: Typed) -> list[str]:
    """The text deltas."""
    found = [value.get("delta") for value in stream.of(TEXT_DELTA)]
    return [text for text in found if isinstance(text, str) and text]


def responses_of(stream: Typed) -> list[tuple[str, dict[str, Any]]]:
    """The response objects in the stream, each with the type of its event."""
    found = [(str(v.get("type")), v["response"]) for v in stream.values if isinstance(v.get("response"), dict)]
    expect(found, "no event holds a response")
    return found


def end_of(stream: Typed) -> dict[str, Any]:
    """The response at the end. Raises ``Failed`` if no event tells it."""
    ends = [response for kind, response in responses_of(stream) if kind in TERMINAL]
    expect(ends, "no event tells the response at the end")
    return ends[-1]


def usage_of(stream: Typed) -> dict[str, Any]:
    """The usage at the end; {} if there is none."""
    usage = end_of(stream).get("usage")
    return usage if isinstance(usage, dict) else {}


def objects(value: Any, name: str) -> list[dict[str, Any]]:
    """The objects of a list. Raises ``Failed`` if it is none."""
    expect(isinstance(value, list), f"{name} is {value!r:.80}")
    return [element for element in value if isinstance(element, dict)]


def output_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of a response."""
    return objects(response.get("output"), "the output")


def items_of(stream: Typed) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Each item as it was added, and the later events with its index."""
    for added in stream.of("response.output_item.added"):
        item, index = added.get("item"), added.get("output_index")
        expect(isinstance(item, dict), f"the item that was added is {item!r:.80}")
        yield item, [v for v in stream.values if v is not added and "output_index" in v and v["output_index"] == index]  # type: ignore[misc]


def done_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The item of ``output_item.done``."""
    done = [value.get("item") for value in events if value.get("type") == "response.output_item.done"]
    expect(len(done) == 1 and isinstance(done[0], dict), f"{len(done)} output_item.done came for an item")
    return done[0] or {}


def told(item: dict[str, Any]) -> Any:
    """What an item says: its id, its type, and its text or its call."""
    parts = [part.get("text", part.get("refusal")) for part in objects(item.get("content") or [], "the content")]
    return [item.get(name) for name in ("id", "type", "call_id", "name", "arguments")] + parts


def whole_text(response: dict[str, Any]) -> str:
    """The text of a whole response."""
    parts = [part for item in output_of(response) for part in objects(item.get("content") or [], "the content")]
    return "".join(str(part.get("text")) for part in parts if part.get("type") == "output_text")


def calls_of(target: Target, name: str = "tool") -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The calls of an exchange, each with its events."""
    require(target, name, "tools")
    calls = [call for call in items_of(typed(target, name)) if call[0].get("type") == "function_call"]
    if not calls:
        raise Skipped("the model made no call")
    return calls


def fragments_of(events: list[dict[str, Any]]) -> list[str]:
    """The fragments of a call's arguments."""
    return [str(value.get("delta")) for value in events if value.get("type") == CALL_DELTA and value.get("delta")]


# ---- Events ----------------------------------------------------------------------------------------------------------


@check("responses/types")
def responses_types(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for name, value in stream.named:
            kind = value.get("type")
            expect(isinstance(kind, str), f"the type of an event is {kind!r}")
            expect(name in ("message", kind), f"an event of the type {kind!r} has the name {name!r}")


@check("responses/names")
def responses_names(target: Target) -> None:
    for name, value in typed(target, "base").named:
        expect(name == value.get("type"), f"an event of the type {value.get('type')!r} has the name {name!r}")


@check("responses/json")
def responses_json(target: Target) -> None:
    data = [event.data for event in has_events(target.get("base")).events]
    for text in data[:-1] if data[-1] == "[DONE]" else data:
        expect(isinstance(strict_json(text), dict), f"the data is no JSON object: {text[:80]!r}")


@check("responses/numbers")
def responses_numbers(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        numbers = [value.get("sequence_number") for value in stream.values]
        wrong = next((n for n, number in enumerate(numbers) if number != n or isinstance(number, bool)), None)
        expect(wrong is None, f"event {wrong} has the sequence_number {numbers[wrong or 0]!r}")


@check("responses/created")
def responses_created(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        kinds = [value.get("type") for value in stream.values]
        expect(kinds[0] == "response.created", f"the first event is {kinds[0]!r}")
        expect(kinds.count("response.created") == 1, f"response.created came {kinds.count('response.created')} times")


@check("responses/in-progress")
def responses_in_progress(target: Target) -> None:
    kinds = [value.get("type") for value in typed(target, "base").values]
    kinds = [kind for kind in kinds if kind not in ("response.queued", "keepalive")]
    expect(kinds[1:2] == ["response.in_progress"], f"the second event is {kinds[1:2]}")


@check("responses/created-shape")
def responses_created_shape(target: Target) -> None:
    kind, response = responses_of(typed(target, "base"))[0]
    for name in ("id", "model"):
        expect(isinstance(response.get(name), str) and response[name], f"the {name} is {response.get(name)!r}")
    for name, values in (("object", ["response"]), ("status", ["in_progress", "queued"]), ("output", [[]])):
        expect(response.get(name) in values, f"the {name} of {kind} is {response.get(name)!r:.80}")
    created = response.get("created_at")
    expect(isinstance(created, int | float) and not isinstance(created, bool), f"created_at is {created!r}")
    expect(isinstance(response.get("tools"), list), f"tools is {response.get('tools')!r:.80}")
    for name in ("tool_choice", "parallel_tool_calls"):
        expect(response.get(name) is not None, f"{name} is missing")


@check("responses/same-id")
def responses_same_id(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        ids = [response.get("id") for _, response in responses_of(stream)]
        expect(len(set(map(str, ids))) == 1, f"the response has the ids {ids[0]!r} and {ids[-1]!r}")


@check("responses/ids-differ")
def responses_ids_differ(target: Target) -> None:
    one, other = (responses_of(typed(target, name))[0][1].get("id") for name in ("base", "again"))
    expect(one != other, f"two responses have the id {one!r}")


# ---- Items and parts -------------------------------------------------------------------------------------------------


@check("responses/item-added")
def responses_item_added(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        count = 0
        for value in stream.values:
            kind, index = value.get("type"), value.get("output_index")
            if kind == "response.output_item.added":
                expect(index == count, f"item {count} is added with the output_index {index!r}")
                count += 1
            elif index is not None:
                expect(index in range(count), f"{kind} has the output_index {index!r}, but {count} items were added")


@check("responses/item-shape")
def responses_item_shape(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for item, _ in items_of(stream):
            expect(isinstance(item.get("id"), str) and item["id"], f"the id of an item is {item.get('id')!r}")
            if item.get("type") == "message":
                expect(item.get("content") == [], f"a message is added with the content {item.get('content')!r:.60}")
                expect(item.get("role") == "assistant", f"a message has the role {item.get('role')!r}")
            if item.get("type") == "function_call":
                expect(item.get("arguments") == "", f"a call is added with the arguments {item.get('arguments')!r:.60}")
                for name in ("call_id", "name"):
                    expect(isinstance(item.get(name), str) and item[name], f"a call has the {name} {item.get(name)!r}")


@check("responses/part-added")
def responses_part_added(target: Target) -> None:
    for stream in streams(target, "base", "thinking"):
        for _, events in items_of(stream):
            parts = set()
            for value in events:
                if value.get("type") == "response.content_part.added":
                    parts.add(value.get("content_index"))
                known = value.get("type") != TEXT_DELTA or value.get("content_index") in parts
                expect(known, f"a text delta of the part {value.get('content_index')!r} came before the part was added")


@check("responses/indexes")
def responses_indexes(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for value in stream.values:
            kind = str(value.get("type"))
            of_part = kind.startswith(("response.content_part.", "response.output_text."))
            of_item = of_part or kind.startswith(("response.output_item.", "response.function_call_arguments."))
            for name in ["output_index"] * of_item + ["content_index"] * of_part:
                expect(is_whole_number(value.get(name)), f"the {name} of {kind} is {value.get(name)!r}")


@check("responses/item-id")
def responses_item_id(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for item, events in items_of(stream):
            for value in events:
                kind, done = str(value.get("type")), value.get("item")
                id = done.get("id") if isinstance(done, dict) else value.get("item_id")
                if kind.startswith("response."):
                    expect(id == item.get("id"), f"{kind} has the id {id!r}, its item {item.get('id')!r}")


@check("responses/delta-string")
def responses_delta_string(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        for value in stream.of(TEXT_DELTA, CALL_DELTA):
            expect(isinstance(value.get("delta"), str), f"a delta is {value.get('delta')!r:.80}")
            logprobs = value.get("logprobs", [])
            expect(isinstance(logprobs, list), f"the logprobs of a delta are {logprobs!r:.80}")


@check("responses/several-deltas")
def responses_several_deltas(target: Target) -> None:
    is_several(texts_of(typed(target, "base")), "the answer")


@check("responses/text-done")
def responses_text_done(target: Target) -> None:
    stream = typed(target, "base")
    for item, events in items_of(stream):
        if item.get("type") != "message":
            continue
        parts = objects(done_of(events).get("content"), "the content of a message")
        for index, part in enumerate(parts):
            own = [value for value in events if value.get("content_index") == index]
            if part.get("type") == "output_text":
                said = "".join(str(value.get("delta")) for value in own if value.get("type") == TEXT_DELTA)
                of = {str(value.get("type")): value for value in own}
                at_part = (of.get("response.content_part.done", {}).get("part") or {}).get("text")
                at_text = of.get("response.output_text.done", {}).get("text")
                for name, text in (
                    ("output_text", at_text),
                    ("content_part", at_part),
                    ("output_item", part.get("text")),
                ):
                    expect(text == said, f"{name}.done says {text!r:.60}, the deltas {said!r:.60}")


@check("responses/reasoning")
def responses_reasoning(target: Target) -> None:
    require(target, "thinking", "reasoning")
    items = list(items_of(typed(target, "thinking")))
    kinds = [item.get("type") for item, _ in items]
    if "reasoning" not in kinds:
        raise Skipped("the model gives no reasoning")
    expect("message" not in kinds or kinds.index("reasoning") < kinds.index("message"), f"the items are {kinds}")
    for item, events in items:
        if item.get("type") == "reasoning":
            expect(isinstance(item.get("summary"), list), f"the summary is {item.get('summary')!r:.80}")
            done_of(events)


# ---- The end ---------------------------------------------------------------------------------------------------------


@check("responses/ends-once")
def responses_ends_once(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        kinds = [value.get("type") for value in stream.values]
        ends = [kind for kind in kinds if kind in TERMINAL]
        expect(len(ends) == 1, f"{len(ends)} events end the response: {ends}")
        expect(kinds[-1] in TERMINAL, f"after {ends[0]} came {kinds[-1]!r}")


@check("responses/completed")
def responses_completed(target: Target) -> None:
    target.require("echo")
    stream = typed(target, "echo-unicode")
    kind = stream.values[-1].get("type")
    expect(kind == "response.completed", f"the last event is {kind!r}")
    expect(end_of(stream).get("status") == "completed", f"the status is {end_of(stream).get('status')!r}")


@check("responses/output")
def responses_output(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        done = [told(done_of(events)) for _, events in items_of(stream)]
        output = [told(item) for item in output_of(end_of(stream))]
        expect(output == done, f"the output at the end is {output!r:.120}, the items were {done!r:.120}")


@check("responses/usage")
def responses_usage(target: Target) -> None:
    for stream in streams(target, *STREAMS):
        usage = usage_of(stream)
        counts: list[Any] = [usage.get(name) for name in ("input_tokens", "output_tokens", "total_tokens")]
        expect(all(map(is_whole_number, counts)) and counts[0], f"the usage is {usage!r:.120}")
        expect(counts[2] == counts[0] + counts[1], f"the total of {usage!r:.120} is not the sum")


@check("responses/usage-details")
def responses_usage_details(target: Target) -> None:
    usage = usage_of(typed(target, "base"))
    for name, member in (("input_tokens_details", "cached_tokens"), ("output_tokens_details", "reasoning_tokens")):
        details = usage.get(name)
        known = isinstance(details, dict) and is_whole_number(details.get(member))
        expect(known, f"{name} is {details!r:.80}")


@check("responses/usage-same")
def responses_usage_same(target: Target) -> None:
    target.require("echo")
    usages = [end_of(typed(target, "echo-unicode")).get("usage"), whole_answer(target, "echo-whole").get("usage")]
    counts = [[(usage or {}).get(name) for name in ("input_tokens", "output_tokens")] for usage in usages]
    expect(counts[0] == counts[1], f"streamed, {counts[0]} tokens went in and out, whole {counts[1]}")


@check("responses/incomplete")
def responses_incomplete(target: Target) -> None:
    stream = typed(target, "few-tokens")
    response, kind = end_of(stream), stream.values[-1].get("type")
    written = (response.get("usage") or {}).get("output_tokens")
    if kind == "response.completed" and is_whole_number(written) and written < 16:
        raise Skipped(f"the whole answer has {written} tokens")
    expect(kind == "response.incomplete", f"the last event is {kind!r}")
    expect(response.get("status") == "incomplete", f"the status is {response.get('status')!r}")
    reason = (response.get("incomplete_details") or {}).get("reason")
    expect(reason == "max_output_tokens", f"the reason is {reason!r}")
    expect(whole_text(response) == text_of(stream), "the output is not what came")
    expect(is_whole_number(written) and written <= 16, f"output_tokens is {written!r}")


# ---- Calls -----------------------------------------------------------------------------------------------------------


@check("responses/call")
def responses_call(target: Target) -> None:
    for item, _ in calls_of(target):
        expect(item.get("name") == "get_weather", f"the name of a call is {item.get('name')!r}")
    for name in ("tool", "two-tools"):
        for _, events in calls_of(target, name):
            arguments = "".join(fragments_of(events))
            done = [v.get("arguments") for v in events if v.get("type") == "response.function_call_arguments.done"]
            expect(done == [arguments], f"the arguments at the end are {done!r:.80}, the fragments {arguments!r:.80}")
            last = done_of(events)
            expect(last.get("arguments") == arguments, f"the item at the end has {last.get('arguments')!r:.80}")
            expect(last.get("status") == "completed", f"the status of a call at the end is {last.get('status')!r}")
        kind = typed(target, name).values[-1].get("type")
        expect(kind == "response.completed", f"the last event is {kind!r}")


@check("responses/call-arguments")
def responses_call_arguments(target: Target) -> None:
    for _, events in calls_of(target):
        fits_the_schema(done_of(events).get("arguments"), "the text of the arguments", "city", "note")
    for _, events in calls_of(target, "two-tools"):
        fits_the_schema(done_of(events).get("arguments"), "the text of the arguments", "city")


@check("responses/call-fragments")
def responses_call_fragments(target: Target) -> None:
    _, events = calls_of(target)[0]
    is_several(fragments_of(events), "the text of the arguments")


@check("responses/call-ids")
def responses_call_ids(target: Target) -> None:
    calls = [*calls_of(target), *calls_of(target, "two-tools")]
    for item, events in calls:
        last = done_of(events).get("call_id")
        expect(last == item.get("call_id"), f"a call_id changes from {item.get('call_id')!r} to {last!r}")
    ids = [item.get("call_id") for item, _ in calls]
    expect(len(set(map(str, ids))) == len(ids), f"the calls have the ids {ids}")


@check("responses/call-two")
def responses_call_two(target: Target) -> None:
    names = [item.get("name") for item, _ in calls_of(target, "two-tools")]
    if set(names) != {"get_weather", "get_time"}:
        raise Skipped(f"the model called {names}")
    output = output_of(end_of(typed(target, "two-tools")))
    kept = [item.get("name") for item in output if item.get("type") == "function_call"]
    expect(kept == names, f"the output at the end has the calls {kept}, the stream had {names}")


def calls_made(target: Target, name: str) -> list[Any]:
    """The names of the calls of an exchange that has to be answered, if the server takes tools."""
    require(target, "tool", "tools")
    accepted(target, name)
    return [item.get("name") for item, _ in items_of(typed(target, name)) if item.get("type") == "function_call"]


@check("responses/call-none")
def responses_call_none(target: Target) -> None:
    names = calls_made(target, "tool-none")
    expect(not names, f"calls were made: {names}")
    expect(text_of(typed(target, "tool-none")), "no text came")


@check("responses/call-required")
def responses_call_required(target: Target) -> None:
    expect(calls_made(target, "tool-required"), "no call was made")


@check("responses/call-named")
def responses_call_named(target: Target) -> None:
    names = calls_made(target, "tool-named")
    expect(set(names) == {"get_time"}, f"the calls are {names}")


@check("responses/call-one")
def responses_call_one(target: Target) -> None:
    names = calls_made(target, "tool-one")
    expect(len(names) <= 1, f"the calls are {names}")


@check("responses/call-result")
@in_each("tool-result", "tool-result-ids")
def responses_call_result(target: Target, name: str) -> None:
    require(target, "tool", "tools")
    accepted(target, "tool-result", "tool-result-ids")
    stream = typed(target, name)
    expect(text_of(stream) or end_of(stream).get("status") == "incomplete", f"{name}: no text came")


# ---- Requests --------------------------------------------------------------------------------------------------------


@check("responses/instructions")
def responses_instructions(target: Target) -> None:
    accepted(target, "instructions", "long-instructions")
    short, long = (usage_of(typed(target, n)).get("input_tokens") for n in ("instructions", "long-instructions"))
    expect(short and long and long > short, f"with long instructions {long} tokens went in, with short ones {short}")


@check("responses/format")
def responses_format(target: Target) -> None:
    require(target, "format", "a format")
    fits_the_schema(text_of(typed(target, "format")), "the answer", "city")


@check("responses/text")
def responses_text(target: Target) -> None:
    same_as_whole(target, text_of, whole_text)


@check("responses/whole")
@in_each("stream-absent", "stream-false")
def responses_whole(target: Target, name: str) -> None:
    response = whole_answer(target, name)
    expect(response.get("object") == "response", f"{name}: the object is {response.get('object')!r}")
    status = response.get("status")
    expect(status in ("completed", "incomplete"), f"{name}: the status is {status!r}")
    expect(whole_text(response) or status == "incomplete", f"{name}: there is no text: {response.get('output')!r:.80}")
    usage = response.get("usage")
    counts = [usage.get(n) for n in ("input_tokens", "output_tokens")] if isinstance(usage, dict) else [None]
    expect(all(map(is_whole_number, counts)), f"{name}: the usage is {usage!r:.80}")


@check("responses/metadata")
def responses_metadata(target: Target) -> None:
    metadata = end_of(typed(target, "more-fields")).get("metadata")
    expect(metadata == {"trip": "t-1"}, f"the metadata is {metadata!r:.80}")


@check("responses/fifty-at-once")
def responses_fifty_at_once(target: Target) -> None:
    are_not_mixed_up(target, lambda exchange: text_of(Typed(exchange)))


@check("responses/silence")
def responses_silence(target: Target) -> None:
    for value in Typed(slow_stream(target)).values:
        kind = str(value.get("type"))
        known = kind == "error" or kind.startswith("response.")
        counted = kind == "keepalive" and is_whole_number(value.get("sequence_number"))  # the vendor has sent it
        expect(known or counted, f"an event of the type {kind!r} came: clients crash on it")


# ---- Errors ----------------------------------------------------------------------------------------------------------


def error_of(target: Target, name: str, *statuses: int) -> dict[str, Any]:
    """The error of a refused request, in the vendor's shape."""
    error = refused(target, name, statuses).get("error")
    expect(isinstance(error, dict), f"{name}: the error is {error!r:.80}")
    return error if isinstance(error, dict) else {}


@check("responses/error-shape")
@in_each("bad-json", "no-input", "bad-json-stream")
def responses_error_shape(target: Target, name: str) -> None:
    error = error_of(target, name, 400, 422)
    for member in ("message", "type"):
        value = error.get(member)
        expect(isinstance(value, str) and value, f"{name}: the {member} is {value!r}")
    for member in ("param", "code"):
        expect(member in error, f"{name}: the {member} is missing")


@check("responses/error-json")
@in_each("bad-json", "no-object")
def responses_error_json(target: Target, name: str) -> None:
    error_of(target, name, 400, 422)


@check("responses/error-input")
@in_each("no-input", "empty-input")
def responses_error_input(target: Target, name: str) -> None:
    error = error_of(target, name, 400, 422)
    text = f"{error.get('param')} {error.get('message')}"
    expect("input" in text.lower(), f"{name}: the error does not name input: {text!r:.80}")


@check("responses/error-types")
@in_each("wrong-input", "wrong-limit", "wrong-tools")
def responses_error_types(target: Target, name: str) -> None:
    error_of(target, name, 400, 422)


@check("responses/error-in-stream")
def responses_error_in_stream(target: Target) -> None:
    stream = failing(target)
    ends = [value for value in stream.values if value.get("type") in ("response.failed", "error") or "error" in value]
    expect(ends, "no error came")
    response = ends[0].get("response")
    error = response.get("error") if isinstance(response, dict) else ends[0].get("error", ends[0])
    known = isinstance(error, dict) and isinstance(error.get("message"), str) and error["message"]
    expect(known, f"the error is {error!r:.80}")
    expect(ends[0].get("type") in ("response.failed", "error"), f"the type is {ends[0].get('type')!r}")
    if isinstance(response, dict):
        expect(response.get("status") == "failed", f"the status is {response.get('status')!r}")
        code = error.get("code") if isinstance(error, dict) else None
        expect(isinstance(code, str) and code, f"the code of the error is {code!r}")


@check("responses/nothing-after-error")
def responses_nothing_after_error(target: Target) -> None:
    stream = failing(target)
    kinds = [value.get("type") for value in stream.values]
    failed = [number for number, kind in enumerate(kinds) if kind in ("response.failed", "error")]
    expect(failed, "no error came")
    after = [kind for kind in kinds[failed[0] + 1 :] if kind not in ("response.failed", "error")]
    expect(not after, f"after the error came {after and after[0]!r}")
    expect(stream.exchange.ended, stream.exchange.problem or "the body was cut")


@check("responses/error-whole")
def responses_error_whole(target: Target) -> None:
    error_of(target, "error-whole", *range(500, 600))
