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
CLIENTS = ["openai", "openai_node", "ai_sdk", "langchain", "litellm", "curl", "urllib"]
PACKAGES = {"openai": "openai", "langchain": "langchain-openai", "litellm": "litellm"}
NODE_PACKAGES = {"openai_node": "openai", "ai_sdk": "ai"}


def command(name: str, kind: str) -> list[str]:
    own = name if name in PYTHON else "decoders"
    for suffix, start in ((".py", [python(own)]), (".mjs", [node("node22")]), (".sh", [])):
        if (ADAPTERS / f"{name}_{kind}{suffix}").exists():
            folder = NODE_FOLDER / "adapters" if suffix == ".mjs" else ADAPTERS
            return [*start, str(folder / f"{name}_{kind}{suffix}")]
    raise FileNotFoundError(name)


def called(name: str) -> str:
    """Name and version of a client."""
    if name in PACKAGES:
        code = f"import importlib.metadata as m; print(m.version({PACKAGES[name]!r}))"
        version = subprocess.run([python(name), "-c", code], capture_output=True, text=True).stdout
        return f"{'openai-python' if name == 'openai' else PACKAGES[name]} {version.strip()}"
    if name in NODE_PACKAGES:
        package = NODE_FOLDER / "node_modules" / NODE_PACKAGES[name] / "package.json"
        label = {"openai_node": "openai-node", "ai_sdk": "Vercel AI SDK"}[name]
        return f"{label} {json.loads(package.read_text())['version']}"
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
    for name in DECODERS:
        if not only or f"{name}_decoder" in only:
            known["decoder"][name] = judged("decoder", name, "decoder", "--persistent")
            save(known)
    for name in CLIENTS:
        if not only or f"{name}_client" in only:
            # A whole SDK is loaded for each case, on a machine that may be busy.
            options = ("--jobs", "3", "--timeout-scale", "3", "--name", called(name))
            known["client"][name] = judged("client", name, "client", *options)
            save(known)


def save(known: dict[str, object]) -> None:
    known["date"] = datetime.date.today().isoformat()
    RESULTS.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
