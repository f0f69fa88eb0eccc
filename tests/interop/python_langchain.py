"""The checks of LangChain's ChatOpenAI."""

from __future__ import annotations

import asyncio

import openai
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from python_checks import BOTH, TOOLS, run, with_fault


def chat(url: str, model: str = "toy-echo", **options: object) -> ChatOpenAI:
    return ChatOpenAI(base_url=url, api_key="none", model=model, max_retries=0, **options)  # type: ignore[arg-type]


def check_text_and_usage(url: str) -> None:
    whole = None
    for chunk in chat(url, stream_usage=True).stream("one two \U0001f98a"):
        whole = chunk if whole is None else whole + chunk
    assert whole.content == "one two \U0001f98a"
    assert whole.response_metadata["finish_reason"] == "stop"
    assert whole.usage_metadata["output_tokens"] > 2


def check_async_text(url: str) -> None:
    async def run() -> str:
        return "".join([chunk.content async for chunk in chat(url).astream("one two")])

    assert asyncio.run(run()) == "one two"


def check_tools(url: str) -> None:
    whole = None
    for chunk in chat(url, "toy").bind_tools(TOOLS).stream([HumanMessage(BOTH[0]["content"])]):
        whole = chunk if whole is None else whole + chunk
    assert [call["name"] for call in whole.tool_calls] == ["get_weather", "get_time"]
    assert all(call["args"]["city"] for call in whole.tool_calls)


def check_error_inside_the_stream(url: str) -> None:
    try:
        list(chat(url, "toy-flaky").stream("hi"))
    except Exception as error:
        assert "failed" in str(error)
    else:
        raise AssertionError("no error")


def check_fault_in_the_base_url(url: str) -> None:
    try:
        list(chat(with_fault(url)).stream("one two three"))
    except openai.APIError as error:
        assert "as the request asked for" in error.message
    else:
        raise AssertionError("no error")


def check_stop(url: str) -> None:
    text = "".join(chunk.content for chunk in chat(url).stream("alpha beta gamma", stop=["ta ga"]))
    assert text == "alpha be"


if __name__ == "__main__":
    run("langchain-openai", "langchain-openai", dict(globals()))
