"""The Teams channel and the simulated Teams, each the other's only partner."""

import asyncio
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from ai_engine.channels.base import Accepted, Outgoing, WebhookRequest
from ai_engine.channels.teams.channel import TeamsChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.domain.errors import EngineError, Refused
from ai_engine.domain.reply import Reply
from ai_engine.security.egress import Egress
from ai_engine.simulators.teams import TeamsSimulator

from support.hosts import make_host

APP_ID = "8f3a2a8e-1111-4222-8333-444455556666"
SECRET = "s3cret"


class HastyClock(SystemClock):
    """Its hands run ahead by what it is asked to sleep: no test waits for a platform's pace."""

    def __init__(self):
        self.ahead = 0.0

    def time(self):
        return super().time() + self.ahead

    def monotonic(self):
        return super().monotonic() + self.ahead

    async def sleep(self, seconds):
        self.ahead += seconds
        await asyncio.sleep(0)


class Engine:
    """As little of an engine as the channel needs."""

    def __init__(self):
        self.inbox = asyncio.Queue()
        self.refused = []
        self.channel = None
        self.overloaded = None

    async def accept(self, message):
        if self.overloaded is not None:
            raise self.overloaded
        self.inbox.put_nowait(message)
        return Accepted(id="in_1", duplicate=False)

    async def handle(self, request):
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        try:
            answer = await self.channel.webhook(
                WebhookRequest(method="POST", path="", headers=headers, query={}, body=body),
                self.accept,
            )
        except Refused as refused:
            self.refused.append(refused)
            return web.Response(status=refused.status)
        except EngineError as error:  # as the gateway answers it
            self.refused.append(error)
            return web.Response(status=503)
        return web.Response(status=answer.status, body=answer.body, content_type="application/json")

    async def next(self):
        async with asyncio.timeout(5):
            return await self.inbox.get()

    def outgoing(self, target, reply, in_reply_to="m"):
        return Outgoing(
            reply=reply,
            target=target,
            in_reply_to=in_reply_to,
            inbound_id="in_1",
            session_key="k",
            user_id="u",
        )

    async def answer(self, message, text="", **fields):
        reply = Reply(**{"id": "r1", "text": text, **fields})
        await self.channel.send(self.outgoing(message.target, reply, message.message_id))

    async def finish(self, handle, message, text="", **fields):
        reply = Reply(**{"id": "r1", "text": text, "stream": handle, **fields})
        outgoing = self.outgoing(message.target, reply, message.message_id)
        await self.channel.finish(handle, outgoing)


def settings(simulator, **config):
    return ChannelConfig.model_validate(
        {
            "auth": {"app_id": APP_ID, "app_secret": SECRET, "tenant": simulator.tenant},
            "endpoints": simulator.info()["endpoints"],
            **config,
        }
    )


@asynccontextmanager
async def world(clock=None, **config):
    """(simulator, engine), both running on one clock."""
    engine, egress, clock = Engine(), Egress(), clock or HastyClock()
    app = web.Application(client_max_size=32 * 1024 * 1024)
    app.router.add_post("/api/message/teams", engine.handle)
    server = TestServer(app)
    await server.start_server()
    await egress.start()
    simulator = TeamsSimulator(
        app_id=APP_ID,
        app_secret=SECRET,
        engine=str(server.make_url("")),
        clock=clock,
        robot_name="Helper",
    )
    async with simulator:
        engine.host = make_host(egress, clock)
        engine.channel = TeamsChannel("teams", settings(simulator, **config), engine.host)
        await engine.channel.start()
        try:
            yield simulator, engine
        finally:
            await engine.channel.close()
            await egress.close()
            await server.close()
