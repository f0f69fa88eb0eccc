"""Decoders with one fault each, around a decoder that goes through the stream character by character.

It is written another way than the package's codec, and answers the judge's requests in this process.
"""

from __future__ import annotations

import contextlib
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Reply = dict[str, Any]


class Decoder:
    """A correct decoder. A fault overrides one of its steps."""

    bom = "\ufeff"
    line_ends = "\n"  # besides CR and CRLF
    lone_cr = True

    def __init__(self) -> None:
        self.bytes = b""
        self.letters: list[str] = []  # of the line that has begun
        self.after_cr = False
        self.at_start = True
        self.data: list[str] = []
        self.kind = ""
        self.id = self.last_id = ""
        self.retry: Any = None
        self.events: list[dict[str, Any]] = []
        self.fields: set[str] = set()
        self.chunk = 0

    def decode(self, chunks: Sequence[bytes]) -> Reply:
        for self.chunk, chunk in enumerate(chunks):
            self.feed(chunk)
        self.end()
        return {"events": self.events, "retry": self.retry, "last_event_id": self.last_id}

    def feed(self, chunk: bytes) -> None:
        for character in self.characters(chunk):
            self.take(character)

    def characters(self, chunk: bytes) -> str:
        """Decode what is whole; keep a sequence that may still become whole."""
        self.bytes += chunk
        whole = len(self.bytes)
        for back in range(1, min(3, whole) + 1):
            lead = self.bytes[-back]
            if lead >= 0xC0:
                need = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
                if need > back and self._may_continue(self.bytes[-back:]):
                    whole -= back
                break
            if lead < 0x80:
                break
        text, self.bytes = self.text(self.bytes[:whole]), self.bytes[whole:]
        return text

    @staticmethod
    def _may_continue(part: bytes) -> bool:
        try:
            part.decode()
        except UnicodeDecodeError as error:
            return error.reason == "unexpected end of data" and error.start == 0
        return False

    def text(self, data: bytes) -> str:
        return data.decode("utf-8", "replace")

    def take(self, character: str) -> None:
        if self.at_start:
            self.at_start = False
            if character == self.bom:
                return
        if character == "\n" and self.after_cr:
            self.after_cr = False
            return
        self.after_cr = False
        if character == "\r" and self.lone_cr:
            self.after_cr = True
            self.end_line()
        elif character in self.line_ends:
            self.end_line()
        else:
            self.letters.append(character)

    @property
    def line(self) -> str:
        return "".join(self.letters)

    def end_line(self) -> None:
        line = self.line
        self.letters = []
        self.interpret(line)

    def interpret(self, line: str) -> None:
        if not line:
            self.dispatch()
        elif line[0] != ":":
            self.split(line)

    def split(self, line: str) -> None:
        name, _colon, value = line.partition(":")
        self.field(self.name(name), self.value(value))

    def name(self, name: str) -> str:
        return name

    def value(self, value: str) -> str:
        return value[1:] if value[:1] == " " else value

    def field(self, name: str, value: str) -> None:
        if name in ("data", "event", "id", "retry"):
            self.fields.add(name)
            getattr(self, f"field_{name}")(value)

    def field_data(self, value: str) -> None:
        self.data.append(value)

    def field_event(self, value: str) -> None:
        self.kind = value

    def field_id(self, value: str) -> None:
        if "\0" not in value:
            self.id = value

    def field_retry(self, value: str) -> None:
        if re.fullmatch("[0-9]+", value):
            self.retry = int(value) if len(value) < 4000 else None

    def dispatch(self) -> None:
        self.commit()
        if self.due():
            self.emit(self.joined())
        self.clear()

    def commit(self) -> None:
        self.last_id = self.id

    def due(self) -> bool:
        return bool(self.data)

    def joined(self) -> str:
        return "\n".join(self.data)

    def emit(self, data: str) -> None:
        self.events.append({"event": self.kind or "message", "data": data, "id": self.last_id, "chunk": self.chunk})

    def clear(self) -> None:
        self.data = []
        self.kind = ""
        self.fields = set()

    def end(self) -> None: ...


class Program:
    """Answers requests as a program under test would, without a process."""

    stderr = ""
    default_retry: Any = None

    def warm_up(self, probe: Mapping[str, Any]) -> None:
        """There is no process to start."""

    def __init__(self, make: Callable[[], Decoder], alter: Callable[[Reply], Reply] = lambda reply: reply) -> None:
        self.make = make
        self.alter = alter

    def ask(self, requests: Sequence[Mapping[str, Any]], timeout: float | None = None) -> list[Reply]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Mapping[str, Any]) -> Reply:
        decoder = self.make()
        if isinstance(decoder, Sharing):
            decoder.beside = [bytes.fromhex(chunk) for chunk in request.get("beside", [])]
        try:
            reply = decoder.decode([bytes.fromhex(chunk) for chunk in request["chunks"]])
        except Exception as error:
            return {"id": request["id"], "error": repr(error)}
        # Through JSON, as over a pipe; a lone surrogate survives it.
        return {"id": request["id"], **json.loads(json.dumps(self.alter(reply)))}


# ---- Faults ----------------------------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[type[Decoder], str]] = {}
"""The faulty decoders by name, each with the vector that is made for it."""


def fault(vector: str) -> Callable[[type[Decoder]], type[Decoder]]:
    def register(decoder: type[Decoder]) -> type[Decoder]:
        FAULTS[decoder.__name__] = (decoder, vector)
        return decoder

    return register


@fault("field/two-spaces-keeps-one")
class StripsAllSpaces(Decoder):
    def value(self, value: str) -> str:
        return value.lstrip(" ")


@fault("framing/single-event")
class KeepsTheSpace(Decoder):
    def value(self, value: str) -> str:
        return value


@fault("field/trailing-spaces-kept")
class TrimsValues(Decoder):
    def value(self, value: str) -> str:
        return value.strip()


@fault("field/tab-after-colon-kept")
class StripsATab(Decoder):
    def value(self, value: str) -> str:
        return value[1:] if value[:1] in (" ", "\t") else value


@fault("field/nbsp-after-colon-kept")
class StripsOneUnicodeSpace(Decoder):
    def value(self, value: str) -> str:
        return value[1:] if value[:1].isspace() else value


@fault("field/no-space-after-colon")
class RequiresTheSpace(Decoder):
    def split(self, line: str) -> None:
        if ": " in line or ":" not in line:
            super().split(line)


@fault("field/colon-in-value")
class SplitsAtTheLastColon(Decoder):
    def split(self, line: str) -> None:
        name, _, value = line.rpartition(":") if ":" in line else (line, "", "")
        self.field(name, self.value(value))


@fault("field/colon-in-value")
class DropsAfterASecondColon(Decoder):
    def split(self, line: str) -> None:
        parts = line.split(":")
        self.field(parts[0], self.value(parts[1] if len(parts) > 1 else ""))


@fault("field/value-is-colon")
class StripsColons(Decoder):
    def value(self, value: str) -> str:
        return super().value(value.lstrip(":"))


@fault("data/empty-no-colon")
class IgnoresBareFields(Decoder):
    def split(self, line: str) -> None:
        if ":" in line:
            super().split(line)


@fault("field/name-case-sensitive")
class IgnoresCase(Decoder):
    def name(self, name: str) -> str:
        return name.lower()


@fault("field/event-name-case-sensitive")
class IgnoresCaseOfEvent(Decoder):
    def name(self, name: str) -> str:
        return name.lower() if name.lower() == "event" else name


@fault("field/id-name-case-sensitive")
class IgnoresCaseOfId(Decoder):
    def name(self, name: str) -> str:
        return name.lower() if name.lower() == "id" else name


@fault("field/space-before-field-name")
class TrimsNames(Decoder):
    def name(self, name: str) -> str:
        return name.strip()


@fault("field/space-before-colon")
class TrimsNamesAtTheEnd(Decoder):
    def name(self, name: str) -> str:
        return name.rstrip()


@fault("field/prefix-of-known-name")
class MatchesPrefixes(Decoder):
    def name(self, name: str) -> str:
        return next((known for known in ("data", "event", "id", "retry") if name.startswith(known)), name)


@fault("field/data-glued-to-json")
class FindsDataAnywhere(Decoder):
    def split(self, line: str) -> None:
        if line.startswith("data"):
            self.field_data(line[4:].removeprefix(":").removeprefix(" "))
        else:
            super().split(line)


@fault("field/nul-in-field-name")
class ReadsNamesAsCStrings(Decoder):
    def name(self, name: str) -> str:
        return name.strip("\0")


@fault("data/nul-kept")
class ReadsValuesAsCStrings(Decoder):
    def value(self, value: str) -> str:
        return super().value(value).partition("\0")[0]


@fault("field/no-continuation-lines")
class JoinsContinuationLines(Decoder):
    def interpret(self, line: str) -> None:
        if line[:1] == " " and self.data:
            self.data[-1] += line
        else:
            super().interpret(line)


@fault("field/line-of-one-space")
class TakesBlanksForBlankLines(Decoder):
    def interpret(self, line: str) -> None:
        super().interpret(line.strip(" \t\0") and line)


@fault("field/unknown-field-ignored")
class RefusesUnknownFields(Decoder):
    def field(self, name: str, value: str) -> None:
        if name not in ("data", "event", "id", "retry", ""):
            raise ValueError(f"unknown field {name}")
        super().field(name, value)


@fault("field/unknown-field-no-colon")
class RefusesLinesWithoutColon(Decoder):
    def split(self, line: str) -> None:
        if ":" not in line and line not in ("data", "event", "id", "retry"):
            raise ValueError(line)
        super().split(line)


@fault("field/proto-field-names")
class SetsUnknownFieldsAsAttributes(Decoder):
    def field(self, name: str, value: str) -> None:
        if name in ("constructor", "__proto__"):
            self.data.clear()
            self.kind = "broken"
        super().field(name, value)


@fault("field/raw-json-line-no-prefix")
class TakesBareJsonForData(Decoder):
    def split(self, line: str) -> None:
        if line[0] == "{":
            self.field_data(line)
        else:
            super().split(line)


@fault("field/html-error-body")
class RaisesOnHtml(Decoder):
    def split(self, line: str) -> None:
        if line[0] == "<":
            raise ValueError("HTML")
        super().split(line)


@fault("field/long-unknown-field-name")
class LimitsNames(Decoder):
    def name(self, name: str) -> str:
        if len(name) > 50_000:
            raise ValueError("name too long")
        return name


@fault("eol/crlf")
class KnowsLfOnly(Decoder):
    lone_cr = False


@fault("eol/cr")
class KnowsNoLoneCr(Decoder):
    lone_cr = False

    def end_line(self) -> None:
        self.letters = list(self.line.removesuffix("\r"))
        super().end_line()


@fault("eol/lf")
class KnowsNoLf(Decoder):
    line_ends = ""


@fault("chunks/crlf-pair-mid-event")
class ForgetsCrBetweenChunks(Decoder):
    def feed(self, chunk: bytes) -> None:
        self.after_cr = False
        super().feed(chunk)


@fault("chunks/cr-empty-chunk-lf")
class ForgetsCrAtAnEmptyChunk(Decoder):
    def feed(self, chunk: bytes) -> None:
        if not chunk:
            self.after_cr = False
        super().feed(chunk)


@fault("prompt/crlf-minus-lf")
class HoldsACrBack(Decoder):
    """Waits for the character after a CR."""

    held = False

    def take(self, character: str) -> None:
        if self.held:
            self.held = False
            super().take("\r")
        if character == "\r":
            self.held = True
        else:
            super().take(character)

    def end(self) -> None:
        if self.held:
            super().take("\r")


@fault("eol/cr-final-blank-at-eof")
class LosesACrAtTheEnd(HoldsACrBack):
    def end(self) -> None: ...


@fault("eol/lf-cr-is-two-ends")
class TakesLfCrForOneEnd(Decoder):
    after_lf = False

    def take(self, character: str) -> None:
        if character == "\r" and self.after_lf:
            self.after_lf = False
            return
        self.after_lf = character == "\n"
        super().take(character)


@fault("eol/field-lf-blank-crlf")
class MergesRunsOfLineEnds(Decoder):
    """Ends a block at the regular expressions of a tutorial."""

    def decode(self, chunks: Sequence[bytes]) -> Reply:
        text = self.text(b"".join(chunks)).removeprefix("\ufeff")
        blocks = re.split(r"\r\n\r\n|\n\n|\r\r", text)
        for block in blocks[:-1]:
            for line in re.split(r"\r\n|\n|\r", block):
                if line:
                    self.interpret(line)
            self.dispatch()
        return {"events": self.events, "retry": self.retry, "last_event_id": self.last_id}


@fault("framing/extra-blank-lines-between")
class TakesThreeLineFeedsForABlankLine(Decoder):
    blanks = 0

    def interpret(self, line: str) -> None:
        self.blanks = 0 if line else self.blanks + 1
        if self.blanks == 2:
            self.emit("")
        super().interpret(line)


@fault("not-eol/ls")
class SplitsLinesAtUnicode(Decoder):
    line_ends = "\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"


@fault("not-eol/json-ls")
class SplitsLinesAtLineSeparators(Decoder):
    line_ends = "\n\u2028\u2029"


@fault("not-eol/vt")
class SplitsLinesAtVtAndFf(Decoder):
    line_ends = "\n\v\f"


@fault("not-eol/nel")
class SplitsLinesAtNel(Decoder):
    line_ends = "\n\x85"


@fault("not-eol/trailing-control-kept")
class StripsControlsAtTheEnd(Decoder):
    def value(self, value: str) -> str:
        return super().value(value).rstrip("\v\f\x1c\x1d\x1e\x85\u2028\u2029")


@fault("not-eol/leading-ls-kept")
class StripsSeparatorsAtTheStart(Decoder):
    def value(self, value: str) -> str:
        return super().value(value).lstrip("\u2028\u2029")


@fault("not-eol/del-and-c1-kept")
class DropsControlCharacters(Decoder):
    def value(self, value: str) -> str:
        return re.sub(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]", "", super().value(value))


@fault("eof/no-final-newline")
class EmitsAtTheEnd(Decoder):
    def end(self) -> None:
        if self.line:
            self.end_line()
        self.dispatch()


@fault("eof/one-newline-only")
class EmitsWholeLinesAtTheEnd(Decoder):
    def end(self) -> None:
        self.dispatch()


@fault("eof/only-partial-line")
class ReadsTheLastLineAtTheEnd(Decoder):
    def end(self) -> None:
        if self.line:
            self.end_line()
            if self.data:
                self.dispatch()


@fault("eof/partial-utf8")
class RaisesOnAHalfCharacterAtTheEnd(Decoder):
    def end(self) -> None:
        self.bytes.decode()


@fault("eof/partial-comment")
class RefusesAnUnfinishedLine(Decoder):
    def end(self) -> None:
        if self.line:
            raise ValueError("the last line is not complete")


@fault("eof/event-without-data")
class EmitsPendingTypesAtTheEnd(Decoder):
    def end(self) -> None:
        if self.kind:
            self.emit("")


@fault("eof/retry-line-unterminated")
class ReadsAnUnfinishedRetryLine(Decoder):
    def end(self) -> None:
        if self.line.startswith("retry"):
            self.end_line()


@fault("event/only-block-not-dispatched")
class DispatchesAnyField(Decoder):
    def due(self) -> bool:
        return bool(self.fields)


@fault("framing/blank-lines-only")
class DispatchesEveryBlankLine(Decoder):
    def due(self) -> bool:
        return True


@fault("id/only-block-dispatches-nothing")
class DispatchesBlocksWithAnId(Decoder):
    def due(self) -> bool:
        return bool(self.data) or "id" in self.fields


@fault("retry/only-block-no-event")
class DispatchesBlocksWithRetry(Decoder):
    def due(self) -> bool:
        return bool(self.data) or "retry" in self.fields


@fault("comment/keepalive-after-id")
class TakesARememberedIdForContent(Decoder):
    def due(self) -> bool:
        return bool(self.data or self.id or self.kind)


@fault("comment/only")
class DispatchesComments(Decoder):
    def interpret(self, line: str) -> None:
        if line[:1] == ":":
            self.fields.add("comment")
        super().interpret(line)

    def due(self) -> bool:
        return bool(self.data) or "comment" in self.fields


@fault("data/empty-colon")
class DropsEmptyData(Decoder):
    def due(self) -> bool:
        return any(self.data)


@fault("data/leading-empty-line")
class DropsEmptyDataLines(Decoder):
    def field_data(self, value: str) -> None:
        if value or not self.data:
            self.data = [*filter(None, self.data), value]


@fault("data/space-only-value")
class DropsWhiteData(Decoder):
    def due(self) -> bool:
        return bool(self.data) and (not "".join(self.data) or bool("".join(self.data).strip()))


@fault("framing/multi-line-data")
class JoinsWithoutLf(Decoder):
    def joined(self) -> str:
        return "".join(self.data)


@fault("data/multi-line-json")
class JoinsWithASpace(Decoder):
    def joined(self) -> str:
        return " ".join(self.data)


@fault("framing/multi-line-data")
class KeepsTheLastDataLine(Decoder):
    def joined(self) -> str:
        return self.data[-1]


@fault("framing/multi-line-data")
class DispatchesEachDataLine(Decoder):
    def field_data(self, value: str) -> None:
        self.data = [value]
        self.dispatch()


@fault("data/only-one-trailing-lf-removed")
class StripsAllTrailingLf(Decoder):
    def joined(self) -> str:
        return super().joined().rstrip("\n")


@fault("data/trailing-empty-line")
class StripsOneLfTooMany(Decoder):
    def joined(self) -> str:
        return super().joined().removesuffix("\n")


@fault("framing/single-event")
class KeepsTheTrailingLf(Decoder):
    def joined(self) -> str:
        return super().joined() + "\n"


@fault("data/literal-backslash-n")
class ReadsEscapes(Decoder):
    def joined(self) -> str:
        return super().joined().replace("\\n", "\n")


@fault("data/interleaved-fields")
class EndsDataAtAnotherField(Decoder):
    def field(self, name: str, value: str) -> None:
        if name != "data" and self.data:
            self.data = self.data[:0]
        super().field(name, value)


@fault("comment/inside-event")
class EndsDataAtAComment(Decoder):
    def interpret(self, line: str) -> None:
        if line[:1] == ":":
            self.data = []
        super().interpret(line)


@fault("data/value-looks-like-field")
class ReadsFieldsInsideValues(Decoder):
    def field_data(self, value: str) -> None:
        super().field_data(value.removeprefix("data: "))


@fault("data/reset-between-events")
class NeverEmptiesTheData(Decoder):
    def clear(self) -> None:
        self.kind = ""
        self.fields = set()


@fault("data/thousand-lines")
class LimitsDataLines(Decoder):
    def field_data(self, value: str) -> None:
        if len(self.data) < 1000:
            super().field_data(value)


@fault("framing/hundred-events-in-one-chunk")
class LosesEventsOfABusyChunk(Decoder):
    count = 0

    def feed(self, chunk: bytes) -> None:
        self.count = 0
        super().feed(chunk)

    def emit(self, data: str) -> None:
        self.count += 1
        if self.count <= 50:
            super().emit(data)


@fault("event/not-sticky")
class KeepsTheType(Decoder):
    def clear(self) -> None:
        self.data = []


@fault("event/reset-by-empty")
class IgnoresAnEmptyType(Decoder):
    def field_event(self, value: str) -> None:
        self.kind = value or self.kind


@fault("event/last-wins")
class KeepsTheFirstType(Decoder):
    def field_event(self, value: str) -> None:
        self.kind = self.kind or value


@fault("event/empty-is-message")
class TellsAnEmptyType(Decoder):
    def emit(self, data: str) -> None:
        kind = self.kind if "event" in self.fields else "message"
        self.events.append({"event": kind or " ", "data": data, "id": self.last_id, "chunk": self.chunk})


@fault("event/two-spaces-is-space")
class TrimsTypes(Decoder):
    def field_event(self, value: str) -> None:
        self.kind = value.strip()


@fault("event/dotted-name")
class LimitsTypesToWords(Decoder):
    def field_event(self, value: str) -> None:
        self.kind = re.sub(r"[^A-Za-z0-9 ]", "", value)


@fault("event/nul-kept")
class CutsTypesAtNul(Decoder):
    def field_event(self, value: str) -> None:
        self.kind = value.partition("\0")[0]


@fault("event/default-message")
class HasNoDefaultType(Decoder):
    def emit(self, data: str) -> None:
        self.events.append({"event": self.kind or "data", "data": data, "id": self.last_id, "chunk": self.chunk})


@fault("event/explicit-message")
class PassesOverNamedMessages(Decoder):
    def due(self) -> bool:
        return bool(self.data) and self.kind != "message"


@fault("framing/fields-any-order")
class NeedsTheTypeFirst(Decoder):
    def field_event(self, value: str) -> None:
        if not self.fields - {"event"}:
            self.kind = value

    def field_id(self, value: str) -> None:
        if "data" not in self.fields:
            super().field_id(value)


@fault("framing/fields-any-order")
class NeedsDataLast(NeedsTheTypeFirst):
    def field_retry(self, value: str) -> None:
        if "data" not in self.fields:
            super().field_retry(value)


@fault("id/persists")
class ForgetsTheId(Decoder):
    def clear(self) -> None:
        super().clear()
        self.id = ""


@fault("id/basic")
class TellsNoId(Decoder):
    def emit(self, data: str) -> None:
        self.events.append({"event": self.kind or "message", "data": data, "id": "", "chunk": self.chunk})


@fault("id/reset-by-empty-colon")
class NeverResetsTheId(Decoder):
    def field_id(self, value: str) -> None:
        if value:
            super().field_id(value)


@fault("id/reset-by-no-colon")
class ResetsTheIdOnlyWithColon(Decoder):
    def split(self, line: str) -> None:
        if line != "id":
            super().split(line)


@fault("id/nul-ignored")
class TakesNulInIds(Decoder):
    def field_id(self, value: str) -> None:
        self.id = value


@fault("id/nul-keeps-previous")
class ClearsTheIdAtNul(Decoder):
    def field_id(self, value: str) -> None:
        self.id = "" if "\0" in value else value


@fault("id/not-committed-before-blank-line")
class CommitsIdsAtOnce(Decoder):
    def field_id(self, value: str) -> None:
        super().field_id(value)
        self.last_id = self.id


@fault("id/only-block-sets-last-id")
class CommitsIdsWithDataOnly(Decoder):
    def commit(self) -> None:
        if self.data:
            self.last_id = self.id
        else:
            self.id = self.last_id


@fault("id/with-spaces")
class TrimsIds(Decoder):
    def field_id(self, value: str) -> None:
        super().field_id(value.strip())


@fault("id/zero")
class TakesZeroForNoId(Decoder):
    def field_id(self, value: str) -> None:
        super().field_id("" if value == "0" else value)


@fault("id/basic")
class ReadsIdsAsNumbers(Decoder):
    def field_id(self, value: str) -> None:
        super().field_id(value if value.isascii() and value.isdigit() else "")


@fault("id/last-wins")
class KeepsTheFirstId(Decoder):
    def field_id(self, value: str) -> None:
        if "id" not in self.fields or not self.id:
            super().field_id(value)

    def field(self, name: str, value: str) -> None:
        if name == "id" and "id" in self.fields:
            return
        super().field(name, value)


@fault("id/very-long")
class LimitsIds(Decoder):
    def field_id(self, value: str) -> None:
        super().field_id(value[:65536])


@fault("id/with-colon")
class CutsIdsAtAColon(Decoder):
    def field_id(self, value: str) -> None:
        super().field_id(value.partition(":")[0])


@fault("id/after-data")
class NeedsTheIdBeforeTheData(Decoder):
    def field_id(self, value: str) -> None:
        if not self.data:
            super().field_id(value)


@fault("id/seen-then-extra-blank-lines")
class ForgetsTheIdAtABlankBlock(Decoder):
    def dispatch(self) -> None:
        if not self.fields:
            self.id = ""
        super().dispatch()


@fault("retry/basic")
class IgnoresRetry(Decoder):
    def field_retry(self, value: str) -> None: ...


class _LenientRetry(Decoder):
    def parse(self, value: str) -> int:
        return int(value)

    def field_retry(self, value: str) -> None:
        with contextlib.suppress(ValueError, OverflowError):
            self.retry = self.parse(value)


@fault("retry/negative-ignored")
class ReadsRetryLeniently(_LenientRetry): ...


@fault("retry/bogus-suffix-ignored")
class ReadsDigitsAtTheStart(_LenientRetry):
    def parse(self, value: str) -> int:
        found = re.match(r"\s*([+-]?[0-9]+)", value)
        return int(found[1]) if found else int("x")


@fault("retry/decimal-ignored")
class ReadsRetryAsANumber(_LenientRetry):
    def parse(self, value: str) -> int:
        return int(float(value))


@fault("retry/hex-ignored")
class ReadsHexadecimal(_LenientRetry):
    def parse(self, value: str) -> int:
        return int(value, 16 if value.startswith("0x") else 10)


@fault("retry/leading-zero-is-decimal")
class ReadsOctal(_LenientRetry):
    def parse(self, value: str) -> int:
        return int(value, 8) if value.startswith("0") and value.isdigit() and value != "0" else int(value)


@fault("retry/superscript-ignored")
class TrustsIsdigit(Decoder):
    def field_retry(self, value: str) -> None:
        if value.isdigit():
            self.retry = int(value)


@fault("retry/bogus-suffix-ignored")
class RaisesOnABadRetry(Decoder):
    def field_retry(self, value: str) -> None:
        self.retry = int(value)


@fault("retry/without-blank-line")
class SetsRetryAtDispatch(Decoder):
    waiting: Any = None

    def field_retry(self, value: str) -> None:
        before = self.retry
        super().field_retry(value)
        self.waiting, self.retry = self.retry, before

    def dispatch(self) -> None:
        self.retry = self.waiting
        super().dispatch()


@fault("retry/above-int32")
class WrapsRetryTo32Bits(Decoder):
    def field_retry(self, value: str) -> None:
        super().field_retry(value)
        if self.retry is not None:
            self.retry = (self.retry + 2**31) % 2**32 - 2**31


@fault("retry/huge")
class RaisesOnAHugeRetry(Decoder):
    def field_retry(self, value: str) -> None:
        super().field_retry(value)
        (self.retry or 0).to_bytes(8, "big")


@fault("retry/4301-digits")
class RaisesOnManyDigits(Decoder):
    def field_retry(self, value: str) -> None:
        if len(value) > 4300:
            raise ValueError("too many digits")
        super().field_retry(value)


@fault("retry/zero")
class TakesZeroForNoRetry(Decoder):
    def field_retry(self, value: str) -> None:
        super().field_retry(value if value.strip("0") else "x")


@fault("retry/last-valid-wins")
class KeepsTheFirstRetry(Decoder):
    def field_retry(self, value: str) -> None:
        if self.retry is None:
            super().field_retry(value)


@fault("retry/two-spaces-ignored")
class TrimsRetry(Decoder):
    def field_retry(self, value: str) -> None:
        super().field_retry(value.strip())


@fault("bom/stripped")
class KeepsTheBom(Decoder):
    bom = ""


@fault("bom/mid-stream-kept-in-name")
class StripsTheBomOfEachEvent(Decoder):
    def clear(self) -> None:
        super().clear()
        self.at_start = True


@fault("bom/inside-value-kept")
class StripsEveryBom(Decoder):
    def take(self, character: str) -> None:
        if character != "\ufeff":
            super().take(character)


@fault("bom/double-second-kept")
class StripsAllBomsAtTheStart(Decoder):
    def take(self, character: str) -> None:
        self.at_start = self.at_start or (character == "\ufeff" and not self.letters and not self.events)
        super().take(character)


@fault("bom/stripped")
class StripsTheBomOnlyIfWhole(Decoder):
    def feed(self, chunk: bytes) -> None:
        if self.at_start and chunk:
            self.bom = "\ufeff" if chunk.startswith(b"\xef\xbb\xbf") else ""
        super().feed(chunk)


@fault("bom/partial-1-byte")
class LosesTheFirstLineAfterABadBom(Decoder):
    def feed(self, chunk: bytes) -> None:
        if self.at_start and chunk[:1] == b"\xef" and chunk[:3] != b"\xef\xbb\xbf" and len(chunk) > 3:
            raise UnicodeError("bad byte order mark")
        super().feed(chunk)


@fault("bom/utf16le-not-recognised")
class RecognisesUtf16(Decoder):
    def decode(self, chunks: Sequence[bytes]) -> Reply:
        whole = b"".join(chunks)
        return super().decode([whole.decode("utf-16").encode()] if whole[:2] == b"\xff\xfe" else chunks)


@fault("bom/only-stream")
class RefusesAStreamOfABom(Decoder):
    def decode(self, chunks: Sequence[bytes]) -> Reply:
        if b"".join(chunks) in (b"\xef\xbb\xbf", b""):
            raise ValueError("no stream")
        return super().decode(chunks)


@fault("chunks/3-byte-utf8")
class DecodesEachChunk(Decoder):
    def characters(self, chunk: bytes) -> str:
        return self.text(chunk)


@fault("chunks/4-byte-utf8")
class KeepsTwoBytesAtMost(Decoder):
    def characters(self, chunk: bytes) -> str:
        if len(self.bytes) > 2:
            self.bytes = b"?"
        return super().characters(chunk)


@fault("utf8/invalid-lone-continuation")
class DecodesStrictly(Decoder):
    def text(self, data: bytes) -> str:
        return data.decode()


@fault("utf8/invalid-ff")
class DropsInvalidBytes(Decoder):
    def text(self, data: bytes) -> str:
        return data.decode("utf-8", "ignore")


@fault("utf8/overlong-slash")
class ReplacesRunsByOne(Decoder):
    def text(self, data: bytes) -> str:
        return re.sub("\ufffd+", "\ufffd", super().text(data))


@fault("utf8/latin1-bytes-not-latin1")
class FallsBackToLatin1(Decoder):
    def text(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data.decode("latin-1")


@fault("chunks/2-byte-utf8")
class DecodesLatin1(Decoder):
    def characters(self, chunk: bytes) -> str:
        return chunk.decode("latin-1")


@fault("utf8/encoded-surrogate")
class PassesSurrogates(Decoder):
    def text(self, data: bytes) -> str:
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return data.decode("utf-8", "replace")


@fault("utf8/truncated-before-lf")
class EatsTheByteAfterABadSequence(Decoder):
    def text(self, data: bytes) -> str:
        return re.sub("\ufffd\n", "\ufffd", super().text(data))


@fault("utf8/overlong-lf-not-a-line-end")
class DecodesOverlongForms(Decoder):
    def text(self, data: bytes) -> str:
        return super().text(data.replace(b"\xc0\x8a", b"\n").replace(b"\xc0\xaf", b"/"))


@fault("utf8/combining-not-normalised")
class NormalisesText(Decoder):
    def joined(self) -> str:
        return unicodedata.normalize("NFC", super().joined())


@fault("utf8/noncharacter-kept")
class DropsNoncharacters(Decoder):
    def joined(self) -> str:
        return re.sub("[\ufdd0-\ufdef\ufffe\uffff]", "", super().joined())


@fault("utf8/max-code-point")
class KnowsTheBasicPlaneOnly(Decoder):
    def joined(self) -> str:
        return re.sub("[\U00010000-\U0010ffff]", "\ufffd", super().joined())


@fault("comment/looks-like-field")
class ReadsComments(Decoder):
    def interpret(self, line: str) -> None:
        super().interpret(line.lstrip(": ") if line[:1] == ":" else line)


@fault("comment/bare-colon")
class NeedsTextInAComment(Decoder):
    def interpret(self, line: str) -> None:
        if line == ":":
            raise ValueError("empty field name")
        super().interpret(line)


@fault("comment/does-not-clear-event-type")
class ClearsTheTypeAtAComment(Decoder):
    def interpret(self, line: str) -> None:
        if line[:1] == ":":
            self.kind = ""
        super().interpret(line)


@fault("comment/single-newline-keepalive")
class PassesOverTheLineAfterAComment(Decoder):
    commented = False

    def interpret(self, line: str) -> None:
        if not self.commented:
            super().interpret(line)
        self.commented = line[:1] == ":"


@fault("comment/long")
class LimitsComments(Decoder):
    def interpret(self, line: str) -> None:
        if line[:1] == ":" and len(line) > 2000:
            raise ValueError("comment too long")
        super().interpret(line)


@fault("comment/nul")
class RefusesNul(Decoder):
    def interpret(self, line: str) -> None:
        if "\0" in line:
            raise ValueError("NUL")
        super().interpret(line)


@fault("comment/double-colon")
class RefusesTwoColons(Decoder):
    def interpret(self, line: str) -> None:
        if line[:2] == "::":
            raise ValueError(line)
        super().interpret(line)


@fault("llm/done-then-more")
class StopsAtDone(Decoder):
    done = False

    def emit(self, data: str) -> None:
        if not self.done:
            super().emit(data)
        self.done = self.done or data == "[DONE]"


@fault("llm/done-normal")
class SwallowsDone(Decoder):
    def emit(self, data: str) -> None:
        if not data.startswith("[DONE]"):
            super().emit(data)


@fault("llm/done-trailing-space")
class TrimsDone(Decoder):
    def emit(self, data: str) -> None:
        super().emit("[DONE]" if data.strip().upper() == "[DONE]" else data)


@fault("llm/error-event-mid-stream")
class RaisesOnErrorEvents(Decoder):
    def emit(self, data: str) -> None:
        if self.kind == "error":
            raise RuntimeError(data)
        super().emit(data)


@fault("framing/single-event")
class DeliversJsonOnly(Decoder):
    def emit(self, data: str) -> None:
        try:
            json.loads(data)
        except ValueError:
            return
        super().emit(data)


@fault("llm/missing-blank-line-merges")
class DispatchesEachJsonLine(Decoder):
    def field_data(self, value: str) -> None:
        if self.data and self.data[-1][:1] == "{" and value[:1] == "{":
            self.dispatch()
        super().field_data(value)


@fault("llm/typed-events")
class PassesOverPings(Decoder):
    def emit(self, data: str) -> None:
        if self.kind != "ping":
            super().emit(data)


@fault("size/line-1mib-plus-1")
class LimitsLinesTo64KiB(Decoder):
    def feed(self, chunk: bytes) -> None:
        if len(chunk) > 65536 or len(self.letters) > 65536:
            raise OverflowError("line too long")
        super().feed(chunk)


@fault("size/line-1mib-never-lost-in-silence")
class CutsLongLinesInSilence(Decoder):
    def feed(self, chunk: bytes) -> None:
        if len(self.letters) > 20_000:
            chunk = chunk[chunk.find(b"\n") :] if b"\n" in chunk else b""
        super().feed(chunk)


@fault("size/event-of-20000-data-lines")
class LimitsLinesOfAnEvent(Decoder):
    def field_data(self, value: str) -> None:
        if len(self.data) >= 10_000:
            raise OverflowError("too many data lines")
        super().field_data(value)


@fault("size/lines-20000-never-lost-in-silence")
class DropsDataLinesInSilence(Decoder):
    def field_data(self, value: str) -> None:
        if len(self.data) < 10_000:
            super().field_data(value)


@fault("chunks/inside-value")
class TakesEachChunkForLines(Decoder):
    def feed(self, chunk: bytes) -> None:
        super().feed(chunk)
        if self.line:
            self.end_line()


@fault("chunks/shared-chunk")
class TakesOneEventFromEachChunk(Decoder):
    def feed(self, chunk: bytes) -> None:
        had = len(self.events)
        super().feed(chunk)
        del self.events[had + 1 :]


@fault("chunks/empty-chunks")
class TakesAnEmptyChunkForTheEnd(Decoder):
    def decode(self, chunks: Sequence[bytes]) -> Reply:
        end = next((at for at, chunk in enumerate(chunks) if not chunk), len(chunks))
        return super().decode(chunks[:end])


@fault("prompt/lf")
class EmitsWithTheNextChunk(Decoder):
    def feed(self, chunk: bytes) -> None:
        for event in self.events:
            event.setdefault("told", self.chunk)
        super().feed(chunk)

    def end(self) -> None:
        for event in self.events:
            event["chunk"] = event.pop("told", self.chunk)


@fault("prompt/two-events-one-chunk")
class EmitsOneEventForEachChunk(Decoder):
    def end(self) -> None:
        for number, event in enumerate(self.events):
            event["chunk"] = max(event["chunk"], self.events[number - 1]["chunk"] + 1 if number else 0)


@fault("prompt/lf-in-next-chunk")
class EmitsAtTheNextLine(Decoder):
    """Gives an event out only when the line after its blank line begins."""

    def take(self, character: str) -> None:
        for event in self.events:
            if event["chunk"] < self.chunk:
                event.setdefault("told", self.chunk)
        super().take(character)

    def end(self) -> None:
        for event in self.events:
            event["chunk"] = event.pop("told", event["chunk"] + 1)


# ---- Blocks, marks, NULs, a second stream ----------------------------------------------------------------------------


class InBlocks(Decoder):
    """Takes each chunk in blocks of ``size`` bytes. It is quick, and right but for what a fault does to a block."""

    size = 0

    def feed(self, chunk: bytes) -> None:
        for at in range(0, len(chunk), self.size):
            self.take_block(self.decoded(chunk[at : at + self.size]))

    def decoded(self, block: bytes) -> str:
        return self.characters(block)

    def take_block(self, text: str) -> None:
        if self.after_cr and text[:1] == "\n":
            text = text[1:]
        self.after_cr = text.endswith("\r") or (self.after_cr and not text)
        *lines, rest = re.split("\r\n|\r|\n", text)
        for line in lines:
            self.interpret("".join([*self.open, line]))
            self.open = []
        self.open.append(rest)

    @property
    def open(self) -> list[str]:
        """The line whose end has not come, in pieces."""
        return self.__dict__.setdefault("_open", [])

    @open.setter
    def open(self, pieces: list[str]) -> None:
        self.__dict__["_open"] = pieces


class DecodesEachBlock(InBlocks):
    def decoded(self, block: bytes) -> str:
        return block.decode("utf-8", "replace")


class ForgetsTheCrOfABlock(InBlocks):
    def take_block(self, text: str) -> None:
        self.after_cr = False
        super().take_block(text)


class LosesTheRestOfABlock(InBlocks):
    def take_block(self, text: str) -> None:
        super().take_block(text)
        if not text.endswith(("\n", "\r")):
            self.open = []


class EndsTheLineOfABlock(InBlocks):
    def take_block(self, text: str) -> None:
        super().take_block(text)
        if line := "".join(self.open):
            self.interpret(line)
            self.open = []


def _in_blocks(kind: type[InBlocks], size: int, vector: str) -> None:
    fault(f"align/{vector}")(type(f"{kind.__name__}Of{size}", (kind,), {"size": size}))


for _size in (16, 100, 1000, 1024, 4096, 65536, 131_072):
    _in_blocks(DecodesEachBlock, _size, "characters-of-three-bytes")
for _size in (16, 1000, 131_072):
    _in_blocks(type("DecodesEachBlockForTwo", (DecodesEachBlock,), {}), _size, "characters-of-two-bytes")
    _in_blocks(type("DecodesEachBlockForFour", (DecodesEachBlock,), {}), _size, "characters-of-four-bytes")
    _in_blocks(ForgetsTheCrOfABlock, _size, "crlf")
    _in_blocks(LosesTheRestOfABlock, _size, "events-lf")
    _in_blocks(EndsTheLineOfABlock, _size, "events-crlf")
_in_blocks(type("LosesTheRestAfterACr", (LosesTheRestOfABlock,), {}), 4096, "events-cr")


class KeepsTheEndAfterTheMark(Decoder):
    """As Chromium: what follows the mark is never looked at as a line end."""

    end_kept = "\n"

    def decode(self, chunks: Sequence[bytes]) -> Reply:
        stream = b"".join(chunks)
        mark = b"\xef\xbb\xbf" + self.end_kept.encode()
        if stream.startswith(mark):
            chunks = [b"\xef\xbb\xbfx" + stream[len(mark) :]]
        return super().decode(chunks)


for _name, _ends in (("lf", "\n"), ("cr", "\r"), ("crlf", "\r\n")):
    fault(f"bom/then-one-{_name}")(
        type(f"Keeps{_name.title()}AfterTheMark", (KeepsTheEndAfterTheMark,), {"end_kept": _ends})
    )
    if _name != "lf":
        keeps = {"end_kept": 2 * _ends}
        fault(f"bom/then-two-{_name}s")(
            type(f"KeepsTwo{_name.title()}sAfterTheMark", (KeepsTheEndAfterTheMark,), keeps)
        )
    keeps = {"end_kept": "\ufeff" + _ends}
    fault(f"bom/twice-then-{_name}")(type(f"Keeps{_name.title()}AfterTwoMarks", (KeepsTheEndAfterTheMark,), keeps))


class DropsNulAt(Decoder):
    """Drops a NUL of one field at one place."""

    name_of = place = ""

    def at(self, text: str) -> str:
        if self.place == "start":
            return text.removeprefix("\0")
        return text.removesuffix("\0") if self.place == "end" else text[:1] + text[1:-1].replace("\0", "") + text[-1:]


class DropsNulOfValue(DropsNulAt):
    def field(self, name: str, value: str) -> None:
        super().field(name, self.at(value) if name == self.name_of else value)


class DropsNulOfName(DropsNulAt):
    first_too = False
    begun = False

    def name(self, name: str) -> str:
        begun, self.begun = self.begun, True
        return self.at(name) if (begun or self.first_too) and self.at(name) == self.name_of else name


class LosesTheEventOfAnIdWithNul(Decoder):
    """As Firefox: not only the id is ignored."""

    def field_id(self, value: str) -> None:
        self.spoilt = "\0" in value
        super().field_id(value)

    def due(self) -> bool:
        spoilt, self.spoilt = getattr(self, "spoilt", False), False
        return super().due() and not spoilt


for _place in ("start", "middle", "end"):
    for _field in ("data", "event", "id", "retry"):
        about = {"name_of": _field, "place": _place}
        label = f"{_field.title()}{_place.title()}"
        fault(f"nul/{_field}-{_place}")(type(f"DropsNulOfValue{label}", (DropsNulOfValue,), about))
        fault(f"nul/{_field}-name-{_place}")(type(f"DropsNulOfName{label}", (DropsNulOfName,), about))
    fault(f"nul/id-{_place}")(type(f"LosesTheEventOfAnIdWithNul{_place.title()}", (LosesTheEventOfAnIdWithNul,), {}))
about = {"name_of": "data", "place": "start", "first_too": True}
fault("nul/name-in-the-first-line")(type("DropsNulInTheFirstLine", (DropsNulOfName,), about))


@fault("nul/before-the-colon-of-a-comment")
class RefusesANameOfNul(Decoder):
    def split(self, line: str) -> None:
        if line.startswith("\0:"):
            raise ValueError("NUL")
        super().split(line)


@fault("nul/comment-middle")
class EndsCommentsAtNul(Decoder):
    def interpret(self, line: str) -> None:
        if line[:1] == ":" and "\0" in line:
            line = line.partition("\0")[2]
        super().interpret(line)


@fault("nul/line-between-events")
class TakesNulForABlankLine(Decoder):
    def interpret(self, line: str) -> None:
        super().interpret(line.strip("\0") and line)


class Sharing(Decoder):
    """Reads a second stream with the same ``shared`` parts of its state."""

    shared: tuple[str, ...] = ()
    beside: Sequence[bytes] = ()

    def feed(self, chunk: bytes) -> None:
        super().feed(chunk)
        if self.chunk < len(self.beside):
            other = self.other = getattr(self, "other", Decoder())
            for name in self.shared:
                setattr(other, name, getattr(self, name))
            other.feed(self.beside[self.chunk])
            for name in self.shared:
                setattr(self, name, getattr(other, name))


for _shared, _vector in (("line", "line"), ("bytes", "character"), ("id", "id-and-type"), ("kind", "id-and-type")):
    fault(f"beside/{_vector}")(type(f"Shares{_shared.title()}", (Sharing,), {"shared": (_shared,)}))


# ---- Correct, but unusual --------------------------------------------------------------------------------------------


def _minimal(reply: Reply) -> Reply:
    """Leaves out whatever may be left out."""
    events = []
    for event in reply["events"]:
        kept = {"data": event["data"]}
        if event["event"] != "message":
            kept["event"] = event["event"]
        if event["id"]:
            kept["id"] = event["id"]
        events.append(kept)
    return {**reply, "events": events}


def _nulls(reply: Reply) -> Reply:
    events = [
        {"data": e["data"], "event": None if e["event"] == "message" else e["event"], "id": e["id"] or None}
        for e in reply["events"]
    ]
    return {"events": events, "retry": reply["retry"], "last_event_id": reply["last_event_id"] or None}


def _extras(reply: Reply) -> Reply:
    return {**reply, "comments": ["x"], "events": [{**event, "raw": 1} for event in reply["events"]]}


class ClampsRetry(Decoder):
    def field_retry(self, value: str) -> None:
        if re.fullmatch("[0-9]+", value):
            self.retry = min(int(value[:30]), 2**31 - 1)


class IgnoresHugeRetry(Decoder):
    def field_retry(self, value: str) -> None:
        if len(value) < 10:
            super().field_retry(value)


class ResetsRetryWhenEmpty(Decoder):
    def field_retry(self, value: str) -> None:
        if value:
            super().field_retry(value)
        else:
            self.retry = None


UNUSUAL: dict[str, Program] = {
    "Plain": Program(Decoder),
    "LeavesOutWhatItMay": Program(Decoder, _minimal),
    "WritesNulls": Program(Decoder, _nulls),
    "AddsMembers": Program(Decoder, _extras),
    "ClampsRetry": Program(ClampsRetry),
    "IgnoresHugeRetry": Program(IgnoresHugeRetry),
    "ResetsRetryWhenEmpty": Program(ResetsRetryWhenEmpty),
}


# ---- Bugs that an attack on the corpus found unseen ------------------------------------------------------------------


@fault("event/reset-by-no-colon")
class IgnoresABareType(Decoder):
    def split(self, line: str) -> None:
        if line != "event":
            super().split(line)


@fault("event/case-of-message")
class ComparesTheTypeWithoutCase(Decoder):
    def field_event(self, value: str) -> None:
        self.kind = "" if value.lower() == "message" else value


@fault("event/very-long")
class CutsTypesAtAThousand(Decoder):
    def field_event(self, value: str) -> None:
        self.kind = value[:1024]


@fault("retry/smaller-later-wins")
class KeepsTheLongestRetry(Decoder):
    def field_retry(self, value: str) -> None:
        before = self.retry
        super().field_retry(value)
        self.retry = self.retry if before is None else max(before, self.retry)


@fault("retry/after-data")
class IgnoresRetryAfterData(Decoder):
    def field_retry(self, value: str) -> None:
        if not self.data:
            super().field_retry(value)


@fault("comment/does-not-clear-id")
class ForgetsTheIdAtAComment(Decoder):
    def interpret(self, line: str) -> None:
        if line.startswith(":"):
            self.id = self.last_id
        super().interpret(line)


@fault("field/after-a-hundred-unknown")
class LooksAtAHundredLines(Decoder):
    seen = 0

    def field(self, name: str, value: str) -> None:
        self.seen += 1
        if self.seen <= 100 or name == "data":
            super().field(name, value)


@fault("bom/after-an-empty-chunk")
class LooksForTheMarkInTheFirstChunkOnly(Decoder):
    def feed(self, chunk: bytes) -> None:
        super().feed(chunk)
        self.at_start = False


# ---- Bugs of one line: a value, a name or a line is read as something else -------------------------------------------


def reads(vector: str, step: str, change: Callable[[str], str]) -> None:
    """A decoder that reads something else where ``step`` takes text: a line, a name, a value, or the value of a field."""

    def changed(self: Decoder, text: str) -> Any:
        return getattr(super(made, self), step)(change(text))

    made = type(_name_for(vector), (Decoder,), {step: changed})
    fault(vector)(made)


def ignores(vector: str, step: str, when: Callable[[str], Any]) -> None:
    """A decoder that leaves out a step where the text is such."""

    def changed(self: Decoder, text: str) -> None:
        if not when(text):
            getattr(super(made, self), step)(text)

    made = type(_name_for(vector), (Decoder,), {step: changed})
    fault(vector)(made)


def _name_for(vector: str) -> str:
    name = "Fails" + vector.replace("/", "-").title().replace("-", "")
    return f"{name}{sum(known.startswith(name) for known in FAULTS) or ''}"


def _number(text: str) -> str:
    """What is left of a number that was read as one."""
    with contextlib.suppress(ValueError):
        return str(float(text)) if re.search("[.eE]", text) else str(int(text, 0 if text.startswith("0x") else 10))
    return text


NOTHING = {"0", "false", "null", "undefined", "None", "NaN"}
RETRY = "field_retry"

for _field in ("data", "event", "id"):
    reads(f"{_field}/words-of-languages", f"field_{_field}", lambda text: "" if text in NOTHING else text)
ignores("data/words-of-languages", "field_data", lambda text: text == "true")
reads("data/numbers-stay-text", "field_data", _number)
reads("id/numbers-stay-text", "field_id", _number)
reads("data/quotes-kept", "field_data", lambda text: text.strip("\"'`"))
reads("data/json-is-not-read", "field_data", lambda text: json.dumps(json.loads(text)) if text[:1] == "{" else text)
reads("data/escapes-kept", "field_data", lambda text: text.replace("%20", " "))
reads("data/trailing-tab-kept", "field_data", lambda text: text.rstrip("\t"))
ignores("data/looks-like-comment", "field_data", lambda text: text[:1] == "#")
ignores("data/names-of-fields", "interpret", lambda text: text.endswith("data: data"))
reads("data/every-ascii", "field_data", lambda text: text.replace("\x1b", ""))
reads("event/names-of-members", "field_event", lambda text: "" if text in ("__proto__", "constructor") else text)
reads("event/no-type-has-a-meaning", "field_event", lambda text: "" if text == "error" else text)
reads("event/trailing-blanks-kept", "field_event", str.rstrip)
reads("event/tab-after-colon-kept", "field_event", str.lstrip)
reads("event/punctuation-kept", "field_event", lambda text: text.partition(" ")[0])
reads("event/case-kept", "field_event", str.lower)
reads("event/same-as-data", "field_data", lambda text: "" if text == "a" else text)
ignores("id/smaller-later-wins", "field_id", lambda text: text == "3")
reads("id/trailing-tab-kept", "field_id", lambda text: text.rstrip("\t"))
reads("id/quotes-and-case-kept", "field_id", str.lower)
for _name in ("type", "name", "message", "text", "body", "lastEventId"):
    _known = {"type": "event", "name": "event", "lastEventId": "id"}.get(_name, "data")
    reads("field/names-that-are-none", "name", lambda name, of=_name, to=_known: to if name == of else name)  # type: ignore[misc]
reads("field/retry-name-case-sensitive", "name", lambda name: name.lower() if name.lower() == "retry" else name)
reads("field/tab-before-colon", "name", lambda name: name.rstrip("\t"))
reads("field/quoted-name", "name", lambda name: name.strip("\"'"))
reads("field/equals-sign-parts-nothing", "interpret", lambda line: re.sub("^(data)[=;]", r"\1:", line))
reads("field/other-colons-part-nothing", "interpret", lambda line: line.replace("\uff1a", ":"))
reads("field/names-in-other-scripts", "name", lambda name: unicodedata.normalize("NFKC", name))
reads("field/minus-and-brackets-before-name", "name", lambda name: name.lstrip("-*/").strip("[]"))
reads("field/http-lines", "interpret", lambda line: "" if re.fullmatch("[0-9a-f]+", line) else line)
reads("retry/tab-ignored", RETRY, lambda text: text.lstrip("\t"))
reads("retry/trailing-tab-ignored", RETRY, lambda text: text.rstrip("\t"))
reads("retry/comma-ignored", RETRY, lambda text: text.replace(",", ""))
reads("retry/decimal-zero-ignored", RETRY, lambda text: text.removesuffix(".0"))
reads("retry/negative-zero-ignored", RETRY, lambda text: text.lstrip("-"))
reads("retry/quotes-ignored", RETRY, lambda text: text.strip('"'))
reads("retry/unit-ignored", RETRY, lambda text: text.removesuffix(" ms"))
reads("retry/infinity-ignored", RETRY, lambda text: "2147483647" if text == "Infinity" else text)
reads("retry/form-feed-ignored", RETRY, lambda text: text.lstrip("\f"))
reads("retry/nbsp-ignored", RETRY, lambda text: text.rstrip("\xa0"))
reads("retry/one-millisecond", RETRY, lambda text: "1000" if text == "1" else text)
ignores("retry/six-digits", RETRY, lambda text: len(text) > 5)
reads("retry/a-day", RETRY, lambda text: "3600000" if len(text) > 7 else text)
reads("comment/looks-like-other-fields", "interpret", lambda line: re.sub("^: ?(id|event)", r"\1", line))
reads("comment/looks-like-retry", "interpret", lambda line: re.sub("^: ?retry", "retry", line))


# ---- Bugs in what is kept from one line, block or event to another ---------------------------------------------------


@fault("data/same-twice")
class SkipsRepeatedData(Decoder):
    def emit(self, data: str) -> None:
        if not self.events or self.events[-1]["data"] != data:
            super().emit(data)


@fault("data/same-line-twice")
class SkipsRepeatedLines(Decoder):
    def field_data(self, value: str) -> None:
        if self.data[-1:] != [value]:
            super().field_data(value)


@fault("id/same-twice")
class SkipsRepeatedIds(Decoder):
    def emit(self, data: str) -> None:
        if not self.id or all(event["id"] != self.id or "id" not in self.fields for event in self.events):
            super().emit(data)


@fault("id/nul-leaves-its-event")
class DropsTheEventOfABadId(Decoder):
    bad = False

    def field_id(self, value: str) -> None:
        self.bad = "\0" in value
        super().field_id(value)

    def due(self) -> bool:
        bad, self.bad = self.bad, False
        return super().due() and not bad


@fault("id/set-again-after-reset")
class NeverSetsAnIdAgain(Decoder):
    taken_back = False

    def field_id(self, value: str) -> None:
        self.taken_back |= not value
        self.id = "" if self.taken_back else value


@fault("id/over-a-hundred-events")
class ForgetsTheIdAfterAHundred(Decoder):
    def commit(self) -> None:
        self.last_id = self.id = self.id if len(self.events) < 100 else ""


@fault("event/changes-in-each-block")
class GivesAllTheFirstType(Decoder):
    first = ""

    def field_event(self, value: str) -> None:
        self.first = self.first or value
        self.kind = self.first


class ClearsAtUnknown(Decoder):
    bare_only = False

    def field(self, name: str, value: str) -> None:
        super().field(name, value)
        if name not in ("data", "event", "id", "retry") and (not value or not self.bare_only):
            self.kind = ""


fault("field/unknown-clears-nothing")(ClearsAtUnknown)
fault("field/unknown-without-value-clears-nothing")(
    type("ClearsAtUnknownWithoutValue", (ClearsAtUnknown,), {"bare_only": True})
)


@fault("field/number-sign-is-no-comment")
class DispatchesAtANumberSign(Decoder):
    def interpret(self, line: str) -> None:
        super().interpret("" if line[:1] == "#" else line)


@fault("field/long-unknown-value")
class RefusesLongValues(Decoder):
    def field(self, name: str, value: str) -> None:
        if name == "x" and len(value) > 65536:
            raise ValueError("a line is too long")
        super().field(name, value)


@fault("retry/bad-leaves-its-event")
class DropsTheBlockOfABadRetry(Decoder):
    def field_retry(self, value: str) -> None:
        super().field_retry(value)
        if not value.isdecimal():
            self.clear()


@fault("retry/good-leaves-its-event")
class DispatchesAtRetry(Decoder):
    def field_retry(self, value: str) -> None:
        super().field_retry(value)
        self.dispatch()


@fault("retry/over-many-events")
class ForgetsRetryAtTheNextEvent(Decoder):
    def emit(self, data: str) -> None:
        super().emit(data)
        if "retry" not in self.fields:
            self.retry = None


@fault("retry/in-the-last-of-many-blocks")
class TakesRetryBeforeTheFirstEventOnly(Decoder):
    def field_retry(self, value: str) -> None:
        if not self.events:
            super().field_retry(value)


@fault("comment/between-all-fields")
class DispatchesAtABareColon(Decoder):
    def interpret(self, line: str) -> None:
        if line == ":":
            self.kind = ""
        super().interpret(line)


class RunsOutOfStack(Decoder):
    """Calls itself for each line of a kind, and has a stack like another's."""

    line_of = ""
    depth = 0

    def interpret(self, line: str) -> None:
        self.depth = self.depth + 1 if line[:1] == self.line_of else 0
        if self.depth > 5000:
            raise RecursionError
        super().interpret(line)


fault("framing/ten-thousand-blank-lines")(RunsOutOfStack)
fault("comment/ten-thousand")(type("RunsOutOfStackInComments", (RunsOutOfStack,), {"line_of": ":"}))


@fault("framing/two-thousand-events-in-one-chunk")
class HoldsAThousandEvents(Decoder):
    def emit(self, data: str) -> None:
        super().emit(data)
        self.events = self.events[-1000:]


class TakesTheOpenLine(Decoder):
    """Takes the open line for a whole one when the stream ends."""

    fields_taken: tuple[str, ...] = ()

    def end(self) -> None:
        if self.line.startswith(self.fields_taken):
            self.end_line()
            self.commit()


fault("eof/id-line-unterminated")(type("TakesTheOpenId", (TakesTheOpenLine,), {"fields_taken": ("id",)}))


@fault("eof/event-line-unterminated")
class DispatchesTypedBlocksAtTheEnd(Decoder):
    def end(self) -> None:
        if self.line.startswith("event"):
            self.end_line()
            self.dispatch()


@fault("eof/id-before-incomplete-event")
class CommitsTheIdOfAnOpenBlock(Decoder):
    def end(self) -> None:
        self.commit()


# ---- Bugs in bad UTF-8 -----------------------------------------------------------------------------------------------


def decodes(vector: str, pattern: bytes, text: str) -> None:
    """A decoder to which such bytes are something else."""

    class Decodes(Decoder):
        def text(self, data: bytes) -> str:
            parts = re.split(b"(" + pattern + b")", data, flags=re.DOTALL)
            return "".join(text if at % 2 else super(Decodes, self).text(part) for at, part in enumerate(parts))

    Decodes.__name__ = _name_for(vector)
    fault(vector)(Decodes)


BAD = "\ufffd"
decodes("utf8/surrogate-pair", rb"\xed\xa0\xbd\xed\xb8\x80", "\U0001f600")
decodes("utf8/overlong-nul", rb"\xc0\x80", "\0")
decodes("utf8/overlong-of-three", rb"\xe0\x80\xaf", "/")
decodes("utf8/overlong-of-four", rb"\xf0\x80\x80\xaf", "/")
decodes("utf8/cut-after-three-of-four", rb"\xf0\x9f\x98(?=[a-z])", BAD * 3)
decodes("utf8/cut-after-two-of-four", rb"\xf0\x9f(?=[a-z])", BAD * 2)
decodes("utf8/lead-then-ascii", rb"\xc3[a-z]", BAD)
decodes("utf8/lead-before-line-end", rb"\xc3\n", BAD)
decodes("utf8/lead-of-four-before-line-end", rb"\xf0\n", BAD)
decodes("utf8/lead-of-five", rb"\xf8\x88\x80\x80\x80", BAD)
decodes("utf8/cut-then-whole", rb"\xe2\x82\xe2", BAD)
decodes("utf8/windows-1252", rb"\x93", "\u201c")
