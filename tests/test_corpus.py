"""The corpus: its form, its sentences, its bytes, and what is made of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from schema import problems

from sse_ref.conformance import clients, corpus, decoders, encoders, hostile, servers
from sse_ref.conformance.corpus import LEVELS, TARGETS, Vector, load

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "sse_ref" / "conformance"
SCHEMA = json.loads((FOLDER / "schema" / "vector.json").read_text())
PING = {"event": "ping", "json": {"type": "ping"}}
ALL = [vector for target in TARGETS for vector in load(target)]

pytestmark = pytest.mark.once  # it is about data, not about Python


@pytest.mark.parametrize("file", sorted((FOLDER / "corpus").rglob("*.json")), ids=lambda file: file.stem)
def test_file_has_the_form_of_the_schema_and_the_name_of_what_it_holds(file: Path) -> None:
    value = json.loads(file.read_text())
    assert list(problems(SCHEMA, value)) == []
    names = [value["target"], value["profile"]] if "profile" in value else [value["target"]]
    assert file.relative_to(FOLDER / "corpus").with_suffix("").parts == tuple(names)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"level": "most"}, "level"),
        ({"id": "Has Spaces"}, "id"),
        ({"title": "no full stop"}, "title"),
        ({"basis": {}}, "basis"),
        ({"since": "yesterday"}, "since"),
        ({"colour": "blue"}, "colour"),
        ({"expect": {}}, "events"),
        ({"input": [{"hex": "0"}]}, "hex"),
    ],
)
def test_schema_refuses_a_vector_that_is_wrong(change: dict[str, object], problem: str) -> None:
    good = {**load("decoder")[1].as_json(), **change}
    del good["target"]
    found = list(problems(SCHEMA, {"target": "decoder", "vectors": [good]}))
    assert any(problem in line for line in found), found


def test_ids_are_unique_over_all_targets() -> None:
    ids = [vector.id for vector in ALL]
    assert len(ids) == len(set(ids))


def test_no_id_is_the_beginning_of_another() -> None:
    """The hostile server finds a case by the beginning of a path."""
    ids = {vector.id for vector in ALL}
    assert not [id for id in ids if any(other.startswith(f"{id}/") for other in ids)]


@pytest.mark.parametrize(("target", "least"), [("decoder", 280), ("encoder", 32), ("client", 100), ("server", 105)])
def test_corpus_is_as_large_as_it_says(target: str, least: int) -> None:
    assert len(load(target)) >= least
    assert {vector.level for vector in load(target)} <= set(LEVELS)


def test_facts_are_sentences_of_their_own() -> None:
    titles = [(vector.target, vector.profile, vector.title) for vector in ALL]
    assert len(titles) == len(set(titles))
    assert all(len(vector.title) < 130 for vector in ALL)


@pytest.mark.parametrize("vector", [v for v in load("decoder") if "cuts" in v.body], ids=lambda v: v.id)
def test_listed_cuts_cover_the_stream(vector: Vector) -> None:
    size = len(corpus.bytes_of(vector.body["input"]))
    assert all(sum(cut) == size for cut in vector.body["cuts"])


def test_every_stream_is_cut_in_every_way() -> None:
    for vector in load("decoder"):
        if "linear" in vector.body or "chunks" in vector.body or "chunk_size" in vector.body:
            continue
        stream = corpus.bytes_of(vector.body["input"])
        made = decoders.splits_of(vector)
        assert all(b"".join(split.chunks) == stream for split in made)
        names = [split.name for split in made]
        assert names[0] == "whole" and ("byte by byte" in names) == (1 < len(stream) <= 2048)
        assert len({tuple(split.chunks) for split in made}) == len(made)


def test_cuts_are_made_inside_crlf_characters_and_the_byte_order_mark() -> None:
    points = {
        id: {
            len(c.chunks[0])
            for c in decoders.splits_of(next(corpus.matching(load("decoder"), [id])))
            if len(c.chunks) == 2
        }
        for id in ("eol/crlf", "utf8/2-3-4-byte", "bom/stripped")
    }
    assert {9, 10} <= points["eol/crlf"]
    assert {7, 9, 10, 12, 13, 14} <= points["utf8/2-3-4-byte"]
    assert {1, 2, 3} <= points["bom/stripped"]


def test_every_server_vector_has_a_check_and_its_exchanges() -> None:
    assert set(servers.CHECKS) == {vector.body.get("check", vector.id) for vector in load("server")}
    for profile in corpus.profiles_of("server"):
        exchanges = corpus.document("server", profile)["exchanges"]
        used = {name for v in load("server") if v.profile == profile for name in v.body["exchanges"]}
        assert used == set(exchanges)


def test_every_check_has_the_name_of_its_vector() -> None:
    for id, check in servers.CHECKS.items():
        assert check.__name__ == re.sub("[/.-]", "_", id)


def test_part_of_a_script_may_have_an_event_type() -> None:
    vector = corpus.vector_of(
        "client", {**load("client")[0].as_json(), "connections": [{"body": [PING]}]}, "openai-chat"
    )
    assert b'event: ping\ndata: {"type": "ping"}\n\n' in hostile.steps_of(vector, "")[0][1].data


def test_every_script_can_be_made() -> None:
    for vector in load("client"):
        for steps in hostile.steps_of(vector, "http://x/case"):
            assert steps and all(
                step.do in ("send", "pause", "await", "linger", "hold", "reset", "close") for step in steps
            )


def test_every_request_can_be_made() -> None:
    for vector in load("encoder"):
        json.dumps(encoders.request_of(vector))
    for profile in corpus.PROFILES:
        target = servers.Target("http://h/v1", dict.fromkeys(["", *servers.ROLES], "m"), key="k", profile=profile)
        for spec in corpus.document("server", profile)["exchanges"].values():
            data = target.request(spec)
            name = {"anthropic": "x-api-key: ", "gemini": "x-goog-api-key: "}.get(
                str(profile), "Authorization: Bearer "
            )
            assert b"{model}" not in data and (f"{name}k\r\n".encode() in data) == ("key" not in spec)
    for vector in load("client"):
        environment = clients._variables(vector, "http://h")
        assert ("SSE_CONFORMANCE_BODY" in environment) == (vector.profile != "sse")


def test_question_is_asked_with_and_without_a_limit() -> None:
    target = servers.Target("http://h/v1", {"": "m"})
    body = json.loads(target.ask("Why {model}?", tokens=3).partition(b"\r\n\r\n")[2])
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Why {model}?"}],
        "stream": True,
        "max_tokens": 3,
    }
    assert b"max_tokens" not in target.ask("Why?")


def test_export_is_plain_json_that_stands_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sse_ref.conformance", "export", str(tmp_path), "--as-of", "2026.11"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for target in TARGETS:
        whole = json.loads((tmp_path / f"{target}.json").read_text())
        assert whole["corpus"] == "2026.11"
        assert [vector["id"] for vector in whole["vectors"]] == [v.id for v in load(target) if v.since <= "2026.11"]
    decoder = json.loads((tmp_path / "decoder.json").read_text())["vectors"]
    vector = next(vector for vector in decoder if vector["id"] == "chunks/crlf-at-blank-line")
    assert [bytes.fromhex("".join(split)) for split in vector["cuttings"]] == [b"data: a\r\n\r\ndata: b\r\n\r\n"] * len(
        vector["cuttings"]
    )
    assert vector["expect"]["events"][0] == {"event": "message", "data": "a", "id": ""}
    client = json.loads((tmp_path / "client.json").read_text())["vectors"]
    reset = next(vector for vector in client if vector["id"] == "end/reset")["connections"][0]
    assert bytes.fromhex(reset[0]["send"]).startswith(b"HTTP/1.1 200 OK\r\n") and "reset" in reset[-1]


@pytest.mark.parametrize(
    "vector", [v for v in load("decoder") if v.id.partition("/")[0] in ("event", "id", "retry")], ids=lambda v: v.id
)
def test_fact_about_a_feature_needs_the_feature(vector: Vector) -> None:
    """Without it a program that has no ids would fail what it cannot be asked."""
    assert {"event", "id", "retry", "last_event_id"} & set(vector.needs), vector.id
