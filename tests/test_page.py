"""The page in a real browser: what a user does, and what is then to be seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from browser import CONTRAST, Browser, Page, installed, visits
from raw import wait_for
from vectors import decoder_rows

from sse_ref.client import ChatStream, read_partial
from sse_ref.dialects import DIALECTS
from sse_ref.dialects.interface import Request
from sse_ref.page import PAGE
from sse_ref.pieces import Prompt
from sse_ref.recording import Recording, end_line, head_line, read_line
from sse_ref.server import Server, running

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not installed(), reason="no Chromium is installed"),
]

DONE = "document.querySelector('#stop').disabled && document.querySelector('.turn')"
NOTES = "[...document.querySelectorAll('.note')].map(note => note.innerText)"
ANSWER = "document.querySelector('.answers > div > div').innerText"


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with running() as server:
        yield server


Open = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, shared: Server) -> Iterator[Open]:
    """Opens the page with fields set by its address; at the end nothing may have gone wrong in it."""
    with visits(browser) as opened:

        def visit(
            hash: str = "", *, server: Server = shared, size: dict[str, Any] | None = None, **fields: Any
        ) -> Page:
            query = urlencode({"tps": 500, "ttft": 0, **fields})
            return opened(f"{server.url}/panel?{query}{hash}", **(size or {}))

        yield visit


# ---- One answer ------------------------------------------------------------------------------------------------------


def test_prompt_is_typed_sent_and_streamed_to_the_end(visit: Open, shared: Server) -> None:
    page = visit()
    page.run("document.querySelector('#prompt').select()")
    page.type("Tell me something else")
    page.press("Enter", 13, "\r")
    page.until(DONE)
    with ChatStream("Tell me something else", url=shared.url + "/v1") as stream:
        for _ in stream:
            pass
    assert page.run(ANSWER) == stream.text
    assert stream.usage
    assert page.run("document.querySelector('#n-tokens').innerText") == str(stream.usage.completion_tokens)
    assert page.run("document.querySelector('#n-ttft').innerText").endswith("s")
    assert float(page.run("document.querySelector('#n-rate').innerText")) > 1
    rows = page.run("[...document.querySelectorAll('#wire li')].map(row => row.className)")
    assert rows[0] == "head" and rows[-3:] == ["blank", "done", "head"] and {"read", "data", "dispatch"} <= set(rows)
    assert len(page.run("document.querySelector('#bars').getAttribute('d')")) > 500
    assert "median" in page.run("document.querySelector('#gaps svg').ariaLabel")
    assert page.run(NOTES) == []


def test_wire_shows_every_byte_as_it_came(visit: Open, shared: Server) -> None:
    page = visit(model="toy-echo", prompt="ab \u00e9\u2028x", go=1)
    page.until(DONE)
    bytes_read = page.run(
        "[...document.querySelectorAll('#wire .read')].reduce((sum, row) => sum + parseInt(row.innerText.split('read, ')[1]), 0)"
    )
    record = shared.journal[-1]
    assert 0.95 * record["bytes"] < bytes_read < record["bytes"]  # the browser has undone the chunked coding
    assert "data: [DONE]\\n" in page.run("document.querySelector('#wire').innerText")
    bold = page.run("[...document.querySelectorAll('#wire .data b')].map(part => part.innerText)")
    assert bold[1] == '"delta":{"content":"ab"}' and len(bold) == record["events"] - 2  # the usage, and [DONE]


def test_read_that_ends_inside_an_event_is_marked(visit: Open) -> None:
    page = visit(model="toy-echo", prompt="\U0001f98a and more " * 8, split=7, go=1)
    page.until(DONE)
    cuts = page.run("[...document.querySelectorAll('#wire .cut')].map(row => row.innerText)")
    assert any(text.endswith("the read ended inside an event") for text in cuts)
    assert page.run(ANSWER) == ("\U0001f98a and more " * 8).strip()


def rows_of(page: Page, *reads: bytes) -> list[list[str]]:
    """What the wire shows of these reads: kind and text of each row."""
    listed = json.dumps([list(read) for read in reads])
    rows = page.run(
        f"import('/page/wire.mjs').then(({{ Wire }}) => {{ const wire = new Wire();"
        f"return {listed}.flatMap(read => wire.read(Uint8Array.from(read))).map(row => [row.kind, row.text]) }})"
    )
    return list(rows)


def test_read_that_ends_inside_a_character_is_marked(visit: Open) -> None:
    assert rows_of(visit(), b"data: \xf0\x9f", b"\xa6\x8a\n", b"\n") == [
        ["data", "data: \\xf0\\x9f\u2026"],
        ["cut", "the read ended inside a character"],
        ["data", "\u2026\\xa6\\x8a\\n"],
        ["cut", "the read ended inside an event"],
        ["blank", "\\n"],
        ["dispatch", "dispatch: message, 2 characters of data"],
    ]


def test_wire_shows_what_cannot_be_seen(visit: Open) -> None:
    (row, *_) = rows_of(visit(), "data: a\u202eb\u200bc\ufeffd\u00a0e\u0007 f\n".encode())
    assert row == ["data", "data: a\\u{202e}b\\u{200b}c\\u{feff}d\\u{a0}e\\x07 f\\n"]


def test_wire_tells_lines_of_every_kind_and_end_apart(visit: Open) -> None:
    rows = rows_of(visit(), b": hi\r\nevent: e\rid: 7\nretry: 9\ncolour: x\ndata\n\ndata: [DONE]\n\n")
    assert [kind for kind, _ in rows] == [
        "comment", "event", "id", "retry", "unknown", "data", "blank", "dispatch", "data", "blank", "done",
    ]  # fmt: skip
    assert [text for _, text in rows[:3]] == [": hi\\r\\n", "event: e\\r", "id: 7\\n"]
    assert rows[7][1] == "dispatch: e, 0 characters of data, last event ID 7"


def test_heartbeats_are_comments_on_the_wire(visit: Open) -> None:
    page = visit(model="toy-slow", prompt="Hi", go=1)
    page.until("document.querySelectorAll('#wire .comment').length >= 2")


@pytest.mark.parametrize(("reply", "captions"), [("whole", ["whole"]), ("both", ["streamed", "whole"])])
def test_streaming_can_be_switched_off_or_felt_side_by_side(visit: Open, reply: str, captions: list[str]) -> None:
    page = visit(reply=reply, tps=200, go=1)
    page.until(DONE)
    shown = page.run("[...document.querySelectorAll('.caption')].map(caption => caption.innerText)")
    assert [text.split(":")[0] for text in shown] == captions
    texts = page.run("[...document.querySelectorAll('.answers > div > div')].map(box => box.innerText)")
    assert len(texts) == len(captions) and len(set(texts)) == 1 and len(texts[0]) > 400
    if reply == "whole":
        assert page.run("document.querySelectorAll('#wire .dispatch').length") == 0
        assert '"object":"chat.completion"' in page.run("document.querySelector('#wire').innerText")


def test_conversation_goes_on(visit: Open, shared: Server) -> None:
    page = visit(prompt="One", go=1)
    page.until(DONE)
    page.run("document.querySelector('#prompt').value = 'Two'; document.querySelector('#send').click()")
    page.until(f"{DONE} && document.querySelectorAll('.turn').length === 4")
    roles = [message["role"] for message in shared.journal[-1]["request"]["messages"]]
    assert roles == ["user", "assistant", "user"]
    page.run("document.querySelector('#new').click()")
    assert page.run("document.querySelectorAll('.turn').length") == 0


# ---- Stop, and faults ------------------------------------------------------------------------------------------------


def test_stop_tells_at_which_token_the_server_noticed_and_what_it_saved(visit: Open, shared: Server) -> None:
    page = visit(tps=10, go=1)
    page.until("document.querySelectorAll('#wire .dispatch').length > 5")
    page.press("Escape", 27)
    page.until(f"{NOTES}.length === 1")
    record = next(record for record in reversed(shared.journal) if record["stream"])
    assert record["outcome"] == "client_left" and 5 <= record["left_at_token"] < 139
    (note,) = page.run(NOTES)
    assert f"noticed at token {record['left_at_token']}," in note
    assert f"Of 139 tokens, {139 - record['left_at_token']} were never generated." in note
    assert "end: cancelled" in page.run("document.querySelector('#wire').innerText")
    assert len(page.run(ANSWER)) > 10  # what had come stays


def test_stop_of_a_whole_answer_tells_the_same_and_says_it_aloud(visit: Open, shared: Server) -> None:
    page = visit(reply="whole", ttft=60, go=1)
    assert wait_for(lambda: any(not r["stream"] and r["outcome"] == "open" for r in shared.journal))
    page.press("Escape", 27)
    page.until(f"{NOTES}.length === 1")
    (note,) = page.run(NOTES)
    assert note.startswith("Stopped: The server noticed at token 0,") and "Of 139 tokens, 139 were never sent." in note
    page.until("document.querySelector('#status').textContent.startsWith('Stopped. The server noticed at token 0,')")


@pytest.mark.parametrize(("fault", "says"), [("error", "Error inside the stream: "), ("end", "Truncated: ")])
def test_tool_call_that_breaks_off_is_said_aloud_to_have_broken(visit: Open, fault: str, says: str) -> None:
    page = visit(tools=1, prompt="Use get_weather", fault=fault, at=3, go=1)
    page.until(f"{NOTES}.length")
    page.until(f"document.querySelector('#status').textContent.trim().startsWith('{says}')")


def test_tokens_that_can_only_be_told_from_deltas_are_said_to_be_at_least_that_many(visit: Open) -> None:
    page = visit(model="toy-echo", prompt="\U0001f98a" * 30, fault="error", at=12, go=1)
    page.until(DONE)
    assert page.run("document.querySelector('#n-tokens').innerText") == "\u2265 3"
    assert page.run("document.querySelector('#gaps svg').ariaLabel").startswith("2 gaps between tokens: median")


@pytest.mark.parametrize(
    ("fault", "title", "says"),
    [
        (
            "refuse",
            "Error before the stream",
            "HTTP 429: refused, as the request asked for. It can be asked again, after 1 s",
        ),
        ("error", "Error inside the stream", "failed"),
        ("cut", "Truncated", "the connection broke"),
        ("end", "Truncated", "before a finish reason"),
        ("stall", "Timeout", "nothing came for 3 s"),
    ],
)
def test_each_fault_is_shown_for_what_it_is(visit: Open, fault: str, title: str, says: str) -> None:
    # Slowly: with the error of a broken connection a browser throws away what it had not handed out yet.
    page = visit(fault=fault, at=6, idle=3 if fault == "stall" else 30, tps=4 if fault == "cut" else 40, go=1)
    page.until(f"{NOTES}.length")
    (note,) = page.run(NOTES)
    assert note.startswith(f"{title}: ") and says in note
    assert page.run("document.querySelector('.note').classList.contains('error')")
    page.until(DONE)
    assert ("Long ago" in page.run("document.querySelector('.answers').innerText")) == (fault != "refuse")
    page.run("document.querySelector('[name=fault]').value = ''; document.querySelector('[name=tps]').value = 400")
    page.run("document.querySelector('#send').click()")
    page.until(f"{DONE} && document.querySelectorAll('.turn').length === 4")
    assert page.run(f"{NOTES}.length") == 1  # and the next answer is whole


@pytest.mark.parametrize("fault", ["error", "cut", "end", "stall"])
def test_fault_that_comes_too_late_is_said(visit: Open, fault: str) -> None:
    page = visit(model="toy-echo", prompt="Hi", fault=fault, go=1)
    page.until(DONE)
    assert page.run(NOTES) == ["No fault: the answer ended before token 12, after which it was to come."]


def test_request_that_is_wrong_is_not_to_be_sent_again(visit: Open) -> None:
    page = visit(model="no-such-model", go=1)
    page.until(f"{NOTES}.length")
    (note,) = page.run(NOTES)
    assert note.startswith("Error before the stream: HTTP 404") and note.endswith(
        "Asking the same again would not help."
    )
    assert "content-type: application/json" in page.run("document.querySelector('#wire').innerText")


def test_tokens_are_those_of_the_usage_once_it_has_come(visit: Open) -> None:
    page = visit(
        model="toy-echo", prompt="\U0001f98a" * 30, tps=200, go=1
    )  # four tokens to a character, which is a delta
    page.until(DONE)
    numbers = [float(page.run(f"document.querySelector('#n-{name}').innerText")) for name in ("tokens", "rate")]
    deltas = page.run("document.querySelectorAll('#wire .dispatch').length")
    assert numbers[0] == 120 and deltas < 60
    value, unit = page.run("document.querySelector('#n-elapsed').innerText").split()
    seconds = float(value) / {"ms": 1000, "s": 1}[unit]
    assert numbers[1] > 60 / seconds  # 30 deltas in this time would be less than half of it


@pytest.mark.parametrize(
    ("kind", "body", "outcome"),
    [
        ("text/event-stream", "data: null\n\n", "protocol_error"),
        ("text/event-stream", "data: 7\n\n", "protocol_error"),
        ("text/event-stream", "data: []\n\n", "protocol_error"),
        ("text/event-stream", 'data: {"choices":[{"delta":{"tool_calls":{}}}]}\n\n', "protocol_error"),
        ("text/event-stream", 'data: {"choices":null}\n\n', "truncated"),
        ("application/json", "{}", "protocol_error"),
        ("application/json", '{"choices":[]}', "protocol_error"),
        ("application/json", "[", "protocol_error"),
    ],
)
def test_what_is_no_answer_is_a_protocol_error(visit: Open, kind: str, body: str, outcome: str) -> None:
    page = visit()
    page.run(
        f"window.fetch = async () => new Response({json.dumps(body)}, {{ headers: {{ 'Content-Type': '{kind}' }} }})"
    )
    assert (
        page.run("import('/page/chat.mjs').then(chat => chat.ask('/', {})).then(result => result.outcome)") == outcome
    )


def test_fault_of_the_page_itself_is_not_taken_for_one_of_the_stream(visit: Open) -> None:
    page = visit()
    page.run('window.fetch = async () => new Response(\'{"choices":[{"message":{}}]}\')')
    asked = "import('/page/chat.mjs').then(chat => chat.ask('/', {}, { onPiece: () => { throw Error('mine') } }))"
    assert page.run(f"{asked}.catch(error => error.message)") == "mine"


def test_new_conversation_while_an_answer_comes_begins_with_nothing(visit: Open, shared: Server) -> None:
    page = visit(tps=10, go=1)
    page.until("document.querySelectorAll('#wire .dispatch').length > 5")
    page.run("document.querySelector('#new').click()")
    page.until("document.querySelector('#stop').disabled")
    wait_for(lambda: shared.journal[-1]["outcome"] == "client_left")
    page.run("new Promise(resolve => setTimeout(resolve, 300))")  # what was to come late has come
    assert (
        page.run("document.querySelector('#conversation').innerText + document.querySelector('#wire').innerText") == ""
    )
    assert set(page.run("[...document.querySelectorAll('#numbers dd')].map(number => number.innerText)")) == {"\u2013"}
    assert page.run("document.querySelector('#status').innerText") == "New conversation."
    page.run("document.querySelector('[name=tps]').value = 400; document.querySelector('#prompt').value = 'Second'")
    page.run("document.querySelector('#send').click()")
    page.until(f"{DONE} && document.querySelectorAll('.turn').length === 2")
    record = next(record for record in reversed(shared.journal) if record["stream"] and record["outcome"] == "complete")
    assert [message["content"] for message in record["request"]["messages"]] == ["Second"]


def test_stop_between_tool_rounds_leaves_no_half_conversation(visit: Open, shared: Server) -> None:
    page = visit(tools=1, prompt="Use get_weather and get_time", ttft=3, go=1)
    page.until("document.querySelectorAll('.turn').length === 5")
    page.run("document.querySelector('#stop').click()")
    page.until("document.querySelector('#stop').disabled")
    page.run("document.querySelector('#prompt').value = 'Hello'; document.querySelector('[name=ttft]').value = 0")
    page.run("document.querySelector('#send').click()")
    page.until("document.querySelector('#wire').innerText.includes('end: complete')")
    record = next(record for record in reversed(shared.journal) if record["stream"] and record["outcome"] == "complete")
    assert [message["content"] for message in record["request"]["messages"]] == ["Hello"]


def test_focus_goes_to_the_button_that_can_be_used(visit: Open) -> None:
    page = visit(tps=10)
    page.run("document.querySelector('#send').focus()")
    page.press("Enter", 13, "\r")
    page.until("document.activeElement.id === 'stop'")
    page.press("Enter", 13, "\r")
    page.until("document.activeElement.id === 'prompt'")


def test_setting_that_is_wrong_is_shown_even_where_the_settings_are_folded(visit: Open) -> None:
    page = visit(size={"width": 390, "height": 800}, tps=-1, go=1)
    assert page.run("document.querySelector('details').open && document.activeElement.name") == "tps"
    assert page.run("document.querySelectorAll('.turn').length") == 0


@pytest.mark.parametrize("prompt", ["[" * 20000, "`a` " * 6000, "*a " * 20000, "- x\n" * 3000])
def test_no_text_of_a_model_locks_the_page(visit: Open, prompt: str) -> None:
    page = visit(tps=0, model="toy-echo")
    page.run(f"document.querySelector('#prompt').value = {json.dumps(prompt)}; document.querySelector('#send').click()")
    page.until(DONE)
    assert page.run("document.querySelector('#send').disabled") is False


def test_wire_follows_until_somebody_scrolls_up_and_says_what_is_gone(visit: Open) -> None:
    page = visit(tps=0, model="toy-echo", prompt="word " * 900, go=1)
    page.until(DONE)
    end = "(box => box.scrollHeight - box.scrollTop - box.clientHeight)(document.querySelector('#wire'))"
    assert page.run(end) < 40
    assert "earlier rows are not kept" in page.run("document.querySelector('#wire li').innerText")
    assert page.run("document.querySelectorAll('#wire li:not(.gone)').length") == 2000
    page.run("document.querySelector('#tab-events').click(); document.querySelector('#tab-chat').click()")
    assert page.run(end) < 40


def test_key_that_the_server_asks_for_can_be_given(visit: Open) -> None:
    with running(api_key="secret") as server:
        page = visit(server=server, go=1)
        page.until(f"{NOTES}.length")
        assert "HTTP 401" in page.run(NOTES)[0]
        page.run("document.querySelector('[name=key]').value = 'secret'; document.querySelector('#send').click()")
        page.until("document.querySelector('#wire').innerText.includes('end: complete')")


# ---- Other wires -----------------------------------------------------------------------------------------------------

WIRES = {
    "openai": "[DONE]",
    "anthropic": "message_stop",
    "openai-responses": "response.completed",
    "gemini": '"finishReason":"STOP"',
    "cohere": "message-end",
}
"""The wires of the page, each with what is seen at the end of its streams."""


def test_every_wire_of_the_page_is_one_of_the_package(visit: Open) -> None:
    options = visit().run("[...document.querySelector('[name=wire]').options].map(option => option.value)")
    assert options == list(WIRES) and set(options) == set(DIALECTS) - {"openai-completions"}


@pytest.mark.parametrize("wire", WIRES)
def test_wire_can_be_chosen_and_is_shown(visit: Open, shared: Server, wire: str) -> None:
    page = visit(wire=wire, reply="both", prompt="Caf\u00e9 \U0001f98a, please", go=1)
    page.until(DONE)
    with ChatStream("Caf\u00e9 \U0001f98a, please", url=shared.url + "/v1") as stream:
        for _ in stream:
            pass
    texts = page.run("[...document.querySelectorAll('.answers > div > div')].map(box => box.innerText)")
    assert texts == [stream.text, stream.text] and page.run(NOTES) == []
    assert stream.usage
    assert page.run("document.querySelector('#n-tokens').innerText") == str(stream.usage.completion_tokens)
    shown = page.run("document.querySelector('#wire').innerText")
    base = "/v1beta" if wire == "gemini" else "/v1"
    assert WIRES[wire] in shown and DIALECTS[wire].address(base, Request(Prompt("toy", ()))) in shown
    bold = page.run("[...document.querySelectorAll('#wire .data b')].map(part => part.innerText)")
    assert all(text.startswith('"delta":') for text in bold) and (len(bold) > 100 or wire == "gemini")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("refuse", "Error before the stream: HTTP 429: "),
        ("error", "Error inside the stream: "),
        ("cut", "Truncated: "),
        ("end", "Truncated: "),
    ],
)
def test_fault_is_shown_for_what_it_is_on_every_wire(visit: Open, wire: str, fault: str, says: str) -> None:
    page = visit(wire=wire, fault=fault, at=5, tps=4 if fault == "cut" else 500, go=1)
    page.until(f"{NOTES}.length")
    (note,) = page.run(NOTES)
    assert note.startswith(says) and "undefined" not in note
    assert (page.run(ANSWER) != "") == (fault != "refuse")


@pytest.mark.parametrize("wire", WIRES)
def test_tools_and_the_conversation_go_on_over_every_wire(visit: Open, shared: Server, wire: str) -> None:
    page = visit(wire=wire, tools=1, prompt="Use get_weather and get_time", go=1)
    page.until(f"{DONE} && document.querySelectorAll('.turn').length === 5")
    turns = page.run("[...document.querySelectorAll('.turn > b')].map(name => name.innerText)")
    assert turns == ["You", "Model", "Result of get_weather", "Result of get_time", "Model"]
    page.run("document.querySelector('[name=tools]').checked = false")
    page.run("document.querySelector('#prompt').value = 'More'; document.querySelector('#send').click()")
    page.until(f"{DONE} && document.querySelectorAll('.turn').length === 7")
    assert page.run(NOTES) == []
    request = shared.journal[-1]["request"]
    assert len(request.get("messages") or request.get("input") or request["contents"]) >= 5


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("reply", ["stream", "whole"])
def test_reasoning_is_shown_apart_from_the_text(visit: Open, wire: str, reply: str) -> None:
    page = visit(wire=wire, reply=reply, model="toy-thinker", prompt="Hi", go=1)
    page.until(DONE)
    assert "“Hi”" in page.run("document.querySelector('.answers blockquote').innerText")
    assert "“Hi”" not in page.run("document.querySelector('.answers p').innerText")


@pytest.mark.parametrize("wire", WIRES)
def test_stop_tells_what_it_saved_on_every_wire(visit: Open, shared: Server, wire: str) -> None:
    page = visit(wire=wire, tps=10, go=1)
    page.until("document.querySelectorAll('#wire .dispatch').length > 8")
    page.press("Escape", 27)
    page.until(f"{NOTES}.length === 1")
    record = next(record for record in reversed(shared.journal) if record["stream"])
    assert record["outcome"] == "client_left"
    assert f"Of 139 tokens, {139 - record['left_at_token']} were never generated." in page.run(NOTES)[0]


@pytest.mark.parametrize("wire", WIRES)
def test_json_output_and_key_on_every_wire(visit: Open, wire: str) -> None:
    with running(api_key="secret") as server:
        page = visit(server=server, wire=wire, json=1, key="secret", go=1)
        page.until(DONE)
        assert set(json.loads(page.run("document.querySelector('.answers pre').innerText"))) == {"title", "days"}


# ---- Tools, JSON, Markdown -------------------------------------------------------------------------------------------


def test_tools_are_called_in_parallel_and_answered_in_a_second_round(visit: Open, shared: Server) -> None:
    page = visit(tools=1, prompt="Use get_weather and get_time", go=1)
    page.until(f"{DONE} && document.querySelectorAll('.turn').length === 5")
    turns = page.run("[...document.querySelectorAll('.turn > b')].map(name => name.innerText)")
    assert turns == ["You", "Model", "Result of get_weather", "Result of get_time", "Model"]
    last = shared.journal[-1]["request"]["messages"]
    assert [message["role"] for message in last] == ["user", "assistant", "tool", "tool"]


def test_code_keeps_its_lines_also_while_it_grows(visit: Open) -> None:
    page = visit()
    for text, growing, code in (
        ("```\na\n\n# b\n```\nc", False, "a\n\n# b"),
        ("```\na\n  b", True, "a\n  b"),
        ("```\na\n- ", True, "a\n- "),
        ("```\na\n``", True, "a"),
    ):
        call = f"markdown({json.dumps(text)}, {json.dumps(growing)})[0].children[0].children"
        assert page.run(f"import('/page/partial.mjs').then(({{ markdown }}) => {call})") == [code], text


def test_json_output_is_shown_while_it_grows(visit: Open) -> None:
    page = visit(json=1, tps=20, go=1)
    page.until("document.querySelector('.answers pre')?.innerText.includes('title')")
    assert page.run("document.querySelector('#stop').disabled") is False  # it has not ended
    page.until(DONE)
    assert set(json.loads(page.run("document.querySelector('.answers pre').innerText"))) == {"title", "days"}


MARKDOWN = "# Title\n\nSome **bold words** and `code` in *one* line, and [a link](http://example.com/) too.\n\n- one\n- two\n\n```\nlet a\n```\n"


def test_incomplete_markdown_never_shows_its_marks(visit: Open) -> None:
    page = visit(model="toy-echo", prompt=MARKDOWN, tps=20)
    page.run(
        "window.seen = []; new MutationObserver(() => seen.push(document.querySelector('.answers')?.innerText ?? ''))"
        ".observe(document.querySelector('#conversation'), {childList: true, subtree: true});"
        "document.querySelector('#send').click()"
    )
    page.until(DONE)
    assert page.run("seen.length") > 10
    assert page.run("seen.filter(text => /[*`#\\]]|http/.test(text))") == []
    tags = page.run(
        "['h3', 'strong', 'code', 'em', 'a', 'li', 'pre'].map(t => document.querySelectorAll('.answers ' + t).length)"
    )
    assert tags == [1, 1, 2, 1, 1, 2, 1]


def test_what_a_model_says_is_text_and_never_markup(visit: Open) -> None:
    page = visit(model="toy-echo", prompt="<img src=x onerror=document.title='bad'> [x](javascript:alert(1))", go=1)
    page.until(DONE)
    assert page.run("document.querySelectorAll('#conversation :is(img, a)').length") == 0
    assert page.run("document.title") == "Everything \u00b7 sse_ref"


def test_partial_json_is_what_the_package_makes_of_it(visit: Open) -> None:
    texts = [
        '{"city": "Os\\u00e9lo", "days": [1, -2.5e3, {"a": null, "b": true}], "x": "y\\n"}',
        '["\\\\", {"": {}}, [], "[{", 0.5 , false]',
        '"\\"quoted\\" "',
        "12 ",
    ]
    prefixes = [text[:length] for text in texts for length in range(len(text) + 1)]
    page = visit()
    shown = page.run(
        f"import('/page/partial.mjs').then(({{ partialJson }}) => {json.dumps(prefixes)}.map(text => partialJson(text) ?? null))"
    )
    assert shown == [read_partial(prefix) for prefix in prefixes]


def test_decoder_of_the_page_passes_the_corpus_in_the_browser(visit: Open) -> None:
    rows = [row for row in decoder_rows() if len(row.stream) < 4096]
    assert len(rows) > 250
    page = visit()
    page.run("import('/page/decoder.mjs').then(module => { window.SSEDecoder = module.SSEDecoder })")
    got = page.run(
        f"""{json.dumps([row.stream.hex() for row in rows])}.map(hex => {{
            const bytes = Uint8Array.from(hex.match(/../g) ?? [], pair => parseInt(pair, 16))
            return [bytes.length, 1].map(size => {{
                const decoder = new SSEDecoder(), events = []
                for (let at = 0; at < bytes.length; at += size) events.push(...decoder.feed(bytes.subarray(at, at + size)))
                return events
            }})
        }})"""
    )
    for row, (whole, bytewise) in zip(rows, got, strict=True):
        assert whole == bytewise == [event._asdict() for event in row.events], row.id


# ---- The second tab --------------------------------------------------------------------------------------------------


def test_event_source_drops_and_resumes(visit: Open) -> None:
    page = visit("#events", model="toy-echo", prompt="one two three four", drop=2, go=1)
    page.until("document.querySelector('#e-log').innerText.includes('close()')")
    assert page.run("document.querySelector('#e-text').innerText") == "one two three four"
    assert page.run("['state', 'id', 'opened', 'events'].map(n => document.querySelector('#e-' + n).innerText)") == [
        "2, closed",
        "5",
        "3",
        "5",
    ]
    assert "Last-Event-ID: 4" in page.run("document.querySelector('#e-log').innerText")


def test_event_source_that_stays_is_told_to_stop_by_204(visit: Open) -> None:
    page = visit("#events", model="toy-echo", prompt="one", stay=1, go=1)
    page.until("document.querySelector('#e-log').innerText.includes('204')")
    assert page.run("document.querySelector('#e-opened').innerText") == "1"


def test_event_source_is_heard_in_sentences_and_to_its_end(visit: Open) -> None:
    page = visit("#events", drop=30, max_tokens=0, tps=100)
    page.run(
        "window.said = []; new MutationObserver(() => said.push(document.querySelector('#status').textContent))"
        ".observe(document.querySelector('#status'), {childList: true}); document.querySelector('#connect').click()"
    )
    page.until("document.querySelector('#e-state').innerText === '2, closed'")
    said = page.run("said")
    assert {"Open.", "Dropped, reconnecting.", "Resumed."} <= set(said)
    assert said[-1].endswith("The last event: done. Closed.") and any("lighthouse" in text for text in said[:-1])


def test_event_source_can_be_closed(visit: Open, shared: Server) -> None:
    page = visit("#events", tps=5, drop=0, max_tokens=0, go=1)
    page.until("Number(document.querySelector('#e-events').innerText) > 1")
    page.run("document.querySelector('#close').click()")
    page.until("document.querySelector('#e-state').innerText === '2, closed'")
    for _ in range(3):
        page.press("Escape", 27)
    page.run("new Promise(resolve => setTimeout(resolve, 150))")
    assert page.run("document.querySelector('#e-log').innerText").count("close()") == 1
    assert wait_for(lambda: shared.journal[-1]["outcome"] == "client_left")


# ---- For everybody ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1366, 768), (390, 800)])
def test_what_to_press_and_what_comes_are_seen_without_scrolling(visit: Open, width: int, height: int) -> None:
    page = visit(size={"width": width, "height": height})
    bottoms = page.run(
        "['prompt', 'send', 'stop'].map(id => document.getElementById(id).getBoundingClientRect().bottom)"
    )
    assert max(bottoms) < height / 2
    assert page.run("document.querySelector('#conversation').getBoundingClientRect().top") < height - 100


def test_page_has_one_main_part_and_lets_text_say_its_direction(visit: Open) -> None:
    page = visit(model="toy-echo", prompt="\u05e9\u05dc\u05d5\u05dd", go=1)
    page.until(DONE)
    assert (
        page.run("document.querySelectorAll('main').length") == 1
        and page.run("document.querySelector('main').role") is None
    )
    answer = "getComputedStyle(document.querySelector('.answers > div > div')).direction"
    assert page.run(f"[getComputedStyle(document.querySelector('.user')).direction, {answer}]") == ["rtl", "rtl"]
    assert page.run("getComputedStyle(document.querySelector('#prompt')).direction") == "rtl"


def test_address_may_ask_for_what_no_choice_offers(visit: Open) -> None:
    page = visit(split=5, model="toy-echo", prompt="Hi", tps=0, go=1)
    page.until(DONE)
    assert "split=5" in page.run("performance.getEntriesByType('resource').map(entry => entry.name).join()")


def test_tabs_are_walked_with_the_arrow_keys(visit: Open) -> None:
    page = visit()
    page.run("document.querySelector('#tab-chat').focus()")
    page.press("ArrowRight", 39)
    assert page.run("document.activeElement.id") == "tab-events"
    assert page.run("document.querySelector('#chat').hidden") and not page.run(
        "document.querySelector('#events').hidden"
    )


def test_every_control_has_a_name_and_can_be_reached(visit: Open) -> None:
    for hash in ("", "#events"):
        page = visit(hash)
        page.call("Accessibility.enable")
        nodes = page.call("Accessibility.getFullAXTree")["nodes"]
        controls = {"button", "textbox", "combobox", "spinbutton", "checkbox", "tab", "log", "image", "tabpanel"}
        found = [node for node in nodes if node.get("role", {}).get("value") in controls and not node["ignored"]]
        assert len(found) >= 10
        assert [node for node in found if not node.get("name", {}).get("value")] == []
    page = visit()
    page.run("document.querySelector('details').open = true; document.activeElement.blur()")
    reached = set()
    for _ in range(30):
        page.press("Tab", 9)
        reached.add(page.run("document.activeElement.id || document.activeElement.name"))
    assert {"tab-chat", "model", "reply", "fault", "tools", "prompt", "send", "new", "conversation", "wire"} <= reached


def test_screen_reader_hears_sentences_and_how_it_ended(visit: Open) -> None:
    page = visit(tps=40)
    page.run(
        "window.said = []; new MutationObserver(() => said.push(document.querySelector('#status').textContent))"
        ".observe(document.querySelector('#status'), {childList: true}); document.querySelector('#send').click()"
    )
    assert page.run("document.querySelector('.answers > div > div').ariaBusy") == "true"
    page.until(DONE)
    said = page.run("said")
    assert said[0] == "Generating." and said[-1].endswith("complete.") and 4 <= len(said) < 15
    assert all(text.rstrip().endswith((".", "!", "?")) for text in said)
    assert page.run("document.querySelector('.answers > div > div').ariaBusy") == "false"


def test_cursor_shows_that_generation_goes_on_and_rests_where_motion_is_reduced(visit: Open) -> None:
    page = visit(tps=10, go=1)
    page.until("document.querySelector('.cursor')")
    animation = "getComputedStyle(document.querySelector('.cursor')).animationName"
    assert page.run(animation) == "blink"
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    assert page.run(animation) == "none"
    page.run("document.querySelector('#stop').click()")
    page.until(f"{NOTES}.length === 1")
    assert page.run("document.querySelector('.cursor')") is None


def test_drawing_is_batched(visit: Open) -> None:
    page = visit(model="toy-echo", prompt="word " * 300, tps=200)
    page.run(
        "window.drawn = []; new MutationObserver(() => drawn.push(performance.now()))"
        ".observe(document.querySelector('#conversation'), {childList: true, subtree: true});"
        "document.querySelector('#send').click()"
    )
    page.until(DONE)
    drawn, began, ended = page.run("[drawn.length, drawn[0], drawn.at(-1)]")
    assert 2 < drawn <= (ended - began) / 50 + 8  # not one for each of the 300 tokens


def test_what_is_set_stands_in_the_address_but_not_the_key(visit: Open) -> None:
    page = visit()
    for name, value in (("wire", "anthropic"), ("split", "7"), ("key", "secret")):
        box = f"document.querySelector('[name={name}]')"
        page.run(f"{box}.value = '{value}'; {box}.dispatchEvent(new Event('change', {{bubbles: true}}))")
    page.run("document.querySelector('[name=tools]').click()")
    query = page.run("location.search")
    assert query == "?wire=anthropic&ttft=0&tps=500&split=7&tools=1"


def test_long_answer_is_drawn_at_its_end_and_counted_whole(visit: Open) -> None:
    page = visit(model="toy-echo", prompt="word " * 9000, tps=0, go=1)
    page.until(DONE)
    shown = page.run(ANSWER)
    assert shown.startswith("(25") and "earlier characters are not drawn)" in shown and shown.endswith("word")
    assert len(shown) < 21_000 and page.run("document.querySelector('#n-tokens').innerText") == "9001"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_page_fits_and_can_be_read(visit: Open, scheme: str, width: int) -> None:
    size = {"width": width, "height": 800, "scheme": scheme}
    page = visit(size=size, model="toy-echo", prompt="w" * 300, split=64, fault="error", at=4, go=1)
    page.until(DONE)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(CONTRAST) == []
    ground = page.run("getComputedStyle(document.documentElement).backgroundColor")
    shapes = page.run("[...document.querySelectorAll('.legend i')].map(shape => shape.innerText)")
    assert len(set(shapes)) == len(shapes) == 9
    looks = page.run(
        "['read', 'head', 'data', 'blank', 'dispatch'].map(kind => document.querySelector('#wire .' + kind))"
        ".map(row => [getComputedStyle(row).color, row.querySelector('i')?.innerText])"
    )
    assert len({colour for colour, _ in looks}) == len({shape for _, shape in looks}) == 5
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)")
    page.run("document.querySelector('#tab-events').click()")
    assert page.run("document.documentElement.scrollWidth") <= width and page.run(CONTRAST) == []


def test_nothing_is_fetched_from_elsewhere(visit: Open, browser: Browser, shared: Server) -> None:
    page = visit(go=1)
    page.until(DONE)
    listed = "performance.getEntriesByType('resource').map(entry => entry.name)"
    loaded = set(page.run(listed))
    for path in ("/", "/lab"):
        with browser.page(shared.url + path) as other:
            loaded |= set(other.run(listed))
    assert all(name.startswith(shared.url) for name in loaded)
    assert {f"{shared.url}{path}" for path in PAGE if path.endswith(("mjs", "css"))} <= loaded


# ---- The smallest page, in the examples ------------------------------------------------------------------------------


@pytest.fixture
def small_page(browser: Browser) -> Iterator[Page]:
    process = subprocess.Popen(
        [sys.executable, "examples/20_browser_chat.py", "--serve"],
        cwd=ROOT,
        env={**os.environ, "SSE_REF_URL": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout
        url = next(line.split()[-1] for line in process.stdout if line.startswith("the page: "))
        with browser.page(url) as page:
            yield page
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_smallest_page_streams_from_another_origin_and_stops(small_page: Page) -> None:
    output = "document.querySelector('p').textContent"
    small_page.until("document.querySelector('form').onsubmit")
    small_page.run("document.querySelector('form').requestSubmit()")
    small_page.until(f"{output}.length > 20")
    small_page.run("document.querySelector('#stop').click()")
    small_page.until(f"{output}.endsWith('[stopped]')")
    spoken = "document.querySelector('[role=status]').textContent"
    assert small_page.run(spoken) == "The answer has ended: stopped."
    small_page.run("document.querySelector('form').requestSubmit()")
    small_page.until(f"{output}.length > 20 && !{output}.includes('[')")
    small_page.run(
        f"window.lengths = []; new MutationObserver(() => lengths.push({output}.length))"
        ".observe(document.querySelector('p'), {childList: true, characterData: true, subtree: true});"
        "document.querySelector('form').requestSubmit()"  # without waiting for the end
    )
    small_page.until(f"{output}.length > 400 && {output}.endsWith(String.fromCodePoint(0x1f98a))")
    assert small_page.run(f"{output}.startsWith('Long ago') && Math.min(...lengths) < 20")
    small_page.until(f"{spoken} === 'The answer is whole.'")
    assert "stopped" not in small_page.run(output)
    assert small_page.problems() == []


RECORDED = [
    head_line(200, [("Content-Type", "text/event-stream")]),
    read_line(0.0, b'data: {"choices":[{"index":0,"delta":{"content":"caf\xc3'),
    read_line(0.1, b'\xa9"},"finish_reason":null}]}\n\n'),
    read_line(0.1, b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'),
]
CHOOSE = """{
    const input = document.querySelector('[name=recording]'), chosen = new DataTransfer()
    chosen.items.add(new File([%s], 'cafe.jsonl'))
    input.files = chosen.files
    input.dispatchEvent(new Event('change'))
}"""


@pytest.mark.parametrize(
    ("end", "notes"), [("complete", 0), ("cut", 0)], ids=["to-its-end", "cut-after-the-last-event"]
)
def test_recording_is_played_read_for_read(visit: Open, shared: Server, end: str, notes: int) -> None:
    page = visit()
    asked = len(shared.journal)
    page.run(CHOOSE % json.dumps("\n".join([*RECORDED, end_line(0.2, end)])))
    page.until(DONE)
    assert page.run(ANSWER) == "caf\u00e9" and len(page.run(NOTES)) == notes
    reads = page.run(
        "[...document.querySelectorAll('#wire .read')].map(row => parseInt(row.innerText.split('read, ')[1]))"
    )
    assert reads == [len(data) for _, data in Recording.read([*RECORDED, end_line(0.2, end)]).reads]
    assert len(shared.journal) == asked  # the server was not asked


def test_cut_recording_is_a_cut_and_what_is_none_is_said(visit: Open) -> None:
    page = visit()
    page.run(CHOOSE % json.dumps("\n".join([*RECORDED[:3], end_line(0.2, "cut")])))
    page.until(f"{NOTES}.length")
    assert "broke" in page.run(f"{NOTES}.join()") and page.run(ANSWER) == "caf\u00e9"
    page.run(CHOOSE % json.dumps("no recording"))
    page.until("document.querySelector('[role=status]').textContent.includes('line 1 of the recording is no JSON')")


def test_stream_that_was_read_to_its_last_event_is_complete_for_the_server_too(visit: Open, shared: Server) -> None:
    for number in range(5):
        page = visit(model="toy-echo", prompt=f"number {number}", tps=0, go=1)
        page.until(DONE)
        assert shared.journal[-1]["outcome"] == "complete"
