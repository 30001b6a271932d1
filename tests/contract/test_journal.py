"""The contract of every journal engine: what `journal/base.py` promises."""

import asyncio

import pytest

from ai_engine.domain.errors import LostLease, Overloaded
from ai_engine.domain.message import Lane, MessageKind
from ai_engine.domain.reply import Card, Reply
from ai_engine.domain.session import Context, HistoryEntry
from ai_engine.journal.base import Limits, Outcome, Suspended
from ai_engine.journal.notes import REMEMBERED_MAX

from support.clock import ManualClock
from support.journals import DURABLE, ENGINES, Desk, Engine, killed, message, opened, replies

HOUR = 3600.0


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=list(ENGINES))
def engine(request):
    return ENGINES[request.param]


@pytest.fixture(params=DURABLE)
def durable(request):
    return ENGINES[request.param]


@pytest.fixture
async def j(engine: Engine, tmp_path, clock):
    async with opened(engine, tmp_path, clock) as desk:
        yield desk


# Accepting.


async def test_an_accepted_message_becomes_a_turn_with_all_that_it_carried(j: Desk, clock):
    sent = message("hi 你好", id="p1", payload={"a": [1, None]})
    receipt = await j.journal.accept(sent, "k")
    turn = await j.turns.next()
    assert not receipt.duplicate
    assert (turn.id, turn.message) == (receipt.id, sent)
    assert (turn.attempt, turn.crashes, turn.lane) == (1, 0, Lane.MAILBOX)
    assert turn.accepted_at == clock.time()
    assert turn.session.id == receipt.session_id
    assert turn.session.id.startswith("s_")
    assert (turn.session.key, turn.session.user_id) == ("k", "anna")
    assert turn.session.expire_at == clock.time() + 900


async def test_a_message_of_the_same_channel_and_id_is_a_duplicate_with_the_first_ones_receipt(
    j: Desk,
):
    first = await j.accept(id="p1")
    again = await j.accept("other text", id="p1")
    assert again.duplicate
    assert (again.id, again.session_id, again.event) == (first.id, first.session_id, first.event)
    assert not (await j.accept(id="p1", channel="other")).duplicate
    assert len(await j.turns.take(1)) == 1
    assert (await j.journal.stats()).backlog == 2


async def test_two_at_the_same_time_are_one_message_and_one_duplicate(j: Desk):
    receipts = await asyncio.gather(*(j.accept(id="p1") for _ in range(5)))
    assert sorted(r.duplicate for r in receipts) == [False, True, True, True, True]
    assert len({r.id for r in receipts}) == 1


async def test_an_idle_sessions_message_starts_with_its_accept_and_the_next_one_waits(j: Desk):
    await j.settle()
    first = (await j.journal.stats()).round_trips
    before = (await j.journal.stats()).round_trips
    await j.accept("one")
    asking = before - first
    assert (await j.journal.stats()).round_trips == before + asking + 1
    await j.accept("two")
    turn = await j.turns.next()
    assert (turn.message.text, turn.blocked_seconds) == ("one", 0.0)
    assert await j.no_turn()
    await j.answer(turn)
    assert (await j.turns.next()).message.text == "two"


async def test_messages_that_arrive_together_know_their_histories_and_their_duplicates(j: Desk):
    keys = [f"k{n}" for n in range(20)]
    for key in keys:
        entry = HistoryEntry(role="user", text=f"of {key}", tokens=2)
        await j.accept(id=f"first {key}", key=key)
        await j.answer(await j.turns.next(), history=[entry])
    ids = [f"first {key}" if n % 2 else f"second {key}" for n, key in enumerate(keys)]
    receipts = await asyncio.gather(
        *(j.accept(id=ids[n], key=key) for n, key in enumerate(keys)),
        *(j.accept(id=ids[n], key=key) for n, key in enumerate(keys)),
        j.accept(id="first k0", key="k0", channel="other"),
    )
    assert [receipt.duplicate for receipt in receipts] == [
        *(bool(n % 2) for n in range(20)),
        *[True] * 20,
        False,
    ]
    for turn in await j.turns.take(10):
        assert [entry.text for entry in turn.session.history] == [f"of {turn.session.key}"]


async def test_a_duplicate_is_known_for_a_day_even_when_its_message_is_gone(j: Desk, clock):
    first = await j.accept(id="p1")
    await j.answer(await j.turns.next())
    await clock.advance(23 * HOUR)
    assert (await j.accept(id="p1")).id == first.id
    await clock.advance(2 * HOUR)
    again = await j.accept(id="p1")
    assert not again.duplicate
    assert again.id != first.id


async def test_a_full_backlog_refuses_and_an_answered_message_makes_room(engine, tmp_path, clock):
    limits = Limits(backlog_messages_max=3)
    async with opened(engine, tmp_path, clock, limits) as j:
        await j.settle()
        for n in range(3):
            await j.accept(id=f"p{n}")
        with pytest.raises(Overloaded) as refused:
            await j.accept(id="p4")
        assert refused.value.retry_after_seconds > 0
        assert (await j.accept(id="p1")).duplicate, "what is kept already needs no room"
        await j.answer(await j.turns.next())
        assert not (await j.accept(id="p4")).duplicate


async def test_a_full_backlog_takes_control_messages_up_to_twice_its_limit(engine, tmp_path, clock):
    async with opened(engine, tmp_path, clock, Limits(backlog_messages_max=1)) as j:
        await j.settle()
        await j.accept(id="p0")
        with pytest.raises(Overloaded):
            await j.accept(id="p1")
        await j.accept(id="p2", lane=Lane.CONTROL)
        with pytest.raises(Overloaded):
            await j.accept(id="p3", lane=Lane.CONTROL)


async def test_a_full_outbox_refuses_until_replies_have_left(engine, tmp_path, clock):
    async with opened(engine, tmp_path, clock, Limits(outbox_replies_max=2)) as j:
        await j.accept()
        await j.answer(await j.turns.next(), "one", "two", "three")
        delivery = await j.deliveries.next()
        with pytest.raises(Overloaded):
            await j.accept(key="other")
        await j.journal.delivered(delivery)
        await j.deliveries.next()
        assert not (await j.accept(key="other")).duplicate


async def test_the_backlog_is_bounded_before_anybody_reads_turns(engine, tmp_path, clock):
    limits = Limits(backlog_messages_max=2)
    async with engine.open(tmp_path, limits, clock) as journal:
        await journal.accept(message(), "k")
        await journal.accept(message(id="p1"), "k")
        with pytest.raises(Overloaded):
            await journal.accept(message(), "k")
        assert (await journal.accept(message(id="p1"), "k")).duplicate
        assert not (await journal.stats()).owner


async def test_after_drain_nothing_is_accepted_or_offered_and_what_runs_may_end(j: Desk):
    await j.accept("one")
    turn = await j.turns.next()
    await j.journal.drain()
    await j.journal.drain()
    await j.turns.ended()
    with pytest.raises(Overloaded):
        await j.accept("two")
    assert await j.answer(turn, "done") == 2


async def test_while_draining_the_replies_of_the_last_turns_are_offered(j: Desk, clock):
    await j.accept("one", key="a")
    await j.accept("two", key="b")
    first, second = await j.turns.take(2)
    await j.answer(first, "waits", "its next")
    waiting = await j.deliveries.next()
    await j.journal.drain()
    await j.journal.retry(waiting, "the platform is away", clock.time() + HOUR)
    assert await j.no_delivery()
    await j.answer(second, "done")
    last = await j.deliveries.next()
    assert last.reply.text == "done"
    await j.journal.delivered(last)
    await j.deliveries.ended()


async def test_draining_with_nothing_in_flight_ends_the_deliveries(j: Desk):
    await j.exchange()
    await j.journal.drain()
    await j.deliveries.ended()


# Turns.


async def test_a_session_has_one_turn_in_flight_and_its_messages_in_order(j: Desk):
    texts = [f"m{n}" for n in range(20)]
    await asyncio.gather(*(j.accept(text) for text in texts))
    for text in texts:
        turn = await j.turns.next()
        assert turn.message.text == text
        assert await j.no_turn()
        await j.answer(turn)


async def test_sessions_run_side_by_side(j: Desk):
    for n in range(40):
        await j.accept(key=f"k{n}")
        await j.accept("later", key=f"k{n}")
    turns = await j.turns.take(40)
    assert [turn.session.key for turn in turns] == [f"k{n}" for n in range(40)]
    assert await j.no_turn()
    await j.answer(turns[7])
    assert (await j.turns.next()).session.key == "k7"


async def test_the_time_behind_the_sessions_earlier_turn_is_told(j: Desk, clock):
    await j.accept("one")
    await j.accept("two")
    first = await j.turns.next()
    await clock.advance(7)
    await j.answer(first)
    assert (first.blocked_seconds, (await j.turns.next()).blocked_seconds) == (0, 7)


async def test_control_overtakes_the_mailbox_while_a_turn_runs(j: Desk):
    await j.accept("slow")
    await j.accept("queued")
    slow = await j.turns.next()
    await j.accept("/stop", lane=Lane.CONTROL)
    control = await j.turns.next()
    assert (control.message.text, control.lane) == ("/stop", Lane.CONTROL)
    assert await j.no_turn()
    await j.answer(control)
    await j.answer(slow)
    assert (await j.turns.next()).message.text == "queued"


async def test_a_message_due_later_waits_without_blocking_its_session(j: Desk, clock):
    await j.accept("later", not_before=clock.time() + 60)
    await j.accept("now")
    turn = await j.turns.next()
    assert turn.message.text == "now"
    await j.answer(turn)
    assert await j.no_turn()
    await clock.advance(59)
    assert await j.no_turn()
    await clock.advance(1)
    later = await j.turns.next()
    assert (later.message.text, later.blocked_seconds) == ("later", 0)


async def test_due_messages_take_their_place_in_order_of_acceptance(j: Desk, clock):
    await j.accept("second", not_before=clock.time() + 10)
    await j.accept("first")
    await j.accept("third")
    first = await j.turns.next()
    await clock.advance(11)
    await j.answer(first)
    second = await j.turns.next()
    await j.answer(second)
    third = await j.turns.next()
    assert [t.message.text for t in (first, second, third)] == ["first", "second", "third"]


async def test_a_due_time_that_has_passed_is_at_once(j: Desk, clock):
    await j.accept("overdue", not_before=clock.time() - 5)
    assert (await j.turns.next()).message.text == "overdue"


async def test_a_released_turn_is_the_sessions_next_again_and_uncounted(j: Desk):
    await j.accept("one")
    await j.accept("two")
    turn = await j.turns.next()
    await j.journal.release(turn)
    again = await j.turns.next()
    assert (again.id, again.attempt, again.crashes) == (turn.id, 1, 0)
    await j.answer(again)
    assert (await j.turns.next()).message.text == "two"


async def test_a_turn_ends_once(j: Desk):
    await j.accept()
    turn = await j.turns.next()
    await j.answer(turn, "a")
    with pytest.raises(LostLease):
        await j.answer(turn, "b")
    with pytest.raises(LostLease):
        await j.journal.fail(turn, "late")
    with pytest.raises(LostLease):
        await j.journal.release(turn)
    with pytest.raises(LostLease):
        await j.journal.checkpoint(turn, {})
    assert (await j.deliveries.next()).reply.text == "a"
    assert await j.no_delivery()


async def test_two_commits_at_once_are_one_commit(j: Desk):
    await j.accept()
    turn = await j.turns.next()
    ends = await asyncio.gather(j.answer(turn, "a"), j.answer(turn, "b"), return_exceptions=True)
    assert [type(end) for end in ends] == [int, LostLease]


async def test_a_commit_happens_even_when_its_caller_is_cancelled(j: Desk):
    await j.accept("one")
    await j.accept("two")
    turn = await j.turns.next()
    caller = asyncio.create_task(j.answer(turn, "answer"))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    assert (await j.turns.next()).message.text == "two"
    assert (await j.deliveries.next()).reply.text == "answer"


# Errors.


async def test_a_failed_turn_is_repeated_and_its_session_waits_for_it(j: Desk, clock):
    await j.accept("bad")
    await j.accept("next")
    verdict = await j.journal.fail(await j.turns.next(), "boom")
    assert (verdict.dead, verdict.attempt) == (False, 1)
    assert clock.time() < verdict.retry_at <= clock.time() + 60
    assert await j.no_turn()
    await clock.advance(verdict.retry_at - clock.time())
    again = await j.turns.next()
    assert (again.message.text, again.attempt) == ("bad", 2)
    assert await j.no_turn()


async def test_other_sessions_go_on_while_one_waits_for_its_failed_turn(j: Desk):
    await j.accept("bad", key="a")
    await j.journal.fail(await j.turns.next(), "boom")
    await j.accept("good", key="b")
    assert (await j.turns.next()).message.text == "good"


async def test_the_third_error_is_a_dead_letter_with_one_reply_and_the_session_goes_on(
    j: Desk, clock
):
    began = clock.time()
    receipt = await j.accept("bad", id="p1")
    await j.accept("next")
    reply = Reply(id="r1", text="Sorry. 抱歉。")
    for _ in range(2):
        verdict = await j.journal.fail(await j.turns.next(), "boom", reply=reply)
        assert not verdict.dead
        await clock.advance(verdict.retry_at - clock.time())
    last = await j.turns.next()
    assert last.attempt == 3
    verdict = await j.journal.fail(last, "boom 3", reply=reply, trace=[{"at": 1.0, "step": "x"}])
    assert (verdict.dead, verdict.attempt) == (True, 3)
    assert clock.time() - began <= 60
    delivery = await j.deliveries.next()
    assert delivery.reply == reply
    assert await j.no_delivery()
    assert (await j.turns.next()).message.text == "next"
    (dead,) = await j.journal.dead_letters()
    assert (dead.kind, dead.message_id, dead.error, dead.attempts) == (
        "inbound",
        "p1",
        "boom 3",
        3,
    )
    assert (dead.text, dead.session_key, dead.channel) == ("bad", "k", "web")
    trace = await j.journal.trace(receipt.id)
    assert trace is not None
    assert trace["state"] == "dead"
    assert [s["step"] for s in trace["steps"]].count("failed") == 3
    stored = await j.journal.stored_replies("web", "p1")
    assert stored == [reply]


async def test_slow_errors_end_within_the_window(j: Desk, clock):
    await j.accept("bad")
    verdict = await j.journal.fail(await j.turns.next(), "boom")
    await clock.advance(verdict.retry_at - clock.time())
    turn = await j.turns.next()
    await clock.advance(58)
    assert (await j.journal.fail(turn, "boom")).dead


async def test_a_repeated_turn_has_its_last_checkpoint(j: Desk, clock):
    await j.accept()
    turn = await j.turns.next()
    assert turn.checkpoint is None
    await j.journal.checkpoint(turn, {"round": 1})
    await j.journal.checkpoint(turn, {"round": 2, "calls": ["a"]})
    verdict = await j.journal.fail(turn, "boom")
    await clock.advance(verdict.retry_at - clock.time())
    assert (await j.turns.next()).checkpoint == {"round": 2, "calls": ["a"]}


# What a commit changes.


async def test_context_and_history_are_there_at_the_next_turn(j: Desk):
    entries = (
        HistoryEntry(role="user", text="hi", tokens=1),
        HistoryEntry(role="assistant", text="你好", tokens=2),
    )
    context = Context(last_skill="weather", params={"city": "上海", "n": 1})
    await j.exchange(context=context, history=entries)
    await j.exchange(history=entries[:1])
    await j.accept()
    turn = await j.turns.next()
    assert turn.session.context == context
    assert turn.session.history == (*entries, entries[0])
    found = await j.journal.session(turn.session.id)
    assert found is not None
    assert (found.context, found.history) == (context, turn.session.history)
    (listed,) = await j.journal.sessions()
    assert (listed.id, listed.history) == (turn.session.id, ())


async def test_history_is_trimmed_from_its_old_end(engine, tmp_path, clock):
    limits = Limits(history_entries_max=3)
    async with opened(engine, tmp_path, clock, limits) as j:
        for n in range(4):
            entries = [HistoryEntry(role="user", text=f"{n}{side}") for side in "ab"]
            await j.exchange(history=entries)
        session = await j.journal.session_by_key("k")
        assert session is not None
        assert [entry.text for entry in session.history] == ["2b", "3a", "3b"]


async def test_events_tell_messages_and_replies_in_order(j: Desk, clock):
    receipt = await j.accept("hi", id="p1")
    assert receipt.event == 1
    turn = await j.turns.next()
    card = Card(title="T", fields=(("a", "b"),))
    reply = Reply(id="r1", text="one", card=card, produced_by="model:main")
    newest = await j.journal.commit(
        turn, Outcome(replies=(reply, Reply(id="r2", text="two", final=False)))
    )
    assert newest == 3
    log = await j.journal.events("k", 0)
    assert [(event.n, event.kind) for event in log] == [(1, "message"), (2, "reply"), (3, "reply")]
    assert log[0].body["text"] == "hi"
    assert log[0].body["id"] == receipt.id
    assert log[1].body["in_reply_to"] == "p1"
    assert (log[1].body["id"], log[1].body["text"]) == ("r1", "one")
    assert log[1].body["produced_by"] == "model:main"
    assert log[1].body["card"]["title"] == "T"
    assert (log[1].body["final"], log[2].body["final"]) == (True, False)
    assert log[0].at == clock.time()
    assert await j.journal.events("k", 1, limit=1) == [log[1]]
    assert await j.journal.events("other", 0) == []


async def test_only_what_a_person_wrote_is_a_message_event(j: Desk):
    receipt = await j.accept("pressed", kind=MessageKind.BUTTON)
    assert receipt.event == 0
    assert await j.journal.events("k", 0) == []


async def test_the_event_log_keeps_its_newest_entries(engine, tmp_path, clock):
    async with opened(engine, tmp_path, clock, Limits(event_log_max=5)) as j:
        for _ in range(4):
            await j.accept()
            await j.answer(await j.turns.next(), "answer")
        assert [event.n for event in await j.journal.events("k", 0)] == [4, 5, 6, 7, 8]
        await clock.advance(25 * HOUR)
        assert await j.journal.events("k", 0) == []


async def test_a_stopped_turn_says_so_after_what_it_had_said(j: Desk):
    receipt = await j.accept("long", id="p1")
    turn = await j.turns.next()
    await j.answer(turn, "so far", handled="stopped")
    kinds = [event.kind for event in await j.journal.events("k", 0)]
    assert kinds == ["message", "reply", "stopped"]
    trace = await j.journal.trace(receipt.id)
    assert trace is not None
    assert trace["state"] == "stopped"


async def test_stop_cancels_what_its_sender_had_queued_before_it_and_nothing_else(j: Desk):
    await j.accept("running", user="anna")
    running = await j.turns.next()
    cancelled = await j.accept("queued", user="anna")
    await j.accept("of another", user="ben")
    await j.accept("other session", key="k2", user="anna")
    other = await j.turns.next()
    await j.accept("/stop", user="anna", lane=Lane.CONTROL)
    await j.accept("after", user="anna")
    stop = await j.turns.next()
    await j.answer(stop, "stopped", cancel_queued_of=("t", "web", "anna"))
    await j.answer(running, handled="stopped")
    await j.answer(other)
    texts = []
    for _ in range(2):
        turn = await j.turns.next()
        texts.append(turn.message.text)
        await j.answer(turn)
    assert texts == ["of another", "after"]
    assert await j.no_turn()
    trace = await j.journal.trace(cancelled.id)
    assert trace is not None
    assert trace["state"] == "cancelled"
    assert trace["steps"][-1]["step"] == "cancelled"
    assert (await j.journal.stats()).backlog == 0


async def test_a_moderators_stop_cancels_everybodys(j: Desk, clock):
    await j.accept("failing", user="anna")
    await j.journal.fail(await j.turns.next(), "boom")
    await j.accept("queued", user="ben")
    await j.accept("/stop all", user="mo", lane=Lane.CONTROL)
    await j.answer(await j.turns.next(), cancel_queued_of=("t", "web", "*"))
    await clock.advance(60)
    assert await j.no_turn()
    await j.accept("new", user="ben")
    assert (await j.turns.next()).message.text == "new"


async def test_new_ends_the_session_and_the_next_message_opens_another(j: Desk):
    await j.exchange(context=Context(last_skill="x"), history=[HistoryEntry(role="user", text="a")])
    await j.accept("/new")
    turn = await j.turns.next()
    await j.accept("fresh")
    await j.journal.commit(turn, Outcome(replies=replies(turn, "cleared"), end_session=True))
    fresh = await j.turns.next()
    assert fresh.session.id != turn.session.id
    assert (fresh.session.context, fresh.session.history) == (Context(), ())
    assert await j.journal.session(turn.session.id) is None
    kinds = [event.kind for event in await j.journal.events("k", 1)]
    assert kinds == ["message", "message", "cleared", "reply"]


async def test_a_suspended_call_is_resumed_exactly_once(j: Desk, clock):
    turn = await j.exchange(
        suspended=Suspended(call_id="c1", state={"tool": "pay"}, expires_at=clock.time() + 600)
    )
    answer = {"kind": MessageKind.RESUME, "payload": {"call": "c1", "answer": "approve"}}
    await j.accept("yes", **answer)
    await j.accept("yes again", **answer)
    first = await j.turns.next()
    assert first.suspended is not None
    assert first.suspended.state == {"tool": "pay"}
    assert first.suspended.inbound_id == turn.id
    await j.answer(first)
    assert (await j.turns.next()).suspended is None


async def test_a_failed_resume_is_still_suspended_and_only_resume_messages_see_it(j: Desk, clock):
    await j.exchange(suspended=Suspended(call_id="c1", state={}, expires_at=clock.time() + 600))
    await j.accept("words", payload={"call": "c1"})
    words = await j.turns.next()
    assert words.suspended is None
    await j.answer(words)
    await j.accept("yes", kind=MessageKind.RESUME, payload={"call": "c1"})
    verdict = await j.journal.fail(await j.turns.next(), "boom")
    await clock.advance(verdict.retry_at - clock.time())
    assert (await j.turns.next()).suspended is not None


async def test_messages_due_come_with_the_commit_and_only_once(j: Desk, clock):
    due = message("expired", id="e1", kind=MessageKind.RESUME)
    now = message("at once", id="e2", kind=MessageKind.NOTICE)
    turn = await j.exchange(due=[(due, clock.time() + 30), (now, clock.time())])
    notice = await j.turns.next()
    assert (notice.message, notice.session.id) == (now, turn.session.id)
    await j.answer(notice, due=[(due, clock.time() + 5)])
    await clock.advance(29)
    assert await j.no_turn()
    await clock.advance(1)
    assert (await j.turns.next()).message == due


async def test_messages_for_other_sessions_leave_through_the_engine_channel_in_their_order(
    j: Desk,
):
    first, second = message("to b", id="n1"), message("to b too", id="n2")
    await j.accept(key="a")
    turn = await j.turns.next()
    await j.answer(turn, "reply", messages=[("b", first), ("b", second)])
    found = {}
    for _ in range(2):
        delivery = await j.deliveries.next()
        found[delivery.session_key] = delivery
    assert found["a"].reply.text == "reply"
    delivery = found["b"]
    assert (delivery.channel, delivery.message) == ("engine", first)
    assert delivery.inbound_id == turn.id
    assert await j.no_delivery()
    await j.journal.delivered(delivery)
    assert (await j.deliveries.next()).message == second


async def test_a_refused_outcome_changes_nothing_and_the_turn_can_still_end(j: Desk):
    await j.accept()
    turn = await j.turns.next()
    bad = Outcome(context=Context(params={"x": object()}), replies=replies(turn, "a"))
    await j.settle()
    with pytest.raises(TypeError):
        await j.journal.commit(turn, bad)
    assert await j.no_delivery()
    assert await j.answer(turn, "good") == 2
    assert (await j.deliveries.next()).reply.text == "good"


# Sessions.


async def test_an_idle_session_expires_and_the_next_message_opens_a_new_one(j: Desk, clock):
    turn = await j.exchange(context=Context(last_skill="x"), history=[_entry("a")])
    await clock.advance(899)
    assert await j.journal.session(turn.session.id) is not None
    await clock.advance(1)
    assert await j.journal.session(turn.session.id) is None
    assert await j.journal.session_by_key("k") is None
    assert await j.journal.sessions() == []
    assert [event.n for event in await j.journal.events("k", 0)] == [1]
    receipt = await j.accept()
    assert receipt.session_id != turn.session.id
    assert receipt.event == 2
    fresh = await j.turns.next()
    assert (fresh.session.context, fresh.session.history) == (Context(), ())


async def test_accepting_and_committing_keep_a_session(j: Desk, clock):
    await j.accept()
    turn = await j.turns.next()
    await clock.advance(800)
    await j.answer(turn)
    await clock.advance(800)
    receipt = await j.accept()
    assert receipt.session_id == turn.session.id
    await j.answer(await j.turns.next())
    await clock.advance(800)
    assert await j.journal.session(turn.session.id) is not None


async def test_a_session_with_a_running_turn_does_not_expire(j: Desk, clock):
    await j.accept()
    turn = await j.turns.next()
    await clock.advance(2000)
    assert await j.journal.session(turn.session.id) is not None
    assert (await j.accept()).session_id == turn.session.id


async def test_a_session_with_a_suspended_turn_does_not_expire(j: Desk, clock):
    turn = await j.exchange(
        suspended=Suspended(call_id="c1", state={}, expires_at=clock.time() + 9000)
    )
    await clock.advance(2000)
    assert await j.journal.session(turn.session.id) is not None
    await j.accept("yes", kind=MessageKind.RESUME, payload={"call": "c1"})
    resumed = await j.turns.next()
    assert resumed.session.id == turn.session.id
    assert resumed.suspended is not None


async def test_cancelled_messages_do_not_keep_a_session(j: Desk, clock):
    await j.accept("running")
    running = await j.turns.next()
    await j.accept("queued")
    await j.accept("/stop", lane=Lane.CONTROL)
    await j.answer(await j.turns.next(), cancel_queued_of=("t", "web", "anna"))
    await j.answer(running)
    await clock.advance(900)
    assert await j.journal.session(running.session.id) is None


async def test_a_message_due_much_later_does_not_keep_the_session(j: Desk, clock):
    turn = await j.exchange(due=[(message("remind"), clock.time() + 5000)])
    await clock.advance(5000)
    reminded = await j.turns.next()
    assert reminded.session.id != turn.session.id
    await clock.advance(2000)
    assert await j.journal.session(reminded.session.id) is not None
    await j.answer(reminded)
    await clock.advance(900)
    assert await j.journal.session(reminded.session.id) is None


async def test_sessions_are_listed_most_recently_active_first(j: Desk, clock):
    for key in ("a", "b", "c"):
        await j.exchange(key=key)
        await clock.advance(1)
    await j.exchange(key="a")
    assert [session.key for session in await j.journal.sessions()] == ["a", "c", "b"]
    assert [session.key for session in await j.journal.sessions(limit=1)] == ["a"]


# Deliveries.


async def test_a_delivery_knows_all_that_the_channel_needs(j: Desk, clock):
    receipt = await j.accept("hi", id="p1", user="ben")
    turn = await j.turns.next()
    await j.answer(turn, "answer")
    delivery = await j.deliveries.next()
    assert (delivery.id, delivery.reply.text) == (f"{turn.id}-0", "answer")
    assert (delivery.inbound_id, delivery.inbound_message_id) == (receipt.id, "p1")
    assert (delivery.channel, delivery.target) == ("web", {"to": "ben"})
    assert (delivery.user_id, delivery.trace_id, delivery.attempt) == ("ben", "t0", 1)
    assert delivery.committed_at == clock.time()


async def test_replies_leave_in_order_one_in_flight_per_session(j: Desk):
    await j.accept(key="a")
    await j.accept(key="b")
    one, two = await j.turns.take(2)
    await j.answer(one, "a1", "a2")
    await j.answer(two, "b1")
    first = await j.deliveries.next()
    other = await j.deliveries.next()
    assert [first.reply.text, other.reply.text] == ["a1", "b1"]
    assert await j.no_delivery()
    await j.journal.delivered(first)
    assert (await j.deliveries.next()).reply.text == "a2"


async def test_a_retried_delivery_is_repeated_at_its_time_and_the_later_ones_wait(j: Desk, clock):
    await j.accept()
    await j.answer(await j.turns.next(), "one", "two")
    await j.journal.retry(await j.deliveries.next(), "503", clock.time() + 20)
    assert await j.no_delivery()
    await clock.advance(20)
    again = await j.deliveries.next()
    assert (again.reply.text, again.attempt) == ("one", 2)
    await j.journal.delivered(again)
    assert (await j.deliveries.next()).reply.text == "two"


async def test_an_undeliverable_reply_is_a_dead_letter_and_the_next_goes_on(j: Desk):
    receipt = await j.accept(id="p1")
    await j.answer(await j.turns.next(), "one", "two")
    await j.journal.undeliverable(await j.deliveries.next(), "404")
    assert (await j.deliveries.next()).reply.text == "two"
    (dead,) = await j.journal.dead_letters()
    assert (dead.kind, dead.error, dead.text) == ("delivery", "404", "one")
    assert (dead.message_id, dead.attempts) == ("p1", 1)
    trace = await j.journal.trace(receipt.id)
    assert trace is not None
    assert "undeliverable" in [step["step"] for step in trace["steps"]]


async def test_the_last_attempt_of_a_delivery_is_a_dead_letter(engine, tmp_path, clock):
    async with opened(engine, tmp_path, clock, Limits(delivery_attempts_max=3)) as j:
        await j.accept()
        await j.answer(await j.turns.next(), "one", "two")
        for _ in range(3):
            delivery = await j.deliveries.next()
            assert delivery.reply.text == "one"
            await j.journal.retry(delivery, "503", clock.time() + 1)
            await clock.advance(1)
        assert (await j.deliveries.next()).reply.text == "two"
        (dead,) = await j.journal.dead_letters()
        assert (dead.text, dead.attempts, dead.error) == ("one", 3, "503")


async def test_a_delivery_ends_once(j: Desk, clock):
    await j.accept()
    await j.answer(await j.turns.next(), "one")
    delivery = await j.deliveries.next()
    await j.journal.delivered(delivery)
    with pytest.raises(LostLease):
        await j.journal.delivered(delivery)
    with pytest.raises(LostLease):
        await j.journal.retry(delivery, "x", clock.time())
    with pytest.raises(LostLease):
        await j.journal.undeliverable(delivery, "x")


# Reading.


async def test_stored_replies_are_there_from_the_commit_on(j: Desk, clock):
    assert await j.journal.stored_replies("web", "p1") is None
    await j.accept(id="p1")
    assert await j.journal.stored_replies("web", "p1") is None
    turn = await j.turns.next()
    assert await j.journal.stored_replies("web", "p1") is None
    await j.answer(turn, "one", "two", messages=[("b", message())])
    for wait in (0, 2 * HOUR):
        await clock.advance(wait)
        stored = await j.journal.stored_replies("web", "p1")
        assert stored == list(replies(turn, "one", "two"))
    assert await j.journal.stored_replies("other", "p1") is None


async def test_a_message_answered_with_nothing_has_no_replies_but_is_handled(j: Desk):
    await j.accept(id="p1")
    await j.answer(await j.turns.next())
    assert await j.journal.stored_replies("web", "p1") == []


async def test_a_trace_tells_the_whole_story_by_either_id(j: Desk):
    receipt = await j.accept("hi", id="p1")
    turn = await j.turns.next()
    running = await j.journal.trace("p1")
    assert running is not None
    assert running["state"] == "running"
    await j.answer(turn, "answer", trace=[{"at": 5.0, "step": "routed", "rule": "r"}])
    await j.journal.delivered(await j.deliveries.next(), trace=[{"at": 6.0, "step": "sent"}])
    trace = await j.journal.trace("p1")
    assert trace == await j.journal.trace(receipt.id)
    assert trace is not None
    assert [step["step"] for step in trace["steps"]] == [
        "accepted",
        "started",
        "routed",
        "committed",
        "sent",
        "delivered",
    ]
    assert (trace["id"], trace["message_id"], trace["channel"]) == (receipt.id, "p1", "web")
    assert (trace["session"], trace["trace_id"]) == (receipt.session_id, "t0")
    assert (trace["state"], trace["attempts"]) == ("handled", 1)
    assert await j.journal.trace("unknown") is None


async def test_a_trace_can_be_that_of_one_channel(j: Desk):
    ours = await j.accept(id="p1")
    other = await j.accept(id="p1", channel="other", key="k2")
    for channel, receipt in (("web", ours), ("other", other)):
        trace = await j.journal.trace("p1", channel)
        assert trace is not None
        assert trace["id"] == receipt.id
        assert trace == await j.journal.trace(receipt.id, channel)
    assert await j.journal.trace("p1", "third") is None


async def test_a_trace_survives_its_message(j: Desk, clock):
    await j.accept(id="p1")
    await j.answer(await j.turns.next(), handled="stopped")
    await clock.advance(6 * 24 * HOUR)
    await j.accept(key="other")
    trace = await j.journal.trace("p1")
    assert trace is not None
    assert trace["state"] == "stopped"


async def test_a_replayed_message_starts_from_zero_at_the_end_of_its_session(
    engine, tmp_path, clock
):
    async with opened(engine, tmp_path, clock, Limits(error_attempts_max=1)) as j:
        receipt = await j.accept("bad", id="p1")
        assert (await j.journal.fail(await j.turns.next(), "boom")).dead
        await clock.advance(48 * HOUR)
        await j.accept("running")
        running = await j.turns.next()
        (dead,) = await j.journal.dead_letters()
        assert await j.journal.replay(dead.id)
        assert not await j.journal.replay(dead.id)
        assert await j.no_turn()
        await j.answer(running)
        again = await j.turns.next()
        assert (again.id, again.message.text, again.attempt) == (receipt.id, "bad", 1)
        await j.answer(again, "better")
        assert (await j.deliveries.next()).reply.text == "better"
        assert await j.journal.dead_letters() == []
        trace = await j.journal.trace(receipt.id)
        assert trace is not None
        assert trace["state"] == "handled"
        assert "replayed" in [step["step"] for step in trace["steps"]]


async def test_a_replayed_reply_is_delivered(j: Desk, clock):
    await j.accept()
    await j.answer(await j.turns.next(), "one")
    await j.journal.undeliverable(await j.deliveries.next(), "404")
    await clock.advance(48 * HOUR)
    (dead,) = await j.journal.dead_letters()
    assert await j.journal.replay(dead.id)
    delivery = await j.deliveries.next()
    assert (delivery.reply.text, delivery.attempt) == ("one", 1)
    assert not await j.journal.replay("unknown")


async def test_stats_count_what_waits_runs_and_died(j: Desk, clock):
    await j.accept(key="a")
    await j.accept(key="a")
    await j.accept(key="b")
    first, second = await j.turns.take(2)
    await clock.advance(5)
    stats = await j.journal.stats()
    assert (stats.owner, stats.backlog, stats.running) == (True, 3, 2)
    assert (stats.oldest_seconds, stats.sessions) == (5, 2)
    await j.answer(second, "one")
    await j.answer(first, "two", "three")
    await j.journal.undeliverable(await j.deliveries.next(), "404")
    await j.settle()
    stats = await j.journal.stats()
    assert (stats.backlog, stats.running, stats.outbox, stats.dead_letters) == (1, 1, 2, 1)


async def test_a_message_costs_four_round_trips(j: Desk):
    await j.settle()
    before = (await j.journal.stats()).round_trips
    asked = (await j.journal.stats()).round_trips - before
    for _ in range(10):
        await j.accept()
        await j.answer(await j.turns.next(), "answer")
        await j.journal.delivered(await j.deliveries.next())
    after = (await j.journal.stats()).round_trips
    assert after - before - 2 * asked <= 40


# Durability.


async def test_everything_is_there_after_a_clean_restart(durable: Engine, tmp_path, clock):
    async with opened(durable, tmp_path, clock) as j:
        await j.exchange(context=Context(last_skill="x"), history=[_entry("a")])
        await j.accept("running", id="p1")
        running = await j.turns.next()
        await j.journal.checkpoint(running, {"round": 1})
        await j.accept("queued")
        await j.accept("later", not_before=clock.time() + 100)
        await j.accept("answered", key="k2")
        await j.answer(await j.turns.next(), "one", "two")
        await j.journal.delivered(await j.deliveries.next())
    async with opened(durable, tmp_path, clock) as j:
        assert (await j.accept("running", id="p1")).duplicate
        assert (await j.deliveries.next()).reply.text == "two"
        turn = await j.turns.next()
        assert (turn.message, turn.crashes, turn.attempt) == (running.message, 0, 1)
        assert turn.checkpoint == {"round": 1}
        assert turn.session.context == Context(last_skill="x")
        assert turn.session.history == (_entry("a"),)
        assert turn.blocked_seconds is None
        await j.answer(turn)
        queued = await j.turns.next()
        assert queued.message.text == "queued"
        await j.answer(queued)
        assert await j.no_turn()
        await clock.advance(100)
        assert (await j.turns.next()).message.text == "later"


async def test_a_killed_process_loses_nothing_and_counts_its_running_turns_as_crashed(
    durable: Engine, tmp_path, clock
):
    async with killed(durable, tmp_path, clock) as j:
        await j.accept("first")
        await j.accept("second")
        await j.accept("answered", key="k2")
        one, two = await j.turns.take(2)
        assert one.message.text == "first"
        await j.answer(two, "reply")
        await j.deliveries.next()
    async with opened(durable, tmp_path, clock) as j:
        turn = await j.turns.next()
        assert (turn.message.text, turn.crashes, turn.attempt) == ("first", 1, 1)
        assert (await j.deliveries.next()).reply.text == "reply"
        await j.answer(turn)
        second = await j.turns.next()
        assert (second.message.text, second.crashes) == ("second", 0)


async def test_an_error_pause_goes_on_over_a_restart_and_still_blocks(
    durable: Engine, tmp_path, clock
):
    async with killed(durable, tmp_path, clock) as j:
        await j.accept("bad")
        await j.accept("next")
        verdict = await j.journal.fail(await j.turns.next(), "boom")
    async with opened(durable, tmp_path, clock) as j:
        assert await j.no_turn()
        await clock.advance(verdict.retry_at - clock.time())
        turn = await j.turns.next()
        assert (turn.message.text, turn.attempt, turn.crashes) == ("bad", 2, 0)


async def test_a_retried_delivery_keeps_its_time_and_attempt_over_a_restart(
    durable: Engine, tmp_path, clock
):
    async with killed(durable, tmp_path, clock) as j:
        await j.accept()
        await j.answer(await j.turns.next(), "one", "two")
        await j.journal.retry(await j.deliveries.next(), "503", clock.time() + 30)
    async with opened(durable, tmp_path, clock) as j:
        assert await j.no_delivery()
        await clock.advance(30)
        delivery = await j.deliveries.next()
        assert (delivery.reply.text, delivery.attempt) == ("one", 2)


async def test_what_was_cancelled_or_suspended_stays_so_over_a_restart(
    durable: Engine, tmp_path, clock
):
    async with killed(durable, tmp_path, clock) as j:
        await j.exchange(suspended=Suspended(call_id="c1", state={"a": 1}, expires_at=9e9))
        await j.accept("running")
        await j.turns.next()
        await j.accept("queued")
        await j.accept("/stop", lane=Lane.CONTROL)
        await j.answer(await j.turns.next(), cancel_queued_of=("t", "web", "anna"))
    async with opened(durable, tmp_path, clock) as j:
        running = await j.turns.next()
        assert running.message.text == "running"
        await j.answer(running)
        assert await j.no_turn()
        await j.accept("yes", kind=MessageKind.RESUME, payload={"call": "c1"})
        resumed = (await j.turns.next()).suspended
        assert resumed is not None
        assert resumed.state == {"a": 1}


async def test_a_turn_that_crashed_three_times_runs_with_no_other_beside_it(
    durable: Engine, tmp_path, clock
):
    for crashes in range(3):
        async with killed(durable, tmp_path, clock) as j:
            if not crashes:
                await j.accept("poison", key="a")
            assert (await j.turns.next()).crashes == crashes
    async with opened(durable, tmp_path, clock) as j:
        await j.accept("other", key="b")
        poison = await j.turns.next()
        assert (poison.message.text, poison.crashes) == ("poison", 3)
        assert await j.no_turn()
        await j.accept("/stop", key="a", lane=Lane.CONTROL)
        await j.answer(await j.turns.next())
        await j.answer(poison)
        assert (await j.turns.next()).message.text == "other"


async def test_the_eighth_crash_is_a_dead_letter_with_a_reply(durable: Engine, tmp_path, clock):
    def crash_reply(inbound):
        return Reply(id=f"crash-{inbound.message_id}", text="Sorry. 抱歉。")

    for _ in range(8):
        async with killed(durable, tmp_path, clock) as j:
            await j.accept("poison", id="p1")
            await j.turns.next()
    async with opened(durable, tmp_path, clock, crash_reply=crash_reply) as j:
        assert (await j.deliveries.next()).reply.id == "crash-p1"
        assert await j.no_turn()
        (dead,) = await j.journal.dead_letters()
        assert (dead.message_id, dead.attempts) == ("p1", 8)
        kinds = [event.kind for event in await j.journal.events("k", 0)]
        assert kinds == ["message", "reply"]


def _entry(text: str) -> HistoryEntry:
    return HistoryEntry(role="user", text=text)


# Notes.


async def test_a_note_can_be_read_at_once_and_is_its_channels_own(j: Desk):
    j.journal.note("one", "k", "first")
    j.journal.note("two", "k", "第二")
    j.journal.note("one", "k", "newest")
    assert await j.journal.noted("one", "k") == "newest"
    assert await j.journal.noted("two", "k") == "第二"
    assert await j.journal.noted("two", "other") is None


async def test_more_notes_than_a_process_remembers_are_read_from_the_store(j: Desk):
    for number in range(REMEMBERED_MAX + 10):
        j.journal.note("one", f"k{number}", f"v{number}")
    await j.settle()
    assert len(j.journal._notes) == REMEMBERED_MAX
    for number in (0, 9, 10, REMEMBERED_MAX + 9):
        assert await j.journal.noted("one", f"k{number}") == f"v{number}"


async def test_a_note_is_over_after_its_time_and_a_newer_one_begins_anew(j: Desk, clock):
    seven_days = 7 * 24 * HOUR
    j.journal.note("one", "old", "v")
    j.journal.note("one", "renewed", "v")
    await j.settle()
    await clock.advance(seven_days - 60)
    assert await j.journal.noted("one", "old") == "v"
    j.journal.note("one", "renewed", "w")
    await clock.advance(61)
    await j.settle()
    assert await j.journal.noted("one", "old") is None
    assert await j.journal.noted("one", "renewed") == "w"
    j.journal._notes.clear()
    assert await j.journal.noted("one", "old") is None
    assert await j.journal.noted("one", "renewed") == "w"


async def test_a_note_that_is_too_long_is_not_kept_and_the_former_one_stays(j: Desk, caplog):
    most = Limits().note_bytes_max
    j.journal.note("one", "k", "字" * ((most - 1) // 3))
    j.journal.note("one", "k", "x" * most)
    assert await j.journal.noted("one", "k") == "字" * ((most - 1) // 3)
    assert "is not kept" in caplog.text
    j.journal.note("one", "k" * most, "v")
    assert await j.journal.noted("one", "k" * most) is None


async def test_notes_survive_the_process(durable: Engine, tmp_path, clock):
    async with opened(durable, tmp_path, clock) as j:
        j.journal.note("one", "closed", "v")
    async with killed(durable, tmp_path, clock) as j:
        j.journal.note("one", "killed", "v")
        await j.settle()
    async with opened(durable, tmp_path, clock) as j:
        assert await j.journal.noted("one", "closed") == "v"
        assert await j.journal.noted("one", "killed") == "v"


async def test_messages_go_their_way_whatever_is_noted_beside_them(j: Desk):
    j.journal.note("web", "before", "v")
    await j.accept("hi", id="p1")
    j.journal.note("web", "p1", "v")
    await j.answer(await j.turns.next(), "answer")
    delivery = await j.deliveries.next()
    j.journal.note("web", "sent", delivery.reply.id)
    await j.journal.delivered(delivery)
    assert await j.journal.noted("web", "sent") == delivery.reply.id
    assert await j.no_delivery()
