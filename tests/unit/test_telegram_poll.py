"""Long polling, with a client whose answers the test gives."""

import asyncio
import json

import pytest

from ai_engine.channels.telegram.client import Said
from ai_engine.channels.telegram.poll import Poller
from ai_engine.domain.errors import Malformed, SendRetryable

from support.watched_clock import WatchedClock


class Client:
    """Gives what `answers` holds, then waits for ever, as a long poll does."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.asked = []
        self.idle = asyncio.Event()

    async def ask(self, method, params, *, seconds_max, bytes_max):
        self.asked.append((params["offset"], params["timeout"], seconds_max))
        if not self._answers:
            self.idle.set()
            await asyncio.Event().wait()
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def updates(*numbers):
    return Said(status=200, body={"ok": True, "result": [{"update_id": n} for n in numbers]})


async def polled(client, take, clock):
    poller = Poller("tg", client, clock, take)
    task = asyncio.create_task(poller.run())
    return poller, task


async def ended(task):
    task.cancel()
    await asyncio.wait([task])


async def test_a_full_batch_of_the_longest_messages_is_taken():
    clock, found = WatchedClock(), []
    client = Client(updates(1))
    asking = client.ask

    async def ask(method, params, **limits):
        found.append((params["limit"], limits["bytes_max"]))
        return await asking(method, params, **limits)

    async def take(update):
        pass

    client.ask = ask
    _, task = await polled(client, take, clock)
    async with asyncio.timeout(5):
        await client.idle.wait()
    await ended(task)
    limit, bytes_max = found[0]
    assert bytes_max >= limit * 2 * 4096 * len(json.dumps("张")[1:-1])


async def test_a_poll_without_any_answer_is_given_up_and_asked_again():
    clock, seen = WatchedClock(), []

    async def take(update):
        seen.append(update["update_id"])

    client = Client(SendRetryable("Telegram could not be reached (TimeoutError)"), updates(7))
    poller, task = await polled(client, take, clock)
    await clock.asleep(lambda seconds: 0.4 < seconds <= 1)
    assert (poller.state, poller.last_answer) == ("failing", None)
    await clock.advance(1)
    async with asyncio.timeout(5):
        await client.idle.wait()
    assert seen == [7]
    assert poller.state == "connected"
    assert poller.last_answer is not None
    _, hold, bound = client.asked[0]
    assert hold < bound < 60
    await ended(task)


async def test_an_update_is_confirmed_only_once_it_is_durable():
    clock, gate = WatchedClock(), asyncio.Event()

    async def take(update):
        await gate.wait()

    client = Client(updates(4, 5))
    _, task = await polled(client, take, clock)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(client.asked) == 1
    gate.set()
    async with asyncio.timeout(5):
        await client.idle.wait()
    assert [asked[0] for asked in client.asked] == [0, 6]
    await ended(task)


async def test_an_update_that_is_none_does_not_hold_up_those_that_follow():
    seen = []

    async def take(update):
        if update["update_id"] == 1:
            raise Malformed("no update")
        seen.append(update["update_id"])

    client = Client(updates(1, 2))
    _, task = await polled(client, take, WatchedClock())
    async with asyncio.timeout(5):
        await client.idle.wait()
    assert seen == [2]
    assert client.asked[-1][0] == 3
    await ended(task)


async def test_a_fault_of_the_engine_ends_polling_unconfirmed():
    async def take(update):
        raise RuntimeError("the journal is gone")

    client = Client(updates(1))
    _, task = await polled(client, take, WatchedClock())
    with pytest.raises(RuntimeError):
        await task
    assert client.asked == [(0, 0, 10.0)]


async def test_the_first_question_is_answered_at_once_and_later_ones_are_held():
    async def take(update):
        pass

    client = Client(updates(), updates(1))
    poller, task = await polled(client, take, WatchedClock())
    async with asyncio.timeout(5):
        await client.idle.wait()
    assert poller.state == "connected"
    assert [held for _, held, _ in client.asked] == [0, 25, 25]
    await ended(task)
