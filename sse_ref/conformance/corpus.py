"""The corpus: every vector with a permanent id, one sentence of fact, its level and its basis.

In:   the JSON files in ``corpus/``; their form is described by ``schema/vector.json``.
Out:  ``Vector`` objects, found by globs; and the bytes and texts that their parts stand for.

Levels follow RFC 2119: ``must`` (the standard says so, or programs in use break), ``should`` (good practice), ``may`` (the
standard leaves it open: such a vector informs, and never fails).
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any

__all__ = [
    "CLIENT_PROFILES",
    "DEFAULT_PROFILE",
    "LEVELS",
    "PROFILES",
    "TARGETS",
    "Vector",
    "bytes_of",
    "document",
    "exercises",
    "load",
    "matching",
]
__all__ += ["profiles_of", "text_of", "versions"]

TARGETS = ("decoder", "encoder", "client", "server", "gateway")
LEVELS = ("must", "should", "may")
FOLDER = resources.files("sse_ref.conformance")
FILES = FOLDER / "corpus"


DEFAULT_PROFILE = "openai-chat"


def profiles_of(target: str) -> tuple[str | None, ...]:
    """The profiles of a target, the default first, one file each in the folder of its name.

    (None,) for a target without profiles.

    >>> profiles_of("decoder"), profiles_of("server")
    ((None,), ('openai-chat', 'anthropic', 'cohere', 'gemini', 'openai-responses', 'sse'))
    """
    folder = FILES / target
    if not folder.is_dir():
        return (None,)
    names = (file.name.removesuffix(".json") for file in folder.iterdir())
    return tuple(sorted(names, key=lambda name: (name != DEFAULT_PROFILE, name)))


PROFILES = tuple(filter(None, profiles_of("server")))
"""What clients and servers may be: of a provider's API, or of plain event streams (``sse``)."""

CLIENT_PROFILES = tuple(filter(None, profiles_of("client")))
"""What clients may be judged by: as above, or by what services do with a provider's API (``quirks``)."""


@dataclass(frozen=True)
class Vector:
    """One fact that a program is judged by; ``body`` is read by the judge of its target (``schema/vector.json``)."""

    id: str
    target: str
    title: str
    level: str
    basis: dict[str, Any]
    since: str
    body: dict[str, Any]

    @property
    def clause(self) -> str:
        """The source of the fact: the standard's clause, else the vendor's document, else our decision."""
        return str(self.basis.get("spec") or self.basis.get("vendor") or self.basis.get("decision"))

    @property
    def profile(self) -> str | None:
        """A name in ``PROFILES`` for vectors of clients and servers, None for the others."""
        return self.body.get("profile")

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The group of the id, then what the vector declares."""
        return (self.id.partition("/")[0], *self.body.get("tags", ()))

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """Features without which the program under test cannot be judged by this vector."""
        return tuple(self.body.get("needs", ()))

    def as_json(self) -> dict[str, Any]:
        """The vector as it stands in the file, with its target and profile."""
        members = {"id": self.id, "target": self.target, "title": self.title, "level": self.level}
        return {**members, "basis": self.basis, "since": self.since, **self.body}


@cache
def document(target: str, profile: str | None = None) -> dict[str, Any]:
    """The corpus file of one target, or of one profile of it, as JSON."""
    path = FILES / target / f"{profile}.json" if profile else FILES / f"{target}.json"
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


@cache
def load(target: str) -> tuple[Vector, ...]:
    """Every vector of a target (one of ``TARGETS``), in the order of the files.

    >>> [vector.title for vector in load("decoder")][:2]
    ['An empty stream holds no event.', 'A blank line dispatches the data before it.']
    """
    profiles = profiles_of(target)
    return tuple(vector_of(target, entry, name) for name in profiles for entry in document(target, name)["vectors"])


def vector_of(target: str, entry: dict[str, Any], profile: str | None = None) -> Vector:
    """Make a vector of its JSON object."""
    members = {name: entry[name] for name in ("id", "title", "level", "basis", "since")}
    body = {name: value for name, value in entry.items() if name not in members}
    return Vector(target=target, **members, body={"profile": profile, **body} if profile else body)


@cache
def exercises() -> dict[str, list[str]]:
    """The vectors of each level of the decoder exercises (examples/exercises.md), as globs."""
    loaded: dict[str, list[str]] = json.loads((FOLDER / "exercises.json").read_text(encoding="utf-8"))
    return loaded


@cache
def versions() -> tuple[str, ...]:
    """The versions of the corpus, oldest first: every ``since`` of a vector is one."""
    return tuple(sorted({vector.since for target in TARGETS for vector in load(target)}))


def matching(vectors: Iterable[Vector], patterns: Iterable[str]) -> Iterator[Vector]:
    """Yield the vectors whose id matches one of the globs; ``*`` crosses slashes.

    >>> [vector.id for vector in matching(load("decoder"), ["eol/lf", "bom/dou*"])]
    ['eol/lf', 'bom/double-second-kept']
    """
    patterns = list(patterns)
    return (vector for vector in vectors if any(fnmatch.fnmatchcase(vector.id, pattern) for pattern in patterns))


# ---- What parts stand for --------------------------------------------------------------------------------------------


def bytes_of(parts: Iterable[dict[str, Any]], n: int = 1) -> bytes:
    """The bytes of a list of parts: ``{"text": …}`` or ``{"hex": …}``, each with an optional ``repeat``.

    A ``repeat`` of "N" stands for ``n``: the linear vectors come in two sizes.

    >>> bytes_of([{"text": "data: "}, {"hex": "ff", "repeat": 2}])
    b'data: \\xff\\xff'
    """
    return b"".join(_once(part) * _times(part, n) for part in parts)


def _once(part: dict[str, Any]) -> bytes:
    return bytes.fromhex(part["hex"]) if "hex" in part else part["text"].encode()


def _times(part: dict[str, Any], n: int) -> int:
    times = part.get("repeat", 1)
    return n if times == "N" else int(times)


def text_of(value: str | dict[str, Any], n: int = 1) -> str:
    """The text of an expectation: a string, or ``{"text": …, "repeat": …, "join": …}``.

    >>> text_of({"text": "x", "repeat": 3, "join": "-"})
    'x-x-x'
    """
    if isinstance(value, str):
        return value
    text, join, times = value["text"], value.get("join", ""), _times(value, n)
    return str(text + (join + text) * (times - 1)) if times else ""
