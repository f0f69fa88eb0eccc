"""What ``make league`` judges, and how it is installed: ``make`` runs this file.

Libraries that disagree about what they need have an environment each. A version is named where an old one is judged beside
the newest; everything else is the newest that there is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".league-env"

PYTHON = {
    "decoders": [
        "aiohttp-sse-client2",
        "httpx",
        "httpx-sse",
        "launchdarkly-eventsource",
        "requests-sse",
        "sseclient-py",
    ],
    "anthropic": ["anthropic"],
    "cohere": ["cohere"],
    "google-genai": ["google-genai"],
    "groq": ["groq"],
    "huggingface": ["huggingface_hub"],
    "langchain": ["langchain-openai"],
    "litellm": ["litellm[proxy]"],
    "llm": ["llm"],
    "mistralai": ["mistralai"],
    "openai": ["openai"],
    "pydantic-ai": ["pydantic-ai-slim[openai]"],
    "together": ["together"],
    "encoders": [
        "aiohttp-sse",
        "datastar-py",
        "django-eventstream",
        "fastapi",
        "flask-sse",
        "litestar",
        "sse-starlette",
    ],
    "servers": [
        "aiohttp",
        "django",
        "fastapi",
        "flask",
        "gunicorn",
        "httptools",
        "hypercorn",
        "litestar",
        "quart",
        "sse-starlette",
        "uvicorn",
    ],
    "llmock": ["llmock"],
    "stubllm": ["stubllm"],
}
"""The environments for programs in Python, and what is in each."""

OLD = [
    "httpx-sse==0.2.0",
    "httpx-sse==0.3.1",
    "httpx-sse==0.4.0",
    "sseclient-py==1.7.2",
    "sseclient-py==1.8.0",
    "sseclient",
]
"""Packages with a folder of their own, because they share the name of a module."""

NODE = [
    "node@22",
    "@ai-sdk/anthropic",
    "@ai-sdk/cohere",
    "@ai-sdk/google",
    "@ai-sdk/openai",
    "@ai-sdk/openai-compatible",
    "@anthropic-ai/sdk",
    "@azure/core-sse",
    "@copilotkit/aimock",
    "@fastify/sse",
    "@google/genai",
    "@hono/node-server",
    "@huggingface/inference",
    "@langchain/core",
    "@langchain/openai",
    "@microsoft/fetch-event-source",
    "@mistralai/mistralai",
    "@nestjs/common",
    "@nestjs/core",
    "@xsai/stream-text",
    "ai",
    "better-sse",
    "cohere-ai",
    "event-source-plus",
    "event-source-polyfill",
    "event-stream-parser",
    "eventsource",
    "eventsource-1@npm:eventsource@1",
    "eventsource-2@npm:eventsource@2",
    "eventsource-3@npm:eventsource@3",
    "eventsource-4@npm:eventsource@4",
    "eventsource-client",
    "eventsource-encoder",
    "eventsource-parser",
    "eventsource-parser-2@npm:eventsource-parser@2",
    "express",
    "express-sse",
    "fastify",
    "fastify-sse-v2",
    "fetch-event-stream",
    "groq-sdk",
    "h3@2",
    "hono",
    "launchdarkly-eventsource",
    "openai",
    "parse-sse",
    "reflect-metadata",
    "rxjs",
    "@server-sent-stream/parser",
    "sse-channel",
    "sse-decoder",
    "sse.js",
    "together-ai",
    "undici",
]
"""The packages for programs in JavaScript."""

SYSTEM = {"firefox-esr": "firefox-esr", "nginx": "nginx", "haproxy": "haproxy", "caddy": "caddy", "apache2": "apache2"}
"""Commands that are no packages of a language, and the Debian packages that bring them."""


def python(name: str) -> str:
    return str(ENVIRONMENT / name / "bin" / "python")


def node() -> str:
    return str(ENVIRONMENT / "node" / "node_modules" / ".bin" / "node")


def old(package: str) -> Path:
    return ENVIRONMENT / "old" / package


def install(name: str) -> None:
    subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT / name], check=True)
    pip(name, *PYTHON[name])


def pip(name: str, *words: str) -> None:
    command = [python(name), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *words]
    subprocess.run(command, check=True)


def npm() -> None:
    folder = ENVIRONMENT / "node"
    words = ["npm", "install", "--prefix", folder, "--loglevel=error", "--no-audit", "--no-fund", "--legacy-peer-deps"]
    subprocess.run([*words, "node@22"], check=True)
    path = f"{folder / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([*words, *NODE], check=True, env={**os.environ, "PATH": path})


def main() -> None:
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    missing = [package for command, package in SYSTEM.items() if not shutil.which(command)]
    if missing:
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=True)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(npm), *(pool.submit(install, name) for name in PYTHON)]
        for job in jobs:
            job.result()
    for package in OLD:
        pip("decoders", "--no-deps", "--target", str(old(package)), package)


if __name__ == "__main__":
    main()
