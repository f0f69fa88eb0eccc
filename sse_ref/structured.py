"""JSON as models write it: text that fits a schema, and reading it while it grows.

In:   a JSON schema, and a source of chance; or the beginning of a JSON text.
Out:  a JSON text that is valid for the schema; or the value as far as it is known.

Tool arguments and structured output reach a client as fragments of one JSON text. A model is asked for a text that fits a
schema (``write_example``), and a client that wants to show something before the last fragment has come reads the value
from the text so far (``read_partial``).

Follows RFC 8259 and JSON Schema 2020-12, of which these keywords are obeyed: type, enum, const, the limits of numbers,
strings, arrays and objects, pattern, format, items, prefixItems, uniqueItems, properties, required,
additionalProperties, anyOf, oneOf, allOf, $ref into the same document. Others (not, if, dependentSchemas) are not looked at.
"""

from __future__ import annotations

import json
import math
import random
import re
import warnings
from collections.abc import Mapping
from re import _constants as sre  # type: ignore[attr-defined]  # the syntax trees that re itself compiles
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any

__all__ = ["Schema", "read_partial", "write_example"]

Schema = Mapping[str, Any] | bool

# A schema that asks for more is refused: values are meant to be read, and minLength: 1e9 must not fill the memory.
MAX_SIZE = 10_000  # characters of strings and elements of arrays and objects, all together
MAX_DEPTH = 32  # schemas within schemas
FULL_DEPTH = 4  # deeper than this only what is required is written, so that recursive schemas come to an end

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


def write_example(schema: Schema, seed: str) -> str:
    """Return a JSON text that is valid for ``schema``, always the same for the same ``seed``.

    Raises ``ValueError`` if nothing is valid for the schema, if it is not one, or if it asks for a very large value.

    >>> write_example({"type": "object", "properties": {"city": {"enum": ["Oslo"]}}}, "seed")
    '{"city": "Oslo"}'
    """
    try:
        value = _Example(schema, random.Random(seed)).value(schema, 0)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
        return text
    except UnicodeEncodeError:
        raise ValueError("the schema asks for half of a surrogate pair") from None
    except (TypeError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"the schema is malformed: {error}") from None


class _Example:
    """The making of one example value."""

    def __init__(self, root: Schema, chance: random.Random) -> None:
        self.root = root
        self.chance = chance
        self.size = 0

    def value(self, schema: Schema, depth: int) -> Any:
        if schema is True:
            schema = {}
        if not isinstance(schema, Mapping):
            raise ValueError(
                "no value is valid for a schema that is false" if schema is False else "schema is no object"
            )
        if depth > MAX_DEPTH:
            raise ValueError("the schema requires a value without end")
        self.count(1)
        if "$ref" in schema:
            return self.value(self.resolve(schema["$ref"]), depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.chance.choice(list(schema["enum"]))
        if "allOf" in schema:
            return self.value(self.merged(schema), depth + 1)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                options = list(schema[keyword])
                option = self.chance.choice(options) if depth < FULL_DEPTH else options[-1]
                rest = {name: value for name, value in schema.items() if name != keyword}
                return self.value(self.merged({"allOf": [rest, option]}), depth + 1)
        types = schema.get("type", self.guessed_type(schema))
        name = types if isinstance(types, str) else self.chance.choice(list(types))
        match name:
            case "object":
                return self.object(schema, depth)
            case "array":
                return self.array(schema, depth)
            case "string":
                return self.string(schema)
            case "integer" | "number":
                return self.number(schema, whole=name == "integer")
            case "boolean":
                return self.chance.random() < 0.5
            case "null":
                return None
        raise ValueError(f"schema has the unknown type {name!r}")

    def resolve(self, reference: str) -> Schema:
        """Follow a JSON pointer into this document (RFC 6901)."""
        self.count(1)
        found: Any = self.root
        if not reference.startswith("#"):
            raise ValueError(f"$ref {reference!r} leads out of the schema")
        for step in reference[1:].split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(step) if isinstance(found, list) else step]
            except (KeyError, IndexError, TypeError, ValueError):
                raise ValueError(f"$ref {reference!r} leads nowhere") from None
        return found  # type: ignore[no-any-return]

    def merged(self, schema: Mapping[str, Any]) -> Schema:
        """One schema that says what ``schema`` and all members of its allOf say."""
        result: dict[str, Any] = {name: value for name, value in schema.items() if name != "allOf"}
        for part in schema["allOf"]:
            while isinstance(part, Mapping) and "$ref" in part:
                part = self.resolve(part["$ref"])
            if part is False:
                return False
            if part is True:
                continue
            self.count(len(part))
            for name, value in part.items():
                if name == "properties":
                    result[name] = {**result.get(name, {}), **value}
                elif name == "required":
                    result[name] = [*result.get(name, []), *value]
                elif name.startswith(("min", "exclusiveMin")):
                    result[name] = max(value, result.get(name, value))
                elif name.startswith(("max", "exclusiveMax")):
                    result[name] = min(value, result.get(name, value))
                else:
                    result[name] = value
        return result

    def guessed_type(self, schema: Mapping[str, Any]) -> str:
        for name, keywords in {
            "object": ("properties", "required", "additionalProperties"),
            "array": ("items", "prefixItems", "minItems"),
            "number": ("minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"),
        }.items():
            if any(keyword in schema for keyword in keywords):
                return name
        return "string"

    def object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = list(dict.fromkeys(schema.get("required", ())))
        least, most = schema.get("minProperties", 0), schema.get("maxProperties", math.inf)
        self.count(len(required) + least)
        optional = [name for name, part in properties.items() if name not in required and part is not False]
        room = max(0, most - len(required)) if depth < FULL_DEPTH else max(0, least - len(required))
        chosen = {*required, *optional[: int(min(room, len(optional)))]}
        names = [name for name in properties if name in chosen] + [name for name in required if name not in properties]
        names += [f"{WORDS[i % len(WORDS)]}{i}" for i in range(len(names), least)]
        if len(names) > most:
            raise ValueError(f"no object has at most {most} properties and all that are required")
        rest = schema.get("additionalProperties", True)
        return {name: self.value(properties.get(name, rest), depth + 1) for name in names}

    def array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems", [])
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        wanted = max(least, min(most, max(len(first), 2)) if depth < FULL_DEPTH else 0)
        result: list[Any] = []
        for _ in range(wanted * 20):
            if len(result) == wanted:
                break
            part = first[len(result)] if len(result) < len(first) else schema.get("items", True)
            if part is False:
                break
            self.count(1)
            element = self.value(part, depth + 1)
            if schema.get("uniqueItems") and element in result:
                continue
            result.append(element)
        if len(result) < least:
            raise ValueError(f"no array of {least} different items fits the schema")
        return result

    def string(self, schema: Mapping[str, Any]) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        if most < least or most < 0:
            raise ValueError(f"no string has {least} to {most} characters")
        if "pattern" in schema:
            text = self.matching(schema["pattern"], least)
            if not least <= len(text) <= most:
                raise ValueError("the toy model finds no string of that length for the pattern")
            return text
        text = FORMATS.get(schema.get("format", "")) or self.chance.choice(WORDS)
        self.count(max(len(text), least))
        while len(text) < least:
            text += " " + self.chance.choice(WORDS)
        return text[: int(min(most, max(least, len(text))))]

    def matching(self, pattern: str, least: int) -> str:
        """A string that the regular expression matches, made from its syntax tree."""
        try:
            with warnings.catch_warnings():  # about patterns that a later version may read otherwise
                warnings.simplefilter("ignore")
                tree = sre_parser.parse(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"pattern {pattern!r} is not understood: {error}") from None
        text = self.sequence(tree, more=0)
        if len(text) < least:
            text = self.sequence(tree, more=least)[: max(least, len(text))] if "$" not in pattern else text
        return text

    def sequence(self, tree: Any, more: int) -> str:
        return "".join(self.node(kind, argument, more) for kind, argument in tree)

    def node(self, kind: Any, argument: Any, more: int) -> str:
        self.count(1)
        if kind is sre.LITERAL:
            return chr(argument)
        if kind is sre.NOT_LITERAL:
            return "a" if argument != ord("a") else "b"
        if kind is sre.ANY:
            return "a"
        if kind is sre.AT or kind is sre.ASSERT_NOT:
            return ""
        if kind is sre.IN:
            return self.member(argument)
        if kind is sre.BRANCH:
            return self.sequence(self.chance.choice(argument[1]), more)
        if kind is sre.SUBPATTERN:
            return self.sequence(argument[3], more)
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            least, most, part = argument
            times = min(int(most), max(int(least), more, 1))
            self.count(times)
            return "".join(self.sequence(part, 0) for _ in range(times))
        raise ValueError(f"the toy model does not write strings for patterns with {str(kind).lower()}")

    def member(self, choices: Any) -> str:
        """A character of a class such as [a-z_] or [^,]."""
        negated = choices[0][0] is sre.NEGATE
        if not negated:
            kind, argument = self.chance.choice(choices)
            if kind is sre.RANGE:
                return chr(self.chance.randint(*argument))
            if kind is sre.CATEGORY:
                return {sre.CATEGORY_DIGIT: "7", sre.CATEGORY_SPACE: " ", sre.CATEGORY_NOT_WORD: " "}.get(argument, "a")
            return chr(argument)
        ranges = [choice[1] for choice in choices if choice[0] is sre.RANGE]
        ranges += [(choice[1], choice[1]) for choice in choices if choice[0] is sre.LITERAL]
        for candidate in "a7-_ Z\u00e9":
            if not any(low <= ord(candidate) <= high for low, high in ranges):
                return candidate
        raise ValueError("no simple character is outside a class of the pattern")

    def number(self, schema: Mapping[str, Any], *, whole: bool) -> float | int:
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
            raise ValueError("no number fits the schema's limits")
        return self.chance.choice(fitting)

    def count(self, size: int) -> None:
        self.size += size
        if self.size > MAX_SIZE:
            raise ValueError(f"the schema asks for a value of more than {MAX_SIZE} characters and elements")


def _tidy(number: float) -> float | int:
    """0.30000000000000004 as 0.3, and 2.0 as 2."""
    if isinstance(number, int):
        return number
    number = round(number, 9)
    return int(number) if number == int(number) else number


# ---- Reading JSON while it grows -------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r'(\s+)|("(?:[^"\\]|\\.)*")|([\[{])|([\]}])|(,)|(:)|(-?[0-9][-+.eE0-9]*)|(true|false|null)', re.DOTALL
)
# A string without its end. The escape of a high surrogate is left out while its other half may still come.
_OPEN_STRING = re.compile(
    r"""" (?: [^"\\] | \\[^u] | \\u(?![dD][89abAB])[0-9a-fA-F]{4}
            | \\u[dD][89abAB][0-9a-fA-F]{2} (?= [^\\] | \\[^u] | \\u[0-9a-fA-F]{4} ) )*""",
    re.VERBOSE,
)


def read_partial(text: str) -> Any:
    """Return the value that ``text``, the beginning of a JSON text, has shown so far; None if nothing yet.

    Strings, arrays and objects are given as far as they go. What might still change into something else is left out: a
    name without its value, a number or a literal that may go on, half an escape sequence. So the value only ever grows.
    Raises ``ValueError`` if the text is no beginning of JSON.

    >>> read_partial('{"city": "Os')
    {'city': 'Os'}
    >>> read_partial('{"city": "Oslo", "days": 1')
    {'city': 'Oslo'}
    """
    closers: list[str] = []  # what would have to follow to close what is open
    name_comes = False  # in an object, before the colon
    certain = 0  # how far the text is certain: closing what is open there makes it valid JSON
    quotation_mark = ""
    position = 0
    while match := _TOKEN.match(text, position):
        position = match.end()
        _, string, opener, closer, comma, colon, number, literal = match.groups()
        if opener:
            closers.append("}" if opener == "{" else "]")
        elif closer and (not closers or closers.pop() != closer):
            raise ValueError(f"{closer} at character {position - 1} closes nothing")
        ends_value = literal or (string and not name_comes) or (number and position < len(text))
        if opener or closer or ends_value:
            certain = position
        if opener or comma:
            name_comes = bool(closers) and closers[-1] == "}"
        elif colon:
            name_comes = False
    rest = text[position:]
    if rest.startswith('"') and not name_comes:
        begun = _OPEN_STRING.match(rest)
        assert begun  # it starts with a quotation mark
        certain, quotation_mark = position + begun.end(), '"'
    elif (
        rest and not rest.startswith('"') and not any(word.startswith(rest) for word in ("true", "false", "null", "-"))
    ):
        raise ValueError(f"no JSON at character {position}")
    if not certain:
        return None
    try:
        return json.loads(text[:certain] + quotation_mark + "".join(reversed(closers)), strict=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
