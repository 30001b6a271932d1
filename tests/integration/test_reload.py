"""A changed configuration under a running engine: whole or not at all, and visible when not."""

import asyncio
import json

import aiohttp
import pytest

from ai_engine.cli.settings import live_config
from ai_engine.engine import Options, Wrap, open_engine

from support.road import SECRET, road
from support.settings import write


class Unstartable:
    """A channel that a test keeps from starting, and whose end it watches."""

    made = 0

    def __init__(self, inner, log, failing):
        self._inner = inner
        self._log = log
        self._failing = failing

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def start(self):
        if self.name in self._failing:
            raise self._failing[self.name]
        await self._inner.start()
        self._log.append(("started", self.name))

    async def close(self):
        self._log.append(("closed", self.name))
        if f"close {self.name}" in self._failing:
            raise RuntimeError("cannot be closed")
        await self._inner.close()


@pytest.fixture
def log():
    return []


@pytest.fixture
def failing():
    return {}


@pytest.fixture
def wrap(log, failing):
    return Wrap(channel=lambda channel: Unstartable(channel, log, failing))


def change(tmp_path, edit):
    config = json.loads((tmp_path / "ai-engine.json").read_text(encoding="utf-8"))
    edit(config)
    write(tmp_path, config)


async def ready(r):
    async with r.http.get(f"{r.url}/readyz") as answer:
        return answer.status, await answer.json()


async def test_a_broken_configuration_is_visible_and_the_last_good_one_serves(tmp_path):
    async with road(tmp_path) as r:
        write(tmp_path, {"channels": 7})
        await r.engine.reload()
        status, state = await ready(r)
        assert status == 200, "it serves on"
        assert "not in force" in state["configuration"]
        assert "$.channels" in state["configuration"]
        _, seen = await r.api("status")
        assert seen["configuration"] == state["configuration"]
        await r.hook("m1", "ping")
        assert await r.reply_to("m1") == "pong"
        write(tmp_path, {"routing_rules": []})
        await r.engine.reload()
        assert "configuration" not in (await ready(r))[1]


async def test_a_part_that_cannot_be_built_changes_nothing_and_is_visible(
    tmp_path, wrap, log, failing
):
    async with road(tmp_path, wrap=wrap) as r:
        log.clear()
        failing["second"] = OSError("no more descriptors")

        def add(config):
            config["channels"]["first"] = {"type": "webhook", "auth": {"secret": SECRET}}
            config["channels"]["second"] = {"type": "webhook", "auth": {"secret": SECRET}}
            config["routing_rules"][2]["text"] = "changed"

        change(tmp_path, add)
        await r.engine.reload()
        assert ("started", "first") in log
        assert ("closed", "first") in log, "what was started for nothing is closed"
        assert ("closed", "hook") not in log
        assert "OSError" in (await ready(r))[1]["configuration"]
        await r.hook("m1", "ping")
        assert await r.reply_to("m1") == "pong"
        failing.clear()
        await r.engine.reload()
        assert "configuration" not in (await ready(r))[1]
        await r.hook("m2", "ping")
        assert await r.reply_to("m2") == "changed"


async def test_only_changed_channels_are_built_anew(tmp_path, wrap, log):
    async with road(tmp_path, wrap=wrap) as r:
        before = dict(r.engine.plan.channels)
        log.clear()

        def edit(config):
            config["channels"]["hook"]["message_format"] = {"text_template": "AI: {message}"}
            del config["channels"]["dingtalk"]

        change(tmp_path, edit)
        await r.engine.reload()
        assert log == [("started", "hook"), ("closed", "hook"), ("closed", "dingtalk")] or log == [
            ("started", "hook"),
            ("closed", "dingtalk"),
            ("closed", "hook"),
        ]
        assert r.engine.plan.channels["webchat"] is before["webchat"]
        await r.hook("m1", "ping")
        assert await r.reply_to("m1") == "AI: pong"
        assert await r.dingtalk("m2", "ping") == 404


async def test_a_channel_that_cannot_be_closed_does_not_stop_the_change(tmp_path, wrap, failing):
    async with road(tmp_path, wrap=wrap) as r:
        failing["close dingtalk"] = True
        change(tmp_path, lambda config: config["channels"].pop("dingtalk"))
        await r.engine.reload()
        assert set(r.engine.plan.channels) == {"hook", "webchat"}
        assert "configuration" not in (await ready(r))[1]


async def test_a_running_turn_keeps_its_plan(tmp_path):
    async with road(tmp_path) as r:
        gate = asyncio.Event()
        r.model.reply("the old model's answer", gate=gate)
        await r.hook("m1", "a long question")
        async with asyncio.timeout(5):
            await r.model.wait_for_requests(1)

        def edit(config):
            config["models"] = {}
            config["channels"]["hook"]["message_format"] = {"text_template": "new: {message}"}

        change(tmp_path, edit)
        await r.engine.reload()
        gate.set()
        assert await r.reply_to("m1") == "the old model's answer"
        await r.hook("m2", "ping")
        assert await r.reply_to("m2") == "new: pong"


async def test_reloads_at_the_same_time_take_turns(tmp_path, wrap, log):
    async with road(tmp_path, wrap=wrap) as r:
        log.clear()
        edit = {"text_template": "AI: {message}"}
        change(tmp_path, lambda config: config["channels"]["hook"].update(message_format=edit))
        await asyncio.gather(*[r.engine.reload() for _ in range(4)])
        assert sorted(log) == [("closed", "hook"), ("started", "hook")]


async def test_a_changed_file_is_noticed_by_itself(tmp_path):
    async with road(tmp_path) as r:
        plan = r.engine.plan
        change(tmp_path, lambda config: config["routing_rules"][2].update(text="noticed"))
        async with asyncio.timeout(40):
            while r.engine.plan is plan:
                await asyncio.sleep(0.01)
        await r.hook("m1", "ping")
        assert await r.reply_to("m1") == "noticed"


async def test_a_reply_to_a_channel_that_is_gone_is_a_dead_letter(tmp_path):
    async with road(tmp_path) as r:
        gate = asyncio.Event()
        r.model.reply("nobody to tell", gate=gate)
        await r.hook("m1", "a long question")
        async with asyncio.timeout(5):
            await r.model.wait_for_requests(1)
        change(tmp_path, lambda config: config["channels"].pop("hook"))
        await r.engine.reload()
        gate.set()
        async with asyncio.timeout(5):
            while not (await r.api("deadletters"))[1]:
                await asyncio.sleep(0.01)
        (dead,) = (await r.api("deadletters"))[1]
        assert "not configured any more" in dead["error"]


@pytest.mark.requirement("practice:environments")
async def test_environments_are_kept_apart_also_while_they_change(tmp_path):
    base = {"routing_rules": [{"pattern": "^env$", "action": "reply", "text": "base"}]}
    path = write(tmp_path, base)
    for env in ("dev", "test", "prod"):
        rules = [{"pattern": "^env$", "action": "reply", "text": env}]
        write(tmp_path, {"routing_rules": rules}, f"ai-engine.{env}.json")
    options = Options(live=live_config(path, env="test"), data=tmp_path / "data")
    async with open_engine(options) as engine:
        assert engine.config.rules()[0].text == "test"
        rules = [{"pattern": "^env$", "action": "reply", "text": "prod changed"}]
        write(tmp_path, {"routing_rules": rules}, "ai-engine.prod.json")
        await engine.reload()
        assert engine.config.rules()[0].text == "test", "another environment's file is not ours"
        (tmp_path / "ai-engine.test.json").unlink()
        await engine.reload()
        assert engine.config.rules()[0].text == "test"
        assert "not in force" in engine.readiness()["configuration"]


# Who may see, and when it is ready.


async def test_beyond_loopback_details_and_figures_need_the_token(tmp_path):
    server = {"trusted_proxies": ["127.0.0.9"], "drain_seconds": 1}
    async with road(tmp_path, host="0.0.0.0", server=server) as r:
        url = r.url.replace("0.0.0.0", "127.0.0.1")
        token = {"Authorization": f"Bearer {r.token}"}
        wrong = {"Authorization": "Bearer wrong"}
        async with aiohttp.ClientSession() as http:
            for headers, status in ((None, 401), (wrong, 401), (token, 200)):
                async with http.get(f"{url}/metrics", headers=headers) as answer:
                    assert answer.status == status
                    assert (b"ai_engine_build" in await answer.read()) is (status == 200)
            async with http.get(f"{url}/readyz") as answer:
                assert (answer.status, await answer.json()) == (200, {"ready": True})
            async with http.get(f"{url}/readyz", headers=token) as answer:
                assert "channels" in await answer.json()
            for _ in range(10):
                await (await http.get(f"{url}/metrics", headers=wrong)).read()
            async with http.get(f"{url}/metrics", headers=token) as answer:
                assert answer.status == 401, "an address that guesses must wait, token or not"


async def test_a_draining_engine_is_not_ready_and_refuses_with_a_time(tmp_path):
    async with road(tmp_path) as r:
        gate = asyncio.Event()
        r.model.reply("the last words", gate=gate)
        await r.hook("m1", "a long question")
        async with asyncio.timeout(5):
            await r.model.wait_for_requests(1)
        draining = asyncio.create_task(r.engine.drain())
        async with asyncio.timeout(5):
            while (await ready(r))[0] != 503:
                await asyncio.sleep(0.01)
        status, state = await ready(r)
        assert (status, state["ready"]) == (503, False)
        assert "draining" in state["reasons"][0]
        status, refused = await r.hook("m2", "ping")
        assert (status, refused["error"]["code"]) == (503, "overloaded")
        gate.set()
        async with asyncio.timeout(5):
            await draining
        assert await r.reply_to("m1") == "the last words"


async def test_a_full_backlog_answers_503_with_a_time_and_is_counted_once(tmp_path):
    server = {"backlog_max": 1, "drain_seconds": 1}
    async with road(tmp_path, server=server) as r:
        gate = asyncio.Event()
        r.model.reply("slow", gate=gate)
        await r.hook("m1", "a long question")
        status, refused = await r.hook("m2", "ping")
        assert (status, refused["error"]["code"]) == (503, "overloaded")
        async with r.http.get(f"{r.url}/metrics") as answer:
            line = 'ai_engine_inbound_total{channel="hook",result="refused:overloaded"} 1.0'
            assert line in await answer.text()
        gate.set()
        await r.reply_to("m1")


async def test_an_oversized_body_is_refused_with_and_without_its_length(tmp_path):
    server = {"body_bytes_max": 2048, "drain_seconds": 1}
    async with road(tmp_path, server=server) as r:

        async def pieces():
            for _ in range(40):
                yield b"x" * 100

        for body in (b"x" * 4000, pieces()):
            async with r.http.post(f"{r.url}/api/message/hook", data=body) as answer:
                assert answer.status == 413
                assert (await answer.json())["error"]["code"] == "too_large"


async def test_who_leaves_while_it_waits_gets_its_answer_at_the_callback(tmp_path):
    async with road(tmp_path) as r:
        gate = asyncio.Event()
        r.model.reply("for who left", gate=gate)
        waiting = asyncio.create_task(r.hook("m1", "a long question", query="?wait=true"))
        async with asyncio.timeout(5):
            await r.model.wait_for_requests(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        slots = r.engine.plan.channels["hook"]._waiting._slots
        async with asyncio.timeout(5):
            while slots:
                await asyncio.sleep(0.01)
        gate.set()
        assert await r.reply_to("m1") == "for who left"


async def test_settings_that_need_a_restart_are_named(tmp_path):
    async with road(tmp_path) as r:
        assert "configuration" not in r.engine.readiness()
        change(tmp_path, lambda config: config.setdefault("session", {}).update(idle_minutes=3))
        await r.engine.reload()
        said = r.engine.readiness()["configuration"]
        assert said == "in force after a restart: session.idle_minutes"
        change(tmp_path, lambda config: config["session"].update(idle_minutes=15))
        await r.engine.reload()
        assert "configuration" not in r.engine.readiness()


async def test_a_change_between_reading_and_watching_is_noticed(tmp_path):
    """The configuration of an engine that was slow to start may be older than the file."""
    write(tmp_path, {"channels": {}, "language": "en"})
    live = live_config(tmp_path / "ai-engine.json")
    write(tmp_path, {"channels": {}, "language": "zh"})
    noticed = asyncio.Event()

    async def on_change():
        noticed.set()

    watching = asyncio.create_task(live.watch(on_change))
    async with asyncio.timeout(4):  # sooner than the poll
        await noticed.wait()
    watching.cancel()
