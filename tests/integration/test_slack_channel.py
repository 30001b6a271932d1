"""The Slack channel against the simulated Slack, which Slack's own SDKs have proved: messages."""

from typing import Any

import pytest

from ai_engine.domain.errors import SendRetryable
from ai_engine.domain.message import MessageKind
from ai_engine.domain.reply import Button, Card

from support.hosts import MemoryMedia, restarted
from support.slack_world import bot_entries, out, to, world


@pytest.mark.parametrize("mode", ["webhook", "stream"])
@pytest.mark.parametrize("chat", ["private", "group"])
async def test_a_question_is_answered_where_it_was_asked(mode: str, chat: str):
    async with world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "明天有什么安排?", chat=chat)
        message = await engine.next()
        assert (message.text, message.kind) == ("明天有什么安排?", MessageKind.TEXT)
        assert message.chat.kind == chat
        assert (message.sender.user_id, message.sender.name) == ("zhangsan", "张三")
        assert message.sender.tenant == "T0SIMULATED"
        assert message.target["conversation"] == message.chat.id
        await engine.channel.send(out(message, "**没有**安排"))
        reply = await simulator.wait_reply(asked)
        assert reply.text == "**没有**安排"
        assert reply.conversation == message.chat.id
        assert reply.reply_to == (asked if chat == "group" else None)


@pytest.mark.parametrize("chat", ["private", "group"])
async def test_in_a_thread_the_answer_stays_in_the_thread(chat: str):
    async with world() as (simulator, engine):
        first = await simulator.say("zhangsan", "first", chat=chat)
        await engine.next()
        second = await simulator.say("lisi", "second", chat=chat, thread=first)
        message = await engine.next()
        assert message.chat.thread == first
        await engine.channel.send(out(message, "there"))
        assert (await simulator.wait_reply(second)).reply_to == second


async def test_a_mention_that_slack_tells_twice_is_one_message():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "@AI助手 look, @李四", chat="group")
        message = await engine.next()
        assert message.text == "look, @李四"
        await engine.statuses_are(2)
        assert engine.inbox.empty()
        assert engine.duplicates == [message.message_id]


async def test_an_event_that_is_sent_again_is_the_same_message():
    async with world() as (simulator, engine):
        simulator.faults.duplicate = 2
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        await engine.statuses_are(3)
        await simulator.resend(asked, replay=True)
        assert engine.duplicates == [message.message_id] * 3
        assert engine.inbox.empty()


async def test_posts_that_do_not_mention_the_bot_are_nobodys_question():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "lunch?", chat="group", at=False)
        await engine.statuses_are(1)
        assert engine.inbox.empty()
        assert engine.statuses == [200]


async def test_without_authorizations_the_bot_knows_itself_by_auth_test_asked_once():
    async with world() as (simulator, engine):
        simulator.faults.no_authorizations = True
        for text in ("one", "two"):
            await simulator.say("zhangsan", text, chat="group")
            assert (await engine.next()).text == text
        await engine.statuses_are(4)
        assert len(simulator.wire.rows(path="/api/auth.test")) == 1


async def test_forged_stale_and_broken_requests_do_not_get_in():
    async with world() as (simulator, engine):
        knobs: list[tuple[dict[str, Any], int]] = [
            ({"wrong_secret": True}, 401),
            ({"clock_skew_seconds": -301.5}, 403),
            ({"clock_skew_seconds": 302.5}, 403),
            ({"malformed_json": True}, 422),
        ]
        for knob, status in knobs:
            simulator.faults.change(knob)
            engine.statuses.clear()
            await simulator.say("zhangsan", "no")
            await engine.statuses_are(4)
            assert engine.statuses == [status] * 4
            simulator.faults.clear()
        assert engine.inbox.empty()


async def test_when_the_engine_is_full_slack_sends_the_event_again():
    async with world() as (simulator, engine):
        engine.full = 1
        asked = await simulator.say("zhangsan", "hello")
        assert (await engine.next()).text == "hello"
        await engine.statuses_are(2)
        assert engine.statuses == [503, 200]

        def delivered() -> bool | None:
            entry = simulator.transcript.get(asked)
            return True if entry and entry.status == "delivered" else None

        assert await simulator.transcript.wait(asked, delivered, 5)


async def test_people_of_other_workspaces_are_passed_over_when_only_some_are_allowed():
    async with world(allow_tenants=["T0SIMULATED"]) as (simulator, engine):
        simulator.faults.other_team = "T0OTHER"
        await simulator.say("zhangsan", "hello")
        await engine.statuses_are(1)
        assert (engine.statuses, engine.inbox.empty()) == ([200], True)
        simulator.faults.clear()
        await simulator.say("zhangsan", "hello")
        assert (await engine.next()).sender.tenant == "T0SIMULATED"


@pytest.mark.parametrize("chat", ["private", "group"])
async def test_edits_and_recalls_name_the_message_that_they_change(chat: str):
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "@AI助手 weather", chat=chat)
        message = await engine.next()
        await simulator.edit(asked, "@AI助手 weather in 北京 & more")
        edit = await engine.next()
        assert (edit.kind, edit.text) == (MessageKind.EDIT, "weather in 北京 & more")
        assert edit.payload == {"of": message.message_id}
        await simulator.recall(asked)
        recall = await engine.next()
        assert (recall.kind, recall.payload) == (MessageKind.RECALL, {"of": message.message_id})
        assert len({message.message_id, edit.message_id, recall.message_id}) == 3
        assert recall.sender.user_id == "zhangsan"


async def test_who_opens_the_chat_for_the_first_time_is_greeted_once():
    async with world() as (simulator, engine):
        await simulator.enter("alice")
        welcome = await engine.next()
        assert (welcome.kind, welcome.sender.user_id) == (MessageKind.WELCOME, "alice")
        await engine.channel.send(out(welcome, "hi"))
        await simulator.enter("alice")
        await engine.statuses_are(2)
        await simulator.say("lisi", "hello")
        await engine.next()
        await simulator.enter("lisi")
        await engine.statuses_are(4)
        assert engine.inbox.empty()
    async with world(welcome=False) as (simulator, engine):
        await simulator.enter("alice")
        await engine.statuses_are(1)
        assert engine.inbox.empty()


async def test_a_greeting_for_which_there_was_no_room_is_not_forgotten():
    async with world() as (simulator, engine):
        engine.full = 1
        await simulator.enter("alice")
        assert (await engine.next()).kind is MessageKind.WELCOME
        assert engine.statuses[0] == 503


async def test_what_was_shared_along_is_the_quote():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "is this right?", shared="2 < 1")
        assert (await engine.next()).quote == "2 < 1"


async def test_slash_commands_are_questions():
    async with world() as (simulator, engine):
        await simulator.slash("zhangsan", "weather & wind")
        message = await engine.next()
        assert (message.kind, message.text) == (MessageKind.TEXT, "weather & wind")
        await engine.channel.send(out(message, "sunny"))
        [entry] = bot_entries(simulator)
        assert (entry.text, entry.via) == ("sunny", "chat.postMessage")


async def test_a_command_from_a_channel_without_the_bot_is_answered_by_its_address_while_it_lives():
    async with world() as (simulator, engine):
        simulator.faults.not_in_channel = True
        await simulator.slash("zhangsan", "weather", chat="group")
        message = await engine.next()
        await engine.channel.send(out(message, "sunny"))
        late = {**message.target, "response_until": 0.0}
        await engine.channel.send(to(late, "later"))
        first, second = bot_entries(simulator)
        assert (first.text, first.via, first.chat) == ("sunny", "response_url", "group")
        assert (second.text, second.chat) == ("later", "private")


async def test_cards_have_title_words_fields_picture_and_buttons_that_come_back():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "book", chat="group")
        message = await engine.next()
        card = Card(
            title="Leave <5 days>",
            markdown="**5 days** left & [more](https://example.com/a?b=1&c=2)",
            fields=(("From", "Monday"), ("To", "Friday")),
            buttons=(
                Button(label="Approve", value={"call": "c1", "ok": True}, style="primary"),
                Button(label="Open", url="https://example.com"),
            ),
            image_url="https://example.com/p.png",
        )
        await engine.channel.send(out(message, "please", card=card))
        entry = await simulator.wait_reply(asked)
        assert entry.text == "please"
        assert entry.card == {
            "title": "Leave <5 days>",
            "markdown": "*5 days* left &amp; <https://example.com/a?b=1&amp;c=2|more>",
            "fields": [["From", "Monday"], ["To", "Friday"]],
            "image": "https://example.com/p.png",
        }
        await simulator.press(entry.id, 0)
        pressed = await engine.next()
        assert (pressed.kind, pressed.payload) == (MessageKind.BUTTON, {"call": "c1", "ok": True})
        assert pressed.sender.user_id == "zhangsan"
        assert pressed.target["thread_ts"] == message.target["thread_ts"]
        await simulator.press(entry.id, 0, user="lisi")
        again = await engine.next()
        assert again.message_id != pressed.message_id
        await simulator.press(entry.id, 1)
        await simulator.say("lisi", "after")
        assert (await engine.next()).text == "after"


async def test_a_button_s_long_value_is_kept_here_until_it_is_gone():
    media = MemoryMedia()
    async with world(media=media) as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        value = {"words": "字" * 3000}
        card = Card(buttons=(Button(label="x" * 100, value=value),))
        await engine.channel.send(out(await engine.next(), card=card))
        entry = await simulator.wait_reply(asked)
        await simulator.press(entry.id)
        assert (await engine.next()).payload == value
        media.kept.clear()
        await simulator.press(entry.id)
        assert (await engine.next()).kind is MessageKind.UNSUPPORTED


@pytest.mark.parametrize("rating", ["good", "bad"])
async def test_answers_are_rated_by_slack_s_own_buttons(rating: str):
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        await engine.channel.send(out(await engine.next(), "hi", feedback="fb1"))
        entry = await simulator.wait_reply(asked)
        await simulator.rate(entry.id, rating)
        rated = await engine.next()
        assert rated.kind is MessageKind.FEEDBACK
        assert rated.payload == {"rating": rating, "of": "fb1", "text": ""}


@pytest.mark.parametrize("restart", [False, True])
async def test_a_long_text_and_a_card_are_two_messages_and_a_repeat_goes_on_where_it_stopped(
    restart: bool,
):
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        card = Card(title="t", markdown="m" * 3000, buttons=(Button(label="b", value={"a": 1}),))
        outgoing = out(await engine.next(), "x" * 10_900, card=card, feedback="f")
        simulator.faults.change({"throttle_after": 1, "throttle_times": 1})
        with pytest.raises(SendRetryable):
            await engine.channel.send(outgoing)
        if restart:
            engine.channel = await restarted(engine.channel)
        await engine.channel.send(outgoing)
        first, second = bot_entries(simulator)
        assert (first.text, second.card and second.card["title"]) == ("x" * 10_900, "t")


async def test_words_in_text_form_mean_nothing_to_slack():
    async with world(reply="text") as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        await engine.channel.send(out(await engine.next(), "**bold** <!channel> a*b*c & d"))
        assert (await simulator.wait_reply(asked)).text == "bold <!channel> a*b*c & d"


async def test_no_answer_calls_the_whole_channel():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello", chat="group")
        await engine.channel.send(out(await engine.next(), "<!channel> & <!here|x> <!DOCTYPE>"))
        text = (await simulator.wait_reply(asked)).text
        assert "<!channel" not in text
        assert "<!here" not in text
        assert "<!DOCTYPE>" in text


async def test_a_workspace_that_cannot_show_blocks_gets_the_same_words():
    async with world() as (simulator, engine):
        simulator.faults.blocks_refused = True
        asked = await simulator.say("zhangsan", "hello")
        card = Card(title="T", fields=(("a", "1"),))
        await engine.channel.send(out(await engine.next(), "**x** < y", card=card))
        entry = await simulator.wait_reply(asked)
        assert entry.text.startswith("*x* < y")
        assert "a: 1" in entry.text
