"""The journal's SQLite file: its tables, and how a connection to it is opened."""
# ruff: noqa: S608 - only constants of this package are put into the SQL text; values are bound

import os
import sqlite3
from pathlib import Path
from typing import Final

from ai_engine.domain.errors import EngineError

FORMAT: Final = 2
"""The tables' format, kept in `meta`. What is newer is refused; what is older is upgraded by
`open_writer`. Format 2 adds `note`."""

BUSY_SECONDS: Final = 5.0
"""How long a write waits for another process's write."""
CACHE_KIB: Final = 8192
CHECKPOINT_PAGES: Final = 4000
"""SQLite moves the write-ahead log into the file when it has so many pages (16 MB)."""
WAL_BYTES_MAX: Final = 64 * 1024 * 1024
"""The write-ahead log's file is cut to this size after a checkpoint."""

TABLES: Final = """
CREATE TABLE IF NOT EXISTS meta (
  key TEXT PRIMARY KEY, value INTEGER NOT NULL
) WITHOUT ROWID;

-- Accepted messages; handled ones go after an hour, dead ones with their dead letter.
CREATE TABLE IF NOT EXISTS inbound (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL,
  session_key TEXT NOT NULL,
  control INTEGER NOT NULL,
  state INTEGER NOT NULL,
  due REAL NOT NULL,
  counted INTEGER NOT NULL,
  accepted_at REAL NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0,
  first_error_at REAL NOT NULL DEFAULT 0,
  done_at REAL,
  message BLOB NOT NULL,
  checkpoint BLOB
);
CREATE INDEX IF NOT EXISTS inbound_open ON inbound (seq) WHERE state < 2;

-- Deduplication keys (they decide for 24 h) and the way from both ids to the trace (7 days).
CREATE TABLE IF NOT EXISTS known (
  message_id TEXT NOT NULL,
  channel TEXT NOT NULL,
  id TEXT NOT NULL,
  seq INTEGER NOT NULL,
  at REAL NOT NULL,
  session_id TEXT NOT NULL,
  event INTEGER NOT NULL,
  PRIMARY KEY (message_id, channel)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS known_id ON known (id);

CREATE TABLE IF NOT EXISTS session (
  key TEXT PRIMARY KEY,
  id TEXT,
  channel TEXT NOT NULL,
  user_id TEXT NOT NULL,
  context BLOB,
  created_at REAL NOT NULL,
  active_at REAL NOT NULL,
  last_event INTEGER NOT NULL,
  history_from INTEGER NOT NULL,
  history_to INTEGER NOT NULL,
  pending INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS session_id ON session (id) WHERE id IS NOT NULL;

CREATE TABLE IF NOT EXISTS history (
  session_key TEXT NOT NULL,
  n INTEGER NOT NULL,
  role TEXT NOT NULL,
  text TEXT NOT NULL,
  tokens INTEGER NOT NULL,
  PRIMARY KEY (session_key, n)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS suspended (
  session_key TEXT NOT NULL,
  call_id TEXT NOT NULL,
  inbound_id TEXT NOT NULL,
  expires_at REAL NOT NULL,
  state BLOB NOT NULL,
  PRIMARY KEY (session_key, call_id)
) WITHOUT ROWID;

-- The log that devices resume from.
CREATE TABLE IF NOT EXISTS event (
  session_key TEXT NOT NULL,
  n INTEGER NOT NULL,
  kind TEXT NOT NULL,
  at REAL NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (session_key, n)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL,
  session_key TEXT NOT NULL,
  inbound_seq INTEGER NOT NULL,
  inbound_id TEXT NOT NULL,
  channel TEXT NOT NULL,
  state INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  due REAL NOT NULL,
  committed_at REAL NOT NULL,
  done_at REAL,
  body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS outbox_open ON outbox (seq) WHERE state = 0;
CREATE INDEX IF NOT EXISTS outbox_inbound ON outbox (inbound_seq);

CREATE TABLE IF NOT EXISTS trace (
  n INTEGER PRIMARY KEY,
  seq INTEGER NOT NULL,
  at REAL NOT NULL,
  steps BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS trace_seq ON trace (seq);

CREATE TABLE IF NOT EXISTS audit (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL,
  inbound_id TEXT NOT NULL,
  trace_id TEXT NOT NULL,
  entry BLOB NOT NULL
);

CREATE TABLE IF NOT EXISTS dead (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  seq INTEGER NOT NULL,
  at REAL NOT NULL,
  channel TEXT NOT NULL,
  session_key TEXT NOT NULL,
  message_id TEXT NOT NULL,
  error TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  text TEXT NOT NULL
) WITHOUT ROWID;
"""

NOTES: Final = """
-- What connectors must know of messages again, numbered in the order of their time.
CREATE TABLE IF NOT EXISTS note (
  n INTEGER PRIMARY KEY,
  channel TEXT NOT NULL,
  key TEXT NOT NULL,
  at REAL NOT NULL,
  value TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS note_key ON note (channel, key);
"""

UPGRADES: Final = {1: NOTES}
"""What makes a file of a format one of the next."""


def open_writer(path: Path) -> sqlite3.Connection:
    """A connection that writes; makes the file (mode 0600) and its tables when they are not there.

    Raises:
        EngineError: the file cannot be opened, or a newer program wrote it.
    """
    try:
        _make_private(path)
        connection = _connect(path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES_MAX}")
        connection.execute("PRAGMA synchronous=FULL")
        _prepare(connection, path)
    except (sqlite3.Error, OSError) as error:
        raise EngineError(
            f"the journal {path} cannot be opened: {error}",
            hint="check that the data directory is writable, is not full, and is on a local disk",
        ) from error
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads; the file exists already."""
    connection = _connect(path)
    connection.execute("PRAGMA query_only=ON")
    return connection


def _make_private(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    connection.execute("PRAGMA temp_store=MEMORY")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'meta'"
    ).fetchone()[0]
    if not found:
        connection.executescript(
            f"BEGIN IMMEDIATE;{TABLES}{NOTES}"
            f"INSERT OR IGNORE INTO meta VALUES ('format', {FORMAT}), ('epoch', 0),"
            " ('event_base', 0);COMMIT;"
        )
    written = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()[0]
    for older in range(written, FORMAT):
        # Another process may upgrade at the same time: each step is one that can be repeated.
        connection.executescript(
            f"BEGIN IMMEDIATE;{UPGRADES[older]}"
            f"UPDATE meta SET value = {older + 1} WHERE key = 'format' AND value = {older};COMMIT;"
        )
    if written > FORMAT:
        raise EngineError(
            f"the journal {path} has format {written}; this program reads {FORMAT}",
            hint="start the version of ai-engine that wrote it, or a newer one",
        )
