"""The simulated Telegram."""

from collections.abc import Mapping
from typing import Any, Final

from ai_engine.simulators.telegram.server import TelegramSimulator

SIMULATOR: Final = TelegramSimulator

__all__ = ["SIMULATOR", "TelegramSimulator", "build"]


def build(auth: Mapping[str, str], **common: Any) -> TelegramSimulator:
    """From credentials by their `auth` names; `app_secret` stands in for `token`."""
    return TelegramSimulator(
        token=auth.get("app_secret") or auth["token"],
        secret_token=auth["secret_token"],
        **common,
    )
