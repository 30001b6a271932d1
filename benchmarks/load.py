"""The platform's side: signed DingTalk callbacks in, replies by sessionWebhook back, both timed.

A small HTTP client and server of its own on asyncio protocols, so that the generator costs far
less than what it measures. It prints one JSON object.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import time

import uvloop


class Client(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self.buffer = b""
        self.answer: asyncio.Future[int] | None = None

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(rest) >= length:
            self.buffer = rest[length:]
            self.answer.set_result(int(head[9:12]))

    def connection_lost(self, error) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(ConnectionError("closed by the server"))

    async def post(self, raw: bytes) -> int:
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(raw)
        return await self.answer


class Sink(asyncio.Protocol):
    """Takes replies at /r/<n> and notes when they came."""

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.buffer = b""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            path = head.split(b" ", 2)[1]
            self.load.replied(int(path.rsplit(b"=", 1)[1]))
            body = b'{"errcode":0,"errmsg":"ok"}'
            self.transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                % len(body)
                + body
            )


class Load:
    def __init__(self, options) -> None:
        self.o = options
        self.sent: dict[int, float] = {}
        self.acks: list[float] = []
        self.ends: list[float] = []
        self.errors = 0
        self.doubled = 0
        self.slots: asyncio.Semaphore | None = None
        self.all_back = asyncio.Event()

    def replied(self, n: int) -> None:
        at = self.sent.pop(n, None)
        if at is None:
            self.doubled += 1
            return
        self.ends.append(time.perf_counter() - at)
        if self.slots is not None:
            self.slots.release()
        if not self.sent:
            self.all_back.set()

    def request(self, n: int) -> bytes:
        stamp = str(int(time.time() * 1000))
        key = self.o.secret.encode()
        digest = hmac.new(key, stamp.encode() + b"\n" + key, hashlib.sha256).digest()
        user = f"u{self.o.run}-{n % self.o.users}"  # each run has conversations of its own
        body = json.dumps(
            {
                "conversationId": f"cid{user}",
                "chatbotCorpId": "ding1",
                "chatbotUserId": "bot",
                "msgId": f"m{self.o.run}-{n}",
                "senderNick": user,
                "senderStaffId": user,
                "senderCorpId": "ding1",
                "senderId": f"$:{user}",
                "conversationType": "1",
                "sessionWebhook": f"{self.sink}/robot/sendBySession?session={n}",
                "sessionWebhookExpiredTime": int(time.time() * 1000) + 5_400_000,
                "createAt": int(stamp),
                "robotCode": "bench",
                "msgtype": "text",
                "text": {"content": f"What is the disk usage of host {n}?"},
            }
        ).encode()
        head = (
            f"POST /api/message/dingtalk HTTP/1.1\r\nhost: x\r\ntimestamp: {stamp}\r\n"
            f"sign: {base64.b64encode(digest).decode()}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def one(self, n: int, pool: asyncio.Queue) -> None:
        client = await pool.get()
        try:
            self.sent[n] = at = time.perf_counter()
            status = await client.post(self.request(n))
            self.acks.append(time.perf_counter() - at)
            if status not in (200, 202):
                self.errors += 1
                self.sent.pop(n, None)
                if self.slots is not None:
                    self.slots.release()
        finally:
            pool.put_nowait(client)

    async def run(self) -> dict:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Sink(self), "127.0.0.1", self.o.sink_port)
        self.sink = f"http://127.0.0.1:{self.o.sink_port}"
        pool: asyncio.Queue = asyncio.Queue()
        for _ in range(self.o.connections):
            _, client = await loop.create_connection(Client, "127.0.0.1", self.o.port)
            pool.put_nowait(client)
        started = time.perf_counter()
        limit = 600 if self.o.turns else self.o.seconds + 60
        async with asyncio.timeout(limit), asyncio.TaskGroup() as group:
            if self.o.rate:
                for n in range(int(self.o.rate * self.o.seconds)):
                    wait = started + n / self.o.rate - time.perf_counter()
                    if wait > 0:
                        await asyncio.sleep(wait)
                    group.create_task(self.one(n, pool))
            else:
                self.slots = asyncio.Semaphore(self.o.in_flight)
                n, end = self.o.first, self.o.first + self.o.turns
                while n < end if self.o.turns else time.perf_counter() - started < self.o.seconds:
                    await self.slots.acquire()
                    group.create_task(self.one(n, pool))
                    n += 1
        async with asyncio.timeout(60):
            while self.sent:
                self.all_back.clear()
                await self.all_back.wait()
        took = time.perf_counter() - started
        server.close()
        return {
            "turns": len(self.ends),
            "seconds": round(took, 3),
            "turns_per_second": round(len(self.ends) / took, 1),
            "errors": self.errors,
            "doubled": self.doubled,
            "ack_ms": quantiles(self.acks),
            "end_to_end_ms": quantiles(self.ends),
        }


def quantiles(values: list[float]) -> dict[str, float]:
    values = sorted(values)
    if not values:
        return {}
    pick = lambda q: round(values[min(len(values) - 1, int(q * len(values)))] * 1000, 2)  # noqa: E731
    return {"p50": pick(0.5), "p90": pick(0.9), "p99": pick(0.99), "max": pick(1.0)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sink-port", type=int, required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=0, help="messages a second; 0: closed loop")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--turns", type=int, default=0, help="so many, instead of --seconds")
    parser.add_argument("--first", type=int, default=0, help="number of the first message")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--run", default="1")
    print(json.dumps(uvloop.run(Load(parser.parse_args()).run())))
