"""The JSON of cards, events, action cards, and which addresses a download may have."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.channels.dingtalk import cards, events, media, render
from ai_engine.channels.dingtalk.ai_cards import stream_over
from ai_engine.channels.dingtalk.answers import ApiRefused, Said, refusal
from ai_engine.channels.dingtalk.client import throttle_seconds
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import (
    Malformed,
    PermissionMissing,
    SendRefused,
    SendRetryable,
)
from ai_engine.domain.message import Media
from ai_engine.domain.reply import Button, Card, Reply

GROUP = {"conversationType": "2", "conversationId": "cid1", "senderStaffId": "u1"}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


def said(status: int = 200, **body: Any) -> Said:
    return Said(status=status, body=body, retry_after=None)


@pytest.mark.parametrize(
    ("config", "wanted", "template"),
    [
        ({}, False, (cards.TEMPLATE, "msgContent")),
        ({"reply": "card"}, True, (cards.TEMPLATE, "msgContent")),
        ({"card_template_id": "a.schema"}, True, ("a.schema", "msgContent")),
        ({"card_template_id": "a.schema#content"}, True, ("a.schema", "content")),
        ({"auth": {"card_template_id": "b.schema"}}, True, ("b.schema", "msgContent")),
    ],
)
def test_cards_are_wanted_by_their_template_or_by_the_reply_form(
    config: dict[str, Any], wanted: bool, template: tuple[str, str]
):
    settings = ChannelConfig.model_validate(config)
    assert cards.wants_cards(settings) is wanted
    assert cards.template_of(settings) == template


def test_a_card_is_delivered_to_the_group_or_to_the_person():
    group = cards.space(GROUP, "robot1")
    assert group is not None
    assert group["openSpaceId"] == "dtv1.card//IM_GROUP.cid1"
    assert group["imGroupOpenDeliverModel"] == {"robotCode": "robot1", "atUserIds": {"u1": "u1"}}
    private = cards.space({"conversationType": "1", "senderStaffId": "u1"}, "robot1")
    assert private is not None
    assert private["openSpaceId"] == "dtv1.card//IM_ROBOT.u1"
    assert private["imRobotOpenDeliverModel"]["spaceType"] == "IM_ROBOT"
    assert cards.space({"conversationType": "1", "conversationId": "c"}, "robot1") is None


def test_a_track_id_is_the_same_for_the_same_key_only():
    assert cards.track_id("ding", "k") == cards.track_id("ding", "k")
    found = {cards.track_id(channel, key) for channel in "ab" for key in "xy"}
    assert len(found) == 4
    assert all(len(each) == 64 for each in found)


def press(**changes: Any) -> dict[str, Any]:
    content = {"cardPrivateData": {"actionIds": ["1.blob:abc"], "params": {}}}
    return {"outTrackId": "t", "userId": "u2", "corpId": "corp", "content": content} | changes


def test_a_press_names_its_button_whether_its_content_is_text_or_object():
    assert cards.pressed(press()) == (1, "blob:abc")
    assert cards.pressed(press(content=json.dumps(press()["content"]))) == (1, "blob:abc")


@pytest.mark.parametrize("id_", ["", "x", "1", "x.ref", "1.", "-1.ref", "100.ref", 7, None])
def test_a_press_of_something_else_is_malformed(id_: object):
    with pytest.raises(Malformed):
        cards.pressed(press(content={"cardPrivateData": {"actionIds": [id_]}}))


def test_a_press_becomes_a_message_of_who_pressed_in_the_card_s_chat():
    buttons = [Button(label="a", value={"n": 0}), Button(label="b", value={"n": 1})]
    stored = cards.values_json(buttons, {**GROUP, "robotCode": "r1", "sessionWebhook": "secret"})
    assert b"secret" not in stored
    found = cards.press_message(press(), stored, 1, channel="d", key="k1", received_at=2.0)
    assert (found.payload, found.message_id) == ({"n": 1}, "press:k1")
    assert (found.sender.user_id, found.sender.tenant, found.chat.id) == ("u2", "corp", "cid1")
    assert found.target["senderStaffId"] == "u2"
    assert found.target["conversation"] == "cid1"
    for wrong, number in ((press(userId=""), 1), (press(userId=None), 1), (press(), 2)):
        with pytest.raises(Malformed):
            cards.press_message(wrong, stored, number, channel="d", key="k", received_at=0.0)


def _read_press(body: dict[str, Any], stored: bytes) -> None:
    number, _ = cards.pressed(body)
    cards.press_message(body, stored, number, channel="d", key="k", received_at=0.0)


@given(
    st.dictionaries(st.sampled_from(["content", "userId", "corpId", "outTrackId"]), _JSON),
    st.binary(max_size=40) | st.just(b'{"values":[{}],"target":{}}'),
)
def test_any_press_is_a_message_or_malformed(changes: dict[str, Any], stored: bytes):
    complaint = ""
    try:
        _read_press(press(**changes), stored)
    except Malformed as error:
        complaint = error.message
    assert complaint == "" or complaint.startswith("$")


@given(
    st.dictionaries(
        st.sampled_from(["eventType", "EventType", "openConversationId", "operator", "eventId"]),
        _JSON | st.just("im_cool_app_install"),
    )
)
def test_any_event_is_a_greeting_or_nothing(event: dict[str, Any]):
    found = events.decode(event, "d", 0.0)
    assert found is None or (found.chat.id and found.sender.user_id)


def test_an_event_without_an_id_has_the_same_key_each_time():
    event = {
        "EventType": "im_cool_app_install",
        "openConversationId": "cid1",
        "operator": "u1",
        "operateTime": "1",
    }
    first, second = (events.decode(event, "d", 0.0) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.message_id == second.message_id


def test_links_of_a_card_are_buttons_and_more_than_five_are_links():
    def reply(count: int) -> Reply:
        links = tuple(Button(label=f"L{n}", url=f"https://e.x/{n}") for n in range(count))
        return Reply(id="r", card=Card(title="t", buttons=(*links, Button(label="press"))))

    assert len(render.link_buttons(reply(5))) == 5
    assert render.link_buttons(reply(6)) == ()
    assert "https://e.x/5" in render.rendered(reply(6), "markdown")
    assert "https://e.x" not in render.rendered(reply(2), "markdown", links=False)
    two = render.template_body("words", "markdown", render.link_buttons(reply(2)))
    assert two["msgKey"] == "sampleActionCard2"
    assert json.loads(two["msgParam"])["actionURL2"] == "https://e.x/1"


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://wukong.oss-cn-x.aliyuncs.com/a?S=1", "https://wukong.oss-cn-x.aliyuncs.com/a?S=1"),
        ("https://down.dingtalk.com/f?x=1", "https://down.dingtalk.com/f?x=1"),
        ("http://127.0.0.1:99/files/x", "http://127.0.0.1:99/files/x"),
    ],
)
def test_files_are_fetched_from_dingtalk_and_its_storage_by_https(url: str, asked: str):
    assert media.download_url(url, ("http://127.0.0.1:1",)) == asked


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "https://aliyuncs.com.evil.example/x",
        "https://bucket.oss-cn-x-internal.aliyuncs.com/x",
        "https://x.dingtalk.com:8443/x",
        "file:///etc/passwd",
        "https://user@evil.example/x",
        "",
    ],
)
def test_files_are_fetched_from_nowhere_else(url: str):
    with pytest.raises(SendRefused):
        media.download_url(url, ())


def test_what_is_no_picture_goes_as_a_file():
    kinds = {
        ("image", "a.png", "image/png"): "image",
        ("image", "a", "image/webp"): "image",
        ("image", "a.psd", "application/octet-stream"): "file",
        ("audio", "a.mp3", "audio/mpeg"): "file",
        ("video", "a.mp4", "video/mp4"): "file",
    }
    for (kind, name, mime), wanted in kinds.items():
        assert media.upload_kind(Media(kind=kind, content=b"", name=name, mime=mime)) == wanted


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (said(), None),
        (said(429), 1.0),
        (Said(status=429, body={}, retry_after=7.0), 7.0),
        (said(403, code="Forbidden.AccessDenied.QpsLimitForApi"), 1.0),
        (said(403, code="send.too.fast"), 1.0),
        (said(errcode=410100), 2.0),
        (said(errcode=-1), 2.0),
        (said(errcode=88, sub_code="90018"), 2.0),
        (said(errcode=88, sub_code="60011"), None),
        (said(errcode=300001), None),
        (said(403, code="Forbidden.AccessDenied.ApiCountLimitForOrg"), None),
    ],
)
def test_answers_that_ask_for_a_pause_are_known(answer: Said, wait: float | None):
    assert throttle_seconds(answer) == wait


@pytest.mark.parametrize(
    ("answer", "permission"),
    [
        (said(errcode=88, sub_code="60011", sub_msg="未开通[qyapi_a, qyapi_b]"), "qyapi_a"),
        (said(errcode=60011, errmsg="没有权限"), "the.needed.one"),
        (
            said(
                403,
                code="Forbidden.AccessDenied.AccessTokenPermissionDenied",
                accessdenieddetail={"requiredScopes": ["Card.Streaming.Write"]},
            ),
            "Card.Streaming.Write",
        ),
    ],
)
def test_a_missing_right_is_named_by_either_api(answer: Said, permission: str):
    error = refusal(answer, "a call", "the.needed.one")
    assert isinstance(error, PermissionMissing)
    assert error.permission == permission
    assert permission in error.hint
    assert stream_over(error)


def test_other_refusals_keep_the_platform_s_word():
    assert isinstance(refusal(said(500), "a call"), SendRetryable)
    gone = refusal(said(400, code="param.cardNotExist", message="gone"), "a call")
    assert isinstance(gone, ApiRefused)
    assert stream_over(gone)
    ip = refusal(said(errcode=60020, errmsg="ip"), "a call")
    assert isinstance(ip, ApiRefused)
    assert (ip.reason, "address" in ip.hint) == ("60020", True)
    assert not stream_over(ip)
    assert not stream_over(SendRefused("anything"))
