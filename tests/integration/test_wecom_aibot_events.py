"""WeCom AI bots: what comes in besides questions, files, proofs, and the connection's life."""

import asyncio
import json
import logging
from typing import Any

import aiohttp
import pytest

from ai_engine.channels.base import WebhookRequest
from ai_engine.channels.callback_crypto import encrypt, signature
from ai_engine.channels.wecom_aibot import pull
from ai_engine.channels.wecom_aibot.channel import WecomAibotChannel
from ai_engine.channels.wecom_aibot.push import Push
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.domain.errors import (
    Malformed,
    NotFound,
    SendRefused,
    SendRetryable,
    Unauthenticated,
)
from ai_engine.domain.message import Attachment, MessageKind
from ai_engine.domain.reply import Reply
from ai_engine.security.egress import Egress
from ai_engine.simulators.files import SharedFile

from support.clock import ManualClock
from support.hosts import make_host
from support.watched_clock import WatchedClock
from support.wecom_aibot import AUTH, POLL, settings, world

BOTH = pytest.mark.parametrize("mode", ["webhook", "stream"])
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


def file(kind: str, content: bytes = PNG, name: str = "报告.png") -> SharedFile:
    return SharedFile(kind=kind, name=name, mime="image/png", content=content)


# Callbacks: who may call, and what is answered.


async def test_wecom_can_check_the_callback_address():
    async with world() as (simulator, _):
        assert await simulator.check_url() == (200, "echo-1234")
        simulator.faults.wrong_secret = True
        assert (await simulator.check_url())[0] == 401
        simulator.faults.clear()
        simulator.faults.clock_skew_seconds = -700
        assert (await simulator.check_url())[0] == 403


@pytest.mark.parametrize(
    ("knob", "status"),
    [
        ({"wrong_secret": True}, 401),
        ({"clock_skew_seconds": -700}, 403),
        ({"clock_skew_seconds": 700}, 403),
        ({"malformed_json": True}, 422),
    ],
)
async def test_forged_stale_and_broken_callbacks_do_not_get_in(knob: dict[str, Any], status: int):
    async with world() as (simulator, engine):
        simulator.faults.change({**knob, "callback_attempts": 1})
        await simulator.say("zhangsan", "hello")
        assert await engine.answered(1) == [status]
        assert engine.inbox.empty()


async def test_a_replayed_and_a_repeated_message_count_once():
    async with world() as (simulator, engine):
        simulator.faults.duplicate = 2
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        await engine.answer(message, "hi")
        await simulator.wait_reply(asked)
        await simulator.resend(asked, replay=True)
        async with asyncio.timeout(5):
            while engine.duplicates < 3:
                await asyncio.sleep(0)
        assert engine.inbox.empty()
        assert len(simulator.transcript.replies_to(asked)) == 1


async def test_a_full_engine_is_tried_again_and_nothing_is_acknowledged_before():
    async with world() as (simulator, engine):
        engine.overloaded = 2
        asked = await simulator.say("zhangsan", "hello")
        await engine.answer(await engine.next(), "hi")
        assert (await simulator.wait_reply(asked)).text == "hi"
        assert engine.statuses[:3] == [503, 503, 200]


async def test_a_full_engine_is_waited_for_where_wecom_sends_once():
    async with world("stream") as (simulator, engine):
        engine.overloaded = 1
        await simulator.say("zhangsan", "hello")
        assert (await engine.next()).text == "hello"


async def test_requests_that_are_none_of_wecom_s_are_refused():
    async with world() as (_, engine):
        channel = engine.channel

        async def call(**changes: Any) -> int:
            given = {"method": "POST", "path": "", "headers": {}, "query": {}, "body": b"{}"}
            answer = await channel.webhook(WebhookRequest(**{**given, **changes}), engine.accept)
            return answer.status

        assert await call(method="PUT") == 405
        with pytest.raises(NotFound):
            await call(path="/x")
        with pytest.raises(Malformed):
            await call(body=b"[")
        for body in (b"{}", b'{"encrypt": 1}', b'{"encrypt": "x"}'):
            with pytest.raises(Unauthenticated):
                await call(body=body)
        now = str(int(SystemClock().time()))
        sealed = encrypt(AUTH["aes_key"], b'{"msgtype":"stream","stream":{"id":"foreign"}}', "")
        signed = signature(AUTH["token"], now, "n", sealed)
        query = {"timestamp": now, "nonce": "n", "msg_signature": signed}
        with pytest.raises(Malformed, match=r"stream\.id"):
            await call(body=json.dumps({"encrypt": sealed}).encode(), query=query)


async def test_in_stream_mode_no_callback_is_taken():
    async with world("stream") as (_, engine):
        request = WebhookRequest(method="GET", path="", headers={}, query={}, body=b"")
        with pytest.raises(NotFound):
            await engine.channel.webhook(request, engine.accept)


# What people do besides asking.


@BOTH
async def test_who_opens_the_chat_is_greeted_in_the_answer_to_that(mode: str):
    async with world(mode) as (simulator, engine):
        event = await simulator.enter("alice")
        message = await engine.next()
        assert (message.kind, message.sender.user_id) == (MessageKind.WELCOME, "alice")
        await engine.answer(message, Reply(id="w", text="**Hello**, I can …"))
        entry = (
            await simulator.transcript.wait("", lambda: simulator.transcript.list() or None, 5)
        )[-1]
        assert (entry.text, entry.reply_to) == ("Hello, I can …", event)


async def test_a_greeting_from_the_journal_is_found_too():
    async with world() as (simulator, engine):
        await simulator.enter("alice")
        message = await engine.next()
        engine.committed[message.message_id] = [Reply(id="w", text="Hello")]
        found = await simulator.transcript.wait("", lambda: simulator.transcript.list() or None, 5)
        assert found[-1].text == "Hello"


async def test_a_greeting_that_comes_too_late_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pull, "WELCOME_SECONDS_MAX", 0.01)
    monkeypatch.setattr(pull, "_LOOK_SECONDS", 0.01)
    async with world() as (simulator, engine):
        await simulator.enter("alice")
        message = await engine.next()
        await engine.answered(1)
        with pytest.raises(SendRefused, match="too late"):
            await engine.answer(message, "Hello")


async def test_over_the_websocket_a_late_greeting_is_pushed():
    async with world("stream") as (simulator, engine):
        await simulator.enter("alice")
        message = await engine.next()
        message.target["at"] -= 6
        await engine.answer(message, "Hello")
        assert simulator.transcript.list()[-1].via == "send_msg"


@BOTH
async def test_nobody_is_greeted_where_that_is_switched_off(mode: str):
    async with world(mode, welcome=False) as (simulator, engine):
        await simulator.enter("alice")
        await simulator.say("alice", "hello")
        assert (await engine.next()).text == "hello"


@BOTH
async def test_ratings_name_the_answer_that_was_rated(mode: str):
    async with world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        await engine.answer(await engine.next(), Reply(id="r0", text="hi", feedback="fb-1"))
        entry = await simulator.wait_reply(asked)
        for rating in ("good", "bad", "none"):
            await simulator.rate(entry.id, rating, text="too short")
            message = await engine.next()
            assert message.kind is MessageKind.FEEDBACK
            assert (message.payload["of"], message.payload["rating"]) == ("fb-1", rating)
            assert ("too short" in message.payload["text"]) is (rating == "bad")


@BOTH
async def test_an_answer_that_is_not_to_be_rated_takes_no_rating(mode: str):
    async with world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        await engine.answer(await engine.next(), "hi")
        await simulator.rate((await simulator.wait_reply(asked)).id, "good")
        await simulator.say("zhangsan", "next")
        assert (await engine.next()).text == "next"


async def test_no_rating_is_offered_where_that_is_switched_off():
    async with world(feedback=False) as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        await engine.answer(await engine.next(), Reply(id="r0", text="hi", feedback="fb-1"))
        assert (await simulator.wait_reply(asked)).id not in simulator.chat.feedback


async def test_an_answer_by_the_reply_address_can_be_rated_too():
    async with world() as (simulator, engine):
        simulator.faults.no_polls = True
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        message.target["at"] -= 400
        await engine.answer(message, Reply(id="r0", text="hi", feedback="fb-2"))
        entry = simulator.transcript.replies_to(asked)[-1]
        await simulator.rate(entry.id, "good")
        assert (await engine.next()).payload["of"] == "fb-2"


@BOTH
async def test_quotes_voices_and_unknown_kinds_are_read_honestly(mode: str):
    async with world(mode) as (simulator, engine):
        quoted = {"msgtype": "text", "text": {"content": "five days"}}
        await simulator.quote("zhangsan", "why?", quoted)
        message = await engine.next()
        assert (message.text, message.quote) == ("why?", "five days")
        await simulator.say("zhangsan", "spoken words", file=file("audio"))
        message = await engine.next()
        assert (message.kind, message.text) == (MessageKind.TEXT, "spoken words")
        simulator.faults.unknown_msgtype = True
        await simulator.say("zhangsan", "x")
        message = await engine.next()
        assert (message.kind, message.text) == (MessageKind.UNSUPPORTED, "red_packet")


async def test_the_robot_is_seen_to_be_at_work_before_it_answers():
    async with world("stream") as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        assert engine.channel.capabilities.seen
        await engine.channel.seen(message.target)
        entry = await simulator.wait_reply(asked, unfinished=True)
        assert (entry.state, entry.text) == ("streaming", "")
        await engine.answer(message, "hi")
        assert (await simulator.wait_reply(asked)).id == entry.id


async def test_it_is_not_shown_at_work_where_that_is_switched_off():
    async with world("stream", seen=False) as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        await engine.channel.seen((await engine.next()).target)
        assert simulator.wire.rows(path="aibot_respond_msg") == []


# Files.


@BOTH
@pytest.mark.parametrize("kind", ["picture", "file"])
async def test_files_from_people_are_fetched_and_decrypted(mode: str, kind: str):
    async with world(mode) as (simulator, engine):
        content = PNG * 1000
        await simulator.say("zhangsan", file=file(kind, content))
        message = await engine.next()
        assert (message.kind, message.text) == (MessageKind.TEXT, "")
        [attachment] = message.attachments
        media = await engine.channel.fetch(attachment, message.target)
        assert media.content == content
        assert (media.name, media.mime) == ("报告.png", "image/png")


async def test_a_picture_with_words_in_a_group_is_one_question():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "what is this?", chat="group", file=file("picture"))
        message = await engine.next()
        assert message.text == "what is this?"
        assert [item.kind for item in message.attachments] == ["image"]


async def test_a_video_is_named_not_guessed():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", file=file("video"))
        message = await engine.next()
        assert (message.kind, message.text) == (MessageKind.UNSUPPORTED, "视频 / video")


async def test_files_that_are_gone_too_large_or_elsewhere_are_refused():
    async with world() as (simulator, engine):
        simulator.faults.media_seconds = 0
        await simulator.say("zhangsan", file=file("picture"))
        message = await engine.next()
        fetch = engine.channel.fetch
        with pytest.raises(SendRefused, match="HTTP 403"):
            await fetch(message.attachments[0], message.target)
        simulator.faults.clear()
        simulator.faults.poll_seconds = POLL
        await simulator.say("zhangsan", file=file("file", b"x" * 10_000_100))
        with pytest.raises(SendRefused, match="more than"):
            await fetch((await engine.next()).attachments[0], {})
        for url in (
            "http://169.254.169.254/latest",
            "https://ww-aibot-img-999.cos.ap-guangzhou.myqcloud.com/x",
            "file:///etc/passwd",
        ):
            ref = json.dumps({"url": url})
            with pytest.raises(SendRefused, match="refused a URL"):
                await fetch(Attachment(kind="image", ref=ref), {})
        with pytest.raises(SendRefused, match="no address"):
            await fetch(Attachment(kind="image"), {})


async def test_a_reply_address_elsewhere_is_not_followed():
    async with world() as (simulator, engine):
        simulator.faults.no_polls = True
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        message.target["at"] -= 400
        message.target["response_url"] = "http://127.0.0.1:9/internal?token=x"
        with pytest.raises(SendRefused, match="not allowed") as caught:
            await engine.answer(message, "hi")
        assert "token" not in str(caught.value)


async def test_over_http_pictures_stand_in_the_answer_and_other_files_are_named():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "chart")
        refs = [await engine.media.put(PNG, name="a.png", mime="image/png")]
        refs.append(await engine.media.put(b"%PDF", name="b.pdf", mime="application/pdf"))
        media = tuple(
            Attachment(kind=kind, url=ref)
            for kind, ref in zip(("image", "file", "file"), [*refs, "blob:gone"], strict=True)
        )
        await engine.answer(await engine.next(), Reply(id="r0", text="Here", media=media))
        entry = await simulator.wait_reply(asked)
        assert entry.text.startswith("Here\n\n📎 b.pdf")
        assert "not kept" in entry.text
        async with aiohttp.ClientSession() as http, http.get(simulator.url + entry.url) as found:
            assert await found.read() == PNG


async def test_over_the_websocket_files_are_uploaded_in_pieces():
    async with world("stream") as (simulator, engine):
        await simulator.say("zhangsan", "files")
        contents = {"image": PNG, "file": b"0123456789" * 60_000}
        media = [
            Attachment(kind=kind, url=await engine.media.put(content, name=f"{kind}.bin"))
            for kind, content in contents.items()
        ]
        reply = Reply(id="r0", text="Here", media=tuple(media))
        await engine.answer(await engine.next(), reply)
        entries = [e for e in simulator.transcript.list() if e.sender == "bot"]
        assert [e.kind for e in entries] == ["markdown", "picture", "file"]
        assert len(simulator.wire.rows(path="aibot_upload_media_chunk")) == 3
        async with aiohttp.ClientSession() as http:
            for entry, content in zip(entries[1:], contents.values(), strict=True):
                async with http.get(simulator.url + entry.url) as found:
                    assert await found.read() == content


@pytest.mark.parametrize("restart", [False, True])
async def test_a_repeated_delivery_sends_only_what_is_missing(restart: bool):
    async with world("stream") as (simulator, engine):
        await simulator.say("zhangsan", "files")
        message = await engine.next()
        image = await engine.media.put(PNG, name="a.png", mime="image/png")
        reply = Reply(id="r0", text="Here", media=(Attachment(kind="image", url=image),))
        simulator.faults.change({"throttle_after": 1, "throttle_times": 1})
        with pytest.raises(SendRetryable):
            await engine.answer(message, reply)
        if restart:  # as far as sending goes
            channel = engine.channel
            channel._road = channel._push = Push(channel.config, channel.host, channel._connected)
        await engine.answer(message, reply)
        kinds = [e.kind for e in simulator.transcript.list() if e.sender == "bot"]
        assert kinds == ["markdown", "picture"]


# Writing first.


async def test_people_and_groups_can_be_written_to_first_over_the_websocket():
    async with world("stream") as (simulator, engine):
        for to in ("user:lisi", "group:cid-group-ops"):
            address = engine.channel.address(to)
            reply = Reply(id=to, text=f"for {to}")
            outgoing = engine.outgoing(await _message(simulator, engine), reply)
            outgoing = type(outgoing)(
                reply=reply,
                target=address.target,
                in_reply_to="",
                inbound_id="",
                session_key="k",
                user_id=address.user_id,
            )
            await engine.channel.send(outgoing)
        said = {e.text: e.conversation for e in simulator.transcript.list() if e.sender == "bot"}
        assert said == {
            "for user:lisi": "cid-private-lisi",
            "for group:cid-group-ops": "cid-group-ops",
        }
        for wrong in ("lisi", "mail:x", "user:"):
            with pytest.raises(Malformed):
                engine.channel.address(wrong)


async def _message(simulator: Any, engine: Any) -> Any:
    await simulator.say("zhangsan", "hello")
    return await engine.next()


async def test_over_http_nobody_can_be_written_to_first():
    async with world() as (_, engine):
        with pytest.raises(Malformed, match="can only answer"):
            engine.channel.address("user:lisi")
        with pytest.raises(SendRefused, match="nothing that can be called"):
            await engine.channel.check()


# The connection.


async def test_credentials_are_checked_with_and_without_a_connection():
    async with world("stream") as (simulator, engine):
        assert await engine.channel.check() == f"connected as robot {AUTH['bot_id']}"
        egress = Egress()
        await egress.start()
        try:
            host = make_host(egress, SystemClock())
            other = WecomAibotChannel("b", settings(simulator, "stream"), host)
            assert "accepts robot" in await other.check()
            bad = settings(simulator, "stream", auth={"bot_id": "x", "secret": "y"})
            with pytest.raises(Unauthenticated, match="id and secret"):
                await WecomAibotChannel("b", bad, host).check()
            nowhere = ChannelConfig.model_validate(
                {"mode": "stream", "auth": AUTH, "endpoints": {"ws": "ws://127.0.0.1:9"}}
            )
            with pytest.raises(SendRetryable, match="could not be reached"):
                await WecomAibotChannel("b", nowhere, host).check()
            empty = ChannelConfig.model_validate({"mode": "stream"})
            with pytest.raises(Unauthenticated, match="empty"):
                await WecomAibotChannel("b", empty, host).check()
        finally:
            await egress.close()


async def test_a_lost_connection_is_opened_again_and_answers_go_on():
    clock = WatchedClock()
    async with world("stream", clock=clock) as (simulator, engine):
        asked = await simulator.say("zhangsan", "before")
        message = await engine.next()
        simulator.faults.drop_at_frame = 1
        await simulator.say("lisi", "into a breaking connection")
        await simulator.socket.wait_connected(False)
        with pytest.raises(SendRetryable, match=r"not connected|lost|closed|acknowledge"):
            await engine.answer(message, "hi")
        await clock.asleep(lambda seconds: 0.4 <= seconds <= 1.0)
        assert engine.channel.status().state == "connecting"
        await clock.advance(1.0)
        await engine.connected()
        await engine.answer(message, "hi")
        assert (await simulator.wait_reply(asked)).text == "hi"
        assert engine.channel.status().state == "connected"


async def test_a_newer_connection_is_not_fought_over():
    clock = WatchedClock()
    async with world("stream", clock=clock) as (simulator, engine):
        async with aiohttp.ClientSession() as http, http.ws_connect(simulator.ws_url) as other:
            body = {"bot_id": AUTH["bot_id"], "secret": AUTH["secret"]}
            await other.send_json(
                {"cmd": "aibot_subscribe", "headers": {"req_id": "x"}, "body": body}
            )
            assert (await other.receive_json())["errcode"] == 0
            await clock.asleep(lambda seconds: 0.4 <= seconds <= 1.0)
            await clock.advance(1.0)
            await clock.asleep(lambda seconds: seconds == 60.0)
            status = engine.channel.status()
            assert status.state == "failing"
            assert "another connection of this robot has taken over" in status.detail
        await simulator.socket.wait_connected(False)
        await clock.advance(60.0)
        await engine.connected()


async def test_two_unanswered_pings_end_a_connection():
    clock = WatchedClock()
    async with world("stream", clock=clock) as (simulator, engine):
        simulator.faults.silent_pings = True
        for count in (1, 2):
            await clock.asleep(lambda seconds: seconds == 30.0, count)
            await clock.advance(30.0)
            async with asyncio.timeout(5):
                while len(simulator.wire.rows(path="ping")) < count:
                    await asyncio.sleep(0)
        assert simulator.socket.connected
        await clock.asleep(lambda seconds: seconds == 30.0, 3)
        await clock.advance(30.0)
        await simulator.socket.wait_connected(False)
        assert engine.channel.status().state == "connecting"


async def test_answered_pings_keep_a_connection():
    clock = WatchedClock()
    async with world("stream", clock=clock) as (simulator, engine):
        for count in range(1, 6):
            await clock.asleep(lambda seconds: seconds == 30.0, count)
            await clock.advance(30.0)
            async with asyncio.timeout(5):
                while engine.channel.status().last_event_age_seconds != 0.0:
                    await asyncio.sleep(0)
        assert simulator.socket.connected


async def test_a_missing_acknowledgement_is_waited_for_five_seconds(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("ai_engine.channels.wecom_aibot.link.ACK_SECONDS", 0.05)
    async with world("stream") as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        handle = await engine.channel.open_stream(message.target, "k")
        assert handle is not None
        simulator.faults.drop_answer = 1
        with pytest.raises(SendRetryable, match="acknowledge"):
            await engine.channel.update(handle, "h")
        await engine.answer(message, "hi")
        assert (await simulator.wait_reply(asked)).text == "hi"


async def test_frames_of_one_question_take_turns_and_those_of_many_do_not():
    async with world("stream") as (simulator, engine):
        simulator.faults.chat_per_minute = 0
        messages = []
        for n in range(50):
            await simulator.say(f"user{n}", "hello")
            messages.append(await engine.next())
        simulator.faults.answer_delay_seconds = 0.001
        async with asyncio.timeout(5):
            await asyncio.gather(*(engine.answer(m, f"to {m.sender.user_id}") for m in messages))
        for message in messages:
            reply = await simulator.wait_reply(message.message_id)
            assert reply.text == f"to {message.sender.user_id}"


async def test_many_answers_over_http_are_fetched_at_once():
    async with world() as (simulator, engine):
        messages = []
        for n in range(50):
            await simulator.say(f"user{n}", "hello")
            messages.append(await engine.next())
        async with asyncio.timeout(10):
            await asyncio.gather(*(engine.answer(m, f"to {m.sender.user_id}") for m in messages))
        texts = {e.text for e in simulator.transcript.list() if e.sender == "bot"}
        assert texts == {f"to user{n}" for n in range(50)}


async def test_secrets_are_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    for mode in ("webhook", "stream"):
        async with world(mode) as (simulator, engine):
            await simulator.say("zhangsan", "hello", file=file("picture"))
            message = await engine.next()
            simulator.faults.reply_errcode = 40058
            message.target["at"] -= 90_000 if mode == "stream" else 400
            with pytest.raises(SendRefused) as caught:
                await engine.answer(message, "hi")
            said = caplog.text + str(caught.value)
            secrets = [AUTH["secret"], AUTH["token"], AUTH["aes_key"]]
            code = message.target["response_url"].rpartition("=")[2]
            for secret in [*secrets, code]:
                assert secret not in said


async def test_faulty_frames_do_not_end_the_connection():
    async with world("stream") as (simulator, engine):
        simulator.faults.malformed_json = True
        await simulator.wait_settled(await simulator.say("zhangsan", "cut"))
        simulator.faults.clear()
        simulator.faults.oversized_bytes = 300_000
        await simulator.wait_settled(await simulator.say("zhangsan", "big"))
        simulator.faults.clear()
        await simulator.say("zhangsan", "whole")
        assert (await engine.next()).text == "whole"
        assert engine.channel.status().state == "connected"


async def test_problems_of_the_configuration_are_said_before_anything_is_called():
    def problems(config: dict[str, Any]) -> str:
        host = make_host(None, ManualClock())
        channel = WecomAibotChannel("a", ChannelConfig.model_validate(config), host)
        assert isinstance(channel, WecomAibotChannel)
        return channel.status().detail

    assert "auth.token" in problems({})
    assert "auth.aes_key" in problems({"auth": {"token": "t"}})
    assert "EncodingAESKey" in problems({"auth": {"token": "t", "aes_key": "short"}})
    assert "auth.bot_id" in problems({"mode": "stream"})
    named = {"mode": "stream", "auth": {"app_id": "b", "app_secret": "s"}}
    assert problems(named) == ""
    assert "mode: poll" in problems({"mode": "poll"})
