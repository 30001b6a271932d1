"""The group robot's channel against the simulated WeCom."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ai_engine.channels.about import problems
from ai_engine.channels.base import Outgoing, WebhookRequest
from ai_engine.channels.wecom_robot.about import ABOUT
from ai_engine.channels.wecom_robot.channel import WeComRobotChannel, build
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import (
    Malformed,
    NotFound,
    SendRefused,
    SendRetryable,
    Unauthenticated,
)
from ai_engine.domain.message import Attachment
from ai_engine.domain.reply import Button, Card, Reply
from ai_engine.security.egress import Egress
from ai_engine.simulators.wecom import WeComSimulator
from ai_engine.simulators.wecom import build as build_simulator

from support.hosts import MemoryMedia, make_host, restarted
from support.watched_clock import WatchedClock
from support.wecom import AUTH, shown

KEY = "simulated-robot-key"
PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 200_000


class World:
    def __init__(self, simulator: WeComSimulator, channel: WeComRobotChannel, media: MemoryMedia):
        self.simulator = simulator
        self.channel = channel
        self.media = media

    async def send(self, text: str = "", to: str = "group:ops", **reply: Any) -> None:
        await self.channel.send(
            Outgoing(
                reply=Reply(id="r1", text=text, **reply),
                target=self.channel.address(to).target,
                in_reply_to="",
                inbound_id="in_1",
                session_key="k",
                user_id="",
            )
        )


@asynccontextmanager
async def world(key: str = KEY, **config: Any) -> AsyncIterator[World]:
    egress, media, clock = Egress(), MemoryMedia(), WatchedClock()
    await egress.start()
    async with build_simulator(AUTH, clock=clock) as simulator:
        settings = ChannelConfig.model_validate(
            {"auth": {"token": key}, "endpoints": {"api": simulator.url}, **config}
        )
        channel = build("wecom_robot", settings, make_host(egress, clock, media=media))
        try:
            yield World(simulator, channel, media)
        finally:
            await channel.close()
            await egress.close()


async def test_a_notice_appears_in_the_robot_s_group():
    async with world() as w:
        await w.send("**done**\n\n|a|b|\n|-|-|\n|1|2|")
        entry = shown(w.simulator)[-1]
        assert (entry.chat, entry.kind, entry.via) == ("group", "markdown", "webhook/send")
        assert "|1|2|" in entry.text


async def test_a_member_is_notified_in_both_forms():
    async with world() as w:
        await w.send("look", "user:zhangsan")
        assert shown(w.simulator)[-1].text == "<@zhangsan>\nlook"
    async with world(reply="text") as w:
        await w.send("**look**", "user:zhangsan")
        assert shown(w.simulator)[-1].text == "look"
        body = w.simulator.wire.rows(path="/webhook/send")[-1]["body"]
        assert '"mentioned_list":["zhangsan"]' in body


@pytest.mark.parametrize(("form", "limit"), [("markdown", 4096), ("text", 2048)])
async def test_a_long_notice_is_split_at_the_platform_s_bytes(form: str, limit: int):
    async with world(reply=form) as w:
        await w.send("\n".join(f"第{n}条" for n in range(600)), "user:zhangsan")
        parts = [entry.text for entry in shown(w.simulator)]
        assert len(parts) > 1
        assert max(len(part.encode()) for part in parts) <= limit
        assert "第599条" in parts[-1]


async def test_cards_to_open_are_native_and_others_are_written():
    link = Button(label="Open", url="https://example.org/a")
    async with world() as w:
        card = Card(title="T", markdown="body", fields=(("k", "v"),), buttons=(link,))
        await w.send("see", card=card)
        text, entry = shown(w.simulator)
        assert text.text == "see"
        assert (entry.card or {})["fields"] == [["k", "v"]]
        assert entry.buttons[0]["url"] == "https://example.org/a"
        image = "https://example.org/p.png"
        await w.send(card=Card(title="P", markdown="b", image_url=image))
        assert (shown(w.simulator)[-1].card or {})["image"] == image
        await w.send(card=Card(title="T", markdown="long " * 50, buttons=(link,)))
        assert shown(w.simulator)[-1].kind == "markdown"
        await w.send(card=Card(title="Ask", buttons=(Button(label="Yes", value={"a": 1}),)))
        assert "Ask" in shown(w.simulator)[-1].text


async def test_pictures_files_and_voice_are_sent():
    async with world() as w:
        for kind, mime, name, shown_as in (
            ("image", "image/png", "a.png", "picture"),
            ("image", "image/webp", "a.webp", "file"),
            ("file", "text/plain", "年报.txt", "file"),
            ("audio", "audio/amr", "a.amr", "audio"),
        ):
            ref = await w.media.put(PNG, name=name, mime=mime)
            await w.send(media=(Attachment(kind=kind, url=ref, name=name, mime=mime),))
            entry = shown(w.simulator)[-1]
            assert entry.kind == shown_as
            async with w.channel.host.egress.session.get(w.simulator.url + entry.url) as got:
                assert await got.read() == PNG
        small = Attachment(kind="file", url="data:text/plain,hi", name="b")
        with pytest.raises(SendRefused, match="as small as"):
            await w.send(media=(small,))


async def test_twenty_notices_a_minute_are_sent_and_the_rest_waits():
    async with world() as w:
        for n in range(20):
            await w.send(f"n{n}")
        with pytest.raises(SendRetryable) as error:
            await w.send("one more")
        assert error.value.retry_after_seconds == 60.0
        await w.channel.clock.advance(60)  # type: ignore[attr-defined]
        await w.send("one more")
        assert len(shown(w.simulator)) == 21


async def test_a_repeated_attempt_goes_on_after_the_parts_that_were_sent():
    async with world() as w:
        ref = await w.media.put(PNG, name="a.png", mime="image/png")
        picture = Attachment(kind="image", url=ref, name="a.png", mime="image/png")
        w.simulator.faults.robot_per_minute = 1
        with pytest.raises(SendRetryable):
            await w.send("words", media=(picture,))
        w.simulator.faults.robot_per_minute = 20
        w.channel = await restarted(w.channel)
        await w.send("words", media=(picture,))
        assert [entry.kind for entry in shown(w.simulator)] == ["markdown", "picture"]


async def test_throttling_by_the_platform_is_tried_later():
    async with world() as w:
        w.simulator.faults.robot_per_minute = 0
        with pytest.raises(SendRetryable) as error:
            await w.send("hello")
        assert error.value.retry_after_seconds == 15.0


@pytest.mark.parametrize(
    ("knob", "said"),
    [
        ({"error_burst": 1}, "HTTP 503"),
        ({"drop_answer": 1}, "could not be reached"),
        ({"malformed_answer": 1}, "cannot be read"),
    ],
)
async def test_failures_of_the_platform_are_tried_later(knob: dict[str, Any], said: str):
    async with world() as w:
        w.simulator.faults.change(knob)
        with pytest.raises(SendRetryable, match=said):
            await w.send("hello")


async def test_a_wrong_key_is_named_and_never_shown(caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG", "ai_engine")
    async with world("wrong-robot-key") as w:
        with pytest.raises(SendRefused, match="93000") as error:
            await w.send("hello")
        with pytest.raises(Unauthenticated):
            await w.channel.check()
        assert "wrong-robot-key" not in str(error.value) + caplog.text


async def test_a_check_proves_the_key_and_shows_nothing():
    async with world() as w:
        assert "the key is right" in await w.channel.check()
        assert shown(w.simulator) == []


async def test_it_only_speaks():
    async with world() as w:
        request = WebhookRequest(method="POST", path="", headers={}, query={}, body=b"")

        async def accept(_: object) -> Any:
            raise AssertionError("nothing comes in")

        with pytest.raises(NotFound):
            await w.channel.webhook(request, accept)
        for wrong in ("mail:x", "group:", "user:a|b", "user:<x>"):
            with pytest.raises(Malformed):
                w.channel.address(wrong)


def test_a_missing_key_is_named():
    found = problems(ABOUT, ChannelConfig.model_validate({}))
    assert len(found) == 1
    assert "auth.token" in found[0]
