"""AI cards, buttons, events, media and the directory, against the simulated DingTalk."""

import asyncio
import base64
from contextlib import suppress
from typing import Any

import pytest

from ai_engine.channels.base import Outgoing
from ai_engine.channels.dingtalk.channel import CARDS_PAUSE_SECONDS
from ai_engine.domain.errors import (
    Malformed,
    Overloaded,
    PermissionMissing,
    SendRefused,
    SendRetryable,
)
from ai_engine.domain.message import Attachment, InboundMessage, Json, MessageKind
from ai_engine.domain.reply import Button, Card, Reply
from ai_engine.simulators.dingtalk import DingTalkSimulator
from ai_engine.simulators.files import SharedFile
from ai_engine.simulators.transcript import BOT, Entry

from support.clock import ManualClock
from support.dingtalk_world import Engine, world

CREATE = "/v1.0/card/instances/createAndDeliver"
STREAMING = "/v1.0/card/streaming"
APPROVAL = Card(
    title="请假 · Leave",
    markdown="3 days from Monday",
    fields=(("Who", "张三"),),
    buttons=(
        Button(label="同意", value={"call": "c1", "answer": "approve"}, style="primary"),
        Button(label="拒绝", value={"call": "c1", "answer": "deny"}, style="danger"),
        Button(label="详情", url="https://example.com/1"),
    ),
)


async def asked(sim: DingTalkSimulator, engine: Engine, **more: Any) -> InboundMessage:
    await sim.say("zhangsan", "hello", **more)
    return await engine.next()


def shown(sim: DingTalkSimulator) -> list[Entry]:
    return [entry for entry in sim.transcript.list() if entry.sender == BOT]


async def streamed(engine: Engine, message: InboundMessage, key: str = "k1") -> Json:
    handle = await engine.channel.open_stream(message.target, key)
    assert handle is not None
    return handle


# Streams


@pytest.mark.parametrize("mode", ["webhook", "stream"])
@pytest.mark.parametrize("chat", ["private", "group"])
async def test_an_answer_grows_in_an_ai_card_and_is_finished(mode: str, chat: str):
    async with world(mode, reply="card") as (sim, engine):
        message = await asked(sim, engine, chat=chat)
        handle = await streamed(engine, message)
        assert [entry.state for entry in shown(sim)] == ["streaming"]
        await engine.channel.update(handle, "The weather")
        assert shown(sim)[0].text == "The weather"
        await engine.channel.update(handle, "The weather is fine")
        await engine.channel.finish(handle, engine.outgoing(message, "The weather is **fine**."))
        [card] = shown(sim)
        assert (card.state, card.text, card.chat) == ("finished", "The weather is **fine**.", chat)
        assert card.conversation == message.chat.id
        frames = [row["body"] for row in sim.wire.rows(path=STREAMING)]
        assert all('"isFull":true' in body for body in frames)
        assert [('"isFinalize":true' in body) for body in frames] == [False, False, True]


async def test_the_same_key_gives_the_same_card_from_any_process():
    async with world("stream", reply="card") as (sim, engine):
        message = await asked(sim, engine)
        first = await streamed(engine, message)
        assert await streamed(engine, message) == first
        assert await streamed(engine, message, "k2") != first
        assert len(shown(sim)) == 2


async def test_a_stream_that_is_finished_twice_shows_its_text_once():
    async with world("stream", reply="card") as (sim, engine):
        message = await asked(sim, engine)
        handle = await streamed(engine, message)
        for _ in range(2):
            await engine.channel.finish(handle, engine.outgoing(message, "done"))
        assert [(entry.state, entry.text) for entry in shown(sim)] == [("finished", "done")]


async def test_a_card_whose_creation_was_not_acknowledged_is_the_one_that_is_written():
    async with world("stream", reply="card") as (sim, engine):
        message = await asked(sim, engine)
        sim.faults.drop_answer = 1
        handle = await streamed(engine, message)
        await engine.channel.finish(handle, engine.outgoing(message, "done"))
        assert [(entry.state, entry.text) for entry in shown(sim)] == [("finished", "done")]


async def test_an_answer_whose_finish_was_not_acknowledged_is_repeated_and_shows_once():
    async with world("stream", reply="card") as (sim, engine):
        message = await asked(sim, engine)
        handle = await streamed(engine, message)
        sim.faults.drop_answer = 2  # the first is repeated by the client: a PUT may be
        with pytest.raises(SendRetryable):
            await engine.channel.finish(handle, engine.outgoing(message, "done"))
        await engine.channel.finish(handle, engine.outgoing(message, "done"))
        assert [(entry.state, entry.text) for entry in shown(sim)] == [("finished", "done")]


async def test_a_card_that_takes_no_more_is_answered_by_a_message():
    async with world("stream", reply="card") as (sim, engine):
        message = await asked(sim, engine)
        handle = await streamed(engine, message)
        sim.faults.cards_gone = True
        await engine.channel.finish(handle, engine.outgoing(message, "the answer"))
        assert [entry.text for entry in shown(sim)] == ["", "the answer"]
        assert shown(sim)[1].via == "sessionWebhook"


async def test_a_card_whose_text_is_refused_ends_as_failed_and_the_answer_comes_as_a_message():
    async with world("stream", reply="card") as (sim, engine):
        message = await asked(sim, engine)
        handle = await streamed(engine, message)
        sim.faults.stream_bytes_max = 3
        await engine.channel.finish(handle, engine.outgoing(message, "a long answer"))
        assert [(entry.state, entry.text) for entry in shown(sim)] == [
            ("failed", ""),
            ("", "a long answer"),
        ]


@pytest.mark.requirement("permission:cards")
async def test_without_the_right_to_stream_the_answer_comes_as_a_message_and_the_right_is_named():
    async with world("stream", reply="card") as (sim, engine):
        message = await asked(sim, engine)
        handle = await streamed(engine, message)
        sim.faults.missing_scope = "Card.Streaming.Write"
        with pytest.raises(PermissionMissing, match=r"Card\.Streaming\.Write"):
            await engine.channel.update(handle, "par")
        await engine.channel.finish(handle, engine.outgoing(message, "the answer"))
        assert shown(sim)[-1].text == "the answer"
        assert "Card.Streaming.Write is missing" in engine.channel.status().detail
        sim.faults.clear()
        await engine.channel.update(await streamed(engine, message, "k2"), "par")
        assert "missing" not in engine.channel.status().detail


@pytest.mark.requirement("permission:instances")
async def test_without_the_right_to_make_cards_nothing_streams_and_messages_go():
    async with world("stream", reply="card") as (sim, engine):
        message = await asked(sim, engine)
        sim.faults.missing_scope = "Card.Instance.Write"
        assert await engine.channel.open_stream(message.target, "k1") is None
        await engine.answer(message, "the answer")
        assert [entry.via for entry in shown(sim)] == ["sessionWebhook"]
        assert len(sim.wire.rows(path=CREATE)) == 1, "not asked again for a while"
        assert "Card.Instance.Write" in engine.channel.status().detail
        assert "open-dev.dingtalk.com" in engine.channel.status().detail


async def test_cards_are_tried_again_after_a_pause():
    clock = ManualClock()
    async with world(reply="card") as (sim, engine):
        message = await asked(sim, engine)
        engine.channel.clock = clock
        sim.faults.card_refused = "param.templateUnpublished"
        assert await engine.channel.open_stream(message.target, "k1") is None
        sim.faults.clear()
        assert await engine.channel.open_stream(message.target, "k1") is None
        await clock.advance(CARDS_PAUSE_SECONDS)
        assert await engine.channel.open_stream(message.target, "k1") is not None


async def test_nobody_without_a_staff_id_gets_a_card():
    async with world(reply="card") as (sim, engine):
        sim.faults.no_staff_id = True
        message = await asked(sim, engine)
        assert await engine.channel.open_stream(message.target, "k1") is None
        await engine.answer(message, "the answer")
        assert shown(sim)[-1].via == "sessionWebhook"


async def test_a_text_too_long_for_a_card_goes_on_in_messages():
    async with world("stream", reply="card") as (sim, engine):
        sim.faults.stream_bytes_max = 3_000
        message = await asked(sim, engine)
        handle = await streamed(engine, message)
        text = "\n".join(f"line {n}" for n in range(600))
        await engine.channel.update(handle, text)
        assert len(shown(sim)[0].text.encode()) <= 3_000
        await engine.channel.finish(handle, engine.outgoing(message, text))
        card, *rest = shown(sim)
        assert card.state == "finished"
        assert "\n".join([card.text, *(entry.text for entry in rest)]).split() == text.split()


async def test_throttled_updates_say_when_to_go_on():
    async with world("stream", reply="card") as (sim, engine):
        message = await asked(sim, engine)
        handle = await streamed(engine, message)
        await engine.channel.update(handle, "a")
        sim.faults.qps_limit = 1

        async def many() -> None:  # two within one second are too many, whichever it is
            for n in range(4):
                await engine.channel.update(handle, f"a{n}")

        with pytest.raises(SendRetryable) as caught:
            await many()
        assert caught.value.retry_after_seconds == 1


async def test_an_expired_token_in_the_middle_of_a_stream_is_renewed_once():
    async with world("stream", reply="card") as (sim, engine):
        message = await asked(sim, engine)
        handle = await streamed(engine, message)
        sim.faults.expired_token = 1
        await engine.channel.update(handle, "still there")
        assert shown(sim)[0].text == "still there"
        assert len(sim.wire.rows(path="/v1.0/oauth2/accessToken")) == 2


async def test_200_answers_at_once_ask_for_one_token():
    async with world() as (sim, engine):
        message = await asked(sim, engine)
        target = {**message.target, "sessionWebhook": ""}
        outgoing = [engine.outgoing(message, str(n), id=f"r{n}") for n in range(200)]
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for each in outgoing:
                object.__setattr__(each, "target", target)
                group.create_task(engine.channel.send(each))
        assert len(sim.wire.rows(path="/v1.0/oauth2/accessToken")) == 1
        assert len(shown(sim)) == 200


# Whole cards


@pytest.mark.parametrize(
    "setting",
    [{"card_template_id": "own.schema#answer"}, {"auth": {"card_template_id": "x.schema"}}],
)
async def test_a_template_in_the_settings_makes_answers_cards(setting: dict[str, Any]):
    async with world("stream", **setting) as (sim, engine):
        message = await asked(sim, engine)
        handle = await streamed(engine, message)
        await engine.channel.finish(handle, engine.outgoing(message, "in a card"))
        [card] = shown(sim)
        assert (card.kind, card.text, card.state) == ("card", "in a card", "finished")
        template = "own.schema" if "card_template_id" in setting else "x.schema"
        assert f'"cardTemplateId":"{template}"' in sim.wire.rows(path=CREATE)[0]["body"]


@pytest.mark.requirement("config:card-width")
@pytest.mark.parametrize(("width", "wide"), [(750, "true"), (300, "false")])
async def test_the_width_of_cards_chooses_between_the_two_layouts_that_there_are(
    width: int, wide: str
):
    format_ = {"card_width": width}
    async with world("stream", reply="card", message_format=format_) as (sim, engine):
        await engine.answer(await asked(sim, engine), "hello")
        body = sim.wire.rows(path=CREATE)[0]["body"]
        assert f'{{\\"autoLayout\\":{wide}}}' in body


async def test_a_repeated_card_shows_once():
    async with world("stream", reply="card") as (sim, engine):
        message = await asked(sim, engine)
        for length in (10, 2_000):
            sim.faults.drop_answer = 1
            with suppress(SendRetryable):
                await engine.answer(message, "x" * length, id=f"r{length}")
            await engine.answer(message, "x" * length, id=f"r{length}")
        assert [(e.text, e.state) for e in shown(sim)] == [
            ("x" * 10, "finished"),
            ("x" * 2_000, "finished"),
        ]


# Buttons


@pytest.mark.requirement("verify:cards")
async def test_a_card_with_buttons_is_a_card_and_a_press_comes_back_over_the_stream():
    async with world("stream") as (sim, engine):
        message = await asked(sim, engine, chat="group")
        await engine.answer(message, "", card=APPROVAL)
        [card] = shown(sim)
        assert card.title == "请假 · Leave"
        assert "请假" not in card.text
        assert "3 days from Monday" in card.text
        assert [(b["label"], b["style"]) for b in card.buttons] == [
            ("同意", "primary"),
            ("拒绝", "danger"),
            ("详情", "default"),
        ]
        callback = await sim.press(card.id, 1, user="lisi")
        press = await engine.next()
        assert (press.kind, press.payload) == (MessageKind.BUTTON, {"call": "c1", "answer": "deny"})
        assert press.message_id == f"press:{callback}"
        assert (press.sender.user_id, press.chat.id) == ("lisi", message.chat.id)
        await engine.answer(press, "noted")
        assert shown(sim)[-1].text == "noted"
        assert shown(sim)[-1].via == "groupMessages"
        with pytest.raises(Malformed):
            await sim.press(card.id, 2)


async def test_a_press_comes_back_over_http_signed_and_the_address_is_registered_once():
    async with world("webhook", callback_url="here") as (sim, engine):
        message = await asked(sim, engine)
        for n in range(2):
            await engine.answer(message, "", id=f"r{n}", card=APPROVAL)
        assert len(sim.wire.rows(path="/v1.0/card/callbacks/register")) == 1
        card = shown(sim)[0]
        await sim.press(card.id, 0)
        press = await engine.next()
        assert press.payload == {"call": "c1", "answer": "approve"}
        assert press.sender.user_id == "zhangsan"
        sim.faults.wrong_secret = True
        await sim.press(card.id, 0)
        sim.faults.clear()
        sim.faults.clock_skew_seconds = -3_700
        await sim.press(card.id, 0)
        assert engine.statuses[-3:] == [200, 401, 403]
        assert engine.inbox.empty()


async def test_in_http_mode_without_a_callback_address_a_card_shows_only_its_links():
    async with world("webhook") as (sim, engine):
        await engine.answer(await asked(sim, engine), "Leave", card=APPROVAL)
        [reply] = shown(sim)
        assert reply.kind == "actionCard"
        assert "[详情](https://example.com/1)" in reply.text
        assert "同意" not in reply.text


async def test_a_streamed_answer_gets_its_buttons_when_it_is_finished():
    async with world("stream", reply="card") as (sim, engine):
        message = await asked(sim, engine)
        handle = await streamed(engine, message)
        await engine.channel.finish(
            handle, engine.outgoing(message, "text", card=APPROVAL, feedback="t1")
        )
        [card] = shown(sim)
        assert [b["label"] for b in card.buttons] == ["同意", "拒绝", "详情", "👍", "👎"]


async def test_over_http_a_streamed_answer_s_buttons_are_a_card_of_their_own():
    async with world("webhook", reply="card", callback_url="here") as (sim, engine):
        sim.faults.stream_needs_stream_callback = True
        message = await asked(sim, engine)
        handle = await streamed(engine, message)
        outgoing = engine.outgoing(message, "text", card=APPROVAL)
        for _ in range(2):
            await engine.channel.finish(handle, outgoing)
        first, second = shown(sim)
        assert [b["label"] for b in first.buttons] == ["详情"]
        assert [b["label"] for b in second.buttons] == ["同意", "拒绝"]
        await sim.press(second.id, 0)
        assert (await engine.next()).payload == {"call": "c1", "answer": "approve"}


async def test_an_answer_can_be_rated_by_the_buttons_below_it():
    async with world("stream", reply="card") as (sim, engine):
        message = await asked(sim, engine)
        await engine.answer(message, "an answer", feedback="turn1")
        card = shown(sim)[0]
        await sim.press(card.id, 1)
        assert (await engine.next()).payload == {"feedback": "bad", "of": "turn1"}
    async with world("stream", reply="card", feedback=False) as (sim, engine):
        await engine.answer(await asked(sim, engine), "an answer", feedback="turn1")
        assert shown(sim)[0].buttons == ()


async def test_a_long_value_of_a_button_comes_back_whole():
    value = {"text": "长" * 4_000, "n": 1}
    async with world("stream") as (sim, engine):
        card = Card(title="t", buttons=(Button(label="go", value=value),))
        await engine.answer(await asked(sim, engine), "", card=card)
        await sim.press(shown(sim)[0].id)
        assert (await engine.next()).payload == value


async def test_a_press_that_cannot_be_stored_is_refused_and_may_be_repeated():
    async with world("stream") as (sim, engine):
        await engine.answer(await asked(sim, engine), "", card=APPROVAL)
        card = shown(sim)[0]
        engine.full = [Overloaded("full")]
        await sim.press(card.id)
        entry = sim.transcript.get(card.id)
        assert entry is not None
        assert "was not taken" in entry.detail
        await sim.press(card.id)
        assert (await engine.next()).kind is MessageKind.BUTTON


async def test_links_of_a_card_are_an_action_card_also_when_the_session_is_over():
    links = tuple(Button(label=f"L{n}", url=f"https://example.com/{n}") for n in range(3))
    async with world() as (sim, engine):
        message = await asked(sim, engine)
        card = Card(title="Links", buttons=links)
        await engine.answer(message, "", card=card)
        sim.faults.session_webhook_expired = True
        await engine.answer(message, "", card=card)
        await engine.answer(message, "", card=Card(title="One", buttons=links[:1]))
        assert [(e.kind, e.via) for e in shown(sim)] == [
            ("actionCard", "sessionWebhook"),
            ("actionCard", "oToMessages"),
            ("actionCard", "oToMessages"),
        ]
        assert "[L2](https://example.com/2)" in shown(sim)[1].text


# Events


@pytest.mark.parametrize("mode", ["webhook", "stream"])
async def test_a_group_that_gets_the_robot_is_greeted_once(mode: str):
    async with world(mode) as (sim, engine):
        sim.faults.duplicate = 1 if mode == "webhook" else 0
        event = sim.add_to_group("lisi")
        welcome = await engine.next()
        assert (welcome.kind, welcome.chat.kind) == (MessageKind.WELCOME, "group")
        assert (welcome.sender.user_id, welcome.message_id) == ("lisi", f"event:{event}")
        if mode == "webhook":
            assert (await engine.next()).message_id == welcome.message_id
        await engine.answer(welcome, "hello, group")
        assert shown(sim)[-1].via == "groupMessages"
    async with world(mode, welcome=False) as (sim, engine):
        sim.add_to_group("lisi")
        await asked(sim, engine)
        assert engine.inbox.empty()


@pytest.mark.parametrize("mode", ["webhook", "stream"])
async def test_other_events_are_acknowledged_and_mean_nothing(mode: str):
    async with world(mode) as (sim, engine):
        sim.push_event("user_add_org", {"userId": ["u1"]})
        await _until(lambda: _taken(sim, mode))
        assert engine.inbox.empty()


def _taken(sim: DingTalkSimulator, mode: str) -> bool:
    if mode == "webhook":
        return "taken" in sim.events.outcomes.values()
    return any("SUCCESS" in row["body"] for row in sim.wire.rows(direction="frame-in"))


async def test_an_event_that_cannot_be_stored_is_asked_for_again():
    async with world("stream") as (sim, engine):
        engine.full = [Overloaded("full")]
        event = sim.add_to_group("lisi")
        assert (await engine.next()).message_id == f"event:{event}"
        assert any("LATER" in row["body"] for row in sim.wire.rows(direction="frame-in"))


async def test_forged_stale_and_cut_events_do_not_get_in():
    async with world() as (sim, engine):
        knobs: tuple[Json, ...] = (
            {"wrong_secret": True},
            {"clock_skew_seconds": -3_700.0},
            {"malformed_json": True},
        )
        for knob in knobs:
            seen = len(engine.statuses)
            sim.faults.change(knob)
            sim.add_to_group("lisi")
            await _until(lambda seen=seen: len(engine.statuses) > seen)
            sim.faults.clear()
        assert engine.statuses == [401, 403, 422]
        assert engine.inbox.empty()


async def _until(true: Any) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0)


# Media, reactions, people


async def test_a_picture_is_fetched_and_a_file_above_the_limit_is_not():
    async with world() as (sim, engine):
        file = SharedFile(kind="picture", name="a.png", mime="image/png", content=b"\x89PNG" * 9)
        await sim.say("zhangsan", file=file)
        message = await engine.next()
        [picture] = message.attachments
        found = await engine.channel.fetch(picture, message.target)
        assert (found.kind, found.content, found.mime) == ("image", b"\x89PNG" * 9, "image/png")
        with pytest.raises(SendRefused):
            await engine.channel.fetch(Attachment(kind="image", ref="unknown"), message.target)
        object.__setattr__(engine.channel.capabilities, "media_bytes_max", 10)
        with pytest.raises(SendRefused, match="more than 10 bytes"):
            await engine.channel.fetch(picture, message.target)


@pytest.mark.parametrize("chat", ["private", "group"])
async def test_pictures_and_files_are_sent(chat: str):
    async with world() as (sim, engine):
        message = await asked(sim, engine, chat=chat)
        data = base64.b64encode(b"\x89PNG").decode()
        media = (
            Attachment(kind="image", name="a.png", url=f"data:image/png;base64,{data}"),
            Attachment(kind="file", name="plan.pdf", url="data:application/pdf,hello"),
        )
        await engine.answer(message, "here", media=media)
        assert [(e.kind, e.text) for e in shown(sim)] == [
            ("markdown", shown(sim)[0].text),
            ("image", shown(sim)[1].text),
            ("file", "plan.pdf"),
        ]
        assert sim.shelf.get(shown(sim)[2].url.removeprefix("/files/")) is not None


async def test_media_that_cannot_be_uploaded_shows_nothing_so_that_a_repetition_is_no_double():
    async with world() as (sim, engine):
        message = await asked(sim, engine)
        sim.faults.error_burst = 1
        media = (Attachment(kind="file", name="a.txt", url="data:text/plain,x"),)
        with pytest.raises(SendRetryable):
            await engine.answer(message, "here", media=media)
        assert shown(sim) == []
        await engine.answer(message, "here", media=media)
        assert [e.kind for e in shown(sim)] == ["markdown", "file"]


async def test_the_person_sees_that_the_robot_is_at_work():
    async with world() as (sim, engine):
        message = await asked(sim, engine)
        await engine.channel.seen(message.target)
        assert sim.contact.reactions == {message.message_id: ["👀收到"]}


async def test_people_are_known_by_the_directory():
    async with world() as (sim, engine):
        found = await engine.channel.profile("zhangsan")
        assert found is not None
        assert (found.name, found.email, found.manager) == (
            *("张三", "zhangsan@example.com", "lisi"),
        )
        assert found.departments == ("产品部 · Product",)
        assert await engine.channel.profile("nobody") is None
        sim.faults.missing_scope = "qyapi_get_department_list"
        partly = await engine.channel.profile("zhangsan")
        assert partly is not None
        assert partly.departments == ()
        sim.faults.missing_scope = "qyapi_get_member"
        with pytest.raises(PermissionMissing) as caught:
            await engine.channel.profile("zhangsan")
        assert caught.value.permission == "qyapi_get_member"
        assert "qyapi_get_member" in engine.channel.status().detail
        sim.faults.clear()
        sim.faults.expired_token = 1
        assert await engine.channel.profile("alice") is not None


async def test_the_live_check_tells_good_credentials_from_bad_ones():
    async with world() as (_, engine):
        assert "dingapp" in await engine.channel.check()
    async with world(auth={"app_secret": "wrong"}) as (_, engine):
        with pytest.raises(SendRefused, match=r"auth\.app_secret"):
            await engine.channel.check()


async def test_people_and_groups_are_written_to_by_address():
    async with world() as (sim, engine):
        group = sim.directory.group().id
        for to, via in (("user:lisi", "oToMessages"), (f"group:{group}", "groupMessages")):
            address = engine.channel.address(to)
            await engine.channel.send(_to(address.target))
            assert shown(sim)[-1].via == via
        assert shown(sim)[0].conversation == sim.directory.private("lisi").id
        for wrong in ("lisi", "user:", "room:1"):
            with pytest.raises(Malformed):
                engine.channel.address(wrong)


def _to(target: Json) -> Outgoing:
    return Outgoing(
        reply=Reply(id="p1", text="psst"),
        target=target,
        in_reply_to="",
        inbound_id="",
        session_key="k",
        user_id="lisi",
    )


async def test_messages_of_other_organisations_are_left_alone(caplog: pytest.LogCaptureFixture):
    async with world(allow_tenants=["another"]) as (sim, engine):
        settled = await sim.wait_settled(await sim.say("zhangsan", "hello"))
        assert settled.status == "delivered"
        assert engine.inbox.empty()
        assert "allow_tenants" in caplog.text
