"""The engine's own share of a turn."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.observe.stopwatch import Stopwatch

from support.clock import ManualClock


async def test_one_wait_is_taken_off_the_total():
    clock = ManualClock()
    watch = Stopwatch(clock)
    await clock.advance(1)
    with watch.outside("model"):
        await clock.advance(5)
    await clock.advance(0.5)
    assert watch.own_seconds() == pytest.approx(1.5)
    assert watch.seconds_by_kind() == {"model": 5.0}


async def test_parallel_waits_count_once():
    clock = ManualClock()
    watch = Stopwatch(clock)

    async def tool(start: float, end: float) -> None:
        await clock.sleep(start)
        with watch.outside("tool"):
            await clock.sleep(end - start)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for start, end in ((1, 4), (2, 6), (8, 9)):
            group.create_task(tool(start, end))
        await asyncio.sleep(0)
        await clock.advance(10)
    assert watch.outside_seconds == pytest.approx(6)
    assert watch.own_seconds() == pytest.approx(4)
    assert watch.seconds_by_kind() == {"tool": pytest.approx(8)}


async def test_an_open_wait_counts_up_to_now():
    clock = ManualClock()
    watch = Stopwatch(clock)
    with watch.outside("platform"):
        await clock.advance(3)
        assert watch.outside_seconds == pytest.approx(3)
        assert watch.own_seconds() == pytest.approx(0)


async def test_waiting_behind_an_earlier_turn_is_not_the_engines_own():
    clock = ManualClock()
    watch = Stopwatch(clock)
    watch.add(0, "model")
    assert watch.own_seconds(total=10, blocked=7) == pytest.approx(3)
    assert watch.own_seconds(total=1, blocked=7) == 0


async def test_a_wait_ends_in_an_error_too():
    clock = ManualClock()
    watch = Stopwatch(clock)
    with contextlib.suppress(RuntimeError), watch.outside("model"):
        await clock.advance(2)
        raise RuntimeError
    await clock.advance(1)
    assert watch.own_seconds() == pytest.approx(1)


async def test_many_waits_are_folded_without_changing_the_sum():
    clock = ManualClock()
    watch = Stopwatch(clock)
    for _ in range(600):
        with watch.outside("platform"):
            await clock.advance(1)
        await clock.advance(1)
    assert watch.outside_seconds == pytest.approx(600)


steps = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 8), st.sampled_from(["model", "tool"])),
    max_size=12,
)


@given(steps)
def test_waits_measured_elsewhere_count_as_their_union(waits):
    class Hands:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    hands = Hands()
    watch = Stopwatch(hands)  # type: ignore[arg-type]  # only monotonic() is used
    covered: set[int] = set()
    for pause, length, what in waits:
        hands.now += pause
        watch.add(length, what)
        covered |= set(range(max(0, int(hands.now) - length), int(hands.now)))
    assert watch.outside_seconds == len(covered)
    assert watch.own_seconds() == hands.now - len(covered)
