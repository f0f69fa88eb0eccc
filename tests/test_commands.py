"""The commands as a user meets them: what they print, where, and the status they end with."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import HELLO, Hold, chunk, delta, event, head, playing, stream, whole
from raw import chat_request

from sse_ref.server import Printer, Server

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "error"}


def run(*arguments: str, module: str = "sse_ref.client", **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=30, **{"env": ENVIRONMENT, **options}
    )  # type: ignore[call-overload,no-any-return]


@contextlib.contextmanager
def started(*arguments: str, module: str = "sse_ref.server") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *(["-m", module] if module else []), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=ENVIRONMENT,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    match = re.search(r"http://[0-9a-z.:\[\]]+", process.stdout.readline())
    assert match
    return match[0]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
    return process.returncode, errors


# ---- The server ------------------------------------------------------------------------------------------------------


def test_server_prints_its_urls_and_a_line_to_paste() -> None:
    with started("--port", "0") as server:
        assert server.stdout
        lines = [server.stdout.readline() for _ in range(4)]
        url = re.search(r"http://127\.0\.0\.1:[0-9]+", lines[0])
        assert url and lines[1] == f"page    {url[0]}/\n"
        assert lines[2].startswith(
            f"try     curl -N {url[0]}/v1/chat/completions -H 'Content-Type: application/json' -d '"
        )
        json.loads(re.search(r"-d '(.*)'", lines[2])[1])  # type: ignore[index]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_server_ends_open_streams_and_exits_0(number: signal.Signals) -> None:
    with started("--port", "0", "--tps", "20", "--ttft", "0") as server:
        host, port = url_of(server).removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(chat_request("tick " * 100))
            received = b""
            while b"tick" not in received:
                received += client.recv(65536)
            server.send_signal(number)
            while more := client.recv(65536):
                received += more
        assert b"the server is stopping" in received and received.endswith(b"0\r\n\r\n")
        status, errors = ended(server)
        assert status == 0
        assert re.fullmatch(r"[0-9:]{8} POST /v1/chat/completions toy-echo: ended, the server stops, .* s\n", errors)


@pytest.mark.once
def test_server_logs_one_line_for_each_stream() -> None:
    with started("--port", "0", "--tps", "0") as server:
        url = url_of(server) + "/v1"
        run("hi", "--url", url, "--model", "toy-echo")
        run("hi", "--url", url, "--model", "none")
        server.terminate()
        lines = ended(server)[1].splitlines()
    assert [line[9:].partition(",")[0] for line in lines] == [
        "POST /v1/chat/completions toy-echo: complete",
        "POST /v1/chat/completions -: refused with 404",
    ]


@pytest.mark.once
def test_server_is_quiet_if_told_so() -> None:
    with started("--port", "0", "--quiet", "--tps", "0") as server:
        run("hi", "--url", url_of(server) + "/v1")
        server.terminate()
        assert ended(server) == (0, "")


def test_server_shows_the_wire_without_control_characters() -> None:
    with started("--port", "0", "--tps", "0", "--ttft", "0", "--quiet", "--show-wire") as server:
        run("\x1b[31mred", "--url", url_of(server) + "/v1", "--model", "toy-echo")
        server.terminate()
        shown = ended(server)[1]
    assert "HTTP/1.1 200 OK\\r\\n" in shown and "data: [DONE]\\n" in shown and "\x1b" not in shown
    assert re.search(r"^[0-9:]{8} :[0-9]+ [0-9]+ bytes$", shown, re.MULTILINE)


@pytest.mark.once
def test_server_goes_on_when_nobody_watches_the_wire() -> None:
    with started("--port", "0", "--tps", "0", "--ttft", "0", "--show-wire") as server:
        url = url_of(server) + "/v1"
        assert server.stderr
        server.stderr.close()
        for _ in range(3):
            assert run("one two", "--url", url, "--model", "toy-echo").stdout == "one two\n"
        server.terminate()
        assert server.wait(timeout=30) == 0
        server.stderr = None


@pytest.mark.once
def asked(url: str, *requests: bytes) -> bytes:
    """Everything that comes back for these requests, one after the other; the last of them ends the connection."""
    host, _, port = url.removeprefix("http://").partition(":")
    received = bytearray()
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        for request in requests:
            sock.sendall(request)
            while data := sock.recv(65536):
                received += data
                if received.endswith(b"0\r\n\r\n"):
                    break
    return bytes(received)


@pytest.mark.once
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("options", [(), ("--show-wire",)], ids=["log", "wire"])
def test_output_that_nobody_reads_holds_nothing_up(options: tuple[str, ...], number: signal.Signals) -> None:
    """More is logged, or shown, than a pipe takes: streams and signals go on all the same."""
    with started("--port", "0", "--tps", "0", "--ttft", "0", *options) as server:
        url = url_of(server)
        last = chat_request("bye", headers={"Connection": "close"})
        lines = [chat_request("hi")] * 1500
        words = [chat_request("word " * 30_000)] * bool(options)
        answers = asked(url, *lines, *words, last)
        assert answers.count(b"data: [DONE]") == 1501 + len(words)
        server.send_signal(number)
        assert server.wait(timeout=30) == 0


def test_what_nobody_read_is_counted() -> None:
    taken, given = os.pipe()
    with open(taken, "rb") as reader, open(given, "w") as writer:
        printer = Printer(writer)
        put = 0
        while not printer.dropped:
            printer.put("x" * 999 + "\n")
            put += 1
        kept = reader.read(1000 * (put - 1))
        while printer.size:  # all is read: the printer is about to see it
            time.sleep(0.001)
        printer.put("y\n")
        printer.close(patience=60)
        writer.close()
        rest = reader.read()
    assert kept.count(b"x\n") == put - 1 and rest == b"... 1 more were not printed: nobody read them\ny\n"


def test_rest_of_the_log_is_printed_at_the_end() -> None:
    with started("--port", "0", "--tps", "0", "--ttft", "0") as server:
        asked(url_of(server), *[chat_request("hi")] * 20, chat_request("bye", headers={"Connection": "close"}))
        server.send_signal(signal.SIGTERM)
        status, errors = ended(server)
        assert status == 0 and errors.count("POST /v1/chat/completions toy-echo") == 21


def test_host_is_let_in_by_an_option() -> None:
    with started("--port", "0", "--allow-host", "app.example") as server:
        url = url_of(server)
        for host, status in (("app.example", b"200"), ("other.example", b"421")):
            asking = f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            assert asked(url, asking).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("silent", [b"", b"GET / HT"], ids=["silent", "half a head"])
def test_longest_rest_makes_room_when_descriptors_run_out(silent: bytes) -> None:
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); import sse_ref.server as s; "
    limited += "sys.exit(s.main(['--port', '0', '--tps', '0']))"
    with started("-c", limited, module="") as server, contextlib.ExitStack() as stack:
        url = url_of(server)
        host, _, port = url.removeprefix("http://").partition(":")
        for _ in range(100):
            sock = stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
            with contextlib.suppress(ConnectionError):
                sock.sendall(silent)
        assert b"[DONE]" in asked(url, chat_request("hi", headers={"Connection": "close"}))
        server.terminate()
        assert ended(server)[0] == 0


def test_busy_port_is_one_line_and_exit_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--port", str(port), module="sse_ref.server")
    assert result.returncode == 2 and result.stdout == ""
    assert re.fullmatch(rf"sse_ref\.server: .* {port}.*: Address already in use; try --port 0\n", result.stderr)


@pytest.mark.once
def test_bind_beyond_loopback_warns() -> None:
    with started("--port", "0", "--host", "0.0.0.0") as server:
        assert server.stderr and "can be reached from other machines" in server.stderr.readline()
        server.terminate()
        assert ended(server)[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "70000"],
        ["--port", "x"],
        ["--tps", "-1"],
        ["--tps", "nan"],
        ["--jitter", "2"],
        ["--max-streams", "0"],
        ["--nope"],
        ["--host", "not a host"],
    ],
)
def test_wrong_option_is_exit_2_without_traceback(arguments: list[str]) -> None:
    result = run(*arguments, module="sse_ref.server")
    assert result.returncode == 2 and "Traceback" not in result.stderr and result.stderr


def test_server_starts_without_loading_what_it_does_not_need() -> None:
    """Loading each of these would be felt at every start."""
    loaded = run("--port", "70000", module="sse_ref.server", env={**ENVIRONMENT, "PYTHONPROFILEIMPORTTIME": "1"}).stderr
    names = {line.rpartition("|")[2].strip() for line in loaded.splitlines()}
    assert {"http.server", "sse_ref.pacing"} <= names
    assert not names & {"sse_ref.client", "sse_ref.transport", "sse_ref.conformance", "urllib.request", "asyncio"}


# ---- The client ------------------------------------------------------------------------------------------------------


def base(server: Server) -> str:
    return server.url + "/v1"


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
def test_wire_does_not_wait_long_for_what_follows_the_end_mark() -> None:
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
        assert status == 130 and errors.startswith("sse_ref.client: cancelled after 2 tokens\n")


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


# ---- Help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["sse_ref.server", "sse_ref.client"])
def test_help_has_examples_and_the_exit_status(module: str) -> None:
    result = run("--help", module=module)
    assert result.returncode == 0 and "examples:" in result.stdout and "exit status:" in result.stdout


def examples_of(module: str) -> list[str]:
    """The commands under "examples:" in the help, without the remarks beside them."""
    text = run("--help", module=module).stdout.partition("examples:\n")[2].partition("\n\n")[0]
    return [re.split(r" {2,}", line.strip())[0] for line in text.splitlines()]


def test_examples_of_the_client_work_when_pasted(server: Server) -> None:
    commands = examples_of("sse_ref.client")
    assert len(commands) == 3
    for command in commands:
        command = command.replace("python -m", f"{sys.executable} -m") + f" --url {base(server)}"
        done = subprocess.run(
            command, shell=True, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=30, env=ENVIRONMENT
        )
        assert done.returncode == 0 and len(done.stdout) > 20, (command, done.stderr)


def test_examples_of_the_server_work_when_pasted() -> None:
    commands = examples_of("sse_ref.server")
    assert len(commands) == 3
    for command in commands:
        arguments = command.removeprefix("python -m sse_ref.server").split()
        with started(*arguments, *([] if "--port" in arguments else ["--port", "0"])) as server:
            assert url_of(server)


def test_package_names_its_commands() -> None:
    for arguments, status in ((), 0), (("--help",), 0), (("nonsense",), 2):
        result = run(*arguments, module="sse_ref")
        assert result.returncode == status
        assert "python -m sse_ref.server" in result.stdout + result.stderr
