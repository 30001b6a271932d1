"""Notes: what a connector must know of a message again after a restart, kept beside the journal.

Which answer a platform's message id stands for, whose a recalled message was: losing one costs a
rating or a quote and no message, so a note is written lazily and never waited for.
"""

import logging
from abc import abstractmethod
from collections import OrderedDict
from functools import partial
from typing import Final

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import EngineError
from ai_engine.journal.base import Journal, Limits
from ai_engine.journal.book import Book
from ai_engine.journal.ownership import B, OwnedJournal
from ai_engine.journal.rules import CrashReply

log = logging.getLogger(__name__)

REMEMBERED_MAX: Final = 4_000
"""Notes that a process remembers, those of the last 50 ms among them; older ones are read."""


class NotingJournal(OwnedJournal[B]):
    """The port's notes, on any store: an engine adds `_stored_note`."""

    def __init__(
        self, *, limits: Limits, clock: Clock, crash_reply: CrashReply | None = None
    ) -> None:
        """See `OwnedJournal`."""
        super().__init__(limits=limits, clock=clock, crash_reply=crash_reply)
        self._notes: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()
        """(channel, key) → (written at, value), the newest last."""

    @abstractmethod
    async def _stored_note(self, channel: str, key: str, since: float) -> str | None:
        """The note as the store has it, when it was written at `since` or later."""

    def note(self, channel: str, key: str, value: str) -> None:
        """See `Journal.note`. It needs no ownership: whoever accepts or sends may note."""
        if _bytes(key) + _bytes(value) > self._limits.note_bytes_max:
            log.warning("channel %s: a note of %d characters is not kept", channel, len(value))
            return
        self._notes[channel, key] = self._clock.time(), value
        self._notes.move_to_end((channel, key))
        if len(self._notes) > REMEMBERED_MAX:
            self._notes.popitem(last=False)
        self._round_trips += 1
        self._post_lazily(partial(_keep, channel=channel, key=key, value=value), fenced=False)

    async def noted(self, channel: str, key: str) -> str | None:
        """See `Journal.noted`."""
        since = self._clock.time() - self._limits.note_seconds
        known = self._notes.get((channel, key))
        if known is not None:
            at, value = known
            return value if at >= since else None
        return await self._stored_note(channel, key, since)


class ChannelNotes:
    """One channel's part of them; see `ai_engine.channels.base.Notes`."""

    def __init__(self, journal: Journal, channel: str) -> None:
        self._journal = journal
        self._channel = channel

    def put(self, key: str, value: str) -> None:
        self._journal.note(self._channel, key, value)

    async def get(self, key: str) -> str | None:
        try:
            return await self._journal.noted(self._channel, key)
        except EngineError as error:  # a rating may be lost so, never the message that asks
            log.warning("channel %s: a note could not be read: %s", self._channel, error)
            return None


def _keep(book: Book, channel: str, key: str, value: str) -> None:
    book.save_note(channel, key, value)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
