"""Mattermost's JSON: posts, reactions, callbacks; and replies as attachments."""

import contextlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_engine.channels.http import Answer
from ai_engine.channels.mattermost import about, cards, codec, hooks
from ai_engine.channels.mattermost.channel import MattermostChannel
from ai_engine.channels.mattermost.client import stream_over, throttle_seconds
from ai_engine.channels.mattermost.link import Position
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import ChatKind, InboundMessage, MessageKind
from ai_engine.domain.reply import Card, Reply

from support.hosts import make_host

ME = codec.Me(id="bot", username="ai-bot")
PRIVATE = codec.Where(id="dm", type="D")
GROUP = codec.Where(id="ch", type="O", title="Town")
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
_KEYS = st.sampled_from(
    (
        *("id", "user_id", "channel_id", "root_id", "message", "type", "props", "metadata"),
        *("file_ids", "edit_at", "delete_at", "emoji_name", "post_id", "text", "token", "command"),
        *("trigger_id", "trigger_word", "channel_name", "context", "ai_engine", "value", "embeds"),
    )
)
_ALIKE = st.dictionaries(_KEYS, _JSON | st.dictionaries(_KEYS, _JSON))


def post(message: str = "hello", **changes: Any) -> dict[str, Any]:
    return {
        "id": "p1",
        "create_at": 1,
        "edit_at": 0,
        "delete_at": 0,
        "user_id": "u1",
        "channel_id": "ch",
        "root_id": "",
        "message": message,
        "type": "",
        "props": {},
        "file_ids": [],
        "metadata": {},
        **changes,
    }


def read(
    body: dict[str, Any], where: codec.Where = PRIVATE, **options: Any
) -> InboundMessage | None:
    return codec.decode_post("mm", body, where, ME, 5.0, **options)


def complaint(decode: Callable[[], object]) -> str:
    """What Malformed says, `$` when nothing is wrong; any other error passes through."""
    try:
        decode()
    except Malformed as error:
        return error.message
    return "$"


# Posts.


def test_a_private_post_is_known_by_its_id_and_its_chat_by_the_person():
    message = read(post(" hi "), name="@zhangsan")
    assert message is not None
    assert (message.message_id, message.text, message.sender.name) == ("p1", "hi", "zhangsan")
    assert (message.chat.kind, message.chat.id, message.chat.thread) == ("private", "u1", "")
    assert message.target["conversation"] == message.target["channel"] == "dm"


def test_a_group_post_begins_a_thread_or_stays_in_one():
    begun, within = read(post("@ai-bot hi"), GROUP), read(post("@ai-bot hi", root_id="r"), GROUP)
    assert begun is not None
    assert within is not None
    assert (begun.chat.kind, begun.chat.title) == (ChatKind.GROUP, "Town")
    assert (begun.chat.thread, within.chat.thread) == ("p1", "r")


@pytest.mark.parametrize(
    ("words", "mentions", "said"),
    [
        ("@ai-bot hi", (), "hi"),
        ("hi @AI-Bot.", (), "hi ."),
        ("hi, @ai-bot: @lisi too", (), "hi, : @lisi too"),
        ("@ai-bot2 hi", (), None),
        ("x@ai-bot hi", (), None),
        ("@ai-bot.x hi", (), None),
        ("hi", ("bot",), "hi"),
        ("@here hi", ("bot",), None),
        ("@all @ai-bot hi", ("bot",), "@all  hi"),
        ("hi", ("u2",), None),
    ],
)
def test_a_group_post_is_read_when_it_names_the_bot(
    words: str, mentions: tuple[str, ...], said: str | None
):
    message = read(post(words), GROUP, mentions=mentions)
    assert (message.text if message else None) == said


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": "bot"},
        {"props": {"from_bot": "true"}},
        {"props": {"from_webhook": "true"}},
        {"type": "system_join_channel"},
    ],
)
def test_posts_of_programs_and_of_the_server_are_not_read(changes: dict[str, Any]):
    assert read(post(**changes)) is None


def test_files_are_attachments_with_what_is_known_of_them():
    info = {"id": "f1", "name": "a.png", "mime_type": "image/png", "size": 3}
    message = read(post("", file_ids=["f1", "f2"], metadata={"files": [info]}))
    assert message is not None
    assert [(a.kind, a.name, a.ref) for a in message.attachments] == [
        ("image", "a.png", "f1"),
        ("file", "", "f2"),
    ]


def test_an_edit_that_changed_no_words_is_none_and_two_edits_are_two():
    assert read(post(), event=codec.EDITED) is None
    first = read(post(edit_at=7), event=codec.EDITED)
    second = read(post(edit_at=8), event=codec.EDITED)
    assert first is not None
    assert second is not None
    assert first.kind is MessageKind.EDIT
    assert first.message_id != second.message_id


@pytest.mark.parametrize(
    ("emoji", "rating"),
    [("+1", "good"), ("thumbsup_dark_skin_tone", "good"), ("-1", "bad"), ("tada", "")],
)
def test_thumbs_of_any_colour_are_ratings(emoji: str, rating: str):
    assert codec.rating_of({"emoji_name": emoji}) == rating


def test_the_key_of_an_event_is_its_own_and_always_the_same():
    keys = [
        codec.message_key(event, "p1", version)
        for event in (codec.POSTED, codec.EDITED, codec.REACTED)
        for version in ("1", "1")
    ]
    assert keys[0] == "p1"
    assert len(set(keys)) == 3


# Fuzz.


@settings(max_examples=40, deadline=None)
@given(_ALIKE | st.dictionaries(st.text(), _JSON), st.sampled_from((PRIVATE, GROUP)))
def test_whatever_is_posted_is_a_message_nothing_or_malformed(
    body: dict[str, Any], where: codec.Where
):
    for event in (codec.POSTED, codec.EDITED, codec.DELETED):
        assert complaint(lambda event=event: read(body, where, event=event)).startswith("$")
    codec.decode_reaction("mm", body, body, where, 1.0, event=codec.REACTED, version="1")
    assert complaint(lambda: hooks.decode("mm", body, ME, 1.0)).startswith("$")
    codec.mention_list(body)


@settings(max_examples=60, deadline=None)
@given(st.binary() | st.text().map(str.encode), st.sampled_from(("", "application/json")))
def test_any_bytes_are_fields_or_malformed(body: bytes, kind: str):
    headers = {"content-type": kind}
    assert complaint(lambda: hooks.token(hooks.read(body, headers), headers)).startswith("$")


@settings(max_examples=40, deadline=None)
@given(_ALIKE)
async def test_any_press_is_a_message_or_malformed(body: dict[str, Any]):
    buttons = cards.Buttons("https://x.test", "s", make_host().media)
    press = buttons.opened(body)
    with contextlib.suppress(Malformed):
        assert (await buttons.message("mm", press, 1.0)).kind is MessageKind.BUTTON


# Callbacks.


def test_a_form_and_json_say_the_same():
    fields = {"token": "t", "post_id": "p1", "user_id": "u1", "channel_id": "ch", "text": "go hi"}
    form = hooks.read(urlencode(fields).encode(), {})
    whole = hooks.read(json.dumps(fields).encode(), {"content-type": "application/json"})
    assert form == whole
    message = hooks.decode("mm", {**form, "trigger_word": "go"}, None, 1.0)
    assert message is not None
    assert (message.message_id, message.text) == ("p1", "hi")


def test_a_command_proves_itself_by_its_header_too():
    assert hooks.token({}, {"authorization": "Token abc"}) == "abc"
    assert hooks.token({}, {"authorization": "Bearer abc"}) == ""


@pytest.mark.parametrize(("me", "kind"), [("b" * 26, "private"), ("c" * 26, "group")])
def test_a_command_is_private_only_in_the_channel_with_the_bot(me: str, kind: str):
    fields = {
        **{"command": "/ask", "trigger_id": "x" * 300, "user_id": "u1", "channel_id": "ch"},
        "channel_name": "a" * 26 + "__" + "b" * 26,
    }
    message = hooks.decode("mm", fields, codec.Me(id=me, username="ai-bot"), 1.0)
    assert message is not None
    assert message.chat.kind == kind
    assert len(message.message_id) < 60


# Replies.


async def test_what_the_message_says_the_card_does_not_repeat():
    card = Card(title="T", markdown="sunny")
    for text, said, left in (
        ("sunny", "", "sunny"),
        ("It is sunny today", "It is sunny today", None),
        ("More:", "More:", "sunny"),
    ):
        message, [found] = await cards.rendered(
            Reply(id="r", text=text, card=card), "markdown", {}, None, rate=False
        )
        assert (message, found.get("text")) == (said, left)


def _answer(status: int, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers=named, body=b"", retry_after=None)


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (_answer(200), None),
        (_answer(503), None),
        (_answer(429), 1.0),
        (_answer(429, x_ratelimit_reset="7"), 7.0),
        (_answer(429, x_ratelimit_reset="nan"), 1.0),
        (_answer(429, x_ratelimit_reset="1e99"), 600.0),
        (Answer(status=429, headers={}, body=b"", retry_after=3.0), 3.0),
    ],
)
def test_throttling_says_how_long_to_wait(answer: Answer, wait: float | None):
    assert throttle_seconds(answer) == wait


def test_a_post_is_over_when_it_cannot_be_edited_not_when_the_server_is_busy():
    over = {status for status in (200, 400, 403, 404, 429, 500) if stream_over(_answer(status))}
    assert over == {400, 403, 404}


# How far a connection has been read.


def test_what_is_not_durable_is_asked_for_again():
    position = Position("c1")
    for seq in (1, 2, 3):
        assert position.began(seq)
    position.done(1)
    position.done(3)
    assert position.wanted == 2
    position.synced(1000)
    assert position.synced_ms == 0
    position.done(2)
    position.synced(1000)
    assert (position.wanted, position.synced_ms) == (4, 1000)
    assert not position.began(6)


# Settings.


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"auth": {"token": "t"}}, "needs auth.url or endpoints.api"),
        ({"auth": {"url": "https://mm.test"}}, "a mattermost channel needs auth.token"),
        ({"mode": "webhook", "auth": {"url": "https://mm.test"}}, "needs auth.webhook_token"),
        ({"auth": {"url": "ftp://x", "token": "t"}}, "auth.url is not an http or https URL"),
        (
            {"auth": {"url": "https://mm.test", "token": "t"}, "callback_url": "nonsense"},
            "callback_url is not",
        ),
        ({"mode": "poll", "auth": {"url": "https://mm.test"}}, "poll is not a mode"),
    ],
)
def test_settings_that_cannot_work_are_named(config: dict[str, Any], said: str):
    channel = MattermostChannel("mm", ChannelConfig.model_validate(config), make_host())
    assert any(said in problem for problem in channel.problems)


def test_good_settings_have_no_problem_and_every_permission_says_why():
    for config in (
        {"auth": {"url": "https://mm.test", "app_secret": "t"}},
        {"endpoints": {"api": "https://mm.test"}, "auth": {"token": "t"}},
        {"mode": "webhook", "auth": {"url": "https://mm.test", "webhook_token": "t"}},
    ):
        channel = MattermostChannel("mm", ChannelConfig.model_validate(config), make_host())
        assert channel.problems == []
    assert all(p.zh and p.en and p.page for p in about.ABOUT.permissions)
