"""A Mattermost channel, a simulated server and as little of an engine as the channel needs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from ai_engine.channels.base import Accepted, Outgoing, WebhookRequest
from ai_engine.channels.mattermost.channel import MattermostChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.domain.errors import Overloaded, Refused
from ai_engine.domain.message import InboundMessage
from ai_engine.domain.reply import Reply
from ai_engine.security.egress import Egress
from ai_engine.simulators.mattermost import MattermostSimulator

from support.hosts import make_host

TOKEN = "bottoken1234567890abcdefgh"
HOOK = "hooktoken1234567890abcdefg"


class Engine:
    """As little of an engine as the channel needs."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[InboundMessage] = asyncio.Queue()
        self.seen: dict[str, str] = {}
        self.refusals = 0
        self.statuses: list[int] = []
        self.channel: MattermostChannel
        self.answer_at_once = ""

    async def accept(self, message: InboundMessage) -> Accepted:
        if self.refusals:
            self.refusals -= 1
            raise Overloaded("full", retry_after_seconds=0)
        duplicate = message.message_id in self.seen
        self.seen[message.message_id] = message.text
        if not duplicate:
            self.inbox.put_nowait(message)
            if self.answer_at_once:
                await self.answer(message, self.answer_at_once)
        return Accepted(id="in_1", duplicate=duplicate)

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        whole = WebhookRequest(
            method=request.method,
            path=request.match_info.get("rest", ""),
            headers=headers,
            query={},
            body=await request.read(),
        )
        try:
            answer = await self.channel.webhook(whole, self.accept)
        except Refused as refused:
            self.statuses.append(refused.status)
            return web.Response(status=refused.status)
        self.statuses.append(answer.status)
        return web.Response(status=answer.status, body=answer.body, content_type=answer.media_type)

    async def next(self) -> InboundMessage:
        async with asyncio.timeout(5):
            return await self.inbox.get()

    async def answer(self, message: InboundMessage, text: str = "", **reply: Any) -> None:
        await self.channel.send(outgoing(message, text, **reply))


def outgoing(message: InboundMessage, text: str = "", **reply: Any) -> Outgoing:
    attempt = reply.pop("attempt", 1)
    return Outgoing(
        reply=Reply(**{"id": "r1", "text": text, **reply}),
        target=message.target,
        in_reply_to=message.message_id,
        inbound_id="in_1",
        session_key="k",
        user_id=message.sender.user_id,
        attempt=attempt,
    )


@asynccontextmanager
async def world(
    mode: str = "stream", *, bot: bool = True, **config: Any
) -> AsyncIterator[tuple[MattermostSimulator, Engine]]:
    engine, egress = Engine(), Egress()
    app = web.Application()
    app.router.add_route("*", "/api/message/mattermost", engine.handle)
    app.router.add_route("*", "/api/message/mattermost/{rest}", engine.handle)
    server = TestServer(app)
    await server.start_server()
    await egress.start()
    base = str(server.make_url("")).rstrip("/")
    simulator = MattermostSimulator(
        token=TOKEN, webhook_token=HOOK, engine=base if mode == "webhook" else ""
    )
    async with simulator:
        auth = {"webhook_token": HOOK} | ({"token": TOKEN} if bot else {})
        settings = {
            "mode": mode,
            "auth": {"url": simulator.url, **auth},
            "endpoints": {"api": simulator.url},
            "callback_url": base,
            **config,
        }
        engine.channel = MattermostChannel(
            "mattermost",
            ChannelConfig.model_validate(settings),
            make_host(egress, SystemClock()),
        )
        running = asyncio.create_task(engine.channel.run(engine.accept))
        try:
            if mode == "stream":
                await connected(engine)
            yield simulator, engine
        finally:
            running.cancel()
            await asyncio.wait([running])
            await engine.channel.close()
            await egress.close()
            await server.close()


async def connected(engine: Engine) -> None:
    async with asyncio.timeout(5):
        while engine.channel.status().state != "connected":
            await asyncio.sleep(0)


async def settled(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)
