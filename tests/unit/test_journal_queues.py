"""The owner's queues: who is next, control first, a crasher alone, what `/stop` takes out."""

from ai_engine.domain.message import Lane
from ai_engine.journal.base import Limits, Outcome
from ai_engine.journal.queues import Queues
from ai_engine.journal.rows import Inbound

from support.clock import ManualClock
from support.journals import message

ANNA = ("t", "web", "anna")


def row(seq: int, key: str = "k", **more) -> Inbound:
    said = message(
        user=more.pop("user", "anna"), channel=more.pop("channel", "web"), id=more.pop("said", "")
    )
    return Inbound(id=f"m{seq}", message=said, session_key=key, seq=seq, **more)


def queues(*rows: Inbound) -> Queues:
    made = Queues(Limits(), ManualClock())
    for one in rows:
        made.add(one)
    return made


def test_a_row_that_crashed_three_times_waits_for_the_others_and_they_for_it():
    first, crasher, last = row(1, "a"), row(2, "b", crashes=3), row(3, "c")
    made = queues(first, crasher, last)
    assert made.pick() is first
    assert made.pick() is None
    made.leave(first)
    assert made.pick() is crasher
    assert made.pick() is None
    control = row(4, "b", lane=Lane.CONTROL)
    made.add(control)
    assert made.pick() is control
    made.back(crasher, 0.0)
    assert made.pick() is last
    made.leave(last)
    assert made.pick() is crasher
    made.leave(crasher)
    made.add(row(5, "d"))
    assert made.pick() is not None


def test_two_crashes_are_not_enough_to_run_alone():
    made = queues(row(1, "a", crashes=2), row(2, "b"))
    assert (made.pick() is not None, made.pick() is not None) == (True, True)


def test_withdrawing_takes_the_senders_rows_before_the_stop_only():
    mine, theirs, late = row(1), row(2, user="ben"), row(9)
    made = queues(mine, theirs, late, row(3, "other"))
    stop = row(5, lane=Lane.CONTROL)
    assert made.withdraw(stop, Outcome()) == ([], [])
    assert made.withdraw(stop, Outcome(cancel_queued_of=ANNA)) == ([], [mine])
    assert made.withdraw(stop, Outcome(cancel_queued_of=("t", "web", "*"))) == ([], [theirs])
    assert made.backlog == 2


def test_withdrawing_one_message_means_that_of_the_same_channel_and_person():
    mine, elsewhere = row(1, said="7"), row(2, said="7", channel="other")
    theirs = row(3, said="7", user="ben")
    made = queues(mine, elsewhere, theirs)
    recall = row(5, lane=Lane.CONTROL)
    assert made.withdraw(recall, Outcome(cancel_message="7")) == ([], [mine])
    recall = row(6, lane=Lane.CONTROL, channel="other")
    assert made.withdraw(recall, Outcome(cancel_message="7")) == ([], [elsewhere])
    assert made.backlog == 1


def test_withdrawing_finds_rows_that_are_started_but_seen_by_nobody():
    starting = row(1)
    made = queues(starting, row(2))
    assert made.pick() is starting
    made.starting[1] = made.running[1] = starting
    unseen, waiting = made.withdraw(row(5, lane=Lane.CONTROL), Outcome(cancel_queued_of=ANNA))
    assert ([one.seq for one in unseen], [one.seq for one in waiting]) == ([1], [2])
    assert (made.starting, made.running) == ({}, {})
    assert made.pick() is None  # the lane is busy until the commit is written
    made.leave(starting)
    assert made.backlog == 0


def test_a_row_in_the_control_lane_is_never_withdrawn():
    control = row(1, lane=Lane.CONTROL)
    made = queues(control)
    made.starting[1] = made.running[1] = control
    assert made.withdraw(row(5, lane=Lane.CONTROL), Outcome(cancel_queued_of=("", "", "*"))) == (
        [],
        [],
    )


def test_rows_due_later_count_in_the_backlog_and_come_at_their_time():
    clock = ManualClock()
    made = Queues(Limits(), clock)
    made.add(row(1, due=clock.time() + 5))
    assert (made.backlog, made.pick(), made.next_due()) == (1, None, clock.time() + 5)
