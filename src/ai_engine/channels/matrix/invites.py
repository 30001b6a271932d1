"""Invitations: accepted beside the long poll, since joining a far room may take a minute.

They are noted with the position (`sync`), so that a restart does not forget one.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from ai_engine.channels.backoff import Backoff
from ai_engine.channels.matrix.client import MatrixClient, TokenRefused, where
from ai_engine.channels.matrix.fields import text
from ai_engine.channels.matrix.rooms import Rooms
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRefused, SendRetryable
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

PENDING_MAX: Final = 200
_JOIN_SECONDS: Final = 90.0
_SLOW_SECONDS: Final = 60.0


class Invites:
    """Owned by the poller, whose task group runs `run`."""

    def __init__(
        self,
        name: str,
        client: MatrixClient,
        rooms: Rooms,
        clock: Clock,
        allows: Callable[[str], bool],
    ) -> None:
        self._name = name
        self._client = client
        self._rooms = rooms
        self._clock = clock
        self._allows = allows
        self._backoff = Backoff()
        self._new = asyncio.Event()
        self.pending: dict[str, Json] = {}
        """Room → `{"by", "direct"}`; plain data."""
        self.changed = False
        """`pending` is not what was noted last."""

    def take(self, found: dict[str, Json]) -> None:
        """More invitations; those beyond the limit can be sent again later."""
        for room, invite in found.items():
            if len(self.pending) >= PENDING_MAX:
                log.warning("channel %s: too many invitations, one is left out", self._name)
                return
            self.pending[room] = invite
            self.changed = True
        if self.pending:
            self._new.set()

    async def run(self) -> None:
        """One after the other, for ever."""
        while True:
            await self._new.wait()
            self._new.clear()
            for room, invite in list(self.pending.items()):
                await self._settled(room, invite)

    async def _settled(self, room: str, invite: Json) -> None:
        try:
            await self._answer(room, invite)
        except TokenRefused as error:
            log.info("channel %s: an invitation waits: %s", self._name, error.message)
            await self._again(_SLOW_SECONDS)
            return
        except SendRetryable as error:
            log.info("channel %s: an invitation waits: %s", self._name, error.message)
            await self._again(max(self._backoff.next(), error.retry_after_seconds or 0.0))
            return
        except SendRefused as error:
            log.warning("channel %s: an invitation came to nothing: %s", self._name, error.message)
        self._backoff.reset()
        self.pending.pop(room, None)
        self.changed = True

    async def _again(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._new.set()

    async def _answer(self, room: str, invite: Json) -> None:
        """Raises SendRetryable, SendRefused."""
        by = text(invite, "by")
        if not self._allows(by):
            await self._client.call("POST", where("rooms", room, "leave"), {})
            return
        path = where("rooms", room, "join")
        await self._client.call("POST", path, {}, seconds_max=_JOIN_SECONDS)
        if invite.get("direct") is True:
            await self._rooms.keep_direct(by, room)
