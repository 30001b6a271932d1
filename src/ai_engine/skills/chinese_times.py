"""Reads Chinese numerals, times of day and lengths of time: 下午三点半, 3点到5点, 两个半小时后.

An hour of 1 to 5 without 上午 or 下午 is in the afternoon, unless written with a leading zero.
"""

import re

from ai_engine.skills.reading import Clock, Reader

DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
"""What each Chinese digit is worth."""
NUMBER = r"(?<![\d.第百千零〇一二两三四五六七八九十])(?:\d{1,3}|[零〇一二两三四五六七八九十]{1,3})"
"""A number from 0 to 99 in Chinese or from 0 to 999 in digits, and no part of a longer one."""
TO = r"\s*(?:到|至|-|~|～|—|–)\s*"
"""What stands between the two ends of a range."""
WEEK = "(?:周|星期|礼拜)"
DAY = "(?:[一二三四五六日]|天(?!气))"
_PERIODS = {
    "凌晨": (0, 6), "清晨": (5, 9), "早晨": (6, 12), "早上": (6, 12), "上午": (6, 12),
    "中午": (11, 14), "正午": (11, 14), "下午": (12, 18), "午后": (12, 18), "傍晚": (17, 20),
    "晚上": (18, 24), "夜里": (18, 24), "深夜": (21, 24), "半夜": (0, 6),
    "早": (6, 12), "晚": (18, 24), "夜": (18, 24),
}  # fmt: skip
_PERIOD = rf"(?:{'|'.join(p for p in _PERIODS if len(p) > 1)}|(?<=[\0今明昨天])[早晚夜](?![餐饭]))"

_AFTERNOON = ("下午", "午后", "傍晚")
_NOON = ("中午", "正午")
_NIGHT = ("晚上", "晚", "夜", "夜里", "深夜", "半夜")


def number(text: str) -> int | None:
    """The value of digits, or of a Chinese numeral from 零 to 九十九; else None."""
    if text.isdecimal():
        return int(text)
    tens, ten, ones = text.partition("十")
    if ten:
        values = (DIGITS.get(tens, None if tens else 1), DIGITS.get(ones, None if ones else 0))
        return None if values[0] is None or values[1] is None else values[0] * 10 + values[1]
    return DIGITS.get(text[1:] if len(text) == 2 and text[0] in "零〇" else text)


def weekday(name: str) -> int:
    """0 for 一 (Monday) to 6 for 日 or 天."""
    return 6 if name == "天" else "一二三四五六日".index(name)


def _clock(which: str) -> str:
    """A time of day; `which` ends the names of its groups."""
    minute = (
        rf"(?P<m{which}>{NUMBER})分(?!钟)"
        rf"|(?P<n{which}>\d\d|[零〇一二三四五十]{{2,3}})(?![\d个人名位分])"
    )
    return (
        rf"(?P<p{which}>{_PERIOD})?的?\s*(?P<h{which}>{NUMBER})"
        rf"(?:[点點](?:(?P<q{which}>半|一刻|三刻|整|钟)|{minute})?"
        rf"|(?<=\d)时(?:(?P<t{which}>\d\d?)分)?|[:：](?P<c{which}>\d\d)(?::\d\d)?(?!\d))"
    )


_CLOCKS = re.compile(f"{_clock('1')}(?:{TO}{_clock('2')})?")
_PART_OF_DAY = re.compile(f"{_PERIOD}(?![好茶餐饭])")
_A_BIT = re.compile(r"[有快慢早晚多少好大小差]一点|一点[儿也都点些]")
_LENGTH = re.compile(f"(半|{NUMBER})个?(半)?(小时|钟头|分钟|刻钟)(?:[之以]?(后|前))?")


def read_clock(reader: Reader) -> Clock | None:
    for match in _CLOCKS.finditer(reader.left):
        around = reader.left[max(0, match.start() - 1) : match.end() + 1]
        if match[0] == "一点" and _A_BIT.search(around):
            continue
        if clock := _read_clock(match):
            reader.take(*match.span())
            return clock
    if match := _PART_OF_DAY.search(reader.left):
        reader.take(*match.span())
        begin, end = _PERIODS[match[0]]
        return Clock(begin * 60, end * 60)
    return None


def _read_clock(match: re.Match[str]) -> Clock | None:
    start = _minutes(match, "1")
    if start is None:
        return None
    hour, period = match["h1"], match["p1"]
    if not period and 60 <= start < 360 and hour[0] != "0":
        start += 720
    vague = not period and 360 <= start < 720 and hour[0] != "0"
    if match["h2"] is None:
        return Clock(start, vague=vague)
    end = _minutes(match, "2")
    if end is None:
        return None
    while end <= start:
        end += 720 if not match["p2"] and (number(match["h2"]) or 0) <= 12 else 1440
    return Clock(start, end, vague)


def _minutes(match: re.Match[str], which: str) -> int | None:
    """Minutes after midnight as written, 下午 and 晚上 applied."""
    hour = number(match["h" + which])
    said = match["m" + which] or match["n" + which] or match["t" + which] or match["c" + which]
    quarter = {"半": 30, "一刻": 15, "三刻": 45}.get(match["q" + which] or "", 0)
    minute = number(said) if said else quarter
    if hour is None or minute is None or minute > 59 or hour * 60 + minute > 1440:
        return None
    period = match["p" + which] or ""
    if (period in _AFTERNOON and hour < 12) or (period in _NOON and hour <= 3):
        hour += 12
    elif period in _NIGHT and hour <= 12:
        hour += 24 if hour <= 4 and period in ("晚上", "晚") else 12 if hour >= 5 else 0
    elif period == "凌晨" and hour == 12:
        hour = 0
    return hour * 60 + minute


def read_length(reader: Reader) -> tuple[float, int]:
    """Seconds, and 1 for `后`, -1 for `前`, 0 for a plain length of time."""
    match = _LENGTH.search(reader.left)
    if match is None or (count := 0 if match[1] == "半" else number(match[1])) is None:
        return 0.0, 0
    reader.take(*match.span())
    unit = {"分钟": 60, "刻钟": 900}.get(match[3], 3600)
    halves = 0.5 if match[1] == "半" or match[2] else 0.0
    return (count + halves) * unit, {"后": 1, "前": -1}.get(match[4] or "", 0)
