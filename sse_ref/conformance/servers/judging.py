"""Runs the checks of servers, and shows a failure as a request, a response and a curl line.

In:   vectors of the server corpus, and a ``Target``.
Out:  a result for each vector. What a model cannot be made to do is a skip with its reason, never a pass or a failure.

A check returns if its fact holds, and raises ``Failed`` or ``Skipped`` with a reason otherwise. A fact that holds for every
event stream has one check, which the vectors of several profiles name.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sse_ref.conformance.corpus import Vector, document
from sse_ref.conformance.servers.target import CHECKS, Expired, Failed, Skipped, Target, filled, key_headers
from sse_ref.conformance.verdicts import Result, UsageError

__all__ = ["curl", "judge", "judge_patiently", "requests_needed", "result_of"]


def requests_needed(vectors: Sequence[Vector]) -> int:
    """How many requests these vectors send at most."""
    exchanges = {name for vector in vectors for name in vector.body["exchanges"]}
    return 2 + len(exchanges) + sum(int(vector.body.get("requests", 0)) for vector in vectors)


def judge_patiently(vector: Vector, target: Target, factor: float) -> Result:
    """Judge the server by a vector again, with longer limits, sending again what did not come in time."""
    for name in vector.body["exchanges"]:
        if name in target.sent and target.sent[name].expired:
            del target.sent[name]
    target.patience = factor
    try:
        return judge(vector, target)
    finally:
        target.patience = 1.0


def judge(vector: Vector, target: Target) -> Result:
    """Judge the server by one vector."""
    if lacking := [name for name in vector.needs if name in target.without]:
        return Result(vector, "skip", f"the server is said to have no {' and no '.join(lacking)}")
    target.exchanges = vector.body["exchanges"]
    check = CHECKS[vector.body.get("check", vector.id)]

    def look() -> None:
        check(target)
        _look_at_all(vector, target, check)

    result = result_of(vector, look)
    if result.verdict in ("fail", "error"):
        result.shown = shown(vector, target)
    return result


def result_of(vector: Vector, look: Callable[[], None]) -> Result:
    """The result of looking: it passes if ``look`` returns, and what ``look`` raises says otherwise."""
    began = time.perf_counter()
    result = Result(vector, "pass")
    try:
        look()
    except Failed as failure:
        left_open = vector.level == "may"
        result.verdict = "pass" if left_open else "fail"
        result.expired = failure.expired and not left_open
        result.reason = f"this is left open; here: {failure}" if left_open else str(failure)
    except Skipped as reason:
        result.verdict, result.reason = "skip", str(reason)
    except Expired as limit:
        result.verdict, result.reason, result.expired = "error", f"timeout: {limit}", True
    except (OSError, UsageError) as error:
        result.verdict, result.reason = "error", f"the connection failed: {error}"
    except (TypeError, ValueError, AttributeError, LookupError, RecursionError) as error:
        result.verdict, result.reason = "fail", f"what came has another form than it can have: {error!r}"
    result.ms = 1000 * (time.perf_counter() - began)
    return result


def _look_at_all(vector: Vector, target: Target, check: Callable[[Target], None]) -> None:
    """What holds for every stream must hold for all that came, whatever was asked for. Raises ``Failed``."""
    which = vector.body.get("every")
    if not which:
        return
    first = vector.body["exchanges"][0]
    for name, exchange in target.streams(failing=which == "any"):
        if name != first:
            with contextlib.suppress(Skipped, Expired):
                try:
                    check(target.with_stream(first, exchange))
                except Failed as failure:
                    target.looked_at = name
                    raise Failed(f"in the stream of {name}: {failure}", expired=failure.expired) from None


def shown(vector: Vector, target: Target) -> dict[str, list[str]]:
    """The request as a curl line, and the response as it came, without the key."""
    names = [name for name in vector.body["exchanges"] if name in target.sent]
    if not names:
        return {}
    name = target.looked_at if target.looked_at in target.sent else names[-1]
    exchange = target.sent[name]
    lines = exchange.head.decode("latin-1").splitlines()[:20]
    seen = re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", exchange.body)
    shown = [repr(line)[1:] for line in seen[:12] + ([b"..."] if len(seen) > 24 else []) + seen[12:][-12:]]
    timeline = [f"{1000 * seconds:8.1f} ms  {size} bytes" for seconds, size in exchange.arrivals[:6]]
    blocks = {
        "request": [curl_line(target.file, name, target.url, target.models)],
        "response": [*lines, "", *(line[:160] for line in shown)],
        "arrived": timeline + ([f"... {len(exchange.arrivals)} parts"] if len(exchange.arrivals) > 6 else []),
    }
    if target.key:
        blocks = {name: [line.replace(target.key, "***") for line in block] for name, block in blocks.items()}
    return blocks


def curl(vector: Vector, url: str) -> str:
    """The curl line of the last request that a server vector sends; the key and the model are left to fill in."""
    names = vector.body.get("exchanges")
    if not names:
        return f"# {vector.id} needs a socket of its own, no single curl line does it"
    return curl_line(document("server", vector.profile), names[-1], url, {"": "MODEL"})


def curl_line(file: Mapping[str, Any], name: str, url: str, models: Mapping[str, str]) -> str:
    """The curl line of a request in the profile's file; the key is left to the shell."""
    spec = file["exchanges"][name]
    key = {} if spec.get("key") == "none" else key_headers(file, spec)
    if spec.get("key") == "wrong":
        key = filled(key, {"key": "wrong-key"})
    model = models.get(spec.get("role", "")) or models[""]
    words = ["curl", "-sN", "--raw", "-i"]
    if spec["method"] == "HEAD":
        words.append("-I")
    elif spec["method"] != "POST":
        words += ["-X", spec["method"]]
    if spec.get("version") == "1.0":
        words.append("--http1.0")
    for name, value in spec.get("headers", {}).items():
        words += ["-H", f"{name}: {value}"]
    if "body" in spec:
        words += ["-H", "Content-Type: application/json"]
        words += [word for name, value in key.items() for word in ("-H", f"{name}: {value}")]
        words += ["-d", json.dumps(filled(spec["body"], {"model": model}))]
    elif isinstance(spec.get("raw"), str):
        words += ["-d", spec["raw"]]
    elif "raw" in spec:
        words += ["--data-binary", "@20-MiB-of-blanks"]
    line = shlex.join([*words, url.rstrip("/") + filled(spec["path"], {"model": model})])
    return re.sub(r"'([^']*)\{key\}'", r'"\1$KEY"', line)
