"""Slack's request signature: covers time and body.

Source: Slack, "Verifying requests from Slack":
`v0=` + hex(HMAC-SHA256(signing secret, "v0:" + timestamp + ":" + raw body)).
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from ai_engine.domain.errors import Forbidden, Unauthenticated

WINDOW_SECONDS: Final = 300
"""Slack's rule: refuse what is more than five minutes away from now."""
_DIGITS_MAX: Final = 12


def sign(timestamp: str, body: bytes, signing_secret: str) -> str:
    """The header `X-Slack-Signature` for a raw body; `timestamp` in seconds since the epoch."""
    signed = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.digest(signing_secret.encode(), signed, hashlib.sha256).hex()


def verify(headers: Mapping[str, str], body: bytes, signing_secret: str, now: float) -> None:
    """Return when the headers prove that Slack sent this body within the last five minutes.

    Raises:
        Unauthenticated: a header is missing or wrong, or no signing secret is configured.
        Forbidden: the signature is right but more than five minutes old or ahead.
    """
    timestamp = headers.get("x-slack-request-timestamp", "")
    given = headers.get("x-slack-signature", "")
    if not signing_secret:
        raise Unauthenticated("no signing secret is configured", hint="set auth.signing_secret")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _DIGITS_MAX):
        timestamp = ""
    expected = sign(timestamp, body, signing_secret)
    same = hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))
    if not (same and timestamp):
        raise Unauthenticated(
            "the signature is missing or wrong",
            hint="auth.signing_secret must be the one of the app that calls this address",
        )
    if abs(now - int(timestamp)) > WINDOW_SECONDS:
        raise Forbidden(
            "the signature is more than five minutes old or ahead", hint="check the machine's clock"
        )
