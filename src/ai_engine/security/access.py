"""Who may come in: the admin token, one-time links and browser sessions, and guess throttling.

`Access` knows nothing of HTTP frameworks: it takes header names and values and a remote address.
"""

import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ai_engine.domain.clock import Clock
from ai_engine.domain.errors import Throttled
from ai_engine.security.token_file import TOKEN_BYTES, read_or_create

COOKIE = "ai_engine_session"
"""The browser session's cookie: HttpOnly, SameSite=Strict."""

CODE_BYTES = 16
"""Random bytes of a link's code: it lives for minutes and must fit on a line of a terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who came in."""

    user_id: str
    roles: tuple[str, ...] = ()


ADMIN = Identity(user_id="admin", roles=("owner",))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLimits:
    """Every bound of `Access`."""

    code_seconds: float = 600.0
    codes_max: int = 32
    """Unused links at once; a further one voids the oldest."""
    session_seconds: float = 12 * 3600.0
    sessions_max: int = 1000
    """Browser sessions at once; a further one ends the oldest."""
    failures_max: int = 10
    """Wrong proofs that one remote may give within `failure_seconds`."""
    failure_seconds: float = 60.0
    remotes_max: int = 1024
    """Remotes whose failures are counted; the one that failed longest ago is forgotten."""


class Access:
    """Verifies proofs. Secrets other than the admin token are held as hashes, in memory only."""

    def __init__(self, data_dir: Path, clock: Clock, limits: AccessLimits | None = None) -> None:
        """Reads `data_dir/admin.token`, or makes it (mode 0600) at the first start.

        Raises:
            ConfigInvalid: the file is unreadable, empty, or readable by others.
        """
        self._clock = clock
        self._limits = limits or AccessLimits()
        self._admin = _digest(read_or_create(data_dir / "admin.token"))
        limits = self._limits
        self._codes = _Proofs(limits.codes_max, limits.code_seconds, clock, CODE_BYTES)
        self._sessions = _Proofs(limits.sessions_max, limits.session_seconds, clock, TOKEN_BYTES)
        self._failures = _Failures(self._limits, clock)

    @property
    def session_seconds(self) -> int:
        """How long a browser session lasts; the cookie's Max-Age."""
        return int(self._limits.session_seconds)

    def verify(self, token: str) -> bool:
        """Whether this is the admin token, in constant time. Does not count failures."""
        return hmac.compare_digest(_digest(token), self._admin)

    def issue_code(self, identity: Identity = ADMIN) -> str:
        """The code of a new one-time link for this person, for `/chat?code=…`."""
        return self._codes.issue(identity)

    def redeem(self, code: str, remote: str = "") -> str | None:
        """A browser session's token for an unused, fresh code; None for any other code.

        Raises:
            Throttled: this remote gave too many wrong proofs.
        """
        self._failures.check(remote)
        identity = self._codes.take(code)
        if identity is None:
            self._failures.count(remote)
            return None
        return self._sessions.issue(identity)

    def log_in(self, token: str, remote: str = "") -> str | None:
        """A browser session's token for the admin token; None for any other.

        Raises:
            Throttled: this remote gave too many wrong proofs.
        """
        return None if self.bearer(token, remote) is None else self._sessions.issue(ADMIN)

    def log_out(self, headers: Mapping[str, str]) -> None:
        """End the browser session that these headers carry, if any."""
        self._sessions.take(_cookie(headers))

    def bearer(self, token: str, remote: str = "") -> Identity | None:
        """Who owns this token. A wrong one counts against the remote.

        Raises:
            Throttled: this remote gave too many wrong proofs.
        """
        self._failures.check(remote)
        if self.verify(token):
            return ADMIN
        self._failures.count(remote)
        return None

    def browser(self, headers: Mapping[str, str]) -> Identity | None:
        """Who owns the session in the cookie. An old cookie is no guess and is not counted."""
        return self._sessions.look(_cookie(headers))

    def authenticate(self, headers: Mapping[str, str], remote: str = "") -> Identity | None:
        """Who sends these headers (names in lower case): `Authorization: Bearer`, else the cookie.

        A request that changes anything must also come from our own page when the cookie is its
        proof; SameSite=Strict sees to that in browsers.

        Raises:
            Throttled: this remote gave too many wrong proofs.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.bearer(token.strip(), remote)
        return self.browser(headers)


class _Proofs:
    """A bounded number of expiring random secrets, kept as hashes, oldest first."""

    def __init__(self, size: int, seconds: float, clock: Clock, secret_bytes: int) -> None:
        self._secret_bytes = secret_bytes
        self._size = size
        self._seconds = seconds
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()

    def issue(self, identity: Identity) -> str:
        secret = secrets.token_urlsafe(self._secret_bytes)
        while len(self._known) >= self._size:
            self._known.popitem(last=False)
        self._known[_digest(secret)] = (self._clock.monotonic() + self._seconds, identity)
        return secret

    def look(self, secret: str) -> Identity | None:
        """The hash is what is looked up, so timing tells nothing of the secret."""
        self._forget_expired()
        known = self._known.get(_digest(secret)) if secret else None
        return known[1] if known else None

    def take(self, secret: str) -> Identity | None:
        identity = self.look(secret)
        if identity is not None:
            del self._known[_digest(secret)]
        return identity

    def _forget_expired(self) -> None:
        now = self._clock.monotonic()
        while self._known:
            first = next(iter(self._known))
            if self._known[first][0] > now:
                return
            del self._known[first]


class _Failures:
    """Counts wrong proofs by remote, in windows; the least recently failing remotes go first."""

    def __init__(self, limits: AccessLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def check(self, remote: str) -> None:
        until, count = self._counts.get(_network(remote), (0.0, 0))
        left = until - self._clock.monotonic()
        if left > 0 and count >= self._limits.failures_max:
            raise Throttled(
                "Too many wrong tokens or codes from this address.",
                retry_after_seconds=int(left) + 1,
                hint="wait a minute, then use the token in admin.token or a new link",
            )

    def count(self, remote: str) -> None:
        key = _network(remote)
        now = self._clock.monotonic()
        until, count = self._counts.pop(key, (0.0, 0))
        if until <= now:
            until, count = now + self._limits.failure_seconds, 0
        while len(self._counts) >= self._limits.remotes_max:
            self._counts.popitem(last=False)
        self._counts[key] = (until, count + 1)


def _network(remote: str) -> str:
    """IPv6 peers own at least a /64 and can change addresses within it at will."""
    try:
        address = ipaddress.ip_address(remote)
    except ValueError:
        return remote
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _cookie(headers: Mapping[str, str]) -> str:
    """By hand: `SimpleCookie` gives up at the first odd cookie that another program has set."""
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return ""
