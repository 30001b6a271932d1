"""Wrappers around one model, each a `Model` itself: a concurrency limit and a circuit breaker."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from ai_engine.assistant.base import Delta, Model
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import ModelFailed
from ai_engine.domain.message import Json


class ModelBusy(ModelFailed):
    """No free place in time. The model itself may be well: the breaker does not count it."""


class _Wrapper:
    """Passes everything on to the wrapped model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.name = model.name
        self.languages = model.languages
        self.tools = model.tools
        self.images = model.images

    async def close(self) -> None:
        await self._model.close()


class ConcurrencyLimit(_Wrapper):
    """At most `calls_max` calls in flight; others wait in order, at most `wait_seconds_max`."""

    def __init__(self, model: Model, *, calls_max: int, wait_seconds_max: float = 60.0) -> None:
        super().__init__(model)
        self._slots = asyncio.Semaphore(calls_max)  # wakes its waiters first come, first served
        self._wait_seconds_max = wait_seconds_max

    async def stream(
        self, messages: Sequence[Json], tools: Sequence[Json]
    ) -> AsyncGenerator[Delta, None]:
        """See `Model.stream`."""
        if self._slots.locked():
            await self._wait_for_slot()
        else:
            await self._slots.acquire()  # does not wait
        try:
            async with aclosing(self._model.stream(messages, tools)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self._slots.release()

    async def _wait_for_slot(self) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds_max):
                await self._slots.acquire()
        except TimeoutError as error:
            raise ModelBusy(
                f"model {self.name!r}: busy; no free place within {self._wait_seconds_max:g} s",
                hint=f"raise models.{self.name}.concurrency if its server can take more",
            ) from error


class CircuitBreaker(_Wrapper):
    """Stops calling a model that keeps failing, and tries it again with one call at a time.

    Opens after `failures_max` failures (unreachable, not: refused) within `window_seconds`; after
    `open_seconds` the next call is the probe, and its first piece closes the breaker.
    """

    def __init__(
        self,
        model: Model,
        clock: Clock,
        *,
        failures_max: int = 5,
        window_seconds: float = 30.0,
        open_seconds: float = 15.0,
    ) -> None:
        super().__init__(model)
        self._clock = clock
        self._failures: deque[float] = deque(maxlen=failures_max)
        self._window_seconds = window_seconds
        self._open_seconds = open_seconds
        self._opened_at: float | None = None
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether a call now would be refused at once."""
        if self._opened_at is None:
            return False
        return self._probing or self._clock.monotonic() < self._opened_at + self._open_seconds

    async def stream(
        self, messages: Sequence[Json], tools: Sequence[Json]
    ) -> AsyncGenerator[Delta, None]:
        """See `Model.stream`."""
        if self.open:
            raise ModelFailed(
                f"model {self.name!r}: not asked, since it kept failing a moment ago",
                hint=f"it is tried again {self._open_seconds:g} s after its last failure",
            )
        probe = self._opened_at is not None
        self._probing = self._probing or probe
        try:
            async with aclosing(self._model.stream(messages, tools)) as pieces:
                async for piece in pieces:
                    if probe:
                        self._close()
                        probe = False
                    yield piece
        except ModelFailed as error:
            self._failed(error, probe=probe)
            raise
        finally:
            if probe:  # failed, or abandoned before its first piece: the next call probes
                self._probing = False

    def _close(self) -> None:
        self._opened_at = None
        self._probing = False
        self._failures.clear()

    def _failed(self, error: ModelFailed, *, probe: bool) -> None:
        if error.reason != "unreachable" or isinstance(error, ModelBusy):
            if probe and error.reason == "refused":
                self._close()  # it refused this request, so it is there
            return
        now = self._clock.monotonic()
        self._failures.append(now)
        full = len(self._failures) == self._failures.maxlen
        if probe or (full and now - self._failures[0] <= self._window_seconds):
            self._opened_at = now
