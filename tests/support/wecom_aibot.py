"""A WeCom AI bot channel, as little of an engine as it needs, and the simulated WeCom."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from ai_engine.channels.base import Accepted, Outgoing, WebhookRequest
from ai_engine.channels.wecom_aibot.channel import WecomAibotChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.domain.errors import Overloaded, Refused
from ai_engine.domain.message import InboundMessage
from ai_engine.domain.reply import Reply
from ai_engine.security.egress import Egress
from ai_engine.simulators.wecom_aibot import WecomAibotSimulator

from support.hosts import MemoryMedia, make_host

AUTH = dict(WecomAibotSimulator.auth_defaults)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
POLL = 0.01


class Engine:
    """As little of an engine as the channel needs."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[InboundMessage] = asyncio.Queue()
        self.statuses: list[int] = []
        self.committed: dict[str, list[Reply]] = {}
        self.overloaded = 0
        self.known: set[str] = set()
        self.duplicates = 0
        self.media = MemoryMedia()
        self.channel: WecomAibotChannel

    async def accept(self, message: InboundMessage) -> Accepted:
        if self.overloaded:
            self.overloaded -= 1
            raise Overloaded("full", retry_after_seconds=0)
        if message.message_id in self.known:
            self.duplicates += 1
            return Accepted(id="in_1", duplicate=True)
        self.known.add(message.message_id)
        self.inbox.put_nowait(message)
        return Accepted(id="in_1", duplicate=False)

    async def stored(self, message_id: str) -> list[Reply] | None:
        return self.committed.get(message_id)

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        given = WebhookRequest(
            method=request.method,
            path="",
            headers=headers,
            query=dict(request.query),
            body=await request.read(),
        )
        try:
            answer = await self.channel.webhook(given, self.accept)
        except Refused as refused:
            self.statuses.append(refused.status)
            return web.Response(status=refused.status)
        self.statuses.append(answer.status)
        return web.Response(status=answer.status, body=answer.body)

    async def next(self) -> InboundMessage:
        async with asyncio.timeout(5):
            return await self.inbox.get()

    async def connected(self) -> None:
        """Return when the channel holds its connection."""
        async with asyncio.timeout(5):
            while self.channel.status().state != "connected":
                await asyncio.sleep(0)

    async def answered(self, count: int) -> list[int]:
        """The statuses once so many callbacks were answered."""
        async with asyncio.timeout(5):
            while len(self.statuses) < count:
                await asyncio.sleep(0)
        return self.statuses

    def outgoing(self, message: InboundMessage, reply: Reply) -> Outgoing:
        return Outgoing(
            reply=reply,
            target=message.target,
            in_reply_to=message.message_id,
            inbound_id="in_1",
            session_key="k",
            user_id=message.sender.user_id,
        )

    async def answer(self, message: InboundMessage, *replies: Reply | str) -> None:
        """Commit all, then deliver one by one."""
        made = [
            Reply(id=f"r{n}", text=reply) if isinstance(reply, str) else reply
            for n, reply in enumerate(replies)
        ]
        self.committed[message.message_id] = made
        for reply in made:
            async with asyncio.timeout(5):
                await self.channel.send(self.outgoing(message, reply))


def settings(simulator: WecomAibotSimulator, mode: str, **config: Any) -> ChannelConfig:
    return ChannelConfig.model_validate(
        {
            "mode": mode,
            "auth": AUTH,
            "endpoints": {"api": simulator.url, "ws": simulator.ws_url},
            **config,
        }
    )


@asynccontextmanager
async def world(
    mode: str = "webhook", *, clock: Any = None, **config: Any
) -> AsyncIterator[tuple[WecomAibotSimulator, Engine]]:
    engine, egress = Engine(), Egress()
    app = web.Application(client_max_size=64_000_000)
    app.router.add_route("*", "/api/message/wecom_aibot", engine.handle)
    server = TestServer(app)
    await server.start_server()
    await egress.start()
    url = str(server.make_url("")) if mode == "webhook" else ""
    async with WecomAibotSimulator(**AUTH, engine=url) as simulator:
        simulator.faults.poll_seconds = POLL
        host = make_host(egress, clock or SystemClock(), stored=engine.stored, media=engine.media)
        config = settings(simulator, mode, **config)
        engine.channel = WecomAibotChannel("wecom_aibot", config, host)
        await engine.channel.start()
        running = asyncio.create_task(engine.channel.run(engine.accept))
        try:
            if mode == "stream":
                await engine.connected()
            yield simulator, engine
        finally:
            running.cancel()
            await asyncio.wait([running])
            await engine.channel.close()
            await egress.close()
            await server.close()


def posted_streams(simulator: WecomAibotSimulator) -> int:
    return len(simulator.wire.rows(path="/cgi-bin/aibot/response"))
