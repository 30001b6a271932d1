"""Ingress: who shares a session, which lane, what is kept and counted."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.domain.errors import Overloaded
from ai_engine.domain.message import Chat, ChatKind, InboundMessage, Lane, MessageKind, Sender
from ai_engine.events.base import Progressed
from ai_engine.journal.base import Limits
from ai_engine.journal.memory import MemoryJournal
from ai_engine.pipeline import commands
from ai_engine.pipeline.ingress import lane, session_key

from support.bench import Bench
from support.clock import ManualClock

SCOPES = ("user", "group", "thread", "user_in_group")
ids = st.text(alphabet="ab:/%3A", max_size=4)
messages = st.builds(
    InboundMessage,
    channel=ids,
    message_id=st.just("m"),
    sender=st.builds(Sender, platform=st.just("p"), user_id=ids, tenant=ids),
    chat=st.builds(Chat, kind=st.sampled_from(list(ChatKind)), id=ids, thread=ids),
)


def members(message, scope):
    """Who shares the conversation, told by the message's parts themselves."""
    who = (message.sender.tenant, message.sender.user_id)
    chat = message.chat
    if scope == "user":
        return (message.channel, who)
    if chat.kind is ChatKind.PRIVATE:
        return (message.channel, "private", chat.id, who)
    shared = {"group": (), "thread": (chat.thread,), "user_in_group": who}[scope]
    return (message.channel, "group", chat.id, shared)


@given(one=messages, other=messages, scope=st.sampled_from(SCOPES))
def test_two_messages_share_a_key_exactly_when_their_scope_says_so(one, other, scope):
    same = members(one, scope) == members(other, scope)
    assert (session_key(one, scope) == session_key(other, scope)) is same


@given(one=messages, scope=st.sampled_from(SCOPES), data=st.data())
def test_changing_one_part_changes_the_key_only_when_the_scope_reads_it(one, scope, data):
    part = data.draw(st.sampled_from(["user", "tenant", "chat", "thread", "channel"]))
    new = data.draw(ids)
    other = {
        "user": lambda: replace(one, sender=replace(one.sender, user_id=new)),
        "tenant": lambda: replace(one, sender=replace(one.sender, tenant=new)),
        "chat": lambda: replace(one, chat=replace(one.chat, id=new)),
        "thread": lambda: replace(one, chat=replace(one.chat, thread=new)),
        "channel": lambda: replace(one, channel=new),
    }[part]()
    same = members(one, scope) == members(other, scope)
    assert (session_key(one, scope) == session_key(other, scope)) is same


def message(text="hello", **more):
    return InboundMessage(
        channel="chat",
        message_id=more.pop("id", "m1"),
        sender=Sender(platform="p", user_id="anna", tenant="t"),
        chat=Chat(kind=ChatKind.PRIVATE, id="c1"),
        text=text,
        **more,
    )


def test_keys_are_readable():
    assert session_key(message(), "user_in_group") == "chat:private:c1:t/anna"
    group = replace(message(), chat=Chat(kind=ChatKind.GROUP, id="g", thread="7"))
    assert [session_key(group, scope) for scope in SCOPES] == [
        "chat:user:t/anna",
        "chat:group:g",
        "chat:thread:g/7",
        "chat:member:g:t/anna",
    ]


@pytest.mark.parametrize("text", ["/stop", " /STOP ", "／stop", "/停止", "/停", "／停止"])
def test_a_stop_takes_the_control_lane(text):
    assert lane(message(text)) is Lane.CONTROL


@pytest.mark.parametrize("text", ["stop", "/stop it", "please /stop", "/help", "", "/stop" * 9])
def test_everything_else_keeps_its_order(text):
    assert lane(message(text)) is Lane.MAILBOX


def test_only_what_a_person_wrote_is_a_command():
    assert lane(message("/stop", kind=MessageKind.UNSUPPORTED)) is Lane.MAILBOX
    assert lane(message("/stop", kind=MessageKind.NOTICE)) is Lane.MAILBOX


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/new", commands.Command.NEW),
        ("/新会话", commands.Command.NEW),
        ("/帮助", commands.Command.HELP),
        ("／YES", commands.Command.YES),
        ("/拒绝", commands.Command.NO),
        ("/unknown", None),
        ("/" + "x" * 100, None),
    ],
)
def test_commands_are_known_in_both_languages(text, command):
    assert commands.parse(text) is command


async def test_the_trace_id_and_the_time_of_reading_are_kept_or_given():
    clock = ManualClock()
    async with MemoryJournal(clock=clock) as journal:
        bench = Bench(journal, clock)
        await bench.ingress.accept(message(id="m1", trace_id="t-theirs", received_at=5.0))
        await bench.ingress.accept(message(id="m2"))
        turns = journal.turns()
        first = (await anext(turns)).message
        assert (first.trace_id, first.received_at) == ("t-theirs", 5.0)
        assert (await bench.story("m1"))["trace_id"] == "t-theirs"
        given = (await bench.story("m2"))["trace_id"]
        assert given.startswith("t_")


async def test_a_duplicate_is_told_counted_and_no_news():
    clock = ManualClock()
    async with MemoryJournal(clock=clock) as journal:
        bench = Bench(journal, clock)
        key = bench.ingress.key(message())
        with bench.events.subscribe(key) as news:
            first = await bench.ingress.accept(message())
            again = await bench.ingress.accept(message())
            assert (first.duplicate, again.duplicate) == (False, True)
            assert first.id == again.id
            assert await news.next() == Progressed(session_key=key, n=1)
            assert not news._items
        count = "ai_engine_inbound_total"
        assert bench.metric(count, channel="chat", result="accepted") == 1
        assert bench.metric(count, channel="chat", result="duplicate") == 1


async def test_a_full_backlog_is_refused_and_counted_once():
    clock = ManualClock()
    async with MemoryJournal(Limits(backlog_messages_max=1), clock) as journal:
        bench = Bench(journal, clock)
        await bench.ingress.accept(message(id="m1"))
        turns = journal.turns()
        await anext(turns)
        assert bench.ingress.overloaded() is None
        with pytest.raises(Overloaded):
            await bench.ingress.accept(message(id="m2"))
        assert "refused" in bench.ingress.overloaded()
        await clock.advance(6)
        assert bench.ingress.overloaded() is None, "who asks later may find room"
        result = bench.metric(
            "ai_engine_inbound_total", channel="chat", result="refused:overloaded"
        )
        assert result == 1
