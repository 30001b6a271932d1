"""The simulated DingTalk."""

from collections.abc import Mapping
from typing import Any, Final

from ai_engine.simulators.dingtalk.server import DingTalkSimulator

SIMULATOR: Final = DingTalkSimulator

__all__ = ["SIMULATOR", "DingTalkSimulator", "build"]


def build(auth: Mapping[str, str], **common: Any) -> DingTalkSimulator:
    """From credentials by their `auth` names."""
    return DingTalkSimulator(
        app_id=auth["app_id"],
        app_secret=auth["app_secret"],
        token=auth.get("token", ""),
        aes_key=auth.get("aes_key", ""),
        **common,
    )
