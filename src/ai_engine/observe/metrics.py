"""Every metric of the engine, in a registry of its own. docs/reference/metrics.md lists them.

Hot-path methods cost about 1 µs each: label children are bound once and found by one look-up.
"""

import asyncio
import platform
from collections.abc import Awaitable, Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from ai_engine import __version__
from ai_engine.domain.clock import Clock
from ai_engine.observe.collectors import (
    ChannelCollector,
    JournalCollector,
    JournalStats,
    LatencyCollector,
    LogCollector,
    WithoutCreated,
)
from ai_engine.observe.health import Health
from ai_engine.observe.labels import Bounded, Vocabulary
from ai_engine.observe.sketch import SlidingSketch

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of what `render` returns."""

_STATS_SECONDS_MAX = 2.0
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SLOW = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """One engine's metrics. No globals: two engines in one process do not mix."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._sketch = SlidingSketch(clock=clock)
        self._latency = LatencyCollector(self._sketch)
        self._journal = JournalCollector()
        self._channels = ChannelCollector()
        self._logs = LogCollector()
        self._stats: Callable[[], Awaitable[JournalStats]] | None = None
        for collector in (self._latency, self._journal, self._channels, self._logs):
            self._registry.register(collector)
        self._register_process()
        self._register_road()
        self._register_outside()

    def _register_process(self) -> None:
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        build = Info("ai_engine_build", "Which engine this is.", registry=self._registry)
        build.info({"version": __version__, "python": platform.python_version()})

    def _register_road(self) -> None:
        channels, results = Vocabulary(), Vocabulary()
        self._own = self._histogram(
            "ai_engine_own_latency_seconds",
            "The engine's own share of the latency, the same values as ai_engine_latency_seconds.",
            _FAST,
        )
        self._turn = self._histogram(
            "ai_engine_turn_seconds", "A whole turn, models and tools included.", _SLOW
        )
        self._accept = self._histogram(
            "ai_engine_accept_seconds", "From reading a message until it is durable.", _FAST
        )
        self._lag = self._histogram(
            "ai_engine_event_loop_lag_seconds", "How late the event loop runs what is due.", _LAG
        )
        words = (channels, results)
        names = ("channel", "result")
        self._inbound = self._counter(
            "ai_engine_inbound_total", "Messages that arrived.", names, words
        )
        self._failures = self._counter(
            "ai_engine_turn_failures_total", "Turns that ended in an error.", names, words
        )
        self._replies = self._counter(
            "ai_engine_replies_total", "Replies handed to platforms.", names, words
        )
        self._feedback = self._counter(
            "ai_engine_feedback_total", "Ratings of answers.", ("channel", "rating"), words
        )

    def _register_outside(self) -> None:
        models, tools, results, kinds = Vocabulary(), Vocabulary(), Vocabulary(), Vocabulary()
        self._model_calls = self._timed(
            "ai_engine_model_call_seconds", "Calls of models.", "model", (models, results)
        )
        self._model_tokens = self._counter(
            "ai_engine_model_tokens_total",
            "Tokens as the model servers reported them.",
            ("model", "kind"),
            (models, kinds),
        )
        self._tool_calls = self._timed(
            "ai_engine_tool_call_seconds", "Calls of tools.", "tool", (tools, results)
        )

    def _counter(
        self, name: str, documentation: str, labels: tuple[str, ...], words: tuple[Vocabulary, ...]
    ) -> Bounded[Counter]:
        return Bounded(Counter(name, documentation, labels, registry=self._registry), words)

    def _timed(
        self, name: str, documentation: str, label: str, words: tuple[Vocabulary, ...]
    ) -> Bounded[Histogram]:
        labels = (label, "result")
        metric = Histogram(name, documentation, labels, buckets=_SLOW, registry=self._registry)
        return Bounded(metric, words)

    def _histogram(self, name: str, documentation: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, documentation, buckets=buckets, registry=self._registry)

    # The road.

    def inbound(self, channel: str, result: str) -> None:
        """A message arrived: `accepted`, `duplicate`, or `refused:<error code>`."""
        self._inbound.child(channel, result).inc()

    def feedback(self, channel: str, rating: str) -> None:
        """Somebody rated an answer: `good`, `bad`, or `none` (took the rating back)."""
        self._feedback.child(channel, rating).inc()

    def accepted_in(self, seconds: float) -> None:
        """A message became durable so long after it was read."""
        self._accept.observe(seconds)

    def latency(self, own_seconds: float) -> None:
        """The engine's own share of one answered message (`Stopwatch.own_seconds`)."""
        self._latency.observe(own_seconds)
        self._own.observe(own_seconds)

    def turn(self, seconds: float) -> None:
        """A whole turn ended."""
        self._turn.observe(seconds)

    def turn_failed(self, channel: str, result: str) -> None:
        """A turn ended in an error: it is tried again (`retry`) or is a dead letter (`dead`)."""
        self._failures.child(channel, result).inc()

    def reply(self, channel: str, result: str) -> None:
        """A reply was `delivered`, will be tried again (`retry`, `error`), or is a dead letter
        (`dead`)."""
        self._replies.child(channel, result).inc()

    # What happens outside.

    def model_call(
        self,
        model: str,
        result: str,
        seconds: float,
        *,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
    ) -> None:
        """A model call ended: `ok`, or an error code."""
        self._model_calls.child(model, result).observe(seconds)
        if prompt_tokens:
            self._model_tokens.child(model, "prompt").inc(prompt_tokens)
        if completion_tokens:
            self._model_tokens.child(model, "completion").inc(completion_tokens)

    def tool_call(self, tool: str, result: str, seconds: float) -> None:
        """A tool call ended: `ok`, `error`, `timeout`, `denied`, `asked`."""
        self._tool_calls.child(tool, result).observe(seconds)

    def loop_lag(self, seconds: float) -> None:
        """The event loop ran something so late (`LoopLag`)."""
        self._lag.observe(seconds)

    # What is asked at each scrape.

    def watch_journal(self, stats: Callable[[], Awaitable[JournalStats]]) -> None:
        """Where the journal's figures come from: `Journal.stats`."""
        self._stats = stats

    def watch_health(self, health: Health) -> None:
        """Where readiness and the channels' states come from."""
        self._channels.watch(health)

    def watch_log(self, dropped: Callable[[], int]) -> None:
        """How many log records were dropped since start."""
        self._logs.watch(dropped)

    async def scrape(self) -> bytes:
        """Ask the journal for its figures (at most 2 s), then render.

        Figures that cannot be had in time are left out, and `ai_engine_journal_up` is 0.
        """
        self._journal.stats = None
        if self._stats is not None:
            try:
                async with asyncio.timeout(_STATS_SECONDS_MAX):
                    self._journal.stats = await self._stats()
            except Exception:  # noqa: BLE001 - metrics must be there above all when parts are not
                self._journal.stats = None
        return self.render()

    def render(self) -> bytes:
        """The exposition in Prometheus' text format, with the journal's last known figures."""
        return generate_latest(WithoutCreated(self._registry))

    @property
    def registry(self) -> CollectorRegistry:
        """For tests, and for parts that add a collector of their own."""
        return self._registry
