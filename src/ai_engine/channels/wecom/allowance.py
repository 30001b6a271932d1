"""What one member may get, and which message only looks like a repeat.

Source: WeCom, "Access frequency limits" (developer.work.weixin.qq.com/document/path/90312): an app
may send a member 30 messages a minute and 1,000 an hour; what is more is dropped without a word.
"Send application messages" (path/90236): `enable_duplicate_check` drops a message whose content was
sent to the same receiver within `duplicate_check_interval` seconds.
"""

import hashlib
from collections import OrderedDict, deque
from typing import Final

from ai_engine.channels.base import Notes
from ai_engine.channels.pace import Bucket
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRetryable

PER_MINUTE: Final = 30
PER_HOUR: Final = 1000
INTERVAL_SECONDS: Final = 300
"""How long WeCom is asked to know a repeat. Longer than a restart takes."""
_KNOWN_MAX: Final = 10_000


class Allowance:
    """Of each member's messages of the last minute and hour. The minute is kept as a note of the
    channel: forgotten by a restart, the next messages would be dropped and counted as delivered."""

    def __init__(self, clock: Clock, notes: Notes) -> None:
        self._clock = clock
        self._notes = notes
        self._minutes: OrderedDict[str, deque[float]] = OrderedDict()
        self._hours: OrderedDict[str, Bucket] = OrderedDict()

    async def take(self, user: str, count: int) -> None:
        """Room for so many messages at once. Raises SendRetryable: not yet, nothing was taken."""
        times = await self._minute(user)
        now = self._clock.monotonic()
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
        self._note(user, times)
        for table in (self._minutes, self._hours):
            while len(table) > _KNOWN_MAX:
                table.popitem(last=False)

    async def left(self, user: str) -> int:
        """How many more messages the member may get in this minute."""
        times = await self._minute(user)
        since = self._clock.monotonic() - 60.0
        return PER_MINUTE - sum(at > since for at in times)

    async def _minute(self, user: str) -> deque[float]:
        """When the member's newest messages went out, on the monotonic clock."""
        if user not in self._minutes:
            noted = await self._notes.get(_note(user)) or ""
            ahead = self._clock.time() - self._clock.monotonic()
            # Not in the future, where a clock that was set back would put them.
            earlier = [min(float(at), self._clock.time()) - ahead for at in noted.split()]
            if user not in self._minutes:  # another reply may have come first
                self._minutes[user] = deque(earlier, maxlen=PER_MINUTE)
        self._minutes.move_to_end(user)
        return self._minutes[user]

    def _note(self, user: str, times: deque[float]) -> None:
        ahead = self._clock.time() - self._clock.monotonic()
        self._notes.put(_note(user), " ".join(f"{at + ahead:.2f}" for at in times))

    @staticmethod
    def _full(times: deque[float], count: int) -> bool:
        return len(times) + count > PER_MINUTE


def _note(user: str) -> str:
    return f"minute {user}"


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
