"""A real engine process against the simulated DingTalk, by HTTP callbacks and by Stream."""

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from ai_engine.simulators.dingtalk import DingTalkSimulator
from ai_engine.simulators.dingtalk.connection import StreamTimes

from support.ports import free_port
from support.process import EngineProcess
from support.settings import write
from support.stub_model import StubModel

APP = {"app_id": "dingapp", "app_secret": "dingtalk-secret-0123456789"}
MODES = pytest.mark.parametrize("mode", ["webhook", "stream"])
CHATS = pytest.mark.parametrize("chat", ["private", "group"])
ECHO = [
    {"pattern": "^say ", "action": "forward_to_engine"},
    {"pattern": "^ping", "action": "reply", "text": "pong"},
]


class World:
    """`sim`, `model`, `engine`, and what an administrator can see of the engine."""

    def __init__(self, sim, model, engine, http, data):
        self.sim = sim
        self.model = model
        self.engine = engine
        self._http = http
        self._data = data

    async def ask(self, text, **more):
        """A person writes and gets an answer."""
        return await self.answer(await self.sim.say("zhangsan", text, **more))

    async def answer(self, message_id):
        return await self.sim.wait_reply(message_id, 20.0)

    def answers(self, message_id):
        return self.sim.transcript.replies_to(message_id)

    def sent(self):
        """What was POSTed to sessionWebhooks: bodies."""
        return [json.loads(row["body"]) for row in self.sim.wire.rows(path="/robot/sendBySession")]

    async def get(self, path):
        token = (self._data / "admin.token").read_text(encoding="ascii").strip()
        headers = {"Authorization": f"Bearer {token}"}
        async with self._http.get(self.engine.url + path, headers=headers) as answer:
            return answer.status, await answer.json()

    async def until(self, path, wanted, seconds=20.0):
        """Until what the engine tells there is as wanted; there is no other sign of it."""
        async with asyncio.timeout(seconds):
            while not wanted((found := await self.get(path))[1]):
                await asyncio.sleep(0.05)
        return found[1]


@asynccontextmanager
async def world(tmp_path, mode="webhook", *, secret=APP["app_secret"], times=None, **channel):
    async with AsyncExitStack() as stack:
        port = free_port()
        model = await stack.enter_async_context(StubModel(default="an answer"))
        sim = DingTalkSimulator(
            **APP,
            engine=f"http://127.0.0.1:{port}" if mode == "webhook" else "",
            times=times or StreamTimes(ping=0.2, disconnect_grace=0.5),
        )
        await stack.enter_async_context(sim)
        config = write(
            tmp_path,
            {
                "channels": {
                    "dingtalk": {
                        "mode": mode,
                        "auth": {**APP, "app_secret": secret},
                        "endpoints": {"api": sim.url, "oapi": sim.url},
                        **channel,
                    }
                },
                "models": {"main": {"base_url": model.base_url, "model": "stub"}},
                "routing_rules": ECHO,
            },
        )
        engine = await stack.enter_async_context(
            EngineProcess(config, tmp_path / "data", port=port)
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        if mode == "stream" and secret == APP["app_secret"]:
            await sim.stream.wait_connections(1)
        yield World(sim, model, engine, http, tmp_path / "data")


@MODES
@CHATS
async def test_text_goes_both_ways(tmp_path, mode, chat):
    async with world(tmp_path, mode) as here:
        text = "@AI助手 你好" if chat == "group" else "你好"
        answer = await here.ask(text, chat=chat)
        assert "an answer" in answer.text
        assert answer.produced_by == "model:main"
        assert here.model.requests[0]["messages"][-1]["content"] == "你好", "the mention is gone"
        body = here.sent()[0]
        mentioned = body.get("at", {}).get("atUserIds", [])
        assert mentioned == (["zhangsan"] if chat == "group" else [])


@pytest.mark.requirement("verify:cards")
@pytest.mark.parametrize(("mode", "chat"), [("webhook", "group"), ("stream", "private")])
async def test_an_answer_grows_in_an_ai_card(tmp_path, mode, chat):
    async with world(tmp_path, mode, reply="card") as here:
        here.model.reply(["a ", "longer ", "answer"], chunk_delay_seconds=0.3)
        asked = await here.sim.say("zhangsan", "你好", chat=chat)
        growing = await here.sim.wait_reply(asked, 20.0, unfinished=True)
        assert (growing.kind, growing.state) == ("card", "streaming")
        card = await here.answer(asked)
        assert (card.id, card.state, card.chat) == (growing.id, "finished", chat)
        assert "a longer answer" in card.text


async def test_an_answer_is_rated_by_the_buttons_of_its_card(tmp_path):
    async with world(tmp_path, "stream", reply="card") as here:
        card = await here.ask("你好")

        def buttons():
            return here.sim.transcript.get(card.id).buttons

        await here.sim.transcript.wait(card.id, lambda: buttons() or None, 10.0)
        assert [button["label"] for button in buttons()] == ["👍", "👎"]
        await here.sim.press(card.id, 0)
        entry = here.sim.transcript.get(card.id)
        assert entry.detail == "", "the press was taken"


@CHATS
async def test_when_the_sessions_webhook_has_expired_the_proactive_api_answers(tmp_path, chat):
    async with world(tmp_path) as here:
        here.sim.faults.session_webhook_expired = True
        answer = await here.ask("ping", chat=chat)
        assert "pong" in answer.text
        assert answer.via == ("oToMessages" if chat == "private" else "groupMessages")


@MODES
async def test_a_message_that_is_delivered_again_is_answered_once(tmp_path, mode):
    async with world(tmp_path, mode) as here:
        here.sim.faults.duplicate = 2
        asked = await here.sim.say("zhangsan", "hello")
        await here.answer(asked)
        here.sim.faults.duplicate = 0
        await here.sim.resend(asked)
        await here.ask("ping")  # in the same session, so behind any second answer
        assert len(here.answers(asked)) == 1
        assert len(here.model.requests) == 1


@MODES
async def test_the_platform_is_told_ok_long_before_a_slow_model_answers(tmp_path, mode):
    async with world(tmp_path, mode) as here:
        gate = asyncio.Event()
        here.model.reply("slow but sure", gate=gate)
        asked = await here.sim.say("zhangsan", "hello")
        settled = await here.sim.wait_settled(asked, 3.0)
        assert settled.status == "delivered"
        async with asyncio.timeout(10):
            await here.model.wait_for_requests(1)
        assert here.answers(asked) == []
        gate.set()
        assert "slow but sure" in (await here.answer(asked)).text
        if mode == "webhook":
            callbacks = here.sim.wire.rows(direction="out")
            assert len(callbacks) == 1, "it was acknowledged, so it was not sent again"


async def test_a_connection_that_is_replaced_or_cut_loses_nothing_acknowledged(tmp_path):
    async with world(tmp_path, "stream") as here:
        gate = asyncio.Event()
        here.model.reply("across the cut", gate=gate)
        early = await here.sim.say("lisi", "hello")
        assert (await here.sim.wait_settled(early)).status == "delivered"

        await here.sim.stream.disconnect()
        await here.sim.stream.wait_connections(1)  # the new one is there before the old one goes
        replaced = await here.ask("ping")
        assert "pong" in replaced.text

        here.sim.faults.drop_at_frame = 1
        lost = await here.sim.say("zhangsan", "ping")
        settled = await here.sim.wait_settled(lost)
        await here.sim.stream.wait_connections(1, 20.0)
        assert "pong" in (await here.ask("ping")).text
        answered = len(here.answers(lost))  # DingTalk never repeats what was not acknowledged
        assert answered == 1 if settled.status == "delivered" else answered <= 1

        gate.set()
        assert "across the cut" in (await here.answer(early)).text
        _, state = await here.get("/readyz")
        assert state["channels"]["dingtalk"]["state"] == "connected"


@pytest.mark.requirement("verify:faults")
@MODES
async def test_throttled_answers_arrive_all_of_them_once_and_in_order(tmp_path, mode):
    async with world(tmp_path, mode) as here:
        here.sim.faults.change({"throttle_after": 2, "throttle_times": 3, "error_burst": 1})
        asked = [await here.sim.say("zhangsan", f"say {n}") for n in range(6)]
        for n in range(6):
            here.model.reply(f"answer {n}")
        for message in asked:
            await here.answer(message)
        entries = here.sim.transcript.list(conversation=here.sim.directory.private("zhangsan").id)
        answers = [entry for entry in entries if entry.sender == "bot"]
        assert [entry.reply_to for entry in answers] == asked
        assert len({entry.text for entry in answers}) == 6


@pytest.mark.requirement("permission:messages")
async def test_a_missing_permission_is_named_in_the_dead_letter(tmp_path):
    async with world(tmp_path) as here:
        here.sim.faults.change(
            {"session_webhook_expired": True, "missing_scope": "qyapi_robot_sendmsg"}
        )
        await here.sim.say("zhangsan", "ping")
        letters = await here.until("/api/v1/deadletters", bool)
        assert letters[0]["kind"] == "delivery"
        assert "qyapi_robot_sendmsg" in letters[0]["error"]
        assert "request" in letters[0]["error"], "and what to do about it"
        assert "pong" not in json.dumps(letters), "an operator's list has no message texts"


async def test_a_wrong_secret_is_the_channels_failure_not_the_engines(tmp_path):
    async with world(tmp_path, "stream", secret="not the app's secret") as here:
        failing = lambda state: state["channels"]["dingtalk"]["state"] == "failing"  # noqa: E731
        state = await here.until("/readyz", failing)
        assert state["ready"] is True
        assert state["channels"]["dingtalk"]["connected"] is False
        assert "auth.app_secret" in state["channels"]["dingtalk"]["detail"]
        assert "not the app's secret" not in here.engine.log() + json.dumps(state)


async def test_a_callback_signed_with_another_secret_is_refused_and_reaches_nobody(tmp_path):
    async with world(tmp_path) as here:
        here.sim.faults.wrong_secret = True
        forged = await here.sim.say("zhangsan", "hello")
        settled = await here.sim.wait_settled(forged)
        assert settled.status == "undelivered"
        assert "40" in settled.detail
        here.sim.faults.wrong_secret = False
        assert "pong" in (await here.ask("ping")).text
        assert here.model.requests == []
        assert here.answers(forged) == []


@MODES
@pytest.mark.requirement("verify:faults")
async def test_what_was_acknowledged_before_a_kill_is_answered_after_it(tmp_path, mode):
    async with world(tmp_path, mode) as here:
        gate = asyncio.Event()
        here.model.reply("never seen", gate=gate)
        asked = await here.sim.say("zhangsan", "hello")
        assert (await here.sim.wait_settled(asked)).status == "delivered"
        async with asyncio.timeout(10):
            await here.model.wait_for_requests(1)
        await here.engine.kill()
        began = time.monotonic()
        await here.engine.start()
        assert "an answer" in (await here.answer(asked)).text
        assert time.monotonic() - began < 20
        assert len(here.answers(asked)) == 1
        gate.set()
