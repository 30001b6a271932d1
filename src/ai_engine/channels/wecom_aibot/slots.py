"""What this process knows of the streams that WeCom asks for: bounded, in memory.

Nothing is lost with it: after a restart the journal's committed replies answer in its place.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from ai_engine.domain.clock import Clock
from ai_engine.domain.message import Json

SLOTS_MAX: Final = 2_000


class Slot:
    """One message's stream, or one greeting: what to show, and whether it has been fetched."""

    def __init__(self, now: float) -> None:
        self.text = ""
        """The newest text while the answer grows."""
        self.last: Json | None = None
        """The answer that ends it."""
        self.asked = now
        """When WeCom last asked, on the monotonic clock."""
        self.moved = False
        """The answer has gone another way."""
        self.ready = asyncio.Event()
        self.taken = asyncio.Event()

    def end(self, last: Json) -> None:
        """The whole answer is known."""
        self.last = last
        self.ready.set()


class Slots:
    """Slots by message id; above `size` the oldest is forgotten."""

    def __init__(self, clock: Clock, size: int = SLOTS_MAX) -> None:
        self._clock = clock
        self._size = size
        self._slots: OrderedDict[str, Slot] = OrderedDict()

    def get(self, message_id: str) -> Slot | None:
        return self._slots.get(message_id)

    def open(self, message_id: str) -> Slot:
        """The message's slot, new if there is none."""
        slot = self._slots.get(message_id)
        if slot is None:
            slot = self._slots[message_id] = Slot(self._clock.monotonic())
            while len(self._slots) > self._size:
                self._slots.popitem(last=False)
        return slot


async def happens(event: asyncio.Event, seconds: float, clock: Clock) -> bool:
    """True when `event` is set within `seconds`, as the clock counts them."""
    if event.is_set() or seconds <= 0:
        return event.is_set()
    whole = asyncio.create_task(event.wait(), name="waiting for WeCom")
    timer = asyncio.create_task(clock.sleep(seconds), name="waiting for WeCom: limit")
    try:
        await asyncio.wait((whole, timer), return_when=asyncio.FIRST_COMPLETED)
        return event.is_set()
    finally:
        whole.cancel()
        timer.cancel()
