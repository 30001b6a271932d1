"""One WebSocket of a platform's long connection: read, probed, never half dead, until it is over.

A connector says what a frame means and what its platform's heartbeat is; here is what they share:
handlers run beside the reader and are bounded, silence is noticed, the end is a hard close.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Overloaded, SendRefused

log = logging.getLogger(__name__)

OVERLOAD_SECONDS_MAX: Final = 30.0
"""How long a message waits for room, where the platform never sends it twice."""
_FINISH_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTimes:
    """Periods of one kind of connection, in seconds."""

    probe: float = 30.0
    """`probe` is called so often."""
    silence_max: float = 90.0
    """Not even an answer to a probe for so long: the connection is dead."""
    idle_max: float = 0.0
    """Probes answered but no frame of the platform's for so long: a fresh connection is opened
    first (0: never)."""
    retire: float = 15.0
    """An old connection is closed so long after its replacement was asked for."""


class SocketLink(ABC):
    """Owned by a `Keeper`, which awaits `run`; `over` is set when a new connection is wanted."""

    def __init__(
        self,
        name: str,
        socket: aiohttp.ClientWebSocketResponse,
        clock: Clock,
        *,
        times: LinkTimes | None = None,
        in_flight_max: int = 64,
    ) -> None:
        self.name = name
        self.socket = socket
        self.clock = clock
        self._times = times or LinkTimes()
        self._slots = asyncio.Semaphore(in_flight_max)
        self._handlers: set[asyncio.Task[None]] = set()
        self._helpers: set[asyncio.Task[None]] = set()
        self.over = asyncio.Event()
        self.retiring = False
        """A replacement is wanted; this one is still read."""
        self.useful = False
        """It has carried a message."""
        self.opened_at = self.last_frame = self.last_sign = clock.monotonic()

    # What a connector provides.

    @abstractmethod
    async def frame(self, data: str | bytes) -> None:
        """One text or binary frame. Must not wait for the engine: use `handle` for that."""

    @abstractmethod
    async def probe(self) -> None:
        """The platform's heartbeat; by default connectors send a WebSocket ping."""

    # What it may use.

    async def handle(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside the reader; waits for a place when `in_flight_max` are taken."""
        self.useful = True
        try:
            await self._slots.acquire()
        except asyncio.CancelledError:
            work.close()  # it will never run
            raise
        task = asyncio.create_task(work, name=f"frame of {self.name}")
        self._handlers.add(task)
        task.add_done_callback(self._handled)

    def _handled(self, task: asyncio.Task[None]) -> None:
        self._handlers.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("channel %s: a frame's handler failed", self.name, exc_info=error)

    async def send(self, data: str | bytes) -> bool:
        """False when the connection is gone; the reader notices its end."""
        sending = self.socket.send_str if isinstance(data, str) else self.socket.send_bytes
        try:
            await sending(data)  # pyright: ignore[reportArgumentType]  # chosen by its type
        except (aiohttp.ClientError, OSError) as error:
            log.debug("channel %s: frame not sent (%s)", self.name, type(error).__name__)
            return False
        return True

    async def ping(self) -> None:
        """A WebSocket ping."""
        try:
            await self.socket.ping()
        except (aiohttp.ClientError, OSError) as error:
            log.debug("channel %s: ping not sent (%s)", self.name, type(error).__name__)

    def retire(self, why: str) -> None:
        """Ask for a replacement; go on reading until the platform closes, or for `retire` s."""
        if self.retiring:
            return
        log.info("channel %s: opening a new connection: %s", self.name, why)
        self.retiring = True
        self.over.set()
        self._help(self._close_later())

    async def close(self) -> None:
        """Hard: no more frames; `run` ends."""
        await self.socket.close()

    # The life of the connection.

    async def run(self) -> None:
        """Read until the connection ends; then let what is in hand finish, at most 5 s."""
        self._help(self._watch())
        try:
            await self._read()
        finally:
            self.over.set()
            for helper in self._helpers:
                helper.cancel()
            if self._handlers:
                await asyncio.wait(self._handlers, timeout=_FINISH_SECONDS)
            for handler in self._handlers:
                handler.cancel()
            await self.socket.close()

    async def _read(self) -> None:
        while True:
            message = await self.socket.receive()
            self.last_sign = self.clock.monotonic()
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                self.last_frame = self.last_sign
                await self.frame(message.data)
            elif message.type is aiohttp.WSMsgType.PING:
                await self._pong(message.data)
            elif message.type is not aiohttp.WSMsgType.PONG:
                return

    async def _pong(self, data: bytes) -> None:
        try:
            await self.socket.pong(data)
        except (aiohttp.ClientError, OSError) as error:
            log.debug("channel %s: pong not sent (%s)", self.name, type(error).__name__)

    async def _close_later(self) -> None:
        await self.clock.sleep(self._times.retire)
        await self.socket.close()

    async def _watch(self) -> None:
        """Notice a connection that is dead or half dead; TCP alone may take many minutes."""
        times = self._times
        while True:
            await self.clock.sleep(times.probe)
            now = self.clock.monotonic()
            if now - self.last_sign > times.silence_max:
                log.warning("channel %s: connection silent, closing it", self.name)
                await self.socket.close()
                return
            if times.idle_max and now - self.last_frame > times.idle_max:
                self.retire(f"no frame for {times.idle_max:g} s")
            await self.probe()

    def _help(self, work: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=f"helper of {self.name}")
        self._helpers.add(task)
        task.add_done_callback(self._helpers.discard)


def socket_address(
    url: object, *, platform: str, domains: Iterable[str], configured: Iterable[str], hint: str
) -> str:
    """A WebSocket's address that a platform gave, when its host is one of the platform's `domains`
    (or below one; wss only), or that of a `configured` base URL.

    Raises:
        SendRefused: it is not; the message names no part of it but the host, `hint` what to do.
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        host = (parts.hostname or "").lower()
    except ValueError:
        raise SendRefused(f"{platform}'s answer holds no WebSocket address") from None
    if parts.scheme not in ("ws", "wss") or not host or "@" in parts.netloc:
        raise SendRefused(f"{platform}'s answer holds no WebSocket address")
    vendor = any(host == name or host.endswith(f".{name}") for name in domains)
    if vendor and parts.scheme == "wss":
        return parts.geturl()
    for base in map(urlsplit, configured):
        if base.hostname == host and (parts.scheme == "wss" or base.scheme == "http"):
            return parts.geturl()
    raise SendRefused(f"refused to open a {parts.scheme} connection to {host!r}", hint=hint)


async def accept_when_possible(take: Callable[[], Awaitable[object]], clock: Clock) -> None:
    """`take` again and again while it raises Overloaded, at most `OVERLOAD_SECONDS_MAX`.

    For platforms that send a message once: a full backlog is waited for, not answered.
    """
    until = clock.monotonic() + OVERLOAD_SECONDS_MAX
    while True:
        try:
            await take()
        except Overloaded as error:
            wait = max(0.1, min(float(error.retry_after_seconds), 5.0))
            if clock.monotonic() + wait > until:
                raise
            await clock.sleep(wait)
        else:
            return
