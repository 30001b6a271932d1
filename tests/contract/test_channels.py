"""What every connector must do, the same checks for each of them in each of its modes.

Those that count what arrives come first: after a refusal a platform sends again, much later.
"""

import asyncio
import re

import pytest

from ai_engine.channels.base import Outgoing
from ai_engine.channels.types import build
from ai_engine.channels.wecom_aibot import link as aibot_link
from ai_engine.cli.verification import checks, script
from ai_engine.cli.verification.checks import CHECKS
from ai_engine.cli.verification.world import CHANNEL
from ai_engine.domain.errors import Malformed
from ai_engine.domain.reply import Reply

from support.channels import (
    SETUPS,
    SPEED,
    QuickClock,
    growing,
    inbound,
    no_stream_grows,
    secrets_of,
    watched,
)
from support.hosts import make_host

TOKEN_PATHS = {
    "dingtalk": "/v1.0/oauth2/accessToken",
    "wecom": "/cgi-bin/gettoken",
    "feishu": "/auth/v3/tenant_access_token",
    "teams": "/oauth2/v2.0/token",
}
"""Where an access token comes from; the other platforms' tokens are in the settings."""
EXPIRED = {
    "dingtalk": {"session_webhook_expired": True},
    "wecom_aibot-webhook": {"no_polls": True},
    "teams": {"not_found": True},
}
"""What makes the way back of a message useless; elsewhere answers go by address at once."""


@pytest.fixture(scope="module")
def anyio_backend():
    return ("asyncio", {"use_uvloop": True})


@pytest.fixture(scope="module", params=SETUPS, ids=lambda setup: setup.id)
async def _shared(request):
    async with watched(request.param) as found:
        yield found


@pytest.fixture
def channel(_shared):
    """The same world for all checks of a set-up; no fault and no waiting model is left over."""
    yield _shared
    _shared.world.faults.clear()
    _shared.world.script.go_on.set()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    """Those that a quick clock does not shorten."""
    monkeypatch.setattr(checks, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(checks, "DELAY_SECONDS", 0.1)
    monkeypatch.setattr(checks, "AGAIN_SECONDS", 0.5)
    monkeypatch.setattr(aibot_link, "ACK_SECONDS", 0.5)


async def silent(world, after, words, count):
    """The words were said so often, and do not come once more."""
    await asyncio.sleep(0.1)
    assert [words in entry.text for entry in world.said_after(after)].count(True) == count


async def test_a_message_that_comes_several_times_at_once_is_answered_once(channel):
    world = channel.world
    after = world.last
    message = await world.say("echo twins")
    again = [world.simulator.resend(message) for _ in range(4)]
    await asyncio.gather(*again)
    await world.heard("You said: twins", after)
    await silent(world, after, "You said: twins", 1)


async def test_a_private_chat_and_a_group_do_not_share_their_memory(channel):
    world = channel.world
    try:
        await world.ask("echo kumquat", "kumquat", group=True)
    except Malformed as error:
        pytest.skip(error.message)
    await world.ask("seen kumquat", "kumquat is new here")
    await world.ask("seen kumquat", "kumquat is known here", group=True)
    await world.ask("echo papaya", "papaya")
    await world.ask("seen papaya", "papaya is new here", group=True)
    await world.ask("seen papaya", "papaya is known here")


async def test_a_slow_model_makes_the_platform_send_nothing_twice(channel):
    world = channel.world
    world.script.go_on.clear()
    before = [inbound(world, result) for result in ("accepted", "duplicate")]
    after = world.last
    message = await world.say("slow")
    entry = await world.simulator.wait_settled(message)
    assert entry.status == "delivered", entry.detail
    await asyncio.sleep(4 / SPEED)
    assert [inbound(world, "accepted"), inbound(world, "duplicate")] == [before[0] + 1, before[1]]
    world.script.go_on.set()
    await world.heard(script.SLOW, after)


async def test_an_answer_arrives_though_the_way_back_has_expired(channel):
    world, setup = channel.world, channel.setup
    found = EXPIRED.get(setup.id) or EXPIRED.get(setup.type)
    if found is None:
        pytest.skip("answers go by address; nothing expires")
    world.faults.change(found)
    await world.ask("echo another way", "You said: another way")


async def test_the_bots_own_answer_is_no_question(channel):
    world = channel.world
    before = inbound(world, "accepted")
    await world.ask("echo echo me", "You said: echo me")
    await asyncio.sleep(0.1)
    assert inbound(world, "accepted") == before + 1


async def test_a_long_answer_without_spaces_loses_no_letter(channel):
    world = channel.world
    after = world.last
    await world.say("wide")
    wanted = world.script.wide

    def whole():
        said = [entry.text for entry in world.said_after(after) if entry.state != "streaming"]
        return True if wanted in re.sub(r"\s", "", "".join(said)) else None

    try:
        await world.simulator.transcript.wait("", whole, 20.0)
    except TimeoutError:
        said = ["".join(e.text.split()) for e in world.said_after(after)]
        ends = [(text[:20], text[-20:], len(text)) for text in said]
        raise AssertionError(f"of {len(wanted)} letters came {ends}") from None


async def test_a_stream_whose_answer_fails_comes_to_an_end(channel):
    world = channel.world
    after = world.last
    message = await world.say("fall")
    await world.simulator.wait_settled(message)
    await world.heard("", after)
    await no_stream_grows(world, after)
    await world.ask("echo and on", "You said: and on")


async def test_a_stream_that_is_stopped_comes_to_an_end(channel):
    world = channel.world
    world.script.go_on.clear()
    after = world.last
    group = channel.setup.id == "mattermost-webhook"  # an answer to a command does not grow
    await world.say("hang", group=group)
    if world.capabilities.streaming:
        assert await growing(world, after)
    await world.say("/stop", group=group)
    await world.ask("echo and on", "You said: and on")
    await no_stream_grows(world, after)
    assert not any("its end" in entry.text for entry in world.said_after(after))


async def test_many_answers_at_once_ask_for_one_token(channel):
    world, path = channel.world, TOKEN_PATHS.get(channel.setup.type)
    if path is None:
        pytest.skip("the token is in the settings")
    config = world.engine.config.channels[CHANNEL]
    clock = world.simulator.clock
    one = build(channel.setup.type, "second", config, make_host(world.engine.egress, clock))
    await one.start()
    after = max((row["n"] for row in world.simulator.wire.rows()), default=0)

    def outgoing(n):
        return Outgoing(
            reply=Reply(id=f"r{n}", text="hello"),
            target=one.address(f"user:u{n}").target,
            in_reply_to="",
            inbound_id="",
            session_key="k",
            user_id=f"u{n}",
        )

    sending = [asyncio.ensure_future(one.send(outgoing(n))) for n in range(200)]
    await asyncio.wait(sending, timeout=3.0)
    for task in sending:
        task.cancel()
    await asyncio.gather(*sending, return_exceptions=True)
    await one.close()
    rows = world.simulator.wire.rows(direction="in", after=after)
    assert len([row for row in rows if path in row["path"]]) == 1
    assert len(rows) > 1


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
async def test_a_channel_passes_its_verification(channel, check):
    result = await checks.run(check, channel.world, QuickClock())
    if result.outcome == "skipped":
        pytest.skip(f"{channel.setup.type}: {result.detail}")
    assert result.outcome == "passed", result.detail


async def test_no_secret_is_in_the_log_or_in_what_is_shown_of_the_channel(channel):
    """The last one of each channel: its log holds all that was provoked above."""
    world = channel.world
    world.faults.error_burst = 1
    await world.ask("echo hush", "You said: hush")
    world.faults.wrong_secret = True
    await world.say("echo forged")
    await asyncio.sleep(0.1)
    secrets = secrets_of(channel)
    assert len(secrets) >= 2
    shown = [*channel.logged, repr(world.engine.readiness())]
    assert any("verified" in line for line in shown)
    leaked = {(name, line[:300]) for name, s in secrets.items() for line in shown if s in line}
    assert not leaked
