"""A decoder of ten lines, as an example of an adapter. It knows no more than it shows: run the judge over it."""

import json
import sys

for line in sys.stdin:
    request = json.loads(line)
    text = bytes.fromhex("".join(request.get("chunks", []))).decode("utf-8", "replace")
    blocks = [block.splitlines() for block in text.replace("\r\n", "\n").split("\n\n")[:-1]]
    datas = [[line[5:].removeprefix(" ") for line in block if line.startswith("data:")] for block in blocks]
    events = [{"data": "\n".join(lines)} for lines in datas if lines]
    print(json.dumps({"id": request.get("id"), "events": events, "retry": None}), flush=True)
