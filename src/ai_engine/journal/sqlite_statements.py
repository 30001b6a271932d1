"""SQL that writes many rows with one statement, so that a batch costs few of them."""
# ruff: noqa: S608 - only constants of this package are put into the SQL text; values are bound

import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from ai_engine.journal.rows import RUNNING
from ai_engine.journal.sqlite_rows import DEAD_COLUMNS, SESSION_COLUMNS

Row = tuple[Any, ...]
SIZES: Final = (64, 32, 16, 8, 7, 6, 5, 4, 3, 2, 1)
"""Rows of one statement; few sizes, so that all statements stay prepared."""


class Insert:
    """An INSERT of many rows, as one prepared statement for each size of `SIZES`."""

    def __init__(self, table: str, columns: str, suffix: str = "", *, verb: str = "INSERT") -> None:
        count = columns.count(",") + 1
        marks = f"({','.join('?' * count)})"
        self.statements = {
            size: f"{verb} INTO {table} ({columns}) VALUES {','.join([marks] * size)} {suffix}"
            for size in SIZES
        }

    def write(self, connection: sqlite3.Connection, rows: list[Row]) -> None:
        if len(rows) == 1:
            connection.execute(self.statements[1], rows[0])
            return
        for part in _chunks(rows):
            flat = [value for row in part for value in row]
            connection.execute(self.statements[len(part)], flat)


class ByNumber:
    """A statement on many rows by their number: `… IN (?, …)`."""

    def __init__(self, statement: str) -> None:
        self.statements = {size: statement.replace("#", ",".join("?" * size), 1) for size in SIZES}

    def run(self, connection: sqlite3.Connection, numbers: list[int], *first: object) -> None:
        for part in _chunks(numbers):
            connection.execute(self.statements[len(part)], [*first, *part])


class Select:
    """A query for many values of one column: `… IN (?, …)`."""

    def __init__(self, query: str) -> None:
        self.queries = {size: query.replace("#", ",".join("?" * size), 1) for size in SIZES}

    def rows(self, connection: sqlite3.Connection, values: list[Any]) -> Iterator[Row]:
        for part in _chunks(values):
            yield from connection.execute(self.queries[len(part)], part).fetchall()


def _chunks(rows: list[Any]) -> Iterator[list[Any]]:
    at, left = 0, len(rows)
    for size in SIZES:
        while left >= size:
            yield rows[at : at + size]
            at += size
            left -= size


KNOWN = Insert(
    "known",
    "message_id, channel, id, seq, at, session_id, event",
    "ON CONFLICT (message_id, channel) DO UPDATE SET id=excluded.id, seq=excluded.seq,"
    " at=excluded.at, session_id=excluded.session_id, event=excluded.event",
)
INBOUND = Insert(
    "inbound",
    "seq, id, session_key, control, state, due, counted, accepted_at, message",
)
_SAME = (
    " context=excluded.context, active_at=excluded.active_at, last_event=excluded.last_event,"
    " history_from=excluded.history_from, history_to=excluded.history_to, pending=excluded.pending"
)
SESSION = Insert("session", SESSION_COLUMNS, f"ON CONFLICT (key) DO UPDATE SET{_SAME}")
"""For an incarnation that goes on: its id is not touched, nor the index on it."""
NEW_SESSION = Insert(
    "session",
    SESSION_COLUMNS,
    "ON CONFLICT (key) DO UPDATE SET id=excluded.id, channel=excluded.channel,"
    f" user_id=excluded.user_id, created_at=excluded.created_at,{_SAME}",
)
EVENT = Insert("event", "session_key, n, kind, at, body")
HISTORY = Insert("history", "session_key, n, role, text, tokens")
OUTBOX = Insert(
    "outbox",
    "seq, id, session_key, inbound_seq, inbound_id, channel, state, attempt, due,"
    " committed_at, body",
)
TRACE = Insert("trace", "seq, at, steps")
AUDIT = Insert("audit", "at, inbound_id, trace_id, entry")
DEAD = Insert("dead", DEAD_COLUMNS)
NOTE = Insert("note", "channel, key, at, value", verb="INSERT OR REPLACE")
"""A replaced note gets a new number: they stay in the order of their time."""
RUN = ByNumber(f"UPDATE inbound SET state = {RUNNING}, counted = 1 WHERE state = 0 AND seq IN (#)")
END = ByNumber("UPDATE inbound SET state = ?, done_at = ?, checkpoint = NULL WHERE seq IN (#)")
SENT = ByNumber("UPDATE outbox SET state = ?, done_at = ? WHERE seq IN (#)")
