"""A client of the Open-Meteo API: places by name, and the forecast for a place.

Formats: https://open-meteo.com/en/docs and https://open-meteo.com/en/docs/geocoding-api. Without
hits, the geocoder's answer has no `results`; errors are `{"error": true, "reason": "…"}`.
"""

from datetime import date
from enum import StrEnum
from typing import TypeVar

import aiohttp
import msgspec

from ai_engine.domain.errors import EngineError
from ai_engine.security.egress import Egress

FORECAST_DAYS_MAX = 16
_BODY_BYTES_MAX = 1_000_000
_TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=4)
_DAILY = (
    "weather_code,temperature_2m_max,temperature_2m_min,precipitation_probability_max,"
    "precipitation_sum,wind_speed_10m_max"
)
_CURRENT = "temperature_2m,apparent_temperature,relative_humidity_2m,weather_code,wind_speed_10m"

_Answer = TypeVar("_Answer", bound=msgspec.Struct)


class Trouble(StrEnum):
    OFFLINE = "offline"
    TIMEOUT = "timeout"
    BUSY = "busy"
    """429: too many requests."""
    SERVER = "server"
    """5xx, or an answer that is not the API's format."""
    REFUSED = "refused"
    """4xx: the service does not take this request."""


class WeatherUnavailable(EngineError):
    """The service gave no usable answer."""

    code = "weather_unavailable"

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


class Place(msgspec.Struct, frozen=True):
    """One hit of the geocoder."""

    name: str
    latitude: float
    longitude: float
    timezone: str = "UTC"
    country: str = ""
    country_code: str = ""
    admin1: str = ""
    admin2: str = ""
    population: int = 0
    feature_code: str = ""
    """GeoNames code: `PPL…` is a populated place."""


class Current(msgspec.Struct, frozen=True):
    """The weather now: °C, %, km/h."""

    temperature_2m: float | None = None
    apparent_temperature: float | None = None
    relative_humidity_2m: float | None = None
    weather_code: int | None = None
    wind_speed_10m: float | None = None


class Daily(msgspec.Struct, frozen=True):
    """Parallel lists, a value a day: WMO code, °C, %, mm, km/h. `None` is not known."""

    time: list[date]
    weather_code: list[int | None]
    temperature_2m_max: list[float | None]
    temperature_2m_min: list[float | None]
    precipitation_probability_max: list[float | None]
    precipitation_sum: list[float | None]
    wind_speed_10m_max: list[float | None]

    def __post_init__(self) -> None:
        if len({len(getattr(self, name)) for name in self.__struct_fields__}) != 1:
            raise ValueError("the daily lists have different lengths")


class Forecast(msgspec.Struct, frozen=True):
    daily: Daily
    current: Current = Current()
    simulated: bool = False
    """Set by our simulator only: the numbers are made up."""


class _Places(msgspec.Struct):
    results: list[Place] = []


class _Fault(msgspec.Struct):
    reason: str = ""


class OpenMeteo:
    """Both base URLs come from the administrator's configuration."""

    def __init__(self, geocoding_url: str, forecast_url: str, egress: Egress) -> None:
        self._geocoding_url = geocoding_url.rstrip("/")
        self._forecast_url = forecast_url.rstrip("/")
        self._egress = egress

    async def places(self, name: str, language: str) -> list[Place]:
        """Places of that name, the most relevant first; at least two characters are needed.

        Raises:
            WeatherUnavailable: no answer.
        """
        query = {"name": name, "count": "10", "language": language, "format": "json"}
        return (await self._get(f"{self._geocoding_url}/v1/search", query, _Places)).results

    async def forecast(self, place: Place, days: int) -> Forecast:
        """The weather now and for so many days (1-16) from today, in the place's own time zone.

        Raises:
            WeatherUnavailable: no answer.
        """
        query = {
            "latitude": f"{place.latitude:.5f}",
            "longitude": f"{place.longitude:.5f}",
            "current": _CURRENT,
            "daily": _DAILY,
            "timezone": "auto",
            "forecast_days": str(min(max(days, 1), FORECAST_DAYS_MAX)),
        }
        return await self._get(f"{self._forecast_url}/v1/forecast", query, Forecast)

    async def _get(self, url: str, query: dict[str, str], kind: type[_Answer]) -> _Answer:
        try:
            async with self._egress.session.get(
                url, params=query, timeout=_TIMEOUT, allow_redirects=False
            ) as response:
                body = await _read(response)
                status = response.status
        except TimeoutError as error:
            raise WeatherUnavailable(Trouble.TIMEOUT, f"no answer from {url} in time") from error
        except aiohttp.ClientError as error:
            raise WeatherUnavailable(Trouble.OFFLINE, f"{url} cannot be reached") from error
        if status != 200:
            raise WeatherUnavailable(_trouble(status), f"{url}: {status} {_reason(body)}".strip())
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.DecodeError as error:
            raise WeatherUnavailable(Trouble.SERVER, f"{url}: {error}") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > _BODY_BYTES_MAX:
            raise WeatherUnavailable(Trouble.SERVER, "the answer is too large")
    return bytes(body)


def _trouble(status: int) -> Trouble:
    if status == 429:
        return Trouble.BUSY
    return Trouble.REFUSED if 400 <= status < 500 else Trouble.SERVER


def _reason(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Fault).reason[:200]
    except msgspec.DecodeError:
        return ""
