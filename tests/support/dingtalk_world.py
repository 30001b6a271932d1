"""The DingTalk connector and the simulated DingTalk, joined by as little engine as they need."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from ai_engine.channels.base import Accepted, Outgoing, WebhookRequest
from ai_engine.channels.dingtalk.channel import DingTalkChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.domain.errors import Refused
from ai_engine.domain.message import InboundMessage
from ai_engine.domain.reply import Reply
from ai_engine.security.egress import Egress
from ai_engine.simulators.dingtalk import DingTalkSimulator
from ai_engine.simulators.dingtalk.connection import StreamTimes

from support.hosts import make_host

TOKEN, AES_KEY = "event-token", "Yue0EfdN5900c1ce5cf6A152c63DDe1808a60c5ecd7"


class Engine:
    """What the channel hands in waits in `inbox`; `full` refuses it."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[InboundMessage] = asyncio.Queue()
        self.statuses: list[int] = []
        self.full: list[Exception] = []
        self.channel: DingTalkChannel

    async def accept(self, message: InboundMessage) -> Accepted:
        if self.full:
            raise self.full.pop(0)
        self.inbox.put_nowait(message)
        return Accepted(id="in_1", duplicate=False)

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = request.match_info.get("rest", "")
        body = await request.read()
        try:
            answer = await self.channel.webhook(
                WebhookRequest(
                    method="POST", path=path, headers=headers, query=dict(request.query), body=body
                ),
                self.accept,
            )
        except Refused as refused:
            self.statuses.append(refused.status)
            return web.Response(status=refused.status)
        self.statuses.append(answer.status)
        return web.Response(status=answer.status, body=answer.body)

    async def next(self) -> InboundMessage:
        async with asyncio.timeout(5):
            return await self.inbox.get()

    async def answer(self, message: InboundMessage, text: str, **reply: Any) -> None:
        await self.channel.send(self.outgoing(message, text, **reply))

    def outgoing(self, message: InboundMessage, text: str = "", **reply: Any) -> Outgoing:
        return Outgoing(
            reply=Reply(**{"id": "r1", "text": text, **reply}),
            target=message.target,
            in_reply_to=message.message_id,
            inbound_id="in_1",
            session_key="k",
            user_id=message.sender.user_id,
        )


@asynccontextmanager
async def world(
    mode: str = "webhook", *, host: Any = None, **config: Any
) -> AsyncIterator[tuple[DingTalkSimulator, Engine]]:
    engine, egress = Engine(), Egress()
    app = web.Application()
    app.router.add_post("/api/message/dingtalk", engine.handle)
    app.router.add_post("/api/message/dingtalk/{rest}", engine.handle)
    server = TestServer(app)
    await server.start_server()
    await egress.start()
    base = str(server.make_url("")).rstrip("/")
    simulator = DingTalkSimulator(
        app_id="dingapp",
        app_secret="s3cret",
        engine=base if mode == "webhook" else "",
        token=TOKEN,
        aes_key=AES_KEY,
        times=StreamTimes(ping=0.05, disconnect_grace=0.3, event_retry=0.05),
    )
    async with simulator:
        if config.get("callback_url") == "here":
            config["callback_url"] = base
        auth = {"app_id": "dingapp", "app_secret": "s3cret", "token": TOKEN, "aes_key": AES_KEY}
        settings = ChannelConfig.model_validate(
            {
                "mode": mode,
                "endpoints": {"api": simulator.url, "oapi": simulator.url},
                **config,
                "auth": auth | config.get("auth", {}),
            }
        )
        engine.channel = DingTalkChannel(
            "dingtalk", settings, host or make_host(egress, SystemClock())
        )
        running = asyncio.create_task(engine.channel.run(engine.accept))
        try:
            if mode == "stream":
                await simulator.stream.wait_connections(1)
            yield simulator, engine
        finally:
            running.cancel()
            await asyncio.wait([running])
            await engine.channel.close()
            await egress.close()
            await server.close()
