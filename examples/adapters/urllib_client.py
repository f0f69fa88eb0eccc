"""A loop over urllib as tutorials show it, as a client under test: line by line, until [DONE]."""

import json
import urllib.request

import adapter


def stream(url, body, idle, answer):
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + "/chat/completions", json.dumps(body).encode(), headers)
    for line in urllib.request.urlopen(request, timeout=idle):
        if line.startswith(b"data: "):
            if line.strip() == b"data: [DONE]":
                return
            choice = json.loads(line[6:])["choices"][0]
            answer.delta(choice["delta"].get("content"))
            answer.finish_reason = choice["finish_reason"] or answer.finish_reason
        if answer.enough:
            return


def outcome_of(error):
    if isinstance(error, urllib.error.HTTPError):
        error.status_code = error.code
        return "http_error"
    return (
        "timeout"
        if isinstance(error, TimeoutError)
        else "truncated"
        if isinstance(error, OSError)
        else "protocol_error"
    )


adapter.client(stream, outcome_of)
