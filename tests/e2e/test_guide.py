"""The deployment guide's own files, as printed, on a real engine process."""

import asyncio
import json
import re
import shutil
import time
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import yaml
from websockets.asyncio.client import connect

from ai_engine.simulators.open_meteo import OpenMeteoSimulator

from support.chat import Client
from support.process import AI_ENGINE, EngineProcess
from support.settings import GUIDE, write
from support.signing import webhook_request
from support.stub_model import StubModel

SECRET = "guide-secret-0123456789abcdef"
HOOK = {"type": "webhook", "auth": {"secret": SECRET}}


async def command(*words, cwd=None, seconds=30.0):
    """A command of `ai-engine`: (exit status, standard output, standard error)."""
    process = await asyncio.create_subprocess_exec(
        *AI_ENGINE,
        *map(str, words),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return process.returncode, out.decode(), err.decode()


def guide_config(tmp_path):
    """The guide's ai-engine.json, byte for byte, private."""
    return write(tmp_path, (GUIDE / "ai-engine.json").read_bytes())


class Running:
    """A running engine as an administrator and a webhook caller use it."""

    def __init__(self, engine, data, http):
        self.engine = engine
        self._http = http
        self.token = (data / "admin.token").read_text(encoding="ascii").strip()

    async def get(self, path):
        async with self._http.get(self.engine.url + path, headers=self._headers()) as answer:
            assert answer.status == 200, await answer.text()
            if "json" in answer.content_type:
                return await answer.json()
            return await answer.text()

    async def route(self, text):
        """What the rules in force do with this text."""
        url = f"{self.engine.url}/api/v1/routes/test"
        async with self._http.post(url, json={"text": text}, headers=self._headers()) as answer:
            assert answer.status == 200
            return await answer.json()

    async def until_route(self, text, action, seconds=20.0):
        """Until a reload has come into force; nothing tells of it but the rules themselves."""
        async with asyncio.timeout(seconds):
            while (found := await self.route(text))["action"] != action:
                await asyncio.sleep(0.05)
        return found

    async def until_log(self, words, seconds=20.0):
        async with asyncio.timeout(seconds):
            while words not in self.engine.log():
                await asyncio.sleep(0.05)

    async def say(self, text, message_id="m1"):
        """Through the webhook channel `hook`: the text of the answer."""
        message = {"message_id": message_id, "session": "s", "user": "zhangsan", "text": text}
        body, headers = webhook_request(message, SECRET, time.time())
        url = f"{self.engine.url}/api/message/hook?wait=true"
        async with self._http.post(url, data=body, headers=headers) as answer:
            assert answer.status == 200
            return (await answer.json())["replies"][0]["text"]

    def _headers(self):
        return {"Authorization": f"Bearer {self.token}"}


@asynccontextmanager
async def running(config, tmp_path, *args):
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        EngineProcess(config, tmp_path / "data", args=args) as engine,
        aiohttp.ClientSession(timeout=timeout) as http,
    ):
        yield Running(engine, tmp_path / "data", http)


# ai-engine.json


@pytest.mark.requirement("config:json", "config:missing-plugin")
async def test_the_guides_configuration_starts_and_the_channel_says_what_it_misses(tmp_path):
    config = guide_config(tmp_path)
    async with running(config, tmp_path) as here:
        state = await here.get("/readyz")
        assert state["ready"] is True
        channel = state["channels"]["im_platform"]
        assert channel["state"] == "plugin_missing"
        assert "'im_platform'" in channel["detail"]
        assert "install a plugin that provides it" in channel["detail"]

        place = ("--config", config, "--data", tmp_path / "data")
        status, out, _ = await command("channels", "list", *place, "--json")
        assert status == 0
        listed = {row["name"]: row["state"] for row in json.loads(out)}
        assert listed["im_platform"] == "plugin_missing"
        assert await here.engine.stop() == 0


@pytest.mark.requirement("config:json")
async def test_checking_the_guides_configuration_gives_one_warning_and_status_0(tmp_path):
    status, out, err = await command("config", "check", "--config", guide_config(tmp_path))
    assert status == 0
    assert "1 warning" in out
    assert err.count("warning: ") == 1
    assert "im_platform" in err
    assert "Install a connector plugin" in err


async def test_the_banner_names_the_missing_plugin_once_and_a_whole_link(tmp_path):
    process = await asyncio.create_subprocess_exec(
        *(*AI_ENGINE, "serve", "--config", str(guide_config(tmp_path))),
        *("--data", str(tmp_path / "data"), "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "100", "LANG": "C.UTF-8"},
    )
    banner = ""
    try:
        async with asyncio.timeout(20):
            while line := (await process.stdout.readline()).decode():
                banner += line
                if "/chat?code=" in line:
                    break
        process.terminate()
        async with asyncio.timeout(20):
            await process.stdout.read()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert banner.count("plugin missing") == 1
    assert banner.count("no connector for the type 'im_platform'") == 1
    assert re.search(r"(?m)^ *http://127\.0\.0\.1:\d+/chat\?code=\S{22,}$", banner)


@pytest.mark.requirement("config:mode-600")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
async def test_a_file_that_others_may_read_is_refused(tmp_path, mode):
    config = guide_config(tmp_path)
    config.chmod(mode)
    data = tmp_path / "data"
    for words in (("serve", "--data", data, "--port", "0"), ("config", "check")):
        status, _, err = await command(*words, "--config", config)
        assert status == 2
        assert "chmod 600" in err
    assert not data.exists()


def _mounted(folder, version, config, rules):
    """A ConfigMap's mount: files are links through `..data`, which is turned in one step."""
    real = folder / f"..{version}"
    real.mkdir()
    write(real, config)
    write(real, rules, "routing_rules.yaml")
    turned = folder / "..data_tmp"
    turned.symlink_to(real.name)
    turned.replace(folder / "..data")
    for name in ("ai-engine.json", "routing_rules.yaml"):
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"..data/{name}")


@pytest.mark.requirement("config:configmap")
async def test_a_mounted_config_map_is_followed_when_it_is_swapped(tmp_path):
    mount = tmp_path / "mount"
    mount.mkdir()
    config = {"channels": {"hook": HOOK}, "routing_rules": "routing_rules.yaml"}
    rule = 'routing_rules:\n  - {pattern: "^ping", action: reply, text: "%s"}\n'
    _mounted(mount, "2026_01", config, rule % "one")
    async with running(mount / "ai-engine.json", tmp_path) as here:
        assert await here.say("ping", "m1") == "one"
        changed = {**config, "default_route": {"action": "reply", "text": "nothing fits"}}
        _mounted(mount, "2026_02", changed, rule % "two")
        shutil.rmtree(mount / "..2026_01")
        await here.until_route("something else", "reply")
        assert await here.say("ping", "m2") == "two"
        assert await here.say("something else", "m3") == "nothing fits"


# routing_rules.yaml


@pytest.mark.requirement("routing:rules")
async def test_the_guides_rules_route_live_messages(tmp_path):
    rules = tmp_path / "routing_rules.yaml"
    rules.write_bytes((GUIDE / "routing_rules.yaml").read_bytes())
    async with StubModel(default="model says") as model:
        config = write(
            tmp_path,
            {
                "channels": {"hook": HOOK},
                "models": {"main": {"base_url": model.base_url, "model": "stub"}},
                "routing_rules": str(rules),
                "default_route": {"action": "reply", "text": "no rule"},
            },
        )
        async with running(config, tmp_path) as here:
            assert await here.say("/ai@ 你是谁?", "m1") == "model says"
            assert model.requests[0]["messages"][-1]["content"] == "你是谁?"
            assert "没有安排" in await here.say("@bot 明天有什么安排?", "m2")
            assert await here.say("hello /ai@ there", "m3") == "no rule"
            assert len(model.requests) == 1

        both = ("routes", "test", "--config", config, "--json")
        status, out, _ = await command(*both, "@bot 明天")
        assert status == 0
        assert json.loads(out)["skill_id"] == "calendar_query"


@pytest.mark.requirement("routing:rules")
async def test_changed_rules_come_into_force_and_broken_ones_leave_the_last_good(tmp_path):
    rules = write(tmp_path, (GUIDE / "routing_rules.yaml").read_bytes(), "routing_rules.yaml")
    config = write(tmp_path, {"channels": {"hook": HOOK}, "routing_rules": rules.name})
    async with running(config, tmp_path) as here:
        assert (await here.route("/ai@ hi"))["action"] == "forward_to_engine"
        assert (await here.route("@bot"))["skill_id"] == "calendar_query"

        write(tmp_path, rules.read_text() + '  - {pattern: "^ping", action: drop}\n', rules.name)
        await here.until_route("ping", "drop")

        write(tmp_path, 'routing_rules:\n  - pattern: "("\n    action: drop\n', rules.name)
        await here.until_log("stays in force")
        assert (await here.route("ping"))["action"] == "drop"
        assert (await here.route("@bot"))["skill_id"] == "calendar_query"
        problem = (await here.get("/readyz"))["configuration"]
        assert "routing_rules.yaml" in problem
        assert "RE2" in problem

        write(
            tmp_path,
            'routing_rules:\n  - {pattern: "^ping", action: reply, text: pong}\n',
            rules.name,
        )
        await here.until_route("ping", "reply")
        assert await here.say("ping") == "pong"
        assert "configuration" not in await here.get("/readyz")


# session.json


@pytest.mark.requirement("session:shape", "plugins:skills")
async def test_a_session_is_told_in_the_guides_shape(tmp_path):
    printed = json.loads((GUIDE / "session.json").read_text(encoding="utf-8"))
    async with OpenMeteoSimulator() as weather:
        config = write(
            tmp_path,
            {
                "channels": {"hook": HOOK},
                "skills": {
                    "weather": {
                        "geocoding_url": weather.base_url,
                        "forecast_url": weather.base_url,
                    }
                },
                "routing_rules": [
                    {"pattern": "天气", "action": "trigger_skill", "skill_id": "weather_query"}
                ],
            },
        )
        async with running(config, tmp_path) as here:
            assert "北京" in await here.say("北京天气")
            sessions = await here.get("/api/v1/sessions")
            session = await here.get(f"/api/v1/sessions/{sessions[0]['session_id']}")
    assert printed.keys() <= session.keys()
    assert {name: type(session[name]) for name in printed} == {
        name: type(value) for name, value in printed.items()
    }
    assert session["user_id"] == printed["user_id"]
    assert session["context"] == printed["context"]
    assert 14 * 60 < session["expire_at"] - time.time() < 15 * 60 + 1


@pytest.mark.requirement("session:multi-end")
async def test_two_devices_of_one_person_see_the_same_conversation(tmp_path):
    async with StubModel(default="seen everywhere") as model:
        models = {"main": {"base_url": model.base_url, "model": "stub"}}
        async with running(write(tmp_path, {"models": models}), tmp_path) as here:
            url = here.engine.url.replace("http", "ws", 1) + "/api/ws"
            async with connect(url) as laptop, connect(url) as phone:
                devices = [Client(laptop), Client(phone)]
                for device in devices:
                    await device.hello(token=here.token)
                    await device.until("welcome")
                await devices[0].send("client-0001", "hello")
                seen = [await device.collect("event", kind="reply") for device in devices]
    events = [[frame for frame in frames if frame["type"] == "event"] for frames in seen]
    assert events[0] == events[1]
    assert [event["kind"] for event in events[0]] == ["message", "reply"]
    assert events[0][1]["body"]["text"] == "seen everywhere"


# alert_rules.yaml


@pytest.mark.requirement("monitor:latency")
async def test_the_alert_rules_expression_reads_a_metric_that_exists(tmp_path):
    alert = yaml.safe_load((GUIDE / "alert_rules.yaml").read_text(encoding="utf-8"))
    series, limit = alert["alert_rules"][0]["expr"].split(" > ")
    config = write(tmp_path, {"channels": {"hook": HOOK}})
    async with running(config, tmp_path) as here:
        for n in range(20):
            await here.say("/help", f"m{n}")
        metrics = await here.get("/metrics")
    samples = dict(re.findall(r"(?m)^([a-z_]+\{[^}]*\}) (\S+)$", metrics))
    assert 0 < float(samples[series]) < float(limit)
    await _check_by_promtool(metrics)


async def _check_by_promtool(metrics):
    promtool = shutil.which("promtool")
    if promtool is None:
        return
    process = await asyncio.create_subprocess_exec(
        *(promtool, "check", "metrics"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(20):
        out, _ = await process.communicate(metrics.encode())
    assert process.returncode == 0, out.decode()


# Environments


@pytest.mark.requirement("practice:environments")
async def test_each_environment_has_its_own_settings_over_the_common_ones(tmp_path):
    async with StubModel() as model:
        main = {"base_url": model.base_url, "model": "common"}
        common = {"channels": {"hook": HOOK}, "models": {"main": main}}
        config = write(tmp_path, common)
        for name in ("dev", "test", "prod"):
            overlay = {"models": {"main": {"model": f"{name}-model"}}}
            write(tmp_path, overlay, f"ai-engine.{name}.json")
            place = tmp_path / name
            place.mkdir()
            async with running(config, place, "--env", name) as here:
                await here.say("hello")
            assert model.requests[-1]["model"] == f"{name}-model"
        status, _, err = await command("config", "check", "--config", config, "--env", "stage")
    assert status == 2
    assert "stage" in err


async def test_an_overlay_that_others_may_read_is_refused_too(tmp_path):
    config = guide_config(tmp_path)
    overlay = write(tmp_path, {"language": "en"}, "ai-engine.prod.json")
    Path(overlay).chmod(0o644)
    status, _, err = await command("config", "check", "--config", config, "--env", "prod")
    assert status == 2
    assert "ai-engine.prod.json" in err
