"""The decoder that most tutorials show, as a program that the judge can run. exercises.md starts from it.

    python -m sse_ref.conformance decoder --brief -- python examples/naive_decoder.py

It splits each read at blank lines and takes what follows "data: ". It works in every demonstration.
"""

import json
import sys


class Decoder:
    def feed(self, chunk):
        """Take the next bytes of the stream, and return the events that they complete."""
        events = []
        for block in chunk.decode().split("\n\n"):
            if block.startswith("data: "):
                events.append({"data": block[6:].strip()})
        return events


# ---- From here on it is the protocol: a line of JSON in, a line of JSON out ------------------------------------------


def main():
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] != "decode":
            print(json.dumps({"name": "naive decoder", "version": "1"}), flush=True)
            continue
        decoder, events = Decoder(), []
        try:
            for number, chunk in enumerate(request["chunks"]):
                events += [{**event, "chunk": number} for event in decoder.feed(bytes.fromhex(chunk))]
            answer = {"events": events, "retry": None}
            for name in ("retry", "last_event_id"):  # told only if the decoder knows them
                if hasattr(decoder, name):
                    answer[name] = getattr(decoder, name)
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps({"id": request["id"], **answer}), flush=True)


if __name__ == "__main__":
    main()
