"""WeCom AI bots: bodies as messages, replies as answers."""

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_engine.channels.wecom_aibot import cards, client, codec, events, render
from ai_engine.channels.wecom_aibot.slots import Slots
from ai_engine.channels.wecom_aibot.stream import NO_STREAM, stream_over
from ai_engine.domain.errors import Malformed, SendRetryable
from ai_engine.domain.message import ChatKind, MessageKind
from ai_engine.domain.reply import Button, Card, Reply

from support.clock import ManualClock
from support.hosts import MemoryMedia, make_host

NOW = 1_700_000_000.0


def body(**changes):
    return {
        "msgid": "M1",
        "aibotid": "B1",
        "chattype": "single",
        "from": {"userid": "zhangsan"},
        "response_url": "https://qyapi.weixin.qq.com/cgi-bin/aibot/response?response_code=C",
        "msgtype": "text",
        "text": {"content": "hello"},
        **changes,
    }


def event(kind, **part):
    return body(msgtype="event", event={"eventtype": kind, kind: part})


def decode(given_body, req_id=""):
    return codec.decode(given_body, "wecom_aibot", NOW, req_id)


def test_a_private_question():
    message = decode(body(), "R1")
    assert message is not None
    assert (message.message_id, message.text, message.kind) == ("M1", "hello", MessageKind.TEXT)
    assert (message.chat.kind, message.chat.id) == (ChatKind.PRIVATE, "zhangsan")
    assert message.sender.platform == "wecom_aibot"
    assert message.target == {
        "conversation": "zhangsan",
        "chat_type": 1,
        "message_id": "M1",
        "at": NOW,
        "event": "",
        "req_id": "R1",
        "response_url": "https://qyapi.weixin.qq.com/cgi-bin/aibot/response?response_code=C",
    }


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("@Helper how much leave?", "how much leave?"),
        ("@AI 助手\u2005请假", "请假"),
        ("  @Helper\n\nlines\nstay", "lines\nstay"),
        ("@Helper", ""),
        ("ask @Li about it", "ask @Li about it"),
        ("@Helper ask @Li\u2005now", "ask @Li\u2005now"),
        ("mail a@b.cn", "mail a@b.cn"),
    ],
)
def test_in_a_group_the_leading_mention_of_the_robot_goes(said, text):
    message = decode(body(chattype="group", chatid="C1", text={"content": said}))
    assert message is not None
    assert (message.chat.kind, message.chat.id) == (ChatKind.GROUP, "C1")
    assert message.text == text
    assert message.target["chat_type"] == 2


def test_in_a_private_chat_a_leading_name_stays():
    message = decode(body(text={"content": "@Li is who?"}))
    assert message is not None
    assert message.text == "@Li is who?"


def test_what_the_robot_wrote_itself_is_ignored():
    assert decode(body(**{"from": {"userid": "B1"}})) is None


def test_pictures_files_and_mixed_contents_come_with_their_reference():
    part = {"url": "https://x/1", "aeskey": "k"}
    for kind in ("image", "file"):
        message = decode(body(msgtype=kind, **{kind: part}))
        assert message is not None
        assert (message.kind, message.text) == (MessageKind.TEXT, "")
        assert message.attachments[0].kind == kind
        assert json.loads(message.attachments[0].ref) == part
    items = [
        {"msgtype": "text", "text": {"content": "@Bot look"}},
        {"msgtype": "image", "image": part},
        {"msgtype": "text", "text": {"content": "please"}},
        {"msgtype": "later"},
    ]
    mixed = body(msgtype="mixed", mixed={"msg_item": items}, chattype="group", chatid="C")
    message = decode(mixed)
    assert message is not None
    assert message.text == "look\nplease"
    assert len(message.attachments) == 1


@pytest.mark.parametrize(
    ("quote", "text", "files"),
    [
        ({"msgtype": "text", "text": {"content": "five"}}, "five", 0),
        ({"msgtype": "voice", "voice": {"content": "spoken"}}, "spoken", 0),
        ({"msgtype": "image", "image": {"url": "https://x"}}, "图片 / picture", 1),
        ({"msgtype": "mixed", "mixed": {"msg_item": []}}, "", 0),
        ({"msgtype": "text"}, "", 0),
        ({"msgtype": "new"}, "", 0),
        ("text", "", 0),
    ],
)
def test_quotes(quote, text, files):
    message = decode(body(quote=quote))
    assert message is not None
    assert (message.quote, len(message.attachments)) == (text, files)


def test_what_cannot_be_read_is_named():
    for kind, part, text in (
        ("voice", {"content": " "}, "语音 / voice message"),
        ("video", {"url": "https://x"}, "视频 / video"),
        ("red_packet", {}, "red_packet"),
    ):
        message = decode(body(msgtype=kind, **{kind: part}))
        assert message is not None
        assert (message.kind, message.text) == (MessageKind.UNSUPPORTED, text)


def test_events():
    message = decode(event("enter_chat"))
    assert message is not None
    assert message.kind is MessageKind.WELCOME
    assert message.target["event"] == "enter_chat"
    message = decode(event("template_card_event", event_key="K", task_id="T", card_type="x"))
    assert message is not None
    assert (message.kind, message.payload) == (MessageKind.BUTTON, {"key": "K", "task": "T"})
    rated = {"id": "stream:M0", "type": 2, "content": "why", "inaccurate_reason_list": [2, 9, "x"]}
    message = decode(event("feedback_event", **rated))
    assert message is not None
    assert message.payload == {
        "rating": "bad",
        "of": "stream:M0",
        "text": "why\n内容不完整 / incomplete",
    }
    assert decode(event("disconnected_event")) is None
    assert decode(event("brand_new")) is None


async def test_events_that_mean_nothing_any_more_are_dropped():
    host = make_host()
    for key in ("", "{", "[1]", cards.DONE, "blob:gone"):
        message = decode(event("template_card_event", event_key=key, task_id="T"))
        assert message is not None
        assert await events.completed(message, host) is None
    rating = decode(event("feedback_event", id="stream:M0", type=1))
    assert rating is not None
    completed = await events.completed(rating, host)
    assert completed is not None
    assert completed.payload["of"] == "", "the newest answer, when the journal has forgotten it"
    assert await cards.pressed("T", "K", "u", host.media) is None


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"msgid": ""}, r"\$\.msgid"),
        ({"msgid": 5}, r"\$\.msgid"),
        ({"from": None}, r"\$\.from"),
        ({"from": {}}, r"\$\.from\.userid"),
        ({"chattype": "both"}, r"\$\.chattype"),
        ({"chattype": "group"}, r"\$\.chatid"),
        ({"text": {}}, r"\$\.content"),
        ({"msgtype": None}, r"\$\.msgtype"),
        ({"msgtype": "mixed", "mixed": {"msg_item": 1}}, r"msg_item"),
        ({"msgtype": "mixed", "mixed": {"msg_item": [1]}}, r"msg_item\[0\]"),
        ({"msgtype": "event"}, r"\$\.event"),
        ({"msgtype": "image"}, r"\$\.image"),
    ],
)
def test_what_is_missing_or_wrong_is_named(changes, where):
    with pytest.raises(Malformed, match=where):
        decode(body(**changes))


def test_a_poll_names_the_message_whose_stream_it_is():
    stream = codec.stream_id("M1")
    assert codec.polled(body(msgtype="stream", stream={"id": stream})) == "M1"
    assert codec.polled(body()) is None
    for part in ({"id": "other"}, {"id": codec.stream_id("")}, {}, None):
        with pytest.raises(Malformed):
            codec.polled(body(msgtype="stream", stream=part))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["msgid", "from", "chattype", "chatid", "msgtype", "text", "mixed", "event", "quote", "stream"]
)
PARTS = st.sampled_from(
    [
        {"msgtype": "event", "event": {"eventtype": "feedback_event", "feedback_event": {}}},
        {"msgtype": "event", "event": {"eventtype": "template_card_event"}},
        {"msgtype": "mixed"},
        {"msgtype": "voice"},
        {},
    ]
)


@given(st.dictionaries(FIELDS, JSON, max_size=5), PARTS)
@settings(max_examples=300, deadline=None)
def test_any_json_is_a_message_or_nothing_or_malformed(changes, part):
    with suppress(Malformed):
        codec.polled({**body(), **part, **changes})
        decode({**body(), **part, **changes})


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_json_or_malformed(data):
    with suppress(Malformed):
        assert isinstance(codec.parse(data), dict)


# Answers.


def test_pages_join_what_fits_and_are_the_same_for_everyone():
    long = "长" * 6_000
    replies = [("a", "one"), ("b", "two"), ("c", long), ("d", "x" * 3_000), ("e", "")]
    found = render.pages(replies)
    assert found == render.pages(replies)
    assert [page.replies for page in found] == [("a", "b", "c"), ("d", "e")]
    assert found[0].text == f"one\n\ntwo\n\n{long}"
    assert render.pages([]) == [render.Page(text="", replies=())]


@given(st.lists(st.text(max_size=3_000), max_size=8))
@settings(max_examples=30, deadline=None)
def test_pages_never_exceed_the_limit(texts):
    replies = [(str(n), text * 9) for n, text in enumerate(texts)]
    for page in render.pages(replies):
        assert len(page.text.encode("utf-8", "replace")) <= render.CONTENT_BYTES_MAX


def test_a_growing_text_is_shown_as_far_as_it_fits():
    assert render.shown("") == ""
    assert len(render.shown("长" * 9_000).encode()) <= render.CONTENT_BYTES_MAX
    assert render.shown("a\x00b\ud800") == "ab\ufffd"


async def test_what_a_template_cannot_hold_is_said_beside_it():
    media = MemoryMedia()
    fields = tuple((f"name{n}", f"value{n}") for n in range(8))
    card = Card(
        title="T" * 100,
        markdown="long " * 200,
        fields=fields,
        image_url="https://x/i.png",
        buttons=(Button(label="go", value={"a": 1}), Button(label="see", url="https://x")),
    )
    found = await cards.template(card, "r1", media)
    assert found["card_type"] == "button_interaction"
    assert len(found["horizontal_content_list"]) == 6
    assert found["button_list"] == [{"text": "go", "style": 2, "key": '{"a":1}'}]
    beside = cards.beside(card)
    assert beside is not None
    assert beside.fields == fields[5:]
    assert (beside.image_url, beside.markdown) == (card.image_url, card.markdown)
    assert cards.beside(Card(title="t", buttons=card.buttons)) is None
    words = render.words(Reply(id="r", text="hi", card=card), "markdown")
    assert "value7" in words
    assert "value1" not in words


async def test_task_ids_are_as_wecom_wants_them_and_differ():
    media = MemoryMedia()
    card = Card(title="t", buttons=(Button(label="go", value={"a": 1}),))
    ids = [(await cards.template(card, reply, media))["task_id"] for reply in ("r1", "r2")]
    assert len(set(ids)) == 2
    for task_id in ids:
        assert len(task_id) <= 128
        assert all(char.isalnum() or char in "_-@" for char in task_id)


@pytest.mark.parametrize(
    ("answer", "wait"),
    [({"errcode": 45009}, 20.0), ({"errcode": 45033}, 2.0), ({"errcode": 0}, None), ({}, None)],
)
def test_throttling(answer, wait):
    assert client.throttle_seconds(answer) == wait
    if wait:
        with pytest.raises(SendRetryable) as caught:
            client.settled(answer)
        assert caught.value.retry_after_seconds == wait


def test_an_answer_without_an_errcode_is_no_success():
    for answer in ({}, {"errcode": "0"}, {"errcode": -1}):
        with pytest.raises(SendRetryable):
            client.settled(answer)
    assert client.settled({"errcode": 0}) == 0
    assert client.settled({"errcode": 40001}) == 40001


def test_a_stream_is_over_when_its_last_frame_was_refused():
    assert not stream_over(0)
    assert all(map(stream_over, (846605, 846608, 40058, NO_STREAM)))


def test_memory_is_bounded():
    slots = Slots(ManualClock(), 2)
    first = slots.open("a")
    assert slots.open("a") is first
    slots.open("b")
    slots.open("c")
    assert slots.get("a") is None


def test_feedback_ids_that_are_too_long_are_left_out():
    assert "feedback" not in render.markdown("x", "f" * 257)["markdown"]
    assert render.markdown("x", "f")["markdown"]["feedback"] == {"id": "f"}
    assert msgspec.json.encode(render.stream("M", "x", finish=True, feedback=True))
