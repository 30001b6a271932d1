"""`kill -9` at any moment: nothing accepted is lost, nothing is answered twice.

Answers and effects are counted from what the receiver and the tool wrote down, never from the
engine's own records.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from support.process import EngineProcess
from support.receiver import Receiver
from support.signing import dingtalk_message, dingtalk_request, webhook_request
from support.stub_model import StubModel

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

PROGRAM = [sys.executable, str(Path(__file__).parent / "engine_process.py")]
SECRET = "chaos-secret-0123456789"
STEPS = (
    "accepted",
    "started",
    "checkpointed",
    "effect",
    "model",
    "committed",
    "sent",
    "delivered",
)


@pytest.fixture
async def world(tmp_path):
    async with Receiver() as receiver, StubModel(default="hello there") as model:
        config = {
            "channels": {
                "hook": {
                    "type": "webhook",
                    "auth": {"secret": SECRET},
                    "callback_url": receiver.callback_url,
                },
                "dingtalk": {
                    "auth": {"app_id": "app", "app_secret": SECRET},
                    "endpoints": {"api": receiver.base, "oapi": receiver.base},
                },
            },
            "models": {"main": {"base_url": model.base_url, "model": "stub"}},
            "routing_rules": [
                {"pattern": "^once ", "action": "trigger_skill", "skill_id": "once"},
                {"pattern": "^again ", "action": "trigger_skill", "skill_id": "again"},
            ],
            "log": {"level": "warning"},
        }
        path = tmp_path / "ai-engine.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        path.chmod(0o600)
        yield World(path, tmp_path / "data", receiver)


class World:
    def __init__(self, config, data, receiver):
        self.config = config
        self.data = data
        self.receiver = receiver
        self.accepted = {}
        """Message id → text, for each message that the engine acknowledged."""

    def engine(self, crash_at="never"):
        return EngineProcess(self.config, self.data, program=PROGRAM, args=("--crash-at", crash_at))

    async def send(self, http, url, message_id, text, *, channel="hook", session="s"):
        """As a platform does: until it is acknowledged, or the engine is gone."""
        if channel == "hook":
            body, headers = webhook_request(
                {"message_id": message_id, "session": session, "user": session, "text": text},
                SECRET,
                time.time(),
            )
        else:
            message = dingtalk_message(
                text,
                message_id=message_id,
                senderStaffId=session,
                conversationId=f"c{session}",
                sessionWebhook=self.receiver.hook(message_id),
                sessionWebhookExpiredTime=int(time.time() * 1000) + 5_400_000,
            )
            body, headers = dingtalk_request(message, SECRET, time.time())
        async with http.post(f"{url}/api/message/{channel}", data=body, headers=headers) as answer:
            if answer.status in (200, 202):
                self.accepted[message_id] = text
                return True
            return False

    def effects(self):
        log = self.data.parent / "effects.log"
        if not log.exists():
            return Counter()
        lines = log.read_text(encoding="utf-8").splitlines()
        return Counter(json.loads(line)["what"]["what"] for line in lines)

    def unanswered(self):
        hook = {body["in_reply_to"] for _, body in self.receiver.replies}
        return [m for m in self.accepted if m not in hook and m not in self.receiver.hooked]

    async def all_answered(self, seconds=30):
        await self.receiver.wait_for(lambda: not self.unanswered(), seconds)


async def _resend_until_accepted(world, engine_url, message_id, text, **more):
    async with aiohttp.ClientSession() as http:
        assert await world.send(http, engine_url, message_id, text, **more)


@pytest.mark.requirement("practice:availability")
@pytest.mark.parametrize("step", STEPS)
async def test_a_kill_at_this_step_loses_nothing_and_doubles_nothing(world, step):
    messages = {"m-chat": "hello", "m-once": "once pay", "m-again": "again note"}
    async with world.engine(crash_at=f"{step}:1") as engine:
        async with aiohttp.ClientSession() as http:
            for at, (message_id, text) in enumerate(messages.items()):
                with suppress(aiohttp.ClientError):
                    await world.send(http, engine.url, message_id, text, session=f"s{at}")
        assert await engine.ended(), "the trap must have killed it"
    async with world.engine() as engine:
        for at, (message_id, text) in enumerate(messages.items()):
            # The platform repeats what was not acknowledged; a repetition of what was is harmless.
            await _resend_until_accepted(world, engine.url, message_id, text, session=f"s{at}")
        await world.all_answered()
        await engine.stop()
    for message_id in messages:
        assert len(world.receiver.answers(message_id)) == 1, message_id
    effects = world.effects()
    assert effects["pay"] <= 1, "a tool that is not idempotent never runs twice"
    assert 1 <= effects["note"] <= 2, "an idempotent one may, with the same key"
    said = world.receiver.texts("m-once")[0]
    # Killed after "begun" was durable, nobody can know whether it ran: the answer says so.
    assert (said == "done pay" and effects["pay"] == 1) or "outcome is unknown" in said


@pytest.mark.requirement("practice:availability")
async def test_twenty_random_kills_under_load_lose_nothing(world):
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(2**32)))
    print(f"CHAOS_SEED={seed}")
    chance = random.Random(seed)
    kills, number = 20, 0
    in_doubt = 0
    for _ in range(kills):
        async with world.engine() as engine:
            dead_at = asyncio.get_running_loop().time() + chance.uniform(0.05, 0.6)

            async def client(name, url, until):
                nonlocal number
                loop = asyncio.get_running_loop()
                async with aiohttp.ClientSession() as http:
                    while loop.time() < until + 5:
                        number += 1
                        channel = "hook" if number % 2 else "dingtalk"
                        kind = ("hello", "once x", "again y")[number % 3]
                        text = f"{kind}{number}"
                        try:
                            await world.send(
                                http,
                                url,
                                f"m{number}-{name}",
                                text,
                                channel=channel,
                                session=f"{name}-{number % 4}",
                            )
                        except (aiohttp.ClientError, ConnectionError):
                            return

            async with asyncio.TaskGroup() as group:
                for name in range(6):
                    group.create_task(client(f"c{name}", engine.url, dead_at))
                await asyncio.sleep(max(0, dead_at - asyncio.get_running_loop().time()))
                await engine.kill()
            in_doubt += 24
    async with world.engine() as engine:
        await world.all_answered(seconds=60)
        await engine.stop()

    assert len(world.accepted) > kills, "there was a load"
    assert world.unanswered() == []
    for message_id in world.accepted:
        assert len(world.receiver.answers(message_id)) <= 1, "twice on an idempotent channel"
    twice = [s for s, bodies in world.receiver.hooked.items() if len(bodies) > 1]
    assert len(twice) <= in_doubt, "elsewhere at most what was in flight at a kill"
    assert all(len(bodies) <= 1 + kills for bodies in world.receiver.hooked.values())
    doubled = [w for w, n in world.effects().items() if w.startswith("x") and n > 1]
    assert doubled == [], "a tool that is not idempotent ran twice"
    print(
        f"accepted {len(world.accepted)}, unanswered 0, "
        f"doubled without a key {len(twice)} over {kills} kills"
    )
