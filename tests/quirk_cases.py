"""The client cases of the profile ``quirks``: one for each quirk, made of the bytes that the server writes with it.

python3 tests/quirk_cases.py --write     write sse_ref/conformance/corpus/client/quirks.json anew
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from sse_ref.dialects.interface import HTTPRequest  # noqa: E402
from sse_ref.dialects.quirks import QUIRKS, Quirk  # noqa: E402
from sse_ref.dialects.quirky import SERVICES, Quirky  # noqa: E402
from sse_ref.dialects.strict_json import to_json  # noqa: E402
from sse_ref.errors import RequestError  # noqa: E402
from sse_ref.pieces import Call, End, Fragment, ModelFailure, Piece, Reasoning, Text, Usage  # noqa: E402

FILE = ROOT / "sse_ref" / "conformance" / "corpus" / "client" / "quirks.json"
REQUEST = {
    "model": "judge",
    "messages": [{"role": "user", "content": "Say hello"}],
    "stream": True,
    "stream_options": {"include_usage": True},
}
FUNCTIONS = [{"type": "function", "function": {"name": name}} for name in ("get_weather", "get_time")]
HELLO = [Text("Hel", tokens=6), Text("lo", tokens=6)]
PARIS = '{"city": "Paris"}'
CALLS = [Call(0, "get_weather"), Fragment(0, PARIS[:9]), Fragment(0, PARIS[9:]), Call(1, "get_time"), Fragment(1, "{}")]
CALLED = [{"name": "get_weather", "arguments": PARIS}, {"name": "get_time", "arguments": "{}"}]
NOT_COMPLETE = ["truncated", "api_error", "protocol_error", "http_error", "timeout"]
OMITTED = {"models-typed"}  # it is not in a stream

OK: dict[str, Any] = {"end": ["complete"], "text": "Hello"}
ERROR: dict[str, Any] = {"end": NOT_COMPLETE}
USAGE = {"usage": {"prompt_tokens": 25, "completion_tokens": 12}}
CALLING = {"end": ["complete"], "tool_calls": CALLED}
REFUSED = {"end": ["http_error", *(name for name in NOT_COMPLETE if name != "http_error")], "status": 400}
# What is expected, where it is more than the text; of several one.
EXPECTED: dict[str, Any] = {
    "usage-every-chunk": {**OK, **USAGE},
    "usage-in-finish": {**OK, **USAGE},
    "usage-x-groq": {**OK, **USAGE},
    "usage-before-finish": {**OK, **USAGE},
    "usage-without-choices": {**OK, **USAGE},
    "finish-eos": {**OK, "finish_reason": "eos"},
    "function-call": [{**CALLING, "tool_calls": CALLED[:1]}, ERROR],
    "tools-args-object": [CALLING, ERROR],
    "tools-args-missing": [CALLING, {**CALLING, "tool_calls": [CALLED[0], {"name": "get_time", "arguments": ""}]}],
    "refusal": [
        {"end": ["complete"], "refusal": "Hello"},
        OK,
        {"end": ["api_error"], "error_contains": "Hello"},
    ],
    "choice-index-counts": [OK, ERROR],
    "stream-ignored": [OK, ERROR],
    "content-type": [OK, ERROR],
    "held-after-done": {**OK, "left": True},
    "finish-error": {**ERROR, "text": "Hello"},
}


def pieces_of(quirk: Quirk) -> Iterator[Piece]:
    """An answer that shows the quirk."""
    yield Usage(25, 0)
    if quirk.name in ("reasoning", "reasoning-content", "reasoning-details", "content-list"):
        yield Reasoning("Hmm.")
    called = quirk.name.startswith("tools-") or quirk.name in ("function-call", "finish-stop-with-tools")
    yield from CALLS if called else HELLO
    if quirk.kind == "error":
        raise ModelFailure("boom")
    yield End("tool_calls" if called else "stop")
    yield Usage(25, 12)


def script_of(quirk: Quirk) -> dict[str, Any]:
    """The connection that shows the quirk."""
    dialect = Quirky([quirk])
    if quirk.kind == "http-error":
        body = to_json(dialect.write_error(RequestError("bad_request", "no such thing")))
        whole = {"type": "application/json", "framing": "length", "end": ["close"]}
        return {"body": [{"text": body}], "status": "400 Bad Request", **whole}
    path = "/v1/chat/completions"
    request = dialect.read_request(HTTPRequest("POST", path, {}, {}, to_json(REQUEST).encode()))
    named: dict[str, Any] = {"id": "0123456789abcdef", "created": 1767225600}
    if not request.stream:
        answer = to_json(dialect.write_answer(request, pieces_of(quirk), **named))
        return {"body": [{"text": answer}], "type": "application/json", "framing": "length"}
    payloads = request.write(dialect.write_stream(request, pieces_of(quirk), **named), 0)
    script: dict[str, Any] = {"body": [{"text": payload.decode()} for payload in payloads if payload]}
    if quirk.name == "content-type":
        script["type"] = request.media_type
    return script if request.ends else {**script, "end": ["hold"]}


def expected_of(quirk: Quirk) -> Any:
    """What a client must make of it."""
    if quirk.name in ("error-field", "error-swallowed"):  # to a decoder it is an unknown field, and ignored
        return {**ERROR, "text": "Hello"}
    if quirk.name in EXPECTED:
        return EXPECTED[quirk.name]
    if quirk.kind == "error":
        return {**ERROR, "text": "Hello", "error_contains": "boom"}
    if quirk.kind == "http-error":
        return {**REFUSED, "error_contains": "no such thing"}
    return CALLING if quirk.name.startswith("tools-") or quirk.name == "finish-stop-with-tools" else OK


def vector_of(quirk: Quirk) -> dict[str, Any]:
    """The case of a quirk."""
    fact = "The error is reported" if quirk.kind in ("error", "http-error") else "The answer is read"
    fact = "The answer is not complete" if quirk.name in ("error-field", "error-swallowed") else fact
    title = f"{fact}: {quirk.sentence[0].lower()}{quirk.sentence[1:]}."
    vector: dict[str, Any] = {"id": f"quirk/{quirk.name}", "title": title, "level": "should"}
    issues = re.findall(r"[\w.-]+/[\w.-]+#[0-9]+", quirk.source)
    others = re.sub(r"[\w.-]+/[\w.-]+#[0-9]+(, |; )?", "", quirk.source).strip("; ")
    where = f"Seen in {quirk.seen_in}" + (f" ({others})." if others else ".")
    vector |= {"basis": {"decision": where, **({"seen": issues} if issues else {})}, "since": "2026.11"}
    vector["services"] = [name for name, quirks in SERVICES.items() if quirk.name in quirks] or ["others"]
    expected = expected_of(quirk)
    if "tool_calls" in str(expected):
        vector |= {"needs": ["tool_calls"], "request": {"tools": FUNCTIONS}}
    if "error_contains" in str(expected) and "tool_calls" not in str(expected):
        vector["needs"] = ["error"]
    for member in ("usage", "finish_reason", "refusal"):
        if f"'{member}':" in str(expected):
            vector["needs"] = [member]
    return {**vector, "connections": [script_of(quirk)], "expect": expected}


def written() -> str:
    """The file."""
    vectors = [vector_of(quirk) for quirk in QUIRKS.values() if quirk.name not in OMITTED]
    lines = ",\n".join(json.dumps(vector) for vector in vectors)
    head = f'{{"target": "client",\n"profile": "quirks",\n"request": {json.dumps(REQUEST)},\n"pieces": {{}},\n'
    return f'{head}"vectors": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        FILE.write_text(written(), encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != written():
        sys.exit("the cases of the quirks are not current: make readme writes them")
