"""What people ask of the calendar: a skill's arguments from Chinese or English words."""

import re
from datetime import UTC, datetime

from ai_engine.domain.message import Json
from ai_engine.domain.skill import ToolContext, spoken_language
from ai_engine.skills import chinese_dates, english_dates
from ai_engine.skills.when import When

_TEXT_CHARS_MAX = 500
_ASK_ZH = re.compile(
    r"^(?:请|麻烦|帮我|给我|帮忙|我要|我想)*(?:添加|新增|新建|创建|增加|加上|加|安排|预约|预定|记录|记)?"
    r"(?:一个|一下|个|一场|上)?(?:日程|日历|行程|事件)?(?:提醒我|提醒)?[:：,，、\s]*"
)
_ASK_EN = re.compile(
    r"^(?:please )?(?:(?:add|create|schedule|book|put|set up|new)\b(?: an?| the)?"
    r"(?: (?:event|appointment|reminder|entry))?(?: (?:called|named|for|to))?"
    r"|remind me (?:to|of|about))[:,\s]+",
    re.IGNORECASE,
)
_CALENDAR_EN = re.compile(r"\s+(?:to|on|in|into) (?:my |the )?calendar\b", re.IGNORECASE)
_ALL_DAY = re.compile(r"全天|整天|\ball[ -]day\b", re.IGNORECASE)
_PLACE = re.compile(
    r"(?:地点|location|where)\s*[:：]\s*(?P<named>[^,，。;；\n]{1,80})"
    r"|在(?P<zh>[^\s,，。和跟与]{1,20}(?:会议室|[室厅楼馆店园]|中心|大厦|公司))",
    re.IGNORECASE,
)


def query_arguments(text: str, context: ToolContext) -> Json:
    """`calendar_query`'s arguments from a person's words; no words about time mean today."""
    words = text[:_TEXT_CHARS_MAX]
    when = _locate(words)
    if when is None or not when.spans:
        return {}
    return {"when": re.sub("^on ", "", when.words(words), flags=re.IGNORECASE)}


def add_arguments(text: str, context: ToolContext) -> Json:
    """`calendar_add`'s arguments: the words about time, and the title without them."""
    words = text[:_TEXT_CHARS_MAX].strip()
    found: Json = {}
    if place := _PLACE.search(words):
        found["location"] = (place["named"] or place["zh"]).strip()
        words = words[: place.start()] + words[place.end() :]
    words = _ASK_EN.sub("", _ALL_DAY.sub(" ", words))
    when = _locate(words)
    start = when.words(words) if when else ""
    return {"title": _title(when.rest(words) if when else words), "start": start, **found}


def _locate(text: str) -> When | None:
    if spoken_language(text) == "zh":
        return chinese_dates.parse(text, datetime(2024, 1, 1, tzinfo=UTC))
    return english_dates.locate(text)


def _title(text: str) -> str:
    text = _CALENDAR_EN.sub("", _ASK_EN.sub("", _ASK_ZH.sub("", text.strip())))
    text = text.strip(" ,，。.!！、:：;；?？")
    return re.sub(r"^(?:[从在于的有要去我]|将会)+(?=\S{2})\s*", "", text)
