"""Slack's own SDKs drive the simulated Slack: what they understand, a connector may rely on."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.errors import SlackApiError
from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ContextActionsBlock,
    FeedbackButtonsElement,
    HeaderBlock,
    MarkdownBlock,
    SectionBlock,
)
from slack_sdk.models.blocks.basic_components import FeedbackButtonObject
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from ai_engine.channels.slack import cards
from ai_engine.domain.reply import Button, Card
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.slack import SlackSimulator, build
from ai_engine.simulators.slack.delivery import DeliveryTimes
from ai_engine.simulators.slack.sockets import SocketTimes

QUIET = logging.getLogger("slack quiet")
QUIET.setLevel(logging.CRITICAL)


@asynccontextmanager
async def slack(engine: str = "") -> AsyncIterator[tuple[SlackSimulator, AsyncWebClient]]:
    times = DeliveryTimes(retries=(0.0, 0.01, 0.01))
    simulator = SlackSimulator(
        bot_token="xoxb-1",
        signing_secret="s3cret",
        app_token="xapp-1",
        engine=engine,
        times=times,
        socket_times=SocketTimes(grace=0.05),
    )
    async with simulator, aiohttp.ClientSession() as session:
        base = simulator.info()["sdk"]["slack_sdk"]["base_url"]
        yield simulator, AsyncWebClient("xoxb-1", base_url=base, session=session, logger=QUIET)


async def test_the_client_learns_who_it_is_and_who_people_are():
    async with slack() as (_, client):
        found = await client.auth_test()
        assert (found["user_id"], found["team_id"]) == ("U0SIMBOT", "T0SIMULATED")
        assert "chat:write" in found.headers["x-oauth-scopes"]
        user = await client.users_info(user="zhangsan")
        assert user["user"]["profile"]["email"] == "zhangsan@example.com"
        chat = await client.conversations_open(users="zhangsan")
        history = await client.conversations_history(channel=chat["channel"]["id"], limit=1)
        assert history["messages"] == []


async def test_the_client_posts_edits_reacts_and_sets_a_status():
    async with slack() as (simulator, client):
        asked = await simulator.say("zhangsan", "hello")
        posted = await client.chat_postMessage(
            channel="D0ZHANGSAN", text="1 &lt; 2", thread_ts=asked
        )
        assert (await simulator.wait_reply(asked)).text == "1 < 2"
        await client.chat_update(channel="D0ZHANGSAN", ts=posted["ts"], text="new")
        assert simulator.transcript.get(posted["ts"]).edits == 1
        await client.reactions_add(channel="D0ZHANGSAN", timestamp=asked, name="eyes")
        await client.assistant_threads_setStatus(
            channel_id="D0ZHANGSAN", thread_ts=asked, status="is thinking"
        )
        assert simulator.webapi.reactions == {asked: ["eyes"]}


@pytest.mark.parametrize("chat", ["private", "group"])
async def test_the_client_s_stream_helper_streams(chat: str):
    async with slack() as (simulator, client):
        asked = await simulator.say("zhangsan", "hello", chat=chat)
        streamer = await client.chat_stream(
            channel=simulator.transcript.get(asked).conversation,
            thread_ts=asked,
            recipient_team_id="T0SIMULATED",
            recipient_user_id="zhangsan",
            buffer_size=1,
        )
        await streamer.append(markdown_text="hello ")
        await streamer.append(markdown_text="world")
        entry = await simulator.wait_reply(asked, unfinished=True)
        assert (entry.text, entry.state) == ("hello world", "streaming")
        feedback = FeedbackButtonsElement(
            action_id="fb",
            positive_button=FeedbackButtonObject(text="Good", value="good"),
            negative_button=FeedbackButtonObject(text="Bad", value="bad"),
        )
        await streamer.stop(markdown_text="!", blocks=[ContextActionsBlock(elements=[feedback])])
        entry = await simulator.wait_reply(asked)
        assert (entry.text, entry.state) == ("hello world!", "finished")
        with pytest.raises(SlackApiError, match="message_not_in_streaming_state"):
            await client.chat_appendStream(
                channel=entry.conversation, ts=entry.id, markdown_text="late"
            )


async def test_streams_want_a_thread_recipients_and_one_mode():
    async with slack() as (simulator, client):
        asked = await simulator.say("zhangsan", "hello", chat="group")
        where: dict[str, Any] = {"channel": "C0PROJECT", "thread_ts": asked}
        with pytest.raises(SlackApiError, match="missing_recipient_team_id"):
            await client.chat_startStream(**where)
        where |= {"recipient_team_id": "T0SIMULATED", "recipient_user_id": "zhangsan"}
        started = await client.chat_startStream(**where, markdown_text="a")
        chunk = {"type": "markdown_text", "text": "b"}
        with pytest.raises(SlackApiError, match="streaming_mode_mismatch"):
            await client.chat_appendStream(channel="C0PROJECT", ts=started["ts"], chunks=[chunk])
        with pytest.raises(SlackApiError, match="cant_update_message"):
            await client.chat_update(channel="C0PROJECT", ts=started["ts"], text="x")
        with pytest.raises(SlackApiError, match="message_not_found"):
            await client.chat_stopStream(channel="C0PROJECT", ts="1.000001")


async def test_files_go_both_ways():
    async with slack() as (simulator, client):
        await client.files_upload_v2(
            channel="C0PROJECT", filename="a.txt", content="hello", title="a.txt"
        )
        entry = simulator.transcript.list()[-1]
        assert (entry.kind, entry.text) == ("file", "a.txt")
        async with simulator.http.get(simulator.url + entry.url) as answer:
            assert await answer.read() == b"hello"
        file = SharedFile(kind="picture", name="p.png", mime="image/png", content=b"png")
        code = simulator.shelf.put(file, "F")
        address = (await client.files_info(file=code))["file"]["url_private"]
        for token, status in (("xoxb-1", 200), ("xoxb-2", 302)):
            headers = {"Authorization": f"Bearer {token}"}
            async with simulator.http.get(
                address, headers=headers, allow_redirects=False
            ) as answer:
                assert answer.status == status


@pytest.mark.parametrize(
    ("knob", "error"),
    [
        ({"missing_scope": "chat:write"}, "missing_scope"),
        ({"token_revoked": True}, "token_revoked"),
        ({"expired_token": 1}, "token_expired"),
        ({"throttle_after": 0}, "ratelimited"),
        ({"blocks_refused": True}, "invalid_blocks"),
    ],
)
async def test_the_client_understands_refusals(knob: dict[str, Any], error: str):
    async with slack() as (simulator, client):
        simulator.faults.change(knob)
        with pytest.raises(SlackApiError) as caught:
            await client.chat_postMessage(
                channel="C0PROJECT", text="x", blocks=[MarkdownBlock(text="x")]
            )
        assert caught.value.response["error"] == error
        if error == "missing_scope":
            assert caught.value.response["needed"] == "chat:write"
        if error == "ratelimited":
            assert caught.value.response.headers["Retry-After"] == "1"


async def test_a_wrong_token_is_refused():
    async with slack() as (_, client):
        client.token = "xoxb-wrong"
        with pytest.raises(SlackApiError, match="invalid_auth"):
            await client.auth_test()
        client.token = "xapp-1"
        with pytest.raises(SlackApiError, match="not_allowed_token_type"):
            await client.auth_test()


async def test_blocks_that_the_sdk_s_models_build_are_taken_and_what_they_refuse_is_refused():
    async with slack() as (simulator, client):
        blocks = [
            HeaderBlock(text="Title"),
            SectionBlock(text="*words*", fields=["*a*\n1"]),
            ActionsBlock(elements=[ButtonElement(text="ok", action_id="b", value="v")]),
        ]
        await client.chat_postMessage(channel="C0PROJECT", text="x", blocks=blocks)
        assert simulator.transcript.list()[-1].card["title"] == "Title"
        long = [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]
        with pytest.raises(SlackApiError, match="invalid_blocks"):
            await client.chat_postMessage(channel="C0PROJECT", text="x", blocks=long)


def test_the_connector_s_blocks_are_what_the_sdk_s_models_are():
    card = Card(
        title="T",
        markdown="**w**",
        fields=(("a", "1"),),
        buttons=(Button(label="ok", value={"a": 1}), Button(label="l", url="https://a.b")),
        image_url="https://a.b/p.png",
    )
    for block in [*cards.card_blocks(card, ['{"a":1}', ""]), *cards.feedback_blocks("f")]:
        parsed = Block.parse(block)
        assert parsed is not None
        assert parsed.to_dict() == block


# Events, by HTTP, into Bolt


class Bolt:
    """A Bolt app behind a server of its own."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        self.statuses: list[int] = []
        self.app: AsyncApp

    def listen(self, client: AsyncWebClient, secret: str = "s3cret") -> None:
        self.app = AsyncApp(client=client, signing_secret=secret, logger=QUIET)

        async def hear(kind: str, body: dict[str, Any]) -> None:
            self.heard.put_nowait((kind, body))

        @self.app.event("app_mention")
        async def _(event: dict[str, Any], say: Any) -> None:
            await hear("app_mention", event)
            await say(text="heard", thread_ts=event["ts"])

        @self.app.event("message")
        async def _(event: dict[str, Any]) -> None:
            await hear("message", event)

        @self.app.event("app_home_opened")
        async def _(event: dict[str, Any]) -> None:
            await hear("app_home_opened", event)

        @self.app.action("b")
        async def _(ack: Any, action: dict[str, Any]) -> None:
            await ack()
            await hear("action", action)

        @self.app.command("/ask")
        async def _(ack: Any, command: dict[str, Any]) -> None:
            await ack()
            await hear("command", command)

    async def handle(self, request: web.Request) -> web.Response:
        asked = AsyncBoltRequest(
            body=(await request.read()).decode(),
            headers={name: value for name, value in request.headers.items()},  # noqa: C416
        )
        answer = await self.app.async_dispatch(asked)
        self.statuses.append(answer.status)
        return web.Response(status=answer.status, text=answer.body)

    async def next(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(5):
            while True:
                found, body = await self.heard.get()
                if found == kind:
                    return body


@asynccontextmanager
async def bolt() -> AsyncIterator[tuple[SlackSimulator, Bolt]]:
    app, found = web.Application(), Bolt()
    app.router.add_post("/api/message/slack{rest:.*}", found.handle)
    server = TestServer(app)
    await server.start_server()
    try:
        async with slack(str(server.make_url(""))) as (simulator, client):
            found.listen(client)
            yield simulator, found
    finally:
        await server.close()


async def test_bolt_takes_events_buttons_and_commands():
    async with bolt() as (simulator, app):
        asked = await simulator.say("zhangsan", "hi", chat="group")
        assert (await app.next("app_mention"))["text"] == "<@U0SIMBOT> hi"
        assert (await app.next("message"))["channel_type"] == "channel"
        reply = await simulator.wait_reply(asked)
        assert reply.text == "heard"
        await simulator.edit(asked, "@AI助手 hello")
        assert (await app.next("message"))["subtype"] == "message_changed"
        await simulator.recall(asked)
        assert (await app.next("message"))["deleted_ts"] == asked
        await simulator.enter("alice")
        assert (await app.next("app_home_opened"))["tab"] == "messages"
        button = ButtonElement(text="ok", action_id="b", value="v")
        await app.app.client.chat_postMessage(
            channel="C0PROJECT", text="x", blocks=[ActionsBlock(elements=[button])]
        )
        await simulator.press(simulator.transcript.list()[-1].id, user="lisi")
        assert (await app.next("action"))["value"] == "v"
        await simulator.slash("zhangsan", "weather")
        assert (await app.next("command"))["text"] == "weather"
        assert set(app.statuses) == {200}


async def test_bolt_refuses_what_is_signed_wrongly_or_too_late_and_slack_tries_again():
    async with bolt() as (simulator, _):
        for knob in ({"wrong_secret": True}, {"clock_skew_seconds": -400}):
            simulator.faults.change(knob)
            simulator.wire.clear()
            asked = await simulator.say("zhangsan", "hi")
            async with asyncio.timeout(5):
                while len(rows := simulator.wire.rows(direction="out")) < 4:
                    await asyncio.sleep(0)
            assert [row["status"] for row in rows] == [401] * 4
            numbers = [row["headers"].get("X-Slack-Retry-Num") for row in rows]
            assert numbers == [None, "1", "2", "3"]
            assert rows[1]["headers"]["X-Slack-Retry-Reason"] == "http_error"
            assert simulator.transcript.get(asked).status == "undelivered"
            simulator.faults.clear()


# Socket Mode


async def test_the_socket_mode_client_connects_acknowledges_and_moves_on():
    async with slack() as (simulator, client):
        heard: asyncio.Queue[SocketModeRequest] = asyncio.Queue()
        sockets = SocketModeClient(app_token="xapp-1", web_client=client, logger=QUIET)

        async def hear(where: SocketModeClient, request: SocketModeRequest) -> None:
            await where.send_socket_mode_response(
                SocketModeResponse(envelope_id=request.envelope_id)
            )
            heard.put_nowait(request)

        sockets.socket_mode_request_listeners.append(hear)
        try:
            async with asyncio.timeout(10):
                await sockets.connect()
                await simulator.sockets.wait_connections(1)
                asked = await simulator.say("zhangsan", "hello")
                request = await heard.get()
                assert (request.type, request.payload["event"]["text"]) == ("events_api", "hello")
                assert (await simulator.wait_settled(asked)).via == "stream"
                await simulator.sockets.disconnect("refresh_requested")
                await simulator.sockets.wait_connections(1)
                await simulator.slash("zhangsan", "weather")
                assert (await heard.get()).payload["text"] == "weather"
        finally:
            await sockets.close()


async def test_bolt_takes_events_over_socket_mode():
    async with slack() as (simulator, client):
        app = Bolt()
        app.listen(client)
        handler = AsyncSocketModeHandler(app.app, "xapp-1", logger=QUIET, web_client=client)
        try:
            async with asyncio.timeout(10):
                await handler.connect_async()
                await simulator.sockets.wait_connections(1)
                asked = await simulator.say("zhangsan", "hi", chat="group")
                await app.next("app_mention")
                assert (await simulator.wait_reply(asked)).text == "heard"
        finally:
            await handler.close_async()


async def test_a_simulator_is_built_from_credentials_by_name():
    simulator = build({**SlackSimulator.auth_defaults, "bot_token": "xoxb-x"}, engine="http://e")
    assert (simulator.bot_token, simulator.engine) == ("xoxb-x", "http://e")
