"""Recordings: what a client keeps of a stream, and that a server plays it back."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hostile import DONE, LAST, STOP, Pause, Until, chunk, delta, head, playing
from raw import chat
from terminal import base, run

from sse_ref.recording import Recording, RecordingError, end_line, head_line, read_line
from sse_ref.server import Answer, running
from sse_ref.server.delivery import CHUNKED, CutAsAsked, replay

HEAD = head_line(200, [("Content-Type", "text/event-stream")])


def recorded(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_what_was_recorded_is_played_back_to_the_same_end(tmp_path: Path) -> None:
    path = tmp_path / "story.jsonl"
    with running() as server:
        first = run("Tell me a story about caf\u00e9s \U0001f98a", "--url", base(server), "--record", str(path))
    lines = recorded(path)
    assert lines[0]["status"] == 200 and lines[-1]["end"] == "complete" and len(lines) > 20
    with running([Answer(replay=path, speed=0)]) as server:
        again = run("anything", "--url", base(server), "--model", "any")
    assert again.returncode == 0 and again.stdout == first.stdout


def test_times_are_those_of_the_reads(tmp_path: Path) -> None:
    path = tmp_path / "paced.jsonl"
    came = Until(lambda: path.exists() and "Hel" in path.read_text(encoding="utf-8"))
    began = time.monotonic()
    with playing([head(), chunk(delta("Hel")), came, Pause(0.1), chunk(STOP), chunk(DONE), LAST]) as server:
        run("x", "--url", server.url, "--model", "m", "--record", str(path))
    whole = time.monotonic() - began
    first, *later = [line["at"] for line in recorded(path)[1:]]
    assert first > 0 and later == sorted(later) and first + 0.095 <= later[0] and later[-1] < whole


def test_cut_stream_is_recorded_as_one(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    with running([Answer("Rain in Ber", fault="cut")]) as server:
        assert run("x", "--url", base(server), "--record", str(path)).returncode == 1
    assert recorded(path)[-1]["end"] == "cut"
    with running([Answer(replay=path, speed=0)]) as server:
        done = run("x", "--url", base(server))
    assert done.returncode == 1 and done.stdout == "Rain in Ber\n" and "truncated" in done.stderr


def test_recorded_cut_comes_when_it_came_also_before_the_first_byte() -> None:
    for reads in ((), ((0.0, b"data: a\n\n"),)):
        recording = Recording(200, {}, reads, 2.0, False)
        stream = replay(recording, 1, CHUNKED)
        writes = [stream.next] if stream.next else []
        with pytest.raises(CutAsAsked):
            writes += stream.writes
        assert [(write.due, write.payload) for write in writes][-1] == (2.0, b"")


def test_read_of_no_bytes_does_not_end_the_body() -> None:
    lines = [
        HEAD,
        read_line(0, b"data: a\n\n"),
        read_line(0, b""),
        read_line(0, b"data: b\n\n"),
        end_line(0, "complete"),
    ]
    with running([Answer(replay=lines)]) as server:
        assert chat(server).body == b"data: a\n\ndata: b\n\n"


def test_half_characters_are_kept_as_they_came(tmp_path: Path) -> None:
    reads = [b'data: {"choices":[{"index":0,"delta":{"content":"caf\xc3', b'\xa9"},"finish_reason":"stop"}]}\n\n']
    path = tmp_path / "half.jsonl"
    lines = [HEAD, *(read_line(0, data) for data in reads), end_line(0, "complete")]
    with running([Answer(replay=lines)]) as server:
        assert run("x", "--url", base(server), "--record", str(path)).stdout == "caf\u00e9\n"
    kept = Recording.read(path.read_text(encoding="utf-8").splitlines()).reads
    assert [data for _, data in kept] == reads and [line for line in recorded(path) if "hex" in line]


def test_key_and_cookies_are_never_written(tmp_path: Path) -> None:
    path = tmp_path / "secret.jsonl"
    with running(api_key="secret-key") as server:
        environment = {"KEY": "secret-key", "PATH": ""}
        run("x", "--url", base(server), "--api-key-env", "KEY", "--record", str(path), env=environment)
    assert "secret" not in path.read_text() and set(dict(recorded(path)[0]["headers"])) == {"content-type"}
    assert head_line(200, [("Set-Cookie", "id=7"), ("Authorization", "x")]).count("[") == 1


def test_recording_that_cannot_be_written_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = run("x", "--record", str(tmp_path / "no" / "file"))
    assert done.returncode == 2 and "--record" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_without_an_answer_nothing_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    assert run("x", "--url", "http://127.0.0.1:1/v1", "--retries", "0", "--record", str(path)).returncode == 2
    assert path.read_text() == ""


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([], "line 1 must be the head"),
        (["{"], "line 1 is no JSON"),
        (["[]"], "line 1 must be a JSON object"),
        ([HEAD, '{"at": 1}'], 'line 2 must have "text" or "hex"'),
        ([HEAD, '{"at": 1, "hex": "7"}'], "line 2"),
        ([HEAD, '{"at": 1, "text": "a", "hex": "61"}'], "line 2 must have"),
        ([HEAD, read_line(2, b"a"), read_line(1, b"b")], 'line 3: "at" must be'),
        ([HEAD, '{"at": "1", "text": "a"}'], 'line 2: "at" must be'),
        ([HEAD, end_line(1, "complete"), read_line(1, b"a")], 'line 2: "end"'),
        ([HEAD, end_line(1, "well")], 'line 2: "end"'),
        (['{"recording": 2}'], "line 1 must be the head"),
        (['{"recording": 1, "status": 99}'], "line 1: status"),
        (['{"recording": 1, "headers": ["a"]}'], "line 1: headers"),
        (['{"recording": 1, "headers": [["content-type", "a\\r\\nb: c"]]}'], "line 1: a header"),
        ("text", "a recording is a list of lines"),
    ],
)
def test_what_is_no_recording_is_refused_with_its_line(lines: Any, problem: str) -> None:
    with pytest.raises(RecordingError) as caught:
        Recording.read(lines)
    assert str(caught.value).startswith(problem)


def test_recording_can_be_edited_by_hand() -> None:
    lines = ["", HEAD, "", '{"at": 0, "text": "data: a\\n\\n"}', ""]
    recording = Recording.read(lines)
    assert recording.reads == ((0.0, b"data: a\n\n"),) and recording.whole
