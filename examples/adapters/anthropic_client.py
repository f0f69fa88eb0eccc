"""anthropic-python as a client under test: the helper ``messages.stream``, as its README shows it."""

import json

import adapter
import anthropic


def stream(url, body, idle, answer):
    client = anthropic.Anthropic(base_url=url, api_key="none", timeout=idle)
    with client.messages.stream(**{name: value for name, value in body.items() if name != "stream"}) as events:
        for event in events:
            if event.type == "text":
                answer.delta(event.text)
            if answer.enough:
                return
        message = events.get_final_message()
    answer.finish_reason = message.stop_reason
    usage = message.usage
    answer.usage = {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}
    blocks = [block for block in message.content if block.type == "tool_use"]
    answer.calls = [{"id": b.id, "name": b.name, "arguments": json.dumps(b.input)} for b in blocks]


def outcome_of(error):
    name = type(error).__name__
    if isinstance(error, anthropic.APIStatusError):
        return "api_error" if error.status_code == 200 else "http_error"
    if isinstance(error, anthropic.APITimeoutError) or name == "ReadTimeout":
        return "timeout"
    if isinstance(error, anthropic.APIConnectionError) or name in ("RemoteProtocolError", "ReadError"):
        return "truncated"
    return "api_error" if isinstance(error, anthropic.APIError) else "protocol_error"


adapter.client(stream, outcome_of)
