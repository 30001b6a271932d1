"""Slack's request signature, written from its documentation and apart from the connector's code."""

import hashlib
import hmac


def signature(signing_secret: str, timestamp: int, body: bytes) -> str:
    """`X-Slack-Signature`: version, then the hexadecimal HMAC over version, time and raw body."""
    mac = hmac.new(signing_secret.encode("utf-8"), digestmod=hashlib.sha256)
    mac.update(f"v0:{timestamp}:".encode("ascii"))
    mac.update(body)
    return f"v0={mac.hexdigest()}"
