"""News for the chat page and for tests: one bounded queue a listener."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from ai_engine.domain.message import Json

LISTENERS_MAX = 64
BACKLOG_MAX = 2_000


class FeedFull(Exception):
    """Too many listeners."""


class Feed:
    """Fan-out of (kind, body). A listener that is too slow is cut off and may come again."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[tuple[str, Json] | None]] = set()

    @property
    def watched(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def publish(self, kind: str, body: Json) -> None:
        """Tell every listener, without waiting."""
        for queue in tuple(self._listeners):
            if queue.qsize() >= BACKLOG_MAX:
                self._listeners.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait((kind, body))

    def close(self) -> None:
        """End every listener."""
        for queue in tuple(self._listeners):
            queue.put_nowait(None)
        self._listeners.clear()

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[asyncio.Queue[tuple[str, Json] | None], None]:
        """A queue of news; `None` in it is the end.

        Raises:
            FeedFull: more than `LISTENERS_MAX` listen already.
        """
        if len(self._listeners) >= LISTENERS_MAX:
            raise FeedFull
        queue: asyncio.Queue[tuple[str, Json] | None] = asyncio.Queue(BACKLOG_MAX + 1)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
