"""A platform's access token: cached, refreshed once however many ask at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRetryable

MARGIN_SECONDS: Final = 60.0
"""A token is renewed this long before it ends, so that no call carries one that ends under way."""

Fetch = Callable[[], Awaitable[tuple[str, float]]]
"""Asks the platform: (token, its life in seconds)."""


class TokenCache:
    """Lives in one process. Life = min(`life_max_seconds`, the platform's) - 60 s; a token whose
    life is shorter than that is used once and never cached."""

    def __init__(self, fetch: Fetch, life_max_seconds: float, clock: Clock) -> None:
        self._fetch = fetch
        self._life_max = life_max_seconds
        self._clock = clock
        self._token = ""
        self._until = 0.0
        self._refresh: asyncio.Task[str] | None = None

    async def get(self) -> str:
        """A valid token. Raises what `fetch` raises, to everybody who waited for that attempt, and
        SendRetryable when the cache was closed meanwhile."""
        if self._token and self._clock.monotonic() < self._until:
            return self._token
        if self._refresh is None:
            self._refresh = asyncio.create_task(self._renew(), name="token refresh")
            self._refresh.add_done_callback(self._settled)
        refresh = self._refresh
        # A caller that is cancelled must not take the refresh away from the others; and one whose
        # refresh was cancelled has not been cancelled itself: its work must end in order.
        await asyncio.wait((refresh,))
        if refresh.cancelled():
            raise SendRetryable("the channel was closed while it asked for an access token")
        return refresh.result()

    async def _renew(self) -> str:
        asked_at = self._clock.monotonic()
        token, life = await self._fetch()
        self._token = token
        self._until = asked_at + min(self._life_max, life) - MARGIN_SECONDS
        return token

    def _settled(self, task: asyncio.Task[str]) -> None:
        self._refresh = None
        if not task.cancelled():
            task.exception()  # seen, even when every caller has gone

    def invalidate(self, token: str) -> None:
        """The platform refused this token; a newer one that is cached already stays."""
        if token == self._token:
            self._token = ""

    async def close(self) -> None:
        """Cancel a refresh under way and forget the token."""
        self._token = ""
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.wait([self._refresh])
