"""The custom robot channel against the simulated DingTalk's `/robot/send`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ai_engine.channels.about import problems
from ai_engine.channels.base import Outgoing, WebhookRequest
from ai_engine.channels.dingtalk_robot import codec
from ai_engine.channels.dingtalk_robot.about import ABOUT
from ai_engine.channels.dingtalk_robot.channel import SENDS_PER_SECOND, DingTalkRobotChannel
from ai_engine.channels.dingtalk_robot.client import PENALTY_SECONDS
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Malformed, NotFound, SendRefused, SendRetryable
from ai_engine.domain.message import Attachment
from ai_engine.domain.reply import Button, Card, Reply
from ai_engine.security.egress import Egress
from ai_engine.simulators.dingtalk import DingTalkSimulator

from support.clock import ManualClock
from support.hosts import make_host

TOKEN, SECRET = "simulated-custom-robot", "SECsimulated"


@asynccontextmanager
async def world(
    **config: Any,
) -> AsyncIterator[tuple[DingTalkSimulator, DingTalkRobotChannel, ManualClock]]:
    clock, egress = ManualClock(), Egress()
    await egress.start()
    async with DingTalkSimulator(app_id="a", app_secret="b", clock=clock) as sim:
        settings = ChannelConfig.model_validate(
            {
                "type": "dingtalk_robot",
                "endpoints": {"oapi": sim.url},
                "auth": {"token": TOKEN, "secret": SECRET},
                **config,
            }
        )
        channel = DingTalkRobotChannel("news", settings, make_host(egress, clock))
        try:
            yield sim, channel, clock
        finally:
            await channel.close()
            await egress.close()


def outgoing(channel: DingTalkRobotChannel, text: str = "", **reply: Any) -> Outgoing:
    return Outgoing(
        reply=Reply(**{"id": "r1", "text": text, **reply}),
        target=channel.address("group:").target,
        in_reply_to="",
        inbound_id="in_1",
        session_key="k",
        user_id="",
    )


def texts(sim: DingTalkSimulator) -> list[tuple[str, str]]:
    return [(entry.kind, entry.text) for entry in sim.transcript.list()]


async def test_a_message_is_signed_and_shown_in_the_group():
    async with world() as (sim, channel, _):
        await channel.send(outgoing(channel, "**Deployed**"))
        assert texts(sim) == [("markdown", "**Deployed**")]
        assert sim.transcript.list()[0].conversation == sim.directory.group().id


async def test_the_text_form_has_no_markdown_marks():
    async with world(reply="text") as (sim, channel, _):
        await channel.send(outgoing(channel, "**Deployed**"))
        assert texts(sim) == [("text", "Deployed")]


async def test_links_of_a_card_are_buttons():
    card = Card(title="Build 7", buttons=(Button(label="Log", url="https://example.com/7"),))
    async with world() as (sim, channel, _):
        await channel.send(outgoing(channel, card=card))
        [(kind, text)] = texts(sim)
        assert kind == "actionCard"
        assert "[Log](https://example.com/7)" in text


async def test_a_repeated_message_shows_once():
    async with world() as (sim, channel, _):
        for _ in range(2):
            await channel.send(outgoing(channel, "once"))
        sim.faults.drop_answer = 1
        with pytest.raises(SendRetryable):
            await channel.send(outgoing(channel, "lost answer", id="r2"))
        await channel.send(outgoing(channel, "lost answer", id="r2"))
        assert [text for _, text in texts(sim)] == ["once", "lost answer"]


async def test_more_than_twenty_a_minute_wait_as_long_as_the_penalty():
    async with world() as (sim, channel, clock):
        assert channel.capabilities.sends_per_second == SENDS_PER_SECOND == 20 / 60
        for n in range(20):
            await channel.send(outgoing(channel, str(n), id=f"r{n}"))
        with pytest.raises(SendRetryable) as caught:
            await channel.send(outgoing(channel, "late", id="late"))
        assert caught.value.retry_after_seconds == PENALTY_SECONDS
        await clock.advance(PENALTY_SECONDS)
        await channel.send(outgoing(channel, "late", id="late"))
        assert len(texts(sim)) == 21


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"auth": {"token": TOKEN, "secret": "wrong"}}, "auth.secret"),
        ({"auth": {"token": "wrong", "secret": SECRET}}, "auth.token"),
    ],
)
async def test_wrong_credentials_are_named_and_kept_secret(config: dict[str, Any], said: str):
    async with world(**config) as (_, channel, _):
        with pytest.raises(SendRefused) as caught:
            await channel.send(outgoing(channel, "x"))
        assert said in caught.value.hint
        assert TOKEN not in str(caught.value)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("knob", "error", "wait"),
    [
        ({"error_burst": 1}, SendRetryable, 2.0),
        ({"throttle_after": 0}, SendRetryable, PENALTY_SECONDS),
        ({"malformed_answer": 1}, SendRetryable, None),
        ({"reply_errcode": -1}, SendRetryable, 2.0),
        ({"reply_errcode": 430101}, SendRefused, None),
        ({"reply_errcode": 400102}, SendRefused, None),
    ],
)
async def test_errors_say_whether_and_when_to_try_again(
    knob: dict[str, Any], error: type[Exception], wait: float | None
):
    async with world() as (sim, channel, _):
        sim.faults.change(knob)
        with pytest.raises(error) as caught:
            await channel.send(outgoing(channel, "x"))
        assert getattr(caught.value, "retry_after_seconds", None) == wait


async def test_an_unreachable_robot_is_tried_later_and_stays_secret():
    async with world(endpoints={"oapi": "http://127.0.0.1:9"}) as (_, channel, _):
        with pytest.raises(SendRetryable) as caught:
            await channel.send(outgoing(channel, "x"))
        assert TOKEN not in repr(caught.value)


async def test_what_the_robot_cannot_do_is_said():
    async with world() as (sim, channel, _):
        media = (Attachment(kind="image", name="a.png", url="data:image/png,x"),)
        with pytest.raises(SendRefused, match="cannot send pictures"):
            await channel.send(outgoing(channel, "words", media=media))
        assert texts(sim) == [("markdown", "words")]
        request = WebhookRequest(method="POST", path="", headers={}, query={}, body=b"{}")
        with pytest.raises(NotFound):
            await channel.webhook(request, None)  # pyright: ignore[reportArgumentType]
        for wrong in ("user:u1", "group"):
            with pytest.raises(Malformed):
                channel.address(wrong)
        assert channel.status().state == "ready"
        with pytest.raises(SendRefused):
            await channel.check()
        assert ABOUT.outgoing_only


def test_a_robot_without_its_token_is_a_problem():
    [problem] = problems(ABOUT, ChannelConfig(type="dingtalk_robot"))
    assert problem.startswith("auth.token: ")
    assert problems(ABOUT, ChannelConfig.model_validate({"auth": {"token": "t"}})) == []


def test_the_longest_message_fits_and_an_empty_one_is_none():
    text = '"\n' * (codec.TEXT_LIMIT_BYTES // 2)
    body = codec.message(Reply(id="r", text=text), "markdown")
    assert len(str(body["markdown"]["text"]).replace('"', '\\"').replace("\n", "\\n")) < 20_000
    assert codec.message(Reply(id="r", text=" \n"), "markdown") == {}
    assert codec.title("---") == "AI"
    assert codec.title("x" * 40) == "x" * 31 + "…"
