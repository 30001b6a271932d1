"""A model server for benchmarks: fixed answers, as little CPU as a process can spend on them.

    python benchmarks/stub_model.py --port 9001 --delay-ms 50 --chunks 8

Speaks just enough HTTP/1.1 (keep-alive, Content-Length bodies) for POST /v1/chat/completions.
The delay passes before the first piece; then all pieces follow at once, in separate chunks, or
spread over `--spread-ms`. Prints `ready <port>` once it listens, ends on SIGTERM or SIGINT.
`GET /` answers the number of requests served.
"""

import argparse
import asyncio
import json
import signal
from typing import cast

import uvloop

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
WORDS = ["This", " is", " a", " short", " answer", " of", " the", " stub", " model", "."]


def framed(event: bytes) -> bytes:
    """One event as one chunk of the body."""
    data = b"data: " + event + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    """One piece of an answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": "stub",
            "choices": [choice],
        }
    ).encode()


def answer(chunks: int) -> list[bytes]:
    """The whole answer, piece by piece; the last one ends the body."""
    texts = [WORDS[at % len(WORDS)] for at in range(chunks)]
    pieces = [framed(chunk({"content": text})) for text in texts]
    usage = {"prompt_tokens": 20, "completion_tokens": chunks, "total_tokens": 20 + chunks}
    end = framed(chunk({}, "stop")) + framed(json.dumps({"choices": [], "usage": usage}).encode())
    return [*pieces, end + framed(b"[DONE]") + b"0\r\n\r\n"]


class Server:
    """What all connections share."""

    def __init__(self, *, chunks: int, delay_seconds: float, spread_seconds: float) -> None:
        self.pieces = answer(chunks)
        self.whole = HEAD + b"".join(self.pieces)
        self.delay_seconds = delay_seconds
        self.pause_seconds = spread_seconds / max(1, chunks)
        self.served = 0


class Connection(asyncio.Protocol):
    """One client; requests are answered one after the other."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._buffer[:head_end].lower()
        at = head.find(b"\r\ncontent-length:")
        length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < head_end + 4 + length:
            return
        self._buffer = self._buffer[head_end + 4 + length :]
        if head.startswith(b"get "):
            self._count()
        else:
            self._loop.call_later(self._server.delay_seconds, self._answer, 0)

    def _count(self) -> None:
        assert self._transport is not None
        body = b'{"served":%d}' % self._server.served
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % len(body) + body)

    def _answer(self, at: int) -> None:
        server, transport = self._server, self._transport
        if transport is None:
            return
        if not server.pause_seconds:
            server.served += 1
            transport.write(server.whole)
            return
        transport.write(HEAD + server.pieces[0] if at == 0 else server.pieces[at])
        if at + 1 < len(server.pieces):
            self._loop.call_later(server.pause_seconds, self._answer, at + 1)
        else:
            server.served += 1


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay-ms", type=float, default=50.0)
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--spread-ms", type=float, default=0.0)
    options = parser.parse_args()
    server = Server(
        chunks=options.chunks,
        delay_seconds=options.delay_ms / 1000,
        spread_seconds=options.spread_ms / 1000,
    )
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopped.set)
    listener = await loop.create_server(lambda: Connection(server), "127.0.0.1", options.port)
    print(f"ready {listener.sockets[0].getsockname()[1]}", flush=True)
    await stopped.wait()
    listener.close()


if __name__ == "__main__":
    uvloop.run(main())
