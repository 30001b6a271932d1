"""Proof of sender for what Mattermost posts to us.

Outgoing webhooks and slash commands carry the token that Mattermost showed when they were made
(developers.mattermost.com, "Outgoing webhooks", "Slash commands"): no time stamp, no signature over
the body. Button callbacks carry nothing of Mattermost's at all, only the `context` that we gave:
it is kept by the server and never shown to clients (`model.PostAction.Integration`), so a MAC of
ours in it proves that the server sends it, for which answer, button, value and channel.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

import msgspec

from ai_engine.domain.errors import Unauthenticated

_PURPOSE: Final = b"ai-engine mattermost button v1"


def verify(given: str, expected: Iterable[str]) -> None:
    """Return when `given` is one of `expected`, compared in constant time.

    Raises:
        Unauthenticated: it is missing or none of them, or nothing is expected at all.
    """
    proof = given.encode("utf-8", "replace")
    right = False
    for known in expected:
        right |= bool(known) and hmac.compare_digest(known.encode("utf-8", "replace"), proof)
    if not right:
        raise Unauthenticated(
            "the token is missing or wrong",
            hint="auth.webhook_token must be the token of the webhook or command that calls; "
            "buttons of answers from before a changed token are over",
        )


def tokens(setting: str) -> tuple[str, ...]:
    """`auth.webhook_token`: one token, or several separated by commas or spaces."""
    return tuple(setting.replace(",", " ").split())


def button_key(secret: str) -> bytes:
    """The key of buttons, from a secret that serves another purpose."""
    return hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256)


def button_mac(key: bytes, *parts: str) -> str:
    """The MAC of a button's parts (texts only: they survive any JSON codec unchanged)."""
    return hmac.new(key, msgspec.json.encode(parts), hashlib.sha256).hexdigest()
