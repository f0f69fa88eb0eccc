"""The journal and the log."""

from __future__ import annotations

import json

import pytest
from raw import JSON, ask, chat, chat_body

from sse_ref.server import Server, running


@pytest.mark.parametrize("target", ["/journal", "/journal?x", "http://localhost/journal", "/tps=5/journal"])
def test_journal_is_not_for_other_origins(server: Server, target: str) -> None:
    answer = ask(server, "GET", target)
    assert answer.status == 200 and "access-control-allow-origin" not in answer.headers


def test_journal_is_json_whatever_was_asked(server: Server) -> None:
    for body in (b'{"model":NaN,"x":1e999}', b'{"x":"\\ud800"}', b"[" * 700 + b"]" * 700, b"\xff"):
        ask(server, "POST", "/v1/chat/completions", body, JSON)
    answer = ask(server, "GET", "/journal")
    json.loads(answer.body, parse_constant=lambda name: 1 / 0)
    assert len(answer.body) < 100_000


def test_path_in_the_log_is_one_of_ours(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        ask(server, "POST", "http://EVIL.localhost/tps=1000/v1/chat/completions?at=7", chat_body(), JSON)
        assert server.journal[-1]["path"] == "/v1/chat/completions"
    assert "POST /v1/chat/completions toy-echo" in caplog.text and "EVIL" not in caplog.text


def test_journal_tells_how_each_stream_went() -> None:
    with running(journal_size=3) as server:
        for number in range(4):
            answer = chat(server, f"number {number}")
        records = ask(server, "GET", "/journal").json()
        assert records == server.journal and len(records) == 3
        last = records[-1]
        assert last["request"]["messages"][0]["content"] == "number 3"
        assert (last["model"], last["stream"], last["status"], last["outcome"]) == ("toy-echo", True, 200, "complete")
        assert (last["tokens"], last["events"], last["left_at_token"]) == (2, 5, None)
        assert last["bytes"] == sum(len(chunk) + len(b"%x\r\n\r\n" % len(chunk)) for chunk in answer.chunks) + 5
        assert 0 <= last["first_byte_s"] <= last["duration_s"]
        assert last["id"] in answer.parsed()[0]["id"] and answer.headers["x-request-id"] == last["id"]
        chat(server, "x" * 5000)
        assert server.journal[-1]["request"]["messages"][0]["content"] == "x" * 5000
        chat(server, "x" * 70_000)
        assert len(json.dumps(server.journal[-1])) < 2000 and len(server.requests[-1].messages[0].text) == 200
        chat(server, model="none")
        assert (server.journal[-1]["outcome"], server.journal[-1]["status"]) == ("refused", 404)
