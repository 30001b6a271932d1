"""The Matrix channel on a homeserver that fails: nothing is lost, nothing is hammered."""

import asyncio
import logging

import pytest

from ai_engine.channels.matrix import sync
from ai_engine.domain.errors import SendRefused, SendRetryable, Unauthenticated
from ai_engine.domain.message import Attachment

from support.matrix_fake import ALICE, ME, ROOM, TOKEN, fake_world, timeline, written
from support.synapse import outgoing
from support.watched_clock import WatchedClock


async def until(reached):
    async with asyncio.timeout(5):
        while not reached():
            await asyncio.sleep(0)


async def test_a_poll_that_breaks_or_cannot_be_read_loses_nothing():
    clock = WatchedClock()
    async with fake_world(clock=clock) as (server, bot):
        server.spoil("/sync", 502)
        server.spoil("/sync", 200, raw=b'{"next_batch": "s9", "rooms": {"join"')
        server.tell({})
        await clock.asleep(lambda seconds: 0.5 <= seconds <= 1)
        assert bot.channel.status().state == "failing"
        assert "502" in bot.channel.status().detail
        await clock.advance(1)
        await clock.asleep(lambda seconds: 1 <= seconds <= 2, times=1)
        server.tell(timeline(written("$1", "still here")))
        await clock.advance(2)
        assert (await bot.next()).text == "still here"
        await until(lambda: bot.channel.status().state == "connected")


async def test_the_position_moves_only_when_messages_are_durable():
    clock = WatchedClock()
    async with fake_world(clock=clock) as (server, bot):
        bot.full = 1_000_000
        server.tell(timeline(written("$1", "kept back")))
        async with asyncio.timeout(5):
            while bot.channel.status().state != "failing":
                await clock.advance(1)
        assert server.kept["org.ai-engine.sync"]["since"] == "s0"
        bot.full = 0
        await clock.advance(60)
        assert (await bot.next()).message_id == "$1"
        await until(lambda: server.kept["org.ai-engine.sync"]["since"] != "s0")


async def test_a_repeated_event_has_the_same_key():
    async with fake_world() as (server, bot):
        server.tell(timeline(written("$1", "once"), written("$1", "once")))
        server.tell(timeline(written("$1", "once"), written("$2", "twice")))
        assert [(await bot.next()).text for _ in range(2)] == ["once", "twice"]
        assert bot.inbox.empty()


async def test_a_gap_is_filled_back_to_the_last_position_in_order():
    async with fake_world() as (server, bot):
        server.pages["p1"] = {"chunk": [written("$3", "3"), written("$2", "2")], "end": "p2"}
        server.pages["p2"] = {"chunk": [written("$1", "1")]}
        server.tell(timeline(written("$4", "4"), limited=True))
        assert [(await bot.next()).text for _ in range(4)] == ["1", "2", "3", "4"]
        asked = [found for _, path, found in server.calls if path.endswith("/messages")]
        assert [found["from"] for found in asked] == ["p1", "p2"]
        assert all(found["to"] for found in asked)


async def test_an_endless_gap_is_read_for_ten_pages(caplog):
    async with fake_world() as (server, bot):
        server.pages["p1"] = {"chunk": [written("$1", "old")], "end": "p1"}
        server.tell(timeline(written("$9", "new"), limited=True))
        assert (await bot.next()).text == "old"
        assert (await bot.next()).text == "new"
        assert len(server.paths("/messages")) == sync.PAGES_MAX
        assert "a gap is too long" in caplog.text


async def test_a_token_that_is_not_accepted_is_said_and_asked_about_slowly():
    clock = WatchedClock()
    async with fake_world(clock=clock, running=False) as (server, bot):
        unknown = {"errcode": "M_UNKNOWN_TOKEN", "error": "Invalid access token passed."}
        server.spoil("/whoami", 401, unknown, times=2)
        with pytest.raises(Unauthenticated, match="does not accept the access token"):
            await bot.channel.check()
        bot._running = asyncio.create_task(bot.channel.run(bot.accept))
        await clock.asleep(lambda seconds: seconds == sync.SLOW_SECONDS)
        status = bot.channel.status()
        assert status.state == "failing"
        assert "access token" in status.detail
        await clock.advance(sync.SLOW_SECONDS)
        await until(lambda: bot.channel.status().state == "connected")


async def test_another_account_s_token_is_refused():
    async with fake_world(running=False) as (server, bot):
        server.spoil("/whoami", 200, {"user_id": "@other:fake.example"})
        with pytest.raises(SendRefused, match=r"@other:fake\.example"):
            await bot.channel.check()


async def test_throttling_is_waited_for_as_long_as_the_homeserver_asks():
    async with fake_world() as (server, bot):
        server.tell(timeline(written("$1")))
        message = await bot.next()
        limited = {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500}
        server.spoil("/send/", 429, limited)
        with pytest.raises(SendRetryable) as caught:
            await bot.answer(message, "one", id="r1")
        assert caught.value.retry_after_seconds == 2.5
        server.spoil("/send/", 429, {}, headers={"Retry-After": "7"})
        with pytest.raises(SendRetryable) as caught:
            await bot.answer(message, "one", id="r1")
        assert caught.value.retry_after_seconds == 7
        await bot.answer(message, "one", id="r1")
        sent = server.paths("/send/")
        assert len(sent) == 3
        assert len(set(sent)) == 1  # the same transaction


async def test_a_throttled_poll_waits():
    clock = WatchedClock()
    async with fake_world(clock=clock) as (server, bot):
        server.spoil("/sync", 429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 33_000})
        server.tell({})
        await clock.asleep(lambda seconds: seconds == 33)
        assert "throttles" in bot.channel.status().detail


async def test_a_poll_without_any_answer_is_given_up_and_asked_again(monkeypatch):
    monkeypatch.setattr(sync, "HOLD_SECONDS", 0.0)
    clock = WatchedClock()
    async with fake_world(clock=clock, running=False) as (server, bot):
        server.silent = True
        running = sync.Syncer(
            "matrix",
            bot.channel._client,
            bot.channel._rooms,
            bot.channel._inbox,
            bot.channel.host,
            bot.accept,
            user=ME,
            hold_seconds=0.05,
            answer_seconds=0.05,
        )
        task = asyncio.create_task(running.run())
        await clock.asleep(lambda seconds: 0.5 <= seconds <= 1)
        assert running.state == "failing"
        server.silent = False
        await clock.advance(1)
        await until(lambda: running.state == "connected")
        task.cancel()
        await asyncio.wait([task])


async def test_a_position_that_is_not_known_any_more_begins_anew(caplog):
    clock = WatchedClock()
    async with fake_world(clock=clock) as (server, bot):
        server.spoil("/sync", 400, {"errcode": "M_UNKNOWN", "error": "Invalid stream token"})
        server.tell({})
        await clock.asleep(lambda seconds: 0.5 <= seconds <= 1)
        assert "the position is not known any more" in caplog.text
        server.tell(timeline(written("$1", "after")))
        await clock.advance(1)
        assert (await bot.next()).text == "after"


async def test_an_invitation_that_cannot_be_accepted_now_survives_a_restart():
    clock = WatchedClock()
    invited = {
        "type": "m.room.member",
        "state_key": ME,
        "sender": ALICE,
        "content": {"membership": "invite"},
    }
    invite = {"rooms": {"invite": {ROOM: {"invite_state": {"events": [invited]}}}}}
    async with fake_world(clock=clock) as (server, bot):
        server.spoil("/join", 503)
        server.tell(invite)
        await until(lambda: server.kept["org.ai-engine.sync"].get("invites"))
        await until(lambda: not server.spoiled)
        await bot.stop()
        assert server.kept["org.ai-engine.sync"]["invites"] == {
            ROOM: {"by": ALICE, "direct": False}
        }
        await bot.start()
        await until(lambda: len(server.paths("/join")) >= 2)
        server.tell({})
        await until(lambda: server.kept["org.ai-engine.sync"]["invites"] == {})


async def test_one_event_that_cannot_be_looked_into_holds_nothing_up_for_ever(caplog):
    clock = WatchedClock()
    async with fake_world(clock=clock) as (server, bot):
        relation = {"m.relates_to": {"m.in_reply_to": {"event_id": "$broken"}}}
        spoiled = timeline(written("$1", "first", **relation), written("$2", "second"))
        server.spoil("/event/", 500, times=sync.ATTEMPTS_MAX + 1)
        server.tell(spoiled)
        async with asyncio.timeout(5):
            while bot.inbox.empty():
                await clock.advance(60)
        assert (await bot.next()).text == "second"
        assert "an event was left out" in caplog.text


async def test_an_old_homeserver_s_files_are_fetched_by_the_old_path():
    async with fake_world(running=False) as (server, bot):
        server.spoil("/client/v1/media", 404, {"errcode": "M_UNRECOGNIZED"})
        server.spoil("/media/v3/download", 200, raw=b"old")
        found = await bot.channel.fetch(Attachment(kind="file", ref="mxc://fake.example/1"), {})
        assert found.content == b"old"


async def test_a_file_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr("ai_engine.channels.matrix.channel.MEDIA_BYTES_MAX", 3)
    async with fake_world(running=False) as (server, bot):
        server.spoil("/media/download", 200, raw=b"four")
        with pytest.raises(SendRefused, match="more than 3 bytes"):
            await bot.channel.fetch(Attachment(kind="file", ref="mxc://fake.example/1"), {})


async def test_broken_events_are_left_out_and_the_rest_is_taken(caplog):
    async with fake_world() as (server, bot):
        odd = [{}, {"type": "m.room.message"}, {"type": "m.room.message", "event_id": "x"}, 5]
        server.tell(timeline(*odd, written("$1", "fine"), {**written("$2"), "sender": "nobody"}))
        assert (await bot.next()).text == "fine"
        await until(lambda: "an event was left out" in caplog.text)
        assert bot.inbox.empty()


async def test_the_token_is_in_no_log_and_no_error(caplog):
    caplog.set_level(logging.DEBUG)
    clock = WatchedClock()
    async with fake_world(clock=clock) as (server, bot):
        server.tell(timeline(written("$1")))
        message = await bot.next()
        for status in (401, 403, 404, 413, 500):
            server.spoil("/send/", status, {"errcode": "M_X", "error": "no"})
            with pytest.raises((SendRefused, SendRetryable)) as caught:
                await bot.answer(message, "x")
            assert TOKEN not in str(caught.value)
        server.spoil("/sync", 500)
        server.tell({})
        await clock.asleep(lambda seconds: seconds <= 1)
        assert TOKEN not in bot.channel.status().detail
    assert TOKEN not in caplog.text


async def test_settings_are_checked_before_anything_is_called():
    wrong = {"auth": {"homeserver": "matrix.example.org", "user": "bot"}}
    async with fake_world(running=False, **wrong) as (server, bot):
        detail = bot.channel.status().detail
        for word in ("auth.homeserver", "auth.user", "auth.access_token"):
            assert word in detail
        await bot.channel.run(bot.accept)
        assert server.calls == []


async def test_the_general_names_stand_in_for_matrix_s_own():
    async with fake_world(running=False) as (server, _):
        general = {"auth": {"app_id": ME, "app_secret": TOKEN}, "endpoints": {"api": server.url}}
        async with fake_world(running=False, **general) as (_, other):
            assert other.channel.problems == []
            assert ME in str(await other.channel._client.whoami())


async def test_many_answers_at_once_ask_for_the_account_once():
    async with fake_world() as (server, bot):
        server.tell(timeline(written("$1")))
        message = await bot.next()
        await asyncio.gather(*(bot.channel.send(outgoing(message, f"{n}")) for n in range(200)))
        assert len(server.paths("/whoami")) == 1
        assert len(set(server.paths("/send/"))) == 200
