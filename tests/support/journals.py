"""The journal's engines and what every test of them needs.

A later engine joins the contract suite by one more entry in `ENGINES`.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ai_engine.domain.clock import Clock
from ai_engine.domain.message import Chat, ChatKind, InboundMessage, MessageKind, Sender
from ai_engine.domain.reply import Reply
from ai_engine.journal.base import Delivery, Journal, Limits, Outcome, Turn
from ai_engine.journal.memory import MemoryJournal
from ai_engine.journal.sqlite import SqliteJournal

T = TypeVar("T")
TIMEOUT = 10.0
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Engine:
    """How one engine is opened on a directory, and how its process is "killed"."""

    name: str
    durable: bool
    open: Callable[..., AbstractAsyncContextManager[Journal]]
    kill: Callable[[Any], Any] | None = None


async def kill_sqlite(journal: SqliteJournal) -> None:
    """As SIGKILL does: nothing more is written, the locks are free."""
    journal._open = False
    journal._closing = True
    for task in list(journal._tasks):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    journal._writer.kill()
    await asyncio.to_thread(journal._writer.join)
    journal._reading.shutdown()
    journal._reader.close()
    journal._unlock()


def _open_memory(directory: Path, limits: Limits, clock: Clock, **more: Any) -> MemoryJournal:
    del directory
    return MemoryJournal(limits, clock, **more)


def _open_sqlite(directory: Path, limits: Limits, clock: Clock, **more: Any) -> SqliteJournal:
    return SqliteJournal(directory / "journal.db", limits, clock, **more)


ENGINES = {
    "memory": Engine(name="memory", durable=False, open=_open_memory),
    "sqlite": Engine(name="sqlite", durable=True, open=_open_sqlite, kill=kill_sqlite),
}
DURABLE = [name for name, engine in ENGINES.items() if engine.durable]


class Pump(Generic[T]):
    """Reads `turns()` or `deliveries()` in a task of its own, so that a test may also see that
    nothing comes."""

    def __init__(self, source: AsyncIterator[T]) -> None:
        self._items: asyncio.Queue[T] = asyncio.Queue()
        self._source = source
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        async for item in self._source:
            self._items.put_nowait(item)

    async def next(self) -> T:
        async with asyncio.timeout(TIMEOUT):
            return await self._items.get()

    async def take(self, count: int) -> list[T]:
        return [await self.next() for _ in range(count)]

    def ready(self) -> int:
        return self._items.qsize()

    async def ended(self) -> None:
        async with asyncio.timeout(TIMEOUT):
            await self.task


@dataclass
class Desk:
    """A journal with both its iterators being read."""

    journal: Any
    turns: Pump[Turn]
    deliveries: Pump[Delivery]

    async def settle(self) -> None:
        """Until all that was asked for has been done and has come through the iterators."""
        for _ in range(3):
            await self.journal.stats()
            for _ in range(10):
                await asyncio.sleep(0)

    async def no_turn(self) -> bool:
        await self.settle()
        return self.turns.ready() == 0

    async def no_delivery(self) -> bool:
        await self.settle()
        return self.deliveries.ready() == 0

    async def accept(self, text: str = "hello", key: str = "k", **more: Any) -> Any:
        options = {name: more.pop(name) for name in ("lane", "not_before", "audit") if name in more}
        return await self.journal.accept(message(text, **more), key, **options)

    async def answer(self, turn: Turn, *texts: str, **more: Any) -> int:
        return await self.journal.commit(turn, Outcome(replies=replies(turn, *texts), **more))

    async def exchange(self, text: str = "hello", key: str = "k", **more: Any) -> Turn:
        """One message accepted and answered with nothing."""
        await self.accept(text, key)
        turn = await self.turns.next()
        await self.answer(turn, **more)
        return turn


@contextlib.asynccontextmanager
async def desk(journal: Any) -> AsyncIterator[Desk]:
    """Read both iterators of an open journal until the end of the block."""
    turns, deliveries = Pump(journal.turns()), Pump(journal.deliveries())
    try:
        yield Desk(journal, turns, deliveries)
    finally:
        for pump in (turns, deliveries):
            pump.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump.task


@contextlib.asynccontextmanager
async def opened(
    engine: Engine, directory: Path, clock: Clock, limits: Limits | None = None, **more: Any
) -> AsyncIterator[Desk]:
    """An open journal of the engine, owned and read."""
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(
            engine.open(directory, limits or Limits(), clock, **more)
        )
        yield await stack.enter_async_context(desk(journal))


@contextlib.asynccontextmanager
async def killed(
    engine: Engine, directory: Path, clock: Clock, limits: Limits | None = None
) -> AsyncIterator[Desk]:
    """An owned and read journal whose process is killed at the end of the block."""
    journal = engine.open(directory, limits or Limits(), clock)
    await journal.__aenter__()
    async with desk(journal) as read:
        try:
            yield read
        finally:
            assert engine.kill is not None
            await engine.kill(journal)


def message(
    text: str = "hello",
    *,
    id: str = "",  # noqa: A002 - reads well in tests
    channel: str = "web",
    user: str = "anna",
    kind: MessageKind = MessageKind.TEXT,
    **more: Any,
) -> InboundMessage:
    """A message with an id of its own, unless one is given."""
    return InboundMessage(
        channel=channel,
        message_id=id or f"x{next(_numbers)}",
        sender=Sender(platform="web", user_id=user, tenant="t"),
        chat=Chat(kind=ChatKind.PRIVATE, id="c"),
        kind=kind,
        text=text,
        target={"to": user},
        trace_id="t0",
        **more,
    )


def replies(turn: Turn, *texts: str) -> tuple[Reply, ...]:
    """One reply for each text, with ids derived from the turn."""
    return tuple(Reply(id=f"{turn.id}-{n}", text=text) for n, text in enumerate(texts))
