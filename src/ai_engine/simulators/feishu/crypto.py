"""How Feishu encrypts and signs what it sends, and checks what custom bots send."""

import base64
import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC


def encrypt(plain: bytes, key: str, iv: bytes = b"") -> str:
    """base64(IV || AES-256-CBC(SHA-256(key))), PKCS#7 to 16 bytes."""
    iv = iv or os.urandom(16)
    gap = 16 - len(plain) % 16
    machine = Cipher(AES(hashlib.sha256(key.encode()).digest()), CBC(iv)).encryptor()
    secret = machine.update(plain + bytes([gap]) * gap) + machine.finalize()
    return base64.b64encode(iv + secret).decode()


def signature(timestamp: str, nonce: str, key: str, body: bytes) -> str:
    """`X-Lark-Signature`: hex SHA-256 of the four in a row."""
    digest = hashlib.sha256()
    for part in (timestamp.encode(), nonce.encode(), key.encode(), body):
        digest.update(part)
    return digest.hexdigest()


def hook_signature(timestamp: str, secret: str) -> str:
    """A custom bot's `sign`: the HMAC of nothing, with time stamp and secret as its key."""
    mac = hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()
