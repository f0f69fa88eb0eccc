"""openai-python as a client under test: the plain iteration over a stream, as its README shows it."""

import adapter
import openai


def stream(url, body, idle, answer):
    client = openai.OpenAI(base_url=url, api_key="none", timeout=idle)
    for chunk in client.chat.completions.create(**body):
        if chunk.usage:
            answer.usage = chunk.usage.model_dump()
        for choice in chunk.choices[:1]:
            if choice.index == 0:
                answer.delta(choice.delta and choice.delta.content)
                answer.finish_reason = choice.finish_reason or answer.finish_reason
                for call in (choice.delta and choice.delta.tool_calls) or []:
                    known = answer.calls.setdefault(
                        call.index, {"id": call.id, "name": call.function.name, "arguments": ""}
                    )
                    known["arguments"] += call.function.arguments or ""
        if answer.enough:
            break


def outcome_of(error):
    name = type(error).__name__
    if isinstance(error, openai.APIStatusError):
        return "http_error"
    if isinstance(error, openai.APITimeoutError) or name == "ReadTimeout":
        return "timeout"
    if isinstance(error, openai.APIConnectionError) or name in ("RemoteProtocolError", "ReadError"):
        return "truncated"
    return "api_error" if isinstance(error, openai.APIError) else "protocol_error"


adapter.client(stream, outcome_of)
