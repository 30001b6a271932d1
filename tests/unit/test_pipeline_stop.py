"""`/stop`: overtakes, stops only what it may, and holds over a crash."""

import asyncio
from dataclasses import replace

import pytest

from ai_engine.domain.errors import EngineError, LostLease
from ai_engine.domain.message import Lane
from ai_engine.journal.memory import MemoryJournal
from ai_engine.policy.authorize import Grant, Policy

from support.bench import FakeChannel, ScriptedModel, bench, line, tool
from support.clock import ManualClock
from support.journals import ENGINES, kill_sqlite

GROUP = {"session": {"scope": "group"}}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def journal(clock):
    async with MemoryJournal(clock=clock) as opened:
        yield opened


class Held:
    """The journal, whose control commits or checkpoints wait for a gate."""

    def __init__(self, inner, *, commit=None, mark=None, fail_mark=None):
        self._inner = inner
        self.commit_gate = commit
        self.mark_gate = mark
        self.fail_mark = fail_mark
        self.waiting = asyncio.Event()

    def __getattr__(self, name):
        return getattr(self._inner, name)

    async def commit(self, turn, outcome):
        if self.commit_gate is not None and turn.lane is Lane.CONTROL:
            self.waiting.set()
            await self.commit_gate.wait()
        return await self._inner.commit(turn, outcome)

    async def checkpoint(self, turn, state):
        if "stopped" in state:
            if self.fail_mark is not None:
                raise self.fail_mark
            if self.mark_gate is not None:
                self.waiting.set()
                await self.mark_gate.wait()
        await self._inner.checkpoint(turn, state)


def endless(*pieces):
    """An answer that shows these pieces and never ends."""
    return line(*pieces, "never", gate=asyncio.Event())


async def test_a_stopped_turn_commits_what_was_said_so_far(journal, clock):
    model = ScriptedModel(endless("Once upon ", "a time"), "next")
    async with bench(journal, clock, model=model) as b:
        story = await b.say("tell me")
        queued = await b.say("and more")
        await b.until(lambda: model.asked)
        await b.settle()
        stop = await b.say("/stop")
        assert await b.answer_to(story) == "Once upon a time\n\n(stopped)"
        assert (await b.until_state(story, "stopped"))["state"] == "stopped"
        assert (await b.until_state(queued, "cancelled"))["state"] == "cancelled"
        await b.until_state(stop, "handled")
        assert b.channel.answers(stop) == [], "the stopped turn itself answers"
        await b.ask("go on")
        contents = [m["content"] for m in model.asked[1].messages[1:]]
        assert contents == ["tell me", "Once upon a time\n\n(stopped)", "go on"]


async def test_stop_in_chinese_answers_in_chinese(journal, clock):
    model = ScriptedModel(endless())
    async with bench(journal, clock, model=model) as b:
        story = await b.say("讲个故事")
        await b.until(lambda: model.asked)
        await b.say("／停止")
        assert await b.answer_to(story) == "（已停止）"


async def test_with_nothing_running_it_says_so_and_cancels_what_waits(journal, clock):
    model = ScriptedModel(line(error=RuntimeError("x")))
    async with bench(journal, clock, model=model) as b:
        assert "No answer is in progress" in await b.ask("/stop")
        failing = await b.say("fails, and waits to be tried again")
        await b.until(
            lambda: b.metric("ai_engine_turn_failures_total", channel="chat", result="retry")
        )
        await b.settle()
        assert "cancelled" in await b.ask("/stop")
        await b.until_state(failing, "cancelled")
        await clock.advance(60)
        assert await b.ask("ping") == "pong"
        assert b.channel.answers(failing) == []


async def test_another_member_stops_only_his_own(journal, clock):
    model = ScriptedModel(line("anna's ", "answer", gate=(gate := asyncio.Event())))
    async with bench(journal, clock, model=model, **GROUP) as b:
        annas = await b.say("hello", group=True)
        await b.until(lambda: model.asked)
        annas_next = await b.say("ping", group=True)
        berts = await b.say("ping", group=True, user="bert")
        stop = await b.say("/stop", group=True, user="bert")
        assert "No answer is in progress" in await b.answer_to(stop)
        await b.until_state(berts, "cancelled")
        gate.set()
        assert await b.answer_to(annas) == "anna's answer"
        assert await b.answer_to(annas_next) == "pong"


async def test_who_has_a_new_name_is_still_the_same_person(journal, clock):
    model = ScriptedModel(endless("so far"))
    async with bench(journal, clock, model=model) as b:
        message = await b.say("hello")
        await b.until(lambda: model.asked)
        await b.settle()
        stop = b.message("/stop")
        await b.ingress.accept(replace(stop, sender=replace(stop.sender, name="Anna the Great")))
        assert await b.answer_to(message) == "so far\n\n(stopped)"


async def test_a_moderator_stops_everybody(journal, clock):
    model = ScriptedModel(endless("so far"))
    async with bench(journal, clock, model=model, **GROUP) as b:
        roles = {"employee": [Grant(action="chat.*")]}
        object.__setattr__(b.plan, "policy", Policy(roles))
        annas = await b.say("hello", group=True)
        await b.until(lambda: model.asked)
        waiting = await b.say("ping", group=True)
        await b.settle()
        await b.say("/stop", group=True, user="bert")
        assert await b.answer_to(annas) == "so far\n\n(stopped)"
        await b.until_state(waiting, "cancelled")


async def test_it_overtakes_when_every_place_is_taken(journal, clock):
    model = ScriptedModel(endless("a"), "b")
    async with bench(journal, clock, model=model, server={"turns_max": 1}) as b:
        first = await b.say("hello")
        await b.until(lambda: model.asked)
        other = await b.say("hello", user="bert")
        await b.settle()
        await b.say("/stop")
        assert "(stopped)" in await b.answer_to(first)
        assert await b.answer_to(other) == "b"


async def test_a_waiting_turn_is_cancelled_when_every_place_is_taken(journal, clock):
    model = ScriptedModel(line("a", "b", gate=(gate := asyncio.Event())))
    async with bench(journal, clock, model=model, server={"turns_max": 1}) as b:
        first = await b.say("hello")
        await b.until(lambda: model.asked)
        waiting = await b.say("hello", user="bert")
        await b.settle()
        await b.say("/stop", user="bert")
        await b.until_state(waiting, "cancelled")
        gate.set()
        assert await b.answer_to(first) == "ab"
        assert b.channel.answers(waiting) == []


async def test_arriving_when_the_answer_is_being_committed_it_stops_nothing(journal, clock):
    gate = asyncio.Event()

    class Slow(Held):
        async def commit(self, turn, outcome):
            if turn.lane is Lane.MAILBOX:
                self.waiting.set()
                await gate.wait()
            return await self._inner.commit(turn, outcome)

    slow = Slow(journal)
    async with bench(slow, clock) as b:
        first = await b.say("ping")
        async with asyncio.timeout(5):
            await slow.waiting.wait()
        assert "No answer is in progress" in await b.ask("/stop")
        gate.set()
        assert await b.answer_to(first) == "pong"


async def test_an_answer_that_ends_while_the_stop_is_being_written_ends_as_stopped(journal, clock):
    gate = asyncio.Event()
    held = Held(journal, commit=asyncio.Event())
    model = ScriptedModel(line("all of ", "it", gate=gate))
    async with bench(held, clock, model=model) as b:
        first = await b.say("hello")
        await b.until(lambda: model.asked)
        await b.settle()
        stop = await b.say("/stop")
        async with asyncio.timeout(5):
            await held.waiting.wait()
        gate.set()
        assert await b.answer_to(first) == "all of it\n\n(stopped)"
        held.commit_gate.set()
        await b.until_state(stop, "handled")
        assert b.channel.answers(stop) == []
        assert await b.ask("ping") == "pong"


async def test_the_turn_may_end_while_the_mark_is_written(journal, clock):
    held = Held(journal, fail_mark=LostLease("it has ended"))
    model = ScriptedModel(endless("x"))
    async with bench(held, clock, model=model) as b:
        await b.say("hello")
        await b.until(lambda: model.asked)
        assert "No answer is in progress" in await b.ask("/stop")


async def test_two_stops_are_one(journal, clock):
    hold = asyncio.Event()
    channel = FakeChannel(streaming=True)
    channel.open_gate = hold
    model = ScriptedModel(endless("x"))
    async with bench(journal, clock, channel=channel, model=model) as b:
        first = await b.say("hello")
        await channel.until(lambda: channel.opened)
        one, two = await b.say("/stop"), await b.say("/stop")
        await b.until_state(one, "handled")
        await b.until_state(two, "handled")
        hold.set()
        assert await b.answer_to(first) == "x\n\n(stopped)"
        assert len(channel.answers(first)) == 1


async def test_a_skill_that_runs_is_told_to_cancel_and_that_is_recorded(journal, clock):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def long(arguments, context):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with bench(journal, clock, tools=[tool("long", long)]) as b:
        message = await b.say("!long")
        async with asyncio.timeout(5):
            await started.wait()
        await b.say("/stop")
        assert await b.answer_to(message) == "(stopped)"
        assert cancelled.is_set()
        steps = (await b.until_state(message, "stopped"))["steps"]
        assert [s["result"] for s in steps if s["step"] == "tool"] == ["cancelled"]
        assert journal._book.audit[-1][2].outcome == "cancelled"


async def test_a_skill_that_ignores_the_cancellation_cannot_undo_the_stop(journal, clock):
    started = asyncio.Event()

    async def stubborn(arguments, context):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done anyway"

    async with bench(journal, clock, tools=[tool("stubborn", stubborn)]) as b:
        message = await b.say("!stubborn")
        async with asyncio.timeout(5):
            await started.wait()
        await b.say("/stop")
        assert await b.answer_to(message) == "(stopped)"
        assert await b.ask("ping") == "pong"


async def test_a_stop_that_cannot_be_committed_is_tried_again(journal, clock):
    class Refusing(Held):
        refused = 0

        async def commit(self, turn, outcome):
            if turn.lane is Lane.CONTROL and not self.refused:
                self.refused += 1
                raise RuntimeError("a bug")
            return await self._inner.commit(turn, outcome)

    model = ScriptedModel(endless("x"))
    refusing = Refusing(journal)
    async with bench(refusing, clock, model=model) as b:
        message = await b.say("hello")
        await b.until(lambda: model.asked)
        await b.settle()
        await b.say("/stop")
        await b.until(lambda: refusing.refused)
        await b.settle()
        await clock.advance(2)
        assert await b.answer_to(message) == "x\n\n(stopped)"


@pytest.mark.parametrize("when", ["after the commit", "before the commit"])
async def test_after_a_crash_the_stopped_turn_is_not_answered_as_if_nothing_had_happened(
    tmp_path, clock, when
):
    """The process ends between the writing of the stop and the cancellation."""
    held = None
    journal = ENGINES["sqlite"].open(tmp_path, None, clock)
    await journal.__aenter__()
    model = ScriptedModel(endless("Once upon ", "a time"))

    class Dying(Held):
        async def commit(self, turn, outcome):
            if turn.lane is Lane.CONTROL:
                if when == "after the commit":
                    await self._inner.commit(turn, outcome)
                self.waiting.set()
                await asyncio.Event().wait()
            return await self._inner.commit(turn, outcome)

    held = Dying(journal)
    async with bench(held, clock, model=model) as b:
        message = await b.say("tell me", id="m-told")
        await b.until(lambda: model.asked)
        await b.settle()
        await b.say("/stop", id="m-stop")
        async with asyncio.timeout(5):
            await held.waiting.wait()
        await kill_sqlite(journal)
        b.running[0].cancel()
    after = ScriptedModel("as if nothing had happened")
    async with (
        ENGINES["sqlite"].open(tmp_path, None, clock) as again,
        bench(again, clock, model=after) as b,
    ):
        if when == "after the commit":
            assert await b.answer_to(message) == "Once upon a time\n\n(stopped)"
        else:
            await b.answer_to("m-stop")
            assert (await b.story(message))["state"] in ("stopped", "cancelled")
        assert after.asked == []


async def test_a_refused_write_of_the_mark_fails_the_stop_and_it_comes_again(journal, clock):
    held = Held(journal, fail_mark=EngineError("the disk is full"))
    model = ScriptedModel(endless("x"))
    async with bench(held, clock, model=model) as b:
        message = await b.say("hello")
        await b.until(lambda: model.asked)
        await b.settle()
        stop = await b.say("/stop")
        await b.until(
            lambda: b.metric("ai_engine_turn_failures_total", channel="chat", result="retry")
        )
        held.fail_mark = None
        await b.settle()
        await clock.advance(2)
        assert await b.answer_to(message) == "x\n\n(stopped)"
        await b.until_state(stop, "handled")
