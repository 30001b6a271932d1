"""Two engines on one data directory: the second one answers what the first one leaves."""

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from support.process import EngineProcess
from support.receiver import Receiver
from support.settings import write
from support.signing import webhook_request
from support.stub_model import StubModel

SECRET = "takeover-secret-0123456789"


class World:
    """A webhook channel whose replies are recorded, a model with gates, engines on one folder."""

    def __init__(self, tmp_path, receiver, model, drain_seconds):
        self.receiver = receiver
        self.model = model
        self.data = tmp_path / "data"
        self.config = write(
            tmp_path,
            {
                "channels": {
                    "hook": {
                        "type": "webhook",
                        "auth": {"secret": SECRET},
                        "callback_url": receiver.callback_url,
                    }
                },
                "models": {"main": {"base_url": model.base_url, "model": "stub", "retries": 0}},
                "server": {"drain_seconds": drain_seconds},
            },
        )
        self.accepted = []
        self._http = None

    def engine(self):
        return EngineProcess(self.config, self.data)

    async def send(self, engine, message_id, *, session=None, path="", seconds=10.0):
        """POST one message: (status, headers, body)."""
        session = session or message_id
        message = {"message_id": message_id, "session": session, "user": "u", "text": "hello"}
        body, headers = webhook_request(message, SECRET, time.time())
        url = f"{engine.url}/api/message/hook{path}"
        timeout = aiohttp.ClientTimeout(total=seconds)
        async with self._http.post(url, data=body, headers=headers, timeout=timeout) as answer:
            if answer.status in (200, 202):
                self.accepted.append(message_id)
            return answer.status, answer.headers, await answer.read()

    async def readiness(self, engine):
        async with self._http.get(f"{engine.url}/readyz") as answer:
            return answer.status, await answer.json()

    async def until_owner(self, engine):
        async with asyncio.timeout(10):
            while (await self.readiness(engine))[1]["journal"] != "owner":
                await asyncio.sleep(0.05)  # the only sign of it is /readyz

    async def all_answered(self):
        wanted = set(self.accepted)
        await self.receiver.wait_for(
            lambda: wanted <= {body["in_reply_to"] for _, body in self.receiver.replies}, 20
        )

    def doubled(self):
        """Messages with two different replies, as one sees who honours the idempotency key."""
        return [id_ for id_ in self.accepted if len(self.receiver.answers(id_)) != 1]


@asynccontextmanager
async def world(tmp_path, *, drain_seconds=20):
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(Receiver())
        model = await stack.enter_async_context(StubModel(default="an answer"))
        made = World(tmp_path, receiver, model, drain_seconds)
        made._http = await stack.enter_async_context(aiohttp.ClientSession())
        yield made


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
async def test_the_second_engine_answers_what_the_first_one_leaves(tmp_path, how):
    async with world(tmp_path, drain_seconds=0) as here:
        gate = asyncio.Event()
        for _ in range(4):
            here.model.reply("too late", gate=gate)
        async with here.engine() as first, here.engine() as second:
            assert (await here.readiness(first))[1]["journal"] == "owner"
            status, state = await here.readiness(second)
            assert (status, state["journal"]) == (200, "standby")

            for n in range(4):  # two sessions on each engine, two messages in each
                engine = (first, second)[n % 2]
                for at in "ab":
                    status, *_ = await here.send(engine, f"m{n}{at}", session=f"s{n}")
                    assert status in (200, 202)
            async with asyncio.timeout(10):
                await here.model.wait_for_requests(4)
            assert here.receiver.replies == []

            if how == "SIGTERM":
                assert await first.stop() == 0
            else:
                await first.kill()
            await here.until_owner(second)
            status, *_ = await here.send(second, "after")
            assert status in (200, 202)
            await here.all_answered()
            gate.set()
            assert here.doubled() == []
            for n in range(4):
                order = [
                    b["in_reply_to"] for _, b in here.receiver.replies if b["session"] == f"s{n}"
                ]
                assert list(dict.fromkeys(order)) == [f"m{n}a", f"m{n}b"], "the order was kept"
            assert {b["text"] for _, b in here.receiver.replies} == {"an answer"}


@pytest.mark.requirement("verify:faults")
async def test_sigterm_lets_a_running_turn_end_and_its_reply_go_out(tmp_path):
    async with world(tmp_path) as here, here.engine() as engine:
        gate = asyncio.Event()
        here.model.reply("finished in time", gate=gate)
        await here.send(engine, "m1")
        async with asyncio.timeout(10):
            await here.model.wait_for_requests(1)
        stopping = asyncio.create_task(engine.stop())
        async with asyncio.timeout(10):
            while (await here.readiness(engine))[0] != 503:
                await asyncio.sleep(0.02)  # the only sign of it is /readyz
        status, headers, _ = await here.send(engine, "m2")
        assert status == 503
        assert int(headers["Retry-After"]) >= 1
        assert here.receiver.replies == []
        gate.set()
        assert await stopping == 0
        assert here.receiver.texts("m1") == ["finished in time"], "sent before the process ended"


async def test_a_caller_that_waits_for_the_reply_gets_it_while_the_engine_stops(tmp_path):
    async with world(tmp_path) as here, here.engine() as engine:
        gate = asyncio.Event()
        here.model.reply("finished in time", gate=gate)
        waiting = asyncio.create_task(here.send(engine, "m1", path="?wait=true", seconds=20))
        async with asyncio.timeout(10):
            await here.model.wait_for_requests(1)
        stopping = asyncio.create_task(engine.stop())
        async with asyncio.timeout(10):
            while (await here.readiness(engine))[0] != 503:
                await asyncio.sleep(0.02)  # the only sign of it is /readyz
        gate.set()
        status, _, body = await waiting
        assert status == 200
        assert json.loads(body)["replies"][0]["text"] == "finished in time"
        assert await stopping == 0


async def test_a_turn_that_outlasts_the_drain_is_answered_by_the_next_start(tmp_path):
    async with world(tmp_path, drain_seconds=0.5) as here:
        never = asyncio.Event()
        here.model.reply("never said", gate=never)
        async with here.engine() as engine:
            await here.send(engine, "m1")
            async with asyncio.timeout(10):
                await here.model.wait_for_requests(1)
            began = time.monotonic()
            assert await engine.stop() == 0
            assert time.monotonic() - began < 8
            assert "Traceback" not in engine.log()
        assert here.receiver.replies == []
        async with here.engine():
            await here.all_answered()
        assert here.receiver.texts("m1") == ["an answer"]


async def test_the_commands_find_the_engine_that_took_over(tmp_path):
    async with world(tmp_path) as here, here.engine() as first, here.engine() as second:
        note = here.data / "engine.json"
        assert json.loads(note.read_text())["url"] == second.url
        assert await first.stop() == 0
        assert json.loads(note.read_text())["url"] == second.url, "still the second one's"
        assert await second.stop() == 0
        assert not note.exists()
