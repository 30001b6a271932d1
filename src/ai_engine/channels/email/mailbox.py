"""Keeps one connection to the mailbox: takes what waits, then lets the server tell of more.

The connection's life is a loop: search, take each mail, wait in IDLE (renewed every four minutes,
which is the heartbeat: half-dead connections are noticed then, and by TCP keep-alive before). It is
marked on the server that a mail was dealt with only after it is durable; a crash in between brings
the mail again, and its key is known.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from ai_engine.channels.backoff import Backoff
from ai_engine.channels.email.imap import Imap
from ai_engine.channels.email.inbox import Inbox
from ai_engine.channels.email.servers import Server, Trust
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import (
    Overloaded,
    SendFailed,
    SendRefused,
    SendRetryable,
    Unauthenticated,
)

log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 240.0
"""RFC 2177 allows 29 minutes; routers forget silent connections after five."""
POLL_SECONDS: Final = 60.0
"""Between two looks, where the server has no IDLE."""
SLOW_SECONDS: Final = 60.0
"""After an answer that only an administrator can change."""

Take = Callable[[Inbox, int], Awaitable[bool | None]]
"""One mail by its UID; durable when it returns. True: shown as read; False: marked only; None: it
is gone. Raises Overloaded: later; SendFailed: the connection."""


class Mailbox:
    """Owned by the channel, whose `run` awaits `run`; that ends only by cancellation."""

    def __init__(
        self,
        name: str,
        server: Server,
        login: tuple[str, str],
        trust: Trust,
        clock: Clock,
        take: Take,
        *,
        backoff: Backoff | None = None,
    ) -> None:
        self._name = name
        self._server = server
        self._login = login
        self._trust = trust
        self._clock = clock
        self._take = take
        self._backoff = backoff or Backoff()
        self._imap: Imap | None = None
        self.state = "connecting"
        """connecting | connected | failing"""
        self.detail = ""

    @property
    def last_sign(self) -> float | None:
        """When the server last said anything, on the monotonic clock."""
        return None if self._imap is None else self._imap.last_sign

    async def run(self) -> None:
        """Connect and connect again, for ever."""
        while True:
            try:
                await self._live()
            except (Unauthenticated, SendRefused) as error:
                await self._failed(str(error), SLOW_SECONDS)
            except SendFailed as error:
                asked = error.retry_after_seconds if isinstance(error, SendRetryable) else None
                await self._failed(str(error), max(self._backoff.next(), asked or 0.0))

    async def open(self) -> Imap:
        """A connection that has logged in.

        Raises:
            Unauthenticated, SendRefused, ConnectionLost.
        """
        context = None if self._server.tls == "plain" else await self._trust.context()
        imap = await Imap.connect(self._server, context, self._clock)
        try:
            await imap.login(*self._login)
        except BaseException:
            imap.close()
            raise
        return imap

    async def _live(self) -> None:
        """One connection from beginning to end."""
        imap = await self.open()
        self._imap = imap
        try:
            inbox = Inbox(imap)
            if await inbox.open():
                log.info("channel %s: first start: older mails are left alone", self._name)
            if self.detail:
                log.info("channel %s: connected again", self._name)
            self.state, self.detail = "connected", ""
            while True:
                imap.news = False
                await self._take_all(inbox)
                self._backoff.reset()
                if not imap.news:
                    await self._wait(imap)
        finally:
            imap.close()

    async def _wait(self, imap: Imap) -> None:
        if "IDLE" in imap.capabilities:
            await imap.idle(IDLE_SECONDS)
        else:
            await self._clock.sleep(POLL_SECONDS)
            await imap.command("NOOP")

    async def _take_all(self, inbox: Inbox) -> None:
        """In order, until nothing waits."""
        while uids := await inbox.waiting():
            for uid in uids:
                try:
                    seen = await self._take(inbox, uid)
                except Overloaded as error:
                    await self._clock.sleep(min(max(error.retry_after_seconds, 0.1), 30.0))
                    break  # none of the rest is marked: they are found again
                if seen is not None:
                    await inbox.mark(uid, seen=seen)

    async def _failed(self, detail: str, seconds: float) -> None:
        """Note it, an outage once, and wait."""
        if detail != self.detail:
            log.warning("channel %s: %s", self._name, detail)
        self.state, self.detail = "failing", detail
        await self._clock.sleep(seconds)
