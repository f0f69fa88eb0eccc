"""Every command explains itself."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from terminal import ENVIRONMENT, ROOT, base, run, started, url_of

from sse_ref.server import Server


@pytest.mark.once
@pytest.mark.parametrize("module", ["sse_ref.server", "sse_ref.client"])
def test_help_has_examples_and_the_exit_status(module: str) -> None:
    result = run("--help", module=module)
    assert result.returncode == 0 and "examples:" in result.stdout and "exit status:" in result.stdout


def examples_of(module: str) -> list[str]:
    """The commands under "examples:" in the help, without the remarks beside them."""
    text = run("--help", module=module).stdout.partition("examples:\n")[2].partition("\n\n")[0]
    return [re.split(r" {2,}", line.strip())[0] for line in text.splitlines()]


@pytest.mark.once
def test_examples_of_the_client_work_when_pasted(server: Server) -> None:
    commands = examples_of("sse_ref.client")
    assert len(commands) == 3
    for command in commands:
        command = command.replace("python -m", f"{sys.executable} -m") + f" --url {base(server)}"
        done = subprocess.run(
            command, shell=True, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=30, env=ENVIRONMENT
        )
        assert done.returncode == 0 and len(done.stdout) > 20, (command, done.stderr)


@pytest.mark.once
def test_examples_of_the_server_work_when_pasted() -> None:
    commands = examples_of("sse_ref.server")
    assert len(commands) == 3
    for command in commands:
        arguments = command.removeprefix("python -m sse_ref.server").split()
        with started(*arguments, *([] if "--port" in arguments else ["--port", "0"])) as server:
            assert url_of(server)


@pytest.mark.once
def test_package_names_its_commands() -> None:
    for arguments, status in ((), 0), (("--help",), 0), (("nonsense",), 2):
        result = run(*arguments, module="sse_ref")
        assert result.returncode == status
        assert "python -m sse_ref.server" in result.stdout + result.stderr
