"""Teams' activities as our messages, and our answers as activities."""

import json
import time
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_engine.channels.http import parse
from ai_engine.channels.teams import cards, codec, content
from ai_engine.domain.errors import Malformed
from ai_engine.domain.message import ChatKind, InboundMessage, MessageKind
from ai_engine.domain.reply import Button, Card, Reply

from support.hosts import MemoryMedia

BOT = {"id": "28:app", "name": "Helper"}


def activity(type_="message", **changes):
    return {
        "type": type_,
        "id": "1700000000001",
        "timestamp": "2026-01-01T00:00:00Z",
        "channelId": "msteams",
        "serviceUrl": "https://smba.trafficmanager.net/emea/",
        "from": {"id": "29:u1", "name": "Ann", "aadObjectId": "aad-1"},
        "conversation": {"id": "a:1", "conversationType": "personal", "tenantId": "T1"},
        "recipient": BOT,
        "text": "hello",
        "channelData": {"tenant": {"id": "T1"}},
        **changes,
    }


def group(text="<at>Helper</at> hello", *, mentions=(("28:app", "<at>Helper</at>"),), **changes):
    entities = [
        {"type": "mention", "mentioned": {"id": who}, "text": mark} for who, mark in mentions
    ]
    where = {"id": "19:x@thread.v2", "conversationType": "groupChat", "tenantId": "T1"}
    return activity(text=text, entities=entities, conversation=where, **changes)


def read(given):
    [found] = codec.decode(given, "teams", 5.0)
    return found


def test_a_private_text_is_decoded_with_all_that_an_answer_needs():
    message = read(activity(text=" 明天的会议 "))
    assert (message.kind, message.text) == (MessageKind.TEXT, "明天的会议")
    assert (message.channel, message.received_at) == ("teams", 5.0)
    assert message.message_id == "a:1|1700000000001"
    assert (message.sender.platform, message.sender.user_id) == ("teams", "aad-1")
    assert (message.sender.tenant, message.sender.name) == ("t1", "Ann")
    assert (message.chat.kind, message.chat.id) == (ChatKind.PRIVATE, "a:1")
    assert message.target == {
        "service": "https://smba.trafficmanager.net/emea/",
        "conversation": "a:1",
        "personal": True,
        "activity": "1700000000001",
        "bot": "28:app",
        "user": "aad-1",
        "tenant": "t1",
    }


def test_people_without_an_entra_id_are_known_by_their_teams_id():
    assert read(activity(**{"from": {"id": "29:guest"}})).sender.user_id == "29:guest"


@pytest.mark.parametrize(
    ("text", "mentions", "expected"),
    [
        ("<at>Helper</at> hello", [("28:app", "<at>Helper</at>")], "hello"),
        ("hello <at>Helper</at>&nbsp;there", [("28:app", "<at>Helper</at>")], "hello   there"),
        (
            "<at>Helper</at> ask <at>Bob</at>",
            [("28:app", "<at>Helper</at>"), ("29:b", "<at>Bob</at>")],
            "ask @Bob",
        ),
        ('<at id="0">Helper</at> hi', [("28:app", '<at id="0">Helper</at>')], "hi"),
        ("<at>Helper</at> hi", [], "hi"),
    ],
)
def test_the_bot_s_mention_goes_and_others_become_names(text, mentions, expected):
    assert read(group(text, mentions=mentions)).text == expected


def test_group_messages_that_do_not_mention_the_bot_are_not_for_it():
    assert codec.decode(group("hello", mentions=()), "teams", 0) == []
    assert codec.decode(group("<at>B</at> x", mentions=[("29:b", "<at>B</at>")]), "teams", 0) == []


def test_a_thread_of_a_channel_is_a_thread():
    where = {"id": "19:c@thread.tacv2;messageid=77", "conversationType": "channel"}
    data = {"tenant": {"id": "T1"}, "team": {"name": "Ops"}, "channel": {"name": "Alerts"}}
    message = read(group() | {"conversation": where, "channelData": data})
    assert (message.chat.kind, message.chat.id, message.chat.thread, message.chat.title) == (
        *(ChatKind.GROUP, "19:c@thread.tacv2", "77", "Alerts"),
    )
    assert message.target["conversation"] == where["id"]


@pytest.mark.parametrize(
    "sender", [{"id": "28:app"}, {"id": "28:another"}, {"id": "29:x", "role": "bot"}]
)
@pytest.mark.parametrize("type_", ["message", "messageReaction", "invoke", "messageUpdate"])
def test_what_bots_do_is_not_answered(sender, type_):
    assert codec.decode(activity(type_, **{"from": sender}), "teams", 0) == []


@pytest.mark.parametrize("type_", ["typing", "event", "endOfConversation", "trace", "handoff"])
def test_types_that_say_nothing_are_let_go(type_):
    assert codec.decode(activity(type_), "teams", 0) == []


# Quotes and attachments


def test_a_quote_is_found_in_both_forms():
    html = (
        '<blockquote itemscope itemtype="http://schema.skype.com/Reply" itemid="1"><strong>B'
        '</strong><p itemprop="preview">5 &lt; 6 <b>days</b></p></blockquote><p>why?</p>'
    )
    attached = [{"contentType": "text/html", "content": html}]
    message = read(activity(text="why?", attachments=attached))
    assert (message.text, message.quote) == ("why?", "5 < 6  days")
    entity = {"type": "quotedReply", "quotedReply": {"messageId": "1", "preview": "5 days"}}
    message = read(activity(text='<quoted messageId="1"/> why?', entities=[entity]))
    assert (message.text, message.quote) == ("why?", "5 days")


def test_a_quote_in_the_text_is_not_said_twice():
    entity = {"type": "quotedReply", "quotedReply": {"preview": "5 days"}}
    assert read(activity(text="5 days\r\n\r\nwhy?", entities=[entity])).text == "why?"


def test_files_and_pictures_are_attachments():
    given = [
        {"contentType": "text/html", "content": "<p>x</p>"},
        {"contentType": "image/*", "contentUrl": "https://smba.trafficmanager.net/v3/1"},
        {
            "contentType": content.FILE,
            "name": "a.pdf",
            "content": {"downloadUrl": "https://c.sharepoint.com/a", "fileType": "pdf"},
        },
        {"contentType": content.FILE, "name": "a.bin"},
    ]
    message = read(activity(text="", attachments=given))
    assert message.kind is MessageKind.TEXT
    assert [(a.kind, a.name, a.mime, a.ref) for a in message.attachments] == [
        ("image", "", "", "view:https://smba.trafficmanager.net/v3/1"),
        ("file", "a.pdf", "application/pdf", "file:https://c.sharepoint.com/a"),
        ("file", "a.bin", "application/octet-stream", ""),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attachments": [{"contentType": "application/x-poll"}]}, "application/x-poll"),
        ({"value": {"some": "form"}}, "卡片提交 / card submission"),
        ({}, "未知内容 / unknown content"),
    ],
)
def test_what_cannot_be_read_is_named(changes, said):
    message = read(activity(text="", **changes))
    assert (message.kind, message.text) == (MessageKind.UNSUPPORTED, said)


# Events


def test_buttons_come_as_messages_or_invokes():
    data = {codec.PRESSED: {"a": 1}}
    assert read(activity(text=None, value=data)).payload == data
    value = {"action": {"type": "Action.Execute", "verb": "press", "data": data}}
    message = read(activity("invoke", name=codec.CARD_ACTION, value=value, replyToId="9"))
    assert (message.kind, message.payload) == (MessageKind.BUTTON, data)
    assert message.target["activity"] == "9"
    with pytest.raises(Malformed):
        codec.decode(activity("invoke", name=codec.CARD_ACTION, value={}), "teams", 0)


@pytest.mark.parametrize("feedback", ['{"feedbackText": "good"}', {"feedbackText": "good"}])
def test_feedback_is_read_as_text_or_object(feedback):
    value = {"actionName": "feedback", "actionValue": {"reaction": "like", "feedback": feedback}}
    given = activity("invoke", name=codec.SUBMIT_ACTION, value=value, replyToId="9")
    assert read(given).payload == {"rating": "good", "of": "9", "text": "good"}


@pytest.mark.parametrize(
    ("change", "rating"),
    [
        ({"reactionsAdded": [{"type": "like"}]}, "good"),
        ({"reactionsAdded": [{"type": "1f44d_thumbsup"}]}, "good"),
        ({"reactionsAdded": [{"type": "angry"}]}, "bad"),
        ({"reactionsRemoved": [{"type": "heart"}]}, "none"),
        ({"reactionsAdded": [{"type": "surprised"}]}, None),
    ],
)
def test_reactions_are_ratings_when_they_say_so(change, rating):
    found = codec.decode(activity("messageReaction", replyToId="9", **change), "teams", 0)
    assert [m.payload["rating"] for m in found] == ([rating] if rating else [])


def test_edits_of_one_message_differ_and_name_it():
    data = {"eventType": "editMessage"}
    first = read(activity("messageUpdate", text="a", channelData=data))
    again = read(activity("messageUpdate", text="a", channelData=data, timestamp="later"))
    assert first.payload == again.payload == {"of": "a:1|1700000000001"}
    assert len({first.message_id, again.message_id, "a:1|1700000000001"}) == 3
    undeleted = activity("messageUpdate", channelData={"eventType": "undeleteMessage"})
    assert codec.decode(undeleted, "teams", 0) == []


def test_new_members_are_greeted_and_the_bot_is_not():
    people = [BOT, {"id": "29:a", "aadObjectId": "aad-a"}, {"id": "29:b"}]
    given = group() | {"type": "conversationUpdate", "membersAdded": people}
    found = codec.decode(given, "teams", 0)
    assert [m.sender.user_id for m in found] == ["aad-a", "29:b"]
    assert all(m.kind is MessageKind.WELCOME for m in found)
    assert len({m.message_id for m in found}) == 2


def test_who_adds_the_bot_is_greeted_once_by_whichever_event():
    added = activity("conversationUpdate", membersAdded=[BOT])
    installed = activity("installationUpdate", action="add")
    assert read(added).message_id == read(installed).message_id
    assert read(added).sender.user_id == "aad-1"
    for other in (
        activity("installationUpdate", action="remove"),
        activity("conversationUpdate", membersRemoved=[{"id": "29:a"}]),
        activity("conversationUpdate", membersAdded=[BOT], **{"from": BOT}),
    ):
        assert codec.decode(other, "teams", 0) == []


# Whatever comes


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"type": None}, "$.type"),
        ({"type": "x" * 2000}, "$.type"),
        ({"id": ""}, "$.id"),
        ({"id": 5}, "$.id"),
        ({"from": {}}, "$.from.id"),
        ({"from": "Ann"}, "$.from.id"),
        ({"conversation": []}, "$.conversation.id"),
        ({"conversation": {"id": "x" * 2000}}, "$.conversation.id"),
    ],
)
def test_what_is_missing_or_wrong_is_named(changes, path):
    with pytest.raises(Malformed) as caught:
        codec.decode(activity(**changes), "teams", 0)
    assert caught.value.message.startswith(f"{path}:")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_KEYS = (*activity(), "value", "name", "entities", "attachments", "membersAdded", "reactionsAdded")
_TYPES = st.sampled_from([*codec._READERS, "x"])


@settings(max_examples=150, deadline=None)
@given(_TYPES, st.dictionaries(st.sampled_from(_KEYS), _JSON))
def test_no_activity_of_chance_fails_but_as_malformed(type_, changes):
    try:
        found = codec.decode(activity(type_) | changes, "teams", 0)
    except Malformed:
        return
    assert all(isinstance(message, InboundMessage) for message in found)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | _JSON.map(lambda found: json.dumps(found).encode()))
def test_no_bytes_of_chance_fail_but_as_malformed(data):
    with suppress(Malformed):
        codec.decode(parse(data), "teams", 0)


def test_hostile_markup_takes_no_long_time():
    began = time.process_time()
    for text in ("<at>" * 40_000, "<" * 100_000, "<quoted " * 20_000, "<blockquote " * 9000):
        read(activity(text=text + "x"))
        html = [{"contentType": "text/html", "content": text}]
        codec.decode(activity(text="x", attachments=html), "teams", 0)
    assert time.process_time() - began < 2


# Out


async def rendered(reply, form="markdown", width=600):
    return await cards.rendered(reply, form, width, MemoryMedia())


async def test_words_are_sent_in_teams_markdown():
    [shown] = await rendered(Reply(id="r", text="**a**\x00\n\n| x | y |\n|---|---|\n| 1 | 2 |"))
    assert shown == {
        "type": "message",
        "text": "**a**\n\n- **x**: 1; **y**: 2",
        "textFormat": "markdown",
    }
    assert await rendered(Reply(id="r", text="")) == []


async def test_a_card_has_its_parts_and_buttons_their_two_ways_back():
    card = Card(
        title="T",
        markdown="# H\n```py\ncode\n```\n![alt](https://x.example/i.png) `c`",
        fields=(("a", "b"),),
        buttons=(
            Button(label="Go", value={"v": 1}, style="danger"),
            Button(label="Web", url="https://x.example"),
        ),
    )
    [shown] = await rendered(Reply(id="r", card=card), width=cards.FULL_WIDTH_FROM)
    assert "text" not in shown
    made = shown["attachments"][0]["content"]
    assert (made["version"], made["msteams"]) == ("1.5", {"width": "Full"})
    title, words, facts, actions = made["body"]
    assert title["text"] == "T"
    assert words["text"] == "**H**\ncode\n[alt](https://x.example/i.png) c"
    assert facts["facts"] == [{"title": "a", "value": "b"}]
    execute, web = actions["actions"]
    assert (execute["type"], execute["style"]) == ("Action.Execute", "destructive")
    assert execute["data"] == execute["fallback"]["data"] == {codec.PRESSED: {"v": 1}}
    assert web == {"type": "Action.OpenUrl", "title": "Web", "url": "https://x.example"}
    [narrow] = await rendered(Reply(id="r", card=card))
    assert "msteams" not in narrow["attachments"][0]["content"]


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab -#\n*"), max_size=60))
def test_what_is_shown_of_a_growing_answer_stays(text):
    shown = [cards.steady(text[:end], "markdown").rstrip() for end in range(len(text) + 1)]
    assert all(later.startswith(earlier) for earlier, later in pairwise(shown))


def test_a_growing_table_or_plain_text_waits_for_its_lines():
    table = "a\n| x | y |\n|---|---|\n| 1 | 2 |"
    assert [cards.steady(table[:end], "markdown") for end in (1, 5, 20, len(table))] == ["a"] * 4
    assert cards.steady(table + "\nb", "markdown") == "a\n- **x**: 1; **y**: 2\nb"
    assert cards.steady("one\ntwo **bo", "text") == "one"


def test_decoding_and_rendering_are_fast():
    given, began = activity(text="hello " * 20), time.process_time()
    for _ in range(300):
        read(given)
        cards.clean("**hello** " * 50, "markdown")
    assert (time.process_time() - began) / 300 < 0.001
