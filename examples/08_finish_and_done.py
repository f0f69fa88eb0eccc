"""The end. Which of three signs says that an answer is whole: finish reason, [DONE], or the end of the body?

    python examples/08_finish_and_done.py

You will see four streams, and which of the signs each had. The finish reason decides. It says why the model stopped:
"stop", that it was done; "length", that the stream is whole but the answer was shortened by max_tokens; "tool_calls", that
the model wants something done; and elsewhere "content_filter", that the provider kept the rest back. [DONE] says only that
the stream is over, and the end of the body that the connection is: the last stream ends as HTTP says, nothing reports an
error, and it is half an answer.
"""

import json

import lesson

from sse_ref.client import ChatStream, StreamError

TOOL = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}
CASES = {
    "an answer": ({}, ""),
    "max_tokens is 4": ({"max_tokens": 4}, ""),
    "a tool is called": ({"tools": [TOOL], "tool_choice": "required"}, ""),
    "an early end": ({}, "/fault=end&at=3"),
}

print(f"{'':17} {'finish reason':14} {'[DONE]':7} text")
with lesson.server() as url:
    for name, (fields, settings) in CASES.items():
        message = [{"role": "user", "content": "one two three four five"}]
        body = {"model": "toy-echo", "stream": True, "messages": message, **fields}
        data = []
        stream = ChatStream(body, url=url + settings + "/v1", on_event=lambda event, data=data: data.append(event.data))
        try:
            for _ in stream:
                pass
            verdict = "whole"
        except StreamError as error:
            verdict = f"NOT WHOLE: {error}"
        chunks = [json.loads(text) for text in data if text != "[DONE]"]
        reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
        print(f"{name:17} {reasons[-1]!s:14} {'yes' if '[DONE]' in data else 'no':7} {stream.text!r}, {verdict}")
