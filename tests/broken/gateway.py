"""A gateway with one fault, on raw sockets, in this process. With the fault "" it is correct.

It asks its upstream on a connection of its own for each request, and passes the body on as it comes. ``FAULTS`` names the
vectors that each fault is made for.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any


class Ended(Exception):
    """The upstream's body broke off."""


class Gateway:
    def __init__(self, upstream: int, fault: str = "") -> None:
        self.upstream, self.fault = upstream, fault
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        self.one_at_a_time = threading.Lock()

    def is_(self, *faults: str) -> bool:
        return self.fault in faults

    def run(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            reader = Reader(client)
            head = reader.until(b"\r\n\r\n").decode("latin-1")
            length = int((re.search(r"(?i)content-length: *(\d+)", head) or ["", "0"])[1])
            body = self.changed(json.loads(reader.exactly(length)))
            if body is None:
                self.answer(client, "400 Bad Request", {"error": {"message": "not taken"}})
                return
            if self.is_("asks-twice"):  # and passes on the second answer
                nobody, kept = socket.socketpair()
                with nobody, kept:
                    self.exchange(nobody, body)
            self.exchange(client, body)

    def changed(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """The body as the upstream gets it; None if it is refused."""
        if self.is_("nulls-refused") and None in body.values():
            return None
        lost = {
            "no-stream": ["stream"],
            "parameters-lost": ["temperature", "stop"],
            "seed-lost": ["seed"],
            "tools-lost": ["tools", "tool_choice"],
            "format-lost": ["response_format"],
            "unknown-lost": ["x_unknown", "top_k"],
        }.get(self.fault, [])
        body = {name: value for name, value in body.items() if name not in lost}
        if self.is_("usage-forced"):
            body["stream_options"] = {"include_usage": True}
        if self.is_("messages-trimmed"):
            body["messages"] = [
                {**m, "content": m["content"] and str(m["content"]).strip(" .")} for m in body["messages"]
            ]
        if self.is_("parts-joined"):
            for message in body["messages"]:
                if isinstance(message["content"], list):
                    message["content"] = "".join(part["text"] for part in message["content"])
        if self.is_("results-lost"):
            body["messages"] = [m for m in body["messages"] if m["role"] != "tool"]
        return body

    def answer(self, client: socket.socket, status: str, value: Any, *headers: str) -> None:
        data = json.dumps(value).encode()
        lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(data)}", *headers]
        client.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + data)

    def exchange(self, client: socket.socket, body: dict[str, Any], begun: list[bool] | None = None) -> None:
        again, begun = begun is not None, begun or [False]
        with socket.create_connection(("127.0.0.1", self.upstream)) as upstream:
            data = json.dumps(body).encode()
            path = "/chat/completions" if self.is_("path-cut") else "/v1/chat/completions"
            head = f"POST {path} HTTP/1.1\r\nHost: u\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
            upstream.sendall(head.encode() + data)
            reader = Reader(upstream, None if self.is_("holds-on") else client)
            if self.is_("holds-on-before-the-head"):
                reader.peer = None
            try:
                status, headers = self.head(reader)
                reader.peer = None if self.is_("holds-on", "holds-on-in-silence") else client
                self.pass_on(client, reader, status, headers, begun)
            except (BrokenPipeError, ConnectionResetError):
                while self.is_("holds-on") and upstream.recv(65536):
                    pass  # it reads the answer to its end, for nobody
            except (Ended, EOFError):
                if self.is_("tries-again") and not again:
                    self.exchange(client, body, begun)
                elif self.is_("empty-is-whole"):
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
                    client.sendall(b"data: [DONE]\n\n")
                elif self.is_("cut-is-whole"):
                    self.send(client, b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n')
                    self.send(client, b"data: [DONE]\n\n")
                    client.sendall(b"0\r\n\r\n")

    def head(self, reader: Reader) -> tuple[str, dict[str, str]]:
        first, *lines = reader.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return first.partition(" ")[2], {name.lower(): value.strip() for name, _, value in pairs}

    def pass_on(
        self, client: socket.socket, reader: Reader, status: str, headers: dict[str, str], begun: list[bool]
    ) -> None:
        code = int(status[:3])
        if code >= 400:
            self.refused(client, status, headers, b"".join(parts_of(reader, headers)))
            return None

        def begin() -> None:
            if not begun[0]:
                begun[0] = True
                kind = "text/plain" if self.is_("plain") else headers.get("content-type", "text/event-stream")
                client.sendall(
                    f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
                )

        if not self.is_("head-late", "buffers") and "event-stream" in headers.get("content-type", ""):
            begin()
        held = rest = b""
        try:
            for part in parts_of(reader, headers):
                *events, rest = (rest + part.replace(b"\r\n", b"\n")).split(b"\n\n")
                for event in events:
                    if event := self.event(event):
                        begin()
                        held += event + b"\n\n"
                        if not self.is_("buffers") and held:
                            self.send(client, held)
                            held = b""
        except Ended:
            begin()
            raise
        if "event-stream" not in headers.get("content-type", ""):
            if self.is_("html-is-whole"):
                begin()
                held = b"data: [DONE]\n\n"
            else:
                return self.answer(client, "502 Bad Gateway", {"error": {"message": "no event stream"}})
        begin()
        if self.is_("finish-invented") and b"finish_reason" not in held:
            held += b"data: [DONE]\n\n"
        self.send(client, held)
        if not self.is_("no-end"):
            client.sendall(b"0\r\n\r\n")
        return None

    def send(self, client: socket.socket, data: bytes) -> None:
        if data:
            client.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def refused(self, client: socket.socket, status: str, headers: dict[str, str], body: bytes) -> None:
        if self.is_("errors-502"):
            status = "502 Bad Gateway"
        value = {"error": {"message": "failed"}} if self.is_("messages-lost") else json.loads(body)
        retry = f"Retry-After: {headers['retry-after']}" if "retry-after" in headers else ""
        self.answer(client, status, value, *([retry] if retry and not self.is_("retry-after-lost") else []))

    def event(self, event: bytes) -> bytes:
        """An event as the client gets it; nothing if it is dropped."""
        lines = [line for line in event.split(b"\n") if line.startswith(b"data:")]
        if not lines:
            return b": x" if not self.is_("comments-are-events") else b"data: " + event
        data = lines[0][5:].strip()
        if data == b"[DONE]":
            return {"no-done": b"", "done-twice": b"data: [DONE]\n\ndata: [DONE]"}.get(self.fault, b"data: [DONE]")
        try:
            chunk = json.loads(data)
        except ValueError:
            if self.is_("bad-json-dropped"):
                return b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}'
            return b'data: {"error": {"message": "not JSON"}}'
        if "error" in chunk and self.is_("errors-swallowed"):
            return b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}'
        return self.rewritten(chunk)

    def rewritten(self, chunk: dict[str, Any]) -> bytes:
        if self.is_("usage-lost") and chunk.get("usage"):
            return b""
        for choice in list(chunk.get("choices") or []):
            delta = choice.get("delta") or {}
            for name in ("reasoning_content", "refusal"):
                if self.is_(f"{name}-lost"):
                    delta.pop(name, None)
            if self.is_("logprobs-lost"):
                choice.pop("logprobs", None)
            if self.is_("spaces-lost") and delta.get("content"):
                delta["content"] = delta["content"].strip()
            if self.is_("latin1") and delta.get("content"):
                delta["content"] = delta["content"].encode("latin-1", "replace").decode("latin-1")
            if self.is_("always-stop") and choice.get("finish_reason"):
                choice["finish_reason"] = "stop"
            if self.is_("first-choice-only") and choice.get("index"):
                chunk["choices"].remove(choice)
            if self.is_("call-ids-lost"):
                for call in delta.get("tool_calls") or []:
                    call.pop("id", None)
        if self.is_("usage-made-up") and any(choice.get("finish_reason") for choice in chunk.get("choices") or []):
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            made_up = json.dumps({**chunk, "choices": [], "usage": usage}).encode()
            return b"data: " + json.dumps(chunk).encode() + b"\n\ndata: " + made_up
        if self.is_("fingerprint-lost"):
            chunk.pop("system_fingerprint", None)
        if self.is_("text-lost") and chunk.get("choices"):
            chunk["choices"][0]["delta"].pop("content", None)
        return b"data: " + json.dumps(chunk).encode()


def parts_of(reader: Reader, headers: dict[str, str]) -> Iterator[bytes]:
    """A body as it comes. Raises ``Ended`` if it breaks off."""
    try:
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int(reader.until(b"\r\n"), 16):
                yield reader.exactly(size)
                reader.exactly(2)
        elif "content-length" in headers:
            yield reader.exactly(int(headers["content-length"]))
        else:
            with contextlib.suppress(EOFError):
                while True:
                    yield reader.exactly(1)
    except (EOFError, OSError):
        raise Ended from None


class Reader:
    """Reads one side, and notices meanwhile whether the other has left."""

    def __init__(self, side: socket.socket, peer: socket.socket | None = None) -> None:
        self.side, self.peer, self.buffer = side, peer, b""

    def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self.more()
        taken, _, self.buffer = self.buffer.partition(mark)
        return taken

    def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self.more()
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def more(self) -> None:
        while self.peer:
            readable, _, _ = select.select([self.side, self.peer], [], [])
            if self.peer in readable and not self.peer.recv(1, socket.MSG_PEEK):
                raise EOFError("the client left")
            if self.side in readable:
                break
        data = self.side.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data


@contextlib.contextmanager
def serving(upstream: int, fault: str = "") -> Iterator[Gateway]:
    gateway = Gateway(upstream, fault)
    thread = threading.Thread(target=gateway.run, daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        with contextlib.suppress(OSError):
            gateway.listener.shutdown(socket.SHUT_RDWR)
        gateway.listener.close()
        thread.join()


FAULTS: dict[str, str] = {
    "text-lost": "pass/baseline pass/split-writes pass/crlf load/two-at-once",
    "buffers": "pass/as-it-comes",
    "head-late": "pass/head-at-once",
    "no-done": "pass/done",
    "done-twice": "pass/done",
    "no-end": "pass/framing",
    "plain": "pass/framing",
    "latin1": "pass/unicode",
    "spaces-lost": "pass/white-space",
    "comments-are-events": "pass/comments",
    "always-stop": "pass/finish-length pass/finish-content-filter pass/tool-finish",
    "usage-lost": "pass/usage",
    "first-choice-only": "pass/choices",
    "call-ids-lost": "pass/tool-calls",
    "reasoning_content-lost": "pass/reasoning",
    "refusal-lost": "pass/refusal",
    "logprobs-lost": "pass/logprobs",
    "fingerprint-lost": "pass/fingerprint",
    "path-cut": "request/path",
    "no-stream": "request/stream",
    "asks-twice": "request/once",
    "messages-trimmed": "request/messages",
    "parameters-lost": "request/parameters",
    "seed-lost": "request/seed",
    "tools-lost": "request/tools",
    "format-lost": "request/response-format",
    "parts-joined": "request/content-parts",
    "results-lost": "request/tool-results",
    "unknown-lost": "request/unknown-members",
    "nulls-refused": "request/nulls",
    "usage-made-up": "request/usage-not-forced",
    "holds-on": "cancel/in-the-stream cancel/before-the-head cancel/in-silence",
    "holds-on-before-the-head": "cancel/before-the-head",
    "holds-on-in-silence": "cancel/in-silence",
    "errors-502": "error/status-400 error/status-401 error/status-403 error/status-404 error/status-422 error/status-429 "
    "error/status-500 error/status-503",
    "messages-lost": "error/message error/message-500",
    "retry-after-lost": "error/retry-after",
    "errors-swallowed": "error/in-the-stream error/first-event",
    "cut-is-whole": "error/cut error/reset error/length-short",
    "finish-invented": "error/no-finish",
    "bad-json-dropped": "error/not-json",
    "html-is-whole": "error/html",
    "tries-again": "error/text-once",
    "empty-is-whole": "error/refused",
}
"""Faults of gateways, each with the vectors that are made for it."""
