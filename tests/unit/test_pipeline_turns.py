"""Turns: who answers, what a failing turn leaves, what a lost lease or a full disk does."""

import asyncio

import pytest

from ai_engine.assistant.fakes import failing
from ai_engine.domain.errors import EngineError, LostLease
from ai_engine.domain.message import Chat, ChatKind, MessageKind
from ai_engine.journal.memory import MemoryJournal
from ai_engine.policy.authorize import Policy

from support.bench import Failing, ScriptedModel, bench, line, tool
from support.clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def journal(clock):
    async with MemoryJournal(clock=clock) as opened:
        yield opened


async def test_a_fixed_reply_a_skill_and_the_model_answer_in_order(journal, clock):
    model = ScriptedModel("from the model")
    async with bench(journal, clock, tools=[tool()], model=model) as b:
        assert await b.ask("ping") == "pong"
        assert await b.ask("!look at this") == "look done"
        assert await b.ask("anything else") == "from the model"
        by = [o.reply.produced_by for o in b.channel.sent]
        assert by == ["rule:#1", "rule:look", "model:scripted"]


async def test_the_context_remembers_the_last_skill_and_its_parameters(journal, clock):
    async with bench(journal, clock, tools=[tool()]) as b:
        await b.ask("!look at this")
        session = await b.session()
        assert session.context.last_skill == "look"
        assert session.context.params == {"what": "at this"}


async def test_a_rule_that_names_a_skill_that_is_not_there_says_so(journal, clock):
    async with bench(journal, clock) as b:
        assert "'missing'" in await b.ask("!what")


async def test_a_content_that_cannot_be_read_is_answered_with_its_kind(journal, clock):
    async with bench(journal, clock) as b:
        assert "(sticker)" in await b.ask("sticker", kind=MessageKind.UNSUPPORTED)


async def test_who_may_not_chat_is_told_so_and_nothing_runs(journal, clock):
    async with bench(journal, clock, tools=[tool(run=lambda *_: pytest.fail("it ran"))]) as b:
        object.__setattr__(b.plan, "policy", Policy({}))
        assert "chat.use" in await b.ask("!look")


async def test_a_skill_that_the_person_may_not_use_is_denied_and_audited(journal, clock):
    secret = tool("secret", permission="skill:secret.use", run=lambda *_: pytest.fail("it ran"))
    async with bench(journal, clock, tools=[secret]) as b:
        assert "skill:secret.use" in await b.ask("!secret")
        entry = journal._book.audit[-1][2]
        assert (entry.action, entry.outcome) == ("skill:secret.use", "denied")
        assert (await b.session()).context.last_skill == ""


async def test_help_names_the_commands_and_the_skills_that_this_person_may_use(journal, clock):
    hidden = tool("secret", permission="skill:secret.use")
    async with bench(journal, clock, tools=[tool(), hidden]) as b:
        english = await b.ask("/help")
        assert "/stop" in english
        assert "- The look" in english
        assert "secret" not in english
        assert "- look技能" in await b.ask("/帮助")
    async with bench(journal, clock) as b:
        assert "Skills" not in await b.ask("/help")


async def test_new_forgets_what_was_said(journal, clock):
    model = ScriptedModel("one", "two")
    async with bench(journal, clock, model=model) as b:
        await b.ask("first")
        assert "new session" in await b.ask("/new")
        await b.ask("second")
        assert [m["content"] for m in model.asked[1].messages[1:]] == ["second"]


@pytest.mark.requirement("session:idle")
async def test_a_session_is_destroyed_after_fifteen_idle_minutes_and_not_before(journal, clock):
    model = ScriptedModel("one", "two", "three")
    async with bench(journal, clock, model=model) as b:
        await b.ask("first")
        before = await b.session()
        await clock.advance(899)
        await b.ask("second")
        assert (await b.session()).id == before.id
        assert len(model.asked[1].messages) == 4, "system, first, its answer, second"
        await clock.advance(900)
        assert await b.session() is None
        await b.ask("third")
        assert (await b.session()).id != before.id
        assert [m["content"] for m in model.asked[2].messages[1:]] == ["third"]


async def test_a_model_that_cannot_answer_is_an_honest_sentence_and_the_skills(journal, clock):
    async with bench(
        journal, clock, tools=[tool()], model=ScriptedModel(failing("unreachable"))
    ) as b:
        answer = await b.ask("hello")
        assert "模型" in answer
        assert "The look" in answer
        assert (await b.session()).context.last_skill == ""


# What fails.


async def test_a_turn_that_fails_three_times_is_a_dead_letter_with_an_apology_that_names_it(
    journal, clock
):
    model = ScriptedModel(
        *[line(error=RuntimeError("secret words of the user"))] * 3, "the next answer"
    )
    async with bench(journal, clock, model=model) as b:
        first = await b.say("break")
        later = await b.say("go on")
        for pause in (2, 10):
            await b.until(
                lambda: b.metric("ai_engine_turn_failures_total", channel="chat", result="retry")
            )
            await b.settle()
            await clock.advance(pause)
        apology = await b.answer_to(first)
        story = await b.story(first)
        assert story["id"] in apology
        assert story["state"] == "dead"
        assert await b.answer_to(later) == "the next answer"
        (dead,) = await journal.dead_letters()
        assert (dead.kind, dead.attempts, dead.error) == ("inbound", 3, "RuntimeError")
        assert "secret words" not in str(story)
        assert b.metric("ai_engine_turn_failures_total", channel="chat", result="dead") == 1


async def test_a_turn_that_takes_too_long_fails(journal, clock):
    never = asyncio.Event()
    model = ScriptedModel(line("late", gate=never), "in time")
    server = {"turn_timeout_seconds": 0.02}
    async with bench(journal, clock, model=model, server=server) as b:
        first = await b.say("hello")
        await b.until(
            lambda: b.metric("ai_engine_turn_failures_total", channel="chat", result="retry")
        )
        await b.settle()
        await clock.advance(2)
        assert await b.answer_to(first) == "in time"
        failed = [s for s in (await b.story(first))["steps"] if s["step"] == "failed"]
        assert [s["error"] for s in failed] == ["TimeoutError"]


async def test_a_skill_that_raises_is_a_result_and_not_a_failed_turn(journal, clock):
    def burst(arguments, context):
        raise ZeroDivisionError("the user's own words")

    async with bench(journal, clock, tools=[tool("burst", burst)]) as b:
        answer = await b.ask("!burst")
        assert "burst failed" in answer
        assert "words" not in answer
        assert await journal.dead_letters() == []


async def test_a_skill_that_does_not_finish_is_cancelled_and_said_to_have_timed_out(journal, clock):
    async def hang(arguments, context):
        await asyncio.Event().wait()

    slow = tool("slow", hang, timeout_seconds=0.02)
    async with bench(journal, clock, tools=[slow]) as b:
        assert "0.02 seconds" in await b.ask("!slow")


async def test_words_that_a_skill_cannot_read_fail_the_turn_and_the_session_goes_on(journal, clock):
    def unreadable(text, context):
        raise ValueError(text)

    async with bench(journal, clock, tools=[tool(from_text=unreadable)]) as b:
        first = await b.say("!look")
        for pause in (2, 10):
            await b.settle()
            await clock.advance(pause)
        assert "something went wrong" in await b.answer_to(first)
        assert await b.ask("ping") == "pong"


async def test_a_commit_that_the_disk_refuses_is_written_when_it_can_be_without_another_turn(
    journal, clock
):
    model = ScriptedModel("said once")
    refusing = Failing(journal, commit=[EngineError("the disk is full")] * 2)
    async with bench(refusing, clock, model=model) as b:
        first = await b.say("hello")
        for _ in range(2):
            await b.settle()
            await clock.advance(30)
        assert await b.answer_to(first) == "said once"
        assert refusing.calls == ["commit"] * 3
        assert len(model.asked) == 1


async def test_the_end_of_a_failed_turn_is_written_when_it_can_be(journal, clock):
    model = ScriptedModel(line(error=RuntimeError("x")), "at last")
    refusing = Failing(journal, fail=[EngineError("the disk is full")])
    async with bench(refusing, clock, model=model) as b:
        first = await b.say("hello")
        for _ in range(2):
            await b.settle()
            await clock.advance(30)
        assert await b.answer_to(first) == "at last"


@pytest.mark.parametrize(
    "failures",
    [
        {"commit": [LostLease("gone")]},
        {"commit": [RuntimeError("a bug")], "fail": [LostLease("gone")]},
        {"commit": [RuntimeError("a bug")], "fail": [RuntimeError("a bug")]},
    ],
)
async def test_a_turn_that_cannot_be_ended_ends_no_other(journal, clock, failures):
    async with bench(Failing(journal, **failures), clock) as b:
        lost = await b.say("ping")
        assert await b.ask("ping", user="bert") == "pong"
        assert b.channel.answers(lost) == []


async def test_cancelled_while_its_commit_is_written_the_road_ends_without_an_error(journal, clock):
    class Slow(Failing):
        def __init__(self, inner):
            super().__init__(inner)
            self.committing = asyncio.Event()

        async def commit(self, turn, outcome):
            await self._inner.commit(turn, outcome)
            self.committing.set()
            await asyncio.Event().wait()

    slow = Slow(journal)
    async with bench(slow, clock) as b:
        await b.say("ping")
        async with asyncio.timeout(5):
            await slow.committing.wait()
        b.running[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await b.running[0]
        b.running = b.running[1:]


@pytest.mark.parametrize("error", [EngineError("the disk is full"), LostLease("gone")])
async def test_a_turn_that_cannot_be_given_back_does_not_hide_the_cancellation(
    journal, clock, error
):
    model = ScriptedModel(line("late", gate=asyncio.Event()))
    refusing = Failing(journal, release=[error])
    async with bench(refusing, clock, model=model) as b:
        await b.say("hello")
        await b.until(lambda: model.asked)
        b.running[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await b.running[0]
        assert refusing.calls == ["release"]
        b.running = b.running[1:]


async def test_a_turn_cancelled_at_the_stop_is_run_again_by_the_next_start(journal, clock):
    model = ScriptedModel(line("late", gate=asyncio.Event()), "after the restart")
    async with bench(journal, clock, model=model) as b:
        first = await b.say("hello")
        await b.until(lambda: model.asked)
        await b.stop()
        assert (await b.story(first))["state"] == "queued"
        b.start()
        assert await b.answer_to(first) == "after the restart"


async def test_draining_lets_the_running_turn_end_and_its_reply_go_out(journal, clock):
    gate = asyncio.Event()
    model = ScriptedModel(line("one ", "two", gate=gate))
    async with bench(journal, clock, model=model) as b:
        first = await b.say("hello")
        await b.until(lambda: model.asked)
        await journal.drain()
        gate.set()
        await b.drain()
        assert b.channel.answers(first) == ["one two"]


# What is said of it.


async def test_the_trace_names_the_steps_and_holds_no_text(journal, clock):
    async with bench(journal, clock, tools=[tool()]) as b:
        message_id = await b.say("!look under the red carpet")
        await b.answer_to(message_id)
        story = await b.until_state(message_id, "handled")
        steps = [s["step"] for s in story["steps"]]
        assert steps[:5] == ["accepted", "started", "turn", "routed", "tool"]
        assert "carpet" not in str(story)


async def test_the_own_latency_leaves_out_tools_models_and_waiting_behind_earlier_turns(
    journal, clock
):
    async def slow(arguments, context):
        await clock.sleep(7)
        return "slow"

    async with bench(journal, clock, tools=[tool("slow", slow)]) as b:
        first, second = await b.say("!slow"), await b.say("ping")
        await b.settle()
        await clock.advance(7)
        await b.answer_to(first)
        await b.answer_to(second)
        assert b.metric("ai_engine_own_latency_seconds_count") == 2
        assert b.metric("ai_engine_own_latency_seconds_sum") < 0.01


async def test_sessions_of_others_are_not_held_up(journal, clock):
    gate = asyncio.Event()
    async with bench(journal, clock, model=ScriptedModel(line("late", gate=gate))) as b:
        slow = await b.say("hello")
        behind = await b.say("ping")
        assert await b.ask("ping", user="bert") == "pong"
        assert b.channel.answers(behind) == []
        gate.set()
        await b.answer_to(behind)
        assert [o.in_reply_to for o in b.channel.sent][1:] == [slow, behind]


async def test_only_so_many_turns_run_at_once(journal, clock):
    gates = [asyncio.Event() for _ in range(3)]
    model = ScriptedModel(*[line("done", gate=gate) for gate in gates])
    async with bench(journal, clock, model=model, server={"turns_max": 2}) as b:
        for user in ("a", "b", "c"):
            await b.say("hello", user=user)
        await b.until(lambda: len(model.asked) == 2)
        await b.settle()
        assert len(model.asked) == 2
        gates[0].set()
        await b.until(lambda: len(model.asked) == 3)
        gates[1].set()
        gates[2].set()


async def test_in_a_group_session_all_share_the_conversation(journal, clock):
    model = ScriptedModel("one", "two")
    async with bench(journal, clock, model=model, session={"scope": "group"}) as b:
        await b.ask("from anna", group=True)
        await b.ask("from bert", group=True, user="bert")
        assert [m["content"] for m in model.asked[1].messages[1:]] == [
            "from anna",
            "one",
            "from bert",
        ]
        assert b.message("x").chat == Chat(kind=ChatKind.PRIVATE, id="c1")
