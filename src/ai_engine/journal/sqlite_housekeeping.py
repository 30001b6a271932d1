"""What the SQLite journal forgets, a little every minute: the life spans of `Limits`."""
# ruff: noqa: S608 - only constants of this package are put into the SQL text; values are bound

from typing import Final

from ai_engine.journal import rules
from ai_engine.journal.rows import DEAD, RUNNING, WAITING
from ai_engine.journal.sqlite_book import SqliteBook

ROWS: Final = 2000
"""The most rows of one table that one round deletes: about 10 ms."""
SESSIONS: Final = 500
"""The most sessions that one round looks at."""


class Housekeeper:
    """One round of forgetting; remembers where among the sessions the last round ended."""

    def __init__(self) -> None:
        self._after = ""

    def round(self, book: SqliteBook) -> bool:
        """Runs in the writer's thread. True when there is more to do."""
        deleted = [self._delete(book, *one) for one in _expired(book)]
        looked_at = self._sessions(book)
        return max(deleted) >= ROWS or looked_at >= SESSIONS

    def _delete(self, book: SqliteBook, table: str, key: str, where: str, before: float) -> int:
        return book.db.execute(
            f"DELETE FROM {table} WHERE {key} IN"
            f" (SELECT {key} FROM {table} WHERE {where} LIMIT {ROWS})",
            (before,),
        ).rowcount

    def _sessions(self, book: SqliteBook) -> int:
        limits = book.limits
        keys = [
            key
            for (key,) in book.db.execute(
                f"SELECT key FROM session WHERE key > ? ORDER BY key LIMIT {SESSIONS}",
                (self._after,),
            )
        ]
        for key in keys:
            row = book.session(key)
            if row is None or row.active_at > book.now - limits.session_idle_seconds:
                continue
            if row.id is not None and rules.is_expired(book, row):
                rules.close_session(book, row)
            self._forget_events(book, key, row.last_event)
            if row.id is None and row.active_at <= book.now - limits.event_log_seconds:
                _forget_session(book, key, row.last_event)
        self._after = keys[-1] if len(keys) == SESSIONS else ""
        return len(keys)

    def _forget_events(self, book: SqliteBook, key: str, last: int) -> None:
        limits = book.limits
        book.db.execute(
            "DELETE FROM event WHERE session_key = ? AND (n <= ? OR at < ?)",
            (key, last - limits.event_log_max, book.now - limits.event_log_seconds),
        )


def _expired(book: SqliteBook) -> list[tuple[str, str, str, float]]:
    """Table, its key, condition, and the time before which its rows go."""
    now, limits = book.now, book.limits
    return [
        (
            "inbound",
            "seq",
            f"state > {RUNNING} AND state <> {DEAD} AND done_at < ?",
            now - limits.handled_seconds,
        ),
        ("inbound", "seq", f"state = {DEAD} AND done_at < ?", now - limits.dead_letter_seconds),
        ("outbox", "seq", f"state <> {WAITING} AND done_at < ?", now - limits.reply_seconds),
        ("trace", "n", "at < ?", now - limits.trace_seconds),
        ("known", "id", "at < ?", now - limits.trace_seconds),
        ("dead", "id", "at < ?", now - limits.dead_letter_seconds),
        ("audit", "n", "at < ?", now - limits.dead_letter_seconds),
        ("suspended", "call_id", "expires_at < ?", now - limits.dead_letter_seconds),
    ]


def _forget_session(book: SqliteBook, key: str, last_event: int) -> None:
    """The row goes; event numbers of a later session of this key begin above it."""
    book.flush()
    book.db.execute("DELETE FROM session WHERE key = ?", (key,))
    book.db.execute("UPDATE meta SET value = max(value, ?) WHERE key = 'event_base'", (last_event,))
