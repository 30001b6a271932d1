"""Matrix rooms, files, addresses and rights on a real homeserver (Synapse), by matrix-nio."""

import asyncio

import pytest

from ai_engine.domain.errors import PermissionMissing, SendRefused
from ai_engine.domain.message import Attachment

from support.synapse import synapse, world


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with synapse(tmp_path_factory.mktemp("synapse")) as running:
        yield running


PICTURE = Attachment(kind="image", name="a.png", mime="image/png", url="data:image/png;base64,iVBO")


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
