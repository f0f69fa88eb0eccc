"""The Python SDKs against the server at the URL in argv: prints one line of JSON for each check.

Each check is a function of a base URL; its name says client and behaviour. It returns nothing, or raises.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import traceback
import urllib.request
import warnings
from collections.abc import Callable

import litellm
import openai
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI

STORY = [{"role": "user", "content": "Tell me a story"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
                "required": ["city", "days"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    }
    for name in ("get_weather", "get_time")
]
BOTH = [{"role": "user", "content": "Use get_weather and then get_time"}]


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def client(url: str, **options: object) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0, **options)  # type: ignore[arg-type]


def journal(url: str) -> list[dict]:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/journal") as answer:
        return json.load(answer)


# ---- openai-python ---------------------------------------------------------------------------------------------------


def openai_text(url: str) -> None:
    text = 'caf\u00e9 \U0001f98a\u2028\x85 "quoted" \\ back\nline e\u0301'
    stream = client(url).chat.completions.create(model="toy-echo", messages=said(text), stream=True)
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == text
    assert chunks[-1].choices[0].finish_reason == "stop"


def openai_whole(url: str) -> None:
    c = client(url)
    whole = c.chat.completions.create(model="toy", messages=STORY, temperature=0)
    parts = c.chat.completions.create(model="toy", messages=STORY, temperature=0, stream=True)
    assert whole.choices[0].message.content == "".join(part.choices[0].delta.content or "" for part in parts)


def openai_async_text(url: str) -> None:
    async def run() -> str:
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as c:
            stream = await c.chat.completions.create(model="toy-echo", messages=said("one two"), stream=True)
            return "".join([part.choices[0].delta.content or "" async for part in stream])

    assert asyncio.run(run()) == "one two"


def openai_helper_choices_and_usage(url: str) -> None:
    with client(url).chat.completions.stream(
        model="toy-echo", messages=said("one two three"), n=2, stream_options={"include_usage": True}
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert [c.index for c in final.choices] == [0, 1]
    assert all(c.finish_reason == "stop" and c.message.content == "one two three" for c in final.choices)
    assert final.usage and final.usage.completion_tokens == 6


def openai_helper_parallel_tools(url: str) -> None:
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


def openai_helper_structured_output(url: str) -> None:
    import pydantic

    class Plan(pydantic.BaseModel):
        title: str
        steps: list[str]
        days: int

    with client(url).chat.completions.stream(model="toy", messages=STORY, response_format=Plan) as stream:
        for _ in stream:
            pass
        plan = stream.get_final_completion().choices[0].message.parsed
    assert isinstance(plan, Plan) and plan.steps


def openai_logprobs(url: str) -> None:
    answer = client(url).chat.completions.create(model="toy", messages=STORY, logprobs=True, top_logprobs=2)
    content = answer.choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in content).decode() == answer.choices[0].message.content


def openai_stop_across_tokens(url: str) -> None:
    stream = client(url).chat.completions.create(
        model="toy-echo", messages=said("alpha beta gamma delta"), stop="ta ga", stream=True
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "alpha be"
    assert chunks[-1].choices[0].finish_reason == "stop"


def openai_error_inside_the_stream(url: str) -> None:
    text = ""
    try:
        for chunk in client(url).chat.completions.create(model="toy-flaky", messages=STORY, stream=True):
            text += chunk.choices[0].delta.content or ""
    except openai.APIError as error:
        assert "broke down" in error.message
    else:
        raise AssertionError("no error")
    assert text


def openai_fault_in_the_base_url(url: str) -> None:
    for c in (client(url + "?fault=error&at=2"), client(url, default_query={"fault": "error", "at": "2"})):
        text = ""
        try:
            for chunk in c.chat.completions.create(model="toy-echo", messages=said("one two three"), stream=True):
                text += chunk.choices[0].delta.content or ""
        except openai.APIError as error:
            assert "as the request asked for" in error.message
        else:
            raise AssertionError("no error")
        assert text == "one two"


def openai_errors_before_the_stream(url: str) -> None:
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


def openai_cancel(url: str) -> None:
    stream = client(url).chat.completions.create(model="toy-echo", messages=said("tick " * 2000), stream=True)
    for number, _ in enumerate(stream):
        if number == 5:
            break
    stream.close()
    time.sleep(0.2)
    last = journal(url)[-1]
    assert last["outcome"] == "client_left" and last["left_at_token"] < 200, last


def openai_models(url: str) -> None:
    c = client(url)
    assert {"toy", "toy-echo", "toy-slow", "toy-flaky"} == {model.id for model in c.models.list()}
    assert c.models.retrieve("toy").id == "toy"


def openai_legacy_completions(url: str) -> None:
    stream = client(url).completions.create(model="toy-echo", prompt="one two three", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "one two three"


# ---- LangChain -------------------------------------------------------------------------------------------------------


def chat(url: str, model: str = "toy-echo", **options: object) -> ChatOpenAI:
    return ChatOpenAI(base_url=url, api_key="none", model=model, max_retries=0, **options)  # type: ignore[arg-type]


def langchain_text_and_usage(url: str) -> None:
    whole = None
    for chunk in chat(url, stream_usage=True).stream("one two \U0001f98a"):
        whole = chunk if whole is None else whole + chunk
    assert whole.content == "one two \U0001f98a"
    assert whole.response_metadata["finish_reason"] == "stop"
    assert whole.usage_metadata["output_tokens"] > 2


def langchain_async_text(url: str) -> None:
    async def run() -> str:
        return "".join([chunk.content async for chunk in chat(url).astream("one two")])

    assert asyncio.run(run()) == "one two"


def langchain_tools(url: str) -> None:
    whole = None
    for chunk in chat(url, "toy").bind_tools(TOOLS).stream([HumanMessage(BOTH[0]["content"])]):
        whole = chunk if whole is None else whole + chunk
    assert [call["name"] for call in whole.tool_calls] == ["get_weather", "get_time"]
    assert all(call["args"]["city"] for call in whole.tool_calls)


def langchain_error_inside_the_stream(url: str) -> None:
    try:
        list(chat(url, "toy-flaky").stream("hi"))
    except Exception as error:
        assert "broke down" in str(error)
    else:
        raise AssertionError("no error")


def langchain_fault_in_the_base_url(url: str) -> None:
    try:
        list(chat(url + "?fault=error&at=2").stream("one two three"))
    except openai.APIError as error:
        assert "as the request asked for" in error.message
    else:
        raise AssertionError("no error")


def langchain_stop(url: str) -> None:
    text = "".join(chunk.content for chunk in chat(url).stream("alpha beta gamma", stop=["ta ga"]))
    assert text == "alpha be"


# ---- LiteLLM ---------------------------------------------------------------------------------------------------------


def lite(url: str, model: str, messages: list, **options: object) -> object:
    return litellm.completion(
        model=f"openai/{model}", api_base=url, api_key="none", messages=messages, num_retries=0, **options
    )


def litellm_text_and_usage(url: str) -> None:
    chunks = list(lite(url, "toy-echo", said("one two"), stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "one two"
    assert any(getattr(c, "usage", None) for c in chunks)


def litellm_tools(url: str) -> None:
    chunks = list(lite(url, "toy", BOTH, stream=True, tools=TOOLS))
    message = litellm.stream_chunk_builder(chunks).choices[0].message
    assert [call.function.name for call in message.tool_calls] == ["get_weather", "get_time"]
    assert all(json.loads(call.function.arguments)["days"] for call in message.tool_calls)


def litellm_error_inside_the_stream(url: str) -> None:
    try:
        list(lite(url, "toy-flaky", STORY, stream=True))
    except Exception as error:
        assert "broke down" in str(error)
    else:
        raise AssertionError("no error")


def litellm_fault_in_the_base_url(url: str) -> None:
    try:
        list(lite(url + "?fault=error&at=2", "toy-echo", said("one two three"), stream=True))
    except Exception as error:
        assert "as the request asked for" in str(error), error
    else:
        raise AssertionError("no error")


def main() -> None:
    warnings.simplefilter("ignore")
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    url = sys.argv[1]
    checks: dict[str, Callable[[str], None]] = {
        name: value
        for name, value in globals().items()
        if callable(value) and name.partition("_")[0] in ("openai", "langchain", "litellm") and "_" in name
    }
    for name, check in checks.items():
        try:
            check(url)
            problem = None
        except Exception:
            problem = traceback.format_exc(limit=-2)
        print(json.dumps({"check": name, "problem": problem}), flush=True)


if __name__ == "__main__":
    main()
