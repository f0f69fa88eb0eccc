"""The house rules: what imports what, examples that run, prose that agrees with the code."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
import urllib.parse
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import wires
from lessons import settled
from readme_tables import (
    CLIENT,
    GROUND,
    JUDGE_ORDER,
    JUDGE_README,
    LATENESS,
    SERVER,
    WIRES,
    lateness,
    to_the_end_of_the_stream,
    with_tables,
)

from sse_ref.dialects import DIALECTS
from sse_ref.server import FAULTS, Delivery, Settings

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sse_ref"


def dotted(name: str) -> str:
    """The module of a file of the package."""
    return f"sse_ref.{name.removesuffix('.py').replace('/', '.').removesuffix('.__init__')}"


PURE = [dotted(name) for name, _ in GROUND]
SERVER_ROOMS = [*(dotted(name) for name, _ in SERVER), "sse_ref.server", "sse_ref.server.__main__"]
CLIENT_ROOMS = [*(dotted(name) for name, _ in CLIENT), "sse_ref.client", "sse_ref.client.__main__"]
JUDGE = [
    *(dotted(f"conformance/{name}") for name, _ in JUDGE_ORDER),
    "sse_ref.conformance",
    "sse_ref.conformance.__main__",
]
MODULES = [*PURE, "sse_ref.options", *SERVER_ROOMS, *CLIENT_ROOMS, *JUDGE, "sse_ref.page.__main__"]
IMPURE_IMPORTS = {
    "socket",
    "threading",
    "_thread",
    "time",
    "datetime",
    "os",
    "io",
    "pathlib",
    "selectors",
    "asyncio",
    "http",
    "urllib",
    "secrets",
    "uuid",
}

# What each module may import of the package: the ground, and of its own wing what stands above it in the reading list.
ALLOWED: dict[str, set[str]] = {module: set(PURE[:number]) for number, module in enumerate(PURE)}
ALLOWED["sse_ref.options"] = set()
for wing in (SERVER_ROOMS, CLIENT_ROOMS, JUDGE):
    ALLOWED |= {module: {*PURE, "sse_ref.options", *wing[:number]} for number, module in enumerate(wing)}
# The judge's programs under test are our own client and server; no other module of a wing knows another wing.
# The page is written as files with streams of our own server.
ALLOWED["sse_ref.page.__main__"] = {*PURE, "sse_ref.page", "sse_ref.server"}
ALLOWED["sse_ref.conformance.reference"] |= {"sse_ref.client", "sse_ref.server"}


def imports(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(file_of(module).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            named = [name for name in inside if name in MODULES]
            yield from named or [node.module]


def file_of(module: str) -> Path:
    path = ROOT / (module.replace(".", "/") + ".py")
    return path if path.exists() else ROOT / module.replace(".", "/") / "__init__.py"


def test_every_module_is_in_the_reading_list() -> None:
    files = set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py", PACKAGE / "__main__.py"}
    assert files == {file_of(module) for module in MODULES}


FILES = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".mjs", ".css", ".html", ".json", ".md")]


@pytest.mark.once
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_too_long_to_hold_one_idea(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 650


@pytest.mark.once
@pytest.mark.parametrize("module", MODULES)
def test_every_function_has_a_name_and_fits_on_a_screen(module: str) -> None:
    for node in ast.walk(ast.parse(file_of(module).read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.name.strip("_"), f"line {node.lineno}"
            if node.name not in (
                "feed",
                "read_options",
                "_parser",
            ):  # the decoder's one loop, and the tables of arguments
                assert (node.end_lineno or 0) - node.lineno < 45, node.name


def test_stream_is_read_and_written_within_an_hour_of_reading() -> None:
    assert to_the_end_of_the_stream() <= 600


PROVIDERS = "openai|anthropic|claude|gemini|google|cohere|mistral|groq|azure|ollama|deepseek|x_groq|chatgpt|gpt"
NEUTRAL = [*PURE[:6], *PURE[-2:], *SERVER_ROOMS, *CLIENT_ROOMS]
NEUTRAL += ["sse_ref.conformance.hostile", "sse_ref.conformance.servers.target", "sse_ref.conformance.servers.judging"]
NEUTRAL += ["sse_ref.conformance.servers.streams", "sse_ref.conformance.servers.life"]


@pytest.mark.once
@pytest.mark.parametrize("module", NEUTRAL)
def test_no_provider_is_named_outside_the_dialects(module: str) -> None:
    names = re.findall(PROVIDERS, file_of(module).read_text(), re.IGNORECASE)
    assert names == []
    assert set(DIALECTS) & set(re.findall(r"[\w-]+", file_of(module).read_text())) == set()


@pytest.mark.once
@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_modules_above_it(module: str) -> None:
    inner = {name for name in imports(module) if name.split(".")[0] == "sse_ref"}
    assert inner <= ALLOWED[module]


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_the_standard_library(module: str) -> None:
    assert {name.split(".")[0] for name in imports(module)} <= sys.stdlib_module_names | {"sse_ref"}


@pytest.mark.once
@pytest.mark.parametrize("module", PURE)
def test_pure_module_touches_no_socket_clock_thread_or_file(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(module)} & IMPURE_IMPORTS


def test_codec_can_be_copied_alone(tmp_path: Path) -> None:
    shutil.copy(PACKAGE / "codec.py", tmp_path)
    program = "import codec; print(list(codec.iter_events([codec.encode_event('hi')])))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {program}"],
        capture_output=True,
        text=True,
    )
    assert "data='hi'" in done.stdout, done.stderr


@pytest.mark.parametrize("module", ["sse_ref", *MODULES])
def test_examples_in_docstrings_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.mark.once
@pytest.mark.parametrize("module", ["chart", "results"])
def test_examples_in_the_bench_run(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "bench"))
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted and not result.failed


@pytest.mark.parametrize("module", ["sse_ref", *(module for module in MODULES if "__main__" not in module)])
def test_exported_names_exist_and_have_docstrings(module: str) -> None:
    loaded = importlib.import_module(module)
    assert loaded.__doc__
    for name in getattr(loaded, "__all__", []):
        value = getattr(loaded, name)
        if callable(value):
            assert value.__doc__, name


def test_codec_has_an_example_for_everything_public() -> None:
    codec = importlib.import_module("sse_ref.codec")
    for name in codec.__all__:
        if name != "EventTooLarge":
            assert ">>>" in getattr(codec, name).__doc__, name


def test_importing_the_package_loads_no_network() -> None:
    program = "import sys, sse_ref; print(*sorted({'socket', 'http', 'urllib', 'asyncio', 'json'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-S", "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "" and done.returncode == 0


def test_top_level_holds_what_it_may() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {name.split("/")[0] for name in listed.stdout.splitlines()}
    visible = {name for name in top if not name.startswith(".")}
    assert visible <= {"sse_ref", "tests", "examples", "Makefile", "README.md", "pyproject.toml", "LICENSE"}


# ---- The README ------------------------------------------------------------------------------------------------------

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.once
def test_readme_tables_are_current() -> None:
    assert with_tables(README) == README, "make readme writes them"
    assert README.count("written by make readme") == 6


def test_picture_of_lateness_is_current() -> None:
    assert LATENESS.read_text() == lateness(), "make readme writes it"


@pytest.mark.once
def test_judge_page_tables_are_current() -> None:
    page = JUDGE_README.read_text()
    assert with_tables(page) == page and page.count("written by make readme") == 2, "make readme writes them"


def test_page_of_the_wires_is_current() -> None:
    page = WIRES.read_text()
    assert with_tables(page) == page and page.count("written by make readme") == len(wires.TABLES)
    assert all(f"`{name}`" in page and f"### {name}" in page for name in DIALECTS)


def test_judge_page_shows_the_adapters_as_they_are() -> None:
    page = JUDGE_README.read_text()
    for language, name in (("python", "py"), ("javascript", "mjs"), ("go", "go"), ("rust", "rs")):
        code = (ROOT / "examples" / "adapters" / f"decoder.{name}").read_text()
        assert f"```{language}\n{code}```" in page


def test_judge_page_names_every_module() -> None:
    for file, names in (("__init__.py", JUDGE_ROOMS), ("servers/__init__.py", CHECK_FILES)):
        list_of_modules = (PACKAGE / "conformance" / file).read_text().split("\n\n")[3]
        assert [line.split()[0] for line in list_of_modules.splitlines()] == names


def test_readme_python_blocks_run() -> None:
    namespace: dict[str, object] = {}
    blocks = [code for language, code in BLOCKS if language == "python"]
    assert len(blocks) >= 3
    for code in blocks:
        exec(compile(code, "README.md", "exec"), namespace)


@pytest.fixture(scope="module")
def readme_server() -> Iterator[tuple[str, list[str]]]:
    """The server as the README starts it, but on a free port: the port, and what it printed."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "sse_ref.server", "--port", port],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    try:
        yield port, [process.stdout.readline() for _ in range(4)]
    finally:
        process.terminate()
        process.communicate(timeout=10)


def commands() -> Iterator[tuple[str, str]]:
    """Each command of the README's console blocks, and what follows it."""
    for language, block in BLOCKS:
        if language == "console":
            command, _, output = block.partition("\n")
            yield command.removeprefix("$ "), output


def without_timings(text: str) -> str:
    return re.sub(r"[0-9]+\.[0-9]+", "N", settled(text))


JUDGE_ROOMS = list(dict.fromkeys(name.partition("/")[0].removesuffix(".py") for name, _ in JUDGE_ORDER))
CHECK_FILES = [name[8:-3] for name, _ in JUDGE_ORDER if name.startswith("servers/") and "__" not in name]
JUDGED = [("```console\n" + block).split("\n", 2)[1:] for block in JUDGE_README.read_text().split("```console\n")[1:]]


@pytest.mark.once
@pytest.mark.parametrize(("command", "rest"), JUDGED, ids=lambda value: value[:60])
def test_judge_page_commands_print_what_it_says(command: str, rest: str) -> None:
    line = command.removeprefix("$ ").replace("python ", f"{sys.executable} ")
    done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode in (0, 1)
    assert (done.stdout + done.stderr).replace(sys.executable, "python") == rest.partition("```")[0]


@pytest.mark.once
@pytest.mark.parametrize(("command", "output"), list(commands()), ids=lambda value: value[:50])
def test_readme_commands_print_what_it_says(command: str, output: str, readme_server: tuple[str, list[str]]) -> None:
    port, printed = readme_server
    if command == "python -m sse_ref.server":
        assert "".join(printed).replace(port, "8000") == output
        return
    if not shutil.which(command.split()[0]) and not command.startswith("python "):
        pytest.skip(f"{command.split()[0]} is not installed")
    command = command.replace(":8000", f":{port}").replace("python ", f"{sys.executable} ")
    if "sse_ref.client" in command:
        command += f" --url http://127.0.0.1:{port}/v1"
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "SSE_REF_URL": ""}
    done = subprocess.run(
        command, shell=True, cwd=ROOT, capture_output=True, encoding="utf-8", env=environment, timeout=60
    )
    assert done.returncode == ("sse_ref.conformance decoder" in command), done.stderr
    if output:
        printed = (done.stdout + done.stderr).replace(sys.executable, "python")
        assert without_timings(printed) == without_timings(output)


def test_readme_names_every_setting_and_model() -> None:
    from sse_ref.model import MODELS

    assert all(f"`{name}`" in README for name in [*MODELS, *Settings.__dataclass_fields__])


def test_readme_names_every_way_of_delivery() -> None:
    assert all(f"`fault={fault}`" in README for fault in FAULTS)
    assert all(f"`{name}" in README for name in Delivery.__dataclass_fields__)


TOPICS = """
perceived latency, time to first token; stream lifecycle; roles and deltas, empty deltas; finish reasons; usage; `[DONE]`;
partial buffers; UTF-8; heartbeats and timeouts; cancellation and what it saves; errors before and inside the stream; dropped
connections; resume; tool calls, parallel ones; structured output and partial JSON; partial Markdown; batching for smooth
display; proxies and compression; relaying; many streams; testing; when not to stream
"""


def test_readme_leads_to_an_example_of_every_topic() -> None:
    rows = re.findall(r"^\| (.*?) \| (\[.*) \|$", README.partition("Where to find what")[2], flags=re.MULTILINE)
    for topic in " ".join(TOPICS.split()).split("; "):
        links = [links for words, links in rows if topic in words]
        assert len(links) == 1, topic
        assert all((ROOT / path).exists() for path in re.findall(r"\((examples/[^)#]+)", links[0]))


PAGES = [ROOT / "README.md", JUDGE_README, ROOT / "examples" / "README.md", ROOT / "examples" / "exercises.md"]


@pytest.mark.once
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith("http"):
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target


def test_picture_of_the_page_is_there_and_small() -> None:
    picture = ROOT / "examples" / "page.png"
    assert f"]({picture.relative_to(ROOT)})" in README and picture.stat().st_size < 150_000


def test_links_to_the_page_set_fields_that_it_has() -> None:
    page = (PACKAGE / "page" / "panel.html").read_text(encoding="utf-8")
    links = re.findall(r"http://127\.0\.0\.1:8000/panel\?([^)#]+)", README)
    assert len(links) >= 8
    for name, value in (pair for link in links for pair in urllib.parse.parse_qsl(link, keep_blank_values=True)):
        assert name == "go" or f'name="{name}"' in page
        if name in ("fault", "split", "reply"):
            assert f'value="{value}"' in page


def test_readme_names_every_outcome() -> None:
    from sse_ref.conformance.clients import ENDS
    from sse_ref.errors import StreamError

    def kinds(error: type[StreamError]) -> set[str]:
        return {error.outcome}.union(*(kinds(kind) for kind in error.__subclasses__()))

    outcomes = (kinds(StreamError) - {StreamError.outcome}) | {"complete", "cancelled"}
    assert outcomes == set(ENDS)
    assert all(f"| `{outcome}` |" in README for outcome in outcomes)


def test_makefile_helps_by_default() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert all(f"make {target} " in done.stdout for target in ("run", "test", "check"))


def test_packages_that_are_declared_are_the_folders() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {path.parent for path in PACKAGE.rglob("*") if path.suffix in (".py", ".html")}
    packages = {".".join(path.relative_to(ROOT).parts) for path in folders}
    assert set(project["tool"]["setuptools"]["packages"]) == packages
    for name in project["project"]["scripts"].values():
        module, _, function = name.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.once
def test_wheel_holds_everything(tmp_path: Path) -> None:
    """Built, installed into an empty environment, and used from there: server, page, client, judge."""
    build_wheel(tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    home = tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / "bin" / "python"
    site = subprocess.run(
        [str(python), "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True
    )
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("sse_ref/")}
        archive.extractall(site.stdout.strip())
    files = {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert held == files
    program = """
import sys, urllib.request
from sse_ref.client import ChatStream
from sse_ref.server import running
with running() as server:
    stream = ChatStream("one two", url=server.url + "/v1", model="toy-echo")
    list(stream)
    page = urllib.request.urlopen(server.url + "/page/panel.mjs").read()
print(stream.outcome, stream.text, len(page) > 1000)
"""
    commands = {
        ("-c", program): "complete one two True\n",
        ("-m", "sse_ref.server", "--help"): "usage: python -m sse_ref.server",
        ("-m", "sse_ref.client", "--help"): "usage: python -m sse_ref.client",
        ("-m", "sse_ref.conformance", "list", "server", "life/pipelined"): "life/pipelined",
    }
    for arguments, begins in commands.items():
        done = subprocess.run([str(python), "-I", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.stdout.startswith(begins), done.stderr
    me = [str(python), "-I", "-m", "sse_ref.conformance"]
    done = subprocess.run(
        [
            *me,
            "decoder",
            "--persistent",
            "--brief",
            "eol/*",
            "--",
            *me[:-1],
            "sse_ref.conformance.reference",
            "decoder",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "23 pass, 0 fail" in done.stdout, done.stdout + done.stderr


def build_wheel(folder: Path) -> None:
    """Build the package's wheel from a copy. Skips if the build backend cannot be fetched, and for nothing else."""
    copy = folder / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(PACKAGE, copy / "sse_ref", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "No matching distribution found for setuptools" in done.stderr:
        pytest.skip("setuptools cannot be fetched")
    assert done.returncode == 0, done.stderr
