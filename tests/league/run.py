"""Judges published programs and keeps what was found: ``make league`` runs it; ``python tests/league/run.py NAME …`` some.

A name is that of a program, or of a kind: decoder, encoder, source, chat, server, events, gateway. What was found is kept
in ``results.json``, every reason with it, and ``page.py`` makes the tables of it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from environments import ENVIRONMENT, ROOT, node, python  # noqa: E402

ADAPTERS = HERE / "adapters"
EXAMPLES = ROOT / "examples" / "adapters"
NODE_ADAPTERS = ENVIRONMENT / "node" / "adapters"
SERVERS = HERE / "servers"
RESULTS = HERE / "results.json"
LONGEST_REASON = 240  # characters that are kept
KEEPING = threading.Lock()


@dataclass
class Entry:
    """One program: what it is, and how the judge is called for it."""

    kind: str
    name: str
    target: str
    words: list[str]  # options of the judge, and its command or URL
    start: list[list[str]] = field(default_factory=list)  # servers that run meanwhile
    ports: list[int] = field(default_factory=list)  # where they listen
    env: dict[str, str] = field(default_factory=dict)
    called: str = ""  # name and version, if the program does not say them


def version_of(environment: str, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([python(environment), "-c", code], capture_output=True, text=True)
    return done.stdout.strip()


def node_version_of(package: str) -> str:
    about = ENVIRONMENT / "node" / "node_modules" / package / "package.json"
    return str(json.loads(about.read_text())["version"]) if about.exists() else ""


# ---- Decoders and encoders --------------------------------------------------------------------------------------------

PYTHON_DECODERS = {
    "aiohttp-sse-client2": "decoders",
    "anthropic": "anthropic",
    "cohere": "cohere",
    "google-genai": "google-genai",
    "groq": "groq",
    "httpx-sse": "decoders",
    "httpx-sse-0.2.0": "decoders",
    "httpx-sse-0.3.1": "decoders",
    "httpx-sse-0.4.0": "decoders",
    "launchdarkly-eventsource": "decoders",
    "mistralai": "mistralai",
    "openai": "openai",
    "requests-sse": "decoders",
    "sseclient": "decoders",
    "sseclient-py": "decoders",
    "sseclient-py-1.7.2": "decoders",
    "sseclient-py-1.8.0": "decoders",
    "together": "together",
}
NODE_DECODERS = [
    "@azure/core-sse",
    "@microsoft/fetch-event-source",
    "@server-sent-stream/parser",
    "event-source-plus",
    "event-stream-parser",
    "eventsource",
    "eventsource-1",
    "eventsource-2",
    "eventsource-3",
    "eventsource-4",
    "eventsource-client",
    "eventsource-parser",
    "eventsource-parser-2",
    "fetch-event-stream",
    "launchdarkly-eventsource",
    "parse-sse",
    "sse-decoder",
]
BROWSERS = ("chromium", "firefox")
PYTHON_ENCODERS = ["aiohttp-sse", "django-eventstream", "fastapi", "flask-sse", "litestar", "sse-starlette"]
NODE_ENCODERS = [
    "@fastify/sse",
    "@nestjs/core",
    "better-sse",
    "better-sse push()",
    "eventsource-encoder",
    "express-sse",
    "fastify-sse-v2",
    "h3",
    "hono",
    "sse-channel",
]
SLOW = ("eventsource-parser-2", "event-source-plus")  # it takes minutes for long streams in many chunks
PERSISTENT = ["--persistent", "--timeout-scale", "3"]


def decoders() -> Iterator[Entry]:
    for name, environment in PYTHON_DECODERS.items():
        command = [python(environment), str(ADAPTERS / "decoders.py"), name]
        yield Entry("decoder", name, "decoder", [*PERSISTENT, "--", *command])
    for name in NODE_DECODERS:
        # A package of the same name in Python keeps the name for itself.
        own = f"{name} (npm)" if name in PYTHON_DECODERS else name
        words = ["--persistent"] if name in SLOW else PERSISTENT
        yield Entry("decoder", own, "decoder", [*words, "--", node(), str(NODE_ADAPTERS / "decoders.mjs"), name])
    for name in ("undici", "openai_node"):
        command = [node(), str(NODE_ADAPTERS / f"{name}_decoder.mjs")]
        yield Entry("decoder", name.replace("_", "-"), "decoder", [*PERSISTENT, "--", *command])
    for name in BROWSERS:
        command = [node(), str(NODE_ADAPTERS / "browser.mjs"), name]
        yield Entry("decoder", name, "decoder", [*PERSISTENT, "--", *command], called=browser_version(name))


def browser_version(name: str) -> str:
    command = {"chromium": "chromium", "firefox": "firefox-esr"}[name]
    done = subprocess.run([command, "--version"], capture_output=True, text=True)
    return done.stdout.strip().replace("Mozilla ", "").partition(" built")[0]


def encoders() -> Iterator[Entry]:
    for name in PYTHON_ENCODERS:
        command = [python("encoders"), str(ADAPTERS / "encoders.py"), name]
        yield Entry("encoder", name, "encoder", [*PERSISTENT, "--", *command])
    for name in NODE_ENCODERS:
        command = [node(), str(NODE_ADAPTERS / "encoders.mjs"), name]
        yield Entry("encoder", name, "encoder", [*PERSISTENT, "--", *command])


# ---- Event sources and chat clients -----------------------------------------------------------------------------------

SOURCES = ["--profile", "sse", "--jobs", "10", "--timeout-scale", "2"]
PYTHON_SOURCES = {
    "requests-sse": "requests-sse",
    "sseclient": "sseclient",
    "aiohttp-sse-client2": "aiohttp-sse-client2",
    "launchdarkly": "launchdarkly-eventsource",
    "httpx-sse": "httpx-sse",
}
NODE_SOURCES = {
    "eventsource": "eventsource",
    "eventsource-1": "eventsource-1",
    "eventsource-2": "eventsource-2",
    "eventsource-3": "eventsource-3",
    "eventsource-client": "eventsource-client",
    "event-source-polyfill": "event-source-polyfill",
    "launchdarkly-eventsource-node": "launchdarkly-eventsource",
    "undici": "undici",
}
CHATS = ["--jobs", "3", "--timeout-scale", "3"]
PYTHON_CHATS = {
    "openai": ("openai", "openai", EXAMPLES / "openai_client.py"),
    "langchain-openai": ("langchain", "langchain-openai", EXAMPLES / "langchain_client.py"),
    "litellm": ("litellm", "litellm", EXAMPLES / "litellm_client.py"),
    "groq": ("groq", "groq", ADAPTERS / "chats.py"),
    "together": ("together", "together", ADAPTERS / "chats.py"),
    "huggingface_hub": ("huggingface", "huggingface_hub", ADAPTERS / "chats.py"),
    "mistralai": ("mistralai", "mistralai", ADAPTERS / "chats.py"),
    "llm": ("llm", "llm", ADAPTERS / "chats.py"),
}
NODE_CHATS = {
    "openai-node": ("openai", "openai_node_client.mjs"),
    "ai-sdk": ("ai", "ai_sdk_client.mjs"),
    "groq-sdk": ("groq-sdk", "chat_node.mjs"),
    "together-ai": ("together-ai", "chat_node.mjs"),
    "langchain-js": ("@langchain/openai", "chat_node.mjs"),
    "huggingface-js": ("@huggingface/inference", "chat_node.mjs"),
    "xsai": ("@xsai/stream-text", "chat_node.mjs"),
}
WITH_QUIRKS = ("openai", "openai-node", "ai-sdk", "langchain-openai", "litellm")
OWN_PROFILES = {
    "anthropic": ("anthropic", [python("anthropic"), EXAMPLES / "anthropic_client.py"], "anthropic"),
    "anthropic-node": ("anthropic", [node(), NODE_ADAPTERS / "anthropic_node_client.mjs"], "@anthropic-ai/sdk"),
    "openai-responses": ("openai-responses", [python("openai"), EXAMPLES / "openai_responses_client.py"], "openai"),
    "openai-responses-node": (
        "openai-responses",
        [node(), NODE_ADAPTERS / "openai_responses_node_client.mjs"],
        "openai",
    ),
    "google-genai": ("gemini", [python("google-genai"), EXAMPLES / "google_client.py"], "google-genai"),
    "google-genai-node": ("gemini", [node(), NODE_ADAPTERS / "google_node_client.mjs"], "@google/genai"),
    "cohere": ("cohere", [python("cohere"), EXAMPLES / "cohere_client.py"], "cohere"),
    "cohere-node": ("cohere", [node(), NODE_ADAPTERS / "cohere_node_client.mjs"], "cohere-ai"),
}


def sources() -> Iterator[Entry]:
    for name, package in PYTHON_SOURCES.items():
        command = [python("decoders"), str(ADAPTERS / "sources.py"), name]
        env = {"PYTHONPATH": str(ENVIRONMENT / "old" / "sseclient")} if name == "sseclient" else {}
        called = f"{package} {version_of('decoders', package)}".strip()
        yield Entry("source", name, "client", [*SOURCES, "--", *command], env=env, called=called)
    for name, package in NODE_SOURCES.items():
        command = [node(), str(NODE_ADAPTERS / "source_node.mjs"), package]
        called = f"{package.rstrip('-1234')} {node_version_of(package)}"
        yield Entry("source", name, "client", [*SOURCES, "--", *command], called=called)
    for name, port in zip(BROWSERS, (9371, 9372), strict=True):
        adapter = str(NODE_ADAPTERS / "source_browser.mjs")
        serve = [node(), adapter, "serve", name, str(port)]
        words = [*SOURCES, "--", node(), adapter, str(port)]
        yield Entry("source", name, "client", words, start=[serve], ports=[port], called=browser_version(name))


def of_both(name: str, command: list[str], called: str) -> Iterator[Entry]:
    """A client of chat completions, and the same with the quirks of services."""
    yield Entry("chat", name, "client", [*CHATS, "--", *command], called=called)
    if name in WITH_QUIRKS:
        yield Entry("quirks", name, "client", ["--profile", "quirks", *CHATS, "--", *command], called=called)


def chats() -> Iterator[Entry]:
    for name, (environment, package, adapter) in PYTHON_CHATS.items():
        command = [python(environment), str(adapter), *([name] if adapter.name == "chats.py" else [])]
        called = f"{package} (Python) {version_of(environment, package)}"
        yield from of_both(name, command, called)
    for name, (package, adapter) in NODE_CHATS.items():
        own = [{"langchain-js": "langchain", "huggingface-js": "huggingface"}.get(name, name)]
        command = [node(), str(NODE_ADAPTERS / adapter), *(own if adapter == "chat_node.mjs" else [])]
        yield from of_both(name, command, f"{package} (JavaScript) {node_version_of(package)}")
    for name, (profile, command, package) in OWN_PROFILES.items():
        number = (
            node_version_of(package) if command[0] == node() else version_of(name.removesuffix("-responses"), package)
        )
        called = f"{package} {number}"
        words = ["--profile", profile, *CHATS, "--", *map(str, command)]
        yield Entry(profile, name, "client", words, called=called)


# ---- Servers ----------------------------------------------------------------------------------------------------------

MODEL = [
    "--model",
    "m",
    *(word for role in ("echo", "slow", "error", "crash") for word in ("--model-for", f"{role}=m-{role}")),
]
UVICORN = [python("servers"), "-m", "uvicorn", "--log-level", "error", "--host", "127.0.0.1"]
TOY = [sys.executable, "-m", "sse_ref.server", "--tps", "200"]
TOYS = ["--model", "toy", *(word for r in ("echo", "slow") for word in ("--model-for", f"{r}=toy-{r}"))]
TOYS += ["--model-for", "error=toy-flaky"]


def app(name: str, *more: str) -> list[str]:
    return [*UVICORN, "--app-dir", str(SERVERS), *more, name]


def servers() -> Iterator[Entry]:
    def entry(name: str, port: int, *start: list[str], words: list[str] = MODEL, called: str = "", **env: str) -> Entry:
        url = f"http://127.0.0.1:{port}/v1"
        ports = [int(command[-1]) for command in start if command[:-1] == [*TOY, "--port"]]  # those behind it first
        words = [*words, "--timeout", "20", url]
        return Entry("server", name, "server", words, list(start), [*ports, port], env, called or name)

    def pip(*packages: str) -> str:
        return ", ".join(f"{package} {version_of('servers', package)}" for package in packages)

    def npm(package: str) -> str:
        return f"{package} {node_version_of(package)}"

    def script(name: str, port: int) -> list[str]:
        return [node(), str(NODE_ADAPTERS / "servers" / name), str(port)]

    yield entry("sse_ref", 9300, [*TOY, "--port", "9300"], words=TOYS, called="sse_ref")
    for loop in ("h11", "httptools"):
        start = app("fastapi_streaming:app", "--http", loop, "--port", "9301" if loop == "h11" else "9302")
        yield entry(f"fastapi-{loop}", int(start[-2]), start, called=pip("fastapi", "uvicorn") + f", {loop}")
    start = app("fastapi_pydantic:app", "--port", "9303")
    yield entry("sse-starlette", 9303, start, called=pip("sse-starlette", "fastapi", "uvicorn"))
    start = app("django_app:asgi", "--port", "9304")
    yield entry("django-asgi", 9304, start, called=pip("django", "uvicorn"), ASGI="1")
    flask = [python("servers"), "-m", "gunicorn", "--chdir", str(SERVERS), "-k", "gthread", "--threads", "64"]
    yield entry(
        "flask-gunicorn", 9305, [*flask, "-b", "127.0.0.1:9305", "flask_app:app"], called=pip("flask", "gunicorn")
    )
    werkzeug = [python("servers"), str(SERVERS / "flask_app.py"), "9306"]
    yield entry("flask-werkzeug", 9306, werkzeug, called=pip("flask", "werkzeug"))
    aiohttp = [python("servers"), str(SERVERS / "aiohttp_app.py"), "9307"]
    yield entry("aiohttp", 9307, aiohttp, called=pip("aiohttp"))
    hypercorn = [python("servers"), "-m", "hypercorn", "--bind", "127.0.0.1:9308", "fastapi_streaming:app"]
    yield entry("fastapi-hypercorn", 9308, hypercorn, called=pip("fastapi", "hypercorn"), PYTHONPATH=str(SERVERS))
    yield entry("express", 9309, script("express_app.mjs", 9309), called=npm("express"))
    yield entry("fastify", 9310, script("fastify_app.mjs", 9310), called=npm("fastify"))
    yield entry("hono", 9311, script("hono_app.mjs", 9311), called=npm("hono"))
    for name, port in (("default", 9321), ("buffering-gzip", 9322), ("tuned", 9323)):
        upstream = [*TOY, "--port", "9320"]
        nginx = ["nginx", "-p", str(ENVIRONMENT / "nginx"), "-c", str(NODE_ADAPTERS / "servers" / "nginx.conf")]
        called = f"nginx {nginx_version()}, {name}, in front of sse_ref"
        yield entry(f"nginx-{name}", port, upstream, nginx, words=TOYS, called=called)
    haproxy = ["haproxy", "-f", str(NODE_ADAPTERS / "servers" / "haproxy.cfg"), "-db"]
    for name, port in (("haproxy", 9324), ("haproxy-tuned", 9327)):
        called = f"HAProxy {haproxy_version()}{', tuned' if port == 9327 else ''}, in front of sse_ref"
        yield entry(name, port, [*TOY, "--port", "9320"], haproxy, words=TOYS, called=called)
    caddy = ["caddy", "run", "--config", str(NODE_ADAPTERS / "servers" / "Caddyfile")]
    yield entry(
        "caddy",
        9325,
        [*TOY, "--port", "9320"],
        caddy,
        words=TOYS,
        called=f"Caddy {caddy_version()}, in front of sse_ref",
    )
    litellm = [
        str(ENVIRONMENT / "litellm" / "bin" / "litellm"),
        "--config",
        str(SERVERS / "litellm.yaml"),
        "--port",
        "9326",
    ]
    insecure = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
    called = f"LiteLLM proxy {version_of('litellm', 'litellm')}, in front of sse_ref"
    yield entry("litellm", 9326, [*TOY, "--port", "9000"], litellm, called=called, **insecure)
    mock = ["--model", "gpt-4o"]
    aimock = [str(ENVIRONMENT / "node" / "node_modules" / ".bin" / "llmock"), "--port", "9331", "--latency", "15"]
    aimock += ["--chunk-size", "5", "--fixtures", str(SERVERS / "aimock.json")]
    yield entry("aimock", 9331, aimock, words=mock, called=npm("@copilotkit/aimock"))
    for name, port, words in (
        ("llmock", 9332, ["serve", "--port", "9332"]),
        ("stubllm", 9333, ["serve", "--port", "9333", "--fixture-file", str(SERVERS / "stub.yaml")]),
    ):
        start = [str(ENVIRONMENT / name / "bin" / name), *words]
        yield entry(name, port, start, words=mock, called=f"{name} {version_of(name, name)}")


def gateways() -> Iterator[Entry]:
    def entry(name: str, port: int, start: list[str], called: str, **env: str) -> Entry:
        words = ["--model", "toy", "--timeout", "20", "--upstream-port", "9340", f"http://127.0.0.1:{port}/v1"]
        return Entry("gateway", name, "gateway", words, [start], [port], env, called)

    conf = NODE_ADAPTERS / "servers"
    for name, port in (("nginx-default", 9341), ("nginx-tuned", 9342)):
        nginx = ["nginx", "-p", str(ENVIRONMENT / "nginx"), "-c", str(conf / "nginx-gateway.conf")]
        yield entry(name, port, nginx, f"nginx {nginx_version()}, {name.removeprefix('nginx-')}")
    haproxy = ["haproxy", "-f", str(conf / "haproxy-gateway.cfg"), "-db"]
    yield entry("haproxy", 9343, haproxy, f"HAProxy {haproxy_version()}")
    yield entry("haproxy-tuned", 9346, haproxy, f"HAProxy {haproxy_version()}, tuned")
    caddy = ["caddy", "run", "--config", str(conf / "Caddyfile")]
    yield entry("caddy", 9344, caddy, f"Caddy {caddy_version()}")
    litellm = [
        str(ENVIRONMENT / "litellm" / "bin" / "litellm"),
        "--config",
        str(SERVERS / "litellm-gateway.yaml"),
        "--port",
        "9345",
    ]
    insecure = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
    yield entry("litellm", 9345, litellm, f"LiteLLM proxy {version_of('litellm', 'litellm')}", **insecure)


def caddy_version() -> str:
    done = subprocess.run(["caddy", "version"], capture_output=True, text=True)
    return done.stdout.split()[0]


def haproxy_version() -> str:
    done = subprocess.run(["haproxy", "-v"], capture_output=True, text=True)
    return done.stdout.split()[2].partition("-")[0]


def nginx_version() -> str:
    done = subprocess.run(["nginx", "-v"], capture_output=True, text=True)
    return done.stderr.strip().rpartition("/")[2]


def events() -> Iterator[Entry]:
    def entry(name: str, url: str, start: list[str], called: str) -> Entry:
        port = int(url.split(":")[2].partition("/")[0])
        return Entry("events", name, "server", ["--profile", "sse", url], [start], [port], {}, called)

    starlette = app("es_sse_starlette:app", "--port", "9351")
    version = f"sse-starlette {version_of('servers', 'sse-starlette')}"
    yield entry("sse-starlette", "http://127.0.0.1:9351/a", starlette, version)
    yield entry("fastapi", "http://127.0.0.1:9351/b", starlette, f"fastapi {version_of('servers', 'fastapi')}")
    sources = [node(), str(NODE_ADAPTERS / "servers" / "es_node.mjs"), "9352"]
    yield entry("better-sse", "http://127.0.0.1:9352/", sources, f"better-sse {node_version_of('better-sse')}")
    yield entry("hono", "http://127.0.0.1:9353/", sources, f"hono {node_version_of('hono')}")


# ---- Running ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running(entry: Entry) -> Iterator[None]:
    """Start the servers of an entry, wait until they listen, and end them with all that they started."""
    processes = []
    try:
        for command in entry.start:
            env = {**os.environ, **entry.env}
            log = (ENVIRONMENT / f"{entry.kind}-{entry.name}.log").open("wb")
            processes.append(
                subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)
            )
        for port in entry.ports:
            wait_for(port)
        yield
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(port: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            time.sleep(1)
            return
        time.sleep(0.3)
    raise RuntimeError(f"nothing listens at port {port}")


def judged(entry: Entry) -> dict[str, Any]:
    """The report of the judge over one program, as it is kept."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, running(entry):
        report = Path(folder) / "report.json"
        at = entry.words.index("--") if "--" in entry.words else len(entry.words)
        options = ["--brief", "--json", str(report), *(["--name", entry.called] if entry.called else [])]
        words = [
            sys.executable,
            "-m",
            "sse_ref.conformance",
            entry.target,
            *options,
            *entry.words[:at],
            *entry.words[at:],
        ]
        python_path = os.pathsep.join([str(ROOT), str(EXAMPLES), *filter(None, [entry.env.get("PYTHONPATH")])])
        env = {**os.environ, **entry.env, "PYTHONPATH": python_path, "OLD": str(ENVIRONMENT / "old")}
        done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=1500)
        if not report.exists() or not report.stat().st_size:
            return {
                "name": entry.called or entry.name,
                "trouble": (done.stderr.strip().splitlines() or ["?"])[-1][:300],
            }
        whole = json.loads(report.read_text())
    program = whole["program"]
    bad = [r for r in whole["results"] if r["verdict"] in ("fail", "error") and r["level"] != "may"]
    return {
        "name": f"{program['name'] or entry.name} {program['version']}".strip(),
        "date": datetime.date.today().isoformat(),
        "corpus": whole["corpus"],
        "seconds": round(time.monotonic() - began),
        "conformant": whole["conformant"],
        "counts": whole["counts"],
        "must": [
            sum(r["level"] == "must" and r["verdict"] == v for r in whole["results"]) for v in ("pass", "fail", "error")
        ],
        "should": [
            sum(r["level"] == "should" and r["verdict"] == v for r in whole["results"])
            for v in ("pass", "fail", "error")
        ],
        "causes": whole["causes"],
        "failed": {r["id"]: f"{r['verdict']}: {r['reason']}"[:LONGEST_REASON] for r in bad},
        "skipped": [r["id"] for r in whole["results"] if r["verdict"] == "skip"],
    }


KINDS = {
    "decoder": decoders,
    "encoder": encoders,
    "source": sources,
    "chat": chats,
    "events": events,
    "server": servers,
    "gateway": gateways,
}


def prepare() -> None:
    """Copy what runs in Node.js to where its packages are found, and the configurations with the paths of this machine."""
    shutil.copytree(EXAMPLES, NODE_ADAPTERS, dirs_exist_ok=True)
    shutil.copytree(ADAPTERS, NODE_ADAPTERS, dirs_exist_ok=True)
    shutil.copytree(SERVERS, NODE_ADAPTERS / "servers", dirs_exist_ok=True)
    (ENVIRONMENT / "nginx").mkdir(exist_ok=True)


def main() -> None:
    prepare()
    only = set(sys.argv[1:])
    entries = [entry for make in KINDS.values() for entry in make()]
    chosen = [e for e in entries if not only or {e.name, e.kind, f"{e.kind}/{e.name}"} & only]
    # Pipes are judged several at once; what listens or is timed has the machine for itself.
    alone = [entry for entry in chosen if entry.start or entry.target == "client"]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, [entry for entry in chosen if entry not in alone]))
    for entry in alone:
        one(entry)


def one(entry: Entry) -> None:
    try:
        found = judged(entry)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        found = {"name": entry.called or entry.name, "trouble": str(error)[:LONGEST_REASON]}
    keep(entry, found)
    failed = f"{len(found['failed'])} failed" if "failed" in found else found["trouble"]
    print(f"{entry.kind:<16} {found['name']:<50} {failed}", flush=True)


def keep(entry: Entry, found: dict[str, Any]) -> None:
    """Write what was found beside what is kept: a run of some programs leaves the others as they are."""
    with KEEPING:
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        kept.setdefault(entry.kind, {})[entry.name] = found
        ordered = {kind: dict(sorted(kept[kind].items())) for kind in sorted(kept)}
        written = RESULTS.with_suffix(f".{os.getpid()}")
        written.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")
        written.replace(RESULTS)


if __name__ == "__main__":
    main()
