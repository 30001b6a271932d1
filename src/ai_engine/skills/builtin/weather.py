"""`weather_query`: the weather now and the forecast, from the Open-Meteo API."""

import asyncio
import logging
import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field

from ai_engine.config.schema import WeatherConfig
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SkillFailed
from ai_engine.domain.skill import Tool, ToolContext, ToolResult
from ai_engine.security.egress import Egress
from ai_engine.skills.base import skill
from ai_engine.skills.builtin import weather_answers as answers
from ai_engine.skills.builtin.open_meteo import (
    FORECAST_DAYS_MAX,
    OpenMeteo,
    Place,
    WeatherUnavailable,
)
from ai_engine.skills.builtin.weather_text import remembered_city, weather_arguments
from ai_engine.skills.dates import parse_when

_LOG = logging.getLogger(__name__)
_DEFAULT_DAYS = 3
_DOMINANT = 3
"""A place with so many times the people of the next one of its name is what people mean."""
_CHOICES_MAX = 5


class WeatherSkill:
    """Asks the geocoder for the city, then the forecast for its place."""

    def __init__(
        self, config: WeatherConfig, egress: Egress, clock: Clock, timezone: ZoneInfo
    ) -> None:
        self._api = OpenMeteo(config.geocoding_url, config.forecast_url, egress)
        self._clock = clock
        self._timezone = timezone

    def tools(self) -> tuple[Tool]:
        query = skill(
            name="weather_query",
            permission="skill:weather_query.use",
            timeout_seconds=30,
            read_only=True,
            title="Weather (“weather in Paris tomorrow”)",
            title_zh="查天气（“北京天气”“上海明天天气怎么样”）",
            from_text=weather_arguments,
        )(self.query)
        return (query,)

    async def query(
        self,
        context: ToolContext,
        city: Annotated[str, Field(max_length=100)] = "",
        day: Annotated[str, Field(max_length=100)] = "",
        days: Annotated[int, Field(ge=1, le=FORECAST_DAYS_MAX)] | None = None,
    ) -> ToolResult:
        """Look up the current weather and the forecast for a city.

        Args:
            city: The city's name in any language, if need be with its region: "Paris, Texas".
            day: The first day, in words or ISO 8601, such as "tomorrow"; today by default.
            days: How many days from that day on, at most 16.
        """
        language = context.language
        wanted = city.strip() or remembered_city(context)
        if not wanted:
            raise SkillFailed(answers.ask_city(language))
        try:
            place = await self._place(wanted, language)
            today = self._today(context, place)
            first, last = await self._days(context, day.strip(), days, today)
            forecast = await self._api.forecast(place, (last - today).days + 1)
        except WeatherUnavailable as error:
            _LOG.warning("weather: %s", error)
            raise SkillFailed(answers.trouble(error.trouble, language)) from error
        return answers.answer(place, forecast, first, last, today, language)

    async def _place(self, city: str, language: str) -> Place:
        name, hint = _split(city)
        places = _of_region(await self._api.places(name, language), hint)
        if not places and re.fullmatch(r"[\u4e00-\u9fff]{2,}[市县区省]", name):
            places = _of_region(await self._api.places(name[:-1], language), hint)
        if not places:
            raise SkillFailed(answers.unknown_city(city, language))
        choices = _choices(places)
        if len(choices) > 1:
            raise SkillFailed(answers.ambiguous_city(name, choices, language))
        return choices[0]

    def _today(self, context: ToolContext, place: Place) -> date:
        """The date there: "today in Tokyo" is Tokyo's today."""
        try:
            zone = ZoneInfo(place.timezone)
        except (KeyError, ValueError, OSError):
            zone = self._timezone
        seconds = context.message.received_at or self._clock.time()
        return datetime.fromtimestamp(seconds, zone).date()

    async def _days(
        self, context: ToolContext, day: str, days: int | None, today: date
    ) -> tuple[date, date]:
        """First and last day (inclusive) of what was asked."""
        first, count = today, days or _DEFAULT_DAYS
        if day:
            noon = datetime(today.year, today.month, today.day, 0, tzinfo=self._timezone)
            when = await asyncio.to_thread(parse_when, day, noon, self._timezone, context.language)
            if when is None:
                raise SkillFailed(answers.not_a_day(day, context.language))
            first = when.start.date()
            until = (when.end - timedelta(microseconds=1)).date()
            count = days or max((until - first).days + 1, 1)
        last = min(first + timedelta(days=count - 1), today + timedelta(days=FORECAST_DAYS_MAX - 1))
        first = max(first, today) if last >= today else first
        if first < today or last < first:
            raise SkillFailed(answers.out_of_range(context.language))
        return first, last


def _split(city: str) -> tuple[str, str]:
    """`Paris, Texas` → name and region."""
    name, _, hint = re.sub(r"[，、(（]", ",", city.strip(" )）")).partition(",")
    return name.strip(), hint.strip()


def _of_region(places: Sequence[Place], hint: str) -> list[Place]:
    wanted = hint.casefold()
    return [
        place
        for place in places
        if not wanted
        or wanted == place.country_code.casefold()
        or any(wanted in part.casefold() for part in (place.admin1, place.admin2, place.country))
    ]


def _choices(places: Sequence[Place]) -> list[Place]:
    """The one place that is meant, or those that it may be."""
    towns = [place for place in places if place.feature_code.startswith("PPL")] or list(places)
    namesakes = [place for place in towns if place.name.casefold() == towns[0].name.casefold()]
    namesakes.sort(key=lambda place: -place.population)
    if len(namesakes) == 1 or namesakes[0].population > _DOMINANT * namesakes[1].population:
        return namesakes[:1]
    rivals = [p for p in namesakes if p.population * _DOMINANT >= namesakes[0].population]
    regions = {(place.admin1, place.country) for place in rivals}
    return rivals[:_CHOICES_MAX] if len(regions) > 1 else rivals[:1]
