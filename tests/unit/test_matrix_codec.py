"""Matrix's JSON to messages, markdown to its HTML, without a homeserver."""

import html.parser
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_engine.channels.matrix import cards, codec, markup
from ai_engine.channels.matrix.sync import _filters
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import InboundMessage

ME = codec.Me(id="@bot:example.org", name="AI助手")
PLACE = codec.Place(id="!r:example.org", private=True)
TAGS = frozenset(
    [
        *("del", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "p", "a"),
        *("ul", "ol", "sup", "sub", "li", "b", "i", "u", "strong", "em"),
        *("s", "code", "hr", "br", "div", "table", "thead", "tbody", "tr", "th"),
        *("td", "caption", "pre", "span", "details", "summary"),
    ]
)


def said(body, **more):
    return {"msgtype": "m.text", "body": body, **more}


def replied(body, **more):
    return said(body, **{"m.relates_to": {"m.in_reply_to": {"event_id": "$q"}}}, **more)


def pilled(body, *pills):
    links = " ".join(f'<a href="https://matrix.to/#/{user}">{name}</a>' for user, name in pills)
    return said(body, formatted_body=links)


def decoded(content, kind="m.room.message"):
    event = {"event_id": "$1", "sender": "@alice:example.org", "content": content}
    base = codec.base("matrix", event, PLACE, now=1.0)
    return codec.fill(base, kind, content, ME)


# Keys


def test_a_key_stays_the_same_when_an_event_is_read_again():
    event = {"event_id": "$1", "sender": "@a:b", "content": said("x")}
    again = {**event, "unsigned": {"age": 9}}
    assert codec.message_key(event) == codec.message_key(again) == "$1"


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"event_id": "1", "sender": "@a:b"},
        {"event_id": "$" * 300, "sender": "@a:b"},
        {"event_id": "$1"},
        {"event_id": "$1", "sender": "a"},
        {"event_id": "$1", "sender": "@a:b c"},
        {"event_id": "$1", "sender": f"@{'a' * 300}:b"},
    ],
)
def test_an_event_without_id_or_sender_is_malformed(event):
    with pytest.raises(Malformed):
        codec.check(event)


# Mentions


@pytest.mark.parametrize(
    ("content", "meant"),
    [
        (said("hi", **{"m.mentions": {"user_ids": ["@bot:example.org"]}}), True),
        (said("AI助手 hi", **{"m.mentions": {"user_ids": ["@bob:example.org"]}}), False),
        (said("AI助手 hi", **{"m.mentions": {}}), False),
        (said("hi", **{"m.mentions": {"room": True}}), False),
        (said("hi", **{"m.mentions": 5}), False),
        (said("@bot:example.org hi"), True),
        (said("ask @bot:example.org.uk"), False),
        (said("AI助手: hi"), True),
        (said("@AI助手 hi"), True),
        (said("bot: hi"), True),
        (said("the bot is nice"), False),
        (said("robot hi"), False),
        (pilled("AI助手 hi", ("@bot:example.org", "AI助手")), True),
        (pilled("AI助手 hi", ("%40bot:example.org", "x")), True),
        (pilled("Bob hi", ("@bob:example.org", "Bob")), False),
        (replied("> <@bot:example.org> AI助手: x\n\nhi"), False),
        (
            said("hi", formatted_body="<mx-reply><a href='https://matrix.to/#/@bot:example.org'>"),
            False,
        ),
    ],
)
def test_who_is_meant(content, meant):
    assert codec.names(content, ME) is meant


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (said("@bot:example.org: what now"), "what now"),
        (said("what now, @bot:example.org"), "what now"),
        (said("AI助手：你好"), "你好"),
        (said("@AI助手 你好"), "你好"),
        (said("问问 @AI助手 吧"), "问问 吧"),
        (pilled("AI助手: ask Bob", (ME.id, "AI助手"), ("@bob:b", "Bob")), "ask @Bob"),
        (pilled("ask @Bob", ("@bob:b", "Bob")), "ask @Bob"),
        (said("robot stays"), "robot stays"),
        (said("AI助手"), ""),
    ],
)
def test_the_bot_s_mention_goes_and_other_people_s_become_names(content, words):
    assert codec.without_mention(content["body"], content, ME) == words


# Words, quotes, files


@pytest.mark.parametrize(
    ("content", "words", "quote"),
    [
        (replied("> <@bob:b> one\n> two\n\nyes"), "yes", "one\ntwo"),
        (replied("> * <@bob:b> waves\n\nyes"), "yes", "waves"),
        (replied("yes"), "yes", ""),
        (said("> I quote myself\n\nyes"), "> I quote myself\n\nyes", ""),
        (replied("> only a quote"), "", "only a quote"),
    ],
)
def test_what_old_clients_quote_is_the_quote(content, words, quote):
    assert codec.words_of(content) == (words, quote)


def test_a_thread_s_fallback_is_no_reply():
    relation = {"rel_type": "m.thread", "event_id": "$t", "m.in_reply_to": {"event_id": "$q"}}
    assert codec.answered(said("x", **{"m.relates_to": relation})) == "$q"
    relation["is_falling_back"] = True
    assert codec.answered(said("x", **{"m.relates_to": relation})) == ""
    assert codec.thread_of(said("x", **{"m.relates_to": relation})) == "$t"


def test_a_file_s_name_is_no_text_and_its_caption_is():
    file = {"msgtype": "m.image", "body": "a.png", "url": "mxc://a/b", "info": {"size": 5}}
    message = decoded(file)
    (found,) = message.attachments
    assert (message.text, found.kind, found.name, found.bytes_size) == ("", "image", "a.png", 5)
    assert decoded({**file, "body": "look", "filename": "a.png"}).text == "look"


@pytest.mark.parametrize(
    ("content", "kind", "named"),
    [
        (said("here") | {"msgtype": "m.location"}, "m.room.message", "位置 / location"),
        ({"body": "smile"}, "m.sticker", "贴纸 / sticker"),
        ({}, "m.poll.start", "投票 / poll"),
        (
            {"msgtype": "m.file", "body": "x", "file": {}},
            "m.room.message",
            "加密文件 / encrypted file",
        ),
    ],
)
def test_what_cannot_be_read_is_named(content, kind, named):
    message = decoded(content, kind)
    assert (message.kind, message.text) == ("unsupported", named)


@pytest.mark.parametrize("content", [{}, said("x") | {"msgtype": "m.notice"}, said("  ")])
def test_notices_removed_messages_and_silence_are_not_answered(content):
    assert decoded(content) is None


def test_a_msgtype_that_nobody_knows_is_read_by_its_body():
    assert decoded({"msgtype": "org.new", "body": "fallback"}).text == "fallback"


@pytest.mark.parametrize(
    ("key", "rating", "number"),
    [
        *[("👍", "good", 0), ("👍🏿", "good", 0), ("👎️", "bad", 0), ("1️⃣", "", 1), ("9⃣", "", 9)],
        *[("❤️", "", 0), ("", "", 0), ("12", "", 12), ("0️⃣", "", 0), ("１", "", 0), ("100", "", 0)],
    ],
)
def test_reactions_rate_or_choose(key, rating, number):
    assert (codec.rating_of(key), cards.chosen(key)) == (rating, number)


def test_only_what_followed_the_invitation_is_read_in_a_new_room():
    def member(how, before=None, n=0):
        return {
            "event_id": f"$m{n}",
            "type": "m.room.member",
            "state_key": ME.id,
            "content": {"membership": how},
            "unsigned": {"prev_content": {"membership": before}} if before else {},
        }

    old, early, late = {"event_id": "$o"}, {"event_id": "$e"}, {"event_id": "$l"}
    invite, join = member("invite"), member("join", "invite")
    assert codec.since_invited([old, invite, early, join, late], ME) == [invite, early, join, late]
    assert codec.since_invited([old, join, late], ME) == [join, late]
    renamed = member("join", "join")
    assert codec.since_invited([old, renamed, late], ME) == [old, renamed, late]


# Markup


class Reader(html.parser.HTMLParser):
    """Raises at what Matrix does not allow, or what is not closed."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, tag
        for name, value in attrs:
            assert (tag, name) in {("a", "href"), ("code", "class"), ("ol", "start")}, (tag, name)
            if name == "href":
                assert value.lower().startswith(("https:", "http:", "mailto:", "ftp:", "magnet:"))
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("br", "hr"):
            assert self.open.pop() == tag


def readable(page):
    reader = Reader()
    reader.feed(page.html)
    reader.close()
    assert not reader.open


@given(st.text(alphabet="a*_`~#>-1.|[]()<&!\n 中:/", max_size=300))
@settings(max_examples=150, deadline=None)
def test_whatever_the_markdown_only_allowed_tags_come_of_it(markdown):
    for page in markup.pages(markdown, "markdown"):
        readable(page)
        assert page.body.strip()


def test_markdown_becomes_the_html_that_matrix_takes():
    (page,) = markup.pages("**a** [b](https://c) ![d](https://e/f) [g](tel:1)\nh", "markdown")
    assert page.html == (
        '<strong>a</strong> <a href="https://c">b</a> <a href="https://e/f">d</a> g<br />\nh'
    )
    readable(page)
    (table,) = markup.pages("|a|b|\n|-|:-:|\n|1|2|", "markdown")
    assert "<td>2</td>" in table.html
    (plain,) = markup.pages("nothing special", "markdown")
    assert plain == markup.Page(body="nothing special")


@pytest.mark.parametrize(
    "text", ['"' * 40_000, "<" * 40_000, "中" * 30_000, "**a** " * 10_000, "\x01" * 9_000]
)
def test_no_edit_is_larger_than_an_event_may_be(text):
    found = markup.pages(text, "markdown")
    assert all(page.bytes_size <= markup.CONTENT_BYTES_MAX for page in found)
    assert found


# Anything at all

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
CONTENTS = st.fixed_dictionaries(
    {},
    optional={
        "msgtype": st.sampled_from(["m.text", "m.image", "m.file", "m.notice", "m.emote"]) | VALUES,
        "body": st.text(max_size=40) | VALUES,
        "formatted_body": st.sampled_from(['<a href="https://matrix.to/#/@a:b">x</a>']) | VALUES,
        "url": st.sampled_from(["mxc://a/b"]) | VALUES,
        "info": VALUES,
        "m.mentions": VALUES,
        "m.relates_to": VALUES,
        "m.new_content": VALUES,
        cards.BUTTONS: VALUES,
        cards.MARKS: VALUES,
    },
)


@given(CONTENTS, st.sampled_from([*codec.TYPES, "m.odd"]), VALUES)
@settings(max_examples=200, deadline=None)
def test_whatever_an_event_holds_is_read_or_ignored(content, kind, odd):
    found = decoded(content, kind)
    assert found is None or isinstance(found, InboundMessage)
    codec.names(content, ME)
    codec.answered(content)
    codec.reacted(content)
    cards.feedback_of(content)
    event = {"content": content, "unsigned": odd, "sender": "@a:b", "type": kind, "redacts": odd}
    codec.newest(event)
    codec.redacted(event)
    codec.joined_now(event, ME)
    answer = {"rooms": {"invite": odd, "join": odd}}
    codec.invitations(answer, ME)
    codec.timelines(answer)


def test_the_poll_s_filter_is_small_enough_for_an_address():
    assert len(msgspec.json.encode(_filters(50))) < 1_000


def test_reading_and_rendering_takes_less_than_a_millisecond():
    content = pilled("AI助手: what is **up** with Bob?", (ME.id, "AI助手"), ("@bob:b", "Bob"))
    answer = "Some **words** about [it](https://example.org).\n\n" * 5
    decoded(content)
    started, rounds = time.process_time(), 100
    for _ in range(rounds):
        decoded(content)
        markup.pages(answer, "markdown")
    assert (time.process_time() - started) / rounds < 0.001
