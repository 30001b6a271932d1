"""The journal in memory: the double for tests and for authors of plugins. Nothing is durable."""

from collections.abc import Callable, Iterator, Sequence
from typing import Self, TypeVar

from ai_engine.domain.clock import Clock, SystemClock
from ai_engine.domain.message import InboundMessage, Json, Lane
from ai_engine.domain.reply import Reply
from ai_engine.domain.session import Session, SessionEvent
from ai_engine.journal import codec, rules
from ai_engine.journal.base import (
    AuditEntry,
    DeadLetter,
    Limits,
    Outcome,
    Receipt,
    Stats,
    Turn,
)
from ai_engine.journal.incarnations import is_expired
from ai_engine.journal.memory_book import MemoryBook
from ai_engine.journal.rows import (
    QUEUED,
    RUNNING,
    WAITING,
    Inbound,
    Recovered,
)
from ai_engine.journal.scheduled import ScheduledJournal
from ai_engine.journal.views import dead_letter_of, trace_of

R = TypeVar("R")
SWEEP_SECONDS = 60.0


class MemoryJournal(ScheduledJournal[MemoryBook]):
    """See `Journal`. One process, nothing on a disk; gone with the object."""

    def __init__(
        self,
        limits: Limits | None = None,
        clock: Clock | None = None,
        *,
        crash_reply: rules.CrashReply | None = None,
    ) -> None:
        limits, clock = limits or Limits(), clock or SystemClock()
        super().__init__(limits=limits, clock=clock, crash_reply=crash_reply)
        self._book = MemoryBook(limits)
        self._book.now = self._swept_at = self._clock.time()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    # As strict as an engine with a disk: what cannot be stored is refused, not kept.

    async def accept(
        self,
        message: InboundMessage,
        session_key: str,
        *,
        lane: Lane = Lane.MAILBOX,
        not_before: float | None = None,
        audit: Sequence[AuditEntry] = (),
    ) -> Receipt:
        codec.encode((message, audit))
        return await super().accept(
            message, session_key, lane=lane, not_before=not_before, audit=audit
        )

    async def checkpoint(self, turn: Turn, state: Json) -> None:
        codec.encode(state)
        await super().checkpoint(turn, state)

    async def commit(self, turn: Turn, outcome: Outcome) -> int:
        codec.encode(outcome)
        return await super().commit(turn, outcome)

    def _post(
        self,
        run: Callable[[MemoryBook], R],
        done: Callable[[R], None],
        failed: Callable[[Exception], None],
        *,
        durable: bool,
        fenced: bool,
        expects: Inbound | None = None,
    ) -> None:
        del durable, fenced, expects  # there is one owner, and no disk
        try:
            result = run(self._opened())
        except Exception as error:  # noqa: BLE001 - handed to the caller, who awaits it
            failed(error)
            return
        done(result)

    def _post_lazily(self, run: Callable[[MemoryBook], None], *, fenced: bool = True) -> None:
        del fenced
        run(self._opened())

    def _opened(self) -> MemoryBook:
        self._book.now = self._clock.time()
        if self._book.now - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = self._book.now
            self._book.sweep()
        return self._book

    async def _own(self) -> None:
        book = self._opened()
        inbound = tuple(row for row in book.inbound.values() if row.state == QUEUED)
        outbox = tuple(row for row in book.outbox.values() if row.state == WAITING)
        self._recovered(Recovered(inbound=inbound, outbox=outbox, epoch=1))

    # Reading.

    async def session(self, session_id: str) -> Session | None:
        return next((s for s in self._live(history=True) if s.id == session_id), None)

    async def sessions(self, limit: int = 100) -> list[Session]:
        live = sorted(self._live(history=False), key=lambda s: s.expire_at, reverse=True)
        return live[:limit]

    async def session_by_key(self, key: str) -> Session | None:
        return next((s for s in self._live(history=True) if s.key == key), None)

    def _live(self, *, history: bool) -> Iterator[Session]:
        book = self._opened()
        for row in book.sessions.values():
            if row.id is not None and not is_expired(book, row):
                entries = book.history(row) if history else ()
                yield row.value(self._limits.session_idle_seconds, book.now, entries)

    async def events(self, session_key: str, after: int, limit: int = 500) -> list[SessionEvent]:
        book = self._opened()
        oldest = book.now - self._limits.event_log_seconds
        log = book.logs.get(session_key, [])
        return [event for event in log if event.n > after and event.at >= oldest][:limit]

    async def trace(self, message_id: str, channel: str = "") -> Json | None:
        book = self._opened()
        for (of, platform_id), known in book.keys.items():
            if channel in ("", of) and message_id in (platform_id, known.id):
                row = book.inbound.get(known.seq)
                return trace_of(book.traces.get(known.seq, []), None if row is None else row.state)
        return None

    async def stored_replies(self, channel: str, message_id: str) -> list[Reply] | None:
        book = self._opened()
        known = book.known(channel, message_id)
        if known is None:
            return None
        row = book.inbound.get(known.seq)
        if row is not None and row.state in (QUEUED, RUNNING):
            return None
        rows = [one for one in book.outbox.values() if one.inbound_seq == known.seq]
        return [one.reply for one in rows if one.channel == channel]

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        newest = sorted(self._opened().dead_rows.values(), key=lambda d: d.at, reverse=True)
        return [dead_letter_of(row) for row in newest[:limit]]

    async def _stored_note(self, channel: str, key: str, since: float) -> str | None:
        found = self._opened().notes.get((channel, key))
        return found[1] if found is not None and found[0] >= since else None

    async def replay(self, dead_letter_id: str) -> bool:
        self._round_trips += 1
        row = rules.replay(self._opened(), dead_letter_id)
        if row is not None:
            self._take_in(row)
        return row is not None

    async def stats(self) -> Stats:
        book = self._opened()
        open_rows = [r for r in book.inbound.values() if r.state in (QUEUED, RUNNING)]
        oldest = min((row.accepted_at for row in open_rows), default=book.now)
        return Stats(
            owner=self._owner,
            backlog=len(open_rows),
            oldest_seconds=book.now - oldest,
            running=len(self._queues.running),
            outbox=sum(row.state == WAITING for row in book.outbox.values()),
            dead_letters=len(book.dead_rows),
            sessions=sum(1 for _ in self._live(history=False)),
            round_trips=self._round_trips,
            syncs=0,
        )
