"""Keeps one live connection to a platform: opens the next before the old one goes, backs off."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from ai_engine.channels.backoff import Backoff
from ai_engine.channels.link import SocketLink
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendFailed, SendRefused, SendRetryable, Unauthenticated

log = logging.getLogger(__name__)

SLOW_RETRY_SECONDS: Final = 60.0
"""After an answer that only an administrator can change, such as a wrong secret."""
_STEADY_SECONDS: Final = 60.0
"""A connection that lived so long, or carried a message, was good: the next delay is short."""
_HASTE_MAX: Final = 3
"""So many connections in a row may be replaced at once; then replacing waits too."""

Connect = Callable[[], Awaitable[SocketLink]]
"""Opens one connection. Raises Unauthenticated, SendRefused (tried again slowly), SendRetryable."""


class Keeper:
    """Owned by a channel, whose `run` awaits `run`; that ends only by cancellation.

    Args:
        exclusive: the platform has one connection at a time (a newer one ends the older): the old
            one is closed before the next is opened.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        connect: Connect,
        *,
        backoff: Backoff | None = None,
        exclusive: bool = False,
    ) -> None:
        self._name = name
        self._clock = clock
        self._connect = connect
        self._backoff = backoff or Backoff()
        self._exclusive = exclusive
        self._haste = 0
        self.link: SocketLink | None = None
        """The newest connection; it may have ended already."""
        self.state = "connecting"
        """connecting | connected | failing"""
        self.detail = ""

    @property
    def last_frame(self) -> float | None:
        """When the platform last sent anything, on the monotonic clock."""
        return None if self.link is None else self.link.last_frame

    async def run(self) -> None:
        """Connect, replace and reconnect for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                link = await self._connected()
                self.link = link
                group.create_task(link.run(), name=f"connection of {self._name}")
                await link.over.wait()
                if self._exclusive:
                    await link.close()
                await self._pause(link)

    async def _pause(self, link: SocketLink) -> None:
        """Before the next connection: none when replacing, else exponential with jitter."""
        lived = self._clock.monotonic() - link.opened_at
        if link.useful or lived >= _STEADY_SECONDS:
            self._backoff.reset()
            self._haste = 0
        if link.retiring and self._haste < _HASTE_MAX:
            self._haste += 1
            return
        if not link.retiring:
            self.failed("connecting", "the connection was lost")
        await self._clock.sleep(self._backoff.next())

    async def _connected(self) -> SocketLink:
        """A new connection, however long it takes."""
        while True:
            try:
                link = await self._connect()
            except (Unauthenticated, SendRefused) as error:
                self.failed("failing", str(error))
                await self._clock.sleep(SLOW_RETRY_SECONDS)
            except SendFailed as error:
                self.failed("failing", str(error))
                asked = error.retry_after_seconds if isinstance(error, SendRetryable) else None
                await self._clock.sleep(max(self._backoff.next(), asked or 0.0))
            else:
                if self.detail:
                    log.info("channel %s: connected again", self._name)
                self.state, self.detail = "connected", ""
                return link

    def failed(self, state: str, detail: str) -> None:
        """Note it; an outage is logged once, not at every attempt."""
        if detail != self.detail:
            log.warning("channel %s: %s", self._name, detail)
        self.state, self.detail = state, detail
