"""What the SQLite journal forgets, a little every minute: the life spans of `Limits`.

Each table is walked in the order of its key, some rows a round, so that no round reads a whole
table and none needs an index that every message would pay for.
"""
# ruff: noqa: S608 - only constants of this package are put into the SQL text; values are bound

from dataclasses import dataclass
from typing import Final

from ai_engine.journal.incarnations import close_session, is_expired
from ai_engine.journal.rows import DEAD, RUNNING, WAITING
from ai_engine.journal.sqlite_book import SqliteBook

ROWS: Final = 2000
"""The most rows of one table that one round looks at: about 10 ms."""
SESSIONS: Final = 500
"""The most sessions that one round looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    name: str
    key: str
    """Its rows are walked in this order."""
    made_at: str
    """The column with the time since when the row exists."""
    over: str
    """Which rows go, by `:now` and the limits."""
    seconds: str
    """The shortest life span, a field of `Limits`: younger rows need no look."""


_TABLES: Final = (
    _Table(
        name="inbound",
        key="seq",
        made_at="accepted_at",
        over=f"state > {RUNNING} AND done_at < :now - CASE state WHEN {DEAD}"
        " THEN :dead_letter_seconds ELSE :handled_seconds END",
        seconds="handled_seconds",
    ),
    _Table(
        name="outbox",
        key="seq",
        made_at="committed_at",
        over=f"state <> {WAITING} AND done_at < :now - :reply_seconds"
        " AND NOT EXISTS (SELECT 1 FROM dead WHERE kind = 'delivery' AND dead.seq = outbox.seq)",
        seconds="reply_seconds",
    ),
    _Table(
        name="trace",
        key="n",
        made_at="at",
        over="at < :now - :trace_seconds",
        seconds="trace_seconds",
    ),
    _Table(
        name="known",
        key="id",
        made_at="at",
        over="at < :now - max(:trace_seconds, :dedup_seconds)",
        seconds="trace_seconds",
    ),
    _Table(
        name="dead",
        key="id",
        made_at="at",
        over="at < :now - :dead_letter_seconds",
        seconds="dead_letter_seconds",
    ),
    _Table(
        name="note",
        key="n",
        made_at="at",
        over="at < :now - :note_seconds",
        seconds="note_seconds",
    ),
    _Table(
        name="audit",
        key="n",
        made_at="at",
        over="at < :now - :dead_letter_seconds",
        seconds="dead_letter_seconds",
    ),
)


class Housekeeper:
    """One round of forgetting; remembers how far the walks have come."""

    def __init__(self) -> None:
        self._after: dict[str, object] = {}
        self._session_after = ""

    def round(self, book: SqliteBook) -> bool:
        """Runs in the writer's thread. True while a walk is not at its end."""
        more = [self._walk(book, table) for table in _TABLES]
        book.db.execute(
            "DELETE FROM suspended WHERE expires_at < ?",
            (book.now - book.limits.dead_letter_seconds,),
        )
        more.append(self._sessions(book))
        return any(more)

    def _walk(self, book: SqliteBook, table: _Table) -> bool:
        after = self._after.get(table.name, "" if table.key == "id" else 0)
        key, limits = table.key, book.limits
        last = book.db.execute(
            f"SELECT max({key}), count(*), max({table.made_at}) FROM"
            f" (SELECT {key}, {table.made_at} FROM {table.name} WHERE {key} > ?"
            f" ORDER BY {key} LIMIT {ROWS})",
            (after,),
        ).fetchone()
        end, count, newest = last
        if count:
            book.db.execute(
                f"DELETE FROM {table.name} WHERE {key} > :after AND {key} <= :end AND {table.over}",
                {
                    "after": after,
                    "end": end,
                    "now": book.now,
                    "handled_seconds": limits.handled_seconds,
                    "dead_letter_seconds": limits.dead_letter_seconds,
                    "reply_seconds": limits.reply_seconds,
                    "trace_seconds": limits.trace_seconds,
                    "dedup_seconds": limits.dedup_seconds,
                    "note_seconds": limits.note_seconds,
                },
            )
        young = newest is None or newest >= book.now - getattr(limits, table.seconds)
        if count < ROWS or young:
            self._after.pop(table.name, None)
            return False
        self._after[table.name] = end
        return True

    def _sessions(self, book: SqliteBook) -> bool:
        limits = book.limits
        keys = [
            key
            for (key,) in book.db.execute(
                f"SELECT key FROM session WHERE key > ? ORDER BY key LIMIT {SESSIONS}",
                (self._session_after,),
            )
        ]
        for key in keys:
            row = book.session(key)
            if row is None or row.active_at > book.now - limits.session_idle_seconds:
                continue
            if row.id is not None and is_expired(book, row):
                close_session(book, row)
            book.db.execute(
                "DELETE FROM event WHERE session_key = ? AND (n <= ? OR at < ?)",
                (key, row.last_event - limits.event_log_max, book.now - limits.event_log_seconds),
            )
            if row.id is None and row.active_at <= book.now - limits.event_log_seconds:
                book.forget_session(row)
        self._session_after = keys[-1] if len(keys) == SESSIONS else ""
        return bool(self._session_after)
