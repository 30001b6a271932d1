"""Quantiles of a sliding window, with a bound on the relative error, mergeable across processes.

The idea of DDSketch (Masson, Rim, Lee: VLDB 2019): values fall into buckets whose bounds grow by
a constant factor, so every value is known to within a fixed share of itself.
"""

import math
from collections.abc import Iterable, Sequence

from ai_engine.domain.clock import Clock, SystemClock

RELATIVE_ERROR = 0.01
"""A quantile is at most this share of itself off."""
VALUE_MIN = 1e-6
"""Smaller values count as zero (1 µs, for seconds)."""
VALUE_MAX = 1e5
"""Larger ones count as this."""

_GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_PER_LOG = 1 / math.log(_GROWTH)
_MIDDLE = 2 / (1 + _GROWTH)
_log = math.log


class Sketch:
    """Counts by bucket. Sketches add up: merging loses nothing."""

    __slots__ = ("buckets", "count", "total", "zeros")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        """At most about 1,270 entries: the range of values is bounded."""
        self.zeros = 0
        self.count = 0
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value; negative ones and NaN count as zero."""
        self.count += 1
        if not value > VALUE_MIN:
            self.zeros += 1
            return
        if value > VALUE_MAX:
            value = VALUE_MAX
        self.total += value
        bucket = math.ceil(_log(value) * _PER_LOG)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def merge(self, other: "Sketch") -> None:
        """Add the other's counts to this one."""
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        self.zeros += other.zeros
        self.count += other.count
        self.total += other.total

    def quantiles(self, wanted: Sequence[float]) -> list[float]:
        """The quantiles (ascending, 0 to 1) by nearest rank; NaN when nothing was observed."""
        if not self.count:
            return [math.nan for _ in wanted]
        results: list[float] = []
        seen, value = self.zeros, 0.0
        ascending = iter(sorted(self.buckets.items()))
        for quantile in wanted:
            rank = max(1, math.ceil(quantile * self.count))
            while seen < rank:
                bucket, count = next(ascending)
                seen += count
                value = _MIDDLE * _GROWTH**bucket
            results.append(value)
        return results


def merged(sketches: Iterable[Sketch]) -> Sketch:
    """One sketch with the counts of all."""
    whole = Sketch()
    for sketch in sketches:
        whole.merge(sketch)
    return whole


class SlidingSketch:
    """A ring of sketches, each for one slice of time; the oldest is thrown away as a whole.

    What is read covers between `slices - 1` and `slices` slices of `slice_seconds`.
    """

    def __init__(
        self, *, slices: int = 5, slice_seconds: float = 60.0, clock: Clock | None = None
    ) -> None:
        if slices < 1 or slice_seconds <= 0:
            raise ValueError("a sliding sketch needs at least one slice of some length")
        self._clock = clock or SystemClock()
        self._slice_seconds = slice_seconds
        self._ring = [Sketch() for _ in range(slices)]
        self._at = 0
        self._turns_at = self._clock.monotonic() + slice_seconds

    def observe(self, value: float) -> None:
        """Count one value now."""
        if self._clock.monotonic() >= self._turns_at:
            self._rotate()
        self._ring[self._at].observe(value)

    def window(self) -> Sketch:
        """All that was observed within the window, as a sketch of its own."""
        if self._clock.monotonic() >= self._turns_at:
            self._rotate()
        return merged(self._ring)

    def _rotate(self) -> None:
        late = self._clock.monotonic() - self._turns_at
        passed = 1 + int(late // self._slice_seconds)
        for _ in range(min(passed, len(self._ring))):
            self._at = (self._at + 1) % len(self._ring)
            self._ring[self._at] = Sketch()
        self._turns_at += passed * self._slice_seconds
