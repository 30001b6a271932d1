"""The embedded journal: one SQLite file, one writer thread, one owning process at a time."""

import asyncio
import contextlib
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from ai_engine.domain.clock import Clock, SystemClock
from ai_engine.domain.errors import EngineError
from ai_engine.domain.message import Json
from ai_engine.domain.reply import Reply
from ai_engine.domain.session import Session, SessionEvent
from ai_engine.journal import rules
from ai_engine.journal.base import DeadLetter, Limits, Stats
from ai_engine.journal.rows import Inbound, OutboxRow
from ai_engine.journal.scheduled import ScheduledJournal
from ai_engine.journal.sqlite_book import SqliteBook
from ai_engine.journal.sqlite_housekeeping import Housekeeper
from ai_engine.journal.sqlite_reads import Reader
from ai_engine.journal.sqlite_schema import open_reader, open_writer
from ai_engine.journal.sqlite_writer import Foreign, Operation, Writer

R = TypeVar("R")
log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.2
"""How often the owner looks for what other processes accepted, and a standby for the lock."""
HOUSEKEEPING_SECONDS: Final = 60.0


def _ignore(_: object) -> None:
    pass


class SqliteJournal(ScheduledJournal[SqliteBook]):
    """See `Journal`. An async context manager; several processes may open the same file, and the
    one that holds the lock file takes the turns and deliveries from the first call of `turns` or
    `deliveries` on. Without these calls nothing is ever owned, so a command may read and `replay`
    beside a running engine or without one.

    Raises EngineError on entering: the file cannot be opened, or a newer program wrote it.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits | None = None,
        clock: Clock | None = None,
        *,
        crash_reply: rules.CrashReply | None = None,
    ) -> None:
        super().__init__(
            limits=limits or Limits(), clock=clock or SystemClock(), crash_reply=crash_reply
        )
        self._path = path
        self._lock_fd: int | None = None
        self._writer: Writer
        self._reader: Reader
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="journal-read")
        self._housekeeper = Housekeeper()
        self._open = False

    async def __aenter__(self) -> Self:
        connection, self._reader = await asyncio.to_thread(self._open_file)
        self._writer = Writer(
            connection,
            self._path,
            self._limits,
            self._clock,
            asyncio.get_running_loop(),
            self._foreign,
            self._lost,
        )
        self._writer.start()
        self._open = True
        return self

    def _open_file(self) -> tuple[sqlite3.Connection, Reader]:
        connection = open_writer(self._path)
        return connection, Reader(open_reader(self._path), self._limits)

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._stop()
        finally:
            self._open = False
            self._writer.stop()
            await asyncio.to_thread(self._writer.join)
            await asyncio.to_thread(self._reading.shutdown)
            self._reader.close()
            self._unlock()

    # Writing.

    def _post(
        self,
        run: Callable[[SqliteBook], R],
        done: Callable[[R], None],
        failed: Callable[[Exception], None],
        *,
        durable: bool,
        fenced: bool,
        expects: Inbound | None = None,
    ) -> None:
        if not self._open:
            failed(_closed())
            return
        self._writer.submit(
            Operation(
                run=run, done=done, failed=failed, durable=durable, fenced=fenced, expects=expects
            )
        )

    def _post_lazily(self, run: Callable[[SqliteBook], None], *, fenced: bool = True) -> None:
        self._writer.submit(
            Operation(run=run, done=_ignore, failed=_ignore, fenced=fenced, lazy=True)
        )

    # Owning.

    async def _own(self) -> None:
        while True:
            try:
                await self._take_lock()
                await self._take_over()
                await self._stay()
            except (OSError, EngineError) as error:
                log.error("the journal cannot be owned yet: %s", error)
                self._unlock()
            await self._clock.sleep(POLL_SECONDS)

    async def _take_lock(self) -> None:
        """Hold the lock file; a killed process's lock is free at once."""
        if self._lock_fd is not None:
            return
        path = self._path.with_name(self._path.name + ".lock")
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._lock_fd = fd
                    return
                await self._clock.sleep(POLL_SECONDS)
        finally:
            if self._lock_fd is None:
                os.close(fd)

    async def _take_over(self) -> None:
        def recover(book: SqliteBook, row: Inbound) -> tuple[OutboxRow, ...] | None:
            return rules.recover(book, row, self._crash_reply)

        await self._call(
            self._writer.take_over(recover), durable=True, done=self._recovered, fenced=False
        )

    async def _stay(self) -> None:
        """Look for what others accepted; keep house. Ends when another process took over."""
        kept_at = self._clock.time()
        while self._owner:
            await self._clock.sleep(POLL_SECONDS)
            self._writer.submit(Operation(run=None, done=_ignore, failed=_ignore))
            if self._clock.time() - kept_at >= HOUSEKEEPING_SECONDS:
                kept_at = self._clock.time()
                await self._keep_house()
        self._unlock()

    async def _keep_house(self) -> None:
        while await self._call(self._housekeeper.round, durable=False):
            await self._clock.sleep(POLL_SECONDS)

    def _foreign(self, found: Foreign) -> None:
        for row in (*found.inbound, *found.outbox):
            self._take_in(row)

    def _lost(self) -> None:
        log.warning("another process has taken the journal over; this one stands by")
        self._disowned()

    def _unlock(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    # Reading.

    async def _read(self, query: Callable[..., R], *arguments: Any) -> R:
        loop = asyncio.get_running_loop()
        if not self._open:
            raise _closed()
        try:
            return await loop.run_in_executor(self._reading, partial(query, *arguments))
        except sqlite3.Error as error:
            raise EngineError(
                f"the journal {self._path} could not be read: {error}",
                hint="check the disk and the file",
            ) from error

    async def session(self, session_id: str) -> Session | None:
        return await self._read(self._reader.session, "id", session_id, self._clock.time())

    async def session_by_key(self, key: str) -> Session | None:
        return await self._read(self._reader.session, "key", key, self._clock.time())

    async def sessions(self, limit: int = 100) -> list[Session]:
        return await self._read(self._reader.sessions, limit, self._clock.time())

    async def events(self, session_key: str, after: int, limit: int = 500) -> list[SessionEvent]:
        now = self._clock.time()
        return await self._read(self._reader.events, session_key, after, limit, now)

    async def trace(self, message_id: str, channel: str = "") -> Json | None:
        await self._written()
        return await self._read(self._reader.trace, message_id, channel)

    async def stored_replies(self, channel: str, message_id: str) -> list[Reply] | None:
        return await self._read(self._reader.stored_replies, channel, message_id)

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        return await self._read(self._reader.dead_letters, limit)

    async def _stored_note(self, channel: str, key: str, since: float) -> str | None:
        return await self._read(self._reader.note, channel, key, since)

    async def replay(self, dead_letter_id: str) -> bool:
        def replayed(row: Inbound | OutboxRow | None) -> None:
            if row is not None:
                self._take_in(row)

        run = partial(rules.replay, dead_letter_id=dead_letter_id)
        return await self._call(run, durable=True, done=replayed, fenced=False) is not None

    async def stats(self) -> Stats:
        await self._written()
        counts = await self._read(self._reader.counts, self._clock.time())
        return Stats(
            owner=self._owner,
            round_trips=self._round_trips,
            syncs=self._writer.syncs,
            **counts,
        )

    async def _written(self) -> None:
        """Until the soft and lazy operations that were handed in before are written; reading goes
        on with what is there when the disk refuses."""
        with contextlib.suppress(EngineError):
            await self._call(_ignore, durable=False, fenced=False)


def _closed() -> EngineError:
    return EngineError("the journal is closed", hint="nothing was changed")
