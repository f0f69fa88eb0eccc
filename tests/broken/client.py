"""A client with one fault: ``python client.py PROFILE FAULT URL``. With the fault "none" it is correct.

It shares nothing with the package: sockets, chunks, lines and fields are read here in another way. Each fault stands at
the place where a client would have it.
"""

import contextlib
import json
import os
import re
import socket
import sys
import threading
import time
import urllib.parse
import zlib

PROFILE, FAULT, URL = sys.argv[1:4]
IDLE = float(os.environ["SSE_CONFORMANCE_IDLE_S"])
if FAULT == "closing-unknown":
    os.environ.pop("SSE_CONFORMANCE_CANCEL_AFTER", None)
CANCEL = int(os.environ.get("SSE_CONFORMANCE_CANCEL_AFTER", "0"))
CANCEL_IN = float(os.environ.get("SSE_CONFORMANCE_CANCEL_IN_S", "0"))
KEY = os.environ.get("SSE_CONFORMANCE_KEY", "") if FAULT != "key-never-sent" else ""
ASKS_FOR_GZIP = "gzip" in FAULT or FAULT == "unknown-coding-is-empty"
TIMEOUT = {"no-timeout": None, "timeout-early": IDLE / 4, "silence-limit": 5.0}.get(FAULT, IDLE)
SCHEME = "" if FAULT == "key-without-scheme" else "Bearer "
BODY = os.environ.get("SSE_CONFORMANCE_BODY", "")


class Cut(Exception):
    """The transport ended early."""


class Wrong(Exception):
    """The server sent something else than it should."""


class Status(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Failure(Exception):
    """An error inside the stream."""


def say(**value):
    print(json.dumps(value), flush=True)


# ---- HTTP ------------------------------------------------------------------------------------------------------------


class Wire:
    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.host = parts.netloc
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT)
        self.buffer = b""

    def more(self):
        if FAULT == "total-timeout":
            self.socket.settimeout(max(IDLE - (time.monotonic() - BEGAN), 0.001))
        if FAULT == "total-limit":
            self.socket.settimeout(max(1.5 - (time.monotonic() - BEGAN), 0.001))
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def until(self, mark):
        while mark not in self.buffer:
            if not self.more():
                raise Cut("the connection ended")
        taken, _, self.buffer = self.buffer.partition(mark)
        return taken


def request(url, method, body, headers):
    parts = urllib.parse.urlsplit(url)
    wire = open_now["wire"] = Wire(url)
    path = parts.path or "/"
    if parts.query and FAULT != "query-lost":
        path += f"?{parts.query}"
    host = parts.hostname if FAULT == "host-without-port" else wire.host
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body.decode()) if FAULT == 'length-in-characters' else len(body)}")
    wire.socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    while True:
        first, *pairs = wire.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        if status >= 200 or (FAULT == "interim" and status != 100) or (FAULT == "interim-100" and status == 100):
            break
    named = {k.strip(): v.strip() for k, _, v in (pair.partition(":") for pair in pairs)}
    if FAULT == "header-case":
        return wire, status, {name.lower(): value for name, value in named.items() if name == name.title()}
    return wire, status, {name.lower(): value for name, value in named.items()}


def body_of(wire, headers):
    """Yield the bytes of a body as they come, out of their coding; raises Cut if it ends early."""
    coding = headers.get("content-encoding")
    if coding is not None and FAULT == "codings-refused":
        raise Wrong(f"the coding is {coding}")
    names = [name.strip() for name in (coding or "").split(",")]
    if FAULT != "gzip-by-name":
        names = [{"x-gzip": "gzip"}.get(name.lower(), name.lower()) for name in names]
    unknown = [name for name in names if name not in ("", "identity", "gzip")]
    if FAULT == "unknown-coding-is-empty" and (unknown or len(names) > 1):
        return
    if "gzip" not in names or FAULT == "asks-for-gzip":
        yield from plain_body(wire, headers)
        return
    unpack = zlib.decompressobj(wbits=31)
    for data in plain_body(wire, headers):
        while data:
            try:
                yield unpack.decompress(data)
            except zlib.error:
                if FAULT == "gzip-broken-ok":
                    return
                raise (OSError if FAULT == "gzip-broken-is-fatal" else Cut)("bad gzip") from None
            data = unpack.unused_data
            if unpack.eof and (data or FAULT != "gzip-first-member"):
                if FAULT == "gzip-first-member":
                    data = b""
                else:
                    unpack, ended = zlib.decompressobj(wbits=31), True
                    continue
            ended = False
    if not ended and FAULT not in ("gzip-cut-ok", "gzip-first-member"):
        raise Cut("gzip has no end")


def plain_body(wire, headers):
    if "chunked" in headers.get("transfer-encoding", "").lower() and FAULT != "no-chunks":
        yield from chunks(wire, headers)
    elif FAULT == "needs-chunks":
        raise Wrong("not chunked")
    elif "content-length" in headers:
        left = int(headers["content-length"])
        while left:
            if not wire.buffer and not wire.more():
                if FAULT == "short-length-ok":
                    return
                raise Cut("the body is short")
            data, wire.buffer = wire.buffer[:left], wire.buffer[left:]
            left -= len(data)
            yield data
    else:
        if FAULT == "needs-framing":
            raise Wrong("no framing")
        while wire.buffer or wire.more():
            data, wire.buffer = wire.buffer, b""
            yield data


def chunks(wire, headers):
    tolerant = FAULT == "chunk-cut-ok" or (
        FAULT == "chunk-cut-ok-with-close" and "close" in headers.get("connection", "")
    )
    try:
        while True:
            line = wire.until(b"\r\n")
            if FAULT != "no-extensions":
                line = line.partition(b";")[0]
            if FAULT == "chunk-sizes-of-four-digits" and len(line) > 4:
                raise Wrong("a chunk size is too long")
            try:
                size = int(line, 16)
            except ValueError:
                if FAULT in ("bad-chunk-ok", "chunk-size-zero"):
                    return
                raise Wrong("a chunk size is no number") from None
            if not size:
                return
            while len(wire.buffer) < size + 2:
                if not wire.more():
                    raise Cut("a chunk is short")
            data, end, wire.buffer = wire.buffer[:size], wire.buffer[size : size + 2], wire.buffer[size + 2 :]
            if end != b"\r\n" and FAULT != "bad-chunk-ok":
                raise Wrong("a chunk is too long")
            yield data
    except ConnectionResetError:
        if FAULT == "reset-ok":
            return
        raise Cut("reset") from None
    except Cut:
        if tolerant:
            return
        raise


# ---- Events ----------------------------------------------------------------------------------------------------------


class Lines:
    """Bytes to lines, and lines to events."""

    def __init__(self, last_id=""):
        self.text = ""
        self.tail = b""
        self.first = True
        self.data, self.kind, self.id, self.last_id = [], "", last_id, last_id
        self.retry = None
        self.seen = False

    def feed(self, data):
        if FAULT == "utf8-per-chunk":
            self.text += data.decode("utf-8", "replace")
        elif FAULT == "strict-utf8":
            self.tail += data
            try:
                self.text += self.tail.decode()
                self.tail = b""
            except UnicodeDecodeError as error:
                if error.reason != "unexpected end of data":
                    raise
        elif FAULT == "latin1":
            self.text += data.decode("latin-1")
        else:
            self.tail += data
            cut = next((k for k in (1, 2, 3) if len(self.tail) >= k and self.tail[-k] >= 0xC0), 0)
            if cut and cut < {0xC: 2, 0xD: 2, 0xE: 3}.get(self.tail[-cut] >> 4, 4):
                self.text += self.tail[:-cut].decode("utf-8", "replace")
                self.tail = self.tail[-cut:]
            else:
                self.text += self.tail.decode("utf-8", "replace")
                self.tail = b""
        if self.first and self.text:
            self.first = False
            if FAULT != "keeps-bom":
                self.text = self.text.removeprefix("\ufeff")
        yield from self.events()

    def events(self):
        pattern = {
            "lf-only": "\n",
            "no-lone-cr": "\r\n|\n",
            "unicode-lines": "\r\n|[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]",
        }
        if FAULT == "blank-line-split":
            while "\n\n" in self.text:
                block, _, self.text = self.text.partition("\n\n")
                yield from self.block(block.split("\n"))
            return
        while match := re.search(pattern.get(FAULT, "\r\n|\n|\r"), self.text):
            if match[0] == "\r" and match.end() == len(self.text) and FAULT != "crlf-split-phantom":
                break  # an LF may follow
            line, self.text = self.text[: match.start()], self.text[match.end() :]
            if line:
                self.line(line)
            else:
                yield from self.dispatch()

    def block(self, lines):
        for line in lines:
            self.line(line)
        yield from self.dispatch()

    def line(self, line):
        if (FAULT == "line-limit" and len(line) > 65536) or (FAULT == "line-limit-silent" and len(line) > 65536):
            if FAULT == "line-limit":
                raise OverflowError("line too long")
            return
        if FAULT == "comments-crash" and line[0] == ":":
            raise ValueError(line)
        if FAULT == "comment-is-data" and line[0] == ":" and len(line) > 1:
            line = "data" + line
        if FAULT == "data-found-in-comments" and line[0] == ":" and "data:" in line:
            line = line[line.index("data:") :]
        if FAULT == "data-found-anywhere" and "data: " in line:
            line = "data: " + line.rpartition("data: ")[2]
        if line[0] == "{" or line[:7] == "error: ":
            bare.append(line)
        name, colon, value = line.partition(":")
        if FAULT == "data-only" and name != "data":
            raise ValueError(name)
        if FAULT == "space-required" and colon and value[:1] != " ":
            return
        value = value.strip() if FAULT == "strips" else value[1:] if value[:1] == " " else value
        if FAULT == "done-needs-space" and line == "data:[DONE]":
            value = " [DONE]"  # so that it is taken for a chunk
        if FAULT == "case-insensitive":
            name = name.lower()
        if FAULT == "unknown-fields-crash" and name not in ("", "data", "event", "id", "retry"):
            raise ValueError(name)
        self.seen = self.seen or name in ("event", "id", "retry")
        if name == "data":
            if FAULT == "single-data-line":
                self.data = [value]
            else:
                self.data.append(value)
        elif name == "event":
            self.kind = "\0lost" if FAULT == "message-is-unknown" and value == "message" else value
        elif name == "id" and ("\0" not in value or FAULT == "nul-ids"):
            self.id = value
        elif name == "retry" and (number := re.match("[0-9]+", value)):
            if number[0] != value and FAULT != "retry-of-leading-digits":
                return
            self.retry = int(number[0])
            if FAULT == "retry-int32":
                self.retry = 1 if self.retry > 2**31 else self.retry

    def dispatch(self):
        if FAULT != "ids-lost-without-data" or self.data:
            self.last_id = self.id
        phantom = FAULT == "phantoms" and (self.seen or self.id)
        phantom = (
            phantom or (FAULT == "event-phantom" and self.kind) or FAULT in ("blank-phantom", "crlf-split-phantom")
        )
        if self.data or phantom:
            yield self.kind or "message", "\n".join(self.data), self.last_id
        self.data, self.kind, self.seen = [], "", False

    def end(self):
        """A CR at the end ends its line; the event that was cut is dropped, but for a fault."""
        if self.text == "\r":
            self.text = ""
            yield from self.dispatch()
        if FAULT == "flush-at-end" and (self.text or self.data):
            if self.text:
                self.line(self.text)
            yield from self.dispatch()


# ---- Chat ------------------------------------------------------------------------------------------------------------


class Answer:
    def __init__(self):
        self.texts, self.finish, self.usage, self.calls, self.deltas = {}, {}, None, [], 0
        self.refusal = ""
        self.done = False
        self.chunks = 0

    @property
    def text(self):
        return "".join(self.texts.values()) if FAULT == "merges-choices" else self.texts.get(0, "")

    def take(self, kind, data):
        mark = "[DONE]" in data if FAULT == "done-anywhere" else data == "[DONE]"
        mark = mark or (
            data.strip() == "[DONE]" and bool(self.finish) and FAULT not in ("done-exact", "done-needs-space")
        )
        if self.done and FAULT == "done-must-be-last":
            raise Wrong("something came after [DONE]")
        if FAULT == "done-needs-message" and kind != "message":
            mark = False  # so that it is taken for a chunk
        if mark:
            self.done = True
            return
        if FAULT == "unknown-type-crash" and kind not in ("message", "error"):
            raise Wrong(f"unknown event {kind}")
        if not data and FAULT not in (
            "empty-data-crash",
            "phantoms",
            "event-phantom",
            "blank-phantom",
            "crlf-split-phantom",
        ):
            return
        try:
            chunk = json.loads(data)
            if not isinstance(chunk, dict):
                raise ValueError
        except ValueError:
            if FAULT in ("bad-json-skipped", "done-is-complete"):
                return
            raise Wrong(f"not JSON: {data[:40]}") from None
        error = chunk.get("error")
        if FAULT == "done-is-complete":
            error, chunk = None, {name: value for name, value in chunk.items() if name in ("choices", "id")}
        if FAULT == "error-key-present" and "error" in chunk:
            raise Failure("error")
        if FAULT == "errors-ignored":
            error = None
        if FAULT == "named-errors-ignored" and kind == "error":
            return
        if FAULT == "error-objects-only" and not isinstance(error, dict):
            error = None
        if FAULT == "late-errors-only" and not self.chunks:
            error = None
        if kind == "error" and FAULT not in ("errors-ignored", "error-objects-only", "names-of-errors-ignored"):
            error = error or chunk
        if FAULT == "error-with-choices-ignored" and chunk.get("choices"):
            error = None
        if chunk.get("object") == "error" and FAULT != "old-errors-ignored":
            error = error or chunk["message"]
        if chunk.get("base_resp") and FAULT != "status-errors-lost":
            error = error or chunk["base_resp"]["status_msg"]
        if error:
            if FAULT == "error-loses-text":
                self.texts = {}
            raise Failure(
                error.get("message", str(error))
                if isinstance(error, dict) and FAULT != "error-message-lost"
                else error
                if FAULT != "error-message-lost"
                else "error"
            )
        self.chunks += 1
        if FAULT == "loses-chunks" and self.chunks % 100 == 99:
            return
        if FAULT == "id-must-not-change":
            self.id = getattr(self, "id", chunk.get("id"))
            if chunk.get("id") != self.id:
                raise Wrong("another id")
        usage = chunk.get("usage")
        if FAULT == "usage-overwritten" and "usage" in chunk:
            self.usage = None
        if FAULT == "usage-zero-is-none" and usage and not usage["completion_tokens"]:
            usage = None
        if FAULT == "usage-from-total" and usage:
            usage = {**usage, "completion_tokens": usage["total_tokens"] - usage["prompt_tokens"]}
        if FAULT != "groq-usage-lost":
            usage = usage or (chunk.get("x_groq") or {}).get("usage")
        if FAULT == "usage-with-choices-ignored" and chunk.get("choices"):
            usage = None
        if usage and FAULT != "usage-ignored":
            if FAULT == "usage-summed" and self.usage:
                usage = {name: self.usage[name] + usage[name] for name in self.usage}
            self.usage = usage
        elif "usage" in chunk and FAULT == "usage-null-crash":
            len(usage)
        if FAULT == "escapes-lost":
            chunk = json.loads(re.sub(r"\\u00[01].", "", data))
        if FAULT == "empty-choices-end" and chunk.get("choices") == []:
            self.done = True
        if FAULT == "choices-required":
            chunk["choices"]
        id, created = chunk.get("id"), chunk.get("created")
        if (FAULT == "chunk-id-required" and not id) or (FAULT == "ids-checked" and len(id) < 14):
            raise Wrong("no good id")
        if FAULT == "created-checked" and not isinstance(created, int):
            raise Wrong("no good time")
        if FAULT == "first-choice-assumed":
            chunk["choices"][0]  # raises IndexError for the usage chunk
        if FAULT == "null-chunk-members-crash" and None in chunk.values():
            raise Wrong("a member is null")
        if FAULT == "choices-null-crash":
            iter(chunk.get("choices", []))
        if FAULT == "known-members-only" and set(chunk) - {"id", "object", "created", "model", "choices", "usage"}:
            raise Wrong("unknown member")
        for place, choice in enumerate(chunk.get("choices") or []):
            if FAULT == "choices-by-place":
                choice["index"] = place
            if FAULT == "first-choice-seen-is-first":
                self.first = getattr(self, "first", choice["index"])
                choice["index"] = int(choice["index"] != self.first)
            self.choice(choice)

    def choice(self, choice):
        index = choice["index"]
        if FAULT == "known-choice-members-only" and "content_filter_results" in choice:
            raise Wrong("unknown member")
        if FAULT == "finish-required":
            choice["finish_reason"]
        if FAULT == "empty-finish-ends" and choice.get("finish_reason") is not None:
            self.done = True
        if FAULT == "null-choice-members-crash" and choice.get("logprobs", 0) is None:
            raise Wrong("a member is null")
        delta = choice["delta"] if FAULT == "delta-required" else choice.get("delta") or {}
        if FAULT == "delta-null-crash":
            choice.get("delta", {}).get("content")
        if FAULT == "null-delta-members-crash" and None in [v for k, v in delta.items() if k != "content"]:
            raise Wrong("a member is null")
        if FAULT == "role-required" and not self.texts and not delta.get("role"):
            raise Wrong("no role")
        if FAULT == "role-once" and delta.get("role") and self.texts:
            raise Wrong("a second role")
        content = (
            delta.get("content") if FAULT != "content-required" or choice.get("finish_reason") else delta["content"]
        )
        if FAULT == "roles-checked" and delta.get("role", "assistant") != "assistant":
            raise Wrong("unknown role")
        if FAULT == "reasoning-is-text":
            content = content or delta.get("reasoning") or delta.get("reasoning_content")
            content = content or "".join(detail["text"] for detail in delta.get("reasoning_details", ()))
        if isinstance(content, list) and FAULT != "lists-printed":
            content = "".join(part["text"] for part in content if part["type"] == "text")
        content = str(content) if isinstance(content, list) else content
        if FAULT == "none-printed":
            content = str(content) if "content" in delta else None
        if FAULT == "empty-content-ends" and content == "" and self.deltas:
            self.done = True
        if FAULT == "finish-content-dropped" and choice.get("finish_reason"):
            content = None
        if FAULT == "content-after-finish-crash" and self.finish.get(index) and content:
            raise RuntimeError("content after finish")
        self.refusal += delta.get("refusal") or ""
        if FAULT == "refusals-printed":
            content = content or delta.get("refusal")
        if isinstance(content, str):
            content = self.altered(content)
        if FAULT == "text-after-calls-dropped" and self.calls:
            content = None
        if content:
            self.texts[index] = self.texts.get(index, "") + content
            if FAULT == "merges-choices":
                self.texts = {0: self.texts.get(0, "") + content} if index else self.texts
            self.deltas += 1
            if index == 0 and FAULT != "prints-at-the-end":
                if FAULT == "prints-utf8":
                    content.encode()
                say(delta=content)
        reason = choice.get("finish_reason")
        if reason == "error" and FAULT != "finish-error-is-an-end":
            raise Failure("the finish reason is error")
        if FAULT == "finish-overwritten" and "finish_reason" in choice:
            self.finish[index] = reason
        if reason:
            if FAULT == "finish-reasons-joined":
                reason = self.finish.get(index, "") + reason
            if FAULT == "known-reasons-only" and reason not in ("stop", "length", "tool_calls"):
                raise Wrong(f"finish reason {reason}")
            self.finish[index] = "stop" if FAULT == "finish-always-stop" else reason
            if FAULT in ("any-finish-counts", "one-finish-is-enough"):
                self.finish = dict.fromkeys(self.finish | self.texts, next(iter(self.finish.values())))
            if FAULT == "ends-at-finish":
                self.done = True
        if FAULT == "tool-calls-list-required":
            iter(delta.get("tool_calls", []))
        if (FAULT == "empty-calls-end" and delta.get("tool_calls") == []) or (
            FAULT == "content-ends-calls" and delta.get("content") == ""
        ):
            self.open = False
        fragments = delta.get("tool_calls") or []
        if delta.get("function_call") and FAULT != "function-call-lost":
            fragments = [{"index": 0, "function": delta["function_call"]}]
        for fragment in fragments if not index or FAULT == "calls-of-all-choices" else []:
            if FAULT == "text-or-calls":
                self.texts = {}
            self.call(fragment)

    def altered(self, content):
        """A delta as it came, but for a fault."""
        if FAULT == "equal-deltas-dropped":
            before, self.before = getattr(self, "before", None), content
            return "" if content == before else content
        if FAULT == "deltas-parsed":
            with contextlib.suppress(ValueError):
                return str(json.loads(content) or "")
        if FAULT == "json-deltas-are-errors" and content.startswith('{"error"'):
            raise Failure(content)
        return {
            "blank-deltas-dropped": "" if content.isspace() else content,
            "first-delta-trimmed": content if self.deltas else content.lstrip(),
            "deltas-trimmed-at-the-end": content.rstrip(),
            "entities-decoded": content.replace("&amp;", "&"),
        }.get(FAULT, content)

    def call(self, fragment):
        if FAULT == "calls-ignored":
            return
        function = fragment.get("function") or {}
        index = fragment.get("index")
        if FAULT == "function-required":
            fragment["function"].get("name")  # raises TypeError or KeyError
        if FAULT == "null-arguments-crash":
            str.strip(function.get("arguments", ""))  # raises TypeError for null
        if FAULT == "types-checked" and fragment.get("type", "function") != "function":
            return
        if FAULT == "arguments-required":
            function["arguments"]  # raises KeyError for a call without arguments
        if isinstance(function.get("arguments"), dict):
            if FAULT == "argument-objects-dropped":
                function["arguments"] = ""
            function["arguments"] = json.dumps(function["arguments"])
        if FAULT == "names-required" and function.get("name", "") is None:
            raise Wrong("a name is null")
        if FAULT == "short-ids-refused" and fragment.get("id") and len(fragment["id"]) < 10:
            raise Wrong("a short id")
        if FAULT == "ids-are-keys":
            index = fragment.get("id", index)
        if index is None:
            index = len(self.calls) if fragment.get("id") else len(self.calls) - 1
            if FAULT == "no-index-dropped":
                return
        known = [call for call in self.calls if call["key"] == index]
        if FAULT == "one-call":
            known = self.calls[:1]
        id, name = fragment.get("id"), function.get("name")
        if (
            known
            and id
            and known[-1]["id"]
            and id != known[-1]["id"]
            and FAULT not in ("same-index-merged", "one-call")
        ):
            known = []
        if FAULT == "last-call" and known:
            known = self.calls[-1:]
        if known and FAULT in ("empty-calls-end", "content-ends-calls") and not self.open:
            known = []
        if known and FAULT == "call-when-whole" and is_whole(known[-1]["arguments"]):
            known = []
        self.open = True
        if known:
            call = known[-1]
            if FAULT == "names-repeated" and name:
                call["name"] += name
            elif FAULT == "name-overwritten" and "name" in function:
                call["name"] = name
            elif name and name != call["name"] and FAULT != "first-name-counts":
                call["name"] = (call["name"] or "") + name
            if FAULT == "id-overwritten" and "id" in fragment:
                call["id"] = id
            elif FAULT != "first-id-counts":
                call["id"] = call["id"] or id
        else:
            if (FAULT == "id-required" and not id) or (FAULT == "index-from-zero" and index != len(self.calls)):
                return
            call = {"key": index, "id": id, "name": name, "arguments": ""}
            self.calls.append(call)
            if FAULT == "first-arguments-dropped":
                return
        arguments = function.get("arguments") or ""
        call["arguments"] += arguments.strip() if FAULT == "blank-arguments-dropped" else arguments

    open = False  # a call has begun, and nothing ended it

    def whole(self):
        """True if every choice has its finish reason."""
        return bool(self.finish) and set(self.finish) >= set(self.texts)


def is_whole(arguments):
    try:
        return isinstance(json.loads(arguments), dict)
    except ValueError:
        return False


def chat():
    answer = Answer()
    lines = Lines()
    try:
        outcome = stream(answer, lines)
    except Status as error:
        return end("http_error", answer, status=error.status, error=str(error))
    except Failure as error:
        return end("api_error", answer, error=str(error))
    except Wrong as error:
        return end("protocol_error", answer, error=str(error))
    except (Cut, ConnectionError) as error:
        if FAULT == "cut-is-complete" or (FAULT == "cut-after-finish-ok" and answer.whole()):
            return end("complete", answer)
        if FAULT == "resends-after-cut":
            return chat()
        if FAULT == "cut-loses-text":
            answer.texts = {}
        return end("truncated", answer, error=str(error))
    except TimeoutError:
        return end("complete" if FAULT == "timeout-is-complete" else "timeout", answer)
    return end(outcome, answer)


def end(outcome, answer, **more):
    for call in answer.calls:
        call["arguments"] = call["arguments"] or "{}"
        if FAULT == "arguments-written-anew":
            call["arguments"] = json.dumps(json.loads(call["arguments"]))
    if FAULT == "equal-calls-are-one":
        answer.calls = list({(call["name"], call["arguments"]): call for call in answer.calls}.values())
    if FAULT == "calls-need-the-reason" and answer.finish.get(0) != "tool_calls":
        answer.calls = []
    more["refusal"] = "" if FAULT == "refusals-lost" else answer.refusal
    if outcome == "truncated" and bare:
        outcome, more["error"] = "api_error", bare[-1]
    calls = [{"id": c["id"], "name": c["name"], "arguments": c["arguments"]} for c in answer.calls]
    text = answer.text
    if FAULT == "prints-at-the-end" and text:
        say(delta=text)
    reason = answer.finish.get(0)
    if FAULT == "finish-invented" and outcome == "complete" and not reason:
        reason = "stop"
    if FAULT == "status-lost":
        more.pop("status", None)
        more["status"] = None
    if FAULT == "error-lost" and outcome == "http_error":
        more["error"] = "request failed"
    say(end=outcome, text=text, finish_reason=reason, usage=answer.usage, tool_calls=calls, **more)


def stream(answer, lines):
    wire, headers = connect()
    opened = wire
    kind = headers.get("content-type", "").partition(";")[0].strip()
    if (kind if FAULT == "type-exact" else kind.lower()) != "text/event-stream":
        if FAULT == "type-silent":
            return "complete"
        if FAULT not in ("any-type", "status-ignored"):
            raise Wrong(f"the type is {kind}: {wire.buffer[-200:]!r}")
    if FAULT == "type-strict" and headers.get("content-type") != "text/event-stream":
        raise Wrong("type")
    for data in body_of(wire, headers) if FAULT != "reads-to-the-end" else [b"".join(body_of(wire, headers))]:
        for event in lines.feed(data):
            answer.take(*event[:2])
            if answer.done and FAULT not in ("waits-for-the-end", "reads-on", "done-mark-crash", "done-must-be-last"):
                if FAULT in ("finish-invented", "done-is-complete") or answer.whole():
                    return "complete"
                raise Cut("no finish reason")
            if answer.done and FAULT == "waits-for-the-end":
                answer.take = lambda *event: None
            if CANCEL and answer.deltas >= CANCEL and FAULT != "never-cancels":
                if FAULT != "cancel-leaves-open":
                    opened.socket.close()
                else:
                    say(end="cancelled", text=answer.text)
                    time.sleep(20)
                if FAULT == "cancel-loses-text":
                    answer.texts = {}
                return "cancelled" if FAULT != "cancel-is-complete" else "complete"
        if FAULT == "chunk-per-read":
            lines.text, lines.data, lines.tail = "", [], b""
    for event in lines.end():
        answer.take(*event[:2])
    if FAULT == "eof-is-complete" or (FAULT == "eof-is-complete-after-text" and answer.text):
        return "complete"
    if FAULT in ("any-type", "status-ignored") and not answer.chunks:
        return "complete"
    if not answer.chunks and not lines.text and not lines.data:
        if FAULT in ("no-event-is-complete", "empty-answer-ok", "server-errors-are-empty") or FAULT in (
            "unknown-coding-is-empty",
            "gzip-broken-ok",
        ):
            return "complete"
        raise Wrong("no event came")
    if FAULT == "done-required" and not answer.done:
        raise Cut("no [DONE]")
    if answer.whole():
        return "complete"
    raise Cut("no finish reason")


def connect():
    path = "/models/judge:streamGenerateContent?alt=sse" if PROFILE == "gemini" else "/chat/completions"
    url, method, tries = URL + ("" if FAULT == "path-of-another" else path), "POST", 0
    body = BODY.encode()
    if FAULT == "no-stream":
        body = json.dumps({**json.loads(BODY), "stream": False}).encode()
    if FAULT == "body-lost":
        body = b"{}"
    if FAULT == "length-in-characters":
        body = json.dumps(json.loads(BODY), ensure_ascii=False).encode()
    if FAULT == "members-lost":
        body = json.dumps({k: v for k, v in json.loads(BODY).items() if k in ("model", "messages", "stream")}).encode()
    headers = ["Content-Type: application/json", "Accept: text/event-stream"]
    if ASKS_FOR_GZIP:
        headers.append("Accept-Encoding: gzip")
    home = urllib.parse.urlsplit(url).netloc
    while True:
        tries += 1
        if tries > (1000 if FAULT == "redirects-for-ever" else 25):
            raise Wrong("too many redirects")
        away = urllib.parse.urlsplit(url).netloc != home
        if KEY and (FAULT == "key-follows" or not away) and not (FAULT == "key-sent-once" and tries > 1):
            headers = [*(line for line in headers if not line.startswith("Auth")), f"Authorization: {SCHEME}{KEY}"]
        else:
            headers = [line for line in headers if not line.startswith("Auth")]
        try:
            wire, status, got = request(url, method, body, headers)
        except Cut:
            if FAULT == "empty-answer-ok":
                return FakeWire(), {"content-type": "text/event-stream", "content-length": "0"}
            raise
        if status in (307, 308) and "location" in got and FAULT not in ("no-redirects",):
            if FAULT == "redirect-absolute-only" and not got["location"].startswith("http"):
                raise Wrong("no URL")
            url = urllib.parse.urljoin(url, got["location"])
            if FAULT == "redirect-loses-body":
                body = b"{}"
            continue
        if status in (301, 302, 303) and FAULT == "redirect-to-get":
            url, method, body = got["location"], "GET", b""
            continue
        if FAULT == "server-errors-are-empty" and status >= 500:
            return FakeWire(), {"content-type": "text/event-stream", "content-length": "0"}
        if status == 429 and (
            (FAULT == "retries-for-ever" and tries < 30) or (FAULT == "retries-at-once" and tries < 3)
        ):
            time.sleep(0.01)
            continue
        if status == 204 and FAULT == "empty-answer-ok":
            return FakeWire(), {"content-type": "text/event-stream", "content-length": "0"}
        if status != 200 and FAULT != "status-ignored":
            charset = "latin-1" if FAULT == "errors-in-latin1" else "utf-8"
            message = b"".join(body_of(wire, got)).decode(charset, "replace")
            if FAULT == "error-objects-only-http":
                try:
                    message = json.loads(message)["error"]["message"]
                except (ValueError, TypeError, KeyError):
                    message = "error"
            raise Status(status, message)
        return wire, got


class FakeWire:
    """A body that holds one finished chunk: a client that makes an answer up."""

    buffer = b""


# ---- Event sources ---------------------------------------------------------------------------------------------------


API_TYPES = (
    "error",
    "open",
    "close",
    "end",
    "done",
    "abort",
    "load",
    "retry",
    "data",
    "id",
    "readystatechange",
    "timeout",
)
API_TYPES += ("connect", "disconnect")


def shut():
    """Close: no other connection, and no more of this one."""
    say(cancelling=True)
    if FAULT == "close-does-nothing":
        return
    if FAULT != "close-reconnects":
        closed.set()
    if FAULT != "close-leaves-open" and "wire" in open_now:
        with contextlib.suppress(OSError):
            open_now["wire"].socket.shutdown(socket.SHUT_RDWR)


def source():
    if CANCEL_IN:
        timer = threading.Timer(CANCEL_IN, shut)
        timer.daemon = True
        timer.start()
    follow()
    if closed.is_set():
        time.sleep(1)
        say(end="cancelled")


def say_end(**value):
    if not closed.is_set():
        say(**value)


def follow():
    url, last_id, retry, failures, losses, redirects, told = URL, "", 3000, 0, 0, 0, 0
    lines = None
    while failures < (3 if FAULT == "three-failures-are-fatal" else 10) and not closed.is_set():
        if FAULT == "first-failure-is-fatal" and failures and not told:
            break
        if FAULT == "gives-up-after-three" and losses > 3:
            break
        headers = ["Accept: text/event-stream", "Cache-Control: no-store"]
        if ASKS_FOR_GZIP:
            headers.append("Accept-Encoding: gzip")
        if FAULT == "no-accept":
            headers[0] = "Accept: */*"
        if FAULT == "cached":
            del headers[1]
        none = {"id-zero-is-none": "0", "id-null-is-none": "null"}.get(FAULT, "")
        if (last_id not in ("", none) or FAULT == "empty-id-sent") and FAULT != "no-last-event-id":
            sent = last_id.encode("ascii", "replace").decode() if FAULT == "ascii-ids" else last_id
            if FAULT == "id-cut-at-space":
                sent = sent.partition(" ")[0]
            headers.append(f"Last-Event-ID: {sent}")
        if FAULT == "id-invented" and not last_id:
            headers.append("Last-Event-ID: 0")
        if (FAULT == "redirect-loses-headers" and url != URL) or (
            FAULT == "redirect-elsewhere-loses-headers" and urllib.parse.urlsplit(url).netloc not in URL
        ):
            headers = ["Accept: */*"]
        method = "POST" if FAULT == "posts" else "GET"
        try:
            wire, status, got = request(url, method, b"", headers)
        except (Cut, OSError):
            if closed.is_set() or FAULT == "no-head-is-fatal":
                break
            failures += 1
            losses += 1
            if FAULT == "id-forgotten-after-failure":
                last_id = ""
            closed.wait(min(retry / 1000, 60))
            continue
        if status in (301, 302, 303, 307, 308) and f"no-redirect-{status}" != FAULT:
            if not got.get("location"):
                if FAULT == "redirect-loop":
                    continue
                return say_end(end="protocol_error")
            redirects += 1
            if redirects > (1 if FAULT == "redirects-once" else 1000 if FAULT == "redirects-for-ever" else 20):
                return say_end(end="protocol_error")
            if FAULT == "redirect-absolute-only" and not got["location"].startswith("http"):
                return say_end(end="protocol_error")
            to = urllib.parse.urljoin(url, got["location"])
            if FAULT == "redirect-same-origin-only" and not to.startswith("/".join(url.split("/")[:3]) + "/"):
                return say_end(end="protocol_error")
            url = to
            continue
        kind = got.get("content-type", "").partition(";")[0].strip().lower()
        good = kind == "text/event-stream"
        if FAULT == "type-prefix":
            good = "event-stream" in got.get("content-type", "") or "json" in kind
        elif FAULT == "type-exact":
            good = got.get("content-type") == "text/event-stream"
        elif FAULT == "any-type":
            good = True
        elif FAULT == "type-missing-ok":
            good = good or not kind
        if status == 204:
            if FAULT != "reconnects-at-204":
                return say_end(end="complete")
        elif (status != 200 and not (FAULT == "status-200s" and status < 300)) or not good:
            if FAULT not in ("reconnects-on-errors", "status-ignored"):
                return say_end(end="http_error" if status != 200 else "protocol_error", status=status)
            if FAULT == "reconnects-on-errors":
                failures += 1
                continue
        charset = re.search("charset=([^;]+)", got.get("content-type", ""))
        keep = (
            lines if FAULT == "keeps-half-lines" and lines else Lines("" if FAULT == "id-per-connection" else last_id)
        )
        lines = keep
        if FAULT == "bom-once" and failures == 0 and last_id == "" and retry != 3000:
            lines.first = False
        waits = True
        try:
            for data in body_of(wire, got):
                if FAULT == "charset-obeyed" and charset:
                    data = data.decode(charset[1], "replace").encode()
                for kind, text, id in lines.feed(data):
                    if (FAULT == "first-hundred-events" and told >= 100) or (
                        FAULT == "same-id-dropped" and id == last_id != ""
                    ):
                        continue
                    if FAULT == "redirected-ids-lost" and url != URL:
                        id = lines.id = lines.last_id = ""
                    failures = 0
                    redirects = redirects if FAULT == "redirects-once" else 0
                    if FAULT == "id-sent-once":
                        id = last_id or id
                    last_id = id if FAULT != "id-never-reset" else id or last_id
                    if FAULT == "prints-late":
                        held.append((kind, text, id))
                    elif (FAULT == "named-events-are-its-own" and kind in API_TYPES) or (
                        FAULT == "members-of-objects-lost" and kind in ("constructor", "__proto__", "toString")
                    ):
                        continue
                    else:
                        say(event=kind, data=text, id=id)
                        told += 1
                        if told == CANCEL:
                            shut()
                if FAULT == "retry-needs-an-event" and not told:
                    lines.retry = None
                if lines.retry is not None and not (FAULT == "first-retry-counts" and retry != 3000):
                    retry = lines.retry
                if FAULT == "id-at-once":
                    lines.last_id = lines.id
                if FAULT != "id-sent-once":
                    last_id = lines.last_id if FAULT != "id-never-reset" else lines.last_id or last_id
        except (Cut, OSError, Wrong) as error:
            if closed.is_set():
                break
            if ("reset-is-fatal" if str(error) == "reset" else "cut-is-fatal") == FAULT:
                return say_end(end="truncated")
            if isinstance(error, Wrong) and FAULT in ("broken-chunks-are-fatal", "codings-refused"):
                return say_end(end="protocol_error")
            if FAULT in ("gzip-broken-is-fatal", "total-limit"):
                return say_end(end="truncated")
            waits = FAULT != "no-wait-after-reset"
            losses += 1
        else:
            losses += 1
            if FAULT == "empty-is-fatal" and not lines.last_id and not lines.retry:
                return say_end(end="truncated")
        if FAULT == "close-leaves-open" and closed.is_set():
            time.sleep(5)
        for kind, text, id in [*held, *lines.end()]:
            say(event=kind, data=text, id=id)
        held.clear()
        if FAULT == "never-reconnects":
            return say_end(end="complete")
        if FAULT == "reconnects-at-once":
            retry = 1
        if FAULT == "retry-per-connection":
            retry, kept = 3000, retry
            closed.wait(kept / 1000 if lines.retry is not None else 3.0)
            continue
        (time.sleep if FAULT == "close-waits" else closed.wait)(min(retry / 1000, 60) if waits else 0.0)
    if FAULT == "close-flushes" and lines and lines.data:
        say(event="message", data="\n".join(lines.data), id="")
    return say_end(end="http_error")


closed = threading.Event()
open_now: dict = {}
held: list = []
bare: list = []  # lines that are no fields, and may tell of an error
BEGAN = time.monotonic()


def main():
    if FAULT == "crashes-at-the-end":
        say(delta="x")
        sys.exit(3)
    (source if PROFILE == "sse" else chat)()


if __name__ == "__main__":
    main()
