"""exercises.md: its levels can be done in their order, and each asks for something new."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sse_ref.conformance.corpus import load, matching
from sse_ref.server import running

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "examples" / "exercises.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ python -m sse_ref\.conformance (.*)$", PAGE, flags=re.MULTILINE)
DECODER = [line for line in COMMANDS if line.endswith("my_decoder.py")]

pytestmark = pytest.mark.once


def globs(line: str) -> list[str]:
    return [word for word in shlex.split(line) if "/" in word and "://" not in word and not word.endswith(".py")]


def judge(line: str, program: str) -> subprocess.CompletedProcess[str]:
    if program.endswith(".mjs") and not shutil.which("node"):
        pytest.skip("node is not installed")
    runs = "node" if program.endswith(".mjs") else f"{sys.executable} -S"
    line = re.sub(r"python \S+\.py$", f"{runs} {program}", line)
    words = [sys.executable, "-m", "sse_ref.conformance", *shlex.split(line)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_page_has_five_levels_of_the_decoder_and_one_with_everything() -> None:
    assert len(DECODER) == 6 and PAGE.count("### Level") == 5
    assert globs(DECODER[-1]) == []


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_level_can_be_done_without_those_after_it(level: int) -> None:
    done = judge(DECODER[level - 1], f"tests/exercises.py {level}")
    assert done.returncode == 0, done.stdout


# Not level 5: what takes time in the square takes half a minute to fail.
@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_level_asks_for_something_new(level: int) -> None:
    before = "examples/naive_decoder.py" if level == 1 else f"tests/exercises.py {level - 1}"
    assert judge(DECODER[level - 1], before).returncode == 1


def test_the_last_level_is_the_whole_corpus() -> None:
    assert judge(DECODER[-1], "tests/exercises.py 5").returncode == 0


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: line[:60])
def test_command_names_vectors_that_exist(line: str) -> None:
    target = line.split()[0]
    for pattern in globs(line):
        assert list(matching(load(target), [pattern])), pattern


def test_levels_of_clients_and_servers_leave_nothing_out() -> None:
    for target, profile in (("client", "openai-chat"), ("server", "openai-chat")):
        named = [pattern for line in COMMANDS if line.startswith(target) for pattern in globs(line)]
        wanted = [vector for vector in load(target) if vector.profile == profile]
        assert list(matching(wanted, named)) == wanted


def test_server_of_the_package_passes_the_levels_of_servers() -> None:
    with running() as server:
        for line in (line for line in COMMANDS if line.startswith("server ") and "frame/" in line):
            done = judge(line.replace("http://127.0.0.1:8000", server.url).replace("'head/*'", "head/status-200"), "")
            assert done.returncode == 0, done.stdout


def test_encoder_to_start_from_fails_both_levels(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    program = tmp_path / "my_encoder.py"
    program.write_text(code)
    lines = [line for line in COMMANDS if line.startswith("encoder")]
    assert len(lines) == 2
    for line in lines:
        done = judge(line, str(program))
        assert done.returncode == 1 and " 0 error" in done.stdout, done.stdout
        reference = "-m sse_ref.conformance.reference encoder"
        assert judge(line, reference).returncode == 0


@pytest.mark.parametrize("mode", ["", "--persistent "], ids=["started", "kept"])
@pytest.mark.parametrize("name", ["urllib_client.py", "fetch_client.mjs"])
def test_client_to_start_from_passes_some_and_fails_some(name: str, mode: str) -> None:
    line = f"client {mode}--brief 'error/status-*' 'error/object-*' 'error/null-*' -- python examples/adapters/my_client.py"
    done = judge(line, f"examples/adapters/{name}")
    assert done.returncode == 1 and re.search(r"all +[1-9]\d* pass, [1-9]\d* fail, 0 error", done.stdout), done.stdout


@pytest.mark.parametrize(
    ("name", "score"), [("naive_decoder.py", "18 pass, 392 fail"), ("naive_decoder.mjs", "20 pass, 390 fail")]
)
def test_naive_decoder_scores_what_the_page_lets_expect(name: str, score: str) -> None:
    done = judge("decoder --persistent --brief -- python x.py", f"examples/{name}")
    assert f"{score}, 0 error" in done.stdout
    assert judge(DECODER[0], f"examples/{name}").returncode == 1
