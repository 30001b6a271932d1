"""Trying a channel on its real platform, with a real account: a person writes, the engine answers.

The engine is one of its own with temporary data, the channel as it is configured, and the same
script as in simulated runs. What counts is what the platform did: it brought the message, and it
took the answer. What a person sees is for the person to judge.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from ai_engine.channels.base import Accept, Accepted, Channel, Outgoing
from ai_engine.channels.base import WebhookRequest as Request
from ai_engine.channels.base import WebhookResponse as Response
from ai_engine.cli.server import Listener, serving
from ai_engine.cli.settings import live_config
from ai_engine.cli.verification import script
from ai_engine.cli.verification.checks import Failed, Result, Skipped
from ai_engine.cli.verification.world import until_connected
from ai_engine.config.schema import ChannelConfig
from ai_engine.config.write import write_private
from ai_engine.domain.clock import Clock, SystemClock
from ai_engine.domain.errors import EngineError
from ai_engine.domain.message import InboundMessage, Json
from ai_engine.engine import Engine, Options, Wrap

CONNECT_SECONDS_MAX: Final = 30.0
SEEN_MAX: Final = 1000
"""Messages and answers that a run remembers."""

Tell = Callable[[str, str], None]
"""(in Chinese, in English): what the person should do now."""


@dataclass(slots=True)
class Seen:
    """What the platform brought and took."""

    messages: list[InboundMessage] = field(default_factory=list[InboundMessage])
    answers: list[Outgoing] = field(default_factory=list[Outgoing])
    """Taken by the platform."""
    updates: int = 0
    failures: list[str] = field(default_factory=list[str])
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def note(self, kind: list[Any], entry: Any) -> None:
        async with self.changed:
            if len(kind) < SEEN_MAX:
                kind.append(entry)
            self.changed.notify_all()


class Watched:
    """A channel, and what goes through it. Everything that is not here is the channel's own."""

    def __init__(self, channel: Channel, seen: Seen) -> None:
        self._channel = channel
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def _watching(self, accept: Accept) -> Accept:
        async def watched(message: InboundMessage) -> Accepted:
            accepted = await accept(message)
            if not accepted.duplicate:
                await self._seen.note(self._seen.messages, message)
            return accepted

        return watched

    async def run(self, accept: Accept) -> None:
        await self._channel.run(self._watching(accept))

    async def webhook(self, request: Request, accept: Accept) -> Response:
        return await self._channel.webhook(request, self._watching(accept))

    async def send(self, outgoing: Outgoing) -> None:
        await self._taken(self._channel.send(outgoing), outgoing)

    async def finish(self, handle: Json, outgoing: Outgoing) -> None:
        await self._taken(self._channel.finish(handle, outgoing), outgoing)

    async def update(self, handle: Json, text: str) -> None:
        await self._channel.update(handle, text)
        self._seen.updates += 1

    async def _taken(self, sending: Awaitable[None], outgoing: Outgoing) -> None:
        try:
            await sending
        except EngineError as error:
            await self._seen.note(self._seen.failures, str(error))
            raise
        await self._seen.note(self._seen.answers, outgoing)


@dataclass(slots=True, kw_only=True)
class Live:
    """A channel on its platform, and a person who does what `tell` says."""

    engine: Engine
    channel: Channel
    seen: Seen
    tell: Tell
    seconds: float
    """How long the person may take for one step."""

    async def answered(self, words: str, zh: str, en: str) -> Outgoing:
        """Ask the person for something, and wait until the platform took an answer with these
        words. Raises Failed: no message came, or no answer was taken."""
        messages, answers = len(self.seen.messages), len(self.seen.answers)
        self.tell(zh, en)

        def look() -> Outgoing | None:
            for outgoing in self.seen.answers[answers:]:
                if words in f"{outgoing.reply.text}{outgoing.reply.card or ''}":
                    return outgoing
            return None

        try:
            async with asyncio.timeout(self.seconds), self.seen.changed:
                await self.seen.changed.wait_for(lambda: look() is not None)
        except TimeoutError:
            if self.seen.failures:
                raise Failed(f"the answer was not taken: {self.seen.failures[-1]}") from None
            came = [message.text[:40] for message in self.seen.messages[messages:]]
            raise Failed(f"no such answer in {self.seconds:g} s; messages: {came[:5]}") from None
        found = look()
        assert found is not None
        return found


async def _credentials(live: Live) -> str:
    return await live.channel.check()


async def _text(live: Live) -> str:
    await live.answered(
        "You said: good morning",
        "请私聊机器人,发送:echo good morning",
        "Write to the bot in a private chat: echo good morning",
    )
    return "both ways"


async def _card(live: Live) -> str:
    await live.answered(
        script.CARD_TITLE, "请发送:card,并查看卡片", "Write: card - and look at the card"
    )
    return "taken by the platform"


async def _button(live: Live) -> str:
    if not live.channel.capabilities.cards:
        raise Skipped("no buttons here")
    await live.answered(
        script.PRESSED,
        "请点击卡片上的 “Press me”(没有按钮时按卡片上的说明回答)",
        "Press “Press me” on that card, or answer as the card says",
    )
    return "came back and was answered"


async def _stream(live: Live) -> str:
    if not live.channel.capabilities.streaming:
        raise Skipped("answers cannot grow here")
    before = live.seen.updates
    await live.answered(
        script.PIECES[-1], "请发送:stream,并观察逐步显示", "Write: stream - and watch it grow"
    )
    if live.seen.updates == before:
        raise Failed("the answer came in one piece")
    return f"{live.seen.updates - before} updates, then finished"


async def _chain(live: Live) -> str:
    await live.answered(f"{script.SKY} in {script.CITY}", "请发送:chain", "Write: chain")
    return "two skills, one after the other, in one turn"


STEPS: Final = (
    ("credentials", "平台凭证", "credentials", _credentials),
    ("text", "收发文本", "text both ways", _text),
    ("card", "卡片渲染", "a card is rendered", _card),
    ("button", "卡片按钮", "its button is pressed", _button),
    ("stream", "流式回复", "streaming", _stream),
    ("skills", "多技能组合", "several skills in one turn", _chain),
)


async def run(
    live: Live, told: Callable[[Result], None], clock: Clock, only: tuple[str, ...] = ()
) -> tuple[Result, ...]:
    """Every step in order; `told` hears each result."""
    results: list[Result] = []
    for step, zh, en, check in STEPS:
        if only and step not in only:
            continue
        started = clock.monotonic()
        try:
            outcome, detail = "passed", await check(live)
        except Skipped as skipped:
            outcome, detail = "skipped", str(skipped)
        except (Failed, EngineError) as failed:
            outcome, detail = "failed", str(failed)
        seconds = round(clock.monotonic() - started, 2)
        results.append(
            Result(id=step, zh=zh, en=en, outcome=outcome, seconds=seconds, detail=detail)
        )
        told(results[-1])
    return tuple(results)


@asynccontextmanager
async def connected(
    name: str, settings: ChannelConfig, listener: Listener, tell: Tell, seconds: float
) -> AsyncGenerator[Live]:
    """The channel on its real platform, answered by the script.

    Raises:
        EngineError: it does not connect.
    """
    seen, clock = Seen(), SystemClock()
    acting = script.Script(clock)
    wrap = Wrap(
        channel=lambda channel: _watched(channel, name, seen),
        assistant=lambda _: script.assistant(acting, clock),
        tools=lambda _: script.tools(),
    )
    with tempfile.TemporaryDirectory(prefix="ai-engine-verify-") as folder:
        path = Path(folder) / "ai-engine.json"
        write_private(path, _configuration(name, settings))
        options = Options(live=live_config(path), data=Path(folder) / "data", wrap=wrap)
        async with serving(options, listener) as (engine, _):
            channel = engine.plan.channels[name]
            await until_connected(channel, clock, CONNECT_SECONDS_MAX)
            interval = channel.capabilities.stream_interval_ms / 1000
            acting.pause = max(acting.pause, 1.2 * interval)
            yield Live(engine=engine, channel=channel, seen=seen, tell=tell, seconds=seconds)


def _watched(channel: Channel, name: str, seen: Seen) -> Any:
    return Watched(channel, seen) if channel.name == name else channel


def _configuration(name: str, settings: ChannelConfig) -> str:
    """The channel as it is configured, its secrets read already; JSON, `$` written twice."""
    channel = settings.model_dump(mode="json", exclude={"auth"}, exclude_unset=True)
    fields = settings.auth.model_fields_set
    channel["auth"] = {key: _plain(getattr(settings.auth, key)) for key in fields}
    channel["enabled"] = True
    config: Json = {
        "channels": {name: channel, "webchat": {"enabled": False}},
        "routing_rules": list(script.RULES),
        "server": {"drain_seconds": 2},
        "language": "en",
    }
    return msgspec.json.encode(config).decode().replace("${", "$${")


def _plain(value: Any) -> Any:
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value
