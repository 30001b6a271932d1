"""Telling a platform where to call us: by a call where it has one, else by naming its console."""

import pytest

from ai_engine.channels.telegram.channel import TelegramChannel
from ai_engine.channels.types import BUILT_IN, about, build
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import SendRefused

from support.dingtalk_world import world
from support.hosts import make_host

BASE = "https://ai.example.com/"
OWN_WAY = {"dingtalk", "telegram"}
"""They take the address by a call."""


async def test_dingtalk_learns_where_pressed_buttons_go():
    async with world("webhook", callback_url="here") as (sim, engine):
        base = engine.channel.config.callback_url
        taken = await engine.channel.register(base)
        assert taken.startswith(base.rstrip("/"))
        assert taken.endswith("/card")
        [told] = sim.wire.rows(path="/v1.0/card/callbacks/register")
        assert told["status"] == 200
        assert taken in str(told)
        with pytest.raises(SendRefused, match="not https://another"):
            await engine.channel.register("https://another.example")


async def test_dingtalk_without_an_address_for_buttons_says_what_to_set():
    async with world("webhook") as (_, engine):
        with pytest.raises(SendRefused) as caught:
            await engine.channel.register(BASE)
    assert "callback_url" in caught.value.hint
    assert "https://ai.example.com/api/message/" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "mode"), [("dingtalk", "stream"), ("feishu", "stream"), ("telegram", "poll")]
)
async def test_who_holds_the_connection_needs_no_address(kind, mode):
    channel = build(kind, kind, ChannelConfig.model_validate({"mode": mode}), make_host())
    with pytest.raises(SendRefused, match="does not call this channel"):
        await channel.register(BASE)


@pytest.mark.parametrize("kind", sorted(set(BUILT_IN) - OWN_WAY))
async def test_every_other_platform_names_its_console_or_that_nothing_calls(kind):
    settings = {"mode": "webhook"} if "webhook" in about(kind).modes else {}
    channel = build(kind, "bot", ChannelConfig.model_validate(settings), make_host())
    with pytest.raises(SendRefused) as caught:
        await channel.register(BASE)
    if settings:
        assert caught.value.hint == "enter https://ai.example.com/api/message/bot there"
        assert about(kind).console in caught.value.message
    else:
        assert "nothing to register" in caught.value.message
    assert not isinstance(channel, TelegramChannel)
