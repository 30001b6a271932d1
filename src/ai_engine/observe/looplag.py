"""How late the event loop runs: the first sign of something that blocks it."""

import asyncio
import time
from collections.abc import Callable


class LoopLag:
    """A task, owned by whoever runs `run`, that wakes up now and then and sees how late it is."""

    def __init__(self, observe: Callable[[float], None], *, interval_seconds: float = 0.5) -> None:
        self._observe = observe
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            due = time.monotonic() + self._interval_seconds
            await asyncio.sleep(self._interval_seconds)
            self._observe(max(0.0, time.monotonic() - due))
