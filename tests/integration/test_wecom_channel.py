"""The WeCom channel against the simulated WeCom: messages in and out."""

import pytest

from ai_engine.channels.wecom import channel as wecom
from ai_engine.domain.errors import (
    SendRefused,
    SendRetryable,
)
from ai_engine.domain.message import Attachment, MessageKind
from ai_engine.simulators.files import SharedFile

from support.hosts import restarted
from support.wecom import AUTH, shown, to, until, world

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 200_000


# In


async def test_the_console_s_check_of_the_address_is_passed():
    async with world() as (simulator, engine):
        assert await simulator.check_url()
        simulator.envelope.token = "another"
        assert not await simulator.check_url()
        assert engine.statuses == [200, 401]


async def test_a_question_is_answered_in_the_member_s_chat():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", " 明天有什么安排? ")
        message = await engine.next()
        assert message.text == "明天有什么安排?"
        assert (message.chat.kind, message.chat.id) == ("private", "zhangsan")
        assert (message.sender.tenant, message.sender.platform) == (AUTH["corp_id"], "wecom")
        assert message.message_id == asked
        await engine.answer(message, "**没有**安排", produced_by="model:x")
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.kind) == ("**没有**安排", "markdown")
        assert reply.produced_by == "model:x"
        assert (await simulator.wait_settled(asked)).status == "delivered"


async def test_forged_stale_foreign_and_broken_callbacks_do_not_get_in():
    async with world() as (simulator, engine):
        for knob, status in (
            ({"wrong_secret": True}, 401),
            ({"wrong_aes_key": True}, 401),
            ({"clock_skew_seconds": -400.0}, 403),
            ({"clock_skew_seconds": 400.0}, 403),
            ({"malformed_json": True}, 422),
            ({"oversized_bytes": 400_000}, 413),
        ):
            simulator.faults.change({**knob, "retry_any_status": False})
            asked = await simulator.say("zhangsan", "let me in")
            assert (await simulator.wait_settled(asked)).detail == f"HTTP {status}"
            simulator.faults.clear()
        assert engine.inbox.empty()


async def test_what_is_sent_again_has_the_same_key_even_byte_for_byte():
    async with world() as (simulator, engine):
        simulator.faults.duplicate = 2
        asked = await simulator.say("zhangsan", "once")
        await until(lambda: len(engine.statuses) == 3)
        simulator.faults.clear()
        await simulator.resend(asked, replay=True)
        await simulator.resend(asked)
        assert engine.statuses == [200] * 5
        assert engine.inbox.qsize() == 1


async def test_two_equal_questions_are_two_messages():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "again")
        await simulator.say("zhangsan", "again")
        assert (await engine.next()).message_id != (await engine.next()).message_id


async def test_a_callback_that_finds_no_room_is_sent_again_until_it_does():
    async with world() as (simulator, engine):
        engine.full = 2
        asked = await simulator.say("zhangsan", "patient")
        assert (await engine.next()).text == "patient"
        assert (await simulator.wait_settled(asked)).status == "delivered"
        assert engine.statuses == [503, 503, 200]


async def test_pictures_and_files_are_fetched_by_their_media_id():
    async with world() as (simulator, engine):
        for kind, ours, name in (("picture", "image", "a.png"), ("file", "file", "年报.pdf")):
            file = SharedFile(kind=kind, name=name, mime="image/png", content=PNG)
            await simulator.say("zhangsan", file=file)
            message = await engine.next()
            assert (message.kind, message.text) == (MessageKind.TEXT, "")
            found = await engine.channel.fetch(message.attachments[0], message.target)
            assert (found.kind, found.content, found.mime) == (ours, PNG, "image/png")
            assert found.name.endswith(name[-4:])


async def test_a_file_that_is_gone_or_too_large_is_refused(monkeypatch: pytest.MonkeyPatch):
    async with world() as (simulator, engine):
        with pytest.raises(SendRefused, match="40007"):
            await engine.channel.fetch(Attachment(kind="image", ref="media_gone"), {})
        with pytest.raises(SendRefused, match="no media id"):
            await engine.channel.fetch(Attachment(kind="image"), {})
        file = SharedFile(kind="file", name="a", mime="text/plain", content=b"x" * 100)
        await simulator.say("zhangsan", file=file)
        message = await engine.next()
        monkeypatch.setattr(wecom, "MEDIA_BYTES_MAX", 99)
        with pytest.raises(SendRefused, match="more than 99 bytes"):
            await engine.channel.fetch(message.attachments[0], {})


async def test_a_json_file_is_not_taken_for_an_error():
    async with world() as (simulator, engine):
        content = b'{"errcode": 40007, "mine": true}'
        file = SharedFile(kind="file", name="a.json", mime="application/json", content=content)
        await simulator.say("zhangsan", file=file)
        message = await engine.next()
        assert (await engine.channel.fetch(message.attachments[0], {})).content == content


async def test_voice_is_read_where_wecom_recognises_it():
    async with world() as (simulator, engine):
        voice = SharedFile(kind="audio", name="a.amr", mime="audio/amr", content=b"#!AMR\n...")
        simulator.faults.recognition = "明天天气怎么样"
        await simulator.say("zhangsan", file=voice)
        message = await engine.next()
        assert (message.kind, message.text) == (MessageKind.TEXT, "明天天气怎么样")
        assert message.attachments[0].kind == "audio"
        simulator.faults.clear()
        await simulator.say("zhangsan", file=voice)
        message = await engine.next()
        assert (message.kind, message.text) == (MessageKind.UNSUPPORTED, "语音 / voice message")


async def test_places_links_and_unknown_kinds_are_taken_honestly():
    async with world() as (simulator, engine):
        await simulator.share_location("zhangsan", "天安门", 39.9, 116.4)
        assert "天安门 (39.9" in (await engine.next()).text
        await simulator.share_link("zhangsan", "News", "of today", "https://example.org/n")
        assert (await engine.next()).text == "News\nof today\nhttps://example.org/n"
        simulator.faults.unknown_msgtype = True
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        assert (message.kind, message.text) == (MessageKind.UNSUPPORTED, "sphfeed")


async def test_who_opens_the_app_is_welcomed_once():
    async with world() as (simulator, engine):
        await simulator.subscribe("alice")
        message = await engine.next()
        assert (message.kind, message.sender.user_id) == (MessageKind.WELCOME, "alice")
        await simulator.wait_settled(await simulator.enter("alice"))
        assert engine.inbox.empty()
        await engine.answer(message, "hello")
        assert shown(simulator)[-1].text == "hello"


async def test_who_opens_the_app_every_day_is_not_greeted_every_day():
    async with world() as (simulator, engine):
        await simulator.enter("alice")
        assert (await engine.next()).kind is MessageKind.WELCOME
        notes, days = engine.channel.host.notes.kept, 24 * 3600
        for ago in (0, 2 * days, 6 * days):
            engine.known.clear()  # as the journal, which knows a message for a day
            engine.channel = await restarted(engine.channel)
            noted = notes["welcomed alice"] = str(float(notes["welcomed alice"]) - ago)
            entered = await simulator.enter("alice")
            assert (await simulator.wait_settled(entered)).status == "delivered"
            assert engine.inbox.empty()
            renewed = float(notes["welcomed alice"]) - float(noted)
            assert (renewed > days) == (ago > days), "each opening begins the seven days anew"
        engine.full = 1
        await simulator.enter("bert")
        assert (await engine.next()).sender.user_id == "bert", "noted when it is durable"


async def test_without_welcome_nobody_is_greeted():
    async with world(welcome=False) as (simulator, engine):
        await simulator.wait_settled(await simulator.enter("alice"))
        assert engine.inbox.empty()


async def test_an_entry_of_the_app_s_menu_is_as_good_as_its_words():
    async with world() as (simulator, engine):
        await simulator.click_menu("zhangsan", "/help")
        message = await engine.next()
        assert (message.kind, message.text) == (MessageKind.TEXT, "/help")


# Out


@pytest.mark.parametrize("reply", ["markdown", "text"])
async def test_a_long_answer_is_split_at_the_platform_s_bytes(reply: str):
    async with world(reply=reply) as (simulator, engine):
        text = "\n".join(f"- 第{n}条：天气晴朗，温度适宜" for n in range(150))
        await engine.answer(to(), text)
        parts = shown(simulator)
        assert len(parts) > 3
        assert {part.kind for part in parts} == {reply}
        assert max(len(part.text.encode()) for part in parts) <= 2048
        assert "\n".join(part.text for part in parts) == text


async def test_markdown_is_rendered_in_what_wecom_shows():
    text = (
        "# T\n*i* ~~s~~ `c*d*` **b**\n```py\nx = 1\n```\n![a](https://e.org/p)\n|a|b|\n|-|-|\n|1|2|"
    )
    async with world() as (simulator, engine):
        await engine.answer(to(), text)
        assert shown(simulator)[-1].text == (
            "# T\ni s `c*d*` **b**\n> x = 1\n[a](https://e.org/p)\n- **a**: 1; **b**: 2"
        )


async def test_equal_parts_of_one_answer_are_all_shown():
    async with world() as (simulator, engine):
        await engine.answer(to(), "好" * 2040)
        assert sum(len(part.text) for part in shown(simulator)) == 2040


async def test_a_repeated_send_shows_once_and_an_equal_answer_shows_again():
    async with world() as (simulator, engine):
        await engine.answer(to(), "pong", reply_id="r1")
        await engine.answer(to(), "pong", reply_id="r1")
        assert len(shown(simulator)) == 1
        await engine.answer(to(), "pong", reply_id="r2")
        await engine.answer(to("lisi"), "pong", reply_id="r3")
        assert len(shown(simulator)) == 3


async def test_an_answer_whose_receipt_was_lost_is_not_shown_twice():
    async with world() as (simulator, engine):
        await engine.channel.check()
        simulator.faults.drop_answer = 1
        with pytest.raises(SendRetryable):
            await engine.answer(to(), "hello")
        await engine.answer(to(), "hello")
        assert len(shown(simulator)) == 1


async def test_pictures_files_and_voice_are_sent_as_what_they_are():
    async with world() as (simulator, engine):
        for kind, mime, name, shown_as in (
            ("image", "image/png", "a.png", "picture"),
            ("image", "image/webp", "a.webp", "file"),
            ("file", "application/pdf", "年报.pdf", "file"),
            ("audio", "audio/amr", "a.amr", "audio"),
            ("video", "video/mp4", "a.mp4", "video"),
        ):
            ref = await engine.media.put(PNG, name=name, mime=mime)
            attachment = Attachment(kind=kind, url=ref, name=name, mime=mime)
            await engine.answer(to(), f"see {name}", reply_id=name, media=(attachment,))
            entry = shown(simulator)[-1]
            assert (entry.kind, entry.text) == (shown_as, name)
            async with engine.channel.host.egress.session.get(simulator.url + entry.url) as got:
                assert await got.read() == PNG


async def test_media_that_cannot_be_sent_is_refused_with_its_name():
    async with world() as (_, engine):
        with pytest.raises(SendRefused, match="not kept any more"):
            await engine.answer(to(), "", media=(Attachment(kind="file", url="blob:0", name="a"),))
        small = Attachment(kind="file", url="data:text/plain,hi", name="b")
        with pytest.raises(SendRefused, match="as small as 'b'"):
            await engine.answer(to(), "", media=(small,))
