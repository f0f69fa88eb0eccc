"""The checks of LangChain's ChatOpenAI, on both wires, and of its ChatAnthropic."""

from __future__ import annotations

import asyncio

import anthropic
import openai
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from python_checks import AWKWARD, BOTH, RAIN, STORY, TOOLS, left, run, scripted, with_fault


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


def check_responses(url: str) -> None:
    whole = None
    for chunk in chat(url, use_responses_api=True).stream(AWKWARD):
        whole = chunk if whole is None else whole + chunk
    assert whole.text == AWKWARD and whole.usage_metadata["output_tokens"] > 5
    bound = chat(url, "toy", use_responses_api=True).bind_tools(TOOLS)
    assert [call["name"] for call in bound.invoke(BOTH[0]["content"]).tool_calls] == ["get_weather", "get_time"]


def claude(url: str, model: str = "toy-echo", **options: object) -> ChatAnthropic:
    root = url.removesuffix("/v1")
    return ChatAnthropic(base_url=root, api_key="none", model=model, max_retries=0, max_tokens=1000, **options)  # type: ignore[arg-type]


def joined(chunks: object) -> object:
    whole = None
    for chunk in chunks:  # type: ignore[attr-defined]
        whole = chunk if whole is None else whole + chunk
    return whole


def check_anthropic_text_and_usage(url: str) -> None:
    whole = joined(claude(url).stream(AWKWARD))
    assert whole.text == AWKWARD and whole.response_metadata["stop_reason"] == "end_turn"
    assert whole.usage_metadata["output_tokens"] > 5 and whole.usage_metadata["input_tokens"] > 5
    same = claude(url).invoke(AWKWARD).usage_metadata
    assert [same[n] for n in ("input_tokens", "output_tokens")] == [
        whole.usage_metadata[n] for n in ("input_tokens", "output_tokens")
    ]


def check_anthropic_tools(url: str) -> None:
    tools = [{"name": tool["function"]["name"], "input_schema": tool["function"]["parameters"]} for tool in TOOLS]
    model = claude(url, "toy").bind_tools(tools)
    whole = joined(model.stream([HumanMessage(BOTH[0]["content"])]))
    assert [call["name"] for call in whole.tool_calls] == ["get_weather", "get_time"]
    assert all(call["args"]["days"] >= 1 for call in whole.tool_calls)
    results = [ToolMessage("sunny", tool_call_id=call["id"]) for call in whole.tool_calls]
    assert not model.invoke([HumanMessage(BOTH[0]["content"]), whole, *results]).tool_calls


def check_anthropic_stop_and_count(url: str) -> None:
    whole = joined(claude(url).stream("alpha beta gamma", stop=["ta ga"]))
    assert whole.text == "alpha be" and whole.response_metadata["stop_sequence"] == "ta ga"
    assert claude(url).get_num_tokens_from_messages([HumanMessage("one two")]) == 6


def check_anthropic_errors(url: str) -> None:
    for model, kind in (("toy-flaky", anthropic.APIStatusError), ("no-such", anthropic.NotFoundError)):
        try:
            list(claude(url, model).stream(STORY[0]["content"]))
        except Exception as error:
            assert isinstance(error, kind) or isinstance(error.__cause__, kind), repr(error)
        else:
            raise AssertionError(model)


def check_agent_by_script(url: str) -> None:
    base = scripted(url, "langchain", RAIN)

    def get_weather(city: str) -> str:
        """Weather of a city."""
        return f"wet in {city}"

    agent = create_agent(ChatOpenAI(base_url=base, api_key="none", model="gpt-x", streaming=True), [get_weather])
    for state in agent.stream({"messages": [("user", "Rain?")]}, stream_mode="values"):
        last = state["messages"][-1]
    assert last.text == "It rains in Paris." and left(base) == {"left": [], "missed": []}


if __name__ == "__main__":
    run("langchain-openai", "langchain-openai", dict(globals()))
