"""The generated parts of the README: ``make readme`` writes them, and a test compares."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from sse_ref.server import Settings  # noqa: E402

README = ROOT / "README.md"
READING_ORDER = (
    ("codec.py", "bytes and events: the event stream format of the HTML standard"),
    ("structured.py", "JSON text that fits a schema, and reading it while it grows"),
    ("model.py", "the toy model: a prompt in, pieces of answers out"),
    ("dialects/__init__.py", "the one interface that every provider's dialect follows"),
    ("dialects/common.py", "what all dialects share: the request, the errors"),
    ("dialects/openai.py", "chat completions: requests, chunks, errors, in both directions"),
    ("pacing.py", "the loop that sends what is due on all open connections"),
    ("server.py", "HTTP around them: `python -m sse_ref.server`"),
    ("transport.py", "one HTTP response, read without being fooled"),
    ("client.py", "chat streams and event sources: `python -m sse_ref.client`"),
)


def lines_of_code(path: Path) -> int:
    """Lines that are neither blank, nor comment, nor docstring."""
    source = path.read_text()
    documented = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            documented.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(
        1 for number, line in lines if line.strip() and not line.strip().startswith("#") and number not in documented
    )


def reading_list() -> str:
    rows = ["| file | lines | of code | what |", "|---|--:|--:|---|"]
    totals = [0, 0]
    for name, what in READING_ORDER:
        path = ROOT / "sse_ref" / name
        counts = len(path.read_text().splitlines()), lines_of_code(path)
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        rows.append(f"| [`{name}`](sse_ref/{name}) | {counts[0]} | {counts[1]} | {what} |")
    rows.append(f"| together | {totals[0]} | {totals[1]} | |")
    return "\n".join(rows)


def settings() -> str:
    rows = ["| setting | default |", "|---|---|"]
    for field in dataclasses.fields(Settings):
        rows.append(f"| `{field.name}` | `{field.default!r}` |")
    return "\n".join(rows)


def speed() -> str:
    results = json.loads((ROOT / "tests" / "bench" / "results.json").read_text())
    rows = [
        f"Ratios of one run of `make bench`, {results['date']}, CPython {results['python']}, two shared cores; above 1 is faster.",
        "",
        "| what | beside | ratio |",
        "|---|---|--:|",
    ]
    sections = results["decoder"], results["server"]
    rows += [f"| {row['what']} | {row['beside']} | {row['ratio']:.2f} |" for part in sections for row in part["ratios"]]
    return "\n".join([*rows, "", *(sentence for part in sections for sentence in part["figures"])])


def with_tables(text: str) -> str:
    for name, make in (("reading list", reading_list), ("settings", settings), ("speed", speed)):
        pattern = rf"(<!-- {name}: written by make readme -->\n).*?(<!-- end -->)"
        text, count = re.subn(
            pattern, lambda match, make=make: f"{match[1]}{make()}\n{match[2]}", text, flags=re.DOTALL
        )  # type: ignore[misc]
        assert count == 1, name
    return text


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        README.write_text(with_tables(README.read_text()))
    elif with_tables(README.read_text()) != README.read_text():
        sys.exit("the README's tables are not current: make readme writes them")
