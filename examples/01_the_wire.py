"""The wire. What does a streamed answer look like, byte by byte?

    python examples/01_the_wire.py

A request is written to a bare socket, and every byte of the answer is printed, with its line ends visible. You will see
the head of an HTTP response, then the body in chunks: a size in hexadecimal, the bytes, a line end. In each chunk is one
event: "data: ", JSON on one line, a blank line. The last event says [DONE]; the last chunk has size 0.
"""

import json
import socket
import urllib.parse

import lesson

body = json.dumps({"model": "toy-echo", "stream": True, "messages": [{"role": "user", "content": "Hello there"}]})
request = (
    "POST /v1/chat/completions HTTP/1.1\r\n"
    "Host: localhost\r\n"
    "Content-Type: application/json\r\n"
    f"Content-Length: {len(body)}\r\n"
    "Connection: close\r\n"
    f"\r\n{body}"
)

with lesson.server() as url:
    parts = urllib.parse.urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall(request.encode())
        received = b""
        while data := connection.recv(4096):
            received += data

for line in received.splitlines(keepends=True):
    print(repr(line)[2:-1])
