"""The checks of mistralai: with the quirks of the service, and of its text without them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from mistralai.client import Mistral
from mistralai.client.errors import SDKError
from python_checks import AWKWARD, BOTH, STORY, TOOLS, last_record, run, said


def client(url: str, segment: str = "/quirk=mistral") -> Mistral:
    return Mistral(api_key="none", server_url=url.removesuffix("/v1") + segment)


def streamed(url: str, model: str, messages: Any, segment: str = "/quirk=mistral", **options: Any) -> list[Any]:
    return [event.data for event in client(url, segment).chat.stream(model=model, messages=messages, **options)]


def text_of(chunks: list[Any]) -> str:
    contents = [choice.delta.content for chunk in chunks for choice in chunk.choices]
    return "".join(content for content in contents if isinstance(content, str))


def check_text(url: str) -> None:
    chunks = streamed(url, "toy-echo", said(AWKWARD))
    assert text_of(chunks) == AWKWARD and chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens > 5
    assert text_of(streamed(url, "toy-echo", said(AWKWARD), "")) == AWKWARD


def check_async_text(url: str) -> None:
    async def text() -> str:
        stream = await client(url).chat.stream_async(model="toy-echo", messages=said(AWKWARD))
        return text_of([event.data async for event in stream])

    assert asyncio.run(text()) == AWKWARD


def check_whole_and_stream_are_the_same(url: str) -> None:
    asked: Any = {"model": "toy", "messages": STORY, "temperature": 0}
    chunks, whole = streamed(url, **asked), client(url).chat.complete(**asked)
    assert text_of(chunks) == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens > 20


def check_reasoning(url: str) -> None:
    contents = [c.delta.content for chunk in streamed(url, "toy-thinker", STORY) for c in chunk.choices]
    thoughts = [part.thinking[0].text for content in contents if isinstance(content, list) for part in content]
    assert "Tell me a story" in "".join(thoughts) and any(isinstance(content, str) and content for content in contents)


def check_two_tool_calls(url: str) -> None:
    chunks = streamed(url, "toy", BOTH, tools=TOOLS)
    (calls,) = [choice.delta.tool_calls for chunk in chunks for choice in chunk.choices if choice.delta.tool_calls]
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert all(json.loads(call.function.arguments)["days"] >= 1 and len(call.id) == 9 for call in calls)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def check_results_of_tools_go_back(url: str) -> None:
    chat = client(url).chat
    first: Any = chat.complete(model="toy", messages=BOTH, tools=TOOLS).choices[0].message
    results = [
        {"role": "tool", "tool_call_id": c.id, "name": c.function.name, "content": "sun"} for c in first.tool_calls
    ]
    answer = chat.complete(model="toy", messages=[*BOTH, first, *results], tools=TOOLS)
    assert answer.choices[0].finish_reason == "stop"


def check_tool_choice(url: str) -> None:
    def calls(choice: str) -> int:
        (answer,) = client(url).chat.complete(model="toy", messages=said("hi"), tools=TOOLS, tool_choice=choice).choices
        return len(answer.message.tool_calls or [])

    assert [calls(choice) for choice in ("auto", "none", "any", "required")] == [0, 0, 1, 1]


def check_limit_stop_strings_and_seed(url: str) -> None:
    *_, last = streamed(url, "toy", STORY, max_tokens=3)
    assert last.choices[0].finish_reason == "length" and last.usage.completion_tokens == 3
    assert text_of(streamed(url, "toy-echo", said("alpha beta gamma"), stop=["ta ga"])) == "alpha be"
    first, second, third = (text_of(streamed(url, "toy", STORY, random_seed=seed)) for seed in (1, 1, 2))
    assert first == second != third


def check_silence(url: str) -> None:
    assert len(text_of(streamed(url, "toy-slow", STORY, "/quirk=mistral&heartbeat=0.05"))) > 20


def check_error_inside_the_stream(url: str) -> None:
    try:
        chunks = streamed(url, "toy-flaky", STORY)
    except Exception as error:
        assert "failed" in str(error)
    else:
        assert text_of(chunks) and not chunks[-1].choices[0].finish_reason


def check_errors_before_the_stream(url: str) -> None:
    for segment, model, options, status in [
        ("/quirk=mistral", "no-such", {}, 404),
        ("/quirk=mistral", "toy", {"max_tokens": -1}, 400),
        ("/quirk=mistral&fault=refuse", "toy", {}, 429),
    ]:
        try:
            streamed(url, model, STORY, segment, **options)
        except SDKError as error:
            assert error.status_code == status and json.loads(error.body)["object"] == "error"
        else:
            raise AssertionError(model)


def check_cancel(url: str) -> None:
    with client(url).chat.stream(model="toy-echo", messages=said("tick " * 900)) as stream:
        for number, _ in enumerate(stream):
            if number == 5:
                break
    time.sleep(0.2)
    last = last_record(url)
    assert last["outcome"] == "client_left" and last["left_at_token"] < 200, last


def check_models(url: str) -> None:
    models: Any = client(url).models.list().data
    assert "toy-thinker" in [model.id for model in models] and models[0].capabilities.completion_chat


if __name__ == "__main__":
    run("mistralai", "mistralai", dict(globals()))
