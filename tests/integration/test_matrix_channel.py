"""The Matrix channel on a real homeserver (Synapse), with people whose client is matrix-nio."""

import asyncio

import pytest

from ai_engine.domain.errors import PermissionMissing, SendRefused
from ai_engine.domain.message import Attachment
from ai_engine.domain.reply import Button, Card

from support.synapse import make_channel, outgoing, synapse, world


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with synapse(tmp_path_factory.mktemp("synapse")) as running:
        yield running


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


# What happens to messages and rooms


async def test_edits_and_redactions_name_the_message_that_they_change(server):
    async with world(server) as bot:
        alice, mallory = bot.person("alice"), bot.person("mallory")
        room = await bot.group(alice, mallory)
        named = {"m.mentions": {"user_ids": [bot.bot]}}
        asked = await alice.say(room, f"{bot.bot} first", **named)
        await bot.next()
        edit = {
            "m.new_content": {"msgtype": "m.text", "body": "second"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": asked},
        }
        await mallory.say(room, "* forged", **edit)
        changed = await alice.say(room, "* second", **edit)
        message = await bot.next("edit")
        assert (message.text, message.payload) == ("second", {"of": asked})
        assert (message.message_id, message.sender.user_id) == (changed, alice.id)
        await alice.nio.room_redact(room, asked)
        gone = await bot.next("recall")
        assert (gone.payload, gone.sender.user_id) == ({"of": asked}, alice.id)
        assert gone.message_id != asked


async def test_an_invitation_is_accepted_and_what_was_written_before_is_answered(server):
    async with world(server, running=False) as bot:
        alice = bot.person()
        await bot.start()
        room = await alice.room(bot.bot, direct=True)
        early = await alice.say(room, "are you there?")
        async with asyncio.timeout(10):
            welcome, message = await bot.inbox.get(), await bot.inbox.get()
        assert {welcome.kind, message.kind} == {"welcome", "text"}
        assert early in (welcome.message_id, message.message_id)
        assert welcome.sender.user_id == message.sender.user_id == alice.id
        kept = await bot.channel._client.account_data(bot.bot, "m.direct")
        assert kept == {alice.id: [room]}


async def test_only_people_of_the_allowed_homeservers_are_answered(server):
    async with world(server, allow_tenants=["elsewhere.example"]) as bot:
        alice = bot.person()
        room = await alice.room(bot.bot, direct=True)
        left = {"membership": "leave", "state_key": bot.bot}
        await alice.until(
            lambda e: (
                e["type"] == "m.room.member"
                and e["state_key"] == left["state_key"]
                and e["content"]["membership"] == "leave"
                and e["room_id"] == room
            )
        )
        assert bot.inbox.empty()


async def test_an_encrypted_room_is_told_once_that_it_cannot_be_read(server):
    async with world(server) as bot:
        alice = bot.person()
        room = await bot.direct(alice)
        secret = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "session_id": "s"}
        await alice.send(room, {**secret, "sender_key": "k", "device_id": "d"}, "m.room.encrypted")
        await alice.hear(bot.bot, "end-to-end encrypted")
        await bot.stop()
        async with world(server, account=bot.account) as again:
            await alice.send(room, {**secret, "sender_key": "k"}, "m.room.encrypted")
            await alice.say(room, "in clear")
            await again.answer(await again.next(), "heard")
            await alice.hear(bot.bot, "heard")
        told = [e for e in alice.events if "端到端" in e.get("content", {}).get("body", "")]
        assert len(told) == 1


async def test_what_was_written_while_the_engine_was_down_is_answered(server):
    async with world(server) as bot:
        alice = bot.person()
        room = await bot.direct(alice)
        await alice.say(room, "before")
        await bot.next()
        await bot.stop()
        for n in range(60):  # more than one answer to /sync holds
            await alice.say(room, f"missed {n}")
        async with world(server, account=bot.account, running=False) as again:
            again.accepted |= bot.accepted  # the journal knows what came before
            await again.start()
            for n in range(60):
                assert (await again.next()).text == f"missed {n}"


async def test_the_first_start_skips_history(server):
    async with world(server, running=False) as bot:
        alice = bot.person()
        room = await alice.room(bot.bot, direct=True)
        await bot.channel._client.call("POST", f"/_matrix/client/v3/rooms/{room}/join", {})
        await alice.say(room, "long ago")
        await bot.start()
        await alice.say(room, "now")
        assert (await bot.next()).text == "now"


# Files

PICTURE = Attachment(kind="image", name="a.png", mime="image/png", url="data:image/png;base64,iVBO")


async def test_files_come_in_and_go_out(server):
    async with world(server) as bot:
        alice = bot.person()
        room = await bot.direct(alice)
        media = await bot.channel._client.upload(
            type("M", (), {"content": b"%PDF-1", "name": "报告.pdf", "mime": "application/pdf"})()
        )
        info = {"mimetype": "application/pdf", "size": 6}
        await alice.send(
            room,
            {
                "msgtype": "m.file",
                "body": "read this",
                "filename": "报告.pdf",
                "url": media,
                "info": info,
            },
        )
        message = await bot.next()
        (found,) = message.attachments
        assert (message.text, found.kind, found.name, found.bytes_size) == (
            *("read this", "file", "报告.pdf", 6),
        )
        content = await bot.channel.fetch(found, message.target)
        assert (content.content, content.mime) == (b"%PDF-1", "application/pdf")
        await bot.answer(message, "here", media=(PICTURE,))
        sent = (await alice.hear(bot.bot, "a.png"))["content"]
        assert (sent["msgtype"], sent["info"]["mimetype"]) == ("m.image", "image/png")
        got = await alice.nio.download(sent["url"])
        assert got.body == b"\x89PN"


async def test_a_file_s_address_that_is_none_is_not_followed(server):
    async with world(server, running=False) as bot:
        for bad in ("https://evil.example/x", "mxc://a/../b", "mxc://a/b?c", "mxc://a", ""):
            with pytest.raises(SendRefused, match="mxc://"):
                await bot.channel.fetch(Attachment(kind="file", ref=bad), {})
        with pytest.raises(SendRefused):
            await bot.channel.fetch(Attachment(kind="file", ref="mxc://test.example/gone"), {})


# Writing first, people, rights


async def test_people_and_rooms_are_written_to_by_address(server):
    async with world(server) as bot:
        alice = bot.person()
        address = bot.channel.address(f"user:{alice.id}")
        message = type("M", (), {"target": address.target, "message_id": "", "sender": alice})()
        alice.user_id = alice.id
        await asyncio.gather(bot.answer(message, "one"), bot.answer(message, "two"))
        found = await alice.nio.sync(timeout=3000)
        (room,) = found.rooms.invite
        await alice.join(room)
        await alice.hear(bot.bot, "one")
        await alice.hear(bot.bot, "two")
        await alice.say(room, "back")
        assert (await bot.next()).chat == address.chat
        named = await alice.room(bot.bot, alias=f"team{alice.id[1:].partition(':')[0]}")
        await bot.next("welcome")
        alias = f"#team{alice.id[1:].partition(':')[0]}:test.example"
        for to in (f"group:{named}", f"group:{alias}"):
            message.target = bot.channel.address(to).target
            await bot.answer(message, f"to {to}")
            await alice.hear(bot.bot, f"to {to}")


async def test_a_missing_right_is_named_until_it_is_granted(server):
    async with world(server) as bot:
        alice = bot.person()
        room = await bot.direct(alice)
        await alice.say(room, "hi")
        message = await bot.next()
        levels = {"users": {alice.id: 100}, "events_default": 50}
        got = await alice.nio.room_get_state_event(room, "m.room.power_levels")
        levels = {**got.content, "events_default": 50}
        levels["users"] = {k: v for k, v in got.content["users"].items() if k != bot.bot}
        await alice.nio.room_put_state(room, "m.room.power_levels", levels)
        try:
            with pytest.raises(PermissionMissing) as caught:
                await bot.answer(message, "no")
        finally:
            levels["events_default"] = 0
            await alice.nio.room_put_state(room, "m.room.power_levels", levels)
        assert caught.value.permission == "m.room.message"
        assert "m.room.message" in bot.channel.status().detail
        await bot.answer(message, "yes")
        assert bot.channel.status().detail == ""
        await alice.nio.room_kick(room, bot.bot)
        with pytest.raises(SendRefused, match="invite the bot"):
            await bot.answer(message, "gone")


async def test_the_person_sees_that_the_message_was_read_and_that_the_bot_types(server):
    async with world(server) as bot:
        alice = bot.person()
        room = await bot.direct(alice)
        await alice.say(room, "hi")
        message = await bot.next()
        await bot.channel.seen(message.target)
        await alice.until(lambda e: e["type"] == "typing" and e["users"] == [bot.bot])
        await bot.answer(message, "done")
        alice.events.clear()
        await alice.until(lambda e: e["type"] == "typing" and not e["users"])


async def test_names_are_looked_up_and_credentials_checked(server):
    async with world(server, running=False) as bot:
        alice = bot.person("alice", "爱丽丝")
        assert (await bot.channel.profile(alice.id)).name == "爱丽丝"
        assert await bot.channel.profile("@nobody:test.example") is None
        assert await bot.channel.profile("nobody") is None
        said = await bot.channel.check()
        assert bot.bot in said
        assert bot.account.device in said
