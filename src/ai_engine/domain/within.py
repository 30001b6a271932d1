"""A time limit for the road: many limits share one timer, so that each costs next to nothing."""

import asyncio
from types import TracebackType
from typing import Final, Self
from weakref import WeakKeyDictionary

GRAIN_SECONDS: Final = 0.25
"""Limits that end within the same quarter of a second end together, at its end."""

_Slots = dict[int, set["within"]]
_loops: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Slots]" = WeakKeyDictionary()


class within:  # noqa: N801 - used as a function: `with within(60):`
    """Like `asyncio.timeout`, a quarter of a second late at most, at a tenth of its cost.

    For limits that are there for the rare case and are met by every message. Raises TimeoutError
    in place of the block's CancelledError; a cancellation from elsewhere stays one.
    """

    __slots__ = ("_cancelling", "_seconds", "_slot", "_task", "expired")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.expired = False
        """Whether the time was over before the block had ended."""

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("within() must be used inside a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._slot = _slot(task.get_loop(), self._seconds)
        self._slot.add(self)
        return self

    def expire(self) -> None:
        """The time is over: end what the block waits for."""
        self.expired = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._slot.discard(self)
        if not self.expired:
            return
        ours = self._task.uncancel() <= self._cancelling
        if ours and isinstance(error, asyncio.CancelledError):
            raise TimeoutError from error


def _slot(loop: asyncio.AbstractEventLoop, seconds: float) -> set[within]:
    """The limits that end together with one of so many seconds that begins now."""
    slots = _loops.get(loop)
    if slots is None:
        slots = _loops[loop] = {}
    number = int((loop.time() + seconds) / GRAIN_SECONDS) + 1
    slot = slots.get(number)
    if slot is None:
        slot = slots[number] = set()
        loop.call_at(number * GRAIN_SECONDS, _end, slots, number)
    return slot


def _end(slots: _Slots, number: int) -> None:
    for limit in list(slots.pop(number)):
        limit.expire()
