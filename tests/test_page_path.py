"""The path of the page: its steps, its time, and what is marked; and the page as static files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import CONTRAST, Browser, Page, installed, visits

from sse_ref import page as files
from sse_ref.page.__main__ import scenes, script_of
from sse_ref.page.__main__ import write as write_page
from sse_ref.server import Server

pytestmark = [pytest.mark.once, pytest.mark.skipif(not installed(), reason="no Chromium is installed")]

TEXT = "document.querySelector('#text').innerText.trim()"
ROWS = "[...document.querySelectorAll('#wire li')].map(row => [row.className.split(' ')[0], row.innerText])"
STATE = (
    "Object.fromEntries([...document.querySelectorAll('#state dd')].map(box => [box.dataset.name, box.textContent]))"
)
ENDED = "document.querySelector('#play').textContent === 'Play'"
STEPS = re.findall(r'id: "(\w+)", title', files.read_page("steps.mjs").decode())
ROLES = {"button", "combobox", "slider", "textbox", "link", "list", "application", "DisclosureTriangle"}
SIZES = [(1280, 720), (1366, 768), (1440, 900), (390, 844)]


Open = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Open]:
    with visits(browser) as opened:
        yield lambda address="", base=server.url, **size: opened(f"{base}/{address}", **size)


def click(page: Page, id: str) -> None:
    page.run(f"document.querySelector('#{id}').click()")


def hold(page: Page) -> None:
    """Pause at the beginning."""
    page.until("document.querySelector('#place').max > 0")
    page.run(
        "{const place = document.querySelector('#place'); place.value = 0; place.dispatchEvent(new Event('input'))}"
    )


# ---- The steps -------------------------------------------------------------------------------------------------------


def test_page_opens_with_a_stream_that_moves_and_a_sentence_that_says_what_is_seen(visit: Open) -> None:
    page = visit()
    page.until(f"{TEXT}.startsWith('A read')")
    assert page.run("document.querySelector('#idea').textContent").startswith("Bytes come in reads")
    assert page.run("document.querySelector('#play').textContent") == "Pause"


def test_every_step_has_an_address_an_idea_something_to_try_and_a_question(visit: Open) -> None:
    page = visit()
    assert len(STEPS) == 12
    for number, step in enumerate(STEPS):
        page.run(f"location.hash = '{step}'")
        page.until(f"document.querySelector('#title').textContent.startsWith('{number + 1}. ')")
        for id in ("idea", "tries", "question", "answer"):
            assert len(page.run(f"document.querySelector('#{id}').textContent")) > 10
        assert page.run("document.querySelector('#steps [aria-current]').textContent").startswith(str(number + 1))


def test_next_leads_through_all_steps_to_the_panel(visit: Open) -> None:
    page = visit()
    for number in range(2, 13):
        click(page, "after")
        page.until(f"document.querySelector('#title').textContent.startsWith('{number}. ')")
    click(page, "after")
    page.until("location.pathname === '/panel' && document.querySelector('#send')")


ENDS = {
    "errors/inside": "api_error: ",
    "errors/before": "http_error: ",
    "ends/cut": "truncated: the connection broke",
    "ends/end": "truncated: the stream ended before a finish reason",
    "ends/stall": "timeout: ",
    "resume/": "the stream is done",
}


def address_of(scene: str) -> str:
    step, choice = scene.split("/")
    return f"#{step}&choice={choice}&speed=10" if choice else f"#{step}&speed=10"


def test_each_scene_is_played_to_its_end(visit: Open) -> None:
    played = [name for name in scenes() if not name.endswith("/whole") and name != "stop/"]
    pages = {name: visit(address_of(name)) for name in played}  # side by side: each takes seconds
    for name, page in pages.items():
        page.until(ENDED)
        rows = page.run(ROWS)
        assert rows[-1][1].startswith(ENDS.get(name, "complete")), (name, rows[-1])
        if name.startswith("wires/"):
            assert page.run(TEXT) == "The same answer."
    assert pages["resume/"].run(TEXT) == "Ten words come in several connections and none is lost"
    asked = [text for _, text in pages["resume/"].run(ROWS) if text.startswith("GET /events")]
    assert asked[:2] == ["GET /events", "GET /events, Last-Event-ID: 4"]


def test_stop_says_at_which_token_the_server_noticed(visit: Open, server: Server) -> None:
    page = visit("#stop")
    page.until(f"{TEXT}.length > 8")
    page.press("Escape", 27)
    page.until("document.querySelector('#explain').textContent.startsWith('The server noticed at token ')")
    assert server.journal[-1]["outcome"] == "client_left"


def test_both_ways_stand_side_by_side_with_their_times(visit: Open) -> None:
    page = visit("#both&speed=10")
    page.until("/^whole, after [0-9.]+ s: Long ago/.test(document.querySelector('#whole')?.textContent)")
    page.until(f"{ENDED} && {TEXT}.startsWith('Long ago')")


def test_step_that_is_chosen_otherwise_can_be_sent_on(visit: Open) -> None:
    page = visit("#reads")
    page.run(
        "{const box = document.querySelector('#control'); box.value = '1'; box.dispatchEvent(new Event('change'))}"
    )
    page.run("{const box = document.querySelector('#speed'); box.value = '10'; box.dispatchEvent(new Event('change'))}")
    assert page.run("location.hash") == "#reads&choice=1&speed=10"
    page.until(f"{ENDED} && {TEXT} === 'A read is not an event.'")
    assert ["read", "read 1: 1 byte"] in [[kind, text.lstrip("↓ ")] for kind, text in page.run(ROWS)]


def test_what_an_address_asks_for_and_is_not_to_be_had_is_as_at_first(visit: Open) -> None:
    page = visit("#wires&choice=telegraph&speed=-3")
    page.until(f"{TEXT}.startsWith('The same')")
    assert page.run("[document.querySelector('#control').value, document.querySelector('#speed').value]") == [
        "openai",
        "1",
    ]
    page.run("location.hash = 'nowhere'")
    page.until("document.querySelector('#title').textContent.startsWith('1. ')")


def test_text_is_the_same_however_the_stream_is_cut(visit: Open) -> None:
    for page in [visit(f"#reads&choice={choice}&speed=10") for choice in ("7", "1", "3", "16", "0")]:
        page.until(f"{ENDED} && {TEXT} === 'A read is not an event.'")


# ---- Time ------------------------------------------------------------------------------------------------------------


def test_time_is_held_and_moved_by_reads_and_events(visit: Open) -> None:
    page = visit("#reads")
    hold(page)
    assert page.run(TEXT) == "" and page.run(ROWS) == []
    click(page, "next-read")
    assert [kind for kind, _ in page.run(ROWS)] == ["read", "data", "cut"]
    click(page, "next-event")
    assert page.run(TEXT) == "A read" and page.run(ROWS)[-1][0] == "dispatch"
    click(page, "next-event")
    assert page.run(TEXT) == "A read is not"
    for _ in range(3):
        click(page, "back-read")
    assert len(page.run(ROWS)) < 8 and page.run(TEXT) in ("", "A read")
    click(page, "play")
    page.until(f"{TEXT} === 'A read is not an event.'")


def test_slider_moves_over_all_that_has_come(visit: Open) -> None:
    page = visit("#blank&speed=10")
    page.until(ENDED)
    end = page.run("Number(document.querySelector('#place').max)")
    texts = []
    for at in range(end, -1, -1):
        page.run(
            f"{{const place = document.querySelector('#place'); place.value = {at}; place.dispatchEvent(new Event('input'))}}"
        )
        texts.append(page.run(TEXT))
    assert texts[0] == "Two lines\nof dataare one event." and texts[-1] == ""
    assert sorted(texts, key=len, reverse=True) == texts


def test_decoder_is_seen_at_work_in_the_words_of_the_standard(visit: Open) -> None:
    page = visit("#lines")
    hold(page)
    seen = []
    for _ in range(6):
        click(page, "next-read")
        seen.append(page.run(STATE))
    assert [state["eventType"] for state in seen] == ["greeting"] * 5 + ["empty"]
    assert [state["data"] for state in seen] == ["empty"] * 3 + ["Hello⏎"] * 2 + ["empty"]
    assert seen[1]["idBuffer"] == "7" and seen[1]["lastEventId"] == "empty" and seen[5]["lastEventId"] == "7"
    assert seen[1]["reconnectionTime"] == "the client's own" and seen[2]["reconnectionTime"] == "3000 ms"
    labels = page.run("[...document.querySelectorAll('#state dt')].map(label => label.textContent)")
    assert labels == ["open line", "data buffer", "event type buffer", "last event ID buffer", "last event ID", "reconnection time"]  # fmt: skip


# ---- One thing seen three times --------------------------------------------------------------------------------------

MARKED = "[...document.querySelectorAll('.marked')].map(each => each.className.replace(' marked', '') + ': ' + each.innerText.trim())"


def test_word_its_event_and_its_reads_are_marked_together(visit: Open) -> None:
    page = visit("#reads&speed=10")
    page.until(ENDED)
    over = "new PointerEvent('pointerover', {bubbles: true})"
    page.run(f"document.querySelectorAll('.word')[1].dispatchEvent({over})")
    marked = page.run(MARKED)
    assert [each for each in marked if each.startswith("word")] == ["word: is not"]
    assert [each.split(" ")[2] for each in marked if each.startswith("read")] == ["3:", "4:", "5:"]
    assert sum(each.startswith("dispatch") for each in marked) == 1
    page.run(f"document.querySelector('#wire .dispatch').dispatchEvent({over})")
    assert "word: A read" in page.run(MARKED)
    assert "9.2.6, dispatch" in page.run("document.querySelector('#explain').textContent")


def test_rows_and_words_can_be_pointed_at_with_the_keys(visit: Open) -> None:
    page = visit("#reads&speed=10")
    page.until(ENDED)
    page.run("document.querySelector('#text').focus()")
    page.press("ArrowLeft", 37)
    page.press("ArrowLeft", 37)
    assert "word: is not" in page.run(MARKED)
    page.run("document.querySelector('#wire').focus()")
    page.press("ArrowUp", 38)
    assert page.run("document.querySelector('#status').textContent").count(".") >= 1


def test_what_is_the_same_in_each_chunk_is_folded_and_opens(visit: Open) -> None:
    page = visit("#deltas&speed=10")
    page.until(ENDED)
    rows = "[...document.querySelectorAll('#wire .data')]"
    assert page.run(f"{rows}[2].innerText.replace(/\\s+/g, ' ').trim()") == '■data: ⋯"content":" word"⋯'
    before = page.run(f"{rows}[2].innerText.length")
    page.run(f"{rows}[2].querySelector('.fold').click()")
    assert page.run(f"{rows}[2].innerText.length") > before + 50


def test_every_kind_of_row_explains_itself(visit: Open) -> None:
    explained, shapes = visit().run("import('/page/explain.mjs').then(it => [it.EXPLAINED, Object.keys(it.SHAPES)])")
    assert set(shapes) == set(explained)
    assert all("9.2." in text for kind, text in explained.items() if kind not in ("head", "header", "plain", "done"))


# ---- What must be seen -----------------------------------------------------------------------------------------------

SEEN = """(ids => ids.filter(id => {
  const { top, bottom, left, right, height } = document.querySelector(id).getBoundingClientRect()
  return !(top >= 0 && left >= 0 && bottom <= innerHeight + 1 && right <= innerWidth + 1 && height > 0)
}))"""


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("step", ["reads", "deltas", "both", "wires"])
def test_newest_row_text_and_controls_are_in_the_window_together(
    visit: Open, step: str, width: int, height: int
) -> None:
    page = visit(f"#{step}&speed=10", width=width, height=height)
    page.until("document.querySelectorAll('#wire li').length > 9")
    ids = ["#text", "#wire", "#wire li:last-child", "#play", "#place", "#idea", "#after", "#state"]
    assert page.run(f"{SEEN}({json.dumps(ids)})") == []
    assert page.run(
        "document.documentElement.scrollHeight <= innerHeight && document.documentElement.scrollWidth <= innerWidth"
    )


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_panel_shows_newest_row_text_and_controls_together(visit: Open, width: int, height: int) -> None:
    page = visit("panel?tps=500&ttft=0&go", width=width, height=height)
    page.until("document.querySelectorAll('#wire .dispatch').length > 60")
    ids = ["#conversation", "#wire", "#wire li:last-child", "#send", "#prompt", "summary"]
    page.until(f"{SEEN}({json.dumps(ids)}).length === 0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_path_and_lab_can_be_read(browser: Browser, server: Server, scheme: str, width: int) -> None:
    for address in ("/#lines&speed=10", "/#deltas&speed=10", "/lab#famous=1"):
        with browser.page(server.url + address, width=width, height=800, scheme=scheme) as page:
            if "lab" not in address:
                page.until(ENDED)
                page.run(
                    "document.querySelectorAll('.word')[1].dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))"
                )
            assert page.run(CONTRAST) == []
            page.call("Accessibility.enable")
            nodes = page.call("Accessibility.getFullAXTree")["nodes"]
            controls = [n for n in nodes if n.get("role", {}).get("value") in ROLES and not n["ignored"]]
            assert len(controls) >= 8 and [n for n in controls if not n.get("name", {}).get("value")] == []


def test_reader_who_wants_no_motion_gets_none(browser: Browser, server: Server) -> None:
    with browser.page("about:blank") as page:
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
        page.call("Page.navigate", url=server.url)
        page.until("document.querySelector('#text')?.innerText === 'A read'")
        assert page.run("document.querySelector('#play').textContent") == "Play"
        assert page.run("document.querySelector('.cursor')") is None


def test_old_address_of_the_panel_leads_to_it(visit: Open) -> None:
    page = visit("?prompt=Hi&model=toy-echo&ttft=0&go")
    page.until("location.pathname === '/panel' && document.querySelector('.turn')")


# ---- Without its server ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_page(folder)
    return folder


def test_static_page_plays_every_wire_from_a_disk_and_breaks_as_its_server_did(visit: Open, static: Path) -> None:
    played = [name for name in scenes() if name in ENDS or name.startswith("wires/")]
    pages = {name: visit(f"index.html{address_of(name)}", base=static.as_uri()) for name in played}
    for name, page in pages.items():
        page.until(ENDED)
        assert page.run(ROWS)[-1][1].startswith(ENDS.get(name, "complete")), name
        if name.startswith("wires/"):
            assert page.run(TEXT) == "The same answer."


def test_static_page_says_what_needs_the_server(visit: Open, static: Path) -> None:
    page = visit("index.html#stop", base=static.as_uri())
    page.until("document.querySelector('#explain').textContent.includes('start sse_ref.server')")
    assert page.run("document.querySelector('#stop').hidden")
    panel = visit("panel.html", base=static.as_uri())
    panel.until("document.querySelector('.note').innerText.startsWith('Without its server')")
    lab = visit("lab.html", base=static.as_uri())
    lab.until("document.querySelector('#verdict').innerText.startsWith('They part')")


def test_scripts_of_the_static_page_hold_every_module_once() -> None:
    for entry in files.ENTRIES.values():
        script = script_of(entry)
        assert "import " not in re.sub("//.*", "", script) and "export " not in re.sub("//.*", "", script)
        assert script.count("const dom_module =") == 1
