"""The Telegram channel and the simulated Telegram, joined without an engine in between."""

import asyncio
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from ai_engine.channels.base import Accepted, Outgoing, WebhookRequest
from ai_engine.channels.telegram.channel import TelegramChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.domain.errors import Overloaded, Refused
from ai_engine.domain.reply import Reply
from ai_engine.security.egress import Egress
from ai_engine.simulators.telegram import TelegramSimulator
from ai_engine.simulators.telegram.updates import RetryTimes

from support.hosts import make_host

TOKEN = "424242:a-bot-token"
SECRET = "s3cret_Token-1"


class Engine:
    """As little of an engine as the channel needs."""

    def __init__(self):
        self.inbox = asyncio.Queue()
        self.accepted = set()
        self.statuses = []
        self.full = 0
        self.channel = None

    async def accept(self, message):
        if self.full:
            self.full -= 1
            raise Overloaded("full", retry_after_seconds=0)
        duplicate = message.message_id in self.accepted
        if not duplicate:
            self.accepted.add(message.message_id)
            self.inbox.put_nowait(message)
        return Accepted(id="in_1", duplicate=duplicate)

    async def handle(self, request):
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        try:
            answer = await self.channel.webhook(
                WebhookRequest(method="POST", path="", headers=headers, query={}, body=body),
                self.accept,
            )
        except Refused as refused:
            self.statuses.append(refused.status)
            return web.Response(status=refused.status)
        self.statuses.append(answer.status)
        return web.Response(status=answer.status, body=answer.body, content_type="application/json")

    async def next(self):
        async with asyncio.timeout(5):
            return await self.inbox.get()

    def outgoing(self, message, text="", **reply):
        return Outgoing(
            reply=Reply(id=reply.pop("id", "r1"), text=text, **reply),
            target=message.target,
            in_reply_to=message.message_id,
            inbound_id="in_1",
            session_key="k",
            user_id=message.sender.user_id,
        )

    async def answer(self, message, text="", **reply):
        await self.channel.send(self.outgoing(message, text, **reply))


@asynccontextmanager
async def world(mode="webhook", *, clock=None, auth=None, hooked=None, **config):
    """(simulator, engine). `hooked`: the simulator has a webhook from the start; by default in
    webhook mode only."""
    engine, egress = Engine(), Egress()
    app = web.Application()
    app.router.add_post("/api/message/telegram", engine.handle)
    server = TestServer(app)
    await server.start_server()
    await egress.start()
    hooked = mode == "webhook" if hooked is None else hooked
    simulator = TelegramSimulator(
        token=TOKEN,
        secret_token=SECRET,
        engine=str(server.make_url("")) if hooked else "",
        retry=RetryTimes(first=0.02, attempts=4),
    )
    async with simulator:
        settings = ChannelConfig.model_validate(
            {
                "mode": mode,
                "auth": auth or {"token": TOKEN, "secret_token": SECRET},
                "endpoints": {"api": simulator.url},
                **config,
            }
        )
        host = make_host(egress, clock or SystemClock())
        engine.channel = TelegramChannel("telegram", settings, host)
        running = asyncio.create_task(engine.channel.run(engine.accept))
        try:
            yield simulator, engine
        finally:
            running.cancel()
            await asyncio.wait([running])
            await engine.channel.close()
            await egress.close()
            await server.close()
