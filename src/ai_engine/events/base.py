"""The `Events` port and its in-process engine. Never needed for correctness."""

import asyncio
from collections import deque
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """The session's event log reached `n`."""

    session_key: str
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """Text of a running turn. `text` starts at `offset` characters of the whole."""

    session_key: str
    turn: str
    offset: int
    text: str
    done: bool = False


News = Progressed | Partial


class Subscription(Protocol):
    async def next(self) -> News | None:
        """The next news; None once after news were dropped, since the reader was too slow."""
        ...


class Events(Protocol):
    def publish(self, news: News) -> None:
        """Never blocks, never fails."""
        ...

    def subscribe(self, session_key: str) -> AbstractContextManager[Subscription]:
        """A context manager: news of one session from now on."""
        ...

    def partial(self, session_key: str) -> Partial | None:
        """The whole text so far of the turn that runs in this session (offset 0)."""
        ...


class _Mailbox:
    """A bounded queue of one reader; when it overflows, all is dropped and the reader is told."""

    def __init__(self, size: int) -> None:
        self._items: deque[News] = deque()
        self._size = size
        self._overflowed = False
        self._ready = asyncio.Event()

    def put(self, news: News) -> None:
        if len(self._items) >= self._size:
            self._items.clear()
            self._overflowed = True
        self._items.append(news)
        self._ready.set()

    async def next(self) -> News | None:
        while not self._items and not self._overflowed:
            self._ready.clear()
            await self._ready.wait()
        if self._overflowed:
            self._overflowed = False
            return None
        return self._items.popleft()


class MemoryEvents:
    """In-process publish and subscribe."""

    def __init__(self, queue_size: int = 256) -> None:
        self._queue_size = queue_size
        self._readers: dict[str, set[_Mailbox]] = {}
        self._partials: dict[str, Partial] = {}

    def publish(self, news: News) -> None:
        if isinstance(news, Partial):
            self._remember(news)
        for reader in self._readers.get(news.session_key, ()):
            reader.put(news)

    def _remember(self, news: Partial) -> None:
        known = self._partials.get(news.session_key)
        if news.done:
            if known is not None and known.turn == news.turn:  # the next turn may have begun
                del self._partials[news.session_key]
            return
        before = known.text[: news.offset] if known and known.turn == news.turn else ""
        self._partials[news.session_key] = Partial(
            session_key=news.session_key, turn=news.turn, offset=0, text=before + news.text
        )

    def partial(self, session_key: str) -> Partial | None:
        return self._partials.get(session_key)

    @contextmanager
    def subscribe(self, session_key: str) -> Generator[_Mailbox]:
        reader = _Mailbox(self._queue_size)
        readers = self._readers.setdefault(session_key, set())
        readers.add(reader)
        try:
            yield reader
        finally:
            readers.discard(reader)
            if not readers:
                self._readers.pop(session_key, None)
