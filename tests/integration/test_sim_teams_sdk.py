"""Microsoft's own bot SDK drives the simulated Teams: what it understands and sends is right."""

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.teams import TeamsSimulator

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-oracles/bin/python"
APP_ID = "8f3a2a8e-1111-4222-8333-444455556666"


class SdkBot:
    """The bot's process; `next(event)` waits for what it tells."""

    def __init__(self, process):
        self.process = process

    async def line(self):
        async with asyncio.timeout(20):
            line = await self.process.stdout.readline()
        assert line, "the SDK's process has ended"
        return json.loads(line)

    async def next(self, event):
        while (found := await self.line())["event"] != event:
            assert found["event"] != "error", found
        return found


@asynccontextmanager
async def sdk_bot():
    """(simulator, bot)"""
    async with TeamsSimulator(app_id=APP_ID, app_secret="s", robot_name="Helper") as simulator:
        simulator.faults.stream_gap_seconds = 0
        process = await asyncio.create_subprocess_exec(
            *(PYTHON, "-W", "ignore", ROOT / "tests/oracles/teams_bot.py"),
            *(simulator.url, APP_ID, "s", simulator.tenant),
            stdout=asyncio.subprocess.PIPE,
        )
        bot = SdkBot(process)
        try:
            simulator.engine = f"http://127.0.0.1:{(await bot.line())['port']}"
            yield simulator, bot
        finally:
            process.kill()
            await process.communicate()


async def refusals(simulator):
    """What the SDK answers to spoiled proofs: 401, or 500 where its own check raises otherwise."""
    cases = [
        ({"wrong_audience": True}, {401}),
        ({"wrong_issuer": True}, {401}),
        ({"wrong_service_claim": True}, {401}),
        ({"wrong_secret": True}, {401, 500}),
        ({"no_authorization": True}, {401, 500}),
        ({"clock_skew_seconds": -3600 - 360}, {401, 500}),
        ({"algorithm": "none"}, {401, 500}),
        ({"clock_skew_seconds": -3600 - 240}, {201}),
    ]
    for knob, statuses in cases:
        simulator.faults.clear()
        simulator.faults.change(knob)
        sent = await simulator.say("zhangsan", "hello")
        assert (await simulator.callbacks.answer(sent)).status in statuses, knob
    simulator.faults.clear()
    simulator.faults.stream_gap_seconds = 0


async def test_the_sdk_takes_what_the_simulator_signs_and_answers_it():
    async with sdk_bot() as (simulator, bot):
        asked = await simulator.say("zhangsan", "echo 你好 @Helper", chat="group")
        got = await bot.next("message")
        assert got["kind"] == "groupChat"
        assert (got["sender"], got["tenant"]) == ("zhangsan", simulator.tenant)
        reply = await simulator.wait_reply(asked)
        assert (reply.reply_to, reply.chat) == (asked, "group")
        assert "echo 你好" in reply.text
        await refusals(simulator)

        file = SharedFile(kind="file", name="a.pdf", mime="application/pdf", content=b"x")
        await simulator.say("zhangsan", "echo file", file=file, conversation="cid-files")
        while (got := await bot.next("message"))["text"] != "echo file":
            pass
        assert got["attachments"] == ["application/vnd.microsoft.teams.file.download.info"]


async def test_the_sdk_streams_edits_deletes_and_looks_people_up():
    async with sdk_bot() as (simulator, bot):
        asked = await simulator.say("zhangsan", "stream")
        refused = await bot.next("refused")
        assert refused["status"] == 403
        assert "already completed" in refused["said"]
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.state, reply.edits) == ("You have 5 days.", "finished", 3)

        await simulator.say("zhangsan", "edit")
        edited = await bot.next("edited")
        assert simulator.transcript.get(edited["id"]).text == "final"
        assert simulator.transcript.get(edited["gone"]).status == "deleted"

        await simulator.say("alice", "who")
        found = await bot.next("member")
        assert (found["name"], found["email"]) == ("Alice Wang", "alice@contoso.example")

        await simulator.say("zhangsan", "new")
        await bot.next("created")
        assert simulator.transcript.list(conversation="cid-private-alice")[-1].text == "hello Alice"

        simulator.faults.not_installed = True
        await simulator.say("zhangsan", "forbidden")
        assert (await bot.next("refused"))["status"] == 403


async def test_the_sdk_understands_cards_events_and_feedback():
    async with sdk_bot() as (simulator, bot):
        asked = await simulator.say("zhangsan", "card")
        reply = await simulator.wait_reply(asked)
        assert reply.card == {"title": "Pick"}
        pressed = await simulator.press(reply.id)
        assert (await bot.next("invoke"))["data"] == {"choice": "yes"}
        answer = await simulator.callbacks.answer(pressed)
        assert answer.status == 200
        assert json.loads(answer.body)["value"]["type"] == "AdaptiveCard"

        await simulator.rate(reply.id, "good")
        assert await bot.next("reaction") == {
            "event": "reaction",
            "types": ["like"],
            "of": reply.id,
        }
        simulator.transcript.mark(reply.id, buttons=({"label": "👍 👎", "feedback": True},))
        await simulator.rate(reply.id, "bad", text="no")
        value = (await bot.next("feedback"))["value"]
        assert value["actionValue"]["reaction"] == "dislike"
        assert json.loads(value["actionValue"]["feedback"]) == {"feedbackText": "no"}

        await simulator.edit(asked, "card again")
        assert (await bot.next("edit"))["text"] == "card again"
        await simulator.recall(asked)
        assert (await bot.next("delete"))["id"] == asked
        await simulator.enter("alice")
        assert (await bot.next("members"))["ids"] == [f"28:{APP_ID}", "29:alice"]
        await bot.next("installed")


async def test_the_sdk_offers_and_uploads_a_file():
    async with sdk_bot() as (simulator, bot):
        asked = await simulator.say("zhangsan", "file")
        offer = await simulator.wait_reply(asked)
        assert (offer.kind, offer.title) == ("file", "plan.pdf")
        pressed = await simulator.press(offer.id, 0)
        consent = await bot.next("consent")
        assert (consent["status"], consent["context"]) == (201, {"n": 1})
        assert [file.content for file in simulator.uploaded] == [b"plan"]
        assert (await simulator.callbacks.answer(pressed)).status == 200


def test_the_oracle_is_installed():
    if not PYTHON.exists():
        pytest.fail("run scripts/setup.sh: .venv-oracles is missing")
