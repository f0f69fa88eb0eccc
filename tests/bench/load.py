"""The load: many streams at once on one loop, and what each of them saw. Its own process, so that it has its own core.

All connections are open before the first request is sent, and the clock starts then: a queue that is too short for so many
connections at once is not what is measured. A stream has ended when its last event has come, and then every token must be
there. Prints one JSON object: tokens, seconds, the times to first token, and, for paced streams, how late each token was.
"""

from __future__ import annotations

import argparse
import json
import resource
import selectors
import socket
import statistics
import sys
import time

WIRES = {"openai": ("/v1/chat/completions", b"data: [DONE]"), "anthropic": ("/v1/messages", b'"message_stop"')}

TOKEN = " word"  # one for the toy tokenizer, and in no event that is not about it
FIRST = b"word"
TAIL = 40  # bytes: the last event of a stream is told by them


def request(wire: str, tokens: int) -> bytes:
    path = WIRES[wire][0]
    messages = [{"role": "user", "content": TOKEN * tokens}]
    body = json.dumps({"model": "toy-echo", "stream": True, "max_tokens": tokens, "messages": messages}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nanthropic-version: 2023-06-01\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Client:
    def __init__(self) -> None:
        self.asked = 0.0
        self.first: float | None = None
        self.tokens = 0
        self.arrivals: list[float] = []
        self.tail = b""

    def take(self, data: memoryview, now: float) -> int:
        """Note what has come, and return how many tokens begin in it. A read may end inside of one."""
        edge = len(FIRST) - 1
        text = self.tail[-edge:] + data
        count = text.count(FIRST)
        if count and self.first is None:
            self.first = now
        self.tokens += count
        self.tail = (self.tail + data[-TAIL:])[-TAIL:]
        return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--wire", choices=WIRES, default="openai")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--tps", type=float, default=0.0, help="the pace the server was given, to judge lateness by")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds after which to give up")
    parser.add_argument(
        "--one-by-one", type=int, default=0, metavar="N", help="N short streams, each on a new connection"
    )
    parser.add_argument(
        "--hold", type=float, default=0.0, metavar="S", help="only open the streams, and hold them S seconds"
    )
    options = parser.parse_args()
    if options.one_by_one:
        first = one_by_one(options.port, options.one_by_one, request(options.wire, options.tokens), options.wire)
        print(json.dumps({"first_token_p50_ms": first}))
        return

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    message, end = request(options.wire, options.tokens), WIRES[options.wire][1]
    selector = selectors.DefaultSelector()
    clients: dict[socket.socket, Client] = {}
    for _ in range(options.streams):
        clients[socket.create_connection(("127.0.0.1", options.port))] = Client()
    began = time.perf_counter()
    for sock, client in clients.items():
        client.asked = time.perf_counter()
        sock.sendall(message)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, client)
    if options.hold:
        print(json.dumps({"streams": len(clients)}), flush=True)
        time.sleep(options.hold)
        return
    open_streams = options.streams
    buffer = memoryview(bytearray(2**18))  # one for all: a new one for each read would cost more than the reading
    while open_streams and time.perf_counter() - began < options.limit:
        for key, _ in selector.select(1.0):
            size = key.fileobj.recv_into(buffer)  # type: ignore[union-attr]
            client, now = key.data, time.perf_counter()
            if not size:
                sys.exit(f"a stream ended early, after {client.tokens} of {options.tokens} tokens")
            count = client.take(buffer[:size], now)
            if options.tps:
                client.arrivals.extend([now] * count)
            if end in client.tail:
                if client.tokens != options.tokens:
                    sys.exit(f"a stream has {client.tokens} tokens, and {options.tokens} were asked for")
                selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
                open_streams -= 1
    seconds = time.perf_counter() - began
    firsts = [client.first - client.asked for client in clients.values() if client.first]
    result = {
        "streams": options.streams,
        "unfinished": open_streams,
        "tokens": sum(client.tokens for client in clients.values()),
        "seconds": seconds,
        "first_token_p50_ms": 1000 * statistics.median(firsts) if firsts else None,
    }
    if options.tps:
        result["lateness_p99_ms"] = lateness(list(clients.values()), options.tps)
    print(json.dumps(result))


def one_by_one(port: int, count: int, message: bytes, wire: str) -> float:
    """The median time to the first token, in milliseconds, with nothing else going on."""
    times = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        asked = time.perf_counter()
        sock.sendall(message)
        received = sock.recv(65536)
        while FIRST not in received:
            received += some(sock)
        times.append(1000 * (time.perf_counter() - asked))
        while WIRES[wire][1] not in received:
            received += some(sock)
        sock.close()
    return statistics.median(times)


def some(sock: socket.socket) -> bytes:
    """What has come; a server that ends a stream early ends the run."""
    data = sock.recv(65536)
    assert data, "the stream ended early"
    return data


def lateness(clients: list[Client], tps: float) -> float:
    """How many milliseconds late 99 of 100 tokens were at most, counted from each stream's own earliest schedule."""
    late = []
    for client in clients:
        due = [number / tps for number in range(len(client.arrivals))]
        start = min(time - offset for time, offset in zip(client.arrivals, due, strict=True))
        late += [1000 * (time - start - offset) for time, offset in zip(client.arrivals, due, strict=True)]
    late.sort()
    return late[int(len(late) * 0.99)]


if __name__ == "__main__":
    main()
