"""What both grammars share: the text being read, its parts, and what they mean together."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ai_engine.skills import when as sums
from ai_engine.skills.when import Days, Span, When

_TEXT_CHARS_MAX = 2000


class Reader:
    """The text, of which each part that is understood is taken out."""

    def __init__(self, text: str) -> None:
        self.left = text[:_TEXT_CHARS_MAX]
        self.spans: list[Span] = []

    def take(self, begin: int, end: int) -> None:
        self.left = self.left[:begin] + "\0" * (end - begin) + self.left[end:]
        merged: list[Span] = []
        for one in sorted([*self.spans, (begin, end)]):
            touching = bool(merged) and merged[-1][1] == one[0]
            merged[-1:] = [(merged[-1][0], one[1])] if touching else [*merged[-1:], one]
        self.spans = merged


@dataclass(frozen=True, slots=True)
class Clock:
    start: int
    """Minutes after midnight; 1440 and more are the next day's."""
    end: int | None = None
    vague: bool = False
    """The hour may also be meant 12 hours later."""


@dataclass(frozen=True, slots=True)
class Every:
    """A repetition."""

    rrule: str
    """RRULE value of iCalendar."""
    on: Callable[[date], bool]
    """Whether it may fall on that day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The parts that were found in a text."""

    every: Every | None = None
    days: Days | None = None
    clock: Clock | None = None
    length: tuple[float, int] = (0.0, 0)
    """Seconds, and 1 for a time so much later, -1 for earlier, 0 for how long it takes."""


def combine(reader: Reader, now: datetime, read: Read) -> When | None:
    """What the parts mean together, seen from `now`; None when there is no point in time."""
    seconds, direction = read.length
    all_day = False
    if read.every is not None:
        start, end, all_day = first_time(read.every, read.days, read.clock, now)
    elif read.clock is not None:
        start, end = on_day(read.days, read.clock, now)
    elif read.days is not None:
        start, end, all_day = sums.at(read.days.start, 0, now), sums.at(read.days.end, 0, now), True
    elif direction:
        start = end = sums.after(now, seconds * direction)
    else:
        return None
    if read.clock is not None and seconds and not direction:
        end = sums.after(start, seconds)
    rrule = read.every.rrule if read.every else ""
    return When(start=start, end=end, all_day=all_day, rrule=rrule, spans=tuple(reader.spans))


def on_day(days: Days | None, clock: Clock, now: datetime) -> tuple[datetime, datetime]:
    """The time on its day; what has passed and had no certain day is the next one."""
    day, start, end = days.start if days else now.date(), clock.start, clock.end
    passed = sums.at(day, end or start, now) < now
    if passed and clock.vague and day == now.date() and sums.at(day, start + 720, now) >= now:
        start, end = start + 720, end + 720 if end else None
    elif passed and days is None:
        day += timedelta(days=1)
    elif passed and days is not None:
        day = days.next()
    return sums.at(day, start, now), sums.at(day, start if end is None else end, now)


def first_time(
    every: Every, days: Days | None, clock: Clock | None, now: datetime
) -> tuple[datetime, datetime, bool]:
    """The first time of a repeated thing, from the day that was said or from now on."""
    day = days.start if days else now.date()
    for _ in range(366 * 9):
        late = clock is not None and days is None and sums.at(day, clock.start, now) < now
        if every.on(day) and not late:
            break
        day += timedelta(days=1)
    if clock is None:
        return sums.at(day, 0, now), sums.at(day, 1440, now), True
    end = clock.start if clock.end is None else clock.end
    return sums.at(day, clock.start, now), sums.at(day, end, now), False
