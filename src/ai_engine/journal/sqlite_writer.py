"""The one thread that writes the SQLite journal: many operations, one transaction, one fsync.

Durable operations share an fsync and may linger a little for company when many arrive; soft ones
never wait for that (their transaction is committed without an fsync: it survives the process, and
the next fsync covers it); lazy ones ride with the next transaction or go after 50 ms.
"""
# ruff: noqa: S608 - only constants of this package are put into the SQL text; values are bound

import asyncio
import logging
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import EngineError, LostLease, Overloaded
from ai_engine.journal.base import Limits
from ai_engine.journal.rows import Inbound, OutboxRow, Recovered
from ai_engine.journal.sqlite_book import SESSIONS_KEPT, SqliteBook
from ai_engine.journal.sqlite_prefetch import Seen
from ai_engine.journal.sqlite_rows import INBOUND_COLUMNS, OUTBOX_COLUMNS, inbound_of, outbox_of

log = logging.getLogger(__name__)

BATCH_MAX: Final = 512
LAZY_SECONDS: Final = 0.05
LAZY_RETRY_SECONDS: Final = 1.0
LAZY_MAX: Final = 10_000
"""Lazy operations kept while the disk refuses; a lost `delivered` repeats a delivery at worst."""
SYNC_SECONDS: Final = 1 / 55
"""The least time between two fsyncs under load."""
QUIET_RATE: Final = 100.0
BUSY_RATE: Final = 450.0
"""Durable operations a second from which the linger begins, and at which it is whole."""
RATE_SECONDS: Final = 0.25
"""Time constant of the measured rate."""


@dataclass(slots=True, kw_only=True, eq=False)
class Operation:
    """One change, and whom to tell."""

    run: Callable[[SqliteBook], Any] | None
    """None: only look whether other processes have accepted something."""
    done: Callable[[Any], None]
    failed: Callable[[Exception], None]
    durable: bool = False
    fenced: bool = False
    lazy: bool = False
    expects: Inbound | None = None
    """The message that `run` accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """What other processes have added since the last look."""

    inbound: tuple[Inbound, ...]
    outbox: tuple[OutboxRow, ...]


class Linger:
    """How long a durable batch waits for company: nothing at a low rate, at a high one so long
    that there are at most about 60 fsyncs a second."""

    def __init__(self) -> None:
        self._heat = 0.0
        self._at = 0.0
        self._last_sync = 0.0

    def arrived(self, now: float) -> None:
        self._heat = self._heat * math.exp((self._at - now) / RATE_SECONDS) + 1
        self._at = now

    def synced(self, now: float) -> None:
        self._last_sync = now

    def until(self) -> float:
        """The monotonic time at which the next fsync may begin."""
        rate = self._heat / RATE_SECONDS
        share = min(1.0, max(0.0, (rate - QUIET_RATE) / (BUSY_RATE - QUIET_RATE)))
        return self._last_sync + SYNC_SECONDS * share


class Writer(threading.Thread):
    """Owns the writing connection. `submit` from the loop; results come back on the loop."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        limits: Limits,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        on_foreign: Callable[[Foreign], None],
        on_lost: Callable[[], None],
    ) -> None:
        super().__init__(name=f"journal:{path.name}", daemon=True)
        self.syncs = 0
        self._db = connection
        self._limits = limits
        self._clock = clock
        self._loop = loop
        self._on_foreign = on_foreign
        self._on_lost = on_lost
        self._arrivals: SimpleQueue[Operation | None] = SimpleQueue()
        self._pending: list[Operation] = []
        self._lazy: list[Operation] = []
        self._lazy_at = 0.0
        self._soft = False
        self._durable = False
        self._linger = Linger()
        self._seen = Seen()
        self._seen_version = -1
        self._level = ""
        self._epoch: int | None = None
        self._next_epoch: int | None = None
        self._ending = False
        self._killed = False

    # From the loop's thread.

    def submit(self, operation: Operation) -> None:
        self._arrivals.put(operation)

    def stop(self) -> None:
        """Write what was submitted, then end."""
        self._arrivals.put(None)

    def kill(self) -> None:
        """End without writing another byte, as a killed process would. For tests."""
        self._killed = True
        self._arrivals.put(None)

    # The thread.

    def run(self) -> None:
        try:
            while not self._killed:
                batch = self._gather()
                if batch and not self._killed:
                    self._apply(batch)
                if self._ending and not self._pending and not self._lazy:
                    break
        finally:
            self._db.close()

    def _gather(self) -> list[Operation]:
        """The next batch; empty when there is nothing more before the end."""
        while True:
            self._take_arrivals()
            now = time.monotonic()
            wait = self._due_in(now)
            if wait is not None and wait <= 0:
                return self._batch(now)
            try:
                self._arrived(self._arrivals.get(timeout=wait))
            except Empty:
                continue

    def _take_arrivals(self) -> None:
        while len(self._pending) < BATCH_MAX and not self._arrivals.empty():
            self._arrived(self._arrivals.get_nowait())

    def _arrived(self, operation: Operation | None) -> None:
        if operation is None:
            self._ending = True
        elif operation.lazy:
            if not self._lazy:
                self._lazy_at = time.monotonic() + LAZY_SECONDS
            self._lazy.append(operation)
        else:
            if operation.durable:
                self._durable = True
                self._linger.arrived(time.monotonic())
            else:
                self._soft = True
            self._pending.append(operation)

    def _due_in(self, now: float) -> float | None:
        """Seconds until something must be written; None: nothing waits."""
        if self._soft or self._ending:
            return 0.0
        times = [self._linger.until()] if self._durable else []
        if self._lazy:
            times.append(self._lazy_at)
        return min(times) - now if times else None

    def _batch(self, now: float) -> list[Operation]:
        """All that waits, or all but the durable operations when these may still linger."""
        if self._durable and not self._ending and self._linger.until() > now:
            batch = [operation for operation in self._pending if not operation.durable]
            self._pending = [operation for operation in self._pending if operation.durable]
        else:
            batch, self._pending, self._durable = self._pending, [], False
        self._soft = False
        batch += self._lazy
        self._lazy = []
        return batch

    def _apply(self, batch: list[Operation]) -> None:
        """Write the batch; each operation's failure is its own."""
        if all(operation.run is None for operation in batch) and not self._changed():
            return
        try:
            results = self._transaction(batch)
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError) and len(batch) > 1:
                self._one_by_one(batch)
                return
            results = self._refused(batch, error)
        except Exception as error:  # an operation of its own making: its caller is told
            if len(batch) > 1:
                self._one_by_one(batch)
                return
            log.exception("an operation of the journal failed")
            results = [(batch[0].failed, error)]
        self._tell(results)

    def _one_by_one(self, batch: list[Operation]) -> None:
        for operation in batch:
            self._apply([operation])

    def _changed(self) -> bool:
        return self._db.execute("PRAGMA data_version").fetchone()[0] != self._seen_version

    def _transaction(self, batch: list[Operation]) -> list[tuple[Callable[[Any], None], Any]]:
        durable = any(operation.durable for operation in batch)
        level = "FULL" if durable else "NORMAL"
        if level != self._level:
            self._db.execute(f"PRAGMA synchronous={level}")
            self._level = level
        self._db.execute("BEGIN IMMEDIATE")
        if durable:
            self._linger.synced(time.monotonic())
        before = self._seen.inbound, self._seen.outbox
        try:
            told = self._catch_up()
            book = SqliteBook(self._db, self._limits, self._clock.time(), self._seen)
            book.expect([o.expects for o in batch if o.expects is not None])
            results = told + [self._run(operation, book) for operation in batch]
            book.flush()
            self._db.execute("COMMIT")
        except BaseException:
            self._seen.inbound, self._seen.outbox = before
            self._seen.sessions.clear()
            self._next_epoch = None
            self._seen_version = -1  # look again: what was caught up was not told
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        if durable:
            self.syncs += 1
        if len(self._seen.sessions) > SESSIONS_KEPT:
            self._seen.sessions.clear()
        if self._next_epoch is not None:
            self._epoch, self._next_epoch = self._next_epoch, None
        return results

    def _run(self, operation: Operation, book: SqliteBook) -> tuple[Callable[[Any], None], Any]:
        if operation.run is None:
            return operation.done, None
        if operation.fenced and self._epoch is None:
            return operation.failed, LostLease(
                "another process owns the journal now", hint="drop the work; its owner repeats it"
            )
        try:
            return operation.done, operation.run(book)
        except EngineError as error:
            return operation.failed, error

    def _refused(
        self, batch: list[Operation], error: sqlite3.Error
    ) -> list[tuple[Callable[[Any], None], Any]]:
        """The disk or the file refuses: nothing of the batch was written."""
        log.error("the journal could not be written: %s", error)
        text = f"the journal could not be written: {error}"
        hint = "check the disk's free space and the data directory"
        results: list[tuple[Callable[[Any], None], Any]] = []
        for operation in batch:
            if operation.lazy:
                self._lazy.append(operation)
            elif operation.durable and not operation.fenced:
                results.append((operation.failed, Overloaded(text, hint=hint)))
            else:
                results.append((operation.failed, EngineError(text, hint=hint)))
        if self._ending:
            self._lazy.clear()
        del self._lazy[:-LAZY_MAX]
        self._lazy_at = time.monotonic() + LAZY_RETRY_SECONDS
        return results

    def _tell(self, results: Sequence[tuple[Callable[[Any], None], Any]]) -> None:
        try:
            self._loop.call_soon_threadsafe(_call_all, results)
        except RuntimeError:  # the loop was closed without closing the journal
            log.warning("the journal's loop is closed; %d results are lost", len(results))

    # Other processes.

    def _catch_up(self) -> list[tuple[Callable[[Any], None], Any]]:
        """Inside the transaction: what other processes have written since the last one."""
        version = self._db.execute("PRAGMA data_version").fetchone()[0]
        if version == self._seen_version:
            return []
        told: list[tuple[Callable[[Any], None], Any]] = []
        if self._epoch is not None:
            epoch = self._db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0]
            if epoch != self._epoch:
                self._epoch = None
                told.append((lambda _: self._on_lost(), None))
            else:
                foreign = self._foreign()
                if foreign.inbound or foreign.outbox:
                    told.append((self._on_foreign, foreign))
        numbers = dict(self._db.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        self._seen.inbound = numbers.get("inbound", 0)
        self._seen.outbox = numbers.get("outbox", 0)
        self._seen.sessions.clear()
        self._seen_version = version
        return told

    def _foreign(self) -> Foreign:
        inbound = self._db.execute(
            f"SELECT {INBOUND_COLUMNS} FROM inbound WHERE seq > ? AND state = 0 ORDER BY seq",
            (self._seen.inbound,),
        ).fetchall()
        outbox = self._db.execute(
            f"SELECT {OUTBOX_COLUMNS} FROM outbox WHERE seq > ? AND state = 0 ORDER BY seq",
            (self._seen.outbox,),
        ).fetchall()
        return Foreign(
            inbound=tuple(inbound_of(row) for row in inbound),
            outbox=tuple(outbox_of(row) for row in outbox),
        )

    def take_over(
        self, recover: Callable[[SqliteBook, Inbound], Sequence[OutboxRow] | None]
    ) -> Callable[[SqliteBook], Recovered]:
        """An operation that makes this process the owner: the next epoch, and all open work.
        `recover` decides about a row: None keeps it, else it is dead."""

        def run(book: SqliteBook) -> Recovered:
            db = book.db
            book.flush()
            epoch: int = db.execute(
                "UPDATE meta SET value = value + 1 WHERE key = 'epoch' RETURNING value"
            ).fetchone()[0]
            rows = db.execute(
                f"SELECT {INBOUND_COLUMNS} FROM inbound WHERE state < 2 ORDER BY seq"
            ).fetchall()
            waiting = [row for row in map(inbound_of, rows) if recover(book, row) is None]
            book.flush()
            outbox = db.execute(
                f"SELECT {OUTBOX_COLUMNS} FROM outbox WHERE state = 0 ORDER BY seq"
            ).fetchall()
            self._next_epoch = epoch
            return Recovered(
                inbound=tuple(waiting), outbox=tuple(map(outbox_of, outbox)), epoch=epoch
            )

        return run


def _call_all(results: Sequence[tuple[Callable[[Any], None], Any]]) -> None:
    """On the loop: tell every caller, in the order of the operations."""
    for tell, value in results:
        try:
            tell(value)
        except Exception:  # the others must be told all the same
            log.exception("a result of the journal could not be taken in")
