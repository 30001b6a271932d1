"""A Feishu custom bot against the simulated Feishu."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ai_engine.channels.base import Outgoing, WebhookRequest
from ai_engine.channels.feishu_robot import crypto
from ai_engine.channels.feishu_robot.channel import FeishuRobotChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.clock import SystemClock
from ai_engine.domain.errors import Malformed, NotFound, SendRefused, SendRetryable
from ai_engine.domain.message import Attachment
from ai_engine.domain.reply import Button, Card, Reply
from ai_engine.security.egress import Egress
from ai_engine.simulators.feishu import FeishuSimulator
from ai_engine.simulators.feishu.directory_api import HOOK_SECRET, HOOK_TOKEN

from support.hosts import make_host

VECTORS = Path(__file__).parents[1] / "fixtures/vectors/feishu.json"


@asynccontextmanager
async def robot(
    *, token: str = HOOK_TOKEN, secret: str = HOOK_SECRET, **config: Any
) -> AsyncIterator[tuple[FeishuSimulator, FeishuRobotChannel]]:
    egress = Egress()
    await egress.start()
    async with FeishuSimulator(app_id="cli_a", app_secret="s") as simulator:
        settings = {
            "auth": {"token": token, "secret": secret},
            "endpoints": {"api": simulator.url},
            **config,
        }
        host = make_host(egress, SystemClock())
        yield simulator, FeishuRobotChannel("bot", ChannelConfig.model_validate(settings), host)
    await egress.close()


async def send(channel: FeishuRobotChannel, text: str = "", **reply: Any) -> None:
    await channel.send(
        Outgoing(
            reply=Reply(id="r1", text=text, **reply),
            target=channel.address("group:").target,
            in_reply_to="",
            inbound_id="",
            session_key="k",
            user_id="",
        )
    )


def test_the_published_signature_is_ours():
    [vector] = [
        each
        for each in json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"]
        if each["name"] == "custom_bot_sign"
    ]
    assert crypto.sign(vector["timestamp"], vector["secret"]) == vector["expected_b64"]


async def test_a_message_reaches_the_group_with_its_card():
    card = Card(
        title="构建",
        fields=(("Result", "ok"),),
        buttons=(Button(label="Open", url="https://example.com/"), Button(label="Press")),
    )
    async with robot() as (simulator, channel):
        await send(channel, "**done** <at id=all>", card=card)
        [entry] = simulator.transcript.list()
        assert (entry.chat, entry.title, entry.via) == ("group", "构建", "custom bot")
        assert "**done** ＜at id=all>" in entry.text
        assert "Result: ok" in entry.text
        assert [button["label"] for button in entry.buttons] == ["Open"]


async def test_as_text_the_marks_go():
    async with robot(reply="text") as (simulator, channel):
        await send(channel, "**done**")
        [entry] = simulator.transcript.list()
        assert (entry.kind, entry.text) == ("text", "done")


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"token": "wrong"}, "auth.token"), ({"secret": "wrong"}, "auth.secret")],
)
async def test_a_wrong_token_or_secret_is_named_and_never_shown(settings: dict[str, str], said):
    async with robot(**settings) as (_, channel):
        with pytest.raises(SendRefused, match=said) as caught:
            await send(channel, "x")
        assert HOOK_TOKEN not in str(caught.value)


async def test_throttling_and_failures_are_tried_later():
    async with robot() as (simulator, channel):
        for knob in ({"throttle_after": 0, "throttle_times": 1}, {"error_burst": 1}):
            simulator.faults.change(knob)
            with pytest.raises(SendRetryable) as caught:
                await send(channel, "x")
            assert caught.value.retry_after_seconds == 1.0
        await send(channel, "x")
        assert len(simulator.transcript.list()) == 1


async def test_it_only_speaks_and_only_words():
    async with robot() as (_, channel):
        assert channel.about.outgoing_only
        request = WebhookRequest(method="POST", path="", headers={}, query={}, body=b"{}")
        with pytest.raises(NotFound):
            await channel.webhook(request, None)
        with pytest.raises(Malformed):
            channel.address("user:x")
        with pytest.raises(SendRefused, match="upload"):
            await send(channel, media=(Attachment(kind="image", url="data:image/png;base64,aGk="),))


def test_without_its_token_it_says_what_is_missing():
    host = make_host(Egress())
    channel = FeishuRobotChannel("bot", ChannelConfig.model_validate({}), host)
    assert "auth.token" in channel.status().detail
