"""The envelope of DingTalk's event callbacks and of WeCom's: SHA-1 signature, AES-256-CBC.

Source: DingTalk-Callback-Crypto and WeCom's "encryption and decryption" page, which agree:
signature = sha1(sorted(token, timestamp, nonce, encrypt)); the key is base64 of 43 characters and
`=`, the IV its first 16 bytes, PKCS#7 pads to 32 bytes; the plain text is 16 random bytes, a
4-byte big-endian length, the message, and the owner's id.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from ai_engine.domain.errors import Unauthenticated

_BLOCK: Final = 32
_HEAD: Final = 20
"""16 random bytes and the length."""


def signature(token: str, timestamp: str, nonce: str, encrypt: str) -> str:
    """Lower-case hex."""
    joined = "".join(sorted((token, timestamp, nonce, encrypt)))
    return hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()


def verify(token: str, timestamp: str, nonce: str, encrypt: str, signature_given: str) -> None:
    """Raises Unauthenticated: no token is configured, or the signature is wrong or missing."""
    expected = signature(token, timestamp, nonce, encrypt).encode()
    same = hmac.compare_digest(expected, signature_given.encode())
    if not token or not same:
        raise Unauthenticated("the signature is missing or wrong")


def key_of(aes_key: str) -> bytes:
    """The 32 bytes of an EncodingAESKey. Raises ValueError: it is none."""
    key = base64.b64decode(aes_key + "=") if len(aes_key) == 43 else b""
    if len(key) != 32:
        raise ValueError("an EncodingAESKey has 43 characters")
    return key


def decrypt(aes_key: str, encrypted: str, owner: str) -> bytes:
    """The message. Call it only after `verify`.

    Raises:
        Unauthenticated: whatever is wrong, always the same, so that nothing is learnt from it.
    """
    try:
        message, found = _opened(key_of(aes_key), base64.b64decode(encrypted, validate=True))
    except ValueError:
        raise Unauthenticated("the body cannot be decrypted") from None
    if not hmac.compare_digest(found, owner.encode()):
        raise Unauthenticated("the body cannot be decrypted")
    return message


def _opened(key: bytes, data: bytes) -> tuple[bytes, bytes]:
    """(message, owner). Raises ValueError."""
    plain = cbc_decrypt(key, data)
    size = int.from_bytes(plain[16:_HEAD], "big")
    if len(plain) < _HEAD or _HEAD + size > len(plain):
        raise ValueError("length")
    return plain[_HEAD : _HEAD + size], plain[_HEAD + size :]


def cbc_decrypt(key: bytes, data: bytes) -> bytes:
    """AES-256-CBC with IV = key[:16] and PKCS#7 to 32 bytes, as these platforms' media has it too.

    Raises:
        ValueError: it is no such text.
    """
    if not data or len(data) % 16:
        raise ValueError("length")
    decryptor = Cipher(AES(key), CBC(key[:16])).decryptor()
    plain = decryptor.update(data) + decryptor.finalize()
    pad = plain[-1]
    if not 1 <= pad <= _BLOCK or plain[-pad:] != bytes([pad]) * pad:
        raise ValueError("padding")
    return plain[:-pad]


def encrypt(aes_key: str, message: bytes | str, owner: str) -> str:
    """Base64. Raises ValueError: the key is none."""
    key = key_of(aes_key)
    body = message.encode() if isinstance(message, str) else message
    plain = secrets.token_bytes(16) + len(body).to_bytes(4, "big") + body + owner.encode()
    pad = _BLOCK - len(plain) % _BLOCK
    encryptor = Cipher(AES(key), CBC(key[:16])).encryptor()
    data = encryptor.update(plain + bytes([pad]) * pad) + encryptor.finalize()
    return base64.b64encode(data).decode()
