"""The judge over published decoders and clients: ``make judge`` runs it and keeps what it says in ``judged.json``.

Each program is an adapter of ``examples/adapters/``. The JavaScript ones are copied into an environment, because Node
looks for packages from the file that imports them.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from environments import ENVIRONMENT, PYTHON, node, python

ROOT = Path(__file__).parents[2]
ADAPTERS = ROOT / "examples" / "adapters"
NODE_FOLDER = ENVIRONMENT / "node22"
RESULTS = Path(__file__).parent / "judged.json"

DECODERS = [
    "httpx_sse",
    "openai",
    "anthropic",
    "sseclient",
    "launchdarkly",
    "eventsource_parser",
    "undici",
    "openai_node",
]
CLIENTS = {
    "openai-chat": ["openai", "openai_node", "ai_sdk", "langchain", "litellm", "curl", "urllib"],
    "anthropic": ["anthropic", "anthropic_node"],
    "openai-responses": ["openai_responses", "openai_responses_node"],
    "gemini": ["google", "google_node"],
    "cohere": ["cohere", "cohere_node"],
    "quirks": ["openai", "openai_node", "ai_sdk", "langchain", "litellm"],
}
# What a client is called, and the package whose version it has.
PACKAGES = {
    "openai": ("openai-python", "openai"),
    "openai_responses": ("openai-python", "openai"),
    "anthropic": ("anthropic-python", "anthropic"),
    "google": ("google-genai", "google-genai"),
    "cohere": ("cohere-python", "cohere"),
    "langchain": ("langchain-openai", "langchain-openai"),
    "litellm": ("litellm", "litellm"),
}
NODE_PACKAGES = {
    "openai_node": ("openai-node", "openai"),
    "openai_responses_node": ("openai-node", "openai"),
    "anthropic_node": ("anthropic-typescript", "@anthropic-ai/sdk"),
    "google_node": ("@google/genai", "@google/genai"),
    "cohere_node": ("cohere-ai", "cohere-ai"),
    "ai_sdk": ("Vercel AI SDK", "ai"),
}


def environment_of(name: str) -> str:
    """The environment that an adapter in Python runs in."""
    own = name.removesuffix("_responses")
    return own if own in PYTHON else "decoders"


def command(name: str, kind: str) -> list[str]:
    own = environment_of(name)
    for suffix, start in ((".py", [python(own)]), (".mjs", [node("node22")]), (".sh", [])):
        if (ADAPTERS / f"{name}_{kind}{suffix}").exists():
            folder = NODE_FOLDER / "adapters" if suffix == ".mjs" else ADAPTERS
            return [*start, str(folder / f"{name}_{kind}{suffix}")]
    raise FileNotFoundError(name)


def called(name: str) -> str:
    """Name and version of a client."""
    if name in PACKAGES:
        label, package = PACKAGES[name]
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        version = subprocess.run([python(environment_of(name)), "-c", code], capture_output=True, text=True).stdout
        return f"{label} {version.strip()}"
    if name in NODE_PACKAGES:
        label, package = NODE_PACKAGES[name]
        about = NODE_FOLDER / "node_modules" / package / "package.json"
        return f"{label} {json.loads(about.read_text())['version']}"
    if name == "curl":
        version = subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout.split()[1]
        return f"curl {version} and jq, in a pipe"
    return "a loop over urllib, line by line"


def judged(target: str, name: str, kind: str, *options: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words = [sys.executable, "-m", "sse_ref.conformance", target, *options, "--brief", "--json", str(report)]
        subprocess.run([*words, "--", *command(name, kind)], cwd=ROOT, env={**os.environ}, stdout=sys.stderr)
        whole = json.loads(report.read_text())
    program = whole["program"]
    bad = [r for r in whole["results"] if r["verdict"] in ("fail", "error")]
    return {
        "name": f"{program['name']} {program['version']}".strip(),
        "conformant": whole["conformant"],
        "counts": whole["counts"],
        "must": sum(r["level"] == "must" for r in bad),
        "should": sum(r["level"] == "should" for r in bad),
        "failed": {r["id"]: r["reason"][:160] for r in bad},
        "skipped": [r["id"] for r in whole["results"] if r["verdict"] == "skip"],
    }


def main() -> None:
    shutil.copytree(ADAPTERS, NODE_FOLDER / "adapters", dirs_exist_ok=True)
    only = sys.argv[1:]
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"decoder": {}, "client": {}}
    known["client"] = {profile: known["client"].get(profile, {}) for profile in CLIENTS}
    for name in DECODERS:
        if not only or f"{name}_decoder" in only:
            known["decoder"][name] = judged("decoder", name, "decoder", "--persistent")
            save(known)
    for profile, names in CLIENTS.items():
        for name in names:
            if not only or f"{name}_client" in only:
                # A whole SDK is loaded for each case, on a machine that may be busy.
                options = ("--profile", profile, "--jobs", "3", "--timeout-scale", "3", "--name", called(name))
                known["client"][profile][name] = judged("client", name, "client", *options)
                save(known)


def save(known: dict[str, object]) -> None:
    known["date"] = datetime.date.today().isoformat()
    RESULTS.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
