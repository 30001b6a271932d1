"""Long polling: updates are asked for, and confirmed only when they are durable.

Source: Bot API, getUpdates: an update is confirmed by a later call whose `offset` is higher. Only
one process may ask at a time (409 Conflict), and none while a webhook is set.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Any, Final, cast

from ai_engine.channels.backoff import Backoff
from ai_engine.channels.telegram.client import Said, TelegramClient, raise_for
from ai_engine.channels.telegram.codec import UPDATES
from ai_engine.channels.telegram.content import record, text, whole
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Overloaded, Refused, SendFailed, SendRefused, SendRetryable
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

HOLD_SECONDS: Final = 25
"""How long Telegram holds a call that has nothing to tell."""
_ANSWER_SECONDS: Final = 10.0
"""Beyond it a call without an answer is dead: this is the connection's heartbeat."""
_SLOW_SECONDS: Final = 60.0
"""After an answer that only an administrator can change."""
_BATCH: Final = 100
_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of a full batch: each with 4,096 characters and as many quoted, written as `\\uXXXX`, and what
marks them. An answer that is not taken would come again for ever, and hold up all that follow."""
_HOOK_SET: Final = "webhook is active"

Take = Callable[[Json], Awaitable[None]]
"""One update; durable when it returns. Raises Overloaded, or Refused for what is no update."""


class Poller:
    """Owned by the channel, whose `run` awaits `run`; that ends only by cancellation."""

    def __init__(
        self,
        name: str,
        client: TelegramClient,
        clock: Clock,
        take: Take,
        *,
        backoff: Backoff | None = None,
        hold_seconds: int = HOLD_SECONDS,
    ) -> None:
        self._name = name
        self._client = client
        self._clock = clock
        self._take = take
        self._backoff = backoff or Backoff()
        self._hold = hold_seconds
        self._offset = 0
        self.state = "connecting"
        """connecting | connected | failing"""
        self.detail = ""
        self.last_answer: float | None = None
        """When Telegram last answered, on the monotonic clock."""

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            try:
                updates = await self._ask()
            except SendRefused as error:
                await self._failed(str(error), _SLOW_SECONDS)
            except SendFailed as error:
                asked = error.retry_after_seconds if isinstance(error, SendRetryable) else None
                await self._failed(str(error), max(self._backoff.next(), asked or 0.0))
            else:
                if self.detail:
                    log.info("channel %s: polling again", self._name)
                self.state, self.detail = "connected", ""
                self._backoff.reset()
                await self._take_all(updates)

    async def _ask(self) -> list[Json]:
        """Until Telegram has answered once nothing is held: whether it answers is known at once.

        Raises:
            SendRetryable, SendRefused.
        """
        hold = self._hold if self.state == "connected" else 0
        said = await self._client.ask(
            "getUpdates",
            {
                "offset": self._offset,
                "limit": _BATCH,
                "timeout": hold,
                "allowed_updates": list(UPDATES),
            },
            seconds_max=hold + _ANSWER_SECONDS,
            bytes_max=_BYTES_MAX,
        )
        if said.status == 409:
            await self._conflict(said)
        if not said.ok:
            raise_for(said, "getUpdates")
        self.last_answer = self._clock.monotonic()
        found = said.body.get("result")
        updates = cast("list[Any]", found) if isinstance(found, list) else []
        return [cast("Json", each) for each in updates if isinstance(each, dict)]

    async def _conflict(self, said: Said) -> None:
        """Polling is configured: a webhook that is still set is taken away, its waiting updates
        are kept. It is never removed on suspicion, since another deployment may live by it.

        Raises:
            SendRetryable: always; polling goes on after a pause.
        """
        if _HOOK_SET in said.description:
            log.warning("channel %s: removing the webhook, since mode is poll", self._name)
            await self._client.call("deleteWebhook", {"drop_pending_updates": False})
            raise SendRetryable("a webhook was set; it has been removed")
        raise SendRetryable(
            "another process polls with this bot's token",
            hint="give each deployment a bot of its own, or stop the other one",
        )

    async def _take_all(self, updates: list[Json]) -> None:
        """In order; the parts of an album together. What is durable is confirmed by the offset."""
        for _, run in groupby(updates, key=_album_or_id):
            together = list(run)
            outcomes = await asyncio.gather(
                *(self._one(update) for update in together), return_exceptions=True
            )
            for outcome in outcomes:
                if isinstance(outcome, Overloaded):
                    await self._clock.sleep(min(max(outcome.retry_after_seconds, 0.1), 30.0))
                    return  # they are not confirmed: Telegram gives them again
                if isinstance(outcome, BaseException):
                    raise outcome
            numbers = [whole(update.get("update_id")) or 0 for update in together]
            self._offset = max(self._offset, max(numbers) + 1)

    async def _one(self, update: Json) -> None:
        try:
            await self._take(update)
        except Overloaded:
            raise
        except Refused as error:
            # Not confirming it would bring it back for ever, and hold up all that follow.
            log.warning("channel %s: an update was left out: %s", self._name, error)

    async def _failed(self, detail: str, seconds: float) -> None:
        """Note it, an outage once, and wait."""
        if detail != self.detail:
            log.warning("channel %s: %s", self._name, detail)
        self.state, self.detail = "failing", detail
        await self._clock.sleep(seconds)


def _album_or_id(update: Json) -> str:
    album = text(record(update, "message"), "media_group_id")
    return f"album {album}" if album else f"update {update.get('update_id')}"
