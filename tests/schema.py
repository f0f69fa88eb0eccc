"""As much of JSON Schema as the schemas of the corpus use; what it does not know fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
KNOWN = {"$schema", "$defs", "$ref", "title", "description", "type", "properties", "required", "additionalProperties"}
KNOWN |= {"items", "minItems", "enum", "pattern", "anyOf", "minimum"}


def problems(schema: dict[str, Any], value: Any, root: dict[str, Any] | None = None, path: str = "") -> Iterator[str]:
    """Yield a line for each thing that is not as the schema says."""
    root = root or schema
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        yield from problems(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root, path)
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(_is(name, value) for name in names):
            yield f"{path}: {value!r:.60} is not {' or '.join(names)}"
            return
    if "enum" in schema and not any(value == other and type(value) is type(other) for other in schema["enum"]):
        yield f"{path}: {value!r:.60} is none of {schema['enum']}"
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        yield f"{path}: {value!r:.60} does not match {schema['pattern']}"
    if "minimum" in schema and isinstance(value, int) and value < schema["minimum"]:
        yield f"{path}: {value} is too small"
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{path}: too few items"
        for number, item in enumerate(value):
            yield from problems(schema.get("items", {}), item, root, f"{path}/{number}")
    if isinstance(value, dict):
        yield from _members(schema, value, root, path)
    if "anyOf" in schema:
        branches = [list(problems(branch, value, root, path)) for branch in schema["anyOf"]]
        if all(branches):
            yield from min(branches, key=len)


def _is(name: str, value: Any) -> bool:
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _members(schema: dict[str, Any], value: dict[str, Any], root: dict[str, Any], path: str) -> Iterator[str]:
    known = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            yield f"{path}: {name} is missing"
    rest = schema.get("additionalProperties", True)
    for name, member in value.items():
        if name in known:
            yield from problems(known[name], member, root, f"{path}/{name}")
        elif rest is False:
            yield f"{path}: {name} is unknown"
        elif isinstance(rest, dict):
            yield from problems(rest, member, root, f"{path}/{name}")
