"""A wire of no provider, in one file: what a dialect has to say, and nothing else.

Its requests are ``POST /toy/MODEL/speak?key=KEY`` with ``{"say": [TEXT, ...], "whole": BOOL}``: model and method stand in the
path, the key in the query. A stream is

    event: word      data: "Hel"        one for each piece of text
    event: wait      data: 0            a heartbeat
    event: over      data: "stop"       the end; or  event: sorry  data: {"sorry": "why", "kind": KIND}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sse_ref.codec import ServerSentEvent, encode_event
from sse_ref.dialects.interface import HTTPRequest, Request
from sse_ref.dialects.strict_json import Fields, to_json
from sse_ref.errors import ApiError, RequestError
from sse_ref.pieces import End, Message, ModelFailure, Piece, Prompt, Text


class Reader:
    def __init__(self) -> None:
        self.done = False
        self.warnings: list[str] = []

    @property
    def finished(self) -> bool:
        return self.done

    def read(self, event: ServerSentEvent) -> Iterator[Piece]:
        value = json.loads(event.data)
        if event.event == "word":
            yield Text(value)
        elif event.event == "sorry":
            raise ApiError(value["sorry"])
        elif event.event == "over":
            self.done = True
            yield End(value)


class ToyDialect:
    name = "toy"
    last_event = "over"
    query = frozenset({"key"})
    request_id = "X-Toy-Id"
    heartbeat = encode_event("0", event="wait")

    def serves(self, path: str) -> bool:
        return path.startswith("/toy/")

    def answers(self, path: str) -> bool:
        return path.endswith("/speak")

    def model_at(self, path: str) -> str | None:
        return None if self.answers(path) else path[len("/toy/") :]

    def read_key(self, request: HTTPRequest) -> str | None:
        return request.query.get("key")

    def read_request(self, request: HTTPRequest) -> Request:
        fields = Fields(request.body)
        said = [message.text("text") for message in fields.objects("say", required=True)]
        model = request.path.split("/")[2]
        return Request(Prompt(model, tuple(Message("user", text) for text in said)), not fields.flag("whole"))

    def write_stream(self, request: Request, pieces: Iterable[Piece], **named: Any) -> Iterator[ServerSentEvent]:
        try:
            for piece in pieces:
                if isinstance(piece, Text):
                    yield ServerSentEvent(to_json(piece.text), "word")
                elif isinstance(piece, End):
                    yield ServerSentEvent(to_json(piece.reason), "over")
        except ModelFailure as failure:
            yield self.write_error_event(RequestError("failed", str(failure)))

    def write_answer(self, request: Request, pieces: Iterable[Piece], **named: Any) -> dict[str, Any]:
        return {"words": "".join(piece.text for piece in pieces if isinstance(piece, Text))}

    def write_error(self, error: RequestError, *, id: str = "") -> dict[str, Any]:
        return {"sorry": error.message, "kind": error.kind}

    def write_error_event(self, error: RequestError, *, number: int = 0) -> ServerSentEvent:
        return ServerSentEvent(to_json(self.write_error(error)), "sorry")

    def write_models(self, names: Sequence[str]) -> dict[str, Any]:
        return {"speakers": list(names)}

    def write_model(self, name: str) -> dict[str, Any]:
        return {"speaker": name}

    def address(self, base: str, request: Request) -> str:
        return f"{base}/toy/{request.prompt.model}/speak?key=secret"

    def write_key(self, key: str) -> dict[str, str]:
        return {}

    def write_request(self, request: Request) -> dict[str, Any]:
        return {"say": [{"text": message.text} for message in request.prompt.messages]}

    def count_choices(self, body: Mapping[str, Any]) -> int:
        return 1

    def reader(self) -> Reader:
        return Reader()

    def read_error(self, body: bytes) -> str:
        return str(json.loads(body)["sorry"])
