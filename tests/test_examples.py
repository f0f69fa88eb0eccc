"""The examples, run as their first lines say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ADAPTERS = ROOT / "examples" / "adapters"


def command(language: str, folder: Path) -> list[str]:
    """The command that runs the adapter of a language; skips where the language is not installed."""
    if language == "python":
        return [sys.executable, str(ADAPTERS / "decoder.py")]
    tools = {"javascript": ["node"], "go": ["go"], "rust": ["rustc"], "shell": ["jq"]}[language]
    if missing := [tool for tool in tools if not shutil.which(tool)]:
        pytest.skip(f"{', '.join(missing)} is not installed")
    if language == "javascript":
        return ["node", str(ADAPTERS / "decoder.mjs")]
    if language == "shell":
        return [str(ADAPTERS / "decoder.sh")]
    built = str(folder / "decoder")
    build = {
        "go": ["go", "build", "-o", built, str(ADAPTERS / "decoder.go")],
        "rust": ["rustc", "-O", "-o", built, str(ADAPTERS / "decoder.rs")],
    }[language]
    done = subprocess.run(build, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [built]


@pytest.mark.once
@pytest.mark.parametrize("language", ["python", "javascript", "go", "rust", "shell"])
def test_adapter_is_understood_by_the_judge(language: str, tmp_path: Path) -> None:
    mode = "--raw" if language == "shell" else "--persistent"
    good = [
        "framing/single-event",
        "framing/two-events",
        "data/multi-line-json",
        "eol/crlf-extra-blank",
        "bom/only-stream",
    ]
    words = [sys.executable, "-m", "sse_ref.conformance", "decoder", mode, *good]
    done = subprocess.run([*words, "--", *command(language, tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and " 5 pass, 0 fail" in done.stdout, done.stdout


@pytest.mark.once
def test_decoder_of_the_page_passes_everything() -> None:
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    line = "-m sse_ref.conformance decoder --persistent --strict -- node examples/adapters/page_decoder.mjs"
    done = subprocess.run([sys.executable, *line.split()], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "0 fail, 0 error, 0 skip" in done.stdout
