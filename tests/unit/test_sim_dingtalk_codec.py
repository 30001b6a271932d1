"""DingTalk's signatures and JSON, as the simulator writes and reads them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.simulators.dingtalk.codec import (
    AT_MAX,
    MSG_PARAM_BYTES_MAX,
    BadParam,
    BadReply,
    Robot,
    encoded,
    read_msg_param,
    read_reply,
    robot_message,
    spoiled,
    text_content,
)
from ai_engine.simulators.dingtalk.crypto import WINDOW_MS, sign, signature_holds
from ai_engine.simulators.dingtalk.faults import DingTalkFaults
from ai_engine.simulators.people import GROUP, Conversation, Person

VECTORS = Path(__file__).parents[1] / "fixtures" / "vectors" / "dingtalk_signatures.json"
PRIVATE = Conversation(id="c", kind="private", user="u")


def message(conversation=PRIVATE, text="hello"):
    group = conversation.kind == "group"
    return robot_message(
        message_id="m1",
        robot=Robot(code="dingapp", name="AI助手"),
        person=Person(id="u", name="U"),
        conversation=conversation,
        created_ms=1,
        webhook="http://x/robot/sendBySession?session=s",
        webhook_expires_ms=2,
        content=text_content(text, group=group, robot_name="AI助手"),
    )


def test_the_published_signature_is_reproduced():
    vector = json.loads(VECTORS.read_text(encoding="utf-8"))["robot_callback"]
    assert sign(vector["timestamp"], vector["app_secret"]) == vector["sign"]


@given(st.integers(0, 2**45), st.text(max_size=20), st.integers(-2 * WINDOW_MS, 2 * WINDOW_MS))
def test_a_signature_holds_for_an_hour_either_way_and_for_its_own_secret(at, secret, skew):
    good = sign(str(at), secret)
    assert signature_holds(str(at), good, secret, now_ms=at + skew) == (abs(skew) <= WINDOW_MS)
    assert not signature_holds(str(at), good, secret + "x", now_ms=at)


@pytest.mark.parametrize("timestamp", ["", "-1", "1.5", "١٢٣", "abc"])
def test_a_time_stamp_that_is_no_number_never_holds(timestamp):
    assert not signature_holds(timestamp, sign(timestamp, "s"), "s", now_ms=1)


def test_a_private_message_has_no_group_fields():
    body = message()
    assert body["conversationType"] == "1"
    assert body["text"] == {"content": "hello"}
    assert not {"conversationTitle", "isInAtList", "atUsers"} & body.keys()


def test_a_group_message_loses_the_mention_and_keeps_a_leading_space():
    body = message(GROUP, "@AI助手 @bot 明天有什么安排")
    assert body["text"] == {"content": " @bot 明天有什么安排"}
    assert (body["conversationType"], body["isInAtList"]) == ("2", True)
    assert body["atUsers"] == [{"dingtalkId": body["chatbotUserId"]}]


def test_each_knob_spoils_its_own_part_of_a_message():
    clean = message()
    assert spoiled(clean, DingTalkFaults()) == clean
    assert "senderStaffId" not in spoiled(clean, DingTalkFaults(no_staff_id=True))
    assert spoiled(clean, DingTalkFaults(unknown_msgtype=True))["msgtype"] == "unknownMsgType"
    large = spoiled(clean, DingTalkFaults(oversized_bytes=5000))
    assert len(large["text"]["content"]) >= 5000
    over = spoiled(clean, DingTalkFaults(over_quota=True))
    assert over["errCode"] == 20001
    assert "text" not in over
    with pytest.raises(json.JSONDecodeError):
        json.loads(encoded(clean, DingTalkFaults(malformed_json=True)))


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ({"msgtype": "text", "text": {"content": "hi"}}, "text", "hi"),
        ({"msgtype": "markdown", "markdown": {"title": "t", "text": "**x**"}}, "markdown", "**x**"),
        (
            {"msgtype": "link", "link": {"title": "T", "text": "x", "messageUrl": "https://e.org"}},
            *("link", "**T**\n\nx\n\n[https://e.org](https://e.org)"),
        ),
        (
            {
                "msgtype": "actionCard",
                "actionCard": {
                    "title": "T",
                    "text": "x",
                    "btns": [{"title": "Go", "actionURL": "https://e.org"}],
                },
            },
            *("actionCard", "x\n\n[Go](https://e.org)"),
        ),
        (
            {
                "msgtype": "feedCard",
                "feedCard": {"links": [{"title": "A", "messageURL": "https://e.org"}]},
            },
            *("feedCard", "- [A](https://e.org)"),
        ),
    ],
)
def test_every_documented_reply_type_is_shown(body, kind, text):
    shown = read_reply(body)
    assert shown is not None
    assert (shown.kind, shown.text) == (kind, text)


def test_the_empty_reply_shows_nothing():
    assert read_reply({"msgtype": "empty"}) is None


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, 40035),
        ({"msgtype": "text"}, 40035),
        ({"msgtype": "text", "text": {"content": ""}}, 40035),
        ({"msgtype": "markdown", "markdown": {"text": "no title"}}, 40035),
        ({"msgtype": "actionCard", "actionCard": {"title": "t", "text": "x"}}, 40035),
        ({"msgtype": "feedCard", "feedCard": {}}, 40035),
        ({"msgtype": "interactiveCard"}, 400105),
        ({"msgtype": "text", "text": {"content": "长" * 7000}}, 460101),
        (
            {
                "msgtype": "text",
                "text": {"content": "x"},
                "at": {"atUserIds": ["u"] * (AT_MAX + 1)},
            },
            40035,
        ),
    ],
)
def test_a_wrong_reply_is_refused_by_its_errcode(body, errcode):
    with pytest.raises(BadReply) as refused:
        read_reply(body)
    assert refused.value.errcode == errcode


@pytest.mark.parametrize(
    ("key", "fields", "kind"),
    [
        ("sampleText", {"content": "x"}, "text"),
        ("sampleMarkdown", {"title": "t", "text": "x"}, "markdown"),
        ("sampleImageMsg", {"photoURL": "https://e.org/a.png"}, "image"),
        (
            "sampleActionCard3",
            {"title": "t", "text": "x"}
            | {f"action{part}{n}": f"{part}{n}" for n in (1, 2, 3) for part in ("Title", "URL")},
            "actionCard",
        ),
        ("sampleFile", {"mediaId": "@m", "fileName": "a.pdf", "fileType": "pdf"}, "file"),
        (
            "sampleVideo",
            {"duration": "1", "videoMediaId": "@v", "videoType": "mp4", "picMediaId": "@p"},
            "video",
        ),
    ],
)
def test_a_proactive_message_of_each_kind_is_shown_and_needs_all_its_fields(key, fields, kind):
    assert read_msg_param(key, json.dumps(fields)).kind == kind
    for name in fields:
        less = {other: value for other, value in fields.items() if other != name}
        with pytest.raises(BadParam, match=name):
            read_msg_param(key, json.dumps(less))


def test_proactive_parameters_are_measured_in_bytes():
    fits = json.dumps({"content": "长"}, ensure_ascii=False)
    room = (MSG_PARAM_BYTES_MAX - len(fits.encode())) // 3
    read_msg_param("sampleText", json.dumps({"content": "长" * (room + 1)}, ensure_ascii=False))
    with pytest.raises(BadParam, match="15000"):
        read_msg_param("sampleText", json.dumps({"content": "长" * (room + 2)}, ensure_ascii=False))
