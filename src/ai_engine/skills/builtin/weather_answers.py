"""How the weather is told: WMO codes, days and troubles in Chinese and English."""

from collections.abc import Sequence
from datetime import date

from ai_engine.domain.reply import Card
from ai_engine.domain.skill import ToolResult
from ai_engine.skills.builtin.open_meteo import (
    FORECAST_DAYS_MAX,
    Current,
    Daily,
    Forecast,
    Place,
    Trouble,
)
from ai_engine.skills.day_names import day_name

WMO = {
    0: ("晴", "clear sky"),
    1: ("大部晴朗", "mainly clear"),
    2: ("多云", "partly cloudy"),
    3: ("阴", "overcast"),
    45: ("雾", "fog"),
    48: ("雾凇", "rime fog"),
    51: ("小毛毛雨", "light drizzle"),
    53: ("毛毛雨", "drizzle"),
    55: ("大毛毛雨", "dense drizzle"),
    56: ("冻毛毛雨", "light freezing drizzle"),
    57: ("强冻毛毛雨", "dense freezing drizzle"),
    61: ("小雨", "light rain"),
    63: ("中雨", "rain"),
    65: ("大雨", "heavy rain"),
    66: ("冻雨", "light freezing rain"),
    67: ("强冻雨", "heavy freezing rain"),
    71: ("小雪", "light snow"),
    73: ("中雪", "snow"),
    75: ("大雪", "heavy snow"),
    77: ("米雪", "snow grains"),
    80: ("小阵雨", "light showers"),
    81: ("阵雨", "showers"),
    82: ("强阵雨", "violent showers"),
    85: ("阵雪", "snow showers"),
    86: ("强阵雪", "heavy snow showers"),
    95: ("雷暴", "thunderstorm"),
    96: ("雷暴伴冰雹", "thunderstorm with hail"),
    99: ("强雷暴伴冰雹", "thunderstorm with heavy hail"),
}
"""WMO code 4677 as Open-Meteo uses it (https://open-meteo.com/en/docs): Chinese, English."""


def weather_name(code: int | None, language: str) -> str:
    """The weather in a word; an unknown code says so."""
    zh, en = WMO.get(-1 if code is None else code, ("天气未知", "weather unknown"))
    return zh if language == "zh" else en


def answer(
    place: Place, forecast: Forecast, first: date, last: date, today: date, language: str
) -> ToolResult:
    """The days from `first` to `last` (inclusive), and the weather now when today is among them."""
    zh = language == "zh"
    daily = forecast.daily
    lines = [
        _day_line(daily, at, today, language)
        for at, day in enumerate(daily.time)
        if first <= day <= last
    ]
    if not lines:
        text = "没有查到这几天的预报。" if zh else "There is no forecast for these days."
        return ToolResult(text=text, error=True)
    if first <= today <= last and (now := _now_line(forecast.current, language)):
        lines.insert(0, now)
    if forecast.simulated:
        lines += [
            "",
            "（模拟数据，仅供演示）" if zh else "(simulated data, for demonstration only)",
        ]
    where = place_name(place, language)
    title = f"{where}天气" if zh else f"Weather in {where}"
    body = "\n".join(lines)
    return ToolResult(text=f"**{title}**\n\n{body}", card=Card(title=title, markdown=body))


def place_name(place: Place, language: str) -> str:
    """The place with its region and country, so that a wrong hit is seen at once."""
    region = [part for part in (place.admin1, place.country) if part and part != place.name]
    if not region:
        return place.name
    if language == "zh":
        return f"{place.name}（{'，'.join(region)}）"
    return f"{place.name} ({', '.join(region)})"


def _now_line(now: Current, language: str) -> str:
    if now.temperature_2m is None:
        return ""
    zh = language == "zh"
    parts = [f"{_degrees(now.temperature_2m)}，" if zh else f"{_degrees(now.temperature_2m)}, "]
    parts[0] += weather_name(now.weather_code, language)
    if now.apparent_temperature is not None:
        feels = _degrees(now.apparent_temperature)
        parts.append(f"体感 {feels}" if zh else f"feels like {feels}")
    if now.relative_humidity_2m is not None:
        humidity = f"{now.relative_humidity_2m:.0f}%"
        parts.append(f"湿度 {humidity}" if zh else f"humidity {humidity}")
    if now.wind_speed_10m is not None:
        wind = f"{now.wind_speed_10m:.0f} km/h"
        parts.append(f"风速 {wind}" if zh else f"wind {wind}")
    return f"- 现在：{'，'.join(parts)}" if zh else f"- Now: {', '.join(parts)}"


def _day_line(daily: Daily, at: int, today: date, language: str) -> str:
    zh = language == "zh"
    low, high = daily.temperature_2m_min[at], daily.temperature_2m_max[at]
    chance, rain = daily.precipitation_probability_max[at], daily.precipitation_sum[at]
    wind = daily.wind_speed_10m_max[at]
    parts = [weather_name(daily.weather_code[at], language)]
    if low is not None and high is not None:
        parts.append(
            f"{round(low)} ~ {_degrees(high)}" if zh else f"{round(low)} to {_degrees(high)}"
        )
    if chance is not None:
        parts.append(f"降水概率 {chance:.0f}%" if zh else f"{chance:.0f}% chance of rain")
    if rain:
        parts.append(f"降水量 {rain:g} mm" if zh else f"{rain:g} mm")
    if wind is not None:
        parts.append(f"最大风速 {wind:.0f} km/h" if zh else f"wind up to {wind:.0f} km/h")
    name = day_name(daily.time[at], today, language)
    return f"- {name}：{'，'.join(parts)}" if zh else f"- {name}: {', '.join(parts)}"


def _degrees(value: float) -> str:
    return f"{round(value)}°C"


def ask_city(language: str) -> str:
    """The question for the city."""
    if language == "zh":
        return "您想查哪个城市的天气？例如“北京天气”。"
    return "Which city's weather would you like? For example: “weather in Paris”."


def unknown_city(city: str, language: str) -> str:
    """No place has that name."""
    if language == "zh":
        return f"没有找到叫“{city}”的城市，请换一个写法，例如“北京”或“Paris”。"
    return f"I found no city called “{city}”. Try another spelling, such as “Beijing” or “Paris”."


def ambiguous_city(city: str, places: Sequence[Place], language: str) -> str:
    """Several places have that name; the person picks one."""
    lines = "\n".join(f"- {place_name(place, language)}" for place in places)
    region = places[0].admin1 or places[0].country
    if language == "zh":
        return f"叫“{city}”的地方有好几个：\n\n{lines}\n\n请说明是哪一个，例如“{city}，{region}”。"
    head = f"There are several places called “{city}”:"
    return f"{head}\n\n{lines}\n\nWhich one? Say for example “{city}, {region}”."


def not_a_day(day: str, language: str) -> str:
    """Words about the day that nobody can read."""
    if language == "zh":
        return f"看不懂日期“{day[:80]}”。请换个说法，例如“明天”或“周五”。"
    return f"I cannot read the day “{day[:80]}”. Try “tomorrow” or “Friday”."


def out_of_range(language: str) -> str:
    """The past, or too far ahead."""
    if language == "zh":
        return f"只能查询从今天起 {FORECAST_DAYS_MAX} 天内的天气。"
    return f"I can only look up the weather of the next {FORECAST_DAYS_MAX} days, from today on."


def trouble(kind: Trouble, language: str) -> str:
    """Why there is no answer, honestly."""
    zh, en = {
        Trouble.OFFLINE: (
            "现在连不上天气服务（可能没有外网），暂时查不到天气。",
            "The weather service cannot be reached (no internet access?), so I cannot look it up.",
        ),
        Trouble.TIMEOUT: (
            "天气服务没有及时回应，请稍后再试。",
            "The weather service did not answer in time. Please try again later.",
        ),
        Trouble.BUSY: (
            "天气服务的查询次数超限了，请过一会儿再试。",
            "The weather service's request limit is used up. Please try again in a while.",
        ),
        Trouble.SERVER: (
            "天气服务出了故障，暂时查不到天气，请稍后再试。",
            "The weather service is out of order right now. Please try again later.",
        ),
        Trouble.REFUSED: (
            "天气服务拒绝了这次查询，请管理员检查天气服务的地址。",
            "The weather service refused the request. The administrator should check its address.",
        ),
    }[kind]
    return zh if language == "zh" else en
