"""google-genai as a client under test: ``generate_content_stream``, and of its chunks the first candidate."""

import json

import adapter
from google import genai
from google.genai import errors


def stream(url, body, idle, answer):
    client = genai.Client(api_key="none", http_options={"base_url": url, "timeout": int(1000 * idle)})
    asked = body.get("generationConfig", {})
    config = {"candidate_count": asked.get("candidateCount"), "tools": body.get("tools")}
    answer.calls = []
    for chunk in client.models.generate_content_stream(model=body["model"], contents=body["contents"], config=config):
        if chunk.usage_metadata:
            usage = chunk.usage_metadata
            answer.usage = {
                "prompt_tokens": usage.prompt_token_count,
                "completion_tokens": usage.candidates_token_count,
            }
        for candidate in chunk.candidates or []:
            if candidate.index:
                continue
            if candidate.finish_reason:
                answer.finish_reason = candidate.finish_reason.value
            for part in (candidate.content and candidate.content.parts) or []:
                if not part.thought:
                    answer.delta(part.text)
                if call := part.function_call:
                    answer.calls.append({"id": call.id, "name": call.name, "arguments": json.dumps(call.args or {})})
        if answer.enough:
            return


def outcome_of(error):
    name = type(error).__name__
    if isinstance(error, errors.APIError):
        error.status_code = error.code
        return "http_error"
    if "Timeout" in name:
        return "timeout"
    return "truncated" if name in ("RemoteProtocolError", "ReadError", "ConnectError") else "protocol_error"


adapter.client(stream, outcome_of)
