"""The one entry for words about time, Chinese or English: `parse_when`."""

import re
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo

from ai_engine.domain.skill import spoken_language
from ai_engine.skills import chinese_dates, english_dates
from ai_engine.skills.when import When, real_date

_PHRASE_CHARS_MAX = 100
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d\S*)?")


def parse_when(text: str, now: datetime, timezone: tzinfo, language: str = "en") -> When | None:
    """What a text says about time: an instant, a range, whole days, perhaps repeated.

    Reads ISO 8601 (also `start/end`), Chinese when there are Han characters, else English; a
    short text that our grammars cannot read as a whole goes to `dateparser`. Local times are in
    `timezone`. `language` decides what 3/4 is: month first in English, year-month-day order else.
    May take milliseconds, and 0.1 s at the first English text: call it in a thread.

    Args:
        text: words, possibly in a longer sentence.
        now: the present, with a time zone.
        timezone: of the person.
        language: zh | en.
    """
    local = now.astimezone(timezone)
    words = text.strip()
    if found := _iso(words, timezone):
        return replace(found, spans=((0, len(text)),))
    if spoken_language(words) == "zh":
        return chinese_dates.parse(text, local)
    return english_dates.parse(text, local) or _by_library(text, local, language)


def _iso(words: str, timezone: tzinfo) -> When | None:
    first, slash, second = words.partition("/")
    start = _iso_one(first, timezone)
    end = _iso_one(second, timezone) if slash else start
    if start is None or end is None:
        return None
    if end.all_day or not slash:
        return replace(start, end=end.end)
    return replace(start, end=end.start, all_day=False)


def _iso_one(words: str, timezone: tzinfo) -> When | None:
    if not _ISO.fullmatch(words):
        return None
    try:
        found = datetime.fromisoformat(words)
    except ValueError:
        return None
    if real_date(found.year, found.month, found.day) is None:
        return None
    start = found.astimezone(timezone) if found.tzinfo else found.replace(tzinfo=timezone)
    if len(words) > 10:
        return When(start=start, end=start)
    return When(start=start, end=start + timedelta(days=1), all_day=True)


def _by_library(text: str, now: datetime, language: str) -> When | None:
    """A whole phrase such as `3/12/2026` or `a fortnight ago`; not a sentence."""
    if len(text) > _PHRASE_CHARS_MAX:
        return None
    order = "MDY" if language == "en" else "YMD"
    found = english_dates.by_library(text, now, order=order)
    if found is None or not 1900 <= found.year < 2200:
        return None
    start = found.replace(tzinfo=now.tzinfo)
    spans = ((0, len(text)),)
    if found.time() in (now.time().replace(tzinfo=None), datetime.min.time()):
        start = start.replace(hour=0, minute=0, second=0, microsecond=0)
        return When(start=start, end=start + timedelta(days=1), all_day=True, spans=spans)
    return When(start=start, end=start, spans=spans)
