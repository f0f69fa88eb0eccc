"""Chat streams: HTTP errors, retries, redirects, timeouts, cancelling."""

from __future__ import annotations

import email.utils
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hostile import (
    DONE,
    HELLO,
    LAST,
    STOP,
    Hold,
    Pause,
    Reset,
    Step,
    chunk,
    delta,
    event,
    head,
    playing,
    stream,
    whole,
)
from streaming import GOOD, STOPPED, ask, complete, failed, source, sse

from sse_ref.client import (
    ChatStream,
    EventSource,
    HTTPStatusError,
    StreamTimeout,
)
from sse_ref.pieces import Text
from sse_ref.server import running

ERROR_BODIES = [
    (b'{"error": {"message": "boom", "type": "x", "param": null, "code": null}}', "boom"),
    (b'{"object": "error", "message": "boom"}', "boom"),
    (b'{"error": "boom"}', "boom"),
    (b'{"detail": [{"msg": "boom"}]}', "boom"),
    (b'{"detail": NaN}', "NaN"),
    (b"boom", "boom"),
    (b"<h1>boom\x1b[31m</h1>", "boom"),
    (b"", "Reason"),
    (b"[" * 100_000, "[["),
]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503])
@pytest.mark.parametrize(("body", "message"), ERROR_BODIES)
def test_http_error_carries_status_and_message(status: int, body: bytes, message: str) -> None:
    chat = failed(ask(whole(f"{status} Reason", body)), "http_error", "", message)
    assert chat.error.status == status  # type: ignore[attr-defined]
    assert "\x1b" not in str(chat.error)  # type: ignore[attr-defined]


def test_body_of_an_http_error_that_never_ends_is_not_waited_for() -> None:
    script = [head("Content-Length: 99", status="400 Bad", chunked=False), b'{"error"', Hold()]
    chat = failed(ask(script, timeout=1), "http_error", "")
    assert chat.server.heard[0].left  # type: ignore[attr-defined]


def busy(*headers: str, status: str = "429 Too Many Requests") -> list[Step]:
    return whole(status, b'{"error": {"message": "busy"}}', *headers)


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        (["Retry-After: 1"], 1, 1),
        (["Retry-After: 0"], 0, 0),
        (["Retry-After: 2.5"], 2.5, 2.5),
        (["retry-after-ms: 1500", "Retry-After: 9"], 1.5, 1.5),
        ([], 0.375, 0.5),
        (["Retry-After: soon"], 0.375, 0.5),
        (["Retry-After: -5"], 0.375, 0.5),
        (["Retry-After: 99999999999999999999 Jan 99999999999999999999 00:00:00"], 0.375, 0.5),
        (["Retry-After: in 20 s"], 10, 21),
        (["Retry-After: " + email.utils.formatdate(0, usegmt=True)], 0, 0),
    ],
)
def test_retry_waits_as_long_as_it_is_told(waits: list[float], headers: list[str], low: float, high: float) -> None:
    in_20_s = email.utils.formatdate(time.time() + 20, usegmt=True)
    headers = [header.replace("in 20 s", in_20_s) for header in headers]
    chat = complete(ask([busy(*headers), stream(GOOD)], retries=2))
    assert chat.attempts == 2 and len(waits) == 1 and low <= waits[0] <= high


def test_retry_gives_up(waits: list[float]) -> None:
    chat = failed(ask(busy(), retries=2), "http_error", "", "busy")
    assert chat.attempts == 3 and len(chat.server.heard) == 3 and waits[0] < waits[1]  # type: ignore[attr-defined]


@pytest.mark.parametrize("headers", [["Retry-After: 3600"], ["X-Should-Retry: false"], ["retry-after-ms: 99999999"]])
def test_retry_is_not_made_when_the_server_says_no_or_much_later(waits: list[float], headers: list[str]) -> None:
    assert failed(ask([busy(*headers), stream(GOOD)], retries=2), "http_error", "").attempts == 1


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_retry_is_not_made_for_what_will_not_change(waits: list[float], status: int) -> None:
    assert failed(ask([busy(status=f"{status} No"), stream(GOOD)], retries=2), "http_error", "").attempts == 1


@pytest.mark.parametrize(
    "first",
    [busy(status="500 Oops"), busy(status="503 Later"), busy(status="408 Slow"), busy(status="409 Now"), [], [Reset()]],
)
def test_retry_is_made_before_the_first_byte(waits: list[float], first: list[Step]) -> None:
    assert complete(ask([first, stream(GOOD)], retries=1)).attempts == 2


@pytest.mark.parametrize(
    "cut", [stream(HELLO), stream(HELLO, last=False), [head(), Reset()], stream(event({"error": {"message": "x"}}))]
)
def test_retry_is_never_made_after_the_answer_began(waits: list[float], cut: list[Step]) -> None:
    chat = ask([cut, stream(GOOD)], retries=5)
    assert chat.outcome != "complete" and chat.attempts == 1 and waits == []


def test_nobody_listening_is_an_http_error_without_status(waits: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    chat = ChatStream("hi", url=f"http://127.0.0.1:{port}/v1", retries=1)
    with pytest.raises(HTTPStatusError, match="no answer") as caught:
        list(chat)
    assert caught.value.status is None and chat.attempts == 2 and chat.outcome == "http_error"


@pytest.mark.parametrize("status", [307, 308])
def test_redirect_is_followed_with_method_and_body(status: int) -> None:
    chat = complete(ask([whole(f"{status} Moved", b"", "Location: /elsewhere"), stream(GOOD)]))
    first, second = chat.server.heard  # type: ignore[attr-defined]
    assert second.line == "POST /elsewhere HTTP/1.1" and second.body == first.body


@pytest.mark.parametrize("status", [301, 302, 303])
def test_redirect_does_not_turn_a_post_into_a_get(status: int) -> None:
    chat = failed(ask([whole(f"{status} Found", b"", "Location: /elsewhere"), stream(GOOD)]), "http_error", "")
    assert len(chat.server.heard) == 1  # type: ignore[attr-defined]


def test_redirect_takes_no_key_to_another_host() -> None:
    with playing(stream(GOOD)) as other:
        script = whole("307 Moved", b"", f"Location: {other.url}")
        failed(ask(script, api_key="s3cret"), "http_error", "")
        assert other.heard == []


@pytest.mark.parametrize("location", ["http://[", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://" + "a" * 70])
def test_redirect_to_something_else_is_an_http_error(location: str) -> None:
    moved = whole("307 Moved", b"", f"Location: {location}")
    failed(ask(moved), "http_error", "")
    with source(moved) as (events, _), pytest.raises(HTTPStatusError):
        next(iter(EventSource(events.url, max_failures=1)))


def test_redirected_source_names_the_new_host_and_keeps_its_secrets() -> None:
    with playing(sse(b"data: a\n\n"), STOPPED) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        with source(
            whole("302 Found", b"", f"Location: {elsewhere}"), headers={"X-Api-Key": "s3cret", "Cookie": "c"}
        ) as (events, _):
            next(iter(events))
        heard = other.heard[0].headers
        assert heard["host"].startswith("localhost:") and "x-api-key" not in heard and "cookie" not in heard


@pytest.mark.parametrize("url", ["http://" + "a" * 70 + "/v1", "http://a..b/v1", "file:///etc", "http://[/"])
def test_url_that_cannot_be_used_is_an_http_error(url: str) -> None:
    with pytest.raises(HTTPStatusError):
        list(ChatStream("hi", url=url, retries=0))


@pytest.mark.parametrize(
    "script",
    [
        [b"HTTP/1.1 200 OK\r\n", *[step for _ in range(600) for step in (b"X: y\r\n", Pause(0.05))]],
        [step for _ in range(600) for step in (b"HTTP/1.1 103 Early Hints\r\n\r\n", Pause(0.05))],
        [step for _ in range(600) for step in (b"HTTP/1.1 100 Continue\r\n\r\n", Pause(0.05))],
    ],
)
def test_total_timeout_holds_before_the_body_too(script: list[Step]) -> None:
    chat = failed(ask(script, total_timeout=0.3), "timeout", "", "longer than 0.3 s")
    assert chat.server.heard[0].left  # type: ignore[attr-defined]


def test_interim_answers_without_end_are_an_error() -> None:
    failed(ask([b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200, Hold()]), "protocol_error", "")


@pytest.mark.parametrize("body", [b"", b"it has moved"])
def test_redirect_in_a_circle_ends(body: bytes) -> None:
    failed(
        ask(whole("307 Moved", body, "Location: /v1/chat/completions")), "http_error", "", "307: redirects without end"
    )


def test_key_is_sent_and_never_shown() -> None:
    chat = ask(whole("401 No", b'{"error": {"message": "who are you"}}'), api_key="s3cret")
    assert chat.server.heard[0].headers["authorization"] == "Bearer s3cret"  # type: ignore[attr-defined]
    assert "s3cret" not in str(chat.error)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ([Hold()], ""),
        ([b"HTTP/1.1 200 OK\r\nContent-", Hold()], ""),
        ([head(), Hold()], ""),
        ([head(), chunk(HELLO), Hold()], "Hello"),
        ([head(), chunk(HELLO), b"5", Hold()], "Hello"),
    ],
)
def test_silence_is_a_timeout_wherever_it_falls_and_the_socket_is_closed(script: list[Step], text: str) -> None:
    with playing(script) as server:
        silence = 1.0 if text else 0.2  # what is to come before it must have the time to
        chat = ChatStream("hi", url=server.url, timeout=silence, retries=3)
        began = time.monotonic()
        with pytest.raises(StreamTimeout, match=f"nothing came for {silence:g} s"):
            list(chat)
        assert time.monotonic() - began >= silence - 0.05
        assert (chat.outcome, chat.text, chat.attempts) == ("timeout", text, 1)
    assert server.heard[0].left


def trickled(data: bytes) -> list[Step]:
    return [step for at in range(len(data)) for step in (data[at : at + 1], Pause(0.05))]


def test_head_that_trickles_has_a_deadline() -> None:
    failed(ask([*trickled(head() + b"X: " + b"x" * 400), Hold()], timeout=0.5), "timeout", "")


def test_body_of_an_error_that_trickles_has_a_deadline() -> None:
    body = [b"x", *trickled(b"x" * 400), Hold()]
    error = [head("Content-Length: 500", status="400 Bad", kind="text/plain", chunked=False), *body]
    failed(ask(error, timeout=2), "http_error", "", "400: x")


def test_body_of_a_redirect_is_not_waited_for() -> None:
    moved = [head("Content-Length: 500", "Location: /x", status="307 Moved", chunked=False), b"x", Hold()]
    complete(ask([moved, stream(HELLO, STOP, DONE)]))


def test_redirect_to_a_port_that_there_is_not_is_an_error() -> None:
    moved = whole("307 Moved", b"", "Location: http://127.0.0.1:65536/")
    failed(ask(moved), "http_error", "", "cannot be used")


@pytest.mark.parametrize("cut", [b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\n", head()[:-2], head()[:-1]])
def test_head_that_is_cut_is_truncated(cut: bytes) -> None:
    failed(ask([cut]), "truncated", "", "head")


def test_trickle_resets_the_idle_timeout_but_not_the_total_one() -> None:
    trickle: list[Step] = [step for byte in HELLO[:20] for step in (chunk(bytes([byte])), Pause(0.05))]
    complete(ask([head(), *trickle, chunk(HELLO[20:]), chunk(STOP + DONE), LAST], timeout=0.9))
    began = time.monotonic()
    failed(ask([head(), *trickle, Hold()], timeout=30, total_timeout=0.5), "timeout", "", "longer than 0.5 s")
    assert time.monotonic() - began >= 0.45


def test_total_timeout_holds_in_silence_too() -> None:
    failed(ask([head(), chunk(HELLO), Hold()], timeout=None, total_timeout=1), "timeout", match="longer than 1 s")


@pytest.mark.parametrize("way", ["break", "close", "with", "delete"])
def test_leaving_closes_the_connection_without_an_exception(way: str) -> None:
    with playing([head(), chunk(HELLO), Hold()]) as server:
        chat = ChatStream("hi", url=server.url)
        if way == "with":
            with chat:
                next(iter(chat))
        else:
            for _ in chat:
                break
            chat.close()
        assert chat.outcome == "cancelled" and chat.text == "Hel"
    assert server.heard[0].left


def test_iteration_waits_for_a_close_in_another_thread() -> None:
    chat = ChatStream("hi", url="http://127.0.0.1:9")
    closing, go_on = threading.Event(), threading.Event()

    def pieces() -> Iterator[Text]:
        try:
            yield Text("a")
        finally:
            closing.set()
            go_on.wait(30)

    chat._pieces = pieces()
    assert next(chat) == Text("a")
    closer = threading.Thread(target=chat.close)
    closer.start()
    assert closing.wait(30)
    threading.Timer(0.2, go_on.set).start()
    assert list(chat) == []
    closer.join()
    assert chat.outcome == "cancelled"


def test_our_server_sees_the_client_leave() -> None:
    with running(tps=50) as server:
        with ChatStream("tick " * 100, url=server.url + "/v1", model="toy-echo") as chat:
            for number, _ in enumerate(chat):
                if number == 3:
                    break
        assert chat.outcome == "cancelled"
        assert server.journal[-1]["outcome"] == "client_left"


def test_closing_a_stream_that_was_never_read_is_quiet() -> None:
    chat = ChatStream("hi", url="http://127.0.0.1:9/v1")
    chat.close()
    assert chat.outcome == "cancelled" and list(chat) == []


@pytest.mark.parametrize("after", [STOP + DONE, b""], ids=["whole", "cut"])
def test_end_of_a_long_line_is_no_error_outside_of_events(after: bytes) -> None:
    """The last bytes that are kept may begin anywhere, also at a brace."""
    for shift in range(3):
        text = "x" * shift + '{"error": "no"}' * 2000
        chat = ask(stream(delta(text), after))
        assert chat.outcome == ("complete" if after else "truncated") and chat.text == text
        assert not [warning for warning in chat.warnings if "error" in warning]
