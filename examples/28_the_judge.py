"""The judge. How far is the decoder of the tutorials from the standard, and what brings it nearer?

    python examples/28_the_judge.py

Four decoders are run through the corpus of the package (all of it but size/* and linear/*, which test patience): the one
of the tutorials, the same with a buffer, one that also knows the fields, and codec.py. You will see how many of the
vectors each passes, and the first that it fails. exercises.md goes on from there, and `python -m sse_ref.conformance
decoder` judges a decoder of your own.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import lesson  # finds sse_ref
import naive_decoder


class Keeping(naive_decoder.Decoder):
    """Keeps what a read has cut, until its blank line comes."""

    buffer = b""

    def feed(self, chunk):
        *blocks, self.buffer = (self.buffer + chunk).split(b"\n\n")
        events = []
        for block in blocks:
            events += super().feed(block + b"\n\n")
        return events


class Fields(Keeping):
    """Knows all four fields, several data lines, comments, and that only one space goes."""

    def __init__(self):
        self.data, self.type, self.id, self.last_event_id, self.retry = [], "", "", "", None

    def feed(self, chunk):
        *lines, self.buffer = (self.buffer + chunk).split(b"\n")
        self.events = []
        for line in lines:
            self.take(line.decode())
        return self.events

    def take(self, line):
        if not line:
            self.last_event_id = self.id
            if self.data:
                self.events.append({"data": "\n".join(self.data), "event": self.type or "message", "id": self.id})
            self.data, self.type = [], ""
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self.data.append(value)
        elif field == "event":
            self.type = value
        elif field == "id" and "\0" not in value:
            self.id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)


def judged(*command):
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words = ["-m", "sse_ref.conformance", "decoder", "--persistent", "--json", str(report), *GROUPS, "--", *command]
        subprocess.run([sys.executable, *words], cwd=Path(__file__).parents[1], capture_output=True, timeout=300)
        return json.loads(report.read_text())["results"]


GROUPS = ["framing/*", "chunks/*", "field/*", "data/*", "event/*", "id/*", "retry/*", "comment/*", "eol/*", "not-eol/*"]
GROUPS += ["eof/*", "bom/*", "utf8/*", "llm/*", "prompt/*"]
STEPS = {"naive": naive_decoder.Decoder, "keeping": Keeping, "fields": Fields}

if len(sys.argv) > 1 and sys.argv[1] in STEPS:  # the judge runs this very file as the decoder under test
    naive_decoder.Decoder = STEPS[sys.argv[1]]
    naive_decoder.main()
else:
    commands = {name: [sys.executable, __file__, name] for name in STEPS}
    commands["codec.py"] = [sys.executable, "-m", "sse_ref.conformance.reference", "decoder"]
    for name, command in commands.items():
        results = judged(*command)
        failed = [result for result in results if result["verdict"] not in ("pass", "skip")]
        passed = sum(result["verdict"] == "pass" for result in results)
        first = f"; first: {failed[0]['id']}, {failed[0]['title']}" if failed else ""
        print(f"{name:9} {'█' * (passed // 8):36} {passed:3} of {len(results)} pass{first}")
