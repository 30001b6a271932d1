"""The Telegram channel against the simulated Telegram, which the platform's SDKs have proved."""

import asyncio
import logging

import pytest

from ai_engine.channels.telegram import albums, client, stream
from ai_engine.domain.errors import (
    Malformed,
    PermissionMissing,
    SendRefused,
    SendRetryable,
    Unauthenticated,
)
from ai_engine.domain.message import Attachment, MessageKind
from ai_engine.domain.reply import Button, Card
from ai_engine.simulators.files import SharedFile

from support.hosts import restarted
from support.telegram_world import SECRET, TOKEN, world
from support.watched_clock import WatchedClock

PICTURE = SharedFile(kind="picture", name="a.jpg", mime="image/jpeg", content=b"\xff\xd8picture")
CARD = Card(
    title="请假",
    markdown="Approve the *leave*?",
    fields=(("Days", "2"), ("Who", "张三")),
    buttons=(
        Button(label="同意", value={"call": "c1", "answer": "approve"}, style="primary"),
        Button(label="拒绝", value={"call": "c1", "why": "w" * 100}, style="danger"),
        Button(label="Details", url="https://example.org/leave"),
    ),
)


async def until(reached):
    async with asyncio.timeout(5):
        while not reached():
            await asyncio.sleep(0)


def calls(simulator, method):
    return [row for row in simulator.wire.rows() if row["path"].endswith(f"/{method}")]


# Texts


@pytest.mark.parametrize("mode", ["webhook", "poll"])
@pytest.mark.parametrize("chat", ["private", "group"])
async def test_a_question_is_answered_where_it_was_asked(mode, chat):
    async with world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "明天有什么安排?", chat=chat)
        message = await engine.next()
        assert (message.text, message.chat.kind, message.message_id) == (
            *("明天有什么安排?", chat, asked),
        )
        assert (message.sender.platform, message.sender.name) == ("telegram", "张三")
        await engine.answer(message, "**没有**安排")
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.kind) == ("**没有**安排", "markdown")
        assert reply.reply_to == (asked if chat == "group" else None)


async def test_in_groups_only_what_names_the_bot_is_answered():
    async with world() as (simulator, engine):
        simulator.faults.privacy_off = True
        await simulator.say("lisi", "not for the bot", chat="group", at=False)
        await simulator.say("lisi", "/stop@other_bot", chat="group", at=False)
        await simulator.say("lisi", "/stop@ai_engine_bot", chat="group")
        assert (await engine.next()).text == "/stop"
        await simulator.say("lisi", "😀 ask @AI助手 and @zhangsan_x", chat="group")
        message = await engine.next()
        assert message.text == "😀 ask and @zhangsan_x"
        await engine.answer(message, "yes")
        reply = await simulator.wait_reply(message.message_id)
        await simulator.say("lisi", "why?", chat="group", at=False, reply_to=reply.id)
        again = await engine.next()
        assert (again.text, again.quote) == ("why?", "yes")


async def test_the_bot_s_own_name_is_asked_for_once_and_waited_for():
    async with world() as (simulator, engine):
        simulator.faults.error_burst = 1
        for n in range(20):
            await simulator.say("lisi", "@AI助手 hi", chat="group", conversation=f"-{n + 1}")
        assert {(await engine.next()).text for _ in range(20)} == {"hi"}
        assert [row["status"] for row in calls(simulator, "getMe")] == [503, 200]
        assert 503 in engine.statuses


async def test_while_its_name_cannot_be_asked_for_again_the_bot_goes_by_the_one_it_knows():
    clock = WatchedClock()
    async with world(clock=clock) as (simulator, engine):
        await simulator.say("lisi", "@AI助手 hi", chat="group")
        await engine.next()
        await clock.advance(3600)
        simulator.faults.error_burst = 1
        for words in ("one", "two"):
            await simulator.say("lisi", f"@AI助手 {words}", chat="group")
            assert (await engine.next()).text == words
        assert [row["status"] for row in calls(simulator, "getMe")] == [200, 503]


async def test_answers_in_a_forum_topic_stay_in_it():
    async with world() as (simulator, engine):
        await simulator.say("lisi", "hello", chat="group", topic=7)
        message = await engine.next()
        assert message.chat.thread == "7"
        await engine.channel.seen(message.target)
        await engine.answer(message, "hi")
        assert '"message_thread_id":7' in calls(simulator, "sendMessage")[0]["body"]


async def test_a_long_answer_is_split_where_telegram_counts_and_marks_are_closed():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "long")
        text = "```\n" + "😀 **a** & <b>\n" * 1000 + "```"
        await engine.answer(await engine.next(), text)
        await simulator.wait_reply(asked)
        entries = [e for e in simulator.transcript.list() if e.sender == "bot"]
        assert len(entries) > 3
        assert sum(e.text.count("😀 **a** & <b>") for e in entries) == 1000
        assert all(e.text.startswith("```") and e.text.endswith("```") for e in entries)


async def test_marks_that_telegram_cannot_read_are_sent_as_plain_text():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        simulator.faults.marks_refused = 1
        await engine.answer(await engine.next(), "**bold** & more")
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.kind) == ("bold & more", "text")


async def test_the_text_form_has_no_marks():
    async with world(reply="text") as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        await engine.answer(await engine.next(), "# Title\n**bold**")
        assert (await simulator.wait_reply(asked)).text == "Title\nbold"
        assert "parse_mode" not in calls(simulator, "sendMessage")[0]["body"]


# Cards, buttons, ratings


@pytest.mark.parametrize("mode", ["webhook", "poll"])
async def test_a_card_has_buttons_whose_values_come_back_whole(mode):
    async with world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "leave")
        await engine.answer(await engine.next(), card=CARD)
        reply = await simulator.wait_reply(asked)
        assert "**请假**" in reply.text
        assert "**Days**: 2" in reply.text
        assert [b["label"] for b in reply.buttons] == ["同意", "拒绝", "Details"]
        assert all(len(b["data"].encode()) <= 64 for b in reply.buttons[:2])
        for number in (0, 1):
            pressed = await simulator.press(reply.id, number)
            message = await engine.next()
            assert (message.kind, message.message_id) == (MessageKind.BUTTON, pressed)
            assert message.payload == CARD.buttons[number].value
            await until(lambda pressed=pressed: simulator.presses[pressed] is not None)


async def test_the_value_of_a_button_that_is_not_kept_any_more_is_said_to_be_over():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "leave")
        await engine.answer(await engine.next(), card=CARD)
        reply = await simulator.wait_reply(asked)
        engine.channel.host.media.kept.clear()
        pressed = await simulator.press(reply.id, 1)
        await until(lambda: simulator.presses[pressed] is not None)
        assert "失效" in simulator.presses[pressed]["text"]
        assert engine.inbox.empty()


async def test_a_button_whose_address_telegram_refuses_stays_in_the_text():
    async with world() as (simulator, engine):
        card = Card(title="T", buttons=(Button(label="Local", url="file:///a"),))
        asked = await simulator.say("zhangsan", "x")
        await engine.answer(await engine.next(), card=card)
        reply = await simulator.wait_reply(asked)
        assert "Local" in reply.text
        assert reply.buttons == ()


async def test_a_card_s_picture_is_shown_above_its_text():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "x")
        card = Card(title="T", image_url="https://example.org/a.png")
        await engine.answer(await engine.next(), card=card)
        assert (await simulator.wait_reply(asked)).card == {"image": "https://example.org/a.png"}


@pytest.mark.parametrize(("button", "rating"), [(0, "good"), (1, "bad")])
async def test_an_answer_can_be_rated_by_its_buttons(button, rating):
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "x")
        await engine.answer(await engine.next(), "answer", feedback="trn_" + "a" * 31)
        reply = await simulator.wait_reply(asked)
        assert [b["label"] for b in reply.buttons] == ["👍", "👎"]
        pressed = await simulator.press(reply.id, button)
        assert (await engine.next()).payload == {"feedback": rating, "of": "trn_" + "a" * 31}
        await until(lambda: simulator.presses[pressed] is not None)
        assert "谢谢" in simulator.presses[pressed]["text"]


async def test_without_feedback_there_are_no_rating_buttons_and_reactions_say_nothing():
    async with world(feedback=False) as (simulator, engine):
        asked = await simulator.say("zhangsan", "x")
        await engine.answer(await engine.next(), "answer", feedback="f1")
        reply = await simulator.wait_reply(asked)
        assert reply.buttons == ()
        await simulator.rate(reply.id, "good")
        await simulator.say("zhangsan", "next")
        assert (await engine.next()).text == "next"


@pytest.mark.parametrize("chat", ["private", "group"])
async def test_reactions_rate_the_answer_that_they_are_put_on(chat):
    async with world() as (simulator, engine):
        for name in ("f1", "f2"):
            asked = await simulator.say("zhangsan", name, chat=chat)
            await engine.answer(await engine.next(), "answer", feedback=name, id=name)
        first = next(e for e in simulator.transcript.list() if e.sender == "bot")
        for rating in ("good", "bad", "none"):
            event = await simulator.rate(first.id, rating)
            message = await engine.next()
            assert (message.kind, message.message_id) == (MessageKind.FEEDBACK, event)
            assert message.payload == {"rating": rating, "of": "f1", "text": ""}
        await simulator.rate(asked, "good")
        if chat == "group":  # somebody else's message
            await simulator.say("lisi", "next", chat="group")
            assert (await engine.next()).text == "next"
        else:
            assert (await engine.next()).payload["of"] == ""


@pytest.mark.parametrize("chat", ["private", "group"])
async def test_reactions_rate_their_answer_after_a_restart(chat):
    async with world() as (simulator, engine):
        for name in ("f1", "f2"):
            await simulator.say("zhangsan", name, chat=chat)
            await engine.answer(await engine.next(), "answer", feedback=name, id=name)
        first = next(e for e in simulator.transcript.list() if e.sender == "bot")
        engine.channel = await restarted(engine.channel)
        await simulator.rate(first.id, "bad")
        assert (await engine.next()).payload == {"rating": "bad", "of": "f1", "text": ""}


async def test_an_answer_of_several_parts_goes_on_after_a_restart():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "x")
        message = await engine.next()
        picture = Attachment(kind="image", url="data:image/png;base64,iVBORw0KGgo=", name="a.png")
        simulator.faults.change({"throttle_after": 1, "throttle_times": 1})
        with pytest.raises(SendRetryable):
            await engine.answer(message, "first", media=(picture,))
        engine.channel = await restarted(engine.channel)
        await engine.answer(message, "first", media=(picture,))
        sent = [entry.text for entry in simulator.transcript.list() if entry.sender == "bot"]
        assert sent.count("first") == 1
        assert len(sent) == 2


# Streams


async def test_a_private_answer_grows_as_a_draft_and_is_sent_whole():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "x")
        message = await engine.next()
        channel = engine.channel
        handle = await channel.open_stream(message.target, "turn-1")
        assert handle == await channel.open_stream(message.target, "turn-1")
        for text in ("You", "You **have", "You **have** 5"):
            await channel.update(handle, text)
        growing = await simulator.wait_reply(asked, unfinished=True)
        assert (growing.state, growing.text, growing.edits) == ("streaming", "You **have** 5", 2)
        final = engine.outgoing(message, "You **have** 5 days", id="r9", stream=handle)
        await channel.finish(handle, final)
        await channel.finish(handle, final)
        reply = await simulator.wait_reply(asked)
        assert (reply.state, reply.text) == ("finished", "You **have** 5 days")
        assert len(calls(simulator, "sendMessage")) == 1


async def test_a_group_s_answer_grows_by_edits_that_keep_to_the_limit():
    clock = WatchedClock()
    async with world(clock=clock) as (simulator, engine):
        asked = await simulator.say("zhangsan", "x", chat="group")
        message = await engine.next()
        channel = engine.channel
        handle = await channel.open_stream(message.target, "turn-1")
        await channel.update(handle, "one")
        await channel.update(handle, "one two")
        assert len(calls(simulator, "editMessageText")) == 1
        await clock.advance(stream.GROUP_SECONDS)
        await channel.update(handle, "one two three")
        final = engine.outgoing(message, "one two three four", feedback="f", stream=handle)
        await channel.finish(handle, final)
        await channel.finish(handle, final)
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.reply_to) == ("one two three four", asked)
        assert [b["label"] for b in reply.buttons] == ["👍", "👎"]
        assert len([e for e in simulator.transcript.list() if e.sender == "bot"]) == 1


async def test_a_stream_is_finished_by_another_process():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "x", chat="group")
        message = await engine.next()
        handle = await engine.channel.open_stream(message.target, "turn-1")
        other = type(engine.channel)("telegram", engine.channel.config, engine.channel.host)
        await other.finish(handle, engine.outgoing(message, "done", stream=handle))
        assert (await simulator.wait_reply(asked)).text == "done"


async def test_a_streamed_message_that_is_gone_is_answered_anew():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "x", chat="group")
        message = await engine.next()
        handle = await engine.channel.open_stream(message.target, "turn-1")
        simulator.faults.edits_gone = 9
        with pytest.raises(SendRefused):
            await engine.channel.update(handle, "partial")
        await engine.channel.finish(handle, engine.outgoing(message, "whole", stream=handle))
        texts = [e.text for e in simulator.transcript.replies_to(asked)]
        assert texts[-1] == "whole"


async def test_an_api_without_drafts_still_gives_the_answer():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "x")
        message = await engine.next()
        simulator.faults.drafts_off = True
        handle = await engine.channel.open_stream(message.target, "turn-1")
        with pytest.raises(SendRefused):
            await engine.channel.update(handle, "partial")
        await engine.channel.finish(handle, engine.outgoing(message, "whole", stream=handle))
        assert (await simulator.wait_reply(asked)).text == "whole"


async def test_a_streamed_answer_of_files_only_takes_its_empty_message_back():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "x", chat="group")
        message = await engine.next()
        handle = await engine.channel.open_stream(message.target, "turn-1")
        media = (Attachment(kind="file", name="a.txt", url="data:text/plain,hi"),)
        await engine.channel.finish(
            handle, engine.outgoing(message, "", media=media, stream=handle)
        )
        states = [(e.kind, e.detail) for e in simulator.transcript.replies_to(asked)]
        assert states == [("text", "deleted"), ("file", "")]


# Files


@pytest.mark.parametrize(
    ("kind", "mime", "what"),
    [
        ("picture", "image/jpeg", ("image", MessageKind.TEXT)),
        ("file", "application/pdf", ("file", MessageKind.TEXT)),
        ("audio", "audio/ogg", ("audio", MessageKind.UNSUPPORTED)),
        ("audio", "audio/mpeg", ("audio", MessageKind.UNSUPPORTED)),
        ("video", "video/mp4", ("video", MessageKind.UNSUPPORTED)),
        ("sticker", "image/webp", ("image", MessageKind.TEXT)),
    ],
)
async def test_files_are_taken_with_their_contents(kind, mime, what):
    async with world() as (simulator, engine):
        file = SharedFile(kind=kind, name="a.bin", mime=mime, content=b"content")
        await simulator.say("zhangsan", file=file)
        message = await engine.next()
        [attachment] = message.attachments
        assert (attachment.kind, message.kind) == what
        media = await engine.channel.fetch(attachment, message.target)
        assert media.content == b"content"


async def test_the_words_below_a_file_are_its_text():
    async with world() as (simulator, engine):
        await simulator.say("lisi", "@AI助手 what is this?", file=PICTURE, chat="group")
        message = await engine.next()
        assert (message.text, len(message.attachments)) == ("what is this?", 1)


@pytest.mark.parametrize("mode", ["webhook", "poll"])
@pytest.mark.parametrize("chat", ["private", "group"])
async def test_an_album_is_one_message(mode, chat):
    clock = WatchedClock()
    async with world(mode, clock=clock) as (simulator, engine):
        simulator.faults.privacy_off = True
        parts = await simulator.say_album("lisi", [PICTURE] * 3, "compare these", chat=chat)
        await clock.asleep(lambda seconds: seconds == albums.WAIT_SECONDS)
        await until(lambda: engine.channel._albums.waiting == 3)
        await clock.advance(albums.WAIT_SECONDS)
        message = await engine.next()
        assert (message.text, len(message.attachments)) == ("compare these", 3)
        assert message.message_id == parts[0]
        assert "album" not in message.target
        for part in parts:
            await until(
                lambda part=part: (
                    simulator.transcript.get(part).status == "delivered" or mode == "poll"
                )
            )
        assert engine.inbox.empty()


async def test_an_album_that_is_cut_off_by_a_closing_channel_will_be_asked_for_again():
    clock = WatchedClock()
    async with world(clock=clock) as (simulator, engine):
        await simulator.say_album("lisi", [PICTURE] * 2, "compare these")
        await until(lambda: engine.channel._albums.waiting == 2)
        await engine.channel.close()
        await until(lambda: engine.statuses == [503, 503])
        await until(lambda: engine.channel._albums.waiting == 2)
        async with asyncio.timeout(5):
            while engine.inbox.empty():  # it may not have begun to wait yet
                await clock.advance(albums.WAIT_SECONDS)
        assert len((await engine.next()).attachments) == 2


async def test_an_album_that_does_not_name_the_bot_is_left_alone():
    clock = WatchedClock()
    async with world(clock=clock) as (simulator, engine):
        simulator.faults.privacy_off = True
        with simulator.updates.together():
            for _ in range(2):
                await simulator.say("lisi", file=PICTURE, chat="group", at=False, album="a")
        await clock.asleep(lambda seconds: seconds == albums.WAIT_SECONDS)
        await clock.advance(albums.WAIT_SECONDS)
        await simulator.say("lisi", "@AI助手 next", chat="group")
        assert (await engine.next()).text == "next"


@pytest.mark.parametrize(
    ("path", "said"),
    [("../../etc/passwd", "path"), ("http://169.254.169.254/x", "path"), ("/var/lib/x", "path")],
)
async def test_a_file_s_path_that_leads_elsewhere_is_not_followed(path, said):
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", file=PICTURE)
        message = await engine.next()
        simulator.faults.bad_file_path = path
        with pytest.raises(SendRefused, match=said):
            await engine.channel.fetch(message.attachments[0], message.target)
        assert simulator.wire.rows(path="/file/") == []


async def test_a_file_that_is_too_large_is_refused():
    async with world() as (simulator, engine):
        huge = SharedFile(kind="file", name="a", mime="a/b", content=bytes(20_000_001))
        await simulator.say("zhangsan", file=huge)
        message = await engine.next()
        with pytest.raises(SendRefused, match="too big"):
            await engine.channel.fetch(message.attachments[0], message.target)


async def test_pictures_and_files_are_sent_after_the_text():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "chart")
        message = await engine.next()
        ref = await engine.channel.host.media.put(b"png", name="c.png", mime="image/png")
        media = (
            Attachment(kind="image", name="c.png", url=ref, mime="image/png"),
            Attachment(kind="file", name="表.csv", url="data:text/csv,a%2Cb"),
        )
        simulator.faults.photos_refused = 1  # goes as a file then
        await engine.answer(message, "here", media=media)
        await engine.answer(message, media=media[:1])
        shown = [(e.kind, e.text) for e in simulator.transcript.list() if e.sender == "bot"]
        assert shown == [
            *(("text", "here"), ("file", "c.png"), ("file", "表.csv"), ("picture", "c.png")),
        ]


# Edits, welcome, signs


@pytest.mark.parametrize("chat", ["private", "group"])
async def test_an_edit_names_the_message_that_it_changes(chat):
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "@AI助手 wether", chat=chat)
        await engine.next()
        event = await simulator.edit(asked, "@AI助手 weather")
        message = await engine.next()
        assert (message.kind, message.payload) == (MessageKind.EDIT, {"of": asked})
        assert message.message_id == event != asked
        assert message.text.endswith("weather")


async def test_who_presses_start_or_adds_the_bot_to_a_group_is_welcomed():
    async with world() as (simulator, engine):
        await simulator.enter("newcomer", name="New Person")
        message = await engine.next()
        assert (message.kind, message.sender.name) == (MessageKind.WELCOME, "New Person")
        await simulator.add_to_group("zhangsan", "-100777")
        message = await engine.next()
        assert (message.kind, message.chat.id) == (MessageKind.WELCOME, "-100777")
        await engine.answer(message, "hello all")
        assert simulator.transcript.list(conversation="-100777")[0].text == "hello all"


async def test_the_person_sees_that_the_bot_types():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "x")
        await engine.channel.seen((await engine.next()).target)
        assert simulator.actions[0][1] == "typing"


async def test_people_and_groups_are_written_to_by_address():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "x")
        user = (await engine.next()).sender.user_id
        group = str(simulator.info()["group"]["chat_id"])
        for to in (f"user:{user}", f"group:{group}"):
            address = engine.channel.address(to)
            assert address.target["conversation"] == address.chat.id
            await engine.channel.send(
                engine.outgoing(_Message(address.target), f"reminder to {to}")
            )
        texts = [e.text for e in simulator.transcript.list() if e.sender == "bot"]
        assert texts == [f"reminder to user:{user}", f"reminder to group:{group}"]
        for wrong in ("user:", "user:abc", "user:-5", "group:5", "room:1", "user:٣"):
            with pytest.raises(Malformed):
                engine.channel.address(wrong)


class _Message:
    message_id = ""

    class sender:  # noqa: N801 - as a message has it
        user_id = "u"

    def __init__(self, target):
        self.target = target


async def test_who_has_not_pressed_start_cannot_be_written_to():
    async with world() as (simulator, engine):
        number = simulator.info()["numbers"]["lisi"]
        target = engine.channel.address(f"user:{number}").target
        with pytest.raises(SendRefused, match="press Start"):
            await engine.channel.send(engine.outgoing(_Message(target), "x"))


async def test_a_person_s_name_is_looked_up():
    async with world() as (simulator, engine):
        await simulator.say("alice", "x")
        user = (await engine.next()).sender.user_id
        profile = await engine.channel.profile(user)
        assert (profile.user_id, profile.name) == (user, "Alice Wang")
        assert await engine.channel.profile("999") is None
        for nobody in ("nobody", "²", "9" * 5000):
            assert await engine.channel.profile(nobody) is None


# What goes wrong


async def test_forged_updates_do_not_get_in():
    async with world() as (simulator, engine):
        simulator.faults.wrong_secret = True
        asked = await simulator.say("zhangsan", "forged")
        assert (await simulator.wait_settled(asked)).status == "undelivered"
        await until(lambda: len(engine.statuses) == 4)
        assert set(engine.statuses) == {401}
        assert engine.inbox.empty()


async def test_a_webhook_without_its_secret_stays_shut():
    async with world(auth={"token": TOKEN}) as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        assert (await simulator.wait_settled(asked)).detail == "HTTP 401"
        status = engine.channel.status()
        assert status.state == "failing"
        assert "auth.secret_token" in status.detail


async def test_a_repeated_update_has_the_same_key():
    async with world() as (simulator, engine):
        simulator.faults.duplicate = 2
        asked = await simulator.say("zhangsan", "once")
        await until(lambda: len(engine.statuses) == 3)
        await simulator.resend(asked, replay=True)
        assert engine.statuses == [200] * 4
        assert (await engine.next()).message_id == asked
        assert engine.inbox.empty()


async def test_what_the_engine_has_no_room_for_is_sent_again():
    for mode in ("webhook", "poll"):
        async with world(mode) as (simulator, engine):
            engine.full = 2
            await simulator.say("zhangsan", "patience")
            assert (await engine.next()).text == "patience"


async def test_contents_that_nobody_knows_are_named_and_broken_bodies_refused():
    async with world() as (simulator, engine):
        simulator.faults.unknown_msgtype = True
        await simulator.say("zhangsan", "x")
        message = await engine.next()
        assert (message.kind, message.text) == (MessageKind.UNSUPPORTED, "unknownMsgType")
        simulator.faults.clear()
        simulator.faults.malformed_json = True
        await simulator.say("lisi", "x")
        await until(lambda: 422 in engine.statuses)


async def test_throttling_is_waited_for_as_long_as_telegram_asks_and_nothing_is_sent_twice():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "x")
        message = await engine.next()
        simulator.faults.change({"throttle_after": 1, "throttle_times": 1, "retry_after": 7})
        text = "first " * 650 + "\n\n" + "second " * 600
        with pytest.raises(SendRetryable) as caught:
            await engine.answer(message, text)
        assert caught.value.retry_after_seconds == 7
        await engine.answer(message, text)
        said = " ".join(e.text for e in simulator.transcript.list() if e.sender == "bot")
        assert (said.count("first"), said.count("second")) == (650, 600)


async def test_a_group_gets_no_more_than_twenty_messages_a_minute():
    clock = WatchedClock()
    async with world(clock=clock) as (simulator, engine):
        await simulator.say("zhangsan", "x", chat="group")
        message = await engine.next()
        for _ in range(20):
            await engine.answer(message, "x")
        more = asyncio.create_task(engine.answer(message, "one more"))
        await clock.asleep(lambda seconds: seconds == 3)
        assert len(calls(simulator, "sendMessage")) == 20
        simulator.faults.group_per_minute = 0
        await clock.advance(3)
        await more


async def test_all_chats_together_get_no_more_than_thirty_messages_a_second():
    clock = WatchedClock()
    async with world(clock=clock) as (simulator, engine):
        await simulator.say("zhangsan", "x")
        message = await engine.next()
        sends = [asyncio.create_task(engine.answer(message, "x", id=str(n))) for n in range(31)]
        await clock.asleep(lambda seconds: 0 < seconds < 1)
        await until(lambda: len(calls(simulator, "sendMessage")) == client.SENDS_PER_SECOND)
        simulator.faults.messages_per_second = 0
        await clock.advance(1)
        await asyncio.gather(*sends)


@pytest.mark.parametrize(
    ("knob", "error", "said"),
    [
        ({"blocked": True}, SendRefused, "press Start"),
        ({"error_burst": 1}, SendRetryable, "HTTP 503"),
        ({"drop_answer": 1}, SendRetryable, "could not be reached"),
        ({"malformed_answer": 1}, SendRetryable, "cannot be read"),
        ({"expired_token": 1}, SendRefused, "BotFather"),
    ],
)
async def test_refusals_of_the_api_say_what_to_do(knob, error, said):
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "x")
        message = await engine.next()
        simulator.faults.change(knob)
        with pytest.raises(error, match=said) as caught:
            await engine.answer(message, "hi")
        assert TOKEN not in repr(caught.value.__dict__) + str(caught.value)


@pytest.mark.parametrize(
    ("right", "permission"),
    [("text messages", "can_send_messages"), ("photos", "can_send_photos")],
)
async def test_a_missing_right_is_named_until_it_is_granted(right, permission):
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "x", chat="group")
        message = await engine.next()
        simulator.faults.missing_right = right
        with pytest.raises(PermissionMissing) as caught:
            await engine.answer(message, "hi")
        assert caught.value.permission == permission
        assert permission in engine.channel.status().detail
        simulator.faults.clear()
        await engine.answer(message, "hi")
        assert permission not in engine.channel.status().detail


async def test_a_group_that_became_a_supergroup_is_followed():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "x", chat="group")
        message = await engine.next()
        simulator.faults.migrated = True
        await engine.answer(message, "moved with you")
        reply = simulator.transcript.list()[-1]
        assert reply.text == "moved with you"
        assert reply.conversation == simulator.transcript.get(asked).conversation


async def test_neither_token_nor_secret_is_in_any_log(caplog):
    caplog.set_level(logging.DEBUG)
    async with world("poll", hooked=True) as (simulator, engine):
        await simulator.say("zhangsan", "x")
        message = await engine.next()
        simulator.faults.drop_answer = 1
        with pytest.raises(SendRetryable):
            await engine.answer(message, "hi")
        rows = str(simulator.wire.rows())
    for secret in (TOKEN, SECRET):
        assert secret not in caplog.text
        assert secret not in rows


# Long polling


async def test_polling_takes_a_webhook_away_only_when_telegram_says_that_one_is_set():
    async with world("poll", hooked=True) as (simulator, engine):
        await simulator.say("zhangsan", "kept")
        assert (await engine.next()).text == "kept"
        assert len(calls(simulator, "deleteWebhook")) == 1
    async with world("poll") as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        await engine.next()
        assert calls(simulator, "deleteWebhook") == []
        assert engine.channel.capabilities.one_owner


async def test_a_rival_that_polls_is_named_and_polling_goes_on_later():
    clock = WatchedClock()
    async with world("poll", clock=clock) as (simulator, engine):
        simulator.faults.rival = 1
        await simulator.say("zhangsan", "hello")
        await clock.asleep(lambda seconds: 0.4 < seconds <= 1)
        status = engine.channel.status()
        assert (status.state, status.connected) == ("failing", False)
        assert "another process polls" in status.detail
        await clock.advance(1)
        assert (await engine.next()).text == "hello"
        assert engine.channel.status().state == "connected"


async def test_a_poll_that_breaks_or_cannot_be_read_loses_nothing():
    for knob in ({"drop_at_frame": 1}, {"malformed_answer": 1}, {"error_burst": 1}):
        clock = WatchedClock()
        async with world("poll", clock=clock) as (simulator, engine):
            simulator.faults.change(knob)
            asked = await simulator.say("zhangsan", "still here")
            await clock.asleep(lambda seconds: 0.4 < seconds <= 1)
            await clock.advance(1)
            assert (await engine.next()).message_id == asked
            await until(lambda sim=simulator, id_=asked: sim.transcript.get(id_).via == "poll")


async def test_a_wrong_token_is_asked_about_slowly_and_said():
    clock = WatchedClock()
    async with world("poll", clock=clock, auth={"token": "1:wrong"}) as (_, engine):
        await clock.asleep(lambda seconds: seconds == 60)
        assert "BotFather" in engine.channel.status().detail
        with pytest.raises(Unauthenticated):
            await engine.channel.check()


# Before it is configured


async def test_the_check_says_which_bot_it_is_and_where_the_webhook_leads():
    async with world() as (simulator, engine):
        said = await engine.channel.check()
        assert "@ai_engine_bot" in said
        assert "0 updates wait" in said
        simulator.updates.set_hook(None)
        assert "No webhook is set" in await engine.channel.check()
        url = await engine.channel.register("https://bot.example.org/")
        assert url == "https://bot.example.org/api/message/telegram"
        assert f"The webhook is {url}" in await engine.channel.check()
        simulator.updates.hook.url = "https://bot.example.org/api/message/other"
        assert "not https://<your host>/api/message/telegram" in await engine.channel.check()


def test_settings_are_checked_before_anything_is_called():
    from ai_engine.channels.about import problems
    from ai_engine.channels.telegram.about import ABOUT
    from ai_engine.config.schema import ChannelConfig

    def found(**config):
        return problems(ABOUT, ChannelConfig.model_validate(config))

    assert len(found()) == 2
    assert found(auth={"app_secret": "1:x", "secret_token": "s"}) == []
    assert found(mode="poll", auth={"token": "1:x"}) == []
    assert "mode" in found(mode="stream", auth={"token": "1:x"})[0]
    assert "endpoints.oapi" in str(
        found(mode="poll", auth={"token": "1:x"}, endpoints={"oapi": "https://a.example"})
    )
