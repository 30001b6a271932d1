"""A bucket for calls that a platform counts per app: waits its turn, in order, bounded."""

from typing import Final

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRetryable

WAIT_SECONDS_MAX: Final = 20.0


class Bucket:
    """At most `per_second` calls a second, up to `burst` at once; first come, first served."""

    def __init__(self, per_second: float, clock: Clock, *, burst: int = 1) -> None:
        self._gap = 1.0 / per_second
        self._slack = (burst - 1) * self._gap
        self._clock = clock
        self._next = 0.0

    async def take(self) -> None:
        """Returns when the call may be made. Raises SendRetryable when that is too far away."""
        now = self._clock.monotonic()
        at = max(self._next, now - self._slack)
        wait = at - now
        if wait > WAIT_SECONDS_MAX:
            raise SendRetryable(
                "too many calls wait for this platform's rate limit", retry_after_seconds=wait
            )
        self._next = at + self._gap
        if wait > 0:
            await self._clock.sleep(wait)

    def hold(self, seconds: float) -> None:
        """The platform asked for a pause."""
        self._next = max(self._next, self._clock.monotonic() + seconds)
