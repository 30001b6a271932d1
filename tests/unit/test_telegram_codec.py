"""Telegram's updates and marks."""

import contextlib
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_engine.channels.http import parse
from ai_engine.channels.telegram import codec, keyboard, markup
from ai_engine.channels.telegram.content import Me
from ai_engine.channels.text import size
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import InboundMessage, MessageKind
from ai_engine.domain.reply import Button
from ai_engine.simulators.telegram.markup import read_html, units

from support.hosts import MemoryMedia

ME = Me(id=42, username="Helper_Bot")
SENDER = {"id": 7, "is_bot": False, "first_name": "San", "last_name": "Zhang"}
PRIVATE = {"id": 7, "type": "private", "first_name": "San"}
GROUP = {"id": -1001, "type": "supergroup", "title": "Team"}


def message(chat=PRIVATE, **fields):
    body = {"message_id": 5, "from": SENDER, "chat": chat, "date": 1, **fields}
    return {"update_id": 9, "message": {k: v for k, v in body.items() if v is not None}}


def read(update):
    return codec.decode(update, ME, "tg", 5.0)


def entity(kind, text, marked, **more):
    offset = units(text[: text.index(marked)])
    return {"type": kind, "offset": offset, "length": units(marked), **more}


def group_text(text, *marks, **fields):
    entities = [entity(kind, text, marked, **more) for kind, marked, more in marks]
    return read(message(GROUP, text=text, entities=entities, **fields))


# Words


def test_a_private_text_is_read_with_who_where_and_how_to_answer():
    found = read(message(text="  hello  "))
    assert found.text == "hello"
    assert (found.message_id, found.chat.id, found.sender.user_id) == ("7:5", "7", "7")
    assert (found.sender.name, found.channel, found.received_at) == ("San Zhang", "tg", 5.0)
    assert found.target == {
        **{"chat_id": 7, "kind": "private", "message_id": 5, "thread_id": 0},
        "conversation": "7",
    }


@pytest.mark.parametrize(
    ("text", "marks", "said"),
    [
        ("@helper_bot hi", [("mention", "@helper_bot", {})], "hi"),
        ("😀😀 @HELPER_BOT hi", [("mention", "@HELPER_BOT", {})], "😀😀 hi"),
        ("你好@Helper_Bot", [("mention", "@Helper_Bot", {})], "你好"),
        ("Bot hi", [("text_mention", "Bot", {"user": {"id": 42}})], "hi"),
        ("/ask@helper_bot what", [("bot_command", "/ask@helper_bot", {})], "/ask what"),
        ("/stop", [("bot_command", "/stop", {})], "/stop"),
        (
            "@Helper_Bot ask 李四 or @lisi",
            [
                ("mention", "@Helper_Bot", {}),
                ("text_mention", "李四", {"user": {"id": 8}}),
                ("mention", "@lisi", {}),
            ],
            "ask @李四 or @lisi",
        ),
    ],
)
def test_in_a_group_the_bot_s_mention_goes_and_other_people_s_stay(text, marks, said):
    assert group_text(text, *marks).text == said


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("hello all", []),
        ("@other_bot hi", [("mention", "@other_bot", {})]),
        ("/ask@other_bot hi", [("bot_command", "/ask@other_bot", {})]),
        ("mail me@helper_bot", []),
        ("see /etc", [("bot_command", "/etc", {})]),
    ],
)
def test_group_talk_that_does_not_name_the_bot_is_not_taken(text, marks):
    assert group_text(text, *marks) is None


def test_a_reply_to_the_bot_needs_no_mention_and_brings_the_quote():
    asked = {"message_id": 4, "from": {"id": 42, "is_bot": True}, "text": "whole answer"}
    assert group_text("why?", reply_to_message=asked).quote == "whole answer"
    marked = group_text("why?", reply_to_message=asked, quote={"text": "answer"})
    assert marked.quote == "answer"
    topic = {**asked, "text": None, "forum_topic_created": {"name": "t"}}
    assert group_text("just talk", reply_to_message=topic) is None
    other = {"message_id": 4, "from": {"id": 8, "is_bot": False}, "text": "x"}
    assert group_text("just talk", reply_to_message=other) is None


def test_only_a_forum_topic_is_a_thread():
    assert read(message(text="x", message_thread_id=3)).chat.thread == ""
    found = read(message(text="x", message_thread_id=3, is_topic_message=True))
    assert (found.chat.thread, found.target["thread_id"]) == ("3", 3)


@pytest.mark.parametrize(
    "entities",
    [
        [{"type": "mention", "offset": -1, "length": 3}],
        [{"type": "mention", "offset": 0, "length": 999}],
        [{"type": "mention", "offset": "0", "length": True}],
        ["mention", None, 5],
        {"a": 1},
        [{"type": "bot_command", "offset": 0, "length": 1}],
    ],
)
def test_entities_that_lie_outside_the_text_are_passed_over(entities):
    assert read(message(text="hello", entities=entities)).text in ("hello", "ello")


@pytest.mark.parametrize("kind", ["bot_command", "text_mention"])
@pytest.mark.parametrize("offset", [0, 1, 2])
def test_an_entity_that_cuts_a_character_in_two_leaves_words_that_can_be_stored(kind, offset):
    entities = [{"type": kind, "offset": offset, "length": 1, "user": {"id": 9}}]
    read(message(text="😀😀 x", entities=entities)).text.encode()


# Kinds


@pytest.mark.parametrize(
    ("fields", "kind", "text", "files"),
    [
        ({"photo": [{"file_id": "s", "file_size": 1}, {"file_id": "l"}]}, "text", "", ["l"]),
        (
            {"photo": [{"file_id": "s"}, {"file_id": "l", "file_size": 30_000_000}]},
            *("text", "", ["s"]),
        ),
        ({"document": {"file_id": "d"}, "caption": "read"}, "text", "read", ["d"]),
        ({"voice": {"file_id": "v"}}, "unsupported", "语音 / voice message", ["v"]),
        ({"video": {"file_id": "v"}, "caption": "look"}, "text", "look", ["v"]),
        ({"video_note": {"file_id": "v"}}, "unsupported", "视频消息 / video message", ["v"]),
        ({"sticker": {"file_id": "s", "emoji": "👍"}}, "text", "👍", ["s"]),
        ({"sticker": {"file_id": "s", "is_animated": True, "emoji": "👍"}}, "text", "👍", []),
        ({"sticker": {"file_id": "s", "is_video": True}}, "unsupported", "贴纸 / sticker", []),
        ({"location": {"latitude": 1}}, "unsupported", "位置 / location", []),
        ({"venue": {}, "location": {}}, "unsupported", "地点 / venue", []),
        ({"poll": {"id": "1"}}, "unsupported", "投票 / poll", []),
        ({"something_new": 1}, "unsupported", "something_new", []),
    ],
)
def test_what_can_be_read_is_read_and_the_rest_is_named(fields, kind, text, files):
    found = read(message(**fields))
    assert (found.kind, found.text) == (MessageKind(kind), text)
    assert [file.ref for file in found.attachments] == files


@pytest.mark.parametrize(
    "update",
    [
        message(new_chat_members=[SENDER]),
        message(pinned_message={"text": "x"}),
        message(text="hi", **{"from": {"id": 8, "is_bot": True}}),
        message(text="hi", **{"from": None}),
        message(text="hi", sender_chat={"id": -5}),
        message({"id": -1, "type": "channel"}, text="hi"),
        {"update_id": 1, "channel_post": {"message_id": 1, "text": "hi"}},
        {"update_id": 1, "something_new": {}},
        {"update_id": 1, "callback_query": {"id": "1", "from": SENDER, "inline_message_id": "x"}},
    ],
)
def test_service_messages_bots_and_channel_posts_are_ignored(update):
    assert read(update) is None


def test_an_edit_names_its_original_and_has_a_key_of_its_own():
    update = {"update_id": 31, "edited_message": message(text="new")["message"]}
    found = read(update)
    assert (found.kind, found.text, found.payload) == (MessageKind.EDIT, "new", {"of": "7:5"})
    assert found.message_id == "update:31"
    live = {"update_id": 32, "edited_message": message(location={"latitude": 2})["message"]}
    assert read(live) is None


def test_a_key_stays_the_same_when_an_update_is_repeated():
    for update in (
        message(text="x"),
        {"update_id": 3, "callback_query": {"id": "881", "from": SENDER}},
        {"update_id": 3, "my_chat_member": {"chat": GROUP}},
    ):
        assert codec.message_key(update) == codec.message_key(json.loads(json.dumps(update)))
    assert codec.message_key({"update_id": 3}) != codec.message_key({"update_id": 4})


@pytest.mark.parametrize("text", ["/start", "/start deep-link"])
def test_start_is_a_welcome(text):
    found = read(message(text=text, entities=[entity("bot_command", text, "/start")]))
    assert found.kind is MessageKind.WELCOME


@pytest.mark.parametrize(
    ("chat", "old", "new", "who", "welcome"),
    [
        (GROUP, "left", "member", 42, True),
        (GROUP, "kicked", "administrator", 42, True),
        (GROUP, "member", "administrator", 42, False),
        (GROUP, "member", "left", 42, False),
        (GROUP, "left", "member", 8, False),
        (PRIVATE, "kicked", "member", 42, False),
    ],
)
def test_only_being_added_to_a_group_is_a_welcome(chat, old, new, who, welcome):
    update = {
        "update_id": 1,
        "my_chat_member": {
            **{"chat": chat, "from": SENDER, "old_chat_member": {"status": old}},
            "new_chat_member": {"status": new, "user": {"id": who}},
        },
    }
    assert (read(update) is not None) is welcome


@pytest.mark.parametrize(
    ("old", "new", "rating"),
    [
        ([], ["👍"], "good"),
        (["👍"], ["👎"], "bad"),
        (["👎"], [], "none"),
        ([], ["🎉"], None),
        (["👍"], ["👍", "🎉"], None),
    ],
)
def test_thumbs_rate_and_other_reactions_say_nothing(old, new, rating):
    def emojis(given):
        return [{"type": "emoji", "emoji": each} for each in given]

    body = {"chat": PRIVATE, "message_id": 3, "user": SENDER}
    update = {
        "update_id": 1,
        "message_reaction": {**body, "old_reaction": emojis(old), "new_reaction": emojis(new)},
    }
    found = read(update)
    assert (found and found.payload["rating"]) == rating


# Bad input


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b"\xff", b"[" * 5000])
def test_a_body_that_is_no_object_is_malformed(body):
    with pytest.raises(Malformed):
        parse(body)


@pytest.mark.parametrize(
    "update",
    [
        {},
        {"update_id": "1"},
        {"update_id": True},
        {"update_id": 1, "message": {"text": "no chat"}},
        message({"id": "7", "type": "private"}, text="x"),
        message({"id": 10**30, "type": "private"}, text="x"),
        message(text="x", message_id="5"),
        message(text="x", **{"from": {"id": "7"}}),
        {"update_id": 1, "callback_query": {"from": SENDER, "message": {"chat": PRIVATE}}},
    ],
)
def test_an_update_that_is_none_is_malformed(update):
    with pytest.raises(Malformed):
        read(update)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)
_KEYS = ("text", "caption", "entities", "photo", "document", "sticker", "quote", "media_group_id")
_KINDS = ("message", "edited_message", "callback_query", "message_reaction", "my_chat_member")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(_KINDS),
    st.sampled_from([PRIVATE, GROUP]),
    st.dictionaries(
        st.sampled_from((*_KEYS, "from", "chat", "user", "id", "data", "reply_to_message")), _JSON
    ),
)
def test_whatever_an_update_holds_is_read_ignored_or_refused(kind, chat, fields):
    update = {"update_id": 1, kind: {**message(chat, text="@Helper_Bot")["message"], **fields}}
    try:
        found = read(update)
    except Malformed:
        return
    assert found is None or isinstance(found, InboundMessage)


@settings(max_examples=100, deadline=None)
@given(_JSON | st.dictionaries(st.sampled_from(("update_id", *_KINDS)), _JSON))
def test_no_json_of_chance_fails_otherwise(found):
    with contextlib.suppress(Malformed):
        read(parse(json.dumps(found).encode()))


# Marks


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("**b** *i* ~~s~~ `c<d`", "<b>b</b> <i>i</i> <s>s</s> <code>c&lt;d</code>"),
        ("# Title\ntext", "<b>Title</b>\n\ntext"),
        ("- a\n- b\n  - c\n\nend", "• a\n• b\n  • c\n\nend"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("```py\nx<1\n```", '<pre><code class="language-py">x&lt;1</code></pre>'),
        ("> q\n>> r", "<blockquote>q\n\nr</blockquote>"),
        ("[l](https://x.y/?a=1&b=2)", '<a href="https://x.y/?a=1&amp;b=2">l</a>'),
        ("[l](ftp://x.y)", "l"),
        ("![pic](https://x.y/p.png)", '<a href="https://x.y/p.png">pic</a>'),
        ("a <b>raw</b> & c", "a &lt;b&gt;raw&lt;/b&gt; &amp; c"),
        ("one\n\n---\n\ntwo", "one\n\n———\n\ntwo"),
        ("|a|b|\n|-|-|\n|1|2|", "• <b>a</b>: 1; <b>b</b>: 2"),
    ],
)
def test_markdown_becomes_the_marks_that_telegram_takes(markdown, html):
    [page] = markup.pages(markdown, "markdown")
    assert page.html == html
    assert read_html(page.html)[0] == page.plain


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("*_~`#>-[](){}<>&!|\n 1.a😀\"'\\/:"), max_size=60))
def test_whatever_the_markdown_telegram_can_read_what_becomes_of_it(markdown):
    for page in markup.pages(markdown, "markdown"):
        if page.html:
            assert read_html(page.html)[0].strip() == page.plain.strip()


@pytest.mark.parametrize("text", ["😀" * 6000, "# a\n" * 3000, "|a|b|\n|-|-|\n" + "|1|2|\n" * 2000])
@pytest.mark.parametrize("form", ["markdown", "text"])
def test_no_page_is_longer_than_telegram_takes(text, form):
    found = markup.pages(text, form)
    assert len(found) > 1
    assert all(0 < size(page.plain, "utf16") <= markup.LIMIT for page in found)


def test_an_empty_text_has_no_page():
    assert markup.pages("  \n", "markdown") == markup.pages("", "text") == []
    assert markup.head("", "markdown") is None


# Buttons


@pytest.mark.parametrize("value", [{"a": 1}, {"text": "值" * 40}, {"call": "c" * 200, "n": None}])
async def test_a_button_s_value_survives_telegram_s_64_bytes(value):
    media = MemoryMedia()
    made = await keyboard.keyboard((Button(label="ok", value=value),), "", media)
    data = made["inline_keyboard"][0][0]["callback_data"]
    assert 1 <= len(data.encode()) <= 64
    assert await keyboard.pressed(data, media) == value


@pytest.mark.parametrize("data", ["", "no json", "[1]", "f" * 64, '"text"'])
async def test_data_of_no_button_of_ours_has_no_value(data):
    assert await keyboard.pressed(data, MemoryMedia()) is None


# Speed


def test_reading_and_rendering_takes_less_than_a_millisecond():
    update = message(GROUP, text="@Helper_Bot hi", entities=[entity("mention", "@H", "@H")])
    text = "Some **bold** words and `code`.\n\n- one\n- two\n"
    read(update), markup.pages(text, "markdown")
    began, rounds = time.process_time(), 200
    for _ in range(rounds):
        read(update)
        markup.pages(text, "markdown")
    assert (time.process_time() - began) / rounds < 0.001
