"""WeCom's envelope, written from its documentation and apart from the connector's code."""

import hashlib
import os
import struct
from base64 import b64decode, b64encode

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK_BITS = 256
"""PKCS#7 pads to 32 bytes, twice the block of AES."""


class Envelope:
    """Signs and encrypts for one app. Source: path/90968 of WeCom's developer documentation."""

    def __init__(self, token: str, aes_key: str, receive_id: str) -> None:
        self.token = token
        self._key = b64decode(aes_key + "=")
        self._receive_id = receive_id.encode()

    def sign(self, timestamp: str, nonce: str, encrypted: str) -> str:
        """SHA-1 over the four texts in sorted order."""
        parts = [self.token, timestamp, nonce, encrypted]
        parts.sort()
        return hashlib.sha1("".join(parts).encode(), usedforsecurity=False).hexdigest()

    def seal(self, message: str) -> str:
        """16 random bytes, the length, the message, the receiver's id: encrypted, in base64."""
        data = message.encode()
        packed = os.urandom(16) + struct.pack(">I", len(data)) + data + self._receive_id
        padder = padding.PKCS7(_BLOCK_BITS).padder()
        padded = padder.update(packed) + padder.finalize()
        worker = self._cipher().encryptor()
        return b64encode(worker.update(padded) + worker.finalize()).decode("ascii")

    def open(self, sealed: str) -> str:
        """Raises ValueError: it cannot be opened, or is for another receiver."""
        worker = self._cipher().decryptor()
        padded = worker.update(b64decode(sealed)) + worker.finalize()
        unpadder = padding.PKCS7(_BLOCK_BITS).unpadder()
        packed = unpadder.update(padded) + unpadder.finalize()
        (length,) = struct.unpack(">I", packed[16:20])
        if packed[20 + length :] != self._receive_id:
            raise ValueError("another receiver's")
        return packed[20 : 20 + length].decode()

    def _cipher(self) -> Cipher[modes.CBC]:
        return Cipher(algorithms.AES(self._key), modes.CBC(self._key[:16]))
