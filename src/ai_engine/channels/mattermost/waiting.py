"""Callbacks that are held open for their answer: without a bot token it can go nowhere else."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from ai_engine.domain.clock import Clock
from ai_engine.domain.message import Json

SLOTS_MAX: Final = 256
WAIT_SECONDS_MAX: Final = 25.0
"""Mattermost waits 30 s (`OutgoingIntegrationRequestsTimeout`)."""


class Slot:
    """Where the parts of one answer are collected."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[str, list[Json]]] = {}
        """Reply id → (text, attachments)."""
        self._complete = asyncio.Event()

    def put(self, reply_id: str, text: str, attachments: list[Json], *, final: bool) -> None:
        """One part; a repeated one counts once."""
        self.parts[reply_id] = (text, attachments)
        if final:
            self._complete.set()

    async def wait(self, seconds: float, clock: Clock) -> bool:
        """True when complete, False when `seconds` have passed before."""
        whole = asyncio.create_task(self._complete.wait(), name="waiting for an answer")
        timer = asyncio.create_task(clock.sleep(seconds), name="waiting for an answer: limit")
        try:
            await asyncio.wait((whole, timer), return_when=asyncio.FIRST_COMPLETED)
            return self._complete.is_set()
        finally:
            whole.cancel()
            timer.cancel()


class Waiting:
    """The open callbacks of one channel, by message id."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}

    def find(self, message_id: str) -> Slot | None:
        return self._slots.get(message_id)

    @contextmanager
    def slot(self, message_id: str) -> Generator[Slot | None]:
        """A place to wait in; None when all are taken, or this message has one already."""
        if len(self._slots) >= SLOTS_MAX or message_id in self._slots:
            yield None
            return
        slot = self._slots[message_id] = Slot()
        try:
            yield slot
        finally:
            del self._slots[message_id]
