"""DingTalk's robot signature: proves that the caller knew the app secret at a time, no more.

It does not cover the body (DingTalk, "Receive messages", HTTP mode). A replay inside the window is
caught by the journal, which knows each `msgId` for 24 h.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from ai_engine.domain.errors import Forbidden, Unauthenticated

WINDOW_MS: Final = 3_600_000
"""DingTalk's rule: refuse what is more than one hour away from now."""

_DIGITS_MAX: Final = 15


def sign(timestamp: str, app_secret: str) -> str:
    """`base64(HMAC-SHA256(key=appSecret, timestamp + "\\n" + appSecret))`; timestamp in ms."""
    mac = _keyed(app_secret).copy()
    mac.update(f"{timestamp}\n{app_secret}".encode())
    return base64.b64encode(mac.digest()).decode("ascii")


@lru_cache(maxsize=64)
def _keyed(app_secret: str) -> hmac.HMAC:
    """The key's part of the work, which is the same for every message."""
    return hmac.new(app_secret.encode(), digestmod=hashlib.sha256)


def verify(headers: Mapping[str, str], app_secret: str, now_ms: int) -> None:
    """Return when the headers `timestamp` and `sign` are right and fresh.

    Raises:
        Unauthenticated: one is missing or wrong, or no app secret is configured.
        Forbidden: the signature is right and older or newer than one hour.
    """
    timestamp, given = headers.get("timestamp", ""), headers.get("sign", "")
    if not app_secret:
        raise Unauthenticated("no app secret is configured", hint="set auth.app_secret")
    if not timestamp or not given:
        raise Unauthenticated("the headers timestamp and sign are needed")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _DIGITS_MAX):
        raise Unauthenticated("the header timestamp is not a number of milliseconds")
    expected = sign(timestamp, app_secret)
    if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
        raise Unauthenticated(
            "the signature is wrong",
            hint="auth.app_secret must be the one of the app that calls this address",
        )
    if abs(now_ms - int(timestamp)) > WINDOW_MS:
        raise Forbidden(
            "the signature is more than one hour old or ahead", hint="check the machine's clock"
        )
