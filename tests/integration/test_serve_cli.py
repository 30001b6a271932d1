"""`ai-engine serve` and the commands beside it: through the engine, and on its files."""

import asyncio
import json
import os
import socket
import sys
import time

import aiohttp
import pytest

from support.process import EngineProcess
from support.receiver import Receiver
from support.road import SECRET
from support.settings import write
from support.signing import webhook_request

AI_ENGINE = [sys.executable, "-m", "ai_engine"]
ENV = {**{k: v for k, v in os.environ.items() if not k.startswith("AI_ENGINE_")}, "NO_COLOR": "1"}
ENV["COLUMNS"] = "220"


async def command(*words, folder, data=True):
    """(exit status, standard output, standard error)"""
    place = ["--data", str(folder / "data")] if data else []
    process = await asyncio.create_subprocess_exec(
        *AI_ENGINE,
        *words,
        *place,
        cwd=folder,
        env=ENV,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def told(*words, folder):
    """What a command prints with --json; it must succeed."""
    status, out, err = await command(*words, "--json", folder=folder)
    assert status == 0, err
    return json.loads(out)


def config(receiver=None, **changes):
    hook = {"type": "webhook", "auth": {"secret": SECRET}}
    if receiver is not None:
        hook["callback_url"] = receiver.callback_url
    return {
        "channels": {"hook": hook, "dingtalk": {"auth": {"app_id": "a", "app_secret": SECRET}}},
        "routing_rules": [
            {"pattern": "^ping$", "action": "reply", "text": "pong"},
            {"pattern": "^@bot", "action": "trigger_skill", "skill_id": "calendar_query"},
        ],
        **changes,
    }


async def send(url, message_id, text):
    body, headers = webhook_request(
        {"message_id": message_id, "session": "s1", "user": "u1", "text": text}, SECRET, time.time()
    )
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/api/message/hook", data=body, headers=headers) as answer,
    ):
        assert answer.status == 200


async def until(check):
    """Ask a command again until its answer is as wanted."""
    async with asyncio.timeout(15):
        while not (found := await check()):
            await asyncio.sleep(0.05)
    return found


def engine_in(folder, **more):
    return EngineProcess(folder / "ai-engine.json", folder / "data", **more)


# What is refused before anything is done.


async def test_plain_http_for_other_machines_is_refused_with_what_to_do(tmp_path):
    write(tmp_path, config())
    status, _, err = await command("serve", "--host", "0.0.0.0", "--port", "0", folder=tmp_path)
    assert status == 2
    assert "--host 0.0.0.0" in err
    for way in ("server.tls_cert", "server.trusted_proxies", "127.0.0.1"):
        assert way in err
    assert "Traceback" not in err


async def test_a_port_in_use_is_one_sentence(tmp_path):
    write(tmp_path, config())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        status, _, err = await command("serve", "--port", port, folder=tmp_path)
    assert status == 2
    assert port in err
    assert "choose another --port" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
async def test_an_address_that_is_not_ours_is_one_sentence(tmp_path, host):
    write(tmp_path, config(server={"trusted_proxies": ["127.0.0.1"]}))
    status, _, err = await command("serve", "--host", host, folder=tmp_path)
    assert status == 2
    assert host in err
    assert "Traceback" not in err


async def test_errors_are_json_when_json_is_asked_for(tmp_path):
    write(tmp_path, config())
    words = ("serve", "--host", "0.0.0.0", "--json")
    status, out, _ = await command(*words, folder=tmp_path)
    assert status == 2
    assert json.loads(out)["error"]["code"] == "config_invalid"


@pytest.mark.parametrize("content", [None, "no certificate at all"])
async def test_a_certificate_that_cannot_be_used_is_one_sentence(tmp_path, content):
    if content is not None:
        (tmp_path / "none.pem").write_text(content, encoding="utf-8")
        (tmp_path / "none.key").write_text(content, encoding="utf-8")
    server = {"tls_cert": str(tmp_path / "none.pem"), "tls_key": str(tmp_path / "none.key")}
    write(tmp_path, config(server=server))
    status, _, err = await command("serve", "--port", "0", folder=tmp_path)
    assert status == 2
    assert "none.pem" in err
    assert "Traceback" not in err


# Serving, and the commands through the engine.


@pytest.mark.requirement("monitor:cpu")
async def test_it_serves_says_where_and_ends_in_order(tmp_path):
    write(tmp_path, config())
    async with engine_in(tmp_path) as engine:
        note = json.loads((tmp_path / "data" / "engine.json").read_text(encoding="utf-8"))
        assert note == {
            "pid": engine.process.pid,
            "url": engine.url,
            "config": str(tmp_path / "ai-engine.json"),
        }
        assert (tmp_path / "data" / "admin.token").stat().st_mode & 0o777 == 0o600
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{engine.url}/readyz") as answer:
                assert answer.status == 200
            spent = []
            for _ in range(2):
                async with http.get(f"{engine.url}/metrics") as answer:
                    lines = (await answer.text()).splitlines()
                figure = next(x for x in lines if x.startswith("process_cpu_seconds_total"))
                spent.append(float(figure.split()[1]))
        assert 0 < spent[0] <= spent[1]
        assert await engine.stop() == 0
    assert not (tmp_path / "data" / "engine.json").exists()
    assert "Traceback" not in engine.log()


async def test_the_commands_go_through_the_running_engine_and_say_so(tmp_path):
    async with Receiver() as receiver:
        write(tmp_path, config(receiver))
        async with engine_in(tmp_path) as engine:
            await send(engine.url, "m1", "@bot today")
            await receiver.wait_for(lambda: receiver.answers("m1"))
            (session,) = await told("sessions", "list", folder=tmp_path)
            assert session["context"]["last_skill"] == "calendar_query"
            assert await told("sessions", "show", session["session_id"], folder=tmp_path) == session
            story = await told("trace", "m1", folder=tmp_path)
            assert story["state"] == "handled"
            assert await told("trace", story["id"], folder=tmp_path)
            channels = {
                c["name"]: c["state"] for c in await told("channels", "list", folder=tmp_path)
            }
            assert channels == {"hook": "ready", "dingtalk": "ready", "webchat": "ready"}
            for words in (
                ("sessions", "list"),
                ("sessions", "show", session["session_id"]),
                ("trace", "m1"),
                ("deadletters", "list"),
                ("channels", "list"),
            ):
                status, out, err = await command(*words, folder=tmp_path)
                assert status == 0, err
                assert f"from engine at {engine.url}" in out


async def test_the_same_commands_work_on_the_files_of_an_engine_that_is_gone(tmp_path):
    async with Receiver() as receiver:
        write(tmp_path, config(receiver))
        async with engine_in(tmp_path) as engine:
            await send(engine.url, "m1", "ping")
            await receiver.wait_for(lambda: receiver.answers("m1"))
            (session,) = await told("sessions", "list", folder=tmp_path)
            await engine.kill()
    assert (tmp_path / "data" / "engine.json").exists(), "it had no time to take its note away"
    assert (await told("sessions", "list", folder=tmp_path))[0] == session
    assert (await told("trace", "m1", folder=tmp_path))["state"] == "handled"
    for words in (("sessions", "list"), ("trace", "m1"), ("deadletters", "list")):
        status, out, err = await command(*words, folder=tmp_path)
        assert status == 0, err
        assert f"from files in {tmp_path / 'data'}" in out
    status, out, _ = await command("channels", "list", folder=tmp_path)
    assert status == 0
    assert "no engine runs on" in out
    states = {c["name"]: c["state"] for c in await told("channels", "list", folder=tmp_path)}
    assert set(states.values()) == {"not running"}
    assert set(states) == {"hook", "dingtalk", "webchat"}


@pytest.mark.parametrize("through", ["engine", "files"])
async def test_a_dead_letter_is_listed_and_replayed(tmp_path, through):
    async with Receiver() as receiver:
        write(tmp_path, config(receiver))
        receiver.status = 400
        async with engine_in(tmp_path) as engine:
            await send(engine.url, "m1", "ping")
            (dead,) = await until(lambda: told("deadletters", "list", folder=tmp_path))
            assert (dead["kind"], dead["message_id"], dead["attempts"]) == ("delivery", "m1", 1)
            assert "text" not in dead
            receiver.status = 200
            if through == "engine":
                done = await told("deadletters", "replay", dead["id"], folder=tmp_path)
                assert done == {"id": dead["id"], "status": "replayed"}
                await receiver.wait_for(lambda: receiver.answers("m1"))
            else:
                assert await engine.stop() == 0
                status, out, err = await command(
                    "deadletters", "replay", dead["id"], folder=tmp_path
                )
                assert status == 0, err
                assert f"through files in {tmp_path / 'data'}" in out
                assert receiver.answers("m1") == {}
        if through == "files":
            async with engine_in(tmp_path):
                await receiver.wait_for(lambda: receiver.answers("m1"))
        assert receiver.texts("m1") == ["pong"]


# What is not there.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sessions", "show", "none"), "there is no session 'none'"),
        (("trace", "none"), "no message 'none' is known"),
        (("deadletters", "replay", "none"), "there is no dead letter 'none'"),
        (("sessions", "show", "a/../b?c"), "there is no session"),
    ],
)
async def test_what_is_not_there_is_one_sentence_and_status_one(tmp_path, words, said):
    write(tmp_path, config())
    async with engine_in(tmp_path) as engine:
        through = await command(*words, folder=tmp_path)
        assert await engine.stop() == 0
    for status, out, err in (through, await command(*words, folder=tmp_path)):
        assert status == 1
        assert said in err or "nothing answers here" in err
        assert out == ""
        assert "Traceback" not in err
    status, out, _ = await command(*words, "--json", folder=tmp_path)
    assert status == 1
    assert json.loads(out)["error"]["code"] == "not_found"


async def test_a_directory_without_a_journal_is_said_to_be_one(tmp_path):
    (tmp_path / "data").mkdir()
    status, _, err = await command("sessions", "list", folder=tmp_path)
    assert status == 1
    assert "there is no journal in" in err


async def test_a_note_of_a_dead_engine_gives_its_token_to_nobody(tmp_path):
    """Whoever listens on the old port now must not be handed the admin token."""
    asked = []

    async def stranger(reader, writer):
        asked.append(await reader.read(65_536))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]")
        await writer.drain()
        writer.close()

    write(tmp_path, config())
    async with engine_in(tmp_path) as engine:
        await engine.kill()
    server = await asyncio.start_server(stranger, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        note = {"pid": 1, "url": f"http://127.0.0.1:{port}"}
        (tmp_path / "data" / "engine.json").write_text(json.dumps(note), encoding="utf-8")
        assert await told("sessions", "list", folder=tmp_path) == []
    token = (tmp_path / "data" / "admin.token").read_bytes().strip()
    assert not any(token in request for request in asked)


async def test_an_engine_whose_token_file_is_gone_cannot_be_asked_and_says_why(tmp_path):
    write(tmp_path, config())
    async with engine_in(tmp_path):
        (tmp_path / "data" / "admin.token").unlink()
        status, _, err = await command("sessions", "list", folder=tmp_path)
        assert status == 1
        assert "admin.token cannot be read" in err
        assert "Traceback" not in err


async def test_skills_are_listed_with_what_they_need(tmp_path):
    write(tmp_path, config(skills={"enabled": ["calendar_query", "weather_query"]}))
    found = {s["name"]: s for s in await told("skills", "list", folder=tmp_path)}
    assert set(found) == {"calendar_query", "weather_query"}
    assert found["weather_query"]["permission"] == "skill:weather_query.use"
    assert found["calendar_query"]["parameters"]["type"] == "object"
    status, out, _ = await command("skills", "list", folder=tmp_path)
    assert status == 0
    assert "2 skills" in out


async def test_a_channel_without_its_plugin_and_one_that_is_off_say_so(tmp_path):
    channels = {"matrix": {"type": "im_platform"}, "hook": {"type": "webhook", "enabled": False}}
    write(tmp_path, {"channels": channels})
    found = {c["name"]: c for c in await told("channels", "list", folder=tmp_path)}
    assert found["matrix"]["state"] == "plugin_missing"
    assert found["hook"]["state"] == "off"
    async with engine_in(tmp_path):
        live = {c["name"]: c for c in await told("channels", "list", folder=tmp_path)}
        assert live["matrix"]["state"] == "plugin_missing"
        assert "install a plugin" in live["matrix"]["detail"]
        assert "hook" not in live


async def test_the_version_and_the_help_need_no_configuration(tmp_path):
    for words in (("--version",), ("--help",), ("sessions", "--help"), ("trace", "--help")):
        status, out, err = await command(*words, folder=tmp_path, data=False)
        assert status == 0, err
        assert out
    status, _, err = await command("nonsense", folder=tmp_path, data=False)
    assert status == 2
    assert "nonsense" in err


async def test_commands_on_the_configuration_find_that_of_the_engine_on_the_data(tmp_path):
    write(tmp_path, config())
    async with engine_in(tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        for words in (["config", "check"], ["config", "show"], ["routes", "list"]):
            command = [*AI_ENGINE, *words, "--data", str(tmp_path / "data"), "--json"]
            process = await asyncio.create_subprocess_exec(
                *command, cwd=elsewhere, stdout=asyncio.subprocess.PIPE
            )
            async with asyncio.timeout(20):
                out, _ = await process.communicate()
            assert process.returncode == 0, words
            assert json.loads(out)
