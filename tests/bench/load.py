"""The load: many streams at once on one loop, and what each of them saw. Its own process, so that it has its own core.

Prints one JSON object: events, seconds, the times to first token, and, for paced streams, how late each event was.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import statistics
import time

WIRES = {"openai": ("/v1/chat/completions", b"data: [DONE]"), "anthropic": ("/v1/messages", b'"message_stop"')}

TOKEN = " word"  # one for the toy tokenizer, and in no event that is not about it
FIRST = b"word"


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
        self.events = 0
        self.arrivals: list[float] = []
        self.tail = b""


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
        print(json.dumps({"first_token_p50_ms": one_by_one(options.port, options.one_by_one, options.wire)}))
        return

    message, end = request(options.wire, options.tokens), WIRES[options.wire][1]
    selector = selectors.DefaultSelector()
    began = time.perf_counter()
    for _ in range(options.streams):
        sock = socket.create_connection(("127.0.0.1", options.port))
        client = Client()
        client.asked = time.perf_counter()
        sock.sendall(message)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, client)
    connected = time.perf_counter() - began
    clients = [key.data for key in selector.get_map().values()]
    if options.hold:
        print(json.dumps({"streams": len(clients)}), flush=True)
        time.sleep(options.hold)
        return
    open_streams = options.streams
    buffer = bytearray(2**18)  # one for all: a new one for each read would cost more than the reading
    while open_streams and time.perf_counter() - began < options.limit:
        for key, _ in selector.select(1.0):
            size = key.fileobj.recv_into(buffer)  # type: ignore[union-attr]
            client, now = key.data, time.perf_counter()
            count = buffer.count(b"data: ", 0, size)  # one send is one event, and reads rarely cut one
            if client.first is None and buffer.find(FIRST, 0, size) >= 0:
                client.first = now
            client.events += count
            if options.tps:
                client.arrivals.extend([now] * count)
            client.tail = (client.tail + buffer[max(0, size - 40) : size])[-40:]
            if not size or end in client.tail:
                selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
                open_streams -= 1
    seconds = time.perf_counter() - began
    firsts = sorted(client.first - client.asked for client in clients if client.first)
    result = {
        "streams": options.streams,
        "unfinished": open_streams,
        "events": sum(client.events for client in clients),
        "seconds": seconds,
        "connect_seconds": connected,
        "first_token_p50_ms": 1000 * statistics.median(firsts) if firsts else None,
        "first_token_max_ms": 1000 * firsts[-1] if firsts else None,
    }
    if options.tps:
        result["lateness_p50_ms"], result["lateness_p99_ms"] = lateness(clients, options.tps)
    print(json.dumps(result))


def one_by_one(port: int, count: int, wire: str) -> float:
    """The median time to the first token, in milliseconds, with nothing else going on."""
    message = request(wire, 5)
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


def lateness(clients: list[Client], tps: float) -> tuple[float, float]:
    """How late events were against the pace, counted from each stream's own earliest schedule."""
    late = []
    for client in clients:
        # The first event gives the role and comes with the second, the first token; the last two end the stream.
        times = client.arrivals[1:-2]
        due = [number / tps for number in range(len(times))]
        start = min(time - offset for time, offset in zip(times, due, strict=True))
        late += [1000 * (time - start - offset) for time, offset in zip(times, due, strict=True)]
    late.sort()
    return late[len(late) // 2], late[int(len(late) * 0.99)]


if __name__ == "__main__":
    main()
