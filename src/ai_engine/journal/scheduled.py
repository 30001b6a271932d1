"""The owner's side of a journal: who is next, who is in flight, and what follows from each end.

`ScheduledJournal` implements the road of the port (`accept` to `undeliverable`) on two things that
an engine provides: `_post`, which applies one of the rules to the store, and `_own`, which waits
until this process is the owner. Mailboxes and outbox live in memory and are rebuilt from the store
by each new owner; the store is what counts.
"""

import asyncio
import heapq
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import EngineError, LostLease, Overloaded
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import InboundMessage, Json, Lane
from ai_engine.domain.reply import Reply
from ai_engine.journal import rules
from ai_engine.journal.base import (
    AuditEntry,
    Delivery,
    FailVerdict,
    Limits,
    Outcome,
    Receipt,
    Turn,
)
from ai_engine.journal.book import Book
from ai_engine.journal.lanes import Lanes
from ai_engine.journal.rows import Committed, Failed, Inbound, OutboxRow, Recovered, Started

R = TypeVar("R")
B = TypeVar("B", bound=Book)
log = logging.getLogger(__name__)

LOOK_AHEAD = 16
"""Turns started in one round trip when many are ready."""
TIMER_SECONDS_MAX = 60.0
"""The wall clock is looked at again after so long, since it may be set."""
RETRY_SECONDS = 1.0
"""Pause after a start that the store could not write."""


def _nothing(_: object) -> None:
    pass


def lost(what: str) -> LostLease:
    return LostLease(
        f"{what} no longer belongs to this process", hint="drop the work; its owner repeats it"
    )


class ScheduledJournal(ABC, Generic[B]):
    """Everything of the port but the reading methods. An async context manager."""

    def __init__(
        self, *, limits: Limits, clock: Clock, crash_reply: rules.CrashReply | None = None
    ) -> None:
        """`crash_reply` words the reply to a message whose turns ended with the process too often;
        it may be called in another thread. None: the dead letter is silent."""
        self._limits = limits
        self._clock = clock
        self._crash_reply = crash_reply
        self._epoch = 0
        self._owner = False
        self._closing = False
        self._mailbox: Lanes[Inbound] = Lanes(self._came_first)
        self._control: Lanes[Inbound] = Lanes()
        self._outbox: Lanes[OutboxRow] = Lanes()
        self._due: list[tuple[float, int, Inbound]] = []
        self._running: dict[int, Inbound] = {}
        self._offered: deque[tuple[Inbound, Turn]] = deque()
        self._sending: dict[int, OutboxRow] = {}
        self._alone: Inbound | None = None
        self._starting: dict[int, Inbound] = {}
        self._accepting = 0
        self._turn_ready = asyncio.Event()
        self._delivery_ready = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = 0.0
        self._owning: asyncio.Task[None] | None = None
        self._round_trips: int = 0

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
    ) -> None:
        """Apply `run` to the store, in order; then call `done` or `failed` on the loop.

        `durable`: only when it is on the disk. `fenced`: refuse with LostLease unless this
        process still owns the journal.
        """

    @abstractmethod
    def _post_lazily(self, run: Callable[[B], None]) -> None:
        """Apply `run` with the next write, within 50 ms; nobody waits for it."""

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
    ) -> R:
        """One round trip. What follows happens even when the caller is cancelled meanwhile."""
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
        self._post(run, succeed, give_up, durable=durable, fenced=fenced)
        return await future

    # Accepting.

    async def accept(
        self,
        message: InboundMessage,
        session_key: str,
        *,
        lane: Lane = Lane.MAILBOX,
        not_before: float | None = None,
        audit: Sequence[AuditEntry] = (),
    ) -> Receipt:
        if self._closing:
            raise Overloaded("the engine is stopping; nothing was accepted", hint="try again")
        backlog_max = self._limits.backlog_messages_max
        if self._owner and self._backlog() + self._accepting >= backlog_max:
            raise rules.full_backlog(backlog_max)
        row = Inbound(
            id=new_id("m"),
            message=message,
            session_key=session_key,
            lane=lane,
            due=not_before or 0.0,
        )
        counted = None if self._owner else backlog_max
        run = partial(rules.accept, row=row, audit=audit, backlog_max=counted)
        self._accepting += 1

        def accepted(receipt: Receipt) -> None:
            self._accepting -= 1
            if not receipt.duplicate:
                self._take_in(row)

        def refused(_: Exception) -> None:
            self._accepting -= 1

        return await self._call(run, durable=True, done=accepted, failed=refused, fenced=False)

    def _backlog(self) -> int:
        return len(self._mailbox) + len(self._control) + len(self._due) + len(self._running)

    def _take_in(self, row: Inbound) -> None:
        """An accepted row takes its place; a no-op unless this process is the owner."""
        if not self._owner:
            return
        row.queued_at = self._clock.monotonic()
        self._enqueue(row)

    def _enqueue(self, row: Inbound) -> None:
        now = self._clock.time()
        if row.due > now and not row.attempts:
            heapq.heappush(self._due, (row.due, row.seq, row))
            self._arm()
            return
        lanes = self._control if row.lane is Lane.CONTROL else self._mailbox
        first = lanes.push(row.session_key, row)
        if first:
            self._came_first(row)
        if first and row.due > now:  # it failed before: its session waits for it
            lanes.hold(row.session_key, row.due)
            self._arm()
        self._turn_ready.set()

    def _came_first(self, row: Inbound) -> None:
        if row.queued_at is not None and row.blocked_seconds is None:
            row.blocked_seconds = self._clock.monotonic() - row.queued_at

    # Turns.

    async def turns(self) -> AsyncIterator[Turn]:
        self._want_ownership()
        while not self._closing:
            if self._offered:
                yield self._offered.popleft()[1]
                continue
            self._turn_ready.clear()
            if self._owner and not self._starting:
                self._start_ready()
            if not self._offered:
                await self._turn_ready.wait()
        self._turn_ready.set()  # other readers end too

    def _start_ready(self) -> None:
        """Start what may start, many in one go."""
        while len(self._starting) < LOOK_AHEAD:
            row = self._pick()
            if row is None:
                return
            self._starting[row.seq] = self._running[row.seq] = row
            self._round_trips += 1
            counted, row.counted = row.counted, True
            self._post(
                partial(rules.start, row=row, counted=counted),
                partial(self._started, row),
                partial(self._not_started, row, counted),
                durable=False,
                fenced=True,
            )

    def _pick(self) -> Inbound | None:
        row = self._control.pop()
        if row is not None or self._alone is not None:
            return row
        head = self._mailbox.peek()
        if head is not None and head.crashes >= self._limits.crash_alone_from:
            if self._mailbox.busy:
                return None
            self._alone = head
        return self._mailbox.pop()

    def _started(self, row: Inbound, start: Started) -> None:
        if self._starting.pop(row.seq, None) is not row:  # cancelled or forgotten meanwhile
            self._turn_ready.set()
            return
        if self._closing:
            self._give_back(row)
        else:
            self._offered.append((row, row.turn(start, self._epoch)))
        self._turn_ready.set()

    def _not_started(self, row: Inbound, counted: bool, error: Exception) -> None:
        if self._starting.pop(row.seq, None) is not row:
            return
        row.counted = counted
        del self._running[row.seq]
        log.warning("a turn could not be started: %s", error)
        self._back(row, self._clock.time() + RETRY_SECONDS)

    def _lanes_of(self, row: Inbound) -> Lanes[Inbound]:
        return self._control if row.lane is Lane.CONTROL else self._mailbox

    def _back(self, row: Inbound, not_before: float) -> None:
        """In front of its session again."""
        if self._alone is row:
            self._alone = None
        self._lanes_of(row).again(row.session_key, row, not_before)
        self._arm()
        self._turn_ready.set()

    def _leave(self, row: Inbound) -> None:
        """The row is finished; its session's next one may go."""
        self._running.pop(row.seq, None)
        if self._alone is row:
            self._alone = None
        self._lanes_of(row).done(row.session_key)
        self._turn_ready.set()

    def _hold(self, turn: Turn) -> Inbound:
        """Take the turn out of flight, so that it ends once; `_unhold` puts it back."""
        row = self._running.get(turn.seq)
        if row is None or turn.epoch != self._epoch or not self._owner:
            raise lost(f"turn {turn.id}")
        del self._running[turn.seq]
        return row

    def _unhold(self, row: Inbound, epoch: int, error: Exception) -> None:
        if self._owner and epoch == self._epoch and not isinstance(error, LostLease):
            self._running[row.seq] = row

    async def checkpoint(self, turn: Turn, state: Json) -> None:
        row = self._running.get(turn.seq)
        if row is None or turn.epoch != self._epoch or not self._owner:
            raise lost(f"turn {turn.id}")

        def save(book: Book) -> None:
            book.save_checkpoint(row, state)

        def saved(_: None) -> None:
            row.checkpoint = state

        await self._call(save, durable=True, done=saved)

    async def commit(self, turn: Turn, outcome: Outcome) -> int:
        row = self._hold(turn)
        epoch = self._epoch
        unseen, waiting = self._withdraw(row, outcome)
        run = partial(
            rules.commit,
            row=row,
            outcome=outcome,
            resumed=turn.suspended,
            cancelled=unseen + waiting,
        )

        def committed(result: Committed) -> None:
            if epoch != self._epoch or not self._owner:
                return
            self._leave(row)
            for other in unseen:
                self._leave(other)
            self._send(result.outbox)
            for new in result.inbound:
                self._take_in(new)

        def refused(error: Exception) -> None:
            if epoch != self._epoch or not self._owner:
                return
            self._unhold(row, epoch, error)
            for other in unseen:
                self._back(other, 0.0)
            for other in waiting:
                self._enqueue(other)

        return (await self._call(run, durable=True, done=committed, failed=refused)).last_event

    def _withdraw(self, row: Inbound, outcome: Outcome) -> tuple[list[Inbound], list[Inbound]]:
        """The rows that `/stop` cancels, so that `turns` never yields them: those started that
        nobody has seen yet, whose lane stays busy until the commit, and those that wait."""
        whose = outcome.cancel_queued_of
        if whose is None:
            return [], []

        def meant(other: Inbound) -> bool:
            sender = other.message.sender
            theirs = whose[2] == "*" or whose == (sender.tenant, sender.platform, sender.user_id)
            return other.seq < row.seq and theirs

        offered = [other for other, _ in self._offered]
        unseen = [
            other
            for other in (*offered, *self._starting.values())
            if other.session_key == row.session_key and other.lane is Lane.MAILBOX and meant(other)
        ]
        for other in unseen:
            del self._running[other.seq]
            self._starting.pop(other.seq, None)
        self._offered = deque(pair for pair in self._offered if pair[0] not in unseen)
        return unseen, self._mailbox.take(row.session_key, meant)

    async def fail(
        self, turn: Turn, error: str, *, reply: Reply | None = None, trace: Sequence[Json] = ()
    ) -> FailVerdict:
        row = self._hold(turn)
        epoch = self._epoch

        def decided(result: Failed) -> None:
            if epoch != self._epoch or not self._owner:
                return
            if result.dead:
                self._leave(row)
                self._send(result.outbox)
                return
            row.attempts = result.attempts
            row.first_error_at = result.first_error_at
            row.due = result.retry_at
            self._back(row, result.retry_at)

        result = await self._call(
            partial(rules.fail, row=row, error=error, reply=reply, trace=trace),
            durable=True,
            done=decided,
            failed=partial(self._unhold, row, epoch),
        )
        return FailVerdict(dead=result.dead, retry_at=result.retry_at, attempt=result.attempts)

    async def release(self, turn: Turn) -> None:
        row = self._hold(turn)
        self._running[row.seq] = row
        await self._released(row)

    async def _released(self, row: Inbound) -> None:
        del self._running[row.seq]
        epoch = self._epoch

        def released(_: None) -> None:
            if epoch == self._epoch and self._owner:
                self._back(row, 0.0)

        await self._call(
            partial(rules.release, row=row),
            durable=False,
            done=released,
            failed=partial(self._unhold, row, epoch),
        )

    def _give_back(self, row: Inbound) -> None:
        """Release a turn that nobody has seen yet; nobody waits for it."""
        self._running.pop(row.seq, None)
        self._post(
            partial(rules.release, row=row),
            lambda _: self._back(row, 0.0),
            lambda error: log.warning("a turn could not be released: %s", error),
            durable=False,
            fenced=True,
        )

    # Deliveries.

    def _send(self, rows: Sequence[OutboxRow]) -> None:
        for row in rows:
            self._outbox.push(row.session_key, row)
        if rows:
            self._delivery_ready.set()

    async def deliveries(self) -> AsyncIterator[Delivery]:
        self._want_ownership()
        while not self._closing:
            row = self._outbox.pop()
            if row is not None:
                self._sending[row.seq] = row
                yield row.delivery(self._epoch)
                continue
            self._delivery_ready.clear()
            await self._delivery_ready.wait()
        self._delivery_ready.set()

    def _sent(self, delivery: Delivery) -> OutboxRow:
        row = self._sending.get(delivery.seq)
        if row is None or delivery.epoch != self._epoch or not self._owner:
            raise lost(f"delivery {delivery.id}")
        del self._sending[delivery.seq]
        return row

    async def delivered(self, delivery: Delivery, *, trace: Sequence[Json] = ()) -> None:
        row = self._sent(delivery)
        self._round_trips += 1
        self._post_lazily(partial(rules.delivered, row=row, trace=trace))
        self._next_delivery(row)

    def _next_delivery(self, row: OutboxRow) -> None:
        self._outbox.done(row.session_key)
        self._delivery_ready.set()

    def _unsent(self, row: OutboxRow, epoch: int, error: Exception) -> None:
        if self._owner and epoch == self._epoch and not isinstance(error, LostLease):
            self._sending[row.seq] = row

    async def retry(self, delivery: Delivery, error: str, not_before: float) -> None:
        row = self._sent(delivery)
        epoch = self._epoch

        def postponed(again: bool) -> None:
            if epoch != self._epoch or not self._owner:
                return
            if not again:
                self._next_delivery(row)
                return
            row.attempt += 1
            row.due = not_before
            self._outbox.again(row.session_key, row, not_before)
            self._arm()

        await self._call(
            partial(rules.retry, row=row, error=error, not_before=not_before),
            durable=True,
            done=postponed,
            failed=partial(self._unsent, row, epoch),
        )

    async def undeliverable(self, delivery: Delivery, error: str) -> None:
        row = self._sent(delivery)
        epoch = self._epoch

        def buried(_: None) -> None:
            if epoch == self._epoch and self._owner:
                self._next_delivery(row)

        await self._call(
            partial(rules.undeliverable, row=row, error=error),
            durable=True,
            done=buried,
            failed=partial(self._unsent, row, epoch),
        )

    # Ownership and time.

    def _want_ownership(self) -> None:
        if self._owning is None and not self._closing:
            self._owning = self._spawn(self._own())

    def _recovered(self, found: Recovered) -> None:
        """This process is the owner from now on, and this is all that waits."""
        self._forget()
        self._epoch = found.epoch
        self._owner = True
        for row in found.inbound:
            self._enqueue(row)
        for row in found.outbox:
            self._requeue(row)
        self._turn_ready.set()
        self._delivery_ready.set()

    def _requeue(self, row: OutboxRow) -> None:
        first = self._outbox.push(row.session_key, row)
        if first and row.due > self._clock.time():
            self._outbox.hold(row.session_key, row.due)
            self._arm()
        self._delivery_ready.set()

    def _forget(self) -> None:
        """Nothing is in flight here any more."""
        self._owner = False
        for lanes in (self._mailbox, self._control, self._outbox):
            lanes.clear()
        self._due.clear()
        self._running.clear()
        self._offered.clear()
        self._starting.clear()
        self._sending.clear()
        self._alone = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _next_due(self) -> float | None:
        times = [self._due[0][0]] if self._due else []
        for lanes in (self._mailbox, self._control, self._outbox):
            at = lanes.next_due()
            if at is not None:
                times.append(at)
        return min(times, default=None)

    def _arm(self) -> None:
        """See to it that a timer ends at the next due time."""
        at = self._next_due()
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
        self._promote()
        self._arm()

    def _promote(self) -> None:
        now = self._clock.time()
        while self._due and self._due[0][0] <= now:
            _, _, row = heapq.heappop(self._due)
            self._enqueue(row)
        for lanes in (self._mailbox, self._control, self._outbox):
            lanes.promote(now)
        self._turn_ready.set()
        self._delivery_ready.set()

    # The end.

    async def drain(self) -> None:
        """Stop offering; `accept` refuses. What is in flight can still be ended."""
        if self._closing:
            return
        self._closing = True
        while self._offered:
            self._give_back(self._offered.popleft()[0])
        self._turn_ready.set()
        self._delivery_ready.set()

    async def _stop(self) -> None:
        """Drain, give back what nobody ended, and end the journal's own tasks."""
        await self.drain()
        if self._owner:
            for row in list(self._running.values()):
                try:
                    await self._released(row)
                except EngineError as error:
                    log.warning("a turn could not be released: %s", error)
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
