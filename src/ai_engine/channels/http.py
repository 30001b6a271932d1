"""One call to a platform's API: bounded, never redirected, its failure an error of ours.

URLs and tokens may be secrets: no error of this module holds any part of a URL.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import aiohttp
import msgspec

from ai_engine.channels.backoff import retry_after_seconds
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Malformed, SendRefused, SendRetryable
from ai_engine.domain.message import Json
from ai_engine.security.egress import Egress

ANSWER_BYTES_MAX: Final = 1_048_576
CALL_SECONDS_MAX: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the platform said, whatever the status."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    retry_after: float | None
    """Seconds, from the Retry-After header."""

    @property
    def json(self) -> Json:
        """The JSON object; {} when the body is none."""
        return json_object(self.body)


def json_object(data: bytes | str) -> Json:
    """The JSON object in `data`; {} when it holds none."""
    try:
        found: Any = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return {}
    return cast("Json", found) if isinstance(found, dict) else {}


def parse(data: bytes | str) -> Json:
    """The JSON object in what a platform sent us. Raises Malformed."""
    try:
        found: Any = msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"$: not JSON ({str(error)[:200]})") from error
    if not isinstance(found, dict):
        raise Malformed("$: must be a JSON object")
    return cast("Json", found)


class Api:
    """Calls to one platform. `platform` is its name in error texts."""

    def __init__(self, platform: str, egress: Egress, clock: Clock) -> None:
        self._platform = platform
        self._egress = egress
        self._clock = clock

    async def call(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        data: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds_max: float = CALL_SECONDS_MAX,
        bytes_max: int = ANSWER_BYTES_MAX,
    ) -> Answer:
        """One request. `json` is encoded here; `data` is bytes, a str, a dict or FormData.

        Raises:
            SendRetryable: no answer came. SendRefused: the answer has more than `bytes_max` bytes.
        """
        sent = dict(headers or {})
        if json is not None:
            data = msgspec.json.encode(json)
            sent["Content-Type"] = "application/json; charset=utf-8"
        try:
            async with self._egress.session.request(
                method,
                url,
                data=data,
                params=params,
                headers=sent,
                timeout=aiohttp.ClientTimeout(total=seconds_max, sock_connect=5),
                allow_redirects=False,
            ) as response:
                body = await self._bounded(response, bytes_max)
                found = {name.lower(): value for name, value in response.headers.items()}
                return Answer(
                    status=response.status,
                    headers=found,
                    body=body,
                    retry_after=retry_after_seconds(found.get("retry-after"), self._clock.time()),
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not chained: such an error's text may hold the URL, and the URL a secret.
            name = type(error).__name__
            raise SendRetryable(f"{self._platform} could not be reached ({name})") from None

    async def download(
        self,
        url: str,
        *,
        allowed: Iterable[str],
        bytes_max: int,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The content behind a URL that the platform gave us, when its host is allowed.

        Raises:
            SendRefused: host not allowed, too large, or refused. SendRetryable: later may work.
        """
        checked = Egress.check(url, allowed)
        answer = await self.call("GET", checked, headers=headers, bytes_max=bytes_max)
        self.refuse_failure(answer, "the download")
        return answer

    async def _bounded(self, response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
        data = bytearray()
        while chunk := await response.content.readany():
            data += chunk
            if len(data) > bytes_max:
                raise SendRefused(f"{self._platform} answered more than {bytes_max} bytes")
        return bytes(data)

    def refuse_failure(self, answer: Answer, what: str) -> None:
        """Raises SendRetryable for 408, 429 and 5xx, SendRefused for all else that is not 2xx."""
        if 200 <= answer.status < 300:
            return
        said = f"{self._platform} answered HTTP {answer.status} to {what}"
        if answer.status in (408, 429) or answer.status >= 500:
            raise SendRetryable(said, retry_after_seconds=answer.retry_after)
        raise SendRefused(said)
