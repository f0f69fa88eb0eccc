"""The checks of LiteLLM."""

from __future__ import annotations

import json
import os

from python_checks import AWKWARD, BOTH, STORY, TOOLS, run, said, with_fault

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # nothing is fetched

import litellm

litellm.suppress_debug_info = True
litellm.telemetry = False


def lite(url: str, model: str, messages: list, **options: object) -> object:
    return litellm.completion(
        model=f"openai/{model}", api_base=url, api_key="none", messages=messages, num_retries=0, **options
    )


def check_text_and_usage(url: str) -> None:
    chunks = list(lite(url, "toy-echo", said("one two"), stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "one two"
    assert any(getattr(c, "usage", None) for c in chunks)


def check_tools(url: str) -> None:
    chunks = list(lite(url, "toy", BOTH, stream=True, tools=TOOLS))
    message = litellm.stream_chunk_builder(chunks).choices[0].message
    assert [call.function.name for call in message.tool_calls] == ["get_weather", "get_time"]
    assert all(json.loads(call.function.arguments)["days"] for call in message.tool_calls)


def check_error_inside_the_stream(url: str) -> None:
    try:
        list(lite(url, "toy-flaky", STORY, stream=True))
    except Exception as error:
        assert "failed" in str(error)
    else:
        raise AssertionError("no error")


def check_fault_in_the_base_url(url: str) -> None:
    try:
        list(lite(with_fault(url), "toy-echo", said("one two three"), stream=True))
    except Exception as error:
        assert "as the request asked for" in str(error), error
    else:
        raise AssertionError("no error")


def claude(url: str, model: str, messages: list, **options: object) -> object:
    return litellm.completion(
        model=f"anthropic/{model}",
        api_base=url.removesuffix("/v1"),
        api_key="none",
        messages=messages,
        num_retries=0,
        max_tokens=1000,
        **options,
    )


def check_anthropic_text_and_usage(url: str) -> None:
    chunks = list(claude(url, "toy-echo", said(AWKWARD), stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == AWKWARD
    usage = next(c.usage for c in chunks if getattr(c, "usage", None))
    whole = claude(url, "toy-echo", said(AWKWARD))
    assert whole.choices[0].message.content == AWKWARD
    assert (usage.prompt_tokens, usage.completion_tokens) == (whole.usage.prompt_tokens, whole.usage.completion_tokens)


def check_anthropic_tools(url: str) -> None:
    chunks = list(claude(url, "toy", BOTH, stream=True, tools=TOOLS))
    message = litellm.stream_chunk_builder(chunks).choices[0].message
    assert [call.function.name for call in message.tool_calls] == ["get_weather", "get_time"]
    assert all(json.loads(call.function.arguments)["days"] for call in message.tool_calls)


def check_anthropic_limit_and_stop(url: str) -> None:
    stopped = claude(url, "toy-echo", said("alpha beta gamma"), stop=["ta ga"])
    assert stopped.choices[0].message.content == "alpha be"


def check_anthropic_error_inside_the_stream(url: str) -> None:
    try:
        list(claude(url, "toy-flaky", STORY, stream=True))
    except Exception as error:
        assert "failed" in str(error), error
    else:
        raise AssertionError("no error")


def check_responses(url: str) -> None:
    asked = {"model": "openai/toy-echo", "api_base": url, "api_key": "none", "input": AWKWARD}
    assert litellm.responses(**asked).output[0].content[0].text == AWKWARD
    events = list(litellm.responses(**asked, stream=True))
    assert events[-1].response.output[0].content[0].text == AWKWARD


if __name__ == "__main__":
    run("litellm", "litellm", dict(globals()))
