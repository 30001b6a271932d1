"""The simulated Feishu."""

from collections.abc import Mapping
from typing import Any, Final

from ai_engine.simulators.feishu.server import FeishuSimulator

SIMULATOR: Final = FeishuSimulator

__all__ = ["SIMULATOR", "FeishuSimulator", "build"]


def build(auth: Mapping[str, str], **common: Any) -> FeishuSimulator:
    """From credentials by their `auth` names."""
    names = ("app_id", "app_secret", "encrypt_key", "verification_token")
    return FeishuSimulator(**{name: auth.get(name, "") for name in names}, **common)
