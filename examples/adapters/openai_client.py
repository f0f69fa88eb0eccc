"""openai-python as a client under test: the plain iteration over a stream, as its README shows it."""

import adapter
import openai


def stream(url, body, idle, answer):
    client = openai.OpenAI(base_url=url, api_key="none", timeout=idle)
    for chunk in client.chat.completions.create(**body):
        answer.take(chunk)
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
