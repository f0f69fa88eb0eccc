"""Requests: what is refused, with which status, and what is tolerated."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from raw import JSON, PATIENCE, Wire, alive, ask, chat, chat_body, chat_request, request, wait_for

from sse_ref.errors import RequestError
from sse_ref.server import Server, running
from sse_ref.server.requests import ClientGone, Incoming, check_request_line, read_headers


def test_no_unsolicited_100_continue_but_a_solicited_one(server: Server) -> None:
    assert chat(server).head.startswith(b"HTTP/1.1 200 ")
    with Wire(server) as wire:
        body = chat_body()
        wire.send(
            request(
                "POST",
                "/v1/chat/completions",
                headers={**JSON, "Content-Length": str(len(body)), "Expect": "100-continue"},
            )
        )
        assert wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(body)
        assert wire.answer().text() == "one two three"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/models", "/events", "/journal", "/"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "BREW"])
def test_wrong_method_is_405_with_those_that_are_allowed(server: Server, path: str, method: str) -> None:
    answer = ask(server, method, path)
    assert answer.status == 405 and "OPTIONS" in answer.headers["allow"] and len(answer.body) < 500


def in_chunks(body: bytes, size: int) -> bytes:
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%X;x=y\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_body_sent_in_chunks_is_read(server: Server, size: int) -> None:
    chunked = in_chunks(chat_body(), size)
    with Wire(server) as wire:
        for _ in range(2):
            wire.send(request("POST", "/v1/chat/completions", chunked, {**JSON, "Transfer-Encoding": "chunked"}))
            assert wire.answer().text() == "one two three"


@pytest.mark.parametrize("headers", [{"Connection": "close, x"}, {"Connection": "x,Close"}])
def test_close_among_other_options_is_obeyed(server: Server, headers: dict[str, str]) -> None:
    with Wire(server) as wire:
        wire.send(request("GET", "/v1/models", headers=headers))
        assert wire.answer().headers["connection"] == "close" and wire.closed()


def test_space_around_the_length_is_allowed(server: Server) -> None:
    body = chat_body()
    headers = {**JSON, "Content-Length": f"  {len(body)} \t"}
    assert ask(server, "POST", "/v1/chat/completions", body, headers).text() == "one two three"


def test_absolute_form_of_the_target_is_understood(server: Server) -> None:
    assert ask(server, "GET", "http://localhost:1/v1/models").status == 200


GET = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"


POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


MALFORMED: dict[str, tuple[bytes, int]] = {
    "no words": (b"hello\r\n\r\n", 400),
    "binary": (bytes(range(128, 256)) + b"\r\n\r\n", 400),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n", 400),
    "four words": (b"GET / HTTP/1.1 x\r\n\r\n", 400),
    "version": (b"GET / HTTP/x.y\r\n\r\n", 400),
    "version 2": (b"GET / HTTP/2.0\r\n\r\n", 505),
    "long path": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
    "long header": (GET + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "many headers": (GET + b"".join(b"X-%d: y\r\n" % i for i in range(200)) + b"\r\n", 431),
    "header without colon": (GET + b"nonsense\r\n\r\n", 400),
    "no host": (b"GET /v1/models HTTP/1.1\r\n\r\n", 400),
    "two hosts": (GET + b"Host: y\r\n\r\n", 400),
    "one length twice": (POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
    "two lengths": (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    "length and coding": (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "length with sign": (POST + b"Content-Length: +2\r\n\r\n{}", 400),
    "length in words": (POST + b"Content-Length: two\r\n\r\n{}", 400),
    "huge length": (POST + b"Content-Length: 999999999999999999999999\r\n\r\n", 413),
    "length of 5000 digits": (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
    "coding unknown": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "chunk size wrong": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "chunk size huge": (POST + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413),
    "chunk too long": (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n", 400),
    "wrong type": (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
        415,
    ),
    "no body": (POST + b"\r\n", 400),
    "unknown path": (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "dots": (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "encoded dots": (b"GET /%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "model path": (b"GET /v1/models/%0d%0aX:%20y HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "too many query fields": (b"GET /events?" + b"a=1&" * 50 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "CR in a header": (GET + b"X: a\rTransfer-Encoding: chunked\r\n\r\n", 400),
    "CR CR in a header": (GET + b"X: a\r\rContent-Length: 5\r\n\r\n", 400),
    "long trailer": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: " + b"a" * 1021 + b"\r\nGET / HTTP/1.1\r\n\r\n",
        400,
    ),
    "long chunk extension": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"e" * 1100 + b"\r\n{}\r\n0\r\n\r\n",
        400,
    ),
    "NUL in a header": (GET + b"X: a\0b\r\n\r\n", 400),
    "control in a header": (GET + b"X: a\x1bb\r\n\r\n", 400),
    "folded header": (GET + b"X: a\r\n b\r\n\r\n", 400),
    "folded with a tab": (GET + b"X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n", 400),
    "folded at first": (b"GET /v1/models HTTP/1.1\r\n Host: localhost\r\n\r\n", 400),
    "space before the colon": (GET + b"Content-Length : 5\r\n\r\n", 400),
    "no name": (GET + b": 5\r\n\r\n", 400),
    "VT in the request line": (b"GET\x0b/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "no-break space in the request line": (b"GET\xa0/v1/models\xa0HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "two spaces in the request line": (b"GET  /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /v1/models HTTP/0.9\r\nHost: localhost\r\n\r\n", 505),
    "no version": (b"GET /v1/models\r\n\r\n", 400),
    "coding behind VT": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "coding behind a no-break space": (POST + b"Transfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n", 501),
    "coding before NEL": (POST + b"Transfer-Encoding: chunked\x85\r\n\r\n0\r\n\r\n", 501),
    "length behind VT": (POST + b"Content-Length: \x0b2\r\n\r\n{}", 400),
    "length before NEL": (POST + b"Content-Length: 2\x85\r\n\r\n{}", 400),
    "length before a no-break space": (POST + b"Content-Length: 2\xa0\r\n\r\n{}", 400),
    "chunk size before VT": (POST + b"Transfer-Encoding: chunked\r\n\r\n2\x0b\r\n{}\r\n0\r\n\r\n", 400),
    "chunk size before NEL": (POST + b"Transfer-Encoding: chunked\r\n\r\n2\x85\r\n{}\r\n0\r\n\r\n", 400),
    "another host": (b"GET /journal HTTP/1.1\r\nHost: rebound.example\r\n\r\n", 421),
    "bad number in query": (b"GET /events?max_tokens=x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_request_gets_its_status_and_is_not_quoted(server: Server, name: str) -> None:
    sent, status = MALFORMED[name]
    with Wire(server) as wire:
        wire.send(sent)
        answer = wire.answer()
        if status not in (404, 415) and "in query" not in name and "query fields" not in name and name != "no body":
            wire.send(b"X: y\r\n\r\nGET /journal HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answer.headers["connection"] == "close" and wire.closed()  # what follows is no request
    assert answer.status == status
    error = answer.json()["error"]
    assert error["message"] and "aaaa" not in error["message"] and "\\x" not in error["message"]
    assert b"passwd" not in answer.head + answer.body and b"nonsense" not in answer.body
    assert alive(server)


def test_date_is_that_of_the_second(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for at, second in ((1e9, 40), (1e9 + 0.9, 40), (1e9 + 1, 41)):
        monkeypatch.setattr(time, "time", lambda at=at: at)
        for path, status in (("/nothing", 404), ("/v1/models", 200)):
            answer = ask(server, "GET", path)
            assert (answer.status, answer.headers["date"]) == (status, f"Sun, 09 Sep 2001 01:46:{second} GMT")


class Parts:
    """A socket on which these bytes come one after the other."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts

    def settimeout(self, seconds: float) -> None:
        """The parts are there."""

    def recv(self, size: int) -> bytes:
        return self.parts.pop(0) if self.parts else b""


def head_read(parts: list[bytes]) -> object:
    """The headers of a head that comes in parts, and what came after it; or what is wrong with it."""
    incoming = Incoming(Parts(parts), bytearray())  # type: ignore[arg-type]
    incoming.deadline = time.monotonic() + PATIENCE
    try:
        check_request_line(incoming.read_request_line())
        return read_headers(incoming.read_header_lines()), bytes(incoming.buffer) + b"".join(parts)
    except RequestError as error:
        return error.kind
    except ClientGone:
        return "gone"


@pytest.mark.parametrize(("number", "read"), [(100, True), (101, False)])
def test_head_has_up_to_a_hundred_header_lines(number: int, read: bool) -> None:
    head = b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * number + b"\r\n"
    for parts in ([head], [head[:40], head[40:]]):
        assert (head_read(parts) != "long_head") == read


def random_head(chance: random.Random) -> bytes:
    """A head; something is wrong with most lines of every other one."""
    ends, names, values = [b"\r\n", b"\n"], [b"A", b"b"], [b"", b" b\t", b"\x85", b"\xff"]
    if chance.random() < 0.5:
        ends, names = [*ends, b"\r", b"\r\r\n", b"\n\r\n"], [*names, b"Host", b"host", b"a b", b"", b"\xe9"]
        values = [*values, b"\r", b"\0", b"\x0b", b"y" * 65_533, b"y" * 65_534]
    head = b"GET / HTTP/1.1" + chance.choice(ends)
    for _ in range(chance.choice([0, 1, 2, 100, 101])):
        head += chance.choice(names) + b":" + chance.choice(values) + chance.choice(ends)
    return head + chance.choice([b"\r\n", b"\n", b"", b"\r"]) + chance.choice([b"", b"{}"])


def test_head_is_read_alike_whole_and_in_parts() -> None:
    chance = random.Random(9)
    seen = set()
    for _ in range(600):
        head = random_head(chance)
        cuts = sorted(chance.sample(range(1, len(head)), 3))
        whole = head_read([head])
        assert head_read([head[start:end] for start, end in itertools.pairwise([0, *cuts, len(head)])]) == whole
        seen.add(whole if isinstance(whole, str) else "read")
    assert seen == {"read", "bad_request", "long_head", "gone"}


@pytest.mark.parametrize(
    "refused", [b"X: a\rb\r\n", b" folded\r\n", b"X: \0\r\n", b"X : y\r\n", b"X: " + b"y" * 70_000 + b"\r\n"]
)
def test_rest_of_a_refused_head_is_no_request(server: Server, refused: bytes) -> None:
    with Wire(server) as wire:
        wire.send(GET + refused + b"GET /journal HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.answer().status in (400, 431) and wire.closed()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "app.localhost", "127.0.0.1", "127.1.2.3:80", "[::1]:8000", "[::1]"]
)
def test_this_machine_is_served_under_each_of_its_names(server: Server, host: str) -> None:
    assert ask(server, "GET", "/v1/models", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com",
        "127.0.0.1.example.com",
        "10.0.0.1",
        "localhost.example",
        "[::2]:80",
        "x@localhost",
        "x/.localhost",
    ],
)
def test_other_hosts_are_misdirected_on_loopback(server: Server, host: str) -> None:
    for target in ("/journal", "/v1/models", "/", "/fault=cut/v1/models"):
        assert ask(server, "GET", target, headers={"Host": host}).status == 421
    answer = ask(server, "GET", f"http://{host or 'example.com'}/journal", headers={"Host": "localhost"})
    assert answer.status == 421 and answer.json()["error"]["type"] == "invalid_request_error"


def test_host_can_be_let_in() -> None:
    with running(allow_hosts=("App.example",)) as server:
        assert ask(server, "GET", "/v1/models", headers={"Host": "app.example:80"}).status == 200
        assert ask(server, "GET", "/v1/models", headers={"Host": "other.example"}).status == 421


def test_key_is_looked_at_before_the_body() -> None:
    with running(api_key="k") as server, Wire(server) as wire:
        wire.send(POST + b"Content-Length: 100\r\n\r\n{")
        answer = wire.answer()
        assert answer.status == 401 and answer.headers["connection"] == "close" and wire.closed()


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_slow_heads_cost_no_threads(server: Server) -> None:
    before = len(os.listdir("/proc/self/task"))
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(server)) for _ in range(50)]
        for wire in wires:
            wire.send(GET[:-3])
        assert alive(server)
        assert len(os.listdir("/proc/self/task")) < before + 10
        for wire in wires:
            wire.send(b"t\r\n\r\n")
            assert wire.answer().status == 200


def test_script_in_the_path_is_not_reflected(server: Server) -> None:
    answer = ask(server, "GET", "/<script>alert(1)</script>", headers={"X-Request-Id": "evil", "Origin": "evil"})
    assert b"script" not in answer.body and b"evil" not in answer.head


def test_lf_line_ends_and_blank_lines_before_a_request_are_tolerated(server: Server) -> None:
    with Wire(server) as wire:
        wire.send(b"\r\n\r\nGET /v1/models HTTP/1.1\nHost: localhost\n\n")
        assert wire.answer().status == 200


def test_oversized_body_is_413_before_it_is_sent_and_the_client_can_read_it() -> None:
    with running(max_body=1000) as server:
        with Wire(server) as wire:
            wire.send(
                request(
                    "POST", "/v1/chat/completions", headers={**JSON, "Content-Length": "5000", "Expect": "100-continue"}
                )
            )
            assert wire.answer().status == 413
        with Wire(server) as wire:
            wire.send(request("POST", "/v1/chat/completions", b" " * 300_000, JSON))
            assert wire.answer().status == 413
            assert wire.closed()
        with Wire(server) as wire:
            wire.send(
                request(
                    "POST",
                    "/v1/chat/completions",
                    in_chunks(b" " * 3000, 500),
                    {**JSON, "Transfer-Encoding": "chunked"},
                )
            )
            assert wire.answer().status == 413
        assert alive(server)


@pytest.mark.parametrize(
    "part",
    [
        b"G",
        b"GET /v1/models HT",
        GET,
        GET + b"X-Slow: ",
        POST + b"Content-Length: 100\r\n\r\n{",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    ],
    ids=["a letter", "half a line", "half the headers", "half a header", "half a body", "half a chunk"],
)
def test_half_a_request_is_408_after_the_time_for_requests(part: bytes) -> None:
    with running(request_timeout=0.15) as server, Wire(server) as wire:
        wire.send(part)
        answer = wire.answer()
        assert answer.status == 408 and wire.closed()
        assert alive(server)


def test_trickling_headers_do_not_extend_the_time() -> None:
    with running(request_timeout=0.3) as server, Wire(server) as wire:
        began = time.monotonic()
        wire.socket.settimeout(0.02)
        status = b""
        while not status and time.monotonic() - began < PATIENCE:
            try:
                wire.send(b"G")
                status = wire.socket.recv(1000)
            except TimeoutError:
                continue
        assert b" 408 " in status


@pytest.mark.parametrize("part", [b"", b"GET /v1/mod", GET, POST + b"Content-Length: 100\r\n\r\n{", chat_request()])
def test_client_that_closes_at_any_point_harms_nothing(server: Server, part: bytes) -> None:
    for reset in (False, True):
        wire = Wire(server)
        wire.send(part)
        if reset:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wire.socket.close()
    assert alive(server)


def test_idle_connection_is_closed_after_its_time() -> None:
    with running(idle_timeout=0.5) as server:
        with Wire(server) as silent:
            assert silent.closed()
        with Wire(server) as wire:
            wire.send(chat_request())
            assert wire.answer().text() == "one two three"
            assert wire.closed()


def test_random_bytes_never_hang_or_kill_the_server() -> None:
    chance = random.Random(3)
    pieces = [
        b"GET ",
        b"POST ",
        b"/v1/chat/completions",
        b"/events",
        b" HTTP/1.1",
        b"\r\n",
        b"\n",
        b"Host: x",
        b"Content-Length: ",
        b"5",
        b"-1",
    ]
    pieces += [
        b"Transfer-Encoding: chunked",
        b"{}",
        b'{"model":"toy"}',
        b"\0",
        b"\xff",
        b": ",
        b"Content-Type: application/json",
        b"0\r\n\r\n",
    ]
    with running(request_timeout=1, idle_timeout=1) as server:

        def attack(seed: int) -> None:
            own = random.Random(seed)
            with Wire(server) as wire:
                try:
                    wire.send(b"".join(own.choices(pieces, k=own.randrange(1, 25))))
                    wire.socket.shutdown(socket.SHUT_WR)
                except OSError:
                    return
                answer = wire.rest()
                assert not answer or answer.startswith((b"HTTP/1.1 ", b"{")), answer[:100]

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(attack, [chance.randrange(2**32) for _ in range(300)]))
        assert alive(server)


def test_name_with_half_a_character_is_a_bad_request(server: Server) -> None:
    answer = ask(server, "POST", "/v1/chat/completions", b'{"\\ud800": 1}', JSON)
    assert answer.status == 400 and answer.json()["error"]["param"] == "\\ud800"


def test_empty_lines_before_a_request_cost_no_thread() -> None:
    with running() as server, Wire(server) as wire:
        wire.send(b"\r\n\r\n")
        assert wait_for(lambda: any(connection.read_ahead for connection in server.loop.entries))
        assert not server.loop.serving
        wire.send(chat_request())
        assert wire.answer().text() == "one two three"


def test_continue_is_not_said_to_http_1_0(server: Server) -> None:
    headers = {**JSON, "Expect": "100-continue", "Connection": "close"}
    with Wire(server) as wire:
        wire.send(request("POST", "/v1/chat/completions", chat_body(), headers, version="1.0"))
        assert wire.answer().status == 200


def test_every_version_from_1_1_needs_a_host(server: Server) -> None:
    for version, status in (("1.0", b"200"), ("1.1", b"400"), ("1.9", b"400")):
        with Wire(server) as wire:
            wire.send(f"GET /v1/models HTTP/{version}\r\nConnection: close\r\n\r\n".encode())
            assert wire.rest()[9:12] == status
