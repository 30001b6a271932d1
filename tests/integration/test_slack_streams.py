"""Streamed answers on the simulated Slack: deltas, edits, ends, and what becomes of failures."""

from typing import Any

import pytest

from ai_engine.channels.slack.channel import SlackChannel
from ai_engine.domain.errors import PermissionMissing, SendRetryable
from ai_engine.domain.message import InboundMessage, Json
from ai_engine.domain.reply import Button, Card
from ai_engine.simulators.slack import SlackSimulator
from ai_engine.simulators.transcript import Entry

from support.clock import ManualClock
from support.slack_world import Engine, bot_entries, out, world


async def asked(simulator: SlackSimulator, engine: Engine, chat: str = "group") -> InboundMessage:
    await simulator.say("zhangsan", "hello", chat=chat)
    return await engine.next()


async def opened(engine: Engine, message: InboundMessage, key: str = "k1") -> Json:
    handle = await engine.channel.open_stream(message.target, key)
    assert handle is not None
    return handle


def only(simulator: SlackSimulator) -> Entry:
    [entry] = bot_entries(simulator)
    return entry


def sent(simulator: SlackSimulator, method: str) -> list[str]:
    return [row["body"] for row in simulator.wire.rows(path=f"/api/{method}")]


async def test_a_stream_grows_by_what_is_new_and_ends_with_its_buttons():
    async with world() as (simulator, engine):
        message = await asked(simulator, engine)
        handle = await opened(engine, message)
        assert await engine.channel.open_stream(message.target, "k1") == handle
        for text in ("Look", "Looking it", "Looking it up <!"):
            await engine.channel.update(handle, text)
        assert (only(simulator).text, only(simulator).state) == ("Looking it up ", "streaming")
        card = Card(buttons=(Button(label="b", value={"a": 1}),))
        final = out(message, "Looking it up <!doctype>. **Done**", card=card, feedback="fb")
        await engine.channel.finish(handle, final)
        entry = only(simulator)
        assert (entry.text, entry.state) == ("Looking it up <!doctype>. **Done**", "finished")
        assert entry.reply_to == message.target["ts"]
        assert [button["label"] for button in entry.buttons] == ["b"]
        deltas = sent(simulator, "chat.appendStream")
        assert '"markdown_text":"ing it"' in deltas[1]
        assert sent(simulator, "chat.update") == []
        await simulator.rate(entry.id, "good")
        assert (await engine.next()).payload["of"] == "fb"


async def test_in_a_channel_slack_is_told_for_whom_the_stream_is():
    async with world() as (simulator, engine):
        await opened(engine, await asked(simulator, engine))
        [body] = sent(simulator, "chat.startStream")
        assert '"recipient_user_id":"zhangsan"' in body
        assert '"recipient_team_id":"T0SIMULATED"' in body


@pytest.mark.parametrize("refused", [False, True])
async def test_where_slack_does_not_stream_one_message_is_edited(refused: bool):
    clock = ManualClock()
    async with world(clock=clock) as (simulator, engine):
        simulator.faults.streaming_refused = refused
        message = await asked(simulator, engine, "group" if refused else "private")
        handle = await opened(engine, message)
        assert not handle["native"]
        await engine.channel.update(handle, "Look")
        await engine.channel.update(handle, "Looking")  # too soon: the next one shows it
        assert only(simulator).text == "Look"
        await clock.advance(2)
        await engine.channel.update(handle, "Looking it")
        assert only(simulator).text == "Looking it"
        await engine.channel.finish(handle, out(message, "Done"))
        await engine.channel.finish(handle, out(message, "Done"))
        assert only(simulator).text == "Done"


async def test_words_in_text_form_are_streamed_as_text():
    async with world(reply="text") as (simulator, engine):
        message = await asked(simulator, engine)
        handle = await opened(engine, message)
        await engine.channel.update(handle, "**x** <!channel>")
        assert only(simulator).text == "x <!channel>"
        await engine.channel.finish(handle, out(message, "**y**"))
        assert only(simulator).text == "y"


async def test_a_rewritten_answer_takes_the_place_of_what_was_shown():
    async with world() as (simulator, engine):
        message = await asked(simulator, engine)
        handle = await opened(engine, message)
        await engine.channel.update(handle, "I think 5")
        await engine.channel.update(handle, "No: 6")  # not what was shown and more: kept back
        assert only(simulator).text == "I think 5"
        await engine.channel.finish(handle, out(message, "No: 6 days", feedback="fb"))
        entry = only(simulator)
        assert (entry.text, entry.state) == ("No: 6 days", "finished")
        await simulator.rate(entry.id, "bad")
        assert (await engine.next()).payload["rating"] == "bad"


async def test_a_stream_that_slack_has_ended_gets_its_text_in_place():
    clock = ManualClock()
    async with world(clock=clock) as (simulator, engine):
        message = await asked(simulator, engine)
        handle = await opened(engine, message)
        await engine.channel.update(handle, "Look")
        await clock.advance(301)
        await engine.channel.update(handle, "Looking")
        assert only(simulator).state == "failed"
        await engine.channel.update(handle, "Looking it")
        await engine.channel.finish(handle, out(message, "Looking it up: done"))
        entry = only(simulator)
        assert (entry.text, entry.state) == ("Looking it up: done", "finished")


async def test_a_message_that_cannot_be_written_any_more_is_answered_by_another():
    clock = ManualClock()
    async with world(clock=clock) as (simulator, engine):
        message = await asked(simulator, engine)
        handle = await opened(engine, message)
        await engine.channel.update(handle, "Look")
        await clock.advance(301)
        simulator.faults.edits_refused = True
        await engine.channel.finish(handle, out(message, "Done"))
        first, second = bot_entries(simulator)
        assert (first.state, second.text) == ("failed", "Done")


async def test_after_a_restart_the_stream_is_finished_and_twice_is_once():
    async with world() as (simulator, engine):
        message = await asked(simulator, engine)
        handle = await opened(engine, message)
        await engine.channel.update(handle, "Look")
        old = engine.channel
        engine.channel = SlackChannel("slack", old.config, old.host)
        await engine.channel.update(handle, "Looking it")  # what is shown is not known: no delta
        assert only(simulator).text == "Look"
        for _ in range(2):
            await engine.channel.finish(handle, out(message, "Looking it up: done"))
            entry = only(simulator)
            assert (entry.text, entry.state) == ("Looking it up: done", "finished")


async def test_a_lost_answer_doubles_no_words():
    async with world() as (simulator, engine):
        message = await asked(simulator, engine)
        handle = await opened(engine, message)
        await engine.channel.update(handle, "one")
        simulator.faults.drop_answer = 1
        with pytest.raises(SendRetryable):
            await engine.channel.update(handle, "one two")
        await engine.channel.update(handle, "one two three")
        simulator.faults.drop_answer = 1
        with pytest.raises(SendRetryable):
            await engine.channel.finish(handle, out(message, "one two three four"))
        await engine.channel.finish(handle, out(message, "one two three four"))
        entry = only(simulator)
        assert (entry.text, entry.state) == ("one two three four", "finished")


async def test_a_throttled_update_is_made_up_for_by_the_next():
    clock = ManualClock()
    async with world(clock=clock) as (simulator, engine):
        message = await asked(simulator, engine)
        handle = await opened(engine, message)
        simulator.faults.change({"throttle_after": 0, "throttle_times": 1})
        await engine.channel.update(handle, "one")
        await engine.channel.update(handle, "one two")
        assert only(simulator).text == ""
        await clock.advance(2)
        await engine.channel.update(handle, "one two three")
        assert only(simulator).text == "one two three"
        assert simulator.faults.throttle_after == -1


async def test_a_throttled_end_is_tried_again():
    async with world() as (simulator, engine):
        message = await asked(simulator, engine)
        handle = await opened(engine, message)
        await engine.channel.update(handle, "one")
        simulator.faults.change({"throttle_after": 0, "throttle_times": 1})
        with pytest.raises(SendRetryable) as caught:
            await engine.channel.finish(handle, out(message, "one two"))
        assert caught.value.retry_after_seconds == 1.0
        await engine.channel.finish(handle, out(message, "one two"))
        assert (only(simulator).text, only(simulator).state) == ("one two", "finished")


async def test_blocks_that_cannot_be_shown_do_not_cost_the_end_of_a_stream():
    async with world() as (simulator, engine):
        message = await asked(simulator, engine)
        handle = await opened(engine, message)
        await engine.channel.update(handle, "one")
        simulator.faults.blocks_refused = True
        await engine.channel.finish(handle, out(message, "one **two**", feedback="fb"))
        assert (only(simulator).text, only(simulator).state) == ("one *two*", "finished")


async def test_a_scope_that_is_missing_at_the_end_of_a_stream_is_named():
    async with world() as (simulator, engine):
        message = await asked(simulator, engine)
        handle = await opened(engine, message)
        simulator.faults.missing_scope = "chat:write"
        with pytest.raises(PermissionMissing, match="chat:write"):
            await engine.channel.finish(handle, out(message, "done"))
        simulator.faults.change({"missing_scope": "", "not_in_channel": True})
        await engine.channel.finish(handle, out(message, "done"))
        assert (only(simulator).text, only(simulator).state) == ("done", "finished")


async def test_a_long_card_follows_a_stream_as_a_message_of_its_own():
    async with world() as (simulator, engine):
        message = await asked(simulator, engine)
        handle = await opened(engine, message)
        await engine.channel.update(handle, "x" * 20_000)
        assert len(only(simulator).text) == engine.channel.capabilities.text_limit
        card = Card(title="t", markdown="m" * 3000)
        await engine.channel.finish(handle, out(message, "x" * 11_000, card=card))
        first, second = bot_entries(simulator)
        assert (first.state, second.card and second.card["title"]) == ("finished", "t")


@pytest.mark.parametrize(
    ("knob", "error"),
    [({"missing_scope": "chat:write"}, PermissionMissing), ({"error_burst": 1}, SendRetryable)],
)
async def test_a_stream_that_cannot_be_opened_says_why(
    knob: dict[str, Any], error: type[Exception]
):
    async with world() as (simulator, engine):
        message = await asked(simulator, engine)
        simulator.faults.change(knob)
        with pytest.raises(error):
            await engine.channel.open_stream(message.target, "k1")
        assert bot_entries(simulator) == []
