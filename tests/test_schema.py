"""JSON for a schema, checked by a validator written the other way round."""

from __future__ import annotations

import json
import re
import tracemalloc
from typing import Any

import pytest

from sse_ref.schema import SchemaError, write_example


def valid(value: Any, schema: Any, root: Any) -> bool:
    """A small validator of JSON Schema: every keyword is a condition."""
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema:
        target = root
        for step in schema["$ref"].split("/")[1:]:
            target = target[step]
        return valid(value, target, root)
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "null": type(None),
        "number": (int, float),
        "integer": int,
    }

    def is_kind(kind: str) -> bool:
        if isinstance(value, bool) and kind in ("number", "integer"):
            return False
        return isinstance(value, kinds[kind]) or (
            kind == "integer" and isinstance(value, float) and value == int(value)
        )

    if types and not any(is_kind(kind) for kind in types):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if not all(valid(value, part, root) for part in schema.get("allOf", [])):
        return False
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema and not any(valid(value, part, root) for part in schema[keyword]):
            return False
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        if any(name not in value for name in schema.get("required", [])) or len(value) < schema.get("minProperties", 0):
            return False
        rest = schema.get("additionalProperties", True)
        if len(value) > schema.get("maxProperties", 10**9):
            return False
        return all(valid(member, properties.get(name, rest), root) for name, member in value.items())
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9):
            return False
        if schema.get("uniqueItems") and any(value[i] in value[:i] for i in range(len(value))):
            return False
        first = schema.get("prefixItems", [])
        return all(
            valid(e, first[i] if i < len(first) else schema.get("items", True), root) for i, e in enumerate(value)
        )
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return False
        return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        step = schema.get("multipleOf")
        return bool(
            schema.get("minimum", value) <= value <= schema.get("maximum", value)
            and value > schema.get("exclusiveMinimum", value - 1)
            and value < schema.get("exclusiveMaximum", value + 1)
            and (step is None or abs(value / step - round(value / step)) < 1e-6)
        )
    return True


SCHEMAS: list[Any] = [
    True,
    {},
    {"type": "object"},
    {"type": ["string", "null"]},
    {"const": {"a": [1]}},
    {"enum": [1, "two", None]},
    {"type": "integer"},
    {"type": "integer", "minimum": 3, "maximum": 3},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "integer", "multipleOf": 7, "maximum": -50},
    {"type": "integer", "minimum": -5, "maximum": -3},
    {"type": "integer", "minimum": 10**15},
    {"type": "number", "exclusiveMinimum": 0, "maximum": 0.1},
    {"type": "number", "multipleOf": 0.01, "minimum": 1.005},
    {"minimum": 5},
    {"type": "integer", "minimum": 10**30, "maximum": 10**30 + 1},
    {"type": "object", "properties": {"a": {}, "b": {}}, "maxProperties": 1},
    {"type": "string", "minLength": 30, "maxLength": 31},
    {"type": "string", "maxLength": 2},
    {"type": "string", "maxLength": 0},
    *({"type": "string", "format": name} for name in ("date", "date-time", "email", "uri", "uuid", "ipv4", "unknown")),
    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 4},
    {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
    {"type": "object", "required": ["x"], "additionalProperties": {"type": "boolean"}},
    {"type": "object", "minProperties": 4, "properties": {"a": {"type": "null"}}},
    {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 9}]},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {
        "allOf": [
            {"properties": {"a": {"type": "string"}}, "required": ["a"]},
            {"properties": {"b": {"type": "null"}}, "required": ["b"]},
        ]
    },
    {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 4}]},
    {"$ref": "#/$defs/x", "$defs": {"x": {"type": "boolean"}}},
    {
        "type": "object",
        "properties": {"value": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["value", "children"],
    },
    {
        "$defs": {
            "n": {
                "type": "object",
                "properties": {"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}},
                "required": ["next"],
            }
        },
        "$ref": "#/$defs/n",
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:60])
def test_example_is_valid_for_its_schema(schema: Any) -> None:
    for seed in range(30):
        text = write_example(schema, str(seed))
        assert valid(json.loads(text), schema, schema), text
        assert text == write_example(schema, str(seed))


@pytest.mark.parametrize(
    "schema",
    [
        False,
        5,
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "wild"},
        {"type": "string", "minLength": 10**9},
        {"type": "array", "minItems": 10**9},
        {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True},
        {"type": "array", "items": {"type": "array", "minItems": 500}, "minItems": 500},
        {"$ref": "#"},
        {"$ref": "http://elsewhere.example/schema"},
        {"$ref": "#/nothing"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "object", "allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"type": "object", "minProperties": 10**9},
        {"type": "object", "required": ["a", "b"], "maxProperties": 1},
        {"type": "string", "maxLength": -3},
        {"enum": []},
        {"type": "integer", "minimum": "x"},
        {"allOf": [{"minimum": [1]}, {"minimum": [2]}]},
        {"allOf": [{"maxLength": None}]},
        {"type": "object", "properties": []},
        {"allOf": [False]},
    ],
    ids=str,
)
def test_impossible_schemas_are_refused(schema: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        write_example(schema, "seed")


@pytest.mark.parametrize(
    ("schema", "path", "problem"),
    [
        ({"properties": {"a": {"type": "string", "pattern": "^a$"}}}, "#/properties/a/pattern", "patterns"),
        ({"items": {"$ref": "#/$defs/x"}, "$defs": {"x": {"pattern": "a" * 200_000}}}, "#/$defs/x/pattern", "patterns"),
        ({"prefixItems": [True, False], "minItems": 2}, "#", "different items"),
        ({"prefixItems": [True, {"type": "wild" * 100}]}, "#/prefixItems/1", "unknown"),
        ({"properties": {"a": {"$ref": "x" * 300}}}, "#/properties/a", "leads out"),
        ({"required": ["b"], "additionalProperties": {"enum": []}}, "#/additionalProperties", "malformed"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refused_schema_is_named_by_its_path(schema: Any, path: str, problem: str) -> None:
    with pytest.raises(SchemaError, match=problem) as caught:
        write_example(schema, "seed")
    assert caught.value.path == path and len(str(caught.value)) < 300


def test_schema_with_a_pattern_is_no_fault_where_no_string_is_written_for_it() -> None:
    assert write_example({"enum": ["a"], "pattern": "^a$"}, "seed") == '"a"'


REFERENCES = {f"r{i}": {"allOf": [{"$ref": f"#/$defs/r{i + 1}"}, {"properties": {f"p{i}": {}}}]} for i in range(330)}
EXPENSIVE = {
    "a long constant in a long array": {"type": "array", "minItems": 4900, "items": {"const": "x" * 65_000}},
    "constants": {"type": "array", "minItems": 4900, "items": {"const": "x" * 900}},
    "a long enum in a long array": {"type": "array", "minItems": 4900, "items": {"enum": [["x" * 90]] * 300_000}},
    "long names": {"type": "array", "minItems": 4900, "items": {"required": ["x" * 60_000]}},
    "references": {
        "type": "array",
        "minItems": 4900,
        "items": {"allOf": [{"$ref": "#/$defs/r0"}]},
        "$defs": {**REFERENCES, "r330": {"type": "object"}},
    },
    "a long reference": {
        "type": "array",
        "minItems": 4900,
        "items": {"$ref": "#/$defs/" + "x" * 60_000},
        "$defs": {"x" * 60_000: {"type": "null"}},
    },
    "allowed again and again": {"type": "array", "minItems": 4900, "items": {"allOf": [True] * 9000}},
    "less than nothing": {
        "type": "array",
        "minItems": 4900,
        "items": {"type": "object", "minProperties": -(10**6), "properties": {f"p{i}": {} for i in range(9000)}},
    },
    "references in a circle": {
        "allOf": [{"$ref": "#/$defs/a"}],
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    },
    "many properties": {
        "type": "array",
        "minItems": 4900,
        "items": {"properties": {f"p{i}": False for i in range(9000)}},
    },
    "many options": {"type": "array", "minItems": 4900, "items": {"anyOf": [{f"x{i}": i for i in range(9000)}]}},
    "equal items": {
        "type": "array",
        "minItems": 400,
        "uniqueItems": True,
        "items": {"type": "array", "minItems": 20, "items": {"const": 1}},
    },
    "large numbers": {"type": "array", "minItems": 4900, "items": {"type": "integer", "minimum": 10**3900}},
    "deep": {"type": "object", "required": list("abcdefghij"), "additionalProperties": {"$ref": "#"}},
}


@pytest.mark.once
@pytest.mark.parametrize("name", EXPENSIVE)
def test_work_for_a_schema_is_bounded_by_its_cost(name: str) -> None:
    """A few hundred KiB of schema must not become gigabytes of text or minutes of work: it is refused."""
    tracemalloc.start()
    try:
        with pytest.raises(SchemaError, match=r"more work|more than 10000|without end"):
            write_example(EXPENSIVE[name], "seed")
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def test_texts_of_one_request_share_its_work() -> None:
    schema = {"type": "object", "properties": {f"p{i}": {"type": "integer"} for i in range(20)}}
    assert write_example(schema, "seed") == write_example(schema, "seed", of=1000)
    with pytest.raises(SchemaError, match="more work"):
        write_example(schema, "seed", of=128 * 128)
