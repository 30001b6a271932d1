"""One person, two identities: linked by a command, followed from DingTalk to the web chat."""

import asyncio
import fcntl
import json

import aiohttp
import pytest
from typer.testing import CliRunner

from ai_engine.cli import people
from ai_engine.cli.people import app

from support.road import road
from support.settings import write

DING, WEB = "dingtalk:dingcorp/u001", "webchat:/admin"
LINKED = {"people": {"zhang": {"name": "Zhang San", "identities": [DING, WEB]}}}


async def events_of(made, wanted):
    """What the web chat shows, until something with these words comes."""
    url = made.url.replace("http", "ws", 1) + "/api/ws"
    shown = []
    async with asyncio.timeout(10), made.http.ws_connect(url) as socket:
        await socket.send_json({"type": "hello", "token": made.token})
        async for message in socket:
            assert message.type is aiohttp.WSMsgType.TEXT
            frame = message.json()
            if frame["type"] == "event":
                shown.append((frame["kind"], frame["body"].get("text", "")))
                if wanted in shown[-1][1]:
                    return shown
    raise AssertionError(shown)


@pytest.mark.requirement("session:multi-end")
async def test_a_conversation_begun_in_dingtalk_goes_on_in_the_web_chat(tmp_path):
    async with road(tmp_path, **LINKED) as made:
        assert await made.dingtalk("m1", "ping") == 200
        await made.dingtalk_reply_to("m1")
        assert await events_of(made, "pong") == [("message", "ping"), ("reply", "pong")]
        _, sessions = await made.api("sessions")
        assert [session["key"] for session in sessions] == ["person:zhang"]


async def test_without_a_link_the_web_chat_shows_nothing_of_others(tmp_path):
    async with road(tmp_path) as made:
        await made.dingtalk("m1", "ping")
        await made.dingtalk_reply_to("m1")
        _, sessions = await made.api("sessions")
        assert len(sessions) == 1
        assert sessions[0]["key"].startswith("dingtalk:private:")


@pytest.fixture
def config(tmp_path):
    return write(tmp_path, {"channels": {"webchat": {}}})


def run(config, *args):
    return CliRunner().invoke(app, [*args, "--config", str(config)])


def people_in(config):
    return json.loads(config.read_text(encoding="utf-8")).get("people")


def test_identities_are_linked_listed_and_unlinked(config):
    assert run(config, "link", "zhang", DING, "--name", "张三").exit_code == 0
    assert run(config, "link", "zhang", WEB).exit_code == 0
    assert people_in(config) == {"zhang": {"identities": [DING, WEB], "name": "张三"}}
    assert config.stat().st_mode & 0o777 == 0o600
    listed = json.loads(run(config, "list", "--json").output)
    assert listed == [{"person": "zhang", "name": "张三", "identities": [DING, WEB]}]
    assert run(config, "unlink", "zhang", DING).exit_code == 0
    assert run(config, "unlink", "zhang", WEB).exit_code == 0
    assert people_in(config) is None


def test_an_identity_belongs_to_one_person(config):
    run(config, "link", "zhang", DING)
    refused = run(config, "link", "li", DING)
    assert refused.exit_code == 1
    assert "linked to 'zhang'" in refused.output
    assert people_in(config) == {"zhang": {"identities": [DING]}}


@pytest.mark.parametrize("identity", ["u001", "dingtalk:", "dingtalk:corp", "dingtalk:corp/"])
def test_what_is_no_identity_is_refused_with_an_example(config, identity):
    refused = run(config, "link", "zhang", identity)
    assert refused.exit_code == 2
    assert "webchat:/admin" in refused.output
    assert people_in(config) is None


def test_what_is_not_linked_cannot_be_unlinked(config):
    assert "not linked" in run(config, "unlink", "zhang", DING).output


def test_a_broken_configuration_is_not_made_worse(config):
    config.write_text('{"channels": {"x/y": {}}}', encoding="utf-8")
    assert run(config, "link", "zhang", DING).exit_code == 2
    assert people_in(config) is None


def test_two_commands_at_once_lose_neither_change(config, monkeypatch):
    with config.with_name(f".{config.name}.lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def the_other_command_ends(_seconds):
            found = json.loads(config.read_text(encoding="utf-8"))
            found["people"] = {"li": {"identities": [WEB]}}
            write(config.parent, found)
            fcntl.flock(other, fcntl.LOCK_UN)

        monkeypatch.setattr(people.time, "sleep", the_other_command_ends)
        assert run(config, "link", "zhang", DING).exit_code == 0
    assert people_in(config) == {"li": {"identities": [WEB]}, "zhang": {"identities": [DING]}}


def test_a_command_that_waits_too_long_for_another_changes_nothing(config, monkeypatch):
    monkeypatch.setattr(people, "LOCK_SECONDS_MAX", 0.0)
    with config.with_name(f".{config.name}.lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        refused = run(config, "link", "zhang", DING)
    assert refused.exit_code == 1
    assert "another command is changing" in refused.output
    assert people_in(config) is None
