"""The store of the journal in memory, as the `Book` that the rules change."""

from collections.abc import Sequence
from dataclasses import replace

from ai_engine.domain.message import Json
from ai_engine.domain.session import HistoryEntry, SessionEvent
from ai_engine.journal.base import AuditEntry, Limits, Suspended
from ai_engine.journal.incarnations import close_session, is_expired
from ai_engine.journal.rows import (
    DEAD,
    QUEUED,
    RUNNING,
    WAITING,
    DeadRow,
    Inbound,
    Known,
    OutboxRow,
    SessionRow,
)


class MemoryBook:
    """Implements `Book` on dictionaries; it is the store itself."""

    def __init__(self, limits: Limits) -> None:
        self.now = 0.0
        self.limits = limits
        self.inbound: dict[int, Inbound] = {}
        self.outbox: dict[int, OutboxRow] = {}
        self.keys: dict[tuple[str, str], Known] = {}
        self.session_keys: dict[int, str] = {}
        self.sessions: dict[str, SessionRow] = {}
        self.histories: dict[str, list[HistoryEntry]] = {}
        self.waiting: dict[tuple[str, str], Suspended] = {}
        self.logs: dict[str, list[SessionEvent]] = {}
        self.traces: dict[int, list[Json]] = {}
        self.audit: list[tuple[float, str, AuditEntry]] = []
        self.dead_rows: dict[str, DeadRow] = {}
        self.notes: dict[tuple[str, str], tuple[float, str]] = {}
        self.open = 0
        self._seq = 0
        self._event_base = 0

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def backlog(self) -> int:
        return self.open

    def known(self, channel: str, message_id: str) -> Known | None:
        return self.keys.get((channel, message_id))

    def seq_of(self, inbound_id: str) -> int | None:
        return next((known.seq for known in self.keys.values() if known.id == inbound_id), None)

    def add_inbound(self, row: Inbound, session_id: str, event: int) -> None:
        row.seq = self._next()
        self.inbound[row.seq] = row
        self.open += 1
        self.keys[row.message.channel, row.message.message_id] = Known(
            id=row.id, seq=row.seq, at=self.now, session_id=session_id, event=event
        )

    def mark_running(self, row: Inbound) -> None:
        if row.state == QUEUED:
            row.state = RUNNING

    def mark_queued(self, row: Inbound, attempts: int, first_error_at: float, due: float) -> None:
        row.state = QUEUED
        row.attempts, row.first_error_at, row.due = attempts, first_error_at, due

    def mark_crashed(self, row: Inbound) -> None:
        row.state = QUEUED

    def close_inbound(self, row: Inbound, state: int) -> None:
        row.state, row.done_at = state, self.now
        self.open -= 1

    def save_checkpoint(self, row: Inbound, state: Json) -> None:
        row.checkpoint = state

    def session(self, key: str) -> SessionRow | None:
        return self.sessions.get(key)

    def new_session(self, key: str) -> SessionRow:
        row = self.sessions[key] = SessionRow(key=key, last_event=self._event_base)
        return row

    def save_session(self, row: SessionRow) -> None:
        self.sessions[row.key] = row

    def history(self, row: SessionRow) -> tuple[HistoryEntry, ...]:
        return tuple(self.histories.get(row.key, ()))

    def add_history(self, key: str, first: int, entries: Sequence[HistoryEntry]) -> None:
        self.histories.setdefault(key, []).extend(entries)

    def cut_history(self, key: str, upto: int) -> None:
        row = self.sessions[key]
        del self.histories[key][: upto - row.history_from]
        if not self.histories[key]:
            del self.histories[key]

    def suspended(self, key: str, call_id: str) -> Suspended | None:
        return self.waiting.get((key, call_id))

    def has_suspended(self, key: str) -> bool:
        return any(owner == key for owner, _ in self.waiting)

    def add_suspended(self, key: str, suspended: Suspended) -> None:
        self.waiting[key, suspended.call_id] = suspended

    def drop_suspended(self, key: str, call_id: str | None) -> None:
        if call_id is not None:
            self.waiting.pop((key, call_id), None)
            return
        for pair in [pair for pair in self.waiting if pair[0] == key]:
            del self.waiting[pair]

    def add_event(self, key: str, n: int, kind: str, body: Json) -> None:
        log = self.logs.setdefault(key, [])
        log.append(SessionEvent(n=n, kind=kind, at=self.now, body=body))
        del log[: -self.limits.event_log_max]

    def add_outbox(self, row: OutboxRow) -> None:
        row.seq = self._next()
        self.outbox[row.seq] = row

    def postpone_outbox(self, row: OutboxRow, attempt: int, due: float) -> None:
        """The row's own fields follow in the scheduler."""

    def close_outbox(self, row: OutboxRow, state: int) -> None:
        row.state, row.done_at = state, self.now

    def add_trace(self, seq: int, steps: Sequence[Json]) -> None:
        self.traces.setdefault(seq, []).extend(steps)

    def add_audit(self, row: Inbound, entries: Sequence[AuditEntry]) -> None:
        self.audit.extend((self.now, row.id, entry) for entry in entries)

    def save_note(self, channel: str, key: str, value: str) -> None:
        self.notes[channel, key] = self.now, value

    def add_dead(self, row: DeadRow) -> None:
        self.dead_rows[row.id] = row

    def dead(self, id: str) -> DeadRow | None:  # noqa: A002 - the port's name
        return self.dead_rows.get(id)

    def drop_dead(self, id: str) -> None:  # noqa: A002 - the port's name
        self.dead_rows.pop(id, None)

    def revive_inbound(self, seq: int) -> Inbound | None:
        row = self.inbound.pop(seq, None)
        if row is None:
            return None
        row.seq = self._next()
        row.state, row.attempts, row.crashes, row.first_error_at = QUEUED, 0, 0, 0.0
        row.due, row.counted = 0.0, True
        self.inbound[row.seq] = row
        self.open += 1
        self.traces[row.seq] = self.traces.pop(seq, [])
        for other in self.outbox.values():
            if other.inbound_seq == seq:
                other.inbound_seq = row.seq
        pair = (row.message.channel, row.message.message_id)
        if pair in self.keys:
            self.keys[pair] = replace(self.keys[pair], seq=row.seq)
        return row

    def revive_outbox(self, seq: int) -> OutboxRow | None:
        row = self.outbox.pop(seq, None)
        if row is None:
            return None
        row.seq = self._next()
        row.state, row.attempt, row.due = WAITING, 1, 0.0
        self.outbox[row.seq] = row
        return row

    def sweep(self) -> None:
        """Forget what is older than the limits."""
        self._sweep_queues()
        now, limits = self.now, self.limits
        for seq, steps in list(self.traces.items()):
            if now - steps[-1]["at"] > limits.trace_seconds:
                del self.traces[seq]
        for pair, known in list(self.keys.items()):
            if now - known.at > limits.trace_seconds:
                del self.keys[pair]
        for letter, dead in list(self.dead_rows.items()):
            if now - dead.at > limits.dead_letter_seconds:
                del self.dead_rows[letter]
        for note, (at, _) in list(self.notes.items()):
            if now - at > limits.note_seconds:
                del self.notes[note]
        self.audit = [one for one in self.audit if now - one[0] <= limits.dead_letter_seconds]
        self._sweep_sessions()

    def _sweep_queues(self) -> None:
        now, limits = self.now, self.limits
        for seq, row in list(self.inbound.items()):
            kept = limits.dead_letter_seconds if row.state == DEAD else limits.handled_seconds
            if row.state > RUNNING and now - row.done_at > kept:
                del self.inbound[seq]
        dead = {row.seq for row in self.dead_rows.values() if row.kind == "delivery"}
        for seq, sent in list(self.outbox.items()):
            over = sent.state != WAITING and now - sent.done_at > limits.reply_seconds
            if over and seq not in dead:
                del self.outbox[seq]

    def _sweep_sessions(self) -> None:
        for key, row in list(self.sessions.items()):
            if row.id is not None and is_expired(self, row):
                close_session(self, row)
            log = self.logs.get(key, [])
            kept = [e for e in log if self.now - e.at <= self.limits.event_log_seconds]
            if kept:
                self.logs[key] = kept
            else:
                self.logs.pop(key, None)
                if row.id is None:
                    self._event_base = max(self._event_base, row.last_event)
                    del self.sessions[key]
