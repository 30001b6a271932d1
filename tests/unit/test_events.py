"""News that may be lost: bounded, told when lost, and never the next turn's loss."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from ai_engine.events.base import MemoryEvents, Partial, Progressed


def partial(text, *, turn="t1", offset=0, done=False, key="k"):
    return Partial(session_key=key, turn=turn, offset=offset, text=text, done=done)


async def next_of(news):
    async with asyncio.timeout(5):
        return await news.next()


async def test_news_reach_the_readers_of_their_session_in_order():
    events = MemoryEvents()
    with events.subscribe("k") as one, events.subscribe("k") as two, events.subscribe("x") as other:
        events.publish(Progressed(session_key="k", n=1))
        events.publish(partial("a"))
        for news in (one, two):
            assert await next_of(news) == Progressed(session_key="k", n=1)
            assert await next_of(news) == partial("a")
        assert not other._items


async def test_a_reader_that_waits_is_woken():
    events = MemoryEvents()
    with events.subscribe("k") as news:
        waiting = asyncio.create_task(news.next())
        await asyncio.sleep(0)
        events.publish(Progressed(session_key="k", n=7))
        async with asyncio.timeout(5):
            assert (await waiting).n == 7


async def test_a_reader_that_is_too_slow_is_told_once_and_goes_on_with_what_is_new():
    events = MemoryEvents(queue_size=3)
    with events.subscribe("k") as news:
        for n in range(1, 6):
            events.publish(Progressed(session_key="k", n=n))
        assert await next_of(news) is None
        assert [(await next_of(news)).n for _ in range(2)] == [4, 5]
        events.publish(Progressed(session_key="k", n=6))
        assert (await next_of(news)).n == 6


async def test_nothing_is_kept_for_those_who_left():
    events = MemoryEvents()
    with events.subscribe("k"), events.subscribe("k"):
        pass
    assert events._readers == {}
    events.publish(Progressed(session_key="k", n=1))
    assert events._readers == {}


def test_the_partial_of_a_running_turn_is_whole_whatever_was_published():
    events = MemoryEvents()
    assert events.partial("k") is None
    events.publish(partial("Hello"))
    events.publish(partial(" world", offset=5))
    assert events.partial("k") == partial("Hello world")
    events.publish(partial("there", offset=6))
    assert events.partial("k") == partial("Hello there"), "an end may be taken back"


def test_a_new_turn_begins_its_own_partial():
    events = MemoryEvents()
    events.publish(partial("old text"))
    events.publish(partial("new", turn="t2", offset=3))
    assert events.partial("k") == partial("new", turn="t2")


def test_the_end_of_a_turn_takes_its_own_partial_away_and_no_other():
    events = MemoryEvents()
    events.publish(partial("one"))
    events.publish(partial("two", turn="t2"))
    events.publish(partial("", turn="t1", done=True))
    assert events.partial("k") == partial("two", turn="t2"), "the next turn has begun already"
    events.publish(partial("", turn="t2", done=True))
    events.publish(partial("", turn="t2", done=True))
    assert events.partial("k") is None


@given(texts=st.lists(st.text("ab", max_size=6), max_size=12))
def test_any_sequence_of_whole_texts_is_followed(texts):
    """As the web chat publishes: what is common stays, the rest is replaced."""
    events, shown = MemoryEvents(), ""
    for text in texts:
        at = next((i for i, (a, b) in enumerate(zip(shown, text, strict=False)) if a != b), -1)
        at = min(len(shown), len(text)) if at < 0 else at
        events.publish(partial(text[at:], offset=at))
        shown = text
        assert events.partial("k").text == text
