"""One write transaction of the SQLite journal, as the `Book` that the rules change.

Changes are collected and written by `flush` with one statement for many rows: each statement costs
a hand-over of the interpreter's lock, which is what a busy loop makes expensive.
"""
# ruff: noqa: S608 - only constants of this package are put into the SQL text; values are bound

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ai_engine.domain.message import Json, Lane
from ai_engine.domain.session import Context, HistoryEntry
from ai_engine.journal import codec
from ai_engine.journal.base import AuditEntry, Limits, Suspended
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
from ai_engine.journal.sqlite_rows import (
    DEAD_COLUMNS,
    INBOUND_COLUMNS,
    OUTBOX_COLUMNS,
    SESSION_COLUMNS,
    dead_of,
    inbound_of,
    outbox_of,
    session_of,
)

Row = tuple[Any, ...]
CHUNKS: Final = (64, 16, 4, 1)
"""Rows of one statement; few sizes, so that all statements stay prepared."""


class _Insert:
    """An INSERT of many rows, as one prepared statement for each size of `CHUNKS`."""

    def __init__(self, table: str, columns: str, suffix: str = "") -> None:
        count = columns.count(",") + 1
        marks = f"({','.join('?' * count)})"
        self.statements = {
            size: f"INSERT INTO {table} ({columns}) VALUES {','.join([marks] * size)} {suffix}"
            for size in CHUNKS
        }

    def write(self, connection: sqlite3.Connection, rows: list[Row]) -> None:
        if len(rows) == 1:
            connection.execute(self.statements[1], rows[0])
            return
        for size, part in _chunks(rows):
            flat = [value for row in part for value in row]
            connection.execute(self.statements[size], flat)


class _Where:
    """A statement on many rows by their number: `… IN (?, …)`."""

    def __init__(self, statement: str) -> None:
        self.statements = {size: statement.replace("#", ",".join("?" * size), 1) for size in CHUNKS}

    def run(self, connection: sqlite3.Connection, numbers: list[int], *first: object) -> None:
        for size, part in _chunks(numbers):
            connection.execute(self.statements[size], [*first, *part])


def _chunks(rows: list[Any]) -> Iterable[tuple[int, list[Any]]]:
    at = 0
    while at < len(rows):
        size = next(size for size in CHUNKS if size <= len(rows) - at)
        yield size, rows[at : at + size]
        at += size


_KNOWN = _Insert(
    "known",
    "message_id, channel, id, seq, at, session_id, event",
    "ON CONFLICT (message_id, channel) DO UPDATE SET id=excluded.id, seq=excluded.seq,"
    " at=excluded.at, session_id=excluded.session_id, event=excluded.event",
)
_INBOUND = _Insert(
    "inbound",
    "seq, id, session_key, control, state, due, counted, accepted_at, message",
)
_SESSION = _Insert(
    "session",
    SESSION_COLUMNS,
    "ON CONFLICT (key) DO UPDATE SET id=excluded.id, channel=excluded.channel,"
    " user_id=excluded.user_id, context=excluded.context, created_at=excluded.created_at,"
    " active_at=excluded.active_at, last_event=excluded.last_event,"
    " history_from=excluded.history_from, history_to=excluded.history_to,"
    " pending=excluded.pending",
)
_EVENT = _Insert("event", "session_key, n, kind, at, body")
_HISTORY = _Insert("history", "session_key, n, role, text, tokens")
_OUTBOX = _Insert(
    "outbox",
    "seq, id, session_key, inbound_seq, inbound_id, channel, state, attempt, due,"
    " committed_at, body",
)
_TRACE = _Insert("trace", "seq, at, steps")
_AUDIT = _Insert("audit", "at, inbound_id, trace_id, entry")
_DEAD = _Insert("dead", DEAD_COLUMNS)
_RUN = _Where(f"UPDATE inbound SET state = {RUNNING}, counted = 1 WHERE state = 0 AND seq IN (#)")
_END = _Where("UPDATE inbound SET state = ?, done_at = ?, checkpoint = NULL WHERE seq IN (#)")
_SENT = _Where("UPDATE outbox SET state = ?, done_at = ? WHERE seq IN (#)")

_ONE_KNOWN = "SELECT id, seq, at, session_id, event FROM known WHERE message_id = ? AND channel = ?"
_ONE_SESSION = f"SELECT {SESSION_COLUMNS} FROM session WHERE key = ?"
_ONE_HISTORY = "SELECT role, text, tokens FROM history WHERE session_key = ? AND n > ? ORDER BY n"
_NO_CONTEXT = Context()


class SqliteBook:
    """Implements `Book` inside one transaction. Used by the writer's thread only."""

    def __init__(
        self, connection: sqlite3.Connection, limits: Limits, now: float, last: "LastNumbers"
    ) -> None:
        self.now = now
        self.limits = limits
        self.db = connection
        self._last = last
        self._sessions: dict[str, SessionRow | None] = {}
        self._dirty: dict[str, SessionRow] = {}
        self._new_known: dict[tuple[str, str], Known] = {}
        self._inbound: list[Row] = []
        self._run: list[int] = []
        self._ended: dict[int, list[int]] = {}
        self._gone: set[int] = set()
        self._events: list[Row] = []
        self._entries: list[Row] = []
        self._outbox: list[Row] = []
        self._sent: dict[int, list[int]] = {}
        self._steps: list[Row] = []
        self._audit: list[Row] = []

    # Inbound.

    def backlog(self) -> int:
        self.flush()
        return self.db.execute("SELECT count(*) FROM inbound WHERE state < 2").fetchone()[0]

    def known(self, channel: str, message_id: str) -> Known | None:
        fresh = self._new_known.get((message_id, channel))
        if fresh is not None:
            return fresh
        found = self.db.execute(_ONE_KNOWN, (message_id, channel)).fetchone()
        if found is None:
            return None
        id_, seq, at, session_id, event = found
        return Known(id=id_, seq=seq, at=at, session_id=session_id, event=event)

    def add_inbound(self, row: Inbound, session_id: str, event: int) -> None:
        self._last.inbound += 1
        row.seq = self._last.inbound
        message = row.message
        self._new_known[message.message_id, message.channel] = Known(
            id=row.id, seq=row.seq, at=self.now, session_id=session_id, event=event
        )
        self._inbound.append(
            (
                row.seq,
                row.id,
                row.session_key,
                1 if row.lane is Lane.CONTROL else 0,
                QUEUED,
                row.due,
                1 if row.counted else 0,
                row.accepted_at,
                codec.encode(message),
            )
        )

    def mark_running(self, row: Inbound) -> None:
        if row.seq not in self._gone:
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
        self._gone.add(row.seq)
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

    def history(self, row: SessionRow) -> tuple[HistoryEntry, ...]:
        if self._entries:
            self.flush()
        found = self.db.execute(_ONE_HISTORY, (row.key, row.history_from))
        return tuple(HistoryEntry(role=r, text=t, tokens=n) for r, t, n in found)

    def add_history(self, key: str, first: int, entries: Sequence[HistoryEntry]) -> None:
        for n, entry in enumerate(entries, first):
            self._entries.append((key, n, entry.role, entry.text, entry.tokens))

    def cut_history(self, key: str, upto: int) -> None:
        if self._entries:
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
        self._last.outbox += 1
        row.seq = self._last.outbox
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

    def add_dead(self, row: DeadRow) -> None:
        _DEAD.write(
            self.db,
            [
                (
                    row.id,
                    row.kind,
                    row.seq,
                    row.at,
                    row.channel,
                    row.session_key,
                    row.message_id,
                    row.error,
                    row.attempts,
                    row.text,
                )
            ],
        )

    def dead(self, id: str) -> DeadRow | None:  # noqa: A002 - the port's name
        found = self.db.execute(f"SELECT {DEAD_COLUMNS} FROM dead WHERE id = ?", (id,)).fetchone()
        return None if found is None else dead_of(found)

    def drop_dead(self, id: str) -> None:  # noqa: A002 - the port's name
        self.db.execute("DELETE FROM dead WHERE id = ?", (id,))

    # Writing.

    def flush(self) -> None:
        """Write what was collected."""
        self._flush_inbound()
        for insert, rows in (
            (_EVENT, self._events),
            (_HISTORY, self._entries),
            (_OUTBOX, self._outbox),
            (_TRACE, self._steps),
            (_AUDIT, self._audit),
        ):
            if rows:
                insert.write(self.db, rows)
                rows.clear()
        if self._sent:
            for state, numbers in self._sent.items():
                _SENT.run(self.db, numbers, state, self.now)
            self._sent.clear()
        if self._dirty:
            _SESSION.write(self.db, [_session_row(row) for row in self._dirty.values()])
            self._dirty.clear()

    def _flush_inbound(self) -> None:
        if self._inbound:
            _INBOUND.write(self.db, self._inbound)
            self._inbound.clear()
        if self._new_known:
            rows: list[Row] = [
                (*pair, known.id, known.seq, known.at, known.session_id, known.event)
                for pair, known in self._new_known.items()
            ]
            _KNOWN.write(self.db, rows)
            self._new_known.clear()
        if self._run:
            _RUN.run(self.db, self._run)
            self._run.clear()
        if self._ended:
            for state, numbers in self._ended.items():
                _END.run(self.db, numbers, state, self.now)
            self._ended.clear()


class LastNumbers:
    """The newest numbers of the two queues, as of this connection's last transaction."""

    __slots__ = ("inbound", "outbox")

    def __init__(self, inbound: int = 0, outbox: int = 0) -> None:
        self.inbound = inbound
        self.outbox = outbox


def _session_row(row: SessionRow) -> Row:
    context = None if row.context == _NO_CONTEXT else codec.encode(row.context)
    return (
        row.key,
        row.id,
        row.channel,
        row.user_id,
        context,
        row.created_at,
        row.active_at,
        row.last_event,
        row.history_from,
        row.history_to,
        row.pending,
    )


Work = Callable[[SqliteBook], Any]
