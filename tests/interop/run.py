"""Unmodified programs with the server: SDKs in Python and JavaScript, curl, nginx, a browser. Run by ``make interop``.

Prints a line for each check. Ends with status 1 if a check failed. A browser, nginx or curl that is not
installed is a skip, and is counted as one.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from environments import ENVIRONMENT, NODE, node, python

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# The scripts that each environment runs.
PYTHON_SCRIPTS = {
    "openai": ["openai", "responses"],
    "anthropic": ["anthropic"],
    "google": ["google"],
    "cohere": ["cohere"],
    "mistral": ["mistral"],
    "langchain": ["langchain"],
    "litellm": ["litellm"],
}
NODE_SCRIPTS = ["openai", "anthropic", "google", "cohere", "mistral", "ai_sdk"]
STORY = '{"model":"toy","messages":[{"role":"user","content":"Tell me a story"}],"stream":true,"max_tokens":20}'


def main() -> int:
    server = subprocess.Popen(
        [sys.executable, "-m", "sse_ref.server", "--port", "0", "--tps", "300", "--ttft", "0.05", "--quiet"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout
        url = server.stdout.readline().split()[-1]
        counts = {"ok": 0, "FAIL": 0, "skip": 0}
        for check, verdict, detail in results(url):
            counts[verdict] += 1
            print(f"{verdict:5} {check}" + (f"\n{detail}" if detail else ""), flush=True)
    finally:
        server.terminate()
        talk = server.communicate(timeout=10)[1]
    if talk:
        print(f"FAIL  the server said something:\n{talk}")
        counts["FAIL"] += 1
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] else 0


def results(url: str) -> Iterator[tuple[str, str, str]]:
    yield from curl(url)
    if shutil.which("nginx"):
        yield from reported([sys.executable, str(HERE / "nginx.py"), url])
    else:
        yield "nginx", "skip", "      nginx is not installed"
    for name, scripts in PYTHON_SCRIPTS.items():
        for script in scripts:
            yield from reported([python(name), str(HERE / f"python_{script}.py"), url])
    for name in NODE:
        for file in HERE.glob("*.mjs"):
            shutil.copy(file, ENVIRONMENT / name)  # where Node finds the packages
        for script in NODE_SCRIPTS:
            yield from reported([node(name), str(ENVIRONMENT / name / f"node_{script}.mjs"), url])
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    if not browser:
        yield "browser", "skip", "      no Chromium is installed"
        return
    script = ENVIRONMENT / "node22" / "browser.mjs"
    for check, verdict, detail in reported([node("node22"), str(script), url.removesuffix("/v1"), browser]):
        yield f"Chromium {version(browser)}: {check.removeprefix('browser ')}", verdict, detail


def version(program: str) -> str:
    words = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"\d[\d.]*", words)
    return found[0] if found else "of an unknown version"


def reported(command: list[str]) -> Iterator[tuple[str, str, str]]:
    """Run a script that prints a line of JSON for each check."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = [line for line in done.stdout.split("\n") if line.startswith("{")]
    for line in lines:
        result = json.loads(line)
        yield result["check"], "FAIL" if result["problem"] else "ok", result["problem"] or ""
    if done.returncode or not lines:
        yield "/".join(Path(command[1]).parts[-2:]), "FAIL", done.stderr[-2000:]


def curl(url: str) -> Iterator[tuple[str, str, str]]:
    if not shutil.which("curl"):
        yield "curl", "skip", "      curl is not installed"
        return
    number = version("curl")
    json_type = ["-H", "Content-Type: application/json"]
    for name, arguments, expected in [
        ("text", ["-sN", f"{url}/chat/completions", *json_type, "-d", STORY], "data: [DONE]\n\n"),
        ("HTTP/1.0", ["-sN0", f"{url}/chat/completions", *json_type, "-d", STORY], "data: [DONE]\n\n"),
        (
            "body in chunks",
            ["-sN", f"{url}/chat/completions", *json_type, "-H", "Transfer-Encoding: chunked", "-d", STORY],
            "data: [DONE]\n\n",
        ),
        (
            "/events",
            ["-sN", f"{url.removesuffix('/v1')}/events?max_tokens=5"],
            "event: done\nid: 6\ndata: [DONE]\n\n",
        ),
        (
            "large body with Expect",
            ["-s", f"{url}/chat/completions", *json_type, "-H", "Expect: 100-continue", "-d", " " * 5_000_000],
            "",
        ),
    ]:
        command = ["curl", "--max-time", "20", *arguments]
        if len(arguments[-1]) > 100_000:
            command[-1] = "@-"
            done = subprocess.run(command, input=arguments[-1], capture_output=True, text=True)
            good = done.returncode == 0 and "longer than" in done.stdout
        else:
            done = subprocess.run(command, capture_output=True, text=True)
            good = done.returncode == 0 and done.stdout.endswith(expected)
        problem = "" if good else f"status {done.returncode}: {done.stdout[-500:]}"
        yield f"curl {number}: {name}", "ok" if good else "FAIL", problem


if __name__ == "__main__":
    sys.exit(main())
