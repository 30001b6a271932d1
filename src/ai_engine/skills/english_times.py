"""Reads English times of day and lengths of time: at 3pm, from 3 to 5 pm, noon, for two hours."""

import re

from ai_engine.skills.reading import Clock, Reader

WEEKDAY = (
    r"(mon(?:day)?|tue(?:s|sday)?|wed(?:nesday)?|thu(?:rs|rsday)?|fri(?:day)?|saturday|sunday)"
)
"""A weekday's name in one group; `sat` and `sun` are words of their own."""
MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
NTH = r"\d{1,2}(?:st|nd|rd|th)?"

_PARTS = {
    "morning": (6, 12),
    "afternoon": (12, 18),
    "evening": (18, 24),
    "tonight": (18, 24),
    "night": (18, 24),
}
_HALF = r"(?P<h{0}>\d{{1,2}})(?:[:.](?P<m{0}>\d\d))?(?![\d:.]*\d)\s*(?P<p{0}>[ap]\.?m\b\.?)?"
_ONE = "(?:" + _HALF + r"|(?P<w{0}>noon|midnight))"
_CLOCKS = re.compile(
    rf"(?<![\w.:])(?P<at>(?:at|from|@)\s*)?{_ONE.format(1)}"
    rf"(?:\s*(?P<to>to|until|till|-|–)\s*{_ONE.format(2)})?(?!\w)",
    re.IGNORECASE,
)
_PART_OF_DAY = re.compile(
    r"\b(?:(?:in the|this|at) )?(morning|afternoon|evening|tonight|night)\b", re.IGNORECASE
)
_LENGTH = re.compile(
    r"\b(?P<in>in |for )?(?P<n>\d{1,3}(?:\.\d)?|half an?|an?|one|two|three|four|five|six)"
    r"[ -]?(?P<half>and a half )?(?P<unit>hours?|hrs?|minutes?|mins?)(?P<ago> ago)?\b",
    re.IGNORECASE,
)
_WORDS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}


def weekday(name: str) -> int:
    """0 for Monday to 6 for Sunday, from its first letters."""
    return ("mon", "tue", "wed", "thu", "fri", "sat", "sun").index(name[:3].lower())


def read_clock(reader: Reader) -> Clock | None:
    """Take the first time of day out of the text."""
    for match in _CLOCKS.finditer(reader.left):
        marks = (match["at"], match["p1"], match["m1"], match["w1"], match["p2"], match["m2"])
        if not any(marks) or (clock := _clock(match)) is None:
            continue
        reader.take(*match.span())
        return clock
    if match := _PART_OF_DAY.search(reader.left):
        reader.take(*match.span())
        begin, end = _PARTS[match[1].lower()]
        return Clock(begin * 60, end * 60)
    return None


def _clock(match: re.Match[str]) -> Clock | None:
    start = _minutes(match, "1", match["p1"])
    if start is None:
        return None
    if not match["to"]:
        return _alone(match, start)
    end = _minutes(match, "2", match["p2"])
    if end is None:
        return None
    if match["p2"] and not match["p1"] and not match["w1"]:  # 3 to 5 pm: both are pm
        same = _minutes(match, "1", match["p2"])
        start = same if same is not None and same < end else start
    elif not match["p1"] and not match["w1"]:
        alone = _alone(match, start)
        start = alone.start
    while end <= start:
        end += 1440 if match["p2"] or match["w2"] or end >= 780 else 720
    return Clock(start, end)


def _alone(match: re.Match[str], start: int) -> Clock:
    """A start as written, or in the afternoon where that is what people mean."""
    if match["p1"] or match["w1"] or match["h1"][0] == "0":
        return Clock(start)
    if 60 <= start < 360:
        return Clock(start + 720)
    return Clock(start, vague=360 <= start < 720)


def _minutes(match: re.Match[str], which: str, half: str | None) -> int | None:
    word = match["w" + which]
    if word:
        return 720 if word.lower() == "noon" else 1440
    hour, minute = int(match["h" + which]), int(match["m" + which] or 0)
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    return hour * 60 + minute if minute < 60 and hour * 60 + minute <= 1440 else None


def read_length(reader: Reader) -> tuple[float, int]:
    """Seconds, and 1 for `in …`, -1 for `… ago`, 0 for a plain length of time."""
    match = _LENGTH.search(reader.left)
    if match is None:
        return 0.0, 0
    reader.take(*match.span())
    said = match["n"].lower()
    count = 0.5 if said.startswith("half") else _WORDS.get(said) or float(said)
    count += 0.5 if match["half"] else 0.0
    seconds = count * (60 if match["unit"].lower().startswith("min") else 3600)
    if match["ago"]:
        return seconds, -1
    return seconds, 1 if (match["in"] or "").lower() == "in " else 0
