"""Bot Framework's published keys: fetched when needed, kept a day, never fetched in a storm.

Source: the SDK's jwt_token_extractor.py: keys are kept 24 h; one that is unknown makes the set be
fetched again, at most once an hour. Whoever sends made-up key ids so causes one fetch an hour.
"""

import asyncio
import base64
import binascii
import logging
from typing import Any, Final, cast

from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from ai_engine.channels.http import Api
from ai_engine.channels.teams.crypto import Key
from ai_engine.channels.teams.urls import Trust
from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Overloaded, SendFailed, SendRefused
from ai_engine.domain.message import Json

log = logging.getLogger(__name__)

METADATA: Final = "https://login.botframework.com/v1/.well-known/openidconfiguration"
LIFE_SECONDS: Final = 86_400.0
UNKNOWN_SECONDS: Final = 3_600.0
"""Between two fetches for the sake of an unknown key."""
FAILED_SECONDS: Final = 10.0
"""Between two fetches when the last one failed."""
_KEYS_MAX: Final = 500
_BITS_MIN: Final = 2048
_BITS_MAX: Final = 16_384


class Keys:
    """Lives in one process. `close` ends a fetch under way."""

    def __init__(self, metadata: str, trust: Trust, api: Api, clock: Clock) -> None:
        self._metadata = metadata or METADATA
        self._trust = trust
        self._api = api
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._fetched_at: float | None = None
        self._failed_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def get(self, kid: str) -> Key | None:
        """The key of this id; None when it is not published.

        Raises:
            Overloaded: the keys cannot be fetched just now, so nothing can be proved.
        """
        if self._fresh(LIFE_SECONDS) and kid in self._keys:
            return self._keys[kid]
        if not self._fresh(UNKNOWN_SECONDS) and not self._recently_failed():
            await self._fetch_once()
        if self._recently_failed() or not self._fresh(LIFE_SECONDS):
            raise Overloaded(
                "Bot Framework's keys could not be fetched",
                retry_after_seconds=int(FAILED_SECONDS),
                hint="the engine needs to reach login.botframework.com",
            )
        return self._keys.get(kid)

    def _fresh(self, seconds: float) -> bool:
        at = self._fetched_at
        return at is not None and self._clock.monotonic() - at < seconds

    def _recently_failed(self) -> bool:
        at = self._failed_at
        return at is not None and self._clock.monotonic() - at < FAILED_SECONDS

    async def _fetch_once(self) -> None:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(), name="Bot Framework keys")
            self._fetching.add_done_callback(self._settled)
        # A caller that is cancelled must not take the fetch away from the others; what came of it
        # (nothing, when the channel was closed meanwhile) is seen by `get`.
        fetching = self._fetching
        await asyncio.wait((fetching,))
        if not fetching.cancelled():
            fetching.result()

    def _settled(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        try:
            about = await self._object(self._metadata)
            address = self._trust.keys(str(about.get("jwks_uri", "")), self._metadata)
            found = await self._object(address)
            listed: Any = found.get("keys")
            if not isinstance(listed, list) or not listed:
                raise SendRefused("the key set holds no keys")
        except SendFailed as error:
            self._failed_at = self._clock.monotonic()
            log.warning("Bot Framework's keys could not be fetched: %s", error)
            return
        self._keys = _read_all(cast("list[Any]", listed)[:_KEYS_MAX])
        self._fetched_at, self._failed_at = self._clock.monotonic(), None

    async def _object(self, url: str) -> Json:
        """Raises SendFailed."""
        answer = await self._api.call("GET", url)
        self._api.refuse_failure(answer, "a request for its keys")
        return answer.json

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])


def _read_all(listed: list[Any]) -> dict[str, Key]:
    """Those of the entries that are usable RSA keys, by their id."""
    found: dict[str, Key] = {}
    for entry in listed:
        if not isinstance(entry, dict):
            continue
        values = cast("Json", entry)
        kid, key = values.get("kid"), _read(values)
        if isinstance(kid, str) and kid and key is not None:
            found[kid] = key
    return found


def _read(values: Json) -> Key | None:
    modulus, exponent = values.get("n"), values.get("e")
    if values.get("kty") != "RSA" or not isinstance(modulus, str) or not isinstance(exponent, str):
        return None
    try:
        number = base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))
        if not _BITS_MIN <= int.from_bytes(number, "big").bit_length() <= _BITS_MAX:
            return None
        public = RSAKey.import_key({"kty": "RSA", "n": modulus, "e": exponent})
        public.public_key  # noqa: B018 - numbers that are no key show here, not at a caller's token
    except (JoseError, ValueError, TypeError, binascii.Error):
        return None
    endorsed: Any = values.get("endorsements")
    names = cast("list[Any]", endorsed) if isinstance(endorsed, list) else []
    return Key(public=public, endorsements=frozenset(str(name) for name in names))
