"""The decoder vectors of the corpus as the codec's own tests need them: bytes, with the events they must dispatch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sse_ref.codec import ServerSentEvent
from sse_ref.conformance.corpus import bytes_of, load
from sse_ref.conformance.decoders import expected_of


@dataclass(frozen=True)
class Row:
    id: str
    stream: bytes
    events: tuple[ServerSentEvent, ...]
    last_event_id: str
    retry: Any  # {"at_least": n}: that or more, or None
    cuts: tuple[tuple[int, ...], ...]  # chunk lengths worth trying beside the generated ones

    def __str__(self) -> str:
        return self.id

    def retry_agrees(self, retry: int | None) -> bool:
        if isinstance(self.retry, dict):
            return retry is None or retry >= self.retry["at_least"]
        return bool(retry == self.retry)


@cache
def decoder_rows() -> tuple[Row, ...]:
    """Every vector that is a stream; those that come in two sizes, and those about the moment of dispatch, are not."""
    rows = []
    for vector in load("decoder"):
        if "input" not in vector.body or "linear" in vector.body:
            continue
        expected = expected_of(vector)
        rows.append(
            Row(
                id=vector.id,
                stream=bytes_of(vector.body["input"]),
                events=tuple(ServerSentEvent(e["data"], e["event"], e["id"]) for e in expected.events),
                last_event_id=expected.last_event_id,
                retry=expected.retry,
                cuts=tuple(tuple(cut) for cut in vector.body.get("cuts", [])),
            )
        )
    return tuple(rows)
