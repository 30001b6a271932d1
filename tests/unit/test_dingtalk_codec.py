"""DingTalk's messages and signature."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.channels.dingtalk import codec, crypto, render
from ai_engine.channels.http import parse
from ai_engine.domain.errors import Forbidden, Malformed, Unauthenticated
from ai_engine.domain.message import ChatKind, InboundMessage, MessageKind
from ai_engine.domain.reply import Reply

from support.signing import dingtalk_headers, dingtalk_message

NOW_MS = 1_700_000_000_000
_VECTOR = json.loads(
    (Path(__file__).parents[1] / "fixtures/vectors/dingtalk_signatures.json").read_text("utf-8")
)["robot_callback"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
_KEYS = (*dingtalk_message("x"), "content", "errCode", "conversationTitle", "senderUnionId")


def read(text: str = "hello", /, **changes: Any) -> InboundMessage:
    found = codec.decode(dingtalk_message(text, **changes), "ding", 5.0)
    assert found is not None
    return found


def content(kind: str, **body: Any) -> InboundMessage:
    return read(msgtype=kind, text=None, content=body)


def complaint(decode: Callable[[], object]) -> str:
    """What Malformed says, `$` when nothing is wrong; any other error passes through."""
    try:
        decode()
    except Malformed as error:
        return error.message
    return "$"


# Signature


def test_the_signature_agrees_with_the_published_example():
    headers = {"timestamp": _VECTOR["timestamp"], "sign": _VECTOR["sign"]}
    assert crypto.sign(_VECTOR["timestamp"], _VECTOR["app_secret"]) == _VECTOR["sign"]
    crypto.verify(headers, _VECTOR["app_secret"], int(_VECTOR["timestamp"]))


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(-3_600_000, 3_600_000))
def test_a_right_signature_is_good_for_one_hour(secret: str, off: int):
    crypto.verify(dingtalk_headers(secret, NOW_MS / 1000), secret, NOW_MS + off)


@pytest.mark.parametrize("off", [3_600_001, -3_600_001])
def test_a_right_signature_of_another_time_is_stale(off: int):
    with pytest.raises(Forbidden):
        crypto.verify(dingtalk_headers("s", NOW_MS / 1000), "s", NOW_MS + off)


@pytest.mark.parametrize("missing", ["timestamp", "sign"])
def test_a_missing_header_is_no_proof(missing: str):
    headers = dingtalk_headers("s", NOW_MS / 1000)
    del headers[missing]
    with pytest.raises(Unauthenticated):
        crypto.verify(headers, "s", NOW_MS)


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_no_headers_of_chance_are_accepted_or_fail_otherwise(timestamp: str, sign: str):
    with pytest.raises(Unauthenticated):
        crypto.verify({"timestamp": timestamp, "sign": sign}, "secret", NOW_MS)


def test_a_wrong_secret_is_refused_even_when_it_is_fresh():
    with pytest.raises(Unauthenticated):
        crypto.verify(dingtalk_headers("other", NOW_MS / 1000), "secret", NOW_MS)


def test_without_a_secret_nothing_is_accepted():
    with pytest.raises(Unauthenticated):
        crypto.verify(dingtalk_headers("", NOW_MS / 1000), "", NOW_MS)


# Decoding


def test_a_private_text_is_decoded_with_all_that_an_answer_needs():
    message = read(" 明天的会议 ")
    assert (message.kind, message.text) == (MessageKind.TEXT, "明天的会议")
    assert (message.message_id, message.received_at) == ("msg1", 5.0)
    assert message.sender.platform == "dingtalk"
    assert (message.sender.tenant, message.sender.user_id) == ("dingcorp", "u001")
    assert (message.chat.kind, message.chat.id) == (ChatKind.PRIVATE, "cidAbc==")
    assert message.target == {
        "sessionWebhook": "https://oapi.dingtalk.com/robot/sendBySession?session=s1",
        "expires": 1_700_005_400.0,
        "robotCode": "dingapp",
        "msgId": "msg1",
        "conversation": "cidAbc==",
        "conversationId": "cidAbc==",
        "conversationType": "1",
        "senderStaffId": "u001",
        "senderNick": "Zhang",
    }


def test_in_a_group_the_space_where_the_mention_stood_goes():
    message = read(" disk usage?", conversationType="2", conversationTitle="Ops")
    assert (message.chat.kind, message.chat.title) == (ChatKind.GROUP, "Ops")
    assert message.text == "disk usage?"


@pytest.mark.parametrize(
    ("changes", "user_id"),
    [
        ({"senderStaffId": "", "senderUnionId": "union1"}, "union1"),
        ({"senderStaffId": None}, "$:LWCP_v1:$u"),
    ],
)
def test_a_sender_without_staff_id_is_known_by_another_id(changes: dict[str, Any], user_id: str):
    message = read(**changes)
    assert message.sender.user_id == user_id
    assert message.target["senderStaffId"] == ""


def test_rich_text_is_its_words_and_its_pictures():
    message = content(
        "richText",
        richText=[
            {"text": "look at "},
            {"type": "picture", "downloadCode": "d1"},
            {"text": "this\n"},
            {"type": "emoji"},
        ],
    )
    assert (message.kind, message.text) == (MessageKind.TEXT, "look at this")
    assert [(a.kind, a.ref) for a in message.attachments] == [("image", "d1")]


def test_a_voice_message_is_what_was_recognised():
    message = content("audio", downloadCode="d1", recognition="weather in Berlin", duration=3)
    assert (message.kind, message.text) == (MessageKind.TEXT, "weather in Berlin")
    assert message.attachments[0].kind == "audio"


@pytest.mark.parametrize(
    ("kind", "body", "name"),
    [
        ("picture", {"downloadCode": "d1"}, ""),
        ("picture", {"pictureDownloadCode": "d1"}, ""),
        ("file", {"downloadCode": "d1", "fileName": "plan.pdf"}, "plan.pdf"),
        ("richText", {"richText": [{"type": "picture", "downloadCode": "d1"}]}, ""),
    ],
)
def test_a_picture_or_a_file_alone_is_a_message_with_an_attachment(
    kind: str, body: dict[str, Any], name: str
):
    message = content(kind, **body)
    assert (message.kind, message.text) == (MessageKind.TEXT, "")
    assert [(each.ref, each.name) for each in message.attachments] == [("d1", name)]


@pytest.mark.parametrize(
    ("kind", "body", "named"),
    [
        ("picture", {}, "picture"),
        ("audio", {"downloadCode": "d1", "recognition": " "}, "voice"),
        ("video", {"downloadCode": "d1", "videoType": "mp4"}, "video"),
    ],
)
def test_what_cannot_be_read_is_named_and_keeps_its_reference(
    kind: str, body: dict[str, Any], named: str
):
    message = content(kind, **body)
    assert message.kind is MessageKind.UNSUPPORTED
    assert named in message.text
    assert message.attachments[0].ref == body.get("downloadCode", "")


@pytest.mark.parametrize(
    ("replied", "quote"),
    [
        ({"msgType": "text", "content": {"text": " the plan "}}, "the plan"),
        ({"content": {"richText": [{"content": "a"}, {"text": "b"}, {"type": "picture"}]}}, "ab"),
        ({"content": {"recognition": "spoken"}}, "spoken"),
        ({"msgType": "picture", "content": {"downloadCode": "d"}}, ""),
        ({"content": {"richText": "odd"}}, ""),
        ({"content": "odd"}, ""),
        ("odd", ""),
    ],
)
def test_the_text_of_a_quoted_message_comes_along(replied: Any, quote: str):
    message = read(text={"content": "is it so?", "isReplyMsg": True, "repliedMsg": replied})
    assert (message.text, message.quote) == ("is it so?", quote)


def test_an_unknown_kind_is_named():
    message = read(msgtype="unknownMsgType", text=None)
    assert (message.kind, message.text) == (MessageKind.UNSUPPORTED, "unknownMsgType")


@pytest.mark.parametrize("code", ["20001", 20001])
def test_a_message_withheld_for_the_quota_says_so(code: object):
    message = read(text=None, errCode=code, errMsg="quota")
    assert message.kind is MessageKind.UNSUPPORTED
    assert "quota" in message.text
    assert message.payload == {"error_code": "20001"}


def test_the_robots_own_message_is_none():
    body = dingtalk_message("hello", senderId="$:LWCP_v1:$bot")
    assert codec.decode(body, "ding", 0.0) is None


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"msgId": None}, "$.msgId"),
        ({"msgId": ""}, "$.msgId"),
        ({"msgId": "m" * 513}, "$.msgId"),
        ({"msgtype": 3}, "$.msgtype"),
        ({"text": None}, "$.text:"),
        ({"text": {}}, "$.text.content"),
        ({"conversationId": None}, "$.conversationId"),
        ({"conversationType": 1}, "$.conversationType"),
        ({"senderId": None, "senderStaffId": None}, "$.senderId"),
        ({"msgtype": "richText", "content": {"richText": "x"}}, "$.content.richText:"),
        ({"msgtype": "richText", "content": {"richText": ["x"]}}, "$.content.richText[0]"),
        ({"msgtype": "picture"}, "$.content"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(changes: dict[str, Any], path: str):
    with pytest.raises(Malformed) as caught:
        read(**changes)
    assert caught.value.message.startswith(path)


@given(st.binary(max_size=100))
def test_bytes_of_chance_are_malformed_and_nothing_else(data: bytes):
    with pytest.raises(Malformed):
        codec.decode(parse(data), "ding", 0.0)


@given(st.dictionaries(st.sampled_from(_KEYS), _JSON), st.data())
def test_any_json_is_a_message_or_malformed(changes: dict[str, Any], data: st.DataObject):
    kept = data.draw(st.sets(st.sampled_from(_KEYS)))
    body = {key: value for key, value in dingtalk_message("x").items() if key in kept}
    text = json.dumps({**body, **changes})
    assert complaint(lambda: codec.decode(parse(text), "ding", 0.0)).startswith("$")


@given(
    st.sampled_from(["richText", "picture", "audio", "video", "file"]),
    st.dictionaries(
        st.sampled_from(["richText", "downloadCode", "recognition", "fileName"]), _JSON
    ),
)
def test_any_content_is_a_message_or_malformed(kind: str, body: dict[str, Any]):
    assert complaint(lambda: content(kind, **body)).startswith("$")


# Rendering


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("# Weather in **Berlin**\nsunny", "Weather in Berlin"),
        ("\n\n- first", "first"),
        ("x" * 40, "x" * 31 + "…"),
        ("---", "AI"),
        ("", "AI"),
    ],
)
def test_the_title_is_the_first_line_in_words(words: str, title: str):
    assert render.title(words) == title


@given(st.text(st.characters(codec=None), max_size=300), st.sampled_from(["text", "markdown"]))
def test_any_reply_can_be_sent(words: str, form: str):
    found = render.rendered(Reply(id="r1", text=words), form)
    assert json.loads(render.template_body(found, form)["msgParam"])
    assert msgspec.json.encode(render.session_body(found, form, "u001"))
