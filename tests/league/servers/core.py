"""The semantics of a small chat API, shared by the framework apps: what each app adds is its framework's own way to stream."""

import json
import time
import uuid

STORY = [
    "Once",
    "there",
    "was",
    "a",
    "lighthouse",
    "on",
    "a",
    "grey",
    "rock",
    "and",
    "its",
    "keeper",
    "lit",
    "the",
    "lamp",
    "each",
    "night",
    "and",
    "the",
    "ships",
    "came",
    "home",
    "by",
    "it",
    "one",
    "after",
    "the",
    "other",
    "until",
    "the",
    "morning",
    "came",
    "up",
    "red",
    "over",
    "the",
    "sea",
]
MODELS = ["m", "m-echo", "m-slow", "m-error", "m-crash"]
PACE = 0.01


class Bad(Exception):
    def __init__(self, status, message, code=None, param=None, type="invalid_request_error"):
        self.status = status
        self.body = {"error": {"message": message, "type": type, "param": param, "code": code}}


def text_of(message):
    """The text of a message, which may be a list of parts."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def check(body):
    if not isinstance(body, dict):
        raise Bad(400, "the body must be a JSON object")
    if body.get("model") not in MODELS:
        raise Bad(404, f"The model {body.get('model')!r} does not exist", "model_not_found", "model")
    m = body.get("messages")
    if not isinstance(m, list) or not m or not all(isinstance(x, dict) for x in m):
        raise Bad(400, "messages must be a non-empty list", None, "messages")
    return body


def words(body):
    last = text_of(body["messages"][-1])
    if body["model"] == "m-echo":
        return [last[i : i + 3] for i in range(0, len(last), 3)]
    w = STORY * (3 if "long" in last else 1)
    return [x if i == 0 else " " + x for i, x in enumerate(w)]


def cut(tokens, stops):
    whole = "".join(tokens)
    at = min((whole.index(s) for s in stops if s and s in whole), default=None)
    if at is None:
        return tokens, False
    out, n = [], 0
    for t in tokens:
        if n + len(t) > at:
            if at > n:
                out.append(t[: at - n])
            break
        out.append(t)
        n += len(t)
    return out, True


def plan(body):
    """(deltas, finish, completion tokens) of each choice"""
    tools = body.get("tools") if body.get("tool_choice") != "none" else None
    last = body["messages"][-1]
    if tools and last.get("role") == "user" and text_of(last).startswith("Call"):
        names = ["get_weather", "get_time"] if "both" in text_of(last) else ["get_weather"]
        d = [{"role": "assistant", "content": None}]
        for i, n in enumerate(names):
            d.append(
                {
                    "tool_calls": [
                        {
                            "index": i,
                            "id": "call_" + uuid.uuid4().hex[:8],
                            "type": "function",
                            "function": {"name": n, "arguments": ""},
                        }
                    ]
                }
            )
            for part in ['{"city": "Par', 'is", "note": "as soon', ' as it can be"}']:
                d.append({"tool_calls": [{"index": i, "function": {"arguments": part}}]})
        return [(d, "tool_calls", 12)]
    tokens = words(body)
    stops = body.get("stop") or []
    stops = [stops] if isinstance(stops, str) else stops
    tokens, _stopped = cut(tokens, stops)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    finish = "stop"
    if limit and limit < len(tokens):
        tokens, finish = tokens[:limit], "length"
    out = [{"role": "assistant", "content": ""}] + [{"content": t} for t in tokens]
    return [(out, finish, len(tokens))] * (body.get("n") or 1)


def usage(body, plans):
    p = sum(len(str(m.get("content"))) // 4 + 1 for m in body["messages"])
    c = sum(x[2] for x in plans)
    return {"prompt_tokens": p, "completion_tokens": c, "total_tokens": p + c}


def whole(body):
    plans = plan(body)
    return {
        "id": "chatcmpl-" + uuid.uuid4().hex,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [
            {
                "index": i,
                "message": {"role": "assistant", "content": "".join(d.get("content") or "" for d in ds)},
                "logprobs": None,
                "finish_reason": f,
            }
            for i, (ds, f, _) in enumerate(plans)
        ],
        "usage": usage(body, plans),
    }


def chunks(body):
    """the JSON of each chunk, then [DONE]"""
    head = {
        "id": "chatcmpl-" + uuid.uuid4().hex,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": body["model"],
    }
    ask = (body.get("stream_options") or {}).get("include_usage")
    plans = plan(body)

    def one(i, delta, finish=None):
        c = {"index": i, "delta": delta, "finish_reason": finish}
        if body.get("logprobs") and delta.get("content"):
            c["logprobs"] = {
                "content": [
                    {
                        "token": delta["content"],
                        "logprob": -0.5,
                        "bytes": list(delta["content"].encode()),
                        "top_logprobs": [],
                    }
                ]
            }
        return json.dumps({**head, "choices": [c]}, ensure_ascii=False)

    n = 0
    for i, (deltas, finish, _) in enumerate(plans):
        for d in deltas:
            if body["model"] == "m-error" and n == 4:
                yield json.dumps(
                    {"error": {"message": "the model failed", "type": "server_error", "param": None, "code": None}}
                )
                return
            if body["model"] == "m-crash" and n == 4:
                raise RuntimeError("on purpose")
            n += 1
            yield one(i, d)
        yield one(i, {}, finish)
    if ask:
        yield json.dumps({**head, "choices": [], "usage": usage(body, plans)})
    yield "[DONE]"


def models():
    return {
        "object": "list",
        "data": [{"id": m, "object": "model", "created": 1700000000, "owned_by": "me"} for m in MODELS],
    }
