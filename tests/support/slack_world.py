"""A simulated Slack and a Slack channel that talk to each other, without an engine between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from ai_engine.channels.base import Accepted, Outgoing, WebhookRequest
from ai_engine.channels.link import LinkTimes
from ai_engine.channels.slack.channel import SlackChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import Clock, SystemClock
from ai_engine.domain.errors import Overloaded, Refused
from ai_engine.domain.message import InboundMessage, Json
from ai_engine.domain.reply import Reply
from ai_engine.security.egress import Egress
from ai_engine.simulators.slack import SlackSimulator
from ai_engine.simulators.slack.delivery import DeliveryTimes
from ai_engine.simulators.slack.sockets import SocketTimes
from ai_engine.simulators.transcript import BOT, Entry

from support.hosts import make_host

AUTH = {"bot_token": "xoxb-t", "signing_secret": "s3cret", "app_token": "xapp-t"}


class Engine:
    """As little of an engine as the channel needs: an inbox that knows what it has seen."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[InboundMessage] = asyncio.Queue()
        self.seen: set[str] = set()
        self.duplicates: list[str] = []
        self.statuses: list[int] = []
        self.full = 0
        """So many more messages find no room."""
        self.channel: SlackChannel

    async def accept(self, message: InboundMessage) -> Accepted:
        if self.full > 0:
            self.full -= 1
            raise Overloaded("full", retry_after_seconds=0)
        if message.message_id in self.seen:
            self.duplicates.append(message.message_id)
            return Accepted(id="in_1", duplicate=True)
        self.seen.add(message.message_id)
        self.inbox.put_nowait(message)
        return Accepted(id="in_1", duplicate=False)

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = WebhookRequest(
            method=request.method,
            path=request.match_info["rest"],
            headers=headers,
            query={},
            body=await request.read(),
        )
        try:
            answer = await self.channel.webhook(asked, self.accept)
        except Refused as refused:
            self.statuses.append(refused.status)
            return web.Response(status=refused.status)
        self.statuses.append(answer.status)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    async def next(self) -> InboundMessage:
        async with asyncio.timeout(5):
            return await self.inbox.get()

    async def statuses_are(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.statuses) < count:
                await asyncio.sleep(0)


def out(message: InboundMessage, text: str = "", **reply: Any) -> Outgoing:
    """An answer to a message."""
    return to(message.target, text, **reply)


def to(target: Json, text: str = "", **reply: Any) -> Outgoing:
    return Outgoing(
        reply=Reply(id=reply.pop("id", f"r-{text[:20]}"), text=text, **reply),
        target=target,
        in_reply_to="m",
        inbound_id="in_1",
        session_key="k",
        user_id="u",
    )


def bot_entries(simulator: SlackSimulator) -> list[Entry]:
    return [entry for entry in simulator.transcript.list() if entry.sender == BOT]


@asynccontextmanager
async def world(
    mode: str = "webhook",
    *,
    clock: Clock | None = None,
    times: LinkTimes | None = None,
    media: Any = None,
    retries: tuple[float, ...] = (0.0, 0.01, 0.01),
    **config: Any,
) -> AsyncIterator[tuple[SlackSimulator, Engine]]:
    engine, egress = Engine(), Egress()
    app = web.Application()
    app.router.add_route("*", "/api/message/slack{rest:.*}", engine.handle)
    server = TestServer(app)
    await server.start_server()
    await egress.start()
    simulator = SlackSimulator(
        **AUTH,
        engine=str(server.make_url("")) if mode == "webhook" else "",
        times=DeliveryTimes(retries=retries),
        socket_times=SocketTimes(grace=0.1, ack=1.0),
        clock=clock,
    )
    async with simulator:
        settings = ChannelConfig.model_validate(
            {
                "mode": mode,
                "auth": AUTH,
                "endpoints": {"api": f"{simulator.url}/api"},
                **config,
            }
        )
        host = make_host(egress, clock or SystemClock(), media=media)
        engine.channel = SlackChannel("slack", settings, host, times=times)
        running = asyncio.create_task(engine.channel.run(engine.accept))
        try:
            if mode == "stream":
                async with asyncio.timeout(5):
                    await simulator.sockets.wait_connections(1)
            yield simulator, engine
        finally:
            running.cancel()
            await asyncio.wait([running])
            await engine.channel.close()
            await egress.close()
            await server.close()
