"""Stream or wait. When is streaming the wrong thing?

    python examples/24_stream_or_wait.py

When nobody reads along. You will see what the same answer costs both ways: streamed it takes more than thirty times the
bytes, and if the model fails, half of it has been shown already. Whole, it is one object with a status, and can be asked
for again without anybody noticing. examples/README.md has the table that decides.
"""

import json
import urllib.error
import urllib.request

import lesson

from sse_ref.client import ChatStream, StreamError, Watcher


class Bytes(Watcher):
    count = 0

    def piece(self, data):
        self.count += len(data)


def whole(url, settings=""):
    body = {"model": "toy", "messages": [{"role": "user", "content": "Tell me a story"}]}
    request = urllib.request.Request(
        f"{url}{settings}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return answer.read()


with lesson.server() as url:
    counted = Bytes()
    with ChatStream("Tell me a story", url=url + "/tps=0&ttft=0/v1", watcher=counted) as stream:
        for _ in stream:
            pass
    answer = whole(url, "/tps=0&ttft=0")
    assert json.loads(answer)["choices"][0]["message"]["content"] == stream.text
    print(f"text      {len(stream.text)} characters")
    print(f"streamed  {counted.count} bytes, ~{counted.count / len(answer):.0f} times those of the whole answer")
    print(f"whole     {len(answer)} bytes, one JSON object")

    broken = "/fault=error&at=60&tps=0&ttft=0"
    try:
        with ChatStream("Tell me a story", url=url + broken + "/v1") as stream:
            for _ in stream:
                pass
    except StreamError as error:
        print(f"streamed, and it fails: {error.outcome}, after {len(error.text)} characters were shown")
    try:
        whole(url, broken)
    except urllib.error.HTTPError as error:
        print(f"whole, and it fails:    status {error.code}, nothing shown; asked again: {len(whole(url))} bytes")
