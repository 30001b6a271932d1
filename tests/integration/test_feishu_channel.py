"""The Feishu channel against the simulated Feishu, which the vendor's own SDKs have proved."""

import asyncio
from typing import Any

import pytest

from ai_engine.domain.errors import PermissionMissing, SendRefused, SendRetryable
from ai_engine.domain.message import Attachment, MessageKind
from ai_engine.domain.reply import Button, Card
from ai_engine.simulators.files import SharedFile

from support.feishu import feishu_world
from support.hosts import restarted


@pytest.mark.parametrize("mode", ["webhook", "stream"])
@pytest.mark.parametrize("chat", ["private", "group"])
async def test_a_question_is_answered_where_it_was_asked(mode: str, chat: str):
    async with feishu_world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "明天有什么安排?", chat=chat)
        message = await engine.next()
        assert (message.text, message.chat.kind, message.message_id) == (
            *("明天有什么安排?", chat, asked),
        )
        await engine.answer(message, "**没有**安排")
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.via, reply.reply_to) == ("**没有**安排", "reply", asked)
        assert (await simulator.wait_settled(asked)).status == "delivered"


async def test_mentions_of_others_keep_their_names_and_the_bot_s_own_goes():
    async with feishu_world() as (simulator, engine):
        await simulator.say("zhangsan", "@AI助手 ask @李四 please", chat="group")
        assert (await engine.next()).text == "ask @李四 please"
        await simulator.say("zhangsan", "@所有人 大家好", chat="group")
        assert (await engine.next()).text == "大家好"


async def test_group_messages_without_an_at_and_messages_of_bots_are_ignored():
    async with feishu_world() as (simulator, engine):
        simulator.faults.group_messages = True
        talk = await simulator.say("lisi", "between us, @Alice Wang", chat="group", at=False)
        await simulator.wait_settled(talk)
        simulator.faults.change({"from_bot": True})
        bot = await simulator.say("lisi", "I am a bot", chat="private")
        await simulator.wait_settled(bot)
        simulator.faults.clear()
        await simulator.say("lisi", "hello")
        assert (await engine.next()).text == "hello"
        assert engine.statuses == [200, 200, 200]


async def test_forged_stale_plain_and_cut_events_do_not_get_in():
    async with feishu_world() as (simulator, engine):
        for user, knob, status in (
            ("u1", {"wrong_secret": True}, 401),
            ("u2", {"clock_skew_seconds": -400}, 403),
            ("u3", {"plain_events": True}, 401),
            ("u4", {"malformed_json": True}, 422),
            ("u5", {"old_schema": True}, 422),
        ):
            simulator.faults.clear()
            simulator.faults.change(knob)
            asked = await simulator.say(user, "hello")
            assert (await simulator.wait_settled(asked)).detail == f"HTTP {status}"
        assert engine.inbox.empty()


async def test_without_an_encrypt_key_the_token_proves_events():
    async with feishu_world(auth={"encrypt_key": ""}) as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        assert (await engine.next()).text == "hello"
        simulator.faults.wrong_secret = True
        asked = await simulator.say("zhangsan", "forged")
        assert (await simulator.wait_settled(asked)).detail == "HTTP 401"


@pytest.mark.parametrize("key", ["kudryavka", ""])
async def test_the_check_of_the_address_is_answered(key: str):
    async with feishu_world(auth={"encrypt_key": key}) as (simulator, _):
        found = await simulator.verify_address()
        assert found["answer"] == {"challenge": found["challenge"]}
        simulator.verification_token = "another"
        assert (await simulator.verify_address())["detail"] == "HTTP 401"


async def test_a_repeated_event_has_the_same_key_as_the_first():
    async with feishu_world() as (simulator, engine):
        simulator.faults.duplicate = 1
        await simulator.say("zhangsan", "once")
        first, second = await engine.next(), await engine.next()
        assert first.message_id == second.message_id


async def test_what_is_not_taken_now_comes_again():
    async with feishu_world() as (simulator, engine):
        engine.full = True
        asked = await simulator.say("zhangsan", "hello")
        assert (await simulator.wait_settled(asked)).detail == "HTTP 503"
        engine.full = False
        await simulator.resend(asked)
        assert (await engine.next()).message_id == asked


@pytest.mark.parametrize("mode", ["webhook", "stream"])
async def test_only_allowed_organisations_are_heard(mode: str):
    async with feishu_world(mode, allow_tenants=["tenant-simulated"]) as (simulator, engine):
        simulator.faults.tenant = "another"
        strange = await simulator.say("mallory", "hello")
        settled = await simulator.wait_settled(strange)
        assert settled.detail == ("HTTP 403" if mode == "webhook" else "code 200")
        simulator.faults.clear()
        await simulator.say("zhangsan", "hello")
        assert (await engine.next()).sender.tenant == "tenant-simulated"


@pytest.mark.parametrize(
    ("kind", "unreadable", "mime"),
    [
        ("picture", False, "image/png"),
        ("file", False, "application/pdf"),
        ("audio", True, "audio/ogg"),
        ("video", True, "video/mp4"),
    ],
)
async def test_files_come_with_a_reference_that_gives_their_content(
    kind: str, unreadable: bool, mime: str
):
    async with feishu_world() as (simulator, engine):
        file = SharedFile(kind=kind, name="a.bin", mime=mime, content=b"content of it")
        await simulator.say("zhangsan", file=file)
        message = await engine.next()
        assert (message.kind is MessageKind.UNSUPPORTED) is unreadable
        media = await engine.channel.fetch(message.attachments[0], message.target)
        assert (media.content, media.mime) == (b"content of it", mime)


async def test_a_file_that_is_too_large_or_no_file_of_a_message_is_refused():
    async with feishu_world() as (simulator, engine):
        content = b"x" * (engine.channel.capabilities.media_bytes_max + 1)
        file = SharedFile(kind="file", name="a", mime="text/plain", content=content)
        await simulator.say("zhangsan", file=file)
        message = await engine.next()
        with pytest.raises(SendRefused, match="more than"):
            await engine.channel.fetch(message.attachments[0], message.target)
        for ref in ("../../secret/x/file", "om_x/../file", "", "om_x/k/else"):
            with pytest.raises(SendRefused):
                await engine.channel.fetch(Attachment(kind="file", ref=ref), {})


async def test_pictures_and_files_go_out_after_the_text():
    async with feishu_world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "draw")
        media = (
            Attachment(kind="image", name="a.png", url="data:image/png;base64,aGk="),
            Attachment(kind="file", name="b.pdf", url="data:application/pdf;base64,aGk="),
        )
        await engine.answer(await engine.next(), "here", media=media)
        kinds = [entry.kind for entry in simulator.transcript.replies_to(asked)]
        assert kinds == ["markdown", "image", "file"]


async def test_a_card_has_title_fields_and_buttons_whose_values_come_back():
    card = Card(
        title="预订",
        markdown="**Room** 3",
        fields=(("Date", "Monday"),),
        buttons=(
            Button(label="OK", value={"text": "book"}, style="primary"),
            Button(label="More", url="https://example.com/"),
            Button(label="Big", value={"text": "x" * 5000}),
        ),
    )
    async with feishu_world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "book", chat="group")
        await engine.answer(await engine.next(), "Shall I?", card=card)
        entry = await simulator.wait_reply(asked)
        assert entry.title == "预订"
        assert "**Date**: Monday" in entry.text
        assert entry.buttons[1]["url"] == "https://example.com/"
        pressed = await simulator.press(entry.id, 0)
        message = await engine.next()
        assert (message.kind, message.payload) == (MessageKind.BUTTON, {"text": "book"})
        assert (message.message_id, message.chat.kind) == (pressed, "group")
        assert simulator.toasts[pressed]["toast"]["type"] == "info"
        await simulator.press(entry.id, 2, user="lisi")
        message = await engine.next()
        assert message.payload == {"text": "x" * 5000}
        assert message.sender.user_id == "ou_lisi"
        await engine.answer(message, "done")


@pytest.mark.parametrize("mode", ["webhook", "stream"])
async def test_answers_are_rated_by_buttons_and_by_reactions(mode: str):
    async with feishu_world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        await engine.answer(await engine.next(), "hi", feedback="in_1")
        entry = await simulator.wait_reply(asked)
        assert [button["label"] for button in entry.buttons] == ["👍", "👎"]
        pressed = await simulator.press(entry.id, 1)
        assert (await engine.next()).payload == {"feedback": "bad", "of": "in_1"}
        assert simulator.toasts[pressed]["toast"]["type"] == "success"
        for rating in ("good", "bad", "none"):
            await simulator.rate(entry.id, rating)
            message = await engine.next()
            assert message.kind is MessageKind.FEEDBACK
            assert message.payload == {"rating": rating, "of": "in_1", "text": ""}


async def test_without_feedback_no_thumbs_are_offered():
    async with feishu_world(feedback=False) as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        await engine.answer(await engine.next(), "hi", feedback="in_1")
        assert (await simulator.wait_reply(asked)).buttons == ()


async def test_recalls_name_the_message_and_a_first_look_is_a_welcome():
    async with feishu_world() as (simulator, engine):
        await simulator.enter("zhangsan")
        welcome = await engine.next()
        assert welcome.kind is MessageKind.WELCOME
        await engine.answer(welcome, "welcome")
        await simulator.enter("zhangsan")
        asked = await simulator.say("zhangsan", "oops")
        message = await engine.next()
        recalled = await simulator.recall(asked)
        recall = await engine.next()
        assert (recall.kind, recall.payload) == (MessageKind.RECALL, {"of": asked})
        assert (recall.message_id, recall.sender) == (recalled, message.sender)
        assert recall.chat == message.chat == welcome.chat
        await simulator.recall(await simulator.say("lisi", "unheard", chat="group", at=False))
        assert engine.inbox.empty()


async def test_what_a_message_answers_is_quoted():
    async with feishu_world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        await engine.answer(await engine.next(), "the **answer**")
        entry = await simulator.wait_reply(asked)
        await simulator.say("zhangsan", "what?", reply_to=entry.id)
        assert (await engine.next()).quote == "the answer"
        await simulator.say("zhangsan", "and?", reply_to=asked)
        assert (await engine.next()).quote == "hello"


async def test_after_a_restart_ratings_recalls_and_quotes_still_find_their_message():
    async with feishu_world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        await engine.answer(message, "hi", feedback="in_1")
        entry = await simulator.wait_reply(asked)
        engine.channel = await restarted(engine.channel)
        await simulator.rate(entry.id, "good")
        rated = await engine.next()
        assert rated.payload == {"rating": "good", "of": "in_1", "text": ""}
        assert (rated.chat, rated.target["conversation"]) == (
            message.chat,
            message.target["conversation"],
        )
        await simulator.say("zhangsan", "what?", reply_to=entry.id)
        assert (await engine.next()).quote == "hi"
        await simulator.recall(asked)
        recall = await engine.next()
        assert (recall.kind, recall.sender) == (MessageKind.RECALL, message.sender)
        assert recall.payload == {"of": asked}


async def test_an_answer_to_a_recalled_message_goes_to_its_chat():
    async with feishu_world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello", chat="group")
        message = await engine.next()
        await simulator.recall(asked)
        await engine.next()
        await engine.answer(message, "late")
        entry = await simulator.wait_reply(asked)
        assert (entry.text, entry.via, entry.chat) == ("late", "messages", "group")


async def test_an_answer_in_a_thread_stays_in_it():
    async with feishu_world() as (simulator, engine):
        simulator.faults.thread = "omt_1"
        asked = await simulator.say("zhangsan", "hello", chat="group")
        message = await engine.next()
        assert message.chat.thread == "omt_1"
        await engine.answer(message, "hi")
        assert simulator.store.present((await simulator.wait_reply(asked)).id).thread == "omt_1"


async def test_the_same_reply_sent_again_shows_once():
    async with feishu_world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        await engine.answer(message, "hi")
        simulator.faults.drop_answer = 1
        with pytest.raises(SendRetryable):
            await engine.answer(message, "again", id="r2")
        await engine.answer(message, "again", id="r2")
        texts = [entry.text for entry in simulator.transcript.replies_to(asked)]
        assert texts == ["hi", "again"]


@pytest.mark.parametrize("form", ["markdown", "text"])
async def test_a_long_answer_fits_the_platform_s_limits(form: str):
    async with feishu_world(reply=form) as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        limit = engine.channel.capabilities.text_limit
        text = '"天气"\\\n' * (limit // 9)
        await engine.answer(await engine.next(), text * 2)
        entries = simulator.transcript.replies_to(asked)
        assert len(entries) > 1
        assert sum(entry.text.count("天气") for entry in entries) == text.count("天气") * 2


async def test_a_card_that_feishu_cannot_show_is_sent_as_text():
    async with feishu_world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        simulator.faults.refuse_cards = 1
        await engine.answer(await engine.next(), "**the** words")
        entry = await simulator.wait_reply(asked)
        assert (entry.kind, entry.text) == ("text", "the words")
        simulator.faults.refuse_cards = 9
        asked = await simulator.say("zhangsan", "again")
        await engine.answer(await engine.next(), "天气。\n" * 2000, id="r2")
        texts = [entry.text for entry in simulator.transcript.replies_to(asked)]
        assert sum(text.count("天气") for text in texts) == 2000


async def test_words_mention_nobody_and_pictures_of_the_web_become_links():
    async with feishu_world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        await engine.answer(await engine.next(), "<at id=all></at> ![x](https://a.b/c.png)")
        assert (
            await simulator.wait_reply(asked)
        ).text == "＜at id=all>＜/at> [x](https://a.b/c.png)"


async def test_people_and_groups_are_written_to_by_address():
    async with feishu_world() as (simulator, engine):
        for to, chat in (("user:ou_lisi", "private"), ("group:oc_cid-group-ops", "group")):
            found = engine.channel.address(to)
            assert found.chat.kind == chat
            message = type("M", (), {})()
            message.target, message.message_id = found.target, ""
            message.sender = type("S", (), {"user_id": found.user_id})()
            await engine.answer(message, to, id=to)
        shown = [(entry.chat, entry.text) for entry in simulator.transcript.list()]
        assert shown == [("private", "user:ou_lisi"), ("group", "group:oc_cid-group-ops")]


async def test_the_person_sees_that_the_message_was_noticed():
    async with feishu_world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        await engine.channel.seen(message.target)
        assert list(simulator.messages.reactions.values()) == [(asked, "Get")]


async def test_the_directory_knows_name_department_and_manager():
    async with feishu_world() as (simulator, engine):
        profile = await engine.channel.profile("ou_zhangsan")
        assert profile is not None
        assert (profile.name, profile.manager) == ("张三", "ou_lisi")
        assert profile.departments == ("产品部 · Product",)
        assert await engine.channel.profile("ou_nobody") is None
        simulator.faults.person_hidden = True
        assert await engine.channel.profile("ou_zhangsan") is None


async def test_a_check_tells_who_the_bot_is():
    async with feishu_world() as (_, engine):
        assert "AI助手" in await engine.channel.check()


async def test_two_hundred_answers_at_once_ask_for_one_token():
    async with feishu_world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        await asyncio.gather(
            *(engine.answer(message, f"{n}", id=f"r{n}") for n in range(200)),
        )
        assert len(simulator.wire.rows(path="tenant_access_token")) == 1


async def test_a_token_that_ended_early_is_renewed_once():
    async with feishu_world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        await engine.answer(message, "one")
        simulator.faults.expired_token = 1
        await engine.answer(message, "two", id="r2")
        assert len(simulator.wire.rows(path="tenant_access_token")) == 2
        assert simulator.transcript.list()[-1].text == "two"


@pytest.mark.parametrize(
    ("knob", "wait"),
    [
        ({"throttle_after": 0, "throttle_times": 1}, 1.0),
        ({"gateway_limit": 1}, 1.0),
    ],
)
async def test_throttling_says_how_long_to_wait(knob: dict[str, Any], wait: float):
    async with feishu_world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        await engine.answer(message, "first", id="r0")
        simulator.faults.change(knob)
        with pytest.raises(SendRetryable) as caught:
            await engine.answer(message, "hi")
        assert caught.value.retry_after_seconds == wait
        await engine.answer(message, "hi")
        assert simulator.transcript.list()[-1].text == "hi"


@pytest.mark.parametrize(
    ("scope", "call"),
    [
        ("im:message:send_as_bot", "answer"),
        ("im:message.reactions:write_only", "seen"),
        ("contact:user.base:readonly", "profile"),
        ("im:message:readonly", "fetch"),
    ],
)
async def test_a_missing_right_is_named_and_shown_until_it_is_there(scope: str, call: str):
    async with feishu_world() as (simulator, engine):
        file = SharedFile(kind="file", name="a", mime="text/plain", content=b"x")
        await simulator.say("zhangsan", file=file)
        message = await engine.next()
        simulator.faults.missing_scope = scope
        calls = {
            "answer": lambda: engine.answer(message, "hi"),
            "seen": lambda: engine.channel.seen(message.target),
            "profile": lambda: engine.channel.profile("ou_zhangsan"),
            "fetch": lambda: engine.channel.fetch(message.attachments[0], message.target),
        }
        with pytest.raises(PermissionMissing) as caught:
            await calls[call]()
        assert caught.value.permission == scope
        assert f"/auth?q={scope}" in caught.value.hint
        assert scope in engine.channel.status().detail
        simulator.faults.clear()
        await calls[call]()
        assert scope not in engine.channel.status().detail


@pytest.mark.parametrize(
    ("knob", "error"),
    [
        ({"reply_code": 230006}, SendRefused),
        ({"error_burst": 9}, SendRetryable),
        ({"drop_answer": 9}, SendRetryable),
        ({"malformed_answer": 9}, SendRetryable),
    ],
)
async def test_failures_of_the_api_are_tried_again_or_refused(
    knob: dict[str, Any], error: type[Exception]
):
    async with feishu_world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        await engine.answer(message, "first", id="r0")
        simulator.faults.change(knob)
        with pytest.raises(error) as caught:
            await engine.answer(message, "hi")
        assert "s3cret" not in str(caught.value)


async def test_unknown_kinds_are_named_and_oversized_texts_are_taken():
    async with feishu_world() as (simulator, engine):
        simulator.faults.unknown_msgtype = True
        await simulator.say("zhangsan", "hello")
        assert (await engine.next()).kind is MessageKind.UNSUPPORTED
        simulator.faults.change({"unknown_msgtype": False, "oversized_bytes": 100_000})
        await simulator.say("zhangsan", "hello")
        assert len((await engine.next()).text) == 100_000


async def test_no_secret_is_in_a_log_or_a_status(caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    async with feishu_world("stream") as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        await engine.answer(await engine.next(), "hi")
        simulator.faults.missing_scope = "cardkit:card:write"
        assert await engine.channel.open_stream({"receive_id": "x"}, "k") is None
        shown = caplog.text + engine.channel.status().detail + repr(engine.channel.about)
    for secret in ("s3cret", "kudryavka", "v-token", "Bearer"):
        assert secret not in "".join(
            line for line in shown.splitlines(keepends=True) if "aiohttp" not in line
        )
