"""What a batch of messages will look up in the SQLite journal, read with few statements.

Each statement hands the interpreter's lock over twice; three look-ups for each message of a batch
cost a busy engine more than SQLite's work for them.
"""
# ruff: noqa: S608 - only constants of this package are put into the SQL text; values are bound

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from ai_engine.domain.session import HistoryEntry
from ai_engine.journal.rows import Inbound, Known, SessionRow
from ai_engine.journal.sqlite_rows import SESSION_COLUMNS, session_of
from ai_engine.journal.sqlite_statements import Select

_KNOWN: Final = Select(
    "SELECT message_id, channel, id, seq, at, session_id, event FROM known WHERE message_id IN (#)"
)
_SESSIONS: Final = Select(f"SELECT {SESSION_COLUMNS} FROM session WHERE key IN (#)")
_HISTORY: Final = Select(
    "SELECT session_key, n, role, text, tokens FROM history WHERE session_key IN (#)"
    " ORDER BY session_key, n"
)


class Seen:
    """What the writing connection knows of the file as long as no other process writes: the
    newest numbers of the two queues, and the sessions it met last."""

    __slots__ = ("inbound", "outbox", "sessions")

    def __init__(self) -> None:
        self.inbound = 0
        self.outbox = 0
        self.sessions: dict[str, SessionRow | None] = {}


class Prefetched:
    """Read before a batch, valid until the batch itself changes it."""

    __slots__ = ("histories", "known")

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Known | None] = {}
        """By (message id, channel); None: looked for and not there."""
        self.histories: dict[str, tuple[HistoryEntry, ...]] = {}

    def read(
        self,
        db: sqlite3.Connection,
        rows: Sequence[Inbound],
        sessions: dict[str, SessionRow | None],
    ) -> None:
        """For messages about to be accepted; their sessions are added to `sessions`."""
        pairs = [(row.message.message_id, row.message.channel) for row in rows]
        self.known = dict.fromkeys(pairs)
        for id_, channel, *fields in _KNOWN.rows(db, [id_ for id_, _ in pairs]):
            if (id_, channel) in self.known:
                self.known[id_, channel] = _known_of(*fields)
        keys = list(dict.fromkeys(row.session_key for row in rows))
        missing = [key for key in keys if key not in sessions]
        sessions.update(dict.fromkeys(missing))
        for found in _SESSIONS.rows(db, missing):
            sessions[found[0]] = session_of(found)
        self._read_histories(db, (sessions[key] for key in keys))

    def _read_histories(
        self, db: sqlite3.Connection, sessions: Iterable[SessionRow | None]
    ) -> None:
        having = {row.key: row for row in sessions if row and row.history_to > row.history_from}
        entries: dict[str, list[HistoryEntry]] = {key: [] for key in having}
        for key, n, role, text, tokens in _HISTORY.rows(db, list(having)):
            if n > having[key].history_from:
                entries[key].append(HistoryEntry(role=role, text=text, tokens=tokens))
        self.histories = {key: tuple(found) for key, found in entries.items()}


def _known_of(id_: str, seq: int, at: float, session_id: str, event: int, *_: Any) -> Known:
    return Known(id=id_, seq=seq, at=at, session_id=session_id, event=event)
