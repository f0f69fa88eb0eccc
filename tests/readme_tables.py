"""The generated parts of the README: ``make readme`` writes them, and a test compares."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "league"), str(ROOT / "tests" / "bench")]

import chart  # noqa: E402
import page as league_page  # noqa: E402
import results  # noqa: E402
import wires  # noqa: E402
import workloads  # noqa: E402

from sse_ref.conformance.corpus import LEVELS, TARGETS, load  # noqa: E402
from sse_ref.dialects.quirks import QUIRKS  # noqa: E402
from sse_ref.dialects.quirky import SERVICES  # noqa: E402
from sse_ref.server import Settings  # noqa: E402

README = ROOT / "README.md"
GROUND = (
    ("codec.py", "bytes and events: the event stream format of the HTML standard"),
    ("chunked.py", "bytes and chunks: the chunked transfer coding of HTTP/1.1"),
    ("pieces.py", "the words between a model and a wire: prompts, and the pieces of answers"),
    ("errors.py", "how a stream ends, and why a request is refused"),
    ("dialects/interface.py", "what a dialect is: one provider's wire, in both directions"),
    ("dialects/strict_json.py", "JSON of requests: read with the path of what is wrong"),
    ("dialects/openai.py", "chat completions: the stream first, then requests and errors"),
    ("dialects/lenient_json.py", "JSON of answers, read leniently"),
    ("dialects/compatible.py", "chat completions as other services speak them"),
    ("dialects/completions.py", "the older text completions"),
    ("dialects/anthropic.py", "Anthropic's Messages: named events, content in blocks"),
    ("dialects/responses.py", "OpenAI's Responses: numbered events about one growing object"),
    ("dialects/gemini.py", "Google's Gemini API: each object of a stream has the form of a whole answer"),
    ("dialects/cohere.py", "Cohere's Chat: typed events, contents and calls with a beginning and an end"),
    ("dialects/__init__.py", "the registry"),
    ("dialects/quirks.py", "how services that call themselves compatible deviate"),
    ("dialects/quirky.py", "chat completions with quirks"),
    ("schema.py", "JSON text that fits a schema"),
    ("recording.py", "a stream as it was read, in lines of JSON"),
    ("model.py", "the toy model: a prompt in, pieces of answers out"),
)
SERVER = (
    ("page/__init__.py", "the page in the browser: its files, and what serves them"),
    ("server/settings.py", "how a server behaves"),
    ("server/requests.py", "bytes of a connection to one HTTP request"),
    ("server/threads.py", "threads that are kept for the next request"),
    ("server/timers.py", "timers: which of many streams is due"),
    ("server/loop.py", "one loop for all open connections"),
    ("server/delivery.py", "what a model says, as bytes with the time at which each is due"),
    ("server/answers.py", "answers that a tester chose"),
    ("server/script.py", "which answer each request gets"),
    ("server/plain_events.py", "the plain event source at `/events`"),
    ("server/journal.py", "what was asked, what was sent, and how each stream ended"),
    ("server/printer.py", "the log and the wire, without holding anything up"),
    ("server/responses.py", "the bytes of a head, and of a body that is whole"),
    ("server/connection.py", "reads requests, routes them, and answers"),
    ("server/listener.py", "a port, the loop behind it, and what its connections share"),
    ("server/command.py", "`python -m sse_ref.server`"),
)
CLIENT = (
    ("client/transport.py", "one HTTP response, read without being fooled"),
    ("client/partial_json.py", "reading JSON while it grows"),
    ("client/chat.py", "chat streams: pieces as they come, and exactly one outcome"),
    ("client/event_source.py", "the standard's reconnecting source of plain events"),
    ("client/show.py", "what the terminal shows of a stream"),
    ("client/record.py", "keeping a stream, each read with its time"),
    ("client/command.py", "`python -m sse_ref.client`"),
)
JUDGE_ORDER = (
    ("corpus.py", "the vectors: data, one sentence of fact each"),
    ("verdicts.py", "what a run comes to: verdicts, known failures, exit status"),
    ("programs.py", "a program under test: a line of JSON to it, a line back"),
    ("decoders.py", "judges decoders: bytes in every split, events back"),
    ("fuzz.py", "random streams, and the smallest that is read another way"),
    ("encoders.py", "judges encoders: events to them, bytes read back"),
    ("hostile.py", "the hostile server that plays the scripts of the client cases"),
    ("clients.py", "judges clients: by what they print, and by what the server saw"),
    ("wire.py", "HTTP on a raw socket, with nothing hidden"),
    ("servers/target.py", "the server under test: what is asked, and what came back"),
    ("servers/streams.py", "what holds for every event stream"),
    ("servers/life.py", "the life of a connection"),
    ("servers/chats.py", "a chat stream taken apart"),
    ("servers/typed.py", "streams of typed events"),
    ("servers/openai_chat.py", "the profile `openai-chat`"),
    ("servers/calls.py", "its tool calls"),
    ("servers/together.py", "what a request asks for together, and whole answers"),
    ("servers/messages.py", "the profile `anthropic`"),
    ("servers/responses.py", "the profile `openai-responses`"),
    ("servers/gemini.py", "the profile `gemini`"),
    ("servers/cohere.py", "the profile `cohere`"),
    ("servers/event_source.py", "the profile `sse`"),
    ("servers/judging.py", "runs the checks, and shows failures"),
    ("servers/__init__.py", "judges servers: the checks together"),
    ("gateways.py", "judges gateways: our own server behind them"),
    ("causes.py", "failures grouped by what most likely caused them"),
    ("reports.py", "text, JSON, JUnit, TAP, Markdown, badge, annotations"),
    ("matrix.py", "several reports as one page of HTML"),
    ("reference.py", "our own decoder, encoder, client and server under test"),
    ("runs.py", "which vectors, against which program, and what is written of it"),
    ("looking.py", "vectors listed, shown, exported, played by hand"),
    ("commands.py", "`python -m sse_ref.conformance`"),
)


def lines_of_code(path: Path) -> int:
    """Lines that are neither blank, nor comment, nor docstring."""
    return code_in(path.read_text())


def code_in(source: str) -> int:
    documented = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            documented.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(
        1 for number, line in lines if line.strip() and not line.strip().startswith("#") and number not in documented
    )


STREAM_ENDS_AT = "# ---- What is left: "  # in dialects/openai.py: a stream can be written and read by then


def to_the_end_of_the_stream() -> int:
    """Lines of code from the first to where a reader has seen OpenAI's stream written and read."""
    *rooms, openai = (ROOT / "sse_ref" / name for name, _ in GROUND[:7])
    first_half, mark, _ = openai.read_text().partition(STREAM_ENDS_AT)
    assert mark
    return sum(map(lines_of_code, rooms)) + code_in(first_half)


def reading_list() -> str:
    names = {"the ground": GROUND, "the server": SERVER, "the client": CLIENT}
    tables = [f"**{name.capitalize()}**\n\n{files(order)}" for name, order in names.items()]
    lines = to_the_end_of_the_stream()
    return "\n\n".join([*tables, f"To the end of OpenAI's stream, written and read, it is {lines} lines of code."])


def files(order: tuple[tuple[str, str], ...], folder: str = "sse_ref/") -> str:
    """A table of files, with their lines, the lines of code among them, and what each is."""
    rows = ["| file | lines | of code | what |", "|---|--:|--:|---|"]
    totals = [0, 0]
    for name, what in order:
        path = ROOT / "sse_ref" / ("" if folder else "conformance") / name
        counts = len(path.read_text().splitlines()), lines_of_code(path)
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        rows.append(f"| [`{name}`]({folder}{name}) | {counts[0]} | {counts[1]} | {what} |")
    return "\n".join([*rows, f"| together | {totals[0]} | {totals[1]} | |"])


def judge_list() -> str:
    return files(JUDGE_ORDER, "")


def corpus_table() -> str:
    """How many vectors there are, by target, profile and level."""
    rows = ["| vectors | must | should | may | together |", "|---|--:|--:|--:|--:|"]
    for target in TARGETS:
        vectors = load(target)
        for profile in dict.fromkeys(vector.profile for vector in vectors):
            own = [vector for vector in vectors if vector.profile == profile]
            numbers = [sum(vector.level == level for vector in own) for level in LEVELS]
            name = f"{target}, `{profile}`" if profile else target
            rows.append(f"| {name} | {' | '.join(map(str, numbers))} | {len(own)} |")
    return "\n".join(rows)


def league() -> str:
    """The head of the league: what the judge says of published programs, as far as it was looked at by hand."""
    return league_page.head()


SETTINGS = {
    "host": "the address to bind to",
    "port": "0 picks a free one; the command takes 8000",
    "ttft": "seconds to the first token; the command takes 0.3",
    "tps": "tokens a second after it, 0 for no pace; the command takes 30",
    "jitter": "how uneven the pace is, 0 to 1",
    "heartbeat": "silence after which a comment is sent, 0 for never",
    "api_key": "the only key that is let in; any if there is none",
    "max_streams": "more at once get 429",
    "show_wire": "print every byte that is sent",
    "max_body": "longer requests get 413",
    "request_timeout": "for the headers of a request, and again for its body; then 408",
    "idle_timeout": "how long a connection may wait for its next request",
    "stall_timeout": "a reader that takes no byte for so long is dropped",
    "journal_size": "how many streams the journal keeps",
    "allow_hosts": "names to answer for beside this machine's own, while it listens on loopback only; all others get 421",
}


def settings() -> str:
    """The settings of a server in a process, what they do, and their defaults."""
    fields = Settings.__dataclass_fields__
    assert list(fields) == list(SETTINGS)
    rows = [f"| `{name}` | `{fields[name].default!r}` | {does} |" for name, does in SETTINGS.items()]
    return "\n".join(["| setting | default | |", "|---|---|---|", *rows])


def quirks() -> str:
    """The quirks, what each changes, where it was seen, and the source."""
    rows = [f"| `{q.name}` | {q.sentence} | {q.seen_in} | {q.source} |" for q in QUIRKS.values()]
    return "\n".join(["| quirk | | seen in | source |", "|---|---|---|---|", *rows])


def services() -> str:
    """The services, each a list of quirks."""
    rows = [f"| `{name}` | {', '.join(f'`{quirk}`' for quirk in names)} |" for name, names in SERVICES.items()]
    return "\n".join(["| service | its quirks |", "|---|---|", *rows])


def speed() -> str:
    kept = json.loads(BENCH.read_text())
    servers = kept["servers"]
    parts = [
        "What `make bench` measured. Each number says how many times as long as ours it took, as the median of its rounds:"
        " above 1, ours is faster. What takes longer than a second is timed in fewer rounds, or in one.",
        *(decoder_speed(number, found) for number, found in sorted(kept["decoders"].items())),
        "*wrong*: it gave another number of events than there are. Wrong vectors: those of the corpus, of level must, in whose"
        " data it differs. `bytes.split` and `json.loads` decode no stream: they show what its parts cost. An empty cell: it"
        " refuses so large an event, or was not tried.",
        growth(kept["decoders"]),
        *(server_speed(wire, found) for wire, found in servers["full speed"].items()),
        "All but the two mocks serve the same model and dialects, each on one core. They send each event by itself; ours"
        " sends up to sixteen together where no pace is asked for, and others could do that, too. At full speed a server that"
        " never waits ends one stream after the other: so its first tokens of 64 and 256 streams are late. An empty cell: some"
        " streams did not end.",
        measured(servers),
        *client_speed(kept["clients"]),
        f"In the picture a line ends where one token of a hundred is {results.TOO_LATE // 1000} s late, or where a stream does"
        " not end.",
        "![How late tokens are, the more streams there are](tests/bench/lateness.svg)",
        *servers["figures"],
    ]
    return "\n\n".join(parts)


def measured(found: dict[str, Any]) -> str:
    """When and on what a section was measured."""
    return f"Measured on {found['date']}, on {found['cores']} cores that are shared with others."


def decoder_speed(number: str, found: dict[str, Any]) -> str:
    """Decoders on one CPython. What a decoder got wrong stands beside its speed."""
    columns = list(found["workloads"])
    decoders = dict.fromkeys(name for row in found["workloads"].values() for name in row)
    lines = [f"**Decoders, CPython {number}**", "", f"| decoder | {' | '.join(columns)} | wrong vectors |"]
    lines.append("|---|" + "--:|" * (len(columns) + 1))
    for name in decoders:
        cells = []
        for workload in columns:
            cell = found["workloads"][workload].get(name)
            ratio = "" if cell is None else digits(cell["ratio"][1])
            cells.append(ratio if cell is None or cell["right"] else f"{ratio} *wrong*")
        called = f"{name} {found['versions'].get(name, '')}".strip()
        lines.append(f"| {called} | {' | '.join(cells)} | {found['wrong vectors'].get(name, '')} |")
    return "\n".join([*lines, "", measured(found)])


def digits(ratio: float) -> str:
    """The three digits that were kept.

    >>> digits(0.833), digits(15.6), digits(9430.0)
    ('0.83', '15.6', '9430')
    """
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:.0f}"


def growth(found: dict[str, Any]) -> str:
    """How the time of decoders grows in the three traps: the largest exponent on any interpreter."""
    lines = [
        f"**Growth of the time**, the largest on CPython {', '.join(found)}: n^1 is in proportion to the bytes",
        "",
    ]
    lines += [f"| decoder | {' | '.join(workloads.TRAPS)} |", "|---|" + "--:|" * len(workloads.TRAPS)]
    for name in next(iter(found.values()))["growth"]:
        cells = []
        for trap in workloads.TRAPS:
            exponents = [part["growth"][name][trap] for part in found.values()]
            cells.append("refuses" if None in exponents else f"n^{max(exponents)}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def server_speed(wire: str, found: dict[str, Any]) -> str:
    """Servers at full speed: tokens a second, and the first token."""
    counts = list(found)
    lines = [f"**Servers, full speed, the wire of `{wire}`**", ""]
    streams = [f"{number} streams" if number != "1" else "1 stream" for number in counts]
    firsts = [f"first token, {number}" for number in counts]
    lines.append(f"| server | {' | '.join([*streams, *firsts])} |")
    lines.append("|---|" + "--:|" * (2 * len(counts)))
    for name in list(found[counts[0]]):
        if name in ("ours", "sse_ref"):
            continue
        cells = [found[n][name][what] for what in ("rate", "first") for n in counts]
        lines.append(f"| {name} | {' | '.join('' if cell is None else digits(cell[1]) for cell in cells)} |")
    ours = ", ".join(f"{found[n]['ours']['tokens per second']:,} at {n}" for n in counts)
    return "\n".join([*lines, "", f"Ours: tokens a second, {ours}."])


def client_speed(found: dict[str, Any]) -> list[str]:
    """Clients: the time for all pieces, and the delay that each adds to a piece."""
    lines = ["**Clients**", "", "| client | time | delay |", "|---|--:|--:|"]
    for name, cells in list(found["ratios"].items())[1:]:
        lines.append(f"| {name} | {digits(cells['time'][1])} | {digits(cells['delay'][1])} |")
    ours = found["ours"]
    told = f"Ours: {ours['pieces per second']:,} pieces a second, {ours['delay, microseconds']} microseconds. {measured(found)}"
    return [
        "\n".join(lines),
        "Time: for all pieces of a stream. Delay: what it adds to a piece that comes by itself.",
        told,
    ]


BENCH = ROOT / "tests" / "bench" / "results.json"
LATENESS = ROOT / "tests" / "bench" / "lateness.svg"


def lateness() -> str:
    """The picture of streams held against lateness."""
    return chart.svg(json.loads(BENCH.read_text())["servers"]["paced"], results.TPS)


TABLES = {
    "reading list": reading_list,
    "settings": settings,
    "services": services,
    "quirks": quirks,
    "speed": speed,
    "judge": judge_list,
    "corpus": corpus_table,
    "league": league,
    **wires.TABLES,
}
WIRES = ROOT / "sse_ref" / "dialects" / "README.md"
JUDGE_README = ROOT / "sse_ref" / "conformance" / "README.md"


def with_tables(text: str) -> str:
    """The text with every table that it marks written anew."""

    def table(match: re.Match[str]) -> str:
        return f"<!-- {match[1]}: written by make readme -->\n{TABLES[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- ([a-z ]+): written by make readme -->\n.*?<!-- end -->", table, text, flags=re.DOTALL)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        LATENESS.write_text(lateness())
    for page in (README, JUDGE_README, WIRES):
        if sys.argv[1:] == ["--write"]:
            page.write_text(with_tables(page.read_text()))
        elif with_tables(page.read_text()) != page.read_text():
            sys.exit(f"the tables of {page.relative_to(ROOT)} are not current: make readme writes them")
