"""The group robot's webhook (developer.work.weixin.qq.com/document/path/99110).

The key in its address is all that proves who calls: no URL is in any message or log.
"""

import io
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
import msgspec

from ai_engine.channels.http import Answer, Api
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import SendRefused, SendRetryable
from ai_engine.domain.message import Json, Media
from ai_engine.security.egress import Egress

VENDOR: Final = "https://qyapi.weixin.qq.com"
PER_MINUTE: Final = 20
"""Messages of one robot."""

_JSON: Final = {"Content-Type": "application/json; charset=utf-8"}
_THROTTLED: Final = 45009
_THROTTLE_SECONDS: Final = 15.0
_BAD_KEY: Final = 93000
_UPLOAD_SECONDS_MAX: Final = 60.0


class WrongKey(SendRefused):
    """No robot has this key, or it has been removed from its group."""


def throttle_seconds(answer: Answer) -> float | None:
    """How long WeCom wants us to wait; None when it does not throttle."""
    if answer.status == 429:
        return answer.retry_after or _THROTTLE_SECONDS
    return _THROTTLE_SECONDS if answer.json.get("errcode") == _THROTTLED else None


class RobotClient:
    """One robot's calls, within its 20 messages a minute as far as this process sent them."""

    def __init__(self, *, key: str, base: str, egress: Egress, clock: Clock) -> None:
        self._key = key
        self._base = (base or VENDOR).rstrip("/") + "/cgi-bin/webhook"
        self._api = Api("WeCom", egress, clock)
        self._clock = clock
        self._times: deque[float] = deque(maxlen=PER_MINUTE)

    async def send(self, body: Json, headers: Mapping[str, str] | None = None) -> None:
        """Raises SendRetryable, SendRefused."""
        now = self._clock.monotonic()
        if len(self._times) == PER_MINUTE and now - self._times[0] < 60.0:
            raise SendRetryable(
                "a WeCom group robot takes 20 messages a minute",
                retry_after_seconds=self._times[0] + 60.0 - now,
            )
        self._times.append(now)
        data = msgspec.json.encode(body)  # a picture's is large, and is sent piece by piece
        await self._call(
            "/send", form=lambda: io.BytesIO(data), headers={**_JSON, **(headers or {})}
        )

    async def upload(self, kind: str, media: Media) -> str:
        """The media id, good for three days. `kind`: file | voice. Shows nothing in the group.
        Raises SendRetryable, SendRefused."""

        def form() -> aiohttp.FormData:
            data = aiohttp.FormData(quote_fields=False)
            data.add_field(
                "media",
                io.BytesIO(media.content),
                filename=media.name,
                content_type=media.mime or None,
            )
            return data

        answer = await self._call("/upload_media", params={"type": kind}, form=form)
        found = answer.get("media_id")
        if not isinstance(found, str) or not found:
            raise SendRetryable("WeCom's answer holds no media id")
        return found

    async def _call(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        form: Callable[[], Any],
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        answer = await self._api.call(
            "POST",
            self._base + path,
            params={"key": self._key, **(params or {})},
            data=form(),
            headers=headers,
            seconds_max=_UPLOAD_SECONDS_MAX,
        )
        wait = throttle_seconds(answer)
        if wait is not None:
            raise SendRetryable("WeCom throttles the group robot", retry_after_seconds=wait)
        self._api.refuse_failure(answer, f"the robot's {path}")
        found = answer.json
        code = found.get("errcode")
        if not isinstance(code, int) or code == -1:
            raise SendRetryable(f"WeCom is busy, or its answer to {path} cannot be read")
        if code == _BAD_KEY:
            raise WrongKey(
                "WeCom knows no group robot with this key (errcode 93000)",
                hint="auth.token is the part after key= in the robot's webhook address",
            )
        if code:
            raise SendRefused(f"WeCom refused {path} (errcode {code})")
        return found
