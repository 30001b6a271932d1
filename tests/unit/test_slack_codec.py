"""Slack's events, interactions and markup."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_engine.channels.slack import cards, codec, interactive, markup
from ai_engine.channels.slack.inbox import http_payload
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import InboundMessage, MessageKind
from ai_engine.domain.reply import Button, Card, Reply
from ai_engine.simulators.slack.blocks import read_blocks

NAMES = {"U2": "李四"}
CONTEXT = codec.Context(
    channel="slack",
    received_at=5.0,
    bots=frozenset({"UBOT"}),
    name_of=lambda user: NAMES.get(user, user),
)
EVENT: dict[str, Any] = {
    "type": "message",
    "channel_type": "im",
    "channel": "D1",
    "user": "U1",
    "text": "hello",
    "ts": "1.1",
}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_KEYS = (
    *EVENT,
    "subtype",
    "message",
    "previous_message",
    "deleted_ts",
    "files",
    "attachments",
    "tab",
    "thread_ts",
    "bot_id",
)


def envelope(**changes: Any) -> dict[str, Any]:
    return {
        "type": "event_callback",
        "event_id": "Ev1",
        "team_id": "T1",
        "event": {**EVENT, **changes},
    }


def read(**changes: Any) -> InboundMessage | None:
    return codec.decode(envelope(**changes), CONTEXT)


def complaint(work: Callable[[], object]) -> str:
    """Malformed's first words, or `$` when there is nothing to complain of."""
    try:
        work()
    except Malformed as error:
        return error.message
    return "$"


# Events


def test_a_private_message_is_decoded_with_all_that_an_answer_needs():
    message = read()
    assert message is not None
    assert (message.kind, message.text, message.message_id) == (MessageKind.TEXT, "hello", "D1:1.1")
    assert (message.sender.tenant, message.sender.user_id) == ("T1", "U1")
    assert message.target == {
        "conversation": "D1",
        "channel": "D1",
        "thread_ts": "",
        "ts": "1.1",
        "user": "U1",
        "team": "T1",
        "private": True,
    }


def test_the_two_events_of_one_mention_have_the_same_key():
    words = "<@UBOT> hi"
    one = envelope(type="app_mention", channel="C1", channel_type="", text=words)
    two = {**envelope(channel="C1", channel_type="channel", text=words), "event_id": "Ev2"}
    assert codec.message_key(one) == codec.message_key(two) == "C1:1.1"
    found = [codec.decode(event, CONTEXT) for event in (one, two)]
    assert found[0] == found[1]


def test_an_event_of_another_kind_is_known_by_its_id():
    assert codec.message_key(envelope(type="app_home_opened")) == "Ev1"
    assert codec.message_key(envelope(subtype="message_changed")) == "Ev1"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("<@UBOT> hi", "hi"),
        ("hi <@UBOT|bot>: you", "hi you"),
        ("<@UBOT> ask <@U2> and <@U3|Bob>", "ask @李四 and @Bob"),
        ("<@UBOT> <#C2|general> <#C3>", "#general #C3"),
        ("<@UBOT> <!here> <!subteam^S1|@ops> <!date^1^x|noon>", "@here @ops noon"),
        ("<@UBOT> <https://a.b/c|here> <https://a.b> <http://a.b/|a.b>",
         "here (https://a.b/c) https://a.b http://a.b/"),
        ("<@UBOT> <mailto:a@b.c|a@b.c>", "a@b.c"),
        ("<@UBOT> 1 &lt; 2 &amp;&amp; 3 &gt; 2 &amp;lt;", "1 < 2 && 3 > 2 &lt;"),
        ("<@UBOT>", ""),
    ],
)  # fmt: skip
def test_words_are_what_people_read(written: str, text: str):
    message = read(type="app_mention", channel="C1", channel_type="", text=written)
    assert message is not None
    assert message.text == text


@pytest.mark.parametrize(
    "changes",
    [
        {"user": "UBOT"},
        {"bot_id": "B1"},
        {"subtype": "bot_message", "bot_id": "B1"},
        {"bot_profile": {"id": "B1"}},
        {"subtype": "channel_join"},
        {"subtype": "channel_topic"},
        {"channel": "C1", "channel_type": "channel"},
        {"channel": "G1", "channel_type": "mpim", "text": "<@U2> hi"},
        {"type": "reaction_added"},
        {"type": "app_home_opened", "tab": "home"},
    ],
)
def test_what_is_not_said_to_the_bot_is_no_message(changes: dict[str, Any]):
    assert read(**changes) is None


@pytest.mark.parametrize("kind", ["channel", "group", "mpim"])
def test_in_channels_an_answer_goes_into_a_thread(kind: str):
    message = read(channel="C1", channel_type=kind, text="<@UBOT> hi")
    assert message is not None
    assert (message.chat.kind, message.chat.thread, message.target["thread_ts"]) == (
        "group",
        "1.1",
        "1.1",
    )
    answer = read(channel="C1", channel_type=kind, text="<@UBOT> hi", thread_ts="0.9")
    assert answer is not None
    assert answer.target["thread_ts"] == "0.9"


def test_a_preview_of_a_link_is_no_edit_and_the_bot_s_own_edits_are_nobody_s():
    post = {"user": "U1", "text": "see https://a.b", "ts": "1.1"}
    changed = {"subtype": "message_changed", "previous_message": post}
    assert read(**changed, message={**post, "attachments": [{}]}) is None
    assert read(**changed, message={**post, "text": "x", "bot_id": "B1"}) is None
    edit = read(**changed, message={**post, "text": "see"})
    assert edit is not None
    assert (edit.kind, edit.payload) == (MessageKind.EDIT, {"of": "D1:1.1"})


def test_a_deleted_message_with_answers_is_recalled_too():
    post = {"user": "U1", "text": "hi", "ts": "1.1"}
    gone = {"subtype": "tombstone", "user": "USLACKBOT", "ts": "1.1"}
    found = read(subtype="message_changed", message=gone, previous_message=post)
    assert found is not None
    assert (found.kind, found.payload) == (MessageKind.RECALL, {"of": "D1:1.1"})


def test_a_voice_clip_s_words_are_its_text():
    file = {
        "id": "F1",
        "subtype": "slack_audio",
        "mimetype": "audio/mp4",
        "transcription": {"status": "complete", "preview": {"content": " weather in Berlin "}},
    }
    message = read(subtype="file_share", text="", files=[file])
    assert message is not None
    assert (message.kind, message.text) == (MessageKind.TEXT, "weather in Berlin")
    assert message.attachments[0].kind == "audio"


def test_files_that_are_gone_are_left_out_and_one_without_address_is_known_by_its_id():
    files = [
        {"id": "F1", "mode": "tombstone"},
        {"id": "F2", "file_access": "check_file_info", "mimetype": "image/png"},
        "x",
    ]
    message = read(subtype="file_share", text="", files=files)
    assert message is not None
    assert [(file.kind, file.ref) for file in message.attachments] == [("image", "id:F2")]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"ts": None}, "$.event.ts"),
        ({"user": ""}, "$.event.user"),
        ({"channel": 3}, "$.event.channel"),
        ({"channel": "D" * 257}, "$.event.channel"),
        ({"subtype": "message_changed"}, "$.event.message"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(changes: dict[str, Any], path: str):
    with pytest.raises(Malformed) as caught:
        read(**changes)
    assert caught.value.message.startswith(path)


@given(
    st.binary(max_size=100),
    st.sampled_from(["application/json", "application/x-www-form-urlencoded"]),
)
def test_bytes_of_chance_are_malformed_and_nothing_else(data: bytes, content_type: str):
    assert complaint(lambda: http_payload({"content-type": content_type}, data)).startswith("$")


@given(st.dictionaries(st.sampled_from(_KEYS), _JSON), st.data())
def test_any_event_is_a_message_or_none_or_malformed(changes: dict[str, Any], data: st.DataObject):
    kept = data.draw(st.sets(st.sampled_from(_KEYS)))
    base = {
        **EVENT,
        "message": {"user": "U1", "ts": "1.0", "text": "x"},
        "previous_message": {"user": "U1", "ts": "1.0", "text": "y"},
    }
    event = {key: value for key, value in base.items() if key in kept} | changes
    if data.draw(st.booleans()):
        event["subtype"] = data.draw(st.sampled_from(["message_changed", "message_deleted", ""]))
    body = {**envelope(), "event": event}
    codec.people_in(body)
    codec.bots_of({"authorizations": changes.get("files")})
    assert complaint(lambda: codec.decode(body, CONTEXT)).startswith("$")


@given(
    st.dictionaries(
        st.sampled_from(["user", "channel", "container", "actions", "message", "team"]), _JSON
    )
)
def test_any_interaction_is_a_message_or_none_or_malformed(changes: dict[str, Any]):
    payload = {
        "type": "block_actions",
        "user": {"id": "U1"},
        "container": {"channel_id": "D1"},
        "actions": [{"action_id": "b", "action_ts": "1", "value": "{}"}],
        **changes,
    }
    interactive.people_in(payload)
    assert complaint(lambda: interactive.pressed_value(payload)).startswith("$")
    assert complaint(lambda: interactive.decode_action(payload, {}, CONTEXT)).startswith("$")


def test_a_form_is_an_interaction_a_command_or_a_check_of_the_address():
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    pressed = urlencode({"payload": json.dumps({"type": "block_actions"})}).encode()
    assert http_payload(headers, pressed) == ("interactive", {"type": "block_actions"})
    assert http_payload(headers, b"command=%2Fask&text=a+b")[1]["text"] == "a b"
    assert http_payload(headers, b"ssl_check=1&token=x")[0] == "ssl_check"


def test_a_shortcut_or_a_dialogue_is_no_message():
    assert interactive.decode_action({"type": "view_submission"}, {}, CONTEXT) is None


def test_an_empty_command_is_its_name():
    fields = {"user_id": "U1", "channel_id": "D1", "trigger_id": "t1", "command": "/ask"}
    assert interactive.decode_command(fields, CONTEXT).text == "/ask"


# Markup and cards


@pytest.mark.parametrize(
    ("markdown", "slack"),
    [
        ("**b** *i* ~~s~~ `c<d`", "*b* _i_ ~s~ `c&lt;d`"),
        ("# Head\ntext & more", "*Head*\n\ntext &amp; more"),
        ("## **Head**", "*Head*"),
        ("- a\n- b\n  - c\n\nend", "• a\n• b\n    • c\n\nend"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("> quoted\n> words", "> quoted\n> words"),
        ("```py\nx < 1\n```", "```\nx &lt; 1\n```"),
        ("[a|b](https://x.y/?a=1&b=2)", "<https://x.y/?a=1&amp;b=2|a¦b>"),
        ("[x](javascript:alert)", "[x](javascript:alert)"),
        ("[x](/path)", "x"),
        ("![alt](https://x.y/p.png)", "<https://x.y/p.png|alt>"),
        ("<b>html</b> <!channel>", "&lt;b&gt;html&lt;/b&gt; &lt;!channel&gt;"),
        ("|a|b|\n|-|-|\n|1|2|", "• *a*: 1; *b*: 2"),
        ("---", "———"),
        ("<https://x.y>", "<https://x.y>"),
    ],
)
def test_markdown_becomes_slack_s_own_marks(markdown: str, slack: str):
    assert markup.mrkdwn(markdown) == slack


@given(st.text(st.characters(codec=None), max_size=200))
def test_any_text_can_be_marked_up_and_calls_nobody(text: str):
    shown = markup.mrkdwn(cards.clean(text))
    assert "<!" not in shown
    assert "<@" not in shown
    whole = markup.harmless(cards.clean(text))
    assert "<!channel" not in whole
    assert whole.startswith(markup.settled(whole))
    json.dumps(cards.text_blocks(text)).encode()


@settings(max_examples=50)
@given(
    st.builds(
        Card,
        title=st.text(max_size=300),
        markdown=st.text(max_size=100).map(lambda text: text * 40),
        fields=st.lists(st.tuples(st.text(max_size=50), st.text(max_size=50)), max_size=60).map(
            tuple
        ),
        buttons=st.lists(
            st.builds(Button, label=st.text(max_size=100), value=st.just({"a": 1})), max_size=60
        ).map(tuple),
    )
)
def test_any_card_stays_within_slack_s_limits(card: Card):
    blocks = cards.card_blocks(card, ['{"a":1}'] * len(card.buttons))
    read_blocks([*cards.text_blocks("x"), *blocks, *cards.feedback_blocks("fb")])
    assert len(cards.notice(Reply(id="r", card=card))) <= 6 * 500


def test_a_value_that_is_too_long_for_slack_is_told_apart():
    assert cards.button_value({"a": "x" * 1990}) is not None
    assert cards.button_value({"a": "x" * 1993}) is None
