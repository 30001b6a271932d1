"""Which addresses a Teams activity may send us to: each check names the host, never the URL."""

from typing import Final
from urllib.parse import urlsplit

from ai_engine.security.egress import Egress, origin

SERVICE: Final = "https://smba.trafficmanager.net/teams"
"""The connector API's global address. Source: Microsoft, "Send proactive messages"."""

_SERVICE_HOSTS: Final = ("smba.trafficmanager.net",)
_SERVICE_DOMAINS: Final = (".botframework.com",)
_FILE_DOMAINS: Final = (".sharepoint.com",)
"""OneDrive for Business and SharePoint, where Teams keeps people's files."""


class Trust:
    """`base`: the configured `endpoints.api`, whose origin is trusted as the vendor's hosts are."""

    def __init__(self, base: str) -> None:
        self._own = (base,) if _is_url(base) else ()
        self.default = base.rstrip("/") if self._own else SERVICE

    def service(self, url: str) -> str:
        """A connector base URL, to which our token is sent; without a slash at its end.

        Raises:
            SendRefused: the host is neither the vendor's nor configured.
        """
        return self._checked(url, _SERVICE_HOSTS, _SERVICE_DOMAINS).rstrip("/")

    def is_own(self, url: str) -> bool:
        """Whether a checked URL is at the configured endpoint."""
        return any(origin(url) == origin(base) for base in self._own)

    def file(self, url: str) -> str:
        """An address of a person's file, good without a token. Raises SendRefused."""
        return self._checked(url, (), _FILE_DOMAINS)

    def keys(self, url: str, metadata: str) -> str:
        """The key set's address that the metadata names. Raises SendRefused."""
        return self._checked(url, (), _SERVICE_DOMAINS, (metadata, *self._own))

    def _checked(
        self,
        url: str,
        hosts: tuple[str, ...],
        domains: tuple[str, ...],
        bases: tuple[str, ...] | None = None,
    ) -> str:
        parts = urlsplit(url) if _is_url(url) else urlsplit("")
        host = (parts.hostname or "").lower()
        plain = parts.scheme == "https" and parts.port in (None, 443)
        if plain and (host in hosts or host.endswith(domains)):
            return url
        return Egress.check(url, self._own if bases is None else bases)


def base_of(url: str) -> str:
    """scheme://host:port of a checked URL."""
    scheme, host, port = origin(url)
    return f"{scheme}://{host}:{port}"


def _is_url(url: str) -> bool:
    try:
        origin(url)
    except ValueError:
        return False
    return True
