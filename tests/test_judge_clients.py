"""The judge of clients: every fault is caught, every vector catches something, a correct stranger is not failed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import indent

import pytest
from broken.clients import CHAT, COHERE, GEMINI, MESSAGES, QUIRKS, RESPONSES, SOURCE
from broken.run_client import OVER
from raw import wait_for

from sse_ref.conformance import clients, corpus, hostile, programs
from sse_ref.conformance.clients import Client
from sse_ref.conformance.corpus import Vector, load
from sse_ref.conformance.hostile import HostileServer
from sse_ref.conformance.programs import NoReply, Running
from sse_ref.conformance.verdicts import Result

VECTORS = {vector.id: vector for vector in load("client")}
ROOT = Path(__file__).parents[1]
BROKEN = ROOT / "tests" / "broken"
CLIENT = str(BROKEN / "client.py")
RUN_CLIENT = str(BROKEN / "run_client.py")
FAULTS = {
    "openai-chat": CHAT,
    "anthropic": MESSAGES,
    "cohere": COHERE,
    "gemini": GEMINI,
    "openai-responses": RESPONSES,
    "quirks": QUIRKS,
    "sse": SOURCE,
}
AT_ONCE = 10


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as server:
        yield server


class Forked(Client):
    """Any client of ``run_client.py``: a process that is kept forks one for each case."""

    profile, fault = "", "none"

    def __init__(self) -> None:
        super().__init__([sys.executable, "-I", "-S", RUN_CLIENT], persistent=True)

    def begin(self, case: Mapping[str, str]) -> Running:
        return super().begin({**case, "PROFILE": self.profile, "FAULT": self.fault})

    def finish(self, *, well: bool) -> None:
        """Wait until the process of the case has ended: what it says last belongs to no other."""
        super().finish(well=well)
        try:
            while self._running is not None and self._running.line(20.0) != OVER:
                pass
        except NoReply:
            self.stop()


def judge_all(runs: Sequence[tuple[Vector, str]]) -> list[Result]:
    """Judge the client with each fault by its vector, several at once; those of one thread share server and parent."""
    local = threading.local()

    def one(run: tuple[Vector, str]) -> Result:
        vector, local.client.fault = run
        local.client.profile = vector.profile
        return clients.judge(vector, local.server, local.client, timeout=20.0)

    with contextlib.ExitStack() as stack:

        def begin() -> None:
            local.server, local.client = stack.enter_context(HostileServer()), Forked()
            stack.callback(local.client.stop)

        with ThreadPoolExecutor(AT_ONCE, initializer=begin) as pool:
            return list(pool.map(one, runs))


@contextlib.contextmanager
def kept(command: list[str]) -> Iterator[Client]:
    client = Client(command, persistent=True)
    try:
        yield client
    finally:
        client.stop()


def command(profile: str | None, fault: str) -> list[str]:
    return [sys.executable, "-I", "-S", RUN_CLIENT, str(profile), fault]


def judge(vector: Vector, fault: str, server: HostileServer, factor: float = 1.0) -> Result:
    return clients.judge(vector, server, Client(command(vector.profile, fault)), timeout=20.0, factor=factor)


@pytest.mark.once
def test_correct_client_of_another_make_passes_everything() -> None:
    results = judge_all([(vector, "none") for vector in VECTORS.values()])
    assert not [(r.vector.id, r.verdict, r.reason) for r in results if r.verdict != "pass"]


@pytest.mark.once
def test_correct_client_that_is_started_for_each_case_passes_what_tells_most(server: HostileServer) -> None:
    quick = [v for v in VECTORS.values() if "quick" in v.tags and v.profile in ("openai-chat", "sse")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda vector: judge(vector, "none", server), quick))
    assert len(quick) > 50 and not [(r.vector.id, r.verdict, r.reason) for r in results if r.verdict != "pass"]


@pytest.mark.once
@pytest.mark.parametrize("profile", ["openai-chat", "sse"])
def test_client_that_asks_for_gzip_passes_everything_about_codings(profile: str, server: HostileServer) -> None:
    about = [v for v in VECTORS.values() if v.profile == profile and ("gzip" in v.id or "coding" in v.id)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda vector: judge(vector, "gzip", server), about))
    assert about and not [(r.vector.id, r.verdict, r.reason) for r in results if r.verdict != "pass"]


@pytest.mark.once
def test_client_that_leaves_at_the_finish_reason_never_saw_the_transport_fail(server: HostileServer) -> None:
    vectors = [vector for vector in VECTORS.values() if vector.id.startswith("end/") and "-after-finish" in vector.id]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda vector: judge(vector, "ends-at-finish", server), vectors))
    # A busy machine may let it leave late: then it is asked again, alone and with patience.
    late = [judge(r.vector, "ends-at-finish", server, factor=10.0) for r in results if r.verdict != "pass"]
    assert len(vectors) == 12 and not [(r.vector.id, r.reason) for r in late if r.verdict != "pass"]


def test_client_without_a_key_is_not_judged_by_where_it_goes(server: HostileServer) -> None:
    result = judge(VECTORS["http/307-key-stays-at-home"], "key-never-sent", server)
    assert (result.verdict, result.reason) == ("skip", "it does not send the key that SSE_CONFORMANCE_KEY holds")


@pytest.mark.once
def test_source_that_knows_nothing_of_closing_is_not_judged_by_it(server: HostileServer) -> None:
    result = judge(VECTORS["source/cancel-after-events"], "closing-unknown", server)
    assert result.verdict == "skip" and "cancelling" in result.reason and not result.expired


@pytest.mark.once
def test_every_fault_is_caught_and_no_vector_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "HOLD_SECONDS", 3.0)  # what fails by holding out does so for less long
    assert set(FAULTS) == set(corpus.CLIENT_PROFILES)
    runs = [(VECTORS[id], fault) for faults in FAULTS.values() for fault, ids in faults.items() for id in ids.split()]
    assert {vector.id for vector, _ in runs} == {vector.id for vector in VECTORS.values() if vector.level != "may"}
    for _ in range(3):
        results = zip(runs, judge_all(runs), strict=True)
        runs = [run for run, result in results if result.verdict not in ("fail", "error")]
        # A busy machine can keep a client that does not wait: only that is looked at again.
        assert not [(fault, v.id) for v, fault in runs if not {"gap_s", "gaps_s"} & set(v.body["expect"])]
    assert not [(fault, vector.id) for vector, fault in runs]


@pytest.mark.once
def test_source_that_goes_on_after_204_is_charged_for_that_only(server: HostileServer) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sources = [v for v in VECTORS.values() if v.profile == "sse" and ("quick" in v.tags or "status" in v.id)]
        results = list(pool.map(lambda vector: judge(vector, "reconnects-at-204", server), sources))
    assert [r.vector.id for r in results if r.verdict != "pass"] == ["source/status-204"]


def test_start_of_a_client_is_not_counted(server: HostileServer) -> None:
    code = f"import time; time.sleep(2); import sys; sys.argv = ['c', 'openai-chat', 'none', sys.argv[1]]; exec(open({CLIENT!r}).read())"
    command = [sys.executable, "-I", "-S", "-c", code]
    started = clients.Started()
    result = clients.judge(VECTORS["wire/baseline"], server, Client(command), timeout=1.5, started=started)
    assert result.verdict == "pass" and started.slowest is not None and started.slowest > 2
    assert started.limit(1.5) > 8


@pytest.mark.parametrize("id", ["end/held-after-done", "wire/shown-as-it-comes"])
def test_what_was_only_late_is_to_be_tried_again(
    id: str, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostile, "HOLD_SECONDS", 0.2)
    late = {"end/held-after-done": "waits-for-the-end", "wire/shown-as-it-comes": "prints-at-the-end"}
    result = judge(VECTORS[id], late[id], server)
    assert (result.verdict, result.expired) == ("fail", True)
    assert not judge(VECTORS["end/no-finish-no-done"], "eof-is-complete", server).expired


# ---- Programs as they are --------------------------------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    ("code", "verdict", "reason"),
    [
        ("pass", "error", "exit status 0 and printed no end"),
        ("raise SystemExit(7)", "error", "exit status 7"),
        ("import time; time.sleep(60)", "error", "timeout"),
        ("print('hello')", "error", "no JSON object"),
        ("print('[1]')", "error", "no JSON object"),
        ('print(\'{"end": "done"}\')', "error", "none of"),
        ('print(\'{"skip": "no tools"}\')', "skip", "no tools"),
        ("import sys\nwhile True: sys.stdout.write('{}\\n')", "error", "floods"),
        ('import time\nwhile True: print(\'{"delta": "x"}\', flush=True); time.sleep(0.01)', "error", "timeout"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "error", "signal"),
        ('print(\'{"end": "complete", "text": "Hello"}\')', "fail", "0 requests"),
        ('print(\'{"delta": "zzz"}\\n{"end": "complete", "text": "Hello"}\')', "fail", "deltas together"),
        ('print(\'{"delta": "Hello", "end": null, "skip": null}\\n{"end": "timeout"}\')', "fail", "says timeout"),
    ],
)
def test_program_that_misbehaves_costs_only_its_case(
    code: str, verdict: str, reason: str, server: HostileServer
) -> None:
    command = [sys.executable, "-I", "-S", "-c", code]
    patience = 1.0 if reason == "timeout" else 20.0
    result = clients.judge(VECTORS["wire/baseline"], server, Client(command), timeout=patience)
    assert result.verdict == verdict and reason in result.reason, result.reason


def test_client_is_told_everything(server: HostileServer) -> None:
    code = (
        "import os, sys, json; names = [n for n in os.environ if n.startswith('SSE_CONFORMANCE_')];"
        "print(json.dumps({'skip': json.dumps([sys.argv[-1], {n: os.environ[n] for n in names}])}))"
    )
    result = clients.judge(VECTORS["time/cancel"], server, Client([sys.executable, "-c", code]), timeout=20.0)
    url, environment = json.loads(result.reason)
    assert url == environment["SSE_CONFORMANCE_URL"] == f"{server.url}/case/time/cancel"
    assert environment["SSE_CONFORMANCE_CANCEL_AFTER"] == "5" and environment["SSE_CONFORMANCE_CASE"] == "time/cancel"
    assert json.loads(environment["SSE_CONFORMANCE_BODY"])["stream"] is True
    assert float(environment["SSE_CONFORMANCE_IDLE_S"]) > 0


# ---- A client that is kept -------------------------------------------------------------------------------------------

OURS = [sys.executable, "-m", "sse_ref.conformance.reference", "client"]
HELLO = """import json, sys
sys.path.insert(0, {root!r})
from sse_ref.conformance.reference import chat
for number, line in enumerate(sys.stdin):
    case = json.loads(line)
    if number == 1:
{at_second}
    chat("openai-chat", case)
    if number == 1:
        {after_second}
"""


def own(at_second: str = "pass", after_second: str = "pass") -> list[str]:
    """Our own client, but for what it does in its second case, and after it."""
    code = HELLO.format(root=str(ROOT), at_second=indent(at_second, " " * 8), after_second=after_second)
    return [sys.executable, "-c", code]


@pytest.mark.once
@pytest.mark.parametrize("profile", ["openai-chat", "sse"])
def test_kept_client_passes_what_a_started_one_does(profile: str, server: HostileServer) -> None:
    vectors = [vector for vector in VECTORS.values() if vector.profile == profile and "quick" in vector.tags]
    with kept([*OURS, profile]) as client:
        results = [clients.judge(vector, server, client, timeout=20.0) for vector in vectors]
    assert len(vectors) > 5 and not [(r.vector.id, r.reason) for r in results if r.verdict != "pass"]


def test_kept_client_is_one_process_and_is_told_each_case_anew(server: HostileServer) -> None:
    code = (
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    print(json.loads(line)['SSE_CONFORMANCE_CASE'], file=sys.stderr, flush=True)\n"
        "    print(json.dumps({'skip': f'{os.getpid()} {line}'}), flush=True)"
    )
    with kept([sys.executable, "-I", "-S", "-c", code]) as client:
        one = clients.judge(VECTORS["time/cancel"], server, client, 20.0)
        assert wait_for(lambda: client._running and b"time/cancel" in client._running.errors)
        other = clients.judge(VECTORS["wire/baseline"], server, client, 20.0)
        assert "time/cancel" not in other.stderr
    pids, lines = zip(*(result.reason.split(" ", 1) for result in (one, other)), strict=True)
    first, second = map(json.loads, lines)
    assert pids[0] == pids[1]
    assert (first["SSE_CONFORMANCE_CASE"], first["SSE_CONFORMANCE_CANCEL_AFTER"]) == ("time/cancel", "5")
    assert second["SSE_CONFORMANCE_URL"] == f"{server.url}/case/wire/baseline"
    assert "SSE_CONFORMANCE_CANCEL_AFTER" not in second


@pytest.mark.once
@pytest.mark.parametrize(
    ("misbehaves", "reason"),
    [
        ("sys.exit(7)", "exit status 7"),
        ('print(\'{"delta": "x"}\', flush=True); sys.exit(0)', "exit status 0"),
        ("import time; time.sleep(600)", "timeout"),
        ("print('hello', flush=True)", "no JSON object"),
        ('print(\'{"end": "done"}\', flush=True); continue', "none of"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal"),
    ],
)
def test_kept_client_that_misbehaves_costs_only_its_case(misbehaves: str, reason: str, server: HostileServer) -> None:
    with kept(own(misbehaves)) as client:
        timeouts = (20.0, 1.0 if reason == "timeout" else 20.0, 20.0)
        results = [clients.judge(VECTORS["wire/baseline"], server, client, timeout) for timeout in timeouts]
    assert [result.verdict for result in results] == ["pass", "error", "pass"], [r.reason for r in results]
    assert reason in results[1].reason


@pytest.mark.once
def test_our_client_plays_a_case_by_hand_from_its_url_alone(server: HostileServer) -> None:
    session = server.open(VECTORS["source/baseline"])
    done = subprocess.run([*OURS, "sse", session.base], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert session.requests and json.loads(done.stdout.splitlines()[-1])["end"], done.stderr


@pytest.mark.once
def test_kept_client_that_ends_between_two_cases_is_started_again(server: HostileServer) -> None:
    with kept(own("sys.exit(0)")) as client:
        results = [clients.judge(VECTORS["wire/baseline"], server, client, 20.0) for _ in range(3)]
    assert [result.verdict for result in results] == ["pass"] * 3, [r.reason for r in results]


@pytest.mark.once
@pytest.mark.parametrize("late", ['print(\'{"delta": "late"}\', flush=True)', "sys.exit(0)"])
def test_what_a_kept_client_does_after_its_end_belongs_to_no_case(late: str, server: HostileServer) -> None:
    others = set(programs._LIVE)
    with kept(own(after_second=late)) as client:
        results = []
        for number in range(4):
            results.append(clients.judge(VECTORS["wire/baseline"], server, client, 20.0))
            assert number != 1 or wait_for(lambda: client._running and not client._running.lines.empty())
        assert len(programs._LIVE - others) == 1
    assert [result.verdict for result in results] == ["pass"] * 4, [r.reason for r in results]


@pytest.mark.once
def test_kept_client_has_to_close_what_it_leaves(server: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends closes everything, so that only a kept one shows it."""
    leaves_open = (
        "import http.client, socket\n"
        "socket.socket.close = http.client.HTTPResponse.close = lambda self: None\n"
        "socket.socket._real_close = lambda self, *rest: None\n"
        "socket.socket.shutdown = lambda self, how: None"
    )
    with kept(own(leaves_open)) as client:
        closes = clients.judge(VECTORS["time/silent-mid-stream"], server, client, 20.0)
        monkeypatch.setattr(clients, "HOLD_SECONDS", 0.5)
        leaves = clients.judge(VECTORS["time/silent-mid-stream"], server, client, 20.0)
    assert (closes.verdict, closes.reason) == ("pass", "")
    assert (leaves.verdict, leaves.reason) == ("fail", "it left the connection open")


# ---- What is shown ---------------------------------------------------------------------------------------------------


def test_case_is_run_again_when_its_own_pauses_came_late(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []

    def run(vector: Vector, session: hostile.Session, *rest: object) -> clients.Printed:
        runs.append(session)
        session.late = 5.0 if len(runs) == 1 else 0.0
        return clients.Printed(end={"end": "timeout" if len(runs) == 1 else "complete"}, deltas=["Hello"])

    monkeypatch.setattr(clients, "_run", run)
    result = clients.judge(VECTORS["time/comments-keep-alive"], server, Client(["x"]), timeout=1.0)
    assert len(runs) == 2 and "0 requests" in result.reason


def test_failure_shows_what_the_server_did_and_what_the_client_printed(server: HostileServer) -> None:
    result = judge(VECTORS["end/held-after-done"], "bad-json-skipped", server)
    assert result.verdict == "pass" and not result.shown
    result = judge(VECTORS["end/no-finish-no-done"], "eof-is-complete", server)
    told = "\n".join(result.shown["server"])
    for line in ("request 1: POST /case/end/no-finish-no-done", "sent ", "the client printed 'Hel'"):
        assert line in told
    assert '"end": "complete"' in result.shown["client"][-1]


# ---- The hostile server ----------------------------------------------------------------------------------------------


def ask(server: HostileServer, id: str, path: str = "/chat/completions") -> bytes:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"POST /case/{id}{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        data = b""
        try:
            while not data.endswith((b"0\r\n\r\n", b"}\n")) and (more := connection.recv(65536)):
                data += more
        except ConnectionResetError:
            data += b"RESET"
        return data


def test_bytes_come_before_the_reset(server: HostileServer) -> None:
    server.open(VECTORS["end/reset"])
    data = ask(server, "end/reset")
    assert b'"content": "lo"' in data and data.endswith(b"RESET")


def test_anything_below_the_case_gets_the_case(server: HostileServer) -> None:
    server.open(VECTORS["wire/baseline"])
    for path in ("", "/", "/chat/completions", "/v1/models?x=1"):
        assert ask(server, "wire/baseline", path).endswith(b"0\r\n\r\n")
    assert b"no case is played here" in ask(server, "wire/unknown")


def test_each_request_gets_its_own_script(server: HostileServer) -> None:
    session = server.open(VECTORS["http/500-then-200"])
    assert ask(server, "http/500-then-200").startswith(b"HTTP/1.1 500")
    assert all(ask(server, "http/500-then-200").startswith(b"HTTP/1.1 200") for _ in range(2))
    assert len(session.requests) == 3 and session.timeline


def test_cases_are_opened_while_others_are_played(server: HostileServer) -> None:
    """Many cases run at once: opening one must not disturb the search for another."""
    vector = VECTORS["wire/baseline"]

    def open_many() -> None:
        for number in range(3000):
            server.open(dataclasses.replace(vector, id=f"wire/{number}"))

    server.open(vector)
    asked = hostile.SeenRequest("POST", "/case/wire/baseline/chat/completions", [], b"", 0.0)
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_many)
        while not opening.done():
            session = server.respond(asked)
            assert isinstance(session, hostile.Session) and session.vector is vector
        opening.result()


def test_client_that_asks_without_a_pause_is_made_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that connects again every millisecond would keep the whole machine busy."""
    monkeypatch.setattr(hostile, "MANY_REQUESTS", 3)
    monkeypatch.setattr(hostile, "PAUSE_FOR_MANY", 600.0)
    with HostileServer() as server, ThreadPoolExecutor(1) as pool:
        session = server.open(VECTORS["source/baseline"])
        for _ in range(3):
            ask(server, "source/baseline")
        waiting = pool.submit(ask, server, "source/baseline")
        assert wait_for(lambda: len(session.requests) + session.beyond == 4) and not waiting.done()
        session.over.set()
        waiting.result(timeout=20)


def test_stopping_the_server_ends_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "HOLD_SECONDS", 600.0)
    with HostileServer() as server:
        session = server.open(VECTORS["time/silent-before-head"])
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(ask, server, "time/silent-before-head")
            assert wait_for(lambda: session.requests)
            server.__exit__()
            assert asked.result(timeout=20) == b""


def test_serve_plays_the_cases_by_hand() -> None:
    words = [sys.executable, "-m", "sse_ref.conformance", "serve", "--port", "0"]
    with subprocess.Popen(words, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        try:
            url = line.split()[5].removesuffix("/case/ID")
            host, port = url.removeprefix("http://").split(":")
            for _ in range(2):
                with socket.create_connection((host, int(port)), timeout=30) as connection:
                    connection.sendall(b"GET /case/end/chunked-cut HTTP/1.1\r\nHost: x\r\n\r\n")
                    data = b""
                    while more := connection.recv(65536):
                        data += more
                assert data.startswith(b"HTTP/1.1 200 OK") and b'"lo"' in data and not data.endswith(b"0\r\n\r\n")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()


def told(id: str, end: dict[str, object], *deltas: str) -> tuple[str, str]:
    """The verdict on a client that prints this, where the server saw one good request."""
    session = hostile.Session(VECTORS[id], "")
    session.requests.append(hostile.SeenRequest("POST", "/", [], b"{}", time.monotonic()))
    return clients.compare(VECTORS[id], clients.Printed(deltas=list(deltas), end=end), session)


def test_what_a_client_does_not_tell_is_a_skip() -> None:
    complete: dict[str, object] = {"end": "complete", "text": "Hello"}
    assert told("shape/usage-chunk", complete)[0] == "skip"
    assert told("shape/usage-chunk", {**complete, "usage": None})[0] == "fail"
    assert told("tool/standard", {"end": "complete", "tool_calls": None})[0] == "skip"
    assert told("tool/standard", {"end": "complete", "tool_calls": []})[0] == "fail"
    assert told("tool/standard", {"end": "complete", "tool_calls": [None, 5]})[0] == "fail"
    assert told("error/in-stream", {"end": "api_error", "text": "Hello"})[0] == "pass"
    assert told("http/400-plain-text", {"end": "http_error", "status": 400})[0] == "skip"
    assert told("wire/shown-as-it-comes", complete)[0] == "skip"


def test_giving_up_early_is_told_by_the_time_of_the_last_line() -> None:
    vector = VECTORS["time/silent-after-head"]
    session = hostile.Session(vector, "")
    session.requests.append(hostile.SeenRequest("POST", "/", [], b"{}", time.monotonic() - 5))
    early = clients.Printed(end={"end": "timeout", "text": ""}, ended_at=session.requests[0].at + 0.1)
    assert clients.compare(vector, early, session)[0] == "fail"
    early.ended_at = session.requests[0].at + 1.1
    assert clients.compare(vector, early, session)[0] == "pass"
