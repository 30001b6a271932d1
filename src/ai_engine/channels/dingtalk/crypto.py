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
    _usable(timestamp, given, "timestamp and sign")
    _same(sign(timestamp, app_secret), given)
    fresh(timestamp, now_ms)


def card_secret(app_secret: str, channel: str) -> str:
    """The `apiSecret` that card callbacks are registered with: of the app's secret, so that every
    process of the engine knows it and no other setting is needed."""
    words = f"ai-engine card callbacks of {channel}".encode()
    return hmac.new(app_secret.encode(), words, hashlib.sha256).hexdigest()


def sign_card(timestamp: str, api_secret: str) -> str:
    """`base64(HMAC-SHA256(key=apiSecret, timestamp))` (DingTalk, "Card event callbacks")."""
    mac = hmac.new(api_secret.encode(), timestamp.encode(), hashlib.sha256)
    return base64.b64encode(mac.digest()).decode("ascii")


def verify_card(headers: Mapping[str, str], api_secret: str, now_ms: int) -> None:
    """The same for a card callback over HTTP: `x-ddpaas-signature` and its time stamp."""
    timestamp = headers.get("x-ddpaas-signature-timestamp", "")
    given = headers.get("x-ddpaas-signature", "")
    _usable(timestamp, given, "x-ddpaas-signature and x-ddpaas-signature-timestamp")
    _same(sign_card(timestamp, api_secret), given)
    fresh(timestamp, now_ms)


def _usable(timestamp: str, given: str, names: str) -> None:
    if not timestamp or not given:
        raise Unauthenticated(f"the headers {names} are needed")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _DIGITS_MAX):
        raise Unauthenticated("the time stamp is not a number of milliseconds")


def _same(expected: str, given: str) -> None:
    if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
        raise Unauthenticated(
            "the signature is wrong",
            hint="auth.app_secret must be the one of the app that calls this address",
        )


def fresh(timestamp: str, now_ms: int) -> None:
    """Raises Forbidden: the time stamp, in ms, is more than one hour away from now."""
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > _DIGITS_MAX:
        raise Forbidden("the time stamp is not a number of milliseconds")
    if abs(now_ms - int(timestamp)) > WINDOW_MS:
        raise Forbidden(
            "the signature is more than one hour old or ahead", hint="check the machine's clock"
        )
