"""The DingTalk channel against the simulated DingTalk, which the vendor's own SDKs have proved."""

import asyncio
from typing import Any

import pytest

from ai_engine.domain.errors import SendRefused, SendRetryable
from ai_engine.domain.message import MessageKind
from ai_engine.simulators.files import SharedFile

from support.dingtalk_world import world


@pytest.mark.parametrize("mode", ["webhook", "stream"])
@pytest.mark.parametrize("chat", ["private", "group"])
async def test_a_question_is_answered_where_it_was_asked(mode: str, chat: str):
    async with world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "明天有什么安排?", chat=chat)
        message = await engine.next()
        assert message.text == "明天有什么安排?"
        assert message.chat.kind == chat
        await engine.answer(message, "**没有**安排")
        reply = await simulator.wait_reply(asked)
        assert "**没有**安排" in reply.text
        assert reply.via == "sessionWebhook"


@pytest.mark.parametrize("chat", ["private", "group"])
async def test_after_the_session_has_ended_the_answer_still_arrives(chat: str):
    async with world(reply="text") as (simulator, engine):
        simulator.faults.session_webhook_expired = True
        asked = await simulator.say("zhangsan", "hello", chat=chat)
        await engine.answer(await engine.next(), "late but **there**")
        reply = await simulator.wait_reply(asked)
        assert reply.text == "late but there"
        assert reply.via == ("oToMessages" if chat == "private" else "groupMessages")


async def test_a_hook_that_is_over_by_its_own_time_is_not_tried():
    async with world() as (simulator, engine):
        simulator.faults.session_webhook_seconds = 0
        asked = await simulator.say("zhangsan", "hello")
        await engine.answer(await engine.next(), "hi")
        assert (await simulator.wait_reply(asked)).via == "oToMessages"
        assert simulator.wire.rows(path="/robot/sendBySession") == []


async def test_an_access_token_that_was_revoked_is_renewed():
    async with world() as (simulator, engine):
        simulator.faults.session_webhook_seconds = 0
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        await engine.answer(message, "one")
        await simulator.wait_reply(asked)
        simulator.faults.expired_token = 1
        await engine.answer(message, "two")
        texts = [entry.text for entry in simulator.transcript.list()]
        assert texts[-1].endswith("two")


async def test_forged_and_stale_messages_do_not_get_in():
    async with world() as (simulator, engine):
        knobs: tuple[dict[str, Any], ...] = (
            {"wrong_secret": True},
            {"clock_skew_seconds": -3700.0},
            {"malformed_json": True},
        )
        for knob in knobs:
            simulator.faults.change(knob)
            settled = await simulator.wait_settled(await simulator.say("zhangsan", "hello"))
            assert settled.status == "undelivered"
            simulator.faults.clear()
        assert engine.inbox.empty()
        assert engine.statuses == [401, 403, 422]


async def test_a_message_that_comes_twice_is_the_same_message():
    async with world() as (simulator, engine):
        simulator.faults.duplicate = 1
        asked = await simulator.say("zhangsan", "hello")
        assert [(await engine.next()).message_id for _ in range(2)] == [asked, asked]


async def test_people_without_staff_id_and_withheld_or_unknown_contents_are_taken_honestly():
    async with world() as (simulator, engine):
        simulator.faults.no_staff_id = True
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        assert message.sender.user_id
        assert message.target["senderStaffId"] == ""
        await engine.answer(message, "hi")
        simulator.faults.clear()
        simulator.faults.over_quota = True
        await simulator.say("zhangsan", "hello")
        assert (await engine.next()).payload == {"error_code": "20001"}
        simulator.faults.clear()
        simulator.faults.unknown_msgtype = True
        await simulator.say("zhangsan", "hello")
        assert (await engine.next()).kind is MessageKind.UNSUPPORTED


@pytest.mark.parametrize("kind", ["picture", "audio", "video", "file"])
async def test_files_are_taken_with_their_reference(kind: str):
    async with world() as (simulator, engine):
        file = SharedFile(kind=kind, name="a.bin", mime="application/octet-stream", content=b"x")
        await simulator.say("zhangsan", file=file)
        message = await engine.next()
        readable = kind in ("picture", "file")
        assert message.kind is (MessageKind.TEXT if readable else MessageKind.UNSUPPORTED)
        found = await engine.channel.fetch(message.attachments[0], message.target)
        assert found.content == b"x"


@pytest.mark.parametrize(
    ("knob", "error", "said"),
    [
        ({"missing_scope": "qyapi_robot_sendmsg"}, SendRefused, "qyapi_robot_sendmsg"),
        ({"monthly_quota": True}, SendRefused, "quota"),
        ({"throttle_after": 0}, SendRetryable, "throttles"),
        ({"error_burst": 9}, SendRetryable, "DingTalk"),
        ({"drop_answer": 9}, SendRetryable, "could not be reached"),
    ],
)
async def test_refusals_of_the_api_say_what_to_do(
    knob: dict[str, Any], error: type[Exception], said: str
):
    async with world() as (simulator, engine):
        simulator.faults.session_webhook_seconds = 0
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        simulator.faults.change(knob)
        with pytest.raises(error, match=said):
            await engine.answer(message, "hi")


async def test_throttling_of_the_session_hook_is_tried_later():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        simulator.faults.change({"throttle_after": 0, "throttle_times": 1})
        with pytest.raises(SendRetryable):
            await engine.answer(message, "hi")
        await engine.answer(message, "hi")


async def test_a_long_answer_fits_the_platform_s_limits():
    async with world() as (simulator, engine):
        simulator.faults.session_webhook_seconds = 0
        asked = await simulator.say("zhangsan", "hello")
        text = '"天气"\n' * (engine.channel.capabilities.text_limit // 9)
        await engine.answer(await engine.next(), text)
        assert (await simulator.wait_reply(asked)).text.count("天气") == text.count("天气")


async def test_stream_connections_are_replaced_without_losing_a_message():
    async with world("stream") as (simulator, engine):
        await simulator.stream.disconnect()
        await simulator.stream.wait_connections(1)
        await simulator.say("zhangsan", "after the first")
        assert (await engine.next()).text == "after the first"
        simulator.faults.drop_at_frame = 1
        await simulator.say("lisi", "into a breaking connection")
        await simulator.stream.wait_connections(0)
        await simulator.stream.wait_connections(1)
        await simulator.say("wangwu", "after the second")
        async with asyncio.timeout(5):
            while (await engine.next()).text != "after the second":
                pass
        assert engine.channel.status().state == "connected"


async def test_a_stream_that_answers_pings_is_kept():
    async with world("stream") as (simulator, engine):
        [connection] = simulator.stream.robot_connections
        async with asyncio.timeout(5):
            for _ in range(3):  # three frames: each makes the age of the last one fall
                age = before = 0.0
                while age >= before:
                    await asyncio.sleep(0)
                    before, age = age, engine.channel.status().last_event_age_seconds or 0.0
        await simulator.say("zhangsan", "hello")
        await engine.next()
        assert simulator.stream.robot_connections == [connection]
