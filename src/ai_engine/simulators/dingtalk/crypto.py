"""DingTalk's signatures and encryption, from its documentation and apart from the connector's."""

import base64
import hashlib
import hmac
import os

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ai_engine.domain.message import Json

WINDOW_MS = 3_600_000
"""A signature is good for an hour before and after its time stamp."""


def sign(timestamp_ms: str, secret: str) -> str:
    """Base64 of HMAC-SHA256 over `<timestamp>\\n<secret>`, keyed by the secret. The same rule signs
    robot callbacks (with the app secret) and custom robots' webhooks (with the robot's)."""
    text = f"{timestamp_ms}\n{secret}".encode()
    return base64.b64encode(hmac.digest(secret.encode(), text, hashlib.sha256)).decode("ascii")


def sign_card(timestamp_ms: str, api_secret: str) -> str:
    """Of card callbacks: base64 of HMAC-SHA256 over the time stamp alone."""
    digest = hmac.digest(api_secret.encode(), timestamp_ms.encode(), hashlib.sha256)
    return base64.b64encode(digest).decode("ascii")


def signature_holds(timestamp_ms: str, given: str, secret: str, *, now_ms: int) -> bool:
    """Whether `given` (already URL-decoded) is the signature of a time stamp that is still good."""
    if not timestamp_ms.isascii() or not timestamp_ms.isdigit():
        return False
    if abs(now_ms - int(timestamp_ms)) > WINDOW_MS:
        return False
    return hmac.compare_digest(sign(timestamp_ms, secret).encode(), given.encode())


class EventCrypto:
    """The envelope of corp events: AES-256-CBC, PKCS#7 to 32 bytes, SHA-1 over sorted parts."""

    def __init__(self, token: str, aes_key: str, owner: str) -> None:
        self._token = token
        self._key = base64.b64decode(aes_key + "=")
        self._owner = owner.encode()

    def sign(self, timestamp: str, nonce: str, encrypt: str) -> str:
        parts = sorted([self._token, timestamp, nonce, encrypt])
        return hashlib.sha1("".join(parts).encode(), usedforsecurity=False).hexdigest()

    def _cipher(self) -> Cipher[modes.CBC]:
        return Cipher(algorithms.AES(self._key), modes.CBC(self._key[:16]))

    def encrypt(self, message: bytes) -> str:
        """Base64 of 16 random bytes, the length, the message and the owner, encrypted."""
        padder = padding.PKCS7(256).padder()
        plain = os.urandom(16) + len(message).to_bytes(4, "big") + message + self._owner
        padded = padder.update(plain) + padder.finalize()
        encryptor = self._cipher().encryptor()
        return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode("ascii")

    def decrypt(self, encrypted: str) -> bytes:
        """The message. Raises ValueError: not ours."""
        decryptor = self._cipher().decryptor()
        padded = decryptor.update(base64.b64decode(encrypted)) + decryptor.finalize()
        unpadder = padding.PKCS7(256).unpadder()
        plain = unpadder.update(padded) + unpadder.finalize()
        end = 20 + int.from_bytes(plain[16:20], "big")
        if plain[end:] != self._owner:
            raise ValueError("another owner's")
        return plain[20:end]

    def opened(self, answer: Json) -> bytes | None:
        """The word in a signed answer; None when signature or encryption do not hold."""
        stamp, nonce, encrypt = (str(answer.get(k, "")) for k in ("timeStamp", "nonce", "encrypt"))
        if self.sign(stamp, nonce, encrypt) != answer.get("msg_signature"):
            return None
        try:
            return self.decrypt(encrypt)
        except ValueError:
            return None
