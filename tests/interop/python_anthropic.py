"""The checks of anthropic-python, and of LangChain on top of it."""

from __future__ import annotations

import asyncio
import json
import time

import anthropic
from python_checks import AWKWARD, BOTH, RAIN, STORY, last_record, left, run, said, scripted

LIMITS = {"max_tokens": 1000}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
}
TOOLS = [{"name": name, "input_schema": SCHEMA} for name in ("get_weather", "get_time")]


def root(url: str) -> str:
    return url.removesuffix("/v1")


def client(url: str, **options: object) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=root(url), api_key="none", max_retries=0, **options)  # type: ignore[arg-type]


def text_of(events: object) -> str:
    deltas = [event.delta for event in events if event.type == "content_block_delta"]  # type: ignore[attr-defined]
    return "".join(delta.text for delta in deltas if delta.type == "text_delta")


def check_text(url: str) -> None:
    events = list(client(url).messages.create(model="toy-echo", messages=said(AWKWARD), stream=True, **LIMITS))
    assert text_of(events) == AWKWARD
    assert [event.type for event in events[:2]] == ["message_start", "content_block_start"]
    assert events[-2].delta.stop_reason == "end_turn" and events[-1].type == "message_stop"


def check_async_text(url: str) -> None:
    async def run() -> str:
        async with anthropic.AsyncAnthropic(base_url=root(url), api_key="none") as c:
            stream = await c.messages.create(model="toy-echo", messages=said("one two"), stream=True, **LIMITS)
            text = text_of([event async for event in stream])
            async with c.messages.stream(model="toy-echo", messages=said(" three"), **LIMITS) as helper:
                return text + "".join([part async for part in helper.text_stream])

    assert asyncio.run(run()) == "one two three"


def check_whole_and_stream_are_the_same(url: str) -> None:
    c = client(url)
    asked = {"model": "toy-thinker", "messages": STORY, "extra_body": {"temperature": 0}, **LIMITS}
    whole = c.messages.create(**asked)
    with c.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert [block.type for block in whole.content] == ["thinking", "text"]
    thinking, text = final.content
    assert thinking == whole.content[0] and thinking.signature and text.text == whole.content[1].text
    assert whole.usage == final.usage and whole.usage.output_tokens > 20 and whole.stop_reason == final.stop_reason
    assert whole._request_id


def check_helper_text(url: str) -> None:
    with client(url).messages.stream(model="toy-echo", messages=said(AWKWARD), **LIMITS) as stream:
        assert "".join(stream.text_stream) == AWKWARD
        assert stream.get_final_text() == AWKWARD
    with client(url).messages.stream(model="toy-echo", messages=said("one two"), **LIMITS) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "text"]
    assert snapshots == ["one", "one two"]


def check_helper_parallel_tools(url: str) -> None:
    c = client(url)
    with c.messages.stream(model="toy", messages=BOTH, tools=TOOLS, **LIMITS) as stream:
        fragments = [event.partial_json for event in stream if event.type == "input_json"]
        message = stream.get_final_message()
    assert message.stop_reason == "tool_use" and len(fragments) > 6
    assert [block.name for block in message.content] == ["get_weather", "get_time"]
    assert all(block.input["days"] >= 1 for block in message.content)
    assert message.content[0].id != message.content[1].id
    results = [{"type": "tool_result", "tool_use_id": block.id, "content": "sunny"} for block in message.content]
    again = [*BOTH, {"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
    answer = c.messages.create(model="toy", messages=again, tools=TOOLS, **LIMITS)
    assert answer.stop_reason == "end_turn" and answer.content[0].type == "text"


def check_thinking_goes_back(url: str) -> None:
    c = client(url)
    asked = {"model": "toy-thinker", "tools": TOOLS, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    with c.messages.stream(messages=BOTH, max_tokens=2000, **asked) as stream:
        thoughts = "".join(event.thinking for event in stream if event.type == "thinking")
        message = stream.get_final_message()
    assert thoughts == message.content[0].thinking
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": "no"}], "is_error": True}
        for block in message.content
        if block.type == "tool_use"
    ]
    again = [*BOTH, {"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
    assert c.messages.create(messages=again, max_tokens=2000, **asked).stop_reason == "end_turn"


def check_tool_choice(url: str) -> None:
    def called(**choice: object) -> list[str]:
        asked = {"model": "toy", "messages": BOTH, "tools": TOOLS, "tool_choice": choice, **LIMITS}
        with client(url).messages.stream(**asked) as stream:
            return [block.name for block in stream.get_final_message().content if block.type == "tool_use"]

    assert called(type="none") == []
    assert called(type="any", disable_parallel_tool_use=True) == ["get_weather"]
    assert called(type="tool", name="get_time") == ["get_time"]


def check_structured_output(url: str) -> None:
    asked = {"model": "toy", "messages": STORY, "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
    with client(url).messages.stream(**asked, **LIMITS) as stream:
        assert json.loads(stream.get_final_text())["days"] >= 1


def check_each_stop_reason(url: str) -> None:
    c = client(url)
    short = c.messages.create(model="toy", messages=STORY, max_tokens=3)
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 3)
    asked = {
        "model": "toy-echo",
        "messages": said("alpha beta gamma delta"),
        "stop_sequences": ["x", "ta ga"],
        **LIMITS,
    }
    with c.messages.stream(**asked) as stream:
        stopped = stream.get_final_message()
    assert (stopped.stop_reason, stopped.stop_sequence, stopped.content[0].text) == (
        "stop_sequence",
        "ta ga",
        "alpha be",
    )
    asked["stop_sequences"] = ["deltaX"]
    with c.messages.stream(**asked) as stream:
        assert stream.get_final_text() == "alpha beta gamma delta"


def check_usage(url: str) -> None:
    events = list(client(url).messages.create(model="toy-echo", messages=said("one two"), stream=True, **LIMITS))
    before, after = events[0].message.usage, events[-2].usage
    assert (before.input_tokens, after.input_tokens, after.output_tokens) == (6, 6, 2)
    counted = client(url).messages.count_tokens(model="toy-echo", messages=said("one two"))
    assert counted.input_tokens == 6


def check_beta(url: str) -> None:
    answer = client(url).beta.messages.create(model="toy-echo", messages=said("one"), betas=["x-1"], **LIMITS)
    assert answer.content[0].text == "one"


def check_ping_in_silence(url: str) -> None:
    c = client(root(url) + "/heartbeat=0.1")
    raw = c.messages.with_raw_response.create(model="toy-slow", messages=said("one"), stream=True, **LIMITS)
    assert "ping" in raw.http_response.read().decode()
    with c.messages.stream(model="toy-slow", messages=STORY, **LIMITS) as stream:
        assert len(stream.get_final_text()) > 20


def check_error_inside_the_stream(url: str) -> None:
    text = ""
    try:
        for event in client(url).messages.create(model="toy-flaky", messages=STORY, stream=True, **LIMITS):
            text += text_of([event])
    except anthropic.APIStatusError as error:
        assert error.type == "api_error" and "failed" in str(error)
    else:
        raise AssertionError("no error")
    assert text


def check_error_of_a_whole_answer(url: str) -> None:
    try:
        client(url).messages.create(model="toy-flaky", messages=STORY, **LIMITS)
    except anthropic.InternalServerError as error:
        assert error.type == "api_error" and error.request_id
    else:
        raise AssertionError("no error")


def check_errors_before_the_stream(url: str) -> None:
    for wrong, kind, word in [
        ({"model": "no-such"}, anthropic.NotFoundError, "not_found_error"),
        ({"messages": []}, anthropic.BadRequestError, "invalid_request_error"),
        ({"max_tokens": -1}, anthropic.BadRequestError, "invalid_request_error"),
    ]:
        try:
            client(url).messages.create(**{"model": "toy", "messages": STORY, "stream": True, **LIMITS, **wrong})
        except kind as error:
            assert error.type == word and error.body["error"]["message"] and error.request_id
        else:
            raise AssertionError(wrong)


def check_faults(url: str) -> None:
    for fault, kind in (("refuse", anthropic.RateLimitError), ("error", anthropic.APIStatusError)):
        text = ""
        c = client(f"{root(url)}/fault={fault}&at=2")
        try:
            for event in c.messages.create(model="toy-echo", messages=said("a b c"), stream=True, **LIMITS):
                text += text_of([event])
        except kind:
            assert text == ("a b" if fault == "error" else "")
        else:
            raise AssertionError(fault)


def check_cancel(url: str) -> None:
    stream = client(url).messages.create(model="toy-echo", messages=said("tick " * 900), stream=True, **LIMITS)
    for number, _ in enumerate(stream):
        if number == 5:
            break
    stream.close()
    time.sleep(0.2)
    last = last_record(url)
    assert last["outcome"] == "client_left" and last["left_at_token"] < 200, last


def check_models(url: str) -> None:
    models = {model.id: model for model in client(url).models.list()}
    assert "toy-thinker" in models and models["toy"].display_name == "toy" and models["toy"].created_at.year == 2026
    assert client(url).models.retrieve("toy").type == "model"


def check_tool_runner_by_script(url: str) -> None:
    base = scripted(url, "anthropic-python", RAIN)

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """Weather of a city."""
        return f"wet in {city}"

    runner = client(base).beta.messages.tool_runner(
        model="claude-x", messages=said("Rain?"), tools=[get_weather], stream=True, **LIMITS
    )
    for stream in runner:
        last = stream.get_final_message()
    assert last.content[-1].text == "It rains in Paris." and left(base) == {"left": [], "missed": []}


if __name__ == "__main__":
    run("anthropic-python", "anthropic", dict(globals()))
