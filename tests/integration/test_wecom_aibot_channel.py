"""The WeCom AI bot channel against the simulated WeCom, which the vendor's own SDKs have proved."""

import asyncio
from typing import Any

import pytest

from ai_engine.channels.wecom_aibot import pull
from ai_engine.domain.errors import SendRefused, SendRetryable
from ai_engine.domain.message import MessageKind
from ai_engine.domain.reply import Button, Card, Reply

from support.wecom_aibot import posted_streams, world

BOTH = pytest.mark.parametrize("mode", ["webhook", "stream"])


@BOTH
@pytest.mark.parametrize("chat", ["private", "group"])
async def test_a_question_is_answered_where_it_was_asked(mode: str, chat: str):
    async with world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "明天有什么安排?", chat=chat)
        message = await engine.next()
        assert (message.text, message.chat.kind) == ("明天有什么安排?", chat)
        assert message.sender.user_id == "zhangsan"
        await engine.answer(message, "**没有**安排")
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.state, reply.chat) == ("**没有**安排", "finished", chat)
        assert posted_streams(simulator) == 0


@BOTH
async def test_the_answer_grows_in_the_chat_and_is_then_finished(mode: str):
    async with world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "tell me a story")
        message = await engine.next()
        handle = await engine.channel.open_stream(message.target, "turn-1")
        assert handle is not None
        assert handle == await engine.channel.open_stream(message.target, "turn-2")
        await engine.channel.update(handle, "Once upon")
        entry = await simulator.wait_reply(asked, unfinished=True)
        async with asyncio.timeout(5):
            while (entry := simulator.transcript.get(entry.id)).text != "Once upon":
                await asyncio.sleep(0)
        assert entry.state == "streaming"
        reply = Reply(id="r0", text="Once upon a time.", stream=handle)
        engine.committed[message.message_id] = [reply]
        await engine.channel.finish(handle, engine.outgoing(message, reply))
        await engine.channel.finish(handle, engine.outgoing(message, reply))
        found = await simulator.wait_reply(asked)
        assert (found.text, found.state) == ("Once upon a time.", "finished")
        assert [e.sender for e in simulator.transcript.list()].count("bot") == 1


async def test_a_restarted_process_answers_what_the_journal_holds():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        await simulator.wait_reply(asked, unfinished=True)
        engine.channel._pull.slots._slots.clear()
        engine.committed[message.message_id] = [
            Reply(id="r0", text="first part", final=False),
            Reply(id="r1", text="second part"),
        ]
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.state) == ("first part\n\nsecond part", "finished")
        for part in engine.committed[message.message_id]:
            await engine.channel.send(engine.outgoing(message, part))
        assert posted_streams(simulator) == 0


async def test_a_message_that_is_handled_without_an_answer_ends_its_stream():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        engine.committed[(await engine.next()).message_id] = []
        reply = await simulator.wait_reply(asked)
        assert (reply.text, reply.state) == ("", "finished")


async def test_parts_of_a_long_answer_are_joined_and_the_rest_goes_to_the_reply_address():
    async with world() as (simulator, engine):
        asked = await simulator.say("zhangsan", "long")
        message = await engine.next()
        limit = engine.channel.capabilities.text_limit
        await engine.answer(message, "短", "长" * (limit // 3), "尾" * 200, "完")
        replies = simulator.transcript.replies_to(asked)
        assert [reply.via for reply in replies] == ["callback", "response_url"]
        assert replies[0].text + replies[1].text == (
            f"短\n\n{'长' * (limit // 3)}{'尾' * 200}\n\n完"
        )


async def test_what_is_longer_than_both_messages_is_refused_not_lost_silently():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "long")
        parts = ["长" * 6_000] * 3
        with pytest.raises(SendRefused, match="longer than the two messages"):
            await engine.answer(await engine.next(), *parts)


async def test_over_the_websocket_long_answers_go_on_in_further_messages():
    async with world("stream") as (simulator, engine):
        asked = await simulator.say("zhangsan", "long")
        message = await engine.next()
        await engine.answer(message, "长" * 6_000, "短", "尾")
        entries = [e for e in simulator.transcript.list() if e.sender == "bot"]
        assert [e.via for e in entries] == ["respond_msg", "send_msg", "send_msg"]
        assert [len(e.text) for e in entries] == [6_000, 1, 1]
        assert entries[0].reply_to == asked


@BOTH
async def test_a_single_reply_that_grew_over_the_limit_is_still_sent_whole(mode: str):
    async with world(mode) as (simulator, engine):
        await simulator.say("zhangsan", "long")
        text = "长短" * 5_000
        await engine.answer(await engine.next(), text)
        texts = [e.text for e in simulator.transcript.list() if e.sender == "bot"]
        assert "".join(texts) == text


@pytest.mark.parametrize("knob", [{"no_polls": True}, {"stream_seconds": 0.0}])
async def test_an_answer_that_wecom_does_not_fetch_goes_to_the_reply_address(
    knob: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pull, "QUIET_SECONDS_MAX", 0.05)
    async with world() as (simulator, engine):
        simulator.faults.change(knob)
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        await simulator.wait_reply(asked, unfinished=True)
        await engine.answer(message, "late but there", "and more")
        found = simulator.transcript.replies_to(asked)[-1]
        assert (found.text, found.via) == ("late but there\n\nand more", "response_url")


async def test_a_stream_that_is_too_old_is_not_waited_for():
    async with world() as (simulator, engine):
        simulator.faults.no_polls = True
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        message.target["at"] -= pull.STREAM_SECONDS_MAX
        await engine.answer(message, "after a while")
        assert simulator.transcript.replies_to(asked)[-1].via == "response_url"
        assert await engine.channel.open_stream(message.target, "k") is None


@pytest.mark.parametrize(
    ("age", "knob", "said"),
    [
        (4_000, {}, "no way to write"),
        (400, {"response_url_seconds": 0}, "errcode 60140"),
        (400, {"expired_token": 1}, "errcode 60140"),
        (400, {"reply_errcode": 45002}, "errcode 45002"),
    ],
)
async def test_an_expired_reply_address_is_said(age: float, knob: dict[str, Any], said: str):
    async with world() as (simulator, engine):
        simulator.faults.change({"no_polls": True, **knob})
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        message.target["at"] -= age
        with pytest.raises(SendRefused, match=said):
            await engine.answer(message, "too late")


@pytest.mark.parametrize(
    "knob",
    [
        {"throttle_after": 0, "throttle_times": 1},
        {"error_burst": 1},
        {"drop_answer": 1},
        {"malformed_answer": 1},
    ],
)
async def test_what_may_pass_at_the_reply_address_is_tried_again(knob: dict[str, Any]):
    async with world() as (simulator, engine):
        simulator.faults.change({"no_polls": True, **knob})
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        message.target["at"] -= 400
        with pytest.raises(SendRetryable) as caught:
            await engine.answer(message, "hi")
        if "throttle_after" in knob:
            assert caught.value.retry_after_seconds == 20


async def test_throttled_answers_wait_and_keep_their_order():
    async with world("stream") as (simulator, engine):
        asked = await simulator.say("zhangsan", "hello")
        message = await engine.next()
        simulator.faults.change({"throttle_after": 1, "throttle_times": 1})
        parts = [Reply(id="r0", text="one", final=False), Reply(id="r1", text="two")]
        engine.committed[message.message_id] = parts
        first, second = (engine.outgoing(message, part) for part in parts)
        await engine.channel.send(first)
        with pytest.raises(SendRetryable) as caught:
            await engine.channel.send(second)
        assert caught.value.retry_after_seconds == 20
        await engine.channel.send(second)
        texts = [e.text for e in simulator.transcript.list() if e.sender == "bot"]
        assert texts == ["one", "two"]
        assert simulator.transcript.replies_to(asked)[0].text == "one"


async def test_thirty_messages_a_minute_are_the_limit_of_one_chat():
    async with world("stream") as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        simulator.faults.chat_per_minute = 3
        with pytest.raises(SendRetryable):
            await engine.answer(message, "1", "2", "3", "4")
        assert engine.channel.capabilities.sends_per_second == 0.5


@pytest.mark.parametrize("code", [846608, 846605, 40058])
async def test_a_websocket_stream_that_cannot_be_finished_is_sent_as_a_message(code: int):
    async with world("stream") as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        handle = await engine.channel.open_stream(message.target, "k")
        assert handle is not None
        await engine.channel.update(handle, "so f")
        simulator.faults.stream_seconds = 0.0
        if code == 846605:
            message.target["req_id"] = "gone"
        reply = Reply(id="r0", text="so far so good", stream=handle)
        await engine.channel.finish(handle, engine.outgoing(message, reply))
        entries = [e for e in simulator.transcript.list() if e.sender == "bot"]
        assert (entries[-1].text, entries[-1].via) == ("so far so good", "send_msg")
        with pytest.raises(SendRefused):
            await engine.channel.update(handle, "more")


async def test_an_answer_after_a_day_is_pushed():
    async with world("stream") as (simulator, engine):
        await simulator.say("lisi", "hello", chat="group")
        message = await engine.next()
        message.target["at"] -= 90_000
        await engine.answer(message, "at last")
        entry = simulator.transcript.list()[-1]
        assert (entry.text, entry.via, entry.chat) == ("at last", "send_msg", "group")


@BOTH
async def test_a_card_has_its_buttons_and_a_press_comes_back_with_the_value(mode: str):
    async with world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "delete it")
        message = await engine.next()
        big = {"call": "c2", "why": "长" * 600}
        card = Card(
            title="Approve?",
            markdown="**Delete** the file",
            fields=(("Who", "张三"),),
            buttons=(
                Button(label="同意", value={"call": "c1", "answer": "approve"}, style="primary"),
                Button(label="拒绝", value=big, style="danger"),
                Button(label="详情", url="https://example.com/x"),
            ),
        )
        await engine.answer(message, Reply(id="r0", text="Please decide.", card=card))
        entries = [e for e in simulator.transcript.list() if e.card is not None]
        entry = entries[-1]
        assert entry.card is not None
        assert entry.card["title"] == "Approve?"
        assert entry.card["fields"] == [["Who", "张三"], ["🔗", "详情"]]
        assert (await simulator.wait_reply(asked)).text == "Please decide."
        await simulator.press(entry.id, 1)
        pressed = await engine.next()
        assert (pressed.kind, pressed.payload) == (MessageKind.BUTTON, big)
        assert pressed.sender.user_id == "zhangsan"
        async with asyncio.timeout(5):
            while len((entry := simulator.transcript.get(entry.id)).buttons) != 1:
                await asyncio.sleep(0)
        assert entry.buttons[0]["label"] == "✓ 拒绝"
        await engine.answer(pressed, Reply(id="r9", text="Not deleted."))
        last = simulator.transcript.list()[-1]
        assert (last.text, last.via) == (
            "Not deleted.",
            "response_url" if mode == "webhook" else "send_msg",
        )
        await simulator.press(entry.id, 0)
        await simulator.say("zhangsan", "next")
        assert (await engine.next()).text == "next", "the mark of a choice is no button"


async def test_a_question_after_a_press_is_asked_as_a_card():
    async with world() as (simulator, engine):
        await simulator.say("zhangsan", "x")
        card = Card(title="1", buttons=(Button(label="go", value={"n": 1}),))
        await engine.answer(await engine.next(), Reply(id="r0", text="1", card=card))
        entry = next(e for e in simulator.transcript.list() if e.card)
        await simulator.press(entry.id)
        again = Card(title="2", buttons=(Button(label="on", value={"n": 2}),))
        await engine.answer(await engine.next(), Reply(id="r1", text="Sure?", card=again))
        last = simulator.transcript.list()[-1]
        assert last.card == {"title": "2", "markdown": "Sure?", "fields": []}
        assert last.via == "response_url"


@BOTH
async def test_a_card_that_only_leads_elsewhere_is_a_notice(mode: str):
    async with world(mode) as (simulator, engine):
        await simulator.say("zhangsan", "x")
        links = tuple(Button(label=f"l{n}", url=f"https://example.com/{n}") for n in range(4))
        card = Card(title="News", image_url="https://example.com/i.png", buttons=links)
        await engine.answer(await engine.next(), Reply(id="r0", text="See", card=card))
        entry = next(e for e in simulator.transcript.list() if e.card)
        assert [b["url"] for b in entry.buttons] == [b.url for b in links[:3]]
        texts = "".join(e.text for e in simulator.transcript.list())
        assert "https://example.com/3" in texts


@BOTH
async def test_a_card_without_buttons_is_shown_in_the_text(mode: str):
    async with world(mode) as (simulator, engine):
        asked = await simulator.say("zhangsan", "x")
        card = Card(title="Weather", fields=(("Beijing", "sunny"),))
        await engine.answer(await engine.next(), Reply(id="r0", text="Here:", card=card))
        assert (await simulator.wait_reply(asked)).text == (
            "Here:\n\n**Weather**\n\n- Beijing: sunny"
        )


@BOTH
async def test_replies_as_text_have_no_marks_and_no_cards(mode: str):
    async with world(mode, reply="text") as (simulator, engine):
        asked = await simulator.say("zhangsan", "x")
        card = Card(title="T", buttons=(Button(label="go", value={"n": 1}),))
        await engine.answer(await engine.next(), Reply(id="r0", text="**bold**", card=card))
        assert (await simulator.wait_reply(asked)).text.startswith("bold\n\nT")
        assert not any(e.card for e in simulator.transcript.list())
