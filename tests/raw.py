"""HTTP by hand: bytes on a socket, and the answer taken apart without any HTTP library.

What a client library makes of a response hides what these tests are about. Everything here is written for strictness: a
response that is not framed exactly as it should be fails an assertion.
"""

from __future__ import annotations

import json
import re
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from sse_ref.server import Server

PATIENCE = 30.0  # seconds; only a test that fails waits so long

JSON = {"Content-Type": "application/json"}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes  # without chunk framing
    head: bytes
    chunks: list[bytes] = field(default_factory=list)
    ended: bool = True  # by its length, or by the last chunk; False: by the end of the connection

    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    def blocks(self) -> list[bytes]:
        """The event stream cut at blank lines; it must end with one."""
        assert self.body.endswith(b"\n\n")
        return self.body[:-2].split(b"\n\n")

    def data(self) -> list[str]:
        """The data of the events: each is one data line here. Comments are passed over."""
        lines = [block for block in self.blocks() if not block.startswith(b":")]
        assert all(re.fullmatch(rb"data: [^\r\n]+", line) for line in lines), lines
        return [line[6:].decode() for line in lines]

    def parsed(self) -> list[Any]:
        """The JSON of the events before the final [DONE]."""
        *data, done = self.data()
        assert done == "[DONE]"
        return [json.loads(text, parse_constant=lambda name: 1 / 0) for text in data]

    def text(self, choice: int = 0) -> str:
        deltas = (c["delta"] for chunk in self.parsed() for c in chunk["choices"] if c["index"] == choice)
        return "".join(delta.get("content") or "" for delta in deltas)

    def finish(self) -> list[tuple[int, str]]:
        return [(c["index"], c["finish_reason"]) for k in self.parsed() for c in k["choices"] if c["finish_reason"]]


class Wire:
    """One connection to a server."""

    def __init__(self, server: Server, timeout: float = PATIENCE) -> None:
        self.socket = socket.create_connection(server.server_address[:2], timeout=timeout)
        self.buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def more(self) -> bool:
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            assert self.more(), f"the connection ended before {mark!r}: {self.buffer[-300:]!r}"
        before, _, self.buffer = self.buffer.partition(mark)
        return before + mark

    def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            assert self.more(), "the connection ended in the middle of a body"
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def rest(self) -> bytes:
        """Everything until the end of the connection; a reset is an end too."""
        try:
            while self.more():
                pass
        except ConnectionResetError:
            pass
        taken, self.buffer = self.buffer, b""
        return taken

    def closed(self) -> bool:
        """The server has closed, and sent nothing more."""
        return self.rest() == b""

    def head(self) -> tuple[int, dict[str, str], bytes]:
        raw = self.until(b"\r\n\r\n")
        first, *lines = raw[:-4].decode("ascii").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 ([0-9]{3}) [\x20-\x7e]*", first)
        assert match, first
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), f"a header came twice: {lines}"
        return int(match[1]), headers, raw

    def answer(self, *, bodiless: bool = False) -> Answer:
        """Read one response to its very end, strictly."""
        status, headers, head = self.head()
        if bodiless or status in (204, 304):
            assert "transfer-encoding" not in headers and (status != 204 or "content-length" not in headers)
            return Answer(status, headers, b"", head)
        if "transfer-encoding" in headers:
            assert headers["transfer-encoding"] == "chunked" and "content-length" not in headers
            chunks = []
            while True:
                size = self.until(b"\r\n")[:-2]
                assert re.fullmatch(rb"[0-9a-f]+", size), size
                if size == b"0":
                    assert self.exactly(2) == b"\r\n"
                    return Answer(status, headers, b"".join(chunks), head, chunks)
                chunks.append(self.exactly(int(size, 16)))
                assert self.exactly(2) == b"\r\n"
        if "content-length" in headers:
            return Answer(status, headers, self.exactly(int(headers["content-length"])), head)
        return Answer(status, headers, self.rest(), head, ended=False)


def request(
    method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, *, version: str = "1.1"
) -> bytes:
    fields = {"Host": "localhost", **(headers or {})}
    if body and "Transfer-Encoding" not in fields:
        fields.setdefault("Content-Length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/{version}\r\n{lines}\r\n".encode("latin-1") + body


def ask(
    server: Server, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, **more: Any
) -> Answer:
    with Wire(server) as wire:
        wire.send(request(method, path, body, headers, **more))
        return wire.answer(bodiless=method == "HEAD")


def chat_body(content: Any = "one two three", **fields: Any) -> bytes:
    base = {"model": "toy-echo", "messages": [{"role": "user", "content": content}], "stream": True}
    return json.dumps({**base, **fields}).encode()


def chat(server: Server, content: Any = "one two three", **fields: Any) -> Answer:
    """A chat completion, and its answer."""
    return ask(server, "POST", "/v1/chat/completions", chat_body(content, **fields), JSON)


def chat_request(content: Any = "one two three", headers: dict[str, str] | None = None, **fields: Any) -> bytes:
    return request("POST", "/v1/chat/completions", chat_body(content, **fields), {**JSON, **(headers or {})})


def wait_for(condition: Any, seconds: float = PATIENCE) -> bool:
    """Poll until the condition holds; False if it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.002)
    return bool(condition())


STORY = [{"role": "user", "content": "Tell me a story"}]


def alive(server: Server) -> bool:
    """The server still answers."""
    return chat(server).text() == "one two three"
