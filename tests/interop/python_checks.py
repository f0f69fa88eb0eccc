"""What the checks of every Python SDK share: what they send, and ``run``, which prints one line of JSON for each check.

A check is a function ``check_...`` of a base URL. It returns nothing, or raises.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import traceback
import urllib.request
import warnings
from typing import Any

AWKWARD = 'caf\u00e9 \U0001f98a\u2028\x85 "quoted" \\ back\nline e\u0301'
STORY = [{"role": "user", "content": "Tell me a story"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
                "required": ["city", "days"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    }
    for name in ("get_weather", "get_time")
]
BOTH = [{"role": "user", "content": "Use get_weather and then get_time"}]


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def last_record(url: str) -> dict[str, Any]:
    """The newest record of the server's journal."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/journal") as answer:
        return json.load(answer)[-1]  # type: ignore[no-any-return]


def with_fault(url: str) -> str:
    """Return a base URL whose answers break off with an error after two tokens."""
    return url.removesuffix("/v1") + "/fault=error&at=2/v1"


# A conversation of two turns: a call, and what is said of its result.
RAIN: list[Any] = [
    {"tools": [["get_weather", {"city": "Paris"}]], "when": {"turn": 1}},
    {"text": "It rains in Paris.", "when": {"turn": 2}},
]


def scripted(url: str, name: str, answers: list[Any]) -> str:
    """Set a script, and return the base URL that uses it."""
    root = url.removesuffix("/v1")
    request = urllib.request.Request(f"{root}/answers/{name}", json.dumps(answers).encode(), method="PUT")
    with urllib.request.urlopen(request, timeout=10):
        return f"{root}/answers={name}/v1"


def left(url: str) -> Any:
    """What is left of the script that a base URL uses, and what had no answer."""
    with urllib.request.urlopen(url.replace("/answers=", "/answers/").removesuffix("/v1"), timeout=10) as response:
        return json.load(response)


def run(client: str, package: str, names: dict[str, Any]) -> None:
    """Run the checks among the names of a module against the server at the URL in argv."""
    warnings.simplefilter("ignore")
    called = f"{client} {importlib.metadata.version(package)}"
    for name, check in names.items():
        if not name.startswith("check_"):
            continue
        try:
            check(sys.argv[1])
            problem = None
        except Exception:
            problem = traceback.format_exc(limit=-2)
        words = name.removeprefix("check_").replace("_", " ").replace("url", "URL")
        print(json.dumps({"check": f"{called}: {words}", "problem": problem}), flush=True)
