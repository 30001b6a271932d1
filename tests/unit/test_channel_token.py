"""The token cache and the backoff that channels share."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.channels.backoff import Backoff, retry_after_seconds
from ai_engine.channels.token import TokenCache
from ai_engine.domain.errors import SendRetryable

from support.clock import ManualClock


class Issuer:
    """Hands out numbered tokens."""

    def __init__(self, life: float = 7200.0) -> None:
        self.asked = 0
        self.life = life
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def fetch(self) -> tuple[str, float]:
        self.asked += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return f"token-{self.asked}", self.life


async def waiting(tasks: int) -> None:
    for _ in range(tasks + 3):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("cap", "life"), [(3600, 7200), (7200, 3600)])
async def test_a_token_is_used_until_a_minute_before_the_earlier_end(cap: int, life: int):
    clock, issuer = ManualClock(), Issuer(life)
    cache = TokenCache(issuer.fetch, cap, clock)
    await cache.get()
    await clock.advance(3539)
    assert await cache.get() == "token-1"
    await clock.advance(1)
    assert await cache.get() == "token-2"


async def test_a_token_with_no_time_left_is_used_once():
    issuer = Issuer(life=60)
    cache = TokenCache(issuer.fetch, 7200, ManualClock())
    assert [await cache.get(), await cache.get()] == ["token-1", "token-2"]


async def test_however_many_ask_there_is_one_refresh():
    issuer = Issuer()
    issuer.gate.clear()
    cache = TokenCache(issuer.fetch, 7200, ManualClock())
    tasks = [asyncio.create_task(cache.get()) for _ in range(10)]
    await waiting(10)
    issuer.gate.set()
    assert {await task for task in tasks} == {"token-1"}
    assert issuer.asked == 1


async def test_one_caller_that_gives_up_takes_nothing_from_the_others():
    issuer = Issuer()
    issuer.gate.clear()
    cache = TokenCache(issuer.fetch, 7200, ManualClock())
    first, second = (asyncio.create_task(cache.get()) for _ in range(2))
    await waiting(2)
    first.cancel()
    issuer.gate.set()
    assert await second == "token-1"
    assert first.cancelled()


async def test_closing_during_a_refresh_asks_those_who_wait_to_come_again():
    issuer = Issuer()
    issuer.gate.clear()
    cache = TokenCache(issuer.fetch, 7200, ManualClock())
    waiters = [asyncio.create_task(cache.get()) for _ in range(2)]
    await waiting(2)
    await cache.close()
    for waiter in waiters:
        with pytest.raises(SendRetryable):
            await waiter


async def test_a_failed_refresh_is_told_to_all_and_tried_again_by_the_next():
    issuer = Issuer()
    issuer.error = OSError("no network")
    cache = TokenCache(issuer.fetch, 7200, ManualClock())
    for task in [asyncio.create_task(cache.get()) for _ in range(3)]:
        with pytest.raises(OSError, match="no network"):
            await task
    issuer.error = None
    assert await cache.get() == "token-2"


async def test_an_old_token_that_is_refused_does_not_throw_away_the_new_one():
    issuer = Issuer()
    cache = TokenCache(issuer.fetch, 7200, ManualClock())
    old = await cache.get()
    cache.invalidate(old)
    new = await cache.get()
    cache.invalidate(old)
    assert await cache.get() == new == "token-2"


@given(st.integers(0, 2**32), st.integers(1, 100))
def test_delays_grow_to_the_cap_and_never_beyond(seed: int, attempts: int):
    backoff = Backoff(first=1, cap=60, chance=random.Random(seed))
    for n in range(attempts):
        full = min(60, 2**n)
        assert full / 2 <= backoff.next() <= full
    backoff.reset()
    assert backoff.next() <= 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("999999999999999", 600.0),
        ("-3", None),
        ("soon", None),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:13:30 -0000", 10.0),
        ("Tue, 14 Nov 2000 22:13:30 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(value: str | None, expected: float | None):
    assert retry_after_seconds(value, 1_700_000_000.0) == expected


@given(st.text(max_size=40))
def test_retry_after_never_fails(value: str):
    wait = retry_after_seconds(value, 1_700_000_000.0)
    assert wait is None or 0 <= wait <= 600
