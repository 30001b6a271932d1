"""Feishu's streaming cards and its long connection, against the simulated Feishu."""

import asyncio

import pytest

from ai_engine.channels.feishu.channel import FeishuChannel
from ai_engine.config.schema import ChannelConfig
from ai_engine.domain.errors import SendRefused, SendRetryable
from ai_engine.domain.reply import Card, Reply
from ai_engine.security.egress import Egress
from ai_engine.simulators.feishu.ws import WsTimes

from support.feishu import AUTH, FeishuEngine, feishu_world
from support.hosts import make_host
from support.watched_clock import WatchedClock


async def opened(simulator, engine):
    """A question, its message, the handle of a streamed answer and its first entry."""
    asked = await simulator.say("zhangsan", "tell me")
    message = await engine.next()
    handle = await engine.channel.open_stream(message.target, "key-1")
    assert handle is not None
    return message, handle, await simulator.wait_reply(asked, unfinished=True)


async def finish(engine: FeishuEngine, message, handle, text, **reply):
    outgoing = engine.outgoing(message, Reply(id="r1", text=text, **reply))
    await engine.channel.finish(handle, outgoing)


async def test_an_answer_grows_in_one_card_and_ends_with_its_buttons():
    async with feishu_world() as (simulator, engine):
        message, handle, entry = await opened(simulator, engine)
        assert (entry.state, entry.text, entry.reply_to) == ("streaming", "", message.message_id)
        for text in ("Once", "Once upon", "Once upon a time"):
            await engine.channel.update(handle, text)
            assert simulator.transcript.get(entry.id).text == text
        await finish(engine, message, handle, "The end.", feedback="in_1", card=Card(title="Tale"))
        shown = simulator.transcript.get(entry.id)
        assert (shown.state, shown.text, shown.title) == ("finished", "The end.", "Tale")
        assert len(shown.buttons) == 2
        assert len(simulator.transcript.replies_to(message.message_id)) == 1


@pytest.mark.parametrize("frozen", [True, False])
async def test_an_end_may_come_twice_and_from_another_process(frozen: bool):
    async with feishu_world(clock=WatchedClock() if frozen else None) as (simulator, engine):
        message, handle, entry = await opened(simulator, engine)
        for text in ("a", "ab", "abc"):
            await engine.channel.update(handle, text)
        egress = Egress()
        await egress.start()
        settings = {"auth": AUTH, "endpoints": {"api": simulator.url}}
        other = FeishuChannel(
            "feishu",
            ChannelConfig.model_validate(settings),
            make_host(egress, engine.channel.clock),
        )
        outgoing = engine.outgoing(message, Reply(id="r1", text="whole"))
        await other.finish(handle, outgoing)
        await engine.channel.finish(handle, outgoing)
        await other.close()
        await egress.close()
        shown = simulator.transcript.get(entry.id)
        assert (shown.state, shown.text) == ("finished", "whole")
        assert len(simulator.transcript.replies_to(message.message_id)) == 1


@pytest.mark.parametrize("knob", [{"stream_timeout": 1}, {"stream_closed": True}])
async def test_a_stream_that_feishu_closed_stops_and_still_ends_in_its_card(knob: dict):
    async with feishu_world() as (simulator, engine):
        message, handle, entry = await opened(simulator, engine)
        await engine.channel.update(handle, "half")
        simulator.faults.change(knob)
        with pytest.raises(SendRefused):
            await engine.channel.update(handle, "half and more")
        await finish(engine, message, handle, "whole")
        shown = simulator.transcript.get(entry.id)
        assert (shown.state, shown.text) == ("finished", "whole")


async def test_a_card_that_cannot_be_written_any_more_is_followed_by_a_message():
    async with feishu_world() as (simulator, engine):
        message, handle, _ = await opened(simulator, engine)
        simulator.faults.card_gone = True
        await finish(engine, message, handle, "whole")
        texts = [e.text for e in simulator.transcript.replies_to(message.message_id)]
        assert texts[-1] == "whole"


async def test_a_stream_ended_after_ten_minutes_is_still_completed_in_its_card():
    clock = WatchedClock()
    async with feishu_world(clock=clock) as (simulator, engine):
        message, handle, entry = await opened(simulator, engine)
        await clock.advance(601)
        with pytest.raises(SendRefused, match="300309"):
            await engine.channel.update(handle, "late")
        await finish(engine, message, handle, "whole")
        assert simulator.transcript.get(entry.id).text == "whole"


async def test_a_sequence_that_another_clock_has_passed_is_overtaken():
    async with feishu_world() as (simulator, engine):
        simulator.faults.sequence_ahead = 60_000
        message, handle, entry = await opened(simulator, engine)
        with pytest.raises(SendRefused, match="300317"):
            await engine.channel.update(handle, "half")
        await finish(engine, message, handle, "whole")
        shown = simulator.transcript.get(entry.id)
        assert (shown.state, shown.text) == ("finished", "whole")


async def test_updates_within_one_millisecond_keep_their_order():
    async with feishu_world(clock=WatchedClock()) as (simulator, engine):
        message, handle, entry = await opened(simulator, engine)
        for number in range(5):
            await engine.channel.update(handle, f"text {number}")
        await finish(engine, message, handle, "whole")
        assert simulator.transcript.get(entry.id).text == "whole"


async def test_a_long_streamed_text_shows_its_beginning_and_ends_in_several_messages():
    async with feishu_world() as (simulator, engine):
        message, handle, entry = await opened(simulator, engine)
        text = "天气晴朗。\n" * 1000
        await engine.channel.update(handle, text)
        assert text.startswith(simulator.transcript.get(entry.id).text[:100])
        await finish(engine, message, handle, text)
        entries = simulator.transcript.replies_to(message.message_id)
        assert len(entries) > 1
        assert sum(e.text.count("晴朗") for e in entries) == 1000


async def test_a_throttled_card_is_tried_later():
    async with feishu_world() as (simulator, engine):
        message, handle, entry = await opened(simulator, engine)
        simulator.faults.gateway_limit = 1
        with pytest.raises(SendRetryable):
            await finish(engine, message, handle, "whole")
        await finish(engine, message, handle, "whole")
        assert simulator.transcript.get(entry.id).text == "whole"


async def test_without_the_right_answers_are_sent_whole():
    async with feishu_world() as (simulator, engine):
        await simulator.say("zhangsan", "hello")
        message = await engine.next()
        simulator.faults.missing_scope = "cardkit:card:write"
        assert await engine.channel.open_stream(message.target, "k") is None
        assert "cardkit:card:write" in engine.channel.status().detail
        asked = len(simulator.wire.rows(path="cardkit"))
        assert await engine.channel.open_stream(message.target, "k") is None
        assert len(simulator.wire.rows(path="cardkit")) == asked


async def test_a_lost_connection_comes_back_and_the_event_comes_again():
    async with feishu_world("stream") as (simulator, engine):
        simulator.faults.drop_at_frame = 1
        asked = await simulator.say("zhangsan", "into a breaking connection")
        await simulator.ws.wait_connections(0)
        await simulator.ws.wait_connections(1)
        await simulator.resend(asked)
        async with asyncio.timeout(5):
            while (await engine.next()).message_id != asked:
                pass
        assert engine.channel.status().state == "connected"


async def test_the_connection_is_pinged_at_once_and_as_often_as_feishu_wants():
    clock = WatchedClock()
    async with feishu_world("stream", clock=clock, times=WsTimes(ping=40)) as (simulator, engine):
        await clock.asleep(lambda seconds: seconds == 40)
        await clock.advance(40)
        async with asyncio.timeout(5):
            while simulator.ws.connections[0].pings < 2:
                await asyncio.sleep(0)
        assert engine.channel.status().last_event_age_seconds is not None


async def test_a_silent_connection_is_closed_and_opened_again():
    clock = WatchedClock()
    async with feishu_world("stream", clock=clock, times=WsTimes(ping=40)) as (simulator, _):
        [first] = simulator.ws.connections
        first._take = _deaf
        for times in range(1, 4):
            await clock.asleep(lambda seconds: seconds == 40, times)
            await clock.advance(40)
        await simulator.ws.wait_connections(0)
        await clock.asleep(lambda seconds: seconds <= 2)
        await clock.advance(2)
        await simulator.ws.wait_connections(1)
        assert simulator.ws.connections != [first]


async def _deaf(*_):
    """Takes frames and answers none."""


async def test_events_in_pieces_are_put_together():
    async with feishu_world("stream") as (simulator, engine):
        simulator.faults.fragment_bytes = 100
        asked = await simulator.say("zhangsan", "in pieces")
        assert (await engine.next()).text == "in pieces"
        assert (await simulator.wait_settled(asked)).status == "delivered"


async def test_an_event_is_acknowledged_only_when_it_was_taken():
    async with feishu_world("stream") as (simulator, engine):
        engine.full = True
        asked = await simulator.say("zhangsan", "hello")
        assert (await simulator.wait_settled(asked)).detail == "code 500"
        engine.full = False
        simulator.faults.malformed_json = True
        cut = await simulator.say("lisi", "hello")
        assert (await simulator.wait_settled(cut)).detail == "code 500"
        assert engine.inbox.empty()


@pytest.mark.parametrize(
    ("status", "said"),
    [(403, "long connection"), (1000040350, "as many long connections"), (514, "514")],
)
async def test_a_refused_connection_says_why_and_is_tried_again_slowly(status: int, said: str):
    clock = WatchedClock()
    async with feishu_world("stream", clock=clock) as (simulator, engine):
        simulator.faults.refuse_connection = status
        await simulator.ws.close()
        await clock.asleep(lambda seconds: seconds <= 1)
        await clock.advance(1)
        await clock.asleep(lambda seconds: seconds == 60)
        assert said in engine.channel.status().detail
        assert engine.channel.status().state == "failing"
        simulator.faults.clear()
        await clock.advance(60)
        await simulator.ws.wait_connections(1)


async def test_a_last_card_that_feishu_cannot_show_is_followed_by_its_words():
    async with feishu_world() as (simulator, engine):
        message, handle, _ = await opened(simulator, engine)
        await engine.channel.update(handle, "half")
        simulator.faults.change({"refuse_cards": 2})
        await finish(engine, message, handle, "the **whole**")
        texts = [e.text for e in simulator.transcript.replies_to(message.message_id)]
        assert texts[-1] == "the whole"
