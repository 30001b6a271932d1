"""The simulated WeCom with one AI robot."""

from collections.abc import Mapping
from typing import Any, Final

from ai_engine.simulators.wecom_aibot.server import WecomAibotSimulator

SIMULATOR: Final = WecomAibotSimulator

__all__ = ["SIMULATOR", "WecomAibotSimulator", "build"]


def build(auth: Mapping[str, str], **common: Any) -> WecomAibotSimulator:
    """From credentials by their `auth` names; the general names stand in for the robot's own."""
    return WecomAibotSimulator(
        bot_id=auth.get("app_id") or auth["bot_id"],
        secret=auth.get("app_secret") or auth["secret"],
        token=auth["token"],
        aes_key=auth["aes_key"],
        **common,
    )
