"""The webhook channel's JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.channels.webhook.codec import decode, encode
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import ChatKind
from ai_engine.domain.reply import Button, Card, Reply

GOOD: dict[str, Any] = {"message_id": "m1", "session": "c1", "user": "u1", "text": "hello"}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def read(**changes: Any):
    body = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
    return decode(json.dumps(body).encode(), "bot", 5.0)


def test_a_message_is_decoded_with_all_that_an_answer_needs():
    message = read(chat="group", text="  明天 ")
    assert message.channel == "bot"
    assert (message.message_id, message.text, message.received_at) == ("m1", "  明天 ", 5.0)
    assert (message.sender.platform, message.sender.user_id) == ("webhook", "u1")
    assert (message.chat.kind, message.chat.id) == (ChatKind.GROUP, "c1")
    assert message.target == {"session": "c1", "user": "u1"}


def test_an_attachment_may_come_without_a_text():
    message = read(text=..., attachments=[{"kind": "image", "url": "data:image/png;base64,AA=="}])
    assert message.text == ""
    assert message.attachments[0].url.startswith("data:image/png")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"message_id": ...}, "$.message_id: is missing"),
        ({"message_id": 7}, "$.message_id: must be a text"),
        ({"message_id": " "}, "$.message_id: must have"),
        ({"session": ""}, "$.session: must have"),
        ({"user": "u" * 257}, "$.user: must have"),
        ({"text": None}, "$.text: must be a text"),
        ({"text": ...}, "$.text: is missing"),
        ({"text": " \n"}, "$.text: must not be blank"),
        ({"text": "x" * 200_001}, "$.text: has more"),
        ({"chat": "channel"}, "$.chat: must be"),
        ({"chat": []}, "$.chat: must be"),
        ({"attachments": {}}, "$.attachments: must be a list"),
        ({"attachments": [1]}, "$.attachments[0]: must be"),
        ({"attachments": [{"kind": "image", "url": "file:///x"}]}, "$.attachments[0].url"),
        ({"attachments": [{"kind": "x", "url": "https://a"}]}, "$.attachments[0].kind"),
        ({"attachments": [{"kind": [], "url": "https://a"}]}, "$.attachments[0].kind"),
        ({"attachments": [{"kind": "file", "url": "https://a", "name": 1}]}, "$.attachments[0]:"),
        ({"attachments": [{"kind": "image", "url": "data:,"}] * 11}, "$.attachments: has more"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(changes: dict[str, Any], path: str):
    with pytest.raises(Malformed) as caught:
        read(**changes)
    assert caught.value.message.startswith(path)


@given(st.binary(max_size=100))
def test_bytes_of_chance_are_malformed_and_nothing_else(body: bytes):
    with pytest.raises(Malformed):
        decode(body, "bot", 0.0)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys((*GOOD, "chat", "attachments"), _JSON)))
def test_any_json_is_a_message_or_malformed(body: dict[str, Any]):
    try:
        found = decode(json.dumps(body).encode(), "bot", 0.0).message_id
    except Malformed as error:
        found = error.message
    assert found.startswith("$") or found == body["message_id"]


def test_very_deep_json_is_malformed():
    with pytest.raises(Malformed):
        decode(b"[" * 100_000, "bot", 0.0)


def test_a_reply_has_its_text_and_its_card():
    card = Card(title="Weather", buttons=(Button(label="Map", url="https://m.example"),))
    found = encode(
        Reply(id="r1", text="**Sunny**", card=card),
        in_reply_to="m1",
        target={"session": "c1", "user": "u1"},
        form="markdown",
    )
    assert found["text"].startswith("**Sunny**")
    assert found["card"]["title"] == "Weather"
    assert found["card"]["buttons"][0]["label"] == "Map"
    assert {key: found[key] for key in ("reply_id", "in_reply_to", "session", "user", "final")} == {
        "reply_id": "r1",
        "in_reply_to": "m1",
        "session": "c1",
        "user": "u1",
        "final": True,
    }


def test_in_the_form_text_there_are_no_marks_and_no_card():
    reply = Reply(id="r1", text="**Sunny**", card=Card(title="Sky", markdown="*blue*"))
    found = encode(reply, in_reply_to="m1", target={}, form="text")
    assert "card" not in found
    assert found["text"] == "Sunny\n\nSky\n\nblue"
