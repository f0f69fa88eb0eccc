"""Chat clients of Python libraries as clients under test: ``python chats.py NAME URL``."""

import os
import sys

import adapter

name = sys.argv[1]
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def stainless(client):
    def stream(url, body, idle, answer):
        for chunk in client(url, idle).chat.completions.create(**body):
            answer.take(chunk)
            if answer.enough:
                break

    return stream


def huggingface(url, body, idle, answer):
    from huggingface_hub import InferenceClient

    client = InferenceClient(base_url=url, api_key="none", timeout=idle)
    body = {k: v for k, v in body.items() if k in ("messages", "model", "stream", "tools", "stream_options", "n")}
    for chunk in client.chat.completions.create(**body):
        usage = getattr(chunk, "usage", None)
        if usage:
            answer.usage = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
        for choice in chunk.choices[:1]:
            if choice.index == 0:
                answer.delta(choice.delta.content)
                answer.finish_reason = choice.finish_reason or answer.finish_reason
                for call in choice.delta.tool_calls or []:
                    known = answer.calls.setdefault(
                        call.index, {"id": call.id, "name": call.function.name, "arguments": ""}
                    )
                    known["arguments"] += call.function.arguments or ""
        if answer.enough:
            break


def mistral(url, body, idle, answer):
    from mistralai.client import Mistral

    client = Mistral(api_key="none", server_url=url, timeout_ms=int(idle * 1000))
    kwargs = {k: v for k, v in body.items() if k in ("messages", "model", "tools", "n")}
    with client.chat.stream(**kwargs) as events:
        for event in events:
            chunk = event.data
            usage = getattr(chunk, "usage", None)
            if usage:
                answer.usage = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
            for choice in chunk.choices[:1]:
                if choice.index == 0:
                    content = choice.delta.content
                    answer.delta(content if isinstance(content, str) else None)
                    answer.finish_reason = choice.finish_reason or answer.finish_reason
                    for call in choice.delta.tool_calls or []:
                        known = answer.calls.setdefault(
                            call.index or 0, {"id": call.id, "name": call.function.name, "arguments": ""}
                        )
                        arguments = call.function.arguments
                        known["arguments"] += (
                            arguments if isinstance(arguments, str) else __import__("json").dumps(arguments)
                        )
            if answer.enough:
                break


def llm_cli(url, body, idle, answer):
    from llm.default_plugins.openai_models import Chat

    model = Chat("judge", model_name=body["model"], api_base=url, key="none") if True else None
    model.key = "none"
    prompt = body["messages"][-1]["content"]
    response = model.prompt(prompt, stream=True, key="none")
    for piece in response:
        answer.delta(piece)
        if answer.enough:
            return
    answer.finish_reason = (response.response_json or {}).get("finish_reason")
    if response.input_tokens is not None:
        answer.usage = {"prompt_tokens": response.input_tokens, "completion_tokens": response.output_tokens}


def groq_client(url, idle):
    import groq

    return groq.Groq(base_url=url, api_key="none", timeout=idle)


def together_client(url, idle):
    import together

    return together.Together(base_url=url, api_key="none", timeout=idle)


def outcome_of(error):
    kind, text = type(error).__name__, str(error)
    status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int) and status >= 300:
        error.status_code = status
        return "http_error"
    if "Timeout" in kind:
        return "timeout"
    if (
        kind in ("RemoteProtocolError", "ReadError", "APIConnectionError", "ConnectError", "WriteError")
        or "incomplete" in text
    ):
        return "truncated"
    if kind in (
        "JSONDecodeError",
        "ValidationError",
        "ResponseValidationError",
        "APIResponseValidationError",
        "UnicodeDecodeError",
    ):
        return "protocol_error"
    if kind in (
        "APIError",
        "TextGenerationError",
        "GenerationError",
        "UnknownError",
        "ValidationError",
        "OverloadedError",
    ):
        return "api_error"
    return "protocol_error"


streams = {
    "groq": stainless(groq_client),
    "together": stainless(together_client),
    "huggingface_hub": huggingface,
    "mistralai": mistral,
    "llm": llm_cli,
}
adapter.client(streams[name], outcome_of)
