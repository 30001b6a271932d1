"""What only the SQLite journal promises: several processes, few fsyncs, a disk that refuses."""

import asyncio
import contextlib
import os
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from ai_engine.domain.clock import SystemClock
from ai_engine.domain.errors import EngineError, LostLease, Overloaded
from ai_engine.domain.session import Context, HistoryEntry
from ai_engine.journal import sqlite_schema
from ai_engine.journal.base import AuditEntry, Limits, Outcome, Suspended
from ai_engine.journal.sqlite import SqliteJournal
from ai_engine.journal.sqlite_book import SqliteBook

from support.clock import ManualClock
from support.journals import ENGINES, TIMEOUT, Desk, desk, killed, message, opened

SQLITE = ENGINES["sqlite"]
HOUR = 3600.0
TESTS = Path(__file__).parents[1]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
async def j(tmp_path, clock):
    async with opened(SQLITE, tmp_path, clock) as desk:
        await desk.settle()
        yield desk


def rows(path: Path, query: str, *values: object) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, values).fetchall()


@contextlib.asynccontextmanager
async def child(path: Path, *arguments: str):
    """Another process on the journal; killed at the end of the block if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.journal_child",
        str(path),
        *arguments,
        cwd=TESTS,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(TIMEOUT):
        return (await process.stdout.readline()).decode().strip()


async def until_owner(desk: Desk, clock: ManualClock) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not (await desk.journal.stats()).owner:
            await clock.advance(0.2)


# Few fsyncs.


async def test_one_message_costs_two_fsyncs(j: Desk):
    before = (await j.journal.stats()).syncs
    for _ in range(5):
        await j.accept()
        await j.answer(await j.turns.next(), "answer")
        await j.journal.delivered(await j.deliveries.next())
    assert (await j.journal.stats()).syncs - before == 10


async def test_durable_writes_are_synchronised_and_soft_ones_are_not(j: Desk):
    def level() -> int:
        return j.journal._writer._db.execute("PRAGMA synchronous").fetchone()[0]

    normal, full = 1, 2
    await j.accept()
    await j.accept("queued")
    turn = await j.turns.next()
    await j.settle()
    assert level() == normal  # the turn's start
    await j.journal.checkpoint(turn, {})
    assert level() == full
    await j.journal.release(turn)
    assert level() == normal


async def test_many_at_once_share_their_fsyncs(j: Desk):
    before = (await j.journal.stats()).syncs
    await asyncio.gather(*(j.accept(key=f"k{n}") for n in range(300)))
    turns = await j.turns.take(300)
    await asyncio.gather(*(j.answer(turn, "answer") for turn in turns))
    assert (await j.journal.stats()).syncs - before < 0.2 * 300


async def test_a_turn_start_and_a_delivered_reply_survive_the_process_without_an_fsync(
    tmp_path, clock
):
    async with killed(SQLITE, tmp_path, clock) as j:
        await j.accept(key="a")
        await j.answer(await j.turns.next(), "answer")
        delivery = await j.deliveries.next()
        await j.accept(key="b")
        await j.turns.next()
        before = (await j.journal.stats()).syncs
        await j.journal.delivered(delivery)
        await j.settle()
        assert (await j.journal.stats()).syncs == before
    async with opened(SQLITE, tmp_path, clock) as j:
        assert (await j.turns.next()).crashes == 1
        assert await j.no_delivery()


async def test_a_duplicate_is_seen_in_its_own_batch_whatever_was_written_in_between(j: Desk):
    def write_all(book: SqliteBook) -> None:
        book.flush()

    first = asyncio.create_task(j.accept(id="p1"))
    await asyncio.sleep(0)
    between = asyncio.create_task(j.journal._call(write_all, durable=True))
    await asyncio.sleep(0)
    again = asyncio.create_task(j.accept(id="p1"))
    async with asyncio.timeout(TIMEOUT):
        await between
        assert [(await first).duplicate, (await again).duplicate] == [False, True]


async def test_notes_cost_no_fsync_and_no_write_before_the_next_one(j: Desk, path):
    for n in range(3):
        await j.accept()
        before = (await j.journal.stats()).syncs
        j.journal.note("web", f"p{n}", "x" * 1000)
        turn = await j.turns.next()
        j.journal.note("web", f"a{n}", "x" * 1000)
        await j.answer(turn, "answer")
        await j.journal.delivered(await j.deliveries.next())
        j.journal.note("web", f"d{n}", "x" * 1000)
        assert (await j.journal.stats()).syncs - before == 1
    assert rows(path, "SELECT count(*) FROM note") == [(9,)]


async def test_a_note_is_written_soon_when_nothing_else_is(tmp_path, path):
    async with SqliteJournal(path) as journal:
        journal.note("web", "k", "v")
        async with asyncio.timeout(TIMEOUT):
            while not rows(path, "SELECT 1 FROM note"):
                await asyncio.sleep(0.01)
        assert journal._writer.syncs == 0


# Several processes.


async def test_a_process_that_does_not_own_the_journal_notes_and_reads_notes(path, tmp_path, clock):
    async with opened(SQLITE, tmp_path, clock) as j, SqliteJournal(path, Limits(), clock) as other:
        await j.settle()
        j.journal.note("web", "of the owner", "v")
        other.note("web", "of the other", "w")
        await j.settle()
        await other.stats()
        assert await other.noted("web", "of the owner") == "v"
        assert await j.journal.noted("web", "of the other") == "w"
        assert not other.owner


async def test_messages_that_other_processes_accept_become_turns_in_order(path, tmp_path):
    async with opened(SQLITE, tmp_path, SystemClock()) as j:
        await j.accept("m0")
        async with child(path, "accept", "1", "5") as process:
            assert [await line(process) for _ in range(5)] == ["accepted"] * 5
        await j.accept("m6")
        texts = []
        for _ in range(7):
            turn = await j.turns.next()
            texts.append(turn.message.text)
            await j.answer(turn)
        assert texts == [f"m{n}" for n in range(7)]


async def test_a_duplicate_is_recognised_by_another_process(path, tmp_path):
    async with opened(SQLITE, tmp_path, SystemClock()) as j:
        await j.accept(id="p1")
        async with child(path, "accept", "1", "2") as process:
            assert [await line(process) for _ in range(2)] == ["duplicate", "accepted"]
        assert (await j.accept(id="p2")).duplicate


async def test_a_killed_owner_is_replaced_and_its_running_turn_is_repeated(path):
    async with SqliteJournal(path) as journal:
        await journal.accept(message("first"), "k")
        async with child(path, "own") as process:
            assert await line(process) == "running first"
            await journal.accept(message("second"), "k")
            async with desk(journal) as standby:
                assert await standby.no_turn()
                assert not (await journal.stats()).owner
                process.kill()
                turn = await standby.turns.next()
                assert (turn.message.text, turn.crashes) == ("first", 1)
                await standby.answer(turn)
                assert (await standby.turns.next()).message.text == "second"


async def test_a_standby_takes_over_when_the_owner_closes(path, tmp_path, clock):
    async with AsyncTwo(path, clock) as (first, second):
        await first.accept("running")
        await first.turns.next()
        await first.journal.drain()
        assert await second.no_turn()
        await first.journal.__aexit__(None, None, None)
        await until_owner(second, clock)
        turn = await second.turns.next()
        assert (turn.message.text, turn.crashes) == ("running", 0)


async def test_an_owner_that_was_replaced_can_change_nothing_any_more(path, clock):
    async with AsyncTwo(path, clock) as (old, new):
        await old.accept("one", key="a")
        await old.accept("two", key="b")
        await old.accept("three", key="c")
        one, two, three = await old.turns.take(3)
        await old.answer(one, "from old")
        delivery = await old.deliveries.next()
        old.journal._unlock()  # as a lock lost with its file system
        await until_owner(new, clock)
        with pytest.raises(LostLease):
            await old.answer(two, "late")
        with pytest.raises(LostLease):
            await old.journal.checkpoint(three, {"late": True})
        with pytest.raises(LostLease):
            await old.journal.delivered(delivery)
        assert not (await old.journal.stats()).owner
        assert old.journal._queues.backlog == 0
        again = await new.turns.take(2)
        assert [(turn.message.text, turn.checkpoint) for turn in again] == [
            ("two", None),
            ("three", None),
        ]
        await new.answer(again[0], "in time")
        texts = {(await new.deliveries.next()).reply.text for _ in range(2)}
        assert texts == {"from old", "in time"}
        await old.accept("four", key="d")
        await clock.advance(0.2)
        assert (await new.turns.next()).message.text == "four"
        assert old.turns.ready() == 0


async def test_reading_and_replaying_never_own_and_the_owner_notices_the_replay(
    path, tmp_path, clock
):
    limits = Limits(error_attempts_max=1)
    async with opened(SQLITE, tmp_path, clock, limits) as j:
        await j.accept("bad", id="p1")
        await j.journal.fail(await j.turns.next(), "boom")
        await j.exchange("good", key="b")
        await j.accept(key="c")
        await j.answer(await j.turns.next(), "lost")
        await j.journal.undeliverable(await j.deliveries.next(), "404")
        async with SqliteJournal(path, limits, clock) as tool:
            assert len(await tool.sessions()) == 3
            letters = await tool.dead_letters()
            assert {letter.text for letter in letters} == {"bad", "lost"}
            for letter in letters:
                assert await tool.replay(letter.id)
            stats = await tool.stats()
            assert (stats.owner, stats.backlog, stats.dead_letters) == (False, 1, 0)
        await clock.advance(0.2)
        assert (await j.turns.next()).message.text == "bad"
        assert (await j.deliveries.next()).reply.text == "lost"


async def test_the_backlog_is_one_for_all_processes(path, tmp_path, clock):
    limits = Limits(backlog_messages_max=2)
    async with opened(SQLITE, tmp_path, clock, limits) as j:
        await j.settle()
        await j.accept()
        async with SqliteJournal(path, limits, clock) as other:
            await other.accept(message(), "k")
            with pytest.raises(Overloaded):
                await other.accept(message(), "k")
        await clock.advance(0.2)
        await j.settle()
        with pytest.raises(Overloaded):
            await j.accept()


# Faults.


async def test_a_full_disk_refuses_and_everything_goes_on_when_there_is_room(j: Desk):
    await j.accept("one")
    turn = await j.turns.next()
    database = j.journal._writer._db
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count={pages}")
    big = "x" * 100_000
    with pytest.raises(Overloaded, match="full"):
        await j.accept(big, id="p1")
    with pytest.raises(EngineError, match="full"):
        await j.answer(turn, big)
    database.execute("PRAGMA max_page_count=1000000000")
    assert not (await j.accept("two", id="p1")).duplicate
    await j.answer(turn, "answer")
    assert (await j.deliveries.next()).reply.text == "answer"
    assert (await j.turns.next()).message.text == "two"


async def test_a_delivered_that_the_disk_refused_is_written_later(tmp_path, clock):
    async with killed(SQLITE, tmp_path, clock) as j:
        await j.accept()
        await j.answer(await j.turns.next(), "one")
        delivery = await j.deliveries.next()
        await j.settle()
        database = j.journal._writer._db
        database.execute("PRAGMA query_only=ON")
        await j.journal.delivered(delivery)
        with pytest.raises(Overloaded):
            await j.accept("two")
        database.execute("PRAGMA query_only=OFF")
        await j.accept("three")
    async with opened(SQLITE, tmp_path, clock) as j:
        assert await j.no_delivery()


async def test_a_start_that_could_not_be_written_is_tried_again(j: Desk, clock):
    database = j.journal._writer._db
    await j.accept("one")
    await j.accept("two")
    turn = await j.turns.next()
    original = j.journal._writer._transaction

    def refuse(batch):
        if any(not operation.durable and operation.fenced for operation in batch):
            raise sqlite3.OperationalError("disk I/O error")
        return original(batch)

    j.journal._writer._transaction = refuse
    await j.answer(turn)
    assert await j.no_turn()
    j.journal._writer._transaction = original
    await clock.advance(1)
    assert (await j.turns.next()).message.text == "two"
    assert database.execute("SELECT count(*) FROM inbound WHERE state < 2").fetchone() == (1,)


async def test_what_others_accepted_is_found_even_when_the_next_write_fails(
    j: Desk, path, clock, monkeypatch
):
    async with SqliteJournal(path, Limits(), clock) as other:
        await other.accept(message("from another"), "k")
    original = SqliteBook.flush
    fails = [True]

    def flush(book):
        if fails.pop() if fails else False:
            raise sqlite3.OperationalError("disk I/O error")
        original(book)

    monkeypatch.setattr(SqliteBook, "flush", flush)
    with pytest.raises(Overloaded):
        await j.accept("mine")
    assert await j.accept("mine")
    assert (await j.turns.next()).message.text == "from another"


async def test_one_operations_failure_is_its_own(j: Desk):
    await j.accept(key="a")
    await j.accept(key="b")
    good, bad = await j.turns.take(2)
    broken = Outcome(context=Context(params={"x": object()}))
    ends = await asyncio.gather(
        j.accept("other", key="c"),
        j.journal.commit(bad, broken),
        j.answer(good, "answer"),
        j.accept("more", key="c"),
        return_exceptions=True,
    )
    assert isinstance(ends[1], TypeError)
    assert [isinstance(end, BaseException) for end in ends] == [False, True, False, False]
    assert (await j.deliveries.next()).reply.text == "answer"
    await j.answer(bad, "at last")
    assert (await j.deliveries.next()).reply.text == "at last"


async def test_the_file_of_a_newer_program_is_refused(path):
    async with SqliteJournal(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = 99 WHERE key = 'format'")
        connection.commit()
    with pytest.raises(EngineError, match="99"):
        async with SqliteJournal(path):
            pass


async def test_a_file_of_format_1_is_upgraded_and_keeps_what_it_held(path, tmp_path, clock):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            f"PRAGMA journal_mode=WAL;{sqlite_schema.TABLES}"
            "INSERT INTO meta VALUES ('format', 1), ('epoch', 0), ('event_base', 0);"
        )
    async with SqliteJournal(path, Limits(), clock) as first:
        assert rows(path, "SELECT value FROM meta WHERE key = 'format'") == [(2,)]
        await first.accept(message("kept"), "k")
        first.note("web", "k", "v")
    async with opened(SQLITE, tmp_path, clock) as j:
        assert (await j.turns.next()).message.text == "kept"
        assert await j.journal.noted("web", "k") == "v"
    made = tmp_path / "new.db"
    async with SqliteJournal(made):
        tables = "SELECT name, sql FROM sqlite_master ORDER BY name"
        assert rows(path, tables) == rows(made, tables)


async def test_a_file_that_is_no_journal_is_refused_with_a_hint(path, tmp_path):
    path.write_bytes(b"not a database, but long enough to be read as one" * 100)
    with pytest.raises(EngineError) as refused:
        async with SqliteJournal(path):
            pass
    assert refused.value.hint
    with pytest.raises(EngineError):
        async with SqliteJournal(tmp_path / "missing" / "journal.db"):
            pass


async def test_the_files_are_for_their_owner_only(j: Desk, path):
    await j.accept()
    for name in os.listdir(path.parent):
        assert stat.S_IMODE((path.parent / name).stat().st_mode) == 0o600, name


async def test_a_closed_journal_refuses_and_never_hangs(path, clock):
    async with SqliteJournal(path, Limits(), clock) as journal, desk(journal) as j:
        await j.accept()
        turn = await j.turns.next()
    with pytest.raises(EngineError):
        await journal.commit(turn, Outcome())
    with pytest.raises(Overloaded):
        await journal.accept(message(), "k")
    with pytest.raises(EngineError):
        await journal.replay("d")


# Forgetting.


async def test_everything_is_forgotten_at_its_time(path, tmp_path, clock):
    async with opened(SQLITE, tmp_path, clock, Limits(error_attempts_max=1)) as j:
        entry = HistoryEntry(role="user", text="a")
        audit = [AuditEntry(action="a", actor="b", resource="c", outcome="allowed")]
        await j.accept(key="k1", audit=audit)
        turn = await j.turns.next()
        suspended = Suspended(call_id="c", state={}, expires_at=clock.time() + 60)
        await j.answer(turn, "answer", history=[entry], suspended=suspended, audit=audit)
        await j.journal.delivered(await j.deliveries.next())
        await j.accept("bad", key="k2")
        await j.journal.fail(await j.turns.next(), "boom")
        await j.accept(key="k3")
        await j.answer(await j.turns.next(), "lost", history=[entry])
        await j.journal.undeliverable(await j.deliveries.next(), "404")
        j.journal.note("web", "k", "v")

        async def counted(seconds: float) -> dict[str, int]:
            await clock.advance(seconds - 200)
            for _ in range(8):
                await clock.advance(25)
                await j.settle()
            tables = ("inbound", "outbox", "event", "history", "session", "known", "trace", "dead")
            return {
                table: rows(path, f"SELECT count(*) FROM {table}")[0][0]
                for table in (*tables, "audit", "suspended", "note")
            }

        assert await counted(1800) == {
            "inbound": 3,
            "outbox": 2,
            "event": 5,
            "history": 1,  # of the session that is suspended
            "session": 3,
            "known": 3,
            "trace": 10,
            "dead": 2,
            "audit": 2,
            "suspended": 1,
            "note": 1,
        }
        assert (await counted(HOUR))["inbound"] == 1  # the dead one
        after = await counted(25 * HOUR)
        assert (after["outbox"], after["event"], after["session"]) == (1, 0, 1)
        after = await counted(7 * 24 * HOUR)
        assert (after["known"], after["trace"], after["note"]) == (0, 0, 0)
        assert (after["dead"], after["audit"]) == (2, 2)
        after = await counted(25 * 24 * HOUR)
        assert set(after.values()) == {0}


async def test_event_numbers_go_on_after_a_session_was_forgotten(j: Desk, path, clock):
    for _ in range(3):
        await j.exchange()
    for _ in range(10):
        await clock.advance(3 * HOUR)
        await j.settle()
    assert rows(path, "SELECT count(*) FROM session") == [(0,)]
    assert (await j.accept()).event == 4


async def test_audit_rows_are_written_with_the_message_and_with_its_commit(j: Desk, path):
    def entry(action: str) -> AuditEntry:
        return AuditEntry(action=action, actor="a", resource="r", outcome="allowed")

    receipt = await j.accept(audit=[entry("message.accept")])
    turn = await j.turns.next()
    await j.answer(turn, audit=[entry("skill.call"), entry("reply")])
    found = rows(path, "SELECT inbound_id, trace_id, entry ->> 'action' FROM audit ORDER BY n")
    assert found == [
        (receipt.id, "t0", action) for action in ("message.accept", "skill.call", "reply")
    ]


class AsyncTwo:
    """Two journals on one file in this process, the first of them the owner."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        self._path = path
        self._clock = clock
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> tuple[Desk, Desk]:
        desks = []
        for _ in range(2):
            journal = SqliteJournal(self._path, Limits(), self._clock)
            await self._stack.enter_async_context(_closing(journal))
            read = await self._stack.enter_async_context(desk(journal))
            await read.settle()
            desks.append(read)
        assert (await desks[0].journal.stats()).owner
        assert not (await desks[1].journal.stats()).owner
        return desks[0], desks[1]

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


@contextlib.asynccontextmanager
async def _closing(journal: SqliteJournal):
    """Close it at the end, unless the test has done so."""
    await journal.__aenter__()
    try:
        yield
    finally:
        if journal._open:
            await journal.__aexit__(None, None, None)
