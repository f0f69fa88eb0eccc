"""The decoder inside anthropic-python as a decoder under test."""

import adapter
import anthropic
from anthropic._streaming import SSEDecoder


def decode(chunks):
    for event in SSEDecoder().iter_bytes(chunks):
        yield {"event": event.event, "data": event.data, "id": event.id, "retry": event.retry}


adapter.decoder(decode, "anthropic-python", anthropic.__version__)
