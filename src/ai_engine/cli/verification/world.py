"""A simulated platform and an engine of its own, connected by the channel that is tried."""

import random
import socket
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from ai_engine.channels.about import About, credential, mode_of
from ai_engine.channels.base import Channel
from ai_engine.channels.types import about as about_of
from ai_engine.cli.server import Listener, serving
from ai_engine.cli.settings import live_config
from ai_engine.cli.verification import script
from ai_engine.config.schema import ChannelConfig
from ai_engine.config.write import write_private
from ai_engine.domain.clock import Clock, SystemClock
from ai_engine.domain.errors import EngineError, NotFound
from ai_engine.domain.message import Json
from ai_engine.engine import Engine, Options, Wrap
from ai_engine.simulators.base import Simulator
from ai_engine.simulators.transcript import BOT, Entry
from ai_engine.simulators.types import SIMULATED, build, simulator_class

REPLY_SECONDS_MAX: Final = 20.0
CONNECT_SECONDS_MAX: Final = 20.0
DRAIN_SECONDS: Final = 1.0
CHANNEL: Final = "verified"
PERSON: Final = "zhangsan"
_PORTS: Final = range(20_000, 32_000)


@dataclass(slots=True, kw_only=True)
class World:
    """What a check acts on."""

    about: About
    mode: str
    simulator: Simulator
    engine: Engine
    script: script.Script
    faults: Any
    """The simulator's knobs."""

    @property
    def capabilities(self) -> Any:
        return self.engine.plan.channels[CHANNEL].capabilities

    async def say(self, text: str, *, group: bool = False) -> str:
        """A person writes; the platform's message id."""
        if group:
            return await self.simulator.say(PERSON, text, chat="group", at=True)
        return await self.simulator.say(PERSON, text)

    async def heard(self, words: str, after: int, seconds: float = REPLY_SECONDS_MAX) -> Entry:
        """The bot's first finished message after entry `after` that has these words.

        Raises:
            TimeoutError: none came; it says what came instead.
        """

        def look() -> Entry | None:
            for entry in self.said_after(after):
                if words in f"{entry.text}\n{entry.card or ''}" and entry.state != "streaming":
                    return entry
            return None

        try:
            return await self.simulator.transcript.wait("", look, seconds)
        except TimeoutError:
            came = [entry.text[:80] for entry in self.said_after(after)]
            raise TimeoutError(f"expected {words[:80]!r}, got {came[:5]}") from None

    async def ask(self, text: str, words: str, *, group: bool = False) -> Entry:
        """Say it, and wait for the answer with these words. Raises TimeoutError."""
        after = self.last
        await self.say(text, group=group)
        return await self.heard(words, after)

    @property
    def last(self) -> int:
        """Number of the newest entry."""
        return self.simulator.transcript.last

    def said_after(self, n: int) -> list[Entry]:
        """What the bot has said since entry `n`."""
        return [e for e in self.simulator.transcript.list(after=n) if e.sender == BOT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A running simulator, and a configuration for an engine beside it."""

    about: About
    settings: ChannelConfig
    simulator: Simulator
    path: Path
    """Of the configuration; the engine's data is kept beside it."""
    port: int
    clock: Clock


@asynccontextmanager
async def world(
    type_: str,
    settings: ChannelConfig,
    *,
    clock: Clock | None = None,
    acting: script.Script | None = None,
) -> AsyncGenerator[World]:
    """A channel of this type with these settings; its platform is simulated, its data is temporary.
    `acting`: what answers in place of the usual script.

    Raises:
        NotFound: this type has no simulator.
    """
    async with (
        prepared(type_, settings, clock or SystemClock()) as place,
        running(place, acting or script.Script(place.clock)) as made,
    ):
        yield made


@asynccontextmanager
async def prepared(type_: str, settings: ChannelConfig, clock: Clock) -> AsyncGenerator[Place]:
    """A simulated platform, which goes on when its engine ends. Raises NotFound."""
    if type_ not in SIMULATED:
        raise NotFound(
            f"{type_} has no simulator",
            hint=f"--live tries it on a server; simulated are {', '.join(SIMULATED)}",
        )
    about = about_of(type_)
    auth = {
        name: credential(about, settings, name) or simulated
        for name, simulated in simulator_class(type_).auth_defaults.items()
    }
    with tempfile.TemporaryDirectory(prefix="ai-engine-verify-") as folder:
        async with build(type_, auth, channel=CHANNEL, clock=clock) as simulator:
            path, port = Path(folder) / "ai-engine.json", _free_port()
            config = _configuration(settings, about, simulator, auth, f"http://127.0.0.1:{port}")
            write_private(path, config)
            yield Place(
                about=about,
                settings=settings,
                simulator=simulator,
                path=path,
                port=port,
                clock=clock,
            )


@asynccontextmanager
async def running(place: Place, acting: script.Script) -> AsyncGenerator[World]:
    """An engine at this place, its channel connected. Raises EngineError."""
    wrap = Wrap(
        assistant=lambda _: script.assistant(acting, place.clock), tools=lambda _: script.tools()
    )
    data = place.path.parent / "data"
    options = Options(live=live_config(place.path), data=data, clock=place.clock, wrap=wrap)
    async with serving(options, Listener(host="127.0.0.1", port=place.port)) as (engine, url):
        place.simulator.engine = url
        made = World(
            about=place.about,
            mode=mode_of(place.about, place.settings),
            simulator=place.simulator,
            engine=engine,
            script=acting,
            faults=place.simulator.shared_faults,
        )
        _fit(acting, made)
        channel = engine.plan.channels[CHANNEL]
        await until_connected(channel, place.clock, CONNECT_SECONDS_MAX)
        yield made


def _fit(acting: script.Script, made: World) -> None:
    """Pauses and lengths that this platform needs for streams and splits."""
    capabilities = made.capabilities
    if capabilities.streaming:
        acting.pause = max(0.05, 1.2 * capabilities.stream_interval_ms / 1000)
    acting.length = int(1.3 * capabilities.text_limit)


def _configuration(
    settings: ChannelConfig, about: About, simulator: Simulator, auth: Json, base: str
) -> str:
    """The channel as it is set up, on the simulator's address and with its credentials; JSON."""
    info = simulator.info()
    given: Json = info.get("endpoints", {})
    auth = {**auth, **info.get("auth", {})}
    channel = settings.model_dump(mode="json", exclude={"auth", "endpoints"}, exclude_unset=True)
    channel |= {
        "type": about.type,
        "enabled": True,
        "auth": auth,
        "endpoints": {name: url for name, url in given.items() if name in about.endpoints},
    }
    if about.calls_base:
        channel["callback_url"] = base
    config: Json = {
        "channels": {CHANNEL: channel, "webchat": {"enabled": False}},
        "routing_rules": list(script.RULES),
        "server": {"drain_seconds": DRAIN_SECONDS},
        "language": "en",
    }
    return msgspec.json.encode(config).decode()


def _free_port() -> int:
    """The channel must be told where the engine listens before that is so. Below the ports that
    the system gives to outgoing connections: none of those takes it in between."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise EngineError("no port is free", hint="end what listens on ports 20000 to 32000")


async def until_connected(channel: Channel, clock: Clock, seconds: float) -> None:
    """Until a long connection stands. Raises EngineError: it does not."""
    until = clock.monotonic() + seconds
    while (status := channel.status()).state not in ("ready", "connected"):
        if clock.monotonic() > until:
            raise EngineError(f"the channel is {status.state}: {status.detail}")
        await clock.sleep(0.05)
