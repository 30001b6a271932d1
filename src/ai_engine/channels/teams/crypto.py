"""Proof that a call is Bot Framework's: a JWT signed by one of its published keys.

Source: Microsoft, "Authentication with the Bot Connector API" (connector to bot), and the SDK's
channel_validation.py: RS256/384/512, issuer, audience, five minutes of tolerance, the claim
`serviceurl` equal to the activity's, the key's endorsements naming the activity's channel. The
token does not cover the body: a replay is recognised by the activity's id.
"""

import base64
import binascii
import logging
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from ai_engine.domain.errors import Malformed, Unauthenticated

log = logging.getLogger(__name__)

ISSUER: Final = "https://api.botframework.com"
ALGORITHMS: Final = ("RS256", "RS384", "RS512")
SKEW_SECONDS: Final = 300
_TOKEN_CHARS_MAX: Final = 16_384
_KID_CHARS_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One published key. `endorsements`: channels it speaks for; empty: not restricted."""

    public: RSAKey
    endorsements: frozenset[str] = frozenset()


class _Head(msgspec.Struct, frozen=True):
    alg: str
    kid: str


class _Bound(msgspec.Struct, frozen=True, rename="camel"):
    """What of the body a token is bound to."""

    service_url: str = ""
    channel_id: str = ""


def read(header: str) -> tuple[str, str]:
    """(token, id of its key) of an Authorization header; nothing is proved yet.

    Raises:
        Unauthenticated: no Bearer token, or one that no key of the vendor's can have signed.
    """
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token or len(token) > _TOKEN_CHARS_MAX:
        raise refused("there is no Bearer token")
    head, dot, _ = token.partition(".")
    try:
        raw = base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))
        found = msgspec.json.decode(raw, type=_Head)
    except (ValueError, binascii.Error, RecursionError):
        raise refused("the token's header cannot be read") from None
    if not dot or found.alg not in ALGORITHMS:
        raise refused("the token's algorithm is not allowed")
    if not 0 < len(found.kid) <= _KID_CHARS_MAX:
        raise refused("the token names no key")
    return token, found.kid


def verify(token: str, key: Key | None, body: bytes, app_id: str, now: float) -> None:
    """Return when the token is Bot Framework's, for this app and time, and for this body's
    service URL and channel. `now`: seconds since the Unix epoch.

    Raises:
        Unauthenticated: it is not; the answer never says in what. Malformed: a good token, but the
            body is no JSON object.
    """
    if not app_id:
        raise refused("auth.app_id is not configured")
    if key is None:
        raise refused("the token's key is not published")
    claims = _claims(token, key)
    if claims.get("iss") != ISSUER:
        raise refused("the token's issuer is wrong")
    if claims.get("aud") != app_id:
        raise refused("the token is for another app")
    _check_times(claims.get("nbf"), claims.get("exp"), now)
    try:
        bound = msgspec.json.decode(body, type=_Bound)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"$: no activity ({str(error)[:200]})") from error
    if not bound.service_url or claims.get("serviceurl") != bound.service_url:
        raise refused("the token is for another service URL")
    if key.endorsements and bound.channel_id not in key.endorsements:
        raise refused("the token's key is not endorsed for this channel")


def _claims(token: str, key: Key) -> dict[str, Any]:
    try:
        return dict(jwt.decode(token, key.public, algorithms=list(ALGORITHMS)).claims)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise refused("the token's signature is wrong") from None


def _check_times(begins: object, ends: object, now: float) -> None:
    if not _is_time(ends) or (begins is not None and not _is_time(begins)):
        raise refused("the token has no times")
    if now >= float(ends) + SKEW_SECONDS:  # pyright: ignore[reportArgumentType]
        raise refused("the token is over")
    if begins is not None and now < float(begins) - SKEW_SECONDS:  # pyright: ignore[reportArgumentType]
        raise refused("the token is not valid yet")


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def refused(why: str) -> Unauthenticated:
    """The one answer to every failed proof; the log says why, the caller is not told."""
    log.info("a call was not proved to be Bot Framework's: %s", why)
    return Unauthenticated(
        "the call is not proved to be Bot Framework's",
        hint="auth.app_id must be the bot's Microsoft App ID; check the machine's clock",
    )
