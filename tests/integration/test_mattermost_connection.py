"""What the Mattermost channel does when connections break, callbacks come, and proofs are wrong."""

import asyncio
from dataclasses import replace

import pytest

from ai_engine.channels.base import WebhookRequest
from ai_engine.channels.mattermost import link as link_module
from ai_engine.domain.errors import NotFound, Refused, SendRefused, SendRetryable
from ai_engine.domain.message import Attachment, InboundMessage
from ai_engine.simulators.mattermost import MattermostSimulator

from support.mattermost import HOOK, TOKEN, Engine, connected, outgoing, settled, world


async def texts(engine: Engine, count: int) -> list[str]:
    return [(await engine.next()).text for _ in range(count)]


# The connection.


async def test_a_broken_connection_is_resumed_and_what_was_missed_is_replayed():
    async with world() as (simulator, engine):
        before = simulator.hub.connections[0].id
        simulator.faults.drop_at_frame = simulator.hub.connections[0].frames + 1
        await simulator.say("zhangsan", "into a breaking connection")
        await simulator.say("lisi", "while it is away")
        assert sorted(await texts(engine, 2)) == [
            "into a breaking connection",
            "while it is away",
        ]
        await connected(engine)
        assert simulator.hub.connections[0].id == before
        assert simulator.wire.rows(path="/posts") == []


async def test_a_server_that_forgot_the_connection_is_caught_up_with():
    async with world() as (simulator, engine):
        edited = await simulator.say("zhangsan", "first", chat="group")
        recalled = await simulator.say("lisi", "second")
        await texts(engine, 2)
        simulator.faults.forget_connections = True
        simulator.hub.abort(simulator.hub.connections[0])
        await simulator.say("alice", "third")
        await simulator.edit(edited, "first again")
        await simulator.recall(recalled)
        assert (await engine.next()).text == "third"
        await connected(engine)
        assert engine.channel.status().state == "connected"


async def test_old_posts_that_changed_while_away_are_caught_up_as_edits_and_recalls():
    async with world() as (simulator, engine):
        edited = await simulator.say("zhangsan", "first", chat="group")
        recalled = await simulator.say("lisi", "second", chat="group")
        await texts(engine, 2)
        for post_id in (edited, recalled):  # as if they had been written long ago
            simulator.store.posts[post_id]["create_at"] -= 7_200_000
        simulator.faults.forget_connections = True
        simulator.hub.abort(simulator.hub.connections[0])
        await simulator.edit(edited, "first again")
        await simulator.recall(recalled)
        found = [await engine.next(), await engine.next()]
        assert {(m.kind.value, m.payload["of"]) for m in found} == {
            ("edit", edited),
            ("recall", recalled),
        }


async def test_events_that_never_came_are_noticed_and_caught_up():
    async with world() as (simulator, engine):
        simulator.faults.skip_events = 1
        await simulator.say("zhangsan", "skipped")
        await simulator.say("lisi", "noticed by this one")
        assert sorted(await texts(engine, 2)) == ["noticed by this one", "skipped"]


async def test_an_unreadable_event_is_read_as_a_post():
    async with world() as (simulator, engine):
        simulator.faults.malformed_json = True
        asked = await simulator.say("zhangsan", "cut in the middle")
        await simulator.wait_settled(asked)
        simulator.faults.clear()
        assert (await engine.next()).text == "cut in the middle"


async def test_a_message_that_finds_the_engine_full_is_taken_later():
    async with world() as (simulator, engine):
        engine.refusals = 2
        await simulator.say("zhangsan", "hello")
        assert (await engine.next()).text == "hello"


async def test_a_message_whose_thread_cannot_be_read_is_replayed():
    async with world() as (simulator, engine):
        root = await simulator.say("lisi", "topic", chat="group", at=False)
        simulator.faults.error_burst = 1
        await simulator.say("zhangsan", "hello", chat="group", root=root)
        message = await engine.next()
        assert (message.text, message.quote) == ("hello", "topic")


async def test_a_proxy_that_takes_the_header_away_costs_only_the_resumption():
    async with world() as (simulator, engine):
        simulator.faults.strip_authorization = True
        simulator.hub.abort(simulator.hub.connections[0])
        await simulator.say("zhangsan", "hello")
        assert (await engine.next()).text == "hello"
        await connected(engine)


async def test_what_was_written_before_the_start_is_answered_too():
    async with world("webhook") as (simulator, engine):
        await simulator.say("zhangsan", "hello", chat="group")
        await engine.next()
        engine.seen.clear()
        engine.channel.mode = "stream"
        running = asyncio.create_task(engine.channel.run(engine.accept))
        try:
            message = await engine.next()
            assert (message.text, message.sender.name) == ("hello", "zhangsan")
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_duplicates_have_one_id_and_messages_of_a_channel_keep_their_order():
    async with world() as (simulator, engine):
        simulator.faults.duplicate = 2
        for n in range(20):
            await simulator.say("zhangsan", f"n{n}", chat="group")
        assert await texts(engine, 20) == [f"n{n}" for n in range(20)]
        await simulator.say("zhangsan", "last", chat="group")
        assert await texts(engine, 1) == ["last"]


async def test_a_refused_token_is_told_and_not_tried_in_haste():
    async with world("webhook") as (simulator, engine):
        simulator.faults.expired_token = 1000
        await asyncio.sleep(0)  # the world's own `run` has seen its mode and returned
        engine.channel.mode = "stream"
        running = asyncio.create_task(engine.channel.run(engine.accept))
        try:
            await settled(lambda: engine.channel.status().state == "failing")
            assert "token" in engine.channel.status().detail
            assert len(simulator.wire.rows(path="/users/me")) == 1
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_the_connection_is_probed_as_the_vendors_client_does(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(link_module, "TIMES", replace(link_module.TIMES, probe=0.01))
    async with world() as (simulator, engine):
        await settled(lambda: len(simulator.wire.rows(direction="frame-in", path="ping")) > 3)
        await simulator.say("zhangsan", "hello")
        assert (await engine.next()).text == "hello"
        assert engine.channel.status().last_event_age_seconds is not None


async def test_a_silent_connection_is_given_up(monkeypatch: pytest.MonkeyPatch):
    times = replace(link_module.TIMES, probe=0.01, silence_max=0.05)
    monkeypatch.setattr(link_module, "TIMES", times)
    async with world() as (simulator, engine):
        simulator.hub.deaf = True
        await settled(lambda: engine.channel.status().state != "connected")
        simulator.hub.deaf = False
        await connected(engine)


# Outgoing webhooks and slash commands.


@pytest.mark.parametrize("json", [False, True])
@pytest.mark.parametrize("chat", ["private", "group"])
async def test_without_a_bot_the_answer_goes_into_the_callback(chat: str, json: bool):
    async with world("webhook", bot=False) as (simulator, engine):
        simulator.faults.json_webhooks = json
        engine.answer_at_once = "here"
        asked = await simulator.say("zhangsan", "hello", chat=chat)
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.via) == ("here", "response")
        message = await engine.next()
        assert message.text == "hello"


async def test_the_parts_of_a_long_answer_are_one_callback_answer():
    async with world("webhook", bot=False) as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello", chat="group")
        message = await engine.next()
        await engine.answer(message, "one", id="r1", final=False)
        await engine.answer(message, "one", id="r1", final=False)
        await engine.answer(message, "two", id="r2")
        assert (await simulator.wait_reply(asked)).text == "one\n\ntwo"


async def gave_up(
    engine: Engine, simulator: MattermostSimulator, chat: str, monkeypatch: pytest.MonkeyPatch
) -> InboundMessage:
    monkeypatch.setattr("ai_engine.channels.mattermost.callbacks.WAIT_SECONDS_MAX", 0.01)
    asked = await simulator.say("zhangsan", "hello", chat=chat)
    message = await engine.next()
    await simulator.wait_settled(asked)
    return message


async def test_after_the_callback_a_command_is_answered_by_its_response_url(
    monkeypatch: pytest.MonkeyPatch,
):
    async with world("webhook", bot=False) as (simulator, engine):
        message = await gave_up(engine, simulator, "private", monkeypatch)
        for n in range(5):
            await engine.answer(message, f"late {n}")
        assert simulator.transcript.list()[-1].text == "late 4"
        with pytest.raises(SendRefused):
            await engine.answer(message, "once too often")
        away = {**message.target, "response_url": "http://elsewhere.test/hooks/x"}
        with pytest.raises(SendRefused, match="elsewhere"):
            await engine.answer(replace(message, target=away), "late")
        over = {**message.target, "expires": 1.0}
        with pytest.raises(SendRefused, match="callback has ended"):
            await engine.answer(replace(message, target=over), "late")
        simulator.faults.clear()


async def test_after_the_callback_a_webhook_cannot_be_answered_without_a_bot(
    monkeypatch: pytest.MonkeyPatch,
):
    async with world("webhook", bot=False) as (simulator, engine):
        message = await gave_up(engine, simulator, "group", monkeypatch)
        with pytest.raises(SendRefused, match=r"auth\.token"):
            await engine.answer(message, "late")
        with pytest.raises(SendRefused, match=r"auth\.token"):
            await engine.channel.fetch(Attachment(kind="file", ref="f"), {})


async def test_a_command_where_the_bot_may_not_post_is_answered_by_its_response_url():
    async with world("webhook") as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        simulator.faults.missing_permission = "create_post"
        await engine.answer(message, "by the hook")
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.via) == ("by the hook", "response")
        assert await engine.channel.open_stream(message.target, "k") is None


async def test_forged_and_broken_callbacks_do_not_get_in():
    async with world("webhook") as (simulator, engine):
        simulator.faults.wrong_secret = True
        for chat in ("private", "group"):
            await simulator.wait_settled(await simulator.say("zhangsan", "forged", chat=chat))
        simulator.faults.clear()
        simulator.faults.change({"malformed_json": True, "json_webhooks": True})
        await simulator.wait_settled(await simulator.say("lisi", "cut", chat="group"))
        assert engine.statuses == [401, 401, 422]
        assert engine.inbox.empty()


@pytest.mark.parametrize(
    ("mode", "method", "path", "body", "status"),
    [
        ("webhook", "POST", "", b"", 401),
        ("webhook", "POST", "", b"token=wrong", 401),
        ("webhook", "POST", "", b"token=" + HOOK.encode(), 422),
        ("webhook", "POST", "", b"\xff", 422),
        ("webhook", "GET", "", b"", 405),
        ("webhook", "POST", "other", b"", 404),
        ("stream", "POST", "", b"token=" + HOOK.encode(), 404),
        ("stream", "POST", "action", b"{}", 401),
        ("stream", "POST", "action", b"[]", 422),
    ],
)
async def test_bad_callbacks_are_answered_by_what_is_wrong(
    mode: str, method: str, path: str, body: bytes, status: int
):
    async with world(mode) as (_, engine):
        request = WebhookRequest(method=method, path=path, headers={}, query={}, body=body)
        assert await _status(engine, request) == status


async def _status(engine: Engine, request: WebhookRequest) -> int:
    try:
        return (await engine.channel.webhook(request, engine.accept)).status
    except Refused as refused:
        return refused.status


async def test_without_a_configured_token_every_callback_is_refused():
    async with world("webhook", auth={"url": "http://127.0.0.1:1"}) as (simulator, engine):
        await simulator.wait_settled(await simulator.say("zhangsan", "hello", chat="group"))
        assert engine.statuses == [401]
        assert engine.channel.status().state == "failing"


async def test_buttons_are_not_served_without_an_address_of_ours():
    async with world(callback_url="") as (_, engine):
        request = WebhookRequest(method="POST", path="action", headers={}, query={}, body=b"{}")
        with pytest.raises(NotFound):
            await engine.channel.webhook(request, engine.accept)


async def test_a_replayed_callback_is_the_same_message():
    async with world("webhook") as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello", chat="group")
        await engine.next()
        await simulator.resend(asked, replay=True)
        assert engine.inbox.empty()
        assert list(engine.seen) == [asked]


async def test_the_bots_own_posts_in_a_webhooks_channel_are_ignored():
    async with world("webhook") as (simulator, engine):
        post = {
            "id": "p" * 26,
            "user_id": simulator.store.bot["id"],
            "message": "hi",
            "file_ids": [],
            "create_at": 1,
            "channel_id": simulator.info()["group"]["id"],
        }
        assert (await simulator.integrations.hook(post)).taken
        assert engine.inbox.empty()


async def test_an_answer_to_somebody_the_server_cannot_reach_is_tried_later():
    async with world("webhook") as (simulator, engine):
        await simulator.say("zhangsan", "hello", chat="group")
        message = await engine.next()
        simulator.faults.error_burst = 1
        with pytest.raises(SendRetryable):
            await engine.channel.finish({"post": "x"}, outgoing(message, "hi"))


async def test_no_secret_is_in_a_log(caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG", logger="ai_engine")
    async with world() as (simulator, engine):
        simulator.faults.change({"error_burst": 1, "forget_connections": True})
        simulator.hub.abort(simulator.hub.connections[0])
        await settled(lambda: engine.channel.status().state == "failing")
        await connected(engine)
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        simulator.faults.expired_token = 2
        with pytest.raises(SendRefused):
            await engine.answer(message, "hi")
    async with world("webhook", bot=False) as (simulator, engine):
        engine.answer_at_once = "hi"
        await simulator.wait_reply(await simulator.say("zhangsan", "hello"))
    assert caplog.records
    assert TOKEN not in caplog.text
    assert HOOK not in caplog.text
    assert "/hooks/commands/" not in caplog.text
