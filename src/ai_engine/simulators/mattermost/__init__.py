"""The simulated Mattermost."""

from collections.abc import Mapping
from typing import Any, Final

from ai_engine.simulators.mattermost.server import MattermostSimulator

SIMULATOR: Final = MattermostSimulator

__all__ = ["SIMULATOR", "MattermostSimulator", "build"]


def build(auth: Mapping[str, str], **common: Any) -> MattermostSimulator:
    """From credentials by their `auth` names."""
    return MattermostSimulator(token=auth["token"], webhook_token=auth["webhook_token"], **common)
