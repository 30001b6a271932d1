"""Asking first: the question, its answers, its end, and what a restart keeps."""

import pytest

from ai_engine.assistant.fakes import call
from ai_engine.domain.message import MessageKind
from ai_engine.journal.memory import MemoryJournal
from ai_engine.pipeline.asking import ANSWER_SECONDS_MAX

from support.bench import ScriptedModel, bench, tool
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


class Paying:
    """A tool that must be asked about, and what it was called with."""

    def __init__(self, name="pay", **more):
        self.calls = []
        self.tool = tool(name, self._run, ask_first=True, **more)

    def _run(self, arguments, context):
        self.calls.append((arguments, context.idempotency_key, context.language))
        return f"paid {arguments.get('what', '?')}"


async def resumed(b, before, word):
    """Answer the question; the text that follows."""
    await b.say(word)
    return await b.next_answer(before)


async def test_a_rule_s_skill_asks_and_runs_once_after_yes(journal, clock):
    pay = Paying()
    async with bench(journal, clock, tools=[pay.tool]) as b:
        question = await b.ask("!pay the rent")
        assert "May I run **The pay**" in question
        assert "- what: the rent" in question
        assert pay.calls == []
        assert await resumed(b, 1, "/yes") == "paid the rent"
        assert [c[0] for c in pay.calls] == [{"what": "the rent"}]
        session = await b.session()
        assert (session.context.asking, session.context.last_skill) == ("", "pay")


async def test_the_question_and_what_follows_are_in_the_language_of_the_request(journal, clock):
    pay = Paying()
    async with bench(journal, clock, tools=[pay.tool], language="en") as b:
        assert "需要您的同意：执行 **pay技能**" in await b.ask("!pay 房租")
        await resumed(b, 1, "/yes")
        assert pay.calls[0][2] == "zh"


async def test_no_means_that_it_is_not_done(journal, clock):
    pay = Paying()
    async with bench(journal, clock, tools=[pay.tool]) as b:
        await b.ask("!pay")
        assert await resumed(b, 1, "/no") == "All right, it was not done."
        assert await resumed(b, 2, "/yes") == "Nothing is waiting for your answer."
        assert pay.calls == []


async def test_the_model_s_call_asks_too_and_the_conversation_goes_on(journal, clock):
    pay = Paying()
    model = ScriptedModel(call("pay", what="rent"), "It is paid.", "You asked about the rent.")
    async with bench(journal, clock, tools=[pay.tool], model=model) as b:
        assert "May I run" in await b.ask("pay my rent please")
        assert await resumed(b, 1, "/yes") == "It is paid."
        assert len(pay.calls) == 1
        assert model.asked[1].messages[-1]["content"] == "paid rent"
        await b.ask("what was it?")
        contents = [m["content"] for m in model.asked[2].messages[1:]]
        assert contents == ["pay my rent please", "It is paid.", "what was it?"]


async def test_the_model_learns_that_the_person_said_no(journal, clock):
    pay = Paying()
    model = ScriptedModel(call("pay", what="rent"), "As you wish.")
    async with bench(journal, clock, tools=[pay.tool], model=model) as b:
        await b.ask("pay my rent")
        assert await resumed(b, 1, "/no") == "As you wish."
        assert pay.calls == []
        assert "Error" in model.asked[1].messages[-1]["content"]


async def test_a_second_call_of_the_same_answer_is_asked_for_after_the_first(journal, clock):
    pay, send = Paying(), Paying("send")
    first, second = call("pay", what="a"), call("send", what="b")
    first.calls = [*first.calls, *second.calls]
    model = ScriptedModel(first, "Both done.")
    async with bench(journal, clock, tools=[pay.tool, send.tool], model=model) as b:
        assert "The pay" in await b.ask("do both")
        assert "The send" in await resumed(b, 1, "/yes")
        assert await resumed(b, 2, "/yes") == "Both done."
        assert (len(pay.calls), len(send.calls)) == (1, 1)
        await b.until(lambda: len(b.channel.sent) == 3)
        session = await b.session()
        assert [h.text for h in session.history] == ["do both", "Both done."]


async def test_an_unanswered_question_expires_and_says_so(journal, clock):
    pay = Paying()
    async with bench(journal, clock, tools=[pay.tool]) as b:
        await b.ask("!pay")
        await clock.advance(ANSWER_SECONDS_MAX - 1)
        await b.settle()
        assert len(b.channel.sent) == 1
        await clock.advance(1)
        assert "Nobody answered in time; The pay was not done." in await b.next_answer(1)
        assert await resumed(b, 2, "/yes") == "Nothing is waiting for your answer."
        assert pay.calls == []
        own = b.metric("ai_engine_own_latency_seconds_sum")
        assert own < 1, "the time in which nobody answered is not the engine's"


async def test_an_answered_question_does_not_expire(journal, clock):
    pay = Paying()
    async with bench(journal, clock, tools=[pay.tool]) as b:
        await b.ask("!pay")
        await resumed(b, 1, "/yes")
        await clock.advance(ANSWER_SECONDS_MAX)
        await b.settle()
        assert len(b.channel.sent) == 2


async def test_another_person_s_yes_is_refused_and_the_question_stays_open(journal, clock):
    pay = Paying()
    async with bench(journal, clock, tools=[pay.tool], **GROUP) as b:
        await b.ask("!pay", group=True)
        await b.say("/yes", group=True, user="bert")
        assert await b.next_answer(1) == "Only the person who asked may answer this."
        assert pay.calls == []
        await b.say("/yes", group=True)
        assert await b.next_answer(2) == "paid !pay"
        assert len(pay.calls) == 1


async def test_yes_twice_runs_it_once(journal, clock):
    pay = Paying()
    async with bench(journal, clock, tools=[pay.tool]) as b:
        await b.ask("!pay")
        await b.say("/yes")
        await b.say("/yes")
        await b.channel.until(lambda: len(b.channel.sent) == 3)
        assert len(pay.calls) == 1
        assert b.channel.texts[2] == "Nothing is waiting for your answer."


async def test_yes_and_no_without_a_question_say_so(journal, clock):
    async with bench(journal, clock) as b:
        assert await b.ask("/yes") == "Nothing is waiting for your answer."
        assert await b.ask("/no") == "Nothing is waiting for your answer."


async def test_other_messages_in_between_leave_the_question_open(journal, clock):
    pay = Paying()
    async with bench(journal, clock, tools=[pay.tool, tool("look")]) as b:
        await b.ask("!pay")
        await b.ask("!look around")
        await b.ask("ping")
        assert await resumed(b, 3, "/yes") == "paid !pay"
        assert len(pay.calls) == 1


async def test_when_an_earlier_question_expires_the_later_one_stays_open(journal, clock):
    pay, send = Paying(), Paying("send")
    async with bench(journal, clock, tools=[pay.tool, send.tool]) as b:
        await b.ask("!pay")
        await clock.advance(600)
        await b.ask("!send")
        await clock.advance(ANSWER_SECONDS_MAX - 600)
        assert "The pay was not done" in await b.next_answer(2)
        await resumed(b, 3, "/yes")
        assert (len(pay.calls), len(send.calls)) == (0, 1)


async def test_new_closes_the_question_without_a_word_later(journal, clock):
    pay = Paying()
    async with bench(journal, clock, tools=[pay.tool]) as b:
        await b.ask("!pay")
        await b.ask("/new")
        assert await resumed(b, 2, "/yes") == "Nothing is waiting for your answer."
        await clock.advance(ANSWER_SECONDS_MAX)
        await b.settle()
        assert len(b.channel.sent) == 3
        assert pay.calls == []


async def test_an_answer_that_came_too_late_for_its_session_says_so(journal, clock):
    async with bench(journal, clock) as b:
        payload = {"call": "gone/1", "answer": "approve"}
        late = await b.say("", kind=MessageKind.RESUME, payload=payload)
        assert await b.answer_to(late) == "Nothing is waiting for your answer."


async def test_a_session_does_not_expire_while_it_asks(journal, clock):
    pay = Paying()
    async with bench(journal, clock, tools=[pay.tool], session={"idle_minutes": 1}) as b:
        await b.ask("!pay")
        before = await b.session()
        await clock.advance(600)
        assert (await b.session()).id == before.id


async def test_what_was_asked_about_is_no_part_of_the_trace(journal, clock):
    pay = Paying()
    async with bench(journal, clock, tools=[pay.tool]) as b:
        message = await b.say("!pay the red ransom")
        await b.answer_to(message)
        story = await b.until_state(message, "handled")
        assert "asked" in [s["step"] for s in story["steps"]]
        assert "ransom" not in str(story)


@pytest.mark.parametrize("by", ["rule", "model"])
async def test_a_restart_between_question_and_answer_forgets_nothing(tmp_path, clock, by):
    pay = Paying()
    journal = ENGINES["sqlite"].open(tmp_path, None, clock)
    await journal.__aenter__()
    model = ScriptedModel(call("pay", what="rent"))
    async with bench(journal, clock, tools=[pay.tool], model=model) as b:
        await b.ask("!pay rent" if by == "rule" else "pay my rent")
        await b.settle()
        await kill_sqlite(journal)
    after = ScriptedModel("It is paid.")
    async with (
        ENGINES["sqlite"].open(tmp_path, None, clock) as again,
        bench(again, clock, tools=[pay.tool], model=after) as b,
    ):
        await b.say("/yes")
        await b.channel.until(lambda: "paid" in "".join(b.channel.texts))
        assert [c[0] for c in pay.calls] == [{"what": "rent"}]
        await clock.advance(ANSWER_SECONDS_MAX)
        await b.settle()
        assert not any("Nobody answered" in text for text in b.channel.texts)
