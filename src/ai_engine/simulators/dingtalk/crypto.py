"""DingTalk's signatures, written from its documentation and apart from the connector's code."""

import base64
import hashlib
import hmac

WINDOW_MS = 3_600_000
"""A signature is good for an hour before and after its time stamp."""


def sign(timestamp_ms: str, secret: str) -> str:
    """Base64 of HMAC-SHA256 over `<timestamp>\\n<secret>`, keyed by the secret. The same rule signs
    robot callbacks (with the app secret) and custom robots' webhooks (with the robot's)."""
    text = f"{timestamp_ms}\n{secret}".encode()
    return base64.b64encode(hmac.digest(secret.encode(), text, hashlib.sha256)).decode("ascii")


def signature_holds(timestamp_ms: str, given: str, secret: str, *, now_ms: int) -> bool:
    """Whether `given` (already URL-decoded) is the signature of a time stamp that is still good."""
    if not timestamp_ms.isascii() or not timestamp_ms.isdigit():
        return False
    if abs(now_ms - int(timestamp_ms)) > WINDOW_MS:
        return False
    return hmac.compare_digest(sign(timestamp_ms, secret).encode(), given.encode())
