"""launchdarkly-eventsource's reader as a decoder under test."""

from importlib.metadata import version

import adapter
from ld_eventsource.actions import Event
from ld_eventsource.reader import _BufferedLineReader, _SSEReader


def decode(chunks):
    for event in _SSEReader(_BufferedLineReader.lines_from(chunks)).events_and_comments():
        if isinstance(event, Event):
            yield {"event": event.event, "data": event.data, "id": event.last_event_id}


adapter.decoder(decode, "launchdarkly-eventsource", version("launchdarkly-eventsource"), ("event", "id"))
