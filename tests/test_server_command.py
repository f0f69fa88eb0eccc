"""``python -m sse_ref.server``: options, first lines, signals, what is printed."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess

import pytest
from raw import chat_request
from terminal import ENVIRONMENT, ended, run, started, url_of


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


def stopped_after_the_first_token(server: subprocess.Popen[str], number: signal.Signals) -> bytes:
    """All of a stream whose server gets a signal when the first token has come."""
    host, port = url_of(server).removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(chat_request("tick " * 100))
        received = b""
        while b"tick" not in received and (more := client.recv(65536)):
            received += more
        server.send_signal(number)
        while more := client.recv(65536):
            received += more
    return received


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_server_ends_open_streams_and_exits_0(number: signal.Signals) -> None:
    with started("--port", "0", "--tps", "20", "--ttft", "0") as server:
        received = stopped_after_the_first_token(server, number)
        assert b"the server is stopping" in received and received.endswith(b"0\r\n\r\n")
        status, errors = ended(server)
        assert status == 0
        assert re.fullmatch(r"[0-9:]{8} POST /v1/chat/completions toy-echo: ended, the server stops, .* s\n", errors)


LATE = """
import sys, time
import sse_ref.server
from sse_ref.server.connection import Connection

begin = Connection.begin


def late(*arguments):
    begin(*arguments)
    time.sleep(0.3)


Connection.begin = late
sys.exit(sse_ref.server.main(["--port", "0", "--ttft", "0", "--tps", "20"]))
"""


def test_stream_gets_its_farewell_although_its_thread_is_slow_to_hand_it_over() -> None:
    with started("-c", LATE, module="") as server:
        received = stopped_after_the_first_token(server, signal.SIGTERM)
        assert b"the server is stopping" in received and ended(server)[0] == 0


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


@pytest.mark.once
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
    assert {"http.server", "sse_ref.server.loop"} <= names
    assert not names & {"sse_ref.client", "sse_ref.transport", "sse_ref.conformance", "urllib.request", "asyncio"}
