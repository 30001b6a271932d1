"""The two servers as the configuration writes them, and their TLS."""

import asyncio
import ipaddress
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_PORTS: Final = {
    "imaps": 993,
    "imap+starttls": 143,
    "imap": 143,
    "smtps": 465,
    "smtp+starttls": 587,
    "smtp": 25,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where to connect, and how it is protected."""

    host: str
    port: int
    tls: str
    """implicit | starttls | plain (on this machine only)"""


def server(url: str, protocol: str) -> Server:
    """`imaps://host:993`, `imap+starttls://host:143`, `imap://127.0.0.1:143`; the same for `smtp`.

    Raises:
        ValueError: another form, or a plain connection that leaves this machine. No part of a
            password that somebody wrote into the URL is in the message.
    """
    parts = urlsplit(url.strip())
    forms = f"{protocol}s://host or {protocol}+starttls://host"
    if parts.scheme not in (protocol, f"{protocol}s", f"{protocol}+starttls"):
        raise ValueError(f"it must be {forms}")
    if "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"it must be {forms} and a port, nothing else")
    host, port = parts.hostname or "", parts.port
    if not host:
        raise ValueError("it names no host")
    tls = {protocol: "plain", f"{protocol}s": "implicit"}.get(parts.scheme, "starttls")
    if tls == "plain" and not _is_loopback(host):
        raise ValueError(f"without TLS only this machine may be named; write {forms}")
    return Server(host=host, port=port or _PORTS[parts.scheme], tls=tls)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Trust:
    """The TLS context: the system's authorities, or those of SSL_CERT_FILE; made once."""

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None
        self._making = asyncio.Lock()

    async def context(self) -> ssl.SSLContext:
        """In a thread at first: reading the authorities takes tens of milliseconds."""
        async with self._making:
            if self._context is None:
                self._context = await asyncio.to_thread(ssl.create_default_context)
            return self._context
