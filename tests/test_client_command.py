"""``python -m sse_ref.client``: what is shown, the exit status, the output that goes away."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from hostile import HELLO, Hold, chunk, delta, event, head, playing, stream, whole
from terminal import ENVIRONMENT, ROOT, base, ended, run, started, url_of

from sse_ref.server import Server


def test_text_goes_to_stdout_and_talk_to_stderr(server: Server) -> None:
    result = run("caf\u00e9 \U0001f98a", "--url", base(server), "--model", "toy-echo")
    assert (result.returncode, result.stdout) == (0, "caf\u00e9 \U0001f98a\n")
    assert re.fullmatch(
        r"[0-9.]+ s to the first token, ([0-9.]+ tokens/s, )?finish reason stop, [0-9]+ \+ 6 tokens\n", result.stderr
    )
    assert "gaps between pieces" in run("a b c", "--url", base(server), "--stats").stderr


def test_prompt_can_come_from_stdin(server: Server) -> None:
    assert run("-", "--url", base(server), "--model", "toy-echo", input="from a pipe").stdout == "from a pipe\n"


def test_options_reach_the_server(server: Server) -> None:
    run("hi", "--url", base(server), "--max-tokens", "3", "--seed", "5", "--temperature", "0.5")
    sent = server.journal[-1]["request"]
    assert (sent["max_tokens"], sent["seed"], sent["temperature"]) == (3, 5, 0.5)


def test_json_and_events_are_machine_readable(server: Server) -> None:
    result = json.loads(run("one two", "--url", base(server), "--model", "toy-echo", "--json").stdout)
    assert result["outcome"] == "complete" and result["text"] == "one two" and result["usage"]["completion_tokens"] == 2
    lines = [
        json.loads(line)
        for line in run("one", "--url", base(server), "--model", "toy-echo", "--events").stdout.splitlines()
    ]
    assert lines[-1]["data"] == "[DONE]" and all(set(line) == {"s", "event", "data", "id"} for line in lines)


def test_reasoning_and_refusal_are_shown() -> None:
    thought = event({"choices": [{"index": 0, "delta": {"reasoning_content": "hm\x1b"}}]})
    declined = event({"choices": [{"index": 0, "delta": {"refusal": "No."}, "finish_reason": "stop"}]})
    with playing(stream(thought, thought, declined, b"data: [DONE]\n\n")) as server:
        shown = run("hi", "--url", server.url)
        assert (shown.returncode, shown.stdout) == (0, "No.\n")
        assert shown.stderr.startswith("reasoning: hm\ufffdhm\ufffd\n")
        told = json.loads(run("hi", "--url", server.url, "--json").stdout)
        assert (told["text"], told["reasoning"], told["refusal"]) == ("", "hm\x1bhm\x1b", "No.")


def test_wire_shows_every_byte_of_the_body() -> None:
    body = HELLO + b": note\r\n" + delta(finish="stop") + b"data: [DONE]\n\n"
    with playing([head(), chunk(body[:30]), chunk(body[30:]), b"0\r\n\r\n"]) as server:
        shown = run("hi", "--url", server.url, "--wire").stdout
    lines = [line[4:] for line in shown.splitlines() if line.startswith("    ") and not line.startswith("    = ")]
    wire = [line for line in lines if not re.match(r"(HTTP/1|[A-Z][A-Za-z-]+: )", line)]
    assert "".join(wire).replace("......", "").replace("...", "") == body.decode().replace("\r", "\\r").replace(
        "\n", "\\n"
    )
    assert shown.rstrip().endswith("end of the body")
    assert "= event: [DONE]" in shown and "chunk, 30 bytes" in shown and re.search(r"[0-9.]+ s  \+[0-9.]+  read", shown)
    assert "\x1b" not in shown


@pytest.mark.once
def test_wire_shows_controls_of_an_event_as_escapes() -> None:
    body = b"event: a\x1b[31m\ndata: \x1b[2J\n\n" + b"data: a\ndata: b\n\n"
    with playing(stream(HELLO, body)) as server:
        shown = run("hi", "--url", server.url, "--wire").stdout
    assert "\x1b" not in shown and "= event: \\x1b[2J" in shown and "= event: a\\nb" in shown


@pytest.mark.once
def test_wire_does_not_wait_long_for_what_follows_done() -> None:
    body = HELLO + delta(finish="stop") + b"data: [DONE]\n\n"
    with playing([head(), chunk(body), Hold()]) as server:
        result = run("hi", "--url", server.url, "--wire")
    assert result.returncode == 0 and server.heard[0].left


@pytest.mark.once
@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (stream(HELLO), "truncated"),
        (stream(HELLO, event({"error": {"message": "boom\x1b[31m"}})), "api_error"),
        (stream(HELLO, b"data: {\n\n"), "protocol_error"),
        ([head(), chunk(HELLO), Hold()], "timeout"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_end_keeps_the_text_and_is_one_line_and_exit_1(script: list, outcome: str) -> None:
    with playing(script) as server:
        result = run("hi", "--url", server.url, "--timeout", "3" if outcome == "timeout" else "20")
    assert (result.returncode, result.stdout) == (1, "Hello\n")
    assert result.stderr.startswith(f"sse_ref.client: {outcome}: ") and "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 2 and "\x1b" not in result.stderr


@pytest.mark.once
def test_http_error_is_one_line_and_exit_1() -> None:
    with playing(whole("401 No", b'{"error": {"message": "who are you"}}')) as server:
        result = run("hi", "--url", server.url)
    assert (result.returncode, result.stdout, result.stderr) == (
        1,
        "",
        "sse_ref.client: http_error: 401: who are you\n",
    )


@pytest.mark.once
def test_how_often_was_asked_is_said() -> None:
    busy = whole("429 Busy", b'{"error": {"message": "busy"}}', "Retry-After-Ms: 1")
    with playing(busy, busy) as server:
        result = run("hi", "--url", server.url, "--retries", "1")
    assert result.stderr == "sse_ref.client: http_error: 429: busy (asked 2 times)\n"


def test_nothing_listening_is_one_line_and_exit_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    result = run("hi", "--url", f"http://127.0.0.1:{port}/v1", "--retries", "0")
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(
        rf"sse_ref\.client: no answer from 127\.0\.0\.1:{port}: Connection refused; is the server running\?.*\n",
        result.stderr,
    )


@pytest.mark.once
@pytest.mark.parametrize(
    "url",
    ["", "localhost", "ftp://x/v1", "http://", "http://x:0/v1", "http://x:99999/v1", "http://x y/", "http://\u00fc/"],
)
def test_bad_url_is_exit_2(url: str) -> None:
    result = run("hi", "--url", url)
    assert result.returncode == 2 and "--url must be like" in result.stderr


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments",
    [
        ["--timeout", "0"],
        ["--timeout", "nan"],
        ["--timeout", "-1"],
        ["--total-timeout", "1e12"],
        ["--temperature", "nan"],
        ["--max-tokens", "0"],
        ["--retries", "-1"],
        ["--model", "\udcff"],
    ],
)
def test_wrong_option_of_the_client_is_exit_2(arguments: list[str]) -> None:
    result = run("hi", *arguments)
    assert result.returncode == 2 and "Traceback" not in result.stderr and result.stderr


@pytest.mark.once
def test_prompt_that_is_no_text_is_exit_2(server: Server) -> None:
    for arguments, data in ((["\udcff"], b""), (["-"], b"\xff")):
        command = [sys.executable, "-m", "sse_ref.client", *arguments, "--url", base(server)]
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            input=data,
            env={**ENVIRONMENT, "PYTHONIOENCODING": "utf-8:strict"},
            timeout=30,
        )
        assert done.returncode == 2 and b"not valid text" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.once
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_one_line(server: Server) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "sse_ref.client", "hi", "--url", base(server)]
        done = subprocess.run(
            command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, timeout=30
        )
    assert done.returncode == 1
    assert (
        done.stderr
        == "sse_ref.client: the output cannot be written: No space left on device, so the stream was cancelled\n"
    )


@pytest.mark.once
@pytest.mark.parametrize("key", [None, "", "two words", "line\nbreak", "caf\u00e9"])
def test_bad_key_is_exit_2_and_not_shown(server: Server, key: str | None) -> None:
    environment = {**ENVIRONMENT, **({"KEY_OF_TEST": key} if key is not None else {})}
    result = run("hi", "--url", base(server), "--api-key-env", "KEY_OF_TEST", env=environment)
    assert result.returncode == 2 and "KEY_OF_TEST" in result.stderr and "Traceback" not in result.stderr
    assert not key or key not in result.stderr


@pytest.mark.once
def test_key_from_the_environment_is_used() -> None:
    with started("--port", "0", "--api-key", "s3cret", "--tps", "0") as server:
        url = url_of(server) + "/v1"
        assert run("hi", "--url", url).returncode == 1
        good = run("hi", "--url", url, "--api-key-env", "K", env={**ENVIRONMENT, "K": "s3cret"})
        assert good.returncode == 0 and "s3cret" not in good.stderr


def test_ctrl_c_cancels_keeps_the_text_and_exits_130() -> None:
    with (
        playing([head(), chunk(HELLO), Hold()]) as server,
        started("hi", "--url", server.url, module="sse_ref.client") as client,
    ):
        assert client.stdout
        assert client.stdout.read(5) == "Hello"
        client.send_signal(signal.SIGINT)
        status, errors = ended(client)
        assert status == 130 and errors.startswith("sse_ref.client: cancelled after 2 pieces\n")


def test_closed_output_cancels_the_stream_with_one_line_and_141() -> None:
    script = [head(), *[chunk(delta("word ")) for _ in range(2000)], Hold()]
    with playing(script) as server, started("hi", "--url", server.url, module="sse_ref.client") as client:
        assert client.stdout and client.stderr
        client.stdout.read(5)
        client.stdout.close()
        status = client.wait(timeout=30)
        assert (status, client.stderr.read()) == (
            141,
            "sse_ref.client: the output was closed, so the stream was cancelled\n",
        )
        client.stdout = None


def test_terminal_that_cannot_show_a_character_shows_a_question_mark(server: Server) -> None:
    result = run(
        "caf\u00e9", "--url", base(server), "--model", "toy-echo", env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"}
    )
    assert (result.returncode, result.stdout) == (0, "caf?\n")
