"""The test clock itself: a wrong one would make every timing test lie."""

import asyncio

from support.clock import ManualClock


async def test_sleepers_wake_in_order_and_only_when_due():
    clock, woken = ManualClock(0), []

    async def sleeper(seconds):
        await clock.sleep(seconds)
        woken.append((seconds, clock.time()))

    async with asyncio.TaskGroup() as group:
        for seconds in (5, 1, 3):
            group.create_task(sleeper(seconds))
        await asyncio.sleep(0)
        await clock.advance(3)
        assert woken == [(1, 1), (3, 3)]
        await clock.advance(2)
    assert woken[-1] == (5, 5)
