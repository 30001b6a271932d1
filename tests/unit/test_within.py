"""The shared time limit: as `asyncio.timeout`, a little later and much cheaper."""

import asyncio

import pytest

from ai_engine.domain.within import GRAIN_SECONDS, within


async def test_what_takes_too_long_ends_with_a_timeout_error():
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError), within(0.01):
            await asyncio.Event().wait()
    assert loop.time() - began >= 0.01
    current = asyncio.current_task()
    assert current is not None
    assert not current.cancelling()


async def test_what_ends_in_time_is_left_alone():
    ended = asyncio.Event()
    asyncio.get_running_loop().call_later(2 * GRAIN_SECONDS + 0.01, ended.set)
    with within(0.01):
        pass
    async with asyncio.timeout(5):
        await ended.wait()


async def test_a_cancellation_from_elsewhere_stays_one():
    begun = asyncio.Event()

    async def work():
        with within(60):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_is_its_own():
    with pytest.raises(ZeroDivisionError), within(60):
        raise ZeroDivisionError


async def test_of_two_limits_the_inner_one_ends_its_block_only():
    async with asyncio.timeout(5):
        with within(60):
            with pytest.raises(TimeoutError), within(0.01):
                await asyncio.Event().wait()
            await asyncio.sleep(0)


async def test_limits_of_many_tasks_end_each_their_own():
    async def work(seconds):
        with within(seconds):
            await asyncio.Event().wait()

    async with asyncio.timeout(5):
        short, long = asyncio.create_task(work(0.01)), asyncio.create_task(work(60))
        with pytest.raises(TimeoutError):
            await short
    assert not long.done()
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long


def test_outside_a_task_it_says_so():
    with pytest.raises(RuntimeError), within(1):
        pass
