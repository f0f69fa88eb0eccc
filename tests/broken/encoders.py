"""Encoders with one fault each, around a correct one that builds the stream line by line."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class Encoder:
    """A correct encoder. A fault overrides one of its steps."""

    end = "\n"
    separator = ": "

    def encode(self, events: Sequence[Mapping[str, Any]]) -> bytes:
        return b"".join(self.bytes(self.event(event)) for event in events)

    def bytes(self, text: str) -> bytes:
        return text.encode()

    def event(self, event: Mapping[str, Any]) -> str:
        if "comment" in event:
            return self.comment(event["comment"])
        lines = []
        if self.wanted(event["event"]):
            lines.append(self.line("event", self.checked(event["event"])))
        if self.given_id(event["id"]):
            lines.append(self.line("id", self.checked_id(event["id"])))
        if self.given_retry(event["retry"]):
            lines.append(self.line("retry", self.number(event["retry"])))
        if event["data"] is not None:
            lines += [self.line("data", part) for part in self.parts(event["data"])]
        return "".join(lines) + self.blank()

    def wanted(self, kind: Any) -> bool:
        return bool(kind)

    def given_id(self, id: Any) -> bool:
        return id is not None

    def given_retry(self, retry: Any) -> bool:
        return retry is not None

    def line(self, name: str, value: str) -> str:
        return f"{name}{self.separator}{value}{self.end}"

    def blank(self) -> str:
        return self.end

    def parts(self, data: Any) -> list[str]:
        if not isinstance(data, str):
            raise TypeError("data must be text")
        return re.split("\r\n|\r|\n", data)

    def checked(self, text: str) -> str:
        if re.search("[\r\n]", text):
            raise ValueError("line end")
        return text

    def checked_id(self, text: str) -> str:
        if "\0" in text:
            raise ValueError("NUL")
        return self.checked(text)

    def number(self, retry: Any) -> str:
        if type(retry) is not int or retry < 0:
            raise ValueError("retry")
        return str(retry)

    def comment(self, text: str) -> str:
        return "".join(f": {part}{self.end}" for part in self.parts(text))


class Program:
    """Answers requests as a program under test would, without a process."""

    stderr = ""
    default_retry: Any = None

    def warm_up(self, probe: Mapping[str, Any]) -> None:
        """There is no process to start."""

    def __init__(self, make: Callable[[], Encoder]) -> None:
        self.make = make

    def ask(self, requests: Sequence[Mapping[str, Any]], timeout: float | None = None) -> list[dict[str, Any]]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {"id": request["id"], "bytes": self.make().encode(request["events"]).hex()}
        except Exception as error:
            return {"id": request["id"], "error": repr(error)}


# ---- Faults ----------------------------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[type[Encoder], str]] = {}
"""The faulty encoders by name, each with the vector that is made for it."""


def fault(vector: str) -> Callable[[type[Encoder]], type[Encoder]]:
    def register(encoder: type[Encoder]) -> type[Encoder]:
        FAULTS[encoder.__name__] = (encoder, f"encode/{vector}")
        return encoder

    return register


@fault("lf")
class WritesLineFeedsRaw(Encoder):
    def parts(self, data: Any) -> list[str]:
        return [data]


@fault("cr")
class SplitsAtLfOnly(Encoder):
    def parts(self, data: Any) -> list[str]:
        return str(data).split("\n")


@fault("trailing-lf")
class UsesSplitlines(Encoder):
    def parts(self, data: Any) -> list[str]:
        return str(data).splitlines()


@fault("line-separators")
class SplitsAtUnicode(Encoder):
    def parts(self, data: Any) -> list[str]:
        return re.split("\r\n|[\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029]", data)


@fault("separator-at-end")
class StripsSeparators(Encoder):
    def parts(self, data: Any) -> list[str]:
        return [part.rstrip("\u2028\u2029") for part in super().parts(data)]


@fault("blank-line-in-data")
class DropsEmptyLines(Encoder):
    def parts(self, data: Any) -> list[str]:
        return [part for part in super().parts(data) if part] or [""]


@fault("leading-lf")
class StripsTheText(Encoder):
    def parts(self, data: Any) -> list[str]:
        return super().parts(data.strip("\n"))


@fault("leading-space")
class WritesNoSpace(Encoder):
    separator = ":"


@fault("space-on-each-line")
class WritesTheSpaceOnTheFirstLineOnly(Encoder):
    def parts(self, data: Any) -> list[str]:
        first, *rest = super().parts(data)
        return [first, *(part.removeprefix(" ") for part in rest)]


@fault("trailing-space")
class TrimsData(Encoder):
    def parts(self, data: Any) -> list[str]:
        return [part.strip() for part in super().parts(data)]


@fault("leading-tab")
class StripsTabs(Encoder):
    def parts(self, data: Any) -> list[str]:
        return [part.lstrip("\t") for part in super().parts(data)]


@fault("ends-with-blank-line")
class ForgetsTheBlankLine(Encoder):
    def blank(self) -> str:
        return ""


@fault("concatenates")
class WritesABomFirst(Encoder):
    def encode(self, events: Sequence[Mapping[str, Any]]) -> bytes:
        return b"\xef\xbb\xbf" + super().encode(events)


@fault("plain")
class WritesJson(Encoder):
    def parts(self, data: Any) -> list[str]:
        return [json.dumps(data)]


@fault("unicode")
class WritesLatin1(Encoder):
    def bytes(self, text: str) -> bytes:
        return text.encode("latin-1", "replace")


@fault("not-normalised")
class Normalises(Encoder):
    def bytes(self, text: str) -> bytes:
        return unicodedata.normalize("NFC", text).encode()


@fault("lone-surrogate")
class PassesSurrogates(Encoder):
    def bytes(self, text: str) -> bytes:
        return text.encode("utf-8", "surrogatepass")


@fault("surrogate-after-good-event")
class DropsEventsThatFail(Encoder):
    def encode(self, events: Sequence[Mapping[str, Any]]) -> bytes:
        written = b""
        for event in events:
            try:
                written += super().encode([event])
            except ValueError:
                continue
        return written


@fault("nul")
class DropsNul(Encoder):
    def bytes(self, text: str) -> bytes:
        return text.replace("\0", "").encode()


@fault("control-line-separators")
class DropsControls(Encoder):
    def parts(self, data: Any) -> list[str]:
        return [re.sub("[\v\f\x1c-\x1f\x85]", "", part) for part in super().parts(data)]


@fault("byte-order-mark-in-data")
class DropsByteOrderMarks(Encoder):
    def parts(self, data: Any) -> list[str]:
        return super().parts(data.lstrip("\ufeff"))


@fault("empty")
class WritesNothingForEmptyData(Encoder):
    def parts(self, data: Any) -> list[str]:
        return super().parts(data) if data else []


@fault("leading-colon")
class EscapesColons(Encoder):
    def parts(self, data: Any) -> list[str]:
        return [part.replace(":", "\\:") for part in super().parts(data)]


@fault("literal-backslash-n")
class ReadsEscapes(Encoder):
    def parts(self, data: Any) -> list[str]:
        return super().parts(data.replace("\\n", "\n"))


@fault("end-mark")
class TakesDoneForTheEnd(Encoder):
    def event(self, event: Mapping[str, Any]) -> str:
        return "" if event.get("data") == "[DONE]" else super().event(event)


@fault("json")
class CompactsJson(Encoder):
    def parts(self, data: Any) -> list[str]:
        return super().parts(re.sub(r"([:,]) ", r"\1", data))


@fault("long-data")
class CutsLongData(Encoder):
    def parts(self, data: Any) -> list[str]:
        return super().parts(data[:65536])


@fault("ten-thousand-lines")
class LimitsLines(Encoder):
    def parts(self, data: Any) -> list[str]:
        return super().parts(data)[:1000]


@fault("two-events")
class WritesTheLastEventOnly(Encoder):
    def encode(self, events: Sequence[Mapping[str, Any]]) -> bytes:
        return super().encode(events[-1:])


@fault("event")
class WritesNoType(Encoder):
    def wanted(self, kind: Any) -> bool:
        return False


@fault("event-holds-once")
class KeepsTheType(Encoder):
    kind: Any = None

    def event(self, event: Mapping[str, Any]) -> str:
        self.kind = event.get("event") or self.kind
        return super().event({**event, "event": self.kind})


@fault("event-unicode")
class WritesAsciiTypes(Encoder):
    def checked(self, text: str) -> str:
        return super().checked(text).encode("ascii", "replace").decode()


@fault("event-leading-space")
class TrimsTypesAndIds(Encoder):
    def checked(self, text: str) -> str:
        return super().checked(text).strip()


@fault("event-lf-injects-nothing")
class WritesTypesRaw(Encoder):
    def checked(self, text: str) -> str:
        return text


@fault("event-cr-injects-nothing")
class ChecksForLfOnly(Encoder):
    def checked(self, text: str) -> str:
        if "\n" in text:
            raise ValueError("line end")
        return text


@fault("event-crlf-injects-nothing")
class ChecksForLfAlone(Encoder):
    def checked(self, text: str) -> str:
        if re.search("(?<!\r)\n", text):
            raise ValueError("line end")
        return text


@fault("event-lf-refused")
class StripsLineEnds(Encoder):
    def checked(self, text: str) -> str:
        return re.sub("[\r\n]", "", text)


@fault("event-nul")
class CutsAtNul(Encoder):
    def checked(self, text: str) -> str:
        return super().checked(text).partition("\0")[0]


@fault("event-without-data")
class AddsDataToTypes(Encoder):
    def event(self, event: Mapping[str, Any]) -> str:
        return super().event({**event, "data": ""} if event.get("data", "") is None else event)


@fault("event-empty")
class WritesATypeForNone(Encoder):
    def wanted(self, kind: Any) -> bool:
        return kind is not None

    def checked(self, text: str) -> str:
        return super().checked(text) or "none"


@fault("id")
class WritesNoId(Encoder):
    def given_id(self, id: Any) -> bool:
        return False


@fault("id-zero")
class TakesZeroForNoId(Encoder):
    def given_id(self, id: Any) -> bool:
        return bool(id) and id != "0"


@fault("id-empty-resets")
class TakesEmptyForNoId(Encoder):
    def given_id(self, id: Any) -> bool:
        return bool(id)


@fault("id-none-keeps")
class WritesNoneAsAnEmptyId(Encoder):
    def event(self, event: Mapping[str, Any]) -> str:
        return super().event({**event, "id": event.get("id") or ""} if "data" in event else event)


@fault("id-nul-refused")
class WritesNulInIds(Encoder):
    def checked_id(self, text: str) -> str:
        return self.checked(text)


@fault("id-nul-injects-nothing")
class TurnsNulIntoALineEnd(Encoder):
    def checked_id(self, text: str) -> str:
        return text.replace("\0", "\ndata: evil")


@fault("retry")
class WritesRetryInSeconds(Encoder):
    def number(self, retry: Any) -> str:
        return str(int(super().number(retry)) // 1000)


@fault("retry-zero")
class TakesZeroForNoRetry(Encoder):
    def given_retry(self, retry: Any) -> bool:
        return bool(retry)


@fault("retry-large")
class WrapsRetry(Encoder):
    def number(self, retry: Any) -> str:
        return str(int(super().number(retry)) % 2**31)


@fault("retry-negative-refused")
class WritesAnyNumber(Encoder):
    def number(self, retry: Any) -> str:
        if isinstance(retry, str):
            raise ValueError("retry")
        return str(retry)


@fault("retry-negative-harms-nothing")
class DropsTheEventWithABadRetry(Encoder):
    def event(self, event: Mapping[str, Any]) -> str:
        try:
            return super().event(event)
        except ValueError:
            return ""


@fault("retry-text-injects-nothing")
class WritesRetryRaw(Encoder):
    def number(self, retry: Any) -> str:
        return str(retry)


@fault("retry-without-data")
class WritesRetryWithDataOnly(Encoder):
    def given_retry(self, retry: Any) -> bool:
        return False


@fault("comment")
class WritesCommentsAsData(Encoder):
    def comment(self, text: str) -> str:
        return f"data: {text}\n\n"


@fault("comment-lf-injects-nothing")
class WritesCommentsRaw(Encoder):
    def comment(self, text: str) -> str:
        return f": {text}\n"


@fault("comment-cr-injects-nothing")
class SplitsCommentsAtLf(Encoder):
    def comment(self, text: str) -> str:
        return "".join(f": {part}\n" for part in text.split("\n"))


@fault("comment-empty")
class WritesNoColonForAnEmptyComment(Encoder):
    def comment(self, text: str) -> str:
        return super().comment(text) if text else "data\n\n"


@fault("crlf")
class TakesCrlfForTwoEnds(Encoder):
    def parts(self, data: Any) -> list[str]:
        return re.split("[\r\n]", data)


@fault("all-fields")
class WritesDataFirstAndEndsIt(Encoder):
    def event(self, event: Mapping[str, Any]) -> str:
        if event.get("event") and event.get("id"):
            return super().event({**event, "event": None, "id": None}) + super().event({**event, "data": None})
        return super().event(event)


# ---- Correct, but unusual --------------------------------------------------------------------------------------------


class Crlf(Encoder):
    end = "\r\n"


class Cr(Encoder):
    end = "\r"


class SpaceOnlyWhereNeeded(Encoder):
    def line(self, name: str, value: str) -> str:
        return f"{name}:{' ' if value[:1] == ' ' else ''}{value}{self.end}"


class CommentsAnywhere(Encoder):
    def line(self, name: str, value: str) -> str:
        return f": a comment{self.end}{super().line(name, value)}:{self.end}"


class BlankLinesFirst(Encoder):
    def event(self, event: Mapping[str, Any]) -> str:
        return f"\n\n{super().event(event)}\n"


class DataFirst(Encoder):
    def event(self, event: Mapping[str, Any]) -> str:
        written = super().event(event)
        lines = written.split("\n")
        if len(lines) == 4 and lines[1].startswith("data:") and not lines[0].startswith("data:"):
            return f"{lines[1]}\n{lines[0]}\n\n"
        return written


class NamesEveryType(Encoder):
    def event(self, event: Mapping[str, Any]) -> str:
        if "comment" in event or event["data"] is None or event["event"]:
            return super().event(event)
        return super().event({**event, "event": "message"})


class ReplacesSurrogates(Encoder):
    def bytes(self, text: str) -> bytes:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


UNUSUAL: dict[str, type[Encoder]] = {
    kind.__name__: kind
    for kind in (
        Encoder,
        Crlf,
        Cr,
        SpaceOnlyWhereNeeded,
        CommentsAnywhere,
        BlankLinesFirst,
        DataFirst,
        NamesEveryType,
        ReplacesSurrogates,
    )
}
