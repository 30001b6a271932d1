"""The simulated WeCom: an app of its own, and a group robot."""

from collections.abc import Mapping
from typing import Any, Final

from ai_engine.simulators.wecom.server import WeComSimulator

SIMULATOR: Final = WeComSimulator

__all__ = ["SIMULATOR", "WeComSimulator", "build"]


def build(auth: Mapping[str, str], **common: Any) -> WeComSimulator:
    """From credentials by their `auth` names; `app_id` and `app_secret` stand in for the corp's id
    and the app's secret, as they do in the engine's configuration."""
    given = dict(auth)
    for name, general in (("corp_id", "app_id"), ("secret", "app_secret")):
        if given.get(general):
            given[name] = given[general]
    return WeComSimulator(
        corp_id=given["corp_id"],
        agent_id=given["agent_id"],
        secret=given["secret"],
        token=given["token"],
        aes_key=given["aes_key"],
        **common,
    )
