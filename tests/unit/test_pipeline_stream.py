"""Partial text: no oftener than the platform wants, and never at the cost of the answer."""

import asyncio

import pytest

from ai_engine.domain.errors import EngineError, SendRefused, SendRetryable
from ai_engine.journal.memory import MemoryJournal
from ai_engine.pipeline import stream
from ai_engine.pipeline.stream import PartialText

from support.bench import FakeChannel, ScriptedModel, bench, line
from support.clock import ManualClock
from support.journals import ENGINES, kill_sqlite


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def journal(clock):
    async with MemoryJournal(clock=clock) as opened:
        yield opened


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


async def forget(handle):
    raise AssertionError("a stream that is found by its key needs no memory")


def partial(channel, clock, remember=forget, **more):
    return PartialText(channel, {"to": "c1"}, "turn1", clock, remember, **more)


async def test_updates_are_coalesced_to_the_platform_s_interval(clock):
    channel = FakeChannel(streaming=True, stream_interval_ms=500)
    text = partial(channel, clock)
    text.show("a")
    await settle()
    for more in ("ab", "abc", "abcd"):
        text.show(more)
        await settle()
    assert channel.updates == ["a"]
    await clock.advance(0.499)
    assert channel.updates == ["a"]
    await clock.advance(0.001)
    assert channel.updates == ["a", "abcd"]
    await clock.advance(10)
    assert channel.updates == ["a", "abcd"], "nothing new, nothing sent"
    await text.stop()
    text.show("abcde")
    await text.stop()
    assert text.handle == {"card": "turn1/1"}
    assert len(channel.opened) == 1


async def test_a_channel_that_cannot_stream_is_left_alone(clock):
    channel = FakeChannel()
    text = partial(channel, clock)
    text.show("a")
    await settle()
    await text.stop()
    assert channel.opened == []
    assert text.handle is None


async def test_a_target_that_cannot_stream_gets_the_whole_answer_only(clock):
    channel = FakeChannel(streaming=True)
    channel.can_stream = False
    text = partial(channel, clock)
    text.show("a")
    await settle()
    await text.stop()
    assert (channel.updates, text.handle) == ([], None)


async def test_no_channel_and_no_text_open_nothing(clock):
    text = partial(None, clock)
    text.show("a")
    await text.stop()
    channel = FakeChannel(streaming=True)
    text = partial(channel, clock)
    text.show("")
    await text.stop()
    assert channel.opened == []


async def test_a_handle_is_durable_before_the_first_update_where_the_key_does_not_find_it(clock):
    channel = FakeChannel(streaming=True, stream_by_key=False)
    order = []

    async def remember(handle):
        order.append(("remembered", handle, list(channel.updates)))

    text = partial(channel, clock, remember)
    text.show("a")
    await settle()
    await text.stop()
    assert order == [("remembered", {"card": "turn1/1"}, [])]
    assert channel.updates == ["a"]


async def test_a_known_handle_is_used_again(clock):
    channel = FakeChannel(streaming=True, stream_by_key=False)
    text = partial(channel, clock, handle={"card": "old"})
    text.show("a")
    await settle()
    await text.stop()
    assert (channel.opened, channel.updates, text.handle) == ([], ["a"], {"card": "old"})


@pytest.mark.parametrize(
    "error", [SendRefused("no"), SendRetryable("later"), RuntimeError("a bug"), KeyError("x")]
)
@pytest.mark.parametrize("where", ["open", "update", "remember"])
async def test_whatever_fails_in_a_stream_is_not_the_turn_s_failure(clock, error, where):
    channel = FakeChannel(streaming=True, stream_by_key=where != "remember")

    async def remember(handle):
        raise error

    channel.open_failure = error if where == "open" else None
    channel.update_failure = error if where == "update" else None
    text = partial(channel, clock, remember)
    text.show("a")
    await settle()
    text.show("ab")
    await settle()
    await text.stop()
    await text.stop()
    assert channel.updates == []


async def test_the_end_waits_for_an_opening_so_that_the_stream_can_be_finished(clock):
    channel = FakeChannel(streaming=True)
    channel.open_gate = asyncio.Event()
    text = partial(channel, clock)
    text.show("a")
    await settle()
    stopping = asyncio.create_task(text.stop())
    await settle()
    assert not stopping.done()
    channel.open_gate.set()
    async with asyncio.timeout(5):
        await stopping
    assert text.handle == {"card": "turn1/1"}


async def test_but_not_for_ever(clock, monkeypatch):
    monkeypatch.setattr(stream, "OPEN_SECONDS_MAX", 0.02)
    channel = FakeChannel(streaming=True)
    channel.open_gate = asyncio.Event()
    text = partial(channel, clock)
    text.show("a")
    await settle()
    async with asyncio.timeout(5):
        await text.stop()
    assert text.handle is None


async def test_who_is_cancelled_while_it_waits_takes_the_stream_s_task_along(clock):
    channel = FakeChannel(streaming=True)
    channel.open_gate = asyncio.Event()
    text = partial(channel, clock)
    text.show("a")
    await settle()
    sending = text._task
    stopping = asyncio.create_task(text.stop())
    await settle()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await asyncio.wait({sending}, timeout=5)
    assert sending.cancelled()


# In a turn.


def streaming(**more):
    return FakeChannel(streaming=True, **more)


async def test_the_answer_finishes_its_stream(journal, clock):
    channel = streaming()
    model = ScriptedModel(line("one ", "two"))
    async with bench(journal, clock, channel=channel, model=model) as b:
        assert await b.ask("hello") == "one two"
        ((handle, outgoing),) = channel.finished
        assert handle == {"card": f"{outgoing.inbound_id}/1"}
        ((target, key),) = channel.opened
        assert key == outgoing.inbound_id
        assert target == {"to": "c1", "session_key": "chat:private:c1:t/anna"}


async def test_what_is_shown_is_framed_like_the_answer(journal, clock):
    channel = streaming()
    gate = asyncio.Event()
    channels = {"chat": {"type": "fake", "message_format": {"text_template": "AI: {message}"}}}
    model = ScriptedModel(line("one ", "two", gate=gate))
    async with bench(journal, clock, channel=channel, model=model, channels=channels) as b:
        message = await b.say("hello")
        await channel.until(lambda: channel.updates)
        gate.set()
        assert await b.answer_to(message) == "AI: one two"
        assert channel.updates[0] == "AI: one "


async def test_a_long_answer_finishes_its_stream_with_the_first_part(journal, clock):
    channel = streaming(text_limit=16)
    model = ScriptedModel(line("the first part ", "the second part"))
    async with bench(journal, clock, channel=channel, model=model) as b:
        await b.say("hello")
        await channel.until(lambda: channel.sent and channel.sent[-1].reply.final)
        assert len(channel.finished) == 1
        assert channel.finished[0][1] is channel.sent[0]
        assert len(channel.sent) > 1


async def test_an_update_that_fails_by_a_bug_does_not_cost_the_answer(journal, clock):
    channel = streaming()
    channel.update_failure = RuntimeError("a bug")
    model = ScriptedModel(line("one ", "two"))
    async with bench(journal, clock, channel=channel, model=model) as b:
        assert await b.ask("hello") == "one two"
        assert len(channel.finished) == 1
        assert len(model.asked) == 1


async def test_a_stopped_turn_finishes_its_stream(journal, clock):
    channel = streaming()
    model = ScriptedModel(line("so far", "never", gate=asyncio.Event()))
    async with bench(journal, clock, channel=channel, model=model) as b:
        message = await b.say("hello")
        await channel.until(lambda: channel.updates)
        await b.say("/stop")
        assert await b.answer_to(message) == "so far\n\n(stopped)"
        assert len(channel.finished) == 1


@pytest.mark.parametrize("by_key", [True, False])
async def test_a_dead_lettered_turn_finishes_the_stream_that_an_earlier_attempt_opened(
    journal, clock, by_key
):
    channel = streaming(stream_by_key=by_key)
    begun = line("begun", error=RuntimeError("x"))
    silent = [line(error=RuntimeError("x")) for _ in range(2)]
    async with bench(journal, clock, channel=channel, model=ScriptedModel(begun, *silent)) as b:
        message = await b.say("hello")
        await channel.until(lambda: channel.opened)
        for pause in (2, 10):
            await b.settle()
            await clock.advance(pause)
        assert "something went wrong" in await b.answer_to(message)
        ((handle, _),) = channel.finished
        assert handle["card"].endswith("/1")
        assert len(channel.opened) == 1


async def test_a_journal_that_cannot_keep_the_stream_does_not_keep_the_turn_from_failing(
    journal, clock
):
    class Refusing:
        refused = 0

        def __getattr__(self, name):
            return getattr(journal, name)

        async def checkpoint(self, turn, state):
            self.refused += 1
            if self.refused == 1:
                raise EngineError("the disk is full")
            await journal.checkpoint(turn, state)

    channel = streaming()
    model = ScriptedModel(line("begun", error=RuntimeError("x")), "whole")
    async with bench(Refusing(), clock, channel=channel, model=model) as b:
        message = await b.say("hello")
        for _ in range(3):
            await b.settle()
            await clock.advance(5)
        assert await b.answer_to(message) == "whole"


async def test_after_a_crash_the_same_stream_is_used_again(tmp_path, clock):
    journal = ENGINES["sqlite"].open(tmp_path, None, clock)
    await journal.__aenter__()
    channel = streaming(stream_by_key=False)
    model = ScriptedModel(line("so far", "never", gate=asyncio.Event()))
    async with bench(journal, clock, channel=channel, model=model) as b:
        message = await b.say("hello")
        await channel.until(lambda: channel.updates)
        await kill_sqlite(journal)
    after = streaming(stream_by_key=False)
    async with (
        ENGINES["sqlite"].open(tmp_path, None, clock) as again,
        bench(again, clock, channel=after, model=ScriptedModel("whole")) as b,
    ):
        assert await b.answer_to(message) == "whole"
        assert after.opened == []
        assert after.finished[0][0] == {"card": f"{after.sent[0].inbound_id}/1"}


async def test_no_stream_opens_above_an_earlier_answer_that_has_not_gone_out(clock):
    channel = FakeChannel(streaming=True)
    waiting = [True]
    text = partial(channel, clock, blocked=lambda: waiting[0])
    text.show("a")
    await settle()
    assert channel.opened == []
    waiting[0] = False
    text.show("ab")
    await settle()
    assert channel.updates == ["ab"]
    await text.stop()


async def test_the_road_holds_a_stream_back_while_an_answer_is_tried_again(journal, clock):
    channel = FakeChannel(streaming=True)
    channel.failures = [SendRetryable("throttled", retry_after_seconds=5)]
    model = ScriptedModel("first", line("sec", "ond"))
    async with bench(journal, clock, channel=channel, model=model) as b:
        channel.can_stream = False
        await b.say("one")
        await b.until(lambda: not channel.failures)
        channel.can_stream = True
        await b.say("two")
        await b.until(lambda: len(model.asked) == 2)
        await b.settle()
        opened = len(channel.opened)
        await clock.advance(5)
        await channel.until(lambda: len(channel.sent) == 2)
        assert channel.texts == ["first", "second"]
        assert opened == 1
