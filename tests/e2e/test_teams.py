"""A real engine process against the simulated Teams, which streams by the platform's rules."""

from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from ai_engine.simulators.teams import TeamsSimulator

from support.ports import free_port
from support.process import EngineProcess
from support.settings import write
from support.stub_model import StubModel

APP = {"app_id": "8f3a2a8e-1111-4222-8333-444455556666", "app_secret": "teams-secret-0123456789"}


@asynccontextmanager
async def world(tmp_path):
    """(simulator, model)"""
    async with AsyncExitStack() as stack:
        port = free_port()
        model = await stack.enter_async_context(StubModel(default="an answer"))
        sim = TeamsSimulator(**APP, engine=f"http://127.0.0.1:{port}")
        await stack.enter_async_context(sim)
        channel = {"auth": {**APP, "tenant": sim.tenant}, "endpoints": sim.info()["endpoints"]}
        config = write(
            tmp_path,
            {
                "channels": {"teams": channel},
                "models": {"main": {"base_url": model.base_url, "model": "stub"}},
            },
        )
        await stack.enter_async_context(EngineProcess(config, tmp_path / "data", port=port))
        yield sim, model


@pytest.mark.parametrize("chat", ["private", "group"])
async def test_a_question_is_answered_by_the_model(tmp_path, chat):
    async with world(tmp_path) as (sim, model):
        model.reply(["You ", "have ", "five ", "days"], chunk_delay_seconds=0.3)
        asked = await sim.say("zhangsan", "你好", chat=chat)
        reply = await sim.wait_reply(asked, 20.0)
        assert reply.text == "You have five days"
        assert model.requests[0]["messages"][-1]["content"] == "你好", "the mention is gone"
        assert reply.produced_by == "model:main"
        assert reply.state == ("finished" if chat == "private" else "")
        refused = [r for r in sim.wire.rows(direction="in", path="/v3/") if r["status"] >= 400]
        assert refused == []
