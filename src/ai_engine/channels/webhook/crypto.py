"""The signature of the `webhook` channel, both ways: `t=<unix>,v1=<hex HMAC-SHA256>`.

The HMAC covers `"<t>.<body>"`, so neither time nor body can be changed. Several `v1` may stand in
one header, so that a secret can be changed without an interruption at the sender.
"""

import hashlib
import hmac
from typing import Final

from ai_engine.domain.errors import Forbidden, Unauthenticated

HEADER: Final = "X-AI-Engine-Signature"
WINDOW_SECONDS: Final = 300

_HEADER_MAX: Final = 1024
_DIGITS_MAX: Final = 12


def sign(body: bytes, secret: str, at: int) -> str:
    """The header's value for `body` at `at` (seconds since the Unix epoch)."""
    return f"t={at},v1={_mac(body, secret, str(at))}"


def verify(header: str, body: bytes, secret: str, now: float) -> None:
    """Return when the header signs this body and is fresh.

    Raises:
        Unauthenticated: missing, unreadable or wrong, or no secret is configured.
        Forbidden: right, but more than five minutes away from now.
    """
    if not secret:
        raise Unauthenticated("no secret is configured", hint="set auth.secret of this channel")
    if not header:
        raise Unauthenticated(f"the header {HEADER} is missing")
    timestamp, macs = _parse(header)
    expected = _mac(body, secret, timestamp)
    # Every candidate is compared, in constant time: how long it takes tells nothing.
    if (
        sum(hmac.compare_digest(expected.encode(), mac.encode("utf-8", "replace")) for mac in macs)
        == 0
    ):
        raise Unauthenticated(
            "the signature is wrong",
            hint='v1 is hex(HMAC-SHA256(auth.secret, "<t>.<raw body>"))',
        )
    if abs(now - int(timestamp)) > WINDOW_SECONDS:
        raise Forbidden(
            "the signature is more than 5 minutes old or ahead",
            hint="sign each attempt anew; check both clocks",
        )


def _parse(header: str) -> tuple[str, list[str]]:
    fields = [field.strip().partition("=") for field in header[:_HEADER_MAX].split(",")]
    times = [value for name, _, value in fields if name == "t"]
    macs = [value for name, _, value in fields if name == "v1"]
    known = len(times) == 1 and macs and len(header) <= _HEADER_MAX
    if not known or not (times[0].isascii() and times[0].isdigit()) or len(times[0]) > _DIGITS_MAX:
        raise Unauthenticated(
            f"the header {HEADER} cannot be read",
            hint="it is t=<unix seconds>,v1=<hex HMAC-SHA256>",
        )
    return times[0], macs


def _mac(body: bytes, secret: str, timestamp: str) -> str:
    return hmac.digest(
        secret.encode(), timestamp.encode("ascii") + b"." + body, hashlib.sha256
    ).hex()
