"""Delivery: retried as the platform asks, given up in the end, one conversation's pace."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.domain.errors import EngineError, LostLease, Overloaded, SendRefused, SendRetryable
from ai_engine.domain.message import Chat, ChatKind, InboundMessage, Sender
from ai_engine.journal.base import Limits, Outcome
from ai_engine.journal.memory import MemoryJournal
from ai_engine.pipeline import delivery
from ai_engine.pipeline.delivery import BACKOFF_SECONDS_MAX, Pace, backoff_seconds
from ai_engine.pipeline.latency import OwnShare

from support.bench import Failing, FakeChannel, bench
from support.clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def journal(clock):
    async with MemoryJournal(clock=clock) as opened:
        yield opened


# Backoff and pace.


@given(attempt=st.integers(1, 10_000))
def test_the_backoff_grows_and_stays_below_five_minutes(attempt):
    wait = backoff_seconds(attempt, None)
    assert min(BACKOFF_SECONDS_MAX, 0.5 * 2 ** min(attempt, 12)) / 2 <= wait <= BACKOFF_SECONDS_MAX


@given(asked=st.floats(allow_nan=False))
def test_what_the_platform_asks_for_is_done_within_bounds(asked):
    wait = backoff_seconds(1, asked)
    assert 0 <= wait <= BACKOFF_SECONDS_MAX
    if 0 <= asked <= BACKOFF_SECONDS_MAX:
        assert wait == asked


@given(arrivals=st.lists(st.floats(0, 5), min_size=1, max_size=30), rate=st.floats(0.1, 50))
def test_sends_of_one_conversation_are_apart_and_none_waits_without_need(arrivals, rate):
    pace, now, previous = Pace(), 1000.0, None
    for gap in arrivals:
        now += gap
        at = now + pace.wait_seconds("c", rate, now)
        if previous is not None:
            assert at >= previous + 1 / rate - 1e-6
            assert at <= max(now, previous + 1 / rate) + 1e-6
        previous = at


def test_conversations_do_not_pace_each_other_and_no_rate_is_no_wait():
    pace = Pace()
    assert pace.wait_seconds("a", 1.0, 0.0) == 0
    assert pace.wait_seconds("b", 1.0, 0.0) == 0
    assert pace.wait_seconds("a", 1.0, 0.0) == 1
    assert pace.wait_seconds("a", 0.0, 0.0) == 0


def test_the_pace_remembers_a_bounded_number_of_conversations():
    pace = Pace(size=2)
    for name in "abc":
        pace.wait_seconds(name, 1.0, 0.0)
    assert list(pace._next) == ["b", "c"]


def test_the_own_share_remembers_a_bounded_number_of_messages_once():
    share = OwnShare(size=2)
    for name in "abc":
        share.put(name, 10.0, 2.0)
    assert share.take("a", 13.0) is None
    assert share.take("b", 13.0) == 1.0
    assert share.take("b", 13.0) is None
    assert share.take("c", 11.0) == 0.0, "never negative"


# Sending.


async def test_a_send_is_retried_when_the_platform_says(journal, clock):
    channel = FakeChannel()
    channel.failures = [SendRetryable("busy", retry_after_seconds=40)]
    async with bench(journal, clock, channel=channel) as b:
        message = await b.say("ping")
        await channel.until(lambda: not channel.failures)
        await b.settle()
        await clock.advance(39)
        assert channel.sent == []
        await clock.advance(1)
        assert await b.answer_to(message) == "pong"
        assert channel.sent[0].attempt == 2
        await b.settle()
        assert b.metric("ai_engine_replies_total", channel="chat", result="retry") == 1
        assert b.metric("ai_engine_replies_total", channel="chat", result="delivered") == 1
        steps = [s["step"] for s in (await b.story(message))["steps"]]
        assert steps[-3:] == ["delivery_failed", "sent", "delivered"]


async def test_later_replies_of_the_session_wait_and_others_do_not(journal, clock):
    channel = FakeChannel()
    channel.failures = [SendRetryable("busy", retry_after_seconds=40)]
    async with bench(journal, clock, channel=channel) as b:
        first = await b.say("ping")
        await channel.until(lambda: not channel.failures)
        second = await b.say("ping")
        other = await b.say("ping", user="bert")
        await b.answer_to(other)
        await clock.advance(40)
        await b.answer_to(second)
        assert [o.in_reply_to for o in channel.sent] == [other, first, second]


async def test_an_unexpected_error_is_retried_and_its_text_told_to_nobody(journal, clock, caplog):
    channel = FakeChannel()
    channel.failures = [RuntimeError("what the user wrote")]
    async with bench(journal, clock, channel=channel) as b:
        message = await b.say("ping")
        await channel.until(lambda: not channel.failures)
        await b.settle()
        await clock.advance(2)
        assert await b.answer_to(message) == "pong"
        story = await b.story(message)
        assert "RuntimeError" in str(story)
        assert "what the user wrote" not in str(story)
        assert b.metric("ai_engine_replies_total", channel="chat", result="error") == 1


async def test_a_refused_send_is_a_dead_letter_and_the_session_goes_on(journal, clock):
    channel = FakeChannel()
    channel.failures = [SendRefused("the conversation is gone", hint="nothing")]
    async with bench(journal, clock, channel=channel) as b:
        first = await b.say("ping")
        assert await b.ask("ping") == "pong"
        (dead,) = await journal.dead_letters()
        assert (dead.kind, dead.message_id) == ("delivery", first)
        assert "the conversation is gone" in dead.error
        assert b.metric("ai_engine_replies_total", channel="chat", result="dead") == 1
        assert await journal.replay(dead.id)
        assert await b.answer_to(first) == "pong"


async def test_after_so_many_attempts_it_is_a_dead_letter(clock):
    async with MemoryJournal(Limits(delivery_attempts_max=3), clock) as journal:
        channel = FakeChannel()
        channel.failures = [SendRetryable("down")] * 3
        async with bench(journal, clock, channel=channel) as b:
            await b.say("ping")
            for _ in range(3):
                await b.settle()
                await clock.advance(10)
            await b.settle()
            (dead,) = await journal.dead_letters()
            assert (dead.attempts, dead.error) == (3, "down")


async def test_a_channel_that_was_taken_out_of_the_configuration_is_a_dead_letter(journal, clock):
    async with bench(journal, clock) as b:
        b.channel.send_gate = asyncio.Event()
        first = await b.say("ping")
        await b.settle()
        second = await b.say("ping")
        await b.until_state(second, "handled")
        object.__setattr__(b.plan, "channels", {})
        b.channel.send_gate.set()
        await b.answer_to(first)
        await b.until(lambda: b.metric("ai_engine_replies_total", channel="chat", result="dead"))
        (dead,) = await journal.dead_letters()
        assert "not configured any more" in dead.error


async def test_a_platform_that_never_answers_is_tried_again(journal, clock, monkeypatch):
    monkeypatch.setattr(delivery, "SEND_SECONDS_MAX", 0.02)
    channel = FakeChannel()
    channel.send_gate = asyncio.Event()
    async with bench(journal, clock, channel=channel) as b:
        message = await b.say("ping")
        await b.until(lambda: b.metric("ai_engine_replies_total", channel="chat", result="retry"))
        channel.send_gate.set()
        await b.settle()
        await clock.advance(2)
        assert await b.answer_to(message) == "pong"


async def test_replies_are_paced_as_the_platform_wants(journal, clock):
    channel = FakeChannel(sends_per_second=0.5)
    async with bench(journal, clock, channel=channel) as b:
        await b.ask("ping")
        second = await b.say("ping")
        await b.settle()
        await clock.advance(1.9)
        assert channel.answers(second) == []
        await clock.advance(0.1)
        assert await b.answer_to(second) == "pong"


async def test_a_slow_group_leaves_the_places_to_other_conversations(journal, clock, monkeypatch):
    monkeypatch.setattr(delivery, "IN_FLIGHT_MAX", 1)
    channel = FakeChannel(sends_per_second=0.1)
    async with bench(journal, clock, channel=channel) as b:
        group = {"target": {"to": "g", "conversation": "g"}}
        asked = [await b.say("ping", user=user, **group) for user in ("anna", "ben", "carl")]
        await b.answer_to(asked[0])
        await b.settle()
        assert await b.ask("ping", user="dora") == "pong"
        assert channel.answers(asked[1]) == []
        await clock.advance(10)
        assert await b.answer_to(asked[1]) == "pong"
        assert channel.answers(asked[2]) == []
        await clock.advance(10)
        assert await b.answer_to(asked[2]) == "pong"
        assert await b.ask("ping", user="emil") == "pong", "each place was given back once"


async def test_when_too_many_wait_for_their_pace_the_next_keep_their_places(
    journal, clock, monkeypatch
):
    monkeypatch.setattr(delivery, "IN_FLIGHT_MAX", 1)
    monkeypatch.setattr(delivery, "PACED_MAX", 0)
    channel = FakeChannel(sends_per_second=0.1)
    async with bench(journal, clock, channel=channel) as b:
        group = {"target": {"to": "g", "conversation": "g"}}
        first = await b.say("ping", user="anna", **group)
        await b.answer_to(first)
        await b.say("ping", user="ben", **group)
        await b.settle()
        other = await b.say("ping", user="dora")
        await b.settle()
        assert channel.answers(other) == []
        await clock.advance(10)
        assert await b.answer_to(other) == "pong"


async def test_an_end_that_the_disk_refuses_is_written_when_it_can_be(journal, clock):
    channel = FakeChannel()
    channel.failures = [SendRetryable("busy", retry_after_seconds=5), SendRefused("never")]
    full = EngineError("the disk is full")
    refusing = Failing(journal, retry=[full], undeliverable=[full])
    async with bench(refusing, clock, channel=channel) as b:
        await b.say("ping")
        for _ in range(6):
            await b.settle()
            await clock.advance(5)
        assert refusing.calls == ["retry", "retry", "undeliverable", "undeliverable"]
        assert await b.ask("ping") == "pong"


@pytest.mark.parametrize(
    ("send", "failures"),
    [
        ([], {"delivered": [LostLease("gone")]}),
        ([SendRetryable("busy")], {"retry": [LostLease("gone")]}),
        ([SendRefused("no")], {"undeliverable": [LostLease("gone")]}),
        ([RuntimeError("x")], {"retry": [RuntimeError("a bug")]}),
    ],
)
async def test_a_delivery_that_cannot_be_ended_ends_no_other(journal, clock, send, failures):
    channel = FakeChannel()
    channel.failures = send
    async with bench(Failing(journal, **failures), clock, channel=channel) as b:
        await b.say("ping")
        await b.settle()
        assert await b.ask("ping", user="bert") == "pong"


async def test_draining_finishes_what_is_being_sent(journal, clock):
    channel = FakeChannel()
    channel.send_gate = asyncio.Event()
    async with bench(journal, clock, channel=channel) as b:
        message = await b.say("ping")
        await b.settle()
        await journal.drain()
        channel.send_gate.set()
        await b.drain()
        assert channel.answers(message) == ["pong"]


# Between sessions.


def note(text="hello over there"):
    return InboundMessage(
        channel="chat",
        message_id="note/1",
        sender=Sender(platform="engine", user_id="anna"),
        chat=Chat(kind=ChatKind.PRIVATE, id="c2"),
        text=text,
        target={"to": "c2"},
        trace_id="t1",
    )


async def pass_on(journal, message, key="other"):
    """A turn of one session that has a message for another."""
    async for turn in journal.turns():
        await journal.commit(turn, Outcome(messages=((key, message),)))
        return


async def test_a_message_to_another_session_arrives_once_also_when_it_is_sent_twice(clock):
    async with MemoryJournal(clock=clock) as journal:
        source = InboundMessage(
            channel="chat",
            message_id="s1",
            sender=Sender(platform="fake", user_id="a"),
            chat=Chat(kind=ChatKind.PRIVATE, id="c1"),
        )
        await journal.accept(source, "one")
        await pass_on(journal, note("ping"))
        twice = Failing(journal, delivered=[RuntimeError("the process was slow to say so")])
        async with bench(twice, clock) as b:
            await b.until(lambda: "delivered" in twice.calls)
            await b.settle()
            await clock.advance(5)
            assert await b.answer_to("note/1") == "pong"
            await b.until(lambda: twice.calls == ["delivered"] * 3)
            assert b.channel.answers("note/1") == ["pong"]


async def test_a_full_backlog_keeps_the_message_in_the_outbox(clock):
    async with MemoryJournal(clock=clock) as journal:
        source = InboundMessage(
            channel="chat",
            message_id="s1",
            sender=Sender(platform="fake", user_id="a"),
            chat=Chat(kind=ChatKind.PRIVATE, id="c1"),
        )
        await journal.accept(source, "one")
        await pass_on(journal, note("ping"))
        full = Failing(journal, accept=[Overloaded("full", retry_after_seconds=7)])
        async with bench(full, clock) as b:
            await b.until(lambda: full.calls)
            await b.settle()
            await clock.advance(7)
            assert await b.answer_to("note/1") == "pong"


async def test_a_delivery_to_the_engine_without_a_message_is_a_dead_letter(clock):
    async with MemoryJournal(clock=clock) as journal:
        source = InboundMessage(
            channel="engine",
            message_id="s1",
            sender=Sender(platform="fake", user_id="a"),
            chat=Chat(kind=ChatKind.PRIVATE, id="c1"),
            text="ping",
        )
        await journal.accept(source, "one")
        async with bench(journal, clock) as b:
            await b.until(
                lambda: b.metric("ai_engine_replies_total", channel="engine", result="dead")
            )
            assert len(await journal.dead_letters()) == 1
