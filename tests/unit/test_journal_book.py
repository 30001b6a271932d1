"""The SQLite book: what several operations of one transaction see of each other."""

import contextlib
from collections.abc import Iterator

import pytest

from ai_engine.domain.message import InboundMessage
from ai_engine.domain.session import HistoryEntry
from ai_engine.journal import rules
from ai_engine.journal.base import Limits, Outcome
from ai_engine.journal.rows import CANCELLED, Inbound
from ai_engine.journal.sqlite_book import Seen, SqliteBook
from ai_engine.journal.sqlite_schema import open_writer

from support.journals import message

NOW = 1_700_000_000.0


class File:
    """An open file on which books are written one after the other."""

    def __init__(self, path) -> None:
        self.db = open_writer(path)
        self.seen = Seen()

    @contextlib.contextmanager
    def book(self) -> Iterator[SqliteBook]:
        self.db.execute("BEGIN IMMEDIATE")
        book = SqliteBook(self.db, Limits(), NOW, self.seen)
        yield book
        book.flush()
        self.db.execute("COMMIT")

    def state(self, row: Inbound) -> int:
        return self.db.execute("SELECT state FROM inbound WHERE seq = ?", (row.seq,)).fetchone()[0]

    def pending(self) -> int:
        return self.db.execute("SELECT sum(pending) FROM session").fetchone()[0]


@pytest.fixture
def file(tmp_path):
    made = File(tmp_path / "journal.db")
    yield made
    made.db.close()


def inbound(sent: InboundMessage | None = None) -> Inbound:
    return Inbound(id=f"m{id(sent)}", message=sent or message(), session_key="k")


def test_a_start_after_a_commit_in_one_transaction_sees_its_history(file: File):
    first, second = inbound(message()), inbound(message())
    entries = [HistoryEntry(role="user", text="a")]
    with file.book() as book:
        rules.accept(book, first)
        rules.accept(book, second)
        rules.start(book, first, counted=True)
        rules.commit(book, first, Outcome(history=entries), None, ())
        started = rules.start(book, second, counted=True)
    assert started.session.history == tuple(entries)


@pytest.mark.parametrize("together", [True, False])
def test_a_start_that_comes_after_its_cancellation_does_not_revive_the_row(file: File, together):
    queued, stop = inbound(message()), inbound(message())
    with file.book() as book:
        rules.accept(book, queued)
        rules.accept(book, stop)
        rules.start(book, stop, counted=True)
    with file.book() as book:
        rules.commit(book, stop, Outcome(), None, [queued])
        if together:
            book.mark_running(queued)
    if not together:
        with file.book() as book:
            book.mark_running(queued)
    assert file.state(queued) == CANCELLED
    assert file.pending() == 0


def test_hundreds_of_rows_in_one_transaction_are_all_written(file: File):
    rows = [inbound(message()) for _ in range(301)]
    with file.book() as book:
        for row in rows:
            rules.accept(book, row)
        for row in rows:
            rules.start(book, row, counted=True)
    assert [row.seq for row in rows] == list(range(1, 302))
    assert {file.state(row) for row in rows} == {1}
    with file.book() as book:
        for row in rows:
            rules.commit(book, row, Outcome(), None, ())
    assert {file.state(row) for row in rows} == {2}
    assert file.db.execute("SELECT count(*) FROM trace").fetchone() == (903,)


def test_a_duplicate_within_one_transaction_is_seen(file: File):
    sent = message(id="p1")
    with file.book() as book:
        first = rules.accept(book, inbound(sent))
        again = rules.accept(book, inbound(sent))
    assert (again.duplicate, again.id) == (True, first.id)


def test_the_backlog_counts_what_this_transaction_accepted(file: File):
    with file.book() as book:
        rules.accept(book, inbound(message()))
        assert book.backlog() == 1
