"""An engine with one WeCom channel, and the simulated WeCom that it is connected to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from ai_engine.channels.base import Accepted, Outgoing, WebhookRequest
from ai_engine.channels.wecom.channel import WeComChannel, build
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.domain.errors import Overloaded, Refused
from ai_engine.domain.message import InboundMessage
from ai_engine.domain.reply import Button, Card, Reply
from ai_engine.security.egress import Egress
from ai_engine.simulators.transcript import BOT, Entry
from ai_engine.simulators.wecom import WeComSimulator

from support.hosts import MemoryMedia, make_host

AUTH = dict(WeComSimulator.auth_defaults)
CARD = Card(
    title="请假审批",
    markdown="张三申请 **3 天**年假",
    fields=(("类型", "年假"), ("a very long name", "value")),
    buttons=(
        Button(label="同意", value={"do": "approve", "n": 1}, style="primary"),
        Button(label="驳回", value={"do": "refuse"}, style="danger"),
        Button(label="详情", url="https://example.org/d"),
    ),
)


class Engine:
    """As little of an engine as the channel needs."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[InboundMessage] = asyncio.Queue()
        self.statuses: list[int] = []
        self.known: set[str] = set()
        self.full = 0
        self.channel: WeComChannel
        self.media = MemoryMedia()
        self.config: dict[str, Any] = {}

    async def accept(self, message: InboundMessage) -> Accepted:
        if self.full:
            self.full -= 1
            raise Overloaded("full")
        duplicate = message.message_id in self.known
        self.known.add(message.message_id)
        if not duplicate:
            self.inbox.put_nowait(message)
        return Accepted(id="in_1", duplicate=duplicate)

    async def handle(self, request: web.Request) -> web.Response:
        try:
            answer = await self.channel.webhook(
                WebhookRequest(
                    method=request.method,
                    path="",
                    headers={name.lower(): value for name, value in request.headers.items()},
                    query=dict(request.query),
                    body=await request.read(),
                ),
                self.accept,
            )
        except Refused as refused:
            self.statuses.append(refused.status)
            return web.Response(status=refused.status)
        self.statuses.append(answer.status)
        return web.Response(status=answer.status, body=answer.body, content_type=answer.media_type)

    async def next(self) -> InboundMessage:
        async with asyncio.timeout(5):
            return await self.inbox.get()

    async def answer(
        self,
        to: InboundMessage | dict[str, Any],
        text: str = "",
        /,
        reply_id: str = "r1",
        **reply: Any,
    ) -> None:
        target = to.target if isinstance(to, InboundMessage) else to
        await self.channel.send(
            Outgoing(
                reply=Reply(id=reply_id, text=text, **reply),
                target=target,
                in_reply_to="m",
                inbound_id="in_1",
                session_key="k",
                user_id="u",
            )
        )


@asynccontextmanager
async def world(
    auth: dict[str, str] | None = None, **config: Any
) -> AsyncIterator[tuple[WeComSimulator, Engine]]:
    engine, egress = Engine(), Egress()
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_route("*", "/api/message/wecom", engine.handle)
    server = TestServer(app)
    await server.start_server()
    await egress.start()
    simulator = WeComSimulator(
        corp_id=AUTH["corp_id"],
        agent_id=AUTH["agent_id"],
        secret=AUTH["secret"],
        token=AUTH["token"],
        aes_key=AUTH["aes_key"],
        engine=str(server.make_url("")),
    )
    simulator.faults.retry_seconds = 0.0
    async with simulator:
        settings = ChannelConfig.model_validate(
            {"auth": auth or AUTH, "endpoints": {"api": simulator.url}, "feedback": False, **config}
        )
        host = make_host(egress, SystemClock(), media=engine.media)
        engine.channel = build("wecom", settings, host)
        try:
            await engine.channel.start()
            yield simulator, engine
        finally:
            await engine.channel.close()
            await egress.close()
            await server.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)


def shown(simulator: WeComSimulator) -> list[Entry]:
    return [entry for entry in simulator.transcript.list() if entry.sender == BOT]


def to(user: str = "zhangsan") -> dict[str, Any]:
    return {"user": user, "conversation": user}
