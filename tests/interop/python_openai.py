"""The checks of openai-python."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import openai
import pydantic
from python_checks import AWKWARD, BOTH, RAIN, STORY, TOOLS, last_record, left, run, said, scripted, with_fault


def client(url: str, **options: object) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0, **options)  # type: ignore[arg-type]


def check_text(url: str) -> None:
    stream = client(url).chat.completions.create(model="toy-echo", messages=said(AWKWARD), stream=True)
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == AWKWARD
    assert chunks[-1].choices[0].finish_reason == "stop"


def check_whole(url: str) -> None:
    c = client(url)
    whole = c.chat.completions.create(model="toy", messages=STORY, temperature=0)
    parts = c.chat.completions.create(model="toy", messages=STORY, temperature=0, stream=True)
    assert whole.choices[0].message.content == "".join(part.choices[0].delta.content or "" for part in parts)


def check_async_text(url: str) -> None:
    async def run() -> str:
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as c:
            stream = await c.chat.completions.create(model="toy-echo", messages=said("one two"), stream=True)
            return "".join([part.choices[0].delta.content or "" async for part in stream])

    assert asyncio.run(run()) == "one two"


def check_helper_choices_and_usage(url: str) -> None:
    with client(url).chat.completions.stream(
        model="toy-echo", messages=said("one two three"), n=2, stream_options={"include_usage": True}
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert [c.index for c in final.choices] == [0, 1]
    assert all(c.finish_reason == "stop" and c.message.content == "one two three" for c in final.choices)
    assert final.usage and final.usage.completion_tokens == 6


def check_helper_parallel_tools(url: str) -> None:
    with client(url).chat.completions.stream(model="toy", messages=BOTH, tools=TOOLS) as stream:
        events = [event for event in stream if event.type.startswith("tool_calls")]
        message = stream.get_final_completion().choices[0].message
    calls = message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert all(call.function.parsed_arguments["days"] >= 1 for call in calls)
    assert sum(event.type == "tool_calls.function.arguments.delta" for event in events) > 6
    again = [*BOTH, message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"})]
    again += [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
    answer = client(url).chat.completions.create(model="toy", messages=again, tools=TOOLS)
    assert answer.choices[0].finish_reason == "stop" and answer.choices[0].message.content


def check_helper_structured_output(url: str) -> None:
    class Plan(pydantic.BaseModel):
        title: str
        steps: list[str]
        days: int

    with client(url).chat.completions.stream(model="toy", messages=STORY, response_format=Plan) as stream:
        for _ in stream:
            pass
        plan = stream.get_final_completion().choices[0].message.parsed
    assert isinstance(plan, Plan) and plan.steps


def check_logprobs(url: str) -> None:
    answer = client(url).chat.completions.create(model="toy", messages=STORY, logprobs=True, top_logprobs=2)
    content = answer.choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in content).decode() == answer.choices[0].message.content


def check_stop_across_tokens(url: str) -> None:
    stream = client(url).chat.completions.create(
        model="toy-echo", messages=said("alpha beta gamma delta"), stop="ta ga", stream=True
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "alpha be"
    assert chunks[-1].choices[0].finish_reason == "stop"


def check_error_inside_the_stream(url: str) -> None:
    text = ""
    try:
        for chunk in client(url).chat.completions.create(model="toy-flaky", messages=STORY, stream=True):
            text += chunk.choices[0].delta.content or ""
    except openai.APIError as error:
        assert "failed" in error.message
    else:
        raise AssertionError("no error")
    assert text


def check_fault_in_the_base_url(url: str) -> None:
    for c in (client(with_fault(url)), client(url, default_query={"fault": "error", "at": "2"})):
        text = ""
        try:
            for chunk in c.chat.completions.create(model="toy-echo", messages=said("one two three"), stream=True):
                text += chunk.choices[0].delta.content or ""
        except openai.APIError as error:
            assert "as the request asked for" in error.message
        else:
            raise AssertionError("no error")
        assert text == "one two"


def check_errors_before_the_stream(url: str) -> None:
    c = client(url)
    for wrong, kind in [
        ({"model": "gpt-9"}, openai.NotFoundError),
        ({"messages": []}, openai.BadRequestError),
        ({"temperature": 3}, openai.BadRequestError),
    ]:
        try:
            c.chat.completions.create(**{"model": "toy", "messages": STORY, "stream": True, **wrong})
        except kind as error:
            assert error.body["message"] and error.request_id
        else:
            raise AssertionError(wrong)


def check_cancel(url: str) -> None:
    stream = client(url).chat.completions.create(model="toy-echo", messages=said("tick " * 2000), stream=True)
    for number, _ in enumerate(stream):
        if number == 5:
            break
    stream.close()
    time.sleep(0.2)
    last = last_record(url)
    assert last["outcome"] == "client_left" and last["left_at_token"] < 200, last


def check_models(url: str) -> None:
    c = client(url)
    assert {"toy", "toy-echo", "toy-slow", "toy-flaky", "toy-thinker"} == {model.id for model in c.models.list()}
    assert c.models.retrieve("toy").id == "toy"


def check_legacy_completions(url: str) -> None:
    stream = client(url).completions.create(model="toy-echo", prompt="one two three", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "one two three"


SERVICES = [
    "azure",
    "deepseek",
    "groq",
    "llamacpp",
    "lmstudio",
    "ollama",
    "openrouter",
    "sglang",
    "tgi",
    "together",
    "vllm",
]


def at(url: str, segment: str) -> str:
    """The base URL with settings in it."""
    return url.removesuffix("/v1") + f"/{segment}/v1"


def check_text_of_every_service(url: str) -> None:
    for service in SERVICES:
        stream = client(at(url, f"quirk={service}")).chat.completions.create(
            model="toy-echo", messages=said(AWKWARD), stream=True, stream_options={"include_usage": True}
        )
        deltas = [choice.delta for chunk in stream for choice in chunk.choices if choice.delta]
        assert "".join(delta.content or "" for delta in deltas) == AWKWARD, service


def check_route_of_ollama(url: str) -> None:
    c = client(at(url, "quirk=ollama")).chat.completions

    def streamed(model: str, messages: object, **options: object) -> list[object]:
        usage = {"include_usage": True}
        return list(c.create(model=model, messages=messages, stream=True, stream_options=usage, **options))  # type: ignore[call-overload]

    def text(chunks: list) -> str:  # type: ignore[type-arg]
        return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)

    *_, finish, usage = streamed("toy", STORY, max_tokens=3)
    assert finish.choices[0].finish_reason == "length" and usage.usage.completion_tokens == 3  # type: ignore[attr-defined]
    assert text(streamed("toy-echo", said("alpha beta gamma"), stop=["ta ga"])) == "alpha be"
    chunks: list = streamed("toy", BOTH, tools=TOOLS)  # type: ignore[type-arg]
    (calls,) = [choice.delta.tool_calls for chunk in chunks for choice in chunk.choices if choice.delta.tool_calls]
    assert [call.function.name for call in calls] == ["get_weather", "get_time"] and {call.index for call in calls} == {
        0
    }
    thoughts = [
        choice.delta.reasoning
        for chunk in streamed("toy-thinker", STORY)
        for choice in chunk.choices  # type: ignore[attr-defined]
        if hasattr(choice.delta, "reasoning")
    ]
    assert "Tell me a story" in "".join(thoughts)
    failed = streamed("toy-flaky", STORY)  # whose error is a line outside of events: the SDK passes over it
    assert text(failed) and not any(choice.finish_reason for chunk in failed for choice in chunk.choices)  # type: ignore[attr-defined]
    try:
        streamed("no-such", STORY)
    except openai.NotFoundError as error:
        assert "no-such" in str(error)
    else:
        raise AssertionError("no error")
    with c.create(model="toy-echo", messages=said("tick " * 900), stream=True) as stream:  # type: ignore[call-overload]
        for number, _ in enumerate(stream):
            if number == 5:
                break
    time.sleep(0.2)
    assert last_record(url)["outcome"] == "client_left"


def check_tool_loop_by_script(url: str) -> None:
    base = scripted(url, "openai-python", RAIN)
    chats = openai.OpenAI(base_url=base, api_key="none").chat.completions
    messages: list[Any] = said("Rain in Paris?")
    while True:
        with chats.stream(model="gpt-x", messages=messages, tools=TOOLS) as stream:  # type: ignore[arg-type]
            message = stream.get_final_completion().choices[0].message
        if not message.tool_calls:
            break
        results = [{"role": "tool", "tool_call_id": call.id, "content": "wet"} for call in message.tool_calls]
        messages += [message, *results]
    assert message.content == "It rains in Paris." and left(base) == {"left": [], "missed": []}


if __name__ == "__main__":
    run("openai-python", "openai", dict(globals()))
