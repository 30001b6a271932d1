"""Reads Chinese words about time: 明天下午三点半, 下周五, 3天后, 每周一早上9点, 12月3日到5日.

Conventions where the language leaves room: 周X without a week and N号 without a month are the next
such day, today included; an hour of 1 to 5 without 上午 or 下午 is in the afternoon, unless written
with a leading zero; a time of today that has passed, said without a day, is the next one.
"""

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta

from ai_engine.skills import when as sums
from ai_engine.skills.chinese_recurrence import read_every
from ai_engine.skills.chinese_times import (
    DAY,
    DIGITS,
    NUMBER,
    TO,
    WEEK,
    number,
    read_clock,
    read_length,
    weekday,
)
from ai_engine.skills.reading import Read, Reader, combine
from ai_engine.skills.when import Days, When

_TO = re.compile(TO)
_NO_PLACE = r"(?![楼线厅门馆院机店桌房车厂库间室会])"


def _year(text: str | None, today: date) -> int | None:
    if not text:
        return None
    shift = {"去": -1, "今": 0, "明": 1, "后": 2}.get(text[0])
    if shift is not None:
        return today.year + shift
    return int("".join(str(DIGITS.get(char, char)) for char in text[:4]))


def _named(match: re.Match[str], today: date) -> Days | None:
    words = ("大前天", "前天", "昨", "今", "明", "后天", "大后天")
    name = match[0] if match[0] in words else match[0][0]
    return Days.one(today + timedelta(days=words.index(name) - 3))


def _iso(match: re.Match[str], today: date) -> Days | None:
    return _exactly(sums.real_date(int(match[1]), int(match[2]), int(match[3])))


def _exactly(day: date | None) -> Days | None:
    return Days.one(day) if day else None


def _month_day(match: re.Match[str], today: date) -> Days | None:
    year, month, day = _year(match[1], today), number(match[2]), number(match[3] or "1")
    if month is None or day is None:
        return None
    if year is None and not match[3]:
        year = today.year + (month < today.month)
    found = sums.real_date(year, month, day) if year else sums.next_year_day(today, month, day)
    if found is None:
        return None
    return Days.one(found) if match[3] else sums.month_of(found)


def _whole_year(match: re.Match[str], today: date) -> Days | None:
    first = sums.real_date(_year(match[1], today) or 0, 1, 1)
    return Days(start=first, end=first.replace(year=first.year + 1)) if first else None


def _shift(text: str) -> int:
    return len(text) * {"上": -1, "下": 1}.get(text[0], 0)


def _relative_month(match: re.Match[str], today: date) -> Days | None:
    month = sums.month_of(sums.add_months(today.replace(day=1), _shift(match[1])))
    if not match[2]:
        return month
    return _exactly(sums.real_date(month.start.year, month.start.month, number(match[2]) or 0))


def _relative_week(match: re.Match[str], today: date) -> Days | None:
    monday = sums.week_of(today, _shift(match[1]))
    if match[2] is None:
        return Days(start=monday, end=monday + timedelta(days=7))
    return _in_week(monday, match[2])


def _in_week(monday: date, name: str) -> Days:
    if name == "末":
        return Days(start=monday + timedelta(days=5), end=monday + timedelta(days=7))
    return Days.one(monday + timedelta(days=weekday(name)))


def _next_weekday(match: re.Match[str], today: date) -> Days | None:
    if match[1] == "末":
        return _in_week(sums.week_of(today), "末")
    return Days.one(today + timedelta(days=(weekday(match[1]) - today.weekday()) % 7), again="week")


def _day_of_month(match: re.Match[str], today: date) -> Days | None:
    found = sums.next_month_day(today, number(match[1]) or 99)
    return Days.one(found, again="month") if found else None


def _days_off(match: re.Match[str], today: date) -> Days | None:
    count = number(match[1])
    if count is None:
        return None
    count = -count if match[3] == "前" else count
    if match[2] in ("个月", "年"):
        return Days.one(sums.add_months(today, count * (12 if match[2] == "年" else 1)))
    return Days.one(today + timedelta(days=count * (1 if match[2] in "天日" else 7)))


def _coming_days(match: re.Match[str], today: date) -> Days | None:
    count = number(match[1])
    return Days(start=today, end=today + timedelta(days=count)) if count else None


_YEAR = r"(?<!\d)\d{4}年|[零〇一二三四五六七八九]{4}年|[去今明后]年"
_DAY_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], date], Days | None]], ...] = (
    (re.compile("大前天|大后天|前天|昨[天日]|今[天日]|明[天日]|后天|[昨今明](?=[早晚])"), _named),
    (re.compile(r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)"), _iso),
    (re.compile(f"({_YEAR})"), _whole_year),
    (re.compile(rf"(?:({_YEAR})的?\s*)?({NUMBER})月份?(?:({NUMBER})[日号])?"), _month_day),
    (re.compile(f"(上{{1,2}}|这|本|下{{1,2}})个?月(?:的?({NUMBER})[日号])?"), _relative_month),
    (re.compile(f"(上{{1,2}}|这|本|下{{1,2}})个?{WEEK}({DAY}|末)?"), _relative_week),
    (re.compile(rf"(?<![\d一二两三几每半]){WEEK}({DAY}|末)"), _next_weekday),
    (re.compile(f"(?<!月)({NUMBER})[日号]{_NO_PLACE}"), _day_of_month),
    (re.compile(f"({NUMBER})(天|日|周|个?星期|个?礼拜|个月|年)[之以]?(后|前)"), _days_off),
    (re.compile(f"(?:未来|接下来|今后|这)的?({NUMBER})天"), _coming_days),
)


def parse(text: str, now: datetime) -> When | None:
    """What the text says about time, seen from `now` (with a time zone); None when nothing."""
    reader, today = Reader(text), now.date()
    every = read_every(reader)
    days = _days(reader, today)
    clock = read_clock(reader)
    length = read_length(reader)
    return combine(reader, now, Read(every=every, days=days, clock=clock, length=length))


def _days(reader: Reader, today: date) -> Days | None:
    """The earliest and longest expression for days, and `到` with a second one after it."""
    found: list[tuple[int, int, Days]] = []
    for pattern, read in _DAY_RULES:
        for match in pattern.finditer(reader.left):
            if days := read(match, today):
                found.append((match.start(), -match.end(), days))
                break
    if not found:
        return None
    begin, end, days = min(found, key=lambda one: one[:2])
    end = -end
    if (to := _TO.match(reader.left, end)) and (second := _days_at(reader, to.end(), today, days)):
        end, days = second
    reader.take(begin, end)
    return days


def _days_at(reader: Reader, begin: int, today: date, first: Days) -> tuple[int, Days] | None:
    best: tuple[int, Days] | None = None
    for pattern, read in _DAY_RULES:
        match = pattern.match(reader.left, begin)
        if match is None or (best and match.end() <= best[0]):
            continue
        last = read(match, today)
        if last and last.start < first.start:
            last = read(match, first.start)
        if last and last.end > first.end:
            best = match.end(), Days(start=first.start, end=last.end)
    return best
