"""The decoder inside openai-python as a decoder under test."""

import adapter
import openai
from openai._streaming import SSEDecoder


def decode(chunks):
    for event in SSEDecoder().iter_bytes(chunks):
        yield {"event": event.event, "data": event.data, "id": event.id, "retry": event.retry}


adapter.decoder(decode, "openai-python", openai.__version__)
