"""Partial Markdown. How does half a bold word look, and how should it?

    python examples/13_partial_markdown.py

A screen that renders the text after each token shows marks that are gone a moment later. You will see, for each token,
the text so far, and what to give to the renderer: open marks are closed, and a mark at the very end waits. Only bold,
code and blocks of code are looked at here; the page that the server shows does the same for lists, headings and links,
too.
"""

import re

import lesson

from sse_ref.client import ChatStream
from sse_ref.pieces import Text

ANSWER = "Use **bold words** and `code` here.\n```\nx = 1\n```"


def open_marks(text):
    """The marks that have been opened and not closed, outermost first. Inside code nothing else is a mark."""
    marks = []
    for mark in re.findall(r"```|\*\*|`", text):
        if marks and marks[-1] == mark:
            marks.pop()
        elif not marks or marks[-1] == "**":
            marks.append(mark)
    return marks


def settled(text):
    """The beginning of a Markdown text, made whole: marks at its end wait, those that are open are closed."""
    text = re.sub(r"[*`]+\Z", "", text)
    for mark in reversed(open_marks(text)):
        text += "\n```" if mark == "```" and not text.endswith("\n") else mark
    return text


print(f"{'the text so far':55} what to render")
with lesson.server() as url, ChatStream(ANSWER, url=url + "/v1", model="toy-echo") as stream:
    for piece in stream:
        if isinstance(piece, Text):
            print(f"{stream.text!r:55} {settled(stream.text)!r}")
assert settled(ANSWER) == ANSWER
