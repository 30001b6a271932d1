"""Proof that an event came from Feishu: signature over the body, or the verification token.

Source: Feishu, "Receive events: security"; the event dispatcher of the vendor's Python SDK 1.7.5:
`X-Lark-Signature = hex(SHA-256(timestamp + nonce + encrypt_key + raw body))`, only sent when an
Encrypt Key is set; the body then is `{"encrypt": base64(IV16 || AES-256-CBC(SHA-256(key)))}`.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from ai_engine.domain.errors import Forbidden, Unauthenticated

WINDOW_SECONDS: Final = 300
"""How far the signed time may be from now. Feishu names no window: this one is ours. A replay
inside it is caught by the journal, which knows each event for 24 h."""

TIMESTAMP: Final = "x-lark-request-timestamp"
NONCE: Final = "x-lark-request-nonce"
SIGNATURE: Final = "x-lark-signature"
_DIGITS_MAX: Final = 12
_BLOCK: Final = 16


def sign(timestamp: str, nonce: str, encrypt_key: str, body: bytes) -> str:
    """The hexadecimal signature of a raw body."""
    return hashlib.sha256(f"{timestamp}{nonce}{encrypt_key}".encode() + body).hexdigest()


def verify(headers: Mapping[str, str], body: bytes, encrypt_key: str, now: float) -> None:
    """Return when the signature headers are right for this body, and fresh.

    Raises:
        Unauthenticated: one is missing or wrong. Forbidden: right, but more than 5 minutes away.
    """
    timestamp, nonce, given = (headers.get(name, "") for name in (TIMESTAMP, NONCE, SIGNATURE))
    if not (timestamp and given):
        raise unproven()
    expected = sign(timestamp, nonce, encrypt_key, body)
    if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
        raise unproven()
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _DIGITS_MAX):
        raise unproven()
    if abs(now - int(timestamp)) > WINDOW_SECONDS:
        raise Forbidden(
            "the signature is more than 5 minutes old or ahead", hint="check the machine's clock"
        )


def check_token(given: object, token: str) -> None:
    """Compare an event's token with the Verification Token. Raises Unauthenticated."""
    text = given if isinstance(given, str) else ""
    if not token or not hmac.compare_digest(token.encode(), text.encode("utf-8", "replace")):
        raise unproven()


def decrypt(encrypted: str, encrypt_key: str) -> bytes:
    """The event behind `encrypt`. Raises Unauthenticated, whatever is wrong with it: an answer that
    tells padding from content would give the content away."""
    try:
        data = base64.b64decode(encrypted, validate=True)
        cipher = Cipher(
            algorithms.AES(hashlib.sha256(encrypt_key.encode()).digest()), modes.CBC(data[:_BLOCK])
        ).decryptor()
        plain = cipher.update(data[_BLOCK:]) + cipher.finalize()
        unpadder = PKCS7(_BLOCK * 8).unpadder()
        return unpadder.update(plain) + unpadder.finalize()
    except (ValueError, binascii.Error):
        raise unproven() from None


def unproven() -> Unauthenticated:
    """The one answer to every failure of proof."""
    return Unauthenticated(
        "the event is not proven to come from Feishu",
        hint="auth.encrypt_key and auth.verification_token must be those of the app's page Events "
        "& Callbacks (事件与回调)",
    )
