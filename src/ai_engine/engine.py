"""The composition root: builds the parts, wires them, starts them in order, stops them in reverse.

Only here (and in gateway.py) are concrete classes named.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ai_engine.assistant.build import build_assistant
from ai_engine.channels.base import Channel
from ai_engine.channels.host import Host
from ai_engine.channels.missing import MissingChannel
from ai_engine.channels.supervisor import supervise
from ai_engine.channels.types import BUILT_IN, build, type_of
from ai_engine.config.load import Loaded
from ai_engine.config.schema import ChannelConfig, Config
from ai_engine.config.watch import LiveConfig
from ai_engine.domain.clock import Clock, SystemClock
from ai_engine.domain.errors import ConfigInvalid
from ai_engine.domain.ids import derived_id
from ai_engine.domain.message import InboundMessage, Json
from ai_engine.domain.reply import Reply
from ai_engine.domain.skill import Tool, spoken_language
from ai_engine.domain.texts import text
from ai_engine.events.base import Events, MemoryEvents
from ai_engine.gateway import MessageEndpoint, Operations
from ai_engine.journal.base import Journal, Limits
from ai_engine.journal.notes import ChannelNotes
from ai_engine.journal.sqlite import SqliteJournal
from ai_engine.observe.health import Health
from ai_engine.observe.logging import Logs, secret_values
from ai_engine.observe.looplag import LoopLag
from ai_engine.observe.metrics import Metrics
from ai_engine.pipeline.delivery import Deliveries
from ai_engine.pipeline.ingress import Ingress
from ai_engine.pipeline.latency import OwnShare
from ai_engine.pipeline.plan import Plan
from ai_engine.pipeline.turn import Turns
from ai_engine.policy.authorize import Policy
from ai_engine.routing.match import RoutingTable
from ai_engine.security.access import Access
from ai_engine.security.egress import Egress
from ai_engine.skills.registry import build_builtin
from ai_engine.storage.media import MediaFolder

log = logging.getLogger(__name__)

CONNECTION_SECONDS_MAX: Final = 10.0
"""How long a long connection may take to end."""
WEBCHAT: Final = "webchat"
"""Always there, unless the configuration turns it off."""


def _same(part: Any) -> Any:
    return part


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrap:
    """Decorators around the ports, for tests that crash or watch the engine at a step."""

    journal: Callable[[Journal], Journal] = _same
    channel: Callable[[Channel], Channel] = _same
    tools: Callable[[Mapping[str, Tool]], Mapping[str, Tool]] = _same
    assistant: Callable[[Any], Any] = _same


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where an engine lives and what it reads."""

    live: LiveConfig
    data: Path
    clock: Clock = field(default_factory=SystemClock)
    logs: Logs | None = None
    """Where the process's logs go, when it has set them up."""
    wrap: Wrap = Wrap()


class Engine:
    """One running engine. Made by `open_engine`; its attributes are the parts."""

    def __init__(self, options: Options, journal: Journal, egress: Egress) -> None:
        self.live = options.live
        self.data = options.data
        self.clock = options.clock
        self._wrap = options.wrap
        self._logs = options.logs
        self.journal = journal
        self.egress = egress
        self.events: Events = MemoryEvents()
        self.media = MediaFolder(options.data / "media", options.clock)
        self.metrics = Metrics()
        self.health = Health()
        self.metrics.watch_health(self.health)
        self.metrics.watch_journal(journal.stats)
        if (logs := options.logs) is not None:
            self.metrics.watch_log(lambda: logs.dropped)
        self.access = Access(options.data, options.clock)
        self.ingress = Ingress(journal, self.events, self.metrics, self.clock, lambda: self.config)
        self._share = OwnShare()
        self._plan: Plan | None = None
        self._started_with = options.live.current.config
        self._connections: dict[str, asyncio.Task[None]] = {}
        self._reloading = asyncio.Lock()
        self._not_applied = ""
        """Why the configuration that was read last could not be put into force."""
        self._tasks: asyncio.TaskGroup | None = None
        self._road: list[asyncio.Task[None]] = []
        self.turns = Turns(
            journal, self.events, self.metrics, self.clock, self._share, lambda: self.plan
        )
        self.deliveries = Deliveries(
            journal, self.metrics, self.clock, self._share, lambda: self.plan
        )

    @property
    def plan(self) -> Plan:
        """What the present configuration says."""
        if self._plan is None:
            raise RuntimeError("the engine has no plan before it is started")
        return self._plan

    @property
    def config(self) -> Config:
        return self.plan.config

    # Building a plan from a configuration.

    async def apply(self, loaded: Loaded) -> None:
        """Put a checked configuration into force: new channels are up before old ones go.

        When a part cannot be built, nothing changes and the error is raised.
        """
        config = loaded.config
        old = self._plan
        tools = build_builtin(config.skills, self.data, self.egress, self.clock)
        routes = RoutingTable(config.rules(), config.default_route)
        assistant = self._wrap.assistant(build_assistant(config, self.egress, self.clock))
        channels = await self._channels(config, old)
        self._plan = Plan(
            config=config,
            routes=routes,
            assistant=assistant,
            tools=self._wrap.tools({tool.name: tool for tool in tools}),
            channels=channels,
            policy=Policy.default(),
            media=self.media,
        )
        await self._connect(old.channels if old else {}, channels)
        if old is not None:
            await old.assistant.close()

    async def _channels(self, config: Config, old: Plan | None) -> dict[str, Channel]:
        before = _wanted(old.config) if old else {}
        channels: dict[str, Channel] = {}
        started: list[Channel] = []
        try:
            for name, settings in _wanted(config).items():
                if old and before.get(name) == settings:
                    channels[name] = old.channels[name]
                    continue
                channel = self._wrap.channel(self._channel(name, settings))
                started.append(channel)
                await channel.start()
                channels[name] = channel
        except BaseException:
            for channel in started:
                await _close(channel)
            raise
        return channels

    def _channel(self, name: str, settings: ChannelConfig) -> Channel:
        kind = type_of(name, settings)
        host = Host(
            egress=self.egress,
            clock=self.clock,
            media=self.media,
            stored=self._stored(name),
            notes=ChannelNotes(self.journal, name),
            events=self.events,
        )
        if kind not in BUILT_IN:
            return MissingChannel(name, kind, settings, host, BUILT_IN)
        return build(kind, name, settings, host)

    def _stored(self, channel: str) -> Any:
        async def stored(message_id: str) -> list[Reply] | None:
            return await self.journal.stored_replies(channel, message_id)

        return stored

    async def _connect(self, old: Mapping[str, Channel], new: Mapping[str, Channel]) -> None:
        assert self._tasks is not None
        ending: list[asyncio.Task[None]] = []
        changed = [name for name in {**old, **new} if old.get(name) is not new.get(name)]
        for name in changed:
            if (previous := self._connections.pop(name, None)) is not None:
                ending.append(previous)
            if name in new:
                self._connections[name] = self._tasks.create_task(
                    supervise(
                        new[name], self.ingress.accept, self.clock, lambda: self.journal.owner
                    )
                )
        await _end(ending)
        for name in changed:
            if name in old:
                await _close(old[name])

    # Running.

    def start_in(self, tasks: asyncio.TaskGroup) -> None:
        """The task group that owns everything the engine runs."""
        self._tasks = tasks

    def readiness(self) -> Json:
        """The content of `/readyz`."""
        state = self.health.readiness().as_json()
        state["journal"] = "owner" if self.journal.owner else "standby"
        if problem := self.live.last_error or self._not_applied:
            state["configuration"] = f"not in force: {problem}"
        elif waiting := restart_settings(self._started_with, self.config):
            state["configuration"] = f"in force after a restart: {', '.join(waiting)}"
        return state

    def message_endpoint(self) -> MessageEndpoint:
        return MessageEndpoint(
            lambda: self.plan.channels,
            self.ingress.accept,
            self.metrics,
            lambda: self.config.server.body_bytes_max,
        )

    def operations(self, may_see: Callable[..., bool]) -> Operations:
        return Operations(self.readiness, self.metrics.scrape, may_see)

    async def reload(self) -> None:
        """Read the configuration again; the last good one stays when the new one is wrong."""
        async with self._reloading:
            await self._reload()

    async def _reload(self) -> None:
        loaded = await self.live.reload()
        if loaded is None:
            return  # which problems there are is in the log and in `/readyz` already
        try:
            await self.apply(loaded)
        except ConfigInvalid as error:
            self._not_applied = str(error)
            log.error("the changed configuration is not in force: %s", error)
            return
        except Exception as error:
            # What a part could not do must not end the engine, which runs well as it was.
            self._not_applied = f"a part could not be built ({type(error).__name__}); see the log"
            log.exception("the changed configuration is not in force")
            return
        self._not_applied = ""
        if self._logs is not None:
            self._logs.configure(loaded.config.log, secret_values(loaded.config))
        if waiting := restart_settings(self._started_with, loaded.config):
            log.warning("in force after a restart: %s", ", ".join(waiting))
        log.info("the changed configuration is in force")

    def run_road(self, tasks: asyncio.TaskGroup) -> None:
        """Turns and deliveries, until `drain`."""
        self._road = [
            tasks.create_task(self.turns.run()),
            tasks.create_task(self.deliveries.run()),
        ]

    async def drain(self) -> None:
        """No new messages; what runs may finish in time, the rest goes back to the journal."""
        self.health.drain()
        await self._stop_connections()
        await self.journal.drain()
        road, self._road = self._road, []
        if not road:
            return
        _, late = await asyncio.wait(road, timeout=self.config.server.drain_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _stop_connections(self) -> None:
        """Long connections end first, while what they have in hand can still be accepted."""
        tasks = list(self._connections.values())
        self._connections.clear()
        await _end(tasks)

    async def disconnect(self) -> None:
        """Close the channels and the assistant."""
        await self._stop_connections()
        if self._plan is not None:
            for channel in self._plan.channels.values():
                await _close(channel)
            await self._plan.assistant.close()


def _wanted(config: Config) -> dict[str, ChannelConfig]:
    """The channels that are on; the web chat too, when nothing is said of it."""
    wanted = {name: c for name, c in config.channels.items() if c.enabled}
    if WEBCHAT not in config.channels:
        wanted[WEBCHAT] = ChannelConfig(type=WEBCHAT)
    return wanted


async def _end(connections: list[asyncio.Task[None]]) -> None:
    for task in connections:
        task.cancel()
    if connections:
        await asyncio.wait(connections, timeout=CONNECTION_SECONDS_MAX)


async def _close(channel: Channel) -> None:
    try:
        await channel.close()
    except Exception:  # the others still have to be closed
        log.exception("channel %s did not close in order", channel.name)


def _gave_up(message: InboundMessage) -> Reply:
    """What a person reads when a message ended the process again and again."""
    language = spoken_language(message.text)
    return Reply(
        id=derived_id("r", message.channel, message.message_id, "gave up"),
        text=text("turn.failed", language, id=message.message_id),
        produced_by="engine",
    )


def restart_settings(started_with: Config, now: Config) -> list[str]:
    """Keys that differ and are only read when the engine starts."""
    pairs = {
        "session.idle_minutes": (started_with.session.idle_minutes, now.session.idle_minutes),
        **{
            f"server.{name}": (getattr(started_with.server, name), getattr(now.server, name))
            for name in ("backlog_max", "turns_max", "trusted_proxies", "tls_cert", "tls_key")
        },
    }
    return [name for name, (before, after) in pairs.items() if before != after]


@asynccontextmanager
async def open_engine(options: Options) -> AsyncGenerator[Engine]:
    """An engine that accepts, turns and delivers until the block ends; then it drains."""
    config = options.live.current.config
    options.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    limits = Limits(
        backlog_messages_max=config.server.backlog_max,
        session_idle_seconds=config.session.idle_minutes * 60,
    )
    async with AsyncExitStack() as stack:
        egress = Egress()
        await egress.start()
        stack.push_async_callback(egress.close)
        sqlite = SqliteJournal(
            options.data / "journal.db", limits, options.clock, crash_reply=_gave_up
        )
        journal = options.wrap.journal(await stack.enter_async_context(sqlite))
        engine = Engine(options, journal, egress)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        engine.start_in(tasks)
        await engine.apply(options.live.current)
        engine.health.watch_channels(
            lambda: {name: c.status() for name, c in engine.plan.channels.items()}
        )
        engine.run_road(tasks)
        side = [
            tasks.create_task(options.live.watch(engine.reload)),
            tasks.create_task(LoopLag(engine.metrics.loop_lag).run()),
        ]
        engine.health.register("journal", engine.ingress.overloaded)
        engine.health.start()
        try:
            yield engine
        finally:
            await engine.drain()
            for task in side:
                task.cancel()
            await engine.disconnect()
