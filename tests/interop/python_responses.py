"""The checks of openai-python on Responses."""

from __future__ import annotations

import asyncio
import json
import time

import openai
import pydantic
from python_checks import AWKWARD, BOTH, STORY, last_record, run, said
from python_checks import TOOLS as NESTED

TOOLS = [{"type": "function", **tool["function"]} for tool in NESTED]


def client(url: str, **options: object) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0, **options)  # type: ignore[arg-type]


def text_of(events: object) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")  # type: ignore[attr-defined]


def check_text(url: str) -> None:
    events = list(client(url).responses.create(model="toy-echo", input=AWKWARD, stream=True))
    assert text_of(events) == AWKWARD
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed" and events[-1].response.output_text == AWKWARD


def check_async_text(url: str) -> None:
    async def run() -> str:
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as c:
            stream = await c.responses.create(model="toy-echo", input=said("one two"), stream=True)
            return text_of([event async for event in stream])

    assert asyncio.run(run()) == "one two"


def check_whole_and_stream_are_the_same(url: str) -> None:
    c = client(url)
    asked = {"model": "toy-thinker", "input": STORY, "temperature": 0, "instructions": "Be brief."}
    whole = c.responses.create(**asked)
    final = list(c.responses.create(**asked, stream=True))[-1].response
    assert whole.output_text == final.output_text and whole.usage == final.usage and whole.usage.total_tokens > 40
    assert whole.usage.output_tokens_details.reasoning_tokens > 10
    assert [item.type for item in whole.output] == [item.type for item in final.output] == ["reasoning", "message"]
    assert whole.output[0].summary[0].text == final.output[0].summary[0].text
    assert whole.instructions == "Be brief." and whole.temperature == 0


def check_helper_text(url: str) -> None:
    with client(url).responses.stream(model="toy-echo", input=AWKWARD) as stream:
        deltas = [event for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert deltas[-1].snapshot == AWKWARD == final.output_text and final.status == "completed"


def check_helper_reasoning(url: str) -> None:
    with client(url).responses.stream(model="toy-thinker", input="Hi") as stream:
        thoughts = "".join(e.delta for e in stream if e.type == "response.reasoning_summary_text.delta")
        final = stream.get_final_response()
    assert thoughts == final.output[0].summary[0].text and "Hi" in thoughts and final.output_text


def check_helper_parallel_tools(url: str) -> None:
    c = client(url)
    with c.responses.stream(model="toy", input=BOTH, tools=TOOLS) as stream:
        deltas = [event for event in stream if event.type == "response.function_call_arguments.delta"]
        final = stream.get_final_response()
    assert [item.name for item in final.output] == ["get_weather", "get_time"] and len(deltas) > 6
    assert all(item.parsed_arguments["days"] >= 1 for item in final.output)
    assert len({item.call_id for item in final.output} | {item.id for item in final.output}) == 4
    again = [*BOTH, *[item.model_dump(exclude_none=True) for item in final.output]]
    again += [{"type": "function_call_output", "call_id": item.call_id, "output": "sunny"} for item in final.output]
    answer = c.responses.create(model="toy", input=again, tools=TOOLS)
    assert answer.output[0].type == "message" and answer.output_text


def check_tool_choice(url: str) -> None:
    def called(**options: object) -> list[str]:
        answer = client(url).responses.create(model="toy", input=BOTH, tools=TOOLS, **options)  # type: ignore[arg-type]
        return [item.name for item in answer.output if item.type == "function_call"]

    assert called(tool_choice="none") == []
    assert called(tool_choice="required", parallel_tool_calls=False) == ["get_weather"]
    assert called(tool_choice={"type": "function", "name": "get_time"}) == ["get_time"]
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "get_time"}]}
    assert called(tool_choice=allowed) == ["get_time"]


def check_helper_structured_output(url: str) -> None:
    class Plan(pydantic.BaseModel):
        title: str
        steps: list[str]

    with client(url).responses.stream(model="toy", input=STORY, text_format=Plan) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_response().output_parsed, Plan)
    assert isinstance(client(url).responses.parse(model="toy", input=STORY, text_format=Plan).output_parsed, Plan)


def check_limit(url: str) -> None:
    *_, last = client(url).responses.create(model="toy", input=STORY, stream=True, max_output_tokens=3)
    assert last.type == "response.incomplete" and last.response.incomplete_details.reason == "max_output_tokens"
    assert last.response.usage.output_tokens == 3 and last.response.output[0].status == "incomplete"
    whole = client(url).responses.create(model="toy", input=STORY, max_output_tokens=3)
    assert whole.status == "incomplete" and whole.output_text == last.response.output_text


def check_logprobs(url: str) -> None:
    answer = client(url).responses.create(
        model="toy", input=STORY, include=["message.output_text.logprobs"], top_logprobs=2
    )
    logprobs = answer.output[0].content[0].logprobs
    assert b"".join(bytes(entry.bytes) for entry in logprobs).decode() == answer.output_text


def check_request_is_echoed(url: str) -> None:
    answer = client(url).responses.create(
        model="toy-echo", input="x", tools=TOOLS, tool_choice="none", metadata={"k": "v"}, user="u-1", store=False
    )
    assert answer.metadata == {"k": "v"} and answer.user == "u-1" and answer.tool_choice == "none"
    assert [tool.name for tool in answer.tools] == ["get_weather", "get_time"]


def check_silence(url: str) -> None:
    c = client(url.replace("/v1", "/heartbeat=0.1/v1"))
    assert len(text_of(c.responses.create(model="toy-slow", input=STORY, stream=True))) > 20


def check_error_inside_the_stream(url: str) -> None:
    events = list(client(url).responses.create(model="toy-flaky", input=STORY, stream=True))
    assert text_of(events) and events[-1].type == "response.failed"
    assert "failed" in events[-1].response.error.message and events[-1].response.status == "failed"


def check_errors_before_the_stream(url: str) -> None:
    for wrong, kind, param in [
        ({"model": "no-such"}, openai.NotFoundError, "model"),
        ({"input": []}, openai.BadRequestError, "input"),
        ({"previous_response_id": "resp_1"}, openai.BadRequestError, "previous_response_id"),
    ]:
        try:
            client(url).responses.create(**{"model": "toy", "input": STORY, "stream": True, **wrong})
        except kind as error:
            assert error.param == param and error.body["message"] and error.request_id
        else:
            raise AssertionError(wrong)
    for call in (client(url).responses.retrieve, client(url).responses.delete):
        try:
            call("resp_1")
        except openai.NotFoundError as error:
            assert error.body["message"]
        else:
            raise AssertionError(call)


def check_error_of_a_whole_answer(url: str) -> None:
    try:
        client(url).responses.create(model="toy-flaky", input=STORY)
    except openai.InternalServerError as error:
        assert "failed" in error.message
    else:
        raise AssertionError("no error")


def check_cancel(url: str) -> None:
    stream = client(url).responses.create(model="toy-echo", input="tick " * 2000, stream=True)
    for number, _ in enumerate(stream):
        if number == 8:
            break
    stream.close()
    time.sleep(0.2)
    last = last_record(url)
    assert last["outcome"] == "client_left" and last["left_at_token"] < 200, last
    assert json.dumps(last)


if __name__ == "__main__":
    run("openai-python, Responses", "openai", dict(globals()))
