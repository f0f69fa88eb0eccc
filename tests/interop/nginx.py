"""nginx between a client and the server: as it comes, tuned for streams, and with buffering forced on it.

Prints a line of JSON for each check, as the scripts of the SDKs do. That something is not held back is shown without a
clock: the server stalls after some tokens, and they must come although nothing follows them.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from python_checks import last_record

# What stands in each server's "location", beside the address of the server behind it.
KINDS = {
    "as it comes": "",
    "tuned": "proxy_http_version 1.1; proxy_set_header Connection ''; proxy_buffering off; proxy_read_timeout 1h;",
    "buffering": "proxy_ignore_headers X-Accel-Buffering; proxy_buffer_size 64k; proxy_buffers 8 64k;",
}
PATIENCE = 15.0  # seconds; only a check that fails waits so long
TOKENS = " one two three four five six seven eight"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def nginx(url: str) -> Iterator[dict[str, int]]:
    """Run nginx in front of the server; yields the port of each kind."""
    behind = urlsplit(url).netloc
    ports = {kind: free_port() for kind in KINDS}
    servers = "\n".join(
        f"server {{ listen 127.0.0.1:{ports[kind]}; location / {{ proxy_pass http://{behind}; {more} }} }}"
        for kind, more in KINDS.items()
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = " ".join(f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = Path(folder) / "nginx.conf"
        config.write_text(
            f"daemon off; master_process off; pid nginx.pid; error_log stderr; events {{}}\n"
            f"http {{ access_log off; {paths}\n{servers}\n}}\n"
        )
        process = subprocess.Popen(["nginx", "-p", folder, "-c", str(config)], stderr=subprocess.PIPE)
        try:
            wait_for(lambda: opened(ports["tuned"], "/v1/models", None).status == 200)
            yield ports
        finally:
            process.terminate()
            process.communicate(timeout=10)


def opened(port: int, path: str, body: dict[str, Any] | None) -> http.client.HTTPResponse:
    """The response, when its head has come."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    data = None if body is None else json.dumps({"stream": True, **body})
    connection.request("GET" if data is None else "POST", path, data, {"Content-Type": "application/json"})
    return connection.getresponse()


def wait_for(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if holds():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("it did not come about")


def echoed(text: str, model: str = "toy-echo") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def read_until(response: http.client.HTTPResponse, part: bytes) -> bytes:
    received = b""
    while part not in received:
        more = response.read1(65536)
        assert more, f"the body ended without {part!r}: {received[-200:]!r}"
        received += more
    return received


# ---- The checks ------------------------------------------------------------------------------------------------------


def check_tokens_are_not_held_back(port: int, url: str) -> None:
    response = opened(port, "/fault=stall&at=3/v1/chat/completions", echoed(TOKENS))
    assert b" four" not in read_until(response, b" three")
    response.close()


def check_heartbeats_come_through(port: int, url: str) -> None:
    response = opened(port, "/heartbeat=0.05/v1/chat/completions", echoed("Hi", "toy-slow"))
    read_until(response, b": ")
    response.close()


def check_whole_stream_is_the_same(port: int, url: str) -> None:
    through, direct = (
        opened(at, "/v1/chat/completions", echoed(TOKENS * 50)).read() for at in (port, urlsplit(url).port or 80)
    )
    made_new = rb'"(id|created)":("[^"]*"|\d+)'
    assert re.sub(made_new, b"", through) == re.sub(made_new, b"", direct)
    assert through.endswith(b"data: [DONE]\n\n")


def check_leaving_reaches_the_model(port: int, url: str) -> None:
    response = opened(port, "/tps=20/v1/messages", {**echoed(TOKENS * 500), "max_tokens": 5000})
    read_until(response, b" two")
    response.close()
    wait_for(lambda: last_record(url)["outcome"] == "client_left")
    assert 0 < last_record(url)["left_at_token"] < 4000


def check_refusal_comes_with_its_headers(port: int, url: str) -> None:
    response = opened(port, "/fault=refuse/v1/chat/completions", echoed("Hi"))
    assert response.status == 429 and response.headers["Retry-After"] == "1"
    assert "error" in json.loads(response.read())


def check_buffered_tokens_come_at_the_end(port: int, url: str) -> None:
    """Told to buffer, it holds a short answer back whole: the server has sent it all before the first byte comes."""
    response = opened(port, "/tps=40/v1/chat/completions", echoed(TOKENS))
    assert last_record(url)["outcome"] == "complete"
    assert response.read().endswith(b"data: [DONE]\n\n")


def check_leaving_reaches_the_model_unread(port: int, url: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    body = json.dumps({"stream": True, **echoed(TOKENS * 500)})
    connection.request("POST", "/tps=20/v1/chat/completions", body, {"Content-Type": "application/json"})
    wait_for(lambda: last_record(url)["outcome"] == "open" and last_record(url)["tokens"] > 1)
    connection.close()
    wait_for(lambda: last_record(url)["outcome"] == "client_left")


STREAMS = [
    check_tokens_are_not_held_back,
    check_heartbeats_come_through,
    check_whole_stream_is_the_same,
    check_leaving_reaches_the_model,
    check_refusal_comes_with_its_headers,
]
BUFFERS = [
    check_buffered_tokens_come_at_the_end,
    check_whole_stream_is_the_same,
    check_leaving_reaches_the_model_unread,
    check_refusal_comes_with_its_headers,
]


def main() -> None:
    url = sys.argv[1]
    told = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr
    called = "nginx " + told.strip().rpartition("/")[2]
    with nginx(url) as ports:
        for kind, port in ports.items():
            for check in BUFFERS if kind == "buffering" else STREAMS:
                name = check.__name__.removeprefix("check_").replace("_", " ")
                problem = None
                try:
                    check(port, url)
                except Exception:
                    problem = traceback.format_exc()
                print(json.dumps({"check": f"{called}, {kind}: {name}", "problem": problem}), flush=True)


if __name__ == "__main__":
    main()
