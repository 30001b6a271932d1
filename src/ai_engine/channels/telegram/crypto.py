"""The proof of sender of a Telegram webhook: the secret that `setWebhook` was given.

Each request carries it in `X-Telegram-Bot-Api-Secret-Token` (Bot API, setWebhook). It covers
neither time nor body: TLS does, and a repeated update is known by its key for 24 h.
"""

import hmac
from collections.abc import Mapping
from typing import Final

from ai_engine.domain.errors import Unauthenticated

HEADER: Final = "x-telegram-bot-api-secret-token"


def verify(headers: Mapping[str, str], secret_token: str) -> None:
    """Return when the header is the secret; compared in constant time. Header names in lower case.

    Raises:
        Unauthenticated: missing or wrong, or no secret is configured.
    """
    given = headers.get(HEADER, "")
    expected = secret_token.encode()
    same = hmac.compare_digest(given.encode("utf-8", "replace"), expected)
    if not (same and expected):
        raise Unauthenticated(
            f"the header {HEADER} is missing or wrong",
            hint="setWebhook's secret_token and the channel's auth.secret_token must be the same",
        )
