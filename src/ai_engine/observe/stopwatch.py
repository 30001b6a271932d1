"""How much of a turn's time was the engine's own: total, less waiting for others."""

from collections.abc import Generator
from contextlib import contextmanager

from ai_engine.domain.clock import Clock, SystemClock

_SPANS_MAX = 256


class Stopwatch:
    """Time of one turn spent outside: in models, tools, platforms.

    Spans that overlap (parallel tools, a stream's updates beside the model) count once: what is
    measured is the time during which at least one of them ran. Belongs to one event loop.
    """

    __slots__ = ("_by_kind", "_clock", "_folded", "_open", "_spans", "_started")

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._started = self._clock.monotonic()
        self._open: list[float] = []
        """Beginnings of the spans that run now."""
        self._spans: list[tuple[float, float]] = []
        """Closed spans, merged: disjoint and ascending."""
        self._folded = 0.0
        """Seconds of spans so old that they are no longer kept one by one."""
        self._by_kind: dict[str, float] = {}

    @contextmanager
    def outside(self, what: str) -> Generator[None]:
        """The block waits for someone else: `model`, `tool`, `platform`."""
        began = self._clock.monotonic()
        self._open.append(began)
        try:
            yield
        finally:
            self._open.remove(began)
            self._close(began, what)

    def add(self, seconds: float, what: str) -> None:
        """A wait that ends now and was measured elsewhere; overlaps count once here too."""
        self._close(max(self._started, self._clock.monotonic() - max(0.0, seconds)), what)

    def _close(self, began: float, what: str) -> None:
        now = self._clock.monotonic()
        self._by_kind[what] = self._by_kind.get(what, 0.0) + now - began
        # Every span ends now, so it can only swallow the newest of the earlier ones.
        while self._spans and self._spans[-1][1] >= began:
            began = min(began, self._spans.pop()[0])
        self._spans.append((began, now))
        if len(self._spans) > _SPANS_MAX:
            first, last = self._spans.pop(0)
            self._folded += last - first

    @property
    def outside_seconds(self) -> float:
        """The union of all spans so far, those that still run up to now."""
        if not self._open:
            return self._folded + sum(end - begin for begin, end in self._spans)
        since = min(self._open)
        closed = sum(min(end, since) - begin for begin, end in self._spans if begin < since)
        return self._folded + closed + self._clock.monotonic() - since

    def seconds_by_kind(self) -> dict[str, float]:
        """Sum of the closed spans of each kind, for traces; parallel ones add up here."""
        return dict(self._by_kind)

    def total_seconds(self) -> float:
        """Since this stopwatch was made."""
        return self._clock.monotonic() - self._started

    def own_seconds(self, total: float | None = None, blocked: float = 0.0) -> float:
        """The engine's own share, never negative.

        Args:
            total: seconds from reception to hand-over; by default since this stopwatch was made.
            blocked: seconds that the message waited behind its session's earlier turns.
        """
        whole = self.total_seconds() if total is None else total
        return max(0.0, whole - blocked - self.outside_seconds)
