"""A chat server with one fault, on raw sockets, in this process. With the fault "" it is correct.

It shares nothing with the package's server. Each fault stands where a server would have it; ``FAULTS`` names the vectors
that are made for it. ``UNUSUAL`` are ways to be correct that few servers take.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import select
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

from sse_ref.conformance.corpus import document

WORDS = [
    "Once",
    "there",
    "was",
    "a",
    "lamp",
    "that",
    "told",
    "the",
    "ships",
    "where",
    "the",
    "rocks",
    "were,",
    "and",
    "at",
    "night",
    "it",
    "sang",
    "to",
    "them.",
]
STORY = [WORDS[0], *(f" {word}" for word in WORDS[1:])]
KEY = "right-key"


class Broken:
    def __init__(self, fault: str = "", profile: str = "openai-chat") -> None:
        self.fault = fault
        self.profile = profile
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = self.listener.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}{document('server', profile).get('base', '/v1')}"
        self.journal: list[dict[str, Any]] = []
        self.count = 0
        self.lock = threading.Lock()
        self.one_at_a_time = threading.Lock()
        self.leaked: list[Any] = []
        self.open = 0

    def is_(self, *faults: str) -> bool:
        return self.fault in faults

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            connection.settimeout(30)
            CONVERSATIONS[self.profile](self, connection).run()
        except (OSError, EOFError):
            pass
        finally:
            if self.is_("leaks"):
                self.leaked.append(connection)
            else:
                connection.close()


@contextlib.contextmanager
def serving(fault: str = "", profile: str = "openai-chat") -> Iterator[Broken]:
    server = Broken(fault, profile)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        for connection in server.leaked:
            connection.close()
        thread.join()


LAST = re.compile(rb"\[DONE\]|message_stop|response\.completed|finishReason")  # in the data of a last event
ODDITIES = {
    "bom": b"\xef\xbb\xbf",
    "retry-block": b"retry: 100\n\n",
    "event-block": b"event: ping\n\n",
    "empty-data": b"data:\n\n",
}


class Refused(Exception):
    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


class Conversation:
    """The requests of one connection."""

    heartbeat = b": still thinking\n\n"
    kind = "text/event-stream"
    request_id = "X-Request-Id"
    allowed = "authorization, content-type"

    def __init__(self, server: Broken, connection: socket.socket) -> None:
        self.server, self.connection = server, connection
        self.is_ = server.is_
        self.buffer = b""
        self.id = "r0"
        self.chunked = True

    def run(self) -> None:
        while True:
            head = self.until(b"\r\n\r\n").decode("latin-1")
            first, *lines = head.split("\r\n")
            self.method, target, self.version = first.split(" ")
            self.path, self.query = urllib.parse.urlsplit(target)[2:4]
            self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
            if self.headers.get("expect") and not self.is_("no-expect"):
                self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if self.headers.get("expect") and self.is_("no-expect"):
                return self.answer(500, {"error": "expect"})
            if "chunked" in self.headers.get("transfer-encoding", ""):
                if self.is_("no-chunked-requests"):
                    self.answer(500, {"error": "chunked"})
                    return None
                body = self.read_chunks()
            else:
                body = self.exactly(int(self.headers.get("content-length", 0)))
            self.chunked = self.version == "HTTP/1.1" or self.is_("chunks-for-1.0")
            if self.is_("no-half-close"):
                time.sleep(0.1)
                if self.half_closed():
                    time.sleep(10)
            if self.is_("serial"):
                with self.server.one_at_a_time:
                    again = self.handle(body)
            else:
                again = self.handle(body)
            if not again or not self.chunked or self.version == "HTTP/1.0":
                return None
            if self.is_("no-keep-alive"):
                time.sleep(0.05)
                return None
            if self.is_("no-pipelining"):
                self.buffer = b""

    def half_closed(self) -> bool:
        self.connection.setblocking(False)
        try:
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        finally:
            self.connection.settimeout(30)

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
        data = self.connection.recv(1 << 20)
        if not data:
            raise EOFError
        self.buffer += data

    def read_chunks(self) -> bytes:
        body = b""
        while size := int(self.until(b"\r\n"), 16):
            body += self.exactly(size)
            self.exactly(2)
        self.until(b"\r\n")
        return body

    # ---- Answers ----

    def answer(
        self, status: int, value: Any, *headers: str, kind: str = "application/json", body: bytes | None = None
    ) -> bool:
        data = json.dumps(value, ensure_ascii=self.is_("ascii")).encode() if body is None else body
        length = len(data.decode()) if self.is_("length-in-characters") else len(data)
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {length}", *headers]
        if status == 401 and not self.is_("no-www-authenticate"):
            lines.append("WWW-Authenticate: Bearer")
        if status == 405 and not self.is_("no-allow"):
            lines.append("Allow: POST")
        lines.append("Access-Control-Allow-Origin: *")
        if not self.is_("no-request-id"):
            lines.append(f"{self.request_id}: {self.id}")
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode() + (b"" if self.method == "HEAD" else data))
        return True

    def handle(self, body: bytes) -> bool:
        try:
            return self.route(body)
        except Refused as error:
            if self.is_("errors-with-200", "errors-as-stream"):
                self.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {}\n\n")
                return False
            if self.is_("errors-as-html"):
                return self.answer(error.status, None, kind="text/html", body=b"<html>error</html>")
            return self.refuse(error)

    def refuse(self, error: Refused) -> bool:
        value: Any = {
            "message": str(error),
            "type": "invalid_request_error",
            "param": error.param,
            "code": error.code,
        }
        if self.is_("error-without-code"):
            del value["code"]
        if self.is_("error-is-text"):
            value = str(error)
        return self.answer(error.status if not self.is_("errors-500") else 500, {"error": value})

    def route(self, body: bytes) -> bool:
        path = self.path.removeprefix("/v1")
        if self.server.profile == "sse":
            return self.source()
        if self.method == "OPTIONS":
            return self.preflight()
        if path == "/journal":
            return self.answer(200, self.server.journal)
        if path.startswith("/models"):
            return self.models(path)
        if path == "/completions":
            return self.completions(json.loads(body))
        if self.method != "POST":
            return self.answer(200 if self.is_("get-is-ok") else 405, {"error": {"message": "POST"}})
        self.check_key()
        self.check_type()
        return self.chat(body)

    def check_type(self) -> None:
        """A server that looks at the type of a request by its letters, or refuses any coding."""
        if self.is_("charset-refused") and self.headers.get("content-type") != "application/json":
            raise Refused(400, "another type")
        if self.is_("codings-refused") and "content-encoding" in self.headers:
            raise Refused(400, "a coding")

    def check_members(self, request: Any, messages: list[dict[str, Any]]) -> None:
        """A server that refuses nulls, or lists of parts."""
        nulls = {name for name, value in request.items() if value is None}
        members = {name for message in messages for name, value in message.items() if value is None}
        if self.is_("nulls-refused") and nulls & {"temperature", "stop", "seed", "metadata"}:
            raise Refused(400, "null")
        if self.is_("other-nulls-refused") and nulls & {"tools", "user"}:
            raise Refused(400, "null")
        if self.is_("null-members-refused") and members & {"refusal", "audio", "function_call"}:
            raise Refused(400, "null")
        if self.is_("null-names-refused") and members & {"name", "tool_calls"}:
            raise Refused(400, "null")
        if self.is_("parts-refused") and any(isinstance(message.get("content"), list) for message in messages):
            raise Refused(400, "content must be text")

    def check_key(self) -> None:
        if self.headers.get("authorization", "") != f"Bearer {KEY}" and not self.is_("any-key"):
            raise Refused(401, "no key, or a wrong one", code="invalid_api_key")

    def preflight(self) -> bool:
        if self.is_("no-preflight"):
            return self.answer(405, {})
        allow = "" if self.is_("preflight-without-headers") else f"Access-Control-Allow-Headers: {self.allowed}"
        return self.answer(204, None, *filter(None, [allow, "Access-Control-Allow-Methods: POST"]), body=b"")

    def models(self, path: str) -> bool:
        models = [{"id": name, "object": "model"} for name in ("m", "echo", "slow", "error", "crash", "overload")]
        if path == "/models":
            return self.answer(200, {"object": "list", "data": [] if self.is_("no-models") else models})
        name = urllib.parse.unquote(path.removeprefix("/models/"))
        if name != "m" and not self.is_("any-model-found"):
            raise Refused(404, "no such model", code="model_not_found")
        return self.answer(200, {"id": name, "object": "model"})

    def completions(self, request: Any) -> bool:
        kind = "chat.completion.chunk" if self.is_("completions-as-chat") else "text_completion"
        self.head()
        for word in STORY[:4]:
            self.event({"id": "c", "object": kind, "choices": [{"index": 0, "text": word, "finish_reason": None}]})
        self.send(b"data: [DONE]\n\n")
        return self.finish()

    # ---- Chat ----

    def chat(self, body: bytes) -> bool:
        request = self.request = self.parse(body)
        if self.is_("known-fields-only") and set(request) & {"user", "metadata", "x_unknown"}:
            raise Refused(400, "unknown field")
        if self.is_("stop-needs-a-value") and "stop" in request and not request["stop"]:
            raise Refused(400, "stop")
        messages = request.get("messages")
        if not isinstance(messages, list) or not messages:
            if self.is_("messages-unchecked"):
                messages = [{"role": "user", "content": "x"}]
            else:
                raise Refused(
                    400,
                    "bad input" if self.is_("param-not-named") else "messages must be a list",
                    None if self.is_("param-not-named") else "messages",
                )
        self.check_members(request, messages)
        model = request.get("model")
        if model not in ("m", "echo", "slow", "error", "crash", "overload"):
            raise Refused(
                404,
                f"no such model: {model}",
                "model",
                None if self.is_("unknown-model-without-code") else "model_not_found",
            )
        if model == "overload":
            more = [] if self.is_("no-retry-after") else ["Retry-After: 1"]
            return self.answer(429, {"error": {"message": "busy", "type": "rate_limit_error"}}, *more)
        if any(m["role"] == "tool" for m in messages) and self.is_("no-tool-results"):
            raise Refused(400, "role tool")
        wanted = "tool_calls" if self.calls_wanted(request) else ""
        tokens = self.tokens(request, messages)
        limit = request.get("max_tokens") or (
            None if self.is_("max-completion-tokens-ignored") else request.get("max_completion_tokens")
        )
        if self.is_("max-tokens-ignored"):
            limit = None
        reason = "stop"
        if limit is not None and len(tokens) > limit:
            tokens, reason = tokens[:limit], "stop" if self.is_("length-not-told") else "length"
        tokens = self.stopped(request, tokens)
        if (not request.get("stream") or self.is_("never-streams")) and not self.is_("always-streams"):
            return self.whole(request, tokens, wanted or reason)
        if self.is_("accept-needed") and "event-stream" not in self.headers.get("accept", "event-stream"):
            return self.whole(request, tokens, wanted or reason)
        return self.recorded(lambda record: self.stream(request, tokens, reason, wanted, record))

    def recorded(self, stream: Callable[[dict[str, Any]], bool]) -> bool:
        """Send a stream, with a record of it in the journal."""
        self.id = f"r{len(self.server.journal) + 1}"
        record = {
            **({} if self.is_("journal-without-ids") else {"id": self.id}),
            "stream": True,
            "outcome": "open",
            "tokens": 0,
        }
        self.server.journal.append(record)
        try:
            return stream(record)
        except OSError:
            record["outcome"] = "complete" if self.is_("goes-on") else "client_left"
            raise EOFError from None
        finally:
            if record["outcome"] == "open":
                record["outcome"] = "complete"

    def parse(self, body: bytes) -> Any:
        if len(body) > 1 << 20:
            raise Refused(500 if self.is_("no-size-limit") else 413, "too large")
        try:
            return json.loads(body)
        except ValueError:
            raise Refused(500 if self.is_("bad-json-500") else 400, "not JSON") from None

    def tokens(self, request: Any, messages: Any) -> list[str]:
        if request["model"] == "echo":
            text = messages[-1]["content"]
            if isinstance(text, list):
                text = "".join(part["text"] for part in (text[:1] if self.is_("first-part-only") else text))
            if self.is_("echo-loses-controls"):
                text = re.sub("[\0\u2028\u2029]", "", text)
            if self.is_("white-space-lost"):
                text = text.strip()
            if self.is_("emoji-broken"):
                text = text.encode("utf-8")[:1].decode("utf-8", "replace") + "\ufffd" + text[1:]
            if self.is_("crosstalk") and "number" in text:
                with self.server.lock:
                    self.server.count += 1
                    text = text.replace("number", "number 1") if self.server.count % 7 == 0 else text
            parts = re.findall(r"\s?\S+|\s", text)
            return parts if "".join(parts) == text else [text]
        tokens = list(STORY)
        if request.get("seed") is None or self.is_("seed-ignored"):
            with self.server.lock:
                self.server.count += 1
                tokens[3] = f" {self.server.count}"
        return tokens

    def stopped(self, request: Any, tokens: list[str]) -> list[str]:
        stops = request.get("stop") or []
        if isinstance(stops, str):
            stops = [] if self.is_("stop-as-text-ignored") else [stops]
        if self.is_("first-stop-only"):
            stops = stops[:1]
        if self.is_("stop-ignored-with-n") and (request.get("n") or 1) > 1:
            stops = []
        for stop in stops:
            text = "".join(tokens)
            if self.is_("stop-ignored"):
                continue
            if self.is_("held-back-text-lost") and stop[:3] in text:
                text = text[: text.index(stop[:3])]
                tokens = [text]
            if stop in text:
                kept = text[: text.index(stop) + (2 if self.is_("stop-leaks") else 0)]
                tokens = re.findall(r"\s?\S+|\s", kept)
        return tokens

    def calls_wanted(self, request: Any) -> bool:
        choice = request.get("tool_choice")
        if self.is_("tool-choice-none-ignored") and choice == "none":
            return True
        return bool(request.get("tools")) and choice != "none" and request["messages"][-1]["role"] != "tool"

    def usage(self, request: Any, tokens: list[str], reason: str) -> dict[str, int]:
        count, prompt = request.get("n") or 1, 7
        if self.is_("prompt-counted-twice"):
            prompt *= count
        if self.is_("first-choice-counted"):
            count = 1
        made = len(tokens) * count
        if self.is_("stop-counted") and request.get("stop"):
            made += request["stream"]
        if self.is_("call-counted-when-streamed") and reason == "tool_calls":
            made += request["stream"]
        if self.is_("limit-missed-by-one") and reason == "length" and len(tokens) > 1:
            made += 1
        total = prompt + made + (1 if self.is_("usage-does-not-add-up") else 0)
        if self.is_("whole-total-missing") and not request.get("stream"):
            total = made
        return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": total}

    def whole(self, request: Any, tokens: list[str], reason: str) -> bool:
        text = "".join(tokens) + (" Really." if self.is_("whole-differs") else "")
        usage = self.usage(request, tokens, reason)
        usage["completion_tokens"] += 3 if self.is_("usage-differs") else 0
        message: dict[str, Any] = {"role": "model" if self.is_("whole-of-a-model") else "assistant", "content": text}
        if reason == "tool_calls":
            arguments: Any = '{"city": "Paris", "note": "for the trip"}'
            if self.is_("whole-arguments-an-object"):
                arguments = json.loads(arguments)
            call = {"id": "call_w", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
            message |= {"content": None, "tool_calls": [call]}
        if self.is_("whole-always-stops"):
            reason = "stop"
        choice = {"index": 0, "message": message, "finish_reason": reason}
        choices = [{**choice, "index": index} for index in range(request.get("n") or 1)]
        if self.is_("whole-index-zero"):
            choices = [choice for _ in choices]
        kind = "chat.completion.chunk" if self.is_("whole-is-a-chunk") else "chat.completion"
        if self.is_("done-after-whole"):
            body = json.dumps({"object": kind, "choices": choices, "usage": usage}).encode() + b"\n[DONE]"
            return self.answer(200, None, body=body)
        return self.answer(
            200, {"id": "w", "object": kind, "created": 1, "model": "m", "choices": choices, "usage": usage}
        )

    def head(self, *more: str) -> None:
        fault = self.server.fault
        status = 201 if fault == "status-201" else 200
        kind = {
            "type-plain": "text/plain",
            "type-ndjson": "application/x-ndjson",
            "charset-latin1": "text/event-stream; charset=latin-1",
            "type-parameter": 'Text/Event-Stream; charset="UTF-8"',
        }.get(fault, self.kind)
        lines = [f"HTTP/1.1 {status} OK", f"Content-Type: {kind}"]
        if fault == "two-types":
            lines.append("Content-Type: text/event-stream")
        if fault != "cacheable":
            lines.append("Cache-Control: no-cache")
        if fault != "no-x-accel":
            lines.append("X-Accel-Buffering: no")
        if fault != "no-request-id":
            lines.append(f"{self.request_id}: {self.id}")
        if fault != "no-cors":
            lines.append("Access-Control-Allow-Origin: *")
        if fault == "close-with-chunks":
            lines.append("Connection: close")
        if fault == "names-identity":
            lines.append("Content-Encoding: identity")
        if fault == "keep-alive-lower":
            lines.append("connection: Keep-Alive")
        if self.chunked and fault not in ("length-too", "close-delimited"):
            lines.append("Transfer-Encoding: chunked")
        if fault == "length-and-chunks":
            lines.append("Content-Length: 9999")
        if fault == "length-too":
            self.held_back = b""
            self.held_head = lines
            return
        self.chunked = self.chunked and fault != "close-delimited"
        if fault == "reversed-headers":
            lines[1:] = lines[:0:-1]
        interim = b"HTTP/1.1 102 Processing\r\n\r\n" if fault == "interim" else b""
        self.connection.sendall(interim + "\r\n".join([*lines, *more, "", ""]).encode())

    def send(self, data: bytes) -> None:
        fault = self.server.fault
        if fault == "crlf":
            data = data.replace(b"\n", b"\r\n")
        elif fault == "cr":
            data = data.replace(b"\n", b"\r")
        elif fault == "no-space":
            data = data.replace(b"data: ", b"data:")
        elif fault == "comments":
            data = b": a comment\n" + data + b":\n\n"
        elif fault == "mixed-ends" and LAST.search(data):
            data = data.replace(b"\n", b"\r\n")
        elif fault == "no-blank-line":
            data = data.removesuffix(b"\n") if LAST.search(data) else data
        elif fault == "one-newline":
            data = data.replace(b"\n\n", b"\n")
        elif fault == "named-events" and b"data:" in data:
            data = b"event: message\n" + data
        elif fault == "ids":
            data = b"id: 5\n" + data
        if fault == "length-too":
            self.held_back += data
            return
        if fault == "blank-line-late":
            data = self.__dict__.pop("pending", b"") + data
            if not LAST.search(data):
                data, self.pending = data.removesuffix(b"\n"), b"\n" if data.endswith(b"\n\n") else b""
            self.write(data)
            return
        if fault in ("buffers", "gzip-buffers") and not LAST.search(data):
            self.pending = getattr(self, "pending", b"") + data
            return
        data = self.__dict__.pop("pending", b"") + data
        if fault == "buffers-blocks" and len(data) < 4096 and not LAST.search(data):
            self.pending = data
            return
        if fault == "gzip-buffers" and "gzip" in self.headers.get("accept-encoding", ""):
            data = gzip.compress(data)
        self.write(data)

    def write(self, data: bytes) -> None:
        with contextlib.suppress(*((OSError,) if self.is_("goes-on") else ())):
            self.connection.sendall(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def event(self, value: Any, name: str = "") -> None:
        if self.is_("long-line"):
            value = {**value, "pad": "p" * (1 << 20)}
        text = json.dumps(value, ensure_ascii=self.is_("ascii"))
        line = f"event: {name}\n".encode() if name else b""
        if self.is_("latin1"):
            self.send(line + b"data: " + text.replace("Once", "Onc\u00e9").encode("latin-1", "replace") + b"\n\n")
            return
        if self.is_("repr"):
            text = repr(value)
        if self.is_("multi-line-json"):
            text = json.dumps(value, indent=1).replace("\n", "\ndata: ")
        self.send(line + b"data: " + text.encode("utf-8", "surrogatepass") + b"\n\n")

    def finish(self) -> bool:
        fault = self.server.fault
        if fault == "length-too":
            lines = [*self.held_head, f"Content-Length: {len(self.held_back)}", "", ""]
            self.connection.sendall("\r\n".join(lines).encode() + self.held_back)
            return True
        if fault == "stays-open":
            time.sleep(15)
        if self.chunked and fault != "no-last-chunk":
            self.connection.sendall(b"0\r\n\r\n")
        return self.chunked and fault not in ("no-last-chunk", "close-with-chunks")

    def pause(self, seconds: float, record: dict[str, Any]) -> None:
        """Wait, and notice a client that leaves meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.connection], [], [], left)[0]:
                return
            if self.half_closed() and not self.is_("goes-on", "no-half-close"):
                self.connection.settimeout(0.01)
                raise OSError("left")
            time.sleep(min(left, 0.005))  # its next request has come

    def pause_after_a_token(self, record: dict[str, Any]) -> None:
        self.pause(0.02 if self.is_("buffers", "goes-on", "buffers-blocks") else 0.005, record)

    def stream(self, request: Any, tokens: list[str], reason: str, wanted: str, record: dict[str, Any]) -> bool:
        fault, model = self.server.fault, request["model"]
        self.begin(model, len(tokens) > 1000, record)
        with self.server.lock:
            self.server.count += 1
            number = self.server.count
        id = {"same-id-each-time": "chatcmpl-1", "empty-id": ""}.get(fault, f"chatcmpl-{number}")
        base = {"id": id, "object": "chat.completion.chunk", "created": int(time.time()), "model": model}
        base |= {
            "wrong-object": {"object": "chat.completion"},
            "created-text": {"created": "now"},
            "created-old": {"created": 5},
            "no-model": {"model": ""},
            "error-null": {"error": None},
            "fingerprint-number": {"system_fingerprint": 5},
            "obfuscated": {"obfuscation": "x"},
        }.get(fault, {})
        if fault == "no-model":
            base["model"] = ""
        asked_usage = (request.get("stream_options") or {}).get("include_usage")
        usage = self.usage(request, tokens, wanted or reason)
        if asked_usage:
            base["usage"] = usage if fault == "usage-on-each" else None
        count = request.get("n") or 1
        if fault == "n-ignored":
            count = 1
        if fault == "two-choices-at-most":
            count = min(count, 2)
        for index in range(count):
            role = {"role": "assistant", "content": ""}
            if fault == "role-of-the-first-choice" and index:
                role = {"content": ""}
            role |= {"role-empty": {"role": ""}, "role-model": {"role": "model"}, "content-list": {"content": []}}.get(
                fault, {}
            )
            if fault == "no-role":
                role = {"content": ""}
            self.chunk(base, index, role)
        if wanted:
            for index in range(count):
                self.calls(base, request, index)
            reason = (
                "length"
                if fault == "calls-end-with-length"
                else "stop"
                if fault == "parallel-ends-with-stop"
                else "tool_calls"
            )
        else:
            if fault == "one-delta":
                tokens = ["".join(tokens)]
            for position, token in enumerate(tokens):
                if model in ("error", "crash") and position == 3:
                    return self.fail(base, model, tokens)
                if fault == "finish-on-each" and position == 2:
                    self.chunk(base, 0, {"content": ""}, "stop")
                for index in range(count):
                    asked = request.get("logprobs") and not (fault == "logprobs-of-the-first-choice" and index)
                    more = {"logprobs": self.logprobs(token)} if asked or fault == "logprobs-unasked" else {}
                    self.chunk(
                        {
                            **base,
                            **({"id": f"c{position}"} if fault == "id-per-chunk" else {}),
                            **({"created": position} if fault == "created-per-chunk" else {}),
                            **({"system_fingerprint": f"fp_{position}"} if fault == "fingerprint-per-chunk" else {}),
                        },
                        index,
                        {"content": token},
                        **more,
                    )
                record["tokens"] += 1
                self.pause_after_a_token(record)
        for index in range(count):
            if fault not in ("no-finish",):
                value = {"finish-empty": "", "finish-odd": "eos", "finish-length-missing": "stop"}.get(fault, reason)
                if fault == "finish-of-the-first-choice" and index:
                    value = "stop"
                if fault == "usage-glued" and asked_usage:
                    self.chunk({**base, "usage": usage}, index, {}, value)
                else:
                    self.chunk(base, index, {}, value)
            if fault == "finish-twice":
                self.chunk(base, index, {}, reason)
        if fault == "content-after-finish":
            self.chunk(base, 0, {"content": "!"})
        if fault == "no-choices":
            self.event({**base, "choices": None})
        if (
            asked_usage and fault not in ("no-usage", "usage-glued") and not (wanted and fault == "no-usage-with-tools")
        ) or fault == "usage-unasked":
            last = {**base, "choices": [], "usage": usage}
            if fault == "usage-with-choices":
                last["choices"] = [{"index": 0, "delta": {}, "finish_reason": None}]
            if fault == "usage-after-done":
                self.send(b"data: [DONE]\n\n")
            self.event(last)
        done = {
            "no-done": b"",
            "done-twice": b"data: [DONE]\n\ndata: [DONE]\n\n",
            "done-lower": b"data: [done]\n\n",
            "done-quoted": b'data: "[DONE]"\n\n',
            "data-after-done": b'data: [DONE]\n\ndata: {"x": 1}\n\n',
            "done-space": b"data: [DONE] \n\n",
        }.get(fault, b"data: [DONE]\n\n")
        if done:
            self.send(done)
        return self.finish()

    def begin(self, model: str, long: bool, record: dict[str, Any]) -> None:
        """The head of a stream, the silence of a slow model, and what must not stand at the beginning."""
        fault = self.server.fault
        if fault == "slow-reader-blocks" and long:
            self.server.one_at_a_time.acquire()
        elif fault == "slow-reader-blocks":
            with self.server.one_at_a_time:
                pass
        if fault == "gzip-buffers" and "gzip" in self.headers.get("accept-encoding", ""):
            self.head("Content-Encoding: gzip")
        elif fault == "gzip-unasked-coding" and "gzip" in self.headers.get("accept-encoding", ""):
            self.head("Content-Encoding: br")
        elif model != "slow" or fault != "late-head":
            self.head()
        if model == "slow":
            for _ in range(3):
                self.pause(0.12, record)
                if fault == "heartbeat-in-a-line":
                    self.send(b"data: {" + self.heartbeat)
                elif fault not in ("silent", "late-head"):
                    self.send(self.heartbeat)
            if fault == "late-head":
                self.head()
        for odd, data in ODDITIES.items():
            if fault == odd:
                self.send(data)

    def logprobs(self, token: str) -> dict[str, Any]:
        number = float("-inf") if self.is_("logprob-infinite") else -0.5
        data = [ord(character) & 255 for character in token] if self.is_("bytes-are-code-points") else [*token.encode()]
        return {"content": [{"token": token, "logprob": number, "bytes": data, "top_logprobs": []}]}

    def chunk(self, base: dict[str, Any], index: Any, delta: Any, finish: str | None = None, **more: Any) -> None:
        fault = self.server.fault
        choice: dict[str, Any] = {"index": index, "delta": delta, "finish_reason": finish, **more}
        if fault == "no-index":
            del choice["index"]
        if fault == "index-counts-tokens":
            self.position = getattr(self, "position", -1) + 1
            choice["index"] = self.position
        if fault == "delta-null" and finish:
            choice["delta"] = None
        if fault == "finish-missing" and finish is None:
            del choice["finish_reason"]
        if fault == "finish-empty-before" and finish is None:
            choice["finish_reason"] = ""
        if fault == "nan":
            choice["score"] = float("nan")
        value = {**base, "choices": [choice]}
        if fault == "name-twice":
            text = json.dumps(value)
            self.send(b"data: " + text.replace('"object"', '"id": "x", "object"').encode() + b"\n\n")
            return
        self.event(value)

    def calls(self, base: dict[str, Any], request: Any, choice: int) -> None:
        fault = self.server.fault
        two = request.get("tool_choice") == "auto"
        names = ["get_weather", "get_time"] if two else ["get_weather"]
        if fault == "calls-merged" and two:
            names = ["get_weather"] * 2
        for number, name in enumerate(names):
            index: Any = {"call-index-missing": None, "call-index-from-one": number + 1, "calls-merged": 0}.get(
                fault, number
            )
            text = '{"city": "Paris", "note": "for the trip"}'
            if fault == "arguments-broken":
                text = text[:-1]
            parts = [text] if fault == "arguments-at-once" else [text[:9], text[9:20], text[20:]]
            if fault == "calls-counted-over-choices":
                index = number + choice
            with self.server.lock:
                self.server.count += 1
                id = f"call_{number if fault == 'call-ids-of-the-answer' else self.server.count}"
            first: dict[str, Any] = {
                "index": index,
                "id": id,
                "type": "function",
                "function": {"name": name, "arguments": ""},
            }
            if fault == "call-id-missing":
                first["id"] = None
            if fault == "call-type-missing":
                del first["type"]
            self.chunk(base, choice, {"tool_calls": [first]})
            for part in parts:
                fragment: dict[str, Any] = {"index": index, "function": {"arguments": part}}
                if fault == "name-repeated":
                    fragment["function"]["name"] = name
                if fault == "arguments-an-object":
                    fragment["function"]["arguments"] = {"city": "Paris"}
                if fault == "call-index-missing":
                    del fragment["index"]
                self.chunk(base, choice, {"tool_calls": [fragment]})

    def fail(self, base: dict[str, Any], model: str, tokens: list[str]) -> bool:
        fault = self.server.fault
        if model == "crash":
            if fault == "crash-ends-well":
                self.finish()
            return False
        error: Any = {"message": "failed", "type": "server_error", "param": None, "code": None}
        if fault == "error-text-in-stream":
            error = "failed"
        if fault != "error-swallowed":
            self.event({"error": error})
        if fault == "content-after-error":
            self.chunk(base, 0, {"content": "more"})
        if fault in ("finish-after-error", "error-swallowed"):
            self.chunk(base, 0, {}, "stop")
        self.send(b"data: [DONE]\n\n")
        if fault == "error-then-cut":
            return False
        return self.finish()

    # ---- A plain event source ----

    def source(self) -> bool:
        fault = self.server.fault
        if fault == "source-500":
            return self.answer(500, {})
        last = self.headers.get("last-event-id", "")
        if fault == "odd-id-500" and not last.isdigit() and last:
            return self.answer(500, {})
        if fault == "odd-id-400" and not last.isdigit() and last:
            return self.answer(400, {})
        if fault == "odd-bytes-500" and not last.isascii():
            return self.answer(500, {})
        start = int(last) if last.isascii() and last.isdigit() and len(last) < 9 and fault != "no-resume" else 0
        self.head()
        self.send({"retry-seconds": b"retry: 1.5\n\n"}.get(fault, b"retry: 100\n\n"))
        for number in range(start + 1, 8):
            id = {"id-spaces": f" {number} ", "id-nul": f"{number}\0"}.get(fault, str(number))
            name = {"data-upper": "Data", "field-odd": "x: y\ndata"}.get(fault, "data")
            text = "caf\u00e9" if fault != "source-latin1" else "caf\ud800"
            self.send(f"id: {id}\n{name}: {text} {number}\n\n".encode("utf-8", "surrogatepass"))
            if fault == "source-event-block":
                self.send(b"event: ping\n\n")
        if fault == "source-cut":
            self.send(b"id: 9\ndata: half")
        return self.finish()


CONVERSATIONS: dict[str, type[Conversation]] = {"openai-chat": Conversation, "sse": Conversation}

FAULTS: dict[str, str] = {
    "status-201": "head/status-200 head/content-type",
    "type-plain": "head/content-type head/accept-json",
    "type-ndjson": "head/content-type",
    "charset-latin1": "head/content-type",
    "accept-needed": "head/accept-json",
    "always-streams": "head/not-streamed",
    "never-streams": "head/content-type head/accept-any frame/done-once",
    "done-after-whole": "head/not-streamed",
    "whole-is-a-chunk": "head/not-streamed",
    "length-too": "head/framing",
    "length-and-chunks": "head/framing",
    "no-last-chunk": "head/last-chunk",
    "close-with-chunks": "head/no-close-with-chunks",
    "chunks-for-1.0": "head/http-1.0",
    "no-keep-alive": "head/keep-alive",
    "gzip-buffers": "head/gzip",
    "gzip-unasked-coding": "head/gzip",
    "cacheable": "head/cache-control",
    "no-x-accel": "head/x-accel-buffering",
    "buffers": "head/incremental",
    "interim": "head/no-interim",
    "get-is-ok": "head/other-methods",
    "no-chunked-requests": "head/chunked-request",
    "no-expect": "head/expect-continue",
    "no-preflight": "head/preflight",
    "preflight-without-headers": "head/preflight",
    "no-cors": "head/cors-on-stream",
    "no-request-id": "head/request-id",
    "two-types": "head/one-of-each",
    "latin1": "frame/utf8",
    "bom": "frame/no-byte-order-mark",
    "no-blank-line": "frame/events-end",
    "one-newline": "frame/json-or-done chunk/object",
    "mixed-ends": "frame/one-line-end",
    "retry-block": "frame/no-block-without-data",
    "event-block": "frame/no-block-without-data",
    "empty-data": "frame/no-empty-data frame/json-or-done",
    "repr": "frame/json-or-done",
    "no-done": "frame/done-once frame/ends-after-done",
    "done-twice": "frame/done-once frame/nothing-after-done",
    "done-lower": "frame/done-once",
    "done-quoted": "frame/done-once",
    "done-space": "frame/done-once",
    "data-after-done": "frame/nothing-after-done",
    "stays-open": "frame/ends-after-done",
    "nan": "frame/strict-json",
    "name-twice": "frame/strict-json",
    "echo-loses-controls": "frame/controls-round-trip",
    "emoji-broken": "frame/unicode-round-trips",
    "long-line": "frame/line-length",
    "late-head": "frame/head-before-first-token",
    "wrong-object": "chunk/object",
    "id-per-chunk": "chunk/same-id",
    "empty-id": "chunk/same-id",
    "same-id-each-time": "chunk/ids-differ",
    "created-text": "chunk/created",
    "created-per-chunk": "chunk/created",
    "created-old": "chunk/created-now",
    "no-model": "chunk/model",
    "no-choices": "chunk/choices",
    "no-index": "chunk/index",
    "index-counts-tokens": "chunk/index",
    "delta-null": "chunk/delta",
    "no-role": "chunk/role-first",
    "role-empty": "chunk/role-value",
    "role-model": "chunk/role-value",
    "finish-missing": "chunk/finish-null-before",
    "finish-empty-before": "chunk/finish-null-before",
    "no-finish": "chunk/finish-once",
    "finish-twice": "chunk/finish-once",
    "finish-on-each": "chunk/finish-once chunk/no-content-after-finish",
    "finish-odd": "chunk/finish-value",
    "content-after-finish": "chunk/no-content-after-finish",
    "content-list": "chunk/content-type",
    "whole-differs": "chunk/equals-whole",
    "one-delta": "chunk/several-deltas",
    "error-null": "chunk/no-error-member",
    "n-ignored": "chunk/n",
    "max-tokens-ignored": "chunk/max-tokens",
    "length-not-told": "chunk/max-tokens chunk/max-completion-tokens",
    "max-completion-tokens-ignored": "chunk/max-completion-tokens",
    "stop-ignored": "chunk/stop",
    "stop-leaks": "chunk/stop",
    "stop-needs-a-value": "chunk/stop-null",
    "held-back-text-lost": "chunk/stop-unmatched",
    "logprob-infinite": "chunk/logprobs",
    "logprobs-unasked": "chunk/no-logprobs",
    "seed-ignored": "chunk/seed",
    "known-fields-only": "chunk/unknown-fields",
    "fingerprint-number": "chunk/fingerprint",
    "obfuscated": "chunk/no-obfuscation",
    "usage-unasked": "usage/not-unasked",
    "no-usage": "usage/one-chunk",
    "usage-glued": "usage/one-chunk",
    "usage-with-choices": "usage/one-chunk",
    "usage-after-done": "usage/one-chunk",
    "usage-on-each": "usage/null-before",
    "usage-does-not-add-up": "usage/sum",
    "usage-differs": "usage/equals-whole",
    "no-usage-with-tools": "usage/with-tools",
    "call-index-missing": "call/index",
    "call-index-from-one": "call/index-dense",
    "call-id-missing": "call/first-fragment",
    "call-type-missing": "call/first-fragment",
    "name-repeated": "call/later-fragments",
    "arguments-an-object": "call/function-object",
    "arguments-broken": "call/arguments",
    "calls-end-with-length": "call/finish-reason",
    "calls-merged": "call/parallel",
    "parallel-ends-with-stop": "call/parallel",
    "no-tool-results": "call/result",
    "tool-choice-none-ignored": "call/none",
    "arguments-at-once": "call/fragments",
    "bad-json-500": "fault/bad-json fault/error-object",
    "messages-unchecked": "fault/messages",
    "param-not-named": "fault/messages",
    "unknown-model-without-code": "fault/unknown-model",
    "any-key": "fault/key",
    "errors-with-200": "fault/before-the-stream",
    "errors-as-html": "fault/bad-json fault/before-the-stream",
    "error-without-code": "fault/error-object",
    "error-is-text": "fault/error-object",
    "no-size-limit": "fault/odd-bodies",
    "no-retry-after": "fault/overload",
    "error-text-in-stream": "fault/in-stream",
    "error-swallowed": "fault/in-stream",
    "content-after-error": "fault/nothing-after-error",
    "finish-after-error": "fault/nothing-after-error",
    "error-then-cut": "fault/end-after-error",
    "crash-ends-well": "fault/crash",
    "goes-on": "life/leave life/leave-in-silence",
    "leaks": "life/hundred-leave",
    "no-half-close": "life/half-close",
    "slow-reader-blocks": "life/slow-reader",
    "crosstalk": "life/fifty-at-once",
    "no-pipelining": "life/pipelined",
    "no-models": "models/list",
    "any-model-found": "models/one",
    "completions-as-chat": "models/completions",
    "silent": "frame/keep-alive-in-silence",
    "nulls-refused": "null/parameters",
    "other-nulls-refused": "null/other-parameters",
    "null-members-refused": "null/answer-members",
    "null-names-refused": "null/message-members",
    "parts-refused": "parts/user parts/system parts/developer parts/assistant parts/tool-result",
    "first-part-only": "parts/several",
    "charset-refused": "head/request-charset",
    "codings-refused": "head/request-identity",
    "names-identity": "head/no-identity",
    "buffers-blocks": "head/first-piece",
    "role-of-the-first-choice": "together/n-role",
    "two-choices-at-most": "together/n-three",
    "finish-of-the-first-choice": "together/n-limit",
    "prompt-counted-twice": "together/n-usage",
    "first-choice-counted": "together/n-usage",
    "stop-ignored-with-n": "together/n-stop",
    "logprobs-of-the-first-choice": "together/n-logprobs",
    "calls-counted-over-choices": "together/n-tools",
    "whole-index-zero": "together/n-whole",
    "stop-as-text-ignored": "together/stop-is-text",
    "first-stop-only": "together/stop-is-text",
    "stop-counted": "together/stop-usage",
    "limit-missed-by-one": "together/limit-of-three",
    "call-counted-when-streamed": "together/tools-usage",
    "call-ids-of-the-answer": "together/call-ids-differ",
    "whole-always-stops": "whole/finish-reason",
    "whole-total-missing": "whole/usage-sum",
    "whole-of-a-model": "whole/message",
    "whole-arguments-an-object": "whole/calls",
    "length-in-characters": "whole/length-in-bytes fault/length-in-bytes",
    "no-allow": "fault/allow",
    "no-www-authenticate": "fault/www-authenticate",
    "white-space-lost": "frame/white-space-round-trips",
    "blank-line-late": "frame/blank-line-with-its-event",
    "bytes-are-code-points": "chunk/logprobs-bytes",
    "fingerprint-per-chunk": "chunk/fingerprint-same",
}
"""Faults of chat servers, each with the vectors that are made for it."""

SOURCE_FAULTS: dict[str, str] = {
    "source-500": "events/status",
    "type-plain": "events/content-type",
    "source-latin1": "events/utf8",
    "field-odd": "events/fields",
    "data-upper": "events/lower-case",
    "retry-seconds": "events/retry-digits",
    "id-nul": "events/no-nul-in-id",
    "id-spaces": "events/id-survives-header",
    "source-event-block": "events/block-without-data",
    "source-cut": "events/ends-with-blank-line",
    "length-too": "events/framing",
    "no-last-chunk": "events/last-chunk",
    "chunks-for-1.0": "events/http-1.0",
    "cacheable": "events/cache-control",
    "no-resume": "events/resume",
    "odd-id-400": "events/unknown-id",
    "odd-bytes-500": "events/no-5xx-on-odd-id",
}
"""Faults of plain event sources."""

UNUSUAL = (
    "journal-without-ids",
    "crlf",
    "cr",
    "no-space",
    "comments",
    "named-events",
    "ids",
    "keep-alive-lower",
    "reversed-headers",
    "close-delimited",
    "type-parameter",
    "multi-line-json",
    "ascii",
)
"""Ways to be correct that few servers take."""
