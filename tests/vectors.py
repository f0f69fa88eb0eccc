"""Reads the decoder rows of tests/data/decoder.json: one byte string each, with the events it must dispatch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sse_ref.codec import ServerSentEvent


@dataclass(frozen=True)
class Row:
    id: str
    name: str
    stream: bytes
    events: tuple[ServerSentEvent, ...]
    last_event_id: str
    retry: int | str | None  # "any": the standard leaves it open, but nothing may crash
    cuts: tuple[tuple[int, ...], ...]  # chunk lengths worth trying beside the generated ones

    def __str__(self) -> str:
        return f"{self.id}-{self.name}"


@cache
def decoder_rows() -> tuple[Row, ...]:
    rows = json.loads((Path(__file__).parent / "data" / "decoder.json").read_text())
    return tuple(_row(row) for row in rows)


def _row(row: dict[str, Any]) -> Row:
    events = tuple(
        ServerSentEvent(_text(event["data"]), event.get("event", "message"), _text(event.get("id", "")))
        for event in row["events"]
    )
    return Row(
        id=row["id"],
        name=row["name"],
        stream=b"".join(_bytes(part) for part in row["input"]),
        events=events,
        last_event_id=row.get("last_event_id", events[-1].id if events else ""),
        retry=row.get("retry"),
        cuts=tuple(tuple(cut) for cut in row.get("cuts", [])),
    )


def _bytes(part: dict[str, Any]) -> bytes:
    once = bytes.fromhex(part["hex"]) if "hex" in part else part["text"].encode()
    return once * part.get("repeat", 1)


def _text(value: str | dict[str, Any]) -> str:
    if isinstance(value, str):
        return value
    return value.get("join", "").join([value["text"]] * value["repeat"])
