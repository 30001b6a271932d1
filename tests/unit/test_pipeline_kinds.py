"""What happens to a session besides words: buttons, ratings, corrections, greetings, files."""

import asyncio
import base64
from dataclasses import replace

import pytest

from ai_engine.domain.errors import SendRefused, SendRetryable
from ai_engine.domain.message import Attachment, Media, MessageKind
from ai_engine.domain.skill import ToolResult
from ai_engine.journal.base import Limits, Outcome
from ai_engine.journal.memory import MemoryJournal

from support.bench import FakeChannel, ScriptedModel, bench, line, tool
from support.clock import ManualClock
from support.journals import ENGINES
from support.watched_clock import WatchedClock

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def journal(clock):
    async with MemoryJournal(clock=clock) as opened:
        yield opened


def config(**channel):
    return {"channels": {"chat": {"type": "fake", **channel}}}


def endless(*pieces):
    return line(*pieces, "never", gate=asyncio.Event())


async def press(b, **payload):
    """Press a button with this value; the id of the callback."""
    return await b.say("", kind=MessageKind.BUTTON, payload=payload)


# Buttons.


async def test_a_button_with_words_is_as_if_the_person_had_written_them(journal, clock):
    async with bench(journal, clock) as b:
        assert await b.answer_to(await press(b, text="ping")) == "pong"


async def test_an_approval_button_resumes_the_call_once(journal, clock):
    ran = []
    asks = tool("pay", ask_first=True, run=lambda *_: ran.append(1) or "paid")
    async with bench(journal, clock, tools=[asks]) as b:
        await b.ask("!pay 5")
        allow, refuse = b.channel.sent[-1].reply.card.buttons
        assert (allow.label, refuse.label) == ("Allow", "Refuse")
        await press(b, **allow.value)
        assert await b.next_answer(1) == "paid"
        await press(b, **allow.value)
        assert await b.next_answer(2) == "Nothing is waiting for your answer."
        assert ran == [1]


async def test_nobody_else_answers_a_question_by_its_button(journal, clock):
    asks = tool("pay", ask_first=True, run=lambda *_: pytest.fail("it ran"))
    async with bench(journal, clock, tools=[asks], session={"scope": "group"}) as b:
        await b.ask("!pay 5", group=True)
        value = b.channel.sent[-1].reply.card.buttons[0].value
        await b.say("", kind=MessageKind.BUTTON, payload=value, user="ben", group=True)
        assert "Only the person who asked" in await b.next_answer(1)


@pytest.mark.parametrize("payload", [{}, {"text": " "}, {"x": 1}, {"call": 3, "answer": "approve"}])
async def test_a_button_that_means_nothing_is_said_to(journal, clock, payload):
    async with bench(journal, clock) as b:
        assert "does not work any more" in await b.answer_to(await press(b, **payload))


# Ratings.


async def test_an_answer_of_the_model_may_be_rated_and_a_sentence_of_the_engine_not(journal, clock):
    async with bench(journal, clock, model=ScriptedModel("an answer")) as b:
        await b.ask("question")
        await b.ask("/help")
        answer, help_text = (o.reply for o in b.channel.sent)
        assert answer.feedback == b.channel.sent[0].inbound_id
        assert help_text.feedback == ""


async def test_a_channel_that_wants_no_ratings_offers_none(journal, clock):
    async with bench(journal, clock, model=ScriptedModel("x"), **config(feedback=False)) as b:
        await b.ask("question")
        assert b.channel.sent[0].reply.feedback == ""


async def test_a_rating_is_kept_with_the_answered_message(journal, clock):
    async with bench(journal, clock, model=ScriptedModel("an answer")) as b:
        asked = await b.say("question")
        await b.answer_to(asked)
        of = b.channel.sent[0].reply.feedback
        pressed = await press(b, feedback="good", of=of)
        await b.until_state(pressed, "handled")
        [note] = [s for s in (await b.story(asked))["steps"] if s["step"] == "rated"]
        assert (note["rating"], note["by"]) == ("good", "fake:t/anna")
        assert b.metric("ai_engine_feedback_total", channel="chat", rating="good") == 1
        assert len(b.channel.sent) == 1


async def test_a_reaction_without_a_reference_means_the_newest_answer(journal, clock):
    model = ScriptedModel("one", "two")
    async with bench(journal, clock, model=model) as b:
        await b.ask("first")
        second = await b.say("second")
        await b.answer_to(second)
        rated = await b.say("", kind=MessageKind.FEEDBACK, payload={"rating": "bad"})
        await b.until_state(rated, "handled")
        assert [s["rating"] for s in (await b.story(second))["steps"] if s["step"] == "rated"]


async def test_bad_with_words_keeps_the_words_and_thanks(journal, clock):
    async with bench(journal, clock, model=ScriptedModel("an answer")) as b:
        asked = await b.say("question")
        await b.answer_to(asked)
        assert "Thank you" in await b.ask("/bad the date is wrong")
        [note] = [s for s in (await b.story(asked))["steps"] if s["step"] == "rated"]
        assert note["text"] == "the date is wrong"
        entry = journal._book.audit[-1][2]
        assert (entry.action, entry.outcome) == ("feedback.give", "bad")


async def test_without_an_answer_there_is_nothing_to_rate(journal, clock):
    async with bench(journal, clock) as b:
        assert "no answer to rate" in await b.ask("/good")
        pressed = await press(b, feedback="splendid", of="m1")
        await b.until_state(pressed, "handled")
        assert b.metric("ai_engine_feedback_total", channel="chat", rating="splendid") == 0


# Edits and recalls.


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda engine: engine.name)
async def test_a_queued_message_taken_back_is_never_answered(engine, tmp_path, clock):
    model = ScriptedModel(line("first", gate=(gate := asyncio.Event())), "third")
    async with (
        engine.open(tmp_path, Limits(), clock) as opened,
        bench(opened, clock, model=model) as b,
    ):
        first = await b.say("one")
        await b.until(lambda: model.asked)
        second = await b.say("two")
        third = await b.say("three")
        recall = await b.say("", kind=MessageKind.RECALL, payload={"of": second})
        await b.until_state(recall, "handled")
        gate.set()
        assert await b.answer_to(first) == "first"
        assert await b.answer_to(third) == "third"
        assert (await b.story(second))["state"] == "cancelled"


async def test_a_running_message_taken_back_is_stopped(journal, clock):
    model = ScriptedModel(endless("so far"))
    async with bench(journal, clock, model=model) as b:
        asked = await b.say("one")
        await b.until(lambda: model.asked)
        await b.say("", kind=MessageKind.RECALL, payload={"of": asked})
        assert "stopped" in await b.answer_to(asked)


async def test_a_recall_after_the_answer_changes_nothing(journal, clock):
    async with bench(journal, clock) as b:
        asked = await b.say("ping")
        await b.answer_to(asked)
        recall = await b.say("", kind=MessageKind.RECALL, payload={"of": asked})
        story = await b.until_state(recall, "handled")
        assert [s["result"] for s in story["steps"] if s["step"] == "recall"] == ["too late"]
        assert len(b.channel.sent) == 1


async def test_nobody_takes_back_what_another_wrote(journal, clock):
    model = ScriptedModel(line("first", gate=(gate := asyncio.Event())), "second")
    async with bench(journal, clock, model=model, session={"scope": "group"}) as b:
        await b.say("one", group=True)
        await b.until(lambda: model.asked)
        second = await b.say("two", group=True)
        recall = await b.say(
            "", kind=MessageKind.RECALL, payload={"of": second}, user="ben", group=True
        )
        await b.until_state(recall, "handled")
        gate.set()
        assert await b.answer_to(second) == "second"


async def test_an_edit_of_a_waiting_message_is_answered_in_its_new_words_only(journal, clock):
    model = ScriptedModel(line("first", gate=(gate := asyncio.Event())))
    async with bench(journal, clock, model=model) as b:
        await b.say("one")
        await b.until(lambda: model.asked)
        second = await b.say("pink")
        edit = await b.say("ping", kind=MessageKind.EDIT, payload={"of": second})
        await b.until_state(edit, "handled")
        gate.set()
        assert await b.answer_to(f"{edit}/again") == "pong"
        assert b.channel.answers(second) == []


async def test_an_edit_of_the_running_message_stops_it_and_answers_anew(journal, clock):
    model = ScriptedModel(endless("so far"))
    async with bench(journal, clock, model=model) as b:
        asked = await b.say("pink")
        await b.until(lambda: model.asked)
        edit = await b.say("ping", kind=MessageKind.EDIT, payload={"of": asked})
        assert await b.answer_to(f"{edit}/again") == "pong"
        assert "stopped" in b.channel.answers(asked)[0]


async def test_an_edit_after_the_answer_is_not_answered_again(journal, clock):
    async with bench(journal, clock) as b:
        asked = await b.say("ping")
        await b.answer_to(asked)
        edit = await b.say("ping", kind=MessageKind.EDIT, payload={"of": asked})
        await b.until_state(edit, "handled")
        await b.settle()
        assert len(b.channel.sent) == 1


async def test_an_edit_means_the_message_of_its_own_channel(journal, clock):
    model = ScriptedModel(line("first", gate=(gate := asyncio.Event())))
    async with bench(journal, clock, model=model) as b:
        for number in ("7:44", "7:45"):  # platforms number the chats of two bots alike
            message = b.message("one", id=number, chat="c9")
            await b.ingress.accept(replace(message, channel="another bot"))
        await b.until(lambda: model.asked)
        answered = await b.say("ping", id="7:45")
        await b.answer_to(answered)
        edit = await b.say("ping", kind=MessageKind.EDIT, payload={"of": answered})
        steps = (await b.until_state(edit, "handled"))["steps"]
        assert [s["result"] for s in steps if s["step"] == "edit"] == ["too late"]
        gate.set()


# Greetings and notices.


async def test_who_opens_the_chat_is_greeted_with_what_is_on_offer(journal, clock):
    async with bench(journal, clock, tools=[tool()]) as b:
        greeting = await b.answer_to(await b.say("", kind=MessageKind.WELCOME))
        assert greeting.startswith("Hello!")
        assert "- The look" in greeting


async def test_a_channel_may_greet_nobody(journal, clock):
    async with bench(journal, clock, **config(welcome=False)) as b:
        await b.until_state(await b.say("", kind=MessageKind.WELCOME), "handled")
        assert b.channel.sent == []


async def test_a_notice_says_its_text_in_the_sessions_order(journal, clock):
    async with bench(journal, clock) as b:
        noted = await b.say("", kind=MessageKind.NOTICE, payload={"say": "the lift is broken"})
        assert await b.answer_to(noted) == "the lift is broken"


# Attachments.


def shown_to(model):
    return model.asked[-1].messages[-1]["content"]


async def test_an_image_is_fetched_kept_and_shown_to_the_model(journal, clock):
    model = ScriptedModel("a cat")
    async with bench(journal, clock, model=model) as b:
        b.channel.contents["r1"] = Media(kind="image", content=PNG, mime="image/png")
        image = Attachment(kind="image", ref="r1")
        assert await b.ask("what is it?", attachments=(image,)) == "a cat"
        [words, picture] = shown_to(model)
        assert words == {"type": "text", "text": "what is it?"}
        assert base64.b64decode(picture["image_url"]["url"].partition(",")[2]) == PNG
        assert len(b.media.kept) == 1


async def test_a_text_file_is_part_of_what_the_model_reads(journal, clock):
    model = ScriptedModel("two rows")
    async with bench(journal, clock, model=model) as b:
        b.channel.contents["r1"] = Media(kind="file", content=b"a,b\n1,2\n", name="t.csv")
        await b.ask("count", attachments=(Attachment(kind="file", ref="r1", name="t.csv"),))
        assert shown_to(model) == "count\n\n[file 't.csv']\na,b\n1,2"


async def test_a_text_file_before_an_image_does_not_name_the_image_twice(journal, clock):
    model = ScriptedModel("yes")
    async with bench(journal, clock, model=model) as b:
        b.channel.contents["r1"] = Media(kind="file", content=b"a,b", name="t.csv")
        b.channel.contents["r2"] = Media(kind="image", content=PNG, mime="image/png")
        files = (
            Attachment(kind="file", ref="r1", name="t.csv"),
            Attachment(kind="image", ref="r2", name="cat.png"),
        )
        await b.ask("both?", attachments=files)
        [words, picture] = shown_to(model)
        assert words["text"] == "both?\n\n[file 't.csv']\na,b"
        assert base64.b64decode(picture["image_url"]["url"].partition(",")[2]) == PNG


async def test_of_other_files_the_model_knows_the_name_only(journal, clock):
    model = ScriptedModel("I cannot read it")
    async with bench(journal, clock, model=model) as b:
        b.channel.contents["r1"] = Media(kind="file", content=b"\x00\x01", name="x.bin")
        await b.ask("read", attachments=(Attachment(kind="file", ref="r1", name="x.bin"),))
        assert "'x.bin' attached; you cannot see its content" in shown_to(model)


async def test_a_file_that_cannot_be_fetched_costs_no_answer(journal, clock):
    model = ScriptedModel("sorry")
    async with bench(journal, clock, model=model) as b:
        asked = await b.say("read", attachments=(Attachment(kind="image", ref="gone"),))
        assert await b.answer_to(asked) == "sorry"
        assert "you cannot see" in shown_to(model)
        steps = (await b.story(asked))["steps"]
        assert [s["result"] for s in steps if s["step"] == "attachment"] == ["send_refused"]


async def test_what_a_message_quotes_is_shown_to_the_model(journal, clock):
    model = ScriptedModel("yes")
    async with bench(journal, clock, model=model) as b:
        await b.ask("is it true?", quote="the earth is round")
        assert shown_to(model) == "[quoted message]\nthe earth is round\n\nis it true?"


async def test_what_a_skill_made_goes_out_with_the_last_part(journal, clock):
    made = Attachment(kind="file", url="blob:1", name="report.pdf")
    draws = tool("draw", run=lambda *_: ToolResult(text="here", media=(made,)))
    async with bench(journal, clock, tools=[draws]) as b:
        await b.ask("!draw")
        assert b.channel.sent[-1].reply.media == (made,)


# Seen.


async def test_the_person_sees_that_the_bot_is_at_work(journal, clock):
    channel = FakeChannel(seen=True)
    channel.seen_failure = SendRefused("no right to react")
    async with bench(journal, clock, channel=channel) as b:
        assert await b.ask("ping") == "pong"
        await b.until(lambda: channel.noticed)
        assert channel.noticed == [{"to": "c1"}]


async def test_a_sign_that_fails_unforeseen_ends_neither_this_turn_nor_the_others(journal, clock):
    channel = FakeChannel(seen=True)
    channel.seen_failure = KeyError("channel")
    async with bench(journal, clock, channel=channel) as b:
        assert await b.ask("ping") == "pong"
        await b.until(lambda: channel.noticed)
        assert await b.ask("ping") == "pong"


async def test_a_sign_that_is_turned_off_is_not_shown(journal, clock):
    channel = FakeChannel(seen=True)
    async with bench(journal, clock, channel=channel, **config(seen=False)) as b:
        await b.ask("ping")
        await b.settle()
        assert channel.noticed == []


# Streams that the platform throttles.


async def test_a_throttled_update_is_shown_a_little_later():
    clock = WatchedClock()
    channel = FakeChannel(streaming=True)
    channel.update_failure = SendRetryable("slow down", retry_after_seconds=3)
    gate = asyncio.Event()
    model = ScriptedModel(line("a", "b", gate=gate))
    async with (
        MemoryJournal(clock=clock) as journal,
        bench(journal, clock, channel=channel, model=model) as b,
    ):
        asked = await b.say("tell")
        await clock.asleep(lambda seconds: seconds == 3)
        channel.update_failure = None
        await clock.advance(3)
        await channel.until(lambda: channel.updates)
        gate.set()
        assert await b.answer_to(asked) == "ab"


# One person with several identities.

LINKED = {"people": {"anna": {"identities": ["fake:t/anna", "fake:t/anna2"]}}}


async def test_linked_identities_share_one_private_session(journal, clock):
    async with bench(journal, clock, tools=[tool()], **LINKED) as b:
        await b.ask("!look at this")
        session = await b.session(user="anna2", chat="elsewhere")
        assert session.key == "person:anna"
        assert session.context.params == {"what": "at this"}
        assert (await b.session(user="ben")) is None


async def test_a_linked_identity_answers_the_question_asked_elsewhere(journal, clock):
    asks = tool("pay", ask_first=True, run=lambda *_: "paid")
    async with bench(journal, clock, tools=[asks], **LINKED) as b:
        await b.ask("!pay 5")
        await b.say("/yes", user="anna2", chat="elsewhere")
        assert await b.next_answer(1) == "paid"


async def test_a_recall_means_the_message_of_its_own_channel_also_in_a_shared_session(
    journal, clock
):
    model = ScriptedModel(line("first", gate=(gate := asyncio.Event())), "second", "third")
    async with bench(journal, clock, model=model, **LINKED) as b:
        elsewhere = replace(b.message("one", id="7"), channel="another bot")
        await b.ingress.accept(elsewhere)
        await b.until(lambda: model.asked)
        await b.ingress.accept(replace(elsewhere, message_id="8"))
        await b.say("taken back", id="7", user="anna2", chat="c2")
        third = await b.say("three", user="anna2", chat="c2")
        for of in ("7", "8"):
            recall = b.message("", kind=MessageKind.RECALL, user="anna2", payload={"of": of})
            await b.ingress.accept(recall)
            await b.until_state(recall.message_id, "handled")
        gate.set()
        assert await b.answer_to(third) == "third"
        states = {
            key: (await journal.trace(*key))["state"]
            for key in (("7", "another bot"), ("8", "another bot"), ("7", "chat"))
        }
        assert states == {
            ("7", "another bot"): "handled",
            ("8", "another bot"): "handled",
            ("7", "chat"): "cancelled",
        }


async def test_what_a_platform_says_of_a_person_does_not_count(journal, clock):
    async with bench(journal, clock, **LINKED) as b:
        message = b.message("ping", user="mallory")
        forged = replace(message, sender=replace(message.sender, person="anna"))
        assert b.ingress.key(forged) == "chat:private:c1:t/mallory"


async def test_notes_for_messages_that_are_gone_are_left_out(journal, clock):
    async with bench(journal, clock) as b:
        await b.ask("ping")
    async with MemoryJournal(clock=clock) as other:
        turns = other.turns()
        await other.accept(b.message("x"), "k")
        turn = await anext(turns)
        assert await other.commit(turn, Outcome(notes=(("gone", {"step": "x"}),))) >= 1
