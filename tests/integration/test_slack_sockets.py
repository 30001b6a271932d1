"""Socket Mode: connections that are replaced, lost, silent, or never given."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ai_engine.channels.link import LinkTimes
from ai_engine.channels.slack.channel import SlackChannel
from ai_engine.channels.slack.link import SlackLink, check_address
from ai_engine.config.schema import Auth
from ai_engine.domain.errors import SendRefused
from ai_engine.domain.message import MessageKind
from ai_engine.domain.reply import Button, Card
from ai_engine.security.egress import Egress

from support.slack_world import out, world
from support.watched_clock import WatchedClock


async def test_buttons_and_commands_come_over_the_connection_too():
    async with world("stream") as (simulator, engine):
        await simulator.slash("zhangsan", "menu")
        message = await engine.next()
        card = Card(buttons=(Button(label="b", value={"a": 1}),))
        await engine.channel.send(out(message, card=card))
        entry = simulator.transcript.list()[-1]
        await simulator.press(entry.id)
        pressed = await engine.next()
        assert (pressed.kind, pressed.payload) == (MessageKind.BUTTON, {"a": 1})


async def test_what_finds_no_room_is_acknowledged_when_it_has_found_some():
    async with world("stream") as (simulator, engine):
        engine.full = 1
        asked = await simulator.say("zhangsan", "hello")
        assert (await engine.next()).text == "hello"
        async with asyncio.timeout(5):
            assert (await simulator.wait_settled(asked)).status == "delivered"
        assert engine.duplicates == []


async def test_what_finds_no_room_for_long_is_not_acknowledged(caplog: pytest.LogCaptureFixture):
    clock = WatchedClock()
    async with world("stream", clock=clock) as (simulator, engine):
        engine.full = 1_000_000
        await simulator.say("zhangsan", "hello")
        await clock.asleep(lambda seconds: seconds == 0.1)
        async with asyncio.timeout(5):
            while "no room" not in caplog.text:
                await clock.advance(5)
        assert simulator.wire.rows(direction="frame-in") == []


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("events_api", {"type": "event_callback"}),
        ("events_api", {"type": "event_callback", "event": {"type": "message"}}),
        ("slash_commands", {"user_id": 1}),
        ("shortcut", {}),
    ],
)
async def test_what_is_not_slack_s_is_acknowledged_so_that_it_does_not_come_again(
    kind: str, payload: dict[str, Any]
):
    async with world("stream") as (simulator, engine):
        assert (await simulator.sockets.send(kind, payload, 0, "")).taken
        assert engine.inbox.empty()


async def test_what_cannot_be_read_does_not_end_the_connection():
    async with world("stream") as (simulator, engine):
        simulator.faults.malformed_json = True
        await simulator.say("lisi", "cut")
        await simulator.say("zhangsan", "cut too")
        async with asyncio.timeout(5):
            while len(simulator.wire.rows(direction="frame-out")) < 3:
                await asyncio.sleep(0)
        simulator.faults.clear()
        simulator.faults.unknown_msgtype = True
        await simulator.say("alice", "hello")
        assert (await engine.next()).kind is MessageKind.UNSUPPORTED


async def test_connections_are_replaced_before_the_old_one_goes_and_no_message_is_lost():
    async with world("stream", retries=(0.0, 1.1, 1.0)) as (simulator, engine):
        [old] = simulator.sockets.open
        await simulator.sockets.disconnect("refresh_requested")
        async with asyncio.timeout(5):
            await simulator.sockets.wait_connections(1)
        assert not old.socket.closed
        await simulator.say("zhangsan", "after the first")
        assert (await engine.next()).text == "after the first"
        simulator.faults.drop_at_frame = 1
        await simulator.say("lisi", "into a breaking connection")
        async with asyncio.timeout(5):
            await simulator.sockets.wait_connections(0)
            await simulator.sockets.wait_connections(1)
        await simulator.say("wangwu", "after the second")
        texts = {(await engine.next()).text for _ in range(2)}
        assert texts == {"into a breaking connection", "after the second"}
        status = engine.channel.status()
        assert (status.state, status.connected) == ("connected", True)
        assert status.last_event_age_seconds is not None


async def test_a_wrong_app_token_is_shown_as_what_it_is():
    async with world() as (_, engine):
        auth = {"bot_token": "xoxb-t", "app_token": "xapp-wrong"}
        config = engine.channel.config.model_copy(
            update={"mode": "stream", "auth": Auth.model_validate(auth)}
        )
        channel = SlackChannel("slack", config, engine.channel.host)
        assert channel.status().state == "connecting"
        running = asyncio.create_task(channel.run(engine.accept))
        async with asyncio.timeout(5):
            while channel.status().state != "failing":
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        assert "invalid_auth" in channel.status().detail
        assert "xapp-wrong" not in channel.status().detail


class Deaf:
    """A peer that never answers a ping."""

    def __init__(self) -> None:
        self.pings = 0

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        async for _ in socket:
            self.pings += 1
        return socket


async def test_a_connection_that_answers_no_ping_is_closed():
    clock, deaf, egress = WatchedClock(), Deaf(), Egress()
    app = web.Application()
    app.router.add_get("/", deaf.handle)
    server = TestServer(app)
    await server.start_server()
    await egress.start()

    async def take(kind: str, payload: dict[str, Any]) -> None:
        raise AssertionError

    try:
        socket = await egress.session.ws_connect(server.make_url("/"), autoping=False)
        times = LinkTimes(probe=30, silence_max=90)
        link = SlackLink("slack", socket, clock, take, times=times)
        running = asyncio.create_task(link.run())
        for n in range(1, 5):
            await clock.asleep(lambda seconds: seconds == 30, times=n)
            await clock.advance(30)
        async with asyncio.timeout(5):
            await running
        assert link.over.is_set()
        assert deaf.pings >= 3
    finally:
        await egress.close()
        await server.close()


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "https://wss.slack.com/x",
        "ws://wss.slack.com/x",
        "wss://slack.com.evil.example/x",
        "wss://evil.example/?slack.com",
        "wss://user@wss.slack.com/",
        "wss://[::1",
    ],
)
def test_no_connection_goes_to_another_host(url: object):
    with pytest.raises(SendRefused):
        check_address(url, ("https://slack.internal/api",))


def test_connections_go_to_slack_and_to_configured_endpoints():
    for url in ("wss://wss-primary.slack.com/link/?ticket=1", "wss://slack.internal:9/link"):
        assert check_address(url, ("https://slack.internal/api",)) == url
