"""The end. Which of the three signs says that an answer is whole?

    python examples/08_finish_and_done.py

You will see answers end for three reasons. The finish reason says why the model stopped: "length" means that it was cut
off by max_tokens, "tool_calls" that it wants something done. [DONE] says that the stream is over, and the end of the body
only that the connection is. The last answer has neither of the first two: it is not whole, although nothing failed.
"""

import json

import lesson

from sse_ref.client import ChatStream, StreamError

TOOL = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}
CASES = {
    "stop": ({}, ""),
    "length": ({"max_tokens": 4}, ""),
    "tool_calls": ({"tools": [TOOL], "tool_choice": "required"}, ""),
    "cut by a fault": ({}, "?fault=end&at=3"),
}

with lesson.server() as url:
    for name, (fields, query) in CASES.items():
        message = [{"role": "user", "content": "one two three four five"}]
        body = {"model": "toy-echo", "stream": True, "messages": message, **fields}
        data = []
        stream = ChatStream(body, url=url + "/v1" + query, on_event=lambda event, data=data: data.append(event.data))
        try:
            for _ in stream:
                pass
        except StreamError as error:
            print(f"{name}: {type(error).__name__}: {error}")
        last = [json.loads(text)["choices"][0]["finish_reason"] for text in data if text != "[DONE]"][-1]
        print(
            f"{name}: text {stream.text!r}, finish reason {last!r}, [DONE] {'[DONE]' in data}, outcome {stream.outcome}"
        )
