"""Metrics that are read at the moment of a scrape instead of being counted on the road."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ai_engine.observe.health import Health
from ai_engine.observe.labels import VALUES_MAX
from ai_engine.observe.sketch import SlidingSketch

QUANTILES = (0.5, 0.9, 0.99)


class LatencyCollector(Collector):
    """`ai_engine_latency_seconds`: quantiles of a sliding window; count and sum since start."""

    def __init__(self, sketch: SlidingSketch) -> None:
        self._sketch = sketch
        self._count = 0
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._sketch.observe(seconds)
        self._count += 1
        self._sum += seconds

    def collect(self) -> Iterator[Metric]:
        family = Metric(
            "ai_engine_latency_seconds",
            "The engine's own share of the latency from reception to hand-over (last 5 minutes).",
            "summary",
        )
        values = self._sketch.window().quantiles(QUANTILES)
        for quantile, value in zip(QUANTILES, values, strict=True):
            family.add_sample(family.name, {"quantile": str(quantile)}, value)
        family.add_sample(f"{family.name}_count", {}, self._count)
        family.add_sample(f"{family.name}_sum", {}, self._sum)
        yield family


class JournalStats(Protocol):
    """What is read of the journal (`journal.base.Stats` is one)."""

    @property
    def owner(self) -> bool: ...
    @property
    def backlog(self) -> int: ...
    @property
    def oldest_seconds(self) -> float: ...
    @property
    def running(self) -> int: ...
    @property
    def outbox(self) -> int: ...
    @property
    def dead_letters(self) -> int: ...
    @property
    def sessions(self) -> int: ...
    @property
    def round_trips(self) -> int: ...
    @property
    def syncs(self) -> int: ...


class JournalCollector(Collector):
    """The journal's figures as `stats` holds them; None when they could not be had."""

    def __init__(self) -> None:
        self.stats: JournalStats | None = None

    def collect(self) -> Iterator[Metric]:
        yield _gauge("ai_engine_journal_up", "1 when the journal answers.", self.stats is not None)
        if self.stats is None:
            return
        s = self.stats
        yield _gauge("ai_engine_journal_owner", "1 when this process runs the turns.", s.owner)
        yield _gauge("ai_engine_journal_backlog", "Accepted, unanswered messages.", s.backlog)
        yield _gauge(
            "ai_engine_journal_oldest_seconds", "Age of the oldest such message.", s.oldest_seconds
        )
        yield _gauge("ai_engine_journal_running", "Turns that run now.", s.running)
        yield _gauge("ai_engine_journal_outbox", "Replies waiting to be sent.", s.outbox)
        yield _gauge("ai_engine_journal_dead_letters", "Dead letters kept.", s.dead_letters)
        yield _gauge("ai_engine_sessions", "Live sessions.", s.sessions)
        yield CounterMetricFamily(
            "ai_engine_journal_round_trips", "Calls to the journal's engine.", s.round_trips
        )
        yield CounterMetricFamily("ai_engine_journal_syncs", "Writes forced to disk.", s.syncs)


class ChannelCollector(Collector):
    """Readiness, and each channel's state."""

    def __init__(self) -> None:
        self._health: Health | None = None

    def watch(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        if self._health is None:
            return
        readiness = self._health.readiness()
        yield _gauge("ai_engine_ready", "1 when messages can be accepted.", readiness.ready)
        ready = GaugeMetricFamily(
            "ai_engine_channel_ready", "1 when the channel works.", labels=["channel"]
        )
        age = GaugeMetricFamily(
            "ai_engine_channel_last_event_age_seconds",
            "Time since the platform was last heard of.",
            labels=["channel"],
        )
        for name, status in islice(readiness.channels.items(), VALUES_MAX):
            label = [name]
            ready.add_metric(label, float(status["state"] in ("ready", "connected")))
            if "last_event_age_seconds" in status:
                age.add_metric(label, status["last_event_age_seconds"])
        yield ready
        yield age


class LogCollector(Collector):
    """Log records that were dropped since the writer could not keep up."""

    def __init__(self) -> None:
        self._dropped: Callable[[], int] = int

    def watch(self, dropped: Callable[[], int]) -> None:
        self._dropped = dropped

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "ai_engine_log_records_dropped",
            "Log records dropped since standard error did not take them in time.",
            self._dropped(),
        )


class WithoutCreated(Collector):
    """A registry without the `_created` series: they double the page and no query reads them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, float(value))
