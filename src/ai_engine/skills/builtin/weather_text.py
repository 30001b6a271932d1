"""What people ask of the weather: city and day from Chinese or English words."""

import re
from datetime import UTC, datetime

from ai_engine.domain.message import Json
from ai_engine.domain.skill import ToolContext, spoken_language
from ai_engine.skills import chinese_dates, english_dates

_TEXT_CHARS_MAX = 200
_CITY_CHARS_MAX = 60

_KEYWORD_ZH = re.compile(
    r"(?:的|是)?天气|的?(?:气温|温度)|(?:会|要|需要)?不?(?:会|要)?"
    r"(?:下[雨雪]|有[雨雪]|刮风|降温|降水|带伞)|有没有[雨雪]|[冷热]不[冷热]|[冷热][吗么]|多少度|几度|怎么样"
)
_BEFORE_ZH = re.compile(
    r"^(?:请问|请|帮我|帮忙|麻烦|给我|我想知道|想知道|告诉我|查询一下|查一下|查询|查查|查|看一下|看看"
    r"|问一下|一下|现在|当前|目前|那么|那(?![曲坡])|[\s,，、:：])+"
)
_AFTER_ZH = re.compile(
    r"^(?:预报|情况|怎么样|怎样|如何|咋样|好不好|好吗|多少|是|的|什么|样|呢|吗|吧|啊|[\s,，、:：?？。!！])+"
)
_TAIL_ZH = re.compile(r"(?:的|这边|那边|现在|目前|当前|呢|吗|吧|啊|[\s,，、:：?？。!！])+$")
_HERE = re.compile(r"^(?:这里|这儿|我这|外面|外边|本地|当地|here|outside)*$", re.IGNORECASE)
_CITY_EN = re.compile(r"\b(?:in|for|at|of|near)\s+(?P<city>[^\W\d_].*)$", re.IGNORECASE)
_NOISE_EN = re.compile(
    r"\b(?:what(?:'s|’s| is)?|how(?:'s|’s| is)?|will it|is it|is there|going to|do i need"
    r"|an umbrella|the|weather|forecast|temperature|report|rain(?:ing|y)?|snow(?:ing|y)?|cold|hot"
    r"|warm|like|tell|show|check|get|give|me|please|be|right now|now|current(?:ly)?|about|and)\b"
    r"|[?!.:;]",
    re.IGNORECASE,
)
_NOISE_TAIL_EN = re.compile(r"(?:\s+(?:like|please|now|right now|be))+\s*$", re.IGNORECASE)


def weather_arguments(text: str, context: ToolContext) -> Json:
    """`weather_query`'s arguments; without a city, the one that the session remembers."""
    words = text[:_TEXT_CHARS_MAX].strip()
    chinese = spoken_language(words) == "zh"
    when = (
        chinese_dates.parse(words, datetime(2024, 1, 1, tzinfo=UTC))
        if chinese
        else english_dates.locate(words)
    )
    day = when.words(words) if when else ""
    rest = when.rest(words) if when else words
    city = _city_zh(rest) if chinese else _city_en(rest)
    found: Json = {"city": city or remembered_city(context)}
    if day and re.sub("^on ", "", day, flags=re.IGNORECASE).lower() not in ("今天", "today"):
        found["day"] = re.sub("^on ", "", day, flags=re.IGNORECASE)
    return found


def remembered_city(context: ToolContext) -> str:
    """The city of the session's latest weather question, or an empty text."""
    city = context.params.get("city", "")
    return city if isinstance(city, str) else ""


def _city_zh(text: str) -> str:
    match = _KEYWORD_ZH.search(text)
    if match is None:
        return _clean(_TAIL_ZH.sub("", _BEFORE_ZH.sub("", text)))
    before = _TAIL_ZH.sub("", _BEFORE_ZH.sub("", text[: match.start()]))
    if city := _clean(before):
        return city
    after = _BEFORE_ZH.sub("", _AFTER_ZH.sub("", text[match.end() :]))
    return _clean(_TAIL_ZH.sub("", after))


def _city_en(text: str) -> str:
    text = text.strip(" ?!.,")
    if match := _CITY_EN.search(text):
        return _clean(_NOISE_TAIL_EN.sub("", match["city"]))
    return _clean(" ".join(_NOISE_EN.sub(" ", text).split()))


def _clean(city: str) -> str:
    city = city.strip(" ?!.,，。？！的")
    return "" if _HERE.fullmatch(city) or len(city) > _CITY_CHARS_MAX else city
