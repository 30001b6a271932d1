"""A small DingTalk for one test: answers what the test tells it, keeps what it was asked."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer


@dataclass
class Call:
    path: str
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass
class FakeDingTalk:
    """`answers[path]` holds (status, JSON) to give in turn; afterwards the good default."""

    answers: dict[str, deque[tuple[int, Any]]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    tickets: list[str] = field(default_factory=list)
    base: str = ""
    endpoint: str = ""
    answers_pings: bool = True
    accepts_sockets: bool = True
    acks: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    connected: asyncio.Queue[web.WebSocketResponse] = field(default_factory=asyncio.Queue)
    token_gate: asyncio.Event | None = None

    def answer(self, path: str, status: int, body: Any) -> None:
        self.answers.setdefault(path, deque()).append((status, body))

    def called(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path]

    @property
    def hook(self) -> str:
        return f"{self.base}/robot/sendBySession?session=s3cr3t"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/connect":
            return await self._socket(request)
        body = json.loads(await request.read() or b"{}")
        self.calls.append(Call(request.path, body, dict(request.headers)))
        if request.path == "/v1.0/oauth2/accessToken" and self.token_gate:
            await self.token_gate.wait()
        if self.answers.get(request.path):
            status, answer = self.answers[request.path].popleft()
            headers = {"Location": answer} if 300 <= status < 400 else {}
            if status == 429:
                headers = {"Retry-After": "7"}
            return web.json_response(answer, status=status, headers=headers)
        return web.json_response(self._good(request.path))

    def _good(self, path: str) -> Any:
        number = sum(call.path == path for call in self.calls)
        return {
            "/robot/sendBySession": {"errcode": 0, "errmsg": "ok"},
            "/v1.0/oauth2/accessToken": {"accessToken": f"token-{number}", "expireIn": 7200},
            "/v1.0/robot/oToMessages/batchSend": {"processQueryKey": "k"},
            "/v1.0/robot/groupMessages/send": {"processQueryKey": "k"},
            "/v1.0/gateway/connections/open": {
                "endpoint": self.endpoint,
                "ticket": f"t+{number}/=",
            },
        }[path]

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if not self.accepts_sockets:
            return web.Response(status=503)
        self.tickets.append(request.query.get("ticket", ""))
        socket = web.WebSocketResponse(autoping=self.answers_pings)
        await socket.prepare(request)
        self.sockets.append(socket)
        self.connected.put_nowait(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                self.acks.put_nowait(json.loads(message.data))
        return socket

    async def next_socket(self) -> web.WebSocketResponse:
        async with asyncio.timeout(5):
            return await self.connected.get()

    async def next_ack(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            return await self.acks.get()


def frame(kind: str, topic: str, data: Any, message_id: str = "f1") -> str:
    """A frame as DingTalk sends it; `data` becomes JSON text unless it is text."""
    headers = {"topic": topic, "messageId": message_id, "contentType": "application/json"}
    text = data if isinstance(data, str) else json.dumps(data)
    return json.dumps({"specVersion": "1.0", "type": kind, "headers": headers, "data": text})


@asynccontextmanager
async def fake_dingtalk() -> AsyncIterator[FakeDingTalk]:
    """On a free loopback port until the block ends."""
    fake = FakeDingTalk()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    server = TestServer(app)
    await server.start_server()
    fake.base = str(server.make_url("")).rstrip("/")
    fake.endpoint = fake.base.replace("http", "ws", 1) + "/connect"
    try:
        yield fake
    finally:
        for socket in fake.sockets:
            await socket.close()
        await server.close()
