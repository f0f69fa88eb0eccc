"""OpenAI's older text completions: a prompt in place of messages, text in place of deltas.

In:   as ``openai.py``, with ``POST /v1/completions``.
Out:  as ``openai.py``, with ``text_completion`` objects.

Follows the vendor's API reference, "Completions". Services and tools still use it for base models. It differs in little:

    data: {... "choices":[{"index":0,"text":"Hel","logprobs":null,"finish_reason":null}]}

There is no chunk for the role, tools are not read, and reasoning is not written. Log probabilities have another shape
there, which is not written either. Of a conversation only the last user's message is sent: there is one prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sse_ref.codec import ServerSentEvent
from sse_ref.dialects.compatible import OpenAICompatible
from sse_ref.dialects.openai import ChunkWriter
from sse_ref.dialects.strict_json import Fields
from sse_ref.pieces import End, Message, Prompt, Said, Text

__all__ = ["OpenAICompletions"]


class TextWriter(ChunkWriter):
    """Writes pieces as chunks of text."""

    def first(self, piece: Said) -> Iterator[ServerSentEvent]:
        return iter(())  # there is no role to give

    def chunk(self, piece: Said) -> ServerSentEvent:
        text = piece.text if isinstance(piece, Text) else ""
        return self.event(piece.choice, {"text": text}, reason=piece.reason if isinstance(piece, End) else None)


class OpenAICompletions(OpenAICompatible):
    """Text completions: ``POST /v1/completions``."""

    name = "openai-completions"
    path = "/completions"
    id_prefix = "cmpl-"
    chunk_object = whole_object = "text_completion"
    writer = TextWriter

    def read_conversation(self, fields: Fields) -> dict[str, Any]:
        """The prompt as the only message."""
        prompt = fields.get("prompt")
        if isinstance(prompt, list) and len(prompt) == 1:
            prompt = prompt[0]
        if not isinstance(prompt, str):
            raise fields.error("prompt", "must be a string, or an array of one string")
        fields.number("logprobs", None, 0, 5, whole=True)  # validated, and not written
        return {"messages": (Message("user", prompt),), "tool_choice": "none"}

    def message(self, texts: Mapping[str, str], calls: list[dict[str, Any]]) -> dict[str, Any]:
        return {"text": texts.get("content", "")}

    def write_messages(self, prompt: Prompt) -> dict[str, Any]:
        return {"prompt": prompt.last_text("user")}

    def write_logprobs(self, prompt: Prompt) -> dict[str, Any]:
        return {}
