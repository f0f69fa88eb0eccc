"""The judge of servers: every fault is caught, every vector catches something, a correct stranger is not failed."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from broken import typed
from broken.cohere import COHERE_FAULTS
from broken.gemini import GEMINI_FAULTS
from broken.messages import MESSAGES_FAULTS
from broken.responses import RESPONSES_FAULTS
from broken.server import FAULTS, KEY, SOURCE_FAULTS, UNUSUAL, Broken, serving

from sse_ref.conformance import corpus, servers, wire
from sse_ref.conformance.commands import main
from sse_ref.conformance.corpus import load
from sse_ref.conformance.servers import ROLES, Target, chats, judge, judge_patiently, streams
from sse_ref.conformance.verdicts import Result
from sse_ref.conformance.wire import Address, Exchange, RawConnection
from sse_ref.server import running

VECTORS = {vector.id: vector for vector in load("server")}
MODELS = {"": "m", **{role: role for role in ROLES}}
AT_ONCE = 10
BROKEN = {
    "openai-chat": FAULTS,
    "anthropic": MESSAGES_FAULTS,
    "cohere": COHERE_FAULTS,
    "gemini": GEMINI_FAULTS,
    "openai-responses": RESPONSES_FAULTS,
    "sse": SOURCE_FAULTS,
}


def target(server: Broken, **more: object) -> Target:
    return Target(server.url, MODELS, KEY, f"{server.url}/journal", timeout=3.0, **more)  # type: ignore[arg-type]


def run(fault: str, ids: list[str], profile: str = "openai-chat", **more: object) -> list[Result]:
    with serving(fault, profile) as server:
        asked = target(server, profile=profile, **more)
        results = [judge(VECTORS[id], asked) for id in ids]
        # On a machine that is busy a limit may pass.
        return [judge_patiently(one.vector, asked, 30.0) if one.verdict == "error" else one for one in results]


def of(profile: str) -> list[str]:
    return [vector.id for vector in VECTORS.values() if vector.profile == profile]


@pytest.mark.once
def test_correct_server_of_another_make_passes_everything() -> None:
    assert set(BROKEN) == set(corpus.PROFILES)
    with ThreadPoolExecutor(len(BROKEN)) as pool:
        for results in pool.map(lambda profile: run("", of(profile), profile), BROKEN):
            assert not [(r.vector.id, r.verdict, r.reason) for r in results if r.verdict != "pass"]


@pytest.mark.once
def test_correct_but_unusual_servers_are_not_failed() -> None:
    def one(job: tuple[str, str]) -> list[Result]:
        kind, profile = job
        return run(kind, [id for id in of(profile) if "life" not in id], profile)

    jobs = [(kind, profile) for profile in BROKEN for kind in typed.UNUSUAL.get(profile, UNUSUAL)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for (kind, _), results in zip(jobs, pool.map(one, jobs), strict=True):
            allowed = ("pass", "skip") if kind == "no-tools" else ("pass",)
            assert not [(kind, r.vector.id, r.verdict, r.reason) for r in results if r.verdict not in allowed]


@pytest.mark.once
def test_every_fault_is_caught_and_no_vector_is_dead() -> None:
    jobs = [(fault, ids.split(), profile) for profile, faults in BROKEN.items() for fault, ids in faults.items()]
    assert len(jobs) >= 40
    judged = {id for _, ids, _ in jobs for id in ids}
    assert judged == {vector.id for vector in VECTORS.values() if vector.level != "may"}

    def one(job: tuple[str, list[str], str]) -> list[Result]:
        fault, ids, profile = job
        pid = os.getpid() if fault == "leaks" else None
        return run(fault, ids, profile, pid=pid, long_silence=0.3 if fault == "silent" else 30.0)  # not half a minute

    quiet = [job for job in jobs if job[0] != "leaks"]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(zip(quiet, pool.map(one, quiet), strict=True))
    found += [(job, one(job)) for job in jobs if job[0] == "leaks"]  # alone: it counts what the process holds
    # A busy machine can hide a buffer: what was not seen is looked at again, alone.
    unseen = [(fault, r.vector, profile) for (fault, _, profile), rs in found for r in rs if r.verdict != "fail"]
    unseen = [job for job in unseen if all(run(job[0], [job[1].id], job[2])[0].verdict != "fail" for _ in range(3))]
    assert not [(fault, vector.id) for fault, vector, _ in unseen]


@pytest.mark.once
def test_rule_for_every_stream_looks_at_all_that_came() -> None:
    heard, looked_at = run("heartbeat-in-a-line", ["frame/keep-alive-in-silence", "frame/json-or-done"])
    assert heard.verdict != "fail" and looked_at.verdict == "fail"
    assert looked_at.reason.startswith("in the stream of slow: the data is neither JSON nor [DONE]")
    assert any("slow" in line for line in looked_at.shown["request"])


@pytest.mark.once
def test_stream_of_a_connection_of_its_own_is_looked_at_too() -> None:
    mixed, utf8 = run("emoji-broken", ["head/keep-alive", "frame/utf8"])
    assert (mixed.verdict, utf8.verdict) == ("pass", "pass")
    with serving("") as server:
        asked = target(server)
        assert judge(VECTORS["head/keep-alive"], asked).verdict == "pass" and len(asked.unnamed) == 2
        asked.unnamed[1].body = asked.unnamed[1].body.replace(b"data: {", b"data: {\xff", 1)
        result = judge(VECTORS["frame/utf8"], asked)
    assert result.verdict == "fail" and "in the stream of a connection of its own" in result.reason


def test_chunks_of_a_chat_are_the_objects_before_done() -> None:
    data = ('{"n": 1}', "no JSON", "[2]", '{"n": 3}', "[DONE]", '{"n": 4}')
    body = "".join(f"data: {text}\n\n" for text in data).encode()
    exchange = Exchange(200, headers=[("Content-Type", "text/event-stream")], body=body, ended=True)
    assert exchange.values == [{"n": 1}, None, [2], {"n": 3}, None, {"n": 4}]
    assert chats.Chat(exchange).chunks == [{"n": 1}, {"n": 3}]


@pytest.mark.once
@pytest.mark.parametrize(
    ("profile", "id"), [("openai-chat", "head/incremental"), ("gemini", "gemini/array-incremental")]
)
def test_pause_of_this_machine_is_not_taken_for_a_buffer(profile: str, id: str) -> None:
    with serving("", profile) as server:
        asked = target(server, profile=profile)
        judge(VECTORS[id], asked)
        came = asked.sent["base" if profile == "openai-chat" else "no-alt"]
        came.arrivals, came.end_s = [(2.0, len(came.body))], 2.0
        assert judge(VECTORS[id], asked).verdict != "fail"


@pytest.mark.once
def test_every_part_of_a_vector_is_told() -> None:
    (result,) = run("errors-500", ["fault/messages"])
    assert all(name in result.reason for name in ("no-messages: ", "empty-messages: ", "wrong-messages: "))
    (key,) = run("any-key", ["fault/key"])
    assert "wrong-key: " in key.reason and "no-key: " in key.reason
    (nulls,) = run("nulls-refused", ["null/parameters"])
    assert [name for name in ("temperature", "stop", "seed", "metadata", "n:") if f"null-{name}" in nulls.reason] == [
        "temperature",
        "stop",
        "seed",
        "metadata",
    ]


@pytest.mark.once
def test_what_a_server_is_said_not_to_have_is_skipped() -> None:
    results = run("n-ignored", ["chunk/n", "chunk/max-tokens"], without=frozenset({"n"}))
    assert [result.verdict for result in results] == ["skip", "pass"]


def test_headers_go_with_each_request() -> None:
    asked = Target("http://h/v1", {"": "m"}, headers={"X-Team": "7"})
    assert b"X-Team: 7\r\n" in asked.ask("Why?") and b"X-Team: 7\r\n" in asked.request(
        asked.file["exchanges"]["models"]
    )


@pytest.mark.once
def test_quick_run_asks_at_once_and_what_failed_to_come_again() -> None:
    with serving("") as server:
        asked = target(server)
        asked.ask_at_once(["base", "again", "usage", "tool"], 4)
        came = dict(asked.sent)
        assert set(came) == {"base", "again", "usage", "tool"} and all(exchange.ended for exchange in came.values())
        assert judge(VECTORS["usage/sum"], asked).verdict == "pass" and asked.sent == came  # nothing was sent again
    with serving("") as server:
        impatient = target(server)
        impatient.timeout, impatient.long_silence = 0.001, 0.0
        impatient.ask_at_once(["base"], 4)
        assert impatient.sent == {}


@pytest.mark.parametrize(("options", "jobs"), [([], []), (["--jobs", "1"], []), (["--jobs", "4"], [4])])
def test_jobs_are_requests_at_once(options: list[str], jobs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(Target, "ask_at_once", lambda self, names, jobs: told.append(jobs))
    with running() as server:
        assert main(["server", "head/status-200", f"{server.url}/v1", "--model", "toy", *options]) == 0
    assert told == jobs


def test_journal_that_is_full_tells_how_a_stream_ended() -> None:
    with running(tps=100, journal_size=3) as server:
        asked = Target(f"{server.url}/v1", {"": "toy", "slow": "toy-slow"}, journal=f"{server.url}/journal")
        for _ in range(3):
            assert [judge(VECTORS[id], asked).verdict for id in ("life/leave", "life/leave-in-silence")] == ["pass"] * 2


@pytest.mark.once
def test_slow_server_fails_nothing_for_it() -> None:
    with running(tps=100) as server:
        asked = Target(f"{server.url}/v1", {"": "toy", "echo": "toy-echo"}, timeout=0.2)
        asked.warm_up()
        for id in ("head/not-streamed", "chunk/equals-whole", "frame/ends-after-done"):
            result = judge(VECTORS[id], asked)
            assert result.verdict == "pass", (id, result.reason)


@pytest.mark.once
def test_server_with_one_slot_fails_nothing_for_it() -> None:
    with serving("serial") as server:
        asked = Target(server.url, MODELS, KEY, timeout=1.0)
        asked.warm_up()
        results = [judge(VECTORS[id], asked) for id in of("openai-chat") if id.startswith("life/")]
        again = [judge_patiently(result.vector, asked, 20.0) if result.expired else result for result in results]
    assert {result.verdict for result in again} <= {"pass", "skip"}, [(r.vector.id, r.reason) for r in again]
    assert {result.verdict for result in results} <= {"pass", "skip", "error"}


def test_limit_that_passes_is_an_error_and_is_tried_again() -> None:
    good = b"data: {}\n\ndata: [DONE]\n\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    url, thread = serve(head, head + good, pause=1.0)
    asked = Target(f"{url}/v1", MODELS, KEY, timeout=0.3)
    first = judge(VECTORS["head/content-type"], asked)
    assert (first.verdict, first.expired) == ("error", True) and "nothing came for 0.3 s" in first.reason
    assert judge(VECTORS["head/no-interim"], asked).expired  # the same exchange, and not sent again
    again = judge_patiently(VECTORS["head/content-type"], asked, 20.0)
    assert (again.verdict, again.expired) == ("pass", False), again.reason
    assert judge(VECTORS["head/no-interim"], asked).verdict == "pass"
    thread.join()


def test_stream_that_stays_open_after_its_last_event_is_charged_once() -> None:
    chunk = b'data: {"choices": []}\n\ndata: [DONE]\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    url, thread = serve(head + b"%x\r\n%b\r\n" % (len(chunk), chunk), pause=1.5)
    asked = Target(f"{url}/v1", MODELS, KEY, timeout=0.3)
    results = {id: judge(VECTORS[id], asked) for id in ("frame/ends-after-done", "head/last-chunk", "frame/utf8")}
    thread.join()
    assert [result.verdict for result in results.values()] == ["fail", "skip", "pass"]
    assert results["frame/ends-after-done"].expired


@pytest.mark.parametrize(
    "forever",
    [b"data: x\n\n", b"HTTP/1.1 200 OK\r\nX: y\r\n", b"HTTP/1.1 103 Hints\r\n\r\n"],
    ids=["a body", "a head", "interim answers"],
)
def test_server_that_trickles_for_ever_is_not_waited_for_for_ever(forever: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def trickle() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            if forever.startswith(b"data"):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            while not stopping.wait(0.02):
                connection.sendall(forever)

    thread = threading.Thread(target=trickle)
    thread.start()
    address = Address.parse(f"http://127.0.0.1:{listener.getsockname()[1]}")
    try:
        with RawConnection(address, 5.0, limit=0.5) as connection:
            exchange = connection.answer()
    finally:
        stopping.set()
        thread.join()
        listener.close()
    assert exchange.problem and (exchange.expired or forever.startswith(b"HTTP/1.1 1"))


@pytest.mark.once
@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "Content-Length: 999999999999", "Connection: close"])
def test_body_is_bounded_in_every_framing(framing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_BODY", 100_000)
    body = b"x" * 150_000
    chunked = b"".join(b"3e8\r\n%b\r\n" % body[:1000] for _ in range(150))
    raw = f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode() + (chunked if "chunked" in framing else body)
    exchange = exchange_of(raw)
    assert "larger than" in exchange.problem and not exchange.ended and len(exchange.body) < 300_000  # type: ignore[attr-defined]


@pytest.mark.once
def test_source_without_end_is_judged_and_over() -> None:
    with serving("endless", "sse") as server:
        asked = Target(server.url, MODELS, timeout=0.5, profile="sse")
        asked.warm_up()
        results = [judge(VECTORS[id], asked) for id in of("sse")]
    assert {result.verdict for result in results} <= {"pass", "skip"}, [
        (r.vector.id, r.reason) for r in results if r.verdict == "fail"
    ]


def test_source_is_asked_at_its_url_as_it_was_given() -> None:
    for path in ("/events/", "/events", "", "/"):
        asked = Target(f"http://127.0.0.1:1{path}", {"": ""}, profile="sse")
        assert asked.request({"method": "GET", "path": ""}).startswith(f"GET {path or '/'} HTTP/1.1\r\n".encode())
        assert asked.request({"method": "GET", "path": "/models"}).startswith(
            f"GET {path.rstrip('/')}/models ".encode()
        )


@pytest.mark.parametrize(("ends", "verdict"), [("", "fail"), ("Something else", "skip")])
def test_text_that_depends_on_the_request_is_not_a_short_one(
    ends: str, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as server:
        asked = target(server)
        text = chats.chat_of(asked, "seeded").text()
        told = type("Chat", (), {"text": lambda self, index=0: ends or text[:-2], "finish": lambda self: ["stop"]})()
        monkeypatch.setattr(chats, "with_stop", lambda target, stop: told)
        assert judge(VECTORS["chunk/stop-unmatched"], asked).verdict == verdict


def test_gzip_of_one_member_for_each_event_is_incremental() -> None:
    parts = [gzip.compress(b"data: %d\n\n" % number) for number in range(3)]
    assert list(streams.unpacked(parts)) == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]
    assert list(streams.unpacked([b"".join(parts)])) == [b"data: 0\n\ndata: 1\n\ndata: 2\n\n"]


# ---- What cannot be judged is a skip ---------------------------------------------------------------------------------


def test_what_no_model_can_be_made_to_do_is_a_skip() -> None:
    with serving() as server:
        plain = Target(server.url, {"": "m"}, KEY, timeout=3.0)
        ids = (
            "frame/controls-round-trip",
            "frame/keep-alive-in-silence",
            "fault/in-stream",
            "fault/crash",
            "life/leave",
        )
        results = [judge(VECTORS[id], plain) for id in ids]
        assert {result.verdict for result in results} == {"skip"}
        assert all("--model-for" in r.reason or "--journal" in r.reason for r in results)


def test_key_is_not_judged_without_one_and_never_shown() -> None:
    with serving("type-plain") as server:
        asked = target(server)
        result = judge(VECTORS["head/content-type"], asked)
        assert result.verdict == "fail" and KEY not in str(result.shown) and KEY not in result.reason
        assert any("curl" in line for line in result.shown["request"])
        keyless = Target(server.url, MODELS, None, timeout=3.0)
        assert judge(VECTORS["fault/key"], keyless).verdict == "skip"


def test_refused_key_is_said() -> None:
    with serving() as server:
        result = judge(VECTORS["frame/utf8"], Target(server.url, MODELS, "wrong", timeout=3.0))
        assert result.verdict == "fail" and "401" in result.reason


def test_may_vector_never_fails() -> None:
    (result,) = run("no-space", ["frame/space-after-colon"])
    assert result.verdict == "pass" and "left open" in result.reason


@pytest.mark.once
def test_requests_are_counted_before_they_are_sent() -> None:
    assert servers.requests_needed([VECTORS["head/status-200"], VECTORS["frame/utf8"]]) == 3
    assert servers.requests_needed([VECTORS["life/hundred-leave"]]) == 103
    vectors = [vector for vector in VECTORS.values() if vector.id.startswith(("head/", "usage/"))]
    with serving() as server:
        asked = target(server)
        for vector in vectors:
            judge(vector, asked)
        sent = len(asked.sent)
    assert sent <= servers.requests_needed(vectors)


@pytest.mark.once
@pytest.mark.parametrize("vector", [v for v in VECTORS.values() if v.body["exchanges"]], ids=lambda v: v.id)
def test_every_request_has_a_curl_line(vector: corpus.Vector) -> None:
    line = servers.curl(vector, "http://127.0.0.1:8000/v1")
    assert line.startswith("curl -sN --raw") and "http://127.0.0.1:8000/v1" in line and "{model}" not in line


# ---- HTTP that is broken -----------------------------------------------------------------------------------------------


def exchange_of(raw: bytes) -> object:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(raw)

    thread = threading.Thread(target=serve)
    thread.start()
    with RawConnection(Address.parse(f"http://127.0.0.1:{listener.getsockname()[1]}"), 2.0) as connection:
        connection.send(b"GET / HTTP/1.1\r\n\r\n")
        exchange = connection.answer()
    thread.join()
    listener.close()
    return exchange


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "without a response"),
        (b"hello\r\n\r\n", "begins with"),
        (b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", "header line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "cut"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", "chunk size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n", "longer than its size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "cut"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", ""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nabc", ""),
    ],
)
def test_wire_says_what_is_wrong(raw: bytes, problem: str) -> None:
    exchange = exchange_of(raw)
    assert problem in exchange.problem if problem else not exchange.problem  # type: ignore[attr-defined]


def serve(*replies: bytes, pause: float = 0.0) -> tuple[str, threading.Thread]:
    """A server that answers each connection with the next of these bytes, holds it for the pause, and then is gone."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        for reply in replies:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply)
                time.sleep(pause)
        listener.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", thread


def test_source_that_never_ends_is_judged_by_its_beginning() -> None:
    tick = b"id: 1\ndata: tick\n\n"
    ticks = b"%x\r\n%b\r\n" % (len(tick), tick) * 60
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(head + ticks)
            stopping.wait(30)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    asked = Target(f"http://127.0.0.1:{listener.getsockname()[1]}/", {"": ""}, timeout=3.0, profile="sse")
    verdicts = [judge(VECTORS[f"events/{id}"], asked).verdict for id in ("content-type", "utf8", "last-chunk")]
    stopping.set()
    thread.join()
    listener.close()
    assert verdicts == ["pass", "pass", "skip"]


def test_chunks_that_come_at_one_time_are_no_increments() -> None:
    chunks = b"1\r\na\r\n" * 20 + b"0\r\n\r\n"
    url, thread = serve(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    with RawConnection(Address.parse(url), 3.0) as connection:
        connection.send(b"GET / HTTP/1.1\r\n\r\n")
        assert len(connection.answer().arrivals) <= 2
    thread.join()


def test_server_that_dies_is_an_error_for_what_is_left() -> None:
    url, thread = serve(b"")
    asked = Target(f"{url}/v1", MODELS, KEY, timeout=3.0)
    first = judge(VECTORS["head/status-200"], asked)
    thread.join()
    second = judge(VECTORS["models/list"], asked)
    assert [first.verdict, second.verdict] == ["fail", "error"] and "nothing answers" in second.reason


def test_json_answer_that_is_cut_fails() -> None:
    body = b'{"error": {"message": "m", "type": "t", "param": null, "code": null}}'
    head = b"HTTP/1.1 400 X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (len(body) + 9)
    url, thread = serve(head + body)
    result = judge(VECTORS["fault/bad-json"], Target(f"{url}/v1", MODELS, KEY, timeout=3.0))
    thread.join()
    assert result.verdict == "fail" and "cut" in result.reason


def test_base_url_may_have_a_query() -> None:
    target = Target("http://h/v1?api-version=1", {"": "m"})
    assert target.ask("x").startswith(b"POST /v1/chat/completions?api-version=1 HTTP/1.1\r\n")
