"""A local server that speaks the Open-Meteo API with made-up weather, for demos and tests.

Formats: https://open-meteo.com/en/docs and https://open-meteo.com/en/docs/geocoding-api. Cities,
coordinates and time zones are real; the weather is simulated, and each answer says so in the
field `simulated` and the header `X-Simulated`. The same city and day give the same weather.
"""

import asyncio
import hashlib
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

from aiohttp import web

from ai_engine.domain.clock import Clock, SystemClock
from ai_engine.simulators.open_meteo_cities import CITIES, City

_REQUESTS_MAX = 1000
_DAILY = {
    "weather_code": "wmo code",
    "temperature_2m_max": "°C",
    "temperature_2m_min": "°C",
    "precipitation_probability_max": "%",
    "precipitation_sum": "mm",
    "wind_speed_10m_max": "km/h",
}
_CURRENT = {
    "temperature_2m": "°C",
    "apparent_temperature": "°C",
    "relative_humidity_2m": "%",
    "weather_code": "wmo code",
    "wind_speed_10m": "km/h",
}
_DRY, _WET = (0, 1, 2, 3, 45), (51, 61, 63, 65, 80, 81, 95)
_SNOW = {51: 71, 61: 71, 63: 73, 65: 75, 80: 85, 81: 85, 95: 86}


@dataclass(frozen=True, slots=True)
class Fault:
    """One answer that is not what was asked for."""

    status: int = 500
    body: bytes = b'{"reason":"simulated fault","error":true}'
    hang: bool = False
    """Never answer; the client must give up."""


class OpenMeteoSimulator:
    """Both APIs on one port: `/v1/search` and `/v1/forecast`."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.faults: deque[Fault] = deque(maxlen=100)
        """Each takes the place of one answer, in order."""
        self.requests: deque[tuple[str, dict[str, str]]] = deque(maxlen=_REQUESTS_MAX)
        """Path and query of every request."""
        self.base_url = ""
        """Of both APIs, while `async with` runs the simulator on a free port of its own."""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/search", self._search)
        app.router.add_get("/v1/forecast", self._forecast)
        return app

    async def _fault(self, request: web.Request) -> web.Response | None:
        self.requests.append((request.path, dict(request.query)))
        if not self.faults:
            return None
        fault = self.faults.popleft()
        if fault.hang:
            await asyncio.get_running_loop().create_future()
        return web.Response(
            status=fault.status, body=fault.body, headers={"Content-Type": "application/json"}
        )

    async def _search(self, request: web.Request) -> web.Response:
        if fault := await self._fault(request):
            return fault
        try:
            count = int(request.query.get("count", "10"))
        except ValueError:
            count = 0
        if not 1 <= count <= 100:
            return _refused("Parameter count must be between 1 and 100.")
        language = request.query.get("language", "en")
        hits = [city for city in CITIES if city.matches(request.query.get("name", ""))]
        results = [_hit(city, language) for city in hits[:count]]
        # Without a hit the real service leaves `results` out.
        return _json({"results": results} if results else {})

    async def _forecast(self, request: web.Request) -> web.Response:
        if fault := await self._fault(request):
            return fault
        try:
            return _json(self._weather(request.query))
        except ValueError as error:
            return _refused(str(error))

    def _weather(self, query: Mapping[str, str]) -> dict[str, Any]:
        latitude = _number(query, "latitude", 90)
        longitude = _number(query, "longitude", 180)
        days = int(_number(query, "forecast_days", 16, 7))
        if days < 0:
            raise ValueError(f"Forecast days is invalid. Allowed range 0 to 16. Given {days}.")
        city = min(CITIES, key=lambda c: abs(c.latitude - latitude) + abs(c.longitude - longitude))
        name = city.timezone if query.get("timezone") == "auto" else query.get("timezone", "GMT")
        now = datetime.fromtimestamp(self._clock.time(), ZoneInfo(name))
        answer: dict[str, Any] = {
            "latitude": round(latitude, 2),
            "longitude": round(longitude, 2),
            "utc_offset_seconds": int((now.utcoffset() or timedelta()).total_seconds()),
            "timezone": name,
            "timezone_abbreviation": now.tzname(),
            "elevation": 10.0,
        }
        if current := _variables(query, "current", _CURRENT):
            answer |= _current(city, now, current)
        if daily := _variables(query, "daily", _DAILY):
            answer |= _daily(city, now.date(), days, daily)
        return answer


def _number(
    query: Mapping[str, str], name: str, limit: float, default: float | None = None
) -> float:
    text = query.get(name)
    if text is None:
        if default is None:
            raise ValueError(f"Value of type 'Double' required for key '{name}'.")
        return default
    value = float(text)
    if not -limit <= value <= limit:
        raise ValueError(
            f"{name.capitalize()} must be in range of -{limit} to {limit}. Given: {text}."
        )
    return value


def _variables(query: Mapping[str, str], key: str, known: Mapping[str, str]) -> list[str]:
    names = [name for name in query.get(key, "").split(",") if name]
    for name in names:
        if name not in known:
            raise ValueError(
                "Data corrupted at path ''. Cannot initialize variable from invalid String value "
                f"{name} for key {key}."
            )
    return names


def _hit(city: City, language: str) -> dict[str, Any]:
    zh = language.startswith("zh")
    hit: dict[str, Any] = {
        "id": city.id,
        "name": city.zh if zh else city.en,
        "latitude": city.latitude,
        "longitude": city.longitude,
        "elevation": 10.0,
        "feature_code": "PPLC" if city.capital else "PPLA",
        "country_code": city.country_code,
        "timezone": city.timezone,
        "population": city.population,
        "country": city.country_zh if zh else city.country_en,
        "admin1": city.region_zh if zh else city.region_en,
    }
    return {name: value for name, value in hit.items() if value != ""}


def _day(city: City, day: date) -> dict[str, float]:
    """Made-up weather in keeping with the place and the season."""
    seed = hashlib.sha256(f"{city.id}/{day}".encode()).digest()
    season = math.cos((day.timetuple().tm_yday - 200) / 365 * 2 * math.pi)  # 1 in late July
    if city.latitude < 0:
        season = -season
    mean = (city.summer + city.winter) / 2 + season * (city.summer - city.winter) / 2
    mean += (seed[0] / 255 - 0.5) * 6
    chance = round(seed[1] / 255 * 100)
    wet = chance >= 60
    code = _WET[seed[2] % len(_WET)] if wet else _DRY[seed[2] % len(_DRY)]
    high, low = mean + 3 + seed[3] / 128, mean - 4 - seed[4] / 128
    return {
        "weather_code": _SNOW.get(code, code) if wet and high < 2 else code,
        "temperature_2m_max": round(high, 1),
        "temperature_2m_min": round(low, 1),
        "precipitation_probability_max": chance,
        "precipitation_sum": round(seed[5] / 20, 1) if wet else 0.0,
        "wind_speed_10m_max": round(5 + seed[6] / 10, 1),
    }


def _daily(city: City, today: date, days: int, names: list[str]) -> dict[str, Any]:
    dates = [today + timedelta(days=ahead) for ahead in range(days)]
    values = [_day(city, day) for day in dates]
    lists: dict[str, Any] = {name: [value[name] for value in values] for name in names}
    return {
        "daily_units": {"time": "iso8601", **{name: _DAILY[name] for name in names}},
        "daily": {"time": [day.isoformat() for day in dates], **lists},
    }


def _current(city: City, now: datetime, names: list[str]) -> dict[str, Any]:
    day = _day(city, now.date())
    low, high = day["temperature_2m_min"], day["temperature_2m_max"]
    warmth = (1 - math.cos((now.hour - 3) / 24 * 2 * math.pi)) / 2  # coldest at 3, warmest at 15
    temperature = round(low + (high - low) * warmth, 1)
    values = {
        "temperature_2m": temperature,
        "apparent_temperature": round(temperature - day["wind_speed_10m_max"] / 10, 1),
        "relative_humidity_2m": 40 + round(day["precipitation_probability_max"] / 2),
        "weather_code": day["weather_code"],
        "wind_speed_10m": round(day["wind_speed_10m_max"] / 2, 1),
    }
    at = now.replace(minute=now.minute // 15 * 15).strftime("%Y-%m-%dT%H:%M")
    units = {name: _CURRENT[name] for name in names}
    return {
        "current_units": {"time": "iso8601", "interval": "seconds", **units},
        "current": {"time": at, "interval": 900, **{name: values[name] for name in names}},
    }


def _json(answer: dict[str, Any]) -> web.Response:
    answer |= {"generationtime_ms": 0.5, "simulated": True}
    return web.json_response(answer, headers={"X-Simulated": "made-up weather"})


def _refused(reason: str) -> web.Response:
    return web.json_response({"reason": reason, "error": True}, status=400)


async def serve(
    port: int,
    *,
    host: str = "127.0.0.1",
    simulator: OpenMeteoSimulator | None = None,
    ready: asyncio.Event | None = None,
) -> None:
    """Serve until cancelled. `ready` is set once the port is open. Raises OSError."""
    runner = web.AppRunner(
        (simulator or OpenMeteoSimulator()).app(), access_log=None, shutdown_timeout=1
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        if ready is not None:
            ready.set()
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()
