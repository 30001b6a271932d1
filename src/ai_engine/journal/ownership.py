"""Being a journal's owner: calls to the store, taking over, timers, and the end.

The base of `ScheduledJournal`; the road of a message is there, what every step of it needs is here.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import EngineError
from ai_engine.journal.base import Limits
from ai_engine.journal.book import Book
from ai_engine.journal.queues import Queues
from ai_engine.journal.rows import Inbound, Recovered
from ai_engine.journal.rules import CrashReply, release

R = TypeVar("R")
B = TypeVar("B", bound=Book)
log = logging.getLogger(__name__)

TIMER_SECONDS_MAX = 60.0
"""The wall clock is looked at again after so long, since it may be set."""


def _nothing(_: object) -> None:
    pass


class OwnedJournal(ABC, Generic[B]):
    """One process's part in a journal that has one owner at a time."""

    def __init__(
        self, *, limits: Limits, clock: Clock, crash_reply: CrashReply | None = None
    ) -> None:
        """`crash_reply` words the reply to a message whose turns ended with the process too often;
        it may be called in another thread. None: the dead letter is silent."""
        self._limits = limits
        self._clock = clock
        self._crash_reply = crash_reply
        self._queues = Queues(limits, clock)
        self._epoch = 0
        self._owner = False
        self._closing = False
        self._accepting = 0
        self._round_trips: int = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = 0.0
        self._owning: asyncio.Task[None] | None = None

    # What an engine provides.

    @abstractmethod
    def _post(
        self,
        run: Callable[[B], R],
        done: Callable[[R], None],
        failed: Callable[[Exception], None],
        *,
        durable: bool,
        fenced: bool,
        expects: Inbound | None = None,
    ) -> None:
        """Apply `run` to the store, in order; then call `done` or `failed` on the loop.

        `durable`: only when it is on the disk. `fenced`: refuse with LostLease unless this
        process still owns the journal. `expects`: the message that `run` accepts, so that a
        store may look up what it needs for many at once.
        """

    @abstractmethod
    def _post_lazily(self, run: Callable[[B], None], *, fenced: bool = True) -> None:
        """Apply `run` with the next write, within 50 ms; nobody waits for it. `fenced`: only while
        this process owns the journal."""

    @abstractmethod
    async def _own(self) -> None:
        """Become the owner (waiting as long as it takes), call `_recovered`, and stay it."""

    async def _call(
        self,
        run: Callable[[B], R],
        *,
        durable: bool,
        done: Callable[[R], None] = _nothing,
        failed: Callable[[Exception], None] = _nothing,
        fenced: bool = True,
        expects: Inbound | None = None,
    ) -> R:
        """One round trip. `done` and `failed` are called even when the caller is cancelled."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()

        def succeed(result: R) -> None:
            done(result)
            if not future.done():
                future.set_result(result)

        def give_up(error: Exception) -> None:
            failed(error)
            if not future.done():
                future.set_exception(error)

        self._round_trips += 1
        self._post(run, succeed, give_up, durable=durable, fenced=fenced, expects=expects)
        return await future

    def _as_owner(self, then: Callable[[R], None]) -> Callable[[R], None]:
        """`then`, unless this process has lost the ownership meanwhile."""
        epoch = self._epoch

        def call(result: R) -> None:
            if self._owner and epoch == self._epoch:
                then(result)

        return call

    # Ownership and time.

    @property
    def owner(self) -> bool:
        """See `Journal.owner`."""
        return self._owner

    def undelivered(self, session_key: str) -> bool:
        """See `Journal.undelivered`."""
        return self._queues.undelivered(session_key)

    def _want_ownership(self) -> None:
        if self._owning is None and not self._closing:
            self._owning = self._spawn(self._own())

    def _recovered(self, found: Recovered) -> None:
        """This process is the owner from now on, and this is all that waits."""
        self._queues.clear()
        self._epoch = found.epoch
        self._owner = True
        for row in found.inbound:
            self._queues.add(row)
        self._queues.send(found.outbox)
        self._arm()
        self._queues.wake()

    def _disowned(self) -> None:
        """Another process is the owner: nothing is in flight here any more."""
        self._owner = False
        self._queues.clear()
        self._queues.wake()

    def _back(self, row: Inbound, not_before: float) -> None:
        self._queues.back(row, not_before)
        self._arm()
        self._look_again()

    def _ended(self) -> None:
        """The end of a turn or delivery is written, or could not be."""
        self._queues.ending -= 1
        self._look_again()

    def _look_again(self) -> None:
        """While draining, the reader of deliveries waits until nothing is in flight."""
        if self._closing:
            self._queues.delivery_ready.set()

    def _give_back(self, row: Inbound) -> None:
        """Release a turn that nobody will end; nobody waits for it."""
        del self._queues.running[row.seq]

        def released(_: None) -> None:
            self._back(row, 0.0)

        def failed(error: Exception) -> None:
            log.warning("a turn could not be released: %s", error)

        run = partial(release, row=row)
        self._post(run, self._as_owner(released), failed, durable=False, fenced=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _arm(self) -> None:
        """See to it that a timer ends at the next due time."""
        at = self._queues.next_due()
        if at is None or self._closing:
            return
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._spawn(self._tick(at))

    async def _tick(self, at: float) -> None:
        await self._clock.sleep(min(max(0.0, at - self._clock.time()), TIMER_SECONDS_MAX))
        self._timer = None
        self._queues.promote()
        self._arm()

    # The end.

    async def drain(self) -> None:
        """Stop offering turns; `accept` refuses. What is in flight can still be ended, and its
        replies are offered until nothing is in flight."""
        if self._closing:
            return
        self._closing = True
        queues = self._queues
        while queues.offered:
            self._give_back(queues.offered.popleft()[0])
        queues.wake()

    async def _stop(self) -> None:
        """Drain, give back what nobody has ended, and end the journal's own tasks."""
        await self.drain()
        if self._owner:
            self._queues.starting.clear()
            for row in list(self._queues.running.values()):
                self._give_back(row)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            try:
                await task
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    raise
            except EngineError as error:
                log.warning("the journal stopped with an error: %s", error)
