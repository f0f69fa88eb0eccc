"""Other providers. What changes with another wire, and what does not?

    python examples/22_anthropic_events.py

A stream in the manner of Anthropic's Messages API, cut into pieces of 100 bytes. You will see the very same decoder at
work; only what is made of the events differs. Here every event has a type; there are pings; the text comes in blocks that
start and stop; the end is an event of its own, and there is no [DONE]. New types may appear at any time, and must be
passed over.
"""

import json

import lesson  # finds sse_ref

from sse_ref import encode_event, iter_events


def event(kind, **fields):
    return encode_event(json.dumps({"type": kind, **fields}), event=kind)


WIRE = b"".join(
    [
        event("message_start", message={"role": "assistant", "content": [], "usage": {"input_tokens": 9}}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("ping"),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "It rains "}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "in Bergen."}),
        event("content_block_stop", index=0),
        event("something_new", detail="that this program has never heard of"),
        event("content_block_start", index=1, content_block={"type": "tool_use", "name": "get_time", "input": {}}),
        event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"city": '}),
        event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '"Bergen"}'}),
        event("content_block_stop", index=1),
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 21}),
        event("message_stop"),
    ]
)

blocks, stop_reason, whole = {}, None, False
for dispatched in iter_events(WIRE[at : at + 100] for at in range(0, len(WIRE), 100)):
    fields = json.loads(dispatched.data)
    match dispatched.event:
        case "content_block_start":
            blocks[fields["index"]] = [fields["content_block"].get("name", "text"), ""]
        case "content_block_delta":
            blocks[fields["index"]][1] += fields["delta"].get("text", "") + fields["delta"].get("partial_json", "")
        case "message_delta":
            stop_reason = fields["delta"]["stop_reason"]
        case "message_stop":
            whole = True
        case "error":
            raise SystemExit(fields["error"]["message"])
    print(f"{dispatched.event:20} {blocks}")
print(f"stop reason {stop_reason}, whole: {whole}, arguments {json.loads(blocks[1][1])}")
