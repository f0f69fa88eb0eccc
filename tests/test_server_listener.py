"""The listener: a port, its end, and what is served beside the API."""

from __future__ import annotations

import re
import socket

import pytest
from raw import Wire, alive, ask, chat, chat_request, wait_for

from sse_ref import model
from sse_ref.page import PAGE
from sse_ref.server import FAULTS, Server, running


def test_page_is_html_that_loads_nothing_from_elsewhere(server: Server) -> None:
    answer = ask(server, "GET", "/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert b"<title>" in answer.body and b"http" not in answer.body.replace(b"http-equiv", b"")


def test_stopping_the_server_ends_streams_with_an_error() -> None:
    with running(tps=20) as server, Wire(server) as wire, Wire(server) as idle:
        wire.send(chat_request("tick " * 100))
        wire.until(b'"tick"')
        server.shutdown()
        rest = wire.rest()
        assert b'data: {"error":{"message":"the server is stopping"' in rest and rest.endswith(b"0\r\n\r\n")
        assert b"[DONE]" not in rest
        assert idle.closed()
        assert server.journal[-1]["outcome"] == "stopped"


def test_servers_in_one_process_are_independent() -> None:
    with running() as one, running(api_key="k") as two:
        assert one.url != two.url
        assert alive(one)
        assert chat(two).status == 401
        assert len(one.journal) == 1


def test_ipv6_address_is_written_as_a_url() -> None:
    try:
        probe = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    probe.close()
    with running(host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert alive(server)


def test_page_offers_every_model_and_every_fault(server: Server) -> None:
    page = ask(server, "GET", "/panel").body.decode()
    chat, events = (part.split("</select>")[0] for part in page.split('<select name="model">')[1:])
    assert re.findall("<option>([^<]+)", chat) == re.findall("<option>([^<]+)", events) == list(model.MODELS)
    faults = page.split('<select name="fault">')[1].split("</select>")[0]
    assert re.findall('<option value="([^"]*)"', faults) == ["", *FAULTS]


def test_page_is_made_of_files_that_are_served(server: Server) -> None:
    for path, name in PAGE.items():
        answer = ask(server, "GET", path)
        assert answer.status == 200 and "default-src 'self'" in answer.headers["content-security-policy"], name
    assert ask(server, "GET", "/page/../server.py").status == 404


def test_whole_answer_that_is_not_due_is_never_begun_when_the_server_stops() -> None:
    """An error event without a head would be no HTTP."""
    with running(ttft=600) as server, Wire(server) as wire:
        wire.send(chat_request(stream=False))
        assert wait_for(lambda: any(entry.connection.stream for entry in list(server.loop.entries.values())))
        server.shutdown()
        assert wire.closed() and wire.buffer == b""
