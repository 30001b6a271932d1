"""The channel: partial text as differences, and nothing else to send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.channels.base import WebhookRequest
from ai_engine.channels.webchat.channel import WebChatChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import NotFound
from ai_engine.domain.reply import Reply
from ai_engine.events.base import MemoryEvents, Partial

from support.chat import outgoing
from support.clock import ManualClock
from support.hosts import make_host

KEY = "webchat:user:/ann"


class Recording(MemoryEvents):
    def __init__(self) -> None:
        super().__init__()
        self.published: list[Partial] = []

    def publish(self, news):
        self.published.append(news)
        super().publish(news)


def channel(events) -> WebChatChannel:
    return WebChatChannel("webchat", ChannelConfig(), make_host(events=events))


async def test_an_update_publishes_only_what_is_new():
    events = Recording()
    chat = channel(events)
    handle = await chat.open_stream({"session_key": KEY}, "m1")
    for text in ("Hello", "Hello", "Hello world"):
        await chat.update(handle, text)
    assert [(p.turn, p.offset, p.text) for p in events.published] == [
        ("m1", 0, "Hello"),
        ("m1", 5, " world"),
    ]


async def test_a_text_that_takes_back_its_end_is_published_from_where_it_differs():
    events = Recording()
    chat = channel(events)
    handle = await chat.open_stream({"session_key": KEY}, "m1")
    for text in ("call 123", "call ***", "call"):
        await chat.update(handle, text)
    assert [(p.offset, p.text) for p in events.published] == [(0, "call 123"), (5, "***"), (4, "")]


async def test_the_next_turn_begins_anew_even_if_the_last_one_was_not_finished():
    events = Recording()
    chat = channel(events)
    for turn in ("m1", "m2"):
        handle = await chat.open_stream({"session_key": KEY}, turn)
        await chat.update(handle, f"Hello {turn}")
    assert [(p.turn, p.offset, p.text) for p in events.published] == [
        ("m1", 0, "Hello m1"),
        ("m2", 0, "Hello m2"),
    ]
    partial = events.partial(KEY)
    assert partial is not None
    assert partial.text == "Hello m2"


@given(st.lists(st.text(alphabet="ab你😀", max_size=6), max_size=8))
async def test_applying_the_differences_gives_the_full_text_again(texts):
    events = Recording()
    chat = channel(events)
    handle = await chat.open_stream({"session_key": KEY}, "m1")
    shown = ""
    for text in texts:
        before = len(events.published)
        await chat.update(handle, text)
        for partial in events.published[before:]:
            shown = shown[: partial.offset] + partial.text
        assert shown == text
        known = events.partial(KEY)
        assert (known.text if known else "") == text


async def test_finishing_ends_the_partial_text_and_can_be_repeated():
    events = Recording()
    chat = channel(events)
    handle = await chat.open_stream({"session_key": KEY}, "m1")
    await chat.update(handle, "Hello")
    for _ in range(2):
        await chat.finish(handle, outgoing(Reply(id="r1", text="Hello"), KEY))
    assert events.partial(KEY) is None
    assert events.published[-1].done


async def test_the_same_key_gives_the_same_stream_and_no_session_gives_none():
    chat = channel(MemoryEvents())
    one = await chat.open_stream({"session_key": KEY}, "m1")
    assert one == await chat.open_stream({"session_key": KEY, "more": 1}, "m1")
    assert await chat.open_stream({}, "m1") is None
    assert await chat.open_stream({"session_key": ""}, "m1") is None


async def test_webhook_calls_are_turned_away():
    async def accept(message):
        raise AssertionError("nothing may be accepted")

    request = WebhookRequest(method="POST", path="", headers={}, query={}, body=b"{}")
    with pytest.raises(NotFound):
        await channel(MemoryEvents()).webhook(request, accept)


async def test_the_status_tells_how_long_ago_something_was_sent():
    clock = ManualClock()
    chat = WebChatChannel("webchat", ChannelConfig(), make_host(clock=clock))
    assert chat.status().last_event_age_seconds is None
    await chat.send(outgoing(Reply(id="r1", text="Hello"), KEY))
    await clock.advance(3)
    status = chat.status()
    assert (status.state, status.last_event_age_seconds) == ("ready", 3)
