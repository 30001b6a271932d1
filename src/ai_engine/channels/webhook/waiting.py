"""Requests that are held open for their answer (`?wait=true`), bounded in number and time."""

import asyncio
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from ai_engine.domain.clock import Clock
from ai_engine.domain.reply import Reply

SLOTS_MAX: Final = 256
_LEFT_MAX: Final = 1024


class Slot:
    """Where the answer to one message is collected; several requests may wait for it."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.waiting = 0
        self._complete = asyncio.Event()

    def put(self, reply: Reply) -> None:
        """One part; a part that was put before (a repeated delivery) counts once."""
        if all(known.id != reply.id for known in self.replies):
            self.replies.append(reply)
        if reply.final:
            self._complete.set()

    @property
    def complete(self) -> bool:
        return self._complete.is_set()

    async def wait(self, seconds: float, clock: Clock) -> bool:
        """True when complete, False when `seconds` have passed before."""
        whole = asyncio.create_task(self._complete.wait(), name="waiting for a reply")
        timer = asyncio.create_task(clock.sleep(seconds), name="waiting for a reply: limit")
        try:
            await asyncio.wait((whole, timer), return_when=asyncio.FIRST_COMPLETED)
            return self.complete
        finally:
            whole.cancel()
            timer.cancel()


class Waiting:
    """The slots of one channel, by the caller's message id."""

    def __init__(self, slots_max: int = SLOTS_MAX) -> None:
        self._slots_max = slots_max
        self._slots: dict[str, Slot] = {}
        self._left: OrderedDict[str, list[Reply]] = OrderedDict()

    @contextmanager
    def slot(self, message_id: str) -> Generator[Slot | None]:
        """A place to wait in, or None when all are taken.

        When the last one who waits goes before the answer is complete, the parts that it had are
        kept for `left_behind`.
        """
        slot = self._slots.get(message_id)
        if slot is None:
            if len(self._slots) >= self._slots_max:
                yield None
                return
            slot = self._slots[message_id] = Slot()
        slot.waiting += 1
        try:
            yield slot
        finally:
            slot.waiting -= 1
            if slot.waiting == 0:
                del self._slots[message_id]
                self._keep(message_id, slot)

    def _keep(self, message_id: str, slot: Slot) -> None:
        if slot.replies and not slot.complete:
            self._left[message_id] = slot.replies
            if len(self._left) > _LEFT_MAX:
                self._left.popitem(last=False)

    def hand_over(self, message_id: str, reply: Reply) -> bool:
        """Give a reply to whoever waits for it; False when nobody does."""
        slot = self._slots.get(message_id)
        if slot is None:
            return False
        for earlier in self._left.pop(message_id, ()):
            slot.put(earlier)
        slot.put(reply)
        return True

    def left_behind(self, message_id: str) -> list[Reply]:
        """Parts that were handed over to somebody who left before the rest came."""
        return self._left.get(message_id, [])

    def settled(self, message_id: str) -> None:
        """The parts left behind have been sent another way."""
        self._left.pop(message_id, None)
