"""asyncio. What changes in the codec, if nothing may block?

    python examples/25_asyncio.py

Nothing. The decoder takes bytes and returns events, and does not care who waits for the bytes. You will see what three
streams brought to one thread, interleaved, listed here by stream; then one that is cancelled: cancelling the task closes
the connection, and the server stops.
"""

import asyncio
import contextlib
import json
import urllib.parse

import lesson

from sse_ref import SSEDecoder


async def deltas(url, prompt):
    """HTTP/1.0, so that the body needs no unpacking: it ends with the connection; a finish reason tells if it is whole."""
    parts = urllib.parse.urlsplit(url)
    body = json.dumps({"model": "toy-echo", "stream": True, "messages": [{"role": "user", "content": prompt}]}).encode()
    head = f"POST /v1/chat/completions?tps=20 HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(head.encode() + body)
        status = await reader.readline()
        assert b" 200 " in status, status
        await reader.readuntil(b"\r\n\r\n")
        decoder, whole = SSEDecoder(), False
        while data := await reader.read(65536):
            for event in decoder.feed(data):
                if event.data == "[DONE]":
                    continue
                chunk = json.loads(event.data)
                if "error" in chunk:
                    raise RuntimeError(chunk["error"]["message"])
                for choice in chunk["choices"]:
                    whole = whole or choice["finish_reason"] is not None
                    if text := choice["delta"].get("content"):
                        yield event.data, text
        if not whole:
            raise EOFError("the stream was cut")
    finally:
        writer.close()


async def collect(url, prompt, seen):
    async with contextlib.aclosing(deltas(url, prompt)) as stream:
        async for chunk, text in stream:
            seen.append((json.loads(chunk)["id"], text, chunk))


async def main(url):
    seen = []
    await asyncio.gather(*(collect(url, f"{name} 1 2 3", seen) for name in ("red", "green", "blue")))
    names = {text: id for id, text, _ in seen if text in ("red", "green", "blue")}
    for name, id in sorted(names.items()):
        print(name, [text for other, text, _ in seen if other == id])
    switches = sum(one[0] != two[0] for one, two in zip(seen, seen[1:]))
    print("interleaved:", switches > 3)

    seen.clear()
    task = asyncio.create_task(collect(url, "word " * 100, seen))
    while len(seen) < 3:
        await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    record = await asyncio.to_thread(lesson.journal, url, seen[0][2])
    print(f"cancelled after {len(seen)} tokens; the server: {record['outcome']} at token ~{record['left_at_token']}")


with lesson.server() as url:
    asyncio.run(main(url))
