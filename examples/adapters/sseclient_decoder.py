"""sseclient-py as a decoder under test."""

from importlib.metadata import version

import adapter
import sseclient


def decode(chunks):
    for event in sseclient.SSEClient(chunks).events():
        yield {"event": event.event, "data": event.data, "id": event.id}


# It hands the text of a retry field on as it is, and leaves to the caller what it means.
adapter.decoder(decode, "sseclient-py", version("sseclient-py"), ("event", "id"))
