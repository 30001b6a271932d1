"""The side road: partial text of a running turn, straight to the channel, best effort."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from ai_engine.channels.base import Channel
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendFailed, SendRetryable
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

OPEN_SECONDS_MAX: Final = 5.0
"""How long the end of a turn waits for the opening of its stream, so that it can be finished."""
FAILURES_MAX: Final = 4
"""Updates in a row that may fail before partial text is given up."""


class PartialText:
    """Shows the answer as it grows, no oftener than the platform wants.

    `show` only notes the newest text; a task of the turn's own sends it. What is skipped does not
    matter: every update carries the full text so far.
    """

    def __init__(
        self,
        channel: Channel | None,
        target: Json,
        key: str,
        clock: Clock,
        remember: Callable[[Json], Awaitable[None]],
        handle: Json | None = None,
        *,
        blocked: Callable[[], bool] = lambda: False,
    ) -> None:
        usable = channel is not None and channel.capabilities.streaming
        self._channel = channel if usable else None
        self._target = target
        self._key = key
        self._clock = clock
        self._remember = remember
        self._blocked = blocked
        self.handle = handle
        """Plain data; the turn's replies carry it, so that delivery can finish the stream."""
        self._text = ""
        self._failures = 0
        self._changed = asyncio.Event()
        self._opened = asyncio.Event()
        """Or failed to open."""
        self._task: asyncio.Task[None] | None = None

    def show(self, text: str) -> None:
        """The full text so far."""
        if self._channel is None or not text:
            return
        self._text = text
        self._changed.set()
        # A stream that opened before an earlier answer has gone out would stand above it.
        if self._task is None and (self.handle is not None or not self._blocked()):
            self._task = asyncio.create_task(self._send_all(self._channel))

    async def _send_all(self, channel: Channel) -> None:
        try:
            if self.handle is None:
                self.handle = await channel.open_stream(self._target, self._key)
                if self.handle is None:
                    return
                if not channel.capabilities.stream_by_key:
                    await self._remember(self.handle)
            self._opened.set()
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._update(channel, self.handle)
        except SendFailed as error:
            log.info("stream of %s stopped: %s; the final answer follows", channel.name, error)
        except Exception:  # partial text is best effort: it must not cost the answer
            log.exception("stream of %s failed; the final answer follows", channel.name)
        finally:
            self._opened.set()

    async def _update(self, channel: Channel, handle: Json) -> None:
        """One update and the pause after it; what the platform throttles is shown a little later.
        Raises SendFailed when it goes wrong again and again."""
        pause = channel.capabilities.stream_interval_ms / 1000
        try:
            await channel.update(handle, self._text)
        except SendRetryable as error:
            self._failures += 1
            if self._failures >= FAILURES_MAX:
                raise
            pause = max(pause, min(error.retry_after_seconds or 1.0, OPEN_SECONDS_MAX))
            self._changed.set()  # the newest text was not shown
        else:
            self._failures = 0
        if pause:
            await self._clock.sleep(pause)

    async def stop(self) -> None:
        """No more updates; returns when none is under way. Raises nothing but CancelledError."""
        task, self._task = self._task, None
        if task is None:
            return
        try:
            # An opening cut short could leave a stream that nobody knows and nobody finishes.
            with suppress(TimeoutError):
                async with asyncio.timeout(OPEN_SECONDS_MAX):
                    await self._opened.wait()
        finally:
            task.cancel()
        await asyncio.wait({task})
