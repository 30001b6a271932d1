"""The stream gateway, driven by the vendor's own SDK in a child process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ai_engine.simulators.dingtalk import DingTalkSimulator
from ai_engine.simulators.dingtalk.connection import StreamTimes

from support.dingtalk_bot import sdk_bot

TIMES = StreamTimes(event_retry=0.05, disconnect_grace=0.2)


@asynccontextmanager
async def simulated() -> AsyncGenerator[DingTalkSimulator]:
    async with DingTalkSimulator(app_id="dingapp", app_secret="s3cret", times=TIMES) as sim:
        yield sim


async def test_sdk_receives_a_private_message_and_its_text_reply_is_shown():
    async with simulated() as sim, sdk_bot(sim) as bot:
        assert (await bot.next("token"))["ok"]
        await sim.stream.wait_connections(1)
        asked = await sim.say("zhangsan", "hello")
        got = await bot.next("message")
        assert (got["id"], got["text"], got["staff"], got["chat"]) == (
            *(asked, "hello", "zhangsan", "1"),
        )
        reply = await sim.wait_reply(asked)
        assert (reply.text, reply.kind, reply.reply_to) == ("echo: hello", "text", asked)
        assert (await bot.next("replied"))["answer"] == {"errcode": 0, "errmsg": "ok"}
        settled = await sim.wait_settled(asked)
        assert (settled.status, settled.via) == ("delivered", "stream")


async def test_sdk_receives_a_group_message_without_the_mention_and_answers_markdown():
    async with simulated() as sim, sdk_bot(sim) as bot:
        await sim.stream.wait_connections(1)
        asked = await sim.say("lisi", "@AI助手 md 你好", chat="group")
        got = await bot.next("message")
        assert (got["text"], got["chat"]) == (" md 你好", "2")
        assert got["at"] == [{"dingtalkId": sim.robot.user_id}]
        reply = await sim.wait_reply(asked)
        assert (reply.text, reply.kind, reply.title) == ("**你好**", "markdown", "answer")


async def test_sdk_with_a_wrong_secret_gets_neither_token_nor_connection():
    async with simulated() as sim, sdk_bot(sim, secret="wrong") as bot:
        assert not (await bot.next("token"))["ok"]
        assert not (await bot.next("opened"))["ok"]
        assert sim.stream.robot_connections == []
        answers = [(row["path"], row["status"]) for row in sim.wire.rows(direction="in")]
        assert ("/v1.0/gateway/connections/open", 401) in answers
        assert ("/v1.0/oauth2/accessToken", 400) in answers


async def test_a_robot_message_that_the_sdk_refuses_is_undelivered_and_never_sent_again():
    async with simulated() as sim, sdk_bot(sim) as bot:
        await sim.stream.wait_connections(1)
        refused = await sim.say("alice", "refuse")
        assert (await sim.wait_settled(refused)).status == "undelivered"
        later = await sim.say("alice", "later")
        await sim.wait_reply(later)
        sent = [row["body"] for row in sim.wire.rows(direction="frame-out", path="CALLBACK")]
        assert sum(refused in body for body in sent) == 1
        assert (await bot.next("message"))["id"] == refused
        assert (await bot.next("message"))["id"] == later


async def test_an_event_is_sent_again_until_the_sdk_takes_it():
    async with simulated() as sim, sdk_bot(sim) as bot:
        await sim.stream.wait_connections(1)
        event = sim.stream.send_event("user_add_org", {"userId": ["u1"]})
        first, second = await bot.next("event"), await bot.next("event")
        assert first["id"] == second["id"] == event
        assert (first["type"], first["data"]) == ("user_add_org", {"userId": ["u1"]})


async def test_sdk_comes_back_after_a_disconnect_frame():
    async with simulated() as sim, sdk_bot(sim) as bot:
        await bot.next("opened")
        await sim.stream.wait_connections(1)
        await sim.stream.disconnect("upgrade")
        assert (await bot.next("opened"))["ok"]
        await sim.stream.wait_connections(1)
        reply = await sim.wait_reply(await sim.say("zhangsan", "again"))
        assert reply.text == "echo: again"


async def test_sdk_is_told_that_a_session_has_expired():
    async with simulated() as sim, sdk_bot(sim) as bot:
        await sim.stream.wait_connections(1)
        sim.faults.change({"session_webhook_expired": True})
        await sim.say("zhangsan", "late")
        assert (await bot.next("replied"))["answer"]["errcode"] != 0
        assert [entry.sender for entry in sim.transcript.list()] == ["zhangsan"]
