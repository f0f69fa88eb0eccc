"""Looking at the corpus: vectors listed, shown, exported, played by hand; reports side by side.

In:   options, as ``commands`` read them.
Out:  text on standard output, files.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sse_ref.conformance import corpus, decoders, encoders, hostile, matrix, reports, servers
from sse_ref.conformance.corpus import TARGETS, Vector
from sse_ref.conformance.runs import check_version, read_report, write
from sse_ref.conformance.verdicts import Result, UsageError

__all__ = ["export_corpus", "list_vectors", "serve_cases", "show_reports", "show_vector"]


def list_vectors(options: argparse.Namespace) -> int:
    """``list``: print ids, levels and facts."""
    targets = [options.globs.pop(0)] if options.globs and options.globs[0] in TARGETS else TARGETS
    vectors = [vector for target in targets for vector in corpus.load(target)]
    vectors = [vector for vector in vectors if options.profile in (None, vector.profile)]
    if options.globs:
        for pattern in options.globs:
            if not any(corpus.matching(vectors, [pattern])):
                raise UsageError(f"no vector matches {pattern!r}")
        vectors = list(corpus.matching(vectors, options.globs))
    vectors = [vector for vector in vectors if options.level in (None, vector.level)]
    vectors = [vector for vector in vectors if options.tag is None or options.tag in vector.tags]
    if options.json:
        print(json.dumps([vector.as_json() for vector in vectors], indent=1))
        return 0
    width = max((len(vector.id) for vector in vectors), default=0)
    for vector in vectors:
        print(f"{vector.id:<{width}}  {vector.level:<6}  {vector.title}")
    return 0


def _find(id: str) -> Vector:
    for target in TARGETS:
        for vector in corpus.load(target):
            if vector.id == id:
                return vector
    raise UsageError(f"there is no vector {id!r}; the command list shows them")


def show_vector(options: argparse.Namespace) -> int:
    """``show``: print one vector: where it comes from, its bytes, what is expected."""
    vector = _find(options.id)
    if options.bytes or options.hex:
        stream = _stream(vector)
        if options.hex:
            print(stream.hex())
        else:
            sys.stdout.buffer.write(stream)
        return 0
    if options.curl:
        print(servers.curl(vector, options.curl))
        return 0
    print(f"{vector.id}  [{vector.level}]  {vector.target}, since {vector.since}\n  {vector.title}")
    for name, value in vector.basis.items():
        print(f"  {name:<9}{', '.join(value) if isinstance(value, list) else value}")
    for name in ("why", "practice"):
        if name in vector.body:
            print(f"  {name:<9}{vector.body[name]}")
    if vector.target == "decoder":
        n = vector.body.get("linear", {}).get("small", 1)
        for line in _shown_input(vector, n):
            print(f"  {line}")
        if "beside" in vector.body:
            print(f"  beside   {corpus.bytes_of(vector.body['beside'])!r}")
        expected = decoders.expected_of(vector, n)
        outcome = {"events": expected.events, "retry": expected.retry, "last_event_id": expected.last_event_id}
        print("  expects  " + "\n           ".join(reports.event_lines(outcome)[:20]))
        return 0
    rest = {name: value for name, value in vector.body.items() if name not in ("why", "practice")}
    print("\n".join(f"  {line}" for line in json.dumps(reports.trimmed(rest), indent=1).splitlines()))
    return 0


def _stream(vector: Vector) -> bytes:
    if vector.target == "decoder":
        n = vector.body.get("linear", {}).get("large", 1)
        return b"".join(decoders.splits_of(vector, n)[0].chunks)
    if vector.target == "client":
        return b"".join(step.data for step in hostile.steps_of(vector, "http://127.0.0.1:8090")[0] if step.data)
    raise UsageError(f"a vector of a {vector.target} has no bytes; show it without --bytes")


def _shown_input(vector: Vector, n: int) -> Iterator[str]:
    result = Result(vector, "pass", input=[chunk.hex() for chunk in decoders.splits_of(vector, n)[0].chunks])
    for number, line in enumerate(reports.input_lines(result)):
        yield f"{'bytes' if number == 0 else '':<9}{line}"


def export_corpus(options: argparse.Namespace) -> int:
    """``export``: write the corpus for other runners."""
    check_version(options)
    folder = Path(options.dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = [name for target in TARGETS if (name := folder / f"{target}.json").exists()]
        if there and not options.force:
            raise UsageError(f"{there[0]} is there already (--force writes over it)")
        for target in TARGETS:
            vectors = [_expanded(v) for v in corpus.load(target) if not options.as_of or v.since <= options.as_of]
            whole = {"target": target, "corpus": options.as_of or corpus.versions()[-1], "vectors": vectors}
            (folder / f"{target}.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
            print(f"{folder / f'{target}.json'}: {len(vectors)} vectors")
    except OSError as error:
        raise UsageError(f"{options.dir} cannot be written: {error.strerror}") from None
    return 0


def _expanded(vector: Vector) -> dict[str, Any]:
    """The vector for other runners: bytes as hex, splits made, texts written out."""
    whole = vector.as_json()
    if vector.target == "decoder":
        n = vector.body.get("linear", {}).get("large", 1)
        expected = decoders.expected_of(vector, n)
        whole["cuttings"] = [[chunk.hex() for chunk in split.chunks] for split in decoders.splits_of(vector, n)]
        whole["expect"] = {
            "events": expected.events,
            "last_event_id": expected.last_event_id,
            "retry": expected.retry,
            "or_error": expected.or_error,
        }
        if "beside" in whole:
            whole["beside"] = corpus.bytes_of(whole["beside"]).hex()
        for name in ("input", "chunks", "cuts", "chunk_size", "whole"):
            whole.pop(name, None)
    elif vector.target == "encoder":
        whole["events"] = encoders.request_of(vector)["events"]
        whole["accept"] = encoders.outcomes(vector)
    elif vector.target == "client":
        whole["connections"] = [[step.as_json() for step in steps] for steps in hostile.steps_of(vector, "{base}")]
    return whole


def serve_cases(options: argparse.Namespace) -> int:
    """``serve``: play the client cases until Ctrl-C."""
    with hostile.HostileServer(options.port, play_all=True) as server:
        print(f"playing every client case below {server.url}/case/ID", flush=True)
        print(f"try     curl -sN --raw {server.url}/case/wire/baseline", flush=True)
        print("        Ctrl-C stops it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


def show_reports(options: argparse.Namespace) -> int:
    """``report``: put reports side by side."""
    loaded = [read_report(name) for name in options.reports]
    if options.html:
        write(options.html, matrix.as_html(loaded))
    if options.md or not options.html:
        write(options.md or "-", matrix.as_table(loaded))
    return 0
