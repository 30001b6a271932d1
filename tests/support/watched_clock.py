"""A manual clock that a test can ask who sleeps, so that it turns the hands at the right moment."""

import asyncio
from collections.abc import Callable

from support.clock import ManualClock


class WatchedClock(ManualClock):
    """`asleep` returns once somebody sleeps for a time that the test expects."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        super().__init__(start)
        self.requests: list[float] = []
        """Every sleep asked for, in seconds, oldest first."""
        self._asked = asyncio.Condition()

    async def sleep(self, seconds: float) -> None:
        self.requests.append(seconds)
        async with self._asked:
            self._asked.notify_all()
        await super().sleep(seconds)

    async def asleep(self, expected: Callable[[float], bool], times: int = 1) -> None:
        """Wait, at most 5 real seconds, until `times` such sleeps were asked for."""
        async with asyncio.timeout(5), self._asked:
            await self._asked.wait_for(lambda: sum(map(expected, self.requests)) >= times)
