"""The checks of the profile ``openai-chat``: chunks, usage, tool calls, errors, models.

In:   the exchanges of ``corpus/server/openai-chat.json``.
Out:  the checks that are this provider's; what holds for every stream is in ``streams.py``, connections are in ``life.py``.

Follows the vendor's API reference, "Chat completions".
"""

from __future__ import annotations

import json
import math
import re
import time
from os.path import commonpath

from sse_ref.conformance.servers import chats
from sse_ref.conformance.servers.life import are_not_mixed_up
from sse_ref.conformance.servers.streams import slow_stream, stream_of
from sse_ref.conformance.servers.target import (
    Failed,
    Skipped,
    Target,
    check,
    error_message,
    expect,
    in_each,
    json_object,
    told,
    whole,
)
from sse_ref.conformance.servers.typed import accepted
from sse_ref.conformance.wire import Exchange, RawConnection

__all__: list[str] = []  # each check is found in CHECKS, by the id of its vector

FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter", "function_call"}

# ---- Head and framing -------------------------------------------------------------------------------------------------


@check("head/not-streamed")
@in_each("stream-absent", "stream-false", "stream-null")
def head_not_streamed(target: Target, name: str) -> None:
    chats.whole_answer(target, name)


@check("head/request-id")
def head_request_id(target: Target) -> None:
    expect(stream_of(target, "base").header("x-request-id"), "there is no x-request-id")


@check("frame/json-or-done")
def frame_json_or_done(target: Target) -> None:
    for event in stream_of(target, "base").events:
        if event.data == "[DONE]":
            continue
        try:
            value = json.loads(event.data)
        except (ValueError, RecursionError):
            raise Failed(f"the data is neither JSON nor [DONE]: {event.data[:80]!r}") from None
        expect(isinstance(value, dict), f"the data is no JSON object: {event.data[:80]!r}")


@check("frame/done-once")
def frame_done_once(target: Target) -> None:
    events = stream_of(target, "base").events
    marks = [event.data for event in events if re.fullmatch(r"\W*done\W*", event.data, re.IGNORECASE)]
    expect(marks, "[DONE] did not come")
    other = next((mark for mark in marks if mark != "[DONE]"), None)
    expect(other is None, f"a [DONE] is {other!r}")
    expect(len(marks) == 1, f"[DONE] came {len(marks)} times")


@check("frame/nothing-after-done")
def frame_nothing_after_done(target: Target) -> None:
    data = [event.data for event in stream_of(target, "base").events]
    if "[DONE]" not in data:
        raise Failed("[DONE] did not come")
    after = data[data.index("[DONE]") + 1 :]
    expect(not after, f"after [DONE] came {after[0][:80]!r}" if after else "")


@check("frame/ends-after-done")
def frame_ends_after_done(target: Target) -> None:
    exchange = stream_of(target, "base")
    expect(b"[DONE]" in exchange.body, "[DONE] did not come")
    if exchange.expired:
        raise Failed(f"after [DONE] the stream stayed open: {exchange.expired}", expired=True)


@check("frame/strict-json")
def frame_strict_json(target: Target) -> None:
    for event in stream_of(target, "base").events:
        if event.data != "[DONE]":
            chats.strict_json(event.data)


@check("frame/controls-round-trip")
def frame_controls_round_trip(target: Target) -> None:
    chats.round_trips(target, "echo-controls")


@check("frame/unicode-round-trips")
def frame_unicode_round_trips(target: Target) -> None:
    chats.round_trips(target, "echo-unicode")


@check("frame/head-before-first-token")
def frame_head_before_first_token(target: Target) -> None:
    """The head must come while the model is still thinking, not with the first token."""
    exchange = slow_stream(target)
    with RawConnection(target.address, 2 * target.long_silence) as connection:
        connection.send(target.ask("Say one", role="slow", tokens=1))
        look = Exchange(began=time.monotonic())
        while b"\r\n\r\n" not in connection.buffer and connection.more(look):
            pass
        whole(look)
        head = time.monotonic() - look.began
        while not re.search(rb'"content": ?"[^"]', connection.buffer):
            if not connection.more(look) or time.monotonic() - look.began > 2 * target.long_silence:
                break
        token = time.monotonic() - look.began
    if token < 0.2:
        raise Skipped(f"the first token comes after {token:.2f} s: too fast to tell")
    expect(head < 0.8 * token, f"the head came after {head:.2f} s, the first token after {token:.2f} s")
    expect(exchange.status == 200, "the stream did not come")


# ---- Chunks -----------------------------------------------------------------------------------------------------------


@check("chunk/object")
def chunk_object(target: Target) -> None:
    for chunk in chats.chat_of(target, "base").chunks:
        expect(chunk.get("object") == "chat.completion.chunk", f"the object of a chunk is {chunk.get('object')!r}")


@check("chunk/same-id")
def chunk_same_id(target: Target) -> None:
    chat = chats.chat_of(target, "base")
    chats.is_same_in_all(chat, "id", str)
    expect(chat.chunks[0]["id"], "the id is empty")


@check("chunk/ids-differ")
def chunk_ids_differ(target: Target) -> None:
    one, other = (chats.chat_of(target, name).chunks[0].get("id") for name in ("base", "again"))
    expect(one != other, f"two streams have the id {one!r}")


@check("chunk/created")
def chunk_created(target: Target) -> None:
    chats.is_same_in_all(chats.chat_of(target, "base"), "created", int)


@check("chunk/created-now")
def chunk_created_now(target: Target) -> None:
    created = chats.chat_of(target, "base").chunks[0].get("created")
    expect(isinstance(created, int) and abs(created - time.time()) < 86400, f"created is {created!r}")


@check("chunk/model")
def chunk_model(target: Target) -> None:
    chat = chats.chat_of(target, "base")
    chats.is_same_in_all(chat, "model", str)
    expect(chat.chunks[0]["model"], "the model is empty")


@check("chunk/choices")
def chunk_choices(target: Target) -> None:
    for chunk in chats.chat_of(target, "base").chunks:
        choices = chunk.get("choices")
        expect(isinstance(choices, list) and all(isinstance(c, dict) for c in choices), f"choices is {choices!r:.80}")


@check("chunk/index")
def chunk_index(target: Target) -> None:
    for choice in chats.chat_of(target, "base").choices:
        index = choice.get("index")
        expect(isinstance(index, int) and not isinstance(index, bool), f"the index of a choice is {index!r}")
        expect(index == 0, f"the index of the only choice is {index}")


@check("chunk/delta")
def chunk_delta(target: Target) -> None:
    for choice in chats.chat_of(target, "base").choices:
        expect(isinstance(choice.get("delta"), dict), f"the delta of a choice is {choice.get('delta')!r}")


@check("chunk/role-first")
def chunk_role_first(target: Target) -> None:
    first = next(chats.chat_of(target, "base").choices, None)
    expect(first and chats.delta_of(first).get("role") == "assistant", "the first chunk has no role")


@check("chunk/role-value")
def chunk_role_value(target: Target) -> None:
    for choice in chats.chat_of(target, "base").choices:
        role = chats.delta_of(choice).get("role")
        expect(role in (None, "assistant"), f"a role is {role!r}")


@check("chunk/finish-null-before")
def chunk_finish_null_before(target: Target) -> None:
    for choice in chats.chat_of(target, "base").choices:
        expect("finish_reason" in choice, "a choice has no finish_reason")
        expect(choice["finish_reason"] != "", "a finish_reason is empty")


@check("chunk/finish-once")
def chunk_finish_once(target: Target) -> None:
    finish = chats.chat_of(target, "base").finish()
    expect(len(finish) == 1, f"finish reasons: {finish}" if finish else "no finish reason came")


@check("chunk/finish-value")
def chunk_finish_value(target: Target) -> None:
    for reason in chats.chat_of(target, "base").finish():
        expect(reason in FINISH_REASONS, f"the finish reason is {reason!r}")


@check("chunk/no-content-after-finish")
def chunk_no_content_after_finish(target: Target) -> None:
    ended = False
    for choice in chats.chat_of(target, "base").choices_at(0):
        expect(not (ended and chats.delta_of(choice).get("content")), "content came after the finish reason")
        ended = ended or choice.get("finish_reason") is not None


@check("chunk/content-type")
def chunk_content_type(target: Target) -> None:
    for choice in chats.chat_of(target, "base").choices:
        content = chats.delta_of(choice).get("content")
        expect(content is None or isinstance(content, str), f"a content is {content!r:.80}")


@check("chunk/equals-whole")
def chunk_equals_whole(target: Target) -> None:
    streamed = chats.repeatable(target).text()
    choices = chats.whole_answer(target, "seeded-whole").get("choices")
    try:
        text = choices[0]["message"]["content"]  # type: ignore[index]
    except (TypeError, KeyError, IndexError):
        raise Failed("the whole answer has no choices[0].message.content") from None
    expect(streamed == text, f"the deltas are {streamed[:60]!r}, the whole answer {str(text)[:60]!r}")


@check("chunk/several-deltas")
def chunk_several_deltas(target: Target) -> None:
    chat = chats.chat_of(target, "base")
    if len(chat.text()) < 20:
        raise Skipped(f"the answer is short: {chat.text()!r}")
    expect(len(chat.texts()) >= 2, f"all {len(chat.text())} characters came in one delta")


@check("chunk/no-error-member")
def chunk_no_error_member(target: Target) -> None:
    for chunk in chats.chat_of(target, "base").chunks:
        expect("error" not in chunk, f"a chunk has an error member: {chunk['error']!r}" if "error" in chunk else "")


@check("chunk/n")
def chunk_n(target: Target) -> None:
    exchange = target.get("n")
    if exchange.status in (400, 422, 501):
        raise Skipped(f"the server does not take n=2: {error_message(exchange.body)}")
    chat = chats.Chat(exchange)
    indexes = {choice.get("index") for choice in chat.choices}
    expect(indexes == {0, 1}, f"the indexes are {sorted(map(str, indexes))}")
    for index in (0, 1):
        expect(len(chat.finish(index)) == 1, f"the finish reasons of choice {index} are {chat.finish(index)}")


@check("chunk/max-tokens")
def chunk_max_tokens(target: Target) -> None:
    chats.has_one_token(chats.chat_of(target, "one-token"))


@check("chunk/max-completion-tokens")
def chunk_max_completion_tokens(target: Target) -> None:
    exchange = target.get("one-completion-token")
    chats.has_one_token(chats.Chat(exchange))


@check("chunk/stop")
def chunk_stop(target: Target) -> None:
    """The stop string is taken from the text itself, across the border of two deltas in its middle."""
    chat = chats.repeatable(target)
    texts = chat.texts()
    whole_text = chat.text()
    if len(texts) < 6:
        raise Skipped("the answer has too few deltas")
    border = len("".join(texts[: len(texts) // 2]))
    stop = whole_text[border - 3 : border + 4]
    expected = whole_text[: whole_text.index(stop)]
    got = chats.with_stop(target, stop)
    if not (whole_text.startswith(got.text()) or got.text().startswith(expected)):
        raise Skipped("the text depends on the stop string")
    ends = f"the text ends in {got.text()[-20:]!r}, not {expected[-20:]!r}"
    expect(got.text() == expected, f"with the stop string {stop!r} {ends}")
    expect(got.finish() == ["stop"], f"the finish reasons are {got.finish()}")


@check("chunk/stop-null")
@in_each("stop-null", "stop-empty")
def chunk_stop_null(target: Target, name: str) -> None:
    exchange = target.get(name)
    expect(exchange.status == 200, f"{name}: status {exchange.status}: {error_message(exchange.body)}")


@check("chunk/stop-unmatched")
def chunk_stop_unmatched(target: Target) -> None:
    chat = chats.repeatable(target)
    text = chat.text()
    if len(text) < 8:
        raise Skipped("the answer is too short")
    got = chats.with_stop(target, text[-4:] + "\u2603ZZZ").text()
    if not text.startswith(got):
        raise Skipped("the text depends on the stop string")
    expect(got == text, f"the text ends in {got[-20:]!r}, not {text[-20:]!r}")


@check("chunk/logprobs")
def chunk_logprobs(target: Target) -> None:
    exchange = target.get("logprobs")
    if exchange.status in (400, 422, 501):
        raise Skipped(f"the server does not take logprobs: {error_message(exchange.body)}")
    entries = []
    for choice in chats.Chat(exchange).choices:
        logprobs = choice.get("logprobs")
        content = logprobs.get("content") if isinstance(logprobs, dict) else None
        entries += content if isinstance(content, list) else []
    expect(entries, "no log probabilities came")
    for entry in entries:
        expect(isinstance(entry, dict) and isinstance(entry.get("token"), str), f"an entry is {entry!r:.80}")
        number = entry.get("logprob")
        expect(isinstance(number, int | float) and math.isfinite(number) and number <= 0, f"a logprob is {number!r}")
        expect(entry.get("bytes") is None or isinstance(entry["bytes"], list), f"bytes is {entry.get('bytes')!r:.80}")
        expect(isinstance(entry.get("top_logprobs"), list), "top_logprobs is missing")


@check("chunk/no-logprobs")
def chunk_no_logprobs(target: Target) -> None:
    for choice in chats.chat_of(target, "base").choices:
        expect(choice.get("logprobs") is None, "log probabilities came unasked")


@check("chunk/seed")
def chunk_seed(target: Target) -> None:
    one, other = (chats.chat_of(target, name).text() for name in ("seeded", "seeded-again"))
    expect(one == other, f"the texts part after {len(commonpath([one, other]))} characters")


@check("chunk/unknown-fields")
def chunk_unknown_fields(target: Target) -> None:
    exchange = target.get("unknown-fields")
    expect(exchange.status == 200, f"the status is {exchange.status}: {error_message(exchange.body)}")


@check("chunk/fingerprint")
def chunk_fingerprint(target: Target) -> None:
    for chunk in chats.chat_of(target, "base").chunks:
        for name in ("system_fingerprint", "service_tier"):
            expect(chunk.get(name) is None or isinstance(chunk[name], str), f"the {name} is {chunk.get(name)!r}")


@check("chunk/no-obfuscation")
def chunk_no_obfuscation(target: Target) -> None:
    for chunk in chats.chat_of(target, "no-obfuscation").chunks:
        expect("obfuscation" not in chunk, "obfuscation came")


# ---- Requests ---------------------------------------------------------------------------------------------------------


@check("parts/several")
def parts_several(target: Target) -> None:
    target.require("echo")
    text = chats.chat_of(target, "parts-several").text()
    expect("alpha" in text and "beta" in text[text.index("alpha") :], f"of 'alpha ' and 'beta' came {text!r:.80}")


@check("parts/tool-result")
def parts_tool_result(target: Target) -> None:
    if target.get("tool-result").status != 200:
        raise Skipped("the server takes no results of tools")
    accepted(target, "tool-result-parts")


# ---- Usage ------------------------------------------------------------------------------------------------------------


@check("usage/not-unasked")
def usage_not_unasked(target: Target) -> None:
    chat = chats.chat_of(target, "base")
    expect(not chat.usages, "a usage came unasked")
    expect(all(chunk.get("choices") for chunk in chat.chunks), "a chunk has no choices")


@check("usage/one-chunk")
def usage_one_chunk(target: Target) -> None:
    chat = chats.chat_of(target, "usage")
    chats.usage_of(target, "usage")
    last = chat.chunks[-1]
    expect(last.get("usage") is not None, "the usage is not in the last chunk")
    expect(last.get("choices") == [], f"the choices of the usage chunk are {last.get('choices')!r:.80}")
    expect(
        all(event.data != "[DONE]" for event in chat.exchange.events[: len(chat.chunks)]),
        "the usage comes after the end",
    )


@check("usage/null-before")
def usage_null_before(target: Target) -> None:
    chat = chats.chat_of(target, "usage")
    expect(len(chat.usages) <= 1, f"{len(chat.usages)} chunks have a usage")


@check("usage/sum")
def usage_sum(target: Target) -> None:
    usage = chats.usage_of(target, "usage")
    numbers = [usage.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    expect(
        all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers), f"the usage is {usage!r:.120}"
    )
    prompt, completion, total = (number or 0 for number in numbers)
    expect(prompt + completion == total, f"{prompt} + {completion} is not {total}")
    expect(completion > 0 and prompt > 0, f"the usage is {usage!r:.120}")


@check("usage/equals-whole")
def usage_equals_whole(target: Target) -> None:
    chats.repeatable(target)
    streamed = chats.usage_of(target, "usage-seeded")
    unstreamed = chats.whole_answer(target, "whole-usage").get("usage")
    names = ("prompt_tokens", "completion_tokens")
    got, want = ([u.get(n) for n in names] for u in (streamed, unstreamed if isinstance(unstreamed, dict) else {}))
    expect(got == want, f"streamed {got}, whole {want}")


@check("usage/with-tools")
def usage_with_tools(target: Target) -> None:
    chats.tool_stream(target)
    chats.usage_of(target, "tool")


# ---- Errors -----------------------------------------------------------------------------------------------------------


@check("fault/bad-json")
def fault_bad_json(target: Target) -> None:
    chats.refused(target, "bad-json", (400, 422))


@check("fault/messages")
@in_each("no-messages", "empty-messages", "wrong-messages")
def fault_messages(target: Target, name: str) -> None:
    error = chats.refused(target, name, (400, 422))
    text = " ".join(str(error[member]) for member in ("param", "message") if error.get(member))
    expect("message" in text.lower(), f"{name}: the error does not name messages: {text!r:.80}")


@check("fault/unknown-model")
def fault_unknown_model(target: Target) -> None:
    error = chats.refused(target, "unknown-model", (404, 400))
    expect(error.get("code") == "model_not_found", f"the code is {error.get('code')!r}")


@check("fault/key")
@in_each("wrong-key", "no-key")
def fault_key(target: Target, name: str) -> None:
    if not target.key:
        raise Skipped("no key was given (--api-key-env)")
    chats.refused(target, name, (401,))


@check("fault/error-object")
@in_each("bad-json", "no-messages")
def fault_error_object(target: Target, name: str) -> None:
    error = chats.refused(target, name, (400, 422))
    for member in ("message", "type"):
        expect(isinstance(error.get(member), str) and error[member], f"{name}: the {member} is {error.get(member)!r}")
    for member in ("param", "code"):
        expect(member in error, f"{name}: the {member} is missing")


@check("fault/in-stream")
def fault_in_stream(target: Target) -> None:
    chat = chats.failed_stream(target)
    error = chat.chunks[chats.error_at(chat)]["error"]
    message = error.get("message") if isinstance(error, dict) else None
    expect(isinstance(message, str) and message, f"the error is {error!r:.80}")
    expect(sum(bool(chunk.get("error")) for chunk in chat.chunks) == 1, "the error came several times")


@check("fault/nothing-after-error")
def fault_nothing_after_error(target: Target) -> None:
    chat = chats.failed_stream(target)
    at = chats.error_at(chat)
    after = [choice for chunk in chat.chunks[at + 1 :] for choice in chunk.get("choices") or []]
    expect(not after, f"after the error came {after[0]!r:.80}" if after else "")
    expect(not any(c.get("finish_reason") in FINISH_REASONS for c in chat.choices_at(0)), "a finish reason came, too")


@check("fault/end-after-error")
def fault_end_after_error(target: Target) -> None:
    chat = chats.failed_stream(target)
    chats.error_at(chat)
    expect(chat.exchange.ended, chat.exchange.problem or "the body was cut")


# ---- Models, and the older endpoint -----------------------------------------------------------------------------------


@check("models/list")
def models_list(target: Target) -> None:
    exchange = target.get("models")
    expect(exchange.status == 200, f"{told(exchange)}")
    value = json_object(exchange.body, "models")
    entries = value.get("data")
    expect(value.get("object") == "list" and isinstance(entries, list), f"the list is {exchange.body[:80]!r}")
    ids = [entry.get("id") for entry in entries or [] if isinstance(entry, dict)]
    expect(target.models[""] in ids, f"{target.models['']!r} is not among {ids[:8]}")


@check("models/one")
def models_one(target: Target) -> None:
    found, missing = target.get("model"), target.get("model-unknown")
    expect(found.status == 200, f"the status is {found.status or found.problem}")
    expect(json_object(found.body, "model").get("id") == target.models[""], f"the model is {found.body[:80]!r}")
    expect(missing.status == 404, f"for an unknown model the status is {missing.status}")


@check("models/completions")
def models_completions(target: Target) -> None:
    exchange = target.get("completions")
    if exchange.status in (404, 405, 501):
        raise Skipped(f"the server has no such endpoint: status {exchange.status}")
    chat = chats.Chat(exchange)
    for chunk in chat.chunks:
        expect(chunk.get("object") == "text_completion", f"the object of a chunk is {chunk.get('object')!r}")
    expect(any(isinstance(choice.get("text"), str) for choice in chat.choices), "no choice has a text")
    expect(exchange.events[-1].data == "[DONE]", "[DONE] is missing")


# ---- Life -------------------------------------------------------------------------------------------------------------


@check("life/fifty-at-once")
def life_fifty_at_once(target: Target) -> None:
    are_not_mixed_up(target, lambda exchange: chats.Chat(exchange).text())
