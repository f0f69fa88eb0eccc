"""What one fault makes a program fail: ``causes.json``, by which failures are grouped. ``--write`` makes it anew.

Each cause is a broken program of ``tests/broken`` and the sentence that says what is wrong with it; the vectors are those
that it fails. The judge compares what a program failed with these, and names the cause that explains most.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from broken import decoders as broken_decoders  # noqa: E402
from broken import encoders as broken_encoders  # noqa: E402
from broken.server import serving  # noqa: E402

from sse_ref.conformance import clients, decoders, encoders, hostile, servers  # noqa: E402
from sse_ref.conformance.corpus import load  # noqa: E402

FILE = ROOT / "sse_ref" / "conformance" / "causes.json"

DECODERS = {
    "KnowsLfOnly": "Neither CR nor CRLF is taken for a line end.",
    "KnowsNoLoneCr": "A CR without an LF is not taken for a line end.",
    "ForgetsCrBetweenChunks": "The LF of a CRLF that was cut in two is taken for a blank line.",
    "HoldsACrBack": "A CR at the end of a chunk waits for what follows.",
    "DecodesEachChunk": "Characters are decoded chunk by chunk, so that one that is cut in two is lost.",
    "DecodesEachBlockOf1024": "Characters are decoded block by block, so that one that is cut in two is lost.",
    "DecodesStrictly": "Invalid UTF-8 raises an error.",
    "DecodesLatin1": "The stream is not decoded as UTF-8.",
    "KeepsTheBom": "The byte order mark is not removed.",
    "StripsEveryBom": "More than the one byte order mark at the start is removed.",
    "DispatchesEveryBlankLine": "A blank line without data before it dispatches an event.",
    "DispatchesAnyField": "A block without data dispatches an event.",
    "SplitsLinesAtUnicode": "Characters beyond CR and LF end lines, as str.splitlines has it.",
    "StripsAllSpaces": "More than one space is taken from the start of a value.",
    "KeepsTheSpace": "The space after the colon is kept.",
    "TrimsValues": "Values are stripped on both sides.",
    "JoinsWithoutLf": "The data lines of an event are not joined by LF.",
    "ReadsValuesAsCStrings": "A NUL ends a value.",
    "RefusesNul": "A NUL raises an error.",
    "EmitsAtTheEnd": "An event without its blank line is dispatched at the end of the stream.",
    "IgnoresCase": "Field names are compared without case.",
    "TakesEachChunkForLines": "The end of a chunk is taken for the end of a line.",
    "TakesOneEventFromEachChunk": "Of the events of one chunk only the first is given out.",
    "EmitsWithTheNextChunk": "An event waits for the chunk after it.",
    "LimitsLinesTo64KiB": "Lines longer than 64 KiB are refused.",
    "ReadsComments": "Comments are taken for fields.",
    "ForgetsTheId": "The last event ID is not carried over to the next event.",
    "TellsNoId": "The id of an event is not told.",
    "IgnoresRetry": "The reconnection time is not told.",
    "ReadsRetryLeniently": "A reconnection time is read that is not digits alone.",
    "DropsEmptyData": "Empty data is taken for none.",
    "ReadsNamesAsCStrings": "A NUL in a field name is dropped.",
    "IgnoresBareFields": "A field without a colon is ignored.",
}
ENCODERS = {
    "WritesLineFeedsRaw": "Line feeds in data are written as they are: they end the field.",
    "SplitsAtLfOnly": "A CR in data is written as it is: it ends the field.",
    "UsesSplitlines": "A line feed at the end of data is lost, as str.splitlines has it.",
    "SplitsAtUnicode": "Data is split at characters that end no lines.",
    "StripsTheText": "White space around data is lost.",
    "WritesNoSpace": "No space is written after the colon: a space at the start of data is lost.",
    "ForgetsTheBlankLine": "The blank line after an event is missing.",
    "WritesJson": "Data is written as JSON.",
    "WritesTypesRaw": "Line ends in types are written as they are: they inject fields.",
    "StripsLineEnds": "Line ends in types and ids are taken out, and not refused.",
    "WritesNulInIds": "An id with a NUL is written: readers ignore it.",
    "TakesEmptyForNoId": "An empty id is taken for none.",
    "TakesZeroForNoRetry": "A reconnection time of 0 is taken for none.",
    "WritesNothingForEmptyData": "Empty data is taken for none.",
}
CLIENTS = {
    "cut-is-complete": "A body that was cut is taken for a whole answer.",
    "eof-is-complete": "The end of the body is taken for the end of the answer.",
    "errors-ignored": "Errors in the stream are not looked at.",
    "done-is-complete": "At [DONE] the answer is called whole, whatever came before.",
    "status-ignored": "The status of the response is not looked at.",
    "error-lost": "The message of an HTTP error is lost.",
    "lf-only": "Only LF ends lines.",
    "comments-crash": "Comments are an error.",
    "utf8-per-chunk": "Characters are decoded chunk by chunk, so that one that is cut in two is lost.",
    "prints-at-the-end": "Text is shown only when the stream has ended.",
    "no-timeout": "Silence is waited for without a limit.",
    "reads-on": "After [DONE] it reads on.",
    "calls-ignored": "Tool calls are not put together.",
    "id-overwritten": "An empty or null id of a later fragment replaces the id of the call.",
    "null-delta-members-crash": "A null member of a delta is an error.",
    "null-chunk-members-crash": "A null member of a chunk is an error.",
    "function-required": "A fragment without a function is an error.",
    "first-choice-assumed": "Each chunk is taken to have a choice.",
    "cut-after-finish-ok": "After the finish reason a transport that fails is not noticed.",
    "no-redirects": "Redirects are not followed.",
    "codings-refused": "Any Content-Encoding is refused.",
    "phantoms": "Blocks without data are taken for events.",
}
SOURCES = {
    "never-reconnects": "It does not connect again.",
    "gives-up-after-three": "It gives up after a few losses.",
    "no-head-is-fatal": "A connection that breaks before its head is whole ends it.",
    "reset-is-fatal": "A reset ends it.",
    "cut-is-fatal": "A body that was cut ends it.",
    "reconnects-on-errors": "It connects again after an answer that is no event stream.",
    "no-last-event-id": "The last event ID is not sent.",
    "reconnects-at-once": "The reconnection time is not waited for.",
    "keeps-half-lines": "What a cut left over goes into the next connection.",
    "named-events-are-its-own": "Events named like those of the API are taken for its own.",
    "any-type": "The Content-Type is not looked at.",
    "total-limit": "A limit for the whole response ends the stream.",
}
SERVERS = {
    "errors-with-200": "Errors are answered with status 200.",
    "errors-as-html": "Errors are no JSON.",
    "error-is-text": "The error of a refused request is no object.",
    "bad-json-500": "A body that is not JSON is answered with a server error.",
    "no-done": "[DONE] is missing.",
    "no-usage": "The usage that was asked for does not come.",
    "usage-unasked": "A usage comes unasked.",
    "n-ignored": "n is ignored.",
    "max-tokens-ignored": "The limit of tokens is ignored.",
    "stop-ignored": "Stop strings are ignored.",
    "id-per-chunk": "Each chunk has an id of its own.",
    "no-finish": "There is no finish reason.",
    "no-role": "The first delta has no role.",
    "never-streams": "It does not stream.",
    "length-too": "The stream has a Content-Length: all of it is kept until the end.",
    "buffers": "All events are kept until the end.",
    "parts-refused": "A content that is a list of parts is refused.",
    "nulls-refused": "Null parameters are refused.",
    "no-cors": "Pages of other origins may not read the answers.",
}


def shorter(value: Any) -> Any:
    """A part of a vector whose long repetitions are a fortieth as long: the broken decoders take their time."""
    if isinstance(value, dict):
        return {
            n: v // 40 if n == "repeat" and isinstance(v, int) and v > 5000 else shorter(v) for n, v in value.items()
        }
    return [shorter(element) for element in value] if isinstance(value, list) else value


def failed_decoders(name: str) -> list[str]:
    program = broken_decoders.Program(broken_decoders.FAULTS[name][0])
    vectors = [vector for vector in load("decoder") if "linear" not in vector.body]
    vectors = [
        dataclasses.replace(v, body={**shorter(v.body), "cuts": []}) if v.id.startswith("align/") else v
        for v in vectors
        if not v.id.startswith("size/") or name == "LimitsLinesTo64KiB"
    ]
    return [v.id for v in vectors if decoders.judge(v, program, set(decoders.FEATURES)).verdict == "fail"]


def failed_encoders(name: str) -> list[str]:
    program = broken_encoders.Program(broken_encoders.FAULTS[name][0])
    features = {*encoders.FEATURES, "comment"}
    return [v.id for v in load("encoder") if encoders.judge(v, program, features).verdict == "fail"]


def failed_clients(profile: str, fault: str) -> list[str]:
    command = [sys.executable, "-I", "-S", str(ROOT / "tests" / "broken" / "client.py"), profile, fault]
    with hostile.HostileServer() as server, ThreadPoolExecutor(16) as pool:
        judged = pool.map(lambda v: clients.judge(v, server, clients.Client(command), 12.0), of("client", profile))
        return [result.vector.id for result in judged if result.verdict in ("fail", "error")]


def failed_servers(fault: str) -> list[str]:
    from test_judge_servers import target

    with serving(fault) as server:
        asked = target(server)
        chosen = sorted(of("server", "openai-chat"), key=lambda vector: "every" in vector.body)
        judged = [servers.judge(vector, asked) for vector in chosen if not vector.id.startswith("life/")]
    return [result.vector.id for result in judged if result.verdict == "fail"]


def of(target: str, profile: str) -> list:
    return [vector for vector in load(target) if vector.profile == profile]


def main() -> None:
    hostile.HOLD_SECONDS = 2.0
    hostile.LINGER_SECONDS = 0.2
    found = {
        "decoder": [{"cause": text, "vectors": failed_decoders(name)} for name, text in DECODERS.items()],
        "encoder": [{"cause": text, "vectors": failed_encoders(name)} for name, text in ENCODERS.items()],
        "client openai-chat": [
            {"cause": text, "vectors": failed_clients("openai-chat", fault)} for fault, text in CLIENTS.items()
        ],
        "client sse": [{"cause": text, "vectors": failed_clients("sse", fault)} for fault, text in SOURCES.items()],
        "server openai-chat": [{"cause": text, "vectors": failed_servers(fault)} for fault, text in SERVERS.items()],
    }
    lines = (
        f"{json.dumps(kind)}: [\n" + ",\n".join(f" {json.dumps(cause)}" for cause in causes) + "\n]"
        for kind, causes in found.items()
    )
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    if "--write" not in sys.argv:
        sys.exit("--write makes causes.json anew")
    main()
