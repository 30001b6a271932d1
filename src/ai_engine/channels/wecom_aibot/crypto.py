"""Proof of sender and encryption of the robot's callbacks, and the cipher of its media.

Source: WeCom, "Encryption of callbacks and replies" of AI robots (path 101033): the envelope of all
WeCom callbacks, in JSON, with an empty receiver id.
"""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Final

from ai_engine.channels import callback_crypto
from ai_engine.domain.errors import Forbidden, SendRefused, Unauthenticated
from ai_engine.domain.message import Json

_STALE_SECONDS: Final = 600.0
"""WeCom documents no window. Callbacks are repeated within seconds; a replay inside the window is
recognised by its message id."""
_OWNER: Final = ""
_BIG_BYTES: Final = 262_144
"""Above it the cipher runs in a thread."""


def verify(query: Mapping[str, str], encrypted: str, token: str, now: float) -> None:
    """`now` in seconds since the Unix epoch. The signature covers time stamp and body.

    Raises:
        Unauthenticated: a part is missing or wrong. Forbidden: right, but too old or ahead.
    """
    timestamp = query.get("timestamp", "")
    signature = query.get("msg_signature", "")
    callback_crypto.verify(token, timestamp, query.get("nonce", ""), encrypted, signature)
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise Unauthenticated("the signature is missing or wrong")
    if abs(now - int(timestamp)) > _STALE_SECONDS:
        raise Forbidden(
            "the callback is more than ten minutes old or ahead", hint="check the machine's clock"
        )


async def opened(aes_key: str, encrypted: str) -> bytes:
    """The plain text of a verified callback. Raises Unauthenticated."""
    if len(encrypted) < _BIG_BYTES:
        return callback_crypto.decrypt(aes_key, encrypted, _OWNER)
    return await asyncio.to_thread(callback_crypto.decrypt, aes_key, encrypted, _OWNER)


async def sealed(aes_key: str, token: str, plain: bytes, now: float) -> Json:
    """The answer to a callback."""
    if len(plain) < _BIG_BYTES:
        return _sealed(aes_key, token, plain, now)
    return await asyncio.to_thread(_sealed, aes_key, token, plain, now)


def _sealed(aes_key: str, token: str, plain: bytes, now: float) -> Json:
    encrypted = callback_crypto.encrypt(aes_key, plain, _OWNER)
    timestamp, nonce = int(now), secrets.token_hex(8)
    signature = callback_crypto.signature(token, str(timestamp), nonce, encrypted)
    return {
        "encrypt": encrypted,
        "msgsignature": signature,
        "timestamp": timestamp,
        "nonce": nonce,
    }


async def media_opened(aes_key: str, content: bytes) -> bytes:
    """A downloaded file in the clear. `aes_key`: 43 characters of base64, with or without `=`.

    Raises:
        SendRefused: the key or the content is none.
    """
    try:
        key = callback_crypto.key_of(aes_key.rstrip("="))
        return await asyncio.to_thread(callback_crypto.cbc_decrypt, key, content)
    except ValueError:
        raise SendRefused("a file from WeCom cannot be decrypted") from None
