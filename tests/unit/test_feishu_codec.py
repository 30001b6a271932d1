"""Feishu's events as messages, answers as cards, frames as bytes."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_engine.channels.base import WebhookRequest
from ai_engine.channels.feishu import cards, codec, content, frames, happenings
from ai_engine.channels.feishu.about import ABOUT
from ai_engine.channels.feishu.channel import FeishuChannel
from ai_engine.channels.feishu.link import check_endpoint
from ai_engine.channels.feishu.recent import Messages, Recent, Seen
from ai_engine.channels.http import parse
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import Malformed, NotFound, SendRefused
from ai_engine.domain.message import Chat, ChatKind, MessageKind
from ai_engine.domain.reply import Button, Card
from ai_engine.security.egress import Egress
from ai_engine.simulators.feishu import frames as theirs
from ai_engine.simulators.feishu.cards import read_card

from support.clock import ManualClock
from support.hosts import MemoryNotes, make_host

BOT = {"key": "@_user_1", "id": {"open_id": "ou_bot"}, "name": "Bot"}
LISI = {"key": "@_user_10", "id": {"open_id": "ou_lisi"}, "name": "李四"}


def event(
    kind: str = "text", said: Any = None, *, chat: str = "p2p", mentions: Any = (), **more: Any
) -> dict[str, Any]:
    message = {
        "message_id": "om_1",
        "chat_id": "oc_1",
        "chat_type": chat,
        "message_type": kind,
        "content": json.dumps({"text": "hi"} if said is None else said),
        "mentions": list(mentions),
        **more,
    }
    sender = {"sender_id": {"open_id": "ou_1"}, "sender_type": "user", "tenant_key": "tk"}
    header = {"event_id": "e1", "event_type": codec.MESSAGE, "tenant_key": "tk"}
    return {"schema": "2.0", "header": header, "event": {"sender": sender, "message": message}}


def decode(found: dict[str, Any], bot: str = "ou_bot"):
    return codec.decode_message(codec.event_of(found), "feishu", bot, 1.0)


def test_a_private_text_names_its_person_chat_and_organisation():
    message = decode(event())
    assert (message.text, message.message_id, message.kind) == ("hi", "om_1", MessageKind.TEXT)
    assert (message.sender.user_id, message.sender.tenant) == ("ou_1", "tk")
    assert (message.chat.kind, message.chat.id) == ("private", "ou_1")
    assert message.target["conversation"] == "oc_1"


def test_somebody_of_another_organisation_is_of_that_one_whether_writing_or_pressing():
    found = event(chat="group", mentions=[BOT])
    found["event"]["sender"]["tenant_key"] = "other"
    assert decode(found).sender.tenant == "other"
    body = {
        "operator": {"open_id": "ou_1", "tenant_key": "other"},
        "context": {"open_chat_id": "oc_1"},
    }
    header = {**found["header"], "event_type": codec.PRESSED}
    press = codec.event_of({**found, "event": body, "header": header})
    said = happenings.button(press, "feishu", {"chat": "group"}, {}, 1.0)
    assert said.sender.tenant == "other"


def test_a_group_text_loses_the_bot_s_mention_and_keeps_the_others():
    said = {"text": "@_user_1 ask @_user_10 @_all"}
    message = decode(event(said=said, chat="group", mentions=[BOT, LISI]))
    assert (message.text, message.chat.id) == ("ask @李四", "oc_1")


ALL = {"key": "@_all", "id": {"open_id": ""}, "name": "所有人"}


@pytest.mark.parametrize(
    ("kind", "said", "mentions", "called", "text"),
    [
        ("text", {"text": "@_all 大家好"}, [ALL], True, "大家好"),
        ("text", {"text": "@_all大家好"}, [], True, "大家好"),
        ("text", {"text": "@_all_staff, a@_all.org"}, [], False, "@_all_staff, a@_all.org"),
        ("post", {"content": [[{"tag": "at", "user_id": "all"}]]}, [], True, ""),
        ("post", {"content": [[{"tag": "at", "user_id": "@_all"}]]}, [], True, ""),
        ("post", {"content": [[{"tag": "text", "text": "say @_all"}]]}, [], False, "say @_all"),
        ("file", {"file_key": "f", "file_name": "@_all"}, [], False, ""),
        ("text", {"text": "@_user_10 @_allo"}, [LISI], False, "@李四 @_allo"),
    ],
)
def test_only_a_mention_of_everybody_calls_the_bot(kind, said, mentions, called, text):
    found = event(kind, said, chat="group", mentions=mentions)
    assert codec.mentions_bot(codec.event_of(found), "ou_bot") is called
    assert decode(found).text == text


def test_a_post_is_its_words_pictures_and_links():
    post = {
        "title": "Title",
        "content": [
            [{"tag": "at", "user_id": "@_user_1"}, {"tag": "text", "text": "see "}],
            [{"tag": "a", "href": "https://a.b", "text": "this"}, {"tag": "img", "image_key": "k"}],
            [{"tag": "code_block", "language": "PY", "text": "x=1"}],
        ],
    }
    for said in (post, {"zh_cn": post}):
        message = decode(event("post", said, chat="group", mentions=[BOT]))
        assert message.text.startswith("Title\nsee \nthis (https://a.b)")
        assert "```PY\nx=1\n```" in message.text
        assert message.attachments[0].ref == "om_1/k/image"


@pytest.mark.parametrize(
    ("kind", "said", "found"),
    [
        ("image", {"image_key": "img_1"}, "om_1/img_1/image"),
        ("file", {"file_key": "f_1", "file_name": "a.pdf"}, "om_1/f_1/file"),
        ("audio", {"file_key": "f_1", "duration": 1}, "om_1/f_1/file"),
        ("media", {"file_key": "f_1", "image_key": "i"}, "om_1/f_1/file"),
    ],
)
def test_files_have_a_reference(kind: str, said: Any, found: str):
    message = decode(event(kind, said))
    assert message.attachments[0].ref == found
    assert content.resource(found) is not None


@pytest.mark.parametrize(
    "kind", ["sticker", "share_chat", "merge_forward", "location", "audio", "never heard of"]
)
def test_what_cannot_be_read_is_named(kind: str):
    message = decode(event(kind, {"file_key": "f"}))
    assert message.kind is MessageKind.UNSUPPORTED
    assert message.text


def test_a_forwarded_card_is_its_words():
    card = {"title": "T", "elements": [[{"tag": "text", "text": "<b>one</b>"}]]}
    assert decode(event("interactive", card)).text == "T\none"
    assert decode(event("interactive", {"elements": []})).kind is MessageKind.UNSUPPORTED


def test_old_schemas_are_refused_with_what_to_do():
    with pytest.raises(Malformed) as caught:
        codec.event_of({"uuid": "u", "type": "event_callback", "event": {}})
    assert "2.0" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("header", "event_id"), None, "event_id"),
        (("event",), [], "event"),
        (("event", "message"), None, "message"),
        (("event", "message", "message_id"), "", "message_id"),
        (("event", "message", "chat_type"), "other", "chat_type"),
        (("event", "message", "content"), "{", "JSON"),
        (("event", "message", "content"), '{"text":5}', "text"),
        (("event", "sender", "sender_id"), {}, "open_id"),
    ],
)
def test_a_malformed_event_says_what_is_wrong(path: tuple[str, ...], value: Any, said: str):
    found = event()
    found["header"]["event_type"] = codec.MESSAGE if path[0] != "header" else "x"
    at = found
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(Malformed, match=said):
        decode(found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "content", "tag", "title", "image_key", "file_key", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["text", "post", "image", "file", "audio", "interactive", "x"]),
    said=JSON,
    mentions=JSON,
    body=JSON,
)
def test_any_json_is_a_message_or_malformed(kind: str, said: Any, mentions: Any, body: Any):
    found = event(kind, said)
    found["event"]["message"]["mentions"] = mentions
    header = {"event_id": "e", "event_type": "x", "tenant_key": "t"}
    for attempt in (
        lambda: decode(found),
        lambda: codec.mentions_bot(codec.event_of(found), "ou_bot"),
        lambda: decode({"schema": "2.0", "header": header, "event": body}),
        lambda: happenings.pressed(codec.event_of({**found, "event": {"action": body}})),
        lambda: happenings.welcome(codec.event_of({**found, "event": body}), "c", 0),
    ):
        with suppress(Malformed):
            attempt()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_frame_or_malformed(data: bytes):
    for read in (frames.decode, parse):
        with suppress(Malformed):
            read(data)


def test_frames_of_both_sides_are_the_same():
    ours = frames.Frame(method=1, service=7, seq_id=300, headers={"type": "event"}, payload=b"x")
    found = theirs.unpack(frames.encode(ours))
    assert (found.seq_id, found.header("type"), found.payload) == (300, "event", b"x")
    assert frames.decode(theirs.pack(found)) == ours


def test_pieces_are_put_together_in_their_order_and_bounded():
    clock = ManualClock()
    pieces = frames.Fragments(clock)
    assert pieces.add("m", 1, 0, b"whole") == b"whole"
    assert pieces.add("m", 3, 2, b"c") is None
    assert pieces.add("m", 3, 0, b"a") is None
    assert pieces.add("m", 3, 0, b"a") is None
    assert pieces.add("m", 3, 1, b"b") == b"abc"
    for total, number in ((frames.PARTS_MAX + 1, 0), (3, 3), (3, -1)):
        with pytest.raises(Malformed):
            pieces.add("m", total, number, b"")
    with pytest.raises(Malformed):
        pieces.add("big", 2, 0, b"x" * (frames.EVENT_BYTES_MAX + 1))
    for number in range(frames.PENDING_MAX + 1):
        pieces.add(f"m{number}", 2, 0, b"")
    assert pieces.add("m0", 2, 1, b"b") is None


async def test_pieces_that_wait_too_long_are_forgotten():
    clock = ManualClock()
    pieces = frames.Fragments(clock)
    pieces.add("m", 2, 0, b"a")
    await clock.advance(frames.LIFE_SECONDS + 1)
    assert pieces.add("m", 2, 1, b"b") is None


@pytest.mark.parametrize(
    ("pixels", "mode"), [(200, "compact"), (400, "compact"), (600, "default"), (601, "fill")]
)
def test_the_card_s_width_is_one_of_feishu_s_three(pixels: int, mode: str):
    card = cards.answer_card("x", width=pixels, values={})
    assert card["config"]["width_mode"] == mode


@settings(max_examples=60, deadline=None)
@given(words=st.text(max_size=200), title=st.text(max_size=30), label=st.text(max_size=20))
def test_every_card_is_one_that_feishu_takes(words: str, title: str, label: str):
    card = Card(
        title=title,
        markdown=words,
        fields=((label, words),),
        buttons=(Button(label=label, style="primary"), Button(label=label, url="https://a.b")),
    )
    found = cards.answer_card(
        cards.clean(words), card, width=600, values={0: {"v": {}}}, feedback=cards.ratings("m")
    )
    assert len(read_card(cards.encoded(found)).buttons) == 4
    assert read_card(cards.encoded(cards.streaming_card(600))).streaming


def test_the_longest_part_fits_into_a_card():
    words = '"\\\n' * (cards.MARKDOWN_LIMIT_BYTES // 3)
    body = cards.card_body(cards.answer_card(words, width=600, values={}))
    assert len(msgspec.json.encode(body)) <= 30 * 1024


def test_what_is_remembered_is_bounded():
    recent: Recent[int] = Recent(2)
    for number in range(3):
        recent.put(f"{number}", number)
    assert [recent.get(f"{number}") for number in range(3)] == [None, 1, 2]


def test_reactions_and_recalls_of_unknown_messages_are_nobody_s():
    header = {"event_id": "e", "event_type": codec.REACTED}
    body = {"message_id": "om_x", "reaction_type": {"emoji_type": "THUMBSUP"}}
    found = codec.event_of({"schema": "2.0", "header": header, "event": body})
    assert happenings.is_thumb(found) is False  # not a person's
    assert happenings.reaction(found, "c", None, 0) is None
    assert happenings.recall(found, "c", None, 0) is None


@pytest.mark.parametrize("text", ["字" * 9_000, "\x01" * 9_000, '"' * 9_000, "", "🙂" * 9_000])
async def test_a_message_is_remembered_with_as_much_of_its_text_as_there_is_room_for(text):
    messages = Messages(MemoryNotes())
    seen = Seen(text=text, chat=Chat(kind=ChatKind.GROUP, id="oc_1"), feedback="f")
    messages.put("om_1", seen)
    found = await messages.get("om_1")
    assert found is not None
    assert (found.chat, found.feedback, found.sender) == (seen.chat, "f", None)
    assert text.startswith(found.text)
    assert len(found.text) >= min(len(text), 500)
    assert await messages.get("om_2") is None
    assert await messages.get("") is None


async def test_a_note_of_another_version_is_as_good_as_none():
    notes = MemoryNotes()
    Messages(notes).put("om_1", Seen(text="x", chat=Chat(kind=ChatKind.GROUP, id="oc_1")))
    notes.kept = dict.fromkeys(notes.kept, '{"words": "x"}')
    assert await Messages(notes).get("om_1") is None


@pytest.mark.parametrize(
    ("endpoint", "base", "good"),
    [
        ("wss://msg-frontier.feishu.cn/ws/v2?x=1", "https://open.feishu.cn", True),
        ("wss://msg-frontier-sg.larksuite.com/ws", "https://open.larksuite.com", True),
        ("ws://127.0.0.1:9/ws", "http://127.0.0.1:8", True),
        ("ws://msg-frontier.feishu.cn/ws", "https://open.feishu.cn", False),
        ("wss://feishu.cn.evil.com/ws", "https://open.feishu.cn", False),
        ("wss://evil.com/ws", "https://open.feishu.cn", False),
        ("wss://a@feishu.cn/ws", "https://open.feishu.cn", False),
        ("https://open.feishu.cn/ws", "https://open.feishu.cn", False),
        (None, "https://open.feishu.cn", False),
    ],
)
def test_connections_are_opened_to_feishu_only(endpoint: Any, base: str, good: bool):
    if good:
        assert check_endpoint(endpoint, base) == endpoint
    else:
        with pytest.raises(SendRefused):
            check_endpoint(endpoint, base)


def channel(**config: Any) -> FeishuChannel:
    auth = {"app_id": "a", "app_secret": "s", "verification_token": "v"}
    given = {"auth": auth, **config}
    return FeishuChannel("f", ChannelConfig.model_validate(given), make_host(Egress()))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"auth": {}}, "auth.app_id"),
        ({"auth": {"app_id": "a", "app_secret": "s"}}, "verification_token"),
        ({"mode": "poll"}, "mode"),
        ({"endpoints": {"api": "nonsense"}}, "endpoints.api"),
        ({"endpoints": {"oapi": "https://a.b"}}, "oapi"),
    ],
)
def test_missing_and_senseless_settings_are_named(config: dict[str, Any], said: str):
    assert said in channel(**config).status().detail


async def test_other_addresses_and_methods_are_not_answered():
    async def accept(_):
        raise AssertionError

    def request(**more: str) -> WebhookRequest:
        fields = {"method": "POST", "path": "", **more}
        return WebhookRequest(headers={}, query={}, body=b"{}", **fields)

    found = channel()
    assert (await found.webhook(request(method="GET"), accept)).status == 405
    with pytest.raises(NotFound):
        await found.webhook(request(path="/other"), accept)
    with pytest.raises(NotFound):
        await channel(mode="stream").webhook(request(), accept)


@pytest.mark.parametrize("to", ["", "user:", "nobody:x", "ou_1"])
def test_an_address_of_another_form_is_malformed(to: str):
    with pytest.raises(Malformed):
        channel().address(to)


def test_every_permission_says_why_in_both_languages():
    for permission in ABOUT.permissions:
        assert permission.zh
        assert permission.en
        assert "open.feishu.cn" in permission.page
