"""Chat clients of Python libraries as clients under test: ``python chats.py NAME URL``, a name of the table at the end.

Of the fragments of tool calls, which these libraries hand out as they come, nothing is put together.
"""

import os
import sys
from importlib import import_module

import adapter

TAKEN = ("messages", "model", "stream", "tools", "stream_options", "n")  # members that every library takes
LOST = ("RemoteProtocolError", "ReadError", "APIConnectionError", "ConnectError", "WriteError")
UNREADABLE = ("JSONDecodeError", "ResponseValidationError", "APIResponseValidationError", "UnicodeDecodeError")
TOLD = ("APIError", "TextGenerationError", "GenerationError", "UnknownError", "OverloadedError")


def read(chunks, answer):
    """Take chunks of chat completions until enough has come."""
    for chunk in chunks:
        if usage := getattr(chunk, "usage", None):
            answer.usage = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
        for choice in (chunk.choices or [])[:1]:
            if choice.index == 0:
                content = choice.delta.content
                answer.delta(content if isinstance(content, str) else None)
                answer.finish_reason = choice.finish_reason or answer.finish_reason
        if answer.enough:
            break


def sdk(package, name):
    """An SDK made as OpenAI's is."""

    def stream(url, body, idle, answer):
        client = getattr(import_module(package), name)(base_url=url, api_key="none", timeout=idle)
        more = {"stream_options": body.pop("stream_options")} if "stream_options" in body else {}
        for chunk in client.chat.completions.create(**body, extra_body=more):
            answer.take(chunk)
            if answer.enough:
                break

    return stream


def huggingface(url, body, idle, answer):
    from huggingface_hub import InferenceClient

    client = InferenceClient(base_url=url, api_key="none", timeout=idle)
    read(client.chat.completions.create(**{k: v for k, v in body.items() if k in TAKEN}), answer)


def mistral(url, body, idle, answer):
    from mistralai.client import Mistral

    client = Mistral(api_key="none", server_url=url, timeout_ms=int(idle * 1000))
    taken = {k: v for k, v in body.items() if k in ("messages", "model", "tools", "n")}
    with client.chat.stream(**taken) as events:
        read((event.data for event in events), answer)


def llm(url, body, idle, answer):
    """The model behind the command; it has no time limit."""
    from llm.default_plugins.openai_models import Chat

    model = Chat("judge", model_name=body["model"], api_base=url)
    response = model.prompt(body["messages"][-1]["content"], stream=True, key="none")
    for piece in response:
        answer.delta(piece)
        if answer.enough:
            return
    answer.finish_reason = (response.response_json or {}).get("finish_reason")
    if response.input_tokens is not None:
        answer.usage = {"prompt_tokens": response.input_tokens, "completion_tokens": response.output_tokens}


def outcome_of(error):
    kind = type(error).__name__
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    if isinstance(status, int) and status >= 300:
        error.status_code = status
        return "http_error"
    if "Timeout" in kind:
        return "timeout"
    if kind in LOST or "incomplete" in str(error):
        return "truncated"
    return "api_error" if kind in TOLD and kind not in UNREADABLE else "protocol_error"


os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
NAMES = {
    "groq": sdk("groq", "Groq"),
    "huggingface_hub": huggingface,
    "llm": llm,
    "mistralai": mistral,
    "together": sdk("together", "Together"),
}
adapter.client(NAMES[sys.argv[1]], outcome_of)
