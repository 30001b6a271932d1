"""The signature that a custom robot asks for ("加签").

Source: DingTalk, "Security settings of custom robots".
"""

import base64
import hashlib
import hmac


def sign(timestamp_ms: str, secret: str) -> str:
    """`base64(HMAC-SHA256(key=secret, timestamp + "\\n" + secret))`; good for one hour."""
    text = f"{timestamp_ms}\n{secret}".encode()
    return base64.b64encode(hmac.digest(secret.encode(), text, hashlib.sha256)).decode("ascii")
