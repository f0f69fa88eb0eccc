"""The checks of google-genai, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from typing import Any

from google import genai
from google.genai import errors, types
from python_checks import AWKWARD, BOTH, last_record, run

SCHEMA = {
    "type": "OBJECT",
    "properties": {"city": {"type": "STRING"}, "days": {"type": "INTEGER", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
}
DECLARED = [types.FunctionDeclaration(name=name, parameters=SCHEMA) for name in ("get_weather", "get_time")]
TOOLS: Any = [types.Tool(function_declarations=DECLARED)]
PROMPT = BOTH[0]["content"]
STORY = "Tell me a story"


@functools.cache  # a client closes its connections when nothing refers to it any more
def client(url: str, segment: str = "") -> genai.Client:
    return genai.Client(api_key="none", http_options=types.HttpOptions(base_url=url.removesuffix("/v1") + segment))


def config(**options: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(**options)


def streamed(url: str, model: str, contents: Any, segment: str = "", **options: Any) -> list[Any]:
    models = client(url, segment).models
    return list(models.generate_content_stream(model=model, contents=contents, config=config(**options)))


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.text or "" for chunk in chunks)


def calls_of(chunks: list[Any]) -> list[Any]:
    return [call for chunk in chunks for call in chunk.function_calls or ()]


def check_text(url: str) -> None:
    chunks = streamed(url, "toy-echo", AWKWARD)
    assert text_of(chunks) == AWKWARD and len(chunks) > 5
    assert [chunk.candidates[0].finish_reason for chunk in chunks[-2:]] == [None, types.FinishReason.STOP]
    assert len({chunk.response_id for chunk in chunks}) == 1 and chunks[0].model_version == "toy-echo"


def check_async_text(url: str) -> None:
    async def text() -> str:
        stream = await client(url).aio.models.generate_content_stream(model="toy-echo", contents=AWKWARD)
        return "".join([chunk.text or "" async for chunk in stream])

    assert asyncio.run(text()) == AWKWARD


def check_the_other_version_of_the_api(url: str) -> None:
    options = types.HttpOptions(base_url=url.removesuffix("/v1"), api_version="v1beta")
    c = genai.Client(api_key="none", http_options=options)
    assert c.models.generate_content(model="toy-echo", contents="one").text == "one"


def check_whole_and_stream_are_the_same(url: str) -> None:
    chunks = streamed(url, "toy-thinker", STORY, temperature=0)
    whole = client(url).models.generate_content(model="toy-thinker", contents=STORY, config=config(temperature=0))
    assert text_of(chunks) == whole.text and chunks[-1].usage_metadata == whole.usage_metadata
    assert whole.usage_metadata.thoughts_token_count > 10 and whole.usage_metadata.candidates_token_count > 20
    thought, text = whole.candidates[0].content.parts
    assert thought.thought and "Tell me a story" in thought.text and text.thought_signature


def check_thoughts_can_be_declined(url: str) -> None:
    chunks = streamed(url, "toy-thinker", STORY, thinking_config=types.ThinkingConfig(thinking_budget=0))
    assert not any(part.thought for chunk in chunks for part in chunk.candidates[0].content.parts)


def check_chat(url: str) -> None:
    chat = client(url).chats.create(model="toy-echo", config=config(system_instruction="Be brief."))
    assert chat.send_message("one").text == "one"
    assert text_of(list(chat.send_message_stream("two three"))) == "two three"
    assert [turn.role for turn in chat.get_history(curated=True)][:3] == ["user", "model", "user"]
    assert len(chat.get_history(curated=True)) == len(chat.get_history())


def check_two_tool_calls(url: str) -> None:
    for asked in (streamed(url, "toy", PROMPT, tools=TOOLS), streamed(url, "toy", PROMPT, "/split=7", tools=TOOLS)):
        calls = calls_of(asked)
        assert [call.name for call in calls] == ["get_weather", "get_time"]
        assert all(call.args["days"] >= 1 and isinstance(call.args["city"], str) for call in calls)
        assert asked[-1].candidates[0].finish_reason == types.FinishReason.STOP


def check_results_of_tools_go_back(url: str) -> None:
    models = client(url).models
    first = models.generate_content(model="toy", contents=PROMPT, config=config(tools=TOOLS))
    results = [types.Part.from_function_response(name=c.name, response={"result": 1}) for c in first.function_calls]
    turns: Any = [PROMPT, first.candidates[0].content, types.Content(role="user", parts=results)]
    assert len(models.generate_content(model="toy", contents=turns, config=config(tools=TOOLS)).text) > 20


def check_python_functions_are_called(url: str) -> None:
    called = []

    def get_weather(city: str, days: int) -> dict[str, str]:
        """The weather of a city."""
        called.append((city, days))
        return {"weather": "rain"}

    answer = client(url).chats.create(model="toy", config=config(tools=[get_weather])).send_message("Use get_weather")
    assert len(called) == 1 and isinstance(called[0][1], int) and len(answer.text) > 20


def check_tool_choice(url: str) -> None:
    def called(mode: str, *names: str) -> list[str]:
        calling = types.FunctionCallingConfig(mode=mode, allowed_function_names=list(names) or None)
        chunks = streamed(
            url, "toy", "hello", tools=TOOLS, tool_config=types.ToolConfig(function_calling_config=calling)
        )
        return [call.name for call in calls_of(chunks)]

    assert called("AUTO") == called("NONE") == []
    assert called("ANY") == ["get_weather"] and called("ANY", "get_time") == ["get_time"]


def check_structured_output(url: str) -> None:
    json_type = "application/json"
    for schema in (
        {"response_schema": SCHEMA},
        {"response_json_schema": {**SCHEMA, "type": "object", "properties": {}}},
    ):
        chunks = streamed(url, "toy", STORY, response_mime_type=json_type, **schema)
        assert isinstance(json.loads(text_of(chunks)), dict)
    assert (
        json.loads(text_of(streamed(url, "toy", STORY, response_mime_type=json_type, response_schema=SCHEMA)))["days"]
        >= 1
    )


def check_limit_and_stop_strings(url: str) -> None:
    *_, last = streamed(url, "toy", STORY, max_output_tokens=3, top_k=3, temperature=0.5, seed=1)
    assert last.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert last.usage_metadata.candidates_token_count == 3
    stopped = streamed(url, "toy-echo", "alpha beta gamma", stop_sequences=["ta ga"])
    assert text_of(stopped) == "alpha be" and stopped[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert text_of(streamed(url, "toy-echo", "alpha beta", stop_sequences=["betaX"])) == "alpha beta"


def check_two_candidates(url: str) -> None:
    whole = client(url).models.generate_content(model="toy", contents=STORY, config=config(candidate_count=2))
    assert [candidate.index for candidate in whole.candidates] == [0, 1]
    chunks = streamed(url, "toy", STORY, candidate_count=2)
    ends = [c.index for chunk in chunks for c in chunk.candidates if c.finish_reason]
    assert sorted(ends) == [0, 1]


def check_usage(url: str) -> None:
    usages = [chunk.usage_metadata for chunk in streamed(url, "toy-echo", "one two three")]
    assert [usage.candidates_token_count for usage in usages] == [1, 2, 3, 3]
    assert len({usage.prompt_token_count for usage in usages}) == 1
    counted = client(url).models.count_tokens(model="toy-echo", contents="one two three")
    assert counted.total_tokens == usages[0].prompt_token_count


def check_silence(url: str) -> None:
    assert len(text_of(streamed(url, "toy-slow", STORY, "/heartbeat=0.05"))) > 20


def check_error_inside_the_stream(url: str) -> None:
    text = ""
    try:
        for chunk in client(url).models.generate_content_stream(model="toy-flaky", contents=STORY):
            text += chunk.text or ""
    except errors.ServerError as error:
        assert error.code == 500 and error.status == "INTERNAL" and "failed" in str(error.message)
    else:
        raise AssertionError("no error")
    assert text


def check_errors_before_the_stream(url: str) -> None:
    for segment, model, options, code in [
        ("", "no-such", {}, 404),
        ("", "toy", {"max_output_tokens": -1}, 400),
        ("/fault=refuse", "toy", {}, 429),
    ]:
        try:
            streamed(url, model, STORY, segment, **options)
        except errors.ClientError as error:
            assert error.code == code and error.status and error.message
        else:
            raise AssertionError(model)


def check_faults(url: str) -> None:
    text = ""
    try:
        for chunk in client(url, "/fault=error&at=2").models.generate_content_stream(
            model="toy-echo", contents="a b c"
        ):
            text += chunk.text or ""
    except errors.ServerError:
        assert text == "a b"
    else:
        raise AssertionError("no error")


def check_cancel(url: str) -> None:
    stream = client(url).models.generate_content_stream(model="toy-echo", contents="tick " * 900)
    for number, _ in enumerate(stream):
        if number == 5:
            break
    stream.close()
    time.sleep(0.2)
    last = last_record(url)
    assert last["outcome"] == "client_left" and last["left_at_token"] < 200, last


def check_models(url: str) -> None:
    models = client(url).models
    assert "models/toy-thinker" in [model.name for model in models.list()]
    assert "generateContent" in models.get(model="toy").supported_actions


if __name__ == "__main__":
    run("google-genai", "google-genai", dict(globals()))
