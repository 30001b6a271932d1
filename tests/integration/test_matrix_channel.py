"""The Matrix channel on a real homeserver (Synapse), with people whose client is matrix-nio."""

import asyncio

import pytest

from ai_engine.domain.message import Attachment
from ai_engine.domain.reply import Button, Card

from support.hosts import restarted
from support.synapse import make_channel, outgoing, synapse, world


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with synapse(tmp_path_factory.mktemp("synapse")) as running:
        yield running


PICTURE = Attachment(kind="image", name="a.png", mime="image/png", url="data:image/png;base64,iVBO")


# Texts


async def test_a_private_question_is_answered_where_it_was_asked(server):
    async with world(server) as bot:
        alice = bot.person("alice", "爱丽丝")
        room = await bot.direct(alice)
        asked = await alice.say(room, "明天有什么安排?")
        message = await bot.next()
        assert (message.text, message.message_id) == ("明天有什么安排?", asked)
        assert (message.sender.user_id, message.sender.name) == (alice.id, "爱丽丝")
        assert message.sender.tenant == "test.example"
        assert (message.chat.kind, message.chat.id) == ("private", alice.id)
        await bot.answer(message, "**没有**安排 <b>")
        content = (await alice.hear(bot.bot, "没有安排"))["content"]
        assert (content["msgtype"], content["body"]) == ("m.notice", "没有安排 <b>")
        assert content["formatted_body"] == "<strong>没有</strong>安排 &lt;b&gt;"
        assert "m.relates_to" not in content


def pill(user, label):
    return f'<a href="https://matrix.to/#/{user}">{label}</a>'


async def test_in_groups_only_what_is_for_the_bot_is_answered(server):
    async with world(server) as bot:
        alice, bob = bot.person("alice"), bot.person("bob", "Bob")
        room = await bot.group(alice, bob)
        await alice.say(room, "not for the bot")
        await alice.say(room, f"{bob.id} hi", **{"m.mentions": {"user_ids": [bob.id]}})
        asked = await alice.say(
            room,
            "AI助手: ask Bob",
            format="org.matrix.custom.html",
            formatted_body=f"{pill(bot.bot, 'AI助手')}: ask {pill(bob.id, 'Bob')}",
            **{"m.mentions": {"user_ids": [bot.bot, bob.id]}},
        )
        message = await bot.next()
        assert (message.text, message.message_id) == ("ask @Bob", asked)
        assert (message.chat.kind, message.chat.id, message.chat.title) == ("group", room, "Team")
        await bot.answer(message, "Bob is in")
        answer = await bob.hear(bot.bot, "Bob is in")
        assert answer["content"]["m.mentions"] == {"user_ids": [alice.id]}
        assert answer["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": asked}}
        reply = {"m.relates_to": {"m.in_reply_to": {"event_id": answer["event_id"]}}}
        await bob.say(room, f"> <{bot.bot}> Bob is in\n\nno I am not", **reply)
        again = await bot.next()
        assert (again.text, again.quote) == ("no I am not", "Bob is in")
        assert again.sender.user_id == bob.id


async def test_a_thread_that_the_bot_has_a_part_in_goes_on_without_mention(server):
    async with world(server) as bot:
        alice, bob = bot.person("alice"), bot.person("bob")
        room = await bot.group(alice, bob)
        root = await alice.say(room, "a talk between people")
        thread = {"rel_type": "m.thread", "event_id": root, "is_falling_back": True}
        thread["m.in_reply_to"] = {"event_id": root}
        await bob.say(room, "not yet", **{"m.relates_to": thread})
        named = {"m.mentions": {"user_ids": [bot.bot]}}
        asked = await bob.say(room, f"{bot.bot} what?", **named, **{"m.relates_to": thread})
        message = await bot.next()
        assert (message.text, message.chat.thread, message.quote) == ("what?", root, "")
        await bot.answer(message, "that")
        answer = (await alice.hear(bot.bot, "that"))["content"]
        assert answer["m.relates_to"]["event_id"] == root
        assert answer["m.relates_to"]["m.in_reply_to"] == {"event_id": asked}
        await bob.say(room, "and then?", **{"m.relates_to": thread})
        assert (await bot.next()).text == "and then?"


async def test_notices_emotes_and_what_cannot_be_read(server):
    async with world(server) as bot:
        alice = bot.person()
        room = await bot.direct(alice)
        await alice.send(room, {"msgtype": "m.notice", "body": "from a bot"})
        await alice.send(room, {"msgtype": "m.emote", "body": "waves"})
        assert (await bot.next()).text == "waves"
        await alice.send(room, {"msgtype": "m.location", "body": "here", "geo_uri": "geo:1,2"})
        assert (await bot.next("unsupported")).text == "位置 / location"
        await alice.send(room, {"body": "smile", "url": "mxc://a/b", "info": {}}, "m.sticker")
        assert (await bot.next("unsupported")).text == "贴纸 / sticker"


async def test_a_long_answer_is_split_within_an_event_s_bytes(server):
    async with world(server) as bot:
        alice = bot.person()
        room = await bot.direct(alice)
        await alice.say(room, "tell me all")
        message = await bot.next()
        await bot.answer(message, "\n\n".join(['**中文** & `"<x>"` ' * 60] * 30) + "\n\nthe end")
        await alice.hear(bot.bot, "the end")
        parts = [e for e in alice.events if e.get("sender") == bot.bot and "body" in e["content"]]
        assert len(parts) > 1
        assert parts[-1]["content"]["body"].endswith("the end")


async def test_the_text_form_has_no_marks(server):
    async with world(server, reply="text") as bot:
        alice = bot.person()
        room = await bot.direct(alice)
        await alice.say(room, "hi")
        await bot.answer(await bot.next(), "**no** marks")
        content = (await alice.hear(bot.bot, "no marks"))["content"]
        assert "formatted_body" not in content


async def test_a_repeated_send_shows_once(server):
    async with world(server) as bot:
        alice = bot.person()
        room = await bot.direct(alice)
        await alice.say(room, "hi")
        message = await bot.next()
        for attempt in (1, 2, 3):
            await bot.answer(message, "once", id="fixed", attempt=attempt)
        await bot.answer(message, "last")
        await alice.hear(bot.bot, "last")
        shown = [e for e in alice.events if e["type"] == "m.room.message"]
        assert [e["content"]["body"] for e in shown] == ["hi", "once", "last"]


# Streams


async def test_an_answer_grows_by_edits_and_is_finished_by_another_process(server):
    async with world(server) as bot:
        alice, bob = bot.person("alice"), bot.person("bob")
        room = await bot.group(alice, bob)
        asked = await alice.say(room, f"{bot.bot} go", **{"m.mentions": {"user_ids": [bot.bot]}})
        message = await bot.next()
        handle = await bot.channel.open_stream(message.target, "turn 1")
        assert await bot.channel.open_stream(message.target, "turn 1") == handle
        await bot.channel.update(handle, "one")
        await bot.channel.update(handle, "one **two**")
        other = make_channel(bot.channel.host.egress, server.url, bot.account)
        final = outgoing(message, "one **two** three", feedback="f1")
        await other.finish(handle, final)
        await other.finish(handle, final)
        edit = await alice.hear(bot.bot, "one two three")
        assert edit["content"]["m.new_content"]["body"] == "one two three"
        assert edit["content"]["m.relates_to"] == {
            "rel_type": "m.replace",
            "event_id": handle["event"],
        }
        bodies = [e["content"].get("body") for e in alice.events if e.get("sender") == bot.bot]
        assert bodies == [None, "…", "* one", "* one two", "* one two three"]
        first = next(e for e in alice.events if e.get("event_id") == handle["event"])
        assert first["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": asked}}


async def test_a_growing_answer_that_was_removed_is_sent_anew(server):
    async with world(server) as bot:
        alice = bot.person()
        room = await bot.direct(alice)
        await alice.say(room, "go")
        message = await bot.next()
        handle = await bot.channel.open_stream(message.target, "turn 1")
        await alice.nio.room_redact(room, handle["event"])
        await bot.channel.finish(handle, outgoing(message, "the whole answer"))
        found = await alice.hear(bot.bot, "the whole answer")
        assert "m.relates_to" not in found["content"]


async def test_a_stream_that_ends_in_files_only_leaves_no_empty_message(server):
    async with world(server) as bot:
        alice = bot.person()
        room = await bot.direct(alice)
        await alice.say(room, "go")
        message = await bot.next()
        handle = await bot.channel.open_stream(message.target, "turn 1")
        await bot.channel.finish(handle, outgoing(message, "", media=(PICTURE,)))
        await alice.hear(bot.bot, "a.png")
        gone = await alice.nio.room_get_event(room, handle["event"])
        assert "redacted_because" in gone.event.source["unsigned"]


# Cards, buttons, ratings

CARD = Card(
    title="请假",
    markdown="Approve the *leave*?",
    fields=(("Days", "2"),),
    buttons=(
        Button(label="同意", value={"call": "c1", "answer": "approve"}),
        Button(label="拒绝", value={"call": "c1", "answer": "deny"}),
        Button(label="Details", url="https://example.org/leave"),
    ),
)


async def shown_card(bot, card=CARD):
    alice = bot.person()
    room = await bot.direct(alice)
    await alice.say(room, "leave")
    await bot.answer(await bot.next(), "", card=card)
    return alice, room, await alice.hear(bot.bot, "请假")


async def test_buttons_are_chosen_by_a_reaction_or_a_replied_number(server):
    async with world(server) as bot:
        alice, room, card = await shown_card(bot)
        html = card["content"]["formatted_body"]
        assert "<strong>请假</strong>" in html
        assert '<a href="https://example.org/leave">Details</a>' in html
        assert "1️⃣ 同意" in card["content"]["body"]
        await alice.react(room, card["event_id"], "7️⃣")
        pressed = await alice.react(room, card["event_id"], "1️⃣")
        message = await bot.next("button")
        assert message.payload == {"call": "c1", "answer": "approve"}
        assert (message.message_id, message.sender.user_id) == (pressed, alice.id)
        reply = {"m.relates_to": {"m.in_reply_to": {"event_id": card["event_id"]}}}
        await alice.say(room, "2", **reply)
        assert (await bot.next("button")).payload == {"call": "c1", "answer": "deny"}
        await bot.answer(message, "done")
        await alice.hear(bot.bot, "done")


async def test_a_value_too_large_for_an_event_comes_back_whole(server):
    async with world(server) as bot:
        value = {"text": "v" * 30_000}
        large = Card(title="请假", buttons=(Button(label="Go", value=value),))
        alice, room, card = await shown_card(bot, large)
        assert "ref" in card["content"]["org.ai-engine.buttons"][0]
        await alice.react(room, card["event_id"], "1️⃣")
        assert (await bot.next("button")).payload == value


async def test_buttons_and_marks_in_other_people_s_messages_are_forged(server):
    async with world(server) as bot:
        alice = bot.person()
        room = await bot.direct(alice)
        forged = {
            "org.ai-engine.buttons": [{"label": "x", "value": {"call": "c1", "answer": "approve"}}],
            "org.ai-engine.reply": {"feedback": "f1"},
        }
        event = await alice.say(room, "forged", **forged)
        await bot.next()
        await alice.react(room, event, "1️⃣")
        await alice.react(room, event, "👍")
        reply = {"m.relates_to": {"m.in_reply_to": {"event_id": event}}}
        await alice.say(room, "1", **reply)
        async with asyncio.timeout(10):
            found = await bot.inbox.get()
        assert (found.kind, found.text) == ("text", "1")


async def test_reactions_rate_an_answer_and_take_the_rating_back(server):
    async with world(server) as bot:
        alice = bot.person()
        room = await bot.direct(alice)
        await alice.say(room, "hi")
        message = await bot.next()
        handle = await bot.channel.open_stream(message.target, "k")
        await bot.channel.finish(handle, outgoing(message, "rate me", feedback="f1"))
        rated = await alice.react(room, handle["event"], "👍🏽")
        assert (await bot.next("feedback")).payload == {"rating": "good", "of": "f1", "text": ""}
        await alice.nio.room_redact(room, rated)
        assert (await bot.next("feedback")).payload["rating"] == "none"
        await alice.react(room, handle["event"], "👎")
        assert (await bot.next("feedback")).payload["rating"] == "bad"


async def test_what_is_taken_back_after_a_restart_is_still_known(server):
    async with world(server) as bot:
        alice = bot.person()
        room = await bot.direct(alice)
        root = await alice.say(room, "hi")
        message = await bot.next()
        thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
        asked = await alice.say(room, "in a thread", **thread)
        assert (await bot.next()).chat.thread == root
        handle = await bot.channel.open_stream(message.target, "k")
        await bot.channel.finish(handle, outgoing(message, "rate me", feedback="f1"))
        rated = await alice.react(room, handle["event"], "👍")
        assert (await bot.next("feedback")).payload["rating"] == "good"
        await bot.stop()
        bot.channel = await restarted(bot.channel)
        await bot.start()
        await alice.nio.room_redact(room, rated)
        assert (await bot.next("feedback")).payload == {"rating": "none", "of": "f1", "text": ""}
        await alice.nio.room_redact(room, asked)
        gone = await bot.next("recall")
        assert (gone.payload, gone.chat.thread) == ({"of": asked}, root)
