"""The proof that a callback comes from WeCom, and its decryption.

Source: WeCom, "Callback configuration" (developer.work.weixin.qq.com/document/path/90930) and
"Encryption and decryption" (path/90968). The signature covers token, timestamp, nonce and cipher
text. A replay inside the window is caught by the journal, which knows each message for 24 h.
"""

from collections.abc import Mapping
from typing import Final

from ai_engine.channels import callback_crypto
from ai_engine.domain.errors import Forbidden, Unauthenticated

WINDOW_SECONDS: Final = 300
"""WeCom documents no window; it signs each of its attempts, which end after some 20 s."""

_DIGITS_MAX: Final = 12


def verify(query: Mapping[str, str], encrypted: str, token: str, now: float) -> None:
    """Return when `msg_signature` signs this cipher text and `timestamp` (seconds) is fresh.

    Raises:
        Unauthenticated: something is missing or wrong, or no token is configured.
        Forbidden: the signature is right and more than five minutes away from now.
    """
    timestamp, nonce = query.get("timestamp", ""), query.get("nonce", "")
    given = query.get("msg_signature", "")
    if not timestamp or not nonce or not given or not encrypted:
        raise Unauthenticated("the signature is missing or wrong")
    callback_crypto.verify(token, timestamp, nonce, encrypted, given)
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _DIGITS_MAX):
        raise Unauthenticated("the signature is missing or wrong")
    if abs(now - int(timestamp)) > WINDOW_SECONDS:
        raise Forbidden(
            "the signature is more than 5 minutes old or ahead", hint="check the machine's clock"
        )


def opened(aes_key: str, encrypted: str, corp_id: str) -> bytes:
    """The plain text, when it is for this organisation. Call it only after `verify`.

    Raises:
        Unauthenticated: it cannot be decrypted, or is another organisation's; always the same.
    """
    return callback_crypto.decrypt(aes_key, encrypted, corp_id)
