"""WeCom's XML, messages, markdown and cards."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.channels.about import problems
from ai_engine.channels.wecom import allowance, cards, codec, markup, parsing
from ai_engine.channels.wecom.about import ABOUT
from ai_engine.channels.wecom.channel import build
from ai_engine.channels.wecom.compose import compose
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Malformed, SendRetryable, TooLarge
from ai_engine.domain.message import InboundMessage, MessageKind
from ai_engine.domain.reply import Button, Card, Reply
from ai_engine.simulators.wecom.codec import xml

from support.clock import ManualClock
from support.hosts import MemoryMedia, MemoryNotes, make_host

TEXT = {
    "ToUserName": "ww1",
    "FromUserName": "zhangsan",
    "CreateTime": "1700000000",
    "MsgType": "text",
    "Content": "hello",
    "MsgId": "123",
    "AgentID": "1000002",
}
EVENT = {**TEXT, "MsgType": "event", "MsgId": "", "Content": ""}


def decode(**changes: str) -> InboundMessage | None:
    return codec.decode({**TEXT, **changes}, "wecom", 5.0)


# XML


def test_text_is_read_whatever_stands_in_it():
    words = "a ]]> b <c> & 你好 \U0001f600 \n"
    assert parsing.fields(xml({"Content": words, "N": 7}).encode()) == {"Content": words, "N": "7"}


def test_deeper_elements_are_passed_over():
    data = b"<xml><A>1<B>2</B>3</A><C><D>4</D></C></xml>"
    assert parsing.fields(data) == {"A": "13", "C": ""}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<xml>",
        b"<other/>",
        b"<xml><A>1</A><A>2</A></xml>",
        b"<!DOCTYPE xml><xml/>",
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xml><A>&e;</A></xml>',
        b'<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><xml><A>&b;</A></xml>',
        b"<xml><A>&undefined;</A></xml>",
        b"<xml>" + b"<a>" * 20 + b"</a>" * 20 + b"</xml>",
        b"<xml>" + b"".join(b"<a%d/>" % n for n in range(600)) + b"</xml>",
        b"<xml><A>\xff\xfe</A></xml>",
        b"<xml><A>\x00</A></xml>",
    ],
)
def test_xml_that_is_none_or_dangerous_is_refused(data: bytes):
    with pytest.raises(Malformed):
        parsing.fields(data)


def test_too_much_xml_is_refused():
    with pytest.raises(TooLarge):
        parsing.fields(b"<xml><A>" + b"x" * parsing.BYTES_MAX + b"</A></xml>")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_break_the_reader(data: bytes):
    for body in (data, b"<xml>" + data + b"</xml>", b"<xml><A>" + data + b"</A></xml>"):
        with suppress(Malformed):
            assert isinstance(parsing.fields(body), dict)


@given(
    st.dictionaries(st.sampled_from([*TEXT, "Event", "EventKey", "MediaId"]), st.text()),
    st.sampled_from(["text", "image", "voice", "event", "location", "link", ""]),
    st.sampled_from(["enter_agent", "template_card_event", "click", "view", ""]),
)
def test_no_fields_break_the_decoder(found: dict[str, str], kind: str, event: str):
    with suppress(Malformed):
        message = codec.decode({**found, "MsgType": kind, "Event": event}, "wecom", 0.0)
        assert message is None or message.message_id


# Messages


def test_a_text_has_sender_chat_key_and_an_address_to_answer_to():
    message = decode(Content=" hi ")
    assert message is not None
    assert (message.text, message.message_id, message.received_at) == ("hi", "123", 5.0)
    assert message.target == {"user": "zhangsan", "conversation": "zhangsan"}


@pytest.mark.parametrize("name", ["MsgType", "FromUserName", "MsgId", "Content"])
def test_a_message_without_what_it_needs_is_malformed(name: str):
    with pytest.raises(Malformed, match=rf"\$\.{name}"):
        decode(**{name: ""})


@pytest.mark.parametrize("kind", ["image", "voice", "video", "shortvideo", "file"])
def test_media_without_an_id_are_malformed(kind: str):
    with pytest.raises(Malformed, match="MediaId"):
        decode(MsgType=kind)
    message = decode(MsgType=kind, MediaId="m1")
    assert message is not None
    assert message.attachments[0].ref == "m1"


@pytest.mark.parametrize(
    "event", ["view", "location", "unsubscribe", "change_contact", "click", "batch_job_result"]
)
def test_events_that_nobody_waits_for_are_passed_over(event: str):
    assert decode(**{**EVENT, "Event": event, "EventKey": ""}) is None


def test_a_repeated_event_has_the_same_key_and_another_press_has_not():
    press = {**EVENT, "Event": "template_card_event", "TaskId": "t", "EventKey": "a"}
    key = codec.message_key(press)
    assert codec.message_key({**press, "ResponseCode": "other"}) == key
    for changed in ({"EventKey": "b"}, {"TaskId": "u"}, {"CreateTime": "2"}, {"FromUserName": "x"}):
        assert codec.message_key({**press, **changed}) != key


# Markdown


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("**b** [l](https://e.org)", "**b** [l](https://e.org)"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("`a*b*c`", "`a*b*c`"),
        ("```\n*kept*\n```", "> *kept*"),
        ("![](https://e.org/p)", "[https://e.org/p](https://e.org/p)"),
        ("a\x00b\ud800", "ab�"),
    ],
)
def test_markdown_becomes_what_wecom_shows(given_: str, shown: str):
    assert markup.words(given_, "markdown") == shown


def test_text_for_people_has_no_marks():
    assert markup.words("**b** `c`", "text") == "b c"


# Cards


async def test_a_card_s_task_id_is_the_same_for_the_same_reply_and_always_fits():
    card = Card(title="T", buttons=(Button(label="B", value={}),))
    first, again, odd = [
        (await cards.render(card, reply, MemoryMedia())).cards[0]["task_id"]
        for reply in ("r_1", "r_1", "回复/" * 50)
    ]
    assert first == again == "r_1-0"
    assert len(odd) <= 128
    assert odd.replace("-", "").isalnum()


@given(st.text(), st.text(), st.lists(st.tuples(st.text(), st.text()), max_size=8))
async def test_no_card_breaks_the_renderer(title: str, body: str, fields: list[tuple[str, str]]):
    for buttons in (
        (),
        (Button(label="B", value={"a": 1}),),
        (Button(label="L", url="https://e"),),
    ):
        card = Card(title=title, markdown=body, fields=tuple(fields), buttons=buttons)
        found = await cards.render(card, "r", MemoryMedia())
        assert len(found.cards) == (1 if buttons else 0)


async def test_what_is_pressed_is_what_was_offered_and_strange_keys_stand_for_themselves():
    media = MemoryMedia()
    for key in ("", "x", "[1]", '{"v": 1, "l": "a"}', '{"v": {}}'):
        found = await cards.pressed(key, media)
        assert found is not None
        assert (found.value, found.label) == ({"key": key}, "")
    assert await cards.pressed("blob:gone", media) is None


# What a member may get


async def test_a_member_s_minute_is_full_after_thirty_and_free_again_later():
    clock = ManualClock()
    room = allowance.Allowance(clock, MemoryNotes())
    await room.take("u", 29)
    with pytest.raises(SendRetryable) as error:
        await room.take("u", 2)
    assert error.value.retry_after_seconds == 60.0
    await room.take("u", 1)
    await room.take("v", 30)
    await clock.advance(60)
    await room.take("u", 100)


async def test_a_member_s_minute_is_still_full_after_a_restart():
    clock, notes = ManualClock(), MemoryNotes()
    room = allowance.Allowance(clock, notes)
    await room.take("u", 20)
    await clock.advance(40)
    await room.take("u", 9)
    again = allowance.Allowance(clock, notes)
    assert await again.left("u") == 1
    with pytest.raises(SendRetryable) as error:
        await again.take("u", 2)
    assert error.value.retry_after_seconds == pytest.approx(20.0, abs=0.1)
    await clock.advance(20.1)
    assert await again.left("u") == 21
    await again.take("u", 21)


async def test_an_hour_has_at_most_a_thousand():
    clock = ManualClock()
    room = allowance.Allowance(clock, MemoryNotes())
    taken = 0
    for _ in range(59):
        for _ in range(30):
            try:
                await room.take("u", 1)
            except SendRetryable:
                break
            taken += 1
        await clock.advance(61)
        if taken >= 500:
            break
    assert taken == 510


def test_a_message_is_compared_unless_another_had_the_same_words():
    clock = ManualClock()
    repeats = allowance.Repeats(clock)
    assert repeats.may_compare("u", b"pong", "r1")
    assert repeats.may_compare("u", b"pong", "r1")
    assert not repeats.may_compare("u", b"pong", "r2")
    assert repeats.may_compare("v", b"pong", "r3")
    assert repeats.may_compare("u", b"ping", "r4")


# Settings


@pytest.mark.parametrize("name", ["corp_id", "agent_id", "secret", "token", "aes_key"])
def test_a_missing_setting_is_named(name: str):
    auth: dict[str, Any] = {
        "corp_id": "ww1",
        "agent_id": "1",
        "secret": "s",
        "token": "t",
        "aes_key": "A" * 43,
    }
    full = ChannelConfig.model_validate({"auth": auth})
    assert problems(ABOUT, full) == []
    found = problems(ABOUT, ChannelConfig.model_validate({"auth": {**auth, name: ""}}))
    assert len(found) == 1
    assert f"auth.{name}" in found[0]


def test_senseless_settings_are_named():
    config = ChannelConfig.model_validate(
        {"mode": "stream", "auth": {"agent_id": "app"}, "reply": "card", "endpoints": {"ws": "x"}}
    )
    detail = build("wecom", config, make_host()).status().detail
    for said in ("agent_id must be a number", "mode: stream", "reply:", "endpoints.ws"):
        assert said in detail


def test_kinds_that_are_unknown_are_named():
    message = decode(MsgType="sphfeed")
    assert message is not None
    assert (message.kind, message.text) == (MessageKind.UNSUPPORTED, "sphfeed")


async def test_what_the_text_has_said_the_card_does_not_say_again():
    card = Card(title="Added: tea", fields=(("When", "15:00"), ("Days", "2")))
    reply = Reply(id="r1", text="**Added: tea**\n\n- When: 15:00, 2 cups")
    found = await compose(
        replace(reply, card=card), "markdown", MemoryMedia(), rating=False, group=False
    )
    words = "".join(body["markdown"]["content"] for body in found.before)
    assert (words.count("Added: tea"), words.count("15:00"), words.count("Days")) == (1, 1, 1)
