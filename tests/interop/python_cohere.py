"""The checks of cohere-python."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import cohere
from python_checks import AWKWARD, BOTH, STORY, TOOLS, last_record, run, said

FUNCTIONS: Any = [{**tool, "function": {k: v for k, v in tool["function"].items() if k != "strict"}} for tool in TOOLS]


def client(url: str, segment: str = "") -> Any:
    return cohere.ClientV2(api_key="none", base_url=url.removesuffix("/v1") + segment)


def once() -> Any:
    return cohere.core.RequestOptions(max_retries=0)


def streamed(url: str, model: str, messages: Any, segment: str = "", **options: Any) -> list[Any]:
    return list(client(url, segment).chat_stream(model=model, messages=messages, request_options=once(), **options))


def text_of(events: list[Any]) -> str:
    deltas = [event.delta.message.content for event in events if event.type == "content-delta"]
    return "".join(delta.text or "" for delta in deltas)


def calls_of(events: list[Any]) -> list[tuple[str, str]]:
    names, fragments = [], []
    for event in events:
        if event.type == "tool-call-start":
            names.append(event.delta.message.tool_calls.function.name)
            fragments.append("")
        elif event.type == "tool-call-delta":
            fragments[event.index] += event.delta.message.tool_calls.function.arguments
    return list(zip(names, fragments, strict=True))


def check_text(url: str) -> None:
    events = streamed(url, "toy-echo", said(AWKWARD))
    assert text_of(events) == AWKWARD
    assert [event.type for event in events[:2]] == ["message-start", "content-start"]
    assert events[-1].type == "message-end" and events[-1].delta.finish_reason == "COMPLETE"


def check_text_with_the_end_mark_in_it(url: str) -> None:
    assert text_of(streamed(url, "toy-echo", said("say [DONE] now"), "/split=5")) == "say [DONE] now"


def check_async_text(url: str) -> None:
    async def text() -> str:
        c = cohere.AsyncClientV2(api_key="none", base_url=url.removesuffix("/v1"))
        return text_of([event async for event in c.chat_stream(model="toy-echo", messages=said(AWKWARD))])

    assert asyncio.run(text()) == AWKWARD


def check_whole_and_stream_are_the_same(url: str) -> None:
    asked = {"model": "toy-thinker", "messages": STORY, "temperature": 0}
    events, whole = streamed(url, **asked), client(url).chat(**asked)
    thinking, text = whole.message.content
    assert thinking.type == "thinking" and "Tell me a story" in thinking.thinking and text.text == text_of(events)
    assert events[-1].delta.usage == whole.usage and whole.usage.tokens.output_tokens > 20
    thoughts = [event.delta.message.content.thinking or "" for event in events if event.type == "content-delta"]
    assert "".join(thoughts) == thinking.thinking


def check_two_tool_calls(url: str) -> None:
    events = streamed(url, "toy", BOTH, tools=FUNCTIONS)
    calls = calls_of(events)
    assert [name for name, _ in calls] == ["get_weather", "get_time"]
    assert all(json.loads(arguments)["days"] >= 1 for _, arguments in calls)
    assert events[-1].delta.finish_reason == "TOOL_CALL"
    ids = [event.delta.message.tool_calls.id for event in events if event.type == "tool-call-start"]
    assert len(set(ids)) == 2


def check_results_of_tools_go_back(url: str) -> None:
    c = client(url)
    first = c.chat(model="toy", messages=BOTH, tools=FUNCTIONS)
    documents = [{"type": "document", "document": {"data": json.dumps({"weather": "rain"})}}]
    results = [{"role": "tool", "tool_call_id": call.id, "content": documents} for call in first.message.tool_calls]
    answer = c.chat(model="toy", messages=[*BOTH, first.message, *results], tools=FUNCTIONS)
    assert answer.finish_reason == "COMPLETE" and len(answer.message.content[0].text) > 20


def check_tool_choice(url: str) -> None:
    def called(**choice: Any) -> list[str]:
        return [name for name, _ in calls_of(streamed(url, "toy", said("hello"), tools=FUNCTIONS, **choice))]

    assert called() == called(tool_choice="NONE") == [] and called(tool_choice="REQUIRED") == ["get_weather"]


def check_structured_output(url: str) -> None:
    form = {"type": "json_object", "schema": FUNCTIONS[0]["function"]["parameters"]}
    assert json.loads(text_of(streamed(url, "toy", STORY, response_format=form)))["days"] >= 1


def check_limit_and_stop_strings(url: str) -> None:
    *_, last = streamed(url, "toy", STORY, max_tokens=3, k=3, p=0.5, seed=1)
    assert last.delta.finish_reason == "MAX_TOKENS" and last.delta.usage.tokens.output_tokens == 3
    stopped = streamed(url, "toy-echo", said("alpha beta gamma"), stop_sequences=["ta ga"])
    assert text_of(stopped) == "alpha be" and stopped[-1].delta.finish_reason == "STOP_SEQUENCE"
    natural = streamed(url, "toy-echo", said("alpha beta"), stop_sequences=["betaX"])
    assert text_of(natural) == "alpha beta" and natural[-1].delta.finish_reason == "COMPLETE"


def check_silence(url: str) -> None:
    assert len(text_of(streamed(url, "toy-slow", STORY, "/heartbeat=0.05"))) > 20


def check_error_inside_the_stream(url: str) -> None:
    for segment, model in (("", "toy-flaky"), ("/fault=error", "toy")):
        events = streamed(url, model, STORY, segment)
        assert text_of(events) and events[-1].delta.finish_reason == "ERROR"
        assert "failed" in events[-1].delta.error and events[-1].delta.usage.tokens


def check_errors_before_the_stream(url: str) -> None:
    for segment, model, options, kind in [
        ("", "no-such", {}, cohere.NotFoundError),
        ("", "toy", {"max_tokens": -1}, cohere.BadRequestError),
        ("/fault=refuse", "toy", {}, cohere.TooManyRequestsError),
    ]:
        try:
            streamed(url, model, STORY, segment, **options)
        except kind as error:
            assert error.body["message"]
        else:
            raise AssertionError(model)


def check_error_of_a_whole_answer(url: str) -> None:
    try:
        client(url).chat(model="toy-flaky", messages=STORY, request_options=once())
    except cohere.InternalServerError as error:
        assert "failed" in error.body["message"]
    else:
        raise AssertionError("no error")


def check_cancel(url: str) -> None:
    stream = client(url).chat_stream(model="toy-echo", messages=said("tick " * 900))
    for number, _ in enumerate(stream):
        if number == 5:
            break
    stream.close()
    time.sleep(0.2)
    last = last_record(url)
    assert last["outcome"] == "client_left" and last["left_at_token"] < 200, last


def check_models(url: str) -> None:
    names = [model.name for model in client(url).models.list().models]
    assert "models/toy-echo" in names
    assert text_of(streamed(url, "models/toy-echo", said("one"))) == "one"


if __name__ == "__main__":
    run("cohere-python", "cohere", dict(globals()))
