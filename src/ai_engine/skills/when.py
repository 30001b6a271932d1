"""`When`: what words about time mean, and the small calendar sums that reading them needs."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

Span = tuple[int, int]
"""Start and end (exclusive) in the text."""

Again = Literal["", "week", "month"]

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
"""Weekday codes of iCalendar, Monday first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """An instant (`end == start`), a range of time, or whole days; perhaps repeated."""

    start: datetime
    """With a time zone."""
    end: datetime
    """Exclusive; equal to `start` when no length was said."""
    all_day: bool = False
    """Whole days: both ends are midnights."""
    rrule: str = ""
    """How it is repeated, as an iCalendar RRULE value; `start` is the first time."""
    spans: tuple[Span, ...] = ()
    """What of the text was read as time: in order, not empty, not overlapping."""

    def rest(self, text: str) -> str:
        """The text without what was read as time."""
        kept: list[str] = []
        at = 0
        for begin, end in self.spans:
            kept.append(text[at:begin])
            at = end
        return " ".join(" ".join([*kept, text[at:]]).split())

    def words(self, text: str) -> str:
        """What of the text was read as time."""
        return " ".join(text[begin:end].strip() for begin, end in self.spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """One day or several: [start, end)."""

    start: date
    end: date
    again: Again = ""
    """Set when only the weekday or the day of the month was said, not which week or month."""

    @staticmethod
    def one(day: date, *, again: Again = "") -> "Days":
        return Days(start=day, end=day + timedelta(days=1), again=again)

    def next(self) -> date:
        """The next such day; the first day itself when there can be only one."""
        if self.again == "week":
            return self.start + timedelta(days=7)
        if self.again == "month":
            return next_month_day(self.start + timedelta(days=1), self.start.day) or self.start
        return self.start


def at(day: date, minutes: int, now: datetime) -> datetime:
    """That many minutes of wall-clock time after midnight, in the time zone of `now`."""
    return datetime.combine(day, time(), now.tzinfo) + timedelta(minutes=minutes)


def after(now: datetime, seconds: float) -> datetime:
    """So much real time later, whatever the clocks do in between."""
    return (now.astimezone(UTC) + timedelta(seconds=seconds)).astimezone(now.tzinfo)


def week_of(day: date, weeks: int = 0) -> date:
    """Monday of that day's week, so many weeks later."""
    return day - timedelta(days=day.weekday()) + timedelta(weeks=weeks)


def add_months(day: date, months: int) -> date:
    """The same day of a later month, or its last day when it is shorter."""
    index = day.year * 12 + day.month - 1 + months
    first = date(index // 12, index % 12 + 1, 1)
    return first + timedelta(days=min(day.day, days_in_month(first)) - 1)


def days_in_month(day: date) -> int:
    following = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return (following - day.replace(day=1)).days


def month_of(day: date) -> Days:
    """The whole month."""
    first = day.replace(day=1)
    return Days(start=first, end=add_months(first, 1))


def next_month_day(today: date, day: int) -> date | None:
    """The next month's day of that number that exists, today included."""
    for months in range(3):
        first = add_months(today.replace(day=1), months)
        if day <= days_in_month(first) and (found := first.replace(day=day)) >= today:
            return found
    return None


def real_date(year: int, month: int, day: int) -> date | None:
    """The date, or None when the calendar has no such day, or not between 1900 and 2199."""
    try:
        return date(year, month, day) if 1900 <= year < 2200 else None
    except ValueError:
        return None


def next_year_day(today: date, month: int, day: int) -> date | None:
    """The next day of that name, today included; 29 February waits for its year."""
    found = (real_date(today.year + years, month, day) for years in range(9))
    return next((one for one in found if one is not None and one >= today), None)
