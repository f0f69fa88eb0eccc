"""openai-python as a client of Responses under test: the helper ``responses.stream``, as its README shows it."""

import adapter
import openai


def stream(url, body, idle, answer):
    client = openai.OpenAI(base_url=url, api_key="none", timeout=idle)
    with client.responses.stream(**{name: value for name, value in body.items() if name != "stream"}) as events:
        for event in events:
            if event.type == "response.output_text.delta":
                answer.delta(event.delta)
            if event.type == "response.refusal.delta":
                answer.refusal = (answer.refusal or "") + event.delta
            if answer.enough:
                return
        response = events.get_final_response()
    calls = [item for item in response.output if item.type == "function_call"]
    answer.calls = [{"id": item.call_id, "name": item.name, "arguments": item.arguments} for item in calls]
    why = response.incomplete_details and response.incomplete_details.reason
    answer.finish_reason = {None: "tool_calls" if calls else "stop", "max_output_tokens": "length"}.get(why, why)
    if usage := response.usage:
        answer.usage = {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}


def outcome_of(error):
    name = type(error).__name__
    if isinstance(error, openai.APIStatusError):
        return "http_error"
    if isinstance(error, openai.APITimeoutError) or name == "ReadTimeout":
        return "timeout"
    if isinstance(error, openai.APIConnectionError) or name in ("RemoteProtocolError", "ReadError"):
        return "truncated"
    if isinstance(error, RuntimeError):
        return "truncated"  # its word for a stream without response.completed
    return "api_error" if isinstance(error, openai.APIError) else "protocol_error"


adapter.client(stream, outcome_of)
