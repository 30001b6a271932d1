"""What one member may get, and which message only looks like a repeat.

Source: WeCom, "Access frequency limits" (developer.work.weixin.qq.com/document/path/90312): an app
may send a member 30 messages a minute and 1,000 an hour; what is more is dropped without a word.
"Send application messages" (path/90236): `enable_duplicate_check` drops a message whose content was
sent to the same receiver within `duplicate_check_interval` seconds.
"""

import hashlib
from collections import OrderedDict, deque
from typing import Final

from ai_engine.channels.pace import Bucket
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRetryable

PER_MINUTE: Final = 30
PER_HOUR: Final = 1000
INTERVAL_SECONDS: Final = 300
"""How long WeCom is asked to know a repeat. Longer than a restart takes."""
_KNOWN_MAX: Final = 10_000


class Allowance:
    """Of each member's messages of the last minute and hour, as far as this process sent them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minutes: OrderedDict[str, deque[float]] = OrderedDict()
        self._hours: OrderedDict[str, Bucket] = OrderedDict()

    async def take(self, user: str, count: int) -> None:
        """Room for so many messages at once. Raises SendRetryable: not yet, nothing was taken."""
        now = self._clock.monotonic()
        times = self._minutes.pop(user, None) or deque[float](maxlen=PER_MINUTE)
        self._minutes[user] = times
        count = min(count, PER_MINUTE)
        oldest = times[count - 1 - (PER_MINUTE - len(times))] if self._full(times, count) else None
        if oldest is not None and now - oldest < 60.0:
            raise SendRetryable(
                "WeCom takes 30 messages a minute for one person",
                retry_after_seconds=oldest + 60.0 - now,
            )
        hour = self._hours.pop(user, None)
        if hour is None:  # a full bucket, then as many in an hour again: 1,000 at most in any hour
            hour = Bucket(PER_HOUR / 2 / 3600, self._clock, burst=PER_HOUR // 2)
        self._hours[user] = hour
        for _ in range(count):
            await hour.take()
            times.append(now)
        for table in (self._minutes, self._hours):
            while len(table) > _KNOWN_MAX:
                table.popitem(last=False)

    def left(self, user: str) -> int:
        """How many more messages the member may get in this minute."""
        since = self._clock.monotonic() - 60.0
        return PER_MINUTE - sum(at > since for at in self._minutes.get(user, ()))

    @staticmethod
    def _full(times: deque[float], count: int) -> bool:
        return len(times) + count > PER_MINUTE


class Repeats:
    """Whether WeCom may compare a message with the earlier ones.

    It compares contents, we know ids: an answer that is sent again after a crash must show once,
    two answers that happen to have the same words must both show. So the comparison is asked for,
    unless this process has sent the same words as another message within the interval.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent: OrderedDict[tuple[str, bytes], tuple[str, float]] = OrderedDict()

    def may_compare(self, user: str, content: bytes, message: str) -> bool:
        """`message`: an id that a repeat of this very message has too. Notes the message."""
        key = (user, hashlib.sha256(content).digest())
        now = self._clock.monotonic()
        other, at = self._sent.pop(key, (message, now))
        self._sent[key] = (message, now)
        if len(self._sent) > _KNOWN_MAX:
            self._sent.popitem(last=False)
        return other == message or now - at > INTERVAL_SECONDS
