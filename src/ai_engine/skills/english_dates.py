"""Finds English words about time in a sentence; `dateparser` says which days they mean.

The library reads a phrase well, but not where it ends in a sentence, nor ranges and repetitions;
these are ours. Conventions: "next Friday" is next week's, as 下周五 is; an hour of 1 to 5 without
am or pm is in the afternoon, unless written with a leading zero.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from ai_engine.skills import when as sums
from ai_engine.skills.english_times import MONTH, NTH, WEEKDAY, read_clock, read_length, weekday
from ai_engine.skills.reading import Every, Read, Reader, combine
from ai_engine.skills.when import Days, When

_COUNT = r"(?:\d{1,3}|an?|one|two|three|four|five|six|seven|eight|nine|ten|twelve)"
_TO = re.compile(r"\s*(?:to|until|till|through|-|–)\s+(?:the\s+)?", re.IGNORECASE)


def _library(match: re.Match[str], today: date) -> Days | None:
    return _one(by_library(match[0], datetime.combine(today, time())))


def by_library(text: str, now: datetime, *, order: str = "MDY") -> datetime | None:
    """What `dateparser` makes of an English phrase: naive local time. Takes milliseconds."""
    import dateparser

    local = now.replace(tzinfo=None)
    settings = {
        "RELATIVE_BASE": local,
        "PREFER_DATES_FROM": "future",
        "DATE_ORDER": order,
        "RETURN_AS_TIMEZONE_AWARE": False,
    }
    return dateparser.parse(text, languages=["en"], settings=settings)  # pyright: ignore[reportArgumentType] - the stub wants its private TypedDict


def _one(found: datetime | None) -> Days | None:
    return Days.one(found.date()) if found and 1900 <= found.year < 2200 else None


def _span(match: re.Match[str], today: date) -> Days | None:
    shift = {"last": -1, "next": 1}.get(match[1].lower(), 0)
    match match[2].lower():
        case "week":
            monday = sums.week_of(today, shift)
            return Days(start=monday, end=monday + timedelta(days=7))
        case "weekend":
            saturday = sums.week_of(today, shift) + timedelta(days=5)
            return Days(start=saturday, end=saturday + timedelta(days=2))
        case "month":
            return sums.month_of(sums.add_months(today.replace(day=1), shift))
        case _:
            first = date(today.year + shift, 1, 1)
            return Days(start=first, end=first.replace(year=first.year + 1))


def _weekday(match: re.Match[str], today: date) -> Days | None:
    wanted, which = weekday(match[2]), (match[1] or "").lower()
    if which in ("next", "last"):
        monday = sums.week_of(today, 1 if which == "next" else -1)
        return Days.one(monday + timedelta(days=wanted))
    day = today + timedelta(days=(wanted - today.weekday()) % 7)
    return Days.one(day, again="" if which == "this" else "week")


def _nth(match: re.Match[str], today: date) -> Days | None:
    found = sums.next_month_day(today, int(match[1]))
    return Days.one(found, again="month") if found else None


def _coming_days(match: re.Match[str], today: date) -> Days | None:
    count = _count(match[1])
    return Days(start=today, end=today + timedelta(days=count)) if count else None


def _count(text: str) -> int:
    words = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    if text.isdecimal():
        return int(text)
    return {"a": 1, "an": 1, "twelve": 12}.get(text.lower()) or words.index(text.lower())


def _iso(match: re.Match[str], _: date) -> Days | None:
    found = sums.real_date(int(match[1]), int(match[2]), int(match[3]))
    return Days.one(found) if found else None


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)


_ReadDays = Callable[[re.Match[str], date], Days | None]
_DAY_RULES: tuple[tuple[re.Pattern[str], _ReadDays], ...] = (
    (_words("(?:the )?day (?:after tomorrow|before yesterday)|today|tomorrow|yesterday"), _library),
    (re.compile(r"(?<!\d)(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?!\d)"), _iso),
    (_words("(this|next|last|the) (week|weekend|month|year)"), _span),
    (_words(f"(?:(this|next|last|coming) )?{WEEKDAY}"), _weekday),
    (_words(rf"{MONTH}\.? (?:the )?{NTH}(?:,? \d{{4}})?(?!:)"), _library),
    (_words(rf"(?:the )?{NTH} (?:of )?{MONTH}(?:,? \d{{4}})?"), _library),
    (_words(r"the (\d{1,2})(?:st|nd|rd|th)"), _nth),
    (_words(f"in {_COUNT} (?:days?|weeks?|months?|years?)"), _library),
    (_words(f"{_COUNT} (?:days?|weeks?|months?|years?) ago"), _library),
    (_words(f"(?:the )?next ({_COUNT}) days"), _coming_days),
)
_EVERY = _words(
    rf"(?P<daily>every ?day|daily)|(?P<work>every (?:weekday|work(?:ing)? ?day))"
    rf"|(?P<monthly>(?:every month|monthly) on the (?P<nth>\d{{1,2}})(?:st|nd|rd|th))"
    rf"|(?:every (?:(?P<other>other|second|two|2) )?|weekly on |weekly every )"
    rf"(?:weeks?(?: on)? )?(?P<list>{WEEKDAY}s?(?:(?:,? and |, ?|,? or ){WEEKDAY}s?)*)"
    r"|(?P<plain>weekly|monthly|yearly|annually"
    r"|every (?P<two>other |two |2 )?(?:week|month|year)s?)"
)
_GLUE = re.compile(r"\b(?:on|at|in|by|for|from|starting)\s+(?=\0)", re.IGNORECASE)


def parse(text: str, now: datetime) -> When | None:
    """What the text says about time, seen from `now` (with a time zone); None when nothing."""
    reader, today = Reader(text), now.date()
    every = _every(reader)
    days = _days(reader, today)
    clock = read_clock(reader)
    length = read_length(reader)
    _take_glue(reader)
    return combine(reader, now, Read(every=every, days=days, clock=clock, length=length))


def locate(text: str) -> When:
    """Where the words about time are, without their meaning: takes microseconds, no library."""
    reader, epoch = Reader(text), datetime(1970, 1, 1, tzinfo=UTC)
    _every(reader)
    for begin, end, _, _ in _found(reader)[:1]:
        to = _TO.match(reader.left, end)
        seconds = [rule.match(reader.left, to.end()) for rule, _ in _DAY_RULES] if to else []
        reader.take(begin, max([end, *(second.end() for second in seconds if second)]))
    read_clock(reader)
    read_length(reader)
    _take_glue(reader)
    return When(start=epoch, end=epoch, spans=tuple(reader.spans))


def _take_glue(reader: Reader) -> None:
    for match in _GLUE.finditer(reader.left):
        reader.take(*match.span())


def _found(reader: Reader) -> list[tuple[int, int, re.Match[str], _ReadDays]]:
    """Every rule's first match: the earliest first, of these the longest."""
    found = [
        (match.start(), match.end(), match, read)
        for pattern, read in _DAY_RULES
        if (match := pattern.search(reader.left))
    ]
    return sorted(found, key=lambda one: (one[0], -one[1]))


def _days(reader: Reader, today: date) -> Days | None:
    for begin, end, match, read in _found(reader):
        if first := read(match, today):
            last_end, days = _until(reader, end, today, first)
            reader.take(begin, last_end)
            return days
    return None


def _until(reader: Reader, end: int, today: date, first: Days) -> tuple[int, Days]:
    """The first day, or the days to a second one that follows `to`."""
    to = _TO.match(reader.left, end)
    for pattern, read in _DAY_RULES if to else ():
        match = pattern.match(reader.left, to.end() if to else end)
        if match is None:
            continue
        last = read(match, today)
        if last and last.start < first.start:
            last = read(match, first.start)
        if last and last.end > first.end:
            return match.end(), Days(start=first.start, end=last.end)
    return end, first


def _every(reader: Reader) -> Every | None:
    match = _EVERY.search(reader.left)
    if match is None or (every := _read_every(match)) is None:
        return None
    reader.take(*match.span())
    return every


def _read_every(match: re.Match[str]) -> Every | None:
    if match["daily"]:
        return Every("FREQ=DAILY", lambda _: True)
    if match["monthly"]:
        day = int(match["nth"])
        return Every(f"FREQ=MONTHLY;BYMONTHDAY={day}", lambda d: d.day == day) if day < 32 else None
    interval = ";INTERVAL=2" if match["other"] or match["two"] else ""
    if match["plain"]:
        word = match["plain"].lower()
        unit = "YEARLY" if "year" in word or "annual" in word else "WEEKLY"
        return Every(f"FREQ={'MONTHLY' if 'month' in word else unit}{interval}", lambda _: True)
    named = re.finditer(WEEKDAY, match["list"] or "", re.IGNORECASE)
    chosen = sorted({weekday(one[1]) for one in named}) or [0, 1, 2, 3, 4]
    by_day = ",".join(sums.WEEKDAYS[day] for day in chosen)
    return Every(f"FREQ=WEEKLY{interval};BYDAY={by_day}", lambda d: d.weekday() in chosen)
