"""LiteLLM as a client under test."""

import os

import adapter

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # nothing is fetched

import litellm

litellm.suppress_debug_info = True  # its hints would go to standard output


def stream(url, body, idle, answer):
    body = {**body, "model": "openai/" + body["model"]}
    for chunk in litellm.completion(base_url=url, api_key="none", timeout=idle, max_retries=2, **body):
        answer.take(chunk)
        if answer.enough:
            break


def outcome_of(error):
    name, text = type(error).__name__, str(error)
    if "Timeout" in name:
        return "timeout"
    cuts = ("incomplete chunked read", "peer closed", "Connection reset", "ReadError", "Connection error")
    if any(words in text for words in cuts):
        return "truncated"
    if getattr(error, "status_code", None) and name != "APIError" and name != "MidStreamFallbackError":
        return "http_error"
    return "api_error"


adapter.client(stream, outcome_of)
