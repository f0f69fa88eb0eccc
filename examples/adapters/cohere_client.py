"""cohere-python as a client under test: ``chat_stream``, as its README shows it."""

import adapter
import cohere
from cohere.core.api_error import ApiError


def stream(url, body, idle, answer):
    client = cohere.ClientV2(api_key="none", base_url=url, timeout=idle)
    answer.calls = []
    asked = {name: value for name, value in body.items() if name != "stream"}
    for event in client.chat_stream(**asked):
        if event.type == "content-delta":
            answer.delta(event.delta.message.content.text)
        elif event.type == "tool-call-start":
            call = event.delta.message.tool_calls
            answer.calls.append({"id": call.id, "name": call.function.name, "arguments": call.function.arguments or ""})
        elif event.type == "tool-call-delta":
            answer.calls[event.index]["arguments"] += event.delta.message.tool_calls.function.arguments
        elif event.type == "message-end":
            answer.finish_reason = event.delta.finish_reason
            if tokens := event.delta.usage and event.delta.usage.tokens:
                answer.usage = {"prompt_tokens": tokens.input_tokens, "completion_tokens": tokens.output_tokens}
        if answer.enough:
            return


def outcome_of(error):
    name = type(error).__name__
    if isinstance(error, ApiError):
        return "http_error"
    if "Timeout" in name:
        return "timeout"
    return "truncated" if name in ("RemoteProtocolError", "ReadError", "ConnectError") else "protocol_error"


adapter.client(stream, outcome_of)
