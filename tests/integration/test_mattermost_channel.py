"""The Mattermost channel against the simulated Mattermost, which a driver of others has proved."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from ai_engine.domain.errors import (
    Malformed,
    PermissionMissing,
    SendRefused,
    SendRetryable,
    Unauthenticated,
)
from ai_engine.domain.message import (
    Attachment,
    Chat,
    ChatKind,
    InboundMessage,
    MessageKind,
    Sender,
)
from ai_engine.domain.reply import Button, Card
from ai_engine.simulators.files import SharedFile

from support.mattermost import TOKEN, Engine, outgoing, world

# Text.


@pytest.mark.parametrize("mode", ["stream", "webhook"])
@pytest.mark.parametrize("chat", ["private", "group"])
async def test_a_question_is_answered_where_it_was_asked(mode: str, chat: str):
    async with world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "明天有什么安排?", chat=chat)
        message = await engine.next()
        assert message.text == "明天有什么安排?"
        assert message.chat.kind == chat
        assert message.sender.user_id == simulator.user_id("zhangsan")
        assert message.sender.name == "zhangsan"
        await engine.answer(message, "**没有**安排")
        reply = await simulator.wait_reply(asked)
        assert reply.text == "**没有**安排"
        assert reply.via == "posts"
        if chat == "group":
            assert reply.reply_to == asked


async def test_a_long_answer_is_split_and_only_its_last_part_has_the_card():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello", chat="group")
        text = "天气很好。\n" * 6000
        card = Card(title="完", markdown="fin")
        await engine.answer(await engine.next(), text, card=card)
        await simulator.wait_reply(asked)
        parts = simulator.transcript.replies_to(asked)
        assert len(parts) == 3
        assert "".join(part.text for part in parts).count("天气") == 6000
        assert [part.card is not None for part in parts] == [False, False, True]


async def test_plain_text_is_sent_where_the_reply_form_is_text():
    async with world(reply="text") as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        card = Card(title="Weather", buttons=(Button(label="More", value={"a": 1}),))
        await engine.answer(await engine.next(), "**fine**", card=card)
        reply = await simulator.wait_reply(asked)
        assert reply.text.startswith("fine\n\nWeather")
        assert reply.card is None


async def test_own_posts_and_those_of_other_programs_are_ignored():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "one")
        await engine.answer(await engine.next(), "an answer")
        await simulator.wait_reply(asked)
        await simulator.say("zhangsan", "two")
        assert (await engine.next()).text == "two"
        assert engine.inbox.empty()


async def test_a_group_message_without_a_mention_is_not_read():
    async with world() as (simulator, engine):
        await simulator.say("lisi", "not for the bot", chat="group", at=False)
        await simulator.say("lisi", "for @ai-assistant and @alice", chat="group")
        message = await engine.next()
        assert message.text == "for  and @alice"
        assert engine.inbox.empty()


async def test_an_answer_stays_in_the_thread_and_quotes_who_began_it():
    async with world() as (simulator, engine):
        root = await simulator.say("lisi", "the plan is X", chat="group", at=False)
        asked = await simulator.say("zhangsan", "sum up", chat="group", root=root)
        message = await engine.next()
        assert message.quote == "the plan is X"
        assert message.chat.thread == root
        await engine.answer(message, "X")
        reply = await simulator.wait_reply(asked)
        assert simulator.store.posts[reply.id]["root_id"] == root


async def test_a_linked_post_is_the_quote():
    async with world() as (simulator, engine):
        first = await simulator.say("zhangsan", "price is 5")
        await engine.next()
        await simulator.say("zhangsan", "is this right?", quote=first)
        assert (await engine.next()).quote == "price is 5"


@pytest.mark.parametrize("mode", ["stream", "webhook"])
async def test_an_answer_to_a_thread_that_is_gone_is_posted_in_the_channel(mode: str):
    async with world(mode) as (simulator, engine):
        root = await simulator.say("zhangsan", "hello", chat="group")
        message = await engine.next()
        simulator.store.posts[root]["delete_at"] = 1
        await engine.answer(message, "still here")
        assert simulator.transcript.list()[-1].text == "still here"


async def test_a_webhook_from_within_a_thread_is_answered_in_that_thread():
    async with world("webhook") as (simulator, engine):
        root = await simulator.say("lisi", "topic", chat="group", at=False)
        asked = await simulator.say("zhangsan", "hello", chat="group", root=root)
        await engine.answer(await engine.next(), "hi")
        reply = await simulator.wait_reply(asked)
        assert simulator.store.posts[reply.id]["root_id"] == root


# Sending once, later, or not at all.


async def test_an_answer_whose_receipt_was_lost_shows_once():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        simulator.faults.drop_answer = 1
        with pytest.raises(SendRetryable):
            await engine.answer(message, "once")
        await engine.answer(message, "once", attempt=2)
        assert [e.text for e in simulator.transcript.list()].count("once") == 1


async def test_a_repeat_after_the_server_forgot_its_key_still_shows_once():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        await engine.answer(message, "once")
        simulator.store.forget_pending()
        late = replace(message, target={**message.target, "at": message.target["at"] - 60})
        await engine.answer(late, "once")
        await engine.answer(message, "once", attempt=2)
        assert [e.text for e in simulator.transcript.list()].count("once") == 1


async def test_throttling_is_waited_for_and_the_order_kept():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        simulator.faults.change({"throttle_after": 1, "throttle_times": 1})
        await engine.answer(message, "first", id="r1")
        with pytest.raises(SendRetryable) as caught:
            await engine.answer(message, "second", id="r2")
        assert caught.value.retry_after_seconds == 1
        await engine.answer(message, "second", id="r2")
        texts = [e.text for e in simulator.transcript.list() if e.sender == "bot"]
        assert texts == ["first", "second"]


@pytest.mark.parametrize(
    ("knob", "error", "said"),
    [
        ({"error_burst": 9}, SendRetryable, "failed"),
        ({"drop_answer": 9}, SendRetryable, "could not be reached"),
        ({"malformed_answer": 9}, SendRetryable, "cannot be read"),
        ({"expired_token": 9}, SendRefused, "token"),
        ({"missing_permission": "create_post"}, PermissionMissing, "create_post"),
        (
            {"missing_permission": "create_post", "developer_mode": True},
            PermissionMissing,
            "create_post",
        ),
    ],
)
async def test_refusals_of_the_api_say_what_to_do(
    knob: dict[str, Any], error: type[Exception], said: str
):
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        simulator.faults.change(knob)
        with pytest.raises(error, match=said) as caught:
            await engine.answer(message, "hi")
        assert TOKEN not in str(caught.value)


async def test_a_missing_permission_is_shown_until_it_is_granted():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        simulator.faults.missing_permission = "create_post"
        with pytest.raises(PermissionMissing):
            await engine.answer(message, "hi")
        assert "create_post" in engine.channel.status().detail
        simulator.faults.clear()
        await engine.answer(message, "hi")
        assert engine.channel.status().detail == ""


async def test_two_hundred_answers_at_once_ask_for_the_account_once():
    async with world("webhook") as (simulator, engine):
        target = engine.channel.address("group:" + simulator.info()["group"]["id"]).target
        message = replace(_nobody(), target=target)
        await asyncio.gather(*(engine.answer(message, f"n{n}", id=f"r{n}") for n in range(200)))
        assert len(simulator.wire.rows(path="/users/me")) == 1
        assert len({e.text for e in simulator.transcript.list()}) == 200


def _nobody() -> InboundMessage:
    sender = Sender(platform="mattermost", user_id="")
    chat = Chat(kind=ChatKind.GROUP, id="")
    return InboundMessage(channel="mattermost", message_id="", sender=sender, chat=chat)


async def test_a_person_and_a_channel_can_be_written_to_first():
    async with world() as (simulator, engine):
        for to, conversation in (
            (f"user:{simulator.user_id('lisi')}", "cid-private-lisi"),
            (f"group:{simulator.info()['group']['id']}", "cid-group-ops"),
        ):
            address = engine.channel.address(to)
            await engine.answer(replace(_nobody(), target=address.target), "hello", id=to)
            reply = await simulator.wait_reply(conversation)
            assert reply.text == "hello"
        asked = await simulator.say("lisi", "and?")
        assert (await engine.next()).chat.id == simulator.user_id("lisi")
        assert asked
        with pytest.raises(Malformed):
            engine.channel.address("mail:x")


# Streams.


async def test_an_answer_grows_and_is_finished_once_however_often_it_is_told():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        handle = await engine.channel.open_stream(message.target, "k1")
        assert handle == await engine.channel.open_stream(message.target, "k1")
        assert handle is not None
        await engine.channel.update(handle, "It is")
        growing = await simulator.wait_reply(asked, unfinished=True)
        assert (growing.text, growing.state) == ("It is", "streaming")
        await engine.channel.update(handle, "x" * 20_000)
        for _ in range(2):
            await engine.channel.finish(handle, outgoing(message, "It is fine.", feedback="f1"))
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.state) == ("It is fine.", "finished")
        assert len([e for e in simulator.transcript.list() if e.sender == "bot"]) == 1


@pytest.mark.parametrize("how", ["gone", "frozen", "forbidden"])
async def test_a_stream_that_cannot_be_edited_any_more_ends_as_a_new_post(how: str):
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        handle = await engine.channel.open_stream(message.target, "k1")
        assert handle is not None
        if how == "gone":
            simulator.store.posts[handle["post"]]["delete_at"] = 1
        elif how == "frozen":
            simulator.faults.edits_over = True
        else:
            simulator.faults.missing_permission = "edit_post"
        with pytest.raises(SendRefused):
            await engine.channel.update(handle, "It is")
        for _ in range(2):
            await engine.channel.finish(handle, outgoing(message, "It is fine."))
        texts = [e.text for e in simulator.transcript.list()]
        assert texts.count("It is fine.") == 1
        assert ("edit_post" in engine.channel.status().detail) == (how == "forbidden")


async def test_a_throttled_update_is_skipped_and_the_final_text_arrives():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        handle = await engine.channel.open_stream(message.target, "k1")
        assert handle is not None
        simulator.faults.change({"throttle_after": 0, "throttle_times": 1})
        await engine.channel.update(handle, "It is")
        await engine.channel.finish(handle, outgoing(message, "a" * 20_000))
        await simulator.wait_reply(asked)
        parts = [e.text for e in simulator.transcript.list() if e.sender == "bot"]
        assert [len(part) for part in parts] == [16_383, 20_000 - 16_383]


# Cards, buttons, feedback.

CARD = Card(
    title="Weather",
    markdown="**sunny**",
    fields=(("City", "Beijing"),),
    buttons=(
        Button(label="More", value={"day": 2, "x": 1.0}, style="primary"),
        Button(label="Map", url="https://example.org/map"),
        Button(label="Long", value={"text": "长" * 9000}),
    ),
    image_url="https://example.org/sun.png",
)


@pytest.mark.parametrize("chat", ["private", "group"])
async def test_a_pressed_button_brings_its_value_back(chat: str):
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "weather", chat=chat)
        message = await engine.next()
        await engine.answer(message, "**sunny**", card=CARD)
        reply = await simulator.wait_reply(asked)
        assert reply.card is not None
        assert reply.card["title"] == "Weather"
        assert reply.card["fields"] == [["City", "Beijing"]]
        assert "[Map](https://example.org/map)" in reply.card["markdown"]
        assert [b["label"] for b in reply.buttons] == ["More", "Long"]
        for n, value in ((0, {"day": 2, "x": 1.0}), (1, {"text": "长" * 9000})):
            await simulator.press(reply.id, n, user="zhangsan")
            pressed = await engine.next()
            assert pressed.kind is MessageKind.BUTTON
            assert pressed.payload == value
            assert pressed.chat == replace(message.chat, title="")
            assert pressed.sender.user_id == message.sender.user_id
        await engine.answer(pressed, "done", id="r2")
        assert simulator.transcript.list()[-1].text == "done"


async def test_a_forged_button_is_refused():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "weather")
        await engine.answer(await engine.next(), "", card=CARD)
        reply = await simulator.wait_reply(asked)
        simulator.faults.wrong_secret = True
        await simulator.press(reply.id, 0)
        simulator.faults.clear()
        action = simulator.store.posts[reply.id]["props"]["attachments"][0]["actions"][0]
        seal = action["integration"]["context"]["ai_engine"]
        for name in ("reply", "kind", "root", "n", "value"):
            kept, seal[name] = seal[name], "altered"
            await simulator.press(reply.id, 0)
            seal[name] = kept
        assert engine.statuses == [401] * 6
        assert engine.inbox.empty()


async def test_without_an_address_of_ours_buttons_are_text():
    async with world(callback_url="") as (simulator, engine):
        asked = await simulator.say("zhangsan", "weather")
        await engine.answer(await engine.next(), "", card=CARD)
        reply = await simulator.wait_reply(asked)
        assert reply.buttons == ()
        assert reply.card is not None
        assert "[More]" in reply.card["markdown"]


async def test_an_answer_is_rated_by_one_click_on_the_bots_own_reactions():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello", chat="group")
        message = await engine.next()
        await engine.answer(message, "hi", feedback="f1")
        reply = await simulator.wait_reply(asked)
        assert [r["emoji_name"] for r in simulator.reactions[reply.id]] == ["+1", "-1"]
        for rating in ("good", "bad", "none"):
            await simulator.rate(reply.id, rating, user="zhangsan")
            rated = await engine.next()
            assert rated.kind is MessageKind.FEEDBACK
            assert rated.payload == {"rating": rating, "of": "f1", "text": ""}
            assert rated.chat.id == message.chat.id
        await simulator.rate(asked, "good", user="lisi")
        await simulator.say("lisi", "next")
        assert (await engine.next()).text == "next"


async def test_feedback_can_be_switched_off_and_failing_reactions_do_not_cost_the_answer():
    async with world(feedback=False) as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        await engine.answer(await engine.next(), "hi", feedback="f1")
        assert (await simulator.wait_reply(asked)).id not in simulator.reactions
    async with world() as (simulator, engine):
        simulator.faults.missing_permission = "add_reaction"
        asked = await simulator.say("zhangsan", "hello")
        await engine.answer(await engine.next(), "hi", feedback="f1")
        assert (await simulator.wait_reply(asked)).text == "hi"
        assert "add_reaction" in engine.channel.status().detail


@pytest.mark.parametrize("bot", [True, False])
async def test_in_webhook_mode_answers_are_rated_by_buttons(bot: bool):
    async with world("webhook", bot=bot) as (simulator, engine):
        if not bot:
            answering = asyncio.create_task(_answer_one(engine, feedback="f1"))
        asked = await simulator.say("zhangsan", "hello", chat="group")
        if bot:
            await engine.answer(await engine.next(), "hi", feedback="f1")
        else:
            await answering
        reply = await simulator.wait_reply(asked)
        assert [b["label"] for b in reply.buttons] == ["👍", "👎"]
        await simulator.press(reply.id, 1, user="zhangsan")
        assert (await engine.next()).payload == {"feedback": "bad", "of": "f1"}


async def _answer_one(engine: Engine, text: str = "hi", **reply: Any) -> None:
    await engine.answer(await engine.next(), text, **reply)


# Files.


@pytest.mark.parametrize(
    ("kind", "mime"),
    [("picture", "image/png"), ("audio", "audio/ogg"), ("file", "application/pdf")],
)
async def test_a_file_is_taken_with_its_content(kind: str, mime: str):
    async with world() as (simulator, engine):
        file = SharedFile(kind=kind, name="a.bin", mime=mime, content=b"\x00content")
        await simulator.say("zhangsan", file=file)
        message = await engine.next()
        assert message.kind is MessageKind.TEXT
        [found] = message.attachments
        assert (found.name, found.mime, found.bytes_size) == ("a.bin", mime, 8)
        media = await engine.channel.fetch(found, message.target)
        assert (media.content, media.kind) == (b"\x00content", found.kind)
        with pytest.raises(SendRefused):
            await engine.channel.fetch(Attachment(kind="file", ref="nothing"), message.target)


async def test_a_file_of_a_webhook_is_known_by_its_id_and_looked_up():
    async with world("webhook") as (simulator, engine):
        file = SharedFile(kind="picture", name="a.png", mime="image/png", content=b"png")
        await simulator.say("zhangsan", "look", chat="group", file=file)
        message = await engine.next()
        media = await engine.channel.fetch(message.attachments[0], message.target)
        assert (media.kind, media.name, media.content) == ("image", "a.png", b"png")


async def test_a_file_over_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ai_engine.channels.mattermost.channel.MEDIA_BYTES_MAX", 4)
    async with world() as (simulator, engine):
        file = SharedFile(kind="file", name="a", mime="text/plain", content=b"12345")
        await simulator.say("zhangsan", file=file)
        message = await engine.next()
        with pytest.raises(SendRefused, match="more than 4 bytes"):
            await engine.channel.fetch(message.attachments[0], message.target)


async def test_images_and_files_are_sent_after_the_text_and_once():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello", chat="group")
        media = tuple(
            Attachment(kind="file", url="data:text/plain;base64,aGk=", name=f"{n}.txt")
            for n in range(7)
        )
        message = await engine.next()
        for attempt in (1, 2):
            await engine.answer(message, "files:", media=media, attempt=attempt)
        replies = simulator.transcript.replies_to(asked)
        assert [len(simulator.store.posts[r.id]["file_ids"]) for r in replies] == [0, 5, 2]
        assert simulator.shelf.get(replies[1].url.removeprefix("/files/")) is not None
        gone = Attachment(kind="file", url="blob:" + "0" * 64)
        with pytest.raises(SendRefused, match="not kept"):
            await engine.answer(message, "", id="r9", media=(gone,))


# What else people do.


async def test_edits_and_recalls_name_the_original():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "wether", chat="group")
        await engine.next()
        for n in range(2):
            await simulator.edit(asked, f"weather {n}")
            edit = await engine.next()
            assert (edit.kind, edit.text) == (MessageKind.EDIT, f"weather {n}")
            assert edit.payload == {"of": asked}
        await simulator.recall(asked)
        recall = await engine.next()
        assert (recall.kind, recall.payload) == (MessageKind.RECALL, {"of": asked})
        assert len({asked, edit.message_id, recall.message_id}) == 3


async def test_who_opens_the_chat_is_greeted_unless_that_is_switched_off():
    async with world() as (simulator, engine):
        await simulator.enter("alice")
        opened = await engine.next()
        assert opened.kind is MessageKind.WELCOME
        assert opened.sender.user_id == simulator.user_id("alice")
        await engine.answer(opened, "welcome")
        assert (await simulator.wait_reply("cid-private-alice")).text == "welcome"
    async with world(welcome=False) as (simulator, engine):
        await simulator.enter("alice")
        await simulator.say("alice", "hello")
        assert (await engine.next()).text == "hello"


async def test_the_person_sees_that_the_bot_types():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello", chat="group")
        message = await engine.next()
        await engine.channel.seen(message.target)
        assert list(simulator.typed) == [(message.chat.id, asked)]
        assert engine.channel.capabilities.seen


async def test_a_plugin_post_without_words_is_named_and_an_oversized_one_is_taken():
    async with world() as (simulator, engine):
        simulator.faults.unknown_msgtype = True
        await simulator.say("zhangsan", "poll")
        message = await engine.next()
        assert message.kind is MessageKind.UNSUPPORTED
        assert "custom_poll" in message.text
        simulator.faults.clear()
        simulator.faults.oversized_bytes = 100_000
        await simulator.say("zhangsan", "long")
        assert len((await engine.next()).text) > 100_000


async def test_a_profile_has_a_name_and_an_address_and_strangers_have_none():
    async with world() as (simulator, engine):
        user_id = simulator.user_id("zhangsan")
        profile = await engine.channel.profile(user_id)
        assert profile is not None
        assert (profile.name, profile.email) == ("张三", "zhangsan@example.org")
        assert await engine.channel.profile("nobody") is None
        simulator.faults.missing_permission = "view_members"
        with pytest.raises(PermissionMissing):
            await engine.channel.profile(user_id)


async def test_the_check_names_the_bot_or_what_is_wrong():
    async with world("webhook") as (simulator, engine):
        assert "@ai-assistant" in await engine.channel.check()
        simulator.faults.expired_token = 1
        with pytest.raises(Unauthenticated, match="token"):
            await engine.channel.check()
    async with world("webhook", bot=False) as (_, engine):
        with pytest.raises(SendRefused, match=r"auth\.token"):
            await engine.channel.check()
