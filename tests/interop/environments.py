"""The environments of ``make interop``, and what is in each: ``make`` runs this file to install them.

Each SDK has an environment of its own, so none keeps another from its newest version. No version is pinned: pip takes the
newest that there is, and npm the newest that admits the Node.js it runs on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".interop-env"

PYTHON = {
    "openai": ["openai"],
    "anthropic": ["anthropic"],
    "cohere": ["cohere"],
    "google": ["google-genai"],
    "langchain": ["langchain", "langchain-openai", "langchain-anthropic"],
    "litellm": ["litellm"],
    "mistral": ["mistralai"],
}
# The package that brings a Node.js; None is the Node.js of the system.
NODE = {"node20": None, "node22": "node@22"}
NODE_PACKAGES = [
    "@ai-sdk/anthropic",
    "@ai-sdk/cohere",
    "@ai-sdk/google",
    "@ai-sdk/mistral",
    "@ai-sdk/openai",
    "@ai-sdk/openai-compatible",
    "@anthropic-ai/sdk",
    "@google/genai",
    "@mistralai/mistralai",
    "ai",
    "cohere-ai",
    "eventsource",
    "eventsource-parser",
    "openai",
    "playwright-core",
    "undici",
    "zod",
]


def python(name: str) -> str:
    return str(ENVIRONMENT / name / "bin" / "python")


def node(name: str) -> str:
    return str(ENVIRONMENT / name / "node_modules" / ".bin" / "node") if NODE[name] else "node"


def main() -> None:
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    for name, packages in PYTHON.items():
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT / name], check=True)
        pip = [python(name), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
    for name, runtime in NODE.items():
        folder = ENVIRONMENT / name
        npm = ["npm", "install", "--prefix", folder, "--loglevel=error", "--no-audit", "--no-fund"]
        if runtime:
            subprocess.run([*npm, runtime], check=True)
        # npm itself runs on the Node.js that it finds first.
        path = f"{folder / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"
        subprocess.run([*npm, *NODE_PACKAGES], check=True, env={**os.environ, "PATH": path})


if __name__ == "__main__":
    main()
