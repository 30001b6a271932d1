"""The road of the port, on any store: `accept` to `undeliverable`.

Each call applies one of the rules to the store and then moves rows between the queues, which live
in memory and are rebuilt from the store by each new owner.
"""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from ai_engine.domain.errors import EngineError, LostLease, Overloaded
from ai_engine.domain.ids import new_id
from ai_engine.domain.message import InboundMessage, Json, Lane
from ai_engine.domain.reply import Reply
from ai_engine.journal import rules
from ai_engine.journal.base import (
    AuditEntry,
    Delivery,
    FailVerdict,
    Outcome,
    Receipt,
    Turn,
)
from ai_engine.journal.book import Book
from ai_engine.journal.notes import NotingJournal
from ai_engine.journal.ownership import B
from ai_engine.journal.refusals import full_outbox
from ai_engine.journal.rows import Committed, Failed, Inbound, OutboxRow, Started

log = logging.getLogger(__name__)

LOOK_AHEAD = 16
"""Turns started in one round trip when many are ready."""
RETRY_SECONDS = 1.0
"""Pause after a start that the store could not write."""


class ScheduledJournal(NotingJournal[B]):
    """Everything of the port but the reading methods. An engine adds these, a store (`_post`,
    `_post_lazily`) and the way to become the owner (`_own`)."""

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
        if lane is Lane.CONTROL:
            backlog_max *= 2  # what is to stop the work must not wait for the work to be done
        full = self._queues.backlog + self._accepting >= backlog_max
        if self._queues.replies >= self._limits.outbox_replies_max:
            raise full_outbox(self._limits.outbox_replies_max)
        row = Inbound(
            id=new_id("m"),
            message=message,
            session_key=session_key,
            lane=lane,
            due=not_before or 0.0,
        )
        if lane is Lane.MAILBOX and not row.due and self._owner and not full:
            receipt = await self._accept_and_start(row, audit)
            if receipt is not None:
                return receipt
        # When there is no room, the store is asked all the same: a duplicate needs none.
        counted = None if self._owner and not full else backlog_max
        run = partial(rules.accept, row=row, audit=audit, backlog_max=counted)
        self._accepting += 1

        def accepted(receipt: Receipt) -> None:
            self._accepting -= 1
            if not receipt.duplicate:
                self._take_in(row)

        def refused(_: Exception) -> None:
            self._accepting -= 1

        return await self._call(
            run, durable=True, done=accepted, failed=refused, fenced=False, expects=row
        )

    async def _accept_and_start(self, row: Inbound, audit: Sequence[AuditEntry]) -> Receipt | None:
        """For an idle session, one round trip instead of two; None when it is not idle."""
        queues = self._queues
        if not queues.reserve(row.session_key):
            return None

        def accepted(result: tuple[Receipt, Started | None]) -> None:
            receipt, start = result
            if start is None:
                queues.free(row.session_key)
                if not receipt.duplicate:
                    self._take_in(row)
                return
            row.queued_at, row.blocked_seconds = self._clock.monotonic(), 0.0
            queues.offer(row, row.turn(start, self._epoch))
            if self._closing:
                queues.offered.pop()
                self._give_back(row)

        def refused(_: Exception) -> None:
            queues.free(row.session_key)

        try:
            receipt, _ = await self._call(
                partial(rules.accept_and_start, row=row, audit=audit),
                durable=True,
                done=self._as_owner(accepted),
                failed=self._as_owner(refused),
                expects=row,
            )
        except LostLease:
            return None  # the new owner starts it
        except Overloaded:
            raise
        except EngineError as error:
            raise Overloaded(error.message, hint=error.hint) from error
        return receipt

    def _take_in(self, row: Inbound | OutboxRow) -> None:
        """A new row takes its place; a no-op unless this process is the owner."""
        if not self._owner:
            return
        if isinstance(row, Inbound):
            row.queued_at = self._clock.monotonic()
            self._queues.add(row)
        else:
            self._queues.send((row,))
        self._arm()

    # Turns.

    async def turns(self, lane: Lane | None = None) -> AsyncIterator[Turn]:
        queues = self._queues
        self._want_ownership()
        while not self._closing:
            turn = queues.take_offered(lane)
            if turn is not None:
                yield turn
                continue
            queues.turn_ready.clear()
            if self._owner and not queues.starting:
                self._start_ready(lane)
            if not queues.offers(lane):
                await self._turn_ready(lane)
        queues.turn_ready.set()  # other readers end too

    async def _turn_ready(self, lane: Lane | None) -> None:
        """Until somebody should look again."""
        mailbox = lane is not Lane.CONTROL
        self._queues.readers += mailbox
        try:
            await self._queues.turn_ready.wait()
        finally:
            self._queues.readers -= mailbox

    def _start_ready(self, lane: Lane | None) -> None:
        """Start what may start, many in one go."""
        queues = self._queues
        for _ in range(LOOK_AHEAD):
            row = queues.pick(lane)
            if row is None:
                return
            queues.starting[row.seq] = queues.running[row.seq] = row
            counted, row.counted = row.counted, True
            self._round_trips += 1
            self._post(
                partial(rules.start, row=row, counted=counted),
                self._as_owner(partial(self._started, row)),
                self._as_owner(partial(self._not_started, row, counted)),
                durable=False,
                fenced=True,
            )

    def _started(self, row: Inbound, start: Started) -> None:
        if self._queues.starting.pop(row.seq, None) is None:
            return  # it was cancelled meanwhile
        if self._closing:
            self._give_back(row)
        else:
            self._queues.offered.append((row, row.turn(start, self._epoch)))
            self._queues.turn_ready.set()

    def _not_started(self, row: Inbound, counted: bool, error: Exception) -> None:
        if self._queues.starting.pop(row.seq, None) is None:
            return
        log.warning("a turn could not be started: %s", error)
        row.counted = counted
        del self._queues.running[row.seq]
        self._back(row, self._clock.time() + RETRY_SECONDS)

    def _running(self, turn: Turn) -> Inbound:
        row = self._queues.running.get(turn.seq)
        if row is None or turn.epoch != self._epoch or not self._owner:
            raise _lost(f"turn {turn.id}")
        return row

    def _end(self, turn: Turn) -> Inbound:
        """Take the turn out of flight, so that it ends once; `_not_ended` undoes it."""
        row = self._running(turn)
        del self._queues.running[row.seq]
        self._queues.ending += 1
        return row

    def _not_ended(self, row: Inbound) -> Callable[[Exception], None]:
        def undo(_: Exception) -> None:
            self._queues.running[row.seq] = row
            self._ended()

        return self._as_owner(undo)

    async def checkpoint(self, turn: Turn, state: Json) -> None:
        row = self._running(turn)

        def save(book: Book) -> None:
            book.save_checkpoint(row, state)

        def saved(_: None) -> None:
            row.checkpoint = state

        await self._call(save, durable=True, done=saved)

    async def commit(self, turn: Turn, outcome: Outcome) -> int:
        row = self._end(turn)
        unseen, waiting = self._queues.withdraw(row, outcome)

        def committed(result: Committed) -> None:
            self._queues.leave(row)
            for other in unseen:
                self._queues.leave(other)
            self._queues.send(result.outbox)
            for new in result.inbound:
                self._take_in(new)
            self._ended()

        def refused(_: Exception) -> None:
            self._queues.running[row.seq] = row
            self._ended()
            for other in unseen:
                self._back(other, 0.0)
            for other in waiting:
                self._queues.add(other)

        run = partial(
            rules.commit,
            row=row,
            outcome=outcome,
            resumed=turn.suspended,
            cancelled=unseen + waiting,
        )
        result = await self._call(
            run, durable=True, done=self._as_owner(committed), failed=self._as_owner(refused)
        )
        return result.last_event

    async def fail(
        self, turn: Turn, error: str, *, reply: Reply | None = None, trace: Sequence[Json] = ()
    ) -> FailVerdict:
        row = self._end(turn)

        def decided(result: Failed) -> None:
            if result.dead:
                self._queues.leave(row)
                self._queues.send(result.outbox)
            else:
                row.attempts = result.attempts
                row.first_error_at = result.first_error_at
                row.due = result.retry_at
                self._back(row, result.retry_at)
            self._ended()

        result = await self._call(
            partial(rules.fail, row=row, error=error, reply=reply, trace=trace),
            durable=True,
            done=self._as_owner(decided),
            failed=self._not_ended(row),
        )
        return FailVerdict(dead=result.dead, retry_at=result.retry_at, attempt=result.attempts)

    async def release(self, turn: Turn) -> None:
        row = self._end(turn)

        def released(_: None) -> None:
            self._back(row, 0.0)
            self._ended()

        await self._call(
            partial(rules.release, row=row),
            durable=False,
            done=self._as_owner(released),
            failed=self._not_ended(row),
        )

    # Deliveries.

    async def deliveries(self) -> AsyncIterator[Delivery]:
        queues = self._queues
        self._want_ownership()
        while True:
            row = queues.next_delivery()
            if row is not None:
                yield row.delivery(self._epoch)
                continue
            if self._closing and not queues.busy:
                break
            queues.delivery_ready.clear()
            await queues.delivery_ready.wait()
        queues.delivery_ready.set()  # other readers end too

    def _sent(self, delivery: Delivery) -> OutboxRow:
        """Take the delivery out of flight, so that it ends once; `_not_sent` undoes it."""
        row = self._queues.sending.get(delivery.seq)
        if row is None or delivery.epoch != self._epoch or not self._owner:
            raise _lost(f"delivery {delivery.id}")
        del self._queues.sending[row.seq]
        self._queues.ending += 1
        return row

    def _not_sent(self, row: OutboxRow) -> Callable[[Exception], None]:
        def undo(_: Exception) -> None:
            self._queues.sending[row.seq] = row
            self._ended()

        return self._as_owner(undo)

    async def delivered(self, delivery: Delivery, *, trace: Sequence[Json] = ()) -> None:
        row = self._sent(delivery)
        self._round_trips += 1
        self._post_lazily(partial(rules.delivered, row=row, trace=trace))
        self._queues.sent(row)
        self._ended()

    async def retry(self, delivery: Delivery, error: str, not_before: float) -> None:
        row = self._sent(delivery)

        def postponed(again: bool) -> None:
            if again:
                row.attempt += 1
                row.due = not_before
                self._queues.postpone(row, not_before)
                self._arm()
            else:
                self._queues.sent(row)
            self._ended()

        await self._call(
            partial(rules.retry, row=row, error=error, not_before=not_before),
            durable=True,
            done=self._as_owner(postponed),
            failed=self._not_sent(row),
        )

    async def undeliverable(self, delivery: Delivery, error: str) -> None:
        row = self._sent(delivery)

        def buried(_: None) -> None:
            self._queues.sent(row)
            self._ended()

        await self._call(
            partial(rules.undeliverable, row=row, error=error),
            durable=True,
            done=self._as_owner(buried),
            failed=self._not_sent(row),
        )


def _lost(what: str) -> LostLease:
    return LostLease(
        f"{what} has ended or belongs to another process", hint="drop the work; its owner has it"
    )
