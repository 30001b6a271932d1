"""How long to wait before the next attempt: exponential, capped, with jitter."""

import random
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

_DOUBLINGS_MAX: Final = 32


class Backoff:
    """Delays of `first`, 2x, 4x … up to `cap` seconds, each shortened by up to half at random,
    so that many clients of one failing server do not return in step."""

    def __init__(
        self, *, first: float = 1.0, cap: float = 60.0, chance: random.Random | None = None
    ) -> None:
        self._first = first
        self._cap = cap
        self._chance = chance or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._attempts = 0

    def next(self) -> float:
        """Seconds to wait now; longer each time until `reset`."""
        full = min(self._cap, self._first * 2 ** min(self._attempts, _DOUBLINGS_MAX))
        self._attempts += 1
        return full * self._chance.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It worked: the next failure waits briefly again."""
        self._attempts = 0


def retry_after_seconds(value: str | None, now: float, *, cap: float = 600.0) -> float | None:
    """What a `Retry-After` header (seconds or an HTTP date) asks for, at most `cap` seconds.

    `now` is in seconds since the Unix epoch. None when absent or unreadable.
    """
    if not value:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:10]), cap)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max(0.0, at.timestamp() - now), cap)
