"""Tools that change something: begun once, recorded, and never run twice by accident."""

import asyncio

import pytest

from ai_engine.assistant.fakes import call
from ai_engine.domain.reply import Card
from ai_engine.domain.skill import ToolResult
from ai_engine.journal.memory import MemoryJournal

from support.bench import ScriptedModel, bench, line, tool
from support.clock import ManualClock
from support.journals import ENGINES, kill_sqlite


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def journal(clock):
    async with MemoryJournal(clock=clock) as opened:
        yield opened


class Writing:
    """A tool that changes something; hangs in its first call when told to."""

    def __init__(self, name="write", *, hang=False, **more):
        self.keys = []
        self.hang = hang
        self.reached = asyncio.Event()
        self.tool = tool(name, self._run, **more)

    async def _run(self, arguments, context):
        self.keys.append(context.idempotency_key)
        self.reached.set()
        if self.hang and len(self.keys) == 1:
            await asyncio.Event().wait()
        return f"written {arguments.get('what', '')}"


async def crash_in_tool(tmp_path, clock, writing, text, model=None, more=()):
    """Runs until the tool has had its effect; then the process is gone."""
    journal = ENGINES["sqlite"].open(tmp_path, None, clock)
    await journal.__aenter__()
    tools = [writing.tool, *more]
    async with bench(journal, clock, tools=tools, model=model) as b:
        message = await b.say(text)
        async with asyncio.timeout(5):
            await writing.reached.wait()
        await b.settle()
        await kill_sqlite(journal)
    return message


async def test_a_rule_s_call_without_a_recorded_result_has_an_unknown_outcome(tmp_path, clock):
    writing = Writing(hang=True)
    message = await crash_in_tool(tmp_path, clock, writing, "!write a")
    async with (
        ENGINES["sqlite"].open(tmp_path, None, clock) as again,
        bench(again, clock, tools=[writing.tool]) as b,
    ):
        assert "outcome is unknown" in await b.answer_to(message)
        assert len(writing.keys) == 1


async def test_an_idempotent_call_is_repeated_with_the_same_key(tmp_path, clock):
    writing = Writing(hang=True, idempotent=True)
    message = await crash_in_tool(tmp_path, clock, writing, "!write a")
    async with (
        ENGINES["sqlite"].open(tmp_path, None, clock) as again,
        bench(again, clock, tools=[writing.tool]) as b,
    ):
        assert await b.answer_to(message) == "written a"
        first, second = writing.keys
        assert first == second
        story = await b.story(message)
        assert first == f"{story['id']}/rule"


async def test_a_reading_call_is_repeated_and_makes_no_checkpoint(tmp_path, clock):
    writing = Writing(hang=True, read_only=True)
    message = await crash_in_tool(tmp_path, clock, writing, "!write a")
    async with (
        ENGINES["sqlite"].open(tmp_path, None, clock) as again,
        bench(again, clock, tools=[writing.tool]) as b,
    ):
        assert await b.answer_to(message) == "written a"
        assert len(writing.keys) == 2


async def test_the_assistant_goes_on_from_its_checkpoint_and_a_finished_call_is_not_repeated(
    tmp_path, clock
):
    first = Writing("first")
    second = Writing("second", hang=True)
    one, two = call("first", what="a"), call("second", what="b")
    model = ScriptedModel(one, two)
    message = await crash_in_tool(
        tmp_path, clock, second, "do both", model=model, more=[first.tool]
    )
    after = ScriptedModel("Done, as far as I know.")
    async with (
        ENGINES["sqlite"].open(tmp_path, None, clock) as again,
        bench(again, clock, tools=[first.tool, second.tool], model=after) as b,
    ):
        assert await b.answer_to(message) == "Done, as far as I know."
        assert (len(first.keys), len(second.keys)) == (1, 1)
        results = [m["content"] for m in after.asked[0].messages if m["role"] == "tool"]
        assert results[0] == "written a"
        assert "unknown" in results[1]
        assert len(after.asked) == 1


async def test_a_recorded_result_is_used_again_when_the_turn_is_repeated(journal, clock):
    """The call had its result; the commit failed by a bug; the next attempt does not call."""

    class Once:
        failed = False

        def __getattr__(self, name):
            return getattr(journal, name)

        async def commit(self, turn, outcome):
            if not self.failed:
                self.failed = True
                raise RuntimeError("a bug")
            return await journal.commit(turn, outcome)

    writing = Writing()
    async with bench(Once(), clock, tools=[writing.tool]) as b:
        message = await b.say("!write a")
        await b.settle()
        await clock.advance(2)
        assert await b.answer_to(message) == "written a"
        assert len(writing.keys) == 1


async def test_a_checkpoint_is_written_before_the_call_and_after_its_result(journal, clock):
    saved = []

    class Watching:
        def __getattr__(self, name):
            return getattr(journal, name)

        async def checkpoint(self, turn, state):
            saved.append((len(writing.keys), sorted(state["assistant"]["results"])))
            await journal.checkpoint(turn, state)

    writing = Writing()
    async with bench(Watching(), clock, tools=[writing.tool]) as b:
        await b.ask("!write a")
        assert saved == [(0, []), (1, ["rule"])]


@pytest.mark.requirement("verify:skills")
async def test_several_skills_work_together_in_one_turn(journal, clock):
    running, together = [], asyncio.Event()

    async def meet(arguments, context):
        running.append(context.idempotency_key)
        if len(running) == 2:
            together.set()
        async with asyncio.timeout(5):
            await together.wait()
        return f"met {arguments['who']}"

    both = call("weather", who="the rain")
    both.calls = [*both.calls, *call("calendar", who="the dentist").calls]
    model = ScriptedModel(both, call("note", what="umbrella"), "Take an umbrella to the dentist.")
    note = Writing("note")
    tools = [tool("weather", meet, read_only=True), tool("calendar", meet, read_only=True)]
    async with bench(journal, clock, tools=[*tools, note.tool], model=model) as b:
        message = await b.say("plan my day")
        assert await b.answer_to(message) == "Take an umbrella to the dentist."
        results = [m["content"] for m in model.asked[2].messages if m["role"] == "tool"]
        assert results == ["met the rain", "met the dentist", "written umbrella"]
        assert len(set(running)) == 2, "each call has a key of its own"
        story = await b.until_state(message, "handled")
        names = [s["name"] for s in story["steps"] if s["step"] == "tool"]
        assert sorted(names) == ["calendar", "note", "weather"]
        assert len(journal._book.audit) == 3


async def test_the_newest_card_of_a_turn_is_shown_with_the_answer(journal, clock):
    def with_card(arguments, context):
        return ToolResult(text="sunny", card=Card(title="Weather"))

    model = ScriptedModel(call("weather"), "It is sunny.")
    async with bench(journal, clock, tools=[tool("weather", with_card)], model=model) as b:
        await b.ask("weather?")
        assert b.channel.sent[0].reply.card == Card(title="Weather")
        await b.ask("!weather")
        assert b.channel.sent[1].reply.card == Card(title="Weather")


async def test_a_tool_that_the_person_may_not_use_is_not_shown_to_the_model(journal, clock):
    model = ScriptedModel(call("secret"), "I cannot.")
    hidden = tool("secret", permission="skill:secret.use", run=lambda *_: pytest.fail("it ran"))
    async with bench(journal, clock, tools=[hidden, tool("look")], model=model) as b:
        assert await b.ask("do it") == "I cannot."
        shown = [t["function"]["name"] for t in model.asked[0].tools]
        assert shown == ["look"]


async def test_a_skill_that_is_gone_after_the_question_is_said_to_be_gone(journal, clock):
    asking = tool("pay", ask_first=True)
    async with bench(journal, clock, tools=[asking]) as b:
        await b.ask("!pay")
        object.__setattr__(b.plan, "tools", {})
        await b.say("/yes")
        assert "'pay'" in await b.next_answer(1)


async def test_a_failing_tool_is_audited_as_such_and_leaves_the_context(journal, clock):
    def refuse(arguments, context):
        return ToolResult(text="no such city", error=True)

    async with bench(journal, clock, tools=[tool("weather", refuse)]) as b:
        assert await b.ask("!weather") == "no such city"
        assert journal._book.audit[-1][2].outcome == "error"
        assert (await b.session()).context.last_skill == ""
        count = b.metric("ai_engine_tool_call_seconds_count", tool="weather", result="error")
        assert count == 1


async def test_the_answer_of_a_turn_with_tools_goes_on_from_what_was_shown(journal, clock):
    first = line("Let me look.")
    first.calls = call("look").calls
    model = ScriptedModel(first, "Found it.")
    async with bench(journal, clock, tools=[tool("look")], model=model) as b:
        assert await b.ask("find it") == "Let me look.\n\nFound it."
