"""One write transaction of the SQLite journal, as the `Book` that the rules change.

Changes are collected and written by `flush` with one statement for many rows: each statement costs
a hand-over of the interpreter's lock, which is what a busy loop makes expensive.
"""
# ruff: noqa: S608 - only constants of this package are put into the SQL text; values are bound

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple
from typing import Final

from ai_engine.domain.message import Json, Lane
from ai_engine.domain.session import HistoryEntry
from ai_engine.journal import codec
from ai_engine.journal import sqlite_statements as sql
from ai_engine.journal.base import AuditEntry, Limits, Suspended
from ai_engine.journal.rows import (
    DEAD,
    QUEUED,
    WAITING,
    DeadRow,
    Inbound,
    Known,
    OutboxRow,
    SessionRow,
)
from ai_engine.journal.sqlite_prefetch import Prefetched, Seen
from ai_engine.journal.sqlite_rows import (
    DEAD_COLUMNS,
    INBOUND_COLUMNS,
    OUTBOX_COLUMNS,
    SESSION_COLUMNS,
    dead_of,
    inbound_of,
    outbox_of,
    session_of,
    session_row,
)

_ONE_KNOWN = "SELECT id, seq, at, session_id, event FROM known WHERE message_id = ? AND channel = ?"
_ONE_SESSION = f"SELECT {SESSION_COLUMNS} FROM session WHERE key = ?"
_ONE_HISTORY = "SELECT role, text, tokens FROM history WHERE session_key = ? AND n > ? ORDER BY n"
SESSIONS_KEPT: Final = 1024
"""Session rows kept over transactions; an idle session costs no memory for long."""


class SqliteBook:
    """Implements `Book` inside one transaction. Used by the writer's thread only."""

    def __init__(
        self, connection: sqlite3.Connection, limits: Limits, now: float, seen: Seen
    ) -> None:
        self.now = now
        self.limits = limits
        self.db = connection
        self._seen = seen
        self._sessions = seen.sessions
        self._dirty: dict[str, SessionRow] = {}
        self._new_known: dict[tuple[str, str], Known] = {}
        self._inbound: list[sql.Row] = []
        self._run: list[int] = []
        self._ended: dict[int, list[int]] = {}
        self._events: list[sql.Row] = []
        self._entries: list[sql.Row] = []
        self._prefetched = Prefetched()
        self._remembered: set[str] = set()
        """Sessions with entries of their history that are not written yet."""
        self._outbox: list[sql.Row] = []
        self._sent: dict[int, list[int]] = {}
        self._steps: list[sql.Row] = []
        self._audit: list[sql.Row] = []
        self._notes: list[sql.Row] = []

    def expect(self, rows: Sequence[Inbound]) -> None:
        """Read at once what accepting these messages will look up."""
        self._prefetched.read(self.db, rows, self._sessions)

    # Inbound.

    def backlog(self) -> int:
        self.flush()
        return self.db.execute("SELECT count(*) FROM inbound WHERE state < 2").fetchone()[0]

    def known(self, channel: str, message_id: str) -> Known | None:
        fresh = self._new_known.get((message_id, channel))
        if fresh is not None:
            return fresh
        if (message_id, channel) in self._prefetched.known:
            return self._prefetched.known[message_id, channel]
        found = self.db.execute(_ONE_KNOWN, (message_id, channel)).fetchone()
        if found is None:
            return None
        id_, seq, at, session_id, event = found
        return Known(id=id_, seq=seq, at=at, session_id=session_id, event=event)

    def seq_of(self, inbound_id: str) -> int | None:
        self.flush()
        found = self.db.execute("SELECT seq FROM known WHERE id = ?", (inbound_id,)).fetchone()
        return None if found is None else found[0]

    def add_inbound(self, row: Inbound, session_id: str, event: int) -> None:
        self._seen.inbound += 1
        row.seq = self._seen.inbound
        message = row.message
        pair = message.message_id, message.channel
        self._prefetched.known.pop(pair, None)
        self._new_known[pair] = Known(
            id=row.id, seq=row.seq, at=self.now, session_id=session_id, event=event
        )
        self._inbound.append(
            (
                row.seq,
                row.id,
                row.session_key,
                1 if row.lane is Lane.CONTROL else 0,
                row.state,
                row.due,
                1 if row.counted else 0,
                row.accepted_at,
                codec.encode(message),
            )
        )

    def mark_running(self, row: Inbound) -> None:
        self._run.append(row.seq)

    def mark_queued(self, row: Inbound, attempts: int, first_error_at: float, due: float) -> None:
        self.flush()
        self.db.execute(
            "UPDATE inbound SET state = 0, attempts = ?, first_error_at = ?, due = ?"
            " WHERE seq = ? AND state < 2",
            (attempts, first_error_at, due, row.seq),
        )

    def mark_crashed(self, row: Inbound) -> None:
        self.db.execute(
            "UPDATE inbound SET state = 0, crashes = ? WHERE seq = ?", (row.crashes, row.seq)
        )

    def close_inbound(self, row: Inbound, state: int) -> None:
        self._ended.setdefault(state, []).append(row.seq)

    def save_checkpoint(self, row: Inbound, state: Json) -> None:
        self.db.execute(
            "UPDATE inbound SET checkpoint = ? WHERE seq = ?", (codec.encode(state), row.seq)
        )

    def revive_inbound(self, seq: int) -> Inbound | None:
        self.flush()
        found = self.db.execute(
            f"SELECT {INBOUND_COLUMNS} FROM inbound WHERE seq = ? AND state = {DEAD}", (seq,)
        ).fetchone()
        if found is None:
            return None
        row = inbound_of(found)
        row.state, row.attempts, row.crashes, row.first_error_at = QUEUED, 0, 0, 0.0
        row.due, row.counted = 0.0, True
        known = self.known(row.message.channel, row.message.message_id)
        self.add_inbound(row, known.session_id if known else "", known.event if known else 0)
        self.db.execute("DELETE FROM inbound WHERE seq = ?", (seq,))
        self.db.execute("UPDATE trace SET seq = ? WHERE seq = ?", (row.seq, seq))
        self.db.execute("UPDATE outbox SET inbound_seq = ? WHERE inbound_seq = ?", (row.seq, seq))
        return row

    # Sessions.

    def session(self, key: str) -> SessionRow | None:
        if key in self._sessions:
            return self._sessions[key]
        found = self.db.execute(_ONE_SESSION, (key,)).fetchone()
        row = self._sessions[key] = None if found is None else session_of(found)
        return row

    def new_session(self, key: str) -> SessionRow:
        base = self.db.execute("SELECT value FROM meta WHERE key = 'event_base'").fetchone()[0]
        row = self._sessions[key] = SessionRow(key=key, last_event=base)
        return row

    def save_session(self, row: SessionRow) -> None:
        self._dirty[row.key] = row

    def forget_session(self, row: SessionRow) -> None:
        """The row goes; event numbers of a later session of its key begin above it."""
        self._dirty.pop(row.key, None)
        self._sessions.pop(row.key, None)
        self.db.execute("DELETE FROM session WHERE key = ?", (row.key,))
        self.db.execute(
            "UPDATE meta SET value = max(value, ?) WHERE key = 'event_base'", (row.last_event,)
        )

    def history(self, row: SessionRow) -> tuple[HistoryEntry, ...]:
        if row.key in self._prefetched.histories:
            return self._prefetched.histories[row.key]
        if row.key in self._remembered:
            self.flush()
        found = self.db.execute(_ONE_HISTORY, (row.key, row.history_from))
        return tuple(HistoryEntry(role=r, text=t, tokens=n) for r, t, n in found)

    def add_history(self, key: str, first: int, entries: Sequence[HistoryEntry]) -> None:
        self._prefetched.histories.pop(key, None)
        self._remembered.add(key)
        for n, entry in enumerate(entries, first):
            self._entries.append((key, n, entry.role, entry.text, entry.tokens))

    def cut_history(self, key: str, upto: int) -> None:
        self._prefetched.histories.pop(key, None)
        if key in self._remembered:
            self.flush()
        self.db.execute("DELETE FROM history WHERE session_key = ? AND n <= ?", (key, upto))

    def suspended(self, key: str, call_id: str) -> Suspended | None:
        found = self.db.execute(
            "SELECT inbound_id, expires_at, state FROM suspended"
            " WHERE session_key = ? AND call_id = ?",
            (key, call_id),
        ).fetchone()
        if found is None:
            return None
        inbound_id, expires_at, state = found
        return Suspended(
            call_id=call_id,
            state=codec.decode_json(state),
            expires_at=expires_at,
            inbound_id=inbound_id,
        )

    def has_suspended(self, key: str) -> bool:
        found = self.db.execute("SELECT 1 FROM suspended WHERE session_key = ? LIMIT 1", (key,))
        return found.fetchone() is not None

    def add_suspended(self, key: str, suspended: Suspended) -> None:
        self.db.execute(
            "INSERT OR REPLACE INTO suspended VALUES (?, ?, ?, ?, ?)",
            (
                key,
                suspended.call_id,
                suspended.inbound_id,
                suspended.expires_at,
                codec.encode(suspended.state),
            ),
        )

    def drop_suspended(self, key: str, call_id: str | None) -> None:
        if call_id is None:
            self.db.execute("DELETE FROM suspended WHERE session_key = ?", (key,))
        else:
            self.db.execute(
                "DELETE FROM suspended WHERE session_key = ? AND call_id = ?", (key, call_id)
            )

    def add_event(self, key: str, n: int, kind: str, body: Json) -> None:
        self._events.append((key, n, kind, self.now, codec.encode(body)))

    # Outbox.

    def add_outbox(self, row: OutboxRow) -> None:
        self._seen.outbox += 1
        row.seq = self._seen.outbox
        body = codec.OutboxBody(
            inbound_message_id=row.inbound_message_id,
            target=row.target,
            reply=row.reply,
            trace_id=row.trace_id,
            user_id=row.user_id,
            message=row.message,
        )
        self._outbox.append(
            (
                row.seq,
                row.id,
                row.session_key,
                row.inbound_seq,
                row.inbound_id,
                row.channel,
                WAITING,
                row.attempt,
                row.due,
                row.committed_at,
                codec.encode(body),
            )
        )

    def postpone_outbox(self, row: OutboxRow, attempt: int, due: float) -> None:
        self.db.execute(
            "UPDATE outbox SET attempt = ?, due = ? WHERE seq = ?", (attempt, due, row.seq)
        )

    def close_outbox(self, row: OutboxRow, state: int) -> None:
        self._sent.setdefault(state, []).append(row.seq)

    def revive_outbox(self, seq: int) -> OutboxRow | None:
        self.flush()
        found = self.db.execute(
            f"SELECT {OUTBOX_COLUMNS} FROM outbox WHERE seq = ?", (seq,)
        ).fetchone()
        if found is None:
            return None
        row = outbox_of(found)
        row.state, row.attempt, row.due = WAITING, 1, 0.0
        self.db.execute("DELETE FROM outbox WHERE seq = ?", (seq,))
        self.add_outbox(row)
        return row

    # Records.

    def add_trace(self, seq: int, steps: Sequence[Json]) -> None:
        self._steps.append((seq, self.now, codec.encode(steps)))

    def add_audit(self, row: Inbound, entries: Sequence[AuditEntry]) -> None:
        for entry in entries:
            self._audit.append((self.now, row.id, row.message.trace_id, codec.encode(entry)))

    def save_note(self, channel: str, key: str, value: str) -> None:
        self._notes.append((channel, key, self.now, value))

    def add_dead(self, row: DeadRow) -> None:
        sql.DEAD.write(self.db, [astuple(row)])

    def dead(self, id: str) -> DeadRow | None:  # noqa: A002 - the port's name
        found = self.db.execute(f"SELECT {DEAD_COLUMNS} FROM dead WHERE id = ?", (id,)).fetchone()
        return None if found is None else dead_of(found)

    def drop_dead(self, id: str) -> None:  # noqa: A002 - the port's name
        self.db.execute("DELETE FROM dead WHERE id = ?", (id,))

    # Writing.

    def flush(self) -> None:
        """Write what was collected."""
        self._flush_inbound()
        self._remembered.clear()
        for insert, rows in (
            (sql.EVENT, self._events),
            (sql.HISTORY, self._entries),
            (sql.OUTBOX, self._outbox),
            (sql.TRACE, self._steps),
            (sql.AUDIT, self._audit),
            (sql.NOTE, self._notes),
        ):
            if rows:
                insert.write(self.db, rows)
                rows.clear()
        if self._sent:
            for state, numbers in self._sent.items():
                sql.SENT.run(self.db, numbers, state, self.now)
            self._sent.clear()
        if self._dirty:
            self._flush_sessions()

    def _flush_sessions(self) -> None:
        same: list[sql.Row] = []
        new: list[sql.Row] = []
        for row in self._dirty.values():
            (same if row.id == row.stored_id else new).append(session_row(row))
            row.stored_id = row.id
        self._dirty.clear()
        if same:
            sql.SESSION.write(self.db, same)
        if new:
            sql.NEW_SESSION.write(self.db, new)

    def _flush_inbound(self) -> None:
        if self._inbound:
            sql.INBOUND.write(self.db, self._inbound)
            self._inbound.clear()
        if self._new_known:
            rows: list[sql.Row] = [
                (*pair, known.id, known.seq, known.at, known.session_id, known.event)
                for pair, known in self._new_known.items()
            ]
            sql.KNOWN.write(self.db, rows)
            self._new_known.clear()
        if self._run:  # before the ends: what was cancelled in this transaction stays so
            sql.RUN.run(self.db, self._run)
            self._run.clear()
        if self._ended:
            for state, numbers in self._ended.items():
                sql.END.run(self.db, numbers, state, self.now)
            self._ended.clear()
