"""LangChain's ChatOpenAI as a client under test."""

import adapter
from langchain_openai import ChatOpenAI


def stream(url, body, idle, answer):
    model = ChatOpenAI(
        base_url=url,
        api_key="none",
        model=body["model"],
        timeout=idle,
        n=body.get("n"),
        stream_usage=True,
        max_retries=2,
    )
    if body.get("tools"):
        model = model.bind_tools(body["tools"])
    answer.calls, whole = [], None
    for chunk in model.stream(body["messages"][0]["content"]):
        whole = chunk if whole is None else whole + chunk
        answer.delta(chunk.text)
        if answer.enough:
            return
    if whole is None:
        return
    answer.finish_reason = whole.response_metadata.get("finish_reason")
    if usage := whole.usage_metadata:
        answer.usage = {"prompt_tokens": usage["input_tokens"], "completion_tokens": usage["output_tokens"]}
    calls = [*whole.tool_calls, *whole.invalid_tool_calls]
    answer.calls = [{"id": call["id"], "name": call["name"], "arguments": call["args"]} for call in calls]


def outcome_of(error):
    import openai

    name = type(error).__name__
    if isinstance(error, openai.APIStatusError):
        return "http_error"
    if "Timeout" in name:
        return "timeout"
    if isinstance(error, openai.APIConnectionError) or name in ("RemoteProtocolError", "ReadError"):
        return "truncated"
    return "api_error" if isinstance(error, openai.APIError) else "protocol_error"


adapter.client(stream, outcome_of)
