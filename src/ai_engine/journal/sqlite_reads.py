"""The SQLite journal's reading methods: queries on a connection of their own."""
# ruff: noqa: S608 - only constants of this package are put into the SQL text; values are bound

import sqlite3
from typing import Any, Final

from ai_engine.domain.message import Json
from ai_engine.domain.reply import Reply
from ai_engine.domain.session import HistoryEntry, Session, SessionEvent
from ai_engine.journal import codec
from ai_engine.journal.base import DeadLetter, Limits
from ai_engine.journal.rows import RUNNING, SessionRow
from ai_engine.journal.sqlite_rows import DEAD_COLUMNS, SESSION_COLUMNS, dead_of, session_of
from ai_engine.journal.views import dead_letter_of, trace_of

_LIVE: Final = (
    "id IS NOT NULL AND (pending > 0 OR active_at > ?"
    " OR EXISTS (SELECT 1 FROM suspended WHERE session_key = session.key))"
)


class Reader:
    """Blocking queries; the journal calls them in its reading thread."""

    def __init__(self, connection: sqlite3.Connection, limits: Limits) -> None:
        self._db = connection
        self._limits = limits

    def close(self) -> None:
        self._db.close()

    def session(self, column: str, value: str, now: float) -> Session | None:
        """By `id` or `key`, with history."""
        found = self._db.execute(
            f"SELECT {SESSION_COLUMNS} FROM session WHERE {column} = ? AND {_LIVE}",
            (value, now - self._limits.session_idle_seconds),
        ).fetchone()
        if found is None:
            return None
        row = session_of(found)
        return row.value(self._limits.session_idle_seconds, now, self._history(row))

    def _history(self, row: SessionRow) -> tuple[HistoryEntry, ...]:
        found = self._db.execute(
            "SELECT role, text, tokens FROM history WHERE session_key = ? AND n > ? ORDER BY n",
            (row.key, row.history_from),
        )
        return tuple(HistoryEntry(role=r, text=t, tokens=n) for r, t, n in found)

    def sessions(self, limit: int, now: float) -> list[Session]:
        idle = self._limits.session_idle_seconds
        found = self._db.execute(
            f"SELECT {SESSION_COLUMNS} FROM session WHERE {_LIVE} ORDER BY active_at DESC LIMIT ?",
            (now - idle, limit),
        )
        return [session_of(row).value(idle, now) for row in found]

    def events(self, key: str, after: int, limit: int, now: float) -> list[SessionEvent]:
        newest = self._db.execute("SELECT last_event FROM session WHERE key = ?", (key,)).fetchone()
        oldest = (newest[0] if newest else 0) - self._limits.event_log_max
        found = self._db.execute(
            "SELECT n, kind, at, body FROM event WHERE session_key = ? AND n > ? AND at >= ?"
            " ORDER BY n LIMIT ?",
            (key, max(after, oldest), now - self._limits.event_log_seconds, limit),
        )
        return [
            SessionEvent(n=n, kind=kind, at=at, body=codec.decode_json(body))
            for n, kind, at, body in found
        ]

    def trace(self, message_id: str, channel: str) -> Json | None:
        found = self._db.execute(
            "SELECT seq FROM known WHERE id = ?1 AND ?2 IN ('', channel) UNION ALL"
            " SELECT seq FROM (SELECT seq FROM known WHERE message_id = ?1"
            " AND ?2 IN ('', channel) ORDER BY at DESC)",
            (message_id, channel),
        ).fetchone()
        if found is None:
            return None
        steps: list[Json] = []
        rows = self._db.execute("SELECT steps FROM trace WHERE seq = ? ORDER BY n", found)
        for (data,) in rows:
            steps.extend(codec.decode_steps(data))
        return trace_of(steps, self._state(found[0]))

    def _state(self, seq: int) -> int | None:
        found = self._db.execute("SELECT state FROM inbound WHERE seq = ?", (seq,)).fetchone()
        return None if found is None else found[0]

    def stored_replies(self, channel: str, message_id: str) -> list[Reply] | None:
        found = self._db.execute(
            "SELECT seq FROM known WHERE message_id = ? AND channel = ?", (message_id, channel)
        ).fetchone()
        if found is None:
            return None
        state = self._state(found[0])
        if state is not None and state <= RUNNING:
            return None
        rows = self._db.execute(
            "SELECT body FROM outbox WHERE inbound_seq = ? AND channel = ? ORDER BY seq",
            (found[0], channel),
        )
        return [codec.decode_outbox(body).reply for (body,) in rows]

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        found = self._db.execute(
            f"SELECT {DEAD_COLUMNS} FROM dead ORDER BY at DESC, id DESC LIMIT ?",
            (limit,),
        )
        return [dead_letter_of(dead_of(row)) for row in found]

    def note(self, channel: str, key: str, since: float) -> str | None:
        found = self._db.execute(
            "SELECT value FROM note WHERE channel = ? AND key = ? AND at >= ?",
            (channel, key, since),
        ).fetchone()
        return None if found is None else found[0]

    def counts(self, now: float) -> dict[str, Any]:
        """The part of `Stats` that the file knows."""
        backlog, oldest, running = self._db.execute(
            "SELECT count(*), min(accepted_at), coalesce(sum(state), 0) FROM inbound"
            " WHERE state < 2"
        ).fetchone()
        one = self._db.execute
        return {
            "backlog": backlog,
            "oldest_seconds": 0.0 if oldest is None else max(0.0, now - oldest),
            "running": running,
            "outbox": one("SELECT count(*) FROM outbox WHERE state = 0").fetchone()[0],
            "dead_letters": one("SELECT count(*) FROM dead").fetchone()[0],
            "sessions": one(
                f"SELECT count(*) FROM session WHERE {_LIVE}",
                (now - self._limits.session_idle_seconds,),
            ).fetchone()[0],
        }
