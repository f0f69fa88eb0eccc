"""The examples, run as their first lines say."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hostile import HELLO, Hold, chunk, head, playing
from lessons import LESSONS, PAGE, Lesson, index, outputs, replaced, settled, shown

from sse_ref import iter_events
from sse_ref.server import running

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
    assert done.returncode == 0 and "0 fail, 0 error, 3 skip" in done.stdout, done.stdout
    assert "conformant: yes" in done.stdout


@pytest.mark.once
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)
def test_example_prints_what_its_page_says(lesson: Lesson) -> None:
    done = lesson.run()
    assert done.returncode == 0 and "Warning" not in done.stdout, done.stdout
    assert settled(done.stdout) == settled(outputs(PAGE.read_text(encoding="utf-8"))[lesson.command])


def test_page_of_the_examples_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert replaced(page, "index", index()) == page, "make lessons writes it"
    sections = "\n".join(shown(lesson, outputs(page)[lesson.command]) for lesson in LESSONS)
    assert replaced(page, "outputs", sections) == page, "make lessons writes it"
    assert len(outputs(page)) == len(LESSONS)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)
def test_example_introduces_itself(lesson: Lesson) -> None:
    assert lesson.title and lesson.question.endswith("?")
    assert lesson.command == f"python examples/{lesson.path.name}"
    assert re.search(r"\b(see|seen|prints)\b", lesson.prose)
    assert len(lesson.path.read_text(encoding="utf-8").splitlines()) <= 100


def test_examples_are_numbered_without_gaps() -> None:
    assert [lesson.path.name[:2] for lesson in LESSONS] == [f"{n:02}" for n in range(1, len(LESSONS) + 1)]


@pytest.mark.once
@pytest.mark.parametrize("said", [None, b"SSH-2.0-OpenSSH_9.2\r\n"], ids=["nothing-listens", "no-http"])
def test_url_where_no_server_answers_is_said_so(said: bytes | None) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(said or b"")

    with ThreadPoolExecutor(1) as pool:
        if said is None:
            listener.close()
        else:
            pool.submit(answer)
        line = [sys.executable, "examples/07_first_client.py"]
        environment = {**os.environ, "SSE_REF_URL": url}
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, env=environment)
    listener.close()
    assert done.returncode == 1
    assert done.stderr == f"no server answers at {url}; without a URL, this example starts its own\n"


@pytest.mark.once
def test_example_whose_reader_has_seen_enough_ends_quietly() -> None:
    line = [sys.executable, "-u", "examples/19_relay.py"]
    environment = {**os.environ, "SSE_REF_URL": ""}
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """The relay of example 19, which gives up a silent model after two seconds."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # lesson.py puts another one there
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    program = (ROOT / "examples" / "19_relay.py").read_text(encoding="utf-8").partition("\nwith lesson.server()")[0]
    names: dict[str, Any] = {}
    exec(compile(program.replace("timeout=60", "timeout=2"), "19_relay.py", "exec"), names)
    with ThreadingHTTPServer(("127.0.0.1", 0), names["Relay"]) as relay:
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        yield relay
        relay.shutdown()


def relayed(relay: ThreadingHTTPServer, query: str) -> tuple[int, list[str]]:
    """The status and the data of the events that a client of the relay gets."""
    body = b'{"model": "toy-echo", "stream": true, "messages": [{"role": "user", "content": "one two three"}]}'
    url = f"http://127.0.0.1:{relay.server_port}/v1/chat/completions{query}"
    try:
        with urllib.request.urlopen(url, body, timeout=30) as answer:
            return answer.status, [event.data for event in iter_events([answer.read()])]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, []


@pytest.mark.once
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("error", "the model failed, as the request asked for"),
        ("stall", "the stream behind the relay was cut"),
        ("cut", "the stream behind the relay was cut"),
        ("end", "the stream behind the relay was cut"),
    ],
)
def test_relay_says_once_what_went_wrong(relay: ThreadingHTTPServer, fault: str, message: str) -> None:
    with running() as server:
        relay.upstream = server.url  # type: ignore[attr-defined]
        status, data = relayed(relay, f"?fault={fault}&at=2&heartbeat=0")
    errors = [json.loads(text)["error"]["message"] for text in data if "error" in text]
    assert (status, errors) == (200, [message]) and "[DONE]" not in data


@pytest.mark.once
def test_relay_says_so_when_what_it_reads_is_no_json(relay: ThreadingHTTPServer) -> None:
    with playing([head(), chunk(HELLO + b"data: oops\n\n"), Hold()]) as server:
        relay.upstream = server.url.removesuffix("/v1")  # type: ignore[attr-defined]
        status, data = relayed(relay, "")
    assert status == 200 and "the stream behind the relay was cut" in data[-1] and server.heard[0].left


@pytest.mark.once
def test_relay_without_anything_behind_it_says_502(relay: ThreadingHTTPServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    relay.upstream = f"http://127.0.0.1:{port}"  # type: ignore[attr-defined]
    assert relayed(relay, "") == (502, [])


@pytest.mark.once
def test_example_uses_a_server_that_is_given() -> None:
    with running() as server:
        line = [sys.executable, "examples/08_finish_and_done.py", server.url]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert len(server.journal) == 4


# ---- Testing an application --------------------------------------------------------------------------------------------

TESTING = ROOT / "examples" / "testing"


@pytest.mark.once
def test_fixture_and_tests_to_copy_pass_and_stand_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in ("conftest.py", "test_chat.py"):
        assert (TESTING / name).read_text().strip() in readme, name
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", ".", "."]
    done = subprocess.run(command, cwd=TESTING, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.once
@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_test_in_javascript_passes_against_the_command() -> None:
    with running() as server:
        environment = {**os.environ, "SSE_REF": server.url}
        command = ["node", "--test", str(TESTING / "chat.test.mjs")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "# pass 2" in done.stdout, done.stdout + done.stderr
