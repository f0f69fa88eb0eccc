"""JSON text that fits a schema: what a model writes for tool arguments and structured output.

In:   a JSON schema, and a seed.
Out:  a JSON text that is valid for the keywords below.

Follows RFC 8259 and JSON Schema 2020-12. The value is made top down. One method for each type makes a value and asks for the
values of its parts; ``value`` decides which type it is, in this order:

    $ref                a pointer into the same document: the schema there, and nothing that stands beside the $ref
    const, enum         a value that the schema itself holds, and nothing that stands beside it
    allOf               the schemas merged: properties and required together, of two limits the stricter, of others the last
    anyOf, oneOf        one of the options, merged with what stands beside them
    type                that type, or one of several; without it, the type that the other keywords are about

and then by type

    object              properties, required, additionalProperties, minProperties, maxProperties
    array               prefixItems, items, minItems, maxItems, uniqueItems
    string              minLength, maxLength, format; a pattern is refused
    number, integer     minimum, maximum, exclusive or not, multipleOf

Other keywords (not, if, dependentSchemas) are ignored. A recursive schema ends if its required members do and the last of
its options does: below a depth of four no other member is written, and no other option taken. One that does not end is
refused.

An example: for this schema

    {"type": "object", "required": ["city"], "properties": {"city": {"enum": ["Oslo", "Rome"]},
                                                            "days": {"minimum": 1, "maximum": 3, "type": "integer"}}}

    object       the names: city is required, days is optional, and there is room for both
      city       one of the enum                                   "Oslo"
      days       the multiples of 1 from 1 on that fit: 1, 2, 3    2

and the text is ``{"city": "Oslo", "days": 2}``. Which of the possible values it is depends on the seed alone.

**What it may cost.** A schema comes from a stranger, and a few kilobytes of one can ask for gigabytes: an enum of long
constants in an array of ten thousand elements; a reference to an object of references to an object of references. A limit
for the depth or for the number of calls would not help, because a single step can copy a large part of the schema. So two
things are counted as they arise, and each has a limit: the size of the value in characters and elements, and the members of
the schema that are looked at or copied. All texts of one request share the second.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from random import Random
from typing import Any

from sse_ref.pieces import Schema

__all__ = ["SchemaError", "write_example"]

MAX_SIZE = 10_000  # characters and elements of a value: it is meant to be read
MAX_WORK = 1_000_000  # members of schemas that are looked at or copied for one request; they take about 0.3 s
WORK_OF_TEXT, WORK_OF_VALUE = 300, 10  # what a text, and each value in it, costs beside that
MAX_DEPTH = 32  # schemas within schemas
FULL_DEPTH = 4  # below this depth only required members are written, so that recursive schemas terminate

# Of two limits the stricter one holds.
LIMITS: dict[str, Any] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}

WORDS = (
    "amber",
    "breeze",
    "cedar",
    "delta",
    "ember",
    "fern",
    "grove",
    "harbor",
    "iris",
    "juniper",
    "kestrel",
    "lagoon",
)

FORMATS = {
    "date": "2026-11-21",
    "date-time": "2026-11-21T12:00:00Z",
    "duration": "PT15M",
    "email": "fern@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "time": "12:00:00Z",
    "uri": "https://example.com/fern",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}


class SchemaError(ValueError):
    """No text is written for a schema; ``path`` is the place in it, the names on the way to it behind ``#``."""

    def __init__(self, problem: str, path: str = "#") -> None:
        self.problem, self.path = problem, _short(path)
        super().__init__(f"{problem} (at {self.path})")


def write_example(schema: Schema, seed: str, *, of: int = 1) -> str:
    """Return a JSON text that is valid for ``schema``, always the same for the same ``seed``.

    ``of`` is how many texts the same request asks for: they share the work that one request may cause. Raises
    ``SchemaError`` if nothing is valid for the schema, if it is not one, if it has a pattern that a string would have to
    match, or if it asks for a very large value or for much work.

    >>> write_example({"type": "object", "properties": {"city": {"enum": ["Oslo"]}}}, "seed")
    '{"city": "Oslo"}'
    """
    example = _Example(schema, Random(seed), MAX_WORK // of)
    try:
        text = json.dumps(example.value(schema, 0, "#"), ensure_ascii=False, allow_nan=False)
        text.encode()
        return text
    except UnicodeEncodeError:
        raise SchemaError("the schema asks for half of a surrogate pair") from None
    except SchemaError:
        raise
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        raise SchemaError(f"the schema is malformed: {_short(str(error))}", example.path) from None


def _short(text: str) -> str:
    """Text of the schema, fit for a message."""
    return text if len(text) <= 100 else text[:100] + "..."


class _Example:
    """The making of one example value. ``path`` is the schema in hand."""

    def __init__(self, root: Schema, random: Random, work: int) -> None:
        self.root = root
        self.random = random
        self.size = 0
        self.work = work - WORK_OF_TEXT
        self.path = "#"

    def error(self, problem: str) -> SchemaError:
        """The error for the schema in hand."""
        return SchemaError(problem, self.path)

    def count(self, size: int) -> None:
        """So many characters or elements become part of the value."""
        self.size += max(0, size)
        if self.size > MAX_SIZE:
            raise self.error(f"the schema asks for a value of more than {MAX_SIZE} characters and elements")

    def spend(self, work: int) -> None:
        """So many members of the schema are looked at or copied."""
        self.work -= max(0, work)
        if self.work < 0:
            raise self.error("the schema asks for more work than the toy model does for one request")

    def value(self, schema: Schema, depth: int, path: str) -> Any:
        """A value that is valid for a schema, ``depth`` schemas below the root."""
        self.path = path
        if schema is True:
            schema = {}
        if not isinstance(schema, Mapping):
            raise self.error("no value is valid for a schema that is false" if schema is False else "this is no schema")
        if depth > MAX_DEPTH:
            raise self.error("the schema requires a value without end")
        self.count(1)
        self.spend(WORK_OF_VALUE)
        if "$ref" in schema:
            return self.value(self.resolve(schema["$ref"]), depth + 1, _short(schema["$ref"]))
        if "const" in schema:
            return self.given(schema["const"])
        if "enum" in schema:
            return self.given(self.random.choice(schema["enum"]))
        if "allOf" in schema:
            return self.value(self.merged(schema), depth + 1, path)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                options = schema[keyword]
                option = self.random.choice(options) if depth < FULL_DEPTH else options[-1]
                self.spend(len(schema))
                rest = {name: value for name, value in schema.items() if name != keyword}
                return self.value(self.merged({"allOf": [rest, option]}), depth + 1, path)
        types = schema.get("type", self.guessed_type(schema))
        name = types if isinstance(types, str) else self.random.choice(types)
        match name:
            case "object":
                return self.object(schema, depth, path)
            case "array":
                return self.array(schema, depth, path)
            case "string":
                return self.string(schema)
            case "integer" | "number":
                return self.number(schema, whole=name == "integer")
            case "boolean":
                return self.random.random() < 0.5
            case "null":
                return None
        raise self.error(f"the type {_short(repr(name))} is unknown")

    def given(self, value: Any) -> Any:
        """A value that the schema itself holds."""
        self.count(len(json.dumps(value, ensure_ascii=False)))
        return value

    def resolve(self, reference: str) -> Schema:
        """Follow a JSON pointer into this document (RFC 6901)."""
        found: Any = self.root
        if not reference.startswith("#"):
            raise self.error(f"$ref {_short(repr(reference))} leads out of the schema")
        self.spend(len(reference))
        for step in reference[1:].split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(step) if isinstance(found, list) else step]
            except (KeyError, IndexError, TypeError, ValueError):
                raise self.error(f"$ref {_short(repr(reference))} leads nowhere") from None
        return found  # type: ignore[no-any-return]

    def merged(self, schema: Mapping[str, Any]) -> Schema:
        """One schema that says what ``schema`` and all members of its allOf say."""
        self.spend(len(schema))
        result: dict[str, Any] = {name: value for name, value in schema.items() if name != "allOf"}
        for part in schema["allOf"]:
            self.spend(1)
            while isinstance(part, Mapping) and "$ref" in part:
                self.spend(1)
                part = self.resolve(part["$ref"])
            if part is False:
                return False
            if part is True:
                continue
            self.spend(len(part) + 1)
            for name, value in part.items():
                if name == "properties":
                    self.spend(len(value) + len(result.get(name, {})))
                    result[name] = {**result.get(name, {}), **value}
                elif name == "required":
                    self.spend(len(value) + len(result.get(name, [])))
                    result[name] = [*result.get(name, []), *value]
                elif name in LIMITS and not isinstance(value, int | float):
                    raise self.error(f"{name} is no number")
                elif name in LIMITS:
                    result[name] = LIMITS[name](value, result.get(name, value))
                else:
                    result[name] = value
        return result

    def guessed_type(self, schema: Mapping[str, Any]) -> str:
        """The type that the keywords of a schema without a type are about; "string" if they are about none."""
        for name, keywords in {
            "object": ("properties", "required", "additionalProperties"),
            "array": ("items", "prefixItems", "minItems"),
            "number": ("minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"),
        }.items():
            if any(keyword in schema for keyword in keywords):
                return name
        return "string"

    def object(self, schema: Mapping[str, Any], depth: int, path: str) -> dict[str, Any]:
        """An object with all required members, and as many others as there is room for."""
        properties = schema.get("properties", {})
        self.spend(2 * (len(properties) + len(schema.get("required", ()))))
        required = dict.fromkeys(schema.get("required", ()))
        least, most = schema.get("minProperties", 0), schema.get("maxProperties", math.inf)
        self.count(len(required) + least)
        optional = [name for name, part in properties.items() if name not in required and part is not False]
        room = max(0, most - len(required)) if depth < FULL_DEPTH else max(0, least - len(required))
        chosen = {*required, *optional[: int(min(room, len(optional)))]}
        names = [name for name in properties if name in chosen] + [name for name in required if name not in properties]
        names += [f"{WORDS[i % len(WORDS)]}{i}" for i in range(len(names), least)]
        if len(names) > most:
            raise self.error(f"no object has at most {most} properties and all that are required")
        rest = schema.get("additionalProperties", True)
        result = {}
        for name in names:
            self.count(len(name))
            where = f"{path}/properties/{name}" if name in properties else f"{path}/additionalProperties"
            result[name] = self.value(properties.get(name, rest), depth + 1, where)
        return result

    def array(self, schema: Mapping[str, Any], depth: int, path: str) -> list[Any]:
        """An array of two elements, or as many as the schema wants. Equal ones are made again, twenty times at most."""
        first = schema.get("prefixItems", [])
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        length = max(least, min(most, max(len(first), 2)) if depth < FULL_DEPTH else 0)
        result: list[Any] = []
        seen: set[str] = set()
        for _ in range(length * 20):
            at = len(result)
            if at == length:
                break
            part = first[at] if at < len(first) else schema.get("items", True)
            if part is False:
                break
            self.count(1)
            element = self.value(part, depth + 1, f"{path}/prefixItems/{at}" if at < len(first) else f"{path}/items")
            if schema.get("uniqueItems"):
                text = json.dumps(element, sort_keys=True)
                self.spend(len(text))
                if text in seen:
                    continue
                seen.add(text)
            result.append(element)
        if len(result) < least:
            self.path = path
            raise self.error(f"no array of {least} different items fits the schema")
        return result

    def string(self, schema: Mapping[str, Any]) -> str:
        """A string of the format, or a word, cut or lengthened to fit."""
        least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        if most < least or most < 0:
            raise self.error(f"no string has {least} to {most} characters")
        if "pattern" in schema:
            self.path += "/pattern"
            raise self.error("the toy model writes no strings for patterns")
        text = FORMATS.get(schema.get("format", "")) or self.random.choice(WORDS)
        self.count(max(len(text), least))
        while len(text) < least:
            text += " " + self.random.choice(WORDS)
        return text[: int(min(most, max(least, len(text))))]

    def number(self, schema: Mapping[str, Any], *, whole: bool) -> float | int:
        """One of the first 22 multiples of the step from the lower limit on that fit, or the middle of a narrow range."""
        step = schema.get("multipleOf", 1 if whole else 0.5)
        low = schema.get("minimum", -math.inf)
        high = schema.get("maximum", math.inf)
        low_open = schema.get("exclusiveMinimum", -math.inf)
        high_open = schema.get("exclusiveMaximum", math.inf)
        start = max(low, low_open)
        if start == -math.inf:
            end = min(high, high_open)
            start = 1 if end > 20 * step else end - 20 * step
        first = -(-start // step) if isinstance(start, int) and isinstance(step, int) else math.ceil(start / step)
        fitting = [
            number
            for number in (_tidy((first + k) * step) for k in range(22))
            if low <= number <= high and low_open < number < high_open
        ]
        if not fitting and not whole and "multipleOf" not in schema:  # a narrow range: take its middle
            fitting = [(max(low, low_open) + min(high, high_open)) / 2]
        if not fitting:
            raise self.error("no number fits the schema's limits")
        number = self.random.choice(fitting)
        digits = abs(int(number)).bit_length() // 3
        self.count(digits)
        self.spend(digits * len(fitting))
        return number


def _tidy(number: float) -> float | int:
    """0.30000000000000004 as 0.3, and 2.0 as 2."""
    if isinstance(number, int):
        return number
    number = round(number, 9)
    return int(number) if number == int(number) else number
