"""Reads Chinese words about repetition: 每天, 每周一三五, 每两周周三, 每月15号, 每年10月1日."""

import re

from ai_engine.skills import when as sums
from ai_engine.skills.chinese_times import DAY, NUMBER, TO, WEEK, number, weekday
from ai_engine.skills.reading import Every, Reader

_EVERY = re.compile(
    rf"(?P<work>每个?工作日|工作日每天)|(?P<daily>每[天日]|(?<![\d\0今明昨后前每半几两一二三四五六七八九十周期拜])天天(?![气空文使]))"
    rf"|每年(?P<month>{NUMBER})月(?P<date>{NUMBER})[日号]|每(?P<months>{NUMBER})?个?月的?(?P<day>{NUMBER})[日号]"
    rf"|每(?P<weeks>{NUMBER})?个?{WEEK}的?{WEEK}?"
    rf"(?P<list>末|{DAY}(?![次个])(?:(?:{TO}|[、,，和及])?{WEEK}?{DAY}(?![点點时:：]))*)?"
)


def read_every(reader: Reader) -> Every | None:
    """Take the first repetition out of the text."""
    match = _EVERY.search(reader.left)
    if match is None:
        return None
    every = _read_every(match)
    if every is not None:
        reader.take(*match.span())
    return every


def _read_every(match: re.Match[str]) -> Every | None:
    if match["daily"]:
        return Every("FREQ=DAILY", lambda _: True)
    if match["month"]:
        month, day = number(match["month"]) or 0, number(match["date"]) or 0
        if not sums.real_date(2024, month, day):
            return None
        return Every(
            f"FREQ=YEARLY;BYMONTH={month};BYMONTHDAY={day}",
            lambda d: (d.month, d.day) == (month, day),
        )
    if match["day"]:
        day = number(match["day"]) or 0
        if not 1 <= day <= 31:
            return None
        return Every(
            f"FREQ=MONTHLY{_interval(match['months'])};BYMONTHDAY={day}", lambda d: d.day == day
        )
    names = "一到五" if match["work"] else match["list"]
    if not names:
        return Every(f"FREQ=WEEKLY{_interval(match['weeks'])}", lambda _: True)
    chosen = _weekdays(names)
    by_day = ",".join(sums.WEEKDAYS[day] for day in chosen)
    return Every(
        f"FREQ=WEEKLY{_interval(match['weeks'])};BYDAY={by_day}", lambda d: d.weekday() in chosen
    )


def _interval(text: str | None) -> str:
    count = number(text or "1") or 1
    return f";INTERVAL={count}" if count > 1 else ""


def _weekdays(names: str) -> list[int]:
    """Weekdays (0 is Monday) of 一三五, 一、三, 一到五 or 末."""
    chosen: set[int] = set()
    previous, ranged = 0, False
    for char in names.replace("末", "六日"):
        if char in "到至-~～—–":
            ranged = True
        elif char in "一二三四五六日天":
            day = weekday(char)
            chosen.update(range(previous, day + 1) if ranged else [day])
            previous, ranged = day, False
    return sorted(chosen)
