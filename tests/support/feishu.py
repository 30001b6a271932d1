"""A Feishu channel beside the simulated Feishu, with as little of an engine as it needs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from ai_engine.channels.base import Accepted, Outgoing, WebhookRequest
from ai_engine.channels.feishu.channel import FeishuChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import Clock, SystemClock
from ai_engine.domain.errors import Overloaded, Refused
from ai_engine.domain.message import InboundMessage
from ai_engine.domain.reply import Reply
from ai_engine.security.egress import Egress
from ai_engine.simulators.feishu import FeishuSimulator
from ai_engine.simulators.feishu.ws import WsTimes

from support.hosts import make_host

AUTH = {
    "app_id": "cli_a",
    "app_secret": "s3cret",
    "encrypt_key": "kudryavka",
    "verification_token": "v-token",
}


class FeishuEngine:
    """What the channel accepted, and a way to answer it."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[InboundMessage] = asyncio.Queue()
        self.statuses: list[int] = []
        self.full = False
        self.channel: FeishuChannel

    async def accept(self, message: InboundMessage) -> Accepted:
        if self.full:
            raise Overloaded("full")
        self.inbox.put_nowait(message)
        return Accepted(id="in_1", duplicate=False)

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        asked = WebhookRequest(method="POST", path="", headers=headers, query={}, body=body)
        try:
            answer = await self.channel.webhook(asked, self.accept)
        except Refused as refused:
            self.statuses.append(refused.status)
            return web.Response(status=refused.status)
        self.statuses.append(answer.status)
        return web.Response(status=answer.status, body=answer.body)

    async def next(self) -> InboundMessage:
        async with asyncio.timeout(5):
            return await self.inbox.get()

    def outgoing(self, message: InboundMessage, reply: Reply) -> Outgoing:
        return Outgoing(
            reply=reply,
            target=message.target,
            in_reply_to=message.message_id,
            inbound_id="in_1",
            session_key="k",
            user_id=message.sender.user_id,
        )

    async def answer(self, message: InboundMessage, text: str = "", **reply: Any) -> None:
        fields = {"id": "r1", "text": text, **reply}
        await self.channel.send(self.outgoing(message, Reply(**fields)))


@asynccontextmanager
async def feishu_world(
    mode: str = "webhook",
    *,
    auth: dict[str, str] | None = None,
    clock: Clock | None = None,
    times: WsTimes | None = None,
    **config: Any,
) -> AsyncIterator[tuple[FeishuSimulator, FeishuEngine]]:
    """The simulator and an engine with one channel, talking to each other."""
    engine, egress = FeishuEngine(), Egress()
    given, clock = {**AUTH, **(auth or {})}, clock or SystemClock()
    app = web.Application()
    app.router.add_post("/api/message/feishu", engine.handle)
    server = TestServer(app)
    await server.start_server()
    await egress.start()
    simulator = FeishuSimulator(
        **given,
        engine=str(server.make_url("")) if mode == "webhook" else "",
        times=times,
        clock=clock,
        seed=1,
    )
    async with simulator:
        settings = {
            "mode": mode,
            "auth": given,
            "endpoints": {"api": simulator.url},
            **config,
        }
        engine.channel = FeishuChannel(
            "feishu", ChannelConfig.model_validate(settings), make_host(egress, clock)
        )
        await engine.channel.start()
        running = asyncio.create_task(engine.channel.run(engine.accept))
        try:
            if mode == "stream":
                await simulator.ws.wait_connections(1)
            yield simulator, engine
        finally:
            running.cancel()
            await asyncio.wait([running])
            await engine.channel.close()
            await egress.close()
            await server.close()
