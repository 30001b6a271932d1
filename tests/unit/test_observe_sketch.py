"""Quantiles of a sliding window."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_engine.observe.sketch import (
    RELATIVE_ERROR,
    VALUE_MAX,
    VALUE_MIN,
    Sketch,
    SlidingSketch,
    merged,
)

from support.clock import ManualClock

values = st.lists(st.floats(min_value=VALUE_MIN, max_value=VALUE_MAX), min_size=1, max_size=200)
quantiles = st.lists(st.floats(0, 1), min_size=1, max_size=5).map(sorted)


def sketch_of(numbers) -> Sketch:
    sketch = Sketch()
    for number in numbers:
        sketch.observe(number)
    return sketch


@given(values, quantiles)
def test_each_quantile_is_within_the_promised_error_of_the_sorted_data(numbers, wanted):
    exact = sorted(numbers)
    for quantile, got in zip(wanted, sketch_of(numbers).quantiles(wanted), strict=True):
        true = exact[max(1, math.ceil(quantile * len(exact))) - 1]
        if true <= VALUE_MIN:
            assert got == 0
        else:
            assert abs(got - true) <= true * RELATIVE_ERROR * (1 + 1e-9)


@given(values, values)
def test_merging_is_the_same_as_observing_all(some, others):
    whole, parts = sketch_of([*some, *others]), merged([sketch_of(some), sketch_of(others)])
    assert parts.buckets == whole.buckets
    assert (parts.count, parts.zeros) == (whole.count, whole.zeros)
    assert parts.total == pytest.approx(whole.total)


@given(st.lists(st.floats(), min_size=1, max_size=300))
def test_no_number_breaks_it_or_makes_it_large(numbers):
    sketch = sketch_of(numbers)
    assert sketch.count == len(numbers)
    assert len(sketch.buckets) <= 1270
    assert all(0 <= q <= VALUE_MAX * 1.01 for q in sketch.quantiles([0, 0.5, 1]))


def test_nothing_observed_is_not_a_number():
    assert all(math.isnan(q) for q in Sketch().quantiles([0.5, 0.99]))


async def test_the_window_forgets_slice_by_slice():
    clock = ManualClock()
    sliding = SlidingSketch(slices=5, slice_seconds=60, clock=clock)
    for minute in range(5):
        sliding.observe(minute + 1)
        await clock.advance(60)
    assert sliding.window().count == 4, "the first minute's slice was given to the sixth minute"
    await clock.advance(180)
    assert sliding.window().count == 1
    await clock.advance(60)
    assert sliding.window().count == 0


async def test_a_long_silence_empties_the_window_and_it_goes_on():
    clock = ManualClock()
    sliding = SlidingSketch(slices=3, slice_seconds=1, clock=clock)
    sliding.observe(1)
    await clock.advance(1_000_000.5)
    sliding.observe(2)
    assert sliding.window().quantiles([0.5]) == [pytest.approx(2, rel=RELATIVE_ERROR)]
    await clock.advance(2)
    assert sliding.window().count == 1
    await clock.advance(1)
    assert sliding.window().count == 0


@pytest.mark.parametrize(("slices", "seconds"), [(0, 1.0), (1, 0.0)])
def test_a_window_without_length_is_refused(slices, seconds):
    with pytest.raises(ValueError, match="at least one slice"):
        SlidingSketch(slices=slices, slice_seconds=seconds)
