"""Every connector that has a simulator, in each of its modes, ready to be tried by shared checks.

A new connector with a simulator needs one row in `SETUPS`, and its row in the tables of
`tests/contract/`.
"""

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl

from pydantic import SecretStr

from ai_engine.assistant.base import Delta
from ai_engine.assistant.messages import content_text
from ai_engine.channels.base import Capabilities
from ai_engine.cli.verification import world as verification
from ai_engine.cli.verification.script import Script
from ai_engine.cli.verification.world import World, world
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import ModelFailed
from ai_engine.simulators.transcript import Entry

SPEED = 20.0
"""How much faster than the machine's the clock of these tests runs."""


@dataclass(frozen=True, slots=True)
class SetUp:
    """One connector in one mode."""

    type: str
    mode: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    """Further settings of the channel."""

    @property
    def id(self) -> str:
        return "-".join(part for part in (self.type, self.mode, *self.more.values()) if part)

    @property
    def settings(self) -> ChannelConfig:
        mode = {"mode": self.mode} if self.mode else {}
        return ChannelConfig.model_validate({"type": self.type, **mode, **self.more})

    @property
    def streams(self) -> bool:
        """Whether an answer can grow."""
        return self.type != "wecom" and (self.type != "dingtalk" or bool(self.more))

    @property
    def called(self) -> bool:
        """Whether the platform calls us; else we hold a connection."""
        return self.mode not in ("stream", "poll")


SETUPS = (
    SetUp("dingtalk", "webhook"),
    SetUp("dingtalk", "stream"),
    SetUp("dingtalk", "webhook", {"reply": "card"}),
    SetUp("dingtalk", "stream", {"reply": "card"}),
    SetUp("wecom"),
    SetUp("wecom_aibot", "webhook"),
    SetUp("wecom_aibot", "stream"),
    SetUp("feishu", "webhook"),
    SetUp("feishu", "stream"),
    SetUp("slack", "webhook"),
    SetUp("slack", "stream"),
    SetUp("teams"),
    SetUp("telegram", "webhook"),
    SetUp("telegram", "poll"),
    SetUp("mattermost", "webhook"),
    SetUp("mattermost", "stream"),
)


class QuickClock:
    """A clock whose hands run `SPEED` times as fast: what waits for a platform's pace, does so for
    a twentieth of the time."""

    def __init__(self) -> None:
        self._wall, self._began = time.time(), time.monotonic()

    def time(self) -> float:
        return self._wall + (time.monotonic() - self._began) * SPEED

    def monotonic(self) -> float:
        return self._began + (time.monotonic() - self._began) * SPEED

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)


WIDE_UNIT = "第{:04d}条很长的回答👩‍💻没有一个空格，也没有换行；"


def wide_text(capabilities: Capabilities) -> str:
    """Longer than one message, without a space or a line break: letters of three bytes, and some of
    two UTF-16 units."""
    size = {"bytes": lambda t: len(t.encode()), "utf16": lambda t: len(t.encode("utf-16-le")) // 2}
    unit = size.get(capabilities.text_unit, len)(WIDE_UNIT.format(0))
    count = int(1.3 * capabilities.text_limit / unit) + 1
    return "".join(WIDE_UNIT.format(n) for n in range(count))


class Acting(Script):
    """The script of verifications, and: `seen <word>` tells whether an earlier message of the
    conversation had it; `wide` answers at length without a place to split; `fall` fails after its
    first piece; `hang` shows a piece and waits for `go_on`."""

    wide = ""

    async def stream(self, messages: Sequence[Any], tools: Sequence[Any]) -> AsyncIterator[Delta]:
        said = [content_text(m.get("content")) for m in messages if m.get("role") == "user"]
        word, _, rest = said[-1].strip().partition(" ")
        if word == "seen":
            known = any(rest in text for text in said[:-1])
            yield Delta(text=f"{rest} is {'known' if known else 'new'} here")
        elif word == "wide":
            yield Delta(text=self.wide)
        elif word in ("fall", "hang"):
            yield Delta(text="The beginning ")
            await self._clock.sleep(self.pause)
            yield Delta(text="of an answer")
            await self._clock.sleep(self.pause)
            if word == "fall":
                raise ModelFailed("the model is gone", reason="unreachable")
            await self.go_on.wait()
            yield Delta(text=" and its end.")
        else:
            async for piece in super().stream(messages, tools):
                yield piece
            return
        yield self._end("stop")


class Watched:
    """A world, and all that the engine has logged meanwhile."""

    def __init__(self, setup: SetUp, made: World) -> None:
        self.setup = setup
        self.world = made
        self.logged: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Everything that a log line could show: message, trace and extra fields."""
        if record.name.startswith("ai_engine.simulators"):
            return
        extra = {k: v for k, v in vars(record).items() if k not in _USUAL}
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        self.logged.append(f"{record.getMessage()} {extra} {trace}")


_USUAL = frozenset(vars(logging.makeLogRecord({})))


class _Listener(logging.Handler):
    def __init__(self, watched: Watched) -> None:
        super().__init__(logging.DEBUG)
        self.emit = watched.emit


@contextmanager
def listening(watched: Watched):
    """Everything from DEBUG on reaches `watched.logged`."""
    logger, handler = logging.getLogger("ai_engine"), _Listener(watched)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@asynccontextmanager
async def watched(setup: SetUp, clock: Any = None) -> AsyncIterator[Watched]:
    """A world of this set-up on a quick clock, its log kept."""
    clock = clock or QuickClock()
    with patch.object(verification, "DRAIN_SECONDS", 0.05):
        async with _watched(setup, clock) as found:
            yield found


@asynccontextmanager
async def _watched(setup: SetUp, clock: Any) -> AsyncIterator[Watched]:
    async with world(setup.type, setup.settings, clock=clock, acting=Acting(clock)) as made:
        made.script.wide = wide_text(made.capabilities)
        found = Watched(setup, made)
        with listening(found):
            yield found


def inbound(made: World, result: str) -> float:
    """The counter ai_engine_inbound_total of a world's channel."""
    labels = {"channel": "verified", "result": result}
    return made.engine.metrics._registry.get_sample_value("ai_engine_inbound_total", labels) or 0.0


# What is shown of answers that grow.


def streams(made: World, after: int) -> list[Entry]:
    """The bot's messages since entry `after` that grow or have grown."""
    return [entry for entry in made.said_after(after) if entry.state]


async def growing(made: World, after: int) -> bool:
    """Whether the first piece of `hang` or `fall` is shown; it is waited for, at most 2 s."""

    def shown() -> bool | None:
        return True if any("The beginning" in e.text for e in made.said_after(after)) else None

    try:
        return bool(await made.simulator.transcript.wait("", shown, 2.0))
    except TimeoutError:
        return False


async def no_stream_grows(made: World, after: int) -> None:
    """Until each stream has ended. Raises TimeoutError."""

    def ended() -> bool | None:
        growing = any(entry.state == "streaming" for entry in streams(made, after))
        return None if growing else True

    await made.simulator.transcript.wait("", ended, 10.0)


_KEYS = re.compile(r"token|secret|session|webhook|response_url|ticket|signature|^key$|sign$", re.I)
_PUBLIC = re.compile(r"expire|type|^session_?id$|ticket_type|status", re.I)


def secrets_of(found: Watched) -> dict[str, str]:
    """What nobody must read in a log: the channel's credentials, and everything that has gone over
    the wire under the name of a secret."""
    auth = found.world.engine.config.channels["verified"].auth
    secrets = {
        f"auth.{name}": value.get_secret_value()
        for name in type(auth).model_fields
        if isinstance(value := getattr(auth, name), SecretStr)
    }
    for row in found.world.simulator.wire.rows():
        for name, value in row["headers"].items():
            if name.lower() == "authorization":
                secrets[f"header {name}"] = value.rpartition(" ")[2]
        for name, value in parse_qsl(row["query"]):
            if _KEYS.search(name):
                secrets[f"query {name} {value[:4]}"] = value
        for text in (row["body"], row["answer"]):
            for name, value in _named(text):
                secrets[f"body {name} {value[:8]}"] = value
    return {name: value for name, value in secrets.items() if len(value) >= 10}


def _named(text: str) -> Iterator[tuple[str, str]]:
    """Texts under the name of a secret, in JSON of any depth."""
    try:
        waiting: list[Any] = [json.loads(text)]
    except ValueError:
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            for name, inner in value.items():
                if isinstance(inner, dict | list):
                    waiting.append(inner)
                elif isinstance(inner, str) and _KEYS.search(name) and not _PUBLIC.search(name):
                    yield name, inner
