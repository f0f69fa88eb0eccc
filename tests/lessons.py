"""The examples: what they say of themselves, what they print, and the page that shows both.

python3 tests/lessons.py --write     run them all and write examples/README.md anew
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples"
PAGE = FOLDER / "README.md"


@dataclass(frozen=True)
class Lesson:
    """One example, as its docstring introduces it: ``Title. Question?``, the command, what will be seen."""

    path: Path

    @property
    def docstring(self) -> str:
        return ast.get_docstring(ast.parse(self.path.read_text(encoding="utf-8"))) or ""

    @property
    def title(self) -> str:
        return self.docstring.partition(". ")[0]

    @property
    def question(self) -> str:
        return self.docstring.partition("\n")[0].partition(". ")[2]

    @property
    def command(self) -> str:
        return self.docstring.split("\n\n")[1].strip().splitlines()[0].partition("   ")[0]

    @property
    def prose(self) -> str:
        """The question, and what follows it, as Markdown; of the commands only what is more than the one that is run."""
        _, commands, *rest = self.docstring.split("\n\n")
        rest[0] = f"{self.question} {rest[0]}"
        return "\n\n".join(map(markdown, [*rest, commands] if "\n" in commands else rest))

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the command as it stands there, from the top of the clone."""
        words = self.command.split()
        assert words[0] == "python"
        # No server but its own, whatever runs on this machine.
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "error", "SSE_REF_URL": ""}
        return subprocess.run(
            [sys.executable, *words[1:]],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            env=environment,
            timeout=120,
        )


LESSONS = [Lesson(path) for path in sorted(FOLDER.glob("[0-9][0-9]_*.py"))]


def settled(output: str) -> str:
    """The output without what differs from run to run: measured numbers, marked with ~, bars, ids, dates."""
    output = re.sub(r"~[0-9.]+", "~N", output)
    output = re.sub(r"[█·]+", "", output)
    output = re.sub(r" +(?=\n| )", "", output)  # columns move with them
    output = re.sub(r"[0-9a-f]{24}|(?<=call_)[0-9a-f]{16}|(?<=toolu_)[0-9a-f]{16}", "ID", output)
    output = re.sub(r'(?<="created":)[0-9]+', "N", output)
    output = re.sub(r"(?<=Date: ).*(?= GMT)", "N", output)
    return re.sub(r"(?<=tests in )[0-9.]+", "N", output)


def index() -> str:
    rows = [
        f"| {lesson.path.name[:2]} | [{lesson.title}]({lesson.path.name}) | {lesson.question} |" for lesson in LESSONS
    ]
    return "\n".join(["| | example | the question it answers |", "|--:|---|---|", *rows])


def markdown(paragraph: str) -> str:
    if paragraph.startswith("    "):
        return f"```\n{textwrap.dedent(paragraph)}\n```"
    return textwrap.fill(" ".join(paragraph.split()), 125, break_long_words=False, break_on_hyphens=False)


def shown(lesson: Lesson, output: str) -> str:
    return (
        f"### {lesson.path.name[:2]}. {lesson.title}\n\n{lesson.prose}\n\n<details><summary>What it prints</summary>\n\n"
        f"```console\n$ {lesson.command}\n{output}```\n\n</details>\n"
    )


def replaced(page: str, name: str, content: str) -> str:
    """The page with what stands between the marks of this name replaced."""
    begin, end = f"<!-- {name}: written by make lessons -->\n", "<!-- end -->"
    before, found, rest = page.partition(begin)
    assert found, name
    return before + begin + content + "\n" + end + rest.partition(end)[2]


def outputs(page: str) -> dict[str, str]:
    """What the page says that each command prints."""
    blocks = re.findall(r"```console\n\$ (.*)\n((?:.*\n)*?)```", page.partition("<!-- outputs: ")[2])
    return dict(blocks)


def main() -> None:
    with ThreadPoolExecutor(max_workers=2) as pool:
        printed = list(pool.map(Lesson.run, LESSONS))
    for lesson, done in zip(LESSONS, printed, strict=True):
        assert done.returncode == 0, f"{lesson.path.name}: {done.stdout}"
    page = replaced(PAGE.read_text(encoding="utf-8"), "index", index())
    old = outputs(page)
    sections = []
    for lesson, done in zip(LESSONS, printed, strict=True):
        kept = old.get(lesson.command, "")  # numbers that were measured again are no news
        sections.append(shown(lesson, kept if settled(kept) == settled(done.stdout) else done.stdout))
    PAGE.write_text(replaced(page, "outputs", "\n".join(sections)), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    main()
