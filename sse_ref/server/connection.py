"""One connection: it reads requests, routes them, and answers each, or sets the stream that the loop sends.

In:   a socket that the loop has accepted.
Out:  responses; or ``stream``, with the head of its response already sent.

Each request is read in a thread. HTTP follows RFC 9110 and 9112.

    POST  where a dialect answers     streamed or whole, in the dialect's own form
    GET   where it lists its models   all of them, or one
    GET   /events?prompt=TEXT         a plain event source: ids, a reconnection time, resume by Last-Event-ID
    GET   /journal                    the last streams, as JSON
    PUT   /answers/NAME               a script: answers that a tester chose; GET tells what is left of it
    GET   /                           the page, and /page/FILE what it is made of
    OPTIONS on any of them            CORS: pages of any origin may use the API, but neither journal nor scripts

One request goes through these steps, and each may end it with an error:

    request line    the path is known from here on: errors have the words of the dialect that serves it
    headers         framing that could be understood in two ways; on loopback, a host that is not this machine
    segment         unknown settings in the path; those in the query are looked at after the body
    key             on a POST before the body is read: a client without a key sends nothing
    body            too long, too late, not as long as it says
    request         the dialect's own reading: a field that is missing or wrong, an unknown model
    slot            too many streams
    first event     made before the head is sent, so that a schema that nothing fits is still an HTTP error
    head            with the events of the first token, if it is due; from here on an error is an event in the stream

On the wire, the answer to a prompt for a stream is, but for headers that every response has,

    HTTP/1.1 200 OK
    Content-Type: text/event-stream; charset=utf-8
    Cache-Control: no-cache, no-transform
    X-Accel-Buffering: no
    X-Request-Id: 5f2a8c...
    Transfer-Encoding: chunked

    fb                                       the size of the chunk, in hexadecimal
    data: {"id":"chatcmpl-5f2a8c...",...}    one event, one chunk
    ...
    0                                        the last chunk

**Keeping and closing.** A connection is closed after a request that was not read to its end: what follows would not begin
with a request. It is closed in order, by reading on for a moment, because closing with unread bytes makes the kernel reset
the connection, and the client would lose the answer that says what was wrong.

    kept      any answer to a request that was read to its end, errors too; a stream that ended with its last chunk
    closed    an error before the end of the body; ``Connection: close`` in the request; HTTP/1.0 unless it asks otherwise;
              a stream of HTTP/1.0, which ends by closing; a fault; a client that disconnected

**A stream** is chunked or, for HTTP/1.0, ended by closing. A chunked one never says ``Connection: close``: with it, several
clients take a cut stream for a finished one. A first event that is due at once travels with the head, in one send. If the
server itself fails in the middle, the last chunk is left out, so that the client's HTTP layer sees the cut.

**A whole answer** goes the same way as a stream, as one write that is due with its last token: so it comes no earlier than
the stream would end, and a fault breaks it, too. It is made in the request's thread, which looks now and then whether the
client is still there.

**Two headers** keep proxies from collecting events: ``Cache-Control: no-transform`` forbids compression, and nginx obeys
``X-Accel-Buffering: no``. Errors quote at most a name of the request, cut short, and are JSON that no
browser may take for a page (``nosniff``): an error that echoes a request could carry a script.

**Other origins.** A page of any origin may use the API: it learns nothing that it did not send itself. The journal holds
what others sent, so it has no ``Access-Control-Allow-Origin``. On loopback the ``Host`` is looked at, too: a page whose host
name was bound to 127.0.0.1 after it was loaded would be of the same origin, and read everything.
"""

from __future__ import annotations

import contextlib
import functools
import hmac
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from sse_ref.dialects import DEFAULT, DIALECTS, dialects_at, unknown_model, write_models
from sse_ref.dialects.interface import Dialect, HTTPRequest, Request
from sse_ref.dialects.quirky import with_quirks
from sse_ref.dialects.strict_json import to_json
from sse_ref.errors import RequestError
from sse_ref.model import MODELS
from sse_ref.page import PAGE, TYPES, read_page
from sse_ref.pieces import ModelFailure, Piece, Prompt
from sse_ref.recording import Recording
from sse_ref.schema import SchemaError
from sse_ref.server.answers import ScriptedError
from sse_ref.server.delivery import (
    CHUNKED,
    DELIVERY,
    UNTIL_CLOSE,
    WHOLE,
    CutAsAsked,
    Delivery,
    Fault,
    Framing,
    deliver,
    replay,
)
from sse_ref.server.journal import Journal, Record, log
from sse_ref.server.loop import Stream
from sse_ref.server.plain_events import EVENTS_QUERY, event_prompt, read_last_event_id, write_events
from sse_ref.server.requests import (
    PROBLEMS,
    ClientGone,
    ClientStalled,
    Incoming,
    body_size,
    check_framing,
    check_host,
    check_names,
    check_request_line,
    may_hold_a_head,
    read_fields,
    read_headers,
    read_number,
    split_target,
)
from sse_ref.server.responses import Responder
from sse_ref.server.script import Asked, Scripts
from sse_ref.server.settings import Settings

__all__ = ["Connection", "Shared"]

MAX_LOGPROBS = 20_000  # tokens of a whole answer that comes with their probabilities: each takes a kilobyte
ADDRESS = (*DELIVERY, "quirk", "answers")  # the names that a settings segment can have
SEPARATORS = re.compile(r"[ \t,]+")  # of the options of a connection
LOOK_EVERY = 0.05  # seconds between two looks at whether somebody still waits for a whole answer
SEND_BUFFER = 65536  # bytes the kernel keeps for a slow reader; its default, megabytes, would hide a slow reader
SECRET = {"authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"}  # headers that are kept nowhere


@dataclass
class Shared:
    """What all connections of one server have in common.

    ``slots`` are the places for open streams, ``scripts`` the answers that testers chose. ``show`` is called with a
    connection and the bytes that it was sent, None if nobody wants to see them. ``on_loopback``: only requests for this
    machine are served. ``delivery`` is that of an address which asks for nothing.
    """

    settings: Settings
    journal: Journal
    slots: threading.BoundedSemaphore
    scripts: Scripts
    show: Callable[[Connection, bytes], None] | None = None
    on_loopback: bool = False
    delivery: Delivery = field(init=False)

    def __post_init__(self) -> None:
        self.delivery = Delivery.read({}, self.settings)


class Connection(Responder):
    """One connection. Each ``serve()`` reads one request and either answers it or sets ``stream``."""

    def __init__(self, sock: socket.socket, address: Any, shared: Shared) -> None:
        # socketserver's own __init__ would serve the whole connection at once; this one rests between requests.
        self.socket = self.request = self.connection = sock
        self.client_address = address
        self.shared = shared
        self.settings = shared.settings
        self.read_ahead = bytearray()
        self.stream: Stream | None = None
        self.close_connection = False
        self.incoming = Incoming(sock, self.read_ahead)
        self.sending = self.begun = False
        self.searched = 0  # bytes of what was read ahead that hold no end of a head
        with contextlib.suppress(OSError):  # the client may be gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)  # a token waits for no other
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    # ---- Reading a request -------------------------------------------------------------------------------------------

    @property
    def waits_for_client(self) -> bool:
        """Whether the thread that serves this connection waits for the client to send, or to read."""
        return self.sending or self.incoming.receiving

    def may_serve(self) -> bool:
        """Whether a head has come, or bytes that can be none."""
        searched, self.searched = self.searched, len(self.read_ahead)
        return may_hold_a_head(self.read_ahead, searched)

    def serve(self) -> None:
        """Read one request and answer it; never raises."""
        self.request_version = self.protocol_version
        self.command = self.path = self.requestline = ""
        self.id = secrets.token_hex(12)
        self.dialect = DIALECTS[DEFAULT]
        self.serving: Sequence[Dialect] = ()  # the dialects that serve the path
        self.body_left = False  # a body may follow that nobody has read
        self.close_connection = True  # until the whole request has been read: what follows would not begin with one
        self.searched = 0
        self.begun = False
        # A head that is not whole has had its time while the loop waited for it.
        self.incoming.deadline = time.monotonic() + (self.settings.request_timeout if self.may_serve() else 0.0)
        self.searched = 0
        try:
            self.answer_request()
        except ClientGone:
            self.body_left, self.close_connection = False, True
        if self.body_left and self.close_connection:
            self.linger()
        if self.stream is not None:
            del self.request_headers  # a stream takes less memory without them

    def answer_request(self) -> None:
        """Read one request and answer it. Raises ``ClientGone``, and nothing else."""
        try:
            self.read_and_route()
        except TimeoutError:
            self.refuse("timed_out")
        except RequestError as error:
            self.answer_error(error)
        except (ClientGone, OSError):
            raise ClientGone from None
        except Exception as error:
            log.error("internal error: %r", error)
            self.refuse("failed")

    def read_and_route(self) -> None:
        """Read the head, check what can be checked of it, and let the route answer."""
        self.body_left = True
        line = self.incoming.read_request_line()
        words = line.split(b" ", 2)
        target = words[1].decode("latin-1") if len(words) > 1 else ""
        segment = self.find_path(target)  # first: an error has the words of its dialect
        check_request_line(line)
        self.command, self.request_version = words[0].decode(), words[2].decode().rstrip("\r\n")
        self.request_headers = read_headers(self.incoming.read_header_lines())
        options = SEPARATORS.split(self.request_headers.get("connection", "").lower())
        lasts = self.request_version >= "HTTP/1.1" or "keep-alive" in options  # RFC 9112, 9.3
        self.keep_open = lasts and "close" not in options
        check_framing(self.request_headers, self.request_version)
        if self.shared.on_loopback:
            check_host(target, self.request_headers, self.settings.allow_hosts)
        self.address_settings = read_fields(segment)
        check_names(self.address_settings, ADDRESS)
        self.delivery = self.shared.delivery
        if self.address_settings:
            self.delivery = Delivery.read(self.address_settings, self.settings)
        self.use_quirks(self.address_settings)
        if self.command == "POST" and self.takes_prompts:
            self.recorded(self.answer_prompt)  # which looks at the key before it reads the body
        else:
            self.body = self.read_body()
            self.route()()

    def read_body(self) -> bytes:
        """The request's body, by its length or its chunks. With it the whole request has been read."""
        length = body_size(self.request_headers, self.settings.max_body)
        chunked = "transfer-encoding" in self.request_headers
        expects = self.request_headers.get("expect", "").lower() == "100-continue" and (length or chunked)
        if expects and self.request_version >= "HTTP/1.1":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.incoming.deadline = time.monotonic() + self.settings.request_timeout
        try:
            body = self.incoming.read_chunks(self.settings.max_body) if chunked else self.incoming.read(length)
        except TimeoutError:
            raise RequestError("timed_out", PROBLEMS["timed_out"]) from None
        if self.request_version == "HTTP/1.0" and chunked:  # RFC 9112, 6.1: faulty
            self.keep_open = False
        self.body_left, self.close_connection = False, not self.keep_open
        return body

    # ---- Routing -----------------------------------------------------------------------------------------------------

    def find_path(self, target: str) -> str:
        """Split a target, and find the dialect that serves its path; if none does, errors have the words of the default.

        Returns the settings segment.
        """
        self.path, segment, self.query = split_target(target)
        self.serving = dialects_at(self.path)
        self.dialect = self.serving[0] if self.serving else DIALECTS[DEFAULT]
        return segment

    def use_quirks(self, fields: Mapping[str, str]) -> None:
        """Speak with the quirks that an address asks for."""
        if "quirk" in fields:
            self.serving = with_quirks(dialects_at(self.path), fields["quirk"])
            self.dialect = next(iter(self.serving), self.dialect)

    @property
    def takes_prompts(self) -> bool:
        """Whether answers are asked for at the path."""
        return any(dialect.answers(self.path) for dialect in self.serving)

    def route(self) -> Callable[[], None]:
        """What answers this request, by path and method. Raises ``RequestError`` for an unknown path."""
        path = self.path or "/"
        routes: dict[str, Callable[[], None]] = {}
        if self.takes_prompts:
            routes["POST"] = functools.partial(self.recorded, self.answer_prompt)
        elif any(dialect.model_at(path) is not None for dialect in self.serving):
            routes["GET"] = routes["HEAD"] = self.answer_models
        elif path == "/events":
            routes["GET"] = functools.partial(self.recorded, self.answer_events)
        elif path.startswith("/answers/"):
            routes["GET"], routes["PUT"] = self.answer_script, self.put_script
        elif path == "/journal":
            routes["GET"] = routes["HEAD"] = self.answer_journal
        elif path in PAGE:
            routes["GET"] = routes["HEAD"] = self.answer_page
        elif path != "*":
            raise RequestError("not_found", PROBLEMS["not_found"])
        routes["OPTIONS"] = self.answer_preflight
        return routes.get(self.command) or functools.partial(self.refuse_method, ", ".join(routes))

    def as_http_request(self, body: bytes = b"") -> HTTPRequest:
        """The request as dialects see it. Whoever reads settings from a query refuses one with too many fields."""
        try:
            query = read_fields(self.query)
        except RequestError:
            query = {}
        return HTTPRequest(self.command, self.path, query, self.request_headers, body)

    def check_key(self) -> None:
        """Raise ``RequestError`` unless the request has the server's key, if it has one, in a way of the dialects here."""
        if self.settings.api_key is None:
            return
        request = self.as_http_request()
        keys = [key for dialect in self.serving or DIALECTS.values() if (key := dialect.read_key(request)) is not None]
        if not keys:
            raise RequestError("no_key", "there is no API key")
        right = self.settings.api_key.encode()
        if not any(hmac.compare_digest(key.encode("latin-1", "replace"), right) for key in keys):
            raise RequestError("wrong_key", "the API key is wrong")

    # ---- Streams and answers -----------------------------------------------------------------------------------------

    def answer_prompt(self, record: Record) -> None:
        """Answer in a dialect: with a stream, or with one object."""
        self.check_key()  # before the body: a client without a key sends nothing
        body = self.read_body()
        content_type = self.request_headers.get("content-type", "application/json").partition(";")[0]
        if content_type.strip().lower() != "application/json":
            raise RequestError("wrong_type", "the body must be JSON: Content-Type: application/json")
        record.note_request(body)
        delivery, _ = self.read_delivery(record, own=("quirk",), ignored=self.dialect.query)
        dialect = self.dialect
        request = dialect.read_request(self.as_http_request(body))
        script = self.shared.scripts.at(self.address_settings.get("answers", ""))
        if script is None and request.prompt.model not in MODELS:
            raise unknown_model(request.prompt.model, MODELS)
        asked = self.as_asked(dialect, request, body)
        record.note_asked(asked)
        if request.prompt.n * len(body) > self.settings.max_body:
            problem = f"n times this request is more than {self.settings.max_body} bytes"
            raise RequestError("bad_request", problem, param="n")
        pieces = None
        if script is not None:
            answer = script.take(asked)
            answer.refuse()
            if answer.replay is not None:
                self.answer_recording(answer.replay, answer.speed, record)
                return
            delivery, pieces = answer.delivery(delivery, request.prompt), answer.pieces(request.prompt)
            record.fault = delivery.fault or None
            Fault(delivery.fault).refuse()
        write = self.write_stream if request.stream else self.write_whole
        self.take_slot()
        stream = deliver(
            request.prompt,
            delivery,
            functools.partial(write, dialect, request, record),
            self.framing if request.stream else WHOLE,
            heartbeat=dialect.heartbeat,
            farewell=functools.partial(self.write_farewell, dialect, request),
            on_failure=record.note_failure,
            ends=request.ends or not request.stream,
            pieces=pieces,
        )
        self.begin(stream, record, request.media_type if request.stream else "")

    def answer_recording(self, recording: Recording, speed: float, record: Record) -> None:
        """Send what was recorded: a stream with its pace, an error at once."""
        headers = dict(recording.headers)
        media_type = headers.pop("content-type", "text/event-stream")
        if recording.status != HTTPStatus.OK:
            record.status = recording.status
            record.end("refused")
            body = b"".join(data for _, data in recording.reads)
            self.send(self.whole_response(recording.status, body, {**headers, "Content-Type": media_type}))
            return
        self.take_slot()
        self.begin(replay(recording, speed, self.framing), record, media_type)

    def as_asked(self, dialect: Dialect, request: Request, body: bytes) -> Asked:
        """The request as a script and the journal see it: its headers without the key."""
        prompt = request.prompt
        headers = {name: value for name, value in self.request_headers.items() if name not in SECRET}
        return Asked(dialect.name, prompt.model, prompt.messages, prompt.tools, request.stream, headers, body)

    def write_farewell(self, dialect: Dialect, request: Request, number: int) -> bytes:
        """The error that ends a stream, after so many events, because the server stops."""
        event = dialect.write_error_event(RequestError("stopping", "the server is stopping"), number=number)
        return b"".join(request.write([event], number))

    def write_stream(
        self, dialect: Dialect, request: Request, record: Record, pieces: Iterator[Piece]
    ) -> Iterator[bytes]:
        """The bytes of each event of a stream."""
        return request.write(dialect.write_stream(request, pieces, id=record.id, created=int(record.at)), 0)

    def write_whole(
        self, dialect: Dialect, request: Request, record: Record, pieces: Iterator[Piece]
    ) -> Iterator[bytes]:
        """The bytes of a response that holds the whole answer, or the error of a model that failed."""
        status = HTTPStatus.OK
        try:
            pieces = self.while_it_is_wanted(request.prompt, pieces)
            answer = dialect.write_answer(request, pieces, id=record.id, created=int(record.at))
        except ModelFailure as failure:
            record.status = status = HTTPStatus.INTERNAL_SERVER_ERROR
            answer = dialect.write_error(RequestError("failed", str(failure)), id=record.id)
        yield self.json_response(status, answer)

    def while_it_is_wanted(self, prompt: Prompt, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Yield the pieces of a whole answer. Raises ``ClientGone`` if nobody waits for it any more."""
        tokens, looked = 0, time.monotonic()
        for piece in pieces:
            tokens += piece.tokens
            if prompt.top_logprobs is not None and tokens > MAX_LOGPROBS:
                problem = (
                    f"a whole answer holds the log probabilities of {MAX_LOGPROBS} tokens: stream it, or set a limit"
                )
                raise RequestError("bad_request", problem, param="logprobs")
            # By the clock: a thread that calls the system more often than every 5 ms is never made to let others run.
            if (now := time.monotonic()) > looked + LOOK_EVERY:
                looked = now
                if self.incoming.ended():
                    raise ClientGone
            yield piece

    def answer_events(self, record: Record) -> None:
        """Stream plain events, after the last that the client has."""
        delivery, fields = self.read_delivery(record, own=EVENTS_QUERY)
        prompt = event_prompt(fields)
        drop = read_number(fields, "drop", 0)
        record.note_request(to_json({"prompt": prompt.last_text("user")}).encode())
        record.model, record.streamed = prompt.model, True
        after = read_last_event_id(self.request_headers.get("last-event-id", ""))
        self.take_slot()
        stream = deliver(
            prompt,
            delivery,
            lambda pieces: write_events(pieces, after, drop),
            self.framing,
            heartbeat=b": heartbeat\n",
            on_failure=record.note_failure,
            skip=after,
        )
        if stream.next is None or stream.next.last:
            self.shared.slots.release()
            self.has_slot = False  # before the client has its answer
            record.status = 204
            record.end("complete")
            self.send(self.response(HTTPStatus.NO_CONTENT, {}))
        else:
            self.close_connection = self.close_connection or drop > 0
            self.begin(stream, record, "text/event-stream; charset=utf-8")

    def read_delivery(
        self, record: Record, *, ignored: Collection[str] = (), own: Collection[str] = ()
    ) -> tuple[Delivery, dict[str, str]]:
        """How this answer is delivered, and all fields of its address; ``own`` are the names that the path itself knows."""
        query = {name: value for name, value in read_fields(self.query).items() if name not in ignored}
        check_names(query, (*own, *DELIVERY))
        self.use_quirks(query)
        fields = {**self.address_settings, **query}
        delivery = Delivery.read(fields, self.settings) if query else self.delivery
        record.fault = delivery.fault or None
        Fault(delivery.fault).refuse()
        return delivery, fields

    def recorded(self, answer: Callable[[Record], None]) -> None:
        """Let ``answer`` answer the request, and keep a record of it. If it refuses, record the status and send the error.

        A slot that it took is given back here if no stream began, else when that ends. A schema that no answer fits is
        found when the first event is made, and is an error of the request.
        """
        record = self.shared.journal.begin(self.id, self.command, self.path)
        self.has_slot = False
        try:
            try:
                answer(record)
            except SchemaError as error:
                raise RequestError("bad_request", str(error), param=error.path) from None
            finally:
                if self.has_slot and self.stream is None:
                    self.shared.slots.release()
        except RequestError as error:
            record.status = error.status
            record.end("refused")
            self.answer_error(error)
        except ClientGone as gone:
            record.end(gone.outcome)
            raise
        except Exception:
            record.status = 500
            record.end("crashed")
            raise

    def take_slot(self) -> None:
        """Reserve a place for a stream. Raises ``RequestError`` if there is none."""
        self.has_slot = self.shared.slots.acquire(blocking=False)
        if not self.has_slot:  # a stream that its client has read to the end may be about to give its slot back
            self.shared.journal.settle()
            self.has_slot = self.shared.slots.acquire(blocking=False)
        if not self.has_slot:
            problem = f"{self.settings.max_streams} streams are open, which is the limit; try again soon"
            raise RequestError("too_many", problem)

    @property
    def framing(self) -> Framing:
        """How a stream is delimited: chunks are unknown to HTTP/1.0."""
        return CHUNKED if self.request_version >= "HTTP/1.1" else UNTIL_CLOSE

    def begin(self, stream: Stream, record: Record, media_type: str) -> None:
        """Send the head of a stream, and leave the rest to the loop. A whole answer, without ``media_type``, has its head in
        its bytes."""
        if media_type:
            headers = {
                "Content-Type": media_type,
                "Cache-Control": "no-cache, no-transform",
                "X-Accel-Buffering": "no",  # nginx would collect events otherwise
            }
            if self.framing is CHUNKED:
                headers["Transfer-Encoding"] = "chunked"
            else:
                self.close_connection = True
            data = self.response(HTTPStatus.OK, headers) + stream.begin()
            self.begun = True
            self.send(data)

        def on_end(outcome: str, error: Exception | None) -> None:
            """Called by the loop: give the slot back, and note how the stream ended."""
            self.shared.slots.release()
            if isinstance(error, CutAsAsked):
                outcome = "cut"
            elif error is not None:
                log.error("internal error in the middle of a stream: %r", error)
            record.end(outcome)

        stream.on_end = on_end
        record.stream = self.stream = stream

    # ---- Short answers -----------------------------------------------------------------------------------------------

    def answer_models(self) -> None:
        """The list of models, or the one that the path names."""
        self.use_quirks(self.as_http_request().query)
        self.check_key()
        self.send(self.json_response(HTTPStatus.OK, write_models(self.serving, self.path, list(MODELS))))

    def put_script(self) -> None:
        """Set a script, and tell what is in it."""
        self.check_key()
        self.shared.scripts.put(self.path.removeprefix("/answers/"), self.body)
        self.answer_script()

    def answer_script(self) -> None:
        """What is left of a script, and the requests that had no answer."""
        self.check_key()
        script = self.shared.scripts.at(self.path.removeprefix("/answers/"))
        if script is None:
            raise RequestError("not_found", PROBLEMS["not_found"])
        self.send(self.json_response(HTTPStatus.OK, script.as_json()))

    def answer_journal(self) -> None:
        """The journal, a record a line."""
        self.check_key()
        records = ",\n".join(to_json(record) for record in self.shared.journal.as_json())
        body = f"[{records}]\n".encode()
        self.send(self.whole_response(HTTPStatus.OK, body, {"Content-Type": "application/json"}))

    def answer_page(self) -> None:
        """A file of the page."""
        name = PAGE[self.path or "/"]
        headers = {
            "Content-Type": f"{TYPES[name.rpartition('.')[2]]}; charset=utf-8",
            "Content-Security-Policy": "default-src 'self'",  # nothing is fetched from elsewhere
        }
        self.send(self.whole_response(HTTPStatus.OK, read_page(name), headers))

    def answer_preflight(self) -> None:
        """What pages of other origins may send (Fetch standard, 3.3)."""
        headers = {
            "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
            # "*" stands for every header but Authorization (Fetch standard, 4.8).
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID, *",
            "Access-Control-Max-Age": "600",
        }
        self.send(self.response(HTTPStatus.NO_CONTENT, headers))

    # ---- Errors ------------------------------------------------------------------------------------------------------

    def answer_error(self, error: RequestError, headers: Mapping[str, str] | None = None) -> None:
        """Answer with an error, in the words of the dialect at this path."""
        own = error.headers if isinstance(error, ScriptedError) else {}
        headers = {**own, **(headers or {})}
        if error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if error.status == 429 and not any(name.lower() == "retry-after" for name in headers):
            headers["Retry-After"] = "1"
        self.send(self.json_response(error.status, self.dialect.write_error(error, id=self.id), headers))

    def refuse_method(self, allowed: str) -> None:
        """Answer that the path does not know the method, and which it knows."""
        self.answer_error(RequestError("wrong_method", PROBLEMS["wrong_method"]), {"Allow": allowed})

    def refuse(self, kind: str) -> None:
        """Answer with an error that quotes nothing, and close."""
        self.close_connection = True
        self.answer_error(RequestError(kind, PROBLEMS.get(kind, "the server failed")))

    # ---- Sending -----------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send from this request's thread. Raises ``ClientGone`` if the client has disconnected, or does not read."""
        rest = memoryview(data)
        try:
            self.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                rest = rest[self.socket.send(rest) :]
            self.sending = bool(rest)
            while rest:
                self.socket.settimeout(self.settings.stall_timeout)
                rest = rest[self.socket.send(rest) :]
        except TimeoutError:
            raise ClientStalled from None
        except OSError:
            raise ClientGone from None
        finally:
            self.sending = False
        if self.shared.show:
            self.shared.show(self, data)

    def linger(self) -> None:
        """Read on for a moment: closing with unread bytes would reset the connection, and destroy the answer."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            self.incoming.discard(seconds=1.0)
