"""The signature of a custom bot's messages.

Source: Feishu, "Use bots in groups: signature verification". Key and message are the other way
round than in DingTalk: time stamp and secret are the key, the message is empty.
"""

import base64
import hashlib
import hmac


def sign(timestamp: str, secret: str) -> str:
    """`base64(HMAC-SHA256(key=timestamp + "\\n" + secret, ""))`; timestamp in seconds."""
    mac = hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()
