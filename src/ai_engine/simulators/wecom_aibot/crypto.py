"""WeCom's side of the callback envelope and of encrypted files.

Source: WeCom, "Encryption of callbacks and replies" (101033). Written for the simulator alone: the
connector has its own reading of it.
"""

import base64
import hashlib
import os
import struct

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK_BITS = 256
KEY_LENGTH = 43


def sign(token: str, timestamp: str, nonce: str, encrypt: str) -> str:
    """SHA-1 over the four parts in alphabetical order."""
    parts = sorted([token, timestamp, nonce, encrypt])
    return hashlib.sha1("".join(parts).encode(), usedforsecurity=False).hexdigest()


def _cipher(aes_key: str) -> Cipher[modes.CBC]:
    key = base64.b64decode(aes_key + "=" * (-len(aes_key) % 4))
    return Cipher(algorithms.AES(key), modes.CBC(key[:16]))


def seal_file(aes_key: str, content: bytes) -> bytes:
    """As files are stored: PKCS#7 to 32 bytes, no head."""
    padder = padding.PKCS7(BLOCK_BITS).padder()
    encryptor = _cipher(aes_key).encryptor()
    data = padder.update(content) + padder.finalize()
    return encryptor.update(data) + encryptor.finalize()


def seal(aes_key: str, message: bytes) -> str:
    """A message for a robot: the receiver's id is empty."""
    head = os.urandom(16) + struct.pack(">I", len(message))
    return base64.b64encode(seal_file(aes_key, head + message)).decode()


def unseal(aes_key: str, encrypt: str) -> bytes:
    """The message in an answer. Raises ValueError: it is none."""
    decryptor = _cipher(aes_key).decryptor()
    data = decryptor.update(base64.b64decode(encrypt)) + decryptor.finalize()
    unpadder = padding.PKCS7(BLOCK_BITS).unpadder()
    plain = unpadder.update(data) + unpadder.finalize()
    (length,) = struct.unpack(">I", plain[16:20])
    if plain[20 + length :]:
        raise ValueError("the receiver's id must be empty")
    return plain[20 : 20 + length]
