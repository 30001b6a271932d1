"""The one way out: a pooled HTTP client, and the guard for URLs that others give us.

URLs from the administrator's configuration are trusted. A URL that a platform or a message
brings (a reply hook, a download link) must belong to an allowed origin: `Egress.check`.
"""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

import aiohttp

from ai_engine.domain.errors import SendRefused

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PLAIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?=[/?#]|\Z)")
"""What a URL of the usual form begins with: all that its origin depends on."""


def origin(url: str) -> tuple[str, str, int]:
    """(scheme, host, port) of an http(s) URL, lower case. Raises ValueError."""
    plain = _PLAIN.match(url)
    return _parsed(url) if plain is None else _known(plain[0])


def _parsed(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not an http or https URL without credentials")
    return parts.scheme, parts.hostname.lower(), parts.port or _DEFAULT_PORTS[parts.scheme]


_known = lru_cache(maxsize=1024)(_parsed)


@lru_cache(maxsize=64)
def _origins(urls: tuple[str, ...]) -> frozenset[tuple[str, str, int]]:
    return frozenset(origin(url) for url in urls)


def is_loopback(host: str) -> bool:
    """Whether this host can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Egress:
    """Owns the process's `aiohttp.ClientSession`. No cookies, no proxies from the environment."""

    def __init__(self, *, connections_max: int = 512) -> None:
        self._connections_max = connections_max
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections_max, ttl_dns_cache=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=30, sock_connect=5),
            trust_env=False,
            headers={"User-Agent": "ai-engine"},
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session, between `start` and `close`. Use `allow_redirects=False` on checked URLs."""
        if self._session is None:
            raise RuntimeError("Egress is not started")
        return self._session

    @staticmethod
    def check_host(url: str, trusted: Iterable[str]) -> str:
        """The URL, when its scheme and host are those of a trusted base URL, on whatever port.

        Raises SendRefused, as `check` does.
        """
        try:
            found = origin(url)
        except ValueError as error:
            raise SendRefused(f"refused a URL given by the platform: {error}") from error
        if found[:2] not in {origin(base)[:2] for base in trusted}:
            raise SendRefused(f"refused a URL given by the platform: host {found[1]!r}")
        return url

    @staticmethod
    def check(url: str, allowed: Iterable[str]) -> str:
        """The URL, when its origin is one of the allowed base URLs'.

        Raises:
            SendRefused: it is not; the message names no part of the URL but its host.
        """
        try:
            found = origin(url)
        except ValueError as error:
            raise SendRefused(f"refused a URL given by the platform: {error}") from error
        if found not in _origins(tuple(allowed)):
            raise SendRefused(
                f"refused a URL given by the platform: host {found[1]!r} is not allowed",
                hint="add its base URL to the channel's endpoints if it is really the platform's",
            )
        return url
