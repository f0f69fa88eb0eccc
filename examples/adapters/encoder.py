"""An encoder of five lines, as an example of an adapter. It knows no more than it shows: run the judge over it."""

import json
import sys

for line in sys.stdin:
    request = json.loads(line)
    text = ""
    for event in request.get("events", []):
        fields = [(name, event[name]) for name in ("event", "id", "retry", "data") if event.get(name) is not None]
        text += "".join(f"{name}: {value}\n" for name, value in fields) + "\n"
    print(json.dumps({"id": request.get("id"), "bytes": text.encode("utf-8", "replace").hex()}), flush=True)
