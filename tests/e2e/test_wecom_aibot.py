"""A real engine process against the simulated WeCom AI bot, by callbacks and by WebSocket."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from ai_engine.simulators.wecom_aibot import WecomAibotSimulator

from support.process import EngineProcess
from support.settings import write
from support.stub_model import StubModel

AUTH = dict(WecomAibotSimulator.auth_defaults)


@asynccontextmanager
async def world(tmp_path, mode):
    """A simulator, a model, and an engine that knows both."""
    async with WecomAibotSimulator(**AUTH) as sim, StubModel() as model:
        sim.faults.poll_seconds = 0.05
        settings = {
            "channels": {
                "wecom_aibot": {
                    "mode": mode,
                    "auth": AUTH,
                    "endpoints": {"api": sim.url, "ws": sim.ws_url},
                }
            },
            "models": {"stub": {"base_url": model.base_url, "model": "stub"}},
            "routing_rules": [{"pattern": "^ping", "action": "reply", "text": "pong"}],
        }
        engine = EngineProcess(write(tmp_path, settings), tmp_path / "data")
        await engine.start()
        try:
            if mode == "webhook":
                sim.engine = engine.url
            else:
                await sim.socket.wait_connected(seconds=20)
            yield sim, model, engine
        finally:
            await engine.kill()


@pytest.mark.parametrize("mode", ["webhook", "stream"])
async def test_a_question_is_answered_in_its_stream(tmp_path, mode):
    async with world(tmp_path, mode) as (sim, _, _):
        if mode == "webhook":
            assert await sim.check_url() == (200, "echo-1234")
        for chat, said in (("private", "ping"), ("group", "ping"), ("private", "say something")):
            asked = await sim.say("zhangsan", said, chat=chat)
            reply = await sim.wait_reply(asked, 20)
            assert reply.text == ("pong" if said == "ping" else "stub answer")
            assert (reply.state, reply.chat) == ("finished", chat)
        assert {e.via for e in sim.transcript.list() if e.sender == "bot"} == {
            "callback" if mode == "webhook" else "respond_msg"
        }


async def test_a_process_that_was_killed_answers_the_open_stream_after_its_restart(tmp_path):
    async with world(tmp_path, "webhook") as (sim, model, engine):
        gate = asyncio.Event()
        model.reply("never heard", gate=gate)
        asked = await sim.say("zhangsan", "say something")
        await sim.wait_reply(asked, 20, unfinished=True)
        await model.wait_for_requests(1)
        await engine.kill()
        gate.set()
        await engine.start()
        sim.engine = engine.url
        reply = await sim.wait_reply(asked, 20)
        assert (reply.text, reply.state) == ("stub answer", "finished")
        assert len(sim.transcript.replies_to(asked)) == 1
