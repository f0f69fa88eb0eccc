"""The decoder once more, slow and literal: the oracle that the real one is compared with.

It takes the whole stream at once and follows HTML standard 9.2.6 sentence by sentence, on characters, with the standard's
own words and in its order. It shares no code and no idea with ``sse_ref.codec``.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    events: list[tuple[str, str, str]] = field(default_factory=list)  # data, type, last event ID
    last_event_id: str = ""
    reconnection_time: int | None = None


def interpret(stream: bytes) -> Outcome:
    # "Streams must be decoded using the UTF-8 decode algorithm", which strips one leading byte order mark.
    text = stream.decode("utf-8", errors="replace")
    if stream[:3] == b"\xef\xbb\xbf":
        text = text[1:]

    outcome = Outcome()
    data_buffer = ""
    event_type_buffer = ""
    last_event_id_buffer = ""

    for line in complete_lines(text):
        # "If the line is empty (a blank line): dispatch the event"
        if line == "":
            outcome.last_event_id = last_event_id_buffer
            if data_buffer == "":
                data_buffer = ""
                event_type_buffer = ""
                continue
            if data_buffer[-1] == "\n":
                data_buffer = data_buffer[:-1]
            event_type = "message"
            if event_type_buffer != "":
                event_type = event_type_buffer
            outcome.events.append((data_buffer, event_type, outcome.last_event_id))
            data_buffer = ""
            event_type_buffer = ""
            continue
        # "If the line starts with a U+003A COLON character (:): ignore the line."
        if line[0] == ":":
            continue
        # "If the line contains a U+003A COLON character (:)"
        if ":" in line:
            position = line.index(":")
            name = line[:position]
            value = line[position + 1 :]
            if value != "" and value[0] == " ":
                value = value[1:]
        else:
            name = line
            value = ""
        # "Process the field"
        if name == "event":
            event_type_buffer = value
        elif name == "data":
            data_buffer += value
            data_buffer += "\n"
        elif name == "id":
            if "\0" not in value:
                last_event_id_buffer = value
        elif name == "retry":
            number = digits(value)
            if number is not None:
                outcome.reconnection_time = number
    # "Once the end of the file is reached, any pending data must be discarded."
    return outcome


def complete_lines(text: str) -> list[str]:
    """The lines that are followed by their end: CRLF, a lone LF or a lone CR."""
    lines = []
    line = ""
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\r" and text[position + 1 : position + 2] == "\n":
            lines.append(line)
            line = ""
            position += 2
        elif character in ("\r", "\n"):
            lines.append(line)
            line = ""
            position += 1
        else:
            line += character
            position += 1
    return lines


def digits(value: str) -> int | None:
    """The number that a value of ASCII digits spells, None for any other value (the empty one, too)."""
    number = None
    for character in value:
        if character not in "0123456789":
            return None
        number = (number or 0) * 10 + "0123456789".index(character)
    return number
